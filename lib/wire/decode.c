/* Reading: whole messages, and those that are small. Hello and Welcome are protobuf-c's work, behind a check that
   bounds what it will allocate. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "status.h"
#include "text.h"
#include "wire/decode.h"
#include "wire/storage.h"

/* Hello is kept as long as its participant: it must be small. */
#define HELLO_SIZE_MAX   16384
#define HELLO_FIELDS_MAX 1024

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

/* ---- for all ---- */

/* Peers in other languages refuse a string like this, and what is shown or sent on is not to be one. */
static enum muster_status bad_text(const char *what, struct muster_error *error)
{
    return muster__error(error, MUSTER_INVALID, "%s is not UTF-8, or has a NUL in it", what);
}

enum muster_status muster__read_text(struct storage *storage, const char **text, struct reader contents,
                                     const char *what, struct muster_error *error)
{
    *text = muster__storage_text(storage, contents);
    return *text ? MUSTER_OK : bad_text(what, error);
}

enum muster_status muster__malformed(struct muster_error *error, size_t budget)
{
    return budget == 0
               ? muster__error(error, MUSTER_PROTOCOL, "a message has more than %d fields", WIRE_FIELDS_MAX)
               : muster__error(error, MUSTER_PROTOCOL, "the bytes are no message");
}

/* ---- small messages ---- */

/* The last field of each number up to FIELDS_KEPT, for small messages; their wire types are checked. */
enum { FIELDS_KEPT = 3 };

static bool read_small(struct reader reader, size_t *budget, const enum wire_type types[FIELDS_KEPT],
                       struct field fields[FIELDS_KEPT])
{
    struct field field;
    memset(fields, 0, FIELDS_KEPT * sizeof(*fields));
    while (reader.left) {
        if (!muster__next_field(&reader, &field, budget))
            return false;
        if (field.number > FIELDS_KEPT)
            continue;
        if (field.type != types[field.number - 1])
            return false;
        fields[field.number - 1] = field;
    }
    return true;
}

static enum muster_status take_payload(struct envelope *envelope, const struct field fields[FIELDS_KEPT],
                                       struct muster_error *error)
{
    struct muster_message *message = &envelope->message;
    uint64_t announced = fields[2].value;
    size_t size = fields[1].contents.left;
    if (announced > PAYLOAD_MAX || (announced && size))
        return muster__error(error, MUSTER_PROTOCOL, "more is announced than there can be");
    const struct counts counts = {
        .parts = 1, .text = fields[0].contents.left + 1, .data = size ? muster__storage_round(size) : 0};
    if (!muster__storage_make(message, &counts))
        return MUSTER_OUT_OF_MEMORY;
    struct storage *storage = message->storage;
    message->size = announced ? (size_t)announced : size;
    if (size)
        message->data = muster__storage_data(storage, fields[1].contents);
    if (announced)
        muster__storage_announce(storage, NO_ARRAY, (size_t)announced);
    envelope->announced = announced;
    return muster__read_text(storage, &message->type, fields[0].contents, "a payload's type", error);
}

static enum muster_status take_text(struct muster_message *message, struct reader contents, const char *what,
                                    struct muster_error *error)
{
    const struct counts counts = {.text = contents.left + 1};
    if (!muster__storage_make(message, &counts))
        return MUSTER_OUT_OF_MEMORY;
    return muster__read_text(message->storage, &message->text, contents, what, error);
}

static enum muster_status take_failure(struct envelope *envelope, const struct field fields[FIELDS_KEPT],
                                       struct muster_error *error)
{
    envelope->message.code = (int32_t)fields[0].value;
    return take_text(&envelope->message, fields[1].contents, "a failure's text", error);
}

static enum muster_status take_refused(struct envelope *envelope, const struct field fields[FIELDS_KEPT],
                                       struct muster_error *error)
{
    return take_text(&envelope->message, fields[0].contents, "the reason of a refusal", error);
}

static enum muster_status take_grant(struct envelope *envelope, const struct field fields[FIELDS_KEPT],
                                     struct muster_error *error)
{
    (void)error;
    envelope->grant = fields[0].value;
    envelope->limit = fields[1].value;
    return MUSTER_OK;
}

static enum muster_status take_chunk(struct envelope *envelope, const struct field fields[FIELDS_KEPT],
                                     struct muster_error *error)
{
    (void)error;
    envelope->offset = fields[0].value;
    envelope->chunk = fields[1].contents;
    envelope->grant = fields[2].value;
    return MUSTER_OK;
}

/* ---- Hello and Welcome ---- */

/*
 * Whether the bytes, which are in one piece, are well-formed, hold at most *budget fields, and strings are
 * UTF-8, which protobuf-c does not look at. Unpacking costs tens of bytes for each field, be it two bytes
 * long: this is what keeps a message from costing many times its size. Its depth is the schema's.
 */
