/*
 * The session: the stream, and what outlives it. All that changes the participant's state is here: opening a
 * stream and being welcome, breaking, coming back, leaving, the end, and the timer of all these.
 */
#include <config.h>

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "callback.h"
#include "link/hello.h"
#include "link/service.h"
#include "network/credentials.h"
#include "participant/internal.h"
#include "status.h"

/* When a user who waits is told why: first after so long, and then after twice as long each time. */
enum { TELL_FIRST_MS = 2000, TELL_LAST_MS = 600000 };

/* Of answers that were refused the user is told so many at once, and then one in so long. Of a server that
   says more than that, so many are read at once. */
enum { REFUSALS_MOST = 8, REFUSAL_MS = 5000, UNTOLD_MOST = 256, UNTOLD_PAUSE_MS = 50 };

enum { LINE_SIZE = MUSTER_ERROR_TEXT_SIZE + 128 };

/* How a server ends that refuses a name of which the session may soon be over: "... is away, kept for 43 s
   more". A name could hold these words, too, but not at the end. */
#define NAME_IS_AWAY " s more"

static const struct stream_events stream_events;

/* ---- changes of state; all with the lock held ---- */

static int64_t now_of(const struct participant *participant)
{
    return participant->transport->ops->now(participant->transport);
}

static void stop_timer(struct participant *participant)
{
    participant->deadline = INT64_MAX;
    if (muster__timer_stop(participant->transport, &participant->timer))
        atomic_fetch_sub(&participant->references, 1); /* never the last: the user's is there */
}

static void timer_expired(struct timer *timer);

/* The timer rings at the deadline, and before that when the user is to be told of the wait. */
static void start_timer_at(struct participant *participant, int64_t deadline)
{
    stop_timer(participant);
    participant->deadline = deadline;
    int64_t tell_at = participant->told_at + participant->told_interval_ms;
    bool tells = participant->waiting && participant->options.on_warning && !participant->telling;
    int64_t at = tells && tell_at < deadline ? tell_at : deadline;
    if (at == INT64_MAX)
        return;
    atomic_fetch_add(&participant->references, 1);
    muster__timer_start(participant->transport, &participant->timer, at, timer_expired);
}

static void start_timer(struct participant *participant, int64_t limit_ms)
{
    start_timer_at(participant, muster__transport_after(participant->transport, limit_ms));
}

static void end(struct participant *participant, enum muster_status status, const char *reason)
{
    participant->state = ENDED;
    participant->waiting = false;
    muster__participant_end_turns(participant);
    participant->status = participant->closed ? MUSTER_CLOSED : status;
    /* A server, or who poses as one, may have written it. */
    muster_text_harmless(participant->closed ? "participant_close() was called" : reason, participant->reason,
                         sizeof(participant->reason));
    pthread_cond_broadcast(&participant->changed);
}

/* Ends the stream for a reason of our own, which its end will report. */
static void cut(struct participant *participant, enum muster_status fault, const char *reason)
{
    if (participant->fault == MUSTER_OK) {
        participant->fault = fault;
        snprintf(participant->reason, sizeof(participant->reason), "%s", reason);
    }
    participant->stream->ops->cut(participant->stream);
}

/* Ends the stream, once a big answer is sent. */
static void close_stream(struct participant *participant)
{
    participant->closing = muster__outgoing_busy(&participant->outgoing);
    if (!participant->closing)
        participant->stream->ops->close(participant->stream, MUSTER_OK, "");
}

/* ---- waiting for the server; with the lock held but for tell() ---- */

/* Whether the latest connection was worth having. */
static bool was_good(const struct participant *participant)
{
    return participant->proven ||
           now_of(participant) - participant->opened_at >= participant->options.reconnect_last_ms;
}

/* From now on attempts are made, for so long, to get in. Pauses are short again after a connection that was
   good for something; one that breaks as soon as it is there, each time, is an attempt like others. */
