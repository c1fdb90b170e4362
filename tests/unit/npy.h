/* What numpy writes, and arrays that a test builds itself. */
#ifndef MUSTER_TESTS_UNIT_NPY_H
#define MUSTER_TESTS_UNIT_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/npy.h>

/* Arrays as numpy 1.24 writes them. */
enum { FROM_NUMPY_COUNT = 13 };
extern const struct from_numpy {
    const char *name;
    const char *bytes;
    size_t size;
    bool like_ours; /* version 1.0, C order: what is written is the same to the byte */
    struct muster_array array;
} from_numpy[FROM_NUMPY_COUNT];

/* An array with the given header text and data after it, in memory that the caller frees. */
uint8_t *built(unsigned version, const char *header, const void *data, size_t data_size, size_t *size);

bool same_shape(const struct muster_array *a, const struct muster_array *b);
size_t data_size(const struct muster_array *array); /* in bytes */

#endif
