/* Memory for the data of big arrays, in huge pages where the system has them. */
#include <config.h>

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "wire/block.h"

#define HUGE_PAGE ((size_t)2 << 20)

/* The address sanitizer watches over what malloc gives. */
#ifdef __SANITIZE_ADDRESS__
#define MAPPED_MIN SIZE_MAX
#else
#define MAPPED_MIN (2 * HUGE_PAGE)
#endif

static size_t round_up(size_t size, size_t unit)
{
    return (size + unit - 1) / unit * unit;
}

/* Whole huge pages: more than that is mapped, and what lies before and behind them is given back. */
static void *map(size_t size)
{
    size_t wanted = round_up(size, HUGE_PAGE);
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

void *muster__block_new(size_t size)
{
    if (size > SIZE_MAX / 4)
        return NULL;
    return size < MAPPED_MIN ? aligned_alloc(BLOCK_ALIGNMENT, round_up(size, BLOCK_ALIGNMENT)) : map(size);
}

void muster__block_free(void *block, size_t size)
{
    if (!block)
        return;
    if (size < MAPPED_MIN)
        free(block);
    else
        munmap(block, round_up(size, HUGE_PAGE));
}
