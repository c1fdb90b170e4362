/* Timers of a transport: a pairing heap over intrusive nodes, so that starting one allocates nothing and
   cannot fail, and one alarm of the transport for the earliest. */
#ifndef MUSTER_NETWORK_TIMER_H
#define MUSTER_NETWORK_TIMER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct muster_transport;

/* The system's clock, CLOCK_MONOTONIC: now, in milliseconds; and, to wait until, that time and `limit_ms` from now.
   What lies further ahead than a time_t of 32 bits reaches is in 34 years. */
int64_t muster__clock_now(void);
struct timespec muster__clock_at(int64_t at_ms);
struct timespec muster__clock_after(int64_t limit_ms);

/* Zero-initialised is idle. The owner keeps it in place while it is started and until its callback has
   run. */
struct timer {
    int64_t at; /* milliseconds on the transport's clock */
    void (*expired)(struct timer *timer);
    bool started; /* this and the links: guarded by timers.lock */
    struct timer *child;
    struct timer *next;     /* sibling */
    struct timer *previous; /* sibling before this one, or the parent of the first */
};

struct timers {
    pthread_mutex_t lock; /* a leaf but for the transport's own alarm lock: nothing else is taken under it */
    struct timer *first;  /* guarded by lock, like armed_at */
    int64_t armed_at;     /* when the transport's alarm will ring; INT64_MAX: never */
};

void muster__timers_init(struct timers *timers);
void muster__timers_destroy(struct timers *timers);

/* Starts an idle timer: `expired` will be called once, on a network thread without a lock held, at or after
 * `at`. */
void muster__timer_start(struct muster_transport *transport, struct timer *timer, int64_t at,
                         void (*expired)(struct timer *timer));

/* True: it was stopped and `expired` will not be called. False: it was idle, or `expired` has been or is
   about to be called. */
bool muster__timer_stop(struct muster_transport *transport, struct timer *timer);

/* For transports: calls what is due, and sets the alarm again. On a network thread, without a lock held. */
void muster__timers_ring(struct muster_transport *transport);

/*
 * A wait with a limit, for one thread that holds `lock`: begin, then sleep until what is waited for or
 * `expired` holds, then end. Wake it by signalling `condition` under the lock. A limit of 0 has expired at
 * once.
 */
struct waiter {
    struct timer timer;
    struct muster_transport *transport;
    pthread_mutex_t *lock;
    pthread_cond_t *condition;
    bool expired; /* guarded by *lock */
    bool limited;
};

void muster__waiter_begin(struct waiter *waiter, struct muster_transport *transport, pthread_mutex_t *lock,
                          pthread_cond_t *condition, int64_t limit_ms);
void muster__waiter_sleep(struct waiter *waiter);
void muster__waiter_end(struct waiter *waiter);

#endif
