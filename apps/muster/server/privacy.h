/* A training that is private for whole participants: who is drawn, and what the rounds have cost so far. docs/privacy.md
 * says what that is worth. */
#ifndef PRIVACY_H
#define PRIVACY_H

#include <stdbool.h>
#include <stddef.h>

#include <muster/muster.h>

#include "settings/settings.h"

/* All zeros: the training is not private. */
struct privacy {
    const struct server_settings *settings;
    enum muster_sampling sampling;
    struct muster_accountant *accountant; /* NULL: not private */
    double rate;                          /* poisson: with which each participant is drawn */
};

/* Begins with nothing spent, if the settings have noise, and tells what lies outside of epsilon. OUT_OF_MEMORY with
 * *error. */
enum muster_status privacy_open(struct privacy *privacy, const struct server_settings *settings,
                                struct muster_error *error);
void privacy_close(struct privacy *privacy);

static inline bool privacy_is_on(const struct privacy *privacy)
{
    return privacy->accountant;
}

/* Draws of those present, in ascending order, to chosen[present]: each by itself, or `asked` of them. UNSUPPORTED or
 * OUT_OF_MEMORY with *error. */
enum muster_status privacy_draw(const struct privacy *privacy, size_t present, size_t asked, size_t *chosen,
                                size_t *count, struct muster_error *error);

/* Whether a round takes all answers up to its deadline: if enough of them ended it, whoever is slow would be let in
 * for another one that is not there. */
bool privacy_waits_for_all(const struct privacy *privacy);

/* What the sum of changes is divided by, in a round that wants so many answers; 0: there is no noise. */
double privacy_divisor(const struct privacy *privacy, size_t wanted);

/* Counts a step, for which `drawn` of those present were drawn. INVALID with *error. */
enum muster_status privacy_spend(struct privacy *privacy, size_t drawn, size_t present,
                                 struct muster_error *error);

/* What all steps have cost; may be infinite. NaN: the training is not private. */
double privacy_epsilon(const struct privacy *privacy);

/* What is saved with each round of a private training, and how a run goes on from it. FORMAT with *error. */
struct muster_named_array privacy_state(const struct privacy *privacy);
enum muster_status privacy_restore(struct privacy *privacy, const struct muster_named_array *arrays,
                                   size_t count, struct muster_error *error);

#endif
