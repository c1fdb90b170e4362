/* Turns: every state of a proxy against everything that can happen in it. Single-threaded: each test steps
   the network itself. */
#include <config.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/internal.h"
#include "support/fixture.h"
#include "support/outcome.h"
#include "support/sample.h"
#include "wire/reader.h"

static const uint8_t garbage[] = {0xff, 0xff, 0xff, 0x07, 'x'};

/* A manager with one participant. */
struct pair {
    struct fixture *fixture;
    struct peer *peer;
    struct proxy *proxy;
    size_t welcomes; /* messages before the first instruction */
};

static struct pair pair_with(const struct participant_manager_options *options, const char *name)
{
    struct pair pair = {.fixture = fixture_new(options)};
    pair.peer = peer_join(pair.fixture, name);
    pair.proxy = fixture_proxy(pair.fixture, name ? name : "anonymous-0");
    pair.welcomes = pair.peer->count;
    return pair;
}

static struct pair pair_new(void)
{
    return pair_with(NULL, "ada");
}

static struct pair pair_original(void)
{
    return pair_with(NULL, NULL);
}

static void pair_free(struct pair *pair)
{
    fixture_free(pair->fixture);
}

static const struct received *last_received(const struct pair *pair)
{
    cr_assert_gt(pair->peer->count, 0);
    return &pair->peer->messages[pair->peer->count - 1];
}

/* Starts a turn and brings the instruction to the peer. */
static void start(struct pair *pair, enum muster_kind kind, struct outcome *outcome)
{
    size_t count = pair->peer->count;
    cr_assert_eq(start_turn(pair->proxy, kind, TURN_MS, outcome), MUSTER_OK);
    fixture_settle(pair->fixture);
    cr_assert_eq(pair->peer->count, count + 1);
    cr_assert(is_sample(&last_received(pair)->message, kind));
    cr_assert_eq(outcome->ended, 0);
}

static void answer(struct pair *pair, uint64_t turn, enum muster_kind kind)
{
    peer_send(pair->peer, turn, sample(kind));
    fixture_settle(pair->fixture);
}

/* The proof that the proxy is usable: a whole turn through it. */
static void expect_turn(struct pair *pair, uint64_t turn)
{
    struct outcome outcome;
    start(pair, MUSTER_TRAIN, &outcome);
    cr_assert_eq(last_received(pair)->turn, turn);
    answer(pair, turn, MUSTER_TRAIN);
    cr_assert(is_sample(&outcome.answer, MUSTER_TRAIN));
    cr_assert(ended_with(&outcome, MUSTER_OK));
}

/* The participant was told why, and the end of the stream was told of once. */
static void expect_ended(struct pair *pair, enum muster_status status, const char *text)
{
    cr_assert(pair->peer->closed);
    cr_assert_eq(pair->peer->status, status);
    cr_assert(strstr(pair->peer->text, text) != NULL, "%s", pair->peer->text);
    cr_assert_not(proxy_is_open(pair->proxy));
    cr_assert_eq(fixture_open_count(pair->fixture), 0);
    cr_assert(event_is(pair->fixture, 1, PARTICIPANT_MANAGER_LEFT, status, NULL));
    cr_assert_eq(pair->fixture->event_count, 2);
    struct outcome outcome;
    cr_assert_eq(start_turn(pair->proxy, MUSTER_TRAIN, TURN_MS, &outcome), status);
    cr_assert_eq(outcome.ended, 0);
}

/* ---- answers ---- */

static void expect_answer(enum muster_kind instruction, enum muster_kind kind, enum muster_status status)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    start(&pair, instruction, &outcome);
    cr_assert_eq(last_received(&pair)->turn, 1);
    answer(&pair, 1, kind);
    cr_assert(is_sample(&outcome.answer, kind));
    cr_assert(ended_with(&outcome, status));
    expect_turn(&pair, 2);
    pair_free(&pair);
}

FIXTURE_TEST(turn, train)
{
    expect_answer(MUSTER_TRAIN, MUSTER_TRAIN, MUSTER_OK);
}

FIXTURE_TEST(turn, evaluate)
{
    expect_answer(MUSTER_EVALUATE, MUSTER_EVALUATE, MUSTER_OK);
}

FIXTURE_TEST(turn, application)
{
    expect_answer(MUSTER_APPLICATION, MUSTER_APPLICATION, MUSTER_OK);
}

FIXTURE_TEST(turn, failure_carries_code_and_text)
{
    expect_answer(MUSTER_TRAIN, MUSTER_FAILURE, MUSTER_REFUSED);
}

FIXTURE_TEST(turn, unknown_instruction)
{
    expect_answer(MUSTER_EVALUATE, MUSTER_UNKNOWN, MUSTER_UNKNOWN_INSTRUCTION);
}

static void explain(void *context, struct proxy *proxy, enum muster_status status,
                    struct muster_message *answer)
{
    struct muster_error *error = context;
    proxy_explain(proxy, status, answer, error);
    muster_message_clear(answer);
}

FIXTURE_TEST(turn, asynchronous_turns_say_why)
{
    struct pair pair = pair_new();
    struct muster_error error;
    cr_assert_eq(proxy_run_async(pair.proxy, sample(MUSTER_TRAIN), TURN_MS, explain, &error, NULL),
                 MUSTER_OK);
    answer(&pair, 1, MUSTER_FAILURE);
    cr_assert_eq(error.status, MUSTER_REFUSED);
    cr_assert_str_eq(error.text, "ada: the disk is full");
    cr_assert_eq(proxy_run_async(pair.proxy, sample(MUSTER_TRAIN), TURN_MS, explain, &error, NULL),
                 MUSTER_OK);
    answer(&pair, 2, MUSTER_EVALUATE);
    cr_assert_eq(error.status, MUSTER_PROTOCOL);
    cr_assert_str_eq(error.text, "ada: the answer is of another kind than the instruction");
    pair_free(&pair);
}

