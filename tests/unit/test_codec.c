/*
 * The codec: what is written can be read, here and by protobuf's own code, and what nobody should write is
 * refused. Each input lies in memory of exactly its size, for the address sanitizer.
 */
#include <config.h>

#include <criterion/criterion.h>

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/random.h>

#include "wire/reader.h"
#include "wire/wire.h"

static const float floats[6] = {1, -2, 3.5F, 0, FLT_MIN, FLT_MAX};
static const double one_double = -0.1;
static const struct muster_array arrays[] = {
    {.dtype = MUSTER_FLOAT32, .dimensions = 2, .shape = {2, 3}, .data = floats},
    {.dtype = MUSTER_FLOAT64, .data = &one_double},
    {.dtype = MUSTER_INT32, .dimensions = 3, .shape = {4, 0, 2}},
};
static const struct muster_scalar scalars[] = {{"lr", 0.01}, {"epochs", 20}, {"mu", -0.0}};
static const struct muster_message train = {
    .kind = MUSTER_TRAIN, .arrays = arrays, .array_count = 3, .scalars = scalars, .scalar_count = 3};

static struct buffer *encoded(enum direction direction, const struct muster_message *message)
{
    struct buffer *body;
    cr_assert_eq(
        muster__encode(direction, message, &(struct encoding){.max_message_size = SIZE_MAX}, &body, NULL),
        MUSTER_OK);
    return body;
}

static uint8_t *copy_of(const void *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    cr_assert_not_null(copy);
    if (size)
        memcpy(copy, bytes, size);
    return copy;
}

static enum muster_status decode(enum direction direction, const void *bytes, size_t size,
                                 struct envelope *envelope, struct muster_error *error)
{
    uint8_t *copy = copy_of(bytes, size);
    enum muster_status status = muster__decode(direction, &(struct piece){copy, size}, 1, envelope, error);
    free(copy); /* what was decoded does not point there */
    return status;
}

static struct envelope decoded(enum direction direction, const void *bytes, size_t size)
{
    struct envelope envelope;
    struct muster_error error;
    cr_assert_eq(decode(direction, bytes, size, &envelope, &error), MUSTER_OK, "%s", error.text);
    return envelope;
}

/* Writes and reads. */
static struct envelope through(enum direction direction, const struct muster_message *message)
{
    struct buffer *body = encoded(direction, message);
    struct envelope envelope = decoded(direction, body ? body->data : NULL, body ? body->size : 0);
    muster__buffer_release(body);
    return envelope;
}

static void expect_status(enum direction direction, const void *bytes, size_t size, enum muster_status status,
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

static void expect_refused(enum direction direction, const void *bytes, size_t size, const char *text)
{
    expect_status(direction, bytes, size, MUSTER_PROTOCOL, text);
}

static void expect_bad(const char *bytes, size_t size)
{
    expect_refused(TO_SERVER, bytes, size, "the bytes are no message");
    expect_refused(TO_PARTICIPANT, bytes, size, "the bytes are no message");
}

#define EXPECT_BAD(literal) expect_bad((literal), sizeof(literal) - 1)

/* ---- there and back ---- */

static void expect_arrays(enum direction direction, enum muster_kind kind)
{
    struct muster_message message = train;
    message.kind = kind;
    struct envelope envelope = through(direction, &message);
    const struct muster_message *got = &envelope.message;
    cr_assert_eq(envelope.content, CONTENT_MESSAGE);
    cr_assert_eq(got->kind, kind);
    cr_assert_eq(got->array_count, 3);
    cr_assert_eq(got->scalar_count, 3);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(got->arrays[i].dtype, arrays[i].dtype);
        cr_assert_eq(got->arrays[i].dimensions, arrays[i].dimensions);
        for (size_t j = 0; j < arrays[i].dimensions; j++)
            cr_assert_eq(got->arrays[i].shape[j], arrays[i].shape[j]);
        cr_assert_str_eq(got->scalars[i].name, scalars[i].name);
        cr_assert_eq(got->scalars[i].value, scalars[i].value);
    }
    cr_assert_eq(memcmp(got->arrays[0].data, floats, sizeof(floats)), 0);
    cr_assert_eq(*(const double *)got->arrays[1].data, one_double);
    cr_assert_eq((uintptr_t)got->arrays[0].data % sizeof(float), 0);
    cr_assert_eq((uintptr_t)got->arrays[1].data % sizeof(double), 0);
    cr_assert(signbit(got->scalars[2].value));
    muster__envelope_clear(&envelope);
}

