/*
 * A file of answers. pread() and pwrite(), and no mapping: pages of the system's cache are not the process's
 * memory, and are given back when others need them. A file that is there already is overwritten: new pages
 * cost far more.
 */
#include <config.h>

#include "learning/strategy/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "status.h"

#define SPOOL_NAME "/answers.spool"

struct spool {
    int file;
    size_t size; /* of an answer */
    bool named;  /* the file has the path's name */
    char path[]; /* for errors */
};

/* A file without a name: the system removes it with the process. */
static int open_temporary(const char *directory)
{
    int file = -1;
    char *path;
#ifdef O_TMPFILE
    file = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (file >= 0)
        return file;
#endif
    if (asprintf(&path, "%s/" MUSTER__TEMPORARY_PREFIX "XXXXXX", directory) < 0)
        return -1;
    file = mkostemp(path, O_CLOEXEC);
    if (file >= 0)
        unlink(path);
    free(path);
    return file;
}

enum muster_status muster__spool_open(const char *directory, size_t size, struct spool **spool,
                                      struct muster_error *error)
{
    const char *temporary = getenv("TMPDIR");
    const char *place = directory ? directory : temporary && *temporary ? temporary : "/tmp";
    size_t length = strlen(place) + sizeof(SPOOL_NAME);
    struct spool *made = malloc(sizeof(*made) + length);
    *spool = NULL;
    if (!made)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "%s", muster_status_text(MUSTER_OUT_OF_MEMORY));
    *made = (struct spool){.size = size, .named = directory != NULL};
    snprintf(made->path, length, "%s%s", place, directory ? SPOOL_NAME : "");
    made->file = directory ? open(made->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600)
                           : open_temporary(place);
    if (made->file < 0) {
        enum muster_status status = muster__file_errno(error, made->path, "making a file for answers");
        free(made);
        return status;
    }
    *spool = made;
    return MUSTER_OK;
}

void muster__spool_close(struct spool *spool)
{
    if (!spool)
        return;
    if (spool->named)
        unlink(spool->path);
    close(spool->file);
    free(spool);
}

/* Where it lies in the file; false, with errno: no file is as big. */
static bool position(const struct spool *spool, size_t answer, size_t offset, size_t size, uint64_t *at)
{
    bool fits = answer < INT64_MAX / spool->size - 1;
    *at = fits ? (uint64_t)answer * spool->size + offset : 0;
    errno = EFBIG;
    return fits && size <= spool->size;
}

enum muster_status muster__spool_write(struct spool *spool, size_t answer, size_t offset, const void *bytes,
                                       size_t size, struct muster_error *error)
{
    uint64_t at;
    if (position(spool, answer, offset, size, &at) && muster__file_write(spool->file, at, bytes, size))
        return MUSTER_OK;
    return muster__file_errno(error, spool->path, "keeping an answer");
}

enum muster_status muster__spool_read(const struct spool *spool, size_t answer, size_t offset, void *bytes,
                                      size_t size, struct muster_error *error)
{
    uint64_t at;
    char *to = bytes;
    if (!position(spool, answer, offset, size, &at))
        return muster__file_errno(error, spool->path, "reading an answer");
    while (size > 0) {
        ssize_t got = pread(spool->file, to, size, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return muster__file_errno(error, spool->path, "reading an answer");
        if (got == 0)
            return muster__file_error(error, MUSTER_IO, spool->path,
                                      "somebody made the file of answers shorter");
        to += got;
        at += (uint64_t)got;
        size -= (size_t)got;
    }
    return MUSTER_OK;
}
