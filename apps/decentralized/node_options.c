/* The command line of a node. */
#include <config.h>

#include "node_options.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/arguments.h"
#include "common/monitoring.h"

enum {
    KEY_COORDINATOR = 512,
    KEY_COORDINATE,
    KEY_STATE,
    KEY_GROUP,
    KEY_NAME,
    KEY_LISTEN,
    KEY_ADVERTISE,
    KEY_PORT_FILE,
    KEY_MEMBERS,
    KEY_THREADS,
    KEY_WAIT,
    KEY_PATIENCE,
    KEY_GRACE,
    KEY_ALGORITHM,
    KEY_TOPOLOGY,
    KEY_MIXING,
    KEY_DEGREE,
    KEY_ROUNDS,
    KEY_EVALUATE_EVERY,
    KEY_PUSH_WAIT,
    KEY_EPOCHS,
    KEY_BATCH_SIZE,
    KEY_LEARNING_RATE,
    KEY_DROPOUT,
    KEY_ATTACK,
    KEY_ATTACKERS,
    KEY_SETTINGS,
    KEY_CONSENSUS_ONLY,
    KEY_START,
    KEY_UNTIL,
    KEY_STEPS,
    KEY_RUN,
    KEY_OVERWRITE,
    KEY_METRICS,
    KEY_RECORD,
    KEY_MONITOR,
};

enum { IN_GROUP = 1, IN_TRAINING, IN_CONSENSUS, IN_OUTPUT, IN_LOG, IN_DATA, IN_SECURITY };

