/* How a model is moved. A step changes it in place: nothing here can fail. */
#include <config.h>

#include "learning/strategy/moving.h"

#include <float.h>
#include <string.h>

#include "array/arithmetic.h"

/* The largest number of a dtype of floats. */
static double most_of(enum muster_dtype dtype)
{
    switch (dtype) {
    case MUSTER_FLOAT64:
        return DBL_MAX;
    case MUSTER_FLOAT16:
        return 65504;
    case MUSTER_BFLOAT16:
        return 0x1.fep127;
    default:
        return (double)FLT_MAX;
    }
}

static inline void add_within(double *restrict values, const double *restrict changes, size_t count,
                              double most)
{
    for (size_t i = 0; i < count; i++) {
        double value = values[i] + changes[i];
        value = value < most ? value : most;
        values[i] = value > -most ? value : -most;
    }
}

static void read_values(const struct muster_array *array, size_t first, size_t count, double *values)
{
    struct muster_array part = muster__array_part(array, first, count);
    memset(values, 0, STRATEGY_BLOCK * sizeof(*values));
    muster__array_add(values, &part, 1);
}

static void write_values(struct muster_strategy *strategy, size_t array, size_t first, size_t count,
                         double *values, const double *changes)
{
    enum muster_dtype dtype = strategy->model.arrays[array].dtype;
    char *data = muster__model_data(&strategy->model, array);
    if (count == STRATEGY_BLOCK)
        add_within(values, changes, STRATEGY_BLOCK, most_of(dtype));
    else
        add_within(values, changes, count, most_of(dtype));
    muster__array_write(data + first * muster_dtype_size(dtype), dtype, values, count);
}

void muster__move_by(struct muster_strategy *strategy, size_t array, size_t first, size_t count,
                     const double *changes)
{
    double values[STRATEGY_BLOCK];
    read_values(&strategy->model.arrays[array], first, count, values);
    write_values(strategy, array, first, count, values, changes);
}

static void move_block(struct muster_strategy *strategy, const struct moving *moving, size_t array,
                       size_t first, size_t count)
{
    const struct muster_array *whole = &strategy->model.arrays[array];
    double values[STRATEGY_BLOCK], changes[STRATEGY_BLOCK];
    read_values(whole, first, count, values);
    moving->read(moving, array, first, count, values, changes);
    muster__optimize(&strategy->optimizer, whole->dtype,
                     muster__memory_at(&strategy->memory, &strategy->model, 0, array, first),
                     muster__memory_at(&strategy->memory, &strategy->model, 1, array, first), changes, count);
    write_values(strategy, array, first, count, values, changes);
}

void muster__move(struct muster_strategy *strategy, const struct moving *moving)
{
    for (size_t i = 0; i < strategy->model.message.array_count; i++) {
        const struct muster_array *array = &strategy->model.arrays[i];
        size_t elements = muster__is_float(array->dtype) ? muster_array_count(array) : 0;
        for (size_t first = 0; first < elements; first += STRATEGY_BLOCK) {
            size_t left = elements - first;
            move_block(strategy, moving, i, first, left < STRATEGY_BLOCK ? left : STRATEGY_BLOCK);
        }
    }
}

void muster__move_others(struct muster_strategy *strategy, const double *sums, double divisor)
{
    for (size_t i = 0; i < strategy->model.message.array_count; i++) {
        const struct muster_array *array = &strategy->model.arrays[i];
        size_t elements = muster_array_count(array);
        if (!muster__is_float(array->dtype) && elements > 0)
            muster__array_divide(muster__model_data(&strategy->model, i), array->dtype,
                                 sums + strategy->model.starts[i], elements, divisor);
    }
}
