/* The codec: what nobody should write is refused, by who would write it and by who reads it. */
#include <config.h>

#include <criterion/criterion.h>

#include <float.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/random.h>

#include "unit/codec.h"
#include "wire/reader.h"
#include "wire/wire.h"

/* ---- what cannot be written ---- */

static void expect_refusal(enum direction direction, const struct muster_message *message, const char *why)
{
    struct buffer *body = (struct buffer *)&body;
    struct muster_error error;
    cr_assert_eq(
        muster__encode(direction, message, &(struct encoding){.max_message_size = SIZE_MAX}, &body, &error),
        MUSTER_INVALID);
    cr_assert_null(body);
    cr_assert_not_null(strstr(error.text, why), "%s", error.text);
}

static void expect_unwritable(enum direction direction, const struct muster_message *message)
{
    expect_refusal(direction, message, "");
}

Test(codec_refused, kinds_that_go_the_other_way)
{
    const enum muster_kind upwards[] = {MUSTER_EMPTY, MUSTER_FAILURE, MUSTER_UNKNOWN};
    for (size_t i = 0; i < 3; i++)
        expect_refusal(TO_PARTICIPANT, &(struct muster_message){.kind = upwards[i]},
                       "an instruction is MUSTER_TRAIN, MUSTER_EVALUATE or MUSTER_APPLICATION");
    expect_refusal(TO_SERVER, &(struct muster_message){.kind = MUSTER_RECONNECT}, "and not kind 6");
    expect_refusal(TO_SERVER, &(struct muster_message){.kind = (enum muster_kind)99}, "and not kind 99");
    expect_refusal(TO_PARTICIPANT, &(struct muster_message){.kind = (enum muster_kind)99}, "and not kind 99");
}

