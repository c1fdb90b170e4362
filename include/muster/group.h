/* A group: processes that exchange messages directly, each with a rank. A coordinator brings them together. */
#ifndef MUSTER_GROUP_H
#define MUSTER_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/credentials.h>
#include <muster/export.h>
#include <muster/message.h>
#include <muster/status.h>
#include <muster/traffic.h>

MUSTER_BEGIN_DECLS

struct muster_group;

/** Any rank, for muster_group_receive(). */
#define MUSTER_ANY_RANK UINT32_MAX

/** Tags of the program are from 0 to MUSTER_TAG_MAX. MUSTER_ANY_TAG is for muster_group_receive(). */
#define MUSTER_TAG_MAX 0x7fffffff
#define MUSTER_ANY_TAG UINT32_MAX

/** A member, as the roster has it. */
enum muster_member_state {
    MUSTER_MEMBER_PRESENT,
    MUSTER_MEMBER_LOST,     /* its process or its network is gone; it may come back under its name */
    MUSTER_MEMBER_FINISHED, /* it has left */
};

/** A place in the roster. The texts are valid as the function that gives it says. */
struct muster_member {
    uint32_t rank;
    enum muster_member_state state;
    const char *name;
    const char *address;  /* where it listens */
    uint64_t incarnation; /* another number after its process was started again */
};

/** What happens to the group: told on a network thread without a lock held; must not block. */
struct muster_group_event {
    uint64_t epoch;              /* of the roster that has just become valid */
    struct muster_member member; /* what is new of it */
};

/**
 * muster_group_join() copies the options and their strings. Fill them in with muster_group_options_init()
 * first. Later releases add fields at the end only. Times are in milliseconds, sizes in bytes.
 */
struct muster_group_options {
    /** The size of this struct; set by muster_group_options_init(). */
    size_t size;
    /** The group's name at the coordinator, which may have several groups. */
    const char *group;
    /** The member's name, unique in the group. A process that is started again under its name gets its rank
        back. NULL: the coordinator chooses one. */
    const char *name;
    /** How many members the group has. All members say the same; who says something else is refused. */
    uint32_t members;
    /** The group may begin with so many members when join_timeout_ms of the first one has passed. 0: `members`. */
    uint32_t least;
    /** How long muster_group_join() waits for the other members. MUSTER_NO_LIMIT is allowed. */
    int64_t join_timeout_ms;
    /** Where the member listens for others: as of participant_manager_options; port 0 takes a free one. NULL:
        any address and a free port, or loopback if the coordinator is on loopback; with `local:` and `mpi:` a name of
        its own. */
    const char *listen;
    /** How others reach it: a host, or "host:port". NULL: the address from which the coordinator sees it
        come, with the port on which it listens. On the coordinator's own machine that may be a loopback address,
        of no use to others. */
    const char *advertise;
    /** TLS and a token, towards the coordinator and between members. */
    struct muster_credentials credentials;
    /** The biggest message, in bytes, that travels before it is wanted. A bigger one waits at its sender until
        its receiver calls muster_group_receive(). */
    size_t eager_size;
    /** The most memory, in bytes, for messages that came before they were wanted, of all members together. A
        member that has no room left lets its senders wait. */
    uint64_t eager_budget;
    /** How long this member waits for another whose connection to it broke, or that cannot be reached. After the
        coordinator's own grace_ms all members hear that one is lost: give all the same. */
    int64_t grace_ms;
    /** Pings on idle links, and how long a reply may take. */
    int64_t keepalive_time_ms;
    int64_t keepalive_timeout_ms;
    /** What becomes of the roster. NULL: nobody is told. */
    void (*on_event)(void *context, const struct muster_group_event *event);
    /** For the operator; as of participant_options. NULL: no warnings. */
    void (*on_warning)(void *context, const char *text);
    /** Passed to both. */
    void *context;
};

