/*
 * The local transport. One lock guards everything in a network; events are delivered without it, by one
 * thread at a time. The events that must not fail for want of memory, those of a connection's beginning and
 * end, are part of the connection.
 */
#include <config.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "network/local.h"
#include "network/scheme.h"
#include "status.h"

/* A message up to this size is copied, which takes its sender about as long as its delivery takes. Where it
   is shared, a thread that sends small ones without end gets far ahead, and keeps others from the lock. */
enum { COPIED_MOST = 16 << 10 };

enum event_kind { EVENT_OPENED, EVENT_MESSAGE, EVENT_SENT, EVENT_LEFT, EVENT_CLOSED, EVENT_STOPPED };

struct event {
    struct event *next;
    enum event_kind kind;
    int64_t due;
    bool queued;
    struct end *end;
    struct listener *listener;
};

/* A message on its way, with the memory of its pieces. */
struct letter {
    struct event event; /* its first member */
    struct buffer *body;
    size_t size;
    size_t count;
    struct piece pieces[];
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
    bool closing;     /* no more sends */
    bool over;        /* it is being told of its end: no more messages */
    enum muster_status status;
    char text[MUSTER_ERROR_TEXT_SIZE];
};

struct connection {
    struct connection *next;
    struct connection **place; /* where it is pointed at */
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

static const struct stream_ops stream_ops;

/* With the lock held, where the clock moves by hand. */
static int64_t now_of(const struct network *network)
{
    struct timespec now;
    if (network->by_hand)
        return network->time;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void drop_event(struct event *event)
{
    if (event->kind != EVENT_MESSAGE)
        return; /* part of its connection or listener */
    muster__buffer_release(((struct letter *)event)->body);
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
    *connection->place = connection->next;
    if (connection->next)
        connection->next->place = connection->place;
    connection_free(connection);
}

static void insert(struct network *network, struct event *event, int64_t due)
{
    event->due = due;
    struct event **place = &network->events;
    if (network->events && network->last_event->due <= due)
        place = &network->last_event->next;
    while (*place && (*place)->due <= due)
        place = &(*place)->next;
    event->next = *place;
    *place = event;
    if (!event->next)
        network->last_event = event;
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

/* Whether it is told in order, and not before `due` while its end pauses. */
static bool waits(const struct event *event, const struct end *end, int64_t due)
{
    return event->end == end && (event->kind == EVENT_MESSAGE || event->kind == EVENT_LEFT) &&
           event->due < due;
}

/* Whatever is on its way to an end arrives no sooner than this, and what follows not before it. */
static void put_off(struct end *end, int64_t due)
{
    struct network *network = end->connection->network;
    struct event *late = NULL, **late_end = &late, **place = &network->events;
    while (*place) {
        struct event *event = *place;
        if (waits(event, end, due)) {
            *place = event->next;
            *late_end = event;
            late_end = &event->next;
        } else {
            network->last_event = event;
            place = &event->next;
        }
    }
    *late_end = NULL;
    while (late) {
        struct event *next = late->next;
        insert(network, late, due);
        late = next;
    }
    if (due > end->last_due)
        end->last_due = due;
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
    int64_t now = now_of(connection->network);
    finish_end(&connection->client, client_status, text, now);
    finish_end(&connection->server, MUSTER_GONE, text, now);
}

/* ---- streams ---- */

/* NULL when out of memory. */
static struct letter *letter_new(const uint8_t *head, size_t head_size, struct buffer *body,
                                 const struct piece *pieces, size_t count)
{
    struct letter *letter = calloc(1, sizeof(*letter) + (count + 1) * sizeof(*pieces) + head_size);
    if (!letter)
        return NULL;
    letter->event.kind = EVENT_MESSAGE;
    letter->body = body ? muster__buffer_retain(body) : NULL;
    letter->count = count + 1;
    letter->pieces[0] = (struct piece){(uint8_t *)&letter->pieces[count + 1], head_size};
    if (head_size)
        memcpy(&letter->pieces[count + 1], head, head_size);
    for (size_t i = 0; i <= count; i++) {
        if (i > 0)
            letter->pieces[i] = pieces[i - 1];
        letter->size += letter->pieces[i].size;
    }
    return letter;
}

/* The same in memory of its own. On the clock of a test all are: it holds messages back for as long as it
   likes, and nobody is to wait for what was lent. In pieces that do not go by the message, as a network
   delivers them. */
static struct letter *copy_letter(const struct letter *letter)
{
    struct buffer *copy = muster__buffer_new(letter->size);
    if (!copy)
        return NULL;
    uint8_t *at = copy->data;
    for (size_t i = 0; i < letter->count; i++) {
        if (letter->pieces[i].size)
            memcpy(at, letter->pieces[i].data, letter->pieces[i].size);
        at += letter->pieces[i].size;
    }
    size_t first = copy->size / 3;
    const struct piece pieces[] = {{copy->data, first}, {copy->data + first, copy->size - first}};
    struct letter *copied = letter_new(NULL, 0, copy, pieces, 2);
    muster__buffer_release(copy);
    return copied;
}

static struct letter *write_letter(const struct network *network, const uint8_t *head, size_t head_size,
                                   struct buffer *body, const struct piece *pieces, size_t count)
{
    struct letter *letter = letter_new(head, head_size, body, pieces, count);
    if (!letter || (!network->by_hand && letter->size > COPIED_MOST))
        return letter;
    struct letter *copied = copy_letter(letter);
    drop_event(&letter->event);
    return copied;
}

/* Puts a message on its way. */
static enum muster_status send_message(struct end *end, const uint8_t *head, size_t head_size,
                                       struct buffer *body, const struct piece *pieces, size_t count,
                                       bool part)
{
    struct network *network = end->connection->network;
    enum muster_status status = MUSTER_OK;
    struct letter *letter = write_letter(network, head, head_size, body, pieces, count);
    if (!letter)
        return MUSTER_OUT_OF_MEMORY;
    letter->event.end = end->peer;
    pthread_mutex_lock(&network->lock);
    bool broken = network->faults.fail_send > 0 && --network->faults.fail_send == 0;
    if (broken)
        break_connection(end->connection, MUSTER_UNAVAILABLE, "the connection broke");
    bool goes = !end->closing && !network->faults.lose; /* what is lost stays unsent: the windows are full */
    if (end->closing)
        status = MUSTER_CLOSED;
    if (goes)
        enqueue_to(end->peer, &letter->event, now_of(network) + network->faults.delay);
    if (goes && part)
        enqueue(network, &end->sent, now_of(network));
    pthread_mutex_unlock(&network->lock);
    if (!goes)
        drop_event(&letter->event);
    return status;
}

static enum muster_status stream_send(struct stream *base, const uint8_t *head, size_t head_size,
                                      struct buffer *body)
{
    const struct piece piece = {body ? body->data : NULL, body ? body->size : 0};
    return send_message((struct end *)base, head, head_size, body, &piece, body ? 1 : 0, false);
}

static enum muster_status stream_send_part(struct stream *base, const uint8_t *head, size_t head_size,
                                           struct buffer *body, const struct piece *pieces, size_t count)
{
    return send_message((struct end *)base, head, head_size, body, pieces, count, true);
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
    bool begins = !end->closing && !network->faults.lose;
    end->closing = true;
    if (begins && end == &connection->server) {
        finish_end(&connection->client, status, text, connection->client.last_due);
        finish_end(end, status, text, now_of(network));
    } else if (begins) {
        enqueue_to(&connection->server, &connection->left, now_of(network));
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
    put_off(end, now_of(network) + milliseconds);
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
    *names = network->faults.names;
    const char *refusal = network->faults.refusal;
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
            finish_end(&connection->client, MUSTER_UNSUPPORTED, text, now_of(network));
            return;
        }
        listener->streams++;
        connection->listener = listener;
        connection->max_message_size[1] = listener->max_message_size;
        enqueue(network, &connection->opened, now_of(network));
        while (connection->waiting) {
            struct event *event = connection->waiting;
            connection->waiting = event->next;
            event->queued = false;
            enqueue_to(&connection->server, event, now_of(network));
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
    connection->host = network->faults.host ? network->faults.host : "local";
    connection->next = network->connections;
    connection->place = &network->connections;
    if (connection->next)
        connection->next->place = &connection->next;
    network->connections = connection;
    if (network->faults.refuse)
        finish_end(&connection->client, MUSTER_UNAVAILABLE, "refused", now_of(network));
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
        enqueue(listener->network, &listener->stopped, now_of(listener->network));
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
        finish_end(&connection->client, MUSTER_UNAVAILABLE, "the server is stopping", now_of(network));
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
        finish_end(&connection->client, MUSTER_OUT_OF_MEMORY, "the server is out of memory", now_of(network));
        finish_end(server, MUSTER_OUT_OF_MEMORY, "out of memory", now_of(network));
    }
    pthread_mutex_unlock(&network->lock);
}

static void deliver_message(struct end *end, const struct letter *letter)
{
    struct connection *connection = end->connection;
    struct network *network = connection->network;
    bool to_server = end == &connection->server;
    size_t limit = connection->max_message_size[to_server ? 1 : 0];
    pthread_mutex_lock(&network->lock);
    bool deaf = end->over;
    bool too_big = !deaf && letter->size > limit;
    if (too_big) {
        finish_end(end, MUSTER_TOO_BIG, "a message was bigger than the limit", now_of(network));
        finish_end(end->peer, to_server ? MUSTER_TOO_BIG : MUSTER_GONE, "a message was bigger than the limit",
                   now_of(network));
    }
    const struct stream_events *events = end->events;
    pthread_mutex_unlock(&network->lock);
    if (deaf || too_big || !events)
        return;
    events->message(end->context, letter->pieces, letter->count, letter->size);
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
    finish_end(server->peer, MUSTER_OK, "", now_of(network));
    finish_end(server, MUSTER_CLOSED, "the participant closed its stream", now_of(network));
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
        deliver_message(event->end, (struct letter *)event);
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

/* ---- what falls due ---- */

bool muster__local_step(struct network *network)
{
    pthread_mutex_lock(&network->lock);
    int64_t now = now_of(network);
    struct event *event = network->events;
    int64_t due = event ? event->due : INT64_MAX;
    bool ring = network->alarm_at <= now && network->alarm_at < due;
    if (ring) {
        network->alarm_at = INT64_MAX;
        event = NULL;
    } else if (event && due <= now) {
        network->events = event->next;
    } else {
        event = NULL;
    }
    bool happened = event; /* which its delivery may free */
    pthread_mutex_unlock(&network->lock);
    if (ring)
        muster__timers_ring(&network->base);
    else if (event)
        deliver(network, event);
    return ring || happened;
}

/* Waits for a change, or until something is due; true: it is. With the lock held. */
static bool wait_until_due(struct network *network)
{
    int64_t at = network->alarm_at;
    if (network->events && network->events->due < at)
        at = network->events->due;
    if (at <= now_of(network))
        return true;
    const struct timespec until = {.tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000};
    if (network->by_hand || at == INT64_MAX)
        pthread_cond_wait(&network->changed, &network->lock);
    else
        pthread_cond_timedwait(&network->changed, &network->lock, &until);
    return false;
}

void muster__local_run(struct network *network)
{
    pthread_mutex_lock(&network->lock);
    while (!network->stopped) {
        if (!wait_until_due(network))
            continue;
        pthread_mutex_unlock(&network->lock);
        muster__local_step(network);
        pthread_mutex_lock(&network->lock);
    }
    network->stopped = false; /* for the next run */
    pthread_mutex_unlock(&network->lock);
}

void muster__local_stop(struct network *network)
{
    pthread_mutex_lock(&network->lock);
    network->stopped = true;
    pthread_cond_broadcast(&network->changed);
    pthread_mutex_unlock(&network->lock);
}

static void shut_borrowers(struct muster_transport *transport, const struct buffer *body)
{
    (void)transport; /* what was sent is read at once, or a copy */
    (void)body;
}

static int64_t transport_now(struct muster_transport *transport)
{
    struct network *network = (struct network *)transport;
    if (!network->by_hand)
        return now_of(network);
    pthread_mutex_lock(&network->lock);
    int64_t now = now_of(network);
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

static struct connection *find_connection(struct network *network, size_t n)
{
    struct connection *connection = network->connections;
    while (connection && connection->number != n)
        connection = connection->next;
    return connection && !connection->client.closed.queued ? connection : NULL;
}

bool muster__local_break(struct network *network, size_t n)
{
    struct connection *connection = find_connection(network, n);
    if (connection)
        break_connection(connection, MUSTER_UNAVAILABLE, "the connection broke");
    return connection;
}

bool muster__local_leave(struct network *network, size_t n)
{
    struct connection *connection = find_connection(network, n);
    if (connection)
        enqueue_to(&connection->server, &connection->left, now_of(network));
    return connection;
}

/* ---- networks ---- */

void muster__local_init(struct network *network, bool by_hand)
{
    pthread_condattr_t monotonic;
    *network = (struct network){.base.ops = &muster__local_ops, .by_hand = by_hand, .alarm_at = INT64_MAX};
    muster__timers_init(&network->base.timers);
    pthread_mutex_init(&network->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&network->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void muster__local_destroy(struct network *network)
{
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
}

/* ---- the one with the real clock ---- */

static pthread_mutex_t process_lock = PTHREAD_MUTEX_INITIALIZER;
static struct process_network {
    struct network network;
    pthread_t thread;
    size_t users;
} * process_network; /* NULL: nobody uses it; guarded by process_lock, and so is `users` */

static void *serve(void *network)
{
    muster__local_run(network);
    return NULL;
}

/* Signals are the program's: the thread gets none. */
static bool start_thread(struct process_network *process)
{
    sigset_t all, saved;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved);
    bool started = pthread_create(&process->thread, NULL, serve, &process->network) == 0;
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    return started;
}

static struct process_network *process_network_new(void)
{
    struct process_network *process = calloc(1, sizeof(*process));
    if (!process)
        return NULL;
    muster__local_init(&process->network, false);
    if (start_thread(process))
        return process;
    muster__local_destroy(&process->network);
    free(process);
    return NULL;
}

static struct muster_transport *acquire(const struct scheme *scheme, unsigned threads,
                                        struct muster_error *error)
{
    (void)scheme;
    (void)threads; /* it has one */
    pthread_mutex_lock(&process_lock);
    if (!process_network)
        process_network = process_network_new();
    struct process_network *process = process_network;
    if (process)
        process->users++;
    pthread_mutex_unlock(&process_lock);
    if (process)
        return &process->network.base;
    muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory, or of threads");
    return NULL;
}

static void transport_release(struct muster_transport *base)
{
    struct network *network = (struct network *)base;
    struct process_network *process = CONTAINER(network, struct process_network, network);
    if (network->by_hand)
        return; /* it is the fixture's */
    pthread_mutex_lock(&process_lock);
    bool last = --process->users == 0;
    if (last)
        process_network = NULL;
    pthread_mutex_unlock(&process_lock);
    if (!last)
        return;
    muster__local_stop(network);
    pthread_join(process->thread, NULL);
    muster__local_destroy(network);
    free(process);
}

const struct scheme muster__local_scheme = {.prefix = "local:", .form = "local:NAME", .acquire = acquire};

const struct transport_ops muster__local_ops = {
    .listen = transport_listen,
    .close_listener = close_listener,
    .cut_listener = cut_listener,
    .free_listener = free_listener,
    .connect = transport_connect,
    .is_inside = true,
    .shut_borrowers = shut_borrowers,
    .now = transport_now,
    .set_alarm = set_alarm,
    .release = transport_release,
};
