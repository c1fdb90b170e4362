/*
 * The session: the stream, and what outlives it. All that changes the participant's state is here: opening a
 * stream and being welcome, breaking, coming back, leaving, the end, and the timer of all these. return.c says
 * whether and when to come back, and warning.c what to tell the user.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "callback.h"
#include "link/service.h"
#include "participant/internal.h"
#include "participant/return.h"
#include "participant/warning.h"
#include "status.h"

static const struct stream_events stream_events;

void muster__session_init(struct session *session)
{
    session->deadline = INT64_MAX;
}

void muster__session_destroy(struct session *session)
{
    free(session->name);
}

/* ---- what others ask; with the lock held ---- */

bool muster__session_is_admitted(const struct participant *participant)
{
    return participant->session.name || participant->turns.original;
}

bool muster__session_comes_back(const struct participant *participant)
{
    return participant->session.returning ||
           (participant->options.reconnect_timeout_ms != 0 && participant->session.token_size);
}

enum muster_status muster__session_final_status(const struct participant *participant,
                                                struct muster_error *error)
{
    const struct session *session = &participant->session;
    if (session->closed)
        return muster__error(error, MUSTER_CLOSED, "participant_close() was called");
    if (session->state == PARTICIPANT_ENDED)
        return muster__error(error, session->status, "%s", session->reason);
    return MUSTER_OK;
}

/* ---- changes of state; all with the lock held ---- */

static int64_t now_of(const struct participant *participant)
{
    return participant->transport->ops->now(participant->transport);
}

static void change_state(struct participant *participant, enum participant_state state)
{
    participant->session.state = state;
    participant->session.state_since = now_of(participant);
}

static void stop_timer(struct participant *participant)
{
    participant->session.deadline = INT64_MAX;
    if (muster__timer_stop(participant->transport, &participant->session.timer))
        atomic_fetch_sub(&participant->references, 1); /* never the last: the user's is there */
}

static void timer_expired(struct timer *timer);

/* The timer rings at the deadline, and before that when the user is to be told of the wait. */
static void start_timer_at(struct participant *participant, int64_t deadline)
{
    struct session *session = &participant->session;
    stop_timer(participant);
    session->deadline = deadline;
    int64_t tell_at = session->wait.told_at + session->wait.told_interval_ms;
    bool tells = session->waiting && participant->options.on_warning && !session->warnings.telling;
    int64_t at = tells && tell_at < deadline ? tell_at : deadline;
    if (at == INT64_MAX)
        return;
    atomic_fetch_add(&participant->references, 1);
    muster__timer_start(participant->transport, &session->timer, at, timer_expired);
}

static void start_timer(struct participant *participant, int64_t limit_ms)
{
    start_timer_at(participant, muster__transport_after(participant->transport, limit_ms));
}

static void end(struct participant *participant, enum muster_status status, const char *reason)
{
    struct session *session = &participant->session;
    change_state(participant, PARTICIPANT_ENDED);
    muster__heartbeat_stop(participant);
    session->waiting = false;
    muster__turns_end(&participant->turns);
    session->status = session->closed ? MUSTER_CLOSED : status;
    /* A server, or who poses as one, may have written it. */
    muster_text_harmless(session->closed ? "participant_close() was called" : reason, session->reason,
                         sizeof(session->reason));
    muster__participant_wake(participant);
}

/* Ends the stream for a reason of our own, which its end will report. */
static void cut(struct participant *participant, enum muster_status fault, const char *reason)
{
    struct session *session = &participant->session;
    if (session->fault == MUSTER_OK) {
        session->fault = fault;
        snprintf(session->reason, sizeof(session->reason), "%s", reason);
    }
    session->stream->ops->cut(session->stream);
}

/* Ends the stream, once a big answer is sent. */
static void close_stream(struct participant *participant)
{
    struct session *session = &participant->session;
    session->closing = muster__outgoing_busy(&participant->turns.outgoing);
    if (!session->closing)
        session->stream->ops->close(session->stream, MUSTER_OK, "");
}

