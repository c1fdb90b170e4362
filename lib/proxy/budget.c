/* The upload budget. The numbers are those of the rules in budget.h. */
#include <config.h>

#include "proxy/budget.h"
#include "wire/wire.h"

/* More than two answers of this size at once are not faster, and cost memory. One has the network for itself
   until it is there, and is worked on while the next one comes. */
#define BIG ((uint64_t)16 << 20)

#define SLOT_LEAST_MS 100

#define PATIENCE_MAX 65536

/* Progress is bytes in time: less than this, per millisecond over stall_ms, counts as standing still. */
#define FLOOR_PER_MS 16

#define STALL_MOST_MS (INT64_MAX / (4 * FLOOR_PER_MS))

#define LEAST_BUDGET ((uint64_t)64 << 20)

static void timer_expired(struct timer *timer);

static bool is_automatic(const struct budget *budget)
{
    return budget->bytes == 0;
}

static struct claim *claim_of(struct link *link)
{
    return CONTAINER(link, struct claim, link);
}

/* ---- room; with the lock held ---- */

static uint64_t aside_size(const struct budget *budget)
{
    return budget->aside ? budget->aside->size : 0;
}

/* Two big ones at a time, one that is aside included: there is no third. */
static bool is_crowded(const struct budget *budget, uint64_t size)
{
    size_t most = budget->room_for_second || budget->aside ? 1 : 0;
    return is_automatic(budget) && size > BIG && budget->holders > most;
}

/* Whether `size` bytes more may be in memory. */
static bool has_room(const struct budget *budget, uint64_t size)
{
    uint64_t bytes = budget->bytes;
    if (is_crowded(budget, size))
        return false;
    if (is_automatic(budget)) {
        uint64_t two = 2 * budget->largest;
        bytes = two > LEAST_BUDGET ? two : LEAST_BUDGET;
    }
    uint64_t used = budget->reserved + budget->held - aside_size(budget);
    return used <= bytes && size <= bytes - used;
}

static void note_size(struct budget *budget, uint64_t size)
{
    if (budget->holders == 0 && budget->waiting_count == 0) { /* what was before is over */
        budget->largest = 0;
        budget->room_for_second = false;
    }
    if (size > budget->largest)
        budget->largest = size < UINT64_MAX / 4 ? size : UINT64_MAX / 4;
}

static void take_room(struct budget *budget, uint64_t size)
{
    budget->held += size;
    budget->holders++;
}

/* ---- when one that arrives is due to make way; with the lock held ---- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* 2. */
static int64_t slot_ms(const struct budget *budget)
{
    return later(2 * budget->usual_ms, SLOT_LEAST_MS);
}

static unsigned patience_of(const struct claim *claim)
{
    return claim->patience ? claim->patience : 1;
}

/* Whether an answer in time waits for which it could make way: the one that is aside is in nobody's. */
static bool is_in_the_way(const struct budget *budget, const struct claim *claim)
{
    return !ring_is_empty(&budget->waiting) && budget->aside != claim;
}

/* When one that arrives has to make way; INT64_MAX: for nobody yet. */
static int64_t due_of(const struct budget *budget, const struct claim *claim)
{
    int64_t due = INT64_MAX;
    if (is_in_the_way(budget, claim)) {
        /* 5, and 3: where all are slow for the same reason, only what is needed is given up. */
        due = claim->late ? claim->timed_from
                          : later(claim->timed_from, budget->displaced_at) + slot_ms(budget);
    }
    if (!ring_is_empty(&budget->late)) {
        /* 6, and 7. */
        due = earlier(due, claim->late ? claim->timed_from + slot_ms(budget) * patience_of(claim)
                                       : claim->active_at + budget->stall_ms);
    }
    return due;
}

/* How long an answer would still take if it went on as it did; to compare. */
static double left_ms(const struct claim *claim, int64_t now)
{
    return (double)(claim->size - claim->received) * (double)(now - claim->granted_at + 1) /
           ((double)claim->received + 1);
}

