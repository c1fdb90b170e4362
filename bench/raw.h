/* The raw participants: what is written and read on their connections. Each kind costs as little as it can, so
   that the server is what is measured. */
#ifndef BENCH_RAW_H
#define BENCH_RAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for an answer, with all that stands before it; longer instructions end the process. */
#define RAW_ANSWER_MAX 4096

struct raw_connection;

struct raw_protocol {
    /* Sends what comes first. */
    void (*hello)(struct raw_connection *connection);
    /* Takes one whole frame, or message, from the beginning of what came; returns its size, or 0: it is not whole
       yet. May answer with raw_send(), and tell with raw_admitted(). */
    size_t (*take)(struct raw_connection *connection, const uint8_t *data, size_t size);
};

/* Writes to the connection. */
void raw_send(struct raw_connection *connection, const void *data, size_t size);

/* The server has let it in: the first time counts. */
void raw_admitted(struct raw_connection *connection);

/* gRPC over HTTP/2, where what comes is sent back, and where muster is answered; and the bare server's TCP. */
extern const struct raw_protocol raw_tcp, raw_http2, raw_muster;

#endif
