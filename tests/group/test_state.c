/* Publishing, and fetching what others have published. */
#include <config.h>

#include <string.h>

#include "group/company.h"
#include "group/over.h"

#define SMALL 100
#define BIG   ((size_t)1 << 18)

static void publish(struct muster_group *group, uint64_t version, size_t count)
{
    struct muster_error error = {MUSTER_OK, ""};
    struct muster_array array;
    float *data = malloc(count * sizeof(*data));
    struct muster_message message = make_numbers(&array, data, count, (unsigned)version);
    cr_assert_eq(muster_group_publish(group, version, &message, &error), MUSTER_OK, "%s", error.text);
    free(data);
}

struct fetching {
    struct side side;
    struct muster_group *group;
    uint32_t from;
    uint64_t least;
    int64_t limit_ms;
    struct muster_message message;
    uint64_t version;
    enum muster_status status;
    struct muster_error error;
};

static void fetch(void *context)
{
    struct fetching *fetching = context;
    fetching->status =
        muster_group_fetch(fetching->group, fetching->from, fetching->least, fetching->limit_ms,
                           &fetching->message, &fetching->version, &fetching->error);
}

static void fetching_begin(struct fetching *fetching, struct muster_group *group, uint32_t from,
                           uint64_t least)
{
    *fetching = (struct fetching){.group = group, .from = from, .least = least, .limit_ms = LONG_MS};
    side_begin(&fetching->side, fetch, fetching);
}

static void fetching_expect(struct fetching *fetching, uint64_t version, size_t count)
{
    side_end(&fetching->side);
    cr_assert_eq(fetching->status, MUSTER_OK, "%s", fetching->error.text);
    cr_assert_eq(fetching->version, version);
    cr_assert(is_numbers(&fetching->message, count, (unsigned)version));
    muster_message_clear(&fetching->message);
}

COMPANY_TEST(state, a_fetch_gets_the_newest_version)
{
    struct company company;
    struct fetching fetching;
    company_begin(&company, 2, OVER, NULL);
    for (uint64_t version = 1; version < 5; version++) {
        size_t count = version % 2 ? BIG : SMALL;
        publish(company.groups[0], version, count);
        fetching_begin(&fetching, company.groups[1], 0, version - 1);
        fetching_expect(&fetching, version, count);
        publish(company.groups[1], version, count);
        fetching_begin(&fetching, company.groups[0], 1, version);
        fetching_expect(&fetching, version, count);
    }
    company_end(&company);
}

COMPANY_TEST(state, a_fetch_waits_for_its_version)
{
    struct company company;
    struct fetching first, second, third;
    company_begin(&company, 3, OVER, NULL);
    publish(company.groups[0], 1, SMALL);
    fetching_begin(&first, company.groups[1], 0, 3);
    fetching_begin(&second, company.groups[1], 0, 2);
    fetching_begin(&third, company.groups[2], 0, 2);
    publish(company.groups[0], 2, BIG);
    fetching_expect(&second, 2, BIG);
    fetching_expect(&third, 2, BIG);
    publish(company.groups[0], 3, BIG);
    fetching_expect(&first, 3, BIG);
    company_end(&company);
}

COMPANY_TEST(state, a_fetch_ends_by_its_limit_and_costs_nothing_then)
{
    struct company company;
    struct fetching fetching;
    struct muster_error error;
    struct muster_message message;
    company_begin(&company, 2, OVER, NULL);
    publish(company.groups[0], 1, SMALL);
    fetching_begin(&fetching, company.groups[1], 0,
                   1); /* after which it need not be reached within the limits */
    fetching_expect(&fetching, 1, SMALL);
    for (unsigned i = 0; i < 100; i++)
        cr_assert_eq(muster_group_fetch(company.groups[1], 0, 2, 1, &message, NULL, &error), MUSTER_TIMEOUT);
    cr_assert_eq(muster_group_fetch(company.groups[1], 0, 2, SHORT_MS, &message, NULL, &error),
                 MUSTER_TIMEOUT);
    cr_assert(strstr(error.text, "rank 0 ('m0') has not published that version") != NULL, "%s", error.text);
    fetching_begin(&fetching, company.groups[1], 0, 2);
    publish(company.groups[0], 2, SMALL);
    fetching_expect(&fetching, 2, SMALL);
    company_end(&company);
}

COMPANY_TEST(state, versions_grow)
{
    struct company company;
    struct muster_error error;
    struct muster_array array;
    struct muster_message message;
    float data[SMALL];
    company_begin(&company, 2, OVER, NULL);
    publish(company.groups[0], 5, SMALL);
    message = make_numbers(&array, data, SMALL, 1);
    cr_assert_eq(muster_group_publish(company.groups[0], 5, &message, &error), MUSTER_INVALID);
    cr_assert_eq(muster_group_fetch(company.groups[0], 0, 5, SHORT_MS, &message, NULL, &error),
                 MUSTER_INVALID);
    cr_assert_eq(muster_group_fetch(company.groups[0], 2, 5, SHORT_MS, &message, NULL, &error),
                 MUSTER_INVALID);
    company_end(&company);
}

static void leave(void *context)
{
    if (muster_group_leave(context, LONG_MS, NULL) != MUSTER_OK)
        abort();
}

COMPANY_TEST(state, who_has_left_gives_what_it_has_until_all_have)
{
    struct company company;
    struct fetching waiting, later;
    struct side side;
    struct muster_error error;
    struct muster_array array;
    float data[SMALL];
    company_begin(&company, 2, OVER, NULL);
    publish(company.groups[0], 1, SMALL);
    fetching_begin(&waiting, company.groups[1], 0, 2);
    side_begin(&side, leave, company.groups[0]);
    side_end(&waiting.side);
    cr_assert_eq(waiting.status, MUSTER_CLOSED);
    cr_assert(strstr(waiting.error.text, "rank 0 ('m0') has left the group") != NULL, "%s",
              waiting.error.text);
    fetching_begin(&later, company.groups[1], 0, 1);
    fetching_expect(&later, 1, SMALL);
    struct muster_message message = make_numbers(&array, data, SMALL, 1);
    cr_assert_eq(muster_group_send(company.groups[1], 0, 1, &message, LONG_MS, &error), MUSTER_CLOSED);
    cr_assert_eq(muster_group_receive(company.groups[1], 0, 1, LONG_MS, &message, NULL, NULL, &error),
                 MUSTER_CLOSED);
    cr_assert_eq(muster_group_barrier(company.groups[1], LONG_MS, &error), MUSTER_CLOSED);
    cr_assert_eq(muster_group_leave(company.groups[1], LONG_MS, &error), MUSTER_OK);
    side_end(&side);
    company_end(&company);
}
