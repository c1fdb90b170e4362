/* Loops. What others want of one they put into its lists, and ring its bell if it sleeps. */
#include <config.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "network/http2/loop.h"
#include "network/http2/tend.h"

enum { EVENTS_AT_ONCE = 256 };

void muster__http2_wake(struct http2_loop *loop)
{
    const uint64_t one = 1;
    if (atomic_load(&loop->asleep) && atomic_exchange(&loop->asleep, false) &&
        write(loop->bell, &one, sizeof(one)) < 0)
        return; /* it is full: it rings */
}

static bool control(struct http2_loop *loop, int operation, int descriptor, uint32_t events,
                    struct watch *watch)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    return epoll_ctl(loop->epoll, operation, descriptor, &event) == 0;
}

bool muster__http2_watch(struct http2_loop *loop, int descriptor, uint32_t events, struct watch *watch)
{
    return control(loop, EPOLL_CTL_ADD, descriptor, events, watch);
}

bool muster__http2_rewatch(struct http2_loop *loop, int descriptor, uint32_t events, struct watch *watch)
{
    return control(loop, EPOLL_CTL_MOD, descriptor, events, watch);
}

void muster__http2_rewatch_connection(struct http2_connection *connection)
{
    const struct watching *watching = &connection->watching;
    bool elsewhere = watching->tended || watching->put_off;
    bool waits = !connection->writable && !connection->writes_when_read && !connection->deaf;
    uint32_t events = (elsewhere ? 0 : EPOLLIN) | (waits ? EPOLLOUT : 0);
    muster__http2_rewatch(connection->loop, connection->descriptor, events, &connection->watch);
}

void muster__http2_unwatch(struct http2_loop *loop, int descriptor)
{
    control(loop, EPOLL_CTL_DEL, descriptor, 0, NULL);
}

/* ---- what others put in ---- */

static void bell_rang(struct watch *watch, uint32_t events)
{
    struct http2_loop *loop = CONTAINER(watch, struct http2_loop, ringing);
    uint64_t count;
    (void)events;
    if (read(loop->bell, &count, sizeof(count)) < 0)
        return; /* another round has seen to it */
}

/* What is put in meanwhile comes in the next round. */
static void serve_connections(struct http2_loop *loop)
{
    STAILQ_HEAD(, http2_connection) now = STAILQ_HEAD_INITIALIZER(now);
    struct http2_connection *connection;
    pthread_mutex_lock(&loop->lock);
    STAILQ_CONCAT(&now, &loop->pending);
    pthread_mutex_unlock(&loop->lock);
    while ((connection = STAILQ_FIRST(&now))) {
        STAILQ_REMOVE_HEAD(&now, pending_link);
        pthread_mutex_lock(&loop->lock);
        connection->pending = false;
        bool cut = connection->cut;
        pthread_mutex_unlock(&loop->lock);
        muster__http2_connection_serve(connection, cut);
        muster__http2_connection_release(connection);
    }
}

static void run_errands(struct http2_loop *loop)
{
    STAILQ_HEAD(, errand) now = STAILQ_HEAD_INITIALIZER(now);
    struct errand *errand;
    pthread_mutex_lock(&loop->lock);
    STAILQ_CONCAT(&now, &loop->errands);
    pthread_mutex_unlock(&loop->lock);
    while ((errand = STAILQ_FIRST(&now))) {
        STAILQ_REMOVE_HEAD(&now, link);
        errand->run(errand);
    }
}

void muster__http2_post(struct http2_loop *loop, struct errand *errand)
{
    pthread_mutex_lock(&loop->lock);
    STAILQ_INSERT_TAIL(&loop->errands, errand, link);
    pthread_mutex_unlock(&loop->lock);
    muster__http2_wake(loop);
}

/* With the lock held. */
static void pend(struct http2_loop *loop, struct http2_connection *connection)
{
    if (connection->pending)
        return;
    connection->pending = true;
    atomic_fetch_add(&connection->references, 1);
    STAILQ_INSERT_TAIL(&loop->pending, connection, pending_link);
}

