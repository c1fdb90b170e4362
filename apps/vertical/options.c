/* The options that a master and its members share. */
#include <config.h>

#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/arguments.h"

#define DEFAULT_DATA "synthetic:2000,20"

enum { MAX_MESSAGE_SIZE = INT32_MAX, MATCH_LIMIT = 10000000 };

enum {
    KEY_DATA = 256,
    KEY_ID,
    KEY_LABELS,
    KEY_SEED,
    KEY_MEMBERS,
    KEY_JOIN,
    KEY_ONLY_PRIVATE,
    KEY_MATCH_LIMIT,
    KEY_RUN,
    KEY_WEIGHTS,
    KEY_INFER,
    KEY_RENDEZVOUS,
    KEY_RECV,
    KEY_MAX_MESSAGE_SIZE,
};

static const struct argp_option option_list[] = {
    {"data", KEY_DATA, "DATA", 0,
     "Records: FILE.npz with ids, x and y; any other FILE is CSV with a header; or "
     "synthetic:ROWS,COLUMNS[,OUTPUTS], "
     "synthetic:classes:ROWS,COLUMNS,CLASSES, synthetic:numbers:ROWS,COLUMNS[,OUTPUTS], made from the seed "
     "(default " DEFAULT_DATA ")",
     0},
    {"id", KEY_ID, "NAME", 0, "The column of ids in a CSV (default: id, or else the first)", 0},
    {"labels", KEY_LABELS, "NAME,...", 0,
     "The columns of labels, in a CSV that has features, too (default: all at the master, none at a member)",
     0},
    {"seed", KEY_SEED, "N", 0, "Seed of everything that is random (default 42)", 0},
    {"members", KEY_MEMBERS, "N", 0, "How many members there are, without the master (default 3)", 0},
    {"join", KEY_JOIN, "HOW", 0,
     "inner (default): a member's ids narrow the set of records; left: they do not, and rows that it lacks "
     "are zeros",
     0},
    {"only-private", KEY_ONLY_PRIVATE, 0, 0, "A member refuses to tell its ids by plain matching", 0},
    {"match-limit", KEY_MATCH_LIMIT, "N", 0,
     "The most ids of another that master and members match with (default 10000000): who sends many may be "
     "guessing",
     0},
    {"run", KEY_RUN, "DIR", 0,
     "Keep in DIR/NAME what is needed to go on, also after being killed; what is there is gone on with", 0},
    {"weights", KEY_WEIGHTS, "DIR", 0,
     "At the end each writes its own weights to DIR/NAME.npz; with --infer they are read from there", 0},
    {"infer", KEY_INFER, "DATA", 0, "Predict for these records with --weights, instead of training", 0},
    {"rendezvous-timeout", KEY_RENDEZVOUS, "SECONDS", 0,
     "How long to wait for each other at first (default 3600)", 0},
    {"recv-timeout", KEY_RECV, "SECONDS", 0,
     "How long the master waits for an answer, and for a member that was lost; and a member for a master "
     "that was lost "
     "(default 360)",
     0},
    {"max-message-size", KEY_MAX_MESSAGE_SIZE, "BYTES", 0,
     "Biggest message; K, M and G are KiB, MiB and GiB; -1: no limit (default). Arrays in chunks do not "
     "count",
     0},
    {0},
};

int64_t argument_milliseconds(const struct argp_state *state, const char *option, const char *text)
{
    return (int64_t)(1000 * argument_number(state, option, text, 0.001, 1e9));
}

static size_t message_size(const struct argp_state *state, const char *text)
{
    if (strcmp(text, "-1") == 0)
        return MAX_MESSAGE_SIZE;
    uint64_t size = argument_size(state, "max-message-size", text, MAX_MESSAGE_SIZE);
    if (size < 1024)
        argp_error(state, "--max-message-size %s: expected at least 1024 bytes, or -1", text);
    return (size_t)size;
}

bool argument_second_of(const struct argp_state *state, const char *option, const char *text,
                        const char *first, const char *second)
{
    bool is_second = strcmp(text, second) == 0;
    if (!is_second && strcmp(text, first) != 0)
        argp_error(state, "--%s %s: expected %s or %s", option, text, first, second);
    return is_second;
}

static error_t parse_data(int key, char *text, const struct argp_state *state)
{
    struct shared_options *options = state->input;
    switch (key) {
    case KEY_DATA:
        options->data.spec = text;
        return 0;
    case KEY_ID:
        options->data.id = text;
        return 0;
    case KEY_LABELS:
        options->data.labels = text;
        return 0;
    case KEY_SEED:
        options->data.seed = argument_whole(state, "seed", text, 0, UINT32_MAX);
        return 0;
    case KEY_INFER:
        options->infer = text;
        return 0;
    case KEY_RUN:
        options->run = text;
        return 0;
    case KEY_WEIGHTS:
        options->weights = text;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct shared_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->log;
        return 0;
    case KEY_MEMBERS:
        options->members = (size_t)argument_whole(state, "members", text, 1, 10000);
        return 0;
    case KEY_JOIN:
        options->left = argument_second_of(state, "join", text, "inner", "left");
        return 0;
    case KEY_ONLY_PRIVATE:
        options->only_private = true;
        return 0;
    case KEY_MATCH_LIMIT:
        options->match_limit =
            (size_t)argument_whole(state, "match-limit", text, 1, MUSTER_VERTICAL_MATCH_MAX);
        return 0;
    case KEY_RENDEZVOUS:
        options->rendezvous_ms = argument_milliseconds(state, "rendezvous-timeout", text);
        return 0;
    case KEY_RECV:
        options->recv_ms = argument_milliseconds(state, "recv-timeout", text);
        return 0;
    case KEY_MAX_MESSAGE_SIZE:
        options->max_message_size = message_size(state, text);
        return 0;
    case ARGP_KEY_END:
        if (options->infer && !options->weights)
            argp_error(state, "--infer needs --weights");
        if (options->infer && options->run)
            argp_error(state, "--infer and --run do not go together");
        return 0;
    default:
        return parse_data(key, text, state);
    }
}

static const struct argp_child children[] = {{&log_arguments, 0, NULL, 0}, {0}};

const struct argp shared_arguments = {.options = option_list, .parser = parse, .children = children};

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
    printf("--max-message-size=%zu%c", options->max_message_size, '\0');
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
