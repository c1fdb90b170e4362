/*
 * Writing. Messages with arrays are written by hand, straight from the caller's arrays into the bytes that
 * are sent: packing generated structs would first want each array copied behind its .npy header. Big arrays
 * are only announced; their data follows in chunks, out of the caller's memory or of one copy of it.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "status.h"
#include "wire/copy.h"
#include "wire/writer.h"

/* A smaller array is not worth an announcement. */
#define CHUNKED_MIN 4096

/* Fields of the messages that are small. */
enum {
    FIELD_PAYLOAD_TYPE = 1,
    FIELD_PAYLOAD_DATA = 2,
    FIELD_PAYLOAD_ANNOUNCED = 3,
    FIELD_FAILURE_CODE = 1,
    FIELD_FAILURE_TEXT = 2,
};

static void put_array(struct writer *writer, const void *content)
{
    const struct muster_array *array = content;
    const size_t header = MUSTER__NPY_HEADER_SIZE;
    size_t size = muster__array_size(array);
    bool chunked = writer->chunks && size >= CHUNKED_MIN;
    muster__write_tag(writer, chunked ? FIELD_NDARRAY_HEADER : FIELD_NDARRAY, WIRE_LENGTH);
    muster__write_varint(writer, chunked ? header : header + size);
    if (writer->at) {
        muster__npy_write_header(array, writer->at);
        writer->at += header;
    }
    writer->size += header;
    if (!chunked)
        muster__write_bytes(writer, array->data, size);
    if (array->dtype == MUSTER_BFLOAT16) {
        muster__write_tag(writer, FIELD_NDARRAY_DTYPE, WIRE_VARINT);
        muster__write_varint(writer, MUSTER__NDARRAY__DTYPE__BFLOAT16);
    }
}

static void put_scalar(struct writer *writer, const void *content)
{
    const struct muster_scalar *scalar = content;
    muster__write_text(writer, FIELD_SCALAR_NAME, scalar->name);
    muster__write_double(writer, FIELD_SCALAR_VALUE, scalar->value);
}

/* An integer or a bool, and before it the double that others read. */
static void put_exact(struct writer *writer, const void *content)
{
    const struct muster_value *value = content;
    bool boolean = value->kind == MUSTER_VALUE_BOOL;
    int64_t integer = boolean ? value->boolean : value->integer;
    const struct muster_scalar scalar = {value->name, (double)integer};
    put_scalar(writer, &scalar);
    muster__write_tag(writer, boolean ? FIELD_SCALAR_BOOLEAN : FIELD_SCALAR_INTEGER, WIRE_VARINT);
    muster__write_varint(writer, (uint64_t)integer);
}

/* A text or bytes; which it is shows even where it is empty. */
static void put_value(struct writer *writer, const void *content)
{
    const struct muster_value *value = content;
    muster__write_text(writer, FIELD_VALUE_NAME, value->name);
    if (value->kind == MUSTER_VALUE_TEXT)
        muster__write_blob(writer, FIELD_VALUE_TEXT, value->text, strlen(value->text));
    else
        muster__write_blob(writer, FIELD_VALUE_DATA, value->bytes, value->size);
}

static bool is_number(const struct muster_value *value)
{
    return value->kind == MUSTER_VALUE_INTEGER || value->kind == MUSTER_VALUE_BOOL;
}

static void put_numbers(struct writer *writer, uint32_t field, const struct muster_message *message)
{
    for (size_t i = 0; i < message->scalar_count; i++)
        muster__write_nested(writer, field, put_scalar, &message->scalars[i]);
    for (size_t i = 0; i < message->value_count; i++) {
        if (is_number(&message->values[i]))
            muster__write_nested(writer, field, put_exact, &message->values[i]);
    }
}

static void put_arrays(struct writer *writer, const void *content)
{
    const struct muster_message *message = content;
    for (size_t i = 0; i < message->array_count; i++)
        muster__write_nested(writer, FIELD_ARRAYS_THETA, put_array, &message->arrays[i]);
    for (size_t i = 0; message->array_names && i < message->array_count; i++)
        muster__write_blob(writer, FIELD_ARRAYS_NAMES, message->array_names[i],
                           strlen(message->array_names[i]));
    put_numbers(writer, FIELD_ARRAYS_SCALARS, message);
    for (size_t i = 0; i < message->value_count; i++) {
        if (!is_number(&message->values[i]))
            muster__write_nested(writer, FIELD_ARRAYS_VALUES, put_value, &message->values[i]);
    }
}

