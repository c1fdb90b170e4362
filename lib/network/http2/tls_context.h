/* What connections with the same keys share: OpenSSL's contexts. */
#ifndef MUSTER_NETWORK_HTTP2_TLS_CONTEXT_H
#define MUSTER_NETWORK_HTTP2_TLS_CONTEXT_H

#include <stdbool.h>

#include <openssl/ssl.h>

#include <muster/status.h>

#include "network/credentials.h"

/* What a context's callbacks note of a connection, whose SSL_set_app_data() names it. */
struct tls_manners {
    bool established;    /* the handshake is done */
    bool no_h2;          /* the client does not offer it */
    unsigned handshakes; /* messages of handshakes after the handshake */
    size_t other;        /* bytes that came since handshakes were forgiven */
};

/* A peer that renews its keys again and again makes us calculate for nothing: so many are allowed for so many
   bytes. */
enum { TLS_HANDSHAKES_MAX = 32, TLS_HANDSHAKES_PER = 64 << 10 };

static inline void muster__tls_earn(struct tls_manners *manners, size_t size)
{
    manners->other += size;
    if (manners->other >= TLS_HANDSHAKES_PER)
        manners->other = manners->handshakes = 0;
}

/* ---- tls.c ---- */

struct tls;
/* Over a socket, for SSL_set_accept_state() or SSL_set_connect_state(). NULL: out of memory. */
struct tls *muster__tls_new(SSL_CTX *context, int descriptor);
SSL *muster__tls_ssl(struct tls *tls);

/* ---- tls_context.c ---- */

/* A server's. NULL: *error says why. */
SSL_CTX *muster__tls_server_context(const struct keys *keys, struct muster_error *error);

/* A client's: the same one for all connections with the same files, until the last has released it. */
struct tls_context;
struct tls_context *muster__tls_client_context(const struct keys *keys, struct muster_error *error);
SSL_CTX *muster__tls_context_ssl(const struct tls_context *context);
void muster__tls_context_release(struct tls_context *context);

#endif
