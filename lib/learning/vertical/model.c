/* The mathematics of vertical learning: from scores and labels to a residual, from a residual to weights. */
#include <config.h>

#include "learning/vertical/model.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "learning/vertical/blas.h"
#include "status.h"

enum { CACHE_LINE = 64, ROWS_AHEAD = 8 };

static const struct muster__vertical_blas *const blas = &muster__vertical_blas;

/* ---- scores and labels ---- */

static double weight_of(const struct muster__vertical_kind *kind, size_t output)
{
    return kind->class_weights ? kind->class_weights[output] : 1;
}

static double sigmoid(double score)
{
    double part = exp(-fabs(score));
    return (score < 0 ? part : 1) / (1 + part);
}

static void softmax(const double *scores, size_t outputs, double *chances)
{
    double most = scores[0];
    for (size_t i = 1; i < outputs; i++)
        most = fmax(most, scores[i]);
    double sum = 0;
    for (size_t i = 0; i < outputs; i++)
        sum += chances[i] = exp(scores[i] - most);
    for (size_t i = 0; i < outputs; i++)
        chances[i] /= sum;
}

/* log(sum(exp(scores))) */
static double log_sum(const double *scores, size_t outputs)
{
    double most = scores[0], sum = 0;
    for (size_t i = 1; i < outputs; i++)
        most = fmax(most, scores[i]);
    for (size_t i = 0; i < outputs; i++)
        sum += exp(scores[i] - most);
    return most + log(sum);
}

/* Each of these returns the loss of one row, times the number of what the mean is over. */

static double logistic_row(const struct muster__vertical_kind *kind, const double *labels,
                           const double *scores, double scale, double *residual)
{
    double loss = 0;
    for (size_t i = 0; i < kind->outputs; i++) {
        double score = scores[i], one = labels[i] * weight_of(kind, i), zero = 1 - labels[i];
        double part = exp(-fabs(score));
        double rest = log1p(part); /* of log(1 + exp(score)), which would overflow */
        loss += one * (fmax(-score, 0) + rest) + zero * (fmax(score, 0) + rest);
        if (residual)
            residual[i] = scale * ((one + zero) * (score < 0 ? part : 1) / (1 + part) - one);
    }
    return loss;
}

static double multinomial_row(const struct muster__vertical_kind *kind, const double *labels,
                              const double *scores, double scale, double *residual)
{
    double loss = 0, weight = 0, sum = log_sum(scores, kind->outputs);
    for (size_t i = 0; i < kind->outputs; i++) {
        weight += labels[i] * weight_of(kind, i);
        loss += labels[i] * weight_of(kind, i) * (sum - scores[i]);
    }
    if (residual) {
        softmax(scores, kind->outputs, residual);
        for (size_t i = 0; i < kind->outputs; i++)
            residual[i] = scale * weight * (residual[i] - labels[i]);
    }
    return loss;
}

static double linear_row(const struct muster__vertical_kind *kind, const double *labels, const double *scores,
                         double scale, double *residual)
{
    double loss = 0;
    for (size_t i = 0; i < kind->outputs; i++) {
        double far = scores[i] - labels[i];
        loss += far * far / 2;
        if (residual)
            residual[i] = scale * far;
    }
    return loss;
}

double muster__vertical_loss(const struct muster__vertical_kind *kind, const double *labels, size_t rows,
                             const double *scores, double *residual)
{
    double (*row)(const struct muster__vertical_kind *, const double *, const double *, double, double *) =
        kind->model == MUSTER_VERTICAL_LOGISTIC      ? logistic_row
        : kind->model == MUSTER_VERTICAL_MULTINOMIAL ? multinomial_row
                                                     : linear_row;
    double terms = (double)rows;
    if (kind->model != MUSTER_VERTICAL_MULTINOMIAL)
        terms *= (double)kind->outputs;
    double scale = kind->model == MUSTER_VERTICAL_RIDGE ? -1 : 1 / terms;
    double loss = 0;
    for (size_t i = 0; i < rows; i++)
        loss += row(kind, labels + i * kind->outputs, scores + i * kind->outputs, scale,
                    residual ? residual + i * kind->outputs : NULL);
    return loss / terms;
}

