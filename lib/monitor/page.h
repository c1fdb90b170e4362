/* The files of the live page, which the build puts into the library: lib/monitor/page/embed. */
#ifndef MUSTER_MONITOR_PAGE_H
#define MUSTER_MONITOR_PAGE_H

#include <stdbool.h>
#include <stddef.h>

struct page_file {
    const char *path;
    const char *type;
    const unsigned char *bytes;
    const size_t *size;
    bool cached; /* it changes only with the library */
};

/* All of them, and one without a path at the end. */
extern const struct page_file muster__page_files[];

#endif
