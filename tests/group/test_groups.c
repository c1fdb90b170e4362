/* The groups of a coordinator: ranks, quorum, epochs, and who may register. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/random.h>

#include "group/book.h"

#define BOOK_TEST(name) Test(groups, name, .timeout = 60)

/* Ada, Bo and Cy are in the group "g", which is complete. */
struct three {
    struct book book;
    struct registration ada, bo, cy;
};

static void enter_three(struct three *three)
{
    book_init(&three->book);
    three->ada = process("ada", 3, 1);
    three->bo = process("bo", 3, 2);
    three->cy = process("cy", 3, 3);
    book_enter(&three->book, &three->ada);
    book_enter(&three->book, &three->bo);
    book_enter(&three->book, &three->cy);
    cr_assert_eq(book_group(&three->book)->epoch, 1);
}

static void end(struct book *book)
{
    muster__groups_clear(&book->groups);
}

BOOK_TEST(a_group_begins_when_all_are_here)
{
    struct book book;
    struct registration ada = process("ada", 2, 1), bo = process("bo", 2, 2);
    book_init(&book);
    book_enter(&book, &ada);
    cr_assert_eq(book_group(&book)->epoch, 0);
    cr_assert_eq(book_claim(&book, &bo, 0), MUSTER_OK);
    cr_assert_eq(book_group(&book)->epoch, 0, "the second has not joined yet");
    muster__groups_joined(&book.groups, &bo, who_is(&bo));
    cr_assert_eq(book_group(&book)->epoch, 1);
    cr_assert(book_group(&book)->changed);
    cr_assert_str_eq(book_names(&book), "ada,bo,");
    end(&book);
}

BOOK_TEST(the_list_says_how_long_a_group_gathers)
{
    struct book book;
    struct registration ada = process("ada", 2, 1), bo = process("bo", 2, 2);
    size_t count;
    book_init(&book);
    cr_assert_eq(book_claim(&book, &ada, 100), MUSTER_OK);
    cr_assert(muster__groups_joined(&book.groups, &ada, who_is(&ada)));
    struct muster_coordinator_group *list = muster__groups_list(&book.groups, 400, &count, sizeof(*list));
    cr_assert_eq(count, 1);
    cr_assert_eq(list->since_ms, 300);
    cr_assert_eq(list->left_ms, BOOK_LIMIT_MS - 300);
    free(list);
    book_enter(&book, &bo);
    book_leave(&book, &ada);
    list = muster__groups_list(&book.groups, 400, &count, sizeof(*list));
    cr_assert_eq(list->stage, MUSTER_GROUP_RUNS);
    cr_assert_eq(list->left_ms, MUSTER_NO_LIMIT);
    cr_assert_eq(list->present, 1);
    cr_assert_eq(list->lost, 1);
    free(list);
    end(&book);
}

BOOK_TEST(a_group_of_one_begins_at_once)
{
    struct book book;
    struct registration ada = process("ada", 1, 1);
    book_init(&book);
    book_enter(&book, &ada);
    cr_assert_eq(book_group(&book)->epoch, 1);
    end(&book);
}

BOOK_TEST(one_lost_before_the_quorum_makes_room)
{
    struct book book;
    struct registration ada = process("ada", 3, 1), bo = process("bo", 3, 2), cy = process("cy", 3, 3),
                        di = process("di", 3, 4);
    book_init(&book);
    book_enter(&book, &ada);
    book_enter(&book, &bo);
    book_leave(&book, &ada);
    cr_assert_eq(book.told_state, MUSTER_MEMBER_LOST);
    book_enter(&book, &cy);
    cr_assert_eq(book_group(&book)->epoch, 0);
    book_enter(&book, &di);
    cr_assert_eq(book_group(&book)->epoch, 1);
    cr_assert_str_eq(book_names(&book), "bo,cy,di,");
    end(&book);
}

