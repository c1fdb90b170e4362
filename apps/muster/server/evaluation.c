/* A test is held when its round is completed. What came of it goes to two files of the run: evaluations.csv, and
 * evaluation.npz, which says up to where the first one counts. So a test is held again if the server died during it. */
#include <config.h>

#include "evaluation.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "answers.h"
#include "attendance.h"
#include "common/dataset.h"
#include "common/log.h"
#include "display.h"
#include "instructions.h"
#include "training.h"

#define STATE_FILE "evaluation.npz"
#define TABLE_FILE "evaluations.csv"
#define BEST_FILE  "best.npz"
#define COLUMNS    "round,metric,value\n"

enum { TICK_MS = 250 };

/* ---- what the run keeps ---- */

static void path_of(const struct training *training, const char *file, char *path, size_t size)
{
    snprintf(path, size, "%s/%s", training->settings->run, file);
}

enum { STATE_ARRAYS = 5 };

/* Everything that is kept, in place. */
struct state {
    int64_t tested, best_round, waited, size;
    double best;
};

static void name_state(const struct state *state, struct muster_named_array arrays[STATE_ARRAYS])
{
    const struct muster_array whole = {.dtype = MUSTER_INT64}, number = {.dtype = MUSTER_FLOAT64};
    arrays[0] = (struct muster_named_array){"tested", whole};
    arrays[1] = (struct muster_named_array){"best_round", whole};
    arrays[2] = (struct muster_named_array){"waited", whole};
    arrays[3] = (struct muster_named_array){"size", whole};
    arrays[4] = (struct muster_named_array){"best", number};
    arrays[0].array.data = &state->tested;
    arrays[1].array.data = &state->best_round;
    arrays[2].array.data = &state->waited;
    arrays[3].array.data = &state->size;
    arrays[4].array.data = &state->best;
}

static enum muster_status save_state(const struct training *training, struct muster_error *error)
{
    const struct evaluation *evaluation = &training->evaluation;
    const struct state state = {(int64_t)evaluation->tested, (int64_t)evaluation->best_round,
                                (int64_t)evaluation->waited, evaluation->size, evaluation->best};
    struct muster_named_array arrays[STATE_ARRAYS];
    char path[4096];
    path_of(training, STATE_FILE, path, sizeof(path));
    name_state(&state, arrays);
    return muster_npz_write(path, arrays, STATE_ARRAYS, error);
}

static bool read_state(const struct muster_named_array *read, size_t count, struct state *state)
{
    struct muster_named_array arrays[STATE_ARRAYS];
    name_state(state, arrays);
    for (size_t i = 0; i < STATE_ARRAYS; i++) {
        const struct muster_array *array = muster_npz_find(read, count, arrays[i].name);
        if (!array || array->dtype != arrays[i].array.dtype || array->dimensions != 0)
            return false;
        memcpy((void *)(uintptr_t)arrays[i].array.data, array->data, 8);
    }
    return state->tested >= 0 && state->best_round >= 0 && state->waited >= 0 && state->size >= 0;
}

/* Writes behind the first `size` bytes of the table, and has it on the disk. */
static enum muster_status append(const struct training *training, int64_t *size, const char *text,
                                 struct muster_error *error)
{
    char path[4096];
    size_t length = strlen(text);
    path_of(training, TABLE_FILE, path, sizeof(path));
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    bool written = file >= 0 && ftruncate(file, *size) == 0 &&
                   pwrite(file, text, length, *size) == (ssize_t)length && fsync(file) == 0;
    enum muster_status status =
        written ? MUSTER_OK : explain(error, MUSTER_IO, "%.200s: %s", path, strerror(errno ? errno : ENOSPC));
    if (file >= 0)
        close(file);
    if (written)
        *size += (int64_t)length;
    return status;
}

static enum muster_status save_table(struct training *training, struct muster_error *error)
{
    struct evaluation *evaluation = &training->evaluation;
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    if (!stream)
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    if (evaluation->size == 0)
        fputs(COLUMNS, stream);
    for (size_t i = 0; i < evaluation->count; i++)
        fprintf(stream, "%zu,%s,%.17g\n", evaluation->tested, evaluation->means[i].name,
                evaluation->means[i].value);
    enum muster_status status = fclose(stream) == 0 ? append(training, &evaluation->size, text, error)
                                                    : explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    free(text);
    return status;
}

