/* Requests that arrive at a listener: whether they may be looked at now, what they are for, and who they are from. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "network/code.h"
#include "network/credentials.h"
#include "network/http2/listener.h"
#include "network/http2/tls.h"
#include "network/identity.h"
#include "network/words.h"

static struct tcp_listener *listener_of(const struct http2_stream *stream)
{
    return (struct tcp_listener *)stream->connection->listener;
}

/* ---- the answer to what is no call ---- */

static void answer(struct http2_stream *stream, int code, const char *text)
{
    pthread_mutex_lock(&stream->connection->lock);
    muster__http2_abort_with(stream, code, text);
    pthread_mutex_unlock(&stream->connection->lock);
}

/* With a status of HTTP alone, as its peer does not speak gRPC. */
static void answer_http(struct http2_stream *stream, const char *status)
{
    struct http2_connection *connection = stream->connection;
    nghttp2_nv header = {.name = (uint8_t *)":status",
                         .value = (uint8_t *)(uintptr_t)status,
                         .namelen = strlen(":status"),
                         .valuelen = strlen(status)};
    pthread_mutex_lock(&connection->lock);
    if (!stream->ended && connection->session) {
        muster__http2_good(connection,
                           nghttp2_submit_response(connection->session, stream->id, &header, 1, NULL));
        muster__http2_stream_ended(stream);
        muster__http2_flush(connection);
    }
    pthread_mutex_unlock(&connection->lock);
}

/* ---- who it is from ---- */

static struct piece piece_of(const char *text, size_t size)
{
    return (struct piece){(const uint8_t *)text, text ? size : 0};
}

/* NULL: out of memory. */
static struct peer_identity *judge(const struct keys *keys, struct http2_stream *stream)
{
    enum { NAMES_MAX = 64 };
    const char *authorization = stream->request->authorization;
    struct piece names[NAMES_MAX];
    struct shown shown = {.authorization = piece_of(authorization, authorization ? strlen(authorization) : 0),
                          .names = names};
    struct tls_shown certificate = {0};
    bool good = true;
    if (keys->authorities && stream->connection->tls) {
        pthread_mutex_lock(&stream->connection->lock);
        good = muster__tls_shown(stream->connection->tls, &certificate);
        pthread_mutex_unlock(&stream->connection->lock);
        shown.leaf = piece_of(certificate.leaf, certificate.leaf_size);
        shown.chain = piece_of(certificate.chain, certificate.chain_size);
        for (; certificate.names && certificate.names[shown.name_count] && shown.name_count < NAMES_MAX;
             shown.name_count++)
            names[shown.name_count] =
                piece_of(certificate.names[shown.name_count], strlen(certificate.names[shown.name_count]));
    }
    struct peer_identity *identity = good ? muster__identify(keys, &shown) : NULL;
    muster__tls_shown_free(&certificate);
    return identity;
}

/* False: out of memory. A new token or authority counts from the next call on. Any thread. */
static bool identify(struct http2_stream *stream)
{
    struct credentials *credentials = stream->connection->listener->options.credentials;
    if (!credentials || !credentials->asks)
        return true;
    muster__credentials_look(credentials);
    struct keys *keys = muster__credentials_keys(credentials);
    stream->identity = judge(keys, stream);
    muster__keys_release(keys);
    if (stream->identity && stream->identity->wrong_token)
        muster__waiting_wrong(&listener_of(stream)->waiting, stream->connection->peer);
    return stream->identity != NULL;
}

/* ---- what it is for ---- */

static void free_request(struct http2_stream *stream)
{
    pthread_mutex_lock(&stream->connection->lock);
    muster__http2_request_free(stream->request);
    stream->request = NULL;
    pthread_mutex_unlock(&stream->connection->lock);
}

/* Gives a stream to its owner; `context` NULL: there is none. */
static void open_stream(struct http2_stream *stream, const struct stream_events *events, void *context)
{
    stream->waits = false;
    if (!context)
        return;
    stream->context = context;
    stream->events = events;
    muster__http2_resume(stream);
}

/* Hands a call that was judged to the listener's owner, which asks for its identity, or refuses it. */
static void admit(struct http2_stream *stream)
{
    struct tcp_listener *listener = listener_of(stream);
    const struct request *request = stream->request;
    const struct served *served =
        muster__find_served(listener->events->served, request->path, strlen(request->path));
    const struct stream_events *events = NULL;
    char text[MUSTER_ERROR_TEXT_SIZE] = END_OUT_OF_MEMORY;
    void *context = served ? served->accepted(listener->context, &stream->base, &events) : NULL;
    open_stream(stream, events, context);
    if (!served)
        muster__not_served(listener->events->served, text);
    if (!context)
        answer(stream, muster__code_of(served ? MUSTER_OUT_OF_MEMORY : MUSTER_UNSUPPORTED), text);
    free_request(stream);
}

