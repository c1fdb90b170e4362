/*
 * Batcher's merge exchange (Knuth, The Art of Computer Programming 5.2.2, algorithm M): about rows *
 * log(rows)^2 / 4 comparisons. Those on which no row that is asked for depends are left out.
 */
#include <config.h>

#include "learning/strategy/network.h"

#include <stdbool.h>
#include <stdlib.h>

/* The smaller one goes to `low`, the larger one to `high`, if anybody looks at it there. */
struct comparison {
    uint32_t low;
    uint32_t high;
    bool low_wanted;
    bool high_wanted;
};

struct network {
    struct comparison *comparisons;
    size_t count;
};

/* Writes all comparisons, or only counts them. */
static size_t list(size_t rows, struct comparison *comparisons)
{
    size_t count = 0, top = 1;
    while (top * 2 < rows)
        top *= 2;
    for (size_t p = top; p > 0; p /= 2) {
        size_t q = top, r = 0, d = p;
        while (true) {
            for (size_t i = 0; i + d < rows; i++) {
                if ((i & p) != r)
                    continue;
                if (comparisons)
                    comparisons[count] = (struct comparison){(uint32_t)i, (uint32_t)(i + d), true, true};
                count++;
            }
            if (q == p)
                break;
            d = q - p;
            q /= 2;
            r = p;
        }
    }
    return count;
}

/* From the last to the first: what is wanted behind a comparison, and so before it. The rest goes. */
static void prune(struct network *network, bool *wanted)
{
    size_t kept = network->count;
    for (size_t i = network->count; i > 0; i--) {
        struct comparison comparison = network->comparisons[i - 1];
        comparison.low_wanted = wanted[comparison.low];
        comparison.high_wanted = wanted[comparison.high];
        if (!comparison.low_wanted && !comparison.high_wanted)
            continue;
        wanted[comparison.low] = wanted[comparison.high] = true;
        network->comparisons[--kept] = comparison;
    }
    network->count -= kept;
    for (size_t i = 0; i < network->count; i++)
        network->comparisons[i] = network->comparisons[kept + i];
}

struct network *muster__network_new(size_t rows, size_t first, size_t last)
{
    struct network *network = calloc(1, sizeof(*network));
    bool *wanted = calloc(rows, sizeof(*wanted));
    size_t count = rows > 1 ? list(rows, NULL) : 0;
    if (network)
        network->comparisons = malloc((count + 1) * sizeof(*network->comparisons));
    if (!network || !wanted || !network->comparisons) {
        muster__network_free(network);
        free(wanted);
        return NULL;
    }
    network->count = rows > 1 ? list(rows, network->comparisons) : 0;
    for (size_t i = first; i <= last; i++)
        wanted[i] = true;
    prune(network, wanted);
    free(wanted);
    return network;
}

void muster__network_free(struct network *network)
{
    if (!network)
        return;
    free(network->comparisons);
    free(network);
}

/* ---- sorting: the compiler makes vectors of these loops ---- */

#define LOOPS(type)                                                               \
    static inline void low_##type(type *restrict low, const type *restrict high)  \
    {                                                                             \
        for (size_t i = 0; i < NETWORK_COLUMNS; i++)                              \
            low[i] = low[i] < high[i] ? low[i] : high[i];                         \
    }                                                                             \
                                                                                  \
    static inline void high_##type(const type *restrict low, type *restrict high) \
    {                                                                             \
        for (size_t i = 0; i < NETWORK_COLUMNS; i++)                              \
            high[i] = low[i] > high[i] ? low[i] : high[i];                        \
    }                                                                             \
                                                                                  \
    static inline void both_##type(type *restrict low, type *restrict high)       \
    {                                                                             \
        for (size_t i = 0; i < NETWORK_COLUMNS; i++) {                            \
            type a = low[i], b = high[i];                                         \
            low[i] = a < b ? a : b;                                               \
            high[i] = a > b ? a : b;                                              \
        }                                                                         \
    }

#define SORT(name, type, attributes)                                                             \
    attributes static void sort_##name(const struct network *network, type *rows, size_t stride) \
    {                                                                                            \
        for (size_t i = 0; i < network->count; i++) {                                            \
            const struct comparison *comparison = &network->comparisons[i];                      \
            type *low = rows + (size_t)comparison->low * stride;                                 \
            type *high = rows + (size_t)comparison->high * stride;                               \
            if (comparison->low_wanted && comparison->high_wanted)                               \
                both_##type(low, high);                                                          \
            else if (comparison->low_wanted)                                                     \
                low_##type(low, high);                                                           \
            else                                                                                 \
                high_##type(low, high);                                                          \
        }                                                                                        \
    }

LOOPS(float)
LOOPS(double)
SORT(floats, float, )
SORT(doubles, double, )

/* Twice as wide where the processor can do it. What comes out is the same. */
#if defined(__x86_64__)
SORT(wide_floats, float, __attribute__((target("avx2"))))
SORT(wide_doubles, double, __attribute__((target("avx2"))))
#define HAS_WIDE __builtin_cpu_supports("avx2")
#else
#define sort_wide_floats  sort_floats
#define sort_wide_doubles sort_doubles
#define HAS_WIDE          false
#endif

void muster__network_sort_floats(const struct network *network, float *rows, size_t stride)
{
    (HAS_WIDE ? sort_wide_floats : sort_floats)(network, rows, stride);
}

void muster__network_sort_doubles(const struct network *network, double *rows, size_t stride)
{
    (HAS_WIDE ? sort_wide_doubles : sort_doubles)(network, rows, stride);
}
