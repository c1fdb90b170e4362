/* What of the groups outlives the coordinator, and what their members are told, as bytes. A file is read
   as what a stranger wrote: each member of it is checked. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "group/coordinator_groups.h"
#include "group/packed.h"
#include "status.h"

#define FORMAT_NAME "muster groups 1"

/* ---- writing ---- */

/* In the memory of one allocation; NULL: out of memory. Its texts are the group's. */
static Muster__Group__Roster *describe(const struct group *group)
{
    size_t count = group->stage == MUSTER_GROUP_FAILED ? 0 : group->count;
    struct {
        Muster__Group__Roster roster;
        Muster__Group__Entry entries[];
    } *described = malloc(sizeof(*described) + count * (sizeof(*described->entries) + sizeof(void *)));
    if (!described)
        return NULL;
    Muster__Group__Entry **pointers = (void *)(described->entries + count);
    muster__group__roster__init(&described->roster);
    described->roster.epoch = group->epoch;
    described->roster.secret = (ProtobufCBinaryData){sizeof(group->secret), (uint8_t *)group->secret};
    described->roster.n_entries = count;
    described->roster.entries = pointers;
    if (group->stage == MUSTER_GROUP_FAILED)
        described->roster.fault = (char *)group->fault;
    for (size_t i = 0; i < count; i++) {
        const struct place *place = group->places[i];
        pointers[i] = &described->entries[i];
        muster__group__entry__init(pointers[i]);
        pointers[i]->name = place->name;
        pointers[i]->address = place->address;
        pointers[i]->incarnation = place->incarnation;
        pointers[i]->state = (Muster__Group__State)place->state;
        pointers[i]->restarted = place->restarted;
    }
    return &described->roster;
}

static uint8_t *pack(const ProtobufCMessage *message, size_t *size)
{
    *size = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = malloc(*size + 1);
    if (bytes)
        protobuf_c_message_pack(message, bytes);
    return bytes;
}

uint8_t *muster__groups_pack_roster(const struct group *group, size_t *size)
{
    Muster__Group__Roster *roster = describe(group);
    if (!roster)
        return NULL;
    uint8_t *bytes = pack(&roster->base, size);
    free(roster);
    return bytes;
}

static bool describe_group(const struct group *group, int64_t now, int64_t wall,
                           Muster__Group__Group *described)
{
    muster__group__group__init(described);
    described->name = group->name;
    described->wanted = group->wanted;
    described->least = group->least;
    if (group->deadline != INT64_MAX)
        described->deadline = wall + (group->deadline > now ? group->deadline - now : 0);
    if (group->stage == MUSTER_GROUP_GATHERS)
        return true;
    described->roster = describe(group);
    return described->roster;
}

uint8_t *muster__groups_pack(const struct groups *groups, int64_t now, int64_t wall, size_t *size)
{
    Muster__Group__Registry registry = MUSTER__GROUP__REGISTRY__INIT;
    Muster__Group__Group *described = calloc(groups->count + 1, sizeof(*described));
    Muster__Group__Group **pointers = calloc(groups->count + 1, sizeof(*pointers));
    uint8_t *bytes = NULL;
    bool complete = described && pointers;
    registry.format = (char *)FORMAT_NAME;
    registry.groups = pointers;
    for (const struct group *group = groups->first; complete && group; group = group->next) {
        if (group->stage == MUSTER_GROUP_FAILED)
            continue;
        pointers[registry.n_groups] = &described[registry.n_groups];
        complete = describe_group(group, now, wall, &described[registry.n_groups++]);
    }
    if (complete)
        bytes = pack(&registry.base, size);
    for (size_t i = 0; i < registry.n_groups; i++)
        free(described[i].roster);
    free(described);
    free(pointers);
    return bytes;
}

/* ---- reading ---- */

static bool is_name(const char *text, size_t most)
{
    size_t size = strlen(text);
    return size > 0 && size <= most && muster__packed_is_text(text);
}

