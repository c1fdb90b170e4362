/* Transfers: what follows a message in chunks, on its way out and on its way in. Both ends of a stream use
   them, under their own lock. */
#ifndef MUSTER_LINK_TRANSFER_H
#define MUSTER_LINK_TRANSFER_H

#include <stdbool.h>

#include "wire/wire.h"

/* Bytes of data in one chunk, if the peer takes messages of that size: enough to hide what a message costs,
   and few enough for both ends to work at the same time, one on the next while the other is copying the
   last. */
#define CHUNK_SIZE ((size_t)1 << 20)

/* A message with a payload, of which one chunk at a time is with the transport. */
struct outgoing {
    struct buffer *body;     /* a reference; NULL: nothing */
    size_t max_message_size; /* that the peer takes; the owner sets it before `body` */
    uint64_t turn;
    uint64_t grant;
    uint64_t limit;  /* bytes that may be sent */
    uint64_t offset; /* of the next chunk */
    size_t part;     /* that it begins in */
    size_t part_offset;
    bool goes;    /* the chunks may be sent */
    bool on_wire; /* the transport has a chunk, be it of a transfer before this one */
};

/* Takes over from whatever was on its way. Takes a reference to `body`; NULL ends it. */
void muster__outgoing_begin(struct outgoing *outgoing, struct buffer *body, uint64_t turn);

/* Lets the chunks go, up to so many bytes (0: all): from the first one on, or on from where they are when
   they go under this grant already. */
void muster__outgoing_start(struct outgoing *outgoing, uint64_t grant, uint64_t limit);

/* Gives the transport the next chunk, unless it has one; the bytes of that message, or 0. What fails, be it
   for want of memory, is told by the stream's end. */
size_t muster__outgoing_next(struct outgoing *outgoing, enum direction direction, struct stream *stream);

/* Whether chunks are left to be sent, or on their way. */
bool muster__outgoing_busy(const struct outgoing *outgoing);

/* A message whose payload is arriving. */
struct incoming {
    struct muster_message message;
    uint64_t turn;
    uint64_t grant;    /* chunks under another one are of no interest */
    uint64_t size;     /* of the payload; 0: nothing is arriving */
    uint64_t received; /* of that */
    size_t wire_size;  /* of the message itself */
};

/* Takes what an envelope announces, and its message with it. */
void muster__incoming_begin(struct incoming *incoming, struct envelope *envelope, size_t wire_size);

/* Where the data of a chunk belongs, of which only the head is there; NULL: it is to be taken as a whole. */
uint8_t *muster__incoming_place(const struct incoming *incoming, const struct envelope *envelope,
                                size_t size);

/* Takes a chunk to its place, where its data may be already. PROTOCOL, with a text, when it is not the one that is
   to come next. */
enum muster_status muster__incoming_add(struct incoming *incoming, struct envelope *envelope,
                                        struct muster_error *error);

/* Takes the message out, whole or not; to be cleared without a lock held. */
struct muster_message muster__incoming_take(struct incoming *incoming);

#endif
