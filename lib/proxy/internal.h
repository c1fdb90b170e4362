/*
 * What the files of lib/proxy share: the manager and the proxy from inside.
 *
 * Three locks: registry->lock and proxy->lock, never held together, and budget->lock, which may be taken
 * under proxy->lock. Under the last two the transport's stream functions and the timers are called, which
 * take their own locks and call nothing back. No user code runs under any of them.
 *
 * A function that does not say so is called without any of the three held.
 */
#ifndef MUSTER_PROXY_INTERNAL_H
#define MUSTER_PROXY_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <muster/participant_manager.h>
#include <muster/proxy.h>

#include "network/transport.h"
#include "proxy/budget.h"
#include "proxy/drain.h"
#include "proxy/registry.h"
#include "proxy/ring.h"
#include "wire/codec.h"
#include "wire/transfer.h"

struct credentials;

struct participant_manager {
    atomic_size_t references; /* the user's, and one of each proxy */
    struct participant_manager_options options;
    char *address;
    struct muster_transport *transport;
    struct listener *listener;
    uint16_t port;
    struct credentials *credentials;
    struct timer reminder; /* once a day, while there are credentials; pending in the drain */
    struct connection_options connection;
    struct buffer *cancel; /* the one message that is the same for everybody */
    struct drain drain;
    struct budget budget;
    struct registry registry;
};

enum proxy_state {
    PROXY_ARRIVED,  /* the stream is there; its first message is awaited */
    PROXY_ADMITTED, /* Hello was answered; the initiative is awaited */
    PROXY_OPEN,
    PROXY_AWAY, /* the connection broke after it was open: the participant may come back */
    PROXY_CLOSED,
};

#define SESSION_SIZE 16

/* A stream's side towards us: it begins with a proxy of its own, and may turn out to be another's. Of the
   network thread that runs the stream's events. */
struct connection {
    struct stream *stream;
    struct proxy *proxy; /* a reference */
    bool resumed;        /* the initiative may be passed once more */
    uint64_t number;     /* of those of the proxy, from 0 */
    int64_t idle_since;  /* messages of no use that have come, */
    unsigned idled;      /* and how many */
};

/* An instruction, serialised at most once for those who take chunks and once for those who do not. */
struct instruction {
    struct participant_manager *manager;
    const struct muster_message *message;
    sem_t *borrow;          /* see struct encoding */
    struct storage *keep;   /* the same */
    struct buffer *chunked; /* NULL: nobody has needed it yet; also below */
    struct buffer *whole;
};

/*
 * One instruction on its way through a proxy. `ended` is called exactly once for a turn that began, without a
 * lock held, and takes over what *answer holds; after it, the library does not touch the turn.
 */
struct turn {
    enum muster_kind kind;
    void (*ended)(struct turn *turn, struct proxy *proxy, enum muster_status status,
                  struct muster_message *answer, size_t answer_size);
    uint64_t number;               /* the library's, like the next: set when it begins */
    struct muster_message arrived; /* of an answer that broke off */
};

enum upload_state {
    UPLOAD_NONE,
    UPLOAD_RESERVED, /* room is promised to an answer that was not announced yet */
    UPLOAD_WAITING,  /* announced, and waiting for room */
    UPLOAD_GRANTED,  /* its chunks are arriving */
};

/* How far ahead of what has arrived a participant may send: window.c. */
struct window {
    int64_t greeted_at;
    uint64_t limit; /* bytes of the answer that it has been told of */
    uint64_t mark;  /* the limit before: what comes behind it follows our last word */
    bool is_dry;    /* all that comes before the mark has come, the last chunk so long after the one before */
    int64_t pace_ms;
    int64_t heard_at; /* when the last chunk came */
    int64_t lost_ms;  /* by late words, less what those in time have made up for */
};

/* A big answer, from its announcement until it is whole. Guarded by proxy->lock, but for the claim. */
struct upload {
    enum upload_state state;
    uint64_t reserved; /* bytes, in UPLOAD_RESERVED */
    uint64_t request;  /* the ticket, in UPLOAD_WAITING */
    uint64_t grants;   /* in this turn, the reservation not counted */
    bool pregranted;   /* in this turn */
    struct incoming incoming;
    struct window window;
    uint64_t last_size; /* of this participant's latest, 0: none yet */
    struct claim claim;
};