/* Warns of what muster__warning_of_...() wrote; without the lock. */
static void tell(struct participant *participant, const char *line)
{
    muster__callback_warn(participant->options.on_warning, participant->options.context, line);
    pthread_mutex_lock(&participant->lock);
    participant->session.warnings.telling = false;
    if (participant->session.waiting)
        start_timer_at(participant, participant->session.deadline);
    pthread_cond_broadcast(&participant->changed);
    muster__participant_unlock(participant);
}

/* ---- opening a stream; with the lock held ---- */

static struct buffer *make_hello(struct participant *participant)
{
    struct session *session = &participant->session;
    Muster__Hello more = MUSTER__HELLO__INIT;
    if (session->token_size) {
        more.session = (ProtobufCBinaryData){session->token_size, session->token};
        more.name = session->name;
        more.last_turn = participant->turns.last_turn;
        more.answer_held = participant->turns.holds_answer;
    }
    if (session->name)
        more.former_rank = session->rank + 1;
    return muster__encode_hello(participant->hello, &more);
}

/* Opens a stream and says Hello. Whatever goes wrong with the stream after this is told by its end. */
static enum muster_status open_stream(struct participant *participant, struct muster_error *error)
{
    struct session *session = &participant->session;
    change_state(participant, PARTICIPANT_CONNECTING);
    session->attempts++;
    session->opened_at = now_of(participant);
    session->proven = false;
    enum muster_status status = participant->transport->ops->connect(
        participant->transport, participant->address, &muster__connect_service,
        participant->options.max_message_size, &participant->connection, &stream_events, participant,
        &session->stream, error);
    if (status != MUSTER_OK)
        return status;
    struct stream *stream = session->stream;
    start_timer_at(participant, session->wait.until);
    struct buffer *hello = make_hello(participant);
    status =
        hello ? muster__traffic_send(&participant->traffic, stream, NULL, 0, hello) : MUSTER_OUT_OF_MEMORY;
    muster__buffer_release(hello);
    if (status == MUSTER_OUT_OF_MEMORY)
        cut(participant, status, "out of memory");
    return MUSTER_OK;
}

void muster__session_open(struct participant *participant)
{
    struct muster_error error = {MUSTER_OK, ""};
    muster__return_first(participant);
    enum muster_status status = open_stream(participant, &error);
    if (status != MUSTER_OK) {
        end(participant, status, error.text);
        participant->session.settled = true;
    }
}

/* ---- coming back; with the lock held ---- */

/* Waits for a while before the next attempt. */
static void come_back(struct participant *participant, enum muster_status status, const char *text)
{
    int64_t at = muster__return_after(participant, status, text);
    change_state(participant, PARTICIPANT_AWAY);
    start_timer_at(participant, at);
}

/* Waits for as long as it was asked to, or longer. */
static void stay_away(struct participant *participant)
{
    int64_t at = muster__return_as_asked(participant);
    change_state(participant, PARTICIPANT_AWAY);
    start_timer_at(participant, at);
}

/* The time away is over, be it what the server asked for, a pause, or in vain, as the time to connect is over
   before that; false: for good, and so is all else. */
static bool try_again(struct participant *participant)
{
    struct muster_error error = {MUSTER_OK, ""};
    enum muster_status status;
    struct session *session = &participant->session;
    int64_t passed_ms = now_of(participant) - session->state_since;
    bool in_vain = !session->waiting && passed_ms < (int64_t)session->reconnect_seconds * 1000;
    if (!session->waiting && !in_vain)
        muster__return_begin(participant);
    if (session->wait.until <= now_of(participant))
        status = muster__return_no_answer(participant, &error);
    else
        status = open_stream(participant, &error);
    if (status != MUSTER_OK)
        end(participant, status, error.text);
    return status == MUSTER_OK;
}

/* ---- what the server says; with the lock held ---- */

static void let_in(struct participant *participant, bool original, const struct abilities *server)
{
    struct session *session = &participant->session;
    change_state(participant, PARTICIPANT_OPEN);
    session->connections++;
    session->returning = session->waiting = false;
    session->name_until = 0;
    stop_timer(participant);
    muster__turns_open(&participant->turns, session->stream, original, server);
}

static void end_session(struct participant *participant)
{
    participant->session.token_size = 0;
    muster__turns_forget(&participant->turns);
}

