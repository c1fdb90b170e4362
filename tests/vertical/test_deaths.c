/* Members and masters that die on their way and come back: the model is the one that nobody's death
 * disturbed, to the bit. */
#include <config.h>

#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "learning/vertical/master.h"
#include "vertical/ensemble.h"
#include "vertical/over.h"

static const size_t THREE[] = {7, 6, 7};

struct scene {
    struct problem problem;
    struct ensemble ensemble;
    char folder[64];
    uint64_t closes_at; /* the update after which the master dies, once; 0: never */
    uint64_t reports;
    size_t lost, back; /* how often the master was told so */
};

static void on_report(void *context, const struct muster_vertical_report *report)
{
    struct scene *scene = context;
    scene->reports++;
    if (scene->closes_at != 0 && report->update >= scene->closes_at) {
        scene->closes_at = 0;
        participant_manager_close(scene->ensemble.manager);
    }
}

static void on_warning(void *context, const char *text)
{
    struct scene *scene = context;
    scene->lost += strstr(text, " is lost: ") != NULL;
    scene->back += strstr(text, " is back") != NULL;
}

static void begin(struct scene *scene)
{
    memset(scene, 0, sizeof(*scene));
    problem_reference(&scene->problem);
    ensemble_init(&scene->ensemble, &scene->problem, THREE, 3);
    ensemble_folder(scene->folder);
    ensemble_keep(&scene->ensemble, scene->folder);
    struct muster_vertical_options *options = &scene->ensemble.options;
    options->batch_size = 100;
    options->epochs = 4;
    options->momentum = 0.9;
    options->bias = true;
    options->report_every = 3;
    options->on_report = on_report;
    options->on_warning = on_warning;
    options->context = scene;
}

static void end(struct scene *scene)
{
    ensemble_remove(scene->folder);
    problem_clear(&scene->problem);
}

/* All who were to die have died, and the model does not show it. */
static void expect_undisturbed(struct scene *scene)
{
    struct scene calm;
    double weights[COLUMNS_MOST], right[COLUMNS_MOST];
    size_t outputs;
    double bias = *muster_vertical_bias(scene->ensemble.vertical, &outputs);
    ensemble_end(&scene->ensemble);
    cr_assert_eq(scene->closes_at, 0);
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(scene->ensemble.players[i].dies_at, 0, "member %zu has not died", i);
    begin(&calm);
    calm.ensemble.options.consecutive = scene->ensemble.options.consecutive;
    calm.ensemble.options.batch_size = scene->ensemble.options.batch_size;
    calm.ensemble.options.epochs = scene->ensemble.options.epochs;
    ensemble_play(&calm.ensemble);
    double right_bias = *muster_vertical_bias(calm.ensemble.vertical, &outputs);
    ensemble_end(&calm.ensemble);
    cr_assert_eq(ensemble_weights(&scene->ensemble, weights), 20);
    cr_assert_eq(ensemble_weights(&calm.ensemble, right), 20);
    cr_assert(memcmp(weights, right, 20 * sizeof(*weights)) == 0);
    cr_assert(memcmp(&bias, &right_bias, sizeof(bias)) == 0);
    end(&calm);
    end(scene);
}

static void expect_status(enum muster_status is, enum muster_status status, const struct ensemble *ensemble,
                          const char *text)
{
    cr_assert_eq(is, status, "%s: %s", muster_status_name(is), ensemble->error.text);
    cr_assert(strstr(ensemble->error.text, text), "%s", ensemble->error.text);
}

ENSEMBLE_TEST(deaths, members_before_they_apply_an_update)
{
    struct scene scene;
    begin(&scene);
    scene.ensemble.players[0].dies_at = 2;
    scene.ensemble.players[1].dies_at = 17;
    scene.ensemble.players[2].dies_at = 17;
    ensemble_play(&scene.ensemble);
    cr_assert_eq(scene.lost, 3);
    cr_assert_eq(scene.back, 3);
    expect_undisturbed(&scene);
}

