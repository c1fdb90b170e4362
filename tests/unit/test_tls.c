/* TLS of the HTTP/2 transport: what two ends agree on, and what a server sees of a client. */
#include <config.h>

#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>

#include "network/http2/tls_context.h"
#include "unit/tls.h"

#define TLS_TEST(name) Test(tls, name, .init = make_tls_files, .fini = remove_tls_files)

static const struct shows server_shows = {"server", NULL}, asking_server = {"server", "ca"},
                          client_shows = {NULL, "ca"};

TLS_TEST(two_ends_agree_and_talk)
{
    struct pair pair;
    pair_open(&pair, server_shows, client_shows, "localhost");
    pair_agree(&pair);
    cr_assert_str_eq(SSL_get_version(muster__tls_ssl(pair.client.tls)), "TLSv1.3");
    cr_assert_eq(SSL_session_reused(muster__tls_ssl(pair.client.tls)), 0);
    expect_passage(&pair.client, &pair.server, "from the client");
    expect_passage(&pair.server, &pair.client, "from the server");
    pair_close(&pair);
}

TLS_TEST(names_and_addresses_of_the_certificate_are_accepted)
{
    static const char *const hosts[] = {"localhost", "LocalHost", "localhost.", "127.0.0.1",
                                        "::1",       "[::1]",     "[::1%lo]",   "host.muster.test"};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(*hosts); i++) {
        struct pair pair;
        pair_open(&pair, server_shows, client_shows, hosts[i]);
        pair_agree(&pair);
        pair_close(&pair);
    }
}

TLS_TEST(another_host_is_refused)
{
    static const char *const hosts[] = {"localhost.example", "127.0.0.2", "[::2]", "a.host.muster.test",
                                        "server"};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(*hosts); i++) {
        struct pair pair;
        pair_open(&pair, server_shows, client_shows, hosts[i]);
        pair_meet(&pair);
        cr_assert_eq(pair.client.result, TLS_FAILED, "%s", hosts[i]);
        cr_assert_eq(pair.server.result, TLS_FAILED);
        expect_failure(&pair.client, true,
                       "TLS: the server's certificate is not for the host in the address");
        expect_failure(&pair.server, true, "bad certificate");
        pair_close(&pair);
    }
}

TLS_TEST(a_name_that_no_certificate_can_have_is_refused)
{
    struct credentials *files = load_tls_files(OF_PARTICIPANT, NULL, "ca");
    struct keys *keys = muster__credentials_keys(files);
    struct muster_error error;
    char host[300];
    memset(host, 'a', sizeof(host) - 1);
    host[sizeof(host) - 1] = '\0';
    cr_assert_null(muster__tls_connect(keys, host, -1, &error));
    cr_assert_eq(error.status, MUSTER_INVALID);
    cr_assert_null(muster__tls_connect(keys, "", -1, &error));
    cr_assert_eq(error.status, MUSTER_INVALID);
    muster__keys_release(keys);
    muster__credentials_free(files);
}

