/* The demo's participant: holds one user's data, trains on it when the server says so, and gives away nothing
 * but the trained model, the number of samples and how good the model is on its own data. */
#include <config.h>

#include "participant.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/muster.h>

#include "common/dataset.h"
#include "common/log.h"
#include "common/logistic.h"
#include "common/signals.h"
#include "common/units.h"
#include "export.h"
#include "participant_options.h"

enum { SCALARS_MAX = 3 };

/* A participant at work. */
struct worker {
    const struct demo_participant_options *options;
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
    const char *rate_name =
        isnan(muster_message_scalar(instruction, "lr", (double)NAN)) ? "learning_rate" : "lr";
    double rate = batch_size < 0 ? -1 : hyperparameter(worker, instruction, rate_name, 0.01, 0, 1e6);
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
static void seed_round(const struct worker *worker, const struct muster_message *instruction,
                       enum random_purpose purpose, struct muster_random *random)
{
    double seed = muster_message_scalar(instruction, "seed", 0);
    double round = muster_message_scalar(instruction, "round", 0);
    random_stream(random, seed >= 0 && seed < 0x1p53 ? (uint64_t)seed : 0, purpose,
                  worker->options->data.only, round >= 0 && round < 0x1p53 ? (uint64_t)round : 0);
}

/* What an attacker sends instead of the trained model: noise around the model that it got, as big as the
 * options want it in comparison with the update. */
static void replace_by_noise(struct worker *worker, const struct muster_message *instruction)
{
    struct muster_random random;
    double square = 0;
    struct muster_array trained[LOGISTIC_ARRAYS];
    logistic_arrays(&worker->model, trained);
    for (size_t a = 0; a < LOGISTIC_ARRAYS; a++) {
        const float *now = trained[a].data, *before = instruction->arrays[a].data;
        for (size_t i = 0; i < muster_array_count(&trained[a]); i++)
            square += ((double)now[i] - (double)before[i]) * ((double)now[i] - (double)before[i]);
    }
    size_t count = logistic_parameters(&worker->model);
    double deviation = worker->options->noise * sqrt(square / (double)count);
    seed_round(worker, instruction, RANDOM_NOISE, &random);
    logistic_set(&worker->model, instruction->arrays);
    for (size_t i = 0; i < count; i++)
        worker->model.weights[i] += (float)(deviation * muster_random_normal(&random));
}

/* Answers a server that has no model yet, which sends no arrays, with one to begin with. */
static struct muster_message begin(struct worker *worker)
{
    static const char *const names[LOGISTIC_ARRAYS] = {"weights", "bias"};
    struct muster_message answer = answer_with(worker, MUSTER_TRAIN, worker->train.count, 0);
    memset(worker->model.weights, 0, logistic_parameters(&worker->model) * sizeof(*worker->model.weights));
    logistic_arrays(&worker->model, worker->arrays);
    answer.scalar_count = 1;
    answer.arrays = worker->arrays;
    answer.array_names = names;
    answer.array_count = LOGISTIC_ARRAYS;
    return answer;
}

/* Answers with the trained model and the loss that the server's model had here. */
static struct muster_message train(struct worker *worker, const struct muster_message *instruction)
{
    struct logistic_training training;
    struct muster_random random;
    double loss;
    if (instruction->array_count == 0)
        return begin(worker);
    if (!logistic_fits(&worker->model, instruction->arrays, instruction->array_count))
        return fail("the model does not go with my data");
    if (!read_hyperparameters(worker, instruction, &training))
        return fail(worker->text);
    atomic_store(&worker->percent, 0);
    logistic_set(&worker->model, instruction->arrays);
    logistic_evaluate(&worker->model, &worker->train, NULL, &loss);
    seed_round(worker, instruction, RANDOM_TRAINING, &random);
    if (!logistic_train(&worker->model, &worker->train, &training, &random))
        return fail("out of memory");
    if (worker->options->noise > 0)
        replace_by_noise(worker, instruction);
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
 * library, with "unknown instruction". Only consuming tells of the end: an answer that the server does not
 * wait for any more, as it asked everyone to come back later, fails. */
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
    const struct demo_participant_options *options = context;
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
    const struct demo_participant_options *options = worker->options;
    struct participant_options participant_options;
    participant_options_init(&participant_options);
    participant_options.name = options->name;
    participant_options.credentials = options->credentials;
    participant_options.labels = options->labels;
    participant_options.label_count = options->label_count;
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

int demo_participate(int count, char **arguments)
{
    struct demo_participant_options options;
    struct dataset dataset;
    struct muster_error error;
    char name[32];
    demo_participant_options_parse(count, arguments, &options);
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
    else if (!options.export_directory)
        result = take_part(&worker);
    else if (export_samples(options.export_directory, &worker.train, dataset.features, &error) == MUSTER_OK)
        result = EXIT_SUCCESS;
    else
        log_write(LOG_ERROR, "%s: %s", options.name, error.text);
    logistic_free(&worker.model);
    dataset_free(&dataset);
    return result;
}
