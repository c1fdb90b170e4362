/* Sessions: what survives a connection that breaks, and what does not. */
#include <config.h>

#include <string.h>

#include "fault/fixture.h"

/* A manager with sessions, and a participant that has joined; the test steps the network. */
struct company {
    struct fixture *fixture;
    struct participant *participant;
    struct proxy *proxy;
};

static void company_new(struct company *company, const char *name)
{
    struct participant_manager_options options = fixture_options();
    struct participant_options client = PARTICIPANT_OPTIONS_INIT;
    struct call call;
    options.session_grace_ms = 60000;
    company->fixture = fixture_new(&options);
    fixture_pump(company->fixture);
    client.name = name;
    call_connect(&call, company->fixture, &client);
    cr_assert_eq(call_join(&call), MUSTER_OK);
    company->participant = call.participant;
    struct muster_message empty = MUSTER_MESSAGE_INIT;
    cr_assert_eq(participant_dispatch(company->participant, &empty), MUSTER_OK);
    fixture_wait_events(company->fixture, 1);
    fixture_unpump(company->fixture);
    company->proxy = fixture_proxy(company->fixture, name);
    cr_assert_not_null(company->proxy);
}

static void company_free(struct company *company)
{
    fixture_pump(company->fixture);
    participant_free(company->participant);
    fixture_unpump(company->fixture);
    fixture_free(company->fixture);
}

/* The n-th connection breaks, and the participant comes back on another. */
static void break_and_come_back(struct company *company, size_t n)
{
    cr_assert(muster__local_drop(company->fixture->network, n));
    fixture_settle(company->fixture);
    cr_assert_not(proxy_is_open(company->proxy));
    fixture_advance(company->fixture, 100);
    cr_assert(proxy_is_open(company->proxy));
}

static const struct muster_message *consume(struct company *company, enum muster_kind kind)
{
    const struct muster_message *instruction;
    cr_assert_eq(participant_consume(company->participant, &instruction), MUSTER_OK);
    cr_assert(is_sample(instruction, kind));
    return instruction;
}

FAULT_TEST(session, idle_participant_comes_back_as_the_same)
{
    struct company company;
    company_new(&company, "ada");
    uint64_t rank = proxy_rank(company.proxy);
    break_and_come_back(&company, 0);
    break_and_come_back(&company, 1);
    cr_assert_eq(participant_rank(company.participant), rank);
    cr_assert(event_is(company.fixture, 1, PARTICIPANT_MANAGER_AWAY, MUSTER_GONE, "ada"));
    cr_assert(event_is(company.fixture, 2, PARTICIPANT_MANAGER_BACK, MUSTER_OK, "ada"));
    struct outcome outcome = {0};
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(company.fixture);
    cr_assert_eq(participant_dispatch(company.participant, consume(&company, MUSTER_TRAIN)), MUSTER_OK);
    fixture_settle(company.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    company_free(&company);
}

FAULT_TEST(session, instruction_that_was_lost_is_sent_again)
{
    struct company company;
    company_new(&company, "ada");
    struct outcome outcome = {0};
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    break_and_come_back(&company, 0); /* before it was delivered */
    cr_assert_eq(participant_dispatch(company.participant, consume(&company, MUSTER_TRAIN)), MUSTER_OK);
    fixture_settle(company.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    company_free(&company);
}

FAULT_TEST(session, instruction_is_worked_on_once)
{
    struct company company;
    company_new(&company, "ada");
    struct outcome outcome = {0};
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(company.fixture);
    const struct muster_message *instruction = consume(&company, MUSTER_TRAIN);
    break_and_come_back(&company, 0);
    break_and_come_back(&company, 1);
    cr_assert_not(participant_cancelled(company.participant));
    cr_assert_eq(participant_dispatch(company.participant, instruction), MUSTER_OK);
    fixture_settle(company.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    company_free(&company);
}

FAULT_TEST(session, answer_that_was_lost_is_sent_again)
{
    struct company company;
    company_new(&company, "ada");
    struct outcome outcome = {0};
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(company.fixture);
    cr_assert_eq(participant_dispatch(company.participant, consume(&company, MUSTER_TRAIN)), MUSTER_OK);
    break_and_come_back(&company, 0); /* before it was delivered */
    cr_assert(ended_with(&outcome, MUSTER_OK));
    company_free(&company);
}

FAULT_TEST(session, answer_that_is_given_while_away_is_sent)
{
    struct company company;
    company_new(&company, "ada");
    struct outcome outcome = {0};
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(company.fixture);
    const struct muster_message *instruction = consume(&company, MUSTER_TRAIN);
    cr_assert(muster__local_drop(company.fixture->network, 0));
    fixture_settle(company.fixture);
    cr_assert_eq(participant_report_progress(company.participant, 0.5), MUSTER_OK);
    cr_assert_eq(participant_dispatch(company.participant, instruction), MUSTER_OK);
    fixture_advance(company.fixture, 100);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    company_free(&company);
}

FAULT_TEST(session, turn_can_begin_while_away)
{
    struct company company;
    company_new(&company, "ada");
    struct outcome outcome = {0};
    cr_assert(muster__local_drop(company.fixture->network, 0));
    fixture_settle(company.fixture);
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_advance(company.fixture, 100);
    cr_assert_eq(participant_dispatch(company.participant, consume(&company, MUSTER_TRAIN)), MUSTER_OK);
    fixture_settle(company.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    company_free(&company);
}

FAULT_TEST(session, turn_that_is_given_up_while_away_is_cancelled)
{
    struct company company;
    company_new(&company, "ada");
    struct outcome outcome = {0};
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(company.fixture);
    const struct muster_message *instruction = consume(&company, MUSTER_TRAIN);
    cr_assert(muster__local_drop(company.fixture->network, 0));
    fixture_settle(company.fixture);
    proxy_cancel(company.proxy);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED));
    fixture_advance(company.fixture, 100);
    cr_assert(participant_cancelled(company.participant));
    cr_assert_eq(participant_dispatch(company.participant, instruction), MUSTER_CANCELLED);
    company_free(&company);
}

FAULT_TEST(session, who_stays_away_is_gone_after_the_grace_period)
{
    struct company company;
    company_new(&company, "ada");
    struct outcome outcome = {0};
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, MUSTER_NO_LIMIT, &outcome), MUSTER_OK);
    muster__local_refuse(company.fixture->network, true);
    cr_assert(muster__local_drop(company.fixture->network, 0));
    fixture_settle(company.fixture);
    for (int i = 0; i < 59; i++)
        fixture_advance(company.fixture, 1000);
    cr_assert_eq(outcome.ended, 0);
    fixture_advance(company.fixture, 1000);
    cr_assert(ended_with(&outcome, MUSTER_GONE));
    cr_assert(event_is(company.fixture, 2, PARTICIPANT_MANAGER_LEFT, MUSTER_GONE, "ada"));
    company_free(&company);
}

FAULT_TEST(session, name_in_use_is_refused_to_others_even_while_away)
{
    struct company company;
    company_new(&company, "ada");
    cr_assert(muster__local_drop(company.fixture->network, 0));
    fixture_settle(company.fixture);
    struct peer *peer = peer_connect(company.fixture);
    peer_send_hello(peer, "ada");
    fixture_settle(company.fixture);
    cr_assert(peer->closed);
    cr_assert_eq(peer->status, MUSTER_EXISTS);
    fixture_advance(company.fixture, 100);
    cr_assert(proxy_is_open(company.proxy));
    company_free(&company);
}
