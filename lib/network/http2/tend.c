/*
 * Tending: a thread that waits for a stream sleeps at the stream's socket in place of the loop, and reads it.
 *
 * Each loop has a place for one such thread, and only a connection of one stream is tended. From begin() on the loop
 * does not watch for what comes. All else stays the loop's: timers, writing what the socket did not take, ends, streams
 * that are opened meanwhile. At the end it watches again: at once, or, where threads tend in quick succession, when none
 * has for some milliseconds. Before that, a server sends nothing to which the answer would have to wait. Until then the
 * socket stays in the epoll of those that tend, unless another connection's takes its place: so a turn that follows the
 * one before changes no epoll.
 *
 * What does not come at once, as big messages do, is left to the loop, too, and so is what is to be told on a thread of the
 * network: the stream keeps it, and the loop goes on with it before all else.
 *
 * The thread that tends never waits for the helm: where the loop has it, it goes back to its condition. It is woken by
 * the socket, or by a bell, which is rung by whoever rouses it, and when its stream has ended: with the connection's
 * lock held, under which it begins, too, so that no ring is lost.
 */
#include <config.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "network/http2/http2.h"
#include "network/http2/tend.h"

/* The loop looks in such intervals whether it is to watch again. */
enum { LOOK_MS = 2 };

bool muster__http2_tender_open(struct tender *tender)
{
    struct epoll_event rings = {.events = EPOLLIN, .data.ptr = NULL};
    pthread_mutex_init(&tender->lock, NULL);
    tender->attended = -1;
    tender->epoll = epoll_create1(EPOLL_CLOEXEC);
    tender->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return tender->epoll >= 0 && tender->bell >= 0 &&
           epoll_ctl(tender->epoll, EPOLL_CTL_ADD, tender->bell, &rings) == 0;
}

void muster__http2_tender_close(struct tender *tender)
{
    if (tender->epoll >= 0)
        close(tender->epoll);
    if (tender->bell >= 0)
        close(tender->bell);
    pthread_mutex_destroy(&tender->lock);
    free(tender->intake.arrivals);
}

static _Thread_local const struct http2_connection *reading; /* by this thread, which tends */

bool muster__http2_is_tending(const struct http2_connection *connection)
{
    return reading == connection;
}

/* With the lock held. */
static bool is_alone(const struct http2_stream *stream)
{
    return LIST_FIRST(&stream->connection->streams) == stream && !LIST_NEXT(stream, link);
}

/* With the lock held. */
static void silence_bell(struct tender *tender)
{
    uint64_t count;
    if (tender->rung && read(tender->bell, &count, sizeof(count)) < 0)
        return; /* it rings on */
    tender->rung = false;
}

/* Has a thread that tends sleep at this connection's socket alone. With the lock held. */
static bool attend(struct http2_connection *connection)
{
    struct tender *tender = &connection->loop->tender;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    pthread_mutex_lock(&tender->lock);
    if (tender->attended != connection->descriptor) {
        if (tender->attended >= 0)
            epoll_ctl(tender->epoll, EPOLL_CTL_DEL, tender->attended, &event);
        bool good = epoll_ctl(tender->epoll, EPOLL_CTL_ADD, connection->descriptor, &event) == 0;
        tender->attended = good ? connection->descriptor : -1;
    }
    bool good = tender->attended >= 0;
    pthread_mutex_unlock(&tender->lock);
    return good;
}

/* With the lock held. */
static void attend_no_more(struct http2_connection *connection)
{
    struct tender *tender = &connection->loop->tender;
    struct epoll_event event = {0};
    pthread_mutex_lock(&tender->lock);
    if (connection->descriptor >= 0 && tender->attended == connection->descriptor) {
        epoll_ctl(tender->epoll, EPOLL_CTL_DEL, tender->attended, &event);
        tender->attended = -1;
    }
    pthread_mutex_unlock(&tender->lock);
}

/* With the lock held. */
static void watch(struct http2_connection *connection)
{
    connection->watching.put_off = false;
    attend_no_more(connection);
    if (connection->descriptor >= 0)
        muster__http2_rewatch_connection(connection);
}

void muster__http2_watch_again(struct http2_connection *connection)
{
    if (connection->watching.put_off)
        watch(connection);
}

/* With the lock held. */
static bool take_place(struct http2_connection *connection)
{
    struct tender *tender = &connection->loop->tender;
    if (atomic_exchange(&tender->taken, true))
        return false;
    if (attend(connection))
        return true;
    atomic_store(&tender->taken, false);
    return false;
}

static bool tend_begin(struct stream *base)
{
    struct http2_stream *stream = (struct http2_stream *)base;
    struct http2_connection *connection = stream->connection;
    pthread_mutex_lock(&connection->lock);
    bool good = connection->session && !connection->broken && !connection->finishing && connection->heard &&
                !connection->watching.tended && !stream->ended && is_alone(stream) && take_place(connection);
    if (good) {
        struct watching *watching = &connection->watching;
        bool watched = !watching->put_off;
        watching->tended = true;
        watching->put_off = false;
        connection->loop->tender.gave_up = false;
        atomic_fetch_add(&stream->references, 1);
        if (watched)
            muster__http2_rewatch_connection(connection);
    } else {
        muster__http2_watch_again(connection); /* the caller waits all the same */
    }
    pthread_mutex_unlock(&connection->lock);
    return good;
}

static void look(struct timer *timer);

/* With the lock held. */
static void look_later(struct http2_connection *connection)
{
    struct watching *watching = &connection->watching;
    watching->again = false;
    watching->timed = true;
    muster__timer_start(&connection->loop->clock, &watching->timer, muster__clock_now() + LOOK_MS, look);
}

