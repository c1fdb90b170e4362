/* One thread brings together what decides (machine.h), who is told (crew.h), and who is started here (local.h). Signals come on
 * another, and only leave a note. */
#include <config.h>

#include "orchestrate.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/monitoring.h"
#include "common/notify.h"
#include "common/port.h"
#include "common/signals.h"
#include "crew.h"
#include "crew_display.h"
#include "local.h"
#include "machine.h"
#include "memory.h"

/* How often time is told, and the display drawn. */
enum { TICK_MS = 250, LEAVE_MS = 10000, ADDRESS_SIZE = 300 };

struct orchestrate {
    const struct orchestrate_options *options;
    struct participant_manager *manager;
    struct monitoring *monitoring;
    struct machine *machine;
    struct crew *crew;
    struct local *local; /* NULL: none are started here */
    char address[ADDRESS_SIZE];
    size_t left; /* local workers that can still be there */
    pthread_mutex_t lock;
    /* Guarded by the lock. */
    bool asked, at_once;
    char state[DISPLAY_LINE_SIZE]; /* for those who ask */
};

/* ---- what the machine calls ---- */

static void instruct(void *context, struct worker *worker, uint64_t turn, const struct order *order)
{
    const struct orchestrate *orchestrate = context;
    crew_instruct(orchestrate->crew, worker, turn, order);
}

static void cancel(void *context, struct worker *worker)
{
    const struct orchestrate *orchestrate = context;
    crew_cancel(orchestrate->crew, worker);
}

static void drop(void *context, struct worker *worker, bool comes_back)
{
    const struct orchestrate *orchestrate = context;
    crew_drop(orchestrate->crew, worker, comes_back);
}

static enum muster_status keep(void *context, uint64_t epoch, uint64_t checkpoint, uint64_t restarts,
                               double loss, struct muster_error *error)
{
    const struct orchestrate *orchestrate = context;
    const struct memory memory = {epoch, checkpoint, restarts, loss};
    char text[96];
    snprintf(text, sizeof(text), "%" PRIu64 ", checkpoint %" PRIu64 ", %" PRIu64 " restarts", epoch,
             checkpoint, restarts);
    monitoring_setting(orchestrate->monitoring, "epoch", text);
    return orchestrate->options->file ? memory_write(orchestrate->options->file, &memory, error) : MUSTER_OK;
}

static void say(void *unused, enum log_level level, const char *text)
{
    (void)unused;
    log_write(level, "%s", text);
}

static void completed(void *context, uint64_t checkpoint, double loss, double samples_per_second)
{
    const struct orchestrate *orchestrate = context;
    crew_display_complete(orchestrate->monitoring, checkpoint, loss, samples_per_second);
}

/* One that is frozen does not end by itself. */
static void note_drop(void *context, const char *name, bool silent)
{
    const struct orchestrate *orchestrate = context;
    local_expect_end(orchestrate->local, name, clock_ms(), silent ? 0 : LEAVE_MS);
}

/* ---- what the network tells, on its threads ---- */

static void tell_refusal(void *unused, const struct participant_manager_event *event)
{
    static struct log_allowance allowance = {.a_minute = 40};
    const char *name = proxy_name(event->proxy);
    (void)unused;
    if (event->kind == PARTICIPANT_MANAGER_REFUSED && event->status != MUSTER_STOPPED)
        log_later(LOG_WARNING, &allowance, "%s (%s) was refused: %s", *name != '\0' ? name : "a participant",
                  proxy_peer(event->proxy), event->text);
}

static void tell_warning(void *unused, const char *text)
{
    static struct log_allowance allowance = {.a_minute = 40};
    (void)unused;
    log_later(LOG_WARNING, &allowance, "warning: %s", text);
}

/* ---- signals ---- */

static void stop(void *context, bool at_once)
{
    struct orchestrate *orchestrate = context;
    pthread_mutex_lock(&orchestrate->lock);
    bool first = !orchestrate->asked;
    orchestrate->asked = true;
    orchestrate->at_once = orchestrate->at_once || at_once;
    pthread_mutex_unlock(&orchestrate->lock);
    if (first && !at_once)
        log_write(LOG_INFO,
                  "stopping: the running steps are finished first, within --stop-within; a second signal "
                  "gives them up");
    if (at_once)
        local_hurry(orchestrate->local);
    crew_wake(orchestrate->crew);
}

static void tell_state(void *context)
{
    struct orchestrate *orchestrate = context;
    char text[DISPLAY_LINE_SIZE];
    pthread_mutex_lock(&orchestrate->lock);
    snprintf(text, sizeof(text), "%s", orchestrate->state);
    pthread_mutex_unlock(&orchestrate->lock);
    log_answer("state: %s", text);
}

/* At SIGHUP: files are also read again when they have changed and somebody connects. */
static void reload_credentials(void *manager)
{
    struct muster_error error;
    if (participant_manager_reload_credentials(manager, &error) != MUSTER_OK)
        log_write(LOG_WARNING, "SIGHUP: certificates and token stay as they were: %s", error.text);
    else
        log_write(LOG_INFO, "SIGHUP: certificates and token were read again");
}

