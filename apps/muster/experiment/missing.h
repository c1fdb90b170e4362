/* Files that an experiment names and this machine does not have. */
#ifndef MISSING_H
#define MISSING_H

#include "experiment.h"

/* Prints a note for each program, file of the credentials and file of a vertical experiment's data that is not here, as far as they
 * belong to processes on this machine. That is no mistake in the file: they may come before the start. */
void missing_print(const struct experiment *experiment);

#endif