Test(codec, arrays_and_scalars)
{
    expect_arrays(TO_PARTICIPANT, MUSTER_TRAIN);
    expect_arrays(TO_PARTICIPANT, MUSTER_EVALUATE);
    expect_arrays(TO_SERVER, MUSTER_TRAIN);
    expect_arrays(TO_SERVER, MUSTER_EVALUATE);
}

Test(codec, train_without_anything)
{
    const struct muster_message message = {.kind = MUSTER_TRAIN};
    struct envelope envelope = through(TO_SERVER, &message);
    cr_assert_eq(envelope.message.kind, MUSTER_TRAIN);
    cr_assert_eq(envelope.message.array_count, 0);
    cr_assert_eq(envelope.message.scalar_count, 0);
    muster__envelope_clear(&envelope);
}

Test(codec, scalars_of_every_sort)
{
    const struct muster_scalar values[] = {{"inf", INFINITY}, {"nan", NAN}, {"", 5}, {"tiny", 5e-324}};
    const struct muster_message message = {.kind = MUSTER_TRAIN, .scalars = values, .scalar_count = 4};
    struct envelope envelope = through(TO_PARTICIPANT, &message);
    cr_assert_eq(muster_message_scalar(&envelope.message, "inf", 0), INFINITY);
    cr_assert(isnan(muster_message_scalar(&envelope.message, "nan", 0)));
    cr_assert_eq(muster_message_scalar(&envelope.message, "", 0), 5);
    cr_assert_eq(muster_message_scalar(&envelope.message, "tiny", 0), 5e-324);
    cr_assert_eq(muster_message_scalar(&envelope.message, "none", -1), -1);
    muster__envelope_clear(&envelope);
}

static const struct muster_value values[] = {
    {.name = "seed", .kind = MUSTER_VALUE_INTEGER, .integer = INT64_MIN},
    {.name = "steps", .kind = MUSTER_VALUE_INTEGER, .integer = (INT64_C(1) << 53) + 1},
    {.name = "freeze", .kind = MUSTER_VALUE_BOOL, .boolean = true},
    {.name = "augment", .kind = MUSTER_VALUE_BOOL, .boolean = false},
    {.name = "optimizer", .kind = MUSTER_VALUE_TEXT, .text = "b\xc3\xa4r"},
    {.name = "note", .kind = MUSTER_VALUE_TEXT, .text = ""},
    {.name = "mask", .kind = MUSTER_VALUE_BYTES, .bytes = "\0\xff", .size = 2},
    {.name = "", .kind = MUSTER_VALUE_BYTES},
};
enum { VALUE_COUNT = sizeof(values) / sizeof(values[0]), EXACT_COUNT = 4 };
static const char *const names[] = {"weight", "bias", "mask"};
static const struct muster_message settings = {.kind = MUSTER_TRAIN,
                                               .arrays = arrays,
                                               .array_count = 3,
                                               .array_names = names,
                                               .scalars = scalars,
                                               .scalar_count = 2,
                                               .values = values,
                                               .value_count = VALUE_COUNT};

static const struct muster_value *find_value(const struct muster_message *message, const char *name)
{
    size_t i = 0;
    while (i < message->value_count && strcmp(message->values[i].name, name) != 0)
        i++;
    cr_assert_lt(i, message->value_count, "%s", name);
    return &message->values[i];
}

static void expect_settings(const struct muster_message *got)
{
    size_t size;
    cr_assert_eq(got->array_count, 3);
    for (size_t i = 0; i < 3; i++)
        cr_assert_str_eq(got->array_names[i], names[i]);
    cr_assert_eq(got->scalar_count, 2);
    cr_assert_eq(muster_message_scalar(got, "lr", 0), 0.01);
    cr_assert_eq(got->value_count, (size_t)VALUE_COUNT);
    for (size_t i = 0; i < VALUE_COUNT; i++)
        cr_assert_eq(find_value(got, values[i].name)->kind, values[i].kind);
    cr_assert_eq(find_value(got, "seed")->integer, INT64_MIN);
    cr_assert_eq(find_value(got, "steps")->integer, (INT64_C(1) << 53) + 1);
    cr_assert_eq(find_value(got, "freeze")->boolean, true);
    cr_assert_eq(find_value(got, "augment")->boolean, false);
    cr_assert_str_eq(muster_message_text(got, "optimizer", NULL), "b\xc3\xa4r");
    cr_assert_str_eq(muster_message_text(got, "note", NULL), "");
    cr_assert_eq(memcmp(muster_message_bytes(got, "mask", &size), "\0\xff", 2), 0);
    cr_assert_eq(size, 2);
    cr_assert_not_null(muster_message_bytes(got, "", &size));
    cr_assert_eq(size, 0);
}

