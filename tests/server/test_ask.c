/* Participants that ask for a turn, as the server hears them. */
#include <config.h>

#include "server/couple.h"
#include "server/pair.h"
#include "support/fixture.h"
#include "support/outcome.h"
#include "support/sample.h"

static void send_ask(struct peer *peer)
{
    uint8_t message[STREAM_HEAD_MAX];
    size_t size = muster__encode_ask(message);
    peer_send_bytes(peer, message, size);
}

static void ask(struct pair *pair)
{
    send_ask(pair->peer);
    fixture_settle(pair->fixture);
}

/* So many events so far, the last of which tells of it. */
static bool is_told(struct pair *pair, size_t count)
{
    return pair->fixture->event_count == count &&
           event_is(pair->fixture, count - 1, PARTICIPANT_MANAGER_ASKED, MUSTER_OK, "ada");
}

FIXTURE_TEST(ask, is_told_until_the_next_turn_begins)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    cr_assert_not(proxy_asked(pair.proxy));
    ask(&pair);
    cr_assert(is_told(&pair, 2));
    cr_assert(proxy_asked(pair.proxy));
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    cr_assert_not(proxy_asked(pair.proxy));
    pair_answer(&pair, 1, MUSTER_TRAIN);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    cr_assert_not(proxy_asked(pair.proxy));
    ask(&pair);
    cr_assert(is_told(&pair, 3));
    pair_free(&pair);
}

FIXTURE_TEST(ask, during_a_turn_it_is_for_the_next)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    ask(&pair);
    cr_assert(is_told(&pair, 2));
    cr_assert_eq(outcome.ended, 0, "it is no answer");
    pair_answer(&pair, 1, MUSTER_TRAIN);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    cr_assert(proxy_asked(pair.proxy));
    pair_expect_turn(&pair, 2);
    cr_assert_not(proxy_asked(pair.proxy));
    pair_free(&pair);
}

/* Of a thousand, one is told, and as many are read at once as are worth it. The answer behind them comes. */
FIXTURE_TEST(ask, without_end)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    for (size_t i = 0; i < 1000; i++)
        send_ask(pair.peer);
    peer_send(pair.peer, 1, sample(MUSTER_TRAIN));
    fixture_settle(pair.fixture);
    cr_assert(is_told(&pair, 2));
    for (size_t i = 0; i < 999 / 64; i++) {
        cr_assert_eq(outcome.ended, 0);
        fixture_advance(pair.fixture, 50);
    }
    cr_assert(ended_with(&outcome, MUSTER_OK));
    cr_assert(is_told(&pair, 2));
    cr_assert(proxy_asked(pair.proxy));
    pair_expect_turn(&pair, 2);
    pair_free(&pair);
}

/* One for each turn is never too often. */
FIXTURE_TEST(ask, before_each_turn)
{
    struct pair pair = pair_new();
    pair.fixture->event_count = 1;
    for (uint64_t turn = 1; turn <= 12; turn++) {
        ask(&pair);
        cr_assert(is_told(&pair, 1 + turn));
        pair_expect_turn(&pair, turn);
    }
    pair_free(&pair);
}

static void expect_refused(bool says_hello, const char *text)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_connect(fixture);
    if (says_hello)
        peer_send_hello(peer, "ada");
    send_ask(peer);
    fixture_settle(fixture);
    fixture_expect_refused(fixture, peer, MUSTER_PROTOCOL, text);
    fixture_free(fixture);
}

FIXTURE_TEST(ask, before_hello)
{
    expect_refused(false, "the first message is to be Hello");
}

FIXTURE_TEST(ask, before_the_initiative)
{
    expect_refused(true, "the message after Hello is to be empty");
}

FIXTURE_TEST(ask, of_the_original_protocol)
{
    struct pair pair = pair_original();
    ask(&pair);
    pair_expect_ended(&pair, MUSTER_PROTOCOL, "without Hello");
    pair_free(&pair);
}

FIXTURE_TEST(ask, on_a_closed_proxy)
{
    struct pair pair = pair_new();
    ask(&pair);
    proxy_close(pair.proxy);
    cr_assert_not(proxy_asked(pair.proxy));
    send_ask(pair.peer);
    fixture_settle(pair.fixture);
    cr_assert_not(proxy_asked(pair.proxy));
    cr_assert_eq(pair.fixture->event_count, 3);
    cr_assert(event_is(pair.fixture, 2, PARTICIPANT_MANAGER_LEFT, MUSTER_CLOSED, "ada"));
    pair_free(&pair);
}

/* ---- both ends ---- */

static void settle_asked(struct couple *couple)
{
    cr_assert_eq(participant_ask(couple->participant, NULL), MUSTER_OK);
    fixture_settle(couple->fixture);
}

/* The proxy remembers it, and it is not news when the participant is back. */
FIXTURE_TEST(ask, outlives_the_connection)
{
    struct couple couple;
    couple_new(&couple, "ada");
    settle_asked(&couple);
    cr_assert_eq(couple.fixture->event_count, 2);
    send_away(&couple, 0);
    cr_assert(proxy_asked(couple.proxy));
    muster_fixture_refuse(couple.fixture->network, false);
    fixture_advance(couple.fixture, 20000);
    cr_assert(proxy_is_open(couple.proxy));
    cr_assert(proxy_asked(couple.proxy));
    cr_assert_eq(couple.fixture->event_count, 4);
    cr_assert(event_is(couple.fixture, 3, PARTICIPANT_MANAGER_BACK, MUSTER_OK, "ada"));
    couple_free(&couple);
}

/* It is asked while it is away. */
FIXTURE_TEST(ask, comes_back_with_it)
{
    struct couple couple;
    couple_new(&couple, "ada");
    send_away(&couple, 0);
    settle_asked(&couple);
    muster_fixture_refuse(couple.fixture->network, false);
    fixture_advance(couple.fixture, 20000);
    cr_assert(proxy_asked(couple.proxy));
    cr_assert(event_is(couple.fixture, 3, PARTICIPANT_MANAGER_ASKED, MUSTER_OK, "ada"));
    couple_free(&couple);
}

/* Another process does not know of it. */
FIXTURE_TEST(ask, outlives_the_server)
{
    struct couple couple;
    couple_new(&couple, "ada");
    settle_asked(&couple);
    restart_server(&couple);
    fixture_advance(couple.fixture, 20000);
    couple.proxy = fixture_proxy(couple.fixture, "ada");
    cr_assert_not_null(couple.proxy);
    cr_assert(proxy_asked(couple.proxy));
    struct outcome outcome;
    cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(couple.fixture);
    couple_consume(&couple, MUSTER_TRAIN);
    cr_assert_eq(participant_dispatch(couple.participant, sample(MUSTER_TRAIN), NULL), MUSTER_OK);
    fixture_settle(couple.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    cr_assert_not(proxy_asked(couple.proxy));
    couple_free(&couple);
}
