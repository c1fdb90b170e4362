/*
 * The proxy from inside: one state machine in four files, and what is counted of it in a fifth; and what these
 * call of each other. No other file of the library includes this.
 * - proxy.c: the state, every change of it, and the timer; lifetime and end
 * - session.c: Hello and Welcome; a connection breaks, and another takes its place
 * - turn.c: the running turn, and what is said about it on either side
 * - answer.c: its answer, and the upload
 * - statistics.c: what is counted, and what is read by those who ask
 *
 * Under proxy->lock the transport's stream functions, the timers, the budget and the drain are called, which
 * take their own locks and call nothing back. It is never held together with the registry's. No user code
 * runs under it. A function that does not say so is called without it.
 */
#ifndef MUSTER_PROXY_INTERNAL_H
#define MUSTER_PROXY_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "link/hello.h"
#include "link/token.h"
#include "link/traffic.h"
#include "link/transfer.h"
#include "link/window.h"
#include "proxy/connection.h"
#include "proxy/instruction.h"
#include "proxy/manager.h"
#include "proxy/proxy.h"

/* A big answer, from its announcement until it is whole: answer.c. Guarded by proxy->lock, but for the
   claim. */
struct upload {
    struct incoming incoming;
    uint64_t request;        /* the ticket, while it waits for room; 0: it arrives, if there is one */
    uint64_t grants;         /* in this turn, the reservation not counted */
    bool pregranted;         /* in this turn */
    struct stream *lands_on; /* whose transport reads a chunk to its place; NULL: none */
    struct window window;
    uint64_t last_size; /* of this participant's latest, 0: none yet */
    struct claim claim;
};

/* What of a Hello is needed for as long as the proxy: 16 KiB of it can be half a megabyte once they are
   read. */
struct introduction {
    size_t token_size; /* that it came with, of a server before this one */
    size_t label_count;
    char bytes[]; /* the token, and each label's name and value with their NULs */
};

struct proxy {
    /* Users', each connection's, one while the timer runs, and one until the end has been told. */
    atomic_size_t references;
    struct participant_manager *manager;
    struct place place; /* in the manager's registry */

    /* Set on the way to PROXY_OPEN by the network thread; constant for everybody else. */
    bool original; /* it speaks the original protocol only */
    char *peer;
    struct introduction *introduction; /* NULL: it said no Hello */
    struct abilities takes;            /* of messages that both accept */
    void *user;
    bool has_user;
    bool joined;                   /* it has passed the initiative, so that its end is an event of its own */
    uint8_t session[SESSION_SIZE]; /* the token */

    pthread_mutex_t lock; /* guards all below */

    /* The state, and what it waits for: written by proxy.c alone. */
    enum proxy_state state;
    enum muster_status closed_status; /* in PROXY_CLOSED: what proxy_run() answers */
    char *closed_text;                /* and why, in words; NULL: out of memory */
    struct connection *connection;    /* the one that counts, to be recognised; NULL: none */
    uint64_t connections;             /* that came after the first: the number of the one that counts */
    struct stream *stream;            /* its stream */
    int64_t deadline;                 /* of the turn, or of the state; INT64_MAX: nothing */
    int64_t away_until;               /* in PROXY_AWAY; INT64_MAX otherwise */
    struct timer timer;               /* for the earlier of the two, */
    int64_t rings_at;                 /* or before that; INT64_MAX: it does not run */
    int64_t state_since;

    /* Turns: written by turn.c alone. */
    struct turn *running;
    struct buffer *instruction; /* of the running turn, a reference */
    struct outgoing outgoing;   /* its chunks */
    struct buffer *refused;     /* the last word of an answer that was refused, a reference; NULL: none yet */
    uint64_t turn;              /* number of the last turn that began */
    bool given_up;              /* that turn was given up */
    bool asked;                 /* for a turn, since that turn began */
    size_t owed;                /* answers to given-up turns that an original participant will still send */
    struct stream *tended; /* by a thread that waits for a turn; it may be older than `stream`; NULL: none */
    double progress;       /* of the running turn */
    struct muster_message report; /* the numbers of its latest progress report */

    /* What comes of the answer: written by answer.c alone. */
    struct upload upload;
    uint64_t answered; /* number of the last turn that ended with an answer; 0: none yet */

    /* What is counted: written by statistics.c alone. */
    int64_t heard_at;     /* when the latest message came */
    int64_t heartbeat_ms; /* what the participant was told; 0: it sends none */
    struct muster_traffic traffic;
    uint32_t turns_ended[MUSTER_STATUS_ROOM];
};

