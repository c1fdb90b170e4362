/* Means of the tests: begun, finished, and refused with a reason. */
#ifndef MUSTER_TESTS_UNIT_MEAN_H
#define MUSTER_TESTS_UNIT_MEAN_H

#include <stddef.h>

#include <muster/mean.h>

struct muster_mean *new_mean(void);
const struct muster_array *result(struct muster_mean *mean, size_t expected_count);
void expect_reason(struct muster_mean *mean, const struct muster_array *arrays, size_t count, double weight,
                   enum muster_status status, const char *text);

#endif
