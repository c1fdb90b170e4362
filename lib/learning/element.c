/*
 * Arithmetic on the elements of arrays, for each dtype. Sums are doubles.
 *
 * The loops over elements are called with BLOCK wherever that many are left: gcc -O2 vectorises a loop only
 * when it knows that whole vectors fill it. What remains goes through the same loop one by one.
 */
#include <config.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "float16.h"
#include "learning/element.h"

enum { BLOCK = 256 };

/* ---- float16 and bfloat16 ---- */

/* Rounds to the nearest number with so many bits of fraction and an exponent of this bias, halfway to even.
 * Going by way of float32 would round twice. A mean is not beyond its members, so no number is too big. */
static inline uint16_t narrow(double value, int fraction, int bias)
{
    uint16_t sign = signbit(value) ? 0x8000 : 0;
    double magnitude = fabs(value);
    uint64_t bits;
    if (magnitude < ldexp(1, 1 - bias)) /* subnormal: a multiple of the smallest one */
        return (uint16_t)(sign | (uint16_t)rint(ldexp(magnitude, bias - 1 + fraction)));
    memcpy(&bits, &magnitude, sizeof(bits));
    int dropped = 52 - fraction;
    bits += (UINT64_C(1) << (dropped - 1)) - 1 + (bits >> dropped & 1);
    return (uint16_t)(sign | (uint16_t)((bits >> dropped) - ((uint64_t)(1023 - bias) << fraction)));
}

static inline uint16_t to_float16(double value)
{
    return narrow(value, 10, 15);
}

static inline uint16_t to_bfloat16(double value)
{
    return narrow(value, 7, 127);
}

/* ---- integers ---- */

/* Rounds as rint() does. Where the sums of an int64 were not exact, a mean may be just beyond the largest. */
static inline int64_t to_integer(double value, int64_t least, int64_t most)
{
    double rounded = rint(value);
    if (rounded >= (double)most)
        return most;
    return rounded <= (double)least ? least : (int64_t)rounded;
}

/* ---- the largest ---- */

/*
 * Numbers without their sign are ordered as the integers that their bits make, infinity and NaN last. Maxima
 * of integers are vectorised without -ffast-math and lose no NaN. The upper half of the bits does: it stands
 * for the largest number that begins with it, and of smaller integers more fit into a vector.
 */
static inline int16_t largest_bits32(const float *values, size_t count, int16_t largest)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof(bits));
        int16_t upper = (int16_t)(bits >> 16 & INT16_MAX);
        if (upper > largest) /* clang vectorises no ?: of 16 bits */
            largest = upper;
    }
    return largest;
}

static inline int32_t largest_bits64(const double *values, size_t count, int32_t largest)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t bits;
        memcpy(&bits, &values[i], sizeof(bits));
        int32_t upper = (int32_t)((uint32_t)(bits >> 32) & INT32_MAX);
        largest = upper > largest ? upper : largest;
    }
    return largest;
}

static double largest_float32(const void *array, size_t count)
{
    const float *values = array;
    int16_t largest = 0;
    for (; count >= BLOCK; count -= BLOCK, values += BLOCK)
        largest = largest_bits32(values, BLOCK, largest);
    largest = largest_bits32(values, count, largest);
    if (largest >= INFINITY_UPPER)
        return (double)INFINITY;
    uint32_t bits = (uint32_t)largest << 16 | UINT16_MAX;
    float magnitude;
    memcpy(&magnitude, &bits, sizeof(magnitude));
    return (double)magnitude;
}

static double largest_float64(const void *array, size_t count)
{
    const double *values = array;
    int32_t largest = 0;
    for (; count >= BLOCK; count -= BLOCK, values += BLOCK)
        largest = largest_bits64(values, BLOCK, largest);
    largest = largest_bits64(values, count, largest);
    uint64_t bits = (uint64_t)(uint32_t)largest << 32 | UINT32_MAX;
    double magnitude;
    memcpy(&magnitude, &bits, sizeof(magnitude));
    return magnitude;
}

static inline uint16_t largest_bits16(const uint16_t *values, size_t count)
{
    uint16_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        uint16_t bits = values[i] & INT16_MAX;
        largest = bits > largest ? bits : largest;
    }
    return largest;
}

static double largest_float16(const void *values, size_t count)
{
    return from_float16(largest_bits16(values, count));
}

static double largest_bfloat16(const void *values, size_t count)
{
    return from_bfloat16(largest_bits16(values, count));
}

