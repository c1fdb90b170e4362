/* Private matching: what master and members do not take from each other. */
#include <config.h>

#include "vertical/meeting.h"

#include <string.h>

#define IDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* A master and two members with four ids each, of which three are joint. */
static void begin(struct meeting *meeting)
{
    meeting_init(meeting, 2);
    attend(meeting, MASTER, IDS("a", "b", "c", "d"));
    attend(meeting, 1, IDS("a", "b", "c", "x"));
    attend(meeting, 2, IDS("c", "b", "a", "y"));
}

static void expect(struct meeting *meeting, enum muster_status status, const char *text)
{
    expect_refused(meeting, muster__match_private, status, text);
}

/* ---- one message is changed ---- */

/* Which: the answer or instruction of member 1 in this step and round. */
static struct {
    bool is_answer;
    const char *step;
    size_t round;
    void (*change)(struct muster_message *message, uint8_t *data);
} target;

static void change_target(struct meeting *meeting, size_t party, bool is_answer,
                          struct muster_message *message, uint8_t *data)
{
    (void)meeting;
    if (party == 1 && is_answer == target.is_answer && muster__match_is(message, target.step, target.round))
        target.change(message, data);
}

static void expect_changed(bool is_answer, const char *step, size_t round,
                           void (*change)(struct muster_message *message, uint8_t *data),
                           enum muster_status status, const char *text)
{
    struct meeting meeting;
    begin(&meeting);
    target.is_answer = is_answer;
    target.step = step;
    target.round = round;
    target.change = change;
    meeting.tamper = change_target;
    expect(&meeting, status, text);
    meeting.tamper = NULL;
    cr_assert_eq(meet(&meeting, muster__match_private), MUSTER_OK, "%s", meeting.error.text);
    expect_joint(&meeting, IDS("a", "b", "c"));
    meeting_clear(&meeting);
}

static struct muster_array *array_of(struct muster_message *message)
{
    return (struct muster_array *)(uintptr_t)message->arrays;
}

static void spoil(struct muster_message *message, uint8_t *data)
{
    (void)message;
    memset(data + POINT_SIZE, 0xff, POINT_SIZE);
}

static void neutralise(struct muster_message *message, uint8_t *data)
{
    (void)message;
    memset(data + (size_t)2 * POINT_SIZE, 0, POINT_SIZE);
}

/* The same point in the form that is not the canonical one: beyond the prime, or negative. */
static void negate(struct muster_message *message, uint8_t *data)
{
    (void)message;
    data[0] |= 1;
}

static void repeat(struct muster_message *message, uint8_t *data)
{
    (void)message;
    memcpy(data, data + POINT_SIZE, POINT_SIZE);
}

static void drop(struct muster_message *message, uint8_t *data)
{
    (void)data;
    array_of(message)->shape[0]--;
}

static void drop_all(struct muster_message *message, uint8_t *data)
{
    (void)data;
    array_of(message)->shape[0] = 0;
}

static void flatten(struct muster_message *message, uint8_t *data)
{
    (void)data;
    array_of(message)->shape[0] *= POINT_SIZE;
    array_of(message)->dimensions = 1;
}

static void widen(struct muster_message *message, uint8_t *data)
{
    (void)data;
    array_of(message)->shape[0] /= 2;
    array_of(message)->shape[1] *= 2;
}

static void retype(struct muster_message *message, uint8_t *data)
{
    (void)data;
    array_of(message)->dtype = MUSTER_INT8;
}

static void leave_out(struct muster_message *message, uint8_t *data)
{
    (void)data;
    message->array_count = 0;
}

static struct muster_value *value_of(struct muster_message *message, const char *name)
{
    size_t i = 0;
    while (i < message->value_count && strcmp(message->values[i].name, name) != 0)
        i++;
    cr_assert_lt(i, message->value_count);
    return (struct muster_value *)(uintptr_t)&message->values[i];
}

static void count_on(struct muster_message *message, uint8_t *data)
{
    (void)data;
    value_of(message, "round")->integer += 3;
}

static void step_back(struct muster_message *message, uint8_t *data)
{
    (void)data;
    value_of(message, "step")->text = MATCH_HIDE;
}

