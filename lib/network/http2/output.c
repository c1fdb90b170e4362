/* What goes out: messages become frames of nghttp2's, whose bytes are put together in bursts and written without a
   copy of what is big. All with the connection's lock held, where nothing else is said. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "network/http2/http2.h"
#include "network/http2/tls.h"
#include "network/words.h"

enum {
    SMALL_BODY = 512, /* up to this size it is copied behind its head */
    INSIDE_MAX = MESSAGE_PREFIX + STREAM_HEAD_MAX + SMALL_BODY,
    SEGMENTS_MAX = 64,     /* of a burst, */
    FRAME_SEGMENTS = 24,   /* and of one frame of data, */
    SMALL_MAX = 8 << 10,   /* with so many bytes that are copied, */
    FRAME_SMALL = 2 << 10, /* and again of one frame */
    BURST_BYTES = 1 << 20, /* when it has as many, it is written */
};

struct burst {
    struct segment segments[SEGMENTS_MAX];
    size_t count;
    size_t size;
    size_t small_size;
    bool full; /* a frame had no room in it */
    uint8_t small[SMALL_MAX];
};

/* ---- messages ---- */

struct outgoing *muster__http2_outgoing_new(const uint8_t *head, size_t head_size, struct buffer *body,
                                            const struct piece *pieces, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += pieces[i].size;
    bool is_small = size <= SMALL_BODY;
    size_t inside = MESSAGE_PREFIX + head_size + (is_small ? size : 0);
    size_t kept = is_small ? 0 : count, message = head_size + size;
    struct outgoing *outgoing = malloc(sizeof(*outgoing) + kept * sizeof(*pieces) + inside);
    if (!outgoing)
        return NULL;
    uint8_t *bytes = (uint8_t *)&outgoing->pieces[kept];
    *outgoing = (struct outgoing){.references = 1,
                                  .size = MESSAGE_PREFIX + message,
                                  .bytes = bytes,
                                  .inside = inside,
                                  .count = kept,
                                  .whose = body,
                                  .body = is_small || !body ? NULL : muster__buffer_retain(body)};
    const uint8_t prefix[MESSAGE_PREFIX] = {0, (uint8_t)(message >> 24), (uint8_t)(message >> 16),
                                            (uint8_t)(message >> 8), (uint8_t)message};
    memcpy(bytes, prefix, sizeof(prefix));
    if (head_size)
        memcpy(bytes + MESSAGE_PREFIX, head, head_size);
    if (kept)
        memcpy(outgoing->pieces, pieces, kept * sizeof(*pieces));
    uint8_t *at = bytes + MESSAGE_PREFIX + head_size;
    for (size_t i = 0; i < count && is_small; at += pieces[i++].size) {
        if (pieces[i].size)
            memcpy(at, pieces[i].data, pieces[i].size);
    }
    return outgoing;
}

void muster__http2_outgoing_release(struct outgoing *outgoing)
{
    if (--outgoing->references > 0)
        return;
    struct http2_stream *stream = outgoing->stream;
    if (stream) {
        stream->sending_part = NULL;
        stream->sent_due = true;
        muster__http2_due(stream);
    }
    muster__buffer_release(outgoing->body);
    free(outgoing);
}

void muster__http2_queue_drop(struct http2_stream *stream)
{
    struct outgoing *outgoing;
    if (stream->sending_part)
        stream->sending_part->stream = NULL;
    stream->sending_part = NULL;
    while ((outgoing = STAILQ_FIRST(&stream->queue))) {
        STAILQ_REMOVE_HEAD(&stream->queue, link);
        muster__http2_outgoing_release(outgoing);
    }
    if (stream->part)
        muster__http2_outgoing_release(stream->part);
    stream->part = NULL;
}

/* ---- frames of data ---- */