BOOK_TEST(one_that_is_away_is_not_counted_and_makes_room_if_it_must)
{
    struct book book;
    struct registration ada = process("ada", 2, 1), bo = process("bo", 2, 2), cy = process("cy", 2, 3);
    book_init(&book);
    book_enter(&book, &ada);
    muster__groups_here(&book.groups, "g", "ada", who_is(&ada), false);
    book_enter(&book, &bo);
    cr_assert_eq(book_group(&book)->epoch, 0, "ada is away");
    cr_assert_eq(book_claim(&book, &cy, 0), MUSTER_OK);
    cr_assert_str_eq(book_dropped(&book), "ada,");
    muster__groups_joined(&book.groups, &cy, who_is(&cy));
    cr_assert_eq(book_group(&book)->epoch, 1);
    cr_assert_str_eq(book_names(&book), "bo,cy,");
    book_leave(&book, &ada); /* it is nobody any more */
    cr_assert_eq(book_group(&book)->epoch, 1);
    end(&book);
}

BOOK_TEST(a_group_begins_when_the_last_is_back)
{
    struct book book;
    struct registration ada = process("ada", 2, 1), bo = process("bo", 2, 2);
    book_init(&book);
    book_enter(&book, &ada);
    muster__groups_here(&book.groups, "g", "ada", who_is(&ada), false);
    book_enter(&book, &bo);
    muster__groups_here(&book.groups, "g", "ada", who_is(&ada), true);
    cr_assert_eq(book_group(&book)->epoch, 1);
    cr_assert_str_eq(book_names(&book), "ada,bo,");
    end(&book);
}

BOOK_TEST(two_race_for_the_last_place)
{
    struct book book;
    struct registration ada = process("ada", 2, 1), bo = process("bo", 2, 2), cy = process("cy", 2, 3);
    book_init(&book);
    book_enter(&book, &ada);
    cr_assert_eq(book_claim(&book, &bo, 0), MUSTER_OK);
    cr_assert_eq(book_claim(&book, &cy, 0), MUSTER_FULL);
    book_leave(&book, &bo); /* it did not join in the end */
    book_enter(&book, &cy);
    cr_assert_eq(book_group(&book)->epoch, 1);
    cr_assert_str_eq(book_names(&book), "ada,cy,");
    end(&book);
}

BOOK_TEST(the_17th_of_16_is_refused)
{
    struct book book;
    char name[8];
    book_init(&book);
    for (uint64_t i = 1; i <= 16; i++) {
        snprintf(name, sizeof(name), "m%d", (int)i);
        struct registration member = process(name, 16, i);
        book_enter(&book, &member);
    }
    struct registration late = process("m17", 16, 17);
    cr_assert_eq(book_claim(&book, &late, 0), MUSTER_FULL);
    struct registration one = process("m1", 16, 1);
    book_leave(&book, &one); /* its rank is kept for it */
    cr_assert_eq(book_claim(&book, &late, 0), MUSTER_FULL);
    end(&book);
}

BOOK_TEST(two_of_one_name_at_once)
{
    struct three three;
    struct registration ada = process("ada", 3, 9), other = process("ada", 3, 10);
    enter_three(&three);
    /* The manager refuses who uses a name that is connected. Of two that come for one that is away, one
       gets it. */
    muster__groups_here(&three.book.groups, "g", "ada", who_is(&three.ada), false);
    cr_assert_eq(book_claim(&three.book, &ada, 0), MUSTER_OK);
    cr_assert_eq(book_claim(&three.book, &other, 0), MUSTER_EXISTS);
    end(&three.book);
}

BOOK_TEST(members_that_want_another_size_are_refused)
{
    struct book book;
    struct registration ada = process("ada", 3, 1), bo = process("bo", 4, 2), cy = process("cy", 3, 3);
    book_init(&book);
    book_enter(&book, &ada);
    cr_assert_eq(book_claim(&book, &bo, 0), MUSTER_REFUSED);
    cy.least = 2;
    cr_assert_eq(book_claim(&book, &cy, 0), MUSTER_REFUSED);
    cy.least = 3;
    cy.limit_ms = 7; /* each for itself; the group has the first one's */
    cr_assert_eq(book_claim(&book, &cy, 0), MUSTER_OK);
    cr_assert_eq(muster__groups_due(&book.groups), BOOK_LIMIT_MS);
    end(&book);
}