#define LARGEST_INTEGER(name, type)                               \
    static double largest_##name(const void *array, size_t count) \
    {                                                             \
        const type *values = array;                               \
        type least = 0, most = 0;                                 \
        for (size_t i = 0; i < count; i++) {                      \
            least = values[i] < least ? values[i] : least;        \
            most = values[i] > most ? values[i] : most;           \
        }                                                         \
        return fmax(-(double)least, (double)most);                \
    }

LARGEST_INTEGER(int32, int32_t)
LARGEST_INTEGER(int64, int64_t)
LARGEST_INTEGER(int8, int8_t)
LARGEST_INTEGER(uint8, uint8_t)

/* ---- sums and means ---- */

/* FROM makes a double of an element, and TO an element of a double. */
#define ELEMENTS(name, type, FROM, TO)                                                                      \
    static inline void add_some_##name(double *restrict sums, const type *restrict values, size_t count,    \
                                       double weight)                                                       \
    {                                                                                                       \
        for (size_t i = 0; i < count; i++)                                                                  \
            sums[i] += weight * FROM(values[i]);                                                            \
    }                                                                                                       \
                                                                                                            \
    static void add_##name(double *sums, const void *array, size_t count, double weight)                    \
    {                                                                                                       \
        const type *values = array;                                                                         \
        size_t whole = count - count % BLOCK;                                                               \
        for (size_t i = 0; i < whole; i += BLOCK)                                                           \
            add_some_##name(sums + i, values + i, BLOCK, weight);                                           \
        add_some_##name(sums + whole, values + whole, count - whole, weight);                               \
    }                                                                                                       \
                                                                                                            \
    static inline void divide_some_##name(type *restrict values, const double *restrict sums, size_t count, \
                                          double weight)                                                    \
    {                                                                                                       \
        for (size_t i = 0; i < count; i++)                                                                  \
            values[i] = (type)TO(sums[i] / weight);                                                         \
    }                                                                                                       \
                                                                                                            \
    static void divide_##name(void *array, const double *sums, size_t count, double weight)                 \
    {                                                                                                       \
        type *values = array;                                                                               \
        size_t whole = count - count % BLOCK;                                                               \
        for (size_t i = 0; i < whole; i += BLOCK)                                                           \
            divide_some_##name(values + i, sums + i, BLOCK, weight);                                        \
        divide_some_##name(values + whole, sums + whole, count - whole, weight);                            \
    }                                                                                                       \
                                                                                                            \
    static double get_##name(const void *array, size_t i)                                                   \
    {                                                                                                       \
        return FROM(((const type *)array)[i]);                                                              \
    }

#define TO_INT32(value) to_integer(value, INT32_MIN, INT32_MAX)
#define TO_INT64(value) to_integer(value, INT64_MIN, INT64_MAX)
#define TO_INT8(value)  to_integer(value, INT8_MIN, INT8_MAX)
#define TO_UINT8(value) to_integer(value, 0, UINT8_MAX)

ELEMENTS(float32, float, (double), )
ELEMENTS(float64, double, , )
ELEMENTS(float16, uint16_t, from_float16, to_float16)
ELEMENTS(bfloat16, uint16_t, from_bfloat16, to_bfloat16)
ELEMENTS(int32, int32_t, (double), TO_INT32)
ELEMENTS(int64, int64_t, (double), TO_INT64)
ELEMENTS(int8, int8_t, (double), TO_INT8)
ELEMENTS(uint8, uint8_t, (double), TO_UINT8)

#define FUNCTIONS(name)                                       \
    {                                                         \
        largest_##name, add_##name, divide_##name, get_##name \
    }

static const struct element elements[] = {
    [MUSTER_FLOAT32] = FUNCTIONS(float32), [MUSTER_FLOAT64] = FUNCTIONS(float64),
    [MUSTER_INT32] = FUNCTIONS(int32),     [MUSTER_INT64] = FUNCTIONS(int64),
    [MUSTER_FLOAT16] = FUNCTIONS(float16), [MUSTER_BFLOAT16] = FUNCTIONS(bfloat16),
    [MUSTER_UINT8] = FUNCTIONS(uint8),     [MUSTER_INT8] = FUNCTIONS(int8),
    [MUSTER_BOOL] = FUNCTIONS(uint8), /* 0 and 1: the nearer to their mean is the majority's */
};

const struct element *muster__element(enum muster_dtype dtype)
{
    return &elements[dtype];
}
