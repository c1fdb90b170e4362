/* Rounds of strategies: answers that are refused, rounds that are void, and what a step makes of answers. */
#include <config.h>

#include <criterion/criterion.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <muster/random.h>

#include "unit/strategy.h"

static float numbers[MODEL_NUMBERS];
static struct muster_array array;
static struct muster_message message;

/* An answer of zeros with the weight 1 and the loss 1. */
static struct muster_strategy_answer good_answer(void)
{
    struct muster_strategy_answer answer = MUSTER_STRATEGY_ANSWER_INIT;
    memset(numbers, 0, sizeof(numbers));
    array = small_model.arrays[0];
    array.data = numbers;
    message = small_model;
    message.arrays = &array;
    answer.message = &message;
    answer.loss = 1;
    return answer;
}

static void expect_bad_arrays(const char *name)
{
    struct muster_strategy *strategy = new_strategy(name, NULL, 0);
    struct muster_strategy_answer answer = good_answer();
    array.shape[0] = 2;
    expect_no_answer(strategy, &answer, MUSTER_FORMAT,
                     "array 0 is float32 (2, 100), expected float32 (3, 100)");
    answer = good_answer();
    array.dtype = MUSTER_INT32;
    expect_no_answer(strategy, &answer, MUSTER_FORMAT,
                     "array 0 is int32 (3, 100), expected float32 (3, 100)");
    answer = good_answer();
    message.array_count = 0;
    expect_no_answer(strategy, &answer, MUSTER_FORMAT, "0 arrays instead of 1");
    answer = good_answer();
    numbers[299] = (float)NAN;
    expect_no_answer(strategy, &answer, MUSTER_INVALID, "array 0, float32 (3, 100): element 299 is NaN");
    numbers[299] = -(float)INFINITY;
    expect_no_answer(strategy, &answer, MUSTER_INVALID, "array 0, float32 (3, 100): element 299 is infinite");
    cr_assert_eq(first_number(strategy), 1);
    cr_assert_eq(muster_strategy_step(strategy, 0, NULL), MUSTER_TOO_FEW);
    muster_strategy_free(strategy);
}

Test(strategy_round, bad_arrays_are_refused_by_all)
{
    const struct muster_strategy_kind *kind;
    for (size_t i = 0; (kind = muster_strategy_kind_at(i)); i++)
        expect_bad_arrays(kind->name);
}

/* The number is beyond what a sum of squares holds. */
static void expect_limit(const char *name, bool has_one)
{
    struct muster_strategy *strategy = new_strategy(name, NULL, 0);
    struct muster_strategy_answer answer = good_answer();
    numbers[7] = -2e15F;
    if (has_one)
        expect_no_answer(strategy, &answer, MUSTER_INVALID,
                         "array 0 has values up to 2.00551e+15, and 1e+15 is the most here");
    else
        cr_assert_eq(muster_strategy_add(strategy, &answer, NULL), MUSTER_OK);
    muster_strategy_free(strategy);
}

Test(strategy_round, optimizers_refuse_what_they_cannot_square)
{
    expect_limit("fedavg", false);
    expect_limit("median", false);
    expect_limit("fedavgm", true);
    expect_limit("fedadam", true);
    expect_limit("fedyogi", true);
    expect_limit("fedadagrad", true);
    expect_limit("fedbuff", true);
}

Test(strategy_round, weights_matter_where_they_are_read)
{
    struct muster_strategy *strategy = new_strategy("fedavg", NULL, 0);
    struct muster_strategy_answer answer = good_answer();
    answer.weight = 0;
    expect_no_answer(strategy, &answer, MUSTER_INVALID, "the weight 0 is not a number above 0");
    answer.weight = (double)NAN;
    expect_no_answer(strategy, &answer, MUSTER_INVALID, "the weight nan is not a number above 0");
    answer.weight = 3;
    cr_assert_eq(muster_strategy_add(strategy, &answer, NULL), MUSTER_OK);
    add_values(strategy, (const float[]){8}, 1);
    step(strategy);
    cr_assert_eq(first_number(strategy), 2);
    muster_strategy_free(strategy);
    strategy = new_strategy("median", NULL, 0);
    answer.weight = (double)NAN;
    cr_assert_eq(muster_strategy_add(strategy, &answer, NULL), MUSTER_OK);
    muster_strategy_free(strategy);
}

