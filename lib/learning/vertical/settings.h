/* What the master settles for all when a run begins, and how "begin" says it. */
#ifndef MUSTER_VERTICAL_SETTINGS_H
#define MUSTER_VERTICAL_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/vertical.h>

#include "learning/vertical/model.h"
#include "learning/vertical/note.h"
#include "learning/vertical/steps.h"

struct muster__vertical_settings {
    int64_t run; /* which run it is; never 0 */
    enum muster_vertical_model model;
    size_t outputs;
    size_t rows; /* joint */
    uint64_t seed;
    size_t batch_size;
    double test_fraction;
    struct muster__vertical_steps steps;
    struct muster__vertical_step step;
    bool standardize;
    bool uniform_start;
    bool trained; /* the weights come from a file, and stay */
};

/* Adds them to a "begin". */
void muster__vertical_settings_write(const struct muster__vertical_settings *settings,
                                     struct muster__vertical_note *note);
/* Reads them from one that may say anything; FORMAT if something is out of range. */
enum muster_status muster__vertical_settings_read(struct muster__vertical_settings *settings,
                                                  const struct muster_message *message,
                                                  struct muster_error *error);

#endif
