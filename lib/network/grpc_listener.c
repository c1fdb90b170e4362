/* The server's side: listeners, and the servers of C-core that each consists of. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/slice.h>
#include <grpc/support/alloc.h>

#include "network/grpc_listener.h"
#include "status.h"

/* Calls that may arrive at once before one has to wait for another's acceptance. */
#define ACCEPTORS 16

struct acceptor {
    struct tag tag;
    struct door *door;
    grpc_call *call;
    grpc_call_details details;
    grpc_metadata_array metadata;
};

/* A server of C-core's. One that cannot accept connections any more is closed: its streams go on until they
   end, and another is opened in its place. */
struct door {
    struct grpc_listener *listener;
    grpc_server *server;
    struct tag shut_down;
    struct acceptor acceptors[ACCEPTORS];
    LIST_ENTRY(door) link; /* guarded by doors_lock */
    atomic_uint pending;   /* acceptors that wait, and the shutdown to come */
};

void muster__grpc_count_peer(struct grpc_listener *listener, bool more)
{
    pthread_mutex_lock(&listener->lock);
    listener->peers = more ? listener->peers + 1 : listener->peers - 1;
    if (listener->quota && listener->options.memory_per_peer)
        grpc_resource_quota_resize(listener->quota, listener->options.memory +
                                                        listener->peers * listener->options.memory_per_peer);
    pthread_mutex_unlock(&listener->lock);
}

/* One operation of the door less; after the last, nothing of its server is left. */
static void leave_door(struct door *door)
{
    struct grpc_listener *listener = door->listener;
    if (atomic_fetch_sub(&door->pending, 1) != 1)
        return;
    pthread_mutex_lock(&listener->doors_lock);
    LIST_REMOVE(door, link);
    pthread_mutex_unlock(&listener->doors_lock);
    grpc_server_destroy(door->server);
    free(door);
    muster__let_go(&listener->holders);
}

static void accept_next(struct acceptor *acceptor)
{
    struct grpc_transport *transport = acceptor->door->listener->transport;
    grpc_call_details_init(&acceptor->details);
    grpc_metadata_array_init(&acceptor->metadata);
    HANDED_OVER(&acceptor->tag);
    if (grpc_server_request_call(acceptor->door->server, &acceptor->call, &acceptor->details,
                                 &acceptor->metadata, transport->queue, transport->queue,
                                 &acceptor->tag) != GRPC_CALL_OK)
        leave_door(acceptor->door);
}

static void accepted_complete(struct tag *tag, bool ok)
{
    struct acceptor *acceptor = CONTAINER(tag, struct acceptor, tag);
    struct grpc_listener *listener = acceptor->door->listener;
    if (!ok) { /* the server shuts down */
        grpc_call_details_destroy(&acceptor->details);
        grpc_metadata_array_destroy(&acceptor->metadata);
        leave_door(acceptor->door);
        return;
    }
    muster__grpc_arrived(listener, acceptor->call, acceptor->details.method, &acceptor->metadata);
    grpc_call_details_destroy(&acceptor->details);
    grpc_metadata_array_destroy(&acceptor->metadata);
    accept_next(acceptor);
}

static void shut_down_complete(struct tag *tag, bool ok)
{
    (void)ok;
    leave_door(CONTAINER(tag, struct door, shut_down));
}

/* For C-core, the greatest number is none. */
static uint64_t limit_of(uint64_t value)
{
    return value ? value : UINT64_MAX;
}

static grpc_server *server_new(const struct grpc_listener *listener)
{
    const struct connection_options *options = &listener->options;
    grpc_arg arguments[] = {
        [COMMON_ARGUMENTS] = {.type = GRPC_ARG_POINTER,
                              .key = (char *)GRPC_ARG_RESOURCE_QUOTA,
                              .value.pointer = {.p = listener->quota,
                                                .vtable = grpc_resource_quota_arg_vtable()}},
        muster__grpc_integer(GRPC_ARG_MAX_CONCURRENT_STREAMS, limit_of(options->max_streams)),
        muster__grpc_integer(GRPC_ARG_MAX_CONNECTION_IDLE_MS, limit_of((uint64_t)options->idle_timeout_ms)),
        muster__grpc_integer(GRPC_ARG_ALLOW_REUSEPORT, 0),
        muster__grpc_integer(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, HANDSHAKE_TIMEOUT_MS),
        muster__grpc_integer(GRPC_ARG_TCP_MAX_READ_CHUNK_SIZE, SERVER_READ_SIZE_MAX),
        muster__grpc_integer(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, PING_INTERVAL_MIN_MS),
    };
    muster__grpc_put_arguments(arguments, options, listener->max_message_size);
    grpc_channel_args channel = {.num_args = sizeof(arguments) / sizeof(*arguments), .args = arguments};
    return grpc_server_create(&channel, NULL);
}

