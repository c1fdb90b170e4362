/* The master's training: batch by batch, from the members' scores to a residual for all, and what is
 * predicted meanwhile. */
#include <config.h>

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "learning/vertical/labels.h"
#include "learning/vertical/master.h"
#include "learning/vertical/note.h"
#include "status.h"

/* The most numbers that a member is asked for at a time, when it predicts. */
#define PREDICTED_MAX (1 << 20)

#define UNMATCHED "no records are matched: call muster_vertical_match()"

/* ---- members that are lost and come back ---- */

/* Gives a member the steps that it lacks up to `step`. */
static enum muster_status replay(struct muster_vertical *vertical, struct muster__vertical_peer *peer,
                                 uint64_t step, struct muster_error *error)
{
    const struct muster__vertical_steps *steps = &vertical->settings.steps;
    size_t block = (size_t)(peer - vertical->members.peers);
    enum muster_status status = MUSTER_OK;
    uint64_t next;
    if (peer->step > vertical->step)
        return muster__error(error, MUSTER_FORMAT,
                             "member %s is at step %" PRIu64
                             ", and the master has lost what came after %" PRIu64,
                             peer->name, peer->step, vertical->step);
    while (status == MUSTER_OK && (next = muster__vertical_next(steps, peer->step, block)) <= step) {
        struct muster__vertical_note note;
        const struct muster__vertical_update *update =
            muster__vertical_updates_find(&vertical->updates, next);
        if (!update)
            return muster__error(
                error, MUSTER_FORMAT,
                "member %s is at step %" PRIu64
                ", and the master has not kept the next: it lost its run directory, or had none",
                peer->name, peer->step);
        muster__vertical_note_begin(&note, MUSTER_TRAIN, MUSTER__VERTICAL_UPDATE);
        muster__vertical_note_integer(&note, MUSTER__VERTICAL_STEP, (int64_t)next);
        muster__vertical_note_matrix(&note, update->residual, update->rows, vertical->kind.outputs);
        status = muster__vertical_members_ask(&vertical->members, peer, &note.message, next, 0, error);
    }
    return status;
}

/* Sees to it that all members are there, have begun, and have applied what they learn of the steps up to
 * `step`. `left` is the time for those that are lost to come back. */
static enum muster_status gather(struct muster_vertical *vertical, uint64_t step, int64_t left,
                                 struct muster_error *error)
{
    struct muster__vertical_members *members = &vertical->members;
    enum muster_status status = MUSTER_OK;
    bool begun = true;
    for (size_t i = 0; i < members->count; i++)
        begun = begun && members->peers[i].begun;
    if (!begun)
        status = muster__vertical_members_wait(members, left, error);
    if (status == MUSTER_OK && !begun)
        status = muster__vertical_members_begin(members, &vertical->settings, vertical->step, error);
    for (size_t i = 0; i < members->count && status == MUSTER_OK; i++)
        status = replay(vertical, &members->peers[i], step, error);
    return status;
}

/* Gives an instruction to all that are to be asked, until each has answered. Its step is `step`, or 0:
 * wherever they are. They are up to `before` then, and members that are lost have member_timeout_ms in all to
 * come back. */
static enum muster_status deliver(struct muster_vertical *vertical, const struct muster_message *instruction,
                                  uint64_t step, uint64_t before, size_t rows, struct muster_error *error)
{
    int64_t limit = vertical->options.member_timeout_ms;
    double end = 0;
    for (;;) {
        double left = end == 0 ? (double)limit : end - muster__vertical_now();
        enum muster_status status = gather(vertical, before,
                                           limit == MUSTER_NO_LIMIT ? limit
                                           : left > 0               ? (int64_t)left
                                                                    : 0,
                                           error);
        if (status == MUSTER_OK)
            status = muster__vertical_members_ask(&vertical->members, NULL, instruction, step, rows, error);
        if (!muster__vertical_is_lost(status))
            return status;
        if (end == 0)
            end = muster__vertical_now() + (double)limit;
        else if (limit != MUSTER_NO_LIMIT && muster__vertical_now() > end)
            return status;
    }
}