static void mark_one_more(struct muster_message *message, uint8_t *data)
{
    size_t i = 0;
    while (data[i])
        i++;
    cr_assert_lt(i, message->arrays->shape[0]);
    data[i] = 1;
}

static void unmark_all(struct muster_message *message, uint8_t *data)
{
    memset(data, 0, message->arrays->shape[0]);
}

static void miscount(struct muster_message *message, uint8_t *data)
{
    (void)data;
    value_of(message, MATCH_JOINT)->integer--;
}

#define NO_POINT   "is not a point of ristretto255"
#define OTHER_STEP "member 1: the answer is of another step of the matching"

MEETING_TEST(matching_refused, points_that_are_none)
{
    expect_changed(true, MATCH_HIDE, 0, spoil, MUSTER_FORMAT, "member 1: entry 1 of the list " NO_POINT);
    expect_changed(true, MATCH_HIDE, 0, neutralise, MUSTER_FORMAT, "member 1: entry 2 of the list " NO_POINT);
    expect_changed(true, MATCH_HIDE, 0, negate, MUSTER_FORMAT, "member 1: entry 0 of the list " NO_POINT);
    expect_changed(true, MATCH_PASS, 2, spoil, MUSTER_FORMAT, "member 1: entry 1 of the list " NO_POINT);
    expect_changed(true, MATCH_PASS, 2, neutralise, MUSTER_FORMAT, "member 1: entry 2 of the list " NO_POINT);
    expect_changed(false, MATCH_PASS, 1, spoil, MUSTER_FORMAT, "member 1: entry 1 of the list " NO_POINT);
    expect_changed(false, MATCH_PASS, 2, neutralise, MUSTER_FORMAT,
                   "member 1: entry 2 of the list " NO_POINT);
}

MEETING_TEST(matching_refused, points_that_are_repeated_or_dropped)
{
    expect_changed(true, MATCH_HIDE, 0, repeat, MUSTER_FORMAT, "member 1: a point is in its list twice");
    expect_changed(true, MATCH_PASS, 1, repeat, MUSTER_FORMAT, "member 1: a point is in its list twice");
    expect_changed(true, MATCH_PASS, 2, repeat, MUSTER_FORMAT, "member 1: a point is in its list twice");
    expect_changed(true, MATCH_PASS, 1, drop, MUSTER_PROTOCOL,
                   "member 1: it made a list of 3 points from one of 4");
    expect_changed(true, MATCH_PASS, 2, drop_all, MUSTER_PROTOCOL,
                   "member 1: it made a list of 0 points from one of 4");
    expect_changed(true, MATCH_HIDE, 0, drop_all, MUSTER_FORMAT,
                   "no id is common to all 3: are they written the same way?");
}

MEETING_TEST(matching_refused, arrays_of_another_form)
{
    static const char lists[] = "member 1: not one array of uint8, n x 32",
                      marks[] = "member 1: not one array of bool, n x 1";
    for (int i = 0; i < 2; i++) {
        expect_changed(i == 0, MATCH_PASS, 1, flatten, MUSTER_FORMAT, lists);
        expect_changed(i == 0, MATCH_PASS, 1, widen, MUSTER_FORMAT, lists);
        expect_changed(i == 0, MATCH_PASS, 2, retype, MUSTER_FORMAT, lists);
        expect_changed(i == 0, MATCH_PASS, 2, leave_out, MUSTER_FORMAT, lists);
        expect_changed(i == 0, MATCH_MARK, 2, retype, MUSTER_FORMAT, marks);
        expect_changed(i == 0, MATCH_MARK, 1, leave_out, MUSTER_FORMAT, marks);
    }
    expect_changed(true, MATCH_HIDE, 0, flatten, MUSTER_FORMAT, lists);
    expect_changed(false, MATCH_MARK, 0, leave_out, MUSTER_FORMAT, marks);
}

