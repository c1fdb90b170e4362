/*
 * OpenSSL's contexts: the versions and ciphers that are spoken, our certificate, whom we trust, and the
 * refusal of what HTTP/2 forbids or what would make a peer expensive.
 */
#include <config.h>

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "network/http2/tls_context.h"
#include "status.h"

/* Those of TLS 1.2 that HTTP/2 allows (RFC 9113, appendix A). The client's order counts: it knows its
   machine. */
#define CIPHERS                                                                                \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:" \
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define CIPHERS_13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

/* As in credentials.c. */
#define SECURITY_LEVEL 2

/* A stranger may show a chain of certificates, which is kept as long as the connection. */
#define CLIENT_CHAIN_SIZE_MAX (32 << 10)

static const unsigned char h2[] = {2, 'h', '2'};

/* ---- what the two agree on ---- */

static int choose_protocol(SSL *ssl, const unsigned char **chosen, unsigned char *size,
                           const unsigned char *offered, unsigned offered_size, void *context)
{
    struct tls_manners *manners = SSL_get_app_data(ssl);
    (void)context;
    for (unsigned at = 0; at < offered_size; at += offered[at] + 1u) {
        if (offered_size - at >= sizeof(h2) && memcmp(offered + at, h2, sizeof(h2)) == 0) {
            *chosen = offered + at + 1;
            *size = h2[0];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    manners->no_h2 = true;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* A client that offers no protocol at all: choose_protocol() would not be asked. */
static int look_at_hello(SSL *ssl, int *alert, void *context)
{
    struct tls_manners *manners = SSL_get_app_data(ssl);
    const unsigned char *offered;
    size_t size;
    (void)context;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &offered, &size) ==
        1)
        return SSL_CLIENT_HELLO_SUCCESS;
    manners->no_h2 = true;
    *alert = SSL_AD_NO_APPLICATION_PROTOCOL;
    return SSL_CLIENT_HELLO_ERROR;
}

static void count_handshakes(int written, int version, int type, const void *message, size_t size, SSL *ssl,
                             void *context)
{
    struct tls_manners *manners = SSL_get_app_data(ssl);
    (void)version;
    (void)message;
    (void)size;
    (void)context;
    if (manners && manners->established && !written && type == SSL3_RT_HANDSHAKE)
        manners->handshakes++;
}

/* If the handshake judged a client's certificate, its user would never learn why: see grpc_credentials.c. */
static int judge_later(X509_STORE_CTX *store, void *context)
{
    (void)store;
    (void)context;
    return 1;
}

/* ---- making one ---- */

/* False. OpenSSL says why. */
static bool explain(struct muster_error *error)
{
    unsigned long code = ERR_peek_error();
    const char *reason = ERR_reason_error_string(code);
    if (code == 0 || ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE)
        muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    else
        muster__error(error, MUSTER_INVALID, "OpenSSL does not take the certificate and its key: %s",
                      reason ? reason : "for an unknown reason");
    ERR_clear_error();
    return false;
}

static bool set_manners(SSL_CTX *context)
{
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
                                     SSL_OP_IGNORE_UNEXPECTED_EOF); /* HTTP/2 sees what is cut short */
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_msg_callback(context, count_handshakes);
    if (SSL_CTX_get_security_level(context) < SECURITY_LEVEL)
        SSL_CTX_set_security_level(context, SECURITY_LEVEL);
    return SSL_CTX_set_num_tickets(context, 0) == 1 &&
           SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(context, CIPHERS) == 1 &&
           SSL_CTX_set_ciphersuites(context, CIPHERS_13) == 1;
}

/* They were loaded once: no password is asked for. */
static bool use_key(SSL_CTX *context, const char *text)
{
    BIO *bio = BIO_new_mem_buf(text, -1);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)(uintptr_t) "") : NULL;
    bool used = key && SSL_CTX_use_PrivateKey(context, key) == 1;
    EVP_PKEY_free(key);
    BIO_free(bio);
    return used;
}

/* The first is ours, those behind it lead to an authority. */
static bool use_certificates(SSL_CTX *context, const char *text)
{
    BIO *bio = BIO_new_mem_buf(text, -1);
    X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    bool used = certificate && SSL_CTX_use_certificate(context, certificate) == 1;
    X509_free(certificate);
    while (used && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        used = SSL_CTX_add0_chain_cert(context, certificate) == 1;
        if (!used)
            X509_free(certificate);
    }
    if (used)
        ERR_clear_error(); /* there were no more */
    BIO_free(bio);
    return used;
}

