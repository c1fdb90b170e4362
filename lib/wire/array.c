/* Arrays: their dtypes and sizes, how they are told to people, and whether they are the expected ones. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "status.h"
#include "wire/array.h"

static const struct dtype dtypes[] = {
    [MUSTER_FLOAT32] = {"float32", "<f4", 4}, [MUSTER_FLOAT64] = {"float64", "<f8", 8},
    [MUSTER_INT32] = {"int32", "<i4", 4},     [MUSTER_INT64] = {"int64", "<i8", 8},
    [MUSTER_FLOAT16] = {"float16", "<f2", 2}, [MUSTER_BFLOAT16] = {"bfloat16", "<V2", 2},
    [MUSTER_UINT8] = {"uint8", "|u1", 1},     [MUSTER_INT8] = {"int8", "|i1", 1},
    [MUSTER_BOOL] = {"bool", "|b1", 1},
};

enum { ELEMENT_SIZE_MAX = 8 };

const struct dtype *muster__dtype(enum muster_dtype dtype)
{
    return dtype >= MUSTER_FLOAT32 && dtype <= DTYPE_LAST ? &dtypes[dtype] : NULL;
}

size_t muster_dtype_size(enum muster_dtype dtype)
{
    const struct dtype *known = muster__dtype(dtype);
    return known ? known->size : 0;
}

const char *muster_dtype_name(enum muster_dtype dtype)
{
    const struct dtype *known = muster__dtype(dtype);
    return known ? known->name : "unknown";
}

size_t muster_array_count(const struct muster_array *array)
{
    if (array->dimensions > MUSTER_DIMENSIONS_MAX)
        return SIZE_MAX;
    /* The bytes fit too, whatever the dtype. As in numpy a dimension of 0 does not excuse the others: who
       loops over them would never end. */
    size_t limit = SIZE_MAX / 2 / ELEMENT_SIZE_MAX;
    size_t count = 1;
    bool empty = false;
    for (uint32_t i = 0; i < array->dimensions; i++) {
        if (array->shape[i] == 0) {
            empty = true;
        } else if (array->shape[i] > limit / count) {
            return SIZE_MAX;
        } else {
            count *= (size_t)array->shape[i];
        }
    }
    return empty ? 0 : count;
}

size_t muster__array_size(const struct muster_array *array)
{
    return muster_array_count(array) * muster_dtype_size(array->dtype);
}

bool muster__bools_are_good(const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    uint8_t seen = 0;
    for (size_t i = 0; i < size; i++)
        seen |= at[i];
    return seen <= 1;
}

const char *muster__array_text(const struct muster_array *array, char text[ARRAY_TEXT_SIZE])
{
    int used = snprintf(text, ARRAY_TEXT_SIZE, "%s (", muster_dtype_name(array->dtype));
    for (uint32_t i = 0; i < array->dimensions && i < MUSTER_DIMENSIONS_MAX; i++)
        used += snprintf(text + used, ARRAY_TEXT_SIZE - (size_t)used, i ? ", %llu" : "%llu",
                         (unsigned long long)array->shape[i]);
    snprintf(text + used, ARRAY_TEXT_SIZE - (size_t)used, ")");
    return text;
}

/* ---- whether they are the same ---- */

static bool same_kind(const struct muster_array *a, const struct muster_array *b)
{
    return a->dtype == b->dtype && a->dimensions == b->dimensions && a->dimensions <= MUSTER_DIMENSIONS_MAX &&
           memcmp(a->shape, b->shape, a->dimensions * sizeof(a->shape[0])) == 0;
}

enum muster_status muster_arrays_match(const struct muster_message *message,
                                       const struct muster_message *expected, struct muster_error *error)
{
    char is[ARRAY_TEXT_SIZE], wanted[ARRAY_TEXT_SIZE];
    bool named = message->array_names && expected->array_names;
    if (message->array_count != expected->array_count)
        return muster__error(error, MUSTER_FORMAT, "%zu arrays instead of %zu", message->array_count,
                             expected->array_count);
    for (size_t i = 0; i < message->array_count; i++) {
        if (named && strcmp(message->array_names[i], expected->array_names[i]) != 0)
            return muster__error(error, MUSTER_FORMAT, "array %zu is named '%.80s', expected '%.80s'", i,
                                 message->array_names[i], expected->array_names[i]);
        if (!same_kind(&message->arrays[i], &expected->arrays[i]))
            return muster__error(error, MUSTER_FORMAT, "array %zu is %.100s, expected %.100s", i,
                                 muster__array_text(&message->arrays[i], is),
                                 muster__array_text(&expected->arrays[i], wanted));
    }
    return MUSTER_OK;
}