BOOK_TEST(groups_and_members_are_bounded)
{
    struct book book;
    char names[BOOK_GROUPS + 1][8];
    struct registration members[BOOK_GROUPS + 1];
    book_init(&book);
    for (size_t i = 0; i <= BOOK_GROUPS; i++) {
        snprintf(names[i], sizeof(names[i]), "g%zu", i);
        members[i] = process("ada", 2, i + 1);
        members[i].group = names[i];
        if (i < BOOK_GROUPS)
            book_enter(&book, &members[i]);
    }
    cr_assert_eq(book_claim(&book, &members[BOOK_GROUPS], 0), MUSTER_FULL);
    book_leave(&book, &members[0]);
    cr_assert_eq(book_claim(&book, &members[BOOK_GROUPS], 0), MUSTER_OK);
    book_leave(&book, &members[1]);
    struct registration big = process("ada", BOOK_MEMBERS + 1, 20);
    cr_assert_eq(book_claim(&book, &big, 0), MUSTER_REFUSED);
    end(&book);
}

BOOK_TEST(a_lost_member_keeps_its_rank_and_gets_it_back)
{
    struct three three;
    struct registration again = process("bo", 3, 12);
    enter_three(&three);
    book_leave(&three.book, &three.bo);
    cr_assert_eq(book_group(&three.book)->epoch, 2);
    cr_assert_eq(book_place(&three.book, "bo")->state, MUSTER_MEMBER_LOST);
    again.address = "elsewhere";
    book_enter(&three.book, &again);
    cr_assert_eq(book_group(&three.book)->epoch, 3);
    cr_assert_str_eq(book_names(&three.book), "ada,bo,cy,");
    cr_assert_eq(book_place(&three.book, "bo")->state, MUSTER_MEMBER_PRESENT);
    cr_assert_eq(book_place(&three.book, "bo")->incarnation, 12);
    cr_assert_str_eq(book_place(&three.book, "bo")->address, "elsewhere");
    end(&three.book);
}

BOOK_TEST(a_member_that_is_started_again_makes_one_epoch)
{
    struct three three;
    struct registration again = process("bo", 3, 12);
    enter_three(&three);
    cr_assert_eq(book_claim(&three.book, &again, 0), MUSTER_OK);
    book_leave(&three.book, &three.bo); /* its old connection ends now, or after */
    cr_assert_eq(book_group(&three.book)->epoch, 1);
    cr_assert(muster__groups_joined(&three.book.groups, &again, who_is(&again)));
    cr_assert_eq(book_group(&three.book)->epoch, 2);
    cr_assert_eq(book_place(&three.book, "bo")->state, MUSTER_MEMBER_PRESENT);
    end(&three.book);
}

BOOK_TEST(one_that_is_refused_at_last_changes_nothing)
{
    struct three three;
    struct registration again = process("bo", 3, 12);
    enter_three(&three);
    cr_assert_eq(book_claim(&three.book, &again, 0), MUSTER_OK);
    book_leave(&three.book, &again);
    cr_assert_eq(book_group(&three.book)->epoch, 1);
    cr_assert_eq(book_place(&three.book, "bo")->owner, who_is(&three.bo));
    cr_assert_eq(book_claim(&three.book, &again, 0), MUSTER_OK);
    book_leave(&three.book, &three.bo);
    book_leave(&three.book, &again);
    cr_assert_eq(book_place(&three.book, "bo")->state, MUSTER_MEMBER_LOST);
    end(&three.book);
}

BOOK_TEST(the_same_process_on_another_connection_is_no_news)
{
    struct three three;
    enter_three(&three);
    book_group(&three.book)->places[1]->told = 1;
    size_t told = three.book.told;
    muster__groups_claim(&three.book.groups, &three.bo, &told, 0, NULL);
    cr_assert(muster__groups_joined(&three.book.groups, &three.bo, &told));
    cr_assert_eq(book_group(&three.book)->epoch, 1);
    cr_assert_eq(three.book.told, told);
    cr_assert_eq(book_place(&three.book, "bo")->told, 0, "it is told again all the same");
    end(&three.book);
}

BOOK_TEST(a_process_that_was_lost_and_lives_is_back)
{
    struct three three;
    enter_three(&three);
    book_leave(&three.book, &three.bo);
    book_enter(&three.book, &three.bo);
    cr_assert_eq(book_group(&three.book)->epoch, 3);
    cr_assert_eq(book_place(&three.book, "bo")->state, MUSTER_MEMBER_PRESENT);
    end(&three.book);
}

