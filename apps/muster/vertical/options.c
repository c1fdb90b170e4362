/* The options that a master and its members share. */
#include <config.h>

#include "options.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "settings/rows.h"

#define DEFAULT_DATA "synthetic:2000,20"

enum { MAX_MESSAGE_SIZE = INT32_MAX, MATCH_LIMIT = 10000000 };

#define FIELD(name) offsetof(struct shared_options, name)

static const char *const joins[] = {"inner", "left", NULL};
static const char *const no_limit[] = {"-1", NULL};

static const struct setting rows[] = {
    TEXT("data", "data", "DATA", SHARED_GROUP, data.spec, true,
         "Records: FILE.npz with ids, x and y; any other FILE is CSV with a header; or "
         "synthetic:ROWS,COLUMNS[,OUTPUTS], synthetic:classes:ROWS,COLUMNS,CLASSES, "
         "synthetic:numbers:ROWS,COLUMNS[,OUTPUTS], made from the seed (default " DEFAULT_DATA ")"),
    TEXT("id", "id", "NAME", SHARED_GROUP, data.id, true,
         "The column of ids in a CSV (default: id, or else the first)"),
    TEXT("labels", "labels", "NAME,...", SHARED_GROUP, data.labels, true,
         "The columns of labels, in a CSV that has features, too (default: all at the master, none at a "
         "member)"),
    LONG("seed", "seed", "N", SHARED_GROUP, data.seed, 0, UINT32_MAX, true,
         "Seed of everything that is random (default 42)"),
    WHOLE("members", "members", "N", SHARED_GROUP, members, 1, 10000, true,
          "How many members there are, without the master (default 3)"),
    EITHER("join", "join", "HOW", SHARED_GROUP, left, true,
           "inner (default): a member's ids narrow the set of records; left: they do not, and rows that it "
           "lacks are zeros",
           joins),
    FLAG("only_private", "only-private", SHARED_GROUP, only_private, false,
         "A member refuses to tell its ids by plain matching"),
    WHOLE("match_limit", "match-limit", "N", SHARED_GROUP, match_limit, 1, MUSTER_VERTICAL_MATCH_MAX, false,
          "The most ids of another that master and members match with (default 10000000): who sends many may "
          "be guessing"),
    TEXT("run", "run", "DIR", SHARED_GROUP, run, false,
         "Keep in DIR/NAME what is needed to go on, also after being killed; what is there is gone on with"),
    TEXT("weights", "weights", "DIR", SHARED_GROUP, weights, false,
         "At the end each writes its own weights to DIR/NAME.npz; with --infer they are read from there"),
    TEXT("infer", "infer", "DATA", SHARED_GROUP, infer, false,
         "Predict for these records with --weights, instead of training"),
    SECONDS("rendezvous_timeout", "rendezvous-timeout", SHARED_GROUP, rendezvous_ms, 0.001, 1e9, false,
            "How long to wait for each other at first (default 3600)"),
    SECONDS("recv_timeout", "recv-timeout", SHARED_GROUP, recv_ms, 0.001, 1e9, false,
            "How long the master waits for an answer, and for a member that was lost; and a member for a "
            "master that was lost (default 360)"),
    BYTES("max_message_size", "max-message-size", SHARED_GROUP, max_message_size, 1024, INT32_MAX, false,
          "Biggest message; K, M and G are KiB, MiB and GiB; -1: no limit (default). Arrays in chunks do not "
          "count",
          no_limit),
};

const struct setting *shared_options_row(size_t index)
{
    return index < sizeof(rows) / sizeof(*rows) ? &rows[index] : NULL;
}

enum muster_status shared_options_check(const struct shared_options *options, struct muster_error *error)
{
    if (options->infer && !options->weights)
        return table_refuse(error, MUSTER_INVALID, "infer: needs weights (--weights)");
    if (options->infer && options->run)
        return table_refuse(error, MUSTER_INVALID, "infer: does not go together with run (--run)");
    return MUSTER_OK;
}

struct shared_options shared_options_init(void)
{
    struct shared_options options = {
        .data = TABLE_OPTIONS_INIT,
        .log = LOG_OPTIONS_INIT,
        .members = 3,
        .match_limit = MATCH_LIMIT,
        .rendezvous_ms = 3600000,
        .recv_ms = 360000,
        .max_message_size = MAX_MESSAGE_SIZE,
    };
    options.data.spec = DEFAULT_DATA;
    return options;
}

static void print_text(const char *option, const char *text)
{
    if (text)
        printf("--%s=%s%c", option, text, '\0');
}

void shared_options_print(const struct shared_options *options)
{
    print_text("data", options->data.spec);
    print_text("id", options->data.id);
    print_text("labels", options->data.labels);
    print_text("run", options->run);
    print_text("weights", options->weights);
    print_text("infer", options->infer);
    print_text("join", options->left ? "left" : NULL);
    printf("--seed=%llu%c--members=%zu%c--match-limit=%zu%c", (unsigned long long)options->data.seed, '\0',
           options->members, '\0', options->match_limit, '\0');
    printf("--rendezvous-timeout=%.3f%c--recv-timeout=%.3f%c", (double)options->rendezvous_ms / 1000, '\0',
           (double)options->recv_ms / 1000, '\0');
    printf("--max-message-size=%llu%c", (unsigned long long)options->max_message_size, '\0');
    if (options->only_private)
        printf("--only-private%c", '\0');
}

struct table_options shared_table(const struct shared_options *options, enum table_what what)
{
    struct table_options table = options->data;
    if (options->infer)
        table.spec = options->infer;
    table.what = what;
    return table;
}

enum muster_status shared_path(const char *folder, const char *name, const char *ending, bool make,
                               char **path, struct muster_error *error)
{
    *path = NULL;
    if (!folder)
        return MUSTER_OK;
    if (make && mkdir(folder, 0777) != 0 && errno != EEXIST)
        return table_refuse(error, MUSTER_IO, "%s: %s", folder, strerror(errno));
    if (make && access(folder, W_OK | X_OK) != 0)
        return table_refuse(error, MUSTER_IO, "%s: %s", folder, strerror(errno));
    if (asprintf(path, "%s/%s%s", folder, name, ending) < 0) {
        *path = NULL;
        return table_out_of_memory(error);
    }
    if (!make && access(*path, R_OK) != 0) {
        table_refuse(error, MUSTER_IO, "%s: %s", *path, strerror(errno));
        free(*path);
        *path = NULL;
        return MUSTER_IO;
    }
    return MUSTER_OK;
}
