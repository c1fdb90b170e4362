/* The participant against a server that is played message by message. Connecting blocks and needs the pump;
   after it, most tests step the network themselves and consume without waiting. */
#include <config.h>

#include <math.h>
#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/call.h"
#include "support/fixture.h"
#include "support/sample.h"

static const uint8_t garbage[] = {0xff, 0xff, 0xff, 0x07, 'x'};

/* A participant and the server's end of its stream. */
struct duo {
    struct fixture *fixture;
    struct peer *peer;
    struct participant *participant;
    const struct muster_message *instruction;
};

static void welcomes(struct peer *peer, const struct received *received)
{
    if (received->content == CONTENT_HELLO)
        peer_send_welcome(peer, received->name[0] ? received->name : "given");
}

static struct participant_options ada_options(void)
{
    struct participant_options options;
    participant_options_init(&options);
    options.name = "ada";
    options.on_warning = NULL; /* whose timers are not awaited here */
    return options;
}

static struct duo duo_empty(void)
{
    struct duo duo = {.fixture = fixture_new_empty()};
    duo.fixture->react = welcomes;
    fixture_listen(duo.fixture);
    return duo;
}

static void duo_connect(struct duo *duo, const struct participant_options *options)
{
    struct muster_error error = {.text = ""};
    fixture_pump(duo->fixture);
    cr_assert_eq(participant_connect(ADDRESS, options, &duo->participant, &error), MUSTER_OK, "%s",
                 error.text);
    duo->peer = fixture_wait_peer(duo->fixture, 1);
    fixture_unpump(duo->fixture);
}

/* Connected, and the initiative is with the server. */
static struct duo duo_with(void (*adjust)(struct participant_options *options))
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    if (adjust)
        adjust(&options);
    duo_connect(&duo, &options);
    cr_assert_eq(participant_dispatch(duo.participant, sample(MUSTER_EMPTY), NULL), MUSTER_OK);
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->count, 2);
    return duo;
}

static struct duo duo_new(void)
{
    return duo_with(NULL);
}

static void duo_free(struct duo *duo)
{
    participant_close(duo->participant);
    fixture_settle(duo->fixture);
    participant_free(duo->participant);
    fixture_free(duo->fixture);
}

static enum muster_status consume(struct duo *duo)
{
    fixture_settle(duo->fixture);
    return participant_consume(duo->participant, 0, &duo->instruction, NULL);
}

static enum muster_status dispatch(struct duo *duo, enum muster_kind kind)
{
    enum muster_status status = participant_dispatch(duo->participant, sample(kind), NULL);
    fixture_settle(duo->fixture);
    return status;
}

static void instruct(struct duo *duo, uint64_t turn)
{
    peer_send(duo->peer, turn, sample(MUSTER_TRAIN));
    cr_assert_eq(consume(duo), MUSTER_OK);
    cr_assert(is_sample(duo->instruction, MUSTER_TRAIN));
}

static void cancel(struct duo *duo, uint64_t turn)
{
    peer_send_buffer(duo->peer, turn, muster__encode_cancel());
    fixture_settle(duo->fixture);
}

static void expect_answer(const struct duo *duo, size_t n, uint64_t turn, enum muster_kind kind)
{
    cr_assert_eq(duo->peer->count, n + 1, "%zu", duo->peer->count);
    cr_assert_eq(duo->peer->messages[n].turn, turn);
    cr_assert(is_sample(&duo->peer->messages[n].message, kind));
}

/* The proof that the participant is usable: a whole turn; `n` messages came before its answer. */
static void expect_turn(struct duo *duo, size_t n, uint64_t turn)
{
    instruct(duo, turn);
    cr_assert_not(participant_cancelled(duo->participant));
    cr_assert_eq(dispatch(duo, MUSTER_TRAIN), MUSTER_OK);
    expect_answer(duo, n, turn, MUSTER_TRAIN);
}

/* Every function says so, now and later. */
static void expect_over(struct duo *duo, enum muster_status status, const char *text)
{
    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(consume(duo), status);
        cr_assert_null(duo->instruction);
        cr_assert_eq(dispatch(duo, MUSTER_TRAIN), status);
        cr_assert_eq(participant_report_progress(duo->participant, 0.5, NULL), status);
    }
    cr_assert(strstr(participant_reason(duo->participant), text) != NULL, "%s",
              participant_reason(duo->participant));
}

/* ---- connecting ---- */

FIXTURE_TEST(participant, says_hello)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    options.max_message_size = 4096;
    duo_connect(&duo, &options);
    cr_assert_eq(duo.peer->count, 1);
    cr_assert_eq(duo.peer->messages[0].content, CONTENT_HELLO);
    cr_assert_str_eq(duo.peer->messages[0].name, "ada");
    cr_assert_eq(duo.peer->messages[0].max_message_size, 4096);
    cr_assert_str_eq(participant_name(duo.participant), "ada");
    cr_assert_eq(participant_rank(duo.participant), 7);
    cr_assert_str_eq(participant_reason(duo.participant), "");
    duo_free(&duo);
}

FIXTURE_TEST(participant, is_given_a_name)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    options.name = NULL;
    duo_connect(&duo, &options);
    cr_assert_str_eq(participant_name(duo.participant), "given");
    duo_free(&duo);
}

FIXTURE_TEST(participant, labels_reach_the_server)
{
    struct fixture *fixture = fixture_new(NULL);
    char site[] = "site";
    const struct participant_label labels[] = {{site, "Graz"}, {"empty", NULL}};
    struct participant_options options = ada_options();
    struct participant *participant;
    options.labels = labels;
    options.label_count = 2;
    fixture_pump(fixture);
    cr_assert_eq(participant_connect(ADDRESS, &options, &participant, NULL), MUSTER_OK);
    memset(site, 'x', 4); /* options are copied */
    participant_dispatch(participant, sample(MUSTER_EMPTY), NULL);
    fixture_wait_events(fixture, 1);
    struct proxy *proxy = fixture_proxy(fixture, "ada");
    cr_assert_str_eq(proxy_label(proxy, "site"), "Graz");
    cr_assert_str_eq(proxy_label(proxy, "empty"), "");
    participant_free(participant);
    fixture_free(fixture);
}

FIXTURE_TEST(participant, waits_for_a_server_that_is_not_up_yet)
{
    struct duo duo = {.fixture = fixture_new_empty()};
    struct participant_options options = ada_options();
    struct call call;
    duo.fixture->react = welcomes;
    fixture_pump(duo.fixture);
    call_connect(&call, duo.fixture, &options);
    muster_fixture_wait_alarm(duo.fixture->network, 60000);
    fixture_be_busy();
    fixture_listen(duo.fixture);
    cr_assert_eq(call_join(&call), MUSTER_OK);
    fixture_unpump(duo.fixture);
    duo.participant = call.participant;
    duo.peer = fixture_wait_peer(duo.fixture, 1);
    dispatch(&duo, MUSTER_EMPTY);
    expect_turn(&duo, 2, 1);
    duo_free(&duo);
}

static void expect_unavailable(struct fixture *fixture, const char *text)
{
    struct call call;
    fixture_pump(fixture);
    call_connect(&call, fixture, NULL);
    muster_fixture_wait_alarm(fixture->network, 60000);
    muster_fixture_advance(fixture->network, 60000);
    cr_assert_eq(call_join(&call), MUSTER_UNAVAILABLE);
    cr_assert_null(call.participant);
    cr_assert_eq(call.error.status, MUSTER_UNAVAILABLE);
    cr_assert(strstr(call.error.text, text) != NULL, "%s", call.error.text);
    fixture_free(fixture);
}

FIXTURE_TEST(participant, nobody_ever_answers)
{
    expect_unavailable(fixture_new_empty(), "within 60000 ms");
}

FIXTURE_TEST(participant, server_does_not_welcome_it)
{
    struct fixture *fixture = fixture_new_empty();
    fixture_listen(fixture);
    expect_unavailable(fixture, "within 60000 ms");
}

FIXTURE_TEST(participant, connection_is_refused)
{
    struct fixture *fixture = fixture_new_empty();
    muster_fixture_refuse(fixture->network, true);
    expect_unavailable(fixture, "within 60000 ms: refused");
}

static void welcomes_and_stops(struct peer *peer, const struct received *received)
{
    welcomes(peer, received);
    peer_close(peer, MUSTER_OK, "good-bye");
}

/* Whether connect sees that it was admitted or that it is over already: it was admitted. */
FIXTURE_TEST(participant, server_stops_right_after_its_welcome)
{
    for (size_t i = 0; i < 50; i++) {
        struct duo duo = duo_empty();
        struct participant_options options = ada_options();
        duo.fixture->react = welcomes_and_stops;
        duo_connect(&duo, &options);
        expect_over(&duo, MUSTER_STOPPED, "good-bye");
        duo_free(&duo);
    }
}

static void refuses(struct peer *peer, const struct received *received)
{
    if (received->content == CONTENT_HELLO)
        peer_close(peer, MUSTER_REFUSED, "not on Sundays");
}

