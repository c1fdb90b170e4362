/* Operations: how they begin, how a thread waits for them, and how they end. */
#include <config.h>

#include <stdio.h>

#include "callback.h"
#include "group/batch.h"
#include "group/internal.h"
#include "status.h"
#include "wire/wire.h"

/* So many fetches from one peer at a time. */
#define FETCHES_MOST 64

const char *muster__group_name_rank(const struct muster_group *group, uint32_t rank,
                                    char text[RANK_TEXT_SIZE])
{
    char name[80];
    snprintf(text, RANK_TEXT_SIZE, "rank %u ('%s')", (unsigned)rank,
             muster_text_harmless(group->roster->entries[rank].name, name, sizeof(name)));
    return text;
}

enum muster_status muster__group_may(struct muster_group *group, const char *function,
                                     struct muster_error *error)
{
    if (muster__in_callback())
        return muster__error(error, MUSTER_INVALID, "%s() waits: call it outside callbacks", function);
    muster__dials_free(group, false);
    return MUSTER_OK;
}

enum muster_status muster__group_check_rank(const struct muster_group *group, uint32_t rank,
                                            struct muster_error *error)
{
    if (rank >= group->size)
        return muster__error(error, MUSTER_INVALID, "there is no rank %u: the group has %u members",
                             (unsigned)rank, (unsigned)group->size);
    if (rank == group->rank)
        return muster__error(error, MUSTER_INVALID, "rank %u is this member itself", (unsigned)rank);
    return MUSTER_OK;
}

int64_t muster__group_left(const struct muster_group *group, int64_t begun, int64_t limit_ms)
{
    if (limit_ms == MUSTER_NO_LIMIT)
        return limit_ms;
    int64_t left = limit_ms - (group->transport->ops->now(group->transport) - begun);
    return left > 0 ? left : 0;
}

/* ---- the end ---- */

void muster__operation_end(struct muster_group *group, struct operation *operation, enum muster_status status,
                           const char *text)
{
    operation->ended = true;
    operation->status = status;
    operation->parcel = NULL;
    operation->arrival = NULL;
    operation->next = NULL;
    snprintf(operation->text, sizeof(operation->text), "%s", text);
    pthread_cond_broadcast(&group->changed);
}

void muster__operation_receive(struct muster_group *group, struct operation *receive, struct arrival *arrival)
{
    struct link *link = &group->links[arrival->from];
    receive->message = arrival->message;
    receive->source = arrival->from;
    receive->tagged = arrival->tag;
    arrival->message = (struct muster_message)MUSTER_MESSAGE_INIT;
    if (arrival->old)
        link->outbox.own_leftover -= arrival->charge;
    else
        link->outbox.own_taken += arrival->charge;
    muster__arrival_free(arrival);
    muster__link_kick(link); /* it may have to be told of the room */
    muster__operation_end(group, receive, MUSTER_OK, "");
}

/* ---- the beginning; with the lock held ---- */

/* A receive has taken an offer, which is wanted now. */
static void want(struct muster_group *group, struct operation *receive, struct arrival *arrival)
{
    struct link *link = &group->links[arrival->from];
    if (arrival->wanted)
        return;
    arrival->wanted = muster__numbers_add(&link->outbox.wants, arrival->offer);
    muster__link_kick(link);
    if (arrival->wanted)
        return;
    muster__inbox_give_up(&group->inbox, receive);
    muster__operation_end(group, receive, MUSTER_OUT_OF_MEMORY, "out of memory");
}

/* The coordinator does not have this member any more. */
static enum muster_status why_ended(const struct muster_group *group, char text[MUSTER_ERROR_TEXT_SIZE])
{
    snprintf(text, MUSTER_ERROR_TEXT_SIZE, "this member is none of its group any more: %.180s",
             group->end_text);
    return MUSTER_GONE;
}

