/*
 * Training with a server: it gives the weight to all participants, and takes the mean of what they make of it.
 *
 *     ./from_one_server serve 127.0.0.1:8090 3        for three participants
 *     ./from_one_server join 127.0.0.1:8090 NUMBER    three times, with a number each
 */
#include <muster/muster.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 20, LIMIT_MS = 60000 };

static void check(enum muster_status status, const struct muster_error *error)
{
    if (status == MUSTER_OK)
        return;
    fprintf(stderr, "%s\n", error->text);
    exit(EXIT_FAILURE);
}

static struct muster_array view(const double *weight)
{
    return (struct muster_array){.dtype = MUSTER_FLOAT64, .data = weight};
}

static void take_part(const char *address, double number)
{
    struct participant *participant;
    const struct muster_message *instruction;
    struct muster_error error;
    check(participant_connect(address, NULL, &participant, &error), &error);
    while (participant_consume(participant, MUSTER_NO_LIMIT, &instruction, &error) == MUSTER_OK) {
        double weight = *(const double *)instruction->arrays[0].data;
        weight += 0.5 * (number - weight); /* training */
        struct muster_array array = view(&weight);
        struct muster_message answer = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
        check(participant_dispatch(participant, &answer, &error), &error);
    }
    participant_free(participant);
}

static enum muster_status add(void *mean, size_t index, struct proxy *proxy,
                              const struct muster_message *answer, struct muster_error *reason)
{
    (void)index, (void)proxy;
    return muster_mean_add(mean, answer->arrays, answer->array_count, 1, reason);
}

static void serve(const char *address, size_t count)
{
    struct participant_manager_options options;
    struct participant_manager *manager;
    struct proxy **proxies;
    struct muster_error error;
    double weight = 0;
    participant_manager_options_init(&options);
    options.listen = address;
    check(participant_manager_start(&options, &manager, &error), &error);
    printf("serving on port %d\n", participant_manager_port(manager));
    fflush(stdout);
    check(participant_manager_get_participants(manager, count, LIMIT_MS, &proxies, &count, &error), &error);
    for (int round = 0; round < ROUNDS; round++) {
        struct muster_array array = view(&weight);
        const struct muster_message instruction = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
        struct muster_mean *mean = muster_mean_new_like(&array, 1);
        const struct muster_array *result;
        size_t results;
        check(proxy_run_all(proxies, count, &instruction, NULL, add, mean, NULL, &error), &error);
        check(muster_mean_result(mean, &result, &results, &error), &error);
        weight = *(const double *)result->data;
        muster_mean_free(mean);
    }
    printf("the weight is %.3f\n", weight);
    proxy_release_all(proxies, count);
    participant_manager_free(manager);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "serve") == 0)
        serve(argv[2], (size_t)atoi(argv[3]));
    else if (argc == 4 && strcmp(argv[1], "join") == 0)
        take_part(argv[2], atof(argv[3]));
    else
        return fputs("usage: from_one_server serve ADDRESS COUNT | join ADDRESS NUMBER\n", stderr), 2;
    return EXIT_SUCCESS;
}
