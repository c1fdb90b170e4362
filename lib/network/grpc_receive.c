/* What comes in on a stream: when the next message is asked for, and how it is delivered. */
#include <config.h>

#include <stdlib.h>

#include <grpc/byte_buffer.h>
#include <grpc/slice.h>

#include "network/grpc_listener.h"
#include "network/grpc_stream.h"

enum {
    SERVER_HOLD_MS = 500, /* that a half-close goes unnoticed, */
    CLIENT_HOLD_MS = 50,  /* or a Cancel, after a message that is held */
    LINGER_MS = 5000,     /* that a peer which has half-closed may take to read what is being sent */
};

/* ---- asking for the next ---- */

void muster__grpc_start_receive(struct grpc_stream *stream)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &stream->incoming};
    muster__grpc_start_batch(stream, &op, 1, &stream->received);
}

/*
 * Posts the receive that was put off by hold(). A receive that is posted by itself makes C-core 1.51 send a
 * WINDOW_UPDATE at once, in a packet of its own, which wakes the peer for nothing before the message that it
 * waits for. Right behind a send, that is out of the way.
 */
void muster__grpc_read_on(struct grpc_stream *stream)
{
    if (!stream->unread || stream->pending == 0)
        return;
    stream->unread = false;
    stream->paused = false;
    muster__grpc_start_receive(stream);
}

static void timer_expired(struct timer *timer);

/* Once started, the timer runs on, whether it is still needed or not: that is cheaper than moving it. */
static void start_timer(struct grpc_stream *stream, int64_t limit_ms)
{
    struct muster_transport *transport = &stream->transport->base;
    if (stream->timed)
        return;
    stream->timed = true;
    atomic_fetch_add(&stream->references, 1);
    muster__timer_start(transport, &stream->timer, muster__transport_after(transport, limit_ms),
                        timer_expired);
}

/* For a receive that was put off, or a status that waits behind a message that is not read. */
static void timer_expired(struct timer *timer)
{
    struct grpc_stream *stream = CONTAINER(timer, struct grpc_stream, timer);
    pthread_mutex_lock(&stream->lock);
    stream->timed = false;
    bool held = stream->unread && stream->pending; /* not of one whose end is being told */
    int64_t left_ms = held ? stream->held_until - muster__clock_now() : 0;
    if (left_ms > 0) /* it was started for a message before the one that is held now */
        start_timer(stream, left_ms);
    else
        muster__grpc_read_on(stream);
    if (stream->left && stream->sending && stream->lingers) {
        grpc_call_cancel(stream->call, NULL);
    } else if (stream->left && stream->sending && stream->pending) {
        stream->lingers = true;
        start_timer(stream, LINGER_MS);
    }
    pthread_mutex_unlock(&stream->lock);
    muster__grpc_stream_release(&stream->base);
}

static void hold(struct grpc_stream *stream)
{
    /* A pause is over in time, even where the timer runs for a message before this one. */
    if (stream->paused && stream->timed && muster__timer_stop(&stream->transport->base, &stream->timer)) {
        stream->timed = false;
        atomic_fetch_sub(&stream->references, 1); /* never the last: an operation is in flight */
    }
    stream->held_until = muster__clock_now() + stream->held_ms;
    start_timer(stream, stream->held_ms);
}

void muster__grpc_stream_pause(struct stream *base, int64_t milliseconds)
{
    struct grpc_stream *stream = (struct grpc_stream *)base;
    stream->paused = true;
    if (milliseconds != MUSTER_NO_LIMIT) {
        stream->held_ms = milliseconds;
        return;
    }
    pthread_mutex_lock(&stream->lock);
    stream->unread = false; /* so that nothing posts the receive */
    pthread_mutex_unlock(&stream->lock);
}

void muster__grpc_stream_hold(struct stream *base)
{
    struct grpc_stream *stream = (struct grpc_stream *)base;
    stream->held_ms = stream->listener ? SERVER_HOLD_MS : CLIENT_HOLD_MS;
}

/* ---- delivering ---- */

/* False when out of memory. */
static bool deliver(struct grpc_stream *stream, grpc_byte_buffer *bytes)
{
    enum { FEW = 16 };
    grpc_slice_buffer *slices = &bytes->data.raw.slice_buffer;
    struct piece few[FEW];
    struct piece *pieces = slices->count > FEW ? malloc(slices->count * sizeof(*pieces)) : few;
    if (!pieces)
        return false;
    size_t size = 0;
    for (size_t i = 0; i < slices->count; i++) {
        pieces[i].data = GRPC_SLICE_START_PTR(slices->slices[i]);
        pieces[i].size = GRPC_SLICE_LENGTH(slices->slices[i]);
        size += pieces[i].size;
    }
    stream->events->message(stream->context, pieces, slices->count, size);
    if (pieces != few)
        free(pieces);
    return true;
}

/* No message came, and none will: a client that has half-closed wants the server's status. With the lock
   held, which is let go of during the event. */
static void end_of_messages(struct grpc_stream *stream, bool ok)
{
    if (!stream->listener)
        return;
    if (!ok) {
        /* The message was refused, and C-core has told the client; or it was not looked at, after a cut. */
        stream->too_big = !stream->cut && !stream->listener->cut;
    } else if (grpc_call_failed_before_recv_message(stream->call)) {
        return;
    } else if (stream->events && stream->events->left) {
        pthread_mutex_unlock(&stream->lock);
        stream->events->left(stream->context);
        pthread_mutex_lock(&stream->lock);
    } else {
        stream->left = !stream->closing;
        muster__grpc_close_call(stream, MUSTER_OK, "");
        if (stream->sending)
            start_timer(stream, SERVER_HOLD_MS);
    }
}

/* Delivers what has arrived. With the lock held, which is let go of during the event. */
static void deliver_arrived(struct grpc_stream *stream)
{
    grpc_byte_buffer *bytes = stream->arrived;
    stream->has_arrived = false;
    if (!bytes) {
        end_of_messages(stream, stream->arrived_ok);
        return;
    }
    stream->delivering = true;
    stream->unread = true;
    stream->held_ms = 0;
    bool first = stream->listener && !stream->heard && !stream->aside;
    stream->heard = !stream->aside;
    pthread_mutex_unlock(&stream->lock);
    if (first)
        muster__grpc_count_peer(stream->listener, true);
    if (stream->listener)
        muster__grpc_unfinished_message(&stream->listener->unfinished, stream,
                                        grpc_byte_buffer_length(bytes));
    bool delivered = !stream->events || deliver(stream, bytes);
    grpc_byte_buffer_destroy(bytes);
    pthread_mutex_lock(&stream->lock);
    if (!delivered) {
        stream->cut = true;
        grpc_call_cancel(stream->call, NULL);
    }
    stream->delivering = false;
    if (stream->held_ms && stream->unread && !stream->closing)
        hold(stream);
    else
        muster__grpc_read_on(stream); /* even if sending has failed: all is read before the call ends */
}

/* A send during the delivery posts the next receive, so that another message can arrive meanwhile: it
   waits. */
void muster__grpc_received(struct tag *tag, bool ok)
{
    struct grpc_stream *stream = CONTAINER(tag, struct grpc_stream, received);
    pthread_mutex_lock(&stream->lock);
    stream->arrived = stream->incoming;
    stream->arrived_ok = ok;
    stream->has_arrived = true;
    stream->incoming = NULL;
    while (stream->has_arrived && !stream->delivering)
        deliver_arrived(stream);
    muster__grpc_leave(stream);
}
