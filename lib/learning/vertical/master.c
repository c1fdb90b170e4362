/* A master: what it is made of, and the matching with which its run begins. */
#include <config.h>

#include "learning/vertical/master.h"

#include <inttypes.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/npz.h>

#include "learning/vertical/labels.h"
#include "learning/vertical/matching.h"
#include "learning/vertical/matrix.h"
#include "learning/vertical/note.h"
#include "learning/vertical/table.h"
#include "options.h"
#include "status.h"

#define MODEL "model"
#define BIAS  "bias"

/* ---- options ---- */

void muster_vertical_options_init_sized(struct muster_vertical_options *options, size_t size)
{
    const struct muster_vertical_options defaults = {
        .model = MUSTER_VERTICAL_LOGISTIC,
        .match_limit = 10000000,
        .epochs = 1,
        .batch_size = 256,
        .learning_rate = 0.1,
        .seed = 42,
        .member_timeout_ms = 360000,
    };
    muster__options_give(options, size, &defaults, sizeof(defaults));
}

static bool is_amount(double value)
{
    return isfinite(value) && value >= 0;
}

static enum muster_status check_options(const struct muster_vertical_options *options,
                                        struct muster_error *error)
{
    if (options->match_limit < 1 || options->match_limit > MUSTER_VERTICAL_MATCH_MAX)
        return muster__error(error, MUSTER_INVALID, "match_limit is from 1 to %d", MUSTER_VERTICAL_MATCH_MAX);
    if (options->model < MUSTER_VERTICAL_LOGISTIC || options->model > MUSTER_VERTICAL_RIDGE)
        return muster__error(error, MUSTER_INVALID, "there is no model %d", (int)options->model);
    if (!is_amount(options->learning_rate) || !is_amount(options->l2) || !is_amount(options->momentum) ||
        !(options->test_fraction >= 0 && options->test_fraction < 1))
        return muster__error(error, MUSTER_INVALID,
                             "learning rate, l2 and momentum are at least 0, the test fraction is below 1");
    if ((options->model == MUSTER_VERTICAL_RIDGE || options->consecutive) && options->batch_size != 0)
        return muster__error(error, MUSTER_INVALID,
                             "ridge and consecutive members need all rows in one batch: set batch_size to 0");
    if (options->weights && options->run)
        return muster__error(error, MUSTER_INVALID, "predictions with a file of weights are no run to go on");
    return MUSTER_OK;
}

static enum muster_status take_options(struct muster_vertical *vertical,
                                       const struct muster_vertical_options *options,
                                       struct muster_error *error)
{
    muster_vertical_options_init(&vertical->options);
    enum muster_status status = MUSTER_OK;
    if (options)
        status = muster__options_take(&vertical->options, sizeof(vertical->options), options,
                                      "muster_vertical_options_init", error);
    if (status == MUSTER_OK)
        status = check_options(&vertical->options, error);
    if (status == MUSTER_OK && vertical->options.weights) {
        vertical->weights_path = strdup(vertical->options.weights);
        if (!vertical->weights_path)
            status = muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for a path");
        vertical->options.weights = vertical->weights_path;
    }
    return status;
}

static enum muster_status take_class_weights(struct muster_vertical *vertical, struct muster_error *error)
{
    const double *weights = vertical->options.class_weights;
    size_t outputs = vertical->kind.outputs;
    vertical->options.class_weights = NULL;
    if (!weights)
        return MUSTER_OK;
    vertical->class_weights = calloc(outputs, sizeof(*weights));
    if (!vertical->class_weights)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for %zu weights of classes", outputs);
    for (size_t i = 0; i < outputs; i++) {
        if (!is_amount(weights[i]))
            return muster__error(error, MUSTER_INVALID, "output %zu: %g is no weight of a class", i + 1,
                                 weights[i]);
        vertical->class_weights[i] = weights[i];
    }
    vertical->kind.class_weights = vertical->options.class_weights = vertical->class_weights;
    return MUSTER_OK;
}

