/*
 * Reading. Messages with arrays are read by hand, in two passes: the first checks and counts, the second
 * copies into one block of memory, each array's data from where the network left it to where the user reads
 * it. Hello and Welcome are protobuf-c's work, behind a check that bounds what it will allocate.
 */
#include <config.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "status.h"
#include "text.h"
#include "wire/block.h"
#include "wire/codec.h"
#include "wire/copy.h"
#include "wire/names.h"
#include "wire/npy.h"

#define ALIGNMENT BLOCK_ALIGNMENT

/* The header that announces an array: ours are 128 bytes. */
#define HEADER_SIZE_MAX 1024

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

static size_t round_up(size_t size)
{
    return size + (ALIGNMENT - size % ALIGNMENT) % ALIGNMENT;
}

/* ---- what a received message points into ---- */

#define NO_ARRAY SIZE_MAX

/* Data that follows in chunks: of an array, or of an application's message. */
struct part {
    size_t array; /* its index, or NO_ARRAY */
    size_t size;
};

/* The tables and small data are in the same block of memory, behind it. */
struct storage {
    atomic_uint references; /* the message's, and those of answers that are sent from here */
    struct muster_array *arrays;
    struct muster_scalar *scalars;
    struct part *parts;
    size_t part_count;
    char *text;    /* where the next string goes */
    uint8_t *data; /* where the next array goes, aligned */
    /* What came in chunks. */
    uint8_t *payload;
    size_t payload_room;
    uint64_t payload_size;
    size_t part;        /* where the next chunk begins */
    size_t part_offset; /* in that part */
    uint8_t *part_data;
    void (*returned)(void *context, uint64_t size);
    void *context;
    /* Of a message that was not received. */
    void *owned;
    void (*let_go)(void *owned);
};

struct counts {
    size_t arrays;
    size_t scalars;
    size_t parts;
    size_t text;
    size_t data;
};

static bool make_storage(struct muster_message *message, const struct counts *counts)
{
    size_t head = sizeof(struct storage) + counts->arrays * sizeof(struct muster_array) +
                  counts->scalars * sizeof(struct muster_scalar) + counts->parts * sizeof(struct part) +
                  counts->text;
    /* malloc's own alignment may be less: there is room to move up. */
    struct storage *storage = malloc(head + (counts->data ? ALIGNMENT + counts->data : 0));
    if (!storage)
        return false;
    *storage = (struct storage){.references = 1, .arrays = (struct muster_array *)(storage + 1)};
    storage->scalars = (struct muster_scalar *)(storage->arrays + counts->arrays);
    storage->parts = (struct part *)(storage->scalars + counts->scalars);
    storage->text = (char *)(storage->parts + counts->parts);
    uintptr_t end = (uintptr_t)storage->text + counts->text;
    storage->data = (uint8_t *)storage->text + counts->text + (ALIGNMENT - end % ALIGNMENT) % ALIGNMENT;
    message->storage = storage;
    return true;
}

/* NULL when it is not UTF-8. */
static const char *store_text(struct storage *storage, struct reader contents)
{
    char *text = storage->text;
    size_t size = contents.left;
    muster__read_bytes(&contents, text, size);
    text[size] = '\0';
    storage->text += size + 1;
    return muster__text_is_good(text, size) ? text : NULL;
}

/* Peers in other languages refuse a string like this, and what is shown or sent on is not to be one. */
static enum muster_status bad_text(const char *what, struct muster_error *error)
{
    return muster__error(error, MUSTER_INVALID, "%s is not UTF-8, or has a NUL in it", what);
}

static uint8_t *store_data(struct storage *storage, struct reader contents)
{
    uint8_t *data = storage->data;
    storage->data += round_up(contents.left);
    muster__read_bytes(&contents, data, contents.left);
    return data;
}

static void drop_payload(struct storage *storage)
{
    if (!storage->payload)
        return;
    muster__block_free(storage->payload, storage->payload_room);
    storage->payload = NULL;
    if (storage->returned)
        storage->returned(storage->context, storage->payload_size);
}

void muster_message_clear(struct muster_message *message)
{
    muster__storage_release(message->storage);
    *message = (struct muster_message)MUSTER_MESSAGE_INIT;
}

struct storage *muster__storage_retain(struct storage *storage)
{
    if (storage)
        atomic_fetch_add_explicit(&storage->references, 1, memory_order_relaxed);
    return storage;
}

