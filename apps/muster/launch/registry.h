/* The runs of this user: ${XDG_STATE_HOME:-$HOME/.local/state}/muster/runs has a symbolic link to the directory of each. */
#ifndef REGISTRY_H
#define REGISTRY_H

#include <stdbool.h>
#include <stddef.h>

#include <muster/muster.h>

/* Registers a directory, by its absolute path; what cannot be done is said in the log, as a warning. */
void registry_add(const char *name, const char *directory);

/* The directories of all runs, each once, in a list to be freed by registry_free(). Links to what is gone are removed.
 * OUT_OF_MEMORY. None is no error. */
enum muster_status registry_list(char ***directories, size_t *count, struct muster_error *error);
void registry_free(char **directories, size_t count);

#endif
