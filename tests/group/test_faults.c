/* Members and coordinators that die, freeze or are cut off, at each point of a group's life. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "group/fleet.h"

#define FAULT_TEST(name) Test(faults, name, .timeout = 300)

enum { SIZE = 4 };

/* It names the rank, as lost, or as one that cannot be reached: whichever came first. */
static void expect_gone(const struct fleet_call *call, uint32_t rank)
{
    char name[32];
    snprintf(name, sizeof(name), "rank %u ('m%u')", (unsigned)rank, (unsigned)rank);
    cr_assert(call->status == MUSTER_GONE || call->status == MUSTER_UNAVAILABLE, "m%u, %d: %s: %s",
              (unsigned)call->number, (int)call->kind, muster_status_name(call->status), call->error.text);
    cr_assert(strstr(call->error.text, name) != NULL, "m%u, %d: %s", (unsigned)call->number, (int)call->kind,
              call->error.text);
    /* How a dial is named is nobody's business. */
    snprintf(name, sizeof(name), ": %u.", (unsigned)rank);
    cr_assert_null(strstr(call->error.text, name), "m%u, %d: %s", (unsigned)call->number, (int)call->kind,
                   call->error.text);
}

static void expect_ok(const struct fleet_call *call)
{
    cr_assert_eq(call->status, MUSTER_OK, "m%u, %d: %s", (unsigned)call->number, (int)call->kind,
                 call->error.text);
}

/* All that are alive do it, and it ends so. */
static void all_do(struct fleet *fleet, enum fleet_kind kind, uint32_t missing)
{
    size_t first = fleet->call_count;
    for (uint32_t i = 0; i < fleet->size; i++) {
        if (i != missing && fleet->members[i].group)
            fleet_call(fleet, i, kind, 0);
    }
    fleet_pass(fleet);
    for (size_t i = first; i < fleet->call_count; i++) {
        if (missing < SIZE && kind != FLEET_LEAVE)
            expect_gone(&fleet->calls[i], missing);
        else
            expect_ok(&fleet->calls[i]);
    }
}

/* All leave, and are no more. */
static void leave_well(struct fleet *fleet)
{
    all_do(fleet, FLEET_LEAVE, SIZE);
    fleet_end(fleet);
}

/* ---- a member dies, or freezes ---- */

enum point { BEFORE_CONTACT, SENDING, AT_THE_BARRIER, LEAVING, POINTS };

static uint32_t after(uint32_t rank, uint32_t steps)
{
    return (rank + steps) % SIZE;
}

/* Brings the group to that point of its life. */
static void come_to(struct fleet *fleet, enum point point, uint32_t victim)
{
    uint32_t last = after(victim, 1);
    if (point == SENDING) {
        fixture_unpump(fleet->fixture); /* what is sent is not to come whole before anybody looks */
        fleet_call(fleet, victim, FLEET_SEND_BIG, last);
        fleet_call(fleet, last, FLEET_RECEIVE, victim);
        fleet_call(fleet, after(victim, 2), FLEET_SEND_BIG, victim);
        fleet_pass_bytes(fleet, last, victim, FLEET_BIG / 2);
    }
    for (uint32_t i = 0; i < SIZE && point >= AT_THE_BARRIER; i++) {
        if (i != last)
            fleet_call(fleet, i, point == AT_THE_BARRIER ? FLEET_BARRIER : FLEET_LEAVE, 0);
    }
    fleet_await_calls(fleet);
    for (uint32_t i = 0; i < SIZE && point == LEAVING; i++) {
        if (i != last)
            fleet_pass_state(fleet, last, i, MUSTER_MEMBER_FINISHED);
    }
}

/* What follows, once the victim is gone. */
static void go_on_without(struct fleet *fleet, enum point point, uint32_t victim)
{
    uint32_t last = after(victim, 1);
    if (point == LEAVING) { /* that it is gone changes nothing */
        fleet_call(fleet, last, FLEET_LEAVE, 0);
        fleet_pass(fleet);
        for (size_t i = 0; i < fleet->call_count; i++) {
            if (fleet->calls[i].number != victim)
                expect_ok(&fleet->calls[i]);
        }
        return;
    }
    if (point == BEFORE_CONTACT) {
        fleet_call(fleet, last, FLEET_RECEIVE, victim);
        fleet_call(fleet, after(victim, 2), FLEET_SEND, victim);
        fleet_call(fleet, after(victim, 3), FLEET_SEND_BIG, victim);
    }
    fleet_pass(fleet);
    for (size_t i = 0; i < fleet->call_count; i++) {
        if (fleet->calls[i].number != victim)
            expect_gone(&fleet->calls[i], victim);
    }
    if (point == AT_THE_BARRIER) { /* the one that comes late hears the same */
        const struct fleet_call *late = fleet_call(fleet, last, FLEET_BARRIER, 0);
        fleet_pass(fleet);
        expect_gone(late, victim);
    }
}

