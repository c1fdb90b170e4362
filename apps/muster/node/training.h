/* Rounds: a node trains on its own data, and mixes its model with those of its neighbours. */
#ifndef TRAINING_H
#define TRAINING_H

#include "node.h"

enum muster_status node_training_run(struct node *node, struct muster_error *error);

#endif