ENSEMBLE_TEST(deaths, members_after_they_applied_an_update)
{
    struct scene scene;
    begin(&scene);
    for (size_t i = 0; i < 3; i++) {
        scene.ensemble.players[i].dies_at = 5 + 11 * i;
        scene.ensemble.players[i].dies_answering = true;
    }
    ensemble_play(&scene.ensemble);
    expect_undisturbed(&scene);
}

ENSEMBLE_TEST(deaths, before_the_first_update)
{
    struct scene scene;
    begin(&scene);
    scene.ensemble.players[1].dies_at = 1;
    scene.ensemble.players[2].dies_at = 1;
    scene.ensemble.players[2].dies_answering = true;
    ensemble_play(&scene.ensemble);
    expect_undisturbed(&scene);
}

ENSEMBLE_TEST(deaths, consecutive_members)
{
    struct scene scene;
    begin(&scene);
    scene.ensemble.options.consecutive = true;
    scene.ensemble.options.batch_size = 0;
    scene.ensemble.options.epochs = 30;
    scene.ensemble.players[0].dies_at = 3;
    scene.ensemble.players[1].dies_at = 20;
    scene.ensemble.players[1].dies_answering = true;
    ensemble_play(&scene.ensemble);
    expect_undisturbed(&scene);
}

/* The master dies, and members live on. */
static void let_master_die(struct scene *scene, uint64_t update)
{
    scene->closes_at = update;
    ensemble_start(&scene->ensemble);
    expect_status(ensemble_train(&scene->ensemble), MUSTER_STOPPED, &scene->ensemble, "");
    ensemble_restart_master(&scene->ensemble);
    enum muster_status status = ensemble_train(&scene->ensemble);
    cr_assert_eq(status, MUSTER_OK, "%s", scene->ensemble.error.text);
}

ENSEMBLE_TEST(deaths, the_master)
{
    struct scene scene;
    begin(&scene);
    let_master_die(&scene, 9);
    cr_assert_eq(scene.reports, 15, "%zu", (size_t)scene.reports); /* that of update 9 twice */
    expect_undisturbed(&scene);
}

ENSEMBLE_TEST(deaths, the_master_of_consecutive_members)
{
    struct scene scene;
    begin(&scene);
    scene.ensemble.options.consecutive = true;
    scene.ensemble.options.batch_size = 0;
    scene.ensemble.options.epochs = 30;
    let_master_die(&scene, 9);
    expect_undisturbed(&scene);
}

ENSEMBLE_TEST(deaths, all_of_them)
{
    struct scene scene;
    begin(&scene);
    for (size_t i = 0; i < 3; i++)
        scene.ensemble.players[i].dies_at = 20 + i;
    let_master_die(&scene, 15);
    expect_undisturbed(&scene);
}

/* The machine of the master lost its power: what it had not synced is gone, and members go back. */
static void lose_power(struct scene *scene)
{
    char command[160];
    snprintf(command, sizeof(command), "rm %s/master/updates-*", scene->folder);
    cr_assert_eq(system(command), 0);
}

ENSEMBLE_TEST(deaths, the_masters_machine)
{
    struct scene scene;
    begin(&scene);
    scene.closes_at = 9;
    ensemble_start(&scene.ensemble);
    expect_status(ensemble_train(&scene.ensemble), MUSTER_STOPPED, &scene.ensemble, "");
    lose_power(&scene);
    ensemble_restart_master(&scene.ensemble);
    enum muster_status status = ensemble_train(&scene.ensemble);
    cr_assert_eq(status, MUSTER_OK, "%s", scene.ensemble.error.text);
    expect_undisturbed(&scene);
}

/* ---- what does not go on ---- */

ENSEMBLE_TEST(deaths, the_masters_machine_and_a_member_that_kept_nothing)
{
    struct scene scene;
    begin(&scene);
    scene.closes_at = 9;
    scene.ensemble.players[0].options.run = NULL;
    ensemble_start(&scene.ensemble);
    expect_status(ensemble_train(&scene.ensemble), MUSTER_STOPPED, &scene.ensemble, "");
    lose_power(&scene);
    ensemble_restart_master(&scene.ensemble);
    expect_status(ensemble_train(&scene.ensemble), MUSTER_REFUSED, &scene.ensemble,
                  "this member has no run directory to go back");
    ensemble_end(&scene.ensemble);
    end(&scene);
}