static void admit_if(struct http2_stream *stream, bool judged)
{
    if (judged)
        admit(stream);
    else
        answer(stream, CODE_RESOURCE_EXHAUSTED, END_OUT_OF_MEMORY);
}

/* ---- calls that wait ---- */

struct late_call {
    struct waiting_call waiting;
    struct errand errand;
    struct http2_stream *stream; /* with a reference */
    bool judged;                 /* false: out of memory */
    int code;                    /* it is refused with; CODE_OK: it is not */
    const char *text;
};

/* On the loop's thread. */
static void go_on(struct errand *errand)
{
    struct late_call *call = CONTAINER(errand, struct late_call, errand);
    struct http2_stream *stream = call->stream;
    pthread_mutex_t *helm = &stream->connection->helm;
    pthread_mutex_lock(helm);
    if (!stream->told && call->code == CODE_OK)
        admit_if(stream, call->judged);
    else if (!stream->told)
        answer(stream, call->code, call->text);
    pthread_mutex_unlock(helm);
    muster__http2_stream_release(stream);
    free(call);
}

static void refuse_waiting(struct waiting_call *waiting, int code, const char *text)
{
    struct late_call *call = CONTAINER(waiting, struct late_call, waiting);
    call->code = code;
    call->text = text;
    muster__http2_post(call->stream->connection->loop, &call->errand);
}

/* Judges it at once, on whatever thread: or the room would let more in before it hears of a wrong token. Nobody else
   looks at the request of a stream that waits. */
static void admit_waiting(struct waiting_call *waiting)
{
    struct late_call *call = CONTAINER(waiting, struct late_call, waiting);
    call->judged = identify(call->stream);
    refuse_waiting(waiting, CODE_OK, "");
}

static void let_wait(struct http2_stream *stream)
{
    static const struct waiting_ops ops = {.admit = admit_waiting, .refuse = refuse_waiting};
    if (!muster__http2_count(stream, stream->request->size)) {
        answer(stream, CODE_UNAVAILABLE, END_MEMORY_FULL);
        return;
    }
    struct late_call *call = calloc(1, sizeof(*call));
    if (!call) {
        answer(stream, CODE_UNAVAILABLE, END_OUT_OF_MEMORY);
        return;
    }
    call->waiting.ops = &ops;
    call->waiting.peer = stream->connection->peer;
    call->errand.run = go_on;
    call->stream = stream;
    atomic_fetch_add(&stream->references, 1);
    muster__waiting_add(&listener_of(stream)->waiting, &call->waiting);
}

/* ---- arriving ---- */

/* A call for health. Where tokens are not looked at now, it is a stranger's, who is answered all the same. */
static void tell_health(struct http2_stream *stream, bool watch, bool passes)
{
    struct credentials *credentials = stream->connection->listener->options.credentials;
    bool judged = passes && identify(stream);
    const struct peer_identity *identity = stream->identity;
    bool stranger =
        credentials && credentials->asks && (!judged || !identity || identity->refusal.status != MUSTER_OK);
    const struct stream_events *events = NULL;
    stream->aside = true;
    void *context =
        muster__health_accepted(&listener_of(stream)->health, &stream->base, watch, stranger, &events);
    open_stream(stream, events, context);
    free_request(stream);
}

/* A call of gRPC. */
static void take_call(struct http2_stream *stream)
{
    struct tcp_listener *listener = listener_of(stream);
    const struct request *request = stream->request;
    bool watch,
        passes = muster__waiting_passes(&listener->waiting, stream->connection->peer, request->authorization);
    if (request->timeout_ms != INT64_MAX) {
        stream->deadline = stream->connection->loop->now + request->timeout_ms;
        muster__http2_stream_due(stream, stream->deadline);
    }
    if (muster__health_has(request->path, strlen(request->path), &watch))
        tell_health(stream, watch, passes);
    else if (passes)
        admit_if(stream, identify(stream));
    else
        let_wait(stream);
}

void muster__http2_arrived(struct http2_stream *stream)
{
    const struct request *request = stream->request;
    /* What the handshake may have found, too. */
    muster__credentials_tell(stream->connection->listener->options.credentials);
    if (!request->is_post || !request->path)
        answer_http(stream, "405");
    else if (!request->is_grpc)
        answer_http(stream, "415");
    else if (request->timeout_ms == -1)
        answer(stream, CODE_INTERNAL, "grpc-timeout is no time");
    else
        take_call(stream);
}
