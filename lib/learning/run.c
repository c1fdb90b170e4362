/*
 * Run directories. The rename of a round's file is the one step that completes the round: the lines that the
 * round adds to the metrics are on the disk before it, and its file says how long the metrics then are, so
 * that lines of a round that was not completed are known by their place.
 */
#include <config.h>

#include <muster/run.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "learning/npz.h"
#include "status.h"

#define CONFIGURATION "muster-run.json"
#define METRICS       "metrics.csv"
#define LOCK          "lock"
#define ROUND         "round"
#define METRICS_SIZE  "metrics_size"
#define OWN_ARRAYS    2 /* the two above */

enum {
    FILE_NAME_SIZE = 40, /* of any file of a run, with its NUL or slash */
    CONFIGURATION_SIZE_MAX = 1 << 20,
};

struct muster_run {
    char *path;
    char *file_path; /* room for that of any file of the run: path_of() */
    DIR *directory;
    int folder; /* its descriptor */
    int lock;
    char *configuration;
    uint64_t rounds[MUSTER_RUN_ROUNDS_KEPT]; /* that have files, the highest first; 0: none */
    int64_t metrics_size;                    /* of which everything belongs to completed rounds */
    struct muster_named_array *state;        /* as it was found; NULL after a commit */
    size_t state_count;
    bool is_there;   /* the directory has a run, as seen before it is locked and after, */
    bool has_others; /* and something that an opening that was interrupted would not have left */
    bool uncertain;  /* the last round is there, but perhaps not for good */
};

static void name_round(uint64_t round, char name[FILE_NAME_SIZE])
{
    snprintf(name, FILE_NAME_SIZE, "round-%08" PRIu64 ".npz", round);
}

/* The number of the round whose file has that name; 0: it is no such file. */
static uint64_t round_of(const char *name)
{
    char again[FILE_NAME_SIZE];
    const char *digits = name + strlen("round-");
    if (strncmp(name, "round-", strlen("round-")) != 0 || *digits < '0' || *digits > '9')
        return 0;
    uint64_t round = strtoull(digits, NULL, 10);
    name_round(round, again);
    return strcmp(name, again) == 0 ? round : 0;
}

/* DIR/NAME, for errors; until the next call. */
static const char *path_of(const struct muster_run *run, const char *name)
{
    snprintf(run->file_path, strlen(run->path) + FILE_NAME_SIZE, "%s/%s", run->path, name);
    return run->file_path;
}

/* ---- what is in the directory ---- */

/* Calls `each` with every name in the directory; a name may be removed meanwhile. */
static enum muster_status list(struct muster_run *run, void (*each)(struct muster_run *, const char *name),
                               struct muster_error *error)
{
    struct dirent *entry;
    rewinddir(run->directory);
    while (errno = 0, (entry = readdir(run->directory))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            each(run, entry->d_name);
    }
    return errno == 0 ? MUSTER_OK : muster__file_errno(error, run->path, "listing it");
}

static bool is_temporary(const char *name)
{
    return strncmp(name, MUSTER__TEMPORARY_PREFIX, strlen(MUSTER__TEMPORARY_PREFIX)) == 0;
}

static void see_kind(struct muster_run *run, const char *name)
{
    if (strcmp(name, CONFIGURATION) == 0)
        run->is_there = true;
    else if (strcmp(name, LOCK) != 0 && !is_temporary(name))
        run->has_others = true;
}

static void remove_temporary(struct muster_run *run, const char *name)
{
    if (is_temporary(name))
        unlinkat(run->folder, name, 0);
}

/* Keeps the highest rounds in order. */
static void remember_round(struct muster_run *run, uint64_t round)
{
    size_t place = 0;
    while (place < MUSTER_RUN_ROUNDS_KEPT && run->rounds[place] > round)
        place++;
    if (place == MUSTER_RUN_ROUNDS_KEPT)
        return;
    memmove(&run->rounds[place + 1], &run->rounds[place],
            (MUSTER_RUN_ROUNDS_KEPT - 1 - place) * sizeof(*run->rounds));
    run->rounds[place] = round;
}

static void see_round(struct muster_run *run, const char *name)
{
    uint64_t round = round_of(name);
    if (round != 0)
        remember_round(run, round);
}

