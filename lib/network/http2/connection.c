/* Connections: their beginning and end, what their loop does for them, and the limits of time that each has. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "network/http2/http2.h"
#include "network/http2/loop.h"
#include "network/http2/tend.h"
#include "network/http2/tls.h"
#include "network/words.h"

/* That a peer may take to read the last words. */
enum { FINISH_TIMEOUT_MS = 1000 };

static void ready(struct watch *watch, uint32_t events);
static void timer_expired(struct timer *timer);

struct http2_connection *muster__http2_connection_new(struct http2_loop *loop,
                                                      struct http2_listener *listener,
                                                      const struct connection_options *options)
{
    struct http2_connection *connection = calloc(1, sizeof(*connection));
    if (!connection)
        return NULL;
    connection->watch.ready = ready;
    connection->loop = loop;
    connection->listener = listener;
    connection->side = listener ? listener->side : NULL;
    connection->descriptor = -1;
    connection->keepalive_time_ms = options->keepalive_time_ms;
    connection->keepalive_timeout_ms = options->keepalive_timeout_ms;
    connection->handshake_timeout_ms =
        options->handshake_timeout_ms ? options->handshake_timeout_ms : HANDSHAKE_TIMEOUT_MS;
    connection->opened_at = muster__clock_now();
    atomic_init(&connection->references, 1);
    STAILQ_INIT(&connection->due);
    pthread_mutex_init(&connection->helm, NULL);
    pthread_mutex_init(&connection->lock, NULL);
    if (muster__http2_session_begin(connection, options))
        return connection;
    muster__http2_connection_release(connection);
    return NULL;
}

void muster__http2_connection_release(struct http2_connection *connection)
{
    if (atomic_fetch_sub_explicit(&connection->references, 1, memory_order_acq_rel) != 1)
        return;
    nghttp2_session_del(connection->session);
    if (connection->descriptor >= 0)
        close(connection->descriptor);
    muster__tls_free(connection->tls);
    free(connection->cause_text);
    pthread_mutex_destroy(&connection->lock);
    pthread_mutex_destroy(&connection->helm);
    free(connection);
}

void muster__http2_connection_begin(struct http2_connection *connection)
{
    struct http2_loop *loop = connection->loop;
    pthread_mutex_lock(&loop->lock);
    LIST_INSERT_HEAD(&loop->connections, connection, link);
    loop->load++;
    pthread_mutex_unlock(&loop->lock);
    muster__http2_pend(connection);
}

void muster__http2_break(struct http2_connection *connection, enum muster_status status, const char *text)
{
    if (connection->broken)
        return;
    connection->broken = true;
    connection->cause = status;
    connection->cause_text = strdup(text); /* out of memory: there is no text */
    if (connection->established)
        shutdown(connection->descriptor, SHUT_RDWR); /* what is written is not waited for */
    muster__http2_pend(connection);
}

void muster__http2_break_rules(struct http2_connection *connection, const char *text)
{
    bool said_nothing = !connection->listener && !connection->heard;
    muster__http2_break(connection, connection->listener ? MUSTER_GONE : MUSTER_UNAVAILABLE,
                        said_nothing ? CAUSE_NOT_HTTP2 : text);
}

void muster__http2_finish(struct http2_connection *connection)
{
    if (connection->finishing || !connection->session)
        return;
    connection->finishing = true;
    connection->finishing_at = muster__clock_now();
    muster__http2_good(connection, nghttp2_session_terminate_session(connection->session, NGHTTP2_NO_ERROR));
    muster__http2_flush(connection);
    muster__http2_pend(connection);
}

/* ---- on the loop's thread ---- */

static void tell_due(struct http2_connection *connection)
{
    struct http2_stream *stream;
    pthread_mutex_lock(&connection->lock);
    while ((stream = STAILQ_FIRST(&connection->due))) {
        STAILQ_REMOVE_HEAD(&connection->due, due_link);
        stream->is_due = false;
        pthread_mutex_unlock(&connection->lock);
        muster__http2_tell(stream);
        pthread_mutex_lock(&connection->lock);
    }
    pthread_mutex_unlock(&connection->lock);
}

