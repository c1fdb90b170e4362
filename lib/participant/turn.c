/* Turns: instructions that arrive and are consumed, answers that are dispatched and leave, and what is sent
   again on the next stream. */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "callback.h"
#include "network/credentials.h"
#include "participant/internal.h"
#include "status.h"

/* A training loop may report after every batch: the server gets so many milliseconds' worth at once. */
#define PROGRESS_INTERVAL_MS 100

/* How much of an answer is copied before more of it is sent. */
#define FILL_SIZE ((size_t)256 << 10)

/* ---- what is dropped, and what is sent; with the lock held ---- */

/* Whether participant_consume() would not wait, to those who poll. With the lock held. */
static void show_readiness(struct participant *participant)
{
    bool ready = participant->came || participant->closed || participant->state == ENDED;
    uint64_t count = 1;
    if (participant->descriptor < 0 || ready == participant->shown_ready)
        return;
    ssize_t moved = ready ? write(participant->descriptor, &count, sizeof(count))
                          : read(participant->descriptor, &count, sizeof(count));
    participant->shown_ready = moved > 0 ? ready : participant->shown_ready;
}

int participant_descriptor(struct participant *participant, struct muster_error *error)
{
    pthread_mutex_lock(&participant->lock);
    if (participant->descriptor < 0)
        participant->descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (participant->descriptor < 0)
        muster__error(error, MUSTER_IO, "cannot make a descriptor: %s", strerror(errno));
    int descriptor = participant->descriptor;
    muster__participant_unlock(participant);
    return descriptor;
}

void muster__participant_unlock(struct participant *participant)
{
    struct trash trash = participant->trash;
    participant->trash.message_count = 0;
    participant->trash.answer_count = 0;
    show_readiness(participant);
    pthread_mutex_unlock(&participant->lock);
    for (size_t i = 0; i < trash.message_count; i++)
        muster_message_clear(&trash.messages[i]);
    for (size_t i = 0; i < trash.answer_count; i++)
        muster__buffer_release(trash.answers[i]);
}

static void drop_message(struct participant *participant, struct muster_message *message)
{
    struct trash *trash = &participant->trash;
    if (message->storage)
        trash->messages[trash->message_count++] = *message;
    *message = (struct muster_message)MUSTER_MESSAGE_INIT;
}

static void drop_arriving(struct participant *participant)
{
    struct muster_message arriving = muster__incoming_take(&participant->arriving);
    drop_message(participant, &arriving);
}

/* The server has the answer, or does not want it. */
static void drop_answer(struct participant *participant)
{
    struct trash *trash = &participant->trash;
    muster__outgoing_begin(&participant->outgoing, NULL, 0);
    if (participant->held)
        trash->answers[trash->answer_count++] = participant->held;
    participant->held = NULL;
    participant->holds_answer = false;
}

static void drop_next(struct participant *participant)
{
    drop_arriving(participant);
    drop_message(participant, &participant->next.message);
    participant->came = false;
}

/* Sends about a turn; GONE also when the stream is away: an answer is sent again when it is back. */
static enum muster_status send_about(struct participant *participant, uint64_t turn, struct buffer *body)
{
    uint8_t head[STREAM_HEAD_MAX];
    size_t head_size = muster__encode_turn(TO_SERVER, turn, head);
    if (participant->state != OPEN)
        return MUSTER_GONE;
    enum muster_status status = participant->stream->ops->send(participant->stream, head, head_size, body);
    return status == MUSTER_CLOSED ? MUSTER_GONE : status; /* it ended, and we are about to be told */
}

/* Sends the answer that is held, whose arrays may have to wait. */
static enum muster_status send_answer(struct participant *participant)
{
    struct outgoing *outgoing = &participant->outgoing;
    struct buffer *body = participant->held;
    enum muster_status status = send_about(participant, participant->held_turn, body);
    if (status != MUSTER_OK || !body || !body->payload)
        return status;
    outgoing->max_message_size = participant->max_message_size;
    muster__outgoing_begin(outgoing, body, participant->held_turn);
    if (body->payload->size <= participant->current.granted)
        muster__outgoing_start(outgoing, 0, participant->current.limit);
    muster__outgoing_next(outgoing, TO_SERVER, participant->stream);
    return MUSTER_OK;
}

