/* How sessions end, of participants that are away or come back. */
#include <config.h>

#include "proxy/internal.h"
#include "server/couple.h"
#include "support/call.h"
#include "support/fixture.h"
#include "support/outcome.h"

FIXTURE_TEST(session_end, proxy_is_closed_while_away)
{
    struct couple couple;
    struct outcome outcome;
    couple_new(&couple, "ada");
    cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    send_away(&couple, 0);
    proxy_close(couple.proxy);
    cr_assert(ended_with(&outcome, MUSTER_CLOSED));
    cr_assert(event_is(couple.fixture, 2, PARTICIPANT_MANAGER_LEFT, MUSTER_CLOSED, "ada"));
    cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_CLOSED);
    proxy_close(couple.proxy);
    /* It could not be told. */
    muster_fixture_refuse(couple.fixture->network, false);
    fixture_advance(couple.fixture, 1000);
    cr_assert_neq(fixture_proxy(couple.fixture, "ada"), couple.proxy);
    cr_assert_eq(fixture_open_count(couple.fixture), 1);
    couple_free(&couple);
}

FIXTURE_TEST(session_end, reconnect_in_while_away)
{
    struct couple couple;
    struct outcome outcome;
    couple_new(&couple, "ada");
    cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    send_away(&couple, 0);
    cr_assert_eq(proxy_reconnect_in(couple.proxy, 5, NULL), MUSTER_OK);
    cr_assert(ended_with(&outcome, MUSTER_CLOSED));
    cr_assert_eq(proxy_reconnect_in(couple.proxy, 5, NULL), MUSTER_CLOSED);
    couple_free(&couple);
}

/* Its Hello arrives, and then the connection breaks: the name is its own. */
FIXTURE_TEST(session_end, welcome_after_a_reconnect_in_may_be_lost)
{
    struct couple couple;
    struct outcome outcome = {0};
    couple_new(&couple, "ada");
    cr_assert_eq(proxy_reconnect_in(couple.proxy, 1, NULL), MUSTER_OK);
    fixture_settle(couple.fixture);
    muster_fixture_delay(couple.fixture->network, 10);
    fixture_advance(couple.fixture, 1000);
    fixture_advance(couple.fixture, 10);
    cr_assert(muster_fixture_drop(couple.fixture->network, 1));
    muster_fixture_delay(couple.fixture->network, 0);
    fixture_settle(couple.fixture);
    fixture_advance(couple.fixture, 1000);
    cr_assert_str_eq(participant_reason(couple.participant), "");
    couple.proxy = fixture_proxy(couple.fixture, "ada");
    cr_assert_not_null(couple.proxy);
    cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(couple.fixture);
    cr_assert_eq(participant_dispatch(couple.participant, couple_consume(&couple, MUSTER_TRAIN), NULL),
                 MUSTER_OK);
    fixture_settle(couple.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    couple_free(&couple);
}

FIXTURE_TEST(session_end, server_restarts_while_those_it_asked_come_back)
{
    struct couple couple;
    couple_new(&couple, "ada");
    cr_assert_eq(proxy_reconnect_in(couple.proxy, 1, NULL), MUSTER_OK);
    fixture_settle(couple.fixture);
    muster_fixture_refuse(couple.fixture->network, true);
    fixture_advance(couple.fixture, 20000);
    cr_assert_str_eq(participant_reason(couple.participant), "");
    restart_server(&couple);
    fixture_advance(couple.fixture, 10000);
    couple.proxy = fixture_proxy(couple.fixture, "ada");
    cr_assert_not_null(couple.proxy);
    cr_assert(proxy_is_open(couple.proxy));
    couple_free(&couple);
}

FIXTURE_TEST(session_end, manager_stops_while_somebody_is_away)
{
    struct couple couple;
    struct outcome outcome;
    struct call call;
    couple_new(&couple, "ada");
    cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, MUSTER_NO_LIMIT, &outcome), MUSTER_OK);
    send_away(&couple, 0);
    fixture_pump(couple.fixture);
    call_stop(&call, couple.fixture);
    call_join(&call);
    fixture_unpump(couple.fixture);
    cr_assert(ended_with(&outcome, MUSTER_STOPPED));
    cr_assert(event_is(couple.fixture, 2, PARTICIPANT_MANAGER_LEFT, MUSTER_STOPPED, "ada"));
    cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_STOPPED);
    couple_free(&couple);
}

FIXTURE_TEST(session_end, participant_closes_while_away)
{
    struct couple couple;
    struct call call;
    couple_new(&couple, "ada");
    send_away(&couple, 0);
    fixture_pump(couple.fixture);
    call_consume(&call, couple.participant);
    participant_close(couple.participant);
    cr_assert_eq(call_join(&call), MUSTER_CLOSED);
    participant_free(couple.participant); /* which does not wait for anything */
    fixture_unpump(couple.fixture);
    fixture_advance(couple.fixture, 60000);
    cr_assert(event_is(couple.fixture, 2, PARTICIPANT_MANAGER_LEFT, MUSTER_GONE, "ada"));
    fixture_free(couple.fixture);
}

