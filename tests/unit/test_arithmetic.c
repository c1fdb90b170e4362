/* Arithmetic on arrays of every dtype, against the same by one element at a time. The mean's tests have the
   rest: sums and how they are rounded. */
#include <config.h>

#include <criterion/criterion.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <muster/random.h>

#include "array/arithmetic.h"

enum { COUNT = 1000, DTYPES = 9 };

static const enum muster_dtype dtypes[DTYPES] = {MUSTER_FLOAT32, MUSTER_FLOAT64, MUSTER_INT32,
                                                 MUSTER_INT64,   MUSTER_FLOAT16, MUSTER_BFLOAT16,
                                                 MUSTER_UINT8,   MUSTER_INT8,    MUSTER_BOOL};

/* Elements in a dtype, that of whole numbers so that each dtype has them: 0 and 1, and for all but bool up to
 * 100. */
struct elements {
    struct muster_array array;
    double values[COUNT];
    double data[COUNT]; /* the biggest dtype fits */
};

static struct muster_array view(enum muster_dtype dtype, size_t count, const void *data)
{
    return (struct muster_array){dtype, 1, {count}, data};
}

static void fill(struct elements *elements, enum muster_dtype dtype, struct muster_random *random)
{
    for (size_t i = 0; i < COUNT; i++)
        elements->values[i] = (double)(muster_random_next(random) % (dtype == MUSTER_BOOL ? 2 : 101));
    elements->array = view(dtype, COUNT, elements->data);
    muster__array_divide(elements->data, dtype, elements->values, COUNT, 1);
}

/* The element at this place, by a sum of it alone. */
static double element_of(const struct muster_array *array, size_t i)
{
    const char *data = array->data;
    const struct muster_array one = view(array->dtype, 1, data + i * muster_dtype_size(array->dtype));
    double sum = 0;
    muster__array_add(&sum, &one, 1);
    return sum;
}

static const size_t counts[] = {0, 1, 255, 256, 257, 768, COUNT};

Test(arithmetic, weighted_sums)
{
    struct muster_random random;
    muster_random_seed(&random, 1);
    for (size_t d = 0; d < DTYPES; d++) {
        static struct elements elements;
        fill(&elements, dtypes[d], &random);
        for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
            double sums[COUNT] = {0};
            const struct muster_array some = view(dtypes[d], counts[c], elements.data);
            muster__array_add(sums, &some, 0.25);
            muster__array_add(sums, &some, 2);
            for (size_t i = 0; i < COUNT; i++)
                cr_assert_eq(sums[i], i < counts[c] ? 2.25 * elements.values[i] : 0);
        }
    }
}

/* factor * element, in the array's dtype. */
static void scale(void *values, const struct muster_array *array, double factor)
{
    double sums[COUNT] = {0};
    muster__array_add(sums, array, factor);
    muster__array_divide(values, array->dtype, sums, muster_array_count(array), 1);
}

Test(arithmetic, scaled_copies)
{
    struct muster_random random;
    muster_random_seed(&random, 2);
    for (size_t d = 0; d < DTYPES; d++) {
        static struct elements elements;
        fill(&elements, dtypes[d], &random);
        for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
            double copy[COUNT + 1];
            memset(copy, 0x55, sizeof(copy));
            const struct muster_array some = view(dtypes[d], counts[c], elements.data);
            const struct muster_array scaled = view(dtypes[d], counts[c], copy);
            scale(copy, &some, 0.5);
            for (size_t i = 0; i < counts[c]; i++) {
                double expected = elements.values[i] / 2;
                if (dtypes[d] != MUSTER_FLOAT32 && dtypes[d] != MUSTER_FLOAT64 &&
                    dtypes[d] != MUSTER_FLOAT16 && dtypes[d] != MUSTER_BFLOAT16)
                    expected = rint(expected);
                cr_assert_eq(element_of(&scaled, i), expected);
            }
            cr_assert_eq(((unsigned char *)copy)[counts[c] * muster_dtype_size(dtypes[d])], 0x55);
        }
    }
}