/* What of a Hello is needed for as long as the proxy: 16 KiB of it can be half a megabyte once they are read.
 */
struct introduction {
    size_t token_size; /* that it came with, of a server before this one */
    size_t label_count;
    char bytes[]; /* the token, and each label's name and value with their NULs */
};

struct proxy {
    /* Users', each connection's, one while the timer runs, and one until the end has been told. */
    atomic_size_t references;
    struct participant_manager *manager;

    /* Set on the way to PROXY_OPEN by the network thread; constant for everybody else. */
    bool original; /* it speaks the original protocol only */
    char *peer;
    struct introduction *introduction; /* NULL: it said no Hello */
    size_t max_message_size;
    uint64_t max_payload_size; /* 0: it does not take chunks */
    bool hears_refusals;       /* it wants to be told of its answers that were refused */
    void *user;
    bool has_user;
    bool joined;                   /* it has passed the initiative, so that its end is an event of its own */
    uint8_t session[SESSION_SIZE]; /* the token */

    struct place place;

    pthread_mutex_t lock; /* guards all below */
    enum proxy_state state;
    enum muster_status closed_status; /* in PROXY_CLOSED: what proxy_run() answers */
    char *closed_text;                /* and why, in words; NULL: out of memory */
    struct connection *connection;    /* the one that counts, to be recognised; NULL: none */
    uint64_t connections;             /* that came after the first */
    struct stream *stream;            /* its stream */
    struct turn *running;
    struct buffer *instruction; /* of the running turn, a reference */
    struct buffer *refused;     /* the last word of an answer that was refused, a reference; NULL: none yet */
    struct outgoing outgoing;   /* its chunks */
    struct upload upload;
    uint64_t turn;      /* number of the last turn that began */
    bool given_up;      /* that turn was given up */
    uint64_t answered;  /* number of the last turn that ended with an answer; 0: none yet */
    size_t owed;        /* answers to given-up turns that an original participant will still send */
    double progress;    /* of the running turn */
    int64_t began_at;   /* that turn */
    int64_t deadline;   /* of the turn, or of whatever the state waits for; INT64_MAX: nothing */
    int64_t away_until; /* in PROXY_AWAY; INT64_MAX otherwise */
    struct timer timer; /* for the earlier of the two */
};

/* ---- participant_manager.c ---- */

/* It is away, and counts as such, for which another may have to make room. False: a newer connection than
   the one of this number is there, or its end has begun. */
bool muster__manager_unlist(struct proxy *proxy, uint64_t number);

void muster__manager_event(struct proxy *proxy, enum participant_manager_event_kind kind,
                           enum muster_status status, const char *text);
/* Its memory, which proxies and prepared messages hold for longer than its user. */
void muster__manager_retain(struct participant_manager *manager);
void muster__manager_release(struct participant_manager *manager);

/* ---- name.c ---- */

/* What is wrong with a text of a participant, as in "a label ... is not taken", or with its name; NULL:
   nothing. */
const char *muster__text_fault(const char *text);
const char *muster__name_fault(const char *name);

/* ---- connection.c ---- */

extern const struct stream_events muster__connection_events;

/* The connection of a stream that has arrived, with a proxy in PROXY_ARRIVED whose timer runs; NULL when out
   of memory. */
struct connection *muster__connection_new(struct participant_manager *manager, struct stream *stream);

/* A message was of no use, or of little: not too many of them are read at a time. In a `message` event; a
   proxy's lock may be held. */
void muster__connection_idled(struct connection *connection);

/* ---- proxy.c ---- */

/* A proxy in PROXY_ARRIVED, with one reference for the caller's connection; NULL when out of memory. */
struct proxy *muster__proxy_new(struct participant_manager *manager, struct stream *stream,
                                struct connection *connection);

/* Keeps what is needed of Hello, which may be NULL; false: out of memory. */
bool muster__proxy_introduce(struct proxy *proxy, const Muster__Hello *hello);

