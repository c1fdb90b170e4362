/* What comes in: reading a connection, and taking messages out of what nghttp2 found. On the loop's thread. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "network/code.h"
#include "network/http2/http2.h"
#include "network/http2/tend.h"
#include "network/http2/tls.h"
#include "network/words.h"

enum {
    ROOM_FIRST = 64 << 10,  /* of a message that is not whole; then twice as much again and again, */
    ROOM_AT_ONCE = 4 << 20, /* unless it is no bigger than this, where memory is taken as it fills */
    PLACE_MIN = 64 << 10,   /* of a message that may be read to its place */
    RATE_MIN = 1,           /* bytes per millisecond: what comes faster is on its way */
};

bool muster__http2_is_put_off(const struct http2_stream *stream)
{
    return stream->paused_until || stream->waits || stream->left_to_loop;
}

/* ---- memory ---- */

bool muster__http2_count(struct http2_stream *stream, size_t bytes)
{
    struct http2_listener *listener = stream->connection->listener;
    if (!listener)
        return true;
    if (!listener->side->hold(listener, (ptrdiff_t)bytes))
        return false;
    stream->counted += bytes;
    return true;
}

static void uncount(struct http2_stream *stream)
{
    struct http2_listener *listener = stream->connection->listener;
    if (listener && stream->counted)
        listener->side->hold(listener, -(ptrdiff_t)stream->counted);
    stream->counted = 0;
}

/* Its place is its owner's again; NULL: it had none any more. */
static uint8_t *leave_place(struct http2_stream *stream)
{
    pthread_mutex_lock(&stream->connection->lock);
    uint8_t *place = stream->place;
    stream->place = NULL;
    pthread_mutex_unlock(&stream->connection->lock);
    stream->message_head = 0;
    return place;
}

static void drop_message(struct http2_stream *stream)
{
    if (stream->message_head)
        leave_place(stream);
    free(stream->message);
    stream->message = NULL;
    stream->message_came = stream->message_room = 0;
    stream->prefix_size = 0;
    if (!stream->backlog)
        uncount(stream);
}

void muster__http2_input_drop(struct http2_stream *stream)
{
    free(stream->backlog);
    stream->backlog = NULL;
    stream->backlog_size = stream->backlog_room = 0;
    drop_message(stream);
}

/* The server's memory is full: that is no fault of the stream's owner. */
static void refuse_more(struct http2_stream *stream)
{
    pthread_mutex_lock(&stream->connection->lock);
    muster__http2_reset(stream, NGHTTP2_ENHANCE_YOUR_CALM);
    pthread_mutex_unlock(&stream->connection->lock);
    stream->cut = true;
}

static bool grow(uint8_t **bytes, size_t *room, size_t needed)
{
    uint8_t *more = realloc(*bytes, needed);
    if (!more)
        return false;
    *bytes = more;
    *room = needed;
    return true;
}

static bool put_off(struct http2_stream *stream, const uint8_t *data, size_t size)
{
    size_t needed = stream->backlog_size + size, room = stream->backlog_room;
    if (!muster__http2_count(stream, size))
        return false;
    if (needed > room &&
        !grow(&stream->backlog, &stream->backlog_room, needed > 2 * room ? needed : 2 * room))
        return false;
    memcpy(stream->backlog + stream->backlog_size, data, size);
    stream->backlog_size = needed;
    return true;
}

/* Makes room for more of a message. */
static bool make_room(struct http2_stream *stream)
{
    size_t size = stream->message_size, room = stream->message_room;
    if (stream->message && stream->message_came < room)
        return true;
    size_t next = size <= ROOM_AT_ONCE || room > size / 2 ? size : room == 0 ? ROOM_FIRST : 2 * room;
    return grow(&stream->message, &stream->message_room, next);
}

/* ---- messages ---- */

static void deliver(struct http2_stream *stream, const struct piece *pieces, size_t count, size_t size)
{
    struct http2_listener *listener = stream->connection->listener;
    if (listener && !stream->heard && !stream->aside)
        listener->side->count_peer(listener, true);
    stream->heard = !stream->aside;
    if (stream->events)
        stream->events->message(stream->context, pieces, count, size);
}

