/* The health service of a listener, grpc.health.v1.Health, for the probes of those who run servers. */
#ifndef MUSTER_NETWORK_GRPC_HEALTH_H
#define MUSTER_NETWORK_GRPC_HEALTH_H

#include <sys/queue.h>

#include "network/grpc.h"

#define HEALTH_CHECK_METHOD "/grpc.health.v1.Health/Check"
#define HEALTH_WATCH_METHOD "/grpc.health.v1.Health/Watch"

struct health {
    struct grpc_listener *listener;
    pthread_mutex_t lock; /* guards all below, and all calls; timers.lock is taken under it */
    bool closing;
    LIST_HEAD(, health_call) calls; /* the latest first */
};

void muster__grpc_health_init(struct health *health, struct grpc_listener *listener);
/* After the last call's end. */
void muster__grpc_health_destroy(struct health *health);

/*
 * Takes over a call of Check or Watch. The listener is held until its end. A stranger is answered too, as few
 * probes can show credentials, but nothing of it is read, as that may be as big as any message: it is told of
 * the server as a whole, whatever it asks for. A Check is always taken: where there are too many, the oldest
 * of the same connection, or of all, makes room. Watches beyond their limits are refused.
 */
void muster__grpc_health_accept(struct health *health, grpc_call *call, bool watch, bool stranger);

/* The server stops: says so to those who watch, and ends every call. Does not block. */
void muster__grpc_health_close(struct health *health);

#endif
