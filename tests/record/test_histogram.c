/* Histograms of every dtype, and of numbers at the ends of what there is. */
#include <config.h>

#include <float.h>
#include <math.h>

#include <criterion/criterion.h>

#include "record/histogram.h"

static struct histogram of(enum muster_dtype dtype, const void *data, size_t count)
{
    struct histogram histogram;
    struct muster_array array = {dtype, 1, {count}, data};
    cr_assert(muster__histogram_count(&histogram, &array));
    uint64_t sum = 0;
    for (unsigned i = 0; i < histogram.bucket_count; i++)
        sum += histogram.buckets[i];
    cr_assert_eq(sum, histogram.count);
    cr_assert_eq(histogram.count + histogram.strange, count);
    cr_assert_eq(muster__histogram_limit(&histogram, histogram.bucket_count - 1), histogram.most);
    return histogram;
}

static void expect_one_to_three(enum muster_dtype dtype, const void *data)
{
    struct histogram histogram = of(dtype, data, 3);
    cr_assert_eq(histogram.least, 1, "%s", muster_dtype_name(dtype));
    cr_assert_eq(histogram.most, 3, "%s", muster_dtype_name(dtype));
    cr_assert_eq(histogram.sum, 6, "%s", muster_dtype_name(dtype));
    cr_assert_eq(histogram.squares, 14, "%s", muster_dtype_name(dtype));
    cr_assert_eq(histogram.buckets[0], 1);
    cr_assert_eq(histogram.buckets[32], 1);
    cr_assert_eq(histogram.buckets[63], 1);
}

Test(histogram, every_dtype)
{
    expect_one_to_three(MUSTER_FLOAT32, (float[]){1, 2, 3});
    expect_one_to_three(MUSTER_FLOAT64, (double[]){3, 2, 1});
    expect_one_to_three(MUSTER_INT32, (int32_t[]){1, 2, 3});
    expect_one_to_three(MUSTER_INT64, (int64_t[]){1, 3, 2});
    expect_one_to_three(MUSTER_FLOAT16, (uint16_t[]){0x3c00, 0x4000, 0x4200});
    expect_one_to_three(MUSTER_BFLOAT16, (uint16_t[]){0x3f80, 0x4000, 0x4040});
    expect_one_to_three(MUSTER_UINT8, (uint8_t[]){2, 1, 3});
    expect_one_to_three(MUSTER_INT8, (int8_t[]){1, 2, 3});
    struct histogram histogram = of(MUSTER_BOOL, (uint8_t[]){0, 1, 1}, 3);
    cr_assert_eq(histogram.buckets[0], 1);
    cr_assert_eq(histogram.buckets[63], 2);
    cr_assert_eq(of(MUSTER_INT8, (int8_t[]){-128}, 1).least, -128);
}

Test(histogram, nothing_and_the_same)
{
    struct histogram histogram = of(MUSTER_FLOAT32, NULL, 0);
    cr_assert_eq(histogram.bucket_count, 1);
    cr_assert_eq(histogram.most, 0);
    histogram = of(MUSTER_FLOAT32, (float[]){7, 7}, 2);
    cr_assert_eq(histogram.bucket_count, 1);
    cr_assert_eq(histogram.buckets[0], 2);
    struct muster_array scalar = {MUSTER_FLOAT64, 0, {0}, &(double){5}};
    cr_assert(muster__histogram_count(&histogram, &scalar));
    cr_assert_eq(histogram.count, 1);
}

Test(histogram, ends_of_the_range)
{
    struct histogram histogram =
        of(MUSTER_FLOAT64, (double[]){-DBL_MAX, DBL_MAX, 0, NAN, (double)INFINITY}, 5);
    cr_assert_eq(histogram.count, 3);
    cr_assert_eq(histogram.strange, 2);
    cr_assert_eq(histogram.buckets[32], 1);
    for (unsigned i = 1; i < HISTOGRAM_BUCKETS; i++)
        cr_assert_gt(muster__histogram_limit(&histogram, i), muster__histogram_limit(&histogram, i - 1));
    of(MUSTER_FLOAT64, (double[]){5e-324, 0, 1e-323}, 3);
    of(MUSTER_FLOAT64, (double[]){NAN, NAN}, 2);
}

Test(histogram, what_is_no_array)
{
    struct histogram histogram;
    struct muster_array array = {MUSTER_FLOAT32, 1, {3}, NULL};
    cr_assert_not(muster__histogram_count(&histogram, NULL));
    cr_assert_not(muster__histogram_count(&histogram, &array));
    array = (struct muster_array){(enum muster_dtype)77, 1, {0}, NULL};
    cr_assert_not(muster__histogram_count(&histogram, &array));
    array = (struct muster_array){MUSTER_FLOAT32, 9, {0}, NULL};
    cr_assert_not(muster__histogram_count(&histogram, &array));
    array = (struct muster_array){MUSTER_FLOAT32, 2, {UINT64_MAX, UINT64_MAX}, &array};
    cr_assert_not(muster__histogram_count(&histogram, &array));
}
