/* Decentralised training: nodes, a coordinator, or both in one process. */
#include <config.h>

#include "command.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <muster/muster.h>

#include "common/log.h"
#include "common/monitoring.h"
#include "common/port.h"
#include "common/signals.h"
#include "consensus.h"
#include "coordinator/state.h"
#include "node.h"
#include "node_options.h"
#include "settings/arguments.h"
#include "state.h"
#include "training.h"

/* Others may still leave when the members of this process have: they hear the last word. */
enum { FAREWELL_MS = 10000 };

struct process;

enum stage { JOINING, WORKING, ENDED };

struct worker {
    struct process *process;
    pthread_t thread;
    struct node node;
    enum stage stage; /* guarded by the process's lock */
    bool failed;
};

struct process {
    struct node_options options;
    struct settings *settings;
    struct dataset dataset;
    struct monitoring *monitoring;
    struct muster_coordinator *coordinator;
    char coordinator_address[256];
    pthread_mutex_t lock;
    struct worker *workers;
    size_t worker_count;
};

/* ---- members ---- */

static void set_stage(struct worker *worker, enum stage stage)
{
    pthread_mutex_lock(&worker->process->lock);
    worker->stage = stage;
    pthread_mutex_unlock(&worker->process->lock);
}

static void *work(void *context)
{
    struct worker *worker = context;
    struct process *process = worker->process;
    struct node *node = &worker->node;
    struct muster_error error;
    node->options = &process->options;
    node->settings = process->settings;
    node->dataset = process->options.consensus_only ? NULL : &process->dataset;
    node->monitoring = process->monitoring;
    enum muster_status status = node_begin(node, &error);
    set_stage(worker, status == MUSTER_OK ? WORKING : ENDED);
    if (status == MUSTER_OK && signals_caught() == 0)
        status =
            process->options.consensus_only ? consensus_run(node, &error) : node_training_run(node, &error);
    set_stage(worker, ENDED);
    worker->failed = status != MUSTER_OK;
    if (worker->failed && signals_caught() == 0 && !node->group)
        log_write(LOG_ERROR, "cannot join: %s", error.text);
    else if (worker->failed && signals_caught() == 0)
        log_write(LOG_ERROR, "rank %u: %s", (unsigned)node->rank, error.text);
    node_end(node);
    return NULL;
}

/* Runs the members; true: all of them ended well. */
static bool run_members(struct process *process)
{
    const struct node_options *options = &process->options;
    bool well = true;
    size_t begun = 0;
    if (options->threads < options->members)
        log_write(LOG_INFO, "waiting for the %zu members of group %s at %s", options->members, options->group,
                  options->coordinator);
    for (; begun < process->worker_count && well; begun++) {
        struct worker *worker = &process->workers[begun];
        worker->process = process;
        worker->node.number = begun;
        well = pthread_create(&worker->thread, NULL, work, worker) == 0;
        if (!well)
            log_write(LOG_ERROR, "no thread for member %zu", begun);
    }
    if (!well)
        _exit(EXIT_FAILURE); /* the others would wait for it */
    for (size_t i = 0; i < begun; i++) {
        pthread_join(process->workers[i].thread, NULL);
        well = well && !process->workers[i].failed;
    }
    return well;
}

/* ---- the coordinator ---- */

static void tell_event(void *context, const struct muster_coordinator_event *event)
{
    (void)context;
    log_write(LOG_DEBUG, "coordinator: %s", event->text);
}

static void tell_warning(void *context, const char *text)
{
    (void)context;
    log_write(LOG_WARNING, "coordinator: %s", text);
}

/* Where the members of this process find it: a free port is known by now. */
static void find_coordinator(struct process *process)
{
    const char *address = process->options.coordinate;
    const char *colon = strrchr(address, ':');
    uint16_t port = muster_coordinator_port(process->coordinator);
    if (port != 0 && colon)
        snprintf(process->coordinator_address, sizeof(process->coordinator_address), "%.*s:%u",
                 (int)(colon - address), address, (unsigned)port);
    else
        snprintf(process->coordinator_address, sizeof(process->coordinator_address), "%s", address);
    if (!process->options.coordinator)
        process->options.coordinator = process->coordinator_address;
}

static enum muster_status start_coordinator(struct process *process, struct muster_error *error)
{
    const struct node_options *options = &process->options;
    struct muster_coordinator_options coordinator_options;
    if (!options->coordinate)
        return MUSTER_OK;
    muster_coordinator_options_init(&coordinator_options);
    coordinator_options.listen = options->coordinate;
    coordinator_options.file = options->state;
    coordinator_options.credentials = options->credentials;
    coordinator_options.grace_ms = options->grace_ms;
    coordinator_options.on_event = tell_event;
    coordinator_options.on_warning = tell_warning;
    enum muster_status status = muster_coordinator_start(&coordinator_options, &process->coordinator, error);
    if (status != MUSTER_OK)
        return status;
    find_coordinator(process);
    log_write(options->threads > 0 ? LOG_DEBUG : LOG_INFO, "coordinator at %s", process->coordinator_address);
    return MUSTER_OK;
}

/* ---- the process ---- */

