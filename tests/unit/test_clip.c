/* Clipping: of all arrays together, to at most the clip after rounding, and what is refused. */
#include <config.h>

#include <criterion/criterion.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <muster/privacy.h>
#include <muster/random.h>

#include "float16.h"

/* ---- arrays of every kind ---- */

enum { COUNT = 1000, ARRAYS = 4 };

/* One array of each dtype that can be clipped. */
struct model {
    float singles[COUNT];
    double doubles[COUNT];
    uint16_t halves[COUNT];
    uint16_t brains[COUNT];
    struct muster_array arrays[ARRAYS];
    void *values[ARRAYS];
};

static void lay_out(struct model *model)
{
    static const enum muster_dtype dtypes[ARRAYS] = {MUSTER_FLOAT32, MUSTER_FLOAT64, MUSTER_FLOAT16,
                                                     MUSTER_BFLOAT16};
    void *const values[ARRAYS] = {model->singles, model->doubles, model->halves, model->brains};
    memcpy(model->values, values, sizeof(values));
    for (size_t i = 0; i < ARRAYS; i++)
        model->arrays[i] =
            (struct muster_array){.dtype = dtypes[i], .dimensions = 1, .shape = {COUNT}, .data = values[i]};
}

static double element(const struct model *model, size_t i)
{
    size_t at = i % COUNT;
    switch (i / COUNT) {
    case 0:
        return (double)model->singles[at];
    case 1:
        return model->doubles[at];
    case 2:
        return from_float16(model->halves[at]);
    default:
        return from_bfloat16(model->brains[at]);
    }
}

static double norm_of(const struct model *model)
{
    long double sum = 0;
    for (size_t i = 0; i < (size_t)ARRAYS * COUNT; i++)
        sum += (long double)element(model, i) * (long double)element(model, i);
    return (double)sqrtl(sum);
}

/* Any finite numbers of either sign, `scale` at most where the dtype allows it. */
static struct model *random_model(struct muster_random *random, double scale)
{
    struct model *model = calloc(1, sizeof(*model));
    lay_out(model);
    for (size_t i = 0; i < COUNT; i++) {
        model->singles[i] = (float)(scale * (2 * muster_random_uniform(random) - 1));
        model->doubles[i] = scale * (2 * muster_random_uniform(random) - 1);
        model->halves[i] = (uint16_t)(muster_random_next(random) & 0x83ff); /* below what is normal */
        model->brains[i] = (uint16_t)(muster_random_next(random) & 0xbfff); /* below 2 */
    }
    return model;
}

/* ---- arrays that become smaller ---- */

Test(clip, is_exact_after_rounding)
{
    struct muster_random random;
    muster_random_seed(&random, 1);
    for (double clip = 1e-9; clip < 20; clip *= 1.7) {
        struct model *before = random_model(&random, 1), *after = calloc(1, sizeof(*after));
        double norm, exact = norm_of(before);
        lay_out(after);
        cr_assert_eq(muster_privacy_clip(before->arrays, ARRAYS, clip, after->values, &norm, NULL),
                     MUSTER_OK);
        cr_assert_float_eq(norm / exact, 1, 1e-12);
        cr_assert_leq(norm_of(after), clip, "%.17g", norm_of(after));
        cr_assert_geq(norm_of(after), clip * 0.9, "%.17g is much less than %g", norm_of(after), clip);
        for (size_t i = 0; i < (size_t)ARRAYS * COUNT; i++) {
            double wanted = element(before, i) * (clip / exact);
            cr_assert_leq(fabs(element(after, i)), fabs(wanted));
            cr_assert_leq(fabs(element(after, i) - wanted), fabs(wanted) / 128 + 0x1p-24);
        }
        free(before);
        free(after);
    }
}

/* Of so small numbers many would be rounded up, and the norm grow by half. */
Test(clip, tiny_numbers_do_not_grow)
{
    struct model *model = calloc(1, sizeof(*model));
    double norm;
    lay_out(model);
    for (size_t i = 0; i < COUNT; i++)
        model->halves[i] = 5;
    double clip = norm_of(model) * 0.54; /* 2.7 of the smallest number: nearest would be 3 */
    cr_assert_eq(muster_privacy_clip(model->arrays, ARRAYS, clip, model->values, &norm, NULL), MUSTER_OK);
    for (size_t i = 0; i < COUNT; i++)
        cr_assert_eq(model->halves[i], 2);
    free(model);
}

