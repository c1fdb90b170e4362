/* The conformance suite: what every transport promises of listeners, streams and timers, whichever it is. */
#include <config.h>

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/fixture.h"

/* ---- listening and connecting ---- */

Test(transport, a_stream_opens_and_carries_a_message)
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

Test(transport, a_second_listener_on_an_address_is_told_that_it_is_in_use)
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

Test(transport, an_address_is_free_again_when_its_listener_has_stopped)
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

Test(transport, many_streams_open_at_once)
{
    begin();
    size_t count = scaled(100);
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

Test(transport, a_stream_says_who_its_peer_is)
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

Test(transport, a_refused_stream_ends_at_the_client)
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

Test(transport, a_listener_has_several_services)
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

Test(transport, a_service_that_is_not_there_ends_the_stream)
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

/* ---- messages ---- */

Test(transport, messages_arrive_in_order_both_ways)
{
    begin();
    unsigned count = (unsigned)scaled(1000);
    struct server *server = server_start(NULL, LIMIT);
    struct end *client = client_connect(server->address, LIMIT);
    for (unsigned i = 0; i < count; i++) /* from before the stream is open */
        send_number(client, i);
    struct end *accepted = server_end(server, 0);
    for (unsigned i = 0; i < count; i++)
        send_number(accepted, i);
    wait_messages(client, count);
    wait_messages(accepted, count);
    for (unsigned i = 0; i < count; i++) {
        cr_assert_eq(number_of(&client->messages[i]), i);
        cr_assert_eq(number_of(&accepted->messages[i]), i);
    }
    conclude();
}

/* Heads and bodies of these sizes, absent bodies among them, arrive as one piece. */
static const struct {
    size_t head;
    size_t body;
    bool no_body;
} shapes[] = {
    {0, 0, true},
    {0, 0, false},
    {1, 0, true},
    {STREAM_HEAD_MAX, 0, true},
    {STREAM_HEAD_MAX, 0, false},
    {0, 1, false},
    {3, 1, false},
    {0, 511, false},
    {3, 511, false},
    {0, 512, false},
    {3, 512, false},
    {0, 513, false},
    {3, 513, false},
    {STREAM_HEAD_MAX, 8191, false},
    {0, 8192, false},
    {1, 8192, false},
    {0, 20000, false},
    {STREAM_HEAD_MAX, 100000, false},
};

#define SHAPES (sizeof(shapes) / sizeof(*shapes))

static void send_shape(struct end *end, size_t i)
{
    struct buffer *head = make_body(STREAM_HEAD_MAX, 1);
    struct buffer *body = shapes[i].no_body ? NULL : make_body(shapes[i].body, 2);
    cr_assert_eq(
        end->stream->ops->send(end->stream, shapes[i].head ? head->data : NULL, shapes[i].head, body),
        MUSTER_OK);
    muster__buffer_release(head);
    muster__buffer_release(body);
}

static void check_shape(const struct message *message, size_t i)
{
    cr_assert_eq(message->size, shapes[i].head + shapes[i].body, "shape %zu", i);
    cr_assert(is_body(message->data, shapes[i].head, shapes[i].head, 1), "head of shape %zu", i);
    cr_assert(is_body(message->data + shapes[i].head, shapes[i].body, shapes[i].body, 2), "body of shape %zu",
              i);
}

Test(transport, messages_of_every_shape_arrive_whole)
{
    begin();
    struct server *server = server_start(NULL, LIMIT);
    struct end *client = client_connect(server->address, LIMIT);
    struct end *accepted = server_end(server, 0);
    for (size_t i = 0; i < SHAPES; i++) {
        send_shape(client, i);
        send_shape(accepted, i);
    }
    wait_messages(client, SHAPES);
    wait_messages(accepted, SHAPES);
    for (size_t i = 0; i < SHAPES; i++) {
        check_shape(&client->messages[i], i);
        check_shape(&accepted->messages[i], i);
    }
    conclude();
}

Test(transport, big_messages_cross_each_other)
{
    begin();
    size_t size = scaled((size_t)8 << 20);
    struct server *server = server_start(NULL, LIMIT);
    struct end *client = client_connect(server->address, LIMIT);
    struct end *accepted = server_end(server, 0);
    for (unsigned i = 0; i < 2; i++) {
        send_body(client, size + i, i);
        send_body(accepted, size + i, i);
    }
    wait_messages(client, 2);
    wait_messages(accepted, 2);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert(is_body(client->messages[i].data, client->messages[i].size, size + i, i));
        cr_assert(is_body(accepted->messages[i].data, accepted->messages[i].size, size + i, i));
    }
    conclude();
}

