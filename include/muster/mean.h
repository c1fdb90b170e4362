/* The weighted mean of the arrays of messages. */
#ifndef MUSTER_MEAN_H
#define MUSTER_MEAN_H

#include <stddef.h>

#include <muster/export.h>
#include <muster/message.h>
#include <muster/status.h>

MUSTER_BEGIN_DECLS

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

MUSTER_END_DECLS

#endif
