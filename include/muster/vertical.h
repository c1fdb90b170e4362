/*
 * Vertical learning: members hold different columns of the same people's records, a master holds their
 * labels, and together they train one model. Columns, labels and weights stay with their owners; scores and
 * residuals travel, and tell something of them: docs/vertical.md says how much. Only in a library that was
 * configured with --with-vertical.
 */
#ifndef MUSTER_VERTICAL_H
#define MUSTER_VERTICAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/export.h>
#include <muster/participant.h>
#include <muster/participant_manager.h>
#include <muster/statistics.h>
#include <muster/status.h>

MUSTER_BEGIN_DECLS

/**
 * Records: row i is the record of ids[i]. It owns nothing. Ids are UTF-8 of 1 to MUSTER_VERTICAL_ID_MAX bytes
 * without line ends, and no two are the same. Values are finite. All sets of ids are in one order: ascending
 * by bytes, as strcmp() compares them. The order of the rows in a table does not matter.
 */
struct muster_vertical_table {
    size_t rows;
    size_t columns;
    const char *const *ids;
    const double *values; /* rows x columns, in C order; may be NULL if there are no columns */
    /** The columns' names, of 1 to MUSTER_VERTICAL_ID_MAX bytes; NULL: they have none. They go into the file
       of a member's weights, which then are for no other columns. A master's are in messages alone. */
    const char *const *names;
};

/** The longest id, in bytes. */
#define MUSTER_VERTICAL_ID_MAX 1024

/** The most ids that a list can have. */
#define MUSTER_VERTICAL_MATCH_MAX 1000000000

/** What is learned from the sum of all scores, one for each output. A mean is over all rows and outputs. */
enum muster_vertical_model {
    /** A sigmoid for each output; labels are 0 or 1. One output is binary, several are multilabel. Loss: the
       mean of the cross entropy. */
    MUSTER_VERTICAL_LOGISTIC = 1,
    /** A softmax over the outputs; labels have one column, with classes from 0 to outputs - 1. Loss: the mean
       of the cross entropy over rows. */
    MUSTER_VERTICAL_MULTINOMIAL,
    /** The score itself. Loss: half of the mean of the squared error. */
    MUSTER_VERTICAL_LINEAR,
    /** The same, solved: each member sets its weights to V diag(s / (s^2 + n l2)) U' r, where U diag(s) V'
       are its columns of the n rows, and r is what the others leave of the labels. Where l2 is 0, singular
       values below eps max(n, p) s1 are dropped. Needs all rows in one batch; learning_rate and momentum are
       not used. */
    MUSTER_VERTICAL_RIDGE,
};

/* ---- a member ---- */

/**
 * The options of a member. Fill them in with muster_vertical_member_options_init() first.
 * muster_vertical_member_new() copies them and their strings. Later releases add fields at the end only.
 */
struct muster_vertical_member_options {
    size_t size; /* of this struct; set by muster_vertical_member_options_init() */
    /** With plain matching, this member does not narrow the set of records: rows that it lacks are zeros, and
       one more column is 1 in them and 0 elsewhere. */
    bool left;
    /** Refuses plain matching. */
    bool only_private;
    /** The most ids of another that it matches with; more are refused. Who sends many ids may be guessing, so
       on_warning is told of the sizes of all lists, too. From 1 to MUSTER_VERTICAL_MATCH_MAX. */
    size_t match_limit;
    /** A directory from which a member goes on after its own death: see muster/run.h. NULL: none. If the
       process dies, the training then ends with it. */
    const char *run;
    /** A file of muster_vertical_member_save(), for predictions by a model that was trained earlier. The
       member learns nothing then. It is read when the master begins: a bad one is a FORMAT or IO of
       muster_vertical_member_answer(). Not together with `run`. NULL: none. */
    const char *weights;
    /** Receives warnings for the member's operator. Called on the thread of muster_vertical_member_answer().
     * NULL: none. */
    void (*on_warning)(void *context, const char *text);
    void *context;
};

/** muster_vertical_member_options_init() calls this with the size of the struct in the caller's header. */
MUSTER_API void muster_vertical_member_options_init_sized(struct muster_vertical_member_options *options,
                                                          size_t size);

/** Fills in the defaults: joins inner, takes both ways of matching, up to 10 million ids, no files. Any
 * thread. */
static inline void muster_vertical_member_options_init(struct muster_vertical_member_options *options)
{
    muster_vertical_member_options_init_sized(options, sizeof(*options));
}