/* ---- files ---- */

enum muster_status muster_vertical_save(const struct muster_vertical *vertical, const char *path,
                                        struct muster_error *error)
{
    const int64_t model = vertical->kind.model;
    const struct muster_named_array arrays[] = {
        {MODEL, muster__vertical_array(MUSTER_INT64, 1, 1, &model)},
        {BIAS, muster__vertical_array(MUSTER_FLOAT64, vertical->kind.outputs, 1, vertical->bias.weights)},
    };
    return muster_npz_write(path, arrays, sizeof(arrays) / sizeof(*arrays), error);
}

/* The model and its outputs come from the file, too. */
static enum muster_status load(struct muster_vertical *vertical, struct muster_error *error)
{
    struct muster_named_array *arrays = NULL;
    size_t count = 0;
    enum muster_status status = muster_npz_read(vertical->weights_path, SIZE_MAX, &arrays, &count, error);
    if (status != MUSTER_OK)
        return status;
    const struct muster_array *model = muster_npz_find(arrays, count, MODEL);
    const struct muster_array *bias = muster_npz_find(arrays, count, BIAS);
    size_t outputs = bias ? (size_t)bias->shape[0] : 0;
    int64_t number = muster__vertical_is_array(model, MUSTER_INT64, 1, 1) ? *(const int64_t *)model->data : 0;
    if (number < MUSTER_VERTICAL_LOGISTIC || number > MUSTER_VERTICAL_RIDGE || outputs == 0 ||
        !muster__vertical_is_array(bias, MUSTER_FLOAT64, outputs, 1))
        status = muster__error(error, MUSTER_FORMAT, "%s: this is not a model of a master",
                               vertical->weights_path);
    else {
        size_t wanted = vertical->options.outputs;
        vertical->kind.model = (enum muster_vertical_model)number;
        vertical->kind.outputs = outputs;
        if (wanted != 0 && wanted != vertical->kind.outputs)
            status = muster__error(error, MUSTER_INVALID, "%s: the model has %zu outputs, and %zu are wanted",
                                   vertical->weights_path, vertical->kind.outputs, wanted);
        else
            status = muster__vertical_weights_init(&vertical->bias, 1, vertical->kind.outputs, error);
        if (status == MUSTER_OK)
            memcpy(vertical->bias.weights, bias->data, vertical->kind.outputs * sizeof(double));
    }
    free(arrays);
    return status;
}

/* ---- the run directory ---- */

/* What must be the same when a run goes on; the caller frees it. NULL: out of memory. */
static char *describe(const struct muster_vertical *vertical)
{
    const struct muster_vertical_options *options = &vertical->options;
    uint64_t weights[2] = {0};
    char *text = NULL;
    if (vertical->class_weights)
        crypto_generichash((unsigned char *)weights, sizeof(weights),
                           (const unsigned char *)vertical->class_weights,
                           vertical->kind.outputs * sizeof(double), NULL, 0);
    if (asprintf(&text,
                 "{\"model\": %d, \"outputs\": %zu, \"private\": %d, \"standardize\": %d, \"bias\": %d, "
                 "\"uniform_start\": %d, \"consecutive\": %d, \"batch_size\": %zu, \"learning_rate\": %.17g, "
                 "\"l2\": %.17g, \"momentum\": %.17g, \"test_fraction\": %.17g, \"seed\": %" PRIu64
                 ", \"class_weights\": \"%016" PRIx64 "\"}",
                 (int)vertical->kind.model, vertical->kind.outputs, options->private_matching,
                 options->standardize, options->bias, options->uniform_start, options->consecutive,
                 options->batch_size, options->learning_rate, options->l2, options->momentum,
                 options->test_fraction, options->seed, weights[0]) < 0)
        return NULL;
    return text;
}

