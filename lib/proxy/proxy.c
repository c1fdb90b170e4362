/*
 * The proxy: turns with one participant. A turn is in proxy->running from its beginning until somebody takes
 * it out, under the lock: the answer, the time limit, a cancel, or the end of the stream. Whoever took it
 * ends it; that is why it ends exactly once.
 */
#include <config.h>

#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/internal.h"

static struct muster_transport *transport_of(const struct proxy *proxy)
{
    return proxy->manager->transport;
}

int64_t muster__proxy_now(const struct proxy *proxy)
{
    return transport_of(proxy)->ops->now(transport_of(proxy));
}

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
    if (proxy->has_user && manager->options.destroy)
        manager->options.destroy(manager->options.context, proxy->user);
    muster__envelope_clear(&proxy->hello);
    free(proxy->name);
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

static void timer_expired(struct timer *timer);

/* Lets the timer run until the earlier deadline. */
void muster__proxy_arm_timer(struct proxy *proxy)
{
    int64_t at = proxy->deadline < proxy->away_until ? proxy->deadline : proxy->away_until;
    if (muster__timer_stop(transport_of(proxy), &proxy->timer)) {
        atomic_fetch_sub(&proxy->references, 1); /* never the last: whoever holds the lock has one */
        /* Never what a stop waits for last: the turn, or the end, is still to be told. */
        atomic_fetch_sub(&proxy->manager->pending, 1);
    }
    if (at == INT64_MAX)
        return;
    proxy_retain(proxy);
    atomic_fetch_add(&proxy->manager->pending, 1);
    muster__timer_start(transport_of(proxy), &proxy->timer, at, timer_expired);
}

void muster__proxy_stop_timer(struct proxy *proxy)
{
    proxy->deadline = INT64_MAX;
    muster__proxy_arm_timer(proxy);
}

void muster__proxy_start_timer(struct proxy *proxy, int64_t limit_ms)
{
    proxy->deadline = muster__transport_after(transport_of(proxy), limit_ms);
    muster__proxy_arm_timer(proxy);
}

/* ---- the ends of turns ---- */

struct turn *muster__proxy_take_turn(struct proxy *proxy)
{
    struct turn *turn = proxy->running;
    proxy->running = NULL;
    if (!turn)
        return NULL;
    muster__proxy_stop_timer(proxy);
    turn->arrived = muster__proxy_end_upload(proxy);
    muster__outgoing_begin(&proxy->outgoing, NULL, 0);
    muster__buffer_release(proxy->instruction);
    proxy->instruction = NULL;
    return turn;
}

void muster__proxy_end_turn(struct proxy *proxy, struct turn *turn, enum muster_status status,
                            struct muster_message *answer, size_t answer_size)
{
    struct muster_message nothing = MUSTER_MESSAGE_INIT;
    struct participant_manager *manager = proxy->manager;
    muster_message_clear(&turn->arrived);
    turn->ended(turn, proxy, status, answer ? answer : &nothing, answer_size);
    muster__uploads_serve(&manager->uploads);
    muster__manager_done(manager);
}

void muster__proxy_send_cancel(struct proxy *proxy)
{
    uint8_t head[STREAM_HEAD_MAX];
    size_t head_size = muster__encode_turn(TO_PARTICIPANT, proxy->turn, head);
    proxy->stream->ops->send(proxy->stream, head, head_size, proxy->manager->cancel);
}

struct turn *muster__proxy_give_up(struct proxy *proxy)
{
    const struct buffer *instruction = proxy->instruction;
    struct turn *turn = muster__proxy_take_turn(proxy);
    if (!turn)
        return NULL;
    proxy->given_up = true;
    if (!proxy->stream) {
        /* It is away, and will be told when it comes back. */
    } else if (proxy->stream->ops->revoke(proxy->stream, instruction)) {
        /* It never left: a participant that does not read costs the memory of one instruction, not of each.
         */
    } else if (proxy->original) {
        proxy->owed++; /* it cannot be told */
    } else {
        muster__proxy_send_cancel(proxy);
    }
    return turn;
}

