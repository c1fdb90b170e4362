/* What protobuf's encoding is written with, where that is done by hand: the other side of reader.h. */
#ifndef MUSTER_WIRE_WRITER_H
#define MUSTER_WIRE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/reader.h"

/* Counts when `at` is NULL, writes otherwise: sizes and bytes come from the same code. What several lists refer to
   counts each time, and so may be more than an address space of 32 bits has. */
struct writer {
    uint8_t *at;
    uint64_t size;
    bool chunks; /* big arrays are only announced */
};

void muster__write_bytes(struct writer *writer, const void *bytes, size_t size);
void muster__write_varint(struct writer *writer, uint64_t value);
void muster__write_tag(struct writer *writer, uint32_t field, enum wire_type type);

/* Fields: bytes, and a double, even where there is nothing in them; a text and a number if there is something. */
void muster__write_blob(struct writer *writer, uint32_t field, const void *bytes, size_t size);
void muster__write_double(struct writer *writer, uint32_t field, double value);
void muster__write_text(struct writer *writer, uint32_t field, const char *text);
void muster__write_number(struct writer *writer, uint32_t field, uint64_t value);

/* A nested message: its size has to be known before its first byte. */
typedef void put_content(struct writer *writer, const void *content);
void muster__write_nested(struct writer *writer, uint32_t field, put_content *put, const void *content);

#endif
