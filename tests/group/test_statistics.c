/* What a member can be asked of its group: links, traffic, who waits for whom. */
#include <config.h>

#include <string.h>

#include "group/company.h"
#include "group/over.h"

#define SMALL 100
#define BIG   ((size_t)1 << 18)

static struct muster_group_statistics statistics_of(struct muster_group *group)
{
    struct muster_group_statistics statistics;
    muster_group_get_statistics(group, &statistics);
    cr_assert_eq(statistics.size, sizeof(statistics));
    return statistics;
}

/* Its texts are gone. */
static struct muster_group_peer peer_of(struct muster_group *group, uint32_t rank)
{
    struct muster_group_peer *peers = muster_group_get_peers(group, NULL), peer = peers[rank];
    cr_assert_eq(peer.size, sizeof(peer));
    cr_assert_eq(peer.rank, rank);
    free(peers);
    peer.name = peer.address = NULL;
    return peer;
}

static bool find_wait(struct muster_group *group, enum muster_group_call call, uint32_t rank,
                      struct muster_group_wait *wait)
{
    struct muster_group_wait waits[COMPANY_MAX];
    size_t count = muster_group_get_waits(group, waits, COMPANY_MAX, sizeof(*waits));
    for (size_t i = 0; i < count; i++) {
        *wait = waits[i];
        if (wait->call == call && wait->rank == rank)
            return true;
    }
    return false;
}

/* Until somebody waits like that. */
static struct muster_group_wait await_wait(struct muster_group *group, enum muster_group_call call,
                                           uint32_t rank)
{
    struct muster_group_wait wait;
    AWAIT(find_wait(group, call, rank, &wait));
    return wait;
}

static void meet(struct company *company, uint32_t from, uint32_t to)
{
    struct muster_error error = {MUSTER_OK, ""};
    cr_assert_eq(send_numbers(company->groups[from], to, 1, SMALL, 1, LONG_MS, &error), MUSTER_OK, "%s",
                 error.text);
    expect_numbers(company->groups[to], from, 1, SMALL, 1);
}

COMPANY_TEST(statistics, names)
{
    cr_assert_str_eq(muster_member_state_name(MUSTER_MEMBER_LOST), "lost");
    cr_assert_str_eq(muster_group_call_name(MUSTER_CALL_ALL_REDUCE), "all_reduce");
    cr_assert_str_eq(muster_group_call_name(MUSTER_CALL_LEAVE), "leave");
    cr_assert_str_eq(muster_link_state_name(MUSTER_LINK_AWAY), "away");
    cr_assert_str_eq(muster_link_state_name((enum muster_link_state)99), "unknown");
}

COMPANY_TEST(statistics, both_ends_of_a_link_say_the_same)
{
    struct company company;
    company_begin(&company, 3, OVER, NULL);
    struct muster_group_statistics before = statistics_of(company.groups[0]);
    cr_assert_eq(before.members, 3);
    cr_assert_eq(before.present, 3);
    cr_assert_eq(before.lost + before.finished + before.links, 0);
    cr_assert_eq(before.traffic.bytes_sent, 0);
    cr_assert_eq(peer_of(company.groups[0], 1).link, MUSTER_LINK_NONE);
    cr_assert_eq(peer_of(company.groups[0], 1).heard_ms, -1);
    meet(&company, 0, 1);
    meet(&company, 1, 0);
    struct muster_group_peer one = peer_of(company.groups[0], 1), other = peer_of(company.groups[1], 0);
    cr_assert_eq(one.link, MUSTER_LINK_OPEN);
    cr_assert_eq(other.link, MUSTER_LINK_OPEN);
    cr_assert_neq(one.dialled, other.dialled);
    cr_assert_geq(one.heard_ms, 0);
    cr_assert_geq(one.traffic.payload_sent, SMALL * sizeof(float));
    cr_assert_geq(one.traffic.bytes_sent, one.traffic.payload_sent);
    cr_assert_geq(other.traffic.payload_received, SMALL * sizeof(float));
    cr_assert_eq(peer_of(company.groups[0], 2).link, MUSTER_LINK_NONE);
    cr_assert_eq(peer_of(company.groups[2], 0).traffic.bytes_received, 0);
    struct muster_group_statistics after = statistics_of(company.groups[0]);
    cr_assert_eq(after.links, 1);
    cr_assert_geq(after.traffic.payload_sent, one.traffic.payload_sent);
    struct muster_group_peer *peers = muster_group_get_peers(company.groups[0], &after.epoch);
    struct muster_member *roster = muster_group_roster(company.groups[0], NULL);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_str_eq(peers[i].name, roster[i].name);
        cr_assert_str_eq(peers[i].address, roster[i].address);
        cr_assert_eq(peers[i].incarnation, roster[i].incarnation);
    }
    cr_assert_eq(peers[0].link, MUSTER_LINK_NONE);
    cr_assert_eq(after.epoch, muster_group_epoch(company.groups[0]));
    free(peers);
    free(roster);
    company_end(&company);
}

