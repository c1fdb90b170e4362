/*
 * What goes out and comes in. A frame is one message of MPI. Behind that of a big message each of its slices is
 * one more, from where it lies to where it is read, in the order of the frames: MPI keeps it between two ranks.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "network/mpi/mpi.h"

enum { TAG_FRAME = 1, TAG_SLICE = 2 };

struct parcel *muster__mpi_parcel_new(enum frame_kind kind, size_t inside)
{
    struct parcel *parcel = malloc(sizeof(*parcel) + inside);
    if (parcel)
        *parcel = (struct parcel){.frame = {.kind = kind, .inside = (uint32_t)inside}};
    return parcel;
}

struct parcel *muster__mpi_frame_new(const struct mpi_stream *stream, enum frame_kind kind, size_t inside)
{
    struct parcel *parcel = muster__mpi_parcel_new(kind, inside);
    if (parcel) {
        parcel->frame.stream = stream->number;
        parcel->frame.to_server = !stream->listener;
        parcel->frame.limit = stream->limit;
    }
    return parcel;
}

void muster__mpi_drop(struct parcel *parcel)
{
    if (!parcel)
        return;
    parcel->dropped = true;
    if (parcel->pending > 0)
        return;
    muster__buffer_release(parcel->body);
    free(parcel->data);
    free(parcel);
}

/* ---- operations ---- */

static bool grow(void *array, size_t count, size_t size)
{
    void **place = array;
    void *grown = realloc(*place, count * size);
    if (grown)
        *place = grown;
    return grown != NULL;
}

bool muster__mpi_make_room(struct mpi_transport *transport)
{
    size_t room = transport->room ? 2 * transport->room : 64;
    if (transport->count + 2 + STREAM_PIECES_MAX <= transport->room) /* a frame, its slices, the next frame */
        return true;
    if (!grow(&transport->requests, room, sizeof(*transport->requests)) ||
        !grow(&transport->operations, room, sizeof(*transport->operations)) ||
        !grow(&transport->completed, room, sizeof(*transport->completed)) ||
        !grow(&transport->statuses, room, sizeof(*transport->statuses)))
        return false;
    transport->room = room;
    return true;
}

static void add(struct mpi_transport *transport, MPI_Request request, struct parcel *parcel, bool sends)
{
    parcel->pending++;
    transport->requests[transport->count] = request;
    transport->operations[transport->count++] = (struct operation){parcel, sends};
    transport->sends += sends ? 1 : 0;
}

static void end_of(struct mpi_transport *transport, const struct operation *operation)
{
    struct parcel *parcel = operation->parcel;
    transport->sends -= operation->sends ? 1 : 0;
    if (--parcel->pending > 0)
        return;
    if (parcel->dropped) {
        muster__mpi_drop(parcel);
    } else if (parcel->stream) {
        pthread_mutex_lock(&transport->lock);
        muster__mpi_wake_stream(parcel->stream);
        pthread_mutex_unlock(&transport->lock);
    }
}

/* ---- going out ---- */

static bool send_bytes(struct mpi_transport *transport, struct parcel *parcel, const void *bytes, size_t size,
                       int rank, int tag)
{
    MPI_Request request;
    if (MPI_Isend(bytes, (int)size, MPI_BYTE, rank, tag, transport->communicator, &request) != MPI_SUCCESS)
        return false;
    add(transport, request, parcel, true);
    return true;
}

bool muster__mpi_post(struct mpi_transport *transport, struct parcel *parcel, int rank)
{
    bool sent = send_bytes(transport, parcel, &parcel->frame, sizeof(parcel->frame) + parcel->frame.inside,
                           rank, TAG_FRAME);
    for (size_t i = 0; sent && i < parcel->frame.count; i++)
        sent = send_bytes(transport, parcel, parcel->slices[i], parcel->frame.sizes[i], rank, TAG_SLICE);
    muster__mpi_drop(parcel);
    return sent;
}

/* ---- coming in ---- */

static void receive(struct mpi_transport *transport, struct parcel *parcel, void *place, size_t size,
                    int rank, int tag)
{
    MPI_Request request;
    if (MPI_Irecv(place, (int)size, MPI_BYTE, rank, tag, transport->communicator, &request) == MPI_SUCCESS)
        add(transport, request, parcel, false);
}

