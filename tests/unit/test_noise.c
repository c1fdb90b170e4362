/*
 * The noise of privacy: that its distribution is the normal one, and that nobody draws it twice. Its bits are
 * the system's, so no seed can be fixed: each bound is so wide that a right generator breaks it once in more
 * than 10^9 runs.
 */
#include <config.h>

#include <criterion/criterion.h>

#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/evp.h>

#include <muster/privacy.h>

enum { DRAWS = 1000000, FEW = 1000 };

static const struct muster_private_sum standard = {.clip = 0.5, .noise = 2, .weight = 1};

static double *draw(size_t count)
{
    struct muster_error error;
    double *sums = calloc(count, sizeof(*sums));
    cr_assert_eq(muster_privacy_noise(sums, count, &standard, &error), MUSTER_OK, "%s", error.text);
    return sums;
}

/* ---- the distribution ---- */

/* A mean of DRAWS numbers of this variance around the expected one: 7 deviations, once in 4 * 10^11. */
static void expect_mean(const char *what, double sum, double expected, double variance)
{
    double deviations = (sum / DRAWS - expected) / sqrt(variance / DRAWS);
    cr_assert_lt(fabs(deviations), 7, "the mean of %s is %g: off by %g deviations", what, sum / DRAWS,
                 deviations);
}

Test(noise, has_the_moments)
{
    double *x = draw(DRAWS), sums[6] = {0}, beyond = 0, odd = 0;
    double tail = erfc(3.6541528853610088 / sqrt(2)); /* where the generator goes another way */
    for (size_t i = 0; i < DRAWS; i++) {
        for (int power = 1; power <= 4; power++)
            sums[power] += pow(x[i], power);
        sums[5] += x[i] * x[(i + 1) % DRAWS];
        beyond += fabs(x[i]) > 3.6541528853610088;
        odd += fmod(x[i] * 0x1p24, 2) != 0;
    }
    expect_mean("x", sums[1], 0, 1);
    expect_mean("x^2", sums[2], 1, 2);
    expect_mean("x^3", sums[3], 0, 15);
    expect_mean("x^4", sums[4], 3, 96);
    expect_mean("x times the next", sums[5], 0, 1);
    expect_mean("odd multiples", odd, 0.5, 0.25);
    /* This one is not so near to the normal distribution: by Chernoff, twice as often needs less than e^-99. */
    cr_assert(beyond > DRAWS * tail / 2 && beyond < DRAWS * tail * 2, "%g are in the tail", beyond);
    free(x);
}

static int compare(const void *a, const void *b)
{
    double first = *(const double *)a, second = *(const double *)b;
    return (first > second) - (first < second);
}

/* P(distance > d) <= 2 exp(-2 n d^2) (Massart 1990): once in 10^12 for this one. */
Test(noise, is_normal)
{
    double *x = draw(DRAWS), distance = 0, bound = sqrt(log(2e12) / 2 / DRAWS);
    qsort(x, DRAWS, sizeof(*x), compare);
    for (size_t i = 0; i < DRAWS; i++) {
        double share = erfc(-x[i] / sqrt(2)) / 2;
        distance = fmax(distance, fmax(share - (double)i / DRAWS, (double)(i + 1) / DRAWS - share));
    }
    cr_assert_lt(distance, bound, "Kolmogorov's distance is %g", distance);
    free(x);
}

Test(noise, is_added_to_the_sums)
{
    enum { COUNT = 1000 };
    struct muster_private_sum how = {.clip = 10, .noise = 3, .weight = 1};
    double sums[COUNT], square = 0;
    for (size_t i = 0; i < COUNT; i++)
        sums[i] = 1e6;
    cr_assert_eq(muster_privacy_noise(sums, COUNT, &how, NULL), MUSTER_OK);
    for (size_t i = 0; i < COUNT; i++)
        square += pow(sums[i] - 1e6, 2) / COUNT;
    cr_assert_float_eq(square, 900, 7 * 900 * sqrt(2. / COUNT), "%g", square); /* of both sides of the bell */
}

/* Sums that are multiples stay multiples, so that the last bits say nothing. */
Test(noise, lies_on_multiples)
{
    double *x = draw(FEW);
    for (size_t i = 0; i < FEW; i++)
        cr_assert_eq(x[i] * 0x1p24, rint(x[i] * 0x1p24));
    free(x);
}

Test(noise, none_changes_nothing)
{
    struct muster_private_sum how = {.clip = 1, .noise = 0, .weight = 1};
    double sums[] = {0.1, -0.2};
    cr_assert_eq(muster_privacy_noise(sums, 2, &how, NULL), MUSTER_OK);
    cr_assert(sums[0] == 0.1 && sums[1] == -0.2);
}