FIXTURE_TEST(turn, turns_are_numbered)
{
    struct pair pair = pair_new();
    for (uint64_t turn = 1; turn <= 5; turn++)
        expect_turn(&pair, turn);
    pair_free(&pair);
}

FIXTURE_TEST(turn, answer_that_takes_its_time)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    muster_fixture_delay(pair.fixture->network, 100);
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, 200, &outcome), MUSTER_OK);
    fixture_advance(pair.fixture, 99);
    cr_assert_eq(pair.peer->count, 1);
    fixture_advance(pair.fixture, 1);
    cr_assert_eq(pair.peer->count, 2);
    peer_send(pair.peer, 1, sample(MUSTER_TRAIN));
    fixture_advance(pair.fixture, 99);
    cr_assert_eq(outcome.ended, 0);
    fixture_advance(pair.fixture, 1); /* arrives when the limit passes: the one that is first counts */
    cr_assert_eq(outcome.ended, 1);
    muster_message_clear(&outcome.answer);
    pair_free(&pair);
}

/* ---- time ---- */

FIXTURE_TEST(turn, limit_passes)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    start(&pair, MUSTER_TRAIN, &outcome);
    fixture_advance(pair.fixture, TURN_MS - 1);
    cr_assert_eq(outcome.ended, 0);
    fixture_advance(pair.fixture, 1);
    cr_assert(ended_with(&outcome, MUSTER_TIMEOUT));
    cr_assert_eq(outcome.answer.kind, MUSTER_EMPTY);
    cr_assert_eq(last_received(&pair)->content, CONTENT_CANCEL);
    cr_assert_eq(last_received(&pair)->turn, 1);
    fixture_advance(pair.fixture, 10 * TURN_MS);
    cr_assert(ended_with(&outcome, MUSTER_TIMEOUT), "once");
    cr_assert_eq(pair.peer->count, 3, "and told once");
    cr_assert(proxy_is_open(pair.proxy));
    expect_turn(&pair, 2);
    pair_free(&pair);
}

FIXTURE_TEST(turn, no_limit)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, MUSTER_NO_LIMIT, &outcome), MUSTER_OK);
    fixture_advance(pair.fixture, (int64_t)1 << 40);
    cr_assert_eq(outcome.ended, 0);
    answer(&pair, 1, MUSTER_TRAIN);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    pair_free(&pair);
}

FIXTURE_TEST(turn, limit_beyond_the_end_of_time)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    fixture_advance(pair.fixture, 1000);
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, INT64_MAX, &outcome), MUSTER_OK);
    fixture_settle(pair.fixture);
    cr_assert_eq(outcome.ended, 0);
    answer(&pair, 1, MUSTER_TRAIN);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    pair_free(&pair);
}

FIXTURE_TEST(turn, limit_of_nothing)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, 0, &outcome), MUSTER_OK);
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&outcome, MUSTER_TIMEOUT));
    pair_free(&pair);
}

FIXTURE_TEST(turn, limit_of_an_answered_turn_is_forgotten)
{
    struct pair pair = pair_new();
    struct outcome first;
    struct outcome second;
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, 100, &first), MUSTER_OK);
    fixture_advance(pair.fixture, 50);
    answer(&pair, 1, MUSTER_TRAIN);
    cr_assert(ended_with(&first, MUSTER_OK));
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, 100, &second), MUSTER_OK);
    fixture_advance(pair.fixture, 99);
    cr_assert_eq(second.ended, 0);
    fixture_advance(pair.fixture, 1);
    cr_assert(ended_with(&second, MUSTER_TIMEOUT));
    cr_assert(ended_with(&first, MUSTER_OK));
    pair_free(&pair);
}

FIXTURE_TEST(turn, lost_instruction_ends_by_its_limit)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    muster_fixture_lose(pair.fixture->network, true);
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_advance(pair.fixture, TURN_MS);
    cr_assert(ended_with(&outcome, MUSTER_TIMEOUT));
    muster_fixture_lose(pair.fixture->network, false);
    expect_turn(&pair, 2);
    pair_free(&pair);
}

FIXTURE_TEST(turn, lost_answer_ends_by_the_limit)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    start(&pair, MUSTER_TRAIN, &outcome);
    muster_fixture_lose(pair.fixture->network, true);
    answer(&pair, 1, MUSTER_TRAIN);
    cr_assert_eq(outcome.ended, 0);
    fixture_advance(pair.fixture, TURN_MS);
    cr_assert(ended_with(&outcome, MUSTER_TIMEOUT));
    pair_free(&pair);
}

/* ---- giving up ---- */

FIXTURE_TEST(turn, late_answer_is_dropped)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    start(&pair, MUSTER_TRAIN, &outcome);
    fixture_advance(pair.fixture, TURN_MS);
    cr_assert(ended_with(&outcome, MUSTER_TIMEOUT));
    answer(&pair, 1, MUSTER_TRAIN);
    cr_assert(ended_with(&outcome, MUSTER_TIMEOUT));
    cr_assert_not(pair.peer->closed);
    expect_turn(&pair, 2);
    pair_free(&pair);
}

FIXTURE_TEST(turn, late_answer_is_not_taken_for_the_next)
{
    struct pair pair = pair_new();
    struct outcome first;
    struct outcome second;
    start(&pair, MUSTER_TRAIN, &first);
    proxy_cancel(pair.proxy);
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&first, MUSTER_CANCELLED));
    start(&pair, MUSTER_TRAIN, &second);
    cr_assert_eq(last_received(&pair)->turn, 2);
    answer(&pair, 1, MUSTER_TRAIN);
    cr_assert_eq(second.ended, 0);
    cr_assert_not(pair.peer->closed);
    answer(&pair, 2, MUSTER_TRAIN);
    cr_assert(ended_with(&second, MUSTER_OK));
    pair_free(&pair);
}

