/* What is set is kept as JSON, as it is also part of the run's configuration. */
#include <config.h>

#include "training_settings.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/dataset.h"
#include "yaml_text.h"

#define RULES  "train.for"
#define LABELS "labels"
#define RANKS  "ranks"

enum { NAME_MAX_SIZE = 64 };

void training_settings_free(struct training_settings *settings)
{
    json_decref(settings->values);
    json_decref(settings->rules);
    *settings = (struct training_settings){NULL, NULL};
}

/* ---- names and values ---- */

static bool is_name(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length >= NAME_MAX_SIZE || isdigit((unsigned char)*name))
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)name[i]) && !strchr("_-.", name[i]))
            return false;
    }
    return true;
}

static bool is_value(const json_t *value)
{
    return json_is_real(value) || json_is_boolean(value) || json_is_string(value);
}

/* "nan" and "inf" are texts to JSON, and were meant as numbers. */
static bool is_no_number(const json_t *value)
{
    const char *text = json_string_value(value);
    char *end = NULL;
    double number = text ? strtod(text, &end) : 0;
    return text && end != text && *end == '\0' && !isfinite(number);
}

static enum muster_status check_value(const char *place, const char *name, const json_t *value,
                                      struct muster_error *error)
{
    if (!is_name(name))
        return explain(
            error, MUSTER_INVALID,
            "%s: %.70s is not a name: letters, digits, '_', '-' and '.', at most %d, no digit first", place,
            name, NAME_MAX_SIZE - 1);
    if (strcmp(name, "round") == 0 || strcmp(name, "first_model") == 0)
        return explain(error, MUSTER_INVALID, "%s: the server itself tells participants train.%s", place,
                       name);
    if (!is_value(value) || is_no_number(value))
        return explain(error, MUSTER_INVALID, "%s: %.70s: expected a finite number, true, false or a text",
                       place, name);
    return MUSTER_OK;
}

/* ---- ranks ---- */

/* Reads 3 or 0-3. */
static bool read_ranks(const json_t *value, uint64_t *from, uint64_t *to)
{
    char *end;
    double number = json_real_value(value);
    const char *text = json_string_value(value);
    if (json_is_real(value)) {
        *from = *to = (uint64_t)number;
        return number >= 0 && number < 1e9 && number == floor(number);
    }
    if (!text || !isdigit((unsigned char)*text))
        return false;
    *from = strtoull(text, &end, 10);
    if (*end != '-' || !isdigit((unsigned char)end[1]))
        return false;
    *to = strtoull(end + 1, &end, 10);
    return *end == '\0' && *from <= *to && *to < 1000000000;
}

static bool are_ranks(const json_t *ranks)
{
    uint64_t from, to;
    size_t i;
    const json_t *item;
    if (!json_is_array(ranks))
        return read_ranks(ranks, &from, &to);
    json_array_foreach((json_t *)ranks, i, item)
    {
        if (!read_ranks(item, &from, &to))
            return false;
    }
    return json_array_size(ranks) > 0;
}

static bool has_rank(const json_t *ranks, uint64_t rank)
{
    uint64_t from, to;
    size_t i;
    const json_t *item;
    if (!json_is_array(ranks))
        return read_ranks(ranks, &from, &to) && from <= rank && rank <= to;
    json_array_foreach((json_t *)ranks, i, item)
    {
        if (read_ranks(item, &from, &to) && from <= rank && rank <= to)
            return true;
    }
    return false;
}

/* ---- rules ---- */

static bool are_labels(const json_t *labels)
{
    const char *name;
    json_t *value;
    if (!json_is_object(labels) || json_object_size(labels) == 0)
        return false;
    json_object_foreach((json_t *)labels, name, value)
    {
        if (!json_is_string(value))
            return false;
    }
    return true;
}

/* Labels are texts: of a number that is not in quotes the text is made again. */
static enum muster_status text_labels(json_t *labels)
{
    const char *name;
    json_t *value;
    json_object_foreach(labels, name, value)
    {
        char text[40];
        if (json_is_real(value))
            snprintf(text, sizeof(text), "%.15g", json_real_value(value));
        else if (json_is_boolean(value))
            snprintf(text, sizeof(text), "%s", json_is_true(value) ? "true" : "false");
        else
            continue;
        if (json_object_set_new(labels, name, json_string(text)) != 0)
            return MUSTER_OUT_OF_MEMORY;
    }
    return MUSTER_OK;
}

