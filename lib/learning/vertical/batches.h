/* Which rows are for testing, and which are in which batch: drawn from the seed, so that no numbers of rows
 * travel. */
#ifndef MUSTER_VERTICAL_BATCHES_H
#define MUSTER_VERTICAL_BATCHES_H

#include <stddef.h>
#include <stdint.h>

#include <muster/random.h>
#include <muster/vertical.h>

struct muster__vertical_batches {
    uint64_t seed;
    size_t rows;
    size_t train_count;
    size_t test_count;
    size_t *train; /* ascending */
    size_t *test;  /* ascending */
    size_t *all;
    size_t size;             /* of a batch; the last of an epoch may be smaller */
    size_t per_epoch;        /* batches */
    size_t *shuffled;        /* `train` in the order of */
    uint64_t shuffled_epoch; /* this, from 1; 0: none */
};

/* Draws what is for testing. `batch_size` 0: all that is not. INVALID if nothing is left to train on. */
enum muster_status muster__vertical_batches_init(struct muster__vertical_batches *batches, uint64_t seed,
                                                 size_t rows, double test_fraction, size_t batch_size,
                                                 struct muster_error *error);
void muster__vertical_batches_clear(struct muster__vertical_batches *batches);

/* The rows of a part. */
const size_t *muster__vertical_part_rows(const struct muster__vertical_batches *batches,
                                         enum muster_vertical_which which, size_t *count);

/* The rows of the batch of an iteration, from 1 on, over all epochs. If one batch has all, it is `train`. */
const size_t *muster__vertical_batch(struct muster__vertical_batches *batches, uint64_t iteration,
                                     size_t *count);

/* A stream for `purpose`, which is independent of those for others. */
void muster__vertical_random(uint64_t seed, uint64_t purpose, struct muster_random *random);

#endif
