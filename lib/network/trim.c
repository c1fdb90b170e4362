/*
 * Gives memory back to the system. What a participant's messages took is freed when it has gone, and malloc()
 * would keep it, in an arena for each thread.
 */
#include <config.h>

#include <malloc.h>

#include "network/trim.h"

enum { TRIM_AFTER_MS = 2000 };

void muster__trim_init(struct trim *trim, struct muster_transport *transport)
{
    trim->transport = transport;
    atomic_init(&trim->timed, false);
}

static void timer_expired(struct timer *timer)
{
    CONTAINER(timer, struct trim, timer)->timed = false;
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

void muster__trim_later(struct trim *trim)
{
    if (!atomic_exchange(&trim->timed, true))
        muster__timer_start(trim->transport, &trim->timer,
                            muster__transport_after(trim->transport, TRIM_AFTER_MS), timer_expired);
}
