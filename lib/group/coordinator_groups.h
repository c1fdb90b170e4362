/*
 * The groups of a coordinator: who is registered, under which rank, and since which epoch. It knows no
 * network, no clock and no lock: the coordinator calls it under its own, tells it the time, and does what
 * it asks for.
 *
 * A place has an *owner*, the connection of the member that is there, and perhaps a *claimant*, a
 * connection that was admitted and has not joined yet. Both are pointers that are only compared.
 */
#ifndef MUSTER_GROUP_COORDINATOR_GROUPS_H
#define MUSTER_GROUP_COORDINATOR_GROUPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/coordinator.h>
#include <muster/group.h>

#include "group/membership.h"

/* In bytes. */
enum { GROUP_NAME_MAX = 128, MEMBER_NAME_MAX = 128, MEMBER_ADDRESS_MAX = 256 };

/* The most members that any coordinator takes. */
#define GROUP_MEMBERS_MAX 65536

/* So many processes that were lost with all of their group are known as such: the last ones. */
#define GROUPS_LOST_MOST 4096

/* What a member says of itself when it joins. */
struct registration {
    const char *group;
    const char *name;
    const char *address;
    uint32_t size;
    uint32_t least;
    int64_t limit_ms;
    uint64_t incarnation;
};

struct place {
    char *name;
    char *address;
    uint64_t incarnation;
    enum muster_member_state state;
    bool restarted; /* another process had the rank before */
    void *owner;
    void *claimant;
    bool here; /* the owner is connected */

    uint64_t since; /* the first epoch of its owner: in those before, it is another process, or lost */

    /* Of the owner; the coordinator writes them. */
    uint64_t told; /* the epoch that it was told last, or is being told */
    bool busy;     /* a turn runs */
    bool asks;     /* it has something to say */

    struct place *next; /* among those that were dropped */
};

struct group {
    struct group *next;
    char *name;
    uint32_t wanted;
    uint32_t least;
    int64_t deadline; /* MUSTER_GROUP_GATHERS: it begins with `least`, or fails; INT64_MAX: none */
    /* Those that were there before a restart may come back until then; 0: nobody is awaited. */
    int64_t awaited_until;
    enum muster_group_stage stage;
    int64_t since;  /* its first member came, or it was read from the file */
    uint64_t epoch; /* 0 until it is complete */
    uint8_t secret[GROUP_SECRET_SIZE];
    struct place **places; /* by rank, once the group is complete */
    uint32_t count;
    char fault[MUSTER_ERROR_TEXT_SIZE]; /* of MUSTER_GROUP_FAILED */
    bool changed;                       /* its members are to be told; the coordinator takes it back */
    void *word;                         /* the coordinator's: what they are told */
};

/* Zeros but for what is set at the beginning. Written by coordinator_groups.c and coordinator_list.c alone, but where
   it says otherwise. */
struct groups {
    size_t most;
    uint32_t most_members;
    /* Called when something happens to a member; NULL: nobody wants to know. */
    void (*tell)(void *context, const struct group *group, uint32_t rank, enum muster_member_state state,
                 const char *text);
    /* Frees group->word. */
    void (*forget)(void *word);
    void *context;

    struct group *first;
    size_t count;
    bool unsaved;          /* what the file is to hold has changed; the coordinator takes it back */
    struct place *dropped; /* the owner and the claimant of these are to be sent away, by the coordinator */
    char **ended;          /* names of groups that have ended, the oldest first */
    size_t ended_count;
    /* Incarnations of processes that were lost with all of their group, which are not to be taken for new ones; NULL: none
       was. The place of the n-th is n % GROUPS_LOST_MOST. */
    uint64_t *lost;
    uint64_t lost_count;
};

/*
 * Somebody wants to register. On OK, `who` is the claimant of a place, until muster__groups_joined() or
 * muster__groups_gone(). Otherwise: EXISTS, FULL, REFUSED, INVALID, UNAVAILABLE (no random numbers),
 * OUT_OF_MEMORY.
 */
