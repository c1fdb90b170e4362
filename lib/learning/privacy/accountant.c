/* The accountant: Renyi divergences of many orders, added up, and the epsilon that they make. */
#include <config.h>

#include <muster/privacy.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "learning/privacy/renyi.h"
#include "status.h"

/* 1.1 to 10.9 in tenths, 11 to 63, 128, 256, 512 and 1024: those of Google's accountant. */
enum { TENTHS = 99, WHOLE = 53, POWERS = 4, ORDERS = TENTHS + WHOLE + POWERS };

/* What is saved. */
enum { FORMAT, SAMPLING, STEPS, COSTS, STATE = COSTS + ORDERS };

#define FORMAT_1  1.0
#define STEPS_MAX 0x1p53 /* so that a double counts them */

struct muster_accountant {
    enum muster_sampling sampling;
    double state[STATE];
    double orders[ORDERS];
    double rate; /* of costs; 0: of none yet */
    double sigma;
    double costs[ORDERS]; /* of one step */
};

static void list_orders(double orders[ORDERS])
{
    for (size_t i = 0; i < TENTHS; i++)
        orders[i] = 1 + (double)(i + 1) / 10;
    for (size_t i = 0; i < WHOLE; i++)
        orders[TENTHS + i] = 11 + (double)i;
    for (size_t i = 0; i < POWERS; i++)
        orders[TENTHS + WHOLE + i] = ldexp(128, (int)i);
}

struct muster_accountant *muster_accountant_new(enum muster_sampling sampling)
{
    if (sampling != MUSTER_SAMPLING_POISSON && sampling != MUSTER_SAMPLING_FIXED &&
        sampling != MUSTER_SAMPLING_NONE)
        return NULL;
    struct muster_accountant *accountant = calloc(1, sizeof(*accountant));
    if (!accountant)
        return NULL;
    accountant->sampling = sampling;
    accountant->state[FORMAT] = FORMAT_1;
    accountant->state[SAMPLING] = (double)sampling;
    list_orders(accountant->orders);
    return accountant;
}

void muster_accountant_free(struct muster_accountant *accountant)
{
    free(accountant);
}

/* ---- steps ---- */

static enum muster_status check_step(const struct muster_accountant *accountant, double rate, double sigma,
                                     uint64_t steps, struct muster_error *error)
{
    if (!(rate >= 0 && rate <= 1))
        return muster__error(error, MUSTER_INVALID, "the rate %g is not between 0 and 1", rate);
    if (accountant->sampling == MUSTER_SAMPLING_NONE && rate != 1)
        return muster__error(error, MUSTER_INVALID, "the rate %g is not 1, but nobody is drawn by chance",
                             rate);
    if (!(sigma > 0) || !isfinite(sigma))
        return muster__error(error, MUSTER_INVALID, "the noise %g is not a number above 0", sigma);
    if ((double)steps > STEPS_MAX - accountant->state[STEPS])
        return muster__error(error, MUSTER_INVALID, "there are more than 2^53 steps");
    return MUSTER_OK;
}

enum muster_status muster_accountant_add(struct muster_accountant *accountant, double rate, double sigma,
                                         uint64_t steps, struct muster_error *error)
{
    enum muster_status status = check_step(accountant, rate, sigma, steps, error);
    if (status != MUSTER_OK || steps == 0)
        return status;
    if (rate != accountant->rate || sigma != accountant->sigma) {
        if (accountant->sampling == MUSTER_SAMPLING_FIXED)
            muster__renyi_fixed(rate, sigma, accountant->orders, ORDERS, accountant->costs);
        else
            muster__renyi_poisson(rate, sigma, accountant->orders, ORDERS, accountant->costs);
        accountant->rate = rate;
        accountant->sigma = sigma;
    }
    for (size_t i = 0; i < ORDERS; i++)
        accountant->state[COSTS + i] += (double)steps * accountant->costs[i];
    accountant->state[STEPS] += (double)steps;
    return MUSTER_OK;
}

uint64_t muster_accountant_steps(const struct muster_accountant *accountant)
{
    return (uint64_t)accountant->state[STEPS];
}

/* ---- epsilon ---- */

/* A divergence of 0 means that the two are the same, whatever the order. */
static double convert(double order, double cost, double delta, enum muster_conversion conversion)
{
    if (cost == 0)
        return 0;
    if (conversion == MUSTER_CONVERSION_CLASSIC)
        return cost - log(delta) / (order - 1);
    /* The total variation is at most sqrt(1 - exp(-cost)): Bretagnolle and Huber 1979. */
    if (delta * delta + expm1(-cost) > 0)
        return 0;
    return fmax(0, cost + log1p(-1 / order) - (log(delta) + log(order)) / (order - 1));
}

enum muster_status muster_accountant_epsilon(const struct muster_accountant *accountant, double delta,
                                             enum muster_conversion conversion, double *epsilon,
                                             struct muster_error *error)
{
    if (!(delta > 0 && delta < 1))
        return muster__error(error, MUSTER_INVALID, "delta %g is not above 0 and below 1", delta);
    if (conversion != MUSTER_CONVERSION_CLASSIC && conversion != MUSTER_CONVERSION_IMPROVED)
        return muster__error(error, MUSTER_INVALID, "there is no conversion %d", (int)conversion);
    double least = INFINITY;
    for (size_t i = 0; i < ORDERS; i++)
        least = fmin(least, convert(accountant->orders[i], accountant->state[COSTS + i], delta, conversion));
    *epsilon = least;
    return MUSTER_OK;
}

/* ---- what is saved ---- */

void muster_accountant_state(const struct muster_accountant *accountant, struct muster_array *array)
{
    *array = (struct muster_array){
        .dtype = MUSTER_FLOAT64, .dimensions = 1, .shape = {STATE}, .data = accountant->state};
}

enum muster_status muster_accountant_restore(struct muster_accountant *accountant,
                                             const struct muster_array *array, struct muster_error *error)
{
    double state[STATE];
    if (array->dtype != MUSTER_FLOAT64 || array->dimensions != 1 || array->shape[0] != STATE || !array->data)
        return muster__error(error, MUSTER_FORMAT,
                             "this is no accountant's state: it is not %d float64 numbers", STATE);
    memcpy(state, array->data, sizeof(state));
    if (state[FORMAT] != FORMAT_1)
        return muster__error(error, MUSTER_FORMAT, "the accountant's state is of the unknown format %g",
                             state[FORMAT]);
    if (state[SAMPLING] != accountant->state[SAMPLING])
        return muster__error(error, MUSTER_FORMAT, "the accountant's state is of another sampling");
    if (!(state[STEPS] >= 0 && state[STEPS] <= STEPS_MAX) || state[STEPS] != floor(state[STEPS]))
        return muster__error(error, MUSTER_FORMAT, "the accountant's state has %g steps", state[STEPS]);
    for (size_t i = 0; i < ORDERS; i++) {
        double cost = state[COSTS + i];
        if (!(cost >= 0) || (state[STEPS] == 0 && cost > 0))
            return muster__error(error, MUSTER_FORMAT, "the accountant's state has spent %g of order %g",
                                 cost, accountant->orders[i]);
    }
    memcpy(accountant->state, state, sizeof(state));
    return MUSTER_OK;
}
