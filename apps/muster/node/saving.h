/* What a node needs to go on after its own death: its model after each round, in a run directory of its own. */
#ifndef SAVING_H
#define SAVING_H

#include "model.h"

/* Opens DIR/rank-NN, and takes over the model that it holds. *run is NULL where no directory is wanted. */
enum muster_status saving_open(const struct node *node, struct model *model, struct muster_run **run,
                               struct muster_error *error);

/* Completes a round, with its line of metrics. */
enum muster_status saving_commit(struct muster_run *run, uint64_t round, const struct model *model,
                                 const char *metrics, struct muster_error *error);

#endif
