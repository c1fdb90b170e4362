/* A stream's life: one call, at either end, from its beginning to what its owner is told of its end. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/slice.h>
#include <grpc/support/alloc.h>

#include "network/code.h"
#include "network/grpc_listener.h"
#include "network/grpc_stream.h"
#include "network/words.h"
#include "status.h"

void muster__grpc_stream_release(struct stream *base)
{
    struct grpc_stream *stream = (struct grpc_stream *)base;
    if (atomic_fetch_sub_explicit(&stream->references, 1, memory_order_acq_rel) != 1)
        return;
    grpc_call_unref(stream->call);
    if (stream->client) {
        muster__grpc_part(stream->transport, stream->client->channel);
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
        muster__grpc_stream_release(&stream->base);
    struct grpc_listener *listener = stream->listener;
    if (listener && !stream->aside) {
        muster__grpc_unfinished_ended(&listener->unfinished, stream);
        muster__trim_later(&stream->transport->trim);
    }
    if (listener && stream->heard)
        muster__grpc_count_peer(listener, false);
    muster__grpc_stream_release(&stream->base);
    if (listener)
        muster__let_go(&listener->holders);
}

void muster__grpc_leave(struct grpc_stream *stream)
{
    bool last = --stream->pending == 0;
    if (last)
        muster__grpc_drop_queue(stream);
    pthread_mutex_unlock(&stream->lock);
    if (last)
        report_closed(stream);
}

void muster__grpc_close_call(struct grpc_stream *stream, enum muster_status status, const char *text)
{
    if (stream->closing || stream->pending == 0) /* its end is being told */
        return;
    stream->closing = true;
    stream->closing_status = status;
    stream->closing_text = strdup(text); /* out of memory: the status goes without its text */
    muster__grpc_read_on(stream);
    if (!stream->over && !stream->sending)
        muster__grpc_start_finish(stream);
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

static void stream_close(struct stream *base, enum muster_status status, const char *text)
{
    struct grpc_stream *stream = (struct grpc_stream *)base;
    pthread_mutex_lock(&stream->lock);
    muster__grpc_close_call(stream, status, text);
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
    .send = muster__grpc_stream_send,
    .send_part = muster__grpc_stream_send_part,
    .close = stream_close,
    .cut = stream_cut,
    .revoke = muster__grpc_stream_revoke,
    .hold = muster__grpc_stream_hold,
    .pause = muster__grpc_stream_pause,
    .refuse = stream_refuse,
    .peer = stream_peer,
    .authenticate = stream_authenticate,
    .release = muster__grpc_stream_release,
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
    stream->received.complete = muster__grpc_received;
    stream->sent.complete = muster__grpc_sent;
    stream->finished.complete = finished_complete;
    stream->ended.complete = ended_complete;
    STAILQ_INIT(&stream->queue);
    pthread_mutex_init(&stream->lock, NULL);
    return stream;
}
