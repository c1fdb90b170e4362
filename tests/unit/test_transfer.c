/* Transfers: what is announced and what follows in chunks, cut up and put together again; and announcements
   and chunks that nobody should write. */
#include <config.h>

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "link/transfer.h"
#include "wire/reader.h"

#define TURN 7

/* ---- a stream that keeps what it is given ---- */

enum { PARTS_MAX = 64 };

struct keeper {
    struct stream base;
    size_t count;
    size_t sizes[PARTS_MAX]; /* of data */
    uint8_t *parts[PARTS_MAX];
    size_t whole_sizes[PARTS_MAX];
    enum muster_status status; /* that it answers */
};

static enum muster_status keep_part(struct stream *base, const uint8_t *head, size_t head_size,
                                    struct buffer *body, const struct piece *pieces, size_t count)
{
    struct keeper *keeper = (struct keeper *)base;
    size_t n = keeper->count;
    if (keeper->status != MUSTER_OK)
        return keeper->status;
    cr_assert_lt(n, PARTS_MAX);
    cr_assert_not_null(body);
    cr_assert_gt(count, 0);
    cr_assert_leq(count, STREAM_PIECES_MAX);
    keeper->sizes[n] = 0;
    for (size_t i = 0; i < count; i++)
        keeper->sizes[n] += pieces[i].size;
    keeper->whole_sizes[n] = head_size + keeper->sizes[n];
    keeper->parts[n] = malloc(keeper->whole_sizes[n]);
    memcpy(keeper->parts[n], head, head_size);
    uint8_t *at = keeper->parts[n] + head_size;
    for (size_t i = 0; i < count; i++) {
        memcpy(at, pieces[i].data, pieces[i].size);
        at += pieces[i].size;
    }
    keeper->count++;
    return MUSTER_OK;
}

static const struct stream_ops keeper_ops = {.send_part = keep_part};

static void keeper_clear(struct keeper *keeper)
{
    for (size_t i = 0; i < keeper->count; i++)
        free(keeper->parts[i]);
    *keeper = (struct keeper){.base = {&keeper_ops}};
}

/* ---- messages ---- */

static float floats[20000];

static void fill(void)
{
    for (size_t i = 0; i < sizeof(floats) / sizeof(floats[0]); i++)
        floats[i] = (float)i;
}

static struct muster_array vector(size_t first, size_t count)
{
    return (struct muster_array){
        .dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {count}, .data = floats + first};
}

static struct buffer *encode(const struct muster_message *message, sem_t *borrow)
{
    struct buffer *body;
    const struct encoding encoding = {
        .max_message_size = SIZE_MAX, .max_payload_size = UINT64_MAX, .borrow = borrow};
    cr_assert_eq(muster__encode(TO_SERVER, message, &encoding, &body, NULL), MUSTER_OK);
    return body;
}

/* A chunk's data is read out of the piece later. */
static struct envelope decode_piece(const struct piece *piece)
{
    struct envelope envelope;
    struct muster_error error;
    cr_assert_eq(muster__decode(TO_SERVER, piece, 1, &envelope, &error), MUSTER_OK, "%s", error.text);
    return envelope;
}

static struct envelope decode(const void *bytes, size_t size)
{
    const struct piece piece = {bytes, size};
    return decode_piece(&piece);
}

/* ---- encoding ---- */

