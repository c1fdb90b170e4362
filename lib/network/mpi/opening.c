/*
 * How a stream begins: a client gives it a number and sends an OPEN, and the server's end is made when that comes.
 * Streams are known by the rank of the peer and the number.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "network/mpi/mpi.h"
#include "status.h"

/* As MPI counts. */
static uint32_t limit_of(size_t size)
{
    return size < INT32_MAX ? (uint32_t)size : INT32_MAX;
}

static size_t bucket_of(int rank, uint64_t number)
{
    return (number * 31 + (uint64_t)rank) % STREAM_BUCKETS;
}

struct mpi_stream *muster__mpi_find(struct mpi_transport *transport, int rank, uint64_t number, bool server)
{
    struct mpi_stream *stream;
    LIST_FOREACH(stream, &transport->streams[bucket_of(rank, number)], link) {
        if (stream->number == number && stream->rank == rank && !stream->listener == !server)
            return stream;
    }
    return NULL;
}

/* ---- the server's end ---- */

/* NULL, or why not: with the status. */
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
    struct mpi_stream *stream = muster__mpi_stream_new(rank, frame->stream, true);
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
void muster__mpi_arrived_open(struct mpi_transport *transport, struct parcel *parcel, int rank)
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

/* ---- the client's end ---- */

static struct parcel *open_new(const struct mpi_stream *stream, const char *name, const char *method)
{
    size_t name_size = strlen(name) + 1, method_size = strlen(method) + 1;
    struct parcel *parcel = muster__mpi_frame_new(stream, FRAME_OPEN, name_size + method_size);
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
    struct mpi_stream *stream = muster__mpi_stream_new(address.rank, number, false);
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