FIXTURE_TEST(participant, server_refuses_it)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    struct muster_error error;
    duo.fixture->react = refuses;
    fixture_pump(duo.fixture);
    cr_assert_eq(participant_connect(ADDRESS, &options, &duo.participant, &error), MUSTER_REFUSED);
    cr_assert_null(duo.participant);
    cr_assert_str_eq(error.text, "not on Sundays");
    fixture_free(duo.fixture);
}

FIXTURE_TEST(participant, name_is_in_use)
{
    struct fixture *fixture = fixture_new(NULL);
    struct participant_options options = ada_options();
    struct participant *participant;
    struct muster_error error;
    peer_join(fixture, "ada");
    fixture_pump(fixture);
    cr_assert_eq(participant_connect(ADDRESS, &options, &participant, &error), MUSTER_EXISTS);
    cr_assert_str_eq(error.text,
                     "the name 'ada' is in use: choose another, or try again in 50 s if its bearer died");
    options.name = "tab\t";
    cr_assert_eq(participant_connect(ADDRESS, &options, &participant, &error), MUSTER_INVALID);
    fixture_free(fixture);
}

FIXTURE_TEST(participant, hello_finds_the_connection_broken)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    struct call call;
    options.reconnect_timeout_ms = 0; /* has no part in this */
    muster_fixture_fail_send(duo.fixture->network, 1);
    fixture_pump(duo.fixture);
    call_connect(&call, duo.fixture, &options);
    muster_fixture_wait_alarm(duo.fixture->network, options.reconnect_first_ms);
    muster_fixture_advance(duo.fixture->network, options.reconnect_first_ms);
    cr_assert_eq(call_join(&call), MUSTER_OK);
    fixture_unpump(duo.fixture);
    duo.participant = call.participant;
    duo_free(&duo);
}

FIXTURE_TEST(participant, arguments_that_make_no_sense)
{
    struct duo duo = duo_empty();
    struct participant_options good = ada_options();
    struct participant *participant = (struct participant *)&participant;
    struct muster_error error;
    cr_assert_eq(participant_connect(NULL, &good, &participant, &error), MUSTER_INVALID);
    cr_assert_null(participant);
    cr_assert_eq(participant_connect("", &good, &participant, NULL), MUSTER_INVALID);
    struct participant_options options = good;
    options.max_message_size = 1023;
    cr_assert_eq(participant_connect(ADDRESS, &options, &participant, &error), MUSTER_INVALID);
    cr_assert_str_eq(error.text, "options.max_message_size is not from 1024 to 2147483647 bytes");
    options = good;
    options.reconnect_first_ms = options.reconnect_last_ms + 1;
    cr_assert_eq(participant_connect(ADDRESS, &options, &participant, &error), MUSTER_INVALID);
    cr_assert_str_eq(error.text, "options.reconnect_first_ms is not from 1 to options.reconnect_last_ms");
    options = good;
    options.label_count = 1;
    cr_assert_eq(participant_connect(ADDRESS, &options, &participant, &error), MUSTER_INVALID);
    cr_assert_str_eq(error.text, "options.labels is NULL, and label_count is 1");
    participant_free(NULL);
    fixture_free(duo.fixture);
}

/* ---- turns ---- */

FIXTURE_TEST(participant, turns)
{
    struct duo duo = duo_new();
    for (uint64_t turn = 1; turn <= 3; turn++)
        expect_turn(&duo, 1 + turn, turn);
    cr_assert_eq(consume(&duo), MUSTER_TIMEOUT);
    cr_assert_null(duo.instruction);
    expect_turn(&duo, 5, 4);
    duo_free(&duo);
}

FIXTURE_TEST(participant, answers_of_every_kind)
{
    static const enum muster_kind kinds[] = {MUSTER_EVALUATE, MUSTER_APPLICATION, MUSTER_FAILURE,
                                             MUSTER_UNKNOWN};
    struct duo duo = duo_new();
    for (size_t i = 0; i < 4; i++) {
        instruct(&duo, i + 1);
        cr_assert_eq(dispatch(&duo, kinds[i]), MUSTER_OK);
        expect_answer(&duo, i + 2, i + 1, kinds[i]);
    }
    duo_free(&duo);
}

FIXTURE_TEST(participant, first_message_is_to_be_empty)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo_connect(&duo, &options);
    cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_INVALID);
    cr_assert_eq(duo.peer->count, 1, "nothing was sent");
    cr_assert_eq(dispatch(&duo, MUSTER_EMPTY), MUSTER_OK);
    expect_answer(&duo, 1, 0, MUSTER_EMPTY);
    cr_assert_eq(dispatch(&duo, MUSTER_EMPTY), MUSTER_INVALID, "there is nothing to answer");
    cr_assert_eq(duo.peer->count, 2);
    duo_free(&duo);
}

FIXTURE_TEST(participant, consume_passes_an_initiative_that_was_forgotten)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo_connect(&duo, &options);
    cr_assert_eq(participant_consume(duo.participant, 0, &duo.instruction, NULL), MUSTER_TIMEOUT);
    cr_assert_eq(participant_consume(duo.participant, 0, &duo.instruction, NULL), MUSTER_TIMEOUT);
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->count, 2, "Hello, and the initiative once");
    expect_answer(&duo, 1, 0, MUSTER_EMPTY);
    cr_assert_eq(dispatch(&duo, MUSTER_EMPTY), MUSTER_INVALID, "there is nothing to answer");
    instruct(&duo, 1);
    duo_free(&duo);
}

FIXTURE_TEST(participant, consume_passes_no_initiative_once_it_is_closed)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo_connect(&duo, &options);
    participant_close(duo.participant);
    cr_assert_eq(participant_consume(duo.participant, 0, &duo.instruction, NULL), MUSTER_CLOSED);
    cr_assert_eq(duo.peer->count, 1, "Hello");
    duo_free(&duo);
}

FIXTURE_TEST(participant, consume_passes_no_initiative_where_the_connection_broke)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo_connect(&duo, &options);
    muster_fixture_fail_send(duo.fixture->network, 1);
    cr_assert_eq(participant_consume(duo.participant, 0, &duo.instruction, NULL), MUSTER_TIMEOUT);
    cr_assert_null(duo.instruction);
    cr_assert_eq(consume(&duo), MUSTER_GONE);
    duo_free(&duo);
}

FIXTURE_TEST(participant, consume_tells_the_end_that_the_initiative_runs_into)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo_connect(&duo, &options);
    peer_close(duo.peer, MUSTER_OK, "the server is stopping");
    cr_assert_eq(participant_consume(duo.participant, 0, &duo.instruction, NULL), MUSTER_TIMEOUT);
    expect_over(&duo, MUSTER_STOPPED, "the server is stopping");
    duo_free(&duo);
}

FIXTURE_TEST(participant, dispatch_without_or_after_an_answer)
{
    struct duo duo = duo_new();
    cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_INVALID);
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN));
    fixture_settle(duo.fixture);
    cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_INVALID, "it was not consumed yet");
    cr_assert_eq(consume(&duo), MUSTER_OK);
    cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_INVALID);
    expect_answer(&duo, 2, 1, MUSTER_TRAIN);
    duo_free(&duo);
}

FIXTURE_TEST(participant, answers_that_make_no_sense_can_be_replaced)
{
    struct duo duo = duo_new();
    struct muster_array array = {.dtype = MUSTER_FLOAT32, .dimensions = 9};
    struct muster_message message = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
    instruct(&duo, 1);
    cr_assert_eq(participant_dispatch(duo.participant, &message, NULL), MUSTER_INVALID);
    cr_assert_eq(dispatch(&duo, MUSTER_RECONNECT), MUSTER_INVALID);
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->count, 2);
    cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    expect_answer(&duo, 2, 1, MUSTER_TRAIN);
    duo_free(&duo);
}

static void takes_little(struct peer *peer, const struct received *received)
{
    Muster__Welcome welcome = MUSTER__WELCOME__INIT;
    welcome.name = "ada";
    welcome.max_message_size = 1024;
    if (received->content == CONTENT_HELLO)
        peer_send_buffer(peer, 0, muster__encode_welcome(&welcome));
}

FIXTURE_TEST(participant, answer_over_the_servers_limit)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    char data[1024] = "";
    struct muster_message message = {.kind = MUSTER_APPLICATION, .data = data, .size = sizeof(data)};
    duo.fixture->react = takes_little;
    duo_connect(&duo, &options);
    dispatch(&duo, MUSTER_EMPTY);
    instruct(&duo, 1);
    cr_assert_eq(participant_dispatch(duo.participant, &message, NULL), MUSTER_TOO_BIG);
    cr_assert_eq(dispatch(&duo, MUSTER_FAILURE), MUSTER_OK);
    expect_answer(&duo, 2, 1, MUSTER_FAILURE);
    duo_free(&duo);
}

