/* The messages of the codec's tests, and how they are written and read. */
#include <config.h>

#include <criterion/criterion.h>

#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "unit/codec.h"

const float floats[6] = {1, -2, 3.5F, 0, FLT_MIN, FLT_MAX};
const double one_double = -0.1;
const struct muster_array arrays[3] = {
    {.dtype = MUSTER_FLOAT32, .dimensions = 2, .shape = {2, 3}, .data = floats},
    {.dtype = MUSTER_FLOAT64, .data = &one_double},
    {.dtype = MUSTER_INT32, .dimensions = 3, .shape = {4, 0, 2}},
};
const struct muster_scalar scalars[3] = {{"lr", 0.01}, {"epochs", 20}, {"mu", -0.0}};
const struct muster_message train = {
    .kind = MUSTER_TRAIN, .arrays = arrays, .array_count = 3, .scalars = scalars, .scalar_count = 3};

struct buffer *encoded(enum direction direction, const struct muster_message *message)
{
    struct buffer *body;
    cr_assert_eq(
        muster__encode(direction, message, &(struct encoding){.max_message_size = SIZE_MAX}, &body, NULL),
        MUSTER_OK);
    return body;
}

uint8_t *copy_of(const void *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    cr_assert_not_null(copy);
    if (size)
        memcpy(copy, bytes, size);
    return copy;
}

enum muster_status decode(enum direction direction, const void *bytes, size_t size, struct envelope *envelope,
                          struct muster_error *error)
{
    uint8_t *copy = copy_of(bytes, size);
    enum muster_status status = muster__decode(direction, &(struct piece){copy, size}, 1, envelope, error);
    free(copy); /* what was decoded does not point there */
    return status;
}

struct envelope decoded(enum direction direction, const void *bytes, size_t size)
{
    struct envelope envelope;
    struct muster_error error;
    cr_assert_eq(decode(direction, bytes, size, &envelope, &error), MUSTER_OK, "%s", error.text);
    return envelope;
}

struct envelope through(enum direction direction, const struct muster_message *message)
{
    struct buffer *body = encoded(direction, message);
    struct envelope envelope = decoded(direction, body ? body->data : NULL, body ? body->size : 0);
    muster__buffer_release(body);
    return envelope;
}

void expect_status(enum direction direction, const void *bytes, size_t size, enum muster_status status,
                   const char *text)
{
    struct envelope envelope;
    struct muster_error error = {MUSTER_OK, ""};
    cr_assert_eq(decode(direction, bytes, size, &envelope, &error), status);
    cr_assert_eq(error.status, status);
    cr_assert(strstr(error.text, text) != NULL, "expected '%s', got '%s'", text, error.text);
    cr_assert_null(envelope.message.storage);
    cr_assert_null(envelope.unpacked);
    cr_assert_eq(decode(direction, bytes, size, &envelope, NULL), status);
}

void expect_refused(enum direction direction, const void *bytes, size_t size, const char *text)
{
    expect_status(direction, bytes, size, MUSTER_PROTOCOL, text);
}

void expect_bad(const char *bytes, size_t size)
{
    expect_refused(TO_SERVER, bytes, size, "the bytes are no message");
    expect_refused(TO_PARTICIPANT, bytes, size, "the bytes are no message");
}

const struct muster_value settings_values[VALUE_COUNT] = {
    {.name = "seed", .kind = MUSTER_VALUE_INTEGER, .integer = INT64_MIN},
    {.name = "steps", .kind = MUSTER_VALUE_INTEGER, .integer = (INT64_C(1) << 53) + 1},
    {.name = "freeze", .kind = MUSTER_VALUE_BOOL, .boolean = true},
    {.name = "augment", .kind = MUSTER_VALUE_BOOL, .boolean = false},
    {.name = "optimizer", .kind = MUSTER_VALUE_TEXT, .text = "b\xc3\xa4r"},
    {.name = "note", .kind = MUSTER_VALUE_TEXT, .text = ""},
    {.name = "mask", .kind = MUSTER_VALUE_BYTES, .bytes = "\0\xff", .size = 2},
    {.name = "", .kind = MUSTER_VALUE_BYTES},
};
const char *const names[3] = {"weight", "bias", "mask"};
const struct muster_message settings = {.kind = MUSTER_TRAIN,
                                        .arrays = arrays,
                                        .array_count = 3,
                                        .array_names = names,
                                        .scalars = scalars,
                                        .scalar_count = 2,
                                        .values = settings_values,
                                        .value_count = VALUE_COUNT};
