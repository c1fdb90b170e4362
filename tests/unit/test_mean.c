/* The running weighted mean against the formula, reckoned in long double: values, orders, errors that leave
   no trace. */
#include <config.h>

#include <criterion/criterion.h>

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <muster/mean.h>
#include <muster/random.h>

#include "unit/mean.h"

enum { MEMBERS = 7, ROWS = 37, COLUMNS = 11, LONG = 1000 };

/* Members of three arrays: a float32 matrix, a float64 vector longer than a block of any loop, a single
 * float32. */
struct member {
    float matrix[ROWS * COLUMNS];
    double vector[LONG];
    float number;
    struct muster_array arrays[3];
    double weight;
};

static void fill(struct member *member, struct muster_random *random)
{
    for (size_t i = 0; i < ROWS * COLUMNS; i++)
        member->matrix[i] = (float)muster_random_normal(random);
    for (size_t i = 0; i < LONG; i++)
        member->vector[i] = muster_random_normal(random);
    member->number = (float)muster_random_normal(random);
    member->weight = 1 + (double)(muster_random_next(random) % 500);
    member->arrays[0] = (struct muster_array){MUSTER_FLOAT32, 2, {ROWS, COLUMNS}, member->matrix};
    member->arrays[1] = (struct muster_array){MUSTER_FLOAT64, 1, {LONG}, member->vector};
    member->arrays[2] = (struct muster_array){MUSTER_FLOAT32, 0, {0}, &member->number};
}

/* MEMBERS of them, which the caller frees. */
static struct member *new_members(uint64_t seed)
{
    struct muster_random random;
    muster_random_seed(&random, seed);
    struct member *members = calloc(MEMBERS, sizeof(*members));
    cr_assert_not_null(members);
    for (size_t i = 0; i < MEMBERS; i++)
        fill(&members[i], &random);
    return members;
}

static void add(struct muster_mean *mean, const struct member *member)
{
    cr_assert_eq(muster_mean_add(mean, member->arrays, 3, member->weight, NULL), MUSTER_OK);
}

static double element(const struct muster_array *array, size_t i)
{
    return array->dtype == MUSTER_FLOAT32 ? (double)((const float *)array->data)[i]
                                          : ((const double *)array->data)[i];
}

/* Checks the mean of the first `count` members. */
static void expect_mean(struct muster_mean *mean, const struct member *members, size_t count)
{
    const struct muster_array *arrays = result(mean, 3);
    for (size_t j = 0; j < 3; j++) {
        cr_assert_eq(arrays[j].dtype, members[0].arrays[j].dtype);
        cr_assert_eq(arrays[j].dimensions, members[0].arrays[j].dimensions);
        cr_assert_eq(memcmp(arrays[j].shape, members[0].arrays[j].shape, sizeof(arrays[j].shape)), 0);
        cr_assert_eq((uintptr_t)arrays[j].data % muster_dtype_size(arrays[j].dtype), 0);
        double precision = arrays[j].dtype == MUSTER_FLOAT32 ? FLT_EPSILON : 16 * DBL_EPSILON;
        for (size_t i = 0; i < muster_array_count(&arrays[j]); i++) {
            long double sum = 0;
            long double weight = 0;
            for (size_t k = 0; k < count; k++) {
                sum += (long double)members[k].weight * (long double)element(&members[k].arrays[j], i);
                weight += (long double)members[k].weight;
            }
            cr_assert_float_eq(element(&arrays[j], i), (double)(sum / weight), 4 * precision);
        }
    }
}

Test(mean, is_the_weighted_mean)
{
    struct member *members = new_members(1);
    struct muster_mean *mean = new_mean();
    for (size_t i = 0; i < MEMBERS; i++) {
        add(mean, &members[i]);
        expect_mean(mean, members, i + 1);
    }
    muster_mean_free(mean);
    free(members);
}

