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
#include "status.h"

/* A Hello is kept for its labels: it must be small. */
#define HELLO_SIZE_MAX 16384

static struct muster_transport *transport_of(const struct proxy *proxy)
{
    return proxy->manager->transport;
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

/* ---- the timer: one for whatever the state waits for. All with the lock held but the expiry. ---- */

static void timer_expired(struct timer *timer);

static void stop_timer(struct proxy *proxy)
{
    proxy->deadline = INT64_MAX;
    if (!muster__timer_stop(transport_of(proxy), &proxy->timer))
        return;
    atomic_fetch_sub(&proxy->references, 1); /* never the last: whoever holds the lock has one */
    /* Never what a stop waits for last: the turn, or the end of the stream, is still to be told. */
    atomic_fetch_sub(&proxy->manager->pending, 1);
}

static void start_timer(struct proxy *proxy, int64_t limit_ms)
{
    stop_timer(proxy);
    proxy->deadline = muster__transport_after(transport_of(proxy), limit_ms);
    if (proxy->deadline == INT64_MAX)
        return;
    proxy_retain(proxy);
    atomic_fetch_add(&proxy->manager->pending, 1);
    muster__timer_start(transport_of(proxy), &proxy->timer, proxy->deadline, timer_expired);
}

/* ---- the ends of turns ---- */

static struct turn *take_turn(struct proxy *proxy)
{
    struct turn *turn = proxy->running;
    proxy->running = NULL;
    if (turn)
        stop_timer(proxy);
    return turn;
}

static void end_turn(struct proxy *proxy, struct turn *turn, enum muster_status status,
                     struct muster_message *answer, size_t answer_size)
{
    struct muster_message nothing = MUSTER_MESSAGE_INIT;
    struct participant_manager *manager = proxy->manager;
    turn->ended(turn, proxy, status, answer ? answer : &nothing, answer_size);
    muster__manager_done(manager);
}

/* With the lock held; NULL when no turn is running. */
static struct turn *give_up(struct proxy *proxy)
{
    struct turn *turn = take_turn(proxy);
    if (!turn)
        return NULL;
    proxy->given_up = true;
    if (proxy->stream->ops->revoke(proxy->stream, proxy->instruction)) {
        /* It never left: a participant that does not read costs the memory of one instruction, not of each.
         */
    } else if (proxy->original) {
        proxy->owed++; /* it cannot be told */
    } else {
        uint8_t head[STREAM_HEAD_MAX];
        size_t head_size = muster__encode_turn(TO_PARTICIPANT, proxy->turn, head);
        /* Should this fail, the participant finds out when its answer is dropped. */
        proxy->stream->ops->send(proxy->stream, head, head_size, proxy->manager->cancel);
    }
    return turn;
}

void muster__proxy_give_up(struct proxy *proxy, const struct turn *turn, enum muster_status status)
{
    struct turn *taken = NULL;
    pthread_mutex_lock(&proxy->lock);
    if (!turn || proxy->running == turn)
        taken = give_up(proxy);
    pthread_mutex_unlock(&proxy->lock);
    if (taken)
        end_turn(proxy, taken, status, NULL, 0);
}

void muster__proxy_end(struct proxy *proxy, enum muster_status closed_status, struct buffer *last,
                       enum muster_status status, const char *text)
{
    struct turn *turn = NULL;
    pthread_mutex_lock(&proxy->lock);
    bool begins = proxy->state != PROXY_CLOSED;
    if (begins) {
        proxy->state = PROXY_CLOSED;
        proxy->closed_status = closed_status;
        turn = take_turn(proxy);
        if (last)
            proxy->stream->ops->send(proxy->stream, NULL, 0, last);
        proxy->stream->ops->close(proxy->stream, status, text);
        /* A participant that does not read cannot hold its stream open for ever. */
        start_timer(proxy, proxy->manager->options.stop_timeout_ms);
    }
    pthread_mutex_unlock(&proxy->lock);
    if (!begins)
        return;
    muster__manager_withdraw(proxy);
    if (turn)
        end_turn(proxy, turn, closed_status, NULL, 0);
}

static void timer_expired(struct timer *timer)
{
    struct proxy *proxy = CONTAINER(timer, struct proxy, timer);
    struct participant_manager *manager = proxy->manager;
    struct turn *turn = NULL;
    bool joins_late = false;
    pthread_mutex_lock(&proxy->lock);
    /* The wait that this timer was for may have ended, and another may have begun, since it was taken off. */
    if (proxy->deadline <= transport_of(proxy)->ops->now(transport_of(proxy))) {
        joins_late = proxy->state == PROXY_ARRIVED || proxy->state == PROXY_ADMITTED;
        if (proxy->state == PROXY_OPEN)
            turn = give_up(proxy);
        else if (proxy->state == PROXY_CLOSED && proxy->stream)
            proxy->stream->ops->cut(proxy->stream);
    }
    pthread_mutex_unlock(&proxy->lock);
    if (turn)
        end_turn(proxy, turn, MUSTER_TIMEOUT, NULL, 0);
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

static void protocol_error(struct proxy *proxy, const char *text)
{
    muster__proxy_end(proxy, MUSTER_PROTOCOL, NULL, MUSTER_PROTOCOL, text);
}

static void send_welcome(struct proxy *proxy)
{
    Muster__Welcome welcome = MUSTER__WELCOME__INIT;
    welcome.rank = proxy->rank;
    welcome.name = proxy->name;
    welcome.max_message_size = proxy->manager->options.max_message_size;
    struct buffer *body = muster__encode_welcome(&welcome);
    pthread_mutex_lock(&proxy->lock);
    enum muster_status status = MUSTER_OUT_OF_MEMORY;
    if (proxy->state == PROXY_CLOSED) {
        status = MUSTER_OK; /* its end has begun meanwhile: nobody is welcome */
    } else if (body) {
        status = proxy->stream->ops->send(proxy->stream, NULL, 0, body);
        proxy->state = PROXY_ADMITTED;
    }
    pthread_mutex_unlock(&proxy->lock);
    muster__buffer_release(body);
    if (status == MUSTER_OUT_OF_MEMORY)
        muster__proxy_end(proxy, status, NULL, status, "the server is out of memory");
}

static bool admit(struct proxy *proxy, const char *name)
{
    struct muster_error error = {MUSTER_OK, ""};
    enum muster_status status = muster__manager_admit(proxy, name, &error);
    if (status != MUSTER_OK)
        muster__proxy_end(proxy, status, NULL, status, error.text);
    return status == MUSTER_OK;
}

/* The participant passes the initiative: from here on it can be given instructions. */
static void open_proxy(struct proxy *proxy)
{
    pthread_mutex_lock(&proxy->lock);
    bool opens = proxy->state != PROXY_CLOSED;
    if (opens) {
        proxy->state = PROXY_OPEN;
        stop_timer(proxy);
    }
    pthread_mutex_unlock(&proxy->lock);
    if (!opens)
        return;
    proxy->joined = true;
    muster__manager_list(proxy);
    muster__manager_event(proxy, PARTICIPANT_MANAGER_JOINED, MUSTER_OK, "");
}

static void first_message(struct proxy *proxy, struct envelope *envelope, size_t size)
{
    if (envelope->content == CONTENT_HELLO && size > HELLO_SIZE_MAX) {
        protocol_error(proxy, "Hello is bigger than 16 KiB");
    } else if (envelope->content == CONTENT_HELLO) {
        proxy->hello = *envelope;
        *envelope = (struct envelope){.content = CONTENT_MESSAGE};
        const Muster__Hello *hello = proxy->hello.hello;
        if (hello->max_message_size && hello->max_message_size < proxy->max_message_size)
            proxy->max_message_size = (size_t)hello->max_message_size;
        if (admit(proxy, hello->name))
            send_welcome(proxy);
    } else if (envelope->content == CONTENT_MESSAGE && envelope->message.kind == MUSTER_EMPTY &&
               !envelope->turn) {
        proxy->original = true;
        if (admit(proxy, ""))
            open_proxy(proxy);
    } else {
        protocol_error(proxy, "the first message is to be Hello, or an empty one");
    }
}

static enum muster_status status_of_answer(enum muster_kind instruction, enum muster_kind answer)
{
    if (answer == MUSTER_FAILURE)
        return MUSTER_REFUSED;
    if (answer == MUSTER_UNKNOWN)
        return MUSTER_UNKNOWN_INSTRUCTION;
    return answer == instruction ? MUSTER_OK : MUSTER_PROTOCOL;
}

enum reply { REPLY_ANSWERS, REPLY_LATE, REPLY_UNASKED };

/* What a message from an open participant is to the turns so far. With the lock held. */
static enum reply classify(struct proxy *proxy, uint64_t turn)
{
    if (proxy->original) {
        if (turn != 0)
            return REPLY_UNASKED;
        if (proxy->owed == 0)
            return proxy->running ? REPLY_ANSWERS : REPLY_UNASKED;
        proxy->owed--;
        return REPLY_LATE;
    }
    if (turn == proxy->turn && proxy->running)
        return REPLY_ANSWERS;
    if (turn > 0 && (turn < proxy->turn || (turn == proxy->turn && proxy->given_up)))
        return REPLY_LATE;
    return REPLY_UNASKED;
}

static void answer_message(struct proxy *proxy, struct envelope *envelope, size_t size)
{
    struct turn *turn = NULL;
    pthread_mutex_lock(&proxy->lock);
    enum reply reply = classify(proxy, envelope->turn);
    if (reply == REPLY_ANSWERS) {
        turn = take_turn(proxy);
        proxy->stream->ops->hold(proxy->stream);
    }
    pthread_mutex_unlock(&proxy->lock);
    if (turn)
        end_turn(proxy, turn, status_of_answer(turn->kind, envelope->message.kind), &envelope->message, size);
    else if (reply == REPLY_UNASKED)
        protocol_error(proxy, "an answer without an instruction");
}

static void progress_message(struct proxy *proxy, const struct envelope *envelope)
{
    pthread_mutex_lock(&proxy->lock);
    bool current = proxy->running && envelope->turn == proxy->turn;
    if (current)
        proxy->progress = envelope->progress;
    pthread_mutex_unlock(&proxy->lock);
    if (current)
        muster__manager_event(proxy, PARTICIPANT_MANAGER_PROGRESS, MUSTER_OK, "");
}

static void message_received(void *context, const uint8_t *data, size_t size)
{
    struct proxy *proxy = context;
    struct envelope envelope;
    struct muster_error error;
    enum muster_status status = muster__decode(TO_SERVER, data, size, &envelope, &error);
    pthread_mutex_lock(&proxy->lock);
    enum proxy_state state = proxy->state;
    pthread_mutex_unlock(&proxy->lock);

    bool empty = envelope.content == CONTENT_MESSAGE && envelope.message.kind == MUSTER_EMPTY;
    if (status != MUSTER_OK)
        muster__proxy_end(proxy, status, NULL, status, error.text);
    else if (state == PROXY_ARRIVED)
        first_message(proxy, &envelope, size);
    else if (state == PROXY_ADMITTED && empty)
        open_proxy(proxy);
    else if (state == PROXY_ADMITTED)
        protocol_error(proxy, "the message after Hello is to be empty: it passes the initiative");
    else if (state == PROXY_OPEN && envelope.content == CONTENT_MESSAGE)
        answer_message(proxy, &envelope, size);
    else if (state == PROXY_OPEN && envelope.content == CONTENT_PROGRESS)
        progress_message(proxy, &envelope);
    else if (state == PROXY_OPEN)
        protocol_error(proxy, "a second Hello");
    muster__envelope_clear(&envelope);
}

static void stream_closed(void *context, enum muster_status status, const char *text)
{
    struct proxy *proxy = context;
    struct turn *turn = NULL;
    pthread_mutex_lock(&proxy->lock);
    struct stream *stream = proxy->stream;
    proxy->stream = NULL;
    if (proxy->state != PROXY_CLOSED) {
        proxy->state = PROXY_CLOSED;
        proxy->closed_status = status == MUSTER_TOO_BIG ? MUSTER_TOO_BIG : MUSTER_GONE;
        turn = take_turn(proxy);
    }
    stop_timer(proxy);
    enum muster_status closed_status = proxy->closed_status;
    pthread_mutex_unlock(&proxy->lock);
    stream->ops->release(stream);
    muster__manager_withdraw(proxy);
    if (turn)
        end_turn(proxy, turn, closed_status, NULL, 0);
    muster__manager_event(proxy, proxy->joined ? PARTICIPANT_MANAGER_LEFT : PARTICIPANT_MANAGER_REFUSED,
                          closed_status, text);
    proxy_release(proxy);
}

const struct stream_events muster__proxy_events = {
    .message = message_received,
    .closed = stream_closed,
};

struct proxy *muster__proxy_new(struct participant_manager *manager, struct stream *stream)
{
    struct proxy *proxy = calloc(1, sizeof(*proxy));
    char peer[128];
    stream->ops->peer(stream, peer, sizeof(peer));
    if (!proxy || !(proxy->peer = strdup(peer))) {
        free(proxy);
        return NULL;
    }
    atomic_init(&proxy->references, 1);
    atomic_fetch_add(&manager->references, 1);
    proxy->manager = manager;
    proxy->stream = stream;
    /* In no ring yet: the end may begin, by the timer, before the manager has put it into one. */
    proxy->in_streams = (struct link){&proxy->in_streams, &proxy->in_streams};
    proxy->in_open = (struct link){&proxy->in_open, &proxy->in_open};
    proxy->max_message_size = manager->options.max_message_size;
    pthread_mutex_init(&proxy->lock, NULL);
    pthread_mutex_lock(&proxy->lock);
    start_timer(proxy, manager->options.join_timeout_ms);
    pthread_mutex_unlock(&proxy->lock);
    return proxy;
}

/* ---- turns ---- */

enum muster_status muster__proxy_encode(struct participant_manager *manager,
                                        const struct muster_message *instruction, struct buffer **body)
{
    *body = NULL;
    if (instruction->kind == MUSTER_RECONNECT)
        return MUSTER_INVALID; /* it has no answer: proxy_reconnect_in() */
    return muster__encode(TO_PARTICIPANT, instruction, manager->options.max_message_size, body);
}

enum muster_status muster__proxy_begin(struct proxy *proxy, struct turn *turn, struct buffer *body,
                                       int64_t timeout_ms)
{
    enum muster_status status = MUSTER_OK;
    atomic_fetch_add(&proxy->manager->pending, 1);
    pthread_mutex_lock(&proxy->lock);
    if (proxy->state == PROXY_CLOSED) {
        status = proxy->closed_status;
    } else if (proxy->state != PROXY_OPEN) {
        status = MUSTER_INVALID; /* in admit() and factory(): the initiative is still the participant's */
    } else if (proxy->running) {
        status = MUSTER_BUSY;
    } else if (proxy->original && turn->kind != MUSTER_TRAIN) {
        status = MUSTER_UNKNOWN_INSTRUCTION;
    } else if (body->size + STREAM_HEAD_MAX > proxy->max_message_size) {
        status = MUSTER_TOO_BIG;
    } else {
        uint8_t head[STREAM_HEAD_MAX];
        size_t head_size = proxy->original ? 0 : muster__encode_turn(TO_PARTICIPANT, proxy->turn + 1, head);
        status = proxy->stream->ops->send(proxy->stream, head, head_size, body);
        if (status == MUSTER_CLOSED)
            status = MUSTER_GONE; /* it ended, and we are about to be told */
    }
    if (status == MUSTER_OK) {
        proxy->running = turn;
        proxy->instruction = body;
        proxy->turn++;
        proxy->given_up = false;
        proxy->progress = 0;
        start_timer(proxy, timeout_ms);
    }
    pthread_mutex_unlock(&proxy->lock);
    if (status != MUSTER_OK)
        muster__manager_done(proxy->manager);
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
    blocking->answer = *answer;
    *answer = (struct muster_message)MUSTER_MESSAGE_INIT;
    sem_post(&blocking->ended);
}

enum muster_status proxy_run(struct proxy *proxy, const struct muster_message *instruction,
                             struct muster_message *answer)
{
    struct blocking_turn blocking = {.turn = {instruction->kind, blocking_turn_ended},
                                     .answer = MUSTER_MESSAGE_INIT};
    sem_init(&blocking.ended, 0, 0);
    struct buffer *body;
    enum muster_status status = muster__proxy_encode(proxy->manager, instruction, &body);
    if (status == MUSTER_OK)
        status = muster__proxy_begin(proxy, &blocking.turn, body, proxy->manager->options.turn_timeout_ms);
    muster__buffer_release(body);
    if (status == MUSTER_OK) {
        /* The turn's timer and the end of the stream bound this wait; signals only interrupt it. */
        while (sem_wait(&blocking.ended) != 0)
            ;
        status = blocking.status;
    }
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
    *async = (struct async_turn){{instruction->kind, async_turn_ended}, answered, context};
    struct buffer *body;
    enum muster_status status = muster__proxy_encode(proxy->manager, instruction, &body);
    if (status == MUSTER_OK)
        status = muster__proxy_begin(proxy, &async->turn, body, timeout_ms);
    muster__buffer_release(body);
    if (status != MUSTER_OK)
        free(async);
    return status;
}

void proxy_cancel(struct proxy *proxy)
{
    muster__proxy_give_up(proxy, NULL, MUSTER_CANCELLED);
}

enum muster_status proxy_reconnect_in(struct proxy *proxy, int32_t seconds)
{
    if (seconds < 0)
        return MUSTER_INVALID;
    struct muster_message message = {.kind = MUSTER_RECONNECT, .reconnect_seconds = seconds};
    struct buffer *body;
    enum muster_status status = muster__encode(TO_PARTICIPANT, &message, SIZE_MAX, &body);
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
