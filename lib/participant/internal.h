/*
 * What the files of lib/participant share: the participant from inside. Calls go one way: from participant.c
 * to session.c to turn.c.
 *
 * One lock, participant->lock, guards all that changes. Under it the transport's stream functions and the
 * timers are called, which take their own locks and call nothing back. No user code runs under it.
 */
#ifndef MUSTER_PARTICIPANT_INTERNAL_H
#define MUSTER_PARTICIPANT_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <muster/participant.h>

#include "link/token.h"
#include "link/transfer.h"
#include "network/transport.h"
#include "wire/codec.h"

enum participant_state {
    CONNECTING, /* a stream is being opened; the server has not said anything yet */
    OPEN,       /* admitted */
    LEAVING,    /* the server asked to come back later; the stream's end is awaited */
    AWAY,       /* no stream, the server asked for it or it broke; the timer runs until the next is opened */
    ENDED,      /* for good; `status` and `reason` say why */
};

struct instruction {
    struct muster_message message;
    uint64_t turn;
    uint64_t granted; /* an answer of up to so many bytes in chunks may send them without being told to, */
    uint64_t limit;   /* so many of them; 0: all */
};

/* What was dropped under the lock and is freed without it: it may be gigabytes, and events must not wait. */
struct trash {
    size_t message_count;
    struct muster_message messages[3]; /* what `current`, `next` and `arriving` held */
    size_t answer_count;
    struct buffer *answers[2]; /* what `held` held, and then an answer that could not be sent */
};

struct participant {
    atomic_size_t references;           /* the user's, and one while the timer runs */
    struct participant_options options; /* without its strings, which are in `hello` */
    char *address;
    struct buffer *hello; /* packed: name, labels, limits */
    struct credentials *credentials;
    struct connection_options connection;
    struct muster_transport *transport;

    pthread_mutex_t lock; /* guards all below; given back by muster__participant_unlock() */
    pthread_cond_t changed;

    /* The stream: changed by session.c alone. */
    enum participant_state state;
    struct stream *stream; /* NULL in AWAY and ENDED */
    struct timer timer;
    int64_t deadline; /* of CONNECTING, LEAVING or AWAY; INT64_MAX: none */
    int32_t reconnect_seconds;
    bool original;             /* the server did not answer Hello: it is one of the original protocol */
    size_t max_message_size;   /* that both sides accept */
    uint64_t max_payload_size; /* that the server accepts; 0: it takes no chunks */
    bool closed;               /* by the user */
    bool closing;              /* the stream is to be closed when `outgoing` is sent */
    bool settled;              /* in ENDED: no event will come any more */
    enum muster_status fault;  /* why we cut the stream ourselves; OK: we did not */
    enum muster_status status;
    char reason[MUSTER_ERROR_TEXT_SIZE];

    /* The session, which outlives the stream: changed by session.c alone. */
    char *name; /* set once, before participant_connect() returns */
    uint64_t rank;
    uint8_t session[SESSION_SIZE_MAX]; /* the server's token, until another is given */
    size_t session_size;               /* 0: it ends with the stream */
    bool returning;                    /* CONNECTING and AWAY are for attempts to come back */
    int64_t try_until;                 /* so long are attempts repeated, the first ones too */
    int64_t reconnect_pause_ms;
    int64_t opened_at; /* the latest connection */
    bool proven;       /* an instruction came over it */

    /* The wait for the server, while it has not let the participant in: changed by session.c alone. */
    bool waiting;
    bool telling; /* on_warning is being called: one at a time, and participant_free() waits for it */
    enum muster_status cause_status; /* of the last attempt that failed; OK: none yet */
    char cause[MUSTER_ERROR_TEXT_SIZE];
    int64_t told_at; /* when the user heard of it last, or when it began, */
    int64_t told_interval_ms;
    char told[MUSTER_ERROR_TEXT_SIZE]; /* and which cause */

    /* Answers that the server refused: changed by session.c alone. */
    int64_t refusals_until; /* what was told of them lasts until then: not too much at once */
    uint64_t untold;        /* of which the user was not told since */

    /* Turns: changed by turn.c alone. */
    bool initiative;    /* the first, empty message was dispatched */
    bool came;          /* `next` holds an instruction that was not consumed yet */
    bool unanswered;    /* `current` holds an instruction that was not answered yet */
    bool cancelled;     /* nobody waits for the answer to `current` any more, */
    bool cancel_untold; /* of which on_cancelled is to be told; taken by session.c */
    int descriptor;     /* of participant_descriptor(); -1: nobody has asked for it */
    bool shown_ready;   /* by it */
    uint64_t consumed;  /* instructions so far: turns begin anew with each session, this does not */
    struct instruction current;
    struct instruction next;
    struct incoming arriving;  /* an instruction of which chunks are missing */
    uint64_t arriving_granted; /* its `granted` */
    uint64_t arriving_limit;   /* and `limit` */
    uint64_t last_turn;        /* of the last instruction that was received whole */
    bool holds_answer;         /* to the last instruction, until the next: it may have to be sent again */
    struct buffer *held;       /* that answer */
    uint64_t held_turn;
    struct outgoing outgoing; /* the last answer, if it is a big one, until the next instruction */
    int64_t progress_at;      /* before this time, no report is sent */
    struct trash trash;       /* empty when nobody has the lock */
};

/* Whether a server has ever let it in. With the lock held. */
static inline bool is_admitted(const struct participant *participant)
{
    return participant->name || participant->original;
}

/* Whether it comes back when the stream breaks. With the lock held. */
static inline bool comes_back(const struct participant *participant)
{
    return participant->returning ||
           (participant->options.reconnect_timeout_ms != 0 && participant->session_size);
}

/* ---- participant.c ---- */

/* Gives back a reference; the last one frees. Without the lock. */
void muster__participant_release(struct participant *participant);

/* ---- session.c; with the lock held ---- */

/* Opens the first stream. What goes wrong is told by the state, now or later. */
void muster__participant_open(struct participant *participant);

/* The time to connect is over: why nobody has admitted it. */
enum muster_status muster__participant_no_answer(const struct participant *participant,
                                                 struct muster_error *error);

/* The user leaves: ends the stream as participant_close() says. Idempotent. */
void muster__participant_hang_up(struct participant *participant);

/* ---- turn.c; with the lock held ---- */

/* Gives the lock back, and frees what was dropped under it. */
void muster__participant_unlock(struct participant *participant);

/*
 * Takes what was received, if it is not for the session: an instruction, a chunk, a Cancel or a grant. *ready
 * is set when there is something to consume. Not OK, with a text: the stream is to be cut. May give the lock
 * back for a while.
 */
enum muster_status muster__participant_received(struct participant *participant, struct envelope *envelope,
                                                size_t size, bool *ready, struct muster_error *error);

/* A chunk of the answer has left: the next may go. */
void muster__participant_sent(struct participant *participant);

/* The stream has ended: what was on its way, in or out, is to come again as a whole. */
void muster__participant_interrupt_turns(struct participant *participant);

/* The session goes on with a new stream: the answer is sent again if the server has not got it. `last_turn`
   is over for the server. */
void muster__participant_resume_turns(struct participant *participant, uint64_t last_turn);

/* The session is over: nobody waits for an answer, and turns begin anew. */
void muster__participant_forget_turns(struct participant *participant);

/* The end: nothing is to be consumed any more but a request to come back that the user wants to see. */
void muster__participant_end_turns(struct participant *participant);

#endif
