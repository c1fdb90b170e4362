/* Members that answer wrongly or not at all, and runs that cannot go well: each ends with a status that names
 * the cause. */
#include <config.h>

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "vertical/ensemble.h"
#include "vertical/over.h"

static const size_t THREE[] = {7, 6, 7};

/* ---- members that answer wrongly ---- */

/* The wrong answer to an "update_predict". */
struct wrong {
    int64_t step; /* more than the right one */
    uint64_t rows;
    double value;
    int64_t durable;
};

static struct wrong wrong;

static bool answer_wrongly(struct player *player, struct participant *participant,
                           const struct muster_message *instruction)
{
    static double scores[1000];
    (void)player;
    if (strcmp(muster_message_text(instruction, "task", ""), "update_predict") != 0)
        return false;
    int64_t step = muster_message_integer(instruction, "step", 0);
    scores[5] = wrong.value;
    const struct muster_value values[] = {
        {.name = "step", .kind = MUSTER_VALUE_INTEGER, .integer = step + wrong.step},
        {.name = "durable", .kind = MUSTER_VALUE_INTEGER, .integer = wrong.durable},
    };
    const struct muster_array array = {
        .dtype = MUSTER_FLOAT64, .dimensions = 2, .shape = {wrong.rows, 1}, .data = scores};
    struct muster_message answer = MUSTER_MESSAGE_INIT;
    answer.kind = MUSTER_TRAIN;
    answer.values = values;
    answer.value_count = 2;
    answer.arrays = &array;
    answer.array_count = 1;
    return participant_dispatch(participant, &answer, NULL) == MUSTER_OK;
}

static void expect_end(struct ensemble *ensemble, enum muster_status status, const char *text)
{
    ensemble_start(ensemble);
    enum muster_status is = ensemble_train(ensemble);
    cr_assert_eq(is, status, "%s: %s", muster_status_name(is), ensemble->error.text);
    cr_assert(strstr(ensemble->error.text, text), "%s", ensemble->error.text);
    ensemble_end(ensemble);
}

static void expect_wrong(struct wrong answer, enum muster_status status, const char *text)
{
    struct problem problem;
    struct ensemble ensemble;
    problem_reference(&problem);
    ensemble_init(&ensemble, &problem, THREE, 3);
    ensemble.options.batch_size = 100;
    ensemble.players[1].answer = answer_wrongly;
    wrong = answer;
    expect_end(&ensemble, status, text);
    problem_clear(&problem);
}

ENSEMBLE_TEST(faults, an_answer_of_another_batch)
{
    expect_wrong((struct wrong){.step = 1, .rows = 100, .durable = -1}, MUSTER_PROTOCOL,
                 "member member-1: it answers step 2, and 1 was asked");
}

ENSEMBLE_TEST(faults, an_answer_of_another_shape)
{
    expect_wrong((struct wrong){.rows = 99, .durable = -1}, MUSTER_PROTOCOL,
                 "member member-1: the matrix is 99 x 1, and 100 x 1 is expected");
}

ENSEMBLE_TEST(faults, an_answer_that_is_not_finite)
{
    expect_wrong((struct wrong){.rows = 100, .value = NAN, .durable = -1}, MUSTER_INVALID,
                 "member member-1: its scores are not finite");
}

ENSEMBLE_TEST(faults, an_answer_that_keeps_what_is_to_come)
{
    expect_wrong((struct wrong){.rows = 100, .durable = 7}, MUSTER_PROTOCOL,
                 "member member-1: its answer does not say where it is");
}

/* Its first scores are zeros, that took ever so long. */
static bool answer_slowly(struct player *player, struct participant *participant,
                          const struct muster_message *instruction)
{
    static const double scores[1000];
    static const struct muster_value values[] = {
        {.name = "step", .kind = MUSTER_VALUE_INTEGER, .integer = 0},
        {.name = "durable", .kind = MUSTER_VALUE_INTEGER, .integer = -1},
    };
    static const struct muster_scalar scalar = {.name = "task_ms", .value = 1e300};
    (void)player;
    if (muster_message_integer(instruction, "step", 0) != 1 ||
        strcmp(muster_message_text(instruction, "task", ""), "predict") != 0)
        return false;
    const struct muster_array array = {
        .dtype = MUSTER_FLOAT64, .dimensions = 2, .shape = {1000, 1}, .data = scores};
    struct muster_message answer = MUSTER_MESSAGE_INIT;
    answer.kind = MUSTER_EVALUATE;
    answer.values = values;
    answer.value_count = 2;
    answer.scalars = &scalar;
    answer.scalar_count = 1;
    answer.arrays = &array;
    answer.array_count = 1;
    return participant_dispatch(participant, &answer, NULL) == MUSTER_OK;
}

