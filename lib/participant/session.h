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
#include "participant/warning.h"

/* Guarded by participant->lock; written by session.c, but where it says otherwise. */
struct session {
    enum participant_state state;
    int64_t state_since;
    uint64_t attempts;     /* to connect */
    uint64_t connections;  /* that a server let in */
    struct stream *stream; /* NULL in AWAY and ENDED */
    struct timer timer;
    int64_t deadline; /* of CONNECTING, LEAVING or AWAY, or when ENDED is to be told; INT64_MAX: none */
    int32_t reconnect_seconds;
    bool closed;              /* by the user */
    bool closing;             /* the stream is to be closed when a big answer is sent */
    bool settled;             /* in ENDED: no event will come any more */
    bool end_untold;          /* in ENDED: the timer is to tell the user, as a stream's end does */
    enum muster_status fault; /* why we cut the stream ourselves; OK: we did not */
    enum muster_status status;
    char reason[MUSTER_ERROR_TEXT_SIZE];

    /* What outlives the stream. */
    char *name; /* set once, by the first Welcome */
    uint64_t rank;
    uint8_t token[SESSION_SIZE_MAX]; /* the server's, until another is given */
    size_t token_size;               /* 0: the session ends with the stream */
    struct wait wait;                /* begun by return.c, as the next two; both end by session.c */
    bool returning;                  /* CONNECTING and AWAY are for attempts to come back */
    bool waiting;                    /* for the server, which has not let it in */
    int64_t opened_at;               /* the latest connection */
    bool proven;                     /* an instruction came over it */
    int64_t came_at;                 /* when the latest instruction was whole */
    int64_t name_until; /* a name that is in use is tried again until then (return.c); 0: it was not in use */

    struct warnings warnings; /* of warning.c */
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

/* Before the end: passes the initiative by the first, empty message: from now on the server speaks first. */
enum muster_status muster__session_pass_initiative(struct participant *participant);

/* The user leaves: ends the stream as participant_close() says. Idempotent. */
void muster__session_hang_up(struct participant *participant);

/* The user has left, and frees it: nobody is to be told any more of an end that was not told yet. */
void muster__session_spare(struct participant *participant);

#endif
