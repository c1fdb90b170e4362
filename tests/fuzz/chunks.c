/*
 * Putting chunks together: a message announces arrays or an application's data, and chunks follow, as a
 * sender cuts them, as the input does, or as bytes of the input. A flat copy of the bytes that were accepted
 * is the model: what arrives is exactly that, and what is no next chunk is refused.
 */
#include <config.h>

#include <string.h>

#include "fuzz/fuzz.h"
#include "link/transfer.h"
#include "wire/reader.h"

enum { PAYLOAD_MAX = 3 << 20, ARRAYS_MAX = 24, SOURCE_SIZE = 1 << 19 };

/* The data of all that is sent. */
static uint8_t source[SOURCE_SIZE];

struct arrival {
    struct incoming incoming;
    uint8_t *model;
    size_t size;
    bool *whole;  /* of each array: it was not announced */
    bool as_sent; /* all chunks were the sender's */
    size_t begun; /* how often memory was taken for it, */
    size_t returned;
};

/* ---- a stream that keeps the last part it was given ---- */

struct sink {
    struct stream base;
    uint8_t *bytes;
    size_t size;
};

static enum muster_status sink_part(struct stream *base, const uint8_t *head, size_t head_size,
                                    struct buffer *body, const struct piece *pieces, size_t count)
{
    struct sink *sink = (struct sink *)base;
    (void)body;
    CHECK(!sink->bytes && head_size <= STREAM_HEAD_MAX && count > 0 && count <= STREAM_PIECES_MAX);
    sink->size = head_size;
    for (size_t i = 0; i < count; i++)
        sink->size += pieces[i].size;
    uint8_t *at = sink->bytes = malloc(sink->size);
    CHECK(at);
    memcpy(at, head, head_size);
    at += head_size;
    for (size_t i = 0; i < count; i++) {
        memcpy(at, pieces[i].data, pieces[i].size);
        at += pieces[i].size;
    }
    return MUSTER_OK;
}

static const struct stream_ops sink_ops = {.send_part = sink_part};

/* ---- what arrives ---- */

static void returned(void *context, uint64_t size)
{
    struct arrival *arrival = context;
    CHECK(size == arrival->size);
    arrival->returned++;
}

static void begin(struct arrival *arrival)
{
    CHECK(muster__payload_begin(&arrival->incoming.message, returned, arrival));
    arrival->incoming.received = 0;
    arrival->begun++;
    CHECK(arrival->returned == arrival->begun - 1);
}

/* Reads an announcement; false: it is none, or of more than is tried here. */
static bool announce(struct arrival *arrival, const struct piece *pieces, size_t count)
{
    struct envelope envelope;
    if (muster__decode(TO_PARTICIPANT, pieces, count, &envelope, NULL) != MUSTER_OK)
        return false;
    if (envelope.content != CONTENT_MESSAGE || !envelope.announced || envelope.announced > PAYLOAD_MAX) {
        muster__envelope_clear(&envelope);
        return false;
    }
    arrival->size = (size_t)envelope.announced;
    arrival->model = malloc(arrival->size);
    CHECK(arrival->model);
    arrival->whole = calloc(envelope.message.array_count + 1, sizeof(bool));
    CHECK(arrival->whole);
    for (size_t i = 0; i < envelope.message.array_count; i++)
        arrival->whole[i] = envelope.message.arrays[i].data;
    muster__incoming_begin(&arrival->incoming, &envelope, 0);
    CHECK(!envelope.message.storage);
    muster__envelope_clear(&envelope);
    begin(arrival);
    return true;
}

/* Room is taken away, and given again. */
static void begin_again(struct arrival *arrival)
{
    muster__payload_drop(&arrival->incoming.message);
    CHECK(arrival->returned == arrival->begun);
    begin(arrival);
}

/* Whether bools that are among these bytes of the payload are 0 or 1. */
static bool bools_are_good(const struct arrival *arrival, size_t first, size_t end)
{
    const struct muster_message *message = &arrival->incoming.message;
    size_t at = 0;
    for (size_t i = 0; i < message->array_count; i++) {
        const struct muster_array *array = &message->arrays[i];
        size_t size = arrival->whole[i] ? 0 : muster_array_count(array) * muster_dtype_size(array->dtype);
        for (size_t j = at; array->dtype == MUSTER_BOOL && j < at + size; j++) {
            if (j >= first && j < end && arrival->model[j] > 1)
                return false;
        }
        at += size;
    }
    return true;
}

