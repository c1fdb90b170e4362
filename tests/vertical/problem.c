/* Problems with known answers, and the columns that each member has of them. */
#include <config.h>

#include "vertical/problem.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- numpy.random.RandomState (Matsumoto and Nishimura's twister, Marsaglia's polar method) ---- */

enum { WORDS = 624, AHEAD = 397 };

struct twister {
    uint32_t words[WORDS];
    size_t next;
    double spare;
    bool has_spare;
};

static void twister_seed(struct twister *twister, uint32_t seed)
{
    twister->words[0] = seed;
    for (uint32_t i = 1; i < WORDS; i++)
        twister->words[i] = 1812433253U * (twister->words[i - 1] ^ twister->words[i - 1] >> 30) + i;
    twister->next = WORDS;
    twister->has_spare = false;
}

static uint32_t twister_word(struct twister *twister)
{
    uint32_t *words = twister->words;
    if (twister->next == WORDS) {
        for (size_t i = 0; i < WORDS; i++) {
            uint32_t y = (words[i] & 0x80000000U) | (words[(i + 1) % WORDS] & 0x7fffffffU);
            words[i] = words[(i + AHEAD) % WORDS] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfU : 0);
        }
        twister->next = 0;
    }
    uint32_t y = words[twister->next++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680U;
    y ^= y << 15 & 0xefc60000U;
    return y ^ y >> 18;
}

static double twister_uniform(struct twister *twister)
{
    uint32_t high = twister_word(twister) >> 5, low = twister_word(twister) >> 6;
    return (high * 67108864.0 + low) / 9007199254740992.0;
}

static double twister_normal(struct twister *twister)
{
    double x, y, r;
    if (twister->has_spare) {
        twister->has_spare = false;
        return twister->spare;
    }
    do {
        x = 2 * twister_uniform(twister) - 1;
        y = 2 * twister_uniform(twister) - 1;
        r = x * x + y * y;
    } while (r >= 1 || r == 0);
    double factor = sqrt(-2 * log(r) / r);
    twister->spare = factor * x;
    twister->has_spare = true;
    return factor * y;
}

/* ---- problems ---- */

static void make(struct problem *problem, size_t rows, size_t columns)
{
    *problem = (struct problem){.rows = rows, .columns = columns, .outputs = 1};
    problem->x = calloc(rows * columns, sizeof(double));
    problem->labels = calloc(rows, sizeof(double));
    problem->ids = calloc(rows, sizeof(char *));
    cr_assert(problem->x && problem->labels && problem->ids);
    for (size_t i = 0; i < rows; i++)
        cr_assert_gt(asprintf(&problem->ids[i], "person %05zu", i), 0);
}

void problem_reference(struct problem *problem)
{
    struct twister twister;
    double w[20];
    make(problem, 1000, 20);
    twister_seed(&twister, 0);
    for (size_t i = 0; i < 1000 * 20; i++)
        problem->x[i] = twister_normal(&twister);
    for (size_t i = 0; i < 20; i++)
        w[i] = twister_normal(&twister);
    for (size_t i = 0; i < 1000; i++) {
        double score = 0;
        for (size_t j = 0; j < 20; j++)
            score += problem->x[i * 20 + j] * w[j];
        problem->labels[i] = 1 / (1 + exp(-score)) > twister_uniform(&twister);
    }
}

void problem_linear(struct problem *problem, size_t rows, size_t columns)
{
    struct muster_random random;
    muster_random_seed(&random, 7);
    make(problem, rows, columns);
    for (size_t i = 0; i < rows; i++) {
        double common = sqrt(0.6) * muster_random_normal(&random);
        for (size_t j = 0; j < columns; j++) {
            double value = common + sqrt(0.4) * muster_random_normal(&random);
            problem->x[i * columns + j] = value;
            problem->labels[i] += value * (1 - 0.3 * (double)j);
        }
        problem->labels[i] += 0.1 * muster_random_normal(&random);
    }
}

void problem_clear(struct problem *problem)
{
    for (size_t i = 0; i < problem->rows; i++)
        free(problem->ids[i]);
    free(problem->ids);
    free(problem->x);
    free(problem->labels);
}

/* ---- shares ---- */

static void make_share(const struct problem *problem, const double *from, size_t stride, size_t first,
                       size_t columns, size_t turn, struct share *share)
{
    share->values = calloc(problem->rows * columns, sizeof(double));
    share->ids = calloc(problem->rows, sizeof(char *));
    cr_assert(share->values && share->ids);
    for (size_t i = 0; i < problem->rows; i++) {
        size_t row = (i + turn) % problem->rows;
        share->ids[i] = problem->ids[row];
        memcpy(share->values + i * columns, from + row * stride + first, columns * sizeof(double));
    }
    share->table = (struct muster_vertical_table){problem->rows, columns, share->ids, share->values, NULL};
}

void problem_share(const struct problem *problem, size_t first, size_t columns, size_t turn,
                   struct share *share)
{
    make_share(problem, problem->x, problem->columns, first, columns, turn, share);
}

void problem_labels(const struct problem *problem, struct share *share)
{
    make_share(problem, problem->labels, problem->outputs, 0, problem->outputs, 13, share);
}

void share_clear(struct share *share)
{
    free(share->values);
    free(share->ids);
}

/* ---- ridge ---- */

/* Gauss and Jordan, with the pivots as they come: the matrix is positive definite. */
void problem_ridge(const struct problem *problem, double l2, double *weights)
{
    size_t n = problem->columns, width = n + 1;
    long double *matrix = calloc(n * width, sizeof(*matrix));
    cr_assert_not_null(matrix);
    for (size_t i = 0; i < n; i++) {
        for (size_t r = 0; r < problem->rows; r++) {
            const double *row = problem->x + r * n;
            for (size_t j = 0; j < n; j++)
                matrix[i * width + j] += (long double)row[i] * row[j];
            matrix[i * width + n] += (long double)row[i] * problem->labels[r];
        }
        matrix[i * width + i] += (long double)problem->rows * l2;
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n; k++) {
            long double factor = k == i ? 0 : matrix[k * width + i] / matrix[i * width + i];
            for (size_t j = 0; j < width; j++)
                matrix[k * width + j] -= factor * matrix[i * width + j];
        }
    }
    for (size_t i = 0; i < n; i++)
        weights[i] = (double)(matrix[i * width + n] / matrix[i * width + i]);
    free(matrix);
}
