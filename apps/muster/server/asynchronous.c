/* One thread decides everything: it takes answers in the order in which they come, moves the model, and gives free
 * participants something to do. An answer that is accepted is in the journal before it counts, and a round is completed
 * before it is told: a server that is killed goes on with the same buffer, and the same participants go on with the same
 * models. Tests of the model go to participants between two trainings, and hold nobody up. */
#include <config.h>

#include "asynchronous.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "answers.h"
#include "attendance.h"
#include "common/clock.h"
#include "common/dataset.h"
#include "common/log.h"
#include "display.h"
#include "instructions.h"
#include "journal.h"
#include "rounds.h"
#include "selection.h"
#include "testing.h"
#include "versions.h"
#include "workers.h"

#define FIRST_FILE "version-00000000.npz"

/* How often the display is drawn, and rests are looked at. */
enum { TICK_MS = 250 };

/* A running training. */
struct asynchronous {
    struct training *training;
    struct workers workers;
    struct versions versions;
    struct journal journal;
    struct testing testing;
    struct muster_random random;
    /* Of the running round. */
    int64_t began_ms;
    double loss_sum, loss_weight;
    size_t failed;
    struct muster_traffic traffic; /* before it */
    int64_t accepted_ms;           /* when the last answer was accepted, or a test ran */
    struct muster_error refused;   /* why the last one was not */
};

/* ---- answers ---- */

/* Adds an answer to the strategy's buffer: a new one, or one of the journal. */
static enum muster_status add(struct asynchronous *run, const struct muster_message *message,
                              const struct version *version, struct muster_error *error)
{
    struct training *training = run->training;
    struct muster_strategy_answer answer = MUSTER_STRATEGY_ANSWER_INIT;
    answer.message = message;
    answer.base = version->number == training->rounds_held ? NULL : version->base;
    answer.staleness = training->rounds_held - version->number;
    return muster_strategy_add(training->strategy, &answer, error);
}

static void note_loss(struct asynchronous *run, double loss)
{
    if (isnan(loss))
        return;
    run->loss_sum += loss;
    run->loss_weight++;
}

static enum muster_status check(const struct asynchronous *run, const struct muster_message *message,
                                const struct version *version, double *loss, bool *said,
                                struct muster_error *error)
{
    const struct training *training = run->training;
    struct muster_strategy_answer answer = MUSTER_STRATEGY_ANSWER_INIT;
    if (!version->base && version->number != training->rounds_held)
        return explain(error, MUSTER_GONE,
                       "the model after round %" PRIu64 ", on which it trained, is gone: --versions-budget",
                       version->number);
    answer.message = message;
    enum muster_status status = answers_loss(message, loss, said, error);
    if (status != MUSTER_OK)
        return status;
    status = muster_strategy_check(training->strategy, &answer, error);
    if (status != MUSTER_OK)
        answers_name_array(training, error);
    return status;
}

/* With privacy, nobody is in a step twice: that is what the clip bounds. */
static enum muster_status hold_if_private(struct asynchronous *run, const char *name,
                                          struct muster_error *error)
{
    bool was_held = false;
    if (run->training->settings->clip > 0 && !workers_hold(&run->workers, name, &was_held))
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    return was_held ? explain(error, MUSTER_FORMAT, "%.80s has an answer in this round already", name)
                    : MUSTER_OK;
}

/* An answer that came. It is kept before it counts. */
static enum muster_status take_answer(struct asynchronous *run, struct worker *worker,
                                      struct muster_error *error)
{
    struct kept kept = {.version = worker->version->number, .name = worker->name};
    bool said = false;
    enum muster_status status = check(run, &worker->answer, worker->version, &kept.loss, &said, error);
    if (!said)
        kept.loss = (double)NAN;
    if (status == MUSTER_OK)
        status = hold_if_private(run, worker->name, error);
    if (status != MUSTER_OK)
        return status;
    status = journal_keep(&run->journal, run->training, &worker->answer, &kept, error);
    if (status == MUSTER_OK)
        status = add(run, &worker->answer, worker->version, error);
    worker->is_held = worker->is_held && status == MUSTER_OK;
    if (status != MUSTER_OK)
        return status;
    note_loss(run, kept.loss);
    run->accepted_ms = clock_ms();
    return MUSTER_OK;
}

/* One of the journal, from before the server died. */
static enum muster_status take_kept(void *context, const struct muster_message *message,
                                    const struct kept *kept, struct muster_error *error)
{
    struct asynchronous *run = context;
    struct version *version = versions_find(&run->versions, run->training, kept->version);
    if (!version)
        return explain(error, MUSTER_FORMAT,
                       "the model after round %" PRIu64 ", on which it trained, is missing", kept->version);
    enum muster_status status = hold_if_private(run, kept->name, error);
    if (status != MUSTER_OK)
        return status;
    note_loss(run, kept->loss);
    versions_hold(version);
    status = add(run, message, version, error);
    versions_release(&run->versions, run->training, version); /* the models of all of them could be many */
    return status;
}