Test(codec, values_and_names)
{
    for (enum direction direction = TO_PARTICIPANT; direction <= TO_SERVER; direction++) {
        struct envelope envelope = through(direction, &settings);
        expect_settings(&envelope.message);
        muster__envelope_clear(&envelope);
    }
}

Test(codec, values_alone)
{
    const struct muster_message message = {.kind = MUSTER_EVALUATE, .values = &values[4], .value_count = 1};
    struct envelope envelope = through(TO_SERVER, &message);
    cr_assert_eq(envelope.message.value_count, 1);
    cr_assert_str_eq(muster_message_text(&envelope.message, "optimizer", NULL), "b\xc3\xa4r");
    muster__envelope_clear(&envelope);
}

Test(codec, a_copy_has_values_and_names_of_its_own)
{
    struct muster_message copy;
    cr_assert_eq(muster__message_copy(TO_PARTICIPANT, &settings, &copy, NULL), MUSTER_OK);
    expect_settings(&copy);
    cr_assert_neq(copy.array_names[0], names[0]);
    cr_assert_neq((const void *)find_value(&copy, "mask")->bytes, values[6].bytes);
    cr_assert_neq(find_value(&copy, "optimizer")->text, values[4].text);
    muster_message_clear(&copy);
}

/* What a kind does not use is not sent in chunks either: its receiver would take it for what was announced. */
Test(codec, what_a_kind_does_not_use_does_not_follow)
{
    static const uint8_t data[8192];
    const struct muster_array array = {MUSTER_UINT8, 1, {sizeof(data)}, data};
    const struct muster_message message = {
        .kind = MUSTER_APPLICATION, .arrays = &array, .array_count = 1, .data = data, .size = 5000};
    const struct encoding encoding = {.max_message_size = SIZE_MAX, .max_payload_size = SIZE_MAX};
    struct buffer *body;
    cr_assert_eq(muster__encode(TO_SERVER, &message, &encoding, &body, NULL), MUSTER_OK);
    cr_assert_eq(body->payload->count, 1);
    cr_assert_eq(body->payload->size, 5000);
    muster__buffer_release(body);
}

/* What protobuf's own code sees, of whatever age the peer's proto file is: numbers are scalars. */
Test(codec, others_see_doubles)
{
    struct buffer *body = encoded(TO_SERVER, &settings);
    Muster__ParticipantMessage *message = muster__participant_message__unpack(NULL, body->size, body->data);
    cr_assert_not_null(message);
    const Muster__Arrays *got = message->result;
    cr_assert_eq(got->n_scalars, 2 + EXACT_COUNT);
    cr_assert_eq(got->n_values, VALUE_COUNT - EXACT_COUNT);
    cr_assert_eq(got->n_names, 3);
    cr_assert_str_eq(got->scalars[2]->name, "seed");
    cr_assert_eq(got->scalars[2]->value, -0x1p63);
    cr_assert_eq(got->scalars[2]->integer, INT64_MIN);
    cr_assert_eq(got->scalars[0]->exact_case, MUSTER__SCALAR__EXACT__NOT_SET);
    cr_assert_eq(got->scalars[3]->value, 0x1p53);
    cr_assert_eq(got->scalars[4]->value, 1);
    cr_assert_eq(got->scalars[4]->exact_case, MUSTER__SCALAR__EXACT_BOOLEAN);
    cr_assert_eq(got->scalars[5]->value, 0);
    cr_assert_eq(got->values[1]->kind_case, MUSTER__VALUE__KIND_TEXT);
    cr_assert_eq(got->values[3]->kind_case, MUSTER__VALUE__KIND_DATA);
    muster__participant_message__free_unpacked(message, NULL);
    muster__buffer_release(body);
}