/* On a thread that tends. False: there is no memory. */
static bool deliver_tended(struct http2_stream *stream, const struct piece *piece)
{
    muster__tend_telling();
    deliver(stream, piece, piece->size > 0, piece->size);
    if (!muster__tend_told())
        return true;
    muster__http2_leave_to_loop(stream);
    return put_off(stream, stream->prefix, MESSAGE_PREFIX) && put_off(stream, piece->data, piece->size);
}

static void watch_message(struct http2_stream *stream, int64_t now)
{
    struct http2_listener *listener = stream->connection->listener;
    int64_t stall_ms = listener ? listener->options.stall_timeout_ms : 0;
    stream->mark_at = now;
    stream->mark_came = stream->message_came;
    if (stall_ms > 0)
        muster__http2_stream_due(stream, now + stall_ms);
}

bool muster__http2_has_stalled(struct http2_stream *stream, int64_t now)
{
    struct http2_listener *listener = stream->connection->listener;
    int64_t stall_ms = listener ? listener->options.stall_timeout_ms : 0;
    if (stall_ms == 0 || !stream->message)
        return false;
    if (now < stream->mark_at + stall_ms) { /* the timer rang for something else */
        muster__http2_stream_due(stream, stream->mark_at + stall_ms);
        return false;
    }
    bool late = now > stream->timer_at + stall_ms / 2; /* the process stood still, and nothing could come; */
    /* Or nobody read what did: not twice running, or a byte in time for each timer would hold a message for ever. */
    bool unread = !stream->spared && stream->came_at >= stream->timer_at;
    bool moves = (int64_t)(stream->message_came - stream->mark_came) >= stall_ms * RATE_MIN;
    if (!late && !unread && !moves && !muster__http2_is_put_off(stream))
        return true;
    stream->spared = unread && !moves;
    watch_message(stream, now);
    return false;
}

/* `status`: for our side; the text is for both. */
static void refuse_message(struct http2_stream *stream, int code, enum muster_status status, const char *text)
{
    pthread_mutex_lock(&stream->connection->lock);
    if (!stream->ended) {
        stream->fault = status;
        stream->fault_text = text;
    }
    if (stream->connection->listener)
        muster__http2_abort_with(stream, code, text);
    else
        muster__http2_reset(stream, NGHTTP2_CANCEL);
    pthread_mutex_unlock(&stream->connection->lock);
    stream->cut = true;
}

/* The prefix of a message; false: it is not whole, or the message is refused. */
static bool take_prefix(struct http2_stream *stream, const uint8_t **data, size_t *size)
{
    for (; stream->prefix_size < MESSAGE_PREFIX && *size; (*size)--)
        stream->prefix[stream->prefix_size++] = *(*data)++;
    if (stream->prefix_size < MESSAGE_PREFIX)
        return false;
    const uint8_t *bytes = stream->prefix;
    stream->message_size =
        (size_t)bytes[1] << 24 | (size_t)bytes[2] << 16 | (size_t)bytes[3] << 8 | (size_t)bytes[4];
    /* Who asks for compression is refused at once, not only with the first message that is worth it. */
    bool plain = bytes[0] == 0 && !(stream->compresses && stream->connection->listener);
    stream->spared = false;
    if (plain && stream->message_size <= stream->max_message_size)
        return true;
    if (plain)
        refuse_message(stream, CODE_RESOURCE_EXHAUSTED, MUSTER_TOO_BIG, END_OVERSIZED);
    else if (bytes[0] <= 1 && stream->compresses)
        refuse_message(stream, CODE_UNIMPLEMENTED, MUSTER_PROTOCOL, END_COMPRESSED);
    else
        refuse_message(stream, CODE_INTERNAL, MUSTER_PROTOCOL, END_MARKED);
    return false;
}

/* ---- messages that are read to their place ---- */

