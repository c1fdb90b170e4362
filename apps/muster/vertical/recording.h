/* What of a training goes to a record and to the monitor's page: settings, and numbers by update. */
#ifndef RECORDING_H
#define RECORDING_H

#include <muster/muster.h>

#include "master_options.h"

/* lib/record may be absent: --record is refused then. */
struct recording;

/* Opens the record and the monitor that the options name, and tells them the settings. OK, and *recording is to be closed;
 * otherwise *error says why not. */
enum muster_status vertical_recording_open(const struct master_options *options, struct recording **recording,
                                           struct muster_error *error);

/* The monitor's port; 0: there is none. */
uint16_t vertical_recording_monitor_port(const struct recording *recording);

/* Shows a manager on the monitor's page, until it is hidden, which is before it is freed. */
enum muster_status vertical_recording_show(struct recording *recording, struct participant_manager *manager,
                                           struct muster_error *error);
void vertical_recording_hide(struct recording *recording, struct participant_manager *manager);

/* Adds a report, whose parts were measured. Any other number is known under the name that it has in the system that this
 * one replaces: docs/vertical.md says what each is. */
void vertical_recording_report(struct recording *recording, const struct muster_vertical_report *report,
                               const struct muster_vertical_metrics *train,
                               const struct muster_vertical_metrics *test,
                               struct participant_manager *manager);

/* NULL is allowed. `well`: the training is complete. */
void vertical_recording_close(struct recording *recording, bool well);

#endif
