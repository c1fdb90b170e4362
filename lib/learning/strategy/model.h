/* The model of a strategy: a copy of the caller's, whose data is in one block of memory. */
#ifndef MUSTER_STRATEGY_MODEL_H
#define MUSTER_STRATEGY_MODEL_H

#include <stdbool.h>
#include <stddef.h>

#include <muster/message.h>
#include <muster/status.h>

struct strategy_model {
    struct muster_message message; /* what others read */
    struct muster_array *arrays;   /* its arrays */
    const char **names;            /* in one piece of memory with their texts; NULL: none */
    void *data;
    size_t size;
    size_t *starts;  /* the number of each array's first element, if all are counted one after the other */
    size_t elements; /* of all arrays together */
};

/* INVALID if it has no arrays, NaN or infinity, or what cannot be sent; OUT_OF_MEMORY. */
enum muster_status muster__model_copy(struct strategy_model *model, const struct muster_message *message,
                                      struct muster_error *error);

void muster__model_free(struct strategy_model *model);

/* Where the data of the array lies in a block of the model's size. */
size_t muster__model_offset(const struct strategy_model *model, size_t array);

/* The data of the array, to be changed. */
void *muster__model_data(const struct strategy_model *model, size_t array);

/* A block for a next model; NULL when out of memory. Then it takes the model's place, or goes back. */
void *muster__model_next(const struct strategy_model *model);
void muster__model_replace(struct strategy_model *model, void *next);
void muster__model_give_up(const struct strategy_model *model, void *next);

/* Whether an optimizer moves arrays of this dtype. */
bool muster__is_float(enum muster_dtype dtype);

/* The part of an array from element `first` on. */
struct muster_array muster__array_part(const struct muster_array *array, size_t first, size_t count);

#endif
