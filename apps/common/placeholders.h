/* Texts with placeholders such as {rank}. */
#ifndef PLACEHOLDERS_H
#define PLACEHOLDERS_H

#include <stddef.h>

struct placeholder {
    const char *name; /* with its braces */
    const char *value;
};

/* A copy of the text, to be freed, in which each placeholder of the list has become its value. A value is not looked through, and
 * other text in braces stays as it is. NULL when out of memory. */
char *placeholders_replace(const char *text, const struct placeholder *list, size_t count);

#endif
