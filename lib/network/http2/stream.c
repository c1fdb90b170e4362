/* Streams: what their owners call, and what they are told. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "network/code.h"
#include "network/http2/http2.h"
#include "network/http2/tend.h"
#include "network/words.h"
#include "status.h"

static const struct stream_ops stream_ops;

struct http2_stream *muster__http2_stream_new(struct http2_connection *connection, size_t max_message_size)
{
    struct http2_stream *stream = calloc(1, sizeof(*stream));
    if (!stream)
        return NULL;
    if (connection->listener && !(stream->request = calloc(1, sizeof(*stream->request)))) {
        free(stream);
        return NULL;
    }
    if (stream->request)
        stream->request->timeout_ms = INT64_MAX;
    stream->base.ops = &stream_ops;
    atomic_init(&stream->references, 2);
    stream->connection = connection;
    stream->max_message_size = max_message_size;
    stream->code = -1;
    stream->deadline = INT64_MAX;
    stream->waits = connection->listener != NULL;
    STAILQ_INIT(&stream->queue);
    atomic_fetch_add(&connection->references, 1);
    LIST_INSERT_HEAD(&connection->streams, stream, link);
    return stream;
}

void muster__http2_stream_release(struct http2_stream *stream)
{
    if (atomic_fetch_sub_explicit(&stream->references, 1, memory_order_acq_rel) != 1)
        return;
    muster__http2_request_free(stream->request);
    if (stream->connection->side)
        stream->connection->side->forget(stream);
    free(stream->closing_text);
    free(stream->details);
    muster__http2_connection_release(stream->connection);
    free(stream);
}

/* ---- the end; with the lock held ---- */

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .value = (uint8_t *)(uintptr_t)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value)};
}

enum { TRAILERS = 2, HEADERS = 2 };

/* Of a server: its headers, and its trailers, which may be all. */
struct last_words {
    char code[12];
    char text[3 * MUSTER_ERROR_TEXT_SIZE];
    nghttp2_nv headers[HEADERS + TRAILERS];
    size_t count;
};

static void put_headers(struct last_words *words)
{
    words->headers[0] = header(":status", "200");
    words->headers[1] = header("content-type", "application/grpc");
    words->count = HEADERS;
}

static void put_trailers(struct last_words *words, int code, const char *text)
{
    snprintf(words->code, sizeof(words->code), "%d", code);
    muster__http2_encode_text(text, words->text, sizeof(words->text));
    words->headers[words->count++] = header("grpc-status", words->code);
    if (*text)
        words->headers[words->count++] = header("grpc-message", words->text);
}

static const nghttp2_data_provider provider = {.read_callback = muster__http2_read_data};

void muster__http2_begin_response(struct http2_stream *stream)
{
    struct http2_connection *connection = stream->connection;
    struct last_words words;
    if (stream->begun || !connection->listener)
        return;
    stream->begun = true;
    put_headers(&words);
    muster__http2_good(connection, nghttp2_submit_response(connection->session, stream->id, words.headers,
                                                           words.count, &provider));
}

void muster__http2_submit_trailers(struct http2_stream *stream)
{
    struct http2_connection *connection = stream->connection;
    struct last_words words = {.count = 0};
    put_trailers(&words, muster__code_of(stream->closing_status),
                 stream->closing_text ? stream->closing_text : "");
    muster__http2_good(connection,
                       nghttp2_submit_trailer(connection->session, stream->id, words.headers, words.count));
}

/* Headers and trailers in one. */
static void submit_only_trailers(struct http2_stream *stream, int code, const char *text)
{
    struct http2_connection *connection = stream->connection;
    struct last_words words;
    stream->begun = true;
    put_headers(&words);
    put_trailers(&words, code, text);
    muster__http2_good(connection, nghttp2_submit_response(connection->session, stream->id, words.headers,
                                                           words.count, NULL));
}

static void go_on(struct http2_stream *stream)
{
    struct http2_connection *connection = stream->connection;
    if (connection->listener || stream->closing)
        muster__http2_watch_again(connection);
    if (stream->deferred) {
        stream->deferred = false;
        muster__http2_good(connection, nghttp2_session_resume_data(connection->session, stream->id));
    }
    muster__http2_flush(connection);
}

