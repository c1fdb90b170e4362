/* A round's state is an .npz file: what would be the result, under the names of the model's arrays, and beside it what the
 * next round depends on. */
#include <config.h>

#include "checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "asynchronous.h"
#include "common/dataset.h"
#include "common/log.h"
#include "settings/configuration.h"

/* ---- the configuration ---- */

/* The configuration that is kept has a member more: by it records know the run again. */
#define IDENTITY "identity"

/* Gives a run its identity. */
static enum muster_status add_identity(json_t *configuration, struct muster_error *error)
{
    unsigned char bytes[16];
    char text[2 * sizeof(bytes) + 1];
    if (getentropy(bytes, sizeof(bytes)) != 0)
        return explain(error, MUSTER_IO, "the system gives no random numbers");
    for (size_t i = 0; i < sizeof(bytes); i++)
        sprintf(text + 2 * i, "%02x", bytes[i]);
    if (json_object_set_new(configuration, IDENTITY, json_string(text)) != 0)
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    return MUSTER_OK;
}

/* Names a setting that is not as the run was begun with; NULL: it is not set. */
static enum muster_status differs(const char *key, const json_t *old, const json_t *value,
                                  struct muster_error *error)
{
    char *was = old ? json_dumps(old, JSON_ENCODE_ANY | CONFIGURATION_FORMAT) : NULL;
    char *is = value ? json_dumps(value, JSON_ENCODE_ANY | CONFIGURATION_FORMAT) : NULL;
    explain(error, MUSTER_EXISTS,
            "this run was begun with %.60s %.40s, not %.40s: give its own settings or another directory, or "
            "begin anew with --overwrite",
            key, was ? was : "unset", is ? is : "unset");
    free(was);
    free(is);
    return MUSTER_EXISTS;
}

/* Names the first setting that is not as the run was begun with. The number of rounds may be another one. */
static enum muster_status compare(json_t *before, json_t *now, struct muster_error *error)
{
    const char *key;
    json_t *value;
    json_object_foreach(now, key, value)
    {
        const json_t *old = json_object_get(before, key);
        if (strcmp(key, "rounds") != 0 && strcmp(key, IDENTITY) != 0 && !json_equal(old, value))
            return differs(key, old, value, error);
    }
    json_object_foreach(before, key, value)
    {
        if (!json_object_get(now, key))
            return differs(key, value, NULL, error);
    }
    return MUSTER_OK;
}

static enum muster_status configure(struct training *training, const json_t *configuration,
                                    struct muster_error *error)
{
    char *text = json_dumps(configuration, CONFIGURATION_FORMAT);
    if (!text)
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    enum muster_status status = muster_run_configure(training->run, text, error);
    free(text);
    return status;
}

/* Compares the run's configuration with the options, and keeps a new number of rounds. The run stays the one
 * that it is; one that was begun before there were identities becomes one now. */
static enum muster_status check_configuration(struct training *training, json_t *now,
                                              struct muster_error *error)
{
    json_error_t wrong;
    json_t *before = json_loads(muster_run_configuration(training->run), 0, &wrong);
    if (!before)
        return explain(error, MUSTER_FORMAT, "%.100s: the configuration of the run is damaged: %.100s",
                       training->settings->run, wrong.text);
    if (json_is_string(json_object_get(before, IDENTITY)))
        json_object_set(now, IDENTITY, json_object_get(before, IDENTITY));
    enum muster_status status = compare(before, now, error);
    if (status == MUSTER_OK && !json_equal(before, now))
        status = configure(training, now, error);
    snprintf(training->identity, sizeof(training->identity), "%s",
             json_string_value(json_object_get(now, IDENTITY)));
    json_decref(before);
    return status;
}

/* ---- the state ---- */

/* With a running average, the strategy's model is not the result: its arrays are saved by their numbers. */
#define CURRENT MODEL_OWN_PREFIX "current."
#define PRESENT MODEL_OWN_PREFIX "participants"
#define MOVES   MODEL_OWN_PREFIX "moves"

