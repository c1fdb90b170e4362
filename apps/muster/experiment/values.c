/* Both tell mistakes by the place of the value. */
#include <config.h>

#include "values.h"

#include <stdlib.h>
#include <string.h>

#include "mistakes.h"

/* ---- the environment ---- */

enum { RESULT_MAX = 65536 };

struct substitution {
    struct memory *memory;
    struct mistakes *mistakes;
    struct tree *node;
    char *text; /* so far */
    size_t length, room;
};

static bool put(struct substitution *made, const char *text, size_t length)
{
    if (made->length + length > RESULT_MAX) {
        mistakes_at(made->mistakes, made->node, "with what the environment says this is longer than %d bytes",
                    RESULT_MAX);
        return false;
    }
    if (made->length + length >= made->room) {
        made->room = 2 * (made->length + length) + 1;
        char *longer = memory_take(made->memory, made->room, 1);
        if (made->length > 0)
            memcpy(longer, made->text, made->length);
        made->text = longer;
    }
    memcpy(made->text + made->length, text, length);
    made->length += length;
    made->text[made->length] = '\0';
    return true;
}

static size_t name_length(const char *text)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
    static const char others[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
    return *text != '\0' && strchr(letters, *text) ? strspn(text, others) : 0;
}

/* Puts what stands for the reference that begins at `text`, behind its "${"; NULL after a mistake, otherwise what follows. */
static const char *put_reference(struct substitution *made, const char *text)
{
    size_t length = name_length(text);
    const char *behind = text + length, *end = strchr(text, '}');
    bool optional = strncmp(behind, ":-", 2) == 0;
    if (length == 0 || !end || (!optional && behind != end)) {
        mistakes_at(made->mistakes, made->node,
                    "${%.40s: expected ${NAME} or ${NAME:-DEFAULT}, from the environment; $${ stands for ${",
                    text);
        return NULL;
    }
    const char *value = getenv(memory_text(made->memory, text, length));
    if (optional && (!value || *value == '\0'))
        return put(made, behind + 2, (size_t)(end - behind) - 2) ? end + 1 : NULL;
    if (!value) {
        mistakes_at(made->mistakes, made->node,
                    "${%.*s}: the environment has no such variable; set it, or write ${%.*s:-DEFAULT}",
                    (int)length, text, (int)length, text);
        return NULL;
    }
    return put(made, value, strlen(value)) ? end + 1 : NULL;
}

static void substitute(struct substitution *made)
{
    const char *at = made->node->text, *next;
    bool alone = strncmp(at, "${", 2) == 0 && strchr(at, '}') == at + strlen(at) - 1;
    while (at && (next = strstr(at, "${"))) {
        bool literal = next > at && next[-1] == '$';
        if (!put(made, at, (size_t)(next - at) - literal))
            return;
        if (!literal)
            at = put_reference(made, next + 2);
        else
            at = put(made, "${", 2) ? next + 2 : NULL;
    }
    if (!at || !put(made, at, strlen(at)))
        return;
    json_t *utf8 = json_string(made->text);
    if (!utf8)
        mistakes_at(made->mistakes, made->node, "what the environment says here is not UTF-8");
    json_decref(utf8);
    made->node->text = utf8 ? made->text : "";
    made->node->plain = made->node->plain || alone;
}

void values_from_environment(struct memory *memory, struct tree *tree, struct mistakes *mistakes)
{
    struct substitution made = {.memory = memory, .mistakes = mistakes, .node = tree};
    if (tree->type == TREE_TEXT && strstr(tree->text, "${"))
        substitute(&made);
    for (struct tree *child = tree->first; child; child = child->next)
        values_from_environment(memory, child, mistakes);
}

/* ---- --set ---- */

static void put_place(struct tree *tree, struct place place)
{
    tree->place = tree->name_place = place;
    for (struct tree *child = tree->first; child; child = child->next)
        put_place(child, place);
}

