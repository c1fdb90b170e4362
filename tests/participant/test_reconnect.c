/* Coming back: when the server asks for it, and when the connection breaks. */
#include <config.h>

#include "network/transport.h"
#include "participant/duo.h"
#include "support/call.h"
#include "support/fixture.h"
#include "support/sample.h"

static const uint8_t garbage[] = {0xff, 0xff, 0xff, 0x07, 'x'};

FIXTURE_TEST(reconnect, comes_back_when_told)
{
    struct duo duo = duo_new();
    duo_expect_turn(&duo, 2, 1);
    duo_ask_back(&duo, 30);
    cr_assert_eq(duo_consume(&duo), MUSTER_TIMEOUT, "it is not the end");
    fixture_advance(duo.fixture, 29999);
    cr_assert_eq(duo.fixture->peer_count, 1);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_INVALID);
    fixture_advance(duo.fixture, 1);
    duo_expect_back(&duo, 2);
    cr_assert_eq(duo_consume(&duo), MUSTER_TIMEOUT);
    duo_expect_turn(&duo, 2, 1);
    cr_assert_str_eq(participant_reason(duo.participant), "");
    duo_free(&duo);
}

FIXTURE_TEST(reconnect, comes_back_at_once)
{
    struct duo duo = duo_new();
    duo_ask_back(&duo, 0);
    duo_expect_back(&duo, 2);
    duo_expect_turn(&duo, 2, 1);
    duo_ask_back(&duo, -5);
    duo_expect_back(&duo, 3);
    duo_expect_turn(&duo, 2, 1);
    duo_free(&duo);
}

FIXTURE_TEST(reconnect, comes_back_again_and_again)
{
    struct duo duo = duo_new();
    for (size_t i = 0; i < 5; i++) {
        duo_ask_back(&duo, 1);
        fixture_advance(duo.fixture, 1000);
        duo_expect_back(&duo, i + 2);
        duo_expect_turn(&duo, 2, 1);
    }
    duo_free(&duo);
}

FIXTURE_TEST(reconnect, comes_back_while_consume_blocks)
{
    struct duo duo;
    struct call call;
    duo_start_consuming(&duo, &call);
    struct muster_message message = {.kind = MUSTER_RECONNECT, .reconnect_seconds = 0};
    peer_send(duo.peer, 0, &message);
    peer_close(duo.peer, MUSTER_OK, "come back later");
    duo.peer = fixture_wait_peer(duo.fixture, 2);
    peer_wait_count(duo.peer, 2);
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN));
    cr_assert_eq(call_join(&call), MUSTER_OK);
    cr_assert_not(participant_cancelled(duo.participant), "it is another instruction");
    cr_assert_eq(participant_dispatch(duo.participant, sample(MUSTER_TRAIN), NULL), MUSTER_OK);
    peer_wait_count(duo.peer, 3);
    duo_expect_answer(&duo, 2, 1, MUSTER_TRAIN);
    duo_free_blocking(&duo);
}

FIXTURE_TEST(reconnect, comes_back_while_it_works)
{
    struct duo duo = duo_new();
    duo_instruct(&duo, 1);
    duo_ask_back(&duo, 1);
    cr_assert(participant_cancelled(duo.participant));
    fixture_advance(duo.fixture, 1000);
    duo_expect_back(&duo, 2);
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN)); /* the same number, another session */
    fixture_settle(duo.fixture);
    cr_assert_eq(participant_report_progress(duo.participant, 0.5, NULL), MUSTER_CANCELLED);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_CANCELLED);
    cr_assert_eq(duo_consume(&duo), MUSTER_OK);
    cr_assert_not(participant_cancelled(duo.participant));
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    duo_expect_answer(&duo, 2, 1, MUSTER_TRAIN);
    duo_free(&duo);
}

FIXTURE_TEST(reconnect, instruction_before_the_request_to_come_back_is_not_seen)
{
    struct duo duo = duo_new();
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN));
    duo_ask_back(&duo, 1);
    cr_assert_eq(duo_consume(&duo), MUSTER_TIMEOUT);
    fixture_advance(duo.fixture, 1000);
    duo_expect_back(&duo, 2);
    duo_free(&duo);
}

FIXTURE_TEST(reconnect, initiative_while_it_is_away)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo_connect(&duo, &options);
    duo_ask_back(&duo, 1);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_EMPTY), MUSTER_OK);
    fixture_advance(duo.fixture, 1000);
    duo_expect_back(&duo, 2);
    duo_expect_turn(&duo, 2, 1);
    duo_free(&duo);
}

