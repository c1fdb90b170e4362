/* Sessions: what survives a connection that breaks, and whose connection it is. */
#include <config.h>

#include <string.h>

#include "proxy/internal.h"
#include "server/couple.h"
#include "server/pair.h"
#include "support/call.h"
#include "support/fixture.h"
#include "support/outcome.h"
#include "support/sample.h"

/* The n-th connection breaks, and the participant comes back on another. */
static void break_and_come_back(struct couple *couple, size_t n)
{
    cr_assert(muster_fixture_drop(couple->fixture->network, n));
    fixture_settle(couple->fixture);
    cr_assert_not(proxy_is_open(couple->proxy));
    fixture_advance(couple->fixture, 100 << n); /* no instruction may have come since the break before */
    cr_assert(proxy_is_open(couple->proxy));
}

FIXTURE_TEST(session, idle_participant_comes_back_as_the_same)
{
    struct couple couple;
    couple_new(&couple, "ada");
    uint64_t rank = proxy_rank(couple.proxy);
    break_and_come_back(&couple, 0);
    break_and_come_back(&couple, 1);
    cr_assert_eq(participant_rank(couple.participant), rank);
    cr_assert(event_is(couple.fixture, 1, PARTICIPANT_MANAGER_AWAY, MUSTER_GONE, "ada"));
    cr_assert(event_is(couple.fixture, 2, PARTICIPANT_MANAGER_BACK, MUSTER_OK, "ada"));
    struct outcome outcome = {0};
    cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(couple.fixture);
    cr_assert_eq(participant_dispatch(couple.participant, couple_consume(&couple, MUSTER_TRAIN), NULL),
                 MUSTER_OK);
    fixture_settle(couple.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    couple_free(&couple);
}

FIXTURE_TEST(session, instruction_that_was_lost_is_sent_again)
{
    struct couple couple;
    couple_new(&couple, "ada");
    struct outcome outcome = {0};
    cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    break_and_come_back(&couple, 0); /* before it was delivered */
    cr_assert_eq(participant_dispatch(couple.participant, couple_consume(&couple, MUSTER_TRAIN), NULL),
                 MUSTER_OK);
    fixture_settle(couple.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    couple_free(&couple);
}

FIXTURE_TEST(session, instruction_is_worked_on_once)
{
    struct couple couple;
    couple_new(&couple, "ada");
    struct outcome outcome = {0};
    cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(couple.fixture);
    const struct muster_message *instruction = couple_consume(&couple, MUSTER_TRAIN);
    break_and_come_back(&couple, 0);
    break_and_come_back(&couple, 1);
    cr_assert_not(participant_cancelled(couple.participant));
    cr_assert_eq(participant_dispatch(couple.participant, instruction, NULL), MUSTER_OK);
    fixture_settle(couple.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    couple_free(&couple);
}

/* As by a proxy that lets Welcome pass and no more: pauses get longer, as if nobody were there. */
FIXTURE_TEST(session, connection_that_breaks_at_once_is_an_attempt)
{
    struct couple couple;
    size_t count = 0;
    couple_new(&couple, "ada");
    for (int64_t ms = 0; ms < 60000; ms += 50) {
        if (muster_fixture_drop(couple.fixture->network, count))
            count++;
        fixture_settle(couple.fixture);
        fixture_advance(couple.fixture, 50);
    }
    cr_assert_gt(count, 3);
    cr_assert_lt(count, 100);
    couple_free(&couple);
}

FIXTURE_TEST(session, answer_that_was_lost_is_sent_again)
{
    struct couple couple;
    couple_new(&couple, "ada");
    struct outcome outcome = {0};
    cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(couple.fixture);
    cr_assert_eq(participant_dispatch(couple.participant, couple_consume(&couple, MUSTER_TRAIN), NULL),
                 MUSTER_OK);
    break_and_come_back(&couple, 0); /* before it was delivered */
    cr_assert(ended_with(&outcome, MUSTER_OK));
    couple_free(&couple);
}

FIXTURE_TEST(session, answer_that_is_given_while_away_is_sent)
{
    struct couple couple;
    couple_new(&couple, "ada");
    struct outcome outcome = {0};
    cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(couple.fixture);
    const struct muster_message *instruction = couple_consume(&couple, MUSTER_TRAIN);
    cr_assert(muster_fixture_drop(couple.fixture->network, 0));
    fixture_settle(couple.fixture);
    cr_assert_eq(participant_report_progress(couple.participant, 0.5, NULL), MUSTER_OK);
    cr_assert_eq(participant_dispatch(couple.participant, instruction, NULL), MUSTER_OK);
    fixture_advance(couple.fixture, 100);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    couple_free(&couple);
}

FIXTURE_TEST(session, turn_can_begin_while_away)
{
    struct couple couple;
    couple_new(&couple, "ada");
    struct outcome outcome = {0};
    cr_assert(muster_fixture_drop(couple.fixture->network, 0));
    fixture_settle(couple.fixture);
    cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_advance(couple.fixture, 100);
    cr_assert_eq(participant_dispatch(couple.participant, couple_consume(&couple, MUSTER_TRAIN), NULL),
                 MUSTER_OK);
    fixture_settle(couple.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    couple_free(&couple);
}

FIXTURE_TEST(session, turn_that_is_given_up_while_away_is_cancelled)
{
    struct couple couple;
    couple_new(&couple, "ada");
    struct outcome outcome = {0};
    cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(couple.fixture);
    const struct muster_message *instruction = couple_consume(&couple, MUSTER_TRAIN);
    cr_assert(muster_fixture_drop(couple.fixture->network, 0));
    fixture_settle(couple.fixture);
    proxy_cancel(couple.proxy);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED));
    fixture_advance(couple.fixture, 100);
    cr_assert(participant_cancelled(couple.participant));
    cr_assert_eq(participant_dispatch(couple.participant, instruction, NULL), MUSTER_CANCELLED);
    couple_free(&couple);
}

FIXTURE_TEST(session, who_stays_away_is_gone_after_the_grace_period)
{
    struct couple couple;
    couple_new(&couple, "ada");
    struct outcome outcome = {0};
    cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, MUSTER_NO_LIMIT, &outcome), MUSTER_OK);
    muster_fixture_refuse(couple.fixture->network, true);
    cr_assert(muster_fixture_drop(couple.fixture->network, 0));
    fixture_settle(couple.fixture);
    for (int i = 0; i < 59; i++)
        fixture_advance(couple.fixture, 1000);
    cr_assert_eq(outcome.ended, 0);
    fixture_advance(couple.fixture, 1000);
    cr_assert(ended_with(&outcome, MUSTER_GONE));
    cr_assert(event_is(couple.fixture, 2, PARTICIPANT_MANAGER_LEFT, MUSTER_GONE, "ada"));
    couple_free(&couple);
}

