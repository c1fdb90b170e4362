/* Collective operations, for groups of every size up to 9. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "group/company.h"
#include "group/over.h"
#include "group/tree.h"

static void for_sizes(void (*function)(struct company *company, uint32_t rank, void *context))
{
    for (uint32_t size = 1; size <= 9; size++) {
        struct company company;
        company_begin(&company, size, OVER, NULL);
        company_each(&company, function, NULL);
        company_end(&company);
    }
}

static void meet(struct company *company, uint32_t rank, void *context)
{
    struct muster_error error = {MUSTER_OK, ""};
    (void)context;
    for (unsigned i = 0; i < 3; i++)
        WANT(muster_group_barrier(company->groups[rank], LONG_MS, &error) == MUSTER_OK);
}

COMPANY_TEST(collective, everyone_waits_at_a_barrier)
{
    for_sizes(meet);
}

static void hear(struct company *company, uint32_t rank, void *context)
{
    struct muster_error error = {MUSTER_OK, ""};
    struct muster_array array;
    float data[300];
    (void)context;
    for (uint32_t root = 0; root < company->size; root++) {
        struct muster_message message = make_numbers(&array, data, 300, root);
        WANT(muster_group_broadcast(company->groups[rank], root, &message, LONG_MS, &error) == MUSTER_OK);
        WANT(is_numbers(&message, 300, root));
        if (root != rank)
            muster_message_clear(&message);
    }
}

COMPANY_TEST(collective, everyone_gets_what_is_broadcast)
{
    for_sizes(hear);
}

static void collect(struct company *company, uint32_t rank, void *context)
{
    struct muster_error error = {MUSTER_OK, ""};
    struct muster_array array;
    float data[300];
    struct muster_message messages[COMPANY_MAX];
    (void)context;
    struct muster_message message = make_numbers(&array, data, 300, rank);
    for (uint32_t root = 0; root < company->size; root++) {
        WANT(muster_group_gather(company->groups[rank], root, &message, root == rank ? messages : NULL,
                                 LONG_MS, &error) == MUSTER_OK);
        for (uint32_t i = 0; root == rank && i < company->size; i++) {
            WANT(is_numbers(&messages[i], 300, i));
            muster_message_clear(&messages[i]);
        }
    }
    WANT(muster_group_all_gather(company->groups[rank], &message, messages, LONG_MS, &error) == MUSTER_OK);
    for (uint32_t i = 0; i < company->size; i++) {
        WANT(is_numbers(&messages[i], 300, i));
        muster_message_clear(&messages[i]);
    }
}

COMPANY_TEST(collective, what_all_have_is_gathered)
{
    for_sizes(collect);
}

struct results {
    float floats[COMPANY_MAX][50001];
};

/* The weighted mean and the sum, of arrays of `count`. */
static void reduce(struct company *company, uint32_t rank, struct results *results, size_t count)
{
    struct muster_error error = {MUSTER_OK, ""};
    float *data = results->floats[rank];
    double doubles[3] = {rank, 2.0 * rank, 1};
    struct muster_array arrays[2] = {
        {.dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {count}, .data = data},
        {.dtype = MUSTER_FLOAT64, .dimensions = 1, .shape = {3}, .data = doubles}};
    for (size_t i = 0; i < count; i++)
        data[i] = (float)(rank + i % 10);
    double size = company->size, weights = size * (size + 1) / 2, sum = 0;
    for (uint32_t i = 0; i < company->size; i++)
        sum += (i + 1.0) * i;
    WANT(muster_group_all_reduce(company->groups[rank], MUSTER_MEAN, rank + 1, arrays, 2, LONG_MS, &error) ==
         MUSTER_OK);
    for (size_t i = 0; i < count; i++) {
        double expected = sum / weights + (double)(i % 10);
        WANT(data[i] > expected - 1e-5 && data[i] < expected + 1e-5);
    }
    WANT(doubles[0] > sum / weights - 1e-12 && doubles[0] < sum / weights + 1e-12);
    WANT(muster_group_all_reduce(company->groups[rank], MUSTER_SUM, 2, &arrays[1], 1, LONG_MS, &error) ==
         MUSTER_OK);
    WANT(doubles[2] > 2 * size - 1e-9 && doubles[2] < 2 * size + 1e-9);
}

static void reduce_small(struct company *company, uint32_t rank, void *context)
{
    reduce(company, rank, context, 100);
}

static void reduce_big(struct company *company, uint32_t rank, void *context)
{
    reduce(company, rank, context, 50001);
}

COMPANY_TEST(collective, all_have_the_same_mean)
{
    struct results *results = calloc(1, sizeof(*results));
    for (uint32_t size = 1; size <= 9; size++) {
        struct company company;
        company_begin(&company, size, OVER, NULL);
        company_each(&company, reduce_small, results);
        company_each(&company, reduce_big, results);
        for (uint32_t i = 1; i < size; i++)
            cr_assert_eq(memcmp(results->floats[0], results->floats[i], sizeof(results->floats[0])), 0);
        company_end(&company);
    }
    free(results);
}