/* Those that are left go on among themselves, and end well. */
static void end_without(struct fleet *fleet, enum point point, uint32_t victim)
{
    if (point != LEAVING) {
        fleet_meet(fleet, after(victim, 1), after(victim, 2));
        fleet_meet(fleet, after(victim, 3), after(victim, 1));
        all_do(fleet, FLEET_BARRIER, victim);
        all_do(fleet, FLEET_LEAVE, victim);
    }
    fleet_end(fleet);
}

/* The coordinator is not there to tell them. */
FAULT_TEST(who_is_gone_from_its_links_alone_is_named_to_all)
{
    for (uint32_t victim = 0; victim < SIZE; victim++) {
        struct fleet fleet;
        fleet_begin(&fleet, SIZE);
        all_do(&fleet, FLEET_BARRIER, SIZE);
        fleet_forget(&fleet);
        fleet_crash(&fleet);
        for (uint32_t i = 1; i < SIZE; i++)
            fleet_call(&fleet, after(victim, i), FLEET_BARRIER, 0);
        fleet_await_calls(&fleet);
        fleet_kill(&fleet, victim);
        fleet_pass(&fleet);
        for (size_t i = 0; i < SIZE - 1; i++)
            expect_gone(&fleet.calls[i], victim);
        fleet_end(&fleet);
    }
}

FAULT_TEST(a_member_that_is_killed_at_any_point_is_named)
{
    for (enum point point = 0; point < POINTS; point++) {
        for (uint32_t victim = 0; victim < SIZE; victim++) {
            struct fleet fleet;
            fleet_begin(&fleet, SIZE);
            come_to(&fleet, point, victim);
            fleet_kill(&fleet, victim);
            go_on_without(&fleet, point, victim);
            end_without(&fleet, point, victim);
        }
    }
}

FAULT_TEST(a_member_that_freezes_at_any_point_is_named)
{
    for (enum point point = 0; point < POINTS; point++) {
        for (uint32_t victim = 0; victim < SIZE; victim++) {
            struct fleet fleet;
            fleet_begin(&fleet, SIZE);
            come_to(&fleet, point, victim);
            fleet_freeze(&fleet, victim);
            go_on_without(&fleet, point, victim);
            end_without(&fleet, point, victim);
        }
    }
}

/* What come_to() has begun is done by all, and ends well, as does the rest. */
static void go_on_with_all(struct fleet *fleet, enum point point, uint32_t victim)
{
    uint32_t last = after(victim, 1);
    if (point == BEFORE_CONTACT)
        fleet_meet(fleet, victim, last);
    else if (point == SENDING)
        fleet_call(fleet, victim, FLEET_RECEIVE, after(victim, 2));
    else
        fleet_call(fleet, last, point == AT_THE_BARRIER ? FLEET_BARRIER : FLEET_LEAVE, 0);
    fleet_pass(fleet);
    for (size_t i = 0; i < fleet->call_count; i++)
        expect_ok(&fleet->calls[i]);
    if (point == LEAVING)
        return;
    cr_assert_eq(muster_group_epoch(fleet->members[last].group), 1);
    all_do(fleet, FLEET_BARRIER, SIZE);
}

/* Two members have something for each other; the connection breaks after so many events, and `again` later once more. Returns
 * false: they were done before it broke. */
static bool meet_over_a_bad_line(enum fleet_kind kind, size_t events, size_t again)
{
    struct fleet fleet;
    fleet_begin(&fleet, 2);
    fixture_unpump(fleet.fixture);
    for (uint32_t member = 0; member < 2; member++) {
        fleet_call(&fleet, member, kind, 1 - member);
        if (kind == FLEET_SEND)
            fleet_call(&fleet, member, FLEET_RECEIVE, 1 - member);
    }
    bool breaks = fleet_pass_events(&fleet, events);
    fleet_part(&fleet, 1);
    fleet_mend(&fleet);
    if (again) {
        fixture_unpump(fleet.fixture);
        fleet_pass_events(&fleet, again);
        fleet_part(&fleet, 1);
        fleet_mend(&fleet);
    }
    fleet_pass(&fleet);
    for (size_t i = 0; i < fleet.call_count; i++)
        expect_ok(&fleet.calls[i]);
    fleet_end(&fleet);
    return breaks;
}