Test(codec, values_from_the_future)
{
    /* Arrays { Value { name: "a", 9: 1 } Value { name: "b", text: "c" } 9: 1 } */
    struct envelope envelope = decoded(
        TO_SERVER, "\x0a\x11\x22\x05\x0a\x01\x61\x48\x01\x22\x06\x0a\x01\x62\x12\x01\x63\x48\x01", 19);
    cr_assert_eq(envelope.message.value_count, 1);
    cr_assert_str_eq(muster_message_text(&envelope.message, "b", NULL), "c");
    muster__envelope_clear(&envelope);
    /* The last of several counts. */
    envelope = decoded(TO_SERVER, "\x0a\x0a\x22\x08\x12\x01\x63\x1a\x03\x64\x00\x65", 12);
    size_t size;
    cr_assert_eq(memcmp(muster_message_bytes(&envelope.message, "", &size), "d\0e", 3), 0);
    cr_assert_eq(size, 3);
    muster__envelope_clear(&envelope);
}

Test(codec, bfloat16_has_its_dtype_beside_the_header)
{
    static const uint16_t halves[] = {0x3f80, 0xc000};
    const struct muster_array array = {MUSTER_BFLOAT16, 1, {2}, halves};
    const struct muster_message message = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
    struct buffer *body = encoded(TO_SERVER, &message);
    Muster__ParticipantMessage *theirs = muster__participant_message__unpack(NULL, body->size, body->data);
    cr_assert_eq(theirs->result->theta[0]->dtype, MUSTER__NDARRAY__DTYPE__BFLOAT16);
    cr_assert_not_null(memmem(theirs->result->theta[0]->ndarray.data, 128, "'<V2'", 5));
    muster__participant_message__free_unpacked(theirs, NULL);
    struct envelope envelope = decoded(TO_SERVER, body->data, body->size);
    cr_assert_eq(envelope.message.arrays[0].dtype, MUSTER_BFLOAT16);
    cr_assert_eq(memcmp(envelope.message.arrays[0].data, halves, sizeof(halves)), 0);
    muster__envelope_clear(&envelope);
    /* A dtype that is not known, or that is not the header's. */
    cr_assert_eq(body->data[body->size - 1], MUSTER__NDARRAY__DTYPE__BFLOAT16);
    body->data[body->size - 1] = 2;
    expect_refused(TO_SERVER, body->data, body->size, "array 0: its dtype 2 is not known");
    body->data[body->size - 1] = MUSTER__NDARRAY__DTYPE__BFLOAT16;
    memcpy(memmem(body->data, body->size, "'<V2'", 5), "'<f2'", 5);
    expect_refused(TO_SERVER, body->data, body->size, "array 0: its dtype 1 is not known, or not");
    muster__buffer_release(body);
}

Test(codec, application)
{
    static const char data[] = "\0\1\2\xff";
    const struct muster_message message = {
        .kind = MUSTER_APPLICATION, .type = "mine/1", .data = data, .size = sizeof(data)};
    for (enum direction direction = TO_PARTICIPANT; direction <= TO_SERVER; direction++) {
        struct envelope envelope = through(direction, &message);
        cr_assert_eq(envelope.message.kind, MUSTER_APPLICATION);
        cr_assert_str_eq(envelope.message.type, "mine/1");
        cr_assert_eq(envelope.message.size, sizeof(data));
        cr_assert_eq(memcmp(envelope.message.data, data, sizeof(data)), 0);
        muster__envelope_clear(&envelope);
    }
}

Test(codec, application_without_anything)
{
    const struct muster_message message = {.kind = MUSTER_APPLICATION};
    struct envelope envelope = through(TO_SERVER, &message);
    cr_assert_eq(envelope.message.kind, MUSTER_APPLICATION);
    cr_assert_str_eq(envelope.message.type, "");
    cr_assert_eq(envelope.message.size, 0);
    muster__envelope_clear(&envelope);
}

Test(codec, failure)
{
    const int32_t codes[] = {0, 1, -1, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < 5; i++) {
        const struct muster_message message = {.kind = MUSTER_FAILURE, .code = codes[i], .text = "no disk"};
        struct envelope envelope = through(TO_SERVER, &message);
        cr_assert_eq(envelope.message.kind, MUSTER_FAILURE);
        cr_assert_eq(envelope.message.code, codes[i]);
        cr_assert_str_eq(envelope.message.text, "no disk");
        muster__envelope_clear(&envelope);
    }
    const struct muster_message silent = {.kind = MUSTER_FAILURE};
    struct envelope envelope = through(TO_SERVER, &silent);
    cr_assert_eq(envelope.message.kind, MUSTER_FAILURE);
    cr_assert_str_eq(envelope.message.text, "");
    muster__envelope_clear(&envelope);
}

