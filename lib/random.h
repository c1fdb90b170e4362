/* What the library's own code draws, beside muster/random.h. */
#ifndef MUSTER_RANDOM_INTERNAL_H
#define MUSTER_RANDOM_INTERNAL_H

#include <muster/random.h>

/* Uniform below `bound`, which is not 0. */
uint64_t muster__random_below(struct muster_random *random, uint64_t bound);

#endif
