/* Weighted sums of models, in doubles. */
#ifndef MIXTURE_H
#define MIXTURE_H

#include <stdbool.h>
#include <stddef.h>

#include <muster/muster.h>

/* Of zeros: empty. */
struct mixture {
    double *sum;
    size_t count; /* elements of all arrays */
    double weight;
};

/* Empties it, for arrays like these; false when out of memory. */
bool mixture_begin(struct mixture *mixture, const struct muster_array *arrays, size_t count);
/* Adds arrays of float32 or float64. */
void mixture_add(struct mixture *mixture, const struct muster_array *arrays, size_t count, double weight);
/* Writes the sum, divided by the sum of the weights, to arrays whose data is the caller's. */
void mixture_end(const struct mixture *mixture, const struct muster_array *arrays, size_t count);
void mixture_free(struct mixture *mixture);

/* The square of the distance between two models of one shape. */
double squared_distance(const struct muster_array *arrays, const struct muster_array *others, size_t count);
/* Whether all numbers are finite. */
bool arrays_are_finite(const struct muster_array *arrays, size_t count);

#endif
