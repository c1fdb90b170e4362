/* The updates that a member may still need, in the master's memory and in files of its run directory. */
#include <config.h>

#include "learning/vertical/updates.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "status.h"

#define PREFIX "updates-" /* and the first step that the file may have */

/* In front of each residual. */
struct header {
    uint64_t step;
    uint64_t rows;
    uint64_t digest[2]; /* of the two above, and of the residual */
};

static void digest(struct header *header, const double *residual, size_t size)
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, sizeof(header->digest));
    crypto_generichash_update(&state, (const unsigned char *)header, offsetof(struct header, digest));
    crypto_generichash_update(&state, (const unsigned char *)residual, size);
    crypto_generichash_final(&state, (unsigned char *)header->digest, sizeof(header->digest));
}

static enum muster_status no_memory(struct muster_error *error)
{
    return muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for another update");
}

/* ---- files ---- */

static char *path_of(const struct muster__vertical_updates *updates, uint64_t first)
{
    char *path = NULL;
    return asprintf(&path, "%s/" PREFIX "%020" PRIu64, updates->path, first) < 0 ? NULL : path;
}

static int is_ours(const struct dirent *entry)
{
    return strncmp(entry->d_name, PREFIX, strlen(PREFIX)) == 0;
}

/* The first steps of all files, ascending; the caller frees *firsts. */
static enum muster_status list(const struct muster__vertical_updates *updates, uint64_t **firsts,
                               size_t *count, struct muster_error *error)
{
    struct dirent **entries;
    int found = scandir(updates->path, &entries, is_ours, alphasort);
    if (found < 0)
        return muster__file_errno(error, updates->path, "listing it");
    *count = (size_t)found;
    *firsts = calloc(*count + 1, sizeof(**firsts));
    for (size_t i = 0; i < *count; i++) {
        if (*firsts)
            (*firsts)[i] = strtoull(entries[i]->d_name + strlen(PREFIX), NULL, 10);
        free(entries[i]);
    }
    free(entries);
    return *firsts ? MUSTER_OK : no_memory(error);
}

/* A new file for what comes after the last. */
static enum muster_status begin_file(struct muster__vertical_updates *updates, struct muster_error *error)
{
    char *path = path_of(updates, updates->last + 1);
    if (!path)
        return no_memory(error);
    enum muster_status status = MUSTER_OK;
    if (updates->file >= 0)
        close(updates->file);
    updates->file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    updates->size = 0;
    if (updates->file < 0)
        status = muster__file_errno(error, path, "making it");
    free(path);
    return status;
}

/* What is only half there after an error goes: what comes later would be read as its rest. */
static enum muster_status append(struct muster__vertical_updates *updates,
                                 const struct muster__vertical_update *update, struct muster_error *error)
{
    size_t size = update->rows * updates->outputs * sizeof(*update->residual);
    struct header header = {.step = update->step, .rows = update->rows};
    digest(&header, update->residual, size);
    if (!muster__file_write(updates->file, updates->size, &header, sizeof(header)) ||
        !muster__file_write(updates->file, updates->size + sizeof(header), update->residual, size)) {
        enum muster_status status = muster__file_errno(error, updates->path, "appending an update");
        (void)!ftruncate(updates->file, (off_t)updates->size);
        return status;
    }
    updates->size += sizeof(header) + size;
    return MUSTER_OK;
}

/* ---- memory ---- */

static enum muster_status keep(struct muster__vertical_updates *updates, uint64_t step,
                               const double *residual, size_t rows, struct muster_error *error)
{
    size_t size = rows * updates->outputs * sizeof(*residual);
    if (updates->count == updates->room) {
        size_t room = 2 * updates->room + 16;
        struct muster__vertical_update *more = realloc(updates->kept, room * sizeof(*more));
        if (!more)
            return no_memory(error);
        updates->kept = more;
        updates->room = room;
    }
    double *copy = malloc(size);
    if (!copy)
        return no_memory(error);
    memcpy(copy, residual, size);
    updates->kept[updates->count++] = (struct muster__vertical_update){step, rows, copy};
    updates->last = step;
    return MUSTER_OK;
}

static void drop(struct muster__vertical_updates *updates, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(updates->kept[i].residual);
    updates->count -= count;
    if (updates->count > 0)
        memmove(updates->kept, updates->kept + count, updates->count * sizeof(*updates->kept));
}

/* ---- reading ---- */

/* Takes the update that `bytes` begin with. 0: it is damaged, or does not follow. Otherwise its size. */
static size_t take(struct muster__vertical_updates *updates, const uint8_t *bytes, size_t size,
                   enum muster_status *status, struct muster_error *error)
{
    struct header header, again;
    size_t row = updates->outputs * sizeof(double);
    if (size < sizeof(header))
        return 0;
    memcpy(&header, bytes, sizeof(header));
    if (header.rows > (size - sizeof(header)) / row ||
        (updates->last != 0 && header.step != updates->last + 1))
        return 0;
    size_t length = (size_t)header.rows * row;
    const double *residual = (const double *)(bytes + sizeof(header));
    again = header;
    digest(&again, residual, length);
    if (memcmp(&again, &header, sizeof(header)) != 0)
        return 0;
    *status = keep(updates, header.step, residual, (size_t)header.rows, error);
    return sizeof(header) + length;
}