/* Nothing that is sent arrives: the stream of its return is there, and no Welcome. */
FIXTURE_TEST(session_end, participant_is_freed_while_it_comes_back)
{
    struct couple couple;
    couple_new(&couple, "ada");
    cr_assert(muster_fixture_drop(couple.fixture->network, 0));
    muster_fixture_lose(couple.fixture->network, true);
    fixture_settle(couple.fixture);
    fixture_advance(couple.fixture, 1000);
    cr_assert_not(proxy_is_open(couple.proxy));
    couple_free(&couple);
}

FIXTURE_TEST(session_end, reconnecting_ends_at_its_limit)
{
    static const struct {
        int64_t limit_ms;
        bool refuse; /* each attempt is refused; or else nothing that is sent arrives */
    } cases[] = {{500, true}, {500, false}, {1, true}, {1, false}, {60000, true}, {60000, false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct couple couple;
        struct participant_manager_options options = session_options();
        struct participant_options client;
        participant_options_init(&client);
        const struct muster_message *instruction;
        client.name = "ada";
        client.reconnect_timeout_ms = cases[i].limit_ms;
        client.reconnect_first_ms = 1000;
        couple_new_with(&couple, &options, &client);
        muster_fixture_refuse(couple.fixture->network, cases[i].refuse);
        cr_assert(muster_fixture_drop(couple.fixture->network, 0));
        fixture_settle(couple.fixture);
        muster_fixture_lose(couple.fixture->network, true);
        fixture_advance(couple.fixture, cases[i].limit_ms - 1);
        cr_assert_eq(participant_consume(couple.participant, 0, &instruction, NULL), MUSTER_TIMEOUT);
        fixture_advance(couple.fixture, 1);
        cr_assert_eq(participant_consume(couple.participant, 0, &instruction, NULL), MUSTER_GONE);
        cr_assert_neq(participant_reason(couple.participant)[0], 0);
        muster_fixture_lose(couple.fixture->network, false);
        couple_free(&couple);
    }
}

FIXTURE_TEST(session_end, reconnecting_may_have_no_limit)
{
    struct couple couple;
    struct participant_manager_options options = session_options();
    struct participant_options client;
    participant_options_init(&client);
    client.name = "ada";
    client.reconnect_timeout_ms = MUSTER_NO_LIMIT;
    options.session_grace_ms = MUSTER_NO_LIMIT;
    struct muster_error error;
    struct participant_manager *manager;
    cr_assert_eq(participant_manager_start(&options, &manager, &error), MUSTER_INVALID);
    options.session_grace_ms = INT64_MAX;
    couple_new_with(&couple, &options, &client);
    send_away(&couple, 0);
    fixture_advance(couple.fixture, 1000000000);
    muster_fixture_refuse(couple.fixture->network, false);
    fixture_advance(couple.fixture, 10000);
    cr_assert(proxy_is_open(couple.proxy));
    couple_free(&couple);
}

FIXTURE_TEST(session_end, pauses_that_make_no_sense_are_refused)
{
    static const int64_t wrong[][3] = {{-2, 100, 100}, {1000, 0, 100}, {1000, -1, 100}, {1000, 100, 99}};
    struct fixture *fixture = fixture_new(NULL);
    for (size_t i = 0; i < 4; i++) {
        struct participant_options client;
        participant_options_init(&client);
        struct participant *participant;
        client.reconnect_timeout_ms = wrong[i][0];
        client.reconnect_first_ms = wrong[i][1];
        client.reconnect_last_ms = wrong[i][2];
        cr_assert_eq(participant_connect(ADDRESS, &client, &participant, NULL), MUSTER_INVALID);
    }
    fixture_free(fixture);
}

FIXTURE_TEST(session_end, without_grace_a_break_is_the_end)
{
    struct couple couple;
    struct participant_manager_options options = fixture_options();
    struct participant_options client;
    participant_options_init(&client);
    struct outcome outcome;
    const struct muster_message *instruction;
    client.name = "ada";
    couple_new_with(&couple, &options, &client);
    cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    cr_assert(muster_fixture_drop(couple.fixture->network, 0));
    cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, TURN_MS, &(struct outcome){0}), MUSTER_BUSY);
    fixture_settle(couple.fixture);
    cr_assert(ended_with(&outcome, MUSTER_GONE));
    cr_assert(event_is(couple.fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_GONE, "ada"));
    cr_assert_eq(participant_consume(couple.participant, 0, &instruction, NULL), MUSTER_GONE);
    /* Nobody can come back with the token of a session that there is not: it is all zeros. */
    struct peer *peer = peer_with_token(couple.fixture, "ada", couple.proxy->session, SESSION_SIZE, 0);
    cr_assert_not(peer->closed);
    cr_assert_neq(fixture_proxy(couple.fixture, "ada"), couple.proxy);
    couple_free(&couple);
}

FIXTURE_TEST(session_end, participant_that_does_not_reconnect_is_gone)
{
    struct couple couple;
    struct participant_manager_options options = session_options();
    struct participant_options client;
    participant_options_init(&client);
    const struct muster_message *instruction;
    client.name = "ada";
    client.reconnect_timeout_ms = 0;
    couple_new_with(&couple, &options, &client);
    cr_assert(muster_fixture_drop(couple.fixture->network, 0));
    fixture_settle(couple.fixture);
    cr_assert_eq(participant_consume(couple.participant, 0, &instruction, NULL), MUSTER_GONE);
    couple_free(&couple);
}
