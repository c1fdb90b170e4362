/* Clients that break the rules, and one's limits. */
#include <config.h>

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "conformance/fixture.h"
#include "http2/raw.h"

static struct connection_options options = {.keepalive_time_ms = KEEPALIVE_TIME_MS,
                                            .keepalive_timeout_ms = KEEPALIVE_TIMEOUT_MS};

static struct server *server;

static struct raw begin_raw(size_t limit)
{
    begin();
    server = server_start_limited(&options, limit);
    return raw_connect(server->port);
}

/* Sends a number, and waits until the server has it, or the stream ends. */
static bool is_served(struct end *end)
{
    static const uint8_t seven[4] = {7};
    bool served = false;
    end->stream->ops->send(end->stream, seven, sizeof(seven), NULL);
    pthread_mutex_lock(&fixture.lock);
    while (!served && !end->closed) {
        for (size_t i = 0; i < server->count; i++)
            served = served || (server->ends[i]->count > 0 && server->ends[i]->messages[0].size == 4 &&
                                server->ends[i]->messages[0].data[0] == 7);
        if (!served && !end->closed)
            pthread_cond_wait(&fixture.changed, &fixture.lock);
    }
    served = served && !end->closed;
    pthread_mutex_unlock(&fixture.lock);
    return served;
}

/* Another peer is served, and the listener stops. Where that has little time for a first word, such a peer may come too
   late with its own, and another tries. */
static void end_raw(struct raw *raw)
{
    while (!is_served(client_connect_with(server->address, NULL)))
        cr_assert_neq(options.handshake_timeout_ms, 0, "another peer was not served");
    server_close(server);
    raw_close(raw);
    conclude();
}

/* A message's prefix, and some of it. */
static void put_prefix(uint8_t *bytes, uint32_t size)
{
    const uint8_t prefix[5] = {0, (uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8),
                               (uint8_t)size};
    memcpy(bytes, prefix, sizeof(prefix));
}

static void expect_trailer(struct raw *raw, const char *name, const char *wanted)
{
    char value[200];
    raw_until_header(raw, name, value, sizeof(value));
    cr_assert_str_eq(value, wanted);
}

Test(clients, no_preface_ends_in_time)
{
    options.handshake_timeout_ms = 100;
    struct raw silent = begin_raw(LIMIT), half = raw_connect(server->port);
    raw_write(&half, NGHTTP2_CLIENT_MAGIC, 10);
    raw_until_end(&silent);
    raw_until_end(&half);
    raw_close(&half);
    end_raw(&silent);
    options.handshake_timeout_ms = 0;
}