FIXTURE_TEST(turn, late_failure_is_dropped_too)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    start(&pair, MUSTER_TRAIN, &outcome);
    proxy_cancel(pair.proxy);
    fixture_settle(pair.fixture);
    answer(&pair, 1, MUSTER_FAILURE);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED));
    expect_turn(&pair, 2);
    pair_free(&pair);
}

FIXTURE_TEST(turn, cancel_tells_the_participant)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    start(&pair, MUSTER_TRAIN, &outcome);
    proxy_cancel(pair.proxy);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED), "on this thread");
    fixture_settle(pair.fixture);
    cr_assert_eq(last_received(&pair)->content, CONTENT_CANCEL);
    cr_assert_eq(last_received(&pair)->turn, 1);
    fixture_advance(pair.fixture, 10 * TURN_MS);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED), "once");
    expect_turn(&pair, 2);
    pair_free(&pair);
}

FIXTURE_TEST(turn, cancel_without_a_turn_does_nothing)
{
    struct pair pair = pair_new();
    proxy_cancel(pair.proxy);
    fixture_settle(pair.fixture);
    cr_assert_eq(pair.peer->count, pair.welcomes);
    expect_turn(&pair, 1);
    proxy_cancel(pair.proxy);
    fixture_settle(pair.fixture);
    cr_assert_eq(pair.peer->count, pair.welcomes + 1);
    peer_cut(pair.peer);
    fixture_settle(pair.fixture);
    proxy_cancel(pair.proxy);
    pair_free(&pair);
}

FIXTURE_TEST(turn, answer_meets_the_cancel)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    start(&pair, MUSTER_TRAIN, &outcome);
    peer_send(pair.peer, 1, sample(MUSTER_TRAIN)); /* on its way */
    proxy_cancel(pair.proxy);
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED));
    cr_assert_not(pair.peer->closed);
    expect_turn(&pair, 2);
    pair_free(&pair);
}

/* ---- instructions that never left ---- */

/* A stream that keeps what it sends until it is sure of it, and gives it back when asked. */
static struct stream_ops keeping_ops;
static const struct stream_ops *real_ops;
static const struct buffer *kept;

static enum muster_status keep(struct stream *stream, const uint8_t *head, size_t head_size,
                               struct buffer *body)
{
    kept = body;
    return kept ? MUSTER_OK : real_ops->send(stream, head, head_size, body);
}

static bool give_back(struct stream *stream, const struct buffer *body)
{
    (void)stream;
    bool is_kept = body == kept;
    kept = NULL;
    return is_kept;
}

static void keep_what_is_sent(struct pair *pair)
{
    real_ops = pair->proxy->stream->ops;
    keeping_ops = *real_ops;
    keeping_ops.send = keep;
    keeping_ops.revoke = give_back;
    pair->proxy->stream->ops = &keeping_ops;
}

static void expect_taken_back(struct pair *pair, uint64_t next_turn)
{
    struct outcome outcome;
    keep_what_is_sent(pair);
    cr_assert_eq(start_turn(pair->proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_advance(pair->fixture, TURN_MS);
    cr_assert(ended_with(&outcome, MUSTER_TIMEOUT));
    cr_assert_null(kept, "no cancel follows");
    pair->proxy->stream->ops = real_ops;
    cr_assert_eq(pair->peer->count, pair->welcomes);
    expect_turn(pair, next_turn);
}

FIXTURE_TEST(turn, instruction_that_never_left_needs_no_cancel)
{
    struct pair pair = pair_new();
    expect_taken_back(&pair, 2);
    pair_free(&pair);
}

FIXTURE_TEST(turn, original_owes_no_answer_to_an_instruction_that_never_left)
{
    struct pair pair = pair_original();
    expect_taken_back(&pair, 0);
    pair_free(&pair);
}

/* ---- answers that nobody asked for ---- */

FIXTURE_TEST(turn, answer_before_any_instruction)
{
    struct pair pair = pair_new();
    answer(&pair, 1, MUSTER_TRAIN);
    expect_ended(&pair, MUSTER_PROTOCOL, "an answer without an instruction");
    pair_free(&pair);
}

FIXTURE_TEST(turn, second_answer)
{
    struct pair pair = pair_new();
    expect_turn(&pair, 1);
    answer(&pair, 1, MUSTER_TRAIN);
    expect_ended(&pair, MUSTER_PROTOCOL, "an answer without an instruction");
    pair_free(&pair);
}

FIXTURE_TEST(turn, second_answer_after_a_turn_that_was_given_up)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    start(&pair, MUSTER_TRAIN, &outcome);
    proxy_cancel(pair.proxy);
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED));
    expect_turn(&pair, 2);
    answer(&pair, 2, MUSTER_TRAIN);
    expect_ended(&pair, MUSTER_PROTOCOL, "an answer without an instruction");
    pair_free(&pair);
}

FIXTURE_TEST(turn, answer_of_a_future_turn)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    start(&pair, MUSTER_TRAIN, &outcome);
    answer(&pair, 2, MUSTER_TRAIN);
    cr_assert(ended_with(&outcome, MUSTER_PROTOCOL));
    expect_ended(&pair, MUSTER_PROTOCOL, "an answer without an instruction");
    pair_free(&pair);
}

FIXTURE_TEST(turn, answer_without_a_turn)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    start(&pair, MUSTER_TRAIN, &outcome);
    answer(&pair, 0, MUSTER_TRAIN);
    cr_assert(ended_with(&outcome, MUSTER_PROTOCOL));
    expect_ended(&pair, MUSTER_PROTOCOL, "an answer without an instruction");
    pair_free(&pair);
}

