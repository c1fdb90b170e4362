/* What an experiment file may say, as tables: its keys, their types and what they mean. Files are checked by them, and the
 * schema is made of them. */
#ifndef LAYOUT_H
#define LAYOUT_H

#include <stdbool.h>
#include <stddef.h>

#include "mistakes.h"
#include "tree.h"

enum layout_type {
    LAYOUT_TEXT,         /* also a number, true or false, as it is written */
    LAYOUT_WHOLE,        /* a whole number */
    LAYOUT_NUMBER,       /* any number */
    LAYOUT_FLAG,         /* true or false */
    LAYOUT_WORD,         /* one of the entry's words */
    LAYOUT_TEXTS,        /* a list of texts */
    LAYOUT_ENVIRONMENT,  /* a mapping of names to texts */
    LAYOUT_RANKS,        /* 3, 0-3, or a list of those */
    LAYOUT_MAPPING,      /* with the entry's keys */
    LAYOUT_LIST,         /* of such mappings */
    LAYOUT_ONE_OR_LIST,  /* one such mapping, or a list of them */
    LAYOUT_WORD_OR_LIST, /* one of the entry's words, or a list of such mappings */
};

/* An entry of a table; behind the last is one without a key. */
struct layout {
    const char *key;
    enum layout_type type;
    const char *help;
    double lowest, highest;    /* of numbers */
    const char *const *words;  /* with NULL behind them */
    const struct layout *keys; /* of the mappings */
    const char *kind;          /* these mappings also have the settings of this section; NULL: none */
    bool needed;
};

/* The whole file. */
extern const struct layout layout_file[];

/* The entry of a key, or NULL. */
const struct layout *layout_find(const struct layout *keys, const char *key);

/* Whether a text names a rank or ranks, as LAYOUT_RANKS wants it. */
bool layout_read_ranks(const char *text, size_t *first, size_t *last);

/* Tells what is wrong with each value in a mapping, and which keys are unknown or missing. `place` is where it is: "" for the
 * file, or such as "server.". Settings of a kind are left to who knows them. */
void layout_check(const struct layout *keys, const char *kind, const struct tree *mapping, const char *place,
                  struct mistakes *mistakes);

/* Tells that nothing is known by the name of a node. */
void layout_refuse(const struct layout *keys, const char *kind, const struct tree *node, const char *place,
                   const char *name, struct mistakes *mistakes);

#endif
