/* A version is a round's model. In the run it is a second name of that round's file, which stays when the round's goes. */
#include <config.h>

#include "versions.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checkpoint.h"
#include "common/dataset.h"
#include "common/log.h"
#include "instructions.h"
#include "training.h"

#define FILE_FORMAT "version-%08" PRIu64 ".npz"

enum { PATH_SIZE = 4096 };

/* An instruction that was prepared. */
struct told {
    json_t *values;
    struct muster_message message;
};

static void path_of(const struct training *training, uint64_t number, char path[PATH_SIZE])
{
    snprintf(path, PATH_SIZE, "%s/" FILE_FORMAT, training->settings->run, number);
}

/* ---- in memory ---- */

static void forget(struct version *version)
{
    for (size_t i = 0; i < version->told_count; i++) {
        json_decref(version->told[i].values);
        muster_message_clear(&version->told[i].message);
    }
    free(version->told);
    version->told = NULL;
    version->told_count = 0;
    model_free(&version->model);
    version->base = NULL;
}

static void take_out(struct versions *versions, struct version *version)
{
    struct version **at = &versions->first;
    while (*at != version)
        at = &(*at)->next;
    *at = version->next;
    forget(version);
    free(version);
}

void versions_free(struct versions *versions)
{
    while (versions->first)
        take_out(versions, versions->first);
}

/* Puts it in its place among the others. */
static struct version *put(struct versions *versions, const struct version *made)
{
    struct version **at = &versions->first, *version = malloc(sizeof(*version));
    if (!version)
        return NULL;
    *version = *made;
    while (*at && (*at)->number > version->number)
        at = &(*at)->next;
    version->next = *at;
    *at = version;
    return version;
}

static struct version *read_version(struct versions *versions, struct training *training, uint64_t number)
{
    struct version made = {.number = number,
                           .model = {.message = MUSTER_MESSAGE_INIT, .answer = MUSTER_MESSAGE_INIT}};
    struct muster_strategy_answer answer = MUSTER_STRATEGY_ANSWER_INIT;
    struct muster_error error = {MUSTER_OUT_OF_MEMORY, "out of memory"};
    char path[PATH_SIZE];
    if (!training->settings->run)
        return NULL;
    path_of(training, number, path);
    if (access(path, F_OK) != 0)
        return NULL;
    enum muster_status status = checkpoint_read_model(&made.model, path, &error);
    if (status == MUSTER_OK)
        status = muster_arrays_match(&made.model.message, muster_strategy_model(training->strategy), &error);
    /* What could not be an answer, such as NaN, is no model to train on either. */
    answer.message = &made.model.message;
    if (status == MUSTER_OK)
        status = muster_strategy_check(training->strategy, &answer, &error);
    struct version *version = status == MUSTER_OK ? put(versions, &made) : NULL;
    if (!version) {
        log_write(LOG_WARNING, "%s: %s", path, error.text);
        model_free(&made.model);
        return NULL;
    }
    version->base = &version->model.message;
    return version;
}

struct version *versions_find(struct versions *versions, struct training *training, uint64_t number)
{
    struct version *version = versions->first;
    while (version && version->number > number)
        version = version->next;
    if (version && version->number == number)
        return version->base || version->number == training->rounds_held ? version : NULL;
    if (number == training->rounds_held)
        return put(versions, &(struct version){.number = number});
    return number < training->rounds_held ? read_version(versions, training, number) : NULL;
}

const struct muster_message *versions_instruction(struct version *version, struct training *training,
                                                  json_t *values, struct muster_error *error)
{
    for (size_t i = 0; i < version->told_count; i++) {
        if (json_equal(version->told[i].values, values)) {
            json_decref(values);
            return &version->told[i].message;
        }
    }
    const struct muster_message *model =
        version->base ? version->base : muster_strategy_model(training->strategy);
    struct told *more = realloc(version->told, (version->told_count + 1) * sizeof(*more));
    struct muster_message instruction;
    enum muster_status status = MUSTER_OUT_OF_MEMORY;
    if (more)
        version->told = more;
    bool written = more && instructions_write(&instruction, MUSTER_TRAIN, model, values);
    if (written)
        status = participant_manager_prepare(training->manager, &instruction,
                                             &version->told[version->told_count].message, error);
    else
        explain(error, status, "out of memory");
    if (more)
        instructions_clear(&instruction);
    if (status != MUSTER_OK) {
        json_decref(values);
        return NULL;
    }
    struct told *told = &version->told[version->told_count++];
    told->values = values;
    return &told->message;
}

