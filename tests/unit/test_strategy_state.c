/* Strategies that are saved and restored, and states that are refused. tests/learning/strategies.py
   compares bits. */
#include <config.h>

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

#include "unit/strategy.h"

enum { STATE_MAX = 8 };

struct state {
    struct muster_named_array arrays[STATE_MAX];
    size_t count;
};

static struct state state_of(const struct muster_strategy *strategy)
{
    struct state state = {.count = muster_strategy_state_count(strategy)};
    cr_assert(state.count <= STATE_MAX);
    muster_strategy_state(strategy, state.arrays);
    return state;
}

static void expect_no_restore(struct muster_strategy *strategy, const struct state *state, const char *text)
{
    struct muster_error error = {MUSTER_OK, ""};
    cr_assert_eq(muster_strategy_restore(strategy, state->arrays, state->count, &error), MUSTER_FORMAT);
    cr_assert_str_eq(error.text, text);
}

Test(strategy_state, a_memory_goes_on)
{
    struct muster_strategy *first = new_strategy("fedavgm", NULL, 0);
    struct muster_strategy *second = new_strategy("fedavgm", NULL, 0);
    add_values(first, (const float[]){2}, 1);
    step(first); /* the momentum is 1, and the model 2 */
    struct state state = state_of(first);
    cr_assert_eq(muster_strategy_restore(second, state.arrays, state.count, NULL), MUSTER_OK);
    add_values(second, (const float[]){1}, 1);
    step(second); /* from 1, as the model was not saved */
    cr_assert(fabsf(first_number(second) - 1.9F) < 1e-6F);
    muster_strategy_free(first);
    muster_strategy_free(second);
}

Test(strategy_state, a_buffer_goes_on)
{
    struct muster_strategy *first = new_strategy("fedbuff", NULL, 0);
    struct muster_strategy *second = new_strategy("fedbuff", NULL, 0);
    add_values(first, (const float[]){2, 4}, 2);
    struct state state = state_of(first);
    add_values(second, (const float[]){100}, 1);
    cr_assert_eq(muster_strategy_restore(second, state.arrays, state.count, NULL), MUSTER_OK);
    cr_assert_eq(muster_strategy_answers(second), 2);
    add_values(second, (const float[]){6}, 1);
    step(second);
    cr_assert(fabsf(first_number(second) - 4) < 1e-6F);
    muster_strategy_free(first);
    muster_strategy_free(second);
}

Test(strategy_state, what_is_damaged_is_refused)
{
    struct muster_strategy *first = new_strategy("fedadam", NULL, 0);
    struct muster_strategy *second = new_strategy("fedadam", NULL, 0);
    struct muster_strategy *other = new_strategy("fedavgm", NULL, 0);
    float numbers[MODEL_NUMBERS] = {0};
    add_values(second, (const float[]){3}, 1);
    struct state state = state_of(other);
    expect_no_restore(second, &state, "the state has no 'strategy.scale': it is of another strategy");
    state = state_of(first);
    cr_assert_str_eq(state.arrays[1].name, "strategy.momentum");
    state.arrays[1].array.shape[0]--;
    expect_no_restore(second, &state,
                      "'strategy.momentum' of the state has another dtype or shape: it is of another model");
    state = state_of(first);
    state.arrays[1].array.data = numbers;
    numbers[200] = (float)NAN;
    expect_no_restore(second, &state, "'strategy.momentum' of the state holds NaN or infinity");
    state = state_of(first);
    cr_assert_str_eq(state.arrays[3].name, "strategy.scale");
    state.arrays[3].array.data = numbers;
    numbers[200] = -1e-9F;
    expect_no_restore(second, &state, "'strategy.scale' of the state is damaged");
    cr_assert_eq(muster_strategy_answers(second), 1);
    step(second);
    muster_strategy_free(first);
    muster_strategy_free(second);
    muster_strategy_free(other);
}

Test(strategy_state, numbers_that_cannot_be_are_refused)
{
    struct muster_strategy *mean = new_strategy("fedavg", NULL, 0);
    struct muster_strategy *buffer = new_strategy("fedbuff", NULL, 0);
    const double bad_for_both[][3] = {{-1, 0, 0},  {1.5, 0, 0}, {0x1p60, 0, 0},
                                      {0, 2.5, 1}, {0, 1, 2},   {0, 1, 0}};
    const double good_for_a_buffer[] = {3, 2, 1.5};
    for (size_t i = 0; i < sizeof(bad_for_both) / sizeof(bad_for_both[0]); i++) {
        struct state states[] = {state_of(mean), state_of(buffer)};
        states[0].arrays[0].array.data = states[1].arrays[0].array.data = bad_for_both[i];
        expect_no_restore(mean, &states[0], "'strategy.numbers' of the state is damaged");
        expect_no_restore(buffer, &states[1], "'strategy.numbers' of the state is damaged");
    }
    struct state states[] = {state_of(mean), state_of(buffer)};
    states[0].arrays[0].array.data = states[1].arrays[0].array.data = good_for_a_buffer;
    expect_no_restore(mean, &states[0], "'strategy.numbers' of the state is damaged");
    cr_assert_eq(muster_strategy_restore(buffer, states[1].arrays, states[1].count, NULL), MUSTER_OK);
    cr_assert_eq(muster_strategy_answers(buffer), 2);
    muster_strategy_free(mean);
    muster_strategy_free(buffer);
}

Test(strategy_state, others_need_numbers_only)
{
    struct muster_strategy *strategy = new_strategy("median", NULL, 0);
    struct state state = state_of(strategy);
    cr_assert_eq(state.count, 1);
    cr_assert_str_eq(state.arrays[0].name, "strategy.numbers");
    muster_strategy_free(strategy);
}

Test(strategy_state, names_of_the_model_are_kept)
{
    struct muster_strategy_options options;
    struct muster_strategy *strategy;
    struct muster_message model = small_model;
    char name[] = "weights";
    const char *const names[] = {name}, *const others[] = {"bias"};
    struct muster_strategy_answer answer = MUSTER_STRATEGY_ANSWER_INIT;
    muster_strategy_options_init(&options);
    model.array_names = names;
    cr_assert_eq(muster_strategy_new(&options, &model, &strategy, NULL), MUSTER_OK);
    name[0] = 'W'; /* a copy was made */
    cr_assert_str_eq(muster_strategy_model(strategy)->array_names[0], "weights");
    model.array_names = others;
    answer.message = &model;
    expect_no_answer(strategy, &answer, MUSTER_FORMAT, "array 0 is named 'bias', expected 'weights'");
    model.array_names = NULL;
    cr_assert_eq(muster_strategy_add(strategy, &answer, NULL), MUSTER_OK);
    muster_strategy_free(strategy);
}