void muster__proxy_cancel(struct proxy *proxy, const struct turn *turn)
{
    struct turn *taken = NULL;
    pthread_mutex_lock(&proxy->lock);
    if (!turn || proxy->running == turn)
        taken = muster__proxy_give_up(proxy);
    pthread_mutex_unlock(&proxy->lock);
    if (taken)
        muster__proxy_end_turn(proxy, taken, MUSTER_CANCELLED, NULL, 0);
}

void muster__proxy_retire(struct proxy *proxy, enum muster_status status, const char *text)
{
    muster__manager_event(proxy, proxy->joined ? PARTICIPANT_MANAGER_LEFT : PARTICIPANT_MANAGER_REFUSED,
                          status, text);
    proxy_release(proxy);
}

void muster__proxy_end(struct proxy *proxy, enum muster_status closed_status, struct buffer *last,
                       enum muster_status status, const char *text)
{
    struct participant_manager *manager = proxy->manager;
    struct turn *turn = NULL;
    pthread_mutex_lock(&proxy->lock);
    bool begins = proxy->state != PROXY_CLOSED;
    bool connected = proxy->stream;
    if (begins) {
        proxy->state = PROXY_CLOSED;
        proxy->closed_status = closed_status;
        proxy->away_until = INT64_MAX;
        turn = muster__proxy_take_turn(proxy);
    }
    if (begins && connected) {
        if (last)
            proxy->stream->ops->send(proxy->stream, NULL, 0, last);
        proxy->stream->ops->close(proxy->stream, status, text);
        /* A participant that does not read cannot hold its stream open for ever. */
        muster__proxy_start_timer(proxy, manager->options.stop_timeout_ms);
    } else if (begins) {
        muster__proxy_stop_timer(proxy);
        /* No end of a stream will follow: a stop is to wait for this. */
        atomic_fetch_add(&manager->pending, 1);
        atomic_fetch_add(&manager->references, 1);
    }
    pthread_mutex_unlock(&proxy->lock);
    if (!begins)
        return;
    muster__manager_withdraw(proxy);
    if (turn)
        muster__proxy_end_turn(proxy, turn, closed_status, NULL, 0);
    if (connected)
        return;
    muster__proxy_retire(proxy, closed_status, text);
    muster__manager_done(manager);
    muster__manager_release(manager);
}

static void timer_expired(struct timer *timer)
{
    struct proxy *proxy = CONTAINER(timer, struct proxy, timer);
    struct participant_manager *manager = proxy->manager;
    struct turn *turn = NULL;
    bool joins_late = false;
    pthread_mutex_lock(&proxy->lock);
    /* The wait that this timer was for may have ended, and another may have begun, since it was taken off. */
    int64_t now = muster__proxy_now(proxy);
    bool lost = proxy->away_until <= now;
    if (!lost && proxy->deadline <= now) {
        joins_late = proxy->state == PROXY_ARRIVED || proxy->state == PROXY_ADMITTED;
        if (proxy->state == PROXY_OPEN || proxy->state == PROXY_AWAY)
            turn = muster__proxy_give_up(proxy);
        else if (proxy->state == PROXY_CLOSED && proxy->stream)
            proxy->stream->ops->cut(proxy->stream);
    }
    pthread_mutex_unlock(&proxy->lock);
    if (turn)
        muster__proxy_end_turn(proxy, turn, MUSTER_TIMEOUT, NULL, 0);
    if (lost)
        muster__proxy_end(proxy, MUSTER_GONE, NULL, MUSTER_GONE,
                          "the connection broke, and the participant has not come back");
    if (joins_late)
        muster__proxy_end(
            proxy, MUSTER_TIMEOUT, NULL, MUSTER_TIMEOUT,
            "no message that passes the initiative came in time: send Hello, then an empty message");
    /* This may be the last reference: the user's object goes with it, and a stop is to wait for that. */
    atomic_fetch_add(&manager->references, 1);
    proxy_release(proxy);
    muster__manager_done(manager);
    muster__manager_release(manager);
}

