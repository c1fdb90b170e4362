/* A big message is offered first, and copied meanwhile: what happens while its copy is made. */
#include <config.h>

#include <string.h>

#include "group/company.h"
#include "group/internal.h"
#include "group/over.h"
#include "wire/wire.h"

#define SMALL 100
#define BIG   ((size_t)1 << 18)

/* The next copy of a big message: what happens before it, and whether there is memory for it. */
static struct {
    void (*happens)(struct company *company);
    struct company *company;
    bool out_of_memory;
} next;

enum muster_status __wrap_muster__message_copy(enum direction direction, const struct muster_message *message,
                                               struct muster_message *copy, struct muster_error *error);
enum muster_status __real_muster__message_copy(enum direction direction, const struct muster_message *message,
                                               struct muster_message *copy, struct muster_error *error);

enum muster_status __wrap_muster__message_copy(enum direction direction, const struct muster_message *message,
                                               struct muster_message *copy, struct muster_error *error)
{
    bool is_big = next.happens && muster__message_charge(message) > BIG;
    if (!is_big)
        return __real_muster__message_copy(direction, message, copy, error);
    void (*happens)(struct company * company) = next.happens;
    bool out_of_memory = next.out_of_memory;
    next.happens = NULL;
    happens(next.company);
    if (!out_of_memory)
        return __real_muster__message_copy(direction, message, copy, error);
    *error = (struct muster_error){MUSTER_OUT_OF_MEMORY, "out of memory"};
    return error->status;
}

/* Rank 0 sends a big message to rank 1, under tag 5; this happens meanwhile. */
static enum muster_status send_big(struct company *company, void (*happens)(struct company *company),
                                   bool out_of_memory, struct muster_error *error)
{
    next.company = company;
    next.out_of_memory = out_of_memory;
    next.happens = happens;
    enum muster_status status = send_numbers(company->groups[0], 1, 5, BIG, 1, LONG_MS, error);
    cr_assert_null(next.happens);
    return status;
}

/* Nothing of it is left at the sender. */
static void expect_no_parcel(struct company *company)
{
    struct muster_group *group = company->groups[0];
    pthread_mutex_lock(&group->lock);
    const struct outbox *outbox = &group->links[1].outbox;
    cr_assert(!outbox->unsent.first && !outbox->offered.first && !outbox->ready.first);
    pthread_mutex_unlock(&group->lock);
}

/* ---- what happens ---- */

static bool has_offer(struct muster_group *group)
{
    pthread_mutex_lock(&group->lock);
    bool has = group->links[0].open_offers > 0;
    pthread_mutex_unlock(&group->lock);
    return has;
}

static bool has_wanted(struct muster_group *group)
{
    pthread_mutex_lock(&group->lock);
    bool has = group->links[1].outbox.ready.first != NULL;
    pthread_mutex_unlock(&group->lock);
    return has;
}

static void is_offered(struct company *company)
{
    AWAIT(has_offer(company->groups[1]));
}

static void is_wanted(struct company *company)
{
    AWAIT(has_wanted(company->groups[0]));
}

static void is_lost(struct company *company)
{
    is_offered(company);
    company_set_state(company, 1, MUSTER_MEMBER_LOST);
}

static void is_closed(struct company *company)
{
    is_offered(company);
    muster_group_close(company->groups[0]);
}

struct receiving {
    struct muster_group *group;
    unsigned seed;
};

static void receive(void *context)
{
    const struct receiving *receiving = context;
    expect_numbers(receiving->group, 0, 5, BIG, receiving->seed);
}

/* ---- tests ---- */

COMPANY_TEST(copy, what_is_wanted_before_it_is_copied_goes_then)
{
    struct company company;
    struct muster_error error;
    struct side side;
    company_begin(&company, 2, OVER, NULL);
    struct receiving receiving = {company.groups[1], 1};
    side_begin(&side, receive, &receiving);
    cr_assert_eq(send_big(&company, is_wanted, false, &error), MUSTER_OK, "%s", error.text);
    side_end(&side);
    company_end(&company);
}

COMPANY_TEST(copy, without_memory_for_it_the_offer_is_withdrawn)
{
    struct company company;
    struct muster_error error;
    company_begin(&company, 2, OVER, NULL);
    cr_assert_eq(send_big(&company, is_offered, true, &error), MUSTER_OUT_OF_MEMORY);
    cr_assert_str_eq(error.text, "out of memory");
    expect_no_parcel(&company);
    cr_assert_eq(send_numbers(company.groups[0], 1, 5, SMALL, 2, LONG_MS, &error), MUSTER_OK);
    expect_numbers(company.groups[1], 0, 5, SMALL, 2);
    company_end(&company);
}

COMPANY_TEST(copy, without_memory_for_it_who_wanted_it_gets_the_next)
{
    struct company company;
    struct muster_error error;
    struct side side;
    company_begin(&company, 2, OVER, NULL);
    struct receiving receiving = {company.groups[1], 2};
    side_begin(&side, receive, &receiving);
    cr_assert_eq(send_big(&company, is_wanted, true, &error), MUSTER_OUT_OF_MEMORY);
    expect_no_parcel(&company);
    cr_assert_eq(send_numbers(company.groups[0], 1, 5, BIG, 2, LONG_MS, &error), MUSTER_OK, "%s", error.text);
    side_end(&side);
    company_end(&company);
}

COMPANY_TEST(copy, a_send_whose_peer_is_lost_meanwhile_ends)
{
    for (int out_of_memory = 0; out_of_memory < 2; out_of_memory++) {
        struct company company;
        struct muster_error error;
        company_begin(&company, 2, OVER, NULL);
        cr_assert_eq(send_big(&company, is_lost, out_of_memory, &error), MUSTER_GONE);
        cr_assert(strstr(error.text, "rank 1 ('m1') is gone") != NULL, "%s", error.text);
        expect_no_parcel(&company);
        company_end(&company);
    }
}

COMPANY_TEST(copy, a_send_of_a_group_that_is_closed_meanwhile_ends)
{
    struct company company;
    struct muster_error error;
    company_begin(&company, 2, OVER, NULL);
    cr_assert_eq(send_big(&company, is_closed, false, &error), MUSTER_CLOSED);
    expect_no_parcel(&company);
    company_end(&company);
}