/* What the program does not look at, the server is told. */
FIXTURE_TEST(participant, answer_that_makes_no_sense_is_a_failure)
{
    struct duo duo = duo_new();
    const struct muster_scalar scalars[] = {{"loss", 1}, {"loss", 2}};
    const struct muster_message message = {.kind = MUSTER_TRAIN, .scalars = scalars, .scalar_count = 2};
    instruct(&duo, 1);
    cr_assert_eq(participant_dispatch(duo.participant, &message, NULL), MUSTER_INVALID);
    cr_assert_eq(consume(&duo), MUSTER_TIMEOUT);
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->count, 3);
    cr_assert_eq(duo.peer->messages[2].message.kind, MUSTER_FAILURE);
    cr_assert_str_eq(duo.peer->messages[2].message.text,
                     "its answer was not sent: the scalar 'loss' is there twice");
    expect_turn(&duo, 3, 2);
    instruct(&duo, 3);
    cr_assert_eq(consume(&duo), MUSTER_TIMEOUT);
    fixture_settle(duo.fixture);
    expect_answer(&duo, 4, 3, MUSTER_UNKNOWN);
    duo_free(&duo);
}

FIXTURE_TEST(participant, instruction_that_is_passed_over)
{
    struct duo duo = duo_new();
    instruct(&duo, 1);
    cr_assert_eq(consume(&duo), MUSTER_TIMEOUT);
    fixture_settle(duo.fixture);
    expect_answer(&duo, 2, 1, MUSTER_UNKNOWN);
    cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_INVALID);
    cr_assert_eq(consume(&duo), MUSTER_TIMEOUT);
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->count, 3, "once");
    expect_turn(&duo, 3, 2);
    duo_free(&duo);
}

FIXTURE_TEST(participant, second_welcome_is_ignored)
{
    struct duo duo = duo_new();
    Muster__Welcome welcome = MUSTER__WELCOME__INIT;
    welcome.name = "bob";
    welcome.rank = 8;
    welcome.max_message_size = 1;
    peer_send_buffer(duo.peer, 0, muster__encode_welcome(&welcome));
    fixture_settle(duo.fixture);
    cr_assert_str_eq(participant_name(duo.participant), "ada");
    cr_assert_eq(participant_rank(duo.participant), 7);
    expect_turn(&duo, 2, 1);
    duo_free(&duo);
}

FIXTURE_TEST(participant, empty_instruction_is_ignored)
{
    struct duo duo = duo_new();
    peer_send_bytes(duo.peer, NULL, 0);
    cr_assert_eq(consume(&duo), MUSTER_TIMEOUT);
    expect_turn(&duo, 2, 1);
    duo_free(&duo);
}

/* ---- instructions that were given up ---- */

FIXTURE_TEST(participant, cancelled_while_it_works)
{
    struct duo duo = duo_new();
    instruct(&duo, 1);
    cr_assert_not(participant_cancelled(duo.participant));
    cancel(&duo, 1);
    cr_assert(participant_cancelled(duo.participant));
    cr_assert_eq(participant_report_progress(duo.participant, 0.5, NULL), MUSTER_CANCELLED);
    cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_CANCELLED);
    cr_assert_eq(duo.peer->count, 2, "the answer was dropped");
    cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_INVALID);
    expect_turn(&duo, 2, 2);
    duo_free(&duo);
}

FIXTURE_TEST(participant, cancelled_and_passed_over)
{
    struct duo duo = duo_new();
    instruct(&duo, 1);
    cancel(&duo, 1);
    cr_assert_eq(consume(&duo), MUSTER_TIMEOUT);
    cr_assert_not(participant_cancelled(duo.participant));
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->count, 2, "nobody waits for an answer");
    expect_turn(&duo, 2, 2);
    duo_free(&duo);
}

FIXTURE_TEST(participant, cancelled_before_it_was_consumed)
{
    struct duo duo = duo_new();
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN));
    cancel(&duo, 1);
    cr_assert_eq(consume(&duo), MUSTER_TIMEOUT);
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->count, 2);
    expect_turn(&duo, 2, 2);
    duo_free(&duo);
}

FIXTURE_TEST(participant, cancel_of_another_turn)
{
    struct duo duo = duo_new();
    expect_turn(&duo, 2, 1);
    cancel(&duo, 1); /* it met the answer */
    instruct(&duo, 2);
    cancel(&duo, 1);
    cancel(&duo, 3);
    cr_assert_not(participant_cancelled(duo.participant));
    cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    expect_answer(&duo, 3, 2, MUSTER_TRAIN);
    duo_free(&duo);
}

FIXTURE_TEST(participant, cancel_of_another_turn_than_the_unconsumed_one)
{
    struct duo duo = duo_new();
    peer_send(duo.peer, 2, sample(MUSTER_TRAIN));
    cancel(&duo, 1);
    cr_assert_eq(consume(&duo), MUSTER_OK);
    cr_assert_not(participant_cancelled(duo.participant));
    cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    expect_answer(&duo, 2, 2, MUSTER_TRAIN);
    duo_free(&duo);
}

FIXTURE_TEST(participant, superseded_before_it_was_consumed)
{
    struct duo duo = duo_new();
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN));
    peer_send(duo.peer, 2, sample(MUSTER_EVALUATE));
    cr_assert_eq(consume(&duo), MUSTER_OK);
    cr_assert(is_sample(duo.instruction, MUSTER_EVALUATE));
    cr_assert_eq(dispatch(&duo, MUSTER_EVALUATE), MUSTER_OK);
    expect_answer(&duo, 2, 2, MUSTER_EVALUATE);
    duo_free(&duo);
}

FIXTURE_TEST(participant, superseded_while_it_works)
{
    struct duo duo = duo_new();
    instruct(&duo, 1);
    peer_send(duo.peer, 2, sample(MUSTER_TRAIN));
    fixture_settle(duo.fixture);
    cr_assert(is_sample(duo.instruction, MUSTER_TRAIN), "it stays until the next consume");
    cr_assert(participant_cancelled(duo.participant));
    cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_CANCELLED);
    cr_assert_eq(consume(&duo), MUSTER_OK);
    cr_assert_not(participant_cancelled(duo.participant));
    cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    expect_answer(&duo, 2, 2, MUSTER_TRAIN);
    duo_free(&duo);
}

/* ---- progress ---- */

FIXTURE_TEST(participant, progress_is_reported_now_and_then)
{
    struct duo duo = duo_new();
    cr_assert_eq(participant_report_progress(duo.participant, 0.5, NULL), MUSTER_INVALID);
    instruct(&duo, 1);
    cr_assert_eq(participant_report_progress(duo.participant, 0.125, NULL), MUSTER_OK);
    cr_assert_eq(participant_report_progress(duo.participant, 0.25, NULL), MUSTER_OK);
    fixture_advance(duo.fixture, 99);
    cr_assert_eq(participant_report_progress(duo.participant, 0.375, NULL), MUSTER_OK);
    fixture_advance(duo.fixture, 1);
    cr_assert_eq(participant_report_progress(duo.participant, 0.5, NULL), MUSTER_OK);
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->count, 4);
    for (size_t i = 2; i < 4; i++) {
        cr_assert_eq(duo.peer->messages[i].content, CONTENT_PROGRESS);
        cr_assert_eq(duo.peer->messages[i].turn, 1);
    }
    cr_assert_eq(duo.peer->messages[2].progress, 0.125);
    cr_assert_eq(duo.peer->messages[3].progress, 0.5);
    cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    cr_assert_eq(participant_report_progress(duo.participant, 1, NULL), MUSTER_INVALID);
    duo_free(&duo);
}

FIXTURE_TEST(participant, progress_is_a_fraction)
{
    struct duo duo = duo_new();
    instruct(&duo, 1);
    cr_assert_eq(participant_report_progress(duo.participant, -0.01, NULL), MUSTER_INVALID);
    cr_assert_eq(participant_report_progress(duo.participant, 1.01, NULL), MUSTER_INVALID);
    cr_assert_eq(participant_report_progress(duo.participant, NAN, NULL), MUSTER_INVALID);
    cr_assert_eq(participant_report_progress(duo.participant, 1, NULL), MUSTER_OK);
    duo_free(&duo);
}

/* ---- the end ---- */

FIXTURE_TEST(participant, server_says_good_bye)
{
    struct duo duo = duo_new();
    peer_close(duo.peer, MUSTER_OK, "the server is stopping");
    expect_over(&duo, MUSTER_STOPPED, "the server is stopping");
    duo_free(&duo);
}

FIXTURE_TEST(participant, server_says_good_bye_while_it_works)
{
    struct duo duo = duo_new();
    instruct(&duo, 1);
    peer_close(duo.peer, MUSTER_OK, "good-bye");
    fixture_settle(duo.fixture);
    cr_assert(participant_cancelled(duo.participant));
    cr_assert(is_sample(duo.instruction, MUSTER_TRAIN), "it stays until the next consume");
    cr_assert_eq(participant_report_progress(duo.participant, 0.5, NULL), MUSTER_STOPPED);
    cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_STOPPED);
    expect_over(&duo, MUSTER_STOPPED, "good-bye");
    duo_free(&duo);
}

FIXTURE_TEST(participant, instruction_before_the_good_bye_is_not_seen)
{
    struct duo duo = duo_new();
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN));
    peer_close(duo.peer, MUSTER_OK, "good-bye");
    expect_over(&duo, MUSTER_STOPPED, "good-bye");
    duo_free(&duo);
}

FIXTURE_TEST(participant, connection_breaks)
{
    struct duo duo = duo_new();
    cr_assert(muster_fixture_drop(duo.fixture->network, 0));
    expect_over(&duo, MUSTER_GONE, "the connection broke");
    duo_free(&duo);
}