Test(transfer, only_big_arrays_are_announced)
{
    fill();
    const struct muster_array arrays[] = {vector(0, 1024), vector(1, 1023), vector(2, 0), vector(3, 5000)};
    const struct muster_message message = {.kind = MUSTER_TRAIN, .arrays = arrays, .array_count = 4};
    struct buffer *body = encode(&message, NULL);
    cr_assert_not_null(body->payload);
    cr_assert_eq(body->payload->count, 2);
    cr_assert_eq(body->payload->size, 4 * (1024 + 5000));
    cr_assert_neq(body->payload->pieces[0].data, (const uint8_t *)floats);
    cr_assert_eq(memcmp(body->payload->pieces[0].data, floats, 4096), 0);
    cr_assert_eq(memcmp(body->payload->pieces[1].data, floats + 3, 20000), 0);
    struct envelope envelope = decode(body->data, body->size);
    cr_assert_eq(envelope.announced, body->payload->size);
    cr_assert_null(envelope.message.arrays[0].data);
    cr_assert_eq(memcmp(envelope.message.arrays[1].data, floats + 1, 1023 * 4), 0);
    cr_assert_null(envelope.message.arrays[3].data);
    cr_assert_eq(envelope.message.arrays[3].shape[0], 5000);
    muster__envelope_clear(&envelope);
    muster__buffer_release(body);
}

static size_t whole_size(const struct muster_message *message)
{
    struct buffer *body;
    cr_assert_eq(
        muster__encode(TO_SERVER, message, &(struct encoding){.max_message_size = SIZE_MAX}, &body, NULL),
        MUSTER_OK);
    size_t size = body->size;
    cr_assert_null(body->payload);
    muster__buffer_release(body);
    return size;
}

Test(transfer, threshold_is_of_the_whole_message)
{
    const struct muster_array arrays[] = {vector(0, 2000), vector(0, 100), vector(0, 3000)};
    const struct muster_message message = {.kind = MUSTER_TRAIN, .arrays = arrays, .array_count = 3};
    size_t size = whole_size(&message);
    for (size_t threshold = size - 1; threshold <= size; threshold++) {
        struct buffer *body;
        const struct encoding encoding = {
            .max_message_size = SIZE_MAX, .max_payload_size = UINT64_MAX, .chunk_threshold = threshold};
        cr_assert_eq(muster__encode(TO_SERVER, &message, &encoding, &body, NULL), MUSTER_OK);
        cr_assert_eq(body->payload != NULL, threshold < size);
        cr_assert_eq(body->size == size, threshold == size);
        muster__buffer_release(body);
    }
}

Test(transfer, limits)
{
    const struct muster_array array = vector(0, 2000);
    const struct muster_message message = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
    struct buffer *body = encode(&message, NULL);
    size_t size = body->size;
    muster__buffer_release(body);
    struct encoding encoding = {.max_message_size = size + STREAM_HEAD_MAX, .max_payload_size = 8000};
    cr_assert_eq(muster__encode(TO_SERVER, &message, &encoding, &body, NULL), MUSTER_OK);
    muster__buffer_release(body);
    encoding.max_message_size--;
    cr_assert_eq(muster__encode(TO_SERVER, &message, &encoding, &body, NULL), MUSTER_TOO_BIG);
    cr_assert_null(body);
    encoding.max_message_size++;
    encoding.max_payload_size--;
    cr_assert_eq(muster__encode(TO_SERVER, &message, &encoding, &body, NULL), MUSTER_TOO_BIG);
    cr_assert_null(body);
}

Test(transfer, borrowed_memory_is_returned_with_the_last_reference)
{
    sem_t returned;
    sem_init(&returned, 0, 0);
    const struct muster_message message = {
        .kind = MUSTER_APPLICATION, .type = "mine", .data = floats, .size = sizeof(floats)};
    struct buffer *body = encode(&message, &returned);
    cr_assert_eq(body->payload->pieces[0].data, (const uint8_t *)floats);
    muster__buffer_retain(body);
    muster__buffer_release(body);
    cr_assert_neq(sem_trywait(&returned), 0);
    muster__buffer_release(body);
    cr_assert_eq(sem_trywait(&returned), 0);
    sem_destroy(&returned);
}

/* ---- there and back ---- */

