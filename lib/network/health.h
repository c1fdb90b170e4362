/* The health service of a listener, grpc.health.v1.Health, for the probes of those who run servers: the owner
   of streams that were opened for it, over any transport that such probes can reach. */
#ifndef MUSTER_NETWORK_HEALTH_H
#define MUSTER_NETWORK_HEALTH_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "network/holders.h"
#include "network/transport.h"

struct health {
    struct muster_transport *transport;
    struct holders *holders;     /* of the listener */
    const struct served *served; /* the services that are there */
    pthread_mutex_t
        lock; /* guards all below, and all calls; streams' locks and timers.lock are taken under it */
    bool closing;
    LIST_HEAD(, health_call) calls; /* the latest first */
};

void muster__health_init(struct health *health, struct muster_transport *transport, struct holders *holders,
                         const struct served *served);
/* After the listener has stopped. */
void muster__health_destroy(struct health *health);

/* Whether this method, which has `size` bytes, is Check or Watch. */
bool muster__health_has(const char *method, size_t size, bool *watch);

/*
 * Takes over a stream that was opened for Check or Watch, as `accepted` of struct served does: gives its
 * events and their context. NULL: it has been refused, and nobody owns it. The stream has the operations
 * refuse() and pause() without a limit, and reports `left`.
 *
 * A stranger is answered too, as few probes can show credentials, but nothing of it is read, as that may be
 * as big as any message: it is told of the server as a whole, whatever it asks for. A Check is always taken:
 * where there are too many, the oldest of the same connection, or of all, makes room. Watches beyond their
 * limits are refused.
 */
void *muster__health_accepted(struct health *health, struct stream *stream, bool watch, bool stranger,
                              const struct stream_events **events);

/* The server stops: says so to those who watch, and ends every call. Does not block. */
void muster__health_close(struct health *health);

#endif
