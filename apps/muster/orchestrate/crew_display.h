/* The block on the terminal: where the training is, who works, and whom it waits for; and the same on the monitor. */
#ifndef ORCHESTRATE_CREW_DISPLAY_H
#define ORCHESTRATE_CREW_DISPLAY_H

#include "common/monitoring.h"
#include "machine.h"

/* Room for what it does in one line. */
enum { DISPLAY_LINE_SIZE = 1024 };

/* What it does, in one line; `line` is returned. */
const char *crew_display_describe(const struct machine *machine, char line[DISPLAY_LINE_SIZE]);

/* Draws the block, where there is a terminal; `silent_ms` says how long a worker is silent, or -1. */
void crew_display_draw(const struct machine *machine, int64_t (*silent_ms)(const struct worker *worker));

/* A checkpoint is complete: a line where there is no terminal, and points on the monitor's curves. */
void crew_display_complete(struct monitoring *monitoring, uint64_t checkpoint, double loss,
                           double samples_per_second);

/* The block goes. */
void crew_display_end(void);

#endif
