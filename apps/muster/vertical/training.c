/* A master at work. */
#include <config.h>

#include "training.h"

#include <csv.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "central.h"
#include "common/log.h"
#include "common/notify.h"
#include "common/port.h"
#include "common/signals.h"
#include "member.h"
#include "recording.h"
#include "state.h"
#include "threads.h"

enum { COME_BACK_SECONDS = 1 };

#define MASTER "master"

struct training {
    const struct master_options *options;
    struct table labels;
    struct muster_vertical_table view; /* of the labels */
    struct participant_manager *manager;
    struct muster_vertical *vertical;
    struct recording *recording;
    struct threads *threads; /* NULL: members are processes */
    /* Of the last report. */
    struct muster_vertical_metrics train, test;
    bool reported; /* there was one, and it could be measured */
};

static bool is_numbers(const struct training *training)
{
    enum muster_vertical_model model = training->options->training.model;
    return model == MUSTER_VERTICAL_LINEAR || model == MUSTER_VERTICAL_RIDGE;
}

static bool has_threads(const struct master_options *options)
{
    return strncmp(options->listen, "local:", strlen("local:")) == 0;
}

/* ---- reports ---- */

static void warn(void *context, const char *text)
{
    (void)context;
    log_write(LOG_WARNING, "%s", text);
}

/* The words of a part's metrics, such as "test loss 0.3124, accuracy 0.8725, ROC AUC 0.9412". */
static void describe(const struct training *training, const char *part,
                     const struct muster_vertical_metrics *metrics, char *text, size_t size)
{
    if (is_numbers(training))
        snprintf(text, size, "%s loss %#.6g, MAE %#.4g, RMSE %#.4g, R2 %#.4g", part, metrics->loss,
                 metrics->mae, metrics->rmse, metrics->r2);
    else
        snprintf(text, size, "%s loss %#.6g, accuracy %.4f, ROC AUC %.4f", part, metrics->loss,
                 metrics->accuracy, metrics->roc_auc_macro);
}

static void take_report(void *context, const struct muster_vertical_report *report)
{
    struct training *training = context;
    struct muster_error error;
    char train[160], test[160];
    training->reported = false;
    if (muster_vertical_measure(training->options->training.model, &report->train, &training->train,
                                &error) != MUSTER_OK ||
        muster_vertical_measure(training->options->training.model, &report->test, &training->test, &error) !=
            MUSTER_OK) {
        log_write(LOG_WARNING, "the report of update %llu: %s", (unsigned long long)report->update,
                  error.text);
        return;
    }
    training->reported = true;
    vertical_state_reached(report->update, report->updates);
    vertical_recording_report(training->recording, report, &training->train, &training->test,
                              training->manager);
    describe(training, "train", &training->train, train, sizeof(train));
    describe(training, "test", &training->test, test, sizeof(test));
    printf("update %llu of %llu, epoch %llu: %s; %s; %.3f ms an iteration\n",
           (unsigned long long)report->update, (unsigned long long)report->updates,
           (unsigned long long)report->epoch, train, report->test.rows > 0 ? test : "no test records",
           report->iteration_ms);
    fflush(stdout);
}

/* ---- the end ---- */

/* "loss X, accuracy Y", or r2 for numbers; the numbers alone if there are no words. */
static void print_result(const struct training *training, const struct muster_vertical_metrics *metrics,
                         bool words)
{
    printf(words ? "loss %.10f, %s %.4f" : "%.10f%s, %.4f", metrics->loss,
           !words                 ? ""
           : is_numbers(training) ? "r2"
                                  : "accuracy",
           is_numbers(training) ? metrics->r2 : metrics->accuracy);
}

/* The records that all have, as rows of the labels: a copy, as the next call with the master takes it back. */
static enum muster_status joint_rows(struct training *training, size_t **joint, size_t *count,
                                     struct muster_error *error)
{
    struct muster_vertical_part all;
    enum muster_status status = muster_vertical_predict(training->vertical, MUSTER_VERTICAL_ALL, &all, error);
    if (status != MUSTER_OK)
        return status;
    *count = all.rows;
    *joint = calloc(all.rows + 1, sizeof(**joint));
    if (!*joint)
        return table_out_of_memory(error);
    memcpy(*joint, all.own, all.rows * sizeof(**joint));
    return MUSTER_OK;
}

static enum muster_status compare(struct training *training, struct muster_vertical_metrics *central,
                                  struct muster_error *error)
{
    size_t *joint, count, outputs;
    vertical_state_stage("training on all columns, to compare");
    enum muster_status status = joint_rows(training, &joint, &count, error);
    if (status != MUSTER_OK)
        return status;
    muster_vertical_bias(training->vertical, &outputs);
    status = central_train(training->options, &training->labels, joint, count, outputs, central, error);
    free(joint);
    return status;
}

