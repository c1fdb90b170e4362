/* Texts become settings here, and nowhere else. */
#include <config.h>

#include "settings.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/dataset.h"
#include "nearest.h"
#include "privacy_settings.h"
#include "table.h"

struct kept_text {
    struct kept_text *next;
    char text[];
};

#define STRATEGY_PREFIX "strategy."
#define TRAIN_PREFIX    "train."

/* Keeps a copy of a text as long as the settings live; NULL when out of memory. */
static const char *keep_text(struct server_settings *settings, const char *text)
{
    size_t size = strlen(text) + 1;
    struct kept_text *kept = malloc(sizeof(*kept) + size);
    if (!kept)
        return NULL;
    memcpy(kept->text, text, size);
    kept->next = settings->texts;
    settings->texts = kept;
    return kept->text;
}

void settings_init(struct server_settings *settings)
{
    *settings = (struct server_settings){
        .listen = "127.0.0.1:8080",
        .rounds = 100,
        .fraction = 1,
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
        .buffer = 10,
        .versions_budget = (uint64_t)4 << 30,
        .delta = 1e-5,
        .sampling = "poisson",
        .evaluate_fraction = 1,
        .metric = "loss",
        .come_back_seconds = 10,
        .log = LOG_OPTIONS_INIT,
    };
}

void settings_free(struct server_settings *settings)
{
    while (settings->texts) {
        struct kept_text *next = settings->texts->next;
        free(settings->texts);
        settings->texts = next;
    }
    training_settings_free(&settings->training);
}

/* ---- numbers ---- */

/* What a row wants, for a person. */
static const char *range_of(const struct setting *setting, char *text, size_t size)
{
    const char *from = setting->above ? "above" : "from";
    if (isinf(setting->highest))
        snprintf(text, size, "%s %g", from, setting->lowest);
    else
        snprintf(text, size, "%s %g %s %.10g", from, setting->lowest, setting->above ? "up to" : "to",
                 setting->highest);
    return text;
}

static bool is_within(const struct setting *setting, double number)
{
    return (setting->above ? number > setting->lowest : number >= setting->lowest) &&
           number <= setting->highest;
}

/* Reads a decimal number, all of the text; hexadecimal ones, infinity and NaN are none. */
static bool read_number(const char *text, double *number)
{
    char *end;
    if (text[strspn(text, "+-.0123456789eE")] != '\0')
        return false;
    errno = 0;
    *number = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*number);
}

static enum muster_status set_number(const struct setting *setting, const char *text, double *number,
                                     struct muster_error *error)
{
    char range[80];
    if (read_number(text, number) && is_within(setting, *number))
        return MUSTER_OK;
    return explain(error, MUSTER_INVALID, "%s %.60s: expected a number %s", setting->key, text,
                   range_of(setting, range, sizeof(range)));
}

static enum muster_status set_whole(const struct setting *setting, const char *text, size_t *number,
                                    struct muster_error *error)
{
    char range[80], *end;
    errno = 0;
    unsigned long long whole = strtoull(text, &end, 10);
    if (isdigit((unsigned char)*text) && *end == '\0' && errno == 0 && is_within(setting, (double)whole)) {
        *number = (size_t)whole;
        return MUSTER_OK;
    }
    return explain(error, MUSTER_INVALID, "%s %.60s: expected a whole number %s", setting->key, text,
                   range_of(setting, range, sizeof(range)));
}

static enum muster_status set_bytes(const struct setting *setting, const char *text, uint64_t *number,
                                    struct muster_error *error)
{
    static const char units[] = "KMG";
    char *end;
    errno = 0;
    unsigned long long bytes = strtoull(text, &end, 10);
    const char *unit = *end != '\0' ? strchr(units, toupper((unsigned char)*end)) : NULL;
    unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
    bool read = isdigit((unsigned char)*text) && errno == 0 && bytes <= UINT64_MAX >> shift &&
                end[unit ? 1 : 0] == '\0';
    *number = (uint64_t)bytes << shift;
    if (read && is_within(setting, (double)*number))
        return MUSTER_OK;
    return explain(error, MUSTER_INVALID, "%s %.60s: expected %.0f to %.0f bytes, with K, M or G at the end",
                   setting->key, text, setting->lowest, setting->highest);
}

static enum muster_status set_seed(const struct setting *setting, const char *text, uint64_t *number,
                                   struct muster_error *error)
{
    char *end;
    errno = 0;
    *number = strtoull(text, &end, 10);
    if (isdigit((unsigned char)*text) && *end == '\0' && errno == 0)
        return MUSTER_OK;
    return explain(error, MUSTER_INVALID, "%s %.60s: expected a whole number from 0", setting->key, text);
}

static enum muster_status set_flag(const struct setting *setting, const char *text, bool *flag,
                                   struct muster_error *error)
{
    *flag = strcmp(text, "true") == 0;
    if (*flag || strcmp(text, "false") == 0)
        return MUSTER_OK;
    return explain(error, MUSTER_INVALID, "%s %.60s: expected true or false", setting->key, text);
}

/* ---- texts ---- */

static enum muster_status keep(struct server_settings *settings, const char *text, const char **place,
                               struct muster_error *error)
{
    const char *kept = keep_text(settings, text);
    if (!kept)
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    *place = kept;
    return MUSTER_OK;
}

static enum muster_status set_text(struct server_settings *settings, const struct setting *setting,
                                   const char *text, struct muster_error *error)
{
    if (*text == '\0')
        return explain(error, MUSTER_INVALID, "%s: a text is missing", setting->key);
    return keep(settings, text, (const char **)((char *)settings + setting->offset), error);
}

