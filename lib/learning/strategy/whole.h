/* Strategies that need all answers of a round at once, which lie in a file. */
#ifndef MUSTER_STRATEGY_WHOLE_H
#define MUSTER_STRATEGY_WHOLE_H

#include "learning/strategy/strategy.h"

/* A piece of one array in some answers: `count` elements from `first` on. */
struct columns {
    size_t array;
    size_t first;
    size_t count;
    size_t rows;
    size_t stride; /* bytes from row to row */
    char *data;    /* the rows, in the order in which they were asked for; to be changed at will */
};

/* The part of a row. */
struct muster_array muster__columns_part(const struct muster_strategy *strategy,
                                         const struct columns *columns, size_t row, size_t first,
                                         size_t count);

/*
 * Calls `work` with piece after piece of all arrays, until it is not OK: of these `count` answers, or, if
 * `answers` is NULL, of all. The memory for a piece is bounded. IO, OUT_OF_MEMORY, or what `work` returned.
 */
typedef enum muster_status columns_work(void *context, const struct columns *columns,
                                        struct muster_error *error);
enum muster_status muster__columns_each(const struct muster_strategy *strategy, const size_t *answers,
                                        size_t count, columns_work *work, void *context,
                                        struct muster_error *error);

/* What each of `number` addends counts in a sum that is then divided by number * share: 1, unless the sum
   could be beyond a double. */
static inline double muster__share(enum muster_dtype dtype, double number)
{
    return dtype == MUSTER_FLOAT64 ? 1 / number : 1;
}

#endif
