/*
 * The session of a participant: the stream, and what outlives it. All that changes the state is in
 * session.c, which tells the turns what becomes of them.
 */
#ifndef MUSTER_PARTICIPANT_SESSION_H
#define MUSTER_PARTICIPANT_SESSION_H

#include <stdbool.h>

#include <muster/participant.h>

#include "link/token.h"
#include "network/transport.h"
#include "participant/wait.h"

/* Guarded by participant->lock; written by session.c alone. */
struct session {
    enum participant_state state;
    int64_t state_since;
    uint64_t attempts;     /* to connect */
    uint64_t connections;  /* that a server let in */
    struct stream *stream; /* NULL in PARTICIPANT_AWAY and PARTICIPANT_ENDED */
    struct timer timer;
    int64_t
        deadline; /* of PARTICIPANT_CONNECTING, PARTICIPANT_LEAVING or PARTICIPANT_AWAY, or when PARTICIPANT_ENDED is to be told; INT64_MAX: none */
    int32_t reconnect_seconds;
    bool initiative;          /* the first, empty message was dispatched */
    bool closed;              /* by the user */
    bool closing;             /* the stream is to be closed when a big answer is sent */
    bool settled;             /* in PARTICIPANT_ENDED: no event will come any more */
    enum muster_status fault; /* why we cut the stream ourselves; OK: we did not */
    enum muster_status status;
    char reason[MUSTER_ERROR_TEXT_SIZE];

    /* What outlives the stream. */
    char *name; /* set once, before participant_connect() returns */
    uint64_t rank;
    uint8_t token[SESSION_SIZE_MAX]; /* the server's, until another is given */
    size_t token_size;               /* 0: the session ends with the stream */
    bool returning; /* PARTICIPANT_CONNECTING and PARTICIPANT_AWAY are for attempts to come back */
    struct wait wait;
    int64_t opened_at; /* the latest connection */
    bool proven;       /* an instruction came over it */
    int64_t came_at;   /* when the latest instruction was whole */

    /* What the user hears of the wait, and of answers that the server refused. */
    bool telling; /* on_warning is being called: one at a time, and participant_free() waits for it */
    int64_t refusals_until; /* what was told of them lasts until then: not too much at once */
    uint64_t untold;        /* of which the user was not told since */
};

/* Of memory that was zero; these two without the lock, all others with it. */
void muster__session_init(struct session *session);
void muster__session_destroy(struct session *session);

/* Whether a server has ever let it in; whether it comes back when the stream breaks. */
bool muster__session_is_admitted(const struct participant *participant);
bool muster__session_comes_back(const struct participant *participant);

/* What functions answer once nothing more can be sent or will come; OK before that. */
enum muster_status muster__session_final_status(const struct participant *participant,
                                                struct muster_error *error);

/* Opens the first stream. What goes wrong is told by the state, now or later. */
void muster__session_open(struct participant *participant);

/* The time to connect is over: why nobody has admitted it. */
enum muster_status muster__session_no_answer(const struct participant *participant,
                                             struct muster_error *error);

/* Before the end: passes the initiative by the first, empty message: from now on the server speaks first. */
enum muster_status muster__session_pass_initiative(struct participant *participant);

/* The user leaves: ends the stream as participant_close() says. Idempotent. */
void muster__session_hang_up(struct participant *participant);

#endif