FIXTURE_TEST(turn, second_initiative)
{
    struct pair pair = pair_new();
    peer_send_empty(pair.peer);
    fixture_settle(pair.fixture);
    expect_ended(&pair, MUSTER_PROTOCOL, "an answer without an instruction");
    pair_free(&pair);
}

/* ---- answers that are none ---- */

static void expect_bad_bytes(const void *bytes, size_t size, const char *text)
{
    struct pair pair = pair_new();
    struct peer *other = peer_join(pair.fixture, "bob");
    struct outcome outcome;
    struct outcome others;
    start(&pair, MUSTER_TRAIN, &outcome);
    cr_assert_eq(start_turn(fixture_proxy(pair.fixture, "bob"), MUSTER_TRAIN, TURN_MS, &others), MUSTER_OK);
    peer_send_bytes(pair.peer, bytes, size);
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&outcome, MUSTER_PROTOCOL));
    cr_assert_eq(pair.peer->status, MUSTER_PROTOCOL);
    cr_assert(strstr(pair.peer->text, text) != NULL, "%s", pair.peer->text);
    cr_assert(event_is(pair.fixture, 2, PARTICIPANT_MANAGER_LEFT, MUSTER_PROTOCOL, "ada"));

    cr_assert_not(other->closed, "no effect on other participants");
    peer_send(other, 1, sample(MUSTER_TRAIN));
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&others, MUSTER_OK));
    pair_free(&pair);
}

FIXTURE_TEST(turn, garbage_for_an_answer)
{
    expect_bad_bytes(garbage, sizeof(garbage), "the bytes are no message");
}

FIXTURE_TEST(turn, more_fields_than_a_message_may_have)
{
    size_t size = 2 * (WIRE_FIELDS_MAX + 1);
    uint8_t *bytes = malloc(size);
    cr_assert_not_null(bytes);
    for (size_t i = 0; i < size; i += 2) {
        bytes[i] = 2 << 3; /* turn */
        bytes[i + 1] = 1;
    }
    expect_bad_bytes(bytes, size, "more than 65536 fields");
    free(bytes);
}

FIXTURE_TEST(turn, array_that_is_none)
{
    /* turn 1, result { theta { ndarray: "\x93NUMPZ" } } */
    static const uint8_t bytes[] = "\x10\x01\x0a\x0a\x0a\x08\x0a\x06\x93NUMPZ";
    expect_bad_bytes(bytes, sizeof(bytes) - 1, "array 0: ");
}

FIXTURE_TEST(turn, answer_of_another_kind)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    start(&pair, MUSTER_TRAIN, &outcome);
    answer(&pair, 1, MUSTER_EVALUATE);
    cr_assert(ended_with(&outcome, MUSTER_PROTOCOL));
    pair_free(&pair);
}

FIXTURE_TEST(turn, empty_answer)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    start(&pair, MUSTER_TRAIN, &outcome);
    peer_send_buffer(pair.peer, 1, NULL);
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&outcome, MUSTER_PROTOCOL));
    pair_free(&pair);
}

FIXTURE_TEST(turn, answer_over_the_limit)
{
    struct participant_manager_options options = fixture_options();
    options.max_message_size = 1024;
    struct pair pair = pair_with(&options, "ada");
    struct outcome outcome;
    uint8_t bytes[1025] = {0};
    start(&pair, MUSTER_TRAIN, &outcome);
    peer_send_bytes(pair.peer, bytes, sizeof(bytes));
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&outcome, MUSTER_TOO_BIG));
    expect_ended(&pair, MUSTER_TOO_BIG, "limit");
    pair_free(&pair);
}

/* ---- instructions that cannot be given ---- */

FIXTURE_TEST(turn, one_at_a_time)
{
    struct pair pair = pair_new();
    struct outcome first;
    struct outcome second;
    start(&pair, MUSTER_TRAIN, &first);
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, TURN_MS, &second), MUSTER_BUSY);
    fixture_settle(pair.fixture);
    cr_assert_eq(pair.peer->count, 2, "nothing was sent");
    answer(&pair, 1, MUSTER_TRAIN);
    cr_assert(ended_with(&first, MUSTER_OK));
    cr_assert_eq(second.ended, 0);
    expect_turn(&pair, 2);
    pair_free(&pair);
}

static enum muster_status try_payload(struct pair *pair, size_t size)
{
    char *data = calloc(1, size);
    struct muster_message message = {.kind = MUSTER_APPLICATION, .data = data, .size = size};
    struct outcome outcome = {0};
    enum muster_status status = start_message(pair->proxy, &message, TURN_MS, &outcome);
    free(data);
    return status;
}

FIXTURE_TEST(turn, instruction_over_the_limit)
{
    struct participant_manager_options options = fixture_options();
    options.max_message_size = 2048;
    struct pair pair = pair_with(&options, "ada");
    cr_assert_eq(try_payload(&pair, 2048), MUSTER_TOO_BIG);
    cr_assert_eq(try_payload(&pair, 2040), MUSTER_TOO_BIG);
    fixture_settle(pair.fixture);
    cr_assert_eq(pair.peer->count, pair.welcomes);
    expect_turn(&pair, 1);
    pair_free(&pair);
}

FIXTURE_TEST(turn, instruction_over_the_participants_own_limit)
{
    struct pair pair = {.fixture = fixture_new(NULL)};
    Muster__Hello hello = MUSTER__HELLO__INIT;
    hello.name = "ada";
    hello.max_message_size = 1024;
    pair.peer = peer_connect(pair.fixture);
    peer_send_buffer(pair.peer, 0, muster__encode_hello(NULL, &hello));
    peer_send_empty(pair.peer);
    fixture_settle(pair.fixture);
    pair.proxy = fixture_proxy(pair.fixture, "ada");
    cr_assert_eq(try_payload(&pair, 1024), MUSTER_TOO_BIG);
    expect_turn(&pair, 1);
    pair_free(&pair);
}

