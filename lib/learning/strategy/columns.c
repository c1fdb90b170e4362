/* The median and the trimmed mean, column by column: of each element, the values of all answers are
   sorted. */
#include <config.h>

#include <string.h>

#include "array/arithmetic.h"
#include "learning/strategy/network.h"
#include "learning/strategy/whole.h"
#include "status.h"
#include "wire/wire.h"

/* The mean of sorted rows. */
struct middle {
    const struct muster_strategy *strategy;
    char *next; /* the model that is made */
    size_t first;
    size_t last;
    struct network *network;
    void *rows; /* of NETWORK_COLUMNS doubles */
};

/* Sorts a few columns where they lie, and adds up the rows from first to last. What is sorted beyond
   `count` is nobody's any more. */
static void sum_floats(const struct middle *middle, const struct columns *columns, size_t first, double *sums)
{
    size_t stride = columns->stride / sizeof(float);
    float *rows = (float *)(void *)columns->data + first;
    muster__network_sort_floats(middle->network, rows, stride);
    for (size_t row = middle->first; row <= middle->last; row++) {
        for (size_t i = 0; i < NETWORK_COLUMNS; i++)
            sums[i] += (double)rows[row * stride + i];
    }
}

/* The same in doubles, of a copy. */
static void sum_others(const struct middle *middle, const struct columns *columns, size_t first, size_t count,
                       double share, double *sums)
{
    double *rows = middle->rows;
    memset(rows, 0, columns->rows * NETWORK_COLUMNS * sizeof(*rows));
    for (size_t i = 0; i < columns->rows; i++) {
        struct muster_array part = muster__columns_part(middle->strategy, columns, i, first, count);
        muster__array_add(rows + i * NETWORK_COLUMNS, &part, 1);
    }
    muster__network_sort_doubles(middle->network, rows, NETWORK_COLUMNS);
    for (size_t row = middle->first; row <= middle->last; row++) {
        for (size_t i = 0; i < NETWORK_COLUMNS; i++)
            sums[i] += rows[row * NETWORK_COLUMNS + i] * share;
    }
}

static enum muster_status take_middle(void *context, const struct columns *columns,
                                      struct muster_error *error)
{
    const struct middle *middle = context;
    const struct strategy_model *model = &middle->strategy->model;
    enum muster_dtype dtype = model->arrays[columns->array].dtype;
    double number = (double)(middle->last - middle->first + 1);
    double share = muster__share(dtype, number); /* of a row in the sums */
    (void)error;
    for (size_t first = 0; first < columns->count; first += NETWORK_COLUMNS) {
        size_t left = columns->count - first;
        size_t count = left < NETWORK_COLUMNS ? left : NETWORK_COLUMNS;
        double sums[NETWORK_COLUMNS] = {0};
        if (dtype == MUSTER_FLOAT32)
            sum_floats(middle, columns, first, sums);
        else
            sum_others(middle, columns, first, count, share, sums);
        size_t offset = (columns->first + first) * muster_dtype_size(dtype);
        muster__array_divide(middle->next + muster__model_offset(model, columns->array) + offset, dtype, sums,
                             count, number * share);
    }
    return MUSTER_OK;
}

static enum muster_status combine(struct muster_strategy *strategy, void *next, size_t first, size_t last,
                                  struct muster_error *error)
{
    size_t rows = strategy->answers, size = rows * NETWORK_COLUMNS * sizeof(double);
    struct middle middle = {
        strategy, next, first, last, muster__network_new(rows, first, last), muster__block_new(size)};
    enum muster_status status;
    if (middle.network && middle.rows)
        status = muster__columns_each(strategy, NULL, rows, take_middle, &middle, error);
    else
        status = muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory to sort %zu answers", rows);
    muster__network_free(middle.network);
    muster__block_free(middle.rows, size);
    return status;
}

enum muster_status muster__combine_median(struct muster_strategy *strategy, void *next,
                                          struct muster_error *error)
{
    return combine(strategy, next, (strategy->answers - 1) / 2, strategy->answers / 2, error);
}

enum muster_status muster__combine_trimmed(struct muster_strategy *strategy, void *next,
                                           struct muster_error *error)
{
    size_t cut = (size_t)parameter(strategy, 0);
    return combine(strategy, next, cut, strategy->answers - 1 - cut, error);
}

size_t muster__least_trimmed(const struct muster_strategy *strategy)
{
    return 2 * (size_t)parameter(strategy, 0) + 1;
}
