/* The directory of a run: what is kept of it, who has it, and how it is found again by its name. */
#ifndef RUN_DIRECTORY_H
#define RUN_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>

#include "experiment/experiment.h"

struct run_directory;

/* Takes the directory for this process: makes it, locks it, compares what it holds with the experiment, and then
 * writes experiment.json and experiment.yml, and registers it. What an earlier launcher told of its end is gone then.
 * A kill at any instant leaves a directory that can be taken again.
 * - EXISTS: another launcher has it.
 * - INVALID: it holds another experiment, unless `overwrite`: then all that a run makes is removed first. Or it holds
 *   something that is no run, with `overwrite` too. Nothing was written.
 * - IO, OUT_OF_MEMORY.
 * Where it cannot be registered there is a warning in the log. Blocks on disk. */
enum muster_status run_directory_take(const struct experiment *experiment, bool overwrite,
                                      struct run_directory **directory, struct muster_error *error);

/* Whether a run went on that was there before. */
bool run_directory_goes_on(const struct run_directory *directory);

/* Its absolute path. */
const char *run_directory_path(const struct run_directory *directory);

/* A descriptor for logs/NAME.log, to append to; -1 with errno. Any thread. */
int run_directory_open_log(const struct run_directory *directory, const char *name);

/* Keeps how the run ended, for `muster status` and `muster list`: the launcher's own exit status, and a sentence.
 * Without this, a run whose launcher is gone is said to have been killed. IO, OUT_OF_MEMORY. */
enum muster_status run_directory_end(struct run_directory *directory, int status, const char *why,
                                     struct muster_error *error);

/* Removes the control socket and unlocks. NULL is allowed. Free the control after it: then who waits for the end of a
 * connection finds that the directory is free. */
void run_directory_free(struct run_directory *directory);

#endif
