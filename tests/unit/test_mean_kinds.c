/* The mean of every dtype, and of whole messages. */
#include <config.h>

#include <criterion/criterion.h>

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <muster/mean.h>
#include <muster/random.h>

#include "unit/mean.h"

/* ---- dtypes ---- */

/* Adds the same array with a weight, other elements each time. */
static void add_elements(struct muster_mean *mean, enum muster_dtype dtype, const void *elements,
                         size_t count, double weight)
{
    const struct muster_array array = {dtype, 1, {count}, elements};
    struct muster_error error;
    cr_assert_eq(muster_mean_add(mean, &array, 1, weight, &error), MUSTER_OK, "%s", error.text);
}

/* Every finite number of a dtype of 16 bits, and the next one: the mean of one is that one, and the mean of
 * both is the even one. */
static void expect_all_of_16_bits(enum muster_dtype dtype, uint16_t infinity)
{
    static uint16_t ones[UINT16_MAX + 1], nexts[UINT16_MAX + 1];
    size_t count = 0;
    for (uint32_t bits = 0; bits <= UINT16_MAX; bits++) {
        if ((bits & INT16_MAX) + 1U >= infinity)
            continue; /* the next one is infinite */
        ones[count] = (uint16_t)bits;
        nexts[count++] = (uint16_t)(bits + 1);
    }
    struct muster_mean *mean = new_mean();
    add_elements(mean, dtype, nexts, count, 3);
    cr_assert_eq(memcmp(result(mean, 1)->data, nexts, count * sizeof(nexts[0])), 0);
    add_elements(mean, dtype, ones, count, 3);
    const uint16_t *means = result(mean, 1)->data;
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(means[i], ones[i] & 1 ? nexts[i] : ones[i], "of %04x and %04x: %04x", ones[i], nexts[i],
                     means[i]);
    muster_mean_free(mean);
}

Test(mean_kinds, every_float16_and_bfloat16)
{
    expect_all_of_16_bits(MUSTER_FLOAT16, 0x7c00);
    expect_all_of_16_bits(MUSTER_BFLOAT16, 0x7f80);
}

/* 1 and the next number, the second a little heavier than the first: the mean is beyond halfway, by less than
 * a float32 shows. */
Test(mean_kinds, is_rounded_once)
{
    static const struct {
        enum muster_dtype dtype;
        uint16_t one;
    } all[] = {{MUSTER_FLOAT16, 0x3c00}, {MUSTER_BFLOAT16, 0x3f80}};
    for (size_t i = 0; i < 2; i++) {
        const uint16_t one = all[i].one, next = (uint16_t)(one + 1);
        struct muster_mean *mean = new_mean();
        add_elements(mean, all[i].dtype, &one, 1, 1);
        add_elements(mean, all[i].dtype, &next, 1, 1 + 0x1p-30);
        cr_assert_eq(*(const uint16_t *)result(mean, 1)->data, next);
        muster_mean_free(mean);
    }
}

