/* What happens on all streams of the program, in one queue: the network's threads put it in, the main thread
 * takes it out and judges it. Nothing is lost or put right on the way: these are the messages as they came. */
#ifndef INBOX_H
#define INBOX_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "network/transport.h"

enum event_kind {
    EVENT_OPENED,  /* a participant has opened a stream */
    EVENT_MESSAGE, /* it said something */
    EVENT_ENDED,   /* the stream is over */
    EVENT_CHILD,   /* the program that we started has ended */
};

/* One end of a stream. It belongs to the inbox. One that a participant has opened is freed when an event is taken
 * out after its end, and so is not kept: there may be any number. Others stay until inbox_free(). */
struct line {
    struct inbox *inbox;
    struct stream *stream;
    uint64_t number; /* counted from 1 */
    bool accepted;   /* constant: a participant has opened it */
    bool ended;      /* the main thread's: EVENT_ENDED was taken out */
    bool closing;    /* the main thread's: we have ended our side */
    LIST_ENTRY(line) link;
};

struct event {
    enum event_kind kind;
    struct line *line; /* NULL: of the child */
    int64_t at;        /* by the transport's clock, in ms */
    enum muster_status status;
    char text[MUSTER_ERROR_TEXT_SIZE]; /* of an end */
    STAILQ_ENTRY(event) link;
    size_t size;
    uint8_t bytes[];
};

struct inbox {
    struct muster_transport *transport; /* a reference */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct line *over;           /* the main thread's: the one whose end was taken out last */
    STAILQ_HEAD(, event) events; /* guarded by lock, like all below */
    size_t held;                 /* bytes of events in there */
    uint64_t lines_opened;
    size_t line_count;
    bool stopped; /* the listener */
    LIST_HEAD(, line) lines;
};

/* False when out of memory. Takes over the reference to the transport. */
bool inbox_init(struct inbox *inbox, struct muster_transport *transport);

/* Cuts what is left, waits until all streams have ended, 10 s at most, and frees what is in there. False: one has
 * not ended, and everything stays as it is. */
bool inbox_free(struct inbox *inbox);

/* Waits until a listener that was closed has stopped, 10 s at most. */
bool inbox_await_stopped(struct inbox *inbox);

/* For a listener whose context is the inbox. */
void *inbox_accepted(void *context, struct stream *stream, const struct stream_events **events);
void inbox_stopped(void *context);

/* Opens a stream to a server; NULL with *error. */
struct line *inbox_connect(struct inbox *inbox, const char *address, const struct service *service,
                           size_t max_message_size, const struct connection_options *options,
                           struct muster_error *error);

/* Any thread: the child has ended, and how. */
void inbox_child_ended(struct inbox *inbox, const char *text);

/* The next event, which is the caller's to free with free(); NULL when the time is over: milliseconds by the
 * transport's clock. What came later is left for the next wait: a peer that never stops does not hold us up. */
struct event *inbox_take(struct inbox *inbox, int64_t until);

int64_t inbox_now(struct inbox *inbox);

#endif
