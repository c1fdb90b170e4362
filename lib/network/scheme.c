/* Which transport an address is for. */
#include <config.h>

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "network/scheme.h"
#include "status.h"

#define SCHEME_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789+-."

static pthread_mutex_t schemes_lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, scheme) registered = LIST_HEAD_INITIALIZER(registered); /* guarded by schemes_lock */

void muster__scheme_register(struct scheme *scheme)
{
    pthread_mutex_lock(&schemes_lock);
    LIST_INSERT_HEAD(&registered, scheme, link);
    pthread_mutex_unlock(&schemes_lock);
}

void muster__scheme_unregister(struct scheme *scheme)
{
    pthread_mutex_lock(&schemes_lock);
    LIST_REMOVE(scheme, link);
    pthread_mutex_unlock(&schemes_lock);
}

/* Whether an address begins as one with a scheme does, and no host with its port. */
static bool has_scheme(const char *address)
{
    const char *end = address + strspn(address, SCHEME_CHARACTERS);
    return islower((unsigned char)*address) && *end == ':' && end[1] &&
           (!isdigit((unsigned char)end[1]) || memchr(address, '+', (size_t)(end - address)));
}

static bool is_of(const char *address, const struct scheme *scheme)
{
    return *scheme->prefix ? strncmp(address, scheme->prefix, strlen(scheme->prefix)) == 0
                           : !has_scheme(address);
}

/* Those that were registered come first; NULL behind the last. With the lock held. */
static const struct scheme *scheme_at(size_t i)
{
    const struct scheme *scheme = LIST_FIRST(&registered);
    for (; scheme && i > 0; i--)
        scheme = LIST_NEXT(scheme, link);
    return scheme ? scheme : muster__built_in_schemes[i];
}

/* NULL: nobody's. With the lock held. */
static const struct scheme *find(const char *address)
{
    const struct scheme *scheme;
    for (size_t i = 0; (scheme = scheme_at(i)) && !is_of(address, scheme);)
        i++;
    return scheme;
}

/* The environment's choice among the transports for addresses without a scheme; NULL: it has none. */
static const char *chosen_name(const struct scheme *found)
{
    const char *name = getenv("MUSTER_NETWORK");
    return name && *name && strcmp(name, "grpc") != 0 && found && !*found->prefix ? name : NULL;
}

/* The transport of that name, or NULL. With the lock held. */
static const struct scheme *find_named(const char *name)
{
    const struct scheme *scheme;
    size_t size = strlen(name);
    for (size_t i = 0; (scheme = scheme_at(i)); i++) {
        if (strncmp(scheme->prefix, name, size) == 0 && strcmp(scheme->prefix + size, "+") == 0)
            break;
    }
    return scheme;
}

/* `name` is the environment's choice, or NULL. With the lock held. */
static enum muster_status explain(const char *address, const char *name, const struct scheme *found,
                                  struct muster_error *error)
{
    char forms[192] = "";
    size_t size = 0;
    const struct scheme *scheme;
    for (size_t i = 0; (scheme = scheme_at(i)) && size < sizeof(forms); i++) {
        if (scheme->acquire)
            size += (size_t)snprintf(forms + size, sizeof(forms) - size, "%s%s", size ? " or " : "",
                                     scheme->form);
    }
    if (name && !found)
        return muster__error(
            error, MUSTER_INVALID,
            "the environment has MUSTER_NETWORK=%.32s: there is http2, and grpc, the default", name);
    if (found)
        return muster__error(error, MUSTER_UNSUPPORTED,
                             "%s%.64s': this muster was built without the transport of %s; there is %s",
                             name ? "MUSTER_NETWORK='" : "'", name ? name : address, found->form, forms);
    return muster__error(error, MUSTER_INVALID,
                         "there is no transport for '%.64s': write it as %s (the port is a number, and no "
                         "http:// stands before the host)",
                         address, forms);
}

enum muster_status muster__transport_acquire(const char *address, unsigned threads,
                                             struct muster_transport **transport, struct muster_error *error)
{
    *transport = NULL;
    pthread_mutex_lock(&schemes_lock);
    const struct scheme *scheme = find(address);
    const char *name = chosen_name(scheme);
    scheme = name ? find_named(name) : scheme;
    enum muster_status status = MUSTER_OK;
    if (!scheme || !scheme->acquire)
        status = explain(address, name, scheme, error);
    pthread_mutex_unlock(&schemes_lock);
    if (status != MUSTER_OK)
        return status;
    struct muster_error cause = {MUSTER_OUT_OF_MEMORY, "out of memory"};
    *transport = scheme->acquire(scheme, threads, &cause);
    return *transport ? MUSTER_OK : muster__error(error, cause.status, "%s", cause.text);
}
