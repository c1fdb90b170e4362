/*
 * Reading. Messages with arrays are read by hand, in two passes: the first checks and counts, the second
 * copies into one block of memory, each array's data from where the network left it to where the user reads
 * it. Hello and Welcome are protobuf-c's work, behind a check that bounds what it will allocate.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "status.h"
#include "text.h"
#include "wire/array.h"
#include "wire/reader.h"
#include "wire/storage.h"

/* The header that announces an array: ours are 128 bytes. */
#define HEADER_SIZE_MAX 1024

/* A report is kept as long as its turn; 16 numbers with names of 64 bytes take 1,440. */
#define PROGRESS_SIZE_MAX 4096

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

/* Peers in other languages refuse a string like this, and what is shown or sent on is not to be one. */
static enum muster_status bad_text(const char *what, struct muster_error *error)
{
    return muster__error(error, MUSTER_INVALID, "%s is not UTF-8, or has a NUL in it", what);
}

/* ---- arrays, scalars and values ---- */

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
        bool whole = field.number == FIELD_NDARRAY;
        bool announced = field.number == FIELD_NDARRAY_HEADER;
        if (((whole || announced) && field.type != WIRE_LENGTH) ||
            (field.number == FIELD_NDARRAY_DTYPE && field.type != WIRE_VARINT))
            return false;
        if (whole)
            counts->data += muster__storage_round(field.contents.left);
        counts->parts += announced;
    }
    counts->arrays++;
    return true;
}

static bool count_name(struct reader reader, struct counts *counts, size_t *budget)
{
    (void)budget;
    counts->text += reader.left + 1;
    counts->names++;
    return true;
}

/* What a field of a scalar or a value is. */
enum member { OTHER, NAME, DOUBLE, INTEGER, BOOLEAN, TEXT, DATA };

struct named {
    enum member members[FIELD_SCALAR_BOOLEAN + 1]; /* by the fields' numbers */
    const char *name;                              /* its name, in words */
};

static const struct named named_scalar = {{OTHER, NAME, DOUBLE, INTEGER, BOOLEAN}, "a scalar's name"};
static const struct named named_value = {{OTHER, NAME, TEXT, DATA}, "a value's name"};

static enum member member_of(const struct named *named, const struct field *field)
{
    return field->number <= FIELD_SCALAR_BOOLEAN ? named->members[field->number] : OTHER;
}

static bool count_named(struct reader reader, struct counts *counts, size_t *budget,
                        const struct named *named)
{
    static const enum wire_type types[] = {
        [NAME] = WIRE_LENGTH,    [DOUBLE] = WIRE_FIXED64, [INTEGER] = WIRE_VARINT,
        [BOOLEAN] = WIRE_VARINT, [TEXT] = WIRE_LENGTH,    [DATA] = WIRE_LENGTH};
    struct field field;
    bool is_value = named == &named_value;
    while (reader.left) {
        if (!next_field(&reader, &field, budget))
            return false;
        enum member member = member_of(named, &field);
        if (member == OTHER)
            continue;
        if (field.type != types[member])
            return false;
        counts->text += field.type == WIRE_LENGTH ? field.contents.left + 1 : 0;
        is_value = is_value || member >= INTEGER;
    }
    counts->text++; /* of one without a name */
    counts->values += is_value;
    counts->scalars += !is_value;
    return true;
}

static bool count_scalar(struct reader reader, struct counts *counts, size_t *budget)
{
    return count_named(reader, counts, budget, &named_scalar);
}

static bool count_value(struct reader reader, struct counts *counts, size_t *budget)
{
    return count_named(reader, counts, budget, &named_value);
}

typedef bool count_content(struct reader reader, struct counts *counts, size_t *budget);