static enum muster_status check_fields(const ProtobufCMessageDescriptor *descriptor, struct reader reader,
                                       size_t *budget, struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    struct field field;
    while (status == MUSTER_OK && reader.left) {
        if (!muster__next_field(&reader, &field, budget))
            return *budget ? muster__error(error, MUSTER_PROTOCOL, "the bytes are no message")
                           : muster__error(error, MUSTER_PROTOCOL, "Hello or Welcome has more than %d fields",
                                           HELLO_FIELDS_MAX);
        const ProtobufCFieldDescriptor *known =
            protobuf_c_message_descriptor_get_field(descriptor, field.number);
        if (!known || field.type != WIRE_LENGTH)
            continue;
        const char *text = (const char *)field.contents.piece->data + field.contents.offset;
        if (known->type == PROTOBUF_C_TYPE_MESSAGE)
            status = check_fields(known->descriptor, field.contents, budget, error);
        else if (known->type == PROTOBUF_C_TYPE_STRING && !muster__text_is_good(text, field.contents.left))
            status = bad_text("a name, a label or a feature", error);
    }
    return status;
}

static enum muster_status read_greeting(struct envelope *envelope, struct reader reader, size_t budget,
                                        struct muster_error *error)
{
    const ProtobufCMessageDescriptor *descriptor =
        envelope->content == CONTENT_HELLO ? &muster__hello__descriptor : &muster__welcome__descriptor;
    uint8_t bytes[HELLO_SIZE_MAX];
    const struct piece piece = {bytes, reader.left};
    if (piece.size > sizeof(bytes))
        return muster__error(error, MUSTER_PROTOCOL, "Hello or Welcome is bigger than 16 KiB");
    muster__read_bytes(&reader, bytes, piece.size);
    budget = HELLO_FIELDS_MAX;
    enum muster_status status = check_fields(descriptor, muster__reader(&piece, 1), &budget, error);
    if (status != MUSTER_OK)
        return status;
    envelope->unpacked = protobuf_c_message_unpack(descriptor, &allocator, piece.size, bytes);
    if (!envelope->unpacked)
        return muster__error(error, MUSTER_PROTOCOL,
                             "the bytes are no Hello or Welcome, or too much for memory");
    if (envelope->content == CONTENT_HELLO)
        envelope->hello = (const Muster__Hello *)envelope->unpacked;
    else
        envelope->welcome = (const Muster__Welcome *)envelope->unpacked;
    return MUSTER_OK;
}

/* ---- whole messages ---- */

/* Each content that a message can have, and how it is read. */
static const struct form {
    uint32_t numbers[2]; /* of its field, by direction; 0: it does not go that way */
    enum content content;
    enum muster_kind kind;
    enum muster_status (*read)(struct envelope *envelope, struct reader reader, size_t budget,
                               struct muster_error *error);
    /* In its place, for small ones. */
    enum muster_status (*take)(struct envelope *envelope, const struct field fields[FIELDS_KEPT],
                               struct muster_error *error);
    enum wire_type types[FIELDS_KEPT];
} forms[] = {
    {.numbers = {DOWN(TRAIN_CONFIG), UP(RESULT)}, .kind = MUSTER_TRAIN, .read = muster__read_arrays},
    {.numbers = {DOWN(EVALUATE_CONFIG), UP(EVALUATE_RESULT)},
     .kind = MUSTER_EVALUATE,
     .read = muster__read_arrays},
    {.numbers = {DOWN(PAYLOAD), UP(PAYLOAD)},
     .kind = MUSTER_APPLICATION,
     .take = take_payload,
     .types = {WIRE_LENGTH, WIRE_LENGTH, WIRE_VARINT}},
    {.numbers = {0, UP(FAILURE)},
     .kind = MUSTER_FAILURE,
     .take = take_failure,
     .types = {WIRE_VARINT, WIRE_LENGTH, WIRE_LENGTH}},
    {.numbers = {0, UP(UNKNOWN_INSTRUCTION)}, .kind = MUSTER_UNKNOWN},
    {.numbers = {DOWN(RECONNECT_IN), 0}, .kind = MUSTER_RECONNECT},
    {.numbers = {0, UP(HELLO)}, .content = CONTENT_HELLO, .read = read_greeting},
    {.numbers = {DOWN(WELCOME), 0}, .content = CONTENT_WELCOME, .read = read_greeting},
    {.numbers = {DOWN(CANCEL), 0}, .content = CONTENT_CANCEL},
    {.numbers = {0, UP(ALIVE)}, .content = CONTENT_ALIVE},
    {.numbers = {0, UP(ASK)}, .content = CONTENT_ASK},
    {.numbers = {0, UP(PROGRESS)}, .content = CONTENT_PROGRESS, .read = muster__read_progress},
    {.numbers = {DOWN(GRANT), 0},
     .content = CONTENT_GRANT,
     .take = take_grant,
     .types = {WIRE_VARINT, WIRE_VARINT, WIRE_LENGTH}},
    {.numbers = {DOWN(CHUNK), UP(CHUNK)},
     .content = CONTENT_CHUNK,
     .take = take_chunk,
     .types = {WIRE_VARINT, WIRE_LENGTH, WIRE_VARINT}},
    {.numbers = {DOWN(REFUSED), 0},
     .content = CONTENT_REFUSED,
     .take = take_refused,
     .types = {WIRE_LENGTH, WIRE_LENGTH, WIRE_LENGTH}},
};