struct receiving {
    struct side side;
    struct muster_group *group;
    uint32_t from, tag;
};

static void receive(void *context)
{
    struct receiving *receiving = context;
    struct muster_message message;
    muster_group_receive(receiving->group, receiving->from, receiving->tag, LONG_MS, &message, NULL, NULL,
                         NULL);
    muster_message_clear(&message);
}

COMPANY_TEST(statistics, whom_a_receive_waits_for)
{
    struct company company;
    struct receiving receiving, any;
    struct muster_error error;
    company_begin(&company, 3, OVER, NULL);
    receiving = (struct receiving){.group = company.groups[0], .from = 2, .tag = 7};
    any = (struct receiving){.group = company.groups[0], .from = MUSTER_ANY_RANK, .tag = MUSTER_ANY_TAG};
    side_begin(&receiving.side, receive, &receiving);
    struct muster_group_wait wait = await_wait(company.groups[0], MUSTER_CALL_RECEIVE, 2);
    cr_assert_eq(wait.size, sizeof(wait));
    cr_assert_eq(wait.tag, 7);
    cr_assert(wait.waiting_ms >= 0 && wait.left_ms > 0 && wait.left_ms <= LONG_MS);
    cr_assert_eq(peer_of(company.groups[0], 2).waits, MUSTER_CALL_RECEIVE);
    cr_assert_eq(peer_of(company.groups[0], 1).waits, MUSTER_CALL_NONE);
    side_begin(&any.side, receive, &any);
    cr_assert_eq(await_wait(company.groups[0], MUSTER_CALL_RECEIVE, MUSTER_ANY_RANK).tag, MUSTER_ANY_TAG);
    cr_assert_eq(statistics_of(company.groups[0]).waits, 2);
    cr_assert_eq(muster_group_get_waits(company.groups[0], NULL, 0, sizeof(wait)), 2);
    cr_assert_eq(send_numbers(company.groups[2], 0, 7, SMALL, 1, LONG_MS, &error), MUSTER_OK);
    side_end(&receiving.side);
    cr_assert_eq(peer_of(company.groups[0], 2).waits, MUSTER_CALL_NONE);
    cr_assert_eq(send_numbers(company.groups[1], 0, 8, SMALL, 1, LONG_MS, &error), MUSTER_OK);
    side_end(&any.side);
    cr_assert_eq(statistics_of(company.groups[0]).waits, 0);
    company_end(&company);
}

static void be_there(void *context)
{
    muster_group_barrier(context, LONG_MS, NULL);
}

static void leave(void *context)
{
    muster_group_leave(context, LONG_MS, NULL);
}

COMPANY_TEST(statistics, whom_a_barrier_and_a_leave_wait_for)
{
    struct company company;
    struct side sides[2];
    company_begin(&company, 3, OVER, NULL);
    side_begin(&sides[0], be_there, company.groups[0]);
    side_begin(&sides[1], be_there, company.groups[1]);
    struct muster_group_wait wait = await_wait(company.groups[0], MUSTER_CALL_BARRIER, 2);
    cr_assert_eq(wait.tag, 0);
    cr_assert_eq(await_wait(company.groups[1], MUSTER_CALL_BARRIER, 0).call, MUSTER_CALL_BARRIER);
    cr_assert_eq(statistics_of(company.groups[0]).collectives, 1);
    be_there(company.groups[2]);
    for (size_t i = 0; i < 2; i++)
        side_end(&sides[i]);
    side_begin(&sides[0], leave, company.groups[0]);
    await_wait(company.groups[0], MUSTER_CALL_LEAVE, 1);
    await_wait(company.groups[0], MUSTER_CALL_LEAVE, 2);
    side_begin(&sides[1], leave, company.groups[1]);
    leave(company.groups[2]);
    for (size_t i = 0; i < 2; i++)
        side_end(&sides[i]);
    cr_assert_eq(statistics_of(company.groups[0]).finished, 3);
    cr_assert_eq(statistics_of(company.groups[0]).waits, 0);
    company_end(&company);
}

