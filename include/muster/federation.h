/* Federation: what federated learning adds to messages: .npy files, weighted means, sampling. */
#ifndef MUSTER_FEDERATION_H
#define MUSTER_FEDERATION_H

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
 * Reads a .npy file of float32, float64, int32 or int64 (little-endian, C or Fortran order; the view is in
 * C order). On OK *array views memory in *storage, which the caller frees with free(). IO, FORMAT (a bad or
 * unsupported header, a file shorter or longer than its header says) or OUT_OF_MEMORY, with *error (may be
 * NULL) saying why; then nothing is allocated. Blocks on disk.
 */
MUSTER_API enum muster_status muster_npy_read(const char *path, struct muster_array *array, void **storage,
                                              struct muster_error *error);

/** A running weighted mean over the arrays of messages: sum(weight_i * x_i) / sum(weight_i). */
struct muster_mean;

/** A mean without members, to be freed with muster_mean_free(); NULL when out of memory. */
MUSTER_API struct muster_mean *muster_mean_new(void);

/**
 * Adds `count` arrays with a weight. The first ones decide dtypes and shapes. Sums are kept in double, so
 * that the order of adding does not matter beyond rounding. FORMAT: other dtypes or shapes than the first
 * (or an integer dtype, which has no mean); INVALID: no arrays, a weight that is not
 * positive and finite, NaN or infinity in the data, or sums that would overflow; OUT_OF_MEMORY. After an
 * error the mean is as it was before. Not thread-safe; does not block.
 */
MUSTER_API enum muster_status muster_mean_add(struct muster_mean *mean, const struct muster_array *arrays,
                                              size_t count, double weight);

/**
 * Computes the mean into memory of its own: *arrays (*count views, in the dtypes of the members) is valid
 * until the next call on the mean. INVALID when nothing was added; OUT_OF_MEMORY.
 */
MUSTER_API enum muster_status muster_mean_result(struct muster_mean *mean, const struct muster_array **arrays,
                                                 size_t *count);

/** Forgets the members, their shapes too, and keeps the memory of the sums. */
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
 * chosen[count] in ascending order. INVALID when count > population.
 */
MUSTER_API enum muster_status muster_sample(struct muster_random *random, size_t population, size_t count,
                                            size_t *chosen);

MUSTER_END_DECLS

#endif
