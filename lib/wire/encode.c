/*
 * Writing. Messages with arrays are written by hand, straight from the caller's arrays into the bytes that
 * are sent: packing generated structs would first want each array copied behind its .npy header. Big arrays
 * are only announced; their data follows in chunks, out of the caller's memory or of one copy of it.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "status.h"
#include "text.h"
#include "wire/array.h"
#include "wire/copy.h"
#include "wire/reader.h"

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

/* Counts when `at` is NULL, writes otherwise: sizes and bytes come from the same code. What several lists refer to
   counts each time, and so may be more than an address space of 32 bits has. */
struct writer {
    uint8_t *at;
    uint64_t size;
    bool chunks; /* big arrays are only announced */
};

static void put_bytes(struct writer *writer, const void *bytes, size_t size)
{
    if (writer->at && size) {
        muster__copy(writer->at, bytes, size);
        writer->at += size;
    }
    writer->size += size;
}

static void put_varint(struct writer *writer, uint64_t value)
{
    uint8_t bytes[10];
    size_t size = 0;
    do {
        bytes[size++] = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        value >>= 7;
    } while (value);
    put_bytes(writer, bytes, size);
}

static void put_tag(struct writer *writer, uint32_t field, enum wire_type type)
{
    put_varint(writer, field << 3 | type);
}

static void put_blob(struct writer *writer, uint32_t field, const void *bytes, size_t size)
{
    put_tag(writer, field, WIRE_LENGTH);
    put_varint(writer, size);
    put_bytes(writer, bytes, size);
}

static void put_text(struct writer *writer, uint32_t field, const char *text)
{
    if (text && *text)
        put_blob(writer, field, text, strlen(text));
}

static void put_number(struct writer *writer, uint32_t field, uint64_t value)
{
    if (value) {
        put_tag(writer, field, WIRE_VARINT);
        put_varint(writer, value);
    }
}

static void put_double(struct writer *writer, uint32_t field, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    uint8_t bytes[8];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(bits >> (8 * i));
    put_tag(writer, field, WIRE_FIXED64);
    put_bytes(writer, bytes, sizeof(bytes));
}

/* A nested message: its size has to be known before its first byte. */
typedef void put_content(struct writer *writer, const void *content);

static void put_nested(struct writer *writer, uint32_t field, put_content *put, const void *content)
{
    struct writer counter = {.chunks = writer->chunks};
    put(&counter, content);
    put_tag(writer, field, WIRE_LENGTH);
    put_varint(writer, counter.size);
    if (writer->at)
        put(writer, content);
    else
        writer->size += counter.size;
}

static void put_array(struct writer *writer, const void *content)
{
    const struct muster_array *array = content;
    const size_t header = MUSTER__NPY_HEADER_SIZE;
    size_t size = muster__array_size(array);
    bool chunked = writer->chunks && size >= CHUNKED_MIN;
    put_tag(writer, chunked ? FIELD_NDARRAY_HEADER : FIELD_NDARRAY, WIRE_LENGTH);
    put_varint(writer, chunked ? header : header + size);
    if (writer->at) {
        muster__npy_write_header(array, writer->at);
        writer->at += header;
    }
    writer->size += header;
    if (!chunked)
        put_bytes(writer, array->data, size);
    if (array->dtype == MUSTER_BFLOAT16) {
        put_tag(writer, FIELD_NDARRAY_DTYPE, WIRE_VARINT);
        put_varint(writer, MUSTER__NDARRAY__DTYPE__BFLOAT16);
    }
}

static void put_scalar(struct writer *writer, const void *content)
{
    const struct muster_scalar *scalar = content;
    put_text(writer, FIELD_SCALAR_NAME, scalar->name);
    put_double(writer, FIELD_SCALAR_VALUE, scalar->value);
}

/* An integer or a bool, and before it the double that others read. */
static void put_exact(struct writer *writer, const void *content)
{
    const struct muster_value *value = content;
    bool boolean = value->kind == MUSTER_VALUE_BOOL;
    int64_t integer = boolean ? value->boolean : value->integer;
    const struct muster_scalar scalar = {value->name, (double)integer};
    put_scalar(writer, &scalar);
    put_tag(writer, boolean ? FIELD_SCALAR_BOOLEAN : FIELD_SCALAR_INTEGER, WIRE_VARINT);
    put_varint(writer, (uint64_t)integer);
}