/* ---- what comes in ---- */

void muster__proxy_misbehaved(struct proxy *proxy, const char *text)
{
    muster__proxy_end(proxy, MUSTER_PROTOCOL, NULL, MUSTER_PROTOCOL, text);
}

void muster__proxy_open(struct proxy *proxy)
{
    pthread_mutex_lock(&proxy->lock);
    bool opens = proxy->state != PROXY_CLOSED;
    if (opens) {
        proxy->state = PROXY_OPEN;
        muster__proxy_stop_timer(proxy);
    }
    pthread_mutex_unlock(&proxy->lock);
    if (!opens)
        return;
    proxy->joined = true;
    muster__manager_list(proxy, 0, NULL);
    muster__manager_event(proxy, PARTICIPANT_MANAGER_JOINED, MUSTER_OK, "");
}

void muster__proxy_sent(struct connection *connection)
{
    struct proxy *proxy = connection->proxy;
    pthread_mutex_lock(&proxy->lock);
    if (proxy->connection == connection) {
        proxy->outgoing.on_wire = false;
        if (proxy->state == PROXY_OPEN)
            muster__outgoing_next(&proxy->outgoing, TO_PARTICIPANT, proxy->stream);
    }
    pthread_mutex_unlock(&proxy->lock);
}

/* ---- sending an instruction ---- */

enum muster_status muster__proxy_send_instruction(struct proxy *proxy, struct buffer *body, uint64_t turn)
{
    uint8_t head[STREAM_HEAD_MAX];
    size_t head_size = 0;
    if (!proxy->original)
        head_size = muster__encode_instruction_head(turn, muster__proxy_reserve(proxy, body), head);
    enum muster_status status = proxy->stream->ops->send(proxy->stream, head, head_size, body);
    if (status == MUSTER_OK) {
        proxy->outgoing.max_message_size = proxy->max_message_size;
        muster__outgoing_begin(&proxy->outgoing, body, turn);
        muster__outgoing_start(&proxy->outgoing, 0);
        muster__outgoing_next(&proxy->outgoing, TO_PARTICIPANT, proxy->stream);
    } else {
        muster__proxy_end_upload(proxy);
    }
    return status == MUSTER_CLOSED ? MUSTER_GONE : status; /* it ended, and we are about to be told */
}

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
    atomic_fetch_add(&manager->references, 1);
    proxy->manager = manager;
    proxy->connection = connection;
    proxy->stream = stream;
    /* In no ring yet: the end may begin, by the timer, before the manager has put it into one. */
    ring_init(&proxy->in_streams);
    ring_init(&proxy->in_open);
    ring_init(&proxy->upload.link);
    proxy->max_message_size = manager->options.max_message_size;
    proxy->away_until = INT64_MAX;
    pthread_mutex_init(&proxy->lock, NULL);
    pthread_mutex_lock(&proxy->lock);
    muster__proxy_start_timer(proxy, manager->options.join_timeout_ms);
    pthread_mutex_unlock(&proxy->lock);
    return proxy;
}

/* ---- turns ---- */

/* Why a turn cannot begin now; OK if it can. With the lock held. */
static enum muster_status may_begin(const struct proxy *proxy, const struct turn *turn,
                                    const struct buffer *body)
{
    if (proxy->state == PROXY_CLOSED)
        return proxy->closed_status;
    if (proxy->state != PROXY_OPEN && proxy->state != PROXY_AWAY)
        return MUSTER_INVALID; /* in admit() and factory(): the initiative is still the participant's */
    if (proxy->running)
        return MUSTER_BUSY;
    if (proxy->original && turn->kind != MUSTER_TRAIN)
        return MUSTER_UNKNOWN_INSTRUCTION;
    if (body->size + STREAM_HEAD_MAX > proxy->max_message_size ||
        (body->payload && body->payload->size > proxy->max_payload_size))
        return MUSTER_TOO_BIG;
    return MUSTER_OK;
}

