/* Participants as processes: each is this program, as `muster demo --participant=K`. */
#include <config.h>

#include "launch.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/child.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/port.h"
#include "common/signals.h"

/* This program, also when its file has been replaced since. */
#define PROGRAM "/proc/self/exe"

enum { WORDS_MAX = 20, WORD_SIZE = 40, ADDRESS_SIZE = 300, GOOD_BYE_SECONDS = 5, END_MS = 5000 };

struct launch {
    struct children *children;
    int *logs; /* a descriptor for each that was started */
    size_t count;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    /* Guarded by the lock. */
    size_t needed; /* as long as one of so many is left, or ended well, the training goes on; 0: somebody else
                      may come */
    size_t started; /* 0 until all are */
    size_t gone;
    bool some_well;
    bool ending; /* how they end is of no interest any more */
};

/* The run is of no use any more. The lock is held. */
static void stop_if_all_failed(const struct launch *launch)
{
    bool needed = launch->needed > 0 && !launch->ending && signals_caught() == 0;
    if (needed && launch->gone == launch->needed && !launch->some_well)
        kill(getpid(), SIGTERM);
}

static void tell_of(void *context, size_t number, int status)
{
    struct launch *launch = context;
    char how[CHILD_TEXT_SIZE], line[MUSTER_ERROR_TEXT_SIZE];
    pthread_mutex_lock(&launch->lock);
    bool ending = launch->ending || signals_caught() != 0;
    pthread_mutex_unlock(&launch->lock);
    if (status != 0 && !ending) {
        child_describe(status, how);
        child_last_line(launch->logs[number], line, sizeof(line));
        bool said = WIFEXITED(status) && *line != '\0';
        log_write(LOG_WARNING, "the participant of user %zu %s%s%s", number, how, said ? ": " : "",
                  said ? line : "");
    }
    pthread_mutex_lock(&launch->lock);
    launch->gone++;
    launch->some_well = launch->some_well || status == 0;
    stop_if_all_failed(launch);
    pthread_cond_signal(&launch->ended);
    pthread_mutex_unlock(&launch->lock);
}

static int open_log(const struct launch_options *options, size_t user)
{
    char *path = NULL;
    if (options->logs && asprintf(&path, "%s/participant-%02zu.log", options->logs, user) < 0)
        return -1;
    int file = child_open_log(path);
    free(path);
    return file;
}

/* Puts a number into words. */
static const char *number(char text[WORD_SIZE], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static const char *number(char text[WORD_SIZE], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, WORD_SIZE, format, arguments);
    va_end(arguments);
    return text;
}

static enum muster_status start_one(struct launch *launch, const struct launch_options *options,
                                    const char *address, struct muster_error *error)
{
    const struct dataset_options *data = options->data;
    char user[WORD_SIZE], seed[WORD_SIZE], dirichlet[WORD_SIZE], participants[WORD_SIZE], noise[WORD_SIZE];
    const char *words[WORDS_MAX] = {
        "muster",        "demo",
        "--participant", number(user, "%zu", launch->count),
        "--connect",     address,
        "--data",        data->spec,
        "--seed",        number(seed, "%llu", (unsigned long long)data->seed),
        "--dirichlet",   number(dirichlet, "%.17g", data->dirichlet),
    };
    size_t count = 12;
    if (data->participants > 0) {
        words[count++] = "--participants";
        words[count++] = number(participants, "%zu", data->participants);
    }
    if (options->token_file) {
        words[count++] = "--token-file";
        words[count++] = options->token_file;
    }
    if (launch->count >= options->count - options->attackers) {
        words[count++] = "--noise";
        words[count++] = number(noise, "%.17g", options->noise);
    }
    struct child_command command = CHILD_COMMAND_INIT;
    size_t index;
    command.program = PROGRAM;
    command.arguments = words;
    command.output = open_log(options, launch->count);
    if (command.output < 0)
        return explain(error, MUSTER_IO, "a log of the participant of user %zu: %s", launch->count,
                       strerror(errno));
    launch->logs[launch->count++] = command.output;
    return children_start(launch->children, &command, &index, error);
}

static struct launch *make(size_t count)
{
    struct launch *launch = calloc(1, sizeof(*launch));
    if (!launch)
        return NULL;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&launch->lock, NULL);
    pthread_cond_init(&launch->ended, &monotonic);
    pthread_condattr_destroy(&monotonic);
    launch->logs = calloc(count + 1, sizeof(*launch->logs));
    launch->children = launch->logs ? children_new(tell_of, launch) : NULL;
    if (launch->children)
        return launch;
    launch_end(launch, false);
    return NULL;
}

enum muster_status launch_start(const struct launch_options *options, const char *listen, uint16_t port,
                                struct launch **launched, struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    char address[ADDRESS_SIZE];
    port_address(listen, port, address, sizeof(address));
    if (options->logs && mkdir(options->logs, 0777) != 0 && errno != EEXIST)
        return explain(error, MUSTER_IO, "%s: %s", options->logs, strerror(errno));
    struct launch *launch = make(options->count);
    if (!launch)
        return explain(error, MUSTER_OUT_OF_MEMORY, "no participants: out of memory, threads or descriptors");
    while (status == MUSTER_OK && launch->count < options->count && signals_caught() == 0)
        status = start_one(launch, options, address, error);
    if (status != MUSTER_OK) {
        launch_end(launch, false);
        return status;
    }
    pthread_mutex_lock(&launch->lock);
    launch->started = launch->count;
    launch->needed = options->everyone ? launch->count : 0;
    stop_if_all_failed(launch);
    pthread_mutex_unlock(&launch->lock);
    *launched = launch;
    return MUSTER_OK;
}

/* Gives participants that have heard good-bye the time to end by themselves. */
static void await_all(struct launch *launch)
{
    struct timespec end = clock_after(INT64_C(1000) * GOOD_BYE_SECONDS);
    int waited = 0;
    pthread_mutex_lock(&launch->lock);
    while (launch->gone < launch->started && waited == 0)
        waited = pthread_cond_timedwait(&launch->ended, &launch->lock, &end);
    pthread_mutex_unlock(&launch->lock);
}

void launch_end(struct launch *launch, bool well)
{
    if (!launch)
        return;
    if (well)
        await_all(launch);
    pthread_mutex_lock(&launch->lock);
    launch->ending = true;
    pthread_mutex_unlock(&launch->lock);
    if (launch->children && !children_end(launch->children, END_MS))
        return; /* one that cannot be killed is still watched */
    children_free(launch->children);
    for (size_t i = 0; i < launch->count; i++)
        close(launch->logs[i]);
    free(launch->logs);
    pthread_cond_destroy(&launch->ended);
    pthread_mutex_destroy(&launch->lock);
    free(launch);
}
