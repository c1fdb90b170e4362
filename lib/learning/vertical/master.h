/* The master's own state, which its two files share. */
#ifndef MUSTER_VERTICAL_MASTER_H
#define MUSTER_VERTICAL_MASTER_H

#include <muster/vertical.h>

#include "learning/vertical/batches.h"
#include "learning/vertical/directory.h"
#include "learning/vertical/members.h"
#include "learning/vertical/model.h"
#include "learning/vertical/settings.h"
#include "learning/vertical/updates.h"

/* Predictions for a part of the records. */
struct muster__vertical_predicted {
    struct muster_vertical_part part;
    size_t *own;
    double *labels;
    double *predictions;
};

struct muster_vertical {
    const struct muster_vertical_table *table;
    struct muster_vertical_options options;
    char *weights_path;    /* of the options */
    double *class_weights; /* of the options */
    struct muster__vertical_kind kind;
    size_t *order;
    bool has_labels;
    struct muster__vertical_directory directory;

    size_t *rows; /* of the table, for each joint record; NULL: nothing is matched */
    struct muster__vertical_settings settings;
    struct muster__vertical_batches batches;
    struct muster__vertical_members members;
    struct muster__vertical_updates updates;
    struct muster__vertical_weights bias;  /* the block of a column of ones; zeros without a bias */
    struct muster__vertical_svd *bias_svd; /* RIDGE */
    double *ones;                          /* as many as a batch has rows */
    uint64_t step;                         /* that was made last; members may lack it yet */
    uint64_t scores_step; /* the members' scores are for the batch of this step; 0: for none */
    double *scores;       /* the sum for a batch, and then its residual */
    double *labels;       /* of a batch */
    struct muster__vertical_predicted predicted[MUSTER_VERTICAL_TEST + 1]; /* by muster_vertical_which */
    struct muster_histogram iteration_times;
    double iteration_ms;  /* the steps of the iteration took so long */
    double iterations_ms; /* since the last report, */
    uint64_t iterations;  /* for so many */
    uint64_t reported;    /* the iteration of the last report of this process; 0: none */
};

/* Applies the residual to the bias, if there is one and it learns in the step. */
enum muster_status muster__vertical_learn_bias(struct muster_vertical *vertical, uint64_t step,
                                               const double *residual, size_t rows,
                                               struct muster_error *error);

#endif