Test(strategy_round, qfedavg_needs_a_loss)
{
    static const char missing[] = "the loss of the model that was received is missing or no number from 0 on";
    struct muster_strategy *strategy = new_strategy("qfedavg", NULL, 0);
    struct muster_strategy_answer answer = good_answer();
    const double losses[] = {-1, -1e-300, (double)NAN, (double)INFINITY};
    for (size_t i = 0; i < sizeof(losses) / sizeof(losses[0]); i++) {
        answer.loss = losses[i];
        expect_no_answer(strategy, &answer, MUSTER_INVALID, missing);
    }
    answer.loss = 0;
    cr_assert_eq(muster_strategy_add(strategy, &answer, NULL), MUSTER_OK);
    step(strategy);
    muster_strategy_free(strategy);
    strategy = new_strategy("qfedavg", (const struct muster_scalar[]){{"q", 100}}, 1);
    answer.loss = 1e300;
    expect_no_answer(strategy, &answer, MUSTER_INVALID,
                     "with a loss of 1e+300 and q = 100 the sums could overflow");
    muster_strategy_free(strategy);
}

Test(strategy_round, qfedavg_with_a_q_of_0_is_the_plain_mean)
{
    struct muster_strategy *strategy = new_strategy("qfedavg", (const struct muster_scalar[]){{"q", 0}}, 1);
    struct muster_strategy_answer answer = good_answer();
    answer.weight = 1000; /* is not read */
    answer.loss = 50;
    cr_assert_eq(muster_strategy_add(strategy, &answer, NULL), MUSTER_OK);
    add_values(strategy, (const float[]){3, 6}, 2);
    step(strategy);
    cr_assert(fabsf(first_number(strategy) - 3) < 1e-6F);
    muster_strategy_free(strategy);
}

Test(strategy_round, a_base_of_another_shape_is_refused)
{
    struct muster_strategy *strategy = new_strategy("fedbuff", NULL, 0);
    struct muster_strategy_answer answer = good_answer();
    struct muster_array other = small_model.arrays[0];
    struct muster_message base = small_model;
    other.shape[0] = 1;
    base.arrays = &other;
    answer.base = &base;
    expect_no_answer(strategy, &answer, MUSTER_FORMAT,
                     "array 0 is float32 (1, 100), expected float32 (3, 100)");
    muster_strategy_free(strategy);
    strategy = new_strategy("fedavg", NULL, 0); /* looks at no base */
    cr_assert_eq(muster_strategy_add(strategy, &answer, NULL), MUSTER_OK);
    muster_strategy_free(strategy);
}

Test(strategy_round, fedbuff_weighs_by_staleness_and_knows_bases)
{
    struct muster_strategy *strategy =
        new_strategy("fedbuff", (const struct muster_scalar[]){{"eta", 0.5}}, 1);
    struct muster_strategy_answer answer = good_answer();
    float five[MODEL_NUMBERS];
    struct muster_array old = small_model.arrays[0];
    struct muster_message base = small_model;
    for (size_t i = 0; i < MODEL_NUMBERS; i++)
        five[i] = 5;
    old.data = five;
    base.arrays = &old;
    answer.base = &base;
    answer.staleness = 3;
    cr_assert_eq(muster_strategy_add(strategy, &answer, NULL), MUSTER_OK); /* -5 / 2 */
    add_values(strategy, (const float[]){3}, 1);                           /* 2 */
    step(strategy);
    cr_assert(fabsf(first_number(strategy) - (1 + 0.5F / 2 * (-2.5F + 2))) < 1e-6F);
    cr_assert_eq(muster_strategy_step(strategy, 0, NULL), MUSTER_TOO_FEW);
    muster_strategy_free(strategy);
}

