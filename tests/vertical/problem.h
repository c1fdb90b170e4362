/* Problems with known answers, and the columns that each member has of them. */
#ifndef MUSTER_TESTS_VERTICAL_PROBLEM_H
#define MUSTER_TESTS_VERTICAL_PROBLEM_H

#include <criterion/criterion.h>

#include <stddef.h>

#include <muster/muster.h>

struct problem {
    size_t rows;
    size_t columns;
    double *x;      /* rows x columns */
    double *labels; /* rows x outputs */
    size_t outputs;
    char **ids;
};

/* numpy.random.RandomState(0): X = randn(1000, 20), w = randn(20), y = sigmoid(X w) > rand(1000). */
void problem_reference(struct problem *problem);
/* Columns correlated at 0.6, and labels that are linear in them but for noise. */
void problem_linear(struct problem *problem, size_t rows, size_t columns);
void problem_clear(struct problem *problem);

/* Some of the columns, with the rows in another order; the caller frees it. */
struct share {
    struct muster_vertical_table table;
    double *values;
    const char **ids;
};
void problem_share(const struct problem *problem, size_t first, size_t columns, size_t turn,
                   struct share *share);
/* All labels. */
void problem_labels(const struct problem *problem, struct share *share);
void share_clear(struct share *share);

/* What ridge regression with all columns gets: (X'X + n l2)^-1 X'y, for one output. */
void problem_ridge(const struct problem *problem, double l2, double *weights);

#endif