FIXTURE_TEST(turn, messages_that_are_no_instruction)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    static const enum muster_kind kinds[] = {MUSTER_EMPTY, MUSTER_FAILURE, MUSTER_UNKNOWN, MUSTER_RECONNECT};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        cr_assert_eq(start_turn(pair.proxy, kinds[i], TURN_MS, &outcome), MUSTER_INVALID);
    struct muster_array array = {.dtype = (enum muster_dtype)9, .data = "x"};
    struct muster_message message = {.kind = MUSTER_TRAIN, .arrays = &array, .array_count = 1};
    cr_assert_eq(start_message(pair.proxy, &message, TURN_MS, &outcome), MUSTER_INVALID);
    cr_assert_eq(proxy_run_async(pair.proxy, sample(MUSTER_TRAIN), TURN_MS, NULL, NULL, NULL),
                 MUSTER_INVALID);
    fixture_settle(pair.fixture);
    cr_assert_eq(pair.peer->count, pair.welcomes);
    expect_turn(&pair, 1);
    pair_free(&pair);
}

FIXTURE_TEST(turn, send_that_fails)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    muster_fixture_fail_send(pair.fixture->network, 1);
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_GONE);
    fixture_settle(pair.fixture);
    cr_assert_eq(outcome.ended, 0);
    cr_assert(event_is(pair.fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_GONE, "ada"));
    pair_free(&pair);
}

FIXTURE_TEST(turn, cancel_that_cannot_be_sent)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    start(&pair, MUSTER_TRAIN, &outcome);
    muster_fixture_fail_send(pair.fixture->network, 1);
    proxy_cancel(pair.proxy);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED));
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED));
    cr_assert(event_is(pair.fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_GONE, "ada"));
    pair_free(&pair);
}

/* ---- participants of the original protocol ---- */

FIXTURE_TEST(turn, original_trains)
{
    struct pair pair = pair_original();
    expect_turn(&pair, 0);
    expect_turn(&pair, 0);
    pair_free(&pair);
}

FIXTURE_TEST(turn, original_knows_nothing_but_train)
{
    struct pair pair = pair_original();
    struct outcome outcome;
    cr_assert_eq(start_turn(pair.proxy, MUSTER_EVALUATE, TURN_MS, &outcome), MUSTER_UNKNOWN_INSTRUCTION);
    cr_assert_eq(start_turn(pair.proxy, MUSTER_APPLICATION, TURN_MS, &outcome), MUSTER_UNKNOWN_INSTRUCTION);
    fixture_settle(pair.fixture);
    cr_assert_eq(pair.peer->count, 0, "not a byte was sent");
    cr_assert_eq(outcome.ended, 0);
    expect_turn(&pair, 0);
    pair_free(&pair);
}

FIXTURE_TEST(turn, original_does_not_know_train_either)
{
    struct pair pair = pair_original();
    struct outcome outcome;
    start(&pair, MUSTER_TRAIN, &outcome);
    answer(&pair, 0, MUSTER_UNKNOWN);
    cr_assert(ended_with(&outcome, MUSTER_UNKNOWN_INSTRUCTION));
    expect_turn(&pair, 0);
    pair_free(&pair);
}

/* Two turns are given up; the answers to them are still owed and come before that to the third. */
FIXTURE_TEST(turn, original_owes_answers_in_order)
{
    struct pair pair = pair_original();
    struct outcome first;
    struct outcome second;
    struct outcome third;
    start(&pair, MUSTER_TRAIN, &first);
    fixture_advance(pair.fixture, TURN_MS);
    cr_assert(ended_with(&first, MUSTER_TIMEOUT));
    start(&pair, MUSTER_TRAIN, &second);
    proxy_cancel(pair.proxy);
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&second, MUSTER_CANCELLED));
    cr_assert_eq(pair.peer->count, 2, "it would not know a cancel");

    answer(&pair, 0, MUSTER_TRAIN); /* to the first */
    start(&pair, MUSTER_TRAIN, &third);
    answer(&pair, 0, MUSTER_UNKNOWN); /* to the second */
    cr_assert_eq(third.ended, 0);
    answer(&pair, 0, MUSTER_TRAIN);
    cr_assert(ended_with(&third, MUSTER_OK));
    cr_assert(ended_with(&first, MUSTER_TIMEOUT));
    cr_assert(ended_with(&second, MUSTER_CANCELLED));
    expect_turn(&pair, 0);
    pair_free(&pair);
}

FIXTURE_TEST(turn, original_answers_once_too_often)
{
    struct pair pair = pair_original();
    struct outcome outcome;
    start(&pair, MUSTER_TRAIN, &outcome);
    proxy_cancel(pair.proxy);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED));
    answer(&pair, 0, MUSTER_TRAIN);
    cr_assert_not(pair.peer->closed);
    answer(&pair, 0, MUSTER_TRAIN);
    expect_ended(&pair, MUSTER_PROTOCOL, "an answer without an instruction");
    pair_free(&pair);
}

FIXTURE_TEST(turn, original_with_a_turn_number)
{
    struct pair pair = pair_original();
    struct outcome outcome;
    start(&pair, MUSTER_TRAIN, &outcome);
    answer(&pair, 1, MUSTER_TRAIN);
    cr_assert(ended_with(&outcome, MUSTER_PROTOCOL));
    expect_ended(&pair, MUSTER_PROTOCOL, "an answer without an instruction");
    pair_free(&pair);
}

FIXTURE_TEST(turn, original_leaves_owing)
{
    struct pair pair = pair_original();
    struct outcome outcome;
    start(&pair, MUSTER_TRAIN, &outcome);
    proxy_cancel(pair.proxy);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED));
    peer_close(pair.peer, MUSTER_OK, "");
    fixture_settle(pair.fixture);
    cr_assert(event_is(pair.fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_GONE, NULL));
    pair_free(&pair);
}