Test(noise, refuses)
{
    static const struct muster_private_sum bad[] = {
        {.clip = 1, .noise = -1},       {.clip = 1, .noise = NAN}, {.clip = 1, .noise = INFINITY},
        {.clip = 1, .noise = 1e-5},     {.clip = 0, .noise = 1},   {.clip = NAN, .noise = 1},
        {.clip = INFINITY, .noise = 1},
    };
    double sum = 7;
    struct muster_error error;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(muster_privacy_noise(&sum, 1, &bad[i], &error), MUSTER_INVALID);
    cr_assert_eq(sum, 7);
}

/* ---- none ---- */

static _Thread_local bool system_fails;
static _Thread_local size_t blocks_left = SIZE_MAX; /* that libcrypto gives */

/* The linker puts these in the place of the system's and libcrypto's. */
ssize_t __wrap_getrandom(void *bytes, size_t size, unsigned flags);
ssize_t __real_getrandom(void *bytes, size_t size, unsigned flags);
int __wrap_EVP_EncryptUpdate(EVP_CIPHER_CTX *context, unsigned char *out, int *out_size,
                             const unsigned char *in, int size);
int __real_EVP_EncryptUpdate(EVP_CIPHER_CTX *context, unsigned char *out, int *out_size,
                             const unsigned char *in, int size);

ssize_t __wrap_getrandom(void *bytes, size_t size, unsigned flags)
{
    return system_fails ? -1 : __real_getrandom(bytes, size, flags);
}

int __wrap_EVP_EncryptUpdate(EVP_CIPHER_CTX *context, unsigned char *out, int *out_size,
                             const unsigned char *in, int size)
{
    if (blocks_left == 0)
        return 0;
    blocks_left--;
    return __real_EVP_EncryptUpdate(context, out, out_size, in, size);
}

static void expect_no_noise(const char *word)
{
    struct muster_error error;
    double *sums = calloc(FEW * 10, sizeof(*sums));
    cr_assert_eq(muster_privacy_noise(sums, FEW * 10, &standard, &error), MUSTER_UNSUPPORTED);
    cr_assert(strstr(error.text, word), "%s", error.text);
    free(sums);
}

Test(noise, says_that_there_is_none)
{
    system_fails = true;
    expect_no_noise("the system");
    system_fails = false;
    for (blocks_left = 0; blocks_left < 3; blocks_left++) {
        size_t blocks = blocks_left;
        expect_no_noise("libcrypto");
        blocks_left = blocks;
    }
    blocks_left = SIZE_MAX;
}

/* ---- never twice ---- */

/* Of independent draws, two are the same in one place of 10^7; 4 of 1000 are so once in 10^17. */
static void expect_others(const double *a, const double *b)
{
    size_t same = 0;
    for (size_t i = 0; i < FEW; i++)
        same += a[i] == b[i];
    cr_assert_lt(same, 4, "%zu of %d draws are the same", same, FEW);
}

Test(noise, is_another_in_each_call)
{
    double *first = draw(FEW), *second = draw(FEW);
    expect_others(first, second);
    free(first);
    free(second);
}

/* What a child draws after a fork. */
static pid_t draw_in_child(int *reading)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        double *x = draw(FEW);
        ssize_t written = write(ends[1], x, FEW * sizeof(*x));
        free(x); /* valgrind looks at the end of a child, too */
        _exit(written == FEW * (ssize_t)sizeof(*x) ? 0 : 1);
    }
    close(ends[1]);
    *reading = ends[0];
    return child;
}

static double *take_from_child(pid_t child, int reading)
{
    double *x = calloc(FEW, sizeof(*x));
    size_t size = 0;
    ssize_t more;
    int status;
    while ((more = read(reading, (char *)x + size, FEW * sizeof(*x) - size)) > 0)
        size += (size_t)more;
    close(reading);
    cr_assert_eq(size, FEW * sizeof(*x));
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    return x;
}

Test(noise, is_another_in_each_process)
{
    int reading[2];
    free(draw(FEW)); /* whatever a generator keeps, it keeps it now, and both children inherit it */
    pid_t first = draw_in_child(&reading[0]), second = draw_in_child(&reading[1]);
    double *mine = draw(FEW);
    double *a = take_from_child(first, reading[0]), *b = take_from_child(second, reading[1]);
    expect_others(a, b);
    expect_others(a, mine);
    expect_others(b, mine);
    free(mine);
    free(a);
    free(b);
}

static void *draw_in_thread(void *unused)
{
    (void)unused;
    return draw(FEW);
}

Test(noise, is_another_in_each_thread)
{
    pthread_t threads[2];
    void *x[2];
    for (size_t i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, draw_in_thread, NULL), 0);
    for (size_t i = 0; i < 2; i++)
        cr_assert_eq(pthread_join(threads[i], &x[i]), 0);
    expect_others(x[0], x[1]);
    free(x[0]);
    free(x[1]);
}

