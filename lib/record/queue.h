/*
 * Entries on their way to the sinks: one list, in which each sink has its place. An entry is freed when the
 * last sink has done with it. What waits for one sink is bounded, and the oldest goes first.
 */
#ifndef MUSTER_RECORD_QUEUE_H
#define MUSTER_RECORD_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/record.h>

#include "record/entry.h"

/* The most entries that a sink takes at once, and their bytes, unless one alone has more. */
enum { BATCH_MAX = 512, BATCH_SIZE_MAX = 1 << 18 };

/* A sink's place; all by the queue's lock. */
struct place {
    pthread_cond_t wake;
    struct entry *next; /* the oldest that waits; NULL: none */
    size_t size;        /* of those that wait */
    size_t count;
    uint64_t lost; /* since it was last up to date */
    bool done;     /* with all, and well */
    bool left;     /* its thread touches nothing but memory any more */
};

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* for muster__queue_end() */
    size_t limit;           /* bytes that wait for one sink; constant */
    size_t place_count;     /* constant */
    struct entry *last;     /* that a sink still has; by the lock, as those below */
    bool ending;            /* there are no more entries */
    bool abandoned;         /* nobody waits for the sinks any more */
    unsigned telling;       /* warnings that are being told */
    struct place places[MUSTER_RECORD_SINKS_MAX];
};

void muster__queue_init(struct queue *queue, size_t places, size_t limit);
/* Nobody uses it any more; frees what waits. */
void muster__queue_destroy(struct queue *queue);

/* Adds an entry, which the queue owns from now on, for all sinks. Returns a bit for each of them that loses
   its first entry since it was up to date. */
unsigned muster__queue_add(struct queue *queue, struct entry *entry);

/* Waits for entries. 0: there will be none, or nobody waits for them. */
size_t muster__queue_take(struct queue *queue, size_t place, struct entry *batch[BATCH_MAX]);
/* Gives taken ones back. */
void muster__queue_give_back(struct queue *queue, struct entry *const *batch, size_t count);
/* Whether nothing waits; then *lost is what was lost since the last time. */
bool muster__queue_is_up_to_date(struct queue *queue, size_t place, uint64_t *lost);

/* Waits so long, but not on when the end begins. False: abandoned. */
bool muster__queue_pause(struct queue *queue, size_t place, int64_t pause_ms);
bool muster__queue_is_abandoned(struct queue *queue);
/* Around each warning of a sink; false: do not tell it. */
bool muster__queue_tell_begin(struct queue *queue);
void muster__queue_tell_end(struct queue *queue);
/* A sink's thread has done all; it is about to end. */
void muster__queue_done(struct queue *queue, size_t place);
void muster__queue_leave(struct queue *queue, size_t place);
/* Waits for the thread, for so long at most. False: it hangs. */
bool muster__queue_has_left(struct queue *queue, size_t place, int64_t limit_ms);

/* Lets the sinks come to an end, and waits for them. Those that are not done after the limit are abandoned: a
   bit is returned for each of them. No warning is told any more. */
unsigned muster__queue_end(struct queue *queue, int64_t limit_ms);

#endif
