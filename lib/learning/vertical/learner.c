/* What a member has when a run has begun: columns, batches and weights, and how they learn step by step. */
#include <config.h>

#include "learning/vertical/learner.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "status.h"

/* Above all epochs: see muster__vertical_random(). */
#define MEMBER_PURPOSE (UINT64_C(1) << 48)

/* The most rows that are gathered for predictions at a time: they stay in a cache. */
#define GATHERED_MAX 1024

static void start_uniform(struct muster__vertical_learner *learner)
{
    struct muster_random random;
    double range = 1 / sqrt((double)learner->weights.columns);
    muster__vertical_random(learner->settings.seed, MEMBER_PURPOSE + learner->index, &random);
    for (size_t i = 0; i < learner->weights.columns * learner->weights.outputs; i++)
        learner->weights.weights[i] = range * (2 * muster_random_uniform(&random) - 1);
}

static enum muster_status check_sizes(const struct muster__vertical_settings *settings, size_t columns,
                                      struct muster_error *error)
{
    size_t rows = settings->rows, outputs = settings->outputs;
    if (columns > INT_MAX / outputs || rows > INT_MAX / outputs)
        return muster__error(error, MUSTER_TOO_BIG,
                             "%zu rows, %zu columns, %zu outputs are too many for BLAS", rows, columns,
                             outputs);
    return MUSTER_OK;
}

enum muster_status muster__vertical_learner_init(struct muster__vertical_learner *learner,
                                                 const struct muster__vertical_settings *settings,
                                                 size_t index, const struct muster_vertical_table *table,
                                                 const size_t *rows, bool left, struct muster_error *error)
{
    *learner = (struct muster__vertical_learner){.settings = *settings, .index = index};
    enum muster_status status = check_sizes(settings, table->columns + left, error);
    if (status == MUSTER_OK)
        status = muster__vertical_columns_init(&learner->columns, table, rows, settings->rows, left, error);
    if (status == MUSTER_OK)
        status = muster__vertical_batches_init(&learner->batches, settings->seed, settings->rows,
                                               settings->test_fraction, settings->batch_size, error);
    if (status == MUSTER_OK)
        status = muster__vertical_weights_init(&learner->weights, learner->columns.columns, settings->outputs,
                                               error);
    if (status == MUSTER_OK && learner->batches.per_epoch != 1 &&
        (settings->model == MUSTER_VERTICAL_RIDGE || settings->steps.consecutive))
        status = muster__error(error, MUSTER_INVALID, "this needs all rows in one batch");
    if (status != MUSTER_OK) {
        muster__vertical_learner_clear(learner);
        return status;
    }
    if (settings->standardize) {
        muster__vertical_columns_measure(&learner->columns, learner->batches.train,
                                         learner->batches.train_count);
        muster__vertical_columns_scale(&learner->columns);
    }
    if (settings->uniform_start)
        start_uniform(learner);
    return MUSTER_OK;
}

void muster__vertical_learner_clear(struct muster__vertical_learner *learner)
{
    muster__vertical_columns_clear(&learner->columns);
    muster__vertical_batches_clear(&learner->batches);
    muster__vertical_weights_clear(&learner->weights);
    muster__vertical_svd_free(learner->svd);
    free(learner->scores);
    *learner = (struct muster__vertical_learner){0};
}

/* ---- learning ---- */

/* The batch of a step. If it is gathered, the next step finds it so. */
static enum muster_status take_batch(struct muster__vertical_learner *learner, uint64_t step,
                                     struct muster__vertical_records *records, struct muster_error *error)
{
    size_t count;
    uint64_t iteration = muster__vertical_iteration(&learner->settings.steps, step);
    const size_t *rows = muster__vertical_batch(&learner->batches, iteration, &count);
    bool whole = learner->batches.per_epoch == 1;
    if (!whole && learner->settings.outputs == 1) {
        *records = (struct muster__vertical_records){learner->columns.values, rows, count};
        return MUSTER_OK;
    }
    if (whole)
        iteration = 1;
    if (learner->gathered_iteration != iteration) {
        learner->gathered = muster__vertical_columns_gather(&learner->columns, rows, count);
        learner->gathered_iteration = learner->gathered ? iteration : 0;
    }
    *records = (struct muster__vertical_records){learner->gathered, NULL, count};
    return learner->gathered
               ? MUSTER_OK
               : muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for a batch of %zu records", count);
}

/* Room for the scores of `count` rows. */
static double *room(struct muster__vertical_learner *learner, size_t count)
{
    if (count > learner->scores_room) {
        free(learner->scores);
        learner->scores = calloc(count, learner->settings.outputs * sizeof(*learner->scores));
        learner->scores_room = learner->scores ? count : 0;
    }
    return learner->scores;
}

size_t muster__vertical_learner_rows(struct muster__vertical_learner *learner, uint64_t step)
{
    size_t count;
    (void)muster__vertical_batch(&learner->batches,
                                 muster__vertical_iteration(&learner->settings.steps, step), &count);
    return count;
}

static enum muster_status solve(struct muster__vertical_learner *learner,
                                const struct muster__vertical_records *records, const double *residual,
                                struct muster_error *error)
{
    size_t outputs = learner->settings.outputs;
    double *copy = room(learner, records->count);
    if (!copy)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for %zu rows", records->count);
    if (!learner->svd) {
        enum muster_status status = muster__vertical_svd_new(
            records->values, records->count, learner->weights.columns, outputs, &learner->svd, error);
        if (status != MUSTER_OK)
            return status;
    }
    memcpy(copy, residual, records->count * outputs * sizeof(*copy));
    muster__vertical_solve(&learner->weights, &learner->settings.step, learner->svd, records->values, copy);
    return MUSTER_OK;
}

enum muster_status muster__vertical_learner_apply(struct muster__vertical_learner *learner, uint64_t step,
                                                  const double *residual, struct muster_error *error)
{
    struct muster__vertical_records records;
    enum muster_status status = take_batch(learner, step, &records, error);
    if (status == MUSTER_OK && learner->settings.model == MUSTER_VERTICAL_RIDGE)
        status = solve(learner, &records, residual, error);
    else if (status == MUSTER_OK)
        muster__vertical_descend(&learner->weights, &learner->settings.step, &records, residual);
    if (status == MUSTER_OK)
        learner->step = step;
    return status;
}

enum muster_status muster__vertical_learner_batch(struct muster__vertical_learner *learner, uint64_t step,
                                                  size_t *count, struct muster_error *error)
{
    struct muster__vertical_records records;
    enum muster_status status = take_batch(learner, step, &records, error);
    if (status == MUSTER_OK && !room(learner, records.count))
        status = muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for %zu scores", records.count);
    if (status != MUSTER_OK)
        return status;
    *count = records.count;
    muster__vertical_scores(&learner->weights, &records, learner->scores);
    return MUSTER_OK;
}

enum muster_status muster__vertical_learner_part(struct muster__vertical_learner *learner, const size_t *rows,
                                                 size_t count, struct muster_error *error)
{
    double *scores = room(learner, count);
    learner->gathered_iteration = 0;
    for (size_t from = 0, some; from < count; from += some) {
        some = count - from < GATHERED_MAX ? count - from : GATHERED_MAX;
        const struct muster__vertical_records records = {
            scores ? muster__vertical_columns_gather(&learner->columns, rows + from, some) : NULL, NULL,
            some};
        if (!records.values)
            return muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for %zu scores", count);
        muster__vertical_scores(&learner->weights, &records, scores + from * learner->settings.outputs);
    }
    return MUSTER_OK;
}
