/* The bare server: what a careful program on C-core alone does for a turn and for a round, and nothing more.
   A caller sends, sleeps on a condition variable, and is woken once, when all that it waits for has come. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/grpc_security.h>

#include "core.h"
#include "role.h"

/* Calls that may arrive before a completion thread asks for more. */
#define ADMISSIONS 64

/* One participant. A batch's tag points at one of the events. */
struct stream {
    struct core_event received;
    struct core_event sent;
    struct core_event closed;
    grpc_call *call;
    grpc_byte_buffer *incoming;
    struct stream *next; /* of all that were accepted */
    int cancelled;
    bool joined;
};

/* One request for a call. */
struct admission {
    struct core_event accepted;
    grpc_call *call;
    grpc_call_details details;
    grpc_metadata_array metadata;
};

static struct {
    struct role_options options;
    struct core_queue queue;
    grpc_server *handle;
    struct admission admissions[ADMISSIONS];
    struct core_event stopped;
    void *payload;  /* what an instruction carries */
    char *answer;   /* what the last turn brought */
    char *received; /* arrays: where every answer is read to */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t done;
    struct stream *accepted;
    struct stream **streams; /* joined, in that order */
    size_t joined;
    size_t wanted;         /* the caller waits for so many to join */
    size_t missing;        /* completions that the caller waits for */
    bool keeps;            /* the caller wants the answer itself */
    bool stopping;         /* streams may end */
    bool stop_done;        /* the server's shutdown is complete */
    grpc_byte_buffer *got; /* the answer */
} server = {.lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};

/* Waits for the next thing to happen. The lock is held. */
static void await(void)
{
    if (server.queue.thread_count > 0) {
        pthread_cond_wait(&server.done, &server.lock);
        return;
    }
    pthread_mutex_unlock(&server.lock);
    core_queue_serve(&server.queue);
    pthread_mutex_lock(&server.lock);
}

/* One completion less to wait for. Waking outside the lock spares the woken thread a second sleep. */
static void complete_one(grpc_byte_buffer *answer)
{
    pthread_mutex_lock(&server.lock);
    if (answer && server.keeps) {
        server.got = answer;
        answer = NULL;
    }
    bool last = --server.missing == 0;
    pthread_mutex_unlock(&server.lock);
    if (last)
        pthread_cond_signal(&server.done);
    if (answer)
        grpc_byte_buffer_destroy(answer);
}

static size_t answer_size(void)
{
    return server.options.arrays ? server.options.answer : server.options.instruction;
}

static void add_joined(struct stream *stream)
{
    pthread_mutex_lock(&server.lock);
    stream->joined = true;
    server.streams[server.joined++] = stream;
    bool last = server.joined == server.wanted;
    pthread_mutex_unlock(&server.lock);
    if (last)
        pthread_cond_signal(&server.done);
}

static void stream_ended(void)
{
    pthread_mutex_lock(&server.lock);
    bool stopping = server.stopping || server.missing == 0;
    pthread_mutex_unlock(&server.lock);
    if (!stopping)
        role_fail("a stream ended during a turn");
}

static void on_received(struct core_event *event, bool succeeded)
{
    struct stream *stream = CORE_OWNER(event, struct stream, received);
    grpc_byte_buffer *message = stream->incoming;
    stream->incoming = NULL;
    if (!succeeded || !message) {
        stream_ended();
        return;
    }
    if (!stream->joined) {
        grpc_byte_buffer_destroy(message);
        if (!server.options.batched)
            core_receive(stream->call, &stream->incoming, &stream->received);
        add_joined(stream);
        return;
    }
    if (grpc_byte_buffer_length(message) != answer_size())
        role_fail("an answer of the wrong size");
    if (server.options.folds) {
        core_message_discard(message, answer_size());
        message = NULL;
    } else if (server.options.arrays) {
        core_message_read(message, server.received, answer_size());
        message = NULL;
    }
    complete_one(message);
    if (!server.options.batched)
        core_receive(stream->call, &stream->incoming, &stream->received);
}

static void on_sent(struct core_event *event, bool succeeded)
{
    (void)event;
    if (!succeeded) {
        stream_ended();
        return;
    }
    complete_one(NULL);
}

static void on_closed(struct core_event *event, bool succeeded)
{
    (void)event;
    (void)succeeded;
}

static void request_call(struct admission *admission)
{
    grpc_call_details_init(&admission->details);
    grpc_metadata_array_init(&admission->metadata);
    grpc_call_error error =
        grpc_server_request_call(server.handle, &admission->call, &admission->details, &admission->metadata,
                                 server.queue.handle, server.queue.handle, &admission->accepted);
    if (error != GRPC_CALL_OK)
        role_fail("cannot ask for a call: %s", grpc_call_error_to_string(error));
}

static void open_stream(grpc_call *call)
{
    struct stream *stream = role_allocate(1, sizeof(*stream));
    grpc_op ops[2];
    memset(ops, 0, sizeof(ops));
    stream->received.done = on_received;
    stream->sent.done = on_sent;
    stream->closed.done = on_closed;
    stream->call = call;
    pthread_mutex_lock(&server.lock);
    stream->next = server.accepted;
    server.accepted = stream;
    pthread_mutex_unlock(&server.lock);
    ops[0].op = GRPC_OP_RECV_CLOSE_ON_SERVER;
    ops[0].data.recv_close_on_server.cancelled = &stream->cancelled;
    core_batch(call, ops, 1, &stream->closed);
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    memset(&ops[0].data, 0, sizeof(ops[0].data));
    ops[1].op = GRPC_OP_RECV_MESSAGE;
    ops[1].data.recv_message.recv_message = &stream->incoming;
    core_batch(call, ops, 2, &stream->received);
}