static void expect_times(void *context, const struct muster_vertical_report *report)
{
    for (size_t i = 0; i < report->member_count; i++) {
        cr_assert_geq(report->members[i].task_ms, 0);
        cr_assert_leq(report->members[i].task_ms, report->members[i].turn_ms);
    }
    *(size_t *)context += 1;
}

ENSEMBLE_TEST(faults, a_time_that_is_longer_than_the_turn)
{
    struct problem problem;
    struct ensemble ensemble;
    size_t reports = 0;
    problem_reference(&problem);
    ensemble_init(&ensemble, &problem, THREE, 3);
    ensemble.options.batch_size = 0;
    ensemble.options.on_report = expect_times;
    ensemble.options.context = &reports;
    ensemble.players[1].answer = answer_slowly;
    ensemble_play(&ensemble);
    ensemble_end(&ensemble);
    cr_assert_eq(reports, 1);
    problem_clear(&problem);
}

static bool be_silent(struct player *player, struct participant *participant,
                      const struct muster_message *instruction)
{
    (void)player;
    if (strcmp(muster_message_text(instruction, "task", ""), "update_predict") != 0)
        return false;
    const struct muster_message *next;
    (void)participant_consume(participant, MUSTER_NO_LIMIT, &next, NULL);
    return true;
}

/* It waits for the end without an answer. */
static bool freeze(struct player *player, struct participant *participant,
                   const struct muster_message *instruction)
{
    (void)participant;
    if (strcmp(muster_message_text(instruction, "task", ""), "update_predict") != 0)
        return false;
    while (!atomic_load(&player->ensemble->over) && !participant_cancelled(participant))
        over_pass();
    return true;
}

ENSEMBLE_TEST(faults, a_member_that_is_frozen)
{
    struct problem problem;
    struct ensemble ensemble;
    problem_reference(&problem);
    ensemble_init(&ensemble, &problem, THREE, 3);
    /* Nobody else is asked at the same time, and can be late. */
    ensemble.options.consecutive = true;
    ensemble.options.batch_size = 0;
    ensemble.options.epochs = 2;
    ensemble.options.member_timeout_ms = MEMBER_TIMEOUT_MS;
    ensemble.players[2].answer = freeze;
    expect_end(&ensemble, MUSTER_TIMEOUT, "member member-2: ");
    problem_clear(&problem);
}

ENSEMBLE_TEST(faults, a_member_that_does_not_know_it)
{
    struct problem problem;
    struct ensemble ensemble;
    problem_reference(&problem);
    ensemble_init(&ensemble, &problem, THREE, 3);
    ensemble.players[0].answer = be_silent;
    expect_end(&ensemble, MUSTER_UNKNOWN_INSTRUCTION, "member member-0: ");
    problem_clear(&problem);
}

/* ---- runs that cannot go well ---- */

static void expect_too_far(uint64_t epochs, double learning_rate, enum muster_status status, const char *text)
{
    struct problem problem;
    struct ensemble ensemble;
    problem_linear(&problem, 300, 20);
    ensemble_init(&ensemble, &problem, THREE, 3);
    ensemble.options.model = MUSTER_VERTICAL_LINEAR;
    ensemble.options.batch_size = 0;
    ensemble.options.epochs = epochs;
    ensemble.options.learning_rate = learning_rate;
    expect_end(&ensemble, status, text);
    problem_clear(&problem);
}

ENSEMBLE_TEST(faults, a_learning_rate_that_is_too_high)
{
    expect_too_far(1000, 50, MUSTER_INVALID, "is the learning rate too high?");
}

