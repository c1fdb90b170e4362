/*
 * The upload budget: how much of big answers is in memory at a time. An answer that is announced waits, for
 * next to nothing, until there is room for it; first come, first served. While others wait, each has about
 * the time that answers usually take. Who needs longer is put aside: one such answer comes beside the budget,
 * and the others start again after everybody else.
 *
 * uploads->lock is taken last of all, also under a proxy's; granting, which takes a proxy's lock, is done
 * without it. A ticket tells one request of a proxy from the next.
 */
#include <config.h>

#include "proxy/internal.h"
#include "wire/block.h"

/* More than two answers of this size at once are not faster, and cost memory. One has the network for itself
   until it is there, and is worked on while the next one comes. */
#define BIG ((uint64_t)16 << 20)

/* The time that an answer has while others wait: twice the usual, and at least so long. */
#define TIME_LEAST_MS 100

/* Those that were too slow have twice the time whenever they start again beside others of their kind, up to
   so many times: each comes through some day. */
#define PATIENCE_MAX 65536

/* Progress is bytes in time: less than this, per millisecond over stall_ms, counts as silence. */
#define FLOOR_PER_MS 16

#define STALL_MOST_MS (INT64_MAX / (4 * FLOOR_PER_MS))

#define LEAST_BUDGET ((uint64_t)64 << 20)

static void timer_expired(struct timer *timer);

static struct participant_manager *manager_of(struct uploads *uploads)
{
    return CONTAINER(uploads, struct participant_manager, uploads);
}

static bool is_automatic(const struct uploads *uploads)
{
    return uploads->budget == 0;
}

/* ---- room; with the lock held ---- */

static uint64_t aside_size(const struct uploads *uploads)
{
    return uploads->aside ? uploads->aside->size : 0;
}

/* Two big ones at a time, also where one of them is aside: what comes beside the budget is not a third. */
static bool is_crowded(const struct uploads *uploads, uint64_t size)
{
    size_t most = uploads->room_for_second || uploads->aside ? 1 : 0;
    return is_automatic(uploads) && size > BIG && uploads->holders > most;
}

/* Whether `size` bytes more may be in memory. */
static bool has_room(const struct uploads *uploads, uint64_t size)
{
    uint64_t budget = uploads->budget;
    if (is_crowded(uploads, size))
        return false;
    if (is_automatic(uploads)) {
        uint64_t two = 2 * uploads->largest;
        budget = two > LEAST_BUDGET ? two : LEAST_BUDGET;
    }
    uint64_t used = uploads->reserved + uploads->held - aside_size(uploads);
    return used <= budget && size <= budget - used;
}

static void note_size(struct uploads *uploads, uint64_t size)
{
    if (uploads->holders == 0 && uploads->waiting_count == 0) { /* what was before is over */
        uploads->largest = 0;
        uploads->room_for_second = false;
    }
    if (size > uploads->largest)
        uploads->largest = size < UINT64_MAX / 4 ? size : UINT64_MAX / 4;
}

/* ---- who is to make way, and when; with the lock held ---- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static unsigned patience_of(const struct upload *upload)
{
    return upload->patience ? upload->patience : 1;
}

/* When an answer that is arriving is to make way for those who wait now. */
static int64_t due_of(const struct uploads *uploads, const struct upload *upload)
{
    int64_t due = INT64_MAX;
    int64_t time_ms = later(2 * uploads->usual_ms, TIME_LEAST_MS);
    if (!ring_is_empty(&uploads->late))
        due = upload->late ? upload->timed_from + time_ms * patience_of(upload)
                           : upload->active_at + uploads->stall_ms;
    if (ring_is_empty(&uploads->waiting) || uploads->aside == upload)
        return due;
    if (upload->late)
        return upload->timed_from;
    /* One at a time: where all are slow for the same reason, only what is needed is given up. */
    return earlier(due, later(upload->timed_from, uploads->displaced_at) + time_ms);
}

