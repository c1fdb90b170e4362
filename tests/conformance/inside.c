/* What the conformance suite asks of transports inside one process, whatever their clock. */
#include <config.h>

#include <criterion/criterion.h>

#include <string.h>

#include "conformance/conformance.h"
#include "conformance/fixture.h"

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
