/* TLS of the HTTP/2 transport: handshakes that fail, and what either side is told of that. */
#include <config.h>

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#include "unit/tls.h"

#define TLS_TEST(name) Test(tls_failures, name, .init = make_tls_files, .fini = remove_tls_files)

static const struct shows server_shows = {"server", NULL}, client_shows = {NULL, "ca"};

static void expect_both_failed(struct pair *pair)
{
    pair_meet(pair);
    cr_assert_eq(pair->client.result, TLS_FAILED);
    cr_assert_eq(pair->server.result, TLS_FAILED);
}

TLS_TEST(authorities_that_are_not_known)
{
    struct pair pair;
    pair_open(&pair, server_shows, (struct shows){NULL, "other"}, "localhost");
    expect_both_failed(&pair);
    expect_failure(&pair.client, true,
                   "TLS: certificate verify failed: the server's certificate has run out, or no "
                   "authority trusted here has signed it (is the CA file right?)");
    expect_failure(&pair.server, true, "unknown ca");
    cr_assert_eq(muster__tls_handshake(pair.client.tls), TLS_FAILED);
    pair_close(&pair);

    /* Those of the system. */
    pair_open(&pair, server_shows, (struct shows){NULL, NULL}, "localhost");
    expect_both_failed(&pair);
    expect_failure(&pair.client, true, "TLS: certificate verify failed");
    pair_close(&pair);
}

TLS_TEST(a_certificate_that_has_run_out)
{
    struct pair pair;
    pair_open(&pair, (struct shows){"expired", NULL}, client_shows, "localhost");
    expect_both_failed(&pair);
    expect_failure(&pair.client, true,
                   "TLS: certificate verify failed: the server's certificate has run out");
    expect_failure(&pair.server, true, "certificate expired");
    pair_close(&pair);
}

TLS_TEST(peers_that_do_not_speak_tls)
{
    static const char *const requests[] = {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
                                           "CONNECT a:1 HTTP/1.1\r\n\r\n", "what is this about\n"};
    static const char *const answers[] = {"HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n"};
    struct pair pair;
    for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
        pair_open_server(&pair, server_shows);
        send(pair.client.descriptor, requests[i], strlen(requests[i]), 0);
        pair_meet(&pair);
        cr_assert_eq(pair.server.result, TLS_FAILED);
        expect_failure(&pair.server, true, "wrong version number");
        pair_close(&pair);
    }
    for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
        pair_open_client(&pair, client_shows, "localhost");
        send(pair.server.descriptor, answers[i], strlen(answers[i]), 0);
        pair_meet(&pair);
        cr_assert_eq(pair.client.result, TLS_FAILED);
        expect_failure(&pair.client, true, "TLS handshake failed: what answers there does not use TLS");
        pair_close(&pair);
    }
}

/* ---- without HTTP/2 ---- */

TLS_TEST(a_client_that_does_not_offer_h2)
{
    static const struct {
        const char *offered;
        unsigned size;
    } offers[] = {{NULL, 0}, {"\10http/1.1", 9}, {"\3h2c\1h", 6}};
    for (size_t i = 0; i < sizeof(offers) / sizeof(*offers); i++) {
        struct pair pair;
        pair_open_raw_client(&pair);
        if (offers[i].offered)
            SSL_set_alpn_protos(pair.client.raw, (const unsigned char *)offers[i].offered, offers[i].size);
        expect_both_failed(&pair);
        cr_assert_eq(pair.client.reason, SSL_AD_REASON_OFFSET + SSL_AD_NO_APPLICATION_PROTOCOL);
        expect_failure(&pair.server, true, "does not offer HTTP/2 by ALPN");
        pair_close(&pair);
    }
}

