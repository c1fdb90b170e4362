/*
 * The proxy: the server's handle on one participant, from the arrival of its stream to its end, with every
 * change of its state, and the timer that both it and its turns wait by.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "callback.h"
#include "proxy/internal.h"
#include "status.h"

/* ---- references ---- */

struct proxy *proxy_retain(struct proxy *proxy)
{
    atomic_fetch_add_explicit(&proxy->references, 1, memory_order_relaxed);
    return proxy;
}

void proxy_release(struct proxy *proxy)
{
    if (!proxy || atomic_fetch_sub_explicit(&proxy->references, 1, memory_order_acq_rel) != 1)
        return;
    struct participant_manager *manager = proxy->manager;
    if (proxy->has_user && manager->options.destroy) {
        bool outer = muster__callback_begin();
        manager->options.destroy(manager->options.context, proxy->user);
        muster__callback_end(outer);
    }
    muster__buffer_release(proxy->refused);
    free(proxy->introduction);
    free(proxy->closed_text);
    muster__place_destroy(&proxy->place);
    free(proxy->peer);
    pthread_mutex_destroy(&proxy->lock);
    free(proxy);
    muster__manager_release(manager);
}

void proxy_release_all(struct proxy **proxies, size_t count)
{
    for (size_t i = 0; proxies && i < count; i++)
        proxy_release(proxies[i]);
    free(proxies);
}

/* ---- the timer. All with the lock held but the expiry. ---- */

static struct muster_transport *transport_of(const struct proxy *proxy)
{
    return proxy->manager->transport;
}

int64_t muster__proxy_now(const struct proxy *proxy)
{
    return transport_of(proxy)->ops->now(transport_of(proxy));
}

static void arm_timer(struct proxy *proxy);

static void timer_expired(struct timer *timer)
{
    struct proxy *proxy = CONTAINER(timer, struct proxy, timer);
    struct drain *drain = &proxy->manager->drain;
    struct turn *turn = NULL;
    bool joins_late = false;
    pthread_mutex_lock(&proxy->lock);
    /* The wait that this timer was for may have ended, and another may have begun. */
    int64_t now = muster__proxy_now(proxy);
    if (proxy->rings_at <= now)
        proxy->rings_at = INT64_MAX; /* or it runs again by now */
    bool lost = proxy->away_until <= now;
    if (!lost && proxy->deadline <= now) {
        proxy->deadline = INT64_MAX;
        joins_late = proxy->state == PROXY_ARRIVED || proxy->state == PROXY_ADMITTED;
        if (proxy->state == PROXY_OPEN || proxy->state == PROXY_AWAY)
            turn = muster__proxy_give_up(proxy);
        else if (proxy->state == PROXY_CLOSED && proxy->stream)
            proxy->stream->ops->cut(proxy->stream);
    }
    if (!lost)
        arm_timer(proxy);
    pthread_mutex_unlock(&proxy->lock);
    muster__proxy_end_turn(proxy, turn, MUSTER_TIMEOUT, NULL, 0);
    if (lost)
        muster__proxy_end_away(proxy, "the connection broke, and the participant has not come back");
    if (joins_late)
        muster__proxy_end(
            proxy, MUSTER_TIMEOUT, NULL, MUSTER_TIMEOUT,
            "no message that passes the initiative came in time: send Hello, then an empty message");
    /* This may be the last reference: the user's object goes with it, and a stop is to wait for that. */
    proxy_release(proxy);
    muster__drain_done(drain);
}

/* Lets the timer ring by the earlier deadline. One that rings before that is left alone, as it is after nearly every
   turn: it looks again then. The lock of the timers is one for all proxies. */
static void arm_timer(struct proxy *proxy)
{
    int64_t at = proxy->deadline < proxy->away_until ? proxy->deadline : proxy->away_until;
    if (at >= proxy->rings_at)
        return;
    if (!muster__timer_stop(transport_of(proxy), &proxy->timer)) {
        proxy_retain(proxy);
        muster__drain_add(&proxy->manager->drain);
    }
    proxy->rings_at = at;
    muster__timer_start(transport_of(proxy), &proxy->timer, at, timer_expired);
}