static bool count_arrays(struct reader reader, struct counts *counts, size_t *budget)
{
    static count_content *const counters[] = {[FIELD_ARRAYS_THETA] = count_array,
                                              [FIELD_ARRAYS_SCALARS] = count_scalar,
                                              [FIELD_ARRAYS_NAMES] = count_name,
                                              [FIELD_ARRAYS_VALUES] = count_value};
    struct field field;
    while (reader.left) {
        if (!next_field(&reader, &field, budget))
            return false;
        if (field.number > FIELD_ARRAYS_VALUES)
            continue;
        if (field.type != WIRE_LENGTH || !counters[field.number](field.contents, counts, budget))
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
    size_t data_size = muster__array_size(array);
    if (data_size == 0)
        return muster__error(error, MUSTER_FORMAT, "it is announced, but empty");
    if (!muster__storage_announce(storage, index, data_size))
        return muster__error(error, MUSTER_FORMAT, "with it more is announced than there is memory");
    return MUSTER_OK;
}

static enum muster_status read_array(struct storage *storage, size_t index, struct reader reader,
                                     struct muster_error *error)
{
    struct muster_array *array = &storage->arrays[index];
    struct field field;
    struct field found = {0};
    uint64_t dtype = MUSTER__NDARRAY__DTYPE__IN_HEADER;
    while (reader.left && muster__read_field(&reader, &field)) {
        if (field.number == FIELD_NDARRAY_DTYPE)
            dtype = field.value;
        if (field.number != FIELD_NDARRAY && field.number != FIELD_NDARRAY_HEADER)
            continue;
        if (found.number)
            return muster__error(error, MUSTER_FORMAT, "it is there twice");
        found = field;
    }
    size_t size = found.contents.left;
    enum muster_status status =
        found.number == FIELD_NDARRAY_HEADER
            ? read_announced(storage, array, index, found.contents, error)
            : muster__npy_parse(muster__storage_data(storage, found.contents), size, array, error);
    if (status != MUSTER_OK)
        return status;
    if (dtype != MUSTER__NDARRAY__DTYPE__IN_HEADER &&
        (dtype != MUSTER__NDARRAY__DTYPE__BFLOAT16 || array->dtype != MUSTER_BFLOAT16))
        return muster__error(error, MUSTER_FORMAT, "its dtype %llu is not known, or not that of its header",
                             (unsigned long long)dtype);
    return MUSTER_OK;
}

static enum muster_status read_name(struct storage *storage, const char **name, struct reader contents,
                                    const char *what, struct muster_error *error)
{
    *name = muster__storage_text(storage, contents);
    return *name ? MUSTER_OK : bad_text(what, error);
}

/* A scalar or a value, which may be sent as a scalar. */
static enum muster_status read_named(struct muster_message *message, struct reader reader,
                                     const struct named *named, struct muster_error *error)
{
    struct storage *storage = message->storage;
    struct muster_scalar scalar = {NULL, 0};
    struct muster_value value = {.kind = (enum muster_value_kind)0};
    struct field field;
    enum muster_status status = MUSTER_OK;
    while (status == MUSTER_OK && reader.left && muster__read_field(&reader, &field)) {
        switch (member_of(named, &field)) {
        case OTHER:
            break;
        case NAME:
            status = read_name(storage, &value.name, field.contents, named->name, error);
            break;
        case DOUBLE:
            memcpy(&scalar.value, &field.value, sizeof(scalar.value));
            break;
        case INTEGER:
            value.kind = MUSTER_VALUE_INTEGER;
            value.integer = (int64_t)field.value;
            break;
        case BOOLEAN:
            value.kind = MUSTER_VALUE_BOOL;
            value.boolean = field.value != 0;
            break;
        case TEXT:
            value.kind = MUSTER_VALUE_TEXT;
            value.size = 0;
            status = read_name(storage, &value.text, field.contents, "a value's text", error);
            break;
        case DATA:
            value.kind = MUSTER_VALUE_BYTES;
            value.size = field.contents.left;
            value.bytes = muster__storage_bytes(storage, field.contents);
            break;
        }
    }
    value.name = scalar.name = value.name ? value.name : muster__storage_text(storage, (struct reader){0});
    if (value.kind)
        storage->values[message->value_count++] = value;
    else if (named == &named_scalar) /* and not a value from the future */
        storage->scalars[message->scalar_count++] = scalar;
    return status;
}

static enum muster_status malformed(struct muster_error *error, size_t budget)
{
    return budget == 0
               ? muster__error(error, MUSTER_PROTOCOL, "a message has more than %d fields", WIRE_FIELDS_MAX)
               : muster__error(error, MUSTER_PROTOCOL, "the bytes are no message");
}

/* Reads what was counted, of which there is something. */
static enum muster_status read_field_of_arrays(struct muster_message *message, size_t *name_count,
                                               const struct field *field, struct muster_error *error)
{
    struct storage *storage = message->storage;
    struct muster_error why = {MUSTER_OK, ""};
    enum muster_status status;
    switch (field->number) {
    case FIELD_ARRAYS_THETA:
        status = read_array(storage, message->array_count, field->contents, &why);
        if (status != MUSTER_OK && status != MUSTER_OUT_OF_MEMORY)
            return muster__error(error, MUSTER_PROTOCOL, "array %zu: %.200s", message->array_count, why.text);
        message->array_count++;
        return status;
    case FIELD_ARRAYS_NAMES:
        return read_name(storage, &storage->names[(*name_count)++], field->contents, "an array's name",
                         error);
    case FIELD_ARRAYS_SCALARS:
        return read_named(message, field->contents, &named_scalar, error);
    case FIELD_ARRAYS_VALUES:
        return read_named(message, field->contents, &named_value, error);
    default:
        return MUSTER_OK;
    }
}

static enum muster_status read_arrays(struct envelope *envelope, struct reader reader, size_t budget,
                                      struct muster_error *error)
{
    struct muster_message *message = &envelope->message;
    struct counts counts = {0};
    if (!count_arrays(reader, &counts, &budget))
        return malformed(error, budget);
    if (counts.names && counts.names != counts.arrays)
        return muster__error(error, MUSTER_PROTOCOL, "%zu names of %zu arrays", counts.names, counts.arrays);
    if (!counts.arrays && !counts.scalars && !counts.values)
        return MUSTER_OK;
    if (!muster__storage_make(message, &counts))
        return MUSTER_OUT_OF_MEMORY;
    struct storage *storage = message->storage;
    struct field field;
    size_t name_count = 0;
    enum muster_status status = MUSTER_OK;
    while (status == MUSTER_OK && reader.left && muster__read_field(&reader, &field))
        status = read_field_of_arrays(message, &name_count, &field, error);
    if (status != MUSTER_OK)
        return status;
    message->arrays = storage->arrays;
    message->array_names = counts.names ? storage->names : NULL;
    message->scalars = storage->scalars;
    message->values = storage->values;
    envelope->announced = storage->payload_size;
    return muster__names_check(message, error);
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
    return read_name(storage, &message->type, fields[0].contents, "a payload's type", error);
}

static enum muster_status take_text(struct muster_message *message, struct reader contents, const char *what,
                                    struct muster_error *error)
{
    const struct counts counts = {.text = contents.left + 1};
    if (!muster__storage_make(message, &counts))
        return MUSTER_OUT_OF_MEMORY;
    return read_name(message->storage, &message->text, contents, what, error);
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

/* ---- progress ---- */

/* Takes the fraction and counts the numbers. */
static bool look_at_progress(struct envelope *envelope, struct reader reader, struct counts *counts,
                             size_t *budget)
{
    struct field field;
    while (reader.left) {
        if (!next_field(&reader, &field, budget))
            return false;
        if ((field.number == FIELD_PROGRESS_FRACTION && field.type != WIRE_FIXED64) ||
            (field.number == FIELD_PROGRESS_SCALARS && field.type != WIRE_LENGTH))
            return false;
        if (field.number == FIELD_PROGRESS_FRACTION)
            memcpy(&envelope->progress, &field.value, sizeof(envelope->progress));
        if (field.number == FIELD_PROGRESS_SCALARS && !count_scalar(field.contents, counts, budget))
            return false;
    }
    return true;
}

static enum muster_status check_report(const struct muster_message *message, struct muster_error *error)
{
    bool longer = false;
    for (size_t i = 0; i < message->scalar_count; i++)
        longer = longer || strlen(message->scalars[i].name) > MUSTER_REPORT_NAME_MAX;
    for (size_t i = 0; i < message->value_count; i++)
        longer = longer || strlen(message->values[i].name) > MUSTER_REPORT_NAME_MAX;
    if (longer)
        return muster__error(error, MUSTER_PROTOCOL, "a name in a progress report is longer than %d bytes",
                             MUSTER_REPORT_NAME_MAX);
    return muster__names_check(message, error);
}

static enum muster_status read_progress(struct envelope *envelope, struct reader reader, size_t budget,
                                        struct muster_error *error)
{
    struct muster_message *message = &envelope->message;
    struct counts counts = {0};
    struct field field;
    if (reader.left > PROGRESS_SIZE_MAX)
        return muster__error(error, MUSTER_PROTOCOL, "a progress report is bigger than %d bytes",
                             PROGRESS_SIZE_MAX);
    if (!look_at_progress(envelope, reader, &counts, &budget))
        return malformed(error, budget);
    if (!(envelope->progress >= 0 && envelope->progress <= 1))
        return muster__error(error, MUSTER_PROTOCOL, "progress is a fraction from 0 to 1");
    if (counts.scalars + counts.values > MUSTER_REPORT_NUMBERS_MAX)
        return muster__error(error, MUSTER_PROTOCOL, "a progress report has at most %d numbers, not %zu",
                             MUSTER_REPORT_NUMBERS_MAX, counts.scalars + counts.values);
    if (counts.scalars + counts.values == 0)
        return MUSTER_OK;
    if (!muster__storage_make(message, &counts))
        return MUSTER_OUT_OF_MEMORY;
    struct storage *storage = message->storage;
    enum muster_status status = MUSTER_OK;
    while (status == MUSTER_OK && reader.left && muster__read_field(&reader, &field)) {
        if (field.number == FIELD_PROGRESS_SCALARS)
            status = read_named(message, field.contents, &named_scalar, error);
    }
    if (status != MUSTER_OK)
        return status;
    message->scalars = storage->scalars;
    message->values = storage->values;
    return check_report(message, error);
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
    {.numbers = {DOWN(TRAIN_CONFIG), UP(RESULT)}, .kind = MUSTER_TRAIN, .read = read_arrays},
    {.numbers = {DOWN(EVALUATE_CONFIG), UP(EVALUATE_RESULT)}, .kind = MUSTER_EVALUATE, .read = read_arrays},
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
    {.numbers = {0, UP(PROGRESS)}, .content = CONTENT_PROGRESS, .read = read_progress},
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
        return malformed(error, budget);
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
        return malformed(error, budget);
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
