/* The participant of the FedAvg pair: holds one user's data, trains on it when the server says so, and gives
 * away nothing but the trained model, the number of samples and the loss. */
#include <config.h>

#include <argp.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <muster/muster.h>

#include "common/arguments.h"
#include "common/dataset.h"
#include "common/log.h"
#include "common/logistic.h"
#include "common/signals.h"
#include "common/units.h"

enum { SCALARS_MAX = 3 };

/* What the command line says. */
struct options {
    struct dataset_options data;
    struct muster_credentials credentials;
    struct log_options log;
    const char *connect;
    const char *name;
    const char *export_directory; /* NULL: take part */
    int64_t wait_ms;
};

/* A participant at work. */
struct worker {
    const struct options *options;
    struct participant *participant;
    struct samples train, test;
    struct logistic model;
    /* What an answer points at. */
    struct muster_array arrays[PADDED_ARRAYS];
    struct muster_scalar scalars[SCALARS_MAX];
    char text[MUSTER_ERROR_TEXT_SIZE];
    atomic_uint percent; /* of the running training; read by the thread of the signals */
};

/* An answer that says why there is none; the text is not copied. */
static struct muster_message fail(const char *text)
{
    struct muster_message answer = MUSTER_MESSAGE_INIT;
    answer.kind = MUSTER_FAILURE;
    answer.code = 1;
    answer.text = text;
    return answer;
}

/* Tells the server how far the training is, and ends it when the server does not wait for it any more. */
static bool on_epoch(void *context, size_t done, size_t epochs)
{
    struct worker *worker = context;
    struct participant *participant = worker->participant;
    atomic_store(&worker->percent, (unsigned)(100 * done / epochs));
    participant_report_progress(participant, (double)done / (double)epochs, NULL);
    return !participant_cancelled(participant) && signals_caught() == 0;
}

/* The server's number `name`, when it makes sense; otherwise -1, with the reason in the worker's text. */
static double hyperparameter(struct worker *worker, const struct muster_message *instruction,
                             const char *name, double otherwise, double low, double high)
{
    double value = muster_message_scalar(instruction, name, otherwise);
    if (value >= low && value <= high)
        return value;
    snprintf(worker->text, sizeof(worker->text), "%.100s is %g: expected a number from %g to %g", name, value,
             low, high);
    muster_text_harmless(worker->text, worker->text, sizeof(worker->text)); /* a name may have been cut */
    return -1;
}

/* What the instruction says, or the paper's defaults. False with a reason in the worker's text. */
static bool read_hyperparameters(struct worker *worker, const struct muster_message *instruction,
                                 struct logistic_training *training)
{
    double epochs = hyperparameter(worker, instruction, "epochs", 20, 1, 1e6);
    double batch_size = epochs < 0 ? -1 : hyperparameter(worker, instruction, "batch_size", 10, 1, 1e9);
    double rate = batch_size < 0 ? -1 : hyperparameter(worker, instruction, "learning_rate", 0.01, 0, 1e6);
    double mu = rate < 0 ? -1 : hyperparameter(worker, instruction, "mu", 0, 0, 1e6);
    if (mu < 0)
        return false;
    *training = (struct logistic_training){
        .epochs = (size_t)epochs,
        .batch_size = (size_t)batch_size,
        .learning_rate = rate,
        .mu = mu,
        .on_epoch = on_epoch,
        .context = worker,
    };
    return true;
}

static struct muster_message answer_with(struct worker *worker, enum muster_kind kind, size_t samples,
                                         double loss)
{
    worker->scalars[0] = (struct muster_scalar){"num_samples", (double)samples};
    worker->scalars[1] = (struct muster_scalar){"loss", loss};
    struct muster_message answer = MUSTER_MESSAGE_INIT;
    answer.kind = kind;
    answer.scalars = worker->scalars;
    answer.scalar_count = 2;
    return answer;
}

/* A stream of random numbers that is this round's and this user's own, so that the same seed trains the
 * same. */
