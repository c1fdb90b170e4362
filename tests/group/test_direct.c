/* Messages from one member to another. */
#include <config.h>

#include <string.h>

#include "group/company.h"
#include "group/outbox.h"
#include "group/over.h"
#include "support/sample.h"

#define SMALL 100
#define BIG   ((size_t)1 << 18)

static void pass(struct company *company, uint32_t from, uint32_t to, size_t count)
{
    struct sending sending;
    sending_begin(&sending, company->groups[from], to, 5, count, (unsigned)count);
    expect_numbers(company->groups[to], from, 5, count, (unsigned)count);
    cr_assert_eq(sending_end(&sending), MUSTER_OK, "%s", sending.error.text);
}

COMPANY_TEST(direct, small_and_big_messages_pass_both_ways)
{
    struct company company;
    company_begin(&company, 2, OVER, NULL);
    for (unsigned i = 0; i < 3; i++) {
        pass(&company, 0, 1, SMALL);
        pass(&company, 1, 0, SMALL);
        pass(&company, 0, 1, BIG);
        pass(&company, 1, 0, BIG);
    }
    company_end(&company);
}

COMPANY_TEST(direct, every_kind_of_message_passes)
{
    static const enum muster_kind kinds[] = {MUSTER_TRAIN, MUSTER_EVALUATE, MUSTER_APPLICATION};
    struct company company;
    struct muster_error error = {MUSTER_OK, ""};
    struct muster_message message;
    company_begin(&company, 2, OVER, NULL);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        cr_assert_eq(muster_group_send(company.groups[0], 1, 1, sample(kinds[i]), LONG_MS, &error), MUSTER_OK,
                     "%s", error.text);
        cr_assert_eq(muster_group_receive(company.groups[1], 0, 1, LONG_MS, &message, NULL, NULL, &error),
                     MUSTER_OK);
        cr_assert(is_sample(&message, kinds[i]));
        muster_message_clear(&message);
    }
    company_end(&company);
}

COMPANY_TEST(direct, messages_under_one_tag_come_in_order)
{
    struct company company;
    struct sending big;
    struct muster_error error = {MUSTER_OK, ""};
    company_begin(&company, 2, OVER, NULL);
    cr_assert_eq(send_numbers(company.groups[0], 1, 1, SMALL, 1, LONG_MS, &error), MUSTER_OK);
    cr_assert_eq(send_numbers(company.groups[0], 1, 1, SMALL, 2, LONG_MS, &error), MUSTER_OK);
    cr_assert_eq(send_numbers(company.groups[0], 1, 2, SMALL, 3, LONG_MS, &error), MUSTER_OK);
    sending_begin(&big, company.groups[0], 1, 1, BIG, 4);
    expect_numbers(company.groups[1], MUSTER_ANY_RANK, 2, SMALL, 3);
    expect_numbers(company.groups[1], 0, MUSTER_ANY_TAG, SMALL, 1);
    expect_numbers(company.groups[1], MUSTER_ANY_RANK, MUSTER_ANY_TAG, SMALL, 2);
    expect_numbers(company.groups[1], MUSTER_ANY_RANK, MUSTER_ANY_TAG, BIG, 4);
    cr_assert_eq(sending_end(&big), MUSTER_OK);
    company_end(&company);
}

/* Every member exchanges with all others, at once: so all dial each other. */
static void exchange_with_all(struct company *company, uint32_t rank, void *context)
{
    struct muster_error error = {MUSTER_OK, ""};
    const size_t *count = context;
    struct muster_group_partner partners[COMPANY_MAX];
    struct muster_array array;
    float *data = malloc(*count * sizeof(*data));
    struct muster_message message = make_numbers(&array, data, *count, rank);
    size_t many = 0;
    for (uint32_t i = 0; i < company->size; i++) {
        if (i != rank)
            partners[many++] =
                (struct muster_group_partner){.rank = i, .message = &message, .receives = true};
    }
    WANT(muster_group_exchange_all(company->groups[rank], 3, partners, many, LONG_MS, &error) == MUSTER_OK);
    for (size_t i = 0; i < many; i++) {
        WANT(partners[i].status == MUSTER_OK);
        WANT(is_numbers(&partners[i].answer, *count, partners[i].rank));
        muster_message_clear(&partners[i].answer);
    }
    free(data);
}

