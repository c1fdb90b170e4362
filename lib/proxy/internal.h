/*
 * What the files of lib/proxy share: the manager and the proxy from inside.
 *
 * Two locks, never held together: manager->lock and proxy->lock. Under proxy->lock the transport's stream
 * functions and the timers are called, which take their own locks and call nothing back. No user code runs
 * under any of them.
 */
#ifndef MUSTER_PROXY_INTERNAL_H
#define MUSTER_PROXY_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <muster/participant_manager.h>
#include <muster/proxy.h>

#include "network/transport.h"
#include "wire/codec.h"

/* A doubly linked ring; the list's own head points at itself when empty. */
struct link {
    struct link *next;
    struct link *previous;
};

struct participant_manager {
    atomic_size_t references; /* the user's, and one of each proxy */
    struct participant_manager_options options;
    char *address;
    struct muster_transport *transport;
    struct listener *listener;
    uint16_t port;
    struct buffer *cancel; /* the one message that is the same for everybody */

    /* Turns that have begun and whose end has not been told yet, timers that run or have just expired, and
       calls that use the transport. */
    atomic_size_t pending;
    atomic_bool closing;  /* set under the lock */
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t idle;  /* the last turn or stream has ended */
    bool stopped;         /* no stream is left and none will come */
    struct link streams;  /* every proxy with a stream, until its end begins */
    struct link open;     /* those that can be given instructions, in the order of joining */
    size_t open_count;
    size_t admitted_count;
    uint64_t next_rank;
    void *names; /* of the admitted: a tree of proxies, tsearch(3) */
    struct link waiters;
};

enum proxy_state {
    PROXY_ARRIVED,  /* the stream is there; its first message is awaited */
    PROXY_ADMITTED, /* Hello was answered; the initiative is awaited */
    PROXY_OPEN,
    PROXY_CLOSED,
};

/*
 * One instruction on its way through a proxy. `ended` is called exactly once for a turn that began, without a
 * lock held, and takes over what *answer holds; after it, the library does not touch the turn.
 */
struct turn {
    enum muster_kind kind;
    void (*ended)(struct turn *turn, struct proxy *proxy, enum muster_status status,
                  struct muster_message *answer, size_t answer_size);
};

struct proxy {
    atomic_size_t references; /* users', one until the stream's end, one while the timer runs */
    struct participant_manager *manager;

    /* Set on the way to PROXY_OPEN by the network thread; constant for everybody else. */
    bool original; /* it speaks the original protocol only */
    uint64_t rank;
    char *name;
    char *peer;
    struct envelope hello; /* holds the labels */
    size_t max_message_size;
    void *user;
    bool has_user;
    bool joined; /* it has passed the initiative, so that its end is an event of its own */

    /* Guarded by manager->lock. */
    struct link in_streams;
    struct link in_open;
    bool admitted; /* it counts, and its name is taken */
    bool listed;
    bool withdrawn; /* its end has begun: it is not to be listed any more */

    pthread_mutex_t lock; /* guards all below */
    enum proxy_state state;
    enum muster_status closed_status; /* in PROXY_CLOSED: what proxy_run() answers */
    struct stream *stream;            /* NULL after its end */
    struct turn *running;
    const struct buffer *instruction; /* of the last turn: to be recognised, not to be read */
    uint64_t turn;                    /* number of the last turn that began */
    bool given_up;                    /* that turn was given up */
    size_t owed;      /* answers to given-up turns that an original participant will still send */
    double progress;  /* of the running turn */
    int64_t deadline; /* of whatever the state waits for; INT64_MAX: nothing */
    struct timer timer;
};

/* ---- participant_manager.c ---- */

/* Counts the participant and takes its name, or says why not, in which case the stream is to be ended with
   that. On a network thread. */
enum muster_status muster__manager_admit(struct proxy *proxy, const char *name, struct muster_error *error);

/* Makes an admitted participant known to get_participants(), unless its end has begun. */
void muster__manager_list(struct proxy *proxy);

/* Undoes the two above. Idempotent. */
void muster__manager_withdraw(struct proxy *proxy);

void muster__manager_event(struct proxy *proxy, enum participant_manager_event_kind kind,
                           enum muster_status status, const char *text);
/* Keeps the manager from being freed, until muster__manager_done(); false when it is closing. */
bool muster__manager_enter(struct participant_manager *manager);
void muster__manager_done(struct participant_manager *manager);
void muster__manager_release(struct participant_manager *manager);

/* ---- proxy.c ---- */

extern const struct stream_events muster__proxy_events;

/* A proxy for a stream that has arrived, in PROXY_ARRIVED with its timer running; NULL when out of memory. */
struct proxy *muster__proxy_new(struct participant_manager *manager, struct stream *stream);

/*
 * Begins the end: the participant is told `status` and `text` after an optional last message, proxy_run()
 * answers `closed_status` from now on, and so does a running turn. Does nothing when the end has begun.
 */
void muster__proxy_end(struct proxy *proxy, enum muster_status closed_status, struct buffer *last,
                       enum muster_status status, const char *text);

/* Serialises an instruction for proxies of `manager`. */
enum muster_status muster__proxy_encode(struct participant_manager *manager,
                                        const struct muster_message *instruction, struct buffer **body);

/* Begins a turn. On OK `turn` must stay until its end; otherwise it was not touched. */
enum muster_status muster__proxy_begin(struct proxy *proxy, struct turn *turn, struct buffer *body,
                                       int64_t timeout_ms);

/* Gives up `turn` if it is the running one (any if NULL): it ends with `status` on this thread. */
void muster__proxy_give_up(struct proxy *proxy, const struct turn *turn, enum muster_status status);

#endif