/* 8: of those that are due, the one that would take longest. */
static struct claim *find_due(struct budget *budget, int64_t now)
{
    struct claim *found = NULL;
    for (struct link *at = budget->granted.next; at != &budget->granted; at = at->next) {
        struct claim *claim = claim_of(at);
        if (due_of(budget, claim) <= now && (!found || left_ms(claim, now) > left_ms(found, now)))
            found = claim;
    }
    return found;
}

/* ---- the timer for the first that is due; with the lock held ---- */

static void release_timer(struct budget *budget)
{
    budget->timed = false;
    muster__drain_done(budget->drain); /* never the last: a turn is still to be told */
}

/* Lets the timer run until the first is due. One that runs until then, or rings sooner, is left alone. */
static void watch(struct budget *budget)
{
    int64_t due = INT64_MAX;
    for (struct link *at = budget->granted.next; at != &budget->granted; at = at->next)
        due = earlier(due, due_of(budget, claim_of(at)));
    if (due == INT64_MAX || (budget->timed && budget->rings_at <= due))
        return;
    if (budget->timed && !muster__timer_stop(budget->transport, &budget->timer))
        return; /* it rings just now, and looks again */
    if (!budget->timed)
        muster__drain_add(budget->drain);
    budget->timed = true;
    budget->rings_at = due;
    muster__timer_start(budget->transport, &budget->timer, due, timer_expired);
}

/* Takes it out of the ring that it is in. With the lock held. */
static void leave_queue(struct budget *budget, struct claim *claim)
{
    if (ring_is_empty(&claim->link))
        return;
    ring_remove(&claim->link);
    if (budget->aside == claim)
        budget->aside = NULL;
    if (!claim->ticket) {
        budget->room_for_second = true; /* it is whole, or about to be freed */
        return;
    }
    claim->ticket = 0;
    if (--budget->waiting_count == 0 && budget->timed &&
        muster__timer_stop(budget->transport, &budget->timer))
        release_timer(budget); /* 1. */
}

/* ---- what a claim's owner tells ---- */

void muster__budget_init(struct budget *budget, uint64_t bytes, int64_t stall_ms,
                         struct muster_transport *transport, struct drain *drain)
{
    pthread_mutex_init(&budget->lock, NULL);
    budget->bytes = bytes;
    budget->stall_ms = earlier(stall_ms, STALL_MOST_MS);
    budget->transport = transport;
    budget->drain = drain;
    budget->usual_ms = SLOT_LEAST_MS / 2;
    ring_init(&budget->waiting);
    ring_init(&budget->late);
    ring_init(&budget->granted);
}

void muster__budget_destroy(struct budget *budget)
{
    pthread_mutex_destroy(&budget->lock);
}

void muster__claim_init(struct claim *claim, struct budget *budget, const struct claim_events *events)
{
    claim->budget = budget;
    claim->events = events;
    ring_init(&claim->link);
}

bool muster__claim_reserve(struct claim *claim, uint64_t size)
{
    struct budget *budget = claim->budget;
    pthread_mutex_lock(&budget->lock);
    note_size(budget, size);
    bool room = !claim->late && budget->waiting_count == 0 && has_room(budget, size);
    if (room) {
        claim->used = true;
        claim->reserved = size;
        budget->reserved += size;
        budget->holders++;
    }
    pthread_mutex_unlock(&budget->lock);
    return room;
}

bool muster__claim_is_kept(struct claim *claim, uint64_t size)
{
    struct budget *budget = claim->budget;
    pthread_mutex_lock(&budget->lock);
    bool full = is_automatic(budget) && size > BIG && budget->holders > 2; /* this one is among them */
    bool kept = size <= claim->reserved && !full;
    pthread_mutex_unlock(&budget->lock);
    return kept;
}

/* The promise is kept, or not needed. With the lock held. */
static void unreserve(struct claim *claim)
{
    if (claim->reserved) {
        claim->budget->reserved -= claim->reserved;
        claim->budget->holders--;
    }
    claim->reserved = 0;
}

