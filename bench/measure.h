/* The measurements: which processes take part in each, and how ratios come out of it. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of a small message. */
#define PAYLOAD 100

/* How much of everything. */
struct measure_plan {
    bool quick;    /* few participants, few repetitions: the same code, figures of no meaning */
    bool self;     /* bare C-core in muster's place: what differs from 1 is noise */
    size_t repeat; /* pairs of blocks; 0: what the measurement thinks right */
};

/* One measurement; `figures` names what it writes, for --help. */
struct measurement {
    const char *name;
    const char *figures;
    void (*run)(const struct measure_plan *plan, const struct measurement *measurement);
    size_t participants;
    size_t quick_participants;
    size_t sessions; /* with fresh processes, among which the blocks are divided */
    size_t rounds;   /* in one block */
    size_t pairs;    /* of blocks */

    /* Of arrays: */
    size_t instruction; /* bytes */
    size_t answer;      /* bytes */
    unsigned delay_ms;  /* either way */
    bool folds;         /* muster's server takes the mean of each round */
    size_t processes;   /* that the participants are in; 0: one */
    bool beside_tcp;
    const char *strategy; /* that is compared with FedAvg, and the bound of the ratio: */
    double bound;
    double bound_tcp; /* of the ratio to TCP; 0: it has none */
    bool tls;         /* of HTTP/2: both ends use it */
    bool unbounded;   /* for comparison: the ratio has no bound to meet */
};

/* Those of measure.c. */
void measure_turn(const struct measure_plan *plan, const struct measurement *measurement);
void measure_fanout(const struct measure_plan *plan, const struct measurement *measurement);
void measure_join(const struct measure_plan *plan, const struct measurement *measurement);

/* Those of measure_bulk.c. */
void measure_bulk(const struct measure_plan *plan, const struct measurement *measurement);
void measure_each(const struct measure_plan *plan, const struct measurement *measurement);
void measure_stalled(const struct measure_plan *plan, const struct measurement *measurement);
void measure_peak(const struct measure_plan *plan, const struct measurement *measurement);
void measure_fold(const struct measure_plan *plan, const struct measurement *measurement);

/* Those of measure_group.c. */
void measure_exchange(const struct measure_plan *plan, const struct measurement *measurement);
void measure_links(const struct measure_plan *plan, const struct measurement *measurement);
void measure_rendezvous(const struct measure_plan *plan, const struct measurement *measurement);

/* Those of measure_strategies.c. */
void measure_strategy(const struct measure_plan *plan, const struct measurement *measurement);
void measure_median_peak(const struct measure_plan *plan, const struct measurement *measurement);

/* That of measure_reduce.c, which is there if the library has MPI. */
void measure_reduce(const struct measure_plan *plan, const struct measurement *measurement);

/* Those of measure_python.c, which is there if the package for Python is. */
void measure_python(const struct measure_plan *plan, const struct measurement *measurement);
void measure_python_fedavg(const struct measure_plan *plan, const struct measurement *measurement);

/* Those of measure_monitored.c, which is there if the library has the monitor. */
void measure_monitored(const struct measure_plan *plan, const struct measurement *measurement);
void measure_scrape(const struct measure_plan *plan, const struct measurement *measurement);

/* That of measure_matching.c, which is there if the library has vertical learning. Participants are ids. */
void measure_matching(const struct measure_plan *plan, const struct measurement *measurement);

/* That of measure_vertical.c, likewise. */
void measure_vertical(const struct measure_plan *plan, const struct measurement *measurement);

/* Those of measure_http2.c, which is there if the library has the HTTP/2 transport. */
void measure_http2_fanout(const struct measure_plan *plan, const struct measurement *measurement);
void measure_http2_turn(const struct measure_plan *plan, const struct measurement *measurement);
void measure_http2_memory(const struct measure_plan *plan, const struct measurement *measurement);
void measure_http2_join(const struct measure_plan *plan, const struct measurement *measurement);
void measure_http2_bulk(const struct measure_plan *plan, const struct measurement *measurement);
void measure_http2_peak(const struct measure_plan *plan, const struct measurement *measurement);
void measure_http2_loops(const struct measure_plan *plan, const struct measurement *measurement);

/* All of them, ended by one without a name. */
extern const struct measurement measurements[];

#endif
