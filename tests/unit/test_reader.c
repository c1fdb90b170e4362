/* The reader of pieces: however a message is cut up, what is read is the same. Each piece lies in memory of
   exactly its size, for the address sanitizer. */
#include <config.h>

#include <criterion/criterion.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "wire/reader.h"
#include "wire/wire.h"

static const uint8_t numbers[6000] = {1, 2, 3, [5998] = 4, [5999] = 5};
static const double one_double = -0.1;
static const struct muster_array arrays[] = {
    {.dtype = MUSTER_INT32, .dimensions = 1, .shape = {3}, .data = numbers},
    {.dtype = MUSTER_FLOAT64, .data = &one_double},
    {.dtype = MUSTER_INT64, .dimensions = 2, .shape = {3, 250}, .data = numbers},
    {.dtype = MUSTER_FLOAT32, .dimensions = 2, .shape = {0, 7}},
};
static const struct muster_scalar scalars[] = {{"lr", 0.01}, {"epochs", 20}};
static const struct muster_message train = {
    .kind = MUSTER_TRAIN, .arrays = arrays, .array_count = 4, .scalars = scalars, .scalar_count = 2};

/* ---- pieces ---- */

struct cut {
    struct piece *pieces;
    size_t count;
};

static void add_piece(struct cut *cut, const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    cr_assert_not_null(copy);
    if (size)
        memcpy(copy, bytes, size);
    cut->pieces[cut->count++] = (struct piece){copy, size};
}

static struct cut cut_new(size_t most)
{
    struct cut cut = {.pieces = calloc(most, sizeof(struct piece))};
    cr_assert_not_null(cut.pieces);
    return cut;
}

static struct cut cut_at(const uint8_t *bytes, size_t size, size_t at)
{
    struct cut cut = cut_new(2);
    add_piece(&cut, bytes, at);
    add_piece(&cut, bytes + at, size - at);
    return cut;
}

/* Byte by byte, with pieces of nothing between them. */
static struct cut cut_small(const uint8_t *bytes, size_t size)
{
    struct cut cut = cut_new(2 * size + 1);
    add_piece(&cut, bytes, 0);
    for (size_t i = 0; i < size; i++) {
        add_piece(&cut, bytes + i, 1);
        add_piece(&cut, bytes, 0);
    }
    return cut;
}

static void cut_free(struct cut *cut)
{
    for (size_t i = 0; i < cut->count; i++)
        free((void *)(uintptr_t)cut->pieces[i].data);
    free(cut->pieces);
}

/* ---- whole messages ---- */

static bool same_array(const struct muster_array *a, const struct muster_array *b)
{
    size_t size = muster_array_count(b) * muster_dtype_size(b->dtype);
    return a->dtype == b->dtype && a->dimensions == b->dimensions &&
           memcmp(a->shape, b->shape, sizeof(a->shape)) == 0 &&
           (size == 0 || memcmp(a->data, b->data, size) == 0) &&
           (uintptr_t)a->data % muster_dtype_size(a->dtype) == 0;
}

static void expect_train(const struct cut *cut)
{
    struct envelope envelope;
    struct muster_error error;
    cr_assert_eq(muster__decode(TO_SERVER, cut->pieces, cut->count, &envelope, &error), MUSTER_OK, "%s",
                 error.text);
    cr_assert_eq(envelope.turn, 300);
    cr_assert_eq(envelope.announced, 0);
    cr_assert_eq(envelope.message.kind, MUSTER_TRAIN);
    cr_assert_eq(envelope.message.array_count, 4);
    for (size_t i = 0; i < 4; i++)
        cr_assert(same_array(&envelope.message.arrays[i], &arrays[i]), "array %zu", i);
    cr_assert_eq(envelope.message.scalar_count, 2);
    cr_assert_str_eq(envelope.message.scalars[1].name, "epochs");
    cr_assert_eq(envelope.message.scalars[1].value, 20);
    muster__envelope_clear(&envelope);
}

