/* The server on muster: the public interface, as a program would use it. */
#include <config.h>

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <muster/muster.h>

#include "certificate.h"
#include "role.h"

#define TYPE "bench"

/* A turn that nobody waits for yet. */
struct turn {
    bool ended;
    enum muster_status status;
};

static struct {
    struct role_options options;
    struct participant_manager *manager;
    struct proxy **proxies;
    size_t count;
    struct muster_message instruction;
    struct muster_array array;          /* the instruction's */
    float *numbers;                     /* the array's */
    const struct muster_message **each; /* of arrays of their own; until the process ends */
    char *answer;                       /* what the last turn brought */
    struct muster_mean *mean;
    struct muster_strategy *median;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    struct turn *turns; /* those that were begun, by the participant's place */
    bool held;          /* the answer of the last participant is being worked on, */
    bool released;      /* and is not to be any longer */
    pthread_t holder;
} server = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void require(enum muster_status status, const char *what)
{
    if (status != MUSTER_OK)
        role_fail("%s: %s", what, muster_status_text(status));
}

/* An instruction of bytes, or of one array; an array of nothing is none. */
static void make_instruction(void)
{
    size_t size = server.options.instruction;
    if (!server.options.arrays) {
        server.instruction.kind = MUSTER_APPLICATION;
        server.instruction.type = TYPE;
        server.instruction.data = role_allocate(1, size);
        server.instruction.size = size;
        return;
    }
    server.numbers = role_numbers(size);
    server.array = (struct muster_array){MUSTER_FLOAT32, 1, {size / sizeof(*server.numbers)}, server.numbers};
    server.instruction.kind = MUSTER_TRAIN;
    server.instruction.arrays = &server.array;
    server.instruction.array_count = size > 0 ? 1 : 0;
}

static uint16_t start(const struct role_options *options)
{
    struct participant_manager_options manager_options;
    participant_manager_options_init(&manager_options);
    struct muster_error error = {0};
    if (options->arrays)
        mallopt(M_ARENA_MAX, 1); /* see upload_budget in participant_manager.h */
    server.options = *options;
    server.answer = role_allocate(1, options->instruction);
    make_instruction();
    if (options->folds && !(server.mean = muster_mean_new()))
        role_fail("out of memory");
    manager_options.listen = options->http2 ? "http2+127.0.0.1:0" : "127.0.0.1:0";
    manager_options.network_threads = (unsigned)options->loops;
    if (options->tls) {
        manager_options.credentials.certificate = certificate_path();
        manager_options.credentials.key = certificate_key_path();
    }
    manager_options.upload_budget = options->budget;
    if (participant_manager_start(&manager_options, &server.manager, &error) != MUSTER_OK)
        role_fail("%s", error.text);
    return participant_manager_port(server.manager);
}

struct participant_manager *muster_server_manager(void)
{
    return server.manager;
}

/* All that are there, once there are `count`: those who joined first come first. */
static void join(size_t count)
{
    proxy_release_all(server.proxies, server.count);
    require(participant_manager_get_participants(server.manager, count, MUSTER_NO_LIMIT, &server.proxies,
                                                 &server.count, NULL),
            "get_participants");
}

static bool is_array_answer(const struct muster_message *answer)
{
    return answer->kind == MUSTER_TRAIN && answer->array_count == 1 &&
           answer->arrays->dtype == MUSTER_FLOAT32 &&
           muster_array_count(answer->arrays) == server.options.answer / sizeof(float);
}

static bool is_answer(const struct muster_message *answer)
{
    return server.options.arrays
               ? is_array_answer(answer)
               : answer->kind == MUSTER_APPLICATION && answer->size == server.options.instruction;
}

static void turn(void)
{
    struct muster_message answer = MUSTER_MESSAGE_INIT;
    require(proxy_run(server.proxies[0], &server.instruction, MUSTER_NO_LIMIT, &answer, NULL), "proxy_run");
    if (!is_answer(&answer))
        role_fail("an answer of the wrong size");
    if (!server.options.arrays)
        memcpy(server.answer, answer.data, answer.size);
    muster_message_clear(&answer);
}

static enum muster_status take_answer(void *context, size_t index, struct proxy *proxy,
                                      const struct muster_message *answer, struct muster_error *reason)
{
    size_t *answers = context;
    (void)index;
    (void)proxy;
    *answers += is_answer(answer);
    struct muster_strategy_answer added = MUSTER_STRATEGY_ANSWER_INIT;
    added.message = answer;
    if (server.median)
        return muster_strategy_add(server.median, &added, reason);
    return server.mean ? muster_mean_add(server.mean, answer->arrays, answer->array_count, 1, reason)
                       : MUSTER_OK;
}

/* The mean, which a training would send next. It needs memory too, so that it belongs to a round. */
static void finish_mean(void)
{
    const struct muster_array *arrays = NULL;
    size_t count = 0;
    require(muster_mean_result(server.mean, &arrays, &count, NULL), "muster_mean_result");
    muster_mean_reset(server.mean);
}

