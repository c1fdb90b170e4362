/* The local transport on the clock of a test, step by step. */
#include <config.h>

#include <criterion/criterion.h>

#include <string.h>

#include <muster/fixture.h>

#include "network/transport.h"

enum { PAUSE_MS = 50 };

/* A server's end, which writes down the bytes that it is told and pauses at the first. */
struct reader {
    struct stream *stream;
    uint8_t bytes[8];
    size_t count;
};

static void message(void *context, const struct piece *pieces, size_t count, size_t size)
{
    struct reader *reader = context;
    (void)size;
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].size)
            reader->bytes[reader->count++] = *pieces[i].data;
    }
    if (reader->count == 1)
        reader->stream->ops->pause(reader->stream, PAUSE_MS);
}

static void closed(void *context, enum muster_status status, const char *text)
{
    (void)context;
    (void)status;
    (void)text;
}

static const struct stream_events events = {.message = message, .closed = closed};

static void *accepted(void *context, struct stream *stream, const struct stream_events **given)
{
    struct reader *reader = context;
    reader->stream = stream;
    *given = &events;
    return reader;
}

static void stopped(void *context)
{
    (void)context;
}

static const struct service service = {.name = "Test", .method = "/Test/Call"};
static const struct served served[] = {{&service, accepted}, {NULL, NULL}};
static const struct listener_events listener_events = {.served = served, .stopped = stopped};

static void send_byte(struct stream *stream, uint8_t byte)
{
    cr_assert_eq(stream->ops->send(stream, &byte, 1, NULL), MUSTER_OK);
}

static struct listener *begin(struct muster_transport *network, struct reader *reader, struct reader *unused,
                              struct stream **client)
{
    struct listener *listener;
    uint16_t port;
    cr_assert_eq(network->ops->listen(network, "fixture:order/a", 1024, NULL, &listener_events, reader,
                                      &listener, &port, NULL),
                 MUSTER_OK);
    cr_assert_eq(network->ops->connect(network, "fixture:order/a", &service, 1024, NULL, &events, unused,
                                       client, NULL),
                 MUSTER_OK);
    return listener;
}

static void end(struct muster_transport *network, struct listener *listener, struct reader *reader,
                struct stream *client)
{
    client->ops->cut(client);
    network->ops->close_listener(listener);
    muster_fixture_settle(network);
    reader->stream->ops->release(reader->stream);
    client->ops->release(client);
    network->ops->free_listener(listener);
    muster_fixture_free(network);
}

/* A thread that delivers may be late: what was said before the pause is over must not overtake what has waited
   for that. */
Test(local, messages_keep_their_order_when_a_pause_ends)
{
    struct muster_transport *network = muster_fixture_new("order");
    struct reader reader = {.count = 0}, unused = {.count = 0};
    struct stream *client;
    struct listener *listener = begin(network, &reader, &unused, &client);
    send_byte(client, 1);
    send_byte(client, 2);
    muster_fixture_settle(network);
    cr_assert_eq(reader.count, 1);
    muster_fixture_advance(network, PAUSE_MS - 1);
    send_byte(client, 3);
    muster_fixture_advance(network, 1);
    send_byte(client, 4);
    muster_fixture_settle(network);
    cr_assert_eq(memcmp(reader.bytes, "\1\2\3\4", 4), 0);
    end(network, listener, &reader, client);
}

/* The network may be whole again when the end of the stream is still to come. */
Test(local, nothing_comes_behind_what_was_lost)
{
    static const char *const hosts[] = {"a", NULL};
    struct muster_transport *network = muster_fixture_new("order");
    struct reader reader = {.count = 0}, unused = {.count = 0};
    struct stream *client;
    struct listener *listener = begin(network, &reader, &unused, &client);
    muster_fixture_settle(network);
    send_byte(client, 1);
    send_byte(client, 2);
    muster_fixture_part(network, hosts);
    cr_assert(muster_fixture_step(network));
    muster_fixture_part(network, NULL);
    muster_fixture_settle(network);
    cr_assert_eq(reader.count, 0);
    end(network, listener, &reader, client);
}
