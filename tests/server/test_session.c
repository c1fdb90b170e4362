/* Sessions: what survives a connection that breaks, and what does not. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "link/transfer.h"
#include "network/transport.h"
#include "proxy/internal.h"
#include "support/call.h"
#include "support/fixture.h"
#include "support/outcome.h"
#include "support/sample.h"

/* A manager with sessions, and a participant that has joined; the test steps the network. */
struct company {
    struct fixture *fixture;
    struct participant *participant;
    struct proxy *proxy;
};

static struct participant_manager_options session_options(void)
{
    struct participant_manager_options options = fixture_options();
    options.session_grace_ms = 60000;
    return options;
}

static void company_new_with(struct company *company, const struct participant_manager_options *options,
                             const struct participant_options *client)
{
    struct call call;
    company->fixture = fixture_new(options);
    fixture_pump(company->fixture);
    call_connect(&call, company->fixture, client);
    cr_assert_eq(call_join(&call), MUSTER_OK);
    company->participant = call.participant;
    struct muster_message empty = MUSTER_MESSAGE_INIT;
    cr_assert_eq(participant_dispatch(company->participant, &empty, NULL), MUSTER_OK);
    fixture_wait_events(company->fixture, 1);
    fixture_unpump(company->fixture);
    company->proxy = fixture_proxy(company->fixture, client->name);
    cr_assert_not_null(company->proxy);
}

static void company_new(struct company *company, const char *name)
{
    struct participant_manager_options options = session_options();
    struct participant_options client;
    participant_options_init(&client);
    client.name = name;
    company_new_with(company, &options, &client);
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
    cr_assert(muster_fixture_drop(company->fixture->network, n));
    fixture_settle(company->fixture);
    cr_assert_not(proxy_is_open(company->proxy));
    fixture_advance(company->fixture, 100 << n); /* no instruction may have come since the break before */
    cr_assert(proxy_is_open(company->proxy));
}

static const struct muster_message *consume(struct company *company, enum muster_kind kind)
{
    const struct muster_message *instruction;
    cr_assert_eq(participant_consume(company->participant, 0, &instruction, NULL), MUSTER_OK);
    cr_assert(is_sample(instruction, kind));
    return instruction;
}

FIXTURE_TEST(session, idle_participant_comes_back_as_the_same)
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
    cr_assert_eq(participant_dispatch(company.participant, consume(&company, MUSTER_TRAIN), NULL), MUSTER_OK);
    fixture_settle(company.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    company_free(&company);
}

FIXTURE_TEST(session, instruction_that_was_lost_is_sent_again)
{
    struct company company;
    company_new(&company, "ada");
    struct outcome outcome = {0};
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    break_and_come_back(&company, 0); /* before it was delivered */
    cr_assert_eq(participant_dispatch(company.participant, consume(&company, MUSTER_TRAIN), NULL), MUSTER_OK);
    fixture_settle(company.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    company_free(&company);
}

FIXTURE_TEST(session, instruction_is_worked_on_once)
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
    cr_assert_eq(participant_dispatch(company.participant, instruction, NULL), MUSTER_OK);
    fixture_settle(company.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    company_free(&company);
}

/* As by a proxy that lets Welcome pass and no more: pauses get longer, as if nobody were there. */
FIXTURE_TEST(session, connection_that_breaks_at_once_is_an_attempt)
{
    struct company company;
    size_t count = 0;
    company_new(&company, "ada");
    for (int64_t ms = 0; ms < 60000; ms += 50) {
        if (muster_fixture_drop(company.fixture->network, count))
            count++;
        fixture_settle(company.fixture);
        fixture_advance(company.fixture, 50);
    }
    cr_assert_gt(count, 3);
    cr_assert_lt(count, 100);
    company_free(&company);
}

FIXTURE_TEST(session, answer_that_was_lost_is_sent_again)
{
    struct company company;
    company_new(&company, "ada");
    struct outcome outcome = {0};
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(company.fixture);
    cr_assert_eq(participant_dispatch(company.participant, consume(&company, MUSTER_TRAIN), NULL), MUSTER_OK);
    break_and_come_back(&company, 0); /* before it was delivered */
    cr_assert(ended_with(&outcome, MUSTER_OK));
    company_free(&company);
}

FIXTURE_TEST(session, answer_that_is_given_while_away_is_sent)
{
    struct company company;
    company_new(&company, "ada");
    struct outcome outcome = {0};
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(company.fixture);
    const struct muster_message *instruction = consume(&company, MUSTER_TRAIN);
    cr_assert(muster_fixture_drop(company.fixture->network, 0));
    fixture_settle(company.fixture);
    cr_assert_eq(participant_report_progress(company.participant, 0.5, NULL), MUSTER_OK);
    cr_assert_eq(participant_dispatch(company.participant, instruction, NULL), MUSTER_OK);
    fixture_advance(company.fixture, 100);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    company_free(&company);
}

FIXTURE_TEST(session, turn_can_begin_while_away)
{
    struct company company;
    company_new(&company, "ada");
    struct outcome outcome = {0};
    cr_assert(muster_fixture_drop(company.fixture->network, 0));
    fixture_settle(company.fixture);
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_advance(company.fixture, 100);
    cr_assert_eq(participant_dispatch(company.participant, consume(&company, MUSTER_TRAIN), NULL), MUSTER_OK);
    fixture_settle(company.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    company_free(&company);
}

FIXTURE_TEST(session, turn_that_is_given_up_while_away_is_cancelled)
{
    struct company company;
    company_new(&company, "ada");
    struct outcome outcome = {0};
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(company.fixture);
    const struct muster_message *instruction = consume(&company, MUSTER_TRAIN);
    cr_assert(muster_fixture_drop(company.fixture->network, 0));
    fixture_settle(company.fixture);
    proxy_cancel(company.proxy);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED));
    fixture_advance(company.fixture, 100);
    cr_assert(participant_cancelled(company.participant));
    cr_assert_eq(participant_dispatch(company.participant, instruction, NULL), MUSTER_CANCELLED);
    company_free(&company);
}