/* Sends an answer to the current turn, and holds it until it is known to have arrived. */
static enum muster_status hold_answer(struct participant *participant, struct buffer *body)
{
    drop_answer(participant);
    participant->holds_answer = true;
    participant->held = body ? muster__buffer_retain(body) : NULL;
    participant->held_turn = participant->current.turn;
    enum muster_status status = send_answer(participant);
    if (status == MUSTER_GONE && comes_back(participant))
        status = MUSTER_OK; /* it is sent when the stream is back */
    if (status != MUSTER_OK)
        drop_answer(participant);
    return status;
}

/* ---- what the server says; with the lock held ---- */

/* An instruction is whole: there is something to consume. */
static void deliver(struct participant *participant, struct muster_message message, uint64_t turn,
                    uint64_t granted, uint64_t limit)
{
    participant->next = (struct instruction){message, turn, granted, limit};
    participant->came = true;
    participant->proven = true;
    participant->last_turn = turn;
    participant->stream->ops->hold(participant->stream);
}

/* The beginning of an instruction whose arrays follow. */
static enum muster_status announce(struct participant *participant, struct envelope *envelope, size_t size,
                                   struct muster_error *error)
{
    if (envelope->announced > participant->options.max_payload_size)
        return muster__error(error, MUSTER_TOO_BIG, "the instruction is bigger than max_payload_size");
    if (!muster__payload_begin(&envelope->message, NULL, NULL))
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory for an instruction of %llu bytes",
                             (unsigned long long)envelope->announced);
    participant->arriving_granted = envelope->grant;
    participant->arriving_limit = envelope->limit;
    muster__incoming_begin(&participant->arriving, envelope, size);
    return MUSTER_OK;
}

/* *ready: there is something to consume. */
static enum muster_status instruct(struct participant *participant, struct envelope *envelope, size_t size,
                                   bool *ready, struct muster_error *error)
{
    /* Nobody waits for two answers at a time: a newer instruction means that the older was given up. */
    drop_next(participant);
    participant->cancelled = participant->cancelled || (participant->unanswered && !participant->original);
    drop_answer(participant);
    if (envelope->announced) {
        /* What was dropped is freed first: what arrives may take its place. */
        muster__participant_unlock(participant);
        pthread_mutex_lock(&participant->lock);
        return participant->closed ? MUSTER_OK : announce(participant, envelope, size, error);
    }
    deliver(participant, envelope->message, envelope->turn, envelope->grant, envelope->limit);
    envelope->message = (struct muster_message)MUSTER_MESSAGE_INIT;
    *ready = true;
    return MUSTER_OK;
}

/* Chunks of an instruction that was given up meanwhile are of no interest. */
static enum muster_status add_chunk(struct participant *participant, struct envelope *envelope, bool *ready,
                                    struct muster_error *error)
{
    struct incoming *arriving = &participant->arriving;
    if (arriving->size == 0 || envelope->turn != arriving->turn || participant->closed)
        return MUSTER_OK;
    enum muster_status status = muster__incoming_add(arriving, envelope, error);
    if (status == MUSTER_OK && arriving->received == arriving->size) {
        struct muster_message message = muster__incoming_take(arriving);
        deliver(participant, message, envelope->turn, participant->arriving_granted,
                participant->arriving_limit);
        *ready = true;
    }
    return status;
}

/* The answer's chunks may go. */
static void grant(struct participant *participant, const struct envelope *envelope)
{
    struct outgoing *outgoing = &participant->outgoing;
    if (!outgoing->body || outgoing->turn != envelope->turn)
        return;
    muster__outgoing_start(outgoing, envelope->grant, envelope->limit);
    muster__outgoing_next(outgoing, TO_SERVER, participant->stream);
}

