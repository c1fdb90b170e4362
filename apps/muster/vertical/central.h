/* What a training is compared with: the same one, of one member that has all columns of the joint records. */
#ifndef CENTRAL_H
#define CENTRAL_H

#include <muster/muster.h>

#include "master_options.h"

/* Trains on the `joint` records, which are rows of the labels in this order, with the features that the master's data has, and as many
 * outputs as the master. Writes how well that predicts the records for testing, or those for training if there are none.
 * Signals end it meanwhile, and call nothing afterwards. */
enum muster_status central_train(const struct master_options *options, const struct table *labels,
                                 const size_t *joint, size_t count, size_t outputs,
                                 struct muster_vertical_metrics *metrics, struct muster_error *error);

#endif