/* How long an answer would still take if it went on as it did; to compare. */
static double left_ms(const struct upload *upload, int64_t now)
{
    return (double)(upload->size - upload->received) * (double)(now - upload->granted_at + 1) /
           ((double)upload->received + 1);
}

/* Of those that are due, the one that would take longest. */
static struct upload *find_due(struct uploads *uploads, int64_t now)
{
    struct upload *found = NULL;
    for (struct link *at = uploads->granted.next; at != &uploads->granted; at = at->next) {
        struct upload *upload = CONTAINER(at, struct upload, link);
        if (due_of(uploads, upload) <= now && (!found || left_ms(upload, now) > left_ms(found, now)))
            found = upload;
    }
    return found;
}

static void release_timer(struct uploads *uploads)
{
    struct participant_manager *manager = manager_of(uploads);
    uploads->timed = false;
    muster__drain_done(&manager->drain); /* never the last: a turn is still to be told */
}

/* Lets the timer run until the first is due. One that runs until then, or rings sooner, is left alone. */
static void watch(struct uploads *uploads)
{
    struct participant_manager *manager = manager_of(uploads);
    int64_t due = INT64_MAX;
    for (struct link *at = uploads->granted.next; at != &uploads->granted; at = at->next)
        due = earlier(due, due_of(uploads, CONTAINER(at, struct upload, link)));
    if (due == INT64_MAX || (uploads->timed && uploads->rings_at <= due))
        return;
    if (uploads->timed && !muster__timer_stop(manager->transport, &uploads->timer))
        return; /* it rings just now, and looks again */
    if (uploads->timed)
        release_timer(uploads);
    uploads->timed = true;
    uploads->rings_at = due;
    muster__drain_add(&manager->drain);
    muster__timer_start(manager->transport, &uploads->timer, due, timer_expired);
}

/* Takes it out of any ring. With the lock held. */
static void leave_queue(struct uploads *uploads, struct upload *upload)
{
    ring_remove(&upload->link);
    if (uploads->aside == upload)
        uploads->aside = NULL;
    if (!upload->ticket) {
        uploads->room_for_second = true; /* it is whole, or about to be freed */
        return;
    }
    upload->ticket = 0;
    if (--uploads->waiting_count == 0 && uploads->timed &&
        muster__timer_stop(manager_of(uploads)->transport, &uploads->timer))
        release_timer(uploads);
}

/* ---- what a proxy tells ---- */

void muster__uploads_init(struct uploads *uploads, uint64_t budget, int64_t stall_ms)
{
    pthread_mutex_init(&uploads->lock, NULL);
    uploads->budget = budget;
    uploads->stall_ms = stall_ms < STALL_MOST_MS ? stall_ms : STALL_MOST_MS;
    uploads->usual_ms = TIME_LEAST_MS / 2;
    ring_init(&uploads->waiting);
    ring_init(&uploads->late);
    ring_init(&uploads->granted);
}

void muster__uploads_destroy(struct uploads *uploads)
{
    pthread_mutex_destroy(&uploads->lock);
}

bool muster__uploads_reserve(struct upload *upload, struct uploads *uploads, uint64_t size)
{
    pthread_mutex_lock(&uploads->lock);
    note_size(uploads, size);
    bool room = !upload->late && uploads->waiting_count == 0 && has_room(uploads, size);
    if (room) {
        uploads->reserved += size;
        uploads->holders++;
    }
    pthread_mutex_unlock(&uploads->lock);
    return room;
}

void muster__uploads_unreserve(struct uploads *uploads, uint64_t size)
{
    pthread_mutex_lock(&uploads->lock);
    uploads->reserved -= size;
    uploads->holders--;
    pthread_mutex_unlock(&uploads->lock);
}

/* With the lock held. */
static void begin(struct upload *upload, struct uploads *uploads, int64_t now)
{
    upload->granted_at = now;
    upload->timed_from = now;
    upload->active_at = now;
    upload->received = 0;
    upload->noted = 0;
    uploads->room_for_second = false;
    ring_append(&uploads->granted, &upload->link);
}

