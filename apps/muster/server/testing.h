/* A test of the model that runs beside an asynchronous training. */
#ifndef TESTING_H
#define TESTING_H

#include <stdbool.h>
#include <stdint.h>

#include <muster/muster.h>

#include "metrics.h"
#include "workers.h"

struct training;

/* All zeros: none runs. */
struct testing {
    bool runs;
    size_t round;                      /* after which the model is tested */
    struct muster_message instruction; /* prepared: it holds a copy of the model */
    struct metrics metrics;
    size_t asked, answered, busy; /* busy: turns that run */
    int64_t ends_ms;              /* those who have not answered by then are not waited for */
};

bool testing_runs(const struct testing *testing);

/* Begins a test if one is due and none runs, and ends one that is over. IO and so on with *error. */
enum muster_status testing_look(struct testing *testing, struct training *training, struct workers *workers,
                                struct muster_error *error);

/* Gives it to those participants that are free and have not got it yet. */
void testing_give(struct testing *testing, struct training *training, struct workers *workers);

/* Takes what a participant has answered. */
void testing_answer(struct testing *testing, const struct training *training, struct worker *worker);

void testing_end(struct testing *testing);

#endif