static void ask_all(struct muster_vertical *vertical)
{
    for (size_t i = 0; i < vertical->members.count; i++)
        vertical->members.peers[i].asked = true;
}

/* Bias and scores of all members, in the order of their names: a sum that rounds the same each time. */
static void sum(const struct muster_vertical *vertical, size_t rows, double *scores)
{
    size_t outputs = vertical->kind.outputs;
    for (size_t i = 0; i < rows * outputs; i++)
        scores[i] = vertical->bias.weights[i % outputs];
    for (size_t j = 0; j < vertical->members.count; j++) {
        for (size_t i = 0; i < rows * outputs; i++)
            scores[i] += vertical->members.peers[j].scores[i];
    }
}

/* ---- predictions ---- */

/* Room for the predictions of a part, and what is known about its records. */
static enum muster_status make_part(struct muster_vertical *vertical, enum muster_vertical_which which,
                                    struct muster__vertical_predicted *predicted, struct muster_error *error)
{
    size_t count, outputs = vertical->kind.outputs;
    const size_t *rows = muster__vertical_part_rows(&vertical->batches, which, &count);
    size_t *own = calloc(count + 1, sizeof(*own));
    double *labels = calloc(count + 1, outputs * sizeof(*labels));
    double *predictions = calloc(count + 1, outputs * sizeof(*predictions));
    if (!own || !labels || !predictions) {
        free(own);
        free(labels);
        free(predictions);
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for %zu predictions", count);
    }
    for (size_t i = 0; i < count; i++) {
        own[i] = vertical->rows[rows[i]];
        if (vertical->has_labels)
            muster__vertical_labels_spread(vertical->table, vertical->kind.model, own[i], outputs,
                                           labels + i * outputs);
    }
    const struct muster_vertical_part part = {
        .rows = count,
        .outputs = outputs,
        .own = own,
        .predictions = predictions,
        .labels = vertical->has_labels ? labels : NULL,
    };
    *predicted = (struct muster__vertical_predicted){part, own, labels, predictions};
    return MUSTER_OK;
}

/* Scores of all members for a part, some rows at a time. */
static enum muster_status predict(struct muster_vertical *vertical, enum muster_vertical_which which,
                                  struct muster_error *error)
{
    struct muster__vertical_predicted *predicted = &vertical->predicted[which];
    size_t outputs = vertical->kind.outputs, most = PREDICTED_MAX / outputs + 1, count;
    enum muster_status status = predicted->own ? MUSTER_OK : make_part(vertical, which, predicted, error);
    for (size_t from = 0; from < predicted->part.rows && status == MUSTER_OK; from += count) {
        struct muster__vertical_note note;
        size_t left = predicted->part.rows - from;
        count = left < most ? left : most;
        muster__vertical_note_begin(&note, MUSTER_EVALUATE, MUSTER__VERTICAL_PREDICT);
        muster__vertical_note_integer(&note, MUSTER__VERTICAL_WHICH, which);
        muster__vertical_note_integer(&note, MUSTER__VERTICAL_FROM, (int64_t)from);
        muster__vertical_note_integer(&note, MUSTER__VERTICAL_COUNT, (int64_t)count);
        ask_all(vertical);
        status = deliver(vertical, &note.message, 0, vertical->step, count, error);
        if (status == MUSTER_OK)
            sum(vertical, count, predicted->predictions + from * outputs);
    }
    vertical->scores_step = 0;
    if (status != MUSTER_OK)
        return status;
    predicted->part.loss = predicted->part.labels && predicted->part.rows > 0
                               ? muster__vertical_loss(&vertical->kind, predicted->labels,
                                                       predicted->part.rows, predicted->predictions, NULL)
                               : NAN;
    muster__vertical_predict(&vertical->kind, predicted->part.rows, predicted->predictions);
    return MUSTER_OK;
}

