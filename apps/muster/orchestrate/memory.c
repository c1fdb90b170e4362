/* The folder is opened, as run_files_replace() wants it. */
#include <config.h>

#include "memory.h"

#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "common/dataset.h"
#include "launch/run_files.h"

/* Where a file is: its folder, which is open, and its name there. */
struct spot {
    char folder[PATH_MAX];
    const char *name;
    int opened;
};

/* False with *error. */
static bool find_spot(const char *path, struct spot *spot, struct muster_error *error)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        snprintf(spot->folder, sizeof(spot->folder), ".");
    else
        snprintf(spot->folder, sizeof(spot->folder), "%.*s", slash == path ? 1 : (int)(slash - path), path);
    spot->name = slash ? slash + 1 : path;
    spot->opened = open(spot->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (spot->opened < 0)
        run_files_errno(error, spot->folder, "opening");
    return spot->opened >= 0;
}

/* A whole number that is not negative. */
static bool take(const json_t *object, const char *name, uint64_t *number)
{
    const json_t *value = json_object_get(object, name);
    *number = (uint64_t)json_integer_value(value);
    return json_is_integer(value) && json_integer_value(value) >= 0;
}

static enum muster_status take_all(const json_t *object, const char *path, struct memory *memory,
                                   struct muster_error *error)
{
    char shown[RUN_PATH_SIZE];
    const json_t *loss = json_object_get(object, "loss");
    if (!take(object, "epoch", &memory->epoch) || !take(object, "checkpoint", &memory->checkpoint) ||
        !take(object, "restarts", &memory->restarts))
        return explain(error, MUSTER_FORMAT, "%s is not what an orchestrator has written",
                       run_path(path, shown));
    memory->loss = json_is_number(loss) ? json_number_value(loss) : (double)NAN;
    return MUSTER_OK;
}

enum muster_status memory_read(const char *path, struct memory *memory, struct muster_error *error)
{
    struct spot spot;
    json_t *object = NULL;
    *memory = (struct memory){.loss = (double)NAN};
    if (!find_spot(path, &spot, error))
        return error->status;
    enum muster_status status = run_files_read_json(spot.opened, spot.folder, spot.name, &object, error);
    if (status == MUSTER_OK && object)
        status = take_all(object, path, memory, error);
    json_decref(object);
    close(spot.opened);
    return status;
}

enum muster_status memory_write(const char *path, const struct memory *memory, struct muster_error *error)
{
    struct spot spot;
    if (!find_spot(path, &spot, error))
        return error->status;
    json_t *object = json_pack("{s:I, s:I, s:I}", "epoch", (json_int_t)memory->epoch, "checkpoint",
                               (json_int_t)memory->checkpoint, "restarts", (json_int_t)memory->restarts);
    if (object && isfinite(memory->loss))
        json_object_set_new(object, "loss", json_real(memory->loss));
    enum muster_status status =
        object ? run_files_replace_json(spot.opened, spot.folder, spot.name, object, error)
               : explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    json_decref(object);
    close(spot.opened);
    return status;
}
