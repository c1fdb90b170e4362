/* The participants on muster: the public interface, as a program would use it. Connecting blocks, so that
   several threads connect at a time. Then a callback answers, or a thread that blocks for instructions. */
#include <config.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <muster/muster.h>

#include "certificate.h"
#include "role.h"

static struct {
    struct role_options options;
    struct participant **all;
    pthread_t consumer;
    char address[32];
    float *numbers; /* arrays: what all answer */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    size_t next;     /* to be connected */
    size_t answered; /* answers that the library has taken */
} participants = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* The array that came, as if it had been trained in place, or one that lies ready where another size is asked
   for: nothing is trained. */
static enum muster_status dispatch_array(struct participant *participant,
                                         const struct muster_message *instruction)
{
    struct muster_array array = {
        MUSTER_FLOAT32, 1, {participants.options.answer / sizeof(float)}, participants.numbers};
    struct muster_message answer = {.kind = instruction->kind, .arrays = &array, .array_count = 1};
    size_t bytes = 0;
    for (size_t i = 0; i < instruction->array_count; i++)
        bytes += muster_array_count(&instruction->arrays[i]) * sizeof(float);
    if (bytes != participants.options.instruction)
        role_fail("an instruction of the wrong size");
    if (participants.options.answer == participants.options.instruction)
        answer.arrays = instruction->arrays;
    return participant_dispatch(participant, &answer, NULL);
}

static void count_answer(void)
{
    pthread_mutex_lock(&participants.lock);
    participants.answered++;
    pthread_mutex_unlock(&participants.lock);
    pthread_cond_broadcast(&participants.changed);
}

/* Answers an instruction with the array, or with what it brought. */
static enum muster_status answer_next(struct participant *participant)
{
    const struct muster_message *instruction = NULL;
    enum muster_status status = participant_consume(participant, MUSTER_NO_LIMIT, &instruction, NULL);
    if (status != MUSTER_OK || !participants.options.arrays)
        return status == MUSTER_OK ? participant_dispatch(participant, instruction, NULL) : status;
    status = dispatch_array(participant, instruction);
    if (status == MUSTER_OK)
        count_answer();
    return status;
}

/* Consuming once more, in vain, frees a big instruction. */
static void on_ready(void *context, struct participant *participant)
{
    (void)context;
    if (answer_next(participant) == MUSTER_OK && participants.options.arrays)
        (void)answer_next(participant);
}

static void answered(size_t count)
{
    pthread_mutex_lock(&participants.lock);
    while (participants.answered < count)
        pthread_cond_wait(&participants.changed, &participants.lock);
    pthread_mutex_unlock(&participants.lock);
}

static void *consume(void *participant)
{
    while (answer_next(participant) == MUSTER_OK) {
    }
    return NULL;
}

static struct participant *connect_one(void)
{
    struct participant_options options;
    participant_options_init(&options);
    struct participant *participant = NULL;
    struct muster_message first = MUSTER_MESSAGE_INIT;
    struct muster_error error = {0};
    if (participants.options.tls)
        options.credentials.ca = certificate_path();
    if (!participants.options.consumes)
        options.on_ready = on_ready;
    if (participant_connect(participants.address, &options, &participant, &error) != MUSTER_OK)
        role_fail("%s", error.text);
    enum muster_status status = participant_dispatch(participant, &first, NULL);
    if (status != MUSTER_OK)
        role_fail("participant_dispatch: %s", muster_status_text(status));
    return participant;
}

static void *connect_some(void *unused)
{
    for (;;) {
        pthread_mutex_lock(&participants.lock);
        size_t index = participants.next++;
        pthread_mutex_unlock(&participants.lock);
        if (index >= participants.options.participants)
            return unused;
        participants.all[index] = connect_one();
    }
}

static void start_thread(pthread_t *thread, void *(*run)(void *), void *argument)
{
    if (pthread_create(thread, NULL, run, argument) != 0)
        role_fail("cannot start a thread");
}

static void connect_all(const struct role_options *options)
{
    pthread_t *threads = role_allocate(options->connecting, sizeof(*threads));
    size_t count = options->connecting < options->participants ? options->connecting : options->participants;
    participants.options = *options;
    participants.numbers = role_numbers(options->arrays ? options->answer : 0);
    participants.all = role_allocate(options->participants, sizeof(*participants.all));
    snprintf(participants.address, sizeof(participants.address), "%s127.0.0.1:%u",
             options->http2 ? "http2+" : "", options->port);
    for (size_t i = 0; i < count; i++)
        start_thread(&threads[i], connect_some, NULL);
    for (size_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    free(threads);
    if (options->consumes)
        start_thread(&participants.consumer, consume, participants.all[0]);
}

static void stop(void)
{
    for (size_t i = 0; i < participants.options.participants; i++)
        participant_close(participants.all[i]);
    if (participants.options.consumes)
        pthread_join(participants.consumer, NULL);
    for (size_t i = 0; i < participants.options.participants; i++)
        participant_free(participants.all[i]);
    free(participants.all);
    free(participants.numbers);
}

const struct role_participants muster_participants = {
    .connect = connect_all, .stop = stop, .answered = answered};
