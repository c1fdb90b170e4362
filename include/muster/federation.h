/* Federation: what federated learning adds to messages: .npy and .npz files, run directories, weighted means,
 * sampling. */
#ifndef MUSTER_FEDERATION_H
#define MUSTER_FEDERATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/export.h>
#include <muster/message.h>
#include <muster/status.h>

MUSTER_BEGIN_DECLS

/**
 * Writes `array` to the file `path` in numpy's .npy format (version 1.0, C order), replacing a file that is
 * there only once the new one is whole. IO, INVALID or OUT_OF_MEMORY, with *error (may be NULL) saying why.
 * Blocks on disk.
 */
MUSTER_API enum muster_status muster_npy_write(const char *path, const struct muster_array *array,
                                               struct muster_error *error);

/**
 * Reads a .npy file of any dtype of enum muster_dtype (little-endian, C or Fortran order; the view is in C
 * order). '<V2' is read and written as bfloat16, for which numpy has no name: ml_dtypes writes it so, and in
 * numpy array.view(ml_dtypes.bfloat16) makes it one again. On OK *array views memory in *storage, which the
 * caller frees with free(). IO, FORMAT (a bad or unsupported header, a file shorter or longer than its header
 * says, a bool that is neither 0 nor 1) or OUT_OF_MEMORY, with *error (may be NULL) saying why; then nothing
 * is allocated. Blocks on disk.
 */
MUSTER_API enum muster_status muster_npy_read(const char *path, struct muster_array *array, void **storage,
                                              struct muster_error *error);

/** An array with a name, as .npz files hold them. It owns nothing. */
struct muster_named_array {
    const char *name;
    struct muster_array array;
};

/** The most arrays that an .npz file can have here. */
#define MUSTER_NPZ_ARRAYS_MAX 16384

/**
 * Writes arrays to the file `path` as numpy.savez() does, uncompressed, replacing a file that is there only
 * once the new one is whole and on the disk. The same arrays make the same bytes. Names are UTF-8 of 1 to 255
 * bytes without slashes, backslashes and control characters, each once, and without the ".npy" that they get
 * in the file. IO, INVALID (an array, a name, no arrays or too many) or OUT_OF_MEMORY, with *error (may be
 * NULL) saying why; then the old file is there. Any thread; blocks on disk.
 */
MUSTER_API enum muster_status muster_npz_write(const char *path, const struct muster_named_array *arrays,
                                               size_t count, struct muster_error *error);

/**
 * Reads an .npz file of arrays that muster_npy_read() would read, stored or deflated. On OK *arrays are
 * *count in one piece of memory that the caller frees with free(); otherwise it is NULL, and *error (may be
 * NULL) says why. TOO_BIG: the arrays as files take more than `limit` bytes (SIZE_MAX: none) together; IO;
 * OUT_OF_MEMORY; FORMAT: not such an archive, a wrong checksum, a name that cannot be written, or sizes that
 * are not true. Whatever the archive says, no memory is taken for data that the file cannot hold; beside the
 * arrays it is at most a small multiple of the file's size, and a file that is 16 MiB bigger than `limit` is
 * not looked into. Any thread; blocks on disk.
 */
MUSTER_API enum muster_status muster_npz_read(const char *path, size_t limit,
                                              struct muster_named_array **arrays, size_t *count,
                                              struct muster_error *error);

/** The array of that name, or NULL. Any thread. */
MUSTER_API const struct muster_array *muster_npz_find(const struct muster_named_array *arrays, size_t count,
                                                      const char *name);

/**
 * A run directory: what a server needs to go on after its own death, whenever that comes.
 *
 * DIR/muster-run.json    the configuration; its presence makes the directory that of a run
 * DIR/round-00000012.npz what the run has after round 12; those of the last MUSTER_RUN_ROUNDS_KEPT rounds are
 * kept DIR/metrics.csv        lines that the rounds left, up to the last completed one DIR/lock held while a
 * process has the run open
 *
 * A round is completed by one rename: before it, everything of the round is on the disk under other names,
 * and after it nothing else is needed. Killed or cut from power at any instant, the run is as it was after
 * the last completed round. Other files in the directory are left alone. One thread at a time; all functions
 * but muster_run_round(), _configuration() and _state() block on disk.
 */
