/* Strategies: how a server makes its next model of the answers of participants. */
#ifndef MUSTER_STRATEGY_H
#define MUSTER_STRATEGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/export.h>
#include <muster/message.h>
#include <muster/npz.h>
#include <muster/status.h>

MUSTER_BEGIN_DECLS

/**
 * A strategy holds the model of one training, what its optimizer remembers, and the answers of the running
 * round. A round is: muster_strategy_add() for each answer, then muster_strategy_step(), which moves the
 * model. docs/strategies.md says which strategy is for what, what each costs, and what it does not protect
 * from.
 *
 * A strategy knows arrays, not layers. The arrays keep their dtypes. "Floats" below are the arrays of
 * float32, float64, float16 and bfloat16. Arrays of integers and of bools are counters and masks: they follow
 * the mean of the answers (or the median, or the answers that Krum chose), as in muster/mean.h, and no
 * optimizer. A number that a step takes beyond what its dtype can hold becomes the largest or the lowest one
 * of the dtype.
 *
 * One thread at a time for each strategy. Functions that block on disk say so.
 */
struct muster_strategy;

/* ---- the table of strategies ---- */

/** A parameter of a strategy, such as "beta1". All of them are doubles. */
struct muster_strategy_parameter {
    const char *name;
    double initial;        /* what it is if nobody sets it */
    double lowest;         /* inclusive */
    double highest;        /* inclusive */
    bool integer;          /* only numbers without a fraction */
    bool for_participants; /* the server sends it with each instruction to train, as a scalar of this name */
    const char *help;      /* one sentence */
};

/** A row of the table. Later releases add fields at the end only. */
struct muster_strategy_kind {
    const char *name;    /* "fedavg" */
    const char *summary; /* one sentence */
    const struct muster_strategy_parameter *parameters;
    size_t parameter_count;
    bool weighted;     /* an answer counts as its weight says: the number of its samples. Others ignore it */
    bool needs_loss;   /* an answer needs the loss of the model that its participant received */
    bool whole;        /* needs all answers at once, and keeps them on disk until the step */
    bool asynchronous; /* answers are changes of a base, an older model perhaps, and come at any time */
    bool can_be_private; /* options may set `clip` and `noise` */
};

/** The row with this index; NULL beyond the last. Static; any thread. */
MUSTER_API const struct muster_strategy_kind *muster_strategy_kind_at(size_t index);

/** The row of this name; NULL if there is none. Static; any thread. */
MUSTER_API const struct muster_strategy_kind *muster_strategy_find(const char *name);

/* ---- making one ---- */

/**
 * muster_strategy_new() copies the options. Fill them in with muster_strategy_options_init() first. Later
 * releases add fields at the end only, so a program that was built with this header also runs with their
 * library.
 */
struct muster_strategy_options {
    /** The size of this struct; set by muster_strategy_options_init(). */
    size_t size;
    /** A name of the table. */
    const char *name;
    /** The parameters that are not as they are initially. */
    const struct muster_scalar *parameters;
    size_t parameter_count;
    /**
     * Where a strategy that is `whole` keeps the answers of a round, in the file answers.spool: a directory
     * of this process alone, such as a run directory. The file is overwritten in each round, and removed by
     * muster_strategy_free(). It holds what participants answered; only the file's owner can read it. NULL: a
     * file without a name in TMPDIR, or in /tmp. (Where that is a tmpfs, the answers take memory.)
     */
    const char *directory;
    /**
     * Optimizers start and scale as those of Flower do, and not as in Reddi et al. 2021: v is 0 at first
     * instead of tau^2, and at its t-th step "fedadam" multiplies eta by
     * sqrt(1 - beta2^(t+1)) / (1 - beta1^(t+1)). Other strategies are the same.
     */
    bool flower_compatible;
    /**
     * Client-level differential privacy: the change that an answer makes to the model is scaled down to a
     * norm of at most `clip`, over all arrays together, and counts with the weight 1. 0: no clipping.
     */
    double clip;
    /**
     * With `clip`: each step adds normal noise with a standard deviation of noise * clip to each number of
     * the sum of the changes, from a cryptographic generator. 0: no noise, and no privacy.
     */
    double noise;
};

