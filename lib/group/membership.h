/* A member's place in its group, as the coordinator has it: it is registered, and told each newer roster. */
#ifndef MUSTER_GROUP_MEMBERSHIP_H
#define MUSTER_GROUP_MEMBERSHIP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/group.h>

#define GROUP_SECRET_SIZE 32

struct roster_entry {
    const char *name;
    const char *address;
    uint64_t incarnation;
    enum muster_member_state state;
    bool restarted; /* another process had the rank before */
};

/* Immutable, and counted. */
struct roster {
    atomic_size_t references;
    uint64_t epoch;
    uint32_t size;
    uint32_t rank; /* this member's */
    uint8_t secret[GROUP_SECRET_SIZE];
    const struct roster_entry *entries;
};

struct roster *muster__roster_retain(struct roster *roster);
void muster__roster_release(struct roster *roster);

/* Reads what the coordinator has sent to the member `name`. TIMEOUT: the group did not become complete in
   time, and the text says why. PROTOCOL, OUT_OF_MEMORY. *roster is NULL then. */
enum muster_status muster__roster_read(const void *bytes, size_t size, const char *name,
                                       struct roster **roster, struct muster_error *error);

struct membership;

/* Told on a network thread, one at a time, without a lock held; must not block. */
struct membership_events {
    /* A newer roster. It is valid during the call: retain it to keep it. */
    void (*on_roster)(void *context, struct roster *roster);
    /* It cannot go on. Once, and last. */
    void (*on_end)(void *context, enum muster_status status, const char *text);
};

/* Registers, and does not wait. `address` is where the member listens, or NULL: on `port` of the address
   that the coordinator sees it come from. */
enum muster_status muster__membership_start(const char *coordinator,
                                            const struct muster_group_options *options, const char *address,
                                            uint16_t port, uint64_t incarnation,
                                            const struct membership_events *events, void *context,
                                            struct membership **membership, struct muster_error *error);

/* Says that the member has finished. What comes of it comes as a roster. */
void muster__membership_finish(struct membership *membership);

/* Outside callbacks; waits until no event runs. NULL is allowed. */
void muster__membership_free(struct membership *membership);

#endif
