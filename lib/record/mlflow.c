/*
 * MLflow's tracking server, by its REST API 2.0. Everything that is sent may be sent again without harm: a
 * run has a tag by which it is found when the answer to its creation was lost, and a number keeps its time.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "record/http.h"
#include "record/json.h"
#include "record/sink.h"
#include "status.h"
#include "text.h"

#define API         "api/2.0/mlflow/"
#define RUNS_CREATE API "runs/create"
#define ARTIFACTS   "api/2.0/mlflow-artifacts/artifacts/"
#define PROXIED     "mlflow-artifacts:"
#define TAG         "muster_record" /* of a run: its identity */

/* MLflow's limits. */
enum { METRICS_MAX = 1000, PARAMS_MAX = 100, PARAM_SIZE_MAX = 6000, KEY_SIZE_MAX = 250 };

enum { REFUSALS_TOLD = 8, RANDOM_SIZE = 16, IDENTITY_SIZE = 65 };

struct mlflow {
    struct sink *sink;
    struct http *http;
    char *experiment;
    char *run_name; /* or NULL */
    char identity[IDENTITY_SIZE];
    char *experiment_id; /* those below: NULL until the server has said them */
    char *run_id;
    char *artifacts; /* where the server takes them; NULL too if it does not */
    int64_t started_ms;
    unsigned refusals;
    bool told_artifacts;
};

/* ---- what MLflow takes ---- */

/* A name as MLflow takes it: another character is '-' and its bytes in hexadecimal digits, and so is a part
   that a path would not keep. */
static const char *key_of(const char *name, char key[KEY_SIZE_MAX + 1])
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-. /";
    size_t used = 0;
    bool dots = false; /* in a part that is "." or ".." */
    for (const char *at = name; *at; at++) {
        bool begins = at == name || at[-1] == '/';
        size_t length = strcspn(at, "/");
        if (begins || *at == '/')
            dots = length > 0 && length <= 2 && strspn(at, ".") == length;
        bool stays = strchr(plain, *at) && !dots && !(*at == '/' && (begins || !at[1]));
        if (used + (stays ? 1 : 3) > KEY_SIZE_MAX)
            break;
        if (stays)
            key[used++] = *at;
        else
            used += (size_t)sprintf(key + used, "-%02X", (unsigned)(unsigned char)*at);
    }
    if (used > 0 && key[used - 1] == '/') /* where it was cut */
        used--;
    key[used] = '\0';
    return key;
}

/* At most so many bytes, between two characters. */
static json_t *cut_text(const char *text, size_t size)
{
    size_t length = strnlen(text, size + 1);
    if (length > size) {
        length = size;
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
            length--;
    }
    return json_stringn(text, length);
}

/* ---- requests ---- */

/* Sends `body`, which it takes. `answer` may be NULL. */
static enum muster_status post(struct mlflow *mlflow, const char *path, json_t *body, json_t **answer,
                               char code[HTTP_CODE_SIZE], struct muster_error *error)
{
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    if (!text)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    struct http_body content = {.type = "application/json", .bytes = text, .size = strlen(text)};
    content.once = strcmp(path, RUNS_CREATE) == 0;
    enum muster_status status =
        muster__http_request(mlflow->http, "POST", path, &content, answer, code, error);
    free(text);
    return status;
}

/* Keeps a text of an answer. UNAVAILABLE: it is not there. */
static enum muster_status keep(char **kept, const json_t *object, const char *name,
                               struct muster_error *error)
{
    const char *text = json_string_value(json_object_get(object, name));
    if (!text || !*text)
        return muster__error(error, MUSTER_UNAVAILABLE, "the server's answer has no %s (is this MLflow?)",
                             name);
    *kept = strdup(text);
    return *kept ? MUSTER_OK : muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
}

/* That the server refuses for good what nothing goes without does not stop the record: it is tried again. */
static enum muster_status needed(enum muster_status status)
{
    return status == MUSTER_INVALID ? MUSTER_UNAVAILABLE : status;
}

/* ---- the experiment ---- */