/* A text or bytes; which it is shows even where it is empty. */
static void put_value(struct writer *writer, const void *content)
{
    const struct muster_value *value = content;
    put_text(writer, FIELD_VALUE_NAME, value->name);
    if (value->kind == MUSTER_VALUE_TEXT)
        put_blob(writer, FIELD_VALUE_TEXT, value->text, strlen(value->text));
    else
        put_blob(writer, FIELD_VALUE_DATA, value->bytes, value->size);
}

static bool is_number(const struct muster_value *value)
{
    return value->kind == MUSTER_VALUE_INTEGER || value->kind == MUSTER_VALUE_BOOL;
}

static void put_numbers(struct writer *writer, uint32_t field, const struct muster_message *message)
{
    for (size_t i = 0; i < message->scalar_count; i++)
        put_nested(writer, field, put_scalar, &message->scalars[i]);
    for (size_t i = 0; i < message->value_count; i++) {
        if (is_number(&message->values[i]))
            put_nested(writer, field, put_exact, &message->values[i]);
    }
}

static void put_arrays(struct writer *writer, const void *content)
{
    const struct muster_message *message = content;
    for (size_t i = 0; i < message->array_count; i++)
        put_nested(writer, FIELD_ARRAYS_THETA, put_array, &message->arrays[i]);
    for (size_t i = 0; message->array_names && i < message->array_count; i++)
        put_blob(writer, FIELD_ARRAYS_NAMES, message->array_names[i], strlen(message->array_names[i]));
    put_numbers(writer, FIELD_ARRAYS_SCALARS, message);
    for (size_t i = 0; i < message->value_count; i++) {
        if (!is_number(&message->values[i]))
            put_nested(writer, FIELD_ARRAYS_VALUES, put_value, &message->values[i]);
    }
}

static void put_payload(struct writer *writer, const void *content)
{
    const struct muster_message *message = content;
    put_text(writer, FIELD_PAYLOAD_TYPE, message->type);
    if (writer->chunks && message->size >= CHUNKED_MIN) {
        put_tag(writer, FIELD_PAYLOAD_ANNOUNCED, WIRE_VARINT);
        put_varint(writer, message->size);
    } else if (message->size) {
        put_blob(writer, FIELD_PAYLOAD_DATA, message->data, message->size);
    }
}

static void put_failure(struct writer *writer, const void *content)
{
    const struct muster_message *message = content;
    put_number(writer, FIELD_FAILURE_CODE, (uint64_t)(int64_t)message->code);
    put_text(writer, FIELD_FAILURE_TEXT, message->text);
}

/* Writes the content of `message`; false when its kind does not go this way. */
static bool put_message(struct writer *writer, enum direction direction, const struct muster_message *message)
{
    bool down = direction == TO_PARTICIPANT;
    switch (message->kind) {
    case MUSTER_EMPTY:
        return !down;
    case MUSTER_TRAIN:
        put_nested(writer, down ? DOWN(TRAIN_CONFIG) : UP(RESULT), put_arrays, message);
        return true;
    case MUSTER_EVALUATE:
        put_nested(writer, down ? DOWN(EVALUATE_CONFIG) : UP(EVALUATE_RESULT), put_arrays, message);
        return true;
    case MUSTER_APPLICATION:
        put_nested(writer, down ? DOWN(PAYLOAD) : UP(PAYLOAD), put_payload, message);
        return true;
    case MUSTER_FAILURE:
        put_nested(writer, UP(FAILURE), put_failure, message);
        return !down;
    case MUSTER_UNKNOWN:
        put_tag(writer, UP(UNKNOWN_INSTRUCTION), WIRE_VARINT);
        put_varint(writer, 1);
        return !down;
    case MUSTER_RECONNECT:
        put_tag(writer, DOWN(RECONNECT_IN), WIRE_VARINT);
        put_varint(writer, (uint64_t)(int64_t)message->reconnect_seconds);
        return down;
    }
    return false;
}

