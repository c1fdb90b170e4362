/* A master at work: from its options to the end of the training, or of an inference. */
#ifndef TRAINING_H
#define TRAINING_H

#include <muster/muster.h>

#include "master_options.h"

/* Trains, or infers, and prints what comes of it. STOPPED: a signal ended it. Otherwise *error says why it failed. */
enum muster_status vertical_training_run(const struct master_options *options, struct muster_error *error);

#endif
