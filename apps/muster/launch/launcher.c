/* The loop: one thread waits for all agents, for the reader of its output, and for what is due. */
#include <config.h>

#include "launcher.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/dataset.h"
#include "common/signals.h"
#include "control.h"
#include "supervision.h"

enum { AGENTS_END_MS = 20000, ORPHANS_MS = 10000, FINISH_MS = 2000, FIXED_WAITS = 3 };

/* ---- called by other threads ---- */

static void stop_by_signal(void *context, bool at_once)
{
    struct launcher *launcher = context;
    int none = 0;
    atomic_compare_exchange_strong(&launcher->stop_signal, &none, signals_caught());
    if (at_once)
        atomic_store(&launcher->hurry, true);
    eventfd_write(launcher->wake, 1);
}

static void stop_at_hangup(void *context)
{
    struct launcher *launcher = context;
    int none = 0;
    atomic_compare_exchange_strong(&launcher->stop_signal, &none, SIGHUP);
    eventfd_write(launcher->wake, 1);
}

static void stop_by_control(void *context)
{
    struct launcher *launcher = context;
    int none = 0;
    atomic_compare_exchange_strong(&launcher->stop_signal, &none, -1);
    eventfd_write(launcher->wake, 1);
}

static json_t *status_for_control(void *context)
{
    struct launcher *launcher = context;
    pthread_mutex_lock(&launcher->lock);
    launcher->now_ms = clock_ms();
    json_t *status = supervision_status(launcher);
    pthread_mutex_unlock(&launcher->lock);
    return status;
}

/* ---- the loop ---- */

/* With the lock held. */
static void read_host(struct launcher *launcher, struct host *host)
{
    const char *bytes;
    size_t count;
    json_t *message;
    bool open = channel_read(host->channel);
    host->heard_ms = launcher->now_ms;
    while (host->channel && (message = channel_next(host->channel, &bytes, &count))) {
        supervision_take(launcher, host, message, bytes, count);
        json_decref(message);
    }
    if (host->channel && (!open || channel_is_broken(host->channel)))
        supervision_lose(launcher, host);
}

static void serve_hosts(struct launcher *launcher, const struct pollfd *waits)
{
    for (size_t i = 0; i < launcher->experiment->host_count; i++) {
        struct host *host = &launcher->hosts[i];
        const struct pollfd *in = &waits[FIXED_WAITS + 2 * i], *out = in + 1;
        if (in->revents != 0 && host->channel)
            read_host(launcher, host);
        if (out->revents != 0 && host->channel && !channel_flush(host->channel))
            supervision_lose(launcher, host);
    }
}

static size_t fill(const struct launcher *launcher, struct pollfd *waits)
{
    size_t count = FIXED_WAITS;
    waits[0] = (struct pollfd){.fd = launcher->wake, .events = POLLIN};
    waits[1] = (struct pollfd){.fd = output_waits(0), .events = POLLOUT};
    waits[2] = (struct pollfd){.fd = output_waits(1), .events = POLLOUT};
    for (size_t i = 0; i < launcher->experiment->host_count; i++) {
        const struct channel *channel = launcher->hosts[i].channel;
        waits[count++] = (struct pollfd){.fd = channel ? channel_in(channel) : -1, .events = POLLIN};
        waits[count++] = (struct pollfd){.fd = channel ? channel_out(channel) : -1, .events = POLLOUT};
    }
    return count;
}

static void loop(struct launcher *launcher, struct pollfd *waits)
{
    for (;;) {
        eventfd_t wishes;
        pthread_mutex_lock(&launcher->lock);
        launcher->now_ms = clock_ms();
        int64_t left_ms = supervision_step(launcher);
        bool over = launcher->phase == PHASE_OVER;
        size_t count = fill(launcher, waits);
        pthread_mutex_unlock(&launcher->lock);
        if (over)
            return;
        int ready = poll(waits, count, (int)left_ms);
        if (ready > 0 && waits[0].revents != 0)
            eventfd_read(launcher->wake, &wishes);
        output_flush();
        pthread_mutex_lock(&launcher->lock);
        launcher->now_ms = clock_ms();
        if (ready > 0)
            serve_hosts(launcher, waits);
        pthread_mutex_unlock(&launcher->lock);
        children_collect();
    }
}

/* ---- the beginning and the end ---- */

static enum muster_status open_log(struct launcher *launcher, struct process *process,
                                   struct muster_error *error)
{
    struct run_directory *directory = launcher->options->directory;
    const char *name = process->definition->name;
    process->output.log = directory ? run_directory_open_log(directory, name) : -1;
    if (!directory || process->output.log >= 0)
        return MUSTER_OK;
    return explain(error, MUSTER_IO, "%s/logs/%s.log: %s", run_directory_path(directory), name,
                   strerror(errno));
}

