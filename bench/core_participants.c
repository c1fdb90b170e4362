/* The bare participants: a channel, a connection and a stream each, all served by one queue. They answer
   either at once, on the thread that took the instruction from the queue, or from a thread that blocks for
   it. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>

#include "core.h"
#include "role.h"

struct participant {
    struct core_event admitted;
    struct core_event received;
    struct core_event sent;
    struct core_event closed;
    grpc_channel *channel;
    grpc_call *call;
    grpc_byte_buffer *incoming;
    grpc_metadata_array initial_metadata;
    grpc_metadata_array trailing_metadata;
    grpc_status_code status;
    grpc_slice status_details;

    pthread_mutex_t lock;       /* guards what follows; unused when batched */
    bool sending;               /* a SEND has not completed yet */
    grpc_byte_buffer *deferred; /* the answer that waits for it */
};

static struct {
    struct role_options options;
    struct core_queue queue;
    struct participant *all;
    float *answer;  /* arrays */
    char *received; /* arrays: where every instruction is read to */
    pthread_t consumer;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t done;
    size_t connecting;             /* handshakes under way */
    grpc_byte_buffer *instruction; /* for the consumer; NULL: none yet */
    bool ended;                    /* no instruction will come */
    bool stopping;
} participants = {.lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};

static void answer(struct participant *participant, grpc_byte_buffer *message)
{
    if (participants.options.batched) {
        core_send(participant->call, message, &participant->incoming, &participant->received);
        return;
    }
    pthread_mutex_lock(&participant->lock);
    if (participant->sending) {
        participant->deferred = message;
    } else {
        participant->sending = true;
        core_send(participant->call, message, NULL, &participant->sent);
    }
    pthread_mutex_unlock(&participant->lock);
}

static void on_sent(struct core_event *event, bool succeeded)
{
    struct participant *participant = CORE_OWNER(event, struct participant, sent);
    (void)succeeded;
    pthread_mutex_lock(&participant->lock);
    grpc_byte_buffer *message = participant->deferred;
    participant->deferred = NULL;
    participant->sending = message != NULL;
    if (message)
        core_send(participant->call, message, NULL, &participant->sent);
    pthread_mutex_unlock(&participant->lock);
}

static void hand_over(grpc_byte_buffer *instruction)
{
    pthread_mutex_lock(&participants.lock);
    participants.instruction = instruction;
    participants.ended = !instruction;
    pthread_mutex_unlock(&participants.lock);
    pthread_cond_signal(&participants.done);
}

/* The array that lies ready. The instruction is read to where an array can be worked with, or thrown away
   where the server does so too. */
static grpc_byte_buffer *answer_with_array(grpc_byte_buffer *instruction)
{
    if (participants.options.folds)
        core_message_discard(instruction, participants.options.instruction);
    else
        core_message_read(instruction, participants.received, participants.options.instruction);
    return core_message_at(participants.answer, participants.options.answer);
}

/* Without arrays the instruction itself goes back: nothing could answer with less work. */
static void on_received(struct core_event *event, bool succeeded)
{
    struct participant *participant = CORE_OWNER(event, struct participant, received);
    grpc_byte_buffer *message = participant->incoming;
    participant->incoming = NULL;
    if (!succeeded)
        message = NULL;
    if (participants.options.consumes)
        hand_over(message);
    else if (message)
        answer(participant, participants.options.arrays ? answer_with_array(message) : message);
    if (message && !participants.options.batched)
        core_receive(participant->call, &participant->incoming, &participant->received);
}

static void on_admitted(struct core_event *event, bool succeeded)
{
    (void)event;
    if (!succeeded)
        role_fail("a participant was not admitted");
    pthread_mutex_lock(&participants.lock);
    bool wake = participants.connecting-- == participants.options.connecting || participants.connecting == 0;
    pthread_mutex_unlock(&participants.lock);
    if (wake)
        pthread_cond_signal(&participants.done);
}

static void on_closed(struct core_event *event, bool succeeded)
{
    struct participant *participant = CORE_OWNER(event, struct participant, closed);
    (void)succeeded;
    pthread_mutex_lock(&participants.lock);
    bool stopping = participants.stopping;
    pthread_mutex_unlock(&participants.lock);
    if (!stopping && participant->status != GRPC_STATUS_OK && participant->status != GRPC_STATUS_CANCELLED &&
        participant->status != GRPC_STATUS_UNAVAILABLE)
        role_fail("a stream ended with status %d", (int)participant->status);
}

static grpc_channel *create_channel(void)
{
    /* With arrays, all but the first two is as C-core has it by default. */
    grpc_arg arguments[] = {
        core_argument(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, -1),
        core_argument(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1),
        core_argument(GRPC_ARG_ENABLE_RETRIES, 0),
        core_argument(GRPC_ARG_KEEPALIVE_TIME_MS, CORE_KEEPALIVE_TIME_MS),
        core_argument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, CORE_KEEPALIVE_TIMEOUT_MS),
        core_argument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
    };
    grpc_channel_args channel_arguments = {2, arguments};
    if (!participants.options.arrays)
        channel_arguments = (grpc_channel_args){sizeof(arguments) / sizeof(*arguments) - 1, arguments + 1};
    char target[32];
    snprintf(target, sizeof(target), "127.0.0.1:%u", participants.options.port);
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    grpc_channel *channel = grpc_channel_create(target, credentials, &channel_arguments);
    grpc_channel_credentials_release(credentials);
    return channel;
}

