/* Members that are lost, cannot be reached, or are none. */
#include <config.h>

#include <string.h>

#include "group/company.h"
#include "group/over.h"
#include "network/timer.h"

#define SMALL 100
#define BIG   ((size_t)1 << 18)

struct receiving {
    struct side side;
    struct muster_group *group;
    uint32_t from;
    enum muster_status status;
    struct muster_message message;
    struct muster_error error;
};

static void receive(void *context)
{
    struct receiving *receiving = context;
    receiving->status = muster_group_receive(receiving->group, receiving->from, 5, LONG_MS,
                                             &receiving->message, NULL, NULL, &receiving->error);
}

static void receiving_begin(struct receiving *receiving, struct muster_group *group, uint32_t from)
{
    *receiving = (struct receiving){.group = group, .from = from};
    side_begin(&receiving->side, receive, receiving);
}

static void expect_gone(enum muster_status status, const struct muster_error *error)
{
    cr_assert_eq(status, MUSTER_GONE, "%s: %s", muster_status_name(status), error->text);
    cr_assert(strstr(error->text, "rank 1 ('m1')") != NULL, "%s", error->text);
}

/* Whoever has dialled. */
static void meet(struct company *company, uint32_t from, uint32_t to)
{
    struct muster_error error = {MUSTER_OK, ""};
    cr_assert_eq(send_numbers(company->groups[from], to, 1, SMALL, 1, LONG_MS, &error), MUSTER_OK, "%s",
                 error.text);
}

COMPANY_TEST(loss, all_that_waits_for_a_member_that_dies_ends_with_its_name)
{
    for (uint32_t dialler = 0; dialler < 2; dialler++) {
        struct company company;
        struct receiving receiving;
        struct sending sending;
        struct muster_error error = {MUSTER_OK, ""};
        company_begin(&company, 3, OVER, NULL);
        meet(&company, dialler, 1 - dialler);
        cr_assert_eq(send_numbers(company.groups[1], 0, 9, SMALL, 7, LONG_MS, &error), MUSTER_OK);
        receiving_begin(&receiving, company.groups[0], 1);
        sending_begin(&sending, company.groups[0], 1, 5, BIG, 1);
        company_await(company.groups[0], 1);
        company_kill(&company, 1);
        side_end(&receiving.side);
        expect_gone(receiving.status, &receiving.error);
        expect_gone(sending_end(&sending), &sending.error);
        expect_numbers(company.groups[0], 1, 9, SMALL, 7); /* what has come can be had */
        company_set_state(&company, 1, MUSTER_MEMBER_LOST);
        expect_gone(send_numbers(company.groups[0], 1, 5, SMALL, 1, LONG_MS, &error), &error);
        meet(&company, 0, 2);
        company_end(&company);
    }
}

COMPANY_TEST(loss, a_member_that_was_started_again_is_met_again)
{
    for (uint32_t dialler = 0; dialler < 2; dialler++) {
        struct company company;
        struct receiving receiving;
        struct muster_error error = {MUSTER_OK, ""};
        company_begin(&company, 2, OVER, NULL);
        meet(&company, dialler, 1 - dialler);
        receiving_begin(&receiving, company.groups[0], 1);
        company_await(company.groups[0], 0);
        company_kill(&company, 1);
        side_end(&receiving.side);
        expect_gone(receiving.status, &receiving.error);
        company_restart(&company, 1, NULL);
        cr_assert_eq(muster_group_epoch(company.groups[0]), muster_group_epoch(company.groups[1]));
        cr_assert_eq(send_numbers(company.groups[dialler], 1 - dialler, 3, SMALL, 4, LONG_MS, &error),
                     MUSTER_OK, "%s", error.text);
        expect_numbers(company.groups[1 - dialler], dialler, 3, SMALL, 4);
        cr_assert_eq(send_numbers(company.groups[1 - dialler], dialler, 3, SMALL, 5, LONG_MS, &error),
                     MUSTER_OK, "%s", error.text);
        expect_numbers(company.groups[dialler], 1 - dialler, 3, SMALL, 5);
        company_end(&company);
    }
}

