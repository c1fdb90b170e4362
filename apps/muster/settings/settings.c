/* The settings of a server: their defaults, keys without a row, and what goes together. */
#include <config.h>

#include "settings.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/arguments.h"
#include "common/dataset.h"
#include "nearest.h"
#include "privacy_settings.h"
#include "server_table.h"

#define STRATEGY_PREFIX "strategy."
#define TRAIN_PREFIX    "train."

/* Defaults by which it is seen that somebody set a setting. */
#define METRIC          "loss"
#define VERSIONS_BUDGET ((uint64_t)4 << 30)
enum { BUFFER = 10, COME_BACK = 10 };

static void init(void *made)
{
    struct server_settings *settings = made;
    *settings = (struct server_settings){
        .listen = "127.0.0.1:8080",
        .rounds = 100,
        .fraction = 1,
        .default_fraction = 1,
        .over = 1,
        .wait_ms = 300000,
        .deadline_ms = 60000,
        .grace_ms = 60000,
        .heartbeat_ms = 2000,
        .stop_within_ms = 10000,
        .max_message_size = (uint64_t)4 << 20,
        .model_limit = (uint64_t)1 << 30,
        .strategy = "fedavg",
        .default_weight = 100,
        .buffer = BUFFER,
        .versions_budget = VERSIONS_BUDGET,
        .delta = 1e-5,
        .sampling = "poisson",
        .evaluate_fraction = 1,
        .metric = METRIC,
        .come_back_seconds = COME_BACK,
        .log = LOG_OPTIONS_INIT,
    };
}

/* A parameter of some strategy; settings_check() tells whether it is one of this strategy. */
static enum muster_status set_parameter(struct server_settings *settings, const char *name, const char *text,
                                        struct muster_error *error)
{
    size_t i = 0;
    double number;
    if (!setting_read_number(text, &number))
        return explain(error, MUSTER_INVALID, STRATEGY_PREFIX "%.40s %.60s: expected a number", name, text);
    while (i < settings->parameter_count && strcmp(settings->parameters[i].name, name) != 0)
        i++;
    if (i == STRATEGY_PARAMETERS_MAX)
        return explain(error, MUSTER_INVALID, STRATEGY_PREFIX "%.40s: there is room for %d of them", name,
                       STRATEGY_PARAMETERS_MAX);
    if (i == settings->parameter_count) {
        settings->parameters[i].name = kind_keep(&server_kind, settings, name);
        if (!settings->parameters[i].name)
            return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
        settings->parameter_count++;
    }
    settings->parameters[i].value = number;
    return MUSTER_OK;
}

static enum muster_status set_other(void *set, const char *key, const char *text, bool *known,
                                    struct muster_error *error)
{
    struct server_settings *settings = set;
    bool parameter = strncmp(key, STRATEGY_PREFIX, strlen(STRATEGY_PREFIX)) == 0;
    *known = parameter || strncmp(key, TRAIN_PREFIX, strlen(TRAIN_PREFIX)) == 0;
    if (parameter)
        return set_parameter(settings, key + strlen(STRATEGY_PREFIX), text, error);
    return *known ? training_settings_set(&settings->training, key + strlen(TRAIN_PREFIX), text, error)
                  : MUSTER_INVALID;
}

static void clear(void *settings)
{
    training_settings_free(&((struct server_settings *)settings)->training);
}

/* ---- all together ---- */

static const struct muster_strategy_parameter *parameter_of(const struct muster_strategy_kind *kind,
                                                            const char *name)
{
    for (size_t i = 0; i < kind->parameter_count; i++) {
        if (strcmp(kind->parameters[i].name, name) == 0)
            return &kind->parameters[i];
    }
    return NULL;
}

static enum muster_status check_parameter(const struct muster_strategy_kind *kind,
                                          const struct muster_scalar *set, struct muster_error *error)
{
    const struct muster_strategy_parameter *parameter = parameter_of(kind, set->name);
    char names[200] = "";
    if (parameter) {
        if (set->value >= parameter->lowest && set->value <= parameter->highest &&
            (!parameter->integer || set->value == floor(set->value)))
            return MUSTER_OK;
        return explain(error, MUSTER_INVALID, "strategy.%s %g: expected a %snumber from %g to %g", set->name,
                       set->value, parameter->integer ? "whole " : "", parameter->lowest, parameter->highest);
    }
    for (size_t i = 0; i < kind->parameter_count; i++)
        snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s", i > 0 ? ", " : "",
                 kind->parameters[i].name);
    return explain(error, MUSTER_INVALID, "strategy.%.40s: %s has no such setting; it has %s", set->name,
                   kind->name, *names != '\0' ? names : "none");
}

