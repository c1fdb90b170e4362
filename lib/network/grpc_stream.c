/* A stream: one call, at either end. Sending, receiving, and the end of both. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>

#include "network/code.h"
#include "network/grpc_listener.h"
#include "network/words.h"
#include "status.h"

/* Bodies up to this size are copied behind their head: cheaper than a slice of their own. */
#define SMALL_BODY 512

enum {
    SERVER_HOLD_MS = 500, /* that a half-close goes unnoticed, */
    CLIENT_HOLD_MS = 50,  /* or a Cancel, after a message that is held */
    LINGER_MS = 5000,     /* that a peer which has half-closed may take to read what is being sent */
};

struct queued_message {
    STAILQ_ENTRY(queued_message) link;
    grpc_byte_buffer *bytes;
    const struct buffer *body; /* to be recognised */
};

/* ---- lifetime ---- */

static void stream_release(struct stream *base)
{
    struct grpc_stream *stream = (struct grpc_stream *)base;
    if (atomic_fetch_sub_explicit(&stream->references, 1, memory_order_acq_rel) != 1)
        return;
    grpc_call_unref(stream->call);
    if (stream->client) {
        grpc_channel_destroy(stream->client->channel);
        grpc_metadata_array_destroy(&stream->client->initial);
        grpc_metadata_array_destroy(&stream->client->trailing);
        grpc_slice_unref(stream->client->details);
        grpc_slice_unref(stream->client->authorization.value);
        free(stream->client->proxy);
        free(stream->client);
    }
    muster__identity_free(stream->identity);
    free(stream->closing_text);
    pthread_mutex_destroy(&stream->lock);
    free(stream);
}

static void drop_queue(struct grpc_stream *stream)
{
    struct queued_message *message;
    while ((message = STAILQ_FIRST(&stream->queue))) {
        STAILQ_REMOVE_HEAD(&stream->queue, link);
        grpc_byte_buffer_destroy(message->bytes);
        free(message);
    }
    if (stream->part)
        grpc_byte_buffer_destroy(stream->part);
    stream->part = NULL;
}

/* ---- operations; with the lock held ---- */

/* C-core refuses one only on our own mistakes, and then a slot of the call may be lost for good. */
bool muster__grpc_start_batch(struct grpc_stream *stream, const grpc_op *ops, size_t count, struct tag *tag)
{
    HANDED_OVER(tag);
    if (grpc_call_start_batch(stream->call, ops, count, tag, NULL) != GRPC_CALL_OK) {
        stream->over = true;
        stream->cut = true;
        grpc_call_cancel(stream->call, NULL);
        return false;
    }
    stream->pending++;
    return true;
}

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
static void read_on(struct grpc_stream *stream)
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
        read_on(stream);
    if (stream->left && stream->sending && stream->lingers) {
        grpc_call_cancel(stream->call, NULL);
    } else if (stream->left && stream->sending && stream->pending) {
        stream->lingers = true;
        start_timer(stream, LINGER_MS);
    }
    pthread_mutex_unlock(&stream->lock);
    stream_release(&stream->base);
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

static void stream_pause(struct stream *base, int64_t milliseconds)
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

static void stream_hold(struct stream *base)
{
    struct grpc_stream *stream = (struct grpc_stream *)base;
    stream->held_ms = stream->listener ? SERVER_HOLD_MS : CLIENT_HOLD_MS;
}

/* A server's first batch that sends takes the initial metadata with it. */
static size_t put_initial(struct grpc_stream *stream, grpc_op *op)
{
    if (!stream->listener || stream->initial_started)
        return 0;
    stream->initial_started = true;
    *op = (grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA};
    return 1;
}

/*
 * Starts sending. A small message has left by the time that start_batch returns, and then its completion is
 * taken here, from the cache in which C-core leaves a thread's first one: going round by the queue would wake
 * a network thread for nothing, which costs as much as a third of a turn. A part's owner is told on a network
 * thread, as ours may hold its locks.
 */
