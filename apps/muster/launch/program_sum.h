/* Checksums of the programs that a run starts, so that it can be told later what they were. */
#ifndef PROGRAM_SUM_H
#define PROGRAM_SUM_H

#include <jansson.h>

/* Adds the program, and the script that its first argument may be, to an object: PATH: {"size", "sha256"}. A file of more
 * than 256 MiB has no sum; one that is not there is left out. `directory` is where it runs; NULL: here. */
void program_sum_add(json_t *programs, const char *const *arguments, const char *directory);

#endif