/* Whether the session that went on before goes on, or another begins. */
static void enter_session(struct participant *participant, const Muster__Welcome *welcome_message)
{
    const ProtobufCBinaryData *token = &welcome_message->session;
    if (muster__token_is(token, participant->session.token, participant->session.token_size)) {
        muster__turns_resume(&participant->turns, welcome_message->last_turn);
        return;
    }
    end_session(participant);
    if (token->len <= SESSION_SIZE_MAX && token->len) {
        memcpy(participant->session.token, token->data, token->len);
        participant->session.token_size = token->len;
    }
}

static enum muster_status welcome(struct participant *participant, const Muster__Welcome *welcome_message,
                                  struct muster_error *error)
{
    struct session *session = &participant->session;
    if (session->state != PARTICIPANT_CONNECTING)
        return MUSTER_OK;
    session->rank = welcome_message->rank;
    if (!session->name && !(session->name = strdup(welcome_message->name)))
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    /* Anew with each server: the one before may have taken less. */
    const struct abilities server =
        muster__welcome_read(welcome_message, participant->options.max_message_size);
    muster__heartbeat_set(participant, welcome_message->heartbeat_ms);
    let_in(participant, false, &server);
    /* Not before Welcome: to a server of the original protocol Hello is the empty message already, and
       another one would count as the first answer. */
    if (participant->turns.begun &&
        muster__traffic_send(&participant->traffic, session->stream, NULL, 0, NULL) == MUSTER_OUT_OF_MEMORY)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    enter_session(participant, welcome_message);
    if (participant->turns.begun)
        muster__turns_begin(&participant->turns);
    pthread_cond_broadcast(&participant->changed);
    return MUSTER_OK;
}

/* The token stays: should the next Welcome be lost, the server knows by it who comes once more. */
static void leave_for(struct participant *participant, int32_t seconds)
{
    struct session *session = &participant->session;
    change_state(participant, PARTICIPANT_LEAVING);
    session->returning = session->waiting = false;
    session->reconnect_seconds = seconds > 0 ? seconds : 0;
    muster__turns_forget(&participant->turns);
    muster__turns_interrupt(&participant->turns);
    session->stream->ops->close(session->stream, MUSTER_OK, "");
    start_timer(participant, participant->options.close_timeout_ms);
}

/* Whether a message is an instruction for the user's code. A request to come back later is obeyed here,
   unless the code wants to see it. */
static bool is_for_code(struct participant *participant, const struct muster_message *message)
{
    struct session *session = &participant->session;
    if (message->kind == MUSTER_EMPTY || session->state > PARTICIPANT_OPEN || session->closed)
        return false;
    if (message->kind == MUSTER_RECONNECT && !participant->options.deliver_reconnect) {
        leave_for(participant, message->reconnect_seconds);
        return false;
    }
    if (session->state == PARTICIPANT_CONNECTING) { /* no Welcome: a server of the original protocol */
        const struct abilities server = {.max_message_size = participant->options.max_message_size};
        muster__heartbeat_set(participant, 0); /* which it would take for an answer */
        let_in(participant, true, &server);
        end_session(participant); /* if there was one before, it was another server's */
    }
    return true;
}

/* ---- events: the timer, and those of the stream ---- */

/* Whether the program is to be told, by call_back() without the lock, that nobody waits for its answer. With the lock
   held. */
static bool takes_cancelled(struct participant *participant)
{
    return muster__turns_take_cancelled(&participant->turns) && participant->options.on_cancelled;
}

static void call_back(struct participant *participant, bool admitted, bool cancelled, bool ready)
{
    const struct participant_options *options = &participant->options;
    bool outer = muster__callback_begin();
    if (admitted && options->on_admitted)
        options->on_admitted(options->context, participant);
    if (cancelled)
        options->on_cancelled(options->context, participant);
    if (ready && options->on_ready)
        options->on_ready(options->context, participant);
    muster__callback_end(outer);
}

/* The last thing that an event does after an end: participant_free() goes on from here. */
static void settle(struct participant *participant)
{
    pthread_mutex_lock(&participant->lock);
    bool cancelled = takes_cancelled(participant);
    muster__participant_unlock(participant);
    call_back(participant, false, cancelled, true);
    pthread_mutex_lock(&participant->lock);
    participant->session.settled = true;
    pthread_cond_broadcast(&participant->changed);
    muster__participant_unlock(participant);
}