/* How much of the table counts: of one that somebody made shorter, what is left; a hole would be worse. */
static int64_t size_of_table(const struct training *training, int64_t size)
{
    struct stat table;
    char path[4096];
    path_of(training, TABLE_FILE, path, sizeof(path));
    if (stat(path, &table) != 0)
        return 0;
    return table.st_size < size ? table.st_size : size;
}

enum muster_status evaluation_open(struct training *training, struct muster_error *error)
{
    struct evaluation *evaluation = &training->evaluation;
    struct muster_named_array *read;
    struct state state;
    char path[4096];
    size_t count;
    if (!training->settings->run || training->settings->evaluate_every == 0)
        return MUSTER_OK;
    path_of(training, STATE_FILE, path, sizeof(path));
    if (training->rounds_held == 0)
        unlink(path);
    if (access(path, F_OK) != 0)
        return MUSTER_OK;
    enum muster_status status = muster_npz_read(path, 1 << 20, &read, &count, error);
    if (status != MUSTER_OK)
        return status;
    if (!read_state(read, count, &state))
        status = explain(error, MUSTER_FORMAT, "%.200s: this is not what a test left", path);
    free(read);
    /* A round that was removed takes its tests with it; what was the best may have been one of them. */
    if (status != MUSTER_OK || (size_t)state.tested > training->rounds_held)
        return status;
    evaluation->tested = (size_t)state.tested;
    evaluation->best_round = (size_t)state.best_round;
    evaluation->waited = (size_t)state.waited;
    evaluation->size = size_of_table(training, state.size);
    evaluation->best = state.best;
    return MUSTER_OK;
}

/* ---- better or not ---- */

/* Whether a metric is the better the lower it is. */
static bool is_lower_better(const char *metric)
{
    return strcasestr(metric, "loss") || strcasestr(metric, "error");
}

static bool is_better(const struct training *training, double value)
{
    const struct evaluation *evaluation = &training->evaluation;
    double gain =
        is_lower_better(training->settings->metric) ? evaluation->best - value : value - evaluation->best;
    return evaluation->best_round == 0 || gain > training->settings->min_delta;
}

static enum muster_status judge(struct training *training, const struct muster_message *model,
                                struct muster_error *error)
{
    struct evaluation *evaluation = &training->evaluation;
    const struct server_settings *settings = training->settings;
    double value = metrics_find(evaluation->means, evaluation->count, settings->metric);
    char path[4096];
    if (isnan(value)) {
        log_write(LOG_WARNING, "the test after round %zu has no metric '%s', which --metric names",
                  evaluation->tested, settings->metric);
        return MUSTER_OK;
    }
    if (!is_better(training, value)) {
        evaluation->waited++;
        return MUSTER_OK;
    }
    evaluation->best = value;
    evaluation->best_round = evaluation->tested;
    evaluation->waited = 0;
    if (!settings->run)
        return MUSTER_OK;
    path_of(training, BEST_FILE, path, sizeof(path));
    return model_write(path, model, error);
}

bool evaluation_ends(const struct training *training)
{
    const struct server_settings *settings = training->settings;
    return settings->patience > 0 && training->evaluation.waited >= settings->patience;
}

/* ---- the test ---- */

/* One test. */
struct test {
    struct training *training;
    struct metrics metrics;
};

static enum muster_status on_answer(void *context, size_t index, struct proxy *proxy,
                                    const struct muster_message *answer, struct muster_error *reason)
{
    struct test *test = context;
    double weight;
    (void)index;
    (void)proxy;
    enum muster_status status = answers_weight(test->training, answer, &weight, NULL, reason);
    return status == MUSTER_OK ? metrics_add(&test->metrics, answer, weight, reason) : status;
}

static void on_tick(void *context, const struct proxy_round_statistics *statistics,
                    struct proxy *const *waiting, size_t count)
{
    const struct test *test = context;
    attendance_look(waiting, count);
    display_round(test->training->manager, statistics, waiting, count, -1);
}

static void note_failures(struct training *training, const struct selection *testers,
                          const struct proxy_round_result *result)
{
    char where[64];
    snprintf(where, sizeof(where), "test after round %zu", training->rounds_held);
    training->testers.deadline = "--evaluate-deadline";
    for (size_t i = 0; i < result->count; i++) {
        const struct proxy_round_entry *entry = &result->entries[i];
        const char *name = proxy_name(testers->proxies[i]);
        if (entry->status == MUSTER_OK)
            failures_forget(&training->testers, name);
        else if (entry->status != MUSTER_STOPPED)
            failures_tell(&training->testers, where, name, entry->status, entry->text, false);
    }
}

