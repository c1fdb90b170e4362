/* Scalars and values, read by name as the kind that is asked for. */
#include <config.h>

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

#include <muster/message.h>

static const struct muster_scalar scalars[] = {
    {"lr", 0.5},        {"epochs", 20},       {"on", 1}, {"off", -0.0}, {"big", 0x1p63},
    {"small", -0x1p63}, {"nan", (double)NAN},
};
static const struct muster_value values[] = {
    {.name = "steps", .kind = MUSTER_VALUE_INTEGER, .integer = INT64_MAX},
    {.name = "one", .kind = MUSTER_VALUE_INTEGER, .integer = 1},
    {.name = "freeze", .kind = MUSTER_VALUE_BOOL, .boolean = true},
    {.name = "optimizer", .kind = MUSTER_VALUE_TEXT, .text = "sgd"},
    {.name = "mask", .kind = MUSTER_VALUE_BYTES, .bytes = "\0\1", .size = 2},
    {.name = "nothing", .kind = MUSTER_VALUE_BYTES},
};
static const struct muster_message message = {.kind = MUSTER_TRAIN,
                                              .scalars = scalars,
                                              .scalar_count = sizeof(scalars) / sizeof(scalars[0]),
                                              .values = values,
                                              .value_count = sizeof(values) / sizeof(values[0])};

Test(values, as_doubles)
{
    cr_assert_eq(muster_message_scalar(&message, "lr", -1), 0.5);
    cr_assert_eq(muster_message_scalar(&message, "one", -1), 1);
    cr_assert_eq(muster_message_scalar(&message, "steps", -1), 0x1p63);
    cr_assert_eq(muster_message_scalar(&message, "freeze", -1), 1);
    cr_assert_eq(muster_message_scalar(&message, "optimizer", -1), -1);
    cr_assert_eq(muster_message_scalar(&message, "mask", -1), -1);
    cr_assert_eq(muster_message_scalar(&message, "none", -1), -1);
}

Test(values, as_integers)
{
    cr_assert_eq(muster_message_integer(&message, "steps", -1), INT64_MAX);
    cr_assert_eq(muster_message_integer(&message, "epochs", -1), 20);
    cr_assert_eq(muster_message_integer(&message, "small", -1), INT64_MIN);
    cr_assert_eq(muster_message_integer(&message, "freeze", -1), 1);
    cr_assert_eq(muster_message_integer(&message, "lr", -1), -1);
    cr_assert_eq(muster_message_integer(&message, "big", -1), -1);
    cr_assert_eq(muster_message_integer(&message, "nan", -1), -1);
    cr_assert_eq(muster_message_integer(&message, "optimizer", -1), -1);
    cr_assert_eq(muster_message_integer(&message, "none", -1), -1);
}

Test(values, as_bools)
{
    for (int otherwise = 0; otherwise <= 1; otherwise++) {
        cr_assert_eq(muster_message_bool(&message, "freeze", otherwise), true);
        cr_assert_eq(muster_message_bool(&message, "one", otherwise), true);
        cr_assert_eq(muster_message_bool(&message, "on", otherwise), true);
        cr_assert_eq(muster_message_bool(&message, "off", otherwise), false);
        cr_assert_eq(muster_message_bool(&message, "epochs", otherwise), otherwise);
        cr_assert_eq(muster_message_bool(&message, "lr", otherwise), otherwise);
        cr_assert_eq(muster_message_bool(&message, "optimizer", otherwise), otherwise);
        cr_assert_eq(muster_message_bool(&message, "none", otherwise), otherwise);
    }
}

Test(values, as_texts_and_bytes)
{
    size_t size = 77;
    cr_assert_str_eq(muster_message_text(&message, "optimizer", "adam"), "sgd");
    cr_assert_str_eq(muster_message_text(&message, "mask", "adam"), "adam");
    cr_assert_str_eq(muster_message_text(&message, "lr", "adam"), "adam");
    cr_assert_null(muster_message_text(&message, "none", NULL));
    cr_assert_eq(memcmp(muster_message_bytes(&message, "mask", &size), "\0\1", 2), 0);
    cr_assert_eq(size, 2);
    cr_assert_not_null(muster_message_bytes(&message, "nothing", &size));
    cr_assert_eq(size, 0);
    size = 77;
    cr_assert_null(muster_message_bytes(&message, "optimizer", &size));
    cr_assert_eq(size, 0);
}
