/* The server's model and how it moves from round to round: plain FedAvg, or FedYogi with a running average.
 *
 * FedAvg takes the mean of the answers as the next model. With users as different as those of synthetic:1,1
 * that model jumps to and fro with who was sampled: after 100 rounds its accuracy is 0.15 below that of
 * central training (mean of the seeds 0 to 19), and with FedProx's term 0.08. So by default the change that
 * the mean asks for is taken as a gradient for Yogi (Reddi et al. 2021, "Adaptive Federated Optimization",
 * algorithm 2), and what is tested and is the result is a running average of the models: that is 0.02
 * below. */
#ifndef SERVER_MODEL_H
#define SERVER_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

#include "common/logistic.h"

/* The model that participants get, the running average of it, and the optimizer's state per parameter. */
struct server_model {
    double rate;    /* learning rate of Yogi; 0: FedAvg */
    double average; /* share of the running average that stays in a round; 0: no averaging */
    int64_t moves;
    struct logistic current;
    struct logistic averaged;
    double *momentum;
    double *scale;
    float *padding; /* travels behind the model and never changes; NULL: none */
    size_t padding_count;
};

/* Makes a model of zeros that travels as about `size` bytes; one that has as many itself is not padded.
 * False when out of memory. */
bool server_model_init(struct server_model *model, size_t features, size_t classes, double rate,
                       double average, uint64_t size);
void server_model_free(struct server_model *model);

/* What participants get: views of the current model and, if there is any, the padding. How many they are. */
size_t server_model_instruction(const struct server_model *model, struct muster_array arrays[PADDED_ARRAYS]);

/* Moves the model by a round's mean, whose arrays must fit; that of the padding is of no interest. */
void server_model_move(struct server_model *model, const struct muster_array *mean);

/* Everything that the model is, under names, for a checkpoint: views of the model's own memory. What would
 * be the result are "weights" and "bias". The padding is no part of it: it is made anew. */
enum { SERVER_MODEL_ARRAYS = 7 };
void server_model_arrays(const struct server_model *model,
                         struct muster_named_array arrays[SERVER_MODEL_ARRAYS]);

#endif