FAULT_TEST(a_connection_that_breaks_at_any_point_is_not_missed)
{
    static const enum fleet_kind kinds[] = {FLEET_BARRIER, FLEET_SEND};
    static const size_t again[] = {0, 8, 10};
    for (size_t i = 0; i < 6; i++) {
        for (size_t events = 0; meet_over_a_bad_line(kinds[i % 2], events, again[i / 2]);)
            events++;
    }
}

FAULT_TEST(a_member_that_freezes_for_less_than_the_grace_is_not_missed)
{
    for (enum point point = 0; point < POINTS; point++) {
        for (uint32_t victim = 0; victim < SIZE; victim++) {
            struct fleet fleet;
            fleet_begin(&fleet, SIZE);
            come_to(&fleet, point, victim);
            fleet_freeze(&fleet, victim);
            fleet_pass_ms(&fleet, FLEET_GRACE_MS / 2);
            fleet_thaw(&fleet, victim);
            go_on_with_all(&fleet, point, victim);
            if (point == LEAVING)
                fleet_end(&fleet);
            else
                leave_well(&fleet);
        }
    }
}

/* It hears that it was lost, and is back. */
FAULT_TEST(a_member_that_was_frozen_for_longer_is_back)
{
    for (uint32_t victim = 0; victim < SIZE; victim++) {
        struct fleet fleet;
        uint32_t last = after(victim, 1);
        fleet_begin(&fleet, SIZE);
        fleet_meet(&fleet, victim, last);
        fleet_freeze(&fleet, victim);
        fleet_pass_state(&fleet, last, victim, MUSTER_MEMBER_LOST);
        fleet_thaw(&fleet, victim);
        fleet_forget(&fleet);
        fleet_pass_state(&fleet, last, victim, MUSTER_MEMBER_PRESENT);
        fleet_pass_ms(&fleet, 2 * FLEET_GRACE_MS); /* until it has given up its old links, too */
        for (uint32_t i = 1; i < SIZE; i++) {
            fleet_meet(&fleet, victim, after(victim, i));
            fleet_meet(&fleet, after(victim, i), victim);
        }
        all_do(&fleet, FLEET_BARRIER, SIZE);
        leave_well(&fleet);
    }
}

/* One that has left while nobody heard of it is lost, and hinders nobody from leaving. */
FAULT_TEST(a_member_that_is_cut_off_while_it_leaves_is_lost)
{
    struct fleet fleet;
    fleet_begin(&fleet, SIZE);
    fleet_part(&fleet, 1U << 2);
    struct fleet_call *call = fleet_call(&fleet, 2, FLEET_LEAVE, 0);
    call->frozen = true;
    for (uint32_t i = 0; i < SIZE; i++) {
        if (i != 2)
            fleet_call(&fleet, i, FLEET_LEAVE, 0);
    }
    fleet_pass(&fleet);
    for (size_t i = 1; i < fleet.call_count; i++)
        expect_ok(&fleet.calls[i]);
    cr_assert_not(atomic_load(&call->ended));
    fleet_end(&fleet);
}

/* ---- started again ---- */

FAULT_TEST(a_member_that_is_started_again_has_its_rank)
{
    for (uint32_t victim = 0; victim < SIZE; victim++) {
        struct fleet fleet;
        char name[16];
        fleet_begin(&fleet, SIZE);
        snprintf(name, sizeof(name), "m%u", (unsigned)victim);
        for (uint32_t i = 1; i < SIZE; i++)
            fleet_meet(&fleet, victim, after(victim, i));
        fleet_kill(&fleet, victim);
        fleet_join(&fleet, victim, name);
        cr_assert_eq(fleet_joined(&fleet, victim), MUSTER_OK, "%s", fleet.members[victim].error.text);
        cr_assert_eq(muster_group_rank(fleet.members[victim].group), victim);
        for (uint32_t i = 1; i < SIZE; i++) {
            fleet_pass_state(&fleet, after(victim, i), victim, MUSTER_MEMBER_PRESENT);
            fleet_meet(&fleet, after(victim, i), victim);
            fleet_meet(&fleet, victim, after(victim, i));
        }
        leave_well(&fleet);
    }
}

/* ---- before the quorum ---- */

static void name_of(uint32_t number, char name[16])
{
    snprintf(name, 16, "m%u", (unsigned)number);
}