/* Opens a door at `address`; the port that was bound, or 0. With doors_lock held, or before anyone else knows
   the listener. */
static uint16_t open_door(struct grpc_listener *listener, const char *address)
{
    struct door *door = calloc(1, sizeof(*door));
    if (!door)
        return 0;
    door->listener = listener;
    door->shut_down.complete = shut_down_complete;
    atomic_init(&door->pending, ACCEPTORS + 1);
    door->server = server_new(listener);
    grpc_server_register_completion_queue(door->server, listener->transport->queue, NULL);
    grpc_server_credentials *security = muster__grpc_server_credentials(&listener->source);
    if (listener->flood)
        muster__grpc_flood_watch(listener->flood, security);
    char target[TARGET_SIZE];
    muster__write_target("", address, target);
    int bound = grpc_server_add_http2_port(door->server, target, security);
    grpc_server_credentials_release(security);
    if (bound == 0) {
        grpc_server_destroy(door->server);
        free(door);
        return 0;
    }
    LIST_INSERT_HEAD(&listener->doors, door, link);
    listener->open = true;
    muster__hold_on(&listener->holders);
    grpc_server_start(door->server);
    for (size_t i = 0; i < ACCEPTORS; i++) {
        door->acceptors[i].tag.complete = accepted_complete;
        door->acceptors[i].door = door;
        accept_next(&door->acceptors[i]);
    }
    return (uint16_t)bound;
}

/* With doors_lock held. */
static void close_door(struct grpc_listener *listener)
{
    if (!listener->open)
        return;
    struct door *door = LIST_FIRST(&listener->doors);
    listener->open = false;
    HANDED_OVER(&door->shut_down);
    grpc_server_shutdown_and_notify(door->server, listener->transport->queue, &door->shut_down);
}

/* ---- when there are no descriptors left ---- */

static void tell(const struct grpc_listener *listener, const char *text)
{
    muster__warn_listener(listener->events, listener->context, listener->address, text);
}

static void reopen(struct timer *timer)
{
    struct grpc_listener *listener = CONTAINER(timer, struct grpc_listener, reopening);
    struct muster_transport *transport = &listener->transport->base;
    sigset_t saved;
    if (!listener->told)
        tell(listener, DESCRIPTORS_GONE);
    listener->told = true;
    muster__block_signals(&saved);
    pthread_mutex_lock(&listener->doors_lock);
    bool closing = listener->closing;
    bool opened =
        !closing && muster__reserve_take(&listener->reserve) && open_door(listener, listener->address) != 0;
    if (opened)
        listener->told = false;
    else if (!closing)
        muster__timer_start(transport, &listener->reopening, muster__transport_after(transport, REOPEN_MS),
                            reopen);
    pthread_mutex_unlock(&listener->doors_lock);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    if (opened)
        tell(listener, DESCRIPTORS_AGAIN);
    if (opened || closing)
        muster__let_go(&listener->holders);
}

/* C-core's listener is dead for good after a failed accept(). Its connections without a stream end with the
   door, which gives descriptors back. With listeners_lock held. */
static void accept_failed(struct grpc_listener *listener)
{
    struct muster_transport *transport = &listener->transport->base;
    pthread_mutex_lock(&listener->doors_lock);
    if (listener->open && !listener->closing) {
        close_door(listener);
        muster__reserve_give(&listener->reserve);
        muster__hold_on(&listener->holders);
        muster__timer_start(transport, &listener->reopening, muster__transport_after(transport, REOPEN_MS),
                            reopen);
    }
    pthread_mutex_unlock(&listener->doors_lock);
}

/* C-core does not say whose it was: all are closed and opened again. */
void muster__grpc_accept_failed(struct tag *tag, bool ok)
{
    (void)ok;
    struct grpc_transport *transport = CONTAINER(tag, struct grpc_transport, accept_failed);
    struct grpc_listener *listener;
    transport->accept_failing = false;
    pthread_mutex_lock(&transport->listeners_lock);
    LIST_FOREACH(listener, &transport->listeners, link)
        accept_failed(listener);
    pthread_mutex_unlock(&transport->listeners_lock);
}

/* ---- what its owner calls ---- */

void muster__grpc_close_listener(struct listener *base)
{
    struct grpc_listener *listener = (struct grpc_listener *)base;
    pthread_mutex_lock(&listener->transport->listeners_lock);
    LIST_REMOVE(listener, link);
    pthread_mutex_unlock(&listener->transport->listeners_lock);
    muster__health_close(&listener->health);
    muster__waiting_close(&listener->waiting);
    muster__grpc_handshakes_close(listener);
    muster__grpc_unfinished_close(&listener->unfinished);
    muster__hold_on(&listener->holders);
    pthread_mutex_lock(&listener->doors_lock);
    listener->closing = true;
    close_door(listener);
    pthread_mutex_unlock(&listener->doors_lock);
    if (muster__timer_stop(&listener->transport->base, &listener->reopening))
        muster__let_go(&listener->holders);
    muster__let_go(&listener->holders);
}