enum { OWN_ARRAYS = 3, NAME_SIZE = 40 };

/* The most that there can be. */
static size_t count_arrays(const struct training *training)
{
    size_t models = training->average.arrays ? 2 : 1;
    return models * training_result(training)->array_count + muster_strategy_state_count(training->strategy) +
           OWN_ARRAYS;
}

enum muster_status checkpoint_check(const struct training *training, struct muster_error *error)
{
    size_t count = count_arrays(training) + 2; /* the run's own */
    if (count <= MUSTER_NPZ_ARRAYS_MAX)
        return MUSTER_OK;
    return explain(error, MUSTER_INVALID,
                   "the model has %zu arrays: a round of it would have %zu, and a run can keep %d",
                   training_result(training)->array_count, count, MUSTER_NPZ_ARRAYS_MAX);
}

/* Names everything, and gives how many there are; `names` is room for the numbered ones. */
static size_t name_arrays(const struct training *training, struct muster_named_array *arrays,
                          char (*names)[NAME_SIZE])
{
    const struct muster_message *model = muster_strategy_model(training->strategy);
    size_t used = model->array_count;
    model_named(training_result(training), arrays);
    for (size_t i = 0; training->average.arrays && i < model->array_count; i++) {
        snprintf(names[i], NAME_SIZE, CURRENT "%zu", i);
        arrays[used++] = (struct muster_named_array){names[i], model->arrays[i]};
    }
    muster_strategy_state(training->strategy, arrays + used);
    used += muster_strategy_state_count(training->strategy);
    arrays[used++] = (struct muster_named_array){PRESENT, {MUSTER_INT64, 0, {0}, &training->present}};
    arrays[used++] = (struct muster_named_array){MOVES, {MUSTER_INT64, 0, {0}, &training->moves}};
    if (privacy_is_on(&training->privacy))
        arrays[used++] = privacy_state(&training->privacy);
    return used;
}

enum muster_status checkpoint_commit(struct training *training, const char *metrics,
                                     struct muster_error *error)
{
    size_t count = count_arrays(training), model_count = training_result(training)->array_count;
    struct muster_named_array *arrays = calloc(count, sizeof(*arrays));
    char(*names)[NAME_SIZE] = calloc(model_count, sizeof(*names));
    enum muster_status status = explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    if (arrays && names) {
        count = name_arrays(training, arrays, names);
        status = muster_run_commit(training->run, training->rounds_held, arrays, count, metrics, error);
    }
    free(arrays);
    free(names);
    return status;
}

/* ---- taken over ---- */

static bool find_whole(const struct muster_named_array *saved, size_t count, const char *name, int64_t *value)
{
    const struct muster_array *array = muster_npz_find(saved, count, name);
    if (!array || array->dtype != MUSTER_INT64 || array->dimensions != 0)
        return false;
    memcpy(value, array->data, sizeof(*value));
    return *value >= 0;
}

/* The strategy's model of a run with a running average: as many arrays as `result` has. */
static enum muster_status find_current(const struct muster_named_array *saved, size_t count,
                                       const struct muster_message *result, struct muster_array *arrays,
                                       struct muster_error *error)
{
    for (size_t i = 0; i < result->array_count; i++) {
        char name[NAME_SIZE];
        snprintf(name, sizeof(name), CURRENT "%zu", i);
        const struct muster_array *array = muster_npz_find(saved, count, name);
        if (!array)
            return explain(error, MUSTER_FORMAT, "%s is missing", name);
        arrays[i] = *array;
    }
    return MUSTER_OK;
}

