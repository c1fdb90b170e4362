/*
 * The group state machine: a coordinator and three members over the fixture. The input is a program: what members call,
 * when messages are delivered and time passes, which connections break, which processes end and are started again, and
 * where memory is out. One member may lie: what it says in batches is what the input has.
 *
 * Whatever happens,
 * - a call ends by its limit, with a status that group.h has for it, and a text that names who was missing;
 * - a message comes to whom it was sent, as it was sent, in its order and at most once; one whose sender was told that it has
 *   come is there;
 * - what is fetched is what was published;
 * - a collective operation that ends well has the right values;
 * - what members hold for others is within their budgets, and nothing is left at the end.
 */
#include <config.h>

#include <string.h>
#include <sys/random.h>

#include "fuzz/group_world.h"
#include "fuzz/links.h"

struct world world;

int64_t now(void)
{
    return world.network->ops->now(world.network);
}

bool is_true(uint32_t rank)
{
    return !world.lies || rank != LIAR;
}

/* ---- what is in the place of the library's and C's ---- */

ssize_t __wrap_getrandom(void *to, size_t size, unsigned flags);
void *__wrap_malloc(size_t size);
void *__real_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__real_realloc(void *old, size_t size);
void __wrap_muster__outbox_speak(struct outbox *outbox, struct speech *speech);
void __real_muster__outbox_speak(struct outbox *outbox, struct speech *speech);

ssize_t __wrap_getrandom(void *to, size_t size, unsigned flags)
{
    (void)flags;
    for (size_t i = 0; i < size; i++) {
        world.random = world.random * 6364136223846793005U + 1442695040888963407U;
        ((uint8_t *)to)[i] = (uint8_t)(world.random >> 56);
    }
    return (ssize_t)size;
}

