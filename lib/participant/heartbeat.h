/* Heartbeats: while there is something to answer, the server hears at intervals that the participant lives. */
#ifndef MUSTER_PARTICIPANT_HEARTBEAT_H
#define MUSTER_PARTICIPANT_HEARTBEAT_H

#include <stdbool.h>
#include <stdint.h>

#include "network/transport.h"

struct participant;

/* Guarded by participant->lock; written by heartbeat.c alone. */
struct heartbeat {
    int64_t interval_ms; /* that the server gave; 0: none */
    bool runs;           /* the timer, which has a reference to the participant */
    struct timer timer;
};

/* With the participant's lock held: the server gave an interval; there may be something to answer now, since
   a message came; it is the end. */
void muster__heartbeat_set(struct participant *participant, uint64_t interval_ms);
void muster__heartbeat_run(struct participant *participant);
void muster__heartbeat_stop(struct participant *participant);

#endif
