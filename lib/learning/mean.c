/*
 * The running weighted mean: sums in double, one double per element, whatever the number of members.
 * A member is read twice, first to check it and then to add it, so that a bad one leaves no trace.
 */
#include <config.h>

#include <muster/mean.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "status.h"
#include "wire/block.h"
#include "wire/npy.h"

/*
 * The loops over elements are called with BLOCK wherever that many are left: gcc -O2 vectorises a loop only
 * when it knows that whole vectors fill it. What remains goes through the same loop one by one.
 */
enum { BLOCK = 256 };

/* The upper half of a float32's bits, if it is infinite or not a number: at least this. */
enum { INFINITY_UPPER = 0x7f80 };

struct muster_mean {
    /* What all members share: `count` dtypes and shapes, 0 as long as nothing decides them. Their data is the
     * results'. */
    struct muster_array *members;
    size_t count;
    bool fixed; /* they stay for good */
    size_t members_capacity;
    double *sums; /* of all arrays, one after the other */
    size_t sums_capacity;
    size_t results_size;
    void *results; /* NULL until they are asked for, and again when they are out of date */
    double weight; /* of all members together; 0: there are none */
    double bound;  /* no sum is further from 0 than this */
};

/* An array that is not float32 is float64 below: check_kind() has let no other pass. */

/*
 * How far from 0 any value is, at most; infinity or NaN when there is one among them. Numbers without their
 * sign are ordered as the integers that their bits make, infinity and NaN last. Maxima of integers are
 * vectorised without -ffast-math and lose no NaN. The upper half of the bits does: it stands for the largest
 * number that begins with it, and of smaller integers more fit into a vector.
 */
static inline int16_t largest_bits32(const float *values, size_t count, int16_t largest)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        int16_t upper = (int16_t)(bits >> 16 & INT16_MAX);
        if (upper > largest) /* clang vectorises no ?: of 16 bits */
            largest = upper;
    }
    return largest;
}

static inline int32_t largest_bits64(const double *values, size_t count, int32_t largest)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        int32_t upper = (int32_t)((uint32_t)(bits >> 32) & INT32_MAX);
        largest = upper > largest ? upper : largest;
    }
    return largest;
}

static double largest_float32(const float *values, size_t count)
{
    int16_t largest = 0;
    for (; count >= BLOCK; count -= BLOCK, values += BLOCK)
        largest = largest_bits32(values, BLOCK, largest);
    largest = largest_bits32(values, count, largest);
    if (largest >= INFINITY_UPPER)
        return (double)INFINITY;
    uint32_t bits = (uint32_t)largest << 16 | UINT16_MAX;
    float magnitude;
    memcpy(&magnitude, &bits, sizeof magnitude);
    return (double)magnitude;
}

static double largest_float64(const double *values, size_t count)
{
    int32_t largest = 0;
    for (; count >= BLOCK; count -= BLOCK, values += BLOCK)
        largest = largest_bits64(values, BLOCK, largest);
    largest = largest_bits64(values, count, largest);
    uint64_t bits = (uint64_t)(uint32_t)largest << 32 | UINT32_MAX;
    double magnitude;
    memcpy(&magnitude, &bits, sizeof magnitude);
    return magnitude;
}

static double largest_magnitude(const struct muster_array *array)
{
    size_t count = muster_array_count(array);
    return array->dtype == MUSTER_FLOAT32 ? largest_float32(array->data, count)
                                          : largest_float64(array->data, count);
}

static inline void add_float32(double *restrict sums, const float *restrict values, size_t count,
                               double weight)
{
    for (size_t i = 0; i < count; i++)
        sums[i] += weight * (double)values[i];
}

static inline void add_float64(double *restrict sums, const double *restrict values, size_t count,
                               double weight)
{
    for (size_t i = 0; i < count; i++)
        sums[i] += weight * values[i];
}

