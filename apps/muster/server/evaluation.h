/* Tests of the model by participants, the best model so far, and when no better one is to be expected. */
#ifndef EVALUATION_H
#define EVALUATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

#include "metrics.h"

struct training;

/* All zeros: there was no test yet. */
struct evaluation {
    struct metrics metrics; /* of the last test */
    struct muster_scalar means[SERVER_METRICS_MAX];
    size_t count;
    size_t tested;     /* the round after which it was; 0: none */
    size_t best_round; /* 0: none */
    double best;
    size_t waited; /* tests since then */
    int64_t size;  /* bytes of the run's evaluations.csv */
};

/* Takes over what the run knows of tests of rounds that it has. */
enum muster_status evaluation_open(struct training *training, struct muster_error *error);

/* Whether the model is to be tested now. */
bool evaluation_is_due(const struct training *training);

/* Has participants test the model; keeps it if it is the best. A test that nobody answers is told of, and decides nothing.
 * STOPPED, or what makes it impossible to go on, with *error. */
enum muster_status evaluation_hold(struct training *training, struct muster_error *error);

/* Takes over what came of a test of `model` after round `round`: `answered` of `asked` participants said `metrics`. */
enum muster_status evaluation_take(struct training *training, size_t round,
                                   const struct muster_message *model, const struct metrics *metrics,
                                   size_t answered, size_t asked, struct muster_error *error);

/* Whether so many tests found no better model that the training ends. */
bool evaluation_ends(const struct training *training);

#endif
