/* The command line of the master. */
#include <config.h>

#include "master_options.h"

#include <stdlib.h>
#include <string.h>

#include "common/arguments.h"
#include "common/monitoring.h"

enum {
    KEY_LISTEN = 512,
    KEY_PORT_FILE,
    KEY_SENT_TASK,
    KEY_HEARTBEAT,
    KEY_IDLE,
    KEY_MEMBER_OPTIONS,
    KEY_MODEL,
    KEY_EPOCHS,
    KEY_BATCH_SIZE,
    KEY_LEARNING_RATE,
    KEY_L2,
    KEY_MOMENTUM,
    KEY_CLASS_WEIGHTS,
    KEY_START,
    KEY_BIAS,
    KEY_CONSECUTIVE,
    KEY_STANDARDIZE,
    KEY_MATCHING,
    KEY_TEST_FRACTION,
    KEY_REPORT_EVERY,
    KEY_CENTRAL,
    KEY_PREDICTIONS,
    KEY_RECORD,
    KEY_MONITOR,
};

enum { IN_MEMBERS = 1, IN_TRAINING, IN_OUTPUT, IN_SHARED, IN_SECURITY };

static const struct argp_option option_list[] = {
    {0, 0, 0, 0, "Members:", IN_MEMBERS},
    {"listen", KEY_LISTEN, "ADDRESS", 0,
     "Where members connect: HOST:PORT (default 127.0.0.1:8080; port 0: a free one), mpi:0/vertical, or "
     "local:NAME: the "
     "members are threads of this process, and each has its share of the columns",
     IN_MEMBERS},
    {"port-file", KEY_PORT_FILE, "FILE", 0, "Write the port to FILE once members can connect", IN_MEMBERS},
    {"sent-task-timeout", KEY_SENT_TASK, "SECONDS", 0,
     "How long a task is kept for a member whose connection broke (default 3600); --recv-timeout ends it "
     "earlier",
     IN_MEMBERS},
    {"heartbeat-interval", KEY_HEARTBEAT, "SECONDS", 0,
     "How often a member at work says that it lives (default 2); 0: never", IN_MEMBERS},
    {"disconnect-idle-client-time", KEY_IDLE, "SECONDS", 0,
     "A member that is frozen or cut off counts as lost after this time (default 120)", IN_MEMBERS},
    {"member-options", KEY_MEMBER_OPTIONS, 0, 0,
     "Print the options that members need, each followed by a NUL byte; and exit", IN_MEMBERS},
    {0, 0, 0, 0, "Training:", IN_TRAINING},
    {"model", KEY_MODEL, "MODEL", 0,
     "logistic (default): labels 0 and 1, one or several; multinomial: a class from 0 for each record; "
     "linear: numbers, by "
     "gradient; ridge: numbers, solved, with --batch-size 0",
     IN_TRAINING},
    {"epochs", KEY_EPOCHS, "N", 0, "Passes over the training records (default 20)", IN_TRAINING},
    {"batch-size", KEY_BATCH_SIZE, "N", 0, "Records of an update (default 256); 0: all", IN_TRAINING},
    {"learning-rate", KEY_LEARNING_RATE, "R", 0, "Default 0.5", IN_TRAINING},
    {"l2", KEY_L2, "L", 0, "Adds L/2 |w|^2 to the loss (default 0)", IN_TRAINING},
    {"momentum", KEY_MOMENTUM, "M", 0, "Default 0", IN_TRAINING},
    {"class-weights", KEY_CLASS_WEIGHTS, "W,...", 0,
     "For each label the weight of a 1, or for each class that of its records (default 1)", IN_TRAINING},
    {"start", KEY_START, "HOW", 0,
     "zero (default), or uniform: weights in [-1, 1) / sqrt(columns), from the seed", IN_TRAINING},
    {"bias", KEY_BIAS, 0, 0, "The master learns a bias for each output", IN_TRAINING},
    {"consecutive", KEY_CONSECUTIVE, 0, 0, "Update members one after the other; with --batch-size 0",
     IN_TRAINING},
    {"standardize", KEY_STANDARDIZE, 0, 0,
     "Each member scales its columns to mean 0 and deviation 1 on the training records", IN_TRAINING},
    {"matching", KEY_MATCHING, "HOW", 0,
     "plain (default): the master gets the ids of all members; private: nobody learns ids that not all have",
     IN_TRAINING},
    {"test-fraction", KEY_TEST_FRACTION, "F", 0, "Share of the records that is not trained on (default 0.2)",
     IN_TRAINING},
    {0, 0, 0, 0, "Output:", IN_OUTPUT},
    {"report-every", KEY_REPORT_EVERY, "N", 0,
     "Predict for all records after each N-th update (default: each epoch)", IN_OUTPUT},
    {"central", KEY_CENTRAL, 0, 0,
     "Compare with a training of one member that has all columns; --data has to have them", IN_OUTPUT},
    {"predictions", KEY_PREDICTIONS, "FILE", 0,
     "With --infer: where they go, as CSV (default: standard output)", IN_OUTPUT},
    {"record", KEY_RECORD, "SINK", 0,
     "Record settings and reports; tensorboard:DIR, mlflow:URL, csv:FILE or jsonl:FILE; may be given several "
     "times",
     IN_OUTPUT},
    {"monitor", KEY_MONITOR, "HOST:PORT", 0,
     "Serve a live page, and metrics for Prometheus, by HTTP at an address of this machine; port 0: a free "
     "one. With "
     "--token-file it asks for the token; with --tls-cert and --tls-key it speaks HTTPS",
     IN_OUTPUT},
    {0},
};