/* Why nothing can come from, or go to, that rank any more; OK if it can. */
static enum muster_status why_not(const struct muster_group *group, uint32_t rank,
                                  char text[MUSTER_ERROR_TEXT_SIZE])
{
    char name[RANK_TEXT_SIZE];
    enum muster_member_state state = group->roster->entries[rank].state;
    muster__group_name_rank(group, rank, name);
    if (state == MUSTER_MEMBER_LOST) {
        snprintf(text, MUSTER_ERROR_TEXT_SIZE, "%s is lost", name);
        return MUSTER_GONE;
    }
    if (state == MUSTER_MEMBER_FINISHED) {
        snprintf(text, MUSTER_ERROR_TEXT_SIZE, "%s has left the group", name);
        return MUSTER_CLOSED;
    }
    return MUSTER_OK;
}

/* Whether one of those that an operation waits for can be had; otherwise why not. */
static enum muster_status why_none(const struct muster_group *group, const struct operation *operation,
                                   char text[MUSTER_ERROR_TEXT_SIZE])
{
    enum muster_status status = MUSTER_OK;
    if (operation->rank != MUSTER_ANY_RANK)
        return operation->kind == OPERATION_FETCH &&
                       group->roster->entries[operation->rank].state == MUSTER_MEMBER_FINISHED
                   ? MUSTER_OK /* it gives what it has until all have finished */
                   : why_not(group, operation->rank, text);
    for (uint32_t rank = 0; rank < group->size; rank++) {
        enum muster_status one = rank == group->rank ? MUSTER_OK : why_not(group, rank, text);
        if (rank != group->rank && one == MUSTER_OK)
            return MUSTER_OK;
        status = one == MUSTER_OK ? status : one;
    }
    snprintf(text, MUSTER_ERROR_TEXT_SIZE, "all other members are lost or have left");
    return status == MUSTER_OK ? MUSTER_INVALID : status;
}

/* Whether everyone is there for a collective operation; otherwise who is not. One that has left may have done its part.
   One that was started again does not know how many there were before. */
static enum muster_status why_not_all(const struct muster_group *group, char text[MUSTER_ERROR_TEXT_SIZE])
{
    for (uint32_t rank = 0; rank < group->size; rank++) {
        const struct roster_entry *entry = &group->roster->entries[rank];
        if (entry->state == MUSTER_MEMBER_LOST)
            return why_not(group, rank, text);
        if (entry->restarted) {
            char name[RANK_TEXT_SIZE];
            snprintf(text, MUSTER_ERROR_TEXT_SIZE,
                     "%s was started again, and this needs members that were there from the first on",
                     muster__group_name_rank(group, rank, name));
            return MUSTER_GONE;
        }
    }
    return MUSTER_OK;
}

enum muster_status muster__group_check_all(struct muster_group *group, struct muster_error *error)
{
    char text[MUSTER_ERROR_TEXT_SIZE];
    pthread_mutex_lock(&group->lock);
    enum muster_status status = why_not_all(group, text);
    pthread_mutex_unlock(&group->lock);
    return status == MUSTER_OK ? MUSTER_OK : muster__error(error, status, "%s", text);
}

/* Whether it has got so far that only the link can end it: what is on its way comes, and is confirmed, though the peer
   has left meanwhile. */
static bool is_under_way(const struct operation *operation)
{
    const struct parcel *parcel = operation->parcel;
    return operation->arrival ||
           (parcel && (parcel->place == PARCEL_IN_FLIGHT || parcel->place == PARCEL_READY));
}

void muster__operation_post(struct muster_group *group, struct operation *receive)
{
    char text[MUSTER_ERROR_TEXT_SIZE];
    receive->next = NULL;
    struct arrival *arrival = muster__inbox_receive(&group->inbox, receive);
    if (arrival && arrival->offer) {
        want(group, receive, arrival);
        return;
    }
    if (arrival) {
        muster__operation_receive(group, receive, arrival);
        return;
    }
    enum muster_status status = why_none(group, receive, text);
    if (status == MUSTER_OK)
        return;
    muster__inbox_give_up(&group->inbox, receive);
    muster__operation_end(group, receive, status, text);
}

