/*
 * The registry: who is there. Names and ranks, the addresses that participants come from, how many may come,
 * and the lists of those that have a stream, that can be given instructions, and that are away.
 *
 * Under its lock nothing but the timers' is taken; so its functions may be called by any thread, and are not
 * under a proxy's lock. What they give of proxies are references.
 */
#ifndef MUSTER_PROXY_REGISTRY_H
#define MUSTER_PROXY_REGISTRY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <muster/participant_manager.h>

#include "network/transport.h"
#include "proxy/ring.h"

/* Names that the registry gives begin like this, and those that participants bring do not. */
#define GIVEN_NAME "anonymous-"

struct address;

struct registry {
    const struct participant_manager_options *options; /* the limits: constant */

    pthread_mutex_t lock; /* guards all below */
    bool closed;
    struct link streams; /* every place with a stream, until its end begins */
    struct link open;    /* those that can be given instructions, in the order of joining */
    size_t open_count;
    struct link away; /* those that are waited for, the longest first */
    size_t away_count;
    size_t admitted_count;
    uint64_t next_rank;
    bool *ranks;               /* of the lower ones: whether it was given */
    void *names;               /* of the admitted: a tree of places, tsearch(3) */
    pthread_cond_t enough;     /* so many can be given instructions as one who waits wants, or it is closed */
    size_t wanted;             /* the least that one who waits wants; SIZE_MAX: nobody does */
    void *addresses;           /* that participants come from: a tree */
    double join_allowance;     /* how many may come now, */
    int64_t join_allowance_at; /* as of then */
};

/* A proxy's place in the registry, and part of it. */
struct place {
    struct proxy *proxy;

    /* Set before the proxy is admitted; constant for everybody else. */
    char *name;
    uint64_t rank;

    /* Guarded by registry->lock. */
    struct link in_streams;
    struct link in_open;
    struct link in_away;     /* when it is, it counts as one that is away, and not as one that is there */
    struct link in_address;  /* those of its address that are away */
    struct address *address; /* where it counts; NULL: it does not */
    bool admitted;           /* it counts, and its name is taken */
    uint64_t listed_number;  /* of the connection that it was listed or unlisted for last */
    bool withdrawn;          /* its end has begun: it is not to be listed any more */
};

/* Of memory that was zero. False: out of memory; what was taken is for the destroy. */
bool muster__registry_init(struct registry *registry, const struct participant_manager_options *options,
                           int64_t now);
void muster__registry_destroy(struct registry *registry);

/* Of memory that was zero. */
void muster__place_init(struct place *place, struct proxy *proxy);
void muster__place_destroy(struct place *place);

/* Nobody enters any more, and nobody waits for those who do. Idempotent. */
void muster__registry_close(struct registry *registry);

/* A stream has come; false: the registry is closed, and it is to be ended. */
bool muster__registry_add_stream(struct registry *registry, struct place *place);

/* One of the streams, which is none of them any more; NULL: none is left. */
struct proxy *muster__registry_take_stream(struct registry *registry);

/* Counts the place at the address of its peer, and as one of those that come now; FULL or UNAVAILABLE. */
enum muster_status muster__registry_count(struct registry *registry, struct place *place, const char *peer,
                                          int64_t now, struct muster_error *error);

/* Gives it a rank, its former one if that is free (from 1; 0: it had none), and the name, or if that is
   empty one with the rank. The rank goes back by muster__registry_turn_away(). */
enum muster_status muster__registry_name(struct registry *registry, struct place *place, const char *name,
                                         uint64_t former_rank, struct muster_error *error);

/* Counts it in and takes its name, unless somebody is in the way: *other. */
enum muster_status muster__registry_enter(struct registry *registry, struct place *place,
                                          struct proxy **other, struct muster_error *error);

/* The other has ended, and its namesake gets its rank. */
void muster__registry_inherit(struct registry *registry, struct place *place, const struct place *other);

/* Who was about to make room has come back, and is about to be counted where it came from. */
void muster__registry_came_back(struct registry *registry, struct place *place);

/* It is not admitted, be it counted in or not: nobody was known by its rank, which is free again. */
void muster__registry_turn_away(struct registry *registry, struct place *place);

/* Who bears this name; NULL: nobody. */
struct proxy *muster__registry_find(struct registry *registry, const char *name);

/* Makes an admitted participant known to get_participants(), unless its end has begun, or a newer connection
   than the one of this number has decided about it. It is where `fresh` (may be NULL) comes from. */
void muster__registry_list(struct registry *registry, struct place *place, uint64_t number,
                           struct place *fresh);

/* Takes it from there again: it counts as one that is away. *superfluous has to end, as too many are; NULL:
   nobody. False: a newer connection is there, or its end has begun. */
bool muster__registry_unlist(struct registry *registry, struct place *place, uint64_t number,
                             struct proxy **superfluous);

/* Undoes all of it. Idempotent. */
void muster__registry_withdraw(struct registry *registry, struct place *place);

/* participant_manager_get_participants(). */
enum muster_status muster__registry_get(struct registry *registry, struct muster_transport *transport,
                                        size_t min, int64_t timeout_ms, struct proxy ***proxies,
                                        size_t *count, struct muster_error *error);

#endif
