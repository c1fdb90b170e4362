/* A look at the bytes of a message. */
#include <config.h>

#include "conformance/look.h"

#include <stdbool.h>
#include <string.h>

#include <muster/status.h>

#include "text.h"

enum { VARINT, FIXED64, LENGTH, FIXED32 = 5 }; /* types on the wire */
enum { DEPTH_MOST = 8, FIELDS_MOST = 64, SHOWN_MOST = 24 };

/* A field as it lies in the bytes. */
struct field {
    uint64_t number;
    unsigned type;
    uint64_t value;      /* not of LENGTH */
    const uint8_t *data; /* of LENGTH */
    size_t size;
};

static bool read_varint(const uint8_t **next, const uint8_t *end, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 70 && *next < end; shift += 7) {
        uint8_t byte = *(*next)++;
        if (shift < 64)
            *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return shift < 63 || byte <= 1;
    }
    return false;
}

static bool read_fixed(const uint8_t **next, const uint8_t *end, size_t size, uint64_t *value)
{
    *value = 0;
    if ((size_t)(end - *next) < size)
        return false;
    for (size_t i = 0; i < size; i++)
        *value |= (uint64_t)(*next)[i] << 8 * i;
    *next += size;
    return true;
}

/* False: the bytes are no field. */
static bool read_field(const uint8_t **next, const uint8_t *end, struct field *field)
{
    uint64_t tag, size;
    if (!read_varint(next, end, &tag) || tag >> 3 == 0 || tag >> 3 > 536870911)
        return false;
    *field = (struct field){.number = tag >> 3, .type = (unsigned)(tag & 7)};
    if (field->type == VARINT)
        return read_varint(next, end, &field->value);
    if (field->type == FIXED64 || field->type == FIXED32)
        return read_fixed(next, end, field->type == FIXED64 ? 8 : 4, &field->value);
    if (field->type != LENGTH || !read_varint(next, end, &size) || size > (size_t)(end - *next))
        return false;
    field->data = *next;
    field->size = (size_t)size;
    *next += size;
    return true;
}

static unsigned type_of(const ProtobufCFieldDescriptor *descriptor)
{
    switch (descriptor->type) {
    case PROTOBUF_C_TYPE_DOUBLE:
        return FIXED64;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return LENGTH;
    default:
        return VARINT; /* the protocol has no others */
    }
}

/* ---- faults ---- */

struct faults {
    enum look_fault worst;
    char *text;
};

static void note(struct faults *faults, enum look_fault fault, const char *message, const char *field,
                 uint64_t number, const char *what)
{
    if (faults->worst != LOOK_GOOD && faults->worst <= fault)
        return;
    faults->worst = fault;
    if (field)
        snprintf(faults->text, LOOK_TEXT_SIZE, "%s.%s %s", message, field, what);
    else if (number)
        snprintf(faults->text, LOOK_TEXT_SIZE, "%s has a field %llu, %s", message, (unsigned long long)number,
                 what);
    else
        snprintf(faults->text, LOOK_TEXT_SIZE, "%s %s", message, what);
}

/* Of contents there may be one. (Another field that is there twice is protobuf's own business: the last one counts.) */
static void note_twice(struct faults *faults, const ProtobufCMessageDescriptor *descriptor,
                       const ProtobufCFieldDescriptor *field, uint64_t *seen)
{
    for (unsigned i = 0; i < descriptor->n_fields && i < FIELDS_MOST; i++) {
        const ProtobufCFieldDescriptor *other = &descriptor->fields[i];
        bool rivals = field->flags & other->flags & PROTOBUF_C_FIELD_FLAG_ONEOF &&
                      field->quantifier_offset == other->quantifier_offset;
        if (rivals && *seen & (uint64_t)1 << i)
            note(faults, LOOK_UNKNOWN, descriptor->short_name, field->name, 0,
                 other == field ? "is there twice" : "is there beside another content");
        if (other == field)
            *seen |= (uint64_t)1 << i;
    }
}

