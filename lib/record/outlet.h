/* A file that grows by whole pieces: after an error it ends where the last whole piece did. */
#ifndef MUSTER_RECORD_OUTLET_H
#define MUSTER_RECORD_OUTLET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <muster/status.h>

struct outlet {
    char *path;
    int file; /* -1: to be opened again */
    uint64_t size;
};

/* Opens or makes the file, and locks it: BUSY if somebody else has. With `anew` it must not be there. */
enum muster_status muster__outlet_open(struct outlet *outlet, const char *path, bool anew,
                                       struct muster_error *error);
void muster__outlet_close(struct outlet *outlet);

/* Puts the bytes at `offset`, within the file or at its end, and ends the file behind them. */
enum muster_status muster__outlet_write(struct outlet *outlet, uint64_t offset, const void *bytes,
                                        size_t size, struct muster_error *error);

/* Bytes that are put together first, with the functions of stdio.h. */
struct piece {
    FILE *out;
    char *bytes; /* once it has ended */
    size_t size;
};

/* OUT_OF_MEMORY: nothing has begun. */
enum muster_status muster__piece_begin(struct piece *piece, struct muster_error *error);
/* Ends it, writes it if it is `whole` and not empty, and frees it. */
enum muster_status muster__outlet_put(struct outlet *outlet, uint64_t offset, struct piece *piece, bool whole,
                                      struct muster_error *error);

/* Reads the first `size` bytes, which are there, into memory that the caller frees; a NUL follows. */
enum muster_status muster__outlet_read(const struct outlet *outlet, size_t size, char **bytes,
                                       struct muster_error *error);

/* Ends the file behind its last whole line, for the next write. */
enum muster_status muster__outlet_end_line(struct outlet *outlet, struct muster_error *error);

/* The file was replaced: opens the one that is there now. */
void muster__outlet_reopen(struct outlet *outlet);

#endif