/* ---- progress ---- */

FIXTURE_TEST(turn, progress_is_told)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    start(&pair, MUSTER_TRAIN, &outcome);
    peer_send_buffer(pair.peer, 1, muster__encode_progress(0.25));
    peer_send_buffer(pair.peer, 1, muster__encode_progress(0.5));
    fixture_settle(pair.fixture);
    cr_assert_eq(proxy_progress(pair.proxy), 0.5);
    cr_assert_eq(pair.fixture->event_count, 3);
    cr_assert(event_is(pair.fixture, 0, PARTICIPANT_MANAGER_JOINED, MUSTER_OK, "ada"));
    cr_assert(event_is(pair.fixture, 1, PARTICIPANT_MANAGER_PROGRESS, MUSTER_OK, "ada"));
    cr_assert_eq(pair.fixture->events[1].progress, 0.25);
    cr_assert(event_is(pair.fixture, 2, PARTICIPANT_MANAGER_PROGRESS, MUSTER_OK, "ada"));
    cr_assert_eq(pair.fixture->events[2].progress, 0.5);
    cr_assert_eq(outcome.ended, 0);
    answer(&pair, 1, MUSTER_TRAIN);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    start(&pair, MUSTER_TRAIN, &outcome);
    cr_assert_eq(proxy_progress(pair.proxy), 0, "it is that of the running turn");
    proxy_cancel(pair.proxy);
    pair_free(&pair);
}

/* Of a thousand reports, as many are read at once as are worth it. A Cancel gets through meanwhile, and the
   answer behind them comes. */
FIXTURE_TEST(turn, reports_without_end_are_read_now_and_then)
{
    for (size_t given_up = 0; given_up < 2; given_up++) {
        struct pair pair = pair_new();
        struct outcome outcome;
        cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
        for (size_t i = 1; i <= 1000; i++)
            peer_send_buffer(pair.peer, 1, muster__encode_progress((double)i / 1000));
        peer_send(pair.peer, 1, &(const struct muster_message){.kind = MUSTER_TRAIN});
        fixture_settle(pair.fixture);
        cr_assert_eq(proxy_progress(pair.proxy), 0.064);
        fixture_advance(pair.fixture, 49);
        cr_assert_eq(proxy_progress(pair.proxy), 0.064);
        fixture_advance(pair.fixture, 1);
        cr_assert_eq(proxy_progress(pair.proxy), 0.128);
        if (given_up) {
            proxy_cancel(pair.proxy);
            fixture_settle(pair.fixture);
            cr_assert_eq(pair.peer->messages[pair.peer->count - 1].content, CONTENT_CANCEL);
        }
        for (size_t i = 0; i < 1000 / 64; i++)
            fixture_advance(pair.fixture, 50);
        cr_assert(ended_with(&outcome, given_up ? MUSTER_CANCELLED : MUSTER_OK));
        pair_free(&pair);
    }
}

/* The same of answers to a turn that is over. */
FIXTURE_TEST(turn, late_answers_without_end_are_read_now_and_then)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    start(&pair, MUSTER_TRAIN, &outcome);
    proxy_cancel(pair.proxy);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED));
    fixture_settle(pair.fixture);
    start(&pair, MUSTER_TRAIN, &outcome);
    for (size_t i = 0; i < 128; i++)
        peer_send(pair.peer, 1, sample(MUSTER_TRAIN));
    peer_send(pair.peer, 2, sample(MUSTER_TRAIN));
    fixture_settle(pair.fixture);
    fixture_advance(pair.fixture, 50);
    cr_assert_eq(outcome.ended, 0);
    fixture_advance(pair.fixture, 50);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    pair_free(&pair);
}

FIXTURE_TEST(turn, progress_of_other_turns_is_ignored)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    peer_send_buffer(pair.peer, 0, muster__encode_progress(0.1));
    expect_turn(&pair, 1);
    peer_send_buffer(pair.peer, 1, muster__encode_progress(0.2));
    fixture_settle(pair.fixture);
    cr_assert_eq(pair.fixture->event_count, 1);
    start(&pair, MUSTER_TRAIN, &outcome);
    peer_send_buffer(pair.peer, 1, muster__encode_progress(0.3));
    peer_send_buffer(pair.peer, 3, muster__encode_progress(0.4));
    fixture_settle(pair.fixture);
    cr_assert_eq(proxy_progress(pair.proxy), 0);
    cr_assert_eq(pair.fixture->event_count, 1);
    answer(&pair, 2, MUSTER_TRAIN);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    pair_free(&pair);
}

FIXTURE_TEST(turn, progress_that_is_none)
{
    static const double values[] = {-0.1, 1.1, NAN, INFINITY};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct pair pair = pair_new();
        struct outcome outcome;
        start(&pair, MUSTER_TRAIN, &outcome);
        peer_send_buffer(pair.peer, 1, muster__encode_progress(values[i]));
        fixture_settle(pair.fixture);
        cr_assert(ended_with(&outcome, MUSTER_PROTOCOL));
        expect_ended(&pair, MUSTER_PROTOCOL, "progress");
        pair_free(&pair);
    }
}

/* ---- participants that go ---- */

FIXTURE_TEST(turn, gone_before_the_instruction)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    peer_cut(pair.peer);
    fixture_settle(pair.fixture);
    cr_assert_not(proxy_is_open(pair.proxy));
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_GONE);
    cr_assert_eq(outcome.ended, 0);
    cr_assert_eq(proxy_reconnect_in(pair.proxy, 1, NULL), MUSTER_GONE);
    proxy_close(pair.proxy);
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_GONE);
    pair_free(&pair);
}

FIXTURE_TEST(turn, gone_as_the_instruction_is_sent)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    peer_cut(pair.peer); /* nobody was told yet */
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_GONE);
    fixture_settle(pair.fixture);
    cr_assert_eq(outcome.ended, 0);
    pair_free(&pair);
}

