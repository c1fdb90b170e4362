/* Which rows are for testing, and which are in which batch: drawn from the seed, so that no numbers of rows
 * travel. */
#include <config.h>

#include "learning/vertical/batches.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "status.h"

/* What is drawn: epochs count from 1, and members from 1 << 48. */
enum { PURPOSE_TEST = 0 };

void muster__vertical_random(uint64_t seed, uint64_t purpose, struct muster_random *random)
{
    muster_random_seed(random, seed);
    muster_random_seed(random, muster_random_next(random) + purpose);
}

static void split(struct muster__vertical_batches *batches)
{
    struct muster_random random;
    muster__vertical_random(batches->seed, PURPOSE_TEST, &random);
    (void)muster_sample(&random, batches->rows, batches->test_count, batches->test, NULL);
    size_t test = 0, train = 0;
    for (size_t i = 0; i < batches->rows; i++) {
        batches->all[i] = i;
        if (test < batches->test_count && batches->test[test] == i)
            test++;
        else
            batches->train[train++] = i;
    }
}

enum muster_status muster__vertical_batches_init(struct muster__vertical_batches *batches, uint64_t seed,
                                                 size_t rows, double test_fraction, size_t batch_size,
                                                 struct muster_error *error)
{
    *batches = (struct muster__vertical_batches){.seed = seed, .rows = rows};
    batches->test_count = (size_t)floor((double)rows * test_fraction);
    if (batches->test_count >= rows)
        return muster__error(error, MUSTER_INVALID, "of %zu joint records none is left to train on", rows);
    batches->train_count = rows - batches->test_count;
    batches->size = batch_size == 0 || batch_size > batches->train_count ? batches->train_count : batch_size;
    batches->per_epoch = (batches->train_count + batches->size - 1) / batches->size;
    batches->all = calloc(rows, 3 * sizeof(*batches->all));
    if (!batches->all)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for the order of %zu records", rows);
    batches->train = batches->all + rows;
    batches->test = batches->train + batches->train_count;
    batches->shuffled = batches->test + batches->test_count;
    split(batches);
    return MUSTER_OK;
}

void muster__vertical_batches_clear(struct muster__vertical_batches *batches)
{
    free(batches->all);
    *batches = (struct muster__vertical_batches){0};
}

const size_t *muster__vertical_part_rows(const struct muster__vertical_batches *batches,
                                         enum muster_vertical_which which, size_t *count)
{
    *count = which == MUSTER_VERTICAL_TRAIN  ? batches->train_count
             : which == MUSTER_VERTICAL_TEST ? batches->test_count
                                             : batches->rows;
    return which == MUSTER_VERTICAL_TRAIN  ? batches->train
           : which == MUSTER_VERTICAL_TEST ? batches->test
                                           : batches->all;
}

/* Fisher and Yates. A product is quicker than a remainder, and 53 bits are many more than a number of rows
 * has. */
static void shuffle(struct muster__vertical_batches *batches, uint64_t epoch)
{
    struct muster_random random;
    muster__vertical_random(batches->seed, epoch, &random);
    memcpy(batches->shuffled, batches->train, batches->train_count * sizeof(*batches->train));
    for (size_t i = batches->train_count; i > 1; i--) {
        size_t other = (size_t)(muster_random_uniform(&random) * (double)i), row = batches->shuffled[i - 1];
        batches->shuffled[i - 1] = batches->shuffled[other];
        batches->shuffled[other] = row;
    }
    batches->shuffled_epoch = epoch;
}

const size_t *muster__vertical_batch(struct muster__vertical_batches *batches, uint64_t iteration,
                                     size_t *count)
{
    uint64_t epoch = (iteration - 1) / batches->per_epoch + 1;
    size_t first = (size_t)((iteration - 1) % batches->per_epoch) * batches->size;
    size_t left = batches->train_count - first;
    *count = left < batches->size ? left : batches->size;
    if (batches->per_epoch == 1)
        return batches->train;
    if (batches->shuffled_epoch != epoch)
        shuffle(batches, epoch);
    return batches->shuffled + first;
}
