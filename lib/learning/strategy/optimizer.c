/* Optimizers of the server (Reddi et al. 2021; FedAvgM: Hsu et al. 2019). */
#include <config.h>

#include "learning/strategy/optimizer.h"

#include <math.h>

#include "learning/strategy/strategy.h"

/* ---- one element, without branches, so that the loops below are vectorised ---- */

static inline double momentum_step(const struct optimizer *optimizer, double *m, double change)
{
    *m = optimizer->beta1 * *m + change;
    return optimizer->eta * *m;
}

static inline double adaptive_step(const struct optimizer *optimizer, double *m, double v, double change)
{
    *m = optimizer->beta1 * *m + (1 - optimizer->beta1) * change;
    return optimizer->eta * *m / (sqrt(v) + optimizer->tau);
}

static inline double adam_scale(const struct optimizer *optimizer, double v, double square)
{
    return optimizer->beta2 * v + (1 - optimizer->beta2) * square;
}

static inline double yogi_scale(const struct optimizer *optimizer, double v, double square)
{
    double part = (1 - optimizer->beta2) * square;
    double sign = (double)(v > square) - (double)(v < square);
    return v - part * sign;
}

static inline double adagrad_scale(const struct optimizer *optimizer, double v, double square)
{
    (void)optimizer;
    return v + square;
}

static void scale(const struct optimizer *optimizer, void *ms, void *vs, double *changes, size_t count)
{
    (void)ms;
    (void)vs;
    for (size_t i = 0; i < count; i++)
        changes[i] *= optimizer->eta;
}

/* ---- many, with memory of one type ---- */

#define MOMENTUM(type)                                                                                  \
    static inline void some_momentum_##type(const struct optimizer *optimizer, type *restrict ms,       \
                                            double *restrict changes, size_t count)                     \
    {                                                                                                   \
        for (size_t i = 0; i < count; i++) {                                                            \
            double m = (double)ms[i];                                                                   \
            changes[i] = momentum_step(optimizer, &m, changes[i]);                                      \
            ms[i] = (type)m;                                                                            \
        }                                                                                               \
    }                                                                                                   \
                                                                                                        \
    static void momentum_##type(const struct optimizer *optimizer, void *ms, void *vs, double *changes, \
                                size_t count)                                                           \
    {                                                                                                   \
        (void)vs;                                                                                       \
        if (count == STRATEGY_BLOCK)                                                                    \
            some_momentum_##type(optimizer, ms, changes, STRATEGY_BLOCK);                               \
        else                                                                                            \
            some_momentum_##type(optimizer, ms, changes, count);                                        \
    }

#define ADAPTIVE(rule, type)                                                                           \
    static inline void some_##rule##_##type(const struct optimizer *optimizer, type *restrict ms,      \
                                            type *restrict vs, double *restrict changes, size_t count) \
    {                                                                                                  \
        for (size_t i = 0; i < count; i++) {                                                           \
            double m = (double)ms[i];                                                                  \
            double v = rule##_scale(optimizer, (double)vs[i], changes[i] * changes[i]);                \
            changes[i] = adaptive_step(optimizer, &m, v, changes[i]);                                  \
            ms[i] = (type)m;                                                                           \
            vs[i] = (type)v;                                                                           \
        }                                                                                              \
    }                                                                                                  \
                                                                                                       \
    static void rule##_##type(const struct optimizer *optimizer, void *ms, void *vs, double *changes,  \
                              size_t count)                                                            \
    {                                                                                                  \
        if (count == STRATEGY_BLOCK)                                                                   \
            some_##rule##_##type(optimizer, ms, vs, changes, STRATEGY_BLOCK);                          \
        else                                                                                           \
            some_##rule##_##type(optimizer, ms, vs, changes, count);                                   \
    }

#define OF_BOTH_TYPES(rule) \
    ADAPTIVE(rule, float)   \
    ADAPTIVE(rule, double)

MOMENTUM(float)
MOMENTUM(double)
OF_BOTH_TYPES(adam)
OF_BOTH_TYPES(yogi)
OF_BOTH_TYPES(adagrad)

typedef void steps(const struct optimizer *optimizer, void *ms, void *vs, double *changes, size_t count);

static steps *const rules[][2] = {
    [RULE_SCALE] = {scale, scale},
    [RULE_MOMENTUM] = {momentum_float, momentum_double},
    [RULE_ADAM] = {adam_float, adam_double},
    [RULE_YOGI] = {yogi_float, yogi_double},
    [RULE_ADAGRAD] = {adagrad_float, adagrad_double},
};

void muster__optimize(const struct optimizer *optimizer, enum muster_dtype dtype, void *m, void *v,
                      double *changes, size_t count)
{
    if (optimizer->rule != RULE_NONE)
        rules[optimizer->rule][muster__memory_is_double(dtype)](optimizer, m, v, changes, count);
}