/* How much of its messages the next frame takes, of at most `length` bytes. */
static size_t plan(struct http2_stream *stream, size_t length)
{
    size_t size = 0, segments = 0, small = 0;
    const struct outgoing *outgoing;
    if (STAILQ_EMPTY(&stream->queue) && stream->part) {
        stream->sending_part = stream->part;
        STAILQ_INSERT_TAIL(&stream->queue, stream->part, link);
        stream->part = NULL;
    }
    STAILQ_FOREACH(outgoing, &stream->queue, link) {
        segments += 1 + outgoing->count;
        small += outgoing->inside;
        if (size > 0 && (segments > FRAME_SEGMENTS || small > FRAME_SMALL))
            break;
        size += outgoing->size - outgoing->done;
        if (size >= length)
            return length;
    }
    return size;
}

/* Whether that is all there is. */
static bool is_last(const struct http2_stream *stream, size_t size)
{
    size_t all = 0;
    const struct outgoing *outgoing;
    STAILQ_FOREACH(outgoing, &stream->queue, link) {
        if (all > size)
            break;
        all += outgoing->size - outgoing->done;
    }
    return all == size && !stream->part;
}

/* Nothing will follow: a client's side is closed with this frame, a server's by the trailers behind it. */
static void put_end(struct http2_stream *stream, uint32_t *flags)
{
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (!stream->connection->listener)
        return;
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    muster__http2_submit_trailers(stream);
}

