/* A training: its model, its strategy, and how far it is. */
#ifndef TRAINING_H
#define TRAINING_H

#include <stdio.h>

#include <muster/muster.h>

#include "average.h"
#include "evaluation.h"
#include "failures.h"
#include "model.h"
#include "privacy.h"
#include "recording.h"
#include "server.h"
#include "stopping.h"

/* Room for a run's identity. */
enum { IDENTITY_SIZE = 65 };

/* All of it is for the thread of server_run(). */
struct training {
    const struct server_settings *settings;
    const struct server_hooks *hooks;
    struct participant_manager *manager;
    struct stopping *stopping;
    struct model first;               /* the model that it begins with; empty once there is a strategy */
    struct muster_strategy *strategy; /* NULL: there is no model yet */
    struct average average;           /* of the models, if there is to be one */
    struct evaluation evaluation;
    struct privacy privacy;
    FILE *metrics;                /* NULL: none */
    struct muster_run *run;       /* NULL: none */
    char identity[IDENTITY_SIZE]; /* of the run, as records know it; empty: none */
    struct recording *recording;
    size_t rounds_held;
    bool is_torn;       /* the last of them could not be completed: its model is nobody's */
    int64_t moves;      /* rounds that moved the model */
    size_t rounds_here; /* by this process, and how long they took */
    double seconds_here;
    int64_t present;          /* participants that were there at the last round */
    bool resumed;             /* that round was held by another process */
    struct failures failures; /* of rounds */
    struct failures testers;  /* of tests */
};

/* Makes the strategy of a first model. */
enum muster_status training_begin(struct training *training, const struct muster_message *model,
                                  struct muster_error *error);

/* The model that would be the result now: the running average, or the strategy's. There is a strategy. */
const struct muster_message *training_result(const struct training *training);

/* Holds all rounds that are left. OK when they were held, or when no better model is to be expected; STOPPED when the
 * server was asked to stop; otherwise *error says why. */
enum muster_status training_run(struct training *training, struct muster_error *error);

/* Tells when nothing was accepted in the last rounds, and why; false when nothing ever was, so that there is no result. */
bool training_has_learned(const struct training *training);

void training_free(struct training *training);

#endif
