/* The same failure is told at its 1st, 10th, 100th time and so on. */
#include <config.h>

#include "failures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

/* Where the model goes in one message, to participants of the original protocol. */
#define TOO_BIG_ADVICE \
    " (participants such as participant.py get the whole model in one: see --max-message-size)"

void failures_free(struct failures *failures)
{
    for (size_t i = 0; i < failures->count; i++)
        free(failures->failing[i].name);
    free(failures->failing);
    *failures = (struct failures){0};
}

static struct failing *find(struct failures *failures, const char *name)
{
    for (size_t i = 0; i < failures->count; i++) {
        if (strcmp(failures->failing[i].name, name) == 0)
            return &failures->failing[i];
    }
    return NULL;
}

/* FNV-1a. Numbers in the text do not count: a loss that is a little different each time is the same failure. */
static uint64_t hash_of(enum muster_status status, const char *text)
{
    uint64_t hash = 14695981039346656037u ^ (uint64_t)status;
    for (; *text != '\0'; text++) {
        if (!strchr("0123456789.+-", *text))
            hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    }
    return hash;
}

/* How often it failed like this; 1 also when there is no room to count it. */
static size_t count(struct failures *failures, const char *name, enum muster_status status, const char *text)
{
    uint64_t why = hash_of(status, text);
    struct failing *failing = find(failures, name);
    if (failing && failing->why == why)
        return ++failing->times;
    if (failing) {
        failing->why = why;
        return failing->times = 1;
    }
    char *copy = failures->count < FAILING_MAX ? strdup(name) : NULL;
    struct failing *more = copy ? realloc(failures->failing, (failures->count + 1) * sizeof(*more)) : NULL;
    if (!more) {
        free(copy);
        return 1;
    }
    failures->failing = more;
    failures->failing[failures->count++] = (struct failing){copy, why, 1};
    return 1;
}

static bool is_power_of_ten(size_t number)
{
    while (number % 10 == 0)
        number /= 10;
    return number == 1;
}

/* What to do about it, where the text leaves that open. */
static const char *advice_for(const struct failures *failures, enum muster_status status, char *text,
                              size_t size)
{
    text[0] = '\0';
    if (status == MUSTER_TIMEOUT)
        snprintf(text, size, " (no answer came within %s)",
                 failures->deadline ? failures->deadline : "--deadline");
    else if (status == MUSTER_TOO_BIG)
        snprintf(text, size, "%s", TOO_BIG_ADVICE);
    return text;
}

/* The text without the name that the line begins with. */
static const char *without_name(const char *text, const char *name)
{
    size_t length = strlen(name);
    if (strncmp(text, name, length) == 0 && strncmp(text + length, ": ", 2) == 0)
        return text + length + 2;
    return text;
}

void failures_tell(struct failures *failures, const char *where, const char *name, enum muster_status status,
                   const char *text, bool keep)
{
    char line[2 * MUSTER_ERROR_TEXT_SIZE], advice[128], again[48] = "";
    size_t times = count(failures, name, status, text);
    if (times > 1)
        snprintf(again, sizeof(again), " (%zu times in a row)", times);
    snprintf(line, sizeof(line), "%s: %.128s: %s%s%s", where, name, without_name(text, name),
             advice_for(failures, status, advice, sizeof(advice)), again);
    if (is_power_of_ten(times))
        log_write(LOG_WARNING, "%s", line);
    else
        log_write(LOG_DEBUG, "%s", line);
    if (!keep)
        return;
    size_t kind = (size_t)status < REFUSALS_MAX ? (size_t)status : 0;
    failures->refusals.count[kind]++;
    snprintf(failures->refusals.example[kind], sizeof(failures->refusals.example[kind]), "%s", line);
}

void failures_forget(struct failures *failures, const char *name)
{
    struct failing *failing = find(failures, name);
    if (!failing)
        return;
    free(failing->name);
    *failing = failures->failing[--failures->count];
}

void failures_round(struct failures *failures, size_t answered)
{
    if (answered > 0)
        memset(&failures->refusals, 0, sizeof(failures->refusals));
    else
        failures->refusals.rounds++;
}

void failures_conclude(const struct failures *failures, const char *name, size_t rounds, bool learned)
{
    const struct refusals *refusals = &failures->refusals;
    size_t most = 0, all = 0;
    for (size_t i = 0; i < REFUSALS_MAX; i++) {
        all += refusals->count[i];
        most = refusals->count[i] > refusals->count[most] ? i : most;
    }
    if (!learned)
        log_write(LOG_ERROR, "%s: nothing was learned: no answer was accepted in any of %zu rounds", name,
                  rounds);
    else if (refusals->rounds > 0)
        log_write(LOG_WARNING, "%s: no answer was accepted in the last %zu of %zu rounds", name,
                  refusals->rounds, rounds);
    if (refusals->count[most] > 0)
        log_write(LOG_WARNING, "%s: %zu of %zu failed like this: %s", name, refusals->count[most], all,
                  refusals->example[most]);
}
