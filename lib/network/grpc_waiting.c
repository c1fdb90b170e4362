/*
 * The waiting room. A wrong token costs who shows it nothing, so guesses are made slow: after a few wrong
 * ones, the calls of their source wait in a queue, and go on to be judged at the pace at which it may guess.
 * Right tokens cost nothing, so that those who have one and share the address are delayed and no more; as one
 * call of each connection waits, a stranger with many calls is before nobody.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include <grpc/slice.h>
#include <grpc/support/alloc.h>

#include "network/grpc_listener.h"

enum {
    WAITING_MAX = 256,
    WAITING_OF_SOURCE_MAX = 32,
    WARNING_INTERVAL_MS = 60000,
};

struct waiting_call {
    grpc_call *call;
    const struct served *served; /* see muster__grpc_admit() */
    grpc_metadata_array metadata;
    struct source source;
    char *peer;
    STAILQ_ENTRY(waiting_call) link;
};

void muster__grpc_waiting_init(struct waiting_room *room, struct grpc_listener *listener)
{
    room->listener = listener;
    STAILQ_INIT(&room->calls);
    pthread_mutex_init(&room->lock, NULL);
}

void muster__grpc_waiting_destroy(struct waiting_room *room)
{
    pthread_mutex_destroy(&room->lock);
}