/* ---- words ---- */

static const struct {
    const char *word;
    enum muster_vertical_model model;
} models[] = {
    {"logistic", MUSTER_VERTICAL_LOGISTIC},
    {"multinomial", MUSTER_VERTICAL_MULTINOMIAL},
    {"linear", MUSTER_VERTICAL_LINEAR},
    {"ridge", MUSTER_VERTICAL_RIDGE},
};

enum { MODELS = sizeof(models) / sizeof(*models) };

const char *master_options_model(enum muster_vertical_model model)
{
    size_t i = 0;
    while (i + 1 < MODELS && models[i].model != model)
        i++;
    return models[i].word;
}

static enum muster_vertical_model parse_model(const struct argp_state *state, const char *text)
{
    for (size_t i = 0; i < MODELS; i++) {
        if (strcmp(text, models[i].word) == 0)
            return models[i].model;
    }
    argp_error(state, "--model %s: expected logistic, multinomial, linear or ridge", text);
    return MUSTER_VERTICAL_LOGISTIC;
}

static void parse_class_weights(const struct argp_state *state, struct master_options *options,
                                const char *text)
{
    size_t count = 1;
    for (const char *at = text; *at != '\0'; at++)
        count += *at == ',';
    free(options->class_weights);
    options->class_weights = calloc(count, sizeof(*options->class_weights));
    if (!options->class_weights) {
        argp_failure(state, EXIT_FAILURE, 0, "out of memory");
        return;
    }
    options->class_weight_count = count;
    for (size_t i = 0; i < count; i++) {
        char *end;
        options->class_weights[i] = strtod(text, &end);
        if (end == text || (*end != '\0' && *end != ',') || !(options->class_weights[i] >= 0) ||
            options->class_weights[i] > 1e9)
            argp_error(state, "--class-weights: expected numbers from 0 to 1e9, such as 1,2.5");
        text = *end == ',' ? end + 1 : end;
    }
    options->training.class_weights = options->class_weights;
}

/* ---- parsing ---- */

