/* Who a client is, as its server judges it: what a call shows, against what the server's credentials ask
   for. */
#ifndef MUSTER_NETWORK_IDENTITY_H
#define MUSTER_NETWORK_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

#include <muster/status.h>

#include "network/buffer.h"

struct keys;

/* Before a token in a call's metadata "authorization". */
#define TOKEN_SCHEME "Bearer "

/* What a call shows. A piece without data: nothing. */
struct shown {
    struct piece authorization; /* the value of the metadata of this name: the first */
    struct piece leaf;          /* the client's certificate in PEM, */
    struct piece chain;         /* the chain that it came with, itself included or not, */
    const struct piece *names;  /* and the names in it: the common names first, then the DNS names */
    size_t name_count;
};

/* Whether a client has shown what was asked for, and the names in its certificate. */
struct peer_identity {
    struct muster_error refusal; /* its status MUSTER_OK: none */
    bool wrong_token;
    const char **names; /* with NULL behind the last; NULL: no certificate was asked for */
};

/* Judges what a call shows. What is shown and not asked for is not looked at. NULL: out of memory. */
struct peer_identity *muster__identify(const struct keys *keys, const struct shown *shown);
void muster__identity_free(struct peer_identity *identity);

/* What authenticate() of a stream says. `identity` NULL: nothing was asked for. */
enum muster_status muster__identity_tell(const struct peer_identity *identity, const char *const **names,
                                         struct muster_error *error);

#endif
