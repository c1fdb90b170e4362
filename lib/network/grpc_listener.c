/* The server's side: listeners, and the calls that arrive at them. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include <grpc/slice.h>

#include "network/credentials.h"
#include "network/grpc.h"
#include "network/grpc_handshakes.h"
#include "network/grpc_health.h"
#include "network/grpc_waiting.h"
#include "status.h"

/* Calls that may arrive at once before one has to wait for another's acceptance. */
#define ACCEPTORS 16

/* That a connection may take to agree on TLS and HTTP/2. */
#define HANDSHAKE_TIMEOUT_MS 20000

struct acceptor {
    struct tag tag;
    struct grpc_listener *listener;
    grpc_call *call;
    grpc_call_details details;
    grpc_metadata_array metadata;
};

struct grpc_listener {
    struct grpc_transport *transport;
    grpc_server *server;
    const struct listener_events *events;
    void *context;
    struct certificate_source source; /* its credentials: NULL when there are none */
    struct health health;
    struct waiting_room waiting;
    struct handshakes handshakes;
    struct tag shut_down;
    struct acceptor acceptors[ACCEPTORS];
    atomic_bool cut;
    char host[HOST_SIZE]; /* a numeric address; "" when it is any of the machine's, or a name */
    uint16_t port;
    pthread_mutex_t lock;
    size_t alive; /* streams, calls for health and those that wait, acceptors that wait, and the shutdown to
                     come; guarded by lock */
};

void muster__grpc_hold_on(struct grpc_listener *listener)
{
    pthread_mutex_lock(&listener->lock);
    listener->alive++;
    pthread_mutex_unlock(&listener->lock);
}

void muster__grpc_let_go(struct grpc_listener *listener)
{
    pthread_mutex_lock(&listener->lock);
    bool last = --listener->alive == 0;
    pthread_mutex_unlock(&listener->lock);
    if (last)
        listener->events->stopped(listener->context);
}

bool muster__grpc_was_cut(const struct grpc_listener *listener)
{
    return listener->cut;
}

static void accept_next(struct acceptor *acceptor)
{
    grpc_call_details_init(&acceptor->details);
    grpc_metadata_array_init(&acceptor->metadata);
    HANDED_OVER(&acceptor->tag);
    if (grpc_server_request_call(acceptor->listener->server, &acceptor->call, &acceptor->details,
                                 &acceptor->metadata, acceptor->listener->transport->queue,
                                 acceptor->listener->transport->queue, &acceptor->tag) != GRPC_CALL_OK)
        muster__grpc_let_go(acceptor->listener);
}

static void drop_call(grpc_call *call)
{
    grpc_call_cancel_with_status(call, GRPC_STATUS_RESOURCE_EXHAUSTED, "the server is out of memory", NULL);
    grpc_call_unref(call);
}

/* Hands an arrived call to the listener's owner, which asks for its identity, or refuses it. */
static void open_call(struct grpc_listener *listener, grpc_call *call, bool known,
                      struct peer_identity *identity)
{
    struct grpc_stream *stream = muster__grpc_stream_new(listener->transport, call);
    if (!stream) {
        muster__grpc_identity_free(identity);
        drop_call(call);
        return;
    }
    stream->listener = listener;
    stream->identity = identity;
    muster__grpc_hold_on(listener);
    /* Until its first receive is started, below, no event of this stream can come. */
    pthread_mutex_lock(&stream->lock);
    stream->pending++;
    grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER,
                  .data.recv_close_on_server.cancelled = &stream->cancelled};
    muster__grpc_start_batch(stream, &op, 1, &stream->ended);
    pthread_mutex_unlock(&stream->lock);

    const struct stream_events *events = NULL;
    void *context = known ? listener->events->accepted(listener->context, &stream->base, &events) : NULL;

    pthread_mutex_lock(&stream->lock);
    if (context) {
        stream->events = events;
        stream->context = context;
        if (!stream->over && !stream->closing) /* nothing is read of one that is turned away */
            muster__grpc_start_receive(stream);
    } else {
        atomic_fetch_sub(&stream->references, 1); /* nobody owns it */
        if (known)
            muster__grpc_close(stream, MUSTER_OUT_OF_MEMORY, "the server is out of memory");
        else
            muster__grpc_close(stream, MUSTER_UNSUPPORTED, "the only method here is " CONNECT_METHOD);
    }
    muster__grpc_leave(stream);
}

