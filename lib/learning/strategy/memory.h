/* What a strategy remembers from step to step: named values for each element of the model. */
#ifndef MUSTER_STRATEGY_MEMORY_H
#define MUSTER_STRATEGY_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#include <muster/npz.h>

#include "learning/strategy/model.h"

/* A memory has at most so many values for an element, and each is in two arrays. */
enum { MEMORY_VALUES_MAX = 2, MEMORY_ARRAYS_MAX = 2 * MEMORY_VALUES_MAX, MEMORY_NAME_SIZE = 48 };

/*
 * Each value is two arrays, of all elements one after the other: "strategy.NAME" of float32, for the elements
 * of float32, float16 and bfloat16, and "strategy.NAME.double" of float64, for those of float64 and, if they
 * are remembered, of integers and bools.
 */
struct strategy_memory {
    struct muster_named_array arrays[MEMORY_ARRAYS_MAX];
    size_t count;
    char names[MEMORY_ARRAYS_MAX][MEMORY_NAME_SIZE];
    size_t *offsets; /* of each array of the model, in elements of its two */
};

/* `names` are ended by NULL. All values are 0. False when out of memory. */
bool muster__memory_make(struct strategy_memory *memory, const struct strategy_model *model,
                         const char *const *names, bool all);
void muster__memory_free(struct strategy_memory *memory);

/* Sets the value with this number for all elements. */
void muster__memory_fill(struct strategy_memory *memory, size_t number, double value);

/* Where the value with this number lies for an element of an array of the model, which is a float or a
   double; NULL if there is no such value. */
void *muster__memory_at(const struct strategy_memory *memory, const struct strategy_model *model,
                        size_t number, size_t array, size_t element);

/* Whether doubles are remembered for an array of this dtype. */
bool muster__memory_is_double(enum muster_dtype dtype);

#endif
