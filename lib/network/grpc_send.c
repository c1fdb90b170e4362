/* What goes out on a stream: one message after another, then a part, then the end. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include <grpc/byte_buffer.h>
#include <grpc/slice.h>

#include "network/code.h"
#include "network/grpc_stream.h"

/* Bodies up to this size are copied behind their head: cheaper than a slice of their own. */
#define SMALL_BODY 512

struct queued_message {
    STAILQ_ENTRY(queued_message) link;
    grpc_byte_buffer *bytes;
    const struct buffer *body; /* to be recognised */
};

/* ---- what is sent next; with the lock held ---- */

void muster__grpc_drop_queue(struct grpc_stream *stream)
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
        muster__grpc_read_on(stream);
}

void muster__grpc_start_finish(struct grpc_stream *stream)
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

/* Goes on when nothing is being sent: with what is queued, then with the end. */
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
        muster__grpc_start_finish(stream);
}

/* ---- completions ---- */

void muster__grpc_tell_sent(struct grpc_stream *stream)
{
    if (stream->over || !stream->events->sent)
        return;
    pthread_mutex_unlock(&stream->lock);
    stream->events->sent(stream->context);
    pthread_mutex_lock(&stream->lock);
}

void muster__grpc_sent(struct tag *tag, bool ok)
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

enum muster_status muster__grpc_stream_send(struct stream *base, const uint8_t *head, size_t head_size,
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

enum muster_status muster__grpc_stream_send_part(struct stream *base, const uint8_t *head, size_t head_size,
                                                 struct buffer *body, const struct piece *pieces,
                                                 size_t count)
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

bool muster__grpc_stream_revoke(struct stream *base, const struct buffer *body)
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
