/* From the first model to the last round. */
#include <config.h>

#include "training.h"

#include "asynchronous.h"
#include "attendance.h"
#include "checkpoint.h"
#include "common/dataset.h"
#include "common/log.h"
#include "display.h"
#include "first_model.h"
#include "rounds.h"

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
    status = average_begin(&training->average, settings->average, muster_strategy_model(training->strategy),
                           error);
    if (status == MUSTER_OK && training->run)
        status = checkpoint_check(training, error);
    if (status == MUSTER_OK)
        return status;
    average_free(&training->average); /* another model may do */
    muster_strategy_free(training->strategy);
    training->strategy = NULL;
    return status;
}

const struct muster_message *training_result(const struct training *training)
{
    return training->average.arrays ? &training->average.message : muster_strategy_model(training->strategy);
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
    enum muster_status status = training->strategy ? MUSTER_OK : first_model_ask(training, error);
    if (status == MUSTER_OK)
        status = muster_strategy_kind(training->strategy)->asynchronous ? asynchronous_run(training, error)
                                                                        : hold_rounds(training, error);
    if (status == MUSTER_OK && evaluation_ends(training))
        log_write(LOG_INFO,
                  "stopped early after round %zu: no model was better than that of round %zu, %s %g%s%s%s",
                  training->rounds_held, training->evaluation.best_round, training->settings->metric,
                  training->evaluation.best, training->run ? ", which is in " : "",
                  training->run ? training->settings->run : "", training->run ? "/best.npz" : "");
    display_end();
    attendance_forget();
    return status;
}

bool training_has_learned(const struct training *training)
{
    failures_conclude(&training->failures, training->hooks->name, training->rounds_held, training->moves > 0);
    return training->moves > 0;
}

void training_free(struct training *training)
{
    average_free(&training->average);
    privacy_close(&training->privacy);
    muster_strategy_free(training->strategy);
    failures_free(&training->failures);
    failures_free(&training->testers);
    model_free(&training->first);
    muster_run_close(training->run);
}
