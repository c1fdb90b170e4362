/*
 * The participant: one stream to the server at a time, the instruction that is being worked on and the one
 * that has come after it.
 *
 * One lock, participant->lock, guards all that changes. Under it the transport's stream functions and the
 * timers are called, which take their own locks and call nothing back. No user code runs under it.
 */
#include <config.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <muster/participant.h>

#include "network/credentials.h"
#include "network/transport.h"
#include "status.h"
#include "wire/block.h"
#include "wire/codec.h"
#include "wire/transfer.h"

/* A training loop may report after every batch: the server gets so many milliseconds' worth at once. */
#define PROGRESS_INTERVAL_MS 100

/* Twice what servers take for the least. */
#define KEEPALIVE_TIME_LEAST 10000

#define SESSION_SIZE_MAX 64

enum state {
    CONNECTING, /* a stream is being opened; the server has not said anything yet */
    OPEN,       /* admitted */
    LEAVING,    /* the server asked to come back later; the stream's end is awaited */
    AWAY,       /* no stream, the server asked for it or it broke; the timer runs until the next is opened */
    ENDED,      /* for good; `status` and `reason` say why */
};

struct instruction {
    struct muster_message message;
    uint64_t turn;
    uint64_t granted; /* bytes that its answer may send in chunks without being told to */
};

struct participant {
    atomic_size_t references;           /* the user's, and one while the timer runs */
    struct participant_options options; /* without its strings, which are in `hello` */
    char *address;
    struct buffer *hello; /* packed: name, labels, limits */
    struct credentials *credentials;
    struct connection_options connection;
    struct muster_transport *transport;

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    enum state state;
    bool settled;      /* in ENDED: no event will come any more */
    bool closed;       /* by the user */
    bool initiative;   /* the first, empty message was dispatched */
    bool original;     /* the server did not answer Hello: it is one of the original protocol */
    bool came;         /* `next` holds an instruction that was not consumed yet */
    bool unanswered;   /* `current` holds an instruction that was not answered yet */
    bool cancelled;    /* nobody waits for the answer to `current` any more */
    uint64_t consumed; /* instructions so far: turns begin anew with each session, this does not */
    struct instruction current;
    struct instruction next;
    struct incoming arriving;  /* an instruction of which chunks are missing */
    uint64_t arriving_granted; /* its `granted` */
    struct outgoing outgoing;  /* the last answer, if it is a big one, until the next instruction */
    bool closing;              /* the stream is to be closed when that is sent */
    /* The session, as far as it outlives the stream. */
    uint8_t session[SESSION_SIZE_MAX]; /* the server's token */
    size_t session_size;               /* 0: it ends with the stream */
    uint64_t last_turn;                /* of the last instruction that was received whole */
    bool holds_answer;   /* to the last instruction, until the next: it may have to be sent again */
    struct buffer *held; /* that answer */
    uint64_t held_turn;
    bool lost;          /* the stream broke: what for CONNECTING and AWAY are there */
    int64_t lost_until; /* when to give up */
    int64_t reconnect_pause_ms;
    struct stream *stream; /* NULL in AWAY and ENDED */
    struct timer timer;
    int64_t deadline; /* of CONNECTING, LEAVING or AWAY; INT64_MAX: none */
    int32_t reconnect_seconds;
    int64_t progress_at;       /* before this time, no report is sent */
    enum muster_status fault;  /* why we cut the stream ourselves; OK: we did not */
    size_t max_message_size;   /* that both sides accept */
    uint64_t max_payload_size; /* that the server accepts; 0: it takes no chunks */
    char *name;                /* set once, before participant_connect() returns */
    uint64_t rank;
    enum muster_status status;
    char reason[MUSTER_ERROR_TEXT_SIZE];
};

static const struct stream_events stream_events;

static void unreference(struct participant *participant)
{
    if (atomic_fetch_sub_explicit(&participant->references, 1, memory_order_acq_rel) != 1)
        return;
    muster_message_clear(&participant->current.message);
    muster_message_clear(&participant->next.message);
    muster_message_clear(&participant->arriving.message);
    muster__outgoing_begin(&participant->outgoing, NULL, 0);
    muster__buffer_release(participant->held);
    muster__buffer_release(participant->hello);
    muster__credentials_free(participant->credentials);
    pthread_cond_destroy(&participant->changed);
    pthread_mutex_destroy(&participant->lock);
    free(participant->name);
    free(participant->address);
    free(participant);
}

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