void muster__proxy_stop_timer(struct proxy *proxy)
{
    proxy->deadline = INT64_MAX;
    if (proxy->away_until != INT64_MAX) {
        arm_timer(proxy);
        return;
    }
    proxy->rings_at = INT64_MAX;
    if (!muster__timer_stop(transport_of(proxy), &proxy->timer))
        return;
    atomic_fetch_sub(&proxy->references, 1); /* never the last: whoever holds the lock has one */
    muster__drain_done(
        &proxy->manager->drain); /* never the last: the turn, or the end, is still to be told */
}

void muster__proxy_end_limit(struct proxy *proxy)
{
    proxy->deadline = INT64_MAX;
}

void muster__proxy_start_timer(struct proxy *proxy, int64_t limit_ms)
{
    proxy->deadline = muster__transport_after(transport_of(proxy), limit_ms);
    arm_timer(proxy);
}

/* ---- arriving, and joining ---- */

struct proxy *muster__proxy_new(struct participant_manager *manager, struct stream *stream,
                                struct connection *connection)
{
    struct proxy *proxy = calloc(1, sizeof(*proxy));
    char peer[128];
    stream->ops->peer(stream, peer, sizeof(peer));
    if (!proxy || !(proxy->peer = strdup(peer))) {
        free(proxy);
        return NULL;
    }
    atomic_init(&proxy->references, 2);
    muster__manager_retain(manager);
    proxy->manager = manager;
    proxy->connection = connection;
    proxy->stream = stream;
    proxy->state_since = proxy->heard_at = muster__proxy_now(proxy);
    muster__place_init(&proxy->place, proxy);
    muster__claim_init(&proxy->upload.claim, &manager->budget, &muster__proxy_claim_events);
    proxy->takes.max_message_size = manager->options.max_message_size;
    proxy->away_until = proxy->rings_at = INT64_MAX;
    proxy->deadline = INT64_MAX;
    pthread_mutex_init(&proxy->lock, NULL);
    pthread_mutex_lock(&proxy->lock);
    muster__proxy_start_timer(proxy, manager->options.join_timeout_ms);
    pthread_mutex_unlock(&proxy->lock);
    return proxy;
}

void muster__proxy_make_user(struct proxy *proxy)
{
    const struct participant_manager_options *options = &proxy->manager->options;
    if (!options->factory)
        return;
    bool outer = muster__callback_begin();
    proxy->user = options->factory(options->context, proxy);
    muster__callback_end(outer);
    proxy->has_user = true;
}

/* ---- the state: every change of it ---- */

/* With the lock held. */
static void change_state(struct proxy *proxy, enum proxy_state state)
{
    proxy->state = state;
    proxy->state_since = muster__proxy_now(proxy);
}

void muster__proxy_welcome(struct proxy *proxy)
{
    pthread_mutex_lock(&proxy->lock);
    enum muster_status status = muster__proxy_send_welcome(proxy);
    muster__window_greet(&proxy->upload.window, muster__proxy_now(proxy));
    if (proxy->state == PROXY_ARRIVED)
        change_state(proxy, PROXY_ADMITTED);
    pthread_mutex_unlock(&proxy->lock);
    if (status == MUSTER_OUT_OF_MEMORY)
        muster__proxy_end(proxy, status, NULL, status, "the server is out of memory");
}

void muster__proxy_open(struct proxy *proxy)
{
    pthread_mutex_lock(&proxy->lock);
    bool opens = proxy->state != PROXY_CLOSED;
    if (opens) {
        change_state(proxy, PROXY_OPEN);
        muster__proxy_stop_timer(proxy);
        if (!proxy->original)
            muster__window_reply(&proxy->upload.window, muster__proxy_now(proxy));
    }
    pthread_mutex_unlock(&proxy->lock);
    if (!opens)
        return;
    proxy->joined = true;
    muster__registry_list(&proxy->manager->registry, &proxy->place, 0, NULL);
    muster__manager_event(proxy, PARTICIPANT_MANAGER_JOINED, MUSTER_OK, "");
}

void muster__proxy_go_away(struct proxy *proxy)
{
    proxy->connection = NULL;
    proxy->stream = NULL;
    change_state(proxy, PROXY_AWAY);
    proxy->away_until =
        muster__transport_after(proxy->manager->transport, proxy->manager->options.session_grace_ms);
    arm_timer(proxy);
}

