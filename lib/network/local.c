/*
 * The local transport. One lock guards everything in a network; events are delivered without it, by one
 * thread at a time. The events that must not fail for want of memory, those of a connection's beginning and
 * end, are part of the connection.
 */
#include <config.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "network/local.h"
#include "status.h"

enum event_kind { EVENT_OPENED, EVENT_MESSAGE, EVENT_SENT, EVENT_LEFT, EVENT_CLOSED, EVENT_STOPPED };

struct event {
    struct event *next;
    enum event_kind kind;
    int64_t due;
    bool queued;
    struct end *end;
    struct listener *listener;
    struct buffer *bytes;
};

struct end {
    struct stream base;
    struct connection *connection;
    struct end *peer;
    const struct stream_events *events;
    void *context;
    struct event closed;
    struct event sent;
    int64_t last_due; /* of the messages on their way to this end: the next may not overtake them */
    int64_t reads_at; /* it is not told of messages before */
    bool closing;     /* no more sends */
    bool over;        /* it is being told of its end: no more messages */
    enum muster_status status;
    char text[MUSTER_ERROR_TEXT_SIZE];
};

struct connection {
    struct connection *next;
    struct network *network;
    struct listener *listener;
    char *address;
    const struct service *service;
    const struct served *served; /* of the listener */
    const char *host;            /* of the client */
    size_t number;
    size_t max_message_size[2]; /* that the client, that the server receives */
    unsigned references;        /* each end's owner's, and one of each event on its way */
    struct event opened;
    struct event left;
    struct event *waiting; /* for a listener: what the client said before there was one, in order */
    struct end client;
    struct end server;
};

struct listener {
    struct listener *next;
    struct network *network;
    char *address;
    size_t max_message_size;
    const struct listener_events *events;
    void *context;
    struct event stopped;
    size_t streams;
    bool closed;
};

struct network {
    struct muster_transport base;
    pthread_mutex_t lock; /* guards all below, and all of listeners, connections and ends */
    pthread_cond_t changed;
    struct event *events; /* in the order of delivery */
    struct listener *listeners;
    struct connection *connections;
    size_t connected;
    int64_t now;
    int64_t alarm_at;
    int64_t delay;
    size_t fail_send;
    bool refuse;
    bool lose;
    bool stopped;
    const char *host;         /* that connections come from */
    const char *const *names; /* what streams show a server */
    const char *refusal;
};

static const struct transport_ops transport_ops;
static const struct stream_ops stream_ops;

static void drop_event(struct event *event)
{
    if (event->kind != EVENT_MESSAGE)
        return; /* part of its connection or listener */
    muster__buffer_release(event->bytes);
    free(event);
}

static void connection_free(struct connection *connection)
{
    while (connection->waiting) {
        struct event *event = connection->waiting;
        connection->waiting = event->next;
        drop_event(event);
    }
    free(connection->address);
    free(connection);
}

static void connection_unreference(struct connection *connection)
{
    if (--connection->references > 0)
        return;
    struct connection **place = &connection->network->connections;
    while (*place != connection)
        place = &(*place)->next;
    *place = connection->next;
    connection_free(connection);
}

static void insert(struct network *network, struct event *event, int64_t due)
{
    event->due = due;
    struct event **place = &network->events;
    while (*place && (*place)->due <= due)
        place = &(*place)->next;
    event->next = *place;
    *place = event;
    pthread_cond_broadcast(&network->changed);
}

static void enqueue(struct network *network, struct event *event, int64_t due)
{
    if (event->queued)
        return;
    event->queued = true;
    if (event->end)
        event->end->connection->references++;
    insert(network, event, due);
}

/* What is told in order waits while its end pauses. */
static bool must_wait(const struct network *network, const struct event *event)
{
    return (event->kind == EVENT_MESSAGE || event->kind == EVENT_LEFT) && event->end->reads_at > network->now;
}