Test(mean, of_one_is_that_one)
{
    struct member *members = new_members(2);
    struct muster_mean *mean = new_mean();
    members[0].weight = 3; /* not a power of two: what is multiplied by it has to come back by dividing */
    add(mean, &members[0]);
    const struct muster_array *arrays = result(mean, 3);
    cr_assert_eq(memcmp(arrays[0].data, members[0].matrix, sizeof(members[0].matrix)), 0);
    cr_assert_eq(*(const float *)arrays[2].data, members[0].number);
    muster_mean_free(mean);
    free(members);
}

Test(mean, every_length_around_a_block)
{
    enum { MANY = 600 };
    static float singles[MANY];
    static double doubles[MANY];
    for (size_t i = 0; i < MANY; i++) {
        singles[i] = (float)i - 50;
        doubles[i] = 1000 - (double)i;
    }
    struct muster_mean *mean = new_mean();
    for (size_t length = 0; length < MANY; length++) {
        const struct muster_array arrays[2] = {{MUSTER_FLOAT32, 1, {length}, length > 0 ? singles : NULL},
                                               {MUSTER_FLOAT64, 1, {length}, length > 0 ? doubles : NULL}};
        muster_mean_reset(mean);
        cr_assert_eq(muster_mean_add(mean, arrays, 2, 1, NULL), MUSTER_OK);
        cr_assert_eq(muster_mean_add(mean, arrays, 2, 7, NULL), MUSTER_OK);
        const struct muster_array *means = result(mean, 2);
        cr_assert_eq(muster_array_count(&means[0]), length);
        if (length > 0) {
            cr_assert_eq(memcmp(means[0].data, singles, length * sizeof(float)), 0);
            cr_assert_eq(memcmp(means[1].data, doubles, length * sizeof(double)), 0);
        }
    }
    muster_mean_free(mean);
}

Test(mean, order_does_not_matter)
{
    struct member *members = new_members(3);
    struct muster_mean *forwards = new_mean();
    struct muster_mean *backwards = new_mean();
    for (size_t i = 0; i < MEMBERS; i++) {
        add(forwards, &members[i]);
        add(backwards, &members[MEMBERS - 1 - i]);
    }
    const struct muster_array *a = result(forwards, 3);
    const struct muster_array *b = result(backwards, 3);
    for (size_t j = 0; j < 3; j++) {
        for (size_t i = 0; i < muster_array_count(&a[j]); i++)
            cr_assert_float_eq(element(&a[j], i), element(&b[j], i), 1e-6 * fabs(element(&a[j], i)));
    }
    muster_mean_free(forwards);
    muster_mean_free(backwards);
    free(members);
}

Test(mean, sums_are_double)
{
    /* In float32 the ones would vanish beside 2^24. */
    const float big = 16777216;
    const float one = 1;
    struct muster_mean *mean = new_mean();
    struct muster_array array = {MUSTER_FLOAT32, 1, {1}, &big};
    cr_assert_eq(muster_mean_add(mean, &array, 1, 1, NULL), MUSTER_OK);
    array.data = &one;
    for (unsigned i = 0; i < 100; i++)
        cr_assert_eq(muster_mean_add(mean, &array, 1, 1, NULL), MUSTER_OK);
    const double expected = (16777216.0 + 100) / 101;
    cr_assert_eq(*(const float *)result(mean, 1)[0].data, (float)expected);
    muster_mean_free(mean);
}

/* Tries to add what is bad, and checks that the mean is the same to the bit. */
static void expect_no_trace(struct muster_mean *mean, const struct muster_array *arrays, size_t count,
                            double weight, enum muster_status expected)
{
    const struct muster_array *before = result(mean, 3);
    float matrix[ROWS * COLUMNS];
    double vector[LONG];
    memcpy(matrix, before[0].data, sizeof(matrix));
    memcpy(vector, before[1].data, sizeof(vector));
    float number = *(const float *)before[2].data;

    cr_assert_eq(muster_mean_add(mean, arrays, count, weight, NULL), expected);

    const struct muster_array *after = result(mean, 3);
    cr_assert_eq(memcmp(matrix, after[0].data, sizeof(matrix)), 0);
    cr_assert_eq(memcmp(vector, after[1].data, sizeof(vector)), 0);
    cr_assert_eq(number, *(const float *)after[2].data);
}