FIXTURE_TEST(participant, answer_finds_the_connection_broken)
{
    struct duo duo = duo_new();
    instruct(&duo, 1);
    muster_fixture_fail_send(duo.fixture->network, 1);
    cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_GONE);
    expect_over(&duo, MUSTER_GONE, "the connection broke");
    duo_free(&duo);
}

FIXTURE_TEST(participant, initiative_finds_the_connection_broken)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo_connect(&duo, &options);
    muster_fixture_fail_send(duo.fixture->network, 1);
    cr_assert_eq(participant_dispatch(duo.participant, sample(MUSTER_EMPTY), NULL), MUSTER_GONE);
    expect_over(&duo, MUSTER_GONE, "the connection broke");
    duo_free(&duo);
}

FIXTURE_TEST(participant, server_ends_it_with_a_reason)
{
    static const enum muster_status statuses[] = {MUSTER_PROTOCOL, MUSTER_REFUSED, MUSTER_UNAUTHENTICATED,
                                                  MUSTER_OUT_OF_MEMORY};
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        struct duo duo = duo_new();
        peer_close(duo.peer, statuses[i], "because");
        expect_over(&duo, statuses[i], "because");
        duo_free(&duo);
    }
}

FIXTURE_TEST(participant, end_without_a_word_has_a_reason)
{
    struct duo duo = duo_new();
    peer_close(duo.peer, MUSTER_OK, "");
    expect_over(&duo, MUSTER_STOPPED, muster_status_text(MUSTER_STOPPED));
    duo_free(&duo);
}

FIXTURE_TEST(participant, reason_is_harmless)
{
    struct duo duo = duo_new();
    peer_close(duo.peer, MUSTER_REFUSED, "no\nwell\x1b[31m");
    expect_over(&duo, MUSTER_REFUSED, "no?well?[31m");
    duo_free(&duo);
}

/* TIMEOUT from consume means "call again": it cannot be what a stream ended with. */
FIXTURE_TEST(participant, initiative_that_came_too_late)
{
    struct participant_manager_options manager_options = fixture_options();
    manager_options.join_timeout_ms = 1000;
    struct duo duo = {.fixture = fixture_new(&manager_options)};
    struct participant_options options = ada_options();
    fixture_pump(duo.fixture);
    cr_assert_eq(participant_connect(ADDRESS, &options, &duo.participant, NULL), MUSTER_OK);
    fixture_unpump(duo.fixture);
    fixture_advance(duo.fixture, 1000);
    expect_over(&duo, MUSTER_GONE, "initiative");
    duo_free(&duo);
}

static void expect_malformed(const void *bytes, size_t size, const char *text)
{
    struct duo duo = duo_new();
    peer_send_bytes(duo.peer, bytes, size);
    cr_assert(muster_fixture_step(duo.fixture->network));
    cr_assert_str_eq(participant_reason(duo.participant), "", "the stream has not ended yet");
    expect_over(&duo, MUSTER_PROTOCOL, text);
    cr_assert(duo.peer->closed);
    duo_free(&duo);
}

FIXTURE_TEST(participant, messages_that_are_none)
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

FIXTURE_TEST(participant, instruction_over_its_limit)
{
    struct duo duo = duo_with(take_little);
    uint8_t bytes[1025] = {0};
    peer_send_bytes(duo.peer, bytes, sizeof(bytes));
    expect_over(&duo, MUSTER_TOO_BIG, "limit");
    duo_free(&duo);
}

/* ---- closing ---- */

FIXTURE_TEST(participant, close_sends_what_was_dispatched)
{
    struct duo duo = duo_new();
    instruct(&duo, 1);
    muster_fixture_delay(duo.fixture->network, 10);
    cr_assert_eq(participant_dispatch(duo.participant, sample(MUSTER_TRAIN), NULL), MUSTER_OK);
    participant_close(duo.participant);
    participant_close(duo.participant);
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->count, 2);
    fixture_advance(duo.fixture, 10);
    expect_answer(&duo, 2, 1, MUSTER_TRAIN);
    cr_assert(duo.peer->closed);
    cr_assert_eq(duo.peer->status, MUSTER_CLOSED);
    expect_over(&duo, MUSTER_CLOSED, "participant_close()");
    participant_close(duo.participant);
    duo_free(&duo);
}

FIXTURE_TEST(participant, after_close_nothing_is_taken_or_given)
{
    struct duo duo = duo_new();
    instruct(&duo, 1);
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

FIXTURE_TEST(participant, instruction_before_close_is_not_seen)
{
    struct duo duo = duo_new();
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN));
    fixture_settle(duo.fixture);
    participant_close(duo.participant);
    cr_assert_eq(participant_consume(duo.participant, 0, &duo.instruction, NULL), MUSTER_CLOSED);
    cr_assert_null(duo.instruction);
    duo_free(&duo);
}

FIXTURE_TEST(participant, close_after_the_end_changes_nothing)
{
    struct duo duo = duo_new();
    peer_close(duo.peer, MUSTER_OK, "good-bye");
    fixture_settle(duo.fixture);
    participant_close(duo.participant);
    expect_over(&duo, MUSTER_STOPPED, "good-bye");
    duo_free(&duo);
}

static void *free_participant(void *participant)
{
    participant_free(participant);
    return NULL;
}

FIXTURE_TEST(participant, free_waits_for_the_last_answer)
{
    struct duo duo = duo_new();
    pthread_t thread;
    instruct(&duo, 1);
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
    expect_answer(&duo, 2, 1, MUSTER_TRAIN);
    fixture_free(duo.fixture);
}

FIXTURE_TEST(participant, free_cuts_what_does_not_end)
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

/* ---- blocked in consume ---- */

static void start_consuming(struct duo *duo, struct call *call)
{
    *duo = duo_new();
    fixture_pump(duo->fixture);
    call_consume(call, duo->participant);
    muster_fixture_wait_alarm(duo->fixture->network, 1000);
}

static void free_blocking(struct duo *duo)
{
    participant_free(duo->participant);
    fixture_free(duo->fixture);
}

FIXTURE_TEST(participant, consume_is_woken_by_an_instruction)
{
    struct duo duo;
    struct call call;
    start_consuming(&duo, &call);
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN));
    cr_assert_eq(call_join(&call), MUSTER_OK);
    cr_assert(is_sample(call.instruction, MUSTER_TRAIN));
    free_blocking(&duo);
}

FIXTURE_TEST(participant, consume_is_woken_by_its_limit)
{
    struct duo duo;
    struct call call;
    start_consuming(&duo, &call);
    muster_fixture_advance(duo.fixture->network, 1000);
    cr_assert_eq(call_join(&call), MUSTER_TIMEOUT);
    cr_assert_null(call.instruction);
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN));
    call_consume(&call, duo.participant);
    cr_assert_eq(call_join(&call), MUSTER_OK);
    free_blocking(&duo);
}

FIXTURE_TEST(participant, consume_is_woken_by_close)
{
    struct duo duo;
    struct call call;
    start_consuming(&duo, &call);
    participant_close(duo.participant);
    cr_assert_eq(call_join(&call), MUSTER_CLOSED);
    cr_assert_null(call.instruction);
    free_blocking(&duo);
}

FIXTURE_TEST(participant, close_on_a_cut_cable_wakes_consume)
{
    struct duo duo;
    struct call call;
    start_consuming(&duo, &call);
    muster_fixture_lose(duo.fixture->network, true);
    participant_close(duo.participant);
    cr_assert_eq(call_join(&call), MUSTER_CLOSED);
    muster_fixture_lose(duo.fixture->network, false);
    muster_fixture_drop(duo.fixture->network, 0);
    free_blocking(&duo);
}

FIXTURE_TEST(participant, consume_is_woken_by_a_stopping_server)
{
    struct duo duo;
    struct call call;
    start_consuming(&duo, &call);
    peer_close(duo.peer, MUSTER_OK, "the server is stopping");
    cr_assert_eq(call_join(&call), MUSTER_STOPPED);
    free_blocking(&duo);
}

FIXTURE_TEST(participant, consume_is_woken_by_a_broken_connection)
{
    struct duo duo;
    struct call call;
    start_consuming(&duo, &call);
    peer_cut(duo.peer);
    cr_assert_eq(call_join(&call), MUSTER_GONE);
    free_blocking(&duo);
}

/* ---- coming back ---- */

static void ask_to_come_back(struct duo *duo, int32_t seconds)
{
    struct muster_message message = {.kind = MUSTER_RECONNECT, .reconnect_seconds = seconds};
    peer_send(duo->peer, 0, &message);
    peer_close(duo->peer, MUSTER_OK, "come back later");
    fixture_settle(duo->fixture);
}

/* Steps until it is back: `count` streams were there by then. */
static void expect_back(struct duo *duo, size_t count)
{
    cr_assert_eq(duo->fixture->peer_count, count);
    duo->peer = duo->fixture->peers;
    cr_assert_eq(duo->peer->count, 2);
    cr_assert_eq(duo->peer->messages[0].content, CONTENT_HELLO);
    cr_assert_str_eq(duo->peer->messages[0].name, "ada");
    cr_assert_eq(duo->peer->messages[1].content, CONTENT_MESSAGE);
    cr_assert_eq(duo->peer->messages[1].message.kind, MUSTER_EMPTY);
}

