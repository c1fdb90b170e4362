/* What members of a group call, and what has to come of it: messages, states, and collective operations. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "fuzz/group_world.h"
#include "fuzz/links.h"

enum { FLOATS_MAX = 20000 };

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

void check_kept(uint32_t rank)
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

void send_to(struct call *call)
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

void receive_from(struct call *call)
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

void exchange(struct call *call)
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

void publish(struct call *call)
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

void fetch(struct call *call)
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

void leave(struct call *call)
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

void work_together(struct call *call)
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
