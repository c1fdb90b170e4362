/* What all transports share. */
#include <config.h>

#include "network/transport.h"

int64_t muster__transport_after(struct muster_transport *transport, int64_t limit_ms)
{
    int64_t now = transport->ops->now(transport);
    if (limit_ms < 0 || limit_ms > INT64_MAX - now)
        return INT64_MAX;
    return now + limit_ms;
}
