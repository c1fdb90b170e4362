/*
 * The participant from inside. Calls go one way: from participant.c and dispatch.c, which the user calls, to
 * session.c, and from all of them to turn.c. session.c asks return.c, wait.c and warning.c. Who writes what stands
 * beside the structs.
 *
 * One lock, participant->lock, guards all that changes. Under it the transport's stream functions and the
 * timers are called, which take their own locks and call nothing back. No user code runs under it.
 */
#ifndef MUSTER_PARTICIPANT_INTERNAL_H
#define MUSTER_PARTICIPANT_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include <muster/participant.h>

#include "participant/heartbeat.h"
#include "participant/session.h"
#include "participant/turn.h"

struct participant {
    atomic_size_t references;           /* the user's, and one of each timer that runs */
    struct participant_options options; /* without its strings, which are in `hello` */
    char *address;
    struct buffer *hello; /* packed: name, labels, limits */
    struct credentials *credentials;
    struct connection_options connection;
    struct muster_transport *transport;

    pthread_mutex_t lock; /* guards all below; given back by muster__participant_unlock() */
    pthread_cond_t changed;
    struct stream
        *tended; /* by a thread that waits to consume; it may be older than the session's; NULL: none */
    struct session session;
    struct turns turns;
    struct heartbeat heartbeat;
    struct muster_traffic traffic;
};

/* Gives back a reference; the last one frees. Without the lock. */
void muster__participant_release(struct participant *participant);

/* Wakes who waits for something to consume; with the lock held. */
static inline void muster__participant_wake(struct participant *participant)
{
    muster__tend_rouse(participant->tended);
    pthread_cond_broadcast(&participant->changed);
}

/* Gives the lock back, and frees what was dropped under it. */
static inline void muster__participant_unlock(struct participant *participant)
{
    muster__turns_unlock(&participant->turns, &participant->lock);
}

#endif
