/* What happens to the groups of a coordinator and to their members: see the header. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "group/coordinator_groups.h"
#include "status.h"

/* ---- what is told ---- */

static void tell(struct groups *groups, const struct group *group, const struct place *place,
                 enum muster_member_state state, const char *text)
{
    if (groups->tell)
        groups->tell(groups->context, group, muster__group_rank_of(group, place), state, text);
}

/* Another epoch begins. */
static void turn_over(struct groups *groups, struct group *group)
{
    group->epoch++;
    group->changed = true;
    groups->unsaved = true;
}

/* ---- groups end ---- */

static bool is_empty(const struct group *group)
{
    for (uint32_t i = 0; i < group->count; i++) {
        if (group->places[i]->owner || group->places[i]->claimant)
            return false;
    }
    return group->awaited_until == 0 && group->stage != MUSTER_GROUP_RUNS;
}

/* Forgets groups that nobody is in any more. */
static void sweep(struct groups *groups)
{
    for (struct group **at = &groups->first; *at;) {
        struct group *group = *at;
        if (!is_empty(group)) {
            at = &group->next;
            continue;
        }
        *at = group->next;
        groups->count--;
        groups->unsaved = true;
        muster__groups_add_lost(groups, group);
        if (group->stage != MUSTER_GROUP_GATHERS && !muster__groups_find_live(groups, group->name)) {
            muster__groups_add_ended(groups, group->name);
            group->name = NULL;
        }
        muster__groups_free_group(groups, group);
    }
}

static void look_whether_over(struct group *group)
{
    for (uint32_t i = 0; i < group->count; i++) {
        if (group->places[i]->state == MUSTER_MEMBER_PRESENT)
            return;
    }
    group->stage = MUSTER_GROUP_OVER;
}

static void lose(struct groups *groups, struct group *group, struct place *place)
{
    place->state = MUSTER_MEMBER_LOST;
    turn_over(groups, group);
    tell(groups, group, place, MUSTER_MEMBER_LOST, "its process or its network is gone");
    look_whether_over(group);
}

void muster__groups_finished(struct groups *groups, struct group *group, struct place *place)
{
    if (group->stage != MUSTER_GROUP_RUNS || place->state != MUSTER_MEMBER_PRESENT)
        return;
    place->state = MUSTER_MEMBER_FINISHED;
    turn_over(groups, group);
    tell(groups, group, place, MUSTER_MEMBER_FINISHED, "it has left");
    look_whether_over(group);
}

/* ---- gathering ---- */

/* Takes out of a group that gathers, and those behind move down. */
static struct place *take_place(struct group *group, uint32_t rank)
{
    struct place *place = group->places[rank];
    group->count--;
    memmove(group->places + rank, group->places + rank + 1, (group->count - rank) * sizeof(struct place *));
    return place;
}

static void drop(struct groups *groups, struct group *group, uint32_t rank, const char *why)
{
    tell(groups, group, group->places[rank], MUSTER_MEMBER_LOST, why);
    struct place *place = take_place(group, rank);
    place->next = groups->dropped;
    groups->dropped = place;
}

static uint32_t count_here(const struct group *group)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < group->count; i++)
        count += group->places[i]->here;
    return count;
}

static void drop_those_away(struct groups *groups, struct group *group)
{
    for (uint32_t rank = group->count; rank-- > 0;) {
        if (!group->places[rank]->here)
            drop(groups, group, rank, "it was not there when the group began, or could not begin");
    }
}

static int compare_names(const void *a, const void *b)
{
    return strverscmp((*(struct place *const *)a)->name, (*(struct place *const *)b)->name);
}

/* It is complete. Ranks go by names, so that who has which does not depend on who came first. */
static void begin(struct groups *groups, struct group *group)
{
    drop_those_away(groups, group);
    qsort(group->places, group->count, sizeof(*group->places), compare_names);
    group->stage = MUSTER_GROUP_RUNS;
    turn_over(groups, group);
    for (uint32_t i = 0; i < group->count; i++)
        tell(groups, group, group->places[i], MUSTER_MEMBER_PRESENT, "the group is complete");
}

static void begin_if_complete(struct groups *groups, struct group *group)
{
    if (group->stage == MUSTER_GROUP_GATHERS && count_here(group) == group->wanted)
        begin(groups, group);
}

