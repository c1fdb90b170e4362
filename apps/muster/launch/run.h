/* A run as another shell sees it: found by its directory or its name, and asked through its control socket. */
#ifndef RUN_H
#define RUN_H

#include <stdbool.h>

#include <jansson.h>

#include <muster/muster.h>

#include "run_lock.h"

struct run {
    char *path;             /* its directory */
    int folder;             /* a descriptor of it */
    json_t *record;         /* experiment.json */
    json_t *end;            /* end.json; NULL: it has not ended by itself */
    struct run_owner owner; /* the launcher, if there is one */
};

/* Opens the run that `said` names: a directory, or the name of a run of this user. NULL: the run whose directory is the
 * current one, or else the only one that is running. NOT_FOUND is told as INVALID; IO, OUT_OF_MEMORY. */
enum muster_status run_open(const char *said, struct run *run, struct muster_error *error);
void run_close(struct run *run);

/* All runs of this user, to be freed by run_free_all(). Those that cannot be read are left out. */
enum muster_status run_list(struct run **runs, size_t *count, struct muster_error *error);
void run_free_all(struct run *runs, size_t count);

const char *run_name(const struct run *run);

/* Asks its launcher: "status", "stop" or "follow". The answer is to be freed, and so is the socket to be closed: it ends when
 * the run has. UNAVAILABLE when the launcher has just ended, or does not answer within 10 s; REFUSED. */
enum muster_status run_ask(const struct run *run, const char *wish, json_t **answer, int *socket,
                           struct muster_error *error);

/* What is left to say of one that has no launcher, such as "ended at TIME: it is complete". */
const char *run_outcome(const struct run *run, char *text, size_t size);

#endif
