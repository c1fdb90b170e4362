/* A round's state is an .npz file: the model under its own names, and beside it what the next round depends
 * on. */
#include <config.h>

#include "checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "configuration.h"

/* Beside the model's. */
enum { OWN_ARRAYS = 3, STATE_ARRAYS = SERVER_MODEL_ARRAYS + OWN_ARRAYS };

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

/* Names the first option that is not as the run was begun with. The number of rounds may be another one. */
static enum muster_status compare(const json_t *before, json_t *now, struct muster_error *error)
{
    const char *key;
    json_t *value;
    json_object_foreach(now, key, value)
    {
        const json_t *old = json_object_get(before, key);
        if (strcmp(key, "rounds") == 0 || strcmp(key, IDENTITY) == 0 || json_equal(old, value))
            continue;
        char *was = old ? json_dumps(old, JSON_ENCODE_ANY | CONFIGURATION_FORMAT) : NULL;
        char *is = json_dumps(value, JSON_ENCODE_ANY | CONFIGURATION_FORMAT);
        explain(error, MUSTER_EXISTS,
                "this run was begun with %s %.60s, not %.60s: give its own options or another directory, or "
                "begin anew with --overwrite",
                key, was ? was : "unset", is ? is : "this");
        free(was);
        free(is);
        return MUSTER_EXISTS;
    }
    return MUSTER_OK;
}

static enum muster_status configure(struct federation *federation, const json_t *configuration,
                                    struct muster_error *error)
{
    char *text = json_dumps(configuration, CONFIGURATION_FORMAT);
    if (!text)
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    enum muster_status status = muster_run_configure(federation->run, text, error);
    free(text);
    return status;
}

/* Compares the run's configuration with the options, and keeps a new number of rounds. The run stays the one
 * that it is; one that was begun before there were identities becomes one now. */
static enum muster_status check_configuration(struct federation *federation, json_t *now,
                                              struct muster_error *error)
{
    json_error_t wrong;
    json_t *before = json_loads(muster_run_configuration(federation->run), 0, &wrong);
    if (!before)
        return explain(error, MUSTER_FORMAT, "%.100s: the configuration of the run is damaged: %.100s",
                       federation->options->run, wrong.text);
    /* Runs that were begun before there were these options had no padding, and so on. */
    if (!json_object_get(before, "model_size"))
        json_object_set_new(before, "model_size", json_integer(0));
    if (!json_object_get(before, "enough"))
        json_object_set_new(before, "enough", json_integer(0));
    if (!json_object_get(before, "at_least"))
        json_object_set_new(before, "at_least", json_integer(0));
    if (!json_object_get(before, "max_weight"))
        json_object_set_new(before, "max_weight", json_real(0));
    if (json_is_string(json_object_get(before, IDENTITY)))
        json_object_set(now, IDENTITY, json_object_get(before, IDENTITY));
    enum muster_status status = compare(before, now, error);
    if (status == MUSTER_OK && !json_equal(before, now))
        status = configure(federation, now, error);
    snprintf(federation->identity, sizeof(federation->identity), "%s",
             json_string_value(json_object_get(now, IDENTITY)));
    json_decref(before);
    return status;
}

/* ---- the state ---- */

/* What the state holds beside the model. Random numbers are kept as the bits they are. */
static void own_arrays(const struct federation *federation, struct muster_named_array arrays[OWN_ARRAYS])
{
    arrays[0] = (struct muster_named_array){"random_state", {MUSTER_INT64, 1, {4}, federation->random.state}};
    arrays[1] = (struct muster_named_array){"test_accuracy", {MUSTER_FLOAT64, 0, {0}, &federation->accuracy}};
    arrays[2] = (struct muster_named_array){"participants", {MUSTER_INT64, 0, {0}, &federation->present}};
}

enum muster_status checkpoint_commit(struct federation *federation, const char *metrics,
                                     struct muster_error *error)
{
    struct muster_named_array arrays[STATE_ARRAYS];
    server_model_arrays(&federation->model, arrays);
    own_arrays(federation, arrays + SERVER_MODEL_ARRAYS);
    return muster_run_commit(federation->run, federation->rounds_held, arrays, STATE_ARRAYS, metrics, error);
}