static enum muster_status get_experiment(struct mlflow *mlflow, char code[HTTP_CODE_SIZE],
                                         struct muster_error *error)
{
    json_t *answer = NULL;
    char *path = NULL;
    char *name = muster__http_escape(mlflow->experiment, false);
    if (!name || asprintf(&path, API "experiments/get-by-name?experiment_name=%s", name) < 0) {
        free(name);
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    }
    enum muster_status status = muster__http_request(mlflow->http, "GET", path, NULL, &answer, code, error);
    free(name);
    free(path);
    if (status != MUSTER_OK)
        return status;
    const json_t *experiment = json_object_get(answer, "experiment");
    const char *stage = json_string_value(json_object_get(experiment, "lifecycle_stage"));
    if (stage && strcmp(stage, "deleted") == 0)
        status = muster__error(error, MUSTER_UNAVAILABLE,
                               "the experiment '%.60s' was deleted: restore it, or choose another name",
                               mlflow->experiment);
    else
        status = keep(&mlflow->experiment_id, experiment, "experiment_id", error);
    json_decref(answer);
    return status;
}

static enum muster_status find_experiment(struct mlflow *mlflow, struct muster_error *error)
{
    char code[HTTP_CODE_SIZE];
    json_t *answer = NULL;
    enum muster_status status = get_experiment(mlflow, code, error);
    if (status != MUSTER_INVALID || strcmp(code, "RESOURCE_DOES_NOT_EXIST") != 0)
        return needed(status);
    status = post(mlflow, API "experiments/create", json_pack("{s:s}", "name", mlflow->experiment), &answer,
                  code, error);
    if (status == MUSTER_INVALID && strcmp(code, "RESOURCE_ALREADY_EXISTS") == 0)
        return needed(get_experiment(mlflow, code, error)); /* somebody else made it meanwhile */
    if (status == MUSTER_OK)
        status = keep(&mlflow->experiment_id, answer, "experiment_id", error);
    json_decref(answer);
    return needed(status);
}

/* ---- the run ---- */

/* Artifacts that the server passes on itself have an address that begins so, perhaps with the server in
   it. */
static enum muster_status keep_artifacts(struct mlflow *mlflow, const json_t *information,
                                         struct muster_error *error)
{
    const char *uri = json_string_value(json_object_get(information, "artifact_uri"));
    if (!uri || strncmp(uri, PROXIED, strlen(PROXIED)) != 0)
        return MUSTER_OK;
    uri += strlen(PROXIED);
    if (strncmp(uri, "//", 2) == 0)
        uri += 2 + strcspn(uri + 2, "/");
    uri += strspn(uri, "/");
    mlflow->artifacts = muster__http_escape(uri, true);
    return mlflow->artifacts ? MUSTER_OK : muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
}

static enum muster_status keep_run(struct mlflow *mlflow, const json_t *run, struct muster_error *error)
{
    const json_t *information = json_object_get(run, "info");
    enum muster_status status = keep_artifacts(mlflow, information, error);
    if (status == MUSTER_OK)
        status = keep(&mlflow->run_id, information, "run_id", error);
    if (status != MUSTER_OK) {
        free(mlflow->artifacts);
        mlflow->artifacts = NULL;
    }
    return status;
}

static enum muster_status update_run(struct mlflow *mlflow, const char *run_status, int64_t ended_ms,
                                     struct muster_error *error)
{
    char code[HTTP_CODE_SIZE];
    json_t *body = json_pack("{s:s, s:s}", "run_id", mlflow->run_id, "status", run_status);
    if (ended_ms > 0)
        json_object_set_new(body, "end_time", json_integer(ended_ms));
    return needed(post(mlflow, API "runs/update", body, NULL, code, error));
}

/* Leaves run_id as it is if there is no such run. */
static enum muster_status search_run(struct mlflow *mlflow, struct muster_error *error)
{
    char filter[sizeof("tags." TAG " = ''") + IDENTITY_SIZE];
    char code[HTTP_CODE_SIZE];
    json_t *answer = NULL;
    snprintf(filter, sizeof(filter), "tags." TAG " = '%s'", mlflow->identity);
    json_t *body = json_pack("{s:[s], s:s, s:i, s:s}", "experiment_ids", mlflow->experiment_id, "filter",
                             filter, "max_results", 1, "run_view_type", "ACTIVE_ONLY");
    enum muster_status status = post(mlflow, API "runs/search", body, &answer, code, error);
    if (status != MUSTER_OK)
        return needed(status);
    const json_t *run = json_array_get(json_object_get(answer, "runs"), 0);
    if (run)
        status = keep_run(mlflow, run, error);
    json_decref(answer);
    if (status == MUSTER_OK && run)
        status = update_run(mlflow, "RUNNING", 0, error);
    return status;
}

