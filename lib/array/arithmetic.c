/*
 * Arithmetic on the elements of arrays: a set of functions for each dtype.
 *
 * The loops over elements are called with BLOCK wherever that many are left: gcc -O2 vectorises a loop only
 * when it knows that whole vectors fill it. What remains goes through the same loop one by one.
 */
#include <config.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "array/arithmetic.h"
#include "float16.h"
#include "status.h"
#include "wire/wire.h"

enum { BLOCK = 256 };

struct element {
    double (*largest)(const void *values, size_t count);
    void (*add)(double *sums, const void *values, size_t count, double weight);
    void (*divide)(void *values, const double *sums, size_t count, double weight);
    void (*write)(void *values, const double *numbers, size_t count);
    double (*squares)(const void *a, const void *b, size_t count);
    void (*add_change)(void *sums, const void *values, const void *base, size_t count, double weight);
};

/* ---- float16 and bfloat16 ---- */

/* Rounds to the nearest number with so many bits of fraction and an exponent of this bias, halfway to even.
 * Going by way of float32 would round twice. */
static inline uint16_t narrow(double value, int fraction, int bias)
{
    uint16_t sign = signbit(value) ? 0x8000 : 0;
    double magnitude = fabs(value);
    uint64_t bits, infinity = (uint64_t)(2 * bias + 1) << fraction;
    if (isnan(value))
        return (uint16_t)(sign | infinity | UINT64_C(1) << (fraction - 1));
    if (magnitude < ldexp(1, 1 - bias)) /* subnormal: a multiple of the smallest one */
        return (uint16_t)(sign | (uint16_t)rint(ldexp(magnitude, bias - 1 + fraction)));
    memcpy(&bits, &magnitude, sizeof(bits));
    int dropped = 52 - fraction;
    bits += (UINT64_C(1) << (dropped - 1)) - 1 + (bits >> dropped & 1);
    uint64_t narrowed = (bits >> dropped) - ((uint64_t)(1023 - bias) << fraction);
    return (uint16_t)(sign | (uint16_t)(narrowed < infinity ? narrowed : infinity));
}

#define TO_FLOAT16(value)  narrow(value, 10, 15)
#define TO_BFLOAT16(value) narrow(value, 7, 127)

/* ---- integers ---- */

/* Rounds as rint() does, within the dtype. Even a mean may be just beyond it, where the sums of an int64
   were not exact. */
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
static double from_upper_float32(uint32_t upper)
{
    uint32_t bits = upper << 16 | UINT16_MAX;
    float magnitude;
    memcpy(&magnitude, &bits, sizeof(magnitude));
    return upper >= INFINITY_UPPER ? (double)INFINITY : (double)magnitude;
}

static double from_upper_float64(uint64_t upper)
{
    uint64_t bits = upper << 32 | UINT32_MAX;
    double magnitude;
    memcpy(&magnitude, &bits, sizeof(magnitude));
    return magnitude;
}

