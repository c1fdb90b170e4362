/* How a program learns that there is something: blocked in consume, by on_ready, a descriptor and
   on_cancelled. */
#include <config.h>

#include <poll.h>

#include "participant/duo.h"
#include "support/call.h"
#include "support/fixture.h"
#include "support/sample.h"

/* ---- blocked in consume ---- */

FIXTURE_TEST(ready, consume_is_woken_by_an_instruction)
{
    struct duo duo;
    struct call call;
    duo_start_consuming(&duo, &call);
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN));
    cr_assert_eq(call_join(&call), MUSTER_OK);
    cr_assert(is_sample(call.instruction, MUSTER_TRAIN));
    duo_free_blocking(&duo);
}

FIXTURE_TEST(ready, consume_is_woken_by_its_limit)
{
    struct duo duo;
    struct call call;
    duo_start_consuming(&duo, &call);
    muster_fixture_advance(duo.fixture->network, 1000);
    cr_assert_eq(call_join(&call), MUSTER_TIMEOUT);
    cr_assert_null(call.instruction);
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN));
    call_consume(&call, duo.participant);
    cr_assert_eq(call_join(&call), MUSTER_OK);
    duo_free_blocking(&duo);
}

FIXTURE_TEST(ready, consume_is_woken_by_close)
{
    struct duo duo;
    struct call call;
    duo_start_consuming(&duo, &call);
    participant_close(duo.participant);
    cr_assert_eq(call_join(&call), MUSTER_CLOSED);
    cr_assert_null(call.instruction);
    duo_free_blocking(&duo);
}

FIXTURE_TEST(ready, close_on_a_cut_cable_wakes_consume)
{
    struct duo duo;
    struct call call;
    duo_start_consuming(&duo, &call);
    muster_fixture_lose(duo.fixture->network, true);
    participant_close(duo.participant);
    cr_assert_eq(call_join(&call), MUSTER_CLOSED);
    muster_fixture_lose(duo.fixture->network, false);
    muster_fixture_drop(duo.fixture->network, 0);
    duo_free_blocking(&duo);
}

FIXTURE_TEST(ready, consume_is_woken_by_a_stopping_server)
{
    struct duo duo;
    struct call call;
    duo_start_consuming(&duo, &call);
    peer_close(duo.peer, MUSTER_OK, "the server is stopping");
    cr_assert_eq(call_join(&call), MUSTER_STOPPED);
    duo_free_blocking(&duo);
}

FIXTURE_TEST(ready, consume_is_woken_by_a_broken_connection)
{
    struct duo duo;
    struct call call;
    duo_start_consuming(&duo, &call);
    peer_cut(duo.peer);
    cr_assert_eq(call_join(&call), MUSTER_GONE);
    duo_free_blocking(&duo);
}

/* ---- on_ready ---- */

struct readiness {
    size_t called;
    size_t consumed;
    enum muster_status last;
    bool closes;
};

static void on_ready(void *context, struct participant *participant)
{
    struct readiness *readiness = context;
    const struct muster_message *instruction;
    readiness->called++;
    if (readiness->closes)
        participant_close(participant);
    while ((readiness->last = participant_consume(participant, 0, &instruction, NULL)) == MUSTER_OK) {
        readiness->consumed++;
        participant_dispatch(participant, sample(MUSTER_TRAIN), NULL);
    }
}

static void duo_with_readiness(struct duo *duo, struct readiness *readiness)
{
    *duo = duo_empty();
    struct participant_options options = ada_options();
    options.on_ready = on_ready;
    options.context = readiness;
    duo_connect(duo, &options);
    cr_assert_eq(readiness->called, 0);
    cr_assert_eq(duo_dispatch(duo, MUSTER_EMPTY), MUSTER_OK);
}

FIXTURE_TEST(ready, on_ready_does_all_the_work)
{
    struct readiness readiness = {0};
    struct duo duo;
    duo_with_readiness(&duo, &readiness);
    for (uint64_t turn = 1; turn <= 3; turn++) {
        peer_send(duo.peer, turn, sample(MUSTER_TRAIN));
        fixture_settle(duo.fixture);
        cr_assert_eq(readiness.consumed, turn);
        cr_assert_eq(readiness.last, MUSTER_TIMEOUT);
        duo_expect_answer(&duo, 1 + turn, turn, MUSTER_TRAIN);
    }
    peer_close(duo.peer, MUSTER_OK, "good-bye");
    fixture_settle(duo.fixture);
    cr_assert_eq(readiness.called, 4);
    cr_assert_eq(readiness.last, MUSTER_STOPPED);
    duo_free(&duo);
}

FIXTURE_TEST(ready, on_ready_closes)
{
    struct readiness readiness = {.closes = true};
    struct duo duo;
    duo_with_readiness(&duo, &readiness);
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN));
    fixture_settle(duo.fixture);
    cr_assert_eq(readiness.consumed, 0);
    cr_assert_eq(readiness.last, MUSTER_CLOSED);
    cr_assert(duo.peer->closed);
    duo_free(&duo);
}