/* A chunk as some transports deliver it: its data has been read to where it belongs, if that is one place. */
static bool take_in_place(struct incoming *incoming, const uint8_t *part, size_t size, size_t data_size)
{
    struct envelope envelope;
    struct muster_error error;
    size_t head = size - data_size;
    for (size_t there = 0; there < head; there++)
        cr_assert_eq(muster__decode_chunk_head(TO_SERVER, part, there, size, &envelope), 0);
    cr_assert_eq(muster__decode_chunk_head(TO_SERVER, part, size, size, &envelope), head);
    cr_assert_eq(muster__decode_chunk_head(TO_SERVER, part, size, size - 1, &envelope), 0);
    cr_assert_eq(muster__decode_chunk_head(TO_PARTICIPANT, part, size, size, &envelope), 0);
    cr_assert_eq(muster__decode_chunk_head(TO_SERVER, part, head, size, &envelope), head);
    cr_assert_null(muster__incoming_place(incoming, &envelope, 0));
    cr_assert_null(muster__incoming_place(incoming, &envelope, (size_t)(incoming->size + 1)));
    uint8_t *place = muster__incoming_place(incoming, &envelope, data_size);
    envelope.offset++;
    cr_assert_null(muster__incoming_place(incoming, &envelope, data_size));
    if (!place)
        return false;
    memcpy(place, part + head, data_size);
    const struct piece pieces[] = {{part, head}, {place, data_size}};
    cr_assert_eq(muster__decode(TO_SERVER, pieces, 2, &envelope, &error), MUSTER_OK);
    cr_assert_eq(muster__incoming_add(incoming, &envelope, &error), MUSTER_OK, "%s", error.text);
    muster__envelope_clear(&envelope);
    return true;
}

/* Puts what was kept into the message that was announced; returns the payload's end. */
static void take_all(struct incoming *incoming, const struct keeper *keeper, size_t from)
{
    for (size_t i = from; i < keeper->count; i++) {
        if (i % 2 == 1 && take_in_place(incoming, keeper->parts[i], keeper->whole_sizes[i], keeper->sizes[i]))
            continue;
        const struct piece piece = {keeper->parts[i], keeper->whole_sizes[i]};
        struct envelope envelope = decode_piece(&piece);
        struct muster_error error;
        cr_assert_eq(envelope.content, CONTENT_CHUNK);
        cr_assert_eq(envelope.turn, TURN);
        cr_assert_eq(envelope.chunk.left, keeper->sizes[i]);
        cr_assert_eq(muster__incoming_add(incoming, &envelope, &error), MUSTER_OK, "%s", error.text);
        muster__envelope_clear(&envelope);
    }
}

static void send_all(struct outgoing *outgoing, struct keeper *keeper)
{
    while (muster__outgoing_busy(outgoing)) {
        size_t count = keeper->count;
        outgoing->on_wire = false;
        muster__outgoing_next(outgoing, TO_SERVER, &keeper->base);
        cr_assert_leq(keeper->count, count + 1);
    }
}

static void count_returned(void *context, uint64_t size)
{
    *(uint64_t *)context += size;
}

static void expect_through(const struct muster_message *message, size_t max_message_size)
{
    struct keeper keeper = {.base = {&keeper_ops}};
    struct outgoing outgoing = {.max_message_size = max_message_size};
    struct incoming incoming = {0};
    uint64_t returned = 0;
    struct buffer *body = encode(message, NULL);
    struct envelope envelope = decode(body->data, body->size);
    muster__incoming_begin(&incoming, &envelope, body->size);
    cr_assert(muster__payload_begin(&incoming.message, count_returned, &returned));
    muster__outgoing_begin(&outgoing, body, TURN);
    muster__outgoing_next(&outgoing, TO_SERVER, &keeper.base);
    cr_assert_eq(keeper.count, 0); /* it was not let go */
    muster__outgoing_start(&outgoing, 1, 0);
    send_all(&outgoing, &keeper);
    for (size_t i = 0; i < keeper.count; i++)
        cr_assert_leq(keeper.whole_sizes[i], max_message_size);
    take_all(&incoming, &keeper, 0);
    cr_assert_eq(incoming.received, incoming.size);
    struct muster_message got = muster__incoming_take(&incoming);
    for (size_t i = 0; i < message->array_count; i++) {
        size_t size = muster_array_count(&message->arrays[i]) * sizeof(float);
        cr_assert(size == 0 || memcmp(got.arrays[i].data, message->arrays[i].data, size) == 0);
        cr_assert_eq((uintptr_t)got.arrays[i].data % sizeof(float), 0);
    }
    cr_assert(message->size == 0 || memcmp(got.data, message->data, message->size) == 0);
    muster_message_clear(&got);
    cr_assert_eq(returned, body->payload->size);
    muster__outgoing_begin(&outgoing, NULL, 0);
    muster__buffer_release(body);
    keeper_clear(&keeper);
}