void muster__grpc_cut_listener(struct listener *base)
{
    struct grpc_listener *listener = (struct grpc_listener *)base;
    listener->cut = true;
    muster__shut_connections(listener->host[0] ? listener->host : NULL, listener->port);
    struct door *door;
    pthread_mutex_lock(&listener->doors_lock);
    LIST_FOREACH(door, &listener->doors, link)
        grpc_server_cancel_all_calls(door->server);
    pthread_mutex_unlock(&listener->doors_lock);
}

void muster__grpc_free_listener(struct listener *base)
{
    struct grpc_listener *listener = (struct grpc_listener *)base;
    muster__reserve_give(&listener->reserve);
    grpc_resource_quota_unref(listener->quota);
    muster__grpc_flood_release(listener->flood);
    muster__health_destroy(&listener->health);
    muster__handshakes_destroy(&listener->handshakes);
    muster__waiting_destroy(&listener->waiting);
    muster__grpc_unfinished_destroy(&listener->unfinished);
    pthread_mutex_destroy(&listener->doors_lock);
    pthread_mutex_destroy(&listener->lock);
    free(listener->address);
    free(listener);
}

/* The quota is there without a limit too: the process's own would be shared with all else. */
static void set_limits(struct grpc_listener *listener, const struct connection_options *options)
{
    listener->options = *options;
    listener->source.credentials = options->credentials;
    listener->quota = grpc_resource_quota_create("listener");
    if (options->memory)
        grpc_resource_quota_resize(listener->quota, options->memory);
    if (options->max_streams)
        listener->flood = muster__grpc_flood_new(options->max_streams);
}

enum muster_status muster__grpc_listen(struct muster_transport *base, const char *address,
                                       size_t max_message_size, const struct connection_options *options,
                                       const struct listener_events *events, void *context,
                                       struct listener **result, uint16_t *port, struct muster_error *error)
{
    struct grpc_transport *transport = (struct grpc_transport *)base;
    char host[HOST_SIZE];
    const char *wanted_port;
    enum muster_status split = muster__split_to_listen(address, host, &wanted_port, error);
    if (split != MUSTER_OK)
        return split;
    struct grpc_listener *listener = calloc(1, sizeof(*listener));
    char *bound_address = malloc(strlen(address) + sizeof("65535"));
    if (!listener || !bound_address) {
        free(listener);
        free(bound_address);
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    }
    if (muster__is_one_address(host))
        memcpy(listener->host, host, sizeof(host));
    listener->address = bound_address;
    listener->transport = transport;
    listener->events = events;
    listener->context = context;
    listener->max_message_size = max_message_size;
    pthread_mutex_init(&listener->lock, NULL);
    muster__holders_init(&listener->holders, events, context);
    pthread_mutex_init(&listener->doors_lock, NULL);
    set_limits(listener, options ? options : &muster__plain_connection);
    muster__health_init(&listener->health, &transport->base, &listener->holders, events->served);
    muster__handshakes_init(&listener->handshakes, &transport->base, listener->source.credentials,
                            &listener->holders);
    muster__waiting_init(&listener->waiting, &transport->base, listener->source.credentials,
                         &listener->holders);
    muster__grpc_unfinished_init(&listener->unfinished, listener);
    muster__raise_descriptor_limit();
    muster__reserve_take(&listener->reserve); /* or the next time */
    sigset_t saved;
    muster__block_signals(&saved);
    pthread_mutex_lock(&listener->doors_lock);
    *port = open_door(listener, address);
    listener->port = *port;
    pthread_mutex_unlock(&listener->doors_lock);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    if (!listener->port) {
        muster__grpc_free_listener((struct listener *)listener);
        return muster__explain_bind(address, host, wanted_port, error);
    }
    snprintf(bound_address, strlen(address) + sizeof("65535"), "%.*s%u", (int)(wanted_port - address),
             address, (unsigned)listener->port);
    pthread_mutex_lock(&transport->listeners_lock);
    LIST_INSERT_HEAD(&transport->listeners, listener, link);
    pthread_mutex_unlock(&transport->listeners_lock);
    muster__grpc_handshakes_watch(listener);
    *result = (struct listener *)listener;
    return MUSTER_OK;
}

void muster__grpc_listener_address(struct listener *base, char *text, size_t size)
{
    snprintf(text, size, "%s", ((const struct grpc_listener *)base)->address);
}
