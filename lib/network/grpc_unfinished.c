/*
 * C-core 1.51 shows nothing of a message before it is whole, however long that takes and however big it is.
 * What can be seen is what the kernel has given C-core of a connection; less what came out of it as messages,
 * it is what C-core holds. As nothing tells when that stands still, it is looked at now and then.
 *
 * A connection's bytes do not say whose they are where it has several streams: all of those end that had no
 * message for as long. A participant of ours comes back.
 */
#include <config.h>

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <grpc/support/alloc.h>

#include "network/grpc_listener.h"

enum {
    CHECKS = 6,          /* in a time limit */
    SMALL = 64 << 10,    /* held by a connection, it is no matter */
    RATE_MIN = 1,        /* bytes per millisecond: what grows faster is on its way */
    MESSAGE_COST = 64,   /* on the wire, of any message, */
    PARTS_COST = 256,    /* and of so many of its bytes one: for frames and TLS */
    SENT_COST = 128,     /* of so many that we send one comes back: acknowledgements and windows */
    PINGS_COST = 4,      /* in so many milliseconds a byte comes with pings */
    ROOM = 4 * LOOKAHEAD /* beyond a message, for others that C-core has read and we have not */
};

/* What comes by a connection. */
struct inflow {
    LIST_ENTRY(inflow) link;
    uint16_t port;
    atomic_ullong delivered; /* since the last check: messages, and what belongs to them */
    LIST_HEAD(, grpc_stream) streams;
    bool ended;                    /* a stream of it did, since the last check */
    unsigned seen;                 /* the last check that found the connection */
    unsigned long long came, sent; /* by then */
    unsigned long long held;       /* by C-core, of messages that are not whole, about */
    unsigned mark;                 /* the check at which the limit began to run, */
    int64_t mark_at;               /* when that was, */
    unsigned long long mark_held;  /* and what was held then */
    char host[];
};

/* NULL: there is none. */
static struct inflow *find(struct unfinished *unfinished, const char *host, uint16_t port)
{
    struct inflow *inflow;
    LIST_FOREACH(inflow, &unfinished->inflows[port % INFLOW_BUCKETS], link) {
        if (inflow->port == port && strcmp(inflow->host, host) == 0)
            break;
    }
    return inflow;
}

static struct inflow *inflow_new(const char *host, uint16_t port)
{
    size_t size = strlen(host) + 1;
    struct inflow *inflow = calloc(1, sizeof(*inflow) + size);
    if (!inflow)
        return NULL;
    inflow->port = port;
    memcpy(inflow->host, host, size);
    return inflow;
}

/* The bytes that were read from a connection, and that its other end has acknowledged. */
static bool read_counts(int descriptor, unsigned long long *came, unsigned long long *sent)
{
    struct tcp_info info;
    socklen_t size = sizeof(info);
    int unread = 0;
    if (getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
        size < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof(info.tcpi_bytes_received) ||
        ioctl(descriptor, FIONREAD, &unread) != 0)
        return false;
    *came = info.tcpi_bytes_received > (unsigned long long)unread
                ? info.tcpi_bytes_received - (unsigned long long)unread
                : 0;
    *sent = info.tcpi_bytes_acked;
    return true;
}

/* What was delivered is read first: what is delivered from then on counts at the next check. */
static void look_at(void *context, int descriptor, const char *host, uint16_t port)
{
    struct unfinished *unfinished = context;
    unsigned long long came, sent;
    pthread_mutex_lock(&unfinished->lock);
    struct inflow *inflow = find(unfinished, host, port);
    if (!inflow)
        goto cleanup;
    unsigned long long delivered = atomic_exchange(&inflow->delivered, 0);
    if (!read_counts(descriptor, &came, &sent))
        goto cleanup;
    if (came < inflow->came) /* another connection from the same port */
        inflow->came = inflow->sent = inflow->held = 0;
    unsigned long long held = inflow->held + came - inflow->came;
    unsigned long long other =
        delivered + (sent - inflow->sent) / SENT_COST +
        (unsigned long long)unfinished->listener->options.stall_timeout_ms / CHECKS / PINGS_COST;
    inflow->held = held > other && !inflow->ended ? held - other : 0; /* what had ended is freed */
    inflow->ended = false;
    inflow->came = came;
    inflow->sent = sent;
    inflow->seen = unfinished->check;
cleanup:
    pthread_mutex_unlock(&unfinished->lock);
}

static void mark(struct inflow *inflow, unsigned check, int64_t now)
{
    inflow->mark = check;
    inflow->mark_at = now;
    inflow->mark_held = inflow->held;
}

/* Ends the streams that had no message after the check that followed `since`. Theirs is what C-core holds,
   and it is freed. */
static void end_streams(struct inflow *inflow, unsigned since, bool too_big)
{
    struct grpc_stream *stream;
    LIST_FOREACH(stream, &inflow->streams, link) {
        if (stream->heard_in <= since)
            muster__grpc_end_unfinished(stream, too_big);
    }
    inflow->held = 0;
}

