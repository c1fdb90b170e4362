/* Who has which place in the group, from epoch to epoch, and which rank follows from it. Places keep the name of their last
 * holder: whoever comes back under it has the place again. */
#ifndef ORCHESTRATE_PLACES_H
#define ORCHESTRATE_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine.h"

enum { WORKER_TEXT_SIZE = 256 };

/* A worker that is there. Its first fields are its own; the rest is the machine's. */
struct worker {
    char name[WORKER_TEXT_SIZE], host[WORKER_TEXT_SIZE], peer[WORKER_TEXT_SIZE];
    char advertised[WORKER_TEXT_SIZE]; /* "": it said none */
    char backends[WORKER_TEXT_SIZE];
    bool named_host; /* `host` is a name, and not its address */
    void *user;
    /* In an epoch. */
    bool is_member;
    uint64_t rank, local_rank, local_world_size;
    /* What it was told. */
    enum task task;
    uint64_t turn;
    bool replied;
    /* How far it is. */
    uint64_t iteration;
    double loss, samples_per_second;
    bool diverged; /* its loss is no number any more */
    bool finished, straggles;
    int64_t advanced_ms;
    /* Since when it is to leave an epoch; -1: it is in none. */
    int64_t leaves_ms;
};

struct places {
    struct place {
        char name[WORKER_TEXT_SIZE]; /* of the last holder; "": there was none */
        struct worker *holder;       /* NULL: it is free */
    } * each;
    size_t count;
};

bool places_init(struct places *places, size_t count);
void places_clear(struct places *places);

/* Gives a newcomer a place: its own, one that nobody has had, or any; NULL with *why. */
struct worker *places_take(struct places *places, const struct introduction *introduction, const char **why);
void places_leave(struct places *places, struct worker *worker);

size_t places_present(const struct places *places);
size_t places_members(const struct places *places);

/* Workers of a host become neighbours, in the order of the first of each. */
void places_sort(struct places *places);
/* Makes all that are there members, with ranks from 0. */
void places_rank(struct places *places);
/* Rank 0; and the address that others reach it by. */
struct worker *places_first(const struct places *places);
const char *places_address(const struct places *places);
/* Whether all members could use this backend. */
bool places_all_have(const struct places *places, const char *backend);

#endif