static enum muster_status create_run(struct mlflow *mlflow, struct muster_error *error)
{
    char code[HTTP_CODE_SIZE];
    json_t *answer = NULL;
    json_t *body = json_pack("{s:s, s:I, s:[{s:s, s:s}, {s:s, s:s}]}", "experiment_id", mlflow->experiment_id,
                             "start_time", (json_int_t)mlflow->started_ms, "tags", "key", TAG, "value",
                             mlflow->identity, "key", "mlflow.source.name", "value", "muster");
    if (mlflow->run_name)
        json_object_set_new(body, "run_name", json_string(mlflow->run_name));
    enum muster_status status = post(mlflow, RUNS_CREATE, body, &answer, code, error);
    if (status == MUSTER_OK)
        status = keep_run(mlflow, json_object_get(answer, "run"), error);
    json_decref(answer);
    return needed(status);
}

/* Brings the run to the server, if it is not there yet. */
static enum muster_status have_run(struct mlflow *mlflow, struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    if (!mlflow->experiment_id)
        status = find_experiment(mlflow, error);
    if (status == MUSTER_OK && !mlflow->run_id)
        status = search_run(mlflow, error);
    if (status == MUSTER_OK && !mlflow->run_id)
        status = create_run(mlflow, error);
    return status;
}

/* ---- entries ---- */

/* The server will never take this one. */
static void drop(struct mlflow *mlflow, const struct entry *entry, const struct muster_error *error)
{
    if (mlflow->refusals++ < REFUSALS_TOLD)
        muster__sink_warn(mlflow->sink, "'%.60s' is left out: %.140s", entry->name, error->text);
}

static json_t *metric_of(const struct entry *entry)
{
    char key[KEY_SIZE_MAX + 1];
    return json_pack("{s:s, s:o, s:I, s:I}", "key", key_of(entry->name, key), "value",
                     muster__json_number(entry->value), "timestamp", (json_int_t)entry->time_ms, "step",
                     (json_int_t)entry->step);
}

static json_t *param_of(const struct entry *entry)
{
    char key[KEY_SIZE_MAX + 1];
    return json_pack("{s:s, s:o}", "key", key_of(entry->name, key), "value",
                     cut_text(entry->text, PARAM_SIZE_MAX));
}

/* Numbers or settings. The server takes all or refuses all: then each half is tried, down to what it
   refuses. */
static enum muster_status log_batch(struct mlflow *mlflow, struct entry *const *entries, size_t count,
                                    struct muster_error *error)
{
    char code[HTTP_CODE_SIZE];
    bool metrics = entries[0]->kind == ENTRY_SCALAR;
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, metrics ? metric_of(entries[i]) : param_of(entries[i]));
    bool whole = json_array_size(list) == count;
    json_t *body = json_pack("{s:s, s:o}", "run_id", mlflow->run_id, metrics ? "metrics" : "params", list);
    if (!whole) {
        json_decref(body);
        body = NULL;
    }
    enum muster_status status = post(mlflow, API "runs/log-batch", body, NULL, code, error);
    if (status != MUSTER_INVALID)
        return status;
    if (count == 1) {
        drop(mlflow, entries[0], error);
        return MUSTER_OK;
    }
    status = log_batch(mlflow, entries, count / 2, error);
    if (status == MUSTER_OK)
        status = log_batch(mlflow, entries + count / 2, count - count / 2, error);
    return status;
}

