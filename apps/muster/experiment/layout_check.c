/* A file is held against the tables. */
#include <config.h>

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layout.h"
#include "settings/kind.h"
#include "settings/nearest.h"

enum { RANK_MAX = 1000000 };

const struct layout *layout_find(const struct layout *keys, const char *key)
{
    for (; keys->key; keys++) {
        if (strcmp(keys->key, key) == 0)
            return keys;
    }
    return NULL;
}

bool layout_read_ranks(const char *text, size_t *first, size_t *last)
{
    char *end;
    if (!isdigit((unsigned char)*text))
        return false;
    *first = *last = strtoul(text, &end, 10);
    if (*end == '-' && isdigit((unsigned char)end[1]))
        *last = strtoul(end + 1, &end, 10);
    return *end == '\0' && *first <= *last && *last <= RANK_MAX;
}

/* ---- keys ---- */

void layout_refuse(const struct layout *keys, const char *kind, const struct tree *node, const char *place,
                   const char *name, struct mistakes *mistakes)
{
    const struct settings_kind *settings = kind ? kind_of_section(kind) : NULL;
    struct nearest nearest;
    nearest_begin(&nearest, name);
    for (; keys->key; keys++)
        nearest_look(&nearest, keys->key);
    for (size_t i = 0; settings && settings->row(i); i++)
        nearest_look(&nearest, settings->row(i)->key);
    if (nearest.name)
        mistakes_at_name(mistakes, node, "%s%.60s: there is no such key; did you mean %s?", place, name,
                         nearest.name);
    else
        mistakes_at_name(mistakes, node, "%s%.60s: there is no such key; docs/experiments.md lists them",
                         place, name);
}

static void check_needed(const struct layout *keys, const struct tree *mapping, const char *place,
                         struct mistakes *mistakes)
{
    for (; keys->key; keys++) {
        if (keys->needed && !tree_get(mapping, keys->key))
            mistakes_at(mistakes, mapping, "%s%s is missing: %s", place, keys->key, keys->help);
    }
}

/* ---- values ---- */

static void expect(const struct tree *node, const char *place, const char *what, struct mistakes *mistakes)
{
    static const char *const types[] = {[TREE_EMPTY] = "nothing",
                                        [TREE_TEXT] = "a value",
                                        [TREE_LIST] = "a list",
                                        [TREE_MAPPING] = "a mapping"};
    if (node->type == TREE_TEXT)
        mistakes_at(mistakes, node, "%s %.60s: expected %s", place, node->text, what);
    else
        mistakes_at(mistakes, node, "%s: expected %s, and this is %s", place, what, types[node->type]);
}

static void check_number(const struct layout *entry, const struct tree *node, const char *place,
                         struct mistakes *mistakes)
{
    char wanted[120];
    bool whole = entry->type == LAYOUT_WHOLE;
    const char *text = tree_text(node);
    double number = text && tree_is_number(node) ? strtod(text, NULL) : NAN;
    if (number >= entry->lowest && number <= entry->highest &&
        (!whole || text[strspn(text, "0123456789")] == '\0'))
        return;
    bool quoted = text && !node->plain && *text != '\0' && text[strspn(text, "-.0123456789")] == '\0';
    snprintf(wanted, sizeof(wanted), "a %snumber from %g to %.16g%s", whole ? "whole " : "", entry->lowest,
             entry->highest, quoted ? ", without quotes" : "");
    expect(node, place, wanted, mistakes);
}

static void check_word(const struct layout *entry, const struct tree *node, const char *place,
                       struct mistakes *mistakes)
{
    char wanted[120] = "";
    for (size_t i = 0; entry->words[i]; i++) {
        if (node->type == TREE_TEXT && strcmp(node->text, entry->words[i]) == 0)
            return;
        const char *before = i == 0 ? "" : entry->words[i + 1] ? ", " : " or ";
        snprintf(wanted + strlen(wanted), sizeof(wanted) - strlen(wanted), "%s%s", before, entry->words[i]);
    }
    if (entry->type == LAYOUT_WORD_OR_LIST)
        snprintf(wanted + strlen(wanted), sizeof(wanted) - strlen(wanted), ", or a list");
    expect(node, place, wanted, mistakes);
}

static void check_text(const struct tree *node, const char *place, struct mistakes *mistakes)
{
    if (node->type != TREE_TEXT)
        expect(node, place, "a text", mistakes);
}

static void check_texts(const struct tree *node, const char *place, struct mistakes *mistakes)
{
    if (node->type != TREE_LIST)
        expect(node, place, "a list, such as [a, b]", mistakes);
    else
        for (const struct tree *child = node->first; child; child = child->next)
            check_text(child, place, mistakes);
}