COMPANY_TEST(statistics, what_came_and_was_not_received)
{
    struct company company;
    struct muster_error error;
    struct sending sending;
    company_begin(&company, 2, OVER, NULL);
    cr_assert_eq(send_numbers(company.groups[0], 1, 1, SMALL, 1, LONG_MS, &error), MUSTER_OK);
    struct muster_group_statistics statistics = statistics_of(company.groups[1]);
    cr_assert_geq(statistics.eager_bytes, SMALL * sizeof(float));
    cr_assert_eq(statistics.eager_budget, company_options().eager_budget);
    expect_numbers(company.groups[1], 0, 1, SMALL, 1);
    cr_assert_eq(statistics_of(company.groups[1]).eager_bytes, 0);
    sending_begin(&sending, company.groups[0], 1, 2, BIG, 2);
    AWAIT(peer_of(company.groups[1], 0).offers == 1);
    cr_assert_eq(await_wait(company.groups[0], MUSTER_CALL_SEND, 1).left_ms, MUSTER_NO_LIMIT);
    expect_numbers(company.groups[1], 0, 2, BIG, 2);
    cr_assert_eq(sending_end(&sending), MUSTER_OK);
    cr_assert_eq(peer_of(company.groups[1], 0).offers, 0);
    company_end(&company);
}

static void publish(struct muster_group *group, uint64_t version)
{
    struct muster_array array;
    float data[SMALL];
    struct muster_message message = make_numbers(&array, data, SMALL, 1);
    cr_assert_eq(muster_group_publish(group, version, &message, NULL), MUSTER_OK);
}

static void fetch(void *context)
{
    struct muster_message message;
    muster_group_fetch(context, 0, 5, LONG_MS, &message, NULL, NULL);
    muster_message_clear(&message);
}

COMPANY_TEST(statistics, versions)
{
    struct company company;
    struct side side;
    company_begin(&company, 2, OVER, NULL);
    cr_assert_not(statistics_of(company.groups[0]).published);
    publish(company.groups[0], 4);
    side_begin(&side, fetch, company.groups[1]);
    cr_assert_eq(await_wait(company.groups[1], MUSTER_CALL_FETCH, 0).tag, 5);
    AWAIT(peer_of(company.groups[0], 1).fetches == 1);
    cr_assert_not(peer_of(company.groups[1], 0).fetched);
    publish(company.groups[0], 6);
    side_end(&side);
    struct muster_group_peer peer = peer_of(company.groups[1], 0);
    cr_assert(peer.fetched && peer.version == 6);
    cr_assert_eq(peer_of(company.groups[0], 1).fetches, 0);
    cr_assert_eq(statistics_of(company.groups[0]).version, 6);
    company_end(&company);
}

/* A counter that goes down would be taken for a restart. */
COMPANY_TEST(statistics, traffic_never_goes_down)
{
    struct company company;
    struct muster_traffic last = {0}, traffic;
    company_begin(&company, 2, OVER, NULL);
    for (unsigned i = 0; i < 4; i++) {
        meet(&company, i % 2, 1 - i % 2);
        muster_group_get_traffic(company.groups[0], 1, &traffic, NULL);
        cr_assert_gt(traffic.bytes_sent + traffic.bytes_received, last.bytes_sent + last.bytes_received);
        last = traffic;
        company_kill(&company, 1);
        for (unsigned j = 0; j < 100; j++) {
            muster_group_get_traffic(company.groups[0], 1, &traffic, NULL);
            cr_assert_geq(traffic.bytes_sent, last.bytes_sent);
            cr_assert_geq(traffic.bytes_received, last.bytes_received);
            cr_assert_geq(traffic.payload_sent, last.payload_sent);
            last = traffic;
        }
        company_restart(&company, 1, NULL);
        AWAIT(peer_of(company.groups[0], 1).link == MUSTER_LINK_NONE);
    }
    company_set_state(&company, 1, MUSTER_MEMBER_LOST);
    cr_assert_eq(statistics_of(company.groups[0]).lost, 1);
    cr_assert_eq(statistics_of(company.groups[0]).present, 1);
    cr_assert_eq(peer_of(company.groups[0], 1).state, MUSTER_MEMBER_LOST);
    company_end(&company);
}

/* Built against an older header, and against a later one. */
COMPANY_TEST(statistics, structs_grow_at_their_end)
{
    struct company company;
    struct later {
        struct muster_group_peer peer;
        uint64_t more[4];
    } * later;
    struct {
        size_t size;
        uint32_t rank;
        uint32_t members;
        uint64_t untouched;
    } earlier = {.untouched = 77};
    company_begin(&company, 2, OVER, NULL);
    muster_group_get_statistics_sized(company.groups[1], (struct muster_group_statistics *)(void *)&earlier,
                                      offsetof(struct muster_group_statistics, epoch));
    cr_assert_eq(earlier.rank, 1);
    cr_assert_eq(earlier.members, 2);
    cr_assert_eq(earlier.untouched, 77);
    later = (struct later *)(void *)muster_group_get_peers_sized(company.groups[1], NULL, sizeof(*later));
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert_eq(later[i].peer.rank, i);
        cr_assert_eq(later[i].peer.name[1], '0' + (char)i);
        cr_assert_eq(later[i].more[3], 0);
    }
    free(later);
    company_end(&company);
}