/* To a server of the original protocol, Hello has passed the initiative. */
static void expect_back_at_original(struct duo *duo, size_t count)
{
    cr_assert_eq(duo->fixture->peer_count, count);
    duo->peer = duo->fixture->peers;
    cr_assert_eq(duo->peer->count, 1, "an empty message would be an answer");
    cr_assert_eq(duo->peer->messages[0].content, CONTENT_HELLO);
}

FIXTURE_TEST(participant, comes_back_when_told)
{
    struct duo duo = duo_new();
    expect_turn(&duo, 2, 1);
    ask_to_come_back(&duo, 30);
    cr_assert_eq(consume(&duo), MUSTER_TIMEOUT, "it is not the end");
    fixture_advance(duo.fixture, 29999);
    cr_assert_eq(duo.fixture->peer_count, 1);
    cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_INVALID);
    fixture_advance(duo.fixture, 1);
    expect_back(&duo, 2);
    cr_assert_eq(consume(&duo), MUSTER_TIMEOUT);
    expect_turn(&duo, 2, 1);
    cr_assert_str_eq(participant_reason(duo.participant), "");
    duo_free(&duo);
}

FIXTURE_TEST(participant, comes_back_at_once)
{
    struct duo duo = duo_new();
    ask_to_come_back(&duo, 0);
    expect_back(&duo, 2);
    expect_turn(&duo, 2, 1);
    ask_to_come_back(&duo, -5);
    expect_back(&duo, 3);
    expect_turn(&duo, 2, 1);
    duo_free(&duo);
}

FIXTURE_TEST(participant, comes_back_again_and_again)
{
    struct duo duo = duo_new();
    for (size_t i = 0; i < 5; i++) {
        ask_to_come_back(&duo, 1);
        fixture_advance(duo.fixture, 1000);
        expect_back(&duo, i + 2);
        expect_turn(&duo, 2, 1);
    }
    duo_free(&duo);
}

FIXTURE_TEST(participant, comes_back_while_consume_blocks)
{
    struct duo duo;
    struct call call;
    start_consuming(&duo, &call);
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
    expect_answer(&duo, 2, 1, MUSTER_TRAIN);
    free_blocking(&duo);
}

FIXTURE_TEST(participant, comes_back_while_it_works)
{
    struct duo duo = duo_new();
    instruct(&duo, 1);
    ask_to_come_back(&duo, 1);
    cr_assert(participant_cancelled(duo.participant));
    fixture_advance(duo.fixture, 1000);
    expect_back(&duo, 2);
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN)); /* the same number, another session */
    fixture_settle(duo.fixture);
    cr_assert_eq(participant_report_progress(duo.participant, 0.5, NULL), MUSTER_CANCELLED);
    cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_CANCELLED);
    cr_assert_eq(consume(&duo), MUSTER_OK);
    cr_assert_not(participant_cancelled(duo.participant));
    cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    expect_answer(&duo, 2, 1, MUSTER_TRAIN);
    duo_free(&duo);
}

FIXTURE_TEST(participant, instruction_before_the_request_to_come_back_is_not_seen)
{
    struct duo duo = duo_new();
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN));
    ask_to_come_back(&duo, 1);
    cr_assert_eq(consume(&duo), MUSTER_TIMEOUT);
    fixture_advance(duo.fixture, 1000);
    expect_back(&duo, 2);
    duo_free(&duo);
}

FIXTURE_TEST(participant, initiative_while_it_is_away)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo_connect(&duo, &options);
    ask_to_come_back(&duo, 1);
    cr_assert_eq(dispatch(&duo, MUSTER_EMPTY), MUSTER_OK);
    fixture_advance(duo.fixture, 1000);
    expect_back(&duo, 2);
    expect_turn(&duo, 2, 1);
    duo_free(&duo);
}

FIXTURE_TEST(participant, initiative_while_it_leaves)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo_connect(&duo, &options);
    struct muster_message message = {.kind = MUSTER_RECONNECT, .reconnect_seconds = 1};
    peer_send(duo.peer, 0, &message);
    cr_assert(muster_fixture_step(duo.fixture->network)); /* it knows, and its stream has not ended yet */
    cr_assert_eq(dispatch(&duo, MUSTER_EMPTY), MUSTER_OK);
    fixture_advance(duo.fixture, 1000);
    expect_back(&duo, 2);
    duo_free(&duo);
}

FIXTURE_TEST(participant, instruction_after_the_request_to_come_back_is_not_seen)
{
    struct duo duo = duo_new();
    struct muster_message message = {.kind = MUSTER_RECONNECT, .reconnect_seconds = 1};
    peer_send(duo.peer, 0, &message);
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN));
    cr_assert_eq(consume(&duo), MUSTER_TIMEOUT);
    fixture_advance(duo.fixture, 1000);
    expect_back(&duo, 2);
    duo_free(&duo);
}

FIXTURE_TEST(participant, server_that_does_not_end_the_stream_after_asking)
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

FIXTURE_TEST(participant, stream_that_does_not_end_after_asking_is_cut)
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
    expect_back(&duo, 2);
    duo_free(&duo);
}

static void does_not_reconnect(struct participant_options *options)
{
    options->reconnect_timeout_ms = 0;
}

static void tries_for_a_second(struct participant_options *options)
{
    options->reconnect_timeout_ms = 1000;
    options->reconnect_last_ms = 100;
}

FIXTURE_TEST(participant, nobody_is_there_when_it_comes_back)
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
        ask_to_come_back(&duo, 1);
        duo.fixture->network->ops->close_listener(duo.fixture->listener);
        fixture_settle(duo.fixture);
        duo.fixture->network->ops->free_listener(duo.fixture->listener);
        duo.fixture->listener = NULL;
        fixture_advance(duo.fixture, 1000);
        cr_assert_eq(consume(&duo), MUSTER_TIMEOUT);
        fixture_advance(duo.fixture, cases[i].limit_ms - 1);
        cr_assert_eq(consume(&duo), MUSTER_TIMEOUT);
        fixture_advance(duo.fixture, 1);
        expect_over(&duo, cases[i].status, cases[i].text);
        duo_free(&duo);
    }
}

/* Asks it to come back in a second, and then refuses it. */
static void ask_and_refuse(struct duo *duo)
{
    muster_fixture_refuse(duo->fixture->network, true);
    ask_to_come_back(duo, 1);
    fixture_advance(duo->fixture, 1000);
}

FIXTURE_TEST(participant, comes_back_when_the_first_attempts_break)
{
    struct duo duo = duo_new();
    ask_and_refuse(&duo);
    fixture_advance(duo.fixture, 599999);
    cr_assert_eq(consume(&duo), MUSTER_TIMEOUT);
    cr_assert_eq(duo.fixture->peer_count, 1);
    muster_fixture_refuse(duo.fixture->network, false);
    fixture_advance(duo.fixture, 1);
    expect_over(&duo, MUSTER_GONE, "within 600000 ms");
    duo_free(&duo);

    duo = duo_new();
    ask_and_refuse(&duo);
    fixture_advance(duo.fixture, 590000);
    muster_fixture_refuse(duo.fixture->network, false);
    fixture_advance(duo.fixture, 9999);
    expect_back(&duo, 2);
    expect_turn(&duo, 2, 1);
    /* There is no session: as before, a connection that breaks is the end. */
    peer_cut(duo.peer);
    expect_over(&duo, MUSTER_GONE, "");
    duo_free(&duo);
}

FIXTURE_TEST(participant, attempt_breaks_without_time_to_reconnect)
{
    struct duo duo = duo_with(does_not_reconnect);
    ask_and_refuse(&duo);
    fixture_advance(duo.fixture, 59999);
    cr_assert_eq(consume(&duo), MUSTER_TIMEOUT);
    fixture_advance(duo.fixture, 1);
    expect_over(&duo, MUSTER_UNAVAILABLE, "within 60000 ms: refused");
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

FIXTURE_TEST(participant, asked_again_while_it_comes_back)
{
    struct duo duo = duo_with(tries_for_a_second);
    ask_and_refuse(&duo);
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
    expect_back(&duo, 3);
    expect_turn(&duo, 2, 1);
    duo_free(&duo);
}

FIXTURE_TEST(participant, initiative_waits_for_welcome)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo_connect(&duo, &options);
    ask_to_come_back(&duo, 1);
    duo.fixture->react = NULL; /* no Welcome */
    fixture_advance(duo.fixture, 1000);
    cr_assert_eq(duo.fixture->peer_count, 2);
    cr_assert_eq(dispatch(&duo, MUSTER_EMPTY), MUSTER_OK);
    cr_assert_eq(duo.fixture->peers->count, 1, "the server may be one of the original protocol");
    peer_send_welcome(duo.fixture->peers, "ada");
    fixture_settle(duo.fixture);
    expect_back(&duo, 2);
    expect_turn(&duo, 2, 1);
    duo_free(&duo);
}

FIXTURE_TEST(participant, refused_when_it_comes_back)
{
    struct duo duo = duo_new();
    ask_to_come_back(&duo, 1);
    duo.fixture->react = refuses;
    fixture_advance(duo.fixture, 1000);
    expect_over(&duo, MUSTER_REFUSED, "not on Sundays");
    duo_free(&duo);
}

