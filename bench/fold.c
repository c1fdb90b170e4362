/* How fast answers are folded, beside how fast the machine's memory is: muster_mean_add() on float32, and a
   plain vector add c = a + b of float32, by turns, over arrays that no cache holds. */
#include <config.h>

#include <stdlib.h>

#include <muster/mean.h>

#include "role.h"

/* gcc -O2 makes vectors of a loop only when it knows that whole ones fill it. */
enum { BLOCK = 256 };

static void add_block(float *restrict sums, const float *restrict a, const float *restrict b)
{
    for (size_t i = 0; i < BLOCK; i++)
        sums[i] = a[i] + b[i];
}

static uint64_t time_add(float *sums, const float *a, const float *b, size_t count)
{
    uint64_t start = role_now();
    for (size_t i = 0; i + BLOCK <= count; i += BLOCK)
        add_block(sums + i, a + i, b + i);
    return role_now() - start;
}

static uint64_t time_fold(struct muster_mean *mean, const struct muster_array *array)
{
    uint64_t start = role_now();
    enum muster_status status = muster_mean_add(mean, array, 1, 1, NULL);
    uint64_t time = role_now() - start;
    if (status != MUSTER_OK)
        role_fail("muster_mean_add: %s", muster_status_text(status));
    return time;
}

void fold_measure(size_t bytes, size_t pairs, uint64_t *times)
{
    float *a = role_numbers(bytes);
    float *b = role_numbers(bytes);
    float *sums = role_numbers(bytes);
    struct muster_mean *mean = muster_mean_new();
    struct muster_array array = {MUSTER_FLOAT32, 1, {bytes / sizeof(*a)}, a};
    if (!mean)
        role_fail("out of memory");
    (void)time_fold(mean, &array); /* allocates its sums */
    for (size_t i = 0; i < pairs; i++) {
        times[2 * i] = time_fold(mean, &array);
        times[2 * i + 1] = time_add(sums, a, b, bytes / sizeof(*a));
    }
    if (sums[0] != a[0] + b[0]) { /* somebody looks: the work is not in vain */
        role_fail("a wrong sum");
    }
    muster_mean_free(mean);
    free(a);
    free(b);
    free(sums);
}
