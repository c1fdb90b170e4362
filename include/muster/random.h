/* Pseudo-random numbers that are the same on every machine, and samples. */
#ifndef MUSTER_RANDOM_H
#define MUSTER_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#include <muster/export.h>
#include <muster/status.h>

MUSTER_BEGIN_DECLS

/** A stream of pseudo-random numbers: the same seed gives the same stream on every machine. */
struct muster_random {
    uint64_t state[4];
};

/** Seeds the stream; different seeds, even neighbouring ones, give independent streams. */
MUSTER_API void muster_random_seed(struct muster_random *random, uint64_t seed);

/** The next 64 bits (xoshiro256**, Blackman and Vigna 2018). Not thread-safe. */
MUSTER_API uint64_t muster_random_next(struct muster_random *random);

/** Uniform in [0, 1), with 53 bits. */
MUSTER_API double muster_random_uniform(struct muster_random *random);

/** Normal with mean 0 and standard deviation 1. */
MUSTER_API double muster_random_normal(struct muster_random *random);

/**
 * Chooses `count` different numbers below `population` at random, each set as likely as any other, into
 * chosen[count] in ascending order. INVALID when count > population, with *error (may be NULL).
 */
MUSTER_API enum muster_status muster_sample(struct muster_random *random, size_t population, size_t count,
                                            size_t *chosen, struct muster_error *error);

MUSTER_END_DECLS

#endif