static void start_send(struct grpc_stream *stream, grpc_byte_buffer *bytes)
{
    grpc_completion_queue *queue = stream->transport->queue;
    grpc_op ops[2] = {{0}};
    size_t count = put_initial(stream, ops);
    ops[count++] = (grpc_op){.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = bytes};
    stream->sending = bytes;
    if (!stream->sending_part)
        grpc_completion_queue_thread_local_cache_init(queue);
    bool started = muster__grpc_start_batch(stream, ops, count, &stream->sent);
    void *tag;
    int ok;
    bool cached =
        !stream->sending_part && grpc_completion_queue_thread_local_cache_flush(queue, &tag, &ok) != 0;
    if (cached && tag != &stream->sent) {
        muster__grpc_add_stray(stream->transport, tag,
                               ok != 0); /* it may want the locks that our caller holds */
        cached = false;
    }
    if (started && cached) {
        stream->pending--; /* not the last: the call has not ended */
        stream->over = stream->over || !ok;
    }
    if (!started || cached) {
        grpc_byte_buffer_destroy(bytes);
        stream->sending = NULL;
    }
    if (!stream->paused)
        read_on(stream);
}

/* The last batch: a client's half-close, a server's status. */
static void start_finish(struct grpc_stream *stream)
{
    grpc_op ops[2] = {{0}};
    if (!stream->listener) {
        ops[0].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
        muster__grpc_start_batch(stream, ops, 1, &stream->finished);
        return;
    }
    size_t count = put_initial(stream, ops);
    grpc_slice text = grpc_slice_from_copied_string(stream->closing_text ? stream->closing_text : "");
    ops[count].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    ops[count].data.send_status_from_server.status =
        (grpc_status_code)muster__code_of(stream->closing_status);
    ops[count].data.send_status_from_server.status_details = &text;
    muster__grpc_start_batch(stream, ops, count + 1, &stream->finished);
    grpc_slice_unref(text);
}

static void report_closed(struct grpc_stream *stream)
{
    enum muster_status status = MUSTER_GONE;
    const char *text = END_BROKEN;
    char *details = NULL;
    char cause[MUSTER_ERROR_TEXT_SIZE];
    if (stream->client) {
        status = muster__status_of((int)stream->client->code);
        text = details = grpc_slice_to_c_string(stream->client->details);
        if (status == MUSTER_TOO_BIG && muster__grpc_was_reset(details)) {
            status = MUSTER_UNAVAILABLE;
            text = END_MEMORY_FULL;
        }
        if (status == MUSTER_UNAVAILABLE && muster__grpc_never_came_up(details)) {
            status = muster__grpc_explain(stream->client, details, cause);
            text = cause;
        }
    } else if (stream->closing && !stream->left) {
        status = stream->closing_status;
        text = stream->closing_text ? stream->closing_text : "";
    } else if (stream->too_big) {
        status = MUSTER_TOO_BIG;
        text = END_TOO_BIG;
    } else if (stream->left) {
        status = MUSTER_CLOSED;
        text = END_LEFT;
    }
    if (stream->events)
        stream->events->closed(stream->context, status, text);
    gpr_free(details);
    if (muster__timer_stop(&stream->transport->base, &stream->timer))
        stream_release(&stream->base);
    struct grpc_listener *listener = stream->listener;
    if (listener && !stream->aside) {
        muster__grpc_unfinished_ended(&listener->unfinished, stream);
        muster__trim_later(&stream->transport->trim);
    }
    if (listener && stream->heard)
        muster__grpc_count_peer(listener, false);
    stream_release(&stream->base);
    if (listener)
        muster__let_go(&listener->holders);
}

void muster__grpc_leave(struct grpc_stream *stream)
{
    bool last = --stream->pending == 0;
    if (last)
        drop_queue(stream);
    pthread_mutex_unlock(&stream->lock);
    if (last)
        report_closed(stream);
}

static void close_call(struct grpc_stream *stream, enum muster_status status, const char *text)
{
    if (stream->closing || stream->pending == 0) /* its end is being told */
        return;
    stream->closing = true;
    stream->closing_status = status;
    stream->closing_text = strdup(text); /* out of memory: the status goes without its text */
    read_on(stream);
    if (!stream->over && !stream->sending)
        start_finish(stream);
}

void muster__grpc_end_unfinished(struct grpc_stream *stream, bool too_big)
{
    pthread_mutex_lock(&stream->lock);
    bool over = stream->over || stream->cut;
    if (!over && too_big)
        stream->too_big = true;
    stream->cut = true;
    pthread_mutex_unlock(&stream->lock);
    if (!over)
        grpc_call_cancel_with_status(stream->call,
                                     too_big ? GRPC_STATUS_RESOURCE_EXHAUSTED : GRPC_STATUS_UNAVAILABLE,
                                     too_big ? END_OVERSIZED : END_STALLED, NULL);
}

/* ---- completions ---- */

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
        close_call(stream, MUSTER_OK, "");
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
        read_on(stream); /* even if sending has failed: the call has not ended before all is read */
}

