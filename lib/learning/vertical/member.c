/* A member: it answers the master's instructions with what its columns make of them. */
#include <config.h>

#include "learning/vertical/member.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <muster/npz.h>

#include "learning/vertical/directory.h"
#include "learning/vertical/learner.h"
#include "learning/vertical/matching.h"
#include "learning/vertical/matrix.h"
#include "learning/vertical/note.h"
#include "learning/vertical/table.h"
#include "options.h"
#include "status.h"

#define WEIGHTS "weights"
#define MEAN    "mean"
#define FACTOR  "factor"
#define NAMES   "names"

struct muster_vertical_member {
    const struct muster_vertical_table *table;
    struct muster_vertical_member_options options;
    char *weights_path; /* of the options */
    size_t *order;
    struct muster__vertical_matcher *matcher;
    struct muster__vertical_directory directory;
    struct muster_error failed; /* a checkpoint could not be made */

    size_t *rows; /* that were matched; NULL: none yet */
    size_t count;
    int64_t run; /* that has begun with them; 0: none yet */
    bool begun;  /* in this process: */
    struct muster__vertical_learner learner;
    bool finished;
    struct muster__vertical_note note; /* the answer */
};

/* ---- making and freeing ---- */

void muster_vertical_member_options_init_sized(struct muster_vertical_member_options *options, size_t size)
{
    const struct muster_vertical_member_options defaults = {.match_limit = 10000000};
    muster__options_give(options, size, &defaults, sizeof(defaults));
}

static enum muster_status check_options(const struct muster_vertical_member_options *options,
                                        struct muster_error *error)
{
    if (options->left && options->only_private)
        return muster__error(error, MUSTER_INVALID, "a member joins left with plain matching alone");
    if (options->match_limit < 1 || options->match_limit > MUSTER_VERTICAL_MATCH_MAX)
        return muster__error(error, MUSTER_INVALID, "match_limit is from 1 to %d", MUSTER_VERTICAL_MATCH_MAX);
    if (options->weights && options->run)
        return muster__error(error, MUSTER_INVALID, "predictions with a file of weights are no run to go on");
    return MUSTER_OK;
}

static enum muster_status take_options(struct muster_vertical_member *member,
                                       const struct muster_vertical_member_options *options,
                                       struct muster_error *error)
{
    muster_vertical_member_options_init(&member->options);
    enum muster_status status = MUSTER_OK;
    if (options)
        status = muster__options_take(&member->options, sizeof(member->options), options,
                                      "muster_vertical_member_options_init", error);
    if (status == MUSTER_OK)
        status = check_options(&member->options, error);
    if (status == MUSTER_OK && member->options.weights) {
        member->weights_path = strdup(member->options.weights);
        if (!member->weights_path)
            status = muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for a path");
        member->options.weights = member->weights_path;
    }
    return status;
}

static enum muster_status open_member(struct muster_vertical_member *member, struct muster_error *error)
{
    const struct muster_vertical_table *table = member->table;
    if (table->columns == 0)
        return muster__error(error, MUSTER_INVALID, "a member needs columns");
    enum muster_status status = muster__vertical_table_order(table, &member->order, error);
    if (status != MUSTER_OK)
        return status;
    status = muster__vertical_directory_open(&member->directory, member->options.run,
                                             member->options.left ? "{\"join\": \"left\"}"
                                                                  : "{\"join\": \"inner\"}",
                                             muster__vertical_table_digest(table, member->order),
                                             &member->rows, &member->count, &member->run, error);
    if (status == MUSTER_OK)
        status = muster__vertical_directory_check(&member->directory, member->rows, member->count,
                                                  table->rows, member->options.left, error);
    if (status != MUSTER_OK)
        return status;
    member->options.run = member->directory.path;
    member->matcher = muster__vertical_matcher_new(table, member->order, &member->options);
    return member->matcher ? MUSTER_OK : muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for a member");
}

enum muster_status muster_vertical_member_new(const struct muster_vertical_table *table,
                                              const struct muster_vertical_member_options *options,
                                              struct muster_vertical_member **member,
                                              struct muster_error *error)
{
    *member = NULL;
    struct muster_vertical_member *made = calloc(1, sizeof(*made));
    if (!made)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for a member");
    made->table = table;
    enum muster_status status = take_options(made, options, error);
    if (status == MUSTER_OK)
        status = open_member(made, error);
    if (status == MUSTER_OK)
        *member = made;
    else
        muster_vertical_member_free(made);
    return status;
}