/* On the loop's thread: watches, if no thread has tended since the last look. */
static void look(struct timer *timer)
{
    struct watching *watching = CONTAINER(timer, struct watching, timer);
    struct http2_connection *connection = CONTAINER(watching, struct http2_connection, watching);
    pthread_mutex_lock(&connection->lock);
    watching->timed = false;
    if (watching->put_off && watching->again)
        look_later(connection);
    else
        muster__http2_watch_again(connection);
    bool done = !watching->timed;
    pthread_mutex_unlock(&connection->lock);
    if (done)
        muster__http2_connection_release(connection);
}

void muster__http2_watch_no_more(struct http2_connection *connection)
{
    struct watching *watching = &connection->watching;
    if (watching->timed && muster__timer_stop(&connection->loop->clock, &watching->timer))
        muster__http2_connection_release(connection);
    watching->timed = watching->put_off = false;
    attend_no_more(connection);
}

static void tend_end(struct stream *base)
{
    struct http2_stream *stream = (struct http2_stream *)base;
    struct http2_connection *connection = stream->connection;
    struct tender *tender = &connection->loop->tender;
    struct watching *watching = &connection->watching;
    int64_t now = muster__clock_now();
    pthread_mutex_lock(&connection->lock);
    watching->tended = false;
    watching->put_off = !tender->gave_up && connection->session && now - watching->ended_at < LOOK_MS;
    watching->ended_at = now;
    watching->again = true;
    silence_bell(tender);
    if (!watching->put_off) {
        watch(connection);
    } else if (!watching->timed) {
        atomic_fetch_add(&connection->references, 1);
        look_later(connection);
    }
    atomic_store(&tender->taken, false);
    pthread_mutex_unlock(&connection->lock);
    muster__http2_stream_release(stream);
}

void muster__http2_ring_tender(struct http2_connection *connection)
{
    const uint64_t one = 1;
    struct tender *tender = &connection->loop->tender;
    if (connection->watching.tended && !tender->rung)
        tender->rung = write(tender->bell, &one, sizeof(one)) == sizeof(one);
}

/* Who is being told looks by itself. */
static void tend_rouse(struct stream *base)
{
    struct http2_connection *connection = ((struct http2_stream *)base)->connection;
    if (reading == connection)
        return;
    pthread_mutex_lock(&connection->lock);
    muster__http2_ring_tender(connection);
    pthread_mutex_unlock(&connection->lock);
}

/* False: the loop is at it, or is to go on. */
static bool read_tended(struct http2_stream *stream)
{
    struct http2_connection *connection = stream->connection;
    struct http2_loop *loop = connection->loop;
    if (pthread_mutex_trylock(&connection->helm) != 0)
        return false;
    reading = connection;
    atomic_store(&loop->now, muster__clock_now());
    muster__http2_read(connection, &loop->tender.intake, stream);
    bool left = connection->has_left, more = connection->has_more;
    reading = NULL;
    pthread_mutex_unlock(&connection->helm);
    if (left)
        muster__http2_pend(connection);
    return !left && !more;
}

void muster__http2_leave_to_loop(struct http2_stream *stream)
{
    stream->left_to_loop = true;
    stream->connection->has_left = true;
}

/* Streams that are over keep what was left until their end is told. */
void muster__http2_take_left(struct http2_connection *connection)
{
    struct http2_stream *stream;
    while (connection->has_left) {
        pthread_mutex_lock(&connection->lock);
        LIST_FOREACH(stream, &connection->streams, link) {
            if (stream->left_to_loop)
                break;
        }
        if (stream)
            atomic_fetch_add(&stream->references, 1);
        pthread_mutex_unlock(&connection->lock);
        connection->has_left = stream != NULL;
        if (!stream)
            return;
        stream->left_to_loop = false;
        if (stream->left_unopened)
            connection->listener->side->arrived(stream);
        stream->left_unopened = false;
        muster__http2_resume(stream);
        muster__http2_stream_release(stream);
    }
}

/* Milliseconds from now; -1: without end. */
static int pause_until(int64_t at)
{
    if (at == INT64_MAX)
        return -1;
    int64_t left = at - muster__clock_now();
    return left <= 0 ? 0 : left < INT_MAX ? (int)left : INT_MAX;
}

static bool sleep_until(struct http2_stream *stream, int64_t at)
{
    struct http2_connection *connection = stream->connection;
    struct tender *tender = &connection->loop->tender;
    struct epoll_event event;
    pthread_mutex_lock(&connection->lock);
    bool good = !stream->ended && !connection->broken && is_alone(stream);
    pthread_mutex_unlock(&connection->lock);
    if (!good)
        return false;
    int count = epoll_wait(tender->epoll, &event, 1,
                           pause_until(at)); /* should the socket be closed, the bell rings */
    if (count <= 0)
        return count < 0 && errno == EINTR; /* a signal was the program's */
    if (!event.data.ptr) {
        pthread_mutex_lock(&connection->lock);
        silence_bell(tender);
        pthread_mutex_unlock(&connection->lock);
        return true;
    }
    return read_tended(stream);
}

static bool tend_wait(struct stream *base, int64_t at)
{
    struct http2_stream *stream = (struct http2_stream *)base;
    bool good = sleep_until(stream, at);
    if (!good)
        stream->connection->loop->tender.gave_up = true;
    return good;
}

const struct tending_ops muster__http2_tending = {
    .begin = tend_begin,
    .wait = tend_wait,
    .end = tend_end,
    .rouse = tend_rouse,
};
