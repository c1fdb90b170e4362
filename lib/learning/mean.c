/*
 * The running weighted mean: sums in double, one double per element, whatever the number of members, and
 * beside them the scalars by name. A member is read twice, first to check it and then to add it, so that a
 * bad one leaves no trace.
 */
#include <config.h>

#include <muster/mean.h>

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "array/arithmetic.h"
#include "learning/mean.h"
#include "status.h"
#include "wire/wire.h"

/* A scalar of those that have it, each weighted as its arrays are. */
struct scalar_sum {
    double sum;
    double weight;
};

struct muster_mean {
    /* What all members share: `count` dtypes and shapes, and names or NULL, as long as something decides
       them: decided(). The arrays' data is the results'. */
    struct muster_array *members;
    const char **names; /* in one piece of memory with their texts */
    size_t count;
    bool fixed;       /* members stay for good */
    bool fixed_names; /* names, too */
    double *sums;     /* of all arrays, one after the other: */
    size_t elements;  /* so many */
    size_t sums_capacity;
    size_t results_size;
    void *results; /* NULL until they are asked for, and again when they are out of date */
    double weight; /* of all members together; 0: there are none */
    double bound;  /* no sum is further from 0 than this */
    struct muster_scalar scalars[MUSTER_MEAN_SCALARS_MAX]; /* names are the mean's, values the results' */
    struct scalar_sum scalar_sums[MUSTER_MEAN_SCALARS_MAX];
    size_t scalar_count;
};

/* Whether dtypes and shapes are given. */
static bool decided(const struct muster_mean *mean)
{
    return mean->fixed || mean->weight > 0;
}

/* ---- what is not accepted, and why ---- */

/* Checks dtypes, shapes and names, against those of the members if they are decided. */
static enum muster_status check_kind(const struct muster_mean *mean, const struct muster_message *member,
                                     struct muster_error *error)
{
    const struct muster_message expected = {
        .arrays = mean->members, .array_count = mean->count, .array_names = mean->names};
    if (member->array_count == 0 && member->scalar_count == 0)
        return muster__error(error, MUSTER_INVALID, "there are no arrays");
    enum muster_status status = muster__message_check(member, error);
    if (status == MUSTER_OK && decided(mean))
        status = muster_arrays_match(member, &expected, error);
    return status;
}

double muster__squared_most(enum muster_dtype dtype)
{
    switch (dtype) {
    case MUSTER_FLOAT32:
    case MUSTER_FLOAT16:
    case MUSTER_BFLOAT16:
        return SQUARED_MOST_SINGLE;
    case MUSTER_FLOAT64:
        return SQUARED_MOST_DOUBLE;
    default:
        return (double)INFINITY;
    }
}

static enum muster_status too_large(size_t number, double largest, double most, struct muster_error *error)
{
    return muster__error(error, MUSTER_INVALID, "array %zu has values up to %g, and %g is the most here",
                         number, largest, most);
}

/*
 * Checks the weight and every value, and that no sum can overflow: |a sum| <= *bound = sum of weight *
 * largest value, which rounding keeps true, being monotonic. So one participant with a huge weight cannot
 * spoil the mean for all.
 */
static enum muster_status check_values(const struct muster_mean *mean, const struct muster_message *member,
                                       double weight, bool squared, double *bound, struct muster_error *error)
{
    if (!(weight > 0) || !isfinite(weight))
        return muster__error(error, MUSTER_INVALID, "the weight %g is not a number above 0", weight);
    if (!isfinite(mean->weight + weight))
        return muster__error(error, MUSTER_INVALID, "the weight %g is too much", weight);
    double largest = 0;
    for (size_t i = 0; i < member->array_count; i++) {
        double magnitude;
        enum muster_status status = muster__array_check(&member->arrays[i], i, &magnitude, error);
        if (status != MUSTER_OK)
            return status;
        if (squared && magnitude > muster__squared_most(member->arrays[i].dtype))
            return too_large(i, magnitude, muster__squared_most(member->arrays[i].dtype), error);
        largest = fmax(largest, magnitude);
    }
    *bound = mean->bound + weight * largest;
    if (!isfinite(*bound))
        return muster__error(error, MUSTER_INVALID,
                             "with a weight of %g and values up to %g the sum could overflow", weight,
                             largest);
    return MUSTER_OK;
}