/* Nobody waits for the answer to what was consumed. */
static void give_up(struct participant *participant)
{
    if (participant->unanswered && !participant->cancelled)
        participant->cancel_untold = true;
    participant->cancelled = true;
}

static void cancel(struct participant *participant, uint64_t turn)
{
    if (participant->holds_answer && participant->held_turn == turn)
        drop_answer(participant);
    if ((participant->came && participant->next.turn == turn) ||
        (participant->arriving.size && participant->arriving.turn == turn))
        drop_next(participant);
    else if (participant->unanswered && participant->current.turn == turn)
        give_up(participant);
}

enum muster_status muster__participant_received(struct participant *participant, struct envelope *envelope,
                                                size_t size, bool *ready, struct muster_error *error)
{
    if (envelope->content == CONTENT_MESSAGE)
        return instruct(participant, envelope, size, ready, error);
    if (envelope->content == CONTENT_CHUNK)
        return add_chunk(participant, envelope, ready, error);
    if (envelope->content == CONTENT_CANCEL)
        cancel(participant, envelope->turn);
    else if (envelope->content == CONTENT_GRANT)
        grant(participant, envelope);
    return MUSTER_OK;
}

void muster__participant_sent(struct participant *participant)
{
    participant->outgoing.on_wire = false;
    muster__outgoing_next(&participant->outgoing, TO_SERVER, participant->stream);
}

/* ---- what becomes of the stream and the session; with the lock held ---- */

void muster__participant_interrupt_turns(struct participant *participant)
{
    participant->outgoing.on_wire = false;
    muster__outgoing_begin(&participant->outgoing, NULL, 0);
    drop_arriving(participant);
}

void muster__participant_resume_turns(struct participant *participant, uint64_t last_turn)
{
    if (participant->unanswered && participant->current.turn <= last_turn)
        give_up(participant);
    if (participant->came && participant->next.turn <= last_turn)
        drop_next(participant);
    /* What was granted in advance was granted to the connection that broke. */
    participant->current.granted = 0;
    participant->next.granted = 0;
    if (!participant->holds_answer)
        return;
    if (participant->held_turn <= last_turn) {
        drop_answer(participant);
    } else if (send_answer(participant) == MUSTER_OUT_OF_MEMORY) {
        participant->stream->ops->cut(participant->stream); /* and another one is tried */
    }
}

void muster__participant_forget_turns(struct participant *participant)
{
    participant->last_turn = 0;
    give_up(participant);
    drop_answer(participant);
    drop_next(participant);
}

void muster__participant_end_turns(struct participant *participant)
{
    give_up(participant);
    if (participant->came && participant->next.message.kind != MUSTER_RECONNECT)
        drop_next(participant);
}

/* ---- what the user calls ---- */

/* What functions answer once nothing more can be sent or will come; OK before that. With the lock held. */
static enum muster_status final_status(const struct participant *participant, struct muster_error *error)
{
    if (participant->closed)
        return muster__error(error, MUSTER_CLOSED, "participant_close() was called");
    if (participant->state == ENDED)
        return muster__error(error, participant->status, "%s", participant->reason);
    return MUSTER_OK;
}

static enum muster_status explained(enum muster_status status, struct muster_error *error)
{
    return status == MUSTER_OK ? status : muster__error(error, status, "%s", muster_status_text(status));
}

/* Whether there is an instruction to answer, and to work on. With the lock held. */
static enum muster_status may_answer(const struct participant *participant, struct muster_error *error)
{
    enum muster_status status = final_status(participant, error);
    if (status != MUSTER_OK)
        return status;
    if (!participant->unanswered)
        return muster__error(error, MUSTER_INVALID,
                             "there is no instruction to answer: participant_consume() gives one at a time");
    if (participant->cancelled)
        return muster__error(error, MUSTER_CANCELLED, "the server has given up this turn");
    return MUSTER_OK;
}