/** muster_group_options_init() calls this with the size of the struct in the caller's header. */
MUSTER_API void muster_group_options_init_sized(struct muster_group_options *options, size_t size);

/** Fills in the defaults: group "default"; 3600 s to join; 4 MiB eager, 64 MiB of them; 60 s of grace; pings
 * after 10 s, with 10 s to reply; warnings to standard error. `members` has none: set it. Any thread. */
static inline void muster_group_options_init(struct muster_group_options *options)
{
    muster_group_options_init_sized(options, sizeof(*options));
}

/**
 * Listens, registers with the coordinator at `coordinator`, and waits until the group is complete: `members`
 * are there, or `least` when the time is over. Waits for a coordinator that is not up yet. On MUSTER_OK the
 * caller owns *group and frees it with muster_group_free(). Otherwise it is NULL, and *error (may be NULL) says
 * why:
 * - INVALID: an option is out of range, an address is not valid, or the call was made in a callback;
 * - UNAVAILABLE: no coordinator was found in time;
 * - TIMEOUT: too few members came in time: the text says how many, and who, if the coordinator says so within 2 s;
 * - EXISTS: a member of this name is there, and was for keepalive_time_ms + keepalive_timeout_ms: so long it takes
 *   to notice that a process has died with its machine; or the address to listen on is in use;
 * - FULL: the group has all its members;
 * - REFUSED: the other members want another size;
 * - UNAUTHENTICATED, IO, FORMAT: of the credentials; UNSUPPORTED: this build lacks the transport; OUT_OF_MEMORY.
 * Any thread, but not in a callback; blocks.
 */
MUSTER_API enum muster_status muster_group_join(const char *coordinator,
                                                const struct muster_group_options *options,
                                                struct muster_group **group, struct muster_error *error);

/** This member's rank, from 0 to size - 1, which never changes. Any thread. */
MUSTER_API uint32_t muster_group_rank(const struct muster_group *group);

/** How many ranks there are, members that are lost included; it never changes. Any thread. */
MUSTER_API uint32_t muster_group_size(const struct muster_group *group);

/** The number of the roster: one more with each change of it. Any thread. */
MUSTER_API uint64_t muster_group_epoch(struct muster_group *group);

/**
 * The roster: an array of muster_group_size() members by rank, in one allocation with their texts, which the
 * caller frees with free(). *epoch (may be NULL) is its number. NULL: out of memory. Any thread.
 */
MUSTER_API struct muster_member *muster_group_roster(struct muster_group *group, uint64_t *epoch);

/**
 * What has been exchanged with the member `rank` so far, over all connections: see muster_traffic. INVALID, with *error (may be
 * NULL), as below. Any thread, callbacks included; does not block.
 */
MUSTER_API enum muster_status muster_group_get_traffic(struct muster_group *group, uint32_t rank,
                                                       struct muster_traffic *traffic,
                                                       struct muster_error *error);

/*
 * All functions below wait, at most for `timeout_ms` (MUSTER_NO_LIMIT is allowed), and not in a callback. When they
 * do not return OK, *error (may be NULL) says why and which rank was missing:
 * - TIMEOUT: the limit passed. The text says what was waited for. What was begun to be sent may still arrive.
 * - GONE: a member is lost: its process has ended, its network is cut for longer than grace_ms, or it has been
 *   started again meanwhile. What waits only to receive, from a member without a link, ends when the coordinator has lost
 *   that. Or this one is no member any more, as another process has its name, or the coordinator has
 *   forgotten the group.
 * - CLOSED: a member has left, or this one has.
 * - UNAVAILABLE: a member's address cannot be reached; the text has the address and the last cause. Only for a member that
 *   the coordinator still sees.
 * - INVALID: a rank or a tag is out of range, the rank is the member's own, or the message is not valid.
 * - FULL: 64 fetches from that member wait already.
 * - PROTOCOL: what a member says in a collective operation makes no sense.
 * - UNAUTHENTICATED: of the credentials. TOO_BIG, FORMAT, OUT_OF_MEMORY.
 * Messages have the kinds MUSTER_TRAIN, MUSTER_EVALUATE or MUSTER_APPLICATION. Any thread; any number of threads at
 * once, but collective operations are called in the same order by all members, one at a time.
 */

