/* A peer that writes HTTP/2 by hand. */
#include <config.h>

#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conformance/fixture.h"
#include "http2/raw.h"

static struct raw raw_of(int descriptor)
{
    const int yes = 1;
    struct raw raw = {.descriptor = descriptor};
    cr_assert_geq(descriptor, 0);
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    cr_assert_eq(nghttp2_hd_inflate_new(&raw.inflater), 0);
    return raw;
}

struct raw raw_connect(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(descriptor, (struct sockaddr *)&address, sizeof(address)), 0);
    return raw_of(descriptor);
}

int raw_listen(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, size), 0);
    cr_assert_eq(listen(listener, 5), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    *port = ntohs(address.sin_port);
    return listener;
}

struct raw raw_accept(int listener)
{
    return raw_of(accept(listener, NULL, NULL));
}

bool raw_agree(struct raw *raw, SSL *tls)
{
    raw->tls = tls;
    cr_assert_eq(SSL_set_fd(tls, raw->descriptor), 1);
    return SSL_do_handshake(tls) == 1;
}

void raw_close(struct raw *raw)
{
    SSL_free(raw->tls);
    nghttp2_hd_inflate_del(raw->inflater);
    close(raw->descriptor);
}

static sem_t reached, goes_on;

static void wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        ;
}

static void stop_in_the_middle(struct end *end, const uint8_t *data, size_t size)
{
    (void)end, (void)data, (void)size;
    sem_post(&reached);
    wait_for(&goes_on);
}

void raw_last_words(struct raw *raw, struct end *client)
{
    const struct linger at_once = {.l_onoff = 1};
    uint8_t block[64], *at = put_header(block, "grpc-status", "0");
    sem_init(&reached, 0, 0);
    sem_init(&goes_on, 0, 0);
    pthread_mutex_lock(&fixture.lock);
    client->react = stop_in_the_middle; /* nothing has come yet */
    pthread_mutex_unlock(&fixture.lock);
    raw_frame(raw, NGHTTP2_DATA, 0, 1, "\0\0\0\0\1x", 6);
    wait_for(&reached);
    raw_frame(raw, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1, block,
              (size_t)(at - block));
    setsockopt(raw->descriptor, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    raw_close(raw);
    for (unsigned i = 0; i < 3; i++)
        send_number(client, i);
    sem_post(&goes_on);
}

/* ---- writing ---- */

static ssize_t write_some(struct raw *raw, const void *bytes, size_t size)
{
    return raw->tls ? SSL_write(raw->tls, bytes, (int)size)
                    : send(raw->descriptor, bytes, size, MSG_NOSIGNAL);
}

static ssize_t read_some(struct raw *raw, void *bytes, size_t size)
{
    return raw->tls ? SSL_read(raw->tls, bytes, (int)size) : recv(raw->descriptor, bytes, size, 0);
}

bool raw_write(struct raw *raw, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    while (size > 0) {
        ssize_t some = write_some(raw, at, size);
        if (some <= 0)
            return false;
        at += some;
        size -= (size_t)some;
    }
    return true;
}

bool raw_frame(struct raw *raw, uint8_t type, uint8_t flags, uint32_t stream, const void *bytes, size_t size)
{
    const uint8_t head[9] = {
        (uint8_t)(size >> 16),   (uint8_t)(size >> 8),    (uint8_t)size,          type,           flags,
        (uint8_t)(stream >> 24), (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
    return raw_write(raw, head, sizeof(head)) && raw_write(raw, bytes, size);
}

void raw_hello(struct raw *raw)
{
    raw_write(raw, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    raw_frame(raw, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
}

void raw_server_hello(struct raw *raw)
{
    raw_frame(raw, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
}

uint8_t *put_header(uint8_t *at, const char *name, const char *value)
{
    size_t name_size = strlen(name), value_size = strlen(value);
    cr_assert(name_size < 127 && value_size < 127);
    *at++ = 0; /* never indexed, with a name of its own */
    *at++ = (uint8_t)name_size;
    memcpy(at, name, name_size);
    at += name_size;
    *at++ = (uint8_t)value_size;
    memcpy(at, value, value_size);
    return at + value_size;
}

bool raw_request(struct raw *raw, uint32_t stream, uint8_t flags, const char *name, const char *value)
{
    uint8_t block[1024], *at = block;
    at = put_header(at, ":method", "POST");
    at = put_header(at, ":scheme", "http");
    at = put_header(at, ":path", "/First/Exchange");
    at = put_header(at, ":authority", "localhost");
    if (!name || strcmp(name, "content-type") != 0)
        at = put_header(at, "content-type", "application/grpc");
    at = put_header(at, "te", "trailers");
    if (name)
        at = put_header(at, name, value);
    return raw_frame(raw, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | flags, stream, block,
                     (size_t)(at - block));
}

/* ---- reading ---- */

static bool read_all(struct raw *raw, uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t some = read_some(raw, bytes, size);
        if (some <= 0)
            return false;
        bytes += some;
        size -= (size_t)some;
    }
    return true;
}

bool raw_next(struct raw *raw, struct frame *frame)
{
    static uint8_t bytes[FRAME_MAX];
    uint8_t head[9];
    if (!read_all(raw, head, sizeof(head)))
        return false;
    frame->size = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
    frame->type = head[3];
    frame->flags = head[4];
    frame->stream = (uint32_t)head[5] << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 | head[8];
    frame->bytes = bytes;
    cr_assert_leq(frame->size, sizeof(bytes));
    return read_all(raw, bytes, frame->size);
}

bool raw_until(struct raw *raw, uint8_t type, struct frame *frame)
{
    while (raw_next(raw, frame)) {
        if (frame->type == type)
            return true;
    }
    return false;
}

void raw_until_end(struct raw *raw)
{
    uint8_t bytes[4096];
    while (read_some(raw, bytes, sizeof(bytes)) > 0)
        ;
}

static uint32_t number_at(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

int64_t raw_until_code(struct raw *raw)
{
    struct frame frame;
    while (raw_next(raw, &frame)) {
        if (frame.type == NGHTTP2_RST_STREAM)
            return number_at(frame.bytes);
        if (frame.type == NGHTTP2_GOAWAY)
            return number_at(frame.bytes + 4);
    }
    return -1;
}

void raw_header(struct raw *raw, const struct frame *frame, const char *name, char *value, size_t size)
{
    uint8_t *bytes = frame->bytes;
    size_t left = frame->size;
    int flags = 0;
    *value = '\0';
    while (!(flags & NGHTTP2_HD_INFLATE_FINAL)) {
        nghttp2_nv header;
        ssize_t taken = nghttp2_hd_inflate_hd2(raw->inflater, &header, &flags, bytes, left, 1);
        cr_assert_geq(taken, 0);
        bytes += taken;
        left -= (size_t)taken;
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) && strcmp((const char *)header.name, name) == 0)
            snprintf(value, size, "%s", (const char *)header.value);
    }
    nghttp2_hd_inflate_end_headers(raw->inflater);
}

void raw_until_header(struct raw *raw, const char *name, char *value, size_t size)
{
    struct frame frame;
    cr_assert(raw_until(raw, NGHTTP2_HEADERS, &frame), "the connection ended");
    raw_header(raw, &frame, name, value, size);
}