COMPANY_TEST(loss, a_receive_from_any_goes_on_when_one_is_lost)
{
    struct company company;
    struct receiving receiving;
    struct muster_error error = {MUSTER_OK, ""};
    company_begin(&company, 3, OVER, NULL);
    receiving_begin(&receiving, company.groups[0], MUSTER_ANY_RANK);
    company_kill(&company, 1);
    company_set_state(&company, 1, MUSTER_MEMBER_LOST);
    cr_assert_eq(send_numbers(company.groups[2], 0, 5, SMALL, 1, LONG_MS, &error), MUSTER_OK);
    side_end(&receiving.side);
    cr_assert_eq(receiving.status, MUSTER_OK);
    muster_message_clear(&receiving.message);
    receiving_begin(&receiving, company.groups[0], MUSTER_ANY_RANK);
    company_set_state(&company, 2, MUSTER_MEMBER_LOST);
    side_end(&receiving.side);
    cr_assert_eq(receiving.status, MUSTER_GONE);
    company_end(&company);
}

COMPANY_TEST(loss, an_address_that_cannot_be_reached_is_told)
{
    struct company company;
    struct muster_error error = {MUSTER_OK, ""};
    struct muster_group_options options = company_options();
    options.grace_ms = 2000; /* much longer than SHORT_MS */
    const char *nowhere = strncmp(OVER, "local:", 6) == 0 ? "local:nowhere" : "127.0.0.1:1";
    company_begin(&company, 2, OVER, &options);
    company_set_address(&company, 1, nowhere);
    cr_assert_eq(send_numbers(company.groups[0], 1, 5, SMALL, 1, LONG_MS, &error), MUSTER_UNAVAILABLE);
    cr_assert(strstr(error.text, "rank 1 ('m1') cannot be reached at") != NULL, "%s", error.text);
    cr_assert(strstr(error.text, nowhere) != NULL, "%s", error.text);
    enum muster_status status;
    int64_t began;
    do { /* again, where it took so long that it has heard why */
        began = muster__clock_now();
        status = send_numbers(company.groups[0], 1, 5, SMALL, 1, SHORT_MS, &error);
    } while (status == MUSTER_UNAVAILABLE && muster__clock_now() - began >= options.grace_ms);
    cr_assert_eq(status, MUSTER_TIMEOUT, "%s", error.text);
    cr_assert(strstr(error.text, nowhere) != NULL, "%s", error.text);
    meet(&company, 1, 0); /* the other way it works */
    cr_assert_eq(send_numbers(company.groups[0], 1, 5, SMALL, 1, LONG_MS, &error), MUSTER_OK, "%s",
                 error.text);
    company_end(&company);
}

static enum muster_status say_full(void *context, struct proxy *proxy, char *text, size_t size)
{
    (void)context;
    (void)proxy;
    snprintf(text, size, "we are all here");
    return MUSTER_FULL;
}

COMPANY_TEST(loss, somebody_else_at_an_address_is_told)
{
    struct company company;
    struct muster_error error = {MUSTER_OK, ""};
    struct participant_manager *somebody;
    struct participant_manager_options options;
    participant_manager_options_init(&options);
    options.listen = strncmp(OVER, "local:", 6) == 0 ? "local:somebody" : "127.0.0.1:0";
    options.admit = say_full;
    options.on_warning = NULL;
    cr_assert_eq(participant_manager_start(&options, &somebody, &error), MUSTER_OK, "%s", error.text);
    company_begin(&company, 2, OVER, NULL);
    company_set_address(&company, 1, participant_manager_address(somebody));
    cr_assert_eq(send_numbers(company.groups[0], 1, 5, SMALL, 1, LONG_MS, &error), MUSTER_UNAVAILABLE);
    cr_assert(strstr(error.text, participant_manager_address(somebody)) != NULL, "%s", error.text);
    cr_assert(strstr(error.text, "we are all here") != NULL, "%s", error.text);
    company_end(&company);
    participant_manager_free(somebody);
}