void muster__uploads_use(struct upload *upload, struct uploads *uploads, uint64_t reserved, uint64_t size,
                         int64_t now)
{
    pthread_mutex_lock(&uploads->lock);
    uploads->reserved -= reserved;
    uploads->held += size;
    upload->size = size;
    begin(upload, uploads, now);
    pthread_mutex_unlock(&uploads->lock);
}

void muster__uploads_granted(struct upload *upload, struct uploads *uploads, int64_t now)
{
    pthread_mutex_lock(&uploads->lock);
    begin(upload, uploads, now);
    pthread_mutex_unlock(&uploads->lock);
}

/* Before those who seem to need longer. With the lock held. */
static void insert_late(struct uploads *uploads, struct upload *upload)
{
    struct link *at = uploads->late.next;
    while (at != &uploads->late && CONTAINER(at, struct upload, link)->late_ms <= upload->late_ms)
        at = at->next;
    ring_append(at, &upload->link);
}

uint64_t muster__uploads_wait(struct upload *upload, struct uploads *uploads, uint64_t size)
{
    pthread_mutex_lock(&uploads->lock);
    note_size(uploads, size);
    upload->size = size;
    uint64_t ticket = ++uploads->tickets;
    upload->ticket = ticket;
    if (upload->late)
        insert_late(uploads, upload);
    else
        ring_append(&uploads->waiting, &upload->link);
    uploads->waiting_count++;
    pthread_mutex_unlock(&uploads->lock);
    return ticket;
}

void muster__uploads_active(struct upload *upload, struct uploads *uploads, uint64_t received, int64_t now)
{
    pthread_mutex_lock(&uploads->lock);
    upload->received = received;
    if (received - upload->noted >= (uint64_t)uploads->stall_ms * FLOOR_PER_MS) {
        upload->noted = received;
        upload->active_at = now;
    }
    pthread_mutex_unlock(&uploads->lock);
}

/* Half of them take longer than a median, and each moves it by a factor of two at most: a few cannot. */
static void note_time(struct uploads *uploads, int64_t took_ms)
{
    int64_t usual_ms = uploads->usual_ms;
    uploads->usual_ms = took_ms > usual_ms ? earlier(took_ms, 2 * usual_ms)
                                           : later(later(took_ms, usual_ms / 2), TIME_LEAST_MS / 2);
}

void muster__uploads_whole(struct upload *upload, struct uploads *uploads, int64_t now)
{
    pthread_mutex_lock(&uploads->lock);
    note_time(uploads, now - upload->granted_at);
    upload->late = false;
    upload->patience /= 2;
    pthread_mutex_unlock(&uploads->lock);
}

void muster__uploads_leave(struct upload *upload, struct uploads *uploads)
{
    pthread_mutex_lock(&uploads->lock);
    leave_queue(uploads, upload);
    pthread_mutex_unlock(&uploads->lock);
}

void muster__uploads_returned(void *context, uint64_t size)
{
    struct uploads *uploads = context;
    pthread_mutex_lock(&uploads->lock);
    uploads->held -= size;
    uploads->holders--;
    bool idle = uploads->holders == 0 && uploads->waiting_count == 0;
    pthread_mutex_unlock(&uploads->lock);
    if (idle)
        muster__block_trim();
}

/* ---- serving those who wait ---- */

static struct upload *first_of(struct link *ring)
{
    return ring_is_empty(ring) ? NULL : CONTAINER(ring->next, struct upload, link);
}

/* The next to be granted; NULL: there is no room. One always has. With the lock held. */
static struct upload *next_with_room(struct uploads *uploads)
{
    struct upload *late = first_of(&uploads->late);
    struct upload *first = first_of(&uploads->waiting);
    if (late && !uploads->aside && !is_crowded(uploads, late->size))
        return uploads->aside = late;
    if (!first)
        first = late;
    bool alone = uploads->held == aside_size(uploads);
    return first && (alone || has_room(uploads, first->size)) ? first : NULL;
}

