/* Observers: any number of functions that are told the events of a manager. */
#ifndef MUSTER_PROXY_OBSERVERS_H
#define MUSTER_PROXY_OBSERVERS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <muster/participant_manager.h>

struct observers {
    atomic_size_t count;  /* to be looked at without the lock */
    pthread_mutex_t lock; /* a leaf; guards all below */
    pthread_cond_t left;  /* a call of one that is to go has ended */
    struct participant_manager_observer *first;
};

/* Of memory that was zero. */
void muster__observers_init(struct observers *observers);
void muster__observers_destroy(struct observers *observers);

/* Whether there are any. */
static inline bool muster__observers_any(struct observers *observers)
{
    return atomic_load_explicit(&observers->count, memory_order_acquire) > 0;
}

/* Tells all of them, without a lock held. */
void muster__observers_tell(struct observers *observers, const struct participant_manager_event *event);

#endif
