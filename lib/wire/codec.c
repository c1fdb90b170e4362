/*
 * The codec. Reading is protobuf-c's work, behind a check that bounds what it will allocate. Messages with
 * arrays are written by hand, straight from the caller's arrays into the bytes that are sent: packing
 * generated structs would first want each array copied behind its .npy header.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "status.h"
#include "wire/codec.h"
#include "wire/npy.h"

/* Field numbers of proto/stream.proto, as the generated code does not name them. */
enum {
    FIELD_REPEATED_THETA = 1,
    FIELD_REPEATED_SCALARS = 2,
    FIELD_NDARRAY = 1,
    FIELD_SCALAR_NAME = 1,
    FIELD_SCALAR_VALUE = 2,
    FIELD_PAYLOAD_TYPE = 1,
    FIELD_PAYLOAD_DATA = 2,
    FIELD_FAILURE_CODE = 1,
    FIELD_FAILURE_TEXT = 2,
    FIELD_PROGRESS_FRACTION = 1,
};

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_LENGTH = 2, WIRE_FIXED32 = 5 };

static void *allocate(void *context, size_t size)
{
    (void)context;
    return malloc(size);
}

static void release(void *context, void *pointer)
{
    (void)context;
    free(pointer);
}

/* protobuf-c's own default would do the same out of the reach of a test that lets allocations fail. */
static ProtobufCAllocator allocator = {.alloc = allocate, .free = release};

/* ---- writing ---- */

/* Counts when `at` is NULL, writes otherwise: sizes and bytes come from the same code. */
struct writer {
    uint8_t *at;
    size_t size;
};

