/* The participant at work: instructions and answers, instructions that were given up, and progress. */
#include <config.h>

#include <math.h>

#include "participant/duo.h"
#include "support/fixture.h"
#include "support/sample.h"

/* ---- turns ---- */

FIXTURE_TEST(work, turns)
{
    struct duo duo = duo_new();
    for (uint64_t turn = 1; turn <= 3; turn++)
        duo_expect_turn(&duo, 1 + turn, turn);
    cr_assert_eq(duo_consume(&duo), MUSTER_TIMEOUT);
    cr_assert_null(duo.instruction);
    duo_expect_turn(&duo, 5, 4);
    duo_free(&duo);
}

FIXTURE_TEST(work, answers_of_every_kind)
{
    static const enum muster_kind kinds[] = {MUSTER_EVALUATE, MUSTER_APPLICATION, MUSTER_FAILURE,
                                             MUSTER_UNKNOWN};
    struct duo duo = duo_new();
    for (size_t i = 0; i < 4; i++) {
        duo_instruct(&duo, i + 1);
        cr_assert_eq(duo_dispatch(&duo, kinds[i]), MUSTER_OK);
        duo_expect_answer(&duo, i + 2, i + 1, kinds[i]);
    }
    duo_free(&duo);
}

FIXTURE_TEST(work, first_message_is_to_be_empty)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo_connect(&duo, &options);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_INVALID);
    cr_assert_eq(duo.peer->count, 1, "nothing was sent");
    cr_assert_eq(duo_dispatch(&duo, MUSTER_EMPTY), MUSTER_OK);
    duo_expect_answer(&duo, 1, 0, MUSTER_EMPTY);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_EMPTY), MUSTER_INVALID, "there is nothing to answer");
    cr_assert_eq(duo.peer->count, 2);
    duo_free(&duo);
}

FIXTURE_TEST(work, consume_passes_an_initiative_that_was_forgotten)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo_connect(&duo, &options);
    cr_assert_eq(participant_consume(duo.participant, 0, &duo.instruction, NULL), MUSTER_TIMEOUT);
    cr_assert_eq(participant_consume(duo.participant, 0, &duo.instruction, NULL), MUSTER_TIMEOUT);
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->count, 2, "Hello, and the initiative once");
    duo_expect_answer(&duo, 1, 0, MUSTER_EMPTY);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_EMPTY), MUSTER_INVALID, "there is nothing to answer");
    duo_instruct(&duo, 1);
    duo_free(&duo);
}

FIXTURE_TEST(work, consume_passes_no_initiative_once_it_is_closed)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo_connect(&duo, &options);
    participant_close(duo.participant);
    cr_assert_eq(participant_consume(duo.participant, 0, &duo.instruction, NULL), MUSTER_CLOSED);
    cr_assert_eq(duo.peer->count, 1, "Hello");
    duo_free(&duo);
}

FIXTURE_TEST(work, consume_passes_no_initiative_where_the_connection_broke)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo_connect(&duo, &options);
    muster_fixture_fail_send(duo.fixture->network, 1);
    cr_assert_eq(participant_consume(duo.participant, 0, &duo.instruction, NULL), MUSTER_TIMEOUT);
    cr_assert_null(duo.instruction);
    cr_assert_eq(duo_consume(&duo), MUSTER_GONE);
    duo_free(&duo);
}

FIXTURE_TEST(work, consume_tells_the_end_that_the_initiative_runs_into)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo_connect(&duo, &options);
    peer_close(duo.peer, MUSTER_OK, "the server is stopping");
    cr_assert_eq(participant_consume(duo.participant, 0, &duo.instruction, NULL), MUSTER_TIMEOUT);
    duo_expect_over(&duo, MUSTER_STOPPED, "the server is stopping");
    duo_free(&duo);
}

FIXTURE_TEST(work, dispatch_without_or_after_an_answer)
{
    struct duo duo = duo_new();
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_INVALID);
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN));
    fixture_settle(duo.fixture);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_INVALID, "it was not consumed yet");
    cr_assert_eq(duo_consume(&duo), MUSTER_OK);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_INVALID);
    duo_expect_answer(&duo, 2, 1, MUSTER_TRAIN);
    duo_free(&duo);
}

