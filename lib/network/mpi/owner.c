/*
 * Streams, as their owners have them: they are made, called and let go of. A call only notes what is to be done, and
 * wakes the thread (stream.c). The frame that is needed for the end is made with the stream, so that no end fails for
 * want of memory.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "network/mpi/mpi.h"
#include "network/words.h"

void muster__mpi_unreference(struct mpi_stream *stream, unsigned count)
{
    stream->references -= count;
    if (stream->references > 0)
        return;
    muster__mpi_drop(stream->last);
    free(stream);
}

/* ---- messages that are sent ---- */

/*
 * MPI cannot be told to let go of memory that it sends, whatever the peer does. So what the caller lent is copied,
 * and what is counted is not: it stays for as long as it must.
 */
static bool is_lent(const struct buffer *body)
{
    return body->payload && body->payload->returned;
}

static void copy_pieces(uint8_t *to, const struct piece *pieces, size_t count)
{
    for (size_t i = 0; i < count; to += pieces[i++].size) {
        if (pieces[i].size)
            memcpy(to, pieces[i].data, pieces[i].size);
    }
}

static void add_slice(struct parcel *parcel, const uint8_t *data, size_t size)
{
    if (size == 0)
        return;
    parcel->slices[parcel->frame.count] = data;
    parcel->frame.sizes[parcel->frame.count++] = (uint32_t)size;
}

/* NULL when out of memory. */
static struct parcel *message_new(const struct mpi_stream *stream, const uint8_t *head, size_t head_size,
                                  struct buffer *body, const struct piece *pieces, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += pieces[i].size;
    if (size > INT32_MAX) /* more than MPI counts, and than any limit of messages */
        return NULL;
    bool is_inside = size <= INSIDE_MAX;
    struct parcel *parcel = muster__mpi_frame_new(stream, FRAME_MESSAGE, head_size + (is_inside ? size : 0));
    struct buffer *copy = parcel && !is_inside && is_lent(body) ? muster__buffer_new(size) : NULL;
    if (!parcel || (!is_inside && is_lent(body) && !copy)) {
        muster__mpi_drop(parcel);
        return NULL;
    }
    parcel->whose = body;
    parcel->frame.size = head_size + size;
    if (head_size)
        memcpy(parcel->inside, head, head_size);
    if (is_inside)
        copy_pieces(parcel->inside + head_size, pieces, count);
    else if (copy)
        copy_pieces(copy->data, pieces, count);
    if (copy)
        add_slice(parcel, copy->data, size);
    for (size_t i = 0; !is_inside && !copy && i < count; i++)
        add_slice(parcel, pieces[i].data, pieces[i].size);
    if (!is_inside)
        parcel->body = copy ? copy : muster__buffer_retain(body);
    return parcel;
}

static enum muster_status send_message(struct mpi_stream *stream, const uint8_t *head, size_t head_size,
                                       struct buffer *body, const struct piece *pieces, size_t count,
                                       bool part)
{
    struct parcel *parcel = message_new(stream, head, head_size, body, pieces, count);
    if (!parcel)
        return MUSTER_OUT_OF_MEMORY;
    pthread_mutex_lock(&muster__mpi.lock);
    bool closed = stream->closing;
    if (!closed && part)
        stream->part = parcel;
    else if (!closed)
        STAILQ_INSERT_TAIL(&stream->queue, parcel, link);
    if (!closed)
        muster__mpi_wake_stream(stream);
    pthread_mutex_unlock(&muster__mpi.lock);
    if (!closed)
        return MUSTER_OK;
    muster__mpi_drop(parcel);
    return MUSTER_CLOSED;
}

static enum muster_status stream_send(struct stream *base, const uint8_t *head, size_t head_size,
                                      struct buffer *body)
{
    const struct piece piece = {body ? body->data : NULL, body ? body->size : 0};
    return send_message((struct mpi_stream *)base, head, head_size, body, &piece, body ? 1 : 0, false);
}

static enum muster_status stream_send_part(struct stream *base, const uint8_t *head, size_t head_size,
                                           struct buffer *body, const struct piece *pieces, size_t count)
{
    return send_message((struct mpi_stream *)base, head, head_size, body, pieces, count, true);
}