/* Asks for the place of a message that begins. False: it has none, and nothing was taken. */
static bool find_place(struct http2_stream *stream, const uint8_t **data, size_t *size)
{
    struct http2_connection *connection = stream->connection;
    const struct stream_events *events = stream->events;
    struct landing landing;
    if (stream->message || stream->message_size < PLACE_MIN || !events || !events->begins)
        return false;
    pthread_mutex_lock(&connection->lock);
    stream->displaced = false;
    pthread_mutex_unlock(&connection->lock);
    uint8_t *message = NULL;
    if (events->begins(stream->context, *data, *size, stream->message_size, &landing))
        message = malloc(landing.head);
    if (!message) /* it is kept here, whatever its owner said */
        return false;
    pthread_mutex_lock(&connection->lock);
    stream->place = stream->displaced ? NULL : landing.place;
    pthread_mutex_unlock(&connection->lock);
    memcpy(message, *data, landing.head);
    stream->message = message;
    stream->message_came = stream->message_head = landing.head;
    *data += landing.head;
    *size -= landing.head;
    watch_message(stream, connection->loop->now);
    return true;
}

/* Some of it, which may have been read there already. */
static void put_in_place(struct http2_stream *stream, const uint8_t **data, size_t *size)
{
    size_t left = stream->message_size - stream->message_came, some = left < *size ? left : *size;
    pthread_mutex_lock(&stream->connection->lock);
    uint8_t *at = stream->place ? stream->place + (stream->message_came - stream->message_head) : NULL;
    if (at && at != *data && some > 0)
        memcpy(at, *data, some);
    pthread_mutex_unlock(&stream->connection->lock);
    stream->message_came += some;
    stream->came_at = stream->connection->loop->now;
    *data += some;
    *size -= some;
    if (some < left)
        return;
    uint8_t *message = stream->message;
    size_t head = stream->message_head, message_size = stream->message_size;
    uint8_t *place = leave_place(stream);
    const struct piece pieces[] = {{message, head}, {place, message_size - head}};
    stream->message = NULL;
    drop_message(stream);
    if (place)
        deliver(stream, pieces, 2, message_size);
    free(message);
}

/* ---- messages that are kept until they are whole ---- */

static bool take_some(struct http2_stream *stream, const uint8_t **data, size_t *size)
{
    if (!make_room(stream))
        return false;
    size_t left = stream->message_size - stream->message_came,
           room = stream->message_room - stream->message_came;
    size_t some = left < *size ? left : *size;
    some = some < room ? some : room;
    if (some > 0 && !muster__http2_count(stream, some))
        return false;
    bool begins = stream->message_came == 0;
    if (*data != stream->message + stream->message_came && some > 0)
        memcpy(stream->message + stream->message_came, *data, some);
    stream->message_came += some;
    stream->came_at = stream->connection->loop->now;
    *data += some;
    *size -= some;
    if (begins)
        watch_message(stream, stream->connection->loop->now);
    if (stream->message_came < stream->message_size)
        return true;
    uint8_t *message = stream->message;
    size_t message_size = stream->message_size;
    stream->message = NULL;
    drop_message(stream);
    deliver(stream, &(struct piece){message, message_size}, 1, message_size);
    free(message);
    return true;
}

/* What does not come at once is the loop's: its owner may have a place for it. */
void muster__http2_take(struct http2_stream *stream, const uint8_t *data, size_t size)
{
    bool good = true, tended = muster__http2_is_tending(stream->connection);
    while (size > 0 && good && !stream->cut && !stream->told) {
        if (stream->paused_until == INT64_MAX) {
            return;
        } else if (muster__http2_is_put_off(stream)) {
            good = put_off(stream, data, size);
            size = 0;
        } else if (stream->prefix_size < MESSAGE_PREFIX && !take_prefix(stream, &data, &size)) {
            return;
        } else if (!stream->message && size >= stream->message_size) {
            const struct piece piece = {data, stream->message_size};
            stream->prefix_size = 0;
            if (tended)
                good = deliver_tended(stream, &piece);
            else
                deliver(stream, &piece, piece.size > 0, piece.size);
            data += piece.size;
            size -= piece.size;
        } else if (tended) {
            muster__http2_leave_to_loop(stream);
        } else if (stream->message_head || find_place(stream, &data, &size)) {
            put_in_place(stream, &data, &size);
        } else if (size > 0) {
            good = take_some(stream, &data, &size);
        }
    }
    if (!good)
        refuse_more(stream);
}

