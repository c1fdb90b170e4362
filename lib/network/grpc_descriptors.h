/* The descriptors that this process may have: as many as it is allowed, and a few kept for other than
   connections. */
#ifndef MUSTER_NETWORK_GRPC_DESCRIPTORS_H
#define MUSTER_NETWORK_GRPC_DESCRIPTORS_H

#include <stdbool.h>

enum { RESERVE_SIZE = 16 };

/* Of the listener, under its doors_lock. All zero: nothing is held. */
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