ENSEMBLE_TEST(deaths, a_member_that_kept_nothing)
{
    struct scene scene;
    begin(&scene);
    scene.ensemble.players[1].options.run = NULL;
    scene.ensemble.players[1].dies_at = 10;
    ensemble_start(&scene.ensemble);
    expect_status(ensemble_train(&scene.ensemble), MUSTER_REFUSED, &scene.ensemble, "member member-1: ");
    cr_assert(strstr(scene.ensemble.error.text, "no records were matched for this run"), "%s",
              scene.ensemble.error.text);
    ensemble_end(&scene.ensemble);
    end(&scene);
}

static atomic_bool missed;
static size_t heard_before;

static void miss(void *context, const char *text)
{
    (void)context;
    if (strstr(text, "is lost"))
        atomic_store(&missed, true);
}

/* From its eighth instruction on. Time passes when the master has heard the others. */
static bool stay_away(struct player *player, struct participant *participant,
                      const struct muster_message *instruction)
{
    (void)instruction;
    if (heard_before++ < 7)
        return false;
    participant_close(participant);
    while (!atomic_load(&player->ensemble->over)) {
        if (atomic_load(&missed))
            over_pass();
        else
            sched_yield();
    }
    return true;
}

ENSEMBLE_TEST(deaths, a_member_that_stays_away)
{
    struct scene scene;
    begin(&scene);
    scene.ensemble.options.member_timeout_ms = MEMBER_TIMEOUT_MS;
    scene.ensemble.options.on_warning = miss;
    scene.ensemble.players[2].answer = stay_away;
    heard_before = 0;
    atomic_store(&missed, false);
    ensemble_start(&scene.ensemble);
    expect_status(ensemble_train(&scene.ensemble), MUSTER_TIMEOUT, &scene.ensemble,
                  "member member-2 is not there");
    ensemble_end(&scene.ensemble);
    end(&scene);
}

ENSEMBLE_TEST(deaths, a_run_of_other_labels_or_settings)
{
    struct scene scene;
    struct muster_vertical *other = NULL;
    struct muster_error error;
    begin(&scene);
    ensemble_play(&scene.ensemble);
    struct muster_vertical_options options = scene.ensemble.options;
    ensemble_end(&scene.ensemble);
    struct share labels;
    problem_labels(&scene.problem, &labels);
    options.learning_rate *= 2;
    cr_assert_eq(muster_vertical_new(&labels.table, &options, &other, &error), MUSTER_FORMAT);
    cr_assert(strstr(error.text, "has other settings: \"learning_rate\": "), "%s", error.text);
    options.learning_rate /= 2;
    labels.values[0] = 1 - labels.values[0];
    cr_assert_eq(muster_vertical_new(&labels.table, &options, &other, &error), MUSTER_FORMAT);
    cr_assert(strstr(error.text, "the records are not those of the run"), "%s", error.text);
    cr_assert_null(other);
    share_clear(&labels);
    end(&scene);
}

ENSEMBLE_TEST(deaths, a_member_whose_rows_changed)
{
    struct scene scene;
    struct muster_vertical_member *other = NULL;
    struct muster_error error;
    begin(&scene);
    ensemble_play(&scene.ensemble);
    ensemble_end(&scene.ensemble);
    struct share share;
    problem_share(&scene.problem, 0, 7, 0, &share);
    share.values[3] += 1e-9;
    cr_assert_eq(muster_vertical_member_new(&share.table, &scene.ensemble.players[0].options, &other, &error),
                 MUSTER_FORMAT);
    cr_assert(strstr(error.text, "the records are not those of the run"), "%s", error.text);
    cr_assert_null(other);
    share_clear(&share);
    end(&scene);
}

/* The file of updates does not reach the disk any more. */
static void spoil_updates(void *context, const struct muster_vertical_report *report)
{
    const struct scene *scene = context;
    struct muster_vertical *vertical = scene->ensemble.vertical;
    int ends[2];
    vertical->directory.saved_ms = INFINITY; /* no checkpoint but that at the end */
    if (report->update < report->updates)
        return;
    cr_assert_eq(pipe(ends), 0);
    cr_assert_geq(dup2(ends[1], vertical->updates.file), 0);
    close(ends[0]);
    close(ends[1]);
}

