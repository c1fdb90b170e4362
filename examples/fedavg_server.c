/*
 * A server to start a project from: federated averaging. participant.c is the other half. In each round some
 * of the participants train the model on data that only they have. The next model is the weighted mean of
 * their models, and all participants test it.
 *
 *     cc -o fedavg_server fedavg_server.c $(pkg-config --cflags --libs muster) -pthread
 *     ./fedavg_server & for number in 1 2 3; do ./participant --number $number & done; wait
 *
 * The library does the rest. A participant whose connection breaks comes back and goes on with its turn. A
 * participant that is started again gets its old place. If the server is killed and started again, all
 * participants join again. To keep the model until then, see 08_resume.c; for TLS and a token, see 07_tls.c.
 */
#define _POSIX_C_SOURCE 200809L
#include <muster/muster.h>

#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FEATURES = 20, CLASSES = 5, ARRAYS = 2, NUMBER_MAX = 1000, DEADLINE_MS = 60000 };
#define FRACTION 0.67 /* of the participants that are there train in a round */

static const char usage[] =
    "usage: fedavg_server [OPTION...]\n"
    "  --listen HOST:PORT   where participants connect (127.0.0.1:8080; port 0: any)\n"
    "  --participants N     wait for N participants before the first round (3)\n"
    "  --rounds N           run N rounds (10)\n";

static const char *listen_on = "127.0.0.1:8080";
static size_t participants = 3, rounds = 10;
static float weights[FEATURES][CLASSES], bias[CLASSES];
static const struct muster_array model[ARRAYS] = {{MUSTER_FLOAT32, 2, {FEATURES, CLASSES}, weights},
                                                  {MUSTER_FLOAT32, 1, {CLASSES}, bias}};
static struct muster_random dice;
static sigset_t signals; /* those that end the program */

/* ---- rounds ---- */

/* Called for each answer as it arrives. It checks the numbers first: a participant that claims 1e300 samples
 * would decide the mean alone. If it refuses an answer, the participant gets the reason. */
static enum muster_status add(void *mean, size_t index, struct proxy *proxy,
                              const struct muster_message *answer, struct muster_error *reason)
{
    double samples = muster_message_scalar(answer, "num_samples", 0);
    double loss = muster_message_scalar(answer, "loss", -1);
    double accuracy = muster_message_scalar(answer, "accuracy", -1);
    const struct muster_scalar metrics[] = {{"loss", loss}, {"accuracy", accuracy}};
    size_t arrays = answer->kind == MUSTER_TRAIN ? answer->array_count : 0; /* the rest is left aside */
    const struct muster_message counted = {
        .arrays = answer->arrays, .array_count = arrays, .scalars = metrics, .scalar_count = 2};
    (void)index;
    (void)proxy;
    if (!(samples >= 1 && samples <= 1e6 && loss >= 0 && loss <= 1e6 && accuracy >= 0 && accuracy <= 1)) {
        snprintf(reason->text, sizeof(reason->text), "%g samples, with a loss of %g and an accuracy of %g",
                 samples, loss, accuracy);
        return MUSTER_INVALID;
    }
    return muster_mean_add_message(mean, &counted, samples, reason);
}

/* Sends the model with an instruction, and sets *result to the mean of the answers. Returns their number. */
static size_t run(struct proxy *const *proxies, size_t count, enum muster_kind kind, struct muster_mean *mean,
                  struct muster_message *result)
{
    const struct muster_scalar settings[] = {{"epochs", 2}, {"learning_rate", 0.02}};
    const struct muster_message instruction = {
        .kind = kind, .arrays = model, .array_count = ARRAYS, .scalars = settings, .scalar_count = 2};
    struct proxy_round_options options;
    struct proxy_round_result round = {.count = 0};
    struct muster_error error = {MUSTER_OUT_OF_MEMORY, "out of memory"};
    proxy_round_options_init(&options);
    options.deadline_ms = DEADLINE_MS;
    options.at_least = 1; /* all are waited for; one that fails or is late does not stop the others */
    size_t answered = 0;
    if (mean &&
        proxy_run_all(proxies, count, &instruction, &options, add, mean, &round, &error) == MUSTER_OK &&
        muster_mean_result_message(mean, result, &error) == MUSTER_OK)
        answered = round.answered;
    else if (error.status != MUSTER_STOPPED)
        fprintf(stderr, "fedavg_server: %s\n", error.text);
    for (size_t i = 0; i < round.count; i++) {
        if (round.entries[i].status != MUSTER_OK && round.entries[i].status != MUSTER_STOPPED)
            fprintf(stderr, "fedavg_server: %s: %s\n", proxy_name(proxies[i]), round.entries[i].text);
    }
    proxy_round_result_clear(&round);
    return answered;
}

