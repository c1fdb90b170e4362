/* The conformance suite over the local transport, with a thread that delivers its events. */
#include <config.h>

#include <criterion/criterion.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/conformance.h"
#include "conformance/fixture.h"
#include "network/local.h"

static pthread_t pump;
static unsigned addresses;

static void *run(void *transport)
{
    muster__local_run(transport);
    return NULL;
}

struct muster_transport *network_start(void)
{
    struct muster_transport *transport = muster__local_new();
    if (!transport || pthread_create(&pump, NULL, run, transport) != 0)
        abort();
    return transport;
}

void network_stop(struct muster_transport *transport)
{
    muster__local_stop(transport);
    pthread_join(pump, NULL);
    muster__local_free(transport);
}

void network_any_address(char address[ADDRESS_SIZE])
{
    snprintf(address, ADDRESS_SIZE, "here-%u", addresses++);
}

void network_address(const char *listened, uint16_t port, char address[ADDRESS_SIZE])
{
    (void)port; /* 0: there are none */
    memmove(address, listened, strlen(listened) + 1);
}

void network_reserve(char address[ADDRESS_SIZE])
{
    network_any_address(address);
}

void network_silent(char address[ADDRESS_SIZE])
{
    network_any_address(address);
}

enum muster_status network_peer_status(enum muster_status status)
{
    return status;
}

void network_pass(struct muster_transport *transport, int64_t milliseconds)
{
    muster__local_advance(transport, milliseconds);
}

Test(transport, a_client_waits_for_a_server_to_be_there)
{
    begin();
    char address[ADDRESS_SIZE];
    network_reserve(address);
    struct end *client = client_connect(address, LIMIT);
    send_number(client, 1);
    struct server *server = server_start(address, LIMIT);
    struct end *accepted = server_end(server, 0);
    send_number(accepted, 2);
    wait_messages(accepted, 1);
    wait_messages(client, 1);
    conclude();
}