/* The first element that is NaN or infinite; the number of elements when there is none. */
static size_t first_not_finite(const struct muster_array *array)
{
    size_t count = muster_array_count(array), i = 0;
    if (array->dtype == MUSTER_FLOAT32) {
        while (i < count && isfinite(((const float *)array->data)[i]))
            i++;
    } else if (array->dtype == MUSTER_FLOAT64) {
        while (i < count && isfinite(((const double *)array->data)[i]))
            i++;
    } else {
        return count;
    }
    return i;
}

/* Copies what was saved to where it is kept. The destinations are our own, and only read where it is said
 * `const`. FORMAT, with the array and the place, when something is missing, of another shape or no number. */
static enum muster_status restore(const struct muster_named_array *saved, size_t saved_count,
                                  const struct muster_named_array *arrays, size_t count, const char *path,
                                  struct muster_error *error)
{
    for (size_t i = 0; i < count; i++) {
        const struct muster_array *to = &arrays[i].array;
        const struct muster_array *from = muster_npz_find(saved, saved_count, arrays[i].name);
        const struct muster_message found = {.arrays = from, .array_count = from ? 1 : 0};
        const struct muster_message expected = {.arrays = to, .array_count = 1};
        struct muster_error difference;
        if (muster_arrays_match(&found, &expected, &difference) != MUSTER_OK)
            return explain(error, MUSTER_FORMAT, "%.120s: %s: the run does not go with the data: %.80s", path,
                           arrays[i].name, difference.text);
        size_t bad = first_not_finite(from);
        if (bad < muster_array_count(from))
            return explain(error, MUSTER_FORMAT, "%.150s: %s: element %zu is not a finite number", path,
                           arrays[i].name, bad);
        size_t size = muster_array_count(to) * muster_dtype_size(to->dtype);
        memcpy((void *)(uintptr_t)to->data, from->data, size);
    }
    return MUSTER_OK;
}

static enum muster_status take_over(struct federation *federation, struct muster_error *error)
{
    size_t count;
    const struct muster_named_array *saved = muster_run_state(federation->run, &count);
    struct muster_named_array arrays[STATE_ARRAYS];
    if (!saved)
        return MUSTER_OK;
    server_model_arrays(&federation->model, arrays);
    own_arrays(federation, arrays + SERVER_MODEL_ARRAYS);
    char path[2 * MUSTER_ERROR_TEXT_SIZE];
    snprintf(path, sizeof(path), "%.200s/round-%08llu.npz", federation->options->run,
             (unsigned long long)muster_run_round(federation->run));
    enum muster_status status = restore(saved, count, arrays, STATE_ARRAYS, path, error);
    if (status != MUSTER_OK)
        return status;
    federation->rounds_held = (size_t)muster_run_round(federation->run);
    federation->resumed = true;
    return MUSTER_OK;
}

/* Opens the run, or begins it with this configuration. */
static enum muster_status open_run(struct federation *federation, const json_t *configuration,
                                   struct muster_error *error)
{
    const struct server_options *options = federation->options;
    char *text = json_dumps(configuration, CONFIGURATION_FORMAT);
    if (!text)
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    enum muster_status status =
        muster_run_open(options->run, text, options->overwrite, &federation->run, error);
    free(text);
    return status;
}

enum muster_status checkpoint_open(struct federation *federation, struct muster_error *error)
{
    const struct server_options *options = federation->options;
    if (!options->run)
        return MUSTER_OK;
    json_t *now = configuration_new(options, federation->dataset);
    if (!now)
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory, or --data is not UTF-8");
    enum muster_status status = add_identity(now, error);
    if (status == MUSTER_OK)
        status = open_run(federation, now, error);
    if (status == MUSTER_OK)
        status = check_configuration(federation, now, error);
    if (status == MUSTER_OK)
        status = take_over(federation, error);
    json_decref(now);
    return status;
}
