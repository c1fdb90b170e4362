/* Histograms of arrays of every dtype, in two passes: for the range, and for the buckets. */
#include <config.h>

#include <math.h>
#include <string.h>

#include "float16.h"
#include "record/histogram.h"

/* Of a dtype that there is. */
static double element(const struct muster_array *array, size_t i)
{
    const void *data = array->data;
    switch (array->dtype) {
    case MUSTER_FLOAT32:
        return (double)((const float *)data)[i];
    case MUSTER_FLOAT64:
        return ((const double *)data)[i];
    case MUSTER_INT32:
        return ((const int32_t *)data)[i];
    case MUSTER_INT64:
        return (double)((const int64_t *)data)[i];
    case MUSTER_FLOAT16:
        return from_float16(((const uint16_t *)data)[i]);
    case MUSTER_BFLOAT16:
        return from_bfloat16(((const uint16_t *)data)[i]);
    case MUSTER_INT8:
        return ((const int8_t *)data)[i];
    case MUSTER_UINT8:
    case MUSTER_BOOL:
        break;
    }
    return ((const uint8_t *)data)[i];
}

static void see_range(struct histogram *histogram, const struct muster_array *array, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        double value = element(array, i);
        if (!isfinite(value)) {
            histogram->strange++;
            continue;
        }
        if (histogram->count == 0 || value < histogram->least)
            histogram->least = value;
        if (histogram->count == 0 || value > histogram->most)
            histogram->most = value;
        histogram->count++;
        histogram->sum += value;
        histogram->squares += value * value;
    }
}

/* Halves, because the whole width may be too big for a double. */
static double half_width(const struct histogram *histogram)
{
    return histogram->most / 2 - histogram->least / 2;
}

static void fill_buckets(struct histogram *histogram, const struct muster_array *array, size_t count)
{
    double width = half_width(histogram);
    for (size_t i = 0; i < count; i++) {
        double value = element(array, i);
        if (!isfinite(value))
            continue;
        double place = (value / 2 - histogram->least / 2) / width * HISTOGRAM_BUCKETS;
        unsigned bucket = place < HISTOGRAM_BUCKETS ? (unsigned)place : HISTOGRAM_BUCKETS - 1;
        histogram->buckets[bucket]++;
    }
}

bool muster__histogram_count(struct histogram *histogram, const struct muster_array *array)
{
    memset(histogram, 0, sizeof(*histogram));
    if (!array || muster_dtype_size(array->dtype) == 0 || array->dimensions > MUSTER_DIMENSIONS_MAX)
        return false;
    size_t count = muster_array_count(array);
    if (count == SIZE_MAX || (count > 0 && !array->data))
        return false;
    see_range(histogram, array, count);
    histogram->bucket_count = half_width(histogram) > 0 ? HISTOGRAM_BUCKETS : 1;
    if (histogram->bucket_count == 1)
        histogram->buckets[0] = histogram->count;
    else
        fill_buckets(histogram, array, count);
    return true;
}

double muster__histogram_limit(const struct histogram *histogram, unsigned bucket)
{
    if (bucket + 1 >= histogram->bucket_count)
        return histogram->most;
    double half = half_width(histogram) / HISTOGRAM_BUCKETS * (bucket + 1);
    return histogram->least + half + half;
}
