/* The raw participants: many connections, with TLS or without, on one thread with one epoll loop. They answer as
   soon as an instruction is there, and have nothing else to do. */
#include <config.h>

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "bare.h"
#include "raw.h"
#include "role.h"

#define EVENTS     256
#define CONNECTING 128 /* at one time: more than other participants, so that the server always has some */
#define READ       (64 * 1024)

struct raw_connection {
    int descriptor;
    SSL *tls; /* NULL: without */
    bool greeted;
    bool admitted;
    uint8_t *rest; /* of what came: a frame that is not whole */
    size_t rest_size;
};

static struct {
    const struct raw_protocol *protocol;
    struct role_options options;
    SSL_CTX *tls;
    int epoll;
    int bell; /* ends the loop */
    pthread_t thread;
    struct raw_connection *all;
    size_t begun;
    uint8_t read[READ + READ];

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t all_admitted;
    size_t admitted;
} raw = {.lock = PTHREAD_MUTEX_INITIALIZER, .all_admitted = PTHREAD_COND_INITIALIZER};

/* ---- one connection ---- */

void raw_send(struct raw_connection *connection, const void *data, size_t size)
{
    struct iovec piece = {(void *)(uintptr_t)data, size};
    if (!connection->tls)
        bare_write(connection->descriptor, &piece, 1);
    else if (SSL_write(connection->tls, data, (int)size) != (int)size)
        role_fail("TLS does not take %zu bytes", size);
}

void raw_admitted(struct raw_connection *connection)
{
    if (connection->admitted)
        return;
    connection->admitted = true;
    pthread_mutex_lock(&raw.lock);
    bool last = ++raw.admitted == raw.options.participants;
    pthread_mutex_unlock(&raw.lock);
    if (last)
        pthread_cond_signal(&raw.all_admitted);
}

static void watch(int descriptor, void *owner)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = owner};
    if (epoll_ctl(raw.epoll, EPOLL_CTL_ADD, descriptor, &event) != 0)
        role_fail("a socket cannot be watched");
}

/* False: the peer has to do something first. */
static bool is_done(struct raw_connection *connection, int result)
{
    if (result <= 0 && SSL_get_error(connection->tls, result) != SSL_ERROR_WANT_READ)
        role_fail("TLS: %s", ERR_reason_error_string(ERR_peek_error()));
    return result > 0;
}

static void greet(struct raw_connection *connection)
{
    if (connection->tls && !is_done(connection, SSL_do_handshake(connection->tls)))
        return;
    connection->greeted = true;
    raw.protocol->hello(connection);
}

static void open_connection(struct raw_connection *connection)
{
    static const unsigned char alpn[] = "\2h2";
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(raw.options.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connection->descriptor = socket(AF_INET, SOCK_STREAM, 0);
    if (connection->descriptor < 0 ||
        connect(connection->descriptor, (struct sockaddr *)&address, sizeof(address)) != 0)
        role_fail("cannot connect: %s", strerror(errno));
    bare_prepare(connection->descriptor);
    watch(connection->descriptor, connection);
    if (raw.tls) {
        connection->tls = SSL_new(raw.tls);
        if (!connection->tls || !SSL_set_fd(connection->tls, connection->descriptor) ||
            SSL_set_alpn_protos(connection->tls, alpn, sizeof(alpn) - 1) != 0)
            role_fail("no TLS");
        SSL_set_connect_state(connection->tls);
    }
    greet(connection);
}

/* Takes what is whole of `size` bytes, and keeps the rest. */
static void take_frames(struct raw_connection *connection, const uint8_t *data, size_t size)
{
    size_t taken = 1;
    while (size > 0 && (taken = raw.protocol->take(connection, data, size)) > 0)
        data += taken, size -= taken;
    free(connection->rest);
    connection->rest = NULL;
    connection->rest_size = size;
    if (size > READ)
        role_fail("a frame is too big");
    if (size > 0) {
        connection->rest = role_allocate(1, size);
        memcpy(connection->rest, data, size);
    }
}

static bool read_some(struct raw_connection *connection, uint8_t *data, size_t *got)
{
    if (!connection->tls)
        return bare_read(connection->descriptor, data, READ, got);
    int came = SSL_read(connection->tls, data, READ);
    *got = came > 0 ? (size_t)came : 0;
    return is_done(connection, came);
}

static void serve(struct raw_connection *connection)
{
    size_t got = READ;
    if (!connection->greeted)
        greet(connection);
    /* Of TLS, a record comes at a time: there may be more. */
    while (connection->greeted && (got == READ || connection->tls)) {
        size_t kept = connection->rest_size;
        if (kept > 0)
            memcpy(raw.read, connection->rest, kept);
        if (!read_some(connection, raw.read + kept, &got))
            return;
        take_frames(connection, raw.read, kept + got);
    }
}

/* ---- all of them ---- */

static size_t count_admitted(void)
{
    pthread_mutex_lock(&raw.lock);
    size_t admitted = raw.admitted;
    pthread_mutex_unlock(&raw.lock);
    return admitted;
}

static void open_more(void)
{
    while (raw.begun < raw.options.participants && raw.begun < count_admitted() + CONNECTING)
        open_connection(&raw.all[raw.begun++]);
}

static void *run(void *unused)
{
    struct epoll_event events[EVENTS];
    for (;;) {
        open_more();
        int count = epoll_wait(raw.epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (!events[i].data.ptr)
                return unused;
            serve(events[i].data.ptr);
        }
    }
}

static void connect_all(const struct role_options *options, const struct raw_protocol *protocol)
{
    raw.options = *options;
    raw.protocol = protocol;
    raw.all = role_allocate(options->participants, sizeof(*raw.all));
    raw.epoll = epoll_create1(0);
    raw.bell = eventfd(0, 0);
    /* Nothing checks who the server is: that would only cost. */
    if (options->tls && !(raw.tls = SSL_CTX_new(TLS_client_method())))
        role_fail("no TLS");
    watch(raw.bell, NULL);
    if (pthread_create(&raw.thread, NULL, run, NULL) != 0)
        role_fail("cannot start a thread");
    pthread_mutex_lock(&raw.lock);
    while (raw.admitted < options->participants)
        pthread_cond_wait(&raw.all_admitted, &raw.lock);
    pthread_mutex_unlock(&raw.lock);
}

static void connect_tcp(const struct role_options *options)
{
    connect_all(options, &raw_tcp);
}

static void connect_http2(const struct role_options *options)
{
    connect_all(options, &raw_http2);
}

static void connect_muster(const struct role_options *options)
{
    connect_all(options, &raw_muster);
}

static void stop(void)
{
    uint64_t one = 1;
    if (write(raw.bell, &one, sizeof(one)) != sizeof(one))
        role_fail("the bell does not ring");
    pthread_join(raw.thread, NULL);
    for (size_t i = 0; i < raw.options.participants; i++) {
        SSL_free(raw.all[i].tls);
        close(raw.all[i].descriptor);
        free(raw.all[i].rest);
    }
    SSL_CTX_free(raw.tls);
    free(raw.all);
}

const struct role_participants raw_tcp_participants = {.connect = connect_tcp, .stop = stop};
const struct role_participants raw_http2_participants = {.connect = connect_http2, .stop = stop};
const struct role_participants raw_muster_participants = {.connect = connect_muster, .stop = stop};
