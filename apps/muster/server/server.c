/* What surrounds a training: the run directory, the record, the participant manager, signals, and the result. */
#include <config.h>

#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "asynchronous.h"
#include "attendance.h"
#include "checkpoint.h"
#include "common/dataset.h"
#include "common/log.h"
#include "common/notify.h"
#include "common/port.h"
#include "common/signals.h"
#include "first_model.h"
#include "state.h"
#include "stopping.h"
#include "training.h"

#define LAST_FILE "model.npz"

/* ---- participants ---- */

/* Holds rounds with whoever comes to the manager. */
static enum muster_status hold_rounds(struct training *training, struct muster_error *error)
{
    const struct server_settings *settings = training->settings;
    const struct server_hooks *hooks = training->hooks;
    struct stopping stopping;
    stopping_init(&stopping, training->manager, training->run ? settings->come_back_seconds : -1);
    training->stopping = &stopping;
    signals_call(stopping_ask, &stopping, (int)settings->stop_within_ms);
    uint16_t port = participant_manager_port(training->manager);
    port_log(settings->listen, port);
    enum muster_status status = MUSTER_OK;
    if (settings->port_file)
        status = port_announce(settings->port_file, port, recording_monitor_port(training->recording), error);
    if (status == MUSTER_OK && hooks->listening)
        status = hooks->listening(hooks->context, port, error);
    if (status == MUSTER_OK) {
        notify_ready();
        status = training_run(training, error);
    }
    notify_stopping();
    signals_call(NULL, NULL, -1);
    if (status != MUSTER_OK)
        stopping_farewell(&stopping);
    training->stopping = NULL;
    stopping_destroy(&stopping);
    return status;
}

/* At SIGHUP: files are also read again when they have changed and somebody connects. */
static void reload_credentials(void *context)
{
    struct muster_error error;
    if (participant_manager_reload_credentials(context, &error) != MUSTER_OK)
        log_write(LOG_WARNING, "SIGHUP: certificates and token stay as they were: %s", error.text);
    else
        log_write(LOG_INFO, "SIGHUP: certificates and token were read again");
}

/* At SIGHUP, where nothing is read again: the terminal is gone. */
static void stop(void *unused)
{
    (void)unused;
    kill(getpid(), SIGTERM);
}

/* Lets participants in, holds the rounds, and says good-bye. */
static enum muster_status serve(struct training *training, struct muster_error *error)
{
    const struct server_settings *settings = training->settings;
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    options.listen = settings->listen;
    options.credentials = settings->credentials;
    options.max_message_size = (size_t)settings->max_message_size;
    options.session_grace_ms = settings->grace_ms;
    options.on_event = attendance_tell;
    options.on_warning = attendance_warn;
    options.context = (void *)(uintptr_t)settings;
    options.heartbeat_ms = settings->heartbeat_ms;
    /* Who is asked for a model has a small instruction and a big answer. */
    if (!training->strategy)
        options.max_answer_size = settings->model_limit;
    options.answers_hold_room = true;
    enum muster_status status = participant_manager_start(&options, &training->manager, error);
    if (status == MUSTER_OK)
        status = recording_show(training->recording, training->manager, error);
    if (status != MUSTER_OK) {
        participant_manager_free(training->manager);
        return status;
    }
    signals_call_state(state_tell, training->manager);
    bool credentials = options.credentials.certificate || options.credentials.token_file;
    bool stops = !credentials && training->hooks->stops_at_hangup;
    if (credentials || stops)
        signals_call_hangup(credentials ? reload_credentials : stop, training->manager);
    status = hold_rounds(training, error);
    if (credentials || stops)
        signals_call_hangup(NULL, NULL);
    signals_call_state(state_tell, NULL);
    recording_hide(training->recording, training->manager);
    participant_manager_free(training->manager);
    training->manager = NULL;
    return status;
}

/* ---- from the beginning to the end ---- */

static bool is_complete(const struct training *training)
{
    return training->strategy && !evaluation_is_due(training) &&
           (training->rounds_held >= training->settings->rounds || evaluation_ends(training));
}

/* Says how far a run is that goes on. */
static void tell_where(const struct training *training)
{
    const struct server_settings *settings = training->settings;
    if (training->rounds_held == 0)
        return;
    if (is_complete(training) && evaluation_ends(training))
        log_write(LOG_INFO,
                  "the run in %s stopped early, after round %zu: it is complete, whatever --rounds says",
                  settings->run, training->rounds_held);
    else if (is_complete(training))
        log_write(LOG_INFO, "the run in %s is complete, with %zu rounds: a greater --rounds goes on with it",
                  settings->run, training->rounds_held);
    else
        log_write(LOG_INFO, "going on after round %zu of %zu in %s", training->rounds_held, settings->rounds,
                  settings->run);
}

/* Who forgets both options is to hear it before the training, and not after it. */
static void warn_of_no_place(const struct training *training)
{
    const struct server_settings *settings = training->settings;
    if (!settings->run && !settings->result && settings->sinks.count == 0 && !training->hooks->first_model)
        log_write(LOG_WARNING, "the trained model is kept nowhere: --result FILE or --run DIR keeps it");
}

