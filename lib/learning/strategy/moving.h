/* How a model is moved: element by element, by changes that an optimizer may turn into steps. */
#ifndef MUSTER_STRATEGY_MOVING_H
#define MUSTER_STRATEGY_MOVING_H

#include "learning/strategy/strategy.h"

/* Where the changes come from. */
struct moving {
    /* Writes the changes of `count` elements of the array, at most STRATEGY_BLOCK, from `first` on, whose
       values are these. */
    void (*read)(const struct moving *moving, size_t array, size_t first, size_t count, const double *values,
                 double *changes);
    const struct muster_strategy *strategy;
    const void *sums;
    double divisor;
    double share; /* of the value itself that is in the sums */
};

/* Moves all arrays of floats, and the optimizer's memory with them. */
void muster__move(struct muster_strategy *strategy, const struct moving *moving);

/* Adds changes to a few elements of an array of floats, at most STRATEGY_BLOCK, without an optimizer. */
void muster__move_by(struct muster_strategy *strategy, size_t array, size_t first, size_t count,
                     const double *changes);

/* Moves the arrays of integers and bools to sums / divisor, one sum for each element of all arrays. */
void muster__move_others(struct muster_strategy *strategy, const double *sums, double divisor);

#endif