static const struct argp_option option_list[] = {
    {0, 0, 0, 0, "Group:", IN_GROUP},
    {"coordinator", KEY_COORDINATOR, "HOST:PORT", 0,
     "Where the members register (default 127.0.0.1:8090, or that of --coordinate)", IN_GROUP},
    {"coordinate", KEY_COORDINATE, "HOST:PORT", 0,
     "Run the coordinator in this process, at this address; port 0: a free one", IN_GROUP},
    {"coordinator-file", KEY_STATE, "FILE", 0,
     "Where the coordinator keeps ranks and epochs, so that it can be started again", IN_GROUP},
    {"port-file", KEY_PORT_FILE, "FILE", 0,
     "Write the coordinator's port to FILE: a new file, which appears when it is complete, or a pipe",
     IN_GROUP},
    {"group", KEY_GROUP, "NAME", 0, "The group's name at the coordinator (default \"default\")", IN_GROUP},
    {"members", KEY_MEMBERS, "N", 0, "How many members the group has (default: --threads)", IN_GROUP},
    {"threads", KEY_THREADS, "N", 0,
     "Run N members in this process, each in a thread (default 1); 0: none, only the coordinator", IN_GROUP},
    {"name", KEY_NAME, "NAME", 0,
     "The member's name (default: the coordinator chooses). A node that is started again under its name has "
     "its "
     "rank again. With several threads, each has its number behind the name",
     IN_GROUP},
    {"listen", KEY_LISTEN, "HOST:PORT", 0,
     "Where the node listens for others (default: any address, or loopback if the coordinator is there, and "
     "a "
     "free port)",
     IN_GROUP},
    {"advertise", KEY_ADVERTISE, "HOST[:PORT]", 0,
     "How others reach it (default: the address that the coordinator sees it come from; on the coordinator's "
     "own machine that may be loopback)",
     IN_GROUP},
    {"wait", KEY_WAIT, "SECONDS", 0, "How long to wait for the other members (default 3600)", IN_GROUP},
    {"patience", KEY_PATIENCE, "SECONDS", 0,
     "How long to wait for others in a round (default 60); then it goes on without them", IN_GROUP},
    {"grace", KEY_GRACE, "SECONDS", 0,
     "How long a member whose connection broke is waited for before it is lost (default 60)", IN_GROUP},
    {0, 0, 0, 0, "Training:", IN_TRAINING},
    {"algorithm", KEY_ALGORITHM, "NAME", 0,
     "static: wait until each neighbour has reached the round, and fetch its model (default); push: send to "
     "neighbours, and take the newest of each; exchange: neighbours exchange models of the same round; "
     "dynamic: "
     "fetch, and take the --degree nearest models; fedavg: the mean of all, weighted by samples",
     IN_TRAINING},
    {"topology", KEY_TOPOLOGY, "SPEC", 0, "Who mixes with whom (default ring); docs/topologies.md lists them",
     IN_TRAINING},
    {"mixing", KEY_MIXING, "NAME", 0, "Weights: uniform or metropolis (default uniform)", IN_TRAINING},
    {"degree", KEY_DEGREE, "K", 0,
     "Take from at most K neighbours, drawn anew in each round (default: all); dynamic: from the K nearest "
     "(default 2)",
     IN_TRAINING},
    {"rounds", KEY_ROUNDS, "N", 0, "Number of rounds (default 100)", IN_TRAINING},
    {"epochs", KEY_EPOCHS, "N", 0, "Epochs in a round (default 1)", IN_TRAINING},
    {"batch-size", KEY_BATCH_SIZE, "N", 0, "Samples in one step of training (default 10)", IN_TRAINING},
    {"learning-rate", KEY_LEARNING_RATE, "R", 0, "Learning rate (default 0.01)", IN_TRAINING},
    {"push-wait", KEY_PUSH_WAIT, "SECONDS", 0,
     "push: how long to wait in a round for what is sent (default 1)", IN_TRAINING},
    {"dropout", KEY_DROPOUT, "RATE", 0, "Probability that a node sits a round out (default 0)", IN_TRAINING},
    {"attack", KEY_ATTACK, "NAME", 0,
     "What --attackers show to others: sign-flip, their model with each sign turned; noise, normal noise "
     "added",
     IN_TRAINING},
    {"attackers", KEY_ATTACKERS, "RANKS", 0, "Ranks that attack, such as 1,5", IN_TRAINING},
    {"settings", KEY_SETTINGS, "FILE", 0,
     "Settings by rank, as JSON: {\"default\": {\"epochs\": 2}, \"3\": {\"algorithm\": \"push\", "
     "\"learning_rate\": 0.1}}; also attack, batch_size, dropout. All nodes need the same",
     IN_TRAINING},
    {"evaluate-every", KEY_EVALUATE_EVERY, "N", 0,
     "Compare the models of all nodes after each N-th round (default 1); nodes wait for each other then",
     IN_TRAINING},
    {0, 0, 0, 0, "Consensus:", IN_CONSENSUS},
    {"consensus-only", KEY_CONSENSUS_ONLY, 0, 0,
     "Train nothing: rank i of n begins with the number cos(2 pi i / n), and neighbours exchange theirs and "
     "mix "
     "them",
     IN_CONSENSUS},
    {"start", KEY_START, "HOW", 0, "cosine (default), or random: a number drawn from the seed", IN_CONSENSUS},
    {"until", KEY_UNTIL, "SHARE", 0,
     "Stop when the distance to the mean is this share of what it was (default 1e-6)", IN_CONSENSUS},
    {"steps", KEY_STEPS, "N", 0, "Fail if that takes more than N steps (default 100000)", IN_CONSENSUS},
    {0, 0, 0, 0, "Output:", IN_OUTPUT},
    {"run", KEY_RUN, "DIR", 0,
     "Keep what a node needs to go on in DIR/rank-NN, with metrics.csv. A node that is started again under "
     "its "
     "name goes on from there",
     IN_OUTPUT},
    {"overwrite", KEY_OVERWRITE, 0, 0, "Remove the run that DIR/rank-NN holds, and begin anew", IN_OUTPUT},
    {"metrics", KEY_METRICS, "DIR", 0, "Write a line of CSV for each round to DIR/rank-NN.csv", IN_OUTPUT},
    {"record", KEY_RECORD, "SINK", 0,
     "Rank 0 records settings, losses, accuracies, distances and traffic by round; tensorboard:DIR, "
     "mlflow:URL, csv:FILE or jsonl:FILE; may be given several times",
     IN_OUTPUT},
    {"monitor", KEY_MONITOR, "HOST:PORT", 0,
     "Serve a live page, and metrics for Prometheus, by HTTP at an address of this machine; port 0: a free "
     "one. They show the group as the members of this process see it. With --token-file it asks for the "
     "token, and only then may other machines reach the address; with --tls-cert and --tls-key it speaks "
     "HTTPS",
     IN_OUTPUT},
    {0},
};

static int64_t milliseconds(const struct argp_state *state, const char *option, const char *text)
{
    return (int64_t)(1000 * argument_number(state, option, text, 0.001, 1e6));
}