/* ---- scalars ---- */

/* Its number; that of the scalars when the mean has none of the name. */
static size_t find_scalar(const struct muster_mean *mean, const char *name)
{
    size_t i = 0;
    while (i < mean->scalar_count && strcmp(mean->scalars[i].name, name) != 0)
        i++;
    return i;
}

static enum muster_status check_scalars(const struct muster_mean *mean, const struct muster_message *member,
                                        double weight, struct muster_error *error)
{
    size_t count = mean->scalar_count;
    for (size_t i = 0; i < member->scalar_count; i++) {
        const struct muster_scalar *scalar = &member->scalars[i];
        size_t found = find_scalar(mean, scalar->name);
        double sum = weight * scalar->value;
        if (!isfinite(scalar->value))
            return muster__error(error, MUSTER_INVALID, "the scalar '%.100s' is %s", scalar->name,
                                 isnan(scalar->value) ? "NaN" : "infinite");
        if (found < mean->scalar_count)
            sum += mean->scalar_sums[found].sum;
        else if (++count > MUSTER_MEAN_SCALARS_MAX)
            return muster__error(error, MUSTER_INVALID, "the mean would have more than %d scalars",
                                 MUSTER_MEAN_SCALARS_MAX);
        if (!isfinite(sum))
            return muster__error(error, MUSTER_INVALID,
                                 "with a weight of %g the sum of the scalar '%.100s' overflows", weight,
                                 scalar->name);
    }
    return MUSTER_OK;
}

static void drop_scalars(struct muster_mean *mean, size_t count)
{
    while (mean->scalar_count > count)
        free((char *)(uintptr_t)mean->scalars[--mean->scalar_count].name);
}

/* Puts the names that are new behind the others, with nothing in their sums. */
static enum muster_status begin_scalars(struct muster_mean *mean, const struct muster_message *member)
{
    size_t count = mean->scalar_count;
    for (size_t i = 0; i < member->scalar_count; i++) {
        size_t at = find_scalar(mean, member->scalars[i].name);
        if (at < mean->scalar_count)
            continue;
        char *name = strdup(member->scalars[i].name);
        if (!name) {
            drop_scalars(mean, count);
            return MUSTER_OUT_OF_MEMORY;
        }
        mean->scalars[at] = (struct muster_scalar){name, 0};
        mean->scalar_sums[at] = (struct scalar_sum){0, 0};
        mean->scalar_count++;
    }
    return MUSTER_OK;
}

static void add_scalars(struct muster_mean *mean, const struct muster_message *member, double weight)
{
    for (size_t i = 0; i < member->scalar_count; i++) {
        struct scalar_sum *sum = &mean->scalar_sums[find_scalar(mean, member->scalars[i].name)];
        sum->sum += weight * member->scalars[i].value;
        sum->weight += weight;
    }
}

/* ---- members ---- */

/* Makes room for so many sums, whose content is of no use any more; false: out of memory. */
static bool make_room(struct muster_mean *mean, size_t count)
{
    if (count <= mean->sums_capacity)
        return true;
    muster__block_free(mean->sums, mean->sums_capacity * sizeof(*mean->sums));
    mean->sums =
        count > SIZE_MAX / 4 / sizeof(*mean->sums) ? NULL : muster__block_new(count * sizeof(*mean->sums));
    mean->sums_capacity = mean->sums ? count : 0;
    return mean->sums;
}

/* Takes dtypes and shapes from these arrays, and sets all sums to 0. */
static enum muster_status begin(struct muster_mean *mean, const struct muster_array *arrays, size_t count)
{
    size_t elements = 0;
    for (size_t i = 0; i < count; i++) {
        size_t more = muster_array_count(&arrays[i]);
        if (more > SIZE_MAX - elements)
            return MUSTER_OUT_OF_MEMORY;
        elements += more;
    }
    struct muster_array *members = realloc(mean->members, (count + 1) * sizeof(*members));
    if (members)
        mean->members = members;
    if (!members || !make_room(mean, elements > 0 ? elements : 1))
        return MUSTER_OUT_OF_MEMORY;
    for (size_t i = 0; i < count; i++) {
        members[i] = arrays[i];
        members[i].data = NULL;
    }
    for (size_t i = 0; i < elements; i++)
        mean->sums[i] = 0;
    mean->elements = elements;
    mean->count = count;
    return MUSTER_OK;
}

