/* The session of a connection: what nghttp2 is told of it, and what it tells. All with the connection's lock held. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "network/http2/http2.h"
#include "network/http2/tend.h"

/* Of what a peer may make us hold or do, as the known floods of HTTP/2 do. */
enum {
    SETTINGS_MAX = 32,     /* in a frame */
    CONTINUATIONS_MAX = 8, /* for one block of headers */
    ANSWERS_MAX = 100,     /* that wait to be written, to pings and settings */
    RESETS_AT_ONCE = 200,  /* of streams, and so many more in a second */
    RESETS_PER_SECOND = 20,
    STREAMS_DEFAULT = 1000, /* where a listener has no limit */
};

bool muster__http2_good(struct http2_connection *connection, int result)
{
    if (result == NGHTTP2_ERR_NOMEM)
        muster__http2_break(connection, connection->listener ? MUSTER_GONE : MUSTER_UNAVAILABLE,
                            "out of memory");
    return result >= 0;
}

/* ---- what nghttp2 tells ---- */

/* The result of a callback. */
static int out_of_memory(struct http2_connection *connection)
{
    muster__http2_good(connection, NGHTTP2_ERR_NOMEM);
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* Most connections have one stream, which need not be looked for: those that have not ended are all in the list. */
struct http2_stream *muster__http2_find(const struct http2_connection *connection, int32_t id)
{
    struct http2_stream *first = LIST_FIRST(&connection->streams);
    if (first && first->id == id)
        return first;
    return nghttp2_session_get_stream_user_data(connection->session, id);
}

static bool add_arrival(struct http2_stream *stream, enum arrival_kind kind, const uint8_t *data, size_t size)
{
    struct intake *intake = stream->connection->intake;
    if (intake->arrival_count == intake->arrival_room) {
        size_t room = intake->arrival_room ? 2 * intake->arrival_room : 16;
        struct arrival *arrivals = realloc(intake->arrivals, room * sizeof(*arrivals));
        if (!arrivals)
            return false;
        intake->arrivals = arrivals;
        intake->arrival_room = room;
    }
    atomic_fetch_add_explicit(&stream->references, 1, memory_order_relaxed);
    intake->arrivals[intake->arrival_count++] = (struct arrival){kind, stream, data, size};
    return true;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    struct http2_connection *connection = context;
    if (!connection->listener || frame->hd.type != NGHTTP2_HEADERS ||
        frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct http2_stream *stream =
        muster__http2_stream_new(connection, connection->listener->max_message_size);
    if (!stream)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    stream->id = frame->hd.stream_id;
    nghttp2_session_set_stream_user_data(session, stream->id, stream);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags, void *context)
{
    struct http2_connection *connection = context;
    struct http2_stream *stream = muster__http2_find(connection, frame->hd.stream_id);
    (void)session, (void)flags;
    if (!stream)
        return 0;
    if (!connection->listener)
        muster__http2_take_response_header(stream, name, name_size, value, value_size);
    else if (stream->request && frame->headers.cat == NGHTTP2_HCAT_REQUEST && /* and no trailers */
             !muster__http2_take_request_header(stream, name, name_size, value, value_size))
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    return 0;
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *header, void *context)
{
    struct http2_connection *connection = context;
    (void)session;
    connection->frame_left = 0;
    if (header->type == NGHTTP2_DATA && !(header->flags & NGHTTP2_FLAG_PADDED)) {
        connection->frame_stream = header->stream_id;
        connection->frame_left = header->length;
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t size,
                   void *context)
{
    struct http2_connection *connection = context;
    struct http2_stream *stream = muster__http2_find(context, id);
    (void)session, (void)flags;
    connection->frame_left -= connection->frame_left < size ? connection->frame_left : size;
    muster__http2_good(connection, nghttp2_session_consume_connection(session, size));
    if (!stream)
        return 0;
    if (muster__http2_is_put_off(stream))
        stream->unread += size;
    else
        muster__http2_good(connection, nghttp2_session_consume_stream(session, id, size));
    if (!connection->listener && !(stream->http_status == 200 && stream->is_grpc))
        return 0; /* a page that says what is wrong, perhaps */
    muster__http2_earn(connection, size);
    return add_arrival(stream, ARRIVAL_DATA, data, size) ? 0 : out_of_memory(connection);
}

/* The peer has said its first word. */
static void begin_sending(struct http2_connection *connection)
{
    struct http2_stream *stream;
    connection->heard = true;
    if (connection->listener)
        connection->listener->side->settled(connection);
    LIST_FOREACH(stream, &connection->streams, link) {
        if (!stream->deferred)
            continue;
        stream->deferred = false;
        muster__http2_good(connection, nghttp2_session_resume_data(connection->session, stream->id));
    }
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    struct http2_connection *connection = context;
    if (frame->hd.type == NGHTTP2_SETTINGS && !connection->heard)
        begin_sending(connection);
    bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (frame->hd.type != NGHTTP2_HEADERS && (frame->hd.type != NGHTTP2_DATA || !ends))
        return 0;
    struct http2_stream *stream = muster__http2_find(connection, frame->hd.stream_id);
    if (!stream)
        return 0;
    if (connection->listener && frame->hd.type == NGHTTP2_HEADERS &&
        frame->headers.cat == NGHTTP2_HCAT_REQUEST && !add_arrival(stream, ARRIVAL_OPENED, NULL, 0))
        return out_of_memory(connection);
    if (connection->listener && ends && !add_arrival(stream, ARRIVAL_LEFT, NULL, 0))
        return out_of_memory(connection);
    if (!connection->listener && ends) {
        if (nghttp2_session_get_stream_local_close(session, stream->id) == 0)
            muster__http2_good(connection, nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream->id,
                                                                     NGHTTP2_NO_ERROR));
        muster__http2_stream_ended(stream);
    }
    return 0;
}

/* A server's last word is out: a client that still sends is told not to. */
static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    struct http2_connection *connection = context;
    bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (!connection->listener || frame->hd.type != NGHTTP2_HEADERS || !ends)
        return 0;
    struct http2_stream *stream = muster__http2_find(connection, frame->hd.stream_id);
    if (nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0)
        muster__http2_good(connection, nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE,
                                                                 frame->hd.stream_id, NGHTTP2_NO_ERROR));
    if (stream)
        muster__http2_stream_ended(stream);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *context)
{
    struct http2_stream *stream = muster__http2_find(context, id);
    (void)session;
    if (!stream)
        return 0;
    stream->reset_code = code;
    muster__http2_stream_ended(stream);
    return 0;
}

