/*
 * Clipping. Everything is read twice, in blocks of doubles: for the norm, and then for what becomes of it.
 * What is made smaller is rounded towards 0, so that rounding makes no norm larger.
 */
#include <config.h>

#include <muster/privacy.h>

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "array/arithmetic.h"
#include "learning/privacy/grid.h"
#include "status.h"
#include "wire/wire.h"

enum { BLOCK = 256 };

/* Far enough from where squares of doubles end. */
#define CLIP_MIN  1e-100
#define CLIP_MAX  1e100
#define NOISE_MIN 1e-4
#define NOISE_MAX 1e6

/* ---- what is not accepted ---- */

static enum muster_status check_clip(double clip, struct muster_error *error)
{
    if (!(clip >= CLIP_MIN && clip <= CLIP_MAX))
        return muster__error(error, MUSTER_INVALID, "the clip %g is not between %g and %g", clip, CLIP_MIN,
                             CLIP_MAX);
    return MUSTER_OK;
}

enum muster_status muster__privacy_check(const struct muster_private_sum *how, struct muster_error *error)
{
    if (how->noise != 0 && !(how->noise >= NOISE_MIN && how->noise <= NOISE_MAX))
        return muster__error(error, MUSTER_INVALID, "the noise %g is neither 0 nor between %g and %g",
                             how->noise, NOISE_MIN, NOISE_MAX);
    return check_clip(how->clip, error);
}

static bool is_real(enum muster_dtype dtype)
{
    return dtype == MUSTER_FLOAT32 || dtype == MUSTER_FLOAT64 || dtype == MUSTER_FLOAT16 ||
           dtype == MUSTER_BFLOAT16;
}

static enum muster_status check_arrays(const struct muster_array *arrays, size_t count,
                                       struct muster_error *error)
{
    for (size_t i = 0; i < count; i++) {
        const char *fault = muster__array_fault(&arrays[i]);
        double largest;
        if (fault)
            return muster__error(error, MUSTER_INVALID, "array %zu: %s", i, fault);
        if (!is_real(arrays[i].dtype))
            return muster__error(error, MUSTER_INVALID,
                                 "array %zu is of %s: only floating-point numbers can be clipped", i,
                                 muster_dtype_name(arrays[i].dtype));
        enum muster_status status = muster__array_check(&arrays[i], i, &largest, error);
        if (status != MUSTER_OK)
            return status;
    }
    return MUSTER_OK;
}

/* ---- blocks ---- */

/* `some` elements of an array from `at` on, as an array. */
static struct muster_array part(const struct muster_array *array, size_t at, size_t some)
{
    return (struct muster_array){
        .dtype = array->dtype,
        .dimensions = 1,
        .shape = {some},
        .data = (const char *)array->data + at * muster_dtype_size(array->dtype),
    };
}

/* Makes doubles: factor * (array - base), rounded once for the difference and once for the product. */
static void read_block(double block[BLOCK], const struct muster_array *array, const struct muster_array *base,
                       size_t at, size_t some, double factor)
{
    struct muster_array elements = part(array, at, some);
    memset(block, 0, BLOCK * sizeof(*block));
    muster__array_add(block, &elements, 1);
    if (base) {
        elements = part(base, at, some);
        muster__array_add(block, &elements, -1);
    }
    for (size_t i = 0; i < BLOCK; i++)
        block[i] *= factor;
}

/* How many elements of `count` the block at `at` has. */
static size_t block_size(size_t count, size_t at)
{
    return count - at < BLOCK ? count - at : BLOCK;
}

/* ---- norms ---- */

/* The sum of the squares of an array's elements. */
static double squares_of(const struct muster_array *array)
{
    double block[BLOCK], squares[BLOCK] = {0}, total = 0; /* one sum would wait for each addition */
    size_t count = muster_array_count(array);
    for (size_t at = 0; at < count; at += BLOCK) {
        read_block(block, array, NULL, at, block_size(count, at), 1);
        for (size_t i = 0; i < BLOCK; i++)
            squares[i] += block[i] * block[i];
    }
    for (size_t i = 0; i < BLOCK; i++)
        total += squares[i];
    return total;
}

/* The norm of arrays - base, all together, and how many elements they have. */
static double measure(const struct muster_array *arrays, const struct muster_array *base, size_t count,
                      size_t *elements)
{
    double total = 0;
    *elements = 0;
    for (size_t i = 0; i < count; i++) {
        total += base ? muster__array_squared_distance(&arrays[i], &base[i]) : squares_of(&arrays[i]);
        *elements += muster_array_count(&arrays[i]);
    }
    return sqrt(total);
}

/*
 * What to multiply with, so that the norm is at most `clip`. The norm itself is rounded: its square by as
 * many steps of 2^-53 as additions follow each other.
 */
static double clip_factor(double norm, double clip, size_t elements, size_t arrays)
{
    double steps = (double)elements / BLOCK + BLOCK + (double)arrays + 8;
    return norm <= clip ? 1 : clip / norm * (1 - steps * 0x1p-53);
}

static enum muster_status find_norm(const struct muster_array *arrays, const struct muster_array *base,
                                    size_t count, double clip, double *norm, double *factor,
                                    struct muster_error *error)
{
    size_t elements;
    *norm = measure(arrays, base, count, &elements);
    if (!isfinite(*norm))
        return muster__error(error, MUSTER_INVALID,
                             "the values are so large that the sum of their squares overflows");
    *factor = clip_factor(*norm, clip, elements, count);
    return MUSTER_OK;
}

/* ---- arrays that become smaller ---- */