enum muster_status muster_vertical_predict(struct muster_vertical *vertical, enum muster_vertical_which which,
                                           struct muster_vertical_part *part, struct muster_error *error)
{
    *part = (struct muster_vertical_part){0};
    if (!vertical->members.manager)
        return muster__error(error, MUSTER_INVALID, UNMATCHED);
    if (which < MUSTER_VERTICAL_ALL || which > MUSTER_VERTICAL_TEST)
        return muster__error(error, MUSTER_INVALID, "there is no part %d of the records", (int)which);
    enum muster_status status = predict(vertical, which, error);
    if (status == MUSTER_OK)
        *part = vertical->predicted[which].part;
    return status;
}

static enum muster_status report(struct muster_vertical *vertical, uint64_t iteration, uint64_t iterations,
                                 struct muster_error *error)
{
    struct muster__vertical_members *members = &vertical->members;
    enum muster_status status = predict(vertical, MUSTER_VERTICAL_TRAIN, error);
    if (status == MUSTER_OK)
        status = predict(vertical, MUSTER_VERTICAL_TEST, error);
    struct muster_vertical_member_report *reports =
        status == MUSTER_OK ? calloc(members->count, sizeof(*reports)) : NULL;
    if (status == MUSTER_OK && !reports)
        status = muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for a report");
    if (status != MUSTER_OK)
        return status;
    for (size_t i = 0; i < members->count; i++) {
        reports[i] = members->peers[i].report;
        reports[i].name = members->peers[i].name;
        members->peers[i].report = (struct muster_vertical_member_report){0};
    }
    const struct muster_vertical_report whole = {
        .update = iteration,
        .updates = iterations,
        .epoch = (iteration - 1) / vertical->batches.per_epoch + 1,
        .iteration_ms = vertical->iterations > 0 ? vertical->iterations_ms / (double)vertical->iterations : 0,
        .train = vertical->predicted[MUSTER_VERTICAL_TRAIN].part,
        .test = vertical->predicted[MUSTER_VERTICAL_TEST].part,
        .members = reports,
        .member_count = members->count,
        .iteration_times = vertical->iteration_times,
    };
    vertical->options.on_report(vertical->options.context, &whole);
    vertical->iterations_ms = 0;
    vertical->iterations = 0;
    free(reports);
    return MUSTER_OK;
}

/* ---- steps ---- */

enum muster_status muster__vertical_learn_bias(struct muster_vertical *vertical, uint64_t step,
                                               const double *residual, size_t rows,
                                               struct muster_error *error)
{
    const struct muster__vertical_settings *settings = &vertical->settings;
    size_t members = vertical->members.count;
    struct muster__vertical_step how = settings->step;
    how.l2 = 0;
    if (settings->steps.blocks == members || !muster__vertical_learns(&settings->steps, step, members))
        return MUSTER_OK;
    if (settings->model != MUSTER_VERTICAL_RIDGE) {
        const struct muster__vertical_records records = {vertical->ones, NULL, rows};
        muster__vertical_descend(&vertical->bias, &how, &records, residual);
        return MUSTER_OK;
    }
    size_t size = rows * vertical->kind.outputs * sizeof(*residual);
    double *copy = malloc(size);
    enum muster_status status = MUSTER_OK;
    if (!copy)
        status = muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for a residual");
    if (status == MUSTER_OK && !vertical->bias_svd)
        status = muster__vertical_svd_new(vertical->ones, rows, 1, vertical->kind.outputs,
                                          &vertical->bias_svd, error);
    if (status == MUSTER_OK) {
        memcpy(copy, residual, size);
        muster__vertical_solve(&vertical->bias, &how, vertical->bias_svd, vertical->ones, copy);
    }
    free(copy);
    return status;
}

/* The members' scores for the batch of a step, where they are not there from the step before. */
static enum muster_status score(struct muster_vertical *vertical, uint64_t step, size_t rows,
                                struct muster_error *error)
{
    struct muster__vertical_note note;
    if (vertical->scores_step == step)
        return MUSTER_OK;
    muster__vertical_note_begin(&note, MUSTER_EVALUATE, MUSTER__VERTICAL_PREDICT);
    muster__vertical_note_integer(&note, MUSTER__VERTICAL_STEP, (int64_t)step);
    ask_all(vertical);
    enum muster_status status = deliver(vertical, &note.message, 0, step - 1, rows, error);
    vertical->scores_step = status == MUSTER_OK ? step : 0;
    return status;
}

