/* Calls whose token is not looked at yet, as too many wrong ones came from where they do. */
#ifndef MUSTER_NETWORK_GRPC_WAITING_H
#define MUSTER_NETWORK_GRPC_WAITING_H

#include "network/grpc.h"
#include "network/guesses.h"

STAILQ_HEAD(waiting_calls, waiting_call);

struct waiting_room {
    struct grpc_listener *listener;
    pthread_mutex_t lock; /* guards all below; the listener's and timers.lock are taken under it */
    struct guesses guesses;
    struct waiting_calls calls;
    size_t count;
    bool sweeping; /* a thread has them all in its hands */
    bool closed;
    bool timed; /* the timer runs, and holds the listener */
    struct timer timer;
    int64_t warned_at; /* 0: never */
};

void muster__grpc_waiting_init(struct waiting_room *room, struct grpc_listener *listener);
/* After the listener has stopped. */
void muster__grpc_waiting_destroy(struct waiting_room *room);

/* Whether the call's credentials may be looked at now: it shows no token, or may guess. */
bool muster__grpc_waiting_passes(struct waiting_room *room, grpc_call *call,
                                 const grpc_metadata_array *metadata);

/* The call's token was looked at, and is wrong. */
void muster__grpc_waiting_wrong(struct waiting_room *room, grpc_call *call);

/*
 * Takes over a call that may not pass yet, with its metadata, until muster__grpc_admit() gets it; or refuses
 * it, if too many of its connection, of its source, or in all are waiting.
 */
void muster__grpc_waiting_add(struct waiting_room *room, grpc_call *call, const struct served *served,
                              grpc_metadata_array *metadata);

/* The server stops: refuses all that wait. Does not block. */
void muster__grpc_waiting_close(struct waiting_room *room);

#endif
