/*
 * The waiting room. A wrong token costs who shows it nothing, so guesses are made slow: after a few wrong
 * ones, the calls of their source wait in a queue, and go on to be judged at the pace at which it may guess.
 * Right tokens cost nothing, so that those who have one and share the address are delayed and no more; as one
 * call of each connection waits, a stranger with many calls is before nobody.
 */
#include <config.h>

#include <string.h>

#include "network/code.h"
#include "network/credentials.h"
#include "network/waiting.h"
#include "network/words.h"

enum {
    WAITING_MAX = 256,
    WAITING_OF_SOURCE_MAX = 32,
    WARNING_INTERVAL_MS = 60000,
};

void muster__waiting_init(struct waiting_room *room, struct muster_transport *transport,
                          struct credentials *credentials, struct holders *holders)
{
    room->transport = transport;
    room->credentials = credentials;
    room->holders = holders;
    STAILQ_INIT(&room->calls);
    pthread_mutex_init(&room->lock, NULL);
}

void muster__waiting_destroy(struct waiting_room *room)
{
    pthread_mutex_destroy(&room->lock);
}

static bool is_same(const struct source *a, const struct source *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* ---- passing ---- */

/* Behind those that wait: or whoever calls most often would get each guess. */
bool muster__waiting_passes(struct waiting_room *room, const char *peer, bool shows_token)
{
    const struct credentials *credentials = room->credentials;
    if (!credentials || !credentials->files.token_file || !shows_token)
        return true;
    struct source source = muster__source(peer);
    const struct waiting_call *waiting;
    pthread_mutex_lock(&room->lock);
    bool waits = room->sweeping;
    STAILQ_FOREACH(waiting, &room->calls, link)
        waits = waits || is_same(&waiting->source, &source);
    bool passes = !waits && muster__guesses_allow(&room->guesses, &source, muster__clock_now());
    pthread_mutex_unlock(&room->lock);
    return passes;
}

void muster__waiting_wrong(struct waiting_room *room, const char *peer)
{
    struct source source = muster__source(peer);
    pthread_mutex_lock(&room->lock);
    muster__guesses_wrong(&room->guesses, &source, muster__clock_now());
    pthread_mutex_unlock(&room->lock);
}

/* ---- waiting ---- */

static void timer_expired(struct timer *timer);

/* With the lock held. */
static void start_timer(struct waiting_room *room)
{
    if (room->timed || room->closed || STAILQ_EMPTY(&room->calls))
        return;
    room->timed = true;
    muster__hold_on(room->holders);
    muster__timer_start(room->transport, &room->timer, muster__clock_now() + GUESS_INTERVAL_MS,
                        timer_expired);
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
    muster__credentials_warn(room->credentials,
                             "wrong tokens come from %.100s: they are looked at slowly from now on", peer);
}

void muster__waiting_add(struct waiting_room *room, struct waiting_call *call)
{
    call->source = muster__source(call->peer);
    pthread_mutex_lock(&room->lock);
    warn(room, call->peer);
    bool waits = has_room(room, call);
    if (waits) {
        STAILQ_INSERT_TAIL(&room->calls, call, link);
        room->count++;
        muster__hold_on(room->holders);
        start_timer(room);
    }
    pthread_mutex_unlock(&room->lock);
    if (!waits)
        call->ops->refuse(call, CODE_UNAVAILABLE,
                          "too many wrong tokens come from your address: try again later");
}

/* ---- going on ---- */

static void refuse_all(struct waiting_room *room, struct waiting_calls *all)
{
    struct waiting_call *waiting;
    while ((waiting = STAILQ_FIRST(all))) {
        STAILQ_REMOVE_HEAD(all, link);
        waiting->ops->refuse(waiting, CODE_UNAVAILABLE, END_STOPPING);
        muster__let_go(room->holders);
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
    waiting->ops->admit(waiting);
    muster__let_go(room->holders);
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
    muster__let_go(room->holders);
}

void muster__waiting_close(struct waiting_room *room)
{
    struct waiting_calls all = STAILQ_HEAD_INITIALIZER(all);
    pthread_mutex_lock(&room->lock);
    room->closed = true;
    STAILQ_CONCAT(&all, &room->calls);
    bool stopped = muster__timer_stop(room->transport, &room->timer);
    pthread_mutex_unlock(&room->lock);
    refuse_all(room, &all);
    if (stopped)
        muster__let_go(room->holders);
}