/* ---- what is tried again, and what is told meanwhile ---- */

struct ending {
    enum muster_status status;
    const char *text;
};

/* The first stream ends so; those after it are welcome. */
static void ends_first(struct peer *peer, const struct received *received)
{
    const struct ending *ending = peer->fixture->data;
    if (received->content == CONTENT_HELLO && peer->number == 0)
        peer_close(peer, ending->status, ending->text);
    else
        welcomes(peer, received);
}

static void always_ends(struct peer *peer, const struct received *received)
{
    const struct ending *ending = peer->fixture->data;
    if (received->content == CONTENT_HELLO)
        peer_close(peer, ending->status, ending->text);
}

/* A proxy, a load balancer or the server itself may be starting, and a name may soon be free. */
FIXTURE_TEST(participant, ends_that_pass_are_tried_again_before_the_first_welcome)
{
    static const struct ending endings[] = {
        {MUSTER_UNAVAILABLE, "upstream connect error"},
        {MUSTER_CANCELLED, "RST_STREAM"},
        {MUSTER_TIMEOUT, "gateway timeout"},
        {MUSTER_EXISTS, "the name 'ada' is away, kept for 43 s more"},
    };
    for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
        struct duo duo = duo_empty();
        struct participant_options options = ada_options();
        struct call call;
        options.reconnect_timeout_ms = 0; /* has no part in this */
        duo.fixture->react = ends_first;
        duo.fixture->data = (void *)(uintptr_t)&endings[i];
        fixture_pump(duo.fixture);
        call_connect(&call, duo.fixture, &options);
        muster_fixture_wait_alarm(duo.fixture->network, options.reconnect_first_ms);
        muster_fixture_advance(duo.fixture->network, options.reconnect_first_ms);
        cr_assert_eq(call_join(&call), MUSTER_OK, "%s", call.error.text);
        fixture_unpump(duo.fixture);
        duo.participant = call.participant;
        duo_free(&duo);
    }
}

FIXTURE_TEST(participant, ends_that_do_not_pass_have_their_last_cause_in_the_text)
{
    static const struct ending endings[] = {
        {MUSTER_UNAVAILABLE, "upstream connect error"},
        {MUSTER_EXISTS, "the name 'ada' is away, kept for 43 s more"},
    };
    for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
        struct duo duo = duo_empty();
        struct participant_options options = ada_options();
        struct call call;
        duo.fixture->react = always_ends;
        duo.fixture->data = (void *)(uintptr_t)&endings[i];
        fixture_pump(duo.fixture);
        call_connect(&call, duo.fixture, &options);
        muster_fixture_wait_alarm(duo.fixture->network, options.reconnect_first_ms);
        muster_fixture_advance(duo.fixture->network, 60000);
        cr_assert_eq(call_join(&call), endings[i].status);
        cr_assert_not_null(strstr(call.error.text, "within 60000 ms: "), "%s", call.error.text);
        cr_assert_not_null(strstr(call.error.text, endings[i].text), "%s", call.error.text);
        fixture_free(duo.fixture);
    }
}

FIXTURE_TEST(participant, words_of_the_server_are_final_at_first)
{
    static const struct ending endings[] = {
        {MUSTER_UNAUTHENTICATED, "the token is not the server's"},
        {MUSTER_EXISTS, "the name 'ada' is in use: choose another, or try again in 50 s if its bearer died"},
        {MUSTER_FULL, "the server is full"},
        {MUSTER_UNSUPPORTED, "no such method"},
    };
    for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
        struct duo duo = duo_empty();
        struct participant_options options = ada_options();
        struct muster_error error;
        duo.fixture->react = always_ends;
        duo.fixture->data = (void *)(uintptr_t)&endings[i];
        fixture_pump(duo.fixture);
        cr_assert_eq(participant_connect(ADDRESS, &options, &duo.participant, &error), endings[i].status);
        cr_assert_str_eq(error.text, endings[i].text);
        fixture_free(duo.fixture);
    }
}

/* A certificate runs out, and is replaced. */
FIXTURE_TEST(participant, unauthenticated_is_tried_again_by_one_that_comes_back)
{
    static const struct ending ending = {MUSTER_UNAUTHENTICATED, "the certificate has expired"};
    struct duo duo = duo_new();
    ask_to_come_back(&duo, 1);
    duo.fixture->react = always_ends;
    duo.fixture->data = (void *)(uintptr_t)&ending;
    fixture_advance(duo.fixture, 1000);
    fixture_advance(duo.fixture, 300000);
    cr_assert_eq(consume(&duo), MUSTER_TIMEOUT);
    duo.fixture->react = welcomes;
    size_t attempts = duo.fixture->peer_count;
    fixture_advance(duo.fixture, 10000);
    expect_back(&duo, attempts + 1);
    expect_turn(&duo, 2, 1);

    ask_to_come_back(&duo, 1);
    duo.fixture->react = always_ends;
    fixture_advance(duo.fixture, 1000);
    fixture_advance(duo.fixture, 600000);
    expect_over(&duo, MUSTER_UNAUTHENTICATED, "within 600000 ms: the certificate has expired");
    duo_free(&duo);
}

struct words {
    sem_t said;
    size_t count;
    char last[MUSTER_ERROR_TEXT_SIZE];
};

static void take_word(void *context, const char *text)
{
    struct words *words = context;
    words->count++;
    snprintf(words->last, sizeof(words->last), "%s", text);
    sem_post(&words->said);
}

FIXTURE_TEST(participant, a_word_now_and_then_while_it_waits)
{
    struct words words = {.count = 0};
    struct duo duo = duo_empty();
    sem_init(&words.said, 0, 0);
    struct participant_options options = ada_options();
    options.on_warning = take_word;
    options.context = &words;
    options.reconnect_timeout_ms = MUSTER_NO_LIMIT;
    duo_connect(&duo, &options);
    cr_assert_eq(participant_dispatch(duo.participant, sample(MUSTER_EMPTY), NULL), MUSTER_OK);
    fixture_settle(duo.fixture);
    cr_assert_eq(words.count, 0);

    ask_and_refuse(&duo);
    for (size_t i = 0; i < 19; i++)
        fixture_advance(duo.fixture, 100);
    cr_assert_eq(words.count, 0, "%s", words.last);
    for (size_t i = 0; i < 11; i++)
        fixture_advance(duo.fixture, 100);
    cr_assert_eq(words.count, 1);
    cr_assert_not_null(strstr(words.last, ADDRESS), "%s", words.last);
    cr_assert_not_null(strstr(words.last, "refused"), "%s", words.last);
    for (size_t i = 0; i < 600; i++)
        fixture_advance(duo.fixture, 1000); /* ten minutes, some hundred attempts */
    cr_assert_leq(words.count, 10);
    cr_assert_geq(words.count, 4);

    /* Another cause is told early, though not at once. */
    static const struct ending ending = {MUSTER_FULL, "there are\nenough\x1b[31m"};
    size_t before = words.count;
    duo.fixture->react = always_ends;
    duo.fixture->data = (void *)(uintptr_t)&ending;
    muster_fixture_refuse(duo.fixture->network, false);
    for (size_t i = 0; i < 300; i++)
        fixture_advance(duo.fixture, 1000);
    cr_assert_geq(words.count, before + 1);
    cr_assert_not_null(strstr(words.last, "there are?enough?[31m"), "%s", words.last);
    duo_free(&duo);
    sem_destroy(&words.said);
}

/* A server that takes the connection and says nothing, or a network that loses everything. */
FIXTURE_TEST(participant, a_word_while_nothing_happens)
{
    struct words words = {.count = 0};
    struct fixture *fixture = fixture_new_empty();
    sem_init(&words.said, 0, 0);
    struct participant_options options = ada_options();
    struct call call;
    options.on_warning = take_word;
    options.context = &words;
    fixture_pump(fixture);
    call_connect(&call, fixture, &options);
    muster_fixture_wait_alarm(fixture->network, 2000);
    muster_fixture_advance(fixture->network, 2000);
    sem_wait(&words.said);
    muster_fixture_advance(fixture->network, 58000);
    cr_assert_eq(call_join(&call), MUSTER_UNAVAILABLE);
    cr_assert_not_null(strstr(call.error.text, "nobody listens there"), "%s", call.error.text);
    cr_assert_not_null(strstr(words.last, "nobody listens there"), "%s", words.last);
    fixture_free(fixture);
    sem_destroy(&words.said);
}

FIXTURE_TEST(participant, close_while_it_is_away)
{
    struct duo duo = duo_new();
    ask_to_come_back(&duo, 1);
    participant_close(duo.participant);
    expect_over(&duo, MUSTER_CLOSED, "participant_close()");
    fixture_advance(duo.fixture, 2000);
    cr_assert_eq(duo.fixture->peer_count, 1);
    duo_free(&duo);
}

FIXTURE_TEST(participant, free_while_it_is_away)
{
    struct duo duo = duo_new();
    ask_to_come_back(&duo, 1);
    participant_free(duo.participant);
    fixture_advance(duo.fixture, 2000);
    cr_assert_eq(duo.fixture->peer_count, 1);
    fixture_free(duo.fixture);
}

