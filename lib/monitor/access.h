/* Who may ask: the check of the Host header and of the token. */
#ifndef MUSTER_MONITOR_ACCESS_H
#define MUSTER_MONITOR_ACCESS_H

#include <stdbool.h>
#include <stddef.h>

#include <muster/status.h>

enum { TOKEN_SIZE_MAX = 4096 };

/*
 * Whether a request may be for the host that its header names (NULL: none). An IP address always, as no page of
 * somebody else's can have one for its name, and otherwise "localhost" and `hosts`.
 */
bool muster__host_is_good(const char *header, char *const *hosts, size_t count);

/* Whether an Authorization header (NULL: none) shows the token, as Bearer, or as the password of Basic. Takes as
   long for any other token of that length. */
bool muster__shows_token(const char *header, const char *token);

/* The bytes of a file, with a NUL behind them, which the caller frees. IO, FORMAT (it is bigger than `most`)
   or OUT_OF_MEMORY. */
enum muster_status muster__secret_read(const char *path, size_t most, char **bytes,
                                       struct muster_error *error);

/* The token in a file: its one line. As muster__secret_read(); FORMAT: it holds something else. */
enum muster_status muster__token_read(const char *path, char **token, struct muster_error *error);

#endif
