/* Answers that nobody asked for, and answers that are none: the participant is told why, and is gone. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "server/pair.h"
#include "support/fixture.h"
#include "support/outcome.h"
#include "support/sample.h"
#include "wire/reader.h"

static const uint8_t garbage[] = {0xff, 0xff, 0xff, 0x07, 'x'};

/* ---- answers that nobody asked for ---- */

FIXTURE_TEST(answer, answer_before_any_instruction)
{
    struct pair pair = pair_new();
    pair_answer(&pair, 1, MUSTER_TRAIN);
    pair_expect_ended(&pair, MUSTER_PROTOCOL, "an answer without an instruction");
    pair_free(&pair);
}

FIXTURE_TEST(answer, second_answer)
{
    struct pair pair = pair_new();
    pair_expect_turn(&pair, 1);
    pair_answer(&pair, 1, MUSTER_TRAIN);
    pair_expect_ended(&pair, MUSTER_PROTOCOL, "an answer without an instruction");
    pair_free(&pair);
}

FIXTURE_TEST(answer, second_answer_after_a_turn_that_was_given_up)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    proxy_cancel(pair.proxy);
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED));
    pair_expect_turn(&pair, 2);
    pair_answer(&pair, 2, MUSTER_TRAIN);
    pair_expect_ended(&pair, MUSTER_PROTOCOL, "an answer without an instruction");
    pair_free(&pair);
}

FIXTURE_TEST(answer, answer_of_a_future_turn)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    pair_answer(&pair, 2, MUSTER_TRAIN);
    cr_assert(ended_with(&outcome, MUSTER_PROTOCOL));
    pair_expect_ended(&pair, MUSTER_PROTOCOL, "an answer without an instruction");
    pair_free(&pair);
}

FIXTURE_TEST(answer, answer_without_a_turn)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    pair_answer(&pair, 0, MUSTER_TRAIN);
    cr_assert(ended_with(&outcome, MUSTER_PROTOCOL));
    pair_expect_ended(&pair, MUSTER_PROTOCOL, "an answer without an instruction");
    pair_free(&pair);
}

FIXTURE_TEST(answer, second_initiative)
{
    struct pair pair = pair_new();
    peer_send_empty(pair.peer);
    fixture_settle(pair.fixture);
    pair_expect_ended(&pair, MUSTER_PROTOCOL, "an answer without an instruction");
    pair_free(&pair);
}

/* ---- answers that are none ---- */

static void expect_bad_bytes(const void *bytes, size_t size, const char *text)
{
    struct pair pair = pair_new();
    struct peer *other = peer_join(pair.fixture, "bob");
    struct outcome outcome;
    struct outcome others;
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    cr_assert_eq(start_turn(fixture_proxy(pair.fixture, "bob"), MUSTER_TRAIN, TURN_MS, &others), MUSTER_OK);
    peer_send_bytes(pair.peer, bytes, size);
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&outcome, MUSTER_PROTOCOL));
    cr_assert_eq(pair.peer->status, MUSTER_PROTOCOL);
    cr_assert(strstr(pair.peer->text, text) != NULL, "%s", pair.peer->text);
    cr_assert(event_is(pair.fixture, 2, PARTICIPANT_MANAGER_LEFT, MUSTER_PROTOCOL, "ada"));

    cr_assert_not(other->closed, "no effect on other participants");
    peer_send(other, 1, sample(MUSTER_TRAIN));
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&others, MUSTER_OK));
    pair_free(&pair);
}

FIXTURE_TEST(answer, garbage_for_an_answer)
{
    expect_bad_bytes(garbage, sizeof(garbage), "the bytes are no message");
}

FIXTURE_TEST(answer, more_fields_than_a_message_may_have)
{
    size_t size = 2 * (WIRE_FIELDS_MAX + 1);
    uint8_t *bytes = malloc(size);
    cr_assert_not_null(bytes);
    for (size_t i = 0; i < size; i += 2) {
        bytes[i] = 2 << 3; /* turn */
        bytes[i + 1] = 1;
    }
    expect_bad_bytes(bytes, size, "more than 65536 fields");
    free(bytes);
}

FIXTURE_TEST(answer, array_that_is_none)
{
    /* turn 1, result { theta { ndarray: "\x93NUMPZ" } } */
    static const uint8_t bytes[] = "\x10\x01\x0a\x0a\x0a\x08\x0a\x06\x93NUMPZ";
    expect_bad_bytes(bytes, sizeof(bytes) - 1, "array 0: ");
}

FIXTURE_TEST(answer, answer_of_another_kind)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    pair_answer(&pair, 1, MUSTER_EVALUATE);
    cr_assert(ended_with(&outcome, MUSTER_PROTOCOL));
    pair_free(&pair);
}

FIXTURE_TEST(answer, empty_answer)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    peer_send_buffer(pair.peer, 1, NULL);
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&outcome, MUSTER_PROTOCOL));
    pair_free(&pair);
}

FIXTURE_TEST(answer, answer_over_the_limit)
{
    struct participant_manager_options options = fixture_options();
    options.max_message_size = 1024;
    struct pair pair = pair_with(&options, "ada");
    struct outcome outcome;
    uint8_t bytes[1025] = {0};
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    peer_send_bytes(pair.peer, bytes, sizeof(bytes));
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&outcome, MUSTER_TOO_BIG));
    pair_expect_ended(&pair, MUSTER_TOO_BIG, "limit");
    pair_free(&pair);
}

/* The transport has ended the stream, and is about to say how: the turn that begins in this instant ends so. */
FIXTURE_TEST(answer, turn_that_begins_as_the_stream_ends)
{
    struct participant_manager_options options = fixture_options();
    options.max_message_size = 1024;
    struct pair pair = pair_with(&options, "ada");
    struct outcome outcome;
    uint8_t bytes[1025] = {0};
    peer_send_bytes(pair.peer, bytes, sizeof(bytes));
    cr_assert(muster_fixture_step(pair.fixture->network));
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&outcome, MUSTER_TOO_BIG));
    pair_expect_ended(&pair, MUSTER_TOO_BIG, "limit");
    pair_free(&pair);
}
