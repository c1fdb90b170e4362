/* Everything random in a round is drawn from (seed, round), and participants are drawn in the order of their names, so
 * that the order in which they joined does not matter. With a run directory a round is completed before it is told, and
 * one that was not completed is held again, with the same outcome. */
#include <config.h>

#include "rounds.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "answers.h"
#include "attendance.h"
#include "checkpoint.h"
#include "common/dataset.h"
#include "common/log.h"
#include "display.h"
#include "instructions.h"
#include "selection.h"

#define METRICS_COLUMNS \
    "round,seconds,answered,failed,bytes_sent,bytes_received,train_loss,test_loss,test_accuracy"

/* Where the model goes in one message, to participants of the original protocol. */
#define TOO_BIG_ADVICE \
    " (participants such as participant.py get the whole model in one: see --max-message-size)"

/* How often a running round is looked at. */
enum { TICK_MS = 250 };

/* One round. */
struct round {
    struct training *training;
    struct selection drawn;
    size_t present; /* of whom they were drawn */
    struct instructions instructions;
    struct proxy_round_result result;
    double started;
    double loss_sum, loss_weight; /* of those who said it */
    size_t too_heavy;             /* answers that claimed a weight beyond the most */
    size_t heaviest;              /* the one of those that claimed most */
    double heaviest_weight;
    double most;
};

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- answers ---- */

/* How many answers complete a round. */
static size_t enough_of(const struct round *round)
{
    size_t enough = round->training->settings->enough, wanted = round->drawn.wanted;
    return enough > 0 && enough < wanted ? enough : wanted;
}

/* Whether a turn was given up since enough of the others had answered. */
static bool was_not_waited_for(const struct proxy_round_entry *entry)
{
    return entry->status == MUSTER_CANCELLED;
}

static enum muster_status on_answer(void *context, size_t index, struct proxy *proxy,
                                    const struct muster_message *answer, struct muster_error *reason)
{
    struct round *round = context;
    struct muster_strategy *strategy = round->training->strategy;
    struct muster_strategy_answer taken = MUSTER_STRATEGY_ANSWER_INIT;
    double claimed, loss;
    bool said;
    (void)proxy;
    enum muster_status status = answers_weight(round->training, answer, &taken.weight, &claimed, reason);
    if (status == MUSTER_OK)
        status = answers_loss(answer, &loss, &said, reason);
    if (status != MUSTER_OK)
        return status;
    taken.message = answer;
    if (said)
        taken.loss = loss;
    status = muster_strategy_add(strategy, &taken, reason);
    if (status != MUSTER_OK)
        answers_name_array(round->training, reason);
    if (status != MUSTER_OK)
        return status;
    /* Where a claimed number of samples does not count in the model, it does not in this mean either. */
    double weight = muster_strategy_kind(strategy)->weighted ? taken.weight : 1;
    if (said) {
        round->loss_sum += weight * loss;
        round->loss_weight += weight;
    }
    if (claimed > 0 && (round->too_heavy++ == 0 || claimed > round->heaviest_weight)) {
        round->heaviest = index;
        round->heaviest_weight = claimed;
        round->most = taken.weight;
    }
    return MUSTER_OK;
}

/* ---- what is told of failures ---- */

/* One line for all of them, as with a --max-weight that is low there may be many. */
static void note_weights(const struct round *round)
{
    char others[64] = "";
    if (round->too_heavy == 0)
        return;
    if (round->too_heavy > 1)
        snprintf(others, sizeof(others), ", like %zu more that claim too many", round->too_heavy - 1);
    log_write(LOG_WARNING, "round %zu: %s says that it has %g samples: it counts as %g%s",
              round->training->rounds_held + 1, proxy_name(round->drawn.proxies[round->heaviest]),
              round->heaviest_weight, round->most, others);
}

static void note_failures(const struct round *round)
{
    struct failures *failures = &round->training->failures;
    char where[40];
    snprintf(where, sizeof(where), "round %zu", round->training->rounds_held + 1);
    failures_round(failures, round->result.answered);
    for (size_t i = 0; i < round->result.count; i++) {
        const struct proxy_round_entry *entry = &round->result.entries[i];
        const char *name = proxy_name(round->drawn.proxies[i]);
        if (entry->status == MUSTER_OK)
            failures_forget(failures, name);
        else if (entry->status != MUSTER_STOPPED && !was_not_waited_for(entry))
            failures_tell(failures, where, name, entry->status, entry->text, round->result.answered == 0);
    }
}

