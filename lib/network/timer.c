/* The clock; timers, a pairing heap; and waits that end by a timer. */
#include <config.h>

#include "network/timer.h"
#include "network/transport.h"

/* A wait of 34 years does not end, and with the time since the machine started it fits in any time_t. */
#define SECONDS_MAX (INT32_MAX / 2)

int64_t muster__clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct timespec muster__clock_at(int64_t at_ms)
{
    int64_t seconds = at_ms / 1000;
    return (struct timespec){.tv_sec = (time_t)(seconds < SECONDS_MAX ? seconds : SECONDS_MAX),
                             .tv_nsec = (long)(at_ms % 1000) * 1000000};
}

struct timespec muster__clock_after(int64_t limit_ms)
{
    struct timespec now, after = muster__clock_at(limit_ms);
    clock_gettime(CLOCK_MONOTONIC, &now);
    after.tv_nsec += now.tv_nsec;
    after.tv_sec += now.tv_sec + after.tv_nsec / 1000000000;
    after.tv_nsec %= 1000000000;
    return after;
}

void muster__timers_init(struct timers *timers)
{
    pthread_mutex_init(&timers->lock, NULL);
    timers->first = NULL;
    timers->armed_at = INT64_MAX;
}

void muster__timers_destroy(struct timers *timers)
{
    pthread_mutex_destroy(&timers->lock);
}

/* Joins two heaps; either may be NULL. Neither root has siblings. */
static struct timer *meld(struct timer *a, struct timer *b)
{
    if (!a || !b)
        return a ? a : b;
    if (b->at < a->at) {
        struct timer *swap = a;
        a = b;
        b = swap;
    }
    b->next = a->child;
    if (b->next)
        b->next->previous = b;
    b->previous = a;
    a->child = b;
    return a;
}

/* Joins a list of siblings into one heap: in pairs from the left, then the pairs from the right. */
static struct timer *meld_siblings(struct timer *list)
{
    struct timer *pairs = NULL;
    while (list) {
        struct timer *a = list;
        struct timer *b = a->next;
        list = b ? b->next : NULL;
        a->next = a->previous = NULL;
        if (b)
            b->next = b->previous = NULL;
        a = meld(a, b);
        a->next = pairs;
        pairs = a;
    }
    struct timer *heap = NULL;
    while (pairs) {
        struct timer *next = pairs->next;
        pairs->next = NULL;
        heap = meld(heap, pairs);
        pairs = next;
    }
    return heap;
}

static void heap_remove(struct timers *timers, struct timer *timer)
{
    struct timer *below = meld_siblings(timer->child);
    if (timers->first == timer) {
        timers->first = below;
    } else {
        if (timer->previous->child == timer)
            timer->previous->child = timer->next;
        else
            timer->previous->next = timer->next;
        if (timer->next)
            timer->next->previous = timer->previous;
        timers->first = meld(timers->first, below);
    }
    timer->child = timer->next = timer->previous = NULL;
    timer->started = false;
}

/* Lets the alarm ring for the earliest timer. An alarm that rings too early does no harm, so that removing
   timers, which nearly every turn does, never touches it. Called with timers->lock held. */
static void arm(struct muster_transport *transport)
{
    struct timers *timers = &transport->timers;
    if (timers->first && timers->first->at < timers->armed_at) {
        timers->armed_at = timers->first->at;
        transport->ops->set_alarm(transport, timers->armed_at);
    }
}

void muster__timer_start(struct muster_transport *transport, struct timer *timer, int64_t at,
                         void (*expired)(struct timer *timer))
{
    struct timers *timers = &transport->timers;
    pthread_mutex_lock(&timers->lock);
    timer->at = at;
    timer->expired = expired;
    timer->started = true;
    timer->child = timer->next = timer->previous = NULL;
    timers->first = meld(timers->first, timer);
    arm(transport);
    pthread_mutex_unlock(&timers->lock);
}

bool muster__timer_stop(struct muster_transport *transport, struct timer *timer)
{
    struct timers *timers = &transport->timers;
    pthread_mutex_lock(&timers->lock);
    bool stopped = timer->started;
    if (stopped)
        heap_remove(timers, timer);
    pthread_mutex_unlock(&timers->lock);
    return stopped;
}

void muster__timers_ring(struct muster_transport *transport)
{
    struct timers *timers = &transport->timers;
    int64_t now = transport->ops->now(transport);
    pthread_mutex_lock(&timers->lock);
    timers->armed_at = INT64_MAX;
    while (timers->first && timers->first->at <= now) {
        struct timer *timer = timers->first;
        void (*expired)(struct timer *) = timer->expired;
        heap_remove(timers, timer);
        pthread_mutex_unlock(&timers->lock);
        expired(timer);
        pthread_mutex_lock(&timers->lock);
    }
    arm(transport);
    pthread_mutex_unlock(&timers->lock);
}

static void waiter_expired(struct timer *timer)
{
    struct waiter *waiter = (struct waiter *)timer; /* its first member */
    pthread_mutex_t *lock = waiter->lock;           /* once unlocked, the waiter may be gone */
    pthread_mutex_lock(lock);
    waiter->expired = true;
    pthread_cond_broadcast(waiter->condition);
    pthread_mutex_unlock(lock);
}

void muster__waiter_begin(struct waiter *waiter, struct muster_transport *transport, pthread_mutex_t *lock,
                          pthread_cond_t *condition, int64_t limit_ms)
{
    *waiter = (struct waiter){.transport = transport,
                              .lock = lock,
                              .condition = condition,
                              .expired = limit_ms <= 0 && limit_ms != MUSTER_NO_LIMIT,
                              .limited = limit_ms > 0};
    if (waiter->limited)
        muster__timer_start(transport, &waiter->timer, muster__transport_after(transport, limit_ms),
                            waiter_expired);
}

void muster__waiter_sleep(struct waiter *waiter)
{
    pthread_cond_wait(waiter->condition, waiter->lock);
}

void muster__waiter_end(struct waiter *waiter)
{
    /* A timer that could not be stopped is on its way: it must have passed before the waiter leaves the
     * stack. */
    if (waiter->limited && !muster__timer_stop(waiter->transport, &waiter->timer)) {
        while (!waiter->expired)
            muster__waiter_sleep(waiter);
    }
}