static enum muster_status add_sink(struct server_settings *settings, const char *text,
                                   struct muster_error *error)
{
#ifndef HAVE_RECORD
    return explain(error, MUSTER_UNSUPPORTED,
                   "record %.60s: this build has no records: configure it --with-record", text);
#endif
    if (settings->sink_count == RECORD_SINKS_MAX)
        return explain(error, MUSTER_INVALID, "record %.60s: there is room for %d of them", text,
                       RECORD_SINKS_MAX);
    return keep(settings, text, &settings->sinks[settings->sink_count++], error);
}

/* ---- keys ---- */

static enum muster_status set_row(struct server_settings *settings, const struct setting *setting,
                                  const char *text, struct muster_error *error)
{
    char *field = (char *)settings + setting->offset;
    double number;
    size_t whole;
    enum muster_status status;
    switch (setting->type) {
    case SETTING_WHOLE:
        return set_whole(setting, text, (size_t *)field, error);
    case SETTING_NUMBER:
        return set_number(setting, text, (double *)field, error);
    case SETTING_SECONDS:
        status = set_number(setting, text, &number, error);
        *(int64_t *)field = status == MUSTER_OK ? llround(1000 * number) : *(int64_t *)field;
        return status;
    case SETTING_WAIT:
        status = set_whole(setting, text, &whole, error);
        *(int32_t *)field = status == MUSTER_OK ? (int32_t)whole : *(int32_t *)field;
        return status;
    case SETTING_BYTES:
        return set_bytes(setting, text, (uint64_t *)field, error);
    case SETTING_SEED:
        return set_seed(setting, text, (uint64_t *)field, error);
    case SETTING_FLAG:
        return set_flag(setting, text, (bool *)field, error);
    case SETTING_SINKS:
        return add_sink(settings, text, error);
    case SETTING_TEXT:
        break;
    }
    return set_text(settings, setting, text, error);
}

/* A parameter of some strategy; settings_check() tells whether it is one of this strategy. */
static enum muster_status set_parameter(struct server_settings *settings, const char *name, const char *text,
                                        struct muster_error *error)
{
    size_t i = 0;
    double number;
    if (!read_number(text, &number))
        return explain(error, MUSTER_INVALID, STRATEGY_PREFIX "%.40s %.60s: expected a number", name, text);
    while (i < settings->parameter_count && strcmp(settings->parameters[i].name, name) != 0)
        i++;
    if (i == STRATEGY_PARAMETERS_MAX)
        return explain(error, MUSTER_INVALID, STRATEGY_PREFIX "%.40s: there is room for %d of them", name,
                       STRATEGY_PARAMETERS_MAX);
    if (i == settings->parameter_count) {
        enum muster_status status = keep(settings, name, &settings->parameters[i].name, error);
        if (status != MUSTER_OK)
            return status;
        settings->parameter_count++;
    }
    settings->parameters[i].value = number;
    return MUSTER_OK;
}

static enum muster_status refuse_key(const char *key, struct muster_error *error)
{
    struct nearest nearest;
    nearest_begin(&nearest, key);
    for (size_t i = 0; setting_at(i); i++)
        nearest_look(&nearest, setting_at(i)->key);
    if (nearest.name)
        return explain(error, MUSTER_INVALID, "%.60s: there is no such setting; %s is one", key,
                       nearest.name);
    return explain(
        error, MUSTER_INVALID,
        "%.60s: there is no such setting; --help lists them, and what participants are told begins "
        "with train.",
        key);
}

enum muster_status settings_set(struct server_settings *settings, const char *key, const char *text,
                                struct muster_error *error)
{
    for (size_t i = 0; setting_at(i); i++) {
        if (strcmp(setting_at(i)->key, key) == 0)
            return set_row(settings, setting_at(i), text, error);
    }
    if (strncmp(key, STRATEGY_PREFIX, strlen(STRATEGY_PREFIX)) == 0)
        return set_parameter(settings, key + strlen(STRATEGY_PREFIX), text, error);
    if (strncmp(key, TRAIN_PREFIX, strlen(TRAIN_PREFIX)) == 0)
        return training_settings_set(&settings->training, key + strlen(TRAIN_PREFIX), text, error);
    return refuse_key(key, error);
}

enum muster_status settings_assign(struct server_settings *settings, const char *assignment,
                                   struct muster_error *error)
{
    const char *equals = strchr(assignment, '=');
    char key[128];
    if (!equals || equals == assignment)
        return explain(error, MUSTER_INVALID, "%.60s: expected KEY=VALUE, such as train.lr=0.1", assignment);
    if ((size_t)(equals - assignment) >= sizeof(key))
        return explain(error, MUSTER_INVALID, "%.60s: the key is too long", assignment);
    snprintf(key, sizeof(key), "%.*s", (int)(equals - assignment), assignment);
    return settings_set(settings, key, equals + 1, error);
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

enum muster_status settings_check(const struct server_settings *settings, struct muster_error *error)
{
    if (settings->run && settings->metrics)
        return explain(error, MUSTER_INVALID,
                       "metrics %.60s: with a run the metrics are in %.60s/metrics.csv", settings->metrics,
                       settings->run);
    if (!settings->run && settings->overwrite)
        return explain(error, MUSTER_INVALID,
                       "overwrite: there is no run to overwrite: set run (--run), too");
    if (settings->patience > 0 && settings->evaluate_every == 0)
        return explain(error, MUSTER_INVALID,
                       "stop.patience %zu: nobody tests the model: set evaluate.every (--evaluate), too",
                       settings->patience);
    enum muster_status status = check_rounds(settings, error);
    if (status == MUSTER_OK)
        status = check_strategy(settings, error);
    if (status == MUSTER_OK)
        status = check_least(settings, error);
    return status == MUSTER_OK ? privacy_settings_check(settings, error) : status;
}
