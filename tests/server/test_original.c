/* Participants of the original protocol: they know neither names nor turns. */
#include <config.h>

#include "server/pair.h"
#include "support/fixture.h"
#include "support/outcome.h"

FIXTURE_TEST(original, original_trains)
{
    struct pair pair = pair_original();
    pair_expect_turn(&pair, 0);
    pair_expect_turn(&pair, 0);
    pair_free(&pair);
}

FIXTURE_TEST(original, original_knows_nothing_but_train)
{
    struct pair pair = pair_original();
    struct outcome outcome;
    cr_assert_eq(start_turn(pair.proxy, MUSTER_EVALUATE, TURN_MS, &outcome), MUSTER_UNKNOWN_INSTRUCTION);
    cr_assert_eq(start_turn(pair.proxy, MUSTER_APPLICATION, TURN_MS, &outcome), MUSTER_UNKNOWN_INSTRUCTION);
    fixture_settle(pair.fixture);
    cr_assert_eq(pair.peer->count, 0, "not a byte was sent");
    cr_assert_eq(outcome.ended, 0);
    pair_expect_turn(&pair, 0);
    pair_free(&pair);
}

FIXTURE_TEST(original, original_does_not_know_train_either)
{
    struct pair pair = pair_original();
    struct outcome outcome;
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    pair_answer(&pair, 0, MUSTER_UNKNOWN);
    cr_assert(ended_with(&outcome, MUSTER_UNKNOWN_INSTRUCTION));
    pair_expect_turn(&pair, 0);
    pair_free(&pair);
}

/* Two turns are given up; the answers to them are still owed and come before that to the third. */
FIXTURE_TEST(original, original_owes_answers_in_order)
{
    struct pair pair = pair_original();
    struct outcome first;
    struct outcome second;
    struct outcome third;
    pair_start(&pair, MUSTER_TRAIN, &first);
    fixture_advance(pair.fixture, TURN_MS);
    cr_assert(ended_with(&first, MUSTER_TIMEOUT));
    pair_start(&pair, MUSTER_TRAIN, &second);
    proxy_cancel(pair.proxy);
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&second, MUSTER_CANCELLED));
    cr_assert_eq(pair.peer->count, 2, "it would not know a cancel");

    pair_answer(&pair, 0, MUSTER_TRAIN); /* to the first */
    pair_start(&pair, MUSTER_TRAIN, &third);
    pair_answer(&pair, 0, MUSTER_UNKNOWN); /* to the second */
    cr_assert_eq(third.ended, 0);
    pair_answer(&pair, 0, MUSTER_TRAIN);
    cr_assert(ended_with(&third, MUSTER_OK));
    cr_assert(ended_with(&first, MUSTER_TIMEOUT));
    cr_assert(ended_with(&second, MUSTER_CANCELLED));
    pair_expect_turn(&pair, 0);
    pair_free(&pair);
}

FIXTURE_TEST(original, original_answers_once_too_often)
{
    struct pair pair = pair_original();
    struct outcome outcome;
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    proxy_cancel(pair.proxy);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED));
    pair_answer(&pair, 0, MUSTER_TRAIN);
    cr_assert_not(pair.peer->closed);
    pair_answer(&pair, 0, MUSTER_TRAIN);
    pair_expect_ended(&pair, MUSTER_PROTOCOL, "an answer without an instruction");
    pair_free(&pair);
}

FIXTURE_TEST(original, original_with_a_turn_number)
{
    struct pair pair = pair_original();
    struct outcome outcome;
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    pair_answer(&pair, 1, MUSTER_TRAIN);
    cr_assert(ended_with(&outcome, MUSTER_PROTOCOL));
    pair_expect_ended(&pair, MUSTER_PROTOCOL, "an answer without an instruction");
    pair_free(&pair);
}

FIXTURE_TEST(original, original_leaves_owing)
{
    struct pair pair = pair_original();
    struct outcome outcome;
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    proxy_cancel(pair.proxy);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED));
    peer_close(pair.peer, MUSTER_OK, "");
    fixture_settle(pair.fixture);
    cr_assert(event_is(pair.fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_GONE, NULL));
    pair_free(&pair);
}
