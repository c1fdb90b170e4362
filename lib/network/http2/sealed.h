/* Records of TLS that go to the socket together: a call of the system for each takes longer than to encrypt it. */
#ifndef MUSTER_NETWORK_HTTP2_SEALED_H
#define MUSTER_NETWORK_HTTP2_SEALED_H

#include <stdbool.h>
#include <stddef.h>

/* All zeros: nothing is in it, and it takes nothing. One thread at a time. */
struct sealed {
    unsigned char *bytes;
    size_t room; /* 0: it is closed */
    size_t first, size;
};

/* Makes room for the records of `plain` bytes, or for as many as go together, in less than 100 KiB. One that still has
   something in it stays closed, and so does one for which there is no memory. */
void muster__sealed_open(struct sealed *sealed, size_t plain);

/* Takes a copy. False: it has no room for all of that, and took nothing. */
bool muster__sealed_put(struct sealed *sealed, const void *data, size_t size);

/* Sends what is in it, without blocking and without SIGPIPE. False: some of it is left; errno is send()'s. */
bool muster__sealed_send(struct sealed *sealed, int descriptor);

/* It takes no more, and has the memory that what is left in it needs. */
void muster__sealed_close(struct sealed *sealed);

/* Drops what is left in it. */
void muster__sealed_free(struct sealed *sealed);

#endif
