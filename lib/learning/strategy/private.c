/*
 * Client-level differential privacy, for means and for FedBuff: answers are changes, clipped and added up
 * with the same weight, and the sum gets its noise before anything else is made of it.
 */
#include <config.h>

#include <math.h>
#include <stdint.h>

#include <muster/privacy.h>

#include "array/arithmetic.h"
#include "learning/strategy/moving.h"
#include "status.h"
#include "wire/wire.h"

static size_t sums_size(const struct muster_strategy *strategy)
{
    size_t elements = strategy->model.elements;
    return (elements > 0 ? elements : 1) * sizeof(double);
}

static void forget(struct muster_strategy *strategy)
{
    for (size_t i = 0; i < strategy->model.elements; i++)
        strategy->sums[i] = 0;
}

static enum muster_status make(struct muster_strategy *strategy, const char *directory,
                               struct muster_error *error)
{
    (void)directory;
    strategy->sums = muster__block_new(sums_size(strategy));
    if (!strategy->sums)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory for a sum of changes");
    forget(strategy);
    return MUSTER_OK;
}

static void free_sums(struct muster_strategy *strategy)
{
    muster__block_free(strategy->sums, sums_size(strategy));
}

static const struct muster_array *base_of(const struct muster_strategy *strategy,
                                          const struct muster_strategy_answer *answer)
{
    bool own = strategy->kind->shown.asynchronous && answer->base;
    return own ? answer->base->arrays : strategy->model.arrays;
}

static enum muster_status check(const struct muster_strategy *strategy,
                                const struct muster_strategy_answer *answer, struct muster_error *error)
{
    const struct muster_array *arrays = answer->message->arrays, *base = base_of(strategy, answer);
    enum muster_status status = MUSTER_OK;
    double largest, squares = 0;
    for (size_t i = 0; status == MUSTER_OK && i < answer->message->array_count; i++) {
        status = muster__array_check(&arrays[i], i, &largest, error);
        if (status == MUSTER_OK)
            squares += muster__array_squared_distance(&arrays[i], &base[i]);
    }
    if (status == MUSTER_OK && !isfinite(squares))
        status = muster__error(error, MUSTER_INVALID, "the answer is too far from the model to be clipped");
    return status;
}

static enum muster_status add(struct muster_strategy *strategy, const struct muster_strategy_answer *answer,
                              struct muster_error *error)
{
    bool asynchronous = strategy->kind->shown.asynchronous;
    struct muster_private_sum how = {strategy->clip, strategy->noise,
                                     asynchronous ? muster__staleness_weight(answer) : 1};
    enum muster_status status =
        muster_privacy_add(strategy->sums, answer->message->arrays, base_of(strategy, answer),
                           answer->message->array_count, &how, NULL, error);
    if (status == MUSTER_OK && asynchronous)
        strategy->numbers[NUMBER_ANSWERS]++;
    return status;
}

static void read_changes(const struct moving *moving, size_t array, size_t first, size_t count,
                         const double *values, double *changes)
{
    const double *sums = (const double *)moving->sums + moving->strategy->model.starts[array] + first;
    (void)values;
    for (size_t i = 0; i < count; i++)
        changes[i] = sums[i] / moving->divisor;
}

/* Noise comes first, where it may fail: what it leaves is forgotten with the round. */
static enum muster_status step(struct muster_strategy *strategy, double divisor, struct muster_error *error)
{
    struct muster_private_sum how = {strategy->clip, strategy->noise, 1};
    double answers = strategy->answers > 0 ? (double)strategy->answers : 1;
    struct moving moving = {read_changes, strategy, strategy->sums, divisor > 0 ? divisor : answers, 0};
    enum muster_status status = muster_privacy_noise(strategy->sums, strategy->model.elements, &how, error);
    if (status == MUSTER_OK)
        muster__move(strategy, &moving);
    return status;
}

const struct strategy_keeping muster__keeping_private = {make, free_sums, check, add, step, forget};