/* ---- who is drawn ---- */

/* A number of `trials` that happen with this probability: 7 deviations. */
static void expect_count(const char *what, size_t count, size_t trials, double probability)
{
    double mean = (double)trials * probability, deviation = sqrt(mean * (1 - probability));
    cr_assert_lt(fabs((double)count - mean), 7 * deviation, "%s: %zu instead of %g", what, count, mean);
}

Test(draw, takes_each_by_itself)
{
    enum { POPULATION = 50, TIMES = 20000 };
    size_t chosen[POPULATION], count, each[POPULATION] = {0}, both = 0, all = 0, empty = 0;
    for (size_t time = 0; time < TIMES; time++) {
        bool first = false;
        cr_assert_eq(muster_privacy_draw(POPULATION, 0.1, chosen, &count, NULL), MUSTER_OK);
        for (size_t i = 0; i < count; i++) {
            cr_assert(chosen[i] < POPULATION && (i == 0 || chosen[i] > chosen[i - 1]));
            each[chosen[i]]++;
            first = first || chosen[i] == 0;
            both += first && chosen[i] == 1;
        }
        all += count;
        empty += count == 0;
    }
    for (size_t i = 0; i < POPULATION; i++)
        expect_count("one", each[i], TIMES, 0.1);
    expect_count("two together", both, TIMES, 0.01);
    expect_count("all", all, (size_t)TIMES * POPULATION, 0.1);
    expect_count("nobody", empty, TIMES, pow(0.9, POPULATION));
}

Test(draw, takes_a_fixed_number)
{
    enum { POPULATION = 10, WANTED = 3, TIMES = 20000 };
    size_t chosen[WANTED], each[POPULATION] = {0}, both = 0;
    for (size_t time = 0; time < TIMES; time++) {
        cr_assert_eq(muster_privacy_draw_fixed(POPULATION, WANTED, chosen, NULL), MUSTER_OK);
        for (size_t i = 0; i < WANTED; i++) {
            cr_assert(chosen[i] < POPULATION && (i == 0 || chosen[i] > chosen[i - 1]));
            each[chosen[i]]++;
        }
        both += chosen[0] == 0 && chosen[1] == 1;
    }
    for (size_t i = 0; i < POPULATION; i++)
        expect_count("one", each[i], TIMES, 0.3);
    expect_count("two together", both, TIMES, 3. / 10 * 2 / 9);
}

Test(draw, knows_its_ends)
{
    size_t chosen[5] = {7, 7, 7, 7, 7}, count = 7;
    cr_assert_eq(muster_privacy_draw(5, 0, chosen, &count, NULL), MUSTER_OK);
    cr_assert_eq(count, 0);
    cr_assert_eq(muster_privacy_draw(0, 0.5, NULL, &count, NULL), MUSTER_OK);
    cr_assert_eq(count, 0);
    cr_assert_eq(muster_privacy_draw(5, 1, chosen, &count, NULL), MUSTER_OK);
    cr_assert(count == 5 && chosen[0] == 0 && chosen[4] == 4);
    cr_assert_eq(muster_privacy_draw_fixed(5, 5, chosen, NULL), MUSTER_OK);
    cr_assert(chosen[0] == 0 && chosen[4] == 4);
    cr_assert_eq(muster_privacy_draw_fixed(5, 0, NULL, NULL), MUSTER_OK);
    cr_assert_eq(muster_privacy_draw_fixed(5, 6, chosen, NULL), MUSTER_INVALID);
    cr_assert_eq(muster_privacy_draw(5, 1.1, chosen, &count, NULL), MUSTER_INVALID);
    cr_assert_eq(muster_privacy_draw(5, -0.1, chosen, &count, NULL), MUSTER_INVALID);
    cr_assert_eq(muster_privacy_draw(5, NAN, chosen, &count, NULL), MUSTER_INVALID);
    cr_assert_eq(count, 0);
}

Test(draw, says_that_there_are_no_random_numbers)
{
    size_t chosen[5], count = 7;
    system_fails = true;
    cr_assert_eq(muster_privacy_draw(5, 0.5, chosen, &count, NULL), MUSTER_UNSUPPORTED);
    cr_assert_eq(muster_privacy_draw_fixed(5, 2, chosen, NULL), MUSTER_UNSUPPORTED);
    system_fails = false;
    blocks_left = 0;
    cr_assert_eq(muster_privacy_draw(5, 0.5, chosen, &count, NULL), MUSTER_UNSUPPORTED);
    cr_assert_eq(count, 0);
    cr_assert_eq(muster_privacy_draw_fixed(5, 2, chosen, NULL), MUSTER_UNSUPPORTED);
    blocks_left = SIZE_MAX;
}
