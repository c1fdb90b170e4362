/*
 * Observers. One that is being called stays in the list until the last such call has ended, so that whoever
 * walks the list finds its next one.
 */
#include <config.h>

#include <stdlib.h>

#include "callback.h"
#include "proxy/manager.h"
#include "status.h"

/* Guarded by observers->lock, but what is constant. */
struct participant_manager_observer {
    void (*on_event)(void *context,
                     const struct participant_manager_event *event); /* constant, as context is */
    void *context;
    size_t calls; /* that are running, and walks that stand here */
    bool gone;    /* it is not called any more, and freed with the last of them */
    struct participant_manager_observer *next;
};

void muster__observers_init(struct observers *observers)
{
    pthread_mutex_init(&observers->lock, NULL);
    pthread_cond_init(&observers->left, NULL);
}

void muster__observers_destroy(struct observers *observers)
{
    while (observers->first) {
        struct participant_manager_observer *next = observers->first->next;
        free(observers->first);
        observers->first = next;
    }
    pthread_cond_destroy(&observers->left);
    pthread_mutex_destroy(&observers->lock);
}

/* With the lock held. */
static void free_if_done(struct observers *observers, struct participant_manager_observer *observer)
{
    if (!observer->gone || observer->calls)
        return;
    struct participant_manager_observer **at = &observers->first;
    while (*at != observer)
        at = &(*at)->next;
    *at = observer->next;
    free(observer);
}

void muster__observers_tell(struct observers *observers, const struct participant_manager_event *event)
{
    if (!muster__observers_any(observers))
        return;
    pthread_mutex_lock(&observers->lock);
    struct participant_manager_observer *observer = observers->first;
    while (observer) {
        observer->calls++;
        if (!observer->gone) {
            pthread_mutex_unlock(&observers->lock);
            bool outer = muster__callback_begin();
            observer->on_event(observer->context, event);
            muster__callback_end(outer);
            pthread_mutex_lock(&observers->lock);
        }
        struct participant_manager_observer *next = observer->next;
        observer->calls--;
        if (observer->gone)
            pthread_cond_broadcast(&observers->left);
        free_if_done(observers, observer);
        observer = next;
    }
    pthread_mutex_unlock(&observers->lock);
}

enum muster_status participant_manager_observe(
    struct participant_manager *manager,
    void (*on_event)(void *context, const struct participant_manager_event *event), void *context,
    struct participant_manager_observer **result, struct muster_error *error)
{
    struct observers *observers = &manager->observers;
    struct participant_manager_observer *observer = malloc(sizeof(*observer));
    *result = observer;
    if (!observer)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    *observer = (struct participant_manager_observer){.on_event = on_event, .context = context};
    pthread_mutex_lock(&observers->lock);
    observer->next = observers->first;
    observers->first = observer;
    atomic_fetch_add(&observers->count, 1);
    pthread_mutex_unlock(&observers->lock);
    return MUSTER_OK;
}

void participant_manager_unobserve(struct participant_manager *manager,
                                   struct participant_manager_observer *observer)
{
    struct observers *observers = &manager->observers;
    if (!observer)
        return;
    pthread_mutex_lock(&observers->lock);
    atomic_fetch_sub(&observers->count, 1);
    observer->gone = true;
    if (!muster__in_callback()) {
        observer->calls++; /* it stays until this wait is over */
        while (observer->calls > 1)
            pthread_cond_wait(&observers->left, &observers->lock);
        observer->calls--;
    }
    free_if_done(observers, observer);
    pthread_mutex_unlock(&observers->lock);
}
