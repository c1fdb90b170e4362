/* Two ends of a socket with TLS in one thread, and the files that they show. */
#ifndef MUSTER_TESTS_UNIT_TLS_H
#define MUSTER_TESTS_UNIT_TLS_H

#include <openssl/ssl.h>

#include "network/credentials.h"
#include "network/http2/tls.h"

/* ---- tls_files.c ---- */

/* Certificates in a directory of the test: NAME.pem, with NAME.key. All are signed by `ca`, but for `other`,
   an authority of its own, and `stranger`, which it has signed. */
void make_tls_files(void);
void remove_tls_files(void);

/* One more, or one in place of that which there is: in days it runs out. */
struct certificate_wish {
    const char *file, *authority, *common_name;
    int common_name_size; /* -1: up to the NUL */
    const char *alternative_names;
    int days;
    bool short_key;
};
void make_certificate(const struct certificate_wish *wish);

/* The path of a file; NULL: none. A few at a time. */
const char *tls_file(const char *name, const char *ending);

/* NULL: without. */
struct credentials *load_tls_files(enum credentials_side side, const char *certificate, const char *ca);

/* Warnings that were told of since the test began, and the last. */
extern size_t tls_warnings;
extern char tls_warning[MUSTER_ERROR_TEXT_SIZE];

/* ---- tls.c ---- */

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