/** A member: its columns, its weights and how far it is. One thread at a time. */
struct muster_vertical_member;

/**
 * Makes a member of the records in `table`, which is not copied, must not change and must stay until the
 * member is freed. `options` NULL: the defaults. On MUSTER_OK the caller owns *member and frees it with
 * muster_vertical_member_free(). Otherwise it is NULL, and *error (may be NULL) says why:
 * - FORMAT: an id is not valid or there twice, or a value is not finite (with the row and the column, from
 * 1); or the run directory is damaged, or made of other records;
 * - BUSY, EXISTS, IO: as from muster_run_open();
 * - INVALID: there are no rows or no columns, or an option is not valid;
 * - OUT_OF_MEMORY.
 * Blocks on disk.
 */
MUSTER_API enum muster_status muster_vertical_member_new(const struct muster_vertical_table *table,
                                                         const struct muster_vertical_member_options *options,
                                                         struct muster_vertical_member **member,
                                                         struct muster_error *error);

/**
 * Answers the instruction that the participant consumed last. A member is this loop:
 *
 *     while (participant_consume(participant, MUSTER_NO_LIMIT, &instruction, &error) == MUSTER_OK)
 *         muster_vertical_member_answer(member, participant, instruction, &error);
 *
 * MUSTER_OK: it was answered. Otherwise *error (may be NULL) says why, and the loop may go on:
 * - UNKNOWN_INSTRUCTION: it is not one of vertical learning, and not answered; the program may answer it;
 * - FORMAT, PROTOCOL, UNSUPPORTED, TOO_BIG, INVALID, IO, OUT_OF_MEMORY: it was answered with MUSTER_FAILURE
 * and the reason;
 * - as from participant_dispatch(): the answer was not sent.
 * Blocks on disk.
 */
MUSTER_API enum muster_status muster_vertical_member_answer(struct muster_vertical_member *member,
                                                            struct participant *participant,
                                                            const struct muster_message *instruction,
                                                            struct muster_error *error);

/** How many updates the member has applied; 0 before the first. */
MUSTER_API uint64_t muster_vertical_member_updates(const struct muster_vertical_member *member);

/** Whether the master has said that all is complete: the training, or the predictions. */
MUSTER_API bool muster_vertical_member_finished(const struct muster_vertical_member *member);

/**
 * The weights, *columns x *outputs in C order, with one column more if the member joins left. They are of the
 * columns as they are standardised, if they are. NULL before a training has begun. Valid until the next call
 * with this member.
 */
MUSTER_API const double *muster_vertical_member_weights(const struct muster_vertical_member *member,
                                                        size_t *columns, size_t *outputs);

/**
 * Writes the weights, the mean and factor of each column, and their names if they have some, to an .npz file.
 * INVALID before a training has begun; otherwise as from muster_npz_write().
 */
MUSTER_API enum muster_status muster_vertical_member_save(const struct muster_vertical_member *member,
                                                          const char *path, struct muster_error *error);

/** Frees the member. NULL is allowed. */
MUSTER_API void muster_vertical_member_free(struct muster_vertical_member *member);

/* ---- the master ---- */

/** Predictions for some of the joint records, and what is known about them. Views. */
struct muster_vertical_part {
    size_t rows;
    size_t outputs;
    const size_t *own;         /* for each row: its row in the master's table */
    const double *predictions; /* rows x outputs: probabilities, or numbers of LINEAR and RIDGE */
    const double *labels;      /* the same, with classes of MULTINOMIAL as 0 and 1; NULL: there are none */
    double loss;               /* with labels and rows, without l2; otherwise NaN */
};

/** How well predictions agree with labels. What does not apply is NaN. */
struct muster_vertical_metrics {
    double loss;
    double accuracy;      /* the share of labels (LOGISTIC, at 0.5) or of rows (MULTINOMIAL) that are right */
    double roc_auc_macro; /* the mean over outputs that have both labels */
    double roc_auc_micro; /* of all outputs as one */
    double mae;
    double rmse;
    double r2; /* the mean over outputs */
};

/** Measures a part. Any thread; does not block. OUT_OF_MEMORY, or INVALID: there are no labels. */
MUSTER_API enum muster_status muster_vertical_measure(enum muster_vertical_model model,
                                                      const struct muster_vertical_part *part,
                                                      struct muster_vertical_metrics *metrics,
                                                      struct muster_error *error);

