/*
 * The health service: each call of it is an object of its own, which says what there is to say when its peer
 * has said what it asks for. Its references are those of its stream, until `closed`, and of its timer while
 * that runs.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "health.pb-c.h"
#include "network/code.h"
#include "network/health.h"
#include "network/words.h"

enum {
    /* At one time; a watch lasts, a Check is over at once unless its client keeps it. */
    WATCHES_MAX = 64,
    WATCHES_OF_CONNECTION_MAX = 8,
    CHECKS_MAX = 64,
    CHECKS_OF_CONNECTION_MAX = 4,
    CALLS_MAX = 1024, /* those that are making room included */
    REQUEST_SIZE_MAX = 1024,
    TIME_LIMIT_MS = 10000, /* of a Check, and for the request of a Watch */
    PEER_SIZE = 128,
};

typedef Muster__Health__HealthCheckResponse__ServingStatus serving_status;

#define STATUS(name) MUSTER__HEALTH__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##name

struct health_call {
    struct health *health;
    struct stream *stream;
    bool watch;
    struct timer timer; /* until a Check is over, or the request of a Watch has come */
    char peer[PEER_SIZE];
    LIST_ENTRY(health_call) link;
    unsigned references;
    bool over;           /* the stream has ended, or is to at once: nothing more is said */
    bool asked;          /* the request has come */
    bool known;          /* ... for a service that is here */
    bool finished;       /* the stream ends when all is said */
    serving_status told; /* UNKNOWN: nothing */
};

void muster__health_init(struct health *health, struct muster_transport *transport, struct holders *holders,
                         const struct served *served)
{
    health->transport = transport;
    health->holders = holders;
    health->served = served;
    pthread_mutex_init(&health->lock, NULL);
}

void muster__health_destroy(struct health *health)
{
    pthread_mutex_destroy(&health->lock);
}

static bool is(const char *name, const char *method, size_t size)
{
    return strlen(name) == size && memcmp(name, method, size) == 0;
}

bool muster__health_has(const char *method, size_t size, bool *watch)
{
    *watch = is("/grpc.health.v1.Health/Watch", method, size);
    return *watch || is("/grpc.health.v1.Health/Check", method, size);
}

/* ---- what is said; with the lock held ---- */

/* Ends a call at once. */
static void refuse(struct health_call *call, int code, const char *text)
{
    call->over = true;
    call->stream->ops->refuse(call->stream, code, text);
}

/* Ends one that takes too long, or is in the way. */
static void end(struct health_call *call)
{
    refuse(call, CODE_CANCELLED, "CANCELLED");
}

/* Ends one when what it was told has left. */
static void finish(struct health_call *call, enum muster_status status, const char *text)
{
    call->finished = true;
    call->stream->ops->close(call->stream, status, text);
}

/* Tells a status, unless it was told already. */
static void tell(struct health_call *call, serving_status status)
{
    uint8_t bytes[STREAM_HEAD_MAX]; /* two would do */
    Muster__Health__HealthCheckResponse response = MUSTER__HEALTH__HEALTH_CHECK_RESPONSE__INIT;
    if (call->told == status)
        return;
    call->told = status;
    response.status = status;
    size_t size = muster__health__health_check_response__pack(&response, bytes);
    if (call->stream->ops->send(call->stream, bytes, size, NULL) == MUSTER_OUT_OF_MEMORY)
        refuse(call, CODE_RESOURCE_EXHAUSTED, END_OUT_OF_MEMORY);
}

/* Says what there is to say. */
static void go_on(struct health_call *call)
{
    bool closing = call->health->closing;
    serving_status now = closing ? STATUS(NOT_SERVING) : STATUS(SERVING);
    if (call->over || call->finished)
        return;
    if (call->asked && !call->watch && !call->known) {
        refuse(call, CODE_NOT_FOUND, "there is no such service here: ask for '', which is the whole server");
        return;
    }
    if (call->asked)
        tell(call, call->known ? now : STATUS(SERVICE_UNKNOWN));
    if (call->asked && !call->watch)
        finish(call, MUSTER_OK, "");
    else if (closing)
        finish(call, MUSTER_UNAVAILABLE, END_STOPPING);
}

static void stop_timer(struct health_call *call)
{
    if (muster__timer_stop(call->health->transport, &call->timer))
        call->references--; /* never the last: the stream has one */
}

/* One reference less; returns without the lock. */
static void leave(struct health_call *call)
{
    struct health *health = call->health;
    bool last = --call->references == 0;
    if (last)
        LIST_REMOVE(call, link);
    pthread_mutex_unlock(&health->lock);
    if (!last)
        return;
    call->stream->ops->release(call->stream);
    free(call);
    muster__let_go(health->holders);
}

