/* Credentials as they are used: files that were read and found in order, and the checks of what a peer shows.
 */
#ifndef MUSTER_NETWORK_CREDENTIALS_H
#define MUSTER_NETWORK_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/credentials.h>
#include <muster/status.h>

struct x509_store_st;

/* Constant once loaded: any thread may read it. */
struct credentials {
    bool tls;
    char *certificate; /* PEM, as are the next two; NULL: none */
    char *key;
    char *ca;
    struct x509_store_st *authorities; /* on a server with `ca` */
    char *token;                       /* NULL: none */
    uint8_t token_digest[32];
};

enum credentials_side { OF_SERVER, OF_PARTICIPANT };

/* Reads the files. *loaded is the caller's; NULL when nothing was asked for. Blocks for the files. */
enum muster_status muster__credentials_load(const struct muster_credentials *files,
                                            enum credentials_side side, struct credentials **loaded,
                                            struct muster_error *error);
void muster__credentials_free(struct credentials *credentials);

/* Whether a participant's certificate, with the chain that it came with (PEM; may be empty), is signed by our
   authorities, for a TLS client, and valid now. */
enum muster_status muster__credentials_check_certificate(const struct credentials *credentials,
                                                         const char *leaf, size_t leaf_size,
                                                         const char *chain, size_t chain_size,
                                                         struct muster_error *error);

/* Compares a token in a time that does not depend on ours. */
bool muster__credentials_check_token(const struct credentials *credentials, const void *presented,
                                     size_t size);

/* What to warn of about listening on or connecting to `address`; NULL: nothing. */
const char *muster__credentials_warning(const struct credentials *credentials, enum credentials_side side,
                                        const char *address);

#endif
