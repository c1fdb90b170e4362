/* Run directories: what a server needs to go on after its own death. */
#ifndef MUSTER_RUN_H
#define MUSTER_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/export.h>
#include <muster/npz.h>
#include <muster/status.h>

MUSTER_BEGIN_DECLS

/**
 * A run directory: what a server needs to go on after its own death, at whatever instant that comes. It holds
 * - DIR/muster-run.json: the configuration; this file makes the directory a run;
 * - DIR/round-00000012.npz: the state after round 12; the last MUSTER_RUN_ROUNDS_KEPT rounds are kept;
 * - DIR/metrics.csv: the metrics of all completed rounds;
 * - DIR/lock: locked while a process has the run open.
 *
 * One rename completes a round. All data of the round is on the disk before this rename, and nothing is
 * missing after it. So after a kill or a power cut the run is as it was after the last completed round. Other
 * files in the directory are left alone.
 *
 * One thread at a time for each run. All functions block on disk, except muster_run_round(),
 * muster_run_configuration() and muster_run_state().
 */
struct muster_run;

/** How many rounds a run directory keeps. */
#define MUSTER_RUN_ROUNDS_KEPT 3

/**
 * Opens the run in the directory `path`. If there is no directory, or an empty one, begins a run there with
 * `configuration` (text, best as JSON).
 * - An existing run keeps its own configuration: compare it with yours.
 * - With `overwrite`, the rounds and metrics of an existing run are removed, and it begins anew with
 *   `configuration`.
 * - Leftovers of a killed process are removed, and so are metrics beyond the last completed round.
 *
 * On MUSTER_OK the caller owns *run and closes it with muster_run_close(). Otherwise it is NULL and *error
 * (may be NULL) says why:
 * - EXISTS: the directory holds files, but no run. Nothing was touched, with or without `overwrite`.
 * - BUSY: another process has the run open.
 * - FORMAT: a file of the run is damaged.
 * - INVALID: there is no path, no configuration, or one that is too long.
 * - IO, OUT_OF_MEMORY: an existing run is intact. With `overwrite`, some of its last rounds may be removed.
 */
MUSTER_API enum muster_status muster_run_open(const char *path, const char *configuration, bool overwrite,
                                              struct muster_run **run, struct muster_error *error);

/** The last completed round; 0 before the first. */
MUSTER_API uint64_t muster_run_round(const struct muster_run *run);

/** The run's configuration. Valid until muster_run_configure() or muster_run_close(). */
MUSTER_API const char *muster_run_configuration(const struct muster_run *run);

/** Replaces the configuration. INVALID, IO or OUT_OF_MEMORY, with *error (may be NULL): the old one stays. */
MUSTER_API enum muster_status muster_run_configure(struct muster_run *run, const char *configuration,
                                                   struct muster_error *error);

/**
 * The state with which the run was opened: *count arrays, as the last completed round left them. Two of them,
 * "round" and "metrics_size", are the library's own. NULL and 0 for a new run. Valid until
 * muster_run_close(), or until muster_run_commit() returns MUSTER_OK.
 */
MUSTER_API const struct muster_named_array *muster_run_state(const struct muster_run *run, size_t *count);

/**
 * Completes round `round`, which must be higher than all before it. `state` has `count` arrays, as for
 * muster_npz_write(); none is named "round" or "metrics_size". The text `metrics` (which may be "") is
 * appended to metrics.csv. On MUSTER_OK this round is the last completed one.
 *
 * Otherwise *error (may be NULL) says why, and the last completed round is what it was:
 * - INVALID: the round or an array is not valid.
 * - IO: the disk is full, for example.
 * - FORMAT: somebody made the file of the metrics shorter.
 * - OUT_OF_MEMORY.
 *
 * If only the last step failed (IO), the new round is visible, but a power cut may undo it. Every later call
 * of this function then returns IO, until the run is opened again.
 */
MUSTER_API enum muster_status muster_run_commit(struct muster_run *run, uint64_t round,
                                                const struct muster_named_array *state, size_t count,
                                                const char *metrics, struct muster_error *error);

/** Closes the run, and unlocks its directory. NULL is allowed. */
MUSTER_API void muster_run_close(struct muster_run *run);

MUSTER_END_DECLS

#endif