void muster_vertical_member_free(struct muster_vertical_member *member)
{
    if (!member)
        return;
    muster__vertical_learner_clear(&member->learner);
    muster__vertical_matcher_free(member->matcher);
    muster__vertical_directory_close(&member->directory);
    free(member->rows);
    free(member->order);
    free(member->weights_path);
    free(member);
}

/* ---- weights in files ---- */

/* The columns' names as bytes of a fixed width, with zeros behind. On OK *bytes is to be freed. */
static enum muster_status pack_names(const struct muster_vertical_table *table, char **bytes,
                                     struct muster_array *array, struct muster_error *error)
{
    size_t width = 1;
    for (size_t i = 0; i < table->columns; i++)
        width = strlen(table->names[i]) > width ? strlen(table->names[i]) : width;
    *bytes = calloc(table->columns, width);
    if (!*bytes)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for names of columns");
    for (size_t i = 0; i < table->columns; i++)
        memcpy(*bytes + i * width, table->names[i], strlen(table->names[i]));
    *array = muster__vertical_array(MUSTER_UINT8, table->columns, width, *bytes);
    return MUSTER_OK;
}

enum muster_status muster_vertical_member_save(const struct muster_vertical_member *member, const char *path,
                                               struct muster_error *error)
{
    const struct muster__vertical_weights *weights = &member->learner.weights;
    const struct muster__vertical_columns *columns = &member->learner.columns;
    enum muster_status status = MUSTER_OK;
    char *names = NULL;
    if (!member->begun)
        return muster__error(error, MUSTER_INVALID, "there are no weights yet: no training has begun");
    struct muster_named_array arrays[] = {
        {WEIGHTS,
         muster__vertical_array(MUSTER_FLOAT64, weights->columns, weights->outputs, weights->weights)},
        {MEAN, muster__vertical_array(MUSTER_FLOAT64, columns->columns, 1, columns->mean)},
        {FACTOR, muster__vertical_array(MUSTER_FLOAT64, columns->columns, 1, columns->factor)},
        {NAMES, {0}},
    };
    size_t count = sizeof(arrays) / sizeof(*arrays);
    if (member->table->names)
        status = pack_names(member->table, &names, &arrays[count - 1].array, error);
    else
        count--;
    if (status == MUSTER_OK)
        status = muster_npz_write(path, arrays, count, error);
    free(names);
    return status;
}

/* Weights of columns in another order would fit, and predict nonsense. */
static enum muster_status check_names(const struct muster_vertical_member *member,
                                      const struct muster_array *names, struct muster_error *error)
{
    const struct muster_vertical_table *table = member->table;
    if (!names || !table->names)
        return MUSTER_OK;
    size_t width = (size_t)names->shape[1];
    if (!muster__vertical_is_array(names, MUSTER_UINT8, table->columns, width))
        return muster__error(error, MUSTER_FORMAT, "%s: '" NAMES "' are not names of %zu columns",
                             member->weights_path, table->columns);
    for (size_t i = 0; i < table->columns; i++) {
        const char *name = (const char *)names->data + i * width;
        size_t size = strnlen(name, width);
        if (size != strlen(table->names[i]) || memcmp(name, table->names[i], size) != 0) {
            char had[64], has[64], *text = strndup(name, size);
            enum muster_status status = muster__error(
                error, MUSTER_FORMAT, "%s: column %zu was '%s' in the training, and is '%s' now",
                member->weights_path, i + 1, muster_text_harmless(text ? text : "", had, sizeof(had)),
                muster_text_harmless(table->names[i], has, sizeof(has)));
            free(text);
            return status;
        }
    }
    return MUSTER_OK;
}

/* Copies one of the file's arrays; false if it is none of rows x columns. */
static bool take_array(const struct muster_named_array *arrays, size_t count, const char *name, size_t rows,
                       size_t columns, double *values)
{
    const struct muster_array *array = muster_npz_find(arrays, count, name);
    if (!muster__vertical_is_array(array, MUSTER_FLOAT64, rows, columns))
        return false;
    memcpy(values, array->data, rows * columns * sizeof(*values));
    return true;
}

