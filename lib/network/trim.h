/* Freed memory goes back to the system a little after a stream has ended. */
#ifndef MUSTER_NETWORK_TRIM_H
#define MUSTER_NETWORK_TRIM_H

#include <stdatomic.h>
#include <stdbool.h>

#include "network/timer.h"
#include "network/transport.h"

/* A transport's. */
struct trim {
    struct muster_transport *transport;
    struct timer timer;
    atomic_bool timed; /* it runs */
};

void muster__trim_init(struct trim *trim, struct muster_transport *transport);

/* At most once in two seconds, however often this is called. Any thread, under any lock. */
void muster__trim_later(struct trim *trim);

#endif
