/*
 * Streams, as the thread serves them: it takes what comes of each, delivers it, sends what waits, and tells of the
 * end. Calls of the owner (owner.c) only note what is to be done, and wake it.
 */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "network/mpi/mpi.h"
#include "network/words.h"
#include "status.h"

/* What a message is reckoned to take besides its bytes. */
#define MESSAGE_COST sizeof(struct parcel)

static uint64_t cost_of(uint64_t size)
{
    return MESSAGE_COST + size;
}

void muster__mpi_wake_stream(struct mpi_stream *stream)
{
    if (stream->told || stream->ready)
        return;
    stream->ready = true;
    TAILQ_INSERT_TAIL(&muster__mpi.ready, stream, ready_link);
    muster__mpi_wake();
}

void muster__mpi_set_own(struct mpi_stream *stream, enum muster_status status, const char *text)
{
    stream->status = status;
    snprintf(stream->text, sizeof(stream->text), "%s", text);
}

void muster__mpi_set_peers(struct mpi_stream *stream, enum muster_status status, const char *text)
{
    struct frame *frame = &stream->last->frame;
    frame->status = (uint32_t)status;
    frame->inside = (uint32_t)strnlen(text, MUSTER_ERROR_TEXT_SIZE - 1);
    memcpy(stream->last->inside, text, frame->inside);
}

static void end(struct mpi_stream *stream)
{
    stream->over = stream->closing = true;
    muster__mpi_wake_stream(stream);
}

void muster__mpi_break(struct mpi_stream *stream, enum muster_status own, enum muster_status peers,
                       const char *text)
{
    if (stream->over)
        return;
    if (stream->last)
        muster__mpi_set_peers(stream, peers, text);
    if (!stream->listener || !stream->closing || stream->left) /* what a server closed with stands */
        muster__mpi_set_own(stream, own, text);
    end(stream);
}

/* ---- serving: on the thread, with the lock held, which is let go of while somebody is told, and in MPI ---- */

static void accept_stream(struct mpi_stream *stream)
{
    struct mpi_transport *transport = &muster__mpi;
    const struct stream_events *events = NULL;
    stream->accepted = true;
    if (stream->over)
        return;
    stream->references++;
    pthread_mutex_unlock(&transport->lock);
    void *context = stream->served->accepted(stream->listener->context, &stream->base, &events);
    pthread_mutex_lock(&transport->lock);
    stream->context = context;
    if (context) {
        stream->events = events;
        stream->owed = STREAM_WINDOW; /* now the client may send */
        return;
    }
    muster__mpi_unreference(stream, 1); /* nobody owns it */
    muster__mpi_break(stream, MUSTER_OUT_OF_MEMORY, MUSTER_OUT_OF_MEMORY, "the server is out of memory");
}

static void deliver(struct mpi_stream *stream, struct parcel *parcel)
{
    struct frame *frame = &parcel->frame;
    const struct piece pieces[] = {{parcel->inside, frame->inside},
                                   {parcel->data, (size_t)frame->size - frame->inside}};
    stream->owed += cost_of(frame->size);
    pthread_mutex_unlock(&muster__mpi.lock);
    if (stream->events)
        stream->events->message(stream->context, pieces, parcel->data ? 2 : 1, (size_t)frame->size);
    muster__mpi_drop(parcel);
    pthread_mutex_lock(&muster__mpi.lock);
}

/* Behind the last message: the client has left, or the server has ended it. */
static void read_end(struct mpi_stream *stream)
{
    if (stream->ending) {
        end(stream);
    } else if (stream->leaving && !stream->closing) {
        stream->left = stream->closing = true;
        muster__mpi_set_own(stream, MUSTER_CLOSED, END_LEFT);
        muster__mpi_set_peers(stream, MUSTER_OK, "");
    }
}

static void read_arrived(struct mpi_stream *stream)
{
    struct parcel *parcel;
    while (!stream->over && !stream->paused && (parcel = STAILQ_FIRST(&stream->arrived)) &&
           parcel->pending == 0) {
        STAILQ_REMOVE_HEAD(&stream->arrived, link);
        deliver(stream, parcel);
    }
    if (!stream->over && !stream->paused && STAILQ_EMPTY(&stream->arrived))
        read_end(stream);
}