/* Names from a message, in one piece of memory; NULL when out of memory. */
static const char **copy_names(const struct muster_message *message)
{
    size_t size = message->array_count * sizeof(const char *);
    for (size_t i = 0; i < message->array_count; i++)
        size += strlen(message->array_names[i]) + 1;
    const char **names = malloc(size);
    char *text = (char *)(names + message->array_count);
    for (size_t i = 0; names && i < message->array_count; i++) {
        size_t length = strlen(message->array_names[i]) + 1;
        names[i] = memcpy(text, message->array_names[i], length);
        text += length;
    }
    return names;
}

/* The results take as much memory again as a member does; who folds on does not need them meanwhile. */
static void drop_results(struct muster_mean *mean)
{
    muster__block_free(mean->results, mean->results_size);
    mean->results = NULL;
}

struct muster_mean *muster_mean_new(void)
{
    return calloc(1, sizeof(struct muster_mean));
}

struct muster_mean *muster_mean_new_like_message(const struct muster_message *model)
{
    bool good = model->array_count > 0;
    for (size_t i = 0; i < model->array_count; i++)
        good = good && muster_dtype_size(model->arrays[i].dtype) != 0 &&
               muster_array_count(&model->arrays[i]) != SIZE_MAX &&
               (!model->array_names || model->array_names[i]);
    good = good && muster__names_check(model, NULL) == MUSTER_OK;
    struct muster_mean *mean = good ? muster_mean_new() : NULL;
    if (!mean)
        return NULL;
    mean->fixed = true;
    mean->fixed_names = model->array_names;
    mean->names = mean->fixed_names ? copy_names(model) : NULL;
    if (begin(mean, model->arrays, model->array_count) == MUSTER_OK && (mean->names || !mean->fixed_names))
        return mean;
    muster_mean_free(mean);
    return NULL;
}

struct muster_mean *muster_mean_new_like(const struct muster_array *arrays, size_t count)
{
    const struct muster_message model = {.arrays = arrays, .array_count = count};
    return muster_mean_new_like_message(&model);
}

/* Makes all that takes memory for a member that is good. */
static enum muster_status make_ready(struct muster_mean *mean, const struct muster_message *member)
{
    enum muster_status status = MUSTER_OK;
    bool named = member->array_names && !mean->names && member->array_count > 0;
    const char **names = named ? copy_names(member) : NULL;
    if (named && !names)
        return MUSTER_OUT_OF_MEMORY;
    if (mean->weight == 0)
        status = begin(mean, member->arrays, member->array_count);
    if (status == MUSTER_OK)
        status = begin_scalars(mean, member);
    if (status != MUSTER_OK)
        free(names);
    else if (names)
        mean->names = names;
    return status;
}

/* What muster_mean_new_like() returned was not looked at. */
static enum muster_status no_mean(struct muster_error *error)
{
    return muster__error(error, MUSTER_INVALID,
                         "the mean is NULL: it was made like arrays that are not valid, or memory ran out");
}

static enum muster_status check(const struct muster_mean *mean, const struct muster_message *message,
                                double weight, bool squared, double *bound, struct muster_error *error)
{
    if (!mean)
        return no_mean(error);
    enum muster_status status = check_kind(mean, message, error);
    if (status == MUSTER_OK)
        status = check_values(mean, message, weight, squared, bound, error);
    if (status == MUSTER_OK)
        status = check_scalars(mean, message, weight, error);
    return status;
}

enum muster_status muster__mean_check(const struct muster_mean *mean, const struct muster_message *message,
                                      double weight, bool squared, struct muster_error *error)
{
    double bound;
    return check(mean, message, weight, squared, &bound, error);
}

