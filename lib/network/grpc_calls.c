/* Calls that arrive at a listener: whether they may be looked at now, what they are for, and who they are
   from. */
#include <config.h>

#include <stdlib.h>

#include <grpc/slice.h>
#include <grpc/support/alloc.h>

#include "network/grpc_listener.h"
#include "network/words.h"

/* Ends a call that is no stream, and gives it up. */
static void refuse_call(grpc_call *call, grpc_status_code code, const char *text)
{
    grpc_call_cancel_with_status(call, code, text, NULL);
    grpc_call_unref(call);
}

/* Drops a call of a connection that begins too many, and shuts it; false: it does not. */
static bool drop_flood(struct grpc_listener *listener, grpc_call *call)
{
    if (!listener->flood || !muster__grpc_is_flood(listener->flood, call))
        return false;
    char *peer = grpc_call_get_peer(call);
    muster__shut_peer(peer, true);
    gpr_free(peer);
    refuse_call(call, GRPC_STATUS_RESOURCE_EXHAUSTED, END_FLOOD);
    return true;
}

/* A stream for a call that has arrived, which is to be opened next; `aside`: for the health service. NULL: it
   was refused. */
static struct grpc_stream *stream_for(struct grpc_listener *listener, grpc_call *call,
                                      struct peer_identity *identity, bool aside)
{
    struct grpc_stream *stream = muster__grpc_stream_new(listener->transport, call);
    if (!stream) {
        muster__identity_free(identity);
        refuse_call(call, GRPC_STATUS_RESOURCE_EXHAUSTED, END_OUT_OF_MEMORY);
        return NULL;
    }
    stream->listener = listener;
    stream->identity = identity;
    stream->aside = aside;
    muster__hold_on(&listener->holders);
    if (!aside)
        muster__grpc_unfinished_begun(&listener->unfinished, stream);
    /* Its events wait for open_stream(). */
    pthread_mutex_lock(&stream->lock);
    stream->pending++;
    grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER,
                  .data.recv_close_on_server.cancelled = &stream->cancelled};
    muster__grpc_start_batch(stream, &op, 1, &stream->ended);
    pthread_mutex_unlock(&stream->lock);
    return stream;
}

/* Gives a stream to its owner; `context` NULL: there is none. */
static void open_stream(struct grpc_stream *stream, const struct stream_events *events, void *context)
{
    pthread_mutex_lock(&stream->lock);
    if (context) {
        stream->events = events;
        stream->context = context;
        if (stream->sent_early)
            muster__grpc_tell_sent(stream);
        /* Nothing is read of one that is turned away, or not listened to. */
        if (!stream->over && !stream->closing && !stream->paused)
            muster__grpc_start_receive(stream);
    } else {
        atomic_fetch_sub(&stream->references, 1);
    }
    muster__grpc_leave(stream);
}

/* Hands an arrived call to the listener's owner, which asks for its identity, or refuses it. */
static void open_call(struct grpc_listener *listener, grpc_call *call, const struct served *served,
                      struct peer_identity *identity)
{
    struct grpc_stream *stream = stream_for(listener, call, identity, false);
    if (!stream)
        return;
    const struct stream_events *events = NULL;
    void *context = served ? served->accepted(listener->context, &stream->base, &events) : NULL;
    char text[MUSTER_ERROR_TEXT_SIZE] = END_OUT_OF_MEMORY;
    if (!served)
        muster__not_served(listener->events->served, text);
    if (!context)
        stream->base.ops->close(&stream->base, served ? MUSTER_OUT_OF_MEMORY : MUSTER_UNSUPPORTED, text);
    open_stream(stream, events, context);
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
    if (identity && identity->wrong_token) {
        char *peer = grpc_call_get_peer(call);
        muster__waiting_wrong(&listener->waiting, peer);
        gpr_free(peer);
    }
    return identity;
}