static error_t parse_group(int key, char *text, struct argp_state *state)
{
    struct node_options *options = state->input;
    switch (key) {
    case KEY_COORDINATOR:
        options->coordinator = text;
        return 0;
    case KEY_COORDINATE:
        options->coordinate = text;
        return 0;
    case KEY_STATE:
        options->state = text;
        return 0;
    case KEY_PORT_FILE:
        options->port_file = text;
        return 0;
    case KEY_GROUP:
        options->group = text;
        return 0;
    case KEY_MEMBERS:
        options->members = (size_t)argument_whole(state, "members", text, 1, 65536);
        return 0;
    case KEY_THREADS:
        options->threads = (size_t)argument_whole(state, "threads", text, 0, 4096);
        return 0;
    case KEY_NAME:
        options->name = text;
        return 0;
    case KEY_LISTEN:
        options->listen = text;
        return 0;
    case KEY_ADVERTISE:
        options->advertise = text;
        return 0;
    case KEY_WAIT:
        options->wait_ms = milliseconds(state, "wait", text);
        return 0;
    case KEY_PATIENCE:
        options->patience_ms = milliseconds(state, "patience", text);
        return 0;
    case KEY_GRACE:
        options->grace_ms = milliseconds(state, "grace", text);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_training(int key, char *text, struct argp_state *state)
{
    struct node_options *options = state->input;
    struct settings *settings = &options->settings;
    switch (key) {
    case KEY_ALGORITHM:
        if (!settings_algorithm(text, &settings->algorithm))
            argp_error(state, "--algorithm %s: expected static, push, exchange, dynamic or fedavg", text);
        return 0;
    case KEY_TOPOLOGY:
        options->topology = text;
        return 0;
    case KEY_MIXING:
        options->mixing = text;
        return 0;
    case KEY_DEGREE:
        options->degree = (size_t)argument_whole(state, "degree", text, 1, 65536);
        return 0;
    case KEY_ROUNDS:
        options->rounds = (size_t)argument_whole(state, "rounds", text, 1, 1000000);
        return 0;
    case KEY_EPOCHS:
        settings->epochs = (size_t)argument_whole(state, "epochs", text, 1, 1000000);
        return 0;
    case KEY_BATCH_SIZE:
        settings->batch_size = (size_t)argument_whole(state, "batch-size", text, 1, 1000000000);
        return 0;
    case KEY_LEARNING_RATE:
        settings->learning_rate = argument_number(state, "learning-rate", text, 0, 1e6);
        return 0;
    case KEY_PUSH_WAIT:
        options->push_wait_ms = milliseconds(state, "push-wait", text);
        return 0;
    case KEY_DROPOUT:
        settings->dropout = argument_number(state, "dropout", text, 0, 1);
        return 0;
    case KEY_ATTACK:
        if (!settings_attack(text, &settings->attack))
            argp_error(state, "--attack %s: expected sign-flip or noise", text);
        return 0;
    case KEY_ATTACKERS:
        options->attackers = text;
        return 0;
    case KEY_SETTINGS:
        options->settings_file = text;
        return 0;
    case KEY_EVALUATE_EVERY:
        options->evaluate_every = (size_t)argument_whole(state, "evaluate-every", text, 1, 1000000);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void add_sink(const struct argp_state *state, struct node_options *options, const char *text)
{
#ifndef HAVE_RECORD
    argp_error(state, "--record %s: this build has no records: configure it --with-record", text);
#endif
    if (options->sink_count == SINKS_MAX)
        argp_error(state, "--record %s: there is room for %d of them", text, SINKS_MAX);
    else
        options->sinks[options->sink_count++] = text;
}

static error_t parse_rest(int key, char *text, struct argp_state *state)
{
    struct node_options *options = state->input;
    switch (key) {
    case KEY_CONSENSUS_ONLY:
        options->consensus_only = true;
        return 0;
    case KEY_START:
        options->random_start = strcmp(text, "random") == 0;
        if (!options->random_start && strcmp(text, "cosine") != 0)
            argp_error(state, "--start %s: expected cosine or random", text);
        return 0;
    case KEY_UNTIL:
        options->until = argument_number(state, "until", text, 0, 1);
        return 0;
    case KEY_STEPS:
        options->steps = (size_t)argument_whole(state, "steps", text, 1, 1000000000);
        return 0;
    case KEY_RUN:
        options->run = text;
        return 0;
    case KEY_OVERWRITE:
        options->overwrite = true;
        return 0;
    case KEY_METRICS:
        options->metrics = text;
        return 0;
    case KEY_RECORD:
        add_sink(state, options, text);
        return 0;
    case KEY_MONITOR:
        monitoring_check(state, text);
        options->monitor = text;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* What goes together. */
static void check(const struct argp_state *state, struct node_options *options)
{
    if (options->members == 0)
        options->members = options->threads > 0 ? options->threads : 1;
    if (options->threads > options->members)
        argp_error(state, "--threads %zu: the group has only %zu members", options->threads,
                   options->members);
    if (options->threads == 0 && !options->coordinate)
        argp_error(state, "--threads 0: there is nothing to do without --coordinate");
    if (options->threads == 0 && options->monitor)
        argp_error(state, "--monitor shows a node, and there is none with --threads 0");
    if (options->consensus_only && options->run)
        argp_error(state, "--run does not go with --consensus-only: --metrics and --record do");
    if (options->consensus_only &&
        (options->settings_file || options->settings.dropout > 0 || options->settings.attack != ATTACK_NONE ||
         options->settings.algorithm != ALGORITHM_STATIC))
        argp_error(state, "--consensus-only: each node does the same in each step, without --algorithm, "
                          "--attack, --dropout and --settings");
    if (options->consensus_only)
        options->settings.algorithm = ALGORITHM_EXCHANGE;
    if (options->port_file && !options->coordinate)
        argp_error(state, "--port-file needs --coordinate");
    if (options->settings.attack != ATTACK_NONE && !options->attackers)
        argp_error(state, "--attack needs --attackers");
    if (options->attackers && options->settings.attack == ATTACK_NONE)
        argp_error(state, "--attackers needs --attack");
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct node_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->log;
        state->child_inputs[1] = &options->data;
        state->child_inputs[2] = &options->credentials;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "%s: there is only room for options here", text);
        return 0;
    case ARGP_KEY_END:
        check(state, options);
        return 0;
    default:
        break;
    }
    if (parse_group(key, text, state) == 0 || parse_training(key, text, state) == 0)
        return 0;
    return parse_rest(key, text, state);
}

void node_options_parse(int count, char **arguments, struct node_options *options)
{
    static const struct argp_child children[] = {
        {&log_arguments, 0, "Log:", IN_LOG},
        {&data_arguments, 0, "Data:", IN_DATA},
        {&participant_security_arguments, 0, "Security:", IN_SECURITY},
        {0}};
    static const struct argp parser = {
        .options = option_list,
        .parser = parse,
        .doc =
            "Trains with others, of which none is the server: each node trains on data of its own, and mixes "
            "its model with those of its neighbours.\v"
            "A node's rank is the number of the user whose data it has: without --participants there is data "
            "for "
            "--members of them. All nodes need the same options.\n\n"
            "At SIGUSR1 it writes to standard error how the group is, and what its nodes wait for.",
        .children = children,
    };
    *options = (struct node_options){
        .data = DATASET_OPTIONS_INIT,
        .log = LOG_OPTIONS_INIT,
        .coordinator = NULL,
        .group = "default",
        .threads = 1,
        .wait_ms = 3600000,
        .patience_ms = 60000,
        .grace_ms = 60000,
        .topology = "ring",
        .mixing = "uniform",
        .rounds = 100,
        .evaluate_every = 1,
        .push_wait_ms = 1000,
        .settings = {.epochs = 1, .batch_size = 10, .learning_rate = 0.01},
        .until = 1e-6,
        .steps = 100000,
    };
    arguments_begin("decentralized");
    argp_parse(&parser, count, arguments, 0, NULL, options);
    if (options->data.participants == 0)
        options->data.participants = options->members;
}

/* Only the ranks of --attackers attack. */
static enum muster_status name_attackers(const struct node_options *options, struct settings *settings,
                                         struct muster_error *error)
{
    const char *next = options->attackers;
    while (next && *next != '\0') {
        char *end;
        unsigned long rank = strtoul(next, &end, 10);
        if (end == next || (*end != '\0' && *end != ',') || rank >= options->members)
            return explain(error, MUSTER_INVALID, "--attackers %.80s: expected ranks below %zu, such as 1,5",
                           options->attackers, options->members);
        settings[rank].attack = options->settings.attack;
        next = *end == ',' ? end + 1 : end;
    }
    return MUSTER_OK;
}

/* One that takes the mean of all needs that everyone does. */
static enum muster_status check_algorithms(const struct settings *settings, size_t count,
                                           struct muster_error *error)
{
    bool all = settings[0].algorithm == ALGORITHM_FEDAVG;
    for (size_t rank = 0; rank < count; rank++) {
        if ((settings[rank].algorithm == ALGORITHM_FEDAVG) != all)
            return explain(error, MUSTER_INVALID, "fedavg is for all ranks or for none");
    }
    return MUSTER_OK;
}

struct settings *node_options_settings(const struct node_options *options, struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    struct settings *settings = calloc(options->members, sizeof(*settings));
    if (!settings) {
        dataset_out_of_memory(error);
        return NULL;
    }
    for (size_t rank = 0; rank < options->members; rank++) {
        settings[rank] = options->settings;
        settings[rank].attack = ATTACK_NONE;
    }
    if (options->settings_file)
        status = settings_read(options->settings_file, settings, options->members, error);
    if (status == MUSTER_OK)
        status = name_attackers(options, settings, error);
    if (status == MUSTER_OK)
        status = check_algorithms(settings, options->members, error);
    if (status == MUSTER_OK)
        return settings;
    free(settings);
    return NULL;
}
