/* Protobuf's encoding, as far as it is written and read by hand: the numbers of fields, and a reader that takes
   bytes as the network delivers them, in pieces. */
#ifndef MUSTER_WIRE_READER_H
#define MUSTER_WIRE_READER_H

#include "wire/wire.h"

/* More fields than this in one message, nested ones counted, are refused: they would cost a multiple of their
 * bytes. */
#define WIRE_FIELDS_MAX 65536

/* The fields of a message's content, to participants and to the server. */
#define DOWN(name) MUSTER__SERVER_MESSAGE__CONTENT_##name
#define UP(name)   MUSTER__PARTICIPANT_MESSAGE__CONTENT_##name

/* Fields of the messages themselves, which the generated code does not name. */
enum {
    FIELD_TURN_TO_SERVER = 2,
    FIELD_TURN_TO_PARTICIPANT = 3,
    FIELD_GRANTED = 10,
    FIELD_LIMIT = 11,
    FIELD_HEARTBEAT = 13
};

/* Fields of what is written and read by hand. */
enum {
    FIELD_ARRAYS_THETA = 1,
    FIELD_ARRAYS_SCALARS = 2,
    FIELD_ARRAYS_NAMES = 3,
    FIELD_ARRAYS_VALUES = 4,
    FIELD_NDARRAY = 1,
    FIELD_NDARRAY_HEADER = 2,
    FIELD_NDARRAY_DTYPE = 3,
    FIELD_SCALAR_NAME = 1,
    FIELD_SCALAR_VALUE = 2,
    FIELD_SCALAR_INTEGER = 3,
    FIELD_SCALAR_BOOLEAN = 4,
    FIELD_VALUE_NAME = 1,
    FIELD_VALUE_TEXT = 2,
    FIELD_VALUE_DATA = 3,
    FIELD_PROGRESS_FRACTION = 1,
    FIELD_PROGRESS_SCALARS = 2,
    FIELD_CHUNK_OFFSET = 1,
    FIELD_CHUNK_DATA = 2,
    FIELD_CHUNK_GRANT = 3,
};

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_LENGTH = 2, WIRE_FIXED32 = 5 };

struct field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;         /* of numbers, as their bits */
    struct reader contents; /* of WIRE_LENGTH */
};

/* A reader of all of `count` pieces. */
struct reader muster__reader(const struct piece *pieces, size_t count);

/* Takes a number; false when the bytes are malformed. */
bool muster__read_varint(struct reader *reader, uint64_t *value);

/* Takes the next field; false when the bytes are malformed. */
bool muster__read_field(struct reader *reader, struct field *field);

/* The same in a message that may have `*budget` fields more; false, too, when that is 0. */
bool muster__next_field(struct reader *reader, struct field *field, size_t *budget);

/* Copies `size` bytes, which must be left, to `to`; NULL skips them. */
void muster__read_bytes(struct reader *reader, void *to, size_t size);

#endif
