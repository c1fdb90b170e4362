/* A network inside this process, and a manager or a raw listener on it. Most tests step the network
   themselves; those with blocking calls let a thread, the pump, run it. Assertions are for a test's own
   thread only. */
#ifndef MUSTER_TESTS_FIXTURE_H
#define MUSTER_TESTS_FIXTURE_H

#include <criterion/criterion.h>

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/fixture.h>
#include <muster/muster.h>

#include "support/peer.h"

/* The limit is for a test that hangs; none comes near it. */
#define FIXTURE_TEST(suite, name) Test(suite, name, .timeout = 60)

struct event_record {
    enum participant_manager_event_kind kind;
    enum muster_status status;
    int64_t at; /* on the network's clock */
    double progress;
    char name[160];
    char text[MUSTER_ERROR_TEXT_SIZE];
};

struct fixture {
    struct muster_transport *network;
    char address[48];                    /* ADDRESS */
    struct participant_manager *manager; /* NULL with a raw listener */
    struct listener *listener;
    pthread_t pump;
    bool pumping;
    /* What an arriving stream's peer does with messages, with a raw listener. */
    void (*react)(struct peer *peer, const struct received *received);
    /* Called after an event was recorded, on the network's thread. */
    void (*on_event)(struct fixture *fixture, const struct participant_manager_event *event);
    void *data; /* the test's own */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t event_count; /* guarded by lock, like all below */
    struct event_record events[RECORDS_MAX];
    struct peer *peers; /* the latest first */
    size_t peer_count;
    bool listener_stopped;
    size_t proxy_count;
    struct proxy *proxies[RECORDS_MAX];
};

/* On the fixture's network, which is called "test". */
#define ADDRESS "fixture:test/server"

/* No limit to join, 5 s a turn, 1 s to stop; events are recorded, `context` is the fixture. */
#define TURN_MS    5000
#define CONSUME_MS 1000
#define STOP_MS    1000
struct participant_manager_options fixture_options(void);

/* A network with a manager; `options` NULL means fixture_options(). Transport and context are filled in. */
struct fixture *fixture_new(const struct participant_manager_options *options);

/* A network with nobody there; and a raw listener for it, whose arriving streams become peers. */
struct fixture *fixture_new_empty(void);
void fixture_listen(struct fixture *fixture);

/* Ends what is left in it, the pump last, and frees it. */
void fixture_free(struct fixture *fixture);

/* Starts and ends the pump. */
void fixture_pump(struct fixture *fixture);
void fixture_unpump(struct fixture *fixture);

void fixture_settle(struct fixture *fixture);
/* Moves the clock and settles; with a pump it only moves the clock. */
void fixture_advance(struct fixture *fixture, int64_t milliseconds);

/* Something else to do, for about as long as it takes another thread to get to where it waits. What is tested
   does not depend on it, only what a mistake would look like. */
void fixture_be_busy(void);

size_t fixture_open_count(struct fixture *fixture);

/* The open proxy of that name, as long as the fixture is there; NULL: none. */
struct proxy *fixture_proxy(struct fixture *fixture, const char *name);

void fixture_wait_events(struct fixture *fixture, size_t count);
struct peer *fixture_wait_peer(struct fixture *fixture, size_t count); /* the latest of so many */

/* Whether the n-th event is this one; by `name` NULL: whoever's. */
bool event_is(struct fixture *fixture, size_t n, enum participant_manager_event_kind kind,
              enum muster_status status, const char *name);

/* The peer was turned away so, before it had joined, and nothing else has happened. */
void fixture_expect_refused(struct fixture *fixture, struct peer *peer, enum muster_status status,
                            const char *text);

#endif
