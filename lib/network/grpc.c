/*
 * The gRPC transport, on C-core. One completion queue for the process, served by a few threads that run the
 * completions below; each completion is a tag inside the object that it is about.
 *
 * Locks: a stream's lock guards its fields and is held while batches are started on its call, never while
 * waiting or during an event; a listener's lock guards its count; alarm_lock the alarm. A stream's lock is
 * taken before timers.lock, and that before alarm_lock; no two others are held together. `process_lock`
 * guards the one transport of the process and its users.
 *
 * A stream's life: its operations in flight are counted in `pending`, RECV_CLOSE_ON_SERVER or
 * RECV_STATUS_ON_CLIENT among them, which C-core completes when the call has ended. Whoever takes the count
 * to zero reports `closed`.
 */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/compression.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/log.h>
#include <grpc/support/time.h>

#include "network/transport.h"
#include "status.h"

#define METHOD "/ParticipantManager/Connect"

/* Calls that may arrive at once before one has to wait for another's acceptance. */
#define ACCEPTORS 16

#define HOST_SIZE 256

/* Bodies up to this size are copied behind their head: cheaper than a slice of their own. */
#define SMALL_BODY 512

enum {
    KEEPALIVE_TIME_MS = 30000,
    KEEPALIVE_TIMEOUT_MS = 20000,
    PING_INTERVAL_MIN_MS = 5000,
    BACKOFF_FIRST_MS = 200,
    BACKOFF_MAX_MS = 10000,
    SERVER_HOLD_MS = 250, /* that a half-close goes unnoticed, */
    CLIENT_HOLD_MS = 50,  /* or a Cancel, after a message that is held */
    LINGER_MS = 5000,     /* that a peer which has half-closed may take to read what is being sent */
};

struct tag {
    void (*complete)(struct tag *tag, bool ok);
    struct tag *next; /* among strays */
    bool ok;
};

/* A tag goes to the thread that completes it through C-core's queue, which orders what is done before and
   after. ThreadSanitizer does not see that order, as libgrpc is not instrumented, and is told. */
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#define HANDED_OVER(tag) __tsan_release(tag)
#define TAKEN_OVER(tag)  __tsan_acquire(tag)
#else
#define HANDED_OVER(tag) ((void)(tag))
#define TAKEN_OVER(tag)  ((void)(tag))
#endif

#define CONTAINER(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* ---- the transport: queue, threads, clock, alarm ---- */

struct grpc_transport {
    struct muster_transport base;
    grpc_completion_queue *queue;
    struct network_thread *threads; /* guarded by process_lock */
    unsigned users;                 /* guarded by process_lock */
    pthread_t alarm_thread;
    pthread_mutex_t alarm_lock;
    pthread_cond_t alarm_moved;
    int64_t alarm_at;   /* guarded by alarm_lock; INT64_MAX: none */
    struct tag *strays; /* completions that were found where they cannot be run; guarded by alarm_lock */
    bool alarm_stopped; /* guarded by alarm_lock */
};

struct network_thread {
    pthread_t thread;
    struct network_thread *next;
};

static pthread_mutex_t process_lock = PTHREAD_MUTEX_INITIALIZER;
static struct grpc_transport *process_transport; /* guarded by process_lock */

static const struct transport_ops transport_ops;

static void *serve_queue(void *argument)
{
    grpc_completion_queue *queue = argument;
    gpr_timespec never = gpr_inf_future(GPR_CLOCK_REALTIME);
    for (;;) {
        grpc_event event = grpc_completion_queue_next(queue, never, NULL);
        if (event.type == GRPC_QUEUE_SHUTDOWN)
            return NULL;
        struct tag *tag = event.tag;
        TAKEN_OVER(tag);
        tag->complete(tag, event.success != 0);
    }
}

static void drop_log(gpr_log_func_args *arguments)
{
    (void)arguments;
}

static bool add_thread(struct grpc_transport *transport)
{
    struct network_thread *thread = malloc(sizeof(*thread));
    if (!thread)
        return false;
    if (pthread_create(&thread->thread, NULL, serve_queue, transport->queue) != 0) {
        free(thread);
        return false;
    }
    thread->next = transport->threads;
    transport->threads = thread;
    return true;
}

static unsigned thread_count(const struct grpc_transport *transport)
{
    unsigned count = 0;
    for (const struct network_thread *thread = transport->threads; thread; thread = thread->next)
        count++;
    return count;
}