#define STREAMS 10

Test(transport, many_streams_share_one_body)
{
    begin();
    struct buffer *body = make_body(scaled((size_t)1 << 20) + 1000, 5);
    struct server *server = server_start(NULL, LIMIT);
    struct end *clients[STREAMS];
    for (size_t i = 0; i < STREAMS; i++)
        clients[i] = client_connect(server->address, LIMIT);
    for (uint8_t i = 0; i < STREAMS; i++) {
        struct stream *stream = server_end(server, i)->stream;
        for (size_t again = 0; again < 2; again++)
            cr_assert_eq(stream->ops->send(stream, &i, sizeof(i), body), MUSTER_OK);
    }
    bool seen[STREAMS] = {false};
    for (size_t i = 0; i < STREAMS; i++) {
        wait_messages(clients[i], 2);
        for (size_t again = 0; again < 2; again++) {
            const struct message *message = &clients[i]->messages[again];
            cr_assert(is_body(message->data + 1, message->size - 1, body->size, 5));
            seen[message->data[0]] = true;
        }
    }
    for (size_t i = 0; i < STREAMS; i++)
        cr_assert(seen[i], "nobody got the head of stream %zu", i);
    conclude();
    wait_alone(body);
    muster__buffer_release(body);
}

Test(transport, bodies_that_were_never_sent_are_given_back)
{
    begin();
    char address[ADDRESS_SIZE];
    network_silent(address);
    struct buffer *body = make_body(100000, 1);
    struct server *server = server_start(NULL, LIMIT);
    struct end *waiting = client_connect(address, LIMIT); /* for ever */
    struct end *client = client_connect(server->address, LIMIT);
    struct end *accepted = server_end(server, 0);
    for (size_t i = 0; i < 50; i++) {
        waiting->stream->ops->send(waiting->stream, NULL, 0, body);
        client->stream->ops->send(client->stream, NULL, 0, body);
        accepted->stream->ops->send(accepted->stream, NULL, 0, body);
    }
    waiting->stream->ops->cut(waiting->stream);
    accepted->stream->ops->cut(accepted->stream);
    accepted->stream->ops->send(accepted->stream, NULL, 0, body);
    conclude();
    wait_alone(body);
    muster__buffer_release(body);
}

#define THREADS 4

struct sender {
    pthread_t thread;
    struct end *end;
    unsigned first;
    unsigned count;
    enum muster_status status;
};

static void *send_numbers(void *argument)
{
    struct sender *sender = argument;
    for (unsigned i = 0; i < sender->count && sender->status == MUSTER_OK; i++) {
        unsigned number = sender->first + i;
        uint8_t head[sizeof(number)];
        memcpy(head, &number, sizeof(head));
        sender->status = sender->end->stream->ops->send(sender->end->stream, head, sizeof(head), NULL);
    }
    return NULL;
}

