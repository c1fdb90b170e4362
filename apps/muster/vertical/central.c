/* The same training with one member, a thread of this process: all columns are in one place. */
#include <config.h>

#include "central.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/signals.h"
#include "member.h"

#define ADDRESS "local:central"

enum { CONNECT_MS = 10000 };

/* The joint records as one table; its ids are the labels'. */
struct pool {
    struct muster_vertical_table features, labels;
    const char **ids;
    double *x, *y;
};

/* ---- pooling ---- */

struct named {
    const char *id;
    size_t row;
};

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct named *)a)->id, ((const struct named *)b)->id);
}

static struct named *sort_rows(const struct table *table)
{
    struct named *sorted = calloc(table->rows + 1, sizeof(*sorted));
    for (size_t i = 0; sorted && i < table->rows; i++)
        sorted[i] = (struct named){table->ids[i], i};
    if (sorted)
        qsort(sorted, table->rows, sizeof(*sorted), compare);
    return sorted;
}

static void copy_row(const struct table *table, size_t row, double *to)
{
    memcpy(to, table->values + row * table->columns, table->columns * sizeof(*to));
}

static enum muster_status fill(struct pool *pool, const struct table *features, const struct table *labels,
                               const size_t *joint, size_t count, const struct named *sorted,
                               struct muster_error *error)
{
    for (size_t i = 0; i < count; i++) {
        const struct named wanted = {labels->ids[joint[i]], 0};
        const struct named *found = bsearch(&wanted, sorted, features->rows, sizeof(*sorted), compare);
        if (!found)
            return table_refuse(error, MUSTER_FORMAT, "--central: the data has no features of '%.80s'",
                                wanted.id);
        pool->ids[i] = wanted.id;
        copy_row(features, found->row, pool->x + i * features->columns);
        copy_row(labels, joint[i], pool->y + i * labels->columns);
    }
    pool->features = (struct muster_vertical_table){count, features->columns, pool->ids, pool->x, NULL};
    pool->labels = (struct muster_vertical_table){count, labels->columns, pool->ids, pool->y, NULL};
    return MUSTER_OK;
}

static void pool_free(struct pool *pool)
{
    free(pool->ids);
    free(pool->x);
    free(pool->y);
}

static enum muster_status pool_make(struct pool *pool, const struct table *features,
                                    const struct table *labels, const size_t *joint, size_t count,
                                    struct muster_error *error)
{
    *pool = (struct pool){.ids = calloc(count, sizeof(*pool->ids)),
                          .x = calloc(count, features->columns * sizeof(*pool->x)),
                          .y = calloc(count, labels->columns * sizeof(*pool->y))};
    struct named *sorted = sort_rows(features);
    enum muster_status status = pool->ids && pool->x && pool->y && sorted
                                    ? fill(pool, features, labels, joint, count, sorted, error)
                                    : table_out_of_memory(error);
    free(sorted);
    if (status != MUSTER_OK)
        pool_free(pool);
    return status;
}

/* ---- the member ---- */

struct worker {
    struct muster_vertical_member *member;
    struct participant *participant;
};

static void *answer_all(void *context)
{
    struct worker *worker = context;
    const struct muster_message *instruction;
    while (participant_consume(worker->participant, MUSTER_NO_LIMIT, &instruction, NULL) == MUSTER_OK)
        muster_vertical_member_answer(worker->member, worker->participant, instruction, NULL);
    return NULL;
}

/* Before anything may close the manager: the member would wait for another one. */
static enum muster_status connect_worker(struct worker *worker, struct muster_error *error)
{
    struct participant_options options;
    participant_options_init(&options);
    options.name = "all";
    options.connect_timeout_ms = CONNECT_MS;
    return participant_connect(ADDRESS, &options, &worker->participant, error);
}

/* ---- the master ---- */

struct last {
    enum muster_vertical_model model;
    size_t outputs; /* classes, too, that no joint record has */
    struct muster_vertical_metrics metrics;
    enum muster_status status;
    struct muster_error error;
};

