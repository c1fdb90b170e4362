/* Memory for the data of big arrays, in huge pages where the system has them; a few that were freed are
   kept. */
#include <config.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "wire/wire.h"

#define PAGE      ((size_t)64 << 10) /* the biggest of any system's */
#define HUGE_PAGE ((size_t)2 << 20)

#ifdef __has_feature
#define HAS_FEATURE(feature) __has_feature(feature)
#else
#define HAS_FEATURE(feature) 0
#endif

/* The address sanitizer, which clang tells of as a feature, watches over what malloc gives. */
#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)
#define MAPPED_MIN SIZE_MAX
#else
#define MAPPED_MIN ((size_t)256 << 10)
#endif

static size_t round_up(size_t size, size_t unit)
{
    return (size + unit - 1) / unit * unit;
}

/* At the beginning of a huge page if it is as big as some, and in huge pages as far as it fills them; what
   lies before and behind it is given back. */
static void *map(size_t wanted)
{
    size_t more = wanted < HUGE_PAGE ? 0 : HUGE_PAGE;
    uint8_t *mapped = mmap(NULL, wanted + more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED)
        return NULL;
    if (!more)
        return mapped;
    size_t before = (HUGE_PAGE - (uintptr_t)mapped % HUGE_PAGE) % HUGE_PAGE;
    if (before)
        munmap(mapped, before);
    if (before < more)
        munmap(mapped + before + wanted, more - before);
    madvise(mapped + before, wanted, MADV_HUGEPAGE); /* where it fails, pages are small */
    return mapped + before;
}

#define KEPT_MAX   256
#define KEPT_BYTES ((size_t)64 << 20) /* or two blocks, if they are bigger, and two for each participant */

struct kept {
    void *block;
    size_t size;
};

static struct {
    pthread_mutex_t lock;       /* guards the next three */
    struct kept kept[KEPT_MAX]; /* the oldest first */
    size_t count;
    size_t bytes;
    atomic_size_t participants; /* in this process */
} store = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* With the lock held. */
static void *take_out(size_t i)
{
    void *block = store.kept[i].block;
    store.bytes -= store.kept[i].size;
    store.count--;
    memmove(&store.kept[i], &store.kept[i + 1], (store.count - i) * sizeof(struct kept));
    return block;
}

static void *take_kept(size_t size)
{
    void *block = NULL;
    pthread_mutex_lock(&store.lock);
    for (size_t i = store.count; i > 0 && !block; i--) {
        if (store.kept[i - 1].size == size)
            block = take_out(i - 1);
    }
    pthread_mutex_unlock(&store.lock);
    return block;
}

/* Lets the oldest go until no more than so much is kept. */
static void trim_to(size_t count, size_t bytes)
{
    struct kept oldest;
    do {
        oldest = (struct kept){NULL, 0};
        pthread_mutex_lock(&store.lock);
        if (store.count > count || store.bytes > bytes) {
            oldest = store.kept[0];
            take_out(0);
        }
        pthread_mutex_unlock(&store.lock);
        if (oldest.block)
            munmap(oldest.block, oldest.size);
    } while (oldest.block);
}

/* Arrays of many sizes would otherwise be kept one of each. */
static void keep(void *block, size_t size)
{
    if (size >= HUGE_PAGE)
        madvise(block, size, MADV_FREE); /* it does not count when memory is short */
    trim_to(KEPT_MAX - 1, (size < KEPT_BYTES / 2 ? KEPT_BYTES - size : size) + 2 * store.participants * size);
    pthread_mutex_lock(&store.lock);
    bool kept = store.count < KEPT_MAX; /* others may have been quicker */
    if (kept) {
        store.kept[store.count++] = (struct kept){block, size};
        store.bytes += size;
    }
    pthread_mutex_unlock(&store.lock);
    if (!kept)
        munmap(block, size);
}

void muster__block_participant(bool comes)
{
    if (comes)
        atomic_fetch_add(&store.participants, 1);
    else
        atomic_fetch_sub(&store.participants, 1);
}

void muster__block_trim(void)
{
    trim_to(0, 0);
}

void *muster__block_new(size_t size)
{
    if (size > SIZE_MAX / 4)
        return NULL;
    if (size < MAPPED_MIN)
        return aligned_alloc(BLOCK_ALIGNMENT, round_up(size, BLOCK_ALIGNMENT));
    size_t mapped = round_up(size, PAGE);
    void *block = take_kept(mapped);
    return block ? block : map(mapped);
}

void muster__block_free(void *block, size_t size)
{
    if (block && size < MAPPED_MIN)
        free(block);
    else if (block)
        keep(block, round_up(size, PAGE));
}