/* The last report could not be measured, or there was none: a run may have had more epochs than are wanted now. */
static enum muster_status measure_again(struct training *training, struct muster_error *error)
{
    struct muster_vertical_part part;
    size_t test;
    muster_vertical_rows(training->vertical, &test);
    enum muster_status status = muster_vertical_predict(
        training->vertical, test > 0 ? MUSTER_VERTICAL_TEST : MUSTER_VERTICAL_TRAIN, &part, error);
    return status == MUSTER_OK ? muster_vertical_measure(training->options->training.model, &part,
                                                         test > 0 ? &training->test : &training->train, error)
                               : status;
}

/* Its last line is for programs. */
static enum muster_status conclude(struct training *training, struct muster_error *error)
{
    struct muster_vertical_metrics central;
    size_t test;
    enum muster_status status = training->reported ? MUSTER_OK : measure_again(training, error);
    if (status == MUSTER_OK && training->options->central)
        status = compare(training, &central, error);
    if (status != MUSTER_OK)
        return status;
    muster_vertical_rows(training->vertical, &test);
    printf("final %s ", test > 0 ? "test" : "train");
    print_result(training, test > 0 ? &training->test : &training->train, true);
    if (training->options->central) {
        fputs("; central: ", stdout);
        print_result(training, &central, false);
    }
    putchar('\n');
    return fflush(stdout) == 0 ? MUSTER_OK
                               : table_refuse(error, MUSTER_IO, "standard output: %s", strerror(errno));
}

static enum muster_status save(const struct training *training, struct muster_error *error)
{
    char *path;
    enum muster_status status =
        shared_path(training->options->shared.weights, MASTER, ".npz", true, &path, error);
    if (status == MUSTER_OK && path)
        status = muster_vertical_save(training->vertical, path, error);
    free(path);
    return status;
}

/* ---- inference ---- */

static void write_predictions(const struct training *training, const struct muster_vertical_part *part,
                              FILE *out)
{
    fputs("id", out);
    for (size_t i = 0; i < part->outputs; i++)
        fprintf(out, part->outputs > 1 ? ",prediction-%zu" : ",prediction", i);
    for (size_t row = 0; row < part->rows; row++) {
        const char *id = training->labels.ids[part->own[row]];
        putc('\n', out);
        csv_fwrite(out, id, strlen(id));
        for (size_t i = 0; i < part->outputs; i++)
            fprintf(out, ",%.17g", part->predictions[row * part->outputs + i]);
    }
    putc('\n', out);
}

static enum muster_status infer(struct training *training, struct muster_error *error)
{
    struct muster_vertical_part part;
    const char *path = training->options->predictions;
    enum muster_status status =
        muster_vertical_predict(training->vertical, MUSTER_VERTICAL_ALL, &part, error);
    if (status != MUSTER_OK)
        return status;
    FILE *out = path ? fopen(path, "we") : stdout;
    if (out)
        write_predictions(training, &part, out);
    bool written = out && fflush(out) == 0 && !ferror(out);
    if (out && path)
        written = fclose(out) == 0 && written;
    return written
               ? muster_vertical_finish(training->vertical, error)
               : table_refuse(error, MUSTER_IO, "%s: %s", path ? path : "standard output", strerror(errno));
}

/* ---- the training ---- */

static enum muster_status check_class_weights(const struct training *training, struct muster_error *error)
{
    const struct master_options *options = training->options;
    if (options->class_weights && options->training.model == MUSTER_VERTICAL_LOGISTIC &&
        options->class_weight_count != training->labels.columns)
        return table_refuse(error, MUSTER_INVALID,
                            "--class-weights has %zu numbers, and there are %zu labels",
                            options->class_weight_count, training->labels.columns);
    return MUSTER_OK;
}

static enum muster_status make_master(struct training *training, struct muster_error *error)
{
    const struct shared_options *shared = &training->options->shared;
    struct muster_vertical_options options = training->options->training;
    char *run = NULL, *weights = NULL;
    enum muster_status status = check_class_weights(training, error);
    if (status == MUSTER_OK)
        status = shared_path(shared->run, MASTER, "", true, &run, error);
    if (status == MUSTER_OK) /* whether they can be written shows now, not after hours of training */
        status = shared_path(shared->weights, MASTER, ".npz", !shared->infer, &weights, error);
    if (options.class_weights && options.model == MUSTER_VERTICAL_MULTINOMIAL)
        options.outputs = training->options->class_weight_count;
    options.run = run;
    options.weights = shared->infer ? weights : NULL;
    options.on_report = take_report;
    options.on_warning = warn;
    options.context = training;
    if (status == MUSTER_OK)
        status = muster_vertical_new(&training->view, &options, &training->vertical, error);
    free(run);
    free(weights);
    return status;
}