/* Nothing of it is left but what streams still refer to. */
static void end(struct http2_connection *connection)
{
    struct http2_listener *listener = connection->listener;
    struct http2_stream *stream;
    pthread_mutex_lock(&connection->lock);
    connection->broken = true;
    muster__http2_output_drop(connection);
    while ((stream = LIST_FIRST(&connection->streams)))
        muster__http2_stream_ended(stream);
    nghttp2_session_del(connection->session);
    connection->session = NULL;
    muster__http2_watch_no_more(connection);
    if (connection->descriptor >= 0) {
        muster__http2_unwatch(connection->loop, connection->descriptor);
        close(connection->descriptor);
    }
    connection->descriptor = -1;
    pthread_mutex_unlock(&connection->lock);
    tell_due(connection);
    muster__http2_client_free(connection->client);
    connection->client = NULL;
    if (connection->timed)
        muster__timer_stop(&connection->loop->clock, &connection->timer);
    connection->timed = false;
    if (listener)
        listener->side->settled(connection);
    muster__http2_loop_bury(connection);
    if (listener)
        listener->side->gone(listener);
}

/* With the lock held: closes our side when all is written. */
static void go_on_finishing(struct http2_connection *connection)
{
    if (!connection->finishing || connection->shut || connection->broken || connection->output.count > 0 ||
        nghttp2_session_want_write(connection->session))
        return;
    connection->shut = true;
    if (connection->tls && connection->established)
        muster__tls_end(connection->tls);
    if (connection->established)
        shutdown(connection->descriptor, SHUT_WR);
}

/* With the lock held: no more streams. */
static void say_goodbye(struct http2_connection *connection)
{
    if (connection->said_goodbye)
        return;
    connection->said_goodbye = true;
    int32_t last = nghttp2_session_get_last_proc_stream_id(connection->session);
    muster__http2_good(connection, nghttp2_submit_goaway(connection->session, NGHTTP2_FLAG_NONE, last,
                                                         NGHTTP2_NO_ERROR, NULL, 0));
    muster__http2_flush(connection);
}

/* When a limit of its is over at the earliest; from then on its timer knows the next. */
static int64_t first_check(const struct http2_connection *connection)
{
    int64_t limit = connection->handshake_timeout_ms;
    if (connection->finishing)
        return connection->finishing_at + FINISH_TIMEOUT_MS;
    if (connection->keepalive_time_ms < limit)
        limit = connection->keepalive_time_ms;
    struct http2_listener *listener = connection->listener;
    if (listener && listener->options.idle_timeout_ms > 0 && listener->options.idle_timeout_ms < limit)
        limit = listener->options.idle_timeout_ms;
    return connection->opened_at + limit;
}

/* With the helm. */
static void serve(struct http2_connection *connection, bool cut)
{
    if (!connection->session)
        return; /* it has ended */
    if (connection->listener && !connection->began) {
        connection->began = true;
        connection->listener->side->began(connection);
    }
    if (connection->client)
        muster__http2_client_go_on(connection);
    muster__http2_take_left(connection);
    if (connection->has_more)
        muster__http2_read(connection, &connection->loop->intake, NULL);
    tell_due(connection);
    pthread_mutex_lock(&connection->lock);
    struct http2_listener *listener = connection->listener;
    bool unused = LIST_EMPTY(&connection->streams);
    if (listener && listener->side->is_closing(listener)) {
        if (unused)
            muster__http2_finish(connection);
        else
            say_goodbye(connection);
    }
    if (cut)
        muster__http2_break(connection, MUSTER_GONE, END_BROKEN);
    go_on_finishing(connection);
    bool over = connection->broken || connection->loop->stopping || (unused && !listener) ||
                (connection->finishing && !connection->established);
    pthread_mutex_unlock(&connection->lock);
    if (over)
        end(connection);
    else if (!connection->timed || connection->finishing)
        muster__http2_connection_due(connection, first_check(connection));
}