static SSL_CTX *make(const SSL_METHOD *method, const struct keys *keys)
{
    ERR_clear_error();
    SSL_CTX *context = SSL_CTX_new(method);
    if (context && set_manners(context) &&
        (!keys->certificate || (use_certificates(context, keys->certificate) && use_key(context, keys->key))))
        return context;
    SSL_CTX_free(context);
    return NULL;
}

/* Has it name the authorities to clients, some of which choose their certificate by that. */
static bool ask_for_certificates(SSL_CTX *context, X509_STORE *authorities)
{
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(context, judge_later, NULL);
    SSL_CTX_set_max_cert_list(context, CLIENT_CHAIN_SIZE_MAX);
    const STACK_OF(X509_OBJECT) *all = X509_STORE_get0_objects(authorities);
    for (int i = 0; i < sk_X509_OBJECT_num(all); i++) {
        X509 *authority = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(all, i));
        if (authority && SSL_CTX_add_client_CA(context, authority) != 1)
            return false;
    }
    return true;
}

SSL_CTX *muster__tls_server_context(const struct keys *keys, struct muster_error *error)
{
    SSL_CTX *context = make(TLS_server_method(), keys);
    if (context && (!keys->authorities || ask_for_certificates(context, keys->authorities))) {
        SSL_CTX_set_client_hello_cb(context, look_at_hello, NULL);
        SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
        return context;
    }
    explain(error);
    SSL_CTX_free(context);
    return NULL;
}

/* ---- a client's ---- */

struct tls_context {
    LIST_ENTRY(tls_context) link; /* guarded by contexts_lock, as is `users` */
    size_t users;
    unsigned char digest[EVP_MAX_MD_SIZE]; /* of the files' contents */
    SSL_CTX *context;
};

/* Nothing but OpenSSL's own locks is taken under it. */
static pthread_mutex_t contexts_lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, tls_context) contexts = LIST_HEAD_INITIALIZER(contexts);

/* False: out of memory. */
static bool digest_of(const struct keys *keys, unsigned char digest[EVP_MAX_MD_SIZE])
{
    const char *const parts[] = {keys->certificate, keys->key, keys->ca};
    EVP_MD_CTX *sum = EVP_MD_CTX_new();
    bool good = sum && EVP_DigestInit_ex(sum, EVP_sha256(), NULL) == 1;
    for (size_t i = 0; good && i < sizeof(parts) / sizeof(*parts); i++) {
        const char *part = parts[i] ? parts[i] : "";
        good = EVP_DigestUpdate(sum, part, strlen(part) + 1) == 1;
    }
    good = good && EVP_DigestFinal_ex(sum, digest, NULL) == 1;
    EVP_MD_CTX_free(sum);
    return good;
}

/* Whether the server's certificate is trusted; and with an intermediate authority alone in the file, as
   C-core does. */
static bool trust(SSL_CTX *context, const struct keys *keys)
{
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);
    if (SSL_CTX_set_alpn_protos(context, h2, sizeof(h2)) != 0)
        return false;
    return keys->authorities ? SSL_CTX_set1_cert_store(context, keys->authorities),
           true              : SSL_CTX_set_default_verify_paths(context) == 1;
}

static struct tls_context *client_context_new(const struct keys *keys, struct muster_error *error)
{
    struct tls_context *made = calloc(1, sizeof(*made));
    if (!made) {
        muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
        return NULL;
    }
    made->context = make(TLS_client_method(), keys);
    if (made->context && trust(made->context, keys))
        return made;
    explain(error);
    SSL_CTX_free(made->context);
    free(made);
    return NULL;
}

struct tls_context *muster__tls_client_context(const struct keys *keys, struct muster_error *error)
{
    unsigned char digest[EVP_MAX_MD_SIZE] = {0};
    struct tls_context *found;
    if (!digest_of(keys, digest)) {
        explain(error);
        return NULL;
    }
    pthread_mutex_lock(&contexts_lock);
    LIST_FOREACH(found, &contexts, link) {
        if (memcmp(found->digest, digest, sizeof(digest)) == 0)
            break;
    }
    if (!found && (found = client_context_new(keys, error))) {
        memcpy(found->digest, digest, sizeof(digest));
        LIST_INSERT_HEAD(&contexts, found, link);
    }
    if (found)
        found->users++;
    pthread_mutex_unlock(&contexts_lock);
    return found;
}

SSL_CTX *muster__tls_context_ssl(const struct tls_context *context)
{
    return context->context;
}

void muster__tls_context_release(struct tls_context *context)
{
    if (!context)
        return;
    pthread_mutex_lock(&contexts_lock);
    bool last = --context->users == 0;
    if (last)
        LIST_REMOVE(context, link);
    pthread_mutex_unlock(&contexts_lock);
    if (!last)
        return;
    SSL_CTX_free(context->context);
    free(context);
}
