/* The weighted mean of the arrays of messages. */
#ifndef MUSTER_MEAN_H
#define MUSTER_MEAN_H

#include <stddef.h>

#include <muster/export.h>
#include <muster/message.h>
#include <muster/status.h>

MUSTER_BEGIN_DECLS

/** A running weighted mean over the arrays of messages: sum(weight_i * x_i) / sum(weight_i). */
struct muster_mean;

/** A mean without members, to be freed with muster_mean_free(); NULL when out of memory. */
MUSTER_API struct muster_mean *muster_mean_new(void);

/**
 * A mean whose members are all to have the dtypes and shapes of `count` arrays, such as the model that is
 * sent: the first answer does not decide what is right. The arrays' data is not looked at and may be NULL.
 * NULL when out of memory, or when they are no arrays that have a mean.
 */
MUSTER_API struct muster_mean *muster_mean_new_like(const struct muster_array *arrays, size_t count);

/**
 * Adds `count` arrays with a weight. Without muster_mean_new_like() the first ones decide dtypes and shapes.
 * Sums are kept in double, so that the order of adding does not matter beyond rounding. FORMAT: other dtypes
 * or shapes than expected (or an integer dtype, which has no mean); INVALID: no arrays, a weight that is not
 * positive and finite, NaN or infinity in the data, or sums that could overflow, judged by the largest of the
 * values and up to 1 % too early; OUT_OF_MEMORY. *error (may be NULL) says which array, what was expected and
 * what it is, where, or which weight. After an error the mean is as it was before. Not thread-safe; does not
 * block.
 *
 * A weight is what somebody claims: bound it, or one who claims 1e300 samples has the mean for itself.
 */
MUSTER_API enum muster_status muster_mean_add(struct muster_mean *mean, const struct muster_array *arrays,
                                              size_t count, double weight, struct muster_error *error);

/**
 * Computes the mean into memory of its own: *arrays (*count views, in the dtypes of the members) is valid
 * until the next call on the mean. INVALID when nothing was added, OUT_OF_MEMORY, with *error (may be NULL).
 */
MUSTER_API enum muster_status muster_mean_result(struct muster_mean *mean, const struct muster_array **arrays,
                                                 size_t *count, struct muster_error *error);

/** Forgets the members, their shapes too unless muster_mean_new_like() gave them, and keeps the memory of the
 * sums. */
MUSTER_API void muster_mean_reset(struct muster_mean *mean);

/** Frees the mean; NULL is allowed. */
MUSTER_API void muster_mean_free(struct muster_mean *mean);

MUSTER_END_DECLS

#endif
