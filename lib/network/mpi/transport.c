/* The MPI transport of the process: its users, its thread and its clock. */
#include <config.h>

#include <sys/prctl.h>

#include "network/mpi/mpi.h"
#include "network/scheme.h"
#include "status.h"

/* Between two looks at MPI: none at first, as the next message of a conversation is often there by then; later a part
   of the time in which nothing has happened, so that what comes then is late by no more than that part. */
enum {
    NO_PAUSE_NS = 50000,
    PAUSE_PART = 8,
    PAUSE_MOST_NS = 2000000,
};

enum { FLUSH_MS = 5000 }; /* that the last user waits for what is being sent */

static pthread_mutex_t process_lock = PTHREAD_MUTEX_INITIALIZER;

static const struct transport_ops transport_ops;

/* It lives as long as the process: MPI may still use its memory after the last user has gone. */
struct mpi_transport muster__mpi = {
    .base = {.ops = &transport_ops, .timers = {.lock = PTHREAD_MUTEX_INITIALIZER, .armed_at = INT64_MAX}},
    .alarm = INT64_MAX,
    .came_from = -1,
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .changed = PTHREAD_COND_INITIALIZER,
    .listeners = LIST_HEAD_INITIALIZER(muster__mpi.listeners),
    .stopped = TAILQ_HEAD_INITIALIZER(muster__mpi.stopped),
    .ready = TAILQ_HEAD_INITIALIZER(muster__mpi.ready),
};

void muster__mpi_wake(void)
{
    if (muster__mpi.woken)
        return;
    muster__mpi.woken = true;
    pthread_cond_broadcast(&muster__mpi.changed);
}

/* ---- the thread; with the lock held, which is let go of while somebody is told, and in MPI ---- */

/* Those that are ready now: what becomes ready meanwhile comes after a look at MPI. */
static bool serve_ready(struct mpi_transport *transport)
{
    TAILQ_HEAD(, mpi_stream) now = TAILQ_HEAD_INITIALIZER(now);
    struct mpi_stream *stream;
    TAILQ_CONCAT(&now, &transport->ready, ready_link);
    bool any = !TAILQ_EMPTY(&now);
    while ((stream = TAILQ_FIRST(&now))) {
        TAILQ_REMOVE(&now, stream, ready_link);
        stream->ready = false;
        muster__mpi_serve(stream);
    }
    return any;
}

static bool tell_stopped(struct mpi_transport *transport)
{
    struct mpi_listener *listener = TAILQ_FIRST(&transport->stopped);
    if (!listener)
        return false;
    TAILQ_REMOVE(&transport->stopped, listener, stopped_link);
    pthread_mutex_unlock(&transport->lock);
    listener->events->stopped(listener->context); /* which may free it */
    pthread_mutex_lock(&transport->lock);
    return true;
}

static bool ring(struct mpi_transport *transport)
{
    if (atomic_load(&transport->alarm) > muster__clock_now())
        return false;
    atomic_store(&transport->alarm, INT64_MAX);
    pthread_mutex_unlock(&transport->lock);
    muster__timers_ring(&transport->base);
    pthread_mutex_lock(&transport->lock);
    return true;
}

/* All ranks are connected: what waited for that can be sent. */
static void wake_all(struct mpi_transport *transport)
{
    struct mpi_stream *stream;
    for (size_t i = 0; i < STREAM_BUCKETS; i++) {
        LIST_FOREACH(stream, &transport->streams[i], link) {
            muster__mpi_wake_stream(stream);
        }
    }
}

static bool look(struct mpi_transport *transport)
{
    bool was_connected = transport->connected, any = false;
    if (transport->lost)
        return false;
    pthread_mutex_unlock(&transport->lock);
    if (muster__mpi_connected(transport))
        any = muster__mpi_progress(transport);
    pthread_mutex_lock(&transport->lock);
    if (!was_connected && transport->connected)
        wake_all(transport);
    return any;
}

/* MPI ends: so do all streams, and whoever ends it is let go on. */
static void leave(struct mpi_transport *transport)
{
    struct mpi_stream *stream;
    if (!transport->lost || transport->left)
        return;
    for (size_t i = 0; i < STREAM_BUCKETS; i++) {
        LIST_FOREACH(stream, &transport->streams[i], link)
            muster__mpi_break(stream, stream->listener ? MUSTER_GONE : MUSTER_UNAVAILABLE, MUSTER_GONE,
                              transport->lost);
    }
    transport->left = true;
    pthread_cond_broadcast(&transport->changed);
}

