/* The groups of a coordinator without the coordinator. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "group/book.h"

static void tell(void *context, const struct group *group, uint32_t rank, enum muster_member_state state,
                 const char *text)
{
    struct book *book = context;
    cr_assert_lt(rank, group->count);
    cr_assert_gt(strlen(text), 0);
    book->told++;
    book->told_state = state;
    book->told_rank = rank;
    snprintf(book->told_name, sizeof(book->told_name), "%s", group->places[rank]->name);
}

void book_init(struct book *book)
{
    *book = (struct book){.groups = {.most = BOOK_GROUPS, .most_members = BOOK_MEMBERS, .tell = tell}};
    book->groups.context = book;
}

struct registration process(const char *name, uint32_t size, uint64_t incarnation)
{
    return (struct registration){.group = "g",
                                 .name = name,
                                 .address = "somewhere",
                                 .size = size,
                                 .least = size,
                                 .limit_ms = BOOK_LIMIT_MS,
                                 .incarnation = incarnation};
}

void *who_is(const struct registration *registration)
{
    return (void *)(uintptr_t)registration->incarnation;
}

enum muster_status book_claim(struct book *book, const struct registration *registration, int64_t now)
{
    struct muster_error error = {.text = ""};
    enum muster_status status =
        muster__groups_claim(&book->groups, registration, who_is(registration), now, &error);
    cr_assert(status == MUSTER_OK || *error.text);
    book_check(book);
    return status;
}

void book_enter(struct book *book, const struct registration *registration)
{
    cr_assert_eq(book_claim(book, registration, 0), MUSTER_OK);
    cr_assert(muster__groups_joined(&book->groups, registration, who_is(registration)));
    book_check(book);
}

void book_leave(struct book *book, const struct registration *registration)
{
    muster__groups_gone(&book->groups, registration->group, registration->name, who_is(registration), 0);
    book_check(book);
}

void book_finish(struct book *book, const struct registration *registration)
{
    struct group *group;
    struct place *place = muster__groups_find(&book->groups, registration->group, registration->name,
                                              who_is(registration), &group);
    cr_assert_not_null(place);
    muster__groups_finished(&book->groups, group, place);
    book_check(book);
}

struct group *book_group(struct book *book)
{
    cr_assert_not_null(book->groups.first);
    return book->groups.first;
}

struct place *book_place(struct book *book, const char *name)
{
    struct group *group = book_group(book);
    for (uint32_t i = 0; i < group->count; i++) {
        if (strcmp(group->places[i]->name, name) == 0)
            return group->places[i];
    }
    cr_assert(false, "there is no %s", name);
    return NULL;
}

static char names[1024];

static void add_name(const char *name)
{
    size_t size = strlen(names);
    snprintf(names + size, sizeof(names) - size, "%s,", name);
}

const char *book_names(struct book *book)
{
    names[0] = '\0';
    for (uint32_t i = 0; book->groups.first && i < book->groups.first->count; i++)
        add_name(book->groups.first->places[i]->name);
    return names;
}

const char *book_dropped(struct book *book)
{
    names[0] = '\0';
    while (book->groups.dropped) {
        struct place *place = book->groups.dropped;
        book->groups.dropped = place->next;
        add_name(place->name);
        muster__place_free(place);
    }
    return names;
}

static void check_place(const struct group *group, uint32_t rank)
{
    const struct place *place = group->places[rank];
    cr_assert(!place->owner || place->owner != place->claimant);
    cr_assert(place->owner || !place->here);
    if (group->stage == MUSTER_GROUP_GATHERS)
        cr_assert(place->owner || place->claimant);
    if (group->stage == MUSTER_GROUP_RUNS && !group->awaited_until && place->state == MUSTER_MEMBER_PRESENT)
        cr_assert(place->owner || place->claimant);
    for (uint32_t i = 0; i < rank; i++) {
        cr_assert_str_neq(group->places[i]->name, place->name);
        cr_assert(!place->owner || group->places[i]->owner != place->owner);
        cr_assert(!place->claimant || group->places[i]->claimant != place->claimant);
    }
}

void book_check(struct book *book)
{
    size_t count = 0;
    for (struct group *group = book->groups.first; group; group = group->next) {
        bool somebody = group->awaited_until > 0, present = false;
        count++;
        cr_assert_leq(group->count, group->wanted);
        cr_assert_eq(group->epoch == 0,
                     group->stage == MUSTER_GROUP_GATHERS || group->stage == MUSTER_GROUP_FAILED);
        for (uint32_t i = 0; i < group->count; i++) {
            check_place(group, i);
            somebody = somebody || group->places[i]->owner || group->places[i]->claimant;
            present = present || group->places[i]->state == MUSTER_MEMBER_PRESENT;
        }
        cr_assert(somebody, "a group of nobody");
        cr_assert(group->stage != MUSTER_GROUP_RUNS || present);
        cr_assert(group->stage != MUSTER_GROUP_OVER || !present);
        for (struct group *other = group->next; other; other = other->next)
            cr_assert(strcmp(group->name, other->name) != 0 || group->stage > MUSTER_GROUP_RUNS ||
                      other->stage > MUSTER_GROUP_RUNS);
        cr_assert(!muster__groups_has_ended(&book->groups, group->name) || group->stage > MUSTER_GROUP_RUNS);
    }
    cr_assert_eq(count, book->groups.count);
    cr_assert_leq(count, book->groups.most);
    cr_assert_leq(book->groups.ended_count, book->groups.most);
}