/** muster_strategy_options_init() calls this with the size of the struct in the caller's header. */
MUSTER_API void muster_strategy_options_init_sized(struct muster_strategy_options *options, size_t size);

/**
 * Fills in the defaults: "fedavg", initial parameters, no directory, not as Flower, no privacy. Any thread.
 */
static inline void muster_strategy_options_init(struct muster_strategy_options *options)
{
    muster_strategy_options_init_sized(options, sizeof(*options));
}

/**
 * Makes a strategy that begins with a copy of `model`: its arrays and their names, if it has names. On
 * MUSTER_OK the caller owns *strategy and frees it with muster_strategy_free(); otherwise it is NULL. With
 * *error (may be NULL):
 * - INVALID: there is no such strategy or parameter; a parameter is out of range; the model has no arrays, or
 *   NaN or infinity in them; `clip` or `noise` is out of range, or set for a strategy that cannot be private
 *   or a model with arrays of integers or bools; the options were not filled in.
 * - IO: the file for answers cannot be made.
 * - OUT_OF_MEMORY.
 *
 * Blocks on disk if the strategy is `whole`.
 */
MUSTER_API enum muster_status muster_strategy_new(const struct muster_strategy_options *options,
                                                  const struct muster_message *model,
                                                  struct muster_strategy **strategy,
                                                  struct muster_error *error);

/** Frees the strategy, and removes its file of answers; NULL is allowed. Blocks on disk if it is `whole`. */
MUSTER_API void muster_strategy_free(struct muster_strategy *strategy);

/** The strategy's row of the table. */
MUSTER_API const struct muster_strategy_kind *muster_strategy_kind(const struct muster_strategy *strategy);

/** What a parameter is set to; NaN if the strategy has none of that name. */
MUSTER_API double muster_strategy_parameter(const struct muster_strategy *strategy, const char *name);

/**
 * How many answers a step needs at least: 1 for means, 2 * f + 1 for "trimmedmean", 2 * f + 3 for "krum", for
 * example. 0 if the strategy is private: who was drawn must not show, so a step of nobody adds its noise too.
 */
MUSTER_API size_t muster_strategy_least(const struct muster_strategy *strategy);

/* ---- a round ---- */

/** An answer. Begin with MUSTER_STRATEGY_ANSWER_INIT. The strategy reads it during the call only. */
struct muster_strategy_answer {
    const struct muster_message *message; /* its arrays count; scalars and values are ignored */
    double weight; /* above 0: the number of samples. Read if the strategy is `weighted` */
    double
        loss; /* of the model that the participant received, 0 or above; -1: none. Read if it `needs_loss` */
    /**
     * The rest is read if the strategy is `asynchronous`. The model that the participant was sent, a copy
     * that the caller kept of muster_strategy_model(); NULL: the current model. Its numbers are trusted.
     */
    const struct muster_message *base;
    uint64_t staleness;      /* how many steps there were since `base` was the current model */
    const void *reserved[2]; /* NULL; the size of this struct is final */
};

/** An answer without a message, with the weight 1 and no loss. */
#define MUSTER_STRATEGY_ANSWER_INIT \
    {                               \
        NULL, 1, -1, NULL, 0,       \
        {                           \
            NULL, NULL              \
        }                           \
    }

/**
 * Whether muster_strategy_add() would refuse the answer, which is not added: OK, FORMAT or INVALID, as there.
 * Reads all of the arrays. Does not block.
 */
MUSTER_API enum muster_status muster_strategy_check(const struct muster_strategy *strategy,
                                                    const struct muster_strategy_answer *answer,
                                                    struct muster_error *error);

