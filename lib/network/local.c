/* Networks of the local transport. One lock guards everything in one; somebody is told of an event without it,
   by one thread at a time. */
#include <config.h>

#include <stdlib.h>

#include "network/local.h"
#include "network/scheme.h"
#include "network/words.h"
#include "status.h"

static const struct transport_ops transport_ops;

int64_t muster__local_now(const struct network *network)
{
    return network->by_hand ? network->time : muster__clock_now();
}

static void insert(struct network *network, struct event *event, int64_t due)
{
    struct event *before = TAILQ_LAST(&network->events, events);
    event->due = due;
    while (before && before->due > due)
        before = TAILQ_PREV(before, events, link);
    if (before)
        TAILQ_INSERT_AFTER(&network->events, before, event, link);
    else
        TAILQ_INSERT_HEAD(&network->events, event, link);
    pthread_cond_broadcast(&network->changed);
}

void muster__local_enqueue(struct network *network, struct event *event, int64_t due)
{
    if (event->queued)
        return;
    event->queued = true;
    if (event->end)
        event->end->connection->references++;
    insert(network, event, due);
}

/* Whether it is told in order, and not before `due` while its end pauses. */
static bool waits(const struct event *event, const struct end *end, int64_t due)
{
    return event->end == end && (event->kind == EVENT_MESSAGE || event->kind == EVENT_LEFT) &&
           event->due <= due;
}

void muster__local_put_off(struct end *end, int64_t due)
{
    struct network *network = end->connection->network;
    struct events late = TAILQ_HEAD_INITIALIZER(late);
    struct event *event, *next;
    for (event = TAILQ_FIRST(&network->events); event; event = next) {
        next = TAILQ_NEXT(event, link);
        if (!waits(event, end, due))
            continue;
        TAILQ_REMOVE(&network->events, event, link);
        TAILQ_INSERT_TAIL(&late, event, link);
    }
    while ((event = TAILQ_FIRST(&late))) {
        TAILQ_REMOVE(&late, event, link);
        insert(network, event, due);
    }
    if (due > end->last_due)
        end->last_due = due;
}

/* ---- delivery: on the stepping thread; with the lock held, which is let go of while somebody is told ---- */

static void deliver_opened(struct network *network, struct connection *connection)
{
    struct listener *listener = connection->listener;
    struct end *server = &connection->server;
    const struct stream_events *events = NULL;
    if (listener->closed || connection->client.closed.queued) {
        muster__local_finish(&connection->client, MUSTER_UNAVAILABLE, END_STOPPING,
                             muster__local_now(network));
        muster__local_left(listener);
        connection->listener = NULL;
        return;
    }
    connection->references++;
    server->closed.queued = false;
    pthread_mutex_unlock(&network->lock);
    void *context = connection->served->accepted(listener->context, &server->base, &events);
    pthread_mutex_lock(&network->lock);
    server->events = events;
    server->context = context;
    if (context)
        return;
    muster__local_unreference(connection); /* nobody owns the server's end */
    muster__local_finish(&connection->client, MUSTER_OUT_OF_MEMORY, END_OUT_OF_MEMORY,
                         muster__local_now(network));
    muster__local_finish(server, MUSTER_OUT_OF_MEMORY, "out of memory", muster__local_now(network));
}

static void deliver_message(struct network *network, struct end *end, const struct letter *letter)
{
    static const char too_big[] = "a message was bigger than the limit";
    struct connection *connection = end->connection;
    bool to_server = end == &connection->server;
    end->deaf |= muster__local_is_parted(connection);
    if (end->over || end->deaf)
        return;
    if (letter->size > connection->max_message_size[to_server ? 1 : 0]) {
        muster__local_finish(end, MUSTER_TOO_BIG, too_big, muster__local_now(network));
        muster__local_finish(end->peer, to_server ? MUSTER_TOO_BIG : MUSTER_GONE, too_big,
                             muster__local_now(network));
    } else if (end->events) {
        pthread_mutex_unlock(&network->lock);
        end->events->message(end->context, letter->pieces, letter->count, letter->size);
        pthread_mutex_lock(&network->lock);
    }
}