static void start_timer(struct participant *participant, int64_t limit_ms)
{
    stop_timer(participant);
    participant->deadline = muster__transport_after(participant->transport, limit_ms);
    if (participant->deadline == INT64_MAX)
        return;
    atomic_fetch_add(&participant->references, 1);
    muster__timer_start(participant->transport, &participant->timer, participant->deadline, timer_expired);
}

static void drop_arriving(struct participant *participant)
{
    struct muster_message arriving = muster__incoming_take(&participant->arriving);
    muster_message_clear(&arriving);
}

/* The server has the answer, or does not want it. */
static void drop_answer(struct participant *participant)
{
    muster__outgoing_begin(&participant->outgoing, NULL, 0);
    muster__buffer_release(participant->held);
    participant->held = NULL;
    participant->holds_answer = false;
}

static void drop_next(struct participant *participant)
{
    drop_arriving(participant);
    muster_message_clear(&participant->next.message);
    participant->came = false;
}

static void end(struct participant *participant, enum muster_status status, const char *reason)
{
    participant->state = ENDED;
    participant->cancelled = true;
    if (participant->came && participant->next.message.kind != MUSTER_RECONNECT)
        drop_next(participant);
    participant->status = participant->closed ? MUSTER_CLOSED : status;
    snprintf(participant->reason, sizeof(participant->reason), "%s",
             participant->closed ? "participant_close() was called" : reason);
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

/* The session is over: nobody waits for an answer, and turns begin anew. */
static void end_session(struct participant *participant)
{
    participant->session_size = 0;
    participant->last_turn = 0;
    participant->cancelled = true;
    drop_answer(participant);
    drop_next(participant);
}

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

/* Opens a stream and says Hello, and passes the initiative if that was done before. Whatever goes wrong with
   the stream after this is told by its end. */
static enum muster_status open_stream(struct participant *participant, struct muster_error *error)
{
    participant->state = CONNECTING;
    enum muster_status status = participant->transport->ops->connect(
        participant->transport, participant->address, participant->options.max_message_size,
        &participant->connection, &stream_events, participant, &participant->stream, error);
    if (status != MUSTER_OK)
        return status;
    struct stream *stream = participant->stream;
    int64_t left_ms = participant->lost_until - now_of(participant);
    start_timer(participant, !participant->lost ? participant->options.connect_timeout_ms
                             : left_ms > 0      ? left_ms
                                                : 0);
    struct buffer *hello = make_hello(participant);
    status = hello ? stream->ops->send(stream, NULL, 0, hello) : MUSTER_OUT_OF_MEMORY;
    muster__buffer_release(hello);
    if (status == MUSTER_OK && participant->initiative)
        status = stream->ops->send(stream, NULL, 0, NULL);
    if (status == MUSTER_OUT_OF_MEMORY)
        cut(participant, status, "out of memory");
    return MUSTER_OK;
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
        muster__outgoing_start(outgoing, 0);
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
    if (status == MUSTER_GONE && participant->session_size && participant->options.reconnect_timeout_ms)
        status = MUSTER_OK; /* it is sent when the stream is back */
    if (status != MUSTER_OK)
        drop_answer(participant);
    return status;
}

/* ---- events ---- */

static void tell_ready(struct participant *participant)
{
    if (participant->options.on_ready)
        participant->options.on_ready(participant->options.context, participant);
}

/* The last thing that an event does after an end: participant_free() goes on from here. */
static void settle(struct participant *participant)
{
    tell_ready(participant);
    pthread_mutex_lock(&participant->lock);
    participant->settled = true;
    pthread_cond_broadcast(&participant->changed);
    pthread_mutex_unlock(&participant->lock);
}

static void no_answer(const struct participant *participant, char reason[MUSTER_ERROR_TEXT_SIZE])
{
    snprintf(reason, MUSTER_ERROR_TEXT_SIZE, "no server answered at %.128s within %lld ms",
             participant->address,
             (long long)(participant->lost ? participant->options.reconnect_timeout_ms
                                           : participant->options.connect_timeout_ms));
}

/* The time away is over; false: for good, and so is all else. With the lock held. */
static bool try_again(struct participant *participant)
{
    struct muster_error error = {MUSTER_OK, ""};
    enum muster_status status = MUSTER_GONE;
    if (participant->lost && participant->lost_until <= now_of(participant))
        no_answer(participant, error.text);
    else
        status = open_stream(participant, &error);
    if (status != MUSTER_OK)
        end(participant, status, error.text);
    return status == MUSTER_OK;
}

static void timer_expired(struct timer *timer)
{
    struct participant *participant = CONTAINER(timer, struct participant, timer);
    bool ended = false;
    pthread_mutex_lock(&participant->lock);
    /* The wait that this timer was for may have ended, and another may have begun, since it was taken off. */
    if (participant->deadline != INT64_MAX &&
        participant->deadline <= participant->transport->ops->now(participant->transport)) {
        participant->deadline = INT64_MAX;
        if (participant->state == AWAY) {
            ended = !try_again(participant);
        } else if (participant->state == CONNECTING) {
            char reason[MUSTER_ERROR_TEXT_SIZE];
            no_answer(participant, reason);
            cut(participant, participant->lost ? MUSTER_GONE : MUSTER_UNAVAILABLE, reason);
        } else if (participant->state == LEAVING) {
            participant->stream->ops->cut(participant->stream);
        }
    }
    pthread_mutex_unlock(&participant->lock);
    if (ended)
        settle(participant);
    unreference(participant);
}

static bool is_session(const struct participant *participant, const ProtobufCBinaryData *token)
{
    return token->len > 0 && token->len == participant->session_size &&
           memcmp(token->data, participant->session, token->len) == 0;
}

/* The session goes on: the answer is sent again if the server has not got it. `last_turn` is over for it. */
static void resume(struct participant *participant, uint64_t last_turn)
{
    if (participant->unanswered && participant->current.turn <= last_turn)
        participant->cancelled = true;
    if (participant->came && participant->next.turn <= last_turn)
        drop_next(participant);
    /* What was granted in advance was granted to the connection that broke. */
    participant->current.granted = 0;
    participant->next.granted = 0;
    if (!participant->holds_answer)
        return;
    if (participant->held_turn <= last_turn) {
        drop_answer(participant);
    } else {
        /* Should this fail, the stream ends, and another one is tried. */
        send_answer(participant);
    }
}

/* Whether the session that went on before goes on, or another begins. */
static void enter_session(struct participant *participant, const Muster__Welcome *welcome_message)
{
    const ProtobufCBinaryData *token = &welcome_message->session;
    participant->lost = false;
    if (is_session(participant, token)) {
        resume(participant, welcome_message->last_turn);
        return;
    }
    end_session(participant);
    if (token->len <= SESSION_SIZE_MAX && token->len) {
        memcpy(participant->session, token->data, token->len);
        participant->session_size = token->len;
    }
}

static enum muster_status welcome(struct participant *participant, const Muster__Welcome *welcome_message)
{
    if (participant->state != CONNECTING)
        return MUSTER_OK;
    participant->rank = welcome_message->rank;
    if (!participant->name && !(participant->name = strdup(welcome_message->name)))
        return MUSTER_OUT_OF_MEMORY;
    /* Anew with each server: the one before may have taken less. */
    participant->max_message_size = participant->options.max_message_size;
    if (welcome_message->max_message_size &&
        welcome_message->max_message_size < participant->max_message_size)
        participant->max_message_size = (size_t)welcome_message->max_message_size;
    participant->max_payload_size = 0;
    for (size_t i = 0; i < welcome_message->n_features; i++) {
        if (strcmp(welcome_message->features[i], FEATURE_CHUNKS) == 0)
            participant->max_payload_size =
                welcome_message->max_payload_size ? welcome_message->max_payload_size : UINT64_MAX;
    }
    participant->state = OPEN;
    stop_timer(participant);
    enter_session(participant, welcome_message);
    pthread_cond_broadcast(&participant->changed);
    return MUSTER_OK;
}

static void leave_for(struct participant *participant, int32_t seconds)
{
    participant->state = LEAVING;
    participant->reconnect_seconds = seconds > 0 ? seconds : 0;
    end_session(participant);
    participant->stream->ops->close(participant->stream, MUSTER_OK, "");
    start_timer(participant, participant->options.close_timeout_ms);
}

/* An instruction is whole: there is something to consume. */
static void deliver(struct participant *participant, struct muster_message message, uint64_t turn,
                    uint64_t granted)
{
    participant->next = (struct instruction){message, turn, granted};
    participant->came = true;
    participant->last_turn = turn;
    participant->stream->ops->hold(participant->stream);
}

/* The beginning of an instruction whose arrays follow. */
static enum muster_status announce(struct participant *participant, struct envelope *envelope, size_t size,
                                   struct muster_error *error)
{
    if (envelope->announced > participant->options.max_payload_size)
        return muster__error(error, MUSTER_TOO_BIG, "an instruction of more than max_payload_size");
    if (!muster__payload_begin(&envelope->message, NULL, NULL))
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory for an instruction of %llu bytes",
                             (unsigned long long)envelope->announced);
    participant->arriving_granted = envelope->grant;
    muster__incoming_begin(&participant->arriving, envelope, size);
    return MUSTER_OK;
}