static void seed_training(const struct worker *worker, const struct muster_message *instruction,
                          struct muster_random *random)
{
    double seed = muster_message_scalar(instruction, "seed", 0);
    double round = muster_message_scalar(instruction, "round", 0);
    random_stream(random, seed >= 0 && seed < 0x1p53 ? (uint64_t)seed : 0, RANDOM_TRAINING,
                  worker->options->data.only, round >= 0 && round < 0x1p53 ? (uint64_t)round : 0);
}

/* Answers with the trained model and the loss that the server's model had here. */
static struct muster_message train(struct worker *worker, const struct muster_message *instruction)
{
    struct logistic_training training;
    struct muster_random random;
    double loss;
    if (!logistic_fits(&worker->model, instruction->arrays, instruction->array_count))
        return fail("the model does not go with my data");
    if (!read_hyperparameters(worker, instruction, &training))
        return fail(worker->text);
    atomic_store(&worker->percent, 0);
    logistic_set(&worker->model, instruction->arrays);
    logistic_evaluate(&worker->model, &worker->train, NULL, &loss);
    seed_training(worker, instruction, &random);
    if (!logistic_train(&worker->model, &worker->train, &training, &random))
        return fail("out of memory");
    struct muster_message answer = answer_with(worker, MUSTER_TRAIN, worker->train.count, loss);
    logistic_arrays(&worker->model, worker->arrays);
    answer.arrays = worker->arrays;
    answer.array_count = instruction->array_count;
    if (answer.array_count == PADDED_ARRAYS)
        worker->arrays[LOGISTIC_ARRAYS] = instruction->arrays[LOGISTIC_ARRAYS];
    return answer;
}

/* Answers with how good the server's model is on this participant's test samples. */
static struct muster_message evaluate(struct worker *worker, const struct muster_message *instruction)
{
    double accuracy, loss;
    if (!logistic_fits(&worker->model, instruction->arrays, instruction->array_count))
        return fail("the model does not go with my data");
    if (worker->test.count == 0)
        return fail("I have no test samples");
    logistic_set(&worker->model, instruction->arrays);
    logistic_evaluate(&worker->model, &worker->test, &accuracy, &loss);
    struct muster_message answer = answer_with(worker, MUSTER_EVALUATE, worker->test.count, loss);
    worker->scalars[answer.scalar_count++] = (struct muster_scalar){"accuracy", accuracy};
    return answer;
}

/* Does what the server says until the stream ends; why it ended. What is not answered here is answered by the
 * library, with "unknown instruction". Only consuming tells of the end: an answer that the server does not wait
 * for any more, as it asked everyone to come back later, fails. */
static enum muster_status work(struct worker *worker)
{
    const struct muster_message *instruction;
    enum muster_status status;
    while ((status = participant_consume(worker->participant, MUSTER_NO_LIMIT, &instruction, NULL)) ==
           MUSTER_OK) {
        if (instruction->kind != MUSTER_TRAIN && instruction->kind != MUSTER_EVALUATE)
            continue;
        struct muster_message answer =
            instruction->kind == MUSTER_TRAIN ? train(worker, instruction) : evaluate(worker, instruction);
        participant_dispatch(worker->participant, &answer, NULL);
    }
    return status;
}

static void warn(void *context, const char *text)
{
    const struct worker *worker = context;
    log_write(LOG_WARNING, "%s: warning: %s", worker->options->name, text);
}

static void close_participant(void *context, bool at_once)
{
    participant_close(context);
    if (at_once)
        signals_end(NULL, true);
}

/* At SIGUSR1, while there is no participant: before the server has admitted it. */
static void tell_of_connecting(void *context)
{
    const struct options *options = context;
    log_answer("state: %s: connecting to %s", options->name, options->connect);
}

