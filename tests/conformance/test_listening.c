/* What every transport promises of listening and connecting, and of the end of a listener. */
#include <config.h>

#include <criterion/criterion.h>

#include <string.h>

#include "conformance/fixture.h"

#define STREAMS 10

/* ---- listening and connecting ---- */

Test(listening, a_stream_opens_and_carries_a_message)
{
    begin();
    struct server *server = server_start(NULL, LIMIT);
    struct end *client = client_connect(server->address, LIMIT);
    send_number(client, 7);
    struct end *accepted = server_end(server, 0);
    wait_messages(accepted, 1);
    cr_assert_eq(number_of(&accepted->messages[0]), 7);
    conclude();
}

Test(listening, a_second_listener_on_an_address_is_told_that_it_is_in_use)
{
    begin();
    struct server *server = server_start(NULL, LIMIT);
    struct muster_error error = {MUSTER_OK, ""};
    struct listener *listener;
    uint16_t port;
    static const struct listener_events none;
    enum muster_status status = fixture.transport->ops->listen(fixture.transport, server->address, LIMIT,
                                                               NULL, &none, NULL, &listener, &port, &error);
    cr_assert_eq(status, MUSTER_EXISTS, "%s", error.text);
    cr_assert_eq(error.status, MUSTER_EXISTS);
    cr_assert_not_null(strstr(error.text, server->address), "%s", error.text);
    status = fixture.transport->ops->listen(fixture.transport, server->address, LIMIT, NULL, &none, NULL,
                                            &listener, &port, NULL);
    cr_assert_eq(status, MUSTER_EXISTS);
    struct end *client = client_connect(server->address, LIMIT);
    send_number(client, 1);
    wait_messages(server_end(server, 0), 1);
    conclude();
}

Test(listening, an_address_is_free_again_when_its_listener_has_stopped)
{
    begin();
    char address[ADDRESS_SIZE];
    network_reserve(address);
    for (size_t i = 0; i < 3; i++) {
        struct server *server = server_start(address, LIMIT);
        struct end *client = client_connect(server->address, LIMIT);
        send_number(client, 1);
        struct end *accepted = server_end(server, 0);
        wait_messages(accepted, 1);
        server_close(server);
        accepted->stream->ops->close(accepted->stream, MUSTER_OK, "");
        server_wait_stopped(server);
    }
    conclude();
}

Test(listening, many_streams_open_at_once)
{
    begin();
    size_t count = scaled(100, 1);
    struct end *clients[100];
    struct server *server = server_start(NULL, LIMIT);
    for (unsigned i = 0; i < count; i++) {
        clients[i] = client_connect(server->address, LIMIT);
        send_number(clients[i], i);
    }
    for (size_t i = 0; i < count; i++) {
        struct end *accepted = server_end(server, i);
        wait_messages(accepted, 1);
        send_number(accepted, number_of(&accepted->messages[0]));
    }
    for (unsigned i = 0; i < count; i++) {
        wait_messages(clients[i], 1);
        cr_assert_eq(number_of(&clients[i]->messages[0]), i);
    }
    conclude();
}

Test(listening, a_stream_says_who_its_peer_is)
{
    begin();
    struct server *server = server_start(NULL, LIMIT);
    client_connect(server->address, LIMIT);
    client_connect(server->address, LIMIT);
    struct end *first = server_end(server, 0);
    struct end *second = server_end(server, 1);
    char text[128] = "", other[128] = "", cut[4] = "";
    first->stream->ops->peer(first->stream, text, sizeof(text));
    second->stream->ops->peer(second->stream, other, sizeof(other));
    first->stream->ops->peer(first->stream, cut, sizeof(cut));
    cr_assert_gt(strlen(text), 0);
    cr_assert(strcmp(text, other) != 0, "both are %s", text);
    cr_assert_eq(strlen(cut), sizeof(cut) - 1);
    conclude();
}

static void refuse_next(struct server *server, bool refuse)
{
    pthread_mutex_lock(&fixture.lock);
    server->refuse = refuse;
    pthread_mutex_unlock(&fixture.lock);
}

Test(listening, a_refused_stream_ends_at_the_client)
{
    begin();
    struct server *server = server_start(NULL, LIMIT);
    refuse_next(server, true);
    struct end *client = client_connect(server->address, LIMIT);
    client->stream->ops->send(client->stream, NULL, 0, NULL);
    expect_closed(client, network_peer_status(MUSTER_OUT_OF_MEMORY), NULL);
    refuse_next(server, false);
    struct end *next = client_connect(server->address, LIMIT);
    send_number(next, 1);
    wait_messages(server_end(server, 0), 1);
    conclude();
}

