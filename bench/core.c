/* Bare C-core: the queue and its threads, and messages. */
#include <config.h>

#include "core.h"

#include <string.h>

#include <grpc/byte_buffer_reader.h>
#include <grpc/slice.h>
#include <grpc/support/time.h>

#include "role.h"

bool core_queue_serve(struct core_queue *queue)
{
    grpc_event completion =
        grpc_completion_queue_next(queue->handle, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    if (completion.type != GRPC_OP_COMPLETE)
        return false;
    struct core_event *event = completion.tag;
    event->done(event, completion.success != 0);
    return true;
}

static void *serve(void *argument)
{
    while (core_queue_serve(argument)) {
    }
    return NULL;
}

grpc_arg core_argument(const char *key, int value)
{
    return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value};
}

void core_queue_start(struct core_queue *queue, size_t thread_count)
{
    if (thread_count > CORE_THREADS_MAX)
        thread_count = CORE_THREADS_MAX;
    queue->handle = grpc_completion_queue_create_for_next(NULL);
    for (queue->thread_count = 0; queue->thread_count < thread_count; queue->thread_count++) {
        if (pthread_create(&queue->threads[queue->thread_count], NULL, serve, queue) != 0)
            role_fail("cannot start a thread");
    }
}

void core_queue_stop(struct core_queue *queue)
{
    grpc_completion_queue_shutdown(queue->handle);
    if (queue->thread_count == 0)
        serve(queue);
    for (size_t i = 0; i < queue->thread_count; i++)
        pthread_join(queue->threads[i], NULL);
    grpc_completion_queue_destroy(queue->handle);
}

grpc_byte_buffer *core_message(const void *data, size_t size)
{
    grpc_slice slice = grpc_slice_from_copied_buffer(data, size);
    grpc_byte_buffer *message = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return message;
}

grpc_byte_buffer *core_message_at(const void *data, size_t size)
{
    grpc_slice slice = grpc_slice_from_static_buffer(data, size);
    grpc_byte_buffer *message = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return message;
}

void core_message_discard(grpc_byte_buffer *message, size_t size)
{
    grpc_byte_buffer_reader reader;
    grpc_slice slice;
    size_t walked = 0;
    if (!grpc_byte_buffer_reader_init(&reader, message))
        role_fail("a message that cannot be read");
    while (grpc_byte_buffer_reader_next(&reader, &slice)) {
        walked += GRPC_SLICE_LENGTH(slice);
        grpc_slice_unref(slice);
    }
    grpc_byte_buffer_reader_destroy(&reader);
    grpc_byte_buffer_destroy(message);
    if (walked != size)
        role_fail("a message of the wrong size");
}

void core_message_read(grpc_byte_buffer *message, void *data, size_t size)
{
    grpc_byte_buffer_reader reader;
    grpc_slice slice;
    size_t filled = 0;
    if (grpc_byte_buffer_length(message) != size || !grpc_byte_buffer_reader_init(&reader, message))
        role_fail("a message of the wrong size");
    while (grpc_byte_buffer_reader_next(&reader, &slice)) {
        memcpy((char *)data + filled, GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice));
        filled += GRPC_SLICE_LENGTH(slice);
        grpc_slice_unref(slice);
    }
    grpc_byte_buffer_reader_destroy(&reader);
    grpc_byte_buffer_destroy(message);
}

void core_batch(grpc_call *call, const grpc_op *ops, size_t count, struct core_event *event)
{
    grpc_call_error error = grpc_call_start_batch(call, ops, count, event, NULL);
    if (error != GRPC_CALL_OK)
        role_fail("a batch was refused: %s", grpc_call_error_to_string(error));
}

void core_send(grpc_call *call, grpc_byte_buffer *message, grpc_byte_buffer **incoming,
               struct core_event *event)
{
    grpc_op ops[2];
    memset(ops, 0, sizeof(ops));
    ops[0].op = GRPC_OP_SEND_MESSAGE;
    ops[0].data.send_message.send_message = message;
    ops[1].op = GRPC_OP_RECV_MESSAGE;
    ops[1].data.recv_message.recv_message = incoming;
    core_batch(call, ops, incoming ? 2 : 1, event);
    grpc_byte_buffer_destroy(message);
}

void core_receive(grpc_call *call, grpc_byte_buffer **incoming, struct core_event *event)
{
    grpc_op op;
    memset(&op, 0, sizeof(op));
    op.op = GRPC_OP_RECV_MESSAGE;
    op.data.recv_message.recv_message = incoming;
    core_batch(call, &op, 1, event);
}