/* All rounds, or those that the run directory has not got yet. */
static enum muster_status train(struct training *training, struct muster_error *error)
{
    const struct server_hooks *hooks = training->hooks;
    enum muster_status status = privacy_open(&training->privacy, training->settings, error);
    if (status == MUSTER_OK)
        status = checkpoint_open(training, error);
    if (status == MUSTER_OK)
        status = evaluation_open(training, error);
    if (status == MUSTER_FORMAT)
        log_write(LOG_ERROR,
                  "%s: a file of the run is damaged, as the next line says: if it is a round's, "
                  "remove it, and the run goes on from the round before%s; or begin anew with --overwrite",
                  hooks->name,
                  training->settings->noise > 0
                      ? " (epsilon is then too low by that round, whose model is known to participants)"
                      : "");
    if (status == MUSTER_OK)
        status = first_model_find(training, error);
    if (status != MUSTER_OK)
        return status;
    tell_where(training);
    const char *identity = training->identity[0] ? training->identity : NULL;
    status = recording_open(training->settings, hooks, identity, &training->recording, error);
    if (status != MUSTER_OK || is_complete(training))
        return status;
    warn_of_no_place(training);
    return serve(training, error);
}

/* Writes the model that the training ends with to where the settings say. */
static bool write_result(const struct training *training)
{
    const struct server_settings *settings = training->settings;
    struct muster_error error;
    char last[4096];
    const char *paths[] = {settings->result, NULL};
    snprintf(last, sizeof(last), "%s/" LAST_FILE, settings->run ? settings->run : "");
    if (settings->run)
        paths[1] = last;
    for (size_t i = 0; i < 2; i++) {
        if (paths[i] && model_write(paths[i], training_result(training), &error) != MUSTER_OK) {
            log_write(LOG_ERROR, "%s: the result is not written: %s", training->hooks->name, error.text);
            return false;
        }
        if (paths[i])
            log_write(LOG_INFO, "the model is in %s", paths[i]);
    }
    return true;
}

/* What came of the training so far. The program's own test may have been another process's. */
static struct server_outcome outcome_of(const struct training *training,
                                        struct muster_scalar metrics[SERVER_METRICS_MAX])
{
    const struct server_hooks *hooks = training->hooks;
    struct server_outcome outcome = {
        .rounds = training->rounds_held,
        .model = training_result(training),
        .metrics = training->evaluation.means,
        .metric_count = training->evaluation.count,
    };
    if (hooks->evaluate) {
        outcome.metric_count = hooks->evaluate(hooks->context, outcome.model, metrics);
        outcome.metrics = metrics;
    }
    return outcome;
}

/* Gives the result to the program. */
static bool conclude(struct training *training)
{
    const struct server_hooks *hooks = training->hooks;
    struct muster_scalar metrics[SERVER_METRICS_MAX];
    struct server_outcome outcome = outcome_of(training, metrics);
    bool written = write_result(training);
    return (!hooks->conclude || hooks->conclude(hooks->context, &outcome)) && written;
}

/* What the record says of how it ended. */
static enum recorded_end end_of(int result)
{
    if (result == EXIT_SUCCESS)
        return RECORDED_FINISHED;
    return signals_caught() != 0 ? RECORDED_KILLED : RECORDED_FAILED;
}

/* A file that cannot be written is to be noticed before the training, not after it. */
static enum muster_status try_result(const struct server_settings *settings, struct muster_error *error)
{
    if (!settings->result)
        return MUSTER_OK;
    bool there = access(settings->result, F_OK) == 0;
    int file = open(settings->result, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0)
        return explain(error, MUSTER_IO, "--result %.200s: %s", settings->result, strerror(errno));
    close(file);
    if (!there)
        unlink(settings->result);
    return MUSTER_OK;
}

static void tell_stopped(const struct training *training)
{
    struct muster_scalar metrics[SERVER_METRICS_MAX];
    char tested[512] = "";
    if (training->strategy && training->moves > 0) {
        struct server_outcome outcome = outcome_of(training, metrics);
        metrics_text(outcome.metrics, outcome.metric_count, "test ", tested, sizeof(tested));
    }
    log_write(LOG_INFO, "%s: stopped after round %zu%s%s", training->hooks->name, training->rounds_held,
              tested, training->run ? "; the same command goes on from there" : "");
}

static int finish(struct training *training, enum muster_status status, const char *why)
{
    if (status == MUSTER_STOPPED)
        tell_stopped(training);
    else if (status != MUSTER_OK)
        log_write(LOG_ERROR, "%s: %s", training->hooks->name, why);
    if (status == MUSTER_STOPPED && training->strategy && training->moves > 0)
        write_result(training);
    if (status == MUSTER_OK && training_has_learned(training) && conclude(training))
        return EXIT_SUCCESS;
    return signals_caught() != 0 ? 128 + signals_caught() : EXIT_FAILURE;
}

int server_run(const struct server_settings *settings, const struct server_hooks *hooks)
{
    struct training training = {.settings = settings, .hooks = hooks};
    struct muster_error error;
    enum muster_status status = try_result(settings, &error);
    if (status == MUSTER_OK && settings->metrics && !(training.metrics = fopen(settings->metrics, "we")))
        status = explain(&error, MUSTER_IO, "%.200s: %s", settings->metrics, strerror(errno));
    if (status == MUSTER_OK)
        status = train(&training, &error);
    int result = finish(&training, status, error.text);
    const struct muster_message *model = training.strategy && training.rounds_held > 0 && !training.is_torn
                                             ? training_result(&training)
                                             : NULL;
    recording_close(training.recording, model, training.rounds_held, end_of(result));
    if (training.metrics)
        fclose(training.metrics);
    training_free(&training);
    return result;
}