void muster__http2_left(struct http2_stream *stream)
{
    enum { LINGER_MS = 5000 };
    if (muster__http2_is_put_off(stream)) {
        stream->backlog_left = true;
        return;
    }
    if (stream->events && stream->events->left) {
        if (!stream->told)
            stream->events->left(stream->context);
        return;
    }
    pthread_mutex_lock(&stream->connection->lock);
    stream->left = stream->left || !(stream->closing || stream->over);
    muster__http2_close(stream, MUSTER_OK, "");
    bool lingers = !stream->ended;
    pthread_mutex_unlock(&stream->connection->lock);
    if (lingers && stream->linger_until == 0) {
        stream->linger_until = stream->connection->loop->now + LINGER_MS;
        muster__http2_stream_due(stream, stream->linger_until);
    }
}

void muster__http2_resume(struct http2_stream *stream)
{
    struct http2_connection *connection = stream->connection;
    uint8_t *backlog = stream->backlog;
    size_t size = stream->backlog_size;
    if (muster__http2_is_put_off(stream))
        return;
    stream->backlog = NULL;
    stream->backlog_size = stream->backlog_room = 0;
    if (!stream->message)
        uncount(stream);
    pthread_mutex_lock(&connection->lock);
    if (stream->unread && connection->session && !stream->ended) {
        muster__http2_good(connection,
                           nghttp2_session_consume_stream(connection->session, stream->id, stream->unread));
        muster__http2_flush(connection);
    }
    stream->unread = 0;
    pthread_mutex_unlock(&connection->lock);
    if (backlog)
        muster__http2_take(stream, backlog, size);
    free(backlog);
    if (stream->backlog_left && !muster__http2_is_put_off(stream)) {
        stream->backlog_left = false;
        muster__http2_left(stream);
    }
}

/* ---- reading ---- */

/* So often at a time, as long as TLS has more: then it is the turn of the loop's other connections. */
enum { READS_MAX = 8 };

/* Where what comes next of a message can be read to without a copy. With the lock held. */
static struct iovec find_tail(struct http2_connection *connection)
{
    struct http2_stream *stream = NULL;
    if (connection->frame_left > 0)
        stream = muster__http2_find(connection, connection->frame_stream);
    if (!stream || stream->cut || !stream->message || muster__http2_is_tending(connection) ||
        muster__http2_is_put_off(stream))
        return (struct iovec){NULL, 0};
    uint8_t *at = NULL;
    size_t room = 0;
    if (stream->message_head && stream->place) {
        at = stream->place + (stream->message_came - stream->message_head);
        room = stream->message_size - stream->message_came;
    } else if (!stream->message_head && make_room(stream)) {
        at = stream->message + stream->message_came;
        room = stream->message_room - stream->message_came;
    }
    /* nghttp2 drops some frames without a word: what is read stays within the frame all the same. */
    size_t left = connection->frame_left, skip = connection->frames.skip;
    left = skip < left ? skip : left;
    return (struct iovec){at, room < left ? room : left};
}

/* `number`: of the error, or 0. With the lock held. */
static void explain_end(struct http2_connection *connection, int number)
{
    bool refused = false;
    const char *text = END_BROKEN;
    if (connection->tls && number == EPROTO)
        text = muster__tls_failure(connection->tls, &refused);
    else if (!connection->listener && !connection->heard && number != 0 && number != ECONNRESET)
        text = muster__http2_socket_cause(number);
    else if (!connection->listener && !connection->heard)
        text = connection->tls ? CAUSE_CLOSED : CAUSE_CLOSED_PLAIN;
    muster__http2_break(connection, refused ? MUSTER_UNAUTHENTICATED : MUSTER_UNAVAILABLE, text);
}

/* With the lock held. */
static void feed(struct http2_connection *connection, const uint8_t *data, size_t size)
{
    muster__http2_frames_came(connection, data, size);
    if (size == 0 || connection->broken)
        return;
    ssize_t taken = nghttp2_session_mem_recv(connection->session, data, size);
    if (taken < 0)
        muster__http2_break_rules(connection, nghttp2_strerror((int)taken));
}

