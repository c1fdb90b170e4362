/* A listener: the struct, which grpc_listener.c owns, and its parts, which have a file each. */
#ifndef MUSTER_NETWORK_GRPC_LISTENER_H
#define MUSTER_NETWORK_GRPC_LISTENER_H

#include "network/credentials.h"
#include "network/descriptors.h"
#include "network/grpc.h"
#include "network/grpc_flood.h"
#include "network/grpc_handshakes.h"
#include "network/grpc_unfinished.h"
#include "network/handshakes.h"
#include "network/health.h"
#include "network/holders.h"
#include "network/waiting.h"

struct grpc_listener {
    struct grpc_transport *transport;
    const struct listener_events *events;
    void *context;
    struct connection_options options;
    struct certificate_source source; /* its credentials: NULL when there are none */
    size_t max_message_size;
    struct health health;
    struct waiting_room waiting;
    struct handshakes handshakes;
    struct unfinished unfinished;
    grpc_resource_quota *quota;
    struct flood *flood; /* NULL: no limit */
    atomic_bool cut;
    char host[HOST_SIZE]; /* a numeric address; "" when it is any of the machine's, or a name */
    char *address;        /* with the port that was bound */
    _Atomic uint16_t port;
    bool is_watched; /* for handshakes that fail: guarded by a lock of grpc_handshakes.c, as is the next */
    LIST_ENTRY(grpc_listener) watched;
    LIST_ENTRY(grpc_listener) link; /* guarded by the transport's listeners_lock */
    pthread_mutex_t doors_lock;     /* taken before all others but listeners_lock; guards what follows */
    LIST_HEAD(, door) doors;        /* the newest first */
    bool open;                      /* the newest is */
    bool closing;                   /* by the owner */
    struct timer reopening;         /* runs while it is neither open nor closing */
    struct reserve reserve;
    bool told;              /* that it is not open; of the timer alone */
    struct holders holders; /* streams, calls that wait, doors, and timers */
    pthread_mutex_t lock;
    size_t peers; /* streams of which a message came; guarded by lock */
};

/* ---- grpc_calls.c ---- */

/* Takes a call over that has arrived; its metadata is the caller's, or empty by then. */
void muster__grpc_arrived(struct grpc_listener *listener, grpc_call *call, grpc_slice method,
                          grpc_metadata_array *metadata);

/* ---- grpc_listener.c ---- */

/* A stream of which a message came, and its end. */
void muster__grpc_count_peer(struct grpc_listener *listener, bool more);

#endif
