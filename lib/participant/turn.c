/* The turns of a participant. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "participant/turn.h"
#include "status.h"

/* A training loop may report after every batch: the server gets so many milliseconds' worth at once. */
#define PROGRESS_INTERVAL_MS 100

/* How much of an answer is copied before more of it is sent. */
#define FILL_SIZE ((size_t)256 << 10)

void muster__turns_init(struct turns *turns, struct muster_traffic *traffic, uint64_t most_to_be_taken)
{
    turns->traffic = traffic;
    turns->descriptor = -1;
    turns->most_to_be_taken = most_to_be_taken;
}

void muster__turns_destroy(struct turns *turns)
{
    muster_message_clear(&turns->current.message);
    muster_message_clear(&turns->next.message);
    muster_message_clear(&turns->arriving.message);
    muster__outgoing_begin(&turns->outgoing, NULL, 0);
    muster__buffer_release(turns->held);
    if (turns->descriptor >= 0)
        close(turns->descriptor);
}

/* ---- what is dropped, and what is sent ---- */

/* Whether participant_consume() has something to do, to those who poll: before the initiative is passed it has,
   or a program that polls first would wait for an instruction that nobody can send. */
static void show_readiness(struct turns *turns)
{
    bool ready = turns->came || turns->over || !turns->begun;
    uint64_t count = 1;
    if (turns->descriptor < 0 || ready == turns->shown_ready)
        return;
    ssize_t moved = ready ? write(turns->descriptor, &count, sizeof(count))
                          : read(turns->descriptor, &count, sizeof(count));
    turns->shown_ready = moved > 0 ? ready : turns->shown_ready;
}

int muster__turns_descriptor(struct turns *turns, struct muster_error *error)
{
    if (turns->descriptor < 0)
        turns->descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (turns->descriptor < 0)
        muster__error(error, MUSTER_IO, "cannot make a descriptor: %s", strerror(errno));
    return turns->descriptor;
}

void muster__turns_unlock(struct turns *turns, pthread_mutex_t *lock)
{
    struct trash trash = turns->trash;
    turns->trash.message_count = 0;
    turns->trash.answer_count = 0;
    show_readiness(turns);
    pthread_mutex_unlock(lock);
    for (size_t i = 0; i < trash.message_count; i++)
        muster_message_clear(&trash.messages[i]);
    for (size_t i = 0; i < trash.answer_count; i++)
        muster__buffer_release(trash.answers[i]);
}

static void drop_message(struct turns *turns, struct muster_message *message)
{
    struct trash *trash = &turns->trash;
    if (message->storage)
        trash->messages[trash->message_count++] = *message;
    *message = (struct muster_message)MUSTER_MESSAGE_INIT;
}

static void drop_arriving(struct turns *turns)
{
    if (turns->lands)
        turns->stream->ops->displace(turns->stream);
    turns->lands = false;
    struct muster_message arriving = muster__incoming_take(&turns->arriving);
    drop_message(turns, &arriving);
}

/* The server has the answer, or does not want it. */
static void drop_answer(struct turns *turns)
{
    struct trash *trash = &turns->trash;
    muster__outgoing_begin(&turns->outgoing, NULL, 0);
    if (turns->held)
        trash->answers[trash->answer_count++] = turns->held;
    turns->held = NULL;
    turns->holds_answer = false;
}

static void drop_next(struct turns *turns)
{
    drop_arriving(turns);
    drop_message(turns, &turns->next.message);
    turns->came = false;
}

/* Sends about a turn; GONE also when there is no stream: an answer is sent again when it is back. */
static enum muster_status send_about(struct turns *turns, uint64_t turn, struct buffer *body)
{
    uint8_t head[STREAM_HEAD_MAX];
    size_t head_size = muster__encode_turn(TO_SERVER, turn, head);
    if (!turns->stream)
        return MUSTER_GONE;
    enum muster_status status = muster__traffic_send(turns->traffic, turns->stream, head, head_size, body);
    return status == MUSTER_CLOSED ? MUSTER_GONE : status; /* it ended, and we are about to be told */
}

/* Sends the next chunk of the answer, if it is time. */
static void send_chunk(struct turns *turns)
{
    size_t size = muster__outgoing_next(&turns->outgoing, TO_SERVER, turns->stream);
    if (size)
        muster__traffic_sent(turns->traffic, size);
}

