/* The texts that settings own, and their keys. */
#include <config.h>

#include "kind.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/dataset.h"
#include "nearest.h"

struct kept_text {
    struct kept_text *next;
    char text[];
};

static struct kept_text **texts_of(const struct settings_kind *kind, void *settings)
{
    return (struct kept_text **)((char *)settings + kind->texts);
}

const char *kind_keep(const struct settings_kind *kind, void *settings, const char *text)
{
    struct kept_text **texts = texts_of(kind, settings);
    size_t size = strlen(text) + 1;
    struct kept_text *kept = malloc(sizeof(*kept) + size);
    if (!kept)
        return NULL;
    memcpy(kept->text, text, size);
    kept->next = *texts;
    *texts = kept;
    return kept->text;
}

void *kind_new(const struct settings_kind *kind)
{
    void *settings = malloc(kind->size);
    if (settings)
        kind->init(settings);
    return settings;
}

void kind_clear(const struct settings_kind *kind, void *settings)
{
    struct kept_text **texts = texts_of(kind, settings);
    while (*texts) {
        struct kept_text *next = (*texts)->next;
        free(*texts);
        *texts = next;
    }
    if (kind->clear)
        kind->clear(settings);
}

void kind_free(const struct settings_kind *kind, void *settings)
{
    if (settings)
        kind_clear(kind, settings);
    free(settings);
}

/* ---- texts ---- */

static enum muster_status keep(const struct settings_kind *kind, void *settings, const char *text,
                               const char **place, struct muster_error *error)
{
    const char *kept = kind_keep(kind, settings, text);
    if (!kept)
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    *place = kept;
    return MUSTER_OK;
}

static enum muster_status set_text(const struct settings_kind *kind, void *settings,
                                   const struct setting *setting, const char *text,
                                   struct muster_error *error)
{
    const char *fault = *text == '\0' ? NULL : setting->fault ? setting->fault(text) : NULL;
    if (*text == '\0')
        return explain(error, MUSTER_INVALID, "%s: a text is missing", setting->key);
    if (fault)
        return explain(error, MUSTER_INVALID, "%s %.60s: %s", setting->key, text, fault);
    return keep(kind, settings, text, (const char **)((char *)settings + setting->offset), error);
}

static enum muster_status add_sink(const struct settings_kind *kind, void *settings,
                                   const struct setting *setting, const char *text,
                                   struct muster_error *error)
{
    struct setting_sinks *sinks = (struct setting_sinks *)((char *)settings + setting->offset);
#ifndef HAVE_RECORD
    return explain(error, MUSTER_UNSUPPORTED,
                   "record %.60s: this build has no records: configure it --with-record", text);
#endif
    if (sinks->count == SINKS_MAX)
        return explain(error, MUSTER_INVALID, "record %.60s: there is room for %d of them", text, SINKS_MAX);
    enum muster_status status = keep(kind, settings, text, &sinks->list[sinks->count], error);
    sinks->count += status == MUSTER_OK;
    return status;
}

/* ---- keys ---- */

const struct setting *kind_find(const struct settings_kind *kind, const char *key)
{
    for (size_t i = 0; kind->row(i); i++) {
        if (strcmp(kind->row(i)->key, key) == 0)
            return kind->row(i);
    }
    return NULL;
}

static enum muster_status refuse_key(const struct settings_kind *kind, const char *key,
                                     struct muster_error *error)
{
    struct nearest nearest;
    nearest_begin(&nearest, key);
    for (size_t i = 0; kind->row(i); i++)
        nearest_look(&nearest, kind->row(i)->key);
    if (nearest.name)
        return explain(error, MUSTER_INVALID, "%.60s: there is no such setting; %s is one", key,
                       nearest.name);
    return explain(error, MUSTER_INVALID, "%.60s: there is no such setting; --help lists them%s", key,
                   kind->hint ? kind->hint : "");
}

enum muster_status kind_set(const struct settings_kind *kind, void *settings, const char *key,
                            const char *text, struct muster_error *error)
{
    const struct setting *setting = kind_find(kind, key);
    bool known = false;
    if (!setting) {
        enum muster_status status =
            kind->other ? kind->other(settings, key, text, &known, error) : MUSTER_INVALID;
        return known ? status : refuse_key(kind, key, error);
    }
    if (setting->type == SETTING_TEXT)
        return set_text(kind, settings, setting, text, error);
    if (setting->type == SETTING_SINKS)
        return add_sink(kind, settings, setting, text, error);
    return setting_set(settings, setting, text, error);
}

enum muster_status kind_assign(const struct settings_kind *kind, void *settings, const char *assignment,
                               struct muster_error *error)
{
    const char *equals = strchr(assignment, '=');
    char key[128];
    if (!equals || equals == assignment)
        return explain(error, MUSTER_INVALID, "%.60s: expected KEY=VALUE, such as train.lr=0.1", assignment);
    if ((size_t)(equals - assignment) >= sizeof(key))
        return explain(error, MUSTER_INVALID, "%.60s: the key is too long", assignment);
    snprintf(key, sizeof(key), "%.*s", (int)(equals - assignment), assignment);
    return kind_set(kind, settings, key, equals + 1, error);
}

enum muster_status kind_check(const struct settings_kind *kind, void *settings, struct muster_error *error)
{
    return kind->check ? kind->check(settings, error) : MUSTER_OK;
}