static enum muster_status work(struct training *training, struct muster_error *error)
{
    const struct shared_options *shared = &training->options->shared;
    size_t test;
    vertical_state_stage("waiting for members, and matching records");
    log_write(LOG_INFO, "waiting for %zu member%s at %s", shared->members, shared->members == 1 ? "" : "s",
              participant_manager_address(training->manager));
    enum muster_status status = muster_vertical_match(training->vertical, training->manager, shared->members,
                                                      shared->rendezvous_ms, error);
    if (status != MUSTER_OK)
        return status;
    size_t rows = muster_vertical_rows(training->vertical, &test);
    log_write(LOG_INFO, "%zu records of %zu are joint, %zu of them for testing", rows, training->labels.rows,
              test);
    vertical_state_stage(shared->infer ? "predicting" : "training");
    if (shared->infer)
        return infer(training, error);
    status = muster_vertical_train(training->vertical, error);
    if (status == MUSTER_OK)
        status = save(training, error);
    return status == MUSTER_OK ? conclude(training, error) : status;
}

/* ---- the manager ---- */

static void tell_event(void *context, const struct participant_manager_event *event)
{
    static struct log_allowance allowance = {.a_minute = 100};
    static const char *const words[] = {
        [PARTICIPANT_MANAGER_JOINED] = "joined",   [PARTICIPANT_MANAGER_LEFT] = "left",
        [PARTICIPANT_MANAGER_REFUSED] = "refused", [PARTICIPANT_MANAGER_AWAY] = "away",
        [PARTICIPANT_MANAGER_BACK] = "back",
    };
    (void)context;
    if ((size_t)event->kind >= sizeof(words) / sizeof(*words) || !words[event->kind])
        return;
    log_later(LOG_INFO, &allowance, "%s: %s%s%s", proxy_name(event->proxy), words[event->kind],
              event->text[0] != '\0' ? ": " : "", event->text);
}

static void warn_later(void *context, const char *text)
{
    static struct log_allowance allowance = {.a_minute = 100};
    (void)context;
    log_later(LOG_WARNING, &allowance, "warning: %s", text);
}

/* At a signal: what waits ends. Members come back if the same command is to go on. */
static void stop(void *context, bool at_once)
{
    struct training *training = context;
    if (at_once)
        signals_end(NULL, true);
    if (training->options->shared.run && !training->threads)
        participant_manager_close_for(training->manager, COME_BACK_SECONDS, NULL);
    participant_manager_close(training->manager);
}

static enum muster_status start_manager(struct training *training, struct muster_error *error)
{
    const struct master_options *options = training->options;
    struct participant_manager_options manager;
    participant_manager_options_init(&manager);
    manager.listen = options->listen;
    manager.credentials = options->credentials;
    manager.max_message_size = (size_t)options->shared.max_message_size;
    manager.session_grace_ms = options->sent_task_ms;
    manager.heartbeat_ms = options->heartbeat_ms;
    manager.keepalive_time_ms = options->idle_ms * 5 / 6;
    manager.keepalive_timeout_ms = options->idle_ms / 6;
    manager.on_event = tell_event;
    manager.on_warning = warn_later;
    return participant_manager_start(&manager, &training->manager, error);
}

static enum muster_status serve(struct training *training, struct muster_error *error)
{
    const struct master_options *options = training->options;
    enum muster_status status = vertical_recording_show(training->recording, training->manager, error);
    if (status == MUSTER_OK && has_threads(options))
        status = threads_start(options, training->manager, &training->threads, error);
    if (status != MUSTER_OK)
        return status;
    signals_call(stop, training, -1);
    signals_call_state(vertical_state_tell, training->manager);
    if (options->port_file)
        status = port_announce(options->port_file, participant_manager_port(training->manager),
                               vertical_recording_monitor_port(training->recording), error);
    if (status == MUSTER_OK) {
        notify_ready();
        status = work(training, error);
    }
    notify_stopping();
    signals_call(NULL, NULL, -1);
    signals_call_state(NULL, NULL);
    participant_manager_close(training->manager);
    struct muster_error cause;
    enum muster_status theirs = threads_join(training->threads, &cause);
    if (theirs != MUSTER_OK && (status == MUSTER_OK || status == MUSTER_STOPPED)) {
        status = theirs;
        *error = cause;
    }
    return status;
}

static enum muster_status begin(struct training *training, struct muster_error *error)
{
    const struct table_options data =
        shared_table(&training->options->shared, training->options->shared.infer ? TABLE_IDS : TABLE_LABELS);
    vertical_state_stage("loading the data");
    enum muster_status status = table_load(&data, &training->labels, error);
    training->view = member_view(&training->labels);
    if (status == MUSTER_OK)
        status = make_master(training, error);
    if (status == MUSTER_OK)
        status = vertical_recording_open(training->options, &training->recording, error);
    if (status == MUSTER_OK)
        status = start_manager(training, error);
    return status;
}

enum muster_status vertical_training_run(const struct master_options *options, struct muster_error *error)
{
    struct training training = {.options = options};
    enum muster_status status = begin(&training, error);
    if (status == MUSTER_OK)
        status = serve(&training, error);
    if (training.manager)
        vertical_recording_hide(training.recording, training.manager);
    muster_vertical_free(training.vertical);
    participant_manager_free(training.manager);
    vertical_recording_close(training.recording, status == MUSTER_OK);
    table_free(&training.labels);
    return status;
}