static void stream_close(struct stream *base, enum muster_status status, const char *text)
{
    struct mpi_stream *stream = (struct mpi_stream *)base;
    pthread_mutex_lock(&muster__mpi.lock);
    if (!stream->closing && stream->listener) {
        muster__mpi_set_own(stream, status, text);
        muster__mpi_set_peers(stream, status, text);
    }
    if (!stream->closing)
        muster__mpi_wake_stream(stream);
    stream->closing = true;
    pthread_mutex_unlock(&muster__mpi.lock);
}

static void stream_cut(struct stream *base)
{
    struct mpi_stream *stream = (struct mpi_stream *)base;
    pthread_mutex_lock(&muster__mpi.lock);
    if (stream->listener)
        muster__mpi_break(stream, MUSTER_GONE, MUSTER_UNAVAILABLE, END_CUT);
    else
        muster__mpi_break(stream, MUSTER_CANCELLED, MUSTER_GONE, END_CUT);
    pthread_mutex_unlock(&muster__mpi.lock);
}

static bool stream_revoke(struct stream *base, const struct buffer *body)
{
    struct mpi_stream *stream = (struct mpi_stream *)base;
    struct parcel *found;
    pthread_mutex_lock(&muster__mpi.lock);
    STAILQ_FOREACH(found, &stream->queue, link) {
        if (found->whose == body)
            break;
    }
    if (found)
        STAILQ_REMOVE(&stream->queue, found, parcel, link);
    pthread_mutex_unlock(&muster__mpi.lock);
    muster__mpi_drop(found);
    return found != NULL;
}

static void stream_hold(struct stream *base)
{
    (void)base; /* nothing to gain */
}

static void timer_expired(struct timer *timer)
{
    struct mpi_stream *stream = CONTAINER(timer, struct mpi_stream, timer);
    pthread_mutex_lock(&muster__mpi.lock);
    stream->paused = false;
    muster__mpi_wake_stream(stream);
    muster__mpi_unreference(stream, 1);
    pthread_mutex_unlock(&muster__mpi.lock);
}

static void stream_pause(struct stream *base, int64_t milliseconds)
{
    struct mpi_stream *stream = (struct mpi_stream *)base;
    struct muster_transport *transport = &muster__mpi.base;
    pthread_mutex_lock(&muster__mpi.lock);
    if (!stream->paused && !stream->told) {
        stream->paused = true;
        stream->references++;
        muster__timer_start(transport, &stream->timer, muster__transport_after(transport, milliseconds),
                            timer_expired);
    }
    pthread_mutex_unlock(&muster__mpi.lock);
}

static void stream_peer(struct stream *base, char *text, size_t size)
{
    const struct mpi_stream *stream = (struct mpi_stream *)base;
    snprintf(text, size, "mpi:%d:%llu", stream->rank, (unsigned long long)stream->number);
}

static enum muster_status stream_authenticate(struct stream *base, const char *const **names,
                                              struct muster_error *error)
{
    (void)base;
    (void)error;
    *names = NULL;
    return MUSTER_OK; /* it was started with us */
}

static void stream_release(struct stream *base)
{
    pthread_mutex_lock(&muster__mpi.lock);
    muster__mpi_unreference((struct mpi_stream *)base, 1);
    pthread_mutex_unlock(&muster__mpi.lock);
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

struct mpi_stream *muster__mpi_stream_new(int rank, uint64_t number, bool server)
{
    struct mpi_stream *stream = calloc(1, sizeof(*stream));
    struct parcel *last = muster__mpi_parcel_new(FRAME_END, MUSTER_ERROR_TEXT_SIZE);
    if (!stream || !last) {
        muster__mpi_drop(last);
        free(stream);
        return NULL;
    }
    stream->base.ops = &stream_ops;
    stream->references = 1;
    stream->rank = rank;
    stream->number = number;
    stream->last = last;
    last->frame.stream = number;
    last->frame.to_server = !server;
    last->frame.inside = 0;
    STAILQ_INIT(&stream->queue);
    STAILQ_INIT(&stream->arrived);
    return stream;
}
