/* How strategies are made: the table of them, their parameters, and what is refused. */
#include <config.h>

#include <criterion/criterion.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "unit/strategy.h"

static struct muster_strategy_options options_of(const char *name)
{
    struct muster_strategy_options options;
    muster_strategy_options_init(&options);
    options.name = name;
    return options;
}

Test(strategy, the_table_is_complete)
{
    const struct muster_strategy_kind *kind;
    size_t count = 0;
    for (; (kind = muster_strategy_kind_at(count)); count++) {
        cr_assert_eq(muster_strategy_find(kind->name), kind);
        cr_assert(strlen(kind->summary) > 0);
        struct muster_strategy *strategy = new_strategy(kind->name, NULL, 0);
        cr_assert_eq(muster_strategy_kind(strategy), kind);
        for (size_t i = 0; i < kind->parameter_count; i++) {
            const struct muster_strategy_parameter *parameter = &kind->parameters[i];
            cr_assert(parameter->lowest <= parameter->initial && parameter->initial <= parameter->highest);
            cr_assert(strlen(parameter->help) > 0);
            cr_assert_eq(muster_strategy_parameter(strategy, parameter->name), parameter->initial);
        }
        cr_assert(isnan(muster_strategy_parameter(strategy, "nothing")));
        cr_assert(muster_strategy_least(strategy) >= 1);
        muster_strategy_free(strategy);
    }
    cr_assert_eq(count, 12);
    cr_assert_null(muster_strategy_kind_at(SIZE_MAX));
    cr_assert_null(muster_strategy_find("fedsgd"));
    muster_strategy_free(NULL);
}

Test(strategy, fedprox_tells_participants_its_mu)
{
    const struct muster_strategy_kind *kind = muster_strategy_find("fedprox");
    cr_assert_eq(kind->parameter_count, 1);
    cr_assert_str_eq(kind->parameters[0].name, "mu");
    cr_assert(kind->parameters[0].for_participants);
}

/* Just beyond its bounds, and NaN. */
static void expect_bounds(const struct muster_strategy_kind *kind,
                          const struct muster_strategy_parameter *parameter)
{
    const double values[] = {parameter->lowest, parameter->highest, nextafter(parameter->lowest, -INFINITY),
                             nextafter(parameter->highest, INFINITY), (double)NAN};
    struct muster_strategy_options options = options_of(kind->name);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct muster_scalar scalar = {parameter->name, values[i]};
        struct muster_strategy *strategy;
        struct muster_error error = {MUSTER_OK, ""};
        options.parameters = &scalar;
        options.parameter_count = 1;
        enum muster_status status = muster_strategy_new(&options, &small_model, &strategy, &error);
        cr_assert_eq(status, i < 2 ? MUSTER_OK : MUSTER_INVALID);
        if (i < 2)
            cr_assert_eq(muster_strategy_parameter(strategy, parameter->name), values[i]);
        else
            cr_assert_not_null(strstr(error.text, " is from "));
        muster_strategy_free(strategy);
    }
}

Test(strategy, parameters_have_bounds)
{
    const struct muster_strategy_kind *kind;
    for (size_t i = 0; (kind = muster_strategy_kind_at(i)); i++) {
        for (size_t j = 0; j < kind->parameter_count; j++)
            expect_bounds(kind, &kind->parameters[j]);
    }
}

