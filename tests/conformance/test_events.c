/* What every transport promises of calls from within events, and of ends that hold or pause. */
#include <config.h>

#include <criterion/criterion.h>

#include "conformance/fixture.h"

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

Test(events, a_stream_is_closed_from_within_its_event)
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

Test(events, a_stream_is_cut_from_within_its_event)
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

Test(events, a_stream_is_cut_by_its_peer_while_it_handles_a_message)
{
    begin();
    struct server *server = server_start_with(prepare_to_cut_partner);
    for (size_t i = 0; i < scaled(30, 1); i++) {
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

Test(events, a_stream_is_used_while_it_is_accepted)
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

static void send_a_part(struct end *end)
{
    struct buffer *body = make_body(100, 7);
    const struct piece all = {body->data, body->size};
    end->stream->ops->send_part(end->stream, NULL, 0, body, &all, 1);
    muster__buffer_release(body);
}

Test(events, a_part_is_sent_while_its_stream_is_accepted)
{
    begin();
    struct server *server = server_start_with(send_a_part);
    for (size_t i = 0; i < scaled(300, 10); i++) {
        struct end *client = client_connect(server->address, LIMIT);
        wait_sent(server_end(server, i), 1);
        wait_messages(client, 1);
        cr_assert(is_body(client->messages[0].data, client->messages[0].size, 100, 7));
        client->stream->ops->close(client->stream, MUSTER_OK, "");
        wait_closed(client);
    }
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

Test(events, turns_go_on_between_ends_that_hold)
{
    begin();
    struct server *server = server_start_with(prepare_to_hold);
    struct end *client = client_connect_with(server->address, hold_and_echo);
    struct end *accepted = server_end(server, 0);
    for (unsigned i = 0; i < scaled(200, 1); i++) {
        send_number(accepted, i);
        wait_messages(accepted, i + 1);
        cr_assert_eq(number_of(&accepted->messages[i]), i);
    }
    cr_assert_eq(client->count, accepted->count);
    conclude();
}

Test(events, a_big_answer_arrives_before_the_end_of_its_client)
{
    begin();
    struct server *server = server_start_with(prepare_to_hold);
    struct end *client = client_connect_with(server->address, hold);
    struct end *accepted = server_end(server, 0);
    send_number(accepted, 1);
    wait_messages(client, 1);
    struct buffer *body = make_body(scaled((size_t)8 << 20, 1), 3);
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

Test(events, an_answer_that_comes_too_late_does_not_cost_a_message)
{
    begin();
    struct server *server = server_start_with(prepare_to_hold);
    for (size_t i = 0; i < scaled(30, 1); i++) {
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

Test(events, messages_that_were_not_expected_arrive_all_the_same)
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

Test(events, an_end_that_holds_is_told_of_the_end)
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
static bool paused; /* guarded by fixture.lock */

static void pause_reading(struct end *end, const uint8_t *data, size_t size)
{
    const struct message message = {.data = (uint8_t *)(uintptr_t)data, .size = size};
    unsigned number = number_of(&message);
    read_at[number] = fixture.transport->ops->now(fixture.transport);
    if (number != 1)
        return;
    end->stream->ops->pause(end->stream, PAUSE_MS);
    pthread_mutex_lock(&fixture.lock);
    paused = true;
    pthread_cond_broadcast(&fixture.changed);
    pthread_mutex_unlock(&fixture.lock);
}

static void prepare_to_pause(struct end *end)
{
    end->react = pause_reading;
}

static void wait_paused(void)
{
    pthread_mutex_lock(&fixture.lock);
    while (!paused)
        pthread_cond_wait(&fixture.changed, &fixture.lock);
    pthread_mutex_unlock(&fixture.lock);
}

Test(events, an_end_that_pauses_reads_later_and_sends_meanwhile)
{
    begin();
    struct server *server = server_start_with(prepare_to_pause);
    struct end *client = client_connect_with(server->address, NULL);
    struct end *accepted = server_end(server, 0);
    send_number(client, 1);
    send_number(client, 2);
    wait_paused();
    send_number(accepted, 3);
    wait_messages(client, 1);
    network_pass(fixture.transport, PAUSE_MS);
    wait_messages(accepted, 2);
    conclude();
    cr_assert_geq(read_at[2] - read_at[1], PAUSE_MS);
}
