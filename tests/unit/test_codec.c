/* The codec: what is written can be read, here and by protobuf's own code. */
#include <config.h>

#include <criterion/criterion.h>

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <muster/random.h>

#include "unit/codec.h"
#include "wire/wire.h"

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
        cr_assert_eq(find_value(got, settings_values[i].name)->kind, settings_values[i].kind);
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
    const struct muster_message message = {
        .kind = MUSTER_EVALUATE, .values = &settings_values[4], .value_count = 1};
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
    cr_assert_neq((const void *)find_value(&copy, "mask")->bytes, settings_values[6].bytes);
    cr_assert_neq(find_value(&copy, "optimizer")->text, settings_values[4].text);
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
        struct buffer *body = muster__encode_progress(fractions[i], NULL);
        struct envelope envelope = decoded(TO_SERVER, body->data, body->size);
        muster__buffer_release(body);
        cr_assert_eq(envelope.content, CONTENT_PROGRESS);
        cr_assert_eq(envelope.progress, fractions[i]);
        muster__envelope_clear(&envelope);
    }
    const double wrong[] = {-DBL_MIN, 1.0000001, NAN, -INFINITY};
    for (size_t i = 0; i < 4; i++) {
        struct buffer *body = muster__encode_progress(wrong[i], NULL);
        expect_refused(TO_SERVER, body->data, body->size, "progress is a fraction");
        muster__buffer_release(body);
    }
}

Test(codec, progress_with_numbers)
{
    const struct muster_scalar loss[] = {{"loss", 0.25}, {"", NAN}};
    const struct muster_value exact[] = {
        {.name = "iteration", .kind = MUSTER_VALUE_INTEGER, .integer = (INT64_C(1) << 53) + 1},
        {.name = "last", .kind = MUSTER_VALUE_BOOL, .boolean = true}};
    const struct muster_message numbers = {
        .scalars = loss, .scalar_count = 2, .values = exact, .value_count = 2};
    struct buffer *body = muster__encode_progress(0.5, &numbers);
    struct envelope envelope = decoded(TO_SERVER, body->data, body->size);
    muster__buffer_release(body);
    cr_assert_eq(envelope.progress, 0.5);
    cr_assert_eq(envelope.message.kind, MUSTER_EMPTY);
    cr_assert_eq(envelope.message.scalar_count, 2);
    cr_assert_eq(muster_message_scalar(&envelope.message, "loss", 0), 0.25);
    cr_assert(isnan(muster_message_scalar(&envelope.message, "", 0)));
    cr_assert_eq(muster_message_integer(&envelope.message, "iteration", 0), (INT64_C(1) << 53) + 1);
    cr_assert(muster_message_bool(&envelope.message, "last", false));
    muster__envelope_clear(&envelope);
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
    struct envelope envelope = decoded(TO_SERVER, "\x62\x01x", 3); /* 12: not taken */
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
