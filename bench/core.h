/* Bare C-core, as far as its server and its participants share it: the queue and its threads, and
   messages. */
#ifndef BENCH_CORE_H
#define BENCH_CORE_H

#include <stdbool.h>
#include <stddef.h>

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <pthread.h>

#define CORE_THREADS_MAX 64
#define CORE_METHOD      "/Core/Exchange"

/* Keepalive, which a stream that lives for days needs at both ends, as muster sets it: C-core pays for it
   with each packet that it reads. */
enum { CORE_KEEPALIVE_TIME_MS = 30000, CORE_KEEPALIVE_TIMEOUT_MS = 20000, CORE_PING_INTERVAL_MS = 5000 };

grpc_arg core_argument(const char *key, int value);

/* What a tag points at: a completion that knows what to do. Embedded in the object that it is about. */
struct core_event {
    void (*done)(struct core_event *event, bool succeeded);
};

/* The object that `event` is the member `member` of. */
#define CORE_OWNER(event, type, member) ((type *)(void *)((char *)(event)-offsetof(type, member)))

/* A completion queue and the threads that serve it; without threads, whoever waits serves it. */
struct core_queue {
    grpc_completion_queue *handle;
    pthread_t threads[CORE_THREADS_MAX];
    size_t thread_count;
};

void core_queue_start(struct core_queue *queue, size_t thread_count);

/* Takes one completion; false at the queue's end. */
bool core_queue_serve(struct core_queue *queue);

/* Shuts down, drains, joins and destroys. Everything posted must have an end in sight. */
void core_queue_stop(struct core_queue *queue);

/* A message of these bytes. */
grpc_byte_buffer *core_message(const void *data, size_t size);

/* A message that points at these bytes: they have to stay. */
grpc_byte_buffer *core_message_at(const void *data, size_t size);

/* Walks over a message's bytes, which must be `size`, and destroys it. */
void core_message_discard(grpc_byte_buffer *message, size_t size);

/* Copies a message of exactly `size` bytes to `data` and destroys it. */
void core_message_read(grpc_byte_buffer *message, void *data, size_t size);

/* Sends `message` (it is emptied and destroyed); with `incoming`, receives into it in the same batch. */
void core_send(grpc_call *call, grpc_byte_buffer *message, grpc_byte_buffer **incoming,
               struct core_event *event);

/* Posts a RECV. */
void core_receive(grpc_call *call, grpc_byte_buffer **incoming, struct core_event *event);

/* Starts a batch that must not be refused. */
void core_batch(grpc_call *call, const grpc_op *ops, size_t count, struct core_event *event);

#endif