FIXTURE_TEST(session, who_stays_away_is_gone_after_the_grace_period)
{
    struct company company;
    company_new(&company, "ada");
    struct outcome outcome = {0};
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, MUSTER_NO_LIMIT, &outcome), MUSTER_OK);
    muster_fixture_refuse(company.fixture->network, true);
    cr_assert(muster_fixture_drop(company.fixture->network, 0));
    fixture_settle(company.fixture);
    for (int i = 0; i < 59; i++)
        fixture_advance(company.fixture, 1000);
    cr_assert_eq(outcome.ended, 0);
    fixture_advance(company.fixture, 1000);
    cr_assert(ended_with(&outcome, MUSTER_GONE));
    cr_assert(event_is(company.fixture, 2, PARTICIPANT_MANAGER_LEFT, MUSTER_GONE, "ada"));
    company_free(&company);
}

/* ---- other connections with the same token, or a wrong one ---- */

static struct peer *peer_with_token(struct company *company, const char *name, const void *token, size_t size,
                                    uint64_t last_turn)
{
    struct peer *peer = peer_connect(company->fixture);
    Muster__Hello hello = MUSTER__HELLO__INIT;
    hello.name = (char *)name;
    hello.session = (ProtobufCBinaryData){size, (uint8_t *)token};
    hello.last_turn = last_turn;
    peer_send_buffer(peer, 0, muster__encode_hello(NULL, &hello));
    peer_send_empty(peer);
    fixture_settle(company->fixture);
    return peer;
}

/* A manager with sessions, and a raw peer that has joined as "ada". */
static struct peer *raw_company_new_with(struct company *company,
                                         const struct participant_manager_options *options)
{
    company->fixture = fixture_new(options);
    struct peer *peer = peer_join(company->fixture, "ada");
    company->proxy = fixture_proxy(company->fixture, "ada");
    cr_assert_not_null(company->proxy);
    return peer;
}

static struct peer *raw_company_new(struct company *company)
{
    struct participant_manager_options options = session_options();
    return raw_company_new_with(company, &options);
}