/* Whether it is offered before it is copied, as its receiver has to want it first anyway. */
static bool is_copied_later(const struct muster_group *group, const struct operation *operation)
{
    return operation->kind == OPERATION_SEND &&
           muster__message_charge(operation->sent) > group->options.eager_size;
}

static void begin_send(struct muster_group *group, struct operation *send)
{
    struct link *link = &group->links[send->rank];
    struct parcel *parcel = is_copied_later(group, send) ? muster__parcel_new_empty(send->sent, send->tag)
                                                         : muster__parcel_new(&send->message, send->tag);
    if (!parcel) {
        muster__operation_end(group, send, MUSTER_OUT_OF_MEMORY, "out of memory");
        return;
    }
    parcel->operation = send;
    parcel->exchanged = send->other;
    send->parcel = parcel;
    muster__outbox_add(&link->outbox, parcel);
    if (send->other && !send->other->ended)
        muster__link_be_patient(link);
    muster__link_kick(link);
}

static void begin_fetch(struct muster_group *group, struct operation *fetch)
{
    struct link *link = &group->links[fetch->rank];
    struct operation **place = &link->fetches;
    size_t count = 0;
    for (; *place; place = &(*place)->next)
        count++;
    if (count >= FETCHES_MOST) {
        char name[RANK_TEXT_SIZE], text[MUSTER_ERROR_TEXT_SIZE];
        snprintf(text, sizeof(text), "%d fetches from %s wait already", FETCHES_MOST,
                 muster__group_name_rank(group, fetch->rank, name));
        muster__operation_end(group, fetch, MUSTER_FULL, text);
    } else if (!muster__numbers_add(&link->outbox.fetches, fetch->tag)) {
        muster__operation_end(group, fetch, MUSTER_OUT_OF_MEMORY, "out of memory");
    } else {
        *place = fetch;
        muster__link_kick(link);
    }
}

static void begin(struct muster_group *group, struct operation *operation)
{
    char text[MUSTER_ERROR_TEXT_SIZE];
    enum muster_status status = MUSTER_OK;
    operation->begun = true;
    if (group->closed || group->left) {
        status = MUSTER_CLOSED;
        snprintf(text, sizeof(text), "this member has left the group");
    } else if (group->ended) {
        status = why_ended(group, text);
    } else if (operation->collective) {
        status = why_not_all(group, text);
    }
    if (status == MUSTER_OK && operation->kind == OPERATION_RECEIVE) {
        muster__operation_post(group, operation); /* what has come can be had from one that is gone */
        return;
    }
    if (status == MUSTER_OK)
        status = why_none(group, operation, text);
    if (status != MUSTER_OK)
        muster__operation_end(group, operation, status, text);
    else if (operation->kind == OPERATION_SEND)
        begin_send(group, operation);
    else
        begin_fetch(group, operation);
}

/* ---- a limit that passes; with the lock held ---- */

static void give_up_fetch(struct link *link, struct operation *fetch)
{
    struct operation **place = &link->fetches;
    while (*place && *place != fetch)
        place = &(*place)->next;
    if (!*place)
        return;
    *place = fetch->next;
    /* Where it was not asked for yet, it is not asked for. */
    if (!muster__numbers_remove(&link->outbox.fetches, fetch->tag) &&
        !muster__numbers_add(&link->outbox.unfetched, fetch->tag))
        muster__link_lost(link, MUSTER_OUT_OF_MEMORY, "out of memory");
    muster__link_kick(link);
}

/* Takes it out of where it waits. */
static void withdraw(struct muster_group *group, struct operation *operation)
{
    struct link *link = operation->rank < group->size ? &group->links[operation->rank] : NULL;
    if (operation->kind == OPERATION_RECEIVE) {
        struct arrival *arrival = muster__inbox_give_up(&group->inbox, operation);
        if (arrival)
            want(group, arrival->bound, arrival);
    } else if (operation->kind == OPERATION_FETCH) {
        give_up_fetch(link, operation);
    } else if (operation->parcel) {
        if (!muster__outbox_give_up(&link->outbox, operation->parcel))
            muster__link_lost(link, MUSTER_OUT_OF_MEMORY, "out of memory");
        muster__link_kick(link);
    }
}

