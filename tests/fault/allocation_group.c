/* Every allocation fails in turn while two members register with a coordinator, learn of each other, and leave. */
#include <config.h>

#include <criterion/criterion.h>

#include <muster/fixture.h>

#include "fault/failing.h"
#include "group/membership.h"

enum { MEMBERS = 2 };

struct one {
    struct membership *membership;
    uint64_t epoch;
    bool ended;
};

static void take_roster(void *context, struct roster *roster)
{
    struct one *one = context;
    EXPECT(roster->epoch > one->epoch);
    one->epoch = roster->epoch;
}

static void take_end(void *context, enum muster_status status, const char *text)
{
    struct one *one = context;
    EXPECT(!one->ended && status != MUSTER_OK && *text);
    one->ended = true;
}

static const struct membership_events member_events = {.on_roster = take_roster, .on_end = take_end};

static void take_news(void *context, const struct muster_coordinator_event *event)
{
    (void)context;
    EXPECT(*event->group && *event->member.name);
}

static struct muster_coordinator *start_coordinator(void)
{
    struct muster_coordinator_options options;
    struct muster_coordinator *coordinator = NULL;
    muster_coordinator_options_init(&options);
    options.listen = ADDRESS;
    options.on_event = take_news;
    options.on_warning = NULL;
    PLAUSIBLE(muster_coordinator_start(&options, &coordinator, NULL), MUSTER_OUT_OF_MEMORY);
    return coordinator;
}

/* Until all have that epoch, as far as they ever will. */
static void step_until(const struct one *members, uint64_t epoch)
{
    for (size_t step = 0; step < 200; step++) {
        bool waits = false;
        for (size_t i = 0; i < MEMBERS; i++)
            waits = waits || (members[i].membership && !members[i].ended && members[i].epoch < epoch);
        if (!waits)
            return;
        step_instead_of_waiting();
    }
}

static void group(void)
{
    static const char *const names[MEMBERS] = {"ada", "bo"};
    struct one members[MEMBERS] = {0};
    network = muster_fixture_new("test");
    if (!network)
        return;
    struct muster_coordinator *coordinator = start_coordinator();
    for (size_t i = 0; i < MEMBERS; i++) {
        const struct muster_group_options options = {.size = sizeof(options),
                                                     .group = "g",
                                                     .name = names[i],
                                                     .members = MEMBERS,
                                                     .join_timeout_ms = 5000,
                                                     .keepalive_time_ms = 10000,
                                                     .keepalive_timeout_ms = 10000};
        PLAUSIBLE(muster__membership_start(ADDRESS, &options, "there", 0, i + 1, &member_events, &members[i],
                                           &members[i].membership, NULL),
                  MUSTER_OUT_OF_MEMORY);
    }
    step_until(members, 1);
    for (size_t i = 0; i < MEMBERS; i++) {
        EXPECT(members[i].epoch == 1 || !undisturbed());
        if (members[i].membership)
            muster__membership_finish(members[i].membership);
    }
    step_until(members, 3);
    for (size_t i = 0; i < MEMBERS; i++) {
        EXPECT(members[i].epoch == 3 || !undisturbed());
        muster__membership_free(members[i].membership);
    }
    muster_coordinator_free(coordinator);
    muster_fixture_settle(network);
    muster_fixture_free(network);
}

Test(allocation, group, .timeout = 120)
{
    cr_assert_gt(run_all_ways(group), 100);
}
