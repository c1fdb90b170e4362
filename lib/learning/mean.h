/* What strategies need of a mean besides its public functions. */
#ifndef MUSTER_LEARNING_MEAN_H
#define MUSTER_LEARNING_MEAN_H

#include <stdbool.h>

#include <muster/mean.h>

/*
 * An optimizer adds up squares, in float32 for arrays of float32 and less, and in float64 for those of
 * float64. Up to these values such a sum cannot overflow in any training: it would take 10^8 steps.
 */
#define SQUARED_MOST_SINGLE 1e15
#define SQUARED_MOST_DOUBLE 1e150

/* The most for an array of this dtype; infinity for integers and bools, which nobody squares. */
double muster__squared_most(enum muster_dtype dtype);

/* muster_mean_add_message(). With `squared`, values beyond muster__squared_most() are INVALID, too. */
enum muster_status muster__mean_add(struct muster_mean *mean, const struct muster_message *message,
                                    double weight, bool squared, struct muster_error *error);

/* What muster__mean_add() would refuse: FORMAT or INVALID. */
enum muster_status muster__mean_check(const struct muster_mean *mean, const struct muster_message *message,
                                      double weight, bool squared, struct muster_error *error);

/* The sums of all arrays, one after the other, of a mean for a model; zeros without members. The caller
   may change them if it resets the mean afterwards. *weight: of all members together. */
double *muster__mean_sums(struct muster_mean *mean, double *weight);

#endif
