/* Each array has the dtype of the model's. */
#include <config.h>

#include "average.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/dataset.h"

static size_t bytes_of(const struct muster_array *array)
{
    return muster_array_count(array) * muster_dtype_size(array->dtype);
}

/* Where each array begins is aligned for any dtype. */
static size_t aligned(size_t size)
{
    return (size + 63) / 64 * 64;
}

static bool is_coarse(enum muster_dtype dtype)
{
    return dtype == MUSTER_FLOAT16 || dtype == MUSTER_BFLOAT16;
}

static void *data_of(const struct muster_array *array)
{
    return (void *)(uintptr_t)array->data; /* it lies in memory of our own */
}

enum muster_status average_begin(struct average *average, double share, const struct muster_message *model,
                                 struct muster_error *error)
{
    size_t size = 0;
    if (share <= 0)
        return MUSTER_OK;
    for (size_t i = 0; i < model->array_count; i++) {
        if (is_coarse(model->arrays[i].dtype))
            return explain(
                error, MUSTER_INVALID,
                "average %g: the array '%.60s' has floats of 16 bits, which are too coarse for a running "
                "average: set average to 0",
                share, model->array_names[i]);
        size += aligned(bytes_of(&model->arrays[i]));
    }
    average->arrays = calloc(model->array_count, sizeof(*average->arrays));
    average->memory = malloc(size > 0 ? size : 1);
    if (!average->arrays || !average->memory) {
        average_free(average);
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    }
    char *place = average->memory;
    for (size_t i = 0; i < model->array_count; i++) {
        average->arrays[i] = model->arrays[i];
        average->arrays[i].data = place;
        if (bytes_of(&model->arrays[i]) > 0)
            memcpy(place, model->arrays[i].data, bytes_of(&model->arrays[i]));
        place += aligned(bytes_of(&model->arrays[i]));
    }
    average->share = share;
    average->message = *model;
    average->message.arrays = average->arrays;
    return MUSTER_OK;
}

static void blend(const struct muster_array *to, const struct muster_array *from, double kept)
{
    size_t count = muster_array_count(to);
    if (to->dtype == MUSTER_FLOAT32) {
        float *average = data_of(to);
        const float *values = from->data;
        for (size_t i = 0; i < count; i++)
            average[i] = (float)(kept * (double)average[i] + (1 - kept) * (double)values[i]);
    } else if (to->dtype == MUSTER_FLOAT64) {
        double *average = data_of(to);
        const double *values = from->data;
        for (size_t i = 0; i < count; i++)
            average[i] = kept * average[i] + (1 - kept) * values[i];
    } else if (count > 0) {
        memcpy(data_of(to), from->data, bytes_of(to));
    }
}

void average_update(struct average *average, const struct muster_message *model, int64_t moves)
{
    double even = 1 - 1 / (double)moves;
    for (size_t i = 0; average->arrays && i < model->array_count; i++)
        blend(&average->arrays[i], &model->arrays[i], even < average->share ? even : average->share);
}

/* The first element that is NaN or infinite; the number of elements when there is none. */
static size_t first_not_finite(const struct muster_array *array)
{
    size_t count = muster_array_count(array), i = 0;
    if (array->dtype == MUSTER_FLOAT32) {
        while (i < count && isfinite(((const float *)array->data)[i]))
            i++;
        return i;
    }
    if (array->dtype != MUSTER_FLOAT64)
        return count;
    while (i < count && isfinite(((const double *)array->data)[i]))
        i++;
    return i;
}

enum muster_status average_restore(struct average *average, const struct muster_message *saved,
                                   struct muster_error *error)
{
    enum muster_status status = muster_arrays_match(saved, &average->message, error);
    for (size_t i = 0; status == MUSTER_OK && i < saved->array_count; i++) {
        size_t bad = first_not_finite(&saved->arrays[i]);
        if (bad < muster_array_count(&saved->arrays[i]))
            return explain(error, MUSTER_FORMAT,
                           "array %zu of the average: element %zu is not a finite number", i, bad);
        if (bytes_of(&average->arrays[i]) > 0)
            memcpy(data_of(&average->arrays[i]), saved->arrays[i].data, bytes_of(&average->arrays[i]));
    }
    return status;
}

void average_free(struct average *average)
{
    free(average->arrays);
    free(average->memory);
    *average = (struct average){.share = 0};
}
