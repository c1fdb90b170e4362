/* Rounds: those that are running, and what a stop asks about them. */
#ifndef MUSTER_PROXY_ROUND_H
#define MUSTER_PROXY_ROUND_H

#include <pthread.h>
#include <stdbool.h>

#include <muster/participant_manager.h>

#include "proxy/ring.h"

/* Of a manager. */
struct rounds {
    pthread_mutex_t lock; /* a leaf; guards all below, and what is shown of each round */
    uint64_t last;        /* number */
    struct link running;  /* in the order of beginning */
};

/* Of memory that was zero. */
void muster__rounds_init(struct rounds *rounds);
void muster__rounds_destroy(struct rounds *rounds);

/* Whether this thread is in on_answer of a round that the manager's stop would wait for. */
bool muster__round_holds(const struct participant_manager *manager);

#endif
