/* Lists of points of ristretto255, each POINT_SIZE bytes: what a private matching does with them. */
#ifndef MUSTER_VERTICAL_POINTS_H
#define MUSTER_VERTICAL_POINTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/status.h>

#define POINT_SIZE 32

enum { POINT_THREADS_MAX = 16 };

/* An order that nobody can foresee: a permutation of the numbers below `count`, which is below UINT32_MAX. */
void muster__points_shuffle(uint32_t *order, size_t count);

/*
 * One piece of work, on a thread for each core. out[i] becomes key * points[order[i]], or key * the point
 * that ids[order[i]] is hashed to. Without a key the points are only looked at. All that it points at stays
 * the caller's, until muster__points_end().
 */
struct points_work {
    const uint8_t *key; /* a scalar; NULL: look at `points` */
    const uint8_t *points;
    const char *const *ids; /* with `points` NULL */
    const uint32_t *order;
    size_t count;
    uint8_t *out;

    /* points.c's */
    atomic_size_t next; /* where nobody has begun yet */
    atomic_size_t bad;  /* the first place of `points` that holds none */
    atomic_bool stopped;
    pthread_t threads[POINT_THREADS_MAX];
    size_t thread_count;
};

/* Begins it: `helpers` threads, or fewer when no more can be had. */
void muster__points_start(struct points_work *work, size_t helpers);

/* How far the work is, from 0 to 1. False: give it up. */
typedef bool points_progress(void *context, double fraction);

/*
 * Works, too, until nothing is left, tells `progress` (may be NULL) now and then, and waits for the others.
 * CANCELLED: `progress` said so. FORMAT: work->bad is the place of what is not a point, or is the neutral
 * one.
 */
enum muster_status muster__points_end(struct points_work *work, points_progress *progress, void *context,
                                      struct muster_error *error);

/* Lets the others stop soon, though work is left. muster__points_end() is still to be called. */
void muster__points_stop(struct points_work *work);

/* The threads that there are cores for, this one included. */
size_t muster__points_cores(void);

/* A point, to be sorted by its bytes. */
struct point_key {
    uint64_t first; /* its first bytes, as a number */
    const uint8_t *point;
};

int muster__points_compare(const struct point_key *a, const struct point_key *b);
/* Keys of the points in ascending order, in memory that the caller frees. NULL: out of memory. */
struct point_key *muster__points_sort(const uint8_t *points, size_t count);

#endif
