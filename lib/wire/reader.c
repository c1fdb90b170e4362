/* Reading protobuf's encoding out of pieces: field by field, every size checked against what is left. */
#include <config.h>

#include "wire/copy.h"
#include "wire/reader.h"

struct reader muster__reader(const struct piece *pieces, size_t count)
{
    struct reader reader = {.piece = pieces};
    for (size_t i = 0; i < count; i++)
        reader.left += pieces[i].size;
    return reader;
}

void muster__read_bytes(struct reader *reader, void *to, size_t size)
{
    uint8_t *out = to;
    reader->left -= size;
    while (size > 0) {
        size_t here = reader->piece->size - reader->offset;
        size_t part = size < here ? size : here;
        const uint8_t *from = out && part ? reader->piece->data + reader->offset : NULL;
        if (from && from != out) /* or it was read to its place */
            (reader->big ? muster__copy_big : muster__copy)(out, from, part);
        if (from)
            out += part;
        size -= part;
        reader->offset += part;
        if (part == here) {
            reader->piece++;
            reader->offset = 0;
        }
    }
}

bool muster__read_varint(struct reader *reader, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && reader->left; shift += 7) {
        while (reader->offset == reader->piece->size) {
            reader->piece++;
            reader->offset = 0;
        }
        uint8_t byte = reader->piece->data[reader->offset++];
        reader->left--;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

static bool read_fixed(struct reader *reader, size_t size, uint64_t *value)
{
    uint8_t bytes[8] = {0};
    if (size > reader->left)
        return false;
    muster__read_bytes(reader, bytes, size);
    *value = 0;
    for (size_t i = 0; i < size; i++)
        *value |= (uint64_t)bytes[i] << (8 * i);
    return true;
}

bool muster__read_field(struct reader *reader, struct field *field)
{
    uint64_t tag;
    if (!muster__read_varint(reader, &tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX >> 3)
        return false;
    *field = (struct field){.number = (uint32_t)(tag >> 3), .type = (enum wire_type)(tag & 7)};
    switch (tag & 7) {
    case WIRE_VARINT:
        return muster__read_varint(reader, &field->value);
    case WIRE_FIXED64:
        return read_fixed(reader, 8, &field->value);
    case WIRE_FIXED32:
        return read_fixed(reader, 4, &field->value);
    case WIRE_LENGTH:
        if (!muster__read_varint(reader, &field->value) || field->value > reader->left)
            return false;
        field->contents = *reader;
        field->contents.left = (size_t)field->value;
        muster__read_bytes(reader, NULL, (size_t)field->value);
        return true;
    default:
        return false;
    }
}

bool muster__next_field(struct reader *reader, struct field *field, size_t *budget)
{
    if (*budget == 0)
        return false;
    --*budget;
    return muster__read_field(reader, field);
}