Test(mean, other_dtypes_and_shapes_leave_no_trace)
{
    struct member *members = new_members(4);
    struct muster_mean *mean = new_mean();
    add(mean, &members[0]);
    const struct muster_array *good = members[1].arrays;
    struct muster_array bad[4];

    expect_no_trace(mean, good, 0, 1, MUSTER_INVALID);
    expect_no_trace(mean, good, 2, 1, MUSTER_FORMAT);
    memcpy(bad, good, sizeof(members[1].arrays));
    bad[3] = bad[2];
    expect_no_trace(mean, bad, 4, 1, MUSTER_FORMAT);
    bad[2].dtype = MUSTER_INT32;
    expect_no_trace(mean, bad, 3, 1, MUSTER_FORMAT);
    bad[2] = good[2];
    bad[2].dimensions = 1;
    bad[2].shape[0] = 1;
    expect_no_trace(mean, bad, 3, 1, MUSTER_FORMAT);
    bad[2] = good[2];
    bad[1].dtype = MUSTER_FLOAT32;
    expect_no_trace(mean, bad, 3, 1, MUSTER_FORMAT);
    bad[1] = good[1];
    bad[1].dimensions = 0;
    expect_no_trace(mean, bad, 3, 1, MUSTER_FORMAT);
    bad[1] = good[1];
    bad[0].shape[0] = COLUMNS;
    bad[0].shape[1] = ROWS;
    expect_no_trace(mean, bad, 3, 1, MUSTER_FORMAT);
    bad[0] = good[0];
    bad[1].data = NULL;
    expect_no_trace(mean, bad, 3, 1, MUSTER_INVALID);
    bad[1] = good[1];
    bad[1].dimensions = MUSTER_DIMENSIONS_MAX + 1;
    expect_no_trace(mean, bad, 3, 1, MUSTER_INVALID);

    add(mean, &members[1]);
    expect_mean(mean, members, 2);
    muster_mean_free(mean);
    free(members);
}

Test(mean, bad_weights_leave_no_trace)
{
    struct member *members = new_members(5);
    struct muster_mean *mean = new_mean();
    add(mean, &members[0]);
    static const double weights[] = {0, -0.0, -1, (double)NAN, (double)INFINITY, (double)-INFINITY};
    for (size_t i = 0; i < sizeof(weights) / sizeof(weights[0]); i++)
        expect_no_trace(mean, members[1].arrays, 3, weights[i], MUSTER_INVALID);
    add(mean, &members[1]);
    expect_mean(mean, members, 2);
    muster_mean_free(mean);
    free(members);
}

Test(mean, bad_values_leave_no_trace)
{
    struct member *members = new_members(6);
    struct muster_mean *mean = new_mean();
    add(mean, &members[0]);
    struct member *bad = &members[1];
    static const float values[] = {NAN, -NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 4; i++) {
        /* At the beginning, in the middle and at the end, so in whole blocks and in what remains. */
        static const size_t places[] = {0, 255, 256, 300, ROWS * COLUMNS - 1};
        for (size_t j = 0; j < 5; j++) {
            float *single = &bad->matrix[places[j]];
            float single_before = *single;
            *single = values[i];
            expect_no_trace(mean, bad->arrays, 3, 1, MUSTER_INVALID);
            *single = single_before;
            double *twice = &bad->vector[places[j]];
            double double_before = *twice;
            *twice = (double)values[i];
            expect_no_trace(mean, bad->arrays, 3, 1, MUSTER_INVALID);
            *twice = double_before;
        }
        float number = bad->number;
        bad->number = values[i];
        expect_no_trace(mean, bad->arrays, 3, 1, MUSTER_INVALID);
        bad->number = number;
    }
    bad->vector[LONG - 1] = (double)NAN;
    expect_no_trace(mean, bad->arrays, 3, 1, MUSTER_INVALID);
    muster_mean_free(mean);
    free(members);
}