static int64_t transport_now(struct muster_transport *base)
{
    (void)base;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void transport_set_alarm(struct muster_transport *base, int64_t at)
{
    struct grpc_transport *transport = (struct grpc_transport *)base;
    pthread_mutex_lock(&transport->alarm_lock);
    transport->alarm_at = at;
    pthread_cond_signal(&transport->alarm_moved);
    pthread_mutex_unlock(&transport->alarm_lock);
}

static void add_stray(struct grpc_transport *transport, struct tag *tag, bool ok)
{
    pthread_mutex_lock(&transport->alarm_lock);
    tag->ok = ok;
    tag->next = transport->strays;
    transport->strays = tag;
    pthread_cond_signal(&transport->alarm_moved);
    pthread_mutex_unlock(&transport->alarm_lock);
}

/* Waits for what is due, and takes a stray if there is one. With alarm_lock held. */
static struct tag *wait_for_alarm(struct grpc_transport *transport)
{
    for (;;) {
        struct tag *stray = transport->strays;
        int64_t at = transport->alarm_at;
        if (stray) {
            transport->strays = stray->next;
            return stray;
        }
        if (transport->alarm_stopped || at <= transport_now(&transport->base))
            return NULL;
        if (at == INT64_MAX) {
            pthread_cond_wait(&transport->alarm_moved, &transport->alarm_lock);
        } else {
            struct timespec until = {.tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000};
            pthread_cond_timedwait(&transport->alarm_moved, &transport->alarm_lock, &until);
        }
    }
}

/* C-core keeps its alarms to itself: they are no part of its interface. A thread that sleeps is ours. */
static void *serve_alarm(void *argument)
{
    struct grpc_transport *transport = argument;
    pthread_mutex_lock(&transport->alarm_lock);
    while (!transport->alarm_stopped) {
        struct tag *stray = wait_for_alarm(transport);
        if (!stray)
            transport->alarm_at = INT64_MAX;
        pthread_mutex_unlock(&transport->alarm_lock);
        if (stray)
            stray->complete(stray, stray->ok);
        else
            muster__timers_ring(&transport->base);
        pthread_mutex_lock(&transport->alarm_lock);
    }
    pthread_mutex_unlock(&transport->alarm_lock);
    return NULL;
}

static void stop_alarm(struct grpc_transport *transport)
{
    pthread_mutex_lock(&transport->alarm_lock);
    transport->alarm_stopped = true;
    pthread_cond_signal(&transport->alarm_moved);
    pthread_mutex_unlock(&transport->alarm_lock);
    pthread_join(transport->alarm_thread, NULL);
}

/* Every listener and stream of it is gone by now: the queue is empty. */
static void transport_destroy(struct grpc_transport *transport)
{
    stop_alarm(transport);
    grpc_completion_queue_shutdown(transport->queue);
    if (!transport->threads)
        serve_queue(transport->queue);
    while (transport->threads) {
        struct network_thread *thread = transport->threads;
        transport->threads = thread->next;
        pthread_join(thread->thread, NULL);
        free(thread);
    }
    grpc_completion_queue_destroy(transport->queue);
    grpc_shutdown();
    pthread_cond_destroy(&transport->alarm_moved);
    pthread_mutex_destroy(&transport->alarm_lock);
    muster__timers_destroy(&transport->base.timers);
    free(transport);
}

static void transport_release(struct muster_transport *base)
{
    struct grpc_transport *transport = (struct grpc_transport *)base;
    pthread_mutex_lock(&process_lock);
    bool last = --transport->users == 0;
    if (last)
        process_transport = NULL;
    pthread_mutex_unlock(&process_lock);
    if (last)
        transport_destroy(transport);
}

static struct grpc_transport *transport_new(void)
{
    struct grpc_transport *transport = calloc(1, sizeof(*transport));
    if (!transport)
        return NULL;
    transport->base.ops = &transport_ops;
    muster__timers_init(&transport->base.timers);
    transport->alarm_at = INT64_MAX;
    pthread_mutex_init(&transport->alarm_lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&transport->alarm_moved, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&transport->alarm_thread, NULL, serve_alarm, transport) != 0) {
        free(transport);
        return NULL;
    }
    /* C-core reports on standard error what we report as a status; who wants to see it sets gRPC's own
     * variable. */
    if (!getenv("GRPC_VERBOSITY"))
        gpr_set_log_function(drop_log);
    grpc_init();
    transport->queue = grpc_completion_queue_create_for_next(NULL);
    return transport;
}

/* Signals are the program's: no thread of ours is to be interrupted by one, nor any of C-core's, which starts
   its own where they are first needed. */
static void block_signals(sigset_t *saved)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, saved);
}

struct muster_transport *muster__grpc_transport_acquire(unsigned threads, struct muster_error *error)
{
    sigset_t saved;
    block_signals(&saved);
    pthread_mutex_lock(&process_lock);
    if (!process_transport)
        process_transport = transport_new();
    struct grpc_transport *transport = process_transport;
    bool enough = false;
    if (transport) {
        transport->users++;
        while (!(enough = thread_count(transport) >= threads) && add_thread(transport))
            ;
    }
    pthread_mutex_unlock(&process_lock);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    if (enough)
        return &transport->base;
    if (transport)
        transport_release(&transport->base);
    muster__error(error, MUSTER_OUT_OF_MEMORY, "cannot start %u network threads", threads);
    return NULL;
}

/* ---- statuses on the wire ---- */

static grpc_status_code code_of(enum muster_status status)
{
    switch (status) {
    case MUSTER_OK:
        return GRPC_STATUS_OK;
    case MUSTER_TIMEOUT:
        return GRPC_STATUS_DEADLINE_EXCEEDED;
    case MUSTER_CANCELLED:
        return GRPC_STATUS_CANCELLED;
    case MUSTER_TOO_BIG:
        return GRPC_STATUS_RESOURCE_EXHAUSTED;
    case MUSTER_PROTOCOL:
    case MUSTER_INVALID:
    case MUSTER_FORMAT:
        return GRPC_STATUS_INVALID_ARGUMENT;
    case MUSTER_REFUSED:
        return GRPC_STATUS_PERMISSION_DENIED;
    case MUSTER_UNAUTHENTICATED:
        return GRPC_STATUS_UNAUTHENTICATED;
    case MUSTER_EXISTS:
        return GRPC_STATUS_ALREADY_EXISTS;
    case MUSTER_UNSUPPORTED:
        return GRPC_STATUS_UNIMPLEMENTED;
    default:
        return GRPC_STATUS_UNAVAILABLE;
    }
}