ssize_t muster__http2_read_data(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t length,
                                uint32_t *flags, nghttp2_data_source *source, void *context)
{
    struct http2_stream *stream = muster__http2_find(context, id);
    (void)session, (void)buffer, (void)source;
    if (!stream)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    /* A server that has not said a word yet may be none, or frozen: what waits for it can still be taken back. */
    size_t size = stream->connection->heard ? plan(stream, length) : 0;
    if (size == 0 && !(stream->closing && stream->connection->heard)) {
        stream->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (stream->closing && is_last(stream, size))
        put_end(stream, flags);
    if (size > 0)
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    stream->planned = size;
    return (ssize_t)size;
}

static void put_small(struct burst *burst, const uint8_t *data, size_t size)
{
    struct segment *last = burst->count > 0 ? &burst->segments[burst->count - 1] : NULL;
    uint8_t *at = burst->small + burst->small_size;
    memcpy(at, data, size);
    burst->small_size += size;
    burst->size += size;
    if (last && !last->outgoing && !last->own && last->data + last->size == at)
        last->size += size;
    else
        burst->segments[burst->count++] = (struct segment){.data = at, .size = size};
}

/* Takes the next bytes of a message. */
static size_t put_some(struct burst *burst, struct outgoing *outgoing, size_t size)
{
    size_t at = outgoing->done, taken = 0;
    if (at < outgoing->inside) {
        taken = outgoing->inside - at < size ? outgoing->inside - at : size;
        put_small(burst, outgoing->bytes + at, taken);
        at += taken;
    }
    size_t start = outgoing->inside;
    for (size_t i = 0; i < outgoing->count && taken < size; start += outgoing->pieces[i++].size) {
        const struct piece *piece = &outgoing->pieces[i];
        if (at >= start + piece->size)
            continue;
        size_t some = start + piece->size - at < size - taken ? start + piece->size - at : size - taken;
        outgoing->references++;
        burst->segments[burst->count++] =
            (struct segment){.data = piece->data + (at - start), .size = some, .outgoing = outgoing};
        burst->size += some;
        taken += some;
        at += some;
    }
    outgoing->done += taken;
    return taken;
}

static bool has_room(const struct burst *burst)
{
    return burst->count + FRAME_SEGMENTS + STREAM_PIECES_MAX + 2 <= SEGMENTS_MAX &&
           burst->small_size + FRAME_SMALL + INSIDE_MAX + 16 <= SMALL_MAX && burst->size < BURST_BYTES;
}

int muster__http2_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *header,
                            size_t length, nghttp2_data_source *source, void *context)
{
    enum { FRAME_HEADER = 9 };
    struct http2_connection *connection = context;
    struct burst *burst = connection->output.burst;
    struct http2_stream *stream = muster__http2_find(connection, frame->hd.stream_id);
    (void)session, (void)source;
    if (!stream)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (!has_room(burst)) {
        burst->full = true;
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    muster__http2_earn_answers(connection);
    put_small(burst, header, FRAME_HEADER);
    while (length > 0) {
        struct outgoing *outgoing = STAILQ_FIRST(&stream->queue);
        length -= put_some(burst, outgoing, length);
        if (outgoing->done < outgoing->size)
            continue;
        STAILQ_REMOVE_HEAD(&stream->queue, link);
        muster__http2_outgoing_release(outgoing);
    }
    stream->planned = 0;
    return 0;
}

/* ---- bursts ---- */

static void fail(struct http2_connection *connection, const char *text)
{
    muster__http2_break(connection, connection->listener ? MUSTER_GONE : MUSTER_UNAVAILABLE, text);
}

/* Other frames than those of data; false: there are no more for now, or the burst is full. */
static bool put_frame(struct http2_connection *connection, struct burst *burst)
{
    const uint8_t *data;
    ssize_t size = nghttp2_session_mem_send(connection->session, &data);
    if (size < 0)
        fail(connection, nghttp2_strerror((int)size));
    if (size <= 0)
        return false;
    if ((size_t)size <= SMALL_MAX - burst->small_size) {
        put_small(burst, data, (size_t)size);
        return true;
    }
    uint8_t *own = malloc((size_t)size);
    if (!own) {
        fail(connection, "out of memory");
        return false;
    }
    memcpy(own, data, (size_t)size);
    burst->segments[burst->count++] = (struct segment){.data = own, .size = (size_t)size, .own = own};
    burst->size += (size_t)size;
    return true;
}

static void let_go(struct segment *segment)
{
    if (segment->outgoing)
        muster__http2_outgoing_release(segment->outgoing);
    free(segment->own);
}

/* One piece, as nearly all small messages are, goes without a list of pieces, which the kernel would have to take in. */
static ssize_t write_pieces(struct http2_connection *connection, struct iovec *pieces, size_t count)
{
    const struct msghdr message = {.msg_iov = pieces,
                                   .msg_iovlen = (uint16_t)count}; /* an int in some libraries */
    if (connection->tls)
        return muster__tls_writev(connection->tls, pieces, (int)count);
    if (count == 1)
        return send(connection->descriptor, pieces->iov_base, pieces->iov_len, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sendmsg(connection->descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Writes segments; returns how many are done, the next of which may be done in part. */
static size_t write_segments(struct http2_connection *connection, struct segment *segments, size_t count)
{
    struct iovec pieces[SEGMENTS_MAX];
    size_t some = count < SEGMENTS_MAX ? count : SEGMENTS_MAX, done = 0;
    for (size_t i = 0; i < some; i++)
        pieces[i] = (struct iovec){(void *)(uintptr_t)segments[i].data, segments[i].size};
    ssize_t size = write_pieces(connection, pieces, some);
    if (size < 0 && errno == EINTR)
        return 0;
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        connection->writable = false;
        connection->writes_when_read = connection->tls && !muster__tls_wants_write(connection->tls);
        muster__http2_rewatch_connection(connection);
        return 0;
    }
    /* The peer is gone. What it said before may not be read yet, and behind it the loop finds the end. */
    if (size < 0 && (errno == EPIPE || errno == ECONNRESET)) {
        connection->writable = connection->writes_when_read = false;
        connection->deaf = true;
        muster__http2_rewatch_connection(connection);
        return 0;
    }
    if (size < 0) {
        fail(connection, muster__http2_socket_cause(errno));
        return 0;
    }
    muster__http2_earn(connection, (size_t)size);
    for (size_t left = (size_t)size; done < some && segments[done].size <= left; done++)
        left -= segments[done].size, size -= (ssize_t)segments[done].size;
    if (done < some) {
        segments[done].data += size;
        segments[done].size -= (size_t)size;
    }
    return done;
}

/* What waits since the last time; false: some of it still does. */
static bool write_rest(struct http2_connection *connection)
{
    struct output *output = &connection->output;
    while (output->count > 0 && connection->writable && !connection->broken) {
        size_t done = write_segments(connection, output->segments + output->first, output->count);
        for (size_t i = 0; i < done; i++)
            let_go(&output->segments[output->first + i]);
        output->first += done;
        output->count -= done;
    }
    if (output->count > 0)
        return false;
    free(output->segments);
    output->segments = NULL;
    output->first = 0;
    return true;
}

/* Keeps what the socket does not take; what is small, in memory of its own. */
static void keep(struct http2_connection *connection, struct segment *segments, size_t count)
{
    struct output *output = &connection->output;
    output->segments = malloc(count * sizeof(*segments));
    bool good = output->segments != NULL;
    for (size_t i = 0; i < count && good; i++) {
        if (segments[i].outgoing || segments[i].own)
            continue;
        segments[i].own = malloc(segments[i].size);
        good = segments[i].own != NULL;
        if (good)
            segments[i].data = memcpy(segments[i].own, segments[i].data, segments[i].size);
    }
    if (good) {
        memcpy(output->segments, segments, count * sizeof(*segments));
        output->count = count;
        return;
    }
    for (size_t i = 0; i < count; i++)
        let_go(&segments[i]);
    free(output->segments);
    output->segments = NULL;
    fail(connection, "out of memory");
}

static void write_burst(struct http2_connection *connection, struct burst *burst)
{
    size_t done = 0;
    while (done < burst->count && connection->writable && !connection->broken) {
        size_t more = write_segments(connection, burst->segments + done, burst->count - done);
        for (size_t i = 0; i < more; i++)
            let_go(&burst->segments[done + i]);
        done += more;
    }
    if (done < burst->count)
        keep(connection, burst->segments + done, burst->count - done);
}

/* False: there is no more to send for now. */
static bool fill(struct http2_connection *connection, struct burst *burst)
{
    bool more = true;
    burst->count = burst->size = burst->small_size = 0;
    burst->full = false;
    connection->output.burst = burst;
    while (more && has_room(burst) && !connection->broken)
        more = put_frame(connection, burst);
    connection->output.burst = NULL;
    return (more || burst->full) && !connection->broken;
}

void muster__http2_flush(struct http2_connection *connection)
{
    struct burst burst;
    bool more = true;
    if (!connection->session || !connection->established)
        return;
    while (more && connection->writable && !connection->broken && write_rest(connection)) {
        more = fill(connection, &burst);
        write_burst(connection, &burst);
    }
    /* Behind a GOAWAY of nghttp2's own. */
    if (!more && connection->output.count == 0 && !nghttp2_session_want_read(connection->session) &&
        !nghttp2_session_want_write(connection->session) && !connection->finishing &&
        !connection->said_goodbye)
        muster__http2_break_rules(connection, "the peer does not keep to HTTP/2");
}

void muster__http2_output_drop(struct http2_connection *connection)
{
    struct output *output = &connection->output;
    for (size_t i = 0; i < output->count; i++)
        let_go(&output->segments[output->first + i]);
    free(output->segments);
    *output = (struct output){0};
}

static bool queue_has(const struct http2_stream *stream, const struct buffer *body)
{
    const struct outgoing *outgoing;
    STAILQ_FOREACH(outgoing, &stream->queue, link) {
        if (outgoing->body == body)
            return true;
    }
    return stream->part && stream->part->body == body;
}

bool muster__http2_output_has(const struct http2_connection *connection, const struct buffer *body)
{
    const struct output *output = &connection->output;
    const struct http2_stream *stream;
    for (size_t i = 0; i < output->count; i++) {
        const struct outgoing *outgoing = output->segments[output->first + i].outgoing;
        if (outgoing && outgoing->body == body)
            return true;
    }
    LIST_FOREACH(stream, &connection->streams, link) {
        if (queue_has(stream, body))
            return true;
    }
    return false;
}
