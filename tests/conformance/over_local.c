/* The conformance suite over the local transport of the process. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>

#include "conformance/conformance.h"
#include "network/scheme.h"

static unsigned addresses;

struct muster_transport *network_start(void)
{
    struct muster_transport *transport;
    if (muster__transport_acquire("local:test", 1, &transport, NULL) != MUSTER_OK)
        abort();
    return transport;
}

void network_stop(struct muster_transport *transport)
{
    transport->ops->release(transport);
}

void network_any_address(char address[ADDRESS_SIZE])
{
    snprintf(address, ADDRESS_SIZE, "local:%u", addresses++);
}

void network_pass(struct muster_transport *transport, int64_t milliseconds)
{
    (void)transport;
    (void)milliseconds;
}