/* ---- other connections with the same token, or a wrong one ---- */

static struct pair lasting_pair(void)
{
    struct participant_manager_options options = session_options();
    return pair_with(&options, "ada");
}

FIXTURE_TEST(session, newer_connection_replaces_the_older)
{
    struct outcome outcome;
    struct pair pair = lasting_pair();
    struct peer *older = pair.peer;
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(pair.fixture);
    cr_assert_eq(older->count, 2);
    struct peer *newer = peer_with_token(pair.fixture, "ada", pair.proxy->session, SESSION_SIZE, 1);
    cr_assert_not(newer->closed, "%s", newer->text);
    cr_assert_eq(newer->count, 1); /* Welcome: it has the instruction */
    cr_assert(older->closed);
    cr_assert_eq(older->status, MUSTER_EXISTS);
    cr_assert_eq(fixture_open_count(pair.fixture), 1);
    cr_assert_eq(outcome.ended, 0);
    peer_send(newer, 1, sample(MUSTER_TRAIN));
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    fixture_free(pair.fixture);
}

FIXTURE_TEST(session, late_messages_of_the_older_connection_are_ignored)
{
    struct outcome outcome;
    struct pair pair = lasting_pair();
    struct peer *older = pair.peer;
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(pair.fixture);
    /* On its way, all of it wrong, while the newer one arrives. */
    struct peer *newer = peer_connect(pair.fixture);
    Muster__Hello hello = MUSTER__HELLO__INIT;
    hello.name = (char *)"ada";
    hello.session = (ProtobufCBinaryData){SESSION_SIZE, pair.proxy->session};
    hello.last_turn = 1;
    peer_send_buffer(newer, 0, muster__encode_hello(NULL, &hello));
    peer_send(older, 1, sample(MUSTER_EVALUATE));
    peer_send(older, 7, sample(MUSTER_TRAIN));
    peer_send_hello(older, "eve");
    peer_send_bytes(older, "\xff\xff", 2);
    fixture_settle(pair.fixture);
    cr_assert(older->closed);
    cr_assert_not(newer->closed, "%s", newer->text);
    cr_assert_eq(outcome.ended, 0);
    peer_send(newer, 1, sample(MUSTER_TRAIN));
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    fixture_free(pair.fixture);
}

