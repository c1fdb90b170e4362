/* Iterations of vertical learning, beside bare turns with the same bytes and the same calls of BLAS: a master
   and members on threads, over gRPC, by turns. */
#include <config.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <cblas.h>
#include <muster/muster.h>

#include "role.h"

enum { MEMBERS = 4, COLUMNS = 100, BATCH = 256, BATCHES = 8, ROWS = BATCHES * BATCH, ITERATIONS = 64 };

struct member {
    char address[32];
    char name[16];
    struct muster_vertical_table table;
    double *values;
    size_t batch; /* of the bare turns, which take all in order, with */
    double weights[COLUMNS];
    double velocity[COLUMNS];
    double scores[BATCH];
    pthread_t thread;
};

static struct {
    struct participant_manager *manager;
    struct muster_vertical *vertical;
    const char **ids;
    double *numbers; /* of all members */
    double labels[ROWS];
    double residual[BATCH];
    struct member members[MEMBERS];
    size_t pairs;
    size_t done;
    uint64_t *times;
} bench;

static void require(enum muster_status status, const char *what, const struct muster_error *error)
{
    if (status != MUSTER_OK)
        role_fail("%s: %s", what, error->text);
}

/* The bytes of an "update_predict", under names that are nobody's, or those of its answer. */
static struct muster_message message_of(const double *numbers, bool is_answer, struct muster_array *array)
{
    static const struct muster_value instruction[] = {
        {.name = "sidelong", .kind = MUSTER_VALUE_INTEGER, .integer = 1},
        {.name = "text", .kind = MUSTER_VALUE_TEXT, .text = "update_predict"},
        {.name = "step", .kind = MUSTER_VALUE_INTEGER, .integer = 1000},
    };
    static const struct muster_value answer[] = {
        {.name = "step", .kind = MUSTER_VALUE_INTEGER, .integer = 1000},
        {.name = "durable", .kind = MUSTER_VALUE_INTEGER, .integer = -1},
    };
    static const struct muster_scalar time = {"task_ms", 0.01};
    struct muster_message message = MUSTER_MESSAGE_INIT;
    *array = (struct muster_array){MUSTER_FLOAT64, 2, {BATCH, 1}, numbers};
    message.kind = MUSTER_TRAIN;
    message.arrays = array;
    message.array_count = 1;
    message.values = is_answer ? answer : instruction;
    message.value_count = is_answer ? 2 : 3;
    message.scalars = &time;
    message.scalar_count = is_answer;
    return message;
}

/* What muster_vertical_member_answer() has BLAS do for an update and a prediction. */
static void answer_barely(struct member *member, struct participant *participant,
                          const struct muster_message *instruction)
{
    struct muster_array array;
    struct muster_message answer = message_of(member->scores, true, &array);
    const double *block = member->values + member->batch * BATCH * COLUMNS;
    const double *next = member->values + (member->batch + 1) % BATCHES * BATCH * COLUMNS;
    member->batch = (member->batch + 1) % BATCHES;
    cblas_dscal(COLUMNS, 0, member->velocity, 1);
    cblas_daxpy(COLUMNS, 0, member->weights, 1, member->velocity, 1);
    cblas_dgemv(CblasRowMajor, CblasTrans, BATCH, COLUMNS, 1, block, COLUMNS, instruction->arrays->data, 1, 1,
                member->velocity, 1);
    cblas_daxpy(COLUMNS, -0.1, member->velocity, 1, member->weights, 1);
    cblas_dgemv(CblasRowMajor, CblasNoTrans, BATCH, COLUMNS, 1, next, COLUMNS, member->weights, 1, 0,
                member->scores, 1);
    (void)participant_dispatch(participant, &answer, NULL);
}

static void *be_member(void *context)
{
    struct member *self = context;
    struct muster_vertical_member *member;
    struct participant *participant;
    struct participant_options options;
    const struct muster_message *instruction;
    struct muster_error error = {0};
    participant_options_init(&options);
    options.name = self->name;
    require(muster_vertical_member_new(&self->table, NULL, &member, &error), "muster_vertical_member_new",
            &error);
    require(participant_connect(self->address, &options, &participant, &error), "participant_connect",
            &error);
    while (participant_consume(participant, MUSTER_NO_LIMIT, &instruction, &error) == MUSTER_OK) {
        if (muster_vertical_member_answer(member, participant, instruction, &error) ==
            MUSTER_UNKNOWN_INSTRUCTION)
            answer_barely(self, participant, instruction);
    }
    participant_free(participant);
    muster_vertical_member_free(member);
    return NULL;
}

