/* Where the coordinator keeps its groups: a file that is replaced as a whole. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "file.h"
#include "group/coordinator_store.h"
#include "status.h"

#define FILE_MOST ((size_t)256 << 20) /* bytes */

static int64_t wall_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint8_t *muster__store_pack(const struct groups *groups, int64_t now, size_t *size)
{
    *size = 0;
    return muster__groups_pack(groups, now, wall_clock(), size);
}

struct content {
    const uint8_t *bytes;
    size_t size;
};

static enum muster_status write_content(const void *context, int file, const char *path,
                                        struct muster_error *error)
{
    const struct content *content = context;
    /* It holds the secrets. */
    if (fchmod(file, S_IRUSR | S_IWUSR) != 0)
        return muster__file_errno(error, path, "making it readable by its owner only");
    if (!muster__file_write(file, 0, content->bytes, content->size))
        return muster__file_errno(error, path, "writing");
    return MUSTER_OK;
}

enum muster_status muster__store_save(const char *path, const uint8_t *bytes, size_t size,
                                      struct muster_error *error)
{
    const struct content content = {bytes, size};
    if (!bytes)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    return muster__file_replace(path, write_content, &content, error);
}

/* As muster__groups_unpack(). No file, no groups. */
static enum muster_status load(struct groups *groups, const char *path, int64_t now, int64_t grace_ms,
                               struct muster_error *error)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    int folder;
    void *bytes;
    size_t size;
    struct muster_error why;
    enum muster_status status = muster__folder_open(path, &folder, error);
    if (status != MUSTER_OK)
        return status;
    bool there = faccessat(folder, name, F_OK, 0) == 0 || errno != ENOENT;
    if (there)
        status = muster__file_read(folder, name, path, FILE_MOST, &bytes, &size, error);
    close(folder);
    if (!there || status != MUSTER_OK)
        return status;
    status = muster__groups_unpack(groups, bytes, size, now, wall_clock(), grace_ms, &why);
    free(bytes);
    return status == MUSTER_OK ? status : muster__file_error(error, status, path, why.text);
}

enum muster_status muster__store_begin(struct groups *groups, const char *path, int64_t now, int64_t grace_ms,
                                       struct muster_error *error)
{
    size_t size;
    enum muster_status status = load(groups, path, now, grace_ms, error);
    if (status != MUSTER_OK)
        return status;
    uint8_t *bytes = muster__store_pack(groups, now, &size);
    status = muster__store_save(path, bytes, size, error);
    free(bytes);
    return status;
}
