/* Mistakes in an experiment file: all are gathered, and told in the order of the file. */
#ifndef MISTAKES_H
#define MISTAKES_H

#include <stddef.h>

#include "experiment.h"
#include "tree.h"

/* More than these are only counted. */
enum { MISTAKES_MAX = 50 };

struct mistake {
    struct place place;
    const char *text;
};

struct mistakes {
    struct memory *memory;
    const char *file;
    struct mistake list[MISTAKES_MAX];
    size_t count; /* with those that are not in the list */
};

/* Adds a mistake: what is wrong, and what to do. */
void mistakes_add(struct mistakes *mistakes, struct place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* At a node's value, and at its key. */
#define mistakes_at(mistakes, node, ...)      mistakes_add(mistakes, (node)->place, __VA_ARGS__)
#define mistakes_at_name(mistakes, node, ...) mistakes_add(mistakes, (node)->name_place, __VA_ARGS__)

/* Tells all of them, as "FILE:LINE:COLUMN: TEXT". */
void mistakes_tell(struct mistakes *mistakes, experiment_mistake *tell, void *context);

#endif
