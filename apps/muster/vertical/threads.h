/* Members that are threads of the master's process, each with its share of the columns. */
#ifndef THREADS_H
#define THREADS_H

#include <stddef.h>

#include <muster/muster.h>

#include "master_options.h"

struct threads;

/* Starts as many as there are members. One that fails later closes the manager: what waits for it ends. On OK *threads are
 * to be joined; otherwise *error says why not. */
enum muster_status threads_start(const struct master_options *options, struct participant_manager *manager,
                                 struct threads **threads, struct muster_error *error);

/* Waits for them once the manager is closed, and frees them. The first that failed gives status and *error; OK: none, and
 * *error stays. NULL is allowed. */
enum muster_status threads_join(struct threads *threads, struct muster_error *error);

#endif
