/* The gRPC transport itself: its queue and threads, its clock and alarm. There is one in a process. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/compression.h>
#include <grpc/support/log.h>
#include <grpc/support/time.h>

#include "network/grpc.h"
#include "network/grpc_handshakes.h"
#include "network/scheme.h"
#include "network/words.h"
#include "status.h"

static pthread_mutex_t process_lock = PTHREAD_MUTEX_INITIALIZER;
static struct grpc_transport *process_transport;     /* guarded by process_lock */
static struct grpc_transport *_Atomic log_transport; /* the same, while there can be listeners */

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

/*
 * C-core reports on standard error what we report as a status; who wants to see it sets gRPC's own variable.
 * But that a listener has died is reported nowhere else. C-core holds locks here: the alarm's thread does
 * what is to be done.
 */
static void read_log(gpr_log_func_args *arguments)
{
    struct grpc_transport *transport = log_transport;
    if (getenv("GRPC_VERBOSITY"))
        fprintf(stderr, "%s:%d: %s\n", arguments->file, arguments->line, arguments->message);
    if (transport && strncmp(arguments->message, "Failed accept4", strlen("Failed accept4")) == 0 &&
        !atomic_exchange(&transport->accept_failing, true))
        muster__grpc_add_stray(transport, &transport->accept_failed, true);
    muster__grpc_read_handshakes(arguments);
}

static bool add_thread(struct grpc_transport *transport)
{
    unsigned count = transport->thread_count;
    pthread_t *threads = realloc(transport->threads, (count + 1) * sizeof(*threads));
    if (!threads)
        return false;
    transport->threads = threads;
    bool added = pthread_create(&threads[count], NULL, serve_queue, transport->queue) == 0;
    transport->thread_count += added;
    return added;
}

static int64_t transport_now(struct muster_transport *base)
{
    (void)base;
    return muster__clock_now();
}

static void transport_set_alarm(struct muster_transport *base, int64_t at)
{
    struct grpc_transport *transport = (struct grpc_transport *)base;
    pthread_mutex_lock(&transport->alarm_lock);
    transport->alarm_at = at;
    pthread_cond_signal(&transport->alarm_moved);
    pthread_mutex_unlock(&transport->alarm_lock);
}

void muster__grpc_add_stray(struct grpc_transport *transport, struct tag *tag, bool ok)
{
    pthread_mutex_lock(&transport->alarm_lock);
    tag->ok = ok;
    SLIST_INSERT_HEAD(&transport->strays, tag, link);
    pthread_cond_signal(&transport->alarm_moved);
    pthread_mutex_unlock(&transport->alarm_lock);
}