void muster__http2_close(struct http2_stream *stream, enum muster_status status, const char *text)
{
    if (stream->closing)
        return;
    stream->closing = true;
    stream->closing_status = status;
    stream->closing_text = strdup(text); /* out of memory: the status goes without its text */
    if (stream->over)
        return;
    if (stream->connection->listener && !stream->begun && STAILQ_EMPTY(&stream->queue) && !stream->part)
        submit_only_trailers(stream, muster__code_of(status), text);
    go_on(stream);
}

void muster__http2_reset(struct http2_stream *stream, uint32_t code)
{
    struct http2_connection *connection = stream->connection;
    if (stream->ended)
        return;
    if (connection->session && stream->id)
        muster__http2_good(
            connection, nghttp2_submit_rst_stream(connection->session, NGHTTP2_FLAG_NONE, stream->id, code));
    muster__http2_stream_ended(stream);
    muster__http2_flush(connection);
}

void muster__http2_abort_with(struct http2_stream *stream, int code, const char *text)
{
    struct http2_connection *connection = stream->connection;
    struct last_words words = {.count = 0};
    if (stream->ended)
        return;
    muster__http2_stream_ended(stream);
    if (!connection->session)
        return;
    if (!stream->begun) {
        submit_only_trailers(stream, code, text);
    } else {
        put_trailers(&words, code, text);
        muster__http2_good(connection,
                           nghttp2_submit_headers(connection->session, NGHTTP2_FLAG_END_STREAM, stream->id,
                                                  NULL, words.headers, words.count, NULL));
    }
    muster__http2_flush(connection);
}

void muster__http2_abort(struct http2_stream *stream, enum muster_status status, const char *text)
{
    muster__http2_abort_with(stream, muster__code_of(status), text);
}

/* ---- telling; on the loop's thread ---- */

/* `cause`: for a text that has to be written. */
static enum muster_status end_of_client(const struct http2_stream *stream, char cause[MUSTER_ERROR_TEXT_SIZE],
                                        const char **text)
{
    const struct http2_connection *connection = stream->connection;
    if (stream->fault != MUSTER_OK) {
        *text = stream->fault_text;
        return stream->fault;
    }
    if (stream->code >= 0) {
        *text = stream->details ? stream->details : "";
        return muster__status_of(stream->code);
    }
    if (stream->cut) {
        *text = END_CUT;
        return MUSTER_CANCELLED;
    }
    if (stream->http_status && !(stream->http_status == 200 && stream->is_grpc)) {
        snprintf(cause, MUSTER_ERROR_TEXT_SIZE, CAUSE_NOT_GRPC, connection->peer);
        *text = cause;
        return muster__status_of(muster__http2_code_of_http(stream->http_status));
    }
    if (connection->cause != MUSTER_OK) {
        *text = connection->cause_text ? connection->cause_text : "";
        return connection->cause;
    }
    if (stream->reset_code == NGHTTP2_ENHANCE_YOUR_CALM) {
        *text = END_MEMORY_FULL;
        return MUSTER_UNAVAILABLE;
    }
    *text = "the server ended the stream";
    return muster__status_of(muster__http2_code_of_reset(stream->reset_code));
}

static enum muster_status end_of_server(const struct http2_stream *stream, const char **text)
{
    if (stream->closing && !stream->left) {
        *text = stream->closing_text ? stream->closing_text : "";
        return stream->closing_status;
    }
    if (stream->fault != MUSTER_OK) {
        *text = stream->fault_text;
        return stream->fault;
    }
    if (stream->left) {
        *text = END_LEFT;
        return MUSTER_CLOSED;
    }
    *text = END_BROKEN;
    return MUSTER_GONE;
}

static void report_closed(struct http2_stream *stream)
{
    struct http2_connection *connection = stream->connection;
    struct http2_listener *listener = connection->listener;
    const char *text;
    char cause[MUSTER_ERROR_TEXT_SIZE];
    bool all = !listener && stream->code >= 0 && !stream->cut; /* that came before the server's last word */
    if (all)
        stream->paused_until = 0;
    if (all || stream->left_to_loop) {
        stream->left_to_loop = false;
        muster__http2_resume(stream);
    }
    muster__http2_input_drop(stream);
    pthread_mutex_lock(&connection->lock);
    enum muster_status status = listener ? end_of_server(stream, &text) : end_of_client(stream, cause, &text);
    stream->told = true;
    pthread_mutex_unlock(&connection->lock);
    if (stream->events)
        stream->events->closed(stream->context, status, text);
    if (stream->timed && muster__timer_stop(&connection->loop->clock, &stream->timer))
        muster__http2_stream_release(stream);
    stream->timed = false;
    if (listener && stream->heard)
        listener->side->count_peer(listener, false);
    if (listener && !stream->aside)
        muster__trim_later(&connection->loop->transport->trim);
    pthread_mutex_lock(&connection->lock);
    if (LIST_EMPTY(&connection->streams)) {
        connection->idle_since = connection->loop->now;
        muster__http2_pend(connection);
    }
    pthread_mutex_unlock(&connection->lock);
    if (!stream->events)
        muster__http2_stream_release(stream); /* nobody owns it */
    muster__http2_stream_release(stream);
}

