/* Listeners of the local transport. A connection that comes first waits for its listener. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "network/local.h"
#include "network/words.h"
#include "status.h"

/* NULL: nobody listens there. */
static struct listener *find(const struct network *network, const char *address)
{
    struct listener *listener;
    LIST_FOREACH(listener, &network->listeners, link) {
        if (!listener->closed && strcmp(listener->address, address) == 0)
            return listener;
    }
    return NULL;
}

void muster__local_match(struct network *network, struct connection *connection)
{
    struct listener *listener = find(network, connection->address);
    const char *method = connection->service->method;
    int64_t now = muster__local_now(network);
    char text[MUSTER_ERROR_TEXT_SIZE];
    if (!listener)
        return;
    connection->served = muster__find_served(listener->events->served, method, strlen(method));
    if (!connection->served) {
        muster__not_served(listener->events->served, text);
        muster__local_finish(&connection->client, MUSTER_UNSUPPORTED, text, now);
        return;
    }
    listener->streams++;
    connection->listener = listener;
    connection->max_message_size[1] = listener->max_message_size;
    muster__local_enqueue(network, &connection->opened, now);
    struct event *event;
    while ((event = TAILQ_FIRST(&connection->waiting))) {
        TAILQ_REMOVE(&connection->waiting, event, link);
        event->queued = false;
        muster__local_enqueue_to(&connection->server, event, now);
    }
}

enum muster_status muster__local_listen(struct muster_transport *base, const char *address,
                                        size_t max_message_size, const struct connection_options *options,
                                        const struct listener_events *events, void *context,
                                        struct listener **result, uint16_t *port, struct muster_error *error)
{
    (void)options;
    struct network *network = (struct network *)base;
    struct listener *listener = calloc(1, sizeof(*listener) + strlen(address) + 1);
    if (!listener)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    listener->network = network;
    listener->max_message_size = max_message_size;
    listener->events = events;
    listener->context = context;
    listener->stopped = (struct event){.kind = EVENT_STOPPED, .listener = listener};
    strcpy(listener->address, address);
    pthread_mutex_lock(&network->lock);
    bool taken = find(network, address);
    if (!taken) {
        LIST_INSERT_HEAD(&network->listeners, listener, link);
        *result = listener;
        *port = 0;
        struct connection *connection;
        LIST_FOREACH(connection, &network->connections, link) {
            if (!connection->listener && !connection->client.closed.queued &&
                strcmp(connection->address, address) == 0)
                muster__local_match(network, connection);
        }
    }
    pthread_mutex_unlock(&network->lock);
    if (!taken)
        return MUSTER_OK;
    free(listener);
    return muster__error(error, MUSTER_EXISTS, "cannot listen on '%s': the address is in use", address);
}

static void stop_if_done(struct listener *listener)
{
    struct network *network = listener->network;
    if (listener->closed && listener->streams == 0)
        muster__local_enqueue(network, &listener->stopped, muster__local_now(network));
}

void muster__local_left(struct listener *listener)
{
    listener->streams--;
    stop_if_done(listener);
}

void muster__local_close_listener(struct listener *listener)
{
    struct network *network = listener->network;
    pthread_mutex_lock(&network->lock);
    listener->closed = true;
    stop_if_done(listener);
    pthread_mutex_unlock(&network->lock);
}

void muster__local_cut_listener(struct listener *listener)
{
    struct network *network = listener->network;
    struct connection *connection;
    pthread_mutex_lock(&network->lock);
    LIST_FOREACH(connection, &network->connections, link) {
        if (connection->listener == listener)
            muster__local_break(connection, MUSTER_UNAVAILABLE, END_CUT);
    }
    pthread_mutex_unlock(&network->lock);
}

void muster__local_free_listener(struct listener *listener)
{
    struct network *network = listener->network;
    pthread_mutex_lock(&network->lock);
    LIST_REMOVE(listener, link);
    pthread_mutex_unlock(&network->lock);
    free(listener);
}

void muster__local_listener_address(struct listener *listener, char *text, size_t size)
{
    snprintf(text, size, "%s", listener->address);
}
