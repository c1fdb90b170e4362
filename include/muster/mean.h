/* The weighted mean of the arrays of messages. */
#ifndef MUSTER_MEAN_H
#define MUSTER_MEAN_H

#include <stddef.h>

#include <muster/export.h>
#include <muster/message.h>
#include <muster/status.h>

MUSTER_BEGIN_DECLS

/**
 * A running weighted mean over the arrays of messages: sum(weight_i * x_i) / sum(weight_i). Each call of
 * muster_mean_add() or muster_mean_add_message() adds one *member*. The result has the members' dtypes. Sums
 * are doubles, so the order of the calls changes the result only by rounding. The result is rounded once, to
 * the nearest value of its dtype; of two equally near values, to the even one.
 * - Integers are averaged and rounded too. (In a model they are counters, such as num_batches_tracked of
 *   BatchNorm.) The mean lies between the smallest and the largest value of the members. Beyond 2^53 it is
 *   only as exact as a double.
 * - A bool is true if the members in which it is true weigh more than the others. A tie is false.
 *
 * One thread at a time for each mean; no function blocks. For a mean that is NULL, because none could be
 * made, they return INVALID.
 */
struct muster_mean;

/** Makes a mean without members. The caller frees it with muster_mean_free(). NULL if out of memory. */
MUSTER_API struct muster_mean *muster_mean_new(void);

/**
 * Makes a mean whose members must have the dtypes and shapes of these `count` arrays, such as those of the
 * model that the server sends. (In a mean of muster_mean_new(), the first member decides them.) The data of
 * the arrays is not read and may be NULL. Returns NULL if out of memory, if `count` is 0, or if an array is
 * not valid.
 */
MUSTER_API struct muster_mean *muster_mean_new_like(const struct muster_array *arrays, size_t count);

/**
 * Does what muster_mean_new_like() does, with the arrays of a message and their names. A member whose arrays
 * have other names, or the same names in another order, is refused. A member without names is accepted.
 */
MUSTER_API struct muster_mean *muster_mean_new_like_message(const struct muster_message *model);

/**
 * Adds `count` arrays with a weight. Without muster_mean_new_like() the first member decides dtypes and
 * shapes. After an error the mean is as it was before. *error (may be NULL) says which array or weight is
 * wrong, what it is, and what was expected:
 * - FORMAT: dtypes or shapes differ from the expected ones; see muster_arrays_match().
 * - INVALID: there are no arrays; the weight is not positive and finite; the data holds NaN or infinity; or a
 *   sum could overflow a double. (For this the largest values are added up, so it may be up to 1 % too
 *   early.)
 * - OUT_OF_MEMORY.
 *
 * A weight is only what a participant claims. Limit it: a participant that claims 1e300 samples decides the
 * mean alone.
 */
MUSTER_API enum muster_status muster_mean_add(struct muster_mean *mean, const struct muster_array *arrays,
                                              size_t count, double weight, struct muster_error *error);

/** The most scalars that a mean can have. */
#define MUSTER_MEAN_SCALARS_MAX 256

/**
 * Adds the arrays and scalars of a message, whatever its kind. The mean of a scalar is over the members that
 * have a scalar of that name. Values are ignored.
 * - Names of arrays are compared if both sides have them. Without muster_mean_new_like_message() the first
 *   member with names decides them.
 * - A message without arrays is accepted if it has scalars, and if no member has arrays.
 * - Errors are those of muster_mean_add(). INVALID also means: a scalar is NaN or infinite, its sum
 *   overflows, a name is there twice, or the mean would have more than MUSTER_MEAN_SCALARS_MAX names.
 *
 * Pass on only the scalars that you asked for. Otherwise a participant that sends many names of its own could
 * use up MUSTER_MEAN_SCALARS_MAX, and the answers of others would be refused.
 */
MUSTER_API enum muster_status muster_mean_add_message(struct muster_mean *mean,
                                                      const struct muster_message *message, double weight,
                                                      struct muster_error *error);

/**
 * Computes the mean. *arrays are *count views, in the dtypes of the members, of memory that the mean owns.
 * They are valid until the next call on the mean. INVALID (nothing was added) or OUT_OF_MEMORY, with *error
 * (may be NULL).
 */
MUSTER_API enum muster_status muster_mean_result(struct muster_mean *mean, const struct muster_array **arrays,
                                                 size_t *count, struct muster_error *error);

/**
 * muster_mean_result() as a message of the kind MUSTER_TRAIN, with the names of the arrays, and with the
 * scalars, which muster_message_scalar() reads. The message owns nothing.
 */
MUSTER_API enum muster_status muster_mean_result_message(struct muster_mean *mean,
                                                         struct muster_message *message,
                                                         struct muster_error *error);

/**
 * Removes all members, and forgets what the first member decided. Dtypes, shapes and names that
 * muster_mean_new_like() or muster_mean_new_like_message() set stay. The memory of the sums is kept for the
 * next members.
 */
MUSTER_API void muster_mean_reset(struct muster_mean *mean);

/** Frees the mean; NULL is allowed. */
MUSTER_API void muster_mean_free(struct muster_mean *mean);

MUSTER_END_DECLS

#endif