/* *ready: there is something to consume. */
static enum muster_status instruct(struct participant *participant, struct envelope *envelope, size_t size,
                                   bool *ready, struct muster_error *error)
{
    struct muster_message *message = &envelope->message;
    bool obey = message->kind == MUSTER_RECONNECT && !participant->options.deliver_reconnect;
    if (message->kind == MUSTER_EMPTY || participant->state > OPEN || participant->closed)
        return MUSTER_OK;
    if (obey) {
        leave_for(participant, message->reconnect_seconds);
        return MUSTER_OK;
    }
    if (participant->state == CONNECTING) { /* no Welcome: a server of the original protocol */
        participant->original = true;
        participant->state = OPEN;
        stop_timer(participant);
    }
    /* Nobody waits for two answers at a time: a newer instruction means that the older was given up. */
    drop_next(participant);
    participant->cancelled = participant->cancelled || (participant->unanswered && !participant->original);
    drop_answer(participant);
    if (envelope->announced)
        return announce(participant, envelope, size, error);
    deliver(participant, *message, envelope->turn, envelope->grant);
    *message = (struct muster_message)MUSTER_MESSAGE_INIT;
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
        deliver(participant, message, envelope->turn, participant->arriving_granted);
        *ready = true;
    }
    return status;
}

/* The answer's chunks may go, from the first one on. */
static void grant(struct participant *participant, const struct envelope *envelope)
{
    struct outgoing *outgoing = &participant->outgoing;
    if (!outgoing->body || outgoing->turn != envelope->turn)
        return;
    muster__outgoing_start(outgoing, envelope->grant);
    muster__outgoing_next(outgoing, TO_SERVER, participant->stream);
}