void muster__vertical_predict(const struct muster__vertical_kind *kind, size_t rows, double *scores)
{
    size_t outputs = kind->outputs;
    if (kind->model == MUSTER_VERTICAL_LOGISTIC) {
        for (size_t i = 0; i < rows * outputs; i++)
            scores[i] = sigmoid(scores[i]);
    } else if (kind->model == MUSTER_VERTICAL_MULTINOMIAL) {
        for (size_t i = 0; i < rows; i++)
            softmax(scores + i * outputs, outputs, scores + i * outputs);
    }
}

/* ---- weights ---- */

enum muster_status muster__vertical_weights_init(struct muster__vertical_weights *weights, size_t columns,
                                                 size_t outputs, struct muster_error *error)
{
    enum muster_status status = muster__vertical_blas_load(error);
    if (status != MUSTER_OK)
        return status;
    double *memory = calloc(columns * outputs, 2 * sizeof(*memory));
    if (!memory)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for %zu x %zu weights", columns,
                             outputs);
    *weights = (struct muster__vertical_weights){columns, outputs, memory, memory + columns * outputs};
    return MUSTER_OK;
}

void muster__vertical_weights_clear(struct muster__vertical_weights *weights)
{
    free(weights->weights);
    *weights = (struct muster__vertical_weights){0};
}

enum muster_status muster__vertical_weights_check(const struct muster__vertical_weights *weights,
                                                  struct muster_error *error)
{
    for (size_t i = 0; i < weights->columns * weights->outputs; i++) {
        if (!isfinite(weights->weights[i]))
            return muster__error(error, MUSTER_INVALID,
                                 "the weights are not finite: is the learning rate too high?");
    }
    return MUSTER_OK;
}

/* out = share out + (transposed) matrix times right, where out has as many columns as right. */
static void multiply(bool transposed, const double *matrix, size_t rows, size_t columns, const double *right,
                     size_t outputs, double share, double *out)
{
    blasint lines = (blasint)(transposed ? columns : rows), inner = (blasint)(transposed ? rows : columns);
    if (outputs == 1)
        blas->dgemv(CblasRowMajor, transposed ? CblasTrans : CblasNoTrans, (blasint)rows, (blasint)columns, 1,
                    matrix, (blasint)columns, right, 1, share, out, 1);
    else
        blas->dgemm(CblasRowMajor, transposed ? CblasTrans : CblasNoTrans, CblasNoTrans, lines,
                    (blasint)outputs, inner, 1, matrix, (blasint)columns, right, (blasint)outputs, share, out,
                    (blasint)outputs);
}

/* The processor does not guess which row comes next. */
static const double *row_of(const struct muster__vertical_records *records, size_t columns, size_t i)
{
    if (i + ROWS_AHEAD < records->count) {
        const double *later = records->values + records->rows[i + ROWS_AHEAD] * columns;
        for (size_t j = 0; j < columns; j += CACHE_LINE / sizeof(*later))
            __builtin_prefetch(later + j);
    }
    return records->values + records->rows[i] * columns;
}

/* With one output, each row is taken where it lies: gathering them would take as long as all else. */
void muster__vertical_scores(const struct muster__vertical_weights *weights,
                             const struct muster__vertical_records *records, double *scores)
{
    size_t columns = weights->columns;
    if (!records->rows)
        multiply(false, records->values, records->count, columns, weights->weights, weights->outputs, 0,
                 scores);
    for (size_t i = 0; i < records->count && records->rows; i++)
        scores[i] = blas->ddot((blasint)columns, row_of(records, columns, i), 1, weights->weights, 1);
}

void muster__vertical_descend(struct muster__vertical_weights *weights,
                              const struct muster__vertical_step *step,
                              const struct muster__vertical_records *records, const double *residual)
{
    size_t columns = weights->columns;
    blasint count = (blasint)(columns * weights->outputs);
    blas->dscal(count, step->momentum, weights->velocity, 1);
    blas->daxpy(count, step->l2, weights->weights, 1, weights->velocity, 1);
    if (!records->rows)
        multiply(true, records->values, records->count, columns, residual, weights->outputs, 1,
                 weights->velocity);
    for (size_t i = 0; i < records->count && records->rows; i++)
        blas->daxpy(count, residual[i], row_of(records, columns, i), 1, weights->velocity, 1);
    blas->daxpy(count, -step->learning_rate, weights->velocity, 1, weights->weights, 1);
}

/* ---- RIDGE ---- */

