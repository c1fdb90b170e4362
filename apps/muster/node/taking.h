/* Taking from neighbours: how a model comes from each of them, and what is made of all. */
#ifndef TAKING_H
#define TAKING_H

#include "mixture.h"
#include "node.h"

/* The state of a node: arrays whose data it may write. */
struct state {
    const struct muster_array *arrays;
    size_t count;
};

/* Sends `shown` to the neighbours to which the node gives at this step, takes from those from which it takes, and
 * mixes what came into `state`. A neighbour that does not come is left out, and the weights of the others grow.
 * *missing is how many. An error is one of the node's own. */
enum muster_status take_and_mix(struct node *node, uint64_t round, const struct muster_message *shown,
                                const struct state *state, struct mixture *mixture, size_t *missing,
                                struct muster_error *error);

/* Whether a rank sits this round out. */
bool sits_out(const struct node *node, uint32_t rank, uint64_t round);

#endif