static enum muster_status check_rule(size_t index, const json_t *rule, struct muster_error *error)
{
    char place[40];
    const char *name;
    json_t *value, *labels = json_object_get(rule, LABELS), *ranks = json_object_get(rule, RANKS);
    enum muster_status status = MUSTER_OK;
    snprintf(place, sizeof(place), RULES ", entry %zu", index + 1);
    if (!json_is_object(rule) || (!labels && !ranks))
        return explain(
            error, MUSTER_INVALID,
            "%s: expected a mapping with labels or ranks, such as {labels: {kind: phone}, epochs: 1}", place);
    if (labels && (text_labels(labels) != MUSTER_OK || !are_labels(labels)))
        return explain(error, MUSTER_INVALID, "%s: labels: expected a mapping, such as {kind: phone}", place);
    if (ranks && !are_ranks(ranks))
        return explain(error, MUSTER_INVALID, "%s: ranks: expected 3, 0-3, or a list of those", place);
    json_object_foreach((json_t *)rule, name, value)
    {
        if (value != labels && value != ranks)
            status = check_value(place, name, value, error);
        if (status != MUSTER_OK)
            return status;
    }
    return json_object_size(rule) <= TRAINING_VALUES_MAX
               ? MUSTER_OK
               : explain(error, MUSTER_INVALID, "%s: there is room for %d values", place,
                         TRAINING_VALUES_MAX);
}

static enum muster_status set_rules(struct training_settings *settings, const char *text,
                                    struct muster_error *error)
{
    struct muster_error wrong;
    json_t *rule, *rules = yaml_text_read(RULES, text, &wrong);
    size_t i;
    enum muster_status status = rules ? MUSTER_OK : explain(error, wrong.status, "%s", wrong.text);
    if (rules && !json_is_array(rules))
        status =
            explain(error, MUSTER_INVALID, RULES ": expected a list: [{labels: {kind: phone}, epochs: 1}]");
    else if (json_array_size(rules) > TRAINING_RULES_MAX)
        status = explain(error, MUSTER_INVALID, RULES ": there is room for %d entries", TRAINING_RULES_MAX);
    if (status == MUSTER_OK) {
        json_array_foreach(rules, i, rule)
        {
            status = status == MUSTER_OK ? check_rule(i, rule, error) : status;
        }
    }
    if (status != MUSTER_OK) {
        json_decref(rules);
        return status;
    }
    json_decref(settings->rules);
    settings->rules = rules;
    return MUSTER_OK;
}

enum muster_status training_settings_set(struct training_settings *settings, const char *name,
                                         const char *text, struct muster_error *error)
{
    if (strcmp(name, "for") == 0)
        return set_rules(settings, text, error);
    json_t *value = yaml_text_plain(text);
    if (!value)
        return explain(error, MUSTER_INVALID, "train.%.60s: this is not UTF-8", name);
    enum muster_status status = check_value("train", name, value, error);
    if (status == MUSTER_OK && !settings->values && !(settings->values = json_object()))
        status = explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    if (status == MUSTER_OK && json_object_size(settings->values) >= TRAINING_VALUES_MAX &&
        !json_object_get(settings->values, name))
        status = explain(error, MUSTER_INVALID, "train.%s: there is room for %d values", name,
                         TRAINING_VALUES_MAX);
    if (status == MUSTER_OK && json_object_set(settings->values, name, value) != 0)
        status = explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    json_decref(value);
    return status;
}

/* ---- for one participant ---- */

static bool is_for(const json_t *rule, uint64_t rank, training_label *label, const void *participant)
{
    const char *name;
    json_t *value, *labels = json_object_get(rule, LABELS), *ranks = json_object_get(rule, RANKS);
    if (ranks && !has_rank(ranks, rank))
        return false;
    json_object_foreach(labels, name, value)
    {
        const char *said = label(participant, name);
        if (!said || strcmp(said, json_string_value(value)) != 0)
            return false;
    }
    return true;
}

static bool take(json_t *told, json_t *rule)
{
    const char *name;
    json_t *value;
    json_object_foreach(rule, name, value)
    {
        if (strcmp(name, LABELS) != 0 && strcmp(name, RANKS) != 0 && json_object_set(told, name, value) != 0)
            return false;
    }
    return true;
}

json_t *training_settings_for(const struct training_settings *settings, uint64_t rank, training_label *label,
                              const void *participant)
{
    json_t *rule, *told = settings->values ? json_copy(settings->values) : json_object();
    size_t i;
    json_array_foreach(settings->rules, i, rule)
    {
        if (told && is_for(rule, rank, label, participant) && !take(told, rule)) {
            json_decref(told);
            return NULL;
        }
    }
    return told;
}