FIXTURE_TEST(session, wrong_tokens_with_a_name_in_use_are_refused)
{
    struct participant_manager_options options = session_options();
    options.name_takeover = false;
    struct pair pair = pair_with(&options, "ada");
    for (int away = 0; away < 2; away++) {
        for (size_t i = 0; i < 5; i++) {
            static const size_t sizes[] = {SESSION_SIZE, SESSION_SIZE, SESSION_SIZE - 1, SESSION_SIZE + 1, 1};
            uint8_t token[SESSION_SIZE + 1] = {0};
            memcpy(token, pair.proxy->session, SESSION_SIZE);
            if (i < 2)
                token[i * (SESSION_SIZE - 1)] ^= 1; /* the first byte, and the last one */
            struct peer *peer = peer_with_token(pair.fixture, "ada", token, sizes[i], 0);
            cr_assert(peer->closed);
            cr_assert_eq(peer->status, MUSTER_EXISTS);
        }
        struct peer *peer = peer_with_token(pair.fixture, "eve", pair.proxy->session, SESSION_SIZE, 0);
        cr_assert_not(peer->closed); /* somebody new: the token is ada's */
        cr_assert_neq(fixture_proxy(pair.fixture, "eve"), pair.proxy);
        peer_cut(peer);
        proxy_close(fixture_proxy(pair.fixture, "eve"));
        fixture_settle(pair.fixture);
        cr_assert_eq(fixture_open_count(pair.fixture), 1 - (size_t)away);
        muster_fixture_drop(pair.fixture->network, 0);
        fixture_settle(pair.fixture);
    }
    fixture_free(pair.fixture);
}

FIXTURE_TEST(session, who_breaks_off_before_the_initiative_comes_back_as_somebody_new)
{
    struct participant_manager_options options = session_options();
    struct fixture *fixture = fixture_new(&options);
    struct participant_options client;
    participant_options_init(&client);
    const struct muster_message empty = MUSTER_MESSAGE_INIT;
    struct call call;
    client.name = "ada";
    fixture_pump(fixture);
    call_connect(&call, fixture, &client);
    cr_assert_eq(call_join(&call), MUSTER_OK);
    fixture_unpump(fixture);
    cr_assert(muster_fixture_drop(fixture->network, 0));
    /* The stream has ended, and the participant is about to be told. */
    cr_assert_eq(participant_dispatch(call.participant, &empty, NULL), MUSTER_OK);
    fixture_settle(fixture);
    cr_assert(event_is(fixture, 0, PARTICIPANT_MANAGER_REFUSED, MUSTER_GONE, "ada"));
    fixture_advance(fixture, 100);
    cr_assert(event_is(fixture, 1, PARTICIPANT_MANAGER_JOINED, MUSTER_OK, "ada"));
    fixture_pump(fixture);
    participant_free(call.participant);
    fixture_unpump(fixture);
    fixture_free(fixture);
}

/* The server has not noticed that the older connection broke. */
FIXTURE_TEST(session, name_is_free_for_who_had_not_passed_the_initiative)
{
    struct couple couple;
    struct participant_manager_options options = session_options();
    couple.fixture = fixture_new(&options);
    struct peer *older = peer_connect(couple.fixture);
    peer_send_hello(older, "ada");
    fixture_settle(couple.fixture);
    cr_assert_eq(older->count, 1);
    struct peer *newer = peer_with_token(couple.fixture, "ada", older->session, older->session_size, 0);
    cr_assert(older->closed);
    cr_assert_not(newer->closed, "%s", newer->text);
    cr_assert_not_null(fixture_proxy(couple.fixture, "ada"));
    fixture_free(couple.fixture);
}