static void fail(struct groups *groups, struct group *group)
{
    drop_those_away(groups, group);
    int length = snprintf(group->fault, sizeof(group->fault), "%u of %u members came in time", group->count,
                          group->wanted);
    if (group->least < group->wanted)
        length += snprintf(group->fault + length, sizeof(group->fault) - (size_t)length,
                           ", and %u are needed", group->least);
    for (uint32_t i = 0; i < group->count; i++) {
        size_t left = sizeof(group->fault) - (size_t)length;
        int more = snprintf(group->fault + length, left, "%s '%.64s'", i ? "," : ":", group->places[i]->name);
        if ((size_t)more + sizeof(", ...") > left) {
            snprintf(group->fault + length, left, ", ...");
            break;
        }
        length += more;
    }
    group->stage = MUSTER_GROUP_FAILED;
    group->changed = groups->unsaved = true;
    for (uint32_t i = 0; i < group->count; i++)
        tell(groups, group, group->places[i], MUSTER_MEMBER_LOST, "too few members came in time");
}

/* ---- claims ---- */

static enum muster_status out_of_memory(struct muster_error *error)
{
    return muster__error(error, MUSTER_OUT_OF_MEMORY, "the coordinator is out of memory");
}

static enum muster_status new_group(struct groups *groups, const struct registration *registration,
                                    int64_t now, struct group **group, struct muster_error *error)
{
    uint8_t secret[GROUP_SECRET_SIZE];
    if (registration->size > groups->most_members)
        return muster__error(error, MUSTER_REFUSED,
                             "a group of this coordinator has at most %u members, not %u",
                             groups->most_members, registration->size);
    if (groups->count >= groups->most)
        return muster__error(error, MUSTER_FULL, "the coordinator has %zu groups, and takes no more",
                             groups->most);
    if (getrandom(secret, sizeof(secret), 0) != sizeof(secret))
        return muster__error(error, MUSTER_UNAVAILABLE, "the coordinator cannot get random numbers");
    *group = muster__groups_add(groups, registration->group, registration->size, registration->least);
    if (!*group)
        return out_of_memory(error);
    (*group)->since = now;
    memcpy((*group)->secret, secret, sizeof(secret));
    if (registration->limit_ms >= 0 && registration->limit_ms < INT64_MAX - now)
        (*group)->deadline = now + registration->limit_ms;
    groups->unsaved = true;
    muster__groups_forget_ended(groups, registration->group);
    return MUSTER_OK;
}

/* All say the same, as long as it matters. */
static enum muster_status check_wishes(const struct group *group, const struct registration *registration,
                                       struct muster_error *error)
{
    if (registration->size != group->wanted)
        return muster__error(error, MUSTER_REFUSED, "the group '%.64s' has %u members, not %u", group->name,
                             group->wanted, registration->size);
    if (group->stage == MUSTER_GROUP_GATHERS && registration->least != group->least)
        return muster__error(error, MUSTER_REFUSED,
                             "the group '%.64s' begins with %u members at least, not %u", group->name,
                             group->least, registration->least);
    return MUSTER_OK;
}

static enum muster_status claim_place(struct place *place, void *who, struct muster_error *error)
{
    if (place->claimant)
        return muster__error(error, MUSTER_EXISTS, "the name '%.64s' is in use: choose another", place->name);
    place->claimant = who;
    return MUSTER_OK;
}

/* Room for one more: who is away makes it. */
static bool make_room(struct groups *groups, struct group *group)
{
    if (group->stage != MUSTER_GROUP_GATHERS)
        return false;
    if (group->count < group->wanted)
        return true;
    for (uint32_t rank = 0; rank < group->count; rank++) {
        const struct place *place = group->places[rank];
        if (place->owner && !place->here && !place->claimant) {
            drop(groups, group, rank, "it was away, and another has its place");
            return true;
        }
    }
    return false;
}

static enum muster_status claim_in(struct groups *groups, struct group *group,
                                   const struct registration *registration, void *who,
                                   struct muster_error *error)
{
    enum muster_status status = check_wishes(group, registration, error);
    struct place *place = muster__group_find_place(group, registration->name);
    if (status != MUSTER_OK)
        return status;
    if (place)
        return claim_place(place, who, error);
    if (!make_room(groups, group))
        return muster__error(error, MUSTER_FULL, "the group '%.64s' has all its %u members", group->name,
                             group->count);
    place =
        muster__group_add_place(group, registration->name, registration->address, registration->incarnation);
    if (!place)
        return out_of_memory(error);
    place->claimant = who;
    return MUSTER_OK;
}

enum muster_status muster__groups_claim(struct groups *groups, const struct registration *registration,
                                        void *who, int64_t now, struct muster_error *error)
{
    struct place *place = muster__groups_find_process(groups, registration);
    struct group *group = muster__groups_find_live(groups, registration->group);
    enum muster_status status = MUSTER_OK;
    if (place)
        return claim_place(place, who, error);
    if (muster__groups_was_lost(groups, registration->incarnation))
        return muster__error(error, MUSTER_REFUSED,
                             "the coordinator has forgotten the group '%.64s', as it was cut off from all "
                             "members for longer than its grace",
                             registration->group);
    if (!group)
        status = new_group(groups, registration, now, &group, error);
    if (status == MUSTER_OK)
        status = claim_in(groups, group, registration, who, error);
    if (status != MUSTER_OK)
        sweep(groups);
    return status;
}