Test(transport, several_threads_send_on_one_stream)
{
    begin();
    unsigned each = (unsigned)scaled(1000);
    struct server *server = server_start(NULL, LIMIT);
    struct end *client = client_connect(server->address, LIMIT);
    struct end *accepted = server_end(server, 0);
    struct sender senders[2 * THREADS];
    for (unsigned i = 0; i < 2 * THREADS; i++) {
        senders[i] = (struct sender){.end = i % 2 ? client : accepted, .first = i / 2 * each, .count = each};
        cr_assert_eq(pthread_create(&senders[i].thread, NULL, send_numbers, &senders[i]), 0);
    }
    for (size_t i = 0; i < 2 * THREADS; i++) {
        pthread_join(senders[i].thread, NULL);
        cr_assert_eq(senders[i].status, MUSTER_OK);
    }
    struct end *ends[] = {client, accepted};
    for (size_t i = 0; i < 2; i++) {
        unsigned next[THREADS] = {0}; /* of each thread: its own messages come in order */
        wait_messages(ends[i], (size_t)each * THREADS);
        for (size_t j = 0; j < (size_t)each * THREADS; j++) {
            unsigned number = number_of(&ends[i]->messages[j]);
            cr_assert_eq(number % each, next[number / each]++);
        }
    }
    conclude();
}

Test(transport, an_echo_from_within_the_event_comes_back)
{
    begin();
    struct server *server = server_start(NULL, LIMIT);
    client_connect_with(server->address, echo);
    struct end *accepted = server_end(server, 0);
    unsigned count = (unsigned)scaled(300);
    for (unsigned i = 0; i < count; i++)
        send_number(accepted, i);
    wait_messages(accepted, count);
    for (unsigned i = 0; i < count; i++)
        cr_assert_eq(number_of(&accepted->messages[i]), i);
    conclude();
}

/* What is taken back does not arrive, and what is not taken back does. A transport may say that all is on its
 * way. */
Test(transport, a_message_that_waits_is_taken_back)
{
    begin();
    size_t expected[4], count = 0;
    struct buffer *bodies[4];
    struct server *server = server_start(NULL, LIMIT);
    struct end *client = client_connect(server->address, LIMIT);
    for (unsigned i = 0; i < 4; i++)
        bodies[i] = make_body(100 + i, i);
    for (size_t i = 0; i < 3; i++)
        client->stream->ops->send(client->stream, NULL, 0, bodies[i]);
    cr_assert_not(client->stream->ops->revoke(client->stream, bodies[3]));
    bool revoked[4] = {false};
    revoked[1] = client->stream->ops->revoke(client->stream, bodies[1]);
    revoked[2] = client->stream->ops->revoke(client->stream, bodies[2]); /* the last */
    if (revoked[1])
        cr_assert_not(client->stream->ops->revoke(client->stream, bodies[1]));
    client->stream->ops->send(client->stream, NULL, 0, bodies[3]);
    for (size_t i = 0; i < 4; i++) {
        if (!revoked[i])
            expected[count++] = i;
    }
    struct end *accepted = server_end(server, 0);
    wait_messages(accepted, count);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(accepted->messages[i].size, bodies[expected[i]]->size);
    client->stream->ops->close(client->stream, MUSTER_OK, "");
    expect_closed(accepted, MUSTER_CLOSED, NULL);
    cr_assert_eq(accepted->count, count);
    cr_assert_not(client->stream->ops->revoke(client->stream, bodies[0]));
    conclude();
    for (size_t i = 0; i < 4; i++) {
        wait_alone(bodies[i]);
        muster__buffer_release(bodies[i]);
    }
}

/* ---- ends ---- */

Test(transport, what_the_server_closes_with_reaches_both_sides)
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

Test(transport, sending_after_close_or_end_is_refused)
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