/* False: MPI refuses, and the stream is over. */
static bool post(struct mpi_stream *stream, struct parcel *parcel)
{
    struct mpi_transport *transport = &muster__mpi;
    pthread_mutex_unlock(&transport->lock);
    bool posted = muster__mpi_post(transport, parcel, stream->rank);
    pthread_mutex_lock(&transport->lock);
    if (!posted)
        muster__mpi_break(stream, stream->listener ? MUSTER_GONE : MUSTER_UNAVAILABLE, MUSTER_UNAVAILABLE,
                          "MPI could not send");
    return posted;
}

/* A frame without more. False when out of memory. */
static bool post_frame(struct mpi_stream *stream, enum frame_kind kind, uint64_t size)
{
    struct parcel *parcel = muster__mpi_frame_new(stream, kind, 0);
    if (!parcel)
        return false;
    parcel->frame.size = size;
    post(stream, parcel);
    return true;
}

/* What was read, a good part of the window at a time. False when out of memory, as below. */
static bool give_back(struct mpi_stream *stream)
{
    uint64_t owed = stream->owed;
    if (stream->over || owed < STREAM_WINDOW / 4)
        return true;
    stream->owed = 0;
    if (post_frame(stream, FRAME_CREDIT, owed))
        return true;
    stream->owed += owed;
    return false;
}

/* The part, when no message waits. */
static struct parcel *take_next(struct mpi_stream *stream, bool *is_part)
{
    struct parcel *parcel = STAILQ_FIRST(&stream->queue);
    *is_part = !parcel;
    if (parcel) {
        STAILQ_REMOVE_HEAD(&stream->queue, link);
    } else {
        parcel = stream->part;
        stream->part = NULL;
    }
    return parcel;
}

/* Otherwise the stream is over, as if the peer had refused the message. */
static bool can_send(struct mpi_stream *stream, const struct parcel *parcel)
{
    stream->unread += cost_of(parcel->frame.size);
    if (parcel->frame.size <= stream->peers_limit)
        return true;
    muster__mpi_break(stream, stream->listener ? MUSTER_GONE : MUSTER_TOO_BIG, MUSTER_TOO_BIG,
                      "a message was bigger than the limit");
    return false;
}

static bool send_waiting(struct mpi_stream *stream)
{
    struct mpi_transport *transport = &muster__mpi;
    struct parcel *parcel;
    bool is_part;
    while (!stream->over && (stream->unread < STREAM_WINDOW || !stream->opened)) {
        if (!muster__mpi_make_room(transport))
            return false;
        if (!(parcel = take_next(stream, &is_part)))
            return true;
        if (parcel->frame.kind == FRAME_MESSAGE && !can_send(stream, parcel)) {
            STAILQ_INSERT_HEAD(&stream->queue, parcel, link); /* to go with the others */
            return true;
        }
        stream->opened = true; /* that goes first */
        if (!post(stream, parcel) || !is_part || stream->closing || !stream->events || !stream->events->sent)
            continue;
        pthread_mutex_unlock(&transport->lock);
        stream->events->sent(stream->context);
        pthread_mutex_lock(&transport->lock);
    }
    return true;
}

/* When nothing is left to be sent of a stream that was closed. */
static bool say_end(struct mpi_stream *stream)
{
    if (!stream->closing || stream->over || stream->ending || !STAILQ_EMPTY(&stream->queue) || stream->part)
        return true;
    if (stream->listener)
        end(stream);
    else if (!stream->said && !(stream->said = post_frame(stream, FRAME_LEFT, 0)))
        return false;
    return true;
}

/* Without the lock: the last reference to a body tells others. */
static void drop_all(struct parcels *parcels)
{
    struct parcel *parcel;
    while ((parcel = STAILQ_FIRST(parcels))) {
        STAILQ_REMOVE_HEAD(parcels, link);
        muster__mpi_drop(parcel);
    }
}