static void begin_waiting(struct participant *participant, int64_t limit_ms)
{
    participant->try_until = muster__transport_after(participant->transport, limit_ms);
    if (was_good(participant))
        participant->reconnect_pause_ms = participant->options.reconnect_first_ms;
    participant->waiting = true;
    participant->cause_status = MUSTER_OK;
    participant->cause[0] = participant->told[0] = '\0';
    participant->told_at = now_of(participant);
    participant->told_interval_ms = TELL_FIRST_MS;
}

static void note_cause(struct participant *participant, enum muster_status status, const char *text)
{
    participant->cause_status = status;
    muster_text_harmless(*text ? text : muster_status_text(status), participant->cause,
                         sizeof(participant->cause));
}

static const char *cause_of(const struct participant *participant)
{
    return participant->cause_status != MUSTER_OK
               ? participant->cause
               : "no answer (is the address right, and no firewall in the way?)";
}

/* Whether two causes differ in more than numbers, such as seconds that are left. */
static bool is_other(const char *cause, const char *other)
{
    const char *digits = "0123456789";
    while (*cause && *cause == *other) {
        cause++;
        other++;
        cause += strspn(cause, digits);
        other += strspn(other, digits);
    }
    return *cause || *other;
}

/* Whether it is time to tell the user of the wait: then tell() is to follow, without the lock. Another cause
   than that which was told is told earlier, but causes that take turns do not make it talk without end. */
static bool is_time_to_tell(struct participant *participant, char line[MUSTER_ERROR_TEXT_SIZE])
{
    if (!participant->waiting || participant->closed || participant->telling ||
        !participant->options.on_warning)
        return false;
    const char *cause = cause_of(participant);
    bool news = participant->told[0] && is_other(participant->told, cause);
    int64_t interval_ms = news ? participant->told_interval_ms / 4 : participant->told_interval_ms;
    int64_t now = now_of(participant);
    if (now - participant->told_at < interval_ms)
        return false;
    participant->told_at = now;
    participant->told_interval_ms =
        participant->told_interval_ms < TELL_LAST_MS / 2 ? participant->told_interval_ms * 2 : TELL_LAST_MS;
    memcpy(participant->told, cause, strlen(cause) + 1);
    participant->telling = true;
    snprintf(line, MUSTER_ERROR_TEXT_SIZE, "still waiting for %.64s: %.160s", participant->address, cause);
    return true;
}

static void tell(struct participant *participant, const char *line)
{
    muster__callback_warn(participant->options.on_warning, participant->options.context, line);
    pthread_mutex_lock(&participant->lock);
    participant->telling = false;
    if (participant->waiting)
        start_timer_at(participant, participant->deadline);
    pthread_cond_broadcast(&participant->changed);
    muster__participant_unlock(participant);
}

/* ---- opening a stream; with the lock held ---- */

static struct buffer *make_hello(struct participant *participant)
{
    Muster__Hello more = MUSTER__HELLO__INIT;
    if (participant->session_size) {
        more.session = (ProtobufCBinaryData){participant->session_size, participant->session};
        more.name = participant->name;
        more.last_turn = participant->last_turn;
        more.answer_held = participant->holds_answer;
    }
    if (participant->name)
        more.former_rank = participant->rank + 1;
    return muster__encode_hello_again(participant->hello, &more);
}

/* Opens a stream and says Hello. Whatever goes wrong with the stream after this is told by its end. */
static enum muster_status open_stream(struct participant *participant, struct muster_error *error)
{
    participant->state = CONNECTING;
    participant->opened_at = now_of(participant);
    participant->proven = false;
    enum muster_status status = participant->transport->ops->connect(
        participant->transport, participant->address, &muster__connect_service,
        participant->options.max_message_size, &participant->connection, &stream_events, participant,
        &participant->stream, error);
    if (status != MUSTER_OK)
        return status;
    struct stream *stream = participant->stream;
    start_timer_at(participant, participant->try_until);
    struct buffer *hello = make_hello(participant);
    status = hello ? stream->ops->send(stream, NULL, 0, hello) : MUSTER_OUT_OF_MEMORY;
    muster__buffer_release(hello);
    if (status == MUSTER_OUT_OF_MEMORY)
        cut(participant, status, "out of memory");
    return MUSTER_OK;
}

