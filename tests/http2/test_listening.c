/* Listeners: one that cannot be watched, and one that closes while its last words are on their way. */
#include <config.h>

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "conformance/fixture.h"
#include "http2/loops.h"
#include "http2/raw.h"

Test(listening, a_door_that_cannot_be_watched_is_explained)
{
    static const struct listener_events none;
    static const char address[] = "http2+127.0.0.1:0";
    struct muster_error error = {MUSTER_OK, ""};
    struct listener *listener;
    uint16_t port;
    begin();
    watching_fails(ENOSPC);
    enum muster_status status = fixture.transport->ops->listen(fixture.transport, address, LIMIT, NULL, &none,
                                                               NULL, &listener, &port, &error);
    watching_fails(0);
    cr_assert_eq(status, MUSTER_UNAVAILABLE, "%s", muster_status_name(status));
    cr_assert_not_null(strstr(error.text, address), "%s", error.text);
    cr_assert_not_null(strstr(error.text, "max_user_watches"), "%s", error.text);
    conclude();
}

/* A client that has not read yet what it was sent, and hears it all: the message, the status, and the good-bye. */
Test(listening, last_words_that_are_on_their_way_arrive)
{
    enum { SIZE = 16 << 20, PREFIX = 5 }; /* more than what sockets hold */
    static const uint8_t window[] = {0, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0x7f, 0xff, 0xff, 0xff};
    char text[64];
    size_t came = 0;
    struct frame frame = {0};
    begin();
    struct server *server = server_start(NULL, LIMIT);
    struct raw raw = raw_connect(server->port);
    raw_write(&raw, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    raw_frame(&raw, NGHTTP2_SETTINGS, 0, 0, window, sizeof(window));
    raw_frame(&raw, NGHTTP2_WINDOW_UPDATE, 0, 0, (const uint8_t[]){0x7f, 0, 0, 0}, 4);
    raw_request(&raw, 1, 0, NULL, NULL);
    struct end *end = server_end(server, 0);
    send_body(end, SIZE, 1);
    end->stream->ops->close(end->stream, MUSTER_UNAVAILABLE, "the last word");
    server_close(server);
    raw_until_header(&raw, ":status", text, sizeof(text));
    while (frame.type != NGHTTP2_HEADERS) {
        cr_assert(raw_next(&raw, &frame), "the connection ended after %zu bytes", came);
        came += frame.type == NGHTTP2_DATA ? frame.size : 0;
    }
    cr_assert_eq(came, SIZE + PREFIX, "%zu", came);
    raw_header(&raw, &frame, "grpc-message", text, sizeof(text));
    cr_assert_str_eq(text, "the last word");
    cr_assert(raw_until(&raw, NGHTTP2_GOAWAY, &frame));
    raw_until_end(&raw);
    expect_closed(end, MUSTER_UNAVAILABLE, "the last word");
    server_wait_stopped(server);
    raw_close(&raw);
    conclude();
}