void muster__proxy_come_back(struct proxy *proxy, struct connection *connection)
{
    proxy->connections++;
    proxy->connection = connection;
    proxy->stream = connection->stream;
    change_state(proxy, PROXY_OPEN);
    proxy->away_until = INT64_MAX;
    arm_timer(proxy);
}

/* The last change; returns the running turn, as muster__proxy_take_turn(). With the lock held. */
static struct turn *shut(struct proxy *proxy, enum muster_status closed_status, const char *text)
{
    change_state(proxy, PROXY_CLOSED);
    proxy->closed_status = closed_status;
    proxy->closed_text = strdup(text);
    proxy->away_until = INT64_MAX;
    return muster__proxy_take_turn(proxy);
}

struct turn *muster__proxy_go_for_good(struct proxy *proxy, enum muster_status closed_status,
                                       const char *text)
{
    struct turn *turn = proxy->state == PROXY_CLOSED ? NULL : shut(proxy, closed_status, text);
    proxy->connection = NULL;
    proxy->stream = NULL;
    muster__proxy_stop_timer(proxy);
    return turn;
}

enum proxy_state muster__proxy_receive(struct proxy *proxy, const struct connection *connection, size_t size)
{
    pthread_mutex_lock(&proxy->lock);
    enum proxy_state state = proxy->connection == connection ? proxy->state : PROXY_CLOSED;
    muster__proxy_heard(proxy, size);
    pthread_mutex_unlock(&proxy->lock);
    return state;
}

enum proxy_state muster__proxy_state(struct proxy *proxy, int64_t *left_ms)
{
    pthread_mutex_lock(&proxy->lock);
    enum proxy_state state = proxy->state;
    if (left_ms)
        *left_ms = proxy->away_until - muster__proxy_now(proxy);
    pthread_mutex_unlock(&proxy->lock);
    return state;
}

unsigned muster__proxy_lane(struct proxy *proxy)
{
    pthread_mutex_lock(&proxy->lock);
    struct stream *stream = proxy->stream;
    unsigned lane = stream && stream->ops->lane ? stream->ops->lane(stream) : 0;
    pthread_mutex_unlock(&proxy->lock);
    return lane;
}

enum muster_status muster__proxy_closed(const struct proxy *proxy, struct muster_error *error)
{
    return muster__error(error, proxy->closed_status, "%s",
                         proxy->closed_text ? proxy->closed_text : muster_status_text(proxy->closed_status));
}

/* ---- the end ---- */

void muster__proxy_retire(struct proxy *proxy, enum muster_status status, const char *text)
{
    muster__manager_event(proxy, proxy->joined ? PARTICIPANT_MANAGER_LEFT : PARTICIPANT_MANAGER_REFUSED,
                          status, text);
    proxy_release(proxy);
}

/* As muster__proxy_end(), or only if it is away; whether the end has begun here. */
static bool begin_end(struct proxy *proxy, bool only_away, enum muster_status closed_status,
                      struct buffer *last, enum muster_status status, const char *text)
{
    struct participant_manager *manager = proxy->manager;
    struct turn *turn = NULL;
    pthread_mutex_lock(&proxy->lock);
    bool begins = only_away ? proxy->state == PROXY_AWAY : proxy->state != PROXY_CLOSED;
    bool connected = proxy->stream;
    if (begins)
        turn = shut(proxy, closed_status, text);
    if (begins && connected) {
        if (last)
            muster__proxy_send(proxy, NULL, 0, last);
        proxy->stream->ops->close(proxy->stream, status, text);
        /* A participant that does not read cannot hold its stream open for ever. */
        muster__proxy_start_timer(proxy, manager->options.stop_timeout_ms);
    } else if (begins) {
        /* No end of a stream will follow: a stop is to wait for this. */
        muster__drain_add(&manager->drain);
        muster__proxy_stop_timer(proxy);
    }
    pthread_mutex_unlock(&proxy->lock);
    if (!begins)
        return false;
    muster__registry_withdraw(&manager->registry, &proxy->place);
    muster__proxy_end_turn(proxy, turn, closed_status, NULL, 0);
    if (connected)
        return true;
    muster__proxy_retire(proxy, closed_status, text);
    muster__drain_done(&manager->drain);
    return true;
}