/* A message that may be a chunk. */
static void receive(struct arrival *arrival, const struct piece *pieces, size_t count)
{
    struct envelope envelope;
    struct incoming *incoming = &arrival->incoming;
    if (muster__decode(TO_PARTICIPANT, pieces, count, &envelope, NULL) != MUSTER_OK)
        return;
    if (envelope.content == CONTENT_CHUNK && envelope.turn == incoming->turn) {
        struct reader reader = envelope.chunk;
        struct muster_error error;
        size_t size = reader.left;
        uint64_t received = incoming->received;
        bool next = envelope.offset == received && size > 0 && size <= arrival->size - received;
        if (next)
            muster__read_bytes(&reader, arrival->model + received, size);
        bool good = next && bools_are_good(arrival, (size_t)received, (size_t)received + size);
        CHECK(muster__incoming_add(incoming, &envelope, &error) == (good ? MUSTER_OK : MUSTER_PROTOCOL));
        CHECK(incoming->received == received + (good ? size : 0));
        if (next && !good) /* a stream would end here */
            begin_again(arrival);
    }
    muster__envelope_clear(&envelope);
}

/* Compares a part, as far as it has arrived; where the next one begins. */
static size_t check_part(const struct arrival *arrival, const void *data, size_t size, size_t at)
{
    size_t received = (size_t)arrival->incoming.received;
    size_t here = received > at ? received - at : 0;
    CHECK(data && at + size <= arrival->size);
    if (here > size)
        here = size;
    CHECK(here == 0 || memcmp(data, arrival->model + at, here) == 0);
    CHECK(!arrival->as_sent || memcmp(data, source, here) == 0);
    return at + size;
}

static void check_arrived(const struct arrival *arrival)
{
    const struct muster_message *message = &arrival->incoming.message;
    size_t at = 0;
    for (size_t i = 0; i < message->array_count; i++) {
        const struct muster_array *array = &message->arrays[i];
        if (!arrival->whole[i])
            at = check_part(arrival, array->data, muster_array_count(array) * muster_dtype_size(array->dtype),
                            at);
    }
    if (message->kind == MUSTER_APPLICATION)
        at = check_part(arrival, message->data, message->size, at);
    CHECK(at == arrival->size);
}

/* ---- what is sent ---- */

/* The end that sends. */
struct sender {
    struct muster_array arrays[ARRAYS_MAX];
    struct muster_message message;
    struct buffer *body; /* NULL: raw bytes are sent in its place */
    struct outgoing outgoing;
    struct sink sink;
};

/* A message of the input's shape, encoded so that what is big enough travels in chunks. */
static void make_body(struct sender *sender, struct input *input, bool fill_later)
{
    const struct encoding encoding = {
        .max_message_size = INT32_MAX, .max_payload_size = PAYLOAD_MAX, .fill_later = fill_later};
    for (size_t i = 0; source[1] == 0 && i < SOURCE_SIZE; i++)
        source[i] = (uint8_t)(i * 2654435761U >> 13);
    size_t count = take_byte(input) % (ARRAYS_MAX + 1);
    for (size_t i = 0; i < count; i++) {
        uint64_t elements = take_size(input) % (SOURCE_SIZE / 8);
        sender->arrays[i] =
            (struct muster_array){.dtype = (enum muster_dtype)(1 + take_byte(input) % MUSTER_INT8),
                                  .dimensions = 1,
                                  .shape = {elements},
                                  .data = source};
    }
    sender->message =
        (struct muster_message){.kind = MUSTER_TRAIN, .arrays = sender->arrays, .array_count = count};
    if (count == 0)
        sender->message = (struct muster_message){
            .kind = MUSTER_APPLICATION, .type = "t", .data = source, .size = take_size(input)};
    enum muster_status status =
        muster__encode(TO_PARTICIPANT, &sender->message, &encoding, &sender->body, NULL);
    CHECK(status == MUSTER_OK || status == MUSTER_TOO_BIG);
}

/* Copies some more of what is to be sent. */
static void fill(struct sender *sender, size_t size)
{
    if (!sender->outgoing.body)
        return;
    struct payload *payload = sender->body->payload;
    uint64_t end = size < payload->size - payload->filled ? payload->filled + size : payload->size;
    muster__payload_fill(sender->body, &sender->message, end);
    payload->filled = end;
}

