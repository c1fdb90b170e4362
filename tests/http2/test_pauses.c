/* A process that stands still, or a loop that has others to serve, hears late what came in time: it is read before a limit
   of time is judged. */
#include <config.h>

#include <criterion/criterion.h>

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "conformance/fixture.h"
#include "http2/loops.h"
#include "http2/raw.h"

enum { PAUSE_MS = 600000, NEVER_MS = 10 * PAUSE_MS };

/* ---- frames that come in one piece ---- */

static uint8_t *put_frame(uint8_t *at, uint8_t type, uint8_t flags, const void *bytes, size_t size)
{
    const uint8_t head[9] = {0, (uint8_t)(size >> 8), (uint8_t)size, type, flags, 0, 0, 0, 1};
    memcpy(at, head, sizeof(head));
    if (size > 0)
        memcpy(at + sizeof(head), bytes, size);
    if (type == NGHTTP2_SETTINGS || type == NGHTTP2_PING)
        at[8] = 0; /* of the connection */
    return at + sizeof(head) + size;
}

static uint8_t *put_request(uint8_t *at)
{
    at = put_header(at, ":method", "POST");
    at = put_header(at, ":scheme", "http");
    at = put_header(at, ":path", "/First/Exchange");
    at = put_header(at, ":authority", "localhost");
    return put_header(at, "content-type", "application/grpc");
}

static const uint8_t eight[8];

/* ---- clients ---- */

Test(pauses, an_answer_to_a_ping_counts_whenever_it_is_read)
{
    const struct connection_options options = {.keepalive_time_ms = 1, .keepalive_timeout_ms = PAUSE_MS};
    uint16_t port;
    char address[ADDRESS_SIZE];
    uint8_t magic[NGHTTP2_CLIENT_MAGIC_LEN];
    struct frame frame;
    begin();
    int listener = raw_listen(&port);
    network_address("", port, address);
    struct end *client = client_connect_by(address, &options);
    struct raw raw = raw_accept(listener);
    raw_server_hello(&raw);
    for (size_t i = 0; i < sizeof(magic); i++)
        cr_assert_eq(read(raw.descriptor, magic + i, 1), 1);
    cr_assert(raw_until(&raw, NGHTTP2_PING, &frame));
    stand_still(PAUSE_MS);
    raw_frame(&raw, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, eight, sizeof(eight));
    cr_assert(raw_until(&raw, NGHTTP2_PING, &frame), "a connection that lives was ended");
    raw_close(&raw);
    wait_closed(client);
    close(listener);
    conclude();
}

/* ---- servers ---- */

static struct server *server;

static struct raw begin_server(const struct connection_options *options)
{
    struct frame frame;
    begin();
    server = server_start_limited(options, LIMIT);
    struct raw raw = raw_connect(server->port);
    cr_assert(raw_until(&raw, NGHTTP2_SETTINGS, &frame));
    return raw;
}

static void end_server(struct raw *raw)
{
    server_close(server);
    raw_close(raw);
    conclude();
}

/* A first word that has been heard. */
static void say_hello(struct raw *raw)
{
    struct frame frame;
    raw_hello(raw);
    cr_assert(raw_until(raw, NGHTTP2_SETTINGS, &frame));
}

