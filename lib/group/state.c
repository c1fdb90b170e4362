/* What a member publishes, and what it fetches from others. */
#include <config.h>

#include <stdio.h>

#include "group/batch.h"
#include "group/internal.h"
#include "status.h"
#include "wire/wire.h"

/* A peer may have so many fetches that were not answered yet. */
#define SERVED_MOST 64

/* ---- giving; with the lock held ---- */

/* The state is on its way to the peer. */
static bool give(struct link *link, uint64_t least)
{
    struct muster_group *group = link->group;
    struct muster_message view = group->state;
    muster__storage_retain(view.storage);
    struct parcel *parcel = muster__parcel_new(&view, least);
    if (!parcel) {
        muster__storage_release(view.storage);
        return false;
    }
    parcel->state = true;
    parcel->version = group->version;
    muster__outbox_add_ready(&link->outbox, parcel);
    muster__link_kick(link);
    return true;
}

bool muster__state_fetched(struct link *link, uint64_t least)
{
    struct muster_group *group = link->group;
    struct outbox *outbox = &link->outbox;
    if (link->served.count + outbox->unmet.count + muster__outbox_states(outbox) >= SERVED_MOST)
        return false;
    if (group->published && group->version >= least)
        return give(link, least);
    return muster__numbers_add(group->left ? &outbox->unmet : &link->served, least);
}

void muster__state_unfetched(struct link *link, uint64_t least)
{
    if (!muster__numbers_remove(&link->served, least) && !muster__numbers_remove(&link->outbox.unmet, least))
        muster__outbox_drop_state(&link->outbox, least);
}

/* Gives it to those who have waited for it. */
static void give_to_all(struct muster_group *group)
{
    for (uint32_t rank = 0; rank < group->size; rank++) {
        struct link *link = &group->links[rank];
        for (size_t i = 0; i < link->served.count;) {
            uint64_t least = link->served.values[i];
            if (least > group->version) {
                i++;
                continue;
            }
            muster__numbers_remove(&link->served, least);
            if (!give(link, least)) {
                muster__link_lost(link, MUSTER_OUT_OF_MEMORY, "out of memory");
                break;
            }
        }
    }
}

void muster__state_finish(struct muster_group *group)
{
    for (uint32_t rank = 0; rank < group->size; rank++) {
        struct link *link = &group->links[rank];
        if (link->served.count == 0)
            continue;
        muster__numbers_clear(&link->outbox.unmet); /* it was empty: nothing waits in vain before this */
        link->outbox.unmet = link->served;
        link->served = (struct numbers){0};
        muster__link_kick(link);
    }
}

enum muster_status muster_group_publish(struct muster_group *group, uint64_t version,
                                        const struct muster_message *message, struct muster_error *error)
{
    struct muster_message copy = MUSTER_MESSAGE_INIT;
    enum muster_status status = muster__batch_check(message, error);
    if (status == MUSTER_OK)
        status = muster__message_copy(TO_PARTICIPANT, message, &copy, error);
    if (status != MUSTER_OK)
        return status;
    pthread_mutex_lock(&group->lock);
    if (group->closed || group->left) {
        status = muster__error(error, MUSTER_CLOSED, "this member has left the group");
    } else if (group->published && version <= group->version) {
        status = muster__error(error, MUSTER_INVALID, "version %llu is not above the last one, %llu",
                               (unsigned long long)version, (unsigned long long)group->version);
    } else {
        struct muster_message old = group->state;
        group->state = copy;
        copy = old;
        group->published = true;
        group->version = version;
        give_to_all(group);
    }
    muster__group_unlock(group);
    muster_message_clear(&copy);
    return status;
}

/* ---- getting ---- */

void muster__state_unmet(struct link *link, uint64_t least)
{
    for (struct operation **place = &link->fetches; *place; place = &(*place)->next) {
        struct operation *fetch = *place;
        if (fetch->tag == least) {
            char name[RANK_TEXT_SIZE], text[MUSTER_ERROR_TEXT_SIZE];
            *place = fetch->next;
            snprintf(text, sizeof(text), "%s has left the group without a version %llu",
                     muster__group_name_rank(link->group, link->rank, name), (unsigned long long)least);
            muster__operation_end(link->group, fetch, MUSTER_CLOSED, text);
            return;
        }
    }
}

void muster__state_came(struct link *link, uint64_t version, uint64_t least, struct muster_message *message)
{
    for (struct operation **place = &link->fetches; *place; place = &(*place)->next) {
        struct operation *fetch = *place;
        if (fetch->tag == least && least <= version) {
            *place = fetch->next;
            link->fetched = true;
            link->fetched_version = version;
            fetch->message = *message;
            fetch->source = link->rank;
            fetch->tagged = version;
            *message = (struct muster_message)MUSTER_MESSAGE_INIT;
            muster__operation_end(link->group, fetch, MUSTER_OK, "");
            return;
        }
    }
}

enum muster_status muster_group_fetch(struct muster_group *group, uint32_t from, uint64_t least,
                                      int64_t timeout_ms, struct muster_message *message, uint64_t *version,
                                      struct muster_error *error)
{
    *message = (struct muster_message)MUSTER_MESSAGE_INIT;
    enum muster_status status = muster__group_may(group, "muster_group_fetch", error);
    if (status == MUSTER_OK)
        status = muster__group_check_rank(group, from, error);
    if (status != MUSTER_OK)
        return status;
    struct operation operation = {.kind = OPERATION_FETCH, .rank = from, .tag = least};
    status = muster__group_run(group, &operation, 1, timeout_ms, error);
    *message = operation.message;
    if (status == MUSTER_OK && version)
        *version = operation.tagged;
    return status;
}
