/*
 * The upload budget: how much of big answers is in memory at a time. An answer that is announced waits, for
 * next to nothing, until there is room for it: first come, first served.
 *
 * Who makes way, and when:
 * 1. Nobody makes way while nobody waits.
 * 2. A slot is twice the time that answers usually take, and at least 100 ms.
 * 3. While an answer in time waits, one that arrives has one slot from its grant. One makes way at a time:
 *    after each, the others have one slot more.
 * 4. An answer is late from when it had to make way until an answer of its participant is whole. Late ones
 *    come after all others, those first that seem to need the least time.
 * 5. One late answer comes aside: the budget does not count it. No other late one comes while an answer in
 *    time waits: of two, the one stays aside that will be whole sooner, with a slot of its own, and the other
 *    is passed over.
 * 6. While a late answer waits, another late one has so many slots as its patience. Then it is passed over,
 *    and its patience doubles; it halves with each answer that is whole. So each comes through some day.
 * 7. For late ones an answer in time makes way only when it stands still.
 * 8. Who is passed over starts again from its first byte. Of several that are due, the one makes way that
 *    would take longest.
 *
 * Its lock is taken under others', and under it the timers' and the drain's alone. The events of claims but
 * retain() are called without it. All functions but init, destroy and serve may be called under any lock.
 */
#ifndef MUSTER_PROXY_BUDGET_H
#define MUSTER_PROXY_BUDGET_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <muster/statistics.h>

#include "network/transport.h"
#include "proxy/drain.h"
#include "proxy/ring.h"

struct budget {
    uint64_t bytes; /* 0: as much as the round needs */
    int64_t stall_ms;
    struct muster_transport *transport;
    struct drain *drain;

    pthread_mutex_t lock; /* guards all below */
    uint64_t reserved;    /* promised to answers that have not been announced */
    uint64_t held;        /* granted, or whole and not handed to the user yet */
    size_t holders;       /* of either */
    uint64_t largest;     /* of the answers since nobody held or waited */
    bool room_for_second; /* beside one big answer: it has come */
    uint64_t tickets;
    atomic_size_t waiting_count; /* in the next two; read without the lock by who would serve them */
    struct link waiting;         /* claims that are announced, in that order */
    struct link late;            /* those of participants that were too slow: after all others */
    struct link granted;         /* those that are being received */
    struct claim *aside;         /* the one of them that does not count, as it was too slow; NULL: none */
    int64_t usual_ms;            /* that an answer takes from its grant until it is whole: a running median */
    int64_t displaced_at;        /* when the last had to make way in its usual time */
    bool timed;                  /* the timer runs, and is pending in the drain */
    int64_t rings_at;
    struct timer timer;
};

/* What a claim's owner does for the budget. */
struct claim_events {
    /* Lets the announced answer come: muster__claim_begin(). False: it is not wanted any more; `ticket`
       tells one request of a claim from the next. */
    bool (*grant)(struct claim *claim, uint64_t ticket);
    /* It is too slow: what came is dropped, muster__claim_leave(), and it waits anew. */
    void (*pass_over)(struct claim *claim);
    /* Keep the owner while one of the above is called. retain() is called under the budget's lock, and only
       for a claim that waits or arrives. */
    void (*retain)(struct claim *claim);
    void (*release)(struct claim *claim);
};

/* A participant's claim on the budget, for one answer after the other. */
struct claim {
    struct budget *budget;
    const struct claim_events *events;
    uint64_t
        reserved; /* promised to an answer that was not announced yet; guarded by its owner, as the next */
    bool used;    /* it may be in the budget, in one way or the other */

    struct link link; /* in one of the budget's, or alone; guarded by budget->lock, as are all below */
    uint64_t ticket;  /* not 0: it waits */
    uint64_t size;    /* announced */
    uint64_t received;
    uint64_t noted; /* of that, at active_at */
    int64_t granted_at;
    int64_t timed_from; /* that its time counts from: it was granted, or put aside */
    int64_t active_at;  /* when as much as counts as progress had come since the time before */
    bool late;          /* the participant was too slow, and has delivered no answer since */
    double late_ms;     /* how long it seemed to need: its place among those */
    unsigned patience;  /* slots that it has beside others of those; 0: one */
};

/* Of memory that was zero. Transport and drain are needed once somebody waits. */
void muster__budget_init(struct budget *budget, uint64_t bytes, int64_t stall_ms,
                         struct muster_transport *transport, struct drain *drain);
void muster__budget_destroy(struct budget *budget);

/* Room that has come back: that of an answer's memory. */
void muster__budget_returned(void *budget, uint64_t size);
/* The same, and grants what there is room for: not under a lock. */
void muster__budget_freed(void *budget, uint64_t size);

/* Reads how much of it is in use, and by how many. */
void muster__budget_read(struct budget *budget, struct participant_manager_statistics *statistics);

/* Grants what there is room for, and lets those who are too slow make way. To be called, without a lock held,
   after room may have become free, and when somebody waits. */
void muster__budget_serve(struct budget *budget);

/* ---- claims; an owner calls these under a lock of its own ---- */

/* Of memory that was zero. */
void muster__claim_init(struct claim *claim, struct budget *budget, const struct claim_events *events);

/* Promises room to an answer of `size` bytes, if there is, and if the participant keeps its promises. */
bool muster__claim_reserve(struct claim *claim, uint64_t size);

/* Whether the promise can be kept, now that the answer is announced: nobody was to wait for it, so that others may
   have the room of two big ones. */
bool muster__claim_is_kept(struct claim *claim, uint64_t size);

/* It waits for room, and for no promise any more; the ticket, which is never 0. */
uint64_t muster__claim_wait(struct claim *claim, uint64_t size);

/* An answer of `size` bytes begins to arrive: as it was promised room, or as it was granted after a wait. */
void muster__claim_begin(struct claim *claim, uint64_t size, int64_t now);

/* So much of it has come; it is whole. */
void muster__claim_received(struct claim *claim, uint64_t received, int64_t now);
void muster__claim_whole(struct claim *claim, int64_t now);

/* It neither waits nor arrives, and is promised nothing. The room of what has arrived is returned with its
   memory. Idempotent. */
void muster__claim_leave(struct claim *claim);

#endif