static enum muster_status load(struct muster_vertical_member *member, struct muster_error *error)
{
    struct muster__vertical_weights *weights = &member->learner.weights;
    struct muster__vertical_columns *columns = &member->learner.columns;
    struct muster_named_array *arrays = NULL;
    size_t count = 0;
    enum muster_status status = muster_npz_read(member->weights_path, SIZE_MAX, &arrays, &count, error);
    if (status == MUSTER_OK &&
        !(take_array(arrays, count, WEIGHTS, weights->columns, weights->outputs, weights->weights) &&
          take_array(arrays, count, MEAN, columns->columns, 1, columns->mean) &&
          take_array(arrays, count, FACTOR, columns->columns, 1, columns->factor)))
        status =
            muster__error(error, MUSTER_FORMAT, "%s: these are not weights of %zu columns and %zu outputs",
                          member->weights_path, weights->columns, weights->outputs);
    if (status == MUSTER_OK)
        status = check_names(member, muster_npz_find(arrays, count, NAMES), error);
    if (status == MUSTER_OK)
        muster__vertical_columns_scale(columns);
    free(arrays);
    return status;
}

/* ---- tasks ---- */

/* What every answer says. */
static void begin_answer(struct muster_vertical_member *member, const struct muster_message *instruction)
{
    struct muster__vertical_note *note = &member->note;
    bool lasts = member->directory.path != NULL;
    muster__vertical_note_begin(note, instruction->kind, NULL);
    muster__vertical_note_integer(note, MUSTER__VERTICAL_STEP, (int64_t)member->learner.step);
    muster__vertical_note_integer(note, MUSTER__VERTICAL_DURABLE,
                                  lasts ? (int64_t)member->directory.durable : -1);
}

static enum muster_status match(struct muster_vertical_member *member, struct participant *participant,
                                const struct muster_message *instruction, struct muster_message *answer,
                                struct muster_error *error)
{
    enum muster_status status =
        muster__vertical_matcher_answer(member->matcher, participant, instruction, answer, error);
    size_t count;
    size_t *rows = status == MUSTER_OK ? muster__vertical_matcher_take(member->matcher, &count) : NULL;
    if (rows) {
        muster__vertical_learner_clear(&member->learner);
        free(member->rows);
        member->rows = rows;
        member->count = count;
        member->run = 0;
        member->begun = member->finished = false;
    }
    return status;
}

/* The master lost the last steps, in a power cut: so does the member. */
static enum muster_status go_back(struct muster_vertical_member *member, uint64_t step,
                                  struct muster_error *error)
{
    muster__vertical_learner_clear(&member->learner);
    member->begun = false;
    return muster__vertical_directory_back(&member->directory, step, error);
}

/* Starts the learner: from the start, from the last checkpoint, or from the file. */
static enum muster_status start(struct muster_vertical_member *member,
                                const struct muster__vertical_settings *settings, size_t index,
                                struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    if (member->run == 0)
        status = muster__vertical_directory_begin(&member->directory, member->rows, member->count,
                                                  settings->run, NULL, error);
    if (status == MUSTER_OK)
        status = muster__vertical_learner_init(&member->learner, settings, index, member->table, member->rows,
                                               member->options.left, error);
    if (status != MUSTER_OK)
        return status;
    if (settings->trained)
        status = load(member, error);
    else
        status = muster__vertical_directory_restore(&member->directory, &member->learner.weights, error);
    if (status != MUSTER_OK) {
        muster__vertical_learner_clear(&member->learner);
        return status;
    }
    member->learner.step = member->directory.durable;
    member->run = settings->run;
    member->begun = true;
    return MUSTER_OK;
}

static enum muster_status begin(struct muster_vertical_member *member,
                                const struct muster_message *instruction, struct muster_error *error)
{
    struct muster__vertical_settings settings;
    enum muster_status status = muster__vertical_settings_read(&settings, instruction, error);
    if (status != MUSTER_OK)
        return status;
    int64_t index = muster_message_integer(instruction, MUSTER__VERTICAL_INDEX, -1);
    int64_t step = muster_message_integer(instruction, MUSTER__VERTICAL_STEP, -1);
    if (index < 0 || (uint64_t)index >= settings.steps.blocks || step < 0)
        return muster__error(error, MUSTER_FORMAT, "the member's index, or the step, is out of range");
    if (!member->rows || (member->run != 0 && member->run != settings.run))
        return muster__error(error, MUSTER_FORMAT,
                             "no records were matched for this run: was a run directory lost or changed?");
    if (settings.rows != member->count)
        return muster__error(error, MUSTER_FORMAT, "the run has %zu records, and here %zu were matched",
                             settings.rows, member->count);
    if (settings.trained == !member->weights_path)
        return muster__error(error, MUSTER_INVALID,
                             settings.trained ? "predictions need a file of weights here"
                                              : "with a file of weights nothing is learned");
    if (member->run != 0 &&
        (member->directory.durable > (uint64_t)step || member->learner.step > (uint64_t)step))
        status = go_back(member, (uint64_t)step, error);
    if (status == MUSTER_OK && !member->begun)
        status = start(member, &settings, (size_t)index, error);
    if (status == MUSTER_OK)
        begin_answer(member, instruction);
    return status;
}

