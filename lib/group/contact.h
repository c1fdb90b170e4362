/*
 * Two members may dial each other at the same time, and one link is to come of it. The member of the lower rank decides:
 * - once it has begun to use its own dial, it refuses the peer's;
 * - before that it admits the peer's, and gives its own up.
 * The member of the higher rank admits, and goes over to what the lower one uses. So no message is ever on its way over
 * a connection that is given up.
 */
#ifndef MUSTER_GROUP_CONTACT_H
#define MUSTER_GROUP_CONTACT_H

#include <stdbool.h>
#include <stdint.h>

/* Of one end of a link. */
enum contact_state {
    CONTACT_NONE,
    CONTACT_DIALS,    /* its dial was not let in yet */
    CONTACT_USES,     /* its dial is the link: the initiative is passed, or about to be */
    CONTACT_ADMITTED, /* the peer's dial was let in, and is not used yet */
    CONTACT_USED,     /* the peer's dial is the link */
};

enum contact_verdict {
    CONTACT_LET_IN,
    CONTACT_GIVE_UP_OWN, /* let in, and give the own dial up */
    CONTACT_REFUSE,      /* the own dial is the link */
    CONTACT_OLD,         /* it is a dial that was used before, and has ended since, or one before another */
};

/* The peer dials, for the `number`-th time; `over` is the last number that cannot come any more. A dial that was let in and not
 * used may come again: its connection broke before the peer could use it. */
static inline enum contact_verdict muster__contact_dialled(enum contact_state state, bool lower,
                                                           uint64_t number, uint64_t over)
{
    if (number <= over)
        return CONTACT_OLD;
    if (!lower)
        return CONTACT_LET_IN;
    if (state == CONTACT_USES)
        return CONTACT_REFUSE;
    return state == CONTACT_DIALS ? CONTACT_GIVE_UP_OWN : CONTACT_LET_IN;
}

#endif