/* What was waited for. */
static enum muster_status explain(const struct muster_group *group, const struct operation *operation,
                                  long long limit_ms, struct muster_error *error)
{
    char name[RANK_TEXT_SIZE];
    if (operation->rank == MUSTER_ANY_RANK)
        return muster__error(error, MUSTER_TIMEOUT, "nothing came from any rank within %lld ms", limit_ms);
    const struct link *link = &group->links[operation->rank];
    enum contact_state state = muster__link_state(link);
    bool is_up = state == CONTACT_USED || state == CONTACT_USES;
    muster__group_name_rank(group, operation->rank, name);
    if (!is_up && operation->kind != OPERATION_RECEIVE)
        return muster__error(error, *link->cause ? MUSTER_UNAVAILABLE : MUSTER_TIMEOUT,
                             "%s was not reached at %.64s within %lld ms%s%.80s", name,
                             group->roster->entries[operation->rank].address, limit_ms,
                             *link->cause ? ": " : "", link->cause);
    const char *what = "has not confirmed the message";
    if (operation->kind == OPERATION_FETCH)
        what = "has not published that version";
    else if (operation->kind == OPERATION_RECEIVE)
        what = "has sent nothing";
    else if (operation->parcel && operation->parcel->place == PARCEL_OFFERED)
        what = "has not called receive";
    return muster__error(error, MUSTER_TIMEOUT, "%s %s within %lld ms", name, what, limit_ms);
}

/* ---- running ---- */

void muster__waiting_begin(struct muster_group *group, struct waiting *waiting, int64_t limit_ms)
{
    bool collective = waiting->count && waiting->operations->collective;
    struct waiting **last = &group->waiting;
    if (collective)
        waiting->call = group->collective;
    waiting->since = collective ? group->collective_since : group->transport->ops->now(group->transport);
    waiting->until =
        limit_ms == MUSTER_NO_LIMIT ? INT64_MAX : muster__transport_after(group->transport, limit_ms);
    while (*last && (*last)->since <= waiting->since)
        last = &(*last)->next;
    waiting->next = *last;
    *last = waiting;
}

void muster__waiting_end(struct muster_group *group, const struct waiting *waiting)
{
    struct waiting **place = &group->waiting;
    while (*place != waiting)
        place = &(*place)->next;
    *place = waiting->next;
}

static enum muster_status copy_messages(const struct muster_group *group, struct operation *operations,
                                        size_t count, struct muster_error *error)
{
    enum muster_status status = MUSTER_OK;
    for (size_t i = 0; i < count && status == MUSTER_OK; i++) {
        struct operation *operation = &operations[i];
        if (operation->kind != OPERATION_SEND)
            continue;
        status = muster__batch_check(operation->sent, error);
        if (status == MUSTER_OK && !is_copied_later(group, operation))
            status = muster__message_copy(TO_PARTICIPANT, operation->sent, &operation->message, error);
    }
    for (size_t i = 0; i < count && status != MUSTER_OK; i++) {
        muster_message_clear(&operations[i].message);
        operations[i].status = status;
    }
    return status;
}

/* Takes it out of where it waits, and ends it. */
static void end_early(struct muster_group *group, struct operation *operation, enum muster_status status,
                      const char *text)
{
    withdraw(group, operation);
    if (!operation->ended)
        muster__operation_end(group, operation, status, text);
}

/* Copies what has been offered. */
static void copy_later(struct muster_group *group, struct operation *operation)
{
    struct muster_error error;
    if (!is_copied_later(group, operation))
        return;
    enum muster_status status =
        muster__message_copy(TO_PARTICIPANT, operation->sent, &operation->message, &error);
    pthread_mutex_lock(&group->lock);
    if (status != MUSTER_OK && !operation->ended) {
        end_early(group, operation, status, error.text);
    } else if (operation->parcel) {
        muster__parcel_fill(operation->parcel, &operation->message);
        muster__link_kick(&group->links[operation->rank]);
    }
    muster__group_unlock(group);
}