static void add_array(double *sums, const struct muster_array *array, double weight)
{
    size_t count = muster_array_count(array);
    size_t whole = count - count % BLOCK;
    if (count == 0)
        return; /* data may be NULL */
    if (array->dtype == MUSTER_FLOAT32) {
        const float *values = array->data;
        for (size_t i = 0; i < whole; i += BLOCK)
            add_float32(sums + i, values + i, BLOCK, weight);
        add_float32(sums + whole, values + whole, count - whole, weight);
    } else {
        const double *values = array->data;
        for (size_t i = 0; i < whole; i += BLOCK)
            add_float64(sums + i, values + i, BLOCK, weight);
        add_float64(sums + whole, values + whole, count - whole, weight);
    }
}

static bool same_kind(const struct muster_array *a, const struct muster_array *b)
{
    return a->dtype == b->dtype && a->dimensions == b->dimensions &&
           memcmp(a->shape, b->shape, a->dimensions * sizeof a->shape[0]) == 0;
}

/* ---- what is not accepted, and why ---- */

/* Room for any dtype and shape in words. */
enum { KIND_SIZE = 16 + 22 * MUSTER_DIMENSIONS_MAX };

static const char *dtype_name(enum muster_dtype dtype)
{
    switch (dtype) {
    case MUSTER_FLOAT32:
        return "float32";
    case MUSTER_FLOAT64:
        return "float64";
    case MUSTER_INT32:
        return "int32";
    case MUSTER_INT64:
        return "int64";
    }
    return "of no dtype";
}

/* Such as "float32 (60, 10)". */
static const char *describe(const struct muster_array *array, char text[KIND_SIZE])
{
    int used = snprintf(text, KIND_SIZE, "%s (", dtype_name(array->dtype));
    for (uint32_t i = 0; i < array->dimensions; i++)
        used += snprintf(text + used, KIND_SIZE - (size_t)used, i ? ", %llu" : "%llu",
                         (unsigned long long)array->shape[i]);
    snprintf(text + used, KIND_SIZE - (size_t)used, ")");
    return text;
}

/* Checks dtypes and shapes, against those of the members if there are any. */
static enum muster_status check_kind(const struct muster_mean *mean, const struct muster_array *arrays,
                                     size_t count, struct muster_error *error)
{
    char is[KIND_SIZE], expected[KIND_SIZE];
    if (count == 0)
        return muster__error(error, MUSTER_INVALID, "there are no arrays");
    if (mean->count != 0 && count != mean->count)
        return muster__error(error, MUSTER_FORMAT, "%zu arrays instead of %zu", count, mean->count);
    for (size_t i = 0; i < count; i++) {
        size_t size;
        if (muster__npy_size(&arrays[i], &size) != MUSTER_OK)
            return muster__error(error, MUSTER_INVALID, "array %zu makes no sense", i);
        describe(&arrays[i], is);
        if (mean->count != 0 && !same_kind(&arrays[i], &mean->members[i]))
            return muster__error(error, MUSTER_FORMAT, "array %zu is %.100s, expected %.100s", i, is,
                                 describe(&mean->members[i], expected));
        if (arrays[i].dtype != MUSTER_FLOAT32 && arrays[i].dtype != MUSTER_FLOAT64)
            return muster__error(error, MUSTER_FORMAT, "array %zu is %.100s, expected float32 or float64", i,
                                 is);
    }
    return MUSTER_OK;
}

/* Tells the first value that is NaN or infinite, of which there is one. */
static enum muster_status not_finite(size_t number, const struct muster_array *array,
                                     struct muster_error *error)
{
    char kind[KIND_SIZE];
    size_t count = muster_array_count(array);
    double value = 0;
    size_t i;
    for (i = 0; i < count; i++) {
        value = array->dtype == MUSTER_FLOAT32 ? (double)((const float *)array->data)[i]
                                               : ((const double *)array->data)[i];
        if (!isfinite(value))
            break;
    }
    return muster__error(error, MUSTER_INVALID, "array %zu, %.100s: element %zu is %s", number,
                         describe(array, kind), i, isnan(value) ? "NaN" : "infinite");
}

/*
 * Checks the weight and every value, and that no sum can overflow: |a sum| <= *bound = sum of weight *
 * largest value, which rounding keeps true, being monotonic. So one participant with a huge weight cannot
 * spoil the mean for all.
 */