static bool is_done(const struct mpi_transport *transport)
{
    return transport->stopping &&
           (transport->sends == 0 || transport->left || muster__clock_now() >= transport->stop_at);
}

static int64_t now_ns(void)
{
    struct timespec now = muster__clock_after(0);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Until somebody wakes the thread, or it is time for another look. */
static void pause_after(struct mpi_transport *transport, int64_t idle_since)
{
    int64_t now = now_ns(), idle = now - idle_since, pause = idle / PAUSE_PART;
    if (idle < NO_PAUSE_NS)
        return;
    if (pause > PAUSE_MOST_NS)
        pause = PAUSE_MOST_NS;
    const struct timespec until = {.tv_sec = (time_t)((now + pause) / 1000000000),
                                   .tv_nsec = (long)((now + pause) % 1000000000)};
    pthread_cond_clockwait(&transport->changed, &transport->lock, CLOCK_MONOTONIC, &until);
}

static void *run(void *context)
{
    struct mpi_transport *transport = context;
    int64_t idle_since = 0;
    prctl(PR_SET_TIMERSLACK, 1000UL); /* its pauses are shorter than the 50 us that the system may add */
    pthread_mutex_lock(&transport->lock);
    while (!is_done(transport)) {
        bool busy = transport->woken;
        transport->woken = false;
        leave(transport);
        busy |= serve_ready(transport);
        busy |= tell_stopped(transport);
        busy |= ring(transport);
        busy |= look(transport);
        if (busy || transport->woken)
            idle_since = now_ns();
        else
            pause_after(transport, idle_since);
    }
    transport->running = false;
    pthread_cond_broadcast(&transport->changed);
    pthread_mutex_unlock(&transport->lock);
    return NULL;
}

/* ---- users; with process_lock held ---- */

static enum muster_status start(struct mpi_transport *transport, struct muster_error *error)
{
    enum muster_status status = muster__mpi_prepare(transport, error);
    if (status != MUSTER_OK)
        return status;
    pthread_mutex_lock(&transport->lock);
    transport->stopping = false;
    transport->running = true;
    bool started = muster__thread_start(&transport->thread, run, transport);
    transport->running = started;
    pthread_mutex_unlock(&transport->lock);
    return started ? MUSTER_OK : muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory, or of threads");
}

static struct muster_transport *acquire(const struct scheme *scheme, unsigned threads,
                                        struct muster_error *error)
{
    struct mpi_transport *transport = &muster__mpi;
    (void)scheme;
    (void)threads; /* it has one */
    pthread_mutex_lock(&process_lock);
    enum muster_status status = transport->users > 0 ? MUSTER_OK : start(transport, error);
    if (status == MUSTER_OK)
        transport->users++;
    pthread_mutex_unlock(&process_lock);
    return status == MUSTER_OK ? &transport->base : NULL;
}

static void stop(struct mpi_transport *transport)
{
    pthread_mutex_lock(&transport->lock);
    transport->stopping = true;
    transport->stop_at = muster__clock_now() + FLUSH_MS;
    muster__mpi_wake();
    pthread_mutex_unlock(&transport->lock);
    pthread_join(transport->thread, NULL);
}

static void transport_release(struct muster_transport *base)
{
    struct mpi_transport *transport = (struct mpi_transport *)base;
    pthread_mutex_lock(&process_lock);
    if (--transport->users == 0)
        stop(transport);
    pthread_mutex_unlock(&process_lock);
}

/* ---- the clock ---- */

static int64_t transport_now(struct muster_transport *transport)
{
    (void)transport;
    return muster__clock_now();
}

static void set_alarm(struct muster_transport *base, int64_t at)
{
    struct mpi_transport *transport = (struct mpi_transport *)base;
    atomic_store(&transport->alarm, at);
}

static void shut_borrowers(struct muster_transport *transport, const struct buffer *body)
{
    (void)transport; /* what was lent is copied: stream.c */
    (void)body;
}

const struct scheme muster__mpi_scheme = {.prefix = "mpi:", .form = "mpi:RANK", .acquire = acquire};

static const struct transport_ops transport_ops = {
    .listen = muster__mpi_listen,
    .close_listener = muster__mpi_close_listener,
    .cut_listener = muster__mpi_cut_listener,
    .free_listener = muster__mpi_free_listener,
    .connect = muster__mpi_connect,
    .listener_address = muster__mpi_listener_address,
    .is_inside = true,
    .silence = "no answer (does that rank, and every other, use an mpi: address by now?)",
    .shut_borrowers = shut_borrowers,
    .now = transport_now,
    .set_alarm = set_alarm,
    .release = transport_release,
};
