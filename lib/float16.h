/* The numbers of 16 bits that C has no types for. */
#ifndef MUSTER_FLOAT16_H
#define MUSTER_FLOAT16_H

#include <stdint.h>
#include <string.h>

/* The upper half of a float32's bits, and the bits of a float16, if it is infinite or not a number: at least
 * this. A bfloat16 is the upper half of a float32. */
enum { INFINITY_UPPER = 0x7f80, INFINITY_FLOAT16 = 0x7c00 };

static inline double from_float16(uint16_t bits)
{
    /* As a float32 whose exponent is 112 too small; infinity and NaN get the largest exponent. */
    uint32_t magnitude = (uint32_t)(bits & INT16_MAX) << 13;
    uint32_t special = (bits & INT16_MAX) >= INFINITY_FLOAT16 ? UINT32_C(0x70000000) : 0;
    uint32_t single_bits = (magnitude + special) | (uint32_t)(bits & 0x8000) << 16;
    float single;
    memcpy(&single, &single_bits, sizeof(single));
    return (double)single * 0x1p112;
}

static inline double from_bfloat16(uint16_t bits)
{
    uint32_t single_bits = (uint32_t)bits << 16;
    float single;
    memcpy(&single, &single_bits, sizeof(single));
    return (double)single;
}

#endif
