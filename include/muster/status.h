/* Statuses, which functions return, and the error record that explains one. */
#ifndef MUSTER_STATUS_H
#define MUSTER_STATUS_H

#include <stddef.h>
#include <stdint.h>

#include <muster/export.h>

MUSTER_BEGIN_DECLS

/** All statuses: X(name, value, text). Values never change; later releases add statuses at the end. */
#define MUSTER_STATUS_MAP(X)                                                            \
    X(OK, 0, "success")                                                                 \
    X(TIMEOUT, 1, "the limit of the wait passed")                                       \
    X(CANCELLED, 2, "the turn was given up")                                            \
    X(GONE, 3, "the peer is gone: its connection ended")                                \
    X(CLOSED, 4, "this handle was closed")                                              \
    X(TOO_BIG, 5, "a message is bigger than the limit")                                 \
    X(PROTOCOL, 6, "the peer broke the protocol")                                       \
    X(REFUSED, 7, "the peer refused, and said why")                                     \
    X(UNKNOWN_INSTRUCTION, 8, "the participant does not know this kind of instruction") \
    X(STOPPED, 9, "the server is stopping")                                             \
    X(OUT_OF_MEMORY, 10, "out of memory")                                               \
    X(UNAVAILABLE, 11, "the server cannot be reached")                                  \
    X(UNAUTHENTICATED, 12, "the peer did not prove who it is")                          \
    X(EXISTS, 13, "the name or address is in use")                                      \
    X(BUSY, 14, "another turn of this proxy is running")                                \
    X(INVALID, 15, "an argument is invalid")                                            \
    X(IO, 16, "reading or writing a file failed")                                       \
    X(FORMAT, 17, "a file or array is malformed or of an unsupported type")             \
    X(UNSUPPORTED, 18, "the peer does not offer this")                                  \
    X(FULL, 19, "the server takes no more participants now")                            \
    X(TOO_FEW, 20, "too few answers were accepted")

/** What a function that can fail returns. MUSTER_OK is 0. */
enum muster_status {
#define MUSTER_STATUS_ENUM(name, value, text) MUSTER_##name = (value),
    MUSTER_STATUS_MAP(MUSTER_STATUS_ENUM)
#undef MUSTER_STATUS_ENUM
};

/** Size of muster_error.text in bytes, its terminating NUL included. */
#define MUSTER_ERROR_TEXT_SIZE 256

/** What went wrong, for a person: a status and one sentence. Plain data that the caller owns. */
struct muster_error {
    enum muster_status status;
    char text[MUSTER_ERROR_TEXT_SIZE];
};

/**
 * "No limit", for the parameter `timeout_ms` of functions, and for options whose comment names it. As
 * `timeout_ms`, 0 means "do not wait", and so does any other negative number, such as what is left of a
 * deadline that has passed.
 */
#define MUSTER_NO_LIMIT ((int64_t)-1)

/** The status's name, such as "TIMEOUT"; "UNKNOWN" if there is no such status. Static; any thread. */
MUSTER_API const char *muster_status_name(enum muster_status status);

/** One English phrase for the status; never NULL. Static; any thread. */
MUSTER_API const char *muster_status_text(enum muster_status status);

/**
 * Copies `text` to `out`, of `size` bytes, and makes it safe to print on a terminal or in one line of a log.
 * Use it for text that somebody else wrote. A '?' replaces
 * - each byte that is not UTF-8,
 * - each control character, line ends and escapes included,
 * - U+2028, U+2029, and each mark that changes the direction of writing.
 *
 * The result is cut to fit, between two characters. `out` may be `text`. NULL counts as an empty text.
 * Returns `out`, or "" if `size` is 0. Any thread; does not block.
 *
 * The texts that the library returns (reasons, errors, events, entries of a round) are safe already. On a
 * server, so are names and labels. The content of messages is UTF-8, but otherwise as the peer sent it.
 */
MUSTER_API const char *muster_text_harmless(const char *text, char *out, size_t size);

/** The library's version, such as "0.1.0". Static; any thread. */
MUSTER_API const char *muster_version(void);

MUSTER_END_DECLS

#endif