BOOK_TEST(a_group_is_over_when_all_have_finished)
{
    struct three three;
    enter_three(&three);
    book_finish(&three.book, &three.ada);
    cr_assert_eq(book_group(&three.book)->epoch, 2);
    book_finish(&three.book, &three.ada);
    cr_assert_eq(book_group(&three.book)->epoch, 2, "once is enough");
    book_leave(&three.book, &three.bo);
    cr_assert_eq(book_group(&three.book)->stage, MUSTER_GROUP_RUNS);
    book_finish(&three.book, &three.cy);
    cr_assert_eq(book_group(&three.book)->stage, MUSTER_GROUP_OVER);
    cr_assert_eq(book_group(&three.book)->epoch, 4);
    book_leave(&three.book, &three.ada);
    cr_assert_not(muster__groups_has_ended(&three.book.groups, "g"), "cy is still to be told");
    book_leave(&three.book, &three.cy);
    cr_assert_null(three.book.groups.first);
    cr_assert(muster__groups_has_ended(&three.book.groups, "g"));
    end(&three.book);
}

BOOK_TEST(a_group_is_over_when_all_are_lost)
{
    struct three three;
    enter_three(&three);
    book_leave(&three.book, &three.ada);
    book_leave(&three.book, &three.bo);
    book_leave(&three.book, &three.cy);
    cr_assert_null(three.book.groups.first);
    cr_assert(muster__groups_has_ended(&three.book.groups, "g"));
    end(&three.book);
}

/* The next group of the name is not to begin with members that have another group's secret. */
BOOK_TEST(a_process_that_was_lost_with_all_its_group_is_not_in_the_next)
{
    struct three three;
    struct registration again = process("ada", 3, 11);
    enter_three(&three);
    book_finish(&three.book, &three.cy);
    book_leave(&three.book, &three.ada);
    book_leave(&three.book, &three.bo);
    book_leave(&three.book, &three.cy);
    cr_assert_null(three.book.groups.first);
    cr_assert_eq(book_claim(&three.book, &three.ada, 0), MUSTER_REFUSED);
    cr_assert_eq(book_claim(&three.book, &three.bo, 0), MUSTER_REFUSED);
    cr_assert_null(three.book.groups.first);
    book_enter(&three.book, &again);
    cr_assert_eq(book_claim(&three.book, &three.bo, 0), MUSTER_REFUSED);
    book_enter(&three.book, &three.cy);
    end(&three.book);
}

BOOK_TEST(one_that_has_finished_is_not_lost)
{
    struct three three;
    struct registration again = process("ada", 3, 11);
    enter_three(&three);
    book_finish(&three.book, &three.ada);
    book_leave(&three.book, &three.ada);
    cr_assert_eq(book_place(&three.book, "ada")->state, MUSTER_MEMBER_FINISHED);
    cr_assert_eq(book_group(&three.book)->epoch, 2);
    book_enter(&three.book, &three.ada); /* a connection later, it still has */
    cr_assert_eq(book_place(&three.book, "ada")->state, MUSTER_MEMBER_FINISHED);
    book_leave(&three.book, &three.ada);
    book_enter(&three.book, &again); /* and started again, it is there */
    cr_assert_eq(book_place(&three.book, "ada")->state, MUSTER_MEMBER_PRESENT);
    end(&three.book);
}

BOOK_TEST(the_next_group_of_a_name_need_not_wait)
{
    struct three three;
    struct registration next = process("di", 2, 21), again = process("ada", 2, 22);
    enter_three(&three);
    book_finish(&three.book, &three.ada);
    book_finish(&three.book, &three.bo);
    book_finish(&three.book, &three.cy);
    book_enter(&three.book, &next);
    book_enter(&three.book, &again);
    cr_assert_str_eq(book_names(&three.book), "ada,di,");
    cr_assert_eq(book_group(&three.book)->epoch, 1);
    cr_assert_eq(three.book.groups.count, 2);
    book_leave(&three.book, &three.ada);
    book_enter(&three.book, &three.ada); /* who was of the old one still is */
    cr_assert_eq(three.book.groups.count, 2);
    book_leave(&three.book, &three.ada);
    book_leave(&three.book, &three.bo);
    book_leave(&three.book, &three.cy);
    cr_assert_eq(three.book.groups.count, 1);
    end(&three.book);
}

