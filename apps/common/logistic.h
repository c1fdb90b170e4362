/* Multinomial logistic regression, trained by mini-batch SGD, with FedProx's proximal term. */
#ifndef LOGISTIC_H
#define LOGISTIC_H

#include <stdbool.h>
#include <stddef.h>

#include "dataset.h"

/* A model: the class of x is the biggest of x W + b. */
struct logistic {
    size_t features, classes;
    float *weights; /* features x classes */
    float *bias;    /* classes; in memory right after the weights */
};

/* How to train. */
struct logistic_training {
    size_t epochs;
    size_t batch_size;
    double learning_rate;
    double mu; /* weight of mu/2 |w - w0|^2, w0 being the model before the training; 0: FedAvg */
    /* Called after each epoch; false ends the training. NULL: nobody asks. */
    bool (*on_epoch)(void *context, size_t done, size_t epochs);
    void *context;
};

/* Makes a model of zeros; false when out of memory. */
bool logistic_init(struct logistic *model, size_t features, size_t classes);
void logistic_free(struct logistic *model);
void logistic_copy(struct logistic *to, const struct logistic *from);
/* The number of weights and biases together. */
size_t logistic_parameters(const struct logistic *model);

/* The model's arrays as they travel: weights and bias. */
enum { LOGISTIC_ARRAYS = 2 };
void logistic_arrays(const struct logistic *model, struct muster_array arrays[LOGISTIC_ARRAYS]);
/* Behind them there may be one more, which is only there to be carried to and fro. */
enum { PADDED_ARRAYS = LOGISTIC_ARRAYS + 1 };
/* Whether arrays are a model of these dimensions, with or without padding, which may be any array. */
bool logistic_fits(const struct logistic *model, const struct muster_array *arrays, size_t count);
/* Takes the numbers of arrays that fit. */
void logistic_set(struct logistic *model, const struct muster_array *arrays);

/* Trains on samples in an order drawn from `random`; false when out of memory. */
bool logistic_train(struct logistic *model, const struct samples *samples,
                    const struct logistic_training *training, struct muster_random *random);

/* The share of samples that are classified right and the mean cross entropy; NULL: not of interest. NaN of
 * no samples. */
void logistic_evaluate(const struct logistic *model, const struct samples *samples, double *accuracy,
                       double *loss);

#endif