/* ---- events ---- */

static bool has_service(const struct health *health, const char *name)
{
    const struct served *served = health->served;
    while (served->service && strcmp(served->service->name, name) != 0)
        served++;
    return served->service;
}

/* False: it makes no sense. */
static bool read_request(const struct health *health, const struct piece *pieces, size_t count, size_t size,
                         bool *known)
{
    uint8_t bytes[REQUEST_SIZE_MAX];
    size_t filled = 0;
    if (size > sizeof(bytes))
        return false;
    for (size_t i = 0; i < count; i++) {
        memcpy(bytes + filled, pieces[i].data, pieces[i].size);
        filled += pieces[i].size;
    }
    Muster__Health__HealthCheckRequest *request =
        muster__health__health_check_request__unpack(NULL, filled, bytes);
    if (!request)
        return false;
    *known = !*request->service || has_service(health, request->service);
    muster__health__health_check_request__free_unpacked(request, NULL);
    return true;
}

/* Its peer has asked, or will never do so. */
static void heard(struct health_call *call, bool asked, bool known)
{
    pthread_mutex_lock(&call->health->lock);
    if (call->watch)
        stop_timer(call);
    call->asked = asked;
    call->known = known;
    if (!asked && !call->over && !call->finished)
        finish(call, MUSTER_INVALID, "a HealthCheckRequest of at most 1 KiB is expected");
    else
        go_on(call);
    pthread_mutex_unlock(&call->health->lock);
}

static void message(void *context, const struct piece *pieces, size_t count, size_t size)
{
    struct health_call *call = context;
    bool known = false;
    call->stream->ops->pause(call->stream, MUSTER_NO_LIMIT); /* it has no more to say */
    bool asked = read_request(call->health, pieces, count, size, &known);
    heard(call, asked, known);
}

static void left(void *context)
{
    heard(context, false, false);
}

static void closed(void *context, enum muster_status status, const char *text)
{
    struct health_call *call = context;
    (void)status;
    (void)text;
    pthread_mutex_lock(&call->health->lock);
    call->over = true;
    stop_timer(call);
    leave(call);
}

static void timer_expired(struct timer *timer)
{
    struct health_call *call = CONTAINER(timer, struct health_call, timer);
    pthread_mutex_lock(&call->health->lock);
    if (!call->asked && !call->over && !call->finished)
        finish(call, MUSTER_TIMEOUT, "no HealthCheckRequest came");
    else if (!call->watch && !call->over) /* the client does not take the answer */
        end(call);
    leave(call);
}

/* ---- what the listener calls ---- */

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

/* With the lock held. */
static void start(struct health_call *call, bool stranger)
{
    struct muster_transport *transport = call->health->transport;
    call->references = 1;
    call->asked = call->known = stranger;
    LIST_INSERT_HEAD(&call->health->calls, call, link);
    muster__hold_on(call->health->holders);
    if (!stranger || !call->watch) {
        call->references++;
        muster__timer_start(transport, &call->timer, muster__transport_after(transport, TIME_LIMIT_MS),
                            timer_expired);
    }
    go_on(call);
}

void *muster__health_accepted(struct health *health, struct stream *stream, bool watch, bool stranger,
                              const struct stream_events **events)
{
    static const struct stream_events health_events = {.message = message, .left = left, .closed = closed};
    struct health_call *call = calloc(1, sizeof(*call));
    if (call) {
        *call = (struct health_call){.health = health, .stream = stream, .watch = watch};
        stream->ops->peer(stream, call->peer, sizeof(call->peer));
    }
    if (stranger)
        stream->ops->pause(stream, MUSTER_NO_LIMIT);
    pthread_mutex_lock(&health->lock);
    bool accepted = call && make_room(health, watch, call->peer);
    if (accepted)
        start(call, stranger);
    pthread_mutex_unlock(&health->lock);
    if (!accepted) {
        free(call);
        stream->ops->refuse(stream, CODE_RESOURCE_EXHAUSTED,
                            "too many ask for the server's health at once: try again later");
        return NULL;
    }
    *events = &health_events;
    return call;
}

void muster__health_close(struct health *health)
{
    struct health_call *call;
    pthread_mutex_lock(&health->lock);
    health->closing = true;
    LIST_FOREACH(call, &health->calls, link)
        go_on(call);
    pthread_mutex_unlock(&health->lock);
}
