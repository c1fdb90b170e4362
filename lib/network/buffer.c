/* Bytes with a reference count. */
#include <config.h>

#include <stdlib.h>

#include "network/buffer.h"

struct buffer *muster__buffer_new(size_t size)
{
    if (size > SIZE_MAX - sizeof(struct buffer))
        return NULL;
    struct buffer *buffer = malloc(sizeof(*buffer) + size);
    if (!buffer)
        return NULL;
    atomic_init(&buffer->references, 1);
    buffer->size = size;
    buffer->payload = NULL;
    return buffer;
}

struct buffer *muster__buffer_retain(struct buffer *buffer)
{
    atomic_fetch_add_explicit(&buffer->references, 1, memory_order_relaxed);
    return buffer;
}

void muster__buffer_release(struct buffer *buffer)
{
    if (!buffer || atomic_fetch_sub_explicit(&buffer->references, 1, memory_order_acq_rel) != 1)
        return;
    struct payload *payload = buffer->payload;
    sem_t *returned = payload ? payload->returned : NULL;
    if (payload && payload->copy)
        payload->free_copy(payload->copy, payload->copy_size);
    if (payload && payload->kept)
        payload->let_go(payload->kept);
    free(payload);
    free(buffer);
    if (returned)
        sem_post(returned);
}
