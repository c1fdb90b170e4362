/* The server's command line. */
#include <config.h>

#include "server_options.h"

#include <math.h>

#include "common/arguments.h"
#include "common/monitoring.h"

enum {
    KEY_LISTEN = 512,
    KEY_PORT_FILE,
    KEY_ROUNDS,
    KEY_FRACTION,
    KEY_ENOUGH,
    KEY_AT_LEAST,
    KEY_MIN_PARTICIPANTS,
    KEY_WAIT,
    KEY_DEADLINE,
    KEY_MODEL_SIZE,
    KEY_STOP_WITHIN,
    KEY_GRACE,
    KEY_COME_BACK,
    KEY_EPOCHS,
    KEY_BATCH_SIZE,
    KEY_LEARNING_RATE,
    KEY_MU,
    KEY_SERVER_RATE,
    KEY_AVERAGE,
    KEY_STRAGGLERS,
    KEY_DEFAULT_WEIGHT,
    KEY_MAX_WEIGHT,
    KEY_RUN,
    KEY_OVERWRITE,
    KEY_METRICS,
    KEY_NO_BASELINES,
    KEY_PARTICIPANT_OPTIONS,
    KEY_MAX_MESSAGE_SIZE,
    KEY_HEARTBEAT,
    KEY_RECORD,
    KEY_MONITOR,
};

enum { GROUP_ROUNDS = 1, GROUP_TRAINING, GROUP_OUTPUT, GROUP_LOG, GROUP_DATA, GROUP_SECURITY };

