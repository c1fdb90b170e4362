/* Barrier, broadcast, gather and all_gather. */
#include <config.h>

#include "group/batch.h"
#include "group/internal.h"
#include "group/tree.h"
#include "status.h"
#include "wire/wire.h"

enum muster_status muster_group_barrier(struct muster_group *group, int64_t timeout_ms,
                                        struct muster_error *error)
{
    struct collective collective;
    struct agreement agreement = {.verdict = {.status = MUSTER_OK}};
    enum muster_status status =
        muster__collective_begin(&collective, group, MUSTER_CALL_BARRIER, 0, timeout_ms, error);
    if (status != MUSTER_OK)
        return status;
    status = muster__collective_agree(&collective, &agreement, error);
    muster_message_clear(&agreement.message);
    return status;
}

/* ---- broadcast ---- */

enum muster_status muster_group_broadcast(struct muster_group *group, uint32_t root,
                                          struct muster_message *message, int64_t timeout_ms,
                                          struct muster_error *error)
{
    struct collective collective;
    struct operation operations[TREE_CHILDREN_MAX];
    uint32_t children[TREE_CHILDREN_MAX];
    bool is_root = group->rank == root;
    if (!is_root)
        *message = (struct muster_message)MUSTER_MESSAGE_INIT;
    enum muster_status status =
        muster__collective_begin(&collective, group, MUSTER_CALL_BROADCAST, root, timeout_ms, error);
    if (status == MUSTER_OK && is_root)
        status = muster__batch_check(message, error);
    if (status == MUSTER_OK && !is_root) {
        uint32_t parent = muster__tree_parent(collective.place, root, group->size);
        operations[0] = muster__collective_receive(&collective, parent, STEP_DOWN);
        status = muster__collective_run(&collective, operations, 1, error);
        *message = operations[0].message;
    }
    if (status != MUSTER_OK)
        return status;
    size_t count = muster__tree_children(collective.place, root, group->size, children);
    for (size_t i = 0; i < count; i++)
        operations[i] = muster__collective_send(&collective, children[i], STEP_DOWN, message);
    return muster__collective_run(&collective, operations, count, error);
}

/* ---- gather ---- */

static uint32_t rank_of(const struct collective *collective, uint32_t place)
{
    return (place + collective->root) % collective->group->size;
}

/* What comes from a child goes on to the parent, one by one: a member holds one message for others. */
static enum muster_status pass_up(const struct collective *collective, uint32_t child, uint32_t count,
                                  struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    uint32_t parent = muster__tree_parent(collective->place, collective->root, collective->group->size);
    for (uint32_t i = 0; i < count && status == MUSTER_OK; i++) {
        struct operation receive = muster__collective_receive(collective, child, STEP_UP);
        status = muster__collective_run(collective, &receive, 1, error);
        if (status != MUSTER_OK)
            break;
        struct operation send = muster__collective_send(collective, parent, STEP_UP, &receive.message);
        status = muster__collective_run(collective, &send, 1, error);
        muster_message_clear(&receive.message);
    }
    return status;
}

/* At the root: what comes from a child, which is of the places from `place` on. */
static enum muster_status take_up(const struct collective *collective, uint32_t place, uint32_t count,
                                  struct muster_message *messages, struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    for (uint32_t i = 0; i < count && status == MUSTER_OK; i++) {
        struct operation receive =
            muster__collective_receive(collective, rank_of(collective, place), STEP_UP);
        status = muster__collective_run(collective, &receive, 1, error);
        messages[rank_of(collective, place + i)] = receive.message;
    }
    return status;
}

static void clear_messages(struct muster_message *messages, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        messages[i] = (struct muster_message)MUSTER_MESSAGE_INIT;
}

enum muster_status muster_group_gather(struct muster_group *group, uint32_t root,
                                       const struct muster_message *message, struct muster_message *messages,
                                       int64_t timeout_ms, struct muster_error *error)
{
    struct collective collective;
    bool is_root = group->rank == root;
    if (is_root)
        clear_messages(messages, group->size);
    enum muster_status status =
        muster__collective_begin(&collective, group, MUSTER_CALL_GATHER, root, timeout_ms, error);
    if (status == MUSTER_OK)
        status = muster__batch_check(message, error);
    if (status == MUSTER_OK && is_root)
        status = muster__message_copy(TO_PARTICIPANT, message, &messages[root], error);
    if (status == MUSTER_OK && !is_root) {
        uint32_t parent = muster__tree_parent(collective.place, root, group->size);
        struct operation send = muster__collective_send(&collective, parent, STEP_UP, message);
        status = muster__collective_run(&collective, &send, 1, error);
    }
    uint32_t count = muster__tree_count(collective.place, group->size);
    for (uint32_t bit = 1; status == MUSTER_OK && bit < count; bit <<= 1) {
        uint32_t child = collective.place + bit, below = muster__tree_count(child, group->size);
        status = is_root ? take_up(&collective, child, below, messages, error)
                         : pass_up(&collective, rank_of(&collective, child), below, error);
    }
    return status;
}

/* ---- all_gather ---- */

enum muster_status muster_group_all_gather(struct muster_group *group, const struct muster_message *message,
                                           struct muster_message *messages, int64_t timeout_ms,
                                           struct muster_error *error)
{
    struct collective collective;
    uint32_t size = group->size, rank = group->rank;
    clear_messages(messages, size);
    enum muster_status status =
        muster__collective_begin(&collective, group, MUSTER_CALL_ALL_GATHER, 0, timeout_ms, error);
    if (status == MUSTER_OK)
        status = muster__batch_check(message, error);
    if (status == MUSTER_OK)
        status = muster__message_copy(TO_PARTICIPANT, message, &messages[rank], error);
    /* Round the ring: each passes on what has come last. */
    for (uint32_t step = 0; step + 1 < size && status == MUSTER_OK; step++) {
        uint32_t sent = (rank + size - step) % size, received = (sent + size - 1) % size;
        struct operation operations[2] = {
            muster__collective_receive(&collective, (rank + size - 1) % size, STEP_RING),
            muster__collective_send(&collective, (rank + 1) % size, STEP_RING, &messages[sent]),
        };
        status = muster__collective_run(&collective, operations, 2, error);
        messages[received] = operations[0].message;
    }
    return status;
}
