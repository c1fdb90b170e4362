/* The .npz format: what the run directory shares with muster_npz_*. */
#ifndef MUSTER_LEARNING_NPZ_H
#define MUSTER_LEARNING_NPZ_H

#include <muster/npz.h>

/* What to write. */
struct npz {
    const struct muster_named_array *arrays;
    size_t count;
};

/* INVALID, with *error (may be NULL) saying why, for what cannot be written. */
enum muster_status muster__npz_check(const struct npz *npz, const char *path, struct muster_error *error);
/* A muster__file_writer of a struct npz that was checked. */
enum muster_status muster__npz_write(const void *npz, int file, const char *path, struct muster_error *error);
/* muster_npz_read() of an open file of `size` bytes, which it closes. */
enum muster_status muster__npz_read(int file, size_t size, const char *path, size_t limit,
                                    struct muster_named_array **arrays, size_t *count,
                                    struct muster_error *error);

#endif