/* Ends the stream, once a big answer is sent. With the lock held. */
static void close_stream(struct participant *participant)
{
    participant->closing = muster__outgoing_busy(&participant->outgoing);
    if (!participant->closing)
        participant->stream->ops->close(participant->stream, MUSTER_OK, "");
}

static void cancel(struct participant *participant, uint64_t turn)
{
    if (participant->holds_answer && participant->held_turn == turn)
        drop_answer(participant);
    if (participant->closing)
        close_stream(participant);
    if ((participant->came && participant->next.turn == turn) ||
        (participant->arriving.size && participant->arriving.turn == turn))
        drop_next(participant);
    else if (participant->unanswered && participant->current.turn == turn)
        participant->cancelled = true;
}

static void message_received(void *context, const struct piece *pieces, size_t count, size_t size)
{
    struct participant *participant = context;
    struct envelope envelope;
    struct muster_error error;
    bool ready = false;
    enum muster_status status = muster__decode(TO_PARTICIPANT, pieces, count, &envelope, &error);
    pthread_mutex_lock(&participant->lock);
    if (status == MUSTER_OK && envelope.content == CONTENT_WELCOME) {
        status = welcome(participant, envelope.welcome);
        snprintf(error.text, sizeof(error.text), "%s", muster_status_text(status));
    } else if (status == MUSTER_OK && envelope.content == CONTENT_CANCEL) {
        cancel(participant, envelope.turn);
    } else if (status == MUSTER_OK && envelope.content == CONTENT_MESSAGE) {
        status = instruct(participant, &envelope, size, &ready, &error);
    } else if (status == MUSTER_OK && envelope.content == CONTENT_CHUNK) {
        status = add_chunk(participant, &envelope, &ready, &error);
    } else if (status == MUSTER_OK && envelope.content == CONTENT_GRANT) {
        grant(participant, &envelope);
    }
    if (status != MUSTER_OK)
        cut(participant, status, error.text);
    pthread_mutex_unlock(&participant->lock);
    if (ready)
        pthread_cond_broadcast(&participant->changed); /* not under the lock, which those who wake want */
    muster__envelope_clear(&envelope);
    if (ready)
        tell_ready(participant);
}