Test(arithmetic, squared_distances)
{
    struct muster_random random;
    muster_random_seed(&random, 3);
    for (size_t d = 0; d < DTYPES; d++) {
        static struct elements a, b;
        fill(&a, dtypes[d], &random);
        fill(&b, dtypes[d], &random);
        for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
            double expected = 0;
            for (size_t i = 0; i < counts[c]; i++)
                expected += (a.values[i] - b.values[i]) * (a.values[i] - b.values[i]);
            const struct muster_array first = view(dtypes[d], counts[c], a.data);
            const struct muster_array second = view(dtypes[d], counts[c], b.data);
            cr_assert_eq(muster__array_squared_distance(&first, &second), expected);
            cr_assert_eq(muster__array_squared_distance(&first, &first), 0);
        }
    }
}

/* ---- beyond a dtype ---- */

static double scaled(enum muster_dtype dtype, const void *value, double factor)
{
    double result = 0;
    const struct muster_array array = view(dtype, 1, value);
    const struct muster_array copy = view(dtype, 1, &result);
    scale(&result, &array, factor);
    return element_of(&copy, 0);
}

Test(arithmetic, beyond_a_dtype)
{
    const uint16_t half_most = 0x7bff, brain_most = 0x7f7f, half_minus_most = 0xfbff;
    const uint16_t half_nan = 0x7d00, brain_nan = 0xffc1;
    const float most = 0x1.fffffep127F;
    const int8_t small = -100;
    const uint8_t byte = 200, yes = 1;
    const int64_t big = INT64_MAX;
    cr_assert_eq(scaled(MUSTER_FLOAT16, &half_most, 1), 65504);
    cr_assert_eq(scaled(MUSTER_FLOAT16, &half_most, 65519.0 / 65504), 65504);
    cr_assert_eq(scaled(MUSTER_FLOAT16, &half_most, 65521.0 / 65504), INFINITY);
    cr_assert_eq(scaled(MUSTER_FLOAT16, &half_minus_most, 1e300), -INFINITY);
    cr_assert_eq(scaled(MUSTER_BFLOAT16, &brain_most, 2), INFINITY);
    cr_assert(isnan(scaled(MUSTER_FLOAT16, &half_nan, 2)));
    cr_assert(isnan(scaled(MUSTER_BFLOAT16, &brain_nan, 2)));
    cr_assert_eq(scaled(MUSTER_FLOAT32, &most, 2), INFINITY);
    cr_assert_eq(scaled(MUSTER_INT8, &small, 2), -128);
    cr_assert_eq(scaled(MUSTER_UINT8, &byte, 2), 255);
    cr_assert_eq(scaled(MUSTER_UINT8, &byte, -2), 0);
    cr_assert_eq(scaled(MUSTER_BOOL, &yes, 7), 1);
    cr_assert_eq(scaled(MUSTER_INT64, &big, 1e300), 0x1p63);
}

/* ---- checks ---- */

Test(arithmetic, the_largest)
{
    const float floats[3] = {1, -7.5F, 3};
    const int8_t bytes[2] = {-128, 127};
    struct muster_error error;
    double largest = 1;
    struct muster_array array = view(MUSTER_FLOAT32, 3, floats);
    cr_assert_eq(muster__array_check(&array, 0, &largest, &error), MUSTER_OK);
    cr_assert(largest >= 7.5 && largest < 7.6, "%g", largest);
    array = view(MUSTER_INT8, 2, bytes);
    cr_assert_eq(muster__array_check(&array, 0, &largest, &error), MUSTER_OK);
    cr_assert_eq(largest, 128);
    array = view(MUSTER_FLOAT64, 0, NULL);
    cr_assert_eq(muster__array_check(&array, 0, &largest, &error), MUSTER_OK);
    cr_assert_lt(largest, 1e-300);
}

Test(arithmetic, what_is_not_finite)
{
    double values[300] = {0};
    struct muster_error error;
    double largest;
    const struct muster_array array = view(MUSTER_FLOAT64, 300, values);
    values[299] = -INFINITY;
    cr_assert_eq(muster__array_check(&array, 4, &largest, &error), MUSTER_INVALID);
    cr_assert_str_eq(error.text, "array 4, float64 (300): element 299 is infinite");
    values[7] = NAN;
    cr_assert_eq(muster__array_check(&array, 4, &largest, &error), MUSTER_INVALID);
    cr_assert_str_eq(error.text, "array 4, float64 (300): element 7 is NaN");
}
