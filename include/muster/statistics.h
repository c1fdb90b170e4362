/*
 * Statistics of the server's side: what a manager, its proxies and its rounds have done so far and are doing.
 * They are kept all the time, at next to no cost, and read when somebody asks. A participant's are in
 * participant.h.
 *
 * Counters begin at 0 with their object and never go down. What is read of a proxy or of a round is read in
 * one piece. A manager goes on while its counters are read, one after the other: two of them may differ by
 * what happens meanwhile. Any thread, callbacks included; nothing here waits for a turn or holds one up.
 */
#ifndef MUSTER_STATISTICS_H
#define MUSTER_STATISTICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/export.h>
#include <muster/message.h>
#include <muster/status.h>
#include <muster/traffic.h>

MUSTER_BEGIN_DECLS

/** Room for one counter per status: counts[MUSTER_TIMEOUT], for example. More than there are statuses, so
    that later releases can add some. */
#define MUSTER_STATUS_ROOM 32

/** The number of buckets of a histogram, the last one for all that is above the highest bound. */
#define MUSTER_HISTOGRAM_BUCKETS 24

/** How long things took. buckets[i] counts those of at most muster_histogram_bound(i) that are in no lower
    bucket. */
struct muster_histogram {
    uint64_t count;
    double seconds; /* the sum */
    uint64_t buckets[MUSTER_HISTOGRAM_BUCKETS];
};

/** The upper bound of a bucket, in seconds: 0.001 for the first, twice as much for each further one, and
    infinity for the last. */
MUSTER_API double muster_histogram_bound(size_t bucket);

struct participant_manager;
struct proxy;

/** What a participant manager has done, and who is there. Later releases add fields at the end only. */
struct participant_manager_statistics {
    size_t size;   /* of this struct; set by participant_manager_get_statistics() */
    int64_t up_ms; /* since the manager started */

    /* Participants now. */
    uint64_t joining; /* connected, and not admitted or not ready yet */
    uint64_t open;
    uint64_t silent; /* open, at work, and not heard of for two heartbeats: frozen, perhaps */
    uint64_t away;
    /* And so far. */
    uint64_t joined;
    uint64_t back;                        /* times that one that was away was connected again */
    uint64_t left[MUSTER_STATUS_ROOM];    /* by the status of the event LEFT */
    uint64_t refused[MUSTER_STATUS_ROOM]; /* by the status of the event REFUSED */

    uint64_t turns_running;
    uint64_t turns_ended[MUSTER_STATUS_ROOM]; /* by the status that proxy_run() returned */
    struct muster_histogram turn_times;       /* of all that ended */
    uint64_t rounds_running;
    uint64_t rounds_ended[MUSTER_STATUS_ROOM];

    struct muster_traffic traffic;

    /* Big answers: see upload_budget in the options. */
    uint64_t uploads_waiting; /* announced, and waiting for room */
    uint64_t uploads_granted; /* arriving */
    uint64_t upload_bytes;    /* of the budget that are in use or promised */
    uint64_t upload_budget;   /* options.upload_budget; 0: as much as the round needs */
    int64_t heartbeat_ms;     /* the interval that participants are told now */
};

/** participant_manager_get_statistics() calls this with the size of the struct in the caller's header. */
MUSTER_API void participant_manager_get_statistics_sized(struct participant_manager *manager,
                                                         struct participant_manager_statistics *statistics,
                                                         size_t size);

/** Fills in *statistics. */
static inline void participant_manager_get_statistics(struct participant_manager *manager,
                                                      struct participant_manager_statistics *statistics)
{
    participant_manager_get_statistics_sized(manager, statistics, sizeof(*statistics));
}

/**
 * References to all participants of the manager, in no particular order: those that are joining, open and
 * away. *proxies is an array of *count, which the caller returns with proxy_release_all(). OUT_OF_MEMORY,
 * with *error (may be NULL): *proxies is NULL.
 */