Test(transfer, there_and_back)
{
    struct muster_array arrays[40];
    fill();
    for (size_t i = 0; i < 40; i++)
        arrays[i] = vector(i * 7, i % 5 ? 1024 + i * 3 : i);
    const struct muster_message many = {.kind = MUSTER_TRAIN, .arrays = arrays, .array_count = 40};
    const struct muster_message bytes = {
        .kind = MUSTER_APPLICATION, .type = "mine", .data = (uint8_t *)floats + 1, .size = 79999};
    static const size_t limits[] = {SIZE_MAX, 1 << 20, 5000, 1 << 16};
    for (size_t i = 0; i < 4; i++) {
        expect_through(&bytes, limits[i]);
        if (limits[i] > 5000)
            expect_through(&many, limits[i]);
    }
}

/* ---- outgoing ---- */

struct sending {
    struct keeper keeper;
    struct outgoing outgoing;
    struct buffer *body;
};

static void sending_begin(struct sending *sending)
{
    const struct muster_message message = {
        .kind = MUSTER_APPLICATION, .type = "mine", .data = floats, .size = 50000};
    *sending = (struct sending){.keeper = {.base = {&keeper_ops}},
                                .outgoing = {.max_message_size = 20000 + STREAM_HEAD_MAX},
                                .body = encode(&message, NULL)};
    muster__outgoing_begin(&sending->outgoing, sending->body, TURN);
    muster__outgoing_start(&sending->outgoing, 3, 0);
    muster__outgoing_next(&sending->outgoing, TO_SERVER, &sending->keeper.base);
    cr_assert_eq(sending->keeper.count, 1);
}

static void sending_end(struct sending *sending)
{
    muster__outgoing_begin(&sending->outgoing, NULL, 0);
    muster__buffer_release(sending->body);
    keeper_clear(&sending->keeper);
}

static void expect_part(const struct sending *sending, size_t n, uint64_t grant, uint64_t offset, size_t size)
{
    struct envelope envelope = decode(sending->keeper.parts[n], sending->keeper.whole_sizes[n]);
    cr_assert_eq(envelope.grant, grant);
    cr_assert_eq(envelope.offset, offset);
    cr_assert_eq(envelope.chunk.left, size);
    muster__envelope_clear(&envelope);
}

Test(transfer, one_chunk_at_a_time)
{
    struct sending sending;
    sending_begin(&sending);
    muster__outgoing_next(&sending.outgoing, TO_SERVER, &sending.keeper.base);
    cr_assert_eq(sending.keeper.count, 1);
    send_all(&sending.outgoing, &sending.keeper);
    cr_assert_eq(sending.keeper.count, 3);
    expect_part(&sending, 0, 3, 0, 20000);
    expect_part(&sending, 1, 3, 20000, 20000);
    expect_part(&sending, 2, 3, 40000, 10000);
    cr_assert_not(muster__outgoing_busy(&sending.outgoing));
    muster__outgoing_next(&sending.outgoing, TO_SERVER, &sending.keeper.base);
    cr_assert_eq(sending.keeper.count, 3);
    sending_end(&sending);
}