static enum muster_status put_artifact(struct mlflow *mlflow, const struct entry *entry,
                                       struct muster_error *error)
{
    char key[KEY_SIZE_MAX + 1];
    char code[HTTP_CODE_SIZE];
    char *path = NULL;
    bool text = entry->kind == ENTRY_TEXT;
    if (!mlflow->artifacts) {
        if (!mlflow->told_artifacts)
            muster__sink_warn(mlflow->sink,
                              "the server takes no files by HTTP: '%.60s' and others are left out "
                              "(start it with --serve-artifacts)",
                              entry->name);
        mlflow->told_artifacts = true;
        return MUSTER_OK;
    }
    char *name = muster__http_escape(key_of(entry->name, key), true);
    if (!name || asprintf(&path, ARTIFACTS "%s/%s%s", mlflow->artifacts, name, text ? ".txt" : "") < 0) {
        free(name);
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    }
    struct http_body body = {.type = text ? "text/plain; charset=utf-8" : "application/octet-stream",
                             .bytes = entry->text,
                             .size = strlen(entry->text),
                             .path = text ? NULL : entry->text};
    enum muster_status status = muster__http_request(mlflow->http, "PUT", path, &body, NULL, code, error);
    free(name);
    free(path);
    if (status != MUSTER_INVALID && status != MUSTER_IO)
        return status;
    drop(mlflow, entry, error);
    return MUSTER_OK;
}

/* How many of them go into one request. */
static size_t alike(struct entry *const *entries, size_t count)
{
    enum entry_kind kind = entries[0]->kind;
    size_t most = kind == ENTRY_SCALAR ? METRICS_MAX : kind == ENTRY_SETTING ? PARAMS_MAX : 1;
    size_t size = 1;
    while (size < most && size < count && entries[size]->kind == kind)
        size++;
    return size;
}

static enum muster_status mlflow_write(void *state, struct entry *const *entries, size_t count, size_t *taken,
                                       struct muster_error *error)
{
    struct mlflow *mlflow = state;
    enum muster_status status = have_run(mlflow, error);
    while (status == MUSTER_OK && *taken < count) {
        struct entry *const *next = entries + *taken;
        size_t size = alike(next, count - *taken);
        if (next[0]->kind == ENTRY_SCALAR || next[0]->kind == ENTRY_SETTING)
            status = log_batch(mlflow, next, size, error);
        else if (next[0]->kind != ENTRY_HISTOGRAM) /* MLflow has none */
            status = put_artifact(mlflow, next[0], error);
        *taken += status == MUSTER_OK ? size : 0;
    }
    return status;
}

static enum muster_status mlflow_finish(void *state, enum muster_record_outcome outcome,
                                        struct muster_error *error)
{
    struct mlflow *mlflow = state;
    enum muster_status status = have_run(mlflow, error);
    if (status != MUSTER_OK)
        return status;
    return update_run(mlflow,
                      outcome == MUSTER_RECORD_FINISHED ? "FINISHED"
                      : outcome == MUSTER_RECORD_FAILED ? "FAILED"
                                                        : "KILLED",
                      muster__wall_clock_ms(), error);
}

static void mlflow_wake(void *state)
{
    muster__http_wake(((struct mlflow *)state)->http);
}

static void mlflow_leave(void *state)
{
    muster__http_disconnect(((struct mlflow *)state)->http);
}

/* ---- opening ---- */

static void mlflow_close(void *state)
{
    struct mlflow *mlflow = state;
    muster__http_free(mlflow->http);
    free(mlflow->experiment);
    free(mlflow->run_name);
    free(mlflow->experiment_id);
    free(mlflow->run_id);
    free(mlflow->artifacts);
    free(mlflow);
}

/* NULL: neither is there. */
static const char *either(const char *option, const char *variable)
{
    const char *value = option ? option : getenv(variable);
    return value && *value ? value : NULL;
}

static enum muster_status check_url(const char *url, struct muster_error *error)
{
    const char *host = strncmp(url, "https://", 8) == 0  ? url + 8
                       : strncmp(url, "http://", 7) == 0 ? url + 7
                                                         : "";
    size_t length = strcspn(host, "/");
    if (length == 0 || strpbrk(url, " \t\r\n?#\\"))
        return muster__error(error, MUSTER_INVALID,
                             "'%.100s' is no tracking server: it is mlflow:http://HOST:PORT, or https", url);
    if (memchr(host, '@', length))
        return muster__error(error, MUSTER_INVALID,
                             "credentials do not go into the URL of mlflow: set MLFLOW_TRACKING_USERNAME and "
                             "MLFLOW_TRACKING_PASSWORD");
    return MUSTER_OK;
}