/* Sends the answer that is held, whose arrays may have to wait. */
static enum muster_status send_answer(struct turns *turns)
{
    struct outgoing *outgoing = &turns->outgoing;
    struct buffer *body = turns->held;
    enum muster_status status = send_about(turns, turns->held_turn, body);
    if (status != MUSTER_OK || !body || !body->payload)
        return status;
    outgoing->max_message_size = turns->server.max_message_size;
    muster__outgoing_begin(outgoing, body, turns->held_turn);
    if (body->payload->size <= turns->current.granted)
        muster__outgoing_start(outgoing, 0, turns->current.limit);
    send_chunk(turns);
    return MUSTER_OK;
}

static enum muster_status hold_answer(struct turns *turns, struct buffer *body)
{
    drop_answer(turns);
    turns->holds_answer = true;
    turns->held = body ? muster__buffer_retain(body) : NULL;
    turns->held_turn = turns->current.turn;
    enum muster_status status = send_answer(turns);
    /* GONE: it is sent when the stream is back, or how it ended is about to be told. */
    if (status != MUSTER_OK && status != MUSTER_GONE) {
        drop_answer(turns);
        return status;
    }
    turns->answered++;
    turns->traffic->payload_sent += body ? body->size + (body->payload ? body->payload->size : 0) : 0;
    return MUSTER_OK;
}

/* Asks for a turn, if the program wants one and the server does not know that yet. An instruction that has
   come and was not consumed will do as well. */
static void ask_still(struct turns *turns)
{
    uint8_t message[STREAM_HEAD_MAX];
    if (!turns->asking || turns->asked || turns->came || turns->arriving.size || turns->over ||
        !turns->begun || !turns->stream || !turns->server.asks)
        return;
    enum muster_status status =
        muster__traffic_send(turns->traffic, turns->stream, message, muster__encode_ask(message), NULL);
    turns->asked = status == MUSTER_OK;
    if (status == MUSTER_OUT_OF_MEMORY)
        turns->stream->ops->cut(turns->stream); /* and another one is tried, which brings it */
}

/* ---- what the server says ---- */

/* The instruction is whole, of so many bytes: there is something to consume. */
static void deliver(struct turns *turns, struct muster_message message, uint64_t size)
{
    turns->traffic->payload_received += size;
    turns->next.message = message;
    turns->came = true;
    turns->last_turn = turns->next.turn;
    turns->stream->ops->hold(turns->stream);
}

/* The beginning of an instruction whose arrays follow. */
static enum muster_status announce(struct turns *turns, struct envelope *envelope, size_t size,
                                   struct muster_error *error)
{
    if (envelope->announced > turns->most_to_be_taken)
        return muster__error(error, MUSTER_TOO_BIG, "the instruction is bigger than max_payload_size");
    if (!muster__payload_begin(&envelope->message, NULL, NULL))
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory for an instruction of %llu bytes",
                             (unsigned long long)envelope->announced);
    muster__incoming_begin(&turns->arriving, envelope, size);
    return MUSTER_OK;
}

/* Nobody waits for the answer to what was consumed. */
static void give_up(struct turns *turns)
{
    if (turns->unanswered && !turns->cancelled) {
        turns->cancel_untold = true;
        turns->given_up++;
    }
    turns->cancelled = true;
}

/* *ready: there is something to consume. */
static enum muster_status instruct(struct turns *turns, pthread_mutex_t *lock, struct envelope *envelope,
                                   size_t size, bool *ready, struct muster_error *error)
{
    /* Nobody waits for two answers at a time: a newer instruction means that the older was given up. */
    drop_next(turns);
    if (turns->unanswered && !turns->original)
        give_up(turns);
    drop_answer(turns);
    turns->asked = false;
    turns->next =
        (struct instruction){.turn = envelope->turn, .granted = envelope->grant, .limit = envelope->limit};
    if (envelope->announced) {
        /* What was dropped is freed first: what arrives may take its place. */
        muster__turns_unlock(turns, lock);
        pthread_mutex_lock(lock);
        return turns->over ? MUSTER_OK : announce(turns, envelope, size, error);
    }
    deliver(turns, envelope->message, size);
    envelope->message = (struct muster_message)MUSTER_MESSAGE_INIT;
    *ready = true;
    return MUSTER_OK;
}

