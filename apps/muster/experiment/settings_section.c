/* Settings that a program of muster takes, in a section of the file: each is set as the program would set it, and what that
 * does not like is told at its place. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draft.h"
#include "settings/kind.h"

struct section_settings {
    const struct settings_kind *kind;
    const char *section;
    const struct tree *node;
    const struct owned_setting *owned;
    /* What the file says. */
    struct texts keys, values;
};

/* A walk through the keys of a mapping. */
struct walk {
    struct draft *draft;
    const struct settings_kind *kind;
    const struct layout *layout; /* keys that are no settings, on the first level */
    const struct owned_setting *owned;
    const char *place; /* "server." */
    void *scratch;
    struct texts *keys, *values;
};

static const struct owned_setting *find_owned(const struct owned_setting *owned, const char *key)
{
    for (; owned && owned->key; owned++) {
        if (strcmp(owned->key, key) == 0)
            return owned;
    }
    return NULL;
}

/* A list as the programs take it: its texts with commas between them. NULL: it has something else in it. */
static const char *join(struct draft *draft, const struct tree *list)
{
    size_t size = 0;
    for (const struct tree *child = list->first; child; child = child->next) {
        if (child->type != TREE_TEXT)
            return NULL;
        size += strlen(child->text) + 1;
    }
    char *joined = memory_take(draft->memory, size + 1, 1), *end = joined;
    for (const struct tree *child = list->first; child; child = child->next) {
        if (child != list->first)
            *end++ = ',';
        end = stpcpy(end, child->text);
    }
    return joined;
}

/* The value of a setting as a text; NULL after a mistake. */
static const char *text_of(const struct walk *walk, const char *key, const struct tree *node)
{
    const char *text = NULL;
    if (strcmp(key, "train.for") == 0) {
        json_t *json = tree_json(node, true);
        char *dumped = json ? json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
        text = dumped ? memory_copy(walk->draft->memory, dumped) : NULL;
        free(dumped);
        json_decref(json);
    } else if (node->type == TREE_LIST) {
        text = join(walk->draft, node);
    } else {
        text = tree_text(node);
    }
    if (!text)
        mistakes_at(&walk->draft->mistakes, node, "%s%s: expected a value", walk->place, key);
    return text;
}

static void set(const struct walk *walk, const char *key, const struct tree *node)
{
    struct mistakes *mistakes = &walk->draft->mistakes;
    const struct owned_setting *owned = find_owned(walk->owned, key);
    struct muster_error error;
    if (owned) {
        mistakes_at_name(mistakes, node, "%s%s: the launcher sets this; %s", walk->place, key,
                         owned->instead);
        return;
    }
    bool known =
        kind_find(walk->kind, key) || strncmp(key, "train.", 6) == 0 || strncmp(key, "strategy.", 9) == 0;
    if (!known) {
        layout_refuse(walk->layout, walk->kind->section, node, walk->place, key, mistakes);
        return;
    }
    for (size_t i = 0; i < walk->keys->count; i++) {
        if (strcmp(walk->keys->list[i], key) == 0) {
            mistakes_at_name(mistakes, node, "%s%s: this is there twice, nested and with dots", walk->place,
                             key);
            return;
        }
    }
    const char *text = text_of(walk, key, node);
    if (!text)
        return;
    if (kind_set(walk->kind, walk->scratch, key, text, &error) != MUSTER_OK) {
        mistakes_at(mistakes, node, "%s%s", walk->place, error.text);
        return;
    }
    texts_add(walk->draft->memory, walk->keys, key);
    texts_add(walk->draft->memory, walk->values, text);
}

static void visit(const struct walk *walk, const char *prefix, const struct tree *mapping)
{
    for (const struct tree *child = mapping->first; child; child = child->next) {
        const char *key = memory_format(walk->draft->memory, "%s%s", prefix, child->name);
        if (*prefix == '\0' && layout_find(walk->layout, key))
            continue;
        if (child->type == TREE_MAPPING && !kind_find(walk->kind, key))
            visit(walk, memory_format(walk->draft->memory, "%s.", key), child);
        else
            set(walk, key, child);
    }
}

/* The node of the key that a message begins with; `section` when there is none. */
static const struct tree *find_place(const struct tree *section, const char *text)
{
    const struct tree *node = section;
    char key[128];
    snprintf(key, sizeof(key), "%.*s", (int)strcspn(text, ": "), text);
    for (char *rest = key; *rest != '\0';) {
        const struct tree *found = NULL;
        size_t length = 0;
        for (const struct tree *child = node->type == TREE_MAPPING ? node->first : NULL; child;
             child = child->next) {
            size_t size = strlen(child->name);
            if (size > length && strncmp(child->name, rest, size) == 0 &&
                (rest[size] == '.' || rest[size] == '\0')) {
                found = child;
                length = size;
            }
        }
        if (!found)
            return node;
        node = found;
        rest += length;
        rest += *rest == '.';
    }
    return node;
}

/* ---- what is resolved ---- */