FIXTURE_TEST(turn, gone_while_it_works)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    start(&pair, MUSTER_TRAIN, &outcome);
    cr_assert(muster_fixture_drop(pair.fixture->network, 0));
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&outcome, MUSTER_GONE));
    cr_assert(event_is(pair.fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_GONE, "ada"));
    fixture_advance(pair.fixture, 10 * TURN_MS);
    cr_assert(ended_with(&outcome, MUSTER_GONE), "once");
    cr_assert_eq(pair.fixture->event_count, 2);
    pair_free(&pair);
}

FIXTURE_TEST(turn, gone_after_its_answer)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    start(&pair, MUSTER_TRAIN, &outcome);
    peer_send(pair.peer, 1, sample(MUSTER_TRAIN));
    peer_close(pair.peer, MUSTER_OK, "");
    fixture_settle(pair.fixture);
    cr_assert(is_sample(&outcome.answer, MUSTER_TRAIN), "the answer outlives its sender");
    cr_assert(ended_with(&outcome, MUSTER_OK));
    cr_assert(event_is(pair.fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_GONE, "ada"));
    pair_free(&pair);
}

FIXTURE_TEST(turn, half_closed_while_it_works)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    start(&pair, MUSTER_TRAIN, &outcome);
    cr_assert(muster_fixture_half_close(pair.fixture->network, 0));
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&outcome, MUSTER_GONE));
    pair_free(&pair);
}

/* ---- closing ---- */

FIXTURE_TEST(turn, close_says_good_bye)
{
    struct pair pair = pair_new();
    proxy_close(pair.proxy);
    cr_assert_not(proxy_is_open(pair.proxy));
    cr_assert_eq(fixture_open_count(pair.fixture), 0);
    fixture_settle(pair.fixture);
    cr_assert(pair.peer->closed);
    cr_assert_eq(pair.peer->status, MUSTER_OK);
    cr_assert_str_eq(pair.peer->text, "the server closed this participant's stream");
    cr_assert(event_is(pair.fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_CLOSED, "ada"));
    proxy_close(pair.proxy);
    fixture_settle(pair.fixture);
    cr_assert_eq(pair.fixture->event_count, 2);
    struct outcome outcome;
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_CLOSED);
    cr_assert_eq(proxy_reconnect_in(pair.proxy, 1, NULL), MUSTER_CLOSED);
    pair_free(&pair);
}

FIXTURE_TEST(turn, close_ends_the_running_turn)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    start(&pair, MUSTER_TRAIN, &outcome);
    proxy_close(pair.proxy);
    cr_assert(ended_with(&outcome, MUSTER_CLOSED), "on this thread");
    peer_send(pair.peer, 1, sample(MUSTER_TRAIN));
    fixture_advance(pair.fixture, 10 * TURN_MS);
    cr_assert(ended_with(&outcome, MUSTER_CLOSED), "once");
    pair_free(&pair);
}

FIXTURE_TEST(turn, close_drops_answers_that_are_on_their_way)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    start(&pair, MUSTER_TRAIN, &outcome);
    peer_send(pair.peer, 1, sample(MUSTER_TRAIN));
    proxy_close(pair.proxy);
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&outcome, MUSTER_CLOSED));
    cr_assert_eq(pair.peer->status, MUSTER_OK);
    pair_free(&pair);
}

FIXTURE_TEST(turn, first_end_is_the_one_that_counts)
{
    struct pair pair = pair_new();
    cr_assert_eq(proxy_reconnect_in(pair.proxy, 1, NULL), MUSTER_OK);
    cr_assert_eq(proxy_reconnect_in(pair.proxy, 2, NULL), MUSTER_CLOSED);
    proxy_close(pair.proxy);
    participant_manager_close(pair.fixture->manager);
    fixture_settle(pair.fixture);
    cr_assert_eq(pair.peer->count, 2, "it is told once");
    cr_assert_str_eq(pair.peer->text, "the server asked this participant to come back later");
    cr_assert(event_is(pair.fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_CLOSED, "ada"));
    pair_free(&pair);
}

FIXTURE_TEST(turn, close_after_the_manager_was_closed)
{
    struct pair pair = pair_new();
    participant_manager_close(pair.fixture->manager);
    proxy_close(pair.proxy);
    fixture_settle(pair.fixture);
    cr_assert_str_eq(pair.peer->text, "the server is stopping");
    cr_assert(event_is(pair.fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_STOPPED, "ada"));
    pair_free(&pair);
}

FIXTURE_TEST(turn, close_on_a_cut_cable)
{
    struct pair pair = pair_new();
    muster_fixture_lose(pair.fixture->network, true);
    proxy_close(pair.proxy);
    fixture_settle(pair.fixture);
    cr_assert_eq(pair.fixture->event_count, 1, "the good-bye has not gone out yet");
    fixture_advance(pair.fixture, STOP_MS - 1);
    cr_assert_eq(pair.fixture->event_count, 1);
    fixture_advance(pair.fixture, 1);
    cr_assert(event_is(pair.fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_CLOSED, "ada"));
    pair_free(&pair);
}

FIXTURE_TEST(turn, reconnect_in)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    start(&pair, MUSTER_TRAIN, &outcome);
    cr_assert_eq(proxy_reconnect_in(pair.proxy, -1, NULL), MUSTER_INVALID);
    cr_assert_eq(outcome.ended, 0);
    cr_assert_eq(proxy_reconnect_in(pair.proxy, 30, NULL), MUSTER_OK);
    cr_assert(ended_with(&outcome, MUSTER_CLOSED));
    cr_assert_eq(fixture_open_count(pair.fixture), 0);
    fixture_settle(pair.fixture);
    cr_assert(is_sample(&last_received(&pair)->message, MUSTER_RECONNECT));
    cr_assert_eq(last_received(&pair)->turn, 0);
    cr_assert(pair.peer->closed);
    cr_assert_eq(pair.peer->status, MUSTER_OK);
    cr_assert(event_is(pair.fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_CLOSED, "ada"));
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_CLOSED);
    pair_free(&pair);
}