/* Goes on when nothing is being sent: with what is queued, then with the end. With the lock held. */
static void send_next(struct grpc_stream *stream)
{
    struct queued_message *message;
    while (!stream->over && !stream->sending && (message = STAILQ_FIRST(&stream->queue))) {
        STAILQ_REMOVE_HEAD(&stream->queue, link);
        start_send(stream, message->bytes);
        free(message);
    }
    if (!stream->over && !stream->sending && stream->part) {
        stream->sending_part = true;
        start_send(stream, stream->part);
        stream->part = NULL;
    }
    if (!stream->over && !stream->sending && stream->closing)
        start_finish(stream);
}

/* A send during the delivery posts the next receive, so that another message can arrive meanwhile: it
   waits. */
static void received_complete(struct tag *tag, bool ok)
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

void muster__grpc_tell_sent(struct grpc_stream *stream)
{
    if (stream->over || !stream->events->sent)
        return;
    pthread_mutex_unlock(&stream->lock);
    stream->events->sent(stream->context);
    pthread_mutex_lock(&stream->lock);
}

static void sent_complete(struct tag *tag, bool ok)
{
    struct grpc_stream *stream = CONTAINER(tag, struct grpc_stream, sent);
    pthread_mutex_lock(&stream->lock);
    grpc_byte_buffer_destroy(stream->sending);
    bool part = stream->sending_part;
    stream->sending = NULL;
    stream->sending_part = false;
    stream->over = stream->over || !ok;
    send_next(stream);
    if (part && stream->events)
        muster__grpc_tell_sent(stream);
    else
        stream->sent_early = stream->sent_early || part;
    muster__grpc_leave(stream);
}

static void finished_complete(struct tag *tag, bool ok)
{
    struct grpc_stream *stream = CONTAINER(tag, struct grpc_stream, finished);
    (void)ok;
    pthread_mutex_lock(&stream->lock);
    muster__grpc_leave(stream);
}

static void ended_complete(struct tag *tag, bool ok)
{
    struct grpc_stream *stream = CONTAINER(tag, struct grpc_stream, ended);
    (void)ok;
    pthread_mutex_lock(&stream->lock);
    stream->over = true;
    muster__grpc_leave(stream);
}

/* ---- what its owner calls ---- */

static void release_body(void *body)
{
    muster__buffer_release(body);
}

/* A slice of a body, which it keeps, or its loan does. */
static grpc_slice slice_of(struct buffer *body, struct loan *loan, const void *data, size_t size)
{
    void *bytes = (void *)(uintptr_t)data;
    return loan ? grpc_slice_new_with_user_data(bytes, size, muster__grpc_return, loan)
                : grpc_slice_new_with_user_data(bytes, size, release_body, muster__buffer_retain(body));
}

/* The bytes of `pieces` lie in `body`, or there are none. */
static grpc_byte_buffer *make_bytes(grpc_call *call, const uint8_t *head, size_t head_size,
                                    struct buffer *body, const struct piece *pieces, size_t count)
{
    grpc_slice slices[1 + STREAM_PIECES_MAX];
    bool is_small = count == 0 || (count == 1 && pieces->size <= SMALL_BODY);
    size_t small_size = is_small && count ? pieces->size : 0;
    slices[0] = grpc_slice_malloc(head_size + small_size);
    if (head_size)
        memcpy(GRPC_SLICE_START_PTR(slices[0]), head, head_size);
    if (small_size)
        memcpy(GRPC_SLICE_START_PTR(slices[0]) + head_size, pieces->data, small_size);
    struct loan *loan = is_small ? NULL : muster__grpc_lend(call, body, (unsigned)count);
    size_t others = is_small ? 0 : count;
    for (size_t i = 0; i < others; i++)
        slices[1 + i] = slice_of(body, loan, pieces[i].data, pieces[i].size);
    grpc_byte_buffer *bytes = grpc_raw_byte_buffer_create(slices, 1 + others);
    for (size_t i = 0; i <= others; i++)
        grpc_slice_unref(slices[i]);
    return bytes;
}

