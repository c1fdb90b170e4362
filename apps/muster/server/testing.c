/* A participant gets the test when it has finished what it does, and trains on afterwards. */
#include <config.h>

#include "testing.h"

#include "answers.h"
#include "common/clock.h"
#include "common/dataset.h"
#include "common/log.h"
#include "instructions.h"
#include "selection.h"
#include "training.h"

bool testing_runs(const struct testing *testing)
{
    return testing->runs;
}

void testing_end(struct testing *testing)
{
    muster_message_clear(&testing->instruction);
    *testing = (struct testing){.runs = false};
}

static int64_t limit_of(const struct training *training)
{
    const struct server_settings *settings = training->settings;
    return settings->evaluate_deadline_ms > 0 ? settings->evaluate_deadline_ms : settings->deadline_ms;
}

/* Draws those who are to test. */
static void draw(struct testing *testing, const struct training *training, struct workers *workers)
{
    size_t there = workers_present(workers), left = there;
    size_t wanted = there > 0 ? selection_share_of(there, training->settings->evaluate_fraction) : 0;
    struct muster_random random;
    random_stream(&random, training->settings->seed, RANDOM_SELECTION, training->rounds_held, 1);
    for (size_t i = 0; i < workers->count; i++) {
        struct worker *worker = workers->each[i];
        worker->to_test = false;
        if (!worker->is_there)
            continue;
        /* So many of those that are left are still to be drawn. */
        worker->to_test = muster_random_uniform(&random) * (double)left-- < (double)(wanted - testing->asked);
        testing->asked += worker->to_test;
    }
}

static enum muster_status begin(struct testing *testing, struct training *training, struct workers *workers,
                                struct muster_error *error)
{
    struct muster_message instruction;
    json_t *values = training_settings_for(&training->settings->training, UINT64_MAX, NULL, NULL);
    bool written = values &&
                   json_object_set_new(values, "round", json_real((double)training->rounds_held)) == 0 &&
                   instructions_write(&instruction, MUSTER_EVALUATE, training_result(training), values);
    enum muster_status status =
        written ? participant_manager_prepare(training->manager, &instruction, &testing->instruction, error)
                : explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    if (written)
        instructions_clear(&instruction);
    json_decref(values);
    if (status != MUSTER_OK)
        return status;
    testing->runs = true;
    testing->round = training->rounds_held;
    testing->ends_ms = clock_ms() + limit_of(training);
    draw(testing, training, workers);
    return MUSTER_OK;
}

/* Whether somebody is still to answer. */
static bool is_waited_for(const struct testing *testing, const struct workers *workers)
{
    if (testing->busy > 0)
        return true;
    for (size_t i = 0; i < workers->count; i++) {
        if (workers->each[i]->to_test && workers->each[i]->is_there)
            return clock_ms() < testing->ends_ms;
    }
    return false;
}

enum muster_status testing_look(struct testing *testing, struct training *training, struct workers *workers,
                                struct muster_error *error)
{
    if (!testing->runs)
        return evaluation_is_due(training) ? begin(testing, training, workers, error) : MUSTER_OK;
    if (is_waited_for(testing, workers))
        return MUSTER_OK;
    enum muster_status status = evaluation_take(training, testing->round, &testing->instruction,
                                                &testing->metrics, testing->answered, testing->asked, error);
    testing_end(testing);
    return status;
}

void testing_give(struct testing *testing, struct training *training, struct workers *workers)
{
    struct muster_error reason;
    for (size_t i = 0; testing->runs && i < workers->count; i++) {
        struct worker *worker = workers->each[i];
        if (!worker->to_test || worker->work != IDLE || !worker->is_there)
            continue;
        worker->to_test = false;
        if (worker_run(worker, TESTING, &testing->instruction, limit_of(training), &reason) == MUSTER_OK)
            testing->busy++;
        else
            log_write(LOG_WARNING, "test after round %zu: %.128s: %s", testing->round, worker->name,
                      reason.text);
    }
}

void testing_answer(struct testing *testing, const struct training *training, struct worker *worker)
{
    static struct log_allowance allowance = {.a_minute = 40};
    struct muster_error reason = worker->reason;
    double weight;
    enum muster_status status = worker->status;
    testing->busy--;
    if (status == MUSTER_OK && worker->answer.kind != MUSTER_EVALUATE)
        status = explain(&reason, MUSTER_INVALID, "the answer is of another kind than the instruction");
    if (status == MUSTER_OK)
        status = answers_weight(training, &worker->answer, &weight, NULL, &reason);
    if (status == MUSTER_OK)
        status = metrics_add(&testing->metrics, &worker->answer, weight, &reason);
    if (status == MUSTER_OK)
        testing->answered++;
    else if (status != MUSTER_STOPPED)
        log_later(LOG_WARNING, &allowance, "test after round %zu: %.128s: %s", testing->round, worker->name,
                  reason.text);
}
