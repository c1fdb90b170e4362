/* What keeps a listener from having stopped: its streams, calls and timers, each of which holds on to it. */
#ifndef MUSTER_NETWORK_HOLDERS_H
#define MUSTER_NETWORK_HOLDERS_H

#include <stdatomic.h>
#include <stddef.h>

#include "network/transport.h"

/* In a listener. */
struct holders {
    atomic_size_t count;
    const struct listener_events *events;
    void *context;
};

void muster__holders_init(struct holders *holders, const struct listener_events *events, void *context);

/* One more: the first, or while there is another. Under any lock. */
void muster__hold_on(struct holders *holders);

/* One less. The last reports `stopped`, after which the listener may be gone. Without a lock held. */
void muster__let_go(struct holders *holders);

#endif