/** Sends `message` to `to` under `tag`, and waits until that member's library has it: at once for one up to
 * eager_size, when it is wanted for a bigger one. Messages between two members under one tag arrive in order. */
MUSTER_API enum muster_status muster_group_send(struct muster_group *group, uint32_t to, uint32_t tag,
                                                const struct muster_message *message, int64_t timeout_ms,
                                                struct muster_error *error);

/** Waits for a message from `from` (or MUSTER_ANY_RANK) under `tag` (or MUSTER_ANY_TAG). On OK *message is the
 * caller's to clear; *source and *tagged (both may be NULL) say whose it is, and under which tag. */
MUSTER_API enum muster_status muster_group_receive(struct muster_group *group, uint32_t from, uint32_t tag,
                                                   int64_t timeout_ms, struct muster_message *message,
                                                   uint32_t *source, uint32_t *tagged,
                                                   struct muster_error *error);

/** Sends to `peer` and receives from it, both under `tag`, at once: the peer does the same. Waits until the peer's
 * message has come and its own is on its way. (If the connection then breaks for longer than grace_ms, or this member
 * is freed without muster_group_leave(), the peer's call ends with GONE.) */
MUSTER_API enum muster_status muster_group_exchange(struct muster_group *group, uint32_t peer, uint32_t tag,
                                                    const struct muster_message *message, int64_t timeout_ms,
                                                    struct muster_message *answer,
                                                    struct muster_error *error);

/** One that an exchange with many is about. */
struct muster_group_partner {
    uint32_t rank;
    const struct muster_message *message; /* to it; NULL: nothing is sent */
    bool receives;                        /* whether something is to come from it */
    enum muster_status status;            /* filled in: how it ended */
    struct muster_message answer;         /* filled in: the caller's to clear, whatever the status */
};

/** Does muster_group_exchange() with `count` partners at the same time. Returns OK if all ended well, and otherwise
 * the status of the first that did not; what came from others is theirs. */
MUSTER_API enum muster_status muster_group_exchange_all(struct muster_group *group, uint32_t tag,
                                                        struct muster_group_partner *partners, size_t count,
                                                        int64_t timeout_ms, struct muster_error *error);

/** Makes a copy of `message` the state of this member, under `version`, which grows from call to call: INVALID if not.
 * Whoever fetches gets the newest; who is being given an older one gets it to its end. Does not wait for others. */
MUSTER_API enum muster_status muster_group_publish(struct muster_group *group, uint64_t version,
                                                   const struct muster_message *message,
                                                   struct muster_error *error);

/** Waits until `from` has published a version of at least `least`, and gets all of the newest and nothing of another.
 * *version (may be NULL) says which it is. *message is the caller's to clear. */
MUSTER_API enum muster_status muster_group_fetch(struct muster_group *group, uint32_t from, uint64_t least,
                                                 int64_t timeout_ms, struct muster_message *message,
                                                 uint64_t *version, struct muster_error *error);

/*
 * ---- collective operations: every member calls them, in the same order ----
 *
 * GONE for all, from then on, if a process of the group was started again: it does not know how many the others have done.
 */

/** Waits until every member is here. */
MUSTER_API enum muster_status muster_group_barrier(struct muster_group *group, int64_t timeout_ms,
                                                   struct muster_error *error);

/** Gives the root's `message` to everyone. At the root *message is read; elsewhere it is written, and the caller's to clear. */
MUSTER_API enum muster_status muster_group_broadcast(struct muster_group *group, uint32_t root,
                                                     struct muster_message *message, int64_t timeout_ms,
                                                     struct muster_error *error);

