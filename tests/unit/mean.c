/* Means, what they come to, and what they refuse. */
#include <config.h>

#include <criterion/criterion.h>

#include "unit/mean.h"

struct muster_mean *new_mean(void)
{
    struct muster_mean *mean = muster_mean_new();
    cr_assert_not_null(mean);
    return mean;
}

const struct muster_array *result(struct muster_mean *mean, size_t expected_count)
{
    const struct muster_array *arrays = NULL;
    size_t count = 0;
    cr_assert_eq(muster_mean_result(mean, &arrays, &count, NULL), MUSTER_OK);
    cr_assert_eq(count, expected_count);
    return arrays;
}

void expect_reason(struct muster_mean *mean, const struct muster_array *arrays, size_t count, double weight,
                   enum muster_status status, const char *text)
{
    struct muster_error error = {MUSTER_OK, ""};
    cr_assert_eq(muster_mean_add(mean, arrays, count, weight, &error), status);
    cr_assert_eq(error.status, status);
    cr_assert_str_eq(error.text, text);
}