static void look_into(struct faults *faults, const ProtobufCMessageDescriptor *descriptor,
                      const uint8_t *bytes, size_t size, unsigned depth)
{
    const uint8_t *next = bytes, *end = bytes + size;
    uint64_t seen = 0;
    while (next < end) {
        struct field field;
        if (depth > DEPTH_MOST || !read_field(&next, end, &field)) {
            note(faults, LOOK_MALFORMED, descriptor->short_name, NULL, 0, "has bytes that are no field");
            return;
        }
        const ProtobufCFieldDescriptor *known =
            protobuf_c_message_descriptor_get_field(descriptor, (unsigned)field.number);
        if (!known) {
            note(faults, LOOK_UNKNOWN, descriptor->short_name, NULL, field.number,
                 "which the protocol does not have");
            continue;
        }
        note_twice(faults, descriptor, known, &seen);
        if (field.type != type_of(known))
            note(faults, LOOK_UNKNOWN, descriptor->short_name, known->name, 0, "is of another type");
        else if (known->type == PROTOBUF_C_TYPE_STRING &&
                 !muster__text_is_good((const char *)field.data, field.size))
            note(faults, LOOK_TEXT, descriptor->short_name, known->name, 0,
                 "is not UTF-8, or has a NUL in it");
        else if (known->type == PROTOBUF_C_TYPE_MESSAGE)
            look_into(faults, known->descriptor, field.data, field.size, depth + 1);
    }
}

enum look_fault look_at(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t size,
                        char text[LOOK_TEXT_SIZE])
{
    struct faults faults = {LOOK_GOOD, text};
    look_into(&faults, descriptor, bytes, size, 0);
    return faults.worst;
}

/* ---- in words ---- */

static void print_bytes(FILE *file, const struct field *field)
{
    if (field->size > SHOWN_MOST) {
        fprintf(file, "<%zu bytes>", field->size);
        return;
    }
    fputc('<', file);
    for (size_t i = 0; i < field->size; i++)
        fprintf(file, "%02x", field->data[i]);
    fputc('>', file);
}

static void print_text(FILE *file, const struct field *field)
{
    char text[LOOK_TEXT_SIZE];
    size_t size = field->size < sizeof(text) - 1 ? field->size : sizeof(text) - 1;
    memcpy(text, field->data, size);
    text[size] = '\0';
    fprintf(file, "\"%s\"%s", muster_text_harmless(text, text, sizeof(text)),
            size < field->size ? "..." : "");
}

static void print_number(FILE *file, const ProtobufCFieldDescriptor *known, uint64_t value)
{
    double number;
    if (known->type == PROTOBUF_C_TYPE_DOUBLE) {
        memcpy(&number, &value, sizeof(number));
        fprintf(file, "%g", number);
    } else if (known->type == PROTOBUF_C_TYPE_BOOL) {
        fputs(value ? "true" : "false", file);
    } else if (known->type == PROTOBUF_C_TYPE_UINT64) {
        fprintf(file, "%llu", (unsigned long long)value);
    } else {
        fprintf(file, "%lld", (long long)value);
    }
}

static void print_fields(FILE *file, const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes,
                         size_t size, unsigned depth)
{
    const uint8_t *next = bytes, *end = bytes + size;
    for (struct field field; next < end;) {
        if (depth > DEPTH_MOST || !read_field(&next, end, &field)) {
            fputs(" ???", file);
            return;
        }
        const ProtobufCFieldDescriptor *known =
            protobuf_c_message_descriptor_get_field(descriptor, (unsigned)field.number);
        if (!known || field.type != type_of(known)) {
            fprintf(file, " %llu?", (unsigned long long)field.number);
            continue;
        }
        fprintf(file, known->type == PROTOBUF_C_TYPE_MESSAGE ? " %s" : " %s: ", known->name);
        if (known->type == PROTOBUF_C_TYPE_MESSAGE) {
            fputs(" {", file);
            print_fields(file, known->descriptor, field.data, field.size, depth + 1);
            fputs(" }", file);
        } else if (known->type == PROTOBUF_C_TYPE_STRING) {
            print_text(file, &field);
        } else if (known->type == PROTOBUF_C_TYPE_BYTES) {
            print_bytes(file, &field);
        } else {
            print_number(file, known, field.value);
        }
    }
}

void look_print(FILE *file, const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t size)
{
    if (size == 0)
        fputs(" (the empty message)", file);
    print_fields(file, descriptor, bytes, size, 0);
    fputc('\n', file);
}