void muster__http2_connection_serve(struct http2_connection *connection, bool cut)
{
    pthread_mutex_lock(&connection->helm);
    serve(connection, cut);
    pthread_mutex_unlock(&connection->helm);
}

bool muster__http2_connection_attach(struct http2_connection *connection, int descriptor, bool connected)
{
    int64_t now = connection->loop->now;
    connection->descriptor = descriptor;
    connection->established = connected;
    connection->writable = connected;
    connection->heard_at = connection->opened_at = connection->idle_since = now;
    return muster__http2_watch(connection->loop, descriptor, connected ? EPOLLIN : EPOLLIN | EPOLLOUT,
                               &connection->watch);
}

/* With the lock held: the socket is connected, and TLS agreed on. */
static void establish(struct http2_connection *connection)
{
    connection->established = true;
    connection->writable = true;
    muster__http2_rewatch_connection(connection);
    muster__http2_flush(connection);
}

/* With the lock held. */
static void fail_handshake(struct http2_connection *connection)
{
    bool refused;
    const char *text = muster__tls_failure(connection->tls, &refused);
    if (connection->listener)
        connection->listener->side->handshake_failed(connection->listener, !refused, text);
    muster__http2_break(connection, refused ? MUSTER_UNAUTHENTICATED : MUSTER_UNAVAILABLE, text);
}

void muster__http2_connection_agree(struct http2_connection *connection)
{
    pthread_mutex_lock(&connection->lock);
    enum tls_result result = connection->tls ? muster__tls_handshake(connection->tls) : TLS_DONE;
    if (result == TLS_DONE) {
        establish(connection);
        muster__http2_client_free(connection->client);
        connection->client = NULL;
    } else if (result == TLS_FAILED)
        fail_handshake(connection);
    else
        muster__http2_rewatch(connection->loop, connection->descriptor,
                              result == TLS_WANTS_WRITE ? EPOLLOUT : EPOLLIN, &connection->watch);
    pthread_mutex_unlock(&connection->lock);
}