BOOK_TEST(it_begins_with_the_least_when_the_time_is_over)
{
    struct book book;
    struct registration ada = process("ada", 4, 1), bo = process("bo", 4, 2), cy = process("cy", 4, 3);
    ada.least = bo.least = cy.least = 2;
    book_init(&book);
    book_enter(&book, &cy);
    book_enter(&book, &ada);
    cr_assert_eq(book_claim(&book, &bo, 0), MUSTER_OK);
    muster__groups_tick(&book.groups, BOOK_LIMIT_MS - 1);
    cr_assert_eq(book_group(&book)->epoch, 0);
    cr_assert_eq(muster__groups_due(&book.groups), BOOK_LIMIT_MS);
    muster__groups_tick(&book.groups, BOOK_LIMIT_MS);
    book_check(&book);
    cr_assert_eq(book_group(&book)->epoch, 1);
    cr_assert_str_eq(book_names(&book), "ada,cy,");
    cr_assert_str_eq(book_dropped(&book), "bo,");
    cr_assert_eq(book_claim(&book, &bo, 0), MUSTER_FULL);
    cr_assert_eq(muster__groups_due(&book.groups), INT64_MAX);
    end(&book);
}

BOOK_TEST(one_that_was_dropped_and_is_gone_is_not_sent_away)
{
    struct book book;
    struct registration ada = process("ada", 2, 1), bo = process("bo", 2, 2), cy = process("cy", 2, 3);
    book_init(&book);
    book_enter(&book, &ada);
    muster__groups_here(&book.groups, "g", "ada", who_is(&ada), false);
    book_enter(&book, &bo);
    cr_assert_eq(book_claim(&book, &cy, 0), MUSTER_OK);
    cr_assert_not_null(book.groups.dropped);
    cr_assert_eq(book.groups.dropped->owner, who_is(&ada));
    book_leave(&book, &ada);
    cr_assert_null(book.groups.dropped->owner);
    cr_assert_str_eq(book_dropped(&book), "ada,");
    end(&book);
}

BOOK_TEST(too_few_in_time_are_told_who_is_there)
{
    struct book book;
    struct registration ada = process("ada", 4, 1), bo = process("bo", 4, 2), next = process("cy", 4, 3);
    ada.least = bo.least = next.least = 3;
    book_init(&book);
    book_enter(&book, &ada);
    book_enter(&book, &bo);
    muster__groups_tick(&book.groups, BOOK_LIMIT_MS);
    book_check(&book);
    struct group *failed = book_group(&book);
    cr_assert_eq(failed->stage, MUSTER_GROUP_FAILED);
    cr_assert_str_eq(failed->fault, "2 of 4 members came in time, and 3 are needed: 'ada', 'bo'");
    book_enter(&book, &next);
    cr_assert_eq(book.groups.count, 2, "the name is free again");
    book_leave(&book, &ada);
    book_leave(&book, &bo);
    cr_assert_eq(book.groups.count, 1);
    end(&book);
}

BOOK_TEST(the_text_of_who_is_there_is_bounded)
{
    struct book book;
    char names[15][80];
    book_init(&book);
    for (size_t i = 0; i < 15; i++) {
        snprintf(names[i], sizeof(names[i]), "member-%02zu-of-a-group-with-rather-long-names", i);
        struct registration member = process(names[i], 16, i + 1);
        book_enter(&book, &member);
    }
    muster__groups_tick(&book.groups, BOOK_LIMIT_MS);
    const char *fault = book_group(&book)->fault;
    cr_assert(strncmp(fault, "15 of 16 members came in time: 'member-00", 40) == 0, "%s", fault);
    cr_assert_str_eq(fault + strlen(fault) - 6, "', ...");
    end(&book);
}

BOOK_TEST(without_a_limit_it_waits)
{
    struct book book;
    struct registration ada = process("ada", 2, 1);
    ada.limit_ms = MUSTER_NO_LIMIT;
    book_init(&book);
    book_enter(&book, &ada);
    cr_assert_eq(muster__groups_due(&book.groups), INT64_MAX);
    muster__groups_tick(&book.groups, INT64_MAX - 1);
    cr_assert_eq(book_group(&book)->stage, MUSTER_GROUP_GATHERS);
    end(&book);
}