/* Hands the sender's next chunk over. */
static void send_next(struct arrival *arrival, struct sender *sender)
{
    struct sink *sink = &sender->sink;
    muster__outgoing_next(&sender->outgoing, TO_PARTICIPANT, &sink->base);
    if (!sink->bytes)
        return;
    const struct piece piece = {sink->bytes, sink->size};
    receive(arrival, &piece, 1);
    free(sink->bytes);
    sink->bytes = NULL;
    sender->outgoing.on_wire = false;
}

/* A chunk as the input wants it, often the right one; its data in two pieces. */
static void send_own(struct arrival *arrival, struct input *input)
{
    uint8_t head[STREAM_HEAD_MAX];
    uint8_t how = take_byte(input);
    size_t size = take_size(input) << (how & 7);
    uint64_t offset = arrival->incoming.received;
    size_t left = arrival->size - (size_t)offset;
    if (how & 0x08)
        offset = how & 0x80 ? take_size(input) : offset + take_size(input);
    if (!(how & 0x10) && size > left)
        size = left;
    uint8_t *data = malloc(size + 1);
    CHECK(data);
    arrival->as_sent = false;
    memset(data, how, size);
    size_t head_size = muster__encode_chunk(TO_PARTICIPANT, how & 0x20 ? 7 : arrival->incoming.turn,
                                            how & 0x40, offset, size, head);
    const struct piece pieces[] = {{head, head_size}, {data, size / 3}, {data + size / 3, size - size / 3}};
    receive(arrival, pieces, 3);
    free(data);
}

/* Lets the sender go on up to somewhere, or to the end. */
static void move_limit(struct sender *sender, uint64_t limit)
{
    if (sender->outgoing.body)
        muster__outgoing_start(&sender->outgoing, sender->outgoing.grant, limit);
}

/* The sender starts from the first byte. */
static void pass_over(struct arrival *arrival, struct sender *sender)
{
    begin_again(arrival);
    if (sender->outgoing.body)
        muster__outgoing_start(&sender->outgoing, sender->outgoing.grant + 1, 0);
}

static void send_chunks(struct arrival *arrival, struct sender *sender, struct input *input)
{
    while (input->left) {
        struct input bytes;
        struct piece piece;
        switch (take_byte(input) % 6) {
        case 0:
            send_next(arrival, sender);
            break;
        case 1:
            send_own(arrival, input);
            break;
        case 2:
            bytes = take_bytes(input, take_byte(input));
            arrival->as_sent = false;
            piece = (struct piece){bytes.at, bytes.left};
            receive(arrival, &piece, 1);
            break;
        case 3:
            pass_over(arrival, sender);
            break;
        case 4:
            fill(sender, take_size(input) << 4);
            break;
        case 5:
            move_limit(sender, take_size(input) << 4);
            break;
        }
    }
}

/* A transfer that was announced, to its end or to the input's. */
static void transfer(struct arrival *arrival, struct sender *sender, struct input *input)
{
    muster__outgoing_begin(&sender->outgoing, sender->body, arrival->incoming.turn);
    if (sender->outgoing.body)
        muster__outgoing_start(&sender->outgoing, 0, 0);
    send_chunks(arrival, sender, input);
    check_arrived(arrival);
    struct muster_message message = muster__incoming_take(&arrival->incoming);
    muster__payload_hand_over(&message);
    CHECK(arrival->returned == arrival->begun);
    muster_message_clear(&message);
    CHECK(arrival->returned == arrival->begun);
    muster__outgoing_begin(&sender->outgoing, NULL, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct arrival arrival = {.incoming = {.message = MUSTER_MESSAGE_INIT}};
    struct sender sender = {.sink = {.base = {&sink_ops}}};
    struct piece piece = {NULL, 0};
    uint8_t how = take_byte(&input);
    bool made = arrival.as_sent = how & 1;
    sender.outgoing.max_message_size = how >> 2 ? (size_t)(how >> 2) << 10 : SIZE_MAX;
    if (made) {
        make_body(&sender, &input, how & 2);
        if (sender.body)
            piece = (struct piece){sender.body->data, sender.body->size};
    } else {
        struct input bytes = take_bytes(&input, take_size(&input));
        piece = (struct piece){bytes.at, bytes.left};
    }
    if (announce(&arrival, &piece, 1)) {
        CHECK(!made || sender.body->payload->size == arrival.size);
        transfer(&arrival, &sender, &input);
    } else {
        CHECK(!made || !sender.body || !sender.body->payload);
    }
    muster__buffer_release(sender.body);
    free(arrival.whole);
    free(arrival.model);
    return 0;
}
