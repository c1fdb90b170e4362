/* The mathematics of vertical learning: from scores and labels to a residual, from a residual to weights. */
#ifndef MUSTER_VERTICAL_MODEL_H
#define MUSTER_VERTICAL_MODEL_H

#include <stddef.h>

#include <muster/vertical.h>

/* ---- scores and labels ---- */

/* What the scores mean. */
struct muster__vertical_kind {
    enum muster_vertical_model model;
    size_t outputs;
    const double *class_weights; /* NULL: 1 */
};

/* The mean loss of rows x outputs scores. `residual` (may be NULL, may be `scores`) gets what the members
 * learn from: the loss differentiated by each score, or with RIDGE the labels less the scores. */
double muster__vertical_loss(const struct muster__vertical_kind *kind, const double *labels, size_t rows,
                             const double *scores, double *residual);

/* Makes predictions of scores, in place. */
void muster__vertical_predict(const struct muster__vertical_kind *kind, size_t rows, double *scores);

/* ---- weights ---- */

/* A block of the model: the weights of a member's columns, or the bias as that of a column of ones. */
struct muster__vertical_weights {
    size_t columns;
    size_t outputs;
    double *weights;  /* columns x outputs; one piece of memory with */
    double *velocity; /* as many */
};

enum muster_status muster__vertical_weights_init(struct muster__vertical_weights *weights, size_t columns,
                                                 size_t outputs, struct muster_error *error);
void muster__vertical_weights_clear(struct muster__vertical_weights *weights);
/* INVALID if the last update made them something else than finite numbers. */
enum muster_status muster__vertical_weights_check(const struct muster__vertical_weights *weights,
                                                  struct muster_error *error);

/* How a block learns. */
struct muster__vertical_step {
    double learning_rate;
    double l2;
    double momentum;
    double share; /* of the way to the solution of RIDGE */
};

/* Records, as rows of the block's columns. */
struct muster__vertical_records {
    const double *values;
    const size_t *rows; /* which rows of `values`; NULL: the first. With one output alone */
    size_t count;
};

/* scores = records weights. */
void muster__vertical_scores(const struct muster__vertical_weights *weights,
                             const struct muster__vertical_records *records, double *scores);

/* One step down the gradient. */
void muster__vertical_descend(struct muster__vertical_weights *weights,
                              const struct muster__vertical_step *step,
                              const struct muster__vertical_records *records, const double *residual);

/* values = U diag(s) V'. */
struct muster__vertical_svd;
enum muster_status muster__vertical_svd_new(const double *values, size_t rows, size_t columns, size_t outputs,
                                            struct muster__vertical_svd **svd, struct muster_error *error);
void muster__vertical_svd_free(struct muster__vertical_svd *svd);

/* A share of the way to what fits best to what is left beside the block's own scores. `residual` is written
 * to. */
void muster__vertical_solve(struct muster__vertical_weights *weights,
                            const struct muster__vertical_step *step, const struct muster__vertical_svd *svd,
                            const double *values, double *residual);

#endif
