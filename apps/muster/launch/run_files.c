/* What is written goes into a temporary beside its place, down to the disk, and then takes the name. */
#include <config.h>

#include "run_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/dataset.h"

/* How deep a tree may be that is removed: as deep as descriptors last. */
enum { DEPTH_MAX = 100 };

const char *run_path(const char *path, char text[RUN_PATH_SIZE])
{
    size_t length = strlen(path), room = RUN_PATH_SIZE - 1;
    if (length <= room)
        return muster_text_harmless(path, text, RUN_PATH_SIZE);
    const char *end = path + length - (room - strlen("..."));
    while (((unsigned char)*end & 0xc0) == 0x80)
        end++;
    memcpy(text, "...", strlen("..."));
    muster_text_harmless(end, text + strlen("..."), RUN_PATH_SIZE - strlen("..."));
    return text;
}

enum muster_status run_files_errno(struct muster_error *error, const char *path, const char *doing)
{
    char shown[RUN_PATH_SIZE];
    int number = errno;
    return explain(error, number == ENOMEM ? MUSTER_OUT_OF_MEMORY : MUSTER_IO, "%s: %s: %s",
                   run_path(path, shown), doing, strerror(number));
}

/* The same for a file in the directory `path`. */
static enum muster_status fail(struct muster_error *error, const char *path, const char *name,
                               const char *doing)
{
    int number = errno;
    char *file = NULL;
    if (asprintf(&file, "%s/%s", path, name) < 0)
        return dataset_out_of_memory(error);
    errno = number;
    enum muster_status status = run_files_errno(error, file, doing);
    free(file);
    return status;
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

/* Only one process writes in the directory at a time, the one that has the lock. */
enum muster_status run_files_replace(int folder, const char *path, const char *name, const void *bytes,
                                     size_t size, struct muster_error *error)
{
    char temporary[64];
    snprintf(temporary, sizeof(temporary), RUN_TEMPORARY "%s", name);
    /* Values that came from the environment are nobody else's business. */
    int file = openat(folder, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0)
        return fail(error, path, name, "creating");
    bool written = write_all(file, bytes, size) && fsync(file) == 0;
    int number = errno;
    if (close(file) != 0 && written) {
        written = false;
        number = errno;
    }
    if (written && renameat(folder, temporary, folder, name) == 0 && fsync(folder) == 0)
        return MUSTER_OK;
    number = written ? errno : number;
    unlinkat(folder, temporary, 0);
    errno = number;
    return fail(error, path, name, "writing");
}

enum muster_status run_files_replace_json(int folder, const char *path, const char *name, const json_t *value,
                                          struct muster_error *error)
{
    char *text = json_dumps(value, JSON_INDENT(2));
    if (!text)
        return dataset_out_of_memory(error);
    size_t length = strlen(text);
    text[length] = '\n'; /* in place of the NUL */
    enum muster_status status = run_files_replace(folder, path, name, text, length + 1, error);
    free(text);
    return status;
}

static enum muster_status parse(FILE *file, const char *path, const char *name, json_t **value,
                                struct muster_error *error)
{
    char shown[RUN_PATH_SIZE];
    json_error_t why;
    struct stat there;
    if (fstat(fileno(file), &there) != 0)
        return fail(error, path, name, "reading");
    if (!S_ISREG(there.st_mode) || there.st_size > RUN_JSON_MAX)
        return explain(error, MUSTER_FORMAT, "%s/%s: this is no file of a run", run_path(path, shown), name);
    *value = json_loadf(file, 0, &why);
    if (json_is_object(*value))
        return MUSTER_OK;
    json_decref(*value);
    *value = NULL;
    return explain(error, MUSTER_FORMAT, "%s/%s: it is damaged (line %d)", run_path(path, shown), name,
                   why.line);
}

enum muster_status run_files_read_json(int folder, const char *path, const char *name, json_t **value,
                                       struct muster_error *error)
{
    *value = NULL;
    int descriptor = openat(folder, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0)
        return errno == ENOENT ? MUSTER_OK : fail(error, path, name, "opening");
    FILE *file = fdopen(descriptor, "r");
    if (!file) {
        close(descriptor);
        return dataset_out_of_memory(error);
    }
    enum muster_status status = parse(file, path, name, value, error);
    fclose(file);
    return status;
}

static bool remove_tree(int folder, const char *name, int depth);

/* Takes the descriptor. */
static bool remove_entries(int folder, int depth)
{
    DIR *entries = fdopendir(folder);
    if (!entries) {
        close(folder);
        return false;
    }
    bool removed = true;
    const struct dirent *entry;
    while (removed && (errno = 0, entry = readdir(entries))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            removed = remove_tree(dirfd(entries), entry->d_name, depth);
    }
    int number = errno;
    removed = removed && number == 0;
    closedir(entries);
    errno = number;
    return removed;
}

static bool remove_tree(int folder, const char *name, int depth)
{
    if (unlinkat(folder, name, 0) == 0 || errno == ENOENT)
        return true;
    if (errno != EISDIR && errno != EPERM)
        return false;
    if (depth >= DEPTH_MAX) {
        errno = ELOOP;
        return false;
    }
    int inner = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return inner >= 0 && remove_entries(inner, depth + 1) && unlinkat(folder, name, AT_REMOVEDIR) == 0;
}

enum muster_status run_files_remove(int folder, const char *path, const char *name,
                                    struct muster_error *error)
{
    return remove_tree(folder, name, 0) ? MUSTER_OK : fail(error, path, name, "removing");
}

const char *run_time(time_t time, char text[RUN_TIME_SIZE])
{
    struct tm utc;
    text[0] = '\0';
    if (gmtime_r(&time, &utc))
        strftime(text, RUN_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return text;
}

const char *run_time_now(char text[RUN_TIME_SIZE])
{
    return run_time(time(NULL), text);
}