/* For tell_state(). */
static void describe(struct orchestrate *orchestrate)
{
    char line[DISPLAY_LINE_SIZE];
    crew_display_describe(orchestrate->machine, line);
    pthread_mutex_lock(&orchestrate->lock);
    snprintf(orchestrate->state, sizeof(orchestrate->state), "%s", line);
    pthread_mutex_unlock(&orchestrate->lock);
}

static void look_for_signals(struct orchestrate *orchestrate, int64_t now)
{
    char why[64];
    pthread_mutex_lock(&orchestrate->lock);
    bool asked = orchestrate->asked, at_once = orchestrate->at_once;
    pthread_mutex_unlock(&orchestrate->lock);
    snprintf(why, sizeof(why), "stopped by signal %d", signals_caught());
    if (asked)
        machine_stop(orchestrate->machine, at_once, why, now);
}

/* ---- local workers ---- */

static enum muster_status look_at_local(struct orchestrate *orchestrate, int64_t now,
                                        struct muster_error *error)
{
    struct machine_view view;
    size_t left;
    char text[MUSTER_ERROR_TEXT_SIZE];
    machine_look(orchestrate->machine, &view);
    if (!orchestrate->local || view.phase >= PHASE_ENDING)
        return MUSTER_OK;
    enum muster_status status =
        local_look(orchestrate->local, now, crew_knows, orchestrate->crew, &left, text, sizeof(text), error);
    if (status == MUSTER_OK && left < orchestrate->left)
        machine_expect(orchestrate->machine, left, text, now);
    orchestrate->left = left;
    return status;
}

static void wake(void *context)
{
    const struct orchestrate *orchestrate = context;
    crew_wake(orchestrate->crew);
}

static const char *listen_address(const struct orchestrate_options *options)
{
    return options->listen ? options->listen : options->command ? "127.0.0.1:0" : "127.0.0.1:50051";
}

static enum muster_status prepare_local(struct orchestrate *orchestrate, struct muster_error *error)
{
    const struct orchestrate_options *options = orchestrate->options;
    if (!options->command)
        return MUSTER_OK;
    port_address(listen_address(options), participant_manager_port(orchestrate->manager),
                 orchestrate->address, sizeof(orchestrate->address));
    const struct local_options local = {
        .command = options->command,
        .count = options->workers,
        .restarts = options->restarts,
        .address = orchestrate->address,
        .on_change = wake,
        .context = orchestrate,
    };
    orchestrate->left = options->workers;
    return local_new(&local, &orchestrate->local, error);
}

/* ---- from the beginning to the end ---- */

static bool is_over(const struct orchestrate *orchestrate)
{
    struct machine_view view;
    machine_look(orchestrate->machine, &view);
    return view.phase == PHASE_OVER;
}

static enum muster_status loop(struct orchestrate *orchestrate, struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    while (status == MUSTER_OK && !is_over(orchestrate)) {
        int64_t now = clock_ms();
        look_for_signals(orchestrate, now); /* first: an answer begins the next steps */
        if (!crew_advance(orchestrate->crew, orchestrate->machine, now)) {
            *error = (struct muster_error){MUSTER_OUT_OF_MEMORY, "out of memory"};
            return MUSTER_OUT_OF_MEMORY;
        }
        describe(orchestrate);
        machine_tick(orchestrate->machine, now);
        status = look_at_local(orchestrate, now, error);
        crew_display_draw(orchestrate->machine, crew_silent_ms);
        if (status == MUSTER_OK && !is_over(orchestrate))
            crew_wait(orchestrate->crew, TICK_MS);
    }
    return status;
}

static enum muster_status make_machine(struct orchestrate *orchestrate, struct muster_error *error)
{
    const struct orchestrate_options *options = orchestrate->options;
    struct memory memory = {.loss = (double)NAN};
    enum muster_status status = options->file ? memory_read(options->file, &memory, error) : MUSTER_OK;
    if (status != MUSTER_OK)
        return status;
    const struct machine_options machine = {
        .workers = options->workers,
        .least = options->least,
        .elastic = options->elastic,
        .wait_ms = options->wait_ms,
        .form_ms = options->form_ms,
        .leave_ms = options->leave_ms,
        .stall_ms = options->stall_ms,
        .straggler_ms = options->straggler_ms,
        .iterations = options->iterations,
        .checkpoint_every = options->checkpoint_every,
        .backend = options->backend,
        .attempts = options->attempts,
        .epoch = memory.epoch,
        .checkpoint = memory.checkpoint,
        .restarts = memory.restarts,
        .loss = memory.loss,
    };
    const struct machine_calls calls = {orchestrate, instruct, cancel, drop, keep, say, completed};
    orchestrate->machine = machine_new(&machine, &calls, clock_ms());
    if (orchestrate->machine && memory.checkpoint > 0)
        log_write(LOG_INFO, "going on from iteration %" PRIu64 ", after epoch %" PRIu64, memory.checkpoint,
                  memory.epoch);
    if (orchestrate->machine)
        return MUSTER_OK;
    *error = (struct muster_error){MUSTER_OUT_OF_MEMORY, "out of memory"};
    return MUSTER_OUT_OF_MEMORY;
}