TLS_TEST(older_clients_speak_1_2_and_not_1_1)
{
    static const unsigned char h2[] = "\2h2";
    struct pair pair;
    pair_open_raw_client(&pair);
    SSL_set_alpn_protos(pair.client.raw, h2, sizeof(h2) - 1);
    SSL_set_max_proto_version(pair.client.raw, TLS1_2_VERSION);
    pair_agree(&pair);
    expect_passage(&pair.client, &pair.server, "from the client");
    expect_passage(&pair.server, &pair.client, "from the server");
    cr_assert_eq(SSL_has_pending(pair.client.raw), 0);
    /* It asks for another handshake, and is told that there is none. */
    SSL_renegotiate(pair.client.raw);
    SSL_do_handshake(pair.client.raw);
    char byte;
    cr_assert_eq(muster__tls_readv(pair.server.tls, &(struct iovec){&byte, 1}, 1), -1);
    cr_assert_eq(errno, EAGAIN);
    cr_assert_neq(SSL_do_handshake(pair.client.raw), 1);
    cr_assert_eq(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
    ERR_clear_error();
    pair_close(&pair);

    pair_open_raw_client(&pair);
    SSL_set_alpn_protos(pair.client.raw, h2, sizeof(h2) - 1);
    SSL_set_security_level(pair.client.raw, 0);
    SSL_set_min_proto_version(pair.client.raw, TLS1_1_VERSION);
    SSL_set_max_proto_version(pair.client.raw, TLS1_1_VERSION);
    pair_meet(&pair);
    expect_failure(&pair.server, true, "unsupported protocol");
    pair_close(&pair);
}

/* ---- certificates of clients ---- */

static void expect_names(struct tls_shown *shown, const char *const *names)
{
    cr_assert_not_null(shown->leaf);
    cr_assert_eq(strlen(shown->leaf), shown->leaf_size);
    cr_assert_not_null(strstr(shown->leaf, "-----BEGIN CERTIFICATE-----"));
    cr_assert_eq(strlen(shown->chain), shown->chain_size);
    size_t i = 0;
    for (; names[i]; i++)
        cr_assert_str_eq(shown->names[i], names[i]);
    cr_assert_null(shown->names[i]);
}

TLS_TEST(a_server_sees_the_names_of_a_client)
{
    static const struct {
        const char *file, *names[4];
    } clients[] = {
        {"ada", {"ada", "ada.example", "ada.test", NULL}},
        {"nobody", {NULL}},
        {"split", {NULL}},
        {"stranger", {"ada", NULL}}, /* who judges it is not the handshake */
    };
    for (size_t i = 0; i < sizeof(clients) / sizeof(*clients); i++) {
        struct pair pair;
        struct tls_shown shown;
        pair_open(&pair, asking_server, (struct shows){clients[i].file, "ca"}, "localhost");
        pair_agree(&pair);
        cr_assert(muster__tls_shown(pair.server.tls, &shown));
        expect_names(&shown, clients[i].names);
        struct muster_error error;
        struct keys *keys = muster__credentials_keys(pair.server_files);
        cr_assert_eq(muster__keys_check_certificate(keys, shown.leaf, shown.leaf_size, shown.chain,
                                                    shown.chain_size, &error),
                     strcmp(clients[i].file, "stranger") == 0 ? MUSTER_UNAUTHENTICATED : MUSTER_OK);
        muster__keys_release(keys);
        muster__tls_shown_free(&shown);
        pair_close(&pair);
    }
}

TLS_TEST(a_server_that_does_not_ask_sees_nothing)
{
    static const struct {
        struct shows server, client;
    } cases[] = {{{"server", "ca"}, {NULL, "ca"}}, {{"server", NULL}, {"ada", "ca"}}};
    for (size_t i = 0; i < 2; i++) {
        struct pair pair;
        struct tls_shown shown;
        pair_open(&pair, cases[i].server, cases[i].client, "localhost");
        pair_agree(&pair);
        cr_assert(muster__tls_shown(pair.server.tls, &shown));
        cr_assert_null(shown.leaf);
        muster__tls_shown_free(&shown);
        pair_close(&pair);
    }
}

/* What an authority has signed that has signed the leaf. */
TLS_TEST(a_chain_is_shown_and_sent)
{
    FILE *file = fopen(tls_file("ada", ".pem"), "a"), *other = fopen(tls_file("other", ".pem"), "r");
    for (int c; (c = fgetc(other)) != EOF;)
        fputc(c, file);
    fclose(file);
    fclose(other);
    struct pair pair;
    struct tls_shown shown;
    pair_open(&pair, asking_server, (struct shows){"ada", "ca"}, "localhost");
    pair_agree(&pair);
    cr_assert(muster__tls_shown(pair.server.tls, &shown));
    cr_assert_not_null(strstr(shown.chain, "-----BEGIN CERTIFICATE-----"));
    cr_assert_null(strstr(strstr(shown.leaf, "END CERTIFICATE"), "BEGIN CERTIFICATE"));
    muster__tls_shown_free(&shown);
    pair_close(&pair);
}

/* ---- contexts ---- */

TLS_TEST(clients_with_the_same_files_share_a_context)
{
    struct pair pairs[3];
    pair_open_client(&pairs[0], client_shows, "localhost");
    pair_open_client(&pairs[1], client_shows, "127.0.0.1");
    pair_open_client(&pairs[2], (struct shows){"ada", "ca"}, "localhost");
    SSL_CTX *first = SSL_get_SSL_CTX(muster__tls_ssl(pairs[0].client.tls));
    cr_assert_eq(SSL_get_SSL_CTX(muster__tls_ssl(pairs[1].client.tls)), first);
    cr_assert_neq(SSL_get_SSL_CTX(muster__tls_ssl(pairs[2].client.tls)), first);
    for (size_t i = 0; i < 3; i++)
        pair_close(&pairs[i]);
}

static X509 *certificate_of_server(struct pair *pair)
{
    return SSL_get0_peer_certificate(muster__tls_ssl(pair->client.tls));
}

/* The next connection of a listener that is there. */
static void accept_again(struct pair *pair, struct pair *former)
{
    former->server_files->looked_at = INT64_MIN / 2; /* a second later */
    pair_open_client(pair, client_shows, "localhost");
    pair->server.tls = muster__tls_accept(former->listener, pair->server.descriptor);
    cr_assert_not_null(pair->server.tls);
    muster__credentials_tell(former->server_files);
}

TLS_TEST(a_new_certificate_is_used_from_the_next_handshake_on)
{
    struct pair before, after;
    pair_open(&before, server_shows, client_shows, "localhost");
    make_certificate(&(struct certificate_wish){"server", "ca", "renewed", -1, "DNS:localhost", 30, false});
    accept_again(&after, &before);
    pair_agree(&before);
    pair_agree(&after);
    cr_assert_neq(X509_cmp(certificate_of_server(&before), certificate_of_server(&after)), 0);
    expect_passage(&before.server, &before.client, "still there");
    expect_passage(&after.server, &after.client, "there too");
    cr_assert_eq(tls_warnings, 0, "%s", tls_warning);
    pair_close(&after);
    pair_close(&before);
}

static const struct certificate_wish weak = {"server", "ca", "weak", -1, "DNS:localhost", 30, true};

TLS_TEST(a_new_certificate_that_openssl_does_not_take_is_warned_of_once)
{
    struct pair before, after;
    pair_open(&before, server_shows, client_shows, "localhost");
    make_certificate(&weak);
    accept_again(&after, &before);
    cr_assert_eq(tls_warnings, 1, "%s", tls_warning);
    cr_assert_not_null(strstr(tls_warning, "what was read before stays in use: OpenSSL does not take"), "%s",
                       tls_warning);
    pair_agree(&before);
    pair_agree(&after);
    cr_assert_eq(X509_cmp(certificate_of_server(&before), certificate_of_server(&after)), 0);
    pair_close(&after);
    accept_again(&after, &before);
    cr_assert_eq(tls_warnings, 1, "%s", tls_warning);
    pair_close(&after);
    pair_close(&before);
}

TLS_TEST(a_key_that_is_too_short_is_told_at_the_start)
{
    struct muster_error error;
    make_certificate(&weak);
    struct credentials *files = load_tls_files(OF_SERVER, "server", NULL);
    cr_assert_null(muster__tls_server_new(files, &error));
    cr_assert_eq(error.status, MUSTER_INVALID);
    cr_assert_not_null(strstr(error.text, "key too small"), "%s", error.text);
    struct keys *keys = muster__credentials_keys(files);
    cr_assert_null(muster__tls_connect(keys, "localhost", -1, &error));
    cr_assert_eq(error.status, MUSTER_INVALID);
    muster__keys_release(keys);
    muster__credentials_free(files);
}
