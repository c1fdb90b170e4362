/* The conformance suite over the fixture, with a thread that delivers its events. */
#include <config.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <muster/fixture.h>

#include "conformance/conformance.h"

static pthread_t pump;
static unsigned addresses;

static void *run(void *transport)
{
    muster_fixture_run(transport);
    return NULL;
}

struct muster_transport *network_start(void)
{
    struct muster_transport *transport = muster_fixture_new("test");
    if (!transport || pthread_create(&pump, NULL, run, transport) != 0)
        abort();
    return transport;
}

void network_stop(struct muster_transport *transport)
{
    muster_fixture_stop(transport);
    pthread_join(pump, NULL);
    muster_fixture_free(transport);
}

void network_any_address(char address[ADDRESS_SIZE])
{
    snprintf(address, ADDRESS_SIZE, "fixture:test/%u", addresses++);
}

void network_pass(struct muster_transport *transport, int64_t milliseconds)
{
    muster_fixture_advance(transport, milliseconds);
}
