/*
 * The group from inside. One lock, group->lock, guards all that changes. Nothing of the layers below is called under it
 * but the timers and what only looks: all else may call back. Calls go down: the public functions (group.c, direct.c,
 * state.c, collectives.c, reduce.c) run operations (operation.c), which use links (link.c). A link has a pump (pump.c),
 * which dials and talks (dial.c, listen.c) without the lock.
 */
#ifndef MUSTER_GROUP_INTERNAL_H
#define MUSTER_GROUP_INTERNAL_H

#include <pthread.h>

#include <muster/group.h>
#include <muster/participant_manager.h>

#include "group/inbox.h"
#include "group/link.h"
#include "group/membership.h"
#include "group/operation.h"
#include "network/transport.h"

/* Tells who it is: "rank 3 ('ada')". */
enum { RANK_TEXT_SIZE = 128 };

/* A thread that waits: it lies on its stack. */
struct waiting {
    struct waiting *next;
    enum muster_group_call
        call; /* a collective operation, or to leave; MUSTER_CALL_NONE: the operations say */
    const struct operation *operations;
    size_t count;
    int64_t since;
    int64_t until; /* INT64_MAX: it has no limit */
};

struct muster_group {
    struct muster_group_options options; /* constant, like all up to the lock; its strings are the group's */
    char *texts[9];                      /* those strings, and the coordinator's address */
    const char *coordinator;
    uint64_t incarnation;
    uint32_t size; /* 0 until the first roster */
    uint32_t rank;
    struct muster_transport *transport; /* of the address that it listens on: for its clock */
    struct participant_manager *manager;
    struct membership *membership;
    struct link *links; /* one for each rank; made with the first roster */

    pthread_mutex_t lock; /* guards all below, and what changes of the links */
    pthread_cond_t changed;
    struct roster *roster; /* NULL: there was none yet */
    bool closed;
    bool ended; /* the membership has, */
    enum muster_status end_status;
    char end_text[MUSTER_ERROR_TEXT_SIZE]; /* and why */
    bool left;                             /* muster_group_leave() was called */
    struct inbox inbox;
    struct timer timer; /* for links that are to dial or to ask again */
    bool timer_runs;
    struct link *kicked;      /* those that are to be pumped */
    struct dial *given_up;    /* dials that the pump is to close, */
    struct dial *old_dials;   /* and those that it has: a thread that may wait frees them */
    struct visit *old_visits; /* given up: the pump closes and frees them */

    /* What is published. */
    bool published;
    uint64_t version;
    struct muster_message state; /* with its batch: a copy */

    uint64_t collectives;              /* so many were begun, */
    enum muster_group_call collective; /* the last of them, */
    int64_t collective_since;          /* at this time */
    struct waiting *waiting;           /* the oldest first */
};

/* ---- operation.c ---- */

/*
 * Runs operations at the same time, and waits until all have ended, at most for `limit_ms`. Each has a status and a text
 * of its own then. Returns that of the first that did not end well, with *error.
 */
enum muster_status muster__group_run(struct muster_group *group, struct operation *operations, size_t count,
                                     int64_t limit_ms, struct muster_error *error);

/* Somebody begins to wait, and ends. With the lock held. */
void muster__waiting_begin(struct muster_group *group, struct waiting *waiting, int64_t limit_ms);
void muster__waiting_end(struct muster_group *group, const struct waiting *waiting);

/* What is left of a limit that began at `begun`. */
int64_t muster__group_left(const struct muster_group *group, int64_t begun, int64_t limit_ms);

/* Ends it, which was taken out of where it waited. With the lock held. */
void muster__operation_end(struct muster_group *group, struct operation *operation, enum muster_status status,
                           const char *text);

/* A receive gets this, which is freed. With the lock held. */
void muster__operation_receive(struct muster_group *group, struct operation *receive,
                               struct arrival *arrival);

/* Has a receive begin, or begin again. With the lock held. */
void muster__operation_post(struct muster_group *group, struct operation *receive);

/* Whether the call may go on: not in a callback, not closed, and so on. Without the lock. */
enum muster_status muster__group_may(struct muster_group *group, const char *function,
                                     struct muster_error *error);

/* Whether that is another member's rank. */
enum muster_status muster__group_check_rank(const struct muster_group *group, uint32_t rank,
                                            struct muster_error *error);

/* Whether everyone is there for a collective operation, as the roster has it. Without the lock. */
enum muster_status muster__group_check_all(struct muster_group *group, struct muster_error *error);

/* With the lock held. */
const char *muster__group_name_rank(const struct muster_group *group, uint32_t rank,
                                    char text[RANK_TEXT_SIZE]);

/* ---- roster.c ---- */

/* A reference to the newest. Without the lock. */
struct roster *muster__group_get_roster(struct muster_group *group);

/* ---- state.c; with the lock held ---- */

/* A peer asks for the state. False: too often, or out of memory. */
bool muster__state_fetched(struct link *link, uint64_t least);
/* It asks no more. */
void muster__state_unfetched(struct link *link, uint64_t least);
/* The peer will not publish what a fetch waits for. */
void muster__state_unmet(struct link *link, uint64_t least);
/* The peer's state has come for a fetch that asked for `least`: it takes the state, if it still waits. No other does: the peer
   sends it once more for each that it counts. */
void muster__state_came(struct link *link, uint64_t version, uint64_t least, struct muster_message *message);
/* Nothing more will be published. */
void muster__state_finish(struct muster_group *group);

#endif