static uint8_t *encode(const struct muster_message *message, uint64_t max_payload_size, size_t *size)
{
    uint8_t head[STREAM_HEAD_MAX];
    struct buffer *body;
    const struct encoding encoding = {.max_message_size = SIZE_MAX, .max_payload_size = max_payload_size};
    size_t head_size = muster__encode_turn(TO_SERVER, 300, head);
    cr_assert_eq(muster__encode(TO_SERVER, message, &encoding, &body, NULL), MUSTER_OK);
    *size = head_size + body->size;
    uint8_t *bytes = malloc(*size);
    cr_assert_not_null(bytes);
    memcpy(bytes, head, head_size);
    memcpy(bytes + head_size, body->data, body->size);
    muster__buffer_release(body);
    return bytes;
}

Test(reader, message_in_two_pieces_cut_anywhere)
{
    size_t size;
    uint8_t *bytes = encode(&train, 0, &size);
    for (size_t at = 0; at <= size; at++) {
        struct cut cut = cut_at(bytes, size, at);
        expect_train(&cut);
        cut_free(&cut);
    }
    free(bytes);
}

Test(reader, message_byte_by_byte)
{
    size_t size;
    uint8_t *bytes = encode(&train, 0, &size);
    struct cut cut = cut_small(bytes, size);
    expect_train(&cut);
    cut_free(&cut);
    free(bytes);
}

Test(reader, beginning_of_a_message_byte_by_byte)
{
    size_t size;
    uint8_t *bytes = encode(&train, 0, &size);
    for (size_t part = 3; part < size; part++) {
        struct cut cut = part < 1000 ? cut_small(bytes, part) : cut_at(bytes, part, part / 2);
        struct envelope envelope;
        cr_assert_eq(muster__decode(TO_SERVER, cut.pieces, cut.count, &envelope, NULL),
                     part == 3 ? MUSTER_OK : MUSTER_PROTOCOL, "%zu", part);
        muster__envelope_clear(&envelope);
        cut_free(&cut);
    }
    free(bytes);
}

Test(reader, no_pieces_at_all)
{
    struct envelope envelope;
    cr_assert_eq(muster__decode(TO_SERVER, NULL, 0, &envelope, NULL), MUSTER_OK);
    cr_assert_eq(envelope.content, CONTENT_MESSAGE);
    cr_assert_eq(envelope.message.kind, MUSTER_EMPTY);
    muster__envelope_clear(&envelope);
}

Test(reader, announcement_cut_anywhere)
{
    size_t size;
    uint8_t *bytes = encode(&train, UINT64_MAX, &size);
    for (size_t at = 0; at <= size; at++) {
        struct cut cut = cut_at(bytes, size, at);
        struct envelope envelope;
        cr_assert_eq(muster__decode(TO_SERVER, cut.pieces, cut.count, &envelope, NULL), MUSTER_OK);
        cr_assert_eq(envelope.announced, 6000);
        cr_assert_eq(envelope.message.array_count, 4);
        cr_assert(same_array(&envelope.message.arrays[0], &arrays[0]));
        cr_assert_null(envelope.message.arrays[2].data);
        cr_assert_eq(envelope.message.arrays[2].shape[1], 250);
        muster__envelope_clear(&envelope);
        cut_free(&cut);
    }
    free(bytes);
}

Test(reader, chunk_cut_anywhere)
{
    uint8_t bytes[STREAM_HEAD_MAX + 200];
    uint8_t read[200];
    size_t head_size = muster__encode_chunk(TO_PARTICIPANT, 300, 70000, UINT64_MAX, 200, bytes);
    memcpy(bytes + head_size, numbers + 5800, 200);
    for (size_t at = 0; at <= head_size + 200; at++) {
        struct cut cut = cut_at(bytes, head_size + 200, at);
        struct envelope envelope;
        cr_assert_eq(muster__decode(TO_PARTICIPANT, cut.pieces, cut.count, &envelope, NULL), MUSTER_OK);
        cr_assert_eq(envelope.content, CONTENT_CHUNK);
        cr_assert_eq(envelope.turn, 300);
        cr_assert_eq(envelope.grant, 70000);
        cr_assert_eq(envelope.offset, UINT64_MAX);
        cr_assert_eq(envelope.chunk.left, 200);
        muster__read_bytes(&envelope.chunk, read, 200);
        cr_assert_eq(memcmp(read, numbers + 5800, 200), 0);
        muster__envelope_clear(&envelope);
        cut_free(&cut);
    }
}

