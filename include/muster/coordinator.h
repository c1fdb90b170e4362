/* The coordinator: whom the members of groups register with. It brings them together, and is not on their way
   afterwards. */
#ifndef MUSTER_COORDINATOR_H
#define MUSTER_COORDINATOR_H

#include <stddef.h>
#include <stdint.h>

#include <muster/credentials.h>
#include <muster/export.h>
#include <muster/group.h>
#include <muster/status.h>

MUSTER_BEGIN_DECLS

struct muster_coordinator;

/** What happened to a member of a group. The pointers are valid during the callback. Later releases add
 * fields at the end. */
struct muster_coordinator_event {
    const char *group;
    uint64_t epoch; /* 0: the group is not complete, and ranks may still change */
    struct muster_member member;
    const char *text; /* one sentence */
};

/**
 * muster_coordinator_start() copies the options and their strings. Fill them in with
 * muster_coordinator_options_init() first. Later releases add fields at the end only. Times are in
 * milliseconds.
 */
struct muster_coordinator_options {
    /** The size of this struct; set by muster_coordinator_options_init(). */
    size_t size;
    /** Where members register; as of participant_manager_options. */
    const char *listen;
    /** A file that keeps names, ranks, secrets and epochs, so that a coordinator that was killed goes on
        where it was. It is replaced as a whole, and only its owner can read it. NULL: none. */
    const char *file;
    /** TLS and a token; as of participant_manager_options. If certificates are asked for, their names are
        those of the participants: "GROUP:NAME". */
    struct muster_credentials credentials;
    /** The most groups, from 1 to 65536. A group is forgotten when all its members have left or are lost. */
    size_t max_groups;
    /** The most members of a group, from 1 to 65536. */
    uint32_t max_members;
    /** How long a member whose connection to the coordinator broke is waited for before all hear that it is lost.
        More than 0. */
    int64_t grace_ms;
    /** Pings, as of participant_manager_options. */
    int64_t keepalive_time_ms;
    int64_t keepalive_timeout_ms;
    /** Told of each change, one at a time and in order. Called on any thread, without a lock held; must
        not block: members hear nothing new meanwhile. NULL: nobody is told. */
    void (*on_event)(void *context, const struct muster_coordinator_event *event);
    /** For the operator, as of participant_manager_options; and when the file cannot be written. NULL: no
        warnings. */
    void (*on_warning)(void *context, const char *text);
    /** Passed to both. */
    void *context;
};

/** muster_coordinator_options_init() calls this with the size of the struct in the caller's header. */
MUSTER_API void muster_coordinator_options_init_sized(struct muster_coordinator_options *options,
                                                      size_t size);

/** Fills in the defaults: loopback, port 8090; no file, no credentials; 64 groups of at most 4096; 60 s of
 * grace; pings after 10 s, with 10 s to reply; warnings to standard error. Any thread. */
static inline void muster_coordinator_options_init(struct muster_coordinator_options *options)
{
    muster_coordinator_options_init_sized(options, sizeof(*options));
}

/**
 * Starts to listen, and to bring members together. `options` NULL means the defaults. On MUSTER_OK the
 * caller owns *coordinator and frees it with muster_coordinator_free(). Otherwise it is NULL and *error
 * (may be NULL) says why: the statuses are those of participant_manager_start(). IO and FORMAT are also
 * for the file: it cannot be read or written, or holds something else. Any thread; blocks on disk.
 *
 * If the file knows groups, their members have grace_ms to come back, and do not notice that the
 * coordinator was away.
 */
MUSTER_API enum muster_status muster_coordinator_start(const struct muster_coordinator_options *options,
                                                       struct muster_coordinator **coordinator,
                                                       struct muster_error *error);

/** The port that it listens on; 0 if the address has none. Any thread. */
MUSTER_API uint16_t muster_coordinator_port(const struct muster_coordinator *coordinator);

/**
 * Waits, at most for `timeout_ms` (MUSTER_NO_LIMIT is allowed), until the group of that name has ended: it
 * was complete and everyone has left or is lost, or it did not become complete in time. Returns at once if
 * it ended earlier, and no other group of that name has begun. Otherwise *error (may be NULL) says why:
 * TIMEOUT; STOPPED: the coordinator was closed; INVALID: the call was made in a callback. Any thread;
 * blocks.
 */
MUSTER_API enum muster_status muster_coordinator_wait(struct muster_coordinator *coordinator,
                                                      const char *group, int64_t timeout_ms,
                                                      struct muster_error *error);

/** Where a group is in its life at the coordinator. */
enum muster_group_stage {
    MUSTER_GROUP_GATHERS, /* members come, and ranks may still change */
    MUSTER_GROUP_RUNS,
    MUSTER_GROUP_OVER,   /* nobody is present any more; those that are still connected are told */
    MUSTER_GROUP_FAILED, /* too few members came in time; the same */
};

/** The stage in one lower-case word, such as "gathers"; "unknown" if there is no such stage. Static. */
MUSTER_API const char *muster_group_stage_name(enum muster_group_stage stage);

/** A group of a coordinator. Later releases add fields at the end only. */
struct muster_coordinator_group {
    size_t size; /* of this struct */
    const char *name;
    enum muster_group_stage stage;
    int64_t since_ms; /* since its first member came, or the coordinator read it from its file */
    int64_t
        left_ms; /* GATHERS: until it begins with `least` or fails; otherwise, and without a limit, MUSTER_NO_LIMIT */
    uint32_t members; /* that it is to have, */
    uint32_t least;   /* and at least */
    uint64_t epoch;   /* 0: it was not complete yet */
    /* Of those that came, so many are: */
    uint32_t present; /* away included */
    uint32_t away;    /* not connected, and not lost yet */
    uint32_t lost;
    uint32_t finished;
};

/** muster_coordinator_get_groups() calls this with the size of the struct in the caller's header. */
MUSTER_API struct muster_coordinator_group *muster_coordinator_get_groups_sized(
    struct muster_coordinator *coordinator, size_t *count, size_t size);

/** All groups: an array of *count, in one allocation with their names, which the caller frees with free(). What is read is
 * read in one piece. NULL: out of memory. Any thread, callbacks included; does not block. */
static inline struct muster_coordinator_group *muster_coordinator_get_groups(
    struct muster_coordinator *coordinator, size_t *count)
{
    return muster_coordinator_get_groups_sized(coordinator, count, sizeof(struct muster_coordinator_group));
}

/** Stops to listen, and asks members to come back in a second. muster_coordinator_wait() returns STOPPED.
 * Idempotent; any thread, callbacks included; does not block. */
MUSTER_API void muster_coordinator_close(struct muster_coordinator *coordinator);

/** Closes it, waits until no callback runs, and frees it. Members go on, and look for it again. No other
 * function may be running on it but muster_coordinator_close(), which it waits for. NULL is allowed. In a
 * callback it closes, calls on_warning, and frees nothing: call it again on another thread. */
MUSTER_API void muster_coordinator_free(struct muster_coordinator *coordinator);

MUSTER_END_DECLS

#endif