static enum muster_status status_of(grpc_status_code code)
{
    switch (code) {
    case GRPC_STATUS_OK:
        return MUSTER_OK;
    case GRPC_STATUS_DEADLINE_EXCEEDED:
        return MUSTER_TIMEOUT;
    case GRPC_STATUS_CANCELLED:
        return MUSTER_CANCELLED;
    case GRPC_STATUS_RESOURCE_EXHAUSTED:
        return MUSTER_TOO_BIG;
    case GRPC_STATUS_INVALID_ARGUMENT:
        return MUSTER_PROTOCOL;
    case GRPC_STATUS_PERMISSION_DENIED:
        return MUSTER_REFUSED;
    case GRPC_STATUS_UNAUTHENTICATED:
        return MUSTER_UNAUTHENTICATED;
    case GRPC_STATUS_ALREADY_EXISTS:
        return MUSTER_EXISTS;
    case GRPC_STATUS_UNIMPLEMENTED:
        return MUSTER_UNSUPPORTED;
    default:
        return MUSTER_UNAVAILABLE;
    }
}

/* ---- listeners and streams ---- */

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
    struct tag shut_down;
    struct acceptor acceptors[ACCEPTORS];
    atomic_bool cut;
    char host[HOST_SIZE]; /* a numeric address; "" when it is any of the machine's, or a name */
    uint16_t port;
    pthread_mutex_t lock;
    size_t alive; /* streams, acceptors that wait, and the shutdown to come; guarded by lock */
};

struct outgoing {
    struct outgoing *next;
    grpc_byte_buffer *bytes;
    const struct buffer *body; /* to be recognised */
};

/* What only a client's stream needs. */
struct client_side {
    grpc_channel *channel;
    grpc_metadata_array initial;
    grpc_metadata_array trailing;
    grpc_status_code code;
    grpc_slice details;
};

struct grpc_stream {
    struct stream base;
    atomic_uint references; /* one of the owner, one until `closed` has been reported */
    struct grpc_transport *transport;
    grpc_call *call;
    struct grpc_listener *listener; /* on the server */
    struct client_side *client;     /* on the client */
    const struct stream_events *events;
    void *context;
    struct tag received;
    struct tag sent;
    struct tag finished; /* the half-close or the status is out */
    struct tag ended;
    pthread_mutex_t lock; /* guards all below; what C-core writes belongs to it until the completion */
    unsigned pending;
    bool over;            /* the call has ended, or an operation failed: send no more */
    bool initial_started; /* on the server: the initial metadata has been put into a batch */
    bool closing;         /* close() was called */
    bool left;            /* on the server: the peer closed its side */
    bool cut;             /* we ended the call ourselves, at once */
    bool too_big;
    enum muster_status closing_status;
    char *closing_text;
    grpc_byte_buffer *sending;
    struct outgoing *queue;
    struct outgoing **queue_end;
    grpc_byte_buffer *incoming;
    grpc_byte_buffer *arrived; /* received while the message before it is being delivered; NULL: the end */
    bool has_arrived;
    bool arrived_ok;
    bool delivering;
    bool held;    /* hold() was called during the delivery; of the delivering thread alone */
    bool unread;  /* no receive is posted: the next send will do that, or the timer */
    bool lingers; /* the peer has half-closed and does not read what is being sent */
    bool timed;   /* the timer runs, with a reference */
    struct timer timer;
    int cancelled;
};

static const struct stream_ops stream_ops;

static void listener_let_go(struct grpc_listener *listener);

static void stream_release(struct stream *base)
{
    struct grpc_stream *stream = (struct grpc_stream *)base;
    if (atomic_fetch_sub_explicit(&stream->references, 1, memory_order_acq_rel) != 1)
        return;
    grpc_call_unref(stream->call);
    if (stream->client) {
        grpc_channel_destroy(stream->client->channel);
        grpc_metadata_array_destroy(&stream->client->initial);
        grpc_metadata_array_destroy(&stream->client->trailing);
        grpc_slice_unref(stream->client->details);
        free(stream->client);
    }
    free(stream->closing_text);
    pthread_mutex_destroy(&stream->lock);
    free(stream);
}

static void drop_queue(struct grpc_stream *stream)
{
    while (stream->queue) {
        struct outgoing *message = stream->queue;
        stream->queue = message->next;
        grpc_byte_buffer_destroy(message->bytes);
        free(message);
    }
    stream->queue_end = &stream->queue;
}

/* Starts a batch with the stream's lock held. C-core refuses one only on our own mistakes, and then a slot of
   the call may be lost for good: end the call. */
static bool start_batch(struct grpc_stream *stream, const grpc_op *ops, size_t count, struct tag *tag)
{
    HANDED_OVER(tag);
    if (grpc_call_start_batch(stream->call, ops, count, tag, NULL) != GRPC_CALL_OK) {
        stream->over = true;
        stream->cut = true;
        grpc_call_cancel(stream->call, NULL);
        return false;
    }
    stream->pending++;
    return true;
}

static void start_receive(struct grpc_stream *stream)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &stream->incoming};
    start_batch(stream, &op, 1, &stream->received);
}

/*
 * Posts the receive that was put off by hold(). A receive that is posted by itself makes C-core 1.51 send a
 * WINDOW_UPDATE at once, in a packet of its own, which wakes the peer for nothing before the message that it
 * waits for. Right behind a send, that is out of the way.
 */
static void read_on(struct grpc_stream *stream)
{
    if (!stream->unread || stream->pending == 0)
        return;
    stream->unread = false;
    start_receive(stream);
}

static void timer_expired(struct timer *timer);

