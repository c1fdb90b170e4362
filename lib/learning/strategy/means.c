/* Strategies that need no more of the answers than a weighted mean: the sums are all that is kept. */
#include <config.h>

#include <math.h>

#include "array/arithmetic.h"
#include "learning/mean.h"
#include "learning/strategy/moving.h"
#include "status.h"

/* ---- what an answer weighs ---- */

/* q-FedAvg's authors add this to a loss, so that one of 0 has powers. */
#define LOSS_LEAST 1e-10

/* The squared distance of the answer's floats from the model's. */
static double squared_change(const struct muster_strategy *strategy, const struct muster_message *message)
{
    double sum = 0;
    for (size_t i = 0; i < message->array_count; i++) {
        if (muster__is_float(message->arrays[i].dtype))
            sum += muster__array_squared_distance(&message->arrays[i], &strategy->model.arrays[i]);
    }
    return sum;
}

/*
 * q-FedAvg (Li et al. 2020): an answer counts with F^q, and the sum of the changes, times L, is divided by
 * the sum of q F^(q-1) |L change|^2 + L F^q. Sets the weight F^q, and what comes to the divisor.
 */
static enum muster_status weigh_by_loss(const struct muster_strategy *strategy,
                                        const struct muster_strategy_answer *answer, double *weight,
                                        double *divisor, struct muster_error *error)
{
    double q = parameter(strategy, 0), rate = parameter(strategy, 1), loss = answer->loss + LOSS_LEAST;
    if (!(answer->loss >= 0) || !isfinite(answer->loss))
        return muster__error(error, MUSTER_INVALID,
                             "the loss of the model that was received is missing or no number from 0 on");
    *weight = pow(loss, q);
    *divisor = *weight;
    if (q > 0)
        *divisor += q * pow(loss, q - 1) * squared_change(strategy, answer->message) / rate;
    if (!(*weight > 0) || !isfinite(strategy->divisor + *divisor))
        return muster__error(error, MUSTER_INVALID, "with a loss of %g and q = %g the sums could overflow",
                             answer->loss, q);
    return MUSTER_OK;
}

/* ---- answers ---- */

static bool is_squared(const struct muster_strategy *strategy)
{
    return strategy->optimizer.rule != RULE_NONE;
}

/* The arrays alone. */
static struct muster_message arrays_of(const struct muster_strategy_answer *answer)
{
    return (struct muster_message){.kind = MUSTER_TRAIN,
                                   .arrays = answer->message->arrays,
                                   .array_count = answer->message->array_count,
                                   .array_names = answer->message->array_names};
}

static enum muster_status make(struct muster_strategy *strategy, const char *directory,
                               struct muster_error *error)
{
    (void)directory;
    strategy->mean = muster_mean_new_like_message(&strategy->model.message);
    return strategy->mean
               ? MUSTER_OK
               : muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory for the sums of a mean");
}

static void free_mean(struct muster_strategy *strategy)
{
    muster_mean_free(strategy->mean);
}

/* The arrays are checked first: the squares of what was not checked are nothing to go by. */
static enum muster_status check_and_weigh(const struct muster_strategy *strategy,
                                          const struct muster_strategy_answer *answer,
                                          const struct muster_message *arrays, double *weight,
                                          double *divisor, struct muster_error *error)
{
    enum muster_status status = muster__mean_check(strategy->mean, arrays, 1, is_squared(strategy), error);
    return status == MUSTER_OK ? weigh_by_loss(strategy, answer, weight, divisor, error) : status;
}

static enum muster_status check(const struct muster_strategy *strategy,
                                const struct muster_strategy_answer *answer, struct muster_error *error)
{
    struct muster_message arrays = arrays_of(answer);
    double weight = answer->weight, divisor;
    enum muster_status status = MUSTER_OK;
    if (strategy->kind->shown.needs_loss)
        status = check_and_weigh(strategy, answer, &arrays, &weight, &divisor, error);
    return status == MUSTER_OK
               ? muster__mean_check(strategy->mean, &arrays, weight, is_squared(strategy), error)
               : status;
}

static enum muster_status add(struct muster_strategy *strategy, const struct muster_strategy_answer *answer,
                              struct muster_error *error)
{
    struct muster_message arrays = arrays_of(answer);
    double weight = answer->weight, divisor = weight;
    enum muster_status status = MUSTER_OK;
    if (strategy->kind->shown.needs_loss)
        status = check_and_weigh(strategy, answer, &arrays, &weight, &divisor, error);
    if (status == MUSTER_OK)
        status = muster__mean_add(strategy->mean, &arrays, weight, is_squared(strategy), error);
    if (status == MUSTER_OK)
        strategy->divisor += divisor;
    return status;
}

static void forget(struct muster_strategy *strategy)
{
    muster_mean_reset(strategy->mean);
    strategy->divisor = 0;
}

/* ---- the step ---- */

static void read_changes(const struct moving *moving, size_t array, size_t first, size_t count,
                         const double *values, double *changes)
{
    const double *sums = (const double *)moving->sums + moving->strategy->model.starts[array] + first;
    const double factor = 1 / moving->divisor;
    if (count == STRATEGY_BLOCK) {
        for (size_t i = 0; i < STRATEGY_BLOCK; i++)
            changes[i] = sums[i] * factor - values[i] * moving->share;
    } else {
        for (size_t i = 0; i < count; i++)
            changes[i] = sums[i] * factor - values[i] * moving->share;
    }
}

/* FedAvg's model is the mean itself. */
static void take_mean(struct muster_strategy *strategy, const double *sums, double weight)
{
    for (size_t i = 0; i < strategy->model.message.array_count; i++) {
        const struct muster_array *array = &strategy->model.arrays[i];
        size_t elements = muster_array_count(array);
        if (elements > 0)
            muster__array_divide(muster__model_data(&strategy->model, i), array->dtype,
                                 sums + strategy->model.starts[i], elements, weight);
    }
}

static enum muster_status step(struct muster_strategy *strategy, double divisor, struct muster_error *error)
{
    double weight;
    const double *sums = muster__mean_sums(strategy->mean, &weight);
    double share = weight / strategy->divisor;
    struct moving moving = {read_changes, strategy, sums, strategy->divisor, share};
    (void)divisor;
    (void)error;
    if (strategy->optimizer.rule == RULE_NONE && !strategy->kind->shown.needs_loss) {
        take_mean(strategy, sums, weight);
    } else {
        muster__move(strategy, &moving);
        muster__move_others(strategy, sums, weight);
    }
    return MUSTER_OK;
}

const struct strategy_keeping muster__keeping_mean = {make, free_mean, check, add, step, forget};