/* NULL: nothing is asked for, or out of memory. A new token or authority counts from the next call on. */
static struct peer_identity *identify(struct grpc_listener *listener, grpc_call *call,
                                      const grpc_metadata_array *metadata)
{
    struct credentials *credentials = listener->source.credentials;
    if (!credentials || !credentials->asks)
        return NULL;
    muster__credentials_look(credentials);
    struct keys *keys = muster__credentials_keys(credentials);
    struct peer_identity *identity = muster__grpc_identify(keys, call, metadata);
    muster__keys_release(keys);
    if (identity && identity->wrong_token)
        muster__grpc_waiting_wrong(&listener->waiting, call);
    return identity;
}

void muster__grpc_admit(struct grpc_listener *listener, grpc_call *call, bool known,
                        const grpc_metadata_array *metadata)
{
    struct credentials *credentials = listener->source.credentials;
    struct peer_identity *identity = identify(listener, call, metadata);
    if (!identity && credentials && credentials->asks)
        drop_call(call);
    else
        open_call(listener, call, known, identity);
}

/* A call for health. Where tokens are not looked at now, it is a stranger's, who is answered all the same. */
static void tell_health(struct grpc_listener *listener, grpc_call *call, bool watch, bool passes,
                        const grpc_metadata_array *metadata)
{
    struct credentials *credentials = listener->source.credentials;
    struct peer_identity *identity = passes ? identify(listener, call, metadata) : NULL;
    bool stranger = credentials && credentials->asks && (!identity || identity->refusal.status != MUSTER_OK);
    muster__grpc_identity_free(identity);
    muster__grpc_health_accept(&listener->health, call, watch, stranger);
}

static void route(struct grpc_listener *listener, grpc_call *call, grpc_slice method,
                  grpc_metadata_array *metadata)
{
    bool passes = muster__grpc_waiting_passes(&listener->waiting, call, metadata);
    bool known = grpc_slice_str_cmp(method, CONNECT_METHOD) == 0;
    bool watch = grpc_slice_str_cmp(method, HEALTH_WATCH_METHOD) == 0;
    if (watch || grpc_slice_str_cmp(method, HEALTH_CHECK_METHOD) == 0)
        tell_health(listener, call, watch, passes, metadata);
    else if (passes)
        muster__grpc_admit(listener, call, known, metadata);
    else
        muster__grpc_waiting_add(&listener->waiting, call, known, metadata);
}

static void accepted_complete(struct tag *tag, bool ok)
{
    struct acceptor *acceptor = CONTAINER(tag, struct acceptor, tag);
    struct grpc_listener *listener = acceptor->listener;
    if (!ok) { /* the server shuts down */
        grpc_call_details_destroy(&acceptor->details);
        grpc_metadata_array_destroy(&acceptor->metadata);
        muster__grpc_let_go(listener);
        return;
    }
    grpc_call *call = acceptor->call;
    muster__credentials_tell(listener->source.credentials); /* what the handshake may have found, too */
    route(listener, call, acceptor->details.method, &acceptor->metadata);
    grpc_call_details_destroy(&acceptor->details);
    grpc_metadata_array_destroy(&acceptor->metadata);
    accept_next(acceptor);
}

static void shut_down_complete(struct tag *tag, bool ok)
{
    (void)ok;
    muster__grpc_let_go(CONTAINER(tag, struct grpc_listener, shut_down));
}

void muster__grpc_close_listener(struct listener *base)
{
    struct grpc_listener *listener = (struct grpc_listener *)base;
    muster__grpc_health_close(&listener->health);
    muster__grpc_waiting_close(&listener->waiting);
    muster__grpc_handshakes_close(&listener->handshakes);
    HANDED_OVER(&listener->shut_down);
    grpc_server_shutdown_and_notify(listener->server, listener->transport->queue, &listener->shut_down);
}

void muster__grpc_cut_listener(struct listener *base)
{
    struct grpc_listener *listener = (struct grpc_listener *)base;
    listener->cut = true;
    muster__shut_connections(listener->host[0] ? listener->host : NULL, listener->port);
    grpc_server_cancel_all_calls(listener->server);
}

