/* Networks that are cut, or slow, over the fixture. */
#include <config.h>

#include <string.h>

#include "group/company.h"

#define SMALL    100
#define BIG      ((size_t)1 << 18)
#define GRACE_MS 60000

/* Every connection breaks, and no other can be made; or it can again. */
static void cut(struct company *company)
{
    muster_fixture_refuse(company->network, true);
    for (size_t i = 0; i < 16; i++)
        muster_fixture_drop(company->network, i);
}

/* The clock goes on once nobody has anything left to do. */
static void advance(struct company *company)
{
    for (unsigned i = 0; i < YIELDS || !others_sleep(); i++)
        sched_yield();
    muster_fixture_advance(company->network, 10);
}

/* Until the send has ended. */
static void go_on(struct company *company, struct sending *sending)
{
    while (!atomic_load(&sending->ended))
        advance(company);
}

static void begin(struct company *company, uint32_t dialler)
{
    struct muster_error error = {MUSTER_OK, ""};
    struct muster_group_options options = company_options();
    options.grace_ms = GRACE_MS;
    company_begin(company, 2, "fixture:", &options);
    cr_assert_eq(send_numbers(company->groups[dialler], 1 - dialler, 1, SMALL, 1, LONG_MS, &error), MUSTER_OK,
                 "%s", error.text);
    expect_numbers(company->groups[1 - dialler], dialler, 1, SMALL, 1);
}

COMPANY_TEST(partition, a_cut_shorter_than_the_grace_is_not_noticed)
{
    for (uint32_t dialler = 0; dialler < 2; dialler++) {
        struct company company;
        struct sending sending;
        begin(&company, dialler);
        cut(&company);
        sending_begin(&sending, company.groups[0], 1, 5, SMALL, 9);
        for (unsigned i = 0; i < GRACE_MS / 2; i += 10)
            advance(&company);
        muster_fixture_refuse(company.network, false);
        go_on(&company, &sending);
        cr_assert_eq(sending_end(&sending), MUSTER_OK, "%s", sending.error.text);
        expect_numbers(company.groups[1], 0, 5, SMALL, 9);
        company_end(&company);
    }
}

COMPANY_TEST(partition, a_cut_longer_than_the_grace_ends_what_waits_and_they_meet_again)
{
    for (uint32_t dialler = 0; dialler < 2; dialler++) {
        struct company company;
        struct sending sending;
        begin(&company, dialler);
        cut(&company);
        sending_begin(&sending, company.groups[0], 1, 5, SMALL, 9);
        go_on(&company, &sending);
        cr_assert_eq(sending_end(&sending), MUSTER_GONE, "%s", sending.error.text);
        cr_assert(strstr(sending.error.text, "rank 1 ('m1') is gone") != NULL, "%s", sending.error.text);
        muster_fixture_refuse(company.network, false);
        for (uint32_t from = 0; from < 2; from++) {
            sending_begin(&sending, company.groups[from], 1 - from, 5, SMALL, from);
            go_on(&company, &sending);
            if (sending_end(&sending) == MUSTER_GONE) { /* the other end had not noticed yet */
                sending_begin(&sending, company.groups[from], 1 - from, 5, SMALL, from);
                go_on(&company, &sending);
                sending_end(&sending);
            }
            cr_assert_eq(sending.status, MUSTER_OK, "%s", sending.error.text);
            expect_numbers(company.groups[1 - from], from, 5, SMALL, from);
        }
        company_end(&company);
    }
}

static void receive(void *context)
{
    expect_numbers(context, 0, 5, BIG, 9);
}

COMPANY_TEST(partition, a_big_message_that_is_cut_in_the_middle_comes_whole)
{
    for (size_t n = 1; n < 20; n++) {
        struct company company;
        struct sending sending;
        struct side side;
        begin(&company, n % 2);
        muster_fixture_fail_send(company.network, n);
        sending_begin(&sending, company.groups[0], 1, 5, BIG, 9);
        side_begin(&side, receive, company.groups[1]);
        go_on(&company, &sending);
        side_end(&side);
        cr_assert_eq(sending_end(&sending), MUSTER_OK, "%s", sending.error.text);
        company_end(&company);
    }
}

