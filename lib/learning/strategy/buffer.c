/*
 * FedBuff (Nguyen et al. 2022): answers are changes of the models that their participants were sent, and are
 * added up as they come, the older the less. The sum is remembered, and saved with the optimizer's memory.
 */
#include <config.h>

#include <math.h>
#include <stdint.h>

#include "array/arithmetic.h"
#include "learning/mean.h"
#include "learning/strategy/moving.h"
#include "status.h"

static enum muster_status make(struct muster_strategy *strategy, const char *directory,
                               struct muster_error *error)
{
    (void)strategy;
    (void)directory;
    (void)error;
    return MUSTER_OK;
}

static void free_nothing(struct muster_strategy *strategy)
{
    (void)strategy;
}

/* Sums stay finite: no answer is further away than what an optimizer would accept. */
static enum muster_status check(const struct muster_strategy *strategy,
                                const struct muster_strategy_answer *answer, struct muster_error *error)
{
    (void)strategy;
    enum muster_status status = MUSTER_OK;
    for (size_t i = 0; status == MUSTER_OK && i < answer->message->array_count; i++) {
        const struct muster_array *array = &answer->message->arrays[i];
        double largest, most = muster__squared_most(array->dtype);
        status = muster__array_check(array, i, &largest, error);
        if (status == MUSTER_OK && largest > most)
            status =
                muster__error(error, MUSTER_INVALID, "array %zu has values up to %g, and %g is the most here",
                              i, largest, most);
    }
    return status;
}

double muster__staleness_weight(const struct muster_strategy_answer *answer)
{
    return 1 / sqrt(1 + (double)answer->staleness);
}

static enum muster_status add(struct muster_strategy *strategy, const struct muster_strategy_answer *answer,
                              struct muster_error *error)
{
    enum muster_status status = check(strategy, answer, error);
    if (status != MUSTER_OK)
        return status;
    double weight = muster__staleness_weight(answer);
    const struct muster_message *base = answer->base ? answer->base : &strategy->model.message;
    for (size_t i = 0; i < answer->message->array_count; i++) {
        const struct muster_array *array = &answer->message->arrays[i];
        void *sums = muster__memory_at(&strategy->memory, &strategy->model, 0, i, 0);
        if (muster__is_float(array->dtype))
            muster__array_add_change(sums, array, &base->arrays[i], weight);
        else
            muster__array_add(sums, array, weight);
    }
    strategy->numbers[NUMBER_ANSWERS]++;
    strategy->numbers[NUMBER_WEIGHT] += weight;
    return MUSTER_OK;
}

static void read_changes(const struct moving *moving, size_t array, size_t first, size_t count,
                         const double *values, double *changes)
{
    const struct muster_strategy *strategy = moving->strategy;
    const void *sums = muster__memory_at(&strategy->memory, &strategy->model, 0, array, first);
    bool is_double = muster__memory_is_double(strategy->model.arrays[array].dtype);
    (void)values;
    for (size_t i = 0; i < count; i++)
        changes[i] =
            (is_double ? ((const double *)sums)[i] : (double)((const float *)sums)[i]) / moving->divisor;
}

static enum muster_status step(struct muster_strategy *strategy, double divisor, struct muster_error *error)
{
    struct moving moving = {read_changes, strategy, NULL, strategy->numbers[NUMBER_ANSWERS], 0};
    (void)divisor;
    (void)error;
    muster__move(strategy, &moving);
    for (size_t i = 0; i < strategy->model.message.array_count; i++) {
        const struct muster_array *array = &strategy->model.arrays[i];
        size_t elements = muster_array_count(array);
        if (!muster__is_float(array->dtype) && elements > 0)
            muster__array_divide(muster__model_data(&strategy->model, i), array->dtype,
                                 muster__memory_at(&strategy->memory, &strategy->model, 0, i, 0), elements,
                                 strategy->numbers[NUMBER_WEIGHT]);
    }
    return MUSTER_OK;
}

static void forget(struct muster_strategy *strategy)
{
    if (strategy->numbers[NUMBER_ANSWERS] > 0)
        muster__memory_fill(&strategy->memory, 0, 0);
}

const struct strategy_keeping muster__keeping_buffer = {make, free_nothing, check, add, step, forget};