void muster__grpc_free_listener(struct listener *base)
{
    struct grpc_listener *listener = (struct grpc_listener *)base;
    grpc_server_destroy(listener->server);
    muster__grpc_health_destroy(&listener->health);
    muster__grpc_waiting_destroy(&listener->waiting);
    pthread_mutex_destroy(&listener->lock);
    free(listener);
}

static grpc_server *server_new(size_t max_message_size, const struct connection_options *options)
{
    grpc_arg arguments[] = {
        muster__grpc_life(),
        muster__grpc_uncompressed(),
        muster__grpc_integer(GRPC_ARG_ALLOW_REUSEPORT, 0),
        muster__grpc_integer(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, muster__grpc_limit(max_message_size)),
        muster__grpc_integer(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
        muster__grpc_integer(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, HANDSHAKE_TIMEOUT_MS),
        muster__grpc_keepalive_time(options),
        muster__grpc_keepalive_timeout(options),
        muster__grpc_integer(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
        muster__grpc_integer(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, LOOKAHEAD),
        muster__grpc_integer(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, FRAME_SIZE_MAX),
        muster__grpc_integer(GRPC_ARG_TCP_MAX_READ_CHUNK_SIZE, SERVER_READ_SIZE_MAX),
        muster__grpc_integer(GRPC_ARG_TCP_MIN_READ_CHUNK_SIZE, READ_SIZE_MIN),
        muster__grpc_integer(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, PING_INTERVAL_MIN_MS),
    };
    grpc_channel_args channel = {.num_args = sizeof(arguments) / sizeof(*arguments), .args = arguments};
    return grpc_server_create(&channel, NULL);
}

enum muster_status muster__grpc_listen(struct muster_transport *base, const char *address,
                                       size_t max_message_size, const struct connection_options *options,
                                       const struct listener_events *events, void *context,
                                       struct listener **result, uint16_t *port, struct muster_error *error)
{
    struct grpc_transport *transport = (struct grpc_transport *)base;
    char host[HOST_SIZE];
    const char *wanted_port;
    if (!muster__split_address(address, host, &wanted_port))
        return muster__error(
            error, MUSTER_INVALID,
            "cannot listen on '%.128s': write it as host:port or [v6]:port, the port up to 65535; all of the "
            "machine's addresses are 0.0.0.0 and [::]",
            address);
    struct grpc_listener *listener = calloc(1, sizeof(*listener));
    if (!listener)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    if (muster__is_one_address(host))
        memcpy(listener->host, host, sizeof(host));
    listener->transport = transport;
    listener->events = events;
    listener->context = context;
    listener->source.credentials = options ? options->credentials : NULL;
    listener->shut_down.complete = shut_down_complete;
    listener->alive = ACCEPTORS + 1;
    sigset_t saved;
    muster__grpc_block_signals(&saved);
    listener->server = server_new(max_message_size, options);
    grpc_server_register_completion_queue(listener->server, listener->transport->queue, NULL);

    grpc_server_credentials *security = muster__grpc_server_credentials(&listener->source);
    char target[TARGET_SIZE];
    muster__write_target("", address, target);
    int bound = grpc_server_add_http2_port(listener->server, target, security);
    grpc_server_credentials_release(security);
    if (bound == 0) {
        grpc_server_destroy(listener->server);
        pthread_sigmask(SIG_SETMASK, &saved, NULL);
        free(listener);
        return muster__explain_bind(address, host, wanted_port, error);
    }
    pthread_mutex_init(&listener->lock, NULL);
    muster__grpc_health_init(&listener->health, listener, transport);
    muster__grpc_waiting_init(&listener->waiting, listener, transport, listener->source.credentials);
    *port = listener->port = (uint16_t)bound;
    *result = (struct listener *)listener;
    muster__grpc_handshakes_watch(&listener->handshakes, listener, transport, listener->source.credentials);
    grpc_server_start(listener->server);
    for (size_t i = 0; i < ACCEPTORS; i++) {
        listener->acceptors[i].tag.complete = accepted_complete;
        listener->acceptors[i].listener = listener;
        accept_next(&listener->acceptors[i]);
    }
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    return MUSTER_OK;
}
