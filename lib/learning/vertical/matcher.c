/* A member's side of a matching, step by step as match_message.h has them. */
#include <config.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "learning/vertical/ids.h"
#include "learning/vertical/match_message.h"
#include "learning/vertical/matching.h"
#include "learning/vertical/private_party.h"
#include "status.h"

struct muster__vertical_matcher {
    const struct muster_vertical_table *table;
    const size_t *order;
    const struct muster_vertical_member_options *options;
    const char *next; /* the step that has to come unless a matching begins; NULL: none */
    size_t next_round;
    struct private_party party;
    struct muster__vertical_note answer;
    void *memory; /* of the answer's array */
    size_t *rows; /* NULL: no matching has ended */
    size_t joint;
};

/* The instruction that is being answered. */
struct step {
    const struct muster_message *message;
    struct participant *participant;
    size_t round;
};

static enum muster_status no_memory(struct muster_error *error)
{
    return muster__error(error, MUSTER_OUT_OF_MEMORY, "no memory for a matching");
}

static void expect(struct muster__vertical_matcher *matcher, const char *step, size_t round)
{
    matcher->next = step;
    matcher->next_round = round;
}

static void forget(struct muster__vertical_matcher *matcher)
{
    muster__private_party_clear(&matcher->party);
    expect(matcher, NULL, 0);
}

static void set_memory(struct muster__vertical_matcher *matcher, void *memory)
{
    free(matcher->memory);
    matcher->memory = memory;
}

static void set_rows(struct muster__vertical_matcher *matcher, size_t *rows, size_t joint)
{
    free(matcher->rows);
    matcher->rows = rows;
    matcher->joint = joint;
}

__attribute__((format(printf, 2, 3))) static void warn(const struct muster__vertical_matcher *matcher,
                                                       const char *format, ...)
{
    char text[MUSTER_ERROR_TEXT_SIZE];
    va_list arguments;
    if (!matcher->options->on_warning)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    matcher->options->on_warning(matcher->options->context, text);
}

/* ---- plain ---- */

static enum muster_status give_ids(struct muster__vertical_matcher *matcher, const struct step *step,
                                   struct muster_error *error)
{
    size_t size;
    (void)step;
    if (matcher->options->only_private)
        return muster__error(error, MUSTER_UNSUPPORTED, "this member matches privately only");
    set_memory(matcher,
               muster__vertical_ids_write(matcher->table->ids, matcher->order, matcher->table->rows, &size));
    if (!matcher->memory)
        return no_memory(error);
    warn(matcher, "plain matching: we tell all our %zu ids", matcher->table->rows);
    muster__vertical_note_bool(&matcher->answer, MATCH_LEFT, matcher->options->left);
    muster__match_set_array(&matcher->answer, MUSTER_UINT8, size, 1, matcher->memory);
    expect(matcher, MATCH_JOINT, 1);
    return MUSTER_OK;
}

/* The row of each joint id. Returns how many there are. */
static size_t find_rows(const struct muster__vertical_matcher *matcher, const struct vertical_ids *joint,
                        size_t *rows)
{
    size_t at = 0, found = 0;
    for (size_t i = 0; i < joint->count; i++) {
        int order = 1;
        while (at < matcher->table->rows &&
               (order = strcmp(matcher->table->ids[matcher->order[at]], joint->texts[i])) < 0)
            at++;
        bool has = at < matcher->table->rows && order == 0;
        rows[i] = has ? matcher->order[at] : MUSTER__VERTICAL_NO_ROW;
        found += has;
    }
    return found;
}

static enum muster_status look_up(struct muster__vertical_matcher *matcher, const struct vertical_ids *joint,
                                  struct muster_error *error)
{
    size_t *rows = malloc((joint->count + 1) * sizeof(*rows));
    if (!rows)
        return no_memory(error);
    size_t found = find_rows(matcher, joint, rows);
    if (found < joint->count && !matcher->options->left) {
        free(rows);
        return muster__error(error, MUSTER_FORMAT, "%zu of the %zu joint ids are not this member's",
                             joint->count - found, joint->count);
    }
    set_rows(matcher, rows, joint->count);
    muster__vertical_note_integer(&matcher->answer, MATCH_JOINT, (int64_t)found);
    warn(matcher, "plain matching: %zu ids are joint, of which we have %zu; we told all our %zu ids",
         joint->count, found, matcher->table->rows);
    return MUSTER_OK;
}