/* Copies what travels in chunks, which go out meanwhile. */
static void fill(struct participant *participant, struct buffer *body, const struct muster_message *message)
{
    struct payload *payload = body ? body->payload : NULL;
    while (payload && payload->filled < payload->size) {
        uint64_t end =
            payload->size - payload->filled < FILL_SIZE ? payload->size : payload->filled + FILL_SIZE;
        muster__payload_fill(body, message, end);
        pthread_mutex_lock(&participant->lock);
        payload->filled = end;
        if (participant->outgoing.body == body)
            muster__outgoing_next(&participant->outgoing, TO_SERVER, participant->stream);
        muster__participant_unlock(participant);
    }
}

/* With the lock held. */
static enum muster_status begin_answer(struct participant *participant, struct muster_error *error)
{
    enum muster_status status = may_answer(participant, error);
    if (status == MUSTER_CANCELLED)
        participant->unanswered = false;
    return status;
}

static enum muster_status answer(struct participant *participant, const struct muster_message *message,
                                 struct muster_error *error)
{
    pthread_mutex_lock(&participant->lock);
    enum muster_status status = begin_answer(participant, error);
    uint64_t consumed = participant->consumed;
    const struct encoding encoding = {.max_message_size = participant->max_message_size,
                                      .max_payload_size = participant->max_payload_size,
                                      .chunk_threshold = participant->options.chunk_threshold,
                                      .keep = muster__storage_retain(participant->current.message.storage),
                                      .fill_later = true};
    muster__participant_unlock(participant);
    /* Not under the lock: a big answer takes its time, and events must not wait for it. */
    struct buffer *body = NULL;
    if (status == MUSTER_OK)
        status = muster__encode(TO_SERVER, message, &encoding, &body, error);
    if (status != MUSTER_OK) {
        muster__storage_release(encoding.keep);
        return status;
    }
    pthread_mutex_lock(&participant->lock);
    if (participant->consumed != consumed)
        status =
            muster__error(error, MUSTER_CANCELLED, "on_ready consumed a newer instruction during this call");
    else
        status = begin_answer(participant, error);
    if (status == MUSTER_OK)
        status = explained(hold_answer(participant, body), error);
    if (status == MUSTER_OK)
        participant->unanswered = false;
    muster__participant_unlock(participant);
    if (status == MUSTER_OK)
        fill(participant, body, message);
    muster__buffer_release(body);
    muster__storage_release(encoding.keep);
    return status;
}

/* The first, empty message: from now on the server speaks first. With the lock held, before the end. */
static enum muster_status pass_initiative(struct participant *participant)
{
    enum muster_status status = MUSTER_OK;
    if (participant->state == OPEN && !participant->original)
        status = participant->stream->ops->send(participant->stream, NULL, 0, NULL);
    /* The stream has ended, and we are about to be told: the next Welcome is followed by it. */
    if (status == MUSTER_CLOSED)
        status = comes_back(participant) ? MUSTER_OK : MUSTER_GONE;
    participant->initiative = status == MUSTER_OK;
    return status;
}

enum muster_status participant_dispatch(struct participant *participant, const struct muster_message *message,
                                        struct muster_error *error)
{
    pthread_mutex_lock(&participant->lock);
    bool first = !participant->initiative;
    enum muster_status status = final_status(participant, error);
    if (first && status == MUSTER_OK && message->kind != MUSTER_EMPTY)
        status = muster__error(error, MUSTER_INVALID,
                               "the first message is empty: it passes the initiative to the server");
    else if (first && status == MUSTER_OK)
        status = explained(pass_initiative(participant), error);
    muster__participant_unlock(participant);
    return first || status != MUSTER_OK ? status : answer(participant, message, error);
}

/* An instruction that the user passed over is answered: the server is not to wait for nothing. With the lock
 * held. */