void muster__http2_tell(struct http2_stream *stream)
{
    pthread_mutex_lock(&stream->connection->lock);
    bool sent = stream->sent_due, ended = stream->ended;
    stream->sent_due = false;
    pthread_mutex_unlock(&stream->connection->lock);
    if (ended && !stream->told)
        report_closed(stream);
    else if (sent && !stream->cut && stream->events && stream->events->sent)
        stream->events->sent(stream->context);
}

/* ---- its timer ---- */

static void timer_expired(struct timer *timer)
{
    struct http2_stream *stream = CONTAINER(timer, struct http2_stream, timer);
    struct http2_connection *connection = stream->connection;
    int64_t now = muster__clock_now();
    pthread_mutex_lock(&connection->helm);
    stream->timed = false;
    if (stream->message)
        muster__http2_look(connection);
    if (stream->paused_until && now >= stream->paused_until) {
        stream->paused_until = 0;
        muster__http2_resume(stream);
    }
    bool stalled = !stream->told && muster__http2_has_stalled(stream, now);
    pthread_mutex_lock(&connection->lock);
    if (stalled && !stream->ended)
        muster__http2_abort(stream, MUSTER_UNAVAILABLE, END_STALLED);
    if (stream->linger_until && now >= stream->linger_until && !stream->ended)
        muster__http2_reset(stream, NGHTTP2_CANCEL);
    if (now >= stream->deadline && !stream->ended)
        muster__http2_abort_with(stream, CODE_DEADLINE_EXCEEDED, "the deadline of the call is over");
    bool over = stream->ended;
    pthread_mutex_unlock(&connection->lock);
    if (!over && stream->paused_until)
        muster__http2_stream_due(stream, stream->paused_until);
    if (!over && stream->linger_until)
        muster__http2_stream_due(stream, stream->linger_until);
    if (!over)
        muster__http2_stream_due(stream, stream->deadline);
    pthread_mutex_unlock(&connection->helm);
    muster__http2_stream_release(stream);
}

void muster__http2_stream_due(struct http2_stream *stream, int64_t at)
{
    struct muster_transport *clock = &stream->connection->loop->clock;
    if (stream->told || at == INT64_MAX || (stream->timed && stream->timer_at <= at))
        return;
    if (stream->timed) {
        if (!muster__timer_stop(clock, &stream->timer))
            return; /* it is about to ring, and looks at all that is due */
        muster__http2_stream_release(stream);
    }
    stream->timed = true;
    stream->timer_at = at;
    atomic_fetch_add(&stream->references, 1);
    muster__timer_start(clock, &stream->timer, at, timer_expired);
}

/* ---- what its owner calls ---- */

static enum muster_status stream_send(struct stream *base, const uint8_t *head, size_t head_size,
                                      struct buffer *body)
{
    struct http2_stream *stream = (struct http2_stream *)base;
    const struct piece piece = {body ? body->data : NULL, body ? body->size : 0};
    struct outgoing *outgoing = muster__http2_outgoing_new(head, head_size, body, &piece, body ? 1 : 0);
    if (!outgoing)
        return MUSTER_OUT_OF_MEMORY;
    pthread_mutex_lock(&stream->connection->lock);
    bool closed = stream->over || stream->closing;
    if (closed) {
        muster__http2_outgoing_release(outgoing);
    } else {
        STAILQ_INSERT_TAIL(&stream->queue, outgoing, link);
        muster__http2_begin_response(stream);
        go_on(stream);
    }
    pthread_mutex_unlock(&stream->connection->lock);
    return closed ? MUSTER_CLOSED : MUSTER_OK;
}

