/* The fixture: networks of the local transport for tests, which move their clock and make their faults. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/fixture.h>

#include "network/local.h"
#include "network/scheme.h"

#define NAME_SIZE_MAX 32

struct fixture_network {
    struct network network;
    struct scheme scheme; /* its own */
    char prefix[sizeof("fixture:/") + NAME_SIZE_MAX];
};

static struct muster_transport *acquire(const struct scheme *scheme, unsigned threads,
                                        struct muster_error *error)
{
    (void)threads;
    (void)error;
    return &CONTAINER(scheme, struct fixture_network, scheme)->network.base;
}

struct muster_transport *muster_fixture_new(const char *name)
{
    if (!*name || strlen(name) > NAME_SIZE_MAX || strchr(name, '/'))
        return NULL;
    struct fixture_network *fixture = calloc(1, sizeof(*fixture));
    if (!fixture)
        return NULL;
    muster__local_init(&fixture->network, true);
    snprintf(fixture->prefix, sizeof(fixture->prefix), "fixture:%s/", name);
    fixture->scheme = (struct scheme){.prefix = fixture->prefix, .form = fixture->prefix, .acquire = acquire};
    muster__scheme_register(&fixture->scheme);
    return &fixture->network.base;
}

void muster_fixture_free(struct muster_transport *transport)
{
    struct fixture_network *fixture = (struct fixture_network *)transport;
    muster__scheme_unregister(&fixture->scheme);
    muster__local_destroy(&fixture->network);
    free(fixture);
}

/* ---- what falls due ---- */

bool muster_fixture_step(struct muster_transport *transport)
{
    return muster__local_step((struct network *)transport);
}

void muster_fixture_settle(struct muster_transport *transport)
{
    while (muster_fixture_step(transport))
        ;
}

void muster_fixture_run(struct muster_transport *transport)
{
    muster__local_run((struct network *)transport);
}

void muster_fixture_stop(struct muster_transport *transport)
{
    muster__local_stop((struct network *)transport);
}

/* ---- the clock and the faults ---- */

static struct network *lock(struct muster_transport *transport)
{
    struct network *network = (struct network *)transport;
    pthread_mutex_lock(&network->lock);
    return network;
}

static void unlock(struct network *network)
{
    pthread_mutex_unlock(&network->lock);
}

void muster_fixture_advance(struct muster_transport *transport, int64_t milliseconds)
{
    struct network *network = lock(transport);
    network->time += milliseconds;
    pthread_cond_broadcast(&network->changed);
    unlock(network);
}

void muster_fixture_wait_alarm(struct muster_transport *transport, int64_t at)
{
    struct network *network = lock(transport);
    while (network->alarm_at > at)
        pthread_cond_wait(&network->changed, &network->lock);
    unlock(network);
}

void muster_fixture_delay(struct muster_transport *transport, int64_t milliseconds)
{
    struct network *network = lock(transport);
    network->faults.delay = milliseconds;
    unlock(network);
}

void muster_fixture_fail_send(struct muster_transport *transport, size_t n)
{
    struct network *network = lock(transport);
    network->faults.fail_send = n;
    unlock(network);
}

void muster_fixture_refuse(struct muster_transport *transport, bool refuse)
{
    struct network *network = lock(transport);
    network->faults.refuse = refuse;
    unlock(network);
}

void muster_fixture_lose(struct muster_transport *transport, bool lose)
{
    struct network *network = lock(transport);
    network->faults.lose = lose;
    unlock(network);
}

void muster_fixture_come_from(struct muster_transport *transport, const char *host)
{
    struct network *network = lock(transport);
    network->faults.host = host;
    unlock(network);
}

void muster_fixture_show(struct muster_transport *transport, const char *const *names, const char *refusal)
{
    struct network *network = lock(transport);
    network->faults.names = names;
    network->faults.refusal = refusal;
    unlock(network);
}

bool muster_fixture_drop(struct muster_transport *transport, size_t n)
{
    struct network *network = lock(transport);
    bool dropped = muster__local_break(network, n);
    unlock(network);
    return dropped;
}

bool muster_fixture_half_close(struct muster_transport *transport, size_t n)
{
    struct network *network = lock(transport);
    bool left = muster__local_leave(network, n);
    unlock(network);
    return left;
}