static const char *read_place(struct group *group, const Muster__Group__Entry *entry)
{
    if (!is_name(entry->name, MEMBER_NAME_MAX) || !is_name(entry->address, MEMBER_ADDRESS_MAX))
        return "a member has no valid name or address";
    if (!muster__packed_is_state(entry->state))
        return "a member is in no known state";
    for (uint32_t i = 0; i < group->count; i++) {
        if (strcmp(group->places[i]->name, entry->name) == 0)
            return "two members of a group have one name";
    }
    struct place *place = muster__group_add_place(group, entry->name, entry->address, entry->incarnation);
    if (!place)
        return "";
    place->state = (enum muster_member_state)entry->state;
    place->restarted = entry->restarted;
    return NULL;
}

static bool is_over(const Muster__Group__Roster *roster)
{
    for (size_t i = 0; i < roster->n_entries; i++) {
        if (roster->entries[i]->state == MUSTER__GROUP__STATE__PRESENT)
            return false;
    }
    return true;
}

static const char *read_roster(struct group *group, const Muster__Group__Roster *roster)
{
    if (roster->epoch == 0 || roster->n_entries == 0 || roster->n_entries > group->wanted)
        return "the roster of a group is not valid";
    if (roster->secret.len != sizeof(group->secret))
        return "the secret of a group does not have 32 bytes";
    memcpy(group->secret, roster->secret.data, sizeof(group->secret));
    group->epoch = roster->epoch;
    for (size_t i = 0; i < roster->n_entries; i++) {
        const char *fault = read_place(group, roster->entries[i]);
        if (fault)
            return fault;
    }
    group->stage = is_over(roster) ? MUSTER_GROUP_OVER : MUSTER_GROUP_RUNS;
    group->changed = true;
    return NULL;
}

static const char *read_group(struct groups *groups, const Muster__Group__Group *described, int64_t now,
                              int64_t wall, int64_t grace_ms)
{
    if (!is_name(described->name, GROUP_NAME_MAX) || strchr(described->name, ':'))
        return "a group has no valid name";
    if (described->wanted == 0 || described->wanted > GROUP_MEMBERS_MAX || described->least == 0 ||
        described->least > described->wanted)
        return "a group has no valid size";
    bool over = described->roster && is_over(described->roster);
    if (!over && muster__groups_find_live(groups, described->name))
        return "two groups have one name";
    struct group *group = muster__groups_add(groups, described->name, described->wanted, described->least);
    if (!group)
        return "";
    group->since = now;
    group->awaited_until = grace_ms < INT64_MAX - now ? now + grace_ms : INT64_MAX;
    if (described->roster)
        return read_roster(group, described->roster);
    if (described->deadline == 0)
        return NULL;
    /* Its time passed while there was no coordinator, but its members are to find this one first. */
    group->deadline = group->awaited_until;
    if (described->deadline > wall && described->deadline - wall > grace_ms)
        group->deadline =
            described->deadline - wall < INT64_MAX - now ? now + (described->deadline - wall) : INT64_MAX;
    return NULL;
}

/* NULL: all is well; "": out of memory. */
static const char *read_all(struct groups *groups, const Muster__Group__Registry *registry, int64_t now,
                            int64_t wall, int64_t grace_ms)
{
    if (strcmp(registry->format, FORMAT_NAME) != 0)
        return "this is not a coordinator's file, or one of a later release";
    for (size_t i = registry->n_groups; i-- > 0;) {
        const char *fault = read_group(groups, registry->groups[i], now, wall, grace_ms);
        if (fault)
            return fault;
    }
    return NULL;
}

enum muster_status muster__groups_unpack(struct groups *groups, const void *bytes, size_t size, int64_t now,
                                         int64_t wall, int64_t grace_ms, struct muster_error *error)
{
    Muster__Group__Registry *registry =
        muster__packed_read(&muster__group__registry__descriptor, bytes, size);
    const char *fault = "this is not a coordinator's file";
    if (registry)
        fault = read_all(groups, registry, now, wall, grace_ms);
    muster__packed_free(registry);
    if (!fault)
        return MUSTER_OK;
    muster__groups_clear(groups);
    if (!*fault)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory");
    return muster__error(error, MUSTER_FORMAT, "%s", fault);
}
