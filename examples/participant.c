/*
 * A participant to start a project from: federated averaging. fedavg_server.c is the other half. It trains the
 * server's model on data that only it has, and sends only the trained model and a few numbers.
 *
 *     cc -o participant participant.c $(pkg-config --cflags --libs muster) -pthread -lm
 *
 * The library brings the participant back if the connection breaks, if the server is killed and started again,
 * and if the server asks it to come back later. This program only waits longer.
 */
#define _POSIX_C_SOURCE 200809L
#include <muster/muster.h>

#include <getopt.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FEATURES = 20, CLASSES = 5, ARRAYS = 2, SAMPLES_MAX = 500, TEST = 100 };
static sigset_t signals; /* those that end the program */

static const char usage[] = "usage: participant [OPTION...]\n"
                            "  --connect HOST:PORT   the server (127.0.0.1:8080)\n"
                            "  --number N            the number of its data set (1)\n"
                            "  --name NAME           its name at the server (participant-N)\n";

/* ---- data and model: to be replaced by yours ---- */

struct sample {
    double x[FEATURES];
    size_t label;
};

static struct sample samples[SAMPLES_MAX]; /* the last TEST of them are kept for testing */
static size_t train_count;
static float weights[FEATURES][CLASSES], bias[CLASSES];
static const struct muster_array model[ARRAYS] = {{MUSTER_FLOAT32, 2, {FEATURES, CLASSES}, weights},
                                                  {MUSTER_FLOAT32, 1, {CLASSES}, bias}};

/* Makes data similar to synthetic(1,1) of the FedProx paper. The inputs, the law of their labels and the number
 * of samples depend on the participant's number. */
static void make_data(uint64_t number)
{
    struct muster_random common, own;
    double centre[FEATURES], law[FEATURES][CLASSES];
    muster_random_seed(&common, 0);
    muster_random_seed(&own, number);
    for (size_t f = 0; f < FEATURES; f++) {
        centre[f] = muster_random_normal(&own);
        for (size_t c = 0; c < CLASSES; c++)
            law[f][c] = muster_random_normal(&common) + 0.5 * muster_random_normal(&own);
    }
    train_count = 100 + (size_t)((SAMPLES_MAX - TEST - 100) * muster_random_uniform(&own));
    for (struct sample *sample = samples; sample < samples + train_count + TEST; sample++) {
        double score[CLASSES] = {0};
        for (size_t f = 0; f < FEATURES; f++) {
            sample->x[f] = centre[f] + muster_random_normal(&own);
            for (size_t c = 0; c < CLASSES; c++)
                score[c] += sample->x[f] * law[f][c];
        }
        for (size_t c = 1; c < CLASSES; c++)
            sample->label = score[c] > score[sample->label] ? c : sample->label;
    }
}

/* Computes the probability of each class. Returns the most likely class. */
static size_t predict(const struct sample *sample, double probability[CLASSES])
{
    size_t best = 0;
    double sum = 0, most;
    for (size_t c = 0; c < CLASSES; c++) {
        probability[c] = (double)bias[c];
        for (size_t f = 0; f < FEATURES; f++)
            probability[c] += sample->x[f] * (double)weights[f][c];
        best = probability[c] > probability[best] ? c : best;
    }
    most = probability[best];
    for (size_t c = 0; c < CLASSES; c++)
        sum += probability[c] = exp(probability[c] - most);
    for (size_t c = 0; c < CLASSES; c++)
        probability[c] /= sum;
    return best;
}

/* Logistic regression, a step of gradient descent per sample. */
static void train(struct participant *participant, size_t epochs, double rate)
{
    double probability[CLASSES];
    for (size_t epoch = 0; epoch < epochs && !participant_cancelled(participant); epoch++) {
        for (size_t i = 0; i < train_count; i++) {
            predict(&samples[i], probability);
            probability[samples[i].label] -= 1; /* the gradient, now */
            for (size_t c = 0; c < CLASSES; c++) {
                bias[c] -= (float)(rate * probability[c]);
                for (size_t f = 0; f < FEATURES; f++)
                    weights[f][c] -= (float)(rate * probability[c] * samples[i].x[f]);
            }
        }
        participant_report_progress(participant, (double)(epoch + 1) / (double)epochs, NULL);
    }
}

