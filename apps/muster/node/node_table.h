/* The table of a node's settings. */
#ifndef NODE_TABLE_H
#define NODE_TABLE_H

#include "settings/setting.h"

/* In which order --help shows them. */
enum {
    GROUP_MEMBERS = 1,
    GROUP_TRAINING,
    GROUP_CONSENSUS,
    GROUP_OUTPUT,
    GROUP_DATA,
    GROUPS = GROUP_DATA,
};

/* What --help calls them. */
extern const char *const node_table_headers[];

/* The row with this index; NULL beyond the last. */
const struct setting *node_table_row(size_t index);

#endif