/* Removes what is older than the rounds that are kept. What stays because of an error is no harm. */
static void prune(struct muster_run *run, const char *name)
{
    uint64_t round = round_of(name);
    if (round != 0 && round < run->rounds[MUSTER_RUN_ROUNDS_KEPT - 1])
        unlinkat(run->folder, name, 0);
}

/* ---- opening ---- */

/* Makes the directory, if there is none, and opens it. */
static enum muster_status open_folder(struct muster_run *run, struct muster_error *error)
{
    size_t length = strlen(run->path);
    while (length > 1 && run->path[length - 1] == '/')
        run->path[--length] = '\0';
    if (mkdir(run->path, 0777) == 0) {
        int parent;
        enum muster_status status = muster__folder_open(run->path, &parent, error);
        if (status == MUSTER_OK) {
            status = muster__folder_sync(parent, run->path, error);
            close(parent);
        }
        if (status != MUSTER_OK)
            return status;
    } else if (errno != EEXIST) {
        return muster__file_errno(error, run->path, "making the directory");
    }
    run->directory = opendir(run->path);
    if (!run->directory)
        return muster__file_errno(error, run->path, "opening the directory");
    run->folder = dirfd(run->directory);
    return MUSTER_OK;
}

/* Nothing is written before it is clear that the directory is empty or that of a run. */
static enum muster_status see(struct muster_run *run, struct muster_error *error)
{
    run->is_there = run->has_others = false;
    enum muster_status status = list(run, see_kind, error);
    if (status == MUSTER_OK && run->has_others && !run->is_there)
        status = muster__file_error(error, MUSTER_EXISTS, run->path,
                                    "there are files here, but no run: it has no " CONFIGURATION);
    return status;
}

