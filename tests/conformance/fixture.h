/* Servers and ends of streams that write down what a transport tells them, and hold it to what it promises of
   events: one at a time for a stream, `closed` once and last, `stopped` once and after everything. */
#ifndef MUSTER_TESTS_FIXTURE_H
#define MUSTER_TESTS_FIXTURE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conformance/conformance.h"
#include "support/slowness.h"

#define LIMIT ((size_t)64 << 20) /* of messages, where a test does not ask for another */

struct message {
    uint8_t *data;
    size_t size;
    pthread_t thread; /* that was told of it, */
    bool tends;       /* as one that tends the stream */
};

struct server;

/* One end of a stream. All but what `react` is given: guarded by fixture.lock. */
struct end {
    struct end *next;
    struct server *server; /* NULL at a client */
    bool second;           /* accepted by the second service */
    struct stream *stream;
    struct message *messages; /* what was received */
    size_t count;
    unsigned begun; /* messages whose beginning was told; of transports that ask where they belong */
    unsigned sent;  /* parts */
    unsigned closed;
    enum muster_status status; /* that `closed` gave */
    char text[512];
    bool release; /* the stream is to be released by `closed`, as the library does it */
    /* Whether it puts off a message that it is told of on a thread that tends; NULL: none. */
    bool (*puts_off)(const uint8_t *data, size_t size);
    /* What the end does with a message, on the network's thread. */
    void (*react)(struct end *end, const uint8_t *data, size_t size);
    /* Says where a message belongs that begins, as the event. NULL: nowhere. */
    bool (*place)(struct end *end, size_t size, struct landing *landing);
    struct stream *tended; /* by a thread that waits for its messages; NULL: by none */
    bool inside;           /* an event is running */
};

struct server {
    struct server *next;
    struct listener *listener;
    char address[ADDRESS_SIZE]; /* where it is reached */
    uint16_t port;
    struct end **ends; /* in the order of being accepted; guarded by fixture.lock, like all below */
    size_t count;
    bool closed;
    unsigned stopped;
    bool refuse;
    /* Prepares an end before any of its events, on the network's thread. */
    void (*prepare)(struct end *end);
};

struct fixture {
    struct muster_transport *transport;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct end *ends;
    struct server *servers;
    const char *broken; /* the first promise that was */
};

extern struct fixture fixture;

/* What each server has. */
extern const struct service first_service;
extern const struct service second_service;

/* Every test begins and ends with these. The first starts a watchdog; the second ends what is open, waits for
   all ends, stops the network and looks whether a promise was broken. */
void begin(void);
void conclude(void);

struct server *server_start(const char *address, size_t limit);
struct server *server_start_limited(const struct connection_options *options, size_t limit);
struct server *server_start_with(void (*prepare)(struct end *end));
void server_close(struct server *server);
void server_wait_stopped(struct server *server);
/* The n-th end that was accepted, from 0; waits for it. */
struct end *server_end(struct server *server, size_t n);
struct end *client_connect(const char *address, size_t limit);
/* For another service than the first. */
struct end *client_connect_for(const char *address, const struct service *service);
/* `options`: until it has ended. */
struct end *client_connect_by(const char *address, const struct connection_options *options);
struct end *client_connect_with(const char *address, void (*react)(struct end *, const uint8_t *, size_t));
void wait_messages(struct end *end, size_t count);
/* Until so many messages have begun. */
void wait_begun(struct end *end, unsigned count);
/* Until so many parts have been sent. */
void wait_sent(struct end *end, unsigned count);
void wait_closed(struct end *end);
/* Waits, and wants to have been told this. */
void expect_closed(struct end *end, enum muster_status status, const char *text);

/* A buffer of `size` bytes that depend on `seed`, and whether `data` are such. */
struct buffer *make_body(size_t size, unsigned seed);
bool is_body(const uint8_t *data, size_t size, size_t expected, unsigned seed);

/* Waits until the test's is the only reference. */
void wait_alone(struct buffer *body);

/* Sends and wants it to be accepted. */
void send_body(struct end *end, size_t size, unsigned seed);
void send_number(struct end *end, unsigned number);
unsigned number_of(const struct message *message);

/* Sends everything back. */
void echo(struct end *end, const uint8_t *data, size_t size);

#endif
