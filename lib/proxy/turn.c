/*
 * Turns with one participant: how one begins and ends, and what is heard of it meanwhile.
 *
 * A turn is in proxy->running from its beginning until somebody takes it out, under the lock: the answer, the
 * time limit, a cancel, or the end of the stream. Whoever took it ends it; that is why it ends exactly once.
 */
#include <config.h>

#include "proxy/internal.h"
#include "status.h"

/* ---- the beginning ---- */

enum muster_status muster__proxy_send_instruction(struct proxy *proxy, struct buffer *body, uint64_t turn)
{
    uint8_t head[STREAM_HEAD_MAX];
    size_t head_size = 0;
    if (!proxy->original) {
        uint64_t granted = muster__proxy_reserve(proxy, body);
        uint64_t limit = granted ? muster__window_open(&proxy->upload.window) : 0;
        head_size =
            muster__encode_instruction_head(turn, granted, limit, muster__proxy_tell_heartbeat(proxy), head);
    }
    enum muster_status status = muster__proxy_send(proxy, head, head_size, body);
    if (status == MUSTER_OK) {
        proxy->outgoing.max_message_size = proxy->takes.max_message_size;
        muster__outgoing_begin(&proxy->outgoing, body, turn);
        muster__outgoing_start(&proxy->outgoing, 0, 0);
        muster__proxy_send_chunk(proxy);
    } else {
        muster__proxy_end_upload(proxy);
    }
    return status == MUSTER_CLOSED ? MUSTER_GONE : status; /* it ended, and we are about to be told */
}

void muster__proxy_interrupt_instruction(struct proxy *proxy)
{
    muster__outgoing_begin(&proxy->outgoing, NULL, 0);
    proxy->outgoing.on_wire = false;
}

void muster__proxy_sent(struct connection *connection)
{
    struct proxy *proxy = connection->proxy;
    pthread_mutex_lock(&proxy->lock);
    if (proxy->connection == connection) {
        proxy->outgoing.on_wire = false;
        if (proxy->state == PROXY_OPEN)
            muster__proxy_send_chunk(proxy);
    }
    pthread_mutex_unlock(&proxy->lock);
}

/* Why a turn cannot begin now; OK if it can. With the lock held. */
static enum muster_status may_begin(const struct proxy *proxy, const struct turn *turn,
                                    const struct buffer *body, struct muster_error *error)
{
    if (proxy->state == PROXY_CLOSED)
        return muster__proxy_closed(proxy, error);
    if (proxy->state != PROXY_OPEN && proxy->state != PROXY_AWAY)
        return muster__error(error, MUSTER_INVALID,
                             "it has not joined yet: wait for the event, or call get_participants()");
    if (proxy->running)
        return muster__error(error, MUSTER_BUSY, "%s", muster_status_text(MUSTER_BUSY));
    if (proxy->original && turn->kind != MUSTER_TRAIN)
        return muster__error(error, MUSTER_UNKNOWN_INSTRUCTION,
                             "it speaks the original protocol, which knows MUSTER_TRAIN only");
    uint64_t chunks = body->payload ? body->payload->size : 0;
    if (body->size + STREAM_HEAD_MAX > proxy->takes.max_message_size ||
        chunks > proxy->takes.max_payload_size)
        return muster__error(error, MUSTER_TOO_BIG,
                             "the instruction has %llu bytes, and %llu in chunks: the participant's "
                             "max_message_size is %llu, and its max_payload_size %llu",
                             (unsigned long long)body->size, (unsigned long long)chunks,
                             (unsigned long long)proxy->takes.max_message_size,
                             (unsigned long long)proxy->takes.max_payload_size);
    return MUSTER_OK;
}

