/* The codec: messages to bytes and back. What comes in is untrusted, what goes out is checked. */
#ifndef MUSTER_WIRE_CODEC_H
#define MUSTER_WIRE_CODEC_H

#include <stdint.h>

#include <muster/message.h>
#include <muster/participant.h>

#include "muster.pb-c.h"
#include "network/buffer.h"
#include "network/transport.h"

/* Which of the two message types of the wire. */
enum direction { TO_PARTICIPANT, TO_SERVER };

/* More fields than this in one message, nested ones counted, are refused: they would cost a multiple of their
 * bytes. */
#define WIRE_FIELDS_MAX 65536

/*
 * Serialises all but the turn, which is each stream's own. On OK *body is the caller's (NULL for an empty
 * message). INVALID: a kind that does not go this way, or an array or string that makes no sense; TOO_BIG:
 * more than `max_size` with any turn; OUT_OF_MEMORY. Copies the data once. Any thread.
 */
enum muster_status muster__encode(enum direction direction, const struct muster_message *message,
                                  size_t max_size, struct buffer **body);

/* The turn's field, to stand before or after a body; 0 bytes for turn 0. Returns the number of bytes. */
size_t muster__encode_turn(enum direction direction, uint64_t turn, uint8_t head[STREAM_HEAD_MAX]);

/* Messages that the library itself exchanges; NULL when out of memory. */
struct buffer *muster__encode_hello(const Muster__Hello *hello);
struct buffer *muster__encode_welcome(const Muster__Welcome *welcome);
struct buffer *muster__encode_cancel(void);
struct buffer *muster__encode_progress(double fraction);

enum content { CONTENT_MESSAGE, CONTENT_HELLO, CONTENT_PROGRESS, CONTENT_WELCOME, CONTENT_CANCEL };

/* What was received. */
struct envelope {
    enum content content;
    uint64_t turn;
    struct muster_message message;  /* CONTENT_MESSAGE: whoever takes it empties it here */
    const Muster__Hello *hello;     /* CONTENT_HELLO */
    const Muster__Welcome *welcome; /* CONTENT_WELCOME */
    double progress;                /* CONTENT_PROGRESS: 0 to 1 */
    ProtobufCMessage *unpacked;     /* what hello and welcome point into */
};

/*
 * Parses one message. PROTOCOL with a text for the sender when it is malformed; OUT_OF_MEMORY. On OK the
 * envelope is to be cleared with muster__envelope_clear(); otherwise it holds nothing. Any thread.
 */
enum muster_status muster__decode(enum direction direction, const uint8_t *data, size_t size,
                                  struct envelope *envelope, struct muster_error *error);

void muster__envelope_clear(struct envelope *envelope);

#endif
