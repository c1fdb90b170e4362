/* Differential privacy of whole participants: what is spent, the clipping of changes, and Gaussian noise. */
#ifndef MUSTER_PRIVACY_H
#define MUSTER_PRIVACY_H

#include <stddef.h>
#include <stdint.h>

#include <muster/export.h>
#include <muster/message.h>
#include <muster/status.h>

MUSTER_BEGIN_DECLS

/*
 * A private step, as the functions below make it: each participant's change (its answer minus the model that
 * it was sent) is clipped to a norm of at most C, the changes are added up, each sum gets Gaussian noise of
 * the standard deviation sigma * C, and what comes out is divided by a number that does not depend on who
 * answered. What is done with it afterwards, such as an optimizer's step, costs nothing more.
 * docs/privacy.md says what the epsilon of such a training covers, and what it does not.
 */

/* ---- what is spent ---- */

/** How the participants of a step are chosen, and so who is compared with whom. */
enum muster_sampling {
    /**
     * Each participant is drawn by itself, with the same probability. Two trainings are neighbours if one has
     * a participant that the other does not have (add/remove).
     */
    MUSTER_SAMPLING_POISSON = 1,
    /**
     * A fixed number of participants, each set being as likely as any other. Two trainings are neighbours if
     * one participant of the first is another one in the second (replace-one). The sum then changes by 2C,
     * not by C; the accountant knows that, so the caller's sigma is in units of C here, too.
     */
    MUSTER_SAMPLING_FIXED = 2,
    /**
     * Whoever comes, as in asynchronous training: nothing is gained by chance. Two trainings are neighbours
     * if the changes of one participant are 0 in the second (zero-out). A participant must be in a step at
     * most once.
     */
    MUSTER_SAMPLING_NONE = 3,
};

/** How an epsilon is computed from a Renyi divergence. */
enum muster_conversion {
    /** Mironov 2017, proposition 3. */
    MUSTER_CONVERSION_CLASSIC = 1,
    /** Canonne, Kamath and Steinke 2020, proposition 12; never more than the classic one. */
    MUSTER_CONVERSION_IMPROVED = 2,
};

/**
 * Adds up what the steps of one training cost: Renyi divergences of a list of orders between 1.1 and 1024.
 * One thread at a time for each accountant; no function blocks.
 */
struct muster_accountant;

/**
 * Makes an accountant that has spent nothing. The caller frees it with muster_accountant_free(). NULL if out
 * of memory, or if there is no such sampling.
 */
MUSTER_API struct muster_accountant *muster_accountant_new(enum muster_sampling sampling);

/**
 * Adds `steps` steps, each with noise of `sigma` times C, in which a participant takes part with the
 * probability `rate`.
 * - POISSON: the probability of being drawn (Mironov, Talwar and Zhang 2019).
 * - FIXED: how many are drawn out of how many (Wang, Balle and Kasiviswanathan 2019).
 * - NONE: 1.
 *
 * With a rate of 1 a step is the plain Gaussian mechanism; with a rate of 0 it costs nothing. A sigma so
 * small that no order has a finite divergence makes the epsilon infinite, and is no error here. The costs of
 * the last rate and sigma are kept, so that equal steps one by one take next to no time.
 *
 * INVALID, with *error (may be NULL), and nothing is added: the rate is not between 0 and 1, or not 1 with
 * NONE; sigma is not positive and finite; or there would be more than 2^53 steps in all.
 */
MUSTER_API enum muster_status muster_accountant_add(struct muster_accountant *accountant, double rate,
                                                    double sigma, uint64_t steps, struct muster_error *error);

/**
 * Sets *epsilon so that all steps together are (*epsilon, delta)-differentially private: 0 if nothing was
 * spent, infinite if no order has a finite divergence. INVALID, with *error (may be NULL): delta is not above
 * 0 and below 1, or there is no such conversion.
 */
MUSTER_API enum muster_status muster_accountant_epsilon(const struct muster_accountant *accountant,
                                                        double delta, enum muster_conversion conversion,
                                                        double *epsilon, struct muster_error *error);

/** How many steps were added. */
MUSTER_API uint64_t muster_accountant_steps(const struct muster_accountant *accountant);

/**
 * All that an accountant has to remember, to be saved: *array is a view of float64 numbers that the
 * accountant owns, valid until its next muster_accountant_add(), muster_accountant_restore() or
 * muster_accountant_free().
 */
MUSTER_API void muster_accountant_state(const struct muster_accountant *accountant,
                                        struct muster_array *array);

/**
 * Sets the accountant to a state that muster_accountant_state() gave, of this or an earlier process. FORMAT,
 * with *error (may be NULL), and the accountant is as before: the array is no such state, is one of another
 * sampling, or holds what no steps can cost.
 */
MUSTER_API enum muster_status muster_accountant_restore(struct muster_accountant *accountant,
                                                        const struct muster_array *array,
                                                        struct muster_error *error);