Test(mean, any_nan_is_found)
{
    /* The smallest NaN differs from infinity in its last bit only. */
    uint64_t bits = UINT64_C(0x7ff0000000000001);
    double value;
    memcpy(&value, &bits, sizeof(value));
    struct muster_array array = {MUSTER_FLOAT64, 1, {1}, &value};
    struct muster_mean *mean = new_mean();
    cr_assert_eq(muster_mean_add(mean, &array, 1, 1, NULL), MUSTER_INVALID);
    uint32_t single_bits = UINT32_C(0xff800001);
    float single;
    memcpy(&single, &single_bits, sizeof(single));
    array = (struct muster_array){MUSTER_FLOAT32, 1, {1}, &single};
    cr_assert_eq(muster_mean_add(mean, &array, 1, 1, NULL), MUSTER_INVALID);
    muster_mean_free(mean);
}

Test(mean, the_largest_finite_values_are_fine)
{
    static const float singles[2] = {FLT_MAX, -FLT_MAX};
    static const double doubles[2] = {DBL_MAX / 4, -DBL_MAX / 4};
    const struct muster_array arrays[2] = {{MUSTER_FLOAT32, 1, {2}, singles},
                                           {MUSTER_FLOAT64, 1, {2}, doubles}};
    struct muster_mean *mean = new_mean();
    cr_assert_eq(muster_mean_add(mean, arrays, 2, 1, NULL), MUSTER_OK);
    cr_assert_eq(muster_mean_add(mean, arrays, 2, 1, NULL), MUSTER_OK);
    const struct muster_array *means = result(mean, 2);
    cr_assert_eq(memcmp(means[0].data, singles, sizeof(singles)), 0);
    cr_assert_eq(memcmp(means[1].data, doubles, sizeof(doubles)), 0);
    muster_mean_free(mean);
}

Test(mean, no_weight_makes_the_sums_overflow)
{
    struct member *members = new_members(7);
    struct muster_mean *mean = new_mean();
    add(mean, &members[0]);
    expect_no_trace(mean, members[1].arrays, 3, DBL_MAX, MUSTER_INVALID);
    members[1].vector[LONG / 2] = -DBL_MAX / 4 * 3;
    expect_no_trace(mean, members[1].arrays, 3, 3, MUSTER_INVALID);
    cr_assert_eq(muster_mean_add(mean, members[1].arrays, 3, 1, NULL), MUSTER_OK);
    cr_assert_eq(muster_mean_add(mean, members[1].arrays, 3, 1, NULL), MUSTER_INVALID);
    cr_assert(isfinite(element(&result(mean, 3)[1], LONG / 2)));

    /* By the last bit: the next number after DBL_MAX would be infinity. */
    const double largest = DBL_MAX;
    const double last_bit = 0x1p971;
    struct muster_array number = {MUSTER_FLOAT64, 0, {0}, &largest};
    muster_mean_reset(mean);
    cr_assert_eq(muster_mean_add(mean, &number, 1, 1, NULL), MUSTER_OK);
    number.data = &last_bit;
    cr_assert_eq(muster_mean_add(mean, &number, 1, 1, NULL), MUSTER_INVALID);
    cr_assert_eq(element(result(mean, 1), 0), DBL_MAX);

    /* The weights themselves: zeros have no sum that could overflow. */
    const double zero = 0;
    const struct muster_array array = {MUSTER_FLOAT64, 0, {0}, &zero};
    muster_mean_reset(mean);
    cr_assert_eq(muster_mean_add(mean, &array, 1, DBL_MAX, NULL), MUSTER_OK);
    cr_assert_eq(muster_mean_add(mean, &array, 1, DBL_MAX, NULL), MUSTER_INVALID);
    muster_mean_free(mean);
    free(members);
}

