/* What a run directory holds of a training: its configuration and what it has after each round. */
#ifndef CHECKPOINT_H
#define CHECKPOINT_H

#include "training.h"

/* Opens the run directory that the settings name and takes over what its last completed round left: then there is a
 * strategy. Without a directory in the settings it does nothing. Otherwise *error says why not, and what can be done. */
enum muster_status checkpoint_open(struct training *training, struct muster_error *error);

/* Whether a round's file can have all that a round of this model needs: INVALID, with *error, if not. */
enum muster_status checkpoint_check(const struct training *training, struct muster_error *error);

/* Reads the strategy's model out of a round's file, or the first model out of the file of its version. */
enum muster_status checkpoint_read_model(struct model *model, const char *path, struct muster_error *error);

/* Completes the round that was held last; `metrics` is added to the run's. */
enum muster_status checkpoint_commit(struct training *training, const char *metrics,
                                     struct muster_error *error);

#endif
