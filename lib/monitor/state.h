/* /api/state: everything as JSON. */
#ifndef MUSTER_MONITOR_STATE_H
#define MUSTER_MONITOR_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "monitor/sources.h"

struct curves;

/* What is asked for: which participants, in which order, and whether the curves and settings, too. */
struct state_query {
    const char *filter; /* in the name, the address or the state; NULL: all */
    enum proxy_order order;
    bool descending;
    size_t offset;
    size_t limit;
    bool curves;
};

/* What a query says when nothing is asked for: everything. */
struct state_query muster__state_query(void);

/* The order whose name it is; false: there is none. */
bool muster__state_order(const char *name, enum proxy_order *order);

/* Writes what follows from a look, and sorts it. `epoch` is the number of the monitor: another after a
   restart. */
void muster__state_write(FILE *out, const struct state_query *query, struct look *look, struct curves *curves,
                         uint64_t epoch);

#endif
