/* The network of the tests of hostile peers: HTTP/2 on loopback. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>

#include "conformance/conformance.h"
#include "network/scheme.h"

struct muster_transport *network_start(void)
{
    struct muster_transport *transport = muster__http2_scheme.acquire(&muster__http2_scheme, 2, NULL);
    if (!transport)
        abort();
    return transport;
}

void network_stop(struct muster_transport *transport)
{
    transport->ops->release(transport);
}

void network_any_address(char address[ADDRESS_SIZE])
{
    snprintf(address, ADDRESS_SIZE, "http2+127.0.0.1:0");
}

void network_address(const char *listened, uint16_t port, char address[ADDRESS_SIZE])
{
    (void)listened;
    snprintf(address, ADDRESS_SIZE, "http2+127.0.0.1:%u", port);
}
