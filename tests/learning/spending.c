/*
 * Computes epsilons for a test that computes them in another way: reads lines of sampling (its number), rate,
 * sigma, steps and delta, and prints the epsilon of the classic and of the improved conversion.
 */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>

#include <muster/privacy.h>

static enum muster_status spend(struct muster_accountant *accountant, double rate, double sigma,
                                uint64_t steps, double delta, struct muster_error *error)
{
    double classic = 0, improved = 0;
    enum muster_status status = muster_accountant_add(accountant, rate, sigma, steps, error);
    if (status == MUSTER_OK)
        status = muster_accountant_epsilon(accountant, delta, MUSTER_CONVERSION_CLASSIC, &classic, error);
    if (status == MUSTER_OK)
        status = muster_accountant_epsilon(accountant, delta, MUSTER_CONVERSION_IMPROVED, &improved, error);
    if (status == MUSTER_OK)
        printf("%.17g %.17g\n", classic, improved);
    return status;
}

int main(void)
{
    unsigned sampling;
    double rate, sigma, delta;
    uint64_t steps;
    struct muster_error error = {MUSTER_OK, "out of memory, or no such sampling"};
    enum muster_status status = MUSTER_OK;
    while (status == MUSTER_OK &&
           scanf("%u %lf %lf %" SCNu64 " %lf", &sampling, &rate, &sigma, &steps, &delta) == 5) {
        struct muster_accountant *accountant = muster_accountant_new((enum muster_sampling)sampling);
        status = accountant ? spend(accountant, rate, sigma, steps, delta, &error) : MUSTER_INVALID;
        muster_accountant_free(accountant);
    }
    if (status != MUSTER_OK)
        fprintf(stderr, "spending: %s\n", error.text);
    return status != MUSTER_OK;
}
