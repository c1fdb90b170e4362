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

#include <muster/fixture.h>
#include <muster/muster.h>

#include "fuzz/calls.h"
#include "fuzz/links.h"
#include "group/batch.h"

enum {
    MEMBERS = 3,
    LIAR = 2, /* its rank, if there is one */
    TAGS = 3,
    SERIALS_MAX = 512, /* of messages */
    STEPS_MAX = 64,    /* collective operations */
    LIES_MAX = 64,
    FLOATS_MAX = 20000,
    GRACE_MS = 1500,
};

struct member {
    struct muster_group *group; /* NULL: it is not there */
    unsigned calls;             /* that run on it: it is not freed meanwhile */
    unsigned receives;          /* of those */
    bool overlaps;              /* two receives have run at the same time: either may end first */
    bool in_collective;
    uint32_t steps;               /* collective operations that it has begun */
    uint64_t version;             /* that it has published */
    uint64_t last[MEMBERS][TAGS]; /* the serial of what was received last */
};

/* A message that was sent. */
struct sent {
    uint32_t from, to, tag;
    size_t count;     /* of its numbers */
    uint64_t process; /* that it was sent to */
    bool ok;          /* its sender was told that it has come */
    bool received;
    bool kept; /* it has come, and waits to be received */
};

/* A collective operation. */
struct step {
    unsigned kind;
    uint32_t begun;
    bool differs; /* not all say the same: nobody gets a result */
};

static struct {
    struct input input;
    struct muster_transport *network;
    struct muster_coordinator *coordinator;
    struct member members[MEMBERS];
    struct sent sent[SERIALS_MAX]; /* by serial, from 1 */
    uint64_t serials;
    struct step steps[STEPS_MAX];
    bool restarted; /* a member was: what collective operations give is not known */
    bool lies;
    struct input lie; /* the next one */
    Muster__Group__Batch *told[LIES_MAX];
    size_t told_count;
    unsigned paused; /* ranks whose calls do not go on */
    unsigned fails;  /* so many allocations from now, one fails; 0: none */
    size_t waits;
    uint64_t random;
} world;

static int64_t now(void)
{
    return world.network->ops->now(world.network);
}

/* Of one that may lie nothing is known. */
static bool is_true(uint32_t rank)
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

/* ---- messages ---- */

/* Of numbers, of which the first says which one it is. */
struct made {
    struct muster_message message;
    struct muster_array array;
    float data[FLOATS_MAX];
};

static float number_at(uint64_t id, size_t i)
{
    return (float)(i ? (id * 31 + i) % 65536 : id);
}

static const struct muster_message *make(struct made *made, uint64_t id, unsigned size_class)
{
    static const size_t counts[] = {3, 100, 1500, FLOATS_MAX};
    size_t count = counts[size_class % 4];
    for (size_t i = 0; i < count; i++)
        made->data[i] = number_at(id, i);
    made->array =
        (struct muster_array){.dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {count}, .data = made->data};
    made->message = (struct muster_message){.kind = MUSTER_TRAIN, .arrays = &made->array, .array_count = 1};
    return &made->message;
}

/* Which one has come, whole. */
static uint64_t which(const struct muster_message *message, size_t *count)
{
    CHECK(message->kind == MUSTER_TRAIN && message->array_count == 1);
    CHECK(!message->scalar_count && !message->value_count);
    const struct muster_array *array = &message->arrays[0];
    const float *data = array->data;
    CHECK(array->dtype == MUSTER_FLOAT32 && array->dimensions == 1);
    *count = array->shape[0];
    CHECK(*count && data[0] >= 0);
    for (size_t i = 0; i < *count; i++)
        CHECK(data[i] == number_at((uint64_t)data[0], i));
    return (uint64_t)data[0];
}