Test(codec_refused, messages_that_make_no_sense)
{
    const struct muster_array no_data = {.dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {2}};
    const struct muster_array no_dtype = {.data = floats};
    const struct muster_array deep = {.dtype = MUSTER_FLOAT32, .dimensions = 9, .data = floats};
    const struct muster_array huge = {
        .dtype = MUSTER_FLOAT64, .dimensions = 2, .shape = {UINT64_MAX / 2, 16}, .data = floats};
    const struct muster_scalar nameless = {NULL, 1};
    const uint8_t two = 2;
    const struct muster_array no_bool = {.dtype = MUSTER_BOOL, .data = &two};
    const char *const hole[] = {"a", NULL, "c"}, *const latin[] = {"a", "caf\xe9", "c"};
    const struct {
        struct muster_value value;
        const char *why;
    } bad_values[] = {
        {{.kind = MUSTER_VALUE_BOOL}, "no name"},
        {{.name = "caf\xe9", .kind = MUSTER_VALUE_BOOL}, "no name"},
        {{.name = "a"}, "the value 'a': its kind is not one of enum muster_value_kind"},
        {{.name = "a", .kind = (enum muster_value_kind)5}, "its kind"},
        {{.name = "a", .kind = MUSTER_VALUE_TEXT}, "its text is NULL, or not UTF-8"},
        {{.name = "a", .kind = MUSTER_VALUE_TEXT, .text = "caf\xe9"}, "its text is NULL, or not UTF-8"},
        {{.name = "a", .kind = MUSTER_VALUE_BYTES, .size = 1}, "its bytes are NULL"},
    };
    for (size_t i = 0; i < sizeof(bad_values) / sizeof(bad_values[0]); i++)
        expect_refusal(
            TO_SERVER,
            &(struct muster_message){.kind = MUSTER_TRAIN, .values = &bad_values[i].value, .value_count = 1},
            bad_values[i].why);
    const struct {
        struct muster_message message;
        const char *why;
    } bad[] = {
        {{.kind = MUSTER_TRAIN, .value_count = 1}, "the message has 1 values, and its list of them is NULL"},
        {{.kind = MUSTER_TRAIN, .values = settings_values, .value_count = WIRE_FIELDS_MAX},
         "too many fields"},
        {{.kind = MUSTER_TRAIN, .values = settings_values, .value_count = WIRE_FIELDS_MAX + 1},
         "values: that is too many"},
        {{.kind = MUSTER_TRAIN, .arrays = &no_bool, .array_count = 1}, "array 0: a bool"},
        {{.kind = MUSTER_TRAIN, .arrays = arrays, .array_count = 3, .array_names = hole},
         "array 1 has no name"},
        {{.kind = MUSTER_TRAIN, .arrays = arrays, .array_count = 3, .array_names = latin},
         "array 1 has no name"},
        {{.kind = MUSTER_TRAIN, .reserved = {&two}}, "reserved"},
        {{.kind = MUSTER_TRAIN, .array_count = 1}, "the message has 1 arrays"},
        {{.kind = MUSTER_TRAIN, .scalar_count = 1}, "the message has 1 scalars"},
        {{.kind = MUSTER_TRAIN, .arrays = &no_data, .array_count = 1}, "array 0: its data is NULL"},
        {{.kind = MUSTER_TRAIN, .arrays = &no_dtype, .array_count = 1}, "array 0: its dtype"},
        {{.kind = MUSTER_TRAIN, .arrays = &deep, .array_count = 1}, "more than 8 dimensions"},
        {{.kind = MUSTER_TRAIN, .arrays = &huge, .array_count = 1}, "its shape does not fit in memory"},
        {{.kind = MUSTER_TRAIN, .scalars = &nameless, .scalar_count = 1}, "scalar 0 has no name"},
        {{.kind = MUSTER_APPLICATION, .size = 1}, "the message's data is NULL, and its size is 1"},
        {{.kind = MUSTER_APPLICATION, .data = floats, .size = SIZE_MAX - 8}, "size does not fit in memory"},
        {{.kind = MUSTER_TRAIN, .arrays = arrays, .array_count = WIRE_FIELDS_MAX}, "too many fields"},
        {{.kind = MUSTER_TRAIN, .scalars = scalars, .scalar_count = WIRE_FIELDS_MAX}, "too many fields"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        expect_refusal(TO_PARTICIPANT, &bad[i].message, bad[i].why);
}

/* Each may be half of what an address space holds: together they are more. */
Test(codec_refused, arrays_that_are_too_big_together)
{
    const struct muster_array half = {
        .dtype = MUSTER_FLOAT64, .dimensions = 1, .shape = {SIZE_MAX / 32}, .data = floats};
    const struct muster_array several[] = {half, half, half, half, half};
    expect_refusal(TO_SERVER,
                   &(struct muster_message){.kind = MUSTER_TRAIN, .arrays = several, .array_count = 5},
                   "its size does not fit in memory");
    struct buffer *body;
    cr_assert_eq(
        muster__encode(TO_SERVER,
                       &(struct muster_message){.kind = MUSTER_TRAIN, .arrays = several, .array_count = 1},
                       &(struct encoding){.max_message_size = (size_t)128 << 20}, &body, NULL),
        MUSTER_TOO_BIG);
}

Test(codec_refused, limit_counts_the_turn)
{
    struct buffer *body = encoded(TO_SERVER, &train);
    size_t size = body->size;
    muster__buffer_release(body);
    cr_assert_eq(muster__encode(TO_SERVER, &train,
                                &(struct encoding){.max_message_size = size + STREAM_HEAD_MAX}, &body, NULL),
                 MUSTER_OK);
    muster__buffer_release(body);
    cr_assert_eq(muster__encode(TO_SERVER, &train,
                                &(struct encoding){.max_message_size = size + STREAM_HEAD_MAX - 1}, &body,
                                NULL),
                 MUSTER_TOO_BIG);
    cr_assert_null(body);
    cr_assert_eq(muster__encode(TO_SERVER, &train, &(struct encoding){.max_message_size = 3}, &body, NULL),
                 MUSTER_TOO_BIG);
}

static char *made_name(size_t i)
{
    char *name = malloc(24);
    cr_assert_not_null(name);
    snprintf(name, 24, "%zu", i);
    return name;
}

/* What may be written may be read, and nothing more may be written. */
/* Where a size_t has 32 bits, these bytes add up to a few of them. */
Test(codec_refused, values_that_share_more_than_four_gibibytes)
{
    enum { SHARED = 1 << 20, COUNT = 4096 };
    struct muster_value *values = calloc(COUNT, sizeof(*values));
    char(*shown)[8] = calloc(COUNT, sizeof(*shown));
    uint8_t *bytes = calloc(1, SHARED);
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(shown[i], sizeof(*shown), "%zu", i);
        values[i] = (struct muster_value){
            .name = shown[i], .kind = MUSTER_VALUE_BYTES, .bytes = bytes, .size = SHARED};
    }
    const struct muster_message message = {.kind = MUSTER_TRAIN, .values = values, .value_count = COUNT};
    const struct encoding encoding = {.max_message_size = INT32_MAX};
    struct buffer *body = NULL;
    struct muster_error error;
    cr_assert_eq(muster__encode(TO_SERVER, &message, &encoding, &body, &error), MUSTER_TOO_BIG);
    cr_assert_null(body);
    cr_assert_not_null(strstr(error.text, "the message has 429"), "%s", error.text);
    free(bytes);
    free(shown);
    free(values);
}

static void expect_most(size_t array_count, size_t scalar_count, bool fits)
{
    struct muster_array *many_arrays = calloc(array_count + 1, sizeof(*many_arrays));
    struct muster_scalar *many_scalars = calloc(scalar_count + 1, sizeof(*many_scalars));
    for (size_t i = 0; i < array_count; i++)
        many_arrays[i] = (struct muster_array){.dtype = MUSTER_INT32, .dimensions = 1};
    for (size_t i = 0; i < scalar_count; i++)
        many_scalars[i] = (struct muster_scalar){made_name(i), (double)i};
    const struct muster_message message = {.kind = MUSTER_TRAIN,
                                           .arrays = many_arrays,
                                           .array_count = array_count,
                                           .scalars = many_scalars,
                                           .scalar_count = scalar_count};
    if (fits) {
        struct buffer *body = encoded(TO_SERVER, &message);
        struct buffer *whole = muster__buffer_new(2 + body->size);
        memcpy(whole->data, "\x10\x01", 2);
        memcpy(whole->data + 2, body->data, body->size);
        struct envelope envelope = decoded(TO_SERVER, whole->data, whole->size);
        cr_assert_eq(envelope.message.array_count, array_count);
        cr_assert_eq(envelope.message.scalar_count, scalar_count);
        muster__envelope_clear(&envelope);
        muster__buffer_release(whole);
        muster__buffer_release(body);
    } else {
        expect_unwritable(TO_SERVER, &message);
    }
    for (size_t i = 0; i < scalar_count; i++)
        free((char *)(uintptr_t)many_scalars[i].name);
    free(many_arrays);
    free(many_scalars);
}

Test(codec_refused, as_many_arrays_and_scalars_as_can_be_read)
{
    enum { ARRAYS = (WIRE_FIELDS_MAX - 2) / 2, SCALARS = (WIRE_FIELDS_MAX - 2) / 3 };
    expect_most(ARRAYS, 0, true);
    expect_most(ARRAYS + 1, 0, false);
    expect_most(0, SCALARS, true);
    expect_most(0, SCALARS + 1, false);
    expect_most(ARRAYS / 2, SCALARS / 2, true);
    expect_most(ARRAYS / 2, SCALARS / 2 + 2, false);
}

/* The same with names, of bfloat16, and with values. */
Test(codec_refused, as_many_names_and_values_as_can_be_read)
{
    enum { ARRAYS = (WIRE_FIELDS_MAX - 2) / 4, VALUES = (WIRE_FIELDS_MAX - 2) / 4 };
    struct muster_array *many_arrays = calloc(ARRAYS + 1, sizeof(*many_arrays));
    const char **many_names = calloc(ARRAYS + 1, sizeof(*many_names));
    struct muster_value *many_values = calloc(VALUES + 1, sizeof(*many_values));
    for (size_t i = 0; i <= ARRAYS; i++) {
        many_arrays[i] = (struct muster_array){.dtype = MUSTER_BFLOAT16, .dimensions = 1};
        many_names[i] = made_name(i);
        many_values[i] =
            (struct muster_value){.name = many_names[i], .kind = MUSTER_VALUE_INTEGER, .integer = (int64_t)i};
    }
    struct muster_message message = {
        .kind = MUSTER_TRAIN, .arrays = many_arrays, .array_count = ARRAYS, .array_names = many_names};
    struct envelope envelope = through(TO_SERVER, &message);
    cr_assert_str_eq(envelope.message.array_names[ARRAYS - 1], many_names[ARRAYS - 1]);
    muster__envelope_clear(&envelope);
    message.array_count = ARRAYS + 1;
    expect_unwritable(TO_SERVER, &message);
    message = (struct muster_message){.kind = MUSTER_TRAIN, .values = many_values, .value_count = VALUES};
    envelope = through(TO_SERVER, &message);
    cr_assert_eq(muster_message_integer(&envelope.message, many_names[VALUES - 1], -1), VALUES - 1);
    muster__envelope_clear(&envelope);
    message.value_count = VALUES + 1;
    expect_unwritable(TO_SERVER, &message);
    for (size_t i = 0; i <= ARRAYS; i++)
        free((char *)(uintptr_t)many_names[i]);
    free(many_arrays);
    free(many_names);
    free(many_values);
}

/* ---- what cannot be read ---- */

Test(codec_refused, malformed)
{
    EXPECT_BAD("\x80");                                             /* a tag that goes on */
    EXPECT_BAD("\x00\x00");                                         /* field 0 */
    EXPECT_BAD("\x08");                                             /* a varint that is not there */
    EXPECT_BAD("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"); /* a varint of eleven bytes */
    EXPECT_BAD("\x09\x01\x02\x03");                                 /* a fixed64 of three bytes */
    EXPECT_BAD("\x0d\x01");                                         /* a fixed32 of one */
    EXPECT_BAD("\x0a\x05xxxx");                                     /* bytes that are fewer than announced */
    EXPECT_BAD("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");     /* and far fewer */
    EXPECT_BAD("\xeb\x04");                                         /* a group of 77 */
    EXPECT_BAD("\xec\x04");                                         /* its end */
    EXPECT_BAD("\x0e");                                             /* wire types that there are not */
    EXPECT_BAD("\x0f");
    EXPECT_BAD("\xff\xff\xff\xff\xff\x01\x01"); /* a field beyond the last */
}

Test(codec_refused, malformed_inside)
{
    expect_refused(TO_SERVER, "\x0a\x02\x0a\x05", 4,
                   "the bytes are no message"); /* result { theta: short } */
    expect_refused(TO_SERVER, "\x1a\x03\x32\x01\x80", 5, "the bytes are no message");  /* hello { labels } */
    expect_refused(TO_PARTICIPANT, "\x22\x02\x1a\x09", 4, "the bytes are no message"); /* welcome { name } */
}

Test(codec_refused, fields_of_another_type)
{
    expect_refused(TO_SERVER, "\x08\x01", 2, "");          /* result as a number */
    expect_refused(TO_SERVER, "\x12\x00", 2, "");          /* turn as bytes */
    expect_refused(TO_SERVER, "\x3a\x02\x08\x01", 4, "");  /* progress { fraction as a varint } */
    expect_refused(TO_PARTICIPANT, "\x0a\x01\x05", 3, ""); /* reconnect_in as bytes */
}

/* A report with `count` numbers, of which the last has a name of `size` bytes, all of them `fill`. */
static struct buffer *report_of(size_t count, size_t size, char fill)
{
    static const char few[][2] = {"a", "b", "c", "d", "e", "f", "g", "h", "i",
                                  "j", "k", "l", "m", "n", "o", "p", "q"};
    static char last[5000];
    struct muster_scalar numbers[17];
    for (size_t i = 0; i < count; i++)
        numbers[i] = (struct muster_scalar){few[i], 1};
    memset(last, fill, size);
    last[size] = '\0';
    numbers[count - 1].name = last;
    return muster__encode_progress(0,
                                   &(const struct muster_message){.scalars = numbers, .scalar_count = count});
}

static void expect_report(size_t count, size_t size, char fill, enum muster_status status, const char *text)
{
    struct buffer *body = report_of(count, size, fill);
    if (status == MUSTER_OK) {
        struct envelope envelope = decoded(TO_SERVER, body->data, body->size);
        cr_assert_eq(envelope.message.scalar_count, count);
        muster__envelope_clear(&envelope);
    } else {
        expect_status(TO_SERVER, body->data, body->size, status, text);
    }
    muster__buffer_release(body);
}

Test(codec_refused, reports_with_too_much)
{
    expect_report(16, 64, 'x', MUSTER_OK, "");
    expect_report(17, 64, 'x', MUSTER_PROTOCOL, "at most 16 numbers, not 17");
    expect_report(16, 65, 'x', MUSTER_PROTOCOL, "longer than 64 bytes");
    expect_report(1, 4999, 'x', MUSTER_PROTOCOL, "bigger than 4096 bytes");
    expect_report(2, 1, 'a', MUSTER_INVALID, "the scalar 'a' is there twice");
    expect_report(2, 1, '\xff', MUSTER_INVALID, "not UTF-8");
    expect_refused(TO_SERVER, "\x3a\x02\x10\x01", 4, ""); /* progress { scalars as a varint } */
    expect_refused(TO_SERVER, "\x3a\x04\x12\x02\x10\x01", 6,
                   ""); /* progress { scalars { value as a varint } } */
}

Test(codec_refused, arrays_that_are_none)
{
    expect_refused(TO_SERVER, "\x0a\x02\x0a\x00", 4, "array 0: "); /* result { theta {} } */
    expect_refused(TO_SERVER, "\x0a\x05\x0a\x03\x0a\x01x", 7, "array 0: ");
    expect_refused(TO_PARTICIPANT, "\x12\x05\x0a\x03\x0a\x01x", 7, "array 0: ");
    struct buffer *body = encoded(TO_SERVER, &train);
    uint8_t *bytes = copy_of(body->data, body->size);
    for (size_t i = 0; i + 4 < body->size; i++) {
        if (memcmp(bytes + i, "'<f8", 4) == 0)
            bytes[i + 3] = '9';
    }
    expect_refused(TO_SERVER, bytes, body->size, "array 1: ");
    free(bytes);
    muster__buffer_release(body);
}

/* ---- how many fields ---- */

static uint8_t *many_turns(size_t count, size_t *size)
{
    uint8_t *bytes = malloc(2 * count);
    cr_assert_not_null(bytes);
    for (size_t i = 0; i < count; i++) {
        bytes[2 * i] = 0x10;
        bytes[2 * i + 1] = 0x01;
    }
    *size = 2 * count;
    return bytes;
}

Test(codec_refused, as_many_fields_as_there_may_be)
{
    size_t size;
    uint8_t *bytes = many_turns(WIRE_FIELDS_MAX, &size);
    struct envelope envelope = decoded(TO_SERVER, bytes, size);
    muster__envelope_clear(&envelope);
    free(bytes);
}

Test(codec_refused, one_field_more)
{
    size_t size;
    uint8_t *bytes = many_turns(WIRE_FIELDS_MAX + 1, &size);
    expect_refused(TO_SERVER, bytes, size, "more than 65536 fields");
    free(bytes);
}

/* result { theta {} theta {} ... }: two bytes each that would cost tens. */
static uint8_t *many_nested(size_t count, size_t *size)
{
    uint8_t *bytes = calloc(1, 4 + 2 * count);
    cr_assert_not_null(bytes);
    size_t inside = 2 * count;
    bytes[0] = 0x0a;
    bytes[1] = (uint8_t)(0x80 | (inside & 0x7f));
    bytes[2] = (uint8_t)(0x80 | (inside >> 7 & 0x7f));
    bytes[3] = (uint8_t)(inside >> 14);
    for (size_t i = 0; i < count; i++)
        bytes[4 + 2 * i] = 0x12; /* scalars */
    *size = 4 + inside;
    return bytes;
}

Test(codec_refused, nested_fields_count)
{
    size_t size;
    uint8_t *bytes = many_nested(WIRE_FIELDS_MAX - 1, &size);
    expect_status(TO_SERVER, bytes, size, MUSTER_INVALID, "there twice"); /* not too many: all have no name */
    free(bytes);
    bytes = many_nested(WIRE_FIELDS_MAX, &size);
    expect_refused(TO_SERVER, bytes, size, "more than 65536 fields");
    free(bytes);
}

/* ---- strings ---- */

Test(codec_refused, strings_that_are_not_utf8_are_not_written)
{
    static const char bad[] = "caf\xe9";
    const struct muster_scalar scalar = {bad, 1};
    expect_unwritable(TO_SERVER,
                      &(struct muster_message){.kind = MUSTER_TRAIN, .scalars = &scalar, .scalar_count = 1});
    expect_unwritable(TO_PARTICIPANT, &(struct muster_message){.kind = MUSTER_APPLICATION, .type = bad});
    expect_unwritable(TO_SERVER, &(struct muster_message){.kind = MUSTER_FAILURE, .text = bad});
}

#define EXPECT_BAD_STRING(direction, bytes, what) \
    expect_status(direction, bytes, sizeof(bytes) - 1, MUSTER_INVALID, what " is not UTF-8")

Test(codec_refused, strings_that_are_not_utf8_are_not_read)
{
    /* Arrays { Scalar { name } }, of each of the messages that have them. */
    EXPECT_BAD_STRING(TO_SERVER, "\x0a\x05\x12\x03\x0a\x01\xe9", "a scalar's name");
    EXPECT_BAD_STRING(TO_SERVER, "\x22\x05\x12\x03\x0a\x01\x00", "a scalar's name");
    EXPECT_BAD_STRING(TO_PARTICIPANT, "\x12\x05\x12\x03\x0a\x01\xe9", "a scalar's name");
    EXPECT_BAD_STRING(TO_PARTICIPANT, "\x2a\x05\x12\x03\x0a\x01\xe9", "a scalar's name");
    /* Of two names of one scalar, too. */
    EXPECT_BAD_STRING(TO_SERVER, "\x0a\x08\x12\x06\x0a\x01\xe9\x0a\x01x", "a scalar's name");
    /* Arrays { names }, and Value { name } and { text }; its bytes are any. */
    EXPECT_BAD_STRING(TO_SERVER, "\x0a\x05\x1a\x01\xe9\x0a\x00", "an array's name");
    EXPECT_BAD_STRING(TO_SERVER, "\x0a\x05\x22\x03\x0a\x01\xe9", "a value's name");
    EXPECT_BAD_STRING(TO_SERVER, "\x0a\x05\x22\x03\x12\x01\xe9", "a value's text");
    EXPECT_BAD_STRING(TO_PARTICIPANT, "\x12\x08\x22\x06\x12\x01\xe9\x12\x01x", "a value's text");
    EXPECT_BAD_STRING(TO_SERVER, "\x2a\x03\x0a\x01\xe9", "a payload's type");
    EXPECT_BAD_STRING(TO_PARTICIPANT, "\x32\x03\x0a\x01\xe9", "a payload's type");
    EXPECT_BAD_STRING(TO_SERVER, "\x32\x04\x12\x02\xed\xa0", "a failure's text");
    EXPECT_BAD_STRING(TO_SERVER, "\x32\x05\x12\x03\x61\x00\x62", "a failure's text");
    EXPECT_BAD_STRING(TO_PARTICIPANT, "\x62\x03\x0a\x01\xe9", "the reason of a refusal");
    /* Hello: the name, a feature, a label's name and value; Welcome: the name, a feature. */
    EXPECT_BAD_STRING(TO_SERVER, "\x1a\x03\x0a\x01\xe9", "a name, a label or a feature");
    EXPECT_BAD_STRING(TO_SERVER, "\x1a\x05\x0a\x03\x61\x00\x62", "a name, a label or a feature");
    EXPECT_BAD_STRING(TO_SERVER, "\x1a\x03\x2a\x01\xe9", "a name, a label or a feature");
    EXPECT_BAD_STRING(TO_SERVER, "\x1a\x05\x32\x03\x0a\x01\xe9", "a name, a label or a feature");
    EXPECT_BAD_STRING(TO_SERVER, "\x1a\x05\x32\x03\x12\x01\xe9", "a name, a label or a feature");
    EXPECT_BAD_STRING(TO_PARTICIPANT, "\x22\x03\x1a\x01\xe9", "a name, a label or a feature");
    EXPECT_BAD_STRING(TO_PARTICIPANT, "\x22\x03\x2a\x01\xe9", "a name, a label or a feature");
    /* Tokens are bytes. */
    struct envelope envelope = decoded(TO_SERVER, "\x1a\x03\x12\x01\xe9", 5);
    cr_assert_eq(envelope.hello->session.len, 1);
    muster__envelope_clear(&envelope);
}

Test(codec_refused, a_scalar_that_is_there_twice)
{
    const struct muster_scalar twice[] = {{"a", 1}, {"b", 2}, {"a", 3}};
    expect_unwritable(TO_SERVER,
                      &(struct muster_message){.kind = MUSTER_TRAIN, .scalars = twice, .scalar_count = 3});
    static const char bytes[] = "\x0a\x0f\x12\x03\x0a\x01\x61\x12\x03\x0a\x01\x62\x12\x03\x0a\x01\x61";
    expect_status(TO_SERVER, bytes, sizeof(bytes) - 1, MUSTER_INVALID, "the scalar 'a' is there twice");
}

Test(codec_refused, a_name_that_a_scalar_and_a_value_have)
{
    struct muster_value value = {.name = "lr", .kind = MUSTER_VALUE_TEXT, .text = "fast"};
    struct muster_message message = {
        .kind = MUSTER_TRAIN, .scalars = scalars, .scalar_count = 3, .values = &value, .value_count = 1};
    expect_unwritable(TO_SERVER, &message);
    value.name = "speed";
    struct envelope envelope = through(TO_SERVER, &message);
    muster__envelope_clear(&envelope);
    /* Scalar { name: "a" } Value { name: "a", text: "" } */
    static const char bytes[] = "\x0a\x0c\x12\x03\x0a\x01\x61\x22\x05\x0a\x01\x61\x12\x00";
    expect_status(TO_SERVER, bytes, sizeof(bytes) - 1, MUSTER_INVALID, "the scalar 'a' is there twice");
}

Test(codec_refused, names_of_arrays)
{
    const char *const twice[] = {"weight", "bias", "weight"};
    struct muster_message message = {
        .kind = MUSTER_TRAIN, .arrays = arrays, .array_count = 3, .array_names = twice};
    expect_unwritable(TO_SERVER, &message);
    /* As many as arrays: Arrays { names: "a" }. */
    expect_refused(TO_SERVER, "\x0a\x03\x1a\x01\x61", 5, "1 names of 0 arrays");
    message.array_names = names;
    struct buffer *body = encoded(TO_SERVER, &message);
    static const uint8_t renamed[] = "\x1a\x04mask";
    uint8_t *at = memmem(body->data, body->size, renamed, sizeof(renamed) - 1);
    cr_assert_not_null(at);
    at[0] = 0x7a; /* a field of the future in its place */
    expect_refused(TO_SERVER, body->data, body->size, "2 names of 3 arrays");
    at[0] = 0x1a;
    memcpy(at,
           "\x1a\x04"
           "bias",
           6);
    expect_status(TO_SERVER, body->data, body->size, MUSTER_INVALID, "the array 'bias' is there twice");
    muster__buffer_release(body);
}

Test(codec_refused, a_scalar_that_is_there_twice_among_many)
{
    enum { MANY = 20000 };
    struct muster_scalar *many = calloc(MANY, sizeof(*many));
    for (size_t i = 0; i < MANY; i++)
        many[i] = (struct muster_scalar){made_name(i), 0};
    const struct muster_message message = {.kind = MUSTER_TRAIN, .scalars = many, .scalar_count = MANY};
    muster__buffer_release(encoded(TO_SERVER, &message));
    const char *name = many[MANY - 1].name;
    many[MANY - 1].name = many[7].name;
    expect_unwritable(TO_SERVER, &message);
    many[MANY - 1].name = name;
    for (size_t i = 0; i < MANY; i++)
        free((char *)(uintptr_t)many[i].name);
    free(many);
}

/* ---- anything ---- */

static void read_anything(const uint8_t *bytes, size_t size)
{
    for (enum direction direction = TO_PARTICIPANT; direction <= TO_SERVER; direction++) {
        struct envelope envelope;
        struct muster_error error;
        enum muster_status status = decode(direction, bytes, size, &envelope, &error);
        cr_assert(status == MUSTER_OK || status == MUSTER_PROTOCOL || status == MUSTER_INVALID);
        if (status == MUSTER_OK)
            muster__envelope_clear(&envelope);
    }
}

Test(codec_refused, every_beginning_of_a_message)
{
    struct buffer *body = encoded(TO_SERVER, &settings);
    for (size_t size = 0; size <= body->size; size++)
        read_anything(body->data, size);
    muster__buffer_release(body);
}

Test(codec_refused, every_byte_of_a_message_changed)
{
    static const uint8_t masks[] = {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff};
    struct buffer *body = encoded(TO_SERVER, &settings);
    uint8_t *bytes = copy_of(body->data, body->size);
    for (size_t i = 0; i < body->size; i++) {
        for (size_t j = 0; j < sizeof(masks); j++) {
            bytes[i] ^= masks[j];
            read_anything(bytes, body->size);
            bytes[i] ^= masks[j];
        }
    }
    free(bytes);
    muster__buffer_release(body);
}

Test(codec_refused, noise)
{
    struct muster_random random;
    muster_random_seed(&random, 42);
    for (size_t i = 0; i < 20000; i++) {
        uint8_t bytes[40];
        size_t size = (size_t)(muster_random_next(&random) % sizeof(bytes));
        for (size_t j = 0; j < size; j++) /* small numbers are tags and sizes */
            bytes[j] = (uint8_t)(muster_random_next(&random) >> (muster_random_next(&random) % 8 + 56));
        read_anything(bytes, size);
    }
}