/* ---- proxy.c ---- */

/* With the lock held: the timer, from now on to a limit, or only to away_until; or as both have been set. */
void muster__proxy_start_timer(struct proxy *proxy, int64_t limit_ms);
void muster__proxy_stop_timer(struct proxy *proxy);
/* The limit of a turn is over. The timer is left to ring, where another turn may follow. */
void muster__proxy_end_limit(struct proxy *proxy);

/* With the lock held: what becomes of it without its connection. It is away; or it ends for good, with its
   running turn, which is the caller's to end; or another connection takes the place. */
void muster__proxy_go_away(struct proxy *proxy);
struct turn *muster__proxy_go_for_good(struct proxy *proxy, enum muster_status closed_status,
                                       const char *text);
void muster__proxy_come_back(struct proxy *proxy, struct connection *connection);

/* The end is complete, and nothing will come any more: it is told, and its reference given back. */
void muster__proxy_retire(struct proxy *proxy, enum muster_status status, const char *text);

/* With the lock held, in PROXY_CLOSED: what is answered, and why, in *error. */
enum muster_status muster__proxy_closed(const struct proxy *proxy, struct muster_error *error);

/* ---- statistics.c; with the lock held but the last ---- */

/* Sends a message on the proxy's stream, and counts it; as the transport's send(). */
enum muster_status muster__proxy_send(struct proxy *proxy, const uint8_t *head, size_t head_size,
                                      struct buffer *body);

/* Sends the next chunk of the instruction, if it is time, and counts it. */
void muster__proxy_send_chunk(struct proxy *proxy);

/* The interval of heartbeats to tell the participant, if it is another than it knows: otherwise 0. */
uint64_t muster__proxy_tell_heartbeat(struct proxy *proxy);

/* A message of so many bytes has come. */
void muster__proxy_heard(struct proxy *proxy, size_t size);

/* A turn begins, with an instruction of so many bytes; one has ended, with an answer of so many. */
void muster__proxy_count_begin(struct proxy *proxy, struct turn *turn, uint64_t size);
void muster__proxy_count_end(struct proxy *proxy, enum muster_status status, int64_t milliseconds,
                             uint64_t size);

/* ---- session.c ---- */

/* With the lock held: sends Welcome; OK also when nobody is welcome any more. */
enum muster_status muster__proxy_send_welcome(struct proxy *proxy);

/* ---- turn.c; with the lock held but the last ---- */

/* Sends the instruction of a turn, be it again. GONE: the connection has ended, and we are about to be
   told. */
enum muster_status muster__proxy_send_instruction(struct proxy *proxy, struct buffer *body, uint64_t turn);

/* The connection with its chunks is over. */
void muster__proxy_interrupt_instruction(struct proxy *proxy);

/* Tells the participant that the latest turn was given up. Should this fail, it finds out when its answer is
   dropped. */
void muster__proxy_send_cancel(struct proxy *proxy);

enum reply { REPLY_ANSWERS, REPLY_LATE, REPLY_UNASKED };

/* What a message of this turn from an open participant is to the turns so far. */
enum reply muster__proxy_classify(struct proxy *proxy, uint64_t turn);

/* Takes the running turn out, to be ended once the lock is not held; NULL: none runs. What has arrived of an
   answer is left with it. */
struct turn *muster__proxy_take_turn(struct proxy *proxy);

/* The same, and the participant is told, if the instruction has left, that its answer is not wanted any
   more. */
struct turn *muster__proxy_give_up(struct proxy *proxy);

/* Ends a turn that was taken out, if one was. `answer` may be NULL. */
void muster__proxy_end_turn(struct proxy *proxy, struct turn *turn, enum muster_status status,
                            struct muster_message *answer, size_t answer_size);

/* ---- answer.c; with the lock held ---- */

/* What the budget asks of a proxy, whose claim is part of it. */
extern const struct claim_events muster__proxy_claim_events;

/* Promises room to the answer to an instruction, which is expected to be as big as the last one or as the
   instruction; in bytes, 0: none. */
uint64_t muster__proxy_reserve(struct proxy *proxy, const struct buffer *instruction);

/* Ends what the turn holds of the upload budget. What has arrived is the caller's, to be cleared once the
   lock is not held. */
struct muster_message muster__proxy_end_upload(struct proxy *proxy);

#endif
