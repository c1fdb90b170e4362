/*
 * Streams of the MPI transport. Calls of the owner only note what is to be done, and wake the thread; the thread
 * serves a stream: it delivers, sends, and tells of the end. The frames that are needed for an end are made with
 * the stream, so that no end fails for want of memory.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "network/mpi/mpi.h"
#include "network/words.h"
#include "status.h"

/* What a message is reckoned to take besides its bytes. */
#define MESSAGE_COST sizeof(struct parcel)

/* As MPI counts. */
static uint32_t limit_of(size_t size)
{
    return size < INT32_MAX ? (uint32_t)size : INT32_MAX;
}

static uint64_t cost_of(uint64_t size)
{
    return MESSAGE_COST + size;
}

/* ---- lifetime; with the lock held ---- */

static void unreference(struct mpi_stream *stream, unsigned count)
{
    stream->references -= count;
    if (stream->references > 0)
        return;
    muster__mpi_drop(stream->last);
    free(stream);
}

static size_t bucket_of(int rank, uint64_t number)
{
    return (number * 31 + (uint64_t)rank) % STREAM_BUCKETS;
}

/* The end of a stream with a rank that is the server's, or the client's; NULL: there is none. */
static struct mpi_stream *find(struct mpi_transport *transport, int rank, uint64_t number, bool server)
{
    struct mpi_stream *stream;
    LIST_FOREACH(stream, &transport->streams[bucket_of(rank, number)], link) {
        if (stream->number == number && stream->rank == rank && !stream->listener == !server)
            return stream;
    }
    return NULL;
}

void muster__mpi_wake_stream(struct mpi_stream *stream)
{
    if (stream->told || stream->ready)
        return;
    stream->ready = true;
    TAILQ_INSERT_TAIL(&muster__mpi.ready, stream, ready_link);
    muster__mpi_wake();
}

/* What our end's owner will be told. */
static void set_own(struct mpi_stream *stream, enum muster_status status, const char *text)
{
    stream->status = status;
    snprintf(stream->text, sizeof(stream->text), "%s", text);
}

/* What the peer will be told. */
static void set_peers(struct mpi_stream *stream, enum muster_status status, const char *text)
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
        set_peers(stream, peers, text);
    if (!stream->listener || !stream->closing || stream->left) /* what a server closed with stands */
        set_own(stream, own, text);
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
    unreference(stream, 1); /* nobody owns it */
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
        set_own(stream, MUSTER_CLOSED, END_LEFT);
        set_peers(stream, MUSTER_OK, "");
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

static struct parcel *frame_new(const struct mpi_stream *stream, enum frame_kind kind, size_t inside)
{
    struct parcel *parcel = muster__mpi_parcel_new(kind, inside);
    if (parcel) {
        parcel->frame.stream = stream->number;
        parcel->frame.to_server = !stream->listener;
        parcel->frame.limit = stream->limit;
    }
    return parcel;
}

/* A frame without more. False when out of memory. */
static bool post_frame(struct mpi_stream *stream, enum frame_kind kind, uint64_t size)
{
    struct parcel *parcel = frame_new(stream, kind, 0);
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
    unreference(stream, count);
}

/* ---- frames that come ---- */

static struct mpi_stream *stream_new(int rank, uint64_t number, bool server);

static const char *accept_opened(struct mpi_transport *transport, const struct parcel *parcel, int rank,
                                 enum muster_status *status, char text[MUSTER_ERROR_TEXT_SIZE])
{
    const char *name = (const char *)parcel->inside;
    const struct frame *frame = &parcel->frame;
    size_t name_size = strnlen(name, frame->inside) + 1;
    const char *method = name + name_size;
    if (frame->size != FRAME_VERSION || name_size >= frame->inside || parcel->inside[frame->inside - 1]) {
        *status = MUSTER_UNSUPPORTED;
        return "another version of muster";
    }
    struct mpi_listener *listener = muster__mpi_find_listener(transport, name);
    if (!listener) {
        *status = MUSTER_UNAVAILABLE;
        snprintf(text, MUSTER_ERROR_TEXT_SIZE, "nobody listens on mpi:%d%s%s (is the server up?)",
                 transport->rank, *name ? "/" : "", name);
        return text;
    }
    const struct served *served = muster__find_served(listener->events->served, method, strlen(method));
    if (!served) {
        *status = MUSTER_UNSUPPORTED;
        muster__not_served(listener->events->served, text);
        return text;
    }
    struct mpi_stream *stream = stream_new(rank, frame->stream, true);
    if (!stream) {
        *status = MUSTER_OUT_OF_MEMORY;
        return "the server is out of memory";
    }
    stream->listener = listener;
    stream->served = served;
    stream->limit = limit_of(listener->max_message_size);
    stream->peers_limit = frame->limit;
    stream->opened = true;
    listener->streams++;
    LIST_INSERT_HEAD(&transport->streams[bucket_of(rank, stream->number)], stream, link);
    muster__mpi_wake_stream(stream);
    return NULL;
}