/* Applies a step, unless that has happened already. */
static enum muster_status apply(struct muster_vertical_member *member,
                                const struct muster_message *instruction, struct muster_error *error)
{
    struct muster__vertical_learner *learner = &member->learner;
    uint64_t next = muster__vertical_next(&learner->settings.steps, learner->step, learner->index);
    int64_t step = muster_message_integer(instruction, MUSTER__VERTICAL_STEP, -1);
    if (step > 0 && (uint64_t)step == learner->step)
        return MUSTER_OK;
    if (step < 0 || (uint64_t)step != next)
        return muster__error(error, MUSTER_FORMAT, "this is step %" PRId64 ", and step %" PRIu64 " is next",
                             step, next);
    if (learner->settings.trained)
        return muster__error(error, MUSTER_INVALID, "with a file of weights nothing is learned");
    const double *residual = muster__vertical_matrix(
        instruction, muster__vertical_learner_rows(learner, next), learner->settings.outputs, error);
    return residual ? muster__vertical_learner_apply(learner, next, residual, error) : MUSTER_FORMAT;
}

/* Answers with the scores that the learner has. */
static void answer_scores(struct muster_vertical_member *member, const struct muster_message *instruction,
                          size_t count)
{
    const struct muster__vertical_learner *learner = &member->learner;
    begin_answer(member, instruction);
    muster__vertical_note_matrix(&member->note, learner->scores, count, learner->settings.outputs);
}

static enum muster_status update(struct muster_vertical_member *member,
                                 const struct muster_message *instruction, struct muster_error *error)
{
    enum muster_status status = apply(member, instruction, error);
    if (status == MUSTER_OK)
        begin_answer(member, instruction);
    return status;
}

static enum muster_status update_predict(struct muster_vertical_member *member,
                                         const struct muster_message *instruction, struct muster_error *error)
{
    struct muster__vertical_learner *learner = &member->learner;
    size_t count;
    enum muster_status status = apply(member, instruction, error);
    if (status == MUSTER_OK)
        status = muster__vertical_learner_batch(learner, learner->step + 1, &count, error);
    if (status == MUSTER_OK)
        answer_scores(member, instruction, count);
    return status;
}

/* Finds the rows of a part that are asked for. */
static enum muster_status read_part(const struct muster_vertical_member *member,
                                    const struct muster_message *instruction, const size_t **rows,
                                    size_t *count, struct muster_error *error)
{
    int64_t which = muster_message_integer(instruction, MUSTER__VERTICAL_WHICH, 0);
    int64_t from = muster_message_integer(instruction, MUSTER__VERTICAL_FROM, -1);
    int64_t wanted = muster_message_integer(instruction, MUSTER__VERTICAL_COUNT, -1);
    size_t all;
    if (which < MUSTER_VERTICAL_ALL || which > MUSTER_VERTICAL_TEST)
        return muster__error(error, MUSTER_FORMAT, "there is no part %" PRId64 " of the records", which);
    *rows = muster__vertical_part_rows(&member->learner.batches, (enum muster_vertical_which)which, &all);
    if (from < 0 || wanted < 1 || (uint64_t)from > all || (uint64_t)wanted > all - (uint64_t)from)
        return muster__error(error, MUSTER_FORMAT,
                             "the part has %zu records: there are not %" PRId64 " from %" PRId64, all, wanted,
                             from);
    *rows += from;
    *count = (size_t)wanted;
    return MUSTER_OK;
}

/* The scores of the batch of a step, or of some rows of a part. */
static enum muster_status predict(struct muster_vertical_member *member,
                                  const struct muster_message *instruction, struct muster_error *error)
{
    int64_t step = muster_message_integer(instruction, MUSTER__VERTICAL_STEP, 0);
    const size_t *rows = NULL;
    size_t count = 0;
    enum muster_status status;
    if (step > 0) {
        status = muster__vertical_learner_batch(&member->learner, (uint64_t)step, &count, error);
    } else {
        status = read_part(member, instruction, &rows, &count, error);
        if (status == MUSTER_OK)
            status = muster__vertical_learner_part(&member->learner, rows, count, error);
    }
    if (status == MUSTER_OK)
        answer_scores(member, instruction, count);
    return status;
}