/* At SIGUSR1. */
static void tell_state(void *context)
{
    struct worker *worker = context;
    struct participant_statistics statistics;
    char since[UNITS_SIZE], working[UNITS_SIZE], turn[96] = "waits for an instruction", sent[UNITS_SIZE],
                                                 received[UNITS_SIZE];
    participant_get_statistics(worker->participant, &statistics);
    if (statistics.working)
        snprintf(turn, sizeof(turn), "works on an instruction for %s, %u %% done",
                 units_time(statistics.turn_ms, working), atomic_load(&worker->percent));
    log_answer(
        "state: %s: rank %llu at %s, %s for %s, %s; %llu connections in %llu attempts; %llu instructions, "
        "%llu answered, %llu given up by the server; sent %s, received %s",
        worker->options->name, (unsigned long long)participant_rank(worker->participant),
        worker->options->connect, participant_state_name(statistics.state),
        units_time(statistics.state_ms, since), turn, (unsigned long long)statistics.connections,
        (unsigned long long)statistics.attempts, (unsigned long long)statistics.consumed,
        (unsigned long long)statistics.answered, (unsigned long long)statistics.cancelled,
        units_bytes((double)statistics.traffic.bytes_sent, sent),
        units_bytes((double)statistics.traffic.bytes_received, received));
}