/* All but the last register. */
static void gather(struct fleet *fleet, int64_t join_timeout_ms)
{
    char name[16];
    fleet_begin_empty(fleet, SIZE);
    for (uint32_t i = 0; i + 1 < SIZE; i++) {
        name_of(i, name);
        fleet->members[i].join_timeout_ms = join_timeout_ms;
        fleet_join(fleet, i, name);
        fleet_await_news(fleet, i + 1);
    }
}

/* Nobody comes instead. */
FAULT_TEST(each_hears_who_came_in_time)
{
    struct fleet fleet;
    gather(&fleet, FLEET_LONG_MS);
    fixture_advance(fleet.fixture, FLEET_LONG_MS);
    for (uint32_t i = 0; i + 1 < SIZE; i++) {
        AWAIT(atomic_load(&fleet.members[i].ended));
        cr_assert_eq(fleet_joined(&fleet, i), MUSTER_TIMEOUT);
        cr_assert_str_eq(fleet.members[i].error.text, "3 of 4 members came in time: 'm0', 'm1', 'm2'");
    }
    fleet_end(&fleet);
}

/* One that dies or freezes makes room for another, of another name. */
FAULT_TEST(a_member_that_is_gone_before_the_quorum_makes_room)
{
    for (uint32_t victim = 0; victim + 1 < SIZE; victim++) {
        struct fleet fleet;
        gather(&fleet, 20 * FLEET_GRACE_MS); /* much longer than a place is kept */
        fleet_part(&fleet, 1U << victim);
        fleet_join(&fleet, SIZE - 1, "ultimate");
        fleet_join(&fleet, SIZE, "other");
        for (uint32_t i = 0; i <= SIZE; i++) {
            if (i != victim)
                cr_assert_eq(fleet_joined(&fleet, i), MUSTER_OK, "%u %u %s", victim, i,
                             fleet.members[i].error.text);
        }
        fleet_mend(&fleet); /* its place is another's, and it waits for one in vain */
        cr_assert_eq(fleet_joined(&fleet, victim), MUSTER_TIMEOUT, "%s", fleet.members[victim].error.text);
        fleet_end(&fleet);
    }
}

FAULT_TEST(a_member_that_freezes_before_the_quorum_for_a_while_is_there)
{
    struct fleet fleet;
    gather(&fleet, FLEET_JOIN_MS);
    fleet_part(&fleet, 1);
    fleet_join(&fleet, SIZE - 1, "ultimate");
    fleet_pass_ms(&fleet, FLEET_GRACE_MS / 2);
    cr_assert_not(atomic_load(&fleet.members[1].ended));
    fleet_mend(&fleet);
    for (uint32_t i = 0; i < SIZE; i++) {
        cr_assert_eq(fleet_joined(&fleet, i), MUSTER_OK, "%s", fleet.members[i].error.text);
        cr_assert_eq(muster_group_rank(fleet.members[i].group), i);
    }
    fleet_end(&fleet);
}

/* ---- two halves ---- */

static void all_meet(struct fleet *fleet)
{
    for (uint32_t i = 0; i < SIZE; i++) {
        for (uint32_t other = 0; other < SIZE; other++) {
            if (i != other)
                fleet_meet(fleet, i, other);
        }
        fleet_forget(fleet);
    }
}

/* The coordinator is in the second half. */
#define HALF ((1U << 0) | (1U << 1))

FAULT_TEST(two_halves_for_less_than_the_grace_do_not_notice)
{
    struct fleet fleet;
    fleet_begin(&fleet, SIZE);
    all_meet(&fleet);
    fleet_part(&fleet, HALF);
    for (uint32_t i = 0; i < SIZE; i++)
        fleet_call(&fleet, i, FLEET_BARRIER, 0);
    fleet_call(&fleet, 0, FLEET_SEND_BIG, 3);
    fleet_call(&fleet, 3, FLEET_RECEIVE, 0);
    fleet_await_calls(&fleet);
    fleet_pass_ms(&fleet, FLEET_GRACE_MS / 2);
    fleet_mend(&fleet);
    fleet_pass(&fleet);
    for (size_t i = 0; i < fleet.call_count; i++)
        expect_ok(&fleet.calls[i]);
    fleet_forget(&fleet);
    cr_assert_eq(muster_group_epoch(fleet.members[0].group), 1);
    leave_well(&fleet);
}