Test(listening, a_listener_has_several_services)
{
    begin();
    struct server *server = server_start(NULL, LIMIT);
    const struct service *const services[] = {&second_service, &first_service};
    for (unsigned i = 0; i < 2; i++) {
        struct end *client = client_connect_for(server->address, services[i]);
        send_number(client, i);
        struct end *accepted = server_end(server, i);
        wait_messages(accepted, 1);
        cr_assert_eq(accepted->second, i == 0);
    }
    conclude();
}

Test(listening, a_service_that_is_not_there_ends_the_stream)
{
    static const struct service unknown = {"Third", "/Third/Exchange", "Request", "Reply"};
    begin();
    struct server *server = server_start(NULL, LIMIT);
    struct end *client = client_connect_for(server->address, &unknown);
    wait_closed(client);
    cr_assert_eq(client->status, MUSTER_UNSUPPORTED, "%s", client->text);
    cr_assert_not_null(strstr(client->text, first_service.method), "%s", client->text);
    cr_assert_not_null(strstr(client->text, second_service.method), "%s", client->text);
    pthread_mutex_lock(&fixture.lock);
    cr_assert_eq(server->count, 0);
    pthread_mutex_unlock(&fixture.lock);
    conclude();
}

/* ---- the end of a listener ---- */

static unsigned times_stopped(struct server *server)
{
    pthread_mutex_lock(&fixture.lock);
    unsigned stopped = server->stopped;
    pthread_mutex_unlock(&fixture.lock);
    return stopped;
}

static void prepare_to_echo(struct end *end)
{
    end->react = echo;
}

Test(listening, a_closed_listener_lets_its_streams_go_on)
{
    begin();
    struct server *server = server_start_with(prepare_to_echo);
    struct end *client = client_connect(server->address, LIMIT);
    struct end *accepted = server_end(server, 0);
    server_close(server);
    struct end *late = client_connect(server->address, LIMIT);
    for (unsigned i = 0; i < 10; i++)
        send_number(client, i);
    wait_messages(client, 10);
    cr_assert_eq(times_stopped(server), 0);
    accepted->stream->ops->close(accepted->stream, MUSTER_OK, "");
    expect_closed(client, MUSTER_OK, NULL);
    server_wait_stopped(server);
    cr_assert_eq(server->count, 1);
    late->stream->ops->cut(late->stream);
    wait_closed(late); /* it may have been told that nobody is there */
    conclude();
}

Test(listening, a_listener_without_streams_stops)
{
    begin();
    struct server *server = server_start(NULL, LIMIT);
    server_close(server);
    server_wait_stopped(server);
    conclude();
}

Test(listening, a_listener_that_is_cut_ends_its_streams)
{
    begin();
    struct server *server = server_start(NULL, LIMIT);
    struct server *other = server_start(NULL, LIMIT);
    struct end *clients[STREAMS];
    for (size_t i = 0; i < STREAMS; i++) {
        clients[i] = client_connect(server->address, LIMIT);
        send_body(server_end(server, i), 100000, 1);
    }
    struct end *unaffected = client_connect(other->address, LIMIT);
    server_end(other, 0);
    server_close(server);
    fixture.transport->ops->cut_listener(server->listener);
    for (size_t i = 0; i < STREAMS; i++) {
        expect_closed(clients[i], MUSTER_UNAVAILABLE, NULL);
        expect_closed(server_end(server, i), MUSTER_GONE, NULL);
    }
    server_wait_stopped(server);
    send_number(unaffected, 1);
    wait_messages(server_end(other, 0), 1);
    conclude();
}

Test(listening, a_listener_is_closed_while_streams_arrive)
{
    begin();
    for (size_t round = 0; round < scaled(10, 1); round++) {
        struct server *server = server_start(NULL, LIMIT);
        struct end *clients[STREAMS];
        for (size_t i = 0; i < STREAMS; i++)
            clients[i] = client_connect(server->address, LIMIT);
        server_end(server, 0);
        server_close(server);
        for (size_t i = 0; i < STREAMS; i++)
            clients[i]->stream->ops->cut(clients[i]->stream);
        server_wait_stopped(server);
    }
    conclude();
}
