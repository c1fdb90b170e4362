/* Credentials in C-core's terms, and the judging of calls by them. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <grpc/grpc_security_constants.h>
#include <grpc/slice.h>

#include "network/credentials.h"
#include "network/grpc.h"
#include "status.h"

#define SCHEME "Bearer "

grpc_channel_credentials *muster__grpc_channel_credentials(const struct credentials *credentials,
                                                           const struct keys *keys)
{
    if (!credentials || !credentials->tls)
        return grpc_insecure_credentials_create();
    grpc_ssl_pem_key_cert_pair own = {keys->key, keys->certificate};
    return grpc_ssl_credentials_create_ex(keys->ca, keys->key ? &own : NULL, NULL, NULL);
}

/* C-core asks at the start and before each handshake, under a lock of its own: nothing is told here. */
static grpc_ssl_certificate_config_reload_status fetch_certificate(
    void *context, grpc_ssl_server_certificate_config **config)
{
    struct certificate_source *source = context;
    muster__credentials_look(source->credentials);
    struct keys *keys = muster__credentials_keys(source->credentials);
    bool fresh = keys->version != source->given;
    if (fresh) {
        grpc_ssl_pem_key_cert_pair own = {keys->key, keys->certificate};
        /* C-core 1.51 wants authorities where it is to ask for new ones, even if no certificate of a client
           is ever asked for: then any will do. */
        *config = grpc_ssl_server_certificate_config_create(keys->ca ? keys->ca : keys->certificate, &own, 1);
        source->given = keys->version;
    }
    muster__keys_release(keys);
    return fresh ? GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW : GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
}

/*
 * Certificates of clients are asked for here and judged by muster__grpc_identify(). If the handshake judged
 * them, the participant would see its connection closed, and nobody would know why.
 */
grpc_server_credentials *muster__grpc_server_credentials(struct certificate_source *source)
{
    const struct credentials *credentials = source->credentials;
    if (!credentials || !credentials->tls)
        return grpc_insecure_server_credentials_create();
    return grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            credentials->files.ca ? GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_BUT_DONT_VERIFY
                                  : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
            fetch_certificate, source));
}

grpc_metadata muster__grpc_authorization(const struct keys *keys)
{
    grpc_metadata authorization = {.key = grpc_slice_from_static_string("authorization"),
                                   .value = grpc_empty_slice()};
    if (!keys || !keys->token)
        return authorization;
    size_t size = keys->token_size;
    authorization.value = grpc_slice_malloc(strlen(SCHEME) + size);
    memcpy(GRPC_SLICE_START_PTR(authorization.value), SCHEME, strlen(SCHEME));
    memcpy(GRPC_SLICE_START_PTR(authorization.value) + strlen(SCHEME), keys->token, size);
    return authorization;
}

/* ---- judging a call ---- */

/* The first; NULL: none. */
static const grpc_metadata *find_authorization(const grpc_metadata_array *metadata)
{
    for (size_t i = 0; i < metadata->count; i++) {
        if (grpc_slice_str_cmp(metadata->metadata[i].key, "authorization") == 0)
            return &metadata->metadata[i];
    }
    return NULL;
}

bool muster__grpc_shows_token(const grpc_metadata_array *metadata)
{
    return find_authorization(metadata) != NULL;
}

static void check_token(const struct keys *keys, const grpc_metadata_array *metadata,
                        struct peer_identity *identity)
{
    const grpc_metadata *authorization = find_authorization(metadata);
    if (!authorization) {
        muster__error(&identity->refusal, MUSTER_UNAUTHENTICATED,
                      "the server asks for a token: set its file (in other languages: send metadata "
                      "'authorization: Bearer TOKEN')");
        return;
    }
    const char *text = (const char *)GRPC_SLICE_START_PTR(authorization->value);
    size_t size = GRPC_SLICE_LENGTH(authorization->value);
    if (size > strlen(SCHEME) && strncasecmp(text, SCHEME, strlen(SCHEME)) == 0 &&
        muster__keys_check_token(keys, text + strlen(SCHEME), size - strlen(SCHEME)))
        return;
    identity->wrong_token = true;
    muster__error(&identity->refusal, MUSTER_UNAUTHENTICATED,
                  "the token is not the server's: get the right one");
}

static const grpc_auth_property *first_property(const grpc_auth_context *context, const char *name)
{
    grpc_auth_property_iterator iterator = grpc_auth_context_find_properties_by_name(context, name);
    return grpc_auth_property_iterator_next(&iterator);
}

static void check_certificate(const struct keys *keys, const grpc_auth_context *context,
                              struct muster_error *refusal)
{
    const grpc_auth_property *leaf = first_property(context, GRPC_X509_PEM_CERT_PROPERTY_NAME);
    const grpc_auth_property *chain = first_property(context, GRPC_X509_PEM_CERT_CHAIN_PROPERTY_NAME);
    if (!leaf)
        muster__error(
            refusal, MUSTER_UNAUTHENTICATED,
            "the server asks for a certificate: set one that an authority of the server's has signed");
    else
        muster__keys_check_certificate(keys, leaf->value, leaf->value_length, chain ? chain->value : "",
                                       chain ? chain->value_length : 0, refusal);
}

/* Adds the properties that are names to `names`, or counts them when that is NULL. */
static size_t collect_names(const grpc_auth_context *context, const char *property, const char **names)
{
    size_t count = 0;
    const grpc_auth_property *name;
    grpc_auth_property_iterator iterator = grpc_auth_context_find_properties_by_name(context, property);
    while ((name = grpc_auth_property_iterator_next(&iterator))) {
        if (name->value_length == 0 || memchr(name->value, '\0', name->value_length))
            continue; /* one that ends early for some of its readers names nobody */
        if (names && !(names[count] = strndup(name->value, name->value_length)))
            break;
        count++;
    }
    return count;
}

/* False: out of memory. */
static bool take_names(struct peer_identity *identity, const grpc_auth_context *context)
{
    size_t most = collect_names(context, GRPC_X509_CN_PROPERTY_NAME, NULL) +
                  collect_names(context, GRPC_PEER_DNS_PROPERTY_NAME, NULL);
    identity->names = calloc(most + 1, sizeof(*identity->names));
    if (!identity->names)
        return false;
    size_t count = collect_names(context, GRPC_X509_CN_PROPERTY_NAME, identity->names);
    count += collect_names(context, GRPC_PEER_DNS_PROPERTY_NAME, identity->names + count);
    if (most == 0)
        muster__error(&identity->refusal, MUSTER_UNAUTHENTICATED,
                      "the certificate names nobody: it needs a common name or a DNS name");
    return count == most;
}

struct peer_identity *muster__grpc_identify(const struct keys *keys, grpc_call *call,
                                            const grpc_metadata_array *metadata)
{
    struct peer_identity *identity = calloc(1, sizeof(*identity));
    bool named = true;
    if (!identity)
        return NULL;
    if (keys->authorities) {
        grpc_auth_context *context = grpc_call_auth_context(call);
        check_certificate(keys, context, &identity->refusal);
        if (identity->refusal.status == MUSTER_OK)
            named = take_names(identity, context);
        grpc_auth_context_release(context);
    }
    if (keys->token && identity->refusal.status == MUSTER_OK)
        check_token(keys, metadata, identity);
    if (named)
        return identity;
    muster__grpc_identity_free(identity);
    return NULL;
}

void muster__grpc_identity_free(struct peer_identity *identity)
{
    if (!identity)
        return;
    for (size_t i = 0; identity->names && identity->names[i]; i++)
        free((char *)identity->names[i]);
    free(identity->names);
    free(identity);
}