/* Takes the next off the queue, with its room; NULL: none. */
static struct proxy *take_next(struct uploads *uploads, uint64_t *ticket, uint64_t *size)
{
    struct proxy *proxy = NULL;
    pthread_mutex_lock(&uploads->lock);
    struct upload *upload = next_with_room(uploads);
    if (upload) {
        bool is_aside = uploads->aside == upload;
        /* It is in the ring: its turn has not ended, and until then there is a reference. */
        proxy = proxy_retain(CONTAINER(upload, struct proxy, upload));
        *ticket = upload->ticket;
        *size = upload->size;
        leave_queue(uploads, upload);
        if (is_aside)
            uploads->aside = upload;
        uploads->held += *size;
        uploads->holders++;
    }
    pthread_mutex_unlock(&uploads->lock);
    return proxy;
}

/* Its turn has ended meanwhile. */
static void take_back(struct uploads *uploads, struct upload *upload, uint64_t size)
{
    pthread_mutex_lock(&uploads->lock);
    if (uploads->aside == upload)
        uploads->aside = NULL;
    pthread_mutex_unlock(&uploads->lock);
    muster__uploads_returned(uploads, size);
}

/*
 * One that is due makes way. The first is only put aside, and goes on. Of two, the one that would be there
 * sooner stays; the other, a reference, is to be passed over. With the lock held.
 */
static struct proxy *displace(struct uploads *uploads, struct upload *due, int64_t now)
{
    bool for_others = uploads->aside != due && !ring_is_empty(&uploads->waiting);
    struct upload *loser = due;
    if (!due->late)
        uploads->displaced_at = now;
    due->late = true;
    if (for_others && (!uploads->aside || left_ms(due, now) < left_ms(uploads->aside, now))) {
        loser = uploads->aside;
        uploads->aside = due;
    }
    if (for_others)
        uploads->aside->timed_from = now; /* not for the loser at once */
    if (!loser)
        return NULL;
    /* The longer it takes, the later it comes; who was late already has more time then. */
    loser->late_ms = left_ms(loser, now) * patience_of(loser);
    if (!for_others && patience_of(loser) < PATIENCE_MAX)
        loser->patience = 2 * patience_of(loser);
    return proxy_retain(CONTAINER(loser, struct proxy, upload));
}

/* False: nobody is due. *loser, a reference, is to be passed over; NULL: nobody. */
static bool make_way(struct uploads *uploads, struct proxy **loser)
{
    struct muster_transport *transport = manager_of(uploads)->transport;
    struct upload *due = NULL;
    *loser = NULL;
    pthread_mutex_lock(&uploads->lock);
    if (uploads->waiting_count > 0) {
        int64_t now = transport->ops->now(transport);
        due = find_due(uploads, now);
        if (due)
            *loser = displace(uploads, due, now);
        else
            watch(uploads);
    }
    pthread_mutex_unlock(&uploads->lock);
    return due;
}

void muster__uploads_serve(struct uploads *uploads)
{
    uint64_t ticket, size;
    struct proxy *proxy;
    bool goes_on = true;
    while (goes_on) {
        if ((proxy = take_next(uploads, &ticket, &size))) {
            if (!muster__proxy_grant(proxy, ticket))
                take_back(uploads, &proxy->upload, size);
        } else {
            goes_on = make_way(uploads, &proxy);
            if (proxy)
                muster__proxy_pass_over(proxy);
        }
        proxy_release(proxy);
    }
}

static void timer_expired(struct timer *timer)
{
    struct uploads *uploads = CONTAINER(timer, struct uploads, timer);
    struct participant_manager *manager = manager_of(uploads);
    pthread_mutex_lock(&uploads->lock);
    uploads->timed = false;
    pthread_mutex_unlock(&uploads->lock);
    muster__uploads_serve(uploads);
    muster__drain_done(&manager->drain);
}