Test(clients, of_half_open_ones_the_oldest_ends)
{
    enum { COUNT = 50 };
    options.max_half_open = 10;
    options.handshake_timeout_ms = 1000000; /* so that it is not time that ends them */
    struct raw first = begin_raw(LIMIT), others[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        others[i] = raw_connect(server->port);
    raw_until_end(&first);
    for (size_t i = 0; i + 10 < COUNT; i++)
        raw_until_end(&others[i]);
    raw_hello(&others[COUNT - 1]);
    struct frame frame;
    cr_assert(raw_until(&others[COUNT - 1], NGHTTP2_SETTINGS, &frame));
    for (size_t i = 0; i < COUNT; i++)
        raw_close(&others[i]);
    end_raw(&first);
}

Test(clients, garbage_is_let_go)
{
    struct raw raw = begin_raw(LIMIT);
    raw_write(&raw, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 36);
    raw_until_end(&raw);
    end_raw(&raw);
}

Test(clients, a_frame_bigger_than_allowed_is_a_breach)
{
    struct raw raw = begin_raw(LIMIT);
    raw_hello(&raw);
    raw_request(&raw, 1, 0, NULL, NULL);
    raw_write(&raw, "\xff\xff\xff\0\0\0\0\0\1", 9);
    cr_assert_eq(raw_until_code(&raw), NGHTTP2_FRAME_SIZE_ERROR);
    raw_until_end(&raw);
    end_raw(&raw);
}

Test(clients, headers_beyond_the_limit_are_refused)
{
    char value[121];
    uint8_t *block = malloc(200 * 200), *at = block;
    memset(value, 'v', 120);
    value[120] = '\0';
    struct raw raw = begin_raw(LIMIT);
    raw_hello(&raw);
    for (size_t i = 0; i < 120; i++)
        at = put_header(at, "x", value);
    raw_request(&raw, 1, 0, NULL, NULL);
    uint8_t first[1024], *end = first;
    end = put_header(end, ":method", "POST");
    end = put_header(end, ":scheme", "http");
    end = put_header(end, ":path", "/First/Exchange");
    raw_frame(&raw, NGHTTP2_HEADERS, 0, 3, first, (size_t)(end - first));
    raw_frame(&raw, NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 3, block, (size_t)(at - block));
    free(block);
    cr_assert_geq(raw_until_code(&raw), 0);
    server_end(server, 0);
    cr_assert_eq(server->count, 1);
    end_raw(&raw);
}

Test(clients, headers_that_do_not_end_are_not_waited_for)
{
    uint8_t block[64];
    options.handshake_timeout_ms = 100;
    options.keepalive_time_ms = 1000000; /* it is no ping that ends it */
    struct raw raw = begin_raw(LIMIT);
    raw_hello(&raw);
    size_t size = (size_t)(put_header(block, ":method", "POST") - block);
    raw_frame(&raw, NGHTTP2_HEADERS, 0, 1, block, size);
    raw_until_end(&raw);
    end_raw(&raw);
    options.handshake_timeout_ms = 0;
    options.keepalive_time_ms = KEEPALIVE_TIME_MS;
}

Test(clients, pseudo_headers_that_are_none_are_refused)
{
    struct raw raw = begin_raw(LIMIT);
    raw_hello(&raw);
    raw_request(&raw, 1, 0, ":nonsense", "1");
    cr_assert_eq(raw_until_code(&raw), NGHTTP2_PROTOCOL_ERROR);
    raw_request(&raw, 3, 0, "Upper", "1");
    cr_assert_eq(raw_until_code(&raw), NGHTTP2_PROTOCOL_ERROR);
    end_raw(&raw);
}

Test(clients, another_content_type_is_answered_with_415)
{
    struct raw raw = begin_raw(LIMIT);
    raw_hello(&raw);
    raw_request(&raw, 1, 0, "content-type", "text/html");
    expect_trailer(&raw, ":status", "415");
    end_raw(&raw);
}

Test(clients, a_deadline_ends_the_call)
{
    struct raw raw = begin_raw(LIMIT);
    raw_hello(&raw);
    raw_request(&raw, 1, 0, "grpc-timeout", "20m");
    expect_trailer(&raw, "grpc-status", "4");
    raw_request(&raw, 3, 0, "grpc-timeout", "soon");
    expect_trailer(&raw, "grpc-status", "13");
    end_raw(&raw);
}

Test(clients, a_message_that_is_announced_too_big_or_compressed_is_refused)
{
    uint8_t bytes[6] = {0};
    struct raw raw = begin_raw(1000);
    raw_hello(&raw);
    put_prefix(bytes, UINT32_MAX);
    raw_request(&raw, 1, 0, NULL, NULL);
    raw_frame(&raw, NGHTTP2_DATA, 0, 1, bytes, 6);
    expect_trailer(&raw, "grpc-status", "8");
    expect_closed(server_end(server, 0), MUSTER_TOO_BIG, "a message is bigger than the limit");
    put_prefix(bytes, 1);
    bytes[0] = 1;
    raw_request(&raw, 3, 0, NULL, NULL);
    raw_frame(&raw, NGHTTP2_DATA, 0, 3, bytes, 6);
    expect_trailer(&raw, "grpc-status", "13");
    expect_closed(server_end(server, 1), MUSTER_PROTOCOL,
                  "a message is marked as compressed, by nothing that was named");
    raw_request(&raw, 5, 0, "grpc-encoding", "gzip");
    raw_frame(&raw, NGHTTP2_DATA, 0, 5, bytes, 6);
    expect_trailer(&raw, "grpc-status", "12");
    expect_closed(server_end(server, 2), MUSTER_PROTOCOL,
                  "a message is compressed: compression has to be off");
    bytes[0] = 0; /* so far it is not, but asked for */
    raw_request(&raw, 7, 0, "grpc-encoding", "gzip");
    raw_frame(&raw, NGHTTP2_DATA, 0, 7, bytes, 6);
    expect_trailer(&raw, "grpc-status", "12");
    end_raw(&raw);
}

/* HTTP's receivers take away spaces at both ends of a value. */
Test(clients, what_a_value_cannot_hold_is_escaped_in_a_status_text)
{
    static const char *const texts[][2] = {
        {" a b ", "%20a b%20"}, {" ", "%20"}, {"100%", "100%25"}, {"caf\xc3\xa9\n", "caf%C3%A9%0A"}};
    struct raw raw = begin_raw(LIMIT);
    raw_hello(&raw);
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        raw_request(&raw, 2 * (uint32_t)i + 1, 0, NULL, NULL);
        struct end *end = server_end(server, i);
        end->stream->ops->close(end->stream, MUSTER_UNAVAILABLE, texts[i][0]);
        expect_trailer(&raw, "grpc-message", texts[i][1]);
    }
    end_raw(&raw);
}