/* The third row becomes `row`. */
static void change_matching(const char *folder, const char *name, int64_t row)
{
    static int64_t changed[1000];
    char path[160];
    struct muster_named_array *arrays;
    struct muster_error error;
    size_t count;
    snprintf(path, sizeof(path), "%s/%s/matching.npz", folder, name);
    cr_assert_eq(muster_npz_read(path, SIZE_MAX, &arrays, &count, &error), MUSTER_OK, "%s", error.text);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(arrays[i].name, "rows") != 0)
            continue;
        memcpy(changed, arrays[i].array.data, sizeof(changed));
        changed[2] = row;
        arrays[i].array.data = changed;
    }
    cr_assert_eq(muster_npz_write(path, arrays, count, &error), MUSTER_OK, "%s", error.text);
    free(arrays);
}

ENSEMBLE_TEST(deaths, rows_that_the_records_do_not_have)
{
    static const int64_t rows[] = {1000, -1};
    struct scene scene;
    struct share share, labels;
    struct muster_vertical_member *member;
    struct muster_vertical *vertical;
    struct muster_error error;
    begin(&scene);
    ensemble_play(&scene.ensemble);
    struct muster_vertical_options options = scene.ensemble.options;
    ensemble_end(&scene.ensemble);
    problem_share(&scene.problem, 0, 7, 0, &share);
    problem_labels(&scene.problem, &labels);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        change_matching(scene.folder, "member-0", rows[i]);
        cr_assert_eq(
            muster_vertical_member_new(&share.table, &scene.ensemble.players[0].options, &member, &error),
            MUSTER_FORMAT);
        cr_assert(strstr(error.text, "/member-0/matching.npz: the records have no row "), "%s", error.text);
        change_matching(scene.folder, "master", rows[i]);
        cr_assert_eq(muster_vertical_new(&labels.table, &options, &vertical, &error), MUSTER_FORMAT);
        cr_assert(strstr(error.text, "/master/matching.npz: the records have no row "), "%s", error.text);
    }
    share_clear(&share);
    share_clear(&labels);
    end(&scene);
}

/* A power cut between the two must not leave a checkpoint without the updates that lagging members need. */
ENSEMBLE_TEST(deaths, no_checkpoint_is_before_its_updates)
{
    struct scene scene;
    begin(&scene);
    scene.ensemble.options.on_report = spoil_updates;
    scene.ensemble.options.report_every = 1;
    ensemble_start(&scene.ensemble);
    expect_status(ensemble_train(&scene.ensemble), MUSTER_IO, &scene.ensemble, "syncing updates");
    cr_assert_lt(scene.ensemble.vertical->directory.durable, scene.ensemble.vertical->step);
    ensemble_end(&scene.ensemble);
    end(&scene);
}

static size_t reports_left;

/* The master is told to stop while it asks for the predictions of its last report. */
static bool stop_the_last_report(struct player *player, struct participant *participant,
                                 const struct muster_message *instruction)
{
    (void)participant;
    if (muster_message_integer(instruction, "which", 0) == MUSTER_VERTICAL_TRAIN && --reports_left == 0) {
        player->answer = NULL;
        participant_manager_close(player->ensemble->manager);
    }
    return false;
}

ENSEMBLE_TEST(deaths, a_master_before_its_last_report)
{
    struct scene scene;
    begin(&scene);
    scene.ensemble.options.report_every = 10;
    scene.ensemble.players[1].answer = stop_the_last_report;
    reports_left = 4;
    ensemble_start(&scene.ensemble);
    expect_status(ensemble_train(&scene.ensemble), MUSTER_STOPPED, &scene.ensemble, "");
    cr_assert_eq(scene.reports, 3);
    ensemble_restart_master(&scene.ensemble);
    expect_status(ensemble_train(&scene.ensemble), MUSTER_OK, &scene.ensemble, "");
    cr_assert_eq(scene.reports, 4);
    expect_undisturbed(&scene);
}
