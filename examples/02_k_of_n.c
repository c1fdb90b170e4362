/*
 * Lesson 2: a round that ends with two of three answers. The third participant is slow. It is told that
 * nobody waits for its answer any more, and takes part in the next round.
 */
#include <muster/muster.h>

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

enum { PARTICIPANTS = 3 };

static char address[32];

/* The fast ones wait until the slow one has begun, so that the example does the same each time. */
static sem_t slow_began;

static void fail(const struct muster_error *error)
{
    fprintf(stderr, "%s\n", error->text);
    exit(EXIT_FAILURE);
}

/* ---- a participant ---- */

/* Called on a network thread: it must not block. */
static void stop_training(void *context, struct participant *participant)
{
    (void)participant;
    sem_post(context);
}

static void *take_part(void *argument)
{
    const char *name = argument;
    bool is_slow = name[0] == 's', is_first = true;
    struct participant_options options;
    struct participant *participant;
    const struct muster_message *instruction;
    struct muster_error error;
    sem_t given_up;
    sem_init(&given_up, 0, 0);
    participant_options_init(&options);
    options.name = name;
    options.on_cancelled = stop_training;
    options.context = &given_up;
    if (participant_connect(address, &options, &participant, &error) != MUSTER_OK)
        fail(&error);
    while (participant_consume(participant, MUSTER_NO_LIMIT, &instruction, &error) == MUSTER_OK) {
        const struct muster_scalar loss = {"loss", 0.5};
        const struct muster_message answer = {.kind = instruction->kind, .scalars = &loss, .scalar_count = 1};
        participant_report_progress(participant, 0.5, NULL);
        if (is_first && is_slow) {
            sem_post(&slow_began);
            sem_post(&slow_began);
            sem_wait(&given_up); /* stands for hours of training, which on_cancelled ends */
        } else if (is_first) {
            sem_wait(&slow_began);
        }
        is_first = false;
        if (participant_cancelled(participant))
            printf("%s: nobody waits for this answer\n", name);
        participant_dispatch(participant, &answer, NULL); /* drops the answer if nobody waits */
    }
    participant_free(participant);
    sem_destroy(&given_up);
    return NULL;
}

/* ---- the server ---- */

static void hold_round(struct proxy *const *proxies, size_t count, size_t enough)
{
    const struct muster_message instruction = {.kind = MUSTER_TRAIN};
    struct proxy_round_options options;
    struct proxy_round_result result;
    struct muster_error error;
    proxy_round_options_init(&options);
    options.enough = enough;     /* when so many have answered, the other turns are given up */
    options.deadline_ms = 60000; /* all turns that still run then are given up */
    if (proxy_run_all(proxies, count, &instruction, &options, NULL, NULL, &result, &error) != MUSTER_OK)
        fail(&error);
    printf("%zu answered, %zu were not waited for\n", result.answered, result.late);
    proxy_round_result_clear(&result);
}

int main(void)
{
    static char *names[PARTICIPANTS] = {"ada", "bob", "slow"};
    struct participant_manager_options options;
    struct participant_manager *manager;
    struct muster_error error;
    participant_manager_options_init(&options);
    options.listen = "127.0.0.1:0";
    if (participant_manager_start(&options, &manager, &error) != MUSTER_OK)
        fail(&error);
    snprintf(address, sizeof(address), "127.0.0.1:%d", participant_manager_port(manager));

    sem_init(&slow_began, 0, 0);
    pthread_t threads[PARTICIPANTS];
    for (size_t i = 0; i < PARTICIPANTS; i++)
        pthread_create(&threads[i], NULL, take_part, names[i]);

    struct proxy **proxies;
    size_t count;
    if (participant_manager_get_participants(manager, PARTICIPANTS, 60000, &proxies, &count, &error) !=
        MUSTER_OK)
        fail(&error);
    hold_round(proxies, count, 2);
    hold_round(proxies, count, 3);

    proxy_release_all(proxies, count);
    participant_manager_free(manager);
    for (size_t i = 0; i < PARTICIPANTS; i++)
        pthread_join(threads[i], NULL);
}
