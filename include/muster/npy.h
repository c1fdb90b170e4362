/* Arrays in .npy files, as numpy writes and reads them. */
#ifndef MUSTER_NPY_H
#define MUSTER_NPY_H

#include <muster/export.h>
#include <muster/message.h>
#include <muster/status.h>

MUSTER_BEGIN_DECLS

/**
 * Writes `array` to the file `path` in numpy's .npy format (version 1.0, C order), replacing a file that is
 * there only once the new one is whole. IO, INVALID or OUT_OF_MEMORY, with *error (may be NULL) saying why.
 * Blocks on disk.
 */
MUSTER_API enum muster_status muster_npy_write(const char *path, const struct muster_array *array,
                                               struct muster_error *error);

/**
 * Reads a .npy file of any dtype of enum muster_dtype (little-endian, C or Fortran order; the view is in C
 * order). '<V2' is read and written as bfloat16, for which numpy has no name: ml_dtypes writes it so, and in
 * numpy array.view(ml_dtypes.bfloat16) makes it one again. On OK *array views memory in *storage, which the
 * caller frees with free(). IO, FORMAT (a bad or unsupported header, a file shorter or longer than its header
 * says, a bool that is neither 0 nor 1) or OUT_OF_MEMORY, with *error (may be NULL) saying why; then nothing
 * is allocated. Blocks on disk.
 */
MUSTER_API enum muster_status muster_npy_read(const char *path, struct muster_array *array, void **storage,
                                              struct muster_error *error);

MUSTER_END_DECLS

#endif
