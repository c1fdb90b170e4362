/* Matrices in files and messages: arrays of two dimensions. */
#ifndef MUSTER_VERTICAL_MATRIX_H
#define MUSTER_VERTICAL_MATRIX_H

#include <stdbool.h>
#include <stddef.h>

#include <muster/message.h>

static inline struct muster_array muster__vertical_array(enum muster_dtype dtype, size_t rows, size_t columns,
                                                         const void *data)
{
    return (struct muster_array){.dtype = dtype, .dimensions = 2, .shape = {rows, columns}, .data = data};
}

/* `array` may be NULL: it is none. */
static inline bool muster__vertical_is_array(const struct muster_array *array, enum muster_dtype dtype,
                                             size_t rows, size_t columns)
{
    return array && array->dtype == dtype && array->dimensions == 2 && array->shape[0] == rows &&
           array->shape[1] == columns;
}

#endif