FIXTURE_TEST(participant, close_while_it_comes_back)
{
    struct duo duo = duo_new();
    ask_to_come_back(&duo, 1);
    duo.fixture->react = NULL; /* no Welcome */
    fixture_advance(duo.fixture, 1000);
    cr_assert_eq(consume(&duo), MUSTER_TIMEOUT);
    participant_close(duo.participant);
    expect_over(&duo, MUSTER_CLOSED, "participant_close()");
    duo_free(&duo);
}

FIXTURE_TEST(participant, close_while_it_leaves)
{
    struct duo duo = duo_new();
    struct muster_message message = {.kind = MUSTER_RECONNECT, .reconnect_seconds = 1};
    muster_fixture_delay(duo.fixture->network, 10);
    peer_send(duo.peer, 0, &message);
    muster_fixture_lose(duo.fixture->network, true);
    fixture_advance(duo.fixture, 10);
    participant_close(duo.participant);
    cr_assert_eq(consume(&duo), MUSTER_CLOSED);
    muster_fixture_lose(duo.fixture->network, false);
    muster_fixture_drop(duo.fixture->network, 0);
    expect_over(&duo, MUSTER_CLOSED, "participant_close()");
    fixture_advance(duo.fixture, 10000);
    cr_assert_eq(duo.fixture->peer_count, 1);
    duo_free(&duo);
}

static void deliver_reconnect(struct participant_options *options)
{
    options->deliver_reconnect = true;
}

FIXTURE_TEST(participant, request_to_come_back_is_shown_on_demand)
{
    struct duo duo = duo_with(deliver_reconnect);
    ask_to_come_back(&duo, 30);
    cr_assert_eq(consume(&duo), MUSTER_OK);
    cr_assert(is_sample(duo.instruction, MUSTER_RECONNECT));
    expect_over(&duo, MUSTER_STOPPED, "come back later");
    fixture_advance(duo.fixture, 60000);
    cr_assert_eq(duo.fixture->peer_count, 1, "it is not obeyed");
    duo_free(&duo);
}

FIXTURE_TEST(participant, request_to_come_back_needs_no_answer)
{
    struct duo duo = duo_with(deliver_reconnect);
    peer_send(duo.peer, 0, sample(MUSTER_RECONNECT));
    cr_assert_eq(consume(&duo), MUSTER_OK);
    cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_INVALID);
    cr_assert_eq(consume(&duo), MUSTER_TIMEOUT);
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->count, 2, "none is sent for it");
    duo_free(&duo);
}

static void reconnects_at_once(struct peer *peer, const struct received *received)
{
    struct muster_message message = {.kind = MUSTER_RECONNECT, .reconnect_seconds = 0};
    if (peer->number == 0) {
        peer_send(peer, 0, &message); /* in place of Welcome */
        peer_close(peer, MUSTER_OK, "come back later");
    } else {
        welcomes(peer, received);
    }
}

FIXTURE_TEST(participant, told_to_come_back_in_place_of_a_welcome)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo.fixture->react = reconnects_at_once;
    duo_connect(&duo, &options);
    duo.peer = fixture_wait_peer(duo.fixture, 2);
    dispatch(&duo, MUSTER_EMPTY);
    expect_back(&duo, 2);
    expect_turn(&duo, 2, 1);
    duo_free(&duo);
}

static void reconnects_always(struct peer *peer, const struct received *received)
{
    struct muster_message message = {.kind = MUSTER_RECONNECT, .reconnect_seconds = 0};
    (void)received;
    peer_send(peer, 0, &message);
    peer_close(peer, MUSTER_OK, "come back later");
}

FIXTURE_TEST(participant, told_to_come_back_at_once_without_end)
{
    struct duo duo = duo_new();
    duo.fixture->react = reconnects_always;
    ask_to_come_back(&duo, 0);
    for (int64_t ms = 0; ms < 60000; ms += 50)
        fixture_advance(duo.fixture, 50);
    cr_assert_gt(duo.fixture->peer_count, 3);
    cr_assert_lt(duo.fixture->peer_count, 100);
    duo_free(&duo);
}

/* The same, and then nobody takes it. */
static void reconnects_and_refuses(struct peer *peer, const struct received *received)
{
    reconnects_at_once(peer, received);
    if (peer->number == 0)
        muster_fixture_refuse(peer->fixture->network, true);
}

/* It has been asked to come back before it was admitted, and its first attempt is over. */
static void start_connecting(struct duo *duo, struct call *call)
{
    *duo = duo_empty();
    struct participant_options options = ada_options();
    tries_for_a_second(&options);
    duo->fixture->react = reconnects_and_refuses;
    fixture_pump(duo->fixture);
    call_connect(call, duo->fixture, &options);
    muster_fixture_wait_alarm(duo->fixture->network, options.reconnect_first_ms);
}

FIXTURE_TEST(participant, attempts_break_before_it_is_admitted)
{
    struct duo duo;
    struct call call;
    start_connecting(&duo, &call);
    muster_fixture_refuse(duo.fixture->network, false);
    muster_fixture_advance(duo.fixture->network, 100);
    cr_assert_eq(call_join(&call), MUSTER_OK);
    duo.participant = call.participant;
    fixture_unpump(duo.fixture);
    dispatch(&duo, MUSTER_EMPTY);
    expect_back(&duo, 2);
    expect_turn(&duo, 2, 1);
    duo_free(&duo);
}

FIXTURE_TEST(participant, attempts_before_it_is_admitted_end_with_the_time_to_connect)
{
    struct duo duo;
    struct call call;
    start_connecting(&duo, &call);
    muster_fixture_advance(duo.fixture->network, 59999);
    muster_fixture_advance(duo.fixture->network, 1);
    cr_assert_eq(call_join(&call), MUSTER_UNAVAILABLE);
    cr_assert(strstr(call.error.text, "not admitted by " ADDRESS " within 60000 ms") != NULL, "%s",
              call.error.text);
    fixture_free(duo.fixture);
}

/* C-core has one code for a full server and for a message that is too big. */
FIXTURE_TEST(participant, full_server_is_tried_again)
{
    static const enum muster_status statuses[] = {MUSTER_FULL, MUSTER_TOO_BIG};
    for (size_t i = 0; i < 2; i++) {
        struct duo duo = duo_new();
        ask_and_refuse(&duo);
        muster_fixture_refuse(duo.fixture->network, false);
        duo.fixture->react = NULL;
        fixture_advance(duo.fixture, 1000);
        duo.peer = fixture_wait_peer(duo.fixture, 2);
        duo.fixture->react = welcomes;
        peer_close(duo.peer, statuses[i], "full");
        fixture_advance(duo.fixture, 1000);
        cr_assert_str_eq(participant_reason(duo.participant), "");
        duo_free(&duo);
    }
}

/* What was wrong with a stream that ends anyway is of no interest to the next one. */
FIXTURE_TEST(participant, garbage_behind_a_request_to_come_back)
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

/* ---- servers of the original protocol ---- */

static void instructs_at_once(struct peer *peer, const struct received *received)
{
    if (received->content == CONTENT_HELLO) /* which is an empty message to it */
        peer_send(peer, 0, sample(MUSTER_TRAIN));
}

FIXTURE_TEST(participant, server_of_the_original_protocol)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo.fixture->react = instructs_at_once;
    duo_connect(&duo, &options);
    cr_assert_str_eq(participant_name(duo.participant), "");
    cr_assert_eq(dispatch(&duo, MUSTER_EMPTY), MUSTER_OK);
    cr_assert_eq(duo.peer->count, 1, "Hello was its initiative");
    cr_assert_eq(consume(&duo), MUSTER_OK);
    cr_assert_eq(participant_report_progress(duo.participant, 0.5, NULL), MUSTER_OK);
    cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    expect_answer(&duo, 1, 0, MUSTER_TRAIN);
    instruct(&duo, 0);
    cr_assert_eq(dispatch(&duo, MUSTER_UNKNOWN), MUSTER_OK);
    expect_answer(&duo, 2, 0, MUSTER_UNKNOWN);
    duo_free(&duo);
}

FIXTURE_TEST(participant, comes_back_to_a_server_of_the_original_protocol)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo.fixture->react = instructs_at_once;
    duo_connect(&duo, &options);
    dispatch(&duo, MUSTER_EMPTY);
    ask_and_refuse(&duo);
    fixture_advance(duo.fixture, 5000);
    muster_fixture_refuse(duo.fixture->network, false);
    fixture_advance(duo.fixture, 10000);
    expect_back_at_original(&duo, 2);
    cr_assert_eq(consume(&duo), MUSTER_OK);
    cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    expect_answer(&duo, 1, 0, MUSTER_TRAIN);
    peer_cut(duo.peer);
    expect_over(&duo, MUSTER_GONE, "");
    duo_free(&duo);
}

static void welcomes_with_session(struct peer *peer, const struct received *received)
{
    uint8_t token[16] = {1};
    Muster__Welcome welcome = MUSTER__WELCOME__INIT;
    welcome.name = "ada";
    welcome.session = (ProtobufCBinaryData){sizeof(token), token};
    if (received->content == CONTENT_HELLO)
        peer_send_buffer(peer, 0, muster__encode_welcome(&welcome));
}