Test(codec, unknown_instruction_and_reconnect)
{
    const struct muster_message unknown = {.kind = MUSTER_UNKNOWN};
    struct envelope envelope = through(TO_SERVER, &unknown);
    cr_assert_eq(envelope.message.kind, MUSTER_UNKNOWN);
    muster__envelope_clear(&envelope);
    const int32_t seconds[] = {0, 30, -1, INT32_MAX};
    for (size_t i = 0; i < 4; i++) {
        const struct muster_message message = {.kind = MUSTER_RECONNECT, .reconnect_seconds = seconds[i]};
        envelope = through(TO_PARTICIPANT, &message);
        cr_assert_eq(envelope.message.kind, MUSTER_RECONNECT);
        cr_assert_eq(envelope.message.reconnect_seconds, seconds[i]);
        muster__envelope_clear(&envelope);
    }
}

Test(codec, empty)
{
    const struct muster_message message = MUSTER_MESSAGE_INIT;
    cr_assert_null(encoded(TO_SERVER, &message));
    struct envelope envelope = decoded(TO_SERVER, "", 0);
    cr_assert_eq(envelope.content, CONTENT_MESSAGE);
    cr_assert_eq(envelope.message.kind, MUSTER_EMPTY);
    cr_assert_eq(envelope.turn, 0);
    muster__envelope_clear(&envelope);
    envelope = decoded(TO_PARTICIPANT, "", 0);
    cr_assert_eq(envelope.message.kind, MUSTER_EMPTY);
    muster__envelope_clear(&envelope);
}

Test(codec, message_that_owns_nothing_is_cleared)
{
    struct muster_message message = train;
    muster_message_clear(&message);
    cr_assert_eq(message.kind, MUSTER_EMPTY);
    cr_assert_eq(message.array_count, 0);
    cr_assert_null(message.scalars);
}

/* ---- what the library says itself ---- */

Test(codec, hello)
{
    Muster__Label label = MUSTER__LABEL__INIT;
    Muster__Label *labels[] = {&label};
    Muster__Hello hello = MUSTER__HELLO__INIT;
    label.name = "site";
    label.value = "Graz";
    hello.name = "ada";
    hello.labels = labels;
    hello.n_labels = 1;
    hello.max_message_size = UINT64_MAX;
    struct buffer *body = muster__encode_hello(NULL, &hello);
    struct envelope envelope = decoded(TO_SERVER, body->data, body->size);
    muster__buffer_release(body);
    cr_assert_eq(envelope.content, CONTENT_HELLO);
    cr_assert_str_eq(envelope.hello->name, "ada");
    cr_assert_eq(envelope.hello->n_labels, 1);
    cr_assert_str_eq(envelope.hello->labels[0]->name, "site");
    cr_assert_str_eq(envelope.hello->labels[0]->value, "Graz");
    cr_assert_eq(envelope.hello->max_message_size, UINT64_MAX);
    muster__envelope_clear(&envelope);
    cr_assert_null(envelope.hello);
}

Test(codec, hello_without_anything)
{
    Muster__Hello hello = MUSTER__HELLO__INIT;
    struct buffer *body = muster__encode_hello(NULL, &hello);
    struct envelope envelope = decoded(TO_SERVER, body->data, body->size);
    muster__buffer_release(body);
    cr_assert_eq(envelope.content, CONTENT_HELLO, "it is not an empty message");
    cr_assert_str_eq(envelope.hello->name, "");
    muster__envelope_clear(&envelope);
}

Test(codec, welcome)
{
    Muster__Welcome welcome = MUSTER__WELCOME__INIT;
    welcome.name = "anonymous-4";
    welcome.rank = 4;
    welcome.max_message_size = 1 << 20;
    struct buffer *body = muster__encode_welcome(&welcome);
    struct envelope envelope = decoded(TO_PARTICIPANT, body->data, body->size);
    muster__buffer_release(body);
    cr_assert_eq(envelope.content, CONTENT_WELCOME);
    cr_assert_str_eq(envelope.welcome->name, "anonymous-4");
    cr_assert_eq(envelope.welcome->rank, 4);
    cr_assert_eq(envelope.welcome->max_message_size, 1 << 20);
    muster__envelope_clear(&envelope);
}

Test(codec, cancel)
{
    struct buffer *body = muster__encode_cancel();
    struct envelope envelope = decoded(TO_PARTICIPANT, body->data, body->size);
    muster__buffer_release(body);
    cr_assert_eq(envelope.content, CONTENT_CANCEL);
    muster__envelope_clear(&envelope);
}