static void put_bytes(struct writer *writer, const void *bytes, size_t size)
{
    if (writer->at && size) {
        memcpy(writer->at, bytes, size);
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
    struct writer counter = {0};
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
    size_t size = 0;
    muster__npy_size(array, &size); /* check_arrays() has passed it */
    size_t header = muster__npy_header_size(array);
    put_tag(writer, FIELD_NDARRAY, WIRE_LENGTH);
    put_varint(writer, size);
    if (writer->at) {
        muster__npy_write_header(array, writer->at);
        writer->at += header;
    }
    writer->size += header;
    put_bytes(writer, array->data, size - header);
}

static void put_scalar(struct writer *writer, const void *content)
{
    const struct muster_scalar *scalar = content;
    put_text(writer, FIELD_SCALAR_NAME, scalar->name);
    put_double(writer, FIELD_SCALAR_VALUE, scalar->value);
}

static void put_arrays(struct writer *writer, const void *content)
{
    const struct muster_message *message = content;
    for (size_t i = 0; i < message->array_count; i++)
        put_nested(writer, FIELD_REPEATED_THETA, put_array, &message->arrays[i]);
    for (size_t i = 0; i < message->scalar_count; i++)
        put_nested(writer, FIELD_REPEATED_SCALARS, put_scalar, &message->scalars[i]);
}

static void put_payload(struct writer *writer, const void *content)
{
    const struct muster_message *message = content;
    put_text(writer, FIELD_PAYLOAD_TYPE, message->type);
    if (message->size)
        put_blob(writer, FIELD_PAYLOAD_DATA, message->data, message->size);
}

static void put_failure(struct writer *writer, const void *content)
{
    const struct muster_message *message = content;
    if (message->code) {
        put_tag(writer, FIELD_FAILURE_CODE, WIRE_VARINT);
        put_varint(writer, (uint64_t)(int64_t)message->code);
    }
    put_text(writer, FIELD_FAILURE_TEXT, message->text);
}

static void put_progress(struct writer *writer, const void *content)
{
    put_double(writer, FIELD_PROGRESS_FRACTION, *(const double *)content);
}

static void put_nothing(struct writer *writer, const void *content)
{
    (void)writer;
    (void)content;
}

/* Writes the content of `message`; false when its kind does not go this way. */
static bool put_message(struct writer *writer, enum direction direction, const struct muster_message *message)
{
    bool down = direction == TO_PARTICIPANT;
    switch (message->kind) {
    case MUSTER_EMPTY:
        return !down;
    case MUSTER_TRAIN:
        put_nested(writer,
                   down ? MUSTER__SERVER_MESSAGE__CONTENT_TRAIN_CONFIG
                        : MUSTER__PARTICIPANT_MESSAGE__CONTENT_RESULT,
                   put_arrays, message);
        return true;
    case MUSTER_EVALUATE:
        put_nested(writer,
                   down ? MUSTER__SERVER_MESSAGE__CONTENT_EVALUATE_CONFIG
                        : MUSTER__PARTICIPANT_MESSAGE__CONTENT_EVALUATE_RESULT,
                   put_arrays, message);
        return true;
    case MUSTER_APPLICATION:
        put_nested(writer,
                   down ? MUSTER__SERVER_MESSAGE__CONTENT_PAYLOAD
                        : MUSTER__PARTICIPANT_MESSAGE__CONTENT_PAYLOAD,
                   put_payload, message);
        return true;
    case MUSTER_FAILURE:
        put_nested(writer, MUSTER__PARTICIPANT_MESSAGE__CONTENT_FAILURE, put_failure, message);
        return !down;
    case MUSTER_UNKNOWN:
        put_tag(writer, MUSTER__PARTICIPANT_MESSAGE__CONTENT_UNKNOWN_INSTRUCTION, WIRE_VARINT);
        put_varint(writer, 1);
        return !down;
    case MUSTER_RECONNECT:
        put_tag(writer, MUSTER__SERVER_MESSAGE__CONTENT_RECONNECT_IN, WIRE_VARINT);
        put_varint(writer, (uint64_t)(int64_t)message->reconnect_seconds);
        return down;
    }
    return false;
}

static bool check_message(const struct muster_message *message)
{
    /* What the other side would refuse: content and turn are two fields, an array two more, a scalar three.
     */
    if (message->array_count > WIRE_FIELDS_MAX || message->scalar_count > WIRE_FIELDS_MAX ||
        2 + 2 * message->array_count + 3 * message->scalar_count > WIRE_FIELDS_MAX)
        return false;
    if ((message->array_count && !message->arrays) || (message->scalar_count && !message->scalars) ||
        (message->size && !message->data))
        return false;
    size_t total = message->size;
    for (size_t i = 0; i < message->array_count; i++) {
        size_t size;
        if (muster__npy_size(&message->arrays[i], &size) != MUSTER_OK || size > SIZE_MAX / 2 - total)
            return false;
        total += size;
    }
    for (size_t i = 0; i < message->scalar_count; i++) {
        if (!message->scalars[i].name)
            return false;
    }
    return true;
}

enum muster_status muster__encode(enum direction direction, const struct muster_message *message,
                                  size_t max_size, struct buffer **body)
{
    *body = NULL;
    if (!check_message(message))
        return MUSTER_INVALID;
    struct writer counter = {0};
    if (!put_message(&counter, direction, message))
        return MUSTER_INVALID;
    if (counter.size > max_size || max_size - counter.size < STREAM_HEAD_MAX)
        return MUSTER_TOO_BIG;
    if (counter.size == 0)
        return MUSTER_OK;
    *body = muster__buffer_new(counter.size);
    if (!*body)
        return MUSTER_OUT_OF_MEMORY;
    struct writer writer = {.at = (*body)->data};
    put_message(&writer, direction, message);
    return MUSTER_OK;
}

size_t muster__encode_turn(enum direction direction, uint64_t turn, uint8_t head[STREAM_HEAD_MAX])
{
    enum { FIELD_TURN_TO_SERVER = 2, FIELD_TURN_TO_PARTICIPANT = 3 };
    if (turn == 0)
        return 0;
    struct writer writer = {.at = head};
    put_tag(&writer, direction == TO_SERVER ? FIELD_TURN_TO_SERVER : FIELD_TURN_TO_PARTICIPANT, WIRE_VARINT);
    put_varint(&writer, turn);
    return writer.size;
}

static struct buffer *nested_buffer(uint32_t field, put_content *put, const void *content)
{
    struct writer counter = {0};
    put_nested(&counter, field, put, content);
    struct buffer *buffer = muster__buffer_new(counter.size);
    if (!buffer)
        return NULL;
    struct writer writer = {.at = buffer->data};
    put_nested(&writer, field, put, content);
    return buffer;
}

static void put_packed(struct writer *writer, const void *content)
{
    const ProtobufCMessage *message = content;
    size_t size = protobuf_c_message_get_packed_size(message);
    if (writer->at)
        writer->at += protobuf_c_message_pack(message, writer->at);
    writer->size += size;
}

struct buffer *muster__encode_hello(const Muster__Hello *hello)
{
    return nested_buffer(MUSTER__PARTICIPANT_MESSAGE__CONTENT_HELLO, put_packed, hello);
}

struct buffer *muster__encode_welcome(const Muster__Welcome *welcome)
{
    return nested_buffer(MUSTER__SERVER_MESSAGE__CONTENT_WELCOME, put_packed, welcome);
}

struct buffer *muster__encode_cancel(void)
{
    return nested_buffer(MUSTER__SERVER_MESSAGE__CONTENT_CANCEL, put_nothing, NULL);
}

struct buffer *muster__encode_progress(double fraction)
{
    return nested_buffer(MUSTER__PARTICIPANT_MESSAGE__CONTENT_PROGRESS, put_progress, &fraction);
}

/* ---- reading ---- */

struct reader {
    const uint8_t *at;
    size_t left;
};

static bool take_varint(struct reader *reader, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && reader->left; shift += 7) {
        uint8_t byte = *reader->at++;
        reader->left--;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

/* Takes the next field's number and contents; `contents` is empty but for length-delimited fields. */
static bool take_field(struct reader *reader, uint32_t *field, struct reader *contents)
{
    uint64_t tag;
    uint64_t size = 0;
    if (!take_varint(reader, &tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX >> 3)
        return false;
    *field = (uint32_t)(tag >> 3);
    *contents = (struct reader){0};
    switch (tag & 7) {
    case WIRE_VARINT:
        return take_varint(reader, &size);
    case WIRE_FIXED64:
        size = 8;
        break;
    case WIRE_FIXED32:
        size = 4;
        break;
    case WIRE_LENGTH:
        if (!take_varint(reader, &size) || size > reader->left)
            return false;
        *contents = (struct reader){reader->at, (size_t)size};
        break;
    default:
        return false;
    }
    if (size > reader->left)
        return false;
    reader->at += size;
    reader->left -= (size_t)size;
    return true;
}

/*
 * Whether the bytes are well-formed and hold at most *budget fields. Unpacking costs tens of bytes for each
 * field, be it two bytes long: this is what keeps a message from costing many times its size. Its depth is
 * the schema's.
 */
static bool check_fields(const ProtobufCMessageDescriptor *descriptor, struct reader reader, size_t *budget)
{
    while (reader.left) {
        uint32_t field;
        struct reader contents;
        if (*budget == 0 || !take_field(&reader, &field, &contents))
            return false;
        --*budget;
        const ProtobufCFieldDescriptor *known = protobuf_c_message_descriptor_get_field(descriptor, field);
        if (known && known->type == PROTOBUF_C_TYPE_MESSAGE && contents.at &&
            !check_fields(known->descriptor, contents, budget))
            return false;
    }
    return true;
}

/* What a received message points into. */
struct storage {
    ProtobufCMessage *unpacked;
    struct muster_array *arrays;
    struct muster_scalar scalars[];
};

void muster_message_clear(struct muster_message *message)
{
    struct storage *storage = message->storage;
    if (storage) {
        protobuf_c_message_free_unpacked(storage->unpacked, &allocator);
        free(storage->arrays);
        free(storage);
    }
    *message = (struct muster_message)MUSTER_MESSAGE_INIT;
}

double muster_message_scalar(const struct muster_message *message, const char *name, double otherwise)
{
    for (size_t i = 0; i < message->scalar_count; i++) {
        if (strcmp(message->scalars[i].name, name) == 0)
            return message->scalars[i].value;
    }
    return otherwise;
}

/* Gives the message its storage, with room for so many scalars; takes over `unpacked` if it succeeds. */
static bool give_storage(struct muster_message *message, ProtobufCMessage *unpacked, size_t scalar_count)
{
    struct storage *storage = malloc(sizeof(*storage) + scalar_count * sizeof(struct muster_scalar));
    if (!storage)
        return false;
    storage->unpacked = unpacked;
    storage->arrays = NULL;
    message->storage = storage;
    return true;
}

static enum muster_status read_arrays(struct muster_message *message, enum muster_kind kind,
                                      ProtobufCMessage *unpacked, const Muster__Arrays *content,
                                      struct muster_error *error)
{
    if (!give_storage(message, unpacked, content->n_scalars))
        return MUSTER_OUT_OF_MEMORY;
    struct storage *storage = message->storage;
    if (content->n_theta) {
        storage->arrays = calloc(content->n_theta, sizeof(*storage->arrays));
        if (!storage->arrays)
            return MUSTER_OUT_OF_MEMORY;
    }
    for (size_t i = 0; i < content->n_theta; i++) {
        const ProtobufCBinaryData *npy = &content->theta[i]->ndarray;
        struct muster_error why = {MUSTER_OK, ""};
        enum muster_status status = muster__npy_parse(npy->data, npy->len, &storage->arrays[i], &why);
        if (status == MUSTER_OUT_OF_MEMORY)
            return status;
        if (status != MUSTER_OK)
            return muster__error(error, MUSTER_PROTOCOL, "array %zu: %.200s", i, why.text);
    }
    for (size_t i = 0; i < content->n_scalars; i++)
        storage->scalars[i] = (struct muster_scalar){content->scalars[i]->name, content->scalars[i]->value};
    message->kind = kind;
    message->arrays = storage->arrays;
    message->array_count = content->n_theta;
    message->scalars = storage->scalars;
    message->scalar_count = content->n_scalars;
    return MUSTER_OK;
}

static enum muster_status read_payload(struct muster_message *message, ProtobufCMessage *unpacked,
                                       const Muster__Payload *payload)
{
    if (!give_storage(message, unpacked, 0))
        return MUSTER_OUT_OF_MEMORY;
    message->kind = MUSTER_APPLICATION;
    message->type = payload->type;
    message->data = payload->data.data;
    message->size = payload->data.len;
    return MUSTER_OK;
}

static enum muster_status read_to_server(struct envelope *envelope, ProtobufCMessage *unpacked,
                                         struct muster_error *error)
{
    const Muster__ParticipantMessage *received = (const Muster__ParticipantMessage *)unpacked;
    struct muster_message *message = &envelope->message;
    envelope->turn = received->turn;
    switch (received->content_case) {
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_RESULT:
        return read_arrays(message, MUSTER_TRAIN, unpacked, received->result, error);
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_EVALUATE_RESULT:
        return read_arrays(message, MUSTER_EVALUATE, unpacked, received->evaluate_result, error);
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_PAYLOAD:
        return read_payload(message, unpacked, received->payload);
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_FAILURE:
        if (!give_storage(message, unpacked, 0))
            return MUSTER_OUT_OF_MEMORY;
        message->kind = MUSTER_FAILURE;
        message->code = received->failure->code;
        message->text = received->failure->text;
        return MUSTER_OK;
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_UNKNOWN_INSTRUCTION:
        message->kind = MUSTER_UNKNOWN;
        return MUSTER_OK;
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_HELLO:
        envelope->content = CONTENT_HELLO;
        envelope->hello = received->hello;
        envelope->unpacked = unpacked;
        return MUSTER_OK;
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_PROGRESS:
        envelope->content = CONTENT_PROGRESS;
        envelope->progress = received->progress->fraction;
        if (envelope->progress >= 0 && envelope->progress <= 1)
            return MUSTER_OK;
        return muster__error(error, MUSTER_PROTOCOL, "progress is a fraction from 0 to 1");
    default:
        return MUSTER_OK;
    }
}

static enum muster_status read_to_participant(struct envelope *envelope, ProtobufCMessage *unpacked,
                                              struct muster_error *error)
{
    const Muster__ServerMessage *received = (const Muster__ServerMessage *)unpacked;
    struct muster_message *message = &envelope->message;
    envelope->turn = received->turn;
    switch (received->content_case) {
    case MUSTER__SERVER_MESSAGE__CONTENT_TRAIN_CONFIG:
        return read_arrays(message, MUSTER_TRAIN, unpacked, received->train_config, error);
    case MUSTER__SERVER_MESSAGE__CONTENT_EVALUATE_CONFIG:
        return read_arrays(message, MUSTER_EVALUATE, unpacked, received->evaluate_config, error);
    case MUSTER__SERVER_MESSAGE__CONTENT_PAYLOAD:
        return read_payload(message, unpacked, received->payload);
    case MUSTER__SERVER_MESSAGE__CONTENT_RECONNECT_IN:
        message->kind = MUSTER_RECONNECT;
        message->reconnect_seconds = received->reconnect_in;
        return MUSTER_OK;
    case MUSTER__SERVER_MESSAGE__CONTENT_WELCOME:
        envelope->content = CONTENT_WELCOME;
        envelope->welcome = received->welcome;
        envelope->unpacked = unpacked;
        return MUSTER_OK;
    case MUSTER__SERVER_MESSAGE__CONTENT_CANCEL:
        envelope->content = CONTENT_CANCEL;
        return MUSTER_OK;
    default:
        return MUSTER_OK;
    }
}

enum muster_status muster__decode(enum direction direction, const uint8_t *data, size_t size,
                                  struct envelope *envelope, struct muster_error *error)
{
    const ProtobufCMessageDescriptor *descriptor = direction == TO_SERVER
                                                       ? &muster__participant_message__descriptor
                                                       : &muster__server_message__descriptor;
    *envelope = (struct envelope){.content = CONTENT_MESSAGE};
    if (error)
        *error = (struct muster_error){MUSTER_OK, ""};
    size_t budget = WIRE_FIELDS_MAX;
    if (!check_fields(descriptor, (struct reader){data, size}, &budget)) {
        if (budget == 0)
            return muster__error(error, MUSTER_PROTOCOL, "a message has more than %d fields",
                                 WIRE_FIELDS_MAX);
        return muster__error(error, MUSTER_PROTOCOL, "the bytes are no message");
    }
    /* Well-formed by now, so that what remains to fail are field types that do not match, and memory. */
    ProtobufCMessage *unpacked = protobuf_c_message_unpack(descriptor, &allocator, size, data);
    if (!unpacked)
        return muster__error(error, MUSTER_PROTOCOL,
                             "the bytes are no message of this kind, or too much for memory");

    enum muster_status status = direction == TO_SERVER ? read_to_server(envelope, unpacked, error)
                                                       : read_to_participant(envelope, unpacked, error);
    if (status == MUSTER_OUT_OF_MEMORY)
        muster__error(error, status, "out of memory");
    if (!envelope->message.storage && !envelope->unpacked)
        protobuf_c_message_free_unpacked(unpacked, &allocator);
    if (status != MUSTER_OK)
        muster__envelope_clear(envelope);
    return status;
}

void muster__envelope_clear(struct envelope *envelope)
{
    muster_message_clear(&envelope->message);
    if (envelope->unpacked)
        protobuf_c_message_free_unpacked(envelope->unpacked, &allocator);
    *envelope = (struct envelope){.content = CONTENT_MESSAGE};
}
