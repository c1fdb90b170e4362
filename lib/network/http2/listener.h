/* A listener: its doors, which are sockets that it listens on, and its parts. */
#ifndef MUSTER_NETWORK_HTTP2_LISTENER_H
#define MUSTER_NETWORK_HTTP2_LISTENER_H

#include "network/address.h"
#include "network/descriptors.h"
#include "network/handshakes.h"
#include "network/health.h"
#include "network/holders.h"
#include "network/http2/http2.h"
#include "network/http2/loop.h"
#include "network/waiting.h"

/* Addresses that one name may stand for. */
enum { DOORS_MAX = 8 };

struct door {
    struct watch watch;
    struct tcp_listener *listener;
    int descriptor;
};

struct tcp_listener {
    struct http2_listener base;
    struct http2_transport *transport;
    struct http2_loop *loop; /* that accepts */
    const struct listener_events *events;
    void *context;
    struct holders holders; /* connections, timers, and itself until it is closed */
    struct waiting_room waiting;
    struct handshakes handshakes;
    struct health health;
    struct tls_server *tls; /* NULL: without */
    char *address;          /* with the port that was bound */
    uint16_t port;
    struct errand closer;
    atomic_bool closing;
    atomic_size_t memory; /* that its streams hold of what is not whole */
    atomic_size_t peers;  /* streams of which a message came */
    struct door doors[DOORS_MAX];
    size_t door_count;
    /* Of the loop's thread alone. */
    bool shut; /* the doors are, for want of descriptors */
    bool told; /* of that */
    struct reserve reserve;
    struct timer reopening;
    pthread_mutex_t lock;                              /* guards what follows */
    TAILQ_HEAD(half_open, http2_connection) half_open; /* the oldest first */
    size_t half_open_count;
};

/* ---- call.c ---- */

/* A request has come: judges it, and hands it to the listener's owner. On the loop's thread. */
void muster__http2_arrived(struct http2_stream *stream);

#endif