/* As the other side would refuse it. */
static bool is_good(const char *text)
{
    return !text || muster__text_is_good(text, strlen(text));
}

static enum muster_status check_list(const void *list, size_t count, const char *name,
                                     struct muster_error *error)
{
    if (count > WIRE_FIELDS_MAX)
        return muster__error(error, MUSTER_INVALID, "the message has %zu %s: that is too many", count, name);
    if (count && !list)
        return muster__error(error, MUSTER_INVALID, "the message has %zu %s, and its list of them is NULL",
                             count, name);
    return MUSTER_OK;
}

/* Whether the other side reads as many fields: content and turn are two, an array two and one each for a name
 * and a dtype of its own, a scalar three, a value up to four. */
static bool fields_fit(const struct muster_message *message)
{
    size_t fields = 2 + 2 * message->array_count + 3 * message->scalar_count + 4 * message->value_count;
    if (message->array_names)
        fields += message->array_count;
    for (size_t i = 0; fields <= WIRE_FIELDS_MAX && i < message->array_count; i++)
        fields += message->arrays[i].dtype == MUSTER_BFLOAT16;
    return fields <= WIRE_FIELDS_MAX;
}

static enum muster_status check_array(const struct muster_message *message, size_t i, size_t *total,
                                      struct muster_error *error)
{
    const char *fault = muster__array_fault(&message->arrays[i]);
    size_t size = fault ? 0 : MUSTER__NPY_HEADER_SIZE + muster__array_size(&message->arrays[i]);
    if (size > SIZE_MAX / 2 - *total)
        fault = "its size does not fit in memory";
    if (fault)
        return muster__error(error, MUSTER_INVALID, "array %zu: %s", i, fault);
    *total += size;
    if (message->array_names && (!message->array_names[i] || !is_good(message->array_names[i])))
        return muster__error(error, MUSTER_INVALID, "array %zu has no name, or one that is not UTF-8", i);
    return MUSTER_OK;
}

static enum muster_status check_value(const struct muster_value *value, struct muster_error *error)
{
    if (!value->name || !is_good(value->name))
        return muster__error(error, MUSTER_INVALID, "a value has no name in UTF-8");
    const char *fault = NULL;
    if (value->kind == MUSTER_VALUE_TEXT && (!value->text || !is_good(value->text)))
        fault = "its text is NULL, or not UTF-8";
    else if (value->kind == MUSTER_VALUE_BYTES && !value->bytes && value->size)
        fault = "its bytes are NULL";
    else if (value->kind != MUSTER_VALUE_TEXT && value->kind != MUSTER_VALUE_BYTES && !is_number(value))
        fault = "its kind is not one of enum muster_value_kind";
    if (fault)
        return muster__error(error, MUSTER_INVALID, "the value '%.100s': %s", value->name, fault);
    return MUSTER_OK;
}

static enum muster_status check_lists(const struct muster_message *message, struct muster_error *error)
{
    enum muster_status status = check_list(message->arrays, message->array_count, "arrays", error);
    if (status == MUSTER_OK)
        status = check_list(message->scalars, message->scalar_count, "scalars", error);
    if (status == MUSTER_OK)
        status = check_list(message->values, message->value_count, "values", error);
    if (status != MUSTER_OK)
        return status;
    if (message->size && !message->data)
        return muster__error(error, MUSTER_INVALID, "the message's data is NULL, and its size is %zu",
                             message->size);
    for (size_t i = 0; i < sizeof(message->reserved) / sizeof(message->reserved[0]); i++) {
        if (message->reserved[i])
            return muster__error(
                error, MUSTER_INVALID,
                "a reserved field of the message is not NULL: begin with MUSTER_MESSAGE_INIT");
    }
    return MUSTER_OK;
}