static enum muster_status take_joint(struct muster__vertical_matcher *matcher, const struct step *step,
                                     struct muster_error *error)
{
    struct vertical_ids ids = {0};
    const void *bytes;
    size_t size;
    enum muster_status status = muster__match_array(step->message, MUSTER_UINT8, 1, &bytes, &size, error);
    if (status == MUSTER_OK)
        status = muster__vertical_ids_read(&ids, bytes, size, matcher->options->match_limit, error);
    if (status == MUSTER_OK && ids.count == 0)
        status = muster__error(error, MUSTER_FORMAT, "no id is joint");
    if (status == MUSTER_OK)
        status = look_up(matcher, &ids, error);
    muster__vertical_ids_clear(&ids);
    forget(matcher);
    return status;
}

/* ---- private ---- */

/* Goes on as long as the master waits. */
static bool report(void *participant, double fraction)
{
    enum muster_status status = participant_report_progress(participant, fraction, NULL);
    return status == MUSTER_OK || status == MUSTER_OUT_OF_MEMORY;
}

/* The list of this round under our key, too, is the answer. */
static enum muster_status encrypt(struct muster__vertical_matcher *matcher, const struct step *step,
                                  const uint8_t *list, size_t count, struct muster_error *error)
{
    uint8_t *points;
    enum muster_status status =
        muster__private_start(&matcher->party, step->round, list, count, muster__points_cores() - 1, error);
    if (status == MUSTER_OK)
        status = muster__private_finish(&matcher->party, step->participant ? report : NULL, step->participant,
                                        &points, error);
    if (status != MUSTER_OK)
        return status;
    set_memory(matcher, points);
    muster__match_set_array(&matcher->answer, MUSTER_UINT8, count, POINT_SIZE, points);
    if (step->round + 1 < matcher->party.parties)
        expect(matcher, MATCH_PASS, step->round + 1);
    else
        expect(matcher, MATCH_MARK, step->round);
    return MUSTER_OK;
}

static enum muster_status hide(struct muster__vertical_matcher *matcher, const struct step *step,
                               struct muster_error *error)
{
    int64_t parties = muster_message_integer(step->message, MATCH_PARTIES, -1);
    if (matcher->options->left)
        return muster__error(
            error, MUSTER_INVALID,
            "this member joins left, which a private matching does not have: all join inner");
    if (parties < 2 || parties > PRIVATE_PARTIES_MAX)
        return muster__error(error, MUSTER_FORMAT, "a private matching has from 2 to %d parties",
                             PRIVATE_PARTIES_MAX);
    enum muster_status status =
        muster__private_party_init(&matcher->party, matcher->table, (size_t)parties, error);
    return status == MUSTER_OK ? encrypt(matcher, step, NULL, matcher->table->rows, error) : status;
}

static enum muster_status pass(struct muster__vertical_matcher *matcher, const struct step *step,
                               struct muster_error *error)
{
    size_t count, limit = matcher->options->match_limit;
    const void *points;
    enum muster_status status =
        muster__match_array(step->message, MUSTER_UINT8, POINT_SIZE, &points, &count, error);
    if (status == MUSTER_OK && count > limit)
        status = muster__error(error, MUSTER_TOO_BIG, "a list of %zu ids is longer than the limit of %zu",
                               count, limit);
    if (status != MUSTER_OK)
        return status;
    /* Now, as the answer is enough for a master that guesses: it need not go on to the end. */
    warn(matcher, "private matching: a list of %zu ids came, to be compared with our %zu", count,
         matcher->table->rows);
    return encrypt(matcher, step, points, count, error);
}

static void tell_sizes(const struct muster__vertical_matcher *matcher)
{
    const struct private_party *party = &matcher->party;
    size_t least = SIZE_MAX, most = 0;
    for (size_t i = 1; i < party->parties; i++) {
        size_t count = party->passages[i].count;
        least = count < least ? count : least;
        most = count > most ? count : most;
    }
    warn(matcher, "private matching with %zu other%s, who have from %zu to %zu ids: %zu of our %zu are joint",
         party->parties - 1, party->parties == 2 ? "" : "s", least, most, party->joint, matcher->table->rows);
}

