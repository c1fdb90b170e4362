/* What the bytes mean: the messages of the wire and the arrays in them, and the memory that these lie in. All
   that other folders know of this one. What comes in is untrusted, what goes out is checked. */
#ifndef MUSTER_WIRE_WIRE_H
#define MUSTER_WIRE_WIRE_H

#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/message.h>

#include "muster.pb-c.h"
#include "network/transport.h"

/* ---- memory for the data of big arrays: block.c. Any thread. ---- */

/* The alignment of every block: as the widest vectors want it. */
#define BLOCK_ALIGNMENT 64

/* `size` bytes, more than 0, of any content; NULL when out of memory. */
void *muster__block_new(size_t size);

/* `size` as it was asked for. NULL is allowed. The system may take back what is kept of 2 MiB and more. */
void muster__block_free(void *block, size_t size);

/* A participant, with its instruction and its answer, has use for two more blocks than a server. */
void muster__block_participant(bool comes);

/* Gives what is kept back to the system. */
void muster__block_trim(void);

/* ---- arrays: array.c and npy.c ---- */

/* Bytes of the data of an array that muster__array_fault() or a parser has passed. */
size_t muster__array_size(const struct muster_array *array);

/* Room for any dtype and shape in words. */
enum { ARRAY_TEXT_SIZE = 16 + 22 * MUSTER_DIMENSIONS_MAX };

/* Such as "float32 (60, 10)". */
const char *muster__array_text(const struct muster_array *array, char text[ARRAY_TEXT_SIZE]);

/*
 * What the header of any array takes when it is written. numpy pads a header to a multiple of 64, with room
 * for the first dimension to grow; of arrays of up to 8 dimensions that fit in memory none is below 64 or
 * above 128.
 */
enum { MUSTER__NPY_HEADER_SIZE = 128 };

/* Writes the header of an array without fault to `out`; its data follows as it lies. */
void muster__npy_write_header(const struct muster_array *array, uint8_t out[MUSTER__NPY_HEADER_SIZE]);

/* Why an array cannot be sent or written: unknown dtype, too many dimensions, a size beyond SIZE_MAX / 2, data
   NULL with elements, or a bool that is neither 0 nor 1. NULL: it can. Every array from a caller passes here
   before anything else reads it. */
const char *muster__array_fault(const struct muster_array *array);

/*
 * Makes *array a view into `bytes`, which it may rearrange: Fortran order is turned into C order, and data
 * behind a header of odd length is moved so that it is aligned (bytes itself is aligned as malloc aligns).
 * Never reads beyond `size`. FORMAT with *error (may be NULL) saying what is wrong: magic, version, header,
 * dtype, shape, a size that does not match exactly, or a bool that is neither 0 nor 1. OUT_OF_MEMORY only for
 * Fortran order.
 */
enum muster_status muster__npy_parse(uint8_t *bytes, size_t size, struct muster_array *array,
                                     struct muster_error *error);

/* ---- messages ---- */

/* Which of the two message types of the wire. */
enum direction { TO_PARTICIPANT, TO_SERVER };

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

/* Copies the next bytes of the message that the body was made of, behind payload->filled and at most up to
   `end`, which the caller sets payload->filled to when others may see it. */
void muster__payload_fill(const struct buffer *body, const struct muster_message *message, uint64_t end);

/* A report, with the scalars of `numbers`, and its values that are integers or bools (NULL: none). NULL when out of
   memory. */
struct buffer *muster__encode_progress(double fraction, const struct muster_message *numbers);

/* ---- what may be sent: check.c and names.c ---- */

/* What the other side would refuse of a message, whatever its kind: INVALID, with *error. */
enum muster_status muster__message_check(const struct muster_message *message, struct muster_error *error);

/* The same of what a progress report has beside its fraction, which is more than a report may have. */
enum muster_status muster__report_check(const struct muster_message *numbers, struct muster_error *error);

/* The names in a message, each of which is there once: INVALID with a text when two scalars or values have the
   same, or two arrays; OUT_OF_MEMORY. No name is NULL. Takes time in proportion to the bytes of the names and
   the logarithm of their number. */
enum muster_status muster__names_check(const struct muster_message *message, struct muster_error *error);

/* ---- writing what is the library's own: encode_own.c ---- */

/* The turn's field, to stand before or after a body; 0 bytes for turn 0. Returns the number of bytes. */
size_t muster__encode_turn(enum direction direction, uint64_t turn, uint8_t head[STREAM_HEAD_MAX]);

/* The same with the size up to which the answer may send its chunks without being told to, how many bytes of
   them (0: all), and the interval of heartbeats from now on (0: it stays). */
size_t muster__encode_instruction_head(uint64_t turn, uint64_t granted, uint64_t limit, uint64_t heartbeat_ms,
                                       uint8_t head[STREAM_HEAD_MAX]);

/* The whole of a message, which has no body. */
size_t muster__encode_grant(uint64_t turn, uint64_t number, uint64_t limit, uint8_t head[STREAM_HEAD_MAX]);