FIXTURE_TEST(session, newer_connection_replaces_the_older)
{
    struct company company;
    struct outcome outcome;
    struct peer *older = raw_company_new(&company);
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(company.fixture);
    cr_assert_eq(older->count, 2);
    struct peer *newer = peer_with_token(&company, "ada", company.proxy->session, SESSION_SIZE, 1);
    cr_assert_not(newer->closed, "%s", newer->text);
    cr_assert_eq(newer->count, 1); /* Welcome: it has the instruction */
    cr_assert(older->closed);
    cr_assert_eq(older->status, MUSTER_EXISTS);
    cr_assert_eq(fixture_open_count(company.fixture), 1);
    cr_assert_eq(outcome.ended, 0);
    peer_send(newer, 1, sample(MUSTER_TRAIN));
    fixture_settle(company.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    fixture_free(company.fixture);
}

FIXTURE_TEST(session, late_messages_of_the_older_connection_are_ignored)
{
    struct company company;
    struct outcome outcome;
    struct peer *older = raw_company_new(&company);
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(company.fixture);
    /* On its way, all of it wrong, while the newer one arrives. */
    struct peer *newer = peer_connect(company.fixture);
    Muster__Hello hello = MUSTER__HELLO__INIT;
    hello.name = (char *)"ada";
    hello.session = (ProtobufCBinaryData){SESSION_SIZE, company.proxy->session};
    hello.last_turn = 1;
    peer_send_buffer(newer, 0, muster__encode_hello(NULL, &hello));
    peer_send(older, 1, sample(MUSTER_EVALUATE));
    peer_send(older, 7, sample(MUSTER_TRAIN));
    peer_send_hello(older, "eve");
    peer_send_bytes(older, "\xff\xff", 2);
    fixture_settle(company.fixture);
    cr_assert(older->closed);
    cr_assert_not(newer->closed, "%s", newer->text);
    cr_assert_eq(outcome.ended, 0);
    peer_send(newer, 1, sample(MUSTER_TRAIN));
    fixture_settle(company.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    fixture_free(company.fixture);
}

FIXTURE_TEST(session, wrong_tokens_with_a_name_in_use_are_refused)
{
    struct company company;
    struct participant_manager_options options = session_options();
    options.name_takeover = false;
    raw_company_new_with(&company, &options);
    for (int away = 0; away < 2; away++) {
        for (size_t i = 0; i < 5; i++) {
            static const size_t sizes[] = {SESSION_SIZE, SESSION_SIZE, SESSION_SIZE - 1, SESSION_SIZE + 1, 1};
            uint8_t token[SESSION_SIZE + 1] = {0};
            memcpy(token, company.proxy->session, SESSION_SIZE);
            if (i < 2)
                token[i * (SESSION_SIZE - 1)] ^= 1; /* the first byte, and the last one */
            struct peer *peer = peer_with_token(&company, "ada", token, sizes[i], 0);
            cr_assert(peer->closed);
            cr_assert_eq(peer->status, MUSTER_EXISTS);
        }
        struct peer *peer = peer_with_token(&company, "eve", company.proxy->session, SESSION_SIZE, 0);
        cr_assert_not(peer->closed); /* somebody new: the token is ada's */
        cr_assert_neq(fixture_proxy(company.fixture, "eve"), company.proxy);
        peer_cut(peer);
        proxy_close(fixture_proxy(company.fixture, "eve"));
        fixture_settle(company.fixture);
        cr_assert_eq(fixture_open_count(company.fixture), 1 - (size_t)away);
        muster_fixture_drop(company.fixture->network, 0);
        fixture_settle(company.fixture);
    }
    fixture_free(company.fixture);
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
    struct company company;
    struct participant_manager_options options = session_options();
    company.fixture = fixture_new(&options);
    struct peer *older = peer_connect(company.fixture);
    peer_send_hello(older, "ada");
    fixture_settle(company.fixture);
    cr_assert_eq(older->count, 1);
    struct peer *newer = peer_with_token(&company, "ada", older->session, older->session_size, 0);
    cr_assert(older->closed);
    cr_assert_not(newer->closed, "%s", newer->text);
    cr_assert_not_null(fixture_proxy(company.fixture, "ada"));
    fixture_free(company.fixture);
}

/* ---- a server that dies ---- */

/* Another server at the same address; the old one's participants find their connections broken. */
static void restart_server(struct company *company)
{
    struct participant_manager_options options = session_options();
    struct fixture *fixture = company->fixture;
    for (size_t n = 0; n < 100; n++)
        muster_fixture_drop(fixture->network, n);
    muster_fixture_refuse(fixture->network, true);
    fixture_settle(fixture);
    participant_manager_close(fixture->manager);
    fixture_settle(fixture);
    for (size_t i = 0; i < fixture->proxy_count; i++)
        proxy_release(fixture->proxies[i]);
    fixture->proxy_count = 0;
    participant_manager_free(fixture->manager);
    options.context = fixture;
    cr_assert_eq(participant_manager_start(&options, &fixture->manager, NULL), MUSTER_OK);
    muster_fixture_refuse(fixture->network, false);
}

FIXTURE_TEST(session, participants_of_a_server_that_died_come_back_with_name_and_rank)
{
    struct company company;
    struct participant_options client;
    participant_options_init(&client);
    const struct muster_message empty = MUSTER_MESSAGE_INIT;
    struct outcome outcome;
    struct call call;
    company_new(&company, "ada");
    fixture_pump(company.fixture);
    call_connect(&call, company.fixture, &client); /* its name is given to it */
    cr_assert_eq(call_join(&call), MUSTER_OK);
    cr_assert_eq(participant_dispatch(call.participant, &empty, NULL), MUSTER_OK);
    fixture_unpump(company.fixture);
    fixture_settle(company.fixture);
    cr_assert_eq(participant_rank(call.participant), 1);
    participant_close(company.participant); /* so that the other one is first */
    fixture_settle(company.fixture);
    restart_server(&company);
    fixture_advance(company.fixture, 1000);
    company.proxy = fixture_proxy(company.fixture, participant_name(call.participant));
    cr_assert_not_null(company.proxy);
    cr_assert_eq(proxy_rank(company.proxy), 1);
    cr_assert_eq(participant_rank(call.participant), 1);
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(company.fixture);
    const struct muster_message *instruction;
    cr_assert_eq(participant_consume(call.participant, 0, &instruction, NULL), MUSTER_OK);
    cr_assert_eq(participant_dispatch(call.participant, instruction, NULL), MUSTER_OK);
    fixture_settle(company.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    fixture_pump(company.fixture);
    participant_free(call.participant);
    fixture_unpump(company.fixture);
    company_free(&company);
}

FIXTURE_TEST(session, instruction_of_a_server_that_died_is_cancelled)
{
    struct company company;
    struct outcome outcome;
    company_new(&company, "ada");
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(company.fixture);
    const struct muster_message *instruction = consume(&company, MUSTER_TRAIN);
    restart_server(&company);
    cr_assert(ended_with(&outcome, MUSTER_STOPPED));
    cr_assert_not(participant_cancelled(company.participant)); /* it may be back with the same sessions */
    fixture_advance(company.fixture, 1000);
    cr_assert(participant_cancelled(company.participant));
    /* The new server's first turn has the same number. */
    company.proxy = fixture_proxy(company.fixture, "ada");
    cr_assert_eq(start_turn(company.proxy, MUSTER_EVALUATE, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(company.fixture);
    cr_assert_eq(participant_dispatch(company.participant, instruction, NULL), MUSTER_CANCELLED);
    cr_assert_eq(participant_dispatch(company.participant, consume(&company, MUSTER_EVALUATE), NULL),
                 MUSTER_OK);
    fixture_settle(company.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    company_free(&company);
}

FIXTURE_TEST(session, answer_to_a_server_that_died_is_dropped)
{
    struct company company;
    struct outcome outcome;
    company_new(&company, "ada");
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(company.fixture);
    const struct muster_message *instruction = consume(&company, MUSTER_TRAIN);
    restart_server(&company);
    cr_assert(ended_with(&outcome, MUSTER_STOPPED));
    cr_assert_eq(participant_dispatch(company.participant, instruction, NULL), MUSTER_OK); /* held */
    fixture_advance(company.fixture, 1000);
    company.proxy = fixture_proxy(company.fixture, "ada");
    cr_assert(proxy_is_open(company.proxy));
    cr_assert_eq(start_turn(company.proxy, MUSTER_EVALUATE, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(company.fixture);
    cr_assert_eq(outcome.ended, 0);
    cr_assert_eq(participant_dispatch(company.participant, consume(&company, MUSTER_EVALUATE), NULL),
                 MUSTER_OK);
    fixture_settle(company.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    company_free(&company);
}

/* The new server has let it in, and it does not know. */
FIXTURE_TEST(session, welcome_of_a_new_server_may_be_lost)
{
    struct company company;
    struct outcome outcome = {0};
    company_new(&company, "ada");
    restart_server(&company);
    muster_fixture_delay(company.fixture->network, 10);
    fixture_advance(company.fixture, 100);                     /* it connects, */
    fixture_advance(company.fixture, 10);                      /* Hello arrives, */
    for (size_t connection = 0; connection < 10; connection++) /* and Welcome does not */
        muster_fixture_drop(company.fixture->network, connection);
    muster_fixture_delay(company.fixture->network, 0);
    fixture_settle(company.fixture);
    fixture_advance(company.fixture, 1000);
    cr_assert_str_eq(participant_reason(company.participant), "");
    company.proxy = fixture_proxy(company.fixture, "ada");
    cr_assert_not_null(company.proxy);
    cr_assert_eq(start_turn(company.proxy, MUSTER_EVALUATE, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(company.fixture);
    cr_assert_eq(participant_dispatch(company.participant, consume(&company, MUSTER_EVALUATE), NULL),
                 MUSTER_OK);
    fixture_settle(company.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    company_free(&company);
}

FIXTURE_TEST(session, rank_survives_being_turned_away)
{
    struct company company;
    company_new(&company, "ada");
    struct fixture *fixture = company.fixture;
    uint64_t rank = proxy_rank(company.proxy) + 3;
    struct peer *peers[3];
    /* Someone who asks for a rank, under a name that is taken, does not use it up. */
    for (size_t i = 0; i < 3; i++) {
        Muster__Hello hello = MUSTER__HELLO__INIT;
        peers[i] = peer_connect(fixture);
        hello.name = (char *)(i < 2 ? "ada" : "eve");
        hello.former_rank = rank + 1;
        peer_send_buffer(peers[i], 0, muster__encode_hello(NULL, &hello));
        peer_send_empty(peers[i]);
        fixture_settle(fixture);
        cr_assert_eq(peers[i]->closed, i < 2);
    }
    cr_assert_eq(peers[2]->messages[0].rank, rank);
    company_free(&company);
}

FIXTURE_TEST(session, turn_can_begin_when_the_connection_has_just_broken)
{
    struct company company;
    struct outcome outcome;
    company_new(&company, "ada");
    cr_assert(muster_fixture_drop(company.fixture->network, 0)); /* and nobody has been told */
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(company.fixture);
    fixture_advance(company.fixture, 100);
    cr_assert_eq(participant_dispatch(company.participant, consume(&company, MUSTER_TRAIN), NULL), MUSTER_OK);
    fixture_settle(company.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    company_free(&company);
}

/* ---- a break at every message ---- */

enum { CHUNKS = 3, BIG = (CHUNKS - 1) * (int)CHUNK_SIZE + 17 };

/* What is in such a payload: it is not the same in any two chunks. */
static uint8_t big_byte(size_t i)
{
    return (uint8_t)(i * 31 + i / CHUNK_SIZE * 7);
}

static uint8_t *big_new(void)
{
    uint8_t *bytes = malloc(BIG);
    cr_assert_not_null(bytes);
    for (size_t i = 0; i < BIG; i++)
        bytes[i] = big_byte(i);
    return bytes;
}

static bool is_big(const struct muster_message *message)
{
    const uint8_t *bytes = message->data;
    if (message->kind != MUSTER_APPLICATION || message->size != BIG)
        return false;
    for (size_t i = 0; i < BIG; i++) {
        if (bytes[i] != big_byte(i))
            return false;
    }
    return true;
}

struct journey {
    struct company company;
    struct muster_message instruction;
    bool (*is_whole)(const struct muster_message *message);
    bool early; /* how the participant's program works: break before the answer, too */
    size_t worked;
    size_t ended;
    enum muster_status status;
    bool whole;
};

static void journey_ended(void *context, struct proxy *proxy, enum muster_status status,
                          struct muster_message *answer)
{
    struct journey *journey = context;
    (void)proxy;
    journey->ended++;
    journey->status = status;
    journey->whole = journey->is_whole(answer);
    muster_message_clear(answer);
}

/* Time passes until the turn has ended; the participant works on whatever comes. */
static void journey_run(struct journey *journey, size_t second_break)
{
    struct company *company = &journey->company;
    struct muster_transport *network = company->fixture->network;
    journey->worked = journey->ended = 0;
    cr_assert_eq(proxy_run_async(company->proxy, &journey->instruction, 40000, journey_ended, journey, NULL),
                 MUSTER_OK);
    for (size_t step = 0; step < 300 && !journey->ended; step++) {
        const struct muster_message *instruction;
        if (step == 1 && second_break)
            muster_fixture_fail_send(network, second_break);
        fixture_advance(company->fixture, 100);
        if (participant_consume(company->participant, 0, &instruction, NULL) != MUSTER_OK)
            continue;
        journey->worked++;
        cr_assert(journey->is_whole(instruction));
        if (journey->early) {
            for (size_t n = 0; n < 100; n++)
                muster_fixture_drop(network, n);
            fixture_settle(company->fixture);
            fixture_advance(company->fixture, 1000);
        }
        cr_assert_eq(participant_dispatch(company->participant, instruction, NULL), MUSTER_OK);
    }
    muster_fixture_fail_send(network, 0);
    fixture_settle(company->fixture);
    fixture_advance(company->fixture, 30000);
    cr_assert_eq(journey->ended, 1);
    cr_assert_eq(journey->status, MUSTER_OK, "%s", muster_status_name(journey->status));
    cr_assert(journey->whole);
    cr_assert_eq(journey->worked, 1);
}

static void journey_new(struct journey *journey)
{
    struct participant_manager_options options = session_options();
    struct participant_options client;
    participant_options_init(&client);
    client.name = "ada";
    company_new_with(&journey->company, &options, &client);
}

/* Every message of a turn breaks the connection, and then each of those that follow the break; three turns,
   as what is left of one could harm the next. */
static void break_everywhere(struct journey *journey, size_t most, size_t most_again)
{
    for (size_t first = 1; first <= most; first++) {
        for (size_t second = 0; second <= most_again; second++) {
            journey_new(journey);
            for (size_t turn = 0; turn < 3; turn++) {
                muster_fixture_fail_send(journey->company.fixture->network, first);
                journey_run(journey, second);
            }
            company_free(&journey->company);
        }
    }
}

static bool is_small(const struct muster_message *message)
{
    return is_sample(message, MUSTER_TRAIN);
}

FIXTURE_TEST(session, turn_survives_a_break_at_every_message)
{
    struct journey journey = {.instruction = *sample(MUSTER_TRAIN), .is_whole = is_small};
    break_everywhere(&journey, 8, 8);
    journey.early = true;
    break_everywhere(&journey, 8, 8);
}

FIXTURE_TEST(session, chunks_survive_a_break_at_every_message)
{
    uint8_t *bytes = big_new();
    struct journey journey = {
        .instruction = {.kind = MUSTER_APPLICATION, .type = "big", .data = bytes, .size = BIG},
        .is_whole = is_big};
    break_everywhere(&journey, 2 * CHUNKS + 4, 0);
    journey.early = true;
    break_everywhere(&journey, CHUNKS + 3, 2);
    free(bytes);
}

/* ---- the ends of those who are away ---- */

/* The n-th connection breaks, and there is no other until the test says so. */
static void send_away(struct company *company, size_t n)
{
    muster_fixture_refuse(company->fixture->network, true);
    cr_assert(muster_fixture_drop(company->fixture->network, n));
    fixture_settle(company->fixture);
    cr_assert_not(proxy_is_open(company->proxy));
}

FIXTURE_TEST(session, proxy_is_closed_while_away)
{
    struct company company;
    struct outcome outcome;
    company_new(&company, "ada");
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    send_away(&company, 0);
    proxy_close(company.proxy);
    cr_assert(ended_with(&outcome, MUSTER_CLOSED));
    cr_assert(event_is(company.fixture, 2, PARTICIPANT_MANAGER_LEFT, MUSTER_CLOSED, "ada"));
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_CLOSED);
    proxy_close(company.proxy);
    /* It could not be told. */
    muster_fixture_refuse(company.fixture->network, false);
    fixture_advance(company.fixture, 1000);
    cr_assert_neq(fixture_proxy(company.fixture, "ada"), company.proxy);
    cr_assert_eq(fixture_open_count(company.fixture), 1);
    company_free(&company);
}

FIXTURE_TEST(session, reconnect_in_while_away)
{
    struct company company;
    struct outcome outcome;
    company_new(&company, "ada");
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    send_away(&company, 0);
    cr_assert_eq(proxy_reconnect_in(company.proxy, 5, NULL), MUSTER_OK);
    cr_assert(ended_with(&outcome, MUSTER_CLOSED));
    cr_assert_eq(proxy_reconnect_in(company.proxy, 5, NULL), MUSTER_CLOSED);
    company_free(&company);
}

/* Its Hello arrives, and then the connection breaks: the name is its own. */
FIXTURE_TEST(session, welcome_after_a_reconnect_in_may_be_lost)
{
    struct company company;
    struct outcome outcome = {0};
    company_new(&company, "ada");
    cr_assert_eq(proxy_reconnect_in(company.proxy, 1, NULL), MUSTER_OK);
    fixture_settle(company.fixture);
    muster_fixture_delay(company.fixture->network, 10);
    fixture_advance(company.fixture, 1000);
    fixture_advance(company.fixture, 10);
    cr_assert(muster_fixture_drop(company.fixture->network, 1));
    muster_fixture_delay(company.fixture->network, 0);
    fixture_settle(company.fixture);
    fixture_advance(company.fixture, 1000);
    cr_assert_str_eq(participant_reason(company.participant), "");
    company.proxy = fixture_proxy(company.fixture, "ada");
    cr_assert_not_null(company.proxy);
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(company.fixture);
    cr_assert_eq(participant_dispatch(company.participant, consume(&company, MUSTER_TRAIN), NULL), MUSTER_OK);
    fixture_settle(company.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    company_free(&company);
}

FIXTURE_TEST(session, server_restarts_while_those_it_asked_come_back)
{
    struct company company;
    company_new(&company, "ada");
    cr_assert_eq(proxy_reconnect_in(company.proxy, 1, NULL), MUSTER_OK);
    fixture_settle(company.fixture);
    muster_fixture_refuse(company.fixture->network, true);
    fixture_advance(company.fixture, 20000);
    cr_assert_str_eq(participant_reason(company.participant), "");
    restart_server(&company);
    fixture_advance(company.fixture, 10000);
    company.proxy = fixture_proxy(company.fixture, "ada");
    cr_assert_not_null(company.proxy);
    cr_assert(proxy_is_open(company.proxy));
    company_free(&company);
}

FIXTURE_TEST(session, manager_stops_while_somebody_is_away)
{
    struct company company;
    struct outcome outcome;
    struct call call;
    company_new(&company, "ada");
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, MUSTER_NO_LIMIT, &outcome), MUSTER_OK);
    send_away(&company, 0);
    fixture_pump(company.fixture);
    call_stop(&call, company.fixture);
    call_join(&call);
    fixture_unpump(company.fixture);
    cr_assert(ended_with(&outcome, MUSTER_STOPPED));
    cr_assert(event_is(company.fixture, 2, PARTICIPANT_MANAGER_LEFT, MUSTER_STOPPED, "ada"));
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_STOPPED);
    company_free(&company);
}

FIXTURE_TEST(session, participant_closes_while_away)
{
    struct company company;
    struct call call;
    company_new(&company, "ada");
    send_away(&company, 0);
    fixture_pump(company.fixture);
    call_consume(&call, company.participant);
    participant_close(company.participant);
    cr_assert_eq(call_join(&call), MUSTER_CLOSED);
    participant_free(company.participant); /* which does not wait for anything */
    fixture_unpump(company.fixture);
    fixture_advance(company.fixture, 60000);
    cr_assert(event_is(company.fixture, 2, PARTICIPANT_MANAGER_LEFT, MUSTER_GONE, "ada"));
    fixture_free(company.fixture);
}

/* Nothing that is sent arrives: the stream of its return is there, and no Welcome. */
FIXTURE_TEST(session, participant_is_freed_while_it_comes_back)
{
    struct company company;
    company_new(&company, "ada");
    cr_assert(muster_fixture_drop(company.fixture->network, 0));
    muster_fixture_lose(company.fixture->network, true);
    fixture_settle(company.fixture);
    fixture_advance(company.fixture, 1000);
    cr_assert_not(proxy_is_open(company.proxy));
    company_free(&company);
}

FIXTURE_TEST(session, reconnecting_ends_at_its_limit)
{
    static const struct {
        int64_t limit_ms;
        bool refuse; /* each attempt is refused; or else nothing that is sent arrives */
    } cases[] = {{500, true}, {500, false}, {1, true}, {1, false}, {60000, true}, {60000, false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct company company;
        struct participant_manager_options options = session_options();
        struct participant_options client;
        participant_options_init(&client);
        const struct muster_message *instruction;
        client.name = "ada";
        client.reconnect_timeout_ms = cases[i].limit_ms;
        client.reconnect_first_ms = 1000;
        company_new_with(&company, &options, &client);
        muster_fixture_refuse(company.fixture->network, cases[i].refuse);
        cr_assert(muster_fixture_drop(company.fixture->network, 0));
        fixture_settle(company.fixture);
        muster_fixture_lose(company.fixture->network, true);
        fixture_advance(company.fixture, cases[i].limit_ms - 1);
        cr_assert_eq(participant_consume(company.participant, 0, &instruction, NULL), MUSTER_TIMEOUT);
        fixture_advance(company.fixture, 1);
        cr_assert_eq(participant_consume(company.participant, 0, &instruction, NULL), MUSTER_GONE);
        cr_assert_neq(participant_reason(company.participant)[0], 0);
        muster_fixture_lose(company.fixture->network, false);
        company_free(&company);
    }
}

FIXTURE_TEST(session, reconnecting_may_have_no_limit)
{
    struct company company;
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
    company_new_with(&company, &options, &client);
    send_away(&company, 0);
    fixture_advance(company.fixture, 1000000000);
    muster_fixture_refuse(company.fixture->network, false);
    fixture_advance(company.fixture, 10000);
    cr_assert(proxy_is_open(company.proxy));
    company_free(&company);
}

FIXTURE_TEST(session, pauses_that_make_no_sense_are_refused)
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

FIXTURE_TEST(session, without_grace_a_break_is_the_end)
{
    struct company company;
    struct participant_manager_options options = fixture_options();
    struct participant_options client;
    participant_options_init(&client);
    struct outcome outcome;
    const struct muster_message *instruction;
    client.name = "ada";
    company_new_with(&company, &options, &client);
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    cr_assert(muster_fixture_drop(company.fixture->network, 0));
    cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, TURN_MS, &(struct outcome){0}), MUSTER_BUSY);
    fixture_settle(company.fixture);
    cr_assert(ended_with(&outcome, MUSTER_GONE));
    cr_assert(event_is(company.fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_GONE, "ada"));
    cr_assert_eq(participant_consume(company.participant, 0, &instruction, NULL), MUSTER_GONE);
    /* Nobody can come back with the token of a session that there is not: it is all zeros. */
    struct peer *peer = peer_with_token(&company, "ada", company.proxy->session, SESSION_SIZE, 0);
    cr_assert_not(peer->closed);
    cr_assert_neq(fixture_proxy(company.fixture, "ada"), company.proxy);
    company_free(&company);
}

FIXTURE_TEST(session, participant_that_does_not_reconnect_is_gone)
{
    struct company company;
    struct participant_manager_options options = session_options();
    struct participant_options client;
    participant_options_init(&client);
    const struct muster_message *instruction;
    client.name = "ada";
    client.reconnect_timeout_ms = 0;
    company_new_with(&company, &options, &client);
    cr_assert(muster_fixture_drop(company.fixture->network, 0));
    fixture_settle(company.fixture);
    cr_assert_eq(participant_consume(company.participant, 0, &instruction, NULL), MUSTER_GONE);
    company_free(&company);
}

/* ---- lists, rounds, limits ---- */

FIXTURE_TEST(session, who_is_away_is_not_listed)
{
    struct company company;
    company_new(&company, "ada");
    cr_assert_eq(fixture_open_count(company.fixture), 1);
    send_away(&company, 0);
    cr_assert_eq(fixture_open_count(company.fixture), 0);
    muster_fixture_refuse(company.fixture->network, false);
    fixture_advance(company.fixture, 100);
    cr_assert_eq(fixture_open_count(company.fixture), 1);
    company_free(&company);
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
    struct company company;
    struct participant_manager_options options = session_options();
    struct participant_options client;
    participant_options_init(&client);
    struct proxy_round_options round;
    proxy_round_options_init(&round);
    round.deadline_ms = TURN_MS;
    struct proxy_round_result result;
    client.name = "ada";
    client.on_ready = echo;
    company_new_with(&company, &options, &client);
    struct peer *other = peer_join(company.fixture, "eve");
    struct proxy *proxies[] = {company.proxy, fixture_proxy(company.fixture, "eve")};
    other->react = peer_answers;
    send_away(&company, 0);
    fixture_pump(company.fixture);
    cr_assert_eq(proxy_run_all(proxies, 2, sample(MUSTER_TRAIN), &round, let_time_pass, company.fixture,
                               &result, NULL),
                 MUSTER_OK);
    fixture_unpump(company.fixture);
    cr_assert_eq(result.answered, 2);
    proxy_round_result_clear(&result);
    company_free(&company);
}

FIXTURE_TEST(session, progress_extends_the_limit_of_a_turn)
{
    for (int away = 0; away < 2; away++) {
        struct company company;
        struct participant_manager_options options = session_options();
        struct participant_options client;
        participant_options_init(&client);
        struct outcome outcome;
        client.name = "ada";
        options.progress_extends_ms = 3000;
        company_new_with(&company, &options, &client);
        cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, 1000, &outcome), MUSTER_OK);
        fixture_settle(company.fixture);
        consume(&company, MUSTER_TRAIN);
        fixture_advance(company.fixture, 900);
        cr_assert_eq(participant_report_progress(company.participant, 0.1, NULL), MUSTER_OK);
        fixture_settle(company.fixture);
        if (away)
            send_away(&company, 0);
        fixture_advance(company.fixture, 2999);
        cr_assert_eq(outcome.ended, 0);
        fixture_advance(company.fixture, 1);
        cr_assert(ended_with(&outcome, MUSTER_TIMEOUT));
        company_free(&company);
    }
}

/* However often it reports, a turn ends some day; one that was given more time from the start has that. */
FIXTURE_TEST(session, progress_extends_no_further_than_the_most)
{
    for (size_t longer = 0; longer < 2; longer++) {
        struct company company;
        struct participant_manager_options options = session_options();
        struct participant_options client;
        participant_options_init(&client);
        struct outcome outcome;
        client.name = "ada";
        options.progress_extends_ms = 3000;
        options.progress_extends_most_ms = 5000;
        company_new_with(&company, &options, &client);
        cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, longer ? 6000 : 1000, &outcome), MUSTER_OK);
        fixture_settle(company.fixture);
        consume(&company, MUSTER_TRAIN);
        for (size_t passed = 500; passed < (longer ? 6000 : 5000); passed += 500) {
            fixture_advance(company.fixture, 500);
            cr_assert_eq(participant_report_progress(company.participant, 0.1, NULL), MUSTER_OK);
            fixture_settle(company.fixture);
            cr_assert_eq(outcome.ended, 0);
        }
        fixture_advance(company.fixture, 500);
        cr_assert(ended_with(&outcome, MUSTER_TIMEOUT));
        company_free(&company);
    }
}

FIXTURE_TEST(session, progress_does_not_shorten_the_limit)
{
    struct company company;
    struct participant_manager_options options = session_options();
    struct participant_options client;
    participant_options_init(&client);
    struct outcome outcome;
    client.name = "ada";
    options.progress_extends_ms = 1000;
    company_new_with(&company, &options, &client);
    for (int limited = 0; limited < 2; limited++) {
        cr_assert_eq(start_turn(company.proxy, MUSTER_TRAIN, limited ? TURN_MS : MUSTER_NO_LIMIT, &outcome),
                     MUSTER_OK);
        fixture_settle(company.fixture);
        consume(&company, MUSTER_TRAIN);
        cr_assert_eq(participant_report_progress(company.participant, 0.1, NULL), MUSTER_OK);
        fixture_settle(company.fixture);
        fixture_advance(company.fixture, TURN_MS - 1);
        cr_assert_eq(outcome.ended, 0);
        proxy_cancel(company.proxy);
        cr_assert(ended_with(&outcome, MUSTER_CANCELLED));
        fixture_settle(company.fixture);
    }
    company_free(&company);
}

FIXTURE_TEST(session, place_at_the_address_is_there_for_who_comes_back)
{
    struct company company;
    struct participant_manager_options options = session_options();
    struct participant_options client;
    participant_options_init(&client);
    client.name = "ada";
    options.max_participants_per_address = 1;
    company_new_with(&company, &options, &client);
    for (size_t n = 0; n < 3; n++) {
        send_away(&company, n);
        muster_fixture_refuse(company.fixture->network, false);
        fixture_advance(company.fixture, 100 << n);
        cr_assert(proxy_is_open(company.proxy));
    }
    struct peer *peer = peer_connect(company.fixture);
    fixture_settle(company.fixture);
    cr_assert(peer->closed);
    cr_assert_eq(peer->status, MUSTER_FULL);
    company_free(&company);
}

/* What happens on another thread when the server has noticed a break, and before it has unlisted. */
static void (*before_unlist)(void);

bool __real_muster__manager_unlist(struct proxy *proxy, uint64_t number);
bool __wrap_muster__manager_unlist(struct proxy *proxy, uint64_t number);

bool __wrap_muster__manager_unlist(struct proxy *proxy, uint64_t number)
{
    void (*now)(void) = before_unlist;
    before_unlist = NULL;
    if (now)
        now();
    return __real_muster__manager_unlist(proxy, number);
}

static struct company *of_race;
static struct peer *newer_of_race;

static void arrive(void)
{
    newer_of_race = peer_with_token(of_race, "ada", of_race->proxy->session, SESSION_SIZE, 0);
}

FIXTURE_TEST(session, who_is_back_at_once_stays_listed)
{
    struct company company;
    struct peer *older = raw_company_new(&company);
    of_race = &company;
    before_unlist = arrive;
    peer_cut(older);
    fixture_settle(company.fixture);
    cr_assert_not_null(newer_of_race);
    cr_assert_not(newer_of_race->closed);
    cr_assert(proxy_is_open(company.proxy));
    cr_assert_eq(fixture_open_count(company.fixture), 1);
    cr_assert(event_is(company.fixture, 1, PARTICIPANT_MANAGER_BACK, MUSTER_OK, "ada"));
    cr_assert_eq(company.fixture->event_count, 2);
    peer_cut(newer_of_race);
    fixture_settle(company.fixture);
    cr_assert_eq(fixture_open_count(company.fixture), 0);
    fixture_free(company.fixture);
}
