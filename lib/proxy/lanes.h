/*
 * Lanes: something to be done once for each of many proxies, by the threads of the transport that read their streams.
 * So all cores send a round, no two threads want the lock of a connection, and on one core none has to make way for
 * another.
 */
#ifndef MUSTER_PROXY_LANES_H
#define MUSTER_PROXY_LANES_H

#include <stddef.h>

#include <muster/participant_manager.h>

struct lanes;

/* Begins to call `each`, on network threads, once for each index of `proxies`, which stay until the end. NULL: it is
   the caller's to do. That is so where they are few, where the transport has no threads of its own for its streams or
   fewer than there are cores, of which the caller's is one, and without memory. */
struct lanes *muster__lanes_begin(struct proxy *const *proxies, size_t count,
                                  void (*each)(void *context, size_t index), void *context);

/* Waits for the last call. Not on a network thread. NULL is allowed. */
void muster__lanes_end(struct lanes *lanes);

#endif