/* It is admitted: makes the user's object. */
void muster__proxy_make_user(struct proxy *proxy);

/* Its state, which may be another at once; *left_ms (may be NULL): that it is waited for. */
enum proxy_state muster__proxy_state(struct proxy *proxy, int64_t *left_ms);

/* The participant passes the initiative. */
void muster__proxy_open(struct proxy *proxy);

/*
 * Begins the end: the participant is told `status` and `text` after an optional last message, proxy_run()
 * answers `closed_status` from now on, and so does a running turn. Does nothing when the end has begun.
 */
void muster__proxy_end(struct proxy *proxy, enum muster_status closed_status, struct buffer *last,
                       enum muster_status status, const char *text);

/* The message that asks to come back; INVALID or OUT_OF_MEMORY, with *error. */
enum muster_status muster__reconnect_in(int32_t seconds, struct buffer **body, struct muster_error *error);

/* Ends it with MUSTER_GONE, unless it is not away, or not any more: false. */
bool muster__proxy_end_away(struct proxy *proxy, const char *text);

/* Ends it with MUSTER_PROTOCOL. */
void muster__proxy_misbehaved(struct proxy *proxy, const char *text);

/* The end is complete, and nothing will come any more: it is told, and its reference given back. */
void muster__proxy_retire(struct proxy *proxy, enum muster_status status, const char *text);

/* With the lock held: the timer, from now on to a limit, or only to away_until; or as both have been set. */
void muster__proxy_start_timer(struct proxy *proxy, int64_t limit_ms);
void muster__proxy_stop_timer(struct proxy *proxy);
void muster__proxy_arm_timer(struct proxy *proxy);

/* What its clock shows, in milliseconds. Under any lock. */
int64_t muster__proxy_now(const struct proxy *proxy);

/* ---- turn.c ---- */

/* Begins a turn. On OK `turn` must stay until its end; otherwise it was not touched, and *error says why.
 *sent (may be NULL) is the number of bytes. */
enum muster_status muster__proxy_begin(struct proxy *proxy, struct turn *turn,
                                       struct instruction *instruction, int64_t timeout_ms, uint64_t *sent,
                                       struct muster_error *error);

/* Why a turn ended with this status and answer, in words: in `text`, which it returns. */
const char *muster__proxy_explain(struct proxy *proxy, enum muster_status status,
                                  const struct muster_message *answer, char text[MUSTER_ERROR_TEXT_SIZE]);

/* Gives up `turn` if it is the running one (any if NULL): it ends with CANCELLED on this thread. */
void muster__proxy_cancel(struct proxy *proxy, const struct turn *turn);

/*
 * Tells the participant that its answer to this turn was refused, 0: its last answer, and why, in a text that
 * is not empty. Otherwise as proxy_refuse().
 */
enum muster_status muster__proxy_refuse(struct proxy *proxy, uint64_t turn, const char *reason,
                                        struct muster_error *error);

/* With the lock held, in PROXY_CLOSED: what is answered, and why, in *error. */
enum muster_status muster__proxy_closed(const struct proxy *proxy, struct muster_error *error);

/* A chunk of the instruction has left: the next one goes. */
void muster__proxy_sent(struct connection *connection);

/* With the lock held: sends the instruction of a turn, be it again. GONE: the connection has ended, and we
   are about to be told. */
enum muster_status muster__proxy_send_instruction(struct proxy *proxy, struct buffer *body, uint64_t turn);

/* With the lock held: takes the running turn out, to be ended once the lock is not held; NULL: none runs.
   What has arrived of an answer is left with it. */
struct turn *muster__proxy_take_turn(struct proxy *proxy);

/* With the lock held: the same, and the participant is told, if the instruction has left, that its answer is
   not wanted any more. */
struct turn *muster__proxy_give_up(struct proxy *proxy);

/* Ends a turn that was taken out. `answer` may be NULL. */
void muster__proxy_end_turn(struct proxy *proxy, struct turn *turn, enum muster_status status,
                            struct muster_message *answer, size_t answer_size);