/* Tells the peer, then the owner. Returns how many references to give back. */
static unsigned conclude(struct mpi_stream *stream)
{
    struct mpi_transport *transport = &muster__mpi;
    struct mpi_listener *listener = stream->listener;
    struct parcel *last = stream->last;
    struct parcels left = STAILQ_HEAD_INITIALIZER(left);
    stream->told = true;
    stream->last = NULL;
    if (stream->ready)
        TAILQ_REMOVE(&transport->ready, stream, ready_link);
    STAILQ_CONCAT(&left, &stream->queue);
    STAILQ_CONCAT(&left, &stream->arrived);
    if (stream->part)
        STAILQ_INSERT_TAIL(&left, stream->part, link);
    stream->part = NULL;
    LIST_REMOVE(stream, link);
    unsigned count =
        muster__timer_stop(&transport->base, &stream->timer) ? 2 : 1; /* the timer's, the network's */
    bool tells = last && stream->opened && !transport->lost;
    pthread_mutex_unlock(&transport->lock);
    drop_all(&left);
    if (tells)
        muster__mpi_post(transport, last, stream->rank);
    else
        muster__mpi_drop(last);
    if (stream->events)
        stream->events->closed(stream->context, stream->status, stream->text);
    pthread_mutex_lock(&transport->lock);
    if (listener)
        muster__mpi_listener_left(listener);
    return count;
}

void muster__mpi_serve(struct mpi_stream *stream)
{
    struct mpi_transport *transport = &muster__mpi;
    bool done = true;
    unsigned count = 1;
    stream->references++; /* it may be released meanwhile */
    if (!stream->accepted)
        accept_stream(stream);
    read_arrived(stream);
    if (!transport->lost && transport->connected)
        done = muster__mpi_make_room(transport) && give_back(stream) && send_waiting(stream) &&
               muster__mpi_make_room(transport) && say_end(stream);
    if (stream->over && done)
        count += conclude(stream);
    else if (!done)
        muster__mpi_wake_stream(stream);
    muster__mpi_unreference(stream, count);
}

/* ---- frames that come ---- */

/* A peer that knows its limit does not send more. With the lock held, as all that follows. */
static bool arrived_message(struct mpi_stream *stream, struct parcel *parcel)
{
    if (stream->over || stream->ending || parcel->frame.size > stream->limit)
        return false;
    parcel->stream = stream;
    STAILQ_INSERT_TAIL(&stream->arrived, parcel, link);
    return true;
}

/* Behind what has arrived; who pauses is told at once. */
static void arrived_end(struct mpi_stream *stream, const struct parcel *parcel)
{
    char text[MUSTER_ERROR_TEXT_SIZE];
    if (stream->over || stream->ending)
        return;
    if (!stream->listener || !stream->closing || stream->left) { /* what a server closed with stands */
        snprintf(text, sizeof(text), "%.*s", (int)parcel->frame.inside, (const char *)parcel->inside);
        muster__mpi_set_own(stream, (enum muster_status)parcel->frame.status, text);
    }
    muster__mpi_drop(stream->last); /* it knows */
    stream->last = NULL;
    stream->ending = stream->closing = true;
    if (stream->listener && stream->paused)
        end(stream);
}

/* True: the parcel was kept. */
static bool arrived(struct mpi_stream *stream, struct parcel *parcel)
{
    const struct frame *frame = &parcel->frame;
    muster__mpi_wake_stream(stream);
    switch ((enum frame_kind)frame->kind) {
    case FRAME_OPEN:
        break;
    case FRAME_MESSAGE:
        return arrived_message(stream, parcel);
    case FRAME_CREDIT:
        stream->peers_limit = frame->limit;
        stream->unread -= frame->size < stream->unread ? frame->size : stream->unread;
        break;
    case FRAME_LEFT:
        stream->leaving = true;
        break;
    case FRAME_END:
        arrived_end(stream, parcel);
        break;
    }
    return false;
}

void muster__mpi_arrived(struct mpi_transport *transport, struct parcel *parcel, int rank)
{
    const struct frame *frame = &parcel->frame;
    if (frame->kind == FRAME_OPEN) {
        muster__mpi_arrived_open(transport, parcel, rank);
        return;
    }
    pthread_mutex_lock(&transport->lock);
    struct mpi_stream *stream = muster__mpi_find(transport, rank, frame->stream, frame->to_server);
    bool kept = stream && arrived(stream, parcel);
    pthread_mutex_unlock(&transport->lock);
    if (!kept)
        muster__mpi_drop(parcel);
}