/* Which of those that were sent it is. */
static struct sent *look_up(uint32_t rank, uint32_t source, const struct muster_message *message)
{
    size_t count;
    uint64_t serial = which(message, &count);
    CHECK(serial > 0 && serial <= world.serials);
    struct sent *sent = &world.sent[serial];
    CHECK(sent->to == rank && sent->from == source && sent->count == count);
    CHECK(sent->process == world.members[rank].group->incarnation);
    return sent;
}

static void message_came(uint32_t rank, uint32_t source, uint32_t tagged,
                         const struct muster_message *message)
{
    struct muster_error error;
    CHECK(source < MEMBERS && source != rank && tagged <= MUSTER_TAG_MAX);
    CHECK(muster__batch_check(message, &error) == MUSTER_OK);
    if (!is_true(source) || !is_true(rank))
        return;
    struct member *member = &world.members[rank];
    struct sent *sent = look_up(rank, source, message);
    uint64_t serial = (uint64_t)(sent - world.sent);
    CHECK(sent->tag == tagged && !sent->received);
    sent->received = true;
    CHECK(member->overlaps || serial > member->last[source][tagged]);
    member->last[source][tagged] = serial;
}

/* What was told to have come was received, or is there. */
static void check_kept(uint32_t rank)
{
    struct muster_group *group = world.members[rank].group;
    for (const struct arrival *arrival = group->inbox.arrivals; arrival; arrival = arrival->next) {
        if (arrival->offer || arrival->tag >= GROUP_TAG_OWN || !is_true(arrival->from))
            continue;
        struct sent *sent = look_up(rank, arrival->from, &arrival->message);
        CHECK(!sent->received && !sent->kept);
        sent->kept = true;
    }
    for (uint64_t serial = 1; serial <= world.serials; serial++) {
        const struct sent *sent = &world.sent[serial];
        if (sent->to == rank && sent->process == group->incarnation && is_true(sent->from))
            CHECK(!sent->ok || sent->received || sent->kept);
    }
}

/* ---- calls of members ---- */

static struct muster_group *begin(struct call *call)
{
    static const int64_t limits_ms[] = {0, 60, 400, 3000};
    struct member *member = &world.members[call->rank];
    call->limit_ms = limits_ms[call->how >> 4 & 3];
    call->deadline = now() + call->limit_ms;
    member->calls++;
    return member->group;
}

/* Whether it says that the coordinator has forgotten this member, so that nobody else is missing. */
static bool is_outcast(const struct call *call, enum muster_status status)
{
    return status == MUSTER_GONE && world.members[call->rank].group->ended &&
           strstr(call->error.text, "this member is none of its group any more") != NULL;
}

/* `peer`: whom it was about; MUSTER_ANY_RANK: anyone. */
static void end(const struct call *call, enum muster_status status, uint32_t peer)
{
    char name[16];
    const char *text = call->error.text;
    world.members[call->rank].calls--;
    if (status == MUSTER_OK)
        return;
    CHECK(call->error.status == status && *text);
    CHECK(status == MUSTER_TIMEOUT || status == MUSTER_GONE || status == MUSTER_CLOSED ||
          status == MUSTER_UNAVAILABLE || status == MUSTER_FORMAT || status == MUSTER_INVALID ||
          status == MUSTER_OUT_OF_MEMORY);
    CHECK((status == MUSTER_INVALID) == (peer != MUSTER_ANY_RANK && peer >= MEMBERS));
    snprintf(name, sizeof(name), "rank %u", (unsigned)peer);
    if (peer < MEMBERS && status != MUSTER_OUT_OF_MEMORY && !is_outcast(call, status))
        CHECK(strstr(text, name) || (status == MUSTER_CLOSED && !strstr(text, "rank")));
}

/* The serial of a message that is about to be sent; 0: there were too many. */
static uint64_t make_next(struct made *made, const struct call *call, uint32_t tag)
{
    if (world.serials + 1 == SERIALS_MAX)
        return 0;
    uint64_t serial = ++world.serials;
    make(made, serial, call->how >> 6);
    struct sent *sent = &world.sent[serial];
    *sent = (struct sent){
        .from = call->rank, .to = call->peer, .tag = tag, .count = muster_array_count(&made->array)};
    if (call->peer < MEMBERS)
        sent->process = world.members[call->rank].group->roster->entries[call->peer].incarnation;
    return serial;
}

