/* What an ensemble learns is what one that had all columns would learn. */
#include <config.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "vertical/ensemble.h"

static const size_t THREE[] = {7, 6, 7};

static double norm(const double *weights, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += weights[i] * weights[i];
    return sqrt(sum);
}

/* With predictions and labels of a part. */
static double accuracy(const struct muster_vertical_part *part)
{
    double right = 0;
    for (size_t i = 0; i < part->rows; i++)
        right += (part->predictions[i] > 0.5) == (part->labels[i] == 1);
    return right / (double)part->rows;
}

ENSEMBLE_TEST(training, the_reference)
{
    struct problem problem;
    struct ensemble ensemble;
    struct muster_vertical_part part;
    double weights[COLUMNS_MOST];
    problem_reference(&problem);
    ensemble_init(&ensemble, &problem, THREE, 3);
    ensemble.options.batch_size = 0;
    ensemble.options.epochs = 100;
    ensemble.options.learning_rate = 0.5;
    ensemble_play(&ensemble);
    enum muster_status status =
        muster_vertical_predict(ensemble.vertical, MUSTER_VERTICAL_TRAIN, &part, &ensemble.error);
    cr_assert_eq(status, MUSTER_OK, "%s", ensemble.error.text);
    cr_assert_float_eq(part.loss, 0.2963941738, 1e-9, "%.12f", part.loss);
    cr_assert_float_eq(accuracy(&part), 0.8730, 1e-9, "%.12f", accuracy(&part));
    ensemble_end(&ensemble);
    cr_assert_eq(ensemble_weights(&ensemble, weights), 20);
    cr_assert_float_eq(norm(weights, 20), 3.2114561873, 1e-9, "%.12f", norm(weights, 20));
    problem_clear(&problem);
}

/* ---- many members against one that has all columns ---- */

static size_t learn(const struct problem *problem, const struct muster_vertical_options *options,
                    const size_t *columns, size_t members, double *bias, double weights[COLUMNS_MOST])
{
    struct ensemble ensemble;
    size_t outputs;
    ensemble_init(&ensemble, problem, columns, members);
    ensemble.options = *options;
    ensemble_play(&ensemble);
    memcpy(bias, muster_vertical_bias(ensemble.vertical, &outputs), problem->outputs * sizeof(*bias));
    ensemble_end(&ensemble);
    for (size_t i = 0; i < members; i++)
        cr_assert(ensemble.players[i].finished);
    return ensemble_weights(&ensemble, weights);
}

static void expect_the_same(const struct problem *problem, const struct muster_vertical_options *options)
{
    double one[COLUMNS_MOST], three[COLUMNS_MOST], bias[8], biases[8];
    const size_t all[] = {problem->columns}, some[] = {7, 6, problem->columns - 13};
    size_t count = learn(problem, options, all, 1, bias, one);
    cr_assert_eq(learn(problem, options, some, 3, biases, three), count);
    cr_assert_gt(norm(one, count), 0.01);
    for (size_t i = 0; i < count; i++)
        cr_assert_float_eq(one[i], three[i], 1e-12, "%zu: %.17g %.17g", i, one[i], three[i]);
    for (size_t i = 0; i < problem->outputs; i++)
        cr_assert_float_eq(bias[i], biases[i], 1e-12);
}

static struct muster_vertical_options everything(void)
{
    struct muster_vertical_options options;
    muster_vertical_options_init(&options);
    options.bias = options.standardize = true;
    options.batch_size = 64;
    options.epochs = 3;
    options.l2 = 0.01;
    options.momentum = 0.9;
    options.test_fraction = 0.2;
    return options;
}

ENSEMBLE_TEST(training, binary_in_batches)
{
    struct problem problem;
    struct muster_vertical_options options = everything();
    const double weight = 2.5;
    problem_reference(&problem);
    options.class_weights = &weight;
    expect_the_same(&problem, &options);
    problem_clear(&problem);
}

ENSEMBLE_TEST(training, linear_in_batches)
{
    struct problem problem;
    struct muster_vertical_options options = everything();
    problem_linear(&problem, 300, 20);
    options.model = MUSTER_VERTICAL_LINEAR;
    options.learning_rate = 0.01;
    expect_the_same(&problem, &options);
    problem_clear(&problem);
}

/* Two more labels, of which one is rare. */
static void add_outputs(struct problem *problem)
{
    double *labels = calloc(problem->rows, 3 * sizeof(*labels));
    cr_assert_not_null(labels);
    for (size_t i = 0; i < problem->rows; i++) {
        labels[3 * i] = problem->labels[i];
        labels[3 * i + 1] = problem->x[i * problem->columns] + problem->x[i * problem->columns + 9] > 0;
        labels[3 * i + 2] = problem->x[i * problem->columns + 15] > 1.5;
    }
    free(problem->labels);
    problem->labels = labels;
    problem->outputs = 3;
}

ENSEMBLE_TEST(training, multilabel_in_batches)
{
    struct problem problem;
    struct muster_vertical_options options = everything();
    const double weights[] = {1, 2, 10};
    problem_reference(&problem);
    add_outputs(&problem);
    options.class_weights = weights;
    expect_the_same(&problem, &options);
    problem_clear(&problem);
}

ENSEMBLE_TEST(training, multinomial_in_batches)
{
    struct problem problem;
    struct muster_vertical_options options = everything();
    const double weights[] = {1, 2, 3};
    problem_reference(&problem);
    for (size_t i = 0; i < problem.rows; i++)
        problem.labels[i] += problem.x[i * 20] > 0;
    options.model = MUSTER_VERTICAL_MULTINOMIAL;
    options.class_weights = weights;
    expect_the_same(&problem, &options);
    problem_clear(&problem);
}

