/* What of a run goes to a record and to the monitor's page: settings, numbers by round, the group. Rank 0 records, and the
 * first member of a process tells its monitor. */
#ifndef RECORDING_H
#define RECORDING_H

#include "evaluation.h"
#include "node.h"

/* lib/record may be absent: --record is refused then. */
struct recording;

/* *recording is NULL where there is nothing to record or to tell, as it may be in all that follows. */
enum muster_status node_recording_open(const struct node *node, struct recording **recording,
                                       struct muster_error *error);

/* Adds a number of a step; what is not known (NaN) is left out. */
void node_recording_number(struct recording *recording, uint64_t step, const char *name, double value);
/* Adds to the record how the group is, and the traffic with each peer so far. */
void node_recording_group(struct recording *recording, uint64_t step);
/* Adds all that is known after a round. */
void node_recording_round(struct recording *recording, uint64_t round, const struct evaluation *evaluation);

/* Frees it. `well`: the run has ended, and no error ended it. */
void node_recording_close(struct recording *recording, bool well);

#endif
