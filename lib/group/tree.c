/* Collective operations along a tree. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "group/internal.h"
#include "group/tree.h"
#include "status.h"

/* ---- its shape ---- */

/* The lowest bit that is set; of the root, one above all. */
static uint32_t reach(uint32_t place, uint32_t size)
{
    uint32_t bit = 1;
    while (bit < size && !(place & bit))
        bit <<= 1;
    return bit;
}

size_t muster__tree_children(uint32_t place, uint32_t root, uint32_t size,
                             uint32_t children[TREE_CHILDREN_MAX])
{
    size_t count = 0;
    for (uint32_t bit = 1; bit < reach(place, size) && place + bit < size; bit <<= 1)
        children[count++] = (place + bit + root) % size;
    return count;
}

uint32_t muster__tree_parent(uint32_t place, uint32_t root, uint32_t size)
{
    return (place - reach(place, size) + root) % size;
}

uint32_t muster__tree_count(uint32_t place, uint32_t size)
{
    uint32_t most = reach(place, size);
    return most < size - place ? most : size - place;
}

uint32_t muster__tree_height(uint32_t place, uint32_t size)
{
    uint32_t height = 0;
    while (((uint32_t)1 << height) < muster__tree_count(place, size))
        height++;
    return height;
}

/* ---- operations ---- */

enum muster_status muster__collective_begin(struct collective *collective, struct muster_group *group,
                                            enum muster_group_call call, uint32_t root, int64_t limit_ms,
                                            struct muster_error *error)
{
    char function[32];
    snprintf(function, sizeof(function), "muster_group_%s", muster_group_call_name(call));
    enum muster_status status = muster__group_may(group, function, error);
    if (status == MUSTER_OK && root >= group->size)
        status = muster__error(error, MUSTER_INVALID, "there is no rank %u: the group has %u members",
                               (unsigned)root, (unsigned)group->size);
    if (status != MUSTER_OK)
        return status;
    pthread_mutex_lock(&group->lock);
    *collective = (struct collective){.group = group,
                                      .number = group->collectives++,
                                      .begun = group->transport->ops->now(group->transport),
                                      .limit_ms = limit_ms,
                                      .root = root,
                                      .place = (group->rank + group->size - root) % group->size};
    group->collective = call;
    group->collective_since = collective->begun;
    pthread_mutex_unlock(&group->lock);
    return MUSTER_OK;
}

static uint64_t tag_of(const struct collective *collective, enum collective_step step)
{
    return GROUP_TAG_OWN | collective->number << 8 | (uint64_t)step;
}

struct operation muster__collective_send(const struct collective *collective, uint32_t to,
                                         enum collective_step step, const struct muster_message *message)
{
    return (struct operation){.kind = OPERATION_SEND,
                              .rank = to,
                              .tag = tag_of(collective, step),
                              .collective = true,
                              .sent = message};
}

struct operation muster__collective_receive(const struct collective *collective, uint32_t from,
                                            enum collective_step step)
{
    return (struct operation){
        .kind = OPERATION_RECEIVE, .rank = from, .tag = tag_of(collective, step), .collective = true};
}

enum muster_status muster__collective_run(const struct collective *collective, struct operation *operations,
                                          size_t count, struct muster_error *error)
{
    const struct muster_group *group = collective->group;
    return muster__group_run(collective->group, operations, count,
                             muster__group_left(group, collective->begun, collective->limit_ms), error);
}

/* ---- what is said along the tree ---- */

enum { NOTE_SCALARS = 3 };

struct note {
    struct muster_scalar scalars[NOTE_SCALARS];
    struct muster_value form;
    struct muster_message message;
};

