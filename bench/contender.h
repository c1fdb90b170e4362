/* Those who are compared, in the processes of one measurement: muster, bare C-core, plain TCP. They do the
   same work in small blocks that take turns. */
#ifndef BENCH_CONTENDER_H
#define BENCH_CONTENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "measure.h"
#include "process.h"

/* Who takes part, and as what. */
struct contender {
    const char *name; /* in progress and keys */
    const char *server;
    const char *participants;
    bool batched;
    bool drives;       /* the caller serves the queue itself */
    bool consumes;     /* the participant answers from a thread that blocks for instructions */
    bool http2;        /* muster's transport */
    size_t loops;      /* muster's network threads; 0: the library's default */
    size_t processors; /* see role.h; 0: as the load says */
    struct process *serving;
    uint16_t port;            /* the server's own */
    struct process *relaying; /* NULL: participants connect to the server itself */
    size_t processes;         /* that the participants are in, at most; 0: one */
    struct process **participating;
    size_t participating_count;
    double joined_ms; /* from the start signal until all had joined */
    double memory;    /* bytes for each participant, with all joined */
    double *values;   /* one for each block */
    double first;     /* microseconds: the sessions' first blocks, which warm up, together */
    double cpu;       /* microseconds of processor time, all processes, in all blocks, */
    double served;    /* of which so many are the server's */
};

extern const struct contender contender_muster, contender_core;

/* Muster, or what takes its place. */
struct contender contender_of(const struct measure_plan *plan);

/* Pairs of blocks. */
size_t pairs_of(const struct measure_plan *plan, const struct measurement *measurement);

/* The load of a measurement with arrays: fewer and smaller ones when it has to be quick. */
struct role_options load_of(const struct measure_plan *plan, const struct measurement *measurement);

/* Starts the processes and lets all participants join: `load` says how many there are, what they are sent
   and answer, and what delay is between. The rest of the options is the contender's. */
void open_contender(struct contender *contender, const struct role_options *load);

void close_contender(struct contender *contender);

/* Starts the participants' processes and divides `options->participants` among them. */
void start_participants(struct contender *contender, const struct role_options *options);

/* Lets them connect; returns when the first was told to, in nanoseconds, once all have been admitted. */
uint64_t connect_participants(struct contender *contender);

void end_participants(struct contender *contender);

/* Sends a command of one word, and returns the number that the process replies with. */
uint64_t ask(struct process *process, const char *word);

/* The process's resident memory once it has not changed for a few readings, or after too many of them: the
   largest of all. */
uint64_t settled_memory(struct process *process);

/* The most memory that the server has in rounds, beyond what it has when all are connected, in models. The
   instruction lies ready before, and is not counted; the sums and the mean are. */
double peak_of(struct contender *contender, const struct role_options *load, size_t rounds);

/* All blocks, in several sessions with processes of their own. Each value is the median of `rounds` times in
    microseconds. To be freed with free_values(). */
void run_sessions(struct contender *contenders, size_t count, const char *command,
                  const struct measurement *measurement, const struct role_options *load, size_t pairs);

void free_values(struct contender *contenders, size_t count);

/* The i-th contender of a pair of blocks: every second pair goes backwards. */
size_t in_turn(size_t pair, size_t i, size_t count);

double median_of(const double *values, size_t count);

/* The median ratio of the first contender to `base`; the quartiles go to the log. */
double ratio_of(const struct contender *first, const struct contender *base, size_t pairs);

/* `format` with a name in it; valid until the next call. */
const char *key(const char *format, const char *name);

/* Zeroed memory, or the end of bench. */
void *allocate(size_t count, size_t size);

#endif