/* All of a chunk but its `size` bytes of data, which follow. */
size_t muster__encode_chunk(enum direction direction, uint64_t turn, uint64_t grant, uint64_t offset,
                            size_t size, uint8_t head[STREAM_HEAD_MAX]);

/* Messages that the library itself exchanges; NULL when out of memory. What stays the same of every Hello of a
   participant can be packed once: a Hello is of that (NULL: nothing) and of what has come since. */
struct buffer *muster__pack_hello(const Muster__Hello *hello);
struct buffer *muster__encode_hello(const struct buffer *packed, const Muster__Hello *hello);
struct buffer *muster__encode_welcome(const Muster__Welcome *welcome);
struct buffer *muster__encode_cancel(void);
struct buffer *muster__encode_refused(const char *text);

/* The whole of a message that says that the participant lives, and of one that asks for a turn: they have no
   body. */
size_t muster__encode_alive(uint8_t head[STREAM_HEAD_MAX]);
size_t muster__encode_ask(uint8_t head[STREAM_HEAD_MAX]);

/* ---- reading: decode.c ---- */

/* A place in bytes that came in pieces, and how many may be read from there on: see reader.h. Copying it is
   starting over. */
struct reader {
    const struct piece *piece;
    size_t offset; /* in that piece */
    size_t left;
    bool big; /* what it reads is a piece of big data: see copy.h */
};

enum content {
    CONTENT_MESSAGE,
    CONTENT_HELLO,
    CONTENT_PROGRESS,
    CONTENT_WELCOME,
    CONTENT_CANCEL,
    CONTENT_GRANT,
    CONTENT_CHUNK,
    CONTENT_REFUSED,
    CONTENT_ALIVE,
    CONTENT_ASK,
};

/* What was received. */
struct envelope {
    enum content content;
    uint64_t turn;
    uint64_t grant;                 /* the number of a grant or a chunk's; bytes, with an instruction */
    uint64_t limit;                 /* with a grant or an instruction: bytes that may be sent; 0: all */
    uint64_t heartbeat_ms;          /* with an instruction; 0: as before */
    struct muster_message message;  /* CONTENT_MESSAGE: whoever takes it empties it; CONTENT_REFUSED: text;
                                       CONTENT_PROGRESS: numbers */
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

/* Reads the turn, grant and offset of a chunk, of `size` bytes, when only the first `there` of them have come. Returns
   how many come before its data, which is the rest; 0: it is no chunk, or not written as ours are. */
size_t muster__decode_chunk_head(enum direction direction, const uint8_t *data, size_t there, size_t size,
                                 struct envelope *envelope);

/* A message of its own, as its receiver would have it: *copy is the caller's on OK. Otherwise as
   muster__encode(). */
enum muster_status muster__message_copy(enum direction direction, const struct muster_message *message,
                                        struct muster_message *copy, struct muster_error *error);

/* What a received message points into, its `storage`: it stays for as long as somebody holds it. NULL is
   allowed in both. Any thread. */
struct storage *muster__storage_retain(struct storage *storage);
/* Whether somebody holds it beside the one who asks. */
bool muster__storage_is_shared(struct storage *storage);
/* One for a message that was not received: it holds `owned`, which goes by let_go(); NULL when out of
   memory. */
struct storage *muster__storage_of(void *owned, void (*let_go)(void *owned));
/* What such a storage holds; NULL for others, and for NULL. */
void *muster__storage_owned(const struct storage *storage);
void muster__storage_release(void *storage);
/* Whether these bytes are among what came in chunks. */
bool muster__storage_has(const struct storage *storage, const void *data, size_t size);

/* How much of `wanted` bytes may follow a message in chunks here: an address space of 32 bits has not room for all
   that may be asked for. */
uint64_t muster__payload_most(uint64_t wanted);

/*
 * Makes room for what follows a message in chunks; `returned` is called with `context` when the message is
 * cleared. False when out of memory. The arrays' data pointers are set from here on.
 */
bool muster__payload_begin(struct muster_message *message, void (*returned)(void *context, uint64_t size),
                           void *context);

/* The message becomes its reader's own: `returned` is called now, not when it is cleared. */
void muster__payload_hand_over(struct muster_message *message);

/* It becomes its reader's own, and counts until it is cleared: then `returned` is called, in place of the one before. */
void muster__payload_lend(struct muster_message *message, void (*returned)(void *context, uint64_t size));

/* Takes the memory back again, and `returned` is called. */
void muster__payload_drop(struct muster_message *message);

/* Where the next `size` bytes of it belong, if they lie together; NULL: they do not. */
uint8_t *muster__payload_place(const struct muster_message *message, uint64_t size);

/* Copies a chunk's data to its place, unless it is there: behind the one before, where it fits. False when a bool
   among it is neither 0 nor 1: the message is of no use then. */
bool muster__payload_add(struct muster_message *message, struct reader *chunk);

#endif
