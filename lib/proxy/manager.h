/* The participant manager from inside: what it is made of, each part with a file, a header and a lock of its
   own, and what its proxies tell it. */
#ifndef MUSTER_PROXY_MANAGER_H
#define MUSTER_PROXY_MANAGER_H

#include <stdatomic.h>

#include <muster/participant_manager.h>

#include "network/transport.h"
#include "proxy/budget.h"
#include "proxy/counters.h"
#include "proxy/drain.h"
#include "proxy/observers.h"
#include "proxy/registry.h"
#include "proxy/round.h"

struct participant_manager {
    atomic_size_t references; /* the user's, and one of each proxy and prepared message */

    /* Constant from the start on. */
    struct participant_manager_options options;
    char *address;
    struct muster_transport *transport;
    struct listener *listener;
    uint16_t port;
    char bound[256]; /* the address, with what was found for it */
    struct credentials *credentials;
    struct connection_options connection;
    struct buffer *cancel; /* the one message that is the same for everybody */
    int64_t started_at;

    struct counters *counters;

    struct timer reminder; /* once a day, while there are credentials; pending in the drain */
    struct drain drain;
    struct budget budget;
    struct registry registry;
    struct rounds rounds;
    struct observers observers;
};

/* Its memory, which proxies and prepared messages hold for longer than its user. */
void muster__manager_retain(struct participant_manager *manager);
void muster__manager_release(struct participant_manager *manager);

/* Tells the user, and counts: what becomes of a participant; any event. */
void muster__manager_event(struct proxy *proxy, enum participant_manager_event_kind kind,
                           enum muster_status status, const char *text);
void muster__manager_tell(struct participant_manager *manager, const struct participant_manager_event *event);

#endif
