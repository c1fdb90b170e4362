/* The machine from inside: its struct, and what an epoch goes through. Only machine.c and epoch.c include this. */
#ifndef ORCHESTRATE_EPOCH_H
#define ORCHESTRATE_EPOCH_H

#include "machine.h"
#include "places.h"

/* After a group broke, so long for the cause to show: who is dead is noticed later than the collective that failed. */
enum { SETTLE_MS = 1000, END_MS = 5000, MACHINE_TEXT_SIZE = 400 };

struct machine {
    struct machine_options options;
    struct machine_calls calls;
    struct places places;
    enum phase phase;
    uint64_t epoch, checkpoint, restarts;
    uint64_t until; /* of the running steps */
    double loss;
    size_t attempts;      /* epochs that broke since a checkpoint was complete */
    size_t expected;      /* workers that can be there at most */
    bool formed;          /* there was an epoch */
    bool stops;           /* after the running steps */
    int64_t gather_until; /* of PHASE_GATHERING: with fewer than all from then on */
    int64_t not_before;   /* the gate stays closed so long */
    int64_t advanced_ms;  /* when a worker got on */
    int64_t end_by;       /* of PHASE_ENDING */
    char backend[32];
    char stop_text[MACHINE_TEXT_SIZE];
    enum muster_status status;
    char text[MACHINE_TEXT_SIZE];
};

/* Says something to people. */
void epoch_say(const struct machine *machine, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Tells a worker this, in place of what it was told before. */
void epoch_instruct(struct machine *machine, struct worker *worker, struct order order);
void epoch_instruct_wait(struct machine *machine, struct worker *worker);

/* Opens the gate if it is time; whether nothing is left to wait for. */
bool epoch_consider(struct machine *machine, int64_t now);

/* The parts of an epoch, one after the other: everybody who has a place takes part; rank 0 has a store; all are in the group. */
void epoch_form(struct machine *machine, int64_t now);
void epoch_begin_group(struct machine *machine, const char *address, uint16_t port, int64_t now);
void epoch_begin_steps(struct machine *machine, int64_t now);

/* Between the first part and the end. */
bool epoch_is_running(const struct machine *machine);
/* As many iterations are complete as were wanted. */
bool epoch_is_complete(const struct machine *machine);

/* It is over without an end; everyone is told at once. The next one begins after `settle_ms` at the earliest. */
void epoch_break(struct machine *machine, int64_t settle_ms, const char *why, int64_t now);

/* Keeps what a next orchestrator goes on from; false when that failed, and with it the training. */
bool epoch_keep(struct machine *machine, int64_t now);

/* The training ends: everyone is told good-bye. */
void epoch_end(struct machine *machine, enum muster_status status, const char *text, int64_t now);
void epoch_fail(struct machine *machine, enum muster_status status, int64_t now, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Over when nobody is left to say good-bye to. */
void epoch_check_end(struct machine *machine, int64_t now);

#endif
