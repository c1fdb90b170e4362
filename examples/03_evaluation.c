/*
 * Lesson 3: evaluation. The server sends a model to all participants. Each tests the model on its own data,
 * and answers with numbers. The server computes their weighted mean.
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

struct data {
    const char *name;
    double samples;
    double accuracy; /* of the model on these samples */
};

static void *take_part(void *argument)
{
    const struct data *data = argument;
    struct participant_options options;
    struct participant *participant;
    const struct muster_message *instruction;
    struct muster_error error;
    participant_options_init(&options);
    options.name = data->name;
    if (participant_connect(address, &options, &participant, &error) != MUSTER_OK)
        fail(&error);
    while (participant_consume(participant, MUSTER_NO_LIMIT, &instruction, &error) == MUSTER_OK) {
        const struct muster_scalar metrics[] = {{"num_samples", data->samples}, {"accuracy", data->accuracy}};
        const struct muster_message answer = {.kind = MUSTER_EVALUATE, .scalars = metrics, .scalar_count = 2};
        if (instruction->kind == MUSTER_EVALUATE) /* to others the library answers "unknown instruction" */
            participant_dispatch(participant, &answer, NULL);
    }
    participant_free(participant);
    return NULL;
}

/* ---- the server ---- */

struct evaluation {
    double samples;
    double accuracy; /* the sum over all samples */
};

static enum muster_status add(void *context, size_t index, struct proxy *proxy,
                              const struct muster_message *answer, struct muster_error *reason)
{
    struct evaluation *evaluation = context;
    double samples = muster_message_scalar(answer, "num_samples", 0);
    double accuracy = muster_message_scalar(answer, "accuracy", -1);
    (void)index;
    (void)proxy;
    /* Check a participant's numbers before you use them. The reason is the text of its entry in the result,
       and is sent to the participant. */
    if (!(samples > 0 && samples < 1e9 && accuracy >= 0 && accuracy <= 1)) {
        snprintf(reason->text, sizeof(reason->text), "%g samples with an accuracy of %g", samples, accuracy);
        return MUSTER_INVALID;
    }
    evaluation->samples += samples;
    evaluation->accuracy += samples * accuracy;
    return MUSTER_OK;
}

static void evaluate(struct proxy *const *proxies, size_t count)
{
    const float weights[4] = {0};
    const struct muster_array model = {
        .dtype = MUSTER_FLOAT32, .dimensions = 2, .shape = {2, 2}, .data = weights};
    const struct muster_message instruction = {.kind = MUSTER_EVALUATE, .arrays = &model, .array_count = 1};
    struct evaluation evaluation = {0};
    struct proxy_round_options options;
    struct proxy_round_result result;
    struct muster_error error;
    proxy_round_options_init(&options);
    options.at_least = 2; /* the round waits for all, and is OK if two answers were accepted */
    if (proxy_run_all(proxies, count, &instruction, &options, add, &evaluation, &result, &error) != MUSTER_OK)
        fail(&error);
    for (size_t i = 0; i < count; i++) {
        if (result.entries[i].status != MUSTER_OK)
            printf("%s: %s\n", proxy_name(proxies[i]), result.entries[i].text);
    }
    printf("accuracy %.2f on %g samples\n", evaluation.accuracy / evaluation.samples, evaluation.samples);
    proxy_round_result_clear(&result);
}

int main(void)
{
    struct participant_manager_options options;
    struct participant_manager *manager;
    struct muster_error error;
    participant_manager_options_init(&options);
    options.listen = "127.0.0.1:0";
    if (participant_manager_start(&options, &manager, &error) != MUSTER_OK)
        fail(&error);
    snprintf(address, sizeof(address), "127.0.0.1:%d", participant_manager_port(manager));

    static struct data data[PARTICIPANTS] = {{"ada", 100, 0.9}, {"bob", 300, 0.7}, {"eve", 50, 7}};
    pthread_t threads[PARTICIPANTS];
    for (size_t i = 0; i < PARTICIPANTS; i++)
        pthread_create(&threads[i], NULL, take_part, &data[i]);

    struct proxy **proxies;
    size_t count;
    if (participant_manager_get_participants(manager, PARTICIPANTS, 60000, &proxies, &count, &error) !=
        MUSTER_OK)
        fail(&error);
    evaluate(proxies, count);

    proxy_release_all(proxies, count);
    participant_manager_free(manager);
    for (size_t i = 0; i < PARTICIPANTS; i++)
        pthread_join(threads[i], NULL);
}