/* Waits for what is due, and takes a stray if there is one. With alarm_lock held. */
static struct tag *wait_for_alarm(struct grpc_transport *transport)
{
    for (;;) {
        struct tag *stray = SLIST_FIRST(&transport->strays);
        int64_t at = transport->alarm_at;
        if (stray) {
            SLIST_REMOVE_HEAD(&transport->strays, link);
            return stray;
        }
        if (transport->alarm_stopped || at <= transport_now(&transport->base))
            return NULL;
        if (at == INT64_MAX) {
            pthread_cond_wait(&transport->alarm_moved, &transport->alarm_lock);
        } else {
            const struct timespec until = muster__clock_at(at);
            pthread_cond_clockwait(&transport->alarm_moved, &transport->alarm_lock, CLOCK_MONOTONIC, &until);
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

/* ---- what C-core still has ---- */

/* That an attempt to connect which was given up may still take: the server's answer is under way, or nobody
   is there. */
#define PARTINGS_TIMEOUT_MS 1000

/* That C-core may take after that to give up its last channel: it has no more to do for it than to run a few
   functions. */
#define LIVES_TIMEOUT_MS 4000

/* That its threads may take to end after that. */
#define THREADS_TIMEOUT_MS 1000

static pthread_mutex_t lives_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t lives_moved = PTHREAD_COND_INITIALIZER;
static size_t lives;             /* guarded by lives_lock */
static size_t enders;            /* threads that ended a life, and go on; guarded by lives_lock */
static pthread_key_t thread_key; /* of those */
static pthread_once_t thread_key_once = PTHREAD_ONCE_INIT;

static void *begin_life(void *life)
{
    pthread_mutex_lock(&lives_lock);
    lives++;
    pthread_mutex_unlock(&lives_lock);
    return life;
}

static void thread_ends(void *thread)
{
    (void)thread;
    pthread_mutex_lock(&lives_lock);
    enders--;
    pthread_cond_signal(&lives_moved);
    pthread_mutex_unlock(&lives_lock);
}

static void make_thread_key(void)
{
    pthread_key_create(&thread_key, thread_ends);
}

static void end_life(void *life)
{
    struct grpc_transport *transport = log_transport; /* it stays while there is a life */
    if (transport)
        muster__trim_later(&transport->trim);
    pthread_mutex_lock(&lives_lock);
    if (!pthread_getspecific(thread_key) && pthread_setspecific(thread_key, life) == 0)
        enders++;
    if (--lives == 0)
        pthread_cond_signal(&lives_moved);
    pthread_mutex_unlock(&lives_lock);
}

static int compare_lives(void *life, void *other)
{
    (void)life;
    (void)other;
    return 0;
}

/* Waits until there is none. */
static void wait_for_end(const size_t *count, int64_t limit_ms)
{
    const struct timespec until = muster__clock_after(limit_ms);
    pthread_mutex_lock(&lives_lock);
    while (*count > 0 && pthread_cond_clockwait(&lives_moved, &lives_lock, CLOCK_MONOTONIC, &until) == 0)
        ;
    pthread_mutex_unlock(&lives_lock);
}

/*
 * The thread of C-core's that gives up the last channel shuts C-core down a few instructions later, and
 * nothing tells when. In two of a thousand cases we get here before that. But with C-core its threads end.
 */
static void wait_for_shutdown(const struct grpc_transport *transport)
{
    if (pthread_getspecific(thread_key)) { /* the user's own: it has left C-core */
        pthread_setspecific(thread_key, NULL);
        thread_ends(NULL);
    }
    if (transport->shares_core || !grpc_is_initialized())
        return;
    wait_for_end(&enders, THREADS_TIMEOUT_MS);
    (void)grpc_is_initialized(); /* waits for C-core's lock, which it holds until all is gone */
}

/* Every listener and stream of it is gone by now: the queue is empty. */
static void transport_destroy(struct grpc_transport *transport)
{
    log_transport = NULL;
    wait_for_end(&lives, PARTINGS_TIMEOUT_MS);
    muster__grpc_partings_close(&transport->partings);
    wait_for_end(&lives, LIVES_TIMEOUT_MS); /* one that is left keeps C-core going; some end on our threads */
    stop_alarm(transport);
    grpc_completion_queue_shutdown(transport->queue);
    if (transport->thread_count == 0)
        serve_queue(transport->queue);
    for (unsigned i = 0; i < transport->thread_count; i++)
        pthread_join(transport->threads[i], NULL);
    free(transport->threads);
    grpc_completion_queue_destroy(transport->queue);
    grpc_shutdown_blocking();
    wait_for_shutdown(transport);
    pthread_cond_destroy(&transport->alarm_moved);
    pthread_mutex_destroy(&transport->alarm_lock);
    pthread_mutex_destroy(&transport->listeners_lock);
    muster__grpc_partings_destroy(&transport->partings);
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
    muster__trim_init(&transport->trim, &transport->base);
    transport->alarm_at = INT64_MAX;
    pthread_mutex_init(&transport->alarm_lock, NULL);
    pthread_mutex_init(&transport->listeners_lock, NULL);
    muster__grpc_partings_init(&transport->partings);
    transport->accept_failed.complete = muster__grpc_accept_failed;
    pthread_cond_init(&transport->alarm_moved, NULL);
    if (pthread_create(&transport->alarm_thread, NULL, serve_alarm, transport) != 0) {
        free(transport);
        return NULL;
    }
    pthread_once(&thread_key_once, make_thread_key);
    gpr_set_log_function(read_log);
    /* In a debug build such as Debian's, C-core tries out another way to read, which keeps several megabytes
       for each connection that has ever sent so much. It reads this when it begins. */
    setenv("GRPC_EXPERIMENTS", "-tcp_read_chunks", 0);
    transport->shares_core = grpc_is_initialized() != 0;
    grpc_init();
    transport->queue = grpc_completion_queue_create_for_next(NULL);
    log_transport = transport;
    return transport;
}

/* One per process, which all its managers and participants share. C-core has one thread wait for the network at a
   time, and passing that on costs: half of the cores serve a full machine better than all, and leave room for those who
   call. */
static struct muster_transport *acquire(const struct scheme *scheme, unsigned threads,
                                        struct muster_error *error)
{
    (void)scheme;
    sigset_t saved;
    if (threads == THREADS_OF_SERVER)
        threads = (muster__cores() + 1) / 2;
    muster__block_signals(&saved);
    pthread_mutex_lock(&process_lock);
    if (!process_transport)
        process_transport = transport_new();
    struct grpc_transport *transport = process_transport;
    bool enough = false;
    if (transport) {
        transport->users++;
        while (!(enough = transport->thread_count >= threads) && add_thread(transport))
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

const struct scheme muster__grpc_scheme = {
    .prefix = "", .form = "host:port or [v6]:port", .acquire = acquire};

/* ---- arguments of channels and servers ---- */

grpc_arg muster__grpc_integer(const char *key, uint64_t value)
{
    return (grpc_arg){.type = GRPC_ARG_INTEGER,
                      .key = (char *)key,
                      .value.integer = value < INT32_MAX ? (int)value : INT32_MAX};
}

/* Of the size of messages, which may have none. */
static grpc_arg limit(const char *key, size_t size)
{
    return (grpc_arg){
        .type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = size > INT32_MAX ? -1 : (int)size};
}

void muster__grpc_put_arguments(grpc_arg arguments[COMMON_ARGUMENTS],
                                const struct connection_options *options, size_t max_message_size)
{
    /* C-core copies this one for each part of a channel that wants to know the arguments, and destroys it with
       the channel, whose end it tells in no other way. */
    static const grpc_arg_pointer_vtable life = {begin_life, end_life, compare_lives};
    const grpc_arg common[COMMON_ARGUMENTS] = {
        {.type = GRPC_ARG_POINTER,
         .key = (char *)"muster.life",
         .value.pointer = {.p = &lives, .vtable = &life}},
        /* C-core unpacks a message before it looks at its size, and a thousandth of the limit would do to fill our
           memory. */
        muster__grpc_integer(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1 << GRPC_COMPRESS_NONE),
        limit(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, max_message_size),
        limit(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, SIZE_MAX),
        muster__grpc_integer(GRPC_ARG_KEEPALIVE_TIME_MS, (uint64_t)options->keepalive_time_ms),
        muster__grpc_integer(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, (uint64_t)options->keepalive_timeout_ms),
        muster__grpc_integer(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
        muster__grpc_integer(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, LOOKAHEAD),
        muster__grpc_integer(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, FRAME_SIZE_MAX),
        muster__grpc_integer(GRPC_ARG_TCP_MIN_READ_CHUNK_SIZE, READ_SIZE_MIN),
    };
    memcpy(arguments, common, sizeof(common));
}

static const struct transport_ops transport_ops = {
    .listen = muster__grpc_listen,
    .close_listener = muster__grpc_close_listener,
    .cut_listener = muster__grpc_cut_listener,
    .free_listener = muster__grpc_free_listener,
    .listener_address = muster__grpc_listener_address,
    .silence = QUESTION_SILENT,
    .connect = muster__grpc_connect,
    .shut_borrowers = muster__grpc_shut_borrowers,
    .now = transport_now,
    .set_alarm = transport_set_alarm,
    .release = transport_release,
};
