/* The network's threads hand ended turns over, and do nothing else. */
#include <config.h>

#include "workers.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/dataset.h"
#include "selection.h"

enum { FIRST_REST_MS = 250, LONGEST_REST_MS = 30000 };

/* ---- on the network's threads ---- */

static void on_event(void *context, const struct participant_manager_event *event)
{
    struct workers *workers = context;
    if (event->kind != PARTICIPANT_MANAGER_JOINED && event->kind != PARTICIPANT_MANAGER_LEFT &&
        event->kind != PARTICIPANT_MANAGER_AWAY && event->kind != PARTICIPANT_MANAGER_BACK)
        return;
    pthread_mutex_lock(&workers->lock);
    workers->changed = true;
    pthread_cond_signal(&workers->moved);
    pthread_mutex_unlock(&workers->lock);
}

static void answered(void *context, struct proxy *proxy, enum muster_status status,
                     struct muster_message *answer)
{
    struct worker *worker = context;
    struct workers *workers = worker->all;
    struct muster_error reason;
    proxy_explain(proxy, status, answer, &reason);
    pthread_mutex_lock(&workers->lock);
    worker->status = status;
    worker->answer = *answer;
    worker->reason = reason;
    worker->next_arrived = NULL;
    *workers->last = worker;
    workers->last = &worker->next_arrived;
    pthread_cond_signal(&workers->moved);
    pthread_mutex_unlock(&workers->lock);
}

/* ---- who is there ---- */

enum muster_status workers_begin(struct workers *workers, struct participant_manager *manager,
                                 struct muster_error *error)
{
    *workers = (struct workers){.changed = true};
    workers->last = &workers->arrived;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->moved, NULL);
    return participant_manager_observe(manager, on_event, workers, &workers->observer, error);
}

static void forget(struct worker *worker)
{
    if (worker->proxy)
        proxy_release(worker->proxy);
    if (worker->next)
        proxy_release(worker->next);
    free(worker->name);
    free(worker);
}

/* Whether nothing is lost when it is forgotten. */
static bool is_gone(const struct worker *worker)
{
    return !worker->is_there && worker->work == IDLE && !worker->is_held;
}

static struct worker *add(struct workers *workers, const char *name)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    struct worker **more = realloc(workers->each, (workers->count + 1) * sizeof(*more));
    if (more)
        workers->each = more;
    if (!worker || !more || !(worker->name = strdup(name))) {
        free(worker);
        return NULL;
    }
    worker->all = workers;
    workers->each[workers->count++] = worker;
    return worker;
}

static int compare_workers(const void *a, const void *b)
{
    return strcmp((*(struct worker *const *)a)->name, (*(struct worker *const *)b)->name);
}

static struct worker *find(const struct workers *workers, size_t count, const char *name)
{
    struct worker wanted = {.name = (char *)(uintptr_t)name}, *key = &wanted;
    struct worker **found =
        count > 0 ? bsearch(&key, workers->each, count, sizeof(*workers->each), compare_workers) : NULL;
    return found ? *found : NULL;
}

/* Those who are there have a proxy; one in a turn keeps that of its turn until the end of it. */
static void note(struct worker *worker, struct proxy *proxy)
{
    struct proxy **place = worker->work == IDLE ? &worker->proxy : &worker->next;
    worker->is_there = true;
    if (worker->proxy == proxy || *place == proxy)
        return;
    if (*place)
        proxy_release(*place);
    *place = proxy_retain(proxy);
}

static void leave_out_the_gone(struct workers *workers)
{
    size_t kept = 0;
    for (size_t i = 0; i < workers->count; i++) {
        struct worker *worker = workers->each[i];
        if (is_gone(worker))
            forget(worker);
        else
            workers->each[kept++] = worker;
    }
    workers->count = kept;
}

static int compare_proxies(const void *a, const void *b)
{
    return strcmp(proxy_name(*(struct proxy *const *)a), proxy_name(*(struct proxy *const *)b));
}

