/* Text that is being written: a stream into memory. What did not fit into memory is found out at the end. */
#ifndef MUSTER_MONITOR_WRITTEN_H
#define MUSTER_MONITOR_WRITTEN_H

#include <stddef.h>
#include <stdio.h>

struct written {
    FILE *stream; /* NULL: there was no memory */
    char *bytes;
    size_t size;
};

/* Begins a text; NULL if there is no memory. */
FILE *muster__written_begin(struct written *written);

/* The text, which the caller frees, and its size; NULL if there was no memory for all of it. */
char *muster__written_end(struct written *written, size_t *size);

#endif
