/* lib/record may be absent: --record is refused then, and this is all that knows. */
#include <config.h>

#include "recording.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attendance.h"
#include "common/dataset.h"
#include "common/log.h"
#include "common/monitoring.h"
#include "model.h"
#include "rounds.h"
#include "settings/configuration.h"

enum { CLOSE_MS = 10000, CLOSE_KILLED_MS = 3000, HISTOGRAMS_MAX = 50, RECORDED_ARRAYS_MAX = 64 };

#define MODEL_FILE "model.npz"

struct recording {
    const struct server_settings *settings;
    const struct server_hooks *hooks;
    struct muster_record *record;  /* NULL: none */
    struct monitoring *monitoring; /* NULL: none */
};

/* ---- the record ---- */

#ifdef HAVE_RECORD

static enum muster_status open_record(struct recording *recording, const char *identity,
                                      struct muster_error *error)
{
    struct muster_record_options options;
    if (recording->settings->sinks.count == 0)
        return MUSTER_OK;
    muster_record_options_init(&options);
    options.sinks = recording->settings->sinks.list;
    options.sink_count = recording->settings->sinks.count;
    options.identity = identity;
    options.on_warning = attendance_warn;
    return muster_record_open(&options, &recording->record, error);
}

/* Other sinks keep no file. */
static bool takes_files(const struct server_settings *settings)
{
    for (size_t i = 0; i < settings->sinks.count; i++) {
        if (strncmp(settings->sinks.list[i], "mlflow:", strlen("mlflow:")) == 0)
            return true;
    }
    return false;
}

/* Makes a directory for a while; its path, which is to be freed, or NULL. */
static char *make_directory(void)
{
    const char *parent = getenv("TMPDIR");
    char *path;
    if (asprintf(&path, "%s/muster-XXXXXX", parent ? parent : "/tmp") < 0)
        return NULL;
    if (mkdtemp(path))
        return path;
    free(path);
    return NULL;
}

/* Writes the result to a directory; its path, which is to be freed, or NULL. */
static char *write_model(const char *directory, const struct muster_message *model)
{
    struct muster_error error;
    char *path;
    if (asprintf(&path, "%s/" MODEL_FILE, directory) < 0)
        return NULL;
    if (model_write(path, model, &error) == MUSTER_OK)
        return path;
    log_write(LOG_WARNING, "the model is not recorded: %s", error.text);
    free(path);
    return NULL;
}

static void close_record(struct recording *recording, const struct muster_message *model, size_t round,
                         enum recorded_end end)
{
    static const enum muster_record_outcome outcomes[] = {
        [RECORDED_FINISHED] = MUSTER_RECORD_FINISHED,
        [RECORDED_FAILED] = MUSTER_RECORD_FAILED,
        [RECORDED_KILLED] = MUSTER_RECORD_KILLED,
    };
    struct muster_error error;
    if (!recording->record)
        return;
    const struct server_settings *settings = recording->settings;
    /* Sinks read the file until the record is closed: without a run directory it lasts as long. */
    char *made = model && !settings->run && takes_files(settings) ? make_directory() : NULL;
    const char *directory = made ? made : settings->run;
    char *path = model && directory ? write_model(directory, model) : NULL;
    if (path)
        muster_record_file(recording->record, (int64_t)round, MODEL_FILE, path);
    if (muster_record_close(recording->record, outcomes[end],
                            end == RECORDED_KILLED ? CLOSE_KILLED_MS : CLOSE_MS, &error) != MUSTER_OK)
        log_write(LOG_WARNING, "%s", error.text);
    if (path && made)
        unlink(path);
    if (made)
        rmdir(made);
    free(path);
    free(made);
}

#endif

/* ---- both ---- */

static void record_setting(struct recording *recording, const char *name, const char *text)
{
#ifdef HAVE_RECORD
    muster_record_setting(recording->record, name, text);
#endif
    monitoring_setting(recording->monitoring, name, text);
}

static void record_scalar(struct recording *recording, size_t round, const char *name, double value)
{
#ifdef HAVE_RECORD
    muster_record_scalar(recording->record, (int64_t)round, name, value);
#endif
    monitoring_scalar(recording->monitoring, round, name, value);
}

