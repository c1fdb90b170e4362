/*
 * The local transport: streams inside one process, with one of two clocks. Networks with the real one have a
 * thread that delivers what is said; there is one for the process, of addresses local:NAME. On others, which
 * the fixture makes, nothing happens by itself: their clock moves when it is told to, and they have faults.
 *
 * local.c owns all that is here; fixture.c sets the clock and the faults, under the lock.
 */
#ifndef MUSTER_NETWORK_LOCAL_H
#define MUSTER_NETWORK_LOCAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "network/transport.h"

/* What a fixture does to a network; of zeros, nothing. */
struct faults {
    int64_t delay;            /* of each message */
    size_t fail_send;         /* the n-th send from now finds the connection broken; 0: none */
    bool refuse;              /* new connections */
    bool lose;                /* messages, and nobody is told */
    const char *host;         /* that new connections come from */
    const char *const *names; /* what streams show a server */
    const char *refusal;
};

struct network {
    struct muster_transport base;
    bool by_hand;         /* its clock moves when it is told to */
    pthread_mutex_t lock; /* guards all below, and all of listeners, connections and ends */
    pthread_cond_t changed;
    struct event *events; /* in the order of delivery */
    struct event *last_event;
    struct listener *listeners;
    struct connection *connections;
    size_t connected;
    int64_t time; /* by hand */
    int64_t alarm_at;
    bool stopped;
    struct faults faults;
};

extern const struct transport_ops muster__local_ops;

void muster__local_init(struct network *network, bool by_hand);

/* Everything that used it must be freed; what is undelivered is dropped. */
void muster__local_destroy(struct network *network);

/* Delivers the earliest event that is due, on this thread. False: none is. */
bool muster__local_step(struct network *network);

/* Delivers events as they fall due, until muster__local_stop(), one call of which ends one run. */
void muster__local_run(struct network *network);
void muster__local_stop(struct network *network);

/* With the lock held: the n-th connection (from 0, in the order of connecting) breaks, or its client closes
   its side; false when it is over. */
bool muster__local_break(struct network *network, size_t n);
bool muster__local_leave(struct network *network, size_t n);

#endif