/* Once started, the timer runs on, whether it is still needed or not: that is cheaper than moving it. */
static void start_timer(struct grpc_stream *stream, int64_t limit_ms)
{
    struct muster_transport *transport = &stream->transport->base;
    if (stream->timed)
        return;
    stream->timed = true;
    atomic_fetch_add(&stream->references, 1);
    muster__timer_start(transport, &stream->timer, muster__transport_after(transport, limit_ms),
                        timer_expired);
}

/* For a receive that was put off, or a status that waits behind a message that is not read. */
static void timer_expired(struct timer *timer)
{
    struct grpc_stream *stream = CONTAINER(timer, struct grpc_stream, timer);
    pthread_mutex_lock(&stream->lock);
    stream->timed = false;
    read_on(stream);
    if (stream->left && stream->sending && stream->lingers) {
        grpc_call_cancel(stream->call, NULL);
    } else if (stream->left && stream->sending && stream->pending) {
        stream->lingers = true;
        start_timer(stream, LINGER_MS);
    }
    pthread_mutex_unlock(&stream->lock);
    stream_release(&stream->base);
}

static void stream_hold(struct stream *base)
{
    ((struct grpc_stream *)base)->held = true;
}

/* A server's first batch that sends takes the initial metadata with it. */
static size_t put_initial(struct grpc_stream *stream, grpc_op *op)
{
    if (!stream->listener || stream->initial_started)
        return 0;
    stream->initial_started = true;
    *op = (grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA};
    return 1;
}

/*
 * Starts sending. A small message has left by the time that start_batch returns, and then its completion is
 * taken here, from the cache in which C-core leaves a thread's first one: going round by the queue would wake
 * a network thread for nothing, which costs as much as a third of a turn.
 */
static void start_send(struct grpc_stream *stream, grpc_byte_buffer *bytes)
{
    grpc_completion_queue *queue = stream->transport->queue;
    grpc_op ops[2] = {{0}};
    size_t count = put_initial(stream, ops);
    ops[count++] = (grpc_op){.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = bytes};
    stream->sending = bytes;
    grpc_completion_queue_thread_local_cache_init(queue);
    bool started = start_batch(stream, ops, count, &stream->sent);
    void *tag;
    int ok;
    bool cached = grpc_completion_queue_thread_local_cache_flush(queue, &tag, &ok) != 0;
    if (cached && tag != &stream->sent) {
        add_stray(stream->transport, tag, ok != 0); /* it may want the locks that our caller holds */
        cached = false;
    }
    if (started && cached) {
        stream->pending--; /* not the last: the call has not ended */
        stream->over = stream->over || !ok;
    }
    if (!started || cached) {
        grpc_byte_buffer_destroy(bytes);
        stream->sending = NULL;
    }
    read_on(stream);
}

/* The last batch: a client's half-close, a server's status. */
static void start_finish(struct grpc_stream *stream)
{
    grpc_op ops[2] = {{0}};
    if (!stream->listener) {
        ops[0].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
        start_batch(stream, ops, 1, &stream->finished);
        return;
    }
    size_t count = put_initial(stream, ops);
    grpc_slice text = grpc_slice_from_copied_string(stream->closing_text ? stream->closing_text : "");
    ops[count].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    ops[count].data.send_status_from_server.status = code_of(stream->closing_status);
    ops[count].data.send_status_from_server.status_details = &text;
    start_batch(stream, ops, count + 1, &stream->finished);
    grpc_slice_unref(text);
}

static void report_closed(struct grpc_stream *stream)
{
    enum muster_status status = MUSTER_GONE;
    const char *text = "the connection ended";
    char *details = NULL;
    if (stream->client) {
        status = status_of(stream->client->code);
        text = details = grpc_slice_to_c_string(stream->client->details);
    } else if (stream->closing && !stream->left) {
        status = stream->closing_status;
        text = stream->closing_text ? stream->closing_text : "";
    } else if (stream->too_big) {
        status = MUSTER_TOO_BIG;
        text = "a message was bigger than the limit, or compressed";
    } else if (stream->left) {
        text = "the participant closed its stream";
    }
    if (stream->events)
        stream->events->closed(stream->context, status, text);
    gpr_free(details);
    if (muster__timer_stop(&stream->transport->base, &stream->timer))
        stream_release(&stream->base);
    struct grpc_listener *listener = stream->listener;
    stream_release(&stream->base);
    if (listener)
        listener_let_go(listener);
}

/* Ends a completion: called with the lock held, returns without it. */
static void leave(struct grpc_stream *stream)
{
    bool last = --stream->pending == 0;
    if (last)
        drop_queue(stream);
    pthread_mutex_unlock(&stream->lock);
    if (last)
        report_closed(stream);
}

static void deliver(struct grpc_stream *stream, grpc_byte_buffer *bytes)
{
    const grpc_slice_buffer *slices = &bytes->data.raw.slice_buffer;
    if (slices->count == 0) {
        stream->events->message(stream->context, NULL, 0);
    } else if (slices->count == 1) {
        grpc_slice only = slices->slices[0];
        stream->events->message(stream->context, GRPC_SLICE_START_PTR(only), GRPC_SLICE_LENGTH(only));
    } else {
        grpc_byte_buffer_reader reader;
        grpc_byte_buffer_reader_init(&reader, bytes);
        grpc_slice whole = grpc_byte_buffer_reader_readall(&reader);
        stream->events->message(stream->context, GRPC_SLICE_START_PTR(whole), GRPC_SLICE_LENGTH(whole));
        grpc_slice_unref(whole);
        grpc_byte_buffer_reader_destroy(&reader);
    }
}

