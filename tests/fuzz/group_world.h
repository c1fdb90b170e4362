/* The world of the group state machine: its members, what they have sent and begun, and what they call. */
#ifndef MUSTER_TESTS_FUZZ_GROUP_WORLD_H
#define MUSTER_TESTS_FUZZ_GROUP_WORLD_H

#include <muster/fixture.h>
#include <muster/muster.h>

#include "fuzz/calls.h"
#include "fuzz/fuzz.h"
#include "group/batch.h"

enum {
    MEMBERS = 3,
    LIAR = 2, /* its rank, if there is one */
    TAGS = 3,
    SERIALS_MAX = 512, /* of messages */
    STEPS_MAX = 64,    /* collective operations */
    LIES_MAX = 64,
    GRACE_MS = 1500,
};

struct member {
    struct muster_group *group; /* NULL: it is not there */
    unsigned calls;             /* that run on it: it is not freed meanwhile */
    unsigned receives;          /* of those */
    bool overlaps;              /* two receives have run at the same time: either may end first */
    bool in_collective;
    uint32_t steps;               /* collective operations that it has begun */
    uint64_t version;             /* that it has published */
    uint64_t last[MEMBERS][TAGS]; /* the serial of what was received last */
};

/* A message that was sent. */
struct sent {
    uint32_t from, to, tag;
    size_t count;     /* of its numbers */
    uint64_t process; /* that it was sent to */
    bool ok;          /* its sender was told that it has come */
    bool received;
    bool kept; /* it has come, and waits to be received */
};

/* A collective operation. */
struct step {
    unsigned kind;
    uint32_t begun;
    bool differs; /* not all say the same: nobody gets a result */
};

struct world {
    struct input input;
    struct muster_transport *network;
    struct muster_coordinator *coordinator;
    struct member members[MEMBERS];
    struct sent sent[SERIALS_MAX]; /* by serial, from 1 */
    uint64_t serials;
    struct step steps[STEPS_MAX];
    bool restarted; /* a member was: what collective operations give is not known */
    bool lies;
    struct input lie; /* the next one */
    Muster__Group__Batch *told[LIES_MAX];
    size_t told_count;
    unsigned paused; /* ranks whose calls do not go on */
    unsigned fails;  /* so many allocations from now, one fails; 0: none */
    size_t waits;
    uint64_t random;
};
extern struct world world;

int64_t now(void);

/* Of one that may lie nothing is known. */
bool is_true(uint32_t rank);

/* ---- group_calls.c: what members call, on threads of their own ---- */

call_function send_to, receive_from, exchange, publish, fetch, leave;

/* The member's next collective operation, of the kind that who comes first chooses. */
call_function work_together;

/* What was told to have come to a member was received, or is there. */
void check_kept(uint32_t rank);

#endif