static void part_sent(void *context)
{
    struct participant *participant = context;
    pthread_mutex_lock(&participant->lock);
    participant->outgoing.on_wire = false;
    muster__outgoing_next(&participant->outgoing, TO_SERVER, participant->stream);
    if (participant->closing)
        close_stream(participant);
    pthread_mutex_unlock(&participant->lock);
}

/* What the end of a stream means to its participant. */
static enum muster_status status_of_end(enum state state, enum muster_status status)
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

/* Whether the end of a stream is one to come back from. */
static bool is_broken(const struct participant *participant, enum muster_status status)
{
    if (participant->closed || participant->fault != MUSTER_OK || !participant->session_size ||
        participant->options.reconnect_timeout_ms == 0)
        return false;
    return (participant->state == OPEN || participant->state == CONNECTING) &&
           (status == MUSTER_UNAVAILABLE || status == MUSTER_CANCELLED || status == MUSTER_TIMEOUT ||
            (status == MUSTER_FULL && participant->lost));
}

/* From 1. */
static int64_t random_up_to(int64_t most)
{
    uint32_t random = 0;
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
        return most;
    return (int64_t)(random % (uint64_t)most) + 1;
}

/* Waits for a while, longer each time, before the next attempt to come back. */
static void come_back(struct participant *participant)
{
    const struct participant_options *options = &participant->options;
    if (!participant->lost) {
        participant->lost = true;
        participant->lost_until =
            muster__transport_after(participant->transport, options->reconnect_timeout_ms);
        participant->reconnect_pause_ms = options->reconnect_first_ms;
    }
    participant->state = AWAY;
    int64_t pause_ms = random_up_to(participant->reconnect_pause_ms);
    int64_t left_ms = participant->lost_until - now_of(participant);
    start_timer(participant, pause_ms < left_ms ? pause_ms : left_ms);
    participant->reconnect_pause_ms = participant->reconnect_pause_ms < options->reconnect_last_ms / 2
                                          ? participant->reconnect_pause_ms * 2
                                          : options->reconnect_last_ms;
}

static void stream_closed(void *context, enum muster_status status, const char *text)
{
    struct participant *participant = context;
    pthread_mutex_lock(&participant->lock);
    struct stream *stream = participant->stream;
    participant->stream = NULL;
    participant->outgoing.on_wire = false;
    muster__outgoing_begin(&participant->outgoing, NULL, 0);
    drop_arriving(participant); /* the rest is lost */
    stop_timer(participant);
    bool away = true;
    if (participant->state == LEAVING && !participant->closed) {
        participant->state = AWAY;
        start_timer(participant, (int64_t)participant->reconnect_seconds * 1000);
    } else if (is_broken(participant, status) &&
               (!participant->lost || participant->lost_until > now_of(participant))) {
        come_back(participant);
    } else {
        away = false;
        char reason[MUSTER_ERROR_TEXT_SIZE];
        bool fault = participant->fault != MUSTER_OK;
        snprintf(reason, sizeof(reason), "%s", fault ? participant->reason : text);
        end(participant, fault ? participant->fault : status_of_end(participant->state, status), reason);
    }
    pthread_mutex_unlock(&participant->lock);
    stream->ops->release(stream);
    if (!away)
        settle(participant);
}

static const struct stream_events stream_events = {
    .message = message_received,
    .sent = part_sent,
    .closed = stream_closed,
};

/* ---- connecting and closing ---- */

static struct buffer *pack_hello(const struct participant_options *options)
{
    char chunks[] = FEATURE_CHUNKS;
    char *features[] = {chunks};
    Muster__Hello hello = MUSTER__HELLO__INIT;
    Muster__Label *labels = calloc(options->label_count + 1, sizeof(*labels));
    Muster__Label **pointers = calloc(options->label_count + 1, sizeof(*pointers));
    struct buffer *buffer = NULL;
    if (!labels || !pointers)
        goto cleanup;
    for (size_t i = 0; i < options->label_count; i++) {
        muster__label__init(&labels[i]);
        labels[i].name = (char *)(options->labels[i].name ? options->labels[i].name : "");
        labels[i].value = (char *)(options->labels[i].value ? options->labels[i].value : "");
        pointers[i] = &labels[i];
    }
    hello.name = (char *)(options->name ? options->name : "");
    hello.labels = pointers;
    hello.n_labels = options->label_count;
    hello.max_message_size = options->max_message_size;
    hello.max_payload_size = options->max_payload_size;
    hello.features = features;
    hello.n_features = 1;
    buffer = muster__pack_hello(&hello);
cleanup:
    free(labels);
    free(pointers);
    return buffer;
}

