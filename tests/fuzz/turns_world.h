/*
 * The world of the turn state machine: a manager on the local network, a participant of the library that
 * joins it, raw peers that may say anything, and another participant whose server is raw. All on one thread:
 * where the library waits, events go on, and then time. It knows what was sent to whom, and what must hold.
 */
#ifndef MUSTER_TESTS_FUZZ_TURNS_WORLD_H
#define MUSTER_TESTS_FUZZ_TURNS_WORLD_H

#include <muster/fixture.h>
#include <muster/muster.h>

#include "fuzz/fuzz.h"
#include "link/hello.h"
#include "link/service.h"
#include "link/transfer.h"

#define MANAGER_ADDRESS "fixture:test/manager"
#define RAW_ADDRESS     "fixture:test/raw"

/* Of a refused answer, as it is given and as it is to be sent. */
#define REASON       "no\n"
#define REASON_SHOWN "no?"

enum {
    TURNS_MAX = 512,    /* that the manager begins, rounds counted once */
    SERIALS_MAX = 2048, /* of answers */
    PEERS = 6,
    IDENTITIES = 4,
    SEEN_MAX = 64, /* turns of a connection that a raw peer remembers */
    HELD_MAX = 8,
};

/* ---- what the manager asked, and what became of it ---- */

struct asked {
    enum muster_kind kind;
    unsigned size_class;
    bool round;
    bool ended;        /* never twice */
    unsigned consumed; /* by the library's participant: at most once */
    uint64_t serial;   /* that it answered with; 0: not yet */
    unsigned chain;    /* turns to begin when it ends */
    struct muster_message answer;
};

/* ---- the raw peers ---- */

struct identity {
    uint8_t token[64];
    size_t token_size;
};

struct peer {
    struct stream *stream; /* NULL: the slot is free */
    enum direction receives;
    bool closed;
    bool automatic; /* it does at once what an honest one would */
    bool said_empty;
    size_t identity;
    uint64_t last_turn;
    uint64_t grant;
    bool hears_asks, heard_empty; /* as a server; like the next two */
    unsigned instructions;
    unsigned asks;
    uint64_t seen[SEEN_MAX]; /* id of what it was asked in this turn, 0: nothing */
    enum muster_kind kinds[SEEN_MAX];
    struct outgoing outgoing;
};

/* ---- the library's participants: with the manager, and with the raw server ---- */

struct member {
    struct participant *participant; /* NULL: none */
    bool automatic;
    const struct muster_message *instruction;
};

enum { WITH_MANAGER, WITH_RAW, MEMBERS };

struct world {
    struct input input;
    struct muster_transport *network;
    struct participant_manager *manager;
    struct listener *raw_listener;
    bool raw_stopped;
    struct asked asked[TURNS_MAX]; /* by id, from 1 */
    uint64_t asked_count;
    uint64_t serials;
    bool given[SERIALS_MAX]; /* an answer with this serial was given to a turn */
    bool hears;              /* somebody asked to be told of its answers that were refused */
    bool lied;               /* somebody may have sent an answer with another's id */
    struct peer clients[PEERS];
    struct peer servers[PEERS];
    struct identity identities[IDENTITIES];
    struct member members[MEMBERS];
    struct proxy *held[HELD_MAX];
    size_t joined, left;
    unsigned depth; /* of blocking calls */
    size_t waits;
    uint64_t random;
};

extern struct world world;

/* An event of the input, in turns.c. */
void do_event(void);

enum { ELEMENTS_MAX = 20002 }; /* an application's message has two more than an array */

struct made {
    struct muster_message message;
    struct muster_array array;
    struct muster_scalar scalars[2];
    float data[ELEMENTS_MAX];
};

/* turns_world.c */
void world_begin(struct input input);
void world_end(void);

/* A message with an id and a serial in it. Static; sizes: 0, 1 small, 2 in chunks, 3 more than is taken. */
const struct muster_message *make_message(enum muster_kind kind, uint64_t id, uint64_t serial,
                                          unsigned size_class);
/* The same in memory of its own, to be freed with free(): for where others are made meanwhile. */
struct made *make_own_message(enum muster_kind kind, uint64_t id, uint64_t serial, unsigned size_class);
/* What make_message() has put into it; 0 where there is nothing. */
void read_message(const struct muster_message *message, uint64_t *id, uint64_t *serial);
/* Whether it is all that make_message() has put into it. */
bool is_whole(const struct muster_message *message, uint64_t id, uint64_t serial, unsigned size_class);
uint64_t next_serial(void);

/* Turns and rounds with the manager's proxies. */
struct proxy *choose_proxy(uint8_t choice); /* a reference, or NULL */
void begin_turn(struct proxy *proxy, enum muster_kind kind, unsigned size_class, int64_t limit_ms,
                unsigned chain);
void run_round(enum muster_kind kind, unsigned size_class, int64_t limit_ms, size_t enough);

/* turns_peer.c */
void raw_listen(void);
void peer_connect(struct peer *peer, bool automatic);
void peer_free(struct peer *peer);
void peer_event(struct peer *peer, struct input *input); /* one that the input chooses */

/* turns_participant.c */
void member_event(struct member *member, struct input *input);
void member_free(struct member *member);

#endif
