/* Bytes with a reference count: one serialisation that any number of streams send without copying it. */
#ifndef MUSTER_NETWORK_BUFFER_H
#define MUSTER_NETWORK_BUFFER_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct buffer {
    atomic_size_t references;
    size_t size;
    uint8_t data[];
};

/* A buffer of `size` bytes to be filled in by its only owner; NULL when out of memory. */
struct buffer *muster__buffer_new(size_t size);

/* From here on the bytes do not change. Any thread. */
struct buffer *muster__buffer_retain(struct buffer *buffer);

/* NULL is allowed. Any thread. */
void muster__buffer_release(struct buffer *buffer);

#endif
