/* Strategies that need all answers of a round at once. */
#include <config.h>

#include "learning/strategy/whole.h"

#include <string.h>

#include "array/arithmetic.h"
#include "learning/strategy/spool.h"
#include "status.h"
#include "wire/wire.h"

/* The rows of a piece take about so many bytes, or, if there are very many, ROW_LEAST each. */
#define PIECE_BYTES ((size_t)4 << 20)
#define ROW_LEAST   ((size_t)4 << 10)

/* From row to row it is a bit more than what whole pages take, so that the same columns of all rows fit
   into the processor's first cache. So much may also be written behind each row. */
#define ROW_SHIFT 512

static enum muster_status make(struct muster_strategy *strategy, const char *directory,
                               struct muster_error *error)
{
    return muster__spool_open(directory, strategy->model.size, &strategy->spool, error);
}

static void free_spool(struct muster_strategy *strategy)
{
    muster__spool_close(strategy->spool);
}

static enum muster_status check(const struct muster_strategy *strategy,
                                const struct muster_strategy_answer *answer, struct muster_error *error)
{
    double largest;
    enum muster_status status = MUSTER_OK;
    if (strategy->answers >= strategy->kind->answers_most)
        return muster__error(error, MUSTER_INVALID, "%s takes %zu answers in a round at most",
                             strategy->kind->shown.name, strategy->kind->answers_most);
    for (size_t i = 0; status == MUSTER_OK && i < answer->message->array_count; i++)
        status = muster__array_check(&answer->message->arrays[i], i, &largest, error);
    return status;
}

/* An answer that was written in part is overwritten by the next one. */
static enum muster_status add(struct muster_strategy *strategy, const struct muster_strategy_answer *answer,
                              struct muster_error *error)
{
    enum muster_status status = check(strategy, answer, error);
    for (size_t i = 0; status == MUSTER_OK && i < answer->message->array_count; i++) {
        const struct muster_array *array = &answer->message->arrays[i];
        status =
            muster__spool_write(strategy->spool, strategy->answers, muster__model_offset(&strategy->model, i),
                                array->data, muster__array_size(array), error);
    }
    return status;
}

static void forget(struct muster_strategy *strategy)
{
    (void)strategy;
}

static enum muster_status step(struct muster_strategy *strategy, double divisor, struct muster_error *error)
{
    (void)divisor;
    void *next = muster__model_next(&strategy->model);
    if (!next)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory for the next model");
    enum muster_status status = strategy->kind->combine(strategy, next, error);
    if (status == MUSTER_OK)
        muster__model_replace(&strategy->model, next);
    else
        muster__model_give_up(&strategy->model, next);
    return status;
}

const struct strategy_keeping muster__keeping_spool = {make, free_spool, check, add, step, forget};

/* ---- columns ---- */

struct muster_array muster__columns_part(const struct muster_strategy *strategy,
                                         const struct columns *columns, size_t row, size_t first,
                                         size_t count)
{
    struct muster_array all = {strategy->model.arrays[columns->array].dtype,
                               1,
                               {columns->count},
                               columns->data + row * columns->stride};
    return muster__array_part(&all, first, count);
}

static enum muster_status read_rows(const struct muster_strategy *strategy, const size_t *answers,
                                    const struct columns *columns, struct muster_error *error)
{
    size_t element = muster_dtype_size(strategy->model.arrays[columns->array].dtype);
    size_t offset = muster__model_offset(&strategy->model, columns->array) + columns->first * element;
    enum muster_status status = MUSTER_OK;
    for (size_t i = 0; status == MUSTER_OK && i < columns->rows; i++)
        status = muster__spool_read(strategy->spool, answers ? answers[i] : i, offset,
                                    columns->data + i * columns->stride, columns->count * element, error);
    return status;
}

/* Pieces of one array, each of `most` elements but the last. */
static enum muster_status each_of_array(const struct muster_strategy *strategy, const size_t *answers,
                                        struct columns *columns, size_t most, columns_work *work,
                                        void *context, struct muster_error *error)
{
    size_t elements = muster_array_count(&strategy->model.arrays[columns->array]);
    enum muster_status status = MUSTER_OK;
    for (size_t first = 0; status == MUSTER_OK && first < elements; first += most) {
        columns->first = first;
        columns->count = elements - first < most ? elements - first : most;
        status = read_rows(strategy, answers, columns, error);
        if (status == MUSTER_OK)
            status = work(context, columns, error);
    }
    return status;
}

enum muster_status muster__columns_each(const struct muster_strategy *strategy, const size_t *answers,
                                        size_t count, columns_work *work, void *context,
                                        struct muster_error *error)
{
    size_t row = PIECE_BYTES / count / ROW_LEAST * ROW_LEAST;
    size_t bytes = row > ROW_LEAST ? row : ROW_LEAST, stride = bytes + ROW_SHIFT;
    char *data = muster__block_new(count * stride);
    struct columns columns = {.rows = count, .stride = stride, .data = data};
    enum muster_status status = MUSTER_OK;
    if (!data)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory to read %zu answers", count);
    memset(data, 0, count * stride);
    for (size_t i = 0; status == MUSTER_OK && i < strategy->model.message.array_count; i++) {
        columns.array = i;
        status =
            each_of_array(strategy, answers, &columns,
                          bytes / muster_dtype_size(strategy->model.arrays[i].dtype), work, context, error);
    }
    muster__block_free(data, count * stride);
    return status;
}
