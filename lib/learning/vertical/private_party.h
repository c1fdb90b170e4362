/*
 * One party of a private matching, master or member. The parties stand in a ring. Each has a key of its own,
 * for this matching only. A party's list of ids becomes points, which each party in turn multiplies by its
 * key and puts in a new order, beginning with the owner: in round r a party has the list of the r-th party
 * before it. Multiplications commute, so points that all have multiplied are the same exactly if their ids
 * are. Which of them are joint goes back the same way: each party undoes its order, and the owner learns
 * which of its rows are meant.
 */
#ifndef MUSTER_VERTICAL_PRIVATE_PARTY_H
#define MUSTER_VERTICAL_PRIVATE_PARTY_H

#include <stddef.h>
#include <stdint.h>

#include <muster/status.h>
#include <muster/vertical.h>

#include "learning/vertical/points.h"

enum { PRIVATE_PARTIES_MAX = 1000 };

/* The order that a list got: what was at order[i] is at i. */
struct private_passage {
    uint32_t *order;
    size_t count;
};

struct private_party {
    const struct muster_vertical_table *table; /* NULL: there is no matching */
    size_t parties;
    struct private_passage *passages; /* one for each round */
    size_t joint;                     /* the marks of each list; SIZE_MAX: none was seen yet */
    uint8_t key[POINT_SIZE];
    struct points_work work; /* from start to finish */
};

/* Begins with a new key. `table` must stay. Whatever is returned, the party is to be cleared. */
enum muster_status muster__private_party_init(struct private_party *party,
                                              const struct muster_vertical_table *table, size_t parties,
                                              struct muster_error *error);
/* Forgets the key and all else. A party of zeros is allowed. */
void muster__private_party_clear(struct private_party *party);

/* Begins a round with `helpers` threads: with its own ids in round 0, later with a list that stays the
 * caller's until muster__private_finish(). After an error there is nothing to be finished. */
enum muster_status muster__private_start(struct private_party *party, size_t round, const uint8_t *points,
                                         size_t count, size_t helpers, struct muster_error *error);
/* Works to the end of it, as muster__points_end(). On MUSTER_OK the caller frees *points. */
enum muster_status muster__private_finish(struct private_party *party, points_progress *progress,
                                          void *context, uint8_t **points, struct muster_error *error);

/* On the way back: which of the list before that round are marked. All lists have the same number of marks,
 * or else FORMAT. On MUSTER_OK the caller frees *before, which in round 0 is by row. */
enum muster_status muster__private_unmark(struct private_party *party, size_t round, const uint8_t *marks,
                                          size_t count, uint8_t **before, struct muster_error *error);

/* The marked rows in the order of `order`, in memory that the caller frees; NULL: out of memory. */
size_t *muster__private_rows(const struct private_party *party, const uint8_t *marks, const size_t *order);

#endif