Test(codec, refused)
{
    static const char *const texts[] = {"", "NaN in array 0", "\xe2\x82\xac"};
    for (size_t i = 0; i < 3; i++) {
        struct buffer *body = muster__encode_refused(texts[i]);
        struct envelope envelope = decoded(TO_PARTICIPANT, body->data, body->size);
        muster__buffer_release(body);
        cr_assert_eq(envelope.content, CONTENT_REFUSED);
        cr_assert_eq(envelope.message.kind, MUSTER_EMPTY);
        cr_assert_str_eq(envelope.message.text, texts[i]);
        muster__envelope_clear(&envelope);
    }
    expect_refused(TO_PARTICIPANT, "\x62\x02\x08\x01", 4, "the bytes are no message");
}

Test(codec, progress)
{
    const double fractions[] = {0, 0.3, 1};
    for (size_t i = 0; i < 3; i++) {
        struct buffer *body = muster__encode_progress(fractions[i]);
        struct envelope envelope = decoded(TO_SERVER, body->data, body->size);
        muster__buffer_release(body);
        cr_assert_eq(envelope.content, CONTENT_PROGRESS);
        cr_assert_eq(envelope.progress, fractions[i]);
        muster__envelope_clear(&envelope);
    }
    const double wrong[] = {-DBL_MIN, 1.0000001, NAN, -INFINITY};
    for (size_t i = 0; i < 4; i++) {
        struct buffer *body = muster__encode_progress(wrong[i]);
        expect_refused(TO_SERVER, body->data, body->size, "progress is a fraction");
        muster__buffer_release(body);
    }
}

/* ---- turns ---- */

Test(codec, turn_before_and_behind_a_body)
{
    const uint64_t turns[] = {1, 127, 128, UINT64_MAX};
    for (enum direction direction = TO_PARTICIPANT; direction <= TO_SERVER; direction++) {
        struct buffer *own = encoded(direction, &train);
        struct buffer *both = muster__buffer_new(STREAM_HEAD_MAX + own->size);
        for (size_t i = 0; i < 4; i++) {
            uint8_t head[STREAM_HEAD_MAX];
            size_t size = muster__encode_turn(direction, turns[i], head);
            cr_assert_gt(size, 0);
            cr_assert_leq(size, STREAM_HEAD_MAX);
            for (int behind = 0; behind < 2; behind++) {
                memcpy(both->data + (behind ? own->size : 0), head, size);
                memcpy(both->data + (behind ? 0 : size), own->data, own->size);
                struct envelope envelope = decoded(direction, both->data, size + own->size);
                cr_assert_eq(envelope.turn, turns[i]);
                cr_assert_eq(envelope.message.kind, MUSTER_TRAIN);
                cr_assert_eq(envelope.message.array_count, 3);
                muster__envelope_clear(&envelope);
            }
        }
        muster__buffer_release(own);
        muster__buffer_release(both);
    }
}

Test(codec, no_turn)
{
    uint8_t head[STREAM_HEAD_MAX];
    cr_assert_eq(muster__encode_turn(TO_SERVER, 0, head), 0);
    cr_assert_eq(muster__encode_turn(TO_PARTICIPANT, 0, head), 0);
}

/* ---- as protobuf writes and reads it ---- */

Test(codec, bytes_of_the_original_protocol)
{
    struct buffer *body = encoded(TO_SERVER, &(struct muster_message){.kind = MUSTER_UNKNOWN});
    cr_assert_eq(body->size, 3);
    cr_assert_eq(memcmp(body->data, "\xc0\x3e\x01", 3), 0); /* unknown_instruction = 1000: true */
    muster__buffer_release(body);
    body =
        encoded(TO_PARTICIPANT, &(struct muster_message){.kind = MUSTER_RECONNECT, .reconnect_seconds = 300});
    cr_assert_eq(body->size, 3);
    cr_assert_eq(memcmp(body->data, "\x08\xac\x02", 3), 0); /* reconnect_in = 1: 300 */
    muster__buffer_release(body);
    body = encoded(TO_PARTICIPANT, &(struct muster_message){.kind = MUSTER_TRAIN});
    cr_assert_eq(body->size, 2);
    cr_assert_eq(memcmp(body->data, "\x12\x00", 2), 0); /* train_config = 2 {} */
    muster__buffer_release(body);
    body = encoded(TO_SERVER, &(struct muster_message){.kind = MUSTER_TRAIN});
    cr_assert_eq(body->size, 2);
    cr_assert_eq(memcmp(body->data, "\x0a\x00", 2), 0); /* result = 1 {} */
    muster__buffer_release(body);
}

