/* What a federation is compared with: training on everyone's data at one place, and training of each
   alone. */
#ifndef BASELINES_H
#define BASELINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/dataset.h"
#include "common/logistic.h"

/* Accuracies on the pooled test samples. */
struct baselines {
    size_t epochs; /* of each training */
    double central;
    double alone_mean, alone_lowest, alone_highest;
};

/* Trains both with this batch size and learning rate, and shows progress. False when it was ended by a
 * signal, or out of memory. */
bool baselines_run(const struct dataset *dataset, uint64_t seed, size_t batch_size, double learning_rate,
                   struct baselines *baselines);

#endif
