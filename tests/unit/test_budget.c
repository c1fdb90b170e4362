/* The upload budget by itself: claims of nobody, on the fixture's clock. A test's name begins with the
   numbers of the rules in proxy/budget.h. */
#include <config.h>

#include <criterion/criterion.h>

#include <string.h>

#include <muster/fixture.h>

#include "proxy/budget.h"

enum { SENDERS = 4, SIZE = 1000000, HUGE = 17 << 20, SLOT_MS = 100, STALL_MS = 1000, PROGRESS = 16000 };

struct sender {
    struct claim claim;
    struct world *world;
    uint64_t ticket;
    bool unwanted; /* its turn has ended, just when it is granted */
    bool holds;
    uint64_t received;
    size_t grants;
    size_t passed_over;
};

/* Room for one answer, and who would like to have it. */
struct world {
    struct muster_transport *network;
    struct drain drain;
    struct budget budget;
    struct sender senders[SENDERS];
    size_t references;
};

static struct sender *sender_of(struct claim *claim)
{
    return (struct sender *)claim; /* its first member */
}

static int64_t now_of(const struct world *world)
{
    return world->network->ops->now(world->network);
}

static bool grant(struct claim *claim, uint64_t ticket)
{
    struct sender *sender = sender_of(claim);
    cr_assert_eq(ticket, sender->ticket);
    if (sender->unwanted)
        return false;
    sender->holds = true;
    sender->received = 0;
    sender->grants++;
    muster__claim_begin(claim, SIZE, now_of(sender->world));
    return true;
}

static void pass_over(struct claim *claim)
{
    struct sender *sender = sender_of(claim);
    cr_assert(sender->holds);
    sender->holds = false;
    sender->passed_over++;
    muster__claim_leave(claim);
    muster__budget_returned(&sender->world->budget, SIZE);
    sender->ticket = muster__claim_wait(claim, SIZE);
}

static void retain(struct claim *claim)
{
    sender_of(claim)->world->references++;
}

static void release(struct claim *claim)
{
    cr_assert_gt(sender_of(claim)->world->references, 0);
    sender_of(claim)->world->references--;
}

static const struct claim_events events = {
    .grant = grant,
    .pass_over = pass_over,
    .retain = retain,
    .release = release,
};

static void begin(struct world *world)
{
    *world = (struct world){.network = muster_fixture_new("test")};
    muster__drain_init(&world->drain);
    muster__budget_init(&world->budget, SIZE, STALL_MS, world->network, &world->drain);
    for (size_t i = 0; i < SENDERS; i++) {
        world->senders[i].world = world;
        muster__claim_init(&world->senders[i].claim, &world->budget, &events);
    }
}

static void announce(struct world *world, size_t i)
{
    struct sender *sender = &world->senders[i];
    sender->ticket = muster__claim_wait(&sender->claim, SIZE);
    muster__budget_serve(&world->budget);
}

static void receive(struct world *world, size_t i, uint64_t size)
{
    struct sender *sender = &world->senders[i];
    cr_assert(sender->holds);
    sender->received += size;
    muster__claim_received(&sender->claim, sender->received, now_of(world));
    muster__budget_serve(&world->budget);
}

/* Its turn ends, with the answer or without. */
static void leave(struct world *world, size_t i)
{
    struct sender *sender = &world->senders[i];
    muster__claim_leave(&sender->claim);
    if (sender->holds)
        muster__budget_returned(&world->budget, SIZE);
    sender->holds = false;
    muster__budget_serve(&world->budget);
}

static void finish(struct world *world, size_t i)
{
    receive(world, i, SIZE - world->senders[i].received);
    muster__claim_whole(&world->senders[i].claim, now_of(world));
    leave(world, i);
}

static void pass_time(struct world *world, int64_t milliseconds)
{
    muster_fixture_advance(world->network, milliseconds);
    muster_fixture_settle(world->network);
}

/* Whether these, and no others, hold room. */
static bool hold(const struct world *world, const char *digits)
{
    bool right = true;
    for (size_t i = 0; i < SENDERS; i++) {
        bool listed = strchr(digits, (int)('0' + i)) != NULL;
        right = right && world->senders[i].holds == listed;
    }
    return right;
}