enum muster_status muster__proxy_begin(struct proxy *proxy, struct turn *turn,
                                       struct instruction *instruction, int64_t timeout_ms, uint64_t *sent)
{
    struct buffer *body;
    enum muster_status status = muster__instruction_body(instruction, proxy->max_payload_size > 0, &body);
    if (status != MUSTER_OK)
        return status;
    atomic_fetch_add(&proxy->manager->pending, 1);
    pthread_mutex_lock(&proxy->lock);
    status = may_begin(proxy, turn, body);
    if (status == MUSTER_OK && proxy->stream) /* or else when it comes back */
        status = muster__proxy_send_instruction(proxy, body, proxy->turn + 1);
    if (status == MUSTER_GONE && muster__proxy_may_come_back(proxy, status))
        status = MUSTER_OK; /* the connection broke, and we are about to be told */
    if (status == MUSTER_OK) {
        proxy->running = turn;
        proxy->instruction = muster__buffer_retain(body);
        proxy->turn++;
        proxy->given_up = false;
        proxy->progress = 0;
        muster__proxy_start_timer(proxy, timeout_ms);
    }
    pthread_mutex_unlock(&proxy->lock);
    if (status != MUSTER_OK)
        muster__manager_done(proxy->manager);
    else if (sent)
        *sent = body->size + (body->payload ? body->payload->size : 0);
    return status;
}

/* A turn that a thread waits for; the semaphore, as whoever posts it keeps no lock that the one who wakes
 * wants. */
struct blocking_turn {
    struct turn turn;
    sem_t ended; /* posted when what follows is written */
    enum muster_status status;
    struct muster_message answer;
};

static void blocking_turn_ended(struct turn *turn, struct proxy *proxy, enum muster_status status,
                                struct muster_message *answer, size_t answer_size)
{
    struct blocking_turn *blocking = (struct blocking_turn *)turn; /* its first member */
    (void)proxy;
    (void)answer_size;
    blocking->status = status;
    muster__payload_hand_over(answer);
    blocking->answer = *answer;
    *answer = (struct muster_message)MUSTER_MESSAGE_INIT;
    sem_post(&blocking->ended);
}

enum muster_status proxy_run(struct proxy *proxy, const struct muster_message *instruction,
                             struct muster_message *answer)
{
    struct blocking_turn blocking = {.turn = {.kind = instruction->kind, .ended = blocking_turn_ended},
                                     .answer = MUSTER_MESSAGE_INIT};
    sem_t returned;
    struct instruction sending = {.manager = proxy->manager, .message = instruction, .borrow = &returned};
    sem_init(&blocking.ended, 0, 0);
    sem_init(&returned, 0, 0);
    atomic_fetch_add(&proxy->manager->pending, 1); /* a stop waits for the memory, too */
    enum muster_status status =
        muster__proxy_begin(proxy, &blocking.turn, &sending, proxy->manager->options.turn_timeout_ms, NULL);
    if (status == MUSTER_OK) {
        /* The turn's timer and the end of the stream bound this wait; signals only interrupt it. */
        while (sem_wait(&blocking.ended) != 0)
            ;
        status = blocking.status;
    }
    muster__instruction_return(&sending);
    muster__manager_done(proxy->manager);
    sem_destroy(&returned);
    sem_destroy(&blocking.ended);
    if (answer)
        *answer = blocking.answer;
    else
        muster_message_clear(&blocking.answer);
    return status;
}

struct async_turn {
    struct turn turn;
    proxy_answered *answered;
    void *context;
};

