/*
 * What the files of this folder share: the rows of the table, and the struct of a strategy. strategy.c makes
 * it and does what all strategies have in common. The rest is a row's own: how answers are kept until the
 * step, and how the step moves the model.
 */
#ifndef MUSTER_STRATEGY_INTERNAL_H
#define MUSTER_STRATEGY_INTERNAL_H

#include <muster/mean.h>
#include <muster/strategy.h>

#include "learning/strategy/memory.h"
#include "learning/strategy/model.h"
#include "learning/strategy/optimizer.h"

/* The most parameters that a row has. */
enum { STRATEGY_PARAMETERS_MAX = 4 };

/* Elements that are worked on at a time, in memory that the processor's caches hold. */
enum { STRATEGY_BLOCK = 256 };

/* The numbers of a state. */
enum strategy_number {
    NUMBER_STEPS,   /* so far */
    NUMBER_ANSWERS, /* in the buffer of an asynchronous strategy */
    NUMBER_WEIGHT,  /* of these answers together */
    STRATEGY_NUMBERS,
};

struct spool;

struct muster_strategy {
    const struct strategy_kind *kind;
    double parameters[STRATEGY_PARAMETERS_MAX];
    bool flower_compatible;
    double clip; /* 0: not private */
    double noise;
    const struct strategy_keeping *keeping; /* the row's, or private.c's */
    struct strategy_model model;
    struct strategy_memory memory;
    double numbers[STRATEGY_NUMBERS];
    size_t answers;
    /* The row's own: */
    struct optimizer optimizer;
    struct muster_mean *mean; /* means.c */
    double divisor;           /* means.c: what its sums are divided by */
    double *sums;             /* private.c: one for each element of all arrays */
    struct spool *spool;      /* whole.c */
};

/* A row. No function is called while another one runs. */
struct strategy_kind {
    struct muster_strategy_kind shown;
    const struct strategy_keeping *keeping;
    /* How many answers a step needs; NULL: 1. */
    size_t (*least)(const struct muster_strategy *strategy);
    enum optimizer_rule rule;
    /* What it remembers from step to step for each array of floats, or for all: names, ended by NULL. */
    const char *memory[3];
    bool remembers_all;
    /* If it is `whole`: the most answers in a round, and what makes the data of the next model of them (as in
       model.h). */
    size_t answers_most;
    enum muster_status (*combine)(struct muster_strategy *strategy, void *next, struct muster_error *error);
};

/* How answers are kept until the step: the mean of them, all of them on disk, or the sum of their changes;
   and what a step makes of that. The arrays of answers have the dtypes and shapes of the model's. */
struct strategy_keeping {
    /* Makes what is needed; what it made before an error is freed by free(). */
    enum muster_status (*make)(struct muster_strategy *strategy, const char *directory,
                               struct muster_error *error);
    void (*free)(struct muster_strategy *strategy);
    enum muster_status (*check)(const struct muster_strategy *strategy,
                                const struct muster_strategy_answer *answer, struct muster_error *error);
    enum muster_status (*add)(struct muster_strategy *strategy, const struct muster_strategy_answer *answer,
                              struct muster_error *error);
    /* Moves the model by the answers, of which there are enough, and leaves them. After an error the model
       and the memory are as they were. */
    enum muster_status (*step)(struct muster_strategy *strategy, double divisor, struct muster_error *error);
    void (*forget)(struct muster_strategy *strategy);
};

/* Those with an index below their number; NULL beyond. */
const struct strategy_kind *muster__strategy_kind(size_t index);

/* What a strategy may be told of privacy, as privacy.h has it. */
#define STRATEGY_CLIP_LEAST  1e-100
#define STRATEGY_CLIP_MOST   1e100
#define STRATEGY_NOISE_LEAST 1e-4
#define STRATEGY_NOISE_MOST  1e6

/* Sets the kind and all that comes from the options: INVALID. parameters.c */
enum muster_status muster__parameters_take(struct muster_strategy *strategy,
                                           const struct muster_strategy_options *options,
                                           struct muster_error *error);

/* The value of the row's parameter with this number. */
static inline double parameter(const struct muster_strategy *strategy, size_t number)
{
    return strategy->parameters[number];
}

/* All there are: means.c, buffer.c, private.c, whole.c. */
extern const struct strategy_keeping muster__keeping_mean, muster__keeping_buffer, muster__keeping_private,
    muster__keeping_spool;

/* What a late answer counts, from 1 down: buffer.c. */
double muster__staleness_weight(const struct muster_strategy_answer *answer);

/* What whole strategies make of all answers: columns.c, krum.c. */
enum muster_status muster__combine_median(struct muster_strategy *strategy, void *next,
                                          struct muster_error *error);
enum muster_status muster__combine_trimmed(struct muster_strategy *strategy, void *next,
                                           struct muster_error *error);
enum muster_status muster__combine_krum(struct muster_strategy *strategy, void *next,
                                        struct muster_error *error);
enum muster_status muster__combine_multikrum(struct muster_strategy *strategy, void *next,
                                             struct muster_error *error);
size_t muster__least_trimmed(const struct muster_strategy *strategy);
size_t muster__least_krum(const struct muster_strategy *strategy);
size_t muster__least_multikrum(const struct muster_strategy *strategy);

#endif
