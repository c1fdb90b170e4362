/* Strategies of the tests. */
#include <config.h>

#include "unit/strategy.h"

#include <criterion/criterion.h>

#define TEN(x)     x, x, x, x, x, x, x, x, x, x
#define HUNDRED(x) TEN(x), TEN(x), TEN(x), TEN(x), TEN(x), TEN(x), TEN(x), TEN(x), TEN(x), TEN(x)

static const float ones[MODEL_NUMBERS] = {HUNDRED(1), HUNDRED(1), HUNDRED(1)};
static const struct muster_array small_array = {MUSTER_FLOAT32, 2, {3, MODEL_NUMBERS / 3}, ones};
const struct muster_message small_model = {.kind = MUSTER_TRAIN, .arrays = &small_array, .array_count = 1};

struct muster_strategy *new_strategy(const char *name, const struct muster_scalar *parameters, size_t count)
{
    struct muster_strategy_options options;
    struct muster_strategy *strategy;
    struct muster_error error;
    muster_strategy_options_init(&options);
    options.name = name;
    options.parameters = parameters;
    options.parameter_count = count;
    cr_assert_eq(muster_strategy_new(&options, &small_model, &strategy, &error), MUSTER_OK);
    return strategy;
}

void expect_no_strategy(const struct muster_strategy_options *options, const struct muster_message *model,
                        enum muster_status status, const char *text)
{
    struct muster_error error = {MUSTER_OK, ""};
    struct muster_strategy *strategy;
    cr_assert_eq(muster_strategy_new(options, model, &strategy, &error), status);
    cr_assert_null(strategy);
    cr_assert_eq(error.status, status);
    cr_assert_str_eq(error.text, text);
}

float first_number(const struct muster_strategy *strategy)
{
    return *(const float *)muster_strategy_model(strategy)->arrays[0].data;
}

enum muster_status add_value(struct muster_strategy *strategy, float value, struct muster_error *error)
{
    float numbers[MODEL_NUMBERS];
    struct muster_array array = small_array;
    struct muster_message message = small_model;
    struct muster_strategy_answer answer = MUSTER_STRATEGY_ANSWER_INIT;
    for (size_t i = 0; i < MODEL_NUMBERS; i++)
        numbers[i] = value;
    array.data = numbers;
    message.arrays = &array;
    answer.message = &message;
    answer.loss = 1;
    enum muster_status checked = muster_strategy_check(strategy, &answer, NULL);
    enum muster_status status = muster_strategy_add(strategy, &answer, error);
    cr_assert(checked == status || status == MUSTER_IO);
    return status;
}

void add_values(struct muster_strategy *strategy, const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(add_value(strategy, values[i], NULL), MUSTER_OK);
}

void expect_no_answer(struct muster_strategy *strategy, const struct muster_strategy_answer *answer,
                      enum muster_status status, const char *text)
{
    struct muster_error error = {MUSTER_OK, ""};
    size_t answers = muster_strategy_answers(strategy);
    cr_assert_eq(muster_strategy_check(strategy, answer, &error), status);
    cr_assert_str_eq(error.text, text);
    error.text[0] = '\0';
    cr_assert_eq(muster_strategy_add(strategy, answer, &error), status);
    cr_assert_str_eq(error.text, text);
    cr_assert_eq(muster_strategy_answers(strategy), answers);
}

void step(struct muster_strategy *strategy)
{
    struct muster_error error = {MUSTER_OK, ""};
    cr_assert_eq(muster_strategy_step(strategy, 0, &error), MUSTER_OK);
    cr_assert_eq(muster_strategy_answers(strategy), 0);
}