static void stream_close_locked(struct grpc_stream *stream, enum muster_status status, const char *text)
{
    if (stream->closing)
        return;
    stream->closing = true;
    stream->closing_status = status;
    stream->closing_text = strdup(text); /* out of memory: the status goes without its text */
    read_on(stream);
    if (!stream->over && !stream->sending)
        start_finish(stream);
}

/* No message came, and none will: a client that has half-closed wants the server's status. With the lock
 * held. */
static void end_of_messages(struct grpc_stream *stream, bool ok)
{
    if (!stream->listener)
        return;
    if (!ok) {
        /* The message was refused, and C-core has told the client; or it was not looked at, after a cut. */
        stream->too_big = !stream->cut && !stream->listener->cut;
    } else if (!grpc_call_failed_before_recv_message(stream->call)) {
        stream->left = !stream->closing;
        stream_close_locked(stream, MUSTER_OK, "");
        if (stream->sending)
            start_timer(stream, SERVER_HOLD_MS);
    }
}

/* Delivers what has arrived. With the lock held, which is let go of during the event. */
static void deliver_arrived(struct grpc_stream *stream)
{
    grpc_byte_buffer *bytes = stream->arrived;
    stream->has_arrived = false;
    if (!bytes) {
        end_of_messages(stream, stream->arrived_ok);
        return;
    }
    stream->delivering = true;
    stream->unread = true;
    stream->held = false;
    pthread_mutex_unlock(&stream->lock);
    if (stream->events)
        deliver(stream, bytes);
    grpc_byte_buffer_destroy(bytes);
    pthread_mutex_lock(&stream->lock);
    stream->delivering = false;
    if (stream->held && stream->unread && !stream->closing)
        start_timer(stream, stream->listener ? SERVER_HOLD_MS : CLIENT_HOLD_MS);
    else
        read_on(stream); /* even if sending has failed: the call has not ended before all is read */
}

/* Goes on when nothing is being sent: with what is queued, then with the end. With the lock held. */
static void send_next(struct grpc_stream *stream)
{
    while (!stream->over && !stream->sending && stream->queue) {
        struct outgoing *message = stream->queue;
        stream->queue = message->next;
        if (!stream->queue)
            stream->queue_end = &stream->queue;
        start_send(stream, message->bytes);
        free(message);
    }
    if (!stream->over && !stream->sending && stream->closing)
        start_finish(stream);
}

/* A send during the delivery posts the next receive, so that another message can arrive meanwhile: it waits.
 */
static void received_complete(struct tag *tag, bool ok)
{
    struct grpc_stream *stream = CONTAINER(tag, struct grpc_stream, received);
    pthread_mutex_lock(&stream->lock);
    stream->arrived = stream->incoming;
    stream->arrived_ok = ok;
    stream->has_arrived = true;
    stream->incoming = NULL;
    while (stream->has_arrived && !stream->delivering)
        deliver_arrived(stream);
    leave(stream);
}

static void sent_complete(struct tag *tag, bool ok)
{
    struct grpc_stream *stream = CONTAINER(tag, struct grpc_stream, sent);
    pthread_mutex_lock(&stream->lock);
    grpc_byte_buffer_destroy(stream->sending);
    stream->sending = NULL;
    stream->over = stream->over || !ok;
    send_next(stream);
    leave(stream);
}

static void finished_complete(struct tag *tag, bool ok)
{
    struct grpc_stream *stream = CONTAINER(tag, struct grpc_stream, finished);
    (void)ok;
    pthread_mutex_lock(&stream->lock);
    leave(stream);
}

static void ended_complete(struct tag *tag, bool ok)
{
    struct grpc_stream *stream = CONTAINER(tag, struct grpc_stream, ended);
    (void)ok;
    pthread_mutex_lock(&stream->lock);
    stream->over = true;
    leave(stream);
}

static void release_body(void *body)
{
    muster__buffer_release(body);
}

static grpc_byte_buffer *make_bytes(const uint8_t *head, size_t head_size, struct buffer *body)
{
    grpc_slice slices[2];
    size_t count = 1;
    size_t body_size = body ? body->size : 0;
    if (body_size <= SMALL_BODY) {
        slices[0] = grpc_slice_malloc(head_size + body_size);
        if (head_size)
            memcpy(GRPC_SLICE_START_PTR(slices[0]), head, head_size);
        if (body_size)
            memcpy(GRPC_SLICE_START_PTR(slices[0]) + head_size, body->data, body_size);
    } else {
        slices[0] = grpc_slice_from_copied_buffer((const char *)head, head_size);
        slices[count++] =
            grpc_slice_new_with_user_data(body->data, body_size, release_body, muster__buffer_retain(body));
    }
    grpc_byte_buffer *bytes = grpc_raw_byte_buffer_create(slices, count);
    for (size_t i = 0; i < count; i++)
        grpc_slice_unref(slices[i]);
    return bytes;
}

static enum muster_status stream_send(struct stream *base, const uint8_t *head, size_t head_size,
                                      struct buffer *body)
{
    struct grpc_stream *stream = (struct grpc_stream *)base;
    grpc_byte_buffer *bytes = make_bytes(head, head_size, body);
    enum muster_status status = MUSTER_OK;
    pthread_mutex_lock(&stream->lock);
    if (stream->over || stream->closing) {
        status = MUSTER_CLOSED;
    } else if (!stream->sending) {
        start_send(stream, bytes);
        bytes = NULL;
    } else {
        struct outgoing *message = malloc(sizeof(*message));
        if (message) {
            *message = (struct outgoing){.bytes = bytes, .body = body};
            *stream->queue_end = message;
            stream->queue_end = &message->next;
            bytes = NULL;
        } else {
            status = MUSTER_OUT_OF_MEMORY;
        }
    }
    pthread_mutex_unlock(&stream->lock);
    if (bytes)
        grpc_byte_buffer_destroy(bytes);
    return status;
}

