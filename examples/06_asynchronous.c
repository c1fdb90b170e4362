/*
 * Lesson 6: an asynchronous server. There are no rounds: a participant that has answered gets the next
 * instruction at once. The model is prepared, so all turns send the same copy. docs/turns.md says what
 * callbacks may do.
 */
#include <muster/muster.h>

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { PARTICIPANTS = 3, ANSWERS = 30 };

static char address[32];

static void fail(const struct muster_error *error)
{
    fprintf(stderr, "%s\n", error->text);
    exit(EXIT_FAILURE);
}

/* ---- a participant ---- */

static void *take_part(void *unused)
{
    struct participant *participant;
    const struct muster_message *instruction;
    struct muster_error error;
    if (participant_connect(address, NULL, &participant, &error) != MUSTER_OK)
        fail(&error);
    while (participant_consume(participant, MUSTER_NO_LIMIT, &instruction, &error) == MUSTER_OK)
        participant_dispatch(participant, instruction, NULL); /* after some training, which is left out */
    participant_free(participant);
    return unused;
}

/* ---- the server ---- */

struct training {
    pthread_mutex_t lock;        /* held where the model is prepared, and where it is sent */
    struct muster_message model; /* prepared */
    atomic_int answers;
    sem_t done;
};

static void answered(void *context, struct proxy *proxy, enum muster_status status,
                     struct muster_message *answer);

static void begin_turn(struct training *training, struct proxy *proxy)
{
    struct muster_error error;
    pthread_mutex_lock(&training->lock);
    enum muster_status status = proxy_run_async(proxy, &training->model, 60000, answered, training, &error);
    pthread_mutex_unlock(&training->lock);
    if (status != MUSTER_OK && status != MUSTER_STOPPED)
        printf("%s\n", error.text); /* GONE or CLOSED: this was the proxy's last turn */
}

/* Called on a network thread, once for each turn that began. It must not block; it may begin the next
   turn. */
static void answered(void *context, struct proxy *proxy, enum muster_status status,
                     struct muster_message *answer)
{
    struct training *training = context;
    struct muster_error error;
    if (status != MUSTER_OK && status != MUSTER_STOPPED) {
        proxy_explain(proxy, status, answer, &error);
        printf("%s\n", error.text);
    }
    muster_message_clear(answer); /* a real server adds it to its model first */
    if (status == MUSTER_STOPPED)
        return;
    if (status == MUSTER_OK && atomic_fetch_add(&training->answers, 1) + 1 == ANSWERS)
        sem_post(&training->done);
    begin_turn(training, proxy);
}

/* A participant that joins, now or later, gets its first turn. At AWAY and BACK there is nothing to do: the
   participant keeps its turn. LEFT is final. */
static void observe(void *context, const struct participant_manager_event *event)
{
    if (event->kind == PARTICIPANT_MANAGER_JOINED)
        begin_turn(context, event->proxy);
}

/* To change its model, a server clears the old one and prepares the new one, with the lock held. */
static void prepare(struct participant_manager *manager, struct training *training)
{
    static const float weights[1000];
    const struct muster_array array = {
        .dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {1000}, .data = weights};
    const struct muster_message model = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
    struct muster_error error;
    if (participant_manager_prepare(manager, &model, &training->model, &error) != MUSTER_OK)
        fail(&error);
}

int main(void)
{
    struct training training = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct participant_manager_options options;
    struct participant_manager *manager;
    struct muster_error error;
    sem_init(&training.done, 0, 0);
    participant_manager_options_init(&options);
    options.listen = "127.0.0.1:0";
    options.on_event = observe;
    options.context = &training;
    pthread_mutex_lock(&training.lock); /* participants may join as soon as it listens */
    if (participant_manager_start(&options, &manager, &error) != MUSTER_OK)
        fail(&error);
    prepare(manager, &training);
    pthread_mutex_unlock(&training.lock);
    snprintf(address, sizeof(address), "127.0.0.1:%d", participant_manager_port(manager));

    pthread_t threads[PARTICIPANTS];
    for (size_t i = 0; i < PARTICIPANTS; i++)
        pthread_create(&threads[i], NULL, take_part, NULL);
    struct proxy **proxies;
    size_t count; /* wait until all have joined: a late one would find no server */
    if (participant_manager_get_participants(manager, PARTICIPANTS, 60000, &proxies, &count, &error) !=
        MUSTER_OK)
        fail(&error);
    proxy_release_all(proxies, count);
    sem_wait(&training.done);
    printf("%d answers\n", ANSWERS);

    participant_manager_stop(manager); /* running turns end with STOPPED; no callback runs after this */
    muster_message_clear(&training.model);
    participant_manager_free(manager);
    for (size_t i = 0; i < PARTICIPANTS; i++)
        pthread_join(threads[i], NULL);
    sem_destroy(&training.done);
}