FIXTURE_TEST(turn, reconnect_in_is_known_to_originals)
{
    struct pair pair = pair_original();
    cr_assert_eq(proxy_reconnect_in(pair.proxy, 0, NULL), MUSTER_OK);
    fixture_settle(pair.fixture);
    cr_assert_eq(pair.peer->count, 1);
    cr_assert_eq(last_received(&pair)->message.kind, MUSTER_RECONNECT);
    cr_assert(pair.peer->closed);
    cr_assert_eq(pair.peer->status, MUSTER_OK);
    peer_join(pair.fixture, NULL);
    cr_assert_neq(fixture_proxy(pair.fixture, "anonymous-1"), pair.proxy);
    pair_free(&pair);
}

/* ---- callbacks ---- */

struct chain {
    size_t turns;
    enum muster_status last;
};

static void next_turn(void *context, struct proxy *proxy, enum muster_status status,
                      struct muster_message *message)
{
    struct chain *chain = context;
    muster_message_clear(message);
    chain->last = status;
    if (++chain->turns < 3)
        chain->last = proxy_run_async(proxy, sample(MUSTER_TRAIN), TURN_MS, next_turn, chain, NULL);
}

FIXTURE_TEST(turn, next_turn_from_the_callback)
{
    struct pair pair = pair_new();
    struct chain chain = {0};
    pair.peer->react = peer_answers;
    cr_assert_eq(proxy_run_async(pair.proxy, sample(MUSTER_TRAIN), TURN_MS, next_turn, &chain, NULL),
                 MUSTER_OK);
    fixture_settle(pair.fixture);
    cr_assert_eq(chain.turns, 3);
    cr_assert_eq(chain.last, MUSTER_OK);
    cr_assert_eq(last_received(&pair)->turn, 3);
    pair_free(&pair);
}

FIXTURE_TEST(turn, next_turn_from_the_callback_of_one_that_was_late)
{
    struct pair pair = pair_new();
    struct chain chain = {0};
    cr_assert_eq(proxy_run_async(pair.proxy, sample(MUSTER_TRAIN), 10, next_turn, &chain, NULL), MUSTER_OK);
    fixture_advance(pair.fixture, 10);
    cr_assert_eq(chain.turns, 1);
    cr_assert_eq(chain.last, MUSTER_OK);
    fixture_advance(pair.fixture, TURN_MS);
    cr_assert_eq(chain.turns, 2);
    answer(&pair, 3, MUSTER_TRAIN);
    cr_assert_eq(chain.turns, 3);
    cr_assert_eq(chain.last, MUSTER_OK);
    pair_free(&pair);
}

FIXTURE_TEST(turn, next_turn_from_the_callback_of_one_that_left)
{
    struct pair pair = pair_new();
    struct chain chain = {0};
    cr_assert_eq(proxy_run_async(pair.proxy, sample(MUSTER_TRAIN), TURN_MS, next_turn, &chain, NULL),
                 MUSTER_OK);
    peer_cut(pair.peer);
    fixture_settle(pair.fixture);
    cr_assert_eq(chain.turns, 1);
    cr_assert_eq(chain.last, MUSTER_GONE);
    pair_free(&pair);
}

static void close_proxy(void *context, struct proxy *proxy, enum muster_status status,
                        struct muster_message *message)
{
    muster_message_clear(message);
    proxy_cancel(proxy);
    proxy_close(proxy);
    *(enum muster_status *)context = status;
}

FIXTURE_TEST(turn, close_from_the_callback)
{
    struct pair pair = pair_new();
    enum muster_status status = MUSTER_INVALID;
    pair.peer->react = peer_answers;
    cr_assert_eq(proxy_run_async(pair.proxy, sample(MUSTER_TRAIN), TURN_MS, close_proxy, &status, NULL),
                 MUSTER_OK);
    fixture_settle(pair.fixture);
    cr_assert_eq(status, MUSTER_OK);
    cr_assert(event_is(pair.fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_CLOSED, "ada"));
    pair_free(&pair);
}

static void turn_on_joining(struct fixture *fixture, const struct participant_manager_event *event)
{
    if (event->kind == PARTICIPANT_MANAGER_JOINED)
        start_turn(event->proxy, MUSTER_TRAIN, TURN_MS, fixture->data);
}

FIXTURE_TEST(turn, first_turn_from_the_event)
{
    struct fixture *fixture = fixture_new(NULL);
    struct outcome outcome = {0};
    fixture->data = &outcome;
    fixture->on_event = turn_on_joining;
    struct peer *peer = peer_connect(fixture);
    peer->react = peer_answers;
    peer_send_hello(peer, "ada");
    peer_send_empty(peer);
    fixture_settle(fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    fixture_free(fixture);
}

static void close_on_joining(struct fixture *fixture, const struct participant_manager_event *event)
{
    (void)fixture;
    if (event->kind == PARTICIPANT_MANAGER_JOINED)
        proxy_close(event->proxy);
}

FIXTURE_TEST(turn, close_from_the_event)
{
    struct fixture *fixture = fixture_new(NULL);
    fixture->on_event = close_on_joining;
    struct peer *peer = peer_connect(fixture);
    peer_send_hello(peer, "ada");
    peer_send_empty(peer);
    fixture_settle(fixture);
    cr_assert(peer->closed);
    cr_assert_eq(peer->status, MUSTER_OK);
    cr_assert_eq(fixture->event_count, 2);
    cr_assert(event_is(fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_CLOSED, "ada"));
    cr_assert_eq(fixture_open_count(fixture), 0);
    fixture_free(fixture);
}
