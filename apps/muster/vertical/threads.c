/* Members that are threads of the master's process. */
#include <config.h>

#include "threads.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "member.h"

/* The manager listens already, unless it was closed. */
enum { CONNECT_MS = 10000 };

struct worker {
    struct participant_manager *manager;
    struct member_options options;
    char name[32];
    struct member member;
    pthread_t thread;
    enum muster_status status;
    struct muster_error error;
};

struct threads {
    size_t count;
    struct worker workers[];
};

static void *work(void *context)
{
    struct worker *worker = context;
    worker->status = member_connect(&worker->member, &worker->error);
    if (worker->status == MUSTER_OK)
        worker->status = member_work(&worker->member, &worker->error);
    if (worker->status != MUSTER_OK)
        participant_manager_close(worker->manager);
    return NULL;
}

static enum muster_status start(struct worker *worker, const struct master_options *options, size_t number,
                                struct participant_manager *manager, struct muster_error *error)
{
    struct muster_error cause;
    snprintf(worker->name, sizeof(worker->name), "member-%zu", number);
    worker->manager = manager;
    worker->options.shared = options->shared;
    worker->options.shared.data.member = number;
    worker->options.shared.data.members = options->shared.members;
    worker->options.shared.rendezvous_ms = CONNECT_MS;
    worker->options.connect = options->listen;
    worker->options.name = worker->name;
    enum muster_status status = member_load(&worker->member, &worker->options, &cause);
    if (status != MUSTER_OK)
        return table_refuse(error, status, "%s: %s", worker->name, cause.text);
    if (pthread_create(&worker->thread, NULL, work, worker) == 0)
        return MUSTER_OK;
    member_close(&worker->member);
    return table_refuse(error, MUSTER_OUT_OF_MEMORY, "no thread for %s", worker->name);
}

enum muster_status threads_start(const struct master_options *options, struct participant_manager *manager,
                                 struct threads **threads, struct muster_error *error)
{
    size_t count = options->shared.members;
    struct muster_error ignored;
    enum muster_status status = MUSTER_OK;
    struct threads *made = calloc(1, sizeof(*made) + count * sizeof(*made->workers));
    *threads = made;
    if (!made)
        return table_out_of_memory(error);
    while (status == MUSTER_OK && made->count < count) {
        status = start(&made->workers[made->count], options, made->count, manager, error);
        made->count += status == MUSTER_OK;
    }
    if (status == MUSTER_OK)
        return MUSTER_OK;
    participant_manager_close(manager);
    threads_join(made, &ignored);
    *threads = NULL;
    return status;
}

enum muster_status threads_join(struct threads *threads, struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    for (size_t i = 0; threads && i < threads->count; i++) {
        struct worker *worker = &threads->workers[i];
        pthread_join(worker->thread, NULL);
        member_close(&worker->member);
        /* One that was told to stop is no cause. */
        if (status == MUSTER_OK && worker->status != MUSTER_OK && worker->status != MUSTER_STOPPED) {
            status = worker->status;
            table_refuse(error, status, "%s: %s", worker->name, worker->error.text);
        }
    }
    free(threads);
    return status;
}