/* Into one piece, as of small messages, without a list of pieces. */
static ssize_t read_pieces(struct http2_connection *connection, const struct iovec *pieces, int count)
{
    if (connection->tls)
        return muster__tls_readv(connection->tls, pieces, count);
    if (count == 1)
        return recv(connection->descriptor, pieces->iov_base, pieces->iov_len, 0);
    return readv(connection->descriptor, pieces, count);
}

/* What TLS lacked to write on may have come. With the lock held. */
static void write_on(struct http2_connection *connection)
{
    if (!connection->writes_when_read || connection->broken)
        return;
    connection->writes_when_read = false;
    connection->writable = true;
    muster__http2_flush(connection);
    if (connection->writable && !connection->broken)
        muster__http2_rewatch_connection(connection);
}

/* Reads once; false: there is no more, or nothing is to be read. With the lock held. */
static bool read_once(struct http2_connection *connection)
{
    uint8_t *scratch = connection->intake->scratch;
    struct iovec pieces[2] = {find_tail(connection), {scratch, SCRATCH_SIZE}};
    size_t tail = pieces[0].iov_len;
    if (tail >= SCRATCH_SIZE)
        pieces[1].iov_len = SCRATCH_BEHIND; /* what else comes of the message is not to be copied */
    ssize_t size = read_pieces(connection, tail ? pieces : pieces + 1, tail ? 2 : 1);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return false;
    if (size <= 0) {
        explain_end(connection, size < 0 ? errno : 0);
        return false;
    }
    connection->heard_at = connection->loop->now;
    size_t into_tail = (size_t)size < tail ? (size_t)size : tail;
    feed(connection, pieces[0].iov_base, into_tail);
    feed(connection, scratch, (size_t)size - into_tail);
    if (connection->frames.block_at)
        muster__http2_connection_due(connection,
                                     connection->frames.block_at + connection->handshake_timeout_ms);
    return true;
}

/* Without the lock. */
static void tell_arrival(const struct arrival *arrival, const struct http2_stream *tended)
{
    struct http2_stream *stream = arrival->stream;
    bool leaves = tended && (stream != tended || arrival->kind != ARRIVAL_DATA);
    if (leaves)
        muster__http2_leave_to_loop(stream);
    if (arrival->kind == ARRIVAL_OPENED && leaves)
        stream->left_unopened = true;
    else if (arrival->kind == ARRIVAL_OPENED)
        stream->connection->listener->side->arrived(stream);
    else if (arrival->kind == ARRIVAL_DATA)
        muster__http2_take(stream, arrival->data, arrival->size);
    else
        muster__http2_left(stream);
}

static void tell_arrivals(struct intake *intake, const struct http2_stream *tended)
{
    for (size_t i = 0; i < intake->arrival_count; i++) {
        tell_arrival(&intake->arrivals[i], tended);
        muster__http2_stream_release(intake->arrivals[i].stream);
    }
    intake->arrival_count = 0;
}

/* What nghttp2 answers by itself goes out behind what the owners of the streams have to say. */
void muster__http2_read(struct http2_connection *connection, struct intake *intake,
                        struct http2_stream *tended)
{
    bool more = true, answers;
    connection->intake = intake;
    for (int reads = 0; more && reads < READS_MAX; reads++) {
        pthread_mutex_lock(&connection->lock);
        more = connection->session && !connection->broken && read_once(connection);
        answers = more && nghttp2_session_want_write(connection->session);
        /* It broke HTTP/2 and does not read why: that is not waited for. */
        if (more && !connection->writable && !connection->finishing && !connection->said_goodbye &&
            !nghttp2_session_want_read(connection->session))
            muster__http2_break_rules(connection, "the peer does not keep to HTTP/2");
        write_on(connection);
        more = more && connection->tls && muster__tls_has_more(connection->tls);
        pthread_mutex_unlock(&connection->lock);
        tell_arrivals(intake, tended);
        if (answers) {
            pthread_mutex_lock(&connection->lock);
            muster__http2_flush(connection);
            pthread_mutex_unlock(&connection->lock);
        }
    }
    connection->has_more = more;
    if (more)
        muster__http2_pend(connection);
}
