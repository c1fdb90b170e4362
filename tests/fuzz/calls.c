/* Calls on threads of their own, of which one runs at a time. They wait here, in the place of the C library. */
#include <config.h>

#include <pthread.h>
#include <semaphore.h>

#include "fuzz/calls.h"
#include "fuzz/fuzz.h"

enum { CALLS_MAX = 8 };

struct slot {
    struct call call;
    pthread_t thread;
    sem_t go;
    pthread_cond_t *condition; /* that it waits for; NULL: it runs, or may */
    bool done;
};

static struct slot slots[CALLS_MAX];
static sem_t back; /* the call that ran waits, or is done */
static _Thread_local struct slot *own;

int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *lock);
int __wrap_pthread_cond_broadcast(pthread_cond_t *condition);
int __wrap_pthread_cond_signal(pthread_cond_t *condition);

static void sleep_until(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        ;
}

int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *lock)
{
    CHECK(own); /* what is not a call does not wait */
    call_waits(&own->call);
    own->condition = condition;
    pthread_mutex_unlock(lock);
    sem_post(&back);
    sleep_until(&own->go);
    pthread_mutex_lock(lock);
    return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *condition)
{
    for (size_t i = 0; i < CALLS_MAX; i++) {
        if (slots[i].condition == condition)
            slots[i].condition = NULL;
    }
    return 0;
}

int __wrap_pthread_cond_signal(pthread_cond_t *condition)
{
    return __wrap_pthread_cond_broadcast(condition);
}

static void *run(void *context)
{
    own = context;
    own->call.function(&own->call);
    own->done = true;
    sem_post(&back);
    return NULL;
}

/* Until it waits again. */
static void sleep_while_it_runs(struct slot *slot)
{
    sleep_until(&back);
    if (!slot->done)
        return;
    pthread_join(slot->thread, NULL);
    sem_destroy(&slot->go);
    slot->call.function = NULL;
    if (!calls_left())
        sem_destroy(&back);
}

void calls_start(call_function *function, uint32_t rank, uint32_t peer, uint8_t how)
{
    struct slot *slot = slots;
    while (slot < slots + CALLS_MAX && slot->call.function)
        slot++;
    if (slot == slots + CALLS_MAX)
        return;
    if (!calls_left())
        sem_init(&back, 0, 0);
    *slot = (struct slot){.call = {function, rank, peer, how, .deadline = INT64_MAX}};
    sem_init(&slot->go, 0, 0);
    CHECK(pthread_create(&slot->thread, NULL, run, slot) == 0);
    sleep_while_it_runs(slot);
}

bool calls_go_on(unsigned paused)
{
    for (size_t i = 0; i < CALLS_MAX; i++) {
        struct slot *slot = &slots[i];
        if (!slot->call.function || slot->condition || (paused >> slot->call.rank & 1))
            continue;
        sem_post(&slot->go);
        sleep_while_it_runs(slot);
        return true;
    }
    return false;
}

bool calls_left(void)
{
    size_t i = 0;
    while (i < CALLS_MAX && !slots[i].call.function)
        i++;
    return i < CALLS_MAX;
}
