/*
 * The health service: each call of it is an object of its own, which sends what there is to say when its peer
 * has said what it asks for. Its operations in flight, and its timer, are counted in `pending`; whoever takes
 * the count to zero frees it.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>

#include "health.pb-c.h"
#include "network/grpc_listener.h"

enum {
    /* At one time; a watch lasts, a Check is over at once unless its client keeps it. */
    WATCHES_MAX = 64,
    WATCHES_OF_CONNECTION_MAX = 8,
    CHECKS_MAX = 64,
    CHECKS_OF_CONNECTION_MAX = 4,
    CALLS_MAX = 1024, /* those that are making room included */
    REQUEST_SIZE_MAX = 1024,
    TIME_LIMIT_MS = 10000, /* of a Check, and for the request of a Watch */
};

struct health_call {
    struct health *health;
    grpc_call *call;
    bool watch;
    struct tag received;
    struct tag sent;
    struct tag ended;
    struct timer timer; /* until a Check is over, or the request of a Watch has come */
    char *peer;
    LIST_ENTRY(health_call) link;
    unsigned pending;
    bool over;     /* the call has ended, or is to: nothing more is sent */
    bool asked;    /* the request has come */
    bool known;    /* ... for a service that is here */
    bool begun;    /* something was sent */
    bool finished; /* the status too */
    Muster__Health__HealthCheckResponse__ServingStatus told;
    grpc_byte_buffer *incoming;
    grpc_byte_buffer *sending;
    int cancelled;
};

typedef Muster__Health__HealthCheckResponse__ServingStatus serving_status;

#define STATUS(name) MUSTER__HEALTH__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##name

void muster__grpc_health_init(struct health *health, struct grpc_listener *listener)
{
    health->listener = listener;
    pthread_mutex_init(&health->lock, NULL);
}

void muster__grpc_health_destroy(struct health *health)
{
    pthread_mutex_destroy(&health->lock);
}

/* ---- operations; with the lock held ---- */

/* Ends a call that takes too long, or is in the way. */
static void end(struct health_call *call)
{
    call->over = true;
    grpc_call_cancel(call->call, NULL);
}

static void start_batch(struct health_call *call, const grpc_op *ops, size_t count, struct tag *tag)
{
    HANDED_OVER(tag);
    if (grpc_call_start_batch(call->call, ops, count, tag, NULL) == GRPC_CALL_OK)
        call->pending++;
    else
        end(call);
}

static grpc_byte_buffer *make_response(serving_status status)
{
    Muster__Health__HealthCheckResponse response = MUSTER__HEALTH__HEALTH_CHECK_RESPONSE__INIT;
    response.status = status;
    grpc_slice slice = grpc_slice_malloc(muster__health__health_check_response__get_packed_size(&response));
    muster__health__health_check_response__pack(&response, GRPC_SLICE_START_PTR(slice));
    grpc_byte_buffer *bytes = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return bytes;
}

/* Sends a message with `status` (UNKNOWN: none), unless it was told already, and then ends the call with `code` if
   `finish`. */
static void send(struct health_call *call, serving_status status, bool finish, grpc_status_code code,
                 const char *text)
{
    grpc_op ops[3] = {{0}};
    size_t count = 0;
    grpc_slice details = grpc_slice_from_static_string(text);
    if (!call->begun)
        ops[count++] = (grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA};
    call->begun = true;
    if (call->told != status) {
        call->told = status;
        call->sending = make_response(status);
        ops[count++] = (grpc_op){.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = call->sending};
    }
    if (finish) {
        ops[count] = (grpc_op){.op = GRPC_OP_SEND_STATUS_FROM_SERVER};
        ops[count].data.send_status_from_server.status = code;
        ops[count++].data.send_status_from_server.status_details = &details;
        call->finished = true;
    }
    if (count > 0)
        start_batch(call, ops, count, &call->sent);
}

static void fail(struct health_call *call, grpc_status_code code, const char *text)
{
    send(call, STATUS(UNKNOWN), true, code, text);
}

/* Says what there is to say, when nothing is being said. */
static void go_on(struct health_call *call)
{
    bool closing = call->health->closing;
    serving_status now = closing ? STATUS(NOT_SERVING) : STATUS(SERVING);
    if (call->over || call->finished || call->sending)
        return;
    if (!call->asked) {
        if (closing)
            fail(call, GRPC_STATUS_UNAVAILABLE, "the server is stopping");
    } else if (!call->watch && !call->known) {
        fail(call, GRPC_STATUS_NOT_FOUND,
             "there is no such service here: ask for '', which is the whole server");
    } else if (!call->watch) {
        send(call, now, true, GRPC_STATUS_OK, "");
    } else {
        send(call, call->known ? now : STATUS(SERVICE_UNKNOWN), closing, GRPC_STATUS_UNAVAILABLE,
             "the server is stopping");
    }
}

static void stop_timer(struct health_call *call)
{
    if (muster__timer_stop(&call->health->listener->transport->base, &call->timer))
        call->pending--; /* never the last: the caller leaves after this */
}

/* One operation less; returns without the lock. */
static void leave(struct health_call *call)
{
    struct health *health = call->health;
    bool last = --call->pending == 0;
    if (last)
        LIST_REMOVE(call, link);
    pthread_mutex_unlock(&health->lock);
    if (!last)
        return;
    grpc_call_unref(call->call);
    gpr_free(call->peer);
    free(call);
    muster__let_go(&health->listener->holders);
}

/* ---- completions ---- */

