/* The client's side: a channel for each stream, which ends with the cause when it does not come up. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include <grpc/slice.h>
#include <grpc/support/time.h>

#include "network/credentials.h"
#include "network/grpc.h"
#include "status.h"

static grpc_channel *channel_new(const char *address, size_t max_message_size, bool by_proxy,
                                 const struct connection_options *options, const struct keys *keys)
{
    grpc_arg arguments[] = {
        [COMMON_ARGUMENTS] = muster__grpc_integer(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1),
        muster__grpc_integer(GRPC_ARG_ENABLE_RETRIES, 0),
        muster__grpc_integer(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1),
        muster__grpc_integer(GRPC_ARG_TCP_MAX_READ_CHUNK_SIZE, CLIENT_READ_SIZE_MAX),
        muster__grpc_integer(GRPC_ARG_ENABLE_HTTP_PROXY, by_proxy),
    };
    muster__grpc_put_arguments(arguments, options, max_message_size);
    grpc_channel_args channel = {.num_args = sizeof(arguments) / sizeof(*arguments), .args = arguments};
    grpc_channel_credentials *credentials = muster__grpc_channel_credentials(options->credentials, keys);
    char target[TARGET_SIZE];
    muster__write_target("dns:///", address, target);
    grpc_channel *created = grpc_channel_create(target, credentials, &channel);
    grpc_channel_credentials_release(credentials);
    return created;
}

static struct grpc_stream *client_stream_new(struct grpc_transport *transport, const char *address,
                                             const char *host, const struct service *service,
                                             size_t max_message_size,
                                             const struct connection_options *options)
{
    struct client_side *client = calloc(1, sizeof(*client));
    struct grpc_stream *stream = client ? muster__grpc_stream_new(transport, NULL) : NULL;
    const char *proxy = muster__grpc_proxy(address, host);
    if (!stream) {
        free(client);
        return NULL;
    }
    stream->client = client;
    client->tls = options->credentials && options->credentials->tls;
    client->proxy = proxy ? strndup(proxy, strcspn(proxy, "/?#")) : NULL; /* without memory it is not named */
    struct keys *keys = options->credentials ? muster__credentials_keys(options->credentials) : NULL;
    client->channel = channel_new(address, max_message_size, proxy != NULL, options, keys);
    client->authorization = muster__grpc_authorization(keys);
    muster__keys_release(keys);
    client->details = grpc_empty_slice();
    grpc_metadata_array_init(&client->initial);
    grpc_metadata_array_init(&client->trailing);
    stream->call = grpc_channel_create_call(client->channel, NULL, GRPC_PROPAGATE_DEFAULTS, transport->queue,
                                            grpc_slice_from_static_string(service->method), NULL,
                                            gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    return stream;
}

enum muster_status muster__grpc_connect(struct muster_transport *base, const char *address,
                                        const struct service *service, size_t max_message_size,
                                        const struct connection_options *options,
                                        const struct stream_events *events, void *context,
                                        struct stream **result, struct muster_error *error)
{
    char host[HOST_SIZE];
    const char *port;
    enum muster_status split = muster__split_to_connect(address, host, &port, error);
    if (split != MUSTER_OK)
        return split;
    sigset_t saved;
    options = options ? options : &muster__plain_connection;
    muster__block_signals(&saved);
    struct grpc_stream *stream =
        client_stream_new((struct grpc_transport *)base, address, host, service, max_message_size, options);
    if (!stream) {
        pthread_sigmask(SIG_SETMASK, &saved, NULL);
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    }
    stream->events = events;
    stream->context = context;
    *result = &stream->base;
    /* One batch for the whole life of the call: it completes with the status. */
    grpc_op ops[3] = {{0}};
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    if (options->credentials && options->credentials->files.token_file) {
        ops[0].data.send_initial_metadata.count = 1;
        ops[0].data.send_initial_metadata.metadata = &stream->client->authorization;
    }
    ops[1].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[1].data.recv_initial_metadata.recv_initial_metadata = &stream->client->initial;
    ops[2].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[2].data.recv_status_on_client.trailing_metadata = &stream->client->trailing;
    ops[2].data.recv_status_on_client.status = &stream->client->code;
    ops[2].data.recv_status_on_client.status_details = &stream->client->details;
    pthread_mutex_lock(&stream->lock);
    muster__grpc_start_batch(stream, ops, 3, &stream->ended);
    muster__grpc_start_receive(stream);
    pthread_mutex_unlock(&stream->lock);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    return MUSTER_OK;
}