/* A message to an end, or that its peer left: after all that is on its way there. */
static void enqueue_to(struct end *end, struct event *event, int64_t due)
{
    struct connection *connection = end->connection;
    if (due > end->last_due)
        end->last_due = due;
    if (end == &connection->client || connection->listener) {
        enqueue(connection->network, event, end->last_due);
    } else if (!event->queued) {
        event->queued = true;
        struct event **place = &connection->waiting;
        while (*place)
            place = &(*place)->next;
        event->next = NULL;
        *place = event;
    }
}

/* Tells one end, once, that the stream is over, after what is on its way to it. */
static void finish_end(struct end *end, enum muster_status status, const char *text, int64_t due)
{
    if (end->closed.queued)
        return;
    end->closing = true;
    end->status = status;
    snprintf(end->text, sizeof(end->text), "%s", text);
    enqueue(end->connection->network, &end->closed, due);
}

static void break_connection(struct connection *connection, enum muster_status client_status,
                             const char *text)
{
    int64_t now = connection->network->now;
    finish_end(&connection->client, client_status, text, now);
    finish_end(&connection->server, MUSTER_GONE, text, now);
}

/* ---- streams ---- */

/* Puts a message on its way, in memory of its own. */
static enum muster_status send_message(struct end *end, const uint8_t *head, size_t head_size,
                                       const struct piece *pieces, size_t count, bool part)
{
    struct network *network = end->connection->network;
    enum muster_status status = MUSTER_OUT_OF_MEMORY;
    size_t size = head_size;
    for (size_t i = 0; i < count; i++)
        size += pieces[i].size;
    struct event *event = calloc(1, sizeof(*event));
    struct buffer *bytes = muster__buffer_new(size);
    if (!event || !bytes)
        goto cleanup;
    uint8_t *at = bytes->data;
    if (head_size)
        memcpy(at, head, head_size);
    at += head_size;
    for (size_t i = 0; i < count; i++) {
        memcpy(at, pieces[i].data, pieces[i].size);
        at += pieces[i].size;
    }
    *event = (struct event){.kind = EVENT_MESSAGE, .end = end->peer, .bytes = bytes};

    pthread_mutex_lock(&network->lock);
    bool broken = network->fail_send > 0 && --network->fail_send == 0;
    if (broken)
        break_connection(end->connection, MUSTER_UNAVAILABLE, "the connection broke");
    if (end->closing) {
        status = MUSTER_CLOSED;
    } else if (network->lose) {
        status = MUSTER_OK; /* and a part stays unsent: the windows are full */
    } else {
        enqueue_to(end->peer, event, network->now + network->delay);
        if (part)
            enqueue(network, &end->sent, network->now);
        event = NULL;
        bytes = NULL;
        status = MUSTER_OK;
    }
    pthread_mutex_unlock(&network->lock);
cleanup:
    free(event);
    muster__buffer_release(bytes);
    return status;
}

static enum muster_status stream_send(struct stream *base, const uint8_t *head, size_t head_size,
                                      struct buffer *body)
{
    const struct piece piece = {body ? body->data : NULL, body ? body->size : 0};
    return send_message((struct end *)base, head, head_size, &piece, body && body->size ? 1 : 0, false);
}

static enum muster_status stream_send_part(struct stream *base, const uint8_t *head, size_t head_size,
                                           struct buffer *body, const struct piece *pieces, size_t count)
{
    (void)body; /* its bytes are copied */
    return send_message((struct end *)base, head, head_size, pieces, count, true);
}

/*
 * A server's end gives both ends their status; a client's tells the server that nothing more will come. Over
 * a cut cable nothing of this gets out, so that the end comes with a cut.
 */
static void stream_close(struct stream *base, enum muster_status status, const char *text)
{
    struct end *end = (struct end *)base;
    struct connection *connection = end->connection;
    struct network *network = connection->network;
    pthread_mutex_lock(&network->lock);
    bool begins = !end->closing && !network->lose;
    end->closing = true;
    if (begins && end == &connection->server) {
        finish_end(&connection->client, status, text, connection->client.last_due);
        finish_end(end, status, text, network->now);
    } else if (begins) {
        enqueue_to(&connection->server, &connection->left, network->now);
    }
    pthread_mutex_unlock(&network->lock);
}