void muster__http2_pend(struct http2_connection *connection)
{
    struct http2_loop *loop = connection->loop;
    pthread_mutex_lock(&loop->lock);
    pend(loop, connection);
    pthread_mutex_unlock(&loop->lock);
    muster__http2_wake(loop);
}

void muster__http2_cut(struct http2_connection *connection)
{
    struct http2_loop *loop = connection->loop;
    pthread_mutex_lock(&loop->lock);
    connection->cut = true;
    pend(loop, connection);
    pthread_mutex_unlock(&loop->lock);
    muster__http2_wake(loop);
}

void muster__http2_loop_pend_all(struct http2_loop *loop, const struct http2_listener *listener, bool cut)
{
    struct http2_connection *connection;
    pthread_mutex_lock(&loop->lock);
    LIST_FOREACH(connection, &loop->connections, link) {
        if (connection->listener != listener)
            continue;
        connection->cut = connection->cut || cut;
        pend(loop, connection);
    }
    pthread_mutex_unlock(&loop->lock);
    muster__http2_wake(loop);
}

static bool has_pending(struct http2_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    bool has = !STAILQ_EMPTY(&loop->pending) || !STAILQ_EMPTY(&loop->errands) || loop->stopping;
    pthread_mutex_unlock(&loop->lock);
    return has;
}

void muster__http2_loop_bury(struct http2_connection *connection)
{
    struct http2_loop *loop = connection->loop;
    struct walk *walk;
    pthread_mutex_lock(&loop->lock);
    LIST_FOREACH(walk, &loop->walks, link)
        walk->next = walk->next == connection ? LIST_NEXT(connection, link) : walk->next;
    LIST_REMOVE(connection, link);
    loop->load--;
    pthread_mutex_unlock(&loop->lock);
    SLIST_INSERT_HEAD(&loop->graveyard, connection, grave_link);
}

static void clear_graveyard(struct http2_loop *loop)
{
    struct http2_connection *connection;
    while ((connection = SLIST_FIRST(&loop->graveyard))) {
        SLIST_REMOVE_HEAD(&loop->graveyard, grave_link);
        muster__http2_connection_release(connection);
    }
}

/* ---- timers ---- */

static int64_t clock_now(struct muster_transport *clock)
{
    (void)clock;
    return muster__clock_now();
}

static void set_alarm(struct muster_transport *clock, int64_t at)
{
    struct http2_loop *loop = CONTAINER(clock, struct http2_loop, clock);
    atomic_store(&loop->alarm, at);
    muster__http2_wake(loop);
}

static const struct transport_ops clock_ops = {.now = clock_now, .set_alarm = set_alarm};

static void ring_if_due(atomic_llong *alarm, struct muster_transport *clock, int64_t now)
{
    if (atomic_load(alarm) > now)
        return;
    atomic_store(alarm, INT64_MAX);
    muster__timers_ring(clock);
}

static void ring(struct http2_loop *loop)
{
    ring_if_due(&loop->alarm, &loop->clock, loop->now);
    if (loop->first)
        ring_if_due(&loop->transport->alarm, &loop->transport->base, loop->now);
}

/* Until the next alarm; -1: without end. */
static int pause_ms(const struct http2_loop *loop)
{
    int64_t at = atomic_load(&loop->alarm);
    if (loop->first && atomic_load(&loop->transport->alarm) < at)
        at = atomic_load(&loop->transport->alarm);
    if (at == INT64_MAX)
        return -1;
    int64_t left = at - muster__clock_now();
    return left <= 0 ? 0 : left < INT_MAX ? (int)left : INT_MAX;
}

/* ---- the thread ---- */

