/* A blocking client on bare C-core, with a completion queue, and a socket, of its own. */
#include <config.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/compression.h>
#include <grpc/grpc.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>

#include "integration/raw_peer.h"

/* The batches that can be in flight at once, as tags. */
enum batch { BEGINNING, SENDING, RECEIVING, CLOSING, ENDING, BATCHES };

struct raw_peer {
    int descriptor; /* another one of the connection that C-core has */
    grpc_completion_queue *queue;
    grpc_channel *channel;
    bool guest; /* the connection is another's */
    grpc_metadata authorization;
    bool authorized;
    grpc_call *call;
    bool done[BATCHES];
    bool ok[BATCHES];
    bool ended; /* no message will come */
    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    grpc_status_code code;
    grpc_slice details;
    grpc_byte_buffer *incoming;
};

static int connect_socket(uint16_t port)
{
    struct sockaddr_in name = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0 || connect(descriptor, (struct sockaddr *)&name, sizeof(name)) != 0)
        abort();
    return descriptor;
}

static void start(struct raw_peer *peer, const grpc_op *ops, size_t count, enum batch batch)
{
    peer->done[batch] = false;
    if (grpc_call_start_batch(peer->call, ops, count, &peer->done[batch], NULL) != GRPC_CALL_OK)
        abort();
}

static bool wait_for(struct raw_peer *peer, enum batch batch)
{
    while (!peer->done[batch]) {
        grpc_event event = grpc_completion_queue_next(peer->queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
        bool *done = event.tag;
        *done = true;
        peer->ok[done - peer->done] = event.success != 0;
    }
    return peer->ok[batch];
}

static void begin_call(struct raw_peer *peer)
{
    grpc_op first[2] = {{0}};
    first[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    first[0].data.send_initial_metadata.count = peer->authorized;
    first[0].data.send_initial_metadata.metadata = &peer->authorization;
    first[1].op = GRPC_OP_RECV_INITIAL_METADATA;
    first[1].data.recv_initial_metadata.recv_initial_metadata = &peer->initial;
    start(peer, first, 2, BEGINNING);
    grpc_op last = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
    last.data.recv_status_on_client.trailing_metadata = &peer->trailing;
    last.data.recv_status_on_client.status = &peer->code;
    last.data.recv_status_on_client.status_details = &peer->details;
    start(peer, &last, 1, ENDING);
}

static grpc_channel *channel_new(int descriptor, bool compress)
{
    grpc_arg arguments[] = {
        {.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, .value.integer = -1},
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)GRPC_COMPRESSION_CHANNEL_DEFAULT_ALGORITHM,
         .value.integer = compress ? GRPC_COMPRESS_GZIP : GRPC_COMPRESS_NONE},
    };
    grpc_channel_args all = {.num_args = 2, .args = arguments};
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    grpc_channel *channel = grpc_channel_create_from_fd("raw-peer", descriptor, credentials, &all);
    grpc_channel_credentials_release(credentials);
    return channel;
}

