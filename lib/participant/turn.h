/*
 * The turns of a participant: instructions that arrive and are consumed, answers that leave, and what is sent
 * again on the next stream. They know nothing of the session but what it tells them.
 *
 * With the participant's lock held. What is dropped under it is freed by muster__turns_unlock().
 */
#ifndef MUSTER_PARTICIPANT_TURN_H
#define MUSTER_PARTICIPANT_TURN_H

#include <pthread.h>
#include <stdbool.h>

#include <muster/traffic.h>

#include "link/hello.h"
#include "link/traffic.h"
#include "link/transfer.h"
#include "wire/wire.h"

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

/* Written by turn.c alone. */
struct turns {
    struct muster_traffic *traffic; /* the participant's */
    /* What the session tells. */
    struct stream *stream;     /* NULL: the server does not listen */
    bool original;             /* it did not answer Hello: it is one of the original protocol */
    bool over;                 /* nothing will come any more */
    struct abilities server;   /* what it takes */
    uint64_t most_to_be_taken; /* of an instruction, in chunks */

    bool begun;         /* the initiative was passed, by the first, empty message */
    bool came;          /* `next` holds an instruction that was not consumed yet */
    bool unanswered;    /* `current` holds an instruction that was not answered yet */
    bool cancelled;     /* nobody waits for the answer to `current` any more, */
    bool cancel_untold; /* of which on_cancelled is to be told */
    int descriptor;     /* of participant_descriptor(); -1: nobody has asked for it */
    bool shown_ready;   /* by it */
    bool asking;        /* the program has something to say, since it consumed the last instruction, */
    bool asked;         /* which the server was told on this stream, since its last instruction came */
    uint64_t consumed;  /* instructions so far: turns begin anew with each session, these do not */
    uint64_t answered;
    uint64_t given_up; /* by the server, after they were consumed */
    struct instruction current;
    struct instruction next;
    struct incoming arriving; /* the message of `next`, while chunks are missing, */
    bool lands;               /* of which one is read to its place */
    uint64_t last_turn;       /* of the last instruction that was received whole */
    bool holds_answer;        /* to the last instruction, until the next: it may have to be sent again */
    struct buffer *held;      /* that answer */
    uint64_t held_turn;
    struct outgoing outgoing; /* the last answer, if it is a big one, until the next instruction */
    int64_t progress_at;      /* before this time, no report is sent */
    struct trash trash;       /* empty when nobody has the lock */

    /* Why the answer to `current` was not sent; "": it was, or the program has not tried. */
    char failed[MUSTER_ERROR_TEXT_SIZE];
};

/* Of memory that was zero; these two without the lock. */
void muster__turns_init(struct turns *turns, struct muster_traffic *traffic, uint64_t most_to_be_taken);
void muster__turns_destroy(struct turns *turns);

/* Gives the lock back, and frees what was dropped under it. */
void muster__turns_unlock(struct turns *turns, pthread_mutex_t *lock);

/* ---- what the session tells ---- */

/* The server listens, by this stream. */
void muster__turns_open(struct turns *turns, struct stream *stream, bool original,
                        const struct abilities *server);

/* It does not any more, and the stream has ended or is about to: what was on its way, in or out, is to come again
   as a whole. */
void muster__turns_interrupt(struct turns *turns);

/* The session goes on with a new stream: the answer is sent again if the server has not got it. `last_turn`
   is over for the server. */
void muster__turns_resume(struct turns *turns, uint64_t last_turn);

/* The session is over: nobody waits for an answer, and turns begin anew. */
void muster__turns_forget(struct turns *turns);

/* The end: nothing is to be consumed any more but a request to come back that the user wants to see. */
void muster__turns_end(struct turns *turns);

/*
 * Takes what was received, if it is not for the session: an instruction, a chunk, a Cancel or a grant. *ready
 * is set when there is something to consume. Not OK, with a text: the stream is to be cut. May give the lock
 * back for a while.
 */
enum muster_status muster__turns_received(struct turns *turns, pthread_mutex_t *lock,
                                          struct envelope *envelope, size_t size, bool *ready,
                                          struct muster_error *error);

/* A chunk begins to arrive, with so much data: where that belongs; NULL: nobody wants it. False: it is to be taken as a
   whole. */
bool muster__turns_land(struct turns *turns, const struct envelope *envelope, size_t size, uint8_t **place);

/* A chunk of the answer has left: the next may go. */
void muster__turns_sent(struct turns *turns);

/* Whether there is an instruction that is arriving, waits for its answer, or whose answer is being sent. */
bool muster__turns_are_busy(const struct turns *turns);

/* Whether on_cancelled is to be told, which is up to the caller from now on. */
bool muster__turns_take_cancelled(struct turns *turns);

/* ---- what the user's code does, before the end ---- */

/* The initiative was passed on this stream: from now on instructions come, and they can be asked for. */
void muster__turns_begin(struct turns *turns);

/* The program has something to say: the server is asked for a turn, as soon as it listens and has the
   initiative, and on each stream anew until the program consumes an instruction. */
void muster__turns_ask(struct turns *turns);

/* Whether there is an instruction to answer, and to work on. */
enum muster_status muster__turns_may_answer(const struct turns *turns, struct muster_error *error);

/* The same for one who answers: a turn that was given up is answered by that. */
enum muster_status muster__turns_begin_answer(struct turns *turns, struct muster_error *error);

/* Sends the answer to the current turn, and holds it until it is known to have arrived: where there is no stream any
   more, it is sent when there is one, if there ever is. */
enum muster_status muster__turns_answer(struct turns *turns, struct buffer *body);

/* The answer to the current turn makes no sense or is too big: muster__turns_pass_over() tells the server. */
void muster__turns_fail(struct turns *turns, const char *why);

/* Copies what travels in chunks, which go out meanwhile. Without the lock. */
void muster__turns_fill(struct turns *turns, pthread_mutex_t *lock, struct buffer *body,
                        const struct muster_message *message);

/* The current instruction, if there is one, was passed over: it is answered, so that the server does not
   wait for nothing. */
void muster__turns_pass_over(struct turns *turns);

/* Takes what came to be worked on. */
const struct muster_message *muster__turns_consume(struct turns *turns);

/* Makes *message one that the current instruction shares its memory with, until both are cleared; false:
   there is none, and it is empty. */
bool muster__turns_take(struct turns *turns, struct muster_message *message);

/* Reports progress with numbers, unless it is too soon. */
enum muster_status muster__turns_report(struct turns *turns, double fraction,
                                        const struct muster_message *numbers, int64_t now);

/* participant_descriptor(). */
int muster__turns_descriptor(struct turns *turns, struct muster_error *error);

#endif