/* Judges a call, and hands it to the listener's owner; `served` NULL: its method is none of ours. */
static void admit(struct grpc_listener *listener, grpc_call *call, const struct served *served,
                  const grpc_metadata_array *metadata)
{
    struct credentials *credentials = listener->source.credentials;
    struct peer_identity *identity = identify(listener, call, metadata);
    if (!identity && credentials && credentials->asks)
        refuse_call(call, GRPC_STATUS_RESOURCE_EXHAUSTED, END_OUT_OF_MEMORY);
    else
        open_call(listener, call, served, identity);
}

/* ---- calls that wait ---- */

struct arrival {
    struct waiting_call waiting;
    struct grpc_listener *listener;
    grpc_call *call;
    const struct served *served; /* see admit() */
    grpc_metadata_array metadata;
    char *peer;
};

static void drop(struct arrival *arrival)
{
    grpc_metadata_array_destroy(&arrival->metadata);
    gpr_free(arrival->peer);
    free(arrival);
}

static void admit_waiting(struct waiting_call *waiting)
{
    struct arrival *arrival = CONTAINER(waiting, struct arrival, waiting);
    admit(arrival->listener, arrival->call, arrival->served, &arrival->metadata);
    drop(arrival);
}

static void refuse_waiting(struct waiting_call *waiting, int code, const char *text)
{
    struct arrival *arrival = CONTAINER(waiting, struct arrival, waiting);
    refuse_call(arrival->call, (grpc_status_code)code, text);
    drop(arrival);
}

/* Takes the metadata and the peer's address over, too. */
static void let_wait(struct grpc_listener *listener, grpc_call *call, const struct served *served,
                     grpc_metadata_array *metadata, char *peer)
{
    static const struct waiting_ops ops = {.admit = admit_waiting, .refuse = refuse_waiting};
    struct arrival *arrival = malloc(sizeof(*arrival));
    if (!arrival) {
        gpr_free(peer);
        refuse_call(call, GRPC_STATUS_UNAVAILABLE, END_OUT_OF_MEMORY);
        return;
    }
    *arrival = (struct arrival){.waiting = {.ops = &ops, .peer = peer},
                                .listener = listener,
                                .call = call,
                                .served = served,
                                .metadata = *metadata,
                                .peer = peer};
    grpc_metadata_array_init(metadata);
    muster__waiting_add(&listener->waiting, &arrival->waiting);
}

/* ---- arrivals ---- */

/* A call for health. Where tokens are not looked at now, it is a stranger's, who is answered all the same. */
static void tell_health(struct grpc_listener *listener, grpc_call *call, bool watch, bool passes,
                        const grpc_metadata_array *metadata)
{
    struct credentials *credentials = listener->source.credentials;
    struct peer_identity *identity = passes ? identify(listener, call, metadata) : NULL;
    bool stranger = credentials && credentials->asks && (!identity || identity->refusal.status != MUSTER_OK);
    muster__identity_free(identity);
    struct grpc_stream *stream = stream_for(listener, call, NULL, true);
    if (!stream)
        return;
    const struct stream_events *events = NULL;
    void *context = muster__health_accepted(&listener->health, &stream->base, watch, stranger, &events);
    open_stream(stream, events, context);
}

void muster__grpc_arrived(struct grpc_listener *listener, grpc_call *call, grpc_slice method,
                          grpc_metadata_array *metadata)
{
    muster__credentials_tell(listener->source.credentials); /* what the handshake may have found, too */
    if (drop_flood(listener, call))
        return;
    char *peer = grpc_call_get_peer(call);
    bool passes = muster__waiting_passes(&listener->waiting, peer, muster__grpc_shows_token(metadata));
    const char *name = (const char *)GRPC_SLICE_START_PTR(method);
    const struct served *served =
        muster__find_served(listener->events->served, name, GRPC_SLICE_LENGTH(method));
    bool watch;
    bool health = muster__health_has(name, GRPC_SLICE_LENGTH(method), &watch);
    if (!health && !passes) {
        let_wait(listener, call, served, metadata, peer);
        return;
    }
    gpr_free(peer);
    if (health)
        tell_health(listener, call, watch, passes, metadata);
    else
        admit(listener, call, served, metadata);
}
