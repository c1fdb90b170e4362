/* The running average of models. */
#ifndef AVERAGE_H
#define AVERAGE_H

#include <stdbool.h>
#include <stdint.h>

#include <muster/muster.h>

/* All zeros: there is none. */
struct average {
    double share;                  /* of the average that stays in a round */
    struct muster_message message; /* the average, with the model's names; they stay the model's */
    struct muster_array *arrays;
    void *memory;
};

/* Begins with a model, whose names stay valid. With `share` 0 there is no average. INVALID: the model has floats of 16
 * bits, which are too coarse. */
enum muster_status average_begin(struct average *average, double share, const struct muster_message *model,
                                 struct muster_error *error);

/* Takes the model after `moves` steps into the average. The first ones are averaged evenly, so that the model before them
 * has no part in it. Of integers and bools it takes the last. */
void average_update(struct average *average, const struct muster_message *model, int64_t moves);

/* Puts it to what was saved. FORMAT: other shapes, or what is no number. */
enum muster_status average_restore(struct average *average, const struct muster_message *saved,
                                   struct muster_error *error);

void average_free(struct average *average);

#endif
