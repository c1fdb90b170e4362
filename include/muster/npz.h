/* Named arrays in .npz files, as numpy.savez() writes them and numpy.load() reads them. */
#ifndef MUSTER_NPZ_H
#define MUSTER_NPZ_H

#include <stddef.h>

#include <muster/export.h>
#include <muster/message.h>
#include <muster/status.h>

MUSTER_BEGIN_DECLS

/** An array with a name, as in an .npz file. It owns nothing. */
struct muster_named_array {
    const char *name;
    struct muster_array array;
};

/** The most arrays that this library writes to or reads from one .npz file. */
#define MUSTER_NPZ_ARRAYS_MAX 16384

/**
 * Writes `count` arrays to the file `path` as numpy.savez() does, uncompressed. An existing file is replaced
 * only when the new one is complete and on the disk. The same arrays always make the same bytes.
 *
 * A name is UTF-8 of 1 to 255 bytes, without slashes, backslashes and control characters. No two arrays have
 * the same name. In the file, ".npy" is appended to each name, as numpy does.
 *
 * After an error the old file is still there, and *error (may be NULL) says why: IO, OUT_OF_MEMORY, or
 * INVALID (a bad array or name, no arrays, or too many). Any thread; blocks on disk.
 */
MUSTER_API enum muster_status muster_npz_write(const char *path, const struct muster_named_array *arrays,
                                               size_t count, struct muster_error *error);

/**
 * Reads an .npz file, compressed or not, with arrays as muster_npy_read() reads them. On MUSTER_OK *arrays
 * points to *count arrays in one piece of memory, which the caller frees with free(). Otherwise it is NULL,
 * and *error (may be NULL) says why:
 * - TOO_BIG: the arrays, as .npy files, take more than `limit` bytes together (SIZE_MAX: no limit);
 * - FORMAT: this is not such an archive, a checksum or a size is wrong, or a name is one that
 *   muster_npz_write() refuses;
 * - IO, OUT_OF_MEMORY.
 *
 * The archive is not trusted: no memory is allocated for data that the file cannot hold. In addition to the
 * arrays, reading needs at most a small multiple of the file's size. A file more than 16 MiB bigger than
 * `limit` is not read. Any thread; blocks on disk.
 */
MUSTER_API enum muster_status muster_npz_read(const char *path, size_t limit,
                                              struct muster_named_array **arrays, size_t *count,
                                              struct muster_error *error);

/** The array with the name `name`; NULL if there is none. Any thread. */
MUSTER_API const struct muster_array *muster_npz_find(const struct muster_named_array *arrays, size_t count,
                                                      const char *name);

MUSTER_END_DECLS

#endif