static void stream_cut(struct stream *base)
{
    struct end *end = (struct end *)base;
    struct network *network = end->connection->network;
    pthread_mutex_lock(&network->lock);
    bool by_client = end == &end->connection->client;
    break_connection(end->connection, by_client ? MUSTER_CANCELLED : MUSTER_UNAVAILABLE,
                     "the stream was cut");
    pthread_mutex_unlock(&network->lock);
}

static bool stream_revoke(struct stream *base, const struct buffer *body)
{
    (void)base;
    (void)body;
    return false; /* nothing waits here: all that was sent is on its way */
}

static void stream_hold(struct stream *base)
{
    (void)base; /* nothing to gain */
}

static void stream_pause(struct stream *base, int64_t milliseconds)
{
    struct end *end = (struct end *)base;
    struct network *network = end->connection->network;
    pthread_mutex_lock(&network->lock);
    end->reads_at = network->now + milliseconds;
    pthread_mutex_unlock(&network->lock);
}

static void stream_peer(struct stream *base, char *text, size_t size)
{
    const struct connection *connection = ((struct end *)base)->connection;
    snprintf(text, size, "%s:%zu", connection->host, connection->number);
}

static enum muster_status stream_authenticate(struct stream *base, const char *const **names,
                                              struct muster_error *error)
{
    struct network *network = ((struct end *)base)->connection->network;
    pthread_mutex_lock(&network->lock);
    *names = network->names;
    const char *refusal = network->refusal;
    pthread_mutex_unlock(&network->lock);
    return refusal ? muster__error(error, MUSTER_UNAUTHENTICATED, "%s", refusal) : MUSTER_OK;
}

static void stream_release(struct stream *base)
{
    struct connection *connection = ((struct end *)base)->connection;
    struct network *network = connection->network;
    pthread_mutex_lock(&network->lock);
    connection_unreference(connection);
    pthread_mutex_unlock(&network->lock);
}

static const struct stream_ops stream_ops = {
    .send = stream_send,
    .send_part = stream_send_part,
    .close = stream_close,
    .cut = stream_cut,
    .revoke = stream_revoke,
    .hold = stream_hold,
    .pause = stream_pause,
    .peer = stream_peer,
    .authenticate = stream_authenticate,
    .release = stream_release,
};

/* ---- connecting ---- */

static void end_init(struct end *end, struct connection *connection, struct end *peer)
{
    end->base.ops = &stream_ops;
    end->connection = connection;
    end->peer = peer;
    end->closed = (struct event){.kind = EVENT_CLOSED, .end = end};
    end->sent = (struct event){.kind = EVENT_SENT, .end = end};
}

/* Brings a connection that waits together with a listener that has come, or the other way round. */
static void match(struct network *network, struct connection *connection)
{
    for (struct listener *listener = network->listeners; listener; listener = listener->next) {
        if (listener->closed || strcmp(listener->address, connection->address) != 0)
            continue;
        const char *method = connection->service->method;
        char text[MUSTER_ERROR_TEXT_SIZE];
        connection->served = muster__find_served(listener->events->served, method, strlen(method));
        if (!connection->served) {
            muster__not_served(listener->events->served, text);
            finish_end(&connection->client, MUSTER_UNSUPPORTED, text, network->now);
            return;
        }
        listener->streams++;
        connection->listener = listener;
        connection->max_message_size[1] = listener->max_message_size;
        enqueue(network, &connection->opened, network->now);
        while (connection->waiting) {
            struct event *event = connection->waiting;
            connection->waiting = event->next;
            event->queued = false;
            enqueue_to(&connection->server, event, network->now);
        }
        return;
    }
}

