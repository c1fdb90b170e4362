/* What a host is told to start a process with. */
#ifndef PROCESS_START_H
#define PROCESS_START_H

#include <stddef.h>

#include <jansson.h>

#include "supervision.h"

/* Where a process reaches the one that serves, or else where the launcher was told that a server is; "" for nowhere. With the
 * launcher's lock. */
void process_start_server(const struct launcher *launcher, const struct process *process, char *text,
                          size_t size);

/* The agent's message: {"start": ...}. NULL when out of memory. With the launcher's lock. */
json_t *process_start_message(const struct launcher *launcher, const struct process *process);

#endif
