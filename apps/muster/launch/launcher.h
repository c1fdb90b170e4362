/* The launcher: one process that starts all of a run, looks after it, and ends it. */
#ifndef LAUNCHER_H
#define LAUNCHER_H

#include <stdbool.h>

#include "experiment/experiment.h"
#include "run_directory.h"

struct launcher_options {
    const char *name; /* of the program, for messages */
    struct run_directory
        *directory;     /* where logs go and where others ask, freed by the launcher; NULL: nowhere */
    bool prefix;        /* what processes write is shown with their ranks */
    bool quiet;         /* what processes write is only in their logs */
    const char *server; /* where participants go, when nothing of the experiment serves; NULL: nowhere */
    /* Called once: all processes were started, or the run is over before that and `why` says it. May be NULL. */
    void (*started)(void *context, const char *why);
    void *context;
};

/* Runs an experiment to its end, or until a signal or somebody else stops it. The exit status: 0 when what decides ended
 * well or the run was stopped by `muster stop`, 128 plus the number of a signal, that of the process that failed, or 1. Signals are caught
 * already. Nothing that was started is left when it returns. */
int launcher_run(const struct experiment *experiment, const struct launcher_options *options);

#endif