Test(transfer, start_is_starting_over)
{
    struct sending sending;
    sending_begin(&sending);
    muster__outgoing_start(&sending.outgoing, 4, 0);
    muster__outgoing_next(&sending.outgoing, TO_SERVER, &sending.keeper.base);
    cr_assert_eq(sending.keeper.count, 1); /* one is on its way */
    send_all(&sending.outgoing, &sending.keeper);
    cr_assert_eq(sending.keeper.count, 4);
    expect_part(&sending, 1, 4, 0, 20000);
    expect_part(&sending, 3, 4, 40000, 10000);
    sending_end(&sending);
}

/* Another takes its place: the chunk that is on its way is waited for. */
Test(transfer, another_takes_over)
{
    struct sending sending;
    sending_begin(&sending);
    const struct muster_message message = {
        .kind = MUSTER_APPLICATION, .type = "mine", .data = floats, .size = 6000};
    struct buffer *other = encode(&message, NULL);
    muster__outgoing_begin(&sending.outgoing, other, TURN + 1);
    muster__outgoing_start(&sending.outgoing, 0, 0);
    muster__outgoing_next(&sending.outgoing, TO_SERVER, &sending.keeper.base);
    cr_assert_eq(sending.keeper.count, 1);
    cr_assert(muster__outgoing_busy(&sending.outgoing));
    send_all(&sending.outgoing, &sending.keeper);
    cr_assert_eq(sending.keeper.count, 2);
    expect_part(&sending, 1, 0, 0, 6000);
    muster__buffer_release(other);
    sending_end(&sending);
}

Test(transfer, stream_that_takes_nothing_or_is_away)
{
    struct sending sending;
    sending_begin(&sending);
    sending.outgoing.on_wire = false;
    sending.keeper.status = MUSTER_CLOSED;
    muster__outgoing_next(&sending.outgoing, TO_SERVER, &sending.keeper.base);
    cr_assert_not(sending.outgoing.on_wire);
    muster__outgoing_next(&sending.outgoing, TO_SERVER, NULL);
    cr_assert_eq(sending.keeper.count, 1);
    sending_end(&sending);
}

Test(transfer, message_without_chunks)
{
    const struct muster_message message = {.kind = MUSTER_APPLICATION, .data = floats, .size = 100};
    struct keeper keeper = {.base = {&keeper_ops}};
    struct outgoing outgoing = {.max_message_size = SIZE_MAX};
    struct buffer *body = encode(&message, NULL);
    muster__outgoing_begin(&outgoing, body, TURN);
    muster__outgoing_start(&outgoing, 0, 0);
    muster__outgoing_next(&outgoing, TO_SERVER, &keeper.base);
    cr_assert_not(muster__outgoing_busy(&outgoing));
    cr_assert_null(outgoing.body);
    muster__buffer_release(body);
}

/* ---- incoming ---- */

static struct incoming announced(size_t size, uint64_t *returned)
{
    const struct muster_message message = {
        .kind = MUSTER_APPLICATION, .type = "mine", .data = floats, .size = size};
    struct buffer *body = encode(&message, NULL);
    struct envelope envelope = decode(body->data, body->size);
    struct incoming incoming = {0};
    muster__incoming_begin(&incoming, &envelope, body->size);
    cr_assert_null(envelope.message.storage);
    cr_assert_eq(incoming.size, size);
    cr_assert(muster__payload_begin(&incoming.message, count_returned, returned));
    muster__buffer_release(body);
    return incoming;
}

static enum muster_status add(struct incoming *incoming, uint64_t offset, size_t size)
{
    const struct piece piece = {(const uint8_t *)floats + offset % 50000, size};
    struct envelope envelope = {
        .content = CONTENT_CHUNK, .offset = offset, .chunk = muster__reader(&piece, 1)};
    struct muster_error error = {MUSTER_OK, ""};
    enum muster_status status = muster__incoming_add(incoming, &envelope, &error);
    cr_assert_eq(error.text[0] != '\0', status != MUSTER_OK);
    return status;
}