/* Who failed in a round or was late; those who were not waited for did neither. */
static size_t failed_in(const struct proxy_round_result *result)
{
    size_t failed = 0;
    for (size_t i = 0; i < result->count; i++)
        failed += result->entries[i].status != MUSTER_OK && !was_not_waited_for(&result->entries[i]);
    return failed;
}

/* ---- a completed round ---- */

static void print_metric(char *text, size_t size, double value)
{
    if (isnan(value))
        text[0] = '\0';
    else
        snprintf(text, size, "%.6f", value);
}

/* Writes the round's line of metrics, and with a run directory completes the round. */
static enum muster_status save(struct training *training, const struct round_report *report,
                               struct muster_error *error)
{
    char loss[40], accuracy[40], epsilon[40] = "", *line;
    print_metric(loss, sizeof(loss), metrics_find(report->metrics, report->metric_count, "loss"));
    print_metric(accuracy, sizeof(accuracy), metrics_find(report->metrics, report->metric_count, "accuracy"));
    if (!isnan(report->epsilon))
        snprintf(epsilon, sizeof(epsilon), ",%.6f", report->epsilon);
    const char *columns = isnan(report->epsilon) ? METRICS_COLUMNS "\n" : METRICS_COLUMNS ",epsilon\n";
    if (asprintf(&line, "%s%zu,%.6f,%zu,%zu,%llu,%llu,%.6f,%s,%s%s\n", report->number == 1 ? columns : "",
                 report->number, report->seconds, report->answered, report->failed,
                 (unsigned long long)report->bytes_sent, (unsigned long long)report->bytes_received,
                 report->train_loss, loss, accuracy, epsilon) < 0)
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory in round %zu", report->number);
    enum muster_status status = MUSTER_OK;
    if (training->run)
        status = checkpoint_commit(training, line, error);
    /* Each round is to be seen at once, and a full disk to be noticed. */
    else if (training->metrics && (fputs(line, training->metrics) < 0 || fflush(training->metrics) != 0))
        status = explain(error, MUSTER_IO, "%s: %s", training->settings->metrics, strerror(errno));
    free(line);
    return status;
}

enum muster_status round_complete(struct training *training, struct round_report *report,
                                  struct muster_error *error)
{
    const struct server_hooks *hooks = training->hooks;
    char left[64] = "", loss[64] = "", epsilon[40] = "", tested[512];
    report->epsilon = privacy_epsilon(&training->privacy);
    if (hooks->evaluate)
        report->metric_count = hooks->evaluate(hooks->context, training_result(training), report->metrics);
    training->rounds_here++;
    training->seconds_here += report->seconds;
    enum muster_status status = save(training, report, error);
    training->is_torn = status != MUSTER_OK;
    if (status != MUSTER_OK)
        return status;
    recording_round(training->recording, report, training_result(training));
    if (report->left > 0)
        snprintf(left, sizeof(left), ", %zu not waited for", report->left);
    if (!isnan(report->epsilon))
        snprintf(epsilon, sizeof(epsilon), ", epsilon %.4f", report->epsilon);
    if (!isnan(report->train_loss)) /* nobody told one, or nobody answered */
        snprintf(loss, sizeof(loss), ", train loss %.4f", report->train_loss);
    metrics_text(report->metrics, report->metric_count, "test ", tested, sizeof(tested));
    display_result("round %zu/%zu: %zu answered, %zu failed%s%s%s%s", report->number,
                   training->settings->rounds, report->answered, report->failed, left, loss, tested, epsilon);
    return MUSTER_OK;
}

/* Whether what came of the round is not to be used: it was given up, or the server is to stop and somebody failed, perhaps
 * for the same reason. */
static bool is_given_up(const struct round *round)
{
    struct stopping *stopping = round->training->stopping;
    return stopping_gave_up(stopping) ||
           (stopping_is_asked(stopping) && round->result.answered < enough_of(round));
}

/* Moves the model by the answers. With too few of them the round is void: that is told, and the model stays. */
static enum muster_status use_answers(struct round *round, struct muster_error *error)
{
    struct training *training = round->training;
    struct muster_error reason;
    size_t answered = round->result.answered, least = training->settings->at_least;
    if (answered == 0 && muster_strategy_least(training->strategy) > 0)
        return MUSTER_OK;
    if (answered < least) {
        muster_strategy_begin(training->strategy);
        log_write(LOG_WARNING,
                  "round %zu: the model stays, as %zu answers were accepted, and --at-least %zu are wanted",
                  training->rounds_held + 1, answered, least);
        return MUSTER_OK;
    }
    enum muster_status status =
        privacy_spend(&training->privacy, round->drawn.count, round->present, &reason);
    if (status == MUSTER_OK)
        status = muster_strategy_step(training->strategy,
                                      privacy_divisor(&training->privacy, round->drawn.wanted), &reason);
    if (status == MUSTER_TOO_FEW)
        log_write(LOG_WARNING, "round %zu is void, and the model stays: %s", training->rounds_held + 1,
                  reason.text);
    if (status == MUSTER_TOO_FEW)
        return MUSTER_OK;
    if (status != MUSTER_OK)
        return explain(error, status, "%s", reason.text);
    training->moves++;
    average_update(&training->average, muster_strategy_model(training->strategy), training->moves);
    return MUSTER_OK;
}