/* By row now. */
static enum muster_status end(struct muster__vertical_matcher *matcher, const uint8_t *marks,
                              struct muster_error *error)
{
    if (matcher->party.joint == 0)
        return muster__error(error, MUSTER_FORMAT, "no id is joint");
    size_t *rows = muster__private_rows(&matcher->party, marks, matcher->order);
    if (!rows)
        return no_memory(error);
    set_rows(matcher, rows, matcher->party.joint);
    muster__vertical_note_integer(&matcher->answer, MATCH_JOINT, (int64_t)matcher->joint);
    tell_sizes(matcher);
    forget(matcher);
    return MUSTER_OK;
}

static enum muster_status mark(struct muster__vertical_matcher *matcher, const struct step *step,
                               struct muster_error *error)
{
    size_t count;
    const void *marks;
    uint8_t *before = NULL;
    enum muster_status status = muster__match_array(step->message, MUSTER_BOOL, 1, &marks, &count, error);
    if (status == MUSTER_OK)
        status = muster__private_unmark(&matcher->party, step->round, marks, count, &before, error);
    if (status != MUSTER_OK)
        return status;
    set_memory(matcher, before);
    if (step->round == 0)
        return end(matcher, before, error);
    muster__match_set_array(&matcher->answer, MUSTER_BOOL, count, 1, before);
    expect(matcher, MATCH_MARK, step->round - 1);
    return MUSTER_OK;
}

/* ---- the whole ---- */

static const struct {
    const char *name;
    bool begins;
    enum muster_status (*answer)(struct muster__vertical_matcher *matcher, const struct step *step,
                                 struct muster_error *error);
} steps[] = {
    {MATCH_IDS, true, give_ids}, {MATCH_JOINT, false, take_joint}, {MATCH_HIDE, true, hide},
    {MATCH_PASS, false, pass},   {MATCH_MARK, false, mark},
};

struct muster__vertical_matcher *muster__vertical_matcher_new(
    const struct muster_vertical_table *table, const size_t *order,
    const struct muster_vertical_member_options *options)
{
    struct muster__vertical_matcher *matcher = calloc(1, sizeof(*matcher));
    if (!matcher)
        return NULL;
    matcher->table = table;
    matcher->order = order;
    matcher->options = options;
    return matcher;
}

void muster__vertical_matcher_free(struct muster__vertical_matcher *matcher)
{
    if (!matcher)
        return;
    forget(matcher);
    free(matcher->memory);
    free(matcher->rows);
    free(matcher);
}

static enum muster_status out_of_turn(const struct muster__vertical_matcher *matcher, const char *name,
                                      int64_t round, struct muster_error *error)
{
    char shown[32];
    muster_text_harmless(name, shown, sizeof(shown));
    if (!matcher->next)
        return muster__error(error, MUSTER_PROTOCOL, "'%s' does not begin a matching", shown);
    return muster__error(error, MUSTER_PROTOCOL, "step '%s' of round %lld, and not '%s' of round %zu", shown,
                         (long long)round, matcher->next, matcher->next_round);
}

enum muster_status muster__vertical_matcher_answer(struct muster__vertical_matcher *matcher,
                                                   struct participant *participant,
                                                   const struct muster_message *instruction,
                                                   struct muster_message *answer, struct muster_error *error)
{
    const char *name = muster_message_text(instruction, "step", "");
    int64_t round = muster_message_integer(instruction, "round", -1);
    size_t i = 0, count = sizeof(steps) / sizeof(steps[0]);
    while (i < count && strcmp(steps[i].name, name) != 0)
        i++;
    bool begins = i < count && steps[i].begins && round == 0;
    if (!begins &&
        (!matcher->next || strcmp(matcher->next, name) != 0 || (int64_t)matcher->next_round != round))
        return out_of_turn(matcher, name, round, error);
    if (begins)
        forget(matcher);
    const struct step step = {instruction, participant, (size_t)round};
    muster__match_message(&matcher->answer, steps[i].name, step.round);
    enum muster_status status = steps[i].answer(matcher, &step, error);
    if (status == MUSTER_OK)
        *answer = matcher->answer.message;
    else
        forget(matcher);
    if (status == MUSTER_TOO_BIG && error)
        warn(matcher, "refused: %s", error->text);
    return status;
}

size_t *muster__vertical_matcher_take(struct muster__vertical_matcher *matcher, size_t *count)
{
    size_t *rows = matcher->rows;
    *count = rows ? matcher->joint : 0;
    matcher->rows = NULL;
    return rows;
}