Test(mean, first_member_that_is_bad_decides_nothing)
{
    struct member *members = new_members(8);
    struct muster_mean *mean = new_mean();
    static const int32_t integer = 1;
    const struct muster_array integers = {(enum muster_dtype)99, 0, {0}, &integer};
    cr_assert_eq(muster_mean_add(mean, &integers, 1, 1, NULL), MUSTER_INVALID);
    const float nan_value = NAN;
    const struct muster_array nans = {MUSTER_FLOAT32, 0, {0}, &nan_value};
    cr_assert_eq(muster_mean_add(mean, &nans, 1, 1, NULL), MUSTER_INVALID);
    const struct muster_array *arrays;
    size_t count;
    cr_assert_eq(muster_mean_result(mean, &arrays, &count, NULL), MUSTER_INVALID);
    add(mean, &members[0]);
    expect_mean(mean, members, 1);
    muster_mean_free(mean);
    free(members);
}

Test(mean, reset_forgets_members_and_shapes)
{
    struct member *members = new_members(9);
    struct muster_mean *mean = new_mean();
    static const float zeros[2 * LONG];
    const struct muster_array array = {MUSTER_FLOAT32, 2, {2, LONG}, zeros};
    const struct muster_array *arrays;
    size_t count;
    for (unsigned round = 0; round < 3; round++) {
        add(mean, &members[1]);
        add(mean, &members[2]);
        expect_mean(mean, members + 1, 2);
        muster_mean_reset(mean);
        cr_assert_eq(muster_mean_result(mean, &arrays, &count, NULL), MUSTER_INVALID);
        cr_assert_eq(muster_mean_add(mean, &array, 1, 5, NULL), MUSTER_OK);
        cr_assert_eq(element(&result(mean, 1)[0], 2 * LONG - 1), 0);
        muster_mean_reset(mean);
    }
    muster_mean_free(mean);
    free(members);
}

Test(mean, can_be_added_to_itself)
{
    struct member *members = new_members(10);
    struct muster_mean *mean = new_mean();
    add(mean, &members[0]);
    cr_assert_eq(muster_mean_add(mean, result(mean, 3), 3, members[0].weight, NULL), MUSTER_OK);
    expect_mean(mean, members, 1);
    muster_mean_free(mean);
    free(members);
}

Test(mean, free_allows_null)
{
    muster_mean_free(NULL);
    muster_mean_free(new_mean());
}

/* ---- reasons ---- */

Test(mean, reasons_say_which_array_and_what_is_expected)
{
    static const float zeros[6];
    static const double doubles[6];
    const struct muster_array model[] = {{MUSTER_FLOAT32, 2, {2, 3}, zeros}, {MUSTER_FLOAT32, 1, {3}, zeros}};
    struct muster_array got[] = {model[0], model[1]};
    const struct muster_array *none;
    size_t count;
    struct muster_mean *mean = muster_mean_new_like(model, 2);
    cr_assert_not_null(mean);
    expect_reason(mean, NULL, 0, 1, MUSTER_INVALID, "there are no arrays");
    expect_reason(mean, model, 1, 1, MUSTER_FORMAT, "1 arrays instead of 2");
    got[1] = (struct muster_array){MUSTER_FLOAT64, 1, {3}, doubles};
    expect_reason(mean, got, 2, 1, MUSTER_FORMAT, "array 1 is float64 (3), expected float32 (3)");
    got[1] = model[1];
    got[0].shape[1] = 2;
    expect_reason(mean, got, 2, 1, MUSTER_FORMAT, "array 0 is float32 (2, 2), expected float32 (2, 3)");
    got[0] = (struct muster_array){MUSTER_FLOAT32, 0, {0}, zeros};
    expect_reason(mean, got, 2, 1, MUSTER_FORMAT, "array 0 is float32 (), expected float32 (2, 3)");
    muster_mean_free(mean);
    mean = new_mean();
    got[0] = (struct muster_array){MUSTER_INT32, 1, {6}, NULL};
    expect_reason(mean, got, 1, 1, MUSTER_INVALID, "array 0: its data is NULL");
    muster_mean_free(mean);
    cr_assert_null(muster_mean_new_like(got, 0));
    expect_reason(NULL, got, 1, 1, MUSTER_INVALID,
                  "the mean is NULL: it was made like arrays that are not valid, or memory ran out");
    cr_assert_eq(muster_mean_result(NULL, &none, &count, NULL), MUSTER_INVALID);
}