static void expect_protobufs_own(enum direction direction, const struct muster_message *message)
{
    const ProtobufCMessageDescriptor *descriptor = direction == TO_SERVER
                                                       ? &muster__participant_message__descriptor
                                                       : &muster__server_message__descriptor;
    struct buffer *body = encoded(direction, message);
    ProtobufCMessage *unpacked = protobuf_c_message_unpack(descriptor, NULL, body->size, body->data);
    cr_assert_not_null(unpacked);
    size_t size = protobuf_c_message_get_packed_size(unpacked);
    cr_assert_eq(size, body->size);
    uint8_t *packed = malloc(size);
    protobuf_c_message_pack(unpacked, packed);
    cr_assert_eq(memcmp(packed, body->data, size), 0);
    free(packed);
    protobuf_c_message_free_unpacked(unpacked, NULL);
    muster__buffer_release(body);
}

Test(codec, protobuf_would_write_the_same)
{
    struct muster_message message = train;
    message.scalar_count = 2; /* the third is zero, which protobuf leaves out */
    expect_protobufs_own(TO_PARTICIPANT, &message);
    expect_protobufs_own(TO_SERVER, &message);
    message.kind = MUSTER_EVALUATE;
    expect_protobufs_own(TO_PARTICIPANT, &message);
    expect_protobufs_own(TO_SERVER, &message);
    message = (struct muster_message){.kind = MUSTER_APPLICATION, .type = "t", .data = "d", .size = 1};
    expect_protobufs_own(TO_PARTICIPANT, &message);
    expect_protobufs_own(TO_SERVER, &message);
    message = (struct muster_message){.kind = MUSTER_FAILURE, .code = -3, .text = "no"};
    expect_protobufs_own(TO_SERVER, &message);
    message = (struct muster_message){.kind = MUSTER_UNKNOWN};
    expect_protobufs_own(TO_SERVER, &message);
    message = (struct muster_message){.kind = MUSTER_RECONNECT, .reconnect_seconds = -1};
    expect_protobufs_own(TO_PARTICIPANT, &message);
}

Test(codec, fields_from_the_future_are_skipped)
{
    /* 77: varint, 78: fixed64, 79: bytes, 80: fixed32, then result {} and turn 5 */
    static const char bytes[] = "\xe8\x04\x96\x01\xf1\x04"
                                "12345678\xfa\x04\x03"
                                "abc\x85\x05"
                                "1234\x0a\x00\x10\x05";
    struct envelope envelope = decoded(TO_SERVER, bytes, sizeof(bytes) - 1);
    cr_assert_eq(envelope.message.kind, MUSTER_TRAIN);
    cr_assert_eq(envelope.turn, 5);
    muster__envelope_clear(&envelope);
}

Test(codec, content_from_the_future_is_an_empty_message)
{
    struct envelope envelope = decoded(TO_SERVER, "\x4a\x01x", 3); /* 9: not taken */
    cr_assert_eq(envelope.content, CONTENT_MESSAGE);
    cr_assert_eq(envelope.message.kind, MUSTER_EMPTY);
    muster__envelope_clear(&envelope);
}

Test(codec, last_of_several_contents_counts)
{
    /* failure { text: "x" }, payload { type: "y" }, unknown_instruction */
    static const char bytes[] = "\x32\x03\x12\x01x\x2a\x03\x0a\x01y\xc0\x3e\x01";
    struct envelope envelope = decoded(TO_SERVER, bytes, sizeof(bytes) - 1);
    cr_assert_eq(envelope.message.kind, MUSTER_UNKNOWN);
    muster__envelope_clear(&envelope);
    envelope = decoded(TO_SERVER, bytes, sizeof(bytes) - 1 - 3);
    cr_assert_eq(envelope.message.kind, MUSTER_APPLICATION);
    cr_assert_str_eq(envelope.message.type, "y");
    muster__envelope_clear(&envelope);
}

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