Test(clip, leaves_what_is_small_enough)
{
    float values[] = {3, -4}, out[] = {7, 7};
    void *const there[] = {out}, *const in_place[] = {values};
    const struct muster_array array = {
        .dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {2}, .data = values};
    double norm;
    cr_assert_eq(muster_privacy_clip(&array, 1, 5, in_place, &norm, NULL), MUSTER_OK);
    cr_assert(norm == 5 && values[0] == 3 && values[1] == -4);
    cr_assert_eq(muster_privacy_clip(&array, 1, 5, there, NULL, NULL), MUSTER_OK);
    cr_assert(out[0] == 3 && out[1] == -4);
    cr_assert_eq(muster_privacy_clip(&array, 1, 1, in_place, &norm, NULL), MUSTER_OK);
    cr_assert(norm == 5);
    cr_assert_float_eq((double)values[0], 0.6, 1e-7);
    cr_assert_float_eq((double)values[1], -0.8, 1e-7);
}

Test(clip, takes_nothing_and_zeros)
{
    float zeros[3] = {0};
    void *values[] = {NULL, zeros};
    const struct muster_array arrays[] = {
        {.dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {0}},
        {.dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {3}, .data = zeros}};
    double norm = 7;
    cr_assert_eq(muster_privacy_clip(arrays, 2, 1, values, &norm, NULL), MUSTER_OK);
    cr_assert_eq(norm, 0);
    cr_assert_eq(muster_privacy_clip(NULL, 0, 1, NULL, &norm, NULL), MUSTER_OK);
}

static void expect_refused(const struct muster_array *array, double clip, const char *word)
{
    struct muster_error error;
    double out[4] = {7, 7, 7, 7}, norm = 7;
    void *const values[] = {out};
    cr_assert_eq(muster_privacy_clip(array, 1, clip, values, &norm, &error), MUSTER_INVALID);
    cr_assert(strstr(error.text, word), "%s", error.text);
    cr_assert(out[0] == 7 && norm == 7);
}

Test(clip, refuses)
{
    static const double bad[] = {0, -1, NAN, INFINITY, 1e-101, 1e101};
    double values[] = {1, 2, 3, 4};
    struct muster_array array = {.dtype = MUSTER_FLOAT64, .dimensions = 1, .shape = {4}, .data = values};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        expect_refused(&array, bad[i], "clip");
    values[2] = NAN;
    expect_refused(&array, 1, "element 2 is NaN");
    values[2] = -INFINITY;
    expect_refused(&array, 1, "element 2 is infinite");
    values[2] = 1e200;
    expect_refused(&array, 1, "overflows");
    array.dtype = MUSTER_INT64;
    expect_refused(&array, 1, "int64");
    array.dtype = MUSTER_BOOL;
    array.shape[0] = 0;
    expect_refused(&array, 1, "bool");
    array.dtype = (enum muster_dtype)77;
    expect_refused(&array, 1, "array 0");
}

/* ---- changes that are added up ---- */

static const struct muster_private_sum how = {.clip = 0.5, .noise = 1, .weight = 1};

static void add(double *sums, const struct model *answer, const struct model *base,
                const struct muster_private_sum *by)
{
    struct muster_error error;
    double norm;
    cr_assert_eq(muster_privacy_add(sums, answer->arrays, base->arrays, ARRAYS, by, &norm, &error), MUSTER_OK,
                 "%s", error.text);
}