static void put_payload(struct writer *writer, const void *content)
{
    const struct muster_message *message = content;
    muster__write_text(writer, FIELD_PAYLOAD_TYPE, message->type);
    if (writer->chunks && message->size >= CHUNKED_MIN) {
        muster__write_tag(writer, FIELD_PAYLOAD_ANNOUNCED, WIRE_VARINT);
        muster__write_varint(writer, message->size);
    } else if (message->size) {
        muster__write_blob(writer, FIELD_PAYLOAD_DATA, message->data, message->size);
    }
}

static void put_failure(struct writer *writer, const void *content)
{
    const struct muster_message *message = content;
    muster__write_number(writer, FIELD_FAILURE_CODE, (uint64_t)(int64_t)message->code);
    muster__write_text(writer, FIELD_FAILURE_TEXT, message->text);
}

/* Writes the content of `message`; false when its kind does not go this way. */
static bool put_message(struct writer *writer, enum direction direction, const struct muster_message *message)
{
    bool down = direction == TO_PARTICIPANT;
    switch (message->kind) {
    case MUSTER_EMPTY:
        return !down;
    case MUSTER_TRAIN:
        muster__write_nested(writer, down ? DOWN(TRAIN_CONFIG) : UP(RESULT), put_arrays, message);
        return true;
    case MUSTER_EVALUATE:
        muster__write_nested(writer, down ? DOWN(EVALUATE_CONFIG) : UP(EVALUATE_RESULT), put_arrays, message);
        return true;
    case MUSTER_APPLICATION:
        muster__write_nested(writer, down ? DOWN(PAYLOAD) : UP(PAYLOAD), put_payload, message);
        return true;
    case MUSTER_FAILURE:
        muster__write_nested(writer, UP(FAILURE), put_failure, message);
        return !down;
    case MUSTER_UNKNOWN:
        muster__write_tag(writer, UP(UNKNOWN_INSTRUCTION), WIRE_VARINT);
        muster__write_varint(writer, 1);
        return !down;
    case MUSTER_RECONNECT:
        muster__write_tag(writer, DOWN(RECONNECT_IN), WIRE_VARINT);
        muster__write_varint(writer, (uint64_t)(int64_t)message->reconnect_seconds);
        return down;
    }
    return false;
}

/* The next part of a message that is sent in chunks; false: there is none. `*next` is 0 at first. */
static bool next_part(const struct muster_message *message, size_t *next, struct piece *part)
{
    bool is_data = message->kind == MUSTER_APPLICATION;
    bool is_arrays = message->kind == MUSTER_TRAIN || message->kind == MUSTER_EVALUATE;
    size_t count = is_data ? 1 : is_arrays ? message->array_count : 0;
    part->size = 0;
    for (; part->size < CHUNKED_MIN && *next < count; (*next)++) {
        if (is_data)
            *part = (struct piece){message->data, message->size};
        else
            *part = (struct piece){message->arrays[*next].data, muster__array_size(&message->arrays[*next])};
    }
    return part->size >= CHUNKED_MIN;
}

static bool is_copied(const struct encoding *encoding, const struct piece *part)
{
    return !encoding->borrow &&
           !(encoding->keep && muster__storage_has(encoding->keep, part->data, part->size));
}

void muster__payload_fill(const struct buffer *body, const struct muster_message *message, uint64_t end)
{
    const struct payload *payload = body->payload;
    const struct piece *copy = payload->pieces;
    uint64_t offset = 0; /* of the part */
    struct piece part;
    for (size_t next = 0; next_part(message, &next, &part); copy++) {
        uint64_t from = payload->filled > offset ? payload->filled - offset : 0;
        uint64_t to = end > offset ? end - offset : 0;
        if (to > part.size)
            to = part.size;
        uint8_t *out = (uint8_t *)(uintptr_t)copy->data + from;
        uint64_t size = from < to && copy->data != part.data ? to - from : 0;
        if (size >= BIG_COPY_MIN)
            muster__copy_big(out, part.data + from, (size_t)size);
        else if (size) /* not big, or sent piece by piece as it is copied */
            muster__copy(out, part.data + from, (size_t)size);
        offset += part.size;
    }
}