static void write_note(struct note *note, const struct agreement *agreement)
{
    const struct verdict *verdict = &agreement->verdict;
    note->scalars[0] = (struct muster_scalar){"status", verdict->status};
    note->scalars[1] = (struct muster_scalar){"rank", verdict->rank};
    note->scalars[2] = (struct muster_scalar){"weight", verdict->weight};
    note->form =
        (struct muster_value){.name = "form", .kind = MUSTER_VALUE_INTEGER, .integer = verdict->form};
    note->message = (struct muster_message)MUSTER_MESSAGE_INIT;
    note->message.kind = MUSTER_TRAIN;
    note->message.scalars = note->scalars;
    note->message.scalar_count = NOTE_SCALARS;
    note->message.values = &note->form;
    note->message.value_count = 1;
    note->message.arrays = agreement->arrays;
    note->message.array_count = agreement->array_count;
}

/* PROTOCOL, with who has said it: that is no status. */
static struct verdict read_note(const struct muster_message *message, uint32_t from)
{
    enum muster_status status = (enum muster_status)muster_message_integer(message, "status", -1);
    if (strcmp(muster_status_name(status), "UNKNOWN") == 0)
        return (struct verdict){.status = MUSTER_PROTOCOL, .rank = from};
    return (struct verdict){.status = status,
                            .rank = (uint32_t)muster_message_integer(message, "rank", 0),
                            .weight = muster_message_scalar(message, "weight", 0),
                            .form = muster_message_integer(message, "form", 0)};
}

/* Who waits for children stops so much before its limit for each level that is above it, so that those can still be
   told. */
static int64_t limit_to_collect(const struct collective *collective)
{
    uint32_t size = collective->group->size;
    int64_t left = muster__group_left(collective->group, collective->begun, collective->limit_ms);
    if (left == MUSTER_NO_LIMIT)
        return left;
    uint32_t levels = muster__tree_height(0, size);
    uint32_t above = levels - muster__tree_height(collective->place, size) + 1;
    int64_t step = left / (4 * (levels + 1));
    return left - above * (step < 250 ? step : 250);
}

/* Whether others are to hear of a child that ended so. */
static bool is_told(enum muster_status status)
{
    return status == MUSTER_TIMEOUT || status == MUSTER_CLOSED || status == MUSTER_GONE ||
           status == MUSTER_UNAVAILABLE;
}

/* What the children say. Not OK: it makes no sense to go on, or all hear of it by the roster. */
static enum muster_status collect(const struct collective *collective, struct agreement *agreement,
                                  const uint32_t *children, bool *came, size_t count,
                                  struct muster_error *error)
{
    struct operation operations[TREE_CHILDREN_MAX];
    struct verdict *own = &agreement->verdict;
    for (size_t i = 0; i < count; i++)
        operations[i] = muster__collective_receive(collective, children[i], STEP_UP);
    enum muster_status status =
        muster__group_run(collective->group, operations, count, limit_to_collect(collective), error);
    for (size_t i = 0; i < count; i++) {
        came[i] = operations[i].status == MUSTER_OK;
        struct verdict verdict = {.status = operations[i].status, .rank = children[i]};
        if (came[i])
            verdict = read_note(&operations[i].message, children[i]);
        if (verdict.status != MUSTER_OK && own->status == MUSTER_OK)
            *own = (struct verdict){.status = verdict.status, .rank = verdict.rank};
        else if (own->status == MUSTER_OK && agreement->add)
            agreement->add(agreement->context, own, children[i], &verdict, &operations[i].message);
        muster_message_clear(&operations[i].message);
    }
    return status == MUSTER_OK || is_told(status) ? muster__group_check_all(collective->group, error)
                                                  : status;
}

/* Says up what is known so far, and hears what the root says. */
static enum muster_status report(const struct collective *collective, struct agreement *agreement,
                                 struct muster_error *error)
{
    struct note note;
    uint32_t parent = muster__tree_parent(collective->place, collective->root, collective->group->size);
    write_note(&note, agreement);
    struct operation operations[2] = {
        muster__collective_send(collective, parent, STEP_UP, &note.message),
        muster__collective_receive(collective, parent, STEP_DOWN),
    };
    enum muster_status status = muster__collective_run(collective, operations, 2, error);
    agreement->message = operations[1].message;
    /* The verdict counts, even if the receipt for the own word is still to come. */
    if (operations[1].status != MUSTER_OK)
        return status;
    agreement->verdict = read_note(&agreement->message, parent);
    agreement->arrays = agreement->message.arrays;
    agreement->array_count = agreement->message.array_count;
    return MUSTER_OK;
}

