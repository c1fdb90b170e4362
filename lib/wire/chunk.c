/* The head of a chunk, read before its data has come: so that the data can be read to where it belongs. */
#include <config.h>

#include "wire/reader.h"

static uint64_t tag_of(uint32_t number, enum wire_type type)
{
    return (uint64_t)number << 3 | (uint64_t)type;
}

/* What of the message is behind the place of the reader. */
static uint64_t behind(const struct reader *reader, size_t there, size_t size)
{
    return size - (there - reader->left);
}

/* The message's own fields, of which the chunk is the last. */
static bool read_top(enum direction direction, struct reader *reader, size_t there, size_t size,
                     struct envelope *envelope)
{
    bool to_server = direction == TO_SERVER;
    uint64_t turn = tag_of(to_server ? FIELD_TURN_TO_SERVER : FIELD_TURN_TO_PARTICIPANT, WIRE_VARINT);
    uint64_t chunk = tag_of((uint32_t)(to_server ? UP(CHUNK) : DOWN(CHUNK)), WIRE_LENGTH);
    uint64_t tag, left;
    while (muster__read_varint(reader, &tag)) {
        if (tag == chunk)
            return muster__read_varint(reader, &left) && left == behind(reader, there, size);
        if (tag != turn || !muster__read_varint(reader, &envelope->turn))
            return false;
    }
    return false;
}

/* Those of the chunk, of which the data is the last. */
static bool read_chunk(struct reader *reader, size_t there, size_t size, struct envelope *envelope)
{
    uint64_t tag, left;
    while (muster__read_varint(reader, &tag)) {
        if (tag == tag_of(FIELD_CHUNK_DATA, WIRE_LENGTH))
            return muster__read_varint(reader, &left) && left == behind(reader, there, size);
        uint64_t *value = tag == tag_of(FIELD_CHUNK_OFFSET, WIRE_VARINT)  ? &envelope->offset
                          : tag == tag_of(FIELD_CHUNK_GRANT, WIRE_VARINT) ? &envelope->grant
                                                                          : NULL;
        if (!value || !muster__read_varint(reader, value))
            return false;
    }
    return false;
}

size_t muster__decode_chunk_head(enum direction direction, const uint8_t *data, size_t there, size_t size,
                                 struct envelope *envelope)
{
    const struct piece piece = {data, there < STREAM_HEAD_MAX ? there : STREAM_HEAD_MAX};
    struct reader reader = muster__reader(&piece, 1);
    *envelope = (struct envelope){.content = CONTENT_CHUNK};
    if (!read_top(direction, &reader, piece.size, size, envelope) ||
        !read_chunk(&reader, piece.size, size, envelope))
        return 0;
    return piece.size - reader.left;
}