/* A run in which nothing was learned yet begins anew: its members may not know of it. */
static enum muster_status open_run(struct muster_vertical *vertical, struct muster_error *error)
{
    char *text = describe(vertical);
    if (!text)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for the settings");
    enum muster_status status = muster__vertical_directory_open(
        &vertical->directory, vertical->options.run, text,
        muster__vertical_table_digest(vertical->table, vertical->order), &vertical->rows,
        &vertical->settings.rows, &vertical->settings.run, error);
    free(text);
    vertical->options.run = vertical->directory.path;
    if (status == MUSTER_OK)
        status =
            muster__vertical_directory_check(&vertical->directory, vertical->rows, vertical->settings.rows,
                                             vertical->table->rows, false, error);
    if (status == MUSTER_OK)
        status = muster__vertical_updates_open(&vertical->updates, vertical->directory.path,
                                               vertical->kind.outputs, error);
    if (status == MUSTER_OK && vertical->updates.last == 0 && vertical->directory.durable == 0) {
        free(vertical->rows);
        vertical->rows = NULL;
    }
    return status;
}

/* ---- making and freeing ---- */

static enum muster_status open_master(struct muster_vertical *vertical, struct muster_error *error)
{
    const struct muster_vertical_table *table = vertical->table;
    vertical->kind.model = vertical->options.model;
    vertical->kind.outputs = vertical->options.outputs;
    vertical->has_labels = table->columns > 0;
    if (sodium_init() < 0)
        return muster__error(error, MUSTER_IO, "there is no source of random numbers");
    enum muster_status status = muster__vertical_table_order(table, &vertical->order, error);
    if (status == MUSTER_OK && vertical->weights_path)
        status = load(vertical, error);
    if (status == MUSTER_OK && !vertical->has_labels && !vertical->weights_path)
        status = muster__error(error, MUSTER_INVALID, "a master needs labels");
    if (status == MUSTER_OK && vertical->has_labels)
        status = muster__vertical_labels_check(table, vertical->kind.model, &vertical->kind.outputs, error);
    if (status == MUSTER_OK)
        status = take_class_weights(vertical, error);
    if (status == MUSTER_OK && !vertical->weights_path)
        status = muster__vertical_weights_init(&vertical->bias, 1, vertical->kind.outputs, error);
    if (status == MUSTER_OK)
        status = open_run(vertical, error);
    return status;
}

enum muster_status muster_vertical_new(const struct muster_vertical_table *labels,
                                       const struct muster_vertical_options *options,
                                       struct muster_vertical **vertical, struct muster_error *error)
{
    *vertical = NULL;
    struct muster_vertical *made = calloc(1, sizeof(*made));
    if (!made)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for a master");
    made->table = labels;
    made->updates.file = -1;
    enum muster_status status = take_options(made, options, error);
    if (status == MUSTER_OK)
        status = open_master(made, error);
    if (status == MUSTER_OK)
        *vertical = made;
    else
        muster_vertical_free(made);
    return status;
}

static void clear_batches(struct muster_vertical *vertical)
{
    muster__vertical_batches_clear(&vertical->batches);
    free(vertical->ones);
    free(vertical->scores);
    free(vertical->labels);
    vertical->ones = vertical->scores = vertical->labels = NULL;
}

void muster_vertical_free(struct muster_vertical *vertical)
{
    if (!vertical)
        return;
    clear_batches(vertical);
    free(vertical->rows);
    muster__vertical_members_clear(&vertical->members);
    muster__vertical_updates_close(&vertical->updates);
    muster__vertical_directory_close(&vertical->directory);
    muster__vertical_weights_clear(&vertical->bias);
    muster__vertical_svd_free(vertical->bias_svd);
    for (size_t i = 0; i <= MUSTER_VERTICAL_TEST; i++) {
        free(vertical->predicted[i].own);
        free(vertical->predicted[i].labels);
        free(vertical->predicted[i].predictions);
    }
    free(vertical->order);
    free(vertical->class_weights);
    free(vertical->weights_path);
    free(vertical);
}