static enum muster_status finish(struct round *round, struct muster_error *error)
{
    struct training *training = round->training;
    const struct proxy_round_result *result = &round->result;
    note_weights(round);
    note_failures(round);
    training->rounds_held++;
    struct round_report report = {
        .number = training->rounds_held,
        .seconds = now_seconds() - round->started,
        .answered = result->answered,
        .failed = failed_in(result),
        .bytes_sent = result->bytes_sent,
        .bytes_received = result->bytes_received,
        .train_loss = round->loss_weight > 0 ? round->loss_sum / round->loss_weight : (double)NAN,
    };
    report.left = result->count - report.answered - report.failed;
    return round_complete(training, &report, error);
}

/* ---- a running round ---- */

/* While the round waits: shows how far it is. */
static void on_tick(void *context, const struct proxy_round_statistics *statistics,
                    struct proxy *const *waiting, size_t count)
{
    const struct round *round = context;
    const struct training *training = round->training;
    double left = (double)(training->settings->rounds - training->rounds_held - 1);
    double each = training->rounds_here > 0 ? training->seconds_here / (double)training->rounds_here : 0;
    attendance_look(waiting, count);
    display_round(training->manager, statistics, waiting, count, (int64_t)(1000 * left * each));
}

/* Tells the drawn ones, and takes their answers. In a private training there may be none of them. */
static enum muster_status ask(struct round *round, struct muster_error *error)
{
    struct training *training = round->training;
    const struct selection *drawn = &round->drawn;
    struct proxy_round_options options;
    proxy_round_options_init(&options);
    options.deadline_ms = training->settings->deadline_ms;
    options.enough = enough_of(round);
    options.tick_ms = TICK_MS;
    options.on_tick = on_tick;
    if (drawn->count == 0)
        return MUSTER_OK;
    return round->instructions.same ? proxy_run_all(drawn->proxies, drawn->count, round->instructions.each[0],
                                                    &options, on_answer, round, &round->result, error)
                                    : proxy_run_each(drawn->proxies, round->instructions.each, drawn->count,
                                                     &options, on_answer, round, &round->result, error);
}

/* Has the drawn ones train. A round in which some or all fail is a round, too; the model may just stay. */
static enum muster_status train(struct round *round, struct muster_error *error)
{
    struct training *training = round->training;
    struct muster_error failure;
    muster_strategy_begin(training->strategy);
    display_stage("round %zu/%zu", training->rounds_held + 1, training->settings->rounds);
    enum muster_status status = ask(round, &failure);
    attendance_look(NULL, 0);
    if (is_given_up(round))
        return MUSTER_STOPPED;
    if (status == MUSTER_OK || status == MUSTER_TIMEOUT || status == MUSTER_TOO_FEW)
        status = use_answers(round, &failure);
    if (status != MUSTER_OK)
        return explain(error, status, "round %zu: %.200s%s", training->rounds_held + 1, failure.text,
                       status == MUSTER_TOO_BIG ? TOO_BIG_ADVICE : "");
    return finish(round, error);
}

enum muster_status round_hold(struct training *training, struct muster_error *error)
{
    struct selection everyone;
    struct muster_random random;
    enum muster_status status = selection_gather(training, &everyone, error);
    if (status != MUSTER_OK)
        return status;
    random_stream(&random, training->settings->seed, RANDOM_SELECTION, training->rounds_held, 0);
    struct round round = {.training = training, .present = everyone.count, .started = now_seconds()};
    status = selection_draw(training, &everyone, &random, &round.drawn, error);
    if (status == MUSTER_OK &&
        !instructions_make(&round.instructions, training, MUSTER_TRAIN,
                           muster_strategy_model(training->strategy), &round.drawn, &random))
        status =
            explain(error, MUSTER_OUT_OF_MEMORY, "out of memory in round %zu", training->rounds_held + 1);
    if (status == MUSTER_OK)
        status = train(&round, error);
    instructions_free(&round.instructions);
    selection_free(&round.drawn);
    proxy_round_result_clear(&round.result);
    selection_release(&everyone);
    return status;
}
