/* What each participant of a round or a test is told. */
#ifndef INSTRUCTIONS_H
#define INSTRUCTIONS_H

#include <stdbool.h>

#include <muster/muster.h>

#include "selection.h"
#include "server.h"

struct training;

/* An instruction for each participant of a selection. */
struct instructions {
    const struct muster_message **each; /* those of the messages */
    struct muster_message *messages;
    struct server_assignment *assignments;
    size_t count;
    bool same; /* all are told the same */
};

/* What one participant is told for round `round`, counted from 0: a new object. NULL when out of memory. */
json_t *instructions_values(const struct training *training, const struct proxy *proxy, size_t round);

/* An instruction that is told `values`: what is written into the message points at them and at the model. It is to be
 * cleared with the other one, in any case. False when out of memory. */
bool instructions_write(struct muster_message *message, enum muster_kind kind,
                        const struct muster_message *model, json_t *values);
void instructions_clear(struct muster_message *message);

/* Makes those of a kind, MUSTER_TRAIN or MUSTER_EVALUATE, with the arrays of `model`, and what the settings and the
 * program's hook say. The model stays where it is. False when out of memory; they are freed in any case. */
bool instructions_make(struct instructions *instructions, const struct training *training,
                       enum muster_kind kind, const struct muster_message *model,
                       const struct selection *selection, struct muster_random *random);
void instructions_free(struct instructions *instructions);

#endif