static bool stream_revoke(struct stream *base, const struct buffer *body)
{
    struct grpc_stream *stream = (struct grpc_stream *)base;
    struct outgoing *found = NULL;
    pthread_mutex_lock(&stream->lock);
    struct outgoing **place = &stream->queue;
    while (*place && (*place)->body != body)
        place = &(*place)->next;
    if (*place) {
        found = *place;
        *place = found->next;
        if (!found->next)
            stream->queue_end = place;
    }
    pthread_mutex_unlock(&stream->lock);
    if (!found)
        return false;
    grpc_byte_buffer_destroy(found->bytes);
    free(found);
    return true;
}

static void stream_close(struct stream *base, enum muster_status status, const char *text)
{
    struct grpc_stream *stream = (struct grpc_stream *)base;
    pthread_mutex_lock(&stream->lock);
    stream_close_locked(stream, status, text);
    pthread_mutex_unlock(&stream->lock);
}

static void stream_cut(struct stream *base)
{
    struct grpc_stream *stream = (struct grpc_stream *)base;
    pthread_mutex_lock(&stream->lock);
    stream->cut = true;
    pthread_mutex_unlock(&stream->lock);
    if (stream->listener)
        grpc_call_cancel_with_status(stream->call, GRPC_STATUS_UNAVAILABLE, "the stream was cut", NULL);
    else
        grpc_call_cancel(stream->call, NULL);
}

static void stream_peer(struct stream *base, char *text, size_t size)
{
    struct grpc_stream *stream = (struct grpc_stream *)base;
    char *peer = grpc_call_get_peer(stream->call);
    snprintf(text, size, "%s", peer);
    gpr_free(peer);
}

static const struct stream_ops stream_ops = {
    .send = stream_send,
    .close = stream_close,
    .cut = stream_cut,
    .revoke = stream_revoke,
    .hold = stream_hold,
    .peer = stream_peer,
    .release = stream_release,
};

static struct grpc_stream *stream_new(struct grpc_transport *transport, grpc_call *call)
{
    struct grpc_stream *stream = calloc(1, sizeof(*stream));
    if (!stream)
        return NULL;
    stream->base.ops = &stream_ops;
    atomic_init(&stream->references, 2);
    stream->transport = transport;
    stream->call = call;
    stream->received.complete = received_complete;
    stream->sent.complete = sent_complete;
    stream->finished.complete = finished_complete;
    stream->ended.complete = ended_complete;
    stream->queue_end = &stream->queue;
    pthread_mutex_init(&stream->lock, NULL);
    return stream;
}

/* ---- the server's side: listeners ---- */

static void listener_let_go(struct grpc_listener *listener)
{
    pthread_mutex_lock(&listener->lock);
    bool last = --listener->alive == 0;
    pthread_mutex_unlock(&listener->lock);
    if (last)
        listener->events->stopped(listener->context);
}

static void accept_next(struct acceptor *acceptor)
{
    grpc_call_details_init(&acceptor->details);
    grpc_metadata_array_init(&acceptor->metadata);
    HANDED_OVER(&acceptor->tag);
    if (grpc_server_request_call(acceptor->listener->server, &acceptor->call, &acceptor->details,
                                 &acceptor->metadata, acceptor->listener->transport->queue,
                                 acceptor->listener->transport->queue, &acceptor->tag) != GRPC_CALL_OK)
        listener_let_go(acceptor->listener);
}

/* Hands an arrived call to the listener's owner, or refuses it. */
static void open_call(struct grpc_listener *listener, grpc_call *call, bool known)
{
    struct grpc_stream *stream = stream_new(listener->transport, call);
    if (!stream) {
        grpc_call_cancel_with_status(call, GRPC_STATUS_RESOURCE_EXHAUSTED, "the server is out of memory",
                                     NULL);
        grpc_call_unref(call);
        return;
    }
    stream->listener = listener;
    pthread_mutex_lock(&listener->lock);
    listener->alive++;
    pthread_mutex_unlock(&listener->lock);
    /* Until its first receive is started, below, no event of this stream can come. */
    pthread_mutex_lock(&stream->lock);
    stream->pending++;
    grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER,
                  .data.recv_close_on_server.cancelled = &stream->cancelled};
    start_batch(stream, &op, 1, &stream->ended);
    pthread_mutex_unlock(&stream->lock);

    const struct stream_events *events = NULL;
    void *context = known ? listener->events->accepted(listener->context, &stream->base, &events) : NULL;

    pthread_mutex_lock(&stream->lock);
    if (context) {
        stream->events = events;
        stream->context = context;
        if (!stream->over)
            start_receive(stream);
    } else {
        atomic_fetch_sub(&stream->references, 1); /* nobody owns it */
        if (known)
            stream_close_locked(stream, MUSTER_OUT_OF_MEMORY, "the server is out of memory");
        else
            stream_close_locked(stream, MUSTER_UNSUPPORTED, "the only method here is " METHOD);
    }
    leave(stream);
}

static void accepted_complete(struct tag *tag, bool ok)
{
    struct acceptor *acceptor = CONTAINER(tag, struct acceptor, tag);
    struct grpc_listener *listener = acceptor->listener;
    if (!ok) { /* the server shuts down */
        grpc_call_details_destroy(&acceptor->details);
        grpc_metadata_array_destroy(&acceptor->metadata);
        listener_let_go(listener);
        return;
    }
    grpc_call *call = acceptor->call;
    bool known = grpc_slice_str_cmp(acceptor->details.method, METHOD) == 0;
    grpc_call_details_destroy(&acceptor->details);
    grpc_metadata_array_destroy(&acceptor->metadata);
    open_call(listener, call, known);
    accept_next(acceptor);
}

