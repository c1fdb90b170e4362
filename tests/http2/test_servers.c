/* Servers that are none, or break the rules: the client's stream ends with a status that says what was. */
#include <config.h>

#include <criterion/criterion.h>

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conformance/fixture.h"
#include "http2/raw.h"

static int listener;
static struct end *client;
static char address[ADDRESS_SIZE]; /* that it was given */

static struct raw begin_client(void)
{
    uint16_t port;
    begin();
    listener = raw_listen(&port);
    network_address("", port, address);
    client = client_connect(address, LIMIT);
    return raw_accept(listener);
}

/* And its request has come. */
static struct raw begin_answered(void)
{
    struct raw raw = begin_client();
    struct frame frame;
    uint8_t magic[NGHTTP2_CLIENT_MAGIC_LEN];
    raw_server_hello(&raw);
    for (size_t i = 0; i < sizeof(magic); i++)
        cr_assert_eq(read(raw.descriptor, magic + i, 1), 1);
    cr_assert(raw_until(&raw, NGHTTP2_HEADERS, &frame));
    return raw;
}

static void end_client(struct raw *raw, enum muster_status status)
{
    expect_closed(client, status, NULL);
    raw_close(raw);
    close(listener);
    conclude();
}

static void answer(struct raw *raw, uint8_t flags, const char *status, const char *type, const char *code)
{
    uint8_t block[512], *at = put_header(block, ":status", status);
    if (type)
        at = put_header(at, "content-type", type);
    if (code)
        at = put_header(at, "grpc-status", code);
    raw_frame(raw, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | flags, 1, block, (size_t)(at - block));
}

/* A host of two addresses, and one that is looked up for as long as the test likes. */
#define TWO  "two.test"
#define SLOW "slow.test"

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned begun;
    bool go_on;
} slow = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static int look_up_slowly(void)
{
    pthread_mutex_lock(&slow.lock);
    slow.begun++;
    pthread_cond_broadcast(&slow.changed);
    while (!slow.go_on)
        pthread_cond_wait(&slow.changed, &slow.lock);
    pthread_mutex_unlock(&slow.lock);
    return EAI_NONAME;
}

int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **found);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **found);

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **found)
{
    if (host && strcmp(host, SLOW) == 0 && !(hints->ai_flags & AI_NUMERICHOST))
        return look_up_slowly();
    if (!host || strcmp(host, TWO) != 0)
        return __real_getaddrinfo(host, port, hints, found);
    cr_assert_eq(__real_getaddrinfo("127.0.0.2", port, hints, found), 0);
    cr_assert_eq(__real_getaddrinfo("127.0.0.1", port, hints, &(*found)->ai_next), 0);
    return 0;
}

/* Nobody accepts what waits there already, so that the system does not answer who comes next. */
static int listen_silently(uint16_t port, int *waiting)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
    int silent = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(silent, (struct sockaddr *)&name, sizeof(name)), 0);
    cr_assert_eq(listen(silent, 0), 0);
    *waiting = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(*waiting, (struct sockaddr *)&name, sizeof(name)), 0);
    return silent;
}

Test(servers, the_only_address_has_a_limit_of_time)
{
    const struct connection_options options = {
        .keepalive_time_ms = 600000, .keepalive_timeout_ms = 600000, .handshake_timeout_ms = 100};
    uint16_t port;
    begin();
    listener = raw_listen(&port);
    network_address("", port, address);
    expect_closed(client_connect_by(address, &options), MUSTER_UNAVAILABLE, NULL);
    close(listener);
    conclude();
}

Test(servers, a_silent_address_is_left_for_the_next)
{
    const struct connection_options options = {
        .keepalive_time_ms = 600000, .keepalive_timeout_ms = 600000, .handshake_timeout_ms = 12000};
    int waiting;
    begin();
    struct server *server = server_start(NULL, LIMIT);
    int silent = listen_silently(server->port, &waiting);
    snprintf(address, sizeof(address), "http2+" TWO ":%u", server->port);
    client = client_connect_by(address, &options);
    send_number(server_end(server, 0), 1);
    wait_messages(client, 1);
    close(waiting);
    close(silent);
    conclude();
}

