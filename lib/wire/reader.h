/* A reader of protobuf's encoding that takes bytes as the network delivers them, in pieces. */
#ifndef MUSTER_WIRE_READER_H
#define MUSTER_WIRE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "network/buffer.h"

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_LENGTH = 2, WIRE_FIXED32 = 5 };

/* A place in the pieces, and how many bytes may be read from there on. Copying it is starting over. */
struct reader {
    const struct piece *piece;
    size_t offset; /* in that piece */
    size_t left;
    bool big; /* what it reads is a piece of big data: see lib/wire/copy.h */
};

struct field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;         /* of numbers, as their bits */
    struct reader contents; /* of WIRE_LENGTH */
};

/* A reader of all of `count` pieces. */
struct reader muster__reader(const struct piece *pieces, size_t count);

/* Takes the next field; false when the bytes are malformed. */
bool muster__read_field(struct reader *reader, struct field *field);

/* Copies `size` bytes, which must be left, to `to`; NULL skips them. */
void muster__read_bytes(struct reader *reader, void *to, size_t size);

#endif
