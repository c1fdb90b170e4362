/* The demo's command line: its own options, those of its data, and the server's. */
#include <config.h>

#include "demo_options.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/arguments.h"
#include "settings/arguments.h"
#include "settings/server_help.h"
#include "settings/written_out.h"

enum {
    KEY_START = 512,
    KEY_LOGS,
    KEY_MODEL_SIZE,
    KEY_STRAGGLERS,
    KEY_NO_BASELINES,
    KEY_ATTACK,
    KEY_ATTACKERS,
    KEY_NOISE,
    KEY_PARTICIPANT_OPTIONS,
    KEY_PARTICIPANT,
};

/* What a manager and a participant allow in chunks, by default. */
#define MODEL_SIZE_MAX ((uint64_t)64 << 30)

static const struct argp_option option_list[] = {
    {0, 0, 0, 0, "Demo:", 1},
    {"start", KEY_START, "N", 0,
     "How many participants to start: those of the first N users (default: all). The others come from "
     "elsewhere",
     1},
    {"logs", KEY_LOGS, "DIR", 0,
     "What each participant logs goes to DIR/participant-KK.log (default: nowhere)", 1},
    {"model-size", KEY_MODEL_SIZE, "BYTES", 0,
     "Pad the model with an array that has no part in training, so that instructions and answers have about "
     "this many bytes; K, M and G at the end are KiB, MiB and GiB (default 0: no padding; at most 64G. With "
     "participants of the original protocol, the whole message has to fit into --max-message-size)",
     1},
    {"stragglers", KEY_STRAGGLERS, "PERCENT", 0,
     "Share of a round's participants, chosen anew each round, that do fewer epochs: 1 to N-1 (default 0)",
     1},
    {"no-baselines", KEY_NO_BASELINES, 0, 0, "Do not train models for comparison at the end (see below)", 1},
    {"attack", KEY_ATTACK, 0, 0,
     "Show what attackers do to each strategy: train with fedavg, median, trimmedmean, multikrum and krum, "
     "without "
     "attackers and with them. Then the data is synthetic:iid, and everyone takes part in each round, unless "
     "other "
     "options say otherwise",
     1},
    {"attackers", KEY_ATTACKERS, "N", 0, "With --attack: how many participants send noise (default 6)", 1},
    {"noise", KEY_NOISE, "F", 0, "With --attack: the noise is F times as big as the update (default 100)", 1},
    {"participant-options", KEY_PARTICIPANT_OPTIONS, 0, 0,
     "Print the number of participants that the data is for, and the options that all of them need, each "
     "followed "
     "by a NUL byte; and exit",
     1},
    {"participant", KEY_PARTICIPANT, "K", 0,
     "Be the participant of user K, at a server that runs elsewhere: `muster demo --participant=K --help` "
     "lists the "
     "options",
     1},
    {0},
};

/* Sets a default. */
static void set(struct demo_options *options, const char *key, const char *text)
{
    struct muster_error error;
    if (settings_set(&options->server, key, text, &error) == MUSTER_OK)
        return;
    fprintf(stderr, "muster demo: %s\n", error.text);
    exit(EXIT_FAILURE);
}

static bool is_set(const struct demo_options *options, const char *parameter)
{
    for (size_t i = 0; i < options->server.parameter_count; i++) {
        if (strcmp(options->server.parameters[i].name, parameter) == 0)
            return true;
    }
    return false;
}

/* Those of a training that learns about as much as a central one. FedAvg's model jumps to and fro with who
 * was sampled, as users are as different as those of synthetic:1,1: after 100 rounds its accuracy is 0.15
 * below that of central training (mean of the seeds 0 to 19), and with FedProx's term 0.08. With FedYogi and
 * a running average that is 0.02. */
static void set_defaults(struct demo_options *options)
{
    *options = (struct demo_options){
        .data = DATASET_OPTIONS_INIT,
        .start = SIZE_MAX,
        .baselines = true,
        .attackers = 6,
        .noise = 100,
    };
    settings_init(&options->server);
    options->server.listen = "127.0.0.1:0";
    options->server.fraction = options->server.default_fraction = 1.0 / 3;
    options->server.average = 0.95;
    set(options, "strategy.name", "fedyogi");
    set(options, "train.epochs", "20");
    set(options, "train.batch_size", "10");
    set(options, "train.lr", "0.01");
    set(options, "train.mu", "1");
}

/* Those of a training under attack. */
static void prepare_attack(struct demo_options *options)
{
    options->attack = true;
    options->data.spec = "synthetic:iid";
    options->server.fraction = 1;
    options->server.average = 0;
    set(options, "train.mu", "0");
}

