/* The comparisons. Everyone gets the same number of epochs, enough for the training to settle. */
#include <config.h>

#include "baselines.h"

#include "common/signals.h"
#include "server/display.h"

/* Samples seen in the central training: small data settles long before, big data nearly so. */
enum { SAMPLES_SEEN = 3000000, EPOCHS_LEAST = 20, EPOCHS_MOST = 300 };

static bool on_central_epoch(void *context, size_t done, size_t epochs)
{
    (void)context;
    display_stage("for comparison: central training, epoch %zu of %zu", done, epochs);
    return signals_caught() == 0;
}

static bool on_alone_epoch(void *context, size_t done, size_t epochs)
{
    (void)context;
    (void)done;
    (void)epochs;
    return signals_caught() == 0;
}

/* Trains a model from nothing; its accuracy on the pooled test samples, or -1. */
static double train(const struct dataset *dataset, const struct samples *samples,
                    const struct logistic_training *training, struct muster_random *random)
{
    struct logistic model;
    double accuracy = -1;
    if (!logistic_init(&model, dataset->features, dataset->classes))
        return -1;
    if (logistic_train(&model, samples, training, random) && signals_caught() == 0)
        logistic_evaluate(&model, &dataset->test, &accuracy, NULL);
    logistic_free(&model);
    return accuracy;
}

static bool train_alone(const struct dataset *dataset, uint64_t seed,
                        const struct logistic_training *training, struct baselines *baselines)
{
    double sum = 0;
    baselines->alone_lowest = 1;
    baselines->alone_highest = 0;
    for (size_t k = 0; k < dataset->user_count; k++) {
        display_stage("for comparison: participant %zu of %zu alone", k + 1, dataset->user_count);
        struct samples samples = dataset_user_train(dataset, k);
        struct muster_random random;
        random_stream(&random, seed, RANDOM_ALONE, k, 0);
        double accuracy = train(dataset, &samples, training, &random);
        if (accuracy < 0)
            return false;
        sum += accuracy;
        if (accuracy < baselines->alone_lowest)
            baselines->alone_lowest = accuracy;
        if (accuracy > baselines->alone_highest)
            baselines->alone_highest = accuracy;
    }
    baselines->alone_mean = sum / (double)dataset->user_count;
    return true;
}

bool baselines_run(const struct dataset *dataset, uint64_t seed, size_t batch_size, double learning_rate,
                   struct baselines *baselines)
{
    size_t epochs = SAMPLES_SEEN / dataset->train.count;
    epochs = epochs < EPOCHS_LEAST ? EPOCHS_LEAST : epochs > EPOCHS_MOST ? EPOCHS_MOST : epochs;
    baselines->epochs = epochs;
    struct logistic_training training = {epochs, batch_size, learning_rate, 0, on_central_epoch, NULL};
    struct muster_random random;
    random_stream(&random, seed, RANDOM_CENTRAL, 0, 0);
    baselines->central = train(dataset, &dataset->train, &training, &random);
    if (baselines->central < 0)
        return false;
    training.on_epoch = on_alone_epoch;
    return train_alone(dataset, seed, &training, baselines);
}