void muster__storage_release(void *released)
{
    struct storage *storage = released;
    if (!storage || atomic_fetch_sub_explicit(&storage->references, 1, memory_order_acq_rel) != 1)
        return;
    drop_payload(storage);
    if (storage->owned)
        storage->let_go(storage->owned);
    free(storage);
}

struct storage *muster__storage_of(void *owned, void (*let_go)(void *owned))
{
    struct storage *storage = malloc(sizeof(*storage));
    if (storage)
        *storage = (struct storage){.references = 1, .owned = owned, .let_go = let_go};
    return storage;
}

void *muster__storage_owned(const struct storage *storage)
{
    return storage ? storage->owned : NULL;
}

bool muster__storage_has(const struct storage *storage, const void *data, size_t size)
{
    uintptr_t begin = (uintptr_t)storage->payload;
    uintptr_t at = (uintptr_t)data;
    return at >= begin && at - begin <= storage->payload_room && size <= storage->payload_room - (at - begin);
}

double muster_message_scalar(const struct muster_message *message, const char *name, double otherwise)
{
    for (size_t i = 0; i < message->scalar_count; i++) {
        if (strcmp(message->scalars[i].name, name) == 0)
            return message->scalars[i].value;
    }
    return otherwise;
}

/* ---- a copy ---- */