/* Tells of a turn. `milliseconds`: of its end. */
static void tell(struct proxy *proxy, enum participant_manager_event_kind kind, uint64_t number,
                 uint64_t round, enum muster_status status, int64_t milliseconds)
{
    const struct participant_manager_event event = {.kind = kind,
                                                    .proxy = proxy,
                                                    .status = status,
                                                    .text =
                                                        status == MUSTER_OK ? "" : muster_status_text(status),
                                                    .turn = number,
                                                    .round = round,
                                                    .milliseconds = milliseconds};
    muster__manager_tell(proxy->manager, &event);
}

enum muster_status muster__proxy_begin(struct proxy *proxy, struct turn *turn,
                                       struct instruction *instruction, int64_t timeout_ms, uint64_t *sent,
                                       struct muster_error *error)
{
    struct buffer *body;
    enum muster_status status =
        muster__instruction_body(instruction, muster__proxy_takes_chunks(proxy), &body, error);
    if (status != MUSTER_OK)
        return status;
    struct drain *drain = &proxy->manager->drain;
    uint64_t size = body->size + (body->payload ? body->payload->size : 0);
    uint64_t number = 0, round = turn->round;
    bool observed = muster__observers_any(&proxy->manager->observers);
    muster__drain_add(drain);
    pthread_mutex_lock(&proxy->lock);
    status = may_begin(proxy, turn, body, error);
    if (status == MUSTER_OK && proxy->stream) { /* or else when it comes back */
        if (turn->waited && muster__tend_begin(&proxy->tended, proxy->stream))
            turn->tended = proxy->tended;
        status = muster__proxy_send_instruction(proxy, body, proxy->turn + 1);
        if (status == MUSTER_GONE)
            status = MUSTER_OK; /* we are about to be told how it ended, and whether the turn ends so */
        if (status != MUSTER_OK)
            muster__error(error, status, "%s", muster_status_text(status));
    }
    if (status == MUSTER_OK) {
        proxy->running = turn;
        proxy->instruction = muster__buffer_retain(body);
        turn->number = number = ++proxy->turn;
        if (observed)
            muster__drain_add(drain); /* the turn may end, and all with it, before that is told */
        proxy->given_up = false;
        proxy->asked = false;
        muster__proxy_count_begin(proxy, turn, size);
        muster__proxy_start_timer(proxy, timeout_ms);
    }
    if (status != MUSTER_OK && turn->tended) {
        muster__tend_end(&proxy->tended);
        turn->tended = NULL;
    }
    pthread_mutex_unlock(&proxy->lock);
    if (status == MUSTER_OK && sent)
        *sent = size;
    if (status == MUSTER_OK && observed)
        tell(proxy, PARTICIPANT_MANAGER_TURN_BEGAN, number, round, MUSTER_OK, 0);
    if (status != MUSTER_OK || observed)
        muster__drain_done(drain);
    return status;
}

/* ---- meanwhile ---- */

enum reply muster__proxy_classify(struct proxy *proxy, uint64_t turn)
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

/* Moves the limit of the running turn, never back, and no further than a turn may last. With the lock
   held. */
static void extend(struct proxy *proxy)
{
    const struct participant_manager_options *options = &proxy->manager->options;
    int64_t limit_ms = options->progress_extends_ms;
    int64_t now = muster__proxy_now(proxy);
    int64_t left_ms = options->progress_extends_most_ms - (now - proxy->running->began_at);
    if (options->progress_extends_most_ms && left_ms < limit_ms)
        limit_ms = left_ms;
    if (limit_ms > 0 && proxy->deadline - now < limit_ms)
        muster__proxy_start_timer(proxy, limit_ms);
}

void muster__proxy_progress(struct connection *connection, struct envelope *envelope)
{
    struct proxy *proxy = connection->proxy;
    pthread_mutex_lock(&proxy->lock);
    bool current = proxy->connection == connection && proxy->running && envelope->turn == proxy->turn;
    if (current) {
        struct muster_message before = proxy->report;
        proxy->progress = envelope->progress;
        proxy->report = envelope->message;
        envelope->message = before; /* which is cleared without the lock */
        extend(proxy);
    }
    muster__connection_idled(connection);
    pthread_mutex_unlock(&proxy->lock);
    if (current)
        muster__manager_event(proxy, PARTICIPANT_MANAGER_PROGRESS, MUSTER_OK, "");
}