/* The first message is empty: it passes the initiative. What comes back for it are the initial metadata. */
static void start_stream(struct participant *participant)
{
    grpc_op ops[3];
    memset(ops, 0, sizeof(ops));
    ops[0].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[0].data.recv_status_on_client.trailing_metadata = &participant->trailing_metadata;
    ops[0].data.recv_status_on_client.status = &participant->status;
    ops[0].data.recv_status_on_client.status_details = &participant->status_details;
    core_batch(participant->call, ops, 1, &participant->closed);
    core_receive(participant->call, &participant->incoming, &participant->received);
    memset(ops, 0, sizeof(ops));
    grpc_byte_buffer *first = core_message("", 0);
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[0].flags = GRPC_INITIAL_METADATA_WAIT_FOR_READY;
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = first;
    ops[2].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[2].data.recv_initial_metadata.recv_initial_metadata = &participant->initial_metadata;
    core_batch(participant->call, ops, 3, &participant->admitted);
    grpc_byte_buffer_destroy(first);
}

static void open_stream(struct participant *participant)
{
    participant->admitted.done = on_admitted;
    participant->received.done = on_received;
    participant->sent.done = on_sent;
    participant->closed.done = on_closed;
    pthread_mutex_init(&participant->lock, NULL);
    grpc_metadata_array_init(&participant->initial_metadata);
    grpc_metadata_array_init(&participant->trailing_metadata);
    participant->status_details = grpc_empty_slice();
    participant->channel = create_channel();
    participant->call = grpc_channel_create_call(
        participant->channel, NULL, GRPC_PROPAGATE_DEFAULTS, participants.queue.handle,
        grpc_slice_from_static_string(CORE_METHOD), NULL, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    start_stream(participant);
}

/* Copies the instruction out and an answer in, as a participant with something to do would. */
static grpc_byte_buffer *answer_with_copy(grpc_byte_buffer *instruction, char *data)
{
    core_message_read(instruction, data, participants.options.instruction);
    return core_message(data, participants.options.instruction);
}

static void *consume(void *unused)
{
    char *data = role_allocate(1, participants.options.instruction);
    pthread_mutex_lock(&participants.lock);
    while (!participants.ended) {
        if (!participants.instruction) {
            pthread_cond_wait(&participants.done, &participants.lock);
            continue;
        }
        grpc_byte_buffer *instruction = participants.instruction;
        participants.instruction = NULL;
        pthread_mutex_unlock(&participants.lock);
        answer(&participants.all[0], participants.options.arrays ? answer_with_array(instruction)
                                                                 : answer_with_copy(instruction, data));
        pthread_mutex_lock(&participants.lock);
    }
    pthread_mutex_unlock(&participants.lock);
    free(data);
    return unused;
}

static void wait_for_handshakes(size_t below)
{
    pthread_mutex_lock(&participants.lock);
    while (participants.connecting >= below)
        pthread_cond_wait(&participants.done, &participants.lock);
    participants.connecting++;
    pthread_mutex_unlock(&participants.lock);
}

static void connect_all(const struct role_options *options)
{
    participants.options = *options;
    participants.all = role_allocate(options->participants, sizeof(*participants.all));
    participants.answer = role_numbers(options->answer);
    participants.received = role_allocate(1, options->instruction);
    grpc_init();
    core_queue_start(&participants.queue, options->threads > 0 ? options->threads : 1);
    for (size_t i = 0; i < options->participants; i++) {
        wait_for_handshakes(options->connecting);
        open_stream(&participants.all[i]);
    }
    wait_for_handshakes(1);
    if (options->consumes && pthread_create(&participants.consumer, NULL, consume, NULL) != 0)
        role_fail("cannot start a thread");
}

static void free_participant(struct participant *participant)
{
    grpc_call_unref(participant->call);
    grpc_metadata_array_destroy(&participant->initial_metadata);
    grpc_metadata_array_destroy(&participant->trailing_metadata);
    grpc_slice_unref(participant->status_details);
    pthread_mutex_destroy(&participant->lock);
}

static void stop(void)
{
    pthread_mutex_lock(&participants.lock);
    participants.stopping = true;
    pthread_mutex_unlock(&participants.lock);
    for (size_t i = 0; i < participants.options.participants; i++) {
        grpc_call_cancel(participants.all[i].call, NULL);
        grpc_channel_destroy(participants.all[i].channel);
    }
    core_queue_stop(&participants.queue);
    if (participants.options.consumes)
        pthread_join(participants.consumer, NULL);
    for (size_t i = 0; i < participants.options.participants; i++)
        free_participant(&participants.all[i]);
    free(participants.all);
    free(participants.answer);
    free(participants.received);
    grpc_shutdown();
}

const struct role_participants core_participants = {.connect = connect_all, .stop = stop};