/* They would be counted as none. */
ENSEMBLE_TEST(faults, more_steps_than_there_are_numbers)
{
    struct problem problem;
    struct ensemble ensemble;
    problem_reference(&problem);
    ensemble_init(&ensemble, &problem, THREE, 3);
    ensemble.options.batch_size = 500;
    ensemble.options.epochs = UINT64_C(1) << 63;
    expect_end(&ensemble, MUSTER_INVALID, "9223372036854775808 epochs have too many steps");
    problem_clear(&problem);
}

/* No scores follow the last update. */
ENSEMBLE_TEST(faults, a_last_update_that_is_too_far)
{
    expect_too_far(1, DBL_MAX, MUSTER_REFUSED, "the weights are not finite: is the learning rate too high?");
}

ENSEMBLE_TEST(faults, a_constant_column_learns_nothing)
{
    struct problem problem;
    struct ensemble ensemble;
    double weights[COLUMNS_MOST];
    problem_reference(&problem);
    for (size_t i = 0; i < problem.rows; i++)
        problem.x[20 * i + 3] = 0.1;
    ensemble_init(&ensemble, &problem, THREE, 3);
    ensemble.options.standardize = true;
    ensemble_play(&ensemble);
    ensemble_end(&ensemble);
    ensemble_weights(&ensemble, weights);
    cr_assert_eq(weights[3], 0);
    cr_assert_neq(weights[4], 0);
    problem_clear(&problem);
}

ENSEMBLE_TEST(faults, more_participants_than_members)
{
    struct problem problem;
    struct ensemble ensemble;
    problem_reference(&problem);
    ensemble_init(&ensemble, &problem, THREE, 3);
    ensemble_start(&ensemble);
    struct proxy **proxies;
    size_t count;
    cr_assert_eq(participant_manager_get_participants(ensemble.manager, 3, 60000, &proxies, &count, NULL),
                 MUSTER_OK);
    proxy_release_all(proxies, count);
    cr_assert_eq(muster_vertical_match(ensemble.vertical, ensemble.manager, 2, 1000, &ensemble.error),
                 MUSTER_INVALID);
    cr_assert_str_eq(ensemble.error.text, "3 participants are there, and 2 members are wanted");
    cr_assert_eq(muster_vertical_match(ensemble.vertical, ensemble.manager, 4, 0, &ensemble.error),
                 MUSTER_TIMEOUT);
    cr_assert_eq(muster_vertical_train(ensemble.vertical, &ensemble.error), MUSTER_INVALID);
    ensemble_end(&ensemble);
    problem_clear(&problem);
}

static bool refuse(struct player *player, struct participant *participant)
{
    struct muster_message answer = MUSTER_MESSAGE_INIT;
    player->answer = NULL;
    answer.kind = MUSTER_FAILURE;
    answer.code = MUSTER_IO;
    answer.text = "not yet";
    return participant_dispatch(participant, &answer, NULL) == MUSTER_OK;
}

/* Refuses the first "begin". */
static bool begin_later(struct player *player, struct participant *participant,
                        const struct muster_message *instruction)
{
    return strcmp(muster_message_text(instruction, "task", ""), "begin") == 0 && refuse(player, participant);
}

/* What was matched before it failed is not taken for the beginning of a run. */
ENSEMBLE_TEST(faults, a_matching_that_is_tried_again)
{
    struct problem problem;
    struct ensemble ensemble;
    char folder[64];
    problem_reference(&problem);
    for (int keeps = 0; keeps < 2; keeps++) {
        ensemble_folder(folder);
        ensemble_init(&ensemble, &problem, THREE, 3);
        if (keeps)
            ensemble_keep(&ensemble, folder);
        ensemble.players[1].answer = begin_later;
        ensemble_start(&ensemble);
        cr_assert_eq(ensemble_train(&ensemble), MUSTER_REFUSED, "%s", ensemble.error.text);
        cr_assert_eq(muster_vertical_rows(ensemble.vertical, NULL), 0);
        cr_assert_eq(ensemble_train(&ensemble), MUSTER_OK, "%s", ensemble.error.text);
        ensemble_end(&ensemble);
        ensemble_remove(folder);
    }
    problem_clear(&problem);
}