static enum muster_status check_values(const struct muster_mean *mean, const struct muster_array *arrays,
                                       size_t count, double weight, double *bound, struct muster_error *error)
{
    if (!(weight > 0) || !isfinite(weight))
        return muster__error(error, MUSTER_INVALID, "the weight %g is not a number above 0", weight);
    if (!isfinite(mean->weight + weight))
        return muster__error(error, MUSTER_INVALID, "the weight %g is too much", weight);
    double largest = 0;
    for (size_t i = 0; i < count; i++) {
        double magnitude = largest_magnitude(&arrays[i]);
        if (!isfinite(magnitude))
            return not_finite(i, &arrays[i], error);
        largest = fmax(largest, magnitude);
    }
    *bound = mean->bound + weight * largest;
    if (!isfinite(*bound))
        return muster__error(error, MUSTER_INVALID,
                             "with a weight of %g and values up to %g the sum could overflow", weight,
                             largest);
    return MUSTER_OK;
}

/* Makes room for `count` items of `size` bytes at *room, whose content is of no use any more. */
static enum muster_status make_room(void **room, size_t *capacity, size_t count, size_t size)
{
    if (count <= *capacity)
        return MUSTER_OK;
    muster__block_free(*room, *capacity * size);
    *capacity = 0;
    *room = count > SIZE_MAX / 4 / size ? NULL : muster__block_new(count * size);
    if (*room == NULL)
        return MUSTER_OUT_OF_MEMORY;
    *capacity = count;
    return MUSTER_OK;
}

/* Takes dtypes and shapes from these arrays, and sets all sums to 0. */
static enum muster_status begin(struct muster_mean *mean, const struct muster_array *arrays, size_t count)
{
    size_t elements = 0;
    for (size_t i = 0; i < count; i++) {
        size_t more = muster_array_count(&arrays[i]);
        if (more > SIZE_MAX - elements)
            return MUSTER_OUT_OF_MEMORY;
        elements += more;
    }
    void *members = mean->members;
    enum muster_status status = make_room(&members, &mean->members_capacity, count, sizeof *mean->members);
    mean->members = members;
    if (status != MUSTER_OK)
        return status;
    void *sums = mean->sums;
    status = make_room(&sums, &mean->sums_capacity, elements > 0 ? elements : 1, sizeof *mean->sums);
    mean->sums = sums;
    if (status != MUSTER_OK)
        return status;
    memcpy(mean->members, arrays, count * sizeof *arrays);
    for (size_t i = 0; i < count; i++)
        mean->members[i].data = NULL;
    for (size_t i = 0; i < elements; i++)
        mean->sums[i] = 0;
    mean->count = count;
    return MUSTER_OK;
}

/* The results take as much memory again as a member does; who folds on does not need them meanwhile. */
static void drop_results(struct muster_mean *mean)
{
    muster__block_free(mean->results, mean->results_size);
    mean->results = NULL;
}

struct muster_mean *muster_mean_new(void)
{
    struct muster_mean *mean = malloc(sizeof *mean);
    if (mean != NULL)
        *mean = (struct muster_mean){.members = NULL};
    return mean;
}

struct muster_mean *muster_mean_new_like(const struct muster_array *arrays, size_t count)
{
    bool good = count > 0;
    for (size_t i = 0; i < count; i++)
        good = good && (arrays[i].dtype == MUSTER_FLOAT32 || arrays[i].dtype == MUSTER_FLOAT64) &&
               muster_array_count(&arrays[i]) != SIZE_MAX;
    struct muster_mean *mean = good ? muster_mean_new() : NULL;
    if (mean != NULL && begin(mean, arrays, count) == MUSTER_OK) {
        mean->fixed = true;
        return mean;
    }
    muster_mean_free(mean);
    return NULL;
}