FIXTURE_TEST(work, answers_that_make_no_sense_can_be_replaced)
{
    struct duo duo = duo_new();
    struct muster_array array = {.dtype = MUSTER_FLOAT32, .dimensions = 9};
    struct muster_message message = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
    duo_instruct(&duo, 1);
    cr_assert_eq(participant_dispatch(duo.participant, &message, NULL), MUSTER_INVALID);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_RECONNECT), MUSTER_INVALID);
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->count, 2);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    duo_expect_answer(&duo, 2, 1, MUSTER_TRAIN);
    duo_free(&duo);
}

static void takes_little(struct peer *peer, const struct received *received)
{
    Muster__Welcome welcome = MUSTER__WELCOME__INIT;
    welcome.name = "ada";
    welcome.max_message_size = 1024;
    if (received->content == CONTENT_HELLO)
        peer_send_buffer(peer, 0, muster__encode_welcome(&welcome));
}

FIXTURE_TEST(work, answer_over_the_servers_limit)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    char data[1024] = "";
    struct muster_message message = {.kind = MUSTER_APPLICATION, .data = data, .size = sizeof(data)};
    duo.fixture->react = takes_little;
    duo_connect(&duo, &options);
    duo_dispatch(&duo, MUSTER_EMPTY);
    duo_instruct(&duo, 1);
    cr_assert_eq(participant_dispatch(duo.participant, &message, NULL), MUSTER_TOO_BIG);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_FAILURE), MUSTER_OK);
    duo_expect_answer(&duo, 2, 1, MUSTER_FAILURE);
    duo_free(&duo);
}

/* What the program does not look at, the server is told. */
FIXTURE_TEST(work, answer_that_makes_no_sense_is_a_failure)
{
    struct duo duo = duo_new();
    const struct muster_scalar scalars[] = {{"loss", 1}, {"loss", 2}};
    const struct muster_message message = {.kind = MUSTER_TRAIN, .scalars = scalars, .scalar_count = 2};
    duo_instruct(&duo, 1);
    cr_assert_eq(participant_dispatch(duo.participant, &message, NULL), MUSTER_INVALID);
    cr_assert_eq(duo_consume(&duo), MUSTER_TIMEOUT);
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->count, 3);
    cr_assert_eq(duo.peer->messages[2].message.kind, MUSTER_FAILURE);
    cr_assert_str_eq(duo.peer->messages[2].message.text,
                     "its answer was not sent: the scalar 'loss' is there twice");
    duo_expect_turn(&duo, 3, 2);
    duo_instruct(&duo, 3);
    cr_assert_eq(duo_consume(&duo), MUSTER_TIMEOUT);
    fixture_settle(duo.fixture);
    duo_expect_answer(&duo, 4, 3, MUSTER_UNKNOWN);
    duo_free(&duo);
}

FIXTURE_TEST(work, instruction_that_is_passed_over)
{
    struct duo duo = duo_new();
    duo_instruct(&duo, 1);
    cr_assert_eq(duo_consume(&duo), MUSTER_TIMEOUT);
    fixture_settle(duo.fixture);
    duo_expect_answer(&duo, 2, 1, MUSTER_UNKNOWN);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_INVALID);
    cr_assert_eq(duo_consume(&duo), MUSTER_TIMEOUT);
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->count, 3, "once");
    duo_expect_turn(&duo, 3, 2);
    duo_free(&duo);
}

FIXTURE_TEST(work, second_welcome_is_ignored)
{
    struct duo duo = duo_new();
    Muster__Welcome welcome = MUSTER__WELCOME__INIT;
    welcome.name = "bob";
    welcome.rank = 8;
    welcome.max_message_size = 1;
    peer_send_buffer(duo.peer, 0, muster__encode_welcome(&welcome));
    fixture_settle(duo.fixture);
    cr_assert_str_eq(participant_name(duo.participant), "ada");
    cr_assert_eq(participant_rank(duo.participant), 7);
    duo_expect_turn(&duo, 2, 1);
    duo_free(&duo);
}

