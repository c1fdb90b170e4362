/* Turns: answers, limits of time, instructions that are given up or cannot be given, and what callbacks do.
   Single-threaded: each test steps the network itself. */
#include <config.h>

#include <stdlib.h>

#include "proxy/internal.h"
#include "server/pair.h"
#include "support/fixture.h"
#include "support/outcome.h"
#include "support/sample.h"
#include "wire/reader.h"

/* ---- answers ---- */

static void expect_answer(enum muster_kind instruction, enum muster_kind kind, enum muster_status status)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    pair_start(&pair, instruction, &outcome);
    cr_assert_eq(pair_last(&pair)->turn, 1);
    pair_answer(&pair, 1, kind);
    cr_assert(is_sample(&outcome.answer, kind));
    cr_assert(ended_with(&outcome, status));
    pair_expect_turn(&pair, 2);
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
    pair_answer(&pair, 1, MUSTER_FAILURE);
    cr_assert_eq(error.status, MUSTER_REFUSED);
    cr_assert_str_eq(error.text, "ada: the disk is full");
    cr_assert_eq(proxy_run_async(pair.proxy, sample(MUSTER_TRAIN), TURN_MS, explain, &error, NULL),
                 MUSTER_OK);
    pair_answer(&pair, 2, MUSTER_EVALUATE);
    cr_assert_eq(error.status, MUSTER_PROTOCOL);
    cr_assert_str_eq(error.text, "ada: the answer is of another kind than the instruction");
    pair_free(&pair);
}

FIXTURE_TEST(turn, turns_are_numbered)
{
    struct pair pair = pair_new();
    for (uint64_t turn = 1; turn <= 5; turn++)
        pair_expect_turn(&pair, turn);
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
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    fixture_advance(pair.fixture, TURN_MS - 1);
    cr_assert_eq(outcome.ended, 0);
    fixture_advance(pair.fixture, 1);
    cr_assert(ended_with(&outcome, MUSTER_TIMEOUT));
    cr_assert_eq(outcome.answer.kind, MUSTER_EMPTY);
    cr_assert_eq(pair_last(&pair)->content, CONTENT_CANCEL);
    cr_assert_eq(pair_last(&pair)->turn, 1);
    fixture_advance(pair.fixture, 10 * TURN_MS);
    cr_assert(ended_with(&outcome, MUSTER_TIMEOUT), "once");
    cr_assert_eq(pair.peer->count, 3, "and told once");
    cr_assert(proxy_is_open(pair.proxy));
    pair_expect_turn(&pair, 2);
    pair_free(&pair);
}

FIXTURE_TEST(turn, no_limit)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, MUSTER_NO_LIMIT, &outcome), MUSTER_OK);
    fixture_advance(pair.fixture, (int64_t)1 << 40);
    cr_assert_eq(outcome.ended, 0);
    pair_answer(&pair, 1, MUSTER_TRAIN);
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
    pair_answer(&pair, 1, MUSTER_TRAIN);
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
    pair_answer(&pair, 1, MUSTER_TRAIN);
    cr_assert(ended_with(&first, MUSTER_OK));
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, 100, &second), MUSTER_OK);
    fixture_advance(pair.fixture, 99);
    cr_assert_eq(second.ended, 0);
    fixture_advance(pair.fixture, 1);
    cr_assert(ended_with(&second, MUSTER_TIMEOUT));
    cr_assert(ended_with(&first, MUSTER_OK));
    pair_free(&pair);
}

FIXTURE_TEST(turn, limit_that_is_shorter_than_the_last)
{
    struct pair pair = pair_new();
    struct outcome first, second, third;
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, 10 * TURN_MS, &first), MUSTER_OK);
    pair_answer(&pair, 1, MUSTER_TRAIN);
    cr_assert(ended_with(&first, MUSTER_OK));
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, TURN_MS, &second), MUSTER_OK);
    fixture_advance(pair.fixture, TURN_MS);
    cr_assert(ended_with(&second, MUSTER_TIMEOUT));
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, 10 * TURN_MS, &third), MUSTER_OK);
    fixture_advance(pair.fixture, 10 * TURN_MS - 1);
    cr_assert_eq(third.ended, 0);
    fixture_advance(pair.fixture, 1);
    cr_assert(ended_with(&third, MUSTER_TIMEOUT));
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
    pair_expect_turn(&pair, 2);
    pair_free(&pair);
}