static struct participant *participant_new(const char *address, const struct participant_options *options)
{
    struct participant *participant = calloc(1, sizeof(*participant));
    if (!participant)
        return NULL;
    atomic_init(&participant->references, 1);
    pthread_mutex_init(&participant->lock, NULL);
    pthread_cond_init(&participant->changed, NULL);
    participant->options = *options;
    participant->options.name = NULL;
    participant->options.labels = NULL;
    participant->max_message_size = options->max_message_size;
    participant->deadline = INT64_MAX;
    participant->address = strdup(address);
    participant->hello = pack_hello(options);
    if (participant->address && participant->hello)
        return participant;
    unreference(participant);
    return NULL;
}

/* Whether the server has ever let it in. With the lock held. */
static bool is_admitted(const struct participant *participant)
{
    return participant->name || participant->original;
}

static enum muster_status set_connection(struct participant *participant,
                                         const struct participant_options *options,
                                         struct muster_error *error)
{
    enum muster_status status = muster__check_keepalive(
        options->keepalive_time_ms, options->keepalive_timeout_ms, KEEPALIVE_TIME_LEAST, error);
    if (status == MUSTER_OK)
        status =
            muster__credentials_load(&options->credentials, OF_PARTICIPANT, &participant->credentials, error);
    if (status != MUSTER_OK)
        return status;
    participant->options.credentials = (struct muster_credentials)MUSTER_CREDENTIALS_INIT;
    participant->connection = (struct connection_options){
        participant->credentials, options->keepalive_time_ms, options->keepalive_timeout_ms};
    const char *text =
        muster__credentials_warning(participant->credentials, OF_PARTICIPANT, participant->address);
    char line[MUSTER_ERROR_TEXT_SIZE];
    if (text && options->on_warning && !options->transport) {
        snprintf(line, sizeof(line), "connecting to %.64s without TLS: %s", participant->address, text);
        options->on_warning(options->context, line);
    }
    return MUSTER_OK;
}

enum muster_status participant_connect(const char *address, const struct participant_options *options,
                                       struct participant **result, struct muster_error *error)
{
    const struct participant_options defaults = PARTICIPANT_OPTIONS_INIT;
    *result = NULL;
    if (!options)
        options = &defaults;
    if (!address || !*address || options->max_payload_size == 0 || options->max_message_size < 1024 ||
        options->max_message_size > INT32_MAX || (options->label_count && !options->labels) ||
        options->reconnect_timeout_ms < MUSTER_NO_LIMIT || options->reconnect_first_ms < 1 ||
        options->reconnect_last_ms < options->reconnect_first_ms)
        return muster__error(error, MUSTER_INVALID,
                             "an address such as host:8080 is missing, or an option makes no sense");
    struct participant *participant = participant_new(address, options);
    if (!participant)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    enum muster_status status = set_connection(participant, options, error);
    if (status != MUSTER_OK) {
        unreference(participant);
        return status;
    }
    participant->transport =
        options->transport ? options->transport : muster__grpc_transport_acquire(1, error);
    if (!participant->transport) {
        unreference(participant);
        return MUSTER_OUT_OF_MEMORY;
    }
    muster__block_participant(true); /* until participant_free() */

    struct muster_error why = {MUSTER_OK, ""};
    pthread_mutex_lock(&participant->lock);
    status = open_stream(participant, &why);
    if (status != MUSTER_OK) {
        end(participant, status, why.text);
        participant->settled = true;
    }
    struct waiter waiter;
    muster__waiter_begin(&waiter, participant->transport, &participant->lock, &participant->changed,
                         options->connect_timeout_ms);
    while (!is_admitted(participant) && participant->state != ENDED && !waiter.expired)
        muster__waiter_sleep(&waiter);
    muster__waiter_end(&waiter);
    /* Admitted, if only to be asked to leave at once: participant_consume() tells. */
    bool admitted = is_admitted(participant);
    if (!admitted && participant->state == ENDED)
        status = muster__error(error, participant->status, "%s", participant->reason);
    else if (!admitted)
        status = muster__error(error, MUSTER_UNAVAILABLE, "%s %.128s within %lld ms",
                               participant->state == AWAY ? "asked to come back later by" : "not admitted by",
                               participant->address, (long long)options->connect_timeout_ms);
    pthread_mutex_unlock(&participant->lock);
    if (!admitted) {
        participant_free(participant);
        return status;
    }
    *result = participant;
    return MUSTER_OK;
}