static int refuse(SSL *ssl, const unsigned char **chosen, unsigned char *size, const unsigned char *offered,
                  unsigned offered_size, void *context)
{
    (void)ssl;
    (void)chosen;
    (void)size;
    (void)offered;
    (void)offered_size;
    (void)context;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

TLS_TEST(a_server_that_does_not_choose_h2)
{
    for (int refuses = 0; refuses < 2; refuses++) {
        struct pair pair;
        pair_open_raw_server(&pair);
        if (refuses)
            SSL_CTX_set_alpn_select_cb(SSL_get_SSL_CTX(pair.server.raw), refuse, NULL);
        pair_meet(&pair);
        cr_assert_eq(pair.client.result, TLS_FAILED);
        expect_failure(&pair.client, false,
                       "what answers there is not an HTTP/2 server (is it the right port?)");
        pair_close(&pair);
    }
}

/* ---- connections that break ---- */

TLS_TEST(peers_that_close_in_a_handshake)
{
    struct pair pair;
    char hello[4096];
    pair_open(&pair, server_shows, client_shows, "localhost");
    cr_assert_eq(muster__tls_handshake(pair.client.tls), TLS_WANTS_READ);
    /* Half of its hello comes. */
    ssize_t size = recv(pair.server.descriptor, hello, sizeof(hello), 0);
    cr_assert_gt(size, 100);
    cr_assert_eq(send(pair.client.descriptor, hello, (size_t)size / 2, 0), size / 2);
    cr_assert_eq(muster__tls_handshake(pair.server.tls), TLS_WANTS_READ);
    close(pair.client.descriptor);
    pair.client.descriptor = -1;
    cr_assert_eq(muster__tls_handshake(pair.server.tls), TLS_FAILED);
    expect_failure(&pair.server, false, "the connection was closed");
    pair_close(&pair);

    pair_open_client(&pair, client_shows, "localhost");
    cr_assert_eq(muster__tls_handshake(pair.client.tls), TLS_WANTS_READ);
    close(pair.server.descriptor);
    pair.server.descriptor = -1;
    cr_assert_eq(muster__tls_handshake(pair.client.tls), TLS_FAILED);
    expect_failure(&pair.client, false,
                   "the connection was closed before HTTP/2 began (is it the right port?)");
    pair_close(&pair);
}

/* SIGPIPE would end this process. */
TLS_TEST(a_peer_that_is_gone)
{
    struct pair pair;
    char data[] = "data";
    const struct iovec piece = {data, sizeof(data)};
    pair_open_client(&pair, client_shows, "localhost");
    close(pair.server.descriptor);
    pair.server.descriptor = -1;
    cr_assert_eq(muster__tls_handshake(pair.client.tls), TLS_FAILED);
    expect_failure(&pair.client, false, "the connection was closed");
    pair_close(&pair);

    pair_open(&pair, server_shows, client_shows, "localhost");
    pair_agree(&pair);
    close(pair.server.descriptor);
    pair.server.descriptor = -1;
    cr_assert_eq(muster__tls_writev(pair.client.tls, &piece, 1), -1);
    cr_assert_eq(errno, EPIPE);
    cr_assert_eq(muster__tls_writev(pair.client.tls, &piece, 1), -1);
    cr_assert_eq(errno, EPIPE);
    cr_assert_eq(muster__tls_readv(pair.client.tls, &piece, 1), 0);
    cr_assert_eq(ERR_peek_error(), 0);
    muster__tls_end(pair.client.tls);
    pair_close(&pair);
}

/* What it said before is read all the same. */
TLS_TEST(a_peer_that_is_gone_behind_its_last_words)
{
    struct pair pair;
    char data[] = "data", words[sizeof(data)];
    const struct iovec piece = {data, sizeof(data)}, place = {words, sizeof(words)};
    pair_open(&pair, server_shows, client_shows, "localhost");
    pair_agree(&pair);
    cr_assert_eq(muster__tls_writev(pair.server.tls, &piece, 1), (ssize_t)sizeof(data));
    close(pair.server.descriptor);
    pair.server.descriptor = -1;
    cr_assert_eq(muster__tls_writev(pair.client.tls, &piece, 1), -1);
    cr_assert_eq(errno, EPIPE);
    cr_assert_eq(muster__tls_readv(pair.client.tls, &place, 1), (ssize_t)sizeof(data));
    cr_assert_str_eq(words, "data");
    cr_assert_eq(muster__tls_readv(pair.client.tls, &place, 1), 0);
    pair_close(&pair);
}

TLS_TEST(a_record_that_was_altered)
{
    struct pair pair;
    char data[256] = "data";
    const struct iovec piece = {data, sizeof(data)};
    pair_open(&pair, server_shows, client_shows, "localhost");
    pair_agree(&pair);
    cr_assert_eq(muster__tls_writev(pair.client.tls, &piece, 1), (ssize_t)sizeof(data));
    char record[512];
    ssize_t size = recv(pair.server.descriptor, record, sizeof(record), 0);
    record[size - 1] ^= 1;
    send(pair.client.descriptor, record, (size_t)size, 0);
    cr_assert_eq(muster__tls_readv(pair.server.tls, &piece, 1), -1);
    cr_assert_eq(errno, EPROTO);
    cr_assert(muster__tls_has_more(pair.server.tls));
    expect_failure(&pair.server, true, "bad record mac");
    /* The other side is told. */
    cr_assert_eq(muster__tls_readv(pair.client.tls, &piece, 1), -1);
    cr_assert_eq(errno, EPROTO);
    expect_failure(&pair.client, true, "TLS failed: ");
    pair_close(&pair);
}

static int choose_first(SSL *ssl, const unsigned char **chosen, unsigned char *size,
                        const unsigned char *offered, unsigned offered_size, void *context)
{
    (void)ssl;
    (void)offered_size;
    (void)context;
    *chosen = offered + 1;
    *size = offered[0];
    return SSL_TLSEXT_ERR_OK;
}

/* A server of others' that wants a certificate says so only when its client's handshake is done. */
TLS_TEST(a_server_that_refuses_the_client)
{
    struct pair pair;
    char byte;
    pair_open_raw_server(&pair);
    SSL_CTX_set_alpn_select_cb(SSL_get_SSL_CTX(pair.server.raw), choose_first, NULL);
    SSL_set_verify(pair.server.raw, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    pair_meet(&pair);
    cr_assert_eq(pair.server.result, TLS_FAILED);
    cr_assert_eq(pair.client.result, TLS_DONE);
    cr_assert_eq(muster__tls_readv(pair.client.tls, &(struct iovec){&byte, 1}, 1), -1);
    cr_assert_eq(errno, EPROTO);
    expect_failure(&pair.client, true, "TLS failed: tlsv13 alert certificate required");
    pair_close(&pair);
}

TLS_TEST(errors_of_others_do_no_harm)
{
    struct pair pair;
    pair_open(&pair, server_shows, client_shows, "localhost");
    ERR_raise(ERR_LIB_USER, 1);
    cr_assert_eq(muster__tls_handshake(pair.client.tls), TLS_WANTS_READ);
    pair_agree(&pair);
    char byte;
    ERR_raise(ERR_LIB_USER, 1);
    cr_assert_eq(muster__tls_readv(pair.client.tls, &(struct iovec){&byte, 1}, 1), -1);
    cr_assert_eq(errno, EAGAIN);
    ERR_raise(ERR_LIB_USER, 1);
    expect_passage(&pair.client, &pair.server, "all is well");
    pair_close(&pair);
}
