/* Synthetic data as in the FedProx paper (Li et al. 2020, section 5.1): users whose labels follow different
 * models (as far apart as ALPHA) of differently distributed inputs (as far apart as BETA); or, with iid,
 * users who all have the same model, the same inputs and as many samples. */
#include <config.h>

#include "dataset.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { FEATURES = 60, CLASSES = 10, USERS = 30, SAMPLES_LEAST = 50, SAMPLES_IID = 200 };

/* The labelling model and the input distribution of one user. */
struct user_law {
    double input_mean[FEATURES];
    double weights[FEATURES][CLASSES];
    double bias[CLASSES];
};

static void draw_law(struct muster_random *random, double alpha, double beta, struct user_law *law)
{
    double model_mean = alpha * muster_random_normal(random);
    double input_centre = beta * muster_random_normal(random);
    for (size_t j = 0; j < FEATURES; j++)
        law->input_mean[j] = input_centre + muster_random_normal(random);
    for (size_t j = 0; j < FEATURES; j++) {
        for (size_t c = 0; c < CLASSES; c++)
            law->weights[j][c] = model_mean + muster_random_normal(random);
    }
    for (size_t c = 0; c < CLASSES; c++)
        law->bias[c] = model_mean + muster_random_normal(random);
}

/* What all users have in common in the paper's "synthetic IID": inputs around 0, and one labelling model. */
static void draw_common_law(uint64_t seed, struct user_law *law)
{
    struct muster_random random;
    random_stream(&random, seed, RANDOM_DATA, SIZE_MAX, 0);
    draw_law(&random, 0, 0, law);
    for (size_t j = 0; j < FEATURES; j++)
        law->input_mean[j] = 0;
}

static void draw_samples(struct muster_random *random, const struct user_law *law, size_t count, float *x,
                         int *y)
{
    double deviation[FEATURES];
    for (size_t j = 0; j < FEATURES; j++)
        deviation[j] = sqrt(pow((double)(j + 1), -1.2));
    for (size_t i = 0; i < count; i++, x += FEATURES) {
        double score[CLASSES];
        for (size_t c = 0; c < CLASSES; c++)
            score[c] = law->bias[c];
        for (size_t j = 0; j < FEATURES; j++) {
            x[j] = (float)(law->input_mean[j] + deviation[j] * muster_random_normal(random));
            for (size_t c = 0; c < CLASSES; c++)
                score[c] += (double)x[j] * law->weights[j][c];
        }
        y[i] = 0;
        for (int c = 1; c < CLASSES; c++) {
            if (score[c] > score[y[i]])
                y[i] = c;
        }
    }
}

static enum muster_status make_user(struct dataset *dataset, struct dataset_user *user,
                                    struct muster_random *random, const struct user_law *law, size_t count,
                                    struct muster_error *error)
{
    user->train_first = dataset->train.count;
    user->train_count = count * 9 / 10;
    user->test_first = dataset->test.count;
    user->test_count = count - user->train_count;
    enum muster_status status = dataset_extend_train(dataset, user->train_count, error);
    if (status == MUSTER_OK)
        status = dataset_extend_test(dataset, user->test_count, error);
    if (status != MUSTER_OK)
        return status;
    draw_samples(random, law, user->train_count, dataset->train.x + user->train_first * FEATURES,
                 dataset->train.y + user->train_first);
    draw_samples(random, law, user->test_count, dataset->test.x + user->test_first * FEATURES,
                 dataset->test.y + user->test_first);
    return MUSTER_OK;
}

/* ALPHA,BETA, or iid. */
static bool read_parameters(const char *parameters, bool *iid, double *alpha, double *beta)
{
    char more;
    *iid = strcmp(parameters, "iid") == 0;
    return *iid || (sscanf(parameters, "%lf,%lf%c", alpha, beta, &more) == 2 && *alpha >= 0 && *beta >= 0 &&
                    isfinite(*alpha + *beta));
}

enum muster_status dataset_load_synthetic(const struct dataset_options *options, const char *parameters,
                                          struct dataset *dataset, struct muster_error *error)
{
    bool iid;
    double alpha, beta;
    struct user_law law;
    if (!read_parameters(parameters, &iid, &alpha, &beta))
        return explain(error, MUSTER_INVALID,
                       "synthetic:%s: expected two numbers from 0, such as synthetic:1,1, or synthetic:iid",
                       parameters);
    dataset->features = FEATURES;
    dataset->classes = CLASSES;
    if (iid)
        draw_common_law(options->seed, &law);
    enum muster_status status =
        dataset_make_users(dataset, options->participants > 0 ? options->participants : USERS, error);
    for (size_t k = 0; status == MUSTER_OK && k < dataset->user_count; k++) {
        if (options->only != DATASET_EVERYONE && options->only != k)
            continue;
        struct muster_random random;
        random_stream(&random, options->seed, RANDOM_DATA, k, 0);
        size_t count = SAMPLES_IID;
        if (!iid) {
            draw_law(&random, alpha, beta, &law);
            count = (size_t)exp(4 + 2 * muster_random_normal(&random)) + SAMPLES_LEAST;
        }
        status = make_user(dataset, &dataset->users[k], &random, &law, count, error);
    }
    return status;
}