COMPANY_TEST(direct, all_exchange_with_all_at_once)
{
    size_t counts[] = {SMALL, BIG};
    for (size_t i = 0; i < 4; i++) {
        struct company company;
        company_begin(&company, 8, OVER, NULL);
        company_each(&company, exchange_with_all, &counts[i % 2]);
        company_each(&company, exchange_with_all, &counts[i % 2]);
        company_end(&company);
    }
}

static void exchange_with_the_other(struct company *company, uint32_t rank, void *context)
{
    struct muster_error error = {MUSTER_OK, ""};
    struct muster_array array;
    struct muster_message answer;
    float data[SMALL];
    (void)context;
    struct muster_message message = make_numbers(&array, data, SMALL, rank);
    WANT(muster_group_exchange(company->groups[rank], 1 - rank, 0, &message, LONG_MS, &answer, &error) ==
         MUSTER_OK);
    WANT(is_numbers(&answer, SMALL, 1 - rank));
    muster_message_clear(&answer);
}

/* One exchanges, and the other receives first and sends then: nothing comes that the half of the first could wait for. */
static void exchange_by_halves(struct company *company, uint32_t rank, void *context)
{
    struct muster_error error = {MUSTER_OK, ""};
    const uint32_t *by_halves = context;
    if (rank != *by_halves) {
        exchange_with_the_other(company, rank, NULL);
        return;
    }
    expect_numbers(company->groups[rank], 1 - rank, 0, SMALL, 1 - rank);
    WANT(send_numbers(company->groups[rank], 1 - rank, 0, SMALL, rank, LONG_MS, &error) == MUSTER_OK);
}

COMPANY_TEST(direct, one_that_exchanges_does_not_wait_in_vain_for_the_peers_half)
{
    struct company company;
    uint32_t ranks[] = {0, 1};
    company_begin(&company, 2, OVER, NULL);
    /* There is a link then, of which one end cannot begin turns. */
    company_each(&company, exchange_with_the_other, NULL);
    for (size_t i = 0; i < 4; i++)
        company_each(&company, exchange_by_halves, &ranks[i % 2]);
    company_each(&company, exchange_with_the_other, NULL);
    company_end(&company);
}

COMPANY_TEST(direct, two_who_dial_each_other_have_one_link)
{
    for (unsigned i = 0; i < 20; i++) {
        struct company company;
        struct muster_traffic traffic;
        company_begin(&company, 2, OVER, NULL);
        company_each(&company, exchange_with_the_other, NULL);
        cr_assert_eq(muster_group_get_traffic(company.groups[0], 1, &traffic, NULL), MUSTER_OK);
        cr_assert_geq(traffic.payload_sent, SMALL * sizeof(float));
        cr_assert_geq(traffic.payload_received, SMALL * sizeof(float));
        company_end(&company);
    }
}

/* ---- limits ---- */

static void expect_nothing(struct muster_group *group, uint32_t from, uint32_t tag, enum muster_status status,
                           const char *text)
{
    struct muster_message message;
    struct muster_error error = {MUSTER_OK, ""};
    cr_assert_eq(muster_group_receive(group, from, tag, SHORT_MS, &message, NULL, NULL, &error), status);
    cr_assert(strstr(error.text, text) != NULL, "%s", error.text);
    muster_message_clear(&message);
}

COMPANY_TEST(direct, a_receive_that_nobody_sends_to_ends_by_its_limit)
{
    struct company company;
    company_begin(&company, 3, OVER, NULL);
    expect_nothing(company.groups[0], 2, 7, MUSTER_TIMEOUT, "rank 2 ('m2') has sent nothing within 100 ms");
    expect_nothing(company.groups[0], MUSTER_ANY_RANK, 7, MUSTER_TIMEOUT, "from any rank");
    pass(&company, 2, 0, SMALL);
    company_end(&company);
}

COMPANY_TEST(direct, a_big_message_that_nobody_receives_ends_by_its_limit)
{
    struct company company;
    company_begin(&company, 2, OVER, NULL);
    expect_not_received(company.groups[0], 1, 5, BIG, 1, "rank 1 ('m1') has not called receive");
    pass(&company, 0, 1, BIG); /* and not the first */
    company_end(&company);
}

