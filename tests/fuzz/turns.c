/* The turn state machine: the input is a sequence of events. */
#include <config.h>

#include "fuzz/turns_world.h"

static void proxy_event(struct input *input)
{
    uint8_t how = take_byte(input);
    struct proxy *proxy = choose_proxy(take_byte(input));
    if (!proxy)
        return;
    switch (how % 8) {
    case 0:
        proxy_close(proxy);
        break;
    case 1:
        proxy_reconnect_in(proxy, how >> 5, NULL);
        break;
    case 2:
        proxy_release(world.held[how >> 3 & 7]);
        world.held[how >> 3 & 7] = proxy_retain(proxy);
        break;
    case 4:
        proxy_refuse(proxy, REASON, NULL);
        break;
    default:
        proxy_cancel(proxy);
        break;
    }
    (void)proxy_transfer(proxy);
    CHECK(proxy_name(proxy) && proxy_peer(proxy));
    (void)proxy_progress(proxy);
    struct muster_message report;
    proxy_report(proxy, &report);
    CHECK(report.scalar_count + report.value_count <= MUSTER_REPORT_NUMBERS_MAX);
    muster_message_clear(&report);
    (void)proxy_asked(proxy);
    proxy_release(proxy);
}

static void turn_event(struct input *input)
{
    static const enum muster_kind kinds[] = {MUSTER_TRAIN, MUSTER_TRAIN, MUSTER_EVALUATE, MUSTER_APPLICATION};
    uint8_t how = take_byte(input);
    uint8_t choice = take_byte(input);
    enum muster_kind kind = kinds[how & 3];
    unsigned size_class = how >> 2 & 3;
    int64_t limit_ms = how & 16 ? MUSTER_NO_LIMIT : 100 * take_byte(input);
    if (how & 32) {
        if (!world.depth)
            run_round(kind, size_class, limit_ms < 0 ? 3000 : limit_ms, how >> 7);
        return;
    }
    struct proxy *proxy = choose_proxy(choice);
    if (proxy)
        begin_turn(proxy, kind, size_class, limit_ms, how >> 6);
    proxy_release(proxy);
}

static void network_event(struct input *input)
{
    uint8_t how = take_byte(input);
    switch (how % 6) {
    case 0:
        muster_fixture_drop(world.network, take_byte(input));
        break;
    case 1:
        muster_fixture_half_close(world.network, take_byte(input));
        break;
    case 2:
        muster_fixture_fail_send(world.network, how / 6);
        break;
    case 3:
        muster_fixture_refuse(world.network, how & 8);
        break;
    case 4:
        muster_fixture_lose(world.network, how & 8);
        break;
    case 5:
        muster_fixture_delay(world.network, how & 8 ? 0 : how);
        break;
    }
}

void do_event(void)
{
    struct input *input = &world.input;
    uint8_t what = take_byte(input);
    size_t which = what >> 4;
    switch (what & 15) {
    case 0:
    case 1:
        for (size_t i = 0; i < which + 1; i++)
            muster_fixture_step(world.network);
        break;
    case 2:
        muster_fixture_settle(world.network);
        break;
    case 3:
        muster_fixture_advance(world.network, (int64_t)50 * (int64_t)(which + 1));
        muster_fixture_settle(world.network);
        break;
    case 4:
        peer_connect(&world.clients[which % PEERS], which >= PEERS);
        break;
    case 5:
    case 6:
    case 7:
        peer_event(&world.clients[which % PEERS], input);
        break;
    case 8:
        peer_event(&world.servers[which % PEERS], input);
        break;
    case 9:
    case 10:
        member_event(&world.members[WITH_MANAGER], input);
        break;
    case 11:
        member_event(&world.members[WITH_RAW], input);
        break;
    case 12:
    case 13:
        turn_event(input);
        break;
    case 14:
        proxy_event(input);
        break;
    case 15:
        if (which == 15)
            participant_manager_close(world.manager);
        else
            network_event(input);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { LONGEST = 4096 };
    world_begin((struct input){data, size < LONGEST ? size : LONGEST});
    while (world.input.left)
        do_event();
    world_end();
    return 0;
}
