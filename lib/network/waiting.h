/* Calls whose token is not looked at yet, as too many wrong ones came from where they do. */
#ifndef MUSTER_NETWORK_WAITING_H
#define MUSTER_NETWORK_WAITING_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "network/guesses.h"
#include "network/holders.h"
#include "network/timer.h"
#include "network/transport.h"

struct waiting_call;

/* What becomes of a call that waits, once: then it is the transport's again. The room's lock is not held. */
struct waiting_ops {
    void (*admit)(struct waiting_call *call); /* its token may be looked at */
    void (*refuse)(struct waiting_call *call, int code,
                   const char *text); /* it ends so, with a code of code.h */
};

/* In a transport's call. It stays in place while it waits, even if its peer is gone. */
struct waiting_call {
    const struct waiting_ops *ops;
    const char *peer;     /* as muster__split_peer() reads it */
    struct source source; /* of the room, as is the next */
    STAILQ_ENTRY(waiting_call) link;
};

STAILQ_HEAD(waiting_calls, waiting_call);

struct waiting_room {
    struct muster_transport *transport;
    struct credentials *credentials; /* of the listener */
    struct holders *holders;         /* of the listener: each call that waits is one */
    pthread_mutex_t lock;            /* guards all below; timers.lock is taken under it */
    struct guesses guesses;
    struct waiting_calls calls;
    size_t count;
    bool sweeping; /* a thread has them all in its hands */
    bool closed;
    bool timed; /* the timer runs, and holds the listener */
    struct timer timer;
    int64_t warned_at; /* 0: never */
};

void muster__waiting_init(struct waiting_room *room, struct muster_transport *transport,
                          struct credentials *credentials, struct holders *holders);
/* After the listener has stopped. */
void muster__waiting_destroy(struct waiting_room *room);

/* Whether the credentials of a call from `peer` may be looked at now: it shows no token, or may guess. */
bool muster__waiting_passes(struct waiting_room *room, const char *peer, bool shows_token);

/* The token of a call from there was looked at, and is wrong. */
void muster__waiting_wrong(struct waiting_room *room, const char *peer);

/* Takes over a call that may not pass yet; or refuses it, if too many of its connection, of its source, or in
   all are waiting. */
void muster__waiting_add(struct waiting_room *room, struct waiting_call *call);

/* The server stops: refuses all that wait. Does not block. */
void muster__waiting_close(struct waiting_room *room);

#endif