static enum muster_status check_strategy(const struct server_settings *settings, struct muster_error *error)
{
    const struct muster_strategy_kind *kind = muster_strategy_find(settings->strategy);
    if (!kind) {
        struct nearest nearest;
        nearest_begin(&nearest, settings->strategy);
        for (size_t i = 0; muster_strategy_kind_at(i); i++)
            nearest_look(&nearest, muster_strategy_kind_at(i)->name);
        return explain(error, MUSTER_INVALID, "strategy.name %.60s: there is no such strategy; %s%s",
                       settings->strategy, nearest.name ? nearest.name : "--help lists them",
                       nearest.name ? " is one" : "");
    }
    enum muster_status status = MUSTER_OK;
    for (size_t i = 0; status == MUSTER_OK && i < settings->parameter_count; i++)
        status = check_parameter(kind, &settings->parameters[i], error);
    if (status != MUSTER_OK || settings->clip <= 0 || kind->can_be_private)
        return status;
    return explain(error, MUSTER_INVALID, "privacy.clip: %s cannot be private; a mean can", kind->name);
}

/* How many answers the strategy needs in a round: the library says it of one with a model of one number. 0: none. */
static enum muster_status find_least(const struct server_settings *settings, size_t *least,
                                     struct muster_error *error)
{
    static const float number = 0;
    const struct muster_array array = {MUSTER_FLOAT32, 1, {1}, &number};
    struct muster_message model = MUSTER_MESSAGE_INIT;
    struct muster_strategy_options options;
    struct muster_strategy *strategy;
    model.kind = MUSTER_TRAIN;
    model.arrays = &array;
    model.array_count = 1;
    muster_strategy_options_init(&options);
    options.name = settings->strategy;
    options.parameters = settings->parameters;
    options.parameter_count = settings->parameter_count;
    enum muster_status status = muster_strategy_new(&options, &model, &strategy, error);
    if (status != MUSTER_OK)
        return status;
    *least = muster_strategy_least(strategy);
    muster_strategy_free(strategy);
    return MUSTER_OK;
}

/* Whether a round can ever have as many answers as the strategy needs. */
static enum muster_status check_least(const struct server_settings *settings, struct muster_error *error)
{
    size_t least;
    enum muster_status status = find_least(settings, &least, error);
    if (status != MUSTER_OK)
        return status;
    if (settings->wanted > 0 && settings->wanted < least)
        return explain(error, MUSTER_INVALID, "select.count %zu: %s needs at least %zu answers in a round",
                       settings->wanted, settings->strategy, least);
    if (settings->enough > 0 && settings->enough < least)
        return explain(error, MUSTER_INVALID, "enough %zu: %s needs at least %zu answers in a round",
                       settings->enough, settings->strategy, least);
    return MUSTER_OK;
}

static enum muster_status check_rounds(const struct server_settings *settings, struct muster_error *error)
{
    double chosen = settings->wanted > 0 ? (double)settings->wanted
                                         : round((double)settings->min_participants * settings->fraction);
    if ((settings->min_participants > 0 || settings->wanted > 0) &&
        (double)settings->enough > fmax(chosen, 1))
        return explain(error, MUSTER_INVALID, "enough %zu: a round may have only %g participants",
                       settings->enough, fmax(chosen, 1));
    if (settings->enough > 0 && settings->at_least > settings->enough)
        return explain(error, MUSTER_INVALID,
                       "at_least %zu: a round ends with enough %zu, so it never has as many",
                       settings->at_least, settings->enough);
    if (settings->wanted > 0 && settings->at_least > settings->wanted)
        return explain(error, MUSTER_INVALID, "at_least %zu: a round has only select.count %zu answers",
                       settings->at_least, settings->wanted);
    if (settings->max_weight > 0 && settings->default_weight > settings->max_weight)
        return explain(error, MUSTER_INVALID, "max_weight %g: less than default_weight %g: lower that, too",
                       settings->max_weight, settings->default_weight);
    const struct muster_strategy_kind *kind = muster_strategy_find(settings->strategy);
    if (kind && kind->asynchronous && (settings->enough > 0 || settings->at_least > 0 || settings->over > 1))
        return explain(error, MUSTER_INVALID,
                       "%s: with %s nobody waits for a round: buffer says how many answers move the model",
                       settings->over > 1     ? "select.over"
                       : settings->enough > 0 ? "enough"
                                              : "at_least",
                       kind->name);
    if (settings->heartbeat_ms > 0 && settings->heartbeat_ms < 100)
        return explain(error, MUSTER_INVALID, "heartbeat %g: expected 0, or a number from 0.1 to 3600",
                       (double)settings->heartbeat_ms / 1000);
    if (settings->label && !strchr(settings->label, '='))
        return explain(error, MUSTER_INVALID, "select.label %.60s: expected NAME=VALUE", settings->label);
    return MUSTER_OK;
}

