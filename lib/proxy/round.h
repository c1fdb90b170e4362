/* Rounds: what a stop asks about them. */
#ifndef MUSTER_PROXY_ROUND_H
#define MUSTER_PROXY_ROUND_H

#include <stdbool.h>

#include <muster/participant_manager.h>

/* Whether this thread is in on_answer of a round that the manager's stop would wait for. */
bool muster__round_holds(const struct participant_manager *manager);

#endif