/* Ends what makes no sense any more: the group was closed, or by a new roster somebody is gone. */
static void look_again(struct muster_group *group, struct operation *operations, size_t count)
{
    char text[MUSTER_ERROR_TEXT_SIZE];
    for (size_t i = 0; i < count; i++) {
        struct operation *operation = &operations[i];
        enum muster_status status = MUSTER_OK;
        if (operation->ended)
            continue;
        if (group->closed)
            end_early(group, operation, MUSTER_CLOSED, "muster_group_close() was called");
        if (!operation->ended && group->ended)
            status = why_ended(group, text);
        if (!operation->ended && status == MUSTER_OK && operation->collective)
            status = why_not_all(group, text);
        if (!operation->ended && status == MUSTER_OK && !is_under_way(operation))
            status = why_none(group, operation, text);
        if (status != MUSTER_OK)
            end_early(group, operation, status, text);
    }
}

/* A collective operation waits for no word of a member that its own word does not reach. False: there is nothing such. */
static bool end_in_vain(struct muster_group *group, struct operation *operations, size_t count)
{
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        const struct operation *send = &operations[i];
        if (send->kind != OPERATION_SEND || !send->ended || send->status != MUSTER_UNAVAILABLE)
            continue;
        for (size_t j = 0; j < count; j++) {
            struct operation *receive = &operations[j];
            if (receive->kind != OPERATION_RECEIVE || !receive->collective || receive->rank != send->rank ||
                receive->ended || is_under_way(receive))
                continue;
            end_early(group, receive, send->status, send->text);
            found = true;
        }
    }
    return found;
}

static bool all_ended(const struct operation *operations, size_t count)
{
    size_t ended = 0;
    while (ended < count && operations[ended].ended)
        ended++;
    return ended == count;
}

enum muster_status muster__group_run(struct muster_group *group, struct operation *operations, size_t count,
                                     int64_t limit_ms, struct muster_error *error)
{
    struct waiter waiter;
    struct waiting waiting = {.operations = operations, .count = count};
    enum muster_status status = copy_messages(group, operations, count, error);
    if (status != MUSTER_OK)
        return status;
    pthread_mutex_lock(&group->lock);
    muster__waiting_begin(group, &waiting, limit_ms);
    for (size_t i = 0; i < count; i++)
        begin(group, &operations[i]);
    uint64_t epoch = group->roster->epoch;
    muster__group_unlock(group);
    for (size_t i = 0; i < count; i++)
        copy_later(group, &operations[i]);
    pthread_mutex_lock(&group->lock);
    muster__waiter_begin(&waiter, group->transport, &group->lock, &group->changed, limit_ms);
    while (!all_ended(operations, count) && !waiter.expired) {
        bool news = group->closed || group->ended || group->roster->epoch != epoch;
        epoch = group->roster->epoch;
        if (news)
            look_again(group, operations, count);
        else if (!end_in_vain(group, operations, count))
            muster__waiter_sleep(&waiter);
    }
    muster__waiter_end(&waiter);
    for (size_t i = 0; i < count; i++) {
        struct muster_error why;
        struct operation *operation = &operations[i];
        if (operation->ended)
            continue;
        explain(group, operation, (long long)limit_ms, &why);
        end_early(group, operation, why.status, why.text);
    }
    muster__waiting_end(group, &waiting);
    muster__group_unlock(group);
    for (size_t i = 0; i < count; i++) {
        if (operations[i].kind == OPERATION_SEND)
            muster_message_clear(&operations[i].message);
        if (status == MUSTER_OK && operations[i].status != MUSTER_OK)
            status = muster__error(error, operations[i].status, "%s", operations[i].text);
    }
    return status;
}
