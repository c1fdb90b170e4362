/* Arrays: their dtypes and sizes, and how they are told to people. */
#ifndef MUSTER_WIRE_ARRAY_H
#define MUSTER_WIRE_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/message.h>

/* The dtypes are the numbers from MUSTER_FLOAT32 to this. */
#define DTYPE_LAST MUSTER_BOOL

struct dtype {
    const char *name;
    const char *descr; /* in a .npy header */
    size_t size;
};

/* NULL when there is no such dtype. */
const struct dtype *muster__dtype(enum muster_dtype dtype);

/* Bytes of the data of an array that muster__npy_size() or a parser has passed. */
size_t muster__array_size(const struct muster_array *array);

/* Whether each of these bytes is a bool: 0 or 1. */
bool muster__bools_are_good(const void *bytes, size_t size);

/* Room for any dtype and shape in words. */
enum { ARRAY_TEXT_SIZE = 16 + 22 * MUSTER_DIMENSIONS_MAX };

/* Such as "float32 (60, 10)". */
const char *muster__array_text(const struct muster_array *array, char text[ARRAY_TEXT_SIZE]);

#endif