static enum muster_status stream_send_part(struct stream *base, const uint8_t *head, size_t head_size,
                                           struct buffer *body, const struct piece *pieces, size_t count)
{
    struct http2_stream *stream = (struct http2_stream *)base;
    struct outgoing *outgoing = muster__http2_outgoing_new(head, head_size, body, pieces, count);
    if (!outgoing)
        return MUSTER_OUT_OF_MEMORY;
    pthread_mutex_lock(&stream->connection->lock);
    bool closed = stream->over || stream->closing;
    if (closed) {
        muster__http2_outgoing_release(outgoing);
    } else {
        outgoing->stream = stream;
        stream->part = outgoing;
        muster__http2_begin_response(stream);
        go_on(stream);
    }
    pthread_mutex_unlock(&stream->connection->lock);
    return closed ? MUSTER_CLOSED : MUSTER_OK;
}

static void stream_close(struct stream *base, enum muster_status status, const char *text)
{
    struct http2_stream *stream = (struct http2_stream *)base;
    pthread_mutex_lock(&stream->connection->lock);
    muster__http2_close(stream, status, text);
    pthread_mutex_unlock(&stream->connection->lock);
}

static void stream_cut(struct stream *base)
{
    struct http2_stream *stream = (struct http2_stream *)base;
    pthread_mutex_lock(&stream->connection->lock);
    if (!stream->ended)
        stream->cut = true;
    if (stream->connection->listener)
        muster__http2_abort(stream, MUSTER_UNAVAILABLE, END_CUT);
    else
        muster__http2_reset(stream, NGHTTP2_CANCEL);
    pthread_mutex_unlock(&stream->connection->lock);
}

/* Of what waits, without what is in a frame already. */
static bool stream_revoke(struct stream *base, const struct buffer *body)
{
    struct http2_stream *stream = (struct http2_stream *)base;
    struct outgoing *found;
    pthread_mutex_lock(&stream->connection->lock);
    STAILQ_FOREACH(found, &stream->queue, link) {
        if (found->whose == body)
            break;
    }
    bool waits = found && found->done == 0 && stream->planned == 0;
    if (waits) {
        STAILQ_REMOVE(&stream->queue, found, outgoing, link);
        muster__http2_outgoing_release(found);
    }
    pthread_mutex_unlock(&stream->connection->lock);
    return waits;
}

static void stream_hold(struct stream *base)
{
    (void)base; /* nothing to gain: what comes is read with what else there is */
}

static void stream_pause(struct stream *base, int64_t milliseconds)
{
    struct http2_stream *stream = (struct http2_stream *)base;
    /* 0 would not be a pause. */
    int64_t limit_ms = milliseconds == 0 ? 1 : milliseconds;
    stream->paused_until = muster__transport_after(&stream->connection->loop->clock, limit_ms);
    muster__http2_stream_due(stream, stream->paused_until);
}

static void stream_displace(struct stream *base)
{
    struct http2_stream *stream = (struct http2_stream *)base;
    pthread_mutex_lock(&stream->connection->lock);
    stream->place = NULL;
    stream->displaced = true;
    pthread_mutex_unlock(&stream->connection->lock);
}

static void stream_refuse(struct stream *base, int code, const char *text)
{
    struct http2_stream *stream = (struct http2_stream *)base;
    pthread_mutex_lock(&stream->connection->lock);
    if (!stream->ended)
        stream->cut = true;
    muster__http2_abort_with(stream, code, text);
    pthread_mutex_unlock(&stream->connection->lock);
}

static unsigned stream_lane(struct stream *base)
{
    return ((struct http2_stream *)base)->connection->loop->number;
}

static void stream_peer(struct stream *base, char *text, size_t size)
{
    snprintf(text, size, "%s", ((struct http2_stream *)base)->connection->peer);
}

static enum muster_status stream_authenticate(struct stream *base, const char *const **names,
                                              struct muster_error *error)
{
    struct http2_stream *stream = (struct http2_stream *)base;
    return stream->connection->side->authenticate(stream, names, error);
}

static void stream_release(struct stream *base)
{
    muster__http2_stream_release((struct http2_stream *)base);
}

static const struct stream_ops stream_ops = {
    .tending = &muster__http2_tending,
    .send = stream_send,
    .send_part = stream_send_part,
    .close = stream_close,
    .cut = stream_cut,
    .revoke = stream_revoke,
    .hold = stream_hold,
    .pause = stream_pause,
    .displace = stream_displace,
    .refuse = stream_refuse,
    .lane = stream_lane,
    .peer = stream_peer,
    .authenticate = stream_authenticate,
    .release = stream_release,
};
