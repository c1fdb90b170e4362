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
 * A run directory: what a server needs to go on after its own death, whenever that comes.
 *
 * - DIR/muster-run.json: the configuration; its presence makes the directory that of a run
 * - DIR/round-00000012.npz: what the run has after round 12; those of the last MUSTER_RUN_ROUNDS_KEPT rounds
 * are kept
 * - DIR/metrics.csv: lines that the rounds left, up to the last completed one
 * - DIR/lock: held while a process has the run open
 *
 * A round is completed by one rename: before it, everything of the round is on the disk under other names,
 * and after it nothing else is needed. Killed or cut from power at any instant, the run is as it was after
 * the last completed round. Other files in the directory are left alone. One thread at a time; all functions
 * but muster_run_round(), _configuration() and _state() block on disk.
 */
struct muster_run;

/** How many rounds a run directory keeps. */
#define MUSTER_RUN_ROUNDS_KEPT 3

/**
 * Opens the run in the directory `path`, or begins one there with `configuration` (text, best JSON) if there
 * is no directory, or an empty one. A run that is there keeps its own configuration: compare it. With
 * `overwrite` its rounds and metrics are removed and it begins anew. Leftovers of a killed process are
 * removed, and so is what the metrics have beyond the last completed round.
 *
 * On OK *run is the caller's, to be given to muster_run_close(); otherwise it is NULL and *error (may be
 * NULL) says why. EXISTS: the directory has something else in it; nothing was touched, `overwrite` or not.
 * BUSY: another process has the run open. FORMAT: a file of the run is damaged. INVALID: no configuration.
 * IO, OUT_OF_MEMORY: the run in the directory, if any, is intact.
 */
MUSTER_API enum muster_status muster_run_open(const char *path, const char *configuration, bool overwrite,
                                              struct muster_run **run, struct muster_error *error);

/** The last completed round, 0 before the first. */
MUSTER_API uint64_t muster_run_round(const struct muster_run *run);

/** The run's configuration; valid until muster_run_configure() or muster_run_close(). */
MUSTER_API const char *muster_run_configuration(const struct muster_run *run);

/** Replaces the configuration. INVALID, IO, OUT_OF_MEMORY: the old one stays. */
MUSTER_API enum muster_status muster_run_configure(struct muster_run *run, const char *configuration,
                                                   struct muster_error *error);

/**
 * What the last completed round left when the run was opened: *count arrays, among them "round" and
 * "metrics_size", the library's own. 0 and NULL for a new run. Valid until the next OK of muster_run_commit()
 * or muster_run_close().
 */
MUSTER_API const struct muster_named_array *muster_run_state(const struct muster_run *run, size_t *count);

/**
 * Completes round `round`, which is higher than all before it: from OK on, the run is as `state` (as for
 * muster_npz_write(), without "round" and "metrics_size") says, and `metrics` (text, may be "") is added to
 * the metrics. Otherwise *error (may be NULL) says why, and the last completed round is what it was: INVALID,
 * IO (a full disk, for example), FORMAT (the metrics were made shorter by somebody), OUT_OF_MEMORY. If it was
 * only the last step that failed, with the round already visible, the round may or may not outlive a power
 * cut, and every later call is IO until the run is opened again.
 */
MUSTER_API enum muster_status muster_run_commit(struct muster_run *run, uint64_t round,
                                                const struct muster_named_array *state, size_t count,
                                                const char *metrics, struct muster_error *error);

/** Lets go of the directory. NULL is allowed. */
MUSTER_API void muster_run_close(struct muster_run *run);

MUSTER_END_DECLS

#endif
