/*
 * Files that are replaced whole. A temporary is on the disk before it takes the name, and the folder is
 * written after that: a crash in between leaves the old file, and a temporary that is nobody's.
 */
#include <config.h>

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "status.h"

enum {
    PATH_SHOWN_MAX = 120, /* bytes of a path, from its end, that go into an error */
    NAME_MAX_SIZE = 64,   /* of a temporary file's name */
};

enum muster_status muster__file_error(struct muster_error *error, enum muster_status status, const char *path,
                                      const char *why)
{
    size_t length = strlen(path);
    bool cut = length > PATH_SHOWN_MAX;
    return muster__error(error, status, "%s%s: %s", cut ? "..." : "",
                         cut ? path + length - PATH_SHOWN_MAX : path, why);
}

enum muster_status muster__file_errno(struct muster_error *error, const char *path, const char *doing)
{
    char why[MUSTER_ERROR_TEXT_SIZE];
    enum muster_status status = errno == ENOMEM ? MUSTER_OUT_OF_MEMORY : MUSTER_IO;
    snprintf(why, sizeof(why), "%s: %s", doing, strerror(errno));
    return muster__file_error(error, status, path, why);
}

bool muster__file_write(int file, uint64_t offset, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t written = pwrite(file, at, size, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return false;
        at += written;
        offset += (uint64_t)written;
        size -= (size_t)written;
    }
    return true;
}

enum muster_status muster__file_open(int folder, const char *name, const char *path, int *file, size_t *size,
                                     struct muster_error *error)
{
    struct stat information;
    *file = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*file < 0)
        return muster__file_errno(error, path, "opening");
    enum muster_status status = MUSTER_OK;
    if (fstat(*file, &information) != 0)
        status = muster__file_errno(error, path, "asking for its size");
    else if (!S_ISREG(information.st_mode))
        status = muster__file_error(error, MUSTER_IO, path, "this is not a regular file");
    if (status != MUSTER_OK)
        close(*file);
    else
        *size = (size_t)information.st_size;
    return status;
}

enum muster_status muster__file_read(int folder, const char *name, const char *path, size_t most,
                                     void **bytes, size_t *size, struct muster_error *error)
{
    int file;
    size_t have = 0;
    ssize_t got = 1;
    enum muster_status status = muster__file_open(folder, name, path, &file, size, error);
    if (status != MUSTER_OK)
        return status;
    char *content = *size <= most ? malloc(*size + 1) : NULL;
    while (content && have < *size && (got > 0 || (got < 0 && errno == EINTR))) {
        got = read(file, content + have, *size - have);
        have += got > 0 ? (size_t)got : 0;
    }
    if (*size > most)
        status = muster__file_error(error, MUSTER_FORMAT, path, "it is too long");
    else if (!content)
        status = muster__file_error(error, MUSTER_OUT_OF_MEMORY, path, "out of memory");
    else if (got < 0)
        status = muster__file_errno(error, path, "reading");
    else if (have < *size)
        status = muster__file_error(error, MUSTER_FORMAT, path, "it became shorter while it was read");
    close(file);
    if (status != MUSTER_OK) {
        free(content);
        return status;
    }
    content[have] = '\0';
    *bytes = content;
    return MUSTER_OK;
}

/* Makes a file of a name that nobody else uses; its mode is what the umask leaves. -1 on an error. */
static int create_temporary(int folder, char name[NAME_MAX_SIZE])
{
    static atomic_uint last;
    int file;
    do {
        snprintf(name, NAME_MAX_SIZE, MUSTER__TEMPORARY_PREFIX "%ld-%u", (long)getpid(),
                 atomic_fetch_add(&last, 1));
        file = openat(folder, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (file < 0 && errno == EEXIST); /* one that a killed process left, or of another machine's */
    return file;
}

/* What the file is called in its folder. */
static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

enum muster_status muster__file_replace_in(int folder, const char *path, muster__file_writer *write,
                                           const void *context, struct muster_error *error)
{
    char temporary[NAME_MAX_SIZE];
    int file = create_temporary(folder, temporary);
    if (file < 0)
        return muster__file_errno(error, path, "creating a temporary file beside it");
    enum muster_status status = write(context, file, path, error);
    if (status == MUSTER_OK && fsync(file) != 0)
        status = muster__file_errno(error, path, "writing");
    if (close(file) != 0 && status == MUSTER_OK)
        status = muster__file_errno(error, path, "closing");
    if (status == MUSTER_OK && renameat(folder, temporary, folder, name_of(path)) != 0)
        status = muster__file_errno(error, path, "moving the temporary file there");
    if (status != MUSTER_OK)
        unlinkat(folder, temporary, 0);
    return status;
}

enum muster_status muster__folder_sync(int folder, const char *path, struct muster_error *error)
{
    /* File systems that cannot do it for a folder say EINVAL. */
    if (fsync(folder) != 0 && errno != EINVAL)
        return muster__file_errno(error, path, "writing its folder");
    return MUSTER_OK;
}

enum muster_status muster__folder_open(const char *path, int *folder, struct muster_error *error)
{
    size_t length = (size_t)(name_of(path) - path);
    if (path[length] == '\0')
        return muster__file_error(error, MUSTER_INVALID, path, "this is no name for a file");
    char *parent = malloc(length + 2);
    if (!parent)
        return muster__file_error(error, MUSTER_OUT_OF_MEMORY, path, "out of memory");
    memcpy(parent, path, length);
    strcpy(parent + length, ".");
    *folder = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum muster_status status = MUSTER_OK;
    if (*folder < 0)
        status = muster__file_errno(error, path, "opening its folder");
    free(parent);
    return status;
}

enum muster_status muster__file_replace(const char *path, muster__file_writer *write, const void *context,
                                        struct muster_error *error)
{
    int folder;
    enum muster_status status = muster__folder_open(path, &folder, error);
    if (status != MUSTER_OK)
        return status;
    status = muster__file_replace_in(folder, path, write, context, error);
    if (status == MUSTER_OK)
        status = muster__folder_sync(folder, path, error);
    close(folder);
    return status;
}
