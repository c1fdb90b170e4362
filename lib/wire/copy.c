/* Copying the data of arrays, past the caches if it is big. */
#include <config.h>

/* gcc's sanitizers do not see such stores. */
#if defined(__SSE2__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define PAST_CACHES
#include <emmintrin.h>
#endif

#include "wire/copy.h"

#ifdef MUSTER_DEBUG
atomic_uint_least64_t muster__copied;
#endif

void muster__copy_big(void *to, const void *from, size_t size)
{
#ifdef PAST_CACHES
    enum { LINE = 64, VECTOR = sizeof(__m128i) };
    uint8_t *out = to;
    const uint8_t *in = from;
    size_t head = (LINE - (uintptr_t)out % LINE) % LINE;
    if (head > size)
        head = size;
    muster__copy(out, in, head);
    size_t lines = (size - head) / LINE * LINE;
    for (size_t i = head; i < head + lines; i += VECTOR)
        _mm_stream_si128((__m128i *)(void *)(out + i),
                         _mm_loadu_si128((const __m128i *)(const void *)(in + i)));
    _mm_sfence(); /* before any store that tells others of it */
    muster__count_copied(lines);
    muster__copy(out + head + lines, in + head + lines, size - head - lines);
#else
    muster__copy(to, from, size);
#endif
}