FIXTURE_TEST(work, empty_instruction_is_ignored)
{
    struct duo duo = duo_new();
    peer_send_bytes(duo.peer, NULL, 0);
    cr_assert_eq(duo_consume(&duo), MUSTER_TIMEOUT);
    duo_expect_turn(&duo, 2, 1);
    duo_free(&duo);
}

/* ---- instructions that were given up ---- */

FIXTURE_TEST(work, cancelled_while_it_works)
{
    struct duo duo = duo_new();
    duo_instruct(&duo, 1);
    cr_assert_not(participant_cancelled(duo.participant));
    duo_cancel(&duo, 1);
    cr_assert(participant_cancelled(duo.participant));
    cr_assert_eq(participant_report_progress(duo.participant, 0.5, NULL), MUSTER_CANCELLED);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_CANCELLED);
    cr_assert_eq(duo.peer->count, 2, "the answer was dropped");
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_INVALID);
    duo_expect_turn(&duo, 2, 2);
    duo_free(&duo);
}

FIXTURE_TEST(work, cancelled_and_passed_over)
{
    struct duo duo = duo_new();
    duo_instruct(&duo, 1);
    duo_cancel(&duo, 1);
    cr_assert_eq(duo_consume(&duo), MUSTER_TIMEOUT);
    cr_assert_not(participant_cancelled(duo.participant));
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->count, 2, "nobody waits for an answer");
    duo_expect_turn(&duo, 2, 2);
    duo_free(&duo);
}

FIXTURE_TEST(work, cancelled_before_it_was_consumed)
{
    struct duo duo = duo_new();
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN));
    duo_cancel(&duo, 1);
    cr_assert_eq(duo_consume(&duo), MUSTER_TIMEOUT);
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->count, 2);
    duo_expect_turn(&duo, 2, 2);
    duo_free(&duo);
}

FIXTURE_TEST(work, cancel_of_another_turn)
{
    struct duo duo = duo_new();
    duo_expect_turn(&duo, 2, 1);
    duo_cancel(&duo, 1); /* it met the answer */
    duo_instruct(&duo, 2);
    duo_cancel(&duo, 1);
    duo_cancel(&duo, 3);
    cr_assert_not(participant_cancelled(duo.participant));
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    duo_expect_answer(&duo, 3, 2, MUSTER_TRAIN);
    duo_free(&duo);
}

FIXTURE_TEST(work, cancel_of_another_turn_than_the_unconsumed_one)
{
    struct duo duo = duo_new();
    peer_send(duo.peer, 2, sample(MUSTER_TRAIN));
    duo_cancel(&duo, 1);
    cr_assert_eq(duo_consume(&duo), MUSTER_OK);
    cr_assert_not(participant_cancelled(duo.participant));
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    duo_expect_answer(&duo, 2, 2, MUSTER_TRAIN);
    duo_free(&duo);
}

FIXTURE_TEST(work, superseded_before_it_was_consumed)
{
    struct duo duo = duo_new();
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN));
    peer_send(duo.peer, 2, sample(MUSTER_EVALUATE));
    cr_assert_eq(duo_consume(&duo), MUSTER_OK);
    cr_assert(is_sample(duo.instruction, MUSTER_EVALUATE));
    cr_assert_eq(duo_dispatch(&duo, MUSTER_EVALUATE), MUSTER_OK);
    duo_expect_answer(&duo, 2, 2, MUSTER_EVALUATE);
    duo_free(&duo);
}

FIXTURE_TEST(work, superseded_while_it_works)
{
    struct duo duo = duo_new();
    duo_instruct(&duo, 1);
    peer_send(duo.peer, 2, sample(MUSTER_TRAIN));
    fixture_settle(duo.fixture);
    cr_assert(is_sample(duo.instruction, MUSTER_TRAIN), "it stays until the next consume");
    cr_assert(participant_cancelled(duo.participant));
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_CANCELLED);
    cr_assert_eq(duo_consume(&duo), MUSTER_OK);
    cr_assert_not(participant_cancelled(duo.participant));
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    duo_expect_answer(&duo, 2, 2, MUSTER_TRAIN);
    duo_free(&duo);
}