/* Chunks of an instruction that was given up meanwhile are of no interest. */
static enum muster_status add_chunk(struct turns *turns, struct envelope *envelope, bool *ready,
                                    struct muster_error *error)
{
    struct incoming *arriving = &turns->arriving;
    turns->lands = false; /* if one did, this is it */
    if (arriving->size == 0 || envelope->turn != arriving->turn || turns->over)
        return MUSTER_OK;
    enum muster_status status = muster__incoming_add(arriving, envelope, error);
    if (status == MUSTER_OK && arriving->received == arriving->size) {
        uint64_t size = arriving->wire_size + arriving->size;
        deliver(turns, muster__incoming_take(arriving), size);
        *ready = true;
    }
    return status;
}

bool muster__turns_land(struct turns *turns, const struct envelope *envelope, size_t size, uint8_t **place)
{
    const struct incoming *arriving = &turns->arriving;
    *place = NULL;
    if (arriving->size == 0 || envelope->turn != arriving->turn || turns->over || !turns->stream)
        return true;
    *place = muster__incoming_place(arriving, envelope, size);
    turns->lands = *place;
    return turns->lands;
}

/* The answer's chunks may go. */
static void grant(struct turns *turns, const struct envelope *envelope)
{
    struct outgoing *outgoing = &turns->outgoing;
    if (!outgoing->body || outgoing->turn != envelope->turn)
        return;
    muster__outgoing_start(outgoing, envelope->grant, envelope->limit);
    send_chunk(turns);
}

static void cancel(struct turns *turns, uint64_t turn)
{
    if (turns->holds_answer && turns->held_turn == turn)
        drop_answer(turns);
    if ((turns->came && turns->next.turn == turn) || (turns->arriving.size && turns->arriving.turn == turn))
        drop_next(turns);
    else if (turns->unanswered && turns->current.turn == turn)
        give_up(turns);
    ask_still(turns); /* the turn that was to do for it is gone */
}

enum muster_status muster__turns_received(struct turns *turns, pthread_mutex_t *lock,
                                          struct envelope *envelope, size_t size, bool *ready,
                                          struct muster_error *error)
{
    if (envelope->content == CONTENT_MESSAGE)
        return instruct(turns, lock, envelope, size, ready, error);
    if (envelope->content == CONTENT_CHUNK)
        return add_chunk(turns, envelope, ready, error);
    if (envelope->content == CONTENT_CANCEL)
        cancel(turns, envelope->turn);
    else if (envelope->content == CONTENT_GRANT)
        grant(turns, envelope);
    return MUSTER_OK;
}

void muster__turns_sent(struct turns *turns)
{
    turns->outgoing.on_wire = false;
    send_chunk(turns);
}

/* ---- what becomes of the stream and the session ---- */

void muster__turns_open(struct turns *turns, struct stream *stream, bool original,
                        const struct abilities *server)
{
    turns->stream = stream;
    turns->original = original;
    turns->server = *server;
    turns->asked = false;
}

void muster__turns_interrupt(struct turns *turns)
{
    drop_arriving(turns);
    turns->stream = NULL;
    turns->outgoing.on_wire = false;
    muster__outgoing_begin(&turns->outgoing, NULL, 0);
}

void muster__turns_resume(struct turns *turns, uint64_t last_turn)
{
    if (turns->unanswered && turns->current.turn <= last_turn)
        give_up(turns);
    if (turns->came && turns->next.turn <= last_turn)
        drop_next(turns);
    /* What was granted in advance was granted to the connection that broke. */
    turns->current.granted = 0;
    turns->next.granted = 0;
    if (!turns->holds_answer)
        return;
    if (turns->held_turn <= last_turn) {
        drop_answer(turns);
    } else if (send_answer(turns) == MUSTER_OUT_OF_MEMORY) {
        turns->stream->ops->cut(turns->stream); /* and another one is tried */
    }
}

void muster__turns_forget(struct turns *turns)
{
    turns->last_turn = 0;
    give_up(turns);
    drop_answer(turns);
    drop_next(turns);
}

void muster__turns_end(struct turns *turns)
{
    turns->over = true;
    give_up(turns);
    if (turns->came && turns->next.message.kind != MUSTER_RECONNECT)
        drop_next(turns);
}

bool muster__turns_are_busy(const struct turns *turns)
{
    return turns->came || (turns->unanswered && !turns->cancelled) || turns->arriving.size ||
           muster__outgoing_busy(&turns->outgoing);
}

