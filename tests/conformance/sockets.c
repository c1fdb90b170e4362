/* The conformance suite over TCP, on loopback; and what only a transport with sockets has to do. */
#include <config.h>

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "conformance/fixture.h"
#include "conformance/sockets.h"
#include "support/port.h"

struct muster_transport *network_start(void)
{
    struct muster_transport *transport = sockets_scheme->acquire(sockets_scheme, 4, NULL);
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
    snprintf(address, ADDRESS_SIZE, "%s127.0.0.1:0", sockets_scheme->prefix);
}

void network_address(const char *listened, uint16_t port, char address[ADDRESS_SIZE])
{
    (void)listened;
    if (port == 0)
        abort();
    snprintf(address, ADDRESS_SIZE, "%s127.0.0.1:%u", sockets_scheme->prefix, port);
}

static int reserve(char address[ADDRESS_SIZE])
{
    int descriptor;
    snprintf(address, ADDRESS_SIZE, "%s127.0.0.1:%u", sockets_scheme->prefix, reserve_port(&descriptor));
    return descriptor;
}

/* A socket that is bound but does not listen keeps the port from everybody who does not ask for it by number.
   It stays open until the process ends. */
void network_reserve(char address[ADDRESS_SIZE])
{
    reserve(address);
}

void network_silent(char address[ADDRESS_SIZE])
{
    if (listen(reserve(address), 5) != 0)
        abort();
}

/* gRPC has fewer codes than we have statuses. */
enum muster_status network_peer_status(enum muster_status status)
{
    switch (status) {
    case MUSTER_INVALID:
    case MUSTER_FORMAT:
        return MUSTER_PROTOCOL;
    case MUSTER_GONE:
    case MUSTER_CLOSED:
    case MUSTER_UNKNOWN_INSTRUCTION:
    case MUSTER_STOPPED:
    case MUSTER_OUT_OF_MEMORY:
    case MUSTER_BUSY:
    case MUSTER_IO:
    case MUSTER_TOO_FEW:
        return MUSTER_UNAVAILABLE;
    case MUSTER_FULL:
        return MUSTER_TOO_BIG;
    default:
        return status;
    }
}

void network_pass(struct muster_transport *transport, int64_t milliseconds)
{
    (void)transport;
    (void)milliseconds;
}

Test(sockets, users_share_the_transport_until_the_last_is_gone)
{
    struct muster_transport *first = network_start();
    struct muster_transport *second = sockets_scheme->acquire(sockets_scheme, 1, NULL);
    cr_assert_eq(first, second);
    network_stop(first);
    for (size_t i = 0; i < 3; i++) { /* with the other user's, then with new ones */
        begin();
        struct server *server = server_start(NULL, LIMIT);
        struct end *client = client_connect(server->address, LIMIT);
        send_number(client, 1);
        wait_messages(server_end(server, 0), 1);
        conclude();
        if (i == 0)
            network_stop(second);
    }
}

Test(sockets, an_address_that_cannot_be_listened_on_is_explained)
{
    static const struct {
        const char *address;
        enum muster_status status;
    } bad[] = {
        {"nonsense", MUSTER_INVALID},
        {"127.0.0.1:http-or-so", MUSTER_INVALID},
        {"[127.0.0.1:0", MUSTER_INVALID},
        {"192.0.2.1:0", MUSTER_UNAVAILABLE}, /* an address for documentation: nobody's */
    };
    begin();
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        static const struct listener_events none;
        struct muster_error error = {MUSTER_OK, ""};
        struct listener *listener;
        uint16_t port;
        enum muster_status status = fixture.transport->ops->listen(
            fixture.transport, bad[i].address, LIMIT, NULL, &none, NULL, &listener, &port, &error);
        cr_assert_eq(status, bad[i].status, "%s: %s", bad[i].address, error.text);
        cr_assert_eq(error.status, status);
        cr_assert_not_null(strstr(error.text, bad[i].address), "%s", error.text);
    }
    conclude();
}

Test(sockets, a_name_can_be_listened_on)
{
    begin();
    char address[ADDRESS_SIZE];
    struct server *server = server_start("localhost:0", LIMIT);
    snprintf(address, sizeof(address), "localhost:%u", server->port);
    struct end *client = client_connect(address, LIMIT);
    send_number(client, 1);
    wait_messages(server_end(server, 0), 1);
    conclude();
}

Test(sockets, what_waits_for_a_server_can_be_taken_back)
{
    begin();
    char address[ADDRESS_SIZE];
    network_silent(address);
    struct buffer *body = make_body(1000, 1);
    struct end *client = client_connect(address, LIMIT);
    send_number(client, 1);
    client->stream->ops->send(client->stream, NULL, 0, body);
    cr_assert(client->stream->ops->revoke(client->stream, body));
    cr_assert_eq(atomic_load(&body->references), 1);
    muster__buffer_release(body);
    conclude();
}

Test(transport, a_client_is_told_that_nobody_is_there)
{
    begin();
    char address[ADDRESS_SIZE];
    network_reserve(address);
    struct end *client = client_connect(address, LIMIT);
    expect_closed(client, MUSTER_UNAVAILABLE, "connection refused (is the server up?)");
    conclude();
}
