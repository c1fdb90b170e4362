/* What one private step costs: the Renyi divergence of an order above 1. Rates lie between 0 and 1. */
#ifndef MUSTER_LEARNING_PRIVACY_RENYI_H
#define MUSTER_LEARNING_PRIVACY_RENYI_H

#include <stddef.h>

/* Makes costs[i], of the order orders[i], which is at most 1024: never negative or NaN, maybe infinite. */
void muster__renyi_poisson(double rate, double sigma, const double *orders, size_t count, double *costs);

/* The same of a fixed number of participants. A participant that becomes another one changes the sum by 2C;
   sigma is in units of C. */
void muster__renyi_fixed(double rate, double sigma, const double *orders, size_t count, double *costs);

/* log(exp(x) - 1) for x >= 0; minus infinity for 0. */
double muster__log_expm1(double x);

/* log(exp(a) + exp(b)). */
double muster__log_add(double a, double b);

/* log(n over k). */
double muster__log_choose(double n, double k);

#endif
