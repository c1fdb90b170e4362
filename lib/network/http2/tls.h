/* TLS of the HTTP/2 transport, by OpenSSL: contexts for a listener or a client, and connections. */
#ifndef MUSTER_NETWORK_HTTP2_TLS_H
#define MUSTER_NETWORK_HTTP2_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <muster/status.h>

#include "network/credentials.h"

struct tls;        /* of one connection */
struct tls_server; /* of a listener: the context, made anew when the files have changed */

/* Credentials with TLS, which have to outlive it. NULL: *error (which may be NULL) says why: out of memory,
   or OpenSSL does not take the certificate, as its key is too short for instance. Any thread. */
struct tls_server *muster__tls_server_new(struct credentials *credentials, struct muster_error *error);
void muster__tls_server_free(struct tls_server *server);

/*
 * TLS over a connected socket that does not block: for a connection that a server has accepted, with the
 * newest certificate (a certificate of the client's is asked for if there are authorities, and judged later),
 * or for a client's, to a host whose name or address the server's certificate has to have. TLS 1.2 and newer,
 * "h2" by ALPN. The socket stays the caller's, and open as long as anything but free() is called. If files
 * that have changed are not taken by OpenSSL, those before stay in use, and that is warned of. NULL: out of
 * memory, and for a client *error (which may be NULL) says why, as above. Any thread.
 */
struct tls *muster__tls_accept(struct tls_server *server, int descriptor);
struct tls *muster__tls_connect(const struct keys *keys, const char *host, int descriptor,
                                struct muster_error *error);
void muster__tls_free(struct tls *tls);

/* What follows: one thread at a time. None of it raises SIGPIPE, and OpenSSL's errors are forgotten. */

enum tls_result { TLS_DONE, TLS_WANTS_READ, TLS_WANTS_WRITE, TLS_FAILED };

/* Goes on with the handshake. DONE only if both agreed on h2. */
enum tls_result muster__tls_handshake(struct tls *tls);

/* Why the handshake failed, or a read or write with EPROTO (a client learns there that the server does not
   accept its certificate): on a client for the user, in the words of words.h; on a server
   OpenSSL's reason, for a warning. *refused: one of the two does not accept the other's TLS; otherwise the
   connection just broke, or the server is none of HTTP/2. */
const char *muster__tls_failure(const struct tls *tls, bool *refused);

/* As readv() and writev(): -1 with errno EAGAIN when the socket has no more or takes no more (a write is then
   repeated with at least the same bytes first; they may lie elsewhere, in other pieces), 0 at the end, other
   errors otherwise. Where a write finds the peer gone (EPIPE, ECONNRESET), what it said before can still be read.
   What is small is gathered, so that each record is as full as can be. */
ssize_t muster__tls_readv(struct tls *tls, const struct iovec *pieces, int count);
ssize_t muster__tls_writev(struct tls *tls, const struct iovec *pieces, int count);

/* What the last EAGAIN of either waits for: TLS may have to read before it writes on. */
bool muster__tls_wants_write(const struct tls *tls);

/* Whether bytes were read from the socket that were not taken yet, or the end: then it does not become
   readable for them. */
bool muster__tls_has_more(const struct tls *tls);

/* Tells the peer that nothing more is written, if the socket takes that: before shutdown() or close(). */
void muster__tls_end(struct tls *tls);

/* What the client's certificate says, for muster__identify(): the leaf and the chain above it in PEM, and the
   names, the common name first (of several the first, as C-core has it), then the DNS names of the
   subjectAltName, those that are empty or with a NUL inside left out; NULL behind the last. *leaf NULL: it
   showed none. False: out of memory. All are the caller's, to be freed with muster__tls_shown_free(), also
   after false. */
struct tls_shown {
    char *leaf, *chain; /* with a NUL behind */
    size_t leaf_size, chain_size;
    char **names;
};
bool muster__tls_shown(struct tls *tls, struct tls_shown *shown);
void muster__tls_shown_free(struct tls_shown *shown);

#endif
