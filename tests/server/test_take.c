/* Messages that a participant keeps beyond the next instruction, and answers that are sent from where they
   lie. */
#include <config.h>

#include <stdlib.h>

#include "participant/internal.h"
#include "server/line.h"
#include "support/outcome.h"
#include "support/sample.h"

#define SIZE ((size_t)300000)

static struct couple line_new(void)
{
    struct participant_manager_options server = line_manager_options();
    struct participant_options client = line_participant_options();
    struct couple line = line_with(&server, &client);
    fixture_unpump(line.fixture);
    return line;
}

static struct muster_message big(const void *bytes)
{
    return (struct muster_message){.kind = MUSTER_APPLICATION, .type = "big", .data = bytes, .size = SIZE};
}

static const struct muster_message *instruct(struct couple *line, const struct muster_message *message,
                                             struct outcome *outcome)
{
    const struct muster_message *instruction;
    cr_assert_eq(start_message(line->proxy, message, TURN_MS, outcome), MUSTER_OK);
    fixture_settle(line->fixture);
    cr_assert_eq(participant_consume(line->participant, 0, &instruction, NULL), MUSTER_OK);
    cr_assert(is_same(instruction, message));
    return instruction;
}

static void expect_answer(struct couple *line, struct outcome *outcome, const struct muster_message *message)
{
    fixture_settle(line->fixture);
    cr_assert(is_same(&outcome->answer, message));
    cr_assert(ended_with(outcome, MUSTER_OK));
}

/* Whether the answer is sent from there. */
static bool is_sent_from(const struct couple *line, const void *data)
{
    const struct buffer *held = line->participant->turns.held;
    return held && held->payload && held->payload->pieces[0].data == data;
}

FIXTURE_TEST(take, outlives_the_instruction_and_the_participant)
{
    struct couple line = line_new();
    struct outcome outcome;
    struct muster_message taken, again;
    uint8_t *bytes = noise(SIZE + 1);
    const struct muster_message first = big(bytes), second = big(bytes + 1);
    const struct muster_message *instruction = instruct(&line, &first, &outcome);
    cr_assert_eq(participant_take(line.participant, &taken, NULL), MUSTER_OK);
    cr_assert_eq(taken.data, instruction->data, "no copy");
    cr_assert_eq(participant_dispatch(line.participant, instruction, NULL), MUSTER_OK, "it is still there");
    expect_answer(&line, &outcome, &first);
    cr_assert_eq(participant_take(line.participant, &again, NULL), MUSTER_OK, "it is still the last");
    muster_message_clear(&again);
    instruct(&line, &second, &outcome);
    cr_assert(is_same(&taken, &first));
    cr_assert_eq(participant_dispatch(line.participant, &second, NULL), MUSTER_OK);
    expect_answer(&line, &outcome, &second);
    line_free(&line);
    cr_assert(is_same(&taken, &first));
    muster_message_clear(&taken);
    free(bytes);
}

FIXTURE_TEST(take, nothing_to_take)
{
    struct couple line = line_new();
    struct outcome outcome;
    struct muster_message taken = {.kind = MUSTER_TRAIN};
    struct muster_error error;
    const struct muster_message *instruction;
    uint8_t *bytes = noise(SIZE);
    const struct muster_message message = big(bytes);
    cr_assert_eq(participant_take(line.participant, &taken, &error), MUSTER_INVALID);
    cr_assert_eq(taken.kind, MUSTER_EMPTY);
    instruct(&line, &message, &outcome);
    cr_assert_eq(participant_consume(line.participant, 0, &instruction, NULL), MUSTER_TIMEOUT);
    cr_assert_eq(participant_take(line.participant, &taken, &error), MUSTER_INVALID);
    fixture_settle(line.fixture);
    cr_assert(ended_with(&outcome, MUSTER_UNKNOWN_INSTRUCTION));
    line_free(&line);
    free(bytes);
}

/* What came with an earlier instruction, or is the library's copy, is sent from where it lies, and may be
   cleared before it has left. */
static void expect_sent_from(struct couple *line, struct muster_message *message)
{
    struct outcome outcome;
    struct muster_message expected;
    cr_assert_eq(muster__message_copy(TO_SERVER, message, &expected, NULL), MUSTER_OK);
    instruct(line, &expected, &outcome);
    cr_assert_eq(participant_dispatch(line->participant, message, NULL), MUSTER_OK);
    cr_assert(is_sent_from(line, message->data));
    muster_message_clear(message);
    expect_answer(line, &outcome, &expected);
    muster_message_clear(&expected);
}

FIXTURE_TEST(take, is_sent_from_where_it_lies)
{
    struct couple line = line_new();
    struct outcome outcome;
    struct muster_message taken, copy;
    uint8_t *bytes = noise(SIZE);
    const struct muster_message message = big(bytes);
    instruct(&line, &message, &outcome);
    cr_assert_eq(participant_take(line.participant, &taken, NULL), MUSTER_OK);
    cr_assert_eq(participant_dispatch(line.participant, &message, NULL), MUSTER_OK);
    cr_assert_not(is_sent_from(&line, bytes), "it is the program's");
    expect_answer(&line, &outcome, &message);
    expect_sent_from(&line, &taken);
    cr_assert_eq(muster__message_copy(TO_SERVER, &message, &copy, NULL), MUSTER_OK);
    expect_sent_from(&line, &copy);
    line_free(&line);
    free(bytes);
}

/* Of a message of which some is the library's, the rest is copied. */
FIXTURE_TEST(take, is_sent_with_what_lies_elsewhere)
{
    struct couple line = line_new();
    struct outcome outcome;
    struct muster_message taken;
    uint8_t *bytes = noise(SIZE);
    struct muster_array arrays[2] = {
        {.dtype = MUSTER_UINT8, .dimensions = 1, .shape = {SIZE}, .data = bytes},
        {.dtype = MUSTER_UINT8, .dimensions = 1, .shape = {5000}, .data = bytes + 1},
    };
    const struct muster_message message = {.kind = MUSTER_TRAIN, .arrays = arrays, .array_count = 2};
    instruct(&line, &message, &outcome);
    cr_assert_eq(participant_take(line.participant, &taken, NULL), MUSTER_OK);
    struct muster_array mixed[2] = {taken.arrays[0], arrays[1]};
    struct muster_message answer = taken;
    answer.arrays = mixed;
    cr_assert_eq(participant_dispatch(line.participant, &answer, NULL), MUSTER_OK);
    cr_assert(is_sent_from(&line, taken.arrays[0].data));
    cr_assert_neq(line.participant->turns.held->payload->pieces[1].data, arrays[1].data);
    expect_answer(&line, &outcome, &message);
    muster_message_clear(&taken);
    line_free(&line);
    free(bytes);
}
