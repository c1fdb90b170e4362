/*
 * Lesson 4: your own messages. An instruction and its answer carry a name and bytes of your choice. A
 * participant that fails says why. proxy_run() sends one instruction and blocks for its answer.
 */
#include <muster/muster.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char address[32];

static void fail(const struct muster_error *error)
{
    fprintf(stderr, "%s\n", error->text);
    exit(EXIT_FAILURE);
}

/* ---- the participant ---- */

static void answer(struct participant *participant, const struct muster_message *instruction)
{
    const char text[] = "{\"memory\": 16}";
    const struct muster_message description = {
        .kind = MUSTER_APPLICATION, .type = "description", .data = text, .size = strlen(text)};
    const struct muster_message failure = {.kind = MUSTER_FAILURE, .code = 28, .text = "the disk is full"};
    if (instruction->kind != MUSTER_APPLICATION)
        return; /* the library answers "unknown instruction" */
    bool describes = strcmp(instruction->type, "describe yourself") == 0;
    participant_dispatch(participant, describes ? &description : &failure, NULL);
}

static void *take_part(void *unused)
{
    struct participant_options options;
    struct participant *participant;
    const struct muster_message *instruction;
    struct muster_error error;
    participant_options_init(&options);
    options.name = "ada";
    if (participant_connect(address, &options, &participant, &error) != MUSTER_OK)
        fail(&error);
    while (participant_consume(participant, MUSTER_NO_LIMIT, &instruction, &error) == MUSTER_OK)
        answer(participant, instruction);
    participant_free(participant);
    return unused;
}

/* ---- the server ---- */

static void tell(struct proxy *proxy, const struct muster_message *instruction)
{
    struct muster_message answer;
    struct muster_error error;
    enum muster_status status = proxy_run(proxy, instruction, 10000, &answer, &error);
    if (status == MUSTER_OK) /* the library has checked that the answer has the instruction's kind */
        printf("%s: %.*s\n", answer.type, (int)answer.size, (const char *)answer.data);
    else if (status == MUSTER_REFUSED)
        printf("%s (code %d)\n", error.text, (int)answer.code);
    else
        printf("%s: %s\n", muster_status_name(status), error.text);
    muster_message_clear(&answer); /* whatever the status */
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
    pthread_t thread;
    pthread_create(&thread, NULL, take_part, NULL);

    struct proxy **proxies;
    size_t count;
    if (participant_manager_get_participants(manager, 1, 60000, &proxies, &count, &error) != MUSTER_OK)
        fail(&error);
    const struct muster_message describe = {.kind = MUSTER_APPLICATION, .type = "describe yourself"};
    const struct muster_message store = {
        .kind = MUSTER_APPLICATION, .type = "store", .data = "abc", .size = 3};
    const struct muster_message train = {.kind = MUSTER_TRAIN};
    tell(proxies[0], &describe);
    tell(proxies[0], &store);
    tell(proxies[0], &train);

    proxy_release_all(proxies, count);
    participant_manager_free(manager);
    pthread_join(thread, NULL);
}
