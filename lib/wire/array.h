/* What this folder alone knows of arrays: the table of dtypes, and headers without data. */
#ifndef MUSTER_WIRE_ARRAY_H
#define MUSTER_WIRE_ARRAY_H

#include "wire/wire.h"

/* The dtypes are the numbers from MUSTER_FLOAT32 to this. */
#define DTYPE_LAST MUSTER_BOOL

struct dtype {
    const char *name;
    const char *descr; /* in a .npy header */
    size_t size;
};

/* NULL when there is no such dtype. */
const struct dtype *muster__dtype(enum muster_dtype dtype);

/* Whether each of these bytes is a bool: 0 or 1. */
bool muster__bools_are_good(const void *bytes, size_t size);

/* Reads a header without its data into *array, whose data is NULL. FORMAT as muster__npy_parse(); Fortran order
   is refused. */
enum muster_status muster__npy_parse_header(const uint8_t *bytes, size_t size, struct muster_array *array,
                                            struct muster_error *error);

#endif