static void round_barely(struct proxy **proxies)
{
    struct muster_array array;
    struct muster_error error = {0};
    struct proxy_round_result result;
    struct muster_message instruction = message_of(bench.residual, false, &array);
    require(proxy_run_all(proxies, MEMBERS, &instruction, NULL, NULL, NULL, &result, &error), "proxy_run_all",
            &error);
    proxy_round_result_clear(&result);
}

/* A block of iterations has ended: now one of bare rounds. The first of both warm up. */
static void on_report(void *context, const struct muster_vertical_report *report)
{
    (void)context;
    struct proxy **proxies;
    struct muster_error error = {0};
    size_t count;
    require(participant_manager_get_participants(bench.manager, MEMBERS, 0, &proxies, &count, &error),
            "participant_manager_get_participants", &error);
    uint64_t start = role_now();
    for (size_t i = 0; i < ITERATIONS; i++)
        round_barely(proxies);
    uint64_t time = (role_now() - start) / ITERATIONS;
    proxy_release_all(proxies, count);
    if (report->update > ITERATIONS && bench.done < bench.pairs) {
        bench.times[2 * bench.done] = (uint64_t)(report->iteration_ms * 1e6);
        bench.times[2 * bench.done + 1] = time;
        bench.done++;
    }
}

static void make_data(void)
{
    struct muster_random random;
    muster_random_seed(&random, 1);
    bench.ids = role_allocate(ROWS, sizeof(*bench.ids));
    bench.numbers = role_allocate((size_t)MEMBERS * ROWS * COLUMNS, sizeof(*bench.numbers));
    for (size_t i = 0; i < (size_t)MEMBERS * ROWS * COLUMNS; i++)
        bench.numbers[i] = muster_random_normal(&random);
    for (size_t i = 0; i < ROWS; i++) {
        char *id = role_allocate(16, 1);
        snprintf(id, 16, "%zu", i);
        bench.ids[i] = id;
        bench.labels[i] = muster_random_uniform(&random) < 0.5;
    }
    for (size_t i = 0; i < BATCH; i++)
        bench.residual[i] = muster_random_normal(&random) / BATCH;
}

static void start(void)
{
    struct participant_manager_options options;
    struct muster_error error = {0};
    participant_manager_options_init(&options);
    options.listen = "127.0.0.1:0";
    options.on_warning = NULL;
    require(participant_manager_start(&options, &bench.manager, &error), "participant_manager_start", &error);
    for (size_t i = 0; i < MEMBERS; i++) {
        struct member *member = &bench.members[i];
        double *values = bench.numbers + i * ROWS * COLUMNS;
        member->table = (struct muster_vertical_table){ROWS, COLUMNS, bench.ids, values, NULL};
        member->values = values;
        snprintf(member->address, sizeof(member->address), "127.0.0.1:%u",
                 (unsigned)participant_manager_port(bench.manager));
        snprintf(member->name, sizeof(member->name), "member-%zu", i);
        if (pthread_create(&member->thread, NULL, be_member, member) != 0)
            role_fail("cannot start a thread");
    }
}

void vertical_measure(size_t pairs, uint64_t *times)
{
    struct muster_vertical_options options;
    struct muster_error error = {0};
    openblas_set_num_threads(1); /* the matrices are small */
    make_data();
    bench.pairs = pairs;
    bench.times = times;
    start();
    const struct muster_vertical_table labels = {ROWS, 1, bench.ids, bench.labels, NULL};
    muster_vertical_options_init(&options);
    options.batch_size = BATCH;
    options.report_every = ITERATIONS;
    options.epochs = (pairs + 1) * ITERATIONS / BATCHES;
    options.on_report = on_report;
    require(muster_vertical_new(&labels, &options, &bench.vertical, &error), "muster_vertical_new", &error);
    require(muster_vertical_match(bench.vertical, bench.manager, MEMBERS, 60000, &error),
            "muster_vertical_match", &error);
    require(muster_vertical_train(bench.vertical, &error), "muster_vertical_train", &error);
    participant_manager_stop(bench.manager);
    for (size_t i = 0; i < MEMBERS; i++)
        pthread_join(bench.members[i].thread, NULL);
    muster_vertical_free(bench.vertical);
    participant_manager_free(bench.manager);
    for (size_t i = 0; i < ROWS; i++)
        free((void *)bench.ids[i]);
    free(bench.ids);
    free(bench.numbers);
}
