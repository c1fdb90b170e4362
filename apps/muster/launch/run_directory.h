/* The directory of a run: what is kept of it, who has it, and how it is found again by its name. */
#ifndef RUN_DIRECTORY_H
#define RUN_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>

#include "experiment/experiment.h"

struct run_directory;

/* Takes the directory for this process: makes it, locks it, compares what it holds with the experiment, and then
 * writes experiment.yml and experiment.json, and registers it. EXISTS when another process has it; INVALID when it
 * holds another experiment, or something that is no run, unless `overwrite`: then a run is emptied first. IO. */
enum muster_status run_directory_take(const struct experiment *experiment, bool overwrite,
                                      struct run_directory **directory, struct muster_error *error);

/* Whether a run went on that was there before. */
bool run_directory_goes_on(const struct run_directory *directory);

/* Its absolute path. */
const char *run_directory_path(const struct run_directory *directory);

/* A descriptor for logs/NAME.log, to append to; -1 with errno. */
int run_directory_open_log(const struct run_directory *directory, const char *name);

/* Removes the control socket and unlocks. NULL is allowed. */
void run_directory_free(struct run_directory *directory);

#endif
