/* Optimizers of the server: they turn the change that answers ask for into the step that the model takes. */
#ifndef MUSTER_STRATEGY_OPTIMIZER_H
#define MUSTER_STRATEGY_OPTIMIZER_H

#include <stddef.h>

#include <muster/message.h>

enum optimizer_rule {
    RULE_NONE,     /* the change is the step */
    RULE_SCALE,    /* eta change */
    RULE_MOMENTUM, /* m = beta1 m + change; eta m */
    RULE_ADAM,     /* the others: m = beta1 m + (1 - beta1) change; eta m / (sqrt(v) + tau), where */
    RULE_YOGI,     /* v -= (1 - beta2) change^2 sign(v - change^2), and for Adam */
    RULE_ADAGRAD,  /* v = beta2 v + (1 - beta2) change^2, and for Adagrad v += change^2 */
};

struct optimizer {
    enum optimizer_rule rule;
    double eta;
    double beta1;
    double beta2;
    double tau;
};

/*
 * Makes steps of `count` changes, in place. The memory, m and v, has a value for each change: doubles if the
 * array is of float64, and floats otherwise.
 */
void muster__optimize(const struct optimizer *optimizer, enum muster_dtype dtype, void *m, void *v,
                      double *changes, size_t count);

#endif