FAULT_TEST(two_halves_for_more_than_the_grace_go_on_and_meet_again)
{
    struct fleet fleet;
    fleet_begin(&fleet, SIZE);
    all_meet(&fleet);
    fleet_part(&fleet, HALF);
    for (uint32_t i = 0; i < SIZE; i++)
        fleet_call(&fleet, i, FLEET_BARRIER, 0);
    fleet_call(&fleet, 0, FLEET_SEND, 3);
    fleet_call(&fleet, 2, FLEET_SEND_BIG, 1);
    fleet_pass(&fleet);
    for (size_t i = 0; i < fleet.call_count; i++) {
        const struct fleet_call *call = &fleet.calls[i];
        bool first_half = HALF & 1U << call->number;
        cr_assert_eq(call->status, MUSTER_GONE, "%s", call->error.text);
        cr_assert(strstr(call->error.text, first_half ? "rank 2 ('m2')" : "rank 0 ('m0')") ||
                      strstr(call->error.text, first_half ? "rank 3 ('m3')" : "rank 1 ('m1')"),
                  "%u: %s", (unsigned)call->number, call->error.text);
    }
    fleet_pass_state(&fleet, 2, 0, MUSTER_MEMBER_LOST);
    fleet_meet(&fleet, 0, 1);
    fleet_meet(&fleet, 2, 3);
    fleet_mend(&fleet);
    fleet_pass_state(&fleet, 2, 0, MUSTER_MEMBER_PRESENT);
    fleet_pass_state(&fleet, 3, 1, MUSTER_MEMBER_PRESENT);
    all_meet(&fleet);
    all_do(&fleet, FLEET_BARRIER, SIZE);
    leave_well(&fleet);
}

/* ---- names ---- */

FAULT_TEST(the_second_of_one_name_is_refused)
{
    struct fleet fleet;
    fleet_begin(&fleet, SIZE);
    fleet_join(&fleet, SIZE, "m2");
    cr_assert_eq(fleet_joined(&fleet, SIZE), MUSTER_EXISTS, "%s", fleet.members[SIZE].error.text);
    cr_assert(strstr(fleet.members[SIZE].error.text, "the name 'g:m2' is in use") != NULL, "%s",
              fleet.members[SIZE].error.text);
    all_do(&fleet, FLEET_BARRIER, SIZE);
    cr_assert_eq(muster_group_epoch(fleet.members[0].group), 1);
    leave_well(&fleet);
}

/* Its machine froze, and the coordinator does not know yet. When it thaws, the group has another of its name. */
FAULT_TEST(one_that_takes_the_name_of_a_frozen_one_waits_for_it)
{
    struct fleet fleet;
    fleet_begin(&fleet, SIZE);
    struct fleet_call *call = fleet_call(&fleet, 2, FLEET_RECEIVE, 0);
    call->frozen = true;
    fleet_hush(&fleet, 1U << 2);
    fleet_join(&fleet, SIZE, "m2");
    fleet_pass_ms(&fleet, FLEET_GRACE_MS);
    cr_assert_not(atomic_load(&fleet.members[SIZE].ended));
    fleet_drop_parted(&fleet);
    cr_assert_eq(fleet_joined(&fleet, SIZE), MUSTER_OK, "%s", fleet.members[SIZE].error.text);
    cr_assert_eq(muster_group_rank(fleet.members[SIZE].group), 2);
    fleet_thaw(&fleet, 2);
    fleet_pass(&fleet);
    cr_assert_eq(call->status, MUSTER_GONE, "%s", call->error.text);
    cr_assert(strstr(call->error.text, "this member is none of its group any more") != NULL, "%s",
              call->error.text);
    call = fleet_call(&fleet, 2, FLEET_SEND, 0);
    fleet_pass(&fleet);
    cr_assert_eq(call->status, MUSTER_GONE, "%s", call->error.text);
    fleet_end(&fleet);
}

FAULT_TEST(an_advertised_address_that_leads_nowhere_is_named_with_its_rank)
{
    struct fleet fleet;
    gather(&fleet, FLEET_JOIN_MS);
    fleet.members[SIZE - 1].advertise = "fixture:test/nowhere";
    fleet_join(&fleet, SIZE - 1, "ultimate");
    for (uint32_t i = 0; i < SIZE; i++)
        cr_assert_eq(fleet_joined(&fleet, i), MUSTER_OK, "%s", fleet.members[i].error.text);
    const struct fleet_call *call = fleet_call(&fleet, 0, FLEET_SEND, SIZE - 1);
    fleet_pass(&fleet);
    cr_assert_eq(call->status, MUSTER_UNAVAILABLE, "%s", call->error.text);
    cr_assert(strstr(call->error.text, "rank 3 ('ultimate') cannot be reached at fixture:test/nowhere") !=
                  NULL,
              "%s", call->error.text);
    fleet_meet(&fleet, SIZE - 1, 0); /* the other way it works */
    fleet_meet(&fleet, 0, SIZE - 1);
    leave_well(&fleet);
}