bool muster__turns_take_cancelled(struct turns *turns)
{
    bool untold = turns->cancel_untold;
    turns->cancel_untold = false;
    return untold;
}

/* ---- what the user's code does ---- */

void muster__turns_begin(struct turns *turns)
{
    turns->begun = true;
    ask_still(turns);
}

void muster__turns_ask(struct turns *turns)
{
    turns->asking = true;
    ask_still(turns);
}

enum muster_status muster__turns_may_answer(const struct turns *turns, struct muster_error *error)
{
    if (!turns->unanswered)
        return muster__error(error, MUSTER_INVALID,
                             "there is no instruction to answer: participant_consume() gives one at a time");
    if (turns->cancelled)
        return muster__error(error, MUSTER_CANCELLED, "the server has given up this turn");
    return MUSTER_OK;
}

enum muster_status muster__turns_begin_answer(struct turns *turns, struct muster_error *error)
{
    enum muster_status status = muster__turns_may_answer(turns, error);
    if (status == MUSTER_CANCELLED)
        turns->unanswered = false;
    return status;
}

enum muster_status muster__turns_answer(struct turns *turns, struct buffer *body)
{
    enum muster_status status = hold_answer(turns, body);
    if (status == MUSTER_OK)
        turns->unanswered = false;
    return status;
}

void muster__turns_fail(struct turns *turns, const char *why)
{
    char text[MUSTER_ERROR_TEXT_SIZE];
    snprintf(text, sizeof(text), "its answer was not sent: %.224s", why);
    muster_text_harmless(text, turns->failed, sizeof(turns->failed));
}

void muster__turns_fill(struct turns *turns, pthread_mutex_t *lock, struct buffer *body,
                        const struct muster_message *message)
{
    struct payload *payload = body ? body->payload : NULL;
    while (payload && payload->filled < payload->size) {
        uint64_t end =
            payload->size - payload->filled < FILL_SIZE ? payload->size : payload->filled + FILL_SIZE;
        muster__payload_fill(body, message, end);
        pthread_mutex_lock(lock);
        payload->filled = end;
        if (turns->outgoing.body == body)
            send_chunk(turns);
        muster__turns_unlock(turns, lock);
    }
}

void muster__turns_pass_over(struct turns *turns)
{
    const struct muster_message unknown = {.kind = MUSTER_UNKNOWN};
    const struct muster_message failure = {.kind = MUSTER_FAILURE, .text = turns->failed};
    const struct encoding encoding = {.max_message_size = turns->server.max_message_size};
    struct buffer *body;
    if (!turns->over && muster__turns_may_answer(turns, NULL) == MUSTER_OK &&
        muster__encode(TO_SERVER, *turns->failed ? &failure : &unknown, &encoding, &body, NULL) ==
            MUSTER_OK) {
        hold_answer(turns, body);
        muster__buffer_release(body);
    }
    turns->unanswered = false;
    turns->cancelled = false;
    turns->failed[0] = '\0';
    drop_message(turns, &turns->current.message);
}

const struct muster_message *muster__turns_consume(struct turns *turns)
{
    turns->consumed++;
    turns->current = turns->next;
    turns->next.message = (struct muster_message)MUSTER_MESSAGE_INIT;
    turns->came = false;
    turns->asking = false;
    turns->unanswered = turns->current.message.kind != MUSTER_RECONNECT;
    turns->progress_at = 0;
    turns->cancelled = false; /* a reconnect_in meanwhile was about what came before */
    return &turns->current.message;
}

bool muster__turns_take(struct turns *turns, struct muster_message *message)
{
    *message = turns->current.message;
    muster__storage_retain(message->storage);
    return message->kind != MUSTER_EMPTY;
}

enum muster_status muster__turns_report(struct turns *turns, double fraction,
                                        const struct muster_message *numbers, int64_t now)
{
    if (turns->original || !turns->stream || now < turns->progress_at)
        return MUSTER_OK;
    struct buffer *body = muster__encode_progress(fraction, numbers);
    enum muster_status status = body ? send_about(turns, turns->current.turn, body) : MUSTER_OUT_OF_MEMORY;
    if (status == MUSTER_GONE)
        status = MUSTER_OK; /* it is not the last word, or the end is about to be told */
    turns->progress_at = now + PROGRESS_INTERVAL_MS;
    muster__buffer_release(body);
    return status;
}
