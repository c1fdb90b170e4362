/* The rounds of federated averaging, written against proxies. */
#ifndef ROUNDS_H
#define ROUNDS_H

#include <stdio.h>

#include <muster/muster.h>

#include "common/dataset.h"
#include "recording.h"
#include "server_model.h"
#include "server_options.h"
#include "stopping.h"

/* Statuses that there is room for. */
enum { REFUSALS_MAX = 32 };

/* Room for a run's identity. */
enum { IDENTITY_SIZE = 65 };

/* What became of answers since the last that was accepted, by status: how many, and the last of them. */
struct refusals {
    size_t rounds;
    size_t count[REFUSALS_MAX];
    char example[REFUSALS_MAX][2 * MUSTER_ERROR_TEXT_SIZE];
};

/* A federation in training. */
struct federation {
    const struct server_options *options;
    const struct dataset *dataset;
    struct participant_manager *manager;
    struct stopping *stopping;
    struct server_model model;
    struct muster_mean *mean;     /* of the answers of the round */
    FILE *metrics;                /* NULL: none */
    struct muster_run *run;       /* NULL: none */
    char identity[IDENTITY_SIZE]; /* of the run, as records know it; empty: none */
    struct recording *recording;
    struct muster_random random; /* what is drawn in the next round comes from this */
    size_t rounds_held;
    size_t rounds_here; /* by this process, and how long they took */
    double seconds_here;
    int64_t present; /* participants that were there at the last round */
    bool resumed;    /* that round was held by another process */
    double accuracy;
    struct refusals refusals;
};

/* Makes a federation that trains a model from zero; false when out of memory. The manager and how it stops
 * are set later. */
bool federation_init(struct federation *federation, const struct server_options *options,
                     const struct dataset *dataset, FILE *metrics);
void federation_free(struct federation *federation);

/* Holds all rounds that are left. OK when they were held; STOPPED when the server was asked to stop;
 * otherwise *error says why. */
enum muster_status federation_run(struct federation *federation, struct muster_error *error);

/* Tells when nothing was accepted in the last rounds, and why; false when nothing ever was, so that there is
 * no result. */
bool federation_has_learned(const struct federation *federation);

#endif