static void await_frame(struct mpi_transport *transport)
{
    if (!transport->awaited)
        transport->awaited = muster__mpi_parcel_new(0, FRAME_MAX - sizeof(struct frame));
    if (transport->awaited && transport->awaited->pending == 0 && transport->came_from < 0)
        receive(transport, transport->awaited, &transport->awaited->frame, FRAME_MAX, MPI_ANY_SOURCE,
                TAG_FRAME);
}

static uint64_t size_of_slices(const struct frame *frame)
{
    uint64_t size = 0;
    for (size_t i = 0; i < frame->count; i++)
        size += frame->sizes[i];
    return size;
}

/* A copy of the frame that has come, with room for its slices; an OPEN has room for a text. */
static struct parcel *copy_frame(const struct frame *frame)
{
    size_t room = frame->inside < MUSTER_ERROR_TEXT_SIZE ? MUSTER_ERROR_TEXT_SIZE : frame->inside;
    struct parcel *parcel =
        muster__mpi_parcel_new(frame->kind, frame->kind == FRAME_OPEN ? room : frame->inside);
    if (parcel && frame->count > 0)
        parcel->data = malloc(size_of_slices(frame));
    if (!parcel || (frame->count > 0 && !parcel->data)) {
        muster__mpi_drop(parcel);
        return NULL;
    }
    memcpy(&parcel->frame, frame, sizeof(*frame) + frame->inside);
    return parcel;
}

/*
 * Slices are received even if nobody wants them: there is no other way to be rid of them (Open MPI 4.1 writes past
 * a place that is too small). What comes waits for memory.
 */
static void take_frame(struct mpi_transport *transport)
{
    int rank = transport->came_from;
    struct parcel *parcel = copy_frame(&transport->awaited->frame);
    if (!parcel)
        return;
    transport->came_from = -1;
    uint8_t *place = parcel->data;
    for (size_t i = 0; i < parcel->frame.count; place += parcel->frame.sizes[i++])
        receive(transport, parcel, place, parcel->frame.sizes[i], rank, TAG_SLICE);
    muster__mpi_arrived(transport, parcel, rank);
}

/* Whether it is one of ours. */
static bool is_sound(const struct frame *frame, MPI_Status *status)
{
    int size = 0;
    MPI_Get_count(status, MPI_BYTE, &size);
    return (size_t)size >= sizeof(*frame) && (size_t)size == sizeof(*frame) + frame->inside &&
           frame->count <= (frame->kind == FRAME_MESSAGE ? STREAM_PIECES_MAX : 0) &&
           (frame->kind != FRAME_MESSAGE || frame->size == frame->inside + size_of_slices(frame));
}

bool muster__mpi_progress(struct mpi_transport *transport)
{
    int count = 0;
    if (!muster__mpi_make_room(transport))
        return false;
    await_frame(transport);
    MPI_Testsome((int)transport->count, transport->requests, &count, transport->completed,
                 transport->statuses);
    for (int i = 0; i < count; i++) {
        const struct operation *operation = &transport->operations[transport->completed[i]];
        if (operation->parcel == transport->awaited &&
            is_sound(&transport->awaited->frame, &transport->statuses[i]))
            transport->came_from = transport->statuses[i].MPI_SOURCE;
        end_of(transport, operation);
    }
    size_t left = 0;
    for (size_t i = 0; count > 0 && i < transport->count; i++) {
        if (transport->requests[i] == MPI_REQUEST_NULL)
            continue;
        transport->requests[left] = transport->requests[i];
        transport->operations[left++] = transport->operations[i];
    }
    if (count > 0)
        transport->count = left;
    if (transport->came_from >= 0)
        take_frame(transport);
    return count > 0;
}

void muster__mpi_give_up(struct mpi_transport *transport)
{
    for (size_t i = 0; i < transport->count; i++) {
        if (!transport->operations[i].sends)
            MPI_Cancel(&transport->requests[i]);
        MPI_Request_free(&transport->requests[i]);
    }
    /* MPI may go on reading what is being sent: it stays where it is. */
    transport->count = 0;
    if (transport->connected)
        MPI_Comm_free(&transport->communicator);
    transport->connected = false;
}