/* What is damaged goes: it would hide what comes later. */
static enum muster_status read_file(struct muster__vertical_updates *updates, uint64_t first, bool *whole,
                                    struct muster_error *error)
{
    void *bytes = NULL;
    size_t size = 0, good = 0, more = 1;
    char *path = path_of(updates, first);
    enum muster_status status =
        path ? muster__file_read(AT_FDCWD, path, path, SIZE_MAX, &bytes, &size, error) : no_memory(error);
    while (status == MUSTER_OK && good < size && more > 0) {
        more = take(updates, (const uint8_t *)bytes + good, size - good, &status, error);
        good += more;
    }
    *whole = good == size;
    if (status == MUSTER_OK && !*whole && truncate(path, (off_t)good) != 0)
        status = muster__file_errno(error, path, "removing what is damaged");
    free(bytes);
    free(path);
    return status;
}

enum muster_status muster__vertical_updates_open(struct muster__vertical_updates *updates, const char *path,
                                                 size_t outputs, struct muster_error *error)
{
    *updates = (struct muster__vertical_updates){.outputs = outputs, .file = -1};
    if (!path)
        return MUSTER_OK;
    uint64_t *firsts = NULL;
    size_t count = 0;
    bool whole = true;
    updates->path = strdup(path);
    enum muster_status status = updates->path ? list(updates, &firsts, &count, error) : no_memory(error);
    for (size_t i = 0; i < count && whole && status == MUSTER_OK; i++)
        status = read_file(updates, firsts[i], &whole, error);
    for (size_t i = 0; i < count && status == MUSTER_OK; i++) {
        char *late = firsts[i] > updates->last ? path_of(updates, firsts[i]) : NULL;
        if (late)
            unlink(late);
        free(late);
    }
    if (status == MUSTER_OK)
        status = begin_file(updates, error);
    free(firsts);
    return status;
}

void muster__vertical_updates_close(struct muster__vertical_updates *updates)
{
    drop(updates, updates->count);
    if (updates->path && updates->file >= 0)
        close(updates->file);
    free(updates->kept);
    free(updates->path);
    *updates = (struct muster__vertical_updates){.file = -1};
}

/* ---- what the master does ---- */

/* A file goes when the next begins with a step that nobody needs either. */
static void remove_files(struct muster__vertical_updates *updates, uint64_t step)
{
    uint64_t *firsts = NULL;
    size_t count = 0;
    if (list(updates, &firsts, &count, NULL) == MUSTER_OK) {
        for (size_t i = 0; i + 1 < count && firsts[i + 1] <= step + 1; i++) {
            char *path = path_of(updates, firsts[i]);
            if (path)
                unlink(path);
            free(path);
        }
    }
    free(firsts);
}

/* The one that is appended to, too: its name would say where the one of the next updates ends. */
static enum muster_status remove_all(const struct muster__vertical_updates *updates,
                                     struct muster_error *error)
{
    uint64_t *firsts = NULL;
    size_t count = 0;
    enum muster_status status = list(updates, &firsts, &count, error);
    for (size_t i = 0; i < count && status == MUSTER_OK; i++) {
        char *path = path_of(updates, firsts[i]);
        if (!path)
            status = no_memory(error);
        else if (unlink(path) != 0)
            status = muster__file_errno(error, path, "removing it");
        free(path);
    }
    free(firsts);
    return status;
}

enum muster_status muster__vertical_updates_clear(struct muster__vertical_updates *updates,
                                                  struct muster_error *error)
{
    drop(updates, updates->count);
    updates->last = 0;
    if (!updates->path)
        return MUSTER_OK;
    enum muster_status status = remove_all(updates, error);
    return status == MUSTER_OK ? begin_file(updates, error) : status;
}

enum muster_status muster__vertical_updates_add(struct muster__vertical_updates *updates, uint64_t step,
                                                const double *residual, size_t rows,
                                                struct muster_error *error)
{
    if (step <= updates->last)
        return MUSTER_OK;
    enum muster_status status = keep(updates, step, residual, rows, error);
    if (status == MUSTER_OK && updates->path) {
        status = append(updates, &updates->kept[updates->count - 1], error);
        if (status != MUSTER_OK) {
            free(updates->kept[--updates->count].residual);
            updates->last = step - 1;
        }
    }
    return status;
}

const struct muster__vertical_update *muster__vertical_updates_find(
    const struct muster__vertical_updates *updates, uint64_t step)
{
    if (updates->count == 0 || step < updates->kept[0].step || step > updates->last)
        return NULL;
    return &updates->kept[step - updates->kept[0].step];
}

void muster__vertical_updates_forget(struct muster__vertical_updates *updates, uint64_t step)
{
    size_t count = 0;
    while (count < updates->count && updates->kept[count].step <= step)
        count++;
    drop(updates, count);
    if (updates->path && count > 0)
        remove_files(updates, step);
}

enum muster_status muster__vertical_updates_sync(struct muster__vertical_updates *updates,
                                                 struct muster_error *error)
{
    if (!updates->path)
        return MUSTER_OK;
    if (fdatasync(updates->file) != 0)
        return muster__file_errno(error, updates->path, "syncing updates");
    return begin_file(updates, error);
}