/* Whether the end is still to be told, which is up to the caller from now on. With the lock held. */
static bool take_untold_end(struct session *session)
{
    bool untold = session->end_untold;
    session->end_untold = false;
    return untold;
}

static void timer_expired(struct timer *timer)
{
    struct participant *participant = CONTAINER(timer, struct participant, session.timer);
    struct session *session = &participant->session;
    muster__credentials_look(participant->credentials); /* for the next attempt, and not under the lock */
    bool tells = false;
    char line[WARNING_SIZE];
    pthread_mutex_lock(&participant->lock);
    bool ended = take_untold_end(session);
    /* The wait that this timer was for may have ended, and another may have begun, since it was taken off. */
    if (session->deadline != INT64_MAX && session->deadline <= now_of(participant)) {
        session->deadline = INT64_MAX;
        if (session->state == PARTICIPANT_AWAY) {
            ended = !try_again(participant);
        } else if (session->state == PARTICIPANT_CONNECTING) {
            struct muster_error error;
            enum muster_status status = muster__return_no_answer(participant, &error);
            cut(participant, status, error.text);
        } else if (session->state == PARTICIPANT_LEAVING) {
            session->stream->ops->cut(session->stream);
        }
    } else if (session->waiting) {
        tells = muster__warning_of_wait(participant, line);
        start_timer_at(participant, session->deadline);
    }
    muster__participant_unlock(participant);
    if (ended)
        settle(participant);
    if (tells)
        tell(participant, line);
    muster__participant_release(participant);
}

/* Whether no code of the user's hears of a message, so that a thread which waits to consume may be told of it. */
static bool may_tell_here(struct participant *participant, const struct envelope *envelope,
                          enum muster_status status)
{
    pthread_mutex_lock(&participant->lock);
    bool open = participant->session.state == PARTICIPANT_OPEN;
    muster__participant_unlock(participant);
    return open && status == MUSTER_OK && envelope->content != CONTENT_WELCOME &&
           envelope->content != CONTENT_REFUSED && envelope->content != CONTENT_CANCEL;
}

static void message_received(void *context, const struct piece *pieces, size_t count, size_t size)
{
    struct participant *participant = context;
    struct envelope envelope;
    struct muster_error error;
    bool ready = false, tells = false;
    char line[WARNING_SIZE];
    enum muster_status status = muster__decode(TO_PARTICIPANT, pieces, count, &envelope, &error);
    if (muster__tends() && !may_tell_here(participant, &envelope, status)) {
        muster__envelope_clear(&envelope);
        muster__tend_put_off();
        return;
    }
    pthread_mutex_lock(&participant->lock);
    bool known = muster__session_is_admitted(participant);
    muster__traffic_received(&participant->traffic, size);
    if (status == MUSTER_OK && envelope.content == CONTENT_WELCOME)
        status = welcome(participant, envelope.welcome, &error);
    else if (status == MUSTER_OK && envelope.content == CONTENT_REFUSED)
        tells = muster__warning_of_refusal(participant, &envelope, line);
    else if (status == MUSTER_OK &&
             (envelope.content != CONTENT_MESSAGE || is_for_code(participant, &envelope.message)))
        status =
            muster__turns_received(&participant->turns, &participant->lock, &envelope, size, &ready, &error);
    if (status == MUSTER_OK && envelope.heartbeat_ms)
        muster__heartbeat_set(participant, envelope.heartbeat_ms);
    muster__heartbeat_run(participant);
    if (ready) {
        participant->session.proven = true;
        participant->session.came_at = now_of(participant);
        muster__tend_rouse(participant->tended);
    }
    if (status != MUSTER_OK)
        cut(participant, status, error.text);
    else if (participant->session.closing)
        close_stream(participant); /* the answer that is to be sent first may just have been cancelled */
    bool cancelled = takes_cancelled(participant);
    bool admitted = !known && muster__session_is_admitted(participant) && !participant->session.closed;
    muster__participant_unlock(participant);
    if (ready)
        pthread_cond_broadcast(&participant->changed); /* not under the lock, which those who wake want */
    muster__envelope_clear(&envelope);
    call_back(participant, admitted, cancelled, ready);
    if (tells)
        tell(participant, line);
}

