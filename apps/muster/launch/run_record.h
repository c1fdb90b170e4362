/* experiment.json: what is kept of an experiment, and whether another one is the same. */
#ifndef RUN_RECORD_H
#define RUN_RECORD_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "experiment/experiment.h"

/* What is to be written. `before` is what is kept (NULL: nothing), whose starts come before this one. NULL when out of
 * memory. Reads the programs. */
json_t *run_record_new(const struct experiment *experiment, const json_t *before);

/* What of the settings may not differ, and does: the first as "KEY is A there, B here" in `text`. How many there are. */
size_t run_record_differences(const json_t *there, const json_t *here, char *text, size_t size);

/* Warns in the log of each program that is another one now. */
void run_record_compare_programs(const json_t *there, const json_t *here);

#endif