/* Scores become the residual; labels are those of the batch. */
static enum muster_status find_residual(struct muster_vertical *vertical, const size_t *rows, size_t count,
                                        uint64_t step, struct muster_error *error)
{
    size_t outputs = vertical->kind.outputs;
    for (size_t i = 0; i < count; i++)
        muster__vertical_labels_spread(vertical->table, vertical->kind.model, vertical->rows[rows[i]],
                                       outputs, vertical->labels + i * outputs);
    sum(vertical, count, vertical->scores);
    double loss =
        muster__vertical_loss(&vertical->kind, vertical->labels, count, vertical->scores, vertical->scores);
    if (!isfinite(loss))
        return muster__error(error, MUSTER_INVALID,
                             "step %" PRIu64 ": the loss is not finite: is the learning rate too high?",
                             step);
    return MUSTER_OK;
}

/* Tells those that learn in the step; with `more`, they answer with scores for the next. */
static enum muster_status tell(struct muster_vertical *vertical, uint64_t step, size_t rows, bool more,
                               struct muster_error *error)
{
    struct muster__vertical_note note;
    size_t next;
    (void)muster__vertical_batch(&vertical->batches,
                                 muster__vertical_iteration(&vertical->settings.steps, step + 1), &next);
    muster__vertical_note_begin(&note, MUSTER_TRAIN,
                                more ? MUSTER__VERTICAL_UPDATE_PREDICT : MUSTER__VERTICAL_UPDATE);
    muster__vertical_note_integer(&note, MUSTER__VERTICAL_STEP, (int64_t)step);
    muster__vertical_note_matrix(&note, vertical->scores, rows, vertical->kind.outputs);
    for (size_t i = 0; i < vertical->members.count; i++)
        vertical->members.peers[i].asked = muster__vertical_learns(&vertical->settings.steps, step, i);
    enum muster_status status = deliver(vertical, &note.message, step, step - 1, more ? next : 0, error);
    vertical->scores_step = status == MUSTER_OK && more ? step + 1 : 0;
    return status;
}

/* Updates that are on every disk are not kept. They are on the master's before a checkpoint that comes after
 * them: a power cut in between would leave members behind without them. */
static enum muster_status save(struct muster_vertical *vertical, bool now, struct muster_error *error)
{
    struct muster__vertical_directory *directory = &vertical->directory;
    bool due = muster__vertical_directory_is_due(directory, vertical->step, now);
    enum muster_status status = due ? muster__vertical_updates_sync(&vertical->updates, error) : MUSTER_OK;
    if (due && status == MUSTER_OK)
        status = muster__vertical_directory_save(directory, &vertical->bias, vertical->step, error);
    if (status != MUSTER_OK || (directory->path && !due))
        return status;
    uint64_t least = vertical->step;
    for (size_t i = 0; i < vertical->members.count; i++) {
        const struct muster__vertical_peer *peer = &vertical->members.peers[i];
        if (peer->durable >= 0 && (uint64_t)peer->durable < least)
            least = (uint64_t)peer->durable;
    }
    muster__vertical_updates_forget(&vertical->updates, least);
    return MUSTER_OK;
}

/* Makes the next step: it is kept before anyone is told, so that whoever dies can be told again. */
static enum muster_status make_step(struct muster_vertical *vertical, uint64_t last,
                                    struct muster_error *error)
{
    uint64_t step = vertical->step + 1;
    size_t count;
    const size_t *rows = muster__vertical_batch(
        &vertical->batches, muster__vertical_iteration(&vertical->settings.steps, step), &count);
    enum muster_status status = score(vertical, step, count, error);
    if (status == MUSTER_OK)
        status = find_residual(vertical, rows, count, step, error);
    if (status == MUSTER_OK)
        status = muster__vertical_updates_add(&vertical->updates, step, vertical->scores, count, error);
    if (status == MUSTER_OK)
        status = muster__vertical_learn_bias(vertical, step, vertical->scores, count, error);
    if (status != MUSTER_OK)
        return status;
    vertical->step = step;
    status = tell(vertical, step, count, step < last, error);
    return status == MUSTER_OK ? save(vertical, false, error) : status;
}