/* A refusal goes with the memory of the frame that came. */
static void arrived_open(struct mpi_transport *transport, struct parcel *parcel, int rank)
{
    char text[MUSTER_ERROR_TEXT_SIZE];
    enum muster_status status = MUSTER_PROTOCOL;
    pthread_mutex_lock(&transport->lock);
    const char *refusal = accept_opened(transport, parcel, rank, &status, text);
    pthread_mutex_unlock(&transport->lock);
    if (!refusal) {
        muster__mpi_drop(parcel);
        return;
    }
    parcel->frame = (struct frame){.stream = parcel->frame.stream,
                                   .kind = FRAME_END,
                                   .status = (uint32_t)status,
                                   .inside = (uint32_t)strlen(refusal)};
    memcpy(parcel->inside, refusal, strlen(refusal));
    muster__mpi_post(transport, parcel, rank);
}

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
        set_own(stream, (enum muster_status)parcel->frame.status, text);
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
        arrived_open(transport, parcel, rank);
        return;
    }
    pthread_mutex_lock(&transport->lock);
    struct mpi_stream *stream = find(transport, rank, frame->stream, frame->to_server);
    bool kept = stream && arrived(stream, parcel);
    pthread_mutex_unlock(&transport->lock);
    if (!kept)
        muster__mpi_drop(parcel);
}

/* ---- what its owner calls ---- */

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
    struct parcel *parcel = frame_new(stream, FRAME_MESSAGE, head_size + (is_inside ? size : 0));
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
        set_own(stream, status, text);
        set_peers(stream, status, text);
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
    unreference(stream, 1);
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
    unreference((struct mpi_stream *)base, 1);
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

/* ---- making one ---- */

/* With the transport's reference. NULL when out of memory. */
static struct mpi_stream *stream_new(int rank, uint64_t number, bool server)
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

static struct parcel *open_new(const struct mpi_stream *stream, const char *name, const char *method)
{
    size_t name_size = strlen(name) + 1, method_size = strlen(method) + 1;
    struct parcel *parcel = frame_new(stream, FRAME_OPEN, name_size + method_size);
    if (parcel) {
        parcel->frame.size = FRAME_VERSION;
        memcpy(parcel->inside, name, name_size);
        memcpy(parcel->inside + name_size, method, method_size);
    }
    return parcel;
}

enum muster_status muster__mpi_connect(struct muster_transport *base, const char *text,
                                       const struct service *service, size_t max_message_size,
                                       const struct connection_options *options,
                                       const struct stream_events *events, void *context,
                                       struct stream **result, struct muster_error *error)
{
    struct mpi_transport *transport = (struct mpi_transport *)base;
    struct mpi_address address;
    (void)options; /* whoever is in the world was started with us */
    enum muster_status status = muster__mpi_parse(transport, text, &address, error);
    if (status != MUSTER_OK)
        return status;
    if (address.any)
        return muster__error(error, MUSTER_INVALID, "'mpi:' is only to listen on: connect to mpi:RANK");
    pthread_mutex_lock(&transport->lock);
    const char *lost = transport->lost;
    uint64_t number = ++transport->numbers;
    pthread_mutex_unlock(&transport->lock);
    if (lost)
        return muster__error(error, MUSTER_UNAVAILABLE, "connecting to %.80s: %s", text, lost);
    struct mpi_stream *stream = stream_new(address.rank, number, false);
    struct parcel *opening = stream ? open_new(stream, address.name, service->method) : NULL;
    if (!opening) {
        if (stream)
            muster__mpi_drop(stream->last);
        free(stream);
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    }
    stream->references++; /* the caller's */
    stream->accepted = true;
    stream->unread = STREAM_WINDOW; /* whoever does not answer is not sent to */
    stream->limit = opening->frame.limit = limit_of(max_message_size);
    stream->events = events;
    stream->context = context;
    STAILQ_INSERT_TAIL(&stream->queue, opening, link);
    *result = &stream->base;
    pthread_mutex_lock(&transport->lock);
    LIST_INSERT_HEAD(&transport->streams[bucket_of(address.rank, number)], stream, link);
    muster__mpi_wake_stream(stream);
    pthread_mutex_unlock(&transport->lock);
    return MUSTER_OK;
}