MUSTER_API enum muster_status participant_manager_get_all(struct participant_manager *manager,
                                                          struct proxy ***proxies, size_t *count,
                                                          struct muster_error *error);

/** Where a participant is in its life at the server. */
enum proxy_state {
    PROXY_ARRIVED,  /* its stream is there; it has not said anything yet */
    PROXY_ADMITTED, /* it is admitted; it has not passed the initiative yet */
    PROXY_OPEN,     /* it can be given instructions */
    PROXY_AWAY,     /* its connection broke, and the server waits for it */
    PROXY_CLOSED,   /* it is gone for good */
};

/** The state in one lower-case word, such as "open"; "unknown" if there is no such state. Static. */
MUSTER_API const char *proxy_state_name(enum proxy_state state);

/** What one participant is doing. proxy_name(), proxy_rank(), proxy_peer() and proxy_label() say who it is.
    Later releases add fields at the end only. */
struct proxy_statistics {
    size_t size; /* of this struct; set by proxy_get_statistics() */
    enum proxy_state state;
    int64_t state_ms;     /* for so long it has been in that state */
    int64_t heard_ms;     /* so long ago its last message came; what it is sending in chunks counts */
    bool silent;          /* at work, and not heard of for two and a half intervals of heartbeats */
    uint64_t connections; /* that it has had: 1 for the first */

    /* The running turn. */
    enum muster_kind kind; /* of its instruction; MUSTER_EMPTY: no turn runs, and the next ones are 0 */
    uint64_t turn;         /* its number, from 1 in each session */
    uint64_t round;        /* of which round it is part: its number; 0: none */
    int64_t turn_ms;       /* for so long it has been running */
    int64_t left_ms;       /* until its limit; MUSTER_NO_LIMIT: it has none */
    double progress;       /* as proxy_progress() */
    struct muster_transfer transfer; /* as proxy_transfer() */

    uint64_t turns_ended[MUSTER_STATUS_ROOM];
    struct muster_traffic traffic;
    int64_t heartbeat_ms; /* how often it sends a heartbeat during a turn; 0: never, and it is never silent */
    bool original; /* it speaks the original protocol: it gets an instruction's arrays, and no scalars */
};

/** proxy_get_statistics() calls this with the size of the struct in the caller's header. */
MUSTER_API void proxy_get_statistics_sized(struct proxy *proxy, struct proxy_statistics *statistics,
                                           size_t size);

/** Fills in *statistics. */
static inline void proxy_get_statistics(struct proxy *proxy, struct proxy_statistics *statistics)
{
    proxy_get_statistics_sized(proxy, statistics, sizeof(*statistics));
}

/** A running round. Later releases add fields at the end only. */
struct proxy_round_statistics {
    size_t size;           /* of this struct */
    uint64_t number;       /* counted from 1 in each manager */
    enum muster_kind kind; /* of its instructions, or of the first of them */
    uint64_t count;        /* participants in it */
    uint64_t enough;       /* answers that end it */
    uint64_t at_least;     /* answers that it needs in the end */
    uint64_t answered;     /* accepted so far */
    uint64_t failed;
    uint64_t late;
    uint64_t running;    /* whom it waits for: those whose proxy_statistics.round is `number` */
    int64_t running_ms;  /* since it began */
    int64_t left_ms;     /* until its deadline; MUSTER_NO_LIMIT: it has none */
    uint64_t bytes_sent; /* as in proxy_round_result */
    uint64_t bytes_received;
};

/**
 * The manager's running rounds: writes up to `count` of them to `rounds`, the oldest first, and returns how
 * many there are. `size` is sizeof(struct proxy_round_statistics), and the stride of the array.
 */
MUSTER_API size_t participant_manager_get_rounds(struct participant_manager *manager,
                                                 struct proxy_round_statistics *rounds, size_t count,
                                                 size_t size);

MUSTER_END_DECLS

#endif