enum muster_status muster__message_check(const struct muster_message *message, struct muster_error *error)
{
    enum muster_status status = check_lists(message, error);
    if (status == MUSTER_OK && !fields_fit(message))
        return muster__error(error, MUSTER_INVALID,
                             "too many fields: at most %d arrays, and fewer with names, scalars or values",
                             (WIRE_FIELDS_MAX - 2) / 2);
    if (status == MUSTER_OK && (!is_good(message->type) || !is_good(message->text)))
        return muster__error(error, MUSTER_INVALID, "the message's type or text is not UTF-8");
    size_t total = message->size;
    if (status == MUSTER_OK && total > SIZE_MAX / 2)
        return muster__error(error, MUSTER_INVALID, "the message's size does not fit in memory");
    for (size_t i = 0; status == MUSTER_OK && i < message->array_count; i++)
        status = check_array(message, i, &total, error);
    for (size_t i = 0; status == MUSTER_OK && i < message->scalar_count; i++) {
        if (!message->scalars[i].name || !is_good(message->scalars[i].name))
            return muster__error(error, MUSTER_INVALID, "scalar %zu has no name in UTF-8", i);
    }
    for (size_t i = 0; status == MUSTER_OK && i < message->value_count; i++)
        status = check_value(&message->values[i], error);
    return status == MUSTER_OK ? muster__names_check(message, error) : status;
}