/* Reads the content of a message; `budget` fields may be in it. A content from the future is an empty one. */
static enum muster_status read_content(enum direction direction, struct envelope *envelope,
                                       const struct field *content, size_t budget, struct muster_error *error)
{
    const struct form *form = forms, *end = forms + sizeof(forms) / sizeof(*forms);
    struct field fields[FIELDS_KEPT];
    while (form < end && form->numbers[direction] != content->number)
        form++;
    if (content->number == 0 || form == end)
        return MUSTER_OK;
    envelope->content = form->content;
    envelope->message.kind = form->kind;
    if (form->kind == MUSTER_RECONNECT)
        envelope->message.reconnect_seconds = (int32_t)content->value;
    if (form->read)
        return form->read(envelope, content->contents, budget, error);
    if (!form->take)
        return MUSTER_OK;
    if (!read_small(content->contents, &budget, form->types, fields))
        return muster__malformed(error, budget);
    return form->take(envelope, fields, error);
}

/* Takes a message's own fields: turn, grant, limit, and the last of its contents. */
static bool read_top(enum direction direction, struct reader reader, struct envelope *envelope,
                     struct field *content, size_t *budget)
{
    const ProtobufCMessageDescriptor *descriptor = direction == TO_SERVER
                                                       ? &muster__participant_message__descriptor
                                                       : &muster__server_message__descriptor;
    struct field field;
    while (reader.left) {
        if (!muster__next_field(&reader, &field, budget))
            return false;
        const ProtobufCFieldDescriptor *known =
            protobuf_c_message_descriptor_get_field(descriptor, field.number);
        if (!known)
            continue;
        bool nested = known->type == PROTOBUF_C_TYPE_MESSAGE;
        if (field.type != (nested ? WIRE_LENGTH : WIRE_VARINT))
            return false;
        if (nested || known->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
            *content = field;
        else if (direction == TO_PARTICIPANT && field.number == FIELD_GRANTED)
            envelope->grant = field.value;
        else if (direction == TO_PARTICIPANT && field.number == FIELD_LIMIT)
            envelope->limit = field.value;
        else if (direction == TO_PARTICIPANT && field.number == FIELD_HEARTBEAT)
            envelope->heartbeat_ms = field.value;
        else
            envelope->turn = field.value;
    }
    return true;
}

enum muster_status muster__decode(enum direction direction, const struct piece *pieces, size_t count,
                                  struct envelope *envelope, struct muster_error *error)
{
    *envelope = (struct envelope){.content = CONTENT_MESSAGE};
    if (error)
        *error = (struct muster_error){MUSTER_OK, ""};
    size_t budget = WIRE_FIELDS_MAX;
    struct field content = {0};
    if (!read_top(direction, muster__reader(pieces, count), envelope, &content, &budget))
        return muster__malformed(error, budget);
    enum muster_status status = read_content(direction, envelope, &content, budget, error);
    if (status == MUSTER_OUT_OF_MEMORY)
        muster__error(error, status, "out of memory");
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

/* ---- a copy ---- */

enum muster_status muster__message_copy(enum direction direction, const struct muster_message *message,
                                        struct muster_message *copy, struct muster_error *error)
{
    sem_t returned;
    const struct encoding encoding = {
        .max_message_size = SIZE_MAX, .max_payload_size = UINT64_MAX, .borrow = &returned};
    struct envelope envelope = {.content = CONTENT_MESSAGE};
    struct buffer *body;
    sem_init(&returned, 0, 0);
    enum muster_status status = muster__encode(direction, message, &encoding, &body, error);
    if (status == MUSTER_OK && body)
        status = muster__decode(direction, &(struct piece){body->data, body->size}, 1, &envelope, error);
    if (status == MUSTER_OK && envelope.announced) {
        struct reader data = muster__reader(body->payload->pieces, body->payload->count);
        if (muster__payload_begin(&envelope.message, NULL, NULL))
            muster__payload_add(&envelope.message, &data);
        else
            status = muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    }
    if (status == MUSTER_OK)
        *copy = envelope.message;
    else
        muster__envelope_clear(&envelope);
    muster__buffer_release(body);
    sem_destroy(&returned);
    return status;
}
