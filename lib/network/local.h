/*
 * The local transport: streams inside one process, with one of two clocks. Networks with the real one have a
 * thread that delivers what is said; there is one for the process, of addresses local:NAME. On others, which
 * the fixture makes, nothing happens by itself: their clock moves when it is told to, and they have faults.
 *
 * A file for each: networks and what happens in them (local.c), listeners (local_listener.c), streams
 * (local_stream.c). The fixture (fixture/fixture.c) sets the clock and the faults, under the lock.
 */
#ifndef MUSTER_NETWORK_LOCAL_H
#define MUSTER_NETWORK_LOCAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "network/transport.h"

/* What a fixture does to a network; of zeros, nothing. */
struct faults {
    int64_t delay;            /* of each message */
    size_t fail_send;         /* the n-th send from now finds the connection broken; 0: none */
    bool refuse;              /* new connections */
    bool lose;                /* messages, and nobody is told */
    const char *host;         /* that new connections come from */
    const char *const *part;  /* these hosts and all others do not reach each other; NULL: all do */
    const char *const *names; /* what streams show a server */
    const char *refusal;
};

enum event_kind { EVENT_OPENED, EVENT_MESSAGE, EVENT_SENT, EVENT_LEFT, EVENT_CLOSED, EVENT_STOPPED };

struct event {
    TAILQ_ENTRY(event) link;
    enum event_kind kind;
    int64_t due;
    bool queued;
    struct end *end;
    struct listener *listener;
};

TAILQ_HEAD(events, event);

/* A message on its way, with the memory of its pieces. */
struct letter {
    struct event event; /* its first member */
    struct buffer *body;
    size_t size;
    size_t count;
    struct piece pieces[];
};

struct end {
    struct stream base;
    struct connection *connection;
    struct end *peer;
    const struct stream_events *events;
    void *context;
    struct event closed;
    struct event sent;
    int64_t last_due; /* of the messages on their way to this end: the next may not overtake them */
    bool closing;     /* no more sends */
    bool over;        /* it is being told of its end: no more messages */
    bool deaf;        /* a message for it was lost: a stream has no gaps, so no more messages */
    enum muster_status status;
    char text[MUSTER_ERROR_TEXT_SIZE];
};

struct connection {
    LIST_ENTRY(connection) link;
    struct network *network;
    struct listener *listener;
    const struct service *service;
    const struct served *served; /* of the listener */
    const char *host;            /* of the client */
    size_t number;
    size_t max_message_size[2]; /* that the client, that the server receives */
    unsigned references;        /* each end's owner's, and one of each event on its way */
    struct event opened;
    struct event left;
    struct events waiting; /* for a listener: what the client said before there was one, in order */
    struct end client;
    struct end server;
    char address[];
};

struct listener {
    LIST_ENTRY(listener) link;
    struct network *network;
    size_t max_message_size;
    const struct listener_events *events;
    void *context;
    struct event stopped;
    size_t streams;
    bool closed;
    char address[];
};

struct network {
    struct muster_transport base;
    bool by_hand;         /* its clock moves when it is told to */
    pthread_mutex_t lock; /* guards all below, and all of listeners, connections and ends */
    pthread_cond_t changed;
    struct events events; /* in the order of delivery */
    LIST_HEAD(, listener) listeners;
    LIST_HEAD(, connection) connections;
    size_t connected;
    int64_t time; /* by hand */
    int64_t alarm_at;
    bool stopped;
    struct faults faults;
};

/* ---- local.c ---- */

void muster__local_init(struct network *network, bool by_hand);

/* Everything that used it must be freed; what is undelivered is dropped. */
void muster__local_destroy(struct network *network);

/* Delivers the earliest event that is due, on this thread. False: none is. */
bool muster__local_step(struct network *network);

/* Delivers events as they fall due, until muster__local_stop(), one call of which ends one run. */
void muster__local_run(struct network *network);
void muster__local_stop(struct network *network);

/* With the lock held, where the clock moves by hand. */
int64_t muster__local_now(const struct network *network);

/* What follows: with the lock held. Puts an event on its way, unless it is. */
void muster__local_enqueue(struct network *network, struct event *event, int64_t due);

/* Whatever is on its way to an end arrives no sooner than this, and what follows not before it. */
void muster__local_put_off(struct end *end, int64_t due);

/* ---- local_listener.c ---- */

/* Brings a connection that waits together with its listener, if there is one by now. */
void muster__local_match(struct network *network, struct connection *connection);

/* One stream less, after its end. */
void muster__local_left(struct listener *listener);

transport_listen muster__local_listen;
void muster__local_close_listener(struct listener *listener);
void muster__local_cut_listener(struct listener *listener);
void muster__local_free_listener(struct listener *listener);
void muster__local_listener_address(struct listener *listener, char *text, size_t size);

/* ---- local_stream.c ---- */

transport_connect muster__local_connect;

/* Whether its ends are in different parts of the network. With the lock held, as all that follows. */
bool muster__local_is_parted(const struct connection *connection);

/* Frees it with its last reference. */
void muster__local_unreference(struct connection *connection);

/* Frees a message; other events are part of their connection or listener. */
void muster__local_drop(struct event *event);

/* A message to an end, or that its peer left: after all that is on its way there. */
void muster__local_enqueue_to(struct end *end, struct event *event, int64_t due);

/* Tells one end, once, that the stream is over, after what is on its way to it; and both. */
void muster__local_finish(struct end *end, enum muster_status status, const char *text, int64_t due);
void muster__local_break(struct connection *connection, enum muster_status client_status, const char *text);

#endif
