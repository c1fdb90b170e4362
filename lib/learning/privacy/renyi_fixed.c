/*
 * The Renyi divergence of the Gaussian mechanism on a sample of fixed size, without replacement: Wang, Balle
 * and Kasiviswanathan 2019, theorem 27 for whole orders, corollary 10 between them. Neighbours differ by a
 * participant that is another one, so that the mechanism itself has half of the sigma.
 */
#include <config.h>

#include "learning/privacy/renyi.h"

#include <math.h>

/* From here on the differences of the theorem are not computed: its simpler bound is taken alone. */
enum { DIFFERENCES = 256 };

/* Below this they are larger than the simpler bound. */
#define DIFFERENCES_SIGMA_MIN 0.3

struct fixed {
    double rate;
    double sigma;                            /* of the mechanism, in units of what a neighbour changes */
    double differences[DIFFERENCES / 2 + 1]; /* differences[i]: log of the mean of (p/q - 1)^2i under q */
};

/* log of the mean of (exp(t / sigma - 1 / (2 sigma^2)) - 1)^power for t of N(0, 1), the power being even. */
static double difference(double sigma, double power)
{
    double step = 1. / 8, edge = 12 + sqrt(power), sum = -INFINITY;
    double last = power / sigma + edge;
    for (double t = -edge; t <= last; t += step) {
        double w = t / sigma - 0.5 / sigma / sigma;
        double size = w > 0 ? muster__log_expm1(w) : log(-expm1(w));
        sum = muster__log_add(sum, power * size - t * t / 2);
    }
    return sum + log(step) - log(2 * acos(-1)) / 2;
}

static void find_differences(struct fixed *fixed, double highest)
{
    for (size_t i = 1; i <= DIFFERENCES / 2; i++) {
        fixed->differences[i] = INFINITY;
        if (fixed->sigma >= DIFFERENCES_SIGMA_MIN && 2 * (double)i <= highest + 1)
            fixed->differences[i] = difference(fixed->sigma, 2 * (double)i);
    }
}

/* (j - 1) times the mechanism's own divergence of order j. */
static double plain(const struct fixed *fixed, double j)
{
    return j * (j - 1) / 2 / fixed->sigma / fixed->sigma;
}

static double term(const struct fixed *fixed, double j)
{
    if (j == 2)
        return fmin(log(4) + muster__log_expm1(plain(fixed, 2)), plain(fixed, 2) + log(2));
    double bound = log(2) + plain(fixed, j);
    if (j > DIFFERENCES)
        return bound;
    size_t below = (size_t)(j / 2), above = (size_t)((j + 1) / 2);
    return fmin(bound, log(4) + (fixed->differences[below] + fixed->differences[above]) / 2);
}

static double cumulant(const struct fixed *fixed, double order)
{
    double sum = -INFINITY;
    for (double j = 2; j <= order; j++)
        sum = muster__log_add(sum, muster__log_choose(order, j) + j * log(fixed->rate) + term(fixed, j));
    return muster__log_add(0, sum);
}

static double cost(const struct fixed *fixed, double order)
{
    double below = floor(order), part = order - below, whole = order / 2 / fixed->sigma / fixed->sigma;
    if (fixed->rate == 0)
        return 0;
    if (fixed->rate == 1 || isinf(whole))
        return whole;
    double sum = (1 - part) * cumulant(fixed, below);
    if (part > 0)
        sum += part * cumulant(fixed, below + 1);
    return fmin(sum / (order - 1), whole);
}

void muster__renyi_fixed(double rate, double sigma, const double *orders, size_t count, double *costs)
{
    struct fixed fixed = {.rate = rate, .sigma = sigma / 2};
    if (rate > 0 && rate < 1)
        find_differences(&fixed, DIFFERENCES);
    for (size_t i = 0; i < count; i++)
        costs[i] = cost(&fixed, orders[i]);
}
