/*
 * What a coordinator reads, and what becomes of it: a file, a roster, or what happens to groups, one step
 * in a few bytes. Whatever comes, nobody has two ranks, a group has no more members than it wants, and
 * what is written is read.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "group/coordinator_groups.h"

enum { GROUPS = 2, MEMBERS = 4, WHO = 6, GRACE_MS = 50 };

static void drop_all(struct groups *groups)
{
    while (groups->dropped) {
        struct place *place = groups->dropped;
        groups->dropped = place->next;
        muster__place_free(place);
    }
}

static void check_group(const struct group *group)
{
    bool present = false;
    CHECK(group->count <= group->wanted && group->least <= group->wanted);
    CHECK((group->epoch == 0) ==
          (group->stage == MUSTER_GROUP_GATHERS || group->stage == MUSTER_GROUP_FAILED));
    for (uint32_t i = 0; i < group->count; i++) {
        const struct place *place = group->places[i];
        present = present || place->state == MUSTER_MEMBER_PRESENT;
        CHECK(place->owner || !place->here);
        for (uint32_t j = 0; j < i; j++) {
            CHECK(strcmp(group->places[j]->name, place->name) != 0);
            CHECK(!place->owner || group->places[j]->owner != place->owner);
        }
    }
    CHECK(group->stage != MUSTER_GROUP_RUNS || present);
    CHECK(group->stage != MUSTER_GROUP_OVER || !present);
}

static void check_groups(const struct groups *groups)
{
    size_t count = 0;
    for (const struct group *group = groups->first; group; group = group->next, count++) {
        check_group(group);
        CHECK(group->stage > MUSTER_GROUP_RUNS || muster__groups_find_live(groups, group->name) == group);
    }
    CHECK(count == groups->count);
}

/* ---- a file ---- */

/* What is written of them is read, and is the same. */
static void write_and_read(const struct groups *groups)
{
    struct groups again = {.most = GROUPS, .most_members = MEMBERS};
    size_t size, size_again;
    uint8_t *bytes = muster__groups_pack(groups, 1, 1, &size);
    CHECK(bytes && muster__groups_unpack(&again, bytes, size, 1, 1, GRACE_MS, NULL) == MUSTER_OK);
    check_groups(&again);
    uint8_t *bytes_again = muster__groups_pack(&again, 1, 1, &size_again);
    CHECK(bytes_again);
    free(bytes_again);
    free(bytes);
    muster__groups_clear(&again);
}

static void read_file(const struct input *input)
{
    struct groups groups = {.most = GROUPS, .most_members = MEMBERS};
    struct muster_error error = {MUSTER_OK, ""};
    if (muster__groups_unpack(&groups, input->at, input->left, 1, 1, GRACE_MS, &error) == MUSTER_OK) {
        check_groups(&groups);
        write_and_read(&groups);
        for (int64_t due; (due = muster__groups_due(&groups)) != INT64_MAX; drop_all(&groups)) {
            muster__groups_tick(&groups, due);
            check_groups(&groups);
        }
        CHECK(!groups.first);
    } else {
        CHECK(error.status == MUSTER_FORMAT && *error.text && !groups.first);
    }
    muster__groups_clear(&groups);
}

/* ---- a roster ---- */

static void read_roster(const struct input *input)
{
    struct roster *roster;
    struct muster_error error = {MUSTER_OK, ""};
    enum muster_status status = muster__roster_read(input->at, input->left, "ada", &roster, &error);
    CHECK(status == MUSTER_OK || status == MUSTER_TIMEOUT || status == MUSTER_PROTOCOL);
    CHECK((status == MUSTER_OK) ? roster && true : !roster);
    if (roster) {
        CHECK(roster->rank < roster->size && strcmp(roster->entries[roster->rank].name, "ada") == 0);
        for (uint32_t i = 0; i < roster->size; i++)
            CHECK(strlen(roster->entries[i].address) <= input->left &&
                  roster->entries[i].state <= MUSTER_MEMBER_FINISHED);
    }
    muster__roster_release(roster);
}

/* ---- what happens ---- */

struct somebody {
    struct registration registration;
    bool claims, owns;
};

static void look(const struct groups *groups, struct somebody *somebody, struct group **group,
                 struct place **place)
{
    const struct registration *registration = &somebody->registration;
    *place = registration->name
                 ? muster__groups_find(groups, registration->group, registration->name, somebody, group)
                 : NULL;
    somebody->claims = *place && (*place)->claimant == somebody;
    somebody->owns = *place && (*place)->owner == somebody;
}

static void come(struct groups *groups, struct somebody *somebody, uint8_t how, int64_t now)
{
    static const char *const group_names[] = {"g", "h", "i"}, *const names[] = {"ada", "bo", "cy", "di",
                                                                                "el"};
    somebody->registration = (struct registration){.group = group_names[how % 3],
                                                   .name = names[how / 3 % 5],
                                                   .address = how & 0x10 ? "here" : "there",
                                                   .size = 1 + how / 15 % 5,
                                                   .least = 1,
                                                   .limit_ms = how & 0x20 ? 100 : MUSTER_NO_LIMIT,
                                                   .incarnation = how % 4};
    muster__groups_claim(groups, &somebody->registration, somebody, now, NULL);
}

static void happen(struct groups *groups, struct somebody *people, struct input *input, int64_t *now)
{
    uint8_t what = take_byte(input);
    struct somebody *somebody = &people[what / 8 % WHO];
    const struct registration *registration = &somebody->registration;
    struct group *group;
    struct place *place;
    look(groups, somebody, &group, &place);
    if (what % 8 == 0 && !place)
        come(groups, somebody, take_byte(input), *now);
    else if (what % 8 == 1 && somebody->claims)
        CHECK(muster__groups_joined(groups, registration, somebody));
    else if (what % 8 == 2 && registration->name)
        muster__groups_gone(groups, registration->group, registration->name, somebody, *now);
    else if (what % 8 <= 4 && somebody->owns)
        muster__groups_here(groups, registration->group, registration->name, somebody, what % 8 == 3);
    else if (what % 8 == 5 && somebody->owns)
        muster__groups_finished(groups, group, place);
    else if (what % 8 == 6)
        muster__groups_tick(groups, *now += take_byte(input));
    else if (what % 8 == 7)
        write_and_read(groups);
}

static void let_happen(struct input *input)
{
    struct groups groups = {.most = GROUPS, .most_members = MEMBERS};
    struct somebody people[WHO] = {0};
    int64_t now = 0;
    while (input->left) {
        happen(&groups, people, input, &now);
        check_groups(&groups);
        CHECK(groups.count <= GROUPS && groups.ended_count <= GROUPS);
        drop_all(&groups);
    }
    muster__groups_clear(&groups);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    uint8_t what = take_byte(&input) % 3;
    if (what == 0)
        read_file(&input);
    else if (what == 1)
        read_roster(&input);
    else
        let_happen(&input);
    return 0;
}