double demo_options_told(const struct demo_options *options, const char *name, double otherwise)
{
    const json_t *value = json_object_get(options->server.training.values, name);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

/* What only all options together tell. */
static void check(const struct demo_options *options, const struct argp_state *state)
{
    double rate = demo_options_told(options, "lr", 0), mu = demo_options_told(options, "mu", 0);
    if (rate * mu >= 1)
        argp_error(state, "train.lr %g times train.mu %g: expected less than 1, or training runs away", rate,
                   mu);
    if (options->server.model)
        argp_error(state, "--model %s: the demo's model begins with zeros", options->server.model);
    const struct server_settings *server = &options->server;
    if (options->start > 0 &&
        (strncmp(server->listen, "mpi:", 4) == 0 || strncmp(server->listen, "local:", 6) == 0))
        argp_error(state, "--listen %s: participants that the demo starts connect by TCP: give --start 0",
                   server->listen);
    if (options->start > 0 && server->credentials.certificate)
        argp_error(state,
                   "--tls-cert: participants that the demo starts do not know its authority: give --start 0");
    if (options->stragglers > 0 && muster_strategy_find(server->strategy)->asynchronous)
        argp_error(state, "--stragglers: with %s nobody waits for them, and all do as many epochs",
                   server->strategy);
    if (options->attack && options->start != SIZE_MAX)
        argp_error(state, "--start: with --attack all participants are started here");
    if (options->attack && (server->run || server->metrics || server->sinks.count > 0))
        argp_error(state,
                   "--attack: it trains several times, and has no use for --run, --metrics and --record");
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct demo_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->server;
        state->child_inputs[1] = &options->data;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "%s: there is only room for options here", text);
        return 0;
    case KEY_START:
        options->start = (size_t)argument_whole(state, "start", text, 0, 1000000);
        return 0;
    case KEY_LOGS:
        options->logs = text;
        return 0;
    case KEY_MODEL_SIZE:
        options->model_size = argument_size(state, "model-size", text, MODEL_SIZE_MAX);
        return 0;
    case KEY_STRAGGLERS:
        options->stragglers = argument_number(state, "stragglers", text, 0, 100);
        return 0;
    case KEY_NO_BASELINES:
        options->baselines = false;
        return 0;
    case KEY_ATTACK:
        return 0; /* it was looked for before the others, whose defaults it changes */
    case KEY_ATTACKERS:
        options->attackers = (size_t)argument_whole(state, "attackers", text, 1, 1000000);
        return 0;
    case KEY_NOISE:
        options->noise = argument_number(state, "noise", text, 0, 1e9);
        return 0;
    case KEY_PARTICIPANT_OPTIONS:
        options->list_participant_options = true;
        return 0;
    case ARGP_KEY_END:
        check(options, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char documentation[] =
    "Trains a model on this machine: this process is the server, and each participant is a process that it "
    "starts. "
    "Ctrl-C ends all of them. The last line that it prints is \"final accuracy 0.NNN\".\v"
    "At the end the server tests the model on the test samples of all users. For comparison it also tests a "
    "model that it trains on the training samples of all users, and one model for each user that it trains "
    "on that user's samples alone.\n\n"
    "At SIGUSR1 it writes to standard error what the server does and waits for, and what each participant "
    "does.\n\n"
    "At the first SIGINT or SIGTERM the running round is finished, and no new one begins; the exit status is "
    "128 plus "
    "the signal's number. With --run the same command goes on after the last completed round, also if the "
    "demo was "
    "killed, and the result is the same.\n\n"
    "For FedAvg as in its paper use --strategy fedavg --set train.mu=0 --average 0; for FedProx the same "
    "with --set train.mu=1.";

static char *add_strategies(int key, const char *text, void *unused)
{
    (void)unused;
    return key == ARGP_KEY_HELP_EXTRA ? server_help_strategies() : (char *)(uintptr_t)text;
}

void demo_options_parse(int count, char **arguments, struct demo_options *options)
{
    const struct argp_child children[] = {
        {settings_arguments(&server_kind), 0, NULL, 2}, {&data_arguments, 0, "Data:", 3}, {0}};
    const struct argp parser = {
        .options = option_list,
        .parser = parse,
        .doc = documentation,
        .children = children,
        .help_filter = add_strategies,
    };
    if (!children[0].argp) {
        fprintf(stderr, "muster demo: out of memory\n");
        exit(EXIT_FAILURE);
    }
    set_defaults(options);
    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--attack") == 0)
            prepare_attack(options);
    }
    arguments_begin("muster demo");
    written_out_check(&parser, count, arguments);
    argp_parse(&parser, count, arguments, 0, NULL, options);
    if (strcmp(options->server.strategy, "fedyogi") == 0 && !is_set(options, "eta"))
        set(options, "strategy.eta", "0.04");
    if (options->data.seed == 0)
        options->data.seed = options->server.seed; /* --set seed=N, perhaps */
    options->server.seed = options->data.seed;
}