void participant_close(struct participant *participant)
{
    pthread_mutex_lock(&participant->lock);
    if (!participant->closed && participant->state != ENDED) {
        participant->closed = true;
        participant->cancelled = true;
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
    pthread_mutex_unlock(&participant->lock);
}

void participant_free(struct participant *participant)
{
    if (!participant)
        return;
    participant_close(participant);
    struct waiter waiter;
    pthread_mutex_lock(&participant->lock);
    muster__waiter_begin(&waiter, participant->transport, &participant->lock, &participant->changed,
                         participant->options.close_timeout_ms);
    while (!participant->settled && !waiter.expired)
        muster__waiter_sleep(&waiter);
    muster__waiter_end(&waiter);
    if (participant->stream)
        participant->stream->ops->cut(participant->stream);
    while (!participant->settled) /* what was cut ends at once */
        pthread_cond_wait(&participant->changed, &participant->lock);
    pthread_mutex_unlock(&participant->lock);
    participant->transport->ops->release(participant->transport);
    unreference(participant);
    muster__block_participant(false);
    muster__block_trim();
}

/* ---- turns ---- */

/* What functions answer once nothing more can be sent or will come; OK before that. With the lock held. */
static enum muster_status final_status(const struct participant *participant)
{
    if (participant->closed)
        return MUSTER_CLOSED;
    return participant->state == ENDED ? participant->status : MUSTER_OK;
}

/* The status of answering the current instruction now. With the lock held. */
static enum muster_status may_answer(struct participant *participant)
{
    enum muster_status status = final_status(participant);
    if (status != MUSTER_OK)
        return status;
    if (!participant->unanswered)
        return MUSTER_INVALID;
    if (!participant->cancelled)
        return MUSTER_OK;
    participant->unanswered = false;
    return MUSTER_CANCELLED;
}

/* How much of an answer is copied before more of it is sent. */
#define FILL_SIZE ((size_t)256 << 10)

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
        pthread_mutex_unlock(&participant->lock);
    }
}

static enum muster_status answer(struct participant *participant, const struct muster_message *message)
{
    pthread_mutex_lock(&participant->lock);
    enum muster_status status = may_answer(participant);
    uint64_t consumed = participant->consumed;
    const struct encoding encoding = {.max_message_size = participant->max_message_size,
                                      .max_payload_size = participant->max_payload_size,
                                      .chunk_threshold = participant->options.chunk_threshold,
                                      .fill_later = true};
    pthread_mutex_unlock(&participant->lock);
    if (status != MUSTER_OK)
        return status;
    /* Not under the lock: a big answer takes its time, and events must not wait for it. */
    struct buffer *body;
    status = muster__encode(TO_SERVER, message, &encoding, &body);
    if (status != MUSTER_OK)
        return status;
    pthread_mutex_lock(&participant->lock);
    if (participant->consumed != consumed)
        status = MUSTER_CANCELLED; /* on_ready has consumed a newer instruction meanwhile */
    else
        status = may_answer(participant);
    if (status == MUSTER_OK)
        status = hold_answer(participant, body);
    if (status == MUSTER_OK)
        participant->unanswered = false;
    pthread_mutex_unlock(&participant->lock);
    if (status == MUSTER_OK)
        fill(participant, body, message);
    muster__buffer_release(body);
    return status;
}

enum muster_status participant_dispatch(struct participant *participant, const struct muster_message *message)
{
    pthread_mutex_lock(&participant->lock);
    bool first = !participant->initiative;
    enum muster_status status = final_status(participant);
    if (first && status == MUSTER_OK) {
        if (message->kind != MUSTER_EMPTY)
            status = MUSTER_INVALID;
        else if (participant->state <= OPEN && !participant->original)
            status = participant->stream->ops->send(participant->stream, NULL, 0, NULL);
        /* The stream has ended, and we are about to be told: the next one begins with the initiative, too. */
        if (status == MUSTER_CLOSED)
            status = participant->session_size && participant->options.reconnect_timeout_ms ? MUSTER_OK
                                                                                            : MUSTER_GONE;
        participant->initiative = status == MUSTER_OK;
    }
    pthread_mutex_unlock(&participant->lock);
    return first || status != MUSTER_OK ? status : answer(participant, message);
}