/* Looks at the bits from `shift` on without their sign, which fit into a `part`. */
#define LARGEST_FLOAT(name, type, bits_type, part, part_max, shift, FROM)                     \
    static inline part largest_of_some_##name(const type *values, size_t count, part largest) \
    {                                                                                         \
        for (size_t i = 0; i < count; i++) {                                                  \
            bits_type bits;                                                                   \
            memcpy(&bits, &values[i], sizeof(bits));                                          \
            part upper = (part)(bits >> (shift) & (part_max));                                \
            if (upper > largest) /* clang vectorises no ?: of 16 bits */                      \
                largest = upper;                                                              \
        }                                                                                     \
        return largest;                                                                       \
    }                                                                                         \
                                                                                              \
    static double largest_##name(const void *array, size_t count)                             \
    {                                                                                         \
        const type *values = array;                                                           \
        part largest = 0;                                                                     \
        for (; count >= BLOCK; count -= BLOCK, values += BLOCK)                               \
            largest = largest_of_some_##name(values, BLOCK, largest);                         \
        return FROM((bits_type)largest_of_some_##name(values, count, largest));               \
    }

LARGEST_FLOAT(float32, float, uint32_t, int16_t, INT16_MAX, 16, from_upper_float32)
LARGEST_FLOAT(float64, double, uint64_t, int32_t, INT32_MAX, 32, from_upper_float64)
LARGEST_FLOAT(float16, uint16_t, uint16_t, int16_t, INT16_MAX, 0, from_float16)
LARGEST_FLOAT(bfloat16, uint16_t, uint16_t, int16_t, INT16_MAX, 0, from_bfloat16)

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
LARGEST_INTEGER(boolean, uint8_t)

/* ---- sums, means and distances ---- */

static double total(const double *sums)
{
    double result = 0;
    for (size_t i = 0; i < BLOCK; i++)
        result += sums[i];
    return result;
}

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
    static inline void write_some_##name(type *restrict values, const double *restrict numbers,             \
                                         size_t count)                                                      \
    {                                                                                                       \
        for (size_t i = 0; i < count; i++)                                                                  \
            values[i] = (type)TO(numbers[i]);                                                               \
    }                                                                                                       \
                                                                                                            \
    static void write_##name(void *array, const double *numbers, size_t count)                              \
    {                                                                                                       \
        type *values = array;                                                                               \
        size_t whole = count - count % BLOCK;                                                               \
        for (size_t i = 0; i < whole; i += BLOCK)                                                           \
            write_some_##name(values + i, numbers + i, BLOCK);                                              \
        write_some_##name(values + whole, numbers + whole, count - whole);                                  \
    }                                                                                                       \
                                                                                                            \
    static inline void square_some_##name(double *restrict sums, const type *restrict a,                    \
                                          const type *restrict b, size_t count)                             \
    {                                                                                                       \
        for (size_t i = 0; i < count; i++) {                                                                \
            double difference = FROM(a[i]) - FROM(b[i]);                                                    \
            sums[i] += difference * difference;                                                             \
        }                                                                                                   \
    }                                                                                                       \
                                                                                                            \
    static double squares_##name(const void *first, const void *second, size_t count)                       \
    {                                                                                                       \
        const type *a = first, *b = second;                                                                 \
        size_t whole = count - count % BLOCK;                                                               \
        double sums[BLOCK] = {0}; /* one sum would have to wait for each addition */                        \
        for (size_t i = 0; i < whole; i += BLOCK)                                                           \
            square_some_##name(sums, a + i, b + i, BLOCK);                                                  \
        square_some_##name(sums, a + whole, b + whole, count - whole);                                      \
        return total(sums);                                                                                 \
    }

#define TO_INT32(value)   to_integer(value, INT32_MIN, INT32_MAX)
#define TO_INT64(value)   to_integer(value, INT64_MIN, INT64_MAX)
#define TO_INT8(value)    to_integer(value, INT8_MIN, INT8_MAX)
#define TO_UINT8(value)   to_integer(value, 0, UINT8_MAX)
#define TO_BOOLEAN(value) to_integer(value, 0, 1)

ELEMENTS(float32, float, (double), )
ELEMENTS(float64, double, , )
ELEMENTS(float16, uint16_t, from_float16, TO_FLOAT16)
ELEMENTS(bfloat16, uint16_t, from_bfloat16, TO_BFLOAT16)
ELEMENTS(int32, int32_t, (double), TO_INT32)
ELEMENTS(int64, int64_t, (double), TO_INT64)
ELEMENTS(int8, int8_t, (double), TO_INT8)
ELEMENTS(uint8, uint8_t, (double), TO_UINT8)
ELEMENTS(boolean, uint8_t, (double), TO_BOOLEAN)