/**
 * Adds an answer to the running round. After an error the round is as it was before, and other answers can be
 * added. *error (may be NULL) says why:
 * - FORMAT: number, dtypes, shapes or names of the arrays are not the model's; see muster_arrays_match().
 * - INVALID: the data holds NaN or infinity; numbers are so large that the strategy's sums could overflow
 *   (optimizers and FedBuff accept up to 1e15, and 1e150 in float64); the weight is not positive and finite;
 *   the loss is missing, negative or infinite; there are too many answers (the median and the trimmed mean
 *   take 65536, Krum 4096).
 * - IO: the disk is full, for example, on which a `whole` strategy keeps the answers.
 * - OUT_OF_MEMORY.
 *
 * A weight and a loss are only what a participant claims. Limit them: see muster_mean_add().
 *
 * Blocks on disk if the strategy is `whole`.
 */
MUSTER_API enum muster_status muster_strategy_add(struct muster_strategy *strategy,
                                                  const struct muster_strategy_answer *answer,
                                                  struct muster_error *error);

/** How many answers the running round has. */
MUSTER_API size_t muster_strategy_answers(const struct muster_strategy *strategy);

/** Forgets the answers of the running round, which was given up. The model stays. */
MUSTER_API void muster_strategy_begin(struct muster_strategy *strategy);

/**
 * Ends the round: moves the model, and forgets the answers. `divisor` is 0, or, if the strategy is private,
 * what the sum of the clipped changes is divided by: the number of participants that are expected in a round,
 * q * N, whoever comes. (0: the number of answers. With noise, `divisor` has to be above 0.)
 *
 * After an error the model and the optimizer's memory are unchanged, and the answers are forgotten: the round
 * is void. *error (may be NULL) says why:
 * - TOO_FEW: there are fewer answers than muster_strategy_least().
 * - INVALID: `divisor` does not suit.
 * - IO: the answers cannot be read back, or there is no random number for the noise.
 * - OUT_OF_MEMORY.
 *
 * Blocks on disk if the strategy is `whole`.
 */
MUSTER_API enum muster_status muster_strategy_step(struct muster_strategy *strategy, double divisor,
                                                   struct muster_error *error);

/**
 * The model, as a message of the kind MUSTER_TRAIN that owns nothing. It stays the same message, but after a
 * step its arrays may lie elsewhere: data that was read from it is valid until the next step.
 */
MUSTER_API const struct muster_message *muster_strategy_model(const struct muster_strategy *strategy);

/* ---- saved and restored ---- */

/** How many arrays muster_strategy_state() gives. It does not change while the strategy lives. */
MUSTER_API size_t muster_strategy_state_count(const struct muster_strategy *strategy);

/**
 * Writes to arrays[muster_strategy_state_count()] what the strategy needs besides the model to go on
 * elsewhere: the optimizer's memory and, if it is `asynchronous`, the sum of the changes that were added
 * since the last step. Their names begin with "strategy.". The caller saves them, and the model under names
 * of its own, as with muster_run_commit(). They are views, valid until the next step, add, restore or free.
 * Answers of the running round of another strategy are not in them.
 */
MUSTER_API void muster_strategy_state(const struct muster_strategy *strategy,
                                      struct muster_named_array *arrays);

/**
 * Puts a strategy, which was made with the same options and the saved model, into a state that
 * muster_strategy_state() gave. Other arrays among the `count` are ignored. The steps that follow give the
 * same bits as those of the strategy that was saved. The answers of the running round are forgotten. After an
 * error the strategy is as it was, and *error (may be NULL) says why:
 * - FORMAT: an array is missing, of another dtype or shape, or holds what cannot be.
 */
MUSTER_API enum muster_status muster_strategy_restore(struct muster_strategy *strategy,
                                                      const struct muster_named_array *arrays, size_t count,
                                                      struct muster_error *error);

MUSTER_END_DECLS

#endif
