/* What of a training goes to a record and to the monitor's page: settings, numbers by round, the model. */
#ifndef RECORDING_H
#define RECORDING_H

#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

#include "server.h"

struct round_report;

struct recording;

/* Opens the record and the monitor that the options name, and tells them the configuration. The record goes on
 * with what an earlier process recorded under the same identity; NULL: it is a new one. OK, and *recording is
 * to be closed; otherwise *error says why not. */
enum muster_status recording_open(const struct server_settings *settings, const struct server_hooks *hooks,
                                  const char *identity, struct recording **recording,
                                  struct muster_error *error);

/* The monitor's port; 0: there is none. */
uint16_t recording_monitor_port(const struct recording *recording);

/* Shows a manager on the monitor's page, until it is hidden, which is before it is freed. */
enum muster_status recording_show(struct recording *recording, struct participant_manager *manager,
                                  struct muster_error *error);
void recording_hide(struct recording *recording, struct participant_manager *manager);

/* Records a completed round, and now and then how the model's numbers are distributed. */
void recording_round(struct recording *recording, const struct round_report *round,
                     const struct muster_message *model);

/* Records metrics of a test by participants after a round. */
void recording_metrics(struct recording *recording, size_t round, const struct muster_scalar *metrics,
                       size_t count);

/* How the training ended. */
enum recorded_end { RECORDED_FINISHED, RECORDED_FAILED, RECORDED_KILLED };

/* Records the model that the training ends with after `round` rounds, and the end. Waits a few seconds for
 * sinks that are slow. NULL is allowed. */
void recording_close(struct recording *recording, const struct muster_message *model, size_t round,
                     enum recorded_end end);

#endif