static enum muster_status serve(struct orchestrate *orchestrate, struct muster_error *error)
{
    const struct orchestrate_options *options = orchestrate->options;
    uint16_t port = participant_manager_port(orchestrate->manager);
    port_log(listen_address(options), port);
    if (monitoring_place(orchestrate->monitoring))
        log_write(LOG_INFO, "%s", monitoring_place(orchestrate->monitoring));
    enum muster_status status = MUSTER_OK;
    if (options->port_file)
        status = port_announce(options->port_file, port, monitoring_port(orchestrate->monitoring), error);
    if (status == MUSTER_OK)
        status = crew_new(orchestrate->manager, options->patience_ms, note_drop, orchestrate,
                          &orchestrate->crew, error);
    if (status != MUSTER_OK)
        return status;
    status = prepare_local(orchestrate, error);
    signals_call(stop, orchestrate, (int)options->stop_within_ms);
    signals_call_state(tell_state, orchestrate);
    if (options->credentials.certificate || options->credentials.token_file)
        signals_call_hangup(reload_credentials, orchestrate->manager);
    if (status == MUSTER_OK) {
        notify_ready();
        status = loop(orchestrate, error);
    }
    notify_stopping();
    signals_call_hangup(NULL, NULL);
    signals_call_state(NULL, NULL);
    crew_display_end();
    /* Streams end, so that workers know that there is nobody to come back to. */
    participant_manager_close(orchestrate->manager);
    local_end(orchestrate->local, status == MUSTER_OK ? LEAVE_MS : 0);
    signals_call(NULL, NULL, -1);
    local_free(orchestrate->local);
    crew_free(orchestrate->crew);
    return status;
}

/* At most so many streams, so that one more is told so. */
static enum muster_status open_manager(struct orchestrate *orchestrate, struct muster_error *error)
{
    static const char name[] = "workers";
    const struct orchestrate_options *options = orchestrate->options;
    struct participant_manager_options manager;
    participant_manager_options_init(&manager);
    manager.listen = listen_address(options);
    manager.credentials = options->credentials;
    manager.max_participants = options->workers;
    manager.session_grace_ms = 0;
    manager.heartbeat_ms = options->heartbeat_ms;
    manager.on_event = tell_refusal;
    manager.on_warning = tell_warning;
    enum muster_status status = participant_manager_start(&manager, &orchestrate->manager, error);
    if (status == MUSTER_OK)
        status = monitoring_open(options->monitor, &options->credentials, &orchestrate->monitoring, error);
    if (status == MUSTER_OK)
        status = monitoring_add_manager(orchestrate->monitoring, name, orchestrate->manager, error);
    return status;
}

static int finish(const struct orchestrate *orchestrate, enum muster_status status,
                  struct muster_error *error)
{
    struct machine_view view;
    if (status == MUSTER_OK)
        status = machine_result(orchestrate->machine, error);
    if (status == MUSTER_STOPPED && signals_caught() != 0) {
        machine_look(orchestrate->machine, &view);
        log_write(LOG_INFO, "stopped after iteration %" PRIu64 "%s", view.checkpoint,
                  orchestrate->options->file ? "; the same command goes on from there" : "");
        return 128 + signals_caught();
    }
    if (status != MUSTER_OK) {
        log_write(LOG_ERROR, "%s: %s", orchestrate_kind.program, error->text);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

/* The last line is for programs. */
static bool print_result(const struct orchestrate *orchestrate)
{
    struct machine_view view;
    machine_look(orchestrate->machine, &view);
    printf("final loss %.4f, %" PRIu64 " iterations, %" PRIu64 " restarts\n", view.loss, view.checkpoint,
           view.restarts);
    return fflush(stdout) == 0;
}

int orchestrate_run(const struct orchestrate_options *options)
{
    struct orchestrate orchestrate = {.options = options, .lock = PTHREAD_MUTEX_INITIALIZER};
    struct muster_error error;
    enum muster_status status = make_machine(&orchestrate, &error);
    if (status == MUSTER_OK && !is_over(&orchestrate)) {
        status = open_manager(&orchestrate, &error);
        if (status == MUSTER_OK)
            status = serve(&orchestrate, &error);
        if (orchestrate.manager)
            monitoring_remove_manager(orchestrate.monitoring, orchestrate.manager);
        participant_manager_free(orchestrate.manager);
        monitoring_close(orchestrate.monitoring);
    }
    int result = finish(&orchestrate, status, &error);
    if (result == EXIT_SUCCESS && !print_result(&orchestrate))
        result = EXIT_FAILURE;
    machine_free(orchestrate.machine);
    pthread_mutex_destroy(&orchestrate.lock);
    return result;
}