/* With the first round, so that its model is counted as memory. */
static void make_median(void)
{
    struct muster_strategy_options options;
    muster_strategy_options_init(&options);
    options.name = "median";
    require(muster_strategy_new(&options, &server.instruction, &server.median, NULL), "muster_strategy_new");
}

static void make_each(void)
{
    struct muster_message *messages = role_allocate(server.count, sizeof(*messages));
    struct muster_array *arrays = role_allocate(server.count, sizeof(*arrays));
    server.each = role_allocate(server.count, sizeof(*server.each));
    for (size_t i = 0; i < server.count; i++) {
        arrays[i] = server.array;
        arrays[i].data = role_numbers(server.options.instruction);
        messages[i] = server.instruction;
        messages[i].arrays = &arrays[i];
        server.each[i] = &messages[i];
    }
}

static void round_with_all(void)
{
    size_t answers = 0;
    if (server.options.median && !server.median)
        make_median();
    require(proxy_run_all(server.proxies, server.count, &server.instruction, NULL, take_answer, &answers,
                          NULL, NULL),
            "proxy_run_all");
    if (answers != server.count)
        role_fail("%zu of %zu answers", answers, server.count);
    if (server.mean)
        finish_mean();
    if (server.median)
        require(muster_strategy_step(server.median, 0, NULL), "muster_strategy_step");
}

/* A round in which each participant gets an array of its own. */
static void round_with_each(void)
{
    size_t count = server.count, answers = 0;
    if (!server.each)
        make_each();
    require(proxy_run_each(server.proxies, server.each, count, NULL, take_answer, &answers, NULL, NULL),
            "proxy_run_each");
    if (answers != count)
        role_fail("%zu of %zu answers", answers, count);
}

/* ---- turns that nobody waits for ---- */

static void on_answered(void *context, struct proxy *proxy, enum muster_status status,
                        struct muster_message *answer)
{
    struct turn *ended = context;
    (void)proxy;
    if (status == MUSTER_OK && !is_answer(answer))
        status = MUSTER_FORMAT;
    muster_message_clear(answer);
    pthread_mutex_lock(&server.lock);
    *ended = (struct turn){true, status};
    pthread_mutex_unlock(&server.lock);
    pthread_cond_signal(&server.changed);
}

static void begin(size_t first, size_t count)
{
    if (!server.turns)
        server.turns = role_allocate(server.count, sizeof(*server.turns));
    for (size_t i = first; i < first + count; i++)
        require(proxy_run_async(server.proxies[i], &server.instruction, MUSTER_NO_LIMIT, on_answered,
                                &server.turns[i], NULL),
                "proxy_run_async");
}

static void gather(size_t first, size_t count)
{
    pthread_mutex_lock(&server.lock);
    for (size_t i = first; i < first + count; i++) {
        while (!server.turns[i].ended)
            pthread_cond_wait(&server.changed, &server.lock);
        require(server.turns[i].status, "a turn");
    }
    pthread_mutex_unlock(&server.lock);
}

/* ---- an answer that is worked on for a while ---- */

static enum muster_status work_on(void *context, size_t index, struct proxy *proxy,
                                  const struct muster_message *answer, struct muster_error *reason)
{
    (void)context;
    (void)index;
    (void)proxy;
    (void)answer;
    (void)reason;
    pthread_mutex_lock(&server.lock);
    server.held = true;
    pthread_cond_broadcast(&server.changed);
    while (!server.released)
        pthread_cond_wait(&server.changed, &server.lock);
    pthread_mutex_unlock(&server.lock);
    return MUSTER_OK;
}

static void *run_holder(void *unused)
{
    struct proxy *const *last = &server.proxies[server.count - 1];
    require(proxy_run_all(last, 1, &server.instruction, NULL, work_on, NULL, NULL, NULL), "proxy_run_all");
    return unused;
}

static void hold(void)
{
    if (pthread_create(&server.holder, NULL, run_holder, NULL) != 0)
        role_fail("no thread");
    pthread_mutex_lock(&server.lock);
    while (!server.held)
        pthread_cond_wait(&server.changed, &server.lock);
    pthread_mutex_unlock(&server.lock);
}

static void let_go(void)
{
    pthread_mutex_lock(&server.lock);
    server.released = true;
    pthread_cond_broadcast(&server.changed);
    pthread_mutex_unlock(&server.lock);
    pthread_join(server.holder, NULL);
}

static void stop(void)
{
    proxy_release_all(server.proxies, server.count);
    participant_manager_free(server.manager);
    muster_mean_free(server.mean);
    muster_strategy_free(server.median);
    free((void *)(uintptr_t)server.instruction.data);
    free(server.numbers);
    free(server.turns);
    free(server.answer);
}

const struct role_server muster_server = {.start = start,
                                          .join = join,
                                          .turn = turn,
                                          .round = round_with_all,
                                          .stop = stop,
                                          .begin = begin,
                                          .gather = gather,
                                          .hold = hold,
                                          .let_go = let_go};

const struct role_server muster_each_server = {.start = start,
                                               .join = join,
                                               .turn = turn,
                                               .round = round_with_each,
                                               .stop = stop,
                                               .begin = begin,
                                               .gather = gather,
                                               .hold = hold,
                                               .let_go = let_go};