enum muster_status evaluation_take(struct training *training, size_t round,
                                   const struct muster_message *model, const struct metrics *metrics,
                                   size_t answered, size_t asked, struct muster_error *error)
{
    struct evaluation *evaluation = &training->evaluation;
    char text[512];
    evaluation->tested = round;
    if (answered == 0) {
        log_write(LOG_WARNING, "nobody tested the model after round %zu", round);
        return MUSTER_OK;
    }
    evaluation->metrics = *metrics;
    metrics_end(&evaluation->metrics);
    evaluation->count = metrics_means(&evaluation->metrics, evaluation->means);
    enum muster_status status = judge(training, model, error);
    if (status == MUSTER_OK && training->settings->run)
        status = save_table(training, error);
    if (status == MUSTER_OK && training->settings->run)
        status = save_state(training, error);
    if (status != MUSTER_OK)
        return status;
    recording_metrics(training->recording, round, evaluation->means, evaluation->count);
    metrics_text(evaluation->means, evaluation->count, "", text, sizeof(text));
    display_result("test after round %zu: %zu answered, %zu failed%s%s", round, answered, asked - answered,
                   text, evaluation->best_round == round ? " (the best so far)" : "");
    return MUSTER_OK;
}

static enum muster_status test_with(struct test *test, const struct selection *testers,
                                    const struct instructions *instructions, struct muster_error *error)
{
    struct training *training = test->training;
    const struct server_settings *settings = training->settings;
    struct proxy_round_options options;
    struct proxy_round_result result;
    struct muster_error failure;
    proxy_round_options_init(&options);
    options.deadline_ms =
        settings->evaluate_deadline_ms > 0 ? settings->evaluate_deadline_ms : settings->deadline_ms;
    options.tick_ms = TICK_MS;
    options.on_tick = on_tick;
    display_stage("test after round %zu", training->rounds_held);
    enum muster_status status = instructions->same
                                    ? proxy_run_all(testers->proxies, testers->count, instructions->each[0],
                                                    &options, on_answer, test, &result, &failure)
                                    : proxy_run_each(testers->proxies, instructions->each, testers->count,
                                                     &options, on_answer, test, &result, &failure);
    if (stopping_gave_up(training->stopping) || status == MUSTER_STOPPED)
        status = MUSTER_STOPPED;
    else if (status == MUSTER_OK || status == MUSTER_TIMEOUT || status == MUSTER_TOO_FEW) {
        note_failures(training, testers, &result);
        status = evaluation_take(training, training->rounds_held, training_result(training), &test->metrics,
                                 result.answered, result.count, error);
    } else {
        explain(error, status, "test after round %zu: %.200s", training->rounds_held, failure.text);
    }
    proxy_round_result_clear(&result);
    return status;
}

bool evaluation_is_due(const struct training *training)
{
    const struct server_settings *settings = training->settings;
    size_t held = training->rounds_held;
    return settings->evaluate_every > 0 && held > 0 && training->evaluation.tested != held &&
           training->moves > 0 && (held % settings->evaluate_every == 0 || held >= settings->rounds);
}

enum muster_status evaluation_hold(struct training *training, struct muster_error *error)
{
    struct test test = {.training = training};
    struct selection everyone, testers = {.proxies = NULL};
    struct instructions instructions;
    struct muster_random random;
    enum muster_status status = selection_gather(training, &everyone, error);
    if (status != MUSTER_OK)
        return status;
    metrics_begin(&test.metrics, training->settings->metric);
    random_stream(&random, training->settings->seed, RANDOM_SELECTION, training->rounds_held, 1);
    bool made = selection_share(&everyone, training->settings->evaluate_fraction, &random, &testers);
    if (made && instructions_make(&instructions, training, MUSTER_EVALUATE, training_result(training),
                                  &testers, &random))
        status = test_with(&test, &testers, &instructions, error);
    else
        status = explain(error, MUSTER_OUT_OF_MEMORY, "out of memory in the test after round %zu",
                         training->rounds_held);
    if (made)
        instructions_free(&instructions);
    selection_free(&testers);
    selection_release(&everyone);
    return status;
}
