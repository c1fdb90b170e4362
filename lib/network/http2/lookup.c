/* Looking up hosts: a few threads that end when there is nothing to look up, as getaddrinfo() waits as long as the
   system lets it. */
#include <config.h>

#include <netdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "network/http2/lookup.h"

enum { THREADS_MAX = 4 };

struct lookup {
    STAILQ_ENTRY(lookup) link;
    char *host, *port;
    void (*found)(void *context); /* NULL: it was dropped */
    void *context;
    bool begun, over;
    int code;
    struct addrinfo *addresses;
};

/* Taken under a connection's; `found` is called under it, and takes a loop's. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static STAILQ_HEAD(,
                   lookup) waiting = STAILQ_HEAD_INITIALIZER(waiting); /* guarded by lock, as what follows */
static unsigned threads;

static void lookup_free(struct lookup *lookup)
{
    if (lookup->addresses)
        freeaddrinfo(lookup->addresses);
    free(lookup->host);
    free(lookup->port);
    free(lookup);
}

int muster__lookup_now(const char *host, const char *port, int flags, struct addrinfo **found)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags};
    *found = NULL;
    return getaddrinfo(host, port, &hints, found);
}

static void *run(void *context)
{
    struct lookup *lookup;
    (void)context;
    pthread_mutex_lock(&lock);
    while ((lookup = STAILQ_FIRST(&waiting))) {
        STAILQ_REMOVE_HEAD(&waiting, link);
        lookup->begun = true;
        pthread_mutex_unlock(&lock);
        struct addrinfo *addresses;
        int code = muster__lookup_now(lookup->host, lookup->port, 0, &addresses);
        pthread_mutex_lock(&lock);
        lookup->code = code;
        lookup->addresses = addresses;
        lookup->over = true;
        if (lookup->found)
            lookup->found(lookup->context);
        else
            lookup_free(lookup);
    }
    threads--;
    pthread_mutex_unlock(&lock);
    return NULL;
}

/* With the lock held. False: there is no thread to do it. */
static bool add_thread(void)
{
    pthread_t thread;
    if (threads < THREADS_MAX && pthread_create(&thread, NULL, run, NULL) == 0) {
        pthread_detach(thread);
        threads++;
    }
    return threads > 0;
}

struct lookup *muster__lookup_start(const char *host, const char *port, void (*found)(void *context),
                                    void *context)
{
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    if (!lookup)
        return NULL;
    lookup->host = strdup(host);
    lookup->port = strdup(port);
    lookup->found = found;
    lookup->context = context;
    bool good = lookup->host && lookup->port;
    if (good) {
        pthread_mutex_lock(&lock);
        STAILQ_INSERT_TAIL(&waiting, lookup, link);
        good = add_thread();
        if (!good)
            STAILQ_REMOVE(&waiting, lookup, lookup, link);
        pthread_mutex_unlock(&lock);
    }
    if (good)
        return lookup;
    lookup_free(lookup);
    return NULL;
}

bool muster__lookup_take(struct lookup *lookup, struct addrinfo **found, int *code)
{
    pthread_mutex_lock(&lock);
    bool over = lookup->over;
    if (over) {
        *code = lookup->code;
        *found = lookup->addresses;
        lookup->addresses = NULL;
        lookup_free(lookup);
    }
    pthread_mutex_unlock(&lock);
    return over;
}

void muster__lookup_drop(struct lookup *lookup)
{
    pthread_mutex_lock(&lock);
    lookup->found = NULL;
    if (!lookup->begun)
        STAILQ_REMOVE(&waiting, lookup, lookup, link);
    if (!lookup->begun || lookup->over)
        lookup_free(lookup);
    pthread_mutex_unlock(&lock);
}
