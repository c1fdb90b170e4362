/* The list of a coordinator's groups: they are added, found and freed, and of those that are gone something is
   remembered. What happens to them is in coordinator_groups.c. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "group/coordinator_groups.h"

/* ---- memory ---- */

void muster__place_free(struct place *place)
{
    if (!place)
        return;
    free(place->name);
    free(place->address);
    free(place);
}

void muster__groups_free_group(struct groups *groups, struct group *group)
{
    for (uint32_t i = 0; i < group->count; i++)
        muster__place_free(group->places[i]);
    if (group->word)
        groups->forget(group->word);
    free(group->places);
    free(group->name);
    free(group);
}

void muster__groups_clear(struct groups *groups)
{
    while (groups->first) {
        struct group *group = groups->first;
        groups->first = group->next;
        muster__groups_free_group(groups, group);
    }
    while (groups->dropped) {
        struct place *place = groups->dropped;
        groups->dropped = place->next;
        muster__place_free(place);
    }
    for (size_t i = 0; i < groups->ended_count; i++)
        free(groups->ended[i]);
    free(groups->ended);
    free(groups->lost);
    groups->ended = NULL;
    groups->lost = NULL;
    groups->lost_count = groups->ended_count = groups->count = 0;
}

struct group *muster__groups_add(struct groups *groups, const char *name, uint32_t wanted, uint32_t least)
{
    struct group *group = calloc(1, sizeof(*group));
    if (group)
        group->name = strdup(name);
    if (!group || !group->name) {
        free(group);
        return NULL;
    }
    group->wanted = wanted;
    group->least = least;
    group->deadline = INT64_MAX;
    group->next = groups->first;
    groups->first = group;
    groups->count++;
    return group;
}

struct place *muster__group_add_place(struct group *group, const char *name, const char *address,
                                      uint64_t incarnation)
{
    struct place **places = realloc(group->places, (group->count + 1) * sizeof(struct place *));
    if (!places)
        return NULL;
    group->places = places;
    struct place *place = calloc(1, sizeof(*place));
    if (place) {
        place->name = strdup(name);
        place->address = strdup(address);
    }
    if (!place || !place->name || !place->address) {
        muster__place_free(place);
        return NULL;
    }
    place->incarnation = incarnation;
    group->places[group->count++] = place;
    return place;
}

/* ---- finding ---- */

static bool is_live(const struct group *group)
{
    return group->stage == MUSTER_GROUP_GATHERS || group->stage == MUSTER_GROUP_RUNS;
}

struct group *muster__groups_find_live(const struct groups *groups, const char *name)
{
    struct group *group = groups->first;
    while (group && (!is_live(group) || strcmp(group->name, name) != 0))
        group = group->next;
    return group;
}

struct place *muster__group_find_place(const struct group *group, const char *name)
{
    for (uint32_t i = 0; i < group->count; i++) {
        if (strcmp(group->places[i]->name, name) == 0)
            return group->places[i];
    }
    return NULL;
}

struct place *muster__groups_find_process(const struct groups *groups,
                                          const struct registration *registration)
{
    for (struct group *group = groups->first; group; group = group->next) {
        struct place *place = strcmp(group->name, registration->group) == 0
                                  ? muster__group_find_place(group, registration->name)
                                  : NULL;
        if (place && place->incarnation == registration->incarnation)
            return place;
    }
    return NULL;
}

struct place *muster__groups_find(const struct groups *groups, const char *group_name, const char *name,
                                  const void *who, struct group **found)
{
    for (struct group *group = groups->first; group; group = group->next) {
        struct place *place =
            strcmp(group->name, group_name) == 0 ? muster__group_find_place(group, name) : NULL;
        if (place && (place->owner == who || place->claimant == who)) {
            *found = group;
            return place;
        }
    }
    *found = NULL;
    return NULL;
}

uint32_t muster__group_rank_of(const struct group *group, const struct place *place)
{
    uint32_t rank = 0;
    while (group->places[rank] != place)
        rank++;
    return rank;
}

/* ---- those that are gone ---- */

bool muster__groups_has_ended(const struct groups *groups, const char *name)
{
    for (size_t i = 0; i < groups->ended_count; i++) {
        if (strcmp(groups->ended[i], name) == 0)
            return true;
    }
    return false;
}

static void remove_ended(struct groups *groups, size_t i)
{
    free(groups->ended[i]);
    groups->ended_count--;
    memmove(groups->ended + i, groups->ended + i + 1, (groups->ended_count - i) * sizeof(*groups->ended));
}

void muster__groups_forget_ended(struct groups *groups, const char *name)
{
    for (size_t i = groups->ended_count; i-- > 0;) {
        if (strcmp(groups->ended[i], name) == 0)
            remove_ended(groups, i);
    }
}

void muster__groups_add_ended(struct groups *groups, char *name)
{
    if (!groups->ended)
        groups->ended = calloc(groups->most, sizeof(*groups->ended));
    if (!groups->ended || muster__groups_has_ended(groups, name)) {
        free(name);
        return;
    }
    if (groups->ended_count == groups->most)
        remove_ended(groups, 0);
    groups->ended[groups->ended_count++] = name;
}

void muster__groups_add_lost(struct groups *groups, const struct group *group)
{
    for (uint32_t i = 0; i < group->count; i++) {
        if (group->places[i]->state != MUSTER_MEMBER_LOST)
            continue;
        if (!groups->lost)
            groups->lost = calloc(GROUPS_LOST_MOST, sizeof(*groups->lost));
        if (groups->lost)
            groups->lost[groups->lost_count++ % GROUPS_LOST_MOST] = group->places[i]->incarnation;
    }
}

bool muster__groups_was_lost(const struct groups *groups, uint64_t incarnation)
{
    for (size_t i = 0; i < groups->lost_count && i < GROUPS_LOST_MOST; i++) {
        if (groups->lost[i] == incarnation)
            return true;
    }
    return false;
}
