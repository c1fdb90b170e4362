/* A listener's side of TLS: the context with its certificate, made anew when the files have changed. */
#include <config.h>

#include <pthread.h>
#include <stdlib.h>

#include <openssl/ssl.h>

#include "network/http2/tls.h"
#include "network/http2/tls_context.h"
#include "status.h"

struct tls_server {
    struct credentials *credentials;
    pthread_mutex_t lock; /* guards what follows; the credentials' locks, and OpenSSL's, are taken under it */
    SSL_CTX *context;
    unsigned version; /* of the keys that it was made of, or that OpenSSL did not take */
};

/* With the lock held. False: there was no memory, or OpenSSL does not take them. */
static bool take_keys(struct tls_server *server, const struct keys *keys, struct muster_error *error)
{
    SSL_CTX *fresh = muster__tls_server_context(keys, error);
    if (fresh) {
        SSL_CTX_free(server->context);
        server->context = fresh;
    }
    if (fresh || error->status != MUSTER_OUT_OF_MEMORY)
        server->version = keys->version;
    return fresh != NULL;
}

struct tls_server *muster__tls_server_new(struct credentials *credentials, struct muster_error *error)
{
    struct muster_error own;
    struct tls_server *server = calloc(1, sizeof(*server));
    if (!server) {
        muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&server->lock, NULL);
    server->credentials = credentials;
    struct keys *keys = muster__credentials_keys(credentials);
    bool taken = take_keys(server, keys, &own);
    muster__keys_release(keys);
    if (taken)
        return server;
    muster__error(error, own.status, "%s", own.text);
    muster__tls_server_free(server);
    return NULL;
}

void muster__tls_server_free(struct tls_server *server)
{
    if (!server)
        return;
    SSL_CTX_free(server->context);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

/* The context with the newest certificate, which OpenSSL counts; NULL: out of memory. */
static SSL_CTX *newest_context(struct tls_server *server)
{
    struct muster_error error;
    muster__credentials_look(server->credentials);
    struct keys *keys = muster__credentials_keys(server->credentials);
    pthread_mutex_lock(&server->lock);
    /* Another thread may have seen newer ones meanwhile. */
    if (keys->version > server->version && !take_keys(server, keys, &error))
        muster__credentials_warn(server->credentials, "what was read before stays in use: %.400s",
                                 error.text);
    SSL_CTX *context = SSL_CTX_up_ref(server->context) == 1 ? server->context : NULL;
    pthread_mutex_unlock(&server->lock);
    muster__keys_release(keys);
    return context;
}

struct tls *muster__tls_accept(struct tls_server *server, int descriptor)
{
    SSL_CTX *context = newest_context(server);
    struct tls *tls = context ? muster__tls_new(context, descriptor) : NULL;
    SSL_CTX_free(context);
    if (tls)
        SSL_set_accept_state(muster__tls_ssl(tls));
    return tls;
}
