/*
 * Channels that are given up. C-core 1.51 loses a connection that is being made when its channel is destroyed: once
 * the server's first frame has come, nobody owns the connection, and its socket stays open for good. So a channel
 * stays until its attempt has ended. Nothing tells how far that has got: where no connection is there yet to be lost,
 * this costs the memory of a channel for a while. Only where nobody uses the transport any more, it stays for a second
 * at most, and the connection to a server that answers later is lost as before.
 */
#include <config.h>

#include <stdlib.h>

#include <grpc/support/time.h>

#include "network/grpc.h"

/* What an attempt may take: C-core gives each address of the server 20 s. */
#define ATTEMPT_LIMIT_S 30

struct parting {
    struct tag decided; /* the attempt has ended, or its time is up */
    LIST_ENTRY(parting) link;
    struct partings *partings;
    grpc_channel *channel; /* NULL: it has been destroyed; guarded by the lock */
};

void muster__grpc_partings_init(struct partings *partings)
{
    LIST_INIT(&partings->list);
    pthread_mutex_init(&partings->lock, NULL);
}

void muster__grpc_partings_destroy(struct partings *partings)
{
    pthread_mutex_destroy(&partings->lock);
}

/* For the caller to destroy; NULL: somebody did. With the lock held. */
static grpc_channel *take_channel(struct parting *parting)
{
    grpc_channel *channel = parting->channel;
    if (channel)
        LIST_REMOVE(parting, link);
    parting->channel = NULL;
    return channel;
}

static void attempt_decided(struct tag *tag, bool ok)
{
    struct parting *parting = CONTAINER(tag, struct parting, decided);
    (void)ok;
    pthread_mutex_lock(&parting->partings->lock);
    grpc_channel *channel = take_channel(parting);
    pthread_mutex_unlock(&parting->partings->lock);
    if (channel)
        grpc_channel_destroy(channel);
    free(parting);
}

/* With the lock held, so that nobody destroys the channel before it is watched. */
static void watch(struct grpc_transport *transport, struct parting *parting)
{
    gpr_timespec limit =
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_seconds(ATTEMPT_LIMIT_S, GPR_TIMESPAN));
    HANDED_OVER(&parting->decided);
    grpc_channel_watch_connectivity_state(parting->channel, GRPC_CHANNEL_CONNECTING, limit, transport->queue,
                                          &parting->decided);
}

void muster__grpc_part(struct grpc_transport *transport, grpc_channel *channel)
{
    struct partings *partings = &transport->partings;
    struct parting *parting = NULL;
    if (grpc_channel_check_connectivity_state(channel, 0) == GRPC_CHANNEL_CONNECTING)
        parting = malloc(sizeof(*parting));
    pthread_mutex_lock(&partings->lock);
    bool stays = parting && !partings->closed;
    if (stays) {
        *parting =
            (struct parting){.decided.complete = attempt_decided, .partings = partings, .channel = channel};
        LIST_INSERT_HEAD(&partings->list, parting, link);
        watch(transport, parting);
    }
    pthread_mutex_unlock(&partings->lock);
    if (!stays) {
        grpc_channel_destroy(channel);
        free(parting);
    }
}

void muster__grpc_partings_close(struct partings *partings)
{
    struct parting *parting;
    pthread_mutex_lock(&partings->lock);
    partings->closed = true;
    while ((parting = LIST_FIRST(&partings->list))) {
        grpc_channel *channel = take_channel(parting);
        pthread_mutex_unlock(&partings->lock);
        grpc_channel_destroy(channel); /* which ends the watch */
        pthread_mutex_lock(&partings->lock);
    }
    pthread_mutex_unlock(&partings->lock);
}
