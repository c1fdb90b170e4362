/* What the formats of data share: the pools that samples are kept in, the choice of the loader, random
 * streams. */
#include <config.h>

#include "dataset.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum muster_status explain(struct muster_error *error, enum muster_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error->status = status;
    vsnprintf(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);
    return status;
}

enum muster_status dataset_out_of_memory(struct muster_error *error)
{
    return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory while loading the data");
}

enum muster_status dataset_load(const struct dataset_options *options, struct dataset *dataset,
                                struct muster_error *error)
{
    static const struct {
        const char *prefix;
        enum muster_status (*load)(const struct dataset_options *, const char *, struct dataset *,
                                   struct muster_error *);
    } formats[] = {
        {"synthetic:", dataset_load_synthetic},
        {"leaf:", dataset_load_leaf},
        {"idx:", dataset_load_idx},
    };
    memset(dataset, 0, sizeof(*dataset));
    enum muster_status status = MUSTER_INVALID;
    size_t i = 0;
    while (i < 3 && strncmp(options->spec, formats[i].prefix, strlen(formats[i].prefix)) != 0)
        i++;
    if (i == 3 || options->spec[strlen(formats[i].prefix)] == '\0')
        explain(error, MUSTER_INVALID,
                "%s is none of synthetic:ALPHA,BETA, synthetic:iid, leaf:DIR and idx:DIR", options->spec);
    else
        status = formats[i].load(options, options->spec + strlen(formats[i].prefix), dataset, error);
    if (status == MUSTER_OK && options->only != DATASET_EVERYONE && options->only >= dataset->user_count)
        status = explain(error, MUSTER_INVALID, "there is no user %zu: the data has %zu, from 0",
                         options->only, dataset->user_count);
    if (status != MUSTER_OK)
        dataset_free(dataset);
    return status;
}

void dataset_free(struct dataset *dataset)
{
    free(dataset->users);
    free(dataset->train.x);
    free(dataset->train.y);
    free(dataset->test.x);
    free(dataset->test.y);
    memset(dataset, 0, sizeof(*dataset));
}

enum muster_status dataset_make_users(struct dataset *dataset, size_t count, struct muster_error *error)
{
    dataset->users = calloc(count, sizeof(*dataset->users));
    if (!dataset->users)
        return dataset_out_of_memory(error);
    dataset->user_count = count;
    return MUSTER_OK;
}

static enum muster_status extend(struct samples *pool, size_t *capacity, size_t features, size_t count,
                                 struct muster_error *error)
{
    size_t wanted = pool->count + count;
    if (wanted > *capacity) {
        size_t grown = wanted > *capacity * 2 ? wanted : *capacity * 2;
        float *x = reallocarray(pool->x, grown, features * sizeof(*x));
        if (!x)
            return dataset_out_of_memory(error);
        pool->x = x;
        int *y = reallocarray(pool->y, grown, sizeof(*y));
        if (!y)
            return dataset_out_of_memory(error);
        pool->y = y;
        *capacity = grown;
    }
    pool->count = wanted;
    return MUSTER_OK;
}

enum muster_status dataset_extend_train(struct dataset *dataset, size_t count, struct muster_error *error)
{
    return extend(&dataset->train, &dataset->train_capacity, dataset->features, count, error);
}

enum muster_status dataset_extend_test(struct dataset *dataset, size_t count, struct muster_error *error)
{
    return extend(&dataset->test, &dataset->test_capacity, dataset->features, count, error);
}

float dataset_largest_feature(const struct dataset *dataset)
{
    float largest = 0;
    for (size_t i = 0; i < dataset->train.count * dataset->features; i++)
        largest = fmaxf(largest, fabsf(dataset->train.x[i]));
    return largest;
}

static struct samples view(const struct samples *pool, size_t features, size_t first, size_t count)
{
    struct samples samples = {count, NULL, NULL};
    if (count > 0) {
        samples.x = pool->x + first * features;
        samples.y = pool->y + first;
    }
    return samples;
}

struct samples dataset_user_train(const struct dataset *dataset, size_t user)
{
    const struct dataset_user *of = &dataset->users[user];
    return view(&dataset->train, dataset->features, of->train_first, of->train_count);
}

struct samples dataset_user_test(const struct dataset *dataset, size_t user)
{
    const struct dataset_user *of = &dataset->users[user];
    return view(&dataset->test, dataset->features, of->test_first, of->test_count);
}

void random_stream(struct muster_random *random, uint64_t seed, enum random_purpose purpose, uint64_t a,
                   uint64_t b)
{
    muster_random_seed(random, seed);
    muster_random_seed(random, muster_random_next(random) ^ (uint64_t)purpose);
    muster_random_seed(random, muster_random_next(random) ^ a);
    muster_random_seed(random, muster_random_next(random) ^ b);
}

void random_shuffle(struct muster_random *random, size_t *numbers, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)(muster_random_uniform(random) * (double)i);
        size_t number = numbers[i - 1];
        numbers[i - 1] = numbers[j];
        numbers[j] = number;
    }
}