Test(pauses, a_first_word_counts_whenever_it_is_read)
{
    const struct connection_options options = {
        .keepalive_time_ms = NEVER_MS, .keepalive_timeout_ms = NEVER_MS, .handshake_timeout_ms = PAUSE_MS};
    struct raw raw = begin_server(&options);
    uint8_t bytes[64];
    memcpy(bytes, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    uint8_t *end = put_frame(bytes + NGHTTP2_CLIENT_MAGIC_LEN, NGHTTP2_SETTINGS, 0, NULL, 0);
    stand_still(PAUSE_MS);
    raw_write(&raw, bytes, (size_t)(end - bytes));
    cr_assert(raw_request(&raw, 1, 0, NULL, NULL));
    server_end(server, 0);
    end_server(&raw);
}

Test(pauses, headers_that_end_count_whenever_they_are_read)
{
    const struct connection_options options = {
        .keepalive_time_ms = NEVER_MS, .keepalive_timeout_ms = NEVER_MS, .handshake_timeout_ms = PAUSE_MS};
    struct raw raw = begin_server(&options);
    struct frame frame;
    uint8_t block[512], bytes[1024], *end;
    size_t size = (size_t)(put_request(block) - block), half = size / 2;
    say_hello(&raw);
    end = put_frame(bytes, NGHTTP2_PING, 0, eight, sizeof(eight));
    end = put_frame(end, NGHTTP2_HEADERS, 0, block, half);
    raw_write(&raw, bytes, (size_t)(end - bytes));
    cr_assert(raw_until(&raw, NGHTTP2_PING, &frame));
    end = put_frame(bytes, NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, block + half, size - half);
    stand_still(PAUSE_MS);
    raw_write(&raw, bytes, (size_t)(end - bytes));
    server_end(server, 0);
    end_server(&raw);
}

Test(pauses, a_request_is_use_whenever_it_is_read)
{
    const struct connection_options options = {
        .keepalive_time_ms = NEVER_MS, .keepalive_timeout_ms = NEVER_MS, .idle_timeout_ms = PAUSE_MS};
    struct raw raw = begin_server(&options);
    uint8_t block[512], bytes[1024];
    size_t size = (size_t)(put_request(block) - block);
    say_hello(&raw);
    uint8_t *end = put_frame(bytes, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, block, size);
    stand_still(PAUSE_MS);
    raw_write(&raw, bytes, (size_t)(end - bytes));
    server_end(server, 0);
    end_server(&raw);
}

Test(pauses, a_message_goes_on_whenever_it_is_read)
{
    enum { PREFIX = 5, SIZE = 100000, SOME = 5000 };
    const struct connection_options options = {
        .keepalive_time_ms = NEVER_MS, .keepalive_timeout_ms = NEVER_MS, .stall_timeout_ms = PAUSE_MS};
    struct raw raw = begin_server(&options);
    struct buffer *body = make_body(SIZE, 1);
    uint8_t bytes[PREFIX + SOME + 9] = {0, 0, SIZE >> 16, SIZE >> 8 & 255, SIZE & 255};
    say_hello(&raw);
    raw_request(&raw, 1, 0, NULL, NULL);
    memcpy(bytes + PREFIX, body->data, SOME);
    raw_frame(&raw, NGHTTP2_DATA, 0, 1, bytes, PREFIX + SOME);
    struct end *end = server_end(server, 0);
    wait_begun(end, 1);
    stand_still(PAUSE_MS);
    for (size_t at = SOME; at < SIZE; at += SOME) {
        uint8_t *behind = put_frame(bytes, NGHTTP2_DATA, 0, body->data + at, SOME);
        raw_write(&raw, bytes, (size_t)(behind - bytes));
    }
    wait_messages(end, 1);
    cr_assert(is_body(end->messages[0].data, end->messages[0].size, SIZE, 1));
    muster__buffer_release(body);
    end_server(&raw);
}

static bool has_closed(const struct end *end)
{
    pthread_mutex_lock(&fixture.lock);
    bool closed = end->closed;
    pthread_mutex_unlock(&fixture.lock);
    return closed;
}

/* A byte that is read just when the timer rings is no reason to wait again and again. */
Test(pauses, a_message_that_is_hardly_fed_has_stalled)
{
    enum { PREFIX = 5, SIZE = 100000 };
    const struct connection_options options = {
        .keepalive_time_ms = NEVER_MS, .keepalive_timeout_ms = NEVER_MS, .stall_timeout_ms = PAUSE_MS};
    struct raw raw = begin_server(&options);
    uint8_t bytes[128] = {0, 0, SIZE >> 16, SIZE >> 8 & 255, SIZE & 255};
    struct frame frame;
    say_hello(&raw);
    raw_request(&raw, 1, 0, NULL, NULL);
    raw_frame(&raw, NGHTTP2_DATA, 0, 1, bytes, PREFIX + 1);
    struct end *end = server_end(server, 0);
    wait_begun(end, 1);
    uint8_t *behind = put_frame(bytes, NGHTTP2_DATA, 0, eight, 1);
    behind = put_frame(behind, NGHTTP2_PING, 0, eight, sizeof(eight));
    while (!has_closed(end)) {
        stand_still(PAUSE_MS);
        raw_write(&raw, bytes, (size_t)(behind - bytes));
        cr_assert(raw_until(&raw, NGHTTP2_PING, &frame), "its connection was ended, too");
    }
    expect_closed(end, MUSTER_GONE, NULL);
    end_server(&raw);
}