FIXTURE_TEST(ready, on_ready_is_not_told_of_coming_back)
{
    struct readiness readiness = {0};
    struct duo duo;
    duo_with_readiness(&duo, &readiness);
    duo_ask_back(&duo, 1);
    fixture_advance(duo.fixture, 1000);
    duo_expect_back(&duo, 2);
    cr_assert_eq(readiness.called, 0, "consume would block");
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN));
    fixture_settle(duo.fixture);
    cr_assert_eq(readiness.consumed, 1);
    duo_expect_answer(&duo, 2, 1, MUSTER_TRAIN);
    duo_free(&duo);
}

static void note_ready(void *context, struct participant *participant)
{
    const struct muster_message *instruction;
    *(enum muster_status *)context = participant_consume(participant, 0, &instruction, NULL);
}

FIXTURE_TEST(ready, on_ready_is_told_of_a_close_while_it_is_away)
{
    enum muster_status last = MUSTER_OK;
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    options.on_ready = note_ready;
    options.context = &last;
    duo_connect(&duo, &options);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_EMPTY), MUSTER_OK);
    duo_ask_back(&duo, 1);
    participant_close(duo.participant);
    fixture_settle(duo.fixture);
    cr_assert_eq(last, MUSTER_CLOSED);
    participant_free(duo.participant);
    fixture_free(duo.fixture);
}

/* ---- for event loops ---- */

static bool is_readable(struct duo *duo)
{
    struct pollfd polled = {.fd = participant_descriptor(duo->participant, NULL), .events = POLLIN};
    cr_assert_geq(polled.fd, 0);
    fixture_settle(duo->fixture);
    return poll(&polled, 1, 0) == 1;
}

FIXTURE_TEST(ready, descriptor_is_readable_while_there_is_something)
{
    struct duo duo = duo_new();
    cr_assert_not(is_readable(&duo));
    for (uint64_t turn = 1; turn < 3; turn++) {
        peer_send(duo.peer, turn, sample(MUSTER_TRAIN));
        cr_assert(is_readable(&duo));
        cr_assert(is_readable(&duo), "nobody has consumed it");
        cr_assert_eq(duo_consume(&duo), MUSTER_OK);
        cr_assert_not(is_readable(&duo));
        cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    }
    peer_send(duo.peer, 3, sample(MUSTER_TRAIN));
    cr_assert(is_readable(&duo));
    duo_cancel(&duo, 3);
    cr_assert_not(is_readable(&duo), "it was given up before it was consumed");
    peer_close(duo.peer, MUSTER_OK, "the server is stopping");
    cr_assert(is_readable(&duo));
    cr_assert_eq(duo_consume(&duo), MUSTER_STOPPED);
    cr_assert(is_readable(&duo), "for good");
    duo_free(&duo);
}

FIXTURE_TEST(ready, descriptor_of_one_that_polls_first)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo_connect(&duo, &options);
    cr_assert(is_readable(&duo), "the initiative is to be passed");
    cr_assert_eq(duo_consume(&duo), MUSTER_TIMEOUT);
    cr_assert_not(is_readable(&duo));
    duo_instruct(&duo, 1);
    duo_free(&duo);
}

FIXTURE_TEST(ready, descriptor_of_what_came_before_it)
{
    struct duo duo = duo_new();
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN));
    fixture_settle(duo.fixture);
    cr_assert(is_readable(&duo));
    cr_assert_eq(duo_consume(&duo), MUSTER_OK);
    cr_assert_not(is_readable(&duo));
    participant_close(duo.participant);
    cr_assert(is_readable(&duo));
    duo_free(&duo);
}

static void count_cancel(void *context, struct participant *participant)
{
    size_t *count = context;
    cr_assert(participant_cancelled(participant));
    ++*count;
}

static size_t cancels;

static void count_cancels(struct participant_options *options)
{
    cancels = 0;
    options->on_cancelled = count_cancel;
    options->context = &cancels;
}

FIXTURE_TEST(ready, cancels_are_told)
{
    struct duo duo = duo_with(count_cancels);
    duo_instruct(&duo, 1);
    duo_cancel(&duo, 2);
    cr_assert_eq(cancels, 0);
    duo_cancel(&duo, 1);
    cr_assert_eq(cancels, 1);
    duo_cancel(&duo, 1);
    cr_assert_eq(cancels, 1);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_CANCELLED);
    duo_expect_turn(&duo, 2, 2);
    duo_cancel(&duo, 2);
    cr_assert_eq(cancels, 1, "it was answered");
    duo_instruct(&duo, 3);
    peer_close(duo.peer, MUSTER_OK, "the server is stopping");
    fixture_settle(duo.fixture);
    cr_assert_eq(cancels, 2, "nobody is left who would want an answer");
    duo_free(&duo);
}

FIXTURE_TEST(ready, a_newer_instruction_is_a_cancel)
{
    struct duo duo = duo_with(count_cancels);
    duo_instruct(&duo, 1);
    peer_send(duo.peer, 2, sample(MUSTER_TRAIN));
    fixture_settle(duo.fixture);
    cr_assert_eq(cancels, 1);
    cr_assert_eq(duo_consume(&duo), MUSTER_OK);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    peer_send(duo.peer, 3, sample(MUSTER_TRAIN));
    fixture_settle(duo.fixture);
    cr_assert_eq(cancels, 1, "that was answered");
    duo_free(&duo);
}
