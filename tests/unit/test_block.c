/* Blocks: memory for big arrays that is used again, and not kept in quantities. */
#include <config.h>

#include <criterion/criterion.h>

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "wire/wire.h"

#define MEBIBYTE ((size_t)1 << 20)

Test(block, every_size)
{
    static const size_t sizes[] = {1,
                                   63,
                                   64,
                                   65,
                                   4096,
                                   256 << 10,
                                   300001,
                                   1 << 20,
                                   (1 << 20) + 1,
                                   8 * (1 << 20),
                                   9 * (1 << 20) + 7,
                                   30 << 20};
    for (size_t repeat = 0; repeat < 3; repeat++) {
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            uint8_t *block = muster__block_new(sizes[i]);
            cr_assert_not_null(block);
            cr_assert_eq((uintptr_t)block % BLOCK_ALIGNMENT, 0);
            memset(block, 1, sizes[i]);
            muster__block_free(block, sizes[i]);
        }
    }
    muster__block_free(NULL, 5);
    muster__block_trim();
    muster__block_trim();
}

Test(block, more_than_there_is)
{
    cr_assert_null(muster__block_new(SIZE_MAX));
#ifndef __SANITIZE_ADDRESS__ /* which ends the process */
    cr_assert_null(muster__block_new(SIZE_MAX / 2));
#endif
}

/* Memory that this process has mapped, in KiB. */
static size_t mapped(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    size_t kilobytes = 0;
    cr_assert_not_null(file);
    while (fgets(line, sizeof(line), file)) {
        if (sscanf(line, "VmSize: %zu", &kilobytes) == 1)
            break;
    }
    fclose(file);
    return kilobytes;
}

/* Of arrays of a hundred sizes, 2.5 GiB in all, no more is kept than is likely to be of use. */
Test(block, not_one_of_each_size_is_kept)
{
    muster__block_trim();
    size_t before = mapped();
    for (size_t i = 0; i < 100; i++) {
        size_t size = (size_t)(1 + i / 2) * MEBIBYTE;
        void *first = muster__block_new(size), *second = muster__block_new(size + 8192);
        muster__block_free(first, size);
        muster__block_free(second, size + 8192);
    }
    size_t after = mapped();
#ifndef __SANITIZE_ADDRESS__ /* which has every block from malloc */
    cr_assert_leq(after, before + 110 * 1024, "%zu KiB became %zu KiB", before, after);
#endif
    muster__block_trim();
    (void)before, (void)after;
}

Test(block, block_is_used_again)
{
    const size_t size = 16 * MEBIBYTE;
    uint8_t *block = muster__block_new(size);
    cr_assert_not_null(block);
    muster__block_free(block, size);
    uint8_t *again = muster__block_new(size);
#ifndef __SANITIZE_ADDRESS__
    cr_assert_eq(again, block);
#endif
    uint8_t *other = muster__block_new(size);
    cr_assert_neq(other, again);
    muster__block_free(again, size);
    muster__block_free(other, size);
    muster__block_trim();
}

static void *take_and_give(void *context)
{
    const size_t seed = *(const size_t *)context;
    for (size_t i = 0; i < 300; i++) {
        size_t size = MEBIBYTE / 2 * (1 + (i * seed) % 7);
        uint8_t *block = muster__block_new(size);
        if (!block)
            return context;
        block[0] = (uint8_t)seed;
        block[size - 1] = (uint8_t)seed;
        if (block[0] != seed || block[size - 1] != seed)
            return context;
        muster__block_free(block, size);
        if (i % 50 == 0)
            muster__block_trim();
    }
    return NULL;
}

Test(block, threads)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    size_t seeds[THREADS] = {1, 2, 3, 5};
    void *failed;
    for (size_t i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, take_and_give, &seeds[i]), 0);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &failed);
        cr_assert_null(failed);
    }
    muster__block_trim();
}
