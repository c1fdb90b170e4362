/* An orchestrator from the beginning to the end. */
#ifndef ORCHESTRATE_H
#define ORCHESTRATE_H

#include "orchestrate_options.h"

/* Runs a training; the exit status. Signals are caught already, and the log is begun. */
int orchestrate_run(const struct orchestrate_options *options);

#endif
