/* Samples as NumPy's files. */
#include <config.h>

#include "export.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static enum muster_status write_array(const char *directory, const char *name,
                                      const struct muster_array *array, struct muster_error *error)
{
    char *path;
    if (asprintf(&path, "%s/%s", directory, name) < 0)
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    enum muster_status status = muster_npy_write(path, array, error);
    free(path);
    return status;
}

enum muster_status export_samples(const char *directory, const struct samples *samples, size_t features,
                                  struct muster_error *error)
{
    if (mkdir(directory, 0777) != 0 && errno != EEXIST)
        return explain(error, MUSTER_IO, "%s: %s", directory, strerror(errno));
    struct muster_array x = {
        .dtype = MUSTER_FLOAT32, .dimensions = 2, .shape = {samples->count, features}, .data = samples->x};
    struct muster_array y = {
        .dtype = MUSTER_INT32, .dimensions = 1, .shape = {samples->count}, .data = samples->y};
    enum muster_status status = write_array(directory, "x.npy", &x, error);
    return status == MUSTER_OK ? write_array(directory, "y.npy", &y, error) : status;
}
