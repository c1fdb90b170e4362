/* What an orchestrator decides: who has which place and rank, when the start gate opens, what everyone is told, when a
 * checkpoint is complete, and what becomes of an epoch whose worker is lost. It knows no network, no process and no clock:
 * it is told what happened and when, and calls what is to be done. docs/orchestrate.md says what workers are told. One
 * thread. */
#ifndef ORCHESTRATE_MACHINE_H
#define ORCHESTRATE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

#include "common/log.h"

/* What a failure's code says. */
enum { FAILURE_GROUP_BROKE = 1, FAILURE_PROGRAM = 2, FAILURE_NO_CHECKPOINT = 3 };

enum task { TASK_NONE, TASK_WAIT, TASK_STORE, TASK_BEGIN, TASK_STEPS, TASK_END };

/* What a worker is told; fields that the task does not have are 0 or NULL. */
struct order {
    enum task task;
    uint64_t epoch;
    uint64_t rank, world_size, local_rank, local_world_size;
    const char *address; /* of the store */
    uint16_t port;
    uint64_t restarts;
    const char *backend;
    uint64_t checkpoint, checkpoint_every;
    uint64_t from, until;
    bool finished;
    double loss; /* NaN: nobody told one */
    const char *text;
    int64_t limit_ms; /* for the answer; MUSTER_NO_LIMIT */
};

/* What it answers. */
struct reply {
    int64_t port;                    /* 0: none */
    const char *address;             /* NULL: none */
    int64_t iteration;               /* -1: none */
    int64_t enters;                  /* the epoch that it enters, having left the one before; -1: none */
    double loss, samples_per_second; /* NaN: none */
    bool diverged;                   /* it told a loss, which is no number */
    bool finished;
};

struct worker;

/* What is to be done. They must not call the machine. */
struct machine_calls {
    void *context;
    /* Tells it this, in place of what it was told before; `turn` comes back with the answer. */
    void (*instruct)(void *context, struct worker *worker, uint64_t turn, const struct order *order);
    /* What it was told is void. */
    void (*cancel)(void *context, struct worker *worker);
    /* Its stream is to end; with `comes_back` it may join again. The worker is gone when this returns. */
    void (*drop)(void *context, struct worker *worker, bool comes_back);
    /* Keeps what a next orchestrator goes on from. */
    enum muster_status (*keep)(void *context, uint64_t epoch, uint64_t checkpoint, uint64_t restarts,
                               double loss, struct muster_error *error);
    /* Says something to people. */
    void (*say)(void *context, enum log_level level, const char *text);
    /* A checkpoint is complete. */
    void (*completed)(void *context, uint64_t checkpoint, double loss, double samples_per_second);
};

struct machine_options {
    size_t workers; /* of a whole group */
    size_t least;   /* that a group can do with */
    bool elastic;
    int64_t wait_ms, form_ms, leave_ms, stall_ms, straggler_ms; /* the last two: 0: not at all */
    uint64_t iterations;                                        /* 0: until the workers have finished */
    uint64_t checkpoint_every;
    const char *backend; /* NULL: what all can use */
    size_t attempts;
    /* To go on from. */
    uint64_t epoch, checkpoint, restarts;
    double loss;
};

enum phase { PHASE_GATHERING, PHASE_STORE, PHASE_BEGIN, PHASE_STEPS, PHASE_ENDING, PHASE_OVER };

/* Who comes. Texts are copied; name and peer are never NULL. */
struct introduction {
    const char *name, *host;
    const char *advertised; /* what the others are told to reach it */
    const char *peer;       /* the address that it comes from, without a port */
    const char *backends;
    void *user;
};

struct machine;

/* NULL: out of memory. */
struct machine *machine_new(const struct machine_options *options, const struct machine_calls *calls,
                            int64_t now);
void machine_free(struct machine *machine);

/* ---- what happened ---- */

/* A worker is there: NULL when it was not taken, because there is no place or no memory; *why says so. */
struct worker *machine_join(struct machine *machine, const struct introduction *introduction, int64_t now,
                            const char **why);
/* It is gone; `why` in words. The worker is no more. */
void machine_leave(struct machine *machine, struct worker *worker, const char *why, int64_t now);
/* It is not heard of any more, and counts as lost: its stream is to end, and it may join again. */
void machine_lose(struct machine *machine, struct worker *worker, const char *why, int64_t now);
/* The turn of an instruction ended, with an answer, or without: then status is not OK, and `code` that of a failure (REFUSED).
 * One that is void already is ignored. */
void machine_answered(struct machine *machine, struct worker *worker, uint64_t turn,
                      const struct reply *reply, int64_t now);
void machine_failed(struct machine *machine, struct worker *worker, uint64_t turn, enum muster_status status,
                    int code, const char *why, int64_t now);
/* How far it is; numbers as in struct reply. */
void machine_report(struct machine *machine, struct worker *worker, const struct reply *report, int64_t now);
/* Not more than so many workers can be there any more. */
void machine_expect(struct machine *machine, size_t workers, const char *why, int64_t now);
/* A signal: the running steps are finished first, unless it is to be at once. */
void machine_stop(struct machine *machine, bool at_once, const char *why, int64_t now);
/* Time has passed. */
void machine_tick(struct machine *machine, int64_t now);

/* ---- how it is ---- */

struct machine_view {
    enum phase phase;
    uint64_t epoch, checkpoint, restarts;
    uint64_t iteration, until; /* of the running steps: the furthest */
    size_t present, members, places;
    double loss;               /* mean of the latest */
    double samples_per_second; /* sum */
    bool stops;
};

/* One worker; `rank` is -1 outside of a group. */
struct worker_view {
    const char *name;
    int64_t rank;
    uint64_t iteration;
    double loss, samples_per_second;
    bool works; /* an answer is waited for, which is no `wait` */
    bool straggles;
};

void machine_look(const struct machine *machine, struct machine_view *view);
/* In the order of their places; the number of those there are. NULL: no room for `index`. */
struct worker *machine_worker(const struct machine *machine, size_t index);
void worker_look(const struct machine *machine, const struct worker *worker, struct worker_view *view);
void *worker_user(const struct worker *worker);

/* Over: OK when the training has finished, STOPPED, or what went wrong, with *error. */
enum muster_status machine_result(const struct machine *machine, struct muster_error *error);

#endif
