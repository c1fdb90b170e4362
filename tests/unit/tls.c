/* Two ends of a socket with TLS, in one thread: what one has written is there when the other reads. */
#include <config.h>

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#include "unit/tls.h"

static void connect_ends(struct pair *pair)
{
    int descriptors[2];
    *pair = (struct pair){0};
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, descriptors), 0);
    pair->server.descriptor = descriptors[0];
    pair->client.descriptor = descriptors[1];
}

static void begin_server(struct pair *pair, struct shows server)
{
    struct muster_error error;
    pair->server_files = load_tls_files(OF_SERVER, server.certificate, server.ca);
    pair->listener = muster__tls_server_new(pair->server_files, &error);
    cr_assert_not_null(pair->listener, "%s", error.text);
    pair->server.tls = muster__tls_accept(pair->listener, pair->server.descriptor);
    cr_assert_not_null(pair->server.tls);
}

static void begin_client(struct pair *pair, struct shows client, const char *host)
{
    struct muster_error error;
    pair->client_files = load_tls_files(OF_PARTICIPANT, client.certificate, client.ca);
    struct keys *keys = muster__credentials_keys(pair->client_files);
    pair->client.tls = muster__tls_connect(keys, host, pair->client.descriptor, &error);
    muster__keys_release(keys);
    cr_assert_not_null(pair->client.tls, "%s", error.text);
}

void pair_open(struct pair *pair, struct shows server, struct shows client, const char *host)
{
    connect_ends(pair);
    begin_server(pair, server);
    begin_client(pair, client, host);
}

void pair_open_server(struct pair *pair, struct shows server)
{
    connect_ends(pair);
    begin_server(pair, server);
}

void pair_open_client(struct pair *pair, struct shows client, const char *host)
{
    connect_ends(pair);
    begin_client(pair, client, host);
}

void pair_open_raw_client(struct pair *pair)
{
    pair_open_server(pair, (struct shows){"server", NULL});
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    pair->client.raw = SSL_new(context);
    SSL_CTX_free(context);
    SSL_set_fd(pair->client.raw, pair->client.descriptor);
    SSL_set_connect_state(pair->client.raw);
}

void pair_open_raw_server(struct pair *pair)
{
    pair_open_client(pair, (struct shows){NULL, "ca"}, "localhost");
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    cr_assert_eq(SSL_CTX_use_certificate_file(context, tls_file("server", ".pem"), SSL_FILETYPE_PEM), 1);
    cr_assert_eq(SSL_CTX_use_PrivateKey_file(context, tls_file("server", ".key"), SSL_FILETYPE_PEM), 1);
    pair->server.raw = SSL_new(context);
    SSL_CTX_free(context);
    SSL_set_fd(pair->server.raw, pair->server.descriptor);
    SSL_set_accept_state(pair->server.raw);
}

static void end_close(struct end *end)
{
    muster__tls_free(end->tls);
    SSL_free(end->raw);
    if (end->descriptor >= 0)
        close(end->descriptor);
}

void pair_close(struct pair *pair)
{
    end_close(&pair->server);
    end_close(&pair->client);
    muster__tls_server_free(pair->listener);
    muster__credentials_free(pair->server_files);
    muster__credentials_free(pair->client_files);
}

static enum tls_result go_on_raw(struct end *end)
{
    ERR_clear_error();
    int result = SSL_do_handshake(end->raw);
    int error = SSL_get_error(end->raw, result);
    end->reason = ERR_GET_REASON(ERR_peek_error());
    ERR_clear_error();
    return result == 1                     ? TLS_DONE
           : error == SSL_ERROR_WANT_READ  ? TLS_WANTS_READ
           : error == SSL_ERROR_WANT_WRITE ? TLS_WANTS_WRITE
                                           : TLS_FAILED;
}

/* False: it is done, or there is none. */
static bool go_on(struct end *end)
{
    if ((!end->tls && !end->raw) || end->result == TLS_DONE || end->result == TLS_FAILED)
        return false;
    end->result = end->tls ? muster__tls_handshake(end->tls) : go_on_raw(end);
    cr_assert_eq(ERR_peek_error(), 0);
    if (end->result == TLS_FAILED)
        shutdown(end->descriptor, SHUT_WR);
    return true;
}

void pair_meet(struct pair *pair)
{
    pair->server.result = pair->client.result = TLS_WANTS_WRITE;
    for (int i = 0; i < 1000; i++) {
        bool client = go_on(&pair->client), server = go_on(&pair->server);
        if (!client && !server)
            return;
    }
    cr_assert(false, "the handshake has no end");
}

void pair_agree(struct pair *pair)
{
    pair_meet(pair);
    bool refused;
    cr_assert_eq(pair->client.result, TLS_DONE, "%s",
                 pair->client.tls ? muster__tls_failure(pair->client.tls, &refused) : "");
    cr_assert_eq(pair->server.result, TLS_DONE, "%s",
                 pair->server.tls ? muster__tls_failure(pair->server.tls, &refused) : "");
}

void expect_failure(const struct end *end, bool refused, const char *text)
{
    bool was_refused;
    const char *failure = muster__tls_failure(end->tls, &was_refused);
    cr_assert_not_null(strstr(failure, text), "'%s' is not in: %s", text, failure);
    cr_assert_eq(was_refused, refused, "%s", failure);
    cr_assert_eq(ERR_peek_error(), 0);
}

static ssize_t put(struct end *end, const void *data, size_t size)
{
    size_t written;
    const struct iovec piece = {(void *)(uintptr_t)data, size};
    if (end->tls)
        return muster__tls_writev(end->tls, &piece, 1);
    return SSL_write_ex(end->raw, data, size, &written) == 1 ? (ssize_t)written : -1;
}

static ssize_t take(struct end *end, void *data, size_t size)
{
    size_t taken;
    const struct iovec piece = {data, size};
    if (end->tls)
        return muster__tls_readv(end->tls, &piece, 1);
    return SSL_read_ex(end->raw, data, size, &taken) == 1 ? (ssize_t)taken : -1;
}

void expect_passage(struct end *from, struct end *to, const char *text)
{
    char read[256];
    cr_assert_eq(put(from, text, strlen(text)), (ssize_t)strlen(text));
    cr_assert_eq(take(to, read, sizeof(read)), (ssize_t)strlen(text), "%s", strerror(errno));
    cr_assert_eq(memcmp(read, text, strlen(text)), 0);
    cr_assert_eq(ERR_peek_error(), 0);
}
