/*
 * Random numbers: the published sequences of the generators, and distributions that look right. All seeds are
 * fixed: what passes once passes always.
 */
#include <config.h>

#include <criterion/criterion.h>

#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include <muster/random.h>

enum { DRAWS = 1000000 };

Test(random, is_xoshiro256starstar)
{
    static const uint64_t expected[] = {
        UINT64_C(11520),
        UINT64_C(0),
        UINT64_C(1509978240),
        UINT64_C(1215971899390074240),
        UINT64_C(1216172134540287360),
        UINT64_C(607988272756665600),
        UINT64_C(16172922978634559625),
        UINT64_C(8476171486693032832),
        UINT64_C(10595114339597558777),
        UINT64_C(2904607092377533576),
    };
    struct muster_random random = {{1, 2, 3, 4}};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        cr_assert_eq(muster_random_next(&random), expected[i]);
}

Test(random, is_seeded_by_splitmix64)
{
    struct muster_random random;
    muster_random_seed(&random, 0);
    cr_assert_eq(random.state[0], UINT64_C(0xe220a8397b1dcdaf));
    cr_assert_eq(random.state[1], UINT64_C(0x6e789e6aa1b965f4));
    cr_assert_eq(random.state[2], UINT64_C(0x06c45d188009454f));
    cr_assert_eq(random.state[3], UINT64_C(0xf88bb8a8724c81ec));
    muster_random_seed(&random, 1234567);
    cr_assert_eq(random.state[0], UINT64_C(6457827717110365317));
    cr_assert_eq(random.state[1], UINT64_C(3203168211198807973));
}

Test(random, seeds_tell_streams_apart)
{
    struct muster_random a;
    struct muster_random b;
    struct muster_random c;
    muster_random_seed(&a, 41);
    muster_random_seed(&b, 41);
    muster_random_seed(&c, 42);
    unsigned same_bits = 0;
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t next = muster_random_next(&a);
        cr_assert_eq(next, muster_random_next(&b));
        for (uint64_t same = ~(next ^ muster_random_next(&c)); same != 0; same &= same - 1)
            same_bits++;
    }
    /* 64,000 bits, of which half should be the same; the deviation is 126. */
    cr_assert_gt(same_bits, 31300);
    cr_assert_lt(same_bits, 32700);
}

Test(random, uniform)
{
    struct muster_random random;
    muster_random_seed(&random, 2);
    double sum = 0;
    double squares = 0;
    unsigned tenths[10] = {0};
    for (unsigned i = 0; i < DRAWS; i++) {
        double value = muster_random_uniform(&random);
        cr_assert_geq(value, 0);
        cr_assert_lt(value, 1);
        sum += value;
        squares += value * value;
        tenths[(size_t)(value * 10)]++;
    }
    cr_assert_float_eq(sum / DRAWS, 0.5, 0.0015);
    cr_assert_float_eq(squares / DRAWS, 1.0 / 3, 0.0015);
    for (size_t i = 0; i < 10; i++)
        cr_assert_float_eq(tenths[i], DRAWS / 10.0, 1500);
}

Test(random, uniform_has_53_bits_and_never_is_1)
{
    /* State word 1 alone decides the next number: rotate(word * 5, 7) * 9. This one makes all 64 bits
       ones. */
    const uint64_t ninth = UINT64_C(0x8e38e38e38e38e39);
    const uint64_t fifth = UINT64_C(0xcccccccccccccccd);
    uint64_t rotated = UINT64_MAX * ninth;
    struct muster_random random = {{1, (rotated >> 7 | rotated << 57) * fifth, 3, 4}};
    struct muster_random copy = random;
    cr_assert_eq(muster_random_next(&copy), UINT64_MAX);
    cr_assert_eq(muster_random_uniform(&random), 1 - 0x1p-53);
}

Test(random, normal)
{
    struct muster_random random;
    muster_random_seed(&random, 3);
    double moments[5] = {0};
    unsigned below[7] = {0}; /* -3, -2, ... 3 */
    for (unsigned i = 0; i < DRAWS; i++) {
        double value = muster_random_normal(&random);
        double power = 1;
        for (size_t k = 0; k < 5; k++) {
            moments[k] += power / DRAWS;
            power *= value;
        }
        for (int k = -3; k <= 3; k++)
            below[k + 3] += value < k;
    }
    cr_assert_float_eq(moments[1], 0, 0.005);
    cr_assert_float_eq(moments[2], 1, 0.008);
    cr_assert_float_eq(moments[3], 0, 0.02);
    cr_assert_float_eq(moments[4], 3, 0.05);
    for (int k = -3; k <= 3; k++)
        cr_assert_float_eq((double)below[k + 3] / DRAWS, erfc(-k / sqrt(2)) / 2, 0.0025);
}