/* Connects and works; the exit status. */
static int take_part(struct worker *worker)
{
    const struct options *options = worker->options;
    struct participant_options participant_options;
    participant_options_init(&participant_options);
    participant_options.name = options->name;
    participant_options.credentials = options->credentials;
    participant_options.connect_timeout_ms = options->wait_ms;
    participant_options.on_warning = warn;
    participant_options.context = worker;
    struct muster_error error;
    signals_call_state(tell_of_connecting, (void *)(uintptr_t)options);
    if (participant_connect(options->connect, &participant_options, &worker->participant, &error) !=
        MUSTER_OK) {
        log_write(LOG_ERROR, "%s: cannot take part: %s", options->name, error.text);
        return EXIT_FAILURE;
    }
    log_write(LOG_INFO, "%s: connected to %s with %zu samples", options->name, options->connect,
              worker->train.count);
    signals_call(close_participant, worker->participant, -1);
    signals_call_state(tell_state, worker);
    enum muster_status status = work(worker);
    signals_call(NULL, NULL, -1);
    signals_call_state(NULL, NULL);
    const char *reason = participant_reason(worker->participant);
    if (signals_caught() != 0)
        log_write(LOG_INFO, "%s: ended by signal %d", options->name, signals_caught());
    else
        log_write(LOG_INFO, "%s: ended: %s", options->name,
                  *reason != '\0' ? reason : muster_status_text(status));
    participant_free(worker->participant);
    if (signals_caught() != 0)
        return 128 + signals_caught();
    return status == MUSTER_STOPPED ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Writes one array of the training samples to DIRECTORY/NAME. */
static bool export_array(const struct options *options, const char *name, const struct muster_array *array)
{
    char *path;
    struct muster_error error;
    if (asprintf(&path, "%s/%s", options->export_directory, name) < 0)
        return false;
    enum muster_status status = muster_npy_write(path, array, &error);
    if (status != MUSTER_OK)
        log_write(LOG_ERROR, "%s: %s", options->name, error.text);
    free(path);
    return status == MUSTER_OK;
}

/* Writes the training samples for a participant in another language: x.npy, float32 in samples x features,
 * and y.npy, int32. */
static int export_samples(const struct worker *worker)
{
    const struct options *options = worker->options;
    if (mkdir(options->export_directory, 0777) != 0 && errno != EEXIST) {
        log_write(LOG_ERROR, "%s: %s: %s", options->name, options->export_directory, strerror(errno));
        return EXIT_FAILURE;
    }
    struct muster_array x = {.dtype = MUSTER_FLOAT32,
                             .dimensions = 2,
                             .shape = {worker->train.count, worker->model.features},
                             .data = worker->train.x};
    struct muster_array y = {
        .dtype = MUSTER_INT32, .dimensions = 1, .shape = {worker->train.count}, .data = worker->train.y};
    return export_array(options, "x.npy", &x) && export_array(options, "y.npy", &y) ? EXIT_SUCCESS
                                                                                    : EXIT_FAILURE;
}

enum { KEY_CONNECT = 512, KEY_USER, KEY_NAME, KEY_WAIT, KEY_EXPORT };

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->data;
        state->child_inputs[1] = &options->credentials;
        state->child_inputs[2] = &options->log;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "%s: there is only room for options here", text);
        return 0;
    case KEY_CONNECT:
        options->connect = text;
        return 0;
    case KEY_USER:
        options->data.only = (size_t)argument_whole(state, "user", text, 0, 1000000000);
        return 0;
    case KEY_NAME:
        options->name = text;
        return 0;
    case KEY_WAIT:
        options->wait_ms = (int64_t)(1000 * argument_number(state, "wait", text, 0.001, 1e6));
        return 0;
    case KEY_EXPORT:
        options->export_directory = text;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void parse_options(int count, char **arguments, struct options *options)
{
    static const struct argp_option option_list[] = {
        {0, 0, 0, 0, "Participant:", 1},
        {"connect", KEY_CONNECT, "HOST:PORT", 0, "The server (default 127.0.0.1:8080)", 1},
        {"user", KEY_USER, "K", 0, "Number of the user whose data to train on, from 0 (default 0)", 1},
        {"name", KEY_NAME, "NAME", 0, "The participant's name at the server (default participant-KK)", 1},
        {"wait", KEY_WAIT, "SECONDS", 0, "How long to wait for a server that is not up yet (default 60)", 1},
        {"export", KEY_EXPORT, "DIR", 0,
         "Write the user's training samples to DIR/x.npy and DIR/y.npy, and exit", 1},
        {0},
    };
    static const struct argp_child children[] = {{&data_arguments, 0, "Data, as the server's:", 2},
                                                 {&participant_security_arguments, 0, "Security:", 3},
                                                 {&log_arguments, 0, "Log:", 4},
                                                 {0}};
    static const struct argp parser = {
        .options = option_list,
        .parser = parse,
        .doc =
            "Trains on one user's data when the server says so. The samples stay on this machine.\v"
            "If the connection breaks, the participant tries to come back for up to 10 minutes, and the "
            "training goes on. A participant that is started again with the same --name takes the place of "
            "the old process.\n\n"
            "If grpc_proxy, https_proxy or http_proxy is set, the connection goes through that HTTP proxy, "
            "unless no_grpc_proxy or no_proxy has a suffix of the host's name. Connections to loopback "
            "addresses never do.\n\n"
            "At SIGUSR1 the participant writes to standard error what it does.\n\n"
            "The exit status is 0 after the server's good-bye, 128 plus the signal's number after SIGINT or "
            "SIGTERM, and 1 or 2 otherwise.",
        .children = children,
    };
    *options = (struct options){
        .data = DATASET_OPTIONS_INIT,
        .log = LOG_OPTIONS_INIT,
        .connect = "127.0.0.1:8080",
        .wait_ms = 60000,
    };
    options->data.only = 0;
    arguments_begin("participant");
    argp_parse(&parser, count, arguments, 0, NULL, options);
}

int main(int count, char **arguments)
{
    struct options options;
    struct dataset dataset;
    struct muster_error error;
    char name[32];
    parse_options(count, arguments, &options);
    snprintf(name, sizeof(name), "participant-%02zu", options.data.only);
    if (!options.name)
        options.name = name;
    signals_catch();
    signals_call(signals_end, NULL, -1);
    log_configure(&options.log);
    if (dataset_load(&options.data, &dataset, &error) != MUSTER_OK) {
        log_write(LOG_ERROR, "%s: %s", options.name, error.text);
        return EXIT_FAILURE;
    }
    struct worker worker = {
        .options = &options,
        .train = dataset_user_train(&dataset, options.data.only),
        .test = dataset_user_test(&dataset, options.data.only),
    };
    int result = EXIT_FAILURE;
    if (!logistic_init(&worker.model, dataset.features, dataset.classes))
        log_write(LOG_ERROR, "%s: out of memory", options.name);
    else
        result = options.export_directory ? export_samples(&worker) : take_part(&worker);
    logistic_free(&worker.model);
    dataset_free(&dataset);
    return result;
}
