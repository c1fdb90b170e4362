/* What of a strategy is saved, and how it goes on from that. */
#include <config.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "array/arithmetic.h"
#include "learning/strategy/strategy.h"
#include "status.h"
#include "wire/wire.h"

#define NUMBERS_NAME "strategy.numbers"
#define SUMS_NAME    "strategy.sums"
#define SCALE_NAME   "strategy.scale"
#define NUMBER_MOST  0x1p53

/* The numbers, the memory, and the sums of FedBuff if it is private. */
enum { STATE_ARRAYS_MAX = 2 + MEMORY_ARRAYS_MAX };

static bool has_sums(const struct muster_strategy *strategy)
{
    return strategy->clip > 0 && strategy->kind->shown.asynchronous;
}

size_t muster_strategy_state_count(const struct muster_strategy *strategy)
{
    return 1 + strategy->memory.count + has_sums(strategy);
}

void muster_strategy_state(const struct muster_strategy *strategy, struct muster_named_array *arrays)
{
    *arrays++ =
        (struct muster_named_array){NUMBERS_NAME, {MUSTER_FLOAT64, 1, {STRATEGY_NUMBERS}, strategy->numbers}};
    memcpy(arrays, strategy->memory.arrays, strategy->memory.count * sizeof(*arrays));
    if (has_sums(strategy))
        arrays[strategy->memory.count] = (struct muster_named_array){
            SUMS_NAME, {MUSTER_FLOAT64, 1, {strategy->model.elements}, strategy->sums}};
}

/* Whether it can be put in the place of `own`. */
static enum muster_status check(const struct muster_array *found, const struct muster_named_array *own,
                                struct muster_error *error)
{
    double largest;
    if (!found)
        return muster__error(error, MUSTER_FORMAT, "the state has no '%.80s': it is of another strategy",
                             own->name);
    if (muster__array_fault(found) || found->dtype != own->array.dtype || found->dimensions != 1 ||
        found->shape[0] != own->array.shape[0])
        return muster__error(error, MUSTER_FORMAT,
                             "'%.80s' of the state has another dtype or shape: it is of another model",
                             own->name);
    if (muster__array_check(found, 0, &largest, NULL) != MUSTER_OK)
        return muster__error(error, MUSTER_FORMAT, "'%.80s' of the state holds NaN or infinity", own->name);
    return MUSTER_OK;
}

static double number_at(const struct muster_array *array, size_t i)
{
    return array->dtype == MUSTER_FLOAT64 ? ((const double *)array->data)[i]
                                          : (double)((const float *)array->data)[i];
}

/* Steps and answers are counted. Only a buffer has answers, and they weigh something; what is private
   weighs all the same. */
static bool numbers_are_good(const struct muster_strategy *strategy, const double *numbers)
{
    double steps = numbers[NUMBER_STEPS], answers = numbers[NUMBER_ANSWERS], weight = numbers[NUMBER_WEIGHT];
    bool buffered = strategy->kind->shown.asynchronous;
    if (!(steps >= 0 && steps <= NUMBER_MOST) || !(answers >= 0 && answers <= NUMBER_MOST) || !(weight >= 0))
        return false;
    if (steps != floor(steps) || answers != floor(answers) || weight > answers)
        return false;
    return buffered ? weight > 0 || answers == 0 || strategy->clip > 0 : answers == 0;
}

/* What Adam and its like take the root of. */
static bool scale_is_good(const struct muster_array *found)
{
    bool good = true;
    for (size_t i = 0; i < found->shape[0]; i++)
        good = good && number_at(found, i) >= 0;
    return good;
}

static enum muster_status check_values(const struct muster_strategy *strategy,
                                       const struct muster_array *found, const char *name,
                                       struct muster_error *error)
{
    bool good = true;
    if (strcmp(name, NUMBERS_NAME) == 0)
        good = numbers_are_good(strategy, found->data);
    else if (strncmp(name, SCALE_NAME, strlen(SCALE_NAME)) == 0)
        good = scale_is_good(found);
    return good ? MUSTER_OK : muster__error(error, MUSTER_FORMAT, "'%.80s' of the state is damaged", name);
}

enum muster_status muster_strategy_restore(struct muster_strategy *strategy,
                                           const struct muster_named_array *arrays, size_t count,
                                           struct muster_error *error)
{
    struct muster_named_array own[STATE_ARRAYS_MAX];
    size_t own_count = muster_strategy_state_count(strategy);
    enum muster_status status = MUSTER_OK;
    muster_strategy_state(strategy, own);
    for (size_t i = 0; status == MUSTER_OK && i < own_count; i++) {
        const struct muster_array *found = muster_npz_find(arrays, count, own[i].name);
        status = check(found, &own[i], error);
        if (status == MUSTER_OK)
            status = check_values(strategy, found, own[i].name, error);
    }
    if (status != MUSTER_OK)
        return status;
    muster_strategy_begin(strategy);
    for (size_t i = 0; i < own_count; i++) {
        const struct muster_array *found = muster_npz_find(arrays, count, own[i].name);
        if (found->shape[0] > 0)
            memcpy((void *)(uintptr_t)own[i].array.data, found->data, muster__array_size(found));
    }
    strategy->answers = (size_t)strategy->numbers[NUMBER_ANSWERS];
    return MUSTER_OK;
}