struct muster_run;

/** How many rounds a run directory keeps. */
#define MUSTER_RUN_ROUNDS_KEPT 3

/**
 * Opens the run in the directory `path`, or begins one there with `configuration` (text, best JSON) if there
 * is no directory, or an empty one. A run that is there keeps its own configuration: compare it. With
 * `overwrite` its rounds and metrics are removed and it begins anew. Leftovers of a killed process are
 * removed, and so is what the metrics have beyond the last completed round.
 *
 * On OK *run is the caller's, to be given to muster_run_close(); otherwise it is NULL and *error (may be
 * NULL) says why. EXISTS: the directory has something else in it; nothing was touched, `overwrite` or not.
 * BUSY: another process has the run open. FORMAT: a file of the run is damaged. INVALID: no configuration.
 * IO, OUT_OF_MEMORY: the run in the directory, if any, is intact.
 */
MUSTER_API enum muster_status muster_run_open(const char *path, const char *configuration, bool overwrite,
                                              struct muster_run **run, struct muster_error *error);

/** The last completed round, 0 before the first. */
MUSTER_API uint64_t muster_run_round(const struct muster_run *run);

/** The run's configuration; valid until muster_run_configure() or muster_run_close(). */
MUSTER_API const char *muster_run_configuration(const struct muster_run *run);

/** Replaces the configuration. INVALID, IO, OUT_OF_MEMORY: the old one stays. */
MUSTER_API enum muster_status muster_run_configure(struct muster_run *run, const char *configuration,
                                                   struct muster_error *error);

/**
 * What the last completed round left when the run was opened: *count arrays, among them "round" and
 * "metrics_size", the library's own. 0 and NULL for a new run. Valid until the next OK of muster_run_commit()
 * or muster_run_close().
 */
MUSTER_API const struct muster_named_array *muster_run_state(const struct muster_run *run, size_t *count);

/**
 * Completes round `round`, which is higher than all before it: from OK on, the run is as `state` (as for
 * muster_npz_write(), without "round" and "metrics_size") says, and `metrics` (text, may be "") is added to
 * the metrics. Otherwise *error (may be NULL) says why, and the last completed round is what it was: INVALID,
 * IO (a full disk, for example), FORMAT (the metrics were made shorter by somebody), OUT_OF_MEMORY. If it was
 * only the last step that failed, with the round already visible, the round may or may not outlive a power
 * cut, and every later call is IO until the run is opened again.
 */
MUSTER_API enum muster_status muster_run_commit(struct muster_run *run, uint64_t round,
                                                const struct muster_named_array *state, size_t count,
                                                const char *metrics, struct muster_error *error);

/** Lets go of the directory. NULL is allowed. */
MUSTER_API void muster_run_close(struct muster_run *run);

/**
 * A running weighted mean over the arrays of messages: sum(weight_i * x_i) / sum(weight_i), in the dtype of
 * the members, rounded once to the nearest value that the dtype has, and halfway to the even one. Sums are
 * doubles, so that the order of adding does not matter beyond rounding.
 *
 * Integers are averaged and rounded like all others. They are counters among a model's arrays, such as
 * num_batches_tracked of BatchNorm: their mean lies within what the members have, does not depend on who
 * answers first, and is their value where they agree. Beyond 2^53 it is as exact as a double.
 *
 * A bool is true where the members that have it true weigh more than the others. A tie is false.
 */
struct muster_mean;

/** A mean without members, to be freed with muster_mean_free(); NULL when out of memory. */
MUSTER_API struct muster_mean *muster_mean_new(void);

/**
 * A mean whose members are all to have the dtypes and shapes of `count` arrays, such as the model that is
 * sent: the first answer does not decide what is right. The arrays' data is not looked at and may be NULL.
 * NULL when out of memory, or when they are no arrays.
 */