FIXTURE_TEST(reconnect, initiative_while_it_leaves)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo_connect(&duo, &options);
    struct muster_message message = {.kind = MUSTER_RECONNECT, .reconnect_seconds = 1};
    peer_send(duo.peer, 0, &message);
    cr_assert(muster_fixture_step(duo.fixture->network)); /* it knows, and its stream has not ended yet */
    cr_assert_eq(duo_dispatch(&duo, MUSTER_EMPTY), MUSTER_OK);
    fixture_advance(duo.fixture, 1000);
    duo_expect_back(&duo, 2);
    duo_free(&duo);
}

FIXTURE_TEST(reconnect, instruction_after_the_request_to_come_back_is_not_seen)
{
    struct duo duo = duo_new();
    struct muster_message message = {.kind = MUSTER_RECONNECT, .reconnect_seconds = 1};
    peer_send(duo.peer, 0, &message);
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN));
    cr_assert_eq(duo_consume(&duo), MUSTER_TIMEOUT);
    fixture_advance(duo.fixture, 1000);
    duo_expect_back(&duo, 2);
    duo_free(&duo);
}

FIXTURE_TEST(reconnect, server_that_does_not_end_the_stream_after_asking)
{
    struct duo duo = duo_new();
    struct muster_message message = {.kind = MUSTER_RECONNECT, .reconnect_seconds = 1};
    muster_fixture_delay(duo.fixture->network, 1);
    peer_send(duo.peer, 0, &message);
    fixture_advance(duo.fixture, 1);
    cr_assert(duo.peer->closed, "it closes by itself");
    fixture_advance(duo.fixture, 1000);
    cr_assert_eq(duo.fixture->peer_count, 2);
    duo_free(&duo);
}

FIXTURE_TEST(reconnect, stream_that_does_not_end_after_asking_is_cut)
{
    struct duo duo = duo_new();
    struct muster_message message = {.kind = MUSTER_RECONNECT, .reconnect_seconds = 1};
    muster_fixture_delay(duo.fixture->network, 10);
    peer_send(duo.peer, 0, &message);
    muster_fixture_lose(duo.fixture->network, true); /* its good-bye gets lost */
    fixture_advance(duo.fixture, 10);
    fixture_advance(duo.fixture, 4999);
    cr_assert_not(duo.peer->closed);
    fixture_advance(duo.fixture, 1);
    cr_assert(duo.peer->closed);
    muster_fixture_lose(duo.fixture->network, false);
    muster_fixture_delay(duo.fixture->network, 0);
    fixture_advance(duo.fixture, 1000);
    duo_expect_back(&duo, 2);
    duo_free(&duo);
}

static void does_not_reconnect(struct participant_options *options)
{
    options->reconnect_timeout_ms = 0;
}