/* ---- matching ---- */

/* What follows from the rows that were matched, and from the members that are there. */
static enum muster_status settle(struct muster_vertical *vertical, struct muster_error *error)
{
    const struct muster_vertical_options *options = &vertical->options;
    struct muster__vertical_settings *settings = &vertical->settings;
    bool consecutive = options->consecutive, trained = vertical->weights_path != NULL;
    *settings = (struct muster__vertical_settings){
        .run = settings->run,
        .model = vertical->kind.model,
        .outputs = vertical->kind.outputs,
        .rows = settings->rows,
        .seed = options->seed,
        .batch_size = trained ? 0 : options->batch_size,
        .test_fraction = trained ? 0 : options->test_fraction,
        .steps = {vertical->members.count + (options->bias && !trained), consecutive},
        .step = {options->learning_rate, options->l2, options->momentum, 1},
        .standardize = options->standardize && !trained,
        .uniform_start = options->uniform_start && !trained,
        .trained = trained,
    };
    if (!consecutive)
        settings->step.share = 1 / (double)settings->steps.blocks;
    clear_batches(vertical);
    enum muster_status status =
        muster__vertical_batches_init(&vertical->batches, settings->seed, settings->rows,
                                      settings->test_fraction, settings->batch_size, error);
    if (status != MUSTER_OK)
        return status;
    size_t size = vertical->batches.size;
    vertical->ones = calloc(size, sizeof(double));
    vertical->scores = calloc(size * vertical->kind.outputs, sizeof(double));
    vertical->labels = calloc(size * vertical->kind.outputs, sizeof(double));
    if (!vertical->ones || !vertical->scores || !vertical->labels)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for batches of %zu records", size);
    for (size_t i = 0; i < size; i++)
        vertical->ones[i] = 1;
    return MUSTER_OK;
}

static enum muster_status begin_run(struct muster_vertical *vertical, struct muster_error *error)
{
    char *names = muster__vertical_members_names(&vertical->members);
    if (!names)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for the names of members");
    do {
        randombytes_buf(&vertical->settings.run, sizeof(vertical->settings.run));
        vertical->settings.run &= INT64_MAX;
    } while (vertical->settings.run == 0);
    enum muster_status status = muster__vertical_updates_clear(&vertical->updates, error);
    if (status == MUSTER_OK)
        status =
            muster__vertical_directory_begin(&vertical->directory, vertical->rows, vertical->settings.rows,
                                             vertical->settings.run, names, error);
    free(names);
    return status;
}

/* One try: the participants that are there become the members. */
static enum muster_status match_once(struct muster_vertical *vertical, size_t members, int64_t timeout_ms,
                                     struct muster_error *error)
{
    enum muster_status status = muster__vertical_members_take(&vertical->members, members, timeout_ms, error);
    struct proxy **proxies = status == MUSTER_OK ? calloc(members, sizeof(*proxies)) : NULL;
    if (status == MUSTER_OK && !proxies)
        status = muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for %zu members", members);
    for (size_t i = 0; i < members && proxies; i++)
        proxies[i] = vertical->members.peers[i].proxy;
    if (status == MUSTER_OK)
        status = (vertical->options.private_matching ? muster__vertical_match_private
                                                     : muster__vertical_match_plain)(
            proxies, members, vertical->table, vertical->order, &vertical->options,
            vertical->options.member_timeout_ms, &vertical->rows, &vertical->settings.rows, error);
    free(proxies);
    if (status == MUSTER_OK)
        status = begin_run(vertical, error);
    if (status == MUSTER_OK)
        status = settle(vertical, error);
    if (status == MUSTER_OK)
        status = muster__vertical_members_begin(&vertical->members, &vertical->settings, 0, error);
    return status;
}

