/* The options that a master and its members share, and how they are told to members that a launcher starts. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/muster.h>

#include "common/log.h"
#include "settings/kind.h"
#include "table.h"

struct shared_options {
    struct table_options data;
    struct log_options log;
    size_t members;      /* of the training */
    bool left;           /* a member joins left */
    bool only_private;   /* a member refuses plain matching */
    size_t match_limit;  /* ids of others */
    const char *run;     /* a directory for the runs of all; NULL: none */
    const char *weights; /* a directory for the weights of all; NULL: none */
    const char *infer;   /* a spec of new records; NULL: train */
    int64_t rendezvous_ms, recv_ms;
    uint64_t max_message_size;
    struct kept_text *texts;
};

/* The defaults. */
struct shared_options shared_options_init(void);

/* The last of the groups of options; each of both has one of its own before it. */
enum { SHARED_GROUP = 4 };

/* The row with this index, for settings that begin with a struct shared_options; NULL beyond the last. */
const struct setting *shared_options_row(size_t index);

/* INVALID with *error when they do not go together. */
enum muster_status shared_options_check(const struct shared_options *options, struct muster_error *error);

/* Prints them as options for members, each with a NUL behind it. */
void shared_options_print(const struct shared_options *options);

/* What to load: of the records to infer for, or to train on. */
struct table_options shared_table(const struct shared_options *options, enum table_what what);

/* FOLDER/NAME, with `ending` behind it; the caller frees it. NULL: there is no folder. `make`: makes the
 * folder, in which files can then be made; otherwise the file has to be there. */
enum muster_status shared_path(const char *folder, const char *name, const char *ending, bool make,
                               char **path, struct muster_error *error);

#endif
