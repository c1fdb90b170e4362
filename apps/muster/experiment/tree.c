/* libyaml reads; its nodes become ours. Aliases are what they stand for, within the bounds. */
#include <config.h>

#include "tree.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "mistakes.h"

/* A mapping is searched from its beginning, and so it is short. */
enum { NODES_MAX = 20000, KEYS_MAX = 1000, TEXTS_MAX = 4 * TREE_BYTES_MAX };

struct reader {
    struct memory *memory;
    struct mistakes *mistakes;
    yaml_document_t *document;
    size_t nodes, bytes; /* that were made: an alias may stand for many */
};

/* ---- what a tree is asked ---- */

struct tree *tree_get(const struct tree *mapping, const char *name)
{
    struct tree *child = mapping && mapping->type == TREE_MAPPING ? mapping->first : NULL;
    while (child && strcmp(child->name, name) != 0)
        child = child->next;
    return child;
}

struct tree *tree_at(const struct tree *list, size_t index)
{
    struct tree *child = list->type == TREE_LIST && index < list->count ? list->first : NULL;
    while (child && index-- > 0)
        child = child->next;
    return child;
}

struct tree *tree_add(struct memory *memory, struct tree *parent, const char *name, struct place place)
{
    struct tree *child = memory_take(memory, 1, sizeof(*child));
    child->name = name;
    child->name_place = child->place = place;
    parent->type = name ? TREE_MAPPING : TREE_LIST;
    parent->count++;
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    return child;
}

const char *tree_text(const struct tree *node)
{
    return node && node->type == TREE_TEXT ? node->text : NULL;
}

bool tree_is_flag(const struct tree *node)
{
    return node->type == TREE_TEXT && node->plain &&
           (strcmp(node->text, "true") == 0 || strcmp(node->text, "false") == 0);
}

bool tree_is_number(const struct tree *node)
{
    char *end;
    if (node->type != TREE_TEXT || !node->plain || node->text[strspn(node->text, "+-.0123456789eE")] != '\0')
        return false;
    double number = strtod(node->text, &end);
    return end != node->text && *end == '\0' && isfinite(number);
}

static bool is_whole(const char *text)
{
    size_t length = strlen(text);
    return length > 0 && length < 19 && strspn(text, "0123456789") == length && (*text != '0' || length == 1);
}

static json_t *scalar_json(const struct tree *node, bool numbers)
{
    char written[40];
    if (tree_is_flag(node))
        return json_boolean(*node->text == 't');
    if (node->plain && is_whole(node->text))
        return json_integer(strtoll(node->text, NULL, 10));
    if (!tree_is_number(node))
        return json_string(node->text);
    double number = strtod(node->text, NULL);
    snprintf(written, sizeof(written), "%.15g", number);
    return numbers || strcmp(written, node->text) == 0 ? json_real(number) : json_string(node->text);
}

json_t *tree_json(const struct tree *node, bool numbers)
{
    if (node->type == TREE_EMPTY)
        return json_null();
    if (node->type == TREE_TEXT)
        return scalar_json(node, numbers);
    json_t *all = node->type == TREE_LIST ? json_array() : json_object();
    for (const struct tree *child = node->first; child; child = child->next) {
        if (node->type == TREE_LIST)
            json_array_append_new(all, tree_json(child, numbers));
        else
            json_object_set_new(all, child->name, tree_json(child, numbers));
    }
    return all;
}

/* ---- reading ---- */

static struct place place_of(const yaml_mark_t *mark)
{
    return (struct place){mark->line + 1, mark->column + 1, NULL};
}

static bool refuse_size(struct mistakes *mistakes, struct place place)
{
    mistakes_add(mistakes, place,
                 "this is nested too deep, or too much: at most %d levels, %d values and %d bytes",
                 TREE_NESTING_MAX, NODES_MAX, TEXTS_MAX);
    return false;
}

static bool fill(struct reader *reader, struct tree *tree, int index, size_t depth);

static bool fill_scalar(struct reader *reader, struct tree *tree, const yaml_node_t *node)
{
    static const char *const nothing[] = {"", "~", "null", "Null", "NULL"};
    tree->type = TREE_TEXT;
    tree->plain = node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    reader->bytes += node->data.scalar.length;
    if (reader->bytes > TEXTS_MAX)
        return refuse_size(reader->mistakes, tree->place);
    tree->text = memory_text(reader->memory, (const char *)node->data.scalar.value, node->data.scalar.length);
    for (size_t i = 0; tree->plain && i < sizeof(nothing) / sizeof(*nothing); i++) {
        if (strcmp(tree->text, nothing[i]) == 0)
            tree->type = TREE_EMPTY;
    }
    if (strlen(tree->text) == node->data.scalar.length)
        return true;
    mistakes_at(reader->mistakes, tree, "there is a NUL in this text");
    return false;
}

static bool fill_sequence(struct reader *reader, struct tree *tree, const yaml_node_t *node, size_t depth)
{
    const yaml_node_item_t *item = node->data.sequence.items.start;
    tree->type = TREE_LIST;
    for (; item < node->data.sequence.items.top; item++) {
        struct tree *child = tree_add(reader->memory, tree, NULL, tree->place);
        if (!fill(reader, child, *item, depth + 1))
            return false;
    }
    return true;
}

