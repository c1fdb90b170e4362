/* The models that are out: those that participants of an asynchronous training still train on. */
#ifndef VERSIONS_H
#define VERSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include <muster/muster.h>

#include "model.h"

struct training;

/* A model that participants were sent, and what some of them were told with it. */
struct version {
    uint64_t number;                   /* steps of the server before it */
    const struct muster_message *base; /* its arrays; NULL: it was dropped */
    struct told *told;
    size_t told_count;
    struct model model; /* of a version that was read from the run */
    size_t holders;     /* participants that train on it */
    struct version *next;
};

/* All of them, the newest first. */
struct versions {
    struct version *first;
};

/* The current version, or an older one that is kept in memory or in the run; NULL when it is gone, or out of memory. */
struct version *versions_find(struct versions *versions, struct training *training, uint64_t number);

/* The instruction to train on it with these values, prepared once for all that are told the same; the values are taken over.
 * NULL with *error. */
const struct muster_message *versions_instruction(struct version *version, struct training *training,
                                                  json_t *values, struct muster_error *error);

/* One more, or one less, trains on it. */
void versions_hold(struct version *version);
void versions_release(struct versions *versions, const struct training *training, struct version *version);

/* Before a round is completed: what is out has to be in the run, too, and within the budget. IO with *error. */
enum muster_status versions_save(struct versions *versions, struct training *training,
                                 struct muster_error *error);

/* After it, or when a run was opened: removes the files of versions that nobody holds, but those in `kept`. */
void versions_tidy(const struct versions *versions, const struct training *training, const uint64_t *kept,
                   size_t count);

void versions_free(struct versions *versions);

#endif