/* With the lock held: tells the participant that the latest turn was given up. Should this fail, it finds out
   when its answer is dropped. */
void muster__proxy_send_cancel(struct proxy *proxy);

/* ---- answer.c ---- */

/* Messages of an open participant; nothing when a newer connection has taken this one's place. */
void muster__proxy_answer(struct connection *connection, struct envelope *envelope, size_t size);
void muster__proxy_chunk(struct connection *connection, struct envelope *envelope);
void muster__proxy_progress(struct connection *connection, const struct envelope *envelope);

/* What the budget asks of a proxy, whose claim is part of it. */
extern const struct claim_events muster__proxy_claim_events;

/* With the lock held: promises room to the answer to an instruction, which is expected to be as big as the
   last one or as the instruction; in bytes, 0: none. */
uint64_t muster__proxy_reserve(struct proxy *proxy, const struct buffer *instruction);

/* With the lock held: ends what the turn holds of the upload budget. What has arrived is the caller's, to be
   cleared once the lock is not held. */
struct muster_message muster__proxy_end_upload(struct proxy *proxy);

/* ---- window.c; with the lock of the proxy held ---- */

/* Welcome is sent, and the participant's next word has come. */
void muster__window_greet(struct window *window, int64_t now);
void muster__window_reply(struct window *window, int64_t now);

/* For an answer from its first byte on; returns the limit to tell the participant. */
uint64_t muster__window_open(struct window *window);

/* So much of the answer has been received. True: the limit has moved, and the participant is to be told. */
bool muster__window_move(struct window *window, uint64_t received, uint64_t total, int64_t now);

/* ---- session.c ---- */

/* With the lock held: sends Welcome; OK also when nobody is welcome any more. */
enum muster_status muster__proxy_welcome(struct proxy *proxy);

/* The session's token, before the participant is admitted; false: there are no random numbers. */
bool muster__proxy_draw_token(struct proxy *proxy);

/* Under any lock, once it is admitted: whether that is the token of its session; or the one that it came
   with, of a server before this one. */
bool muster__proxy_has_session(const struct proxy *proxy, const ProtobufCBinaryData *token);
bool muster__proxy_came_with(const struct proxy *proxy, const ProtobufCBinaryData *token);

/* With the lock held: whether the session outlives a connection that ended like this. */
bool muster__proxy_may_come_back(const struct proxy *proxy, enum muster_status status);

/* A connection has ended; gives back its reference and its stream. */
void muster__proxy_disconnected(struct connection *connection, enum muster_status status, const char *text);

/* Goes on with a new connection, which takes the place of an older one; `fresh` was the connection's so far.
   False: its end has begun, and its name is free. The caller's reference to the proxy becomes the
   connection's. */
bool muster__proxy_resume(struct proxy *proxy, struct connection *connection, struct proxy *fresh,
                          const Muster__Hello *hello);

/* A proxy that is not needed, as its connection is another's. */
void muster__proxy_discard(struct proxy *fresh);

/* ---- round.c ---- */

/* Whether this thread is in on_answer of a round that the manager's stop would wait for. */
bool muster__round_holds(const struct participant_manager *manager);

/* ---- instruction.c: by the one thread that sends the instruction ---- */

/* The form for those who take chunks or for those who do not, serialised when it is first asked for; the
   instruction's. INVALID: it is none that has an answer. */
enum muster_status muster__instruction_body(struct instruction *instruction, bool chunks,
                                            struct buffer **body, struct muster_error *error);

/* Serialises an instruction for these proxies, to find out whether it can be sent at all. */
enum muster_status muster__instruction_check(struct instruction *instruction, struct proxy *const *proxies,
                                             size_t count, struct muster_error *error);

/* Gives the serialised forms back. */
void muster__instruction_release(struct instruction *instruction);

/*
 * The same, and waits until nothing refers to the memory that was borrowed for it, with `borrow` initialised:
 * all turns have ended, and the manager has been entered. A participant that reads nothing is cut off for
 * that after the manager's stop_timeout_ms.
 */
void muster__instruction_return(struct instruction *instruction);

#endif
