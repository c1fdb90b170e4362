/* Arrays in .npy files, as numpy writes and reads them. */
#ifndef MUSTER_NPY_H
#define MUSTER_NPY_H

#include <muster/export.h>
#include <muster/message.h>
#include <muster/status.h>

MUSTER_BEGIN_DECLS

/**
 * Writes `array` to the file `path` in numpy's .npy format (version 1.0, C order). An existing file is
 * replaced only when the new one is complete. IO, INVALID or OUT_OF_MEMORY: *error (may be NULL) says why.
 * Any thread; blocks on disk.
 */
MUSTER_API enum muster_status muster_npy_write(const char *path, const struct muster_array *array,
                                               struct muster_error *error);

/**
 * Reads a .npy file: any dtype of enum muster_dtype, little-endian, in C or Fortran order. On MUSTER_OK
 * *array is a view, in C order, of memory in *storage, which the caller frees with free(). Otherwise nothing
 * is allocated, and *error (may be NULL) says why:
 * - IO, OUT_OF_MEMORY;
 * - FORMAT: the header is bad or not supported, the file is shorter or longer than its header says, or a bool
 *   is neither 0 nor 1.
 *
 * bfloat16 is written and read as '<V2', as ml_dtypes writes it, because numpy has no name for it. In numpy,
 * array.view(ml_dtypes.bfloat16) makes it bfloat16 again. Any thread; blocks on disk.
 */
MUSTER_API enum muster_status muster_npy_read(const char *path, struct muster_array *array, void **storage,
                                              struct muster_error *error);

MUSTER_END_DECLS

#endif
