/* Plain matching: which rows come out. */
#include <config.h>

#include "vertical/meeting.h"

#include <string.h>

#define IDS(...) ((const char *const[]){__VA_ARGS__, NULL})

MEETING_TEST(matching_plain, what_all_have_is_joint)
{
    struct meeting meeting;
    meeting_init(&meeting, 2);
    attend(&meeting, MASTER, IDS("eve", "ada", "bob", "cid"));
    attend(&meeting, 1, IDS("bob", "dan", "ada", "eve"));
    attend(&meeting, 2, IDS("zoe", "eve", "bob"));
    cr_assert_eq(meet(&meeting, muster__match_plain), MUSTER_OK, "%s", meeting.error.text);
    expect_joint(&meeting, IDS("bob", "eve"));
    cr_assert_eq(meeting.rounds, 2);
    cr_assert_str_eq(meeting.parties[2].warning,
                     "plain matching: 2 ids are joint, of which we have 2; we told all our 3 ids");
    meeting_clear(&meeting);
}

MEETING_TEST(matching_plain, the_order_is_that_of_bytes)
{
    struct meeting meeting;
    meeting_init(&meeting, 1);
    /* No locale's order, no numbers, no case, no normal form. */
    attend(&meeting, MASTER,
           IDS("b", "\xc3\xa9", "e\xcc\x81", "B", "10", "9", "a b", "\xf0\x9f\x90\x80", "\xef\xbf\xbd"));
    attend(&meeting, 1,
           IDS("\xf0\x9f\x90\x80", "9", "10", "\xef\xbf\xbd", "a b", "B", "e\xcc\x81", "b", "\xc3\xa9", "c"));
    cr_assert_eq(meet(&meeting, muster__match_plain), MUSTER_OK, "%s", meeting.error.text);
    expect_joint(&meeting, IDS("10", "9", "B", "a b", "b", "e\xcc\x81", "\xc3\xa9", "\xef\xbf\xbd",
                               "\xf0\x9f\x90\x80"));
    cr_assert_eq(meet(&meeting, muster__match_private), MUSTER_OK, "%s", meeting.error.text);
    expect_joint(&meeting, IDS("10", "9", "B", "a b", "b", "e\xcc\x81", "\xc3\xa9", "\xef\xbf\xbd",
                               "\xf0\x9f\x90\x80"));
    meeting_clear(&meeting);
}

MEETING_TEST(matching_plain, who_joins_left_does_not_narrow_the_set)
{
    struct meeting meeting;
    meeting_init(&meeting, 2);
    attend(&meeting, MASTER, IDS("eve", "ada", "bob", "cid"));
    attend(&meeting, 1, IDS("cid", "ada", "eve"));
    attend(&meeting, 2, IDS("zoe", "eve", "ann", "bob"));
    meeting.parties[2].options.left = true;
    cr_assert_eq(meet(&meeting, muster__match_plain), MUSTER_OK, "%s", meeting.error.text);
    cr_assert_eq(meeting.parties[MASTER].joint, 3);
    const struct attendant *left = &meeting.parties[2];
    cr_assert_eq(left->joint, 3);
    cr_assert_eq(left->rows[0], MUSTER__VERTICAL_NO_ROW);
    cr_assert_eq(left->rows[1], MUSTER__VERTICAL_NO_ROW);
    cr_assert_eq(left->rows[2], 1);
    cr_assert_eq(meeting.parties[1].rows[0], 1);
    cr_assert_eq(meeting.parties[1].rows[1], 0);
    cr_assert_eq(meeting.parties[1].rows[2], 2);
    meeting_clear(&meeting);
}

MEETING_TEST(matching_plain, one_that_joins_left_may_have_nothing_of_it)
{
    struct meeting meeting;
    meeting_init(&meeting, 1);
    attend(&meeting, MASTER, IDS("b", "a"));
    attend(&meeting, 1, IDS("x"));
    meeting.parties[1].options.left = true;
    cr_assert_eq(meet(&meeting, muster__match_plain), MUSTER_OK, "%s", meeting.error.text);
    cr_assert_eq(meeting.parties[1].joint, 2);
    cr_assert_eq(meeting.parties[1].rows[0], MUSTER__VERTICAL_NO_ROW);
    meeting_clear(&meeting);
}