/* Makes a checkpoint if one is due. */
static enum muster_status keep(struct muster_vertical_member *member, bool now, struct muster_error *error)
{
    const struct muster__vertical_learner *learner = &member->learner;
    return muster__vertical_directory_is_due(&member->directory, learner->step, now)
               ? muster__vertical_directory_save(&member->directory, &learner->weights, learner->step, error)
               : MUSTER_OK;
}

static enum muster_status finish(struct muster_vertical_member *member,
                                 const struct muster_message *instruction, struct muster_error *error)
{
    enum muster_status status = muster__vertical_weights_check(&member->learner.weights, error);
    if (status == MUSTER_OK)
        status = keep(member, true, error);
    if (status == MUSTER_OK) {
        member->finished = true;
        begin_answer(member, instruction);
    }
    return status;
}

/* ---- answering ---- */

static enum muster_status reply_begun(struct muster_vertical_member *member,
                                      const struct muster_message *instruction, const char *task,
                                      struct muster_error *error)
{
    if (!member->begun)
        return muster__error(error, MUSTER_FORMAT, "no run has begun here");
    if (strcmp(task, MUSTER__VERTICAL_UPDATE) == 0)
        return update(member, instruction, error);
    if (strcmp(task, MUSTER__VERTICAL_UPDATE_PREDICT) == 0)
        return update_predict(member, instruction, error);
    if (strcmp(task, MUSTER__VERTICAL_PREDICT) == 0)
        return predict(member, instruction, error);
    if (strcmp(task, MUSTER__VERTICAL_FINISH) == 0)
        return finish(member, instruction, error);
    return muster__error(error, MUSTER_FORMAT, "this release does not know the task");
}

enum muster_status muster__vertical_member_reply(struct muster_vertical_member *member,
                                                 struct participant *participant,
                                                 const struct muster_message *instruction,
                                                 struct muster_message *answer, struct muster_error *error)
{
    double began = muster__vertical_now();
    const char *task = muster__vertical_task(instruction);
    if (!task)
        return muster__error(error, MUSTER_UNKNOWN_INSTRUCTION,
                             "this is no instruction of vertical learning");
    if (member->failed.status != MUSTER_OK)
        return muster__error(error, member->failed.status, "%s", member->failed.text);
    if (strcmp(task, MUSTER__VERTICAL_MATCH) == 0)
        return match(member, participant, instruction, answer, error);
    enum muster_status status = strcmp(task, MUSTER__VERTICAL_BEGIN) == 0
                                    ? begin(member, instruction, error)
                                    : reply_begun(member, instruction, task, error);
    if (status != MUSTER_OK)
        return status;
    muster__vertical_note_scalar(&member->note, MUSTER__VERTICAL_TASK_MS, muster__vertical_now() - began);
    *answer = member->note.message;
    return MUSTER_OK;
}

/* The checkpoint is made while the answer travels. If it fails, the next answer says so. */
enum muster_status muster_vertical_member_answer(struct muster_vertical_member *member,
                                                 struct participant *participant,
                                                 const struct muster_message *instruction,
                                                 struct muster_error *error)
{
    struct muster_error own;
    struct muster_message answer = MUSTER_MESSAGE_INIT;
    enum muster_status status =
        muster__vertical_member_reply(member, participant, instruction, &answer, &own);
    if (status == MUSTER_UNKNOWN_INSTRUCTION)
        return muster__error(error, status, "%s", own.text);
    if (status != MUSTER_OK) {
        answer = (struct muster_message)MUSTER_MESSAGE_INIT;
        answer.kind = MUSTER_FAILURE;
        answer.code = (int32_t)status;
        answer.text = own.text;
        enum muster_status sent = participant_dispatch(participant, &answer, error);
        return sent == MUSTER_OK ? muster__error(error, status, "%s", own.text) : sent;
    }
    status = participant_dispatch(participant, &answer, error);
    if (member->begun && member->failed.status == MUSTER_OK)
        (void)keep(member, false, &member->failed);
    return status;
}

/* ---- looking ---- */

uint64_t muster_vertical_member_updates(const struct muster_vertical_member *member)
{
    return member->begun ? muster__vertical_iteration(&member->learner.settings.steps, member->learner.step)
                         : 0;
}

bool muster_vertical_member_finished(const struct muster_vertical_member *member)
{
    return member->finished;
}

const double *muster_vertical_member_weights(const struct muster_vertical_member *member, size_t *columns,
                                             size_t *outputs)
{
    *columns = member->learner.weights.columns;
    *outputs = member->learner.weights.outputs;
    return member->begun ? member->learner.weights.weights : NULL;
}
