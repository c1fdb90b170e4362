/* A coordinator and members on hosts of their own. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "group/fleet.h"
#include "group/internal.h"

enum { STEP_MS = 20 };

#define COORDINATOR_HOST "coordinator"

/* ---- hosts: who connects says whence ---- */

enum muster_status __real_participant_start(const char *address, const struct participant_options *options,
                                            struct participant **participant, struct muster_error *error);
enum muster_status __wrap_participant_start(const char *address, const struct participant_options *options,
                                            struct participant **participant, struct muster_error *error);

enum muster_status __wrap_participant_start(const char *address, const struct participant_options *options,
                                            struct participant **participant, struct muster_error *error)
{
    char whence[128];
    const char *colon = options->name ? strchr(options->name, ':') : NULL;
    if (strchr(address, '<'))
        snprintf(whence, sizeof(whence), "%s", address);
    else if (colon)
        snprintf(whence, sizeof(whence), "%s<%s", address, colon + 1);
    else
        snprintf(whence, sizeof(whence), "%s<m%s", address, options->labels[0].value);
    return __real_participant_start(whence, options, participant, error);
}

/* ---- the coordinator ---- */

static void take_news(void *context, const struct muster_coordinator_event *event)
{
    struct fleet *fleet = context;
    (void)event;
    pthread_mutex_lock(&fleet->lock);
    fleet->news++;
    pthread_cond_broadcast(&fleet->changed);
    pthread_mutex_unlock(&fleet->lock);
}

void fleet_await_news(struct fleet *fleet, size_t news)
{
    pthread_mutex_lock(&fleet->lock);
    while (fleet->news < news)
        pthread_cond_wait(&fleet->changed, &fleet->lock);
    pthread_mutex_unlock(&fleet->lock);
}

void fleet_coordinate(struct fleet *fleet)
{
    struct muster_error error = {MUSTER_OK, ""};
    struct muster_coordinator_options options;
    muster_coordinator_options_init(&options);
    options.listen = "fixture:test/" COORDINATOR_HOST;
    options.file = fleet->file;
    options.grace_ms = FLEET_GRACE_MS;
    options.on_event = take_news;
    options.on_warning = NULL;
    options.context = fleet;
    cr_assert_eq(muster_coordinator_start(&options, &fleet->coordinator, &error), MUSTER_OK, "%s",
                 error.text);
}

/* ---- time ---- */

/* What is due, and what others do then: time passes when nobody has anything left to do. */
static void step(struct fleet *fleet, int64_t milliseconds)
{
    unsigned yields = 0;
    do {
        sched_yield();
        fixture_settle(fleet->fixture);
    } while (yields++ < YIELDS || !others_sleep());
    fixture_advance(fleet->fixture, milliseconds);
}

static bool calls_run(struct fleet *fleet)
{
    bool runs = false;
    for (size_t i = 0; i < fleet->call_count; i++)
        runs |= !fleet->calls[i].frozen && !atomic_load(&fleet->calls[i].ended);
    return runs;
}

static size_t count_waiting(struct muster_group *group)
{
    size_t count = 0;
    pthread_mutex_lock(&group->lock);
    for (const struct waiting *waiting = group->waiting; waiting; waiting = waiting->next)
        count++;
    pthread_mutex_unlock(&group->lock);
    return count;
}

/* Whether all calls of that member that have not ended wait. */
static bool all_wait(const struct fleet *fleet, uint32_t number)
{
    size_t count = 0;
    for (size_t i = 0; i < fleet->call_count; i++) {
        const struct fleet_call *call = &fleet->calls[i];
        count += call->number == number && call->kind != FLEET_FREE && !atomic_load(&call->ended);
    }
    return count == 0 || count_waiting(fleet->members[number].group) >= count;
}

void fleet_await_calls(struct fleet *fleet)
{
    for (uint32_t i = 0; i < FLEET_MAX; i++)
        AWAIT(all_wait(fleet, i));
}

