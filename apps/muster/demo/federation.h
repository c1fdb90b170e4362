/* One federation of the demo: the server in this process, with its participants. */
#ifndef FEDERATION_H
#define FEDERATION_H

#include <stdbool.h>
#include <stddef.h>

#include "common/dataset.h"
#include "demo_options.h"

/* What to train. */
struct demo_plan {
    const struct demo_options *options;
    const struct dataset *dataset; /* all of it */
    const char *strategy;          /* instead of the options'; NULL: theirs */
    size_t attackers;              /* the last so many participants send noise */
    bool quiet;                    /* nothing is told of rounds, and nothing of the result */
};

/* Trains; the exit status, and with EXIT_SUCCESS the result's accuracy on the pooled test samples. */
int demo_train(const struct demo_plan *plan, double *accuracy);

#endif