Test(strategy_round, too_few_answers_make_it_void)
{
    struct muster_strategy *strategy = new_strategy("krum", (const struct muster_scalar[]){{"f", 1}}, 1);
    struct muster_error error;
    add_values(strategy, (const float[]){1, 2, 3, 4}, 4);
    cr_assert_eq(muster_strategy_step(strategy, 0, &error), MUSTER_TOO_FEW);
    cr_assert_str_eq(error.text, "krum needs 5 answers, and there are 4");
    cr_assert_eq(first_number(strategy), 1);
    cr_assert_eq(muster_strategy_answers(strategy), 0);
    add_values(strategy, (const float[]){7, 7.5F, 8, 8.5F, 1000}, 5);
    step(strategy);
    cr_assert(first_number(strategy) == 7.5F || first_number(strategy) == 8);
    muster_strategy_free(strategy);
}

Test(strategy_round, a_round_can_be_given_up)
{
    const struct muster_strategy_kind *kind;
    for (size_t i = 0; (kind = muster_strategy_kind_at(i)); i++) {
        struct muster_strategy *strategy = new_strategy(kind->name, NULL, 0);
        struct muster_strategy *other = new_strategy(kind->name, NULL, 0);
        add_values(strategy, (const float[]){90, 91, 92}, 3);
        cr_assert_eq(muster_strategy_answers(strategy), 3);
        muster_strategy_begin(strategy);
        cr_assert_eq(muster_strategy_answers(strategy), 0);
        add_values(strategy, (const float[]){4, 2, 3, 6, 5}, 5);
        add_values(other, (const float[]){4, 2, 3, 6, 5}, 5);
        step(strategy);
        step(other);
        cr_assert_eq(first_number(strategy), first_number(other));
        muster_strategy_free(strategy);
        muster_strategy_free(other);
    }
}

Test(strategy_round, krum_takes_the_first_of_two_alike)
{
    struct muster_strategy *strategy = new_strategy("krum", (const struct muster_scalar[]){{"f", 0}}, 1);
    add_values(strategy, (const float[]){-50, 2, 3, 2, 3}, 5);
    step(strategy);
    cr_assert_eq(first_number(strategy), 2);
    muster_strategy_free(strategy);
}

/* ---- sorting many answers ---- */

static int compare(const void *a, const void *b)
{
    float first = *(const float *)a, second = *(const float *)b;
    return (first > second) - (first < second);
}

/* Each column is of numbers of its own; the result is compared with that of qsort(). */
static void expect_sorted(const char *name, size_t f, size_t count, struct muster_random *random)
{
    const struct muster_scalar parameter = {"f", (double)f};
    struct muster_strategy *strategy = new_strategy(name, &parameter, f > 0);
    struct muster_strategy_answer answer = good_answer();
    float(*columns)[100] = calloc(MODEL_NUMBERS, sizeof(*columns));
    cr_assert_not_null(columns);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < MODEL_NUMBERS; j++)
            columns[j][i] = numbers[j] = (float)(muster_random_next(random) % 64);
        cr_assert_eq(muster_strategy_add(strategy, &answer, NULL), MUSTER_OK);
    }
    step(strategy);
    const float *result = muster_strategy_model(strategy)->arrays[0].data;
    size_t first = f > 0 ? f : (count - 1) / 2, last = f > 0 ? count - 1 - f : count / 2;
    for (size_t j = 0; j < MODEL_NUMBERS; j++) {
        double sum = 0;
        qsort(columns[j], count, sizeof(float), compare);
        for (size_t i = first; i <= last; i++)
            sum += (double)columns[j][i];
        cr_assert_eq(result[j], (float)(sum / (double)(last - first + 1)));
    }
    free(columns);
    muster_strategy_free(strategy);
}