FIXTURE_TEST(turn, lost_answer_ends_by_the_limit)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    muster_fixture_lose(pair.fixture->network, true);
    pair_answer(&pair, 1, MUSTER_TRAIN);
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
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    fixture_advance(pair.fixture, TURN_MS);
    cr_assert(ended_with(&outcome, MUSTER_TIMEOUT));
    pair_answer(&pair, 1, MUSTER_TRAIN);
    cr_assert(ended_with(&outcome, MUSTER_TIMEOUT));
    cr_assert_not(pair.peer->closed);
    pair_expect_turn(&pair, 2);
    pair_free(&pair);
}

FIXTURE_TEST(turn, late_answer_is_not_taken_for_the_next)
{
    struct pair pair = pair_new();
    struct outcome first;
    struct outcome second;
    pair_start(&pair, MUSTER_TRAIN, &first);
    proxy_cancel(pair.proxy);
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&first, MUSTER_CANCELLED));
    pair_start(&pair, MUSTER_TRAIN, &second);
    cr_assert_eq(pair_last(&pair)->turn, 2);
    pair_answer(&pair, 1, MUSTER_TRAIN);
    cr_assert_eq(second.ended, 0);
    cr_assert_not(pair.peer->closed);
    pair_answer(&pair, 2, MUSTER_TRAIN);
    cr_assert(ended_with(&second, MUSTER_OK));
    pair_free(&pair);
}

FIXTURE_TEST(turn, late_failure_is_dropped_too)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    proxy_cancel(pair.proxy);
    fixture_settle(pair.fixture);
    pair_answer(&pair, 1, MUSTER_FAILURE);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED));
    pair_expect_turn(&pair, 2);
    pair_free(&pair);
}

FIXTURE_TEST(turn, cancel_tells_the_participant)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    proxy_cancel(pair.proxy);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED), "on this thread");
    fixture_settle(pair.fixture);
    cr_assert_eq(pair_last(&pair)->content, CONTENT_CANCEL);
    cr_assert_eq(pair_last(&pair)->turn, 1);
    fixture_advance(pair.fixture, 10 * TURN_MS);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED), "once");
    pair_expect_turn(&pair, 2);
    pair_free(&pair);
}

FIXTURE_TEST(turn, cancel_without_a_turn_does_nothing)
{
    struct pair pair = pair_new();
    proxy_cancel(pair.proxy);
    fixture_settle(pair.fixture);
    cr_assert_eq(pair.peer->count, pair.welcomes);
    pair_expect_turn(&pair, 1);
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
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    peer_send(pair.peer, 1, sample(MUSTER_TRAIN)); /* on its way */
    proxy_cancel(pair.proxy);
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED));
    cr_assert_not(pair.peer->closed);
    pair_expect_turn(&pair, 2);
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
    pair_expect_turn(pair, next_turn);
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

/* ---- instructions that cannot be given ---- */

FIXTURE_TEST(turn, one_at_a_time)
{
    struct pair pair = pair_new();
    struct outcome first;
    struct outcome second;
    pair_start(&pair, MUSTER_TRAIN, &first);
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, TURN_MS, &second), MUSTER_BUSY);
    fixture_settle(pair.fixture);
    cr_assert_eq(pair.peer->count, 2, "nothing was sent");
    pair_answer(&pair, 1, MUSTER_TRAIN);
    cr_assert(ended_with(&first, MUSTER_OK));
    cr_assert_eq(second.ended, 0);
    pair_expect_turn(&pair, 2);
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
    pair_expect_turn(&pair, 1);
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
    pair_expect_turn(&pair, 1);
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
    pair_expect_turn(&pair, 1);
    pair_free(&pair);
}

FIXTURE_TEST(turn, send_that_fails)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    muster_fixture_fail_send(pair.fixture->network, 1);
    cr_assert_eq(start_turn(pair.proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    cr_assert_eq(outcome.ended, 0);
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&outcome, MUSTER_GONE));
    cr_assert(event_is(pair.fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_GONE, "ada"));
    pair_free(&pair);
}

FIXTURE_TEST(turn, cancel_that_cannot_be_sent)
{
    struct pair pair = pair_new();
    struct outcome outcome;
    pair_start(&pair, MUSTER_TRAIN, &outcome);
    muster_fixture_fail_send(pair.fixture->network, 1);
    proxy_cancel(pair.proxy);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED));
    fixture_settle(pair.fixture);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED));
    cr_assert(event_is(pair.fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_GONE, "ada"));
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
    cr_assert_eq(pair_last(&pair)->turn, 3);
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
    pair_answer(&pair, 3, MUSTER_TRAIN);
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
