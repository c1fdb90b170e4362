/*
 * Lesson 1: a first round. A server gives an array to three participants at once, and prints the mean of
 * their answers. Here the participants are threads, so that one program shows both sides. In real use each is
 * a process on a machine of its own, with the same code.
 *
 *     cc -o 01_first_round 01_first_round.c $(pkg-config --cflags --libs muster) -pthread
 */
#include <muster/muster.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { PARTICIPANTS = 3 };

static char address[32];

static void fail(const struct muster_error *error)
{
    fprintf(stderr, "%s\n", error->text);
    exit(EXIT_FAILURE);
}

/* ---- a participant ---- */

/* "Trains": adds its number to each weight. */
static void train(struct participant *participant, const struct muster_message *instruction, double number)
{
    const struct muster_array *model = instruction->arrays;
    if (instruction->array_count != 1 || model->dtype != MUSTER_FLOAT64)
        return; /* without our answer, the library answers "unknown instruction" */
    size_t count = muster_array_count(model);
    double *weights = malloc(count * sizeof(*weights));
    if (!weights)
        return;
    for (size_t i = 0; i < count; i++)
        weights[i] = ((const double *)model->data)[i] + number;
    struct muster_array trained = *model;
    trained.data = weights;
    const struct muster_message answer = {.kind = instruction->kind, .arrays = &trained, .array_count = 1};
    participant_dispatch(participant, &answer, NULL);
    free(weights);
}

static void *take_part(void *argument)
{
    const double *number = argument;
    struct participant *participant;
    const struct muster_message *instruction;
    struct muster_error error;
    if (participant_connect(address, NULL, &participant, &error) != MUSTER_OK)
        fail(&error);
    while (participant_consume(participant, MUSTER_NO_LIMIT, &instruction, &error) == MUSTER_OK)
        train(participant, instruction, *number);
    participant_free(participant);
    return NULL;
}

/* ---- the server ---- */

/* Called for each answer as it arrives. If it refuses an answer, the answer does not count, and its
   participant gets the reason. */
static enum muster_status add(void *mean, size_t index, struct proxy *proxy,
                              const struct muster_message *answer, struct muster_error *reason)
{
    (void)index;
    (void)proxy;
    return muster_mean_add(mean, answer->arrays, answer->array_count, 1, reason);
}

static void hold_round(struct proxy *const *proxies, size_t count)
{
    const double weights[] = {1, 2, 3};
    const struct muster_array model = {
        .dtype = MUSTER_FLOAT64, .dimensions = 1, .shape = {3}, .data = weights};
    const struct muster_message instruction = {.kind = MUSTER_TRAIN, .arrays = &model, .array_count = 1};
    struct muster_mean *mean = muster_mean_new_like(&model, 1);
    const struct muster_array *result;
    size_t result_count;
    struct muster_error error;
    if (proxy_run_all(proxies, count, &instruction, NULL, add, mean, NULL, &error) != MUSTER_OK ||
        muster_mean_result(mean, &result, &result_count, &error) != MUSTER_OK)
        fail(&error);
    const double *means = result->data;
    printf("the mean is %g %g %g\n", means[0], means[1], means[2]);
    muster_mean_free(mean);
}

int main(void)
{
    struct participant_manager_options options;
    struct participant_manager *manager;
    struct muster_error error;
    participant_manager_options_init(&options);
    options.listen = "127.0.0.1:0"; /* a free port */
    if (participant_manager_start(&options, &manager, &error) != MUSTER_OK)
        fail(&error);
    snprintf(address, sizeof(address), "127.0.0.1:%d", participant_manager_port(manager));

    pthread_t threads[PARTICIPANTS];
    double numbers[PARTICIPANTS] = {1, 2, 3};
    for (size_t i = 0; i < PARTICIPANTS; i++)
        pthread_create(&threads[i], NULL, take_part, &numbers[i]);

    struct proxy **proxies;
    size_t count;
    if (participant_manager_get_participants(manager, PARTICIPANTS, 60000, &proxies, &count, &error) !=
        MUSTER_OK)
        fail(&error);
    hold_round(proxies, count);

    proxy_release_all(proxies, count);
    participant_manager_free(manager); /* says good-bye: participant_consume() returns STOPPED */
    for (size_t i = 0; i < PARTICIPANTS; i++)
        pthread_join(threads[i], NULL);
}