/* ---- what is told of failures ---- */

/* The first few in a row, and then fewer and fewer. */
static bool is_worth_a_line(unsigned failures)
{
    return failures < 2 || (failures & (failures - 1)) == 0;
}

static void fail(struct asynchronous *run, struct worker *worker, enum muster_status status, const char *text)
{
    static struct log_allowance allowance = {.a_minute = 40};
    run->failed++;
    run->refused.status = status;
    snprintf(run->refused.text, sizeof(run->refused.text), "%.80s: %.150s", worker->name, text);
    worker_failed(worker);
    if (status != MUSTER_STOPPED && is_worth_a_line(worker->failures))
        log_later(LOG_WARNING, &allowance, "%.128s: %s%s", worker->name, text,
                  status == MUSTER_TIMEOUT ? " (no answer came within --deadline)" : "");
}

/* ---- the end of a turn ---- */

static void end_training(struct asynchronous *run, struct worker *worker)
{
    struct muster_error reason = worker->reason;
    enum muster_status status = worker->status;
    if (status == MUSTER_OK && worker->answer.kind != MUSTER_TRAIN)
        status = explain(&reason, MUSTER_INVALID, "the answer is of another kind than the instruction");
    bool came = status == MUSTER_OK;
    if (came)
        status = take_answer(run, worker, &reason);
    if (came && status != MUSTER_OK)
        proxy_refuse(worker->proxy, reason.text, NULL);
    /* At the end of the server it goes on with the same model. */
    if (status != MUSTER_STOPPED)
        journal_note_end(&run->journal, worker->name);
    versions_release(&run->versions, run->training, worker->version);
    worker->version = NULL;
    if (status == MUSTER_OK)
        worker_succeeded(worker);
    else
        fail(run, worker, status, reason.text);
}

static void end_turn(struct asynchronous *run, struct worker *worker)
{
    if (worker->work == TRAINING)
        end_training(run, worker);
    else
        testing_answer(&run->testing, run->training, worker);
    worker_done(worker);
}

/* ---- a round: a step of the model ---- */

/* Removes files of models: but not of those that somebody is to go on with, and of the first while there is no round. */
static void tidy(const struct asynchronous *run)
{
    const struct journal *journal = &run->journal;
    uint64_t *kept = calloc(journal->count + 1, sizeof(*kept));
    size_t count = 0;
    if (!kept)
        return;
    for (size_t i = 0; i < journal->count; i++) {
        if (journal->outstanding[i].version <= run->training->rounds_held)
            kept[count++] = journal->outstanding[i].version;
    }
    if (run->training->rounds_held == 0)
        kept[count++] = 0;
    versions_tidy(&run->versions, run->training, kept, count);
    free(kept);
}

static struct muster_traffic traffic_of(const struct training *training)
{
    struct participant_manager_statistics statistics;
    participant_manager_get_statistics(training->manager, &statistics);
    return statistics.traffic;
}

static void begin_round(struct asynchronous *run)
{
    run->began_ms = clock_ms();
    run->loss_sum = run->loss_weight = 0;
    run->failed = 0;
    workers_let_go(&run->workers);
    run->traffic = traffic_of(run->training);
    display_stage("round %zu/%zu", run->training->rounds_held + 1, run->training->settings->rounds);
}

/* The table of who trains on what is renewed with each round. */
static void renew_journal(struct asynchronous *run)
{
    struct workers *workers = &run->workers;
    struct outstanding *outstanding = calloc(workers->count + 1, sizeof(*outstanding));
    size_t count = 0;
    if (!outstanding)
        return; /* the old one goes on */
    for (size_t i = 0; i < workers->count; i++) {
        const struct worker *worker = workers->each[i];
        if (worker->work == TRAINING)
            outstanding[count++] = (struct outstanding){worker->name, worker->version->number};
    }
    journal_begin_round(&run->journal, run->training, outstanding, count);
    free(outstanding);
}

