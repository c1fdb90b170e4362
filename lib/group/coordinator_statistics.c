/* What a coordinator can be asked of its groups. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "group/coordinator_groups.h"
#include "options.h"
#include "text.h"

const char *muster_group_stage_name(enum muster_group_stage stage)
{
    static const char *const names[] = {"gathers", "runs", "over", "failed"};
    return (unsigned)stage < sizeof(names) / sizeof(*names) ? names[stage] : "unknown";
}

static struct muster_coordinator_group look_at(const struct group *group, int64_t now)
{
    struct muster_coordinator_group own = {.stage = group->stage,
                                           .since_ms = now - group->since,
                                           .left_ms = MUSTER_NO_LIMIT,
                                           .members = group->wanted,
                                           .least = group->least,
                                           .epoch = group->epoch};
    if (group->stage == MUSTER_GROUP_GATHERS && group->deadline != INT64_MAX)
        own.left_ms = group->deadline > now ? group->deadline - now : 0;
    for (uint32_t i = 0; i < group->count; i++) {
        const struct place *place = group->places[i];
        bool present = place->state == MUSTER_MEMBER_PRESENT;
        own.present += present ? 1 : 0;
        own.away += present && !place->here ? 1 : 0;
        own.lost += place->state == MUSTER_MEMBER_LOST ? 1 : 0;
        own.finished += place->state == MUSTER_MEMBER_FINISHED ? 1 : 0;
    }
    return own;
}

struct muster_coordinator_group *muster__groups_list(const struct groups *groups, int64_t now, size_t *count,
                                                     size_t size)
{
    size_t bytes = 1, i = 0;
    for (const struct group *group = groups->first; group; group = group->next)
        bytes += size + strlen(group->name) + 1;
    char *list = malloc(bytes), *next = list ? list + groups->count * size : NULL;
    for (const struct group *group = groups->first; list && group; group = group->next) {
        struct muster_coordinator_group own = look_at(group, now);
        own.name = muster__put_text(&next, group->name);
        muster__options_give(list + i++ * size, size, &own, sizeof(own));
    }
    *count = i;
    return (struct muster_coordinator_group *)(void *)list;
}