static enum muster_status finish(struct muster_vertical *vertical, struct muster_error *error)
{
    struct muster__vertical_note note;
    muster__vertical_note_begin(&note, MUSTER_TRAIN, MUSTER__VERTICAL_FINISH);
    ask_all(vertical);
    enum muster_status status = muster__vertical_weights_check(&vertical->bias, error);
    if (status == MUSTER_OK)
        status = deliver(vertical, &note.message, 0, vertical->step, 0, error);
    return status == MUSTER_OK ? save(vertical, true, error) : status;
}

enum muster_status muster_vertical_finish(struct muster_vertical *vertical, struct muster_error *error)
{
    if (!vertical->members.manager)
        return muster__error(error, MUSTER_INVALID, UNMATCHED);
    return finish(vertical, error);
}

static bool is_due(const struct muster_vertical *vertical, uint64_t iteration, uint64_t iterations)
{
    uint64_t every = vertical->options.report_every;
    if (every == 0)
        every = vertical->batches.per_epoch;
    return vertical->options.on_report && (iteration % every == 0 || iteration == iterations);
}

/* Whether the step that was made last is the last of its iteration. */
static bool ends_iteration(const struct muster_vertical *vertical)
{
    const struct muster__vertical_steps *steps = &vertical->settings.steps;
    return muster__vertical_iteration(steps, vertical->step + 1) !=
           muster__vertical_iteration(steps, vertical->step);
}

/* After the last step of an iteration: reports if it is time for that. A death may have come before it. */
static enum muster_status report_if_due(struct muster_vertical *vertical, uint64_t iterations,
                                        struct muster_error *error)
{
    uint64_t iteration = muster__vertical_iteration(&vertical->settings.steps, vertical->step);
    if (iteration == vertical->reported || !is_due(vertical, iteration, iterations) ||
        !ends_iteration(vertical))
        return MUSTER_OK;
    enum muster_status status = report(vertical, iteration, iterations, error);
    if (status == MUSTER_OK)
        vertical->reported = iteration;
    return status;
}

static void count_iteration(struct muster_vertical *vertical)
{
    double seconds = vertical->iteration_ms / 1000;
    size_t bucket = 0;
    while (seconds > muster_histogram_bound(bucket))
        bucket++;
    vertical->iteration_times.buckets[bucket]++;
    vertical->iteration_times.count++;
    vertical->iteration_times.seconds += seconds;
    vertical->iterations_ms += vertical->iteration_ms;
    vertical->iterations++;
    vertical->iteration_ms = 0;
}

enum muster_status muster_vertical_train(struct muster_vertical *vertical, struct muster_error *error)
{
    const struct muster__vertical_steps *steps = &vertical->settings.steps;
    if (!vertical->members.manager || vertical->weights_path)
        return muster__error(error, MUSTER_INVALID,
                             vertical->weights_path ? "with a file of weights nothing is learned"
                                                    : UNMATCHED);
    size_t blocks = steps->consecutive ? steps->blocks : 1;
    if (vertical->options.epochs > INT64_MAX / blocks / vertical->batches.per_epoch)
        return muster__error(error, MUSTER_INVALID, "%" PRIu64 " epochs have too many steps",
                             vertical->options.epochs);
    uint64_t iterations = vertical->options.epochs * vertical->batches.per_epoch;
    uint64_t last = iterations * blocks;
    enum muster_status status = report_if_due(vertical, iterations, error);
    while (vertical->step < last && status == MUSTER_OK) {
        double began = muster__vertical_now();
        uint64_t before = vertical->step;
        status = make_step(vertical, last, error);
        vertical->iteration_ms += muster__vertical_now() - began;
        if (vertical->step != before && ends_iteration(vertical))
            count_iteration(vertical);
        if (status == MUSTER_OK)
            status = report_if_due(vertical, iterations, error);
    }
    return status == MUSTER_OK ? finish(vertical, error) : status;
}