static void on_accepted(struct core_event *event, bool succeeded)
{
    struct admission *admission = CORE_OWNER(event, struct admission, accepted);
    grpc_call *call = admission->call;
    grpc_slice_unref(admission->details.method);
    grpc_slice_unref(admission->details.host);
    grpc_metadata_array_destroy(&admission->metadata);
    if (!succeeded)
        return; /* the server stops */
    request_call(admission);
    open_stream(call);
}

static void on_stopped(struct core_event *event, bool succeeded)
{
    (void)event;
    (void)succeeded;
    pthread_mutex_lock(&server.lock);
    server.stop_done = true;
    pthread_mutex_unlock(&server.lock);
    pthread_cond_signal(&server.done);
}

static uint16_t start(const struct role_options *options)
{
    /* With arrays, all but the first two is as C-core has it by default. */
    grpc_arg settings[] = {
        core_argument(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, -1),
        core_argument(GRPC_ARG_ALLOW_REUSEPORT, 0),
        core_argument(GRPC_ARG_KEEPALIVE_TIME_MS, CORE_KEEPALIVE_TIME_MS),
        core_argument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, CORE_KEEPALIVE_TIMEOUT_MS),
        core_argument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
        core_argument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, CORE_PING_INTERVAL_MS),
    };
    grpc_channel_args arguments = {2, settings};
    if (!options->arrays)
        arguments = (grpc_channel_args){sizeof(settings) / sizeof(*settings) - 1, settings + 1};
    server.options = *options;
    server.payload =
        options->arrays ? (void *)role_numbers(options->instruction) : role_allocate(1, options->instruction);
    server.answer = role_allocate(1, options->instruction);
    server.received = role_allocate(1, options->arrays ? options->answer : 1);
    server.streams = role_allocate(options->participants, sizeof(*server.streams));
    grpc_init();
    core_queue_start(&server.queue, options->threads);
    server.handle = grpc_server_create(&arguments, NULL);
    grpc_server_register_completion_queue(server.handle, server.queue.handle, NULL);
    grpc_server_credentials *credentials = grpc_insecure_server_credentials_create();
    int port = grpc_server_add_http2_port(server.handle, "127.0.0.1:0", credentials);
    grpc_server_credentials_release(credentials);
    if (port <= 0)
        role_fail("cannot listen");
    grpc_server_start(server.handle);
    for (size_t i = 0; i < ADMISSIONS; i++) {
        server.admissions[i].accepted.done = on_accepted;
        request_call(&server.admissions[i]);
    }
    return (uint16_t)port;
}

static void join(size_t count)
{
    pthread_mutex_lock(&server.lock);
    server.wanted = count;
    while (server.joined < count)
        await();
    pthread_mutex_unlock(&server.lock);
}

/* Batched, a turn is one completion; otherwise the sending is one and the answer another. */
static void expect(size_t turns, bool keeps)
{
    pthread_mutex_lock(&server.lock);
    server.missing = server.options.batched ? turns : 2 * turns;
    server.keeps = keeps;
    pthread_mutex_unlock(&server.lock);
}

static void send_instruction(struct stream *stream, grpc_byte_buffer *message)
{
    if (server.options.batched)
        core_send(stream->call, message, &stream->incoming, &stream->received);
    else
        core_send(stream->call, message, NULL, &stream->sent);
}

static void wait_for_answers(void)
{
    pthread_mutex_lock(&server.lock);
    while (server.missing > 0)
        await();
    pthread_mutex_unlock(&server.lock);
}

static grpc_byte_buffer *instruction(void)
{
    return server.options.arrays ? core_message_at(server.payload, server.options.instruction)
                                 : core_message(server.payload, server.options.instruction);
}

static void turn(void)
{
    expect(1, !server.options.arrays);
    send_instruction(server.streams[0], instruction());
    wait_for_answers();
    if (!server.options.arrays) {
        core_message_read(server.got, server.answer, server.options.instruction);
        server.got = NULL;
    }
}

/* The bytes of the instruction are shared by all streams. */
static void round_with_all(void)
{
    grpc_byte_buffer *message = instruction();
    expect(server.joined, false);
    for (size_t i = 0; i < server.joined; i++)
        send_instruction(server.streams[i], grpc_byte_buffer_copy(message));
    grpc_byte_buffer_destroy(message);
    wait_for_answers();
}

static void stop(void)
{
    server.stopped.done = on_stopped;
    pthread_mutex_lock(&server.lock);
    server.stopping = true;
    grpc_server_shutdown_and_notify(server.handle, server.queue.handle, &server.stopped);
    grpc_server_cancel_all_calls(server.handle);
    while (!server.stop_done)
        await();
    pthread_mutex_unlock(&server.lock);
    for (struct stream *stream = server.accepted; stream; stream = stream->next)
        grpc_call_unref(stream->call);
    grpc_server_destroy(server.handle);
    core_queue_stop(&server.queue);
    while (server.accepted) {
        struct stream *stream = server.accepted;
        server.accepted = stream->next;
        free(stream);
    }
    free(server.streams);
    free(server.payload);
    free(server.answer);
    free(server.received);
    grpc_shutdown();
}

const struct role_server core_server = {
    .start = start, .join = join, .turn = turn, .round = round_with_all, .stop = stop};