/* Begins its call, on the connection that it has. */
static void open_call(struct raw_peer *peer, const char *method)
{
    peer->queue = grpc_completion_queue_create_for_next(NULL);
    grpc_slice name = grpc_slice_from_copied_string(method);
    peer->call = grpc_channel_create_call(peer->channel, NULL, GRPC_PROPAGATE_DEFAULTS, peer->queue, name,
                                          NULL, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    grpc_slice_unref(name);
    peer->details = grpc_empty_slice();
    grpc_metadata_array_init(&peer->initial);
    grpc_metadata_array_init(&peer->trailing);
    peer->done[SENDING] = peer->done[RECEIVING] = peer->done[CLOSING] = true;
    begin_call(peer);
}

static struct raw_peer *peer_new(uint16_t port, bool compress)
{
    struct raw_peer *peer = calloc(1, sizeof(*peer));
    int descriptor = connect_socket(port);
    peer->descriptor = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    fcntl(descriptor, F_SETFL, O_NONBLOCK);
    grpc_init();
    peer->channel = channel_new(descriptor, compress);
    return peer;
}

static struct raw_peer *guest_new(struct raw_peer *host)
{
    struct raw_peer *peer = calloc(1, sizeof(*peer));
    grpc_init();
    peer->guest = true;
    peer->descriptor = -1;
    peer->channel = host->channel;
    return peer;
}

struct raw_peer *raw_peer_open(uint16_t port, const char *method, bool compress)
{
    struct raw_peer *peer = peer_new(port, compress);
    open_call(peer, method);
    return peer;
}

struct raw_peer *raw_peer_open_showing(uint16_t port, const char *method, const char *authorization,
                                       struct raw_peer *host)
{
    struct raw_peer *peer = host ? guest_new(host) : peer_new(port, false);
    peer->authorized = authorization != NULL;
    if (authorization)
        peer->authorization = (grpc_metadata){.key = grpc_slice_from_static_string("authorization"),
                                              .value = grpc_slice_from_copied_string(authorization)};
    open_call(peer, method);
    return peer;
}

bool raw_peer_send(struct raw_peer *peer, const void *data, size_t size)
{
    grpc_slice slice = grpc_slice_from_copied_buffer(data, size);
    grpc_byte_buffer *bytes = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_op op = {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = bytes};
    start(peer, &op, 1, SENDING);
    bool sent = wait_for(peer, SENDING);
    grpc_byte_buffer_destroy(bytes);
    grpc_slice_unref(slice);
    return sent;
}

static struct raw_message *read_out(grpc_byte_buffer *bytes)
{
    grpc_byte_buffer_reader reader;
    grpc_byte_buffer_reader_init(&reader, bytes);
    grpc_slice all = grpc_byte_buffer_reader_readall(&reader);
    struct raw_message *message = malloc(sizeof(*message) + GRPC_SLICE_LENGTH(all));
    message->size = GRPC_SLICE_LENGTH(all);
    memcpy(message->data, GRPC_SLICE_START_PTR(all), message->size);
    grpc_slice_unref(all);
    grpc_byte_buffer_reader_destroy(&reader);
    return message;
}

struct raw_message *raw_peer_receive(struct raw_peer *peer)
{
    if (peer->ended)
        return NULL;
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &peer->incoming};
    start(peer, &op, 1, RECEIVING);
    if (!wait_for(peer, RECEIVING) || !peer->incoming) {
        peer->ended = true;
        return NULL;
    }
    struct raw_message *message = read_out(peer->incoming);
    grpc_byte_buffer_destroy(peer->incoming);
    peer->incoming = NULL;
    return message;
}

void raw_peer_half_close(struct raw_peer *peer)
{
    grpc_op op = {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT};
    start(peer, &op, 1, CLOSING);
}

void raw_peer_cancel(struct raw_peer *peer)
{
    grpc_call_cancel(peer->call, NULL);
}

void raw_peer_kill(struct raw_peer *peer)
{
    shutdown(peer->descriptor, SHUT_RDWR);
}

grpc_status_code raw_peer_finish(struct raw_peer *peer, char *text, size_t size)
{
    struct raw_message *message;
    while ((message = raw_peer_receive(peer)))
        free(message);
    wait_for(peer, ENDING);
    if (text) {
        char *details = grpc_slice_to_c_string(peer->details);
        snprintf(text, size, "%s", details);
        gpr_free(details);
    }
    return peer->code;
}

void raw_peer_free(struct raw_peer *peer)
{
    grpc_call_cancel(peer->call, NULL);
    raw_peer_finish(peer, NULL, 0);
    for (enum batch batch = BEGINNING; batch < BATCHES; batch++)
        wait_for(peer, batch);
    grpc_call_unref(peer->call);
    if (!peer->guest)
        grpc_channel_destroy(peer->channel);
    if (peer->authorized)
        grpc_slice_unref(peer->authorization.value);
    grpc_completion_queue_shutdown(peer->queue);
    while (grpc_completion_queue_next(peer->queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL).type !=
           GRPC_QUEUE_SHUTDOWN)
        ;
    grpc_completion_queue_destroy(peer->queue);
    grpc_metadata_array_destroy(&peer->initial);
    grpc_metadata_array_destroy(&peer->trailing);
    grpc_slice_unref(peer->details);
    grpc_shutdown();
    if (!peer->guest)
        close(peer->descriptor);
    free(peer);
}
