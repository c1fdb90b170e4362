/* The descriptors that this process may have: as many as it is allowed, and a few kept for other than
   connections. */
#ifndef MUSTER_NETWORK_DESCRIPTORS_H
#define MUSTER_NETWORK_DESCRIPTORS_H

#include <stdbool.h>

/* What the owner of a listener is told when there are none left, and when there are again. */
#define DESCRIPTORS_GONE                                                                                     \
    "connections cannot be accepted, as when the process has no descriptors left: nobody can connect until " \
    "some are closed"
#define DESCRIPTORS_AGAIN "there are descriptors again, and participants can connect"

/* How long nobody can connect then before it is tried again. */
#define REOPEN_MS 1000

enum { RESERVE_SIZE = 16 };

/* Of a listener, under a lock of its own. All zero: nothing is held. */
struct reserve {
    bool taken;
    int descriptors[RESERVE_SIZE];
};

/* Raises the soft limit to the hard one. Any thread. */
void muster__raise_descriptor_limit(void);

/* Holds descriptors, unless it does already; false: there are hardly more than those, and none is held. */
bool muster__reserve_take(struct reserve *reserve);
/* Leaves them to the process. Idempotent. */
void muster__reserve_give(struct reserve *reserve);

#endif
