/*
 * The updates that a member may still need, in the master's memory and, if there is a run directory, in files
 * there: an update is appended before it is sent, and no sync is waited for. A new file begins at each
 * checkpoint, so that old ones can go.
 */
#ifndef MUSTER_VERTICAL_UPDATES_H
#define MUSTER_VERTICAL_UPDATES_H

#include <stddef.h>
#include <stdint.h>

#include <muster/status.h>

/* The residual of a step. */
struct muster__vertical_update {
    uint64_t step;
    size_t rows;
    double *residual; /* rows x outputs */
};

struct muster__vertical_updates {
    char *path; /* of the directory; NULL: none */
    size_t outputs;
    struct muster__vertical_update *kept; /* by step, without gaps */
    size_t count;
    size_t room;
    uint64_t last; /* that was added or read, kept or not; 0: none */
    int file;      /* that they are appended to; -1: none */
    uint64_t size; /* of the file, in bytes */
};

/* Reads those that are in the directory `path` (NULL: none), up to the first that is damaged. */
enum muster_status muster__vertical_updates_open(struct muster__vertical_updates *updates, const char *path,
                                                 size_t outputs, struct muster_error *error);
void muster__vertical_updates_close(struct muster__vertical_updates *updates);

/* Removes all; the next one may have any step. */
enum muster_status muster__vertical_updates_clear(struct muster__vertical_updates *updates,
                                                  struct muster_error *error);

/* Adds the next, and appends it, unless that has happened: something failed after it then. */
enum muster_status muster__vertical_updates_add(struct muster__vertical_updates *updates, uint64_t step,
                                                const double *residual, size_t rows,
                                                struct muster_error *error);

/* NULL: it is not there any more. */
const struct muster__vertical_update *muster__vertical_updates_find(
    const struct muster__vertical_updates *updates, uint64_t step);

/* Nobody needs those up to `step` any more. */
void muster__vertical_updates_forget(struct muster__vertical_updates *updates, uint64_t step);

/* What was appended becomes durable, and a new file begins. */
enum muster_status muster__vertical_updates_sync(struct muster__vertical_updates *updates,
                                                 struct muster_error *error);

#endif
