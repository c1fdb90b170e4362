/* Judging what a call shows: its certificate, the names in that, and its token. */
#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "network/credentials.h"
#include "network/identity.h"
#include "status.h"

static void check_token(const struct keys *keys, const struct piece *authorization,
                        struct peer_identity *identity)
{
    size_t scheme_size = strlen(TOKEN_SCHEME);
    if (!authorization->data) {
        muster__error(&identity->refusal, MUSTER_UNAUTHENTICATED,
                      "the server asks for a token: set its file (in other languages: send metadata "
                      "'authorization: Bearer TOKEN')");
        return;
    }
    if (authorization->size > scheme_size &&
        strncasecmp((const char *)authorization->data, TOKEN_SCHEME, scheme_size) == 0 &&
        muster__keys_check_token(keys, authorization->data + scheme_size, authorization->size - scheme_size))
        return;
    identity->wrong_token = true;
    muster__error(&identity->refusal, MUSTER_UNAUTHENTICATED,
                  "the token is not the server's: get the right one");
}

static void check_certificate(const struct keys *keys, const struct shown *shown,
                              struct muster_error *refusal)
{
    const struct piece *chain = &shown->chain;
    if (!shown->leaf.data)
        muster__error(
            refusal, MUSTER_UNAUTHENTICATED,
            "the server asks for a certificate: set one that an authority of the server's has signed");
    else
        muster__keys_check_certificate(keys, (const char *)shown->leaf.data, shown->leaf.size,
                                       chain->data ? (const char *)chain->data : "",
                                       chain->data ? chain->size : 0, refusal);
}

/* False: out of memory. */
static bool take_names(struct peer_identity *identity, const struct shown *shown)
{
    size_t count = 0;
    identity->names = calloc(shown->name_count + 1, sizeof(*identity->names));
    if (!identity->names)
        return false;
    for (size_t i = 0; i < shown->name_count; i++) {
        const struct piece *name = &shown->names[i];
        if (name->size == 0 || memchr(name->data, '\0', name->size))
            continue; /* one that ends early for some of its readers names nobody */
        if (!(identity->names[count] = strndup((const char *)name->data, name->size)))
            return false;
        count++;
    }
    if (count == 0)
        muster__error(&identity->refusal, MUSTER_UNAUTHENTICATED,
                      "the certificate names nobody: it needs a common name or a DNS name");
    return true;
}

struct peer_identity *muster__identify(const struct keys *keys, const struct shown *shown)
{
    struct peer_identity *identity = calloc(1, sizeof(*identity));
    bool named = true;
    if (!identity)
        return NULL;
    if (keys->authorities) {
        check_certificate(keys, shown, &identity->refusal);
        if (identity->refusal.status == MUSTER_OK)
            named = take_names(identity, shown);
    }
    if (keys->token && identity->refusal.status == MUSTER_OK)
        check_token(keys, &shown->authorization, identity);
    if (named)
        return identity;
    muster__identity_free(identity);
    return NULL;
}

void muster__identity_free(struct peer_identity *identity)
{
    if (!identity)
        return;
    for (size_t i = 0; identity->names && identity->names[i]; i++)
        free((char *)identity->names[i]);
    free(identity->names);
    free(identity);
}

enum muster_status muster__identity_tell(const struct peer_identity *identity, const char *const **names,
                                         struct muster_error *error)
{
    *names = identity ? identity->names : NULL;
    if (!identity || identity->refusal.status == MUSTER_OK)
        return MUSTER_OK;
    return muster__error(error, identity->refusal.status, "%s", identity->refusal.text);
}