/* What is not set, and has no value that could be said, is left out. */
static void resolve_row(const struct walk *walk, const struct setting *row, json_t *all)
{
    void *scratch = kind_new(walk->kind);
    struct muster_error error;
    json_t *value = setting_value(walk->scratch, row);
    char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    const char *written = text ? text : json_string_value(value);
    if (!json_is_null(value) && scratch && written &&
        kind_set(walk->kind, scratch, row->key, written, &error) == MUSTER_OK)
        json_object_set(all, row->key, value);
    json_decref(value);
    free(text);
    kind_free(walk->kind, scratch);
}

static void resolve(const struct walk *walk, const struct tree *node)
{
    json_t *all = json_object();
    for (const struct layout *key = walk->layout; key->key; key++) {
        const struct tree *said = tree_get(node, key->key);
        if (said)
            json_object_set_new(all, key->key, tree_json(said, false));
    }
    for (size_t i = 0; walk->kind->row(i); i++) {
        const struct setting *row = walk->kind->row(i);
        if (row->type != SETTING_SINKS && !find_owned(walk->owned, row->key) &&
            !layout_find(walk->layout, row->key))
            resolve_row(walk, row, all);
    }
    /* Those without a row. */
    for (size_t i = 0; i < walk->keys->count; i++) {
        const char *key = walk->keys->list[i];
        const struct tree *said = find_place(node, key);
        if (!kind_find(walk->kind, key))
            json_object_set_new(all, key, tree_json(said, true));
    }
    json_object_set_new(walk->draft->resolved, walk->kind->section, all);
}

struct section_settings *settings_section_read(struct draft *draft, const char *kind, const char *section,
                                               const struct layout *keys, const struct owned_setting *owned)
{
    static const struct tree nothing = {.type = TREE_MAPPING};
    struct section_settings *settings = memory_take(draft->memory, 1, sizeof(*settings));
    const struct tree *said = tree_get(draft->root, section), *node = said ? said : &nothing;
    size_t before = draft->mistakes.count;
    struct muster_error error;
    char place[64];
    settings->kind = kind_of_section(kind);
    if (!settings->kind) {
        mistakes_at_name(&draft->mistakes, node, "%s: this build of muster has no such part", section);
        return NULL;
    }
    settings->section = section;
    settings->node = node;
    settings->owned = owned;
    void *scratch = kind_new(settings->kind);
    if (!scratch) {
        mistakes_add(&draft->mistakes, (struct place){0}, "out of memory");
        return NULL;
    }
    snprintf(place, sizeof(place), "%s.", section);
    struct walk walk = {draft,           settings->kind,   keys, owned, place, scratch,
                        &settings->keys, &settings->values};
    if (node->type == TREE_MAPPING)
        visit(&walk, "", node);
    for (; owned && owned->key; owned++) {
        if (owned->text && kind_set(settings->kind, scratch, owned->key, owned->text, &error) != MUSTER_OK)
            mistakes_at_name(&draft->mistakes, node, "%s.%s", section, error.text);
    }
    if (draft->mistakes.count == before && kind_check(settings->kind, scratch, &error) != MUSTER_OK)
        mistakes_at(&draft->mistakes, find_place(node, error.text), "%s.%s", section, error.text);
    resolve(&walk, node);
    kind_free(settings->kind, scratch);
    return draft->mistakes.count == before ? settings : NULL;
}

void settings_section_check_rules(struct draft *draft, const struct section_settings *settings,
                                  const struct layout *rule_keys)
{
    const struct tree *rules = tree_get(settings->node, "for");
    for (const struct tree *rule = rules ? rules->first : NULL; rule; rule = rule->next) {
        struct texts keys = {0}, values = {0};
        char place[64];
        void *scratch = kind_new(settings->kind);
        snprintf(place, sizeof(place), "%s.for: ", settings->section);
        struct walk walk = {draft, settings->kind, rule_keys, settings->owned,
                            place, scratch,        &keys,     &values};
        if (scratch && rule->type == TREE_MAPPING)
            visit(&walk, "", rule);
        kind_free(settings->kind, scratch);
    }
}

const char *settings_section_value(const struct section_settings *settings, const char *key)
{
    for (size_t i = settings->keys.count; i-- > 0;) {
        if (strcmp(settings->keys.list[i], key) == 0)
            return settings->values.list[i];
    }
    return NULL;
}

void settings_section_add(struct draft *draft, struct texts *arguments, const char *key, const char *value)
{
    texts_add(draft->memory, arguments, "--set");
    texts_add(draft->memory, arguments, memory_format(draft->memory, "%s=%s", key, value));
}

/* Whether a rule says this key. */
static bool rule_says(const struct tree *rule, const char *key)
{
    return tree_get(rule, key) != NULL;
}

void settings_section_arguments(struct draft *draft, const struct section_settings *settings,
                                const struct tree *rule, struct texts *arguments)
{
    for (size_t i = 0; i < settings->keys.count; i++) {
        if (!rule_says(rule, settings->keys.list[i]))
            settings_section_add(draft, arguments, settings->keys.list[i], settings->values.list[i]);
    }
    for (const struct tree *child = rule ? rule->first : NULL; child; child = child->next) {
        const char *value = child->type == TREE_LIST ? join(draft, child) : tree_text(child);
        if (kind_find(settings->kind, child->name) && value)
            settings_section_add(draft, arguments, child->name, value);
    }
}
