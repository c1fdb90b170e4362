/* The conformance suite over MPI, of a rank with itself: rank 0 of a world in which rank 1 is
   tests/mpi/silent.c. And what only a transport between ranks has to do. */
#include <config.h>

#include <criterion/criterion.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conformance/fixture.h"
#include "network/scheme.h"

static unsigned names;
static int fifo = -1; /* open while rank 1 is to be silent */

static void let_rank_1_go(void)
{
    close(fifo);
}

struct muster_transport *network_start(void)
{
    const char *path = getenv("MUSTER_TEST_FIFO");
    struct muster_transport *transport = muster__mpi_scheme.acquire(&muster__mpi_scheme, 1, NULL);
    if (!transport)
        abort();
    if (fifo < 0 && path) {
        fifo = open(path, O_WRONLY);
        atexit(let_rank_1_go); /* before MPI ends, which waits for it */
    }
    return transport;
}

void network_stop(struct muster_transport *transport)
{
    transport->ops->release(transport);
}

void network_any_address(char address[ADDRESS_SIZE])
{
    snprintf(address, ADDRESS_SIZE, "mpi:0/%u", names++);
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
    snprintf(address, ADDRESS_SIZE, "mpi:1");
}

enum muster_status network_peer_status(enum muster_status status)
{
    return status;
}

void network_pass(struct muster_transport *transport, int64_t milliseconds)
{
    (void)transport;
    (void)milliseconds;
}

Test(mpi, users_share_the_transport_until_the_last_is_gone)
{
    struct muster_transport *first = network_start();
    struct muster_transport *second = network_start();
    cr_assert_eq(first, second);
    network_stop(first);
    for (size_t i = 0; i < 3; i++) {
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

static enum muster_status try_to_listen(const char *address, struct muster_error *error)
{
    static const struct listener_events none;
    struct listener *listener;
    uint16_t port;
    return fixture.transport->ops->listen(fixture.transport, address, LIMIT, NULL, &none, NULL, &listener,
                                          &port, error);
}

static enum muster_status try_to_connect(const char *address, struct muster_error *error)
{
    static const struct stream_events none;
    struct stream *stream;
    return fixture.transport->ops->connect(fixture.transport, address, &first_service, LIMIT, NULL, &none,
                                           NULL, &stream, error);
}

#define LONG_NAME "mpi:0/a-name-that-is-longer-than-the-sixty-three-bytes-that-there-are-room-for"

Test(mpi, an_address_that_is_none_is_explained)
{
    static const char *const bad[] = {"mpi:nonsense", "mpi:0/",  "mpi:0/two words",
                                      "mpi:0x",       "mpi:-1",  "mpi:2",
                                      "mpi:9/a",      LONG_NAME, "mpi:99999999999999999999"};
    begin();
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct muster_error error = {MUSTER_OK, ""};
        cr_assert_eq(try_to_listen(bad[i], &error), MUSTER_INVALID, "%s", bad[i]);
        cr_assert_not_null(strstr(error.text, bad[i]), "%s", error.text);
        cr_assert_eq(try_to_connect(bad[i], &error), MUSTER_INVALID, "%s", bad[i]);
        cr_assert_not_null(strstr(error.text, bad[i]), "%s", error.text);
    }
    struct muster_error error = {MUSTER_OK, ""};
    cr_assert_eq(try_to_connect("mpi:2", &error), MUSTER_INVALID);
    cr_assert_not_null(strstr(error.text, "ranks 0 to 1"), "%s", error.text);
    cr_assert_eq(try_to_listen("mpi:1", &error), MUSTER_INVALID);
    cr_assert_not_null(strstr(error.text, "rank 0"), "%s", error.text);
    cr_assert_eq(try_to_connect("mpi:", &error), MUSTER_INVALID);
    conclude();
}

Test(mpi, a_listener_without_a_name_is_given_one)
{
    begin();
    char first[ADDRESS_SIZE], second[ADDRESS_SIZE], whole[ADDRESS_SIZE];
    struct server *one = server_start("mpi:", LIMIT);
    struct server *other = server_start("mpi:", LIMIT);
    struct server *rank = server_start("mpi:0", LIMIT);
    fixture.transport->ops->listener_address(one->listener, first, sizeof(first));
    fixture.transport->ops->listener_address(other->listener, second, sizeof(second));
    fixture.transport->ops->listener_address(rank->listener, whole, sizeof(whole));
    cr_assert_eq(strncmp(first, "mpi:0/", strlen("mpi:0/")), 0, "%s", first);
    cr_assert_str_neq(first, second);
    cr_assert_str_eq(whole, "mpi:0");
    send_number(client_connect(second, LIMIT), 1);
    wait_messages(server_end(other, 0), 1);
    send_number(client_connect("mpi:0", LIMIT), 1);
    wait_messages(server_end(rank, 0), 1);
    conclude();
}

Test(mpi, a_name_belongs_to_this_rank_when_none_is_given)
{
    begin();
    struct server *server = server_start("mpi:/here", LIMIT);
    send_number(client_connect("mpi:0/here", LIMIT), 1);
    wait_messages(server_end(server, 0), 1);
    conclude();
}

Test(transport, a_client_is_told_that_nobody_is_there)
{
    begin();
    struct end *client = client_connect("mpi:0/nowhere", LIMIT);
    expect_closed(client, MUSTER_UNAVAILABLE, "nobody listens on mpi:0/nowhere (is the server up?)");
    conclude();
}

/* What the receiver's end is slow to read stays with the sender. */
Test(mpi, an_end_that_reads_nothing_is_not_sent_more_than_its_window)
{
    begin();
    struct buffer *body = make_body((size_t)1 << 20, 1);
    struct server *server = server_start("mpi:/slow", LIMIT);
    struct end *client = client_connect("mpi:1", LIMIT); /* which never answers */
    for (size_t i = 0; i < 20; i++)
        client->stream->ops->send(client->stream, NULL, 0, body);
    cr_assert(client->stream->ops->revoke(client->stream, body));
    client->stream->ops->cut(client->stream);
    wait_closed(client);
    (void)server;
    conclude();
    wait_alone(body);
    muster__buffer_release(body);
}