static enum muster_status stream_send(struct stream *base, const uint8_t *head, size_t head_size,
                                      struct buffer *body)
{
    struct grpc_stream *stream = (struct grpc_stream *)base;
    const struct piece piece = {body ? body->data : NULL, body ? body->size : 0};
    grpc_byte_buffer *bytes = make_bytes(stream->call, head, head_size, body, &piece, body ? 1 : 0);
    enum muster_status status = MUSTER_OK;
    pthread_mutex_lock(&stream->lock);
    if (stream->over || stream->closing) {
        status = MUSTER_CLOSED;
    } else if (!stream->sending) {
        start_send(stream, bytes);
        bytes = NULL;
    } else {
        struct queued_message *message = malloc(sizeof(*message));
        if (message) {
            *message = (struct queued_message){.bytes = bytes, .body = body};
            STAILQ_INSERT_TAIL(&stream->queue, message, link);
            bytes = NULL;
        } else {
            status = MUSTER_OUT_OF_MEMORY;
        }
    }
    pthread_mutex_unlock(&stream->lock);
    if (bytes)
        grpc_byte_buffer_destroy(bytes);
    return status;
}

static enum muster_status stream_send_part(struct stream *base, const uint8_t *head, size_t head_size,
                                           struct buffer *body, const struct piece *pieces, size_t count)
{
    struct grpc_stream *stream = (struct grpc_stream *)base;
    grpc_byte_buffer *bytes = make_bytes(stream->call, head, head_size, body, pieces, count);
    pthread_mutex_lock(&stream->lock);
    bool closed = stream->over || stream->closing;
    if (!closed) {
        stream->part = bytes;
        if (!stream->sending)
            send_next(stream);
    }
    pthread_mutex_unlock(&stream->lock);
    if (closed)
        grpc_byte_buffer_destroy(bytes);
    return closed ? MUSTER_CLOSED : MUSTER_OK;
}

static bool stream_revoke(struct stream *base, const struct buffer *body)
{
    struct grpc_stream *stream = (struct grpc_stream *)base;
    struct queued_message *found;
    pthread_mutex_lock(&stream->lock);
    STAILQ_FOREACH(found, &stream->queue, link) {
        if (found->body == body)
            break;
    }
    if (found)
        STAILQ_REMOVE(&stream->queue, found, queued_message, link);
    pthread_mutex_unlock(&stream->lock);
    if (!found)
        return false;
    grpc_byte_buffer_destroy(found->bytes);
    free(found);
    return true;
}

static void stream_close(struct stream *base, enum muster_status status, const char *text)
{
    struct grpc_stream *stream = (struct grpc_stream *)base;
    pthread_mutex_lock(&stream->lock);
    close_call(stream, status, text);
    pthread_mutex_unlock(&stream->lock);
}

static void stream_cut(struct stream *base)
{
    struct grpc_stream *stream = (struct grpc_stream *)base;
    pthread_mutex_lock(&stream->lock);
    stream->cut = true;
    pthread_mutex_unlock(&stream->lock);
    if (stream->listener)
        grpc_call_cancel_with_status(stream->call, GRPC_STATUS_UNAVAILABLE, END_CUT, NULL);
    else
        grpc_call_cancel(stream->call, NULL);
}

static void stream_refuse(struct stream *base, int code, const char *text)
{
    struct grpc_stream *stream = (struct grpc_stream *)base;
    pthread_mutex_lock(&stream->lock);
    stream->cut = true;
    pthread_mutex_unlock(&stream->lock);
    grpc_call_cancel_with_status(stream->call, (grpc_status_code)code, text, NULL);
}

static void stream_peer(struct stream *base, char *text, size_t size)
{
    struct grpc_stream *stream = (struct grpc_stream *)base;
    char *peer = grpc_call_get_peer(stream->call);
    snprintf(text, size, "%s", peer);
    gpr_free(peer);
}

static enum muster_status stream_authenticate(struct stream *base, const char *const **names,
                                              struct muster_error *error)
{
    return muster__identity_tell(((struct grpc_stream *)base)->identity, names, error);
}

static const struct stream_ops stream_ops = {
    .send = stream_send,
    .send_part = stream_send_part,
    .close = stream_close,
    .cut = stream_cut,
    .revoke = stream_revoke,
    .hold = stream_hold,
    .pause = stream_pause,
    .refuse = stream_refuse,
    .peer = stream_peer,
    .authenticate = stream_authenticate,
    .release = stream_release,
};

struct grpc_stream *muster__grpc_stream_new(struct grpc_transport *transport, grpc_call *call)
{
    struct grpc_stream *stream = calloc(1, sizeof(*stream));
    if (!stream)
        return NULL;
    stream->base.ops = &stream_ops;
    atomic_init(&stream->references, 2);
    stream->transport = transport;
    stream->call = call;
    stream->received.complete = received_complete;
    stream->sent.complete = sent_complete;
    stream->finished.complete = finished_complete;
    stream->ended.complete = ended_complete;
    STAILQ_INIT(&stream->queue);
    pthread_mutex_init(&stream->lock, NULL);
    return stream;
}
