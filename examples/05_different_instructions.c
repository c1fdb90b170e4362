/*
 * Lesson 5: different instructions in one round. A label says what a participant is, and the server asks
 * phones for fewer epochs than servers.
 */
#include <muster/muster.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARTICIPANTS = 3 };

static char address[32];

static void fail(const struct muster_error *error)
{
    fprintf(stderr, "%s\n", error->text);
    exit(EXIT_FAILURE);
}

/* ---- a participant ---- */

static void *take_part(void *argument)
{
    const struct participant_label kind = {"kind", argument};
    struct participant_options options;
    struct participant *participant;
    const struct muster_message *instruction;
    struct muster_error error;
    participant_options_init(&options);
    options.labels = &kind;
    options.label_count = 1;
    if (participant_connect(address, &options, &participant, &error) != MUSTER_OK)
        fail(&error);
    while (participant_consume(participant, MUSTER_NO_LIMIT, &instruction, &error) == MUSTER_OK) {
        const struct muster_scalar done = {"epochs", muster_message_scalar(instruction, "epochs", 1)};
        const struct muster_message answer = {.kind = instruction->kind, .scalars = &done, .scalar_count = 1};
        participant_dispatch(participant, &answer, NULL);
    }
    participant_free(participant);
    return NULL;
}

/* ---- the server ---- */

static enum muster_status add(void *epochs, size_t index, struct proxy *proxy,
                              const struct muster_message *answer, struct muster_error *reason)
{
    (void)index; /* proxies[index] answered, to instructions[index] */
    (void)proxy;
    (void)reason;
    *(double *)epochs += muster_message_scalar(answer, "epochs", 0);
    return MUSTER_OK;
}

static void hold_round(struct proxy *const *proxies, size_t count)
{
    const struct muster_scalar many = {"epochs", 10}, few = {"epochs", 1};
    const struct muster_message for_servers = {.kind = MUSTER_TRAIN, .scalars = &many, .scalar_count = 1};
    const struct muster_message for_phones = {.kind = MUSTER_TRAIN, .scalars = &few, .scalar_count = 1};
    const struct muster_message *instructions[PARTICIPANTS];
    struct muster_error error;
    double epochs = 0;
    for (size_t i = 0; i < count; i++) {
        const char *kind = proxy_label(proxies[i], "kind");
        instructions[i] = kind && strcmp(kind, "phone") == 0 ? &for_phones : &for_servers;
    }
    if (proxy_run_each(proxies, instructions, count, NULL, add, &epochs, NULL, &error) != MUSTER_OK)
        fail(&error);
    printf("%g epochs in all\n", epochs);
}

int main(void)
{
    static char *kinds[PARTICIPANTS] = {"server", "phone", "phone"};
    struct participant_manager_options options;
    struct participant_manager *manager;
    struct muster_error error;
    participant_manager_options_init(&options);
    options.listen = "127.0.0.1:0";
    if (participant_manager_start(&options, &manager, &error) != MUSTER_OK)
        fail(&error);
    snprintf(address, sizeof(address), "127.0.0.1:%d", participant_manager_port(manager));

    pthread_t threads[PARTICIPANTS];
    for (size_t i = 0; i < PARTICIPANTS; i++)
        pthread_create(&threads[i], NULL, take_part, kinds[i]);

    struct proxy **proxies;
    size_t count;
    if (participant_manager_get_participants(manager, PARTICIPANTS, 60000, &proxies, &count, &error) !=
        MUSTER_OK)
        fail(&error);
    hold_round(proxies, count);

    proxy_release_all(proxies, count);
    participant_manager_free(manager);
    for (size_t i = 0; i < PARTICIPANTS; i++)
        pthread_join(threads[i], NULL);
}
