/* Messages that are begun at a listener and not finished: their streams end in time. */
#ifndef MUSTER_NETWORK_GRPC_UNFINISHED_H
#define MUSTER_NETWORK_GRPC_UNFINISHED_H

#include "network/grpc.h"

enum { INFLOW_BUCKETS = 1024 };

struct unfinished {
    struct grpc_listener *listener;
    atomic_uint check;    /* the number of the last one */
    int64_t checked_at;   /* of the timer alone */
    pthread_mutex_t lock; /* guards what follows; timers.lock and what C-core takes are taken under it */
    LIST_HEAD(, inflow) inflows[INFLOW_BUCKETS]; /* by port */
    size_t count;
    bool timed; /* the timer runs, and holds the listener */
    bool closed;
    struct timer timer;
};

/* Nothing is looked at where the listener's options have no stall_timeout_ms. */
void muster__grpc_unfinished_init(struct unfinished *unfinished, struct grpc_listener *listener);
/* When the listener closes; and when it is freed. */
void muster__grpc_unfinished_close(struct unfinished *unfinished);
void muster__grpc_unfinished_destroy(struct unfinished *unfinished);

/* A stream that has begun, a whole message of it, and its end. */
void muster__grpc_unfinished_begun(struct unfinished *unfinished, struct grpc_stream *stream);
void muster__grpc_unfinished_message(struct unfinished *unfinished, struct grpc_stream *stream, size_t size);
void muster__grpc_unfinished_ended(struct unfinished *unfinished, struct grpc_stream *stream);

#endif