Test(random, normal_keeps_nothing_outside_the_state)
{
    struct muster_random random;
    muster_random_seed(&random, 4);
    muster_random_normal(&random);
    struct muster_random copy = random;
    double first = muster_random_normal(&random);
    cr_assert_eq(first, muster_random_normal(&copy));
    cr_assert_eq(memcmp(&random, &copy, sizeof(random)), 0);
}

/* The first numbers of a seed are part of what is promised: a change of them changes everybody's curves. */
Test(random, the_same_seed_gives_the_same_numbers_for_ever)
{
    struct muster_random random;
    muster_random_seed(&random, 1);
    cr_assert_eq(muster_random_next(&random), UINT64_C(12966619160104079557));
    cr_assert_eq(muster_random_uniform(&random), 0x1.0a76ab2c8e6c9p-1);
    cr_assert_eq(muster_random_normal(&random), -0x1.c03d94373e553p-2);
    cr_assert_eq(muster_random_normal(&random), -0x1.0275a83c9e52fp+1);
    size_t chosen[4];
    cr_assert_eq(muster_sample(&random, 30, 4, chosen, NULL), MUSTER_OK);
    static const size_t expected[4] = {14, 23, 25, 27};
    cr_assert_eq(memcmp(chosen, expected, sizeof(chosen)), 0);
}

static void expect_ascending(const size_t *chosen, size_t count, size_t population)
{
    for (size_t i = 0; i < count; i++) {
        cr_assert_lt(chosen[i], population);
        if (i > 0)
            cr_assert_lt(chosen[i - 1], chosen[i]);
    }
}

Test(sample, every_size)
{
    struct muster_random random;
    muster_random_seed(&random, 5);
    for (size_t population = 0; population < 20; population++) {
        for (size_t count = 0; count <= population; count++) {
            size_t chosen[21];
            chosen[count] = 777;
            cr_assert_eq(muster_sample(&random, population, count, chosen, NULL), MUSTER_OK);
            expect_ascending(chosen, count, population);
            cr_assert_eq(chosen[count], 777, "written too far");
        }
    }
    cr_assert_eq(muster_sample(&random, 0, 0, NULL, NULL), MUSTER_OK);
    cr_assert_eq(muster_sample(&random, SIZE_MAX, 0, NULL, NULL), MUSTER_OK);
}

Test(sample, refuses_more_than_there_are)
{
    struct muster_random random;
    muster_random_seed(&random, 6);
    struct muster_random before = random;
    size_t chosen[2] = {777, 777};
    cr_assert_eq(muster_sample(&random, 1, 2, chosen, NULL), MUSTER_INVALID);
    cr_assert_eq(muster_sample(&random, 0, 1, chosen, NULL), MUSTER_INVALID);
    cr_assert_eq(chosen[0], 777);
    cr_assert_eq(memcmp(&random, &before, sizeof(random)), 0);
}

Test(sample, each_set_is_as_likely)
{
    enum { POPULATION = 6, SETS = 20, SAMPLES = 200000 };
    struct muster_random random;
    muster_random_seed(&random, 7);
    unsigned counts[1 << POPULATION] = {0};
    for (unsigned i = 0; i < SAMPLES; i++) {
        size_t chosen[3];
        cr_assert_eq(muster_sample(&random, POPULATION, 3, chosen, NULL), MUSTER_OK);
        counts[1U << chosen[0] | 1U << chosen[1] | 1U << chosen[2]]++;
    }
    unsigned sets = 0;
    double chi_square = 0;
    for (unsigned i = 0; i < 1U << POPULATION; i++) {
        if (counts[i] == 0)
            continue;
        sets++;
        double difference = counts[i] - (double)SAMPLES / SETS;
        chi_square += difference * difference / ((double)SAMPLES / SETS);
    }
    cr_assert_eq(sets, (unsigned)SETS);
    /* 19 degrees of freedom: exceeded by one seed in a thousand. */
    cr_assert_lt(chi_square, 43.8);
}
