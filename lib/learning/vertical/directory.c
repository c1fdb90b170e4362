/* What master and member keep in their run directories: the rows that were matched, and checkpoints of the
 * weights. */
#include <config.h>

#include "learning/vertical/directory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <muster/npz.h>

#include "file.h"
#include "learning/vertical/matching.h"
#include "learning/vertical/matrix.h"
#include "learning/vertical/note.h"
#include "status.h"

#define MATCHING      "matching.npz"
#define CHECKPOINT_MS 1000
#define NUMBERS       "numbers" /* of MATCHING: identity, digest */
#define ROWS          "rows"
#define NAMES         "names"
#define WEIGHTS       "weights"
#define VELOCITY      "velocity"

static char *path_of(const struct muster__vertical_directory *directory, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", directory->path, name) < 0 ? NULL : path;
}

/* ---- the rows that were matched ---- */

static enum muster_status write_matching(const struct muster__vertical_directory *directory,
                                         const size_t *rows, size_t count, int64_t identity,
                                         const char *names, struct muster_error *error)
{
    char *path = path_of(directory, MATCHING);
    if (!path)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for a path");
    const int64_t numbers[] = {identity, (int64_t)directory->digest};
    const struct muster_named_array arrays[] = {
        {NUMBERS, muster__vertical_array(MUSTER_INT64, 2, 1, numbers)},
        {ROWS, muster__vertical_array(MUSTER_INT64, count, 1, rows)},
        {NAMES, muster__vertical_array(MUSTER_UINT8, names ? strlen(names) : 0, 1, names)},
    };
    enum muster_status status = muster_npz_write(path, arrays, 3, error);
    free(path);
    return status;
}

static enum muster_status take_matching(struct muster__vertical_directory *directory, const char *path,
                                        const struct muster_named_array *arrays, size_t array_count,
                                        size_t **rows, size_t *count, int64_t *identity,
                                        struct muster_error *error)
{
    const struct muster_array *numbers = muster_npz_find(arrays, array_count, NUMBERS);
    const struct muster_array *found = muster_npz_find(arrays, array_count, ROWS);
    const struct muster_array *names = muster_npz_find(arrays, array_count, NAMES);
    size_t there = found ? muster_array_count(found) : 0, length = names ? muster_array_count(names) : 0;
    if (!muster__vertical_is_array(numbers, MUSTER_INT64, 2, 1) ||
        !muster__vertical_is_array(found, MUSTER_INT64, there, 1) || there == 0 ||
        !muster__vertical_is_array(names, MUSTER_UINT8, length, 1))
        return muster__error(error, MUSTER_FORMAT, "%s: this is not what was matched", path);
    const int64_t *values = numbers->data;
    if ((uint64_t)values[1] != directory->digest)
        return muster__error(error, MUSTER_FORMAT,
                             "the records are not those of the run in %s: take the former ones, or another "
                             "directory",
                             directory->path);
    *rows = calloc(there, sizeof(**rows));
    directory->names = strndup(length > 0 ? names->data : "", length);
    if (!*rows || !directory->names)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for %zu rows", there);
    memcpy(*rows, found->data, there * sizeof(**rows));
    *count = there;
    *identity = values[0];
    return MUSTER_OK;
}

static enum muster_status read_matching(struct muster__vertical_directory *directory, size_t **rows,
                                        size_t *count, int64_t *identity, struct muster_error *error)
{
    char *path = path_of(directory, MATCHING);
    if (!path)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for a path");
    enum muster_status status = MUSTER_OK;
    struct muster_named_array *arrays = NULL;
    size_t array_count = 0;
    if (access(path, F_OK) == 0)
        status = muster_npz_read(path, SIZE_MAX, &arrays, &array_count, error);
    if (arrays)
        status = take_matching(directory, path, arrays, array_count, rows, count, identity, error);
    free(arrays);
    free(path);
    return status;
}

/* ---- the directory ---- */

/* Says which setting is the first that differs: both have the same keys in one order, and no value has a
 * comma. */
static enum muster_status refuse_settings(const char *path, const char *had, const char *has,
                                          struct muster_error *error)
{
    char former[64], own[64];
    size_t size;
    while ((size = strcspn(had, ",")) == strcspn(has, ",") && had[size] == ',' &&
           memcmp(had, has, size) == 0) {
        had += size + 1;
        has += size + 1;
    }
    had += strspn(had, " {");
    has += strspn(has, " {");
    snprintf(former, sizeof(former), "%.*s", (int)strcspn(had, ",}"), had);
    snprintf(own, sizeof(own), "%.*s", (int)strcspn(has, ",}"), has);
    return muster__error(error, MUSTER_FORMAT,
                         "the run in %s has other settings: %s there, and %s here: take the former ones, or "
                         "another directory",
                         path, muster_text_harmless(former, former, sizeof(former)), own);
}