MEETING_TEST(matching_refused, another_step_or_round)
{
    expect_changed(true, MATCH_HIDE, 0, count_on, MUSTER_PROTOCOL, OTHER_STEP);
    expect_changed(true, MATCH_PASS, 1, count_on, MUSTER_PROTOCOL, OTHER_STEP);
    expect_changed(true, MATCH_PASS, 2, step_back, MUSTER_PROTOCOL, OTHER_STEP);
    expect_changed(true, MATCH_MARK, 2, step_back, MUSTER_PROTOCOL, OTHER_STEP);
    expect_changed(true, MATCH_MARK, 0, count_on, MUSTER_PROTOCOL, OTHER_STEP);
    expect_changed(false, MATCH_HIDE, 0, count_on, MUSTER_PROTOCOL,
                   "member 1: 'hide' does not begin a matching");
    expect_changed(false, MATCH_PASS, 1, count_on, MUSTER_PROTOCOL,
                   "member 1: step 'pass' of round 4, and not 'pass' of round 1");
    expect_changed(false, MATCH_PASS, 2, step_back, MUSTER_PROTOCOL,
                   "member 1: step 'hide' of round 2, and not 'pass' of round 2");
    expect_changed(false, MATCH_MARK, 2, count_on, MUSTER_PROTOCOL,
                   "member 1: step 'mark' of round 5, and not 'mark' of round 2");
}

MEETING_TEST(matching_refused, marks_of_another_number)
{
    expect_changed(true, MATCH_MARK, 2, mark_one_more, MUSTER_PROTOCOL,
                   "member 1: it gave back 4 marks in a list of 4, not 3 in one of 4");
    expect_changed(true, MATCH_MARK, 1, unmark_all, MUSTER_PROTOCOL,
                   "member 1: it gave back 0 marks in a list of 4, not 3 in one of 4");
    expect_changed(true, MATCH_MARK, 1, drop_all, MUSTER_PROTOCOL,
                   "member 1: it gave back 0 marks in a list of 0, not 3 in one of 4");
    expect_changed(false, MATCH_MARK, 2, drop, MUSTER_FORMAT, "member 1: 3 marks for a list of 4 ids");
    expect_changed(false, MATCH_MARK, 1, mark_one_more, MUSTER_FORMAT,
                   "member 1: 4 joint ids in one list, and 3 in another");
    expect_changed(true, MATCH_MARK, 0, miscount, MUSTER_PROTOCOL, "member 1: it has 2 of 3 joint ids");
}

/* ---- who guesses ---- */

/* A master knows enough before the end, and need not go there. The member's operator is told nevertheless. */
MEETING_TEST(matching_refused, one_that_stops_is_seen)
{
    struct meeting meeting;
    begin(&meeting);
    meeting.tamper = change_target;
    target.is_answer = true;
    target.step = MATCH_PASS;
    target.round = 1;
    target.change = drop;
    expect(&meeting, MUSTER_PROTOCOL, "member 1: it made a list of 3 points from one of 4");
    cr_assert_str_eq(meeting.parties[1].warning,
                     "private matching: a list of 4 ids came, to be compared with our 4");
    target.step = MATCH_IDS;
    target.round = 0;
    target.change = leave_out;
    expect_refused(&meeting, muster__match_plain, MUSTER_FORMAT, "member 1: not one array of uint8, n x 1");
    cr_assert_str_eq(meeting.parties[1].warning, "plain matching: we tell all our 4 ids");
    meeting_clear(&meeting);
}

/* ---- before it begins ---- */

MEETING_TEST(matching_refused, longer_than_the_limit)
{
    struct meeting meeting;
    begin(&meeting);
    meeting.options.match_limit = 3;
    expect(&meeting, MUSTER_TOO_BIG, "member 1: it has 4 ids, more than the limit of 3");
    meeting.options.match_limit = 4;
    meeting.parties[2].options.match_limit = 3;
    expect(&meeting, MUSTER_TOO_BIG, "member 2: a list of 4 ids is longer than the limit of 3");
    cr_assert_str_eq(meeting.parties[2].warning, "refused: a list of 4 ids is longer than the limit of 3");
    meeting.parties[2].options.match_limit = 4;
    cr_assert_eq(meet(&meeting, muster__match_private), MUSTER_OK, "%s", meeting.error.text);
    meeting_clear(&meeting);
}

MEETING_TEST(matching_refused, one_that_joins_left)
{
    struct meeting meeting;
    begin(&meeting);
    meeting.parties[2].options.left = true;
    expect(&meeting, MUSTER_INVALID,
           "member 2: this member joins left, which a private matching does not have: all join inner");
    meeting_clear(&meeting);
}

static size_t parties;

