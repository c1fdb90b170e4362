/* A coordinator with a file and whole members, each a host of its own on a fixture's network, which is cut between them. */
#ifndef MUSTER_TESTS_FLEET_H
#define MUSTER_TESTS_FLEET_H

#include <muster/coordinator.h>

#include "group/company.h"
#include "support/fixture.h"

enum { FLEET_MAX = 6, FLEET_CALLS_MAX = 32, FLEET_GRACE_MS = 5000, FLEET_JOIN_MS = 3600000 };

/* Of calls that are to end by something else: threads are slow beside this clock. */
#define FLEET_LONG_MS 1000000

#define FLEET_SMALL ((size_t)100)
#define FLEET_BIG   ((size_t)1 << 20)

struct fleet;

enum fleet_kind { FLEET_SEND, FLEET_SEND_BIG, FLEET_RECEIVE, FLEET_BARRIER, FLEET_LEAVE, FLEET_FREE };

/* What a thread of a member does. */
struct fleet_call {
    struct side side;
    struct fleet *fleet;
    uint32_t number; /* the member's */
    enum fleet_kind kind;
    uint32_t peer;
    int64_t limit_ms;
    enum muster_status status;
    struct muster_error error;
    bool frozen; /* with its member: nobody waits for it */
    atomic_bool ended;
};

struct fleet_member {
    struct side side; /* that joins */
    struct fleet *fleet;
    char name[16], address[32], coordinator[48];
    const char *advertise;
    int64_t join_timeout_ms;
    struct muster_group *group; /* NULL: dead, or not there yet */
    enum muster_status status;
    struct muster_error error;
    bool joins;
    atomic_bool ended;
};

struct fleet {
    struct fixture *fixture;
    struct muster_coordinator *coordinator;
    uint32_t size;
    struct fleet_member members[FLEET_MAX];
    int64_t limit_ms; /* of calls; FLEET_LONG_MS at first */
    size_t call_count;
    struct fleet_call calls[FLEET_CALLS_MAX];
    const char *parted[FLEET_MAX + 2];
    char folder[32], file[48];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t news; /* so much the coordinator has told; guarded by lock */
};

/* A coordinator, and nobody else; it and `size` members that have met, of which m0 has rank 0, and so on. */
void fleet_begin_empty(struct fleet *fleet, uint32_t size);
void fleet_begin(struct fleet *fleet, uint32_t size);
/* Frees all that is left. */
void fleet_end(struct fleet *fleet);

/* The n-th member registers under that name, and waits for the others. Its name and all but its limit is set. */
void fleet_join(struct fleet *fleet, uint32_t number, const char *name);
/* Waits until the coordinator knows so many more. */
void fleet_await_news(struct fleet *fleet, size_t news);
/* How it ended, while time passes. */
enum muster_status fleet_joined(struct fleet *fleet, uint32_t number);

struct fleet_call *fleet_call(struct fleet *fleet, uint32_t number, enum fleet_kind kind, uint32_t peer);
/* Waits until all calls wait, but those that have ended. */
void fleet_await_calls(struct fleet *fleet);
/* Time passes until all calls have ended, but those of the frozen; and a while. */
void fleet_pass(struct fleet *fleet);
void fleet_pass_ms(struct fleet *fleet, int64_t milliseconds);
/* Time passes until so much has come to the member from the other, and stands still there until fleet_part(). */
void fleet_pass_bytes(struct fleet *fleet, uint32_t number, uint32_t from, uint64_t bytes);
/* Without a pump: so many events happen, or fewer, until all calls have ended. Whether some still run. */
bool fleet_pass_events(struct fleet *fleet, size_t events);
/* Time passes until that member sees the other in that state. */
void fleet_pass_state(struct fleet *fleet, uint32_t number, uint32_t other, enum muster_member_state state);

/* Does it, and wants OK. */
void fleet_meet(struct fleet *fleet, uint32_t from, uint32_t to);

/* Calls that have ended are no more. */
void fleet_forget(struct fleet *fleet);

/* The process is gone from one moment to the next. */
void fleet_kill(struct fleet *fleet, uint32_t number);
/* Nobody hears of these members any more, bits of a set, and they of nobody else; whoever has a connection notices. */
void fleet_part(struct fleet *fleet, unsigned members);
/* The same, and nobody notices: no connection breaks until fleet_drop_parted() or fleet_mend(). */
void fleet_hush(struct fleet *fleet, unsigned members);
/* Then whoever has such a connection notices. */
void fleet_drop_parted(struct fleet *fleet);
void fleet_freeze(struct fleet *fleet, uint32_t number);
void fleet_thaw(struct fleet *fleet, uint32_t number);
/* All hear of all again. */
void fleet_mend(struct fleet *fleet);

/* The same for the coordinator; another process with the same file. */
void fleet_crash(struct fleet *fleet);
void fleet_coordinate(struct fleet *fleet);

#endif