/* Of a server's host by that name. */
static void expect_service(struct server *server, size_t before, const char *host)
{
    snprintf(address, sizeof(address), "http2+%s:%u", host, server->port);
    client = client_connect(address, LIMIT);
    send_number(server_end(server, before), 1);
    wait_messages(client, 1);
}

/* Lookups of which some are under way, and one is not: nobody's end waits for them. */
Test(servers, a_name_that_nobody_wants_any_more_is_not_waited_for)
{
    enum { THREADS = 4 };
    struct end *clients[THREADS + 1];
    begin();
    struct server *server = server_start(NULL, LIMIT);
    for (size_t i = 0; i <= THREADS; i++)
        clients[i] = client_connect("http2+" SLOW ":1", LIMIT);
    pthread_mutex_lock(&slow.lock);
    while (slow.begun < THREADS)
        pthread_cond_wait(&slow.changed, &slow.lock);
    pthread_mutex_unlock(&slow.lock);
    for (size_t i = 0; i <= THREADS; i++)
        clients[i]->stream->ops->cut(clients[i]->stream);
    for (size_t i = 0; i <= THREADS; i++)
        expect_closed(clients[i], MUSTER_CANCELLED, NULL);
    for (size_t i = 0; i < 2; i++) /* both loops have done with them */
        expect_service(server, i, "127.0.0.1");
    pthread_mutex_lock(&slow.lock);
    slow.go_on = true;
    pthread_cond_broadcast(&slow.changed);
    pthread_mutex_unlock(&slow.lock);
    expect_service(server, 2, "localhost");
    pthread_mutex_lock(&slow.lock);
    cr_assert_eq(slow.begun, THREADS);
    pthread_mutex_unlock(&slow.lock);
    conclude();
}

Test(servers, http_1)
{
    struct raw raw = begin_client();
    static const char text[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    raw_write(&raw, text, sizeof(text) - 1);
    expect_closed(client, MUSTER_UNAVAILABLE,
                  "what answers there is not an HTTP/2 server (is it the right port?)");
    end_client(&raw, MUSTER_UNAVAILABLE);
}

Test(servers, an_end_before_a_word)
{
    struct raw raw = begin_client();
    shutdown(raw.descriptor, SHUT_RDWR);
    end_client(&raw, MUSTER_UNAVAILABLE);
}

/* The server's last word is there, and its connection is gone, before the client's loop has read it: that the client's
   owner cannot write any more does not hide it. */
Test(servers, a_last_word_counts_where_nothing_can_be_written_any_more)
{
    struct raw raw = begin_answered();
    answer(&raw, 0, "200", "application/grpc", NULL);
    raw_last_words(&raw, client);
    expect_closed(client, MUSTER_OK, "");
    close(listener);
    conclude();
}

Test(servers, garbage_in_the_middle)
{
    struct raw raw = begin_answered();
    raw_write(&raw, "\0\0\1\6\0\0\0\0\0x", 10); /* a ping of one byte */
    end_client(&raw, MUSTER_UNAVAILABLE);
}

static void expect_no_grpc(enum muster_status status)
{
    char text[200];
    snprintf(text, sizeof(text), "what answers at %s is not a gRPC server (is it the right port?)",
             address + strlen("http2+"));
    expect_closed(client, status, text);
}

Test(servers, http_statuses_are_mapped)
{
    static const struct {
        const char *http;
        enum muster_status status;
    } all[] = {{"401", MUSTER_UNAUTHENTICATED}, {"404", MUSTER_UNSUPPORTED}, {"503", MUSTER_UNAVAILABLE}};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        struct raw raw = begin_answered();
        answer(&raw, 0, all[i].http, "text/html", NULL);
        raw_frame(&raw, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "<html>sorry</html>", 18);
        expect_no_grpc(all[i].status);
        cr_assert_eq(client->count, 0);
        end_client(&raw, all[i].status);
    }
}

Test(servers, a_page_is_no_message)
{
    struct raw raw = begin_answered();
    answer(&raw, 0, "200", "text/html", NULL);
    raw_frame(&raw, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "\0\0\0\0\1x", 6);
    expect_no_grpc(MUSTER_UNAVAILABLE);
    cr_assert_eq(client->count, 0);
    end_client(&raw, MUSTER_UNAVAILABLE);
}

