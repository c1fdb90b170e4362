/*
 * Arrays in .npy files. A file is written beside its place and moved there once it is on the disk, so that
 * whoever reads it, even after a crash, finds the old one or the new one and nothing between.
 */
#include <config.h>

#include <muster/federation.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "status.h"
#include "wire/npy.h"

enum {
    PATH_SHOWN_MAX = 120, /* bytes of a path, from its end, that go into an error */
    NAME_MAX_SIZE = 64,   /* of a temporary file's name */
};

static enum muster_status fail(struct muster_error *error, enum muster_status status, const char *path,
                               const char *why)
{
    size_t length = strlen(path);
    bool cut = length > PATH_SHOWN_MAX;
    return muster__error(error, status, "%s%s: %s", cut ? "..." : "",
                         cut ? path + length - PATH_SHOWN_MAX : path, why);
}

static enum muster_status fail_errno(struct muster_error *error, const char *path, const char *doing)
{
    char why[MUSTER_ERROR_TEXT_SIZE];
    snprintf(why, sizeof why, "%s: %s", doing, strerror(errno));
    return fail(error, MUSTER_IO, path, why);
}

static bool write_all(int file, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t written = write(file, at, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return false;
        at += written;
        size -= (size_t)written;
    }
    return true;
}

/* Reads up to `size` bytes, fewer only at the end of the file; -1 on an error. */
static ssize_t read_all(int file, void *bytes, size_t size)
{
    char *at = bytes;
    size_t have = 0;
    while (have < size) {
        ssize_t got = read(file, at + have, size - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        have += (size_t)got;
    }
    return (ssize_t)have;
}

/* Opens the folder that `path` lies in, and makes *name what it is called there. */
static enum muster_status open_folder(const char *path, int *folder, const char **name,
                                      struct muster_error *error)
{
    const char *slash = strrchr(path, '/');
    *name = slash == NULL ? path : slash + 1;
    if (**name == '\0')
        return fail(error, MUSTER_INVALID, path, "this is no name for a file");
    size_t length = (size_t)(*name - path);
    char *parent = malloc(length + 2);
    if (parent == NULL)
        return fail(error, MUSTER_OUT_OF_MEMORY, path, "out of memory");
    memcpy(parent, path, length);
    strcpy(parent + length, ".");
    *folder = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum muster_status status = MUSTER_OK;
    if (*folder < 0)
        status = fail_errno(error, path, "opening its folder");
    free(parent);
    return status;
}

/* Makes a file of a name that nobody else uses; its mode is what the umask leaves. -1 on an error. */
static int create_temporary(int folder, char name[NAME_MAX_SIZE])
{
    static atomic_uint last;
    int file;
    do {
        snprintf(name, NAME_MAX_SIZE, ".muster-%ld-%u", (long)getpid(), atomic_fetch_add(&last, 1));
        file = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (file < 0 && errno == EEXIST); /* one that a killed process left, or of another machine's */
    return file;
}

/* Writes the array to `file`, down to the disk. */
static bool write_array(int file, const struct muster_array *array)
{
    uint8_t header[MUSTER__NPY_HEADER_SIZE];
    muster__npy_write_header(array, header);
    size_t size = muster_array_count(array) * muster_dtype_size(array->dtype);
    return write_all(file, header, sizeof header) && write_all(file, array->data, size) && fsync(file) == 0;
}

/* Writes a temporary file whole and moves it to `name`. Leaves none behind when it fails. */
static enum muster_status replace_file(int folder, const char *name, const char *path,
                                       const struct muster_array *array, struct muster_error *error)
{
    char temporary[NAME_MAX_SIZE];
    int file = create_temporary(folder, temporary);
    if (file < 0)
        return fail_errno(error, path, "creating a temporary file beside it");
    enum muster_status status = MUSTER_OK;
    if (!write_array(file, array))
        status = fail_errno(error, path, "writing");
    if (close(file) != 0 && status == MUSTER_OK)
        status = fail_errno(error, path, "closing");
    if (status == MUSTER_OK && renameat(folder, temporary, folder, name) != 0)
        status = fail_errno(error, path, "moving the temporary file there");
    if (status != MUSTER_OK)
        unlinkat(folder, temporary, 0);
    return status;
}

enum muster_status muster_npy_write(const char *path, const struct muster_array *array,
                                    struct muster_error *error)
{
    size_t size;
    if (muster__npy_size(array, &size) != MUSTER_OK)
        return fail(error, MUSTER_INVALID, path, "the array's dtype, shape or data is invalid");
    int folder = -1;
    const char *name = NULL;
    enum muster_status status = open_folder(path, &folder, &name, error);
    if (status != MUSTER_OK)
        return status;
    status = replace_file(folder, name, path, array, error);
    /* Only this makes the move last. File systems that cannot do it for a folder say EINVAL. */
    if (status == MUSTER_OK && fsync(folder) != 0 && errno != EINVAL)
        status = fail_errno(error, path, "writing its folder");
    close(folder);
    return status;
}

/* Reads the file into memory of its real size, whatever its header may say. */
static enum muster_status load(int file, const char *path, uint8_t **bytes, size_t *size,
                               struct muster_error *error)
{
    struct stat information;
    if (fstat(file, &information) != 0)
        return fail_errno(error, path, "asking for its size");
    if (!S_ISREG(information.st_mode))
        return fail(error, MUSTER_IO, path, "this is not a regular file");
    *size = (size_t)information.st_size;
    *bytes = malloc(*size > 0 ? *size : 1);
    if (*bytes == NULL)
        return fail(error, MUSTER_OUT_OF_MEMORY, path, "out of memory");
    ssize_t have = read_all(file, *bytes, *size);
    enum muster_status status = MUSTER_OK;
    if (have < 0)
        status = fail_errno(error, path, "reading");
    else if ((size_t)have < *size)
        status = fail(error, MUSTER_FORMAT, path, "it became shorter while it was read");
    if (status != MUSTER_OK)
        free(*bytes);
    return status;
}

enum muster_status muster_npy_read(const char *path, struct muster_array *array, void **storage,
                                   struct muster_error *error)
{
    /* What is no regular file, a pipe perhaps, is not waited for. */
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return fail_errno(error, path, "opening");
    uint8_t *bytes = NULL;
    size_t size = 0;
    enum muster_status status = load(file, path, &bytes, &size, error);
    close(file);
    if (status != MUSTER_OK)
        return status;
    struct muster_error reason;
    status = muster__npy_parse(bytes, size, array, &reason);
    if (status != MUSTER_OK) {
        free(bytes);
        return fail(error, status, path, reason.text);
    }
    *storage = bytes;
    return MUSTER_OK;
}