static bool is_taken(const char *name)
{
    static const char *const taken[] = {"MUSTER_NAME",   "MUSTER_RANK", "MUSTER_COUNT",
                                        "MUSTER_SERVER", "MUSTER_RUN",  "MUSTER_SEED"};
    for (size_t i = 0; i < sizeof(taken) / sizeof(*taken); i++) {
        if (strcmp(name, taken[i]) == 0)
            return true;
    }
    return false;
}

static void check_environment(const struct tree *node, const char *place, struct mistakes *mistakes)
{
    if (node->type != TREE_MAPPING) {
        expect(node, place, "a mapping, such as {NAME: VALUE}", mistakes);
        return;
    }
    for (const struct tree *child = node->first; child; child = child->next) {
        if (strchr(child->name, '=') || isdigit((unsigned char)*child->name))
            mistakes_at_name(mistakes, child, "%s: %.60s is no name of a variable", place, child->name);
        else if (is_taken(child->name))
            mistakes_at_name(mistakes, child, "%s: %.60s: the launcher itself sets this one", place,
                             child->name);
        else if (child->type != TREE_TEXT)
            expect(child, place, "a text for each name", mistakes);
    }
}

static void check_ranks(const struct tree *node, const char *place, struct mistakes *mistakes)
{
    size_t first, last;
    if (node->type == TREE_LIST && node->count > 0) {
        for (const struct tree *child = node->first; child; child = child->next) {
            if (child->type != TREE_TEXT || !layout_read_ranks(child->text, &first, &last))
                expect(child, place, "3 or 0-3", mistakes);
        }
    } else if (node->type != TREE_TEXT || !layout_read_ranks(node->text, &first, &last)) {
        expect(node, place, "3, 0-3, or a list of those", mistakes);
    }
}

static void check_list(const struct layout *entry, const struct tree *node, const char *place,
                       struct mistakes *mistakes)
{
    size_t i = 0;
    for (const struct tree *child = node->first; child; child = child->next) {
        char name[200];
        snprintf(name, sizeof(name), "%.180s.%zu", place, i++);
        if (child->type != TREE_MAPPING) {
            expect(child, name, "a mapping", mistakes);
            continue;
        }
        snprintf(name + strlen(name), sizeof(name) - strlen(name), ".");
        layout_check(entry->keys, entry->kind, child, name, mistakes);
    }
}

static void check_mapping(const struct layout *entry, const struct tree *node, const char *place,
                          struct mistakes *mistakes)
{
    char name[200];
    snprintf(name, sizeof(name), "%.190s.", place);
    if (node->type == TREE_MAPPING || node->type == TREE_EMPTY)
        layout_check(entry->keys, entry->kind, node, name, mistakes);
    else
        expect(node, place, "a mapping", mistakes);
}

static void check_value(const struct layout *entry, const struct tree *node, const char *place,
                        struct mistakes *mistakes)
{
    switch (entry->type) {
    case LAYOUT_TEXT:
        check_text(node, place, mistakes);
        break;
    case LAYOUT_WHOLE:
    case LAYOUT_NUMBER:
        check_number(entry, node, place, mistakes);
        break;
    case LAYOUT_FLAG:
        if (!tree_is_flag(node))
            expect(node, place, "true or false", mistakes);
        break;
    case LAYOUT_WORD:
        check_word(entry, node, place, mistakes);
        break;
    case LAYOUT_TEXTS:
        check_texts(node, place, mistakes);
        break;
    case LAYOUT_ENVIRONMENT:
        check_environment(node, place, mistakes);
        break;
    case LAYOUT_RANKS:
        check_ranks(node, place, mistakes);
        break;
    case LAYOUT_MAPPING:
        check_mapping(entry, node, place, mistakes);
        break;
    case LAYOUT_LIST:
        if (node->type == TREE_LIST)
            check_list(entry, node, place, mistakes);
        else
            expect(node, place, "a list", mistakes);
        break;
    case LAYOUT_ONE_OR_LIST:
        if (node->type == TREE_LIST)
            check_list(entry, node, place, mistakes);
        else
            check_mapping(entry, node, place, mistakes);
        break;
    case LAYOUT_WORD_OR_LIST:
        if (node->type == TREE_LIST)
            check_list(entry, node, place, mistakes);
        else
            check_word(entry, node, place, mistakes);
        break;
    }
}

void layout_check(const struct layout *keys, const char *kind, const struct tree *mapping, const char *place,
                  struct mistakes *mistakes)
{
    for (const struct tree *child = mapping->first; child; child = child->next) {
        char name[200];
        const struct layout *entry = layout_find(keys, child->name);
        snprintf(name, sizeof(name), "%.100s%.90s", place, child->name);
        if (entry)
            check_value(entry, child, name, mistakes);
        else if (!kind)
            layout_refuse(keys, kind, child, place, child->name, mistakes);
    }
    check_needed(keys, mapping, place, mistakes);
}
