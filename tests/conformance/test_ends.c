/* What every transport promises of the end of a stream: closed or cut, from either side. */
#include <config.h>

#include <criterion/criterion.h>

#include "conformance/fixture.h"

Test(ends, what_the_server_closes_with_reaches_both_sides)
{
    begin();
    struct server *server = server_start(NULL, LIMIT);
    size_t n = 0;
#define CLOSE_WITH(name, value, phrase)                                                                 \
    {                                                                                                   \
        struct end *client = client_connect(server->address, LIMIT);                                    \
        struct end *accepted = server_end(server, n++);                                                 \
        accepted->stream->ops->close(accepted->stream, MUSTER_##name, "100 % of it: \xc3\xa4 " phrase); \
        expect_closed(client, network_peer_status(MUSTER_##name), "100 % of it: \xc3\xa4 " phrase);     \
        expect_closed(accepted, MUSTER_##name, "100 % of it: \xc3\xa4 " phrase);                        \
    }
    MUSTER_STATUS_MAP(CLOSE_WITH)
#undef CLOSE_WITH
    conclude();
}

Test(ends, sending_after_close_or_end_is_refused)
{
    begin();
    struct buffer *body = make_body(1000, 1);
    struct server *server = server_start(NULL, LIMIT);
    struct end *client = client_connect(server->address, LIMIT);
    struct end *accepted = server_end(server, 0);
    accepted->stream->ops->close(accepted->stream, MUSTER_REFUSED, "first");
    cr_assert_eq(accepted->stream->ops->send(accepted->stream, NULL, 0, body), MUSTER_CLOSED);
    accepted->stream->ops->close(accepted->stream, MUSTER_OK, "second");
    expect_closed(client, MUSTER_REFUSED, "first");
    expect_closed(accepted, MUSTER_REFUSED, "first");
    cr_assert_eq(client->stream->ops->send(client->stream, NULL, 0, body), MUSTER_CLOSED);
    cr_assert_eq(accepted->stream->ops->send(accepted->stream, NULL, 0, body), MUSTER_CLOSED);
    struct end *ends[] = {client, accepted};
    for (size_t i = 0; i < 2; i++) { /* all of which is late, and harmless */
        ends[i]->stream->ops->close(ends[i]->stream, MUSTER_OK, "third");
        ends[i]->stream->ops->cut(ends[i]->stream);
        ends[i]->stream->ops->cut(ends[i]->stream);
    }

    struct end *other = client_connect(server->address, LIMIT);
    server_end(server, 1);
    other->stream->ops->close(other->stream, MUSTER_OK, "");
    cr_assert_eq(other->stream->ops->send(other->stream, NULL, 0, body), MUSTER_CLOSED);
    expect_closed(other, MUSTER_OK, NULL);
    conclude();
    wait_alone(body);
    muster__buffer_release(body);
}

Test(ends, what_a_server_queued_arrives_before_its_end)
{
    begin();
    size_t size = scaled((size_t)200 << 10, 1);
    struct server *server = server_start(NULL, LIMIT);
    struct end *client = client_connect(server->address, LIMIT);
    struct end *accepted = server_end(server, 0);
    for (unsigned i = 0; i < 20; i++)
        send_body(accepted, size, i);
    accepted->stream->ops->close(accepted->stream, MUSTER_OK, "that was all");
    expect_closed(client, MUSTER_OK, "that was all");
    expect_closed(accepted, MUSTER_OK, "that was all");
    cr_assert_eq(client->count, 20);
    for (unsigned i = 0; i < 20; i++)
        cr_assert(is_body(client->messages[i].data, client->messages[i].size, size, i));
    conclude();
}

/* Sends until the stream takes no more. */
struct sender {
    pthread_t thread;
    struct end *end;
    unsigned first;
    unsigned count;
    enum muster_status status;
};

static void *flood(void *argument)
{
    struct sender *sender = argument;
    struct buffer *body = make_body(5000, 1);
    while (sender->end->stream->ops->send(sender->end->stream, NULL, 0, body) == MUSTER_OK)
        sender->count++;
    muster__buffer_release(body);
    return NULL;
}

Test(ends, what_a_server_queued_arrives_at_a_client_that_is_sending)
{
    begin();
    struct server *server = server_start(NULL, LIMIT);
    for (size_t round = 0; round < scaled(20, 1); round++) {
        struct end *client = client_connect(server->address, LIMIT);
        struct end *accepted = server_end(server, round);
        struct sender sender = {.end = client};
        cr_assert_eq(pthread_create(&sender.thread, NULL, flood, &sender), 0);
        wait_messages(accepted, 1);
        for (unsigned i = 0; i < 20; i++)
            send_body(accepted, 50000, i);
        accepted->stream->ops->close(accepted->stream, MUSTER_REFUSED, "enough");
        expect_closed(client, MUSTER_REFUSED, "enough");
        expect_closed(accepted, MUSTER_REFUSED, "enough");
        cr_assert_eq(client->count, 20, "%zu of 20", client->count);
        pthread_join(sender.thread, NULL);
    }
    conclude();
}

/* Answers the first message with ten. */
static void answer_with_ten(struct end *end, const uint8_t *data, size_t size)
{
    (void)data;
    (void)size;
    for (unsigned i = 0; i < 10 && end->count == 1; i++) {
        struct buffer *body = make_body(50000, i);
        end->stream->ops->send(end->stream, NULL, 0, body);
        muster__buffer_release(body);
    }
}

static void prepare_to_answer_with_ten(struct end *end)
{
    end->react = answer_with_ten;
}

Test(ends, a_client_that_closes_is_gone_and_still_gets_what_was_queued)
{
    begin();
    struct server *server = server_start_with(prepare_to_answer_with_ten);
    struct end *client = client_connect(server->address, LIMIT);
    for (unsigned i = 0; i < 20; i++)
        send_body(client, 30000, i);
    client->stream->ops->close(client->stream, MUSTER_OK, "");
    struct end *accepted = server_end(server, 0);
    expect_closed(accepted, MUSTER_CLOSED, NULL);
    expect_closed(client, MUSTER_OK, NULL);
    cr_assert_eq(accepted->count, 20);
    cr_assert_eq(client->count, 10);
    for (unsigned i = 0; i < 10; i++)
        cr_assert(is_body(client->messages[i].data, client->messages[i].size, 50000, i));
    conclude();
}

Test(ends, a_client_closes_before_it_is_connected)
{
    begin();
    struct server *server = server_start(NULL, LIMIT);
    struct end *client = client_connect(server->address, LIMIT);
    send_number(client, 9);
    client->stream->ops->close(client->stream, MUSTER_OK, "");
    struct end *accepted = server_end(server, 0);
    expect_closed(accepted, MUSTER_CLOSED, NULL);
    expect_closed(client, MUSTER_OK, NULL);
    cr_assert_eq(accepted->count, 1);
    conclude();
}

Test(ends, both_sides_close_at_once)
{
    begin();
    struct server *server = server_start(NULL, LIMIT);
    for (size_t i = 0; i < scaled(50, 1); i++) {
        struct end *client = client_connect(server->address, LIMIT);
        struct end *accepted = server_end(server, i);
        client->stream->ops->close(client->stream, MUSTER_OK, "");
        accepted->stream->ops->close(accepted->stream, MUSTER_REFUSED, "no");
        wait_closed(client);
        wait_closed(accepted);
        /* Whichever was first. */
        if (accepted->status == MUSTER_REFUSED)
            expect_closed(client, MUSTER_REFUSED, "no");
        else
            expect_closed(client, MUSTER_OK, NULL);
    }
    conclude();
}

Test(ends, a_stream_is_cut_from_either_side)
{
    begin();
    struct server *server = server_start(NULL, LIMIT);
    struct end *client = client_connect(server->address, LIMIT);
    struct end *accepted = server_end(server, 0);
    client->stream->ops->cut(client->stream);
    expect_closed(client, MUSTER_CANCELLED, NULL);
    expect_closed(accepted, MUSTER_GONE, NULL);

    client = client_connect(server->address, LIMIT);
    accepted = server_end(server, 1);
    accepted->stream->ops->cut(accepted->stream);
    expect_closed(accepted, MUSTER_GONE, NULL);
    expect_closed(client, MUSTER_UNAVAILABLE, NULL);
    conclude();
}

Test(ends, a_cut_ends_what_a_close_waits_for)
{
    begin();
    struct server *server = server_start(NULL, LIMIT);
    struct end *client = client_connect(server->address, LIMIT);
    struct end *accepted = server_end(server, 0);
    for (unsigned i = 0; i < 20; i++)
        send_body(accepted, scaled((size_t)1 << 20, 1), i);
    accepted->stream->ops->close(accepted->stream, MUSTER_REFUSED, "no");
    accepted->stream->ops->cut(accepted->stream);
    expect_closed(accepted, MUSTER_REFUSED, "no");
    wait_closed(client);

    char address[ADDRESS_SIZE];
    network_silent(address);
    struct end *alone = client_connect(address, LIMIT);
    alone->stream->ops->close(alone->stream, MUSTER_OK, "");
    alone->stream->ops->cut(alone->stream);
    expect_closed(alone, MUSTER_CANCELLED, NULL);
    conclude();
}

Test(ends, streams_that_are_cut_while_they_open_end_once)
{
    begin();
    struct server *server = server_start(NULL, LIMIT);
    struct end *clients[100];
    size_t count = scaled(100, 1);
    for (size_t i = 0; i < count; i++) {
        clients[i] = client_connect(server->address, LIMIT);
        if (i % 3 == 0)
            send_number(clients[i], 1);
        if (i % 2)
            clients[i]->stream->ops->cut(clients[i]->stream);
        else
            clients[i]->stream->ops->close(clients[i]->stream, MUSTER_OK, "");
    }
    for (size_t i = 0; i < count; i++)
        wait_closed(clients[i]);
    conclude();
}
