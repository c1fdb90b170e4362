/* Named arrays in .npz files, as numpy.savez() writes them and numpy.load() reads them. */
#ifndef MUSTER_NPZ_H
#define MUSTER_NPZ_H

#include <stddef.h>

#include <muster/export.h>
#include <muster/message.h>
#include <muster/status.h>

MUSTER_BEGIN_DECLS

/** An array with a name, as .npz files hold them. It owns nothing. */
struct muster_named_array {
    const char *name;
    struct muster_array array;
};

/** The most arrays that an .npz file can have here. */
#define MUSTER_NPZ_ARRAYS_MAX 16384

/**
 * Writes arrays to the file `path` as numpy.savez() does, uncompressed, replacing a file that is there only
 * once the new one is whole and on the disk. The same arrays make the same bytes. Names are UTF-8 of 1 to 255
 * bytes without slashes, backslashes and control characters, each once, and without the ".npy" that they get
 * in the file. IO, INVALID (an array, a name, no arrays or too many) or OUT_OF_MEMORY, with *error (may be
 * NULL) saying why; then the old file is there. Any thread; blocks on disk.
 */
MUSTER_API enum muster_status muster_npz_write(const char *path, const struct muster_named_array *arrays,
                                               size_t count, struct muster_error *error);

/**
 * Reads an .npz file of arrays that muster_npy_read() would read, stored or deflated. On OK *arrays are
 * *count in one piece of memory that the caller frees with free(); otherwise it is NULL, and *error (may be
 * NULL) says why. TOO_BIG: the arrays as files take more than `limit` bytes (SIZE_MAX: none) together; IO;
 * OUT_OF_MEMORY; FORMAT: not such an archive, a wrong checksum, a name that cannot be written, or sizes that
 * are not true. Whatever the archive says, no memory is taken for data that the file cannot hold; beside the
 * arrays it is at most a small multiple of the file's size, and a file that is 16 MiB bigger than `limit` is
 * not looked into. Any thread; blocks on disk.
 */
MUSTER_API enum muster_status muster_npz_read(const char *path, size_t limit,
                                              struct muster_named_array **arrays, size_t *count,
                                              struct muster_error *error);

/** The array of that name, or NULL. Any thread. */
MUSTER_API const struct muster_array *muster_npz_find(const struct muster_named_array *arrays, size_t count,
                                                      const char *name);

MUSTER_END_DECLS

#endif