/* With the helm. */
static void go_on(struct http2_connection *connection, uint32_t events)
{
    if (!connection->session)
        return;
    if (!connection->established && connection->client && !muster__http2_client_connected(connection))
        return;
    if (!connection->established) {
        muster__http2_connection_agree(connection);
        if (connection->tls)
            events |= EPOLLIN; /* TLS may have read more than the handshake */
    }
    if (!connection->established)
        return;
    if (events & EPOLLOUT) {
        pthread_mutex_lock(&connection->lock);
        connection->writable = true;
        muster__http2_flush(connection);
        if (connection->writable && !connection->broken)
            muster__http2_rewatch_connection(connection);
        if (connection->finishing)
            muster__http2_pend(connection);
        pthread_mutex_unlock(&connection->lock);
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        muster__http2_read(connection, &connection->loop->intake, NULL);
}

static void ready(struct watch *watch, uint32_t events)
{
    struct http2_connection *connection = CONTAINER(watch, struct http2_connection, watch);
    pthread_mutex_lock(&connection->helm);
    go_on(connection, events);
    pthread_mutex_unlock(&connection->helm);
}

/* ---- limits of time ---- */

void muster__http2_look(struct http2_connection *connection)
{
    connection->loop->now = muster__clock_now();
    pthread_mutex_lock(&connection->lock);
    bool good = connection->descriptor >= 0 && !connection->broken; /* or its end was seen in this round */
    pthread_mutex_unlock(&connection->lock);
    if (good)
        go_on(connection, EPOLLIN);
}

void muster__http2_connection_due(struct http2_connection *connection, int64_t at)
{
    if (connection->timed && connection->timer_at <= at)
        return;
    if (connection->timed)
        muster__timer_stop(&connection->loop->clock, &connection->timer);
    connection->timed = true;
    connection->timer_at = at;
    muster__timer_start(&connection->loop->clock, &connection->timer, at, timer_expired);
}

static void earlier(int64_t *least, int64_t at)
{
    if (at < *least)
        *least = at;
}

/* With the lock held: a ping when nothing has been heard for long, and the end when it is not answered. */
static void keep_alive(struct http2_connection *connection, int64_t now, int64_t *next)
{
    if (connection->ping_at && connection->heard_at >= connection->ping_at)
        connection->ping_at = 0;
    if (connection->ping_at && now >= connection->ping_at + connection->keepalive_timeout_ms) {
        muster__http2_break(connection, MUSTER_UNAVAILABLE,
                            "the connection is dead: a ping was not answered");
        return;
    }
    if (!connection->ping_at && now >= connection->heard_at + connection->keepalive_time_ms) {
        connection->ping_at = now;
        muster__http2_good(connection, nghttp2_submit_ping(connection->session, NGHTTP2_FLAG_NONE, NULL));
        muster__http2_flush(connection);
    }
    earlier(next, connection->ping_at ? connection->ping_at + connection->keepalive_timeout_ms
                                      : connection->heard_at + connection->keepalive_time_ms);
}

/* With the lock held: it is not yet agreed upon that this is HTTP/2. */
static void check_beginning(struct http2_connection *connection, int64_t now, int64_t *next)
{
    if (now >= connection->opened_at + connection->handshake_timeout_ms)
        muster__http2_break(connection, MUSTER_UNAVAILABLE,
                            connection->established ? CAUSE_FROZEN : muster__http2_socket_cause(ETIMEDOUT));
    int64_t leaves_at = muster__http2_client_leaves_at(connection);
    if (now >= leaves_at)
        muster__http2_pend(connection); /* where it goes on with the next address */
    else
        earlier(next, leaves_at);
    earlier(next, connection->opened_at + connection->handshake_timeout_ms);
    earlier(next, now + connection->keepalive_time_ms);
}

/* With the lock held: headers that were begun are to end. Nothing else comes before they do. */
static void check_headers(struct http2_connection *connection, int64_t now, int64_t *next)
{
    int64_t begun_at = connection->frames.block_at;
    if (begun_at == 0)
        return;
    if (now >= begun_at + connection->handshake_timeout_ms)
        muster__http2_break_rules(connection, "headers were begun and did not come");
    earlier(next, begun_at + connection->handshake_timeout_ms);
}

/* With the lock held: one that nobody uses ends. */
static void check_use(struct http2_connection *connection, int64_t now, int64_t *next)
{
    struct http2_listener *listener = connection->listener;
    int64_t idle_ms = listener && connection->established ? listener->options.idle_timeout_ms : 0;
    if (idle_ms == 0)
        return;
    if (!LIST_EMPTY(&connection->streams)) {
        earlier(next, now + idle_ms);
        return;
    }
    if (now >= connection->idle_since + idle_ms)
        muster__http2_finish(connection);
    earlier(next, connection->idle_since + idle_ms);
}

/* With the lock held. */
static void check(struct http2_connection *connection, int64_t now, int64_t *next)
{
    if (connection->finishing) {
        if (now >= connection->finishing_at + FINISH_TIMEOUT_MS)
            muster__http2_break(connection, MUSTER_UNAVAILABLE, END_BROKEN);
        earlier(next, connection->finishing_at + FINISH_TIMEOUT_MS);
        return;
    }
    check_use(connection, now, next);
    check_headers(connection, now, next);
    if (connection->heard)
        keep_alive(connection, now, next);
    else
        check_beginning(connection, now, next);
}

static void timer_expired(struct timer *timer)
{
    struct http2_connection *connection = CONTAINER(timer, struct http2_connection, timer);
    int64_t next = INT64_MAX;
    pthread_mutex_lock(&connection->helm);
    connection->timed = false;
    muster__http2_look(connection);
    pthread_mutex_lock(&connection->lock);
    int64_t now = muster__clock_now();
    if (connection->session && !connection->broken)
        check(connection, now, &next);
    bool over = !connection->session || connection->broken;
    pthread_mutex_unlock(&connection->lock);
    if (!over) /* what is late already has been done, and the loop sees to it */
        muster__http2_connection_due(connection, next > now ? next : now + FINISH_TIMEOUT_MS);
    pthread_mutex_unlock(&connection->helm);
}