static void deliver_sent(struct network *network, struct end *end)
{
    end->sent.queued = false; /* its owner may send again at once */
    if (end->over || end->closing || !end->events || !end->events->sent)
        return;
    pthread_mutex_unlock(&network->lock);
    end->events->sent(end->context);
    pthread_mutex_lock(&network->lock);
}

/* A client closed its side: the server's end answers with OK and is over. */
static void deliver_left(struct network *network, struct end *server)
{
    muster__local_finish(server->peer, MUSTER_OK, "", muster__local_now(network));
    muster__local_finish(server, MUSTER_CLOSED, END_LEFT, muster__local_now(network));
}

static void deliver_closed(struct network *network, struct end *end)
{
    end->over = true;
    if (end->events) {
        pthread_mutex_unlock(&network->lock);
        end->events->closed(end->context, end->status, end->text);
        pthread_mutex_lock(&network->lock);
    }
    if (end == &end->connection->server)
        muster__local_left(end->connection->listener);
}

/* Returns without the lock: what stopped a listener may free the network. */
static void deliver(struct network *network, struct event *event)
{
    struct connection *connection = event->end ? event->end->connection : NULL;
    switch (event->kind) {
    case EVENT_OPENED:
        deliver_opened(network, connection);
        break;
    case EVENT_MESSAGE:
        deliver_message(network, event->end, (struct letter *)event);
        pthread_mutex_unlock(&network->lock);
        muster__local_drop(event); /* the last reference to a body tells others */
        pthread_mutex_lock(&network->lock);
        break;
    case EVENT_SENT:
        deliver_sent(network, event->end);
        break;
    case EVENT_LEFT:
        deliver_left(network, event->end);
        break;
    case EVENT_CLOSED:
        deliver_closed(network, event->end);
        break;
    case EVENT_STOPPED:
        pthread_mutex_unlock(&network->lock);
        event->listener->events->stopped(event->listener->context);
        return;
    }
    muster__local_unreference(connection);
    pthread_mutex_unlock(&network->lock);
}

/* ---- what falls due ---- */

bool muster__local_step(struct network *network)
{
    pthread_mutex_lock(&network->lock);
    int64_t now = muster__local_now(network);
    struct event *event = TAILQ_FIRST(&network->events);
    int64_t due = event ? event->due : INT64_MAX;
    if (network->alarm_at <= now && network->alarm_at < due) {
        network->alarm_at = INT64_MAX;
        pthread_mutex_unlock(&network->lock);
        muster__timers_ring(&network->base);
        return true;
    }
    if (due > now) {
        pthread_mutex_unlock(&network->lock);
        return false;
    }
    TAILQ_REMOVE(&network->events, event, link);
    deliver(network, event);
    return true;
}

/* Waits for a change, or until something is due; true: it is. With the lock held. */
static bool wait_until_due(struct network *network)
{
    int64_t at = network->alarm_at;
    if (!TAILQ_EMPTY(&network->events) && TAILQ_FIRST(&network->events)->due < at)
        at = TAILQ_FIRST(&network->events)->due;
    if (at <= muster__local_now(network))
        return true;
    const struct timespec until = muster__clock_at(at);
    if (network->by_hand || at == INT64_MAX)
        pthread_cond_wait(&network->changed, &network->lock);
    else
        pthread_cond_clockwait(&network->changed, &network->lock, CLOCK_MONOTONIC, &until);
    return false;
}

void muster__local_run(struct network *network)
{
    pthread_mutex_lock(&network->lock);
    while (!network->stopped) {
        if (!wait_until_due(network))
            continue;
        pthread_mutex_unlock(&network->lock);
        muster__local_step(network);
        pthread_mutex_lock(&network->lock);
    }
    network->stopped = false; /* for the next run */
    pthread_mutex_unlock(&network->lock);
}

void muster__local_stop(struct network *network)
{
    pthread_mutex_lock(&network->lock);
    network->stopped = true;
    pthread_cond_broadcast(&network->changed);
    pthread_mutex_unlock(&network->lock);
}

