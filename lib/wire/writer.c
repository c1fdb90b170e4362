/* Writing protobuf's encoding: field by field, or only counting. */
#include <config.h>

#include <string.h>

#include "wire/copy.h"
#include "wire/writer.h"

void muster__write_bytes(struct writer *writer, const void *bytes, size_t size)
{
    if (writer->at && size) {
        muster__copy(writer->at, bytes, size);
        writer->at += size;
    }
    writer->size += size;
}

void muster__write_varint(struct writer *writer, uint64_t value)
{
    uint8_t bytes[10];
    size_t size = 0;
    do {
        bytes[size++] = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        value >>= 7;
    } while (value);
    muster__write_bytes(writer, bytes, size);
}

void muster__write_tag(struct writer *writer, uint32_t field, enum wire_type type)
{
    muster__write_varint(writer, field << 3 | type);
}

void muster__write_blob(struct writer *writer, uint32_t field, const void *bytes, size_t size)
{
    muster__write_tag(writer, field, WIRE_LENGTH);
    muster__write_varint(writer, size);
    muster__write_bytes(writer, bytes, size);
}

void muster__write_text(struct writer *writer, uint32_t field, const char *text)
{
    if (text && *text)
        muster__write_blob(writer, field, text, strlen(text));
}

void muster__write_number(struct writer *writer, uint32_t field, uint64_t value)
{
    if (value) {
        muster__write_tag(writer, field, WIRE_VARINT);
        muster__write_varint(writer, value);
    }
}

void muster__write_double(struct writer *writer, uint32_t field, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    uint8_t bytes[8];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(bits >> (8 * i));
    muster__write_tag(writer, field, WIRE_FIXED64);
    muster__write_bytes(writer, bytes, sizeof(bytes));
}

void muster__write_nested(struct writer *writer, uint32_t field, put_content *put, const void *content)
{
    struct writer counter = {.chunks = writer->chunks};
    put(&counter, content);
    muster__write_tag(writer, field, WIRE_LENGTH);
    muster__write_varint(writer, counter.size);
    if (writer->at)
        put(writer, content);
    else
        writer->size += counter.size;
}