void fleet_pass(struct fleet *fleet)
{
    fleet_await_calls(fleet);
    fixture_unpump(fleet->fixture);
    while (calls_run(fleet))
        step(fleet, STEP_MS);
    fixture_pump(fleet->fixture);
}

void fleet_pass_ms(struct fleet *fleet, int64_t milliseconds)
{
    fixture_unpump(fleet->fixture);
    for (int64_t passed = 0; passed < milliseconds; passed += STEP_MS)
        step(fleet, STEP_MS);
    fixture_pump(fleet->fixture);
}

/* One event. When there is none and nobody has anything left to do, a millisecond passes: sooner, it would pass for a thread
 * that only waits for a processor. Returns whether there was one. */
static bool step_once(struct fleet *fleet)
{
    if (muster_fixture_step(fleet->fixture->network))
        return true;
    for (unsigned i = 0; i < YIELDS; i++)
        sched_yield();
    if (others_sleep())
        muster_fixture_advance(fleet->fixture->network, 1);
    return false;
}

void fleet_pass_bytes(struct fleet *fleet, uint32_t number, uint32_t from, uint64_t bytes)
{
    struct muster_traffic traffic = {0};
    fleet_await_calls(fleet);
    fixture_unpump(fleet->fixture);
    do {
        step_once(fleet);
        muster_group_get_traffic(fleet->members[number].group, from, &traffic, NULL);
    } while (traffic.bytes_received < bytes);
}

bool fleet_pass_events(struct fleet *fleet, size_t events)
{
    fleet_await_calls(fleet);
    while (events > 0 && calls_run(fleet))
        events -= step_once(fleet);
    return calls_run(fleet);
}

void fleet_pass_state(struct fleet *fleet, uint32_t number, uint32_t other, enum muster_member_state state)
{
    bool seen;
    fixture_unpump(fleet->fixture);
    do {
        step(fleet, STEP_MS);
        struct muster_member *members = muster_group_roster(fleet->members[number].group, NULL);
        seen = members[other].state == state;
        free(members);
    } while (!seen);
    fixture_pump(fleet->fixture);
}

/* ---- joining ---- */

static void join(void *context)
{
    struct fleet_member *member = context;
    struct muster_group_options options = company_options();
    options.group = "g";
    options.name = member->name;
    options.members = member->fleet->size;
    options.listen = member->address;
    options.advertise = member->advertise;
    options.join_timeout_ms = member->join_timeout_ms;
    options.grace_ms = FLEET_GRACE_MS;
    member->status = muster_group_join(member->coordinator, &options, &member->group, &member->error);
    atomic_store(&member->ended, true);
}

void fleet_join(struct fleet *fleet, uint32_t number, const char *name)
{
    struct fleet_member *member = &fleet->members[number];
    const char *advertise = member->advertise;
    int64_t join_timeout_ms = member->join_timeout_ms ? member->join_timeout_ms : FLEET_JOIN_MS;
    *member = (struct fleet_member){
        .fleet = fleet, .advertise = advertise, .join_timeout_ms = join_timeout_ms, .joins = true};
    snprintf(member->name, sizeof(member->name), "%s", name);
    snprintf(member->address, sizeof(member->address), "fixture:test/m%u", (unsigned)number);
    snprintf(member->coordinator, sizeof(member->coordinator), "fixture:test/" COORDINATOR_HOST "<m%u",
             (unsigned)number);
    side_begin(&member->side, join, member);
}

enum muster_status fleet_joined(struct fleet *fleet, uint32_t number)
{
    struct fleet_member *member = &fleet->members[number];
    fixture_unpump(fleet->fixture);
    while (!atomic_load(&member->ended))
        step(fleet, STEP_MS);
    fixture_pump(fleet->fixture);
    side_end(&member->side);
    member->joins = false;
    return member->status;
}

