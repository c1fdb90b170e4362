/*
 * FedBuff (Nguyen et al. 2022): answers are changes of the models that their participants were sent, and are
 * added up as they come, the older the less. The sum is remembered, and saved with the optimizer's memory.
 */
#include <config.h>

#include <float.h>
#include <math.h>
#include <string.h>

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

/* Of float32: the step that most trainings take most often. The sums become 0. */
static inline void move_some(float *restrict values, float *restrict sums, size_t count, float factor)
{
    for (size_t i = 0; i < count; i++) {
        float value = values[i] + factor * sums[i];
        value = value < FLT_MAX ? value : FLT_MAX;
        values[i] = value > -FLT_MAX ? value : -FLT_MAX;
        sums[i] = 0;
    }
}

static void move_singles(float *values, float *sums, size_t count, float factor)
{
    size_t whole = count - count % STRATEGY_BLOCK;
    for (size_t i = 0; i < whole; i += STRATEGY_BLOCK)
        move_some(values + i, sums + i, STRATEGY_BLOCK, factor);
    move_some(values + whole, sums + whole, count - whole, factor);
}

static void move_others(struct muster_strategy *strategy, size_t array, const void *sums, double factor)
{
    const struct muster_array *whole = &strategy->model.arrays[array];
    size_t elements = muster_array_count(whole);
    bool is_double = muster__memory_is_double(whole->dtype);
    double changes[STRATEGY_BLOCK];
    for (size_t first = 0; first < elements; first += STRATEGY_BLOCK) {
        size_t left = elements - first, count = left < STRATEGY_BLOCK ? left : STRATEGY_BLOCK;
        for (size_t i = 0; i < count; i++)
            changes[i] = factor * (is_double ? ((const double *)sums)[first + i]
                                             : (double)((const float *)sums)[first + i]);
        muster__move_by(strategy, array, first, count, changes);
    }
}

static void move_array(struct muster_strategy *strategy, size_t array)
{
    double factor = strategy->optimizer.eta / strategy->numbers[NUMBER_ANSWERS];
    enum muster_dtype dtype = strategy->model.arrays[array].dtype;
    size_t elements = muster_array_count(&strategy->model.arrays[array]);
    void *values = muster__model_data(&strategy->model, array);
    void *sums = muster__memory_at(&strategy->memory, &strategy->model, 0, array, 0);
    if (dtype == MUSTER_FLOAT32) {
        move_singles(values, sums, elements, (float)factor);
        return;
    }
    if (muster__is_float(dtype))
        move_others(strategy, array, sums, factor);
    else
        muster__array_divide(values, dtype, sums, elements, strategy->numbers[NUMBER_WEIGHT]);
    memset(sums, 0, elements * (muster__memory_is_double(dtype) ? sizeof(double) : sizeof(float)));
}

static enum muster_status step(struct muster_strategy *strategy, double divisor, struct muster_error *error)
{
    (void)divisor;
    (void)error;
    for (size_t i = 0; i < strategy->model.message.array_count; i++) {
        if (muster_array_count(&strategy->model.arrays[i]) > 0)
            move_array(strategy, i);
    }
    strategy->numbers[NUMBER_ANSWERS] = 0; /* all sums are 0 */
    return MUSTER_OK;
}

static void forget(struct muster_strategy *strategy)
{
    if (strategy->numbers[NUMBER_ANSWERS] > 0)
        muster__memory_fill(&strategy->memory, 0, 0);
}

const struct strategy_keeping muster__keeping_buffer = {make, free_nothing, check, add, step, forget};