static void say_parties(struct meeting *meeting, size_t party, bool is_answer, struct muster_message *message,
                        uint8_t *data)
{
    (void)meeting;
    (void)party;
    (void)data;
    if (!is_answer && muster__match_is(message, MATCH_HIDE, 0))
        value_of(message, MATCH_PARTIES)->integer = (int64_t)parties;
}

MEETING_TEST(matching_refused, a_number_of_parties)
{
    struct meeting meeting;
    begin(&meeting);
    meeting.tamper = say_parties;
    parties = 1;
    expect(&meeting, MUSTER_FORMAT, "member 1: a private matching has from 2 to 1000 parties");
    parties = SIZE_MAX;
    expect(&meeting, MUSTER_FORMAT, "member 1: a private matching has from 2 to 1000 parties");
    parties = 2;
    expect(&meeting, MUSTER_PROTOCOL, "member 1: step 'pass' of round 2, and not 'mark' of round 1");
    meeting.tamper = NULL;
    meeting.exchange.members = 0;
    expect(&meeting, MUSTER_INVALID, "a private matching has from 1 to 999 members");
    meeting.exchange.members = 2;
    meeting_clear(&meeting);
}

/* ---- a member that is played with ---- */

static enum muster_status say(struct attendant *member, const char *step, size_t round,
                              struct muster_error *error)
{
    struct muster__vertical_note message;
    struct muster_message answer;
    muster__match_message(&message, step, round);
    muster__vertical_note_integer(&message, MATCH_PARTIES, 3);
    return muster__vertical_matcher_answer(member->matcher, NULL, &message.message, &answer, error);
}

MEETING_TEST(matching_refused, steps_out_of_turn)
{
    struct meeting meeting;
    struct muster_error error;
    size_t count;
    begin(&meeting);
    cr_assert_eq(meet(&meeting, muster__match_private), MUSTER_OK);
    struct attendant *member = &meeting.parties[1];
    cr_assert_eq(say(member, "pass", 1, &error), MUSTER_PROTOCOL);
    cr_assert_str_eq(error.text, "'pass' does not begin a matching");
    cr_assert_eq(say(member, "mark", 0, &error), MUSTER_PROTOCOL);
    cr_assert_eq(say(member, "joint", 1, &error), MUSTER_PROTOCOL);
    cr_assert_eq(say(member, "\x1b[2J", 0, &error), MUSTER_PROTOCOL);
    cr_assert_str_eq(error.text, "'?[2J' does not begin a matching");
    cr_assert_null(muster__vertical_matcher_take(member->matcher, &count));
    cr_assert_eq(count, 0);
    /* It may begin anew in the middle, in the other way, too. */
    cr_assert_eq(say(member, "hide", 0, &error), MUSTER_OK);
    cr_assert_eq(say(member, "ids", 0, &error), MUSTER_OK);
    cr_assert_eq(say(member, "pass", 1, &error), MUSTER_PROTOCOL);
    cr_assert_str_eq(error.text, "step 'pass' of round 1, and not 'joint' of round 1");
    cr_assert_eq(say(member, "hide", 0, &error), MUSTER_OK);
    cr_assert_eq(say(member, "hide", 0, &error), MUSTER_OK);
    cr_assert_eq(say(member, "joint", 1, &error), MUSTER_PROTOCOL);
    meeting_clear(&meeting);
}

/* ---- work ---- */

static bool give_up(void *context, double fraction)
{
    size_t *calls = context;
    cr_assert(fraction > 0 && fraction < 1);
    (*calls)++;
    return *calls < 3;
}

MEETING_TEST(matching_refused, work_can_be_given_up)
{
    enum { COUNT = 2000 };
    static uint8_t points[COUNT * POINT_SIZE];
    struct muster_error error;
    for (size_t helpers = 0; helpers < 3; helpers++) {
        struct points_work work = {.points = points, .count = COUNT};
        size_t calls = 0;
        muster__points_start(&work, helpers);
        /* Where others are quick enough, none of the work is left for this thread. */
        enum muster_status status = muster__points_end(&work, give_up, &calls, &error);
        cr_assert(status == (calls == 3 ? MUSTER_CANCELLED : MUSTER_FORMAT));
        cr_assert(helpers > 0 || calls == 3);
    }
}
