/* Messages: what an instruction and an answer carry, as plain structs that point at the caller's data. */
#ifndef MUSTER_MESSAGE_H
#define MUSTER_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include <muster/export.h>
#include <muster/status.h>

MUSTER_BEGIN_DECLS

/** Element types of an array: little-endian, as numpy's '<f4', '<f8', '<i4' and '<i8'. */
enum muster_dtype {
    MUSTER_FLOAT32 = 1,
    MUSTER_FLOAT64 = 2,
    MUSTER_INT32 = 3,
    MUSTER_INT64 = 4,
};

/** The most dimensions that an array can have. */
#define MUSTER_DIMENSIONS_MAX 8

/**
 * A view of an array in C order (last index fastest): it owns nothing. dimensions 0 is a single number.
 * data may be NULL only when a dimension is 0. The data of a received array is aligned for its type.
 */
struct muster_array {
    enum muster_dtype dtype;
    uint32_t dimensions;
    uint64_t shape[MUSTER_DIMENSIONS_MAX];
    const void *data;
};

/** A named number beside the arrays: a hyperparameter downwards ("lr"), a metric upwards ("num_samples"). */
struct muster_scalar {
    const char *name;
    double value;
};

/**
 * What a message is. An answer has the kind of its instruction, or MUSTER_FAILURE or
 * MUSTER_UNKNOWN.
 */
enum muster_kind {
    MUSTER_EMPTY = 0,   /* nothing: a participant's first message, passing the initiative */
    MUSTER_TRAIN,       /* train: arrays and scalars, both ways */
    MUSTER_EVALUATE,    /* evaluate: arrays and scalars, both ways */
    MUSTER_APPLICATION, /* the application's own: type and data, both ways */
    MUSTER_FAILURE,     /* answer: the participant could not do it; code and text */
    MUSTER_UNKNOWN,     /* answer: the participant does not know this kind */
    MUSTER_RECONNECT,   /* instruction: come back in reconnect_seconds */
};

/**
 * An instruction or an answer. Fill in what the kind uses and leave the rest zero, as MUSTER_MESSAGE_INIT
 * does. Strings are UTF-8: a message with another is refused with INVALID, before it is sent and by who
 * receives it, and so is one with two scalars of a name. Sending reads it and keeps nothing of the caller's.
 * A message that was received points into memory that it owns through `storage`; who clears it stands at the
 * function that gave it.
 */
struct muster_message {
    enum muster_kind kind;
    const struct muster_array *arrays; /* MUSTER_TRAIN, MUSTER_EVALUATE */
    size_t array_count;
    const struct muster_scalar *scalars; /* MUSTER_TRAIN, MUSTER_EVALUATE; names are unique */
    size_t scalar_count;
    const char *type; /* MUSTER_APPLICATION: the application's name for the payload */
    const void *data; /* MUSTER_APPLICATION: the payload, of `size` bytes */
    size_t size;
    int32_t code;              /* MUSTER_FAILURE: the application's own number */
    const char *text;          /* MUSTER_FAILURE: why, for a person */
    int32_t reconnect_seconds; /* MUSTER_RECONNECT */
    void *storage;             /* the library's: leave it alone */
};

/** An empty message. */
#define MUSTER_MESSAGE_INIT                                             \
    {                                                                   \
        MUSTER_EMPTY, NULL, 0, NULL, 0, NULL, NULL, 0, 0, NULL, 0, NULL \
    }

/** How far a transfer is: bytes of the arrays that travel in chunks, of the running turn; 0 of 0 without any.
 */
struct muster_transfer {
    uint64_t sent; /* given to the network */
    uint64_t to_send;
    uint64_t received;
    uint64_t to_receive;
};

/**
 * Frees what a received message owns and makes it empty; everything that pointed into it dangles. On a
 * message that owns nothing it only empties it. Any thread; does not block.
 */
MUSTER_API void muster_message_clear(struct muster_message *message);

/** The value of the scalar `name`, or `otherwise` when the message has none of that name. Any thread. */
MUSTER_API double muster_message_scalar(const struct muster_message *message, const char *name,
                                        double otherwise);

/** The number of elements of `array`, or SIZE_MAX when its shape does not fit in memory. */
MUSTER_API size_t muster_array_count(const struct muster_array *array);

/** The size of one element of `dtype` in bytes; 0 when `dtype` is none. */
MUSTER_API size_t muster_dtype_size(enum muster_dtype dtype);

MUSTER_END_DECLS

#endif
