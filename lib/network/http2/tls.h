/* TLS of the HTTP/2 transport, by OpenSSL: contexts for a listener or a client, and connections. */
#ifndef MUSTER_NETWORK_HTTP2_TLS_H
#define MUSTER_NETWORK_HTTP2_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "network/credentials.h"

struct tls;        /* of one connection */
struct tls_server; /* of a listener: the context, made anew when the files have changed */

/* Credentials with TLS. NULL: out of memory. Any thread. */
struct tls_server *muster__tls_server_new(struct credentials *credentials);
void muster__tls_server_free(struct tls_server *server);

/*
 * TLS over a connected socket that does not block: for a connection that a server has accepted, with the newest
 * certificate (a certificate of the client's is asked for if there are authorities, and judged later), or for a
 * client's, to a host whose name or address the server's certificate has to have. TLS 1.2 and newer, "h2" by
 * ALPN. NULL: out of memory, or OpenSSL does not take the keys.
 */
struct tls *muster__tls_accept(struct tls_server *server, int descriptor);
struct tls *muster__tls_connect(const struct keys *keys, const char *host, int descriptor);
void muster__tls_free(struct tls *tls);

/* What follows: one thread at a time. */

enum tls_result { TLS_DONE, TLS_WANTS_READ, TLS_WANTS_WRITE, TLS_FAILED };

/* Goes on with the handshake. DONE only if both agreed on h2. */
enum tls_result muster__tls_handshake(struct tls *tls);

/* Why it failed, for the user, in the words of grpc_cause.c for the same; and whether one of the two does not
   accept the other's TLS, and not just the connection broke. */
const char *muster__tls_failure(const struct tls *tls, bool *refused);

/* As readv() and writev(): -1 with errno EAGAIN when the socket has no more or takes no more (a write is then
   repeated with the same bytes first; they may lie elsewhere), 0 at the end, other errors otherwise. What is
   small is gathered, so that each record is as full as can be. */
ssize_t muster__tls_readv(struct tls *tls, const struct iovec *pieces, int count);
ssize_t muster__tls_writev(struct tls *tls, const struct iovec *pieces, int count);

/* Whether bytes were read from the socket that were not taken yet: then it does not become readable for them. */
bool muster__tls_has_more(const struct tls *tls);

/* What the client's certificate says, for muster__identify(): the leaf and the chain in PEM, and the names, the
   common names first, then the DNS names of the subjectAltName, those with a NUL inside left out; NULL behind the
   last. *leaf NULL: it showed none. False: out of memory. All are the caller's, to be freed with
   muster__tls_shown_free(). */
struct tls_shown {
    char *leaf, *chain;
    size_t leaf_size, chain_size;
    char **names;
};
bool muster__tls_shown(struct tls *tls, struct tls_shown *shown);
void muster__tls_shown_free(struct tls_shown *shown);

#endif