/* ---- progress ---- */

FIXTURE_TEST(work, progress_is_reported_now_and_then)
{
    struct duo duo = duo_new();
    cr_assert_eq(participant_report_progress(duo.participant, 0.5, NULL), MUSTER_INVALID);
    duo_instruct(&duo, 1);
    cr_assert_eq(participant_report_progress(duo.participant, 0.125, NULL), MUSTER_OK);
    cr_assert_eq(participant_report_progress(duo.participant, 0.25, NULL), MUSTER_OK);
    fixture_advance(duo.fixture, 99);
    cr_assert_eq(participant_report_progress(duo.participant, 0.375, NULL), MUSTER_OK);
    fixture_advance(duo.fixture, 1);
    cr_assert_eq(participant_report_progress(duo.participant, 0.5, NULL), MUSTER_OK);
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->count, 4);
    for (size_t i = 2; i < 4; i++) {
        cr_assert_eq(duo.peer->messages[i].content, CONTENT_PROGRESS);
        cr_assert_eq(duo.peer->messages[i].turn, 1);
    }
    cr_assert_eq(duo.peer->messages[2].progress, 0.125);
    cr_assert_eq(duo.peer->messages[3].progress, 0.5);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    cr_assert_eq(participant_report_progress(duo.participant, 1, NULL), MUSTER_INVALID);
    duo_free(&duo);
}

FIXTURE_TEST(work, progress_has_numbers)
{
    struct duo duo = duo_new();
    static const char names[17][2] = {"a", "b", "c", "d", "e", "f", "g", "h", "i",
                                      "j", "k", "l", "m", "n", "o", "p", "q"};
    char name[66];
    struct muster_scalar numbers[17];
    struct muster_error error;
    for (size_t i = 0; i < 17; i++)
        numbers[i] = (struct muster_scalar){names[i], (double)i};
    duo_instruct(&duo, 1);
    cr_assert_eq(participant_report(duo.participant, 0, numbers, 17, &error), MUSTER_INVALID);
    cr_assert(strstr(error.text, "at most 16 numbers, not 17"));
    cr_assert_eq(participant_report(duo.participant, 0, NULL, 1, NULL), MUSTER_INVALID);
    cr_assert_eq(participant_report(duo.participant, 2, numbers, 1, NULL), MUSTER_INVALID);
    memset(name, 'x', 65);
    name[65] = '\0';
    numbers[15].name = name;
    cr_assert_eq(participant_report(duo.participant, 0, numbers, 16, &error), MUSTER_INVALID);
    cr_assert(strstr(error.text, "longer than 64 bytes"));
    numbers[15].name = "a";
    cr_assert_eq(participant_report(duo.participant, 0, numbers, 16, &error), MUSTER_INVALID);
    cr_assert(strstr(error.text, "twice"));
    numbers[15].name = "\xff";
    cr_assert_eq(participant_report(duo.participant, 0, numbers, 16, NULL), MUSTER_INVALID);
    name[64] = '\0';
    numbers[15].name = name;
    cr_assert_eq(participant_report(duo.participant, 0.75, numbers, 16, NULL), MUSTER_OK);
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->count, 3);
    const struct received *received = &duo.peer->messages[2];
    cr_assert_eq(received->content, CONTENT_PROGRESS);
    cr_assert_eq(received->progress, 0.75);
    cr_assert_eq(received->message.scalar_count, 16);
    cr_assert_eq(muster_message_scalar(&received->message, name, 0), 15);
    duo_free(&duo);
}

FIXTURE_TEST(work, progress_is_a_fraction)
{
    struct duo duo = duo_new();
    duo_instruct(&duo, 1);
    cr_assert_eq(participant_report_progress(duo.participant, -0.01, NULL), MUSTER_INVALID);
    cr_assert_eq(participant_report_progress(duo.participant, 1.01, NULL), MUSTER_INVALID);
    cr_assert_eq(participant_report_progress(duo.participant, NAN, NULL), MUSTER_INVALID);
    cr_assert_eq(participant_report_progress(duo.participant, 1, NULL), MUSTER_OK);
    duo_free(&duo);
}