static void shut_down_complete(struct tag *tag, bool ok)
{
    (void)ok;
    listener_let_go(CONTAINER(tag, struct grpc_listener, shut_down));
}

static void listener_close(struct listener *base)
{
    struct grpc_listener *listener = (struct grpc_listener *)base;
    HANDED_OVER(&listener->shut_down);
    grpc_server_shutdown_and_notify(listener->server, listener->transport->queue, &listener->shut_down);
}

/* Whether a descriptor is a connection that came in by this listener. */
static bool came_in_by(int descriptor, const struct grpc_listener *listener)
{
    struct sockaddr_storage ours, theirs;
    socklen_t our_size = sizeof(ours), their_size = sizeof(theirs);
    int type = 0;
    socklen_t type_size = sizeof(type);
    char host[HOST_SIZE], service[8];
    if (getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &type_size) != 0 || type != SOCK_STREAM ||
        getsockname(descriptor, (struct sockaddr *)&ours, &our_size) != 0 ||
        getpeername(descriptor, (struct sockaddr *)&theirs, &their_size) != 0 ||
        getnameinfo((struct sockaddr *)&ours, our_size, host, sizeof(host), service, sizeof(service),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return false;
    const char *mapped = "::ffff:";
    const char *address = strncmp(host, mapped, strlen(mapped)) == 0 ? host + strlen(mapped) : host;
    return atoi(service) == listener->port && (!listener->host[0] || strcmp(address, listener->host) == 0);
}

/*
 * C-core closes a connection only after the write that is under way, and to a peer that is frozen and has its
 * buffers full that takes until TCP gives up, half a minute. It does not show its sockets, but the process
 * does.
 */
static void shut_connections(const struct grpc_listener *listener)
{
    DIR *directory = opendir("/proc/self/fd");
    struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        int descriptor = atoi(entry->d_name);
        if (descriptor > 0 && came_in_by(descriptor, listener))
            shutdown(descriptor, SHUT_RDWR);
    }
    if (directory)
        closedir(directory);
}

static void listener_cut(struct listener *base)
{
    struct grpc_listener *listener = (struct grpc_listener *)base;
    listener->cut = true;
    shut_connections(listener);
    grpc_server_cancel_all_calls(listener->server);
}

static void listener_free(struct listener *base)
{
    struct grpc_listener *listener = (struct grpc_listener *)base;
    grpc_server_destroy(listener->server);
    pthread_mutex_destroy(&listener->lock);
    free(listener);
}

static grpc_arg integer_argument(const char *key, int value)
{
    return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value};
}

static int as_limit(size_t size)
{
    return size > INT32_MAX ? -1 : (int)size;
}

/* No compression: C-core unpacks a message before it looks at its size, and a thousandth of the limit would
   do to fill our memory. */
static grpc_arg uncompressed(void)
{
    return integer_argument(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1 << GRPC_COMPRESS_NONE);
}

static grpc_server *server_new(size_t max_message_size)
{
    grpc_arg arguments[] = {
        uncompressed(),
        integer_argument(GRPC_ARG_ALLOW_REUSEPORT, 0),
        integer_argument(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, as_limit(max_message_size)),
        integer_argument(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
        integer_argument(GRPC_ARG_KEEPALIVE_TIME_MS, KEEPALIVE_TIME_MS),
        integer_argument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, KEEPALIVE_TIMEOUT_MS),
        integer_argument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
        integer_argument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, PING_INTERVAL_MIN_MS),
    };
    grpc_channel_args channel = {.num_args = sizeof(arguments) / sizeof(*arguments), .args = arguments};
    return grpc_server_create(&channel, NULL);
}

/* Takes "host:port" or "[v6]:port" apart; false when it is neither. */
static bool split_address(const char *address, char host[HOST_SIZE], const char **port)
{
    const char *colon = strrchr(address, ':');
    if (!colon || colon - address >= HOST_SIZE)
        return false;
    size_t length = (size_t)(colon - address);
    bool bracketed = length >= 2 && address[0] == '[' && colon[-1] == ']';
    snprintf(host, HOST_SIZE, "%.*s", (int)(bracketed ? length - 2 : length), address + (bracketed ? 1 : 0));
    *port = colon + 1;
    size_t digits = strspn(*port, "0123456789");
    return (bracketed || !strchr(host, ':')) && digits > 0 && digits <= 5 && !(*port)[digits] &&
           atoi(*port) <= UINT16_MAX;
}

/* Whether `host` stands for one address in the form in which getnameinfo() writes it. */
static bool is_one_address(const char *host)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    char text[HOST_SIZE] = "";
    if (!host[0] || getaddrinfo(host, NULL, &hints, &found) != 0)
        return false;
    getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST);
    freeaddrinfo(found);
    return strcmp(text, host) == 0 && strcmp(host, "0.0.0.0") != 0 && strcmp(host, "::") != 0;
}

