/*
 * The upload budget: how much of big answers is in memory at a time. An answer that is announced waits, for
 * next to nothing, until there is room for it; first come, first served. A sender that says nothing for a
 * while when others wait gives its place up and starts again later.
 *
 * uploads->lock is taken last of all, also under a proxy's; granting, which takes a proxy's lock, is done
 * without it. A ticket tells one request of a proxy from the next.
 */
#include <config.h>

#include "proxy/internal.h"
#include "wire/block.h"

/*
 * More than two answers of this size at once are not faster, and cost memory. A quick one has the network for
 * itself until it is there, and is worked on while the next one comes; beside one that has not come within
 * the time there is room for a second.
 */
#define BIG     ((uint64_t)16 << 20)
#define SLOW_MS 1000

/* Whoever lost its place for its silence may be silent for twice as long the next time, up to so many times
   upload_stall_ms: two that are slower than was thought do not take turns for ever. */
#define PATIENCE_MAX 16

#define LEAST_BUDGET ((uint64_t)64 << 20)

static void timer_expired(struct timer *timer);

static bool is_automatic(const struct uploads *uploads)
{
    return uploads->budget == 0;
}

/* Whether `size` bytes more may be in memory. With the lock held. */
static bool has_room(const struct uploads *uploads, uint64_t size)
{
    uint64_t budget = uploads->budget;
    if (is_automatic(uploads)) {
        uint64_t two = 2 * uploads->largest;
        budget = two > LEAST_BUDGET ? two : LEAST_BUDGET;
        if (size > BIG && uploads->holders > (uploads->room_for_second ? 1 : 0))
            return false;
    }
    uint64_t used = uploads->reserved + uploads->held;
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

/* With the lock held: a stalled sender matters only while others wait. */
static void watch(struct uploads *uploads)
{
    struct participant_manager *manager = CONTAINER(uploads, struct participant_manager, uploads);
    if (uploads->timed || uploads->waiting_count == 0 || ring_is_empty(&uploads->granted))
        return;
    uploads->timed = true;
    atomic_fetch_add(&manager->pending, 1);
    atomic_fetch_add(&manager->references, 1);
    muster__timer_start(manager->transport, &uploads->timer,
                        muster__transport_after(manager->transport, uploads->stall_ms), timer_expired);
}

/* Takes it out of either ring. With the lock held. */
static void leave_queue(struct uploads *uploads, struct upload *upload)
{
    struct participant_manager *manager = CONTAINER(uploads, struct participant_manager, uploads);
    ring_remove(&upload->link);
    if (!upload->ticket) {
        uploads->room_for_second = true; /* it is whole, or about to be freed */
        return;
    }
    upload->ticket = 0;
    if (--uploads->waiting_count > 0 || !uploads->timed ||
        !muster__timer_stop(manager->transport, &uploads->timer))
        return;
    /* Never the last, and never what a stop waits for last: the turn has not been told yet. */
    uploads->timed = false;
    atomic_fetch_sub(&manager->pending, 1);
    atomic_fetch_sub(&manager->references, 1);
}

void muster__uploads_init(struct uploads *uploads, uint64_t budget, int64_t stall_ms)
{
    pthread_mutex_init(&uploads->lock, NULL);
    uploads->budget = budget;
    uploads->stall_ms = stall_ms;
    ring_init(&uploads->waiting);
    ring_init(&uploads->granted);
}

void muster__uploads_destroy(struct uploads *uploads)
{
    pthread_mutex_destroy(&uploads->lock);
}

bool muster__uploads_reserve(struct uploads *uploads, uint64_t size)
{
    pthread_mutex_lock(&uploads->lock);
    note_size(uploads, size);
    bool room = uploads->waiting_count == 0 && has_room(uploads, size);
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

void muster__uploads_use(struct upload *upload, struct uploads *uploads, uint64_t reserved, uint64_t size,
                         int64_t now)
{
    pthread_mutex_lock(&uploads->lock);
    uploads->reserved -= reserved;
    uploads->held += size;
    upload->granted_at = now;
    upload->active_at = now;
    uploads->room_for_second = false;
    ring_append(&uploads->granted, &upload->link);
    watch(uploads);
    pthread_mutex_unlock(&uploads->lock);
}

uint64_t muster__uploads_wait(struct upload *upload, struct uploads *uploads, uint64_t size)
{
    pthread_mutex_lock(&uploads->lock);
    note_size(uploads, size);
    upload->size = size;
    uint64_t ticket = ++uploads->tickets;
    upload->ticket = ticket;
    ring_append(&uploads->waiting, &upload->link);
    uploads->waiting_count++;
    watch(uploads);
    pthread_mutex_unlock(&uploads->lock);
    return ticket;
}

void muster__uploads_active(struct upload *upload, struct uploads *uploads, int64_t now)
{
    pthread_mutex_lock(&uploads->lock);
    upload->active_at = now;
    uploads->room_for_second = uploads->room_for_second || now - upload->granted_at >= SLOW_MS;
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

/* Takes the first that waits and has room off the queue, with its room; NULL: none. One always has room. */
static struct proxy *take_next(struct uploads *uploads, uint64_t *ticket, uint64_t *size)
{
    struct proxy *proxy = NULL;
    pthread_mutex_lock(&uploads->lock);
    if (uploads->waiting_count) {
        struct upload *upload = CONTAINER(uploads->waiting.next, struct upload, link);
        if (uploads->held == 0 || has_room(uploads, upload->size)) {
            /* It is in the ring: its turn has not ended, and until then there is a reference. */
            proxy = proxy_retain(CONTAINER(upload, struct proxy, upload));
            *ticket = upload->ticket;
            *size = upload->size;
            leave_queue(uploads, upload);
            uploads->held += *size;
            uploads->holders++;
        }
    }
    pthread_mutex_unlock(&uploads->lock);
    return proxy;
}

void muster__uploads_serve(struct uploads *uploads)
{
    uint64_t ticket, size;
    struct proxy *proxy;
    while ((proxy = take_next(uploads, &ticket, &size))) {
        if (!muster__proxy_grant(proxy, ticket))
            muster__uploads_returned(uploads, size);
        proxy_release(proxy);
    }
}

/* One that was granted and has said nothing for too long; NULL: none. */
static struct proxy *take_stalled(struct uploads *uploads, int64_t now)
{
    struct proxy *proxy = NULL;
    pthread_mutex_lock(&uploads->lock);
    for (struct link *at = uploads->granted.next; !proxy && at != &uploads->granted; at = at->next) {
        struct upload *upload = CONTAINER(at, struct upload, link);
        unsigned patience = upload->patience ? upload->patience : 1;
        if ((now - upload->active_at) / patience < uploads->stall_ms)
            continue;
        upload->active_at = now; /* not again, whatever becomes of it */
        upload->patience = patience < PATIENCE_MAX ? 2 * patience : patience;
        proxy = proxy_retain(CONTAINER(upload, struct proxy, upload));
    }
    pthread_mutex_unlock(&uploads->lock);
    return proxy;
}

static void timer_expired(struct timer *timer)
{
    struct uploads *uploads = CONTAINER(timer, struct uploads, timer);
    struct participant_manager *manager = CONTAINER(uploads, struct participant_manager, uploads);
    int64_t now = manager->transport->ops->now(manager->transport);
    struct proxy *proxy;
    pthread_mutex_lock(&uploads->lock);
    bool others_wait = uploads->waiting_count > 0;
    pthread_mutex_unlock(&uploads->lock);
    while (others_wait && (proxy = take_stalled(uploads, now))) {
        muster__proxy_pass_over(proxy);
        proxy_release(proxy);
    }
    muster__uploads_serve(uploads);
    pthread_mutex_lock(&uploads->lock);
    uploads->timed = false;
    watch(uploads);
    pthread_mutex_unlock(&uploads->lock);
    muster__manager_done(manager);
    muster__manager_release(manager);
}
