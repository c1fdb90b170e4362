/* Floods: a peer that sends without end what costs it nothing is let go, and others are served meanwhile. */
#include <config.h>

#include <criterion/criterion.h>

#include <string.h>

#include "conformance/fixture.h"
#include "http2/raw.h"

/* Frames that no listener would take: a flood that is not stopped ends here. */
enum { FRAMES_MAX = 1000000 };

static const struct connection_options few = {
    .keepalive_time_ms = KEEPALIVE_TIME_MS, .keepalive_timeout_ms = KEEPALIVE_TIMEOUT_MS, .max_streams = 100};

static struct end *other;

static struct raw begin_flood(struct server **server)
{
    begin();
    *server = server_start_limited(&few, LIMIT);
    other = client_connect((*server)->address, LIMIT);
    send_number(other, 1);
    wait_messages(server_end(*server, 0), 1);
    struct raw raw = raw_connect((*server)->port);
    raw_hello(&raw);
    return raw;
}

static void end_flood(struct server *server, struct raw *raw)
{
    raw_until_end(raw);
    send_number(other, 2); /* another peer is served */
    wait_messages(server_end(server, 0), 2);
    raw_close(raw);
    conclude();
}

/* One frame again and again, until the connection is ended. */
static void flood(uint8_t type, uint8_t flags, uint32_t stream, const void *bytes, size_t size)
{
    struct server *server;
    struct raw raw = begin_flood(&server);
    bool taken = !stream || raw_request(&raw, stream, 0, NULL, NULL);
    size_t count = 0;
    while (taken && count++ < FRAMES_MAX)
        taken = raw_frame(&raw, type, flags, stream, bytes, size);
    cr_assert(!taken, "%zu frames were taken", count);
    end_flood(server, &raw);
}

static const uint8_t eight[8];

Test(floods, pings)
{
    flood(NGHTTP2_PING, 0, 0, eight, 8);
}

Test(floods, answers_to_pings_that_nobody_sent)
{
    flood(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, eight, 8);
}

Test(floods, settings)
{
    flood(NGHTTP2_SETTINGS, 0, 0, NULL, 0);
}

Test(floods, windows_of_the_connection)
{
    flood(NGHTTP2_WINDOW_UPDATE, 0, 0, (const uint8_t[]){0, 0, 0, 1}, 4);
}

Test(floods, windows_of_a_stream)
{
    flood(NGHTTP2_WINDOW_UPDATE, 0, 1, (const uint8_t[]){0, 0, 0, 1}, 4);
}

/* As some libraries do, each time: windows, and a ping that measures the path. */
Test(floods, answers_to_data_are_none)
{
    enum { COUNT = 4000 };
    static const uint8_t window[] = {0, 0, 0, 9};
    struct server *server;
    struct raw raw = begin_flood(&server);
    struct frame frame;
    raw_request(&raw, 1, 0, NULL, NULL);
    struct end *end = server_end(server, 1);
    for (unsigned i = 0; i < COUNT; i++) {
        send_number(end, i);
        cr_assert(raw_until(&raw, NGHTTP2_DATA, &frame), "after %u messages", i);
        raw_frame(&raw, NGHTTP2_WINDOW_UPDATE, 0, 0, window, sizeof(window));
        raw_frame(&raw, NGHTTP2_WINDOW_UPDATE, 0, 1, window, sizeof(window));
        raw_frame(&raw, NGHTTP2_PING, 0, 0, eight, sizeof(eight));
        cr_assert(raw_until(&raw, NGHTTP2_PING, &frame));
    }
    raw_close(&raw);
    expect_closed(end, MUSTER_GONE, NULL);
    conclude();
}

Test(floods, data_that_is_empty)
{
    flood(NGHTTP2_DATA, 0, 1, NULL, 0);
}

Test(floods, priorities)
{
    flood(NGHTTP2_PRIORITY, 0, 1, (const uint8_t[]){0, 0, 0, 3, 1}, 5);
}

Test(floods, frames_of_types_that_there_are_not)
{
    flood(0x42, 0xff, 0, eight, 8);
}

Test(floods, headers_of_what_was_refused)
{
    struct server *server;
    struct raw raw = begin_flood(&server);
    bool taken = true;
    for (size_t i = 0; taken && i < FRAMES_MAX; i++)
        taken = raw_request(&raw, 1, 0, "content-type", "text/html");
    cr_assert(!taken);
    end_flood(server, &raw);
}

Test(floods, streams_that_are_reset_at_once)
{
    struct server *server;
    struct raw raw = begin_flood(&server);
    bool taken = true;
    uint32_t id = 1;
    for (; taken && id < FRAMES_MAX; id += 2)
        taken = raw_request(&raw, id, 0, NULL, NULL) &&
                raw_frame(&raw, NGHTTP2_RST_STREAM, 0, id, (const uint8_t[]){0, 0, 0, 8}, 4);
    cr_assert(!taken);
    pthread_mutex_lock(&fixture.lock);
    size_t accepted = server->count;
    pthread_mutex_unlock(&fixture.lock);
    cr_assert_lt(accepted, 10000, "%zu streams were accepted", accepted);
    end_flood(server, &raw);
}

Test(floods, continuations_of_a_block_of_headers)
{
    struct server *server;
    struct raw raw = begin_flood(&server);
    uint8_t block[256];
    size_t size = (size_t)(put_header(block, "x", "y") - block), count = 0;
    bool taken = raw_frame(&raw, NGHTTP2_HEADERS, 0, 1, block, size);
    while (taken && count++ < FRAMES_MAX)
        taken = raw_frame(&raw, NGHTTP2_CONTINUATION, 0, 1, block, size);
    cr_assert(!taken);
    end_flood(server, &raw);
}

Test(floods, streams_beyond_the_limit_are_refused)
{
    struct server *server;
    struct raw raw = begin_flood(&server);
    for (uint32_t id = 1; id <= 203; id += 2)
        cr_assert(raw_request(&raw, id, 0, NULL, NULL));
    int64_t code = raw_until_code(&raw); /* nghttp2 calls it a breach once its settings are acknowledged */
    cr_assert(code == NGHTTP2_REFUSED_STREAM || code == NGHTTP2_PROTOCOL_ERROR, "%lld", (long long)code);
    raw_frame(&raw, NGHTTP2_GOAWAY, 0, 0, eight, 8);
    send_number(other, 2);
    wait_messages(server_end(server, 0), 2);
    server_end(server, 100); /* 100 of them, and the other's */
    raw_close(&raw);
    server_close(server);
    other->stream->ops->cut(other->stream);
    server_wait_stopped(server);
    cr_assert_eq(server->count, 101);
    conclude();
}