enum muster_status muster__mean_add(struct muster_mean *mean, const struct muster_message *message,
                                    double weight, bool squared, struct muster_error *error)
{
    double bound = 0;
    enum muster_status status = check(mean, message, weight, squared, &bound, error);
    if (status == MUSTER_OK)
        status = make_ready(mean, message);
    if (status == MUSTER_OUT_OF_MEMORY)
        muster__error(error, status, "out of memory for a mean of %zu arrays", message->array_count);
    if (status != MUSTER_OK)
        return status;
    double *sums = mean->sums;
    for (size_t i = 0; i < message->array_count; i++) {
        muster__array_add(sums, &message->arrays[i], weight);
        sums += muster_array_count(&message->arrays[i]);
    }
    add_scalars(mean, message, weight);
    mean->weight += weight;
    mean->bound = bound;
    drop_results(mean); /* not before: the caller may have added them */
    return MUSTER_OK;
}

enum muster_status muster_mean_add_message(struct muster_mean *mean, const struct muster_message *message,
                                           double weight, struct muster_error *error)
{
    return muster__mean_add(mean, message, weight, false, error);
}

enum muster_status muster_mean_add(struct muster_mean *mean, const struct muster_array *arrays, size_t count,
                                   double weight, struct muster_error *error)
{
    const struct muster_message message = {.arrays = arrays, .array_count = count};
    return muster_mean_add_message(mean, &message, weight, error);
}

/* ---- results ---- */

/* Memory that one member's data takes, rounded up so that what follows is aligned. Never more than its sums
 * take. */
static size_t result_size(const struct muster_array *member)
{
    size_t size = muster__array_size(member);
    return size + (sizeof(double) - size % sizeof(double)) % sizeof(double);
}

static enum muster_status compute_results(struct muster_mean *mean)
{
    size_t size = 0;
    for (size_t i = 0; i < mean->count; i++)
        size += result_size(&mean->members[i]);
    mean->results_size = size > 0 ? size : 1;
    mean->results = muster__block_new(mean->results_size);
    if (!mean->results)
        return MUSTER_OUT_OF_MEMORY;
    char *results = mean->results;
    const double *sums = mean->sums;
    for (size_t i = 0; i < mean->count; i++) {
        struct muster_array *member = &mean->members[i];
        size_t count = muster_array_count(member);
        muster__array_divide(results, member->dtype, sums, count, mean->weight);
        member->data = results;
        results += result_size(member);
        sums += count;
    }
    for (size_t i = 0; i < mean->scalar_count; i++)
        mean->scalars[i].value = mean->scalar_sums[i].sum / mean->scalar_sums[i].weight;
    return MUSTER_OK;
}

enum muster_status muster_mean_result_message(struct muster_mean *mean, struct muster_message *message,
                                              struct muster_error *error)
{
    if (!mean)
        return no_mean(error);
    if (mean->weight == 0)
        return muster__error(error, MUSTER_INVALID, "nothing was added: there is no mean of nothing");
    enum muster_status status = mean->results ? MUSTER_OK : compute_results(mean);
    if (status != MUSTER_OK)
        return muster__error(error, status, "%s", muster_status_text(status));
    *message = (struct muster_message){.kind = MUSTER_TRAIN,
                                       .arrays = mean->members,
                                       .array_count = mean->count,
                                       .array_names = mean->names,
                                       .scalars = mean->scalars,
                                       .scalar_count = mean->scalar_count};
    return MUSTER_OK;
}

enum muster_status muster_mean_result(struct muster_mean *mean, const struct muster_array **arrays,
                                      size_t *count, struct muster_error *error)
{
    struct muster_message message;
    enum muster_status status = muster_mean_result_message(mean, &message, error);
    if (status != MUSTER_OK)
        return status;
    *arrays = message.arrays;
    *count = message.array_count;
    return MUSTER_OK;
}

double *muster__mean_sums(struct muster_mean *mean, double *weight)
{
    for (size_t i = 0; mean->weight == 0 && i < mean->elements; i++)
        mean->sums[i] = 0; /* they may be those of members that were removed */
    *weight = mean->weight;
    return mean->sums;
}

void muster_mean_reset(struct muster_mean *mean)
{
    drop_results(mean);
    drop_scalars(mean, 0);
    if (!mean->fixed_names) {
        free(mean->names);
        mean->names = NULL;
    }
    mean->weight = 0;
    mean->bound = 0;
}

void muster_mean_free(struct muster_mean *mean)
{
    if (!mean)
        return;
    muster__block_free(mean->sums, mean->sums_capacity * sizeof(*mean->sums));
    drop_results(mean);
    drop_scalars(mean, 0);
    free(mean->members);
    free(mean->names);
    free(mean);
}