BOOK_TEST(the_deadline_is_the_first_ones_even_when_it_is_gone)
{
    struct book book;
    struct registration ada = process("ada", 3, 1), bo = process("bo", 3, 2);
    book_init(&book);
    book_enter(&book, &ada);
    cr_assert_eq(book_claim(&book, &bo, 500), MUSTER_OK);
    muster__groups_joined(&book.groups, &bo, who_is(&bo));
    book_leave(&book, &ada);
    cr_assert_eq(muster__groups_due(&book.groups), BOOK_LIMIT_MS);
    end(&book);
}

BOOK_TEST(secrets_differ)
{
    struct book book;
    struct registration ada = process("ada", 2, 1), bo = process("bo", 2, 2);
    static const uint8_t zeros[GROUP_SECRET_SIZE];
    book_init(&book);
    bo.group = "h";
    book_enter(&book, &ada);
    book_enter(&book, &bo);
    cr_assert_neq(memcmp(book.groups.first->secret, book.groups.first->next->secret, GROUP_SECRET_SIZE), 0);
    cr_assert_neq(memcmp(book.groups.first->secret, zeros, GROUP_SECRET_SIZE), 0);
    end(&book);
}

BOOK_TEST(the_names_of_ended_groups_are_bounded)
{
    struct book book;
    char name[8];
    book_init(&book);
    for (uint64_t i = 0; i < 3 * BOOK_GROUPS; i++) {
        snprintf(name, sizeof(name), "g%d", (int)i);
        struct registration member = process("ada", 1, i + 1);
        member.group = name;
        book_enter(&book, &member);
        book_finish(&book, &member);
        book_leave(&book, &member);
    }
    cr_assert_eq(book.groups.ended_count, BOOK_GROUPS);
    cr_assert(muster__groups_has_ended(&book.groups, "g8"));
    cr_assert_not(muster__groups_has_ended(&book.groups, "g5"));
    end(&book);
}

/* ---- whatever comes ---- */

enum { WALKERS = 6, WALKS = 300, STEPS = 400 };

struct walker {
    struct registration registration;
    bool claims, owns;
};

static void walk(struct book *book, struct walker *walkers, struct muster_random *random, int64_t *now)
{
    static const char *const names[] = {"ada", "bo", "cy", "di"};
    struct walker *walker = &walkers[muster_random_next(random) % WALKERS];
    struct registration *registration = &walker->registration;
    void *who = walker;
    struct group *group;
    struct place *place =
        registration->name ? muster__groups_find(&book->groups, "g", registration->name, who, &group) : NULL;
    walker->claims = place && place->claimant == who;
    walker->owns = place && place->owner == who;
    switch (muster_random_next(random) % 8) {
    case 0:
        if (walker->claims || walker->owns)
            break;
        *registration = process(names[muster_random_next(random) % 4], 3, 1 + muster_random_next(random) % 5);
        registration->least = 2;
        muster__groups_claim(&book->groups, registration, who, *now, NULL);
        break;
    case 1:
    case 2:
        if (walker->claims)
            cr_assert(muster__groups_joined(&book->groups, registration, who));
        break;
    case 3:
        if (registration->name)
            muster__groups_gone(&book->groups, "g", registration->name, who, *now);
        break;
    case 4:
    case 5:
        if (walker->owns)
            muster__groups_here(&book->groups, "g", registration->name, who, muster_random_next(random) % 2);
        break;
    case 6:
        if (walker->owns)
            muster__groups_finished(&book->groups, group, place);
        break;
    default:
        *now += (int64_t)(muster_random_next(random) % 300);
        muster__groups_tick(&book->groups, *now);
        cr_assert_gt(muster__groups_due(&book->groups), *now);
    }
}

BOOK_TEST(whatever_comes)
{
    struct muster_random random;
    muster_random_seed(&random, 14);
    for (size_t i = 0; i < WALKS; i++) {
        struct book book;
        struct walker walkers[WALKERS] = {0};
        int64_t now = 0;
        book_init(&book);
        for (size_t step = 0; step < STEPS; step++) {
            walk(&book, walkers, &random, &now);
            book_check(&book);
            book_dropped(&book);
        }
        for (size_t n = 0; n < WALKERS; n++) {
            if (walkers[n].registration.name)
                muster__groups_gone(&book.groups, "g", walkers[n].registration.name, &walkers[n], now);
        }
        cr_assert_null(book.groups.first, "nobody is there, and so no group is");
        end(&book);
    }
}