MUSTER_API struct muster_mean *muster_mean_new_like(const struct muster_array *arrays, size_t count);

/** The same for the arrays of a message and their names: a member whose arrays have other names, or the same
 * in another order, is refused. One whose arrays have no names is not. */
MUSTER_API struct muster_mean *muster_mean_new_like_message(const struct muster_message *model);

/**
 * Adds `count` arrays with a weight. Without muster_mean_new_like() the first ones decide dtypes and shapes.
 * FORMAT: other dtypes or shapes than expected, as muster_arrays_match() says; INVALID: no arrays, a weight
 * that is not positive and finite, NaN or infinity in the data, or sums that could overflow, judged by the
 * largest of the values and up to 1 % too early; OUT_OF_MEMORY. *error (may be NULL) says which array, what
 * was expected and what it is, where, or which weight. After an error the mean is as it was before. Not
 * thread-safe; does not block.
 *
 * A weight is what somebody claims: bound it, or one who claims 1e300 samples has the mean for itself.
 */
MUSTER_API enum muster_status muster_mean_add(struct muster_mean *mean, const struct muster_array *arrays,
                                              size_t count, double weight, struct muster_error *error);

/** The most scalars that a mean has. */
#define MUSTER_MEAN_SCALARS_MAX 256

/**
 * Adds the arrays of a message, whatever its kind, and its scalars: of each name the mean is over the members
 * that have it. Names of arrays are compared where both sides have them; without
 * muster_mean_new_like_message() the first member that has names decides them. A message without arrays is
 * good if it has scalars and all members are such. Values are not averaged. As muster_mean_add(), and INVALID
 * too for a scalar that is NaN or infinite, a sum of scalars that overflows, more than
 * MUSTER_MEAN_SCALARS_MAX names in all, or a name that is there twice.
 */
MUSTER_API enum muster_status muster_mean_add_message(struct muster_mean *mean,
                                                      const struct muster_message *message, double weight,
                                                      struct muster_error *error);

/**
 * Computes the mean into memory of its own: *arrays (*count views, in the dtypes of the members) is valid
 * until the next call on the mean. INVALID when nothing was added, OUT_OF_MEMORY, with *error (may be NULL).
 */
MUSTER_API enum muster_status muster_mean_result(struct muster_mean *mean, const struct muster_array **arrays,
                                                 size_t *count, struct muster_error *error);

/** The same as a message of the kind MUSTER_TRAIN, with the arrays' names and the scalars, which
 * muster_message_scalar() reads. It owns nothing. */
MUSTER_API enum muster_status muster_mean_result_message(struct muster_mean *mean,
                                                         struct muster_message *message,
                                                         struct muster_error *error);

/** Forgets the members and the scalars, what the first ones decided too, and keeps the memory of the sums. */
MUSTER_API void muster_mean_reset(struct muster_mean *mean);

/** Frees the mean; NULL is allowed. */
MUSTER_API void muster_mean_free(struct muster_mean *mean);

/** A stream of pseudo-random numbers: the same seed gives the same stream on every machine. */
struct muster_random {
    uint64_t state[4];
};

/** Seeds the stream; different seeds, even neighbouring ones, give independent streams. */
MUSTER_API void muster_random_seed(struct muster_random *random, uint64_t seed);

/** The next 64 bits (xoshiro256**, Blackman and Vigna 2018). Not thread-safe. */
MUSTER_API uint64_t muster_random_next(struct muster_random *random);

/** Uniform in [0, 1), with 53 bits. */
MUSTER_API double muster_random_uniform(struct muster_random *random);

/** Normal with mean 0 and standard deviation 1. */
MUSTER_API double muster_random_normal(struct muster_random *random);

/**
 * Chooses `count` different numbers below `population` at random, each set as likely as any other, into
 * chosen[count] in ascending order. INVALID when count > population, with *error (may be NULL).
 */
MUSTER_API enum muster_status muster_sample(struct muster_random *random, size_t population, size_t count,
                                            size_t *chosen, struct muster_error *error);

MUSTER_END_DECLS

#endif