static error_t parse_members(int key, char *text, const struct argp_state *state)
{
    struct master_options *options = state->input;
    switch (key) {
    case KEY_LISTEN:
        options->listen = text;
        return 0;
    case KEY_PORT_FILE:
        options->port_file = text;
        return 0;
    case KEY_SENT_TASK:
        options->sent_task_ms = argument_milliseconds(state, "sent-task-timeout", text);
        return 0;
    case KEY_HEARTBEAT:
        options->heartbeat_ms = (int64_t)(1000 * argument_number(state, "heartbeat-interval", text, 0, 3600));
        if (options->heartbeat_ms > 0 && options->heartbeat_ms < 100)
            argp_error(state, "--heartbeat-interval %s: expected 0, or a number from 0.1 to 3600", text);
        return 0;
    case KEY_IDLE:
        options->idle_ms =
            (int64_t)(1000 * argument_number(state, "disconnect-idle-client-time", text, 2, 1e6));
        return 0;
    case KEY_MEMBER_OPTIONS:
        options->print_member_options = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_training(int key, char *text, const struct argp_state *state)
{
    struct master_options *options = state->input;
    struct muster_vertical_options *training = &options->training;
    switch (key) {
    case KEY_MODEL:
        training->model = parse_model(state, text);
        return 0;
    case KEY_EPOCHS:
        training->epochs = argument_whole(state, "epochs", text, 1, 1000000000);
        return 0;
    case KEY_BATCH_SIZE:
        training->batch_size = (size_t)argument_whole(state, "batch-size", text, 0, 1000000000);
        return 0;
    case KEY_LEARNING_RATE:
        training->learning_rate = argument_number(state, "learning-rate", text, 0, 1e9);
        return 0;
    case KEY_L2:
        training->l2 = argument_number(state, "l2", text, 0, 1e9);
        return 0;
    case KEY_MOMENTUM:
        training->momentum = argument_number(state, "momentum", text, 0, 0.999999);
        return 0;
    case KEY_CLASS_WEIGHTS:
        parse_class_weights(state, options, text);
        return 0;
    case KEY_START:
        training->uniform_start = argument_second_of(state, "start", text, "zero", "uniform");
        return 0;
    case KEY_BIAS:
        training->bias = true;
        return 0;
    case KEY_CONSECUTIVE:
        training->consecutive = true;
        return 0;
    case KEY_STANDARDIZE:
        training->standardize = true;
        return 0;
    case KEY_MATCHING:
        training->private_matching = argument_second_of(state, "matching", text, "plain", "private");
        return 0;
    case KEY_TEST_FRACTION:
        training->test_fraction = argument_number(state, "test-fraction", text, 0, 0.99);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void add_sink(const struct argp_state *state, struct master_options *options, const char *text)
{
#ifndef HAVE_RECORD
    argp_error(state, "--record %s: this build has no records: configure it --with-record", text);
#endif
    if (options->sink_count == SINKS_MAX)
        argp_error(state, "--record %s: there is room for %d of them", text, SINKS_MAX);
    else
        options->sinks[options->sink_count++] = text;
}

static error_t parse_output(int key, char *text, const struct argp_state *state)
{
    struct master_options *options = state->input;
    switch (key) {
    case KEY_REPORT_EVERY:
        options->training.report_every = argument_whole(state, "report-every", text, 1, 1000000000);
        return 0;
    case KEY_CENTRAL:
        options->central = true;
        return 0;
    case KEY_PREDICTIONS:
        options->predictions = text;
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
static void check(const struct argp_state *state, const struct master_options *options)
{
    const struct muster_vertical_options *training = &options->training;
    if ((training->model == MUSTER_VERTICAL_RIDGE || training->consecutive) && training->batch_size > 0)
        argp_error(state, "--model ridge and --consecutive need all records in one batch: --batch-size 0");
    if (options->class_weights && training->model != MUSTER_VERTICAL_LOGISTIC &&
        training->model != MUSTER_VERTICAL_MULTINOMIAL)
        argp_error(state, "--class-weights: %s has no classes", master_options_model(training->model));
    if (options->predictions && !options->shared.infer)
        argp_error(state, "--predictions needs --infer");
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct master_options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->shared;
        state->child_inputs[1] = &options->credentials;
        return 0;
    case ARGP_KEY_ARG:
        options->shared.data.spec = text;
        return state->arg_num == 0 ? 0 : ARGP_ERR_UNKNOWN;
    case ARGP_KEY_END:
        check(state, options);
        return 0;
    default:
        break;
    }
    if (parse_members(key, text, state) == 0 || parse_training(key, text, state) == 0)
        return 0;
    return parse_output(key, text, state);
}

void master_options_parse(int count, char **arguments, struct master_options *options)
{
    static const struct argp_child children[] = {{&shared_arguments, 0, "As the members':", IN_SHARED},
                                                 {&server_security_arguments, 0, "Security:", IN_SECURITY},
                                                 {0}};
    static const struct argp parser = {
        .options = option_list,
        .parser = parse,
        .args_doc = "[DATA]",
        .doc =
            "Trains a model with members that have other columns of the same records. The labels stay here; "
            "scores and residuals travel.\v"
            "DATA is what --data says.\n\n"
            "The last line is \"final test loss X, accuracy Y\", or r2 in the place of the accuracy for "
            "numbers.\n\n"
            "At SIGUSR1 the master writes to standard error what it waits for, and what each member does.\n\n"
            "The exit status is 0 when the training is complete, 128 plus the signal's number after SIGINT "
            "or "
            "SIGTERM, and 1 or 2 otherwise. With --run the same command goes on.",
        .children = children,
    };
    *options = (struct master_options){
        .shared = shared_options_init(),
        .listen = "127.0.0.1:8080",
        .sent_task_ms = 3600000,
        .heartbeat_ms = 2000,
        .idle_ms = 120000,
    };
    muster_vertical_options_init(&options->training);
    options->training.epochs = 20;
    options->training.learning_rate = 0.5;
    options->training.test_fraction = 0.2;
    arguments_begin("vertical_master");
    argp_parse(&parser, count, arguments, 0, NULL, options);
    options->training.seed = options->shared.data.seed;
    options->training.match_limit = options->shared.match_limit;
    options->training.member_timeout_ms = options->shared.recv_ms;
}

void master_options_free(struct master_options *options)
{
    free(options->class_weights);
}