static void reduce_another_shape(struct company *company, uint32_t rank, void *context)
{
    struct muster_error error = {MUSTER_OK, ""};
    size_t count = rank == 3 ? 30001 : 30000;
    float *data = calloc(count, sizeof(*data));
    struct muster_array array = {.dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {count}, .data = data};
    (void)context;
    data[1] = 5;
    WANT(muster_group_all_reduce(company->groups[rank], MUSTER_MEAN, 1, &array, 1, LONG_MS, &error) ==
         MUSTER_FORMAT);
    WANT(strstr(error.text, "rank 3") != NULL);
    WANT(data[1] == 5);
    free(data);
}

COMPANY_TEST(collective, another_shape_is_named_to_all)
{
    struct company company;
    company_begin(&company, 6, OVER, NULL);
    company_each(&company, reduce_another_shape, NULL);
    company_end(&company);
}

static void weigh_nothing(struct company *company, uint32_t rank, void *context)
{
    struct muster_error error = {MUSTER_OK, ""};
    float data = 5;
    struct muster_array array = {.dtype = MUSTER_FLOAT32, .data = &data};
    (void)context;
    WANT(muster_group_all_reduce(company->groups[rank], MUSTER_MEAN, 0, &array, 1, LONG_MS, &error) ==
         MUSTER_INVALID);
    WANT(muster_group_all_reduce(company->groups[rank], MUSTER_MEAN, -1, &array, 1, LONG_MS, &error) ==
         MUSTER_INVALID);
    WANT(muster_group_all_reduce(company->groups[rank], (enum muster_reduction)7, 1, &array, 1, LONG_MS,
                                 &error) == MUSTER_INVALID);
    WANT(muster_group_all_reduce(company->groups[rank], MUSTER_MEAN, 1, &array, 1, LONG_MS, &error) ==
         MUSTER_OK);
    WANT(data == 5);
}

COMPANY_TEST(collective, weights_are_checked)
{
    struct company company;
    company_begin(&company, 3, OVER, NULL);
    company_each(&company, weigh_nothing, NULL);
    company_end(&company);
}

static void lose_one(struct company *company, uint32_t rank, void *context)
{
    struct muster_error error = {MUSTER_OK, ""};
    (void)context;
    if (rank == 5)
        company_set_state(company, 5, MUSTER_MEMBER_LOST);
    else
        WANT(muster_group_barrier(company->groups[rank], LONG_MS, &error) == MUSTER_GONE);
    WANT(rank == 5 || strstr(error.text, "rank 5 ('m5')"));
}

COMPANY_TEST(collective, who_is_lost_ends_it_for_all)
{
    struct company company;
    company_begin(&company, 8, OVER, NULL);
    company_each(&company, lose_one, NULL);
    company_end(&company);
}

static void replace_one(struct company *company, uint32_t rank, void *context)
{
    struct muster_error error = {MUSTER_OK, ""};
    (void)context;
    if (rank == 5)
        company_restart(company, 5, NULL);
    /* The one that waits, and the next. The new process itself is told at once. */
    for (unsigned i = 0; i < 2; i++)
        WANT(muster_group_barrier(company->groups[rank], LONG_MS, &error) == MUSTER_GONE);
    WANT(strstr(error.text, "rank 5 ('m5') was started again"));
}

COMPANY_TEST(collective, who_is_started_again_ends_it_for_all)
{
    struct company company;
    company_begin(&company, 8, OVER, NULL);
    company_kill(&company, 5);
    company_each(&company, replace_one, NULL);
    company_end(&company);
}

/* ---- one that says what makes no sense ---- */

/* Rank `liar` says this in its part of an all_reduce of two. */
static void say_nonsense(struct company *company, uint32_t liar, const struct muster_message *nonsense)
{
    struct muster_error error;
    struct collective collective;
    struct muster_group *group = company->groups[liar];
    cr_assert_eq(muster__collective_begin(&collective, group, MUSTER_CALL_ALL_REDUCE, 0, LONG_MS, &error),
                 MUSTER_OK);
    struct operation operation =
        muster__collective_send(&collective, 1 - liar, liar ? STEP_UP : STEP_DOWN, nonsense);
    cr_assert_eq(muster__collective_run(&collective, &operation, 1, &error), MUSTER_OK, "%s", error.text);
}

static void expect_nonsense(uint32_t liar, double status, const char *text)
{
    struct company company;
    struct muster_error error;
    float data[3] = {1, 2, 3};
    const struct muster_array array = {.dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {3}, .data = data};
    const struct muster_scalar scalar = {"status", status};
    struct muster_message nonsense = {.kind = MUSTER_TRAIN, .scalars = &scalar, .scalar_count = 1};
    company_begin(&company, 2, OVER, NULL);
    say_nonsense(&company, liar, &nonsense);
    cr_assert_eq(muster_group_all_reduce(company.groups[1 - liar], MUSTER_SUM, 1, &array, 1, LONG_MS, &error),
                 MUSTER_PROTOCOL);
    cr_assert(strstr(error.text, text) != NULL, "%s", error.text);
    cr_assert(data[0] == 1 && data[1] == 2 && data[2] == 3);
    company_end(&company);
}

COMPANY_TEST(collective, who_says_nonsense_is_named)
{
    expect_nonsense(1, 12345, "rank 1 ('m1')");
    expect_nonsense(1, -1, "rank 1 ('m1')");
    expect_nonsense(0, 12345, "rank 0 ('m0')");
    expect_nonsense(0, MUSTER_OK, "what came from rank 0 ('m0') is malformed");
}