static enum muster_status step(struct asynchronous *run, struct muster_error *error)
{
    struct training *training = run->training;
    struct muster_traffic before = run->traffic, now = traffic_of(training);
    size_t present = workers_present(&run->workers);
    struct round_report report = {
        .answered = muster_strategy_answers(training->strategy),
        .failed = run->failed,
        .seconds = (double)(clock_ms() - run->began_ms) / 1000,
        .bytes_sent = now.bytes_sent - before.bytes_sent,
        .bytes_received = now.bytes_received - before.bytes_received,
        .train_loss = run->loss_weight > 0 ? run->loss_sum / run->loss_weight : (double)NAN,
    };
    /* What is out stays what it was. */
    enum muster_status status = versions_save(&run->versions, training, error);
    /* Who answers first is not drawn by chance: that all take part is all that can be said. */
    if (status == MUSTER_OK)
        status = privacy_spend(&training->privacy, present, present, error);
    if (status == MUSTER_OK)
        status = muster_strategy_step(training->strategy,
                                      privacy_divisor(&training->privacy, training->settings->buffer), error);
    if (status != MUSTER_OK)
        return status;
    training->moves++;
    average_update(&training->average, muster_strategy_model(training->strategy), training->moves);
    training->present = (int64_t)present;
    report.number = ++training->rounds_held;
    status = round_complete(training, &report, error);
    if (status != MUSTER_OK)
        return status;
    renew_journal(run);
    tidy(run);
    begin_round(run);
    return MUSTER_OK;
}

/* ---- something to do ---- */

/* Which model a participant is to train on: the newest, or the one that it had when the server died. */
static struct version *version_for(struct asynchronous *run, const struct worker *worker)
{
    struct training *training = run->training;
    uint64_t again = journal_again(&run->journal, worker->name);
    struct version *version =
        again < training->rounds_held ? versions_find(&run->versions, training, again) : NULL;
    return version ? version : versions_find(&run->versions, training, training->rounds_held);
}

static enum muster_status give_training(struct asynchronous *run, struct worker *worker,
                                        struct muster_error *error)
{
    struct training *training = run->training;
    struct version *version = version_for(run, worker);
    json_t *values = version ? instructions_values(training, worker->proxy, version->number) : NULL;
    if (!values)
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    const struct muster_message *instruction = versions_instruction(version, training, values, error);
    if (!instruction)
        return error->status;
    struct muster_error reason;
    enum muster_status status =
        worker_run(worker, TRAINING, instruction, training->settings->deadline_ms, &reason);
    if (status != MUSTER_OK) {
        fail(run, worker, status, reason.text);
        return MUSTER_OK;
    }
    worker->version = version;
    versions_hold(version);
    journal_note(&run->journal, worker->name, version->number);
    return MUSTER_OK;
}

/* How many may train at a time. */
static size_t places(const struct asynchronous *run)
{
    const struct server_settings *settings = run->training->settings;
    size_t present = workers_present(&run->workers);
    return settings->wanted > 0 ? settings->wanted : selection_share_of(present, settings->fraction);
}

static size_t count_training(const struct asynchronous *run)
{
    size_t count = 0;
    for (size_t i = 0; i < run->workers.count; i++)
        count += run->workers.each[i]->work == TRAINING;
    return count;
}

/* One of those that are free, at random, so that each gets its turn; NULL: nobody is. */
static struct worker *draw_free(struct asynchronous *run)
{
    const struct workers *workers = &run->workers;
    struct worker *drawn = NULL;
    size_t seen = 0;
    for (size_t i = 0; i < workers->count; i++) {
        struct worker *worker = workers->each[i];
        if (worker_is_free(worker) && muster_random_uniform(&run->random) * (double)++seen < 1)
            drawn = worker;
    }
    return drawn;
}

static enum muster_status give_work(struct asynchronous *run, struct muster_error *error)
{
    struct worker *worker;
    testing_give(&run->testing, run->training, &run->workers);
    if (run->training->rounds_held >= run->training->settings->rounds)
        return MUSTER_OK; /* only a test is left */
    for (size_t training = count_training(run), most = places(run); training < most; training++) {
        if (!(worker = draw_free(run)))
            return MUSTER_OK;
        enum muster_status status = give_training(run, worker, error);
        if (status != MUSTER_OK)
            return status;
    }
    return MUSTER_OK;
}

/* ---- all of it ---- */

static bool is_over(const struct asynchronous *run)
{
    const struct training *training = run->training;
    return !testing_runs(&run->testing) && !evaluation_is_due(training) &&
           (training->rounds_held >= training->settings->rounds || evaluation_ends(training));
}

/* When nobody's answer has been accepted for as long as a round and a wait may take, nothing will come of it. A test may take
 * longer, and those who test do not train meanwhile. */
static enum muster_status check_patience(struct asynchronous *run, struct muster_error *error)
{
    const struct server_settings *settings = run->training->settings;
    int64_t most = settings->deadline_ms + settings->wait_ms, now = clock_ms();
    if (testing_runs(&run->testing))
        run->accepted_ms = now;
    if (now - run->accepted_ms < most)
        return MUSTER_OK;
    return explain(error, MUSTER_TIMEOUT, "no answer was accepted for %g s, with %zu participants%s%s",
                   (double)most / 1000, workers_present(&run->workers),
                   run->refused.text[0] ? "; the last: " : "", run->refused.text);
}