/* Settings that would do nothing, as another is not set. */
static enum muster_status check_effects(const struct server_settings *settings, struct muster_error *error)
{
    const struct muster_strategy_kind *kind = muster_strategy_find(settings->strategy);
    bool asynchronous = kind && kind->asynchronous, tests = settings->evaluate_every > 0;
    const struct {
        bool set;
        const char *text;
    } vain[] = {
        {settings->over > 1 && settings->fraction >= 1 && settings->wanted == 0,
         "select.over: all participants are wanted, and more there are not: set select.fraction (--fraction) "
         "or "
         "select.count (--count), too"},
        {settings->fraction < 1 && settings->fraction != settings->default_fraction && settings->wanted > 0,
         "select.fraction: select.count (--count) says how many are wanted: set one of them"},
        {settings->buffer != BUFFER && !asynchronous,
         "buffer: only fedbuff has one: set strategy.name (--strategy), too"},
        {settings->versions_budget != VERSIONS_BUDGET && !asynchronous,
         "versions_budget: only fedbuff has one: set strategy.name (--strategy), too"},
        {settings->patience > 0 && !tests,
         "stop.patience: nobody tests the model: set evaluate.every (--evaluate), too"},
        {strcmp(settings->metric, METRIC) != 0 && !tests,
         "stop.metric: nobody tests the model: set evaluate.every (--evaluate), too"},
        {settings->min_delta > 0 && !tests,
         "stop.min_delta: nobody tests the model: set evaluate.every (--evaluate), too"},
        {settings->evaluate_fraction < 1 && !tests,
         "evaluate.fraction: nobody tests the model: set evaluate.every (--evaluate), too"},
        {settings->evaluate_deadline_ms > 0 && !tests,
         "evaluate.deadline: nobody tests the model: set evaluate.every (--evaluate), too"},
        {settings->come_back_seconds != COME_BACK && !settings->run,
         "come_back: without a run the server says good-bye: set run (--run), too"},
        {settings->overwrite && !settings->run,
         "overwrite: there is no run to overwrite: set run (--run), too"},
    };
    for (size_t i = 0; i < sizeof(vain) / sizeof(*vain); i++) {
        if (vain[i].set)
            return explain(error, MUSTER_INVALID, "%s", vain[i].text);
    }
    return MUSTER_OK;
}

static enum muster_status check(void *checked, struct muster_error *error)
{
    const struct server_settings *settings = checked;
    if (settings->run && settings->metrics)
        return explain(error, MUSTER_INVALID,
                       "metrics %.60s: with a run the metrics are in %.60s/metrics.csv", settings->metrics,
                       settings->run);
    enum muster_status status = check_effects(settings, error);
    if (status == MUSTER_OK)
        status = check_rounds(settings, error);
    if (status == MUSTER_OK)
        status = check_strategy(settings, error);
    if (status == MUSTER_OK)
        status = check_least(settings, error);
    return status == MUSTER_OK ? privacy_settings_check(settings, error) : status;
}

/* ---- the kind ---- */

const struct settings_kind server_kind = {
    .section = "server",
    .program = "muster server",
    .size = sizeof(struct server_settings),
    .texts = offsetof(struct server_settings, texts),
    .row = server_table_row,
    .init = init,
    .other = set_other,
    .check = check,
    .clear = clear,
    .hint = ", and what participants are told begins with train.",
    .headers = server_table_headers,
    .groups = GROUPS,
    .set_group = GROUP_TRAINING,
    .set_help =
        "Set any setting by its key, see below; train.NAME=VALUE is told to participants that train, as in "
        "--set "
        "train.lr=0.1, and train.for=RULES to some of them, as in --set 'train.for=[{labels: {kind: phone}, "
        "epochs: 1}, {ranks: 0-3, lr: 0.01}]'. A rank is a participant's number, from 0, in the order of "
        "arrival",
    .security = &server_security_arguments,
    .credentials = offsetof(struct server_settings, credentials),
    .log = offsetof(struct server_settings, log),
};

void settings_init(struct server_settings *settings)
{
    init(settings);
}

void settings_free(struct server_settings *settings)
{
    kind_clear(&server_kind, settings);
}

enum muster_status settings_set(struct server_settings *settings, const char *key, const char *text,
                                struct muster_error *error)
{
    return kind_set(&server_kind, settings, key, text, error);
}
