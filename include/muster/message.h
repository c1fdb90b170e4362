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
 * Element types of an array, all little-endian. A peer that does not know a dtype refuses the message and
 * names the dtype.
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
 * A view of an array in C order (last index fastest); it owns nothing. `dimensions` is the number of entries
 * in `shape`; 0 means a single number. `data` may be NULL only if an entry of `shape` is 0. The data of a
 * received array is aligned for its type.
 *
 * The sizes of this struct, of muster_scalar and of muster_value are final. Later releases add properties as
 * lists beside the arrays, as array_names is.
 */
struct muster_array {
    enum muster_dtype dtype;
    uint32_t dimensions;
    uint64_t shape[MUSTER_DIMENSIONS_MAX];
    const void *data;
};

/**
 * A named number beside the arrays: a hyperparameter in an instruction ("lr"), or a metric in an answer
 * ("num_samples").
 */
struct muster_scalar {
    const char *name;
    double value;
};

/** The most numbers that a progress report can have, and the most bytes of a name among them, without its NUL. */
#define MUSTER_REPORT_NUMBERS_MAX 16
#define MUSTER_REPORT_NAME_MAX    64

/** What a value is. */
enum muster_value_kind {
    MUSTER_VALUE_INTEGER = 1,
    MUSTER_VALUE_BOOL = 2,
    MUSTER_VALUE_TEXT = 3,
    MUSTER_VALUE_BYTES = 4,
};

/**
 * A named value beside the arrays, for all that is not a double: {.name = "epochs",
 * .kind = MUSTER_VALUE_INTEGER, .integer = 5}. A peer of an older release knows doubles only: it gets
 * integers and bools as scalars, and no texts and no bytes.
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

/** The kind of a message. An answer has the kind of its instruction, or MUSTER_FAILURE or MUSTER_UNKNOWN. */
enum muster_kind {
    MUSTER_EMPTY = 0,   /* nothing: a participant's first message, which passes the initiative */
    MUSTER_TRAIN,       /* train: arrays, scalars and values, in both directions */
    MUSTER_EVALUATE,    /* evaluate: the same */
    MUSTER_APPLICATION, /* the application's own: type and data, in both directions */
    MUSTER_FAILURE,     /* answer: the participant could not do it; code and text */
    MUSTER_UNKNOWN,     /* answer: the participant does not know this kind */
    MUSTER_RECONNECT,   /* instruction: come back in reconnect_seconds */
};

/**
 * An instruction or an answer. Begin with MUSTER_MESSAGE_INIT, which makes everything zero, and set the
 * fields that the kind uses. New fields of later releases take the place of reserved ones.
 * - Strings are UTF-8. Scalars and values of one message have different names, and so have its arrays. The
 *   sender and the receiver refuse a message that breaks these rules, with INVALID.
 * - A function that sends a message does not change it. The message and its data stay the caller's. The
 *   function says how long it reads them.
 * - A received message points into memory that it owns through `storage`. The function that returns the
 *   message says whether the caller clears it.
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

/**
 * How much of the running turn's data has been transferred, in bytes, as seen from this end. Only data in
 * chunks counts; if there is none, all four are 0.
 */
struct muster_transfer {
    uint64_t sent; /* given to the network */
    uint64_t to_send;
    uint64_t received;
    uint64_t to_receive;
};

/**
 * Frees what a received message owns, and makes the message empty. Pointers into it are no longer valid. A
 * message that owns nothing is only made empty. Any thread; does not block.
 */
MUSTER_API void muster_message_clear(struct muster_message *message);

/**
 * Makes *shared another owner of what a received message points into, without a copy: it stays valid until the
 * caller clears it, whatever becomes of `message`. It is for an answer that is to outlive the call that shows
 * it, such as on_answer of a round. A message that owns nothing is copied as it is, and goes on pointing at its
 * owner's data. Any thread that may read `message`; does not block.
 */
MUSTER_API void muster_message_share(const struct muster_message *message, struct muster_message *shared);

/**
 * The number under `name` as a double: a scalar, an integer or a bool. `otherwise` if the message has none.
 * Any thread.
 */
MUSTER_API double muster_message_scalar(const struct muster_message *message, const char *name,
                                        double otherwise);

/**
 * The number under `name` as an integer: an integer, a bool, or a scalar that has no fraction and fits (as
 * from a peer that knows doubles only). `otherwise` in all other cases. Any thread.
 */
MUSTER_API int64_t muster_message_integer(const struct muster_message *message, const char *name,
                                          int64_t otherwise);

/** The number under `name` as a bool, if it is 0 or 1. `otherwise` in all other cases. Any thread. */
MUSTER_API bool muster_message_bool(const struct muster_message *message, const char *name, bool otherwise);

/** The text under `name`, valid as long as the message; `otherwise` if the message has none. Any thread. */
MUSTER_API const char *muster_message_text(const struct muster_message *message, const char *name,
                                           const char *otherwise);

/**
 * The bytes under `name`, valid as long as the message, and never NULL, even if there are 0 bytes. *size is
 * their number. If the message has no bytes of that name: NULL, and *size is 0. Any thread.
 */
MUSTER_API const void *muster_message_bytes(const struct muster_message *message, const char *name,
                                            size_t *size);

/**
 * Compares the arrays of `message` with those of `expected`: their number, dtypes, shapes and order, and
 * their names if both messages have names. The data of the arrays is not read and may be NULL. Returns OK if
 * they match. FORMAT otherwise: *error (may be NULL) says which array differs, what it is, and what was
 * expected. Any thread; does not block.
 */
MUSTER_API enum muster_status muster_arrays_match(const struct muster_message *message,
                                                  const struct muster_message *expected,
                                                  struct muster_error *error);

/** The number of elements of `array`; SIZE_MAX if its shape does not fit in memory. Any thread. */
MUSTER_API size_t muster_array_count(const struct muster_array *array);

/** The size of one element of `dtype`, in bytes; 0 if there is no such dtype. Any thread. */
MUSTER_API size_t muster_dtype_size(enum muster_dtype dtype);

/** The name of `dtype`, such as "float32"; "unknown" if there is no such dtype. Static; any thread. */
MUSTER_API const char *muster_dtype_name(enum muster_dtype dtype);

MUSTER_END_DECLS

#endif
