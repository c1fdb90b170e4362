/* Messages from one member to another: send, receive, exchange. */
#include <config.h>

#include <stdlib.h>

#include "group/internal.h"
#include "status.h"

static enum muster_status check(struct muster_group *group, const char *function, uint32_t rank, uint32_t tag,
                                struct muster_error *error)
{
    enum muster_status status = muster__group_may(group, function, error);
    if (status == MUSTER_OK && tag > MUSTER_TAG_MAX)
        return muster__error(error, MUSTER_INVALID, "the tag %u is above MUSTER_TAG_MAX", (unsigned)tag);
    return status == MUSTER_OK ? muster__group_check_rank(group, rank, error) : status;
}

enum muster_status muster_group_send(struct muster_group *group, uint32_t to, uint32_t tag,
                                     const struct muster_message *message, int64_t timeout_ms,
                                     struct muster_error *error)
{
    enum muster_status status = check(group, "muster_group_send", to, tag, error);
    if (status != MUSTER_OK)
        return status;
    struct operation operation = {.kind = OPERATION_SEND, .rank = to, .tag = tag, .sent = message};
    return muster__group_run(group, &operation, 1, timeout_ms, error);
}

enum muster_status muster_group_receive(struct muster_group *group, uint32_t from, uint32_t tag,
                                        int64_t timeout_ms, struct muster_message *message, uint32_t *source,
                                        uint32_t *tagged, struct muster_error *error)
{
    *message = (struct muster_message)MUSTER_MESSAGE_INIT;
    bool any_rank = from == MUSTER_ANY_RANK, any_tag = tag == MUSTER_ANY_TAG;
    enum muster_status status = check(group, "muster_group_receive", any_rank ? (group->rank ? 0 : 1) : from,
                                      any_tag ? 0 : tag, error);
    if (status != MUSTER_OK)
        return status;
    struct operation operation = {
        .kind = OPERATION_RECEIVE, .rank = from, .tag = any_tag ? GROUP_TAG_ANY : tag};
    status = muster__group_run(group, &operation, 1, timeout_ms, error);
    *message = operation.message;
    if (status == MUSTER_OK && source)
        *source = operation.source;
    if (status == MUSTER_OK && tagged)
        *tagged = (uint32_t)operation.tagged;
    return status;
}

enum muster_status muster_group_exchange(struct muster_group *group, uint32_t peer, uint32_t tag,
                                         const struct muster_message *message, int64_t timeout_ms,
                                         struct muster_message *answer, struct muster_error *error)
{
    struct muster_group_partner partner = {.rank = peer, .message = message, .receives = true};
    enum muster_status status = muster_group_exchange_all(group, tag, &partner, 1, timeout_ms, error);
    *answer = partner.answer;
    return status;
}

static enum muster_status check_partners(struct muster_group *group, uint32_t tag,
                                         struct muster_group_partner *partners, size_t count,
                                         struct muster_error *error)
{
    const char *function = "muster_group_exchange";
    enum muster_status status = muster__group_may(group, function, error);
    for (size_t i = 0; i < count; i++) {
        partners[i].answer = (struct muster_message)MUSTER_MESSAGE_INIT;
        if (status == MUSTER_OK)
            status = check(group, function, partners[i].rank, tag, error);
    }
    for (size_t i = 0; i < count; i++)
        partners[i].status = status;
    return status;
}

enum muster_status muster_group_exchange_all(struct muster_group *group, uint32_t tag,
                                             struct muster_group_partner *partners, size_t count,
                                             int64_t timeout_ms, struct muster_error *error)
{
    enum muster_status status = check_partners(group, tag, partners, count, error);
    if (status != MUSTER_OK || count == 0)
        return status;
    struct operation *operations = calloc(2 * count, sizeof(*operations));
    if (!operations)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    size_t begun = 0;
    for (size_t i = 0; i < count; i++) {
        const struct operation *receive = NULL;
        if (partners[i].receives) {
            receive = &operations[begun];
            operations[begun++] =
                (struct operation){.kind = OPERATION_RECEIVE, .rank = partners[i].rank, .tag = tag};
        }
        if (partners[i].message)
            operations[begun++] = (struct operation){.kind = OPERATION_SEND,
                                                     .rank = partners[i].rank,
                                                     .tag = tag,
                                                     .other = receive,
                                                     .sent = partners[i].message};
    }
    status = muster__group_run(group, operations, begun, timeout_ms, error);
    begun = 0;
    for (size_t i = 0; i < count; i++) {
        const struct operation *receive = partners[i].receives ? &operations[begun++] : NULL;
        const struct operation *send = partners[i].message ? &operations[begun++] : NULL;
        if (receive)
            partners[i].answer = receive->message;
        partners[i].status = receive && receive->status != MUSTER_OK ? receive->status
                             : send                                  ? send->status
                                                                     : MUSTER_OK;
    }
    free(operations);
    return status;
}