Test(codec, kinds_that_go_the_other_way)
{
    const enum muster_kind upwards[] = {MUSTER_EMPTY, MUSTER_FAILURE, MUSTER_UNKNOWN};
    for (size_t i = 0; i < 3; i++)
        expect_refusal(TO_PARTICIPANT, &(struct muster_message){.kind = upwards[i]},
                       "an instruction is MUSTER_TRAIN, MUSTER_EVALUATE or MUSTER_APPLICATION");
    expect_refusal(TO_SERVER, &(struct muster_message){.kind = MUSTER_RECONNECT}, "and not kind 6");
    expect_refusal(TO_SERVER, &(struct muster_message){.kind = (enum muster_kind)99}, "and not kind 99");
    expect_refusal(TO_PARTICIPANT, &(struct muster_message){.kind = (enum muster_kind)99}, "and not kind 99");
}

Test(codec, messages_that_make_no_sense)
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
        {{.kind = MUSTER_TRAIN, .values = values, .value_count = WIRE_FIELDS_MAX}, "too many fields"},
        {{.kind = MUSTER_TRAIN, .values = values, .value_count = WIRE_FIELDS_MAX + 1},
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
        {{.kind = MUSTER_TRAIN, .arrays = arrays, .array_count = WIRE_FIELDS_MAX}, "too many fields"},
        {{.kind = MUSTER_TRAIN, .scalars = scalars, .scalar_count = WIRE_FIELDS_MAX}, "too many fields"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        expect_refusal(TO_PARTICIPANT, &bad[i].message, bad[i].why);
}

/* Each may be half of what an address space holds: together they are more. */
Test(codec, arrays_that_are_too_big_together)
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

Test(codec, limit_counts_the_turn)
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

Test(codec, as_many_arrays_and_scalars_as_can_be_read)
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
Test(codec, as_many_names_and_values_as_can_be_read)
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

Test(codec, malformed)
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

Test(codec, malformed_inside)
{
    expect_refused(TO_SERVER, "\x0a\x02\x0a\x05", 4,
                   "the bytes are no message"); /* result { theta: short } */
    expect_refused(TO_SERVER, "\x1a\x03\x32\x01\x80", 5, "the bytes are no message");  /* hello { labels } */
    expect_refused(TO_PARTICIPANT, "\x22\x02\x1a\x09", 4, "the bytes are no message"); /* welcome { name } */
}

Test(codec, fields_of_another_type)
{
    expect_refused(TO_SERVER, "\x08\x01", 2, "");          /* result as a number */
    expect_refused(TO_SERVER, "\x12\x00", 2, "");          /* turn as bytes */
    expect_refused(TO_SERVER, "\x3a\x02\x08\x01", 4, "");  /* progress { fraction as a varint } */
    expect_refused(TO_PARTICIPANT, "\x0a\x01\x05", 3, ""); /* reconnect_in as bytes */
}

Test(codec, arrays_that_are_none)
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

Test(codec, as_many_fields_as_there_may_be)
{
    size_t size;
    uint8_t *bytes = many_turns(WIRE_FIELDS_MAX, &size);
    struct envelope envelope = decoded(TO_SERVER, bytes, size);
    muster__envelope_clear(&envelope);
    free(bytes);
}

Test(codec, one_field_more)
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

Test(codec, nested_fields_count)
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

Test(codec, strings_that_are_not_utf8_are_not_written)
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

Test(codec, strings_that_are_not_utf8_are_not_read)
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

Test(codec, a_scalar_that_is_there_twice)
{
    const struct muster_scalar twice[] = {{"a", 1}, {"b", 2}, {"a", 3}};
    expect_unwritable(TO_SERVER,
                      &(struct muster_message){.kind = MUSTER_TRAIN, .scalars = twice, .scalar_count = 3});
    static const char bytes[] = "\x0a\x0f\x12\x03\x0a\x01\x61\x12\x03\x0a\x01\x62\x12\x03\x0a\x01\x61";
    expect_status(TO_SERVER, bytes, sizeof(bytes) - 1, MUSTER_INVALID, "the scalar 'a' is there twice");
}

Test(codec, a_name_that_a_scalar_and_a_value_have)
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

Test(codec, names_of_arrays)
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

Test(codec, a_scalar_that_is_there_twice_among_many)
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

Test(codec, every_beginning_of_a_message)
{
    struct buffer *body = encoded(TO_SERVER, &settings);
    for (size_t size = 0; size <= body->size; size++)
        read_anything(body->data, size);
    muster__buffer_release(body);
}

Test(codec, every_byte_of_a_message_changed)
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

Test(codec, noise)
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