void proxy_report(struct proxy *proxy, struct muster_message *report)
{
    pthread_mutex_lock(&proxy->lock);
    *report = proxy->report;
    muster__storage_retain(report->storage);
    pthread_mutex_unlock(&proxy->lock);
}

/* Who asks again before it got its turn is not heard again. */
void muster__proxy_ask(struct connection *connection)
{
    struct proxy *proxy = connection->proxy;
    if (proxy->original) {
        muster__proxy_misbehaved(proxy, "a participant without Hello cannot ask for a turn");
        return;
    }
    pthread_mutex_lock(&proxy->lock);
    bool current = proxy->connection == connection && proxy->state == PROXY_OPEN;
    bool news = current && !proxy->asked;
    if (news)
        proxy->asked = true;
    else
        muster__connection_idled(connection);
    pthread_mutex_unlock(&proxy->lock);
    if (news)
        muster__manager_event(proxy, PARTICIPANT_MANAGER_ASKED, MUSTER_OK, "");
}

bool proxy_asked(struct proxy *proxy)
{
    pthread_mutex_lock(&proxy->lock);
    bool asked = proxy->asked && proxy->state != PROXY_CLOSED;
    pthread_mutex_unlock(&proxy->lock);
    return asked;
}

/* ---- a thread that waits ---- */

void muster__proxy_tend_end(struct proxy *proxy)
{
    pthread_mutex_lock(&proxy->lock);
    muster__tend_end(&proxy->tended);
    pthread_mutex_unlock(&proxy->lock);
}

void muster__proxy_rouse(struct proxy *proxy)
{
    pthread_mutex_lock(&proxy->lock);
    muster__tend_rouse(proxy->tended);
    pthread_mutex_unlock(&proxy->lock);
}

bool muster__proxy_is_about_wait(struct proxy *proxy, const struct connection *connection,
                                 const struct envelope *envelope)
{
    enum content content = envelope->content;
    pthread_mutex_lock(&proxy->lock);
    bool waited = proxy->connection == connection && proxy->state == PROXY_OPEN && proxy->running &&
                  proxy->running->waited;
    pthread_mutex_unlock(&proxy->lock);
    return waited && (content == CONTENT_MESSAGE || content == CONTENT_CHUNK || content == CONTENT_PROGRESS ||
                      content == CONTENT_ALIVE);
}

/* ---- the end ---- */

struct turn *muster__proxy_take_turn(struct proxy *proxy)
{
    struct turn *turn = proxy->running;
    proxy->running = NULL;
    if (!turn)
        return NULL;
    muster__proxy_end_limit(proxy);
    proxy->progress = 0;
    muster_message_clear(&proxy->report);
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
    if (!turn)
        return;
    muster_message_clear(&turn->arrived);
    int64_t milliseconds = muster__proxy_now(proxy) - turn->began_at;
    muster__proxy_count_end(proxy, status, milliseconds, answer_size);
    if (muster__observers_any(&manager->observers))
        tell(proxy, PARTICIPANT_MANAGER_TURN_ENDED, turn->number, turn->round, status, milliseconds);
    turn->ended(turn, proxy, status, answer ? answer : &nothing, answer_size);
    muster__budget_serve(&manager->budget);
    muster__drain_done(&manager->drain);
}

void muster__proxy_send_cancel(struct proxy *proxy)
{
    uint8_t head[STREAM_HEAD_MAX];
    size_t head_size = muster__encode_turn(TO_PARTICIPANT, proxy->turn, head);
    muster__proxy_send(proxy, head, head_size, proxy->manager->cancel);
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
        /* It never left: who does not read costs the memory of one instruction, not of each. */
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
    muster__proxy_end_turn(proxy, taken, MUSTER_CANCELLED, NULL, 0);
}

void proxy_cancel(struct proxy *proxy)
{
    muster__proxy_cancel(proxy, NULL);
}

