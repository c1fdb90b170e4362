/*
 * Lesson 8: a server that can die. After each round it saves its state in a run directory, in one step. If
 * the server is killed at any instant and started again, it goes on after the last completed round.
 *
 *     08_resume DIRECTORY
 *
 * runs three rounds. Called again with the same directory, it runs three more.
 */
#include <muster/muster.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 3 };

static char address[32];

static void fail(const struct muster_error *error)
{
    fprintf(stderr, "%s\n", error->text);
    exit(EXIT_FAILURE);
}

/* ---- a participant, which "trains" by halving the distance to 1 ---- */

static void *take_part(void *unused)
{
    struct participant *participant;
    const struct muster_message *instruction;
    struct muster_error error;
    if (participant_connect(address, NULL, &participant, &error) != MUSTER_OK)
        fail(&error);
    while (participant_consume(participant, MUSTER_NO_LIMIT, &instruction, &error) == MUSTER_OK) {
        if (instruction->array_count != 1)
            continue;
        double weight = (*(const double *)instruction->arrays->data + 1) / 2;
        const struct muster_array array = {.dtype = MUSTER_FLOAT64, .data = &weight}; /* a single number */
        const struct muster_message answer = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
        participant_dispatch(participant, &answer, NULL);
    }
    participant_free(participant);
    return unused;
}

/* ---- the server ---- */

static void hold_round(struct proxy *proxy, double *weight)
{
    const struct muster_array array = {.dtype = MUSTER_FLOAT64, .data = weight};
    const struct muster_message instruction = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
    struct muster_message answer;
    struct muster_error error;
    if (proxy_run(proxy, &instruction, 10000, &answer, &error) != MUSTER_OK)
        fail(&error);
    if (answer.array_count == 1 && answer.arrays->dtype == MUSTER_FLOAT64 && answer.arrays->dimensions == 0)
        *weight = *(const double *)answer.arrays->data;
    muster_message_clear(&answer);
}

/* The weight after the last completed round; 0 before the first. */
static double restore(struct muster_run *run)
{
    size_t count;
    const struct muster_named_array *state = muster_run_state(run, &count);
    const struct muster_array *weight = muster_npz_find(state, count, "weight");
    return weight ? *(const double *)weight->data : 0;
}

static void train(struct muster_run *run, struct proxy *proxy)
{
    struct muster_error error;
    double weight = restore(run);
    for (int i = 0; i < ROUNDS; i++) {
        char line[64];
        uint64_t round = muster_run_round(run) + 1;
        hold_round(proxy, &weight);
        const struct muster_named_array state = {"weight", {.dtype = MUSTER_FLOAT64, .data = &weight}};
        snprintf(line, sizeof(line), "%llu,%g\n", (unsigned long long)round, weight);
        if (muster_run_commit(run, round, &state, 1, line, &error) != MUSTER_OK)
            fail(&error);
        printf("round %llu: weight %g\n", (unsigned long long)round, weight);
    }
}

int main(int argc, char **argv)
{
    struct participant_manager_options options;
    struct participant_manager *manager;
    struct muster_run *run;
    struct muster_error error;
    if (argc != 2)
        return fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]), 2;
    if (muster_run_open(argv[1], "{\"lesson\": 8}", false, &run, &error) != MUSTER_OK)
        fail(&error);
    participant_manager_options_init(&options);
    options.listen = "127.0.0.1:0";
    if (participant_manager_start(&options, &manager, &error) != MUSTER_OK)
        fail(&error);
    snprintf(address, sizeof(address), "127.0.0.1:%d", participant_manager_port(manager));
    pthread_t thread;
    pthread_create(&thread, NULL, take_part, NULL);

    struct proxy **proxies;
    size_t count;
    if (participant_manager_get_participants(manager, 1, 60000, &proxies, &count, &error) != MUSTER_OK)
        fail(&error);
    train(run, proxies[0]);

    proxy_release_all(proxies, count);
    muster_run_close(run);
    participant_manager_free(manager);
    pthread_join(thread, NULL);
}