/* Refuses the first "predict". */
static bool predict_later(struct player *player, struct participant *participant,
                          const struct muster_message *instruction)
{
    return strcmp(muster_message_text(instruction, "task", ""), "predict") == 0 &&
           refuse(player, participant);
}

static void expect_a_time_for_each(void *context, const struct muster_vertical_report *report)
{
    cr_assert_eq(report->iteration_times.count, report->update);
    *(size_t *)context += 1;
}

/* An update that failed before it was made counts once: when it is made. */
ENSEMBLE_TEST(faults, a_training_that_is_tried_again)
{
    struct problem problem;
    struct ensemble ensemble;
    size_t reports = 0;
    problem_reference(&problem);
    ensemble_init(&ensemble, &problem, THREE, 3);
    ensemble.options.on_report = expect_a_time_for_each;
    ensemble.options.context = &reports;
    ensemble.players[1].answer = predict_later;
    ensemble_start(&ensemble);
    cr_assert_eq(ensemble_train(&ensemble), MUSTER_REFUSED, "%s", ensemble.error.text);
    cr_assert_eq(muster_vertical_train(ensemble.vertical, &ensemble.error), MUSTER_OK, "%s",
                 ensemble.error.text);
    cr_assert_eq(reports, 1);
    ensemble_end(&ensemble);
    problem_clear(&problem);
}

/* ---- tables ---- */

static void expect_table(const struct muster_vertical_table *table, enum muster_vertical_model model,
                         enum muster_status status, const char *text)
{
    struct muster_vertical_options options;
    struct muster_vertical *vertical;
    struct muster_error error;
    muster_vertical_options_init(&options);
    options.model = model;
    cr_assert_eq(muster_vertical_new(table, &options, &vertical, &error), status);
    cr_assert_str_eq(error.text, text);
    cr_assert_null(vertical);
}

Test(faults, tables)
{
    const char *twice[] = {"b", "a", "b"}, *lines[] = {"a", "b\n"}, *good[] = {"a", "b"},
               *empty[] = {"a", ""};
    const double zeros[4] = {0, 0, 0, 0}, others[] = {0, 1, 2, 0}, none[] = {0, NAN, 0, 0}, half[] = {0, 0.5};
    expect_table(&(struct muster_vertical_table){3, 1, twice, zeros, NULL}, MUSTER_VERTICAL_LOGISTIC,
                 MUSTER_FORMAT, "the id b is there twice, in rows 1 and 3");
    expect_table(&(struct muster_vertical_table){2, 1, lines, zeros, NULL}, MUSTER_VERTICAL_LOGISTIC,
                 MUSTER_FORMAT, "row 2: the id is not one line of UTF-8");
    expect_table(&(struct muster_vertical_table){2, 1, empty, zeros, NULL}, MUSTER_VERTICAL_LOGISTIC,
                 MUSTER_FORMAT, "row 2: an id has 1 to 1024 bytes");
    expect_table(&(struct muster_vertical_table){2, 2, good, none, NULL}, MUSTER_VERTICAL_LINEAR,
                 MUSTER_FORMAT, "row 1, column 2: nan is not a finite number");
    expect_table(&(struct muster_vertical_table){2, 2, good, others, NULL}, MUSTER_VERTICAL_LOGISTIC,
                 MUSTER_FORMAT, "row 2, column 1: the label 2 is not 0 or 1");
    expect_table(&(struct muster_vertical_table){2, 1, good, half, NULL}, MUSTER_VERTICAL_MULTINOMIAL,
                 MUSTER_FORMAT, "row 2: the label 0.5 is not a class from 0 to 65535");
    expect_table(&(struct muster_vertical_table){2, 0, good, NULL, NULL}, MUSTER_VERTICAL_LOGISTIC,
                 MUSTER_INVALID, "a master needs labels");
}

/* ---- what was trained predicts for others ---- */

