/* The end: the server says good-bye, the connection breaks, or the participant closes. */
#include <config.h>

#include "participant/duo.h"
#include "support/fixture.h"
#include "support/sample.h"

static const uint8_t garbage[] = {0xff, 0xff, 0xff, 0x07, 'x'};

/* ---- the end ---- */

FIXTURE_TEST(end, server_says_good_bye)
{
    struct duo duo = duo_new();
    peer_close(duo.peer, MUSTER_OK, "the server is stopping");
    duo_expect_over(&duo, MUSTER_STOPPED, "the server is stopping");
    duo_free(&duo);
}

FIXTURE_TEST(end, server_says_good_bye_while_it_works)
{
    struct duo duo = duo_new();
    duo_instruct(&duo, 1);
    peer_close(duo.peer, MUSTER_OK, "good-bye");
    fixture_settle(duo.fixture);
    cr_assert(participant_cancelled(duo.participant));
    cr_assert(is_sample(duo.instruction, MUSTER_TRAIN), "it stays until the next consume");
    cr_assert_eq(participant_report_progress(duo.participant, 0.5, NULL), MUSTER_STOPPED);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_STOPPED);
    duo_expect_over(&duo, MUSTER_STOPPED, "good-bye");
    duo_free(&duo);
}

FIXTURE_TEST(end, instruction_before_the_good_bye_is_not_seen)
{
    struct duo duo = duo_new();
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN));
    peer_close(duo.peer, MUSTER_OK, "good-bye");
    duo_expect_over(&duo, MUSTER_STOPPED, "good-bye");
    duo_free(&duo);
}

FIXTURE_TEST(end, connection_breaks)
{
    struct duo duo = duo_new();
    cr_assert(muster_fixture_drop(duo.fixture->network, 0));
    duo_expect_over(&duo, MUSTER_GONE, "the connection broke");
    duo_free(&duo);
}

/* How it ended, as by a server that says good-bye in this instant, is not known before it is told: the next call tells. */
FIXTURE_TEST(end, answer_finds_the_connection_broken)
{
    struct duo duo = duo_new();
    duo_instruct(&duo, 1);
    muster_fixture_fail_send(duo.fixture->network, 1);
    cr_assert_eq(duo_dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    duo_expect_over(&duo, MUSTER_GONE, "the connection broke");
    duo_free(&duo);
}

FIXTURE_TEST(end, initiative_finds_the_connection_broken)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo_connect(&duo, &options);
    muster_fixture_fail_send(duo.fixture->network, 1);
    cr_assert_eq(participant_dispatch(duo.participant, sample(MUSTER_EMPTY), NULL), MUSTER_OK);
    duo_expect_over(&duo, MUSTER_GONE, "the connection broke");
    duo_free(&duo);
}

FIXTURE_TEST(end, report_finds_the_connection_broken)
{
    struct duo duo = duo_new();
    duo_instruct(&duo, 1);
    muster_fixture_fail_send(duo.fixture->network, 1);
    cr_assert_eq(participant_report_progress(duo.participant, 0.5, NULL), MUSTER_OK);
    duo_expect_over(&duo, MUSTER_GONE, "the connection broke");
    duo_free(&duo);
}

FIXTURE_TEST(end, server_ends_it_with_a_reason)
{
    static const enum muster_status statuses[] = {MUSTER_PROTOCOL, MUSTER_REFUSED, MUSTER_UNAUTHENTICATED,
                                                  MUSTER_OUT_OF_MEMORY};
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        struct duo duo = duo_new();
        peer_close(duo.peer, statuses[i], "because");
        duo_expect_over(&duo, statuses[i], "because");
        duo_free(&duo);
    }
}

FIXTURE_TEST(end, end_without_a_word_has_a_reason)
{
    struct duo duo = duo_new();
    peer_close(duo.peer, MUSTER_OK, "");
    duo_expect_over(&duo, MUSTER_STOPPED, muster_status_text(MUSTER_STOPPED));
    duo_free(&duo);
}

FIXTURE_TEST(end, reason_is_harmless)
{
    struct duo duo = duo_new();
    peer_close(duo.peer, MUSTER_REFUSED, "no\nwell\x1b[31m");
    duo_expect_over(&duo, MUSTER_REFUSED, "no?well?[31m");
    duo_free(&duo);
}

/* TIMEOUT from consume means "call again": it cannot be what a stream ended with. */
FIXTURE_TEST(end, initiative_that_came_too_late)
{
    struct participant_manager_options manager_options = fixture_options();
    manager_options.join_timeout_ms = 1000;
    struct duo duo = {.fixture = fixture_new(&manager_options)};
    struct participant_options options = ada_options();
    fixture_pump(duo.fixture);
    cr_assert_eq(participant_connect(ADDRESS, &options, &duo.participant, NULL), MUSTER_OK);
    fixture_unpump(duo.fixture);
    fixture_advance(duo.fixture, 1000);
    duo_expect_over(&duo, MUSTER_GONE, "initiative");
    duo_free(&duo);
}

