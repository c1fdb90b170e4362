/* TLS handshakes that fail at a listener: its owner is told, now and then. */
#ifndef MUSTER_NETWORK_GRPC_HANDSHAKES_H
#define MUSTER_NETWORK_GRPC_HANDSHAKES_H

#include <grpc/support/log.h>

#include "network/grpc.h"

/* Of one kind. Guarded by a lock of the process. */
struct handshake_failures {
    struct handshakes *handshakes;
    size_t count; /* since the owner was told */
    char reason[MUSTER_ERROR_TEXT_SIZE];
    int64_t told_at; /* 0: never */
    bool timed;      /* the timer runs, and holds the listener */
    struct timer timer;
};

/* A listener's. */
struct handshakes {
    struct grpc_listener *listener;       /* NULL: it has no TLS */
    LIST_ENTRY(handshakes) link;          /* guarded by that lock */
    struct handshake_failures failed;     /* the two did not agree */
    struct handshake_failures broken_off; /* the other side went, and did not say why */
};

/* Begins; and ends, when the listener closes. */
void muster__grpc_handshakes_watch(struct handshakes *handshakes, struct grpc_listener *listener);
void muster__grpc_handshakes_close(struct handshakes *handshakes);

/* C-core's log, of which nothing is printed. Under any lock of C-core's. */
void muster__grpc_read_handshakes(gpr_log_func_args *entry);

#endif