Test(transfer, chunks_out_of_turn)
{
    uint64_t returned = 0;
    struct incoming incoming = announced(20000, &returned);
    cr_assert_eq(add(&incoming, 1, 100), MUSTER_PROTOCOL);
    cr_assert_eq(add(&incoming, 0, 0), MUSTER_PROTOCOL);
    cr_assert_eq(add(&incoming, 0, 20001), MUSTER_PROTOCOL);
    cr_assert_eq(add(&incoming, 0, 100), MUSTER_OK);
    cr_assert_eq(add(&incoming, 0, 100), MUSTER_PROTOCOL);
    cr_assert_eq(add(&incoming, UINT64_MAX, 100), MUSTER_PROTOCOL);
    cr_assert_eq(add(&incoming, 100, 19901), MUSTER_PROTOCOL);
    cr_assert_eq(add(&incoming, 100, 19900), MUSTER_OK);
    cr_assert_eq(add(&incoming, 20000, 1), MUSTER_PROTOCOL);
    struct muster_message message = muster__incoming_take(&incoming);
    cr_assert_eq(incoming.size, 0);
    cr_assert_eq(memcmp(message.data, floats, 20000), 0);
    cr_assert_eq(returned, 0);
    muster_message_clear(&message);
    cr_assert_eq(returned, 20000);
}

Test(transfer, memory_that_is_handed_over)
{
    uint64_t returned = 0;
    struct incoming incoming = announced(20000, &returned);
    struct muster_message message = muster__incoming_take(&incoming);
    muster__payload_hand_over(&message);
    cr_assert_eq(returned, 20000);
    muster__payload_hand_over(&message);
    muster_message_clear(&message);
    cr_assert_eq(returned, 20000);
    struct muster_message nothing = MUSTER_MESSAGE_INIT;
    muster__payload_hand_over(&nothing);
}

Test(transfer, memory_that_is_dropped_and_taken_again)
{
    uint64_t returned = 0;
    struct incoming incoming = announced(20000, &returned);
    cr_assert_eq(add(&incoming, 0, 10000), MUSTER_OK);
    muster__payload_drop(&incoming.message);
    cr_assert_eq(returned, 20000);
    cr_assert_null(incoming.message.data);
    cr_assert_eq(incoming.message.size, 20000);
    cr_assert(muster__payload_begin(&incoming.message, count_returned, &returned));
    incoming.received = 0;
    cr_assert_eq(add(&incoming, 0, 20000), MUSTER_OK);
    struct muster_message message = muster__incoming_take(&incoming);
    cr_assert_eq(memcmp(message.data, floats, 20000), 0);
    muster_message_clear(&message);
    cr_assert_eq(returned, 40000);
}

Test(transfer, bools_are_looked_at_as_they_come)
{
    static uint8_t bools[10000];
    for (size_t i = 0; i < sizeof(bools); i++)
        bools[i] = i % 3 == 0;
    const struct muster_array arrays[] = {
        vector(0, 2000), {.dtype = MUSTER_BOOL, .dimensions = 1, .shape = {sizeof(bools)}, .data = bools}};
    const struct muster_message message = {.kind = MUSTER_TRAIN, .arrays = arrays, .array_count = 2};
    fill();
    struct buffer *body = encode(&message, NULL);
    struct envelope envelope = decode(body->data, body->size);
    struct incoming incoming = {.message = MUSTER_MESSAGE_INIT};
    muster__incoming_begin(&incoming, &envelope, 0);
    cr_assert(muster__payload_begin(&incoming.message, NULL, NULL));
    envelope.chunk = (struct reader){.piece = &(struct piece){(const uint8_t *)floats, 8000}, .left = 8000};
    cr_assert_eq(muster__incoming_add(&incoming, &envelope, NULL), MUSTER_OK); /* floats are what they are */
    envelope.chunk = (struct reader){.piece = &(struct piece){bools, 5000}, .left = 5000};
    envelope.offset = 8000;
    cr_assert_eq(muster__incoming_add(&incoming, &envelope, NULL), MUSTER_OK);
    bools[9999] = 2;
    struct muster_error error;
    envelope.chunk = (struct reader){.piece = &(struct piece){bools + 5000, 5000}, .left = 5000};
    envelope.offset = 13000;
    cr_assert_eq(muster__incoming_add(&incoming, &envelope, &error), MUSTER_PROTOCOL);
    cr_assert_str_eq(error.text, "a chunk with a bool that is neither 0 nor 1");
    struct muster_message taken = muster__incoming_take(&incoming);
    muster_message_clear(&taken);
    muster__buffer_release(body);
}