static void expect_malformed(const void *bytes, size_t size, const char *text)
{
    struct duo duo = duo_new();
    peer_send_bytes(duo.peer, bytes, size);
    cr_assert(muster_fixture_step(duo.fixture->network));
    cr_assert_str_eq(participant_reason(duo.participant), "", "the stream has not ended yet");
    duo_expect_over(&duo, MUSTER_PROTOCOL, text);
    cr_assert(duo.peer->closed);
    duo_free(&duo);
}

FIXTURE_TEST(end, messages_that_are_none)
{
    expect_malformed(garbage, sizeof(garbage), "the bytes are no message");
    /* turn 1, train_config { theta { ndarray: "\x93NUMPZ" } } */
    static const uint8_t no_array[] = "\x18\x01\x12\x0a\x0a\x08\x0a\x06\x93NUMPZ";
    expect_malformed(no_array, sizeof(no_array) - 1, "array 0: ");
}

static void take_little(struct participant_options *options)
{
    options->max_message_size = 1024;
}

FIXTURE_TEST(end, instruction_over_its_limit)
{
    struct duo duo = duo_with(take_little);
    uint8_t bytes[1025] = {0};
    peer_send_bytes(duo.peer, bytes, sizeof(bytes));
    duo_expect_over(&duo, MUSTER_TOO_BIG, "limit");
    duo_free(&duo);
}

/* ---- closing ---- */

FIXTURE_TEST(end, close_sends_what_was_dispatched)
{
    struct duo duo = duo_new();
    duo_instruct(&duo, 1);
    muster_fixture_delay(duo.fixture->network, 10);
    cr_assert_eq(participant_dispatch(duo.participant, sample(MUSTER_TRAIN), NULL), MUSTER_OK);
    participant_close(duo.participant);
    participant_close(duo.participant);
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->count, 2);
    fixture_advance(duo.fixture, 10);
    duo_expect_answer(&duo, 2, 1, MUSTER_TRAIN);
    cr_assert(duo.peer->closed);
    cr_assert_eq(duo.peer->status, MUSTER_CLOSED);
    duo_expect_over(&duo, MUSTER_CLOSED, "participant_close()");
    participant_close(duo.participant);
    duo_free(&duo);
}

FIXTURE_TEST(end, after_close_nothing_is_taken_or_given)
{
    struct duo duo = duo_new();
    duo_instruct(&duo, 1);
    cr_assert_not(participant_cancelled(duo.participant));
    participant_close(duo.participant);
    cr_assert(participant_cancelled(duo.participant));
    cr_assert_eq(participant_dispatch(duo.participant, sample(MUSTER_TRAIN), NULL), MUSTER_CLOSED);
    cr_assert_eq(participant_report_progress(duo.participant, 0.5, NULL), MUSTER_CLOSED);
    cr_assert_eq(participant_consume(duo.participant, 0, &duo.instruction, NULL), MUSTER_CLOSED);
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->count, 2);
    duo_free(&duo);
}

FIXTURE_TEST(end, instruction_before_close_is_not_seen)
{
    struct duo duo = duo_new();
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN));
    fixture_settle(duo.fixture);
    participant_close(duo.participant);
    cr_assert_eq(participant_consume(duo.participant, 0, &duo.instruction, NULL), MUSTER_CLOSED);
    cr_assert_null(duo.instruction);
    duo_free(&duo);
}

FIXTURE_TEST(end, close_after_the_end_changes_nothing)
{
    struct duo duo = duo_new();
    peer_close(duo.peer, MUSTER_OK, "good-bye");
    fixture_settle(duo.fixture);
    participant_close(duo.participant);
    duo_expect_over(&duo, MUSTER_STOPPED, "good-bye");
    duo_free(&duo);
}

static void *free_participant(void *participant)
{
    participant_free(participant);
    return NULL;
}

FIXTURE_TEST(end, free_waits_for_the_last_answer)
{
    struct duo duo = duo_new();
    pthread_t thread;
    duo_instruct(&duo, 1);
    muster_fixture_delay(duo.fixture->network, 10);
    fixture_pump(duo.fixture);
    cr_assert_eq(participant_dispatch(duo.participant, sample(MUSTER_TRAIN), NULL), MUSTER_OK);
    cr_assert_eq(pthread_create(&thread, NULL, free_participant, duo.participant), 0);
    muster_fixture_wait_alarm(duo.fixture->network, 5000);
    fixture_be_busy();
    muster_fixture_advance(duo.fixture->network, 10);
    pthread_join(thread, NULL);
    peer_wait_closed(duo.peer);
    cr_assert_eq(duo.peer->status, MUSTER_CLOSED);
    duo_expect_answer(&duo, 2, 1, MUSTER_TRAIN);
    fixture_free(duo.fixture);
}

FIXTURE_TEST(end, free_cuts_what_does_not_end)
{
    struct duo duo = duo_new();
    pthread_t thread;
    muster_fixture_lose(duo.fixture->network, true);
    fixture_pump(duo.fixture);
    cr_assert_eq(pthread_create(&thread, NULL, free_participant, duo.participant), 0);
    muster_fixture_wait_alarm(duo.fixture->network, 5000);
    muster_fixture_advance(duo.fixture->network, 5000);
    pthread_join(thread, NULL);
    peer_wait_closed(duo.peer);
    fixture_free(duo.fixture);
}
