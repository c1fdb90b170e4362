/* Curves of the training. */
#include <config.h>

#include "recording.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/monitoring.h"
#include "common/record.h"
#include "master_table.h"

enum { NAME_SIZE = 250 };

struct recording {
    const struct master_options *options;
    struct muster_record *record;  /* NULL: none */
    struct monitoring *monitoring; /* NULL: none */
};

/* ---- settings ---- */

static void add_text(struct recording *recording, const char *name, const char *text)
{
    record_setting(recording->record, name, text);
    monitoring_setting(recording->monitoring, name, text);
}

static void add_number(struct recording *recording, const char *name, double value)
{
    char text[32];
    snprintf(text, sizeof(text), "%.10g", value);
    add_text(recording, name, text);
}

static void add_settings(struct recording *recording)
{
    const struct master_options *options = recording->options;
    const struct muster_vertical_options *training = &options->training;
    add_text(recording, "data", options->shared.data.spec);
    add_text(recording, "model", master_table_model(training->model));
    add_text(recording, "matching", training->private_matching ? "private" : "plain");
    add_number(recording, "members", (double)options->shared.members);
    add_number(recording, "seed", (double)training->seed);
    add_number(recording, "epochs", (double)training->epochs);
    add_number(recording, "batch_size", (double)training->batch_size);
    add_number(recording, "learning_rate", training->learning_rate);
    add_number(recording, "l2", training->l2);
    add_number(recording, "momentum", training->momentum);
    add_number(recording, "test_fraction", training->test_fraction);
    add_text(recording, "standardize", training->standardize ? "true" : "false");
    add_text(recording, "bias", training->bias ? "true" : "false");
    add_text(recording, "consecutive", training->consecutive ? "true" : "false");
    add_text(recording, "start", training->uniform_start ? "uniform" : "zero");
}

static enum muster_status open_monitoring(struct recording *recording, struct muster_error *error)
{
    const struct master_options *options = recording->options;
    enum muster_status status =
        monitoring_open(options->monitor, &options->credentials, &recording->monitoring, error);
    if (recording->monitoring) {
        puts(monitoring_place(recording->monitoring));
        fflush(stdout);
    }
    return status;
}

enum muster_status vertical_recording_open(const struct master_options *options, struct recording **recording,
                                           struct muster_error *error)
{
    *recording = NULL;
    struct recording *made = calloc(1, sizeof(*made));
    if (!made)
        return table_out_of_memory(error);
    made->options = options;
    enum muster_status status = record_open(options->sinks.list, options->sinks.count, &made->record, error);
    if (status == MUSTER_OK)
        status = open_monitoring(made, error);
    if (status != MUSTER_OK) {
        vertical_recording_close(made, false);
        return status;
    }
    add_settings(made);
    *recording = made;
    return MUSTER_OK;
}

uint16_t vertical_recording_monitor_port(const struct recording *recording)
{
    return monitoring_port(recording->monitoring);
}

enum muster_status vertical_recording_show(struct recording *recording, struct participant_manager *manager,
                                           struct muster_error *error)
{
    return monitoring_add_manager(recording->monitoring, "vertical", manager, error);
}

void vertical_recording_hide(struct recording *recording, struct participant_manager *manager)
{
    monitoring_remove_manager(recording->monitoring, manager);
}

/* ---- numbers ---- */

/* What does not apply is left out. */
static void add(struct recording *recording, uint64_t step, const char *name, double value)
{
    if (isnan(value))
        return;
    record_scalar(recording->record, step, name, value);
    monitoring_scalar(recording->monitoring, step, name, value);
}

static void add_of(struct recording *recording, uint64_t step, const char *first, const char *second,
                   double value)
{
    char name[NAME_SIZE + 1];
    snprintf(name, sizeof(name), "%s/%s", first, second);
    add(recording, step, name, value);
}

static void add_metrics(struct recording *recording, uint64_t step, const char *part,
                        const struct muster_vertical_metrics *metrics)
{
    add_of(recording, step, part, "loss", metrics->loss);
    add_of(recording, step, part, "accuracy", metrics->accuracy);
    add_of(recording, step, part, "roc_auc_macro", metrics->roc_auc_macro);
    add_of(recording, step, part, "roc_auc_micro", metrics->roc_auc_micro);
    add_of(recording, step, part, "mae", metrics->mae);
    add_of(recording, step, part, "rmse", metrics->rmse);
    add_of(recording, step, part, "r2", metrics->r2);
}

/* Times in seconds, and sizes in bytes, of one task on average. */
static void add_member(struct recording *recording, uint64_t step,
                       const struct muster_vertical_member_report *member)
{
    double turns = (double)member->turns;
    if (member->turns == 0)
        return;
    add_of(recording, step, "agent_task_execution_time", member->name, member->task_ms / 1000 / turns);
    add_of(recording, step, "member_send_time", member->name,
           (member->turn_ms - member->task_ms) / 1000 / turns);
    add_of(recording, step, "task_message_size", member->name,
           (double)(member->sent_bytes + member->received_bytes) / turns);
}

void vertical_recording_report(struct recording *recording, const struct muster_vertical_report *report,
                               const struct muster_vertical_metrics *train,
                               const struct muster_vertical_metrics *test,
                               struct participant_manager *manager)
{
    struct participant_manager_statistics statistics;
    participant_manager_get_statistics(manager, &statistics);
    add_metrics(recording, report->update, "train", train);
    add_metrics(recording, report->update, "test", test);
    add(recording, report->update, "epoch", (double)report->epoch);
    add(recording, report->update, "iteration_time_gauge", report->iteration_ms / 1000);
    monitoring_histogram(recording->monitoring, "iteration_time_hist", &report->iteration_times);
    add(recording, report->update, "number_of_connected_agents", (double)statistics.open);
    for (size_t i = 0; i < report->member_count; i++)
        add_member(recording, report->update, &report->members[i]);
}

void vertical_recording_close(struct recording *recording, bool well)
{
    if (!recording)
        return;
    record_close(recording->record, well);
    monitoring_close(recording->monitoring);
    free(recording);
}