/* An instruction that the user passed over is answered: the server is not to wait for nothing. With the lock
 * held. */
static void answer_passed_over(struct participant *participant)
{
    const struct muster_message unknown = {.kind = MUSTER_UNKNOWN};
    const struct encoding encoding = {.max_message_size = participant->max_message_size};
    struct buffer *body;
    if (may_answer(participant) == MUSTER_OK &&
        muster__encode(TO_SERVER, &unknown, &encoding, &body) == MUSTER_OK) {
        hold_answer(participant, body);
        muster__buffer_release(body);
    }
    participant->unanswered = false;
    participant->cancelled = false;
    muster_message_clear(&participant->current.message);
}

enum muster_status participant_consume(struct participant *participant,
                                       const struct muster_message **instruction)
{
    struct waiter waiter;
    enum muster_status status = MUSTER_OK;
    *instruction = NULL;
    pthread_mutex_lock(&participant->lock);
    answer_passed_over(participant);
    if (!participant->initiative && participant->state != ENDED) {
        pthread_mutex_unlock(&participant->lock);
        return MUSTER_INVALID; /* the server waits for the initiative: this would never end */
    }
    muster__waiter_begin(&waiter, participant->transport, &participant->lock, &participant->changed,
                         participant->options.consume_timeout_ms);
    while (!participant->came && final_status(participant) == MUSTER_OK && !waiter.expired)
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
        status = final_status(participant);
        status = status == MUSTER_OK ? MUSTER_TIMEOUT : status;
    }
    pthread_mutex_unlock(&participant->lock);
    return status;
}

enum muster_status participant_report_progress(struct participant *participant, double fraction)
{
    if (!(fraction >= 0 && fraction <= 1))
        return MUSTER_INVALID;
    pthread_mutex_lock(&participant->lock);
    enum muster_status status = final_status(participant);
    int64_t now = status == MUSTER_OK ? participant->transport->ops->now(participant->transport) : 0;
    if (status == MUSTER_OK && !participant->unanswered)
        status = MUSTER_INVALID;
    else if (status == MUSTER_OK && participant->cancelled)
        status = MUSTER_CANCELLED;
    if (status == MUSTER_OK && !participant->original && participant->state == OPEN &&
        now >= participant->progress_at) {
        struct buffer *body = muster__encode_progress(fraction);
        status = body ? send_about(participant, participant->current.turn, body) : MUSTER_OUT_OF_MEMORY;
        if (status == MUSTER_GONE && participant->session_size)
            status = MUSTER_OK; /* it is not the last word */
        participant->progress_at = now + PROGRESS_INTERVAL_MS;
        muster__buffer_release(body);
    }
    pthread_mutex_unlock(&participant->lock);
    return status;
}

bool participant_cancelled(struct participant *participant)
{
    pthread_mutex_lock(&participant->lock);
    bool cancelled = participant->cancelled;
    pthread_mutex_unlock(&participant->lock);
    return cancelled;
}

/* ---- what is known of the participant ---- */

const char *participant_reason(struct participant *participant)
{
    pthread_mutex_lock(&participant->lock);
    const char *reason = participant->state == ENDED ? participant->reason : "";
    pthread_mutex_unlock(&participant->lock);
    return reason;
}

const char *participant_name(struct participant *participant)
{
    return participant->name ? participant->name : "";
}

uint64_t participant_rank(struct participant *participant)
{
    pthread_mutex_lock(&participant->lock);
    uint64_t rank = participant->rank;
    pthread_mutex_unlock(&participant->lock);
    return rank;
}

struct muster_transfer participant_transfer(struct participant *participant)
{
    pthread_mutex_lock(&participant->lock);
    const struct buffer *body = participant->outgoing.body;
    struct muster_transfer transfer = {.sent = body ? participant->outgoing.offset : 0,
                                       .to_send = body ? body->payload->size : 0,
                                       .received = participant->arriving.received,
                                       .to_receive = participant->arriving.size};
    pthread_mutex_unlock(&participant->lock);
    return transfer;
}
