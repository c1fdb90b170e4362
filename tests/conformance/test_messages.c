/* What every transport promises of messages: whole, in order, of every size up to the limit, shared and
   taken back. */
#include <config.h>

#include <criterion/criterion.h>

#include <string.h>

#include "conformance/fixture.h"

/* ---- messages ---- */

Test(messages, messages_arrive_in_order_both_ways)
{
    begin();
    unsigned count = (unsigned)scaled(1000, 1);
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

Test(messages, messages_of_every_shape_arrive_whole)
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

Test(messages, big_messages_cross_each_other)
{
    begin();
    size_t size = scaled((size_t)8 << 20, 1);
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

Test(messages, many_streams_share_one_body)
{
    begin();
    struct buffer *body = make_body(scaled((size_t)1 << 20, 1) + 1000, 5);
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

/* Of two pieces of a body. */
static enum muster_status send_part(struct end *end, unsigned number, struct buffer *body)
{
    const struct piece pieces[] = {{body->data, body->size / 3},
                                   {body->data + body->size / 2, body->size - body->size / 2}};
    uint8_t head[sizeof(number)];
    memcpy(head, &number, sizeof(head));
    return end->stream->ops->send_part(end->stream, head, sizeof(head), body, pieces, 2);
}

static bool is_part(const struct message *message, unsigned number, const struct buffer *body)
{
    const uint8_t *data = message->data + sizeof(number);
    return message->size == sizeof(number) + body->size / 3 + body->size - body->size / 2 &&
           memcmp(message->data, &number, sizeof(number)) == 0 &&
           memcmp(data, body->data, body->size / 3) == 0 &&
           memcmp(data + body->size / 3, body->data + body->size / 2, body->size - body->size / 2) == 0;
}

Test(messages, parts_arrive_in_order_between_messages)
{
    begin();
    struct buffer *bodies[] = {make_body(scaled((size_t)2 << 20, 1), 1), make_body(100, 2)};
    unsigned count = (unsigned)scaled(20, 4);
    struct server *server = server_start(NULL, LIMIT);
    struct end *client = client_connect(server->address, LIMIT);
    struct end *ends[] = {client, server_end(server, 0)};
    for (unsigned i = 0; i < count; i++) {
        for (size_t j = 0; j < 2; j++) {
            cr_assert_eq(send_part(ends[j], i, bodies[i % 2]), MUSTER_OK);
            wait_sent(ends[j], i + 1);
            send_number(ends[j], i);
        }
    }
    for (size_t j = 0; j < 2; j++) {
        wait_messages(ends[j], 2 * (size_t)count);
        for (unsigned i = 0; i < count; i++) {
            cr_assert(is_part(&ends[j]->messages[2 * i], i, bodies[i % 2]), "part %u", i);
            cr_assert_eq(number_of(&ends[j]->messages[2 * i + 1]), i);
        }
    }
    client->stream->ops->close(client->stream, MUSTER_OK, "");
    wait_closed(client);
    cr_assert_eq(send_part(client, 0, bodies[0]), MUSTER_CLOSED);
    conclude();
    for (size_t j = 0; j < 2; j++) {
        wait_alone(bodies[j]);
        muster__buffer_release(bodies[j]);
    }
}

Test(messages, bodies_that_were_never_sent_are_given_back)
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

Test(messages, several_threads_send_on_one_stream)
{
    begin();
    unsigned each = (unsigned)scaled(1000, 1);
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

Test(messages, an_echo_from_within_the_event_comes_back)
{
    begin();
    struct server *server = server_start(NULL, LIMIT);
    client_connect_with(server->address, echo);
    struct end *accepted = server_end(server, 0);
    unsigned count = (unsigned)scaled(300, 1);
    for (unsigned i = 0; i < count; i++)
        send_number(accepted, i);
    wait_messages(accepted, count);
    for (unsigned i = 0; i < count; i++)
        cr_assert_eq(number_of(&accepted->messages[i]), i);
    conclude();
}

/* What is taken back does not arrive, and what is not taken back does. A transport may say that all is on its
 * way. */
Test(messages, a_message_that_waits_is_taken_back)
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

/* ---- limits ---- */

#define SMALL_LIMIT 10000

Test(messages, a_message_over_the_servers_limit_ends_its_stream_alone)
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

Test(messages, a_message_over_the_clients_limit_ends_its_stream)
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

Test(messages, a_message_far_over_the_limit_is_reported_as_such)
{
    begin();
    struct server *server = server_start(NULL, SMALL_LIMIT);
    for (size_t i = 0; i < scaled(20, 1); i++) {
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