Test(strategy, reasons_name_what_there_is)
{
    struct muster_strategy_options options = options_of("fedsgd");
    expect_no_strategy(
        &options, &small_model, MUSTER_INVALID,
        "no strategy 'fedsgd': there are fedavg, fedprox, fedavgm, fedadam, fedyogi, fedadagrad, "
        "qfedavg, median, trimmedmean, krum, multikrum, fedbuff");
    struct muster_scalar scalar = {"betta", 0.5};
    options = options_of("fedavgm");
    options.parameters = &scalar;
    options.parameter_count = 1;
    expect_no_strategy(&options, &small_model, MUSTER_INVALID,
                       "fedavgm has no parameter 'betta': there is eta, beta");
    options.name = "median";
    expect_no_strategy(&options, &small_model, MUSTER_INVALID,
                       "median has no parameter 'betta': there is none");
    scalar = (struct muster_scalar){"beta", 1};
    options.name = "fedavgm";
    expect_no_strategy(&options, &small_model, MUSTER_INVALID,
                       "beta of fedavgm is from 0 to 0.999999, not 1");
    scalar = (struct muster_scalar){"f", 1.5};
    options.name = "krum";
    expect_no_strategy(&options, &small_model, MUSTER_INVALID, "f of krum is a whole number, not 1.5");
    struct muster_strategy_options empty = {.size = 0};
    expect_no_strategy(&empty, &small_model, MUSTER_INVALID,
                       "the options are not filled in: call muster_strategy_options_init() first");
}

Test(strategy, bad_models_are_refused)
{
    struct muster_strategy_options options = options_of("fedavg");
    struct muster_message model = {.kind = MUSTER_TRAIN};
    expect_no_strategy(&options, &model, MUSTER_INVALID, "the model has no arrays");
    const float numbers[] = {1, NAN};
    struct muster_array array = {MUSTER_FLOAT32, 1, {2}, numbers};
    model.arrays = &array;
    model.array_count = 1;
    expect_no_strategy(&options, &model, MUSTER_INVALID, "array 0, float32 (2): element 1 is NaN");
    array.data = NULL;
    expect_no_strategy(&options, &model, MUSTER_INVALID, "array 0: its data is NULL");
}

Test(strategy, privacy_is_for_means_of_floats)
{
    struct muster_strategy_options options = options_of("median");
    options.clip = 1;
    expect_no_strategy(
        &options, &small_model, MUSTER_INVALID,
        "median cannot be private: what it makes of clipped answers with noise has no such bound");
    options.name = "qfedavg";
    expect_no_strategy(
        &options, &small_model, MUSTER_INVALID,
        "qfedavg cannot be private: what it makes of clipped answers with noise has no such bound");
    options.name = "fedavg";
    options.clip = -1;
    expect_no_strategy(&options, &small_model, MUSTER_INVALID,
                       "the norm that changes are clipped to is from 1e-100 to 1e+100, not -1");
    options.clip = 0;
    options.noise = 1;
    expect_no_strategy(&options, &small_model, MUSTER_INVALID,
                       "the norm that changes are clipped to is from 1e-100 to 1e+100, not 0");
    options.clip = 1;
    options.noise = 1e-9;
    expect_no_strategy(&options, &small_model, MUSTER_INVALID,
                       "the noise is 0 or from 0.0001 to 1e+06, not 1e-09");
    options.noise = 1;
    const int64_t number = 3;
    const struct muster_array integer = {MUSTER_INT64, 0, {0}, &number};
    const struct muster_message model = {.kind = MUSTER_TRAIN, .arrays = &integer, .array_count = 1};
    expect_no_strategy(&options, &model, MUSTER_INVALID,
                       "a model with arrays of integers or bools cannot be private: they are not clipped");
}

Test(strategy, how_many_answers_are_needed)
{
    const struct {
        const char *name;
        struct muster_scalar parameters[2];
        size_t count, least;
    } cases[] = {
        {"fedavg", {{NULL, 0}}, 0, 1},
        {"median", {{NULL, 0}}, 0, 1},
        {"trimmedmean", {{"f", 3}}, 1, 7},
        {"trimmedmean", {{"f", 0}}, 1, 1},
        {"krum", {{"f", 0}}, 1, 3},
        {"krum", {{"f", 6}}, 1, 15},
        {"multikrum", {{"f", 1}}, 1, 5},
        {"multikrum", {{"f", 1}, {"m", 2}}, 2, 5},
        {"multikrum", {{"f", 1}, {"m", 9}}, 2, 12},
        {"fedbuff", {{NULL, 0}}, 0, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct muster_strategy *strategy = new_strategy(cases[i].name, cases[i].parameters, cases[i].count);
        cr_assert_eq(muster_strategy_least(strategy), cases[i].least);
        muster_strategy_free(strategy);
    }
}