/* Whether everybody on the way can read what goes there. */
static bool is_open(const char *url)
{
    static const char *const here[] = {"http://localhost", "http://127.", "http://[::1]"};
    for (size_t i = 0; i < sizeof(here) / sizeof(*here); i++) {
        if (strncmp(url, here[i], strlen(here[i])) == 0)
            return false;
    }
    return strncmp(url, "http://", 7) == 0;
}

static enum muster_status make_http(struct mlflow *mlflow, const char *url,
                                    const struct muster_record_options *options, struct muster_error *error)
{
    const char *insecure = getenv("MLFLOW_TRACKING_INSECURE_TLS");
    struct http_options http = {
        .username = either(options->username, "MLFLOW_TRACKING_USERNAME"),
        .password = either(options->password, "MLFLOW_TRACKING_PASSWORD"),
        .token = either(options->token, "MLFLOW_TRACKING_TOKEN"),
        .authorities = either(NULL, "MLFLOW_TRACKING_SERVER_CERT_PATH"),
        .insecure = insecure && strcmp(insecure, "true") == 0,
        .timeout_ms = options->request_timeout_ms,
    };
    size_t length = strlen(url);
    while (length > 0 && url[length - 1] == '/')
        length--;
    char *base = strndup(url, length);
    if (!base)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    http.base = base;
    if ((http.username || http.token) && is_open(url))
        muster__sink_warn(mlflow->sink, "without TLS, everybody on the way can read the credentials");
    mlflow->http = muster__http_new(mlflow->sink, &http, error);
    free(base);
    return mlflow->http ? MUSTER_OK : MUSTER_OUT_OF_MEMORY;
}

/* False: there are no random numbers. */
static bool choose_identity(struct mlflow *mlflow, const char *identity)
{
    unsigned char bytes[RANDOM_SIZE];
    if (identity) {
        snprintf(mlflow->identity, sizeof(mlflow->identity), "%s", identity);
        return true;
    }
    if (getentropy(bytes, sizeof(bytes)) != 0)
        return false;
    for (size_t i = 0; i < sizeof(bytes); i++)
        sprintf(mlflow->identity + 2 * i, "%02x", bytes[i]);
    return true;
}

static enum muster_status mlflow_open(struct sink *sink, const char *target,
                                      const struct muster_record_options *options, void **state,
                                      struct muster_error *error)
{
    const char *url = either(*target ? target : NULL, "MLFLOW_TRACKING_URI");
    const char *experiment = either(options->experiment, "MLFLOW_EXPERIMENT_NAME");
    enum muster_status status = check_url(url ? url : "", error);
    if (status != MUSTER_OK)
        return status;
    if ((experiment && !muster__text_is_good(experiment, strlen(experiment))) ||
        (options->run_name && !muster__text_is_good(options->run_name, strlen(options->run_name))))
        return muster__error(error, MUSTER_INVALID, "the name of the experiment or run is not UTF-8");
    struct mlflow *mlflow = calloc(1, sizeof(*mlflow));
    if (!mlflow)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    mlflow->sink = sink;
    mlflow->started_ms = muster__wall_clock_ms();
    *state = mlflow;
    mlflow->experiment = strdup(experiment ? experiment : "Default");
    mlflow->run_name = options->run_name ? strdup(options->run_name) : NULL;
    if (!mlflow->experiment || (options->run_name && !mlflow->run_name))
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    if (!choose_identity(mlflow, options->identity))
        return muster__error(error, MUSTER_IO, "the system gives no random numbers");
    return make_http(mlflow, url, options, error);
}

const struct sink_kind muster__mlflow = {
    .scheme = "mlflow",
    .takes = ~(1U << ENTRY_HISTOGRAM),
    .open = mlflow_open,
    .write = mlflow_write,
    .finish = mlflow_finish,
    .wake = mlflow_wake,
    .leave = mlflow_leave,
    .close = mlflow_close,
};
