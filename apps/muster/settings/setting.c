/* Texts become values here, and nowhere else; and values become JSON. */
#include <config.h>

#include "setting.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/dataset.h"

/* An enum is set through this. */
_Static_assert(sizeof(enum setting_type) == sizeof(unsigned), "an enum is as wide as an unsigned");

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

bool setting_read_number(const char *text, double *number)
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
    if (setting_read_number(text, number) && is_within(setting, *number))
        return MUSTER_OK;
    return explain(error, MUSTER_INVALID, "%s %.60s: expected a number %s", setting->key, text,
                   range_of(setting, range, sizeof(range)));
}

static enum muster_status set_long(const struct setting *setting, const char *text, uint64_t *number,
                                   struct muster_error *error)
{
    char range[80], *end;
    errno = 0;
    unsigned long long whole = strtoull(text, &end, 10);
    if (isdigit((unsigned char)*text) && *end == '\0' && errno == 0 && is_within(setting, (double)whole)) {
        *number = (uint64_t)whole;
        return MUSTER_OK;
    }
    return explain(error, MUSTER_INVALID, "%s %.60s: expected a whole number %s", setting->key, text,
                   range_of(setting, range, sizeof(range)));
}

static enum muster_status set_whole(const struct setting *setting, const char *text, size_t *number,
                                    struct muster_error *error)
{
    uint64_t whole;
    enum muster_status status = set_long(setting, text, &whole, error);
    if (status == MUSTER_OK)
        *number = (size_t)whole;
    return status;
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
    if (setting->words && strcmp(text, setting->words[0]) == 0) {
        *number = (uint64_t)setting->highest;
        return MUSTER_OK;
    }
    bool read = isdigit((unsigned char)*text) && errno == 0 && bytes <= UINT64_MAX >> shift &&
                end[unit ? 1 : 0] == '\0';
    *number = (uint64_t)bytes << shift;
    if (read && is_within(setting, (double)*number))
        return MUSTER_OK;
    return explain(error, MUSTER_INVALID,
                   "%s %.60s: expected %.0f to %.0f bytes, with K, M or G at the end%s%s", setting->key, text,
                   setting->lowest, setting->highest, setting->words ? ", or " : "",
                   setting->words ? setting->words[0] : "");
}

static enum muster_status set_flag(const struct setting *setting, const char *text, bool *flag,
                                   struct muster_error *error)
{
    *flag = strcmp(text, "true") == 0;
    if (*flag || strcmp(text, "false") == 0)
        return MUSTER_OK;
    return explain(error, MUSTER_INVALID, "%s %.60s: expected true or false", setting->key, text);
}

/* ---- words ---- */

/* "static, push or fedavg". */
static const char *list_of(const char *const *words, char *text, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; words[i] && used < size; i++) {
        const char *between = i == 0 ? "" : words[i + 1] ? ", " : " or ";
        used += (size_t)snprintf(text + used, size - used, "%s%s", between, words[i]);
    }
    return text;
}

static enum muster_status set_word(const struct setting *setting, const char *text, size_t *number,
                                   struct muster_error *error)
{
    char list[200] = "";
    for (size_t i = 0; setting->words[i]; i++) {
        *number = i;
        if (strcmp(setting->words[i], text) == 0)
            return MUSTER_OK;
    }
    return explain(error, MUSTER_INVALID, "%s %.60s: expected %s", setting->key, text,
                   list_of(setting->words, list, sizeof(list)));
}

/* ---- fields ---- */

enum muster_status setting_set(void *settings, const struct setting *setting, const char *text,
                               struct muster_error *error)
{
    char *field = (char *)settings + setting->offset;
    double number;
    size_t whole;
    enum muster_status status = MUSTER_INVALID;
    switch (setting->type) {
    case SETTING_WHOLE:
        return set_whole(setting, text, (size_t *)field, error);
    case SETTING_LONG:
        return set_long(setting, text, (uint64_t *)field, error);
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
    case SETTING_FLAG:
        return set_flag(setting, text, (bool *)field, error);
    case SETTING_WORD:
        status = set_word(setting, text, &whole, error);
        *(unsigned *)field =
            status == MUSTER_OK ? (unsigned)setting->lowest + (unsigned)whole : *(unsigned *)field;
        return status;
    case SETTING_EITHER:
        status = set_word(setting, text, &whole, error);
        *(bool *)field = status == MUSTER_OK ? whole == 1 : *(bool *)field;
        return status;
    case SETTING_TEXT:
    case SETTING_SINKS:
        break;
    }
    return status;
}

static json_t *sinks_value(const struct setting_sinks *sinks)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < sinks->count; i++) {
        if (json_array_append_new(list, json_string(sinks->list[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

json_t *setting_value(const void *settings, const struct setting *setting)
{
    const char *field = (const char *)settings + setting->offset;
    const char *text = NULL;
    switch (setting->type) {
    case SETTING_WHOLE:
        return json_integer((json_int_t) * (const size_t *)field);
    case SETTING_NUMBER:
        return json_real(*(const double *)field);
    case SETTING_SECONDS:
        return json_real((double)*(const int64_t *)field / 1000);
    case SETTING_BYTES:
    case SETTING_LONG:
        return json_integer((json_int_t) * (const uint64_t *)field);
    case SETTING_WAIT:
        return json_integer(*(const int32_t *)field);
    case SETTING_FLAG:
        return json_boolean(*(const bool *)field);
    case SETTING_SINKS:
        return sinks_value((const struct setting_sinks *)field);
    case SETTING_WORD:
        if (*(const unsigned *)field < (unsigned)setting->lowest)
            return json_null();
        return json_string(setting->words[*(const unsigned *)field - (unsigned)setting->lowest]);
    case SETTING_EITHER:
        return json_string(setting->words[*(const bool *)field ? 1 : 0]);
    case SETTING_TEXT:
        text = *(const char *const *)field;
        break;
    }
    return text ? json_string(text) : json_null();
}

const char *setting_monitor_fault(const char *address)
{
    (void)address;
#ifdef HAVE_MONITOR
    return NULL;
#else
    return "this build has no monitor: configure it --with-monitor";
#endif
}
