/* The order of the steps is what a kill at any instant needs: lock; experiment.json, which makes the directory a run; then
 * the rest. While an old run is removed, experiment.json says so, and whoever takes the directory next goes on with that. */
#include <config.h>

#include "run_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/dataset.h"
#include "registry.h"
#include "run_files.h"
#include "run_lock.h"
#include "run_record.h"

/* In experiment.json while an old run is removed. */
#define KEY_EMPTYING "emptying"

struct run_directory {
    char *path;
    int folder, lock, logs;
    bool goes_on;
};

/* ---- the directory ---- */

/* Makes it, and those that it lies in. */
static enum muster_status make_folders(const char *run, struct muster_error *error)
{
    char *path = strdup(run);
    if (!path)
        return dataset_out_of_memory(error);
    enum muster_status status = MUSTER_OK;
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        path[--length] = '\0';
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        /* One that cannot be made may be there nevertheless: the last one tells. */
        mkdir(path, 0777);
        *slash = '/';
    }
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        status = run_files_errno(error, path, "making the directory of the run");
    free(path);
    return status;
}

static enum muster_status open_folder(struct run_directory *directory, const char *run,
                                      struct muster_error *error)
{
    if (*run == '\0')
        return explain(error, MUSTER_INVALID, "the run has no directory");
    enum muster_status status = make_folders(run, error);
    if (status != MUSTER_OK)
        return status;
    directory->folder = open(run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    directory->path = directory->folder >= 0 ? realpath(run, NULL) : NULL;
    if (!directory->path)
        return run_files_errno(error, run, "opening the directory of the run");
    return MUSTER_OK;
}

/* ---- what it holds ---- */

/* What may be there before experiment.json is: a launcher was killed at once. */
static bool is_ours_before(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, RUN_LOCK) == 0 ||
           strncmp(name, RUN_TEMPORARY, strlen(RUN_TEMPORARY)) == 0;
}