enum muster_status muster__report_check(const struct muster_message *numbers, struct muster_error *error)
{
    size_t count = numbers->scalar_count + numbers->value_count;
    if (count > MUSTER_REPORT_NUMBERS_MAX)
        return muster__error(error, MUSTER_INVALID, "a progress report has at most %d numbers, not %zu",
                             MUSTER_REPORT_NUMBERS_MAX, count);
    enum muster_status status = muster__message_check(numbers, error);
    for (size_t i = 0; status == MUSTER_OK && i < numbers->scalar_count; i++) {
        if (strlen(numbers->scalars[i].name) > MUSTER_REPORT_NAME_MAX)
            return muster__error(error, MUSTER_INVALID,
                                 "the name '%.100s' in a progress report is longer than %d bytes",
                                 numbers->scalars[i].name, MUSTER_REPORT_NAME_MAX);
    }
    return status;
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

size_t muster__encode_turn(enum direction direction, uint64_t turn, uint8_t head[STREAM_HEAD_MAX])
{
    struct writer writer = {.at = head};
    put_number(&writer, direction == TO_SERVER ? FIELD_TURN_TO_SERVER : FIELD_TURN_TO_PARTICIPANT, turn);
    return (size_t)writer.size;
}

size_t muster__encode_instruction_head(uint64_t turn, uint64_t granted, uint64_t limit, uint64_t heartbeat_ms,
                                       uint8_t head[STREAM_HEAD_MAX])
{
    struct writer writer = {.at = head};
    put_number(&writer, FIELD_TURN_TO_PARTICIPANT, turn);
    put_number(&writer, FIELD_GRANTED, granted);
    put_number(&writer, FIELD_LIMIT, limit);
    put_number(&writer, FIELD_HEARTBEAT, heartbeat_ms);
    return (size_t)writer.size;
}

/* A nested message that protobuf-c packs, behind what was packed of it before (NULL: nothing): the later of two
   fields counts, and repeated ones add up. */
static void put_packed(struct writer *writer, uint32_t field, const struct buffer *before,
                       const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    put_tag(writer, field, WIRE_LENGTH);
    put_varint(writer, (before ? before->size : 0) + size);
    if (before)
        put_bytes(writer, before->data, before->size);
    if (writer->at)
        writer->at += protobuf_c_message_pack(message, writer->at);
    writer->size += size;
}

size_t muster__encode_alive(uint8_t head[STREAM_HEAD_MAX])
{
    Muster__Alive alive = MUSTER__ALIVE__INIT;
    struct writer writer = {.at = head};
    put_packed(&writer, UP(ALIVE), NULL, &alive.base);
    return (size_t)writer.size;
}

size_t muster__encode_ask(uint8_t head[STREAM_HEAD_MAX])
{
    Muster__Ask ask = MUSTER__ASK__INIT;
    struct writer writer = {.at = head};
    put_packed(&writer, UP(ASK), NULL, &ask.base);
    return (size_t)writer.size;
}

size_t muster__encode_grant(uint64_t turn, uint64_t number, uint64_t limit, uint8_t head[STREAM_HEAD_MAX])
{
    Muster__Grant grant = MUSTER__GRANT__INIT;
    struct writer writer = {.at = head};
    grant.number = number;
    grant.limit = limit;
    put_number(&writer, FIELD_TURN_TO_PARTICIPANT, turn);
    put_packed(&writer, DOWN(GRANT), NULL, &grant.base);
    return (size_t)writer.size;
}

static void put_chunk_head(struct writer *writer, uint64_t grant, uint64_t offset, size_t size)
{
    put_number(writer, FIELD_CHUNK_GRANT, grant);
    put_number(writer, FIELD_CHUNK_OFFSET, offset);
    put_tag(writer, FIELD_CHUNK_DATA, WIRE_LENGTH);
    put_varint(writer, size);
}

size_t muster__encode_chunk(enum direction direction, uint64_t turn, uint64_t grant, uint64_t offset,
                            size_t size, uint8_t head[STREAM_HEAD_MAX])
{
    struct writer counter = {0}, writer = {.at = head};
    put_chunk_head(&counter, grant, offset, size);
    put_number(&writer, direction == TO_SERVER ? FIELD_TURN_TO_SERVER : FIELD_TURN_TO_PARTICIPANT, turn);
    put_tag(&writer, direction == TO_SERVER ? UP(CHUNK) : DOWN(CHUNK), WIRE_LENGTH);
    put_varint(&writer, counter.size + size);
    put_chunk_head(&writer, grant, offset, size);
    return (size_t)writer.size;
}

static struct buffer *packed_buffer(uint32_t field, const struct buffer *before,
                                    const ProtobufCMessage *message)
{
    struct writer counter = {0};
    put_packed(&counter, field, before, message);
    struct buffer *buffer = muster__buffer_new((size_t)counter.size);
    struct writer writer = {.at = buffer ? buffer->data : NULL};
    if (buffer)
        put_packed(&writer, field, before, message);
    return buffer;
}

struct buffer *muster__pack_hello(const Muster__Hello *hello)
{
    struct buffer *buffer = muster__buffer_new(protobuf_c_message_get_packed_size(&hello->base));
    if (buffer)
        protobuf_c_message_pack(&hello->base, buffer->data);
    return buffer;
}

struct buffer *muster__encode_hello(const struct buffer *packed, const Muster__Hello *hello)
{
    return packed_buffer(UP(HELLO), packed, &hello->base);
}

struct buffer *muster__encode_welcome(const Muster__Welcome *welcome)
{
    return packed_buffer(DOWN(WELCOME), NULL, &welcome->base);
}

struct buffer *muster__encode_cancel(void)
{
    const Muster__Cancel cancel = MUSTER__CANCEL__INIT;
    return packed_buffer(DOWN(CANCEL), NULL, &cancel.base);
}

struct buffer *muster__encode_refused(const char *text)
{
    Muster__Refused refused = MUSTER__REFUSED__INIT;
    refused.text = (char *)text;
    return packed_buffer(DOWN(REFUSED), NULL, &refused.base);
}

struct progress {
    double fraction;
    const struct muster_message *numbers; /* NULL: none */
};

static void put_progress(struct writer *writer, const void *content)
{
    const struct progress *progress = content;
    if (progress->fraction != 0)
        put_double(writer, FIELD_PROGRESS_FRACTION, progress->fraction);
    if (progress->numbers)
        put_numbers(writer, FIELD_PROGRESS_SCALARS, progress->numbers);
}

struct buffer *muster__encode_progress(double fraction, const struct muster_message *numbers)
{
    const struct progress progress = {fraction, numbers};
    struct writer counter = {0};
    put_nested(&counter, UP(PROGRESS), put_progress, &progress);
    struct buffer *buffer = muster__buffer_new((size_t)counter.size);
    struct writer writer = {.at = buffer ? buffer->data : NULL};
    if (buffer)
        put_nested(&writer, UP(PROGRESS), put_progress, &progress);
    return buffer;
}
