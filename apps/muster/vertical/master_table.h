/* The table of a master's settings. */
#ifndef MASTER_TABLE_H
#define MASTER_TABLE_H

#include <muster/muster.h>

#include "settings/setting.h"

/* In which order --help shows them; those that members have, too, come last. */
enum { GROUP_MEMBERS = 1, GROUP_TRAINING, GROUP_OUTPUT };

/* What --help calls them. */
extern const char *const master_table_headers[];

/* The row with this index; NULL beyond the last. */
const struct setting *master_table_row(size_t index);

/* Reads the first number of a list such as "1,2.5", and returns where the next begins or the list ends; NULL: it is none. */
const char *master_table_weight(const char *text, double *weight);

/* The word for a model. */
const char *master_table_model(enum muster_vertical_model model);

#endif