static void send_to(struct call *call)
{
    struct made made;
    uint32_t tag = call->how % TAGS;
    uint64_t serial = make_next(&made, call, tag);
    if (!serial)
        return;
    struct muster_group *group = begin(call);
    enum muster_status status =
        muster_group_send(group, call->peer, tag, &made.message, call->limit_ms, &call->error);
    world.sent[serial].ok = status == MUSTER_OK;
    end(call, status, call->peer);
}

static void receive_begins(uint32_t rank)
{
    struct member *member = &world.members[rank];
    member->overlaps |= member->receives++ > 0;
}

static void receive_from(struct call *call)
{
    struct muster_message message;
    bool any_rank = call->how & 0x40, any_tag = call->how & 8;
    uint32_t from = any_rank ? MUSTER_ANY_RANK : call->peer, source = MEMBERS;
    uint32_t tag = any_tag ? MUSTER_ANY_TAG : call->how % TAGS, tagged = TAGS;
    struct muster_group *group = begin(call);
    receive_begins(call->rank);
    enum muster_status status =
        muster_group_receive(group, from, tag, call->limit_ms, &message, &source, &tagged, &call->error);
    world.members[call->rank].receives--;
    CHECK(status == MUSTER_OK || message.kind == MUSTER_EMPTY);
    if (status == MUSTER_OK) {
        CHECK((any_rank || source == from) && (any_tag || tagged == tag));
        message_came(call->rank, source, tagged, &message);
    }
    muster_message_clear(&message);
    end(call, status, from);
}

static void exchange(struct call *call)
{
    struct made made;
    struct muster_message answer;
    uint32_t tag = call->how % TAGS;
    if (!make_next(&made, call, tag))
        return;
    struct muster_group *group = begin(call);
    receive_begins(call->rank);
    enum muster_status status =
        muster_group_exchange(group, call->peer, tag, &made.message, call->limit_ms, &answer, &call->error);
    world.members[call->rank].receives--;
    CHECK(status != MUSTER_OK || answer.kind != MUSTER_EMPTY);
    if (answer.kind != MUSTER_EMPTY)
        message_came(call->rank, call->peer, tag, &answer);
    muster_message_clear(&answer);
    end(call, status, call->peer);
}

static uint64_t id_of_version(uint32_t rank, uint64_t version)
{
    return version * MEMBERS + rank;
}

static void publish(struct call *call)
{
    struct made made;
    struct member *member = &world.members[call->rank];
    uint64_t version = member->version + 1 + (call->how & 3);
    struct muster_group *group = begin(call);
    make(&made, id_of_version(call->rank, version), call->how >> 6);
    enum muster_status status = muster_group_publish(group, version, &made.message, &call->error);
    if (status == MUSTER_OK) {
        member->version = version;
        CHECK(muster_group_publish(group, version, &made.message, NULL) != MUSTER_OK);
    }
    end(call, status, MUSTER_ANY_RANK);
}

static void fetch(struct call *call)
{
    size_t count;
    struct muster_message message;
    uint64_t version = 0, least = call->how & 7;
    struct muster_group *group = begin(call);
    enum muster_status status =
        muster_group_fetch(group, call->peer, least, call->limit_ms, &message, &version, &call->error);
    CHECK(status == MUSTER_OK || message.kind == MUSTER_EMPTY);
    CHECK(status != MUSTER_OK || version >= least);
    if (status == MUSTER_OK && is_true(call->peer))
        CHECK(which(&message, &count) == id_of_version(call->peer, version));
    muster_message_clear(&message);
    end(call, status, call->peer);
}

static void leave(struct call *call)
{
    struct muster_group *group = begin(call);
    end(call, muster_group_leave(group, call->limit_ms, &call->error), MUSTER_ANY_RANK);
}

