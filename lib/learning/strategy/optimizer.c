/* Optimizers of the server (Reddi et al. 2021; FedAvgM: Hsu et al. 2019). */
#include <config.h>

#include "learning/strategy/optimizer.h"

#include <math.h>

#include "learning/strategy/strategy.h"

/*
 * The memory of an array decides in which precision a step is computed: what a float remembers is no better
 * for doubles in between. Loops have no branches, and are called with a whole block where there is one, so
 * that they are vectorised.
 */

static void scale(const struct optimizer *optimizer, void *ms, void *vs, double *changes, size_t count)
{
    (void)ms;
    (void)vs;
    for (size_t i = 0; i < count; i++)
        changes[i] *= optimizer->eta;
}

#define MOMENTUM(type)                                                                                  \
    static inline void some_momentum_##type(const struct optimizer *optimizer, type *restrict ms,       \
                                            double *restrict changes, size_t count)                     \
    {                                                                                                   \
        const type kept = (type)optimizer->beta1, eta = (type)optimizer->eta;                           \
        for (size_t i = 0; i < count; i++) {                                                            \
            type m = kept * ms[i] + (type)changes[i];                                                   \
            changes[i] = (double)(eta * m);                                                             \
            ms[i] = m;                                                                                  \
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

/* Of v, what a rule makes with the squared change; kept is beta2. */
#define ADAM_SCALE(type)    (kept * v + rest * square)
#define YOGI_SCALE(type)    (v - rest * square * ((type)(v > square) - (type)(v < square)))
#define ADAGRAD_SCALE(type) (v + square)

#define ADAPTIVE(rule, type, SCALE, ROOT)                                                              \
    static inline void some_##rule##_##type(const struct optimizer *optimizer, type *restrict ms,      \
                                            type *restrict vs, double *restrict changes, size_t count) \
    {                                                                                                  \
        const type kept1 = (type)optimizer->beta1, rest1 = (type)(1 - optimizer->beta1);               \
        const type kept = (type)optimizer->beta2, rest = (type)(1 - optimizer->beta2);                 \
        const type eta = (type)optimizer->eta, tau = (type)optimizer->tau;                             \
        (void)kept, (void)rest;                                                                        \
        for (size_t i = 0; i < count; i++) {                                                           \
            type change = (type)changes[i], square = change * change, v = vs[i];                       \
            type m = kept1 * ms[i] + rest1 * change;                                                   \
            v = SCALE(type);                                                                           \
            changes[i] = (double)(eta * m / (ROOT(v) + tau));                                          \
            ms[i] = m;                                                                                 \
            vs[i] = v;                                                                                 \
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

#define OF_BOTH_TYPES(rule, SCALE)      \
    ADAPTIVE(rule, float, SCALE, sqrtf) \
    ADAPTIVE(rule, double, SCALE, sqrt)

MOMENTUM(float)
MOMENTUM(double)
OF_BOTH_TYPES(adam, ADAM_SCALE)
OF_BOTH_TYPES(yogi, YOGI_SCALE)
OF_BOTH_TYPES(adagrad, ADAGRAD_SCALE)

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
