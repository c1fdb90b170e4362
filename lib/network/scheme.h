/* Which transport an address is for: each has a scheme of its own, with which its addresses begin. The layers
   above call muster__transport_acquire(). */
#ifndef MUSTER_NETWORK_SCHEME_H
#define MUSTER_NETWORK_SCHEME_H

#include <sys/queue.h>

#include "network/transport.h"

struct scheme {
    const char *prefix; /* of its addresses; "" for those of the transport that the others leave */
    const char *form;   /* how they are written, for texts */
    /* A reference for the caller to release, with at least `threads` network threads where it has its own; or
       NULL, with *error. NULL: this build does not have the transport. */
    struct muster_transport *(*acquire)(const struct scheme *scheme, unsigned threads,
                                        struct muster_error *error);
    LIST_ENTRY(scheme) link; /* among the registered; guarded by schemes_lock */
};

extern const struct scheme muster__local_scheme;
extern const struct scheme muster__grpc_scheme;
extern const struct scheme muster__http2_scheme; /* ./configure --with-http2 */
extern const struct scheme muster__mpi_scheme;   /* ./configure --with-mpi */

/* Those that are there from the start, NULL behind the last: in built_in.c, or a test's own. */
extern const struct scheme *const muster__built_in_schemes[];

/* Adds one before all others, and takes it away again. It stays in place meanwhile. */
void muster__scheme_register(struct scheme *scheme);
void muster__scheme_unregister(struct scheme *scheme);

#endif