static void *run(void *argument)
{
    struct http2_loop *loop = argument;
    struct epoll_event events[EVENTS_AT_ONCE];
    for (;;) {
        pthread_mutex_lock(&loop->lock);
        bool over = loop->stopping && LIST_EMPTY(&loop->connections) && STAILQ_EMPTY(&loop->pending) &&
                    STAILQ_EMPTY(&loop->errands);
        pthread_mutex_unlock(&loop->lock);
        if (over)
            return NULL;
        atomic_store(&loop->asleep, true);
        int limit = has_pending(loop) ? 0 : pause_ms(loop); /* after the store: or the bell rings */
        int count = epoll_wait(loop->epoll, events, EVENTS_AT_ONCE, limit);
        atomic_store(&loop->asleep, false);
        loop->now = muster__clock_now();
        for (int i = 0; i < count; i++) {
            struct watch *watch = events[i].data.ptr;
            watch->ready(watch, events[i].events);
        }
        ring(loop);
        run_errands(loop);
        serve_connections(loop);
        clear_graveyard(loop);
    }
}

struct http2_loop *muster__http2_loop_new(struct http2_transport *transport, bool first)
{
    struct http2_loop *loop = calloc(1, sizeof(*loop));
    if (!loop)
        return NULL;
    loop->clock.ops = &clock_ops;
    muster__timers_init(&loop->clock.timers);
    loop->transport = transport;
    loop->first = first;
    atomic_init(&loop->now, muster__clock_now());
    atomic_init(&loop->alarm, INT64_MAX);
    pthread_mutex_init(&loop->lock, NULL);
    STAILQ_INIT(&loop->pending);
    STAILQ_INIT(&loop->errands);
    loop->ringing.ready = bell_rang;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop->tender.epoll = loop->tender.bell = -1;
    if (loop->epoll >= 0 && loop->bell >= 0 &&
        muster__http2_watch(loop, loop->bell, EPOLLIN, &loop->ringing) &&
        muster__http2_tender_open(&loop->tender))
        return loop;
    muster__http2_loop_free(loop);
    return NULL;
}

bool muster__http2_loop_start(struct http2_loop *loop)
{
    return pthread_create(&loop->thread, NULL, run, loop) == 0;
}

/* What is left are connections without a stream. */
void muster__http2_loop_stop(struct http2_loop *loop)
{
    struct http2_connection *connection;
    pthread_mutex_lock(&loop->lock);
    loop->stopping = true;
    LIST_FOREACH(connection, &loop->connections, link)
        pend(loop, connection);
    pthread_mutex_unlock(&loop->lock);
    muster__http2_wake(loop);
    pthread_join(loop->thread, NULL);
}

void muster__http2_loop_free(struct http2_loop *loop)
{
    if (loop->epoll >= 0)
        close(loop->epoll);
    if (loop->bell >= 0)
        close(loop->bell);
    muster__http2_tender_close(&loop->tender);
    pthread_mutex_destroy(&loop->lock);
    muster__timers_destroy(&loop->clock.timers);
    free(loop->intake.arrivals);
    free(loop);
}

/* A connection's lock is taken before the loop's: so each is looked at with a reference, and the next is known to who
   removes it meanwhile. */
void muster__http2_loop_shut_borrowers(struct http2_loop *loop, const struct buffer *body)
{
    struct walk walk;
    struct http2_connection *connection;
    pthread_mutex_lock(&loop->lock);
    walk.next = LIST_FIRST(&loop->connections);
    LIST_INSERT_HEAD(&loop->walks, &walk, link);
    while ((connection = walk.next)) {
        walk.next = LIST_NEXT(connection, link);
        atomic_fetch_add(&connection->references, 1);
        pthread_mutex_unlock(&loop->lock);
        pthread_mutex_lock(&connection->lock);
        if (muster__http2_output_has(connection, body))
            muster__http2_break(connection, MUSTER_UNAVAILABLE, "the connection took too long to send");
        pthread_mutex_unlock(&connection->lock);
        muster__http2_connection_release(connection);
        pthread_mutex_lock(&loop->lock);
    }
    LIST_REMOVE(&walk, link);
    pthread_mutex_unlock(&loop->lock);
}