void muster__claim_begin(struct claim *claim, uint64_t size, int64_t now)
{
    struct budget *budget = claim->budget;
    pthread_mutex_lock(&budget->lock);
    if (claim->reserved) {
        unreserve(claim);
        take_room(budget, size);
    }
    claim->used = true;
    claim->size = size;
    claim->granted_at = claim->timed_from = claim->active_at = now;
    claim->received = claim->noted = 0;
    budget->room_for_second = false;
    ring_append(&budget->granted, &claim->link);
    pthread_mutex_unlock(&budget->lock);
}

/* 4: before those that seem to need longer. With the lock held. */
static void insert_late(struct budget *budget, struct claim *claim)
{
    struct link *at = budget->late.next;
    while (at != &budget->late && claim_of(at)->late_ms <= claim->late_ms)
        at = at->next;
    ring_append(at, &claim->link);
}

uint64_t muster__claim_wait(struct claim *claim, uint64_t size)
{
    struct budget *budget = claim->budget;
    pthread_mutex_lock(&budget->lock);
    unreserve(claim);
    note_size(budget, size);
    claim->used = true;
    claim->size = size;
    uint64_t ticket = ++budget->tickets;
    claim->ticket = ticket;
    if (claim->late)
        insert_late(budget, claim);
    else
        ring_append(&budget->waiting, &claim->link);
    budget->waiting_count++;
    pthread_mutex_unlock(&budget->lock);
    return ticket;
}

void muster__claim_received(struct claim *claim, uint64_t received, int64_t now)
{
    struct budget *budget = claim->budget;
    pthread_mutex_lock(&budget->lock);
    claim->received = received;
    if (received - claim->noted >= (uint64_t)budget->stall_ms * FLOOR_PER_MS) {
        claim->noted = received;
        claim->active_at = now;
    }
    pthread_mutex_unlock(&budget->lock);
}

/* Half of them take longer than a median, and each moves it by a factor of two at most: a few cannot. */
static void note_time(struct budget *budget, int64_t took_ms)
{
    int64_t usual_ms = budget->usual_ms;
    budget->usual_ms = took_ms > usual_ms ? earlier(took_ms, 2 * usual_ms)
                                          : later(later(took_ms, usual_ms / 2), SLOT_LEAST_MS / 2);
}

void muster__claim_whole(struct claim *claim, int64_t now)
{
    pthread_mutex_lock(&claim->budget->lock);
    note_time(claim->budget, now - claim->granted_at);
    claim->late = false;
    claim->patience /= 2;
    pthread_mutex_unlock(&claim->budget->lock);
}

void muster__claim_leave(struct claim *claim)
{
    if (!claim->used) /* as of all small answers: the lock is one for all of them */
        return;
    claim->used = false;
    pthread_mutex_lock(&claim->budget->lock);
    unreserve(claim);
    leave_queue(claim->budget, claim);
    pthread_mutex_unlock(&claim->budget->lock);
}

void muster__budget_returned(void *context, uint64_t size)
{
    struct budget *budget = context;
    pthread_mutex_lock(&budget->lock);
    budget->held -= size;
    budget->holders--;
    bool idle = budget->holders == 0 && budget->waiting_count == 0;
    pthread_mutex_unlock(&budget->lock);
    if (idle)
        muster__block_trim();
}

void muster__budget_read(struct budget *budget, struct participant_manager_statistics *statistics)
{
    pthread_mutex_lock(&budget->lock);
    statistics->uploads_waiting = budget->waiting_count;
    for (struct link *at = budget->granted.next; at != &budget->granted; at = at->next)
        statistics->uploads_granted++;
    statistics->upload_bytes = budget->held + budget->reserved;
    pthread_mutex_unlock(&budget->lock);
}

/* ---- serving those who wait ---- */

static struct claim *first_of(struct link *ring)
{
    return ring_is_empty(ring) ? NULL : claim_of(ring->next);
}