/* Nothing is held or watched, and no owner is kept. */
static void end(struct world *world)
{
    for (size_t i = 0; i < SENDERS; i++)
        leave(world, i);
    cr_assert_eq(world->budget.held + world->budget.reserved, 0);
    cr_assert_eq(world->budget.holders + world->budget.waiting_count, 0);
    cr_assert_eq(world->references, 0);
    cr_assert_eq(world->drain.pending, 0);
    muster__budget_destroy(&world->budget);
    muster__drain_destroy(&world->drain);
    muster_fixture_free(world->network);
}

Test(budget, first_come_first_served)
{
    struct world world;
    begin(&world);
    for (size_t i = 0; i < SENDERS; i++)
        announce(&world, i);
    cr_assert(hold(&world, "0"));
    finish(&world, 0);
    cr_assert(hold(&world, "1"));
    leave(&world, 2); /* it was waiting */
    finish(&world, 1);
    cr_assert(hold(&world, "3"));
    end(&world);
}

Test(budget, room_that_is_not_wanted_any_more_is_the_next_ones)
{
    struct world world;
    begin(&world);
    announce(&world, 0);
    announce(&world, 1);
    announce(&world, 2);
    world.senders[1].unwanted = true;
    finish(&world, 0);
    cr_assert(hold(&world, "2"));
    end(&world);
}

Test(budget, promise_takes_room_until_it_is_used_or_given_back)
{
    struct world world;
    begin(&world);
    struct claim *first = &world.senders[0].claim, *second = &world.senders[1].claim;
    cr_assert(muster__claim_reserve(first, SIZE));
    cr_assert_not(muster__claim_reserve(second, 1));
    muster__claim_leave(first);
    cr_assert(muster__claim_reserve(second, SIZE));
    muster__claim_begin(second, SIZE, 0);
    world.senders[1].holds = true;
    announce(&world, 0);
    cr_assert_not(muster__claim_reserve(&world.senders[2].claim, 0)); /* somebody waits */
    finish(&world, 1);
    cr_assert(hold(&world, "0"));
    end(&world);
}

Test(budget, rule_1_nobody_makes_way_for_nobody)
{
    struct world world;
    begin(&world);
    announce(&world, 0);
    pass_time(&world, 10 * STALL_MS);
    cr_assert(hold(&world, "0"));
    cr_assert_not(world.budget.timed);
    end(&world);
}

Test(budget, rules_2_and_3_one_has_a_slot_while_another_waits)
{
    struct world world;
    begin(&world);
    announce(&world, 0);
    announce(&world, 1);
    announce(&world, 2);
    pass_time(&world, SLOT_MS - 1);
    cr_assert(hold(&world, "0"));
    cr_assert(world.budget.timed);
    pass_time(&world, 1);
    cr_assert(hold(&world, "01")); /* the one beside the budget */
    cr_assert(world.senders[0].claim.late);
    cr_assert_eq(world.senders[0].passed_over, 0);
    end(&world);
}

Test(budget, rules_4_and_5_of_two_late_ones_the_sooner_is_aside)
{
    struct world world;
    begin(&world);
    announce(&world, 0);
    announce(&world, 1);
    pass_time(&world, SLOT_MS);
    announce(&world, 2);
    receive(&world, 0, SIZE / 2);
    receive(&world, 1, SIZE / 10);
    pass_time(&world, SLOT_MS);
    cr_assert(hold(&world, "02"));
    cr_assert_eq(world.senders[1].passed_over, 1);
    announce(&world, 3);
    finish(&world, 2);
    cr_assert(hold(&world, "03")); /* it has come after the late one, and is before it */
    finish(&world, 0);
    cr_assert(hold(&world, "13"));
    cr_assert_not(world.senders[0].claim.late);
    cr_assert_not(muster__claim_reserve(&world.senders[1].claim, 0));
    end(&world);
}