void versions_hold(struct version *version)
{
    version->holders++;
}

void versions_release(struct versions *versions, const struct training *training, struct version *version)
{
    /* Its file stays: an answer to it may be in the journal of this round. */
    if (--version->holders == 0 && version->number != training->rounds_held)
        take_out(versions, version);
}

/* ---- a step ---- */

/* A copy of the current model outlives it: what was prepared holds one. */
static void keep_base(struct version *version)
{
    if (!version->base && version->told_count > 0)
        version->base = &version->told[0].message;
}

static uint64_t bytes_of(const struct muster_message *model)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < model->array_count; i++)
        bytes += muster_array_count(&model->arrays[i]) * muster_dtype_size(model->arrays[i].dtype);
    return bytes;
}

/* Drops the oldest until the others are within the budget; the newest stays. */
static void drop_old(struct versions *versions, struct training *training)
{
    uint64_t each = bytes_of(muster_strategy_model(training->strategy)), used = 0;
    for (struct version *version = versions->first; version; version = version->next) {
        used += version->base ? each * (version->told_count + (version->model.memory ? 1 : 0)) : 0;
        if (version == versions->first || !version->base || used <= training->settings->versions_budget)
            continue;
        log_write(LOG_WARNING,
                  "the model after round %" PRIu64 " is dropped, on which %zu participants still train: "
                  "--versions-budget has no room for it",
                  version->number, version->holders);
        forget(version);
    }
}

/* The first model has no round, and so no file yet. */
static enum muster_status save_first(const struct training *training, const struct version *version,
                                     const char *path, struct muster_error *error)
{
    (void)training;
    return model_write(path, version->base, error);
}

static enum muster_status save(const struct training *training, const struct version *version,
                               struct muster_error *error)
{
    char path[PATH_SIZE], round[PATH_SIZE];
    path_of(training, version->number, path);
    if (!version->base || access(path, F_OK) == 0)
        return MUSTER_OK;
    if (version->number == 0)
        return save_first(training, version, path, error);
    snprintf(round, sizeof(round), "%s/round-%08" PRIu64 ".npz", training->settings->run, version->number);
    if (link(round, path) == 0)
        return MUSTER_OK;
    return model_write(path, version->base, error); /* a disk without second names */
}

enum muster_status versions_save(struct versions *versions, struct training *training,
                                 struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    struct version *version = versions->first, *next;
    for (; version; version = next) {
        next = version->next;
        if (version->holders == 0)
            take_out(versions, version);
        else
            keep_base(version);
    }
    drop_old(versions, training);
    for (version = versions->first; training->run && status == MUSTER_OK && version; version = version->next)
        status = save(training, version, error);
    return status;
}

/* ---- files that nobody needs ---- */

static bool is_needed(const struct versions *versions, const uint64_t *kept, size_t count, uint64_t number)
{
    for (size_t i = 0; i < count; i++) {
        if (kept[i] == number)
            return true;
    }
    for (const struct version *version = versions->first; version; version = version->next) {
        if (version->number == number)
            return version->holders > 0 && version->base;
    }
    return false;
}

void versions_tidy(const struct versions *versions, const struct training *training, const uint64_t *kept,
                   size_t count)
{
    DIR *directory = training->run ? opendir(training->settings->run) : NULL;
    struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        char path[PATH_SIZE], *end;
        if (strncmp(entry->d_name, "version-", strlen("version-")) != 0)
            continue;
        uint64_t number = strtoull(entry->d_name + strlen("version-"), &end, 10);
        path_of(training, number, path);
        if (strcmp(end, ".npz") == 0 && !is_needed(versions, kept, count, number))
            unlink(path);
    }
    if (directory)
        closedir(directory);
}
