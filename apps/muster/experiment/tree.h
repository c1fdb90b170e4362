/* A file of YAML as a tree whose nodes know where they are written. */
#ifndef TREE_H
#define TREE_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "memory.h"

struct mistakes;

/* A file of more than this is refused, and so is what goes beyond the other bounds in tree.c. */
enum { TREE_BYTES_MAX = 1 << 20, TREE_NESTING_MAX = 16 };

enum tree_type {
    TREE_EMPTY, /* nothing, null or ~ */
    TREE_TEXT,
    TREE_LIST,
    TREE_MAPPING,
};

/* Where something is written. */
struct place {
    size_t line, column;    /* from 1; 0: there is no such place */
    const char *assignment; /* KEY of the --set that says it; NULL: the file does */
};

struct tree {
    enum tree_type type;
    const char *name; /* its key; NULL in a list */
    struct place name_place, place;
    const char *text; /* of TREE_TEXT */
    bool plain;       /* not in quotes: a number, true and false are what they are */
    size_t count;     /* of its children */
    struct tree *first, *last, *next;
};

/* Reads a text of YAML. NULL after a mistake, which was told. Without anything in it, it is an empty node. */
struct tree *tree_read(struct memory *memory, const char *text, size_t size, struct mistakes *mistakes);

/* The value of a key; NULL: there is none, or this is no mapping, or NULL. */
struct tree *tree_get(const struct tree *mapping, const char *name);
/* The child with this index, or NULL. */
struct tree *tree_at(const struct tree *list, size_t index);

/* Adds a new child, behind the others, and makes its parent a list or, with a name, a mapping. */
struct tree *tree_add(struct memory *memory, struct tree *parent, const char *name, struct place place);

/* What a scalar says, or NULL when it is none (or NULL). */
const char *tree_text(const struct tree *node);
bool tree_is_number(const struct tree *node);
bool tree_is_flag(const struct tree *node);

/* As JSON. A plain number whose text JSON would write as it stands is one, and so is a whole number; any other scalar but
 * true and false is a text. With `numbers`, each plain number is one. */
json_t *tree_json(const struct tree *node, bool numbers);

#endif