Test(mean_kinds, what_is_not_finite_in_16_bits)
{
    static const struct {
        enum muster_dtype dtype;
        uint16_t bits;
        const char *text;
    } bad[] = {
        {MUSTER_FLOAT16, 0x7c00, "array 0, float16 (300): element 299 is infinite"},
        {MUSTER_FLOAT16, 0xfc01, "array 0, float16 (300): element 299 is NaN"},
        {MUSTER_BFLOAT16, 0xff80, "array 0, bfloat16 (300): element 299 is infinite"},
        {MUSTER_BFLOAT16, 0x7f81, "array 0, bfloat16 (300): element 299 is NaN"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint16_t values[300] = {0x3c00};
        values[299] = bad[i].bits;
        const struct muster_array array = {bad[i].dtype, 1, {300}, values};
        struct muster_mean *mean = new_mean();
        expect_reason(mean, &array, 1, 1, MUSTER_INVALID, bad[i].text);
        muster_mean_free(mean);
    }
}

/* Two members with the weights 1 and 3, and what comes of them. */
#define EXPECT_INTEGERS(dtype, type, ...)                                                              \
    do {                                                                                               \
        static const type cases[][3] = {__VA_ARGS__};                                                  \
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {                                \
            struct muster_mean *mean = new_mean();                                                     \
            add_elements(mean, dtype, &cases[i][0], 1, 1);                                             \
            add_elements(mean, dtype, &cases[i][1], 1, 3);                                             \
            cr_assert_eq(*(const type *)result(mean, 1)->data, cases[i][2], #dtype " of case %zu", i); \
            muster_mean_free(mean);                                                                    \
        }                                                                                              \
    } while (0)

Test(mean_kinds, integers_are_rounded_to_the_nearest)
{
    EXPECT_INTEGERS(MUSTER_INT64, int64_t, {10, 20, 18}, {0, 2, 2}, {2, 4, 4}, {4, 6, 6}, {0, 1, 1},
                    {1, 0, 0}, {2, 0, 0}, {6, 0, 2}, {-10, -20, -18},
                    {1000000000001, 1000000000001, 1000000000001}, {INT64_MAX, INT64_MAX, INT64_MAX},
                    {INT64_MIN, INT64_MIN, INT64_MIN});
    EXPECT_INTEGERS(MUSTER_INT32, int32_t, {10, 20, 18}, {INT32_MAX, INT32_MAX, INT32_MAX},
                    {INT32_MIN, INT32_MIN, INT32_MIN}, {-2, 0, 0});
    EXPECT_INTEGERS(MUSTER_INT8, int8_t, {10, 20, 18}, {127, 127, 127}, {-128, -128, -128}, {-128, 127, 63});
    EXPECT_INTEGERS(MUSTER_UINT8, uint8_t, {10, 20, 18}, {255, 255, 255}, {0, 255, 191}, {255, 0, 64});
    EXPECT_INTEGERS(MUSTER_BOOL, uint8_t, {0, 1, 1}, {1, 0, 0}, {1, 1, 1}, {0, 0, 0});
}

Test(mean_kinds, bools_go_by_weight_and_a_tie_is_false)
{
    const uint8_t yes = 1, no = 0;
    struct muster_mean *mean = new_mean();
    add_elements(mean, MUSTER_BOOL, &yes, 1, 1);
    add_elements(mean, MUSTER_BOOL, &no, 1, 0.5);
    add_elements(mean, MUSTER_BOOL, &no, 1, 0.5);
    cr_assert_eq(*(const uint8_t *)result(mean, 1)->data, 0);
    add_elements(mean, MUSTER_BOOL, &yes, 1, 0.25);
    cr_assert_eq(*(const uint8_t *)result(mean, 1)->data, 1);
    muster_mean_free(mean);
}

Test(mean_kinds, no_weight_makes_the_sums_of_integers_overflow)
{
    const int64_t least = INT64_MIN;
    const struct muster_array array = {MUSTER_INT64, 0, {0}, &least};
    struct muster_mean *mean = new_mean();
    cr_assert_eq(muster_mean_add(mean, &array, 1, 1e300, NULL), MUSTER_INVALID);
    cr_assert_eq(muster_mean_add(mean, &array, 1, 1e280, NULL), MUSTER_OK);
    cr_assert_eq(*(const int64_t *)result(mean, 1)->data, INT64_MIN);
    muster_mean_free(mean);
}

/* Arrays of all sizes of elements beside each other: each result is aligned, and long ones are whole. */
Test(mean_kinds, dtypes_beside_each_other)
{
    static uint8_t bytes[777];
    static int8_t small[777];
    static uint16_t halves[777];
    static int64_t large[777];
    for (size_t i = 0; i < 777; i++) {
        bytes[i] = (uint8_t)i;
        small[i] = (int8_t)(i % 256 - 128);
        halves[i] = (uint16_t)(i * 40);
        large[i] = (int64_t)i << 40;
    }
    const struct muster_array arrays[] = {{MUSTER_UINT8, 1, {777}, bytes},
                                          {MUSTER_INT64, 1, {777}, large},
                                          {MUSTER_INT8, 1, {777}, small},
                                          {MUSTER_FLOAT16, 1, {777}, halves},
                                          {MUSTER_BFLOAT16, 1, {777}, halves}};
    struct muster_mean *mean = new_mean();
    for (unsigned i = 1; i <= 3; i++)
        cr_assert_eq(muster_mean_add(mean, arrays, 5, i, NULL), MUSTER_OK);
    const struct muster_array *means = result(mean, 5);
    for (size_t i = 0; i < 5; i++) {
        cr_assert_eq((uintptr_t)means[i].data % muster_dtype_size(means[i].dtype), 0);
        cr_assert_eq(memcmp(means[i].data, arrays[i].data, 777 * muster_dtype_size(means[i].dtype)), 0, "%zu",
                     i);
    }
    muster_mean_free(mean);
}

/* ---- messages ---- */

static const float two_zeros[2];
static const struct muster_array named_arrays[] = {{MUSTER_FLOAT32, 1, {2}, two_zeros},
                                                   {MUSTER_FLOAT32, 1, {2}, two_zeros}};

static void expect_message(struct muster_mean *mean, const struct muster_message *message, double weight,
                           enum muster_status status, const char *text)
{
    struct muster_error error = {MUSTER_OK, ""};
    cr_assert_eq(muster_mean_add_message(mean, message, weight, &error), status, "%s", error.text);
    cr_assert_str_eq(error.text, text);
}

Test(mean_kinds, a_wrong_order_is_seen_by_the_names)
{
    const char *const names[] = {"weight", "bias"}, *const turned[] = {"bias", "weight"};
    const struct muster_message model = {.arrays = named_arrays, .array_count = 2, .array_names = names};
    const struct muster_message wrong = {.arrays = named_arrays, .array_count = 2, .array_names = turned};
    const struct muster_message nameless = {.arrays = named_arrays, .array_count = 2};
    const char *text = "array 0 is named 'bias', expected 'weight'";
    struct muster_message got;
    struct muster_mean *mean = muster_mean_new_like_message(&model);
    cr_assert_not_null(mean);
    for (unsigned round = 0; round < 2; round++) {
        expect_message(mean, &wrong, 1, MUSTER_FORMAT, text);
        expect_message(mean, &nameless, 1, MUSTER_OK, "");
        expect_message(mean, &model, 1, MUSTER_OK, "");
        cr_assert_eq(muster_mean_result_message(mean, &got, NULL), MUSTER_OK);
        cr_assert_str_eq(got.array_names[1], "bias");
        muster_mean_reset(mean);
    }
    muster_mean_free(mean);
    /* The first that has names decides. */
    mean = new_mean();
    expect_message(mean, &nameless, 1, MUSTER_OK, "");
    expect_message(mean, &model, 1, MUSTER_OK, "");
    expect_message(mean, &wrong, 1, MUSTER_FORMAT, text);
    muster_mean_reset(mean);
    expect_message(mean, &wrong, 1, MUSTER_OK, "");
    muster_mean_free(mean);
}

Test(mean_kinds, scalars_are_averaged_by_name)
{
    const struct muster_scalar first[] = {{"loss", 1}, {"accuracy", 0.5}}, second[] = {{"loss", 4}};
    struct muster_message message = {
        .arrays = named_arrays, .array_count = 2, .scalars = first, .scalar_count = 2};
    struct muster_message got;
    struct muster_mean *mean = muster_mean_new_like(named_arrays, 2);
    for (unsigned round = 0; round < 2; round++) {
        message.scalars = first;
        message.scalar_count = 2;
        expect_message(mean, &message, 1, MUSTER_OK, "");
        message.scalars = second;
        message.scalar_count = 1;
        expect_message(mean, &message, 3, MUSTER_OK, "");
        cr_assert_eq(muster_mean_add(mean, named_arrays, 2, 100, NULL), MUSTER_OK);
        cr_assert_eq(muster_mean_result_message(mean, &got, NULL), MUSTER_OK);
        cr_assert_eq(got.kind, MUSTER_TRAIN);
        cr_assert_eq(got.array_count, 2);
        cr_assert_eq(got.scalar_count, 2);
        cr_assert_eq(muster_message_scalar(&got, "loss", -1), 3.25);
        cr_assert_eq(muster_message_scalar(&got, "accuracy", -1), 0.5);
        muster_mean_reset(mean);
    }
    muster_mean_free(mean);
}

Test(mean_kinds, scalars_without_arrays)
{
    const struct muster_scalar scalar = {"accuracy", 0.25};
    const struct muster_message message = {.kind = MUSTER_EVALUATE, .scalars = &scalar, .scalar_count = 1};
    const struct muster_message more = {
        .arrays = named_arrays, .array_count = 1, .scalars = &scalar, .scalar_count = 1};
    struct muster_message got;
    struct muster_mean *mean = new_mean();
    expect_message(mean, &message, 2, MUSTER_OK, "");
    expect_message(mean, &message, 1, MUSTER_OK, "");
    expect_message(mean, &more, 1, MUSTER_FORMAT, "1 arrays instead of 0");
    cr_assert_eq(muster_mean_result_message(mean, &got, NULL), MUSTER_OK);
    cr_assert_eq(got.array_count, 0);
    cr_assert_eq(muster_message_scalar(&got, "accuracy", -1), 0.25);
    muster_mean_free(mean);
    mean = muster_mean_new_like(named_arrays, 1);
    expect_message(mean, &message, 1, MUSTER_FORMAT, "0 arrays instead of 1");
    muster_mean_free(mean);
}

Test(mean_kinds, bad_scalars_leave_no_trace)
{
    struct muster_scalar scalars[] = {{"loss", 1}, {"new", 2}};
    struct muster_message message = {.scalars = scalars, .scalar_count = 1};
    struct muster_message got;
    struct muster_mean *mean = new_mean();
    expect_message(mean, &message, 1, MUSTER_OK, "");
    message.scalar_count = 2;
    scalars[0].value = (double)NAN;
    expect_message(mean, &message, 1, MUSTER_INVALID, "the scalar 'loss' is NaN");
    scalars[0].value = (double)-INFINITY;
    expect_message(mean, &message, 1, MUSTER_INVALID, "the scalar 'loss' is infinite");
    scalars[0].value = 1e300;
    expect_message(mean, &message, 1e10, MUSTER_INVALID,
                   "with a weight of 1e+10 the sum of the scalar 'loss' overflows");
    scalars[0].name = "new";
    expect_message(mean, &message, 1, MUSTER_INVALID, "the scalar 'new' is there twice");
    cr_assert_eq(muster_mean_result_message(mean, &got, NULL), MUSTER_OK);
    cr_assert_eq(got.scalar_count, 1);
    cr_assert_eq(muster_message_scalar(&got, "loss", -1), 1);
    muster_mean_free(mean);
}

Test(mean_kinds, as_many_scalars_as_there_may_be)
{
    struct muster_scalar scalars[MUSTER_MEAN_SCALARS_MAX + 1];
    char names[MUSTER_MEAN_SCALARS_MAX + 1][8];
    for (size_t i = 0; i <= MUSTER_MEAN_SCALARS_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "%zu", i);
        scalars[i] = (struct muster_scalar){names[i], (double)i};
    }
    struct muster_message message = {.scalars = scalars, .scalar_count = MUSTER_MEAN_SCALARS_MAX + 1};
    struct muster_mean *mean = new_mean();
    expect_message(mean, &message, 1, MUSTER_INVALID, "the mean would have more than 256 scalars");
    message.scalar_count--;
    expect_message(mean, &message, 1, MUSTER_OK, "");
    expect_message(mean, &message, 1, MUSTER_OK, "");
    message.scalars = scalars + 1;
    expect_message(mean, &message, 1, MUSTER_INVALID, "the mean would have more than 256 scalars");
    muster_mean_free(mean);
}