/** What the turns with one member cost since the last report. */
struct muster_vertical_member_report {
    const char *name;
    uint64_t turns;
    /** The member worked for so long in all, by its own clock, but no longer than its turns. */
    double task_ms;
    double turn_ms;      /* its turns took so long, in all; the rest is the sending and waiting */
    uint64_t sent_bytes; /* of arrays */
    uint64_t received_bytes;
};

/** How far the training is. Views, valid during the call. Later releases add fields at the end. */
struct muster_vertical_report {
    uint64_t update;     /* that was applied last, from 1 on */
    uint64_t updates;    /* in all */
    uint64_t epoch;      /* of that update, from 1 on */
    double iteration_ms; /* the mean since the last report */
    struct muster_vertical_part train;
    struct muster_vertical_part test;
    const struct muster_vertical_member_report *members;
    size_t member_count;
    struct muster_histogram iteration_times; /* of all updates of this master so far */
};

/**
 * The options of a master. Fill them in with muster_vertical_options_init() first. muster_vertical_new()
 * copies them, their strings and class_weights. Later releases add fields at the end only.
 */
struct muster_vertical_options {
    size_t size; /* of this struct; set by muster_vertical_options_init() */
    enum muster_vertical_model model;
    /** 0: as many as the labels have columns, or classes in MULTINOMIAL. */
    size_t outputs;
    /** Nobody learns ids that not all have: see docs/vertical.md. */
    bool private_matching;
    /** The most ids of a member, as match_limit of muster_vertical_member_options. */
    size_t match_limit;
    /** Each member standardises its columns, by mean and deviation on the training rows. A column that is
       constant there becomes 0. */
    bool standardize;
    /** The master adds a bias to each output, and learns it as the members learn weights, without l2. */
    bool bias;
    /** Weights begin uniform in [-1, 1) / sqrt(columns), from the seed; otherwise at 0. */
    bool uniform_start;
    /** Members are updated one after the other, each from the scores of those before it. Needs all rows in
       one batch. Otherwise all at once; with RIDGE, each then goes 1/members of the way, as it could
       overshoot together with the others. */
    bool consecutive;
    uint64_t epochs;
    size_t batch_size;     /* rows of each batch but the last of an epoch; 0: all */
    uint64_t report_every; /* updates; 0: once an epoch */
    double learning_rate;
    double l2;            /* is times each weight in the gradient, with a loss of l2/2 |w|^2 */
    double momentum;      /* v = momentum v + gradient, w -= learning_rate v */
    double test_fraction; /* of the joint rows, drawn by the seed: not trained on; from 0 to below 1 */
    /** For each output: the weight of label 1 (LOGISTIC), or of rows of that class (MULTINOMIAL). NULL: 1. */
    const double *class_weights;
    uint64_t seed;
    /** The most time for a turn with a member, and for a member to come back. MUSTER_NO_LIMIT is allowed. */
    int64_t member_timeout_ms;
    /** A directory from which the master goes on after its own death: see muster/run.h. NULL: none. */
    const char *run;
    /** A file of muster_vertical_save(), for predictions by a model that was trained earlier: model and bias
       come from it. Not together with `run`. NULL: none. */
    const char *weights;
    /**
     * Called by muster_vertical_train() every report_every updates, and after the last one, with predictions
     * for all records. Called on its thread. If a run goes on after a death, the last report before that may
     * come again. NULL: no reports, and no predictions for them.
     */
    void (*on_report)(void *context, const struct muster_vertical_report *report);
    /** Told when a member was lost or is back, and of each matching, with the sizes of lists. Called on the
       thread of the master's functions. NULL: nobody is told. */
    void (*on_warning)(void *context, const char *text);
    void *context;
};

/** muster_vertical_options_init() calls this with the size of the struct in the caller's header. */
MUSTER_API void muster_vertical_options_init_sized(struct muster_vertical_options *options, size_t size);

/**
 * Fills in the defaults: LOGISTIC, plain matching, up to 10 million ids of a member, a zero start, one epoch
 * of batches of 256, rate 0.1, no l2, no momentum, no rows for testing, seed 42, 360 s for a member. Any
 * thread.
 */
static inline void muster_vertical_options_init(struct muster_vertical_options *options)
{
    muster_vertical_options_init_sized(options, sizeof(*options));
}

/** A master: the labels, the bias and how far the training is. One thread at a time. */
struct muster_vertical;