static void answer_passed_over(struct participant *participant)
{
    const struct muster_message unknown = {.kind = MUSTER_UNKNOWN};
    const struct encoding encoding = {.max_message_size = participant->max_message_size};
    struct buffer *body;
    if (may_answer(participant, NULL) == MUSTER_OK &&
        muster__encode(TO_SERVER, &unknown, &encoding, &body, NULL) == MUSTER_OK) {
        hold_answer(participant, body);
        muster__buffer_release(body);
    }
    participant->unanswered = false;
    participant->cancelled = false;
    drop_message(participant, &participant->current.message);
}

enum muster_status participant_consume(struct participant *participant, int64_t timeout_ms,
                                       const struct muster_message **instruction, struct muster_error *error)
{
    struct waiter waiter;
    enum muster_status status = MUSTER_OK;
    *instruction = NULL;
    pthread_mutex_lock(&participant->lock);
    answer_passed_over(participant);
    muster__participant_unlock(participant); /* frees it now, not after the wait */
    pthread_mutex_lock(&participant->lock);
    /* Without it the server would wait for us, and we for it. */
    if (!participant->initiative && final_status(participant, NULL) == MUSTER_OK)
        status = explained(pass_initiative(participant), error);
    if (status != MUSTER_OK) {
        muster__participant_unlock(participant);
        return status;
    }
    muster__waiter_begin(&waiter, participant->transport, &participant->lock, &participant->changed,
                         muster__in_callback() ? 0 : timeout_ms);
    while (!participant->came && final_status(participant, NULL) == MUSTER_OK && !waiter.expired)
        muster__waiter_sleep(&waiter);
    muster__waiter_end(&waiter);
    if (participant->came && !participant->closed) {
        participant->consumed++;
        participant->current = participant->next;
        participant->next.message = (struct muster_message)MUSTER_MESSAGE_INIT;
        participant->came = false;
        participant->unanswered = participant->current.message.kind != MUSTER_RECONNECT;
        participant->progress_at = 0;
        participant->cancelled = false; /* a reconnect_in meanwhile was about what came before */
        *instruction = &participant->current.message;
    } else {
        status = final_status(participant, error);
        if (status == MUSTER_OK)
            status = muster__error(error, MUSTER_TIMEOUT, "no instruction has come yet");
    }
    muster__participant_unlock(participant);
    muster__credentials_remind(participant->credentials,
                               participant->transport->ops->now(participant->transport));
    return status;
}

enum muster_status participant_report_progress(struct participant *participant, double fraction,
                                               struct muster_error *error)
{
    if (!(fraction >= 0 && fraction <= 1))
        return muster__error(error, MUSTER_INVALID, "progress is a number from 0 to 1, not %g", fraction);
    pthread_mutex_lock(&participant->lock);
    enum muster_status status = may_answer(participant, error);
    int64_t now = status == MUSTER_OK ? participant->transport->ops->now(participant->transport) : 0;
    if (status == MUSTER_OK && !participant->original && participant->state == OPEN &&
        now >= participant->progress_at) {
        struct buffer *body = muster__encode_progress(fraction);
        status = body ? send_about(participant, participant->current.turn, body) : MUSTER_OUT_OF_MEMORY;
        if (status == MUSTER_GONE && comes_back(participant))
            status = MUSTER_OK; /* it is not the last word */
        status = explained(status, error);
        participant->progress_at = now + PROGRESS_INTERVAL_MS;
        muster__buffer_release(body);
    }
    muster__participant_unlock(participant);
    return status;
}

bool participant_cancelled(struct participant *participant)
{
    pthread_mutex_lock(&participant->lock);
    bool cancelled = participant->cancelled;
    muster__participant_unlock(participant);
    return cancelled;
}

struct muster_transfer participant_transfer(struct participant *participant)
{
    pthread_mutex_lock(&participant->lock);
    const struct buffer *body = participant->outgoing.body;
    struct muster_transfer transfer = {.sent = body ? participant->outgoing.offset : 0,
                                       .to_send = body ? body->payload->size : 0,
                                       .received = participant->arriving.received,
                                       .to_receive = participant->arriving.size};
    muster__participant_unlock(participant);
    return transfer;
}