static bool fails(void)
{
    return world.fails && --world.fails == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

void __wrap_muster__outbox_speak(struct outbox *outbox, struct speech *speech)
{
    const struct link *link = CONTAINER(outbox, struct link, outbox);
    __real_muster__outbox_speak(outbox, speech);
    if (!world.lie.left || link->group != world.members[LIAR].group || world.told_count == LIES_MAX)
        return;
    Muster__Group__Batch *lie = muster__group__batch__unpack(NULL, world.lie.left, world.lie.at);
    world.lie.left = 0;
    if (!lie)
        return;
    speech->batch = *lie;
    world.told[world.told_count++] = lie;
}

/* Nobody waits in the pump, and nobody beyond its limit. */
void call_waits(struct call *call)
{
    enum { WAITS_MAX = 200000, LATE_MAX = 2000 };
    CHECK(++world.waits < WAITS_MAX);
    CHECK(now() < call->deadline || ++call->late < LATE_MAX);
    for (uint32_t rank = 0; rank < MEMBERS; rank++) {
        const struct muster_group *group = world.members[rank].group;
        for (uint32_t i = 0; group && i < MEMBERS; i++)
            CHECK(!group->links[i].pumping);
    }
}

/* ---- processes ---- */

static void member_start(struct call *call)
{
    static const char *const names[MEMBERS] = {"m0", "m1", "m2"};
    static const char *const addresses[] = {NULL, NULL, "fixture:test/none", "none"};
    struct member *member = &world.members[call->rank];
    struct muster_group_options options;
    muster_group_options_init(&options);
    options.group = "g";
    options.name = names[call->rank];
    options.members = MEMBERS;
    options.advertise = addresses[call->how & 3];
    options.eager_size = 1000;
    options.eager_budget = 6000;
    options.grace_ms = GRACE_MS;
    options.join_timeout_ms = 20000;
    options.on_warning = NULL;
    *member = (struct member){.calls = 1};
    struct muster_group *group;
    enum muster_status status = muster_group_join("fixture:test/coordinator", &options, &group, &call->error);
    CHECK(status == MUSTER_OK || *call->error.text);
    if (group && muster_group_rank(group) != call->rank) {
        /* All others were lost, too: the group is over, and this is another one. */
        muster_group_free(group);
        group = NULL;
    }
    member->group = group;
    member->calls = 0;
}

static void member_end(struct call *call)
{
    struct member *member = &world.members[call->rank];
    struct muster_group *group = member->group;
    CHECK(!member->calls && !group->inbox.receives && !group->waiting);
    if (is_true(call->rank))
        check_kept(call->rank);
    member->group = NULL; /* nobody calls it any more */
    member->calls = 1;
    muster_group_free(group);
    member->calls = 0;
}

static void coordinator_end(struct call *call)
{
    (void)call;
    muster_coordinator_free(world.coordinator);
}

static bool all_are_there(void)
{
    return world.members[0].group && world.members[1].group && world.members[2].group;
}

/* One at a time is not there: so the group goes on. */
static void process_event(uint32_t rank, uint8_t how)
{
    struct member *member = &world.members[rank];
    if (member->group && how >= 0xf0)
        muster_group_close(member->group);
    else if (all_are_there() && !member->calls)
        calls_start(member_end, rank, 0, 0);
    else if (!member->group && !member->calls) {
        world.restarted = true;
        calls_start(member_start, rank, 0, how);
    }
}

/* ---- what happens ---- */

static void network_event(uint8_t which, uint8_t how)
{
    switch (which % 7) {
    case 0:
        muster_fixture_drop(world.network, how);
        break;
    case 1:
        muster_fixture_half_close(world.network, how);
        break;
    case 2:
        muster_fixture_fail_send(world.network, how & 15);
        break;
    case 3:
        muster_fixture_refuse(world.network, how & 1);
        muster_fixture_lose(world.network, how & 2);
        break;
    case 4:
        muster_fixture_delay(world.network, how & 63);
        break;
    case 5:
        world.paused = how & 7;
        break;
    case 6:
        world.fails = how;
        break;
    }
}

static void member_event(uint8_t what, uint8_t who, uint8_t how)
{
    static call_function *const functions[] = {send_to,       send_to,       send_to, receive_from,
                                               receive_from,  exchange,      publish, fetch,
                                               work_together, work_together, leave};
    uint32_t rank = who % MEMBERS, peer = (rank + 1 + who / MEMBERS % 2) % MEMBERS;
    if (world.members[rank].group)
        calls_start(functions[what], rank, who == 15 ? MEMBERS : peer, how);
}

static void happen(void)
{
    uint8_t what = take_byte(&world.input), who = what >> 4;
    switch (what & 15) {
    case 11:
        process_event(who % MEMBERS, take_byte(&world.input));
        break;
    case 12:
        network_event(who, take_byte(&world.input));
        break;
    case 13:
        for (size_t i = 0; i <= who; i++)
            muster_fixture_step(world.network);
        break;
    case 14:
        muster_fixture_advance(world.network, (int64_t)50 * (who + 1));
        muster_fixture_settle(world.network);
        break;
    case 15:
        world.lie = take_bytes(&world.input, take_byte(&world.input));
        world.lie.left *= world.lies;
        break;
    default:
        member_event(what & 15, who, take_byte(&world.input));
        break;
    }
    for (uint32_t rank = 0; rank < MEMBERS; rank++) {
        if (world.members[rank].group)
            links_check(world.members[rank].group);
    }
}

/* A call goes on, or what the input says happens, or else time passes. */
static void go_on(void)
{
    enum { STEP_MS = 50 };
    if (calls_go_on(world.paused))
        return;
    if (world.input.left)
        happen();
    else if (!muster_fixture_step(world.network))
        muster_fixture_advance(world.network, STEP_MS);
}

static void finish_calls(void)
{
    while (calls_left())
        go_on();
}

/* ---- beginning and end ---- */

static void world_begin(void)
{
    struct muster_coordinator_options options;
    memset(&world, 0, sizeof(world));
    world.network = muster_fixture_new("test");
    CHECK(world.network);
    muster_coordinator_options_init(&options);
    options.listen = "fixture:test/coordinator";
    options.grace_ms = GRACE_MS;
    options.on_warning = NULL;
    CHECK(muster_coordinator_start(&options, &world.coordinator, NULL) == MUSTER_OK);
    for (uint32_t rank = 0; rank < MEMBERS; rank++) {
        calls_start(member_start, rank, 0, 0);
        muster_fixture_settle(world.network);
    }
    finish_calls();
    CHECK(all_are_there());
}

static void world_end(void)
{
    world.paused = world.fails = 0;
    muster_fixture_lose(world.network, false);
    muster_fixture_refuse(world.network, false);
    muster_fixture_fail_send(world.network, 0);
    finish_calls();
    for (uint32_t rank = 0; rank < MEMBERS; rank++) {
        if (world.members[rank].group)
            calls_start(member_end, rank, 0, 0);
    }
    finish_calls();
    calls_start(coordinator_end, 0, 0, 0);
    finish_calls();
    muster_fixture_advance(world.network, 1000);
    muster_fixture_settle(world.network);
    muster_fixture_free(world.network);
    for (size_t i = 0; i < world.told_count; i++)
        muster__group__batch__free_unpacked(world.told[i], NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { LONGEST = 1024 };
    struct input input = {data, size < LONGEST ? size : LONGEST};
    world_begin();
    world.lies = take_byte(&input) & 1;
    world.input = input;
    while (world.input.left)
        go_on();
    world_end();
    return 0;
}