/* Makes the strategy of what was saved. */
static enum muster_status restore(struct training *training, const struct muster_named_array *saved,
                                  size_t count, const struct muster_message *result,
                                  struct muster_error *error)
{
    struct muster_array *arrays = calloc(result->array_count, sizeof(*arrays));
    struct muster_message current = *result;
    bool averaged = training->settings->average > 0;
    enum muster_status status = arrays ? MUSTER_OK : explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    if (status == MUSTER_OK && averaged)
        status = find_current(saved, count, result, arrays, error);
    if (averaged)
        current.arrays = arrays;
    if (status == MUSTER_OK)
        status = training_begin(training, &current, error);
    if (status == MUSTER_OK)
        status = muster_strategy_restore(training->strategy, saved, count, error);
    if (status == MUSTER_OK && averaged)
        status = average_restore(&training->average, result, error);
    if (status == MUSTER_OK && (!find_whole(saved, count, PRESENT, &training->present) ||
                                !find_whole(saved, count, MOVES, &training->moves)))
        status = explain(error, MUSTER_FORMAT, PRESENT " or " MOVES " is missing");
    if (status == MUSTER_OK)
        status = privacy_restore(&training->privacy, saved, count, error);
    free(arrays);
    return status;
}

static enum muster_status take_over(struct training *training, struct muster_error *error)
{
    size_t count;
    const struct muster_named_array *saved = muster_run_state(training->run, &count);
    struct model model = {.message = MUSTER_MESSAGE_INIT, .answer = MUSTER_MESSAGE_INIT};
    struct muster_error reason;
    if (!saved)
        return MUSTER_OK;
    enum muster_status status = model_of_saved(&model, saved, count, &reason);
    if (status == MUSTER_OK)
        status = restore(training, saved, count, &model.message, &reason);
    model_free(&model);
    /* Whatever is wrong with it: it is a file that this program did not write so. */
    if (status == MUSTER_INVALID)
        status = MUSTER_FORMAT;
    if (status != MUSTER_OK)
        return explain(error, status, "%.120s/round-%08llu.npz: %.150s", training->settings->run,
                       (unsigned long long)muster_run_round(training->run), reason.text);
    training->rounds_held = (size_t)muster_run_round(training->run);
    training->resumed = true;
    return MUSTER_OK;
}

enum muster_status checkpoint_read_model(struct model *model, const char *path, struct muster_error *error)
{
    struct muster_named_array *saved;
    size_t count;
    enum muster_status status = muster_npz_read(path, SIZE_MAX, &saved, &count, error);
    model->more = saved;
    if (status == MUSTER_OK)
        status = model_of_saved(model, saved, count, error);
    if (status != MUSTER_OK || !muster_npz_find(saved, count, CURRENT "0"))
        return status;
    return find_current(saved, count, &model->message,
                        (struct muster_array *)(uintptr_t)model->message.arrays, error);
}

/* Removes what a run that is overwritten has left beside the files of muster_run_open(). */
static void discard(const struct training *training)
{
    static const char *const files[] = {"first.npz", "best.npz", "model.npz", "evaluation.npz",
                                        "evaluations.csv"};
    char path[4096];
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        snprintf(path, sizeof(path), "%s/%s", training->settings->run, files[i]);
        unlink(path);
    }
    asynchronous_discard(training);
}

/* Opens the run, or begins it with this configuration. */
static enum muster_status open_run(struct training *training, const json_t *configuration,
                                   struct muster_error *error)
{
    const struct server_settings *settings = training->settings;
    char *text = json_dumps(configuration, CONFIGURATION_FORMAT);
    if (!text)
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    enum muster_status status =
        muster_run_open(settings->run, text, settings->overwrite, &training->run, error);
    free(text);
    if (status == MUSTER_OK && settings->overwrite)
        discard(training);
    return status;
}

enum muster_status checkpoint_open(struct training *training, struct muster_error *error)
{
    const struct server_settings *settings = training->settings;
    if (!settings->run)
        return MUSTER_OK;
    json_t *now = configuration_new(settings, training->hooks->configuration);
    if (!now)
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory, or a setting is not UTF-8");
    enum muster_status status = add_identity(now, error);
    if (status == MUSTER_OK)
        status = open_run(training, now, error);
    if (status == MUSTER_OK)
        status = check_configuration(training, now, error);
    if (status == MUSTER_OK)
        status = take_over(training, error);
    json_decref(now);
    return status;
}