/* What `counted` says: borrowed, kept, or with room for a copy. NULL when out of memory. */
static struct payload *make_payload(const struct muster_message *message, const struct payload *counted,
                                    const struct encoding *encoding)
{
    struct payload *payload = malloc(sizeof(*payload) + counted->count * sizeof(struct piece));
    uint8_t *copy = payload && counted->copy_size ? muster__block_new(counted->copy_size) : NULL;
    if (!payload || (counted->copy_size && !copy)) {
        free(payload);
        return NULL;
    }
    *payload = (struct payload){.size = counted->size,
                                .filled = copy ? 0 : counted->size,
                                .returned = encoding->borrow,
                                .copy = copy,
                                .copy_size = counted->copy_size,
                                .free_copy = muster__block_free,
                                .let_go = muster__storage_release};
    if (encoding->keep && counted->copy_size < counted->size)
        payload->kept = muster__storage_retain(encoding->keep);
    struct piece part;
    for (size_t next = 0; next_part(message, &next, &part);) {
        bool copied = is_copied(encoding, &part);
        payload->pieces[payload->count++] = (struct piece){copied ? copy : part.data, part.size};
        if (copied)
            copy += part.size;
    }
    return payload;
}

enum muster_status muster__encode(enum direction direction, const struct muster_message *message,
                                  const struct encoding *encoding, struct buffer **body,
                                  struct muster_error *error)
{
    *body = NULL;
    enum muster_status status = muster__message_check(message, error);
    if (status != MUSTER_OK)
        return status;
    struct writer counter = {0};
    struct payload counted = {0};
    if (!put_message(&counter, direction, message))
        return muster__error(error, MUSTER_INVALID, "%s, and not kind %d",
                             direction == TO_PARTICIPANT
                                 ? "an instruction is MUSTER_TRAIN, MUSTER_EVALUATE or MUSTER_APPLICATION"
                                 : "an answer is of the kind of its instruction, MUSTER_FAILURE or "
                                   "MUSTER_UNKNOWN",
                             (int)message->kind);
    bool chunks = encoding->max_payload_size && counter.size > encoding->chunk_threshold;
    struct piece part;
    for (size_t next = 0; chunks && next_part(message, &next, &part); counted.count++) {
        counted.size += part.size;
        counted.copy_size += is_copied(encoding, &part) ? part.size : 0;
    }
    if (counted.count) {
        counter = (struct writer){.chunks = true};
        put_message(&counter, direction, message);
    }
    if (counter.size > encoding->max_message_size ||
        encoding->max_message_size - counter.size < STREAM_HEAD_MAX ||
        counted.size > encoding->max_payload_size)
        return muster__error(error, MUSTER_TOO_BIG,
                             "the message has %llu bytes, and %llu in chunks: max_message_size allows %llu, "
                             "and the peer takes "
                             "%llu in chunks",
                             (unsigned long long)counter.size, (unsigned long long)counted.size,
                             (unsigned long long)encoding->max_message_size,
                             (unsigned long long)encoding->max_payload_size);
    if (counter.size == 0)
        return MUSTER_OK;
    *body = muster__buffer_new((size_t)counter.size);
    if (*body && counted.count)
        (*body)->payload = make_payload(message, &counted, encoding);
    if (!*body || (counted.count && !(*body)->payload)) {
        muster__buffer_release(*body);
        *body = NULL;
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    }
    struct payload *payload = (*body)->payload;
    if (payload && !encoding->fill_later) {
        muster__payload_fill(*body, message, payload->size);
        payload->filled = payload->size;
    }
    struct writer writer = {.at = (*body)->data, .chunks = counter.chunks};
    put_message(&writer, direction, message);
    return MUSTER_OK;
}

struct progress {
    double fraction;
    const struct muster_message *numbers; /* NULL: none */
};

static void put_progress(struct writer *writer, const void *content)
{
    const struct progress *progress = content;
    if (progress->fraction != 0)
        muster__write_double(writer, FIELD_PROGRESS_FRACTION, progress->fraction);
    if (progress->numbers)
        put_numbers(writer, FIELD_PROGRESS_SCALARS, progress->numbers);
}

struct buffer *muster__encode_progress(double fraction, const struct muster_message *numbers)
{
    const struct progress progress = {fraction, numbers};
    struct writer counter = {0};
    muster__write_nested(&counter, UP(PROGRESS), put_progress, &progress);
    struct buffer *buffer = muster__buffer_new((size_t)counter.size);
    struct writer writer = {.at = buffer ? buffer->data : NULL};
    if (buffer)
        muster__write_nested(&writer, UP(PROGRESS), put_progress, &progress);
    return buffer;
}
