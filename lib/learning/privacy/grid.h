/* What private sums are made of: multiples of one number, for the changes and for the noise. */
#ifndef MUSTER_LEARNING_PRIVACY_GRID_H
#define MUSTER_LEARNING_PRIVACY_GRID_H

#include <math.h>

#include <muster/privacy.h>

/* INVALID if clip or noise are out of range: clip.c. */
enum muster_status muster__privacy_check(const struct muster_private_sum *how, struct muster_error *error);

/* What muster_privacy_add() would return, and nothing is added. */
enum muster_status muster__privacy_check_change(const struct muster_array *arrays,
                                                const struct muster_array *base, size_t count,
                                                const struct muster_private_sum *how,
                                                struct muster_error *error);

/*
 * A power of 2 that is at most 2^-24 of the noise's standard deviation, and more than half of that; 0 without
 * noise. Fine enough that the model does not feel it, and so coarse that millions of the noise's doubles fall
 * on each multiple. A change of norm clip is at most 2^39 multiples, so that sums of thousands are exact
 * with the least noise, and of 500 million with a noise of 1.
 */
static inline double muster__privacy_grid(const struct muster_private_sum *how)
{
    return how->noise > 0 ? ldexp(1, ilogb(how->noise * how->clip) - 24) : 0;
}

#endif