Test(mean, reasons_say_where_and_which_weight)
{
    float values[600] = {0};
    struct muster_array array = {MUSTER_FLOAT32, 2, {2, 300}, values};
    struct muster_mean *mean = new_mean();
    expect_reason(mean, &array, 1, -1, MUSTER_INVALID, "the weight -1 is not a number above 0");
    expect_reason(mean, &array, 1, 0, MUSTER_INVALID, "the weight 0 is not a number above 0");
    expect_reason(mean, &array, 1, (double)INFINITY, MUSTER_INVALID,
                  "the weight inf is not a number above 0");
    cr_assert_eq(muster_mean_add(mean, &array, 1, DBL_MAX, NULL), MUSTER_OK);
    expect_reason(mean, &array, 1, DBL_MAX, MUSTER_INVALID, "the weight 1.79769e+308 is too much");
    values[417] = (float)NAN;
    expect_reason(mean, &array, 1, 1, MUSTER_INVALID, "array 0, float32 (2, 300): element 417 is NaN");
    values[16] = (float)-INFINITY;
    expect_reason(mean, &array, 1, 1, MUSTER_INVALID, "array 0, float32 (2, 300): element 16 is infinite");
    values[417] = values[16] = 0;
    muster_mean_reset(mean);
    values[3] = 1e30F;
    expect_reason(mean, &array, 1, 1e300, MUSTER_INVALID,
                  "with a weight of 1e+300 and values up to 1.00026e+30 the sum could overflow");
    muster_mean_free(mean);
}

/* ---- a mean for a model ---- */

Test(mean, the_first_answer_does_not_decide_what_is_right)
{
    struct member *members = new_members(9);
    struct muster_array model[3];
    memcpy(model, members[0].arrays, sizeof(model));
    for (size_t i = 0; i < 3; i++)
        model[i].data = NULL;
    struct muster_mean *mean = muster_mean_new_like(model, 3);
    cr_assert_not_null(mean);
    const struct muster_array *arrays;
    size_t count;
    cr_assert_eq(muster_mean_result(mean, &arrays, &count, NULL), MUSTER_INVALID);
    for (unsigned round = 0; round < 3; round++) {
        cr_assert_eq(muster_mean_add(mean, members[0].arrays, 2, 1, NULL), MUSTER_FORMAT); /* the first */
        for (size_t i = 0; i < MEMBERS; i++)
            add(mean, &members[i]);
        expect_mean(mean, members, MEMBERS);
        muster_mean_reset(mean);
        cr_assert_eq(muster_mean_result(mean, &arrays, &count, NULL), MUSTER_INVALID);
    }
    muster_mean_free(mean);
    free(members);
}

Test(mean, like_what_has_no_mean)
{
    const struct muster_array bad[] = {
        {MUSTER_FLOAT32, MUSTER_DIMENSIONS_MAX + 1, {1}, NULL},
        {(enum muster_dtype)99, 1, {3}, NULL},
    };
    cr_assert_null(muster_mean_new_like(NULL, 0));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_null(muster_mean_new_like(&bad[i], 1));
    const struct muster_array good[] = {{MUSTER_INT64, 1, {3}, NULL}, {MUSTER_INT64, 1, {3}, NULL}};
    const char *const names[] = {"a", "a"};
    struct muster_message model = {.arrays = good, .array_count = 2, .array_names = names};
    cr_assert_null(muster_mean_new_like_message(&model), "two arrays of a name");
}