static void show(struct asynchronous *run)
{
    const struct training *training = run->training;
    display_stage("round %zu/%zu: %zu of %zu answers, %zu participants train", training->rounds_held + 1,
                  training->settings->rounds, muster_strategy_answers(training->strategy),
                  training->settings->buffer, count_training(run));
}

/* Everything that can be done now. */
static enum muster_status advance(struct asynchronous *run, struct muster_error *error)
{
    struct training *training = run->training;
    struct worker *worker;
    enum muster_status status = MUSTER_OK;
    while (status == MUSTER_OK && training->rounds_held < training->settings->rounds &&
           muster_strategy_answers(training->strategy) >= training->settings->buffer)
        status = step(run, error); /* a journal may hold as many */
    while (status == MUSTER_OK && (worker = workers_take(&run->workers))) {
        end_turn(run, worker);
        if (muster_strategy_answers(training->strategy) >= training->settings->buffer &&
            training->rounds_held < training->settings->rounds)
            status = step(run, error);
    }
    if (status == MUSTER_OK)
        status = testing_look(&run->testing, training, &run->workers, error);
    return status;
}

static enum muster_status loop(struct asynchronous *run, struct muster_error *error)
{
    struct training *training = run->training;
    enum muster_status status = MUSTER_OK;
    bool changed = true;
    while (status == MUSTER_OK) {
        size_t held = training->rounds_held;
        if (changed && !workers_look(&run->workers, training->manager, training->settings->label))
            return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
        status = advance(run, error);
        if (status != MUSTER_OK)
            return status;
        /* A signal lets the running round end. */
        if (stopping_gave_up(training->stopping) ||
            (stopping_is_asked(training->stopping) && (training->run || training->rounds_held > held ||
                                                       muster_strategy_answers(training->strategy) == 0)))
            return MUSTER_STOPPED;
        if (is_over(run))
            return MUSTER_OK;
        status = give_work(run, error);
        if (status == MUSTER_OK)
            status = check_patience(run, error);
        show(run);
        changed = workers_wait(&run->workers, TICK_MS);
    }
    return status;
}

/* The first model is in the run before anybody gets it. */
static enum muster_status save_first_model(const struct training *training, struct muster_error *error)
{
    char path[4096];
    if (!training->run || training->rounds_held > 0)
        return MUSTER_OK;
    snprintf(path, sizeof(path), "%s/" FIRST_FILE, training->settings->run);
    return access(path, F_OK) == 0 ? MUSTER_OK
                                   : model_write(path, muster_strategy_model(training->strategy), error);
}

enum muster_status asynchronous_first_model(const struct training *training, struct model *model,
                                            struct muster_error *error)
{
    const struct muster_strategy_kind *kind = muster_strategy_find(training->settings->strategy);
    char path[4096];
    if (!training->run || training->rounds_held > 0 || !kind->asynchronous)
        return MUSTER_OK;
    snprintf(path, sizeof(path), "%s/" FIRST_FILE, training->settings->run);
    return access(path, F_OK) == 0 ? model_read(model, path, error) : MUSTER_OK;
}

void asynchronous_discard(const struct training *training)
{
    const struct versions none = {NULL};
    char path[4096];
    journal_discard(training);
    versions_tidy(&none, training, NULL, 0);
    snprintf(path, sizeof(path), "%s/" FIRST_FILE, training->settings->run);
    unlink(path);
}

enum muster_status asynchronous_run(struct training *training, struct muster_error *error)
{
    struct asynchronous run = {.training = training, .journal = {.file = -1}, .accepted_ms = clock_ms()};
    struct selection everyone;
    enum muster_status status = selection_gather(training, &everyone, error);
    if (status != MUSTER_OK)
        return status;
    selection_release(&everyone);
    status = workers_begin(&run.workers, training->manager, error);
    random_stream(&run.random, training->settings->seed, RANDOM_SELECTION, training->rounds_held, 2);
    begin_round(&run);
    if (status == MUSTER_OK)
        status = save_first_model(training, error);
    if (status == MUSTER_OK)
        status = journal_open(&run.journal, training, take_kept, &run, error);
    /* Answers of the journal need their models again if this server is killed, too. */
    if (status == MUSTER_OK && muster_strategy_answers(training->strategy) == 0)
        tidy(&run);
    if (status == MUSTER_OK)
        status = loop(&run, error);
    workers_end(&run.workers, training->manager);
    testing_end(&run.testing);
    versions_free(&run.versions);
    journal_close(&run.journal);
    return status;
}