/* Takes the next that there is room for off the queue, retained, with its room; NULL: none. */
static struct claim *take_next(struct budget *budget, uint64_t *ticket, uint64_t *size)
{
    pthread_mutex_lock(&budget->lock);
    struct claim *first = first_of(&budget->waiting), *late = first_of(&budget->late);
    bool comes_aside = late && !budget->aside && !is_crowded(budget, late->size); /* 5. */
    struct claim *claim = first && !comes_aside ? first : late;
    bool alone = budget->held == aside_size(budget); /* one always has room */
    if (claim && !comes_aside && !alone && !has_room(budget, claim->size))
        claim = NULL;
    if (claim) {
        claim->events->retain(claim);
        *ticket = claim->ticket;
        *size = claim->size;
        leave_queue(budget, claim);
        if (comes_aside)
            budget->aside = claim;
        take_room(budget, *size);
    }
    pthread_mutex_unlock(&budget->lock);
    return claim;
}

/* Its turn has ended meanwhile. */
static void take_back(struct budget *budget, struct claim *claim, uint64_t size)
{
    pthread_mutex_lock(&budget->lock);
    if (budget->aside == claim)
        budget->aside = NULL;
    pthread_mutex_unlock(&budget->lock);
    muster__budget_returned(budget, size);
}

/* 5: of two, the one that will be whole sooner is aside, with a slot from now on. Returns the other, if there
   is one. With the lock held. */
static struct claim *put_aside(struct budget *budget, struct claim *claim, int64_t now)
{
    struct claim *other = claim;
    if (!budget->aside || left_ms(claim, now) < left_ms(budget->aside, now)) {
        other = budget->aside;
        budget->aside = claim;
    }
    budget->aside->timed_from = now;
    return other;
}

/* The one that is due makes way. Returns the one that is to be passed over for that, retained; NULL: none.
   With the lock held. */
static struct claim *displace(struct budget *budget, struct claim *due, int64_t now)
{
    bool for_one_in_time = is_in_the_way(budget, due);
    if (!due->late)
        budget->displaced_at = now;
    due->late = true;
    struct claim *loser = for_one_in_time ? put_aside(budget, due, now) : due;
    if (!loser)
        return NULL;
    loser->late_ms = left_ms(loser, now) * patience_of(loser);
    if (!for_one_in_time && patience_of(due) < PATIENCE_MAX) /* 6. */
        due->patience = 2 * patience_of(due);
    loser->events->retain(loser);
    return loser;
}

/* False: nobody is due. *loser, retained, is to be passed over; NULL: nobody. */
static bool make_way(struct budget *budget, struct claim **loser)
{
    struct claim *due = NULL;
    *loser = NULL;
    pthread_mutex_lock(&budget->lock);
    if (budget->waiting_count > 0) {
        int64_t now = budget->transport->ops->now(budget->transport);
        due = find_due(budget, now);
        if (due)
            *loser = displace(budget, due, now);
        else
            watch(budget);
    }
    pthread_mutex_unlock(&budget->lock);
    return due;
}

void muster__budget_serve(struct budget *budget)
{
    uint64_t ticket, size;
    struct claim *claim;
    bool goes_on = budget->waiting_count > 0; /* or who waits next looks for room */
    while (goes_on) {
        if ((claim = take_next(budget, &ticket, &size))) {
            if (!claim->events->grant(claim, ticket))
                take_back(budget, claim, size);
        } else {
            goes_on = make_way(budget, &claim);
            if (claim)
                claim->events->pass_over(claim);
        }
        if (claim)
            claim->events->release(claim);
    }
}

void muster__budget_freed(void *budget, uint64_t size)
{
    muster__budget_returned(budget, size);
    muster__budget_serve(budget);
}

static void timer_expired(struct timer *timer)
{
    struct budget *budget = CONTAINER(timer, struct budget, timer);
    pthread_mutex_lock(&budget->lock);
    budget->timed = false;
    pthread_mutex_unlock(&budget->lock);
    muster__budget_serve(budget);
    muster__drain_done(budget->drain);
}
