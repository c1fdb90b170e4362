/* Files that grow: every piece is written at a known offset, so that it can be written again. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "record/outlet.h"
#include "status.h"

enum { BLOCK_SIZE = 4096 };

/* False with errno set: the bytes are not there. */
static bool read_at(int file, uint64_t offset, char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t got = pread(file, bytes, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            errno = EIO; /* it became shorter */
        if (got <= 0)
            return false;
        bytes += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return true;
}

static enum muster_status look(struct outlet *outlet, struct muster_error *error)
{
    struct stat information;
    if (fstat(outlet->file, &information) != 0)
        return muster__file_errno(error, outlet->path, "asking for its size");
    if (!S_ISREG(information.st_mode))
        return muster__file_error(error, MUSTER_IO, outlet->path, "this is not a regular file");
    if (flock(outlet->file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return muster__file_error(error, MUSTER_BUSY, outlet->path, "another record has this file open");
    outlet->size = (uint64_t)information.st_size;
    return MUSTER_OK;
}

static enum muster_status open_file(struct outlet *outlet, int flags, struct muster_error *error)
{
    outlet->file = open(outlet->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags, 0666);
    if (outlet->file < 0)
        return muster__file_errno(error, outlet->path, "opening");
    enum muster_status status = look(outlet, error);
    if (status != MUSTER_OK) {
        close(outlet->file);
        outlet->file = -1;
    }
    return status;
}

enum muster_status muster__outlet_open(struct outlet *outlet, const char *path, bool anew,
                                       struct muster_error *error)
{
    *outlet = (struct outlet){.file = -1, .path = strdup(path)};
    if (!outlet->path)
        return muster__file_error(error, MUSTER_OUT_OF_MEMORY, path, "out of memory");
    return open_file(outlet, anew ? O_EXCL : 0, error);
}

void muster__outlet_close(struct outlet *outlet)
{
    if (outlet->file >= 0)
        close(outlet->file);
    free(outlet->path);
}

void muster__outlet_reopen(struct outlet *outlet)
{
    struct muster_error error;
    close(outlet->file);
    open_file(outlet, 0, &error); /* an error is seen by the next write */
}

enum muster_status muster__outlet_write(struct outlet *outlet, uint64_t offset, const void *bytes,
                                        size_t size, struct muster_error *error)
{
    if (outlet->file < 0) {
        enum muster_status status = open_file(outlet, 0, error);
        if (status != MUSTER_OK)
            return status;
    }
    bool written = muster__file_write(outlet->file, offset, bytes, size);
    enum muster_status status = written ? MUSTER_OK : muster__file_errno(error, outlet->path, "writing");
    uint64_t end = written ? offset + size : offset;
    bool cut = !written || end < outlet->size;
    outlet->size = end;
    if (cut && ftruncate(outlet->file, (off_t)end) != 0 && written)
        status = muster__file_errno(error, outlet->path, "ending it");
    return status;
}

enum muster_status muster__piece_begin(struct piece *piece, struct muster_error *error)
{
    *piece = (struct piece){.bytes = NULL};
    piece->out = open_memstream(&piece->bytes, &piece->size);
    return piece->out ? MUSTER_OK : muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
}

enum muster_status muster__outlet_put(struct outlet *outlet, uint64_t offset, struct piece *piece, bool whole,
                                      struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    whole = !ferror(piece->out) && whole;
    if (fclose(piece->out) != 0 || !whole)
        status = muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    else if (piece->size > 0)
        status = muster__outlet_write(outlet, offset, piece->bytes, piece->size, error);
    free(piece->bytes);
    return status;
}

enum muster_status muster__outlet_read(const struct outlet *outlet, size_t size, char **bytes,
                                       struct muster_error *error)
{
    *bytes = malloc(size + 1);
    if (!*bytes)
        return muster__file_error(error, MUSTER_OUT_OF_MEMORY, outlet->path, "out of memory");
    (*bytes)[size] = '\0';
    if (read_at(outlet->file, 0, *bytes, size))
        return MUSTER_OK;
    free(*bytes);
    *bytes = NULL;
    return muster__file_errno(error, outlet->path, "reading");
}

enum muster_status muster__outlet_end_line(struct outlet *outlet, struct muster_error *error)
{
    char block[BLOCK_SIZE];
    uint64_t end = outlet->size;
    while (end > 0) {
        size_t size = end < BLOCK_SIZE ? (size_t)end : BLOCK_SIZE;
        if (!read_at(outlet->file, end - size, block, size))
            return muster__file_errno(error, outlet->path, "reading");
        const char *last = memrchr(block, '\n', size);
        if (last) {
            end = end - size + (uint64_t)(last - block) + 1;
            break;
        }
        end -= size;
    }
    /* What is cut off was half of a line. */
    if (end < outlet->size && ftruncate(outlet->file, (off_t)end) != 0)
        return muster__file_errno(error, outlet->path, "ending its last line");
    outlet->size = end;
    return MUSTER_OK;
}
