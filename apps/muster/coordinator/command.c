/* A coordinator of groups, whom their members register with. */
#include <config.h>

#include "command.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <muster/muster.h>

#include "common/log.h"
#include "common/notify.h"
#include "common/port.h"
#include "common/signals.h"
#include "coordinator_options.h"
#include "settings/arguments.h"
#include "state.h"

struct office {
    struct coordinator_options options;
    struct muster_coordinator *coordinator;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool ending; /* a signal came; guarded by the lock */
};

/* ---- what is told ---- */

static const char *describe(enum muster_member_state state)
{
    switch (state) {
    case MUSTER_MEMBER_PRESENT:
        return "is present";
    case MUSTER_MEMBER_LOST:
        return "is lost";
    case MUSTER_MEMBER_FINISHED:
        return "has finished";
    }
    return "is unknown";
}

/* Before the group is complete there are no ranks to tell. */
static void tell_event(void *context, const struct muster_coordinator_event *event)
{
    static struct log_allowance allowance = {.a_minute = 6000};
    const char *state = describe(event->member.state);
    (void)context;
    if (event->epoch == 0)
        log_later(LOG_INFO, &allowance, "group %s: %s %s: %s", event->group, event->member.name, state,
                  event->text);
    else
        log_later(LOG_INFO, &allowance, "group %s, epoch %llu: rank %u, %s, %s: %s", event->group,
                  (unsigned long long)event->epoch, (unsigned)event->member.rank, event->member.name, state,
                  event->text);
}

static void tell_warning(void *context, const char *text)
{
    static struct log_allowance allowance = {.a_minute = 100};
    (void)context;
    log_later(LOG_WARNING, &allowance, "warning: %s", text);
}

/* At SIGUSR1. */
static void tell_state(void *context)
{
    struct office *office = context;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return;
    coordinator_state_write(out, office->coordinator);
    if (fclose(out) == 0)
        coordinator_state_tell(text);
    free(text);
}

/* ---- from the beginning to a signal ---- */

static enum muster_status start(struct office *office, struct muster_error *error)
{
    const struct coordinator_options *options = &office->options;
    struct muster_coordinator_options coordinator;
    muster_coordinator_options_init(&coordinator);
    coordinator.listen = options->listen;
    coordinator.file = options->file;
    coordinator.credentials = options->credentials;
    coordinator.grace_ms = options->grace_ms;
    coordinator.max_groups = options->groups;
    coordinator.max_members = (uint32_t)options->members;
    coordinator.on_event = tell_event;
    coordinator.on_warning = tell_warning;
    return muster_coordinator_start(&coordinator, &office->coordinator, error);
}

static void stop(void *context, bool at_once)
{
    struct office *office = context;
    if (at_once)
        signals_end(NULL, true);
    pthread_mutex_lock(&office->lock);
    office->ending = true;
    pthread_cond_signal(&office->changed);
    pthread_mutex_unlock(&office->lock);
}

static void wait_for_signal(struct office *office)
{
    pthread_mutex_lock(&office->lock);
    while (!office->ending)
        pthread_cond_wait(&office->changed, &office->lock);
    pthread_mutex_unlock(&office->lock);
}

static enum muster_status serve(struct office *office, struct muster_error *error)
{
    const struct coordinator_options *options = &office->options;
    uint16_t port = muster_coordinator_port(office->coordinator);
    signals_call(stop, office, -1);
    signals_call_state(tell_state, office);
    port_log(options->listen, port);
    enum muster_status status =
        options->port_file ? port_announce(options->port_file, port, 0, error) : MUSTER_OK;
    if (status == MUSTER_OK) {
        notify_ready();
        wait_for_signal(office);
        notify_stopping();
    }
    signals_call_state(NULL, NULL);
    signals_call(NULL, NULL, -1);
    return status;
}

static int run(struct office *office)
{
    struct muster_error error;
    enum muster_status status = start(office, &error);
    if (status == MUSTER_OK)
        status = serve(office, &error);
    muster_coordinator_free(office->coordinator);
    if (status != MUSTER_OK) {
        log_write(LOG_ERROR, "%s: %s", coordinator_kind.program, error.text);
        return EXIT_FAILURE;
    }
    log_write(LOG_INFO, "ended by signal %d", signals_caught());
    return 128 + signals_caught();
}

/* ---- the command line ---- */

static const char documentation[] =
    "Brings the members of groups together, as many groups as come. They learn from it who the others are "
    "and where they listen, and then talk to each other directly.\v"
    "It can be killed at any time, and started again with the same --file. It serves until SIGINT or "
    "SIGTERM. Members go on without it, and look for it again. At SIGUSR1 it writes to standard error "
    "which groups there are.\n\n"
    "The exit status is 128 plus the signal's number after a signal, and 1 or 2 otherwise.";

int coordinator_command(int count, char **arguments)
{
    struct office office = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    settings_parse(&coordinator_kind, documentation, count, arguments, &office.options);
    signals_catch();
    signals_call(signals_end, NULL, -1);
    log_configure(&office.options.log);
    int result = EXIT_FAILURE;
    if (log_begin()) {
        result = run(&office);
        log_end();
    } else {
        log_write(LOG_ERROR, "%s: there is no thread to be had", coordinator_kind.program);
    }
    kind_clear(&coordinator_kind, &office.options);
    return result;
}
