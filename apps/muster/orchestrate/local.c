/* Each worker is a process of common/child.h, one after the other under the same name. */
#include <config.h>

#include "local.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/child.h"
#include "common/dataset.h"
#include "common/log.h"
#include "outputs.h"

enum { NAME_SIZE = 32, FIRST_REST_MS = 500, LONGEST_REST_MS = 30000, KILL_MS = 5000, LOOK_MS = 200 };

extern char **environ;

struct process {
    char name[NAME_SIZE];
    size_t restarts;
    bool given_up;
    int64_t due;    /* when it is to be started; of one that does not run */
    int64_t end_by; /* then it is killed; 0: never */
    /* Guarded by the lock, and written by one thread but for the end. */
    bool runs;
    size_t number; /* in the set of children */
    bool ended;
    int status;
};

struct local {
    struct local_options options;
    struct children *children;
    struct outputs *outputs;
    atomic_bool hurries;
    size_t starts;        /* so far */
    pthread_mutex_t lock; /* held during on_change() */
    bool stuck;           /* one cannot be killed: nobody is told of it any more; guarded by the lock */
    struct process *processes;
    char text[MUSTER_ERROR_TEXT_SIZE]; /* how the last one ended that was given up */
};

/* On the thread of the children. */
static void note_end(void *context, size_t number, int status)
{
    struct local *local = context;
    pthread_mutex_lock(&local->lock);
    for (size_t i = 0; i < local->options.count; i++) {
        if (local->processes[i].runs && local->processes[i].number == number) {
            local->processes[i].ended = true;
            local->processes[i].status = status;
        }
    }
    if (!local->stuck)
        local->options.on_change(local->options.context);
    pthread_mutex_unlock(&local->lock);
}

enum muster_status local_new(const struct local_options *options, struct local **made,
                             struct muster_error *error)
{
    struct local *local = calloc(1, sizeof(*local));
    *made = local;
    if (!local)
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    local->options = *options;
    pthread_mutex_init(&local->lock, NULL);
    local->processes = calloc(options->count, sizeof(*local->processes));
    for (size_t i = 0; local->processes && i < options->count; i++)
        snprintf(local->processes[i].name, NAME_SIZE, "worker-%zu", i);
    local->outputs = local->processes ? outputs_new() : NULL;
    local->children = local->outputs ? children_new(note_end, local) : NULL;
    if (local->children)
        return MUSTER_OK;
    local_free(local);
    *made = NULL;
    return explain(error, MUSTER_OUT_OF_MEMORY, "no workers: out of memory, threads or descriptors");
}

/* The environment of this process with two more; to be freed, but not what is in it. */
static const char **make_environment(const char *server, const char *name)
{
    size_t count = 0, used = 0;
    while (environ[count])
        count++;
    const char **made = calloc(count + 3, sizeof(*made));
    for (size_t i = 0; made && i < count; i++) {
        if (strncmp(environ[i], "MUSTER_SERVER=", 14) != 0 && strncmp(environ[i], "MUSTER_NAME=", 12) != 0)
            made[used++] = environ[i];
    }
    if (made) {
        made[used++] = server;
        made[used] = name;
    }
    return made;
}

static enum muster_status start(struct local *local, struct process *process, struct muster_error *error)
{
    char server[320], name[NAME_SIZE + 16];
    struct child_command command = CHILD_COMMAND_INIT;
    snprintf(server, sizeof(server), "MUSTER_SERVER=%s", local->options.address);
    snprintf(name, sizeof(name), "MUSTER_NAME=%s", process->name);
    const char **environment = make_environment(server, name);
    command.arguments = local->options.command;
    command.environment = environment;
    command.output = environment ? outputs_open(local->outputs, process->name) : -1;
    if (command.output < 0) {
        free(environment);
        return explain(error, MUSTER_IO, "the output of %s: %s", process->name, strerror(errno));
    }
    /* It may end before this thread is told its number, which is that of all starts. */
    pthread_mutex_lock(&local->lock);
    process->number = local->starts;
    process->runs = true;
    process->ended = false;
    pthread_mutex_unlock(&local->lock);
    size_t number;
    enum muster_status status = children_start(local->children, &command, &number, error);
    pthread_mutex_lock(&local->lock);
    process->runs = status == MUSTER_OK;
    pthread_mutex_unlock(&local->lock);
    local->starts += status == MUSTER_OK;
    process->end_by = 0;
    close(command.output);
    free(environment);
    return status;
}

/* It is started again after a while, or given up. */
static void take_end(struct local *local, struct process *process, int status, int64_t now)
{
    char how[CHILD_TEXT_SIZE];
    bool again = process->restarts < local->options.restarts;
    int64_t rest = (int64_t)FIRST_REST_MS << (process->restarts < 16 ? process->restarts : 16);
    child_describe(status, how);
    log_write(LOG_WARNING, "%s %s%s", process->name, how, again ? ", and is started again" : "");
    process->given_up = !again;
    process->restarts += again;
    process->due = now + (process->restarts <= 1 ? 0 : rest < LONGEST_REST_MS ? rest : LONGEST_REST_MS);
    if (!again)
        snprintf(local->text, sizeof(local->text), "%s %s, after %zu restarts (--restarts)", process->name,
                 how, process->restarts);
}

enum muster_status local_look(struct local *local, int64_t now,
                              bool (*is_there)(void *context, const char *name), void *context, size_t *left,
                              char *text, size_t size, struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    *left = 0;
    for (size_t i = 0; i < local->options.count; i++) {
        struct process *process = &local->processes[i];
        pthread_mutex_lock(&local->lock);
        bool ended = process->runs && process->ended;
        process->runs = process->runs && !ended;
        int how = process->status;
        pthread_mutex_unlock(&local->lock);
        if (ended)
            take_end(local, process, how, now);
        if (!process->runs && !process->given_up && now >= process->due && status == MUSTER_OK &&
            !is_there(context, process->name))
            status = start(local, process, error);
        if (process->runs && process->end_by > 0 && now >= process->end_by)
            children_signal(local->children, process->number, SIGKILL);
        *left += !process->given_up;
    }
    snprintf(text, size, "%s", local->text);
    return status;
}

void local_expect_end(struct local *local, const char *name, int64_t now, int64_t within_ms)
{
    for (size_t i = 0; local && i < local->options.count; i++) {
        if (strcmp(local->processes[i].name, name) == 0 && local->processes[i].runs)
            local->processes[i].end_by = now + within_ms;
    }
}

void local_hurry(struct local *local)
{
    if (!local)
        return;
    atomic_store(&local->hurries, true);
    children_hurry(local->children);
}

void local_end(struct local *local, int64_t within_ms)
{
    int64_t waited = 0;
    if (!local)
        return;
    while (waited < within_ms && !atomic_load(&local->hurries) && !children_await(local->children, LOOK_MS))
        waited += LOOK_MS;
    bool ended = children_end(local->children, KILL_MS);
    pthread_mutex_lock(&local->lock);
    local->stuck = !ended;
    pthread_mutex_unlock(&local->lock);
}

void local_free(struct local *local)
{
    if (!local || local->stuck)
        return; /* one that cannot be killed is still watched */
    children_free(local->children);
    outputs_free(local->outputs);
    pthread_mutex_destroy(&local->lock);
    free(local->processes);
    free(local);
}