Test(clients, messages_of_no_bytes_and_a_prefix_in_single_bytes_arrive)
{
    uint8_t bytes[8];
    struct raw raw = begin_raw(LIMIT);
    raw_hello(&raw);
    raw_request(&raw, 1, 0, NULL, NULL);
    put_prefix(bytes, 0);
    raw_frame(&raw, NGHTTP2_DATA, 0, 1, bytes, 5);
    put_prefix(bytes, 3);
    memcpy(bytes + 5, "abc", 3);
    for (size_t i = 0; i < 8; i++)
        raw_frame(&raw, NGHTTP2_DATA, 0, 1, bytes + i, 1);
    struct end *end = server_end(server, 0);
    wait_messages(end, 2);
    cr_assert_eq(end->messages[0].size, 0);
    cr_assert(end->messages[1].size == 3 && memcmp(end->messages[1].data, "abc", 3) == 0);
    end_raw(&raw);
}

/* Frames of two streams in turn, each with or without padding: what is read straight into a message. */
/* A message of four bytes. */
static void write_small(struct raw *raw, uint32_t stream)
{
    uint8_t bytes[9] = {0};
    put_prefix(bytes, 4);
    cr_assert(raw_frame(raw, NGHTTP2_DATA, 0, stream, bytes, sizeof(bytes)));
}

Test(clients, a_stream_beside_one_that_a_thread_tends_is_the_loops)
{
    struct raw raw = begin_raw(LIMIT);
    raw_hello(&raw);
    raw_request(&raw, 1, 0, NULL, NULL);
    write_small(&raw, 1);
    struct end *first = server_end(server, 0);
    const struct tending_ops *tending = first->stream->ops->tending;
    wait_messages(first, 1);
    cr_assert(tending->begin(first->stream));
    raw_request(&raw, 3, 0, NULL, NULL);
    write_small(&raw, 3);
    while (tending->wait(first->stream, INT64_MAX))
        ;
    tending->end(first->stream);
    write_small(&raw, 1);
    struct end *second = server_end(server, 1);
    wait_messages(second, 1);
    wait_messages(first, 2);
    cr_assert(!second->messages[0].tends && !first->messages[1].tends);
    cr_assert(!tending->begin(first->stream));
    end_raw(&raw);
}