FIXTURE_TEST(reconnect, nobody_is_there_when_it_comes_back)
{
    static const struct {
        void (*adjust)(struct participant_options *options);
        int64_t limit_ms;
        enum muster_status status;
        const char *text;
    } cases[] = {{NULL, 600000, MUSTER_GONE, "within 600000 ms"},
                 {tries_for_a_second, 1000, MUSTER_GONE, "within 1000 ms"},
                 {does_not_reconnect, 60000, MUSTER_UNAVAILABLE, "within 60000 ms"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct duo duo = duo_with(cases[i].adjust);
        duo_ask_back(&duo, 1);
        duo.fixture->network->ops->close_listener(duo.fixture->listener);
        fixture_settle(duo.fixture);
        duo.fixture->network->ops->free_listener(duo.fixture->listener);
        duo.fixture->listener = NULL;
        fixture_advance(duo.fixture, 1000);
        cr_assert_eq(duo_consume(&duo), MUSTER_TIMEOUT);
        fixture_advance(duo.fixture, cases[i].limit_ms - 1);
        cr_assert_eq(duo_consume(&duo), MUSTER_TIMEOUT);
        fixture_advance(duo.fixture, 1);
        duo_expect_over(&duo, cases[i].status, cases[i].text);
        duo_free(&duo);
    }
}

FIXTURE_TEST(reconnect, comes_back_when_the_first_attempts_break)
{
    struct duo duo = duo_new();
    duo_ask_and_refuse(&duo);
    fixture_advance(duo.fixture, 599999);
    cr_assert_eq(duo_consume(&duo), MUSTER_TIMEOUT);
    cr_assert_eq(duo.fixture->peer_count, 1);
    muster_fixture_refuse(duo.fixture->network, false);
    fixture_advance(duo.fixture, 1);
    duo_expect_over(&duo, MUSTER_GONE, "within 600000 ms");
    duo_free(&duo);

    duo = duo_new();
    duo_ask_and_refuse(&duo);
    fixture_advance(duo.fixture, 590000);
    muster_fixture_refuse(duo.fixture->network, false);
    fixture_advance(duo.fixture, 9999);
    duo_expect_back(&duo, 2);
    duo_expect_turn(&duo, 2, 1);
    /* There is no session: as before, a connection that breaks is the end. */
    peer_cut(duo.peer);
    duo_expect_over(&duo, MUSTER_GONE, "");
    duo_free(&duo);
}

FIXTURE_TEST(reconnect, attempt_breaks_without_time_to_reconnect)
{
    struct duo duo = duo_with(does_not_reconnect);
    duo_ask_and_refuse(&duo);
    fixture_advance(duo.fixture, 59999);
    cr_assert_eq(duo_consume(&duo), MUSTER_TIMEOUT);
    fixture_advance(duo.fixture, 1);
    duo_expect_over(&duo, MUSTER_UNAVAILABLE, "within 60000 ms: refused");
    duo_free(&duo);
}

static void asks_to_wait(struct peer *peer, const struct received *received)
{
    struct muster_message message = {.kind = MUSTER_RECONNECT, .reconnect_seconds = 30};
    if (received->content != CONTENT_HELLO)
        return;
    peer_send(peer, 0, &message); /* in place of Welcome */
    peer_close(peer, MUSTER_OK, "come back later");
}

FIXTURE_TEST(reconnect, asked_again_while_it_comes_back)
{
    struct duo duo = duo_with(tries_for_a_second);
    duo_ask_and_refuse(&duo);
    fixture_advance(duo.fixture, 500);
    muster_fixture_refuse(duo.fixture->network, false);
    duo.fixture->react = asks_to_wait;
    fixture_advance(duo.fixture, 499);
    cr_assert_eq(duo.fixture->peer_count, 2);
    duo.fixture->react = welcomes;
    fixture_advance(duo.fixture, 30000 - 500);
    cr_assert_eq(duo.fixture->peer_count, 2);
    muster_fixture_refuse(duo.fixture->network, true);
    fixture_advance(duo.fixture, 500); /* its second begins anew */
    muster_fixture_refuse(duo.fixture->network, false);
    fixture_advance(duo.fixture, 999);
    duo_expect_back(&duo, 3);
    duo_expect_turn(&duo, 2, 1);
    duo_free(&duo);
}

FIXTURE_TEST(reconnect, initiative_waits_for_welcome)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo_connect(&duo, &options);
    duo_ask_back(&duo, 1);
    duo.fixture->react = NULL; /* no Welcome */
    fixture_advance(duo.fixture, 1000);
    cr_assert_eq(duo.fixture->peer_count, 2);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_EMPTY), MUSTER_OK);
    cr_assert_eq(duo.fixture->peers->count, 1, "the server may be one of the original protocol");
    peer_send_welcome(duo.fixture->peers, "ada");
    fixture_settle(duo.fixture);
    duo_expect_back(&duo, 2);
    duo_expect_turn(&duo, 2, 1);
    duo_free(&duo);
}

FIXTURE_TEST(reconnect, refused_when_it_comes_back)
{
    struct duo duo = duo_new();
    duo_ask_back(&duo, 1);
    duo.fixture->react = refuses;
    fixture_advance(duo.fixture, 1000);
    duo_expect_over(&duo, MUSTER_REFUSED, "not on Sundays");
    duo_free(&duo);
}

FIXTURE_TEST(reconnect, close_while_it_is_away)
{
    struct duo duo = duo_new();
    duo_ask_back(&duo, 1);
    participant_close(duo.participant);
    duo_expect_over(&duo, MUSTER_CLOSED, "participant_close()");
    fixture_advance(duo.fixture, 2000);
    cr_assert_eq(duo.fixture->peer_count, 1);
    duo_free(&duo);
}

FIXTURE_TEST(reconnect, free_while_it_is_away)
{
    struct duo duo = duo_new();
    duo_ask_back(&duo, 1);
    participant_free(duo.participant);
    fixture_advance(duo.fixture, 2000);
    cr_assert_eq(duo.fixture->peer_count, 1);
    fixture_free(duo.fixture);
}