/* Without noise: what numpy would do. */
Test(clip, adds_changes)
{
    struct muster_random random;
    muster_random_seed(&random, 2);
    struct model *answer = random_model(&random, 1), *base = random_model(&random, 1);
    double *sums = calloc((size_t)ARRAYS * COUNT, sizeof(*sums)), norm = 0;
    struct muster_private_sum by = {.clip = 0.5, .noise = 0, .weight = 0.25};
    for (size_t i = 0; i < (size_t)ARRAYS * COUNT; i++)
        norm += pow(element(answer, i) - element(base, i), 2);
    norm = sqrt(norm);
    cr_assert_gt(norm, by.clip);
    add(sums, answer, base, &by);
    for (size_t i = 0; i < (size_t)ARRAYS * COUNT; i++)
        cr_assert_float_eq(sums[i], 0.25 * (element(answer, i) - element(base, i)) * 0.5 / norm, 1e-15);
    by.clip = 1e9;
    by.weight = 1;
    memset(sums, 0, (size_t)ARRAYS * COUNT * sizeof(*sums));
    add(sums, answer, base, &by);
    for (size_t i = 0; i < (size_t)ARRAYS * COUNT; i++)
        cr_assert_eq(sums[i], element(answer, i) - element(base, i));
    free(answer);
    free(base);
    free(sums);
}

/* For noise: multiples of one number, towards 0, and the same sums in any order. */
Test(clip, adds_exactly)
{
    enum { ANSWERS = 20, ALL = ARRAYS * COUNT };
    struct muster_random random;
    muster_random_seed(&random, 3);
    struct model *base = random_model(&random, 1), *answers[ANSWERS];
    double *there = calloc(ALL, sizeof(*there)), *back = calloc(ALL, sizeof(*back)), *one;
    for (size_t i = 0; i < ANSWERS; i++)
        answers[i] = random_model(&random, 1);
    for (size_t i = 0; i < ANSWERS; i++) {
        long double squares = 0;
        one = calloc(ALL, sizeof(*one));
        add(one, answers[i], base, &how);
        for (size_t k = 0; k < ALL; k++) {
            double multiples = one[k] * 0x1p25; /* 2^-24 of 0.5 */
            cr_assert_eq(multiples, rint(multiples));
            squares += (long double)one[k] * (long double)one[k];
        }
        cr_assert_leq((double)squares, how.clip * how.clip);
        cr_assert_geq((double)squares, how.clip * how.clip * 0.9999);
        free(one);
        add(there, answers[i], base, &how);
        add(back, answers[ANSWERS - 1 - i], base, &how);
    }
    cr_assert_eq(memcmp(there, back, ALL * sizeof(*there)), 0);
    for (size_t i = 0; i < ANSWERS; i++)
        free(answers[i]);
    free(base);
    free(there);
    free(back);
}

Test(clip, refuses_changes)
{
    float values[] = {1, 2}, same[] = {1, 2};
    double sums[] = {7, 7};
    struct muster_error error;
    struct muster_array answer = {.dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {2}, .data = values};
    struct muster_array base = answer;
    base.data = same;
    static const struct muster_private_sum bad[] = {
        {.clip = 0, .noise = 1, .weight = 1},   {.clip = NAN, .noise = 1, .weight = 1},
        {.clip = 1, .noise = -1, .weight = 1},  {.clip = 1, .noise = 1e-5, .weight = 1},
        {.clip = 1, .noise = 1e7, .weight = 1}, {.clip = 1, .noise = NAN, .weight = 1},
        {.clip = 1, .noise = 1, .weight = 0},   {.clip = 1, .noise = 1, .weight = 1.5},
        {.clip = 1, .noise = 1, .weight = NAN},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(muster_privacy_add(sums, &answer, &base, 1, &bad[i], NULL, &error), MUSTER_INVALID);
    base.shape[0] = 1;
    cr_assert_eq(muster_privacy_add(sums, &answer, &base, 1, &how, NULL, &error), MUSTER_FORMAT);
    base.shape[0] = 2;
    base.dtype = MUSTER_FLOAT16;
    cr_assert_eq(muster_privacy_add(sums, &answer, &base, 1, &how, NULL, &error), MUSTER_FORMAT);
    base.dtype = MUSTER_FLOAT32;
    values[1] = NAN;
    cr_assert_eq(muster_privacy_add(sums, &answer, &base, 1, &how, NULL, &error), MUSTER_INVALID);
    cr_assert(strstr(error.text, "NaN"), "%s", error.text);
    cr_assert(sums[0] == 7 && sums[1] == 7);
}
