/* The count of those who hold on to a listener. */
#include <config.h>

#include "network/holders.h"

void muster__holders_init(struct holders *holders, const struct listener_events *events, void *context)
{
    atomic_init(&holders->count, 0);
    holders->events = events;
    holders->context = context;
}

void muster__hold_on(struct holders *holders)
{
    atomic_fetch_add_explicit(&holders->count, 1, memory_order_relaxed);
}

void muster__let_go(struct holders *holders)
{
    if (atomic_fetch_sub_explicit(&holders->count, 1, memory_order_acq_rel) == 1)
        holders->events->stopped(holders->context);
}
