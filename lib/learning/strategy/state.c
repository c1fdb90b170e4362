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
#define NUMBER_MOST  0x1p53

size_t muster_strategy_state_count(const struct muster_strategy *strategy)
{
    return 1 + strategy->memory.count;
}

void muster_strategy_state(const struct muster_strategy *strategy, struct muster_named_array *arrays)
{
    arrays[0] =
        (struct muster_named_array){NUMBERS_NAME, {MUSTER_FLOAT64, 1, {STRATEGY_NUMBERS}, strategy->numbers}};
    memcpy(arrays + 1, strategy->memory.arrays, strategy->memory.count * sizeof(*arrays));
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

/* Numbers count; what Adam and its like divide by the root of is not negative. */
static enum muster_status check_values(const struct muster_strategy *strategy,
                                       const struct muster_array *found, const struct muster_named_array *own,
                                       struct muster_error *error)
{
    bool good = true;
    bool numbers = strcmp(own->name, NUMBERS_NAME) == 0;
    bool scale = strategy->kind->memory[0] && strategy->kind->memory[1] &&
                 (own == &strategy->memory.arrays[2] || own == &strategy->memory.arrays[3]);
    for (size_t i = 0; (numbers || scale) && i < found->shape[0]; i++) {
        double value = found->dtype == MUSTER_FLOAT64 ? ((const double *)found->data)[i]
                                                      : (double)((const float *)found->data)[i];
        good = good && value >= 0 && (!numbers || value <= NUMBER_MOST);
    }
    return good ? MUSTER_OK
                : muster__error(error, MUSTER_FORMAT, "'%.80s' of the state is damaged", own->name);
}

static enum muster_status check_all(const struct muster_strategy *strategy,
                                    const struct muster_named_array *arrays, size_t count,
                                    struct muster_error *error)
{
    struct muster_named_array numbers = {NUMBERS_NAME, {MUSTER_FLOAT64, 1, {STRATEGY_NUMBERS}, NULL}};
    enum muster_status status = MUSTER_OK;
    for (size_t i = 0; status == MUSTER_OK && i <= strategy->memory.count; i++) {
        const struct muster_named_array *own = i == 0 ? &numbers : &strategy->memory.arrays[i - 1];
        const struct muster_array *found = muster_npz_find(arrays, count, own->name);
        status = check(found, own, error);
        if (status == MUSTER_OK)
            status = check_values(strategy, found, own, error);
    }
    return status;
}

static void copy(const struct muster_array *found, void *own)
{
    if (found->shape[0] > 0)
        memmove(own, found->data, muster__array_size(found));
}

enum muster_status muster_strategy_restore(struct muster_strategy *strategy,
                                           const struct muster_named_array *arrays, size_t count,
                                           struct muster_error *error)
{
    enum muster_status status = check_all(strategy, arrays, count, error);
    if (status != MUSTER_OK)
        return status;
    muster_strategy_begin(strategy);
    copy(muster_npz_find(arrays, count, NUMBERS_NAME), strategy->numbers);
    for (size_t i = 0; i < strategy->memory.count; i++) {
        const struct muster_named_array *own = &strategy->memory.arrays[i];
        copy(muster_npz_find(arrays, count, own->name), (void *)(uintptr_t)own->array.data);
    }
    strategy->answers = (size_t)strategy->numbers[NUMBER_ANSWERS];
    return MUSTER_OK;
}