enum muster_status muster_mean_add(struct muster_mean *mean, const struct muster_array *arrays, size_t count,
                                   double weight, struct muster_error *error)
{
    double bound = 0;
    enum muster_status status = check_kind(mean, arrays, count, error);
    if (status == MUSTER_OK)
        status = check_values(mean, arrays, count, weight, &bound, error);
    if (status == MUSTER_OK && mean->weight == 0)
        status = begin(mean, arrays, count);
    if (status == MUSTER_OUT_OF_MEMORY)
        muster__error(error, status, "out of memory for a mean of %zu arrays", count);
    if (status != MUSTER_OK)
        return status;
    double *sums = mean->sums;
    for (size_t i = 0; i < count; i++) {
        add_array(sums, &arrays[i], weight);
        sums += muster_array_count(&arrays[i]);
    }
    mean->weight += weight;
    mean->bound = bound;
    drop_results(mean); /* not before: the caller may have added them */
    return MUSTER_OK;
}

static inline void divide_float32(float *restrict results, const double *restrict sums, size_t count,
                                  double weight)
{
    for (size_t i = 0; i < count; i++)
        results[i] = (float)(sums[i] / weight);
}

static inline void divide_float64(double *restrict results, const double *restrict sums, size_t count,
                                  double weight)
{
    for (size_t i = 0; i < count; i++)
        results[i] = sums[i] / weight;
}

static void divide_array(void *results, const double *sums, const struct muster_array *member, double weight)
{
    size_t count = muster_array_count(member);
    size_t whole = count - count % BLOCK;
    if (member->dtype == MUSTER_FLOAT32) {
        float *values = results;
        for (size_t i = 0; i < whole; i += BLOCK)
            divide_float32(values + i, sums + i, BLOCK, weight);
        divide_float32(values + whole, sums + whole, count - whole, weight);
    } else {
        double *values = results;
        for (size_t i = 0; i < whole; i += BLOCK)
            divide_float64(values + i, sums + i, BLOCK, weight);
        divide_float64(values + whole, sums + whole, count - whole, weight);
    }
}

/* Memory that one member's data takes, rounded up so that what follows is aligned. Never more than its sums
 * take. */
static size_t result_size(const struct muster_array *member)
{
    size_t size = muster_array_count(member) * muster_dtype_size(member->dtype);
    return size + (sizeof(double) - size % sizeof(double)) % sizeof(double);
}

static enum muster_status compute_results(struct muster_mean *mean)
{
    size_t size = 0;
    for (size_t i = 0; i < mean->count; i++)
        size += result_size(&mean->members[i]);
    mean->results_size = size > 0 ? size : 1;
    mean->results = muster__block_new(mean->results_size);
    if (mean->results == NULL)
        return MUSTER_OUT_OF_MEMORY;
    char *results = mean->results;
    const double *sums = mean->sums;
    for (size_t i = 0; i < mean->count; i++) {
        divide_array(results, sums, &mean->members[i], mean->weight);
        mean->members[i].data = results;
        results += result_size(&mean->members[i]);
        sums += muster_array_count(&mean->members[i]);
    }
    return MUSTER_OK;
}

enum muster_status muster_mean_result(struct muster_mean *mean, const struct muster_array **arrays,
                                      size_t *count, struct muster_error *error)
{
    if (mean->weight == 0)
        return muster__error(error, MUSTER_INVALID, "nothing was added: there is no mean of nothing");
    enum muster_status status = mean->results == NULL ? compute_results(mean) : MUSTER_OK;
    if (status != MUSTER_OK)
        return muster__error(error, status, "%s", muster_status_text(status));
    *arrays = mean->members;
    *count = mean->count;
    return MUSTER_OK;
}

void muster_mean_reset(struct muster_mean *mean)
{
    drop_results(mean);
    if (!mean->fixed)
        mean->count = 0;
    mean->weight = 0;
    mean->bound = 0;
}

void muster_mean_free(struct muster_mean *mean)
{
    if (mean == NULL)
        return;
    muster__block_free(mean->members, mean->members_capacity * sizeof *mean->members);
    muster__block_free(mean->sums, mean->sums_capacity * sizeof *mean->sums);
    drop_results(mean);
    free(mean);
}
