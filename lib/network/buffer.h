/* Bytes with a reference count: one serialisation that any number of streams send without copying it. */
#ifndef MUSTER_NETWORK_BUFFER_H
#define MUSTER_NETWORK_BUFFER_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* A piece of memory; who owns it stands where it is used. */
struct piece {
    const uint8_t *data;
    size_t size;
};

/* What follows a message in chunks: the data of big arrays, in their order. */
struct payload {
    uint64_t size;   /* of all pieces */
    sem_t *returned; /* of borrowed memory: posted when nothing refers to it any more */
    uint64_t filled; /* bytes that are there so far: a copy may still be in the making */
    void *copy;      /* memory of our own, to be freed with free_copy(); NULL: nothing was copied */
    size_t copy_size;
    void (*free_copy)(void *copy, size_t size);
    void *kept; /* what else the pieces lie in, to be let go of with let_go(); NULL: nothing */
    void (*let_go)(void *kept);
    size_t count;
    struct piece pieces[];
};

struct buffer {
    atomic_size_t references;
    size_t size;
    struct payload *payload; /* freed with the buffer; NULL: nothing follows */
    uint8_t data[];
};

/* A buffer of `size` bytes to be filled in by its only owner; NULL when out of memory. */
struct buffer *muster__buffer_new(size_t size);

/* From here on the bytes do not change. Any thread. */
struct buffer *muster__buffer_retain(struct buffer *buffer);

/* NULL is allowed. Any thread. */
void muster__buffer_release(struct buffer *buffer);

#endif