Test(clients, big_messages_of_two_streams_are_not_mixed_up)
{
    enum { SIZE = 1500000, SOME = 16000 };
    struct raw raw = begin_raw(LIMIT);
    uint8_t *padded = calloc(1, SOME + 100);
    struct buffer *bodies[2];
    raw_hello(&raw);
    for (unsigned i = 0; i < 2; i++) {
        uint8_t prefix[5];
        bodies[i] = make_body(SIZE, i);
        raw_request(&raw, 2 * i + 1, 0, NULL, NULL);
        put_prefix(prefix, SIZE);
        raw_frame(&raw, NGHTTP2_DATA, 0, 2 * i + 1, prefix, 5);
    }
    for (size_t at = 0, turn = 0; at < SIZE; at += SOME, turn++) {
        size_t some = at + SOME < SIZE ? SOME : SIZE - at;
        for (unsigned i = 0; i < 2; i++) {
            bool pads = (turn + i) % 3 == 0;
            padded[0] = 99;
            memcpy(padded + 1, bodies[i]->data + at, some);
            memset(padded + 1 + some, 0, 99);
            cr_assert(pads ? raw_frame(&raw, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 2 * i + 1, padded, some + 100)
                           : raw_frame(&raw, NGHTTP2_DATA, 0, 2 * i + 1, bodies[i]->data + at, some));
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        struct end *end = server_end(server, i);
        wait_messages(end, 1);
        cr_assert(is_body(end->messages[0].data, end->messages[0].size, SIZE, i));
        muster__buffer_release(bodies[i]);
    }
    free(padded);
    end_raw(&raw);
}

/* ---- messages that are read to their place ---- */

enum { SOME = 5000, PLACED_SIZE = 300000, PLACED_HEAD = 10, MESSAGE_PREFIX_SIZE = 5, UNTOUCHED = 0xa5 };

static uint8_t place[PLACED_SIZE];

static bool give_place(struct end *end, size_t size, struct landing *landing)
{
    (void)end;
    *landing = (struct landing){.head = PLACED_HEAD, .place = place};
    return size == PLACED_SIZE;
}

static bool want_nothing(struct end *end, size_t size, struct landing *landing)
{
    (void)end;
    *landing = (struct landing){.head = PLACED_HEAD};
    return size == PLACED_SIZE;
}

static void prepare_place(struct end *end)
{
    end->place = give_place;
}

static void prepare_nothing(struct end *end)
{
    end->place = want_nothing;
}

/* A client that has begun a message. */
static struct raw begin_placed(void (*prepare)(struct end *end), const struct buffer *body)
{
    uint8_t bytes[MESSAGE_PREFIX_SIZE + SOME];
    begin();
    memset(place, UNTOUCHED, sizeof(place));
    server = server_start_with(prepare);
    struct raw raw = raw_connect(server->port);
    raw_hello(&raw);
    raw_request(&raw, 1, 0, NULL, NULL);
    put_prefix(bytes, PLACED_SIZE);
    memcpy(bytes + MESSAGE_PREFIX_SIZE, body->data, SOME);
    cr_assert(raw_frame(&raw, NGHTTP2_DATA, 0, 1, bytes, sizeof(bytes)));
    wait_begun(server_end(server, 0), 1);
    for (size_t at = SOME; at < PLACED_SIZE / 2; at += SOME)
        cr_assert(raw_frame(&raw, NGHTTP2_DATA, 0, 1, body->data + at, SOME));
    return raw;
}

/* And ends it, and sends a small one behind it. */
static void end_placed(struct raw *raw, const struct buffer *body)
{
    uint8_t bytes[8];
    for (size_t at = PLACED_SIZE / 2; at < PLACED_SIZE; at += SOME)
        cr_assert(raw_frame(raw, NGHTTP2_DATA, 0, 1, body->data + at, SOME));
    put_prefix(bytes, 3);
    memcpy(bytes + 5, "abc", 3);
    cr_assert(raw_frame(raw, NGHTTP2_DATA, 0, 1, bytes, sizeof(bytes)));
}

static void expect_small(const struct message *message)
{
    cr_assert(message->size == 3 && memcmp(message->data, "abc", 3) == 0);
}

Test(clients, a_big_message_is_read_to_its_place)
{
    struct buffer *body = make_body(PLACED_SIZE, 3);
    struct raw raw = begin_placed(prepare_place, body);
    struct end *end = server_end(server, 0);
    end_placed(&raw, body);
    wait_messages(end, 2);
    cr_assert(is_body(end->messages[0].data, end->messages[0].size, PLACED_SIZE, 3));
    cr_assert_eq(memcmp(place, body->data + PLACED_HEAD, PLACED_SIZE - PLACED_HEAD), 0);
    cr_assert_eq(place[PLACED_SIZE - PLACED_HEAD], UNTOUCHED);
    expect_small(&end->messages[1]);
    muster__buffer_release(body);
    end_raw(&raw);
}

/* The owner wants the memory back before the message is whole: from then on it is the owner's alone. */
Test(clients, a_place_that_is_taken_back_is_not_written_to)
{
    struct buffer *body = make_body(PLACED_SIZE, 3);
    struct raw raw = begin_placed(prepare_place, body);
    struct end *end = server_end(server, 0);
    end->stream->ops->displace(end->stream);
    memset(place, UNTOUCHED, sizeof(place));
    end_placed(&raw, body);
    wait_messages(end, 1);
    expect_small(&end->messages[0]);
    for (size_t i = 0; i < sizeof(place); i++)
        cr_assert_eq(place[i], UNTOUCHED);
    muster__buffer_release(body);
    end_raw(&raw);
}

Test(clients, a_message_that_nobody_wants_goes_by)
{
    struct buffer *body = make_body(PLACED_SIZE, 3);
    struct raw raw = begin_placed(prepare_nothing, body);
    struct end *end = server_end(server, 0);
    end_placed(&raw, body);
    wait_messages(end, 1);
    expect_small(&end->messages[0]);
    muster__buffer_release(body);
    end_raw(&raw);
}

/* ---- limits ---- */

/* The server's window is used up by bytes that end in the middle of a message. */
Test(clients, a_message_that_stalls_ends_its_stream)
{
    uint8_t bytes[1000] = {0};
    options.stall_timeout_ms = 100;
    struct raw raw = begin_raw(LIMIT);
    raw_hello(&raw);
    raw_request(&raw, 1, 0, NULL, NULL);
    put_prefix(bytes, 1000000);
    raw_frame(&raw, NGHTTP2_DATA, 0, 1, bytes, sizeof(bytes));
    expect_trailer(&raw, "grpc-status", "14");
    end_raw(&raw);
}

Test(clients, memory_that_strangers_use_up_is_not_given_to_more_of_them)
{
    uint8_t bytes[10000] = {0};
    options.memory = 20000;
    options.memory_per_peer = 1 << 20;
    struct raw raw = begin_raw(LIMIT);
    raw_hello(&raw);
    put_prefix(bytes, 1000000);
    for (uint32_t id = 1; id <= 7; id += 2) {
        raw_request(&raw, id, 0, NULL, NULL);
        raw_frame(&raw, NGHTTP2_DATA, 0, id, bytes, sizeof(bytes));
    }
    cr_assert_eq(raw_until_code(&raw), NGHTTP2_ENHANCE_YOUR_CALM);
    end_raw(&raw);
}

/* A window of none, and nothing is read: what the server has for it neither keeps it from closing nor from
   cutting. */
Test(clients, who_reads_nothing_does_not_keep_the_listener)
{
    const uint8_t none[6] = {0, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0, 0, 0, 0};
    struct raw raw = begin_raw(LIMIT), other = raw_connect(server->port);
    raw_write(&raw, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    raw_frame(&raw, NGHTTP2_SETTINGS, 0, 0, none, sizeof(none));
    raw_request(&raw, 1, 0, NULL, NULL);
    struct end *end = server_end(server, 0);
    send_body(end, 4 << 20, 1);
    end->stream->ops->close(end->stream, MUSTER_OK, "");
    raw_hello(&other);
    raw_frame(&other, NGHTTP2_WINDOW_UPDATE, 0, 0, (const uint8_t[]){0x7f, 0, 0, 0}, 4);
    raw_request(&other, 1, 0, NULL, NULL);
    raw_frame(&other, NGHTTP2_WINDOW_UPDATE, 0, 1, (const uint8_t[]){0x7f, 0, 0, 0}, 4);
    struct end *second = server_end(server, 1);
    send_body(second, 40 << 20, 2); /* more than any socket takes */
    second->stream->ops->close(second->stream, MUSTER_OK, "");
    server_close(server);
    fixture.transport->ops->cut_listener(server->listener);
    expect_closed(end, MUSTER_OK, NULL);
    expect_closed(second, MUSTER_OK, NULL);
    server_wait_stopped(server);
    raw_close(&other);
    raw_close(&raw);
    conclude();
}