struct reducing {
    struct side side;
    struct muster_group *group;
    size_t count;
    enum muster_status status;
    struct muster_error error;
    atomic_bool ended;
};

static void reduce(void *context)
{
    struct reducing *reducing = context;
    float *data = calloc(reducing->count, sizeof(*data));
    struct muster_array array = {
        .dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {reducing->count}, .data = data};
    reducing->status = muster_group_all_reduce(reducing->group, MUSTER_MEAN, 1, &array, 1, MUSTER_NO_LIMIT,
                                               &reducing->error);
    free(data);
    atomic_store(&reducing->ended, true);
}

/* There is no limit: the call ends as its own word cannot be said, and does not wait for the answer to it. */
COMPANY_TEST(partition, a_member_that_is_not_reached_ends_a_collective_call_without_a_limit)
{
    for (size_t i = 0; i < 2; i++) {
        struct company company;
        struct reducing reducing;
        struct muster_group_options options = company_options();
        options.grace_ms = GRACE_MS;
        company_begin(&company, 2, "fixture:", &options);
        muster_fixture_refuse(company.network, true);
        reducing = (struct reducing){.group = company.groups[1], .count = i ? ((size_t)1 << 17) : SMALL};
        side_begin(&reducing.side, reduce, &reducing);
        while (!atomic_load(&reducing.ended))
            advance(&company);
        side_end(&reducing.side);
        cr_assert_eq(reducing.status, MUSTER_UNAVAILABLE, "%s", reducing.error.text);
        cr_assert_not_null(strstr(reducing.error.text, "rank 0 ('m0')"), "%s", reducing.error.text);
        muster_fixture_refuse(company.network, false);
        company_end(&company);
    }
}

/* ---- slow ---- */

static void miss_one(struct company *company, uint32_t rank, void *context)
{
    struct muster_error error = {MUSTER_OK, ""};
    (void)context;
    if (rank == 5)
        return;
    WANT(muster_group_barrier(company->groups[rank], 3000, &error) == MUSTER_TIMEOUT);
    WANT(strstr(error.text, "rank 5 ('m5')") != NULL);
}

struct meeting {
    struct side side;
    struct company *company;
    atomic_bool ended;
};

static void meet(void *context)
{
    struct meeting *meeting = context;
    company_each(meeting->company, miss_one, NULL);
    atomic_store(&meeting->ended, true);
}

/* Nobody but the one that does not come is late on this clock. */
COMPANY_TEST(slow, who_does_not_come_is_named_to_all)
{
    struct company company;
    struct meeting meeting = {.company = &company};
    company_begin(&company, 8, "fixture:", NULL);
    side_begin(&meeting.side, meet, &meeting);
    while (!atomic_load(&meeting.ended))
        advance(&company);
    side_end(&meeting.side);
    company_end(&company);
}

/* What it has said is still to be confirmed to the others when they hear that it has left. */
COMPANY_TEST(slow, a_member_that_leaves_right_after_all_reduce_does_not_end_it_for_others)
{
    for (size_t i = 0; i < 2; i++) {
        struct company company;
        struct reducing reducing[3];
        size_t left = 0;
        struct muster_group_options options = company_options();
        options.grace_ms = GRACE_MS;
        company_begin(&company, 3, "fixture:", &options);
        muster_fixture_delay(company.network, 100);
        for (uint32_t rank = 0; rank < 3; rank++) {
            reducing[rank] =
                (struct reducing){.group = company.groups[rank], .count = i ? ((size_t)1 << 17) : SMALL};
            side_begin(&reducing[rank].side, reduce, &reducing[rank]);
        }
        bool has_left[3] = {false};
        while (left < 3) {
            advance(&company);
            for (uint32_t rank = 0; rank < 3; rank++) {
                if (has_left[rank] || !atomic_load(&reducing[rank].ended))
                    continue;
                has_left[rank] = true;
                left++;
                company_set_state(&company, rank, MUSTER_MEMBER_FINISHED);
            }
        }
        for (uint32_t rank = 0; rank < 3; rank++) {
            side_end(&reducing[rank].side);
            cr_assert_eq(reducing[rank].status, MUSTER_OK, "%s", reducing[rank].error.text);
        }
        company_end(&company);
    }
}
