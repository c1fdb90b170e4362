/* What all strategies have in common: they are made, take answers, step, and are saved and restored. */
#include <config.h>

#include "learning/strategy/strategy.h"

#include <math.h>
#include <stdlib.h>

#include "options.h"
#include "status.h"
#include "wire/wire.h"

/* ---- made ---- */

void muster_strategy_options_init_sized(struct muster_strategy_options *options, size_t size)
{
    const struct muster_strategy_options defaults = {.size = sizeof(defaults), .name = "fedavg"};
    muster__options_give(options, size, &defaults, sizeof(defaults));
}

/* v begins with tau^2, so that a first small change makes no giant step. */
static void fill_memory(struct muster_strategy *strategy)
{
    double tau = strategy->optimizer.tau;
    if (strategy->memory.count > 2 && !strategy->flower_compatible)
        muster__memory_fill(&strategy->memory, 1, tau * tau);
}

static bool has_others(const struct muster_message *model)
{
    bool others = false;
    for (size_t i = 0; i < model->array_count; i++)
        others = others || !muster__is_float(model->arrays[i].dtype);
    return others;
}

static enum muster_status make(struct muster_strategy *strategy,
                               const struct muster_strategy_options *options,
                               const struct muster_message *model, struct muster_error *error)
{
    enum muster_status status = muster__parameters_take(strategy, options, error);
    if (status == MUSTER_OK)
        status = muster__model_copy(&strategy->model, model, error);
    if (status != MUSTER_OK)
        return status;
    if (strategy->clip > 0 && has_others(model))
        return muster__error(
            error, MUSTER_INVALID,
            "a model with arrays of integers or bools cannot be private: they are not clipped");
    static const char *const nothing[] = {NULL};
    bool buffered = strategy->clip > 0 && strategy->kind->shown.asynchronous; /* its sums are private.c's */
    if (!muster__memory_make(&strategy->memory, &strategy->model, buffered ? nothing : strategy->kind->memory,
                             strategy->kind->remembers_all))
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory for what %s remembers",
                             strategy->kind->shown.name);
    fill_memory(strategy);
    strategy->keeping = strategy->clip > 0 ? &muster__keeping_private : strategy->kind->keeping;
    return strategy->keeping->make(strategy, options->directory, error);
}

enum muster_status muster_strategy_new(const struct muster_strategy_options *options,
                                       const struct muster_message *model, struct muster_strategy **strategy,
                                       struct muster_error *error)
{
    struct muster_strategy_options own;
    muster_strategy_options_init(&own);
    *strategy = NULL;
    enum muster_status status =
        muster__options_take(&own, sizeof(own), options, "muster_strategy_options_init", error);
    if (status != MUSTER_OK)
        return status;
    struct muster_strategy *made = calloc(1, sizeof(*made));
    if (!made)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "%s", muster_status_text(MUSTER_OUT_OF_MEMORY));
    status = make(made, &own, model, error);
    if (status == MUSTER_OK)
        *strategy = made;
    else
        muster_strategy_free(made);
    return status;
}

void muster_strategy_free(struct muster_strategy *strategy)
{
    if (!strategy)
        return;
    if (strategy->keeping)
        strategy->keeping->free(strategy);
    muster__memory_free(&strategy->memory);
    muster__model_free(&strategy->model);
    free(strategy);
}

const struct muster_strategy_kind *muster_strategy_kind(const struct muster_strategy *strategy)
{
    return &strategy->kind->shown;
}

const struct muster_message *muster_strategy_model(const struct muster_strategy *strategy)
{
    return &strategy->model.message;
}

/* ---- a round ---- */

size_t muster_strategy_least(const struct muster_strategy *strategy)
{
    if (strategy->clip > 0)
        return 0;
    return strategy->kind->least ? strategy->kind->least(strategy) : 1;
}

size_t muster_strategy_answers(const struct muster_strategy *strategy)
{
    return strategy->answers;
}

static enum muster_status check_arrays(const struct muster_strategy *strategy,
                                       const struct muster_strategy_answer *answer,
                                       struct muster_error *error)
{
    const struct muster_message *model = &strategy->model.message;
    enum muster_status status = muster__message_check(answer->message, error);
    if (status == MUSTER_OK)
        status = muster_arrays_match(answer->message, model, error);
    if (status == MUSTER_OK && strategy->kind->shown.asynchronous && answer->base)
        status = muster_arrays_match(answer->base, model, error);
    return status;
}

enum muster_status muster_strategy_check(const struct muster_strategy *strategy,
                                         const struct muster_strategy_answer *answer,
                                         struct muster_error *error)
{
    enum muster_status status = check_arrays(strategy, answer, error);
    return status == MUSTER_OK ? strategy->keeping->check(strategy, answer, error) : status;
}

enum muster_status muster_strategy_add(struct muster_strategy *strategy,
                                       const struct muster_strategy_answer *answer,
                                       struct muster_error *error)
{
    enum muster_status status = check_arrays(strategy, answer, error);
    if (status == MUSTER_OK)
        status = strategy->keeping->add(strategy, answer, error);
    if (status == MUSTER_OK)
        strategy->answers++;
    return status;
}

void muster_strategy_begin(struct muster_strategy *strategy)
{
    strategy->keeping->forget(strategy);
    strategy->numbers[NUMBER_ANSWERS] = 0;
    strategy->numbers[NUMBER_WEIGHT] = 0;
    strategy->answers = 0;
}

static enum muster_status check_divisor(const struct muster_strategy *strategy, double divisor,
                                        struct muster_error *error)
{
    if (divisor == 0 && strategy->noise == 0)
        return MUSTER_OK;
    if (strategy->clip == 0)
        return muster__error(error, MUSTER_INVALID,
                             "a divisor is for a strategy that is private, and %s is not",
                             strategy->kind->shown.name);
    if (!(divisor > 0) || !isfinite(divisor))
        return muster__error(error, MUSTER_INVALID,
                             "%g is no divisor: it is how many participants are expected in a round",
                             divisor);
    return MUSTER_OK;
}

/* The optimizer's rate at the step that comes, as Flower has it. */
static void correct_rate(struct muster_strategy *strategy)
{
    struct optimizer *optimizer = &strategy->optimizer;
    double power = strategy->numbers[NUMBER_STEPS] + 2;
    if (strategy->flower_compatible && optimizer->rule == RULE_ADAM)
        optimizer->eta = muster_strategy_parameter(strategy, "eta") * sqrt(1 - pow(optimizer->beta2, power)) /
                         (1 - pow(optimizer->beta1, power));
}

enum muster_status muster_strategy_step(struct muster_strategy *strategy, double divisor,
                                        struct muster_error *error)
{
    size_t least = muster_strategy_least(strategy);
    enum muster_status status = check_divisor(strategy, divisor, error);
    if (status == MUSTER_OK && strategy->answers < least)
        status = muster__error(error, MUSTER_TOO_FEW, "%s needs %zu answers, and there are %zu",
                               strategy->kind->shown.name, least, strategy->answers);
    if (status == MUSTER_OK) {
        correct_rate(strategy);
        status = strategy->keeping->step(strategy, divisor, error);
    }
    if (status == MUSTER_OK)
        strategy->numbers[NUMBER_STEPS]++;
    muster_strategy_begin(strategy);
    return status;
}
