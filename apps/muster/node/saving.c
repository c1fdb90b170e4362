/* A run directory for each rank. */
#include <config.h>

#include "saving.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *const array_names[LOGISTIC_ARRAYS] = {"weights", "bias"};

/* What has a part in the result, but for the number of rounds; NULL when out of memory. */
static char *describe(const struct node *node)
{
    const struct node_options *options = node->options;
    const struct settings *settings = &node->settings[node->rank];
    json_t *object =
        json_pack("{s:s, s:I, s:i, s:i, s:s, s:s, s:I, s:s, s:I, s:I, s:f, s:f}", "data", options->data.spec,
                  "seed", (json_int_t)options->data.seed, "members", (int)node->size, "rank", (int)node->rank,
                  "topology", options->topology, "mixing", options->mixing, "degree",
                  (json_int_t)options->degree, "algorithm", settings_algorithm_name(settings->algorithm),
                  "epochs", (json_int_t)settings->epochs, "batch_size", (json_int_t)settings->batch_size,
                  "learning_rate", settings->learning_rate, "dropout", settings->dropout);
    char *text = object ? json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) : NULL;
    json_decref(object);
    return text;
}

/* Takes the model that was saved last, if there is one. */
static enum muster_status take_over(const struct muster_run *run, const char *path, struct model *model,
                                    struct muster_error *error)
{
    size_t count;
    struct muster_array arrays[LOGISTIC_ARRAYS];
    const struct muster_named_array *saved = muster_run_state(run, &count);
    if (!saved)
        return MUSTER_OK;
    for (size_t i = 0; i < LOGISTIC_ARRAYS; i++) {
        const struct muster_array *array = muster_npz_find(saved, count, array_names[i]);
        if (!array)
            return explain(error, MUSTER_FORMAT, "%.150s: there is no array \"%s\"", path, array_names[i]);
        arrays[i] = *array;
    }
    const struct muster_message message = {
        .kind = MUSTER_TRAIN, .arrays = arrays, .array_count = LOGISTIC_ARRAYS};
    if (!node_model_take(model, &message))
        return explain(error, MUSTER_FORMAT, "%.150s: the model does not go with the data", path);
    return MUSTER_OK;
}

enum muster_status saving_open(const struct node *node, struct model *model, struct muster_run **run,
                               struct muster_error *error)
{
    const struct node_options *options = node->options;
    char *path = NULL, *configuration = NULL;
    enum muster_status status = MUSTER_OK;
    *run = NULL;
    if (!options->run)
        return MUSTER_OK;
    mkdir(options->run, 0777); /* what is wrong with it shows below */
    configuration = describe(node);
    if (!configuration || asprintf(&path, "%s/rank-%02u", options->run, (unsigned)node->rank) < 0) {
        free(configuration);
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory, or --data is not UTF-8");
    }
    status = muster_run_open(path, configuration, options->overwrite, run, error);
    if (status == MUSTER_OK && strcmp(muster_run_configuration(*run), configuration) != 0)
        status = explain(error, MUSTER_INVALID,
                         "%.150s: the run was begun with other options: --overwrite begins anew", path);
    if (status == MUSTER_OK)
        status = take_over(*run, path, model, error);
    free(configuration);
    free(path);
    return status;
}

enum muster_status saving_commit(struct muster_run *run, uint64_t round, const struct model *model,
                                 const char *metrics, struct muster_error *error)
{
    struct muster_named_array arrays[LOGISTIC_ARRAYS];
    for (size_t i = 0; i < LOGISTIC_ARRAYS; i++)
        arrays[i] = (struct muster_named_array){array_names[i], model->arrays[i]};
    return run ? muster_run_commit(run, round, arrays, LOGISTIC_ARRAYS, metrics, error) : MUSTER_OK;
}
