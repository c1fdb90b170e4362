/*
 * What a coordinator says to the members of its groups: the roster of each new epoch, or a question for the
 * report of a member that asked. What is to be said is taken under the coordinator's lock, and said without it.
 */
#ifndef MUSTER_GROUP_COORDINATOR_WORDS_H
#define MUSTER_GROUP_COORDINATOR_WORDS_H

#include <muster/participant_manager.h>
#include <muster/proxy.h>

#include "group/coordinator_groups.h"

/* A turn that is to begin. */
struct delivery {
    struct proxy *proxy; /* a reference */
    struct word *word;   /* a reference; NULL: it is asked for its report */
};

/* Frees group->word, if nobody is told it any more. */
void muster__word_release(void *word);

/* ---- under the lock; false: something was left undone, as there was no memory for it ---- */

/* What the members of groups that changed are told from now on. */
bool muster__words_renew(const struct groups *groups, struct participant_manager *manager);

/* What is to be said now. The caller says all of it, and frees the array. */
bool muster__deliveries_take(const struct groups *groups, struct delivery **deliveries, size_t *count);

/* Those who have lost their places; the caller sends them away. */
struct place *muster__dropped_take(struct groups *groups);

/* ---- without the lock ---- */

/* Begins the turn, whose end `answered` hears. */
void muster__delivery_run(const struct delivery *delivery, proxy_answered *answered, void *context);

/* Closes the proxies, and frees the places. */
void muster__dropped_send_away(struct place *dropped);

/* Whether an answer is a report, and says that the member has finished. */
bool muster__report_read(const struct muster_message *answer, bool *finished);

#endif