static bool is_same(const struct source *a, const struct source *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static struct source source_of(grpc_call *call)
{
    char *peer = grpc_call_get_peer(call);
    struct source source = muster__source(peer);
    gpr_free(peer);
    return source;
}

/* ---- passing ---- */

/* Behind those that wait: or whoever calls most often would get each guess. */
bool muster__grpc_waiting_passes(struct waiting_room *room, grpc_call *call,
                                 const grpc_metadata_array *metadata)
{
    const struct credentials *credentials = room->listener->source.credentials;
    if (!credentials || !credentials->files.token_file || !muster__grpc_shows_token(metadata))
        return true;
    struct source source = source_of(call);
    const struct waiting_call *waiting;
    pthread_mutex_lock(&room->lock);
    bool waits = room->sweeping;
    STAILQ_FOREACH(waiting, &room->calls, link)
        waits = waits || is_same(&waiting->source, &source);
    bool passes = !waits && muster__guesses_allow(&room->guesses, &source, muster__clock_now());
    pthread_mutex_unlock(&room->lock);
    return passes;
}

void muster__grpc_waiting_wrong(struct waiting_room *room, grpc_call *call)
{
    struct source source = source_of(call);
    pthread_mutex_lock(&room->lock);
    muster__guesses_wrong(&room->guesses, &source, muster__clock_now());
    pthread_mutex_unlock(&room->lock);
}

/* ---- waiting ---- */

static void drop(struct waiting_call *waiting)
{
    grpc_metadata_array_destroy(&waiting->metadata);
    gpr_free(waiting->peer);
    free(waiting);
}

static void timer_expired(struct timer *timer);

/* With the lock held. */
static void start_timer(struct waiting_room *room)
{
    if (room->timed || room->closed || STAILQ_EMPTY(&room->calls))
        return;
    room->timed = true;
    muster__grpc_hold_on(room->listener);
    muster__timer_start(&room->listener->transport->base, &room->timer,
                        muster__clock_now() + GUESS_INTERVAL_MS, timer_expired);
}

/* With the lock held. */
static bool has_room(const struct waiting_room *room, const struct waiting_call *fresh)
{
    size_t of_source = 0;
    if (room->closed || room->count >= WAITING_MAX)
        return false;
    const struct waiting_call *waiting;
    STAILQ_FOREACH(waiting, &room->calls, link) {
        if (!is_same(&waiting->source, &fresh->source))
            continue;
        if (++of_source >= WAITING_OF_SOURCE_MAX || strcmp(waiting->peer, fresh->peer) == 0)
            return false;
    }
    return true;
}

/* Now and then. With the lock held. */
static void warn(struct waiting_room *room, const char *peer)
{
    int64_t now = muster__clock_now();
    if (room->warned_at != 0 && now - room->warned_at < WARNING_INTERVAL_MS)
        return;
    room->warned_at = now;
    muster__credentials_warn(room->listener->source.credentials,
                             "wrong tokens come from %.100s: they are looked at slowly from now on", peer);
}

void muster__grpc_waiting_add(struct waiting_room *room, grpc_call *call, const struct served *served,
                              grpc_metadata_array *metadata)
{
    struct waiting_call *waiting = calloc(1, sizeof(*waiting));
    if (!waiting) {
        muster__grpc_refuse(call, GRPC_STATUS_UNAVAILABLE, "the server is out of memory");
        return;
    }
    waiting->call = call;
    waiting->served = served;
    waiting->peer = grpc_call_get_peer(call);
    waiting->source = muster__source(waiting->peer);
    pthread_mutex_lock(&room->lock);
    warn(room, waiting->peer);
    bool waits = has_room(room, waiting);
    if (waits) {
        waiting->metadata = *metadata;
        grpc_metadata_array_init(metadata);
        STAILQ_INSERT_TAIL(&room->calls, waiting, link);
        room->count++;
        muster__grpc_hold_on(room->listener);
        start_timer(room);
    }
    pthread_mutex_unlock(&room->lock);
    if (waits)
        return;
    drop(waiting);
    muster__grpc_refuse(call, GRPC_STATUS_UNAVAILABLE,
                        "too many wrong tokens come from your address: try again later");
}

/* ---- going on ---- */

static void refuse_all(struct waiting_room *room, struct waiting_calls *all)
{
    struct waiting_call *waiting;
    while ((waiting = STAILQ_FIRST(all))) {
        STAILQ_REMOVE_HEAD(all, link);
        muster__grpc_refuse(waiting->call, GRPC_STATUS_UNAVAILABLE, "the server is stopping");
        drop(waiting);
        muster__grpc_let_go(room->listener);
    }
}

/* Judges those that may be, in the order in which they came; false: it is not this one's turn. */
static bool go_on(struct waiting_room *room, struct waiting_call *waiting)
{
    pthread_mutex_lock(&room->lock);
    bool allowed =
        !room->closed && muster__guesses_allow(&room->guesses, &waiting->source, muster__clock_now());
    if (allowed)
        room->count--;
    pthread_mutex_unlock(&room->lock);
    if (!allowed)
        return false;
    muster__grpc_admit(room->listener, waiting->call, waiting->served, &waiting->metadata);
    drop(waiting);
    muster__grpc_let_go(room->listener);
    return true;
}

static void timer_expired(struct timer *timer)
{
    struct waiting_room *room = CONTAINER(timer, struct waiting_room, timer);
    struct waiting_calls all = STAILQ_HEAD_INITIALIZER(all), left = STAILQ_HEAD_INITIALIZER(left);
    struct waiting_call *waiting;
    pthread_mutex_lock(&room->lock);
    STAILQ_CONCAT(&all, &room->calls);
    room->sweeping = true;
    pthread_mutex_unlock(&room->lock);
    while ((waiting = STAILQ_FIRST(&all))) {
        STAILQ_REMOVE_HEAD(&all, link);
        if (!go_on(room, waiting))
            STAILQ_INSERT_TAIL(&left, waiting, link);
    }
    pthread_mutex_lock(&room->lock);
    room->sweeping = false;
    room->timed = false;
    bool closed = room->closed;
    if (!closed) { /* before those that came meanwhile */
        STAILQ_CONCAT(&left, &room->calls);
        STAILQ_CONCAT(&room->calls, &left);
    }
    start_timer(room);
    pthread_mutex_unlock(&room->lock);
    if (closed)
        refuse_all(room, &left);
    muster__grpc_let_go(room->listener);
}

void muster__grpc_waiting_close(struct waiting_room *room)
{
    struct waiting_calls all = STAILQ_HEAD_INITIALIZER(all);
    pthread_mutex_lock(&room->lock);
    room->closed = true;
    STAILQ_CONCAT(&all, &room->calls);
    bool stopped = muster__timer_stop(&room->listener->transport->base, &room->timer);
    pthread_mutex_unlock(&room->lock);
    refuse_all(room, &all);
    if (stopped)
        muster__grpc_let_go(room->listener);
}
