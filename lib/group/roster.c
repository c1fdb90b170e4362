/* What a member knows of its group. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "group/internal.h"
#include "status.h"
#include "text.h"

uint32_t muster_group_rank(const struct muster_group *group)
{
    return group->rank;
}

uint32_t muster_group_size(const struct muster_group *group)
{
    return group->size;
}

struct roster *muster__group_get_roster(struct muster_group *group)
{
    pthread_mutex_lock(&group->lock);
    struct roster *roster = muster__roster_retain(group->roster);
    pthread_mutex_unlock(&group->lock);
    return roster;
}

uint64_t muster_group_epoch(struct muster_group *group)
{
    pthread_mutex_lock(&group->lock);
    uint64_t epoch = group->roster->epoch;
    pthread_mutex_unlock(&group->lock);
    return epoch;
}

struct muster_member *muster_group_roster(struct muster_group *group, uint64_t *epoch)
{
    struct roster *roster = muster__group_get_roster(group);
    size_t size = roster->size * sizeof(struct muster_member);
    for (uint32_t i = 0; i < roster->size; i++)
        size += strlen(roster->entries[i].name) + strlen(roster->entries[i].address) + 2;
    struct muster_member *members = malloc(size);
    if (members) {
        char *next = (char *)(members + roster->size);
        for (uint32_t i = 0; i < roster->size; i++) {
            const struct roster_entry *entry = &roster->entries[i];
            members[i] = (struct muster_member){.rank = i,
                                                .state = entry->state,
                                                .name = muster__put_text(&next, entry->name),
                                                .address = muster__put_text(&next, entry->address),
                                                .incarnation = entry->incarnation};
        }
        if (epoch)
            *epoch = roster->epoch;
    }
    muster__roster_release(roster);
    return members;
}
