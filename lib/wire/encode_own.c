/* Writing what is the library's own: the heads of messages, and the small messages that it exchanges itself. */
#include <config.h>

#include "wire/writer.h"

size_t muster__encode_turn(enum direction direction, uint64_t turn, uint8_t head[STREAM_HEAD_MAX])
{
    struct writer writer = {.at = head};
    muster__write_number(&writer, direction == TO_SERVER ? FIELD_TURN_TO_SERVER : FIELD_TURN_TO_PARTICIPANT,
                         turn);
    return (size_t)writer.size;
}

size_t muster__encode_instruction_head(uint64_t turn, uint64_t granted, uint64_t limit, uint64_t heartbeat_ms,
                                       uint8_t head[STREAM_HEAD_MAX])
{
    struct writer writer = {.at = head};
    muster__write_number(&writer, FIELD_TURN_TO_PARTICIPANT, turn);
    muster__write_number(&writer, FIELD_GRANTED, granted);
    muster__write_number(&writer, FIELD_LIMIT, limit);
    muster__write_number(&writer, FIELD_HEARTBEAT, heartbeat_ms);
    return (size_t)writer.size;
}

/* A nested message that protobuf-c packs, behind what was packed of it before (NULL: nothing): the later of two
   fields counts, and repeated ones add up. */
static void put_packed(struct writer *writer, uint32_t field, const struct buffer *before,
                       const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    muster__write_tag(writer, field, WIRE_LENGTH);
    muster__write_varint(writer, (before ? before->size : 0) + size);
    if (before)
        muster__write_bytes(writer, before->data, before->size);
    if (writer->at)
        writer->at += protobuf_c_message_pack(message, writer->at);
    writer->size += size;
}

size_t muster__encode_alive(uint8_t head[STREAM_HEAD_MAX])
{
    Muster__Alive alive = MUSTER__ALIVE__INIT;
    struct writer writer = {.at = head};
    put_packed(&writer, UP(ALIVE), NULL, &alive.base);
    return (size_t)writer.size;
}

size_t muster__encode_ask(uint8_t head[STREAM_HEAD_MAX])
{
    Muster__Ask ask = MUSTER__ASK__INIT;
    struct writer writer = {.at = head};
    put_packed(&writer, UP(ASK), NULL, &ask.base);
    return (size_t)writer.size;
}

size_t muster__encode_grant(uint64_t turn, uint64_t number, uint64_t limit, uint8_t head[STREAM_HEAD_MAX])
{
    Muster__Grant grant = MUSTER__GRANT__INIT;
    struct writer writer = {.at = head};
    grant.number = number;
    grant.limit = limit;
    muster__write_number(&writer, FIELD_TURN_TO_PARTICIPANT, turn);
    put_packed(&writer, DOWN(GRANT), NULL, &grant.base);
    return (size_t)writer.size;
}

static void put_chunk_head(struct writer *writer, uint64_t grant, uint64_t offset, size_t size)
{
    muster__write_number(writer, FIELD_CHUNK_GRANT, grant);
    muster__write_number(writer, FIELD_CHUNK_OFFSET, offset);
    muster__write_tag(writer, FIELD_CHUNK_DATA, WIRE_LENGTH);
    muster__write_varint(writer, size);
}

size_t muster__encode_chunk(enum direction direction, uint64_t turn, uint64_t grant, uint64_t offset,
                            size_t size, uint8_t head[STREAM_HEAD_MAX])
{
    struct writer counter = {0}, writer = {.at = head};
    put_chunk_head(&counter, grant, offset, size);
    muster__write_number(&writer, direction == TO_SERVER ? FIELD_TURN_TO_SERVER : FIELD_TURN_TO_PARTICIPANT,
                         turn);
    muster__write_tag(&writer, direction == TO_SERVER ? UP(CHUNK) : DOWN(CHUNK), WIRE_LENGTH);
    muster__write_varint(&writer, counter.size + size);
    put_chunk_head(&writer, grant, offset, size);
    return (size_t)writer.size;
}

static struct buffer *packed_buffer(uint32_t field, const struct buffer *before,
                                    const ProtobufCMessage *message)
{
    struct writer counter = {0};
    put_packed(&counter, field, before, message);
    struct buffer *buffer = muster__buffer_new((size_t)counter.size);
    struct writer writer = {.at = buffer ? buffer->data : NULL};
    if (buffer)
        put_packed(&writer, field, before, message);
    return buffer;
}

struct buffer *muster__pack_hello(const Muster__Hello *hello)
{
    struct buffer *buffer = muster__buffer_new(protobuf_c_message_get_packed_size(&hello->base));
    if (buffer)
        protobuf_c_message_pack(&hello->base, buffer->data);
    return buffer;
}

struct buffer *muster__encode_hello(const struct buffer *packed, const Muster__Hello *hello)
{
    return packed_buffer(UP(HELLO), packed, &hello->base);
}

struct buffer *muster__encode_welcome(const Muster__Welcome *welcome)
{
    return packed_buffer(DOWN(WELCOME), NULL, &welcome->base);
}

struct buffer *muster__encode_cancel(void)
{
    const Muster__Cancel cancel = MUSTER__CANCEL__INIT;
    return packed_buffer(DOWN(CANCEL), NULL, &cancel.base);
}

struct buffer *muster__encode_refused(const char *text)
{
    Muster__Refused refused = MUSTER__REFUSED__INIT;
    refused.text = (char *)text;
    return packed_buffer(DOWN(REFUSED), NULL, &refused.base);
}