/* The value, at the place of its key; NULL after a mistake. */
static struct tree *read_value(struct memory *memory, const char *text, struct place place,
                               struct mistakes *mistakes)
{
    struct mistakes found = {.memory = memory};
    struct tree *value = tree_read(memory, text, strlen(text), &found);
    for (size_t i = 0; i < found.count && i < MISTAKES_MAX; i++)
        mistakes_add(mistakes, place, "%s", found.list[i].text);
    if (!value || found.count > 0)
        return NULL;
    put_place(value, place);
    return value;
}

/* The child of a mapping whose name is all of a path, or the longest beginning of it: a file may have "strategy.name" as one
 * key. *length is how much of the path that is. */
static struct tree *find_child(const struct tree *mapping, const char *path, size_t *length)
{
    struct tree *found = NULL;
    *length = 0;
    for (struct tree *child = mapping->type == TREE_MAPPING ? mapping->first : NULL; child;
         child = child->next) {
        size_t size = strlen(child->name);
        if (size <= *length || strncmp(child->name, path, size) != 0 ||
            (path[size] != '.' && path[size] != '\0'))
            continue;
        *length = size;
        found = child;
    }
    return found;
}

/* The child of a list by its index; the one behind the last is new. */
static struct tree *find_item(struct memory *memory, struct tree *list, const char *path, size_t length,
                              struct place place, struct mistakes *mistakes)
{
    char *end;
    unsigned long index = strtoul(path, &end, 10);
    if (strspn(path, "0123456789") != length || length > 6) {
        mistakes_add(mistakes, place, "%.*s: this is a list: its entries are 0, 1 and so on", (int)length,
                     path);
        return NULL;
    }
    if (index > list->count) {
        mistakes_add(mistakes, place, "%.*s: the list has %zu entries, and the next is %zu", (int)length,
                     path, list->count, list->count);
        return NULL;
    }
    return index < list->count ? tree_at(list, index) : tree_add(memory, list, NULL, place);
}

/* One step of a path; NULL after a mistake. */
static struct tree *step(struct memory *memory, struct tree *tree, const char **path, struct place place,
                         struct mistakes *mistakes)
{
    size_t length = strcspn(*path, ".");
    struct tree *child = NULL;
    if (length == 0) {
        mistakes_add(mistakes, place, "a part of this key is empty");
        return NULL;
    }
    if (tree->type == TREE_TEXT) {
        mistakes_add(mistakes, place, "there is no %.40s in it: this is one value, \"%.40s\"", *path,
                     tree->text);
        return NULL;
    }
    if (tree->type == TREE_LIST) {
        child = find_item(memory, tree, *path, length, place, mistakes);
    } else {
        size_t known;
        child = find_child(tree, *path, &known);
        length = child ? known : length;
        if (!child)
            child = tree_add(memory, tree, memory_text(memory, *path, length), place);
    }
    *path += length;
    *path += **path == '.';
    return child;
}

/* How many levels there are: 0 for a scalar. */
static size_t depth_of(const struct tree *tree)
{
    size_t deepest = 0;
    for (const struct tree *child = tree->first; child; child = child->next) {
        size_t depth = 1 + depth_of(child);
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest;
}

void values_assign(struct memory *memory, struct tree *tree, const char *assignment,
                   struct mistakes *mistakes)
{
    const char *equals = strchr(assignment, '=');
    if (!equals || equals == assignment) {
        mistakes_add(mistakes, (struct place){.assignment = assignment},
                     "expected KEY=VALUE, such as server.rounds=10");
        return;
    }
    const char *path = memory_text(memory, assignment, (size_t)(equals - assignment));
    struct place place = {.assignment = path};
    struct tree *value = read_value(memory, equals + 1, place, mistakes);
    size_t depth = value ? depth_of(value) : 0;
    for (; value && tree && *path != '\0'; depth++)
        tree = step(memory, tree, &path, place, mistakes);
    if (!value || !tree)
        return;
    if (depth >= TREE_NESTING_MAX) { /* the whole is a level, too, as in a file */
        mistakes_add(mistakes, place, "there is room for %d levels below each other", TREE_NESTING_MAX - 1);
        return;
    }
    struct tree *next = tree->next;
    const char *name = tree->name;
    *tree = *value;
    tree->name = name;
    tree->next = next;
}
