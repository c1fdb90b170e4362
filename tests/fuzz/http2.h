/* One loop of the HTTP/2 transport without its thread, and a peer at the other end of a socket. */
#ifndef MUSTER_TESTS_FUZZ_HTTP2_H
#define MUSTER_TESTS_FUZZ_HTTP2_H

#include "fuzz/fuzz.h"
#include "network/transport.h"

/* What the input says that our end does after the next bytes. */
enum {
    DOES_SEND = 1,
    DOES_CLOSE = 2,
    DOES_CUT = 4,
    DOES_PAUSE = 8,
    PEER_READS = 16,
    ONLY_IN_EVENTS = 32,
    PEER_FRAMES =
        64, /* what the peer writes is a frame whose length is right: its type, flags and stream come first */
    PEER_BEGINS = 128 /* and it begins with headers that are in order */
};

void http2_begin(void);
/* A connection of a listener, or a stream of a client's. Returns the peer's socket. */
int http2_accept(void);
int http2_connect(void);
/* The peer writes what the input has, in the pieces that it says; then all ends. `head`: PEER_BEGINS, by HPACK. */
void http2_play(struct input *input, int peer, const struct input *head);
/* How many messages it has told of since http2_begin(). */
size_t http2_told(void);
/* Has an input played; before the first, one that has settings, headers and a message, which is to arrive: the target sees
   what it is for. Returns 0. */
int http2_fuzz(const void *data, size_t size, void (*play)(const void *data, size_t size));

#endif
