/*
 * The order of what happens, which master and members count alike. A model has blocks: the weights of each
 * member, and the master's bias, if there is one, as the last. Steps count from 1. If all learn at once, each
 * step is an iteration; if they learn one after the other, each block has steps of its own.
 */
#ifndef MUSTER_VERTICAL_STEPS_H
#define MUSTER_VERTICAL_STEPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct muster__vertical_steps {
    size_t blocks;
    bool consecutive;
};

/* The iteration of a step, from 1; 0 for step 0. */
static inline uint64_t muster__vertical_iteration(const struct muster__vertical_steps *steps, uint64_t step)
{
    return steps->consecutive ? (step + steps->blocks - 1) / steps->blocks : step;
}

/* Whether a block learns in a step. */
static inline bool muster__vertical_learns(const struct muster__vertical_steps *steps, uint64_t step,
                                           size_t block)
{
    return !steps->consecutive || (step - 1) % steps->blocks == block;
}

/* The first step after `step` in which a block learns. */
static inline uint64_t muster__vertical_next(const struct muster__vertical_steps *steps, uint64_t step,
                                             size_t block)
{
    do
        step++;
    while (!muster__vertical_learns(steps, step, block));
    return step;
}

#endif