/* `late`: the process stood still, and nothing could come. With the lock held. */
static void judge(struct unfinished *unfinished, struct inflow *inflow, int64_t now, bool late)
{
    unsigned check = unfinished->check;
    unsigned long long least = (unsigned long long)unfinished->listener->options.stall_timeout_ms * RATE_MIN;
    const struct grpc_stream *first = LIST_FIRST(&inflow->streams);
    bool silent =
        first && !LIST_NEXT(first, link) && first->heard_in <= check - 2; /* the only one, since the last */
    if (late || inflow->held <= SMALL || inflow->held >= inflow->mark_held + least ||
        inflow->held + least <= inflow->mark_held)
        mark(inflow, check, now);
    if (silent && inflow->held > unfinished->listener->max_message_size + ROOM)
        end_streams(inflow, check - 2, true);
    else if (now - inflow->mark_at >= unfinished->listener->options.stall_timeout_ms)
        end_streams(inflow, inflow->mark, false);
}

static void judge_all(struct unfinished *unfinished, int64_t now, bool late)
{
    for (size_t i = 0; i < INFLOW_BUCKETS; i++) {
        struct inflow *next;
        for (struct inflow *inflow = LIST_FIRST(&unfinished->inflows[i]); inflow; inflow = next) {
            next = LIST_NEXT(inflow, link);
            if (inflow->seen == unfinished->check) {
                judge(unfinished, inflow, now, late);
            } else if (LIST_EMPTY(&inflow->streams)) { /* the connection is gone */
                LIST_REMOVE(inflow, link);
                free(inflow);
                unfinished->count--;
            }
        }
    }
}

static void timer_expired(struct timer *timer);

/* With the lock held. */
static void start_timer(struct unfinished *unfinished)
{
    struct muster_transport *transport = &unfinished->listener->transport->base;
    muster__timer_start(
        transport, &unfinished->timer,
        muster__transport_after(transport, unfinished->listener->options.stall_timeout_ms / CHECKS),
        timer_expired);
}

static void timer_expired(struct timer *timer)
{
    struct unfinished *unfinished = CONTAINER(timer, struct unfinished, timer);
    int64_t now = muster__clock_now();
    int64_t interval = unfinished->listener->options.stall_timeout_ms / CHECKS;
    bool late = now - unfinished->checked_at > 2 * interval;
    unfinished->checked_at = now;
    unfinished->check++;
    muster__visit_accepted(unfinished->listener->port, look_at, unfinished);
    pthread_mutex_lock(&unfinished->lock);
    judge_all(unfinished, now, late);
    unfinished->timed = unfinished->count > 0 && !unfinished->closed;
    bool goes_on = unfinished->timed;
    if (goes_on)
        start_timer(unfinished);
    pthread_mutex_unlock(&unfinished->lock);
    if (!goes_on)
        muster__let_go(&unfinished->listener->holders);
}

void muster__grpc_unfinished_begun(struct unfinished *unfinished, struct grpc_stream *stream)
{
    char host[HOST_SIZE];
    uint16_t port;
    if (unfinished->listener->options.stall_timeout_ms == 0)
        return;
    char *peer = grpc_call_get_peer(stream->call);
    bool known = muster__split_peer(peer, host, &port);
    gpr_free(peer);
    if (!known)
        return;
    pthread_mutex_lock(&unfinished->lock);
    struct inflow *inflow = find(unfinished, host, port);
    if (!inflow && (inflow = inflow_new(host, port))) {
        unfinished->count++;
        mark(inflow, unfinished->check, muster__clock_now());
        LIST_INSERT_HEAD(&unfinished->inflows[port % INFLOW_BUCKETS], inflow, link);
    }
    if (inflow) {
        stream->inflow = inflow;
        stream->heard_in = unfinished->check - 1;
        LIST_INSERT_HEAD(&inflow->streams, stream, link);
    }
    if (inflow && !unfinished->timed && !unfinished->closed) {
        unfinished->timed = true;
        muster__hold_on(&unfinished->listener->holders);
        start_timer(unfinished);
    }
    pthread_mutex_unlock(&unfinished->lock);
}

void muster__grpc_unfinished_message(struct unfinished *unfinished, struct grpc_stream *stream, size_t size)
{
    if (!stream->inflow)
        return;
    stream->heard_in = unfinished->check;
    atomic_fetch_add(&stream->inflow->delivered, size + size / PARTS_COST + MESSAGE_COST);
}

void muster__grpc_unfinished_ended(struct unfinished *unfinished, struct grpc_stream *stream)
{
    if (!stream->inflow)
        return;
    pthread_mutex_lock(&unfinished->lock);
    LIST_REMOVE(stream, link);
    stream->inflow->ended = true;
    pthread_mutex_unlock(&unfinished->lock);
}

void muster__grpc_unfinished_init(struct unfinished *unfinished, struct grpc_listener *listener)
{
    unfinished->listener = listener;
    atomic_init(&unfinished->check, 2); /* two before it can be told apart */
    pthread_mutex_init(&unfinished->lock, NULL);
}

void muster__grpc_unfinished_close(struct unfinished *unfinished)
{
    pthread_mutex_lock(&unfinished->lock);
    unfinished->closed = true;
    bool stopped = muster__timer_stop(&unfinished->listener->transport->base, &unfinished->timer);
    pthread_mutex_unlock(&unfinished->lock);
    if (stopped)
        muster__let_go(&unfinished->listener->holders);
}

void muster__grpc_unfinished_destroy(struct unfinished *unfinished)
{
    for (size_t i = 0; i < INFLOW_BUCKETS; i++) {
        struct inflow *inflow;
        while ((inflow = LIST_FIRST(&unfinished->inflows[i]))) {
            LIST_REMOVE(inflow, link);
            free(inflow);
        }
    }
    pthread_mutex_destroy(&unfinished->lock);
}