Test(strategy_round, any_number_of_answers_is_sorted)
{
    struct muster_random random;
    muster_random_seed(&random, 1);
    for (size_t count = 1; count <= 100; count++)
        expect_sorted("median", 0, count, &random);
    for (size_t count = 3; count <= 100; count += 7)
        expect_sorted("trimmedmean", count / 3 > 0 ? count / 3 : 1, count, &random);
}

/* ---- what a dtype holds ---- */

Test(strategy_round, steps_stay_within_a_dtype)
{
    const uint16_t large = 0x7b00; /* 57344 in float16, whose largest is 65504 */
    const uint16_t zero = 0;
    const struct muster_scalar parameters[] = {{"eta", 100}};
    struct muster_array half = {MUSTER_FLOAT16, 0, {0}, &zero};
    struct muster_message model = {.kind = MUSTER_TRAIN, .arrays = &half, .array_count = 1};
    const char *const names[] = {"fedavgm", "fedbuff"};
    for (size_t i = 0; i < 2; i++) {
        struct muster_strategy_answer answer = MUSTER_STRATEGY_ANSWER_INIT;
        struct muster_strategy_options options;
        struct muster_strategy *strategy;
        muster_strategy_options_init(&options);
        options.name = names[i];
        options.parameters = parameters;
        options.parameter_count = 1;
        half.data = &zero;
        cr_assert_eq(muster_strategy_new(&options, &model, &strategy, NULL), MUSTER_OK);
        half.data = &large;
        answer.message = &model;
        for (unsigned round = 0; round < 2; round++) {
            cr_assert_eq(muster_strategy_add(strategy, &answer, NULL), MUSTER_OK);
            step(strategy);
            uint16_t bits = *(const uint16_t *)muster_strategy_model(strategy)->arrays[0].data;
            cr_assert_eq(bits, i == 1 && round == 1 ? 0xfbff : 0x7bff); /* FedBuff comes back */
        }
        muster_strategy_free(strategy);
    }
}

/* ---- privacy ---- */

Test(strategy_round, a_private_step_has_a_divisor)
{
    struct muster_strategy_options options;
    struct muster_strategy *strategy;
    struct muster_error error;
    muster_strategy_options_init(&options);
    options.clip = 1e6;
    cr_assert_eq(muster_strategy_new(&options, &small_model, &strategy, NULL), MUSTER_OK);
    cr_assert_eq(muster_strategy_least(strategy), 0);
    add_values(strategy, (const float[]){2, 5}, 2);
    cr_assert_eq(muster_strategy_step(strategy, 10, &error), MUSTER_OK);
    cr_assert(fabsf(first_number(strategy) - 1.5F) < 1e-6F);
    cr_assert_eq(muster_strategy_step(strategy, 10, &error),
                 MUSTER_OK); /* nobody came, and there is no noise */
    cr_assert(fabsf(first_number(strategy) - 1.5F) < 1e-6F);
    add_values(strategy, (const float[]){9}, 1);
    cr_assert_eq(muster_strategy_step(strategy, -1, &error), MUSTER_INVALID);
    cr_assert_eq(muster_strategy_answers(strategy), 0);
    struct muster_strategy_answer answer = good_answer();
    numbers[3] = (float)NAN;
    expect_no_answer(strategy, &answer, MUSTER_INVALID, "array 0, float32 (3, 100): element 3 is NaN");
    muster_strategy_free(strategy);
    strategy = new_strategy("fedavg", NULL, 0);
    add_values(strategy, (const float[]){9}, 1);
    cr_assert_eq(muster_strategy_step(strategy, 10, &error), MUSTER_INVALID);
    cr_assert_str_eq(error.text, "a divisor is for a strategy that is private, and fedavg is not");
    cr_assert_eq(first_number(strategy), 1);
    muster_strategy_free(strategy);
}
