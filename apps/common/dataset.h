/* Datasets of a federation: who holds which samples. One spec, such as synthetic:1,1, names the data, and the
 * same spec and seed give the same data in every process, so that a participant loads only its own share. */
#ifndef DATASET_H
#define DATASET_H

#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

/* Samples: x is count x features, y the classes from 0. Owned by a dataset, or a view into one. */
struct samples {
    size_t count;
    float *x;
    int *y;
};

/* A user's share: ranges of the dataset's pooled samples. A user whose share was not loaded has empty
   ones. */
struct dataset_user {
    size_t train_first, train_count;
    size_t test_first, test_count;
};

/* All that was loaded. The pooled test samples may hold some that are nobody's. */
struct dataset {
    size_t features, classes;
    struct samples train, test;
    size_t train_capacity, test_capacity;
    struct dataset_user *users;
    size_t user_count;
};

/* Load every user's share, not only one. */
#define DATASET_EVERYONE SIZE_MAX

/* What to load. Start from DATASET_OPTIONS_INIT. */
struct dataset_options {
    const char *spec; /* synthetic:ALPHA,BETA, synthetic:iid, leaf:DIR or idx:DIR */
    uint64_t seed;
    size_t participants; /* users to make or split among; 0: 30 synthetic, 10 of idx. leaf brings its own */
    double dirichlet;    /* concentration of the labels of idx; small: each user sees few of them */
    size_t only;         /* the one user whose share to load, or DATASET_EVERYONE */
};

#define DATASET_OPTIONS_INIT                         \
    {                                                \
        "synthetic:1,1", 0, 0, 0.5, DATASET_EVERYONE \
    }

/* Loads the data; on OK it is to be freed with dataset_free(), otherwise *error says why. */
enum muster_status dataset_load(const struct dataset_options *options, struct dataset *dataset,
                                struct muster_error *error);
void dataset_free(struct dataset *dataset);

/* The feature furthest from 0, of all samples to train on. */
float dataset_largest_feature(const struct dataset *dataset);

/* Views of one user's share. */
struct samples dataset_user_train(const struct dataset *dataset, size_t user);
struct samples dataset_user_test(const struct dataset *dataset, size_t user);

/* What random numbers are drawn for; each purpose has streams of its own. */
enum random_purpose {
    RANDOM_DATA,
    RANDOM_TRAINING,
    RANDOM_SELECTION,
    RANDOM_CENTRAL,
    RANDOM_ALONE,
    RANDOM_START,
    RANDOM_DROPOUT,
    RANDOM_NOISE,
};

/* An independent stream of random numbers for each (seed, purpose, a, b). */
void random_stream(struct muster_random *random, uint64_t seed, enum random_purpose purpose, uint64_t a,
                   uint64_t b);

/* Puts numbers into a random order. */
void random_shuffle(struct muster_random *random, size_t *numbers, size_t count);

/* For the loaders of the formats. */

enum muster_status dataset_load_synthetic(const struct dataset_options *options, const char *parameters,
                                          struct dataset *dataset, struct muster_error *error);
enum muster_status dataset_load_leaf(const struct dataset_options *options, const char *directory,
                                     struct dataset *dataset, struct muster_error *error);
enum muster_status dataset_load_idx(const struct dataset_options *options, const char *directory,
                                    struct dataset *dataset, struct muster_error *error);

/* Says that there is no memory for the data. */
enum muster_status dataset_out_of_memory(struct muster_error *error);
/* Makes room for `count` users, all without samples. */
enum muster_status dataset_make_users(struct dataset *dataset, size_t count, struct muster_error *error);
/* Makes room for `count` samples at the end of a pool and counts them in; features must be known. */
enum muster_status dataset_extend_train(struct dataset *dataset, size_t count, struct muster_error *error);
enum muster_status dataset_extend_test(struct dataset *dataset, size_t count, struct muster_error *error);
/* Writes the reason into *error and returns its status. */
enum muster_status explain(struct muster_error *error, enum muster_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
