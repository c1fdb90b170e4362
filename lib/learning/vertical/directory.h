/*
 * What master and member keep in their run directories: the rows that were matched, for which run, and
 * checkpoints of the weights. Without a path, everything here succeeds and does nothing.
 */
#ifndef MUSTER_VERTICAL_DIRECTORY_H
#define MUSTER_VERTICAL_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/run.h>
#include <muster/vertical.h>

#include "learning/vertical/model.h"

struct muster__vertical_directory {
    char *path; /* NULL: none */
    char *configuration;
    struct muster_run *run;
    char *names;      /* of the members that were matched, a line each; NULL: they were not told */
    uint64_t digest;  /* of the table whose rows were matched */
    uint64_t durable; /* the step of the last checkpoint; 0: none */
    double saved_ms;  /* when that was made */
};

/* Opens it. `configuration` is what must not change. On MUSTER_OK the caller frees *rows: the *count rows
 * that were matched for the run *identity, or NULL. FORMAT if it was made with another configuration or
 * digest. */
enum muster_status muster__vertical_directory_open(struct muster__vertical_directory *directory,
                                                   const char *path, const char *configuration,
                                                   uint64_t digest, size_t **rows, size_t *count,
                                                   int64_t *identity, struct muster_error *error);
/* Whether the rows that it had are some of the `most` rows of the table; with `left`, it may lack them. */
enum muster_status muster__vertical_directory_check(const struct muster__vertical_directory *directory,
                                                    const size_t *rows, size_t count, size_t most, bool left,
                                                    struct muster_error *error);
void muster__vertical_directory_close(struct muster__vertical_directory *directory);

/* Begins anew with other rows, and with names (NULL: none). */
enum muster_status muster__vertical_directory_begin(struct muster__vertical_directory *directory,
                                                    const size_t *rows, size_t count, int64_t identity,
                                                    const char *names, struct muster_error *error);

/* Reads the weights of the last checkpoint, if there is one, and none was saved since it was opened. */
enum muster_status muster__vertical_directory_restore(const struct muster__vertical_directory *directory,
                                                      struct muster__vertical_weights *weights,
                                                      struct muster_error *error);

/* Goes back to the last checkpoint that is not after `step`: the master has lost what came then. `durable` is
 * 0 if there is none. FORMAT without a directory. */
enum muster_status muster__vertical_directory_back(struct muster__vertical_directory *directory,
                                                   uint64_t step, struct muster_error *error);

/* Whether a checkpoint after `step` is to be made: none is there yet, and a second has passed or `now`. */
bool muster__vertical_directory_is_due(const struct muster__vertical_directory *directory, uint64_t step,
                                       bool now);
/* Makes one that is due. */
enum muster_status muster__vertical_directory_save(struct muster__vertical_directory *directory,
                                                   const struct muster__vertical_weights *weights,
                                                   uint64_t step, struct muster_error *error);

#endif