static void async_turn_ended(struct turn *turn, struct proxy *proxy, enum muster_status status,
                             struct muster_message *answer, size_t answer_size)
{
    struct async_turn async = *(struct async_turn *)turn; /* its first member */
    (void)answer_size;
    muster__payload_hand_over(answer);
    free(turn);
    struct muster_message taken = *answer;
    *answer = (struct muster_message)MUSTER_MESSAGE_INIT;
    async.answered(async.context, proxy, status, &taken);
}

enum muster_status proxy_run_async(struct proxy *proxy, const struct muster_message *instruction,
                                   int64_t timeout_ms, proxy_answered *answered, void *context)
{
    struct async_turn *async = malloc(sizeof(*async));
    if (!async)
        return MUSTER_OUT_OF_MEMORY;
    *async = (struct async_turn){{.kind = instruction->kind, .ended = async_turn_ended}, answered, context};
    struct instruction sending = {.manager = proxy->manager, .message = instruction};
    enum muster_status status = muster__proxy_begin(proxy, &async->turn, &sending, timeout_ms, NULL);
    muster__instruction_release(&sending);
    if (status != MUSTER_OK)
        free(async);
    return status;
}

void proxy_cancel(struct proxy *proxy)
{
    muster__proxy_cancel(proxy, NULL);
}

enum muster_status proxy_reconnect_in(struct proxy *proxy, int32_t seconds)
{
    if (seconds < 0)
        return MUSTER_INVALID;
    struct muster_message message = {.kind = MUSTER_RECONNECT, .reconnect_seconds = seconds};
    struct buffer *body;
    const struct encoding encoding = {.max_message_size = SIZE_MAX};
    enum muster_status status = muster__encode(TO_PARTICIPANT, &message, &encoding, &body);
    if (status != MUSTER_OK)
        return status;
    pthread_mutex_lock(&proxy->lock);
    status = proxy->state == PROXY_CLOSED ? proxy->closed_status : MUSTER_OK;
    pthread_mutex_unlock(&proxy->lock);
    if (status == MUSTER_OK)
        muster__proxy_end(proxy, MUSTER_CLOSED, body, MUSTER_OK, "come back later");
    muster__buffer_release(body);
    return status;
}

void proxy_close(struct proxy *proxy)
{
    muster__proxy_end(proxy, MUSTER_CLOSED, NULL, MUSTER_OK, "good-bye");
}

/* ---- what is known of the participant ---- */

const char *proxy_name(const struct proxy *proxy)
{
    return proxy->name ? proxy->name : "";
}

uint64_t proxy_rank(const struct proxy *proxy)
{
    return proxy->rank;
}

const char *proxy_peer(const struct proxy *proxy)
{
    return proxy->peer;
}

const char *proxy_label(const struct proxy *proxy, const char *name)
{
    const Muster__Hello *hello = proxy->hello.hello;
    for (size_t i = 0; hello && i < hello->n_labels; i++) {
        if (strcmp(hello->labels[i]->name, name) == 0)
            return hello->labels[i]->value;
    }
    return NULL;
}

void *proxy_user(const struct proxy *proxy)
{
    return proxy->user;
}

bool proxy_is_open(struct proxy *proxy)
{
    pthread_mutex_lock(&proxy->lock);
    bool open = proxy->state == PROXY_OPEN;
    pthread_mutex_unlock(&proxy->lock);
    return open;
}

double proxy_progress(struct proxy *proxy)
{
    pthread_mutex_lock(&proxy->lock);
    double progress = proxy->progress;
    pthread_mutex_unlock(&proxy->lock);
    return progress;
}

struct muster_transfer proxy_transfer(struct proxy *proxy)
{
    pthread_mutex_lock(&proxy->lock);
    const struct buffer *body = proxy->outgoing.body;
    struct muster_transfer transfer = {.sent = body ? proxy->outgoing.offset : 0,
                                       .to_send = body ? body->payload->size : 0,
                                       .received = proxy->upload.incoming.received,
                                       .to_receive = proxy->upload.incoming.size};
    pthread_mutex_unlock(&proxy->lock);
    return transfer;
}