MEETING_TEST(matching_plain, no_common_id)
{
    struct meeting meeting;
    meeting_init(&meeting, 2);
    attend(&meeting, MASTER, IDS("007", "008"));
    attend(&meeting, 1, IDS("008", "009"));
    attend(&meeting, 2, IDS("7", "8"));
    expect_refused(&meeting, muster__match_plain, MUSTER_FORMAT,
                   "member 2: none of its 2 ids, such as '7', is the master's");
    attend(&meeting, 2, IDS("007"));
    expect_refused(&meeting, muster__match_plain, MUSTER_FORMAT, "no id is common to all 3");
    meeting_clear(&meeting);
}

MEETING_TEST(matching_plain, a_member_may_refuse_it)
{
    struct meeting meeting;
    meeting_init(&meeting, 1);
    attend(&meeting, MASTER, IDS("a"));
    attend(&meeting, 1, IDS("a"));
    meeting.parties[1].options.only_private = true;
    expect_refused(&meeting, muster__match_plain, MUSTER_UNSUPPORTED,
                   "member 1: this member matches privately only");
    cr_assert_eq(meet(&meeting, muster__match_private), MUSTER_OK, "%s", meeting.error.text);
    expect_joint(&meeting, IDS("a"));
    meeting_clear(&meeting);
}

MEETING_TEST(matching_plain, lists_have_a_limit)
{
    struct meeting meeting;
    meeting_init(&meeting, 1);
    attend(&meeting, MASTER, IDS("a", "b", "c"));
    attend(&meeting, 1, IDS("a", "b", "c"));
    meeting.options.match_limit = 2;
    expect_refused(&meeting, muster__match_plain, MUSTER_TOO_BIG,
                   "member 1: 3 ids are more than the limit of 2");
    meeting.options.match_limit = 3;
    meeting.parties[1].options.match_limit = 2;
    expect_refused(&meeting, muster__match_plain, MUSTER_TOO_BIG,
                   "member 1: 3 ids are more than the limit of 2");
    cr_assert_str_eq(meeting.parties[1].warning, "refused: 3 ids are more than the limit of 2");
    meeting.parties[1].options.match_limit = 3;
    cr_assert_eq(meet(&meeting, muster__match_plain), MUSTER_OK);
    meeting_clear(&meeting);
}

/* ---- what a member or a master says that it does not say ---- */

/* Both parties' ids are a, b and c. */
static const char *said;
static bool in_answer;

static void say_instead(struct meeting *meeting, size_t party, bool is_answer, struct muster_message *message,
                        uint8_t *data)
{
    (void)meeting;
    (void)party;
    if (is_answer != in_answer || !data)
        return;
    size_t size = strlen(said);
    cr_assert_leq(size, muster_array_count(message->arrays));
    memcpy(data, said, size);
    ((struct muster_array *)(uintptr_t)message->arrays)->shape[0] = size;
}

MEETING_TEST(matching_plain, ids_that_are_none)
{
    static const struct {
        const char *said;
        const char *text;
    } cases[] = {
        {"a\nb\nb\n", "member 1: id 2 is not above the one before it"},
        {"b\na\n", "member 1: id 1 is not above the one before it"},
        {"a\n\nb\n", "member 1: id 1 is not one line of 1 to 1024 bytes of UTF-8"},
        {"a\nb", "member 1: the last id has no newline behind it"},
        {"a\n\xff\n", "member 1: id 1 is not one line of 1 to 1024 bytes of UTF-8"},
        {"a\r\n", "member 1: id 0 is not one line of 1 to 1024 bytes of UTF-8"},
    };
    struct meeting meeting;
    meeting_init(&meeting, 1);
    attend(&meeting, MASTER, IDS("a", "b", "c"));
    attend(&meeting, 1, IDS("a", "b", "c"));
    meeting.tamper = say_instead;
    for (int i = 0; i < 2; i++) {
        in_answer = i == 0;
        for (size_t j = 0; j < sizeof(cases) / sizeof(cases[0]); j++) {
            said = cases[j].said;
            expect_refused(&meeting, muster__match_plain, MUSTER_FORMAT, cases[j].text);
        }
    }
    said = "a\nd\n";
    expect_refused(&meeting, muster__match_plain, MUSTER_FORMAT,
                   "member 1: 1 of the 2 joint ids are not this member's");
    said = "";
    expect_refused(&meeting, muster__match_plain, MUSTER_FORMAT, "member 1: no id is joint");
    said = "a\nb\n";
    expect_refused(&meeting, muster__match_plain, MUSTER_PROTOCOL, "member 1: it has 2 of 3 joint ids");
    meeting_clear(&meeting);
}