FIXTURE_TEST(reconnect, close_while_it_comes_back)
{
    struct duo duo = duo_new();
    duo_ask_back(&duo, 1);
    duo.fixture->react = NULL; /* no Welcome */
    fixture_advance(duo.fixture, 1000);
    cr_assert_eq(duo_consume(&duo), MUSTER_TIMEOUT);
    participant_close(duo.participant);
    duo_expect_over(&duo, MUSTER_CLOSED, "participant_close()");
    duo_free(&duo);
}

FIXTURE_TEST(reconnect, close_while_it_leaves)
{
    struct duo duo = duo_new();
    struct muster_message message = {.kind = MUSTER_RECONNECT, .reconnect_seconds = 1};
    muster_fixture_delay(duo.fixture->network, 10);
    peer_send(duo.peer, 0, &message);
    muster_fixture_lose(duo.fixture->network, true);
    fixture_advance(duo.fixture, 10);
    participant_close(duo.participant);
    cr_assert_eq(duo_consume(&duo), MUSTER_CLOSED);
    muster_fixture_lose(duo.fixture->network, false);
    muster_fixture_drop(duo.fixture->network, 0);
    duo_expect_over(&duo, MUSTER_CLOSED, "participant_close()");
    fixture_advance(duo.fixture, 10000);
    cr_assert_eq(duo.fixture->peer_count, 1);
    duo_free(&duo);
}

static void deliver_reconnect(struct participant_options *options)
{
    options->deliver_reconnect = true;
}

FIXTURE_TEST(reconnect, request_to_come_back_is_shown_on_demand)
{
    struct duo duo = duo_with(deliver_reconnect);
    duo_ask_back(&duo, 30);
    cr_assert_eq(duo_consume(&duo), MUSTER_OK);
    cr_assert(is_sample(duo.instruction, MUSTER_RECONNECT));
    duo_expect_over(&duo, MUSTER_STOPPED, "come back later");
    fixture_advance(duo.fixture, 60000);
    cr_assert_eq(duo.fixture->peer_count, 1, "it is not obeyed");
    duo_free(&duo);
}

FIXTURE_TEST(reconnect, request_to_come_back_needs_no_answer)
{
    struct duo duo = duo_with(deliver_reconnect);
    peer_send(duo.peer, 0, sample(MUSTER_RECONNECT));
    cr_assert_eq(duo_consume(&duo), MUSTER_OK);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_INVALID);
    cr_assert_eq(duo_consume(&duo), MUSTER_TIMEOUT);
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->count, 2, "none is sent for it");
    duo_free(&duo);
}

/* What was wrong with a stream that ends anyway is of no interest to the next one. */
FIXTURE_TEST(reconnect, garbage_behind_a_request_to_come_back)
{
    const struct muster_message message = {.kind = MUSTER_RECONNECT, .reconnect_seconds = 1};
    struct duo duo = duo_new();
    peer_send(duo.peer, 0, &message);
    peer_send_bytes(duo.peer, garbage, sizeof(garbage));
    fixture_settle(duo.fixture);
    muster_fixture_refuse(duo.fixture->network, true);
    fixture_advance(duo.fixture, 1000);
    muster_fixture_refuse(duo.fixture->network, false);
    fixture_advance(duo.fixture, 1000);
    cr_assert_str_eq(participant_reason(duo.participant), "");
    duo_free(&duo);
}

/* A clock that is read between two instants like any other: at one reading, all of the limit has passed. */
static const struct transport_ops *steady;
static size_t readings_left;
static int64_t jumped_ms;

static int64_t now_that_jumps(struct muster_transport *network)
{
    if (readings_left > 0 && --readings_left == 0)
        jumped_ms = 700000;
    return steady->now(network) + jumped_ms;
}

FIXTURE_TEST(reconnect, limit_that_passes_during_an_attempt)
{
    for (size_t reading = 1; reading < 60; reading++) {
        struct duo duo = duo_new();
        struct muster_transport *network = duo.fixture->network;
        steady = network->ops;
        struct transport_ops jumps = *steady;
        jumps.now = now_that_jumps;
        duo_ask_back(&duo, 1);
        muster_fixture_refuse(network, true);
        readings_left = reading;
        network->ops = &jumps;
        fixture_advance(duo.fixture, 1000);
        fixture_advance(duo.fixture, 1400000);
        network->ops = steady;
        jumped_ms = 0;
        cr_assert_eq(duo_consume(&duo), MUSTER_GONE, "reading %zu", reading);
        duo_free(&duo);
    }
}