Test(budget, rule_6_late_ones_have_more_slots_each_time)
{
    struct world world;
    begin(&world);
    announce(&world, 0);
    announce(&world, 1);
    pass_time(&world, SLOT_MS);
    announce(&world, 2);
    pass_time(&world, SLOT_MS); /* one is late and waits, one is late and aside, one is in time */
    for (size_t i = 0; i < 8; i++) {
        struct sender *aside = &world.senders[world.senders[0].holds ? 0 : 1];
        unsigned slots = aside->claim.patience ? aside->claim.patience : 1;
        size_t passed_over = aside->passed_over;
        for (unsigned slot = 0; slot < slots; slot++) {
            cr_assert_eq(aside->passed_over, passed_over);
            receive(&world, 2, PROGRESS);
            pass_time(&world, SLOT_MS);
        }
        cr_assert_eq(aside->passed_over, passed_over + 1);
        cr_assert_eq(aside->claim.patience, 2 * slots);
    }
    cr_assert(world.senders[0].grants > 1 && world.senders[1].grants > 1); /* each has its turn */
    cr_assert_eq(world.senders[2].passed_over, 0);
    size_t aside = world.senders[0].holds ? 0 : 1;
    unsigned patience = world.senders[aside].claim.patience;
    finish(&world, aside);
    cr_assert_eq(world.senders[aside].claim.patience, patience / 2);
    end(&world);
}

Test(budget, rule_7_one_in_time_makes_way_for_late_ones_when_it_stands_still)
{
    struct world world;
    begin(&world);
    announce(&world, 0);
    announce(&world, 1);
    pass_time(&world, SLOT_MS);
    announce(&world, 2);
    pass_time(&world, SLOT_MS);
    for (size_t i = 0; i < 10; i++) {
        pass_time(&world, STALL_MS - 1);
        receive(&world, 2, PROGRESS);
    }
    receive(&world, 2, PROGRESS - 1); /* as good as nothing */
    pass_time(&world, STALL_MS - 1);
    cr_assert(world.senders[2].holds);
    pass_time(&world, 1);
    cr_assert_eq(world.senders[2].passed_over, 1);
    cr_assert(world.senders[2].claim.late);
    end(&world);
}

Test(budget, rules_3_and_8_the_slowest_makes_way_one_at_a_time)
{
    struct world world;
    begin(&world);
    world.budget.bytes = 2 * (uint64_t)SIZE;
    announce(&world, 0);
    announce(&world, 1);
    announce(&world, 2);
    announce(&world, 3);
    receive(&world, 0, SIZE / 2);
    receive(&world, 1, SIZE / 10);
    pass_time(&world, SLOT_MS);
    cr_assert(hold(&world, "012"));
    cr_assert(world.senders[1].claim.late);
    pass_time(&world, SLOT_MS - 1);
    cr_assert_not(world.senders[0].claim.late);
    pass_time(&world, 1);
    cr_assert(world.senders[0].claim.late || world.senders[2].claim.late);
    end(&world);
}

/* Where answers take their time, nobody is hurried; a few do not change what is usual. */
Test(budget, time_that_is_usual)
{
    struct budget budget = {0};
    struct claim claim = {0};
    muster__budget_init(&budget, 0, STALL_MS, NULL, NULL);
    muster__claim_init(&claim, &budget, NULL);
    for (size_t i = 0; i < 10; i++)
        muster__claim_whole(&claim, 20000);
    cr_assert_eq(budget.usual_ms, 20000);
    for (size_t i = 0; i < 100; i++) {
        muster__claim_whole(&claim, 20000);
        muster__claim_whole(&claim, 19000);
        muster__claim_whole(&claim, i % 2 ? 1000000 : 0);
        cr_assert_geq(budget.usual_ms, 9500);
        cr_assert_leq(budget.usual_ms, 40000);
    }
    for (size_t i = 0; i < 20; i++)
        muster__claim_whole(&claim, 0);
    cr_assert_eq(budget.usual_ms, SLOT_MS / 2);
    muster__budget_destroy(&budget);
}

static bool get_room(struct claim *claim, struct budget *budget)
{
    muster__claim_init(claim, budget, NULL);
    bool room = muster__claim_reserve(claim, HUGE);
    if (room)
        muster__claim_begin(claim, HUGE, 0);
    return room;
}

/* One that is aside and one that is worked on are two: the next one waits until the second is done with. */
Test(budget, big_one_that_is_aside_makes_no_third)
{
    struct budget budget = {0};
    struct claim slow = {0}, first = {0}, second = {0};
    muster__budget_init(&budget, 0, STALL_MS, NULL, NULL);
    cr_assert(get_room(&slow, &budget));
    budget.aside = &slow;
    cr_assert(get_room(&first, &budget));
    muster__claim_leave(&first);
    cr_assert_not(get_room(&second, &budget));
    muster__budget_returned(&budget, HUGE);
    cr_assert(get_room(&second, &budget));
    muster__claim_leave(&second);
    muster__claim_leave(&slow);
    muster__budget_destroy(&budget);
}