/* Its new matching would take the place of the training's. */
Test(files, weights_in_a_file_go_on_with_no_run)
{
    const char *ids[] = {"a", "b"};
    const double values[] = {0, 1};
    const struct muster_vertical_table table = {2, 1, ids, values, NULL};
    struct muster_vertical_member_options member_options;
    struct muster_vertical_options options;
    struct muster_vertical_member *member;
    struct muster_vertical *vertical;
    struct muster_error error;
    muster_vertical_member_options_init(&member_options);
    muster_vertical_options_init(&options);
    member_options.weights = options.weights = "weights.npz";
    member_options.run = options.run = "run";
    cr_assert_eq(muster_vertical_member_new(&table, &member_options, &member, &error), MUSTER_INVALID);
    cr_assert_str_eq(error.text, "predictions with a file of weights are no run to go on");
    cr_assert_eq(muster_vertical_new(&table, &options, &vertical, &error), MUSTER_INVALID);
    cr_assert_str_eq(error.text, "predictions with a file of weights are no run to go on");
}

/* Weights of classes are as many as the outputs that the caller wants. */
static void expect_one_output(struct ensemble *ensemble)
{
    const double class_weights[2] = {1, 2};
    struct muster_vertical *vertical;
    ensemble->options.outputs = 2;
    ensemble->options.class_weights = class_weights;
    problem_labels(ensemble->problem, &ensemble->labels);
    cr_assert_eq(
        muster_vertical_new(&ensemble->labels.table, &ensemble->options, &vertical, &ensemble->error),
        MUSTER_INVALID);
    cr_assert(strstr(ensemble->error.text, "the model has 1 outputs, and 2 are wanted"), "%s",
              ensemble->error.text);
    share_clear(&ensemble->labels);
}

/* All but the files has the defaults then. */
static void expect_same_predictions(enum muster_vertical_model model, size_t batch_size)
{
    struct problem problem;
    struct ensemble ensemble;
    struct muster_vertical_part part;
    char folder[64], files[4][128];
    double before[1000];
    problem_reference(&problem);
    ensemble_folder(folder);
    for (int infers = 0; infers < 2; infers++) {
        ensemble_init(&ensemble, &problem, THREE, 3);
        if (!infers) {
            ensemble.options.model = model;
            ensemble.options.batch_size = batch_size;
            ensemble.options.bias = ensemble.options.standardize = true;
        }
        for (size_t i = 0; i < 4; i++)
            snprintf(files[i], sizeof(files[i]), "%s/weights-%zu.npz", folder, i);
        for (size_t i = 0; i < 3; i++) {
            ensemble.players[i].options.weights = infers ? files[i] : NULL;
            ensemble.players[i].saves = infers ? NULL : files[i];
        }
        ensemble.options.weights = infers ? files[3] : NULL;
        ensemble_start(&ensemble);
        enum muster_status status =
            muster_vertical_match(ensemble.vertical, ensemble.manager, 3, 60000, &ensemble.error);
        cr_assert_eq(status, MUSTER_OK, "%s", ensemble.error.text);
        cr_assert_eq(muster_vertical_train(ensemble.vertical, &ensemble.error),
                     infers ? MUSTER_INVALID : MUSTER_OK);
        status = muster_vertical_predict(ensemble.vertical, MUSTER_VERTICAL_ALL, &part, &ensemble.error);
        cr_assert_eq(status, MUSTER_OK, "%s", ensemble.error.text);
        if (infers)
            cr_assert(memcmp(before, part.predictions, sizeof(before)) == 0);
        else
            memcpy(before, part.predictions, sizeof(before));
        cr_assert_eq(muster_vertical_save(ensemble.vertical, files[3], &ensemble.error), MUSTER_OK);
        if (infers)
            cr_assert_eq(muster_vertical_finish(ensemble.vertical, &ensemble.error), MUSTER_OK);
        ensemble_end(&ensemble);
        for (size_t i = 0; i < 3; i++)
            cr_assert(ensemble.players[i].finished);
    }
    expect_one_output(&ensemble);
    ensemble_remove(folder);
    problem_clear(&problem);
}

ENSEMBLE_TEST(files, weights_in_files_predict_the_same)
{
    expect_same_predictions(MUSTER_VERTICAL_LOGISTIC, 256);
}

ENSEMBLE_TEST(files, solutions_in_files_predict_the_same)
{
    expect_same_predictions(MUSTER_VERTICAL_RIDGE, 0);
}
