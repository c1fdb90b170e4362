/* A run as another shell sees it: found by its directory or its name, and asked through its control socket. */
#ifndef RUN_H
#define RUN_H

#include <stdbool.h>

#include <jansson.h>

#include <muster/muster.h>

#include "run_lock.h"

struct run {
    char *path;             /* its directory */
    int folder;             /* a descriptor of it, or -1 */
    json_t *record;         /* experiment.json */
    json_t *end;            /* end.json; NULL: it has not ended by itself */
    struct run_owner owner; /* the launcher, if there is one */
};

/* Opens the run that `said` names: a directory, or the name of a run of this user. NULL: the run whose directory is the
 * current one, or else the only one that is running. NOT_FOUND is told as INVALID; IO, OUT_OF_MEMORY. */
enum muster_status run_open(const char *said, struct run *run, struct muster_error *error);
void run_close(struct run *run);

/* All runs of this user, to be freed by run_free_all(). Those that cannot be read are left out. There may be more than a
 * process may have descriptors: their `folder` is -1. */
enum muster_status run_list(struct run **runs, size_t *count, struct muster_error *error);
void run_free_all(struct run *runs, size_t count);

const char *run_name(const struct run *run);

/* Asks its launcher: "status", "stop" or "follow". The answer is to be freed, and so is the socket to be closed: it ends when
 * the run has. A launcher that has just begun, and does not listen yet, is waited for. UNAVAILABLE when it does not answer
 * within 10 s; or it has ended meanwhile, and the run is as after run_look(). REFUSED. */
enum muster_status run_ask(struct run *run, const char *wish, json_t **answer, int *socket,
                           struct muster_error *error);

/* Looks again whether it has a launcher, and how it ended. */
void run_look(struct run *run);

/* What is left to say of one that has no launcher, such as "ended at TIME: it is complete". */
const char *run_outcome(const struct run *run, char *text, size_t size);

#endif
