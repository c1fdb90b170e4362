/*
 * Client-level differential privacy, for means and for FedBuff: answers are changes, clipped and added up
 * with the same weight, and the sum gets its noise before anything else is made of it.
 */
#include <config.h>

#include <math.h>
#include <stdint.h>

#include <muster/privacy.h>

#include "learning/mean.h"
#include "learning/privacy/grid.h"
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

/* A late answer of an asynchronous strategy weighs less; all others weigh 1. */
static struct muster_private_sum how_of(const struct muster_strategy *strategy,
                                        const struct muster_strategy_answer *answer)
{
    struct muster_private_sum how = {.clip = strategy->clip, .noise = strategy->noise, .weight = 1};
    if (answer && strategy->kind->shown.asynchronous)
        how.weight = muster__staleness_weight(answer);
    return how;
}

static enum muster_status check(const struct muster_strategy *strategy,
                                const struct muster_strategy_answer *answer, struct muster_error *error)
{
    struct muster_private_sum how = how_of(strategy, answer);
    return muster__privacy_check_change(answer->message->arrays, base_of(strategy, answer),
                                        answer->message->array_count, &how, error);
}

static enum muster_status add(struct muster_strategy *strategy, const struct muster_strategy_answer *answer,
                              struct muster_error *error)
{
    struct muster_private_sum how = how_of(strategy, answer);
    enum muster_status status =
        muster_privacy_add(strategy->sums, answer->message->arrays, base_of(strategy, answer),
                           answer->message->array_count, &how, NULL, error);
    if (status == MUSTER_OK && strategy->kind->shown.asynchronous)
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

/* An answer changes a sum by the clip at most, and noise is never more than 13 deviations. */
static enum muster_status check_size(const struct muster_strategy *strategy, double divisor,
                                     struct muster_error *error)
{
    double most = strategy->clip * ((double)strategy->answers + 13 * strategy->noise) / divisor;
    bool squares = strategy->optimizer.rule != RULE_NONE && strategy->optimizer.rule != RULE_SCALE;
    if (squares ? most <= muster__squared_most(MUSTER_FLOAT32) : isfinite(most))
        return MUSTER_OK;
    return muster__error(error, MUSTER_INVALID,
                         "with a clip of %g, a noise of %g and a divisor of %g the step could overflow",
                         strategy->clip, strategy->noise, divisor);
}

/* Noise comes first, where it may fail: what it leaves is forgotten with the round. */
static enum muster_status step(struct muster_strategy *strategy, double divisor, struct muster_error *error)
{
    struct muster_private_sum how = how_of(strategy, NULL);
    if (divisor == 0) /* the mean of those that came; there is no noise, which this would spoil */
        divisor = strategy->answers > 0 ? (double)strategy->answers : 1;
    struct moving moving = {read_changes, strategy, strategy->sums, divisor, 0};
    enum muster_status status = check_size(strategy, divisor, error);
    if (status == MUSTER_OK)
        status = muster_privacy_noise(strategy->sums, strategy->model.elements, &how, error);
    if (status == MUSTER_OK)
        muster__move(strategy, &moving);
    return status;
}

const struct strategy_keeping muster__keeping_private = {make, free_sums, check, add, step, forget};
