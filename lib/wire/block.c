/* Memory for the data of big arrays, in huge pages where the system has them; a few that were freed are kept.
 */
#include <config.h>

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "wire/block.h"

#define PAGE      ((size_t)4096)
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

/* What is mapped for a block: it is not to be much more. */
static size_t mapped_size(size_t size)
{
    return round_up(size, size < 4 * HUGE_PAGE ? PAGE : HUGE_PAGE);
}

/* Whole huge pages: more than that is mapped, and what lies before and behind them is given back. */
static void *map(size_t wanted)
{
    if (wanted % HUGE_PAGE) {
        void *small = mmap(NULL, wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return small == MAP_FAILED ? NULL : small;
    }
    uint8_t *mapped =
        mmap(NULL, wanted + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED)
        return NULL;
    size_t before = (HUGE_PAGE - (uintptr_t)mapped % HUGE_PAGE) % HUGE_PAGE;
    if (before)
        munmap(mapped, before);
    if (before < HUGE_PAGE)
        munmap(mapped + before + wanted, HUGE_PAGE - before);
    madvise(mapped + before, wanted, MADV_HUGEPAGE); /* small ones do, too */
    return mapped + before;
}

#define KEPT_MAX 64

static struct {
    pthread_mutex_t lock; /* guards the rest */
    struct {
        void *block;
        size_t size; /* 0: none */
    } kept[KEPT_MAX];
    size_t oldest;
} store = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *take_kept(size_t size)
{
    void *block = NULL;
    pthread_mutex_lock(&store.lock);
    for (size_t i = 0; i < KEPT_MAX && !block; i++) {
        if (store.kept[i].size != size)
            continue;
        block = store.kept[i].block;
        store.kept[i].size = 0;
    }
    pthread_mutex_unlock(&store.lock);
    return block;
}

/* Keeps a block in place of the one that has been kept longest. */
static void keep(void *block, size_t size)
{
    if (size % HUGE_PAGE == 0)
        madvise(block, size, MADV_FREE); /* it does not count when memory is short */
    pthread_mutex_lock(&store.lock);
    size_t place = store.oldest;
    for (size_t i = 0; i < KEPT_MAX; i++) {
        if (store.kept[i].size == 0)
            place = i;
    }
    void *old = store.kept[place].block;
    size_t old_size = store.kept[place].size;
    store.kept[place].block = block;
    store.kept[place].size = size;
    store.oldest = (store.oldest + 1) % KEPT_MAX;
    pthread_mutex_unlock(&store.lock);
    if (old_size)
        munmap(old, old_size);
}

void muster__block_trim(void)
{
    for (size_t i = 0; i < KEPT_MAX; i++) {
        pthread_mutex_lock(&store.lock);
        void *block = store.kept[i].block;
        size_t size = store.kept[i].size;
        store.kept[i].size = 0;
        pthread_mutex_unlock(&store.lock);
        if (size)
            munmap(block, size);
    }
}

void *muster__block_new(size_t size)
{
    if (size > SIZE_MAX / 4)
        return NULL;
    if (size < MAPPED_MIN)
        return aligned_alloc(BLOCK_ALIGNMENT, round_up(size, BLOCK_ALIGNMENT));
    void *block = take_kept(mapped_size(size));
    return block ? block : map(mapped_size(size));
}

void muster__block_free(void *block, size_t size)
{
    if (block && size < MAPPED_MIN)
        free(block);
    else if (block)
        keep(block, mapped_size(size));
}