/** Collects a message of each member at the root, by rank: `messages` has room for muster_group_size() there, and each is the
 * caller's to clear; elsewhere it is NULL. */
MUSTER_API enum muster_status muster_group_gather(struct muster_group *group, uint32_t root,
                                                  const struct muster_message *message,
                                                  struct muster_message *messages, int64_t timeout_ms,
                                                  struct muster_error *error);

/** The same at every member. */
MUSTER_API enum muster_status muster_group_all_gather(struct muster_group *group,
                                                      const struct muster_message *message,
                                                      struct muster_message *messages, int64_t timeout_ms,
                                                      struct muster_error *error);

/** What muster_group_all_reduce() makes of the members' arrays. */
enum muster_reduction {
    MUSTER_SUM,  /* sum of weight x array */
    MUSTER_MEAN, /* that, divided by the sum of the weights */
};

/**
 * Overwrites the data of `count` arrays by the sum or the weighted mean over all members, the same bytes at each. So the
 * memory is to be writable, although muster_array points at it as const. `weight` is this member's: positive or 0, and
 * finite. The dtypes are float32, float64, float16 and bfloat16; sums are made in float64 for float64 and in float32 for
 * the others. Dtypes and shapes are the same everywhere. If not, it returns FORMAT with the rank that differs, and the data
 * is as it was.
 */
MUSTER_API enum muster_status muster_group_all_reduce(struct muster_group *group,
                                                      enum muster_reduction reduction, double weight,
                                                      const struct muster_array *arrays, size_t count,
                                                      int64_t timeout_ms, struct muster_error *error);

/** Says that this member has finished, and waits until all have, or are lost. Then nobody needs it any more, and
 * muster_group_free() is in order. A member that is freed without it is lost to the others. */
MUSTER_API enum muster_status muster_group_leave(struct muster_group *group, int64_t timeout_ms,
                                                 struct muster_error *error);

/** Ends all waits with CLOSED. Idempotent; any thread, callbacks included; does not block. */
MUSTER_API void muster_group_close(struct muster_group *group);

/** Closes, and frees. No other function may be running on the group but muster_group_close(); not in a callback.
 * NULL is allowed. */
MUSTER_API void muster_group_free(struct muster_group *group);

/*
 * ---- statistics ----
 *
 * They are kept all the time, and read when somebody asks; as in statistics.h, counters begin at 0 with the group and never
 * go down. What is read of one peer is read in one piece. Any thread, callbacks included; nothing here waits for others.
 */

/** The state in one lower-case word, such as "present"; "unknown" if there is no such state. Static. */
MUSTER_API const char *muster_member_state_name(enum muster_member_state state);

/** What a thread of this member waits in. */
enum muster_group_call {
    MUSTER_CALL_NONE,
    MUSTER_CALL_SEND,
    MUSTER_CALL_RECEIVE, /* an exchange is a send and a receive */
    MUSTER_CALL_FETCH,
    MUSTER_CALL_BARRIER,
    MUSTER_CALL_BROADCAST,
    MUSTER_CALL_GATHER,
    MUSTER_CALL_ALL_GATHER,
    MUSTER_CALL_ALL_REDUCE,
    MUSTER_CALL_LEAVE,
};

/** The call in one lower-case word, such as "all_reduce"; "unknown" if there is no such call. Static. */
MUSTER_API const char *muster_group_call_name(enum muster_group_call call);

/** A member's view of its group. Later releases add fields at the end only. */
struct muster_group_statistics {
    size_t size; /* of this struct; set by muster_group_get_statistics() */
    uint32_t rank;
    uint32_t members; /* muster_group_size() */
    uint64_t epoch;
    /* Of the members, this one included, so many are: */
    uint32_t present;
    uint32_t lost;
    uint32_t finished;
    uint32_t links;        /* open ones of this member, those that are away included */
    uint64_t waits;        /* as many as muster_group_get_waits() has, */
    int64_t waiting_ms;    /* and since the oldest of those calls began; 0: none waits */
    uint64_t collectives;  /* so many were begun */
    bool published;        /* this member has published a state, */
    uint64_t version;      /* under this version */
    uint64_t eager_bytes;  /* of the budget that are in use: messages that came and were not received yet */
    uint64_t eager_budget; /* options.eager_budget */
    struct muster_traffic traffic; /* with all peers together; what goes to the coordinator is not counted */
};