/* Where it is to be looked at is for the one who started it, as are rank 0's lines. */
static enum muster_status start_monitor(struct process *process, struct muster_error *error)
{
    const struct node_options *options = &process->options;
    enum muster_status status =
        monitoring_open(options->monitor, &options->credentials, &process->monitoring, error);
    if (process->monitoring) {
        puts(monitoring_place(process->monitoring));
        fflush(stdout);
    }
    return status;
}

static enum muster_status tell_ports(const struct process *process, struct muster_error *error)
{
    if (!process->options.port_file)
        return MUSTER_OK;
    uint16_t port = process->coordinator ? muster_coordinator_port(process->coordinator) : 0;
    return port_announce(process->options.port_file, port, monitoring_port(process->monitoring), error);
}

/* At a signal: waits end, and the group is left as it is. */
static void stop(void *context, bool at_once)
{
    struct process *process = context;
    pthread_mutex_lock(&process->lock);
    for (size_t i = 0; i < process->worker_count; i++) {
        if (process->workers[i].stage == WORKING)
            muster_group_close(process->workers[i].node.group);
        else if (process->workers[i].stage == JOINING)
            at_once = true; /* that waits for others */
    }
    pthread_mutex_unlock(&process->lock);
    if (process->coordinator)
        muster_coordinator_close(process->coordinator);
    if (at_once)
        signals_end(NULL, true);
}

/* At SIGUSR1. A member that works is not freed while the lock is held. */
static void tell_state(void *context)
{
    struct process *process = context;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return;
    if (process->coordinator)
        coordinator_state_write(out, process->coordinator);
    pthread_mutex_lock(&process->lock);
    for (size_t i = 0; i < process->worker_count; i++) {
        if (process->workers[i].stage == WORKING)
            node_state_write_member(out, process->workers[i].node.group);
        else if (process->workers[i].stage == JOINING)
            fprintf(out, "member %zu of this process has not joined yet\n", i);
    }
    pthread_mutex_unlock(&process->lock);
    if (fclose(out) == 0)
        coordinator_state_tell(text);
    free(text);
}

/* Everyone has the test samples of all. */
static enum muster_status load_data(struct process *process, struct muster_error *error)
{
    const struct node_options *options = &process->options;
    if (options->consensus_only || options->threads == 0)
        return MUSTER_OK;
    enum muster_status status = dataset_load(&options->data, &process->dataset, error);
    if (status == MUSTER_OK && process->dataset.user_count < options->members)
        status = explain(error, MUSTER_INVALID, "the data is for %zu users, and the group has %zu members",
                         process->dataset.user_count, options->members);
    return status;
}

static enum muster_status prepare(struct process *process, struct muster_error *error)
{
    const struct node_options *options = &process->options;
    process->settings = node_options_settings(options, error);
    if (!process->settings)
        return MUSTER_INVALID;
    process->worker_count = options->threads;
    process->workers = calloc(options->threads + 1, sizeof(*process->workers));
    if (!process->workers)
        return dataset_out_of_memory(error);
    enum muster_status status = load_data(process, error);
    if (status == MUSTER_OK)
        status = start_coordinator(process, error);
    if (status == MUSTER_OK)
        status = start_monitor(process, error);
    return status == MUSTER_OK ? tell_ports(process, error) : status;
}

static const char documentation[] =
    "Trains with others, of which none is the server: each node trains on data of its own, and mixes its "
    "model with those of its neighbours.\v"
    "A node's rank is the number of the user whose data it has: without --participants there is data for "
    "--members of them. All nodes need the same options.\n\n"
    "At SIGUSR1 it writes to standard error how the group is, and what its nodes wait for.\n\n"
    "The exit status is 0 when all nodes of the process have ended well, 128 plus the signal's number "
    "after SIGINT or SIGTERM, and 1 or 2 otherwise.";

static void parse_all(int count, char **arguments, struct node_options *options)
{
    settings_parse(&node_kind, documentation, count, arguments, options);
    if (!options->coordinator && !options->coordinate)
        options->coordinator = "127.0.0.1:8090";
}

static int run(struct process *process)
{
    struct muster_error error;
    bool well = true;
    enum muster_status status = prepare(process, &error);
    if (status == MUSTER_OK) {
        signals_call(stop, process, -1);
        signals_call_state(tell_state, process);
        well = run_members(process);
        if (process->coordinator && signals_caught() == 0)
            muster_coordinator_wait(process->coordinator, process->options.group,
                                    process->worker_count > 0 ? FAREWELL_MS : MUSTER_NO_LIMIT, NULL);
        signals_call_state(NULL, NULL);
        signals_call(NULL, NULL, -1);
    } else
        log_write(LOG_ERROR, "%s", error.text);
    muster_coordinator_free(process->coordinator);
    monitoring_close(process->monitoring);
    dataset_free(&process->dataset);
    free(process->workers);
    free(process->settings);
    return status == MUSTER_OK && well ? EXIT_SUCCESS : EXIT_FAILURE;
}

int node_command(int count, char **arguments)
{
    struct process process = {.lock = PTHREAD_MUTEX_INITIALIZER};
    parse_all(count, arguments, &process.options);
    signals_catch();
    log_configure(&process.options.log);
    int result = run(&process);
    kind_clear(&node_kind, &process.options);
    return signals_caught() != 0 ? 128 + signals_caught() : result;
}