COMPANY_TEST(direct, a_receive_that_was_given_up_leaves_what_it_wanted_to_the_next)
{
    struct company company;
    struct sending sending;
    company_begin(&company, 2, OVER, NULL);
    for (unsigned i = 0; i < 20; i++) {
        struct muster_message message;
        sending_begin(&sending, company.groups[0], 1, 5, BIG, i);
        enum muster_status status =
            muster_group_receive(company.groups[1], 0, 5, 1, &message, NULL, NULL, NULL);
        if (status == MUSTER_OK)
            cr_assert(is_numbers(&message, BIG, i));
        else
            expect_numbers(company.groups[1], 0, 5, BIG, i);
        muster_message_clear(&message);
        cr_assert_eq(sending_end(&sending), MUSTER_OK, "%s", sending.error.text);
    }
    company_end(&company);
}

COMPANY_TEST(direct, a_member_holds_no_more_than_its_budget_for_others)
{
    struct company company;
    struct muster_error error = {MUSTER_OK, ""};
    struct muster_group_options options = company_options();
    options.eager_size = 1000;
    options.eager_budget = 3000;
    company_begin(&company, 2, OVER, &options);
    struct muster_array array;
    float data[100];
    const struct muster_message message = make_numbers(&array, data, 100, 0);
    unsigned sent = (unsigned)(options.eager_budget / muster__message_charge(&message));
    cr_assert(sent >= 3 && sent <= 7, "%u", sent);
    for (unsigned i = 0; i < sent; i++)
        cr_assert_eq(send_numbers(company.groups[0], 1, 5, 100, i, LONG_MS, &error), MUSTER_OK, "%s",
                     error.text);
    expect_not_received(company.groups[0], 1, 5, 100, sent, "rank 1 ('m1') has not called receive");
    for (unsigned i = 0; i < sent; i++)
        expect_numbers(company.groups[1], 0, 5, 100, i);
    cr_assert_eq(send_numbers(company.groups[0], 1, 5, 100, 99, LONG_MS, &error), MUSTER_OK, "%s",
                 error.text);
    expect_numbers(company.groups[1], 0, 5, 100, 99);
    company_end(&company);
}

COMPANY_TEST(direct, what_is_out_of_range_is_refused)
{
    struct company company;
    struct muster_error error = {MUSTER_OK, ""};
    struct muster_value value = {.name = "muster", .kind = MUSTER_VALUE_INTEGER, .integer = 1};
    struct muster_message message = *sample(MUSTER_TRAIN);
    company_begin(&company, 2, OVER, NULL);
    struct muster_group *group = company.groups[0];
    cr_assert_eq(muster_group_send(group, 2, 0, &message, LONG_MS, &error), MUSTER_INVALID);
    cr_assert_str_eq(error.text, "there is no rank 2: the group has 2 members");
    cr_assert_eq(muster_group_send(group, 0, 0, &message, LONG_MS, &error), MUSTER_INVALID);
    cr_assert_str_eq(error.text, "rank 0 is this member itself");
    cr_assert_eq(muster_group_send(group, 1, 0x80000000U, &message, LONG_MS, &error), MUSTER_INVALID);
    cr_assert_eq(muster_group_send(group, MUSTER_ANY_RANK, 0, &message, LONG_MS, &error), MUSTER_INVALID);
    cr_assert_eq(muster_group_send(group, 1, MUSTER_ANY_TAG, &message, LONG_MS, &error), MUSTER_INVALID);
    expect_nothing(group, 1, 0x80000000U, MUSTER_INVALID, "MUSTER_TAG_MAX");
    expect_nothing(group, 2, 0, MUSTER_INVALID, "no rank 2");
    expect_nothing(group, 0, 0, MUSTER_INVALID, "itself");
    message.values = &value;
    message.value_count = 1;
    cr_assert_eq(muster_group_send(group, 1, 0, &message, LONG_MS, &error), MUSTER_INVALID);
    message = *sample(MUSTER_FAILURE);
    cr_assert_eq(muster_group_send(group, 1, 0, &message, LONG_MS, &error), MUSTER_INVALID);
    company_end(&company);
}