static void report(struct duo *duo, double fraction)
{
    cr_assert_eq(participant_report_progress(duo->participant, fraction, NULL), MUSTER_OK);
    fixture_settle(duo->fixture);
}

FIXTURE_TEST(work, first_progress_of_a_turn_is_reported_at_once)
{
    struct duo duo = duo_new();
    duo_instruct(&duo, 1);
    report(&duo, 0.75);
    cr_assert_eq(participant_dispatch(duo.participant, sample(MUSTER_TRAIN), NULL), MUSTER_OK);
    duo_instruct(&duo, 2);
    report(&duo, 0.125);
    report(&duo, 0.25); /* too soon after the one before */
    cr_assert_eq(duo.peer->count, 5);
    cr_assert_eq(duo.peer->messages[4].content, CONTENT_PROGRESS);
    cr_assert_eq(duo.peer->messages[4].turn, 2);
    cr_assert_eq(duo.peer->messages[4].progress, 0.125);
    duo_free(&duo);
}

/* ---- an instruction that comes while an answer is encoded ---- */

struct busy {
    struct duo duo;
    bool consumes_at_once; /* in on_ready */
    enum muster_status consumed;
};

static void is_ready(void *context, struct participant *participant)
{
    struct busy *busy = context;
    const struct muster_message *instruction;
    if (busy->consumes_at_once)
        busy->consumed = participant_consume(participant, 0, &instruction, NULL);
}

enum muster_status __real_muster__encode(enum direction direction, const struct muster_message *message,
                                         const struct encoding *encoding, struct buffer **result,
                                         struct muster_error *error);
enum muster_status __wrap_muster__encode(enum direction direction, const struct muster_message *message,
                                         const struct encoding *encoding, struct buffer **result,
                                         struct muster_error *error);

/* What happens once, while the test's own thread encodes. */
static _Thread_local struct busy *newer_comes_for;

enum muster_status __wrap_muster__encode(enum direction direction, const struct muster_message *message,
                                         const struct encoding *encoding, struct buffer **result,
                                         struct muster_error *error)
{
    struct busy *busy = newer_comes_for;
    newer_comes_for = NULL;
    if (busy) {
        busy->consumes_at_once = true;
        peer_send(busy->duo.peer, 2, sample(MUSTER_TRAIN));
        fixture_settle(busy->duo.fixture);
        busy->consumes_at_once = false;
    }
    return __real_muster__encode(direction, message, encoding, result, error);
}

FIXTURE_TEST(work, answer_that_a_newer_instruction_overtakes_is_cancelled)
{
    struct busy busy = {.duo = duo_empty()};
    struct participant_options options = ada_options();
    options.on_ready = is_ready;
    options.context = &busy;
    duo_begin(&busy.duo, &options);
    duo_instruct(&busy.duo, 1);
    busy.consumed = MUSTER_TIMEOUT;
    newer_comes_for = &busy;
    cr_assert_eq(participant_dispatch(busy.duo.participant, sample(MUSTER_EVALUATE), NULL), MUSTER_CANCELLED);
    cr_assert_null(newer_comes_for);
    cr_assert_eq(busy.consumed, MUSTER_OK);
    fixture_settle(busy.duo.fixture);
    cr_assert_eq(busy.duo.peer->count, 2, "it is not the answer to the newer one");
    cr_assert_eq(participant_dispatch(busy.duo.participant, sample(MUSTER_TRAIN), NULL), MUSTER_OK);
    fixture_settle(busy.duo.fixture);
    cr_assert_eq(busy.duo.peer->count, 3);
    cr_assert_eq(busy.duo.peer->messages[2].turn, 2);
    cr_assert(is_sample(&busy.duo.peer->messages[2].message, MUSTER_TRAIN));
    duo_free(&busy.duo);
}