static void test(double *loss, double *accuracy)
{
    double probability[CLASSES];
    *loss = *accuracy = 0;
    for (const struct sample *sample = samples + train_count; sample < samples + train_count + TEST;
         sample++) {
        *accuracy += (predict(sample, probability) == sample->label) / (double)TEST;
        *loss -= log(fmax(probability[sample->label], 1e-12)) / TEST;
    }
}

/* ---- instructions ---- */

/* Tests the server's model on the data of this participant, trains it if told to, and answers. */
static void follow(struct participant *participant, const struct muster_message *instruction)
{
    const struct muster_message expected = {.arrays = model, .array_count = ARRAYS};
    double epochs = fmin(fmax(muster_message_scalar(instruction, "epochs", 1), 1), 1000); /* in limits */
    double rate = fmin(fmax(muster_message_scalar(instruction, "learning_rate", 0.01), 0), 1);
    double loss, accuracy;
    struct muster_error error;
    if (instruction->kind != MUSTER_TRAIN && instruction->kind != MUSTER_EVALUATE)
        return; /* without our answer, the library answers "unknown instruction" */
    if (muster_arrays_match(instruction, &expected, &error) != MUSTER_OK) {
        const struct muster_message failure = {.kind = MUSTER_FAILURE, .code = 1, .text = error.text};
        participant_dispatch(participant, &failure, NULL);
        return;
    }
    memcpy(weights, instruction->arrays[0].data, sizeof(weights));
    memcpy(bias, instruction->arrays[1].data, sizeof(bias));
    test(&loss, &accuracy);
    const struct muster_scalar metrics[] = {
        {"num_samples", (double)train_count}, {"loss", loss}, {"accuracy", accuracy}};
    struct muster_message answer = {.kind = instruction->kind, .scalars = metrics, .scalar_count = 3};
    if (instruction->kind == MUSTER_TRAIN) {
        train(participant, (size_t)epochs, rate);
        answer.arrays = model;
        answer.array_count = ARRAYS;
    }
    participant_dispatch(participant, &answer, NULL); /* drops the answer if nobody waits for it any more */
}

/* ---- the program ---- */

/* At Ctrl-C, participant_consume() returns CLOSED, and participant_cancelled() ends the training. */
static void *close_at_signal(void *participant)
{
    int number;
    sigwait(&signals, &number);
    participant_close(participant);
    return NULL;
}

int main(int argc, char **argv)
{
    static const struct option list[] = {{"connect", 1, NULL, 'c'},
                                         {"number", 1, NULL, 'n'},
                                         {"name", 1, NULL, 'a'},
                                         {"help", 0, NULL, 'h'},
                                         {0}};
    const char *address = "127.0.0.1:8080";
    struct participant_options options;
    struct participant *participant;
    const struct muster_message *instruction;
    struct muster_error error;
    unsigned long number = 1;
    char name[40], more;
    pthread_t watcher;
    participant_options_init(&options);
    for (int key; (key = getopt_long(argc, argv, "", list, NULL)) != -1;) {
        if (key == 'c')
            address = optarg;
        else if (key == 'a')
            options.name = optarg;
        else if (key != 'n' || sscanf(optarg, "%lu%c", &number, &more) != 1)
            return fputs(usage, key == 'h' ? stdout : stderr) < 0 || key != 'h' ? 2 : EXIT_SUCCESS;
    }
    snprintf(name, sizeof(name), "participant-%lu", number);
    options.name = options.name ? options.name : name;
    make_data(number);
    if (participant_connect(address, &options, &participant, &error) != MUSTER_OK)
        return fprintf(stderr, "%s: %s\n", options.name, error.text), EXIT_FAILURE;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    pthread_create(&watcher, NULL, close_at_signal, participant);
    fprintf(stderr, "%s: connected to %s, with %zu samples\n", options.name, address, train_count);
    while (participant_consume(participant, MUSTER_NO_LIMIT, &instruction, &error) == MUSTER_OK)
        follow(participant, instruction);
    fprintf(stderr, "%s: %s\n", options.name, error.text);
    pthread_kill(watcher, SIGTERM); /* if no signal came */
    pthread_join(watcher, NULL);
    participant_free(participant);
    return error.status == MUSTER_STOPPED ? EXIT_SUCCESS : EXIT_FAILURE; /* the server's good-bye */
}
