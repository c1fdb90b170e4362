/* The table of a server's settings. */
#ifndef SERVER_TABLE_H
#define SERVER_TABLE_H

#include "setting.h"

/* In which order --help shows them. */
enum {
    GROUP_ROUNDS = 1,
    GROUP_MODEL,
    GROUP_TRAINING,
    GROUP_TESTS,
    GROUP_PRIVACY,
    GROUP_OUTPUT,
    GROUPS = GROUP_OUTPUT,
};

/* What --help calls them. */
extern const char *const server_table_headers[];

/* The row with this index; NULL beyond the last. */
const struct setting *server_table_row(size_t index);

#endif
