/* Which of the known names somebody may have meant. */
#ifndef NEAREST_H
#define NEAREST_H

#include <stddef.h>

struct nearest {
    const char *meant;
    const char *name; /* the nearest so far; NULL: none is near */
    size_t distance;
};

void nearest_begin(struct nearest *nearest, const char *meant);
/* Looks at a known name, which is kept as it is. */
void nearest_look(struct nearest *nearest, const char *known);

#endif
