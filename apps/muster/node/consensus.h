/* Mixing alone: nothing is trained. */
#ifndef CONSENSUS_H
#define CONSENSUS_H

#include "node.h"

/* Mixes until all are near the mean. */
enum muster_status consensus_run(struct node *node, struct muster_error *error);

#endif