/* Why the address could not be bound: C-core does not say. */
static enum muster_status explain_bind(const char *address, const char *host, const char *port,
                                       struct muster_error *error)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    int problem = getaddrinfo(host[0] ? host : NULL, port, &hints, &found);
    if (problem)
        return muster__error(error, MUSTER_INVALID, "cannot listen on '%s': %s", address,
                             gai_strerror(problem));
    int reason = EADDRNOTAVAIL;
    int descriptor = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor >= 0) {
        reason = bind(descriptor, found->ai_addr, found->ai_addrlen) == 0 ? EADDRINUSE : errno;
        close(descriptor);
    }
    freeaddrinfo(found);
    return muster__error(error, reason == EADDRINUSE ? MUSTER_EXISTS : MUSTER_UNAVAILABLE,
                         "cannot listen on '%s': %s", address, strerror(reason));
}

static enum muster_status transport_listen(struct muster_transport *base, const char *address,
                                           size_t max_message_size, const struct listener_events *events,
                                           void *context, struct listener **result, uint16_t *port,
                                           struct muster_error *error)
{
    struct grpc_transport *transport = (struct grpc_transport *)base;
    char host[HOST_SIZE];
    const char *wanted_port;
    if (!split_address(address, host, &wanted_port))
        return muster__error(
            error, MUSTER_INVALID,
            "cannot listen on '%s': write it as host:port or [v6]:port, the port up to 65535", address);
    struct grpc_listener *listener = calloc(1, sizeof(*listener));
    if (!listener)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    if (is_one_address(host))
        memcpy(listener->host, host, sizeof(host));
    listener->transport = transport;
    listener->events = events;
    listener->context = context;
    listener->shut_down.complete = shut_down_complete;
    listener->alive = ACCEPTORS + 1;
    sigset_t saved;
    block_signals(&saved);
    listener->server = server_new(max_message_size);
    grpc_server_register_completion_queue(listener->server, listener->transport->queue, NULL);

    grpc_server_credentials *credentials = grpc_insecure_server_credentials_create();
    int bound = grpc_server_add_http2_port(listener->server, address, credentials);
    grpc_server_credentials_release(credentials);
    if (bound == 0) {
        grpc_server_destroy(listener->server);
        pthread_sigmask(SIG_SETMASK, &saved, NULL);
        free(listener);
        return explain_bind(address, host, wanted_port, error);
    }
    pthread_mutex_init(&listener->lock, NULL);
    *port = listener->port = (uint16_t)bound;
    *result = (struct listener *)listener;
    grpc_server_start(listener->server);
    for (size_t i = 0; i < ACCEPTORS; i++) {
        listener->acceptors[i].tag.complete = accepted_complete;
        listener->acceptors[i].listener = listener;
        accept_next(&listener->acceptors[i]);
    }
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    return MUSTER_OK;
}

/* ---- the client's side ---- */

static grpc_channel *channel_new(const char *address, size_t max_message_size)
{
    grpc_arg arguments[] = {
        uncompressed(),
        integer_argument(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1),
        integer_argument(GRPC_ARG_ENABLE_RETRIES, 0),
        integer_argument(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1),
        integer_argument(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, as_limit(max_message_size)),
        integer_argument(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
        integer_argument(GRPC_ARG_KEEPALIVE_TIME_MS, KEEPALIVE_TIME_MS),
        integer_argument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, KEEPALIVE_TIMEOUT_MS),
        integer_argument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
        integer_argument(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, BACKOFF_FIRST_MS),
        integer_argument(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, BACKOFF_MAX_MS),
    };
    grpc_channel_args channel = {.num_args = sizeof(arguments) / sizeof(*arguments), .args = arguments};
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    grpc_channel *created = grpc_channel_create(address, credentials, &channel);
    grpc_channel_credentials_release(credentials);
    return created;
}

static struct grpc_stream *client_stream_new(struct grpc_transport *transport, const char *address,
                                             size_t max_message_size)
{
    struct client_side *client = calloc(1, sizeof(*client));
    struct grpc_stream *stream = client ? stream_new(transport, NULL) : NULL;
    if (!stream) {
        free(client);
        return NULL;
    }
    stream->client = client;
    client->channel = channel_new(address, max_message_size);
    client->details = grpc_empty_slice();
    grpc_metadata_array_init(&client->initial);
    grpc_metadata_array_init(&client->trailing);
    stream->call = grpc_channel_create_call(client->channel, NULL, GRPC_PROPAGATE_DEFAULTS, transport->queue,
                                            grpc_slice_from_static_string(METHOD), NULL,
                                            gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    return stream;
}

static enum muster_status transport_connect(struct muster_transport *base, const char *address,
                                            size_t max_message_size, const struct stream_events *events,
                                            void *context, struct stream **result, struct muster_error *error)
{
    sigset_t saved;
    block_signals(&saved);
    struct grpc_stream *stream = client_stream_new((struct grpc_transport *)base, address, max_message_size);
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
    ops[0].flags = GRPC_INITIAL_METADATA_WAIT_FOR_READY;
    ops[1].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[1].data.recv_initial_metadata.recv_initial_metadata = &stream->client->initial;
    ops[2].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[2].data.recv_status_on_client.trailing_metadata = &stream->client->trailing;
    ops[2].data.recv_status_on_client.status = &stream->client->code;
    ops[2].data.recv_status_on_client.status_details = &stream->client->details;
    pthread_mutex_lock(&stream->lock);
    start_batch(stream, ops, 3, &stream->ended);
    start_receive(stream);
    pthread_mutex_unlock(&stream->lock);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    return MUSTER_OK;
}

static const struct transport_ops transport_ops = {
    .listen = transport_listen,
    .close_listener = listener_close,
    .cut_listener = listener_cut,
    .free_listener = listener_free,
    .connect = transport_connect,
    .now = transport_now,
    .set_alarm = transport_set_alarm,
    .release = transport_release,
};
