/* How a proxy ends: its participant goes, or the server closes it. */
#include <config.h>

#include "proxy/internal.h"
#include "server/pair.h"
#include "support/fixture.h"
#include "support/outcome.h"
#include "support/sample.h"

/* ---- participants that go ---- */

FIXTURE_TEST(leaving, gone_before_the_instruction)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    peer_cut(pair.peer);
    fixture_settle(pair.fixture);
    cr_assert_not(proxy_is_open(pair.proxy));
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_GONE);
    cr_assert_eq(outcome.ended, 0);
    cr_assert_eq(proxy_reconnect_in(pair.proxy, 1, NULL), MUSTER_GONE);
    proxy_close(pair.proxy);
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_GONE);
    pair_free(&pair);
}

FIXTURE_TEST(leaving, gone_as_the_instruction_is_sent)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    peer_cut(pair.peer); /* nobody was told yet */
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    cr_assert_eq(outcome.ended, 0);
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&outcome, MUSTER_GONE));
    pair_free(&pair);
}

FIXTURE_TEST(leaving, gone_while_it_works)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    cr_assert(muster_fixture_drop(pair.fixture->network, 0));
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&outcome, MUSTER_GONE));
    cr_assert(event_is(pair.fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_GONE, "ada"));
    fixture_advance(pair.fixture, 10 * TURN_MS);
    cr_assert(ended_with(&outcome, MUSTER_GONE), "once");
    cr_assert_eq(pair.fixture->event_count, 2);
    pair_free(&pair);
}

FIXTURE_TEST(leaving, gone_after_its_answer)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    peer_send(pair.peer, 1, sample(MUSTER_TRAIN));
    peer_close(pair.peer, MUSTER_OK, "");
    fixture_settle(pair.fixture);
    cr_assert(is_sample(&outcome.answer, MUSTER_TRAIN), "the answer outlives its sender");
    cr_assert(ended_with(&outcome, MUSTER_OK));
    cr_assert(event_is(pair.fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_GONE, "ada"));
    pair_free(&pair);
}

FIXTURE_TEST(leaving, half_closed_while_it_works)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    cr_assert(muster_fixture_half_close(pair.fixture->network, 0));
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&outcome, MUSTER_GONE));
    pair_free(&pair);
}

/* ---- closing ---- */

FIXTURE_TEST(leaving, close_says_good_bye)
{
    struct pair pair = pair_new();
    proxy_close(pair.proxy);
    cr_assert_not(proxy_is_open(pair.proxy));
    cr_assert_eq(fixture_open_count(pair.fixture), 0);
    fixture_settle(pair.fixture);
    cr_assert(pair.peer->closed);
    cr_assert_eq(pair.peer->status, MUSTER_OK);
    cr_assert_str_eq(pair.peer->text, "the server closed this participant's stream");
    cr_assert(event_is(pair.fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_CLOSED, "ada"));
    proxy_close(pair.proxy);
    fixture_settle(pair.fixture);
    cr_assert_eq(pair.fixture->event_count, 2);
    struct outcome outcome;
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_CLOSED);
    cr_assert_eq(proxy_reconnect_in(pair.proxy, 1, NULL), MUSTER_CLOSED);
    pair_free(&pair);
}

FIXTURE_TEST(leaving, close_ends_the_running_turn)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    proxy_close(pair.proxy);
    cr_assert(ended_with(&outcome, MUSTER_CLOSED), "on this thread");
    peer_send(pair.peer, 1, sample(MUSTER_TRAIN));
    fixture_advance(pair.fixture, 10 * TURN_MS);
    cr_assert(ended_with(&outcome, MUSTER_CLOSED), "once");
    pair_free(&pair);
}

FIXTURE_TEST(leaving, close_drops_answers_that_are_on_their_way)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    peer_send(pair.peer, 1, sample(MUSTER_TRAIN));
    proxy_close(pair.proxy);
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&outcome, MUSTER_CLOSED));
    cr_assert_eq(pair.peer->status, MUSTER_OK);
    pair_free(&pair);
}

FIXTURE_TEST(leaving, first_end_is_the_one_that_counts)
{
    struct pair pair = pair_new();
    cr_assert_eq(proxy_reconnect_in(pair.proxy, 1, NULL), MUSTER_OK);
    cr_assert_eq(proxy_reconnect_in(pair.proxy, 2, NULL), MUSTER_CLOSED);
    proxy_close(pair.proxy);
    participant_manager_close(pair.fixture->manager);
    fixture_settle(pair.fixture);
    cr_assert_eq(pair.peer->count, 2, "it is told once");
    cr_assert_str_eq(pair.peer->text, "the server asked this participant to come back later");
    cr_assert(event_is(pair.fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_CLOSED, "ada"));
    pair_free(&pair);
}

FIXTURE_TEST(leaving, close_after_the_manager_was_closed)
{
    struct pair pair = pair_new();
    participant_manager_close(pair.fixture->manager);
    proxy_close(pair.proxy);
    fixture_settle(pair.fixture);
    cr_assert_str_eq(pair.peer->text, "the server is stopping");
    cr_assert(event_is(pair.fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_STOPPED, "ada"));
    pair_free(&pair);
}

FIXTURE_TEST(leaving, close_on_a_cut_cable)
{
    struct pair pair = pair_new();
    muster_fixture_lose(pair.fixture->network, true);
    proxy_close(pair.proxy);
    fixture_settle(pair.fixture);
    cr_assert_eq(pair.fixture->event_count, 1, "the good-bye has not gone out yet");
    fixture_advance(pair.fixture, STOP_MS - 1);
    cr_assert_eq(pair.fixture->event_count, 1);
    fixture_advance(pair.fixture, 1);
    cr_assert(event_is(pair.fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_CLOSED, "ada"));
    pair_free(&pair);
}

FIXTURE_TEST(leaving, reconnect_in)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    cr_assert_eq(proxy_reconnect_in(pair.proxy, -1, NULL), MUSTER_INVALID);
    cr_assert_eq(outcome.ended, 0);
    cr_assert_eq(proxy_reconnect_in(pair.proxy, 30, NULL), MUSTER_OK);
    cr_assert(ended_with(&outcome, MUSTER_CLOSED));
    cr_assert_eq(fixture_open_count(pair.fixture), 0);
    fixture_settle(pair.fixture);
    cr_assert(is_sample(&pair_last(&pair)->message, MUSTER_RECONNECT));
    cr_assert_eq(pair_last(&pair)->turn, 0);
    cr_assert(pair.peer->closed);
    cr_assert_eq(pair.peer->status, MUSTER_OK);
    cr_assert(event_is(pair.fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_CLOSED, "ada"));
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_CLOSED);
    pair_free(&pair);
}

FIXTURE_TEST(leaving, reconnect_in_is_known_to_originals)
{
    struct pair pair = pair_original();
    cr_assert_eq(proxy_reconnect_in(pair.proxy, 0, NULL), MUSTER_OK);
    fixture_settle(pair.fixture);
    cr_assert_eq(pair.peer->count, 1);
    cr_assert_eq(pair_last(&pair)->message.kind, MUSTER_RECONNECT);
    cr_assert(pair.peer->closed);
    cr_assert_eq(pair.peer->status, MUSTER_OK);
    peer_join(pair.fixture, NULL);
    cr_assert_neq(fixture_proxy(pair.fixture, "anonymous-1"), pair.proxy);
    pair_free(&pair);
}