static void take_report(void *context, const struct muster_vertical_report *report)
{
    struct last *last = context;
    last->status = muster_vertical_measure(
        last->model, report->test.rows > 0 ? &report->test : &report->train, &last->metrics, &last->error);
}

static enum muster_status train(const struct master_options *options, const struct pool *pool,
                                struct participant_manager *manager, struct last *last,
                                struct muster_error *error)
{
    struct muster_vertical_options training = options->training;
    struct muster_vertical *vertical;
    training.outputs = last->outputs;
    training.private_matching = false;
    training.run = NULL;
    training.report_every = UINT64_MAX; /* only after the last */
    training.on_report = take_report;
    training.on_warning = NULL;
    training.context = last;
    enum muster_status status = muster_vertical_new(&pool->labels, &training, &vertical, error);
    if (status != MUSTER_OK)
        return status;
    status = muster_vertical_match(vertical, manager, 1, options->shared.recv_ms, error);
    if (status == MUSTER_OK)
        status = muster_vertical_train(vertical, error);
    muster_vertical_free(vertical);
    return status;
}

/* At a signal. The master's own manager has nobody who waits for it meanwhile: it is closed after this. */
static void stop(void *manager, bool at_once)
{
    if (at_once)
        signals_end(NULL, true);
    participant_manager_close(manager);
}

/* With a member that answers on a thread of its own. Stops the manager. */
static enum muster_status train_while_it_answers(const struct master_options *options,
                                                 const struct pool *pool, struct worker *worker,
                                                 struct participant_manager *manager, struct last *last,
                                                 struct muster_error *error)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, answer_all, worker) != 0)
        return table_refuse(error, MUSTER_OUT_OF_MEMORY, "--central: no thread for the member");
    signals_call(stop, manager, -1);
    enum muster_status status = train(options, pool, manager, last, error);
    signals_call(NULL, NULL, -1);
    participant_manager_stop(manager);
    pthread_join(thread, NULL);
    return status;
}

static enum muster_status train_with(const struct master_options *options, const struct pool *pool,
                                     struct worker *worker, struct last *last, struct muster_error *error)
{
    struct participant_manager_options manager_options;
    struct participant_manager *manager;
    participant_manager_options_init(&manager_options);
    manager_options.listen = ADDRESS;
    enum muster_status status = participant_manager_start(&manager_options, &manager, error);
    if (status != MUSTER_OK)
        return status;
    status = connect_worker(worker, error);
    if (status == MUSTER_OK)
        status = train_while_it_answers(options, pool, worker, manager, last, error);
    participant_free(worker->participant);
    participant_manager_free(manager);
    return status;
}

static enum muster_status train_alone(const struct master_options *options, const struct pool *pool,
                                      struct last *last, struct muster_error *error)
{
    struct worker worker = {NULL, NULL};
    enum muster_status status = muster_vertical_member_new(&pool->features, NULL, &worker.member, error);
    if (status != MUSTER_OK)
        return status;
    status = train_with(options, pool, &worker, last, error);
    muster_vertical_member_free(worker.member);
    return status;
}

enum muster_status central_train(const struct master_options *options, const struct table *labels,
                                 const size_t *joint, size_t count, size_t outputs,
                                 struct muster_vertical_metrics *metrics, struct muster_error *error)
{
    struct table_options data = shared_table(&options->shared, TABLE_FEATURES);
    struct last last = {.model = options->training.model, .outputs = outputs, .status = MUSTER_OK};
    struct table features;
    struct pool pool;
    enum muster_status status = table_load(&data, &features, error);
    if (status != MUSTER_OK)
        return status;
    status = pool_make(&pool, &features, labels, joint, count, error);
    if (status == MUSTER_OK) {
        status = train_alone(options, &pool, &last, error);
        pool_free(&pool);
    }
    if (status == MUSTER_OK && last.status != MUSTER_OK) {
        status = last.status;
        *error = last.error;
    }
    *metrics = last.metrics;
    table_free(&features);
    return status;
}
