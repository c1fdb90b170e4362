/*
 * Streams of the local transport: connections with two ends. The events that must not fail for want of memory,
 * those of a connection's beginning and end, are part of the connection.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "network/local.h"
#include "network/words.h"
#include "status.h"

/* A message up to this size is copied, which takes its sender about as long as its delivery takes. Where it
   is shared, a thread that sends small ones without end gets far ahead, and keeps others from the lock. */
enum { COPIED_MOST = 16 << 10 };

void muster__local_drop(struct event *event)
{
    if (event->kind != EVENT_MESSAGE)
        return; /* part of its connection or listener */
    muster__buffer_release(((struct letter *)event)->body);
    free(event);
}

void muster__local_unreference(struct connection *connection)
{
    struct event *event;
    if (--connection->references > 0)
        return;
    LIST_REMOVE(connection, link);
    while ((event = TAILQ_FIRST(&connection->waiting))) {
        TAILQ_REMOVE(&connection->waiting, event, link);
        muster__local_drop(event);
    }
    free(connection);
}

void muster__local_enqueue_to(struct end *end, struct event *event, int64_t due)
{
    struct connection *connection = end->connection;
    if (due > end->last_due)
        end->last_due = due;
    if (end == &connection->client || connection->listener) {
        muster__local_enqueue(connection->network, event, end->last_due);
    } else if (!event->queued) {
        event->queued = true;
        TAILQ_INSERT_TAIL(&connection->waiting, event, link);
    }
}

void muster__local_finish(struct end *end, enum muster_status status, const char *text, int64_t due)
{
    if (end->closed.queued)
        return;
    end->closing = true;
    end->status = status;
    snprintf(end->text, sizeof(end->text), "%s", text);
    muster__local_enqueue(end->connection->network, &end->closed, due);
}

void muster__local_break(struct connection *connection, enum muster_status client_status, const char *text)
{
    int64_t now = muster__local_now(connection->network);
    muster__local_finish(&connection->client, client_status, text, now);
    muster__local_finish(&connection->server, MUSTER_GONE, text, now);
}

static bool is_one_of(const char *const *hosts, const char *host)
{
    while (*hosts && strcmp(*hosts, host) != 0)
        hosts++;
    return *hosts;
}

bool muster__local_is_parted(const struct connection *connection)
{
    const char *const *part = connection->network->faults.part;
    const char *slash = strrchr(connection->address, '/');
    return part && is_one_of(part, connection->host) != is_one_of(part, slash ? slash + 1 : "");
}

/* Whether nothing gets through. */
static bool is_cut(const struct connection *connection)
{
    return connection->network->faults.lose || muster__local_is_parted(connection);
}

/*
 * NULL when out of memory. On the clock of a test all are copied: it holds messages back for as long as it likes,
 * and nobody is to wait for what was lent. A copy is in pieces that do not go by the message, as a network
 * delivers them.
 */
static struct letter *letter_new(const struct network *network, const uint8_t *head, size_t head_size,
                                 struct buffer *body, const struct piece *pieces, size_t count)
{
    size_t size = head_size;
    for (size_t i = 0; i < count; i++)
        size += pieces[i].size;
    bool is_copy = network->by_hand || size <= COPIED_MOST;
    struct letter *letter =
        malloc(sizeof(*letter) + (count + 2) * sizeof(*pieces) + (is_copy ? size : head_size));
    if (!letter)
        return NULL;
    *letter = (struct letter){.event.kind = EVENT_MESSAGE, .size = size, .count = is_copy ? 2 : 1 + count};
    uint8_t *bytes = (uint8_t *)&letter->pieces[count + 2];
    if (head_size)
        memcpy(bytes, head, head_size);
    if (!is_copy) {
        letter->body = muster__buffer_retain(body);
        letter->pieces[0] = (struct piece){bytes, head_size};
        memcpy(&letter->pieces[1], pieces, count * sizeof(*pieces));
        return letter;
    }
    letter->pieces[0] = (struct piece){bytes, size / 3};
    letter->pieces[1] = (struct piece){bytes + size / 3, size - size / 3};
    bytes += head_size;
    for (size_t i = 0; i < count; bytes += pieces[i++].size) {
        if (pieces[i].size)
            memcpy(bytes, pieces[i].data, pieces[i].size);
    }
    return letter;
}

/* Puts a message on its way. */
static enum muster_status send_message(struct end *end, const uint8_t *head, size_t head_size,
                                       struct buffer *body, const struct piece *pieces, size_t count,
                                       bool part)
{
    struct network *network = end->connection->network;
    enum muster_status status = MUSTER_OK;
    struct letter *letter = letter_new(network, head, head_size, body, pieces, count);
    if (!letter)
        return MUSTER_OUT_OF_MEMORY;
    letter->event.end = end->peer;
    pthread_mutex_lock(&network->lock);
    bool broken = network->faults.fail_send > 0 && --network->faults.fail_send == 0;
    if (broken)
        muster__local_break(end->connection, MUSTER_UNAVAILABLE, "the connection broke");
    /* What is lost stays unsent: the windows are full. */
    bool goes = !end->closing && !is_cut(end->connection);
    if (end->closing)
        status = MUSTER_CLOSED;
    if (goes)
        muster__local_enqueue_to(end->peer, &letter->event,
                                 muster__local_now(network) + network->faults.delay);
    if (goes && part)
        muster__local_enqueue(network, &end->sent, muster__local_now(network));
    pthread_mutex_unlock(&network->lock);
    if (!goes)
        muster__local_drop(&letter->event);
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
    bool begins = !end->closing && !is_cut(connection);
    end->closing = true;
    if (begins && end == &connection->server) {
        muster__local_finish(&connection->client, status, text, connection->client.last_due);
        muster__local_finish(end, status, text, muster__local_now(network));
    } else if (begins) {
        muster__local_enqueue_to(&connection->server, &connection->left, muster__local_now(network));
    }
    pthread_mutex_unlock(&network->lock);
}

static void stream_cut(struct stream *base)
{
    struct end *end = (struct end *)base;
    struct network *network = end->connection->network;
    pthread_mutex_lock(&network->lock);
    bool by_client = end == &end->connection->client;
    muster__local_break(end->connection, by_client ? MUSTER_CANCELLED : MUSTER_UNAVAILABLE, END_CUT);
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
    muster__local_put_off(end, muster__local_now(network) + milliseconds);
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
    muster__local_unreference(connection);
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

enum muster_status muster__local_connect(struct muster_transport *base, const char *address,
                                         const struct service *service, size_t max_message_size,
                                         const struct connection_options *options,
                                         const struct stream_events *events, void *context,
                                         struct stream **stream, struct muster_error *error)
{
    (void)options;
    struct network *network = (struct network *)base;
    struct connection *connection = calloc(1, sizeof(*connection) + strlen(address) + 1);
    if (!connection)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    connection->network = network;
    strcpy(connection->address, address);
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
    TAILQ_INIT(&connection->waiting);
    *stream = &connection->client.base;

    pthread_mutex_lock(&network->lock);
    connection->number = network->connected++;
    connection->host = network->faults.host ? network->faults.host : "local";
    char *host = network->by_hand ? strchr(connection->address, '<') : NULL;
    if (host) {
        *host = '\0';
        connection->host = host + 1;
    }
    LIST_INSERT_HEAD(&network->connections, connection, link);
    if (network->faults.refuse)
        muster__local_finish(&connection->client, MUSTER_UNAVAILABLE, "refused", muster__local_now(network));
    else
        muster__local_match(network, connection);
    pthread_mutex_unlock(&network->lock);
    return MUSTER_OK;
}
