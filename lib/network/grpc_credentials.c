/* Credentials in C-core's terms, and the judging of calls by them. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include <grpc/grpc_security_constants.h>
#include <grpc/slice.h>

#include "network/credentials.h"
#include "network/grpc.h"

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
    authorization.value = grpc_slice_malloc(strlen(TOKEN_SCHEME) + size);
    memcpy(GRPC_SLICE_START_PTR(authorization.value), TOKEN_SCHEME, strlen(TOKEN_SCHEME));
    memcpy(GRPC_SLICE_START_PTR(authorization.value) + strlen(TOKEN_SCHEME), keys->token, size);
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

static struct piece piece_of(const grpc_auth_property *property)
{
    return property ? (struct piece){(const uint8_t *)property->value, property->value_length}
                    : (struct piece){NULL, 0};
}

static struct piece first_property(const grpc_auth_context *context, const char *name)
{
    grpc_auth_property_iterator iterator = grpc_auth_context_find_properties_by_name(context, name);
    return piece_of(grpc_auth_property_iterator_next(&iterator));
}

/* Adds the properties that are names to `names`, or counts them when that is NULL. */
static size_t collect_names(const grpc_auth_context *context, const char *property, struct piece *names)
{
    size_t count = 0;
    const grpc_auth_property *name;
    grpc_auth_property_iterator iterator = grpc_auth_context_find_properties_by_name(context, property);
    while ((name = grpc_auth_property_iterator_next(&iterator))) {
        if (names)
            names[count] = piece_of(name);
        count++;
    }
    return count;
}

/* What it points to belongs to the context and the metadata, except the array of names, which is the caller's
   to free. False: out of memory. */
static bool look_at(const grpc_auth_context *context, struct shown *shown)
{
    size_t most = collect_names(context, GRPC_X509_CN_PROPERTY_NAME, NULL) +
                  collect_names(context, GRPC_PEER_DNS_PROPERTY_NAME, NULL);
    struct piece *names = calloc(most + 1, sizeof(*names));
    if (!names)
        return false;
    shown->leaf = first_property(context, GRPC_X509_PEM_CERT_PROPERTY_NAME);
    shown->chain = first_property(context, GRPC_X509_PEM_CERT_CHAIN_PROPERTY_NAME);
    shown->names = names;
    shown->name_count = collect_names(context, GRPC_X509_CN_PROPERTY_NAME, names);
    shown->name_count += collect_names(context, GRPC_PEER_DNS_PROPERTY_NAME, names + shown->name_count);
    return true;
}

struct peer_identity *muster__grpc_identify(const struct keys *keys, grpc_call *call,
                                            const grpc_metadata_array *metadata)
{
    struct shown shown = {.names = NULL};
    struct peer_identity *identity = NULL;
    const grpc_metadata *authorization = find_authorization(metadata);
    if (authorization)
        shown.authorization = (struct piece){GRPC_SLICE_START_PTR(authorization->value),
                                             GRPC_SLICE_LENGTH(authorization->value)};
    grpc_auth_context *context = keys->authorities ? grpc_call_auth_context(call) : NULL;
    if (!context || look_at(context, &shown))
        identity = muster__identify(keys, &shown);
    free((void *)(uintptr_t)shown.names);
    if (context)
        grpc_auth_context_release(context);
    return identity;
}
