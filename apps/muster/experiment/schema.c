/* Made from the tables that files are checked by. A value may also be a text with ${NAME} in it, or a list where the program
 * takes values with commas between them, so that each setting allows that. */
#include <config.h>

#include "schema.h"

#include <math.h>
#include <string.h>

#include "layout.h"
#include "settings/kind.h"

static json_t *properties_of(const struct layout *keys, const char *kind);

/* What comes from the environment. */
static json_t *from_environment(void)
{
    return json_pack("{s:s, s:s}", "type", "string", "pattern", "\\$\\{");
}

/* One of these. */
static json_t *any_of(json_t *first, json_t *second)
{
    return json_pack("{s:[o, o]}", "anyOf", first, second);
}

static json_t *number(const char *type, double lowest, double highest, bool above)
{
    json_t *schema = json_pack("{s:s}", "type", type);
    if (isfinite(lowest))
        json_object_set_new(schema, above ? "exclusiveMinimum" : "minimum", json_real(lowest));
    if (isfinite(highest))
        json_object_set_new(schema, "maximum", json_real(highest));
    return schema;
}

static json_t *scalar(void)
{
    return json_pack("{s:[s, s, s]}", "type", "string", "number", "boolean");
}

static json_t *list_of(json_t *items)
{
    return json_pack("{s:s, s:o}", "type", "array", "items", items);
}

static json_t *words(const char *const *list)
{
    json_t *all = json_array();
    for (size_t i = 0; list[i]; i++)
        json_array_append_new(all, json_string(list[i]));
    return json_pack("{s:o}", "enum", all);
}

/* ---- settings ---- */

static json_t *setting_schema(const struct setting *row)
{
    switch (row->type) {
    case SETTING_WHOLE:
    case SETTING_LONG:
    case SETTING_WAIT:
        return any_of(number("integer", row->lowest, row->highest, row->above), from_environment());
    case SETTING_NUMBER:
    case SETTING_SECONDS:
        return any_of(number("number", row->lowest, row->highest, row->above), from_environment());
    case SETTING_FLAG:
        return any_of(json_pack("{s:s}", "type", "boolean"), from_environment());
    case SETTING_WORD:
    case SETTING_EITHER:
        return any_of(words(row->words), from_environment());
    case SETTING_BYTES:
        return json_pack("{s:[s, s]}", "type", "string", "integer");
    case SETTING_TEXT:
    case SETTING_SINKS:
        break;
    }
    return any_of(scalar(), list_of(scalar()));
}

/* The object that a dotted key lies in, and the rest of the key. */
static json_t *descend(json_t *properties, const char **key)
{
    const char *dot;
    while ((dot = strchr(*key, '.'))) {
        char name[64];
        size_t length = (size_t)(dot - *key);
        if (length >= sizeof(name))
            break;
        memcpy(name, *key, length);
        name[length] = '\0';
        json_t *inner = json_object_get(properties, name);
        if (!inner) {
            inner = json_pack("{s:s, s:{}, s:b}", "type", "object", "properties", "additionalProperties", 0);
            json_object_set_new(properties, name, inner);
        }
        properties = json_object_get(inner, "properties");
        *key = dot + 1;
    }
    return properties;
}

/* Both forms: nested, and with dots. */
static void add_setting(json_t *properties, const struct setting *row)
{
    const char *key = row->key;
    json_t *schema = setting_schema(row);
    json_object_set_new(schema, "description", json_string(row->help));
    json_object_set(properties, row->key, schema);
    json_t *inner = descend(properties, &key);
    json_object_set(inner, key, schema);
    json_decref(schema);
}

/* What each strategy has, and what participants are told, has names that no table knows. */
static void open_prefixes(json_t *properties)
{
    json_t *strategy = json_object_get(properties, "strategy");
    json_object_set_new(strategy, "additionalProperties",
                        any_of(number("number", -INFINITY, INFINITY, false), from_environment()));
    json_object_set_new(
        properties, "train",
        json_pack("{s:s, s:s}", "type", "object", "description",
                  "What participants are told besides the model; `for` has rules for some of them"));
}

/* ---- entries ---- */

static json_t *object(const struct layout *keys, const char *kind)
{
    json_t *schema = json_pack("{s:s, s:o, s:b}", "type", "object", "properties", properties_of(keys, kind),
                               "additionalProperties", 0);
    json_t *needed = json_array();
    for (const struct layout *key = keys; key->key; key++) {
        if (key->needed)
            json_array_append_new(needed, json_string(key->key));
    }
    if (json_array_size(needed) > 0)
        json_object_set(schema, "required", needed);
    json_decref(needed);
    /* Keys with dots, of strategies and of what participants are told. */
    if (kind && strcmp(kind, "server") == 0)
        json_object_set_new(schema, "patternProperties", json_pack("{s:{}}", "^(strategy|train)\\."));
    return schema;
}

static json_t *entry_schema(const struct layout *entry)
{
    switch (entry->type) {
    case LAYOUT_WHOLE:
        return any_of(number("integer", entry->lowest, entry->highest, false), from_environment());
    case LAYOUT_NUMBER:
        return any_of(number("number", entry->lowest, entry->highest, false), from_environment());
    case LAYOUT_FLAG:
        return any_of(json_pack("{s:s}", "type", "boolean"), from_environment());
    case LAYOUT_WORD:
        return any_of(words(entry->words), from_environment());
    case LAYOUT_TEXTS:
        return list_of(scalar());
    case LAYOUT_ENVIRONMENT:
        return json_pack("{s:s, s:o}", "type", "object", "additionalProperties", scalar());
    case LAYOUT_RANKS:
        return any_of(json_pack("{s:[s, s]}", "type", "string", "integer"),
                      list_of(json_pack("{s:[s, s]}", "type", "string", "integer")));
    case LAYOUT_MAPPING:
        return object(entry->keys, entry->kind);
    case LAYOUT_LIST:
        return list_of(object(entry->keys, entry->kind));
    case LAYOUT_ONE_OR_LIST:
        return any_of(object(entry->keys, entry->kind), list_of(object(entry->keys, entry->kind)));
    case LAYOUT_WORD_OR_LIST:
        return any_of(words(entry->words), list_of(object(entry->keys, entry->kind)));
    case LAYOUT_TEXT:
        break;
    }
    return scalar();
}

static json_t *properties_of(const struct layout *keys, const char *kind)
{
    json_t *properties = json_object();
    const struct settings_kind *settings = kind ? kind_of_section(kind) : NULL;
    for (size_t i = 0; settings && settings->row(i); i++)
        add_setting(properties, settings->row(i));
    if (kind && strcmp(kind, "server") == 0)
        open_prefixes(properties);
    for (; keys->key; keys++) {
        json_t *schema = entry_schema(keys);
        json_object_set_new(schema, "description", json_string(keys->help));
        json_object_set_new(properties, keys->key, schema);
    }
    return properties;
}

json_t *schema_new(void)
{
    json_t *schema = object(layout_file, NULL);
    json_object_set_new(schema, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"));
    json_object_set_new(schema, "title", json_string("An experiment of muster"));
    json_object_set_new(schema, "oneOf",
                        json_pack("[{s:[s]}, {s:[s]}, {s:[s]}]", "required", "server", "required", "nodes",
                                  "required", "vertical"));
    return schema;
}