/* ---- announcements that nobody should write ---- */

static void expect_refused(const void *bytes, size_t size, const char *text)
{
    struct envelope envelope;
    struct muster_error error = {MUSTER_OK, ""};
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, bytes, size);
    cr_assert_eq(muster__decode(TO_SERVER, &(struct piece){copy, size}, 1, &envelope, &error),
                 MUSTER_PROTOCOL);
    cr_assert(strstr(error.text, text) != NULL, "expected '%s', got '%s'", text, error.text);
    cr_assert_null(envelope.message.storage);
    free(copy);
}

/* result { theta { header: "..." } }, and behind it `more` inside of theta. */
static void expect_bad_header(const char *dictionary, const char *more, size_t more_size, const char *text)
{
    uint8_t bytes[512];
    size_t length = strlen(dictionary);
    size_t header = 10 + length;
    size_t inner = 2 + header + more_size;
    cr_assert_lt(inner + 2, 128);
    uint8_t *at = bytes;
    *at++ = 0x0a;
    *at++ = (uint8_t)(inner + 2);
    *at++ = 0x0a;
    *at++ = (uint8_t)inner;
    *at++ = 0x12;
    *at++ = (uint8_t)header;
    memcpy(at, "\x93NUMPY\x01\x00", 8);
    at[8] = (uint8_t)length;
    at[9] = 0;
    memcpy(at + 10, dictionary, length);
    memcpy(at + 10 + length, more, more_size);
    expect_refused(bytes, inner + 4, text);
}

Test(transfer, headers_that_make_no_sense)
{
    char most[128]; /* of an array, which is not the most of a message */
    snprintf(most, sizeof(most), "{'descr': '<f8', 'fortran_order': False, 'shape': (%zu,)}", SIZE_MAX / 16);
    expect_bad_header("{'descr': '<f4', 'fortran_order': True, 'shape': (9, 9)}", "", 0, "Fortran");
    expect_bad_header("{'descr': '<f4', 'fortran_order': False, 'shape': (0,)}", "", 0, "empty");
    expect_bad_header("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,)}", "", 0,
                      "bigger than memory");
    expect_bad_header(most, "", 0, "more is announced than there is memory");
    expect_bad_header("{'descr': '<f3', 'fortran_order': False, 'shape': (9,)}", "", 0, "not supported");
    expect_bad_header("{'descr': '<f4', 'fortran_order': False, 'shape': (9,)}", "\x0a\x01x", 3, "twice");
    expect_bad_header("{'descr': '<f4', 'fortran_order': False, 'shape': (9,)}", "\x12\x01x", 3, "twice");
    expect_bad_header("{", "", 0, "array 0: ");
    expect_refused("\x0a\x04\x0a\x02\x12\x00", 6, "array 0: ");
    expect_refused("\x0a\x04\x0a\x02\x10\x01", 6, "no message"); /* a number in the header's place */
}

Test(transfer, header_that_is_too_long)
{
    enum { LONG = 1100 };
    uint8_t bytes[LONG + 9] = {0x0a, 0xd2, 0x08, 0x0a, 0xcf, 0x08, 0x12, 0xcc, 0x08};
    expect_refused(bytes, sizeof(bytes), "longer than 1024 bytes");
}

