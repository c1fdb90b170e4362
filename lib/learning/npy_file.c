/* Arrays in .npy files. */
#include <config.h>

#include <muster/npy.h>

#include <fcntl.h>
#include <stdlib.h>

#include "file.h"
#include "wire/wire.h"

static enum muster_status write_array(const void *context, int file, const char *path,
                                      struct muster_error *error)
{
    const struct muster_array *array = context;
    uint8_t header[MUSTER__NPY_HEADER_SIZE];
    muster__npy_write_header(array, header);
    const size_t header_size = MUSTER__NPY_HEADER_SIZE;
    size_t size = muster__array_size(array);
    if (muster__file_write(file, 0, header, header_size) &&
        muster__file_write(file, header_size, array->data, size))
        return MUSTER_OK;
    return muster__file_errno(error, path, "writing");
}

enum muster_status muster_npy_write(const char *path, const struct muster_array *array,
                                    struct muster_error *error)
{
    const char *fault = muster__array_fault(array);
    if (fault)
        return muster__file_error(error, MUSTER_INVALID, path, fault);
    return muster__file_replace(path, write_array, array, error);
}

enum muster_status muster_npy_read(const char *path, struct muster_array *array, void **storage,
                                   struct muster_error *error)
{
    size_t size;
    void *bytes;
    struct muster_error reason;
    /* Into memory of the file's real size, whatever its header may say. */
    enum muster_status status = muster__file_read(AT_FDCWD, path, path, SIZE_MAX, &bytes, &size, error);
    if (status != MUSTER_OK)
        return status;
    status = muster__npy_parse(bytes, size, array, &reason);
    if (status != MUSTER_OK) {
        free(bytes);
        return muster__file_error(error, status, path, reason.text);
    }
    *storage = bytes;
    return MUSTER_OK;
}
