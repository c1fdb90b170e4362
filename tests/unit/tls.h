/* Two ends of a socket with TLS in one thread. */
#ifndef MUSTER_TESTS_UNIT_TLS_H
#define MUSTER_TESTS_UNIT_TLS_H

#include <openssl/ssl.h>

#include "network/http2/tls.h"
#include "unit/tls_files.h"

struct end {
    int descriptor;
    struct tls *tls; /* ours, or */
    SSL *raw;        /* OpenSSL's own */
    enum tls_result result;
    int reason; /* of a raw one: why it failed */
};

struct pair {
    struct credentials *server_files, *client_files;
    struct tls_server *listener;
    struct end server, client;
};

/* Both ends ours: the server shows `certificate` and trusts `ca`; the client the same, and it connects to
   `host`. */
struct shows {
    const char *certificate, *ca;
};
void pair_open(struct pair *pair, struct shows server, struct shows client, const char *host);

/* One end ours, the other OpenSSL's: a client without ALPN that trusts anybody, and a server that shows
   `server`. */
void pair_open_raw_client(struct pair *pair);
void pair_open_raw_server(struct pair *pair);

/* One end ours, and nothing at the other. */
void pair_open_server(struct pair *pair, struct shows server);
void pair_open_client(struct pair *pair, struct shows client, const char *host);

void pair_close(struct pair *pair);

/* Goes on until both have agreed, or both have failed; one that fails writes no more. */
void pair_meet(struct pair *pair);
/* And they have agreed. */
void pair_agree(struct pair *pair);

void expect_failure(const struct end *end, bool refused, const char *text);

/* Writes a text at one end, which is read at the other. */
void expect_passage(struct end *from, struct end *to, const char *text);

#endif