static enum muster_status match_anew(struct muster_vertical *vertical, size_t members, int64_t timeout_ms,
                                     struct muster_error *error)
{
    double end = muster__vertical_now() + (double)timeout_ms;
    for (;;) {
        double left = end - muster__vertical_now();
        int64_t limit = timeout_ms == MUSTER_NO_LIMIT ? timeout_ms : left > 0 ? (int64_t)left : 0;
        enum muster_status status = match_once(vertical, members, limit, error);
        if (status == MUSTER_OK)
            return status;
        /* Nothing is matched then. */
        free(vertical->rows);
        vertical->rows = NULL;
        clear_batches(vertical);
        if (!muster__vertical_is_lost(status))
            return status;
    }
}

/* Bias and steps are those of the checkpoint, and then those of the updates that follow it. */
static enum muster_status go_on(struct muster_vertical *vertical, struct muster_error *error)
{
    memset(vertical->bias.weights, 0, 2 * vertical->bias.outputs * sizeof(double));
    enum muster_status status =
        muster__vertical_directory_restore(&vertical->directory, &vertical->bias, error);
    vertical->step = vertical->directory.durable;
    if (vertical->updates.last < vertical->step)
        status = status == MUSTER_OK ? muster__vertical_updates_clear(&vertical->updates, error) : status;
    while (vertical->step < vertical->updates.last && status == MUSTER_OK) {
        const struct muster__vertical_update *update =
            muster__vertical_updates_find(&vertical->updates, ++vertical->step);
        if (!update)
            return muster__error(error, MUSTER_FORMAT, "the run in %s lacks its step %" PRIu64,
                                 vertical->directory.path, vertical->step);
        status = muster__vertical_learn_bias(vertical, update->step, update->residual, update->rows, error);
    }
    return status;
}

static enum muster_status match_again(struct muster_vertical *vertical, size_t members, int64_t timeout_ms,
                                      struct muster_error *error)
{
    enum muster_status status =
        muster__vertical_members_name(&vertical->members, vertical->directory.names, error);
    if (status == MUSTER_OK && vertical->members.count != members)
        status = muster__error(error, MUSTER_INVALID, "the run in %s has %zu members, and %zu are wanted",
                               vertical->directory.path, vertical->members.count, members);
    if (status == MUSTER_OK)
        status = settle(vertical, error);
    if (status == MUSTER_OK)
        status = go_on(vertical, error);
    if (status == MUSTER_OK)
        status = muster__vertical_members_wait(&vertical->members, timeout_ms, error);
    return status;
}

enum muster_status muster_vertical_match(struct muster_vertical *vertical,
                                         struct participant_manager *manager, size_t members,
                                         int64_t timeout_ms, struct muster_error *error)
{
    if (vertical->members.manager || members == 0 || !manager)
        return muster__error(error, MUSTER_INVALID,
                             members == 0 ? "there are no members" : "a master matches once");
    vertical->members = (struct muster__vertical_members){
        .outputs = vertical->kind.outputs,
        .timeout_ms = vertical->options.member_timeout_ms,
        .on_warning = vertical->options.on_warning,
        .context = vertical->options.context,
    };
    vertical->members.manager = manager;
    enum muster_status status = vertical->rows ? match_again(vertical, members, timeout_ms, error)
                                               : match_anew(vertical, members, timeout_ms, error);
    if (status != MUSTER_OK) {
        muster__vertical_members_clear(&vertical->members);
        vertical->members.manager = NULL;
    }
    return status;
}

/* ---- looking ---- */

size_t muster_vertical_rows(const struct muster_vertical *vertical, size_t *test)
{
    if (test)
        *test = vertical->batches.test_count;
    return vertical->batches.rows;
}

const double *muster_vertical_bias(const struct muster_vertical *vertical, size_t *outputs)
{
    *outputs = vertical->kind.outputs;
    return vertical->bias.weights;
}