/* ---- collective operations ---- */

static bool results_are_known(void)
{
    return !world.lies && !world.restarted;
}

static enum muster_status reduce(struct call *call, struct muster_group *group, uint32_t number, bool is_mean,
                                 bool differs)
{
    size_t count = (number % 2 ? 1000U : 5U) - (differs ? 1U : 0U);
    float data[1000], own = (float)((call->rank + 1) * (number + 1));
    float sum = (float)(MEMBERS * (MEMBERS + 1) / 2 * (number + 1));
    struct muster_array array = {.dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {count}, .data = data};
    for (size_t i = 0; i < count; i++)
        data[i] = own;
    enum muster_status status = muster_group_all_reduce(group, is_mean ? MUSTER_MEAN : MUSTER_SUM, 1, &array,
                                                        1, call->limit_ms, &call->error);
    float wanted = status != MUSTER_OK ? own : is_mean ? sum / MEMBERS : sum;
    for (size_t i = 0; i < count; i++)
        CHECK(data[i] == wanted || (status == MUSTER_OK && !results_are_known()));
    return status;
}

static enum muster_status broadcast(struct call *call, struct muster_group *group, uint32_t number)
{
    size_t count;
    struct made made;
    struct muster_message message = MUSTER_MESSAGE_INIT;
    uint32_t root = number % MEMBERS;
    make(&made, number, number);
    enum muster_status status = muster_group_broadcast(
        group, root, call->rank == root ? &made.message : &message, call->limit_ms, &call->error);
    if (status == MUSTER_OK && call->rank != root && results_are_known())
        CHECK(which(&message, &count) == number);
    muster_message_clear(&message);
    return status;
}

static enum muster_status gather(struct call *call, struct muster_group *group, uint32_t number, bool all)
{
    size_t count;
    struct made made;
    struct muster_message messages[MEMBERS] = {{0}};
    uint32_t root = number % MEMBERS;
    bool gets = all || call->rank == root;
    make(&made, number * MEMBERS + call->rank, number);
    enum muster_status status =
        all ? muster_group_all_gather(group, &made.message, messages, call->limit_ms, &call->error)
            : muster_group_gather(group, root, &made.message, gets ? messages : NULL, call->limit_ms,
                                  &call->error);
    for (uint32_t rank = 0; rank < MEMBERS; rank++) {
        if (status == MUSTER_OK && gets && results_are_known())
            CHECK(which(&messages[rank], &count) == number * MEMBERS + rank);
        muster_message_clear(&messages[rank]);
    }
    return status;
}

/* The member's next one, of the kind that who comes first chooses. */
static void work_together(struct call *call)
{
    struct member *member = &world.members[call->rank];
    uint32_t number = member->steps;
    bool differs = call->how >= 0xf0;
    if (member->in_collective || number == STEPS_MAX)
        return;
    struct step *step = &world.steps[number];
    if (step->begun++ == 0)
        step->kind = call->how % 6;
    step->differs |= differs;
    member->steps++;
    member->in_collective = true;
    unsigned kind = step->kind;
    struct muster_group *group = begin(call);
    enum muster_status status = kind == 0   ? muster_group_barrier(group, call->limit_ms, &call->error)
                                : kind == 1 ? broadcast(call, group, number)
                                : kind < 4  ? gather(call, group, number, kind == 2)
                                            : reduce(call, group, number, kind == 4, differs);
    if (status == MUSTER_OK && results_are_known() && (kind == 0 || kind == 2 || kind >= 4))
        CHECK(step->begun == MEMBERS && !(step->differs && kind >= 4));
    CHECK(status == MUSTER_OK || status == MUSTER_CLOSED || status == MUSTER_OUT_OF_MEMORY ||
          is_outcast(call, status) || strstr(call->error.text, "rank "));
    member->in_collective = false;
    end(call, status, MUSTER_ANY_RANK);
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
