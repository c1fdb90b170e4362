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

/* What becomes of v: `kept` is beta2, and `part` is 1 - beta2 of the squared change. */
#define SCALES(type)                                                                   \
    static inline type adam_scale_##type(type v, type square, type kept, type part)    \
    {                                                                                  \
        (void)square;                                                                  \
        return kept * v + part;                                                        \
    }                                                                                  \
                                                                                       \
    static inline type yogi_scale_##type(type v, type square, type kept, type part)    \
    {                                                                                  \
        (void)kept;                                                                    \
        return v - (v > square ? part : 0) + (v < square ? part : 0);                  \
    }                                                                                  \
                                                                                       \
    static inline type adagrad_scale_##type(type v, type square, type kept, type part) \
    {                                                                                  \
        (void)kept;                                                                    \
        (void)part;                                                                    \
        return v + square;                                                             \
    }

#define ADAPTIVE(rule, type, ROOT)                                                                     \
    static inline void some_##rule##_##type(const struct optimizer *optimizer, type *restrict ms,      \
                                            type *restrict vs, double *restrict changes, size_t count) \
    {                                                                                                  \
        const type kept1 = (type)optimizer->beta1, rest1 = (type)(1 - optimizer->beta1);               \
        const type kept = (type)optimizer->beta2, rest = (type)(1 - optimizer->beta2);                 \
        const type eta = (type)optimizer->eta, tau = (type)optimizer->tau;                             \
        for (size_t i = 0; i < count; i++) {                                                           \
            type change = (type)changes[i], square = change * change;                                  \
            type m = kept1 * ms[i] + rest1 * change;                                                   \
            type v = rule##_scale_##type(vs[i], square, kept, rest * square);                          \
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

#define RULES(type, ROOT)      \
    SCALES(type)               \
    MOMENTUM(type)             \
    ADAPTIVE(adam, type, ROOT) \
    ADAPTIVE(yogi, type, ROOT) \
    ADAPTIVE(adagrad, type, ROOT)

RULES(float, sqrtf)
RULES(double, sqrt)

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
