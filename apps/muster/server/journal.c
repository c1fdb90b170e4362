/* An answer is a file of its own, answer-N.npz, with the round that it was accepted for, so that those of rounds that are
 * complete are known. outstanding.jsonl has a line for each instruction and each end; it is written anew with each round.
 * It is not forced to the disk: what a power cut takes of it, participants do again on a newer model. */
#include <config.h>

#include "journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/dataset.h"
#include "common/log.h"
#include "model.h"
#include "training.h"

#define ANSWER_PREFIX "answer-"
#define ANSWER_FORMAT ANSWER_PREFIX "%08" PRIu64 ".npz"
#define TABLE_FILE    "outstanding.jsonl"
#define ROUND         MODEL_OWN_PREFIX "round"
#define BASE          MODEL_OWN_PREFIX "base"
#define NAME          MODEL_OWN_PREFIX "name"
#define LOSS          MODEL_OWN_PREFIX "loss"
#define IDENTITY      MODEL_OWN_PREFIX "identity"

enum { PATH_SIZE = 4096, OWN_ARRAYS = 5, TABLE_LINE_MAX = 8192 };

static void answer_path(const struct training *training, uint64_t number, char path[PATH_SIZE])
{
    snprintf(path, PATH_SIZE, "%s/" ANSWER_FORMAT, training->settings->run, number);
}

/* ---- who trains on what ---- */

static void forget(struct journal *journal, size_t i)
{
    free(journal->outstanding[i].name);
    journal->outstanding[i] = journal->outstanding[--journal->count];
}

static size_t find(const struct journal *journal, const char *name)
{
    size_t i = 0;
    while (i < journal->count && strcmp(journal->outstanding[i].name, name) != 0)
        i++;
    return i;
}

static bool remember(struct journal *journal, const char *name, uint64_t version)
{
    size_t i = find(journal, name);
    if (i == journal->count) {
        struct outstanding *more = realloc(journal->outstanding, (i + 1) * sizeof(*more));
        char *copy = strdup(name);
        if (more)
            journal->outstanding = more;
        if (!more || !copy) {
            free(copy);
            return false;
        }
        journal->outstanding[journal->count++].name = copy;
    }
    journal->outstanding[i].version = version;
    return true;
}

uint64_t journal_again(struct journal *journal, const char *name)
{
    size_t i = find(journal, name);
    if (i == journal->count)
        return UINT64_MAX;
    uint64_t version = journal->outstanding[i].version;
    forget(journal, i);
    return version;
}

/* A line {"name": "ada", "version": 3}, or without a version for an end. Lines that are cut are nobody's. */
static void read_line(struct journal *journal, const char *line)
{
    json_t *entry = json_loads(line, 0, NULL);
    const char *name = json_string_value(json_object_get(entry, "name"));
    json_t *version = json_object_get(entry, "version");
    if (name && json_is_integer(version) && json_integer_value(version) >= 0)
        remember(journal, name, (uint64_t)json_integer_value(version));
    else if (name && find(journal, name) < journal->count)
        forget(journal, find(journal, name));
    json_decref(entry);
}

static void read_table(struct journal *journal, const char *path)
{
    char line[TABLE_LINE_MAX];
    FILE *stream = fopen(path, "re");
    while (stream && fgets(line, sizeof(line), stream))
        read_line(journal, line);
    if (stream)
        fclose(stream);
}

static void write_line(int file, const char *name, const uint64_t *version)
{
    json_t *entry = json_object();
    json_object_set_new(entry, "name", json_string(name));
    if (version)
        json_object_set_new(entry, "version", json_integer((json_int_t)*version));
    char *text = json_dumps(entry, JSON_COMPACT);
    json_decref(entry);
    if (text && dprintf(file, "%s\n", text) < 0)
        log_write(LOG_WARNING, TABLE_FILE ": %s", strerror(errno));
    free(text);
}

void journal_note(struct journal *journal, const char *name, uint64_t version)
{
    if (journal->file >= 0)
        write_line(journal->file, name, &version);
}

void journal_note_end(struct journal *journal, const char *name)
{
    if (journal->file >= 0)
        write_line(journal->file, name, NULL);
}