/* ---- an answer that was refused ---- */

/* One word waits at most: who does not read costs no more than that. With the lock held. */
static enum muster_status send_refused(struct proxy *proxy, uint64_t turn, struct buffer *body,
                                       struct muster_error *error)
{
    struct stream *stream = proxy->stream;
    uint8_t head[STREAM_HEAD_MAX];
    size_t head_size = muster__encode_turn(TO_PARTICIPANT, turn, head);
    if (proxy->refused)
        stream->ops->revoke(stream, proxy->refused);
    muster__buffer_release(proxy->refused);
    proxy->refused = muster__buffer_retain(body);
    enum muster_status status = muster__proxy_send(proxy, head, head_size, body);
    status = status == MUSTER_CLOSED ? MUSTER_GONE : status; /* it ended, and we are about to be told */
    if (status != MUSTER_OK)
        muster__error(error, status, "%s", muster_status_text(status));
    return status;
}

enum muster_status muster__proxy_refuse(struct proxy *proxy, uint64_t turn, const char *reason,
                                        struct muster_error *error)
{
    char text[MUSTER_ERROR_TEXT_SIZE];
    struct buffer *body = muster__encode_refused(muster_text_harmless(reason, text, sizeof(text)));
    if (!body)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    enum muster_status status;
    pthread_mutex_lock(&proxy->lock);
    turn = turn ? turn : proxy->answered;
    if (proxy->state == PROXY_CLOSED)
        status = muster__proxy_closed(proxy, error);
    else if (turn == 0)
        status = muster__error(error, MUSTER_INVALID, "it has not answered yet");
    else if (!proxy->takes.hears_refusals)
        status = muster__error(error, MUSTER_UNKNOWN_INSTRUCTION,
                               "it cannot be told: it is of an older release, or has no on_warning");
    else if (!proxy->stream)
        status = muster__error(error, MUSTER_GONE, "it is away, and will not be told");
    else if (body->size + STREAM_HEAD_MAX > proxy->takes.max_message_size)
        status = muster__error(error, MUSTER_TOO_BIG, "it does not take messages of %llu bytes",
                               (unsigned long long)body->size);
    else
        status = send_refused(proxy, turn, body, error);
    pthread_mutex_unlock(&proxy->lock);
    muster__buffer_release(body);
    return status;
}

enum muster_status proxy_refuse(struct proxy *proxy, const char *reason, struct muster_error *error)
{
    if (!reason || !*reason)
        return muster__error(error, MUSTER_INVALID, "the reason is NULL or empty");
    return muster__proxy_named(proxy, muster__proxy_refuse(proxy, 0, reason, error), error);
}

/* ---- why ---- */

const char *muster__proxy_explain(struct proxy *proxy, enum muster_status status,
                                  const struct muster_message *answer, char text[MUSTER_ERROR_TEXT_SIZE])
{
    const char *why = muster_status_text(status);
    pthread_mutex_lock(&proxy->lock);
    if (answer->kind == MUSTER_FAILURE)
        why = answer->text && *answer->text ? answer->text : "it failed, and did not say why";
    else if (status == MUSTER_PROTOCOL && answer->kind != MUSTER_EMPTY)
        why = "the answer is of another kind than the instruction";
    else if (status == MUSTER_TIMEOUT && proxy->state == PROXY_AWAY)
        why = "its connection broke, and it has not come back within the limit";
    else if (status == MUSTER_TIMEOUT)
        why = "no answer within the limit";
    else if (status == MUSTER_TOO_BIG && proxy->state != PROXY_CLOSED)
        why = "the answer is bigger than options.max_answer_size or max_payload_size allow";
    else if (proxy->state == PROXY_CLOSED && status == proxy->closed_status && proxy->closed_text)
        why = proxy->closed_text;
    muster_text_harmless(why, text, MUSTER_ERROR_TEXT_SIZE);
    pthread_mutex_unlock(&proxy->lock);
    return text;
}