struct muster__vertical_svd {
    size_t rows;
    size_t columns;
    size_t outputs;
    size_t rank;       /* the smaller of both */
    double *values;    /* rank, descending */
    double *left;      /* U: rows x rank, in C order */
    double *right;     /* V': rank x columns */
    double *projected; /* room for rank x outputs */
};

/* The matrix in C order is its own transpose to LAPACK: block' = V diag(s) U'. `matrix` is written to. */
static blasint decompose(struct muster__vertical_svd *svd, double *matrix, blasint *iwork)
{
    blasint columns = (blasint)svd->columns, rows = (blasint)svd->rows, rank = (blasint)svd->rank;
    blasint info = 0, size = -1;
    double best = 0;
    blas->dgesdd("S", &columns, &rows, matrix, &columns, svd->values, svd->right, &columns, svd->left, &rank,
                 &best, &size, iwork, &info, 1);
    size = (blasint)best;
    double *work = info == 0 ? calloc((size_t)size, sizeof(*work)) : NULL;
    if (!work)
        return -1;
    blas->dgesdd("S", &columns, &rows, matrix, &columns, svd->values, svd->right, &columns, svd->left, &rank,
                 work, &size, iwork, &info, 1);
    free(work);
    return info;
}

enum muster_status muster__vertical_svd_new(const double *values, size_t rows, size_t columns, size_t outputs,
                                            struct muster__vertical_svd **svd, struct muster_error *error)
{
    *svd = NULL;
    enum muster_status status = muster__vertical_blas_load(error);
    if (status != MUSTER_OK)
        return status;
    struct muster__vertical_svd *made = calloc(1, sizeof(*made));
    double *matrix = calloc(rows * columns, sizeof(*matrix));
    size_t rank = rows < columns ? rows : columns;
    blasint *iwork = calloc(8 * rank, sizeof(*iwork)), info = -1;
    if (made) {
        *made =
            (struct muster__vertical_svd){.rows = rows, .columns = columns, .outputs = outputs, .rank = rank};
        made->values = calloc(rank, sizeof(*made->values));
        made->left = calloc(rows * rank, sizeof(*made->left));
        made->right = calloc(rank * columns, sizeof(*made->right));
        made->projected = calloc(rank * outputs, sizeof(*made->projected));
    }
    if (made && matrix && iwork && made->values && made->left && made->right && made->projected) {
        memcpy(matrix, values, rows * columns * sizeof(*matrix));
        info = decompose(made, matrix, iwork);
    }
    if (info != 0) {
        status = info < 0
                     ? muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory to decompose %zu x %zu values",
                                     rows, columns)
                     : muster__error(error, MUSTER_INVALID,
                                     "the singular values of %zu x %zu values were not found", rows, columns);
        muster__vertical_svd_free(made);
        made = NULL;
    }
    free(matrix);
    free(iwork);
    *svd = made;
    return status;
}

void muster__vertical_svd_free(struct muster__vertical_svd *svd)
{
    if (!svd)
        return;
    free(svd->values);
    free(svd->left);
    free(svd->right);
    free(svd->projected);
    free(svd);
}

/* share diag(s / (s^2 + n l2)), times the rows of what is projected. */
static void filter(const struct muster__vertical_svd *svd, const struct muster__vertical_step *step)
{
    double most = fmax((double)svd->rows, (double)svd->columns);
    double least = step->l2 == 0 ? DBL_EPSILON * most * svd->values[0] : 0;
    for (size_t i = 0; i < svd->rank; i++) {
        double value = svd->values[i];
        double factor = value > least ? value / (value * value + (double)svd->rows * step->l2) : 0;
        blas->dscal((blasint)svd->outputs, step->share * factor, svd->projected + i * svd->outputs, 1);
    }
}

void muster__vertical_solve(struct muster__vertical_weights *weights,
                            const struct muster__vertical_step *step, const struct muster__vertical_svd *svd,
                            const double *values, double *residual)
{
    size_t outputs = weights->outputs;
    multiply(false, values, svd->rows, svd->columns, weights->weights, outputs, 1, residual);
    multiply(true, svd->left, svd->rows, svd->rank, residual, outputs, 0, svd->projected);
    filter(svd, step);
    blas->dscal((blasint)(weights->columns * outputs), 1 - step->share, weights->weights, 1);
    multiply(true, svd->right, svd->rank, svd->columns, svd->projected, outputs, 1, weights->weights);
}
