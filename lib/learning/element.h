/* What the mean does with the elements of an array: one set of functions for each dtype. */
#ifndef MUSTER_LEARNING_ELEMENT_H
#define MUSTER_LEARNING_ELEMENT_H

#include <stddef.h>

#include <muster/message.h>

struct element {
    /* No value is further from 0 than this; infinity or NaN when there is one among them. */
    double (*largest)(const void *values, size_t count);
    /* sums[i] += weight * values[i] */
    void (*add)(double *sums, const void *values, size_t count, double weight);
    /* values[i] = sums[i] / weight, rounded once to the nearest that there is, halfway to even. */
    void (*divide)(void *values, const double *sums, size_t count, double weight);
};

/* Of a dtype that there is. */
const struct element *muster__element(enum muster_dtype dtype);

#endif
