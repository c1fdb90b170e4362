/* What a connection is read with: a loop has one intake for itself, and one for a thread that tends. */
#ifndef MUSTER_NETWORK_HTTP2_INTAKE_H
#define MUSTER_NETWORK_HTTP2_INTAKE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "network/timer.h"

struct http2_stream;

enum arrival_kind { ARRIVAL_OPENED, ARRIVAL_DATA, ARRIVAL_LEFT };

/* What one read brought, in its order; told when the connection's lock is free. */
struct arrival {
    enum arrival_kind kind;
    struct http2_stream *stream; /* with a reference */
    const uint8_t *data;
    size_t size;
};

/* Read at a time: what does not go straight into a message that is not whole; and so much behind what does. */
enum { SCRATCH_SIZE = 16 << 10, SCRATCH_BEHIND = 4 << 10 };

/* What is read with. */
struct intake {
    size_t arrival_count, arrival_room;
    struct arrival *arrivals;
    uint8_t scratch[SCRATCH_SIZE];
};

/* A loop's one place for a thread that tends; of that thread alone. */
struct tender {
    atomic_bool taken;
    int epoll; /* of the bell, and of the socket that is attended */
    int bell;
    pthread_mutex_t lock; /* guards: */
    int attended;         /* of the connection that is tended, or was last; -1: none */
    bool gave_up;         /* it waits for its condition instead, or will */
    bool rung;            /* guarded by the lock of the connection that is tended */
    struct intake intake;
};

/* Who watches a connection for what comes. Guarded by the connection's lock. */
struct watching {
    bool tended;  /* a thread does; */
    bool put_off; /* or one is likely to soon, and the loop, which does not, is to look after it in time */
    bool again;   /* it has tended meanwhile */
    bool timed;   /* the timer runs, with a reference to the connection */
    int64_t ended_at; /* when a thread tended last */
    struct timer timer;
};

#endif