enum muster_status muster__groups_claim(struct groups *groups, const struct registration *registration,
                                        void *who, int64_t now, struct muster_error *error);

/* A claimant has joined, and owns its place. False: out of memory, and it is to be sent away. */
bool muster__groups_joined(struct groups *groups, const struct registration *registration, void *who);

/* An owner's connection broke, or is back. */
void muster__groups_here(struct groups *groups, const char *group, const char *name, void *who, bool here);

/* An owner or a claimant is gone for good, also one of a place that was dropped. */
void muster__groups_gone(struct groups *groups, const char *group, const char *name, void *who, int64_t now);

/* An owner has left. */
void muster__groups_finished(struct groups *groups, struct group *group, struct place *place);

/* What falls due by `now` happens; and when the next does, or INT64_MAX. */
void muster__groups_tick(struct groups *groups, int64_t now);
int64_t muster__groups_due(const struct groups *groups);

/* All of them, for muster_coordinator_get_groups(): coordinator_statistics.c. */
struct muster_coordinator_group *muster__groups_list(const struct groups *groups, int64_t now, size_t *count,
                                                     size_t size);

/* ---- coordinator_list.c: what there is, and what is remembered ---- */

/* Adds an empty group, and a place at its end. NULL: out of memory. */
struct group *muster__groups_add(struct groups *groups, const char *name, uint32_t wanted, uint32_t least);
struct place *muster__group_add_place(struct group *group, const char *name, const char *address,
                                      uint64_t incarnation);

/* Frees all of it; or a group that is not in the list, or a place. */
void muster__groups_clear(struct groups *groups);
void muster__groups_free_group(struct groups *groups, struct group *group);
void muster__place_free(struct place *place);

/* The place that `who` owns or claims, and its group; NULL: none. */
struct place *muster__groups_find(const struct groups *groups, const char *group_name, const char *name,
                                  const void *who, struct group **group);

/* The place of the same process, in a group that is over, too; NULL: none. */
struct place *muster__groups_find_process(const struct groups *groups,
                                          const struct registration *registration);

/* The group that gathers or runs under that name; NULL: none. */
struct group *muster__groups_find_live(const struct groups *groups, const char *name);

/* The place of that name, NULL: none; and the rank of one that is there. */
struct place *muster__group_find_place(const struct group *group, const char *name);
uint32_t muster__group_rank_of(const struct group *group, const struct place *place);

/* Whether a group of that name has ended, and no other has begun. */
bool muster__groups_has_ended(const struct groups *groups, const char *name);

/* One has ended: takes over its name. And another has begun. */
void muster__groups_add_ended(struct groups *groups, char *name);
void muster__groups_forget_ended(struct groups *groups, const char *name);

/* Remembers those that were lost with all of their group; what there is no memory for is taken for new, if it comes
   back. */
void muster__groups_add_lost(struct groups *groups, const struct group *group);
bool muster__groups_was_lost(const struct groups *groups, uint64_t incarnation);

/* ---- coordinator_file.c: what outlives the coordinator ---- */

/* Packs the roster of a group, or why it failed, in memory that the caller frees; NULL: out of memory. */
uint8_t *muster__groups_pack_roster(const struct group *group, size_t *size);

/* Packs all of it; `wall` is the time in milliseconds since 1970. NULL: out of memory. */
uint8_t *muster__groups_pack(const struct groups *groups, int64_t now, int64_t wall, size_t *size);

/* Reads it into empty groups, whose members have `grace_ms` to come back. FORMAT, with a sentence that
   follows the name of the file, or OUT_OF_MEMORY: the groups are empty. */
enum muster_status muster__groups_unpack(struct groups *groups, const void *bytes, size_t size, int64_t now,
                                         int64_t wall, int64_t grace_ms, struct muster_error *error);

#endif