/* Each setting by its name, and all of them as one text. */
static void record_configuration(struct recording *recording)
{
    char *text;
    const char *name;
    json_t *value, *configuration = configuration_new(recording->settings, recording->hooks->configuration);
    json_object_foreach(configuration, name, value)
    {
        text = json_is_string(value) ? strdup(json_string_value(value))
                                     : json_dumps(value, JSON_ENCODE_ANY | CONFIGURATION_FORMAT);
        if (text)
            record_setting(recording, name, text);
        free(text);
    }
#ifdef HAVE_RECORD
    text = json_dumps(configuration, CONFIGURATION_FORMAT);
    if (text)
        muster_record_text(recording->record, 0, "configuration", text);
    free(text);
#endif
    json_decref(configuration);
}

static enum muster_status open_monitoring(struct recording *recording, struct muster_error *error)
{
    const struct server_settings *settings = recording->settings;
    enum muster_status status =
        monitoring_open(settings->monitor, &settings->credentials, &recording->monitoring, error);
    if (recording->monitoring)
        log_write(LOG_INFO, "%s", monitoring_place(recording->monitoring));
    return status;
}

static enum muster_status open_parts(struct recording *recording, const char *identity,
                                     struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
#ifdef HAVE_RECORD
    status = open_record(recording, identity, error);
#endif
    (void)identity;
    return status == MUSTER_OK ? open_monitoring(recording, error) : status;
}

enum muster_status recording_open(const struct server_settings *settings, const struct server_hooks *hooks,
                                  const char *identity, struct recording **recording,
                                  struct muster_error *error)
{
    *recording = calloc(1, sizeof(**recording));
    if (!*recording)
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    (*recording)->settings = settings;
    (*recording)->hooks = hooks;
    enum muster_status status = open_parts(*recording, identity, error);
    if (status != MUSTER_OK) {
        recording_close(*recording, NULL, 0, RECORDED_FAILED);
        *recording = NULL;
        return status;
    }
    record_configuration(*recording);
    return MUSTER_OK;
}

uint16_t recording_monitor_port(const struct recording *recording)
{
    return monitoring_port(recording->monitoring);
}

enum muster_status recording_show(struct recording *recording, struct participant_manager *manager,
                                  struct muster_error *error)
{
    return monitoring_add_manager(recording->monitoring, "training", manager, error);
}

void recording_hide(struct recording *recording, struct participant_manager *manager)
{
    monitoring_remove_manager(recording->monitoring, manager);
}

static void record_histograms(struct recording *recording, size_t round, const struct muster_message *model)
{
#ifdef HAVE_RECORD
    size_t rounds = recording->settings->rounds, interval = (rounds + HISTOGRAMS_MAX - 1) / HISTOGRAMS_MAX;
    if (round % interval != 0 && round != rounds)
        return;
    for (size_t i = 0; i < model->array_count && i < RECORDED_ARRAYS_MAX; i++)
        muster_record_histogram(recording->record, (int64_t)round, model->array_names[i], &model->arrays[i]);
#endif
    (void)recording;
    (void)round;
    (void)model;
}

void recording_metrics(struct recording *recording, size_t round, const struct muster_scalar *metrics,
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char name[METRIC_NAME_SIZE + 8];
        snprintf(name, sizeof(name), "test/%s", metrics[i].name);
        record_scalar(recording, round, name, metrics[i].value);
    }
}

void recording_round(struct recording *recording, const struct round_report *round,
                     const struct muster_message *model)
{
    record_scalar(recording, round->number, "train/loss", round->train_loss);
    recording_metrics(recording, round->number, round->metrics, round->metric_count);
    if (!isnan(round->epsilon))
        record_scalar(recording, round->number, "privacy/epsilon", round->epsilon);
    record_scalar(recording, round->number, "round/answered", (double)round->answered);
    record_scalar(recording, round->number, "round/failed", (double)round->failed);
    record_scalar(recording, round->number, "round/seconds", round->seconds);
    record_scalar(recording, round->number, "round/bytes_sent", (double)round->bytes_sent);
    record_scalar(recording, round->number, "round/bytes_received", (double)round->bytes_received);
    record_histograms(recording, round->number, model);
}

void recording_close(struct recording *recording, const struct muster_message *model, size_t round,
                     enum recorded_end end)
{
    if (!recording)
        return;
#ifdef HAVE_RECORD
    close_record(recording, model, round, end);
#endif
    monitoring_close(recording->monitoring);
    (void)model;
    (void)round;
    (void)end;
    free(recording);
}
