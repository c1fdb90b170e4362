/* What a stop waits for. */
#include <config.h>

#include "proxy/drain.h"

/* Of `pending`: that it is closed and how much is pending change as one. */
#define CLOSED ((size_t)1)
#define ONE    ((size_t)2)

void muster__drain_init(struct drain *drain)
{
    atomic_init(&drain->pending, 0);
    pthread_mutex_init(&drain->lock, NULL);
    pthread_cond_init(&drain->changed, NULL);
    drain->stopped = false;
}

void muster__drain_destroy(struct drain *drain)
{
    pthread_cond_destroy(&drain->changed);
    pthread_mutex_destroy(&drain->lock);
}

void muster__drain_add(struct drain *drain)
{
    atomic_fetch_add(&drain->pending, ONE);
}

bool muster__drain_enter(struct drain *drain)
{
    if (!(atomic_fetch_add(&drain->pending, ONE) & CLOSED))
        return true;
    muster__drain_done(drain);
    return false;
}

void muster__drain_done(struct drain *drain)
{
    size_t pending = atomic_load(&drain->pending);
    while (!(pending & CLOSED)) {
        if (atomic_compare_exchange_weak(&drain->pending, &pending, pending - ONE))
            return;
    }
    /* Counted under the lock: who waits for the last one frees the drain as soon as it has the lock. */
    pthread_mutex_lock(&drain->lock);
    if (atomic_fetch_sub(&drain->pending, ONE) == (CLOSED | ONE))
        pthread_cond_broadcast(&drain->changed);
    pthread_mutex_unlock(&drain->lock);
}

bool muster__drain_close(struct drain *drain)
{
    return !(atomic_fetch_or(&drain->pending, CLOSED) & CLOSED);
}

bool muster__drain_is_closed(struct drain *drain)
{
    return atomic_load(&drain->pending) & CLOSED;
}

void muster__drain_stopped(struct drain *drain)
{
    pthread_mutex_lock(&drain->lock);
    drain->stopped = true;
    pthread_cond_broadcast(&drain->changed);
    pthread_mutex_unlock(&drain->lock);
}

bool muster__drain_wait_stopped(struct drain *drain, struct muster_transport *transport, int64_t limit_ms)
{
    struct waiter waiter;
    pthread_mutex_lock(&drain->lock);
    if (!drain->stopped) {
        muster__waiter_begin(&waiter, transport, &drain->lock, &drain->changed, limit_ms);
        while (!drain->stopped && !waiter.expired)
            muster__waiter_sleep(&waiter);
        muster__waiter_end(&waiter);
    }
    bool stopped = drain->stopped;
    pthread_mutex_unlock(&drain->lock);
    return stopped;
}

void muster__drain_wait(struct drain *drain)
{
    pthread_mutex_lock(&drain->lock);
    while (!drain->stopped || atomic_load(&drain->pending) != CLOSED)
        pthread_cond_wait(&drain->changed, &drain->lock);
    pthread_mutex_unlock(&drain->lock);
}