void muster__proxy_end(struct proxy *proxy, enum muster_status closed_status, struct buffer *last,
                       enum muster_status status, const char *text)
{
    begin_end(proxy, false, closed_status, last, status, text);
}

bool muster__proxy_end_away(struct proxy *proxy, const char *text)
{
    return begin_end(proxy, true, MUSTER_GONE, NULL, MUSTER_GONE, text);
}

void muster__proxy_misbehaved(struct proxy *proxy, const char *text)
{
    muster__proxy_end(proxy, MUSTER_PROTOCOL, NULL, MUSTER_PROTOCOL, text);
}

enum muster_status muster__reconnect_in(int32_t seconds, struct buffer **body, struct muster_error *error)
{
    const struct muster_message message = {.kind = MUSTER_RECONNECT, .reconnect_seconds = seconds};
    const struct encoding encoding = {.max_message_size = SIZE_MAX};
    if (seconds < 0)
        return muster__error(error, MUSTER_INVALID, "nobody can come back in %d seconds", (int)seconds);
    return muster__encode(TO_PARTICIPANT, &message, &encoding, body, error);
}

enum muster_status proxy_reconnect_in(struct proxy *proxy, int32_t seconds, struct muster_error *error)
{
    struct buffer *body;
    enum muster_status status = muster__reconnect_in(seconds, &body, error);
    if (status != MUSTER_OK)
        return status;
    pthread_mutex_lock(&proxy->lock);
    status = proxy->state == PROXY_CLOSED
                 ? muster__proxy_named(proxy, muster__proxy_closed(proxy, error), error)
                 : MUSTER_OK;
    pthread_mutex_unlock(&proxy->lock);
    if (status == MUSTER_OK)
        muster__proxy_end(proxy, MUSTER_CLOSED, body, MUSTER_OK,
                          "the server asked this participant to come back later");
    muster__buffer_release(body);
    return status;
}

void proxy_close(struct proxy *proxy)
{
    muster__proxy_end(proxy, MUSTER_CLOSED, NULL, MUSTER_OK, "the server closed this participant's stream");
}

/* ---- what is known of the participant ---- */

enum muster_status muster__proxy_named(const struct proxy *proxy, enum muster_status status,
                                       struct muster_error *error)
{
    char text[MUSTER_ERROR_TEXT_SIZE];
    if (status == MUSTER_OK || !error)
        return status;
    memcpy(text, error->text, sizeof(text));
    return muster__error(error, status, "%.64s: %s", proxy_name(proxy), text);
}

struct participant_manager *muster__proxy_manager(const struct proxy *proxy)
{
    return proxy->manager;
}

struct place *muster__proxy_place(struct proxy *proxy)
{
    return &proxy->place;
}

bool muster__proxy_takes_chunks(const struct proxy *proxy)
{
    return proxy->takes.max_payload_size > 0;
}

const char *proxy_name(const struct proxy *proxy)
{
    return proxy->place.name ? proxy->place.name : "";
}

uint64_t proxy_rank(const struct proxy *proxy)
{
    return proxy->place.rank;
}

const char *proxy_peer(const struct proxy *proxy)
{
    return proxy->peer;
}

const char *proxy_label(const struct proxy *proxy, const char *name)
{
    const struct introduction *introduction = proxy->introduction;
    if (!introduction)
        return NULL;
    const char *at = introduction->bytes + introduction->token_size;
    for (size_t i = 0; i < introduction->label_count; i++) {
        const char *value = at + strlen(at) + 1;
        if (strcmp(at, name) == 0)
            return value;
        at = value + strlen(value) + 1;
    }
    return NULL;
}

void *proxy_user(const struct proxy *proxy)
{
    return proxy->user;
}

bool proxy_is_open(struct proxy *proxy)
{
    return muster__proxy_state(proxy, NULL) == PROXY_OPEN;
}

double proxy_progress(struct proxy *proxy)
{
    pthread_mutex_lock(&proxy->lock);
    double progress = proxy->progress;
    pthread_mutex_unlock(&proxy->lock);
    return progress;
}