static ssize_t most_data(nghttp2_session *session, uint8_t type, int32_t id, int32_t session_window,
                         int32_t stream_window, uint32_t frame_max, void *context)
{
    (void)session, (void)type, (void)id, (void)context;
    int64_t most = FRAME_SIZE_SENT;
    if (session_window < most)
        most = session_window;
    if (stream_window < most)
        most = stream_window;
    return frame_max < most ? (ssize_t)frame_max : (ssize_t)most;
}

/* ---- ends of streams ---- */

void muster__http2_due(struct http2_stream *stream)
{
    struct http2_connection *connection = stream->connection;
    if (stream->is_due)
        return;
    stream->is_due = true;
    STAILQ_INSERT_TAIL(&connection->due, stream, due_link);
    muster__http2_pend(connection);
}

void muster__http2_stream_ended(struct http2_stream *stream)
{
    struct http2_connection *connection = stream->connection;
    if (stream->ended)
        return;
    if (connection->session && stream->id)
        nghttp2_session_set_stream_user_data(connection->session, stream->id, NULL);
    stream->over = stream->ended = true;
    LIST_REMOVE(stream, link);
    muster__http2_queue_drop(stream);
    muster__http2_due(stream);
    muster__http2_ring_tender(connection);
}

/* ---- making one ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static nghttp2_session_callbacks *callbacks; /* constant once made; NULL: out of memory */
static nghttp2_option *choices;

static void make_callbacks(void)
{
    if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&choices) != 0) {
        nghttp2_session_callbacks_del(callbacks);
        callbacks = NULL;
        return;
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, most_data);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, muster__http2_send_data);
    nghttp2_option_set_no_auto_window_update(choices, 1);
    nghttp2_option_set_no_closed_streams(choices, 1);
    nghttp2_option_set_max_deflate_dynamic_table_size(choices, 0);
    nghttp2_option_set_max_settings(choices, SETTINGS_MAX);
    nghttp2_option_set_max_outbound_ack(choices, ANSWERS_MAX);
    /* A server is not built without these two; a participant alone may be. */
#ifdef HAVE_NGHTTP2_OPTION_SET_MAX_CONTINUATIONS
    nghttp2_option_set_max_continuations(choices, CONTINUATIONS_MAX);
#endif
#ifdef HAVE_NGHTTP2_OPTION_SET_STREAM_RESET_RATE_LIMIT
    nghttp2_option_set_stream_reset_rate_limit(choices, RESETS_AT_ONCE, RESETS_PER_SECOND);
#endif
}

bool muster__http2_session_begin(struct http2_connection *connection,
                                 const struct connection_options *options)
{
    nghttp2_session **session = &connection->session;
    pthread_once(&once, make_callbacks);
    muster__http2_frames_begin(connection);
    if (!callbacks ||
        (connection->listener ? nghttp2_session_server_new2(session, callbacks, connection, choices)
                              : nghttp2_session_client_new2(session, callbacks, connection, choices)) != 0)
        return false;
    size_t streams = options->max_streams ? options->max_streams : STREAMS_DEFAULT;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW_SIZE},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, FRAME_SIZE_TAKEN},
        {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADERS_SIZE_MAX},
        connection->listener
            ? (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, (uint32_t)streams}
            : (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
    };
    return nghttp2_submit_settings(*session, NGHTTP2_FLAG_NONE, settings,
                                   sizeof(settings) / sizeof(*settings)) == 0 &&
           nghttp2_session_set_local_window_size(*session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW_SIZE) == 0;
}

/* ---- a client's request ---- */

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .value = (uint8_t *)(uintptr_t)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value)};
}

bool muster__http2_submit_request(struct http2_stream *stream, const char *authority, const char *method,
                                  const char *authorization, bool tls)
{
    nghttp2_nv headers[] = {
        header(":method", "POST"),
        header(":scheme", tls ? "https" : "http"),
        header(":path", method),
        header(":authority", authority),
        header("content-type", "application/grpc"),
        header("te", "trailers"),
        header("user-agent", "muster/" PACKAGE_VERSION),
        header("authorization", authorization ? authorization : ""),
    };
    const nghttp2_data_provider provider = {.source.ptr = stream, .read_callback = muster__http2_read_data};
    size_t count = sizeof(headers) / sizeof(*headers) - !authorization;
    headers[count - 1].flags = authorization ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE;
    int32_t id = nghttp2_submit_request(stream->connection->session, NULL, headers, count, &provider, stream);
    if (id < 0)
        return false;
    stream->id = id;
    return true;
}