void muster__participant_open(struct participant *participant)
{
    struct muster_error error = {MUSTER_OK, ""};
    participant->reconnect_pause_ms = participant->options.reconnect_first_ms;
    begin_waiting(participant, participant->options.connect_timeout_ms);
    enum muster_status status = open_stream(participant, &error);
    if (status != MUSTER_OK) {
        end(participant, status, error.text);
        participant->settled = true;
    }
}

/* ---- coming back; with the lock held ---- */

/* What the end of a stream means to its participant. */
static enum muster_status status_of_end(enum participant_state state, enum muster_status status)
{
    if (status == MUSTER_OK)
        return MUSTER_STOPPED; /* the server said good-bye */
    if (state == CONNECTING && status == MUSTER_TOO_BIG)
        return MUSTER_FULL; /* Hello is not big: C-core has one code for both */
    if (status == MUSTER_TIMEOUT)
        status = MUSTER_UNAVAILABLE; /* TIMEOUT from participant_consume() is an invitation to call again */
    if (state != CONNECTING && (status == MUSTER_UNAVAILABLE || status == MUSTER_CANCELLED))
        return MUSTER_GONE;
    return status;
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

/* Whether the end of a stream is one after which to try again. */
static bool is_broken(const struct participant *participant, enum muster_status status, const char *text)
{
    bool admitted = is_admitted(participant);
    if (participant->closed || participant->fault != MUSTER_OK || (admitted && !comes_back(participant)))
        return false;
    if (participant->state != OPEN && participant->state != CONNECTING)
        return false;
    if (status == MUSTER_UNAVAILABLE || status == MUSTER_CANCELLED || status == MUSTER_TIMEOUT)
        return true;
    if (participant->state != CONNECTING)
        return false;
    if (status == MUSTER_EXISTS)
        return ends_with(text, NAME_IS_AWAY);
    if (status == MUSTER_UNAUTHENTICATED)
        return admitted; /* a certificate has run out, at either end: it may be replaced */
    return participant->returning && status_of_end(CONNECTING, status) == MUSTER_FULL;
}

/* From 1. */
static int64_t random_up_to(int64_t most)
{
    uint32_t random = 0;
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
        return most;
    return (int64_t)(random % (uint64_t)most) + 1;
}

static int64_t limit_of(const struct participant *participant)
{
    const struct participant_options *options = &participant->options;
    return is_admitted(participant) && options->reconnect_timeout_ms ? options->reconnect_timeout_ms
                                                                     : options->connect_timeout_ms;
}

/* From now on it tries to come back. Before it was ever admitted, it goes on trying as before. */
static void begin_return(struct participant *participant)
{
    if (participant->returning)
        return;
    participant->returning = true;
    if (is_admitted(participant))
        begin_waiting(participant, limit_of(participant));
    participant->waiting = true;
}

/* Longer each time. */
static int64_t next_pause(struct participant *participant)
{
    const struct participant_options *options = &participant->options;
    int64_t pause_ms = random_up_to(participant->reconnect_pause_ms);
    participant->reconnect_pause_ms = participant->reconnect_pause_ms < options->reconnect_last_ms / 2
                                          ? participant->reconnect_pause_ms * 2
                                          : options->reconnect_last_ms;
    return pause_ms;
}

/* Waits for a while before the next attempt. */
static void come_back(struct participant *participant, enum muster_status status, const char *text)
{
    if (is_admitted(participant))
        begin_return(participant);
    note_cause(participant, status, text);
    participant->state = AWAY;
    int64_t pause_ms = next_pause(participant);
    int64_t left_ms = participant->try_until - now_of(participant);
    start_timer(participant, pause_ms < left_ms ? pause_ms : left_ms);
}

/* Waits for as long as it was asked to, or longer, if it is asked again and again for nothing. */
static void stay_away(struct participant *participant)
{
    int64_t wait_ms = (int64_t)participant->reconnect_seconds * 1000;
    bool again = participant->reconnect_pause_ms > participant->options.reconnect_first_ms;
    if (!was_good(participant)) {
        int64_t pause_ms = next_pause(participant);
        wait_ms = again && pause_ms > wait_ms ? pause_ms : wait_ms;
    }
    participant->state = AWAY;
    start_timer(participant, wait_ms);
}

enum muster_status muster__participant_no_answer(const struct participant *participant,
                                                 struct muster_error *error)
{
    enum muster_status status = participant->cause_status;
    long long limit_ms = (long long)limit_of(participant);
    if (status != MUSTER_EXISTS && status != MUSTER_UNAUTHENTICATED)
        status = is_admitted(participant) && participant->options.reconnect_timeout_ms ? MUSTER_GONE
                                                                                       : MUSTER_UNAVAILABLE;
    if (!participant->waiting)
        return muster__error(error, status, "still asked to come back later by %.128s after %lld ms",
                             participant->address, limit_ms);
    return muster__error(error, status, "not admitted by %.64s within %lld ms: %.140s", participant->address,
                         limit_ms, cause_of(participant));
}

/* The time away is over, be it what the server asked for or a pause; false: for good, and so is all else. */
static bool try_again(struct participant *participant)
{
    struct muster_error error = {MUSTER_OK, ""};
    enum muster_status status;
    if (!participant->waiting)
        begin_return(participant);
    if (participant->try_until <= now_of(participant))
        status = muster__participant_no_answer(participant, &error);
    else
        status = open_stream(participant, &error);
    if (status != MUSTER_OK)
        end(participant, status, error.text);
    return status == MUSTER_OK;
}

/* ---- what the server says; with the lock held ---- */

static void let_in(struct participant *participant)
{
    participant->state = OPEN;
    participant->returning = participant->waiting = false;
    stop_timer(participant);
}

static void end_session(struct participant *participant)
{
    participant->session_size = 0;
    muster__participant_forget_turns(participant);
}

/* Whether the session that went on before goes on, or another begins. */
static void enter_session(struct participant *participant, const Muster__Welcome *welcome_message)
{
    const ProtobufCBinaryData *token = &welcome_message->session;
    if (muster__token_is(token, participant->session, participant->session_size)) {
        muster__participant_resume_turns(participant, welcome_message->last_turn);
        return;
    }
    end_session(participant);
    if (token->len <= SESSION_SIZE_MAX && token->len) {
        memcpy(participant->session, token->data, token->len);
        participant->session_size = token->len;
    }
}

static enum muster_status welcome(struct participant *participant, const Muster__Welcome *welcome_message,
                                  struct muster_error *error)
{
    if (participant->state != CONNECTING)
        return MUSTER_OK;
    participant->rank = welcome_message->rank;
    if (!participant->name && !(participant->name = strdup(welcome_message->name)))
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    /* Anew with each server: the one before may have taken less. */
    const struct abilities peer =
        muster__welcome_read(welcome_message, participant->options.max_message_size);
    participant->max_message_size = peer.max_message_size;
    participant->max_payload_size = peer.max_payload_size;
    participant->original = false;
    let_in(participant);
    /* Not before Welcome: to a server of the original protocol Hello is the empty message already, and
       another one would count as the first answer. */
    if (participant->initiative &&
        participant->stream->ops->send(participant->stream, NULL, 0, NULL) == MUSTER_OUT_OF_MEMORY)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    enter_session(participant, welcome_message);
    pthread_cond_broadcast(&participant->changed);
    return MUSTER_OK;
}

/* The token stays: should the next Welcome be lost, the server knows by it who comes once more. */
static void leave_for(struct participant *participant, int32_t seconds)
{
    participant->state = LEAVING;
    participant->returning = participant->waiting = false;
    participant->reconnect_seconds = seconds > 0 ? seconds : 0;
    muster__participant_forget_turns(participant);
    participant->stream->ops->close(participant->stream, MUSTER_OK, "");
    start_timer(participant, participant->options.close_timeout_ms);
}

/* Whether a message is an instruction for the user's code. A request to come back later is obeyed here,
   unless the code wants to see it. */
static bool is_for_code(struct participant *participant, const struct muster_message *message)
{
    if (message->kind == MUSTER_EMPTY || participant->state > OPEN || participant->closed)
        return false;
    if (message->kind == MUSTER_RECONNECT && !participant->options.deliver_reconnect) {
        leave_for(participant, message->reconnect_seconds);
        return false;
    }
    if (participant->state == CONNECTING) { /* no Welcome: a server of the original protocol */
        participant->original = true;
        participant->max_message_size = participant->options.max_message_size;
        participant->max_payload_size = 0;
        let_in(participant);
        end_session(participant); /* if there was one before, it was another server's */
    }
    return true;
}

/* An answer was refused: whether to tell the user, and then tell() is to follow, without the lock. */
static bool is_refusal_to_tell(struct participant *participant, const struct envelope *envelope,
                               char line[LINE_SIZE])
{
    char text[MUSTER_ERROR_TEXT_SIZE], others[64] = "";
    int64_t now = now_of(participant);
    if (participant->state != OPEN || participant->closed || participant->telling ||
        !participant->options.on_warning ||
        participant->refusals_until - now > (REFUSALS_MOST - 1) * REFUSAL_MS) {
        if (++participant->untold % UNTOLD_MOST == 0)
            participant->stream->ops->pause(participant->stream, UNTOLD_PAUSE_MS);
        return false;
    }
    if (participant->refusals_until < now)
        participant->refusals_until = now;
    participant->refusals_until += REFUSAL_MS;
    if (participant->untold)
        snprintf(others, sizeof(others), " (and %llu more before)", (unsigned long long)participant->untold);
    participant->untold = 0;
    participant->telling = true;
    snprintf(line, LINE_SIZE, "the server refused the answer to turn %llu%s: %s",
             (unsigned long long)envelope->turn, others,
             muster_text_harmless(envelope->message.text, text, sizeof(text)));
    return true;
}

/* ---- events: the timer, and those of the stream ---- */

static void tell_ready(struct participant *participant)
{
    if (!participant->options.on_ready)
        return;
    bool outer = muster__callback_begin();
    participant->options.on_ready(participant->options.context, participant);
    muster__callback_end(outer);
}

/* With the lock held: whether tell_cancelled() is to follow, without it. */
static bool take_cancelled(struct participant *participant)
{
    bool untold = participant->cancel_untold && participant->options.on_cancelled;
    participant->cancel_untold = false;
    return untold;
}

static void tell_cancelled(struct participant *participant)
{
    bool outer = muster__callback_begin();
    participant->options.on_cancelled(participant->options.context, participant);
    muster__callback_end(outer);
}

/* The last thing that an event does after an end: participant_free() goes on from here. */
static void settle(struct participant *participant)
{
    pthread_mutex_lock(&participant->lock);
    bool cancelled = take_cancelled(participant);
    muster__participant_unlock(participant);
    if (cancelled)
        tell_cancelled(participant);
    tell_ready(participant);
    pthread_mutex_lock(&participant->lock);
    participant->settled = true;
    pthread_cond_broadcast(&participant->changed);
    muster__participant_unlock(participant);
}

static void timer_expired(struct timer *timer)
{
    struct participant *participant = CONTAINER(timer, struct participant, timer);
    muster__credentials_look(participant->credentials); /* for the next attempt, and not under the lock */
    bool ended = false, tells = false;
    char line[MUSTER_ERROR_TEXT_SIZE];
    pthread_mutex_lock(&participant->lock);
    /* The wait that this timer was for may have ended, and another may have begun, since it was taken off. */
    if (participant->deadline != INT64_MAX && participant->deadline <= now_of(participant)) {
        participant->deadline = INT64_MAX;
        if (participant->state == AWAY) {
            ended = !try_again(participant);
        } else if (participant->state == CONNECTING) {
            struct muster_error error;
            enum muster_status status = muster__participant_no_answer(participant, &error);
            cut(participant, status, error.text);
        } else if (participant->state == LEAVING) {
            participant->stream->ops->cut(participant->stream);
        }
    } else if (participant->waiting) {
        tells = is_time_to_tell(participant, line);
        start_timer_at(participant, participant->deadline);
    }
    muster__participant_unlock(participant);
    if (ended)
        settle(participant);
    if (tells)
        tell(participant, line);
    muster__participant_release(participant);
}

static void message_received(void *context, const struct piece *pieces, size_t count, size_t size)
{
    struct participant *participant = context;
    struct envelope envelope;
    struct muster_error error;
    bool ready = false, tells = false;
    char line[LINE_SIZE];
    enum muster_status status = muster__decode(TO_PARTICIPANT, pieces, count, &envelope, &error);
    pthread_mutex_lock(&participant->lock);
    if (status == MUSTER_OK && envelope.content == CONTENT_WELCOME)
        status = welcome(participant, envelope.welcome, &error);
    else if (status == MUSTER_OK && envelope.content == CONTENT_REFUSED)
        tells = is_refusal_to_tell(participant, &envelope, line);
    else if (status == MUSTER_OK &&
             (envelope.content != CONTENT_MESSAGE || is_for_code(participant, &envelope.message)))
        status = muster__participant_received(participant, &envelope, size, &ready, &error);
    if (status != MUSTER_OK)
        cut(participant, status, error.text);
    else if (participant->closing)
        close_stream(participant); /* the answer that is to be sent first may just have been cancelled */
    bool cancelled = take_cancelled(participant);
    muster__participant_unlock(participant);
    if (ready)
        pthread_cond_broadcast(&participant->changed); /* not under the lock, which those who wake want */
    muster__envelope_clear(&envelope);
    if (cancelled)
        tell_cancelled(participant);
    if (ready)
        tell_ready(participant);
    if (tells)
        tell(participant, line);
}

static void part_sent(void *context)
{
    struct participant *participant = context;
    pthread_mutex_lock(&participant->lock);
    muster__participant_sent(participant);
    if (participant->closing)
        close_stream(participant);
    muster__participant_unlock(participant);
}

/* The stream has ended, and there will be no other. With the lock held. */
static void end_with_stream(struct participant *participant, enum muster_status status, const char *text)
{
    char reason[MUSTER_ERROR_TEXT_SIZE];
    if (participant->fault != MUSTER_OK) {
        status = participant->fault;
        snprintf(reason, sizeof(reason), "%s", participant->reason);
    } else if (is_broken(participant, status, text)) { /* the last attempt in time */
        struct muster_error error;
        note_cause(participant, status, text);
        status = muster__participant_no_answer(participant, &error);
        snprintf(reason, sizeof(reason), "%s", error.text);
    } else {
        status = status_of_end(participant->state, status);
        snprintf(reason, sizeof(reason), "%s", text);
    }
    end(participant, status, reason);
}

static void stream_closed(void *context, enum muster_status status, const char *text)
{
    struct participant *participant = context;
    pthread_mutex_lock(&participant->lock);
    struct stream *stream = participant->stream;
    participant->stream = NULL;
    muster__participant_interrupt_turns(participant);
    stop_timer(participant);
    bool away = true, tells = false;
    char line[MUSTER_ERROR_TEXT_SIZE];
    if (participant->state == LEAVING && !participant->closed) {
        participant->fault = MUSTER_OK; /* whatever it was, that stream is over */
        stay_away(participant);
    } else if (is_broken(participant, status, text) &&
               (!participant->waiting || participant->try_until > now_of(participant))) {
        come_back(participant, status, text);
        tells = is_time_to_tell(participant, line);
    } else {
        away = false;
        end_with_stream(participant, status, text);
    }
    muster__participant_unlock(participant);
    stream->ops->release(stream);
    if (!away)
        settle(participant);
    else if (tells)
        tell(participant, line);
}

static const struct stream_events stream_events = {
    .message = message_received,
    .sent = part_sent,
    .closed = stream_closed,
};

/* ---- what the user does; with the lock held ---- */

void muster__participant_hang_up(struct participant *participant)
{
    if (participant->closed || participant->state == ENDED)
        return;
    participant->closed = true;
    muster__participant_end_turns(participant);
    if (participant->state == AWAY) {
        stop_timer(participant);
        end(participant, MUSTER_CLOSED, "");
        participant->settled = true;
    } else if (participant->state == CONNECTING) {
        participant->stream->ops->cut(participant->stream);
    } else {
        close_stream(participant);
    }
    pthread_cond_broadcast(&participant->changed);
}