static void shut_borrowers(struct muster_transport *transport, const struct buffer *body)
{
    (void)transport; /* what was sent is read at once, or a copy */
    (void)body;
}

static int64_t transport_now(struct muster_transport *transport)
{
    struct network *network = (struct network *)transport;
    if (!network->by_hand)
        return muster__local_now(network);
    pthread_mutex_lock(&network->lock);
    int64_t now = muster__local_now(network);
    pthread_mutex_unlock(&network->lock);
    return now;
}

static void set_alarm(struct muster_transport *transport, int64_t at)
{
    struct network *network = (struct network *)transport;
    pthread_mutex_lock(&network->lock);
    network->alarm_at = at;
    pthread_cond_broadcast(&network->changed);
    pthread_mutex_unlock(&network->lock);
}

/* ---- networks ---- */

void muster__local_init(struct network *network, bool by_hand)
{
    *network = (struct network){.base.ops = &transport_ops, .by_hand = by_hand, .alarm_at = INT64_MAX};
    TAILQ_INIT(&network->events);
    muster__timers_init(&network->base.timers);
    pthread_mutex_init(&network->lock, NULL);
    pthread_cond_init(&network->changed, NULL);
}

void muster__local_destroy(struct network *network)
{
    struct event *event;
    while ((event = TAILQ_FIRST(&network->events))) {
        TAILQ_REMOVE(&network->events, event, link);
        struct connection *connection = event->end ? event->end->connection : NULL;
        muster__local_drop(event);
        if (connection)
            muster__local_unreference(connection);
    }
    /* A connection that is still there has a stream that was not released: the leak is its owner's. */
    pthread_cond_destroy(&network->changed);
    pthread_mutex_destroy(&network->lock);
    muster__timers_destroy(&network->base.timers);
}

/* ---- the one with the real clock ---- */

static pthread_mutex_t process_lock = PTHREAD_MUTEX_INITIALIZER;
static struct process_network {
    struct network network;
    pthread_t thread;
    size_t users;
} * process_network; /* NULL: nobody uses it; guarded by process_lock, and so is `users` */

static void *serve(void *network)
{
    muster__local_run(network);
    return NULL;
}

static struct process_network *process_network_new(void)
{
    struct process_network *process = calloc(1, sizeof(*process));
    if (!process)
        return NULL;
    muster__local_init(&process->network, false);
    if (muster__thread_start(&process->thread, serve, &process->network))
        return process;
    muster__local_destroy(&process->network);
    free(process);
    return NULL;
}

static struct muster_transport *acquire(const struct scheme *scheme, unsigned threads,
                                        struct muster_error *error)
{
    (void)scheme;
    (void)threads; /* it has one */
    pthread_mutex_lock(&process_lock);
    if (!process_network)
        process_network = process_network_new();
    struct process_network *process = process_network;
    if (process)
        process->users++;
    pthread_mutex_unlock(&process_lock);
    if (process)
        return &process->network.base;
    muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory, or of threads");
    return NULL;
}

static void transport_release(struct muster_transport *base)
{
    struct network *network = (struct network *)base;
    struct process_network *process = CONTAINER(network, struct process_network, network);
    if (network->by_hand)
        return; /* it is the fixture's */
    pthread_mutex_lock(&process_lock);
    bool last = --process->users == 0;
    if (last)
        process_network = NULL;
    pthread_mutex_unlock(&process_lock);
    if (!last)
        return;
    muster__local_stop(network);
    pthread_join(process->thread, NULL);
    muster__local_destroy(network);
    free(process);
}

const struct scheme muster__local_scheme = {.prefix = "local:", .form = "local:NAME", .acquire = acquire};

static const struct transport_ops transport_ops = {
    .listen = muster__local_listen,
    .close_listener = muster__local_close_listener,
    .cut_listener = muster__local_cut_listener,
    .free_listener = muster__local_free_listener,
    .connect = muster__local_connect,
    .listener_address = muster__local_listener_address,
    .is_inside = true,
    .silence = "nobody listens there (does a manager of this process listen on the same address?)",
    .shut_borrowers = shut_borrowers,
    .now = transport_now,
    .set_alarm = set_alarm,
    .release = transport_release,
};
