/* Arrays: whether a message has those that were expected, and what is said where it has not. */
#include <config.h>

#include <criterion/criterion.h>

#include <string.h>

#include <muster/message.h>

#include "wire/array.h"

static const char *const names[] = {"fc.weight", "fc.bias"};
static const struct muster_array arrays[] = {{MUSTER_FLOAT32, 2, {2, 3}, NULL},
                                             {MUSTER_FLOAT16, 1, {3}, NULL}};
static const struct muster_message model = {.arrays = arrays, .array_count = 2, .array_names = names};

static void expect_match(const struct muster_message *message, const char *text)
{
    struct muster_error error = {MUSTER_OK, ""};
    enum muster_status status = *text ? MUSTER_FORMAT : MUSTER_OK;
    cr_assert_eq(muster_arrays_match(message, &model, &error), status, "%s", text);
    cr_assert_eq(error.status, status);
    cr_assert_str_eq(error.text, text);
    cr_assert_eq(muster_arrays_match(message, &model, NULL), status);
}

Test(array, as_many_of_the_same_kinds)
{
    struct muster_array other[3] = {arrays[0], arrays[1], arrays[1]};
    struct muster_message message = {.arrays = other, .array_count = 2};
    expect_match(&message, "");
    message.array_count = 3;
    expect_match(&message, "3 arrays instead of 2");
    message.array_count = 0;
    expect_match(&message, "0 arrays instead of 2");
    message.array_count = 2;
    other[1].dtype = MUSTER_BFLOAT16;
    expect_match(&message, "array 1 is bfloat16 (3), expected float16 (3)");
    other[0].shape[1] = 2;
    expect_match(&message, "array 0 is float32 (2, 2), expected float32 (2, 3)");
    other[0].dimensions = 0;
    expect_match(&message, "array 0 is float32 (), expected float32 (2, 3)");
    other[0].dimensions = 3;
    expect_match(&message, "array 0 is float32 (2, 2, 0), expected float32 (2, 3)");
    other[0] = arrays[0];
    other[1].dtype = (enum muster_dtype)99;
    expect_match(&message, "array 1 is unknown (3), expected float16 (3)");
}

Test(array, names_are_compared_where_both_have_them)
{
    const char *turned[] = {"fc.bias", "fc.weight"};
    struct muster_message message = model;
    expect_match(&message, "");
    message.array_names = turned;
    expect_match(&message, "array 0 is named 'fc.bias', expected 'fc.weight'");
    turned[0] = "fc.weight";
    expect_match(&message, "array 1 is named 'fc.weight', expected 'fc.bias'");
    turned[1] = "\033[31mfc.bias";
    expect_match(&message, "array 1 is named '?[31mfc.bias', expected 'fc.bias'");
    message.array_names = NULL;
    expect_match(&message, "");
}

/* What makes no sense is told, too, and nothing beyond the shape is read. */
Test(array, more_dimensions_than_there_are)
{
    struct muster_array deep = {MUSTER_FLOAT32, MUSTER_DIMENSIONS_MAX + 1, {1, 1, 1, 1, 1, 1, 1, 1}, NULL};
    const struct muster_message message = {.arrays = &deep, .array_count = 1};
    cr_assert_eq(muster_arrays_match(&message, &message, NULL), MUSTER_FORMAT);
}

Test(array, every_dtype_has_a_size_and_a_name)
{
    static const struct {
        enum muster_dtype dtype;
        size_t size;
        const char *name;
    } all[] = {
        {MUSTER_FLOAT32, 4, "float32"}, {MUSTER_FLOAT64, 8, "float64"}, {MUSTER_INT32, 4, "int32"},
        {MUSTER_INT64, 8, "int64"},     {MUSTER_FLOAT16, 2, "float16"}, {MUSTER_BFLOAT16, 2, "bfloat16"},
        {MUSTER_UINT8, 1, "uint8"},     {MUSTER_INT8, 1, "int8"},       {MUSTER_BOOL, 1, "bool"},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        cr_assert_eq(muster_dtype_size(all[i].dtype), all[i].size);
        cr_assert_str_eq(muster_dtype_name(all[i].dtype), all[i].name);
    }
    cr_assert_eq(muster_dtype_size((enum muster_dtype)0), 0);
    cr_assert_eq(muster_dtype_size((enum muster_dtype)(DTYPE_LAST + 1)), 0);
    cr_assert_str_eq(muster_dtype_name((enum muster_dtype)0), "unknown");
}