/* Lets some participants train; the mean of their models is the next model. Returns how many trained. */
static size_t train(struct proxy *const *proxies, size_t count)
{
    size_t wanted = 1 + (size_t)(FRACTION * (double)(count - 1)), numbers[NUMBER_MAX];
    struct proxy *chosen[NUMBER_MAX];
    struct muster_mean *mean = muster_mean_new_like(model, ARRAYS); /* what has another shape is refused */
    struct muster_message result;
    muster_sample(&dice, count, wanted, numbers, NULL);
    for (size_t i = 0; i < wanted; i++)
        chosen[i] = proxies[numbers[i]];
    size_t trained = run(chosen, wanted, MUSTER_TRAIN, mean, &result);
    if (trained > 0) {
        memcpy(weights, result.arrays[0].data, sizeof(weights));
        memcpy(bias, result.arrays[1].data, sizeof(bias));
    }
    muster_mean_free(mean);
    return trained;
}

static void hold_round(struct proxy *const *proxies, size_t count, size_t round)
{
    size_t trained = round > 0 ? train(proxies, count) : 0; /* round 0 tests the model of zeros */
    struct muster_mean *mean = muster_mean_new();
    struct muster_message metrics;
    size_t tested = run(proxies, count, MUSTER_EVALUATE, mean, &metrics);
    if (tested > 0)
        printf("round %zu: %zu trained, %zu tested: loss %.3f, accuracy %.3f\n", round, trained, tested,
               muster_message_scalar(&metrics, "loss", 0), muster_message_scalar(&metrics, "accuracy", 0));
    muster_mean_free(mean);
}

/* ---- the program ---- */

/* At Ctrl-C, waits and rounds end with STOPPED, and participants are told good-bye. (Before a deploy, call
 * participant_manager_close_for(): they come back.) The library's threads do not take signals. */
static void *close_at_signal(void *manager)
{
    int number;
    sigwait(&signals, &number);
    participant_manager_close(manager);
    return NULL;
}

static size_t number_in(const char *text)
{
    unsigned number;
    char more;
    if (sscanf(text, "%u%c", &number, &more) == 1 && number >= 1 && number <= NUMBER_MAX)
        return number;
    fprintf(stderr, "fedavg_server: %s: expected a number from 1 to %d\n", text, NUMBER_MAX);
    exit(2);
}

static void parse(int argc, char **argv)
{
    static const struct option list[] = {{"listen", 1, NULL, 'l'},
                                         {"participants", 1, NULL, 'p'},
                                         {"rounds", 1, NULL, 'r'},
                                         {"help", 0, NULL, 'h'},
                                         {0}};
    for (int key; (key = getopt_long(argc, argv, "", list, NULL)) != -1;) {
        if (key == 'l')
            listen_on = optarg;
        else if (key == 'p')
            participants = number_in(optarg);
        else if (key == 'r')
            rounds = number_in(optarg);
        else
            exit(fputs(usage, key == 'h' ? stdout : stderr) < 0 || key != 'h' ? 2 : EXIT_SUCCESS);
    }
}

int main(int argc, char **argv)
{
    struct participant_manager_options options;
    struct participant_manager *manager;
    struct muster_error error;
    pthread_t watcher;
    parse(argc, argv);
    muster_random_seed(&dice, 0);     /* the same choices in each run */
    setvbuf(stdout, NULL, _IOLBF, 0); /* each line at once, into a pipe or a file too */
    participant_manager_options_init(&options);
    options.listen = listen_on;
    options.max_participants = NUMBER_MAX;
    if (participant_manager_start(&options, &manager, &error) != MUSTER_OK)
        return fprintf(stderr, "fedavg_server: %s\n", error.text), EXIT_FAILURE;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    pthread_create(&watcher, NULL, close_at_signal, manager);
    printf("listening on port %d for %zu participants\n", participant_manager_port(manager), participants);
    enum muster_status status = MUSTER_OK;
    for (size_t round = 0; round <= rounds && status == MUSTER_OK; round++) {
        struct proxy **proxies;
        size_t count, least = round == 0 ? participants : 1; /* later, whoever is there */
        status =
            participant_manager_get_participants(manager, least, MUSTER_NO_LIMIT, &proxies, &count, &error);
        if (status == MUSTER_OK)
            hold_round(proxies, count, round);
        proxy_release_all(proxies, count);
    }
    if (status != MUSTER_OK)
        fprintf(stderr, "fedavg_server: ended before the last round: %s\n", error.text);
    pthread_kill(watcher, SIGTERM); /* if no signal came */
    pthread_join(watcher, NULL);
    participant_manager_free(manager); /* participants are told good-bye, and end as well */
    return status == MUSTER_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