void fleet_begin_empty(struct fleet *fleet, uint32_t size)
{
    *fleet = (struct fleet){.size = size, .limit_ms = FLEET_LONG_MS};
    pthread_mutex_init(&fleet->lock, NULL);
    pthread_cond_init(&fleet->changed, NULL);
    strcpy(fleet->folder, "/tmp/muster-test-XXXXXX");
    cr_assert_not_null(mkdtemp(fleet->folder));
    snprintf(fleet->file, sizeof(fleet->file), "%s/groups", fleet->folder);
    fleet->fixture = fixture_new_empty();
    fixture_pump(fleet->fixture);
    fleet_coordinate(fleet);
}

void fleet_begin(struct fleet *fleet, uint32_t size)
{
    fleet_begin_empty(fleet, size);
    for (uint32_t i = 0; i < size; i++) {
        char name[16];
        snprintf(name, sizeof(name), "m%u", (unsigned)i);
        fleet_join(fleet, i, name);
        fleet_await_news(fleet, i + 1);
    }
    for (uint32_t i = 0; i < size; i++) {
        cr_assert_eq(fleet_joined(fleet, i), MUSTER_OK, "%s", fleet->members[i].error.text);
        cr_assert_eq(muster_group_rank(fleet->members[i].group), i);
    }
}

void fleet_end(struct fleet *fleet)
{
    fleet_mend(fleet);
    for (uint32_t i = 0; i < FLEET_MAX; i++) {
        if (fleet->members[i].joins)
            fleet_joined(fleet, i);
        if (fleet->members[i].group)
            muster_group_close(fleet->members[i].group);
    }
    for (size_t i = 0; i < fleet->call_count; i++)
        fleet->calls[i].frozen = false;
    fleet_pass(fleet);
    fleet_forget(fleet);
    for (uint32_t i = 0; i < FLEET_MAX; i++) {
        if (fleet->members[i].group)
            fleet_call(fleet, i, FLEET_FREE, 0);
    }
    fleet_pass(fleet);
    fleet_forget(fleet);
    muster_coordinator_free(fleet->coordinator);
    fixture_free(fleet->fixture);
    pthread_cond_destroy(&fleet->changed);
    pthread_mutex_destroy(&fleet->lock);
    unlink(fleet->file);
    cr_assert_eq(rmdir(fleet->folder), 0);
}

/* ---- calls ---- */

static void run_call(void *context)
{
    struct fleet_call *call = context;
    struct muster_group *group = call->fleet->members[call->number].group;
    struct muster_message message = MUSTER_MESSAGE_INIT;
    if (call->kind == FLEET_SEND || call->kind == FLEET_SEND_BIG)
        call->status = send_numbers(group, call->peer, 1, call->kind == FLEET_SEND ? FLEET_SMALL : FLEET_BIG,
                                    call->number, call->limit_ms, &call->error);
    else if (call->kind == FLEET_RECEIVE)
        call->status =
            muster_group_receive(group, call->peer, 1, call->limit_ms, &message, NULL, NULL, &call->error);
    else if (call->kind == FLEET_BARRIER)
        call->status = muster_group_barrier(group, call->limit_ms, &call->error);
    else if (call->kind == FLEET_LEAVE)
        call->status = muster_group_leave(group, call->limit_ms, &call->error);
    else
        muster_group_free(group);
    if (call->kind == FLEET_RECEIVE && call->status == MUSTER_OK &&
        !is_numbers(&message, FLEET_SMALL, call->peer) && !is_numbers(&message, FLEET_BIG, call->peer))
        abort();
    muster_message_clear(&message);
    atomic_store(&call->ended, true);
}

struct fleet_call *fleet_call(struct fleet *fleet, uint32_t number, enum fleet_kind kind, uint32_t peer)
{
    cr_assert_lt(fleet->call_count, FLEET_CALLS_MAX);
    struct fleet_call *call = &fleet->calls[fleet->call_count++];
    *call = (struct fleet_call){.fleet = fleet, .number = number, .kind = kind, .peer = peer};
    call->limit_ms = fleet->limit_ms;
    side_begin(&call->side, run_call, call);
    return call;
}

