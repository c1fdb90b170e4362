/*
 * What is shown: managers, participants and groups of this process, and looks at them. A look takes no lock of ours
 * while it asks the core, so it never waits for a turn, nor a turn for it; who removes a source waits until
 * nobody looks at it.
 */
#ifndef MUSTER_MONITOR_SOURCES_H
#define MUSTER_MONITOR_SOURCES_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include <muster/group.h>
#include <muster/participant.h>
#include <muster/participant_manager.h>
#include <muster/statistics.h>
#include <muster/status.h>

enum {
    SOURCE_NAME_SIZE = 129, /* with the NUL */
    LOOK_ROUNDS_MAX = 8,
    LOOK_WAITS_MAX = 256,
};

struct feed;
struct source;

struct sources {
    pthread_mutex_t lock; /* guards the list and who looks; no other lock is taken while it is held */
    pthread_cond_t changed;
    struct source *first; /* in the order in which they were added */
    size_t count;
    struct feed *feed; /* takes events; has its own lock */
};

/* One manager, as it is now. */
struct manager_look {
    const char *name;
    struct participant_manager_statistics statistics;
    struct proxy_round_statistics rounds[LOOK_ROUNDS_MAX];
    size_t round_count;
};

/* One participant of a manager, as it is now. */
struct proxy_look {
    const struct manager_look *manager;
    struct proxy *proxy;
    struct proxy_statistics statistics;
};

/* One participant of this process, as it is now. */
struct participant_look {
    const char *name;
    uint64_t rank;
    struct participant_statistics statistics;
};

/* A group, as one of its members in this process sees it now. */
struct group_look {
    const char *name;
    struct muster_group_statistics statistics;
    struct muster_group_peer
        *peers;     /* statistics.members of them, by rank; NULL: nobody asked, or no memory */
    uint64_t epoch; /* of the peers */
    struct muster_group_wait *waits; /* the oldest first */
    size_t wait_count;
};

/* All of them. What there is no memory for is left out. */
struct look {
    struct sources *sources;
    struct source **looked_at;
    size_t source_count;
    struct manager_look *managers;
    size_t manager_count;
    struct participant_look *participants;
    size_t participant_count;
    struct group_look *groups;
    size_t group_count;
    struct proxy_look *proxies; /* those that have said who they are, and are not gone */
    size_t proxy_count;
};

void muster__sources_init(struct sources *sources, struct feed *feed);
/* Removes those that are left. */
void muster__sources_destroy(struct sources *sources);

/* As muster_monitor_add_manager() and the others. */
enum muster_status muster__sources_add_manager(struct sources *sources, const char *name,
                                               struct participant_manager *manager,
                                               struct muster_error *error);
enum muster_status muster__sources_add_participant(struct sources *sources, struct participant *participant,
                                                   struct muster_error *error);
enum muster_status muster__sources_add_group(struct sources *sources, const char *name,
                                             struct muster_group *group, struct muster_error *error);
/* `object` is the manager, the participant or the group. */
void muster__sources_remove(struct sources *sources, const void *object);

/* Looks at everything: at the managers' participants, and the groups' peers and waits, only if `closely`. To be ended. */
void muster__look_begin(struct look *look, struct sources *sources, bool closely);
void muster__look_end(struct look *look);

/* Tells the feed what has changed of the groups since the last time. Of one thread at a time. */
void muster__look_tell(const struct look *look);

/* How a list of participants is ordered. */
enum proxy_order {
    ORDER_RANK,
    ORDER_NAME,
    ORDER_STATE,    /* silent first, then away, joining, open */
    ORDER_PROGRESS, /* of those at work; others come first */
    ORDER_TURN,     /* how long the turn has been running */
    ORDER_HEARD,
    ORDER_FAILED,
    ORDER_BYTES, /* both ways */
};
void muster__look_sort(struct look *look, enum proxy_order order, bool descending);

/* The turns that ended otherwise than with OK. */
uint64_t muster__failed_turns(const uint64_t turns_ended[MUSTER_STATUS_ROOM]);

#endif