/** Frees the accountant; NULL is allowed. */
MUSTER_API void muster_accountant_free(struct muster_accountant *accountant);

/* ---- who is drawn ---- */

/*
 * Chance protects only those whose draw nobody knows: so these functions take no seed, but random numbers as
 * muster_privacy_noise() does. A participant that is told to train knows that it was drawn; nobody is to learn
 * it of others.
 */

/**
 * Draws for MUSTER_SAMPLING_POISSON: each of `population` numbers from 0 on by itself, with the probability
 * `rate`. Those that were drawn are written to chosen[population], in ascending order, and how many they are
 * to *count, which may be 0. Any thread; blocks as muster_privacy_noise() does. INVALID: the rate is not
 * between 0 and 1. UNSUPPORTED, OUT_OF_MEMORY: as there. After an error *count is 0. *error may be NULL.
 */
MUSTER_API enum muster_status muster_privacy_draw(size_t population, double rate, size_t *chosen,
                                                  size_t *count, struct muster_error *error);

/**
 * Draws for MUSTER_SAMPLING_FIXED: `count` different numbers from 0 to `population` - 1, each set being as
 * likely as any other. They are written to chosen[count], in ascending order. Otherwise as
 * muster_privacy_draw(); INVALID if count > population.
 */
MUSTER_API enum muster_status muster_privacy_draw_fixed(size_t population, size_t count, size_t *chosen,
                                                        struct muster_error *error);

/* ---- clipping ---- */

/**
 * Clips `count` arrays together: if the root of the sum of the squares of all their elements is more than
 * `clip`, all are made smaller by one factor, so that it is at most `clip` after rounding, too. values[i] is
 * where array i goes, of its dtype and size, and may be the array's own data. *norm (may be NULL) is set to
 * the norm before. Any thread; does not block.
 *
 * INVALID, with *error (may be NULL), and nothing is written: `clip` is not between 1e-100 and 1e100; an
 * array is not valid, is of integers or bools, or holds NaN or infinity; or the squares overflow a double.
 */
MUSTER_API enum muster_status muster_privacy_clip(const struct muster_array *arrays, size_t count,
                                                  double clip, void *const *values, double *norm,
                                                  struct muster_error *error);

/** How a sum of changes is made. */
struct muster_private_sum {
    double clip;   /* C, the largest norm of a change, between 1e-100 and 1e100 */
    double noise;  /* sigma, between 1e-4 and 1e6: the standard deviation is sigma * C; or 0: no noise */
    double weight; /* of this change, above 0 and at most 1, such as FedBuff's of late answers */
};

/**
 * Adds a clipped change to sums: weight * (arrays - base) * min(1, clip / norm of arrays - base), element by
 * element, in double. `sums` has a double for each element of all arrays, one array after the other. `base`
 * are as many arrays of the same dtypes and shapes.
 *
 * If there will be noise, each addend is rounded towards 0 to a multiple of a power of 2 that is about 2^-24
 * of the noise's standard deviation. Sums are then exact whatever their order, no change is larger than
 * weight * clip by rounding, and muster_privacy_noise() draws from the same multiples: so which doubles come
 * out says nothing (Mironov 2012; Casacuberta and others 2022).
 *
 * *norm (may be NULL) is set to the norm of the change before. Any thread; does not block. Errors are those
 * of muster_privacy_clip(), and INVALID for a noise or weight out of range, and FORMAT if dtypes or shapes
 * differ; `sums` are then as before.
 */
MUSTER_API enum muster_status muster_privacy_add(double *sums, const struct muster_array *arrays,
                                                 const struct muster_array *base, size_t count,
                                                 const struct muster_private_sum *how, double *norm,
                                                 struct muster_error *error);

/* ---- noise ---- */

/**
 * Adds to each of `count` sums noise of its own, with a normal distribution of mean 0 and the standard
 * deviation how->noise * how->clip; how->weight is not read. With a noise of 0 nothing is added. The sums are
 * those of muster_privacy_add(); others are rounded to the nearest multiple first.
 *
 * The noise is cryptographic: it comes from AES-256 in counter mode, with a key that every call takes from
 * the system and wipes afterwards. So no two calls share a key, in this process, a fork of it, or any other,
 * and whoever knows all of the noise but one number learns nothing of that one.
 *
 * Any thread; blocks only where the system has no entropy yet, soon after it started. INVALID, with *error
 * (may be NULL): clip or noise are out of range. UNSUPPORTED: the system or libcrypto gives no random
 * numbers. OUT_OF_MEMORY. Then the sums must not be used: only some may have their noise.
 */
MUSTER_API enum muster_status muster_privacy_noise(double *sums, size_t count,
                                                   const struct muster_private_sum *how,
                                                   struct muster_error *error);

MUSTER_END_DECLS

#endif
