/* The codec: messages to bytes and back. What comes in is untrusted, what goes out is checked. */
#ifndef MUSTER_WIRE_CODEC_H
#define MUSTER_WIRE_CODEC_H

#include <stdint.h>

#include <muster/message.h>

#include "muster.pb-c.h"
#include "network/buffer.h"
#include "network/transport.h"
#include "wire/reader.h"

/* Which of the two message types of the wire. */
enum direction { TO_PARTICIPANT, TO_SERVER };

/* More fields than this in one message, nested ones counted, are refused: they would cost a multiple of their
 * bytes. */
#define WIRE_FIELDS_MAX 65536

/* Fields of the messages themselves, which the generated code does not name. */
enum { FIELD_TURN_TO_SERVER = 2, FIELD_TURN_TO_PARTICIPANT = 3, FIELD_GRANTED = 10, FIELD_LIMIT = 11 };

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
};

/* ---- writing: encode.c ---- */

/* How a message is to be put into bytes. */
struct encoding {
    size_t max_message_size;   /* with any head */
    uint64_t max_payload_size; /* 0: the peer does not take chunks */
    size_t chunk_threshold;    /* a message beyond it sends its arrays in chunks */
    sem_t *borrow;             /* not NULL: refer to the caller's memory, post when that is over */
    struct storage *keep;      /* not NULL: what lies in there is kept, and not copied */
    bool fill_later;           /* what is to follow in chunks is not copied yet: muster__payload_fill() */
};

/*
 * Serialises all but the head, which is each stream's own. On OK *body is the caller's (NULL for an empty
 * message). INVALID: a kind that does not go this way, or what muster__message_check() refuses; TOO_BIG;
 * OUT_OF_MEMORY. Copies the data once, or not at all where it is borrowed or kept. Any thread.
 */
enum muster_status muster__encode(enum direction direction, const struct muster_message *message,
                                  const struct encoding *encoding, struct buffer **body,
                                  struct muster_error *error);

/* What the other side would refuse of a message, whatever its kind: INVALID, with *error. */
enum muster_status muster__message_check(const struct muster_message *message, struct muster_error *error);

/* A message of its own, as one that was received in chunks; of one that was checked. False: out of memory. */
bool muster__message_copy(const struct muster_message *message, struct muster_message *copy);

/* Copies the next bytes of the message that the body was made of, behind payload->filled and at most up to
   `end`, which the caller sets payload->filled to when others may see it. */
void muster__payload_fill(const struct buffer *body, const struct muster_message *message, uint64_t end);

/* The turn's field, to stand before or after a body; 0 bytes for turn 0. Returns the number of bytes. */
size_t muster__encode_turn(enum direction direction, uint64_t turn, uint8_t head[STREAM_HEAD_MAX]);

/* The same with the size up to which the answer may send its chunks without being told to, and how many bytes
   of them; 0: all. */
size_t muster__encode_instruction_head(uint64_t turn, uint64_t granted, uint64_t limit,
                                       uint8_t head[STREAM_HEAD_MAX]);

/* The whole of a message, which has no body. */
size_t muster__encode_grant(uint64_t turn, uint64_t number, uint64_t limit, uint8_t head[STREAM_HEAD_MAX]);

/* All of a chunk but its `size` bytes of data, which follow. */
size_t muster__encode_chunk(enum direction direction, uint64_t turn, uint64_t grant, uint64_t offset,
                            size_t size, uint8_t head[STREAM_HEAD_MAX]);

/* Messages that the library itself exchanges; NULL when out of memory. */
struct buffer *muster__encode_hello(const Muster__Hello *hello);
/* What stays the same of every Hello of a participant, and a Hello of that and of what has come since. */
struct buffer *muster__pack_hello(const Muster__Hello *hello);
struct buffer *muster__encode_hello_again(const struct buffer *packed, const Muster__Hello *more);
struct buffer *muster__encode_welcome(const Muster__Welcome *welcome);
struct buffer *muster__encode_cancel(void);
struct buffer *muster__encode_refused(const char *text);
struct buffer *muster__encode_progress(double fraction);

/* ---- reading: decode.c ---- */

enum content {
    CONTENT_MESSAGE,
    CONTENT_HELLO,
    CONTENT_PROGRESS,
    CONTENT_WELCOME,
    CONTENT_CANCEL,
    CONTENT_GRANT,
    CONTENT_CHUNK,
    CONTENT_REFUSED,
};

/* What was received. */
struct envelope {
    enum content content;
    uint64_t turn;
    uint64_t grant;                 /* the number of a grant or a chunk's; bytes, with an instruction */
    uint64_t limit;                 /* with a grant or an instruction: bytes that may be sent; 0: all */
    struct muster_message message;  /* CONTENT_MESSAGE: whoever takes it empties it; CONTENT_REFUSED: text */
    uint64_t announced;             /* CONTENT_MESSAGE: bytes that follow in chunks */
    const Muster__Hello *hello;     /* CONTENT_HELLO */
    const Muster__Welcome *welcome; /* CONTENT_WELCOME */
    double progress;                /* CONTENT_PROGRESS: 0 to 1 */
    uint64_t offset;                /* CONTENT_CHUNK */
    struct reader chunk;            /* CONTENT_CHUNK: its data; as long as the pieces are valid */
    ProtobufCMessage *unpacked;     /* what hello and welcome point into */
};

/*
 * Parses one message. PROTOCOL with a text for the sender when it is malformed, INVALID where a string is not
 * UTF-8 or two names are the same; OUT_OF_MEMORY. On OK the envelope is to be cleared with
 * muster__envelope_clear(); otherwise it holds nothing. Copies the data of arrays once, into memory of the
 * message's own. Any thread.
 */
enum muster_status muster__decode(enum direction direction, const struct piece *pieces, size_t count,
                                  struct envelope *envelope, struct muster_error *error);

void muster__envelope_clear(struct envelope *envelope);

/* What a received message points into, its `storage`: it stays for as long as somebody holds it. NULL is
   allowed in both. Any thread. */
struct storage *muster__storage_retain(struct storage *storage);
/* One for a message that was not received: it holds `owned`, which goes by let_go(); NULL when out of
   memory. */
struct storage *muster__storage_of(void *owned, void (*let_go)(void *owned));
/* What such a storage holds; NULL for others, and for NULL. */
void *muster__storage_owned(const struct storage *storage);
void muster__storage_release(void *storage);
/* Whether these bytes are among what came in chunks. */
bool muster__storage_has(const struct storage *storage, const void *data, size_t size);

/*
 * Makes room for what follows a message in chunks; `returned` is called with `context` when the message is
 * cleared. False when out of memory. The arrays' data pointers are set from here on.
 */
bool muster__payload_begin(struct muster_message *message, void (*returned)(void *context, uint64_t size),
                           void *context);

/* The message becomes its reader's own: `returned` is called now, not when it is cleared. */
void muster__payload_hand_over(struct muster_message *message);

/* Takes the memory back again, and `returned` is called. */
void muster__payload_drop(struct muster_message *message);

/* Copies a chunk's data to its place: behind the one before, where it fits. False when a bool among it is
   neither 0 nor 1: the message is of no use then. */
bool muster__payload_add(struct muster_message *message, struct reader *chunk);

#endif
