/* The one way in which the library copies the data of arrays, so that a debug build can count it. */
#ifndef MUSTER_WIRE_COPY_H
#define MUSTER_WIRE_COPY_H

#include <config.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* An array of this size, copied as a whole, is hardly in the caches any more when somebody reads it: its
   bytes had better not go there. */
#define BIG_COPY_MIN ((size_t)8 << 20)

#ifdef MUSTER_DEBUG
/* Bytes copied since the process began. */
extern atomic_uint_least64_t muster__copied;
#endif

static inline void muster__count_copied(size_t size)
{
#ifdef MUSTER_DEBUG
    atomic_fetch_add_explicit(&muster__copied, size, memory_order_relaxed);
#else
    (void)size;
#endif
}

static inline void muster__copy(void *to, const void *from, size_t size)
{
    muster__count_copied(size);
    memcpy(to, from, size);
}

/* The same for a piece of an array of BIG_COPY_MIN or more: where the processor can, it goes to memory
   without reading first what it overwrites there, and leaves the caches to others. */
void muster__copy_big(void *to, const void *from, size_t size);

#endif