static enum muster_status transport_connect(struct muster_transport *base, const char *address,
                                            const struct service *service, size_t max_message_size,
                                            const struct connection_options *options,
                                            const struct stream_events *events, void *context,
                                            struct stream **stream, struct muster_error *error)
{
    (void)options;
    struct network *network = (struct network *)base;
    struct connection *connection = calloc(1, sizeof(*connection));
    char *copy = strdup(address);
    if (!connection || !copy) {
        free(connection);
        free(copy);
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    }
    connection->network = network;
    connection->address = copy;
    connection->service = service;
    connection->references = 1; /* the client's; the server's follows when it is accepted */
    connection->max_message_size[0] = max_message_size;
    end_init(&connection->client, connection, &connection->server);
    end_init(&connection->server, connection, &connection->client);
    connection->server.closed.queued = true; /* nobody is there yet to be told */
    connection->client.events = events;
    connection->client.context = context;
    connection->opened = (struct event){.kind = EVENT_OPENED, .end = &connection->server};
    connection->left = (struct event){.kind = EVENT_LEFT, .end = &connection->server};
    *stream = &connection->client.base;

    pthread_mutex_lock(&network->lock);
    connection->number = network->connected++;
    connection->host = network->host;
    connection->next = network->connections;
    network->connections = connection;
    if (network->refuse)
        finish_end(&connection->client, MUSTER_UNAVAILABLE, "refused", network->now);
    else
        match(network, connection);
    pthread_mutex_unlock(&network->lock);
    return MUSTER_OK;
}

static enum muster_status transport_listen(struct muster_transport *base, const char *address,
                                           size_t max_message_size, const struct connection_options *options,
                                           const struct listener_events *events, void *context,
                                           struct listener **result, uint16_t *port,
                                           struct muster_error *error)
{
    (void)options;
    struct network *network = (struct network *)base;
    struct listener *listener = calloc(1, sizeof(*listener));
    char *copy = strdup(address);
    if (!listener || !copy) {
        free(listener);
        free(copy);
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    }
    *listener = (struct listener){.network = network,
                                  .address = copy,
                                  .max_message_size = max_message_size,
                                  .events = events,
                                  .context = context,
                                  .stopped = {.kind = EVENT_STOPPED, .listener = listener}};
    bool taken = false;
    pthread_mutex_lock(&network->lock);
    for (struct listener *other = network->listeners; other; other = other->next)
        taken = taken || (!other->closed && strcmp(other->address, address) == 0);
    if (!taken) {
        listener->next = network->listeners;
        network->listeners = listener;
        *result = listener;
        for (struct connection *connection = network->connections; connection;
             connection = connection->next) {
            if (!connection->listener && !connection->client.closed.queued &&
                strcmp(connection->address, address) == 0)
                match(network, connection);
        }
    }
    pthread_mutex_unlock(&network->lock);
    if (!taken) {
        *port = 0;
        return MUSTER_OK;
    }
    free(copy);
    free(listener);
    return muster__error(error, MUSTER_EXISTS, "cannot listen on '%s': the address is in use", address);
}

static void stop_if_done(struct listener *listener)
{
    if (listener->closed && listener->streams == 0)
        enqueue(listener->network, &listener->stopped, listener->network->now);
}

static void close_listener(struct listener *listener)
{
    struct network *network = listener->network;
    pthread_mutex_lock(&network->lock);
    listener->closed = true;
    stop_if_done(listener);
    pthread_mutex_unlock(&network->lock);
}

static void cut_listener(struct listener *listener)
{
    struct network *network = listener->network;
    pthread_mutex_lock(&network->lock);
    for (struct connection *connection = network->connections; connection; connection = connection->next) {
        if (connection->listener == listener)
            break_connection(connection, MUSTER_UNAVAILABLE, "the stream was cut");
    }
    pthread_mutex_unlock(&network->lock);
}

static void free_listener(struct listener *listener)
{
    struct network *network = listener->network;
    pthread_mutex_lock(&network->lock);
    struct listener **place = &network->listeners;
    while (*place != listener)
        place = &(*place)->next;
    *place = listener->next;
    pthread_mutex_unlock(&network->lock);
    free(listener->address);
    free(listener);
}