/* The next number towards 0: without their signs, they are ordered as the integers that their bits make. */
static void step_towards_zero(void *value, size_t size)
{
    uint16_t small;
    uint32_t middle;
    if (size == sizeof(small)) {
        memcpy(&small, value, size);
        small--;
        memcpy(value, &small, size);
    } else if (size == sizeof(middle)) {
        memcpy(&middle, value, size);
        middle--;
        memcpy(value, &middle, size);
    }
}

static void shrink(void *values, const struct muster_array *array, double factor)
{
    size_t count = muster_array_count(array), width = muster_dtype_size(array->dtype);
    double block[BLOCK], written[BLOCK];
    struct muster_array result = *array;
    result.data = values;
    for (size_t at = 0; at < count; at += BLOCK) {
        size_t some = block_size(count, at);
        char *out = (char *)values + at * width;
        read_block(block, array, NULL, at, some, factor);
        muster__array_divide(out, array->dtype, block, some, 1);
        read_block(written, &result, NULL, at, some, 1);
        for (size_t i = 0; i < some; i++) {
            if (fabs(written[i]) > fabs(block[i]))
                step_towards_zero(out + i * width, width);
        }
    }
}

enum muster_status muster_privacy_clip(const struct muster_array *arrays, size_t count, double clip,
                                       void *const *values, double *norm, struct muster_error *error)
{
    double before = 0, factor = 1;
    enum muster_status status = check_clip(clip, error);
    if (status == MUSTER_OK)
        status = check_arrays(arrays, count, error);
    if (status == MUSTER_OK)
        status = find_norm(arrays, NULL, count, clip, &before, &factor, error);
    if (status != MUSTER_OK)
        return status;
    for (size_t i = 0; i < count; i++) {
        size_t size = muster__array_size(&arrays[i]);
        if (factor < 1)
            shrink(values[i], &arrays[i], factor);
        else if (size > 0 && values[i] != arrays[i].data)
            memmove(values[i], arrays[i].data, size);
    }
    if (norm)
        *norm = before;
    return MUSTER_OK;
}

/* ---- changes that are added up ---- */

/*
 * Adds a block, each element rounded towards 0 to a multiple of `grid`. Adding and subtracting 1.5 * 2^52
 * multiples rounds to the nearest, without a call for each element.
 */
static void add_rounded(double *restrict sums, const double *restrict block, size_t count, double grid)
{
    double large = grid * 0x1.8p52;
    for (size_t i = 0; i < count; i++) {
        double nearest = (block[i] + large) - large;
        double beyond = fabs(nearest) > fabs(block[i]) ? grid : 0;
        sums[i] += nearest - copysign(beyond, block[i]);
    }
}

static void add_plain(double *restrict sums, const double *restrict block, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sums[i] += block[i];
}

static void add_change(double *sums, const struct muster_array *array, const struct muster_array *base,
                       double factor, double grid)
{
    size_t count = muster_array_count(array);
    double block[BLOCK];
    for (size_t at = 0; at < count; at += BLOCK) {
        size_t some = block_size(count, at);
        read_block(block, array, base, at, some, factor);
        if (grid > 0 && some == BLOCK)
            add_rounded(sums + at, block, BLOCK, grid); /* a constant, so that it is vectorised */
        else if (grid > 0)
            add_rounded(sums + at, block, some, grid);
        else
            add_plain(sums + at, block, some);
    }
}

static enum muster_status check_change(const struct muster_array *arrays, const struct muster_array *base,
                                       size_t count, const struct muster_private_sum *how,
                                       struct muster_error *error)
{
    const struct muster_message answer = {.arrays = arrays, .array_count = count};
    const struct muster_message model = {.arrays = base, .array_count = count};
    if (!(how->weight > 0 && how->weight <= 1))
        return muster__error(error, MUSTER_INVALID, "the weight %g is not above 0 and at most 1",
                             how->weight);
    enum muster_status status = muster__privacy_check(how, error);
    if (status == MUSTER_OK)
        status = check_arrays(arrays, count, error);
    if (status == MUSTER_OK)
        status = check_arrays(base, count, error);
    return status == MUSTER_OK ? muster_arrays_match(&answer, &model, error) : status;
}

static enum muster_status measure_change(const struct muster_array *arrays, const struct muster_array *base,
                                         size_t count, const struct muster_private_sum *how, double *norm,
                                         double *factor, struct muster_error *error)
{
    enum muster_status status = check_change(arrays, base, count, how, error);
    return status == MUSTER_OK ? find_norm(arrays, base, count, how->clip, norm, factor, error) : status;
}

enum muster_status muster__privacy_check_change(const struct muster_array *arrays,
                                                const struct muster_array *base, size_t count,
                                                const struct muster_private_sum *how,
                                                struct muster_error *error)
{
    double norm, factor;
    return measure_change(arrays, base, count, how, &norm, &factor, error);
}

enum muster_status muster_privacy_add(double *sums, const struct muster_array *arrays,
                                      const struct muster_array *base, size_t count,
                                      const struct muster_private_sum *how, double *norm,
                                      struct muster_error *error)
{
    double before = 0, factor = 1;
    enum muster_status status = measure_change(arrays, base, count, how, &before, &factor, error);
    if (status != MUSTER_OK)
        return status;
    for (size_t i = 0; i < count; i++) {
        add_change(sums, &arrays[i], &base[i], how->weight * factor, muster__privacy_grid(how));
        sums += muster_array_count(&arrays[i]);
    }
    if (norm)
        *norm = before;
    return MUSTER_OK;
}
