/* Training without rounds that anybody waits for: each participant trains on the newest model when it has answered. */
#ifndef ASYNCHRONOUS_H
#define ASYNCHRONOUS_H

#include <stdbool.h>

#include <muster/muster.h>

#include "training.h"

/* Does what training_run() does, for a strategy that is asynchronous: a round is a step of its model. */
enum muster_status asynchronous_run(struct training *training, struct muster_error *error);

/* Finds the first model of a run that was begun and has no round yet; `model` stays empty when there is none. */
enum muster_status asynchronous_first_model(const struct training *training, struct model *model,
                                            struct muster_error *error);

/* Removes what another run has left in the directory. */
void asynchronous_discard(const struct training *training);

#endif