/**
 * Makes a master of the labels in `labels`, which is not copied, must not change and must stay until the
 * master is freed. With options.weights the labels may have no columns. `options` NULL: the defaults. On
 * MUSTER_OK the caller owns *vertical and frees it with muster_vertical_free(). Otherwise it is NULL, and
 * *error (may be NULL) says why: FORMAT also if a label is not one of the model's; INVALID also if options do
 * not go together; UNSUPPORTED: OpenBLAS is not there; otherwise as from muster_vertical_member_new(). With
 * options.run, FORMAT also if the run is one of other labels or options. Blocks on disk.
 */
MUSTER_API enum muster_status muster_vertical_new(const struct muster_vertical_table *labels,
                                                  const struct muster_vertical_options *options,
                                                  struct muster_vertical **vertical,
                                                  struct muster_error *error);

/**
 * Waits for `members` participants, at most for `timeout_ms` (MUSTER_NO_LIMIT is allowed), and finds the
 * records that all have. Members are known by their names: give them names if they are to come back after a
 * death. A master that goes on with a run waits for the members of that run, and matches nothing again. The
 * manager must stay until the master is freed.
 *
 * Otherwise *error (may be NULL) says why, and names the member if it is about one:
 * - TIMEOUT: too few were there in time, or one did not answer in time;
 * - FORMAT: no record is common to all;
 * - TOO_BIG: a member takes or has too many ids;
 * - REFUSED, UNKNOWN_INSTRUCTION, PROTOCOL, GONE, STOPPED: as from proxy_run();
 * - INVALID: it was called before, `members` is 0, or more than `members` participants are there;
 * - IO, OUT_OF_MEMORY.
 * Blocks.
 */
MUSTER_API enum muster_status muster_vertical_match(struct muster_vertical *vertical,
                                                    struct participant_manager *manager, size_t members,
                                                    int64_t timeout_ms, struct muster_error *error);

/** How many joint records there are, and how many for testing. 0 before muster_vertical_match(). */
MUSTER_API size_t muster_vertical_rows(const struct muster_vertical *vertical, size_t *test);

/**
 * Trains, from where the run is, to the end of the last epoch. A member that is lost is waited for within
 * member_timeout_ms; if it is a new process, it gets the updates that it lacks. Otherwise *error (may be
 * NULL) says why:
 * - a status from proxy_run() names the member: TIMEOUT (it did not answer or come back in time), PROTOCOL
 * (its answer has another number or shape, or is not finite), REFUSED (it says why), ...;
 * - FORMAT: a member is not of this run: its rows or files changed, or it has no run directory and lost its
 * weights;
 * - INVALID: the loss is not finite, as with a learning rate that is too high; or nothing is matched, or
 * options.weights is set;
 * - IO, OUT_OF_MEMORY.
 * It may be called again; what was applied stays applied. Blocks.
 */
MUSTER_API enum muster_status muster_vertical_train(struct muster_vertical *vertical,
                                                    struct muster_error *error);

/** Which of the joint records. */
enum muster_vertical_which {
    MUSTER_VERTICAL_ALL = 1,
    MUSTER_VERTICAL_TRAIN,
    MUSTER_VERTICAL_TEST,
};

/**
 * Predicts with the weights that master and members have now. *part is valid until the next call with this
 * master. Statuses as from muster_vertical_train(). Blocks.
 */
MUSTER_API enum muster_status muster_vertical_predict(struct muster_vertical *vertical,
                                                      enum muster_vertical_which which,
                                                      struct muster_vertical_part *part,
                                                      struct muster_error *error);

/**
 * Tells the members that all is complete, as muster_vertical_train() does in the end: after the last
 * prediction with options.weights. Statuses as from muster_vertical_train(). Blocks.
 */
MUSTER_API enum muster_status muster_vertical_finish(struct muster_vertical *vertical,
                                                     struct muster_error *error);

/** The bias of each output; zeros without one. Valid until muster_vertical_free(). */
MUSTER_API const double *muster_vertical_bias(const struct muster_vertical *vertical, size_t *outputs);

/** Writes model and bias to an .npz file. As from muster_npz_write(). */
MUSTER_API enum muster_status muster_vertical_save(const struct muster_vertical *vertical, const char *path,
                                                   struct muster_error *error);

/** Frees the master; members are not told. NULL is allowed. */
MUSTER_API void muster_vertical_free(struct muster_vertical *vertical);

MUSTER_END_DECLS

#endif
