/* Requests to one HTTP server, one at a time, each with a limit; all are given up when the sink is. */
#ifndef MUSTER_RECORD_HTTP_H
#define MUSTER_RECORD_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include <muster/status.h>

#include "record/sink.h"

struct http;

struct http_options {
    const char *base;     /* http(s)://HOST[:PORT][/BASE], without a '/' at its end */
    const char *username; /* or NULL, as all below */
    const char *password;
    const char *token;
    const char *authorities; /* a file of certificates */
    bool insecure;           /* takes any certificate */
    int64_t timeout_ms;
};

/* What a request sends: nothing, a text, or a file. */
struct http_body {
    const char *type;
    const void *bytes;
    size_t size;
    const char *path; /* a file, instead of the bytes */
    bool once;        /* sending it twice does harm */
};

struct http *muster__http_new(struct sink *sink, const struct http_options *options,
                              struct muster_error *error);
void muster__http_free(struct http *http);
/* Ends the connections, on the thread that makes the requests; there are no more of these. */
void muster__http_disconnect(struct http *http);
/* Any thread: ends what is running. The sink is abandoned already. */
void muster__http_wake(struct http *http);

/*
 * Sends METHOD BASE/PATH. OK: the server answered with 2xx, and *answer (NULL: not wanted) is its JSON, an
 * object that the caller frees. Otherwise *error says why:
 * - INVALID: it will never take this; `code` is its "error_code" or "";
 * - UNAVAILABLE: it may be tried again;
 * - IO: the file cannot be read; OUT_OF_MEMORY.
 */
enum { HTTP_CODE_SIZE = 64 };
enum muster_status muster__http_request(struct http *http, const char *method, const char *path,
                                        const struct http_body *body, json_t **answer,
                                        char code[HTTP_CODE_SIZE], struct muster_error *error);

/* `text` with all that has a meaning in a URL escaped, '/' too unless it is kept. The caller frees it; NULL:
   out of memory. */
char *muster__http_escape(const char *text, bool keep_slashes);

#endif