/* Puts a new table in the old one's place. */
static void renew_table(struct journal *journal, const struct training *training,
                        const struct outstanding *outstanding, size_t count)
{
    char path[PATH_SIZE], fresh[PATH_SIZE];
    snprintf(path, sizeof(path), "%s/" TABLE_FILE, training->settings->run);
    snprintf(fresh, sizeof(fresh), "%s/" TABLE_FILE ".new", training->settings->run);
    int file = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    if (file < 0)
        return; /* the old one grows on */
    for (size_t i = 0; i < count; i++)
        write_line(file, outstanding[i].name, &outstanding[i].version);
    for (size_t i = 0; i < journal->count; i++)
        write_line(file, journal->outstanding[i].name, &journal->outstanding[i].version);
    if (rename(fresh, path) != 0) {
        close(file);
        return;
    }
    if (journal->file >= 0)
        close(journal->file);
    journal->file = file;
}

/* ---- answers ---- */

enum muster_status journal_keep(struct journal *journal, const struct training *training,
                                const struct muster_message *answer, const struct kept *kept,
                                struct muster_error *error)
{
    const struct muster_message *model = muster_strategy_model(training->strategy);
    size_t count = model->array_count;
    char path[PATH_SIZE];
    if (!training->run)
        return MUSTER_OK;
    struct muster_named_array *arrays = calloc(count + OWN_ARRAYS, sizeof(*arrays));
    if (!arrays)
        return explain(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    const int64_t round = (int64_t)training->rounds_held, from = (int64_t)kept->version;
    for (size_t i = 0; i < count; i++)
        arrays[i] = (struct muster_named_array){model->array_names[i], answer->arrays[i]};
    arrays[count] = (struct muster_named_array){ROUND, {MUSTER_INT64, 0, {0}, &round}};
    arrays[count + 1] = (struct muster_named_array){BASE, {MUSTER_INT64, 0, {0}, &from}};
    arrays[count + 2] =
        (struct muster_named_array){NAME, {MUSTER_UINT8, 1, {strlen(kept->name) + 1}, kept->name}};
    arrays[count + 3] = (struct muster_named_array){
        IDENTITY, {MUSTER_UINT8, 1, {strlen(training->identity) + 1}, training->identity}};
    arrays[count + 4] = (struct muster_named_array){LOSS, {MUSTER_FLOAT64, 0, {0}, &kept->loss}};
    answer_path(training, journal->next, path);
    enum muster_status status = muster_npz_write(path, arrays, count + OWN_ARRAYS, error);
    free(arrays);
    if (status == MUSTER_OK)
        journal->next++;
    return status;
}

static bool read_number(const struct muster_named_array *arrays, size_t count, const char *name,
                        enum muster_dtype dtype, void *value)
{
    const struct muster_array *array = muster_npz_find(arrays, count, name);
    if (!array || array->dtype != dtype || array->dimensions != 0)
        return false;
    memcpy(value, array->data, 8);
    return true;
}

/* A text that is kept as bytes, with its NUL; NULL: there is none. */
static const char *read_text(const struct muster_named_array *arrays, size_t count, const char *name)
{
    const struct muster_array *array = muster_npz_find(arrays, count, name);
    size_t size =
        array && array->dtype == MUSTER_UINT8 && array->dimensions == 1 ? (size_t)array->shape[0] : 0;
    return size > 0 && ((const char *)array->data)[size - 1] == '\0' ? array->data : NULL;
}

/* Gives one answer to `take`, if it belongs to the running round of this run; otherwise it is removed. */
static enum muster_status replay(struct journal *journal, const struct training *training, const char *path,
                                 journal_answer *take, void *context, struct muster_error *error)
{
    struct muster_named_array *arrays;
    struct model model = {.message = MUSTER_MESSAGE_INIT, .answer = MUSTER_MESSAGE_INIT};
    struct muster_error reason;
    size_t count;
    uint64_t round;
    struct kept kept;
    enum muster_status status = muster_npz_read(path, SIZE_MAX, &arrays, &count, &reason);
    if (status != MUSTER_OK)
        return explain(error, status, "%.300s", reason.text);
    const char *identity = read_text(arrays, count, IDENTITY);
    kept.name = read_text(arrays, count, NAME);
    if (!kept.name || !identity || !read_number(arrays, count, ROUND, MUSTER_INT64, &round) ||
        !read_number(arrays, count, BASE, MUSTER_INT64, &kept.version) ||
        !read_number(arrays, count, LOSS, MUSTER_FLOAT64, &kept.loss)) {
        status = explain(error, MUSTER_FORMAT, "%.200s: this is not an answer that was kept", path);
    } else if (round != training->rounds_held || strcmp(identity, training->identity) != 0) {
        unlink(path);
    } else {
        status = model_of_saved(&model, arrays, count, &reason);
        if (status == MUSTER_OK)
            status = take(context, &model.message, &kept, &reason);
        if (status != MUSTER_OK)
            explain(error, status, "%.200s: %.150s", path, reason.text);
        /* It was accepted, though that may not have been noted any more. */
        size_t i = find(journal, kept.name);
        if (i < journal->count && journal->outstanding[i].version == kept.version)
            forget(journal, i);
    }
    model_free(&model);
    free(arrays);
    return status;
}

static int compare(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;
    return (first > second) - (first < second);
}

/* The numbers of all answers' files, sorted, which are to be freed; NULL: none, or out of memory. */
static uint64_t *list_answers(const struct training *training, size_t *count)
{
    DIR *directory = opendir(training->settings->run);
    uint64_t *numbers = NULL;
    struct dirent *entry;
    *count = 0;
    while (directory && (entry = readdir(directory))) {
        char *end;
        if (strncmp(entry->d_name, ANSWER_PREFIX, strlen(ANSWER_PREFIX)) != 0)
            continue;
        uint64_t number = strtoull(entry->d_name + strlen(ANSWER_PREFIX), &end, 10);
        uint64_t *more = strcmp(end, ".npz") == 0 ? realloc(numbers, (*count + 1) * sizeof(*more)) : NULL;
        if (!more)
            continue;
        numbers = more;
        numbers[(*count)++] = number;
    }
    if (directory)
        closedir(directory);
    if (numbers)
        qsort(numbers, *count, sizeof(*numbers), compare);
    return numbers;
}

enum muster_status journal_open(struct journal *journal, const struct training *training,
                                journal_answer *take, void *context, struct muster_error *error)
{
    char path[PATH_SIZE];
    size_t count;
    enum muster_status status = MUSTER_OK;
    *journal = (struct journal){.file = -1, .next = 1};
    if (!training->run)
        return MUSTER_OK;
    snprintf(path, sizeof(path), "%s/" TABLE_FILE, training->settings->run);
    read_table(journal, path);
    uint64_t *numbers = list_answers(training, &count);
    for (size_t i = 0; status == MUSTER_OK && i < count; i++) {
        answer_path(training, numbers[i], path);
        journal->next = numbers[i] + 1;
        status = replay(journal, training, path, take, context, error);
    }
    free(numbers);
    if (status == MUSTER_FORMAT)
        log_write(LOG_ERROR,
                  "an answer that was kept cannot be used, as the next line says: remove its file, and the "
                  "run goes on without it");
    if (status == MUSTER_OK)
        renew_table(journal, training, NULL, 0);
    return status;
}

/* Removes all answers. */
static void remove_answers(const struct training *training)
{
    size_t count;
    char path[PATH_SIZE];
    uint64_t *numbers = list_answers(training, &count);
    for (size_t i = 0; i < count; i++) {
        answer_path(training, numbers[i], path);
        unlink(path);
    }
    free(numbers);
}

void journal_begin_round(struct journal *journal, const struct training *training,
                         const struct outstanding *outstanding, size_t count)
{
    if (!training->run)
        return;
    remove_answers(training);
    renew_table(journal, training, outstanding, count);
}

void journal_discard(const struct training *training)
{
    char path[PATH_SIZE];
    remove_answers(training);
    snprintf(path, sizeof(path), "%s/" TABLE_FILE, training->settings->run);
    unlink(path);
}

void journal_close(struct journal *journal)
{
    while (journal->count > 0)
        forget(journal, journal->count - 1);
    free(journal->outstanding);
    if (journal->file >= 0)
        close(journal->file);
    *journal = (struct journal){.file = -1};
}
