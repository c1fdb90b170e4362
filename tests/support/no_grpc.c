/* Stands in for the gRPC transport in programs that test what is above it: they do not link libgrpc at all.
 */
#include <config.h>

#include "network/transport.h"
#include "status.h"

struct muster_transport *muster__grpc_transport_acquire(unsigned threads, struct muster_error *error)
{
    (void)threads;
    muster__error(error, MUSTER_UNAVAILABLE, "this program was built without gRPC");
    return NULL;
}