/** muster_group_get_statistics() calls this with the size of the struct in the caller's header. */
MUSTER_API void muster_group_get_statistics_sized(struct muster_group *group,
                                                  struct muster_group_statistics *statistics, size_t size);

/** Fills in *statistics. */
static inline void muster_group_get_statistics(struct muster_group *group,
                                               struct muster_group_statistics *statistics)
{
    muster_group_get_statistics_sized(group, statistics, sizeof(*statistics));
}

/** Whom a thread of this member waits for. Later releases add fields at the end only. */
struct muster_group_wait {
    size_t size; /* of this struct */
    enum muster_group_call call;
    uint32_t rank; /* of who is waited for; MUSTER_ANY_RANK: of who comes first */
    uint64_t
        tag; /* of a send or a receive (or MUSTER_ANY_TAG), or the version that is fetched; otherwise 0 */
    int64_t waiting_ms; /* since the call began */
    int64_t left_ms;    /* until its limit; MUSTER_NO_LIMIT: it has none */
};

/**
 * What is waited for now: writes up to `count` to `waits`, the oldest calls first, and returns how many there are. A call
 * that waits for several members is there once for each. `size` is sizeof(struct muster_group_wait), and the stride of
 * the array.
 */
MUSTER_API size_t muster_group_get_waits(struct muster_group *group, struct muster_group_wait *waits,
                                         size_t count, size_t size);

/** The link to a peer. */
enum muster_link_state {
    MUSTER_LINK_NONE,     /* nothing was said yet, or it has ended */
    MUSTER_LINK_DIALLING, /* one of the two dials */
    MUSTER_LINK_OPEN,
    MUSTER_LINK_AWAY, /* its connection broke, and is waited for */
};

/** The state in one lower-case word, such as "open"; "unknown" if there is no such state. Static. */
MUSTER_API const char *muster_link_state_name(enum muster_link_state state);

/** What this member has to do with another. Later releases add fields at the end only. */
struct muster_group_peer {
    size_t size; /* of this struct */
    uint32_t rank;
    enum muster_member_state state; /* this, the texts and the incarnation as in muster_member */
    const char *name;
    const char *address;
    uint64_t incarnation;

    enum muster_link_state link;
    bool dialled;     /* by this member, and not by the peer */
    int64_t heard_ms; /* since it has said something over a link; -1: it never has */
    struct muster_traffic traffic;

    enum muster_group_call waits; /* the oldest call that waits for it; MUSTER_CALL_NONE: none */
    int64_t waiting_ms;           /* since that began; otherwise 0 */
    uint64_t offers;              /* messages that it has for this member, and that have not come yet */
    uint64_t fetches;             /* versions of this member's that it waits for */
    bool fetched;                 /* its state was fetched, */
    uint64_t version;             /* the last time under this version */
};

/** muster_group_get_peers() calls this with the size of the struct in the caller's header. */
MUSTER_API struct muster_group_peer *muster_group_get_peers_sized(struct muster_group *group, uint64_t *epoch,
                                                                  size_t size);

/**
 * All members: an array of muster_group_size() peers by rank, in one allocation with their texts, which the caller frees
 * with free(). This member is among them, without a link. *epoch (may be NULL) is the number of the roster. NULL: out of
 * memory.
 */
static inline struct muster_group_peer *muster_group_get_peers(struct muster_group *group, uint64_t *epoch)
{
    return muster_group_get_peers_sized(group, epoch, sizeof(struct muster_group_peer));
}

MUSTER_END_DECLS

#endif