/* ---- delivery: called without the lock, on the stepping thread ---- */

static void deliver_opened(struct connection *connection)
{
    struct network *network = connection->network;
    struct listener *listener = connection->listener;
    struct end *server = &connection->server;
    pthread_mutex_lock(&network->lock);
    bool gone = listener->closed || connection->client.closed.queued;
    if (gone) {
        finish_end(&connection->client, MUSTER_UNAVAILABLE, "the server is stopping", network->now);
        listener->streams--;
        stop_if_done(listener);
        connection->listener = NULL;
    } else {
        connection->references++;
        server->closed.queued = false;
    }
    pthread_mutex_unlock(&network->lock);
    if (gone)
        return;

    const struct stream_events *events = NULL;
    void *context = connection->served->accepted(listener->context, &server->base, &events);
    pthread_mutex_lock(&network->lock);
    server->events = events;
    server->context = context;
    if (!context) {
        connection_unreference(connection); /* nobody owns the server's end */
        finish_end(&connection->client, MUSTER_OUT_OF_MEMORY, "the server is out of memory", network->now);
        finish_end(server, MUSTER_OUT_OF_MEMORY, "out of memory", network->now);
    }
    pthread_mutex_unlock(&network->lock);
}

static void deliver_message(struct end *end, struct buffer *bytes)
{
    struct connection *connection = end->connection;
    struct network *network = connection->network;
    bool to_server = end == &connection->server;
    size_t limit = connection->max_message_size[to_server ? 1 : 0];
    pthread_mutex_lock(&network->lock);
    bool deaf = end->over;
    bool too_big = !deaf && bytes->size > limit;
    if (too_big) {
        finish_end(end, MUSTER_TOO_BIG, "a message was bigger than the limit", network->now);
        finish_end(end->peer, to_server ? MUSTER_TOO_BIG : MUSTER_GONE, "a message was bigger than the limit",
                   network->now);
    }
    const struct stream_events *events = end->events;
    pthread_mutex_unlock(&network->lock);
    if (deaf || too_big || !events)
        return;
    /* In pieces, as a network delivers them. */
    size_t first = bytes->size < 3 ? bytes->size : bytes->size / 3;
    const struct piece pieces[] = {{bytes->data, first}, {bytes->data + first, bytes->size - first}};
    events->message(end->context, pieces, 2, bytes->size);
}

static void deliver_sent(struct end *end)
{
    struct network *network = end->connection->network;
    pthread_mutex_lock(&network->lock);
    end->sent.queued = false; /* its owner may send again at once */
    bool deaf = end->over || end->closing;
    pthread_mutex_unlock(&network->lock);
    if (!deaf && end->events && end->events->sent)
        end->events->sent(end->context);
}

/* A client closed its side: the server's end answers with OK and is over. */
static void deliver_left(struct end *server)
{
    struct network *network = server->connection->network;
    pthread_mutex_lock(&network->lock);
    finish_end(server->peer, MUSTER_OK, "", network->now);
    finish_end(server, MUSTER_CLOSED, "the participant closed its stream", network->now);
    pthread_mutex_unlock(&network->lock);
}

static void deliver_closed(struct end *end)
{
    struct connection *connection = end->connection;
    struct network *network = connection->network;
    pthread_mutex_lock(&network->lock);
    end->over = true;
    pthread_mutex_unlock(&network->lock);
    if (end->events)
        end->events->closed(end->context, end->status, end->text);
    pthread_mutex_lock(&network->lock);
    if (end == &connection->server) {
        struct listener *listener = connection->listener;
        listener->streams--;
        stop_if_done(listener);
    }
    pthread_mutex_unlock(&network->lock);
}