/* ---- joining, and the rest of a member's life ---- */

/* Whether the place is known under other marks from now on; false in *ok: out of memory. */
static bool take_marks(struct place *place, const struct registration *registration, bool *ok)
{
    *ok = true;
    if (place->incarnation == registration->incarnation && strcmp(place->address, registration->address) == 0)
        return false;
    char *address = strdup(registration->address);
    if (!address) {
        *ok = false;
        return false;
    }
    free(place->address);
    place->address = address;
    place->incarnation = registration->incarnation;
    return true;
}

bool muster__groups_joined(struct groups *groups, const struct registration *registration, void *who)
{
    struct group *group;
    struct place *place = muster__groups_find(groups, registration->group, registration->name, who, &group);
    bool ok, another_process;
    if (!place)
        return false;
    another_process = place->incarnation != registration->incarnation;
    bool marked = take_marks(place, registration, &ok);
    if (!ok)
        return false;
    bool first = !place->owner;
    place->owner = who;
    place->claimant = NULL;
    place->here = true;
    place->told = 0;
    place->busy = place->asks = false;
    if (group->stage == MUSTER_GROUP_GATHERS) {
        tell(groups, group, place, MUSTER_MEMBER_PRESENT,
             first ? "it has registered" : "it was started again");
        begin_if_complete(groups, group);
    } else if (group->stage == MUSTER_GROUP_RUNS &&
               (place->state == MUSTER_MEMBER_LOST || another_process || marked)) {
        if (place->state == MUSTER_MEMBER_LOST || another_process)
            place->state = MUSTER_MEMBER_PRESENT;
        place->restarted = place->restarted || another_process;
        turn_over(groups, group);
        tell(groups, group, place, place->state, another_process ? "it was started again" : "it is back");
    }
    place->since = group->epoch;
    return true;
}

void muster__groups_here(struct groups *groups, const char *group_name, const char *name, void *who,
                         bool here)
{
    struct group *group;
    struct place *place = muster__groups_find(groups, group_name, name, who, &group);
    if (!place || place->owner != who)
        return;
    place->here = here;
    begin_if_complete(groups, group);
}

/* Who is gone is not to be sent away any more. */
static void forget_dropped(struct groups *groups, const void *who)
{
    for (struct place *place = groups->dropped; place; place = place->next) {
        if (place->owner == who)
            place->owner = NULL;
        if (place->claimant == who)
            place->claimant = NULL;
    }
}

void muster__groups_gone(struct groups *groups, const char *group_name, const char *name, void *who,
                         int64_t now)
{
    struct group *group;
    forget_dropped(groups, who);
    struct place *place = muster__groups_find(groups, group_name, name, who, &group);
    if (!place)
        return;
    bool owned = place->owner == who;
    if (owned) {
        place->owner = NULL;
        place->here = place->busy = place->asks = false;
    } else
        place->claimant = NULL;
    if (place->owner || place->claimant)
        return;
    if (group->stage == MUSTER_GROUP_GATHERS) {
        if (owned)
            tell(groups, group, place, MUSTER_MEMBER_LOST, "it has gone before the group was complete");
        muster__place_free(take_place(group, muster__group_rank_of(group, place)));
    } else if (group->stage == MUSTER_GROUP_RUNS && place->state == MUSTER_MEMBER_PRESENT &&
               (owned || group->awaited_until <= now))
        lose(groups, group, place);
    sweep(groups);
}

/* ---- time ---- */

static void await_no_longer(struct groups *groups, struct group *group)
{
    group->awaited_until = 0;
    for (uint32_t i = 0; group->stage == MUSTER_GROUP_RUNS && i < group->count; i++) {
        struct place *place = group->places[i];
        if (place->state == MUSTER_MEMBER_PRESENT && !place->owner && !place->claimant)
            lose(groups, group, place);
    }
}

void muster__groups_tick(struct groups *groups, int64_t now)
{
    for (struct group *group = groups->first; group; group = group->next) {
        if (group->awaited_until && group->awaited_until <= now)
            await_no_longer(groups, group);
        if (group->stage == MUSTER_GROUP_GATHERS && group->deadline <= now) {
            if (count_here(group) >= group->least)
                begin(groups, group);
            else
                fail(groups, group);
        }
    }
    sweep(groups);
}

int64_t muster__groups_due(const struct groups *groups)
{
    int64_t due = INT64_MAX;
    for (const struct group *group = groups->first; group; group = group->next) {
        if (group->awaited_until && group->awaited_until < due)
            due = group->awaited_until;
        if (group->stage == MUSTER_GROUP_GATHERS && group->deadline < due)
            due = group->deadline;
    }
    return due;
}
