/* What a member has when a run has begun: columns, batches and weights, and how they learn step by step. */
#ifndef MUSTER_VERTICAL_LEARNER_H
#define MUSTER_VERTICAL_LEARNER_H

#include "learning/vertical/batches.h"
#include "learning/vertical/columns.h"
#include "learning/vertical/settings.h"

struct muster__vertical_learner {
    struct muster__vertical_settings settings;
    size_t index; /* of the member's block */
    struct muster__vertical_columns columns;
    struct muster__vertical_batches batches;
    struct muster__vertical_weights weights;
    struct muster__vertical_svd *svd; /* of RIDGE, from its first step on */
    uint64_t step;                    /* that was applied last */
    const double *gathered;           /* the records of the batch of */
    uint64_t gathered_iteration;      /* this; 0: there is none */
    double *scores;                   /* what is answered: of _batch() and _part(), until the next call */
    size_t scores_room;
};

/* Begins with the weights of the start. rows[settings->rows] are rows of `table`. */
enum muster_status muster__vertical_learner_init(struct muster__vertical_learner *learner,
                                                 const struct muster__vertical_settings *settings,
                                                 size_t index, const struct muster_vertical_table *table,
                                                 const size_t *rows, bool left, struct muster_error *error);
void muster__vertical_learner_clear(struct muster__vertical_learner *learner);

/* How many rows the residual of a step has. */
size_t muster__vertical_learner_rows(struct muster__vertical_learner *learner, uint64_t step);

/* Applies the step. OK, or OUT_OF_MEMORY and INVALID (RIDGE) before anything changed. */
enum muster_status muster__vertical_learner_apply(struct muster__vertical_learner *learner, uint64_t step,
                                                  const double *residual, struct muster_error *error);

/* `scores` become those of the batch of a step, which has *count records. */
enum muster_status muster__vertical_learner_batch(struct muster__vertical_learner *learner, uint64_t step,
                                                  size_t *count, struct muster_error *error);

/* `scores` become those of `count` rows. */
enum muster_status muster__vertical_learner_part(struct muster__vertical_learner *learner, const size_t *rows,
                                                 size_t count, struct muster_error *error);

#endif