Test(transport, what_a_server_queued_arrives_before_its_end)
{
    begin();
    size_t size = scaled((size_t)200 << 10);
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
static void *flood(void *argument)
{
    struct sender *sender = argument;
    struct buffer *body = make_body(5000, 1);
    while (sender->end->stream->ops->send(sender->end->stream, NULL, 0, body) == MUSTER_OK)
        sender->count++;
    muster__buffer_release(body);
    return NULL;
}

Test(transport, what_a_server_queued_arrives_at_a_client_that_is_sending)
{
    begin();
    struct server *server = server_start(NULL, LIMIT);
    for (size_t round = 0; round < scaled(20); round++) {
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

Test(transport, a_client_that_closes_is_gone_and_still_gets_what_was_queued)
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

Test(transport, a_client_closes_before_it_is_connected)
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

Test(transport, both_sides_close_at_once)
{
    begin();
    struct server *server = server_start(NULL, LIMIT);
    for (size_t i = 0; i < scaled(50); i++) {
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

Test(transport, a_stream_is_cut_from_either_side)
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

Test(transport, a_cut_ends_what_a_close_waits_for)
{
    begin();
    struct server *server = server_start(NULL, LIMIT);
    struct end *client = client_connect(server->address, LIMIT);
    struct end *accepted = server_end(server, 0);
    for (unsigned i = 0; i < 20; i++)
        send_body(accepted, scaled((size_t)1 << 20), i);
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

Test(transport, streams_that_are_cut_while_they_open_end_once)
{
    begin();
    struct server *server = server_start(NULL, LIMIT);
    struct end *clients[100];
    size_t count = scaled(100);
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

/* ---- from within events ---- */

static void close_with_count(struct end *end, const uint8_t *data, size_t size)
{
    (void)data;
    (void)size;
    if (end->count == 3)
        end->stream->ops->close(end->stream, MUSTER_REFUSED, "three are enough");
}

static void cut_it(struct end *end, const uint8_t *data, size_t size)
{
    (void)data;
    (void)size;
    end->stream->ops->cut(end->stream);
}

static void prepare_to_close(struct end *end)
{
    end->react = close_with_count;
    end->release = true;
}

static void prepare_to_cut(struct end *end)
{
    end->react = cut_it;
    end->release = true;
}

Test(transport, a_stream_is_closed_from_within_its_event)
{
    begin();
    struct server *server = server_start_with(prepare_to_close);
    struct end *client = client_connect(server->address, LIMIT);
    for (unsigned i = 0; i < 3; i++)
        send_number(client, i);
    expect_closed(client, MUSTER_REFUSED, "three are enough");
    expect_closed(server_end(server, 0), MUSTER_REFUSED, "three are enough");
    conclude();
}

Test(transport, a_stream_is_cut_from_within_its_event)
{
    begin();
    struct server *server = server_start_with(prepare_to_cut);
    struct end *client = client_connect(server->address, LIMIT);
    send_number(client, 1);
    expect_closed(client, MUSTER_UNAVAILABLE, NULL);
    expect_closed(server_end(server, 0), MUSTER_GONE, NULL);

    struct server *other = server_start(NULL, LIMIT);
    client = client_connect_with(other->address, cut_it);
    send_number(server_end(other, 0), 1);
    expect_closed(client, MUSTER_CANCELLED, NULL);
    expect_closed(server_end(other, 0), MUSTER_GONE, NULL);
    conclude();
}

static struct end *partner;

static void cut_partner(struct end *end, const uint8_t *data, size_t size)
{
    (void)end;
    (void)data;
    (void)size;
    partner->stream->ops->cut(partner->stream);
}

static void prepare_to_cut_partner(struct end *end)
{
    end->react = cut_partner;
}

Test(transport, a_stream_is_cut_by_its_peer_while_it_handles_a_message)
{
    begin();
    struct server *server = server_start_with(prepare_to_cut_partner);
    for (size_t i = 0; i < scaled(30); i++) {
        partner = client_connect(server->address, LIMIT);
        struct end *accepted = server_end(server, i);
        for (unsigned j = 0; j < 5; j++)
            partner->stream->ops->send(partner->stream, NULL, 0, NULL);
        expect_closed(partner, MUSTER_CANCELLED, NULL);
        expect_closed(accepted, MUSTER_GONE, NULL);
    }
    conclude();
}

static void send_two(struct end *end)
{
    for (uint8_t i = 0; i < 2; i++)
        end->stream->ops->send(end->stream, &i, sizeof(i), NULL);
}

static void send_two_and_close(struct end *end)
{
    send_two(end);
    end->stream->ops->close(end->stream, MUSTER_EXISTS, "at the door");
}

static void cut_at_the_door(struct end *end)
{
    send_two(end);
    end->stream->ops->cut(end->stream);
}

Test(transport, a_stream_is_used_while_it_is_accepted)
{
    begin();
    struct server *sends = server_start_with(send_two);
    wait_messages(client_connect(sends->address, LIMIT), 2);

    struct server *closes = server_start_with(send_two_and_close);
    struct end *client = client_connect(closes->address, LIMIT);
    expect_closed(client, MUSTER_EXISTS, "at the door");
    cr_assert_eq(client->count, 2);
    expect_closed(server_end(closes, 0), MUSTER_EXISTS, "at the door");

    struct server *cuts = server_start_with(cut_at_the_door);
    expect_closed(client_connect(cuts->address, LIMIT), MUSTER_UNAVAILABLE, NULL);
    expect_closed(server_end(cuts, 0), MUSTER_GONE, NULL);
    conclude();
}

/* ---- holding: saying that no message is expected before one is sent ---- */

static void hold(struct end *end, const uint8_t *data, size_t size)
{
    (void)data;
    (void)size;
    end->stream->ops->hold(end->stream);
}

static void hold_and_echo(struct end *end, const uint8_t *data, size_t size)
{
    hold(end, data, size);
    echo(end, data, size);
}

static void prepare_to_hold(struct end *end)
{
    end->react = hold;
}

Test(transport, turns_go_on_between_ends_that_hold)
{
    begin();
    struct server *server = server_start_with(prepare_to_hold);
    struct end *client = client_connect_with(server->address, hold_and_echo);
    struct end *accepted = server_end(server, 0);
    for (unsigned i = 0; i < scaled(200); i++) {
        send_number(accepted, i);
        wait_messages(accepted, i + 1);
        cr_assert_eq(number_of(&accepted->messages[i]), i);
    }
    cr_assert_eq(client->count, accepted->count);
    conclude();
}

Test(transport, a_big_answer_arrives_before_the_end_of_its_client)
{
    begin();
    struct server *server = server_start_with(prepare_to_hold);
    struct end *client = client_connect_with(server->address, hold);
    struct end *accepted = server_end(server, 0);
    send_number(accepted, 1);
    wait_messages(client, 1);
    struct buffer *body = make_body(scaled((size_t)8 << 20), 3);
    cr_assert_eq(client->stream->ops->send(client->stream, NULL, 0, body), MUSTER_OK);
    client->stream->ops->close(client->stream, MUSTER_OK, "");
    expect_closed(accepted, MUSTER_CLOSED, NULL);
    expect_closed(client, MUSTER_OK, NULL);
    cr_assert_eq(accepted->count, 1);
    cr_assert(is_body(accepted->messages[0].data, accepted->messages[0].size, body->size, 3));
    conclude();
    wait_alone(body);
    muster__buffer_release(body);
}

Test(transport, an_answer_that_comes_too_late_does_not_cost_a_message)
{
    begin();
    struct server *server = server_start_with(prepare_to_hold);
    for (size_t i = 0; i < scaled(30); i++) {
        struct end *client = client_connect_with(server->address, hold);
        struct end *accepted = server_end(server, i);
        send_number(accepted, 1);
        wait_messages(client, 1);
        send_number(accepted, 2);
        accepted->stream->ops->close(accepted->stream, MUSTER_REFUSED, "enough");
        if (i % 2)
            wait_closed(accepted);
        client->stream->ops->send(client->stream, NULL, 0, NULL);
        expect_closed(client, MUSTER_REFUSED, "enough");
        cr_assert_eq(client->count, 2, "%zu of 2", client->count);
    }
    conclude();
}

Test(transport, messages_that_were_not_expected_arrive_all_the_same)
{
    begin();
    struct server *server = server_start_with(prepare_to_hold);
    struct end *client = client_connect_with(server->address, hold);
    struct end *accepted = server_end(server, 0);
    for (unsigned i = 0; i < 3; i++) {
        send_number(client, i);
        send_number(accepted, i);
    }
    network_pass(fixture.transport, 1000);
    wait_messages(client, 3);
    wait_messages(accepted, 3);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(number_of(&client->messages[i]), i);
        cr_assert_eq(number_of(&accepted->messages[i]), i);
    }
    conclude();
}

Test(transport, an_end_that_holds_is_told_of_the_end)
{
    begin();
    struct server *server = server_start_with(prepare_to_hold);
    for (size_t i = 0; i < 6; i++) {
        struct end *client = client_connect_with(server->address, hold);
        struct end *accepted = server_end(server, i);
        struct end *first = i % 2 ? client : accepted, *second = i % 2 ? accepted : client;
        send_number(first, 1);
        wait_messages(second, 1);
        if (i < 2)
            first->stream->ops->cut(first->stream);
        else if (i < 4)
            second->stream->ops->cut(second->stream);
        else
            first->stream->ops->close(first->stream, MUSTER_OK, "");
        wait_closed(client);
        wait_closed(accepted);
    }
    conclude();
}

/* ---- pausing: reading no more for a while, whatever is sent ---- */

#define PAUSE_MS 100

static int64_t read_at[3];

static void pause_reading(struct end *end, const uint8_t *data, size_t size)
{
    const struct message message = {(uint8_t *)(uintptr_t)data, size};
    unsigned number = number_of(&message);
    read_at[number] = fixture.transport->ops->now(fixture.transport);
    if (number == 1)
        end->stream->ops->pause(end->stream, PAUSE_MS);
}

static void prepare_to_pause(struct end *end)
{
    end->react = pause_reading;
}

Test(transport, an_end_that_pauses_reads_later_and_sends_meanwhile)
{
    begin();
    struct server *server = server_start_with(prepare_to_pause);
    struct end *client = client_connect_with(server->address, NULL);
    struct end *accepted = server_end(server, 0);
    send_number(client, 1);
    send_number(client, 2);
    wait_messages(accepted, 1);
    send_number(accepted, 3);
    wait_messages(client, 1);
    network_pass(fixture.transport, PAUSE_MS);
    wait_messages(accepted, 2);
    conclude();
    cr_assert_geq(read_at[2] - read_at[1], PAUSE_MS);
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

Test(transport, a_closed_listener_lets_its_streams_go_on)
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

Test(transport, a_listener_without_streams_stops)
{
    begin();
    struct server *server = server_start(NULL, LIMIT);
    server_close(server);
    server_wait_stopped(server);
    conclude();
}

Test(transport, a_listener_that_is_cut_ends_its_streams)
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

Test(transport, a_listener_is_closed_while_streams_arrive)
{
    begin();
    for (size_t round = 0; round < scaled(10); round++) {
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

/* ---- limits ---- */

#define SMALL_LIMIT 10000

Test(transport, a_message_over_the_servers_limit_ends_its_stream_alone)
{
    begin();
    struct server *server = server_start(NULL, SMALL_LIMIT);
    struct end *client = client_connect(server->address, LIMIT);
    struct end *accepted = server_end(server, 0);
    struct end *other = client_connect(server->address, LIMIT);
    struct end *unaffected = server_end(server, 1);
    send_body(client, SMALL_LIMIT, 1);
    send_body(client, SMALL_LIMIT + 1, 1);
    expect_closed(client, MUSTER_TOO_BIG, NULL);
    expect_closed(accepted, MUSTER_TOO_BIG, NULL);
    cr_assert_eq(accepted->count, 1);
    send_number(other, 1);
    wait_messages(unaffected, 1);
    conclude();
}

Test(transport, a_message_over_the_clients_limit_ends_its_stream)
{
    begin();
    struct server *server = server_start(NULL, LIMIT);
    struct end *client = client_connect(server->address, SMALL_LIMIT);
    struct end *accepted = server_end(server, 0);
    send_body(accepted, SMALL_LIMIT, 1);
    send_body(accepted, SMALL_LIMIT + 1, 1);
    expect_closed(client, MUSTER_TOO_BIG, NULL);
    expect_closed(accepted, MUSTER_GONE, NULL);
    cr_assert_eq(client->count, 1);
    conclude();
}

Test(transport, a_message_far_over_the_limit_is_reported_as_such)
{
    begin();
    struct server *server = server_start(NULL, SMALL_LIMIT);
    for (size_t i = 0; i < scaled(20); i++) {
        struct end *client = client_connect(server->address, SMALL_LIMIT);
        struct end *accepted = server_end(server, i);
        struct end *from = i % 2 ? client : accepted;
        for (unsigned j = 0; j < 10; j++)
            from->stream->ops->send(from->stream, NULL, 0, NULL);
        struct buffer *body = make_body((size_t)1 << 20, 1);
        from->stream->ops->send(from->stream, NULL, 0, body);
        from->stream->ops->send(from->stream, NULL, 0, body);
        muster__buffer_release(body);
        expect_closed(client, MUSTER_TOO_BIG, NULL);
        expect_closed(accepted, i % 2 ? MUSTER_TOO_BIG : MUSTER_GONE, NULL);
        cr_assert_eq((i % 2 ? accepted : client)->count, 10);
    }
    conclude();
}

/* ---- timers ---- */

#define TIMERS 20

static struct alarm_clock {
    struct timer timer; /* its first member: an expired timer is one of these */
    unsigned rings;
} clocks[TIMERS];
static struct timer *rung[2 * TIMERS]; /* in this order; guarded by fixture.lock */
static size_t rung_count;

static void ring(struct timer *timer)
{
    pthread_mutex_lock(&fixture.lock);
    rung[rung_count++] = timer;
    ((struct alarm_clock *)timer)->rings++;
    pthread_cond_broadcast(&fixture.changed);
    pthread_mutex_unlock(&fixture.lock);
}

static void begin_timers(void)
{
    begin();
    memset(clocks, 0, sizeof(clocks));
    rung_count = 0;
}

static void wait_rings(size_t count)
{
    pthread_mutex_lock(&fixture.lock);
    while (rung_count < count)
        pthread_cond_wait(&fixture.changed, &fixture.lock);
    pthread_mutex_unlock(&fixture.lock);
}

Test(timer, timers_ring_in_the_order_of_their_time)
{
    begin_timers();
    int64_t now = fixture.transport->ops->now(fixture.transport);
    for (size_t i = 0; i < TIMERS; i++) /* 7 and 20 have no common factor: every time once */
        muster__timer_start(fixture.transport, &clocks[i].timer, now + 20 + (int64_t)(i * 7 % TIMERS), ring);
    network_pass(fixture.transport, 20 + TIMERS);
    wait_rings(TIMERS);
    cr_assert_geq(fixture.transport->ops->now(fixture.transport), now + 20 + TIMERS - 1);
    for (size_t i = 1; i < TIMERS; i++)
        cr_assert_lt(rung[i - 1]->at, rung[i]->at);
    conclude();
}

Test(timer, a_stopped_timer_does_not_ring)
{
    begin_timers();
    int64_t now = fixture.transport->ops->now(fixture.transport);
    for (size_t i = 0; i < TIMERS; i++)
        muster__timer_start(fixture.transport, &clocks[i].timer, now + 1000 + (int64_t)i, ring);
    for (size_t i = 0; i < TIMERS; i += 2)
        cr_assert(muster__timer_stop(fixture.transport, &clocks[i].timer));
    cr_assert_not(muster__timer_stop(fixture.transport, &clocks[0].timer));
    network_pass(fixture.transport, 1000 + TIMERS);
    wait_rings(TIMERS / 2);
    for (size_t i = 0; i < TIMERS; i++) {
        cr_assert_eq(clocks[i].rings, i % 2);
        cr_assert_not(muster__timer_stop(fixture.transport, &clocks[i].timer));
    }
    conclude();
    cr_assert_eq(rung_count, TIMERS / 2);
}

Test(timer, an_earlier_timer_rings_before_one_that_was_there)
{
    begin_timers();
    int64_t now = fixture.transport->ops->now(fixture.transport);
    muster__timer_start(fixture.transport, &clocks[0].timer, now + 3600000, ring);
    muster__timer_start(fixture.transport, &clocks[1].timer, now + 10, ring);
    network_pass(fixture.transport, 10);
    wait_rings(1);
    cr_assert_eq(clocks[1].rings, 1);
    cr_assert(muster__timer_stop(fixture.transport, &clocks[0].timer));
    conclude();
}

Test(timer, a_timer_whose_time_has_passed_rings)
{
    begin_timers();
    int64_t now = fixture.transport->ops->now(fixture.transport);
    muster__timer_start(fixture.transport, &clocks[0].timer, now, ring);
    muster__timer_start(fixture.transport, &clocks[1].timer, now - 1000, ring);
    wait_rings(2);
    conclude();
}

static void ring_again(struct timer *timer)
{
    ring(timer);
    if (((struct alarm_clock *)timer)->rings < 5)
        muster__timer_start(fixture.transport, timer, timer->at + 2, ring_again);
}

Test(timer, a_timer_is_started_again_when_it_rings)
{
    begin_timers();
    int64_t now = fixture.transport->ops->now(fixture.transport);
    muster__timer_start(fixture.transport, &clocks[0].timer, now, ring_again);
    network_pass(fixture.transport, 8);
    wait_rings(5);
    cr_assert_eq(clocks[0].rings, 5);
    conclude();
}

Test(timer, a_wait_ends_at_its_limit)
{
    begin_timers();
    struct waiter waiter;
    pthread_mutex_lock(&fixture.lock);
    muster__waiter_begin(&waiter, fixture.transport, &fixture.lock, &fixture.changed, 20);
    network_pass(fixture.transport, 20);
    while (!waiter.expired)
        muster__waiter_sleep(&waiter);
    muster__waiter_end(&waiter);

    muster__waiter_begin(&waiter, fixture.transport, &fixture.lock, &fixture.changed, 0);
    cr_assert(waiter.expired);
    muster__waiter_end(&waiter);
    muster__waiter_begin(&waiter, fixture.transport, &fixture.lock, &fixture.changed, 3600000);
    muster__waiter_end(&waiter);
    cr_assert_not(waiter.expired);
    muster__waiter_begin(&waiter, fixture.transport, &fixture.lock, &fixture.changed, MUSTER_NO_LIMIT);
    muster__waiter_end(&waiter);
    cr_assert_not(waiter.expired);
    pthread_mutex_unlock(&fixture.lock);
    conclude();
}

/* Waits whose end and whose limit fall together, from several threads. */
static void *wait_often(void *argument)
{
    pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
    size_t *expired = argument;
    for (size_t i = 0; i < scaled(200); i++) {
        struct waiter waiter;
        pthread_mutex_lock(&own);
        muster__waiter_begin(&waiter, fixture.transport, &own, &condition, (int64_t)(i % 3));
        network_pass(fixture.transport, 1);
        muster__waiter_end(&waiter);
        *expired += waiter.expired;
        pthread_mutex_unlock(&own);
    }
    return NULL;
}

Test(timer, waits_that_race_with_their_limits_end)
{
    begin_timers();
    pthread_t threads[THREADS];
    size_t expired[THREADS] = {0};
    for (size_t i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, wait_often, &expired[i]), 0);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        cr_assert_geq(expired[i], scaled(200) / 3); /* the limits of 0 at least */
    }
    conclude();
}
