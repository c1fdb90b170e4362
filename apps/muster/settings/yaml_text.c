/* libyaml reads; its nodes are turned into JSON. */
#include <config.h>

#include "yaml_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "common/dataset.h"

enum { NESTING_MAX = 8, TEXT_MAX = 65536, NODES_MAX = 10000 };

struct reader {
    const char *name;
    yaml_document_t *document;
    size_t nodes; /* that were turned: an alias may stand for many */
    struct muster_error *error;
};

static json_t *refuse(const struct reader *reader, const yaml_node_t *node, const char *what)
{
    explain(reader->error, MUSTER_INVALID, "%.60s: %s, at column %zu", reader->name, what,
            node->start_mark.column + 1);
    return NULL;
}

json_t *yaml_text_plain(const char *text)
{
    char *end;
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return json_boolean(*text == 't');
    double number = strtod(text, &end);
    if (*text != '\0' && text[strspn(text, "+-.0123456789eE")] == '\0' && *end == '\0' && isfinite(number))
        return json_real(number);
    return json_string(text);
}

static json_t *turn(struct reader *reader, int index, size_t depth);

static json_t *turn_scalar(struct reader *reader, const yaml_node_t *node)
{
    static const char *const no_numbers[] = {".nan",  ".NaN",  ".NAN",  ".inf",  ".Inf",  ".INF",
                                             "-.inf", "-.Inf", "-.INF", "+.inf", "+.Inf", "+.INF"};
    const char *text = (const char *)node->data.scalar.value;
    bool plain = node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (strlen(text) != node->data.scalar.length)
        return refuse(reader, node, "there is a NUL in a text");
    for (size_t i = 0; plain && i < sizeof(no_numbers) / sizeof(*no_numbers); i++) {
        if (strcmp(text, no_numbers[i]) == 0)
            return refuse(reader, node, "expected a finite number");
    }
    json_t *value = plain ? yaml_text_plain(text) : json_string(text);
    return value ? value : refuse(reader, node, "this is not UTF-8, or there is no memory left");
}

static json_t *turn_mapping(struct reader *reader, const yaml_node_t *node, size_t depth)
{
    json_t *object = json_object();
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
    for (; object && pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(reader->document, pair->key);
        const char *name = key->type == YAML_SCALAR_NODE ? (const char *)key->data.scalar.value : NULL;
        json_t *value = NULL;
        if (!name)
            refuse(reader, key, "a key has to be a name");
        else if (json_object_get(object, name))
            refuse(reader, key, "a key is there twice");
        else
            value = turn(reader, pair->value, depth + 1);
        if (!value || json_object_set_new(object, name, value) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static json_t *turn_sequence(struct reader *reader, const yaml_node_t *node, size_t depth)
{
    json_t *array = json_array();
    const yaml_node_item_t *item = node->data.sequence.items.start;
    for (; array && item < node->data.sequence.items.top; item++) {
        json_t *value = turn(reader, *item, depth + 1);
        if (!value || json_array_append_new(array, value) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *turn(struct reader *reader, int index, size_t depth)
{
    const yaml_node_t *node = yaml_document_get_node(reader->document, index);
    if (depth > NESTING_MAX || ++reader->nodes > NODES_MAX)
        return refuse(reader, node, "this is nested too deep, or too much");
    switch (node->type) {
    case YAML_SCALAR_NODE:
        return turn_scalar(reader, node);
    case YAML_MAPPING_NODE:
        return turn_mapping(reader, node, depth);
    case YAML_SEQUENCE_NODE:
        return turn_sequence(reader, node, depth);
    default:
        return refuse(reader, node, "this is empty");
    }
}

/* Whether there is nothing behind the first document. */
static bool is_the_only_one(yaml_parser_t *parser)
{
    yaml_document_t next;
    bool only = false;
    if (yaml_parser_load(parser, &next)) {
        only = !yaml_document_get_root_node(&next);
        yaml_document_delete(&next);
    }
    return only;
}

static json_t *read_document(yaml_parser_t *parser, const char *name, struct muster_error *error)
{
    yaml_document_t document;
    json_t *value = NULL;
    if (!yaml_parser_load(parser, &document)) {
        explain(error, MUSTER_INVALID, "%.60s: %.100s, at column %zu", name,
                parser->problem ? parser->problem : "this is not YAML", parser->problem_mark.column + 1);
        return NULL;
    }
    struct reader reader = {.name = name, .document = &document, .error = error};
    explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    if (!yaml_document_get_root_node(&document))
        explain(error, MUSTER_INVALID, "%.60s: there is nothing in it", name);
    else if ((value = turn(&reader, 1, 1)) && !is_the_only_one(parser)) {
        explain(error, MUSTER_INVALID, "%.60s: there is something behind the first document", name);
        json_decref(value);
        value = NULL;
    }
    yaml_document_delete(&document);
    return value;
}

json_t *yaml_text_read(const char *name, const char *text, struct muster_error *error)
{
    yaml_parser_t parser;
    size_t size = strlen(text);
    if (size > TEXT_MAX) {
        explain(error, MUSTER_INVALID, "%.60s: longer than %d bytes", name, TEXT_MAX);
        return NULL;
    }
    if (!yaml_parser_initialize(&parser)) {
        explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
        return NULL;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    json_t *value = read_document(&parser, name, error);
    yaml_parser_delete(&parser);
    return value;
}