/* False: it makes no sense. */
static bool read_request(struct health_call *call, grpc_byte_buffer *bytes)
{
    Muster__Health__HealthCheckRequest *request = NULL;
    if (!bytes || grpc_byte_buffer_length(bytes) > REQUEST_SIZE_MAX)
        return false;
    grpc_byte_buffer_reader reader;
    grpc_byte_buffer_reader_init(&reader, bytes);
    grpc_slice whole = grpc_byte_buffer_reader_readall(&reader);
    request = muster__health__health_check_request__unpack(NULL, GRPC_SLICE_LENGTH(whole),
                                                           GRPC_SLICE_START_PTR(whole));
    grpc_slice_unref(whole);
    grpc_byte_buffer_reader_destroy(&reader);
    if (!request)
        return false;
    call->known = !*request->service || muster__grpc_has_service(call->health->listener, request->service);
    muster__health__health_check_request__free_unpacked(request, NULL);
    return true;
}

static void received_complete(struct tag *tag, bool ok)
{
    struct health_call *call = CONTAINER(tag, struct health_call, received);
    (void)ok;
    pthread_mutex_lock(&call->health->lock);
    if (call->watch)
        stop_timer(call);
    call->asked = read_request(call, call->incoming);
    if (call->incoming)
        grpc_byte_buffer_destroy(call->incoming);
    call->incoming = NULL;
    if (!call->asked && !call->over && !call->finished)
        fail(call, GRPC_STATUS_INVALID_ARGUMENT, "a HealthCheckRequest of at most 1 KiB is expected");
    else
        go_on(call);
    leave(call);
}

static void sent_complete(struct tag *tag, bool ok)
{
    struct health_call *call = CONTAINER(tag, struct health_call, sent);
    (void)ok;
    pthread_mutex_lock(&call->health->lock);
    if (call->sending)
        grpc_byte_buffer_destroy(call->sending);
    call->sending = NULL;
    go_on(call);
    leave(call);
}

static void ended_complete(struct tag *tag, bool ok)
{
    struct health_call *call = CONTAINER(tag, struct health_call, ended);
    (void)ok;
    pthread_mutex_lock(&call->health->lock);
    call->over = true;
    stop_timer(call);
    leave(call);
}

static void timer_expired(struct timer *timer)
{
    struct health_call *call = CONTAINER(timer, struct health_call, timer);
    pthread_mutex_lock(&call->health->lock);
    if (!call->asked && !call->over && !call->finished) {
        fail(call, GRPC_STATUS_DEADLINE_EXCEEDED, "no HealthCheckRequest came");
    } else if (!call->watch && !call->over) { /* the client does not take the answer */
        end(call);
    }
    leave(call);
}

/* ---- what the listener calls ---- */

static void start(struct health_call *call, bool stranger)
{
    struct muster_transport *transport = &call->health->listener->transport->base;
    grpc_op close = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER,
                     .data.recv_close_on_server.cancelled = &call->cancelled};
    grpc_op receive = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &call->incoming};
    call->pending = 1; /* the caller's, who leaves */
    start_batch(call, &close, 1, &call->ended);
    call->asked = call->known = stranger;
    if (!stranger)
        start_batch(call, &receive, 1, &call->received);
    if (stranger && call->watch)
        return;
    call->pending++;
    muster__timer_start(transport, &call->timer, muster__transport_after(transport, TIME_LIMIT_MS),
                        timer_expired);
}

/* Whether there is room for one more, which may be made by ending another. With the lock held. */
static bool make_room(struct health *health, bool watch, const char *peer)
{
    struct health_call *call, *oldest = NULL, *oldest_of_connection = NULL;
    size_t all = 0, alike = 0, of_connection = 0;
    LIST_FOREACH(call, &health->calls, link) {
        all++;
        if (call->over || call->watch != watch)
            continue;
        alike++;
        oldest = call;
        if (strcmp(call->peer, peer) != 0)
            continue;
        of_connection++;
        oldest_of_connection = call;
    }
    if (all >= CALLS_MAX)
        return false;
    if (watch)
        return alike < WATCHES_MAX && of_connection < WATCHES_OF_CONNECTION_MAX;
    if (of_connection >= CHECKS_OF_CONNECTION_MAX)
        end(oldest_of_connection);
    else if (alike >= CHECKS_MAX)
        end(oldest);
    return true;
}

void muster__grpc_health_accept(struct health *health, grpc_call *arrived, bool watch, bool stranger)
{
    struct health_call *call = calloc(1, sizeof(*call));
    char *peer = grpc_call_get_peer(arrived);
    pthread_mutex_lock(&health->lock);
    if (!call || !make_room(health, watch, peer)) {
        pthread_mutex_unlock(&health->lock);
        gpr_free(peer);
        free(call);
        muster__grpc_refuse(arrived, GRPC_STATUS_RESOURCE_EXHAUSTED,
                            "too many ask for the server's health at once: try again later");
        return;
    }
    call->health = health;
    call->call = arrived;
    call->watch = watch;
    call->peer = peer;
    call->received.complete = received_complete;
    call->sent.complete = sent_complete;
    call->ended.complete = ended_complete;
    LIST_INSERT_HEAD(&health->calls, call, link);
    muster__hold_on(&health->listener->holders);
    start(call, stranger);
    go_on(call);
    leave(call);
}

void muster__grpc_health_close(struct health *health)
{
    struct health_call *call;
    pthread_mutex_lock(&health->lock);
    health->closing = true;
    LIST_FOREACH(call, &health->calls, link)
        go_on(call);
    pthread_mutex_unlock(&health->lock);
}
