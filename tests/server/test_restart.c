/* A server that dies and is started again: its participants come back by themselves. */
#include <config.h>

#include "server/couple.h"
#include "support/call.h"
#include "support/fixture.h"
#include "support/outcome.h"

FIXTURE_TEST(restart, participants_of_a_server_that_died_come_back_with_name_and_rank)
{
    struct couple couple;
    struct participant_options client;
    participant_options_init(&client);
    const struct muster_message empty = MUSTER_MESSAGE_INIT;
    struct outcome outcome;
    struct call call;
    couple_new(&couple, "ada");
    fixture_pump(couple.fixture);
    call_connect(&call, couple.fixture, &client); /* its name is given to it */
    cr_assert_eq(call_join(&call), MUSTER_OK);
    cr_assert_eq(participant_dispatch(call.participant, &empty, NULL), MUSTER_OK);
    fixture_unpump(couple.fixture);
    fixture_settle(couple.fixture);
    cr_assert_eq(participant_rank(call.participant), 1);
    participant_close(couple.participant); /* so that the other one is first */
    fixture_settle(couple.fixture);
    restart_server(&couple);
    fixture_advance(couple.fixture, 1000);
    couple.proxy = fixture_proxy(couple.fixture, participant_name(call.participant));
    cr_assert_not_null(couple.proxy);
    cr_assert_eq(proxy_rank(couple.proxy), 1);
    cr_assert_eq(participant_rank(call.participant), 1);
    cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(couple.fixture);
    const struct muster_message *instruction;
    cr_assert_eq(participant_consume(call.participant, 0, &instruction, NULL), MUSTER_OK);
    cr_assert_eq(participant_dispatch(call.participant, instruction, NULL), MUSTER_OK);
    fixture_settle(couple.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    fixture_pump(couple.fixture);
    participant_free(call.participant);
    fixture_unpump(couple.fixture);
    couple_free(&couple);
}

FIXTURE_TEST(restart, instruction_of_a_server_that_died_is_cancelled)
{
    struct couple couple;
    struct outcome outcome;
    couple_new(&couple, "ada");
    cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(couple.fixture);
    const struct muster_message *instruction = couple_consume(&couple, MUSTER_TRAIN);
    restart_server(&couple);
    cr_assert(ended_with(&outcome, MUSTER_STOPPED));
    cr_assert_not(participant_cancelled(couple.participant)); /* it may be back with the same sessions */
    fixture_advance(couple.fixture, 1000);
    cr_assert(participant_cancelled(couple.participant));
    /* The new server's first turn has the same number. */
    couple.proxy = fixture_proxy(couple.fixture, "ada");
    cr_assert_eq(start_turn(couple.proxy, MUSTER_EVALUATE, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(couple.fixture);
    cr_assert_eq(participant_dispatch(couple.participant, instruction, NULL), MUSTER_CANCELLED);
    cr_assert_eq(participant_dispatch(couple.participant, couple_consume(&couple, MUSTER_EVALUATE), NULL),
                 MUSTER_OK);
    fixture_settle(couple.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    couple_free(&couple);
}

FIXTURE_TEST(restart, answer_to_a_server_that_died_is_dropped)
{
    struct couple couple;
    struct outcome outcome;
    couple_new(&couple, "ada");
    cr_assert_eq(start_turn(couple.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(couple.fixture);
    const struct muster_message *instruction = couple_consume(&couple, MUSTER_TRAIN);
    restart_server(&couple);
    cr_assert(ended_with(&outcome, MUSTER_STOPPED));
    cr_assert_eq(participant_dispatch(couple.participant, instruction, NULL), MUSTER_OK); /* held */
    fixture_advance(couple.fixture, 1000);
    couple.proxy = fixture_proxy(couple.fixture, "ada");
    cr_assert(proxy_is_open(couple.proxy));
    cr_assert_eq(start_turn(couple.proxy, MUSTER_EVALUATE, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(couple.fixture);
    cr_assert_eq(outcome.ended, 0);
    cr_assert_eq(participant_dispatch(couple.participant, couple_consume(&couple, MUSTER_EVALUATE), NULL),
                 MUSTER_OK);
    fixture_settle(couple.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    couple_free(&couple);
}

/* The new server has let it in, and it does not know. */
FIXTURE_TEST(restart, welcome_of_a_new_server_may_be_lost)
{
    struct couple couple;
    struct outcome outcome = {0};
    couple_new(&couple, "ada");
    restart_server(&couple);
    muster_fixture_delay(couple.fixture->network, 10);
    fixture_advance(couple.fixture, 100);                      /* it connects, */
    fixture_advance(couple.fixture, 10);                       /* Hello arrives, */
    for (size_t connection = 0; connection < 10; connection++) /* and Welcome does not */
        muster_fixture_drop(couple.fixture->network, connection);
    muster_fixture_delay(couple.fixture->network, 0);
    fixture_settle(couple.fixture);
    fixture_advance(couple.fixture, 1000);
    cr_assert_str_eq(participant_reason(couple.participant), "");
    couple.proxy = fixture_proxy(couple.fixture, "ada");
    cr_assert_not_null(couple.proxy);
    cr_assert_eq(start_turn(couple.proxy, MUSTER_EVALUATE, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(couple.fixture);
    cr_assert_eq(participant_dispatch(couple.participant, couple_consume(&couple, MUSTER_EVALUATE), NULL),
                 MUSTER_OK);
    fixture_settle(couple.fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    couple_free(&couple);
}

FIXTURE_TEST(restart, rank_survives_being_turned_away)
{
    struct couple couple;
    couple_new(&couple, "ada");
    struct fixture *fixture = couple.fixture;
    uint64_t rank = proxy_rank(couple.proxy) + 3;
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
    couple_free(&couple);
}