static enum muster_status begin(struct launcher *launcher, struct muster_error *error)
{
    const struct experiment *experiment = launcher->experiment;
    launcher->hosts = calloc(experiment->host_count + 1, sizeof(*launcher->hosts));
    launcher->processes = calloc(experiment->process_count + 1, sizeof(*launcher->processes));
    launcher->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    launcher->agents = children_new(NULL, NULL);
    if (!launcher->hosts || !launcher->processes || launcher->wake < 0 || !launcher->agents)
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory, threads or descriptors");
    for (size_t i = 0; i < experiment->host_count; i++) {
        launcher->hosts[i].definition = &experiment->hosts[i];
        launcher->hosts[i].errors = -1;
    }
    enum muster_status status = MUSTER_OK;
    for (size_t i = 0; i < experiment->process_count; i++) {
        struct process *process = &launcher->processes[i];
        process->definition = &experiment->processes[i];
        process->since_ms = clock_ms();
        process->output.shown =
            !launcher->options->quiet && (launcher->options->prefix || process->definition->shown);
        snprintf(process->prefix, sizeof(process->prefix), "%zu: ", process->definition->rank);
        process->output.prefix = launcher->options->prefix ? process->prefix : NULL;
        process->output.log = -1;
        if (status == MUSTER_OK)
            status = open_log(launcher, process, error);
    }
    return status;
}

/* Nothing is left behind: agents end when their connection does, and what this machine's could not end is killed here. */
static void end_agents(struct launcher *launcher)
{
    for (size_t i = 0; launcher->hosts && i < launcher->experiment->host_count; i++) {
        struct host *host = &launcher->hosts[i];
        channel_free(host->channel);
        host->channel = NULL;
        if (host->errors >= 0)
            close(host->errors);
    }
    if (launcher->agents)
        children_await(launcher->agents, AGENTS_END_MS);
    children_free(launcher->agents);
    children_kill_orphans(ORPHANS_MS);
}

static void free_all(struct launcher *launcher)
{
    for (size_t i = 0; launcher->processes && i < launcher->experiment->process_count; i++) {
        output_end(&launcher->processes[i].output);
        if (launcher->processes[i].output.log >= 0)
            close(launcher->processes[i].output.log);
    }
    if (launcher->wake >= 0)
        close(launcher->wake);
    free(launcher->hosts);
    free(launcher->processes);
}

static void keep_end(const struct launcher *launcher)
{
    struct muster_error error;
    const char *why = launcher->why[0] != '\0' ? launcher->why
                      : launcher->result == 0  ? "it is complete"
                                               : "it failed";
    if (launcher->options->directory &&
        run_directory_end(launcher->options->directory, launcher->result, why, &error) != MUSTER_OK)
        output_say("%s: %s", launcher->experiment->name, error.text);
}

static enum muster_status run(struct launcher *launcher, struct muster_error *error)
{
    const struct launcher_options *options = launcher->options;
    const struct control_calls calls = {launcher, status_for_control, stop_by_control};
    struct control *control = NULL;
    struct pollfd *waits = calloc(FIXED_WAITS + 2 * launcher->experiment->host_count, sizeof(*waits));
    enum muster_status status = waits ? MUSTER_OK : explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    if (status == MUSTER_OK && options->directory)
        status = control_open(run_directory_path(options->directory), &calls, &control, error);
    if (status == MUSTER_OK) {
        signals_call(stop_by_signal, launcher, -1);
        signals_call_hangup(stop_at_hangup, launcher);
        loop(launcher, waits);
        signals_call_hangup(NULL, NULL);
        signals_call(NULL, NULL, -1);
    }
    end_agents(launcher);
    if (status == MUSTER_OK)
        keep_end(launcher);
    run_directory_free(options->directory);
    control_free(control); /* who waits for the end of the run hears of it now */
    free(waits);
    return status;
}

int launcher_run(const struct experiment *experiment, const struct launcher_options *options)
{
    struct launcher launcher = {.experiment = experiment, .options = options, .wake = -1};
    struct muster_error error;
    pthread_mutex_init(&launcher.lock, NULL);
    children_adopt();
    signal(SIGPIPE, SIG_IGN);
    enum muster_status status = begin(&launcher, &error);
    launcher.phase_ms = clock_ms();
    if (status == MUSTER_OK) {
        status = run(&launcher, &error);
    } else {
        end_agents(&launcher);
        run_directory_free(options->directory);
    }
    free_all(&launcher);
    if (status != MUSTER_OK) {
        output_say("%s: %s", options->name, error.text);
        if (options->started)
            options->started(options->context, error.text);
        launcher.result = EXIT_FAILURE;
    }
    output_finish(FINISH_MS);
    pthread_mutex_destroy(&launcher.lock);
    return launcher.result;
}
