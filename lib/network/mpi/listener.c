/* Listeners of the MPI transport: each rank has its own, by name. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "network/mpi/mpi.h"
#include "network/words.h"
#include "status.h"

struct mpi_listener *muster__mpi_find_listener(struct mpi_transport *transport, const char *name)
{
    struct mpi_listener *listener;
    LIST_FOREACH(listener, &transport->listeners, link) {
        if (!listener->closed && strcmp(listener->name, name) == 0)
            return listener;
    }
    return NULL;
}

/* Gives it its name, and a place among the others. False: the name is taken. With the lock held. */
static bool enlist(struct mpi_transport *transport, struct mpi_listener *listener,
                   const struct mpi_address *address)
{
    strcpy(listener->name, address->name);
    while (address->any && (!*listener->name || muster__mpi_find_listener(transport, listener->name)))
        snprintf(listener->name, sizeof(listener->name), "%llu", (unsigned long long)++transport->numbers);
    if (muster__mpi_find_listener(transport, listener->name))
        return false;
    LIST_INSERT_HEAD(&transport->listeners, listener, link);
    return true;
}

enum muster_status muster__mpi_listen(struct muster_transport *base, const char *text,
                                      size_t max_message_size, const struct connection_options *options,
                                      const struct listener_events *events, void *context,
                                      struct listener **result, uint16_t *port, struct muster_error *error)
{
    struct mpi_transport *transport = (struct mpi_transport *)base;
    struct mpi_address address;
    (void)options; /* whoever is in the world was started with us */
    enum muster_status status = muster__mpi_parse(transport, text, &address, error);
    if (status != MUSTER_OK)
        return status;
    if (address.rank != transport->rank)
        return muster__error(error, MUSTER_INVALID,
                             "cannot listen on '%s': this process has rank %d (mpi: stands for its own)",
                             text, transport->rank);
    struct mpi_listener *listener = calloc(1, sizeof(*listener));
    if (!listener)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    listener->max_message_size = max_message_size;
    listener->events = events;
    listener->context = context;
    *result = (struct listener *)listener;
    *port = 0;
    pthread_mutex_lock(&transport->lock);
    const char *lost = transport->lost;
    bool listed = !lost && enlist(transport, listener, &address);
    pthread_mutex_unlock(&transport->lock);
    if (listed)
        return MUSTER_OK;
    free(listener);
    if (lost)
        return muster__error(error, MUSTER_UNAVAILABLE, "cannot listen on '%s': %s", text, lost);
    return muster__error(error, MUSTER_EXISTS, "cannot listen on '%s': the address is in use", text);
}

static void stop_if_done(struct mpi_listener *listener)
{
    if (!listener->closed || listener->streams > 0 || listener->stopped)
        return;
    listener->stopped = true;
    TAILQ_INSERT_TAIL(&muster__mpi.stopped, listener, stopped_link);
    muster__mpi_wake();
}

void muster__mpi_listener_left(struct mpi_listener *listener)
{
    listener->streams--;
    stop_if_done(listener);
}

void muster__mpi_close_listener(struct listener *base)
{
    struct mpi_listener *listener = (struct mpi_listener *)base;
    pthread_mutex_lock(&muster__mpi.lock);
    listener->closed = true;
    stop_if_done(listener);
    pthread_mutex_unlock(&muster__mpi.lock);
}

void muster__mpi_cut_listener(struct listener *base)
{
    struct mpi_listener *listener = (struct mpi_listener *)base;
    struct mpi_stream *stream;
    pthread_mutex_lock(&muster__mpi.lock);
    for (size_t i = 0; i < STREAM_BUCKETS; i++) {
        LIST_FOREACH(stream, &muster__mpi.streams[i], link) {
            if (stream->listener == listener)
                muster__mpi_break(stream, MUSTER_GONE, MUSTER_UNAVAILABLE, END_CUT);
        }
    }
    pthread_mutex_unlock(&muster__mpi.lock);
}

void muster__mpi_free_listener(struct listener *base)
{
    struct mpi_listener *listener = (struct mpi_listener *)base;
    pthread_mutex_lock(&muster__mpi.lock);
    LIST_REMOVE(listener, link);
    pthread_mutex_unlock(&muster__mpi.lock);
    free(listener);
}

void muster__mpi_listener_address(struct listener *base, char *text, size_t size)
{
    const struct mpi_listener *listener = (struct mpi_listener *)base;
    snprintf(text, size, "mpi:%d%s%s", muster__mpi.rank, *listener->name ? "/" : "", listener->name);
}
