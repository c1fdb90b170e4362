/*
 * The proxy, for those who do not know it from inside: connections, admission, rounds and the manager. What
 * it does is one state machine in four files, which share internal.h: proxy.c, session.c, turn.c and
 * answer.c.
 *
 * Called without a lock held, where nothing else is said. They may call the user's code.
 */
#ifndef MUSTER_PROXY_PROXY_H
#define MUSTER_PROXY_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include <muster/participant_manager.h>
#include <muster/proxy.h>
#include <muster/statistics.h>

#include "wire/wire.h"

struct connection;
struct place;
struct instruction;

/* ---- what is constant; under any lock ---- */

struct participant_manager *muster__proxy_manager(const struct proxy *proxy);
struct place *muster__proxy_place(struct proxy *proxy);
bool muster__proxy_takes_chunks(const struct proxy *proxy);

/* Puts the participant's name before the text of *error (may be NULL), unless `status` is OK; returns it. */
enum muster_status muster__proxy_named(const struct proxy *proxy, enum muster_status status,
                                       struct muster_error *error);

/* What its clock shows, in milliseconds. */
int64_t muster__proxy_now(const struct proxy *proxy);

/* Once it is admitted: whether that is the token of its session, or the one that it came with, of a server
   before this one: who still shows that has not got Welcome. */
bool muster__proxy_is_shown(const struct proxy *proxy, const ProtobufCBinaryData *token);

/* ---- joining, in this order, on the network thread of its stream ---- */

/* A proxy in PROXY_ARRIVED, with one reference for the caller's connection; NULL when out of memory. */
struct proxy *muster__proxy_new(struct participant_manager *manager, struct stream *stream,
                                struct connection *connection);

/* Keeps what is needed of its Hello, and gives it a token; NULL: it speaks the original protocol. OUT_OF_MEMORY, or
   UNAVAILABLE when there are no random numbers. */
enum muster_status muster__proxy_introduce(struct proxy *proxy, const Muster__Hello *hello,
                                           struct muster_error *error);

/* It is admitted: makes the user's object. */
void muster__proxy_make_user(struct proxy *proxy);

/* The same: Welcome, and its initiative is awaited. */
void muster__proxy_welcome(struct proxy *proxy);

/* The participant passes the initiative. */
void muster__proxy_open(struct proxy *proxy);

/* Goes on with a new connection, which takes the place of an older one; `fresh` was the connection's so far.
   False: its end has begun, and its name is free. The caller's reference to the proxy becomes the
   connection's. */
bool muster__proxy_resume(struct proxy *proxy, struct connection *connection, struct proxy *fresh,
                          const Muster__Hello *hello);

/* A proxy that is not needed, as its connection is another's. */
void muster__proxy_discard(struct proxy *fresh);

/* ---- what a connection tells; nothing more happens once a newer one has taken its place ---- */

/* A message of so many bytes has come: what it meets; PROXY_CLOSED also when a newer connection has taken the
   place of this one. */
enum proxy_state muster__proxy_receive(struct proxy *proxy, const struct connection *connection, size_t size);

/* Messages of an open participant. */
void muster__proxy_answer(struct connection *connection, struct envelope *envelope, size_t size);
void muster__proxy_chunk(struct connection *connection, struct envelope *envelope);
/* A chunk begins to arrive, with so much data: where that belongs; NULL: nobody wants it any more. False: it is to be
   taken as a whole. */
bool muster__proxy_land(struct connection *connection, const struct envelope *envelope, size_t size,
                        uint8_t **place);
void muster__proxy_progress(struct connection *connection, struct envelope *envelope);
void muster__proxy_ask(struct connection *connection);

/* A chunk of the instruction has left: the next one goes. */
void muster__proxy_sent(struct connection *connection);

/* It has ended; gives back its reference and its stream. */
void muster__proxy_disconnected(struct connection *connection, enum muster_status status, const char *text);

/* ---- the end ---- */

/* Its state, which may be another at once; *left_ms (may be NULL): that it is waited for. */
enum proxy_state muster__proxy_state(struct proxy *proxy, int64_t *left_ms);

/*
 * Begins the end: the participant is told `status` and `text` after an optional last message, proxy_run()
 * answers `closed_status` from now on, and so does a running turn. Does nothing when the end has begun.
 */
void muster__proxy_end(struct proxy *proxy, enum muster_status closed_status, struct buffer *last,
                       enum muster_status status, const char *text);

/* Ends it with MUSTER_PROTOCOL. */
void muster__proxy_misbehaved(struct proxy *proxy, const char *text);

/* Ends it with MUSTER_GONE, unless it is not away, or not any more: false. */
bool muster__proxy_end_away(struct proxy *proxy, const char *text);

/* The message that asks to come back; INVALID or OUT_OF_MEMORY, with *error. */
enum muster_status muster__reconnect_in(int32_t seconds, struct buffer **body, struct muster_error *error);

/* ---- turns ---- */

/*
 * One instruction on its way through a proxy. `ended` is called exactly once for a turn that began, without a
 * lock held, and takes over what *answer holds; after it, the library does not touch the turn.
 */
struct turn {
    enum muster_kind kind;
    void (*ended)(struct turn *turn, struct proxy *proxy, enum muster_status status,
                  struct muster_message *answer, size_t answer_size);
    bool waited;     /* a thread waits for it, and `ended` calls no code of the user's */
    uint64_t round;  /* its number; 0: it is part of none */
    uint64_t number; /* the library's, like the next ones: set when it begins */
    int64_t began_at;
    struct stream
        *tended; /* where a thread waits, what it tends from now on: see transport.h; NULL: nothing */
    struct muster_message arrived; /* of an answer that broke off */
};

/* Begins a turn. On OK `turn` must stay until its end; otherwise it was not touched, and *error says why.
 *sent (may be NULL) is the number of bytes. */
enum muster_status muster__proxy_begin(struct proxy *proxy, struct turn *turn,
                                       struct instruction *instruction, int64_t timeout_ms, uint64_t *sent,
                                       struct muster_error *error);

/* The thread that waits for a turn does not tend the proxy's stream any more. */
void muster__proxy_tend_end(struct proxy *proxy);

/* The thread that tends is to look. */
void muster__proxy_rouse(struct proxy *proxy);

/* Whether a message may be told on the thread that tends: it is about the turn that a thread waits for, and no code
   of the user's hears of it. */
bool muster__proxy_is_about_wait(struct proxy *proxy, const struct connection *connection,
                                 const struct envelope *envelope);

/* The thread of the transport that reads its stream; 0 when it is away. */
unsigned muster__proxy_lane(struct proxy *proxy);

/* Gives up `turn` if it is the running one (any if NULL): it ends with CANCELLED on this thread. */
void muster__proxy_cancel(struct proxy *proxy, const struct turn *turn);

/* Why a turn ended with this status and answer, in words: in `text`, which it returns. */
const char *muster__proxy_explain(struct proxy *proxy, enum muster_status status,
                                  const struct muster_message *answer, char text[MUSTER_ERROR_TEXT_SIZE]);

/*
 * Tells the participant that its answer to this turn was refused, 0: its last answer, and why, in a text that
 * is not empty. Otherwise as proxy_refuse().
 */
enum muster_status muster__proxy_refuse(struct proxy *proxy, uint64_t turn, const char *reason,
                                        struct muster_error *error);

#endif