enum muster_status muster__vertical_directory_open(struct muster__vertical_directory *directory,
                                                   const char *path, const char *configuration,
                                                   uint64_t digest, size_t **rows, size_t *count,
                                                   int64_t *identity, struct muster_error *error)
{
    *directory = (struct muster__vertical_directory){.digest = digest};
    *rows = NULL;
    if (!path)
        return MUSTER_OK;
    directory->path = strdup(path);
    directory->configuration = strdup(configuration);
    enum muster_status status = directory->path && directory->configuration
                                    ? muster_run_open(path, configuration, false, &directory->run, error)
                                    : muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for a path");
    if (status == MUSTER_OK && strcmp(muster_run_configuration(directory->run), configuration) != 0)
        status = refuse_settings(path, muster_run_configuration(directory->run), configuration, error);
    if (status == MUSTER_OK)
        status = read_matching(directory, rows, count, identity, error);
    if (status == MUSTER_OK)
        directory->durable = muster_run_round(directory->run);
    else
        muster__vertical_directory_close(directory);
    if (status != MUSTER_OK) {
        free(*rows);
        *rows = NULL;
    }
    return status;
}

enum muster_status muster__vertical_directory_check(const struct muster__vertical_directory *directory,
                                                    const size_t *rows, size_t count, size_t most, bool left,
                                                    struct muster_error *error)
{
    for (size_t i = 0; rows && i < count; i++) {
        if (rows[i] >= most && !(left && rows[i] == MUSTER__VERTICAL_NO_ROW))
            return muster__error(error, MUSTER_FORMAT, "%s/" MATCHING ": the records have no row %zu",
                                 directory->path, rows[i]);
    }
    return MUSTER_OK;
}

void muster__vertical_directory_close(struct muster__vertical_directory *directory)
{
    muster_run_close(directory->run);
    free(directory->path);
    free(directory->configuration);
    free(directory->names);
    *directory = (struct muster__vertical_directory){0};
}

/* The checkpoints go before the rows come: those that are there are of the rows that are there. */
enum muster_status muster__vertical_directory_begin(struct muster__vertical_directory *directory,
                                                    const size_t *rows, size_t count, int64_t identity,
                                                    const char *names, struct muster_error *error)
{
    directory->durable = 0;
    if (!directory->path)
        return MUSTER_OK;
    muster_run_close(directory->run);
    enum muster_status status =
        muster_run_open(directory->path, directory->configuration, true, &directory->run, error);
    if (status == MUSTER_OK)
        status = write_matching(directory, rows, count, identity, names, error);
    return status;
}

enum muster_status muster__vertical_directory_restore(const struct muster__vertical_directory *directory,
                                                      struct muster__vertical_weights *weights,
                                                      struct muster_error *error)
{
    if (directory->path && !directory->run)
        return muster__error(error, MUSTER_IO, "the run in %s could not be opened again", directory->path);
    if (directory->durable == 0)
        return MUSTER_OK;
    size_t count, size = weights->columns * weights->outputs;
    const struct muster_named_array *state = muster_run_state(directory->run, &count);
    const struct muster_array *values = muster_npz_find(state, count, WEIGHTS);
    const struct muster_array *velocity = muster_npz_find(state, count, VELOCITY);
    if (!muster__vertical_is_array(values, MUSTER_FLOAT64, weights->columns, weights->outputs) ||
        !muster__vertical_is_array(velocity, MUSTER_FLOAT64, weights->columns, weights->outputs))
        return muster__error(error, MUSTER_FORMAT, "the run in %s has other weights", directory->path);
    memcpy(weights->weights, values->data, size * sizeof(*weights->weights));
    memcpy(weights->velocity, velocity->data, size * sizeof(*weights->velocity));
    return MUSTER_OK;
}

/* Checkpoints are the rounds of the run, whose later files go. What it holds is read again. */
enum muster_status muster__vertical_directory_back(struct muster__vertical_directory *directory,
                                                   uint64_t step, struct muster_error *error)
{
    if (!directory->path)
        return muster__error(error, MUSTER_FORMAT,
                             "the master has lost what came after step %" PRIu64
                             ", and this member has no run directory to go back: begin a new run",
                             step);
    enum muster_status status = MUSTER_OK;
    do {
        char *path = NULL;
        uint64_t round = muster_run_round(directory->run);
        if (asprintf(&path, "%s/round-%08" PRIu64 ".npz", directory->path, round) < 0)
            return muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for a path");
        muster_run_close(directory->run);
        directory->run = NULL;
        if (round > step && unlink(path) != 0)
            status = muster__file_errno(error, path, "removing it");
        if (status == MUSTER_OK)
            status =
                muster_run_open(directory->path, directory->configuration, false, &directory->run, error);
        free(path);
    } while (status == MUSTER_OK && muster_run_round(directory->run) > step);
    directory->durable = directory->run ? muster_run_round(directory->run) : 0;
    return status;
}

bool muster__vertical_directory_is_due(const struct muster__vertical_directory *directory, uint64_t step,
                                       bool now)
{
    return directory->path && step > directory->durable &&
           (now || muster__vertical_now() - directory->saved_ms >= CHECKPOINT_MS);
}

enum muster_status muster__vertical_directory_save(struct muster__vertical_directory *directory,
                                                   const struct muster__vertical_weights *weights,
                                                   uint64_t step, struct muster_error *error)
{
    const struct muster_named_array state[] = {
        {WEIGHTS,
         muster__vertical_array(MUSTER_FLOAT64, weights->columns, weights->outputs, weights->weights)},
        {VELOCITY,
         muster__vertical_array(MUSTER_FLOAT64, weights->columns, weights->outputs, weights->velocity)},
    };
    enum muster_status status = muster_run_commit(directory->run, step, state, 2, "", error);
    if (status == MUSTER_OK) {
        directory->durable = step;
        directory->saved_ms = muster__vertical_now();
    }
    return status;
}
