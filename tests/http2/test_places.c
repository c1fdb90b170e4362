/* Clients whose messages are read to their place: nothing else ever gets there. */
#include <config.h>

#include <criterion/criterion.h>

#include <string.h>

#include "conformance/fixture.h"
#include "http2/raw.h"

enum {
    PLACED_SIZE = 300000,
    PLACED_HEAD = 10,
    BEGUN = 5005, /* bytes of a stream that says it has no more, */
    BEYOND = 100000,
    ANSWER_SIZE = 16 << 20, /* more than what sockets hold */
};

static uint8_t place[PLACED_SIZE];
static struct end *first;

static bool give_place(struct end *end, size_t size, struct landing *landing)
{
    (void)end;
    *landing = (struct landing){.head = PLACED_HEAD, .place = place};
    return size == PLACED_SIZE;
}

/* The second stream's beginning takes the first one's place back. */
static void prepare(struct end *end)
{
    if (!first) {
        first = end;
        end->place = give_place;
        return;
    }
    first->stream->ops->displace(first->stream);
    memset(place, 0xa5, sizeof(place));
}

static void widen(struct raw *raw, uint32_t stream)
{
    static const uint8_t most[] = {0x7f, 0, 0, 0};
    cr_assert(raw_frame(raw, NGHTTP2_WINDOW_UPDATE, 0, stream, most, sizeof(most)));
}

/* The first request behind the client's word on the server's SETTINGS, of which one is a header table of no size. */
static void request_second(struct raw *raw)
{
    uint8_t block[256], *at = block;
    *at++ = 0x20;
    at = put_header(at, ":method", "POST");
    at = put_header(at, ":scheme", "http");
    at = put_header(at, ":path", "/First/Exchange");
    at = put_header(at, ":authority", "localhost");
    at = put_header(at, "content-type", "application/grpc");
    cr_assert(raw_frame(raw, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 3, block, (size_t)(at - block)));
}

/* nghttp2 drops the rest of such a frame without a word. The reset waits, as the client reads nothing. */
Test(places, what_follows_a_frame_that_is_dropped_is_not_read_there)
{
    static uint8_t bytes[BEYOND];
    static const uint8_t small[] = {0, 0, 0, 0, 3, 'a', 'b', 'c'};
    struct frame frame;
    begin();
    struct server *server = server_start_with(prepare);
    struct raw raw = raw_connect(server->port);
    raw_hello(&raw);
    raw_request(&raw, 1, 0, "content-length", "5005");
    bytes[1] = 0, bytes[2] = PLACED_SIZE >> 16, bytes[3] = PLACED_SIZE >> 8 & 255,
    bytes[4] = PLACED_SIZE & 255;
    cr_assert(raw_frame(&raw, NGHTTP2_DATA, 0, 1, bytes, BEGUN));
    wait_begun(server_end(server, 0), 1);
    cr_assert(raw_frame(&raw, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0)); /* frames may be big now */
    send_body(server_end(server, 0), ANSWER_SIZE, 1);
    widen(&raw, 0);
    widen(&raw, 1);
    for (size_t came = 0; came < 1 << 20; came += frame.size)
        cr_assert(raw_until(&raw, NGHTTP2_DATA, &frame));
    cr_assert(raw_frame(&raw, NGHTTP2_DATA, 0, 1, bytes, BEYOND));
    request_second(&raw);
    cr_assert(raw_frame(&raw, NGHTTP2_DATA, 0, 3, small, sizeof(small)));
    struct end *second = server_end(server, 1);
    wait_messages(second, 1);
    cr_assert_eq(second->messages[0].size, 3);
    cr_assert_eq(memcmp(second->messages[0].data, "abc", 3), 0);
    server_close(server);
    raw_close(&raw);
    conclude();
}