static bool message_begins(void *context, const uint8_t *data, size_t there, size_t size,
                           struct landing *landing)
{
    struct participant *participant = context;
    struct envelope envelope;
    landing->head = muster__decode_chunk_head(TO_PARTICIPANT, data, there, size, &envelope);
    if (landing->head == 0)
        return false;
    pthread_mutex_lock(&participant->lock);
    bool lands = muster__turns_land(&participant->turns, &envelope, size - landing->head, &landing->place);
    muster__participant_unlock(participant);
    return lands;
}

static void part_sent(void *context)
{
    struct participant *participant = context;
    pthread_mutex_lock(&participant->lock);
    muster__turns_sent(&participant->turns);
    if (participant->session.closing)
        close_stream(participant);
    muster__participant_unlock(participant);
}

/* The stream has ended, and there will be no other. With the lock held. */
static void end_with_stream(struct participant *participant, enum muster_status status, const char *text)
{
    struct session *session = &participant->session;
    char reason[MUSTER_ERROR_TEXT_SIZE];
    if (session->fault != MUSTER_OK) {
        status = session->fault;
        snprintf(reason, sizeof(reason), "%s", session->reason);
    } else if (muster__return_is_due(participant, status, text)) { /* the last attempt in time */
        struct muster_error error;
        muster__wait_failed(&session->wait, status, text);
        status = muster__return_no_answer(participant, &error);
        snprintf(reason, sizeof(reason), "%s", error.text);
    } else {
        status = muster__return_status(session->state, status);
        snprintf(reason, sizeof(reason), "%s", *text ? text : muster_status_text(status));
    }
    end(participant, status, reason);
}

static void stream_closed(void *context, enum muster_status status, const char *text)
{
    struct participant *participant = context;
    struct session *session = &participant->session;
    pthread_mutex_lock(&participant->lock);
    struct stream *stream = session->stream;
    session->stream = NULL;
    muster__turns_interrupt(&participant->turns);
    stop_timer(participant);
    bool away = true, tells = false;
    char line[WARNING_SIZE];
    if (session->state == PARTICIPANT_LEAVING && !session->closed) {
        session->fault = MUSTER_OK; /* whatever it was, that stream is over */
        stay_away(participant);
    } else if (muster__return_is_due(participant, status, text) &&
               (!session->waiting || session->wait.until > now_of(participant))) {
        come_back(participant, status, text);
        tells = muster__warning_of_wait(participant, line);
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
    .begins = message_begins,
    .sent = part_sent,
    .closed = stream_closed,
};

/* ---- what the user does; with the lock held ---- */

void muster__session_hang_up(struct participant *participant)
{
    struct session *session = &participant->session;
    if (session->closed || session->state == PARTICIPANT_ENDED)
        return;
    session->closed = true;
    muster__turns_end(&participant->turns);
    if (session->state == PARTICIPANT_AWAY) {
        end(participant, MUSTER_CLOSED, "");
        session->end_untold = true;
        start_timer(participant, 0);
    } else if (session->state == PARTICIPANT_CONNECTING) {
        session->stream->ops->cut(session->stream);
    } else {
        close_stream(participant);
    }
    muster__participant_wake(participant);
}

void muster__session_spare(struct participant *participant)
{
    if (!take_untold_end(&participant->session))
        return;
    stop_timer(participant);
    participant->session.settled = true;
}

enum muster_status muster__session_pass_initiative(struct participant *participant)
{
    struct session *session = &participant->session;
    enum muster_status status = MUSTER_OK;
    if (session->state == PARTICIPANT_OPEN && !participant->turns.original)
        status = muster__traffic_send(&participant->traffic, session->stream, NULL, 0, NULL);
    /* The stream has ended, and we are about to be told: the next Welcome is followed by it, if there is one. */
    if (status == MUSTER_CLOSED)
        status = MUSTER_OK;
    if (status == MUSTER_OK)
        muster__turns_begin(&participant->turns);
    return status;
}
