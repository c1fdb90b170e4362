/* A round: draw participants, have them train on the model, move the model by their answers. */
#ifndef ROUNDS_H
#define ROUNDS_H

#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

#include "training.h"

/* Holds the next round, and completes it: see training_run(). */
enum muster_status round_hold(struct training *training, struct muster_error *error);

/* What there is to say of a completed round. */
struct round_report {
    size_t number;
    double seconds;
    size_t answered, failed, left; /* left: not waited for */
    uint64_t bytes_sent, bytes_received;
    double train_loss;                                /* NaN: nobody said it */
    double epsilon;                                   /* so far; NaN: the training is not private */
    struct muster_scalar metrics[SERVER_METRICS_MAX]; /* of the program's own test */
    size_t metric_count;
};

/* Completes the round that was counted last: saves it, and only then tells it. */
enum muster_status round_complete(struct training *training, struct round_report *report,
                                  struct muster_error *error);

#endif