/* NULL after a mistake: what is wrong with one key keeps nobody from reading the others. */
static const char *key_of(struct reader *reader, const struct tree *tree, const yaml_node_t *key)
{
    struct place place = place_of(&key->start_mark);
    if (key->type != YAML_SCALAR_NODE || key->data.scalar.length == 0 ||
        memchr(key->data.scalar.value, '\0', key->data.scalar.length)) {
        mistakes_add(reader->mistakes, place, "a key has to be a name");
        return NULL;
    }
    const char *name =
        memory_text(reader->memory, (const char *)key->data.scalar.value, key->data.scalar.length);
    const struct tree *other = tree_get(tree, name);
    if (strcmp(name, "<<") == 0) {
        mistakes_add(reader->mistakes, place, "<<: keys are not merged here: write them out");
        return NULL;
    }
    if (other) {
        mistakes_add(reader->mistakes, place, "%.60s: this key is there twice, first at line %zu", name,
                     other->name_place.line);
        return NULL;
    }
    if (tree->count == KEYS_MAX) {
        mistakes_add(reader->mistakes, place, "there is room for %d keys in a mapping", KEYS_MAX);
        return NULL;
    }
    return name;
}

static bool fill_mapping(struct reader *reader, struct tree *tree, const yaml_node_t *node, size_t depth)
{
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
    tree->type = TREE_MAPPING;
    for (; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(reader->document, pair->key);
        const char *name = key_of(reader, tree, key);
        if (!name && tree->count == KEYS_MAX)
            return false;
        if (!name)
            continue;
        struct tree *child = tree_add(reader->memory, tree, name, place_of(&key->start_mark));
        if (!fill(reader, child, pair->value, depth + 1))
            return false;
    }
    return true;
}

static bool fill(struct reader *reader, struct tree *tree, int index, size_t depth)
{
    const yaml_node_t *node = yaml_document_get_node(reader->document, index);
    tree->place = place_of(&node->start_mark);
    if (depth > TREE_NESTING_MAX || ++reader->nodes > NODES_MAX)
        return refuse_size(reader->mistakes, tree->place);
    switch (node->type) {
    case YAML_SEQUENCE_NODE:
        return fill_sequence(reader, tree, node, depth);
    case YAML_MAPPING_NODE:
        return fill_mapping(reader, tree, node, depth);
    default:
        return fill_scalar(reader, tree, node);
    }
}

/* Of what is not text, libyaml tells no line. */
static struct place place_at(const char *text, size_t offset)
{
    struct place place = {1, 1, NULL};
    for (size_t i = 0; i < offset; i++) {
        bool begins = ((unsigned char)text[i] & 0xc0) != 0x80; /* a character */
        place = text[i] == '\n' ? (struct place){place.line + 1, 1, NULL}
                                : (struct place){place.line, place.column + begins, NULL};
    }
    return place;
}

/* The next document of a parser; false after a mistake. */
static bool load(yaml_parser_t *parser, yaml_document_t *document, const char *text,
                 struct mistakes *mistakes)
{
    if (yaml_parser_load(parser, document))
        return true;
    if (parser->error == YAML_READER_ERROR) {
        mistakes_add(mistakes, place_at(text, parser->problem_offset),
                     "%s: save the file as plain text, in UTF-8", parser->problem);
        return false;
    }
    const char *problem = parser->problem ? parser->problem : "this is not YAML";
    const char *hint = strstr(problem, "cannot start any token") ? " (is it a tab? Indent with blanks)" : "";
    mistakes_add(mistakes, place_of(&parser->problem_mark), "%s%s%s%s",
                 parser->context ? parser->context : "", parser->context ? ": " : "", problem, hint);
    return false;
}

static bool is_the_only_one(yaml_parser_t *parser, const char *text, struct mistakes *mistakes)
{
    yaml_document_t next;
    if (!load(parser, &next, text, mistakes))
        return false;
    const yaml_node_t *more = yaml_document_get_root_node(&next);
    if (more)
        mistakes_add(mistakes, place_of(&more->start_mark), "a second document begins here; a file has one");
    yaml_document_delete(&next);
    return !more;
}

/* Looks at the beginnings and ends of everything: the loader would take hours for what is nested very deep. What is no YAML
 * is left to it. */
static bool is_bounded(const char *text, size_t size, struct mistakes *mistakes)
{
    yaml_parser_t parser;
    yaml_event_t event;
    size_t depth = 0, nodes = 0;
    bool bounded = true, more = yaml_parser_initialize(&parser);
    if (!more)
        return true;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    while (more && bounded && yaml_parser_parse(&parser, &event)) {
        more = event.type != YAML_STREAM_END_EVENT;
        bool begins = event.type == YAML_SEQUENCE_START_EVENT || event.type == YAML_MAPPING_START_EVENT;
        bool ends = event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT;
        depth = depth + begins - ends;
        nodes += begins || event.type == YAML_SCALAR_EVENT || event.type == YAML_ALIAS_EVENT;
        if (depth > TREE_NESTING_MAX || nodes > 2 * NODES_MAX) /* a key counts here, too */
            bounded = refuse_size(mistakes, place_of(&event.start_mark));
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return bounded;
}

struct tree *tree_read(struct memory *memory, const char *text, size_t size, struct mistakes *mistakes)
{
    yaml_parser_t parser;
    yaml_document_t document;
    struct tree *tree = NULL;
    if (!is_bounded(text, size, mistakes))
        return NULL;
    if (!yaml_parser_initialize(&parser)) {
        mistakes_add(mistakes, (struct place){0}, "out of memory");
        return NULL;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    if (load(&parser, &document, text, mistakes)) {
        struct reader reader = {memory, mistakes, &document, 0, 0};
        tree = memory_take(memory, 1, sizeof(*tree));
        tree->place = (struct place){1, 1, NULL};
        bool whole = !yaml_document_get_root_node(&document) || fill(&reader, tree, 1, 1);
        whole =
            whole && (!yaml_document_get_root_node(&document) || is_the_only_one(&parser, text, mistakes));
        yaml_document_delete(&document);
        tree = whole ? tree : NULL;
    }
    yaml_parser_delete(&parser);
    return tree;
}
