/*
 * The connection: what its first messages make of it, a new participant or one that comes back, and whom what
 * follows is for.
 */
#include <config.h>

#include <stdlib.h>

#include "proxy/admission.h"
#include "proxy/connection.h"
#include "proxy/manager.h"
#include "proxy/proxy.h"

static bool admit(struct connection *connection, const Muster__Hello *hello)
{
    struct proxy *proxy = connection->proxy;
    struct muster_error error = {MUSTER_OK, ""};
    enum muster_status status = muster__admission_admit(proxy, connection->stream, hello, &error);
    if (status != MUSTER_OK)
        muster__proxy_end(proxy, status, NULL, status, error.text);
    return status == MUSTER_OK;
}

/* Makes the connection that of the participant whose session it resumes. */
static bool resume(struct connection *connection, struct proxy *found, const Muster__Hello *hello)
{
    struct proxy *fresh = connection->proxy;
    connection->resumed = true;
    connection->proxy = found;
    if (muster__proxy_resume(found, connection, fresh, hello)) {
        muster__proxy_discard(fresh);
        return true;
    }
    connection->proxy = fresh;
    connection->resumed = false;
    proxy_release(found);
    return false;
}

static void hello_message(struct connection *connection, const Muster__Hello *hello, size_t size)
{
    struct proxy *proxy = connection->proxy;
    struct muster_error error = {MUSTER_OK, ""};
    struct proxy *found;
    if (size > muster__proxy_manager(proxy)->options.max_hello_size) {
        muster__proxy_misbehaved(proxy,
                                 "Hello is bigger than the server takes: send fewer or shorter labels");
        return;
    }
    enum muster_status status = muster__admission_find(proxy, connection->stream, hello, &found, &error);
    if (status != MUSTER_OK)
        muster__proxy_end(proxy, status, NULL, status, error.text);
    else if ((!found || !resume(connection, found, hello)) && admit(connection, hello))
        muster__proxy_welcome(proxy);
}

static bool is_empty(const struct envelope *envelope)
{
    return envelope->content == CONTENT_MESSAGE && envelope->message.kind == MUSTER_EMPTY;
}

static void first_message(struct connection *connection, const struct envelope *envelope, size_t size)
{
    struct proxy *proxy = connection->proxy;
    if (envelope->content == CONTENT_HELLO) {
        hello_message(connection, envelope->hello, size);
    } else if (is_empty(envelope) && !envelope->turn) {
        if (admit(connection, NULL))
            muster__proxy_open(proxy);
    } else {
        muster__proxy_misbehaved(proxy, "the first message is to be Hello, or an empty one");
    }
}

static void open_message(struct connection *connection, struct envelope *envelope, size_t size)
{
    struct proxy *proxy = connection->proxy;
    if (connection->resumed && is_empty(envelope) && !envelope->turn)
        connection->resumed = false;
    else if (envelope->content == CONTENT_MESSAGE)
        muster__proxy_answer(connection, envelope, size);
    else if (envelope->content == CONTENT_PROGRESS)
        muster__proxy_progress(connection, envelope);
    else if (envelope->content == CONTENT_CHUNK)
        muster__proxy_chunk(connection, envelope);
    else if (envelope->content == CONTENT_ASK)
        muster__proxy_ask(connection);
    else if (envelope->content == CONTENT_ALIVE)
        muster__connection_idled(connection); /* that it was heard is all of it */
    else
        muster__proxy_misbehaved(proxy, "a second Hello");
}

/* So many in so long are read at once, a thousand a second: who reports often and then answers does not wait
   long, and who never stops costs little. Our participants report progress every 100 ms. */
#define IDLE_MS   50
#define IDLE_MOST 64

void muster__connection_idled(struct connection *connection)
{
    int64_t now = muster__proxy_now(connection->proxy);
    if (now - connection->idle_since >= IDLE_MS) {
        connection->idle_since = now;
        connection->idled = 0;
    }
    if (++connection->idled < IDLE_MOST)
        return;
    connection->idled = 0;
    connection->stream->ops->pause(connection->stream, IDLE_MS);
}

static void message_received(void *context, const struct piece *pieces, size_t count, size_t size)
{
    struct connection *connection = context;
    struct proxy *proxy = connection->proxy;
    struct envelope envelope;
    struct muster_error error;
    enum muster_status status = muster__decode(TO_SERVER, pieces, count, &envelope, &error);
    if (muster__tends() &&
        (status != MUSTER_OK || !muster__proxy_is_about_wait(proxy, connection, &envelope))) {
        muster__envelope_clear(&envelope);
        muster__tend_put_off();
        return;
    }
    enum proxy_state state = muster__proxy_receive(proxy, connection, size);
    if (state == PROXY_CLOSED)
        ; /* or a newer connection has taken its place, and it is about to end */
    else if (status != MUSTER_OK)
        muster__proxy_end(proxy, status, NULL, status, error.text);
    else if (state == PROXY_ARRIVED)
        first_message(connection, &envelope, size);
    else if (state == PROXY_ADMITTED && is_empty(&envelope))
        muster__proxy_open(proxy);
    else if (state == PROXY_ADMITTED)
        muster__proxy_misbehaved(proxy, "the message after Hello is to be empty: it passes the initiative");
    else if (state == PROXY_OPEN)
        open_message(connection, &envelope, size);
    muster__envelope_clear(&envelope);
}

static bool message_begins(void *context, const uint8_t *data, size_t there, size_t size,
                           struct landing *landing)
{
    struct envelope envelope;
    landing->head = muster__decode_chunk_head(TO_SERVER, data, there, size, &envelope);
    return landing->head && muster__proxy_land(context, &envelope, size - landing->head, &landing->place);
}

static void part_sent(void *context)
{
    struct connection *connection = context;
    muster__proxy_sent(connection);
}

static void stream_closed(void *context, enum muster_status status, const char *text)
{
    struct connection *connection = context;
    muster__proxy_disconnected(connection, status, text);
    free(connection);
}

static const struct stream_events connection_events = {
    .message = message_received,
    .begins = message_begins,
    .sent = part_sent,
    .closed = stream_closed,
};

void *muster__connection_accept(void *context, struct stream *stream, const struct stream_events **events)
{
    struct participant_manager *manager = context;
    struct muster_error refusal = {MUSTER_OK, ""};
    struct connection *connection = malloc(sizeof(*connection));
    struct proxy *proxy = connection ? muster__proxy_new(manager, stream, connection) : NULL;
    if (!proxy) {
        free(connection);
        return NULL;
    }
    *connection = (struct connection){.stream = stream, .proxy = proxy};
    *events = &connection_events;
    if (!muster__registry_add_stream(&manager->registry, muster__proxy_place(proxy)))
        muster__proxy_end(proxy, MUSTER_STOPPED, NULL, MUSTER_UNAVAILABLE, "the server is stopping");
    else if (muster__admission_let_in(proxy, stream, &refusal) != MUSTER_OK)
        muster__proxy_end(proxy, refusal.status, NULL, refusal.status, refusal.text);
    return connection;
}
