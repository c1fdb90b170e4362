/* A coordinator on a fixture's network, and members that have only their memberships. The network is run
   by a pump. */
#ifndef MUSTER_TESTS_TROOP_H
#define MUSTER_TESTS_TROOP_H

#include <muster/coordinator.h>

#include "group/membership.h"
#include "support/fixture.h"

#define COORDINATOR "fixture:test/coordinator"

enum { MEMBERS_MAX = 20, NEWS_MAX = 256 };

struct troop;

struct member {
    struct troop *troop;
    struct membership *membership;
    struct roster *roster; /* the newest; guarded by troop->lock, like all below */
    size_t rosters;        /* so many came */
    bool ended;
    enum muster_status status;
    char text[MUSTER_ERROR_TEXT_SIZE];
};

struct troop_news {
    uint64_t epoch;
    uint32_t rank;
    enum muster_member_state state;
    char name[64];
    char text[128];
};

struct troop {
    struct fixture *fixture;
    struct muster_coordinator *coordinator;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct member members[MEMBERS_MAX];
    size_t news_count;
    struct troop_news news[NEWS_MAX];
    size_t warnings;
    char warning[512];
};

struct troop *troop_new(void);
void troop_free(struct troop *troop);

struct muster_coordinator_options troop_options(struct troop *troop);
void troop_coordinate(struct troop *troop, const struct muster_coordinator_options *options);

/* "g", that name, `size` members, an hour. */
struct muster_group_options troop_member_options(const char *name, uint32_t members);
/* The n-th member registers, with n + 1 as its incarnation. */
struct member *troop_register(struct troop *troop, size_t n, const struct muster_group_options *options);
struct member *troop_register_as(struct troop *troop, size_t n, const struct muster_group_options *options,
                                 uint64_t incarnation);
/* Its process ends. */
void troop_kill(struct troop *troop, size_t n);

/* Wait until a roster of at least this epoch has come; until it has ended. */
void troop_await(struct troop *troop, size_t n, uint64_t epoch);
enum muster_status troop_await_end(struct troop *troop, size_t n);
/* Waits for so much news of the coordinator; for a warning. */
void troop_await_news(struct troop *troop, size_t count);
void troop_await_warning(struct troop *troop);

/* Registers "ada", "bo" and "cy", one after the other, and waits until they have the first roster. */
extern const char *const troop_names[3];
void troop_gather(struct troop *troop);

/* Whether the n-th member's newest roster has that member in that state. */
bool troop_sees(struct troop *troop, size_t n, const char *name, enum muster_member_state state);
void troop_await_sight(struct troop *troop, size_t n, const char *name, enum muster_member_state state);

/* The coordinator is gone from one moment to the next, and tells nobody. */
void troop_crash(struct troop *troop);

#endif