bool workers_look(struct workers *workers, struct participant_manager *manager, const char *label)
{
    struct proxy **proxies;
    size_t count, known = workers->count;
    bool noted = true;
    if (participant_manager_get_participants(manager, 0, 0, &proxies, &count, NULL) != MUSTER_OK)
        return true; /* it stops, which is noticed elsewhere */
    qsort(proxies, count, sizeof(*proxies), compare_proxies);
    for (size_t i = 0; i < known; i++)
        workers->each[i]->is_there = false;
    for (size_t i = 0; noted && i < count; i++) {
        struct worker *worker = find(workers, known, proxy_name(proxies[i]));
        if (label && !selection_has_label(proxies[i], label))
            continue;
        if (!worker)
            worker = add(workers, proxy_name(proxies[i]));
        noted = worker;
        if (worker)
            note(worker, proxies[i]);
    }
    proxy_release_all(proxies, count);
    leave_out_the_gone(workers);
    qsort(workers->each, workers->count, sizeof(*workers->each), compare_workers);
    return noted;
}

size_t workers_present(const struct workers *workers)
{
    size_t present = 0;
    for (size_t i = 0; i < workers->count; i++)
        present += workers->each[i]->is_there;
    return present;
}

/* ---- turns ---- */

enum muster_status worker_run(struct worker *worker, enum work work, const struct muster_message *instruction,
                              int64_t timeout_ms, struct muster_error *error)
{
    enum muster_status status =
        proxy_run_async(worker->proxy, instruction, timeout_ms, answered, worker, error);
    if (status != MUSTER_OK)
        return status;
    worker->work = work;
    worker->all->running++;
    return MUSTER_OK;
}

struct worker *workers_take(struct workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    struct worker *worker = workers->arrived;
    if (worker && !(workers->arrived = worker->next_arrived))
        workers->last = &workers->arrived;
    pthread_mutex_unlock(&workers->lock);
    return worker;
}

void worker_done(struct worker *worker)
{
    muster_message_clear(&worker->answer);
    worker->work = IDLE;
    worker->all->running--;
    if (worker->next) {
        proxy_release(worker->proxy);
        worker->proxy = worker->next;
        worker->next = NULL;
    }
}

bool workers_wait(struct workers *workers, int64_t limit_ms)
{
    struct timespec until = clock_after(limit_ms);
    pthread_mutex_lock(&workers->lock);
    while (!workers->arrived && !workers->changed &&
           pthread_cond_clockwait(&workers->moved, &workers->lock, CLOCK_MONOTONIC, &until) == 0)
        ;
    bool changed = workers->changed;
    workers->changed = false;
    pthread_mutex_unlock(&workers->lock);
    return changed;
}

void worker_failed(struct worker *worker)
{
    int64_t rest = (int64_t)FIRST_REST_MS << (worker->failures < 16 ? worker->failures : 16);
    worker->not_before_ms = clock_ms() + (rest < LONGEST_REST_MS ? rest : LONGEST_REST_MS);
    worker->failures++;
}

void worker_succeeded(struct worker *worker)
{
    worker->failures = 0;
}

bool worker_is_free(const struct worker *worker)
{
    return worker->work == IDLE && worker->is_there && !worker->is_held &&
           worker->not_before_ms <= clock_ms();
}

bool workers_hold(struct workers *workers, const char *name, bool *was_held)
{
    struct worker *worker = find(workers, workers->count, name);
    if (!worker && (worker = add(workers, name)))
        qsort(workers->each, workers->count, sizeof(*workers->each), compare_workers);
    *was_held = worker && worker->is_held;
    if (worker)
        worker->is_held = true;
    return worker;
}

void workers_let_go(struct workers *workers)
{
    for (size_t i = 0; i < workers->count; i++)
        workers->each[i]->is_held = false;
}

void workers_end(struct workers *workers, struct participant_manager *manager)
{
    for (size_t i = 0; i < workers->count; i++) {
        if (workers->each[i]->work != IDLE)
            proxy_cancel(workers->each[i]->proxy);
    }
    while (workers->running > 0) {
        struct worker *worker = workers_take(workers);
        if (worker)
            worker_done(worker);
        else
            workers_wait(workers, 1000);
    }
    participant_manager_unobserve(manager, workers->observer);
    for (size_t i = 0; i < workers->count; i++)
        forget(workers->each[i]);
    free(workers->each);
    pthread_cond_destroy(&workers->moved);
    pthread_mutex_destroy(&workers->lock);
}