/* Says down what the root says, to those who have come. */
static enum muster_status pass_down(const struct collective *collective, const struct agreement *agreement,
                                    const uint32_t *children, const bool *came, size_t count,
                                    struct muster_error *error)
{
    struct note note;
    struct operation operations[TREE_CHILDREN_MAX];
    size_t begun = 0;
    write_note(&note, agreement);
    for (size_t i = 0; i < count; i++) {
        if (came[i])
            operations[begun++] = muster__collective_send(collective, children[i], STEP_DOWN, &note.message);
    }
    return muster__collective_run(collective, operations, begun, error);
}

static enum muster_status explain(const struct collective *collective, const struct verdict *verdict,
                                  struct muster_error *error)
{
    struct muster_group *group = collective->group;
    char name[RANK_TEXT_SIZE];
    if (verdict->status == MUSTER_OK)
        return MUSTER_OK;
    if (verdict->status == MUSTER_INVALID)
        return muster__error(error, MUSTER_INVALID, "the weights of all members are 0");
    if (verdict->rank >= group->size)
        return muster__error(error, verdict->status, "%s", muster_status_text(verdict->status));
    pthread_mutex_lock(&group->lock);
    muster__group_name_rank(group, verdict->rank, name);
    if (verdict->status == MUSTER_UNAVAILABLE)
        muster__error(error, MUSTER_UNAVAILABLE, "%s cannot be reached at %.128s", name,
                      group->roster->entries[verdict->rank].address);
    pthread_mutex_unlock(&group->lock);
    if (verdict->status == MUSTER_UNAVAILABLE)
        return MUSTER_UNAVAILABLE;
    if (verdict->status == MUSTER_FORMAT)
        return muster__error(error, MUSTER_FORMAT, "the arrays of %s differ from the others'", name);
    if (verdict->status == MUSTER_TIMEOUT)
        return muster__error(error, MUSTER_TIMEOUT, "%s has not come within %lld ms", name,
                             (long long)collective->limit_ms);
    if (verdict->status == MUSTER_CLOSED)
        return muster__error(error, MUSTER_CLOSED, "%s has left the group", name);
    if (verdict->status == MUSTER_GONE)
        return muster__error(error, MUSTER_GONE, "%s is gone", name);
    return muster__error(error, verdict->status, "%s: %s", name, muster_status_text(verdict->status));
}

enum muster_status muster__collective_agree(const struct collective *collective, struct agreement *agreement,
                                            struct muster_error *error)
{
    uint32_t children[TREE_CHILDREN_MAX];
    bool came[TREE_CHILDREN_MAX];
    struct muster_error ignored;
    uint32_t size = collective->group->size;
    size_t count = muster__tree_children(collective->place, collective->root, size, children);
    agreement->message = (struct muster_message)MUSTER_MESSAGE_INIT;
    enum muster_status status = collect(collective, agreement, children, came, count, error);
    if (status == MUSTER_OK && agreement->verdict.status == MUSTER_OK && agreement->conclude)
        agreement->conclude(agreement->context, agreement, collective->place == 0);
    if (status != MUSTER_OK)
        return status;
    if (collective->place != 0)
        status = report(collective, agreement, error);
    if (status != MUSTER_OK) { /* those below hear of who is missing above */
        uint32_t parent = muster__tree_parent(collective->place, collective->root, size);
        agreement->verdict = (struct verdict){.status = status, .rank = parent};
        agreement->array_count = 0;
        pass_down(collective, agreement, children, came, count, &ignored);
        return status;
    }
    status = pass_down(collective, agreement, children, came, count, error);
    /* One that has not heard it ends by its own limit. */
    return agreement->verdict.status != MUSTER_OK ? explain(collective, &agreement->verdict, error)
           : status == MUSTER_TIMEOUT             ? explain(collective, &agreement->verdict, &ignored)
                                                  : status;
}