static enum muster_status take_lock(struct muster_run *run, struct muster_error *error)
{
    run->lock = openat(run->folder, LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (run->lock < 0)
        return muster__file_errno(error, path_of(run, LOCK), "opening");
    if (flock(run->lock, LOCK_EX | LOCK_NB) == 0)
        return MUSTER_OK;
    if (errno == EWOULDBLOCK)
        return muster__file_error(error, MUSTER_BUSY, run->path, "another process has this run open");
    return muster__file_errno(error, path_of(run, LOCK), "locking");
}

static enum muster_status write_text(const void *context, int file, const char *path,
                                     struct muster_error *error)
{
    if (muster__file_write(file, 0, context, strlen(context)))
        return MUSTER_OK;
    return muster__file_errno(error, path, "writing");
}

enum muster_status muster_run_configure(struct muster_run *run, const char *configuration,
                                        struct muster_error *error)
{
    const char *path = path_of(run, CONFIGURATION);
    size_t length = configuration ? strlen(configuration) : 0;
    if (length == 0 || length > CONFIGURATION_SIZE_MAX)
        return muster__file_error(error, MUSTER_INVALID, path,
                                  "there is no configuration, or it is too long");
    char *copy = strdup(configuration);
    if (!copy)
        return muster__file_error(error, MUSTER_OUT_OF_MEMORY, path, "out of memory");
    enum muster_status status = muster__file_replace_in(run->folder, path, write_text, configuration, error);
    if (status == MUSTER_OK)
        status = muster__folder_sync(run->folder, run->path, error);
    if (status != MUSTER_OK) {
        free(copy);
        return status;
    }
    free(run->configuration);
    run->configuration = copy;
    return MUSTER_OK;
}

static enum muster_status read_configuration(struct muster_run *run, struct muster_error *error)
{
    size_t size;
    void *bytes = NULL;
    enum muster_status status = muster__file_read(run->folder, CONFIGURATION, path_of(run, CONFIGURATION),
                                                  CONFIGURATION_SIZE_MAX, &bytes, &size, error);
    run->configuration = bytes;
    return status;
}

/* One of our own numbers in the state; -1 when it is not there. */
static int64_t own_number(const struct muster_run *run, const char *name)
{
    const struct muster_array *array = muster_npz_find(run->state, run->state_count, name);
    if (!array || array->dtype != MUSTER_INT64 || array->dimensions != 0)
        return -1;
    return *(const int64_t *)array->data;
}

static enum muster_status read_state(struct muster_run *run, struct muster_error *error)
{
    char name[FILE_NAME_SIZE];
    int file;
    size_t size;
    if (run->rounds[0] == 0)
        return MUSTER_OK;
    name_round(run->rounds[0], name);
    const char *path = path_of(run, name);
    enum muster_status status = muster__file_open(run->folder, name, path, &file, &size, error);
    if (status == MUSTER_OK)
        status = muster__npz_read(file, size, path, SIZE_MAX, &run->state, &run->state_count, error);
    if (status != MUSTER_OK)
        return status;
    run->metrics_size = own_number(run, METRICS_SIZE);
    if (run->metrics_size < 0 || own_number(run, ROUND) != (int64_t)run->rounds[0])
        return muster__file_error(error, MUSTER_FORMAT, path, "this is not the state after that round");
    return MUSTER_OK;
}

/* Puts the lines of a round behind those of the completed ones, and nothing else. */
static enum muster_status write_metrics(const struct muster_run *run, const char *text,
                                        struct muster_error *error)
{
    const char *path = path_of(run, METRICS);
    struct stat information;
    enum muster_status status = MUSTER_OK;
    int file = openat(run->folder, METRICS, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0)
        return muster__file_errno(error, path, "opening");
    if (fstat(file, &information) != 0)
        status = muster__file_errno(error, path, "asking for its size");
    else if (information.st_size < run->metrics_size)
        status = muster__file_error(error, MUSTER_FORMAT, path,
                                    "lines of completed rounds are missing at its end");
    else if (!muster__file_write(file, (uint64_t)run->metrics_size, text, strlen(text)) ||
             ftruncate(file, run->metrics_size + (off_t)strlen(text)) != 0 || fsync(file) != 0)
        status = muster__file_errno(error, path, "writing");
    if (close(file) != 0 && status == MUSTER_OK)
        status = muster__file_errno(error, path, "closing");
    return status;
}

/* Removes the run but for its configuration, the last round first: what a crash leaves is an earlier state of
   the same run. */
static enum muster_status remove_rounds(struct muster_run *run, struct muster_error *error)
{
    char name[FILE_NAME_SIZE];
    enum muster_status status = MUSTER_OK;
    do {
        for (size_t i = 0; i < MUSTER_RUN_ROUNDS_KEPT; i++) {
            name_round(run->rounds[i], name);
            if (run->rounds[i] != 0 && unlinkat(run->folder, name, 0) != 0)
                return muster__file_errno(error, path_of(run, name), "removing");
        }
        memset(run->rounds, 0, sizeof(run->rounds));
        status = list(run, see_round, error);
    } while (status == MUSTER_OK && run->rounds[0] != 0);
    if (status == MUSTER_OK && unlinkat(run->folder, METRICS, 0) != 0 && errno != ENOENT)
        status = muster__file_errno(error, path_of(run, METRICS), "removing");
    /* Before there is another configuration, which those rounds are not of. */
    if (status == MUSTER_OK)
        status = muster__folder_sync(run->folder, run->path, error);
    return status;
}

/* With the lock held: brings the directory into order and reads what is in it. */
static enum muster_status recover(struct muster_run *run, const char *configuration, bool overwrite,
                                  struct muster_error *error)
{
    enum muster_status status = see(run, error);
    if (status == MUSTER_OK)
        status = list(run, remove_temporary, error);
    if (status == MUSTER_OK)
        status = list(run, see_round, error);
    if (status == MUSTER_OK && run->is_there && overwrite)
        status = remove_rounds(run, error);
    if (status != MUSTER_OK)
        return status;
    if (!run->is_there || overwrite)
        return muster_run_configure(run, configuration, error);
    status = read_configuration(run, error);
    if (status == MUSTER_OK)
        status = read_state(run, error);
    if (status == MUSTER_OK)
        status = write_metrics(run, "", error);
    if (status == MUSTER_OK)
        status = list(run, prune, error);
    return status;
}

enum muster_status muster_run_open(const char *path, const char *configuration, bool overwrite,
                                   struct muster_run **result, struct muster_error *error)
{
    *result = NULL;
    if (!path || *path == '\0' || !configuration || *configuration == '\0')
        return muster__error(error, MUSTER_INVALID, "a run needs a directory and a configuration");
    struct muster_run *run = calloc(1, sizeof(*run));
    if (!run)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    run->lock = -1;
    run->path = strdup(path);
    run->file_path = malloc(strlen(path) + FILE_NAME_SIZE);
    enum muster_status status = MUSTER_OK;
    if (!run->path || !run->file_path)
        status = muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    if (status == MUSTER_OK)
        status = open_folder(run, error);
    if (status == MUSTER_OK)
        status = see(run, error);
    if (status == MUSTER_OK)
        status = take_lock(run, error);
    if (status == MUSTER_OK)
        status = recover(run, configuration, overwrite, error);
    if (status == MUSTER_OK)
        *result = run;
    else
        muster_run_close(run);
    return status;
}

/* ---- a run that is open ---- */

uint64_t muster_run_round(const struct muster_run *run)
{
    return run->rounds[0];
}

const char *muster_run_configuration(const struct muster_run *run)
{
    return run->configuration;
}

const struct muster_named_array *muster_run_state(const struct muster_run *run, size_t *count)
{
    *count = run->state_count;
    return run->state;
}

static void forget_state(struct muster_run *run)
{
    free(run->state);
    run->state = NULL;
    run->state_count = 0;
}

/* Writes the file of a round: the caller's arrays and our own two. */
static enum muster_status write_round(const struct muster_run *run, const int64_t own[OWN_ARRAYS],
                                      const struct npz *state, struct muster_error *error)
{
    char name[FILE_NAME_SIZE];
    name_round((uint64_t)own[0], name);
    struct muster_named_array *arrays = calloc(state->count + OWN_ARRAYS, sizeof(*arrays));
    if (!arrays)
        return muster__file_error(error, MUSTER_OUT_OF_MEMORY, path_of(run, name), "out of memory");
    memcpy(arrays, state->arrays, state->count * sizeof(*arrays));
    arrays[state->count] =
        (struct muster_named_array){ROUND, {.dtype = MUSTER_INT64, .dimensions = 0, .data = &own[0]}};
    arrays[state->count + 1] =
        (struct muster_named_array){METRICS_SIZE, {.dtype = MUSTER_INT64, .dimensions = 0, .data = &own[1]}};
    const struct npz npz = {arrays, state->count + OWN_ARRAYS};
    enum muster_status status = muster__npz_check(&npz, name, error);
    if (status == MUSTER_OK)
        status = muster__file_replace_in(run->folder, path_of(run, name), muster__npz_write, &npz, error);
    free(arrays);
    return status;
}

static void advance(struct muster_run *run, const int64_t own[OWN_ARRAYS])
{
    char name[FILE_NAME_SIZE];
    uint64_t oldest = run->rounds[MUSTER_RUN_ROUNDS_KEPT - 1];
    remember_round(run, (uint64_t)own[0]);
    run->metrics_size = own[1];
    forget_state(run);
    name_round(oldest, name);
    if (oldest != 0)
        unlinkat(run->folder, name, 0); /* otherwise the next opening removes it */
}

enum muster_status muster_run_commit(struct muster_run *run, uint64_t round,
                                     const struct muster_named_array *state, size_t count,
                                     const char *metrics, struct muster_error *error)
{
    const struct npz npz = {state, count};
    if (run->uncertain)
        return muster__file_error(error, MUSTER_IO, run->path,
                                  "the last round may not be on the disk: open the run again");
    if (round <= run->rounds[0] || round > INT64_MAX)
        return muster__file_error(error, MUSTER_INVALID, run->path,
                                  "a round comes after those that are completed");
    enum muster_status status = muster__npz_check(&npz, run->path, error);
    if (status == MUSTER_OK)
        status = write_metrics(run, metrics, error);
    if (status != MUSTER_OK)
        return status;
    const int64_t own[OWN_ARRAYS] = {(int64_t)round, run->metrics_size + (int64_t)strlen(metrics)};
    status = write_round(run, own, &npz, error);
    if (status != MUSTER_OK)
        return status;
    status = muster__folder_sync(run->folder, run->path, error);
    if (status == MUSTER_OK)
        advance(run, own);
    else
        run->uncertain = true;
    return status;
}

void muster_run_close(struct muster_run *run)
{
    if (!run)
        return;
    forget_state(run);
    if (run->lock >= 0)
        close(run->lock);
    if (run->directory)
        closedir(run->directory);
    free(run->configuration);
    free(run->path);
    free(run->file_path);
    free(run);
}
