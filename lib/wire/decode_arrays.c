/*
 * Reading arrays, scalars and values, by hand and in two passes: the first checks and counts, the second copies into
 * one block of memory, each array's data from where the network left it to where the user reads it.
 */
#include <config.h>

#include <string.h>

#include "status.h"
#include "wire/array.h"
#include "wire/decode.h"
#include "wire/storage.h"

/* The header that announces an array: ours are 128 bytes. */
#define HEADER_SIZE_MAX 1024

/* A report is kept as long as its turn; 16 numbers with names of 64 bytes take 1,440. */
#define PROGRESS_SIZE_MAX 4096

/* ---- counting ---- */

static bool count_array(struct reader reader, struct counts *counts, size_t *budget)
{
    struct field field;
    while (reader.left) {
        if (!muster__next_field(&reader, &field, budget))
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
        if (!muster__next_field(&reader, &field, budget))
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
        if (!muster__next_field(&reader, &field, budget))
            return false;
        if (field.number > FIELD_ARRAYS_VALUES)
            continue;
        if (field.type != WIRE_LENGTH || !counters[field.number](field.contents, counts, budget))
            return false;
    }
    return true;
}

/* ---- reading what was counted ---- */

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
            status = muster__read_text(storage, &value.name, field.contents, named->name, error);
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
            status = muster__read_text(storage, &value.text, field.contents, "a value's text", error);
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
        return muster__read_text(storage, &storage->names[(*name_count)++], field->contents,
                                 "an array's name", error);
    case FIELD_ARRAYS_SCALARS:
        return read_named(message, field->contents, &named_scalar, error);
    case FIELD_ARRAYS_VALUES:
        return read_named(message, field->contents, &named_value, error);
    default:
        return MUSTER_OK;
    }
}

enum muster_status muster__read_arrays(struct envelope *envelope, struct reader reader, size_t budget,
                                       struct muster_error *error)
{
    struct muster_message *message = &envelope->message;
    struct counts counts = {0};
    if (!count_arrays(reader, &counts, &budget))
        return muster__malformed(error, budget);
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

/* ---- progress ---- */

/* Takes the fraction and counts the numbers. */
static bool look_at_progress(struct envelope *envelope, struct reader reader, struct counts *counts,
                             size_t *budget)
{
    struct field field;
    while (reader.left) {
        if (!muster__next_field(&reader, &field, budget))
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

enum muster_status muster__read_progress(struct envelope *envelope, struct reader reader, size_t budget,
                                         struct muster_error *error)
{
    struct muster_message *message = &envelope->message;
    struct counts counts = {0};
    struct field field;
    if (reader.left > PROGRESS_SIZE_MAX)
        return muster__error(error, MUSTER_PROTOCOL, "a progress report is bigger than %d bytes",
                             PROGRESS_SIZE_MAX);
    if (!look_at_progress(envelope, reader, &counts, &budget))
        return muster__malformed(error, budget);
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