static void welcomes_with_chunks(struct peer *peer, const struct received *received)
{
    if (received->content == CONTENT_HELLO)
        peer_send_welcome_chunks(peer, "ada", (uint64_t)64 << 30);
}

/* Another server at the same address, which knows nothing of sessions: with it, the old one is over. */
FIXTURE_TEST(participant, server_of_the_original_protocol_takes_over)
{
    for (size_t i = 0; i < 2; i++) {
        struct duo duo = duo_empty();
        struct participant_options options = ada_options();
        duo.fixture->react = welcomes_with_session;
        duo_connect(&duo, &options);
        dispatch(&duo, MUSTER_EMPTY);
        instruct(&duo, 1);
        duo.fixture->react = instructs_at_once;
        if (i == 0)
            ask_to_come_back(&duo, 1);
        else
            peer_cut(duo.peer);
        fixture_settle(duo.fixture);
        fixture_advance(duo.fixture, 1000);
        expect_back_at_original(&duo, 2);
        cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_CANCELLED);
        cr_assert_eq(consume(&duo), MUSTER_OK);
        cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
        expect_answer(&duo, 1, 0, MUSTER_TRAIN);
        peer_cut(duo.peer);
        expect_over(&duo, MUSTER_GONE, "");
        duo_free(&duo);
    }
}

/* It takes no chunks, however big what it is sent. */
FIXTURE_TEST(participant, server_of_the_original_protocol_gets_big_answers_whole)
{
    static const float zeros[1 << 20];
    const struct muster_array array = {MUSTER_FLOAT32, 1, {1 << 20}, zeros};
    const struct muster_message answer = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo.fixture->react = welcomes_with_chunks;
    duo_connect(&duo, &options);
    dispatch(&duo, MUSTER_EMPTY);
    duo.fixture->react = instructs_at_once;
    ask_to_come_back(&duo, 1);
    fixture_advance(duo.fixture, 1000);
    expect_back_at_original(&duo, 2);
    cr_assert_eq(consume(&duo), MUSTER_OK);
    cr_assert_eq(participant_dispatch(duo.participant, &answer, NULL), MUSTER_OK);
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->messages[1].announced, 0);
    duo_free(&duo);
}

/* And the other way round: what only one of today's understands is said again. */
FIXTURE_TEST(participant, server_of_the_original_protocol_gives_way)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo.fixture->react = instructs_at_once;
    duo_connect(&duo, &options);
    dispatch(&duo, MUSTER_EMPTY);
    cr_assert_eq(consume(&duo), MUSTER_OK);
    duo.fixture->react = welcomes_with_session;
    ask_to_come_back(&duo, 1);
    fixture_advance(duo.fixture, 1000);
    expect_back(&duo, 2);
    instruct(&duo, 1);
    cr_assert_eq(participant_report_progress(duo.participant, 0.5, NULL), MUSTER_OK);
    fixture_settle(duo.fixture);
    cr_assert_eq(duo.peer->messages[2].content, CONTENT_PROGRESS);
    cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    expect_answer(&duo, 3, 1, MUSTER_TRAIN);
    duo_free(&duo);
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
    cr_assert_eq(dispatch(duo, MUSTER_EMPTY), MUSTER_OK);
}

FIXTURE_TEST(participant, on_ready_does_all_the_work)
{
    struct readiness readiness = {0};
    struct duo duo;
    duo_with_readiness(&duo, &readiness);
    for (uint64_t turn = 1; turn <= 3; turn++) {
        peer_send(duo.peer, turn, sample(MUSTER_TRAIN));
        fixture_settle(duo.fixture);
        cr_assert_eq(readiness.consumed, turn);
        cr_assert_eq(readiness.last, MUSTER_TIMEOUT);
        expect_answer(&duo, 1 + turn, turn, MUSTER_TRAIN);
    }
    peer_close(duo.peer, MUSTER_OK, "good-bye");
    fixture_settle(duo.fixture);
    cr_assert_eq(readiness.called, 4);
    cr_assert_eq(readiness.last, MUSTER_STOPPED);
    duo_free(&duo);
}

FIXTURE_TEST(participant, on_ready_closes)
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

FIXTURE_TEST(participant, on_ready_is_not_told_of_coming_back)
{
    struct readiness readiness = {0};
    struct duo duo;
    duo_with_readiness(&duo, &readiness);
    ask_to_come_back(&duo, 1);
    fixture_advance(duo.fixture, 1000);
    expect_back(&duo, 2);
    cr_assert_eq(readiness.called, 0, "consume would block");
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN));
    fixture_settle(duo.fixture);
    cr_assert_eq(readiness.consumed, 1);
    expect_answer(&duo, 2, 1, MUSTER_TRAIN);
    duo_free(&duo);
}

/* ---- for event loops ---- */

static bool is_readable(struct duo *duo)
{
    struct pollfd polled = {.fd = participant_descriptor(duo->participant, NULL), .events = POLLIN};
    cr_assert_geq(polled.fd, 0);
    fixture_settle(duo->fixture);
    return poll(&polled, 1, 0) == 1;
}

FIXTURE_TEST(participant, descriptor_is_readable_while_there_is_something)
{
    struct duo duo = duo_new();
    cr_assert_not(is_readable(&duo));
    for (uint64_t turn = 1; turn < 3; turn++) {
        peer_send(duo.peer, turn, sample(MUSTER_TRAIN));
        cr_assert(is_readable(&duo));
        cr_assert(is_readable(&duo), "nobody has consumed it");
        cr_assert_eq(consume(&duo), MUSTER_OK);
        cr_assert_not(is_readable(&duo));
        cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    }
    peer_send(duo.peer, 3, sample(MUSTER_TRAIN));
    cr_assert(is_readable(&duo));
    cancel(&duo, 3);
    cr_assert_not(is_readable(&duo), "it was given up before it was consumed");
    peer_close(duo.peer, MUSTER_OK, "the server is stopping");
    cr_assert(is_readable(&duo));
    cr_assert_eq(consume(&duo), MUSTER_STOPPED);
    cr_assert(is_readable(&duo), "for good");
    duo_free(&duo);
}

FIXTURE_TEST(participant, descriptor_of_one_that_polls_first)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo_connect(&duo, &options);
    cr_assert(is_readable(&duo), "the initiative is to be passed");
    cr_assert_eq(consume(&duo), MUSTER_TIMEOUT);
    cr_assert_not(is_readable(&duo));
    instruct(&duo, 1);
    duo_free(&duo);
}

FIXTURE_TEST(participant, descriptor_of_what_came_before_it)
{
    struct duo duo = duo_new();
    peer_send(duo.peer, 1, sample(MUSTER_TRAIN));
    fixture_settle(duo.fixture);
    cr_assert(is_readable(&duo));
    cr_assert_eq(consume(&duo), MUSTER_OK);
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

FIXTURE_TEST(participant, cancels_are_told)
{
    struct duo duo = duo_with(count_cancels);
    instruct(&duo, 1);
    cancel(&duo, 2);
    cr_assert_eq(cancels, 0);
    cancel(&duo, 1);
    cr_assert_eq(cancels, 1);
    cancel(&duo, 1);
    cr_assert_eq(cancels, 1);
    cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_CANCELLED);
    expect_turn(&duo, 2, 2);
    cancel(&duo, 2);
    cr_assert_eq(cancels, 1, "it was answered");
    instruct(&duo, 3);
    peer_close(duo.peer, MUSTER_OK, "the server is stopping");
    fixture_settle(duo.fixture);
    cr_assert_eq(cancels, 2, "nobody is left who would want an answer");
    duo_free(&duo);
}

FIXTURE_TEST(participant, a_newer_instruction_is_a_cancel)
{
    struct duo duo = duo_with(count_cancels);
    instruct(&duo, 1);
    peer_send(duo.peer, 2, sample(MUSTER_TRAIN));
    fixture_settle(duo.fixture);
    cr_assert_eq(cancels, 1);
    cr_assert_eq(consume(&duo), MUSTER_OK);
    cr_assert_eq(dispatch(&duo, MUSTER_TRAIN), MUSTER_OK);
    peer_send(duo.peer, 3, sample(MUSTER_TRAIN));
    fixture_settle(duo.fixture);
    cr_assert_eq(cancels, 1, "that was answered");
    duo_free(&duo);
}

/* ---- the end by participant_close() ---- */

static void note_ready(void *context, struct participant *participant)
{
    const struct muster_message *instruction;
    *(enum muster_status *)context = participant_consume(participant, 0, &instruction, NULL);
}

FIXTURE_TEST(participant, on_ready_is_told_of_a_close_while_it_is_away)
{
    enum muster_status last = MUSTER_OK;
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    options.on_ready = note_ready;
    options.context = &last;
    duo_connect(&duo, &options);
    cr_assert_eq(dispatch(&duo, MUSTER_EMPTY), MUSTER_OK);
    ask_to_come_back(&duo, 1);
    participant_close(duo.participant);
    fixture_settle(duo.fixture);
    cr_assert_eq(last, MUSTER_CLOSED);
    participant_free(duo.participant);
    fixture_free(duo.fixture);
}