Test(servers, no_trailers)
{
    struct raw raw = begin_answered();
    answer(&raw, 0, "200", "application/grpc", NULL);
    raw_frame(&raw, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "\0\0\0\0\1x", 6);
    wait_closed(client);
    cr_assert_eq(client->count, 1);
    cr_assert_neq(client->status, MUSTER_OK);
    end_client(&raw, client->status);
}

Test(servers, a_status_text_is_read_without_its_escapes)
{
    struct raw raw = begin_answered();
    uint8_t block[512], *at = put_header(block, ":status", "200");
    at = put_header(at, "content-type", "application/grpc");
    at = put_header(at, "grpc-status", "14");
    at = put_header(at, "grpc-message", "%20caf%c3%A9%20%zz%00%4");
    raw_frame(&raw, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1, block,
              (size_t)(at - block));
    expect_closed(client, MUSTER_UNAVAILABLE, " caf\xc3\xa9 %zz%00%4");
    end_client(&raw, MUSTER_UNAVAILABLE);
}

static void answer_compressed(struct raw *raw, const char *encoding)
{
    uint8_t block[512], *at = put_header(block, ":status", "200");
    at = put_header(at, "content-type", "application/grpc");
    at = put_header(at, "grpc-encoding", encoding);
    raw_frame(raw, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, block, (size_t)(at - block));
    raw_frame(raw, NGHTTP2_DATA, 0, 1, "\1\0\0\0\1x", 6);
}

Test(servers, a_compressed_message_is_refused)
{
    struct raw raw = begin_answered();
    answer_compressed(&raw, "gzip");
    expect_closed(client, MUSTER_PROTOCOL, "a message is compressed: compression has to be off");
    cr_assert_eq(raw_until_code(&raw), NGHTTP2_CANCEL);
    end_client(&raw, MUSTER_PROTOCOL);
    raw = begin_answered();
    answer_compressed(&raw, "identity");
    expect_closed(client, MUSTER_PROTOCOL, "a message is marked as compressed, by nothing that was named");
    end_client(&raw, MUSTER_PROTOCOL);
}

/* As the page "gRPC over HTTP/2" says. */
Test(servers, resets_are_mapped)
{
    static const struct {
        uint8_t code;
        enum muster_status status;
    } all[] = {{NGHTTP2_REFUSED_STREAM, MUSTER_UNAVAILABLE}, {NGHTTP2_CANCEL, MUSTER_CANCELLED}};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        struct raw raw = begin_answered();
        raw_frame(&raw, NGHTTP2_RST_STREAM, 0, 1, (const uint8_t[]){0, 0, 0, all[i].code}, 4);
        end_client(&raw, all[i].status);
    }
}

Test(servers, a_goodbye_in_the_middle_lets_the_stream_go_on)
{
    struct raw raw = begin_answered();
    raw_frame(&raw, NGHTTP2_GOAWAY, 0, 0, (const uint8_t[]){0, 0, 0, 1, 0, 0, 0, 0}, 8);
    answer(&raw, 0, "200", "application/grpc", NULL);
    raw_frame(&raw, NGHTTP2_DATA, 0, 1, "\0\0\0\0\1x", 6);
    wait_messages(client, 1);
    uint8_t block[64];
    size_t size = (size_t)(put_header(block, "grpc-status", "0") - block);
    raw_frame(&raw, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1, block, size);
    end_client(&raw, MUSTER_OK);
}

Test(servers, a_goodbye_to_the_stream_ends_it)
{
    struct raw raw = begin_answered();
    raw_frame(&raw, NGHTTP2_GOAWAY, 0, 0, (const uint8_t[]){0, 0, 0, 0, 0, 0, 0, 0}, 8);
    end_client(&raw, MUSTER_UNAVAILABLE);
}

Test(servers, a_flood_is_ended)
{
    struct raw raw = begin_answered();
    bool taken = true;
    for (size_t i = 0; i < 1000000 && taken; i++)
        taken = raw_frame(&raw, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    cr_assert(!taken);
    end_client(&raw, MUSTER_UNAVAILABLE);
}