static void deliver(struct network *network, struct event *event)
{
    struct connection *connection = event->end ? event->end->connection : NULL;
    switch (event->kind) {
    case EVENT_OPENED:
        deliver_opened(connection);
        break;
    case EVENT_MESSAGE:
        deliver_message(event->end, event->bytes);
        drop_event(event);
        break;
    case EVENT_SENT:
        deliver_sent(event->end);
        break;
    case EVENT_LEFT:
        deliver_left(event->end);
        break;
    case EVENT_CLOSED:
        deliver_closed(event->end);
        break;
    case EVENT_STOPPED:
        event->listener->events->stopped(event->listener->context);
        break;
    }
    if (!connection)
        return;
    pthread_mutex_lock(&network->lock);
    connection_unreference(connection);
    pthread_mutex_unlock(&network->lock);
}

bool muster__local_step(struct muster_transport *transport)
{
    struct network *network = (struct network *)transport;
    pthread_mutex_lock(&network->lock);
    struct event *event = network->events;
    while (event && event->due <= network->now && must_wait(network, event)) {
        network->events = event->next;
        insert(network, event, event->end->reads_at);
        event = network->events;
    }
    int64_t due = event ? event->due : INT64_MAX;
    bool ring = network->alarm_at <= network->now && network->alarm_at < due;
    if (ring) {
        network->alarm_at = INT64_MAX;
        event = NULL;
    } else if (event && due <= network->now) {
        network->events = event->next;
    } else {
        event = NULL;
    }
    bool happened = event; /* which its delivery may free */
    pthread_mutex_unlock(&network->lock);
    if (ring)
        muster__timers_ring(transport);
    else if (event)
        deliver(network, event);
    return ring || happened;
}

void muster__local_settle(struct muster_transport *transport)
{
    while (muster__local_step(transport))
        ;
}

static bool is_due(const struct network *network)
{
    return network->alarm_at <= network->now || (network->events && network->events->due <= network->now);
}

void muster__local_run(struct muster_transport *transport)
{
    struct network *network = (struct network *)transport;
    pthread_mutex_lock(&network->lock);
    while (!network->stopped) {
        if (!is_due(network)) {
            pthread_cond_wait(&network->changed, &network->lock);
            continue;
        }
        pthread_mutex_unlock(&network->lock);
        muster__local_step(transport);
        pthread_mutex_lock(&network->lock);
    }
    network->stopped = false; /* for the next run */
    pthread_mutex_unlock(&network->lock);
}

void muster__local_stop(struct muster_transport *transport)
{
    struct network *network = (struct network *)transport;
    pthread_mutex_lock(&network->lock);
    network->stopped = true;
    pthread_cond_broadcast(&network->changed);
    pthread_mutex_unlock(&network->lock);
}

/* ---- the clock and the faults ---- */

static void shut_borrowers(struct muster_transport *transport, const struct buffer *body)
{
    (void)transport; /* what was sent is a copy */
    (void)body;
}

static int64_t transport_now(struct muster_transport *transport)
{
    struct network *network = (struct network *)transport;
    pthread_mutex_lock(&network->lock);
    int64_t now = network->now;
    pthread_mutex_unlock(&network->lock);
    return now;
}

static void set_alarm(struct muster_transport *transport, int64_t at)
{
    struct network *network = (struct network *)transport;
    pthread_mutex_lock(&network->lock);
    network->alarm_at = at;
    pthread_cond_broadcast(&network->changed);
    pthread_mutex_unlock(&network->lock);
}

void muster__local_advance(struct muster_transport *transport, int64_t milliseconds)
{
    struct network *network = (struct network *)transport;
    pthread_mutex_lock(&network->lock);
    network->now += milliseconds;
    pthread_cond_broadcast(&network->changed);
    pthread_mutex_unlock(&network->lock);
}

void muster__local_wait_alarm(struct muster_transport *transport, int64_t at)
{
    struct network *network = (struct network *)transport;
    pthread_mutex_lock(&network->lock);
    while (network->alarm_at > at)
        pthread_cond_wait(&network->changed, &network->lock);
    pthread_mutex_unlock(&network->lock);
}

