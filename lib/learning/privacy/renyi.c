/*
 * The Renyi divergence of the Gaussian mechanism on a Poisson sample (Mironov, Talwar and Zhang 2019). With
 * u(z) = rate * (exp((2z - 1) / (2 sigma^2)) - 1), it is log(A) / (order - 1), where A is the mean of
 * (1 + u(z))^order for z of N(0, sigma^2). Everything here computes A - 1, as A itself is 1 to 16 digits
 * where sigma is large.
 */
#include <config.h>

#include "learning/privacy/renyi.h"

#include <math.h>
#include <stdbool.h>

/* ---- logarithms ---- */

double muster__log_expm1(double x)
{
    return x > 0 ? x + log(-expm1(-x)) : -INFINITY;
}

double muster__log_add(double a, double b)
{
    double more = fmax(a, b), less = fmin(a, b);
    return isinf(more) ? more : more + log1p(exp(less - more));
}

double muster__log_choose(double n, double k)
{
    /* lgamma() writes to a variable that all threads share. */
    int sign;
    return lgamma_r(n + 1, &sign) - lgamma_r(k + 1, &sign) - lgamma_r(n - k + 1, &sign);
}

/* ---- whole orders ---- */

/* log(A - 1): the binomial series, without its first two terms, as those of A and of 1 are the same. */
static double whole_excess(double rate, double sigma, double order)
{
    double sum = -INFINITY;
    for (double k = 2; k <= order; k++) {
        double exponent = (k * k - k) / 2 / sigma / sigma;
        double rest = k < order ? (order - k) * log1p(-rate) : 0;
        sum = muster__log_add(sum, muster__log_choose(order, k) + rest + k * log(rate) +
                                       muster__log_expm1(exponent));
    }
    return sum;
}

/* ---- orders between ---- */

/* log((1 + u)^order - 1 - order * u), which is not negative; w = log(1 + u / rate). */
static double log_term(double rate, double order, double w)
{
    double u = rate * expm1(w);
    if (fabs(u) < 0.01) {
        double series = 0;
        for (double k = 12; k > 2; k--)
            series = (order - k + 1) / k * u * (1 + series);
        return log(order * (order - 1) / 2 * u * u * (1 + series));
    }
    double l = isfinite(u) ? log1p(u) : log(rate) + w;
    return order * l + log1p((order - 1) * exp(-order * l) - order * exp((1 - order) * l));
}

/*
 * log(A - 1) as a sum over equal steps, which for such functions is exact to rounding if the steps are small
 * against 1 and against the distance to where 1 + u is 0, which is pi * sigma from the real numbers.
 */
static double excess_by_steps(double rate, double sigma, double order)
{
    double step = fmin(1. / 8, sigma / 4), sum = -INFINITY;
    double last = order / sigma + 13;
    for (double t = -13; t <= last; t += step)
        sum = muster__log_add(sum, log_term(rate, order, t / sigma - 0.5 / sigma / sigma) - t * t / 2);
    return sum + log(step) - log(2 * acos(-1)) / 2;
}

/* Below this the steps are too many, and an epsilon is in the hundreds. */
#define STEPS_SIGMA_MIN 0.05

static double poisson_cumulant(double rate, double sigma, double order)
{
    double excess;
    if (order == floor(order))
        excess = order < 2 ? -INFINITY : whole_excess(rate, sigma, order);
    else if (sigma >= STEPS_SIGMA_MIN)
        excess = excess_by_steps(rate, sigma, order);
    else { /* log(A) is convex in the order: no more than between its neighbours */
        double below = floor(order), part = order - below;
        return (1 - part) * poisson_cumulant(rate, sigma, below) +
               part * poisson_cumulant(rate, sigma, below + 1);
    }
    return muster__log_add(0, excess);
}

void muster__renyi_poisson(double rate, double sigma, const double *orders, size_t count, double *costs)
{
    for (size_t i = 0; i < count; i++) {
        double whole = orders[i] / 2 / sigma / sigma; /* of everyone */
        if (rate == 0)
            costs[i] = 0;
        else if (rate == 1 || isinf(whole))
            costs[i] = whole;
        else
            costs[i] = fmin(poisson_cumulant(rate, sigma, orders[i]) / (orders[i] - 1), whole);
    }
}