void fleet_forget(struct fleet *fleet)
{
    size_t left = 0;
    for (size_t i = 0; i < fleet->call_count; i++)
        left += fleet->calls[i].frozen;
    cr_assert_eq(left, 0, "a frozen call");
    for (size_t i = 0; i < fleet->call_count; i++)
        side_end(&fleet->calls[i].side);
    fleet->call_count = 0;
}

void fleet_meet(struct fleet *fleet, uint32_t from, uint32_t to)
{
    const struct fleet_call *send = fleet_call(fleet, from, FLEET_SEND, to),
                            *receive = fleet_call(fleet, to, FLEET_RECEIVE, from);
    fleet_pass(fleet);
    cr_assert_eq(send->status, MUSTER_OK, "%s", send->error.text);
    cr_assert_eq(receive->status, MUSTER_OK, "%s", receive->error.text);
}

/* ---- faults ---- */

void fleet_hush(struct fleet *fleet, unsigned members)
{
    size_t count = 0;
    for (uint32_t i = 0; i < FLEET_MAX; i++) {
        if (members & 1U << i)
            fleet->parted[count++] = fleet->members[i].address + strlen("fixture:test/");
    }
    fleet->parted[count] = NULL;
    muster_fixture_part(fleet->fixture->network, fleet->parted);
}

void fleet_drop_parted(struct fleet *fleet)
{
    muster_fixture_drop_parted(fleet->fixture->network);
    if (!fleet->fixture->pumping)
        fixture_pump(fleet->fixture);
}

void fleet_part(struct fleet *fleet, unsigned members)
{
    fleet_hush(fleet, members);
    fleet_drop_parted(fleet);
}

void fleet_freeze(struct fleet *fleet, uint32_t number)
{
    for (size_t i = 0; i < fleet->call_count; i++)
        fleet->calls[i].frozen |= fleet->calls[i].number == number;
    fleet_part(fleet, 1U << number);
}

void fleet_mend(struct fleet *fleet)
{
    muster_fixture_part(fleet->fixture->network, NULL);
}

void fleet_thaw(struct fleet *fleet, uint32_t number)
{
    for (size_t i = 0; i < fleet->call_count; i++)
        fleet->calls[i].frozen &= fleet->calls[i].number != number;
    fleet_mend(fleet);
}

/* Runs it on a thread of its own, while time passes. */
struct ending {
    struct side side;
    struct muster_group *group;
    struct muster_coordinator *coordinator;
    atomic_bool ended;
};

static void end_it(void *context)
{
    struct ending *ending = context;
    muster_group_free(ending->group);
    muster_coordinator_free(ending->coordinator);
    atomic_store(&ending->ended, true);
}

static void end_alone(struct fleet *fleet, struct muster_group *group, struct muster_coordinator *coordinator)
{
    struct ending ending = {.group = group, .coordinator = coordinator};
    side_begin(&ending.side, end_it, &ending);
    fixture_unpump(fleet->fixture);
    while (!atomic_load(&ending.ended))
        step(fleet, STEP_MS);
    fixture_pump(fleet->fixture);
    side_end(&ending.side);
    fleet_mend(fleet);
}

void fleet_kill(struct fleet *fleet, uint32_t number)
{
    struct muster_group *group = fleet->members[number].group;
    fleet_part(fleet, 1U << number);
    muster_group_close(group);
    for (size_t i = 0; i < fleet->call_count; i++) {
        struct fleet_call *call = &fleet->calls[i];
        AWAIT(call->number != number || atomic_load(&call->ended));
    }
    end_alone(fleet, group, NULL);
    fleet->members[number].group = NULL;
}

void fleet_crash(struct fleet *fleet)
{
    fleet->parted[0] = COORDINATOR_HOST;
    fleet->parted[1] = NULL;
    muster_fixture_part(fleet->fixture->network, fleet->parted);
    fleet_drop_parted(fleet);
    end_alone(fleet, NULL, fleet->coordinator);
    fleet->coordinator = NULL;
}