void muster__local_delay(struct muster_transport *transport, int64_t milliseconds)
{
    struct network *network = (struct network *)transport;
    pthread_mutex_lock(&network->lock);
    network->delay = milliseconds;
    pthread_mutex_unlock(&network->lock);
}

void muster__local_fail_send(struct muster_transport *transport, size_t n)
{
    struct network *network = (struct network *)transport;
    pthread_mutex_lock(&network->lock);
    network->fail_send = n;
    pthread_mutex_unlock(&network->lock);
}

void muster__local_refuse(struct muster_transport *transport, bool refuse)
{
    struct network *network = (struct network *)transport;
    pthread_mutex_lock(&network->lock);
    network->refuse = refuse;
    pthread_mutex_unlock(&network->lock);
}

void muster__local_come_from(struct muster_transport *transport, const char *host)
{
    struct network *network = (struct network *)transport;
    pthread_mutex_lock(&network->lock);
    network->host = host;
    pthread_mutex_unlock(&network->lock);
}

void muster__local_lose(struct muster_transport *transport, bool lose)
{
    struct network *network = (struct network *)transport;
    pthread_mutex_lock(&network->lock);
    network->lose = lose;
    pthread_mutex_unlock(&network->lock);
}

void muster__local_show(struct muster_transport *transport, const char *const *names, const char *refusal)
{
    struct network *network = (struct network *)transport;
    pthread_mutex_lock(&network->lock);
    network->names = names;
    network->refusal = refusal;
    pthread_mutex_unlock(&network->lock);
}

static struct connection *find_connection(struct network *network, size_t n)
{
    struct connection *connection = network->connections;
    while (connection && connection->number != n)
        connection = connection->next;
    return connection && !connection->client.closed.queued ? connection : NULL;
}

bool muster__local_drop(struct muster_transport *transport, size_t n)
{
    struct network *network = (struct network *)transport;
    pthread_mutex_lock(&network->lock);
    struct connection *connection = find_connection(network, n);
    if (connection)
        break_connection(connection, MUSTER_UNAVAILABLE, "the connection broke");
    pthread_mutex_unlock(&network->lock);
    return connection;
}

bool muster__local_half_close(struct muster_transport *transport, size_t n)
{
    struct network *network = (struct network *)transport;
    pthread_mutex_lock(&network->lock);
    struct connection *connection = find_connection(network, n);
    if (connection)
        enqueue_to(&connection->server, &connection->left, network->now);
    pthread_mutex_unlock(&network->lock);
    return connection;
}

static void transport_release(struct muster_transport *transport)
{
    (void)transport; /* the test's own: muster__local_free() */
}

struct muster_transport *muster__local_new(void)
{
    struct network *network = calloc(1, sizeof(*network));
    if (!network)
        return NULL;
    network->base.ops = &transport_ops;
    muster__timers_init(&network->base.timers);
    pthread_mutex_init(&network->lock, NULL);
    pthread_cond_init(&network->changed, NULL);
    network->alarm_at = INT64_MAX;
    network->host = "local";
    return &network->base;
}

void muster__local_free(struct muster_transport *transport)
{
    struct network *network = (struct network *)transport;
    while (network->events) {
        struct event *event = network->events;
        network->events = event->next;
        struct connection *connection = event->end ? event->end->connection : NULL;
        drop_event(event);
        if (connection)
            connection_unreference(connection);
    }
    /* A connection that is still there has a stream that was not released: the leak is its owner's. */
    pthread_cond_destroy(&network->changed);
    pthread_mutex_destroy(&network->lock);
    muster__timers_destroy(&network->base.timers);
    free(network);
}

static const struct transport_ops transport_ops = {
    .listen = transport_listen,
    .close_listener = close_listener,
    .cut_listener = cut_listener,
    .free_listener = free_listener,
    .connect = transport_connect,
    .shut_borrowers = shut_borrowers,
    .now = transport_now,
    .set_alarm = set_alarm,
    .release = transport_release,
};