FIXTURE_TEST(session, turn_can_begin_when_the_connection_has_just_broken)
{
    struct couple couple;
    struct outcome outcome;
    couple_new(&couple, "ada");
    cr_assert(muster_fixture_drop(couple.fixture->network, 0)); /* and nobody has been told */
    cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(couple.fixture);
    fixture_advance(couple.fixture, 100);
    cr_assert_eq(participant_dispatch(couple.participant, couple_consume(&couple, MUSTER_TRAIN), NULL),
                 MUSTER_OK);
    fixture_settle(couple.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    couple_free(&couple);
}

/* ---- lists, rounds, limits ---- */

FIXTURE_TEST(session, who_is_away_is_not_listed)
{
    struct couple couple;
    couple_new(&couple, "ada");
    cr_assert_eq(fixture_open_count(couple.fixture), 1);
    send_away(&couple, 0);
    cr_assert_eq(fixture_open_count(couple.fixture), 0);
    muster_fixture_refuse(couple.fixture->network, false);
    fixture_advance(couple.fixture, 100);
    cr_assert_eq(fixture_open_count(couple.fixture), 1);
    couple_free(&couple);
}

static void echo(void *context, struct participant *participant)
{
    const struct muster_message *instruction;
    (void)context;
    if (participant_consume(participant, 0, &instruction, NULL) == MUSTER_OK)
        participant_dispatch(participant, instruction, NULL);
}

/* With the first answer, time passes, and who is away comes back. */
static enum muster_status let_time_pass(void *context, size_t index, struct proxy *proxy,
                                        const struct muster_message *answer, struct muster_error *reason)
{
    (void)reason;
    struct fixture *fixture = context;
    (void)index;
    (void)proxy;
    (void)answer;
    muster_fixture_refuse(fixture->network, false);
    fixture_advance(fixture, 100);
    return MUSTER_OK;
}

FIXTURE_TEST(session, round_waits_for_who_is_away)
{
    struct couple couple;
    struct participant_manager_options options = session_options();
    struct participant_options client;
    participant_options_init(&client);
    struct proxy_round_options round;
    proxy_round_options_init(&round);
    round.deadline_ms = TURN_MS;
    struct proxy_round_result result;
    client.name = "ada";
    client.on_ready = echo;
    couple_new_with(&couple, &options, &client);
    struct peer *other = peer_join(couple.fixture, "eve");
    struct proxy *proxies[] = {couple.proxy, fixture_proxy(couple.fixture, "eve")};
    other->react = peer_answers;
    send_away(&couple, 0);
    fixture_pump(couple.fixture);
    cr_assert_eq(
        proxy_run_all(proxies, 2, sample(MUSTER_TRAIN), &round, let_time_pass, couple.fixture, &result, NULL),
        MUSTER_OK);
    fixture_unpump(couple.fixture);
    cr_assert_eq(result.answered, 2);
    proxy_round_result_clear(&result);
    couple_free(&couple);
}

FIXTURE_TEST(session, place_at_the_address_is_there_for_who_comes_back)
{
    struct couple couple;
    struct participant_manager_options options = session_options();
    struct participant_options client;
    participant_options_init(&client);
    client.name = "ada";
    options.max_participants_per_address = 1;
    couple_new_with(&couple, &options, &client);
    for (size_t n = 0; n < 3; n++) {
        send_away(&couple, n);
        muster_fixture_refuse(couple.fixture->network, false);
        fixture_advance(couple.fixture, 100 << n);
        cr_assert(proxy_is_open(couple.proxy));
    }
    struct peer *peer = peer_connect(couple.fixture);
    fixture_settle(couple.fixture);
    cr_assert(peer->closed);
    cr_assert_eq(peer->status, MUSTER_FULL);
    couple_free(&couple);
}

/* What happens on another thread when the server has noticed a break, and before it has unlisted. */
static void (*before_unlist)(void);

bool __real_muster__registry_unlist(struct registry *registry, struct place *place, uint64_t number,
                                    struct proxy **superfluous);
bool __wrap_muster__registry_unlist(struct registry *registry, struct place *place, uint64_t number,
                                    struct proxy **superfluous);

bool __wrap_muster__registry_unlist(struct registry *registry, struct place *place, uint64_t number,
                                    struct proxy **superfluous)
{
    void (*now)(void) = before_unlist;
    before_unlist = NULL;
    if (now)
        now();
    return __real_muster__registry_unlist(registry, place, number, superfluous);
}

static struct pair *of_race;
static struct peer *newer_of_race;

static void arrive(void)
{
    newer_of_race = peer_with_token(of_race->fixture, "ada", of_race->proxy->session, SESSION_SIZE, 0);
}

FIXTURE_TEST(session, who_is_back_at_once_stays_listed)
{
    struct pair pair = lasting_pair();
    struct peer *older = pair.peer;
    of_race = &pair;
    before_unlist = arrive;
    peer_cut(older);
    fixture_settle(pair.fixture);
    cr_assert_not_null(newer_of_race);
    cr_assert_not(newer_of_race->closed);
    cr_assert(proxy_is_open(pair.proxy));
    cr_assert_eq(fixture_open_count(pair.fixture), 1);
    cr_assert(event_is(pair.fixture, 1, PARTICIPANT_MANAGER_BACK, MUSTER_OK, "ada"));
    cr_assert_eq(pair.fixture->event_count, 2);
    peer_cut(newer_of_race);
    fixture_settle(pair.fixture);
    cr_assert_eq(fixture_open_count(pair.fixture), 0);
    fixture_free(pair.fixture);
}
