/* What the tests above the transport share: a local network, a manager on it, and peers that speak to it, or
   listen to a participant, message by message, be it right or wrong. Most tests step the network themselves;
   those with blocking calls let a thread, the pump, run it. Assertions are for a test's own thread only. */
#ifndef MUSTER_TESTS_FIXTURE_H
#define MUSTER_TESTS_FIXTURE_H

#include <criterion/criterion.h>

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/fixture.h>
#include <muster/muster.h>

#include "link/hello.h"
#include "link/service.h"
#include "wire/wire.h"

/* The limit is for a test that hangs; none comes near it. */
#define FAULT_TEST(suite, name) Test(suite, name, .timeout = 60)

enum { RECORDS_MAX = 32 };

struct fixture;

/* ---- peers: one end of a stream, without muster's own proxy or participant behind it ---- */

struct received {
    enum content content;
    uint64_t turn;
    size_t size;
    struct muster_message message;
    double progress;
    char name[160]; /* of Hello and Welcome, like the next two */
    uint64_t rank;
    uint64_t max_message_size;
    uint64_t announced; /* bytes that follow in chunks */
    uint64_t grant;     /* of an instruction, a Grant or a chunk */
    uint64_t limit;     /* of an instruction or a Grant */
    uint64_t offset;    /* of a chunk, like the next */
    size_t chunk_size;
};

struct peer {
    struct fixture *fixture;
    struct stream *stream;
    enum direction receives;
    /* What it does with a message, on the network's thread; NULL: it only remembers it. */
    void (*react)(struct peer *peer, const struct received *received);
    size_t number;       /* the test's own */
    uint8_t session[16]; /* of Welcome, set by the network's thread */
    size_t session_size;

    size_t count; /* guarded by fixture->lock, like all below */
    struct received messages[RECORDS_MAX];
    bool closed;
    enum muster_status status;
    char text[MUSTER_ERROR_TEXT_SIZE];
    struct peer *next;
};

/* A stream to the fixture's address. */
struct peer *peer_connect(struct fixture *fixture);

/* The same, and joined under `name`; NULL: as a participant of the original protocol. Not while the pump
 * runs. */
struct peer *peer_join(struct fixture *fixture, const char *name);

enum muster_status peer_send_bytes(struct peer *peer, const void *bytes, size_t size);
void peer_send_buffer(struct peer *peer, uint64_t turn, struct buffer *body); /* takes the reference */
void peer_send(struct peer *peer, uint64_t turn, const struct muster_message *message);
void peer_send_hello(struct peer *peer, const char *name);
void peer_send_welcome(struct peer *peer, const char *name);
void peer_send_empty(struct peer *peer);
/* The same from peers that take chunks. */
void peer_send_hello_chunks(struct peer *peer, const char *name, uint64_t max_payload_size);
void peer_send_welcome_chunks(struct peer *peer, const char *name, uint64_t max_payload_size);
/* All of a message but what follows it in chunks, which is all of its data that can. */
void peer_announce(struct peer *peer, uint64_t turn, const struct muster_message *message);
void peer_send_chunk(struct peer *peer, uint64_t turn, uint64_t grant, uint64_t offset, const void *data,
                     size_t size);
void peer_send_grant(struct peer *peer, uint64_t turn, uint64_t number, uint64_t limit);
void peer_close(struct peer *peer, enum muster_status status, const char *text);
void peer_cut(struct peer *peer);

/* Wait for the pump to bring it so far. */
void peer_wait_count(struct peer *peer, size_t count);
void peer_wait_closed(struct peer *peer);

/* A reaction: answers an instruction with sample() of its kind, in its turn. */
void peer_answers(struct peer *peer, const struct received *received);

/* ---- the fixture ---- */

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

/* ---- messages ---- */

/* A message of this kind with something of all that it can hold. Static. */
const struct muster_message *sample(enum muster_kind kind);

/* Whether they hold the same, bit by bit. */
bool is_same(const struct muster_message *message, const struct muster_message *expected);

/* Whether that is what arrived. */
bool is_sample(const struct muster_message *message, enum muster_kind kind);

/* ---- turns that nobody blocks for ---- */

struct outcome {
    size_t ended;
    enum muster_status status;
    struct muster_message answer;
};

/* Starts a turn; it ends in *outcome. */
enum muster_status start_message(struct proxy *proxy, const struct muster_message *instruction,
                                 int64_t limit_ms, struct outcome *outcome);

/* The same with sample(kind). */
enum muster_status start_turn(struct proxy *proxy, enum muster_kind kind, int64_t limit_ms,
                              struct outcome *outcome);

/* Whether it has ended once, with that status; clears the answer. */
bool ended_with(struct outcome *outcome, enum muster_status status);

/* ---- blocking calls, on threads of their own ---- */

struct call {
    pthread_t thread;
    struct fixture *fixture;
    enum muster_status status;
    /* proxy_run() */
    struct proxy *proxy;
    struct muster_message answer;
    /* participant_manager_get_participants() */
    size_t min;
    int64_t timeout_ms;
    struct proxy **proxies;
    size_t count;
    /* participant_connect() and participant_consume() */
    struct participant_options options;
    struct participant *participant;
    const struct muster_message *instruction;
    struct muster_error error;
};

void call_run(struct call *call, struct proxy *proxy); /* sample(MUSTER_TRAIN) */
void call_get(struct call *call, struct fixture *fixture, size_t min, int64_t timeout_ms);
void call_connect(struct call *call, struct fixture *fixture, const struct participant_options *options);
void call_consume(struct call *call, struct participant *participant); /* for CONSUME_MS at most */
void call_stop(struct call *call, struct fixture *fixture);

/* Waits for its return. */
enum muster_status call_join(struct call *call);

#endif