/* ---- single fields ---- */

static bool read_field(const char *bytes, size_t size, struct field *field, size_t *left)
{
    struct cut cut = cut_small((const uint8_t *)bytes, size);
    struct reader reader = muster__reader(cut.pieces, cut.count);
    bool read = muster__read_field(&reader, field);
    *left = reader.left;
    cut_free(&cut);
    return read;
}

#define READ(literal) read_field((literal), sizeof(literal) - 1, &field, &left)

Test(reader, numbers)
{
    struct field field;
    size_t left;
    cr_assert(READ("\x08\x00x"));
    cr_assert_eq(field.number, 1);
    cr_assert_eq(field.type, WIRE_VARINT);
    cr_assert_eq(field.value, 0);
    cr_assert_eq(left, 1);
    cr_assert(READ("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
    cr_assert_eq(field.value, UINT64_MAX);
    cr_assert(READ("\x09\x01\x02\x03\x04\x05\x06\x07\x08"));
    cr_assert_eq(field.value, 0x0807060504030201);
    cr_assert(READ("\x0d\x01\x02\x03\xff"));
    cr_assert_eq(field.value, 0xff030201);
    cr_assert(READ("\xf8\xff\xff\xff\x0f\x07")); /* the highest number of a field */
    cr_assert_eq(field.number, ((uint32_t)1 << 29) - 1);
    cr_assert_eq(field.value, 7);
    cr_assert_eq(left, 0);
}

Test(reader, bytes_that_are_no_field)
{
    struct field field;
    size_t left;
    cr_assert_not(READ(""));
    cr_assert_not(READ("\x08"));
    cr_assert_not(READ("\x08\x80"));
    cr_assert_not(READ("\x00\x00")); /* number 0 */
    cr_assert_not(READ("\x0b"));     /* groups, and what is no type */
    cr_assert_not(READ("\x0c"));
    cr_assert_not(READ("\x0e\x00"));
    cr_assert_not(READ("\x0f\x00"));
    cr_assert_not(READ("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")); /* eleven bytes */
    cr_assert_not(READ("\xf8\xff\xff\xff\x1f\x07"));                         /* number 2^29 and more */
    cr_assert_not(READ("\x09\x01\x02\x03\x04\x05\x06\x07"));
    cr_assert_not(READ("\x0d\x01\x02\x03"));
    cr_assert_not(READ("\x0a\x03xy"));
    cr_assert_not(READ("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01xy"));
}

Test(reader, contents_are_read_on_their_own)
{
    struct cut cut = cut_small((const uint8_t *)"\x0a\x04\x08\x01\x10\x02\x18\x03", 8);
    struct reader reader = muster__reader(cut.pieces, cut.count);
    struct field field, inner;
    cr_assert_eq(reader.left, 8);
    cr_assert(muster__read_field(&reader, &field));
    cr_assert_eq(reader.left, 2);
    cr_assert_eq(field.contents.left, 4);
    for (size_t i = 0; i < 2; i++) { /* copying it is starting over */
        struct reader contents = field.contents;
        cr_assert(muster__read_field(&contents, &inner));
        cr_assert_eq(inner.number, 1);
        cr_assert(muster__read_field(&contents, &inner));
        cr_assert_eq(inner.number, 2);
        cr_assert_eq(contents.left, 0);
        cr_assert_not(muster__read_field(&contents, &inner));
    }
    cr_assert(muster__read_field(&reader, &field));
    cr_assert_eq(field.number, 3);
    cr_assert_eq(field.value, 3);
    cut_free(&cut);
}
