/* Messages: what an instruction and an answer carry, as plain structs that point at the caller's data. */
#ifndef MUSTER_MESSAGE_H
#define MUSTER_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/export.h>
#include <muster/status.h>

MUSTER_BEGIN_DECLS

/**
 * Element types of an array, all little-endian. A peer that does not know a dtype refuses the message, and
 * says which dtype.
 */
enum muster_dtype {
    MUSTER_FLOAT32 = 1,  /* numpy's '<f4' */
    MUSTER_FLOAT64 = 2,  /* '<f8' */
    MUSTER_INT32 = 3,    /* '<i4' */
    MUSTER_INT64 = 4,    /* '<i8' */
    MUSTER_FLOAT16 = 5,  /* '<f2': in C the bits, as a uint16_t */
    MUSTER_BFLOAT16 = 6, /* '<V2', as ml_dtypes writes it; numpy has none: in C the bits, as a uint16_t */
    MUSTER_UINT8 = 7,    /* '|u1' */
    MUSTER_INT8 = 8,     /* '|i1' */
    MUSTER_BOOL = 9,     /* '|b1': bytes that are 0 or 1 */
};

/** The most dimensions that an array can have. */
#define MUSTER_DIMENSIONS_MAX 8

/**
 * A view of an array in C order (last index fastest): it owns nothing. dimensions 0 is a single number.
 * data may be NULL only when a dimension is 0. The data of a received array is aligned for its type.
 *
 * The size of this struct, of muster_scalar and of muster_value is final: what else is to be said of arrays
 * comes in lists beside them.
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

/** What a value is. */
enum muster_value_kind {
    MUSTER_VALUE_INTEGER = 1,
    MUSTER_VALUE_BOOL = 2,
    MUSTER_VALUE_TEXT = 3,
    MUSTER_VALUE_BYTES = 4,
};

/**
 * A named value that is not a double, beside the scalars: {.name = "epochs", .kind = MUSTER_VALUE_INTEGER,
 * .integer = 5}. A peer that knows doubles only gets integers and bools as scalars, and no texts and bytes.
 */
struct muster_value {
    const char *name;
    enum muster_value_kind kind;
    union {
        int64_t integer;
        bool boolean;
        const char *text;  /* UTF-8 */
        const void *bytes; /* `size` of them, with no alignment */
    };
    size_t size; /* MUSTER_VALUE_BYTES */
};

/**
 * What a message is. An answer has the kind of its instruction, or MUSTER_FAILURE or
 * MUSTER_UNKNOWN.
 */
enum muster_kind {
    MUSTER_EMPTY = 0,   /* nothing: a participant's first message, passing the initiative */
    MUSTER_TRAIN,       /* train: arrays, scalars and values, both ways */
    MUSTER_EVALUATE,    /* evaluate: the same */
    MUSTER_APPLICATION, /* the application's own: type and data, both ways */
    MUSTER_FAILURE,     /* answer: the participant could not do it; code and text */
    MUSTER_UNKNOWN,     /* answer: the participant does not know this kind */
    MUSTER_RECONNECT,   /* instruction: come back in reconnect_seconds */
};

/**
 * An instruction or an answer. Begin with MUSTER_MESSAGE_INIT, which makes everything zero, and fill in what
 * the kind uses: fields that come later take the place of reserved ones. Strings are UTF-8. The names of
 * scalars and values are unique in a message, and so are the names of arrays. A message that breaks these
 * rules is refused with INVALID, before it is sent and by its receiver. Sending reads a message and keeps
 * nothing of the caller's. A message that was received points into memory that it owns through `storage`; who
 * clears it stands at the function that gave it.
 */
struct muster_message {
    enum muster_kind kind;
    const struct muster_array *arrays; /* MUSTER_TRAIN, MUSTER_EVALUATE */
    size_t array_count;
    const char *const *array_names;      /* one for each array; NULL: the arrays have no names */
    const struct muster_scalar *scalars; /* MUSTER_TRAIN, MUSTER_EVALUATE */
    size_t scalar_count;
    const struct muster_value *values; /* MUSTER_TRAIN, MUSTER_EVALUATE */
    size_t value_count;
    const char *type; /* MUSTER_APPLICATION: the application's name for the payload */
    const void *data; /* MUSTER_APPLICATION: the payload, of `size` bytes */
    size_t size;
    int32_t code;              /* MUSTER_FAILURE: the application's own number */
    const char *text;          /* MUSTER_FAILURE: why, for a person */
    int32_t reconnect_seconds; /* MUSTER_RECONNECT */
    void *storage;             /* the library's: leave it alone */
    const void *reserved[6];   /* NULL; the size of this struct is final */
};

/** An empty message. */
#define MUSTER_MESSAGE_INIT                                                             \
    {                                                                                   \
        MUSTER_EMPTY, NULL, 0, NULL, NULL, 0, NULL, 0, NULL, NULL, 0, 0, NULL, 0, NULL, \
        {                                                                               \
            NULL, NULL, NULL, NULL, NULL, NULL                                          \
        }                                                                               \
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

/** The number under `name` as a double: a scalar, or an integer or a bool of the values. `otherwise` when the
 * message has none. Any thread. */
MUSTER_API double muster_message_scalar(const struct muster_message *message, const char *name,
                                        double otherwise);

/**
 * The number under `name` as an integer: an integer or a bool of the values, or a scalar that has no fraction
 * and fits, as a peer sends that knows doubles only. `otherwise` for all else. Any thread.
 */
MUSTER_API int64_t muster_message_integer(const struct muster_message *message, const char *name,
                                          int64_t otherwise);

/** The same as a bool, for numbers that are 0 or 1. Any thread. */
MUSTER_API bool muster_message_bool(const struct muster_message *message, const char *name, bool otherwise);

/** The text under `name`, valid as long as the message, or `otherwise` when there is none. Any thread. */
MUSTER_API const char *muster_message_text(const struct muster_message *message, const char *name,
                                           const char *otherwise);

/** The bytes under `name`, not NULL and valid as long as the message, and their number in *size; NULL and 0
 * when the message has none of that name. Any thread. */
MUSTER_API const void *muster_message_bytes(const struct muster_message *message, const char *name,
                                            size_t *size);

/**
 * Whether the arrays of `message` are those that `expected` has: as many, of the same dtypes and shapes in
 * the same order, and with the same names where both messages have names. FORMAT otherwise, with *error (may
 * be NULL) saying which array, what it is and what was expected. The arrays' data is not looked at and may be
 * NULL. Any thread.
 */
MUSTER_API enum muster_status muster_arrays_match(const struct muster_message *message,
                                                  const struct muster_message *expected,
                                                  struct muster_error *error);

/** The number of elements of `array`, or SIZE_MAX when its shape does not fit in memory. */
MUSTER_API size_t muster_array_count(const struct muster_array *array);

/** The size of one element of `dtype` in bytes; 0 when `dtype` is none. */
MUSTER_API size_t muster_dtype_size(enum muster_dtype dtype);

/** The name of `dtype`, such as "float32"; "unknown" when `dtype` is none. */
MUSTER_API const char *muster_dtype_name(enum muster_dtype dtype);

MUSTER_END_DECLS

#endif
