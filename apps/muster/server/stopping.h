/* How the server stops at a signal: the round that runs is finished, or given up when that takes too long or
 * a second signal comes; then the participants are told to come back, or good-bye. */
#ifndef STOPPING_H
#define STOPPING_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <muster/muster.h>

/* A server that may be asked to stop. */
struct stopping {
    pthread_mutex_t lock;
    struct participant_manager *manager; /* constant */
    int32_t come_back_seconds;           /* constant; -1: participants are told good-bye */
    bool asked;                          /* guarded by the lock, as are those below */
    bool gave_up;
    bool waiting;
};

void stopping_init(struct stopping *stopping, struct participant_manager *manager, int32_t come_back_seconds);
void stopping_destroy(struct stopping *stopping);

/* A signals_stop. Gives up a round only when that is to be at once, a wait always. */
void stopping_ask(void *stopping, bool at_once);

/* Begins a wait for participants; false when there is to be none, as the server stops. */
bool stopping_begin_wait(struct stopping *stopping);
void stopping_end_wait(struct stopping *stopping);

/* Whether no other round is to begin. */
bool stopping_is_asked(struct stopping *stopping);
/* Whether the round that ran was given up: what came of it is not to be used. */
bool stopping_gave_up(struct stopping *stopping);

/* Asks all participants that are there to come back, if they are to. */
void stopping_farewell(struct stopping *stopping);

#endif