/* Something in a directory that is no run; "" when there is nothing. */
static enum muster_status find_foreign(const struct run_directory *directory, char name[RUN_PATH_SIZE],
                                       struct muster_error *error)
{
    int copy = openat(directory->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = copy >= 0 ? fdopendir(copy) : NULL;
    const struct dirent *entry;
    name[0] = '\0';
    if (!entries) {
        if (copy >= 0)
            close(copy);
        return run_files_errno(error, directory->path, "reading the directory");
    }
    while (name[0] == '\0' && (entry = readdir(entries))) {
        if (!is_ours_before(entry->d_name))
            run_path(entry->d_name, name);
    }
    closedir(entries);
    return MUSTER_OK;
}

/* Reads experiment.json; *before is NULL when a run is to begin here. */
static enum muster_status look(const struct run_directory *directory, json_t **before,
                               struct muster_error *error)
{
    char name[RUN_PATH_SIZE], shown[RUN_PATH_SIZE];
    enum muster_status status =
        run_files_read_json(directory->folder, directory->path, RUN_EXPERIMENT, before, error);
    if (status != MUSTER_OK || *before)
        return status;
    status = find_foreign(directory, name, error);
    if (status != MUSTER_OK || name[0] == '\0')
        return status;
    return explain(error, MUSTER_INVALID,
                   "%s is not empty, and holds no run (there is %s in it): use another `run:`",
                   run_path(directory->path, shown), name);
}

/* Nothing is written into a directory that is somebody's, not even a lock. */
static enum muster_status look_before(const struct run_directory *directory, struct muster_error *error)
{
    json_t *before;
    enum muster_status status = look(directory, &before, error);
    json_decref(before);
    return status;
}

static enum muster_status take_lock(struct run_directory *directory, struct muster_error *error)
{
    struct run_owner owner;
    char shown[RUN_PATH_SIZE];
    directory->lock = run_lock_take(directory->folder);
    if (directory->lock >= 0)
        return MUSTER_OK;
    if (errno != EWOULDBLOCK)
        return run_files_errno(error, directory->path, "locking it");
    run_lock_look(directory->folder, &owner);
    return explain(error, MUSTER_EXISTS, "%s: this run is running (process %ld on %s): see `muster status`",
                   run_path(directory->path, shown), (long)owner.pid, owner.host);
}

static enum muster_status compare(const struct run_directory *directory, const json_t *before,
                                  const json_t *now, struct muster_error *error)
{
    char shown[RUN_PATH_SIZE], difference[MUSTER_ERROR_TEXT_SIZE], more[40] = "";
    size_t count = run_record_differences(before, now, difference, sizeof(difference));
    if (count == 0)
        return MUSTER_OK;
    if (count > 1)
        snprintf(more, sizeof(more), " (and %zu more)", count - 1);
    return explain(error, MUSTER_INVALID,
                   "%s holds another experiment: %.*s%s; use another `run:`, or --overwrite to begin anew",
                   run_path(directory->path, shown), 150 - (int)(strlen(shown) + strlen(more)) / 2,
                   difference, more);
}

/* ---- what is written ---- */

static enum muster_status write_record(const struct run_directory *directory, json_t *record, bool emptying,
                                       struct muster_error *error)
{
    if (emptying)
        json_object_set_new(record, KEY_EMPTYING, json_true());
    else
        json_object_del(record, KEY_EMPTYING);
    return run_files_replace_json(directory->folder, directory->path, RUN_EXPERIMENT, record, error);
}

/* Removes all that an earlier run made, but what says so. */
static enum muster_status empty(const struct run_directory *directory, json_t *record,
                                struct muster_error *error)
{
    static const char *const names[] = {RUN_END,  RUN_FILE, RUN_LOGS,  RUN_CONTROL,
                                        "server", "nodes",  "vertical"};
    enum muster_status status = write_record(directory, record, true, error);
    for (size_t i = 0; status == MUSTER_OK && i < sizeof(names) / sizeof(*names); i++)
        status = run_files_remove(directory->folder, directory->path, names[i], error);
    return status;
}

static enum muster_status write_all(struct run_directory *directory, const struct experiment *experiment,
                                    json_t *record, struct muster_error *error)
{
    enum muster_status status = write_record(directory, record, false, error);
    if (status == MUSTER_OK)
        status = run_files_remove(directory->folder, directory->path, RUN_END, error);
    if (status == MUSTER_OK && experiment->text)
        status = run_files_replace(directory->folder, directory->path, RUN_FILE, experiment->text,
                                   strlen(experiment->text), error);
    if (status != MUSTER_OK)
        return status;
    mkdirat(directory->folder, RUN_LOGS, 0777);
    directory->logs = openat(directory->folder, RUN_LOGS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return directory->logs >= 0 ? MUSTER_OK : run_files_errno(error, directory->path, "making logs/ in it");
}

/* With the lock. */
static enum muster_status fill(struct run_directory *directory, const struct experiment *experiment,
                               bool overwrite, struct muster_error *error)
{
    json_t *before = NULL, *now = NULL;
    enum muster_status status = look(directory, &before, error);
    if (status != MUSTER_OK)
        return status;
    bool emptying = json_is_true(json_object_get(before, KEY_EMPTYING));
    directory->goes_on = before && !overwrite && !emptying;
    now = run_record_new(experiment, overwrite ? NULL : before);
    if (!now)
        status = dataset_out_of_memory(error);
    if (status == MUSTER_OK && before && !overwrite)
        status = compare(directory, before, now, error);
    if (status == MUSTER_OK && before && (overwrite || emptying))
        status = empty(directory, now, error);
    if (status == MUSTER_OK)
        status = write_all(directory, experiment, now, error);
    if (status == MUSTER_OK && directory->goes_on)
        run_record_compare_programs(before, now);
    json_decref(before);
    json_decref(now);
    return status;
}

enum muster_status run_directory_take(const struct experiment *experiment, bool overwrite,
                                      struct run_directory **directory, struct muster_error *error)
{
    struct run_directory *made = malloc(sizeof(*made));
    *directory = NULL;
    if (!made)
        return dataset_out_of_memory(error);
    *made = (struct run_directory){.folder = -1, .lock = -1, .logs = -1};
    enum muster_status status = open_folder(made, experiment->run, error);
    if (status == MUSTER_OK)
        status = look_before(made, error);
    if (status == MUSTER_OK)
        status = take_lock(made, error);
    if (status == MUSTER_OK)
        status = fill(made, experiment, overwrite, error);
    if (status != MUSTER_OK) {
        run_directory_free(made);
        return status;
    }
    registry_add(experiment->name, made->path);
    *directory = made;
    return MUSTER_OK;
}

bool run_directory_goes_on(const struct run_directory *directory)
{
    return directory->goes_on;
}

const char *run_directory_path(const struct run_directory *directory)
{
    return directory->path;
}

int run_directory_open_log(const struct run_directory *directory, const char *name)
{
    char *file = NULL;
    if (*name == '\0' || strchr(name, '/')) {
        errno = EINVAL;
        return -1;
    }
    if (asprintf(&file, "%s" RUN_LOG_SUFFIX, name) < 0) {
        errno = ENOMEM;
        return -1;
    }
    int log = openat(directory->logs, file, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    int number = errno;
    free(file);
    errno = number;
    return log;
}

enum muster_status run_directory_end(struct run_directory *directory, int status, const char *why,
                                     struct muster_error *error)
{
    char now[RUN_TIME_SIZE], *text = strdup(why);
    json_t *end = NULL;
    if (text)
        end = json_pack("{s:s, s:i, s:s}", "ended", run_time_now(now), "status", status, "why",
                        muster_text_harmless(why, text, strlen(text) + 1));
    free(text);
    if (!end)
        return dataset_out_of_memory(error);
    enum muster_status kept = run_files_replace_json(directory->folder, directory->path, RUN_END, end, error);
    json_decref(end);
    return kept;
}

void run_directory_free(struct run_directory *directory)
{
    if (!directory)
        return;
    if (directory->lock >= 0) {
        unlinkat(directory->folder, RUN_CONTROL, 0);
        close(directory->lock);
    }
    if (directory->logs >= 0)
        close(directory->logs);
    if (directory->folder >= 0)
        close(directory->folder);
    free(directory->path);
    free(directory);
}
