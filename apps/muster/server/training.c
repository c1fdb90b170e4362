/* From the first model to the last round. */
#include <config.h>

#include "training.h"

#include <stdlib.h>
#include <string.h>

#include "asynchronous.h"
#include "attendance.h"
#include "common/dataset.h"
#include "common/log.h"
#include "display.h"
#include "rounds.h"
#include "selection.h"

/* ---- the first model ---- */

enum muster_status training_begin(struct training *training, const struct muster_message *model,
                                  struct muster_error *error)
{
    const struct server_settings *settings = training->settings;
    struct muster_strategy_options options;
    muster_strategy_options_init(&options);
    options.name = settings->strategy;
    options.parameters = settings->parameters;
    options.parameter_count = settings->parameter_count;
    options.flower_compatible = settings->flower_compatible;
    options.directory = settings->run;
    options.clip = settings->clip;
    options.noise = settings->noise;
    enum muster_status status = muster_strategy_new(&options, model, &training->strategy, error);
    if (status != MUSTER_OK)
        return status;
    return average_begin(&training->average, settings->average, muster_strategy_model(training->strategy), error);
}

const struct muster_message *training_result(const struct training *training)
{
    return training->average.arrays ? &training->average.message : muster_strategy_model(training->strategy);
}

/* An instruction to train without arrays: the answer is the participant's own model. */
static enum muster_status ask_for_model(struct training *training, struct proxy *proxy, struct muster_error *error)
{
    struct muster_message instruction = MUSTER_MESSAGE_INIT, answer = MUSTER_MESSAGE_INIT;
    struct model model = {.message = MUSTER_MESSAGE_INIT, .answer = MUSTER_MESSAGE_INIT};
    struct muster_error reason;
    instruction.kind = MUSTER_TRAIN;
    enum muster_status status =
        proxy_run(proxy, &instruction, training->settings->deadline_ms, &answer, &reason);
    if (status == MUSTER_OK && answer.kind != MUSTER_TRAIN)
        status = explain(&reason, MUSTER_INVALID, "the answer has no model");
    if (status == MUSTER_OK)
        status = model_take(&model, &answer, &reason);
    if (status == MUSTER_OK)
        status = training_begin(training, &model.message, &reason);
    muster_message_clear(&answer);
    model_free(&model);
    return status == MUSTER_OK ? status : explain(error, status, "%s", reason.text);
}

/* Asks one after the other, until there is a model. */
static enum muster_status ask_all(struct training *training, const struct selection *everyone,
                                  struct muster_error *error)
{
    struct muster_error reason = {MUSTER_OK, ""};
    for (size_t i = 0; i < everyone->count; i++) {
        struct proxy *proxy = everyone->proxies[i];
        if (!stopping_begin_wait(training->stopping))
            return MUSTER_STOPPED;
        enum muster_status status = ask_for_model(training, proxy, &reason);
        stopping_end_wait(training->stopping);
        if (stopping_is_asked(training->stopping))
            return MUSTER_STOPPED;
        if (status == MUSTER_OK)
            log_write(LOG_INFO, "the first model is %s's", proxy_name(proxy));
        if (status == MUSTER_OK)
            return MUSTER_OK;
        log_write(LOG_WARNING, "%s gives no first model: %s", proxy_name(proxy), reason.text);
    }
    return explain(error, MUSTER_TOO_FEW,
                   "none of the %zu participants gives a first model: name one with --model FILE.npz",
                   everyone->count);
}

/* There is no model yet. */
static enum muster_status find_model(struct training *training, struct muster_error *error)
{
    struct selection everyone;
    enum muster_status status = selection_gather(training, &everyone, error);
    if (status != MUSTER_OK)
        return status;
    display_stage("waiting for the first model");
    status = ask_all(training, &everyone, error);
    selection_release(&everyone);
    return status;
}

/* ---- all rounds ---- */

static bool is_over(const struct training *training)
{
    return training->rounds_held >= training->settings->rounds || evaluation_ends(training);
}

static enum muster_status hold_rounds(struct training *training, struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    while (status == MUSTER_OK) {
        if (evaluation_is_due(training))
            status = evaluation_hold(training, error);
        else if (is_over(training))
            break;
        else
            status = round_hold(training, error);
    }
    return status;
}

enum muster_status training_run(struct training *training, struct muster_error *error)
{
    enum muster_status status = training->strategy ? MUSTER_OK : find_model(training, error);
    if (status == MUSTER_OK)
        status = muster_strategy_kind(training->strategy)->asynchronous ? asynchronous_run(training, error)
                                                                        : hold_rounds(training, error);
    if (status == MUSTER_OK && evaluation_ends(training))
        log_write(LOG_INFO, "stopped early after round %zu: no model was better than that of round %zu, %s %g",
                  training->rounds_held, training->evaluation.best_round, training->settings->metric,
                  training->evaluation.best);
    display_end();
    attendance_forget();
    return status;
}

bool training_has_learned(const struct training *training)
{
    const struct refusals *refusals = &training->refusals;
    const char *name = training->hooks->name;
    size_t most = 0, all = 0;
    for (size_t i = 0; i < REFUSALS_MAX; i++) {
        all += refusals->count[i];
        most = refusals->count[i] > refusals->count[most] ? i : most;
    }
    if (training->moves == 0)
        log_write(LOG_ERROR, "%s: nothing was learned: no answer was accepted in any of %zu rounds", name,
                  training->rounds_held);
    else if (refusals->rounds > 0)
        log_write(LOG_WARNING, "%s: no answer was accepted in the last %zu of %zu rounds", name,
                  refusals->rounds, training->rounds_held);
    if (refusals->count[most] > 0)
        log_write(LOG_WARNING, "%s: %zu of %zu failed like this: %s", name, refusals->count[most], all,
                  refusals->example[most]);
    return training->moves > 0;
}

void training_free(struct training *training)
{
    average_free(&training->average);
    privacy_close(&training->privacy);
    muster_strategy_free(training->strategy);
    model_free(&training->first);
    muster_run_close(training->run);
}