static const struct argp_option option_list[] = {
    {0, 0, 0, 0, "Rounds:", GROUP_ROUNDS},
    {"listen", KEY_LISTEN, "HOST:PORT", 0,
     "Where participants connect (default 127.0.0.1:8080); port 0: a free one", GROUP_ROUNDS},
    {"rounds", KEY_ROUNDS, "N", 0, "Number of rounds (default 100)", GROUP_ROUNDS},
    {"fraction", KEY_FRACTION, "F", 0, "Share of the participants that train in a round (default 1/3)",
     GROUP_ROUNDS},
    {"enough", KEY_ENOUGH, "K", 0,
     "A round ends with K accepted answers, and gives up the other turns. So a frozen participant does not "
     "delay each round until its deadline (default: all answers, also if a round has fewer than K). The "
     "seed does not decide which K answer first",
     GROUP_ROUNDS},
    {"at-least", KEY_AT_LEAST, "K", 0,
     "Update the model only after a round with at least K accepted answers; each round still waits for all "
     "(default 1)",
     GROUP_ROUNDS},
    {"min-participants", KEY_MIN_PARTICIPANTS, "N", 0,
     "Begin a round only if N participants are there (default: for the first round all that the data is for, "
     "for later ones those that are left)",
     GROUP_ROUNDS},
    {"wait", KEY_WAIT, "SECONDS", 0, "How long to wait for participants that are missing (default 300)",
     GROUP_ROUNDS},
    {"deadline", KEY_DEADLINE, "SECONDS", 0,
     "How long a round may take; later answers are dropped (default 60)", GROUP_ROUNDS},
    {"grace", KEY_GRACE, "SECONDS", 0,
     "How long to wait for a participant whose connection broke; 0: not at all (default 60)", GROUP_ROUNDS},
    {"heartbeat", KEY_HEARTBEAT, "SECONDS", 0,
     "How often a participant that works on an instruction says that it lives (default 2, longer with many "
     "participants); 0: never. One that is not heard of for two and a half times as long is silent: frozen, "
     "perhaps. Nothing else follows from it",
     GROUP_ROUNDS},
    {"model-size", KEY_MODEL_SIZE, "BYTES", 0,
     "Pad the model with an array that has no part in training, so that instructions and answers have about "
     "this many bytes; K, M and G at the end are KiB, MiB and GiB (default 0: no padding; at most 64G. With "
     "participants of the original protocol, the whole message has to fit into --max-message-size)",
     GROUP_ROUNDS},
    {"max-message-size", KEY_MAX_MESSAGE_SIZE, "BYTES", 0,
     "Biggest message; K, M and G at the end are KiB, MiB and GiB (default 4M, at least 1K). Data in chunks "
     "does not count. Participants of the original protocol, such as participant.py, send and get the whole "
     "model in one message: for a bigger model, set this option",
     GROUP_ROUNDS},
    {"stop-within", KEY_STOP_WITHIN, "SECONDS", 0,
     "How long the running round may go on after SIGINT or SIGTERM (default 10). After that, or at a second "
     "signal, the server gives it up",
     GROUP_ROUNDS},
    {0, 0, 0, 0, "Training:", GROUP_TRAINING},
    {"epochs", KEY_EPOCHS, "N", 0, "Epochs of a participant in a round (default 20)", GROUP_TRAINING},
    {"batch-size", KEY_BATCH_SIZE, "N", 0, "Samples in one step of training (default 10)", GROUP_TRAINING},
    {"learning-rate", KEY_LEARNING_RATE, "R", 0, "Learning rate of a participant (default 0.01)",
     GROUP_TRAINING},
    {"mu", KEY_MU, "MU", 0,
     "FedProx's proximal term: how strongly a participant is held to the model of the round (default 1; 0 is "
     "FedAvg)",
     GROUP_TRAINING},
    {"server-rate", KEY_SERVER_RATE, "R", 0,
     "Learning rate of the server's optimizer, FedYogi (default 0.04); 0: the next model is the mean "
     "of the answers, as in FedAvg",
     GROUP_TRAINING},
    {"average", KEY_AVERAGE, "B", 0,
     "The result is a running average of the models: after each round, B times the average so far plus 1 - B "
     "times the new model (default 0.95; the first rounds weigh the same). 0: the result is the model of the "
     "last round",
     GROUP_TRAINING},
    {"stragglers", KEY_STRAGGLERS, "PERCENT", 0,
     "Share of a round's participants, chosen anew each round, that do fewer epochs: 1 to N-1 (default 0)",
     GROUP_TRAINING},
    {"default-weight", KEY_DEFAULT_WEIGHT, "W", 0,
     "Weight of a participant that does not say how many samples it has (default 100)", GROUP_TRAINING},
    {"max-weight", KEY_MAX_WEIGHT, "W", 0,
     "The biggest weight of an answer, whatever number of samples its participant claims (default: the "
     "samples of the biggest user of the data, or --default-weight if that is more)",
     GROUP_TRAINING},
    {0, 0, 0, 0, "Output:", GROUP_OUTPUT},
    {"run", KEY_RUN, "DIR", 0,
     "Keep the run in DIR, a new or an empty directory: the model after each round, metrics.csv, and what "
     "the server needs to go on. If DIR holds a run, go on with it. Then the options have to be those that "
     "the run was begun with; only --rounds may differ",
     GROUP_OUTPUT},
    {"overwrite", KEY_OVERWRITE, 0, 0, "Remove the run that DIR holds and begin anew", GROUP_OUTPUT},
    {"come-back", KEY_COME_BACK, "SECONDS", 0,
     "With --run, a server that stops before the last round asks participants to come back after this time "
     "(default 10). Otherwise it says good-bye",
     GROUP_OUTPUT},
    {"metrics", KEY_METRICS, "FILE", 0, "Write a line of CSV per round to FILE; with --run, DIR has them",
     GROUP_OUTPUT},
    {"record", KEY_RECORD, "SINK", 0,
     "Record settings, losses and accuracy by round, and the model at the end; tensorboard:DIR, mlflow:URL, "
     "csv:FILE or jsonl:FILE; may be given several times. What is there is gone on with",
     GROUP_OUTPUT},
    {"monitor", KEY_MONITOR, "HOST:PORT", 0,
     "Serve a live page, and metrics for Prometheus, by HTTP at an address of this machine; port 0: a free "
     "one. With --token-file it asks for the token, and only then may other machines reach the address; with "
     "--tls-cert and --tls-key it speaks HTTPS",
     GROUP_OUTPUT},
    {"no-baselines", KEY_NO_BASELINES, 0, 0, "Do not train models for comparison at the end (see below)",
     GROUP_OUTPUT},
    {"port-file", KEY_PORT_FILE, "FILE", 0,
     "Write the port to FILE once participants can connect. FILE is a new file, which appears when it is "
     "complete, or an existing pipe",
     GROUP_OUTPUT},
    {"participant-options", KEY_PARTICIPANT_OPTIONS, 0, 0,
     "Print the number of participants that the data is for, and the options that all of them need, each "
     "followed by a NUL byte; and exit",
     GROUP_OUTPUT},
    {0},
};

/* What a manager and a participant allow in chunks, by default. */
#define MODEL_SIZE_MAX ((uint64_t)64 << 30)

static double seconds(const struct argp_state *state, const char *option, const char *text)
{
    return argument_number(state, option, text, 0.001, 1e6);
}