/* Changes are small beside the values: sums of the values' own precision do. */
#define CHANGES(name, type, sum, FROM)                                                                     \
    static inline void add_some_changes_##name(sum *restrict sums, const type *restrict values,            \
                                               const type *restrict base, size_t count, sum weight)        \
    {                                                                                                      \
        for (size_t i = 0; i < count; i++)                                                                 \
            sums[i] += weight * (sum)(FROM(values[i]) - FROM(base[i]));                                    \
    }                                                                                                      \
                                                                                                           \
    static void add_change_##name(void *all_sums, const void *array, const void *base_array, size_t count, \
                                  double weight)                                                           \
    {                                                                                                      \
        sum *sums = all_sums;                                                                              \
        const type *values = array, *base = base_array;                                                    \
        size_t whole = count - count % BLOCK;                                                              \
        for (size_t i = 0; i < whole; i += BLOCK)                                                          \
            add_some_changes_##name(sums + i, values + i, base + i, BLOCK, (sum)weight);                   \
        add_some_changes_##name(sums + whole, values + whole, base + whole, count - whole, (sum)weight);   \
    }

CHANGES(float32, float, float, )
CHANGES(float64, double, double, )
CHANGES(float16, uint16_t, float, from_float16)
CHANGES(bfloat16, uint16_t, float, from_bfloat16)

#define FUNCTIONS(name, add_change)                                                         \
    {                                                                                       \
        largest_##name, add_##name, divide_##name, write_##name, squares_##name, add_change \
    }
#define FLOATS(name)   FUNCTIONS(name, add_change_##name)
#define INTEGERS(name) FUNCTIONS(name, NULL)

static const struct element elements[] = {
    [MUSTER_FLOAT32] = FLOATS(float32), [MUSTER_FLOAT64] = FLOATS(float64),
    [MUSTER_INT32] = INTEGERS(int32),   [MUSTER_INT64] = INTEGERS(int64),
    [MUSTER_FLOAT16] = FLOATS(float16), [MUSTER_BFLOAT16] = FLOATS(bfloat16),
    [MUSTER_UINT8] = INTEGERS(uint8),   [MUSTER_INT8] = INTEGERS(int8),
    [MUSTER_BOOL] = INTEGERS(boolean), /* of a mean, the nearer is the majority's */
};

/* ---- whole arrays ---- */

/* Tells the first element that is NaN or infinite, of which there is one. */
static enum muster_status not_finite(const struct muster_array *array, size_t number,
                                     struct muster_error *error)
{
    char text[ARRAY_TEXT_SIZE];
    const char *at = array->data;
    size_t i = 0;
    double value = 0;
    while (elements[array->dtype].add(&value, at, 1, 1), isfinite(value)) {
        value = 0;
        at += muster_dtype_size(array->dtype);
        i++;
    }
    return muster__error(error, MUSTER_INVALID, "array %zu, %.100s: element %zu is %s", number,
                         muster__array_text(array, text), i, isnan(value) ? "NaN" : "infinite");
}

enum muster_status muster__array_check(const struct muster_array *array, size_t number, double *largest,
                                       struct muster_error *error)
{
    *largest = elements[array->dtype].largest(array->data, muster_array_count(array));
    return isfinite(*largest) ? MUSTER_OK : not_finite(array, number, error);
}

void muster__array_add(double *sums, const struct muster_array *array, double weight)
{
    size_t count = muster_array_count(array);
    if (count > 0) /* data may be NULL otherwise */
        elements[array->dtype].add(sums, array->data, count, weight);
}

void muster__array_add_change(void *sums, const struct muster_array *array, const struct muster_array *base,
                              double weight)
{
    size_t count = muster_array_count(array);
    if (count > 0)
        elements[array->dtype].add_change(sums, array->data, base->data, count, weight);
}

void muster__array_divide(void *values, enum muster_dtype dtype, const double *sums, size_t count,
                          double divisor)
{
    elements[dtype].divide(values, sums, count, divisor);
}

void muster__array_write(void *values, enum muster_dtype dtype, const double *numbers, size_t count)
{
    elements[dtype].write(values, numbers, count);
}

double muster__array_squared_distance(const struct muster_array *a, const struct muster_array *b)
{
    size_t count = muster_array_count(a);
    return count > 0 ? elements[a->dtype].squares(a->data, b->data, count) : 0;
}
