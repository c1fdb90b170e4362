/* The one way in which the library copies the data of arrays, so that a debug build can count it. */
#ifndef MUSTER_WIRE_COPY_H
#define MUSTER_WIRE_COPY_H

#include <config.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef MUSTER_DEBUG
/* Bytes copied since the process began. */
extern atomic_uint_least64_t muster__copied;
#endif

static inline void muster__copy(void *to, const void *from, size_t size)
{
#ifdef MUSTER_DEBUG
    atomic_fetch_add_explicit(&muster__copied, size, memory_order_relaxed);
#endif
    memcpy(to, from, size);
}

#endif