static error_t parse_rounds(int key, char *text, struct argp_state *state)
{
    struct server_options *options = state->input;
    switch (key) {
    case KEY_LISTEN:
        options->listen = text;
        return 0;
    case KEY_ROUNDS:
        options->rounds = (size_t)argument_whole(state, "rounds", text, 1, 1000000);
        return 0;
    case KEY_FRACTION:
        options->fraction = argument_number(state, "fraction", text, 0, 1);
        if (options->fraction <= 0)
            argp_error(state, "--fraction %s: expected a number above 0, up to 1", text);
        return 0;
    case KEY_ENOUGH:
        options->enough = (size_t)argument_whole(state, "enough", text, 1, 1000000);
        return 0;
    case KEY_AT_LEAST:
        options->at_least = (size_t)argument_whole(state, "at-least", text, 1, 1000000);
        return 0;
    case KEY_MIN_PARTICIPANTS:
        options->min_participants = (size_t)argument_whole(state, "min-participants", text, 1, 1000000);
        return 0;
    case KEY_WAIT:
        options->wait_ms = (int64_t)(1000 * seconds(state, "wait", text));
        return 0;
    case KEY_DEADLINE:
        options->deadline_ms = (int64_t)(1000 * seconds(state, "deadline", text));
        return 0;
    case KEY_MODEL_SIZE:
        options->model_size = argument_size(state, "model-size", text, MODEL_SIZE_MAX);
        return 0;
    case KEY_MAX_MESSAGE_SIZE:
        options->max_message_size = argument_size(state, "max-message-size", text, INT32_MAX);
        if (options->max_message_size < 1024)
            argp_error(state, "--max-message-size %s: expected at least 1024 bytes", text);
        return 0;
    case KEY_GRACE:
        options->grace_ms = (int64_t)(1000 * argument_number(state, "grace", text, 0, 1e6));
        return 0;
    case KEY_HEARTBEAT:
        options->heartbeat_ms = (int64_t)(1000 * argument_number(state, "heartbeat", text, 0, 3600));
        if (options->heartbeat_ms > 0 && options->heartbeat_ms < 100)
            argp_error(state, "--heartbeat %s: expected 0, or a number from 0.1 to 3600", text);
        return 0;
    case KEY_STOP_WITHIN:
        options->stop_within_ms = (int64_t)(1000 * seconds(state, "stop-within", text));
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_training(int key, char *text, struct argp_state *state)
{
    struct server_options *options = state->input;
    switch (key) {
    case KEY_EPOCHS:
        options->epochs = (size_t)argument_whole(state, "epochs", text, 1, 10000);
        return 0;
    case KEY_BATCH_SIZE:
        options->batch_size = (size_t)argument_whole(state, "batch-size", text, 1, 1000000);
        return 0;
    case KEY_LEARNING_RATE:
        options->learning_rate = argument_number(state, "learning-rate", text, 1e-9, 1000);
        return 0;
    case KEY_MU:
        options->mu = argument_number(state, "mu", text, 0, 1e6);
        return 0;
    case KEY_SERVER_RATE:
        options->server_rate = argument_number(state, "server-rate", text, 0, 1000);
        return 0;
    case KEY_AVERAGE:
        options->average = argument_number(state, "average", text, 0, 0.9999);
        return 0;
    case KEY_STRAGGLERS:
        options->stragglers = argument_number(state, "stragglers", text, 0, 100);
        return 0;
    case KEY_MAX_WEIGHT:
        options->max_weight = argument_number(state, "max-weight", text, 1e-6, 1e12);
        return 0;
    case KEY_DEFAULT_WEIGHT:
        options->default_weight = argument_number(state, "default-weight", text, 1e-6, 1e12);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void add_sink(struct server_options *options, const char *text, const struct argp_state *state)
{
#ifndef HAVE_RECORD
    argp_error(state, "--record %s: this build has no records: configure it --with-record", text);
#endif
    if (options->sink_count == RECORD_SINKS_MAX)
        argp_error(state, "--record %s: there is room for %d of them", text, RECORD_SINKS_MAX);
    else
        options->sinks[options->sink_count++] = text;
}

static error_t parse_run(int key, char *text, struct argp_state *state)
{
    struct server_options *options = state->input;
    switch (key) {
    case KEY_RUN:
        if (*text == '\0')
            argp_error(state, "--run: the name of a directory is missing");
        options->run = text;
        return 0;
    case KEY_OVERWRITE:
        options->overwrite = true;
        return 0;
    case KEY_COME_BACK:
        options->come_back_seconds = (int32_t)argument_whole(state, "come-back", text, 1, 1000000);
        return 0;
    case KEY_METRICS:
        options->metrics = text;
        return 0;
    case KEY_RECORD:
        add_sink(options, text, state);
        return 0;
    case KEY_MONITOR:
        monitoring_check(state, text);
        options->monitor = text;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* What only all options together tell. */
static void check(const struct server_options *options, const struct argp_state *state)
{
    if (options->learning_rate * options->mu >= 1)
        argp_error(state, "--learning-rate %g times --mu %g: expected less than 1, or training runs away",
                   options->learning_rate, options->mu);
    if (options->max_weight > 0 && options->default_weight > options->max_weight)
        argp_error(state, "--max-weight %g: less than --default-weight %g: lower that, too",
                   options->max_weight, options->default_weight);
    double chosen = round((double)options->min_participants * options->fraction);
    if (options->min_participants > 0 && (double)options->enough > fmax(chosen, 1))
        argp_error(state,
                   "--enough %zu: with --min-participants %zu and --fraction %g a round may have only %g",
                   options->enough, options->min_participants, options->fraction, fmax(chosen, 1));
    if (options->enough > 0 && options->at_least > options->enough)
        argp_error(state, "--at-least %zu: a round is complete with --enough %zu", options->at_least,
                   options->enough);
    if (options->run && options->metrics)
        argp_error(state, "--metrics %s: with --run the metrics are in %s/metrics.csv", options->metrics,
                   options->run);
    if (!options->run && options->overwrite)
        argp_error(state, "--overwrite: --run is missing");
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct server_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->data;
        state->child_inputs[1] = &options->credentials;
        state->child_inputs[2] = &options->log;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "%s: there is only room for options here", text);
        return 0;
    case KEY_PORT_FILE:
        options->port_file = text;
        return 0;
    case KEY_NO_BASELINES:
        options->baselines = false;
        return 0;
    case KEY_PARTICIPANT_OPTIONS:
        options->list_participant_options = true;
        return 0;
    case ARGP_KEY_END:
        check(options, state);
        return 0;
    default:
        return parse_rounds(key, text, state) == 0 || parse_run(key, text, state) == 0
                   ? 0
                   : parse_training(key, text, state);
    }
}

static const char documentation[] =
    "Trains a model by federated averaging (FedAvg, FedProx) with the participants that connect.\v"
    "At the end the server tests the model on the test samples of all users. For comparison it also tests a "
    "model that it trains on the training samples of all users, and one model for each user that it trains "
    "on that user's samples alone.\n\n"
    "Columns of the metrics: round, seconds, answered, failed (late ones included), bytes_sent, "
    "bytes_received, train_loss (of the model at the beginning of the round, on the training samples of the "
    "participants that answered; an answer whose loss is no number from 0 to 1e9 is refused), test_accuracy "
    "(of the result, if this were the last round).\n\n"
    "At SIGHUP the server reads the files of --tls-cert, --tls-key, --tls-ca and --token-file again. At "
    "SIGUSR1 it writes to standard error what it does and waits for, and what each participant does.\n\n"
    "At the first SIGINT or SIGTERM the server finishes the running round, and begins no new one; its exit "
    "status is 128 plus the signal's number. With --run the same command goes on after the last completed "
    "round, also if the server was killed, and the result is the same.\n\n"
    "For FedAvg as in its paper use --mu 0 --server-rate 0 --average 0; for FedProx the same with --mu 1.";

void server_options_parse(int count, char **arguments, struct server_options *options)
{
    static const struct argp_child children[] = {{&data_arguments, 0, "Data:", GROUP_DATA},
                                                 {&server_security_arguments, 0, "Security:", GROUP_SECURITY},
                                                 {&log_arguments, 0, "Log:", GROUP_LOG},
                                                 {0}};
    static const struct argp parser = {
        .options = option_list,
        .parser = parse,
        .doc = documentation,
        .children = children,
    };
    *options = (struct server_options){
        .data = DATASET_OPTIONS_INIT,
        .listen = "127.0.0.1:8080",
        .rounds = 100,
        .fraction = 1.0 / 3,
        .wait_ms = 300000,
        .deadline_ms = 60000,
        .stop_within_ms = 10000,
        .grace_ms = 60000,
        .heartbeat_ms = 2000,
        .log = LOG_OPTIONS_INIT,
        .max_message_size = (uint64_t)4 << 20,
        .come_back_seconds = 10,
        .epochs = 20,
        .batch_size = 10,
        .learning_rate = 0.01,
        .mu = 1,
        .server_rate = 0.04,
        .average = 0.95,
        .default_weight = 100,
        .baselines = true,
    };
    arguments_begin("fedavg_server");
    argp_parse(&parser, count, arguments, 0, NULL, options);
}