/* ---- the coordinator ---- */

FAULT_TEST(a_coordinator_that_is_started_again_is_not_missed)
{
    for (enum point point = 0; point < POINTS; point++) {
        struct fleet fleet;
        fleet_begin(&fleet, SIZE);
        come_to(&fleet, point, 1);
        fleet_crash(&fleet);
        fleet_coordinate(&fleet);
        fleet_pass_ms(&fleet, 2 * FLEET_GRACE_MS);
        go_on_with_all(&fleet, point, 1);
        if (point == LEAVING)
            fleet_end(&fleet);
        else
            leave_well(&fleet);
    }
}

/* Only to leave, members need it. */
FAULT_TEST(a_coordinator_that_is_dead_is_missed_by_those_who_leave)
{
    for (enum point point = 0; point < POINTS; point++) {
        struct fleet fleet;
        fleet_begin(&fleet, SIZE);
        fleet.limit_ms = point == LEAVING ? 20000 : FLEET_LONG_MS;
        come_to(&fleet, point, 1);
        fleet_crash(&fleet);
        fleet_pass_ms(&fleet, 2 * FLEET_GRACE_MS);
        if (point != LEAVING) {
            go_on_with_all(&fleet, point, 1);
            fleet_forget(&fleet);
        }
        for (uint32_t i = 0; i < SIZE; i++) {
            fleet.limit_ms = 20000;
            if (point != LEAVING || i == 2)
                fleet_call(&fleet, i, FLEET_LEAVE, 0);
        }
        fleet_pass(&fleet);
        for (size_t i = 0; i < fleet.call_count; i++) {
            const struct fleet_call *call = &fleet.calls[i];
            cr_assert_eq(call->status, MUSTER_TIMEOUT, "%s", call->error.text);
            cr_assert(strstr(call->error.text, "have not finished within 20000 ms, first rank") != NULL, "%s",
                      call->error.text);
        }
        fleet_end(&fleet);
    }
}

FAULT_TEST(a_coordinator_that_dies_before_the_quorum)
{
    for (unsigned again = 0; again < 2; again++) {
        struct fleet fleet;
        gather(&fleet, again ? FLEET_JOIN_MS : 60000);
        fleet_crash(&fleet);
        if (again) {
            fleet_coordinate(&fleet);
            fleet_join(&fleet, SIZE - 1, "ultimate");
        }
        for (uint32_t i = 0; i < SIZE - 1 + again; i++) {
            enum muster_status status = fleet_joined(&fleet, i);
            cr_assert(again ? status == MUSTER_OK : status == MUSTER_TIMEOUT, "%s: %s",
                      muster_status_name(status), fleet.members[i].error.text);
        }
        fleet_end(&fleet);
    }
}

/* It has lost all of them, and forgotten the group: they hear so when they reach it again. */
FAULT_TEST(a_coordinator_that_was_cut_off_from_all_has_forgotten_them)
{
    struct fleet fleet;
    fleet_begin(&fleet, SIZE);
    fleet_part(&fleet, (1U << SIZE) - 1);
    cr_assert_eq(muster_coordinator_wait(fleet.coordinator, "g", 0, NULL), MUSTER_TIMEOUT);
    fleet_pass_ms(&fleet, 2 * FLEET_GRACE_MS);
    cr_assert_eq(muster_coordinator_wait(fleet.coordinator, "g", 0, NULL), MUSTER_OK);
    all_do(&fleet, FLEET_BARRIER, SIZE);
    fleet_forget(&fleet);
    fleet_mend(&fleet);
    for (uint32_t i = 0; i < SIZE; i++)
        fleet_call(&fleet, i, FLEET_RECEIVE, after(i, 1));
    fleet_pass(&fleet);
    for (uint32_t i = 0; i < SIZE; i++) {
        cr_assert_eq(fleet.calls[i].status, MUSTER_GONE, "%s", fleet.calls[i].error.text);
        cr_assert(strstr(fleet.calls[i].error.text, "the coordinator has forgotten the group") != NULL, "%s",
                  fleet.calls[i].error.text);
    }
    fleet_end(&fleet);
}