/* payload { ... } with field 3, `announced`. */
Test(transfer, application_data_that_makes_no_sense)
{
    expect_refused("\x2a\x06\x12\x01x\x18\x90\x4e", 8, "announced");
    expect_refused("\x2a\x0b\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 13, "announced");
    expect_refused("\x2a\x03\x1a\x01x", 5, "no message");
    /* 5 more than 4 GiB, of which a size_t of 32 bits would keep 5. */
    static const char beyond[] = "\x2a\x06\x18\x85\x80\x80\x80\x10";
    if (SIZE_MAX <= UINT32_MAX) {
        expect_refused(beyond, 8, "more is announced than there can be");
    } else {
        struct envelope huge = decode(beyond, 8);
        cr_assert_eq(huge.announced, (UINT64_C(1) << 32) + 5);
        cr_assert_eq(huge.message.size, huge.announced);
        muster__envelope_clear(&huge);
    }
    struct envelope envelope = decode("\x2a\x02\x18\x05", 4);
    cr_assert_eq(envelope.announced, 5);
    cr_assert_eq(envelope.message.size, 5);
    cr_assert_null(envelope.message.data);
    muster__envelope_clear(&envelope);
}

/* chunk { ... } and grant { ... } with fields of other types. */
Test(transfer, chunks_and_grants_that_make_no_sense)
{
    struct envelope envelope;
    expect_refused("\x42\x03\x0a\x01x", 5, "no message");
    expect_refused("\x42\x02\x10\x01", 4, "no message");
    expect_refused("\x42\x05\x12\x09yyy", 7, "no message");
    cr_assert_eq(muster__decode(TO_PARTICIPANT, &(struct piece){(const uint8_t *)"\x42\x03\x0a\x01x", 5}, 1,
                                &envelope, NULL),
                 MUSTER_PROTOCOL);
    envelope = decode("\x42\x00", 2);
    cr_assert_eq(envelope.content, CONTENT_CHUNK);
    cr_assert_eq(envelope.chunk.left, 0);
    muster__envelope_clear(&envelope);
}

/* Whatever is announced can be made room for, or not, and be cleared. */
static void read_anything(const uint8_t *bytes, size_t size)
{
    struct envelope envelope;
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, bytes, size);
    enum muster_status status = muster__decode(TO_SERVER, &(struct piece){copy, size}, 1, &envelope, NULL);
    cr_assert(status == MUSTER_OK || status == MUSTER_PROTOCOL || status == MUSTER_INVALID);
    if (status == MUSTER_OK && envelope.announced && envelope.announced < (1 << 20)) {
        cr_assert(muster__payload_begin(&envelope.message, NULL, NULL));
        for (size_t i = 0; i < envelope.message.array_count; i++) {
            const struct muster_array *array = &envelope.message.arrays[i];
            cr_assert(array->data || muster_array_count(array) == 0);
        }
    }
    if (status == MUSTER_OK)
        muster__envelope_clear(&envelope);
    free(copy);
}

Test(transfer, every_byte_of_an_announcement_changed)
{
    static const uint8_t masks[] = {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff};
    const struct muster_array arrays[] = {vector(0, 2000), vector(0, 10), vector(0, 3000)};
    const struct muster_message message = {.kind = MUSTER_TRAIN, .arrays = arrays, .array_count = 3};
    struct buffer *body = encode(&message, NULL);
    for (size_t i = 0; i < body->size; i++) {
        for (size_t j = 0; j < sizeof(masks); j++) {
            body->data[i] ^= masks[j];
            read_anything(body->data, body->size);
            body->data[i] ^= masks[j];
        }
        read_anything(body->data, i);
    }
    muster__buffer_release(body);
}

Test(transfer, no_more_is_taken_than_there_can_be)
{
    cr_assert_eq(muster__payload_most(1), 1);
    cr_assert_eq(muster__payload_most(UINT64_MAX), SIZE_MAX / 4);
    cr_assert_eq(muster__payload_most((uint64_t)SIZE_MAX + 1), SIZE_MAX >= UINT64_MAX ? 0 : SIZE_MAX / 4);
}
