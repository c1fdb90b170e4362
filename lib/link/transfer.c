/* Transfers: cutting a payload into chunks, and putting chunks together again. */
#include <config.h>

#include "link/transfer.h"
#include "status.h"

void muster__outgoing_begin(struct outgoing *outgoing, struct buffer *body, uint64_t turn)
{
    bool on_wire = outgoing->on_wire;
    size_t max_message_size = outgoing->max_message_size;
    muster__buffer_release(outgoing->body);
    *outgoing = (struct outgoing){.max_message_size = max_message_size, .turn = turn, .on_wire = on_wire};
    if (body && body->payload)
        outgoing->body = muster__buffer_retain(body);
}

void muster__outgoing_start(struct outgoing *outgoing, uint64_t grant, uint64_t limit)
{
    outgoing->limit = limit ? limit : UINT64_MAX;
    if (outgoing->goes && outgoing->grant == grant)
        return;
    outgoing->grant = grant;
    outgoing->offset = 0;
    outgoing->part = 0;
    outgoing->part_offset = 0;
    outgoing->goes = true;
}

/* How far the next chunk may reach. */
static uint64_t end_of(const struct outgoing *outgoing)
{
    uint64_t filled = outgoing->body->payload->filled;
    return filled < outgoing->limit ? filled : outgoing->limit;
}

/* Cuts the next chunk's pieces out of the payload; returns its size. */
static size_t cut_chunk(struct outgoing *outgoing, struct piece pieces[STREAM_PIECES_MAX], size_t *count)
{
    const struct payload *payload = outgoing->body->payload;
    uint64_t there = end_of(outgoing) - outgoing->offset;
    size_t most = outgoing->max_message_size - STREAM_HEAD_MAX;
    size_t size = 0;
    if (most > CHUNK_SIZE)
        most = CHUNK_SIZE;
    if (most > there)
        most = (size_t)there;
    *count = 0;
    while (size < most && *count < STREAM_PIECES_MAX && outgoing->part < payload->count) {
        const struct piece *part = &payload->pieces[outgoing->part];
        size_t left = part->size - outgoing->part_offset;
        size_t taken = left < most - size ? left : most - size;
        pieces[(*count)++] = (struct piece){part->data + outgoing->part_offset, taken};
        size += taken;
        outgoing->part_offset += taken;
        if (taken == left) {
            outgoing->part++;
            outgoing->part_offset = 0;
        }
    }
    return size;
}

size_t muster__outgoing_next(struct outgoing *outgoing, enum direction direction, struct stream *stream)
{
    if (!stream || !outgoing->body || !outgoing->goes || outgoing->on_wire ||
        outgoing->offset >= end_of(outgoing))
        return 0;
    struct piece pieces[STREAM_PIECES_MAX];
    size_t count;
    uint8_t head[STREAM_HEAD_MAX];
    uint64_t offset = outgoing->offset;
    size_t size = cut_chunk(outgoing, pieces, &count);
    outgoing->offset += size;
    size_t head_size = muster__encode_chunk(direction, outgoing->turn, outgoing->grant, offset, size, head);
    enum muster_status status =
        stream->ops->send_part(stream, head, head_size, outgoing->body, pieces, count);
    outgoing->on_wire = status == MUSTER_OK;
    if (status == MUSTER_OUT_OF_MEMORY)
        stream->ops->cut(stream); /* the peer would wait for it */
    return outgoing->on_wire ? head_size + size : 0;
}

bool muster__outgoing_busy(const struct outgoing *outgoing)
{
    return outgoing->on_wire || (outgoing->body && outgoing->offset < outgoing->body->payload->size);
}

void muster__incoming_begin(struct incoming *incoming, struct envelope *envelope, size_t wire_size)
{
    *incoming = (struct incoming){.message = envelope->message,
                                  .turn = envelope->turn,
                                  .size = envelope->announced,
                                  .wire_size = wire_size};
    envelope->message = (struct muster_message)MUSTER_MESSAGE_INIT;
}

uint8_t *muster__incoming_place(const struct incoming *incoming, const struct envelope *envelope, size_t size)
{
    if (envelope->turn != incoming->turn || envelope->offset != incoming->received || size == 0 ||
        size > incoming->size - incoming->received)
        return NULL;
    return muster__payload_place(&incoming->message, size);
}

enum muster_status muster__incoming_add(struct incoming *incoming, struct envelope *envelope,
                                        struct muster_error *error)
{
    size_t size = envelope->chunk.left;
    if (envelope->offset != incoming->received)
        return muster__error(error, MUSTER_PROTOCOL, "a chunk out of turn: at %llu, not %llu",
                             (unsigned long long)envelope->offset, (unsigned long long)incoming->received);
    if (size == 0 || size > incoming->size - incoming->received)
        return muster__error(error, MUSTER_PROTOCOL, "an empty chunk, or more bytes than announced");
    if (!muster__payload_add(&incoming->message, &envelope->chunk))
        return muster__error(error, MUSTER_PROTOCOL, "a chunk with a bool that is neither 0 nor 1");
    incoming->received += size;
    return MUSTER_OK;
}

struct muster_message muster__incoming_take(struct incoming *incoming)
{
    struct muster_message message = incoming->message;
    *incoming = (struct incoming){.message = MUSTER_MESSAGE_INIT};
    return message;
}