/* ---- ridge ---- */

static void expect_ridge(const struct problem *problem, const struct muster_vertical_options *options,
                         const size_t *columns, size_t members, double tolerance)
{
    double weights[COLUMNS_MOST], right[COLUMNS_MOST], bias;
    problem_ridge(problem, options->l2, right);
    cr_assert_eq(learn(problem, options, columns, members, &bias, weights), problem->columns);
    for (size_t i = 0; i < problem->columns; i++)
        cr_assert_float_eq(weights[i], right[i], tolerance, "%zu: %.17g %.17g", i, weights[i], right[i]);
}

static struct muster_vertical_options ridge(double l2, uint64_t epochs)
{
    struct muster_vertical_options options;
    muster_vertical_options_init(&options);
    options.model = MUSTER_VERTICAL_RIDGE;
    options.batch_size = 0;
    options.l2 = l2;
    options.epochs = epochs;
    return options;
}

ENSEMBLE_TEST(training, ridge_alone_is_solved_at_once)
{
    struct problem problem;
    struct muster_vertical_options options = ridge(0.01, 1);
    problem_linear(&problem, 400, 9);
    const size_t all[] = {9};
    expect_ridge(&problem, &options, all, 1, 1e-10);
    options.l2 = 0;
    expect_ridge(&problem, &options, all, 1, 1e-10);
    problem_clear(&problem);
}

ENSEMBLE_TEST(training, ridge_of_three_converges)
{
    struct problem problem;
    struct muster_vertical_options options = ridge(0.01, 400);
    problem_linear(&problem, 400, 9);
    const size_t three[] = {3, 3, 3};
    expect_ridge(&problem, &options, three, 3, 1e-10);
    options.epochs = 150;
    options.consecutive = true;
    expect_ridge(&problem, &options, three, 3, 1e-10);
    problem_clear(&problem);
}

/* A column twice has a singular value of 0, which is dropped: both get half of the weight. */
ENSEMBLE_TEST(training, a_column_twice_shares_its_weight)
{
    struct problem problem;
    double weights[COLUMNS_MOST], bias;
    struct muster_vertical_options options = ridge(0, 1);
    const size_t all[] = {2};
    problem_linear(&problem, 100, 2);
    for (size_t i = 0; i < problem.rows; i++) {
        problem.x[2 * i + 1] = problem.x[2 * i];
        problem.labels[i] = 3 * problem.x[2 * i];
    }
    cr_assert_eq(learn(&problem, &options, all, 1, &bias, weights), 2);
    cr_assert_float_eq(weights[0], 1.5, 1e-12);
    cr_assert_float_eq(weights[1], 1.5, 1e-12);
    problem_clear(&problem);
}

ENSEMBLE_TEST(training, ridge_with_a_bias)
{
    struct problem problem;
    double weights[COLUMNS_MOST], bias;
    const size_t two[] = {2, 2};
    problem_linear(&problem, 200, 4);
    for (size_t i = 0; i < problem.rows; i++) {
        const double *x = problem.x + 4 * i;
        problem.labels[i] = 5 + x[0] - 2 * x[1] + x[2] + 0.5 * x[3];
    }
    for (int consecutive = 0; consecutive < 2; consecutive++) {
        struct muster_vertical_options options = ridge(0, 600);
        options.bias = true;
        options.consecutive = consecutive;
        cr_assert_eq(learn(&problem, &options, two, 2, &bias, weights), 4);
        cr_assert_float_eq(bias, 5, 1e-10, "%.15g", bias);
        cr_assert_float_eq(weights[3], 0.5, 1e-10);
    }
    problem_clear(&problem);
}

/* ---- one after the other, by gradient ---- */

ENSEMBLE_TEST(training, consecutive_gradients_reach_the_same)
{
    struct problem problem;
    double weights[COLUMNS_MOST], right[COLUMNS_MOST], bias;
    struct muster_vertical_options options = ridge(0.01, 2000);
    problem_linear(&problem, 200, 6);
    const size_t three[] = {2, 2, 2};
    options.model = MUSTER_VERTICAL_LINEAR;
    options.learning_rate = 0.3;
    options.consecutive = true;
    problem_ridge(&problem, options.l2, right);
    cr_assert_eq(learn(&problem, &options, three, 3, &bias, weights), 6);
    for (size_t i = 0; i < 6; i++)
        cr_assert_float_eq(weights[i], right[i], 1e-9, "%zu: %.17g %.17g", i, weights[i], right[i]);
    problem_clear(&problem);
}

/* ---- where they begin ---- */

ENSEMBLE_TEST(training, a_uniform_start_is_the_seeds)
{
    struct problem problem;
    double first[COLUMNS_MOST], again[COLUMNS_MOST], other[COLUMNS_MOST], bias;
    struct muster_vertical_options options;
    problem_reference(&problem);
    muster_vertical_options_init(&options);
    options.uniform_start = true;
    options.epochs = 0;
    learn(&problem, &options, THREE, 3, &bias, first);
    learn(&problem, &options, THREE, 3, &bias, again);
    options.seed++;
    learn(&problem, &options, THREE, 3, &bias, other);
    cr_assert(memcmp(first, again, 20 * sizeof(*first)) == 0);
    for (size_t i = 0; i < 20; i++) {
        cr_assert_neq(first[i], other[i]);
        cr_assert_lt(fabs(first[i]), 1 / sqrt(6));
    }
    cr_assert_neq(first[0], first[13]);
    problem_clear(&problem);
}