static size_t text_size(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static const char *copy_text(struct storage *storage, const char *text)
{
    if (!text)
        return NULL;
    char *copy = storage->text;
    storage->text += text_size(text);
    return memcpy(copy, text, text_size(text));
}

static const void *copy_data(uint8_t **at, const void *data, size_t size)
{
    uint8_t *copy = *at;
    *at += round_up(size);
    if (size >= BIG_COPY_MIN)
        muster__copy_big(copy, data, size);
    else if (size)
        muster__copy(copy, data, size);
    return copy;
}

static size_t data_size(const struct muster_array *array)
{
    return muster_array_count(array) * muster_dtype_size(array->dtype);
}

bool muster__message_copy(const struct muster_message *message, struct muster_message *copy)
{
    struct counts counts = {.arrays = message->array_count,
                            .scalars = message->scalar_count,
                            .text = text_size(message->type) + text_size(message->text)};
    size_t room = round_up(message->size);
    for (size_t i = 0; i < message->scalar_count; i++)
        counts.text += text_size(message->scalars[i].name);
    for (size_t i = 0; i < message->array_count; i++)
        room += round_up(data_size(&message->arrays[i]));
    *copy = *message;
    copy->storage = NULL;
    if (!make_storage(copy, &counts))
        return false;
    struct storage *storage = copy->storage;
    storage->payload = room ? muster__block_new(room) : NULL;
    storage->payload_room = room;
    if (room && !storage->payload) {
        muster_message_clear(copy);
        return false;
    }
    uint8_t *at = storage->payload;
    for (size_t i = 0; i < message->array_count; i++) {
        storage->arrays[i] = message->arrays[i];
        storage->arrays[i].data = copy_data(&at, message->arrays[i].data, data_size(&message->arrays[i]));
    }
    for (size_t i = 0; i < message->scalar_count; i++) {
        storage->scalars[i] = message->scalars[i];
        storage->scalars[i].name = copy_text(storage, message->scalars[i].name);
    }
    copy->arrays = storage->arrays;
    copy->scalars = storage->scalars;
    copy->type = copy_text(storage, message->type);
    copy->text = copy_text(storage, message->text);
    copy->data = copy_data(&at, message->data, message->size);
    return true;
}

/* ---- what came in chunks ---- */

static void point_at(struct muster_message *message, const struct part *part, uint8_t *data)
{
    struct storage *storage = message->storage;
    if (part->array == NO_ARRAY)
        message->data = data;
    else
        storage->arrays[part->array].data = data;
}

bool muster__payload_begin(struct muster_message *message, void (*returned)(void *context, uint64_t size),
                           void *context)
{
    struct storage *storage = message->storage;
    size_t room = 0;
    for (size_t i = 0; i < storage->part_count; i++)
        room += round_up(storage->parts[i].size);
    storage->payload = muster__block_new(room);
    storage->payload_room = room;
    if (!storage->payload)
        return false;
    uint8_t *data = storage->payload;
    for (size_t i = 0; i < storage->part_count; i++) {
        point_at(message, &storage->parts[i], data);
        data += round_up(storage->parts[i].size);
    }
    storage->part = 0;
    storage->part_offset = 0;
    storage->part_data = storage->payload;
    storage->returned = returned;
    storage->context = context;
    return true;
}

void muster__payload_hand_over(struct muster_message *message)
{
    struct storage *storage = message->storage;
    if (!storage || !storage->payload || !storage->returned)
        return;
    storage->returned(storage->context, storage->payload_size);
    storage->returned = NULL;
}

void muster__payload_drop(struct muster_message *message)
{
    struct storage *storage = message->storage;
    drop_payload(storage);
    for (size_t i = 0; i < storage->part_count; i++)
        point_at(message, &storage->parts[i], NULL);
}

void muster__payload_add(struct muster_message *message, struct reader *chunk)
{
    struct storage *storage = message->storage;
    while (chunk->left) {
        const struct part *part = &storage->parts[storage->part];
        size_t left = part->size - storage->part_offset;
        size_t size = chunk->left < left ? chunk->left : left;
        chunk->big = part->size >= BIG_COPY_MIN;
        muster__read_bytes(chunk, storage->part_data + storage->part_offset, size);
        storage->part_offset += size;
        if (size == left) {
            storage->part_data += round_up(part->size);
            storage->part_offset = 0;
            storage->part++;
        }
    }
}

/* ---- arrays and scalars ---- */

/* Takes a field, of which a message has only so many. */
static bool next_field(struct reader *reader, struct field *field, size_t *budget)
{
    if (*budget == 0)
        return false;
    --*budget;
    return muster__read_field(reader, field);
}

static bool count_array(struct reader reader, struct counts *counts, size_t *budget)
{
    struct field field;
    while (reader.left) {
        if (!next_field(&reader, &field, budget))
            return false;
        bool whole = field.number == 1;
        bool announced = field.number == 2;
        if ((whole || announced) && field.type != WIRE_LENGTH)
            return false;
        if (whole)
            counts->data += round_up(field.contents.left);
        counts->parts += announced;
    }
    counts->arrays++;
    return true;
}

static bool count_scalar(struct reader reader, struct counts *counts, size_t *budget)
{
    struct field field;
    while (reader.left) {
        if (!next_field(&reader, &field, budget))
            return false;
        if ((field.number == 1 && field.type != WIRE_LENGTH) ||
            (field.number == 2 && field.type != WIRE_FIXED64))
            return false;
        if (field.number == 1)
            counts->text += field.contents.left + 1;
    }
    counts->text++; /* of one without a name */
    counts->scalars++;
    return true;
}

static bool count_arrays(struct reader reader, struct counts *counts, size_t *budget)
{
    struct field field;
    while (reader.left) {
        if (!next_field(&reader, &field, budget))
            return false;
        if (field.number != 1 && field.number != 2)
            continue;
        if (field.type != WIRE_LENGTH ||
            !(field.number == 1 ? count_array : count_scalar)(field.contents, counts, budget))
            return false;
    }
    return true;
}

static enum muster_status read_announced(struct storage *storage, struct muster_array *array, size_t index,
                                         struct reader header, struct muster_error *error)
{
    uint8_t bytes[HEADER_SIZE_MAX];
    size_t size = header.left;
    if (size > sizeof(bytes))
        return muster__error(error, MUSTER_FORMAT, "its header is longer than %d bytes", HEADER_SIZE_MAX);
    muster__read_bytes(&header, bytes, size);
    enum muster_status status = muster__npy_parse_header(bytes, size, array, error);
    if (status != MUSTER_OK)
        return status;
    size_t data_size = muster_array_count(array) * muster_dtype_size(array->dtype);
    if (data_size == 0)
        return muster__error(error, MUSTER_FORMAT, "it is announced, but empty");
    storage->parts[storage->part_count++] = (struct part){index, data_size};
    return MUSTER_OK;
}

static enum muster_status read_array(struct storage *storage, size_t index, struct reader reader,
                                     struct muster_error *error)
{
    struct muster_array *array = &storage->arrays[index];
    struct field field;
    struct field found = {0};
    while (reader.left && muster__read_field(&reader, &field)) {
        if (field.number == 1 || field.number == 2) {
            if (found.number)
                return muster__error(error, MUSTER_FORMAT, "it is there twice");
            found = field;
        }
    }
    if (found.number == 2)
        return read_announced(storage, array, index, found.contents, error);
    size_t size = found.contents.left;
    return muster__npy_parse(store_data(storage, found.contents), size, array, error);
}

static enum muster_status read_scalar(struct storage *storage, struct muster_scalar *scalar,
                                      struct reader reader, struct muster_error *error)
{
    struct field field;
    *scalar = (struct muster_scalar){NULL, 0};
    while (reader.left && muster__read_field(&reader, &field)) {
        if (field.number == 2)
            memcpy(&scalar->value, &field.value, sizeof(scalar->value));
        if (field.number != 1)
            continue;
        scalar->name = store_text(storage, field.contents);
        if (!scalar->name)
            return bad_text("a scalar's name", error);
    }
    if (!scalar->name)
        scalar->name = store_text(storage, (struct reader){0});
    return MUSTER_OK;
}

static enum muster_status malformed(struct muster_error *error, size_t budget)
{
    return budget == 0
               ? muster__error(error, MUSTER_PROTOCOL, "a message has more than %d fields", WIRE_FIELDS_MAX)
               : muster__error(error, MUSTER_PROTOCOL, "the bytes are no message");
}

static enum muster_status add_announced(struct envelope *envelope, struct muster_error *error)
{
    const struct storage *storage = envelope->message.storage;
    for (size_t i = 0; i < storage->part_count; i++) {
        if (storage->parts[i].size > SIZE_MAX / 4 - envelope->announced)
            return muster__error(error, MUSTER_PROTOCOL, "more is announced than there is memory");
        envelope->announced += storage->parts[i].size;
    }
    ((struct storage *)envelope->message.storage)->payload_size = envelope->announced;
    return MUSTER_OK;
}

static enum muster_status read_arrays(struct envelope *envelope, enum muster_kind kind, struct reader reader,
                                      size_t budget, struct muster_error *error)
{
    struct muster_message *message = &envelope->message;
    struct counts counts = {0};
    if (!count_arrays(reader, &counts, &budget))
        return malformed(error, budget);
    message->kind = kind;
    if (!counts.arrays && !counts.scalars)
        return MUSTER_OK;
    if (!make_storage(message, &counts))
        return MUSTER_OUT_OF_MEMORY;
    struct storage *storage = message->storage;
    struct field field;
    enum muster_status status = MUSTER_OK;
    while (status == MUSTER_OK && reader.left && muster__read_field(&reader, &field)) {
        if (field.number == 2)
            status = read_scalar(storage, &storage->scalars[message->scalar_count++], field.contents, error);
        if (field.number != 1)
            continue;
        struct muster_error why = {MUSTER_OK, ""};
        status = read_array(storage, message->array_count, field.contents, &why);
        if (status == MUSTER_OUT_OF_MEMORY)
            return status;
        if (status != MUSTER_OK)
            return muster__error(error, MUSTER_PROTOCOL, "array %zu: %.200s", message->array_count, why.text);
        message->array_count++;
    }
    message->arrays = storage->arrays;
    message->scalars = storage->scalars;
    if (status == MUSTER_OK)
        status = muster__names_check(message->scalars, message->scalar_count, error);
    return status == MUSTER_OK ? add_announced(envelope, error) : status;
}

/* ---- the other messages ---- */

/* The last field of each number up to FIELDS_KEPT, for small messages; their wire types are checked. */
enum { FIELDS_KEPT = 3 };

static bool read_small(struct reader reader, size_t *budget, const enum wire_type types[FIELDS_KEPT],
                       struct field fields[FIELDS_KEPT])
{
    struct field field;
    memset(fields, 0, FIELDS_KEPT * sizeof(*fields));
    while (reader.left) {
        if (!next_field(&reader, &field, budget))
            return false;
        if (field.number > FIELDS_KEPT)
            continue;
        if (field.type != types[field.number - 1])
            return false;
        fields[field.number - 1] = field;
    }
    return true;
}

static enum muster_status read_payload(struct envelope *envelope, struct reader reader, size_t budget,
                                       struct muster_error *error)
{
    static const enum wire_type types[FIELDS_KEPT] = {WIRE_LENGTH, WIRE_LENGTH, WIRE_VARINT};
    struct muster_message *message = &envelope->message;
    struct field fields[FIELDS_KEPT];
    if (!read_small(reader, &budget, types, fields))
        return malformed(error, budget);
    uint64_t announced = fields[2].value;
    size_t size = fields[1].contents.left;
    if (announced > SIZE_MAX / 4 || (announced && size))
        return muster__error(error, MUSTER_PROTOCOL, "more is announced than there can be");
    const struct counts counts = {
        .parts = 1, .text = fields[0].contents.left + 1, .data = size ? round_up(size) : 0};
    if (!make_storage(message, &counts))
        return MUSTER_OUT_OF_MEMORY;
    struct storage *storage = message->storage;
    message->kind = MUSTER_APPLICATION;
    message->type = store_text(storage, fields[0].contents);
    if (!message->type)
        return bad_text("a payload's type", error);
    message->size = announced ? (size_t)announced : size;
    if (size)
        message->data = store_data(storage, fields[1].contents);
    if (announced)
        storage->parts[storage->part_count++] = (struct part){NO_ARRAY, (size_t)announced};
    return add_announced(envelope, error);
}

static enum muster_status read_failure(struct envelope *envelope, struct reader reader, size_t budget,
                                       struct muster_error *error)
{
    static const enum wire_type types[FIELDS_KEPT] = {WIRE_VARINT, WIRE_LENGTH, WIRE_LENGTH};
    struct muster_message *message = &envelope->message;
    struct field fields[FIELDS_KEPT];
    if (!read_small(reader, &budget, types, fields))
        return malformed(error, budget);
    const struct counts counts = {.text = fields[1].contents.left + 1};
    if (!make_storage(message, &counts))
        return MUSTER_OUT_OF_MEMORY;
    message->kind = MUSTER_FAILURE;
    message->code = (int32_t)fields[0].value;
    message->text = store_text(message->storage, fields[1].contents);
    return message->text ? MUSTER_OK : bad_text("a failure's text", error);
}

static enum muster_status read_refused(struct envelope *envelope, struct reader reader, size_t budget,
                                       struct muster_error *error)
{
    static const enum wire_type types[FIELDS_KEPT] = {WIRE_LENGTH, WIRE_LENGTH, WIRE_LENGTH};
    struct muster_message *message = &envelope->message;
    struct field fields[FIELDS_KEPT];
    if (!read_small(reader, &budget, types, fields))
        return malformed(error, budget);
    const struct counts counts = {.text = fields[0].contents.left + 1};
    if (!make_storage(message, &counts))
        return MUSTER_OUT_OF_MEMORY;
    envelope->content = CONTENT_REFUSED;
    message->text = store_text(message->storage, fields[0].contents);
    return message->text ? MUSTER_OK : bad_text("the reason of a refusal", error);
}

static enum muster_status read_progress(struct envelope *envelope, struct reader reader, size_t budget,
                                        struct muster_error *error)
{
    static const enum wire_type types[FIELDS_KEPT] = {WIRE_FIXED64, WIRE_LENGTH, WIRE_LENGTH};
    struct field fields[FIELDS_KEPT];
    if (!read_small(reader, &budget, types, fields))
        return malformed(error, budget);
    envelope->content = CONTENT_PROGRESS;
    memcpy(&envelope->progress, &fields[0].value, sizeof(envelope->progress));
    if (envelope->progress >= 0 && envelope->progress <= 1)
        return MUSTER_OK;
    return muster__error(error, MUSTER_PROTOCOL, "progress is a fraction from 0 to 1");
}

static enum muster_status read_grant(struct envelope *envelope, struct reader reader, size_t budget,
                                     struct muster_error *error)
{
    static const enum wire_type types[FIELDS_KEPT] = {WIRE_VARINT, WIRE_VARINT, WIRE_LENGTH};
    struct field fields[FIELDS_KEPT];
    if (!read_small(reader, &budget, types, fields))
        return malformed(error, budget);
    envelope->content = CONTENT_GRANT;
    envelope->grant = fields[0].value;
    envelope->limit = fields[1].value;
    return MUSTER_OK;
}

static enum muster_status read_chunk(struct envelope *envelope, struct reader reader, size_t budget,
                                     struct muster_error *error)
{
    static const enum wire_type types[FIELDS_KEPT] = {WIRE_VARINT, WIRE_LENGTH, WIRE_VARINT};
    struct field fields[FIELDS_KEPT];
    if (!read_small(reader, &budget, types, fields))
        return malformed(error, budget);
    envelope->content = CONTENT_CHUNK;
    envelope->offset = fields[0].value;
    envelope->chunk = fields[1].contents;
    envelope->grant = fields[2].value;
    return MUSTER_OK;
}

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
        if (!next_field(&reader, &field, budget))
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

/* Hello and Welcome. */
static enum muster_status unpack(const ProtobufCMessageDescriptor *descriptor, struct reader reader,
                                 ProtobufCMessage **unpacked, struct muster_error *error)
{
    uint8_t bytes[HELLO_SIZE_MAX];
    const struct piece piece = {bytes, reader.left};
    size_t budget = HELLO_FIELDS_MAX;
    if (piece.size > sizeof(bytes))
        return muster__error(error, MUSTER_PROTOCOL, "Hello or Welcome is bigger than 16 KiB");
    muster__read_bytes(&reader, bytes, piece.size);
    enum muster_status status = check_fields(descriptor, muster__reader(&piece, 1), &budget, error);
    if (status != MUSTER_OK)
        return status;
    *unpacked = protobuf_c_message_unpack(descriptor, &allocator, piece.size, bytes);
    if (!*unpacked)
        return muster__error(error, MUSTER_PROTOCOL,
                             "the bytes are no Hello or Welcome, or too much for memory");
    return MUSTER_OK;
}

static enum muster_status read_hello(struct envelope *envelope, struct reader reader,
                                     struct muster_error *error)
{
    envelope->content = CONTENT_HELLO;
    enum muster_status status = unpack(&muster__hello__descriptor, reader, &envelope->unpacked, error);
    envelope->hello = (const Muster__Hello *)envelope->unpacked;
    return status;
}

static enum muster_status read_welcome(struct envelope *envelope, struct reader reader,
                                       struct muster_error *error)
{
    envelope->content = CONTENT_WELCOME;
    enum muster_status status = unpack(&muster__welcome__descriptor, reader, &envelope->unpacked, error);
    envelope->welcome = (const Muster__Welcome *)envelope->unpacked;
    return status;
}

/* ---- whole messages ---- */

/* Reads the content of a message; `budget` fields may be in it. A content from the future is an empty one. */
static enum muster_status read_to_server(struct envelope *envelope, const struct field *content,
                                         size_t budget, struct muster_error *error)
{
    switch (content->number) {
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_RESULT:
        return read_arrays(envelope, MUSTER_TRAIN, content->contents, budget, error);
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_EVALUATE_RESULT:
        return read_arrays(envelope, MUSTER_EVALUATE, content->contents, budget, error);
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_PAYLOAD:
        return read_payload(envelope, content->contents, budget, error);
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_FAILURE:
        return read_failure(envelope, content->contents, budget, error);
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_UNKNOWN_INSTRUCTION:
        envelope->message.kind = MUSTER_UNKNOWN;
        return MUSTER_OK;
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_HELLO:
        return read_hello(envelope, content->contents, error);
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_PROGRESS:
        return read_progress(envelope, content->contents, budget, error);
    case MUSTER__PARTICIPANT_MESSAGE__CONTENT_CHUNK:
        return read_chunk(envelope, content->contents, budget, error);
    default:
        return MUSTER_OK;
    }
}

static enum muster_status read_to_participant(struct envelope *envelope, const struct field *content,
                                              size_t budget, struct muster_error *error)
{
    switch (content->number) {
    case MUSTER__SERVER_MESSAGE__CONTENT_TRAIN_CONFIG:
        return read_arrays(envelope, MUSTER_TRAIN, content->contents, budget, error);
    case MUSTER__SERVER_MESSAGE__CONTENT_EVALUATE_CONFIG:
        return read_arrays(envelope, MUSTER_EVALUATE, content->contents, budget, error);
    case MUSTER__SERVER_MESSAGE__CONTENT_PAYLOAD:
        return read_payload(envelope, content->contents, budget, error);
    case MUSTER__SERVER_MESSAGE__CONTENT_RECONNECT_IN:
        envelope->message.kind = MUSTER_RECONNECT;
        envelope->message.reconnect_seconds = (int32_t)content->value;
        return MUSTER_OK;
    case MUSTER__SERVER_MESSAGE__CONTENT_WELCOME:
        return read_welcome(envelope, content->contents, error);
    case MUSTER__SERVER_MESSAGE__CONTENT_CANCEL:
        envelope->content = CONTENT_CANCEL;
        return MUSTER_OK;
    case MUSTER__SERVER_MESSAGE__CONTENT_GRANT:
        return read_grant(envelope, content->contents, budget, error);
    case MUSTER__SERVER_MESSAGE__CONTENT_CHUNK:
        return read_chunk(envelope, content->contents, budget, error);
    case MUSTER__SERVER_MESSAGE__CONTENT_REFUSED:
        return read_refused(envelope, content->contents, budget, error);
    default:
        return MUSTER_OK;
    }
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
        if (!next_field(&reader, &field, budget))
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
        return malformed(error, budget);
    enum muster_status status = direction == TO_SERVER
                                    ? read_to_server(envelope, &content, budget, error)
                                    : read_to_participant(envelope, &content, budget, error);
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
