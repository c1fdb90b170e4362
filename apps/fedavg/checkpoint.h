/* What a run directory holds of a federation: its configuration and what it has after each round. */
#ifndef CHECKPOINT_H
#define CHECKPOINT_H

#include "rounds.h"

/* Opens the run directory that the options name and takes over what its last completed round left; without
 * one in the options it does nothing. Otherwise *error says why not, and what can be done. */
enum muster_status checkpoint_open(struct federation *federation, struct muster_error *error);

/* Completes the round that is held now; `metrics` is added to the run's. */
enum muster_status checkpoint_commit(struct federation *federation, const char *metrics,
                                     struct muster_error *error);

#endif
