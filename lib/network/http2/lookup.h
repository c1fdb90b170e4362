/* Looking up the addresses of hosts without waiting for them. */
#ifndef MUSTER_NETWORK_HTTP2_LOOKUP_H
#define MUSTER_NETWORK_HTTP2_LOOKUP_H

#include <netdb.h>
#include <stdbool.h>

struct lookup;

/* As getaddrinfo(), for TCP; `flags` besides. With AI_NUMERICHOST it does not wait. */
int muster__lookup_now(const char *host, const char *port, int flags, struct addrinfo **found);

/* Looks up a host on another thread, which calls `found` when it has done, under a lock of its own, unless
   muster__lookup_drop() came first. NULL: out of memory, or of threads. */
struct lookup *muster__lookup_start(const char *host, const char *port, void (*found)(void *context),
                                    void *context);

/* What was found, the caller's, or NULL and the code of getaddrinfo(); the lookup is gone. False: not yet. */
bool muster__lookup_take(struct lookup *lookup, struct addrinfo **found, int *code);

/* Nobody waits for it any more. */
void muster__lookup_drop(struct lookup *lookup);

#endif