COMPANY_TEST(loss, close_ends_all_waits)
{
    struct company company;
    struct receiving receiving;
    company_begin(&company, 2, OVER, NULL);
    receiving_begin(&receiving, company.groups[0], 1);
    company_await(company.groups[0], 0);
    muster_group_close(company.groups[0]);
    side_end(&receiving.side);
    cr_assert_eq(receiving.status, MUSTER_CLOSED);
    company_end(&company);
}

/* ---- strangers ---- */

static enum muster_status try_to_get_in(struct muster_group *group, const char *secret, const char *rank,
                                        struct muster_error *error)
{
    char incarnation[24], expects[24];
    struct muster_member *members = muster_group_roster(group, NULL);
    uint32_t claimed = (uint32_t)atoi(rank) < muster_group_size(group) ? (uint32_t)atoi(rank) : 0;
    snprintf(incarnation, sizeof(incarnation), "%llu", (unsigned long long)members[claimed].incarnation + 1);
    snprintf(expects, sizeof(expects), "%llu",
             (unsigned long long)members[muster_group_rank(group)].incarnation);
    const struct participant_label labels[] = {{"rank", rank},       {"incarnation", incarnation},
                                               {"dial", "1000"},     {"epoch", "1"},
                                               {"expects", expects}, {"secret", secret}};
    struct participant_options options;
    struct participant *participant;
    participant_options_init(&options);
    options.labels = labels;
    options.label_count = sizeof(labels) / sizeof(*labels);
    options.connect_timeout_ms = LONG_MS;
    options.on_warning = NULL;
    enum muster_status status =
        participant_connect(members[muster_group_rank(group)].address, &options, &participant, error);
    participant_free(participant);
    free(members);
    return status;
}

#define SECRET "0707070707070707070707070707070707070707070707070707070707070707"

COMPANY_TEST(loss, a_stranger_is_not_let_in)
{
    struct company company;
    struct muster_error error;
    company_begin(&company, 3, OVER, NULL);
    meet(&company, 0, 1);
    cr_assert_eq(try_to_get_in(company.groups[0], "00", "1", &error), MUSTER_UNAUTHENTICATED, "%s",
                 error.text);
    cr_assert_eq(try_to_get_in(company.groups[0], SECRET "00", "1", &error), MUSTER_UNAUTHENTICATED);
    cr_assert_eq(try_to_get_in(company.groups[0], SECRET, "3", &error), MUSTER_REFUSED);
    cr_assert_eq(try_to_get_in(company.groups[0], SECRET, "0", &error), MUSTER_REFUSED);
    cr_assert_eq(try_to_get_in(company.groups[0], SECRET, "1", &error),
                 MUSTER_REFUSED); /* of another incarnation */
    cr_assert(strstr(error.text, "another process has this rank") != NULL, "%s", error.text);
    meet(&company, 1, 0);
    company_end(&company);
}

COMPANY_TEST(loss, what_came_from_a_member_before_takes_room_until_it_is_received)
{
    struct company company;
    struct muster_error error = {MUSTER_OK, ""};
    struct muster_group_options options = company_options();
    options.eager_size = 1000;
    options.eager_budget = 1000;
    company_begin(&company, 2, OVER, &options);
    cr_assert_eq(send_numbers(company.groups[1], 0, 5, SMALL, 1, LONG_MS, &error), MUSTER_OK, "%s",
                 error.text);
    company_kill(&company, 1);
    company_restart(&company, 1, &options);
    expect_not_received(company.groups[1], 0, 5, SMALL, 2, "rank 0 ('m0') has not called receive");
    expect_numbers(company.groups[0], 1, 5, SMALL, 1);
    struct sending sending;
    sending_begin(&sending, company.groups[1], 0, 5, SMALL, 3);
    expect_numbers(company.groups[0], 1, 5, SMALL, 3);
    cr_assert_eq(sending_end(&sending), MUSTER_OK);
    company_end(&company);
}
