/* Settings by rank, from JSON. */
#include <config.h>

#include "ranks.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/dataset.h"

static const char *const algorithm_names[] = {"static", "push", "exchange", "dynamic", "fedavg"};
static const char *const attack_names[] = {"none", "sign-flip", "noise"};

/* The index of a name; `count`: there is no such name. */
static size_t find(const char *const *names, size_t count, const char *name)
{
    size_t i = 0;
    while (i < count && strcmp(names[i], name) != 0)
        i++;
    return i;
}

static bool read_algorithm(const char *name, enum algorithm *algorithm)
{
    size_t count = sizeof(algorithm_names) / sizeof(*algorithm_names);
    size_t found = find(algorithm_names, count, name);
    *algorithm = (enum algorithm)found;
    return found < count;
}

const char *settings_algorithm_name(enum algorithm algorithm)
{
    return algorithm_names[algorithm];
}

static bool read_attack(const char *name, enum attack *attack)
{
    size_t count = sizeof(attack_names) / sizeof(*attack_names);
    size_t found = find(attack_names, count, name);
    *attack = (enum attack)found;
    return found < count;
}

/* Whether it is a number in this range, which becomes *number. */
static bool read_number(const json_t *value, double low, double high, double *number)
{
    *number = json_number_value(value);
    return json_is_number(value) && *number >= low && *number <= high;
}

static bool read_whole(const json_t *value, size_t *number)
{
    double read;
    bool is = json_is_integer(value) && read_number(value, 1, 1e9, &read);
    if (is)
        *number = (size_t)read;
    return is;
}

/* One member; false: it has no such name, or no such value. */
static bool read_setting(const char *name, const json_t *value, struct settings *settings)
{
    const char *text = json_string_value(value);
    if (strcmp(name, "algorithm") == 0)
        return text && read_algorithm(text, &settings->algorithm);
    if (strcmp(name, "attack") == 0)
        return text && read_attack(text, &settings->attack);
    if (strcmp(name, "epochs") == 0)
        return read_whole(value, &settings->epochs);
    if (strcmp(name, "batch_size") == 0)
        return read_whole(value, &settings->batch_size);
    if (strcmp(name, "learning_rate") == 0)
        return read_number(value, 0, 1e6, &settings->learning_rate);
    if (strcmp(name, "dropout") == 0)
        return read_number(value, 0, 1, &settings->dropout);
    return false;
}

/* What is under `rank`, which may be nothing. */
static enum muster_status read_rank(const char *path, json_t *file, const char *rank,
                                    struct settings *settings, struct muster_error *error)
{
    const char *name;
    json_t *value, *object = json_object_get(file, rank);
    if (object && !json_is_object(object))
        return explain(error, MUSTER_FORMAT, "%.120s: \"%s\" is no object", path, rank);
    json_object_foreach(object, name, value)
    {
        if (!read_setting(name, value, settings))
            return explain(error, MUSTER_FORMAT,
                           "%.120s: \"%s\": \"%.40s\" is no setting, or cannot have this value", path, rank,
                           name);
    }
    return MUSTER_OK;
}

/* Everything in the file is meant for somebody. */
static enum muster_status check_ranks(const char *path, json_t *file, size_t count,
                                      struct muster_error *error)
{
    const char *name;
    json_t *value;
    json_object_foreach(file, name, value)
    {
        size_t rank;
        char end;
        bool is_rank = sscanf(name, "%zu%c", &rank, &end) == 1 && rank < count;
        if (!is_rank && strcmp(name, "default") != 0)
            return explain(error, MUSTER_FORMAT,
                           "%.120s: \"%.40s\" is neither \"default\" nor a rank below %zu", path, name,
                           count);
    }
    return MUSTER_OK;
}

enum muster_status settings_read(const char *path, struct settings *settings, size_t count,
                                 struct muster_error *error)
{
    json_error_t reason;
    bool text = *path == '{';
    json_t *file = text ? json_loads(path, JSON_REJECT_DUPLICATES, &reason)
                        : json_load_file(path, JSON_REJECT_DUPLICATES, &reason);
    if (text)
        path = "settings";
    if (!file && reason.line < 1) /* it was not read */
        return explain(error, MUSTER_IO, "%.200s", reason.text);
    if (!file)
        return explain(error, MUSTER_FORMAT, "%.120s: line %d: %.80s", path, reason.line, reason.text);
    enum muster_status status = json_is_object(file)
                                    ? check_ranks(path, file, count, error)
                                    : explain(error, MUSTER_FORMAT, "%.120s: this is no JSON object", path);
    for (size_t rank = 0; rank < count && status == MUSTER_OK; rank++) {
        char name[24];
        snprintf(name, sizeof(name), "%zu", rank);
        status = read_rank(path, file, "default", &settings[rank], error);
        if (status == MUSTER_OK)
            status = read_rank(path, file, name, &settings[rank], error);
    }
    json_decref(file);
    return status;
}
