/*
 * What a stop waits for: no stream is left, and nothing is pending. Pending are turns that have begun and
 * whose end has not been told yet, timers that run or have just expired, calls that use the transport, and the
 * close itself.
 *
 * Any thread, under any lock: the drain's own is a leaf, and nothing but a stop takes it before the close.
 * The manager is not freed while something is pending; after the last muster__drain_done() it may be gone.
 */
#ifndef MUSTER_PROXY_DRAIN_H
#define MUSTER_PROXY_DRAIN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "network/transport.h"

struct drain {
    char apart[64]; /* what lies beside it is read in every turn, and this is written, by several threads */
    atomic_size_t pending; /* in twos; odd: it is closed */
    char apart_behind[64];
    pthread_mutex_t lock;
    pthread_cond_t changed; /* nothing is pending, or no stream is left */
    bool stopped;           /* no stream is left and none will come; guarded by lock */
};

void muster__drain_init(struct drain *drain);
void muster__drain_destroy(struct drain *drain);

/* One more is pending, until muster__drain_done(). Closed or not: for what ends by itself soon after the
   close. */
void muster__drain_add(struct drain *drain);
/* The same, unless it is closed: false. */
bool muster__drain_enter(struct drain *drain);
void muster__drain_done(struct drain *drain);

/* True: it was not closed before. */
bool muster__drain_close(struct drain *drain);
bool muster__drain_is_closed(struct drain *drain);

/* The listener has told that no stream is left. */
void muster__drain_stopped(struct drain *drain);

/* After the close: waits until no stream is left, for so long at most; false: some are left. */
bool muster__drain_wait_stopped(struct drain *drain, struct muster_transport *transport, int64_t limit_ms);

/* After the close: waits until no stream is left and nothing is pending. The caller sees to it that streams
   end; all else that is pending ends with them. */
void muster__drain_wait(struct drain *drain);

#endif
