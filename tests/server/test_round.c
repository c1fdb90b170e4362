/* Rounds: who answers and who does not, in which order, and with a different instruction for each. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/circle.h"
#include "support/fixture.h"
#include "support/outcome.h"
#include "support/sample.h"

static size_t encoded_size(enum direction direction, enum muster_kind kind)
{
    struct buffer *body;
    cr_assert_eq(muster__encode(direction, sample(kind), &(struct encoding){.max_message_size = SIZE_MAX},
                                &body, NULL),
                 MUSTER_OK);
    size_t size = body->size;
    muster__buffer_release(body);
    return size;
}

/* ---- reactions ---- */

static void leaves(struct peer *peer, const struct received *received)
{
    (void)received;
    peer_cut(peer);
}

static void sends_garbage(struct peer *peer, const struct received *received)
{
    (void)received;
    peer_send_bytes(peer, "\xff\xff", 2);
}

/* ---- everybody answers ---- */

FIXTURE_TEST(round, all_answer)
{
    struct circle *circle = circle_new(peer_answers, peer_answers, peer_answers);
    cr_assert_eq(circle_run(circle, 3), MUSTER_OK);
    circle_expect(circle, 3, 0, 0);
    cr_assert_eq(circle->called, 3);
    for (size_t i = 0; i < PROXIES; i++) {
        cr_assert_eq(circle_status(circle, i), MUSTER_OK);
        cr_assert_eq(circle->result.entries[i].milliseconds, 0);
        cr_assert_str_eq(circle->result.entries[i].text, "");
    }
    circle_free(circle);
}

FIXTURE_TEST(round, bytes_are_counted)
{
    struct circle *circle = circle_new(peer_answers, peer_answers, peer_answers);
    cr_assert_eq(circle_run(circle, 3), MUSTER_OK);
    cr_assert_eq(circle->result.bytes_sent, 3 * encoded_size(TO_PARTICIPANT, MUSTER_TRAIN));
    /* An answer comes with its turn, two bytes. */
    cr_assert_eq(circle->result.bytes_received, 3 * (encoded_size(TO_SERVER, MUSTER_TRAIN) + 2));
    circle_free(circle);
}

FIXTURE_TEST(round, answers_come_in_the_order_of_arrival)
{
    struct circle *circle = circle_new(answers_in_turn, answers_in_turn, answers_in_turn);
    cr_assert_eq(circle_run(circle, 3), MUSTER_OK);
    cr_assert_eq(circle->order[0], 2);
    cr_assert_eq(circle->order[1], 0);
    cr_assert_eq(circle->order[2], 1);
    circle_free(circle);
}

FIXTURE_TEST(round, rounds_follow_each_other)
{
    struct circle *circle = circle_new(peer_answers, peer_answers, peer_answers);
    for (size_t i = 0; i < 5; i++) {
        circle->called = 0;
        cr_assert_eq(circle_run(circle, 3), MUSTER_OK);
        circle_expect(circle, 3, 0, 0);
    }
    cr_assert_eq(circle->peers[0]->messages[5].turn, 5);
    circle_free(circle);
}

FIXTURE_TEST(round, without_options_callback_and_result)
{
    struct circle *circle = circle_new(peer_answers, fails, peer_answers);
    fixture_pump(circle->fixture);
    struct proxy *good[] = {circle->proxies[0], circle->proxies[2]};
    cr_assert_eq(proxy_run_all(good, 2, sample(MUSTER_TRAIN), NULL, NULL, NULL, NULL, NULL), MUSTER_OK);
    cr_assert_eq(proxy_run_all(circle->proxies, 3, sample(MUSTER_TRAIN), NULL, NULL, NULL, NULL, NULL),
                 MUSTER_TOO_FEW);
    circle_free(circle);
}

FIXTURE_TEST(round, nobody)
{
    struct circle *circle = circle_new(peer_answers, peer_answers, peer_answers);
    cr_assert_eq(circle_run(circle, 0), MUSTER_OK);
    cr_assert_eq(circle->result.count, 0);
    cr_assert_eq(circle->called, 0);
    circle->options.enough = 1;
    cr_assert_eq(circle_run(circle, 0), MUSTER_INVALID);
    circle_free(circle);
}

/* ---- some do not ---- */

FIXTURE_TEST(round, one_fails)
{
    struct circle *circle = circle_new(peer_answers, fails, peer_answers);
    cr_assert_eq(circle_run(circle, 3), MUSTER_TOO_FEW);
    circle_expect(circle, 2, 0, 1);
    cr_assert_eq(circle_status(circle, 1), MUSTER_REFUSED);
    cr_assert_str_eq(circle->result.entries[1].text, "the disk is full");
    cr_assert_eq(circle->called, 2, "a failure is no answer");
    circle_free(circle);
}

static void fails_at_length(struct peer *peer, const struct received *received)
{
    char text[2 * MUSTER_ERROR_TEXT_SIZE] = "";
    struct muster_message message = {.kind = MUSTER_FAILURE, .text = text};
    memset(text, 'x', sizeof(text) - 1);
    peer_send(peer, received->turn, &message);
}

FIXTURE_TEST(round, long_reason_is_cut)
{
    struct circle *circle = circle_new(fails_at_length, peer_answers, peer_answers);
    circle_run(circle, 1);
    cr_assert_eq(strlen(circle->result.entries[0].text), MUSTER_ERROR_TEXT_SIZE - 1);
    circle_free(circle);
}

static void fails_with_a_forged_line(struct peer *peer, const struct received *received)
{
    const struct muster_message message = {.kind = MUSTER_FAILURE,
                                           .text = "no\nround 1/1: all is well\x1b[31m\xe2\x80\xae."};
    peer_send(peer, received->turn, &message);
}

FIXTURE_TEST(round, reason_is_harmless)
{
    struct circle *circle = circle_new(fails_with_a_forged_line, peer_answers, peer_answers);
    circle_run(circle, 1);
    cr_assert_str_eq(circle->result.entries[0].text, "no?round 1/1: all is well?[31m?.");
    circle_free(circle);
}

FIXTURE_TEST(round, one_leaves)
{
    struct circle *circle = circle_new(peer_answers, leaves, peer_answers);
    cr_assert_eq(circle_run(circle, 3), MUSTER_TOO_FEW);
    circle_expect(circle, 2, 0, 1);
    cr_assert_eq(circle_status(circle, 1), MUSTER_GONE);
    cr_assert(proxy_is_open(circle->proxies[0]));
    cr_assert_not(proxy_is_open(circle->proxies[1]));
    circle_free(circle);
}

FIXTURE_TEST(round, one_had_left_before)
{
    struct circle *circle = circle_new(peer_answers, peer_answers, peer_answers);
    peer_cut(circle->peers[0]);
    fixture_settle(circle->fixture);
    cr_assert_eq(circle_run(circle, 3), MUSTER_TOO_FEW);
    circle_expect(circle, 2, 0, 1);
    cr_assert_eq(circle_status(circle, 0), MUSTER_GONE);
    cr_assert_eq(circle->result.bytes_sent, 2 * encoded_size(TO_PARTICIPANT, MUSTER_TRAIN));
    circle_free(circle);
}

FIXTURE_TEST(round, all_had_left_before)
{
    struct circle *circle = circle_new(peer_answers, peer_answers, peer_answers);
    for (size_t i = 0; i < PROXIES; i++)
        peer_cut(circle->peers[i]);
    fixture_settle(circle->fixture);
    cr_assert_eq(circle_run(circle, 3), MUSTER_TOO_FEW);
    circle_expect(circle, 0, 0, 3);
    cr_assert_eq(circle->result.bytes_sent, 0);
    circle_free(circle);
}

FIXTURE_TEST(round, one_sends_garbage)
{
    struct circle *circle = circle_new(peer_answers, sends_garbage, peer_answers);
    cr_assert_eq(circle_run(circle, 3), MUSTER_TOO_FEW);
    circle_expect(circle, 2, 0, 1);
    cr_assert_eq(circle_status(circle, 1), MUSTER_PROTOCOL);
    circle_free(circle);
}

static enum muster_status gives_reasons(void *context, size_t index, struct proxy *proxy,
                                        const struct muster_message *answer, struct muster_error *reason)
{
    (void)context;
    (void)proxy;
    (void)answer;
    if (index == 0)
        snprintf(reason->text, sizeof(reason->text), "array 0 is\nshort");
    return index == 2 ? MUSTER_OK : MUSTER_FORMAT;
}

FIXTURE_TEST(round, every_refusal_has_its_reason)
{
    struct circle *circle = circle_new(peer_answers, peer_answers, peer_answers);
    fixture_pump(circle->fixture);
    cr_assert_eq(proxy_run_all(circle->proxies, 3, sample(MUSTER_TRAIN), NULL, gives_reasons, NULL,
                               &circle->result, NULL),
                 MUSTER_TOO_FEW);
    cr_assert_str_eq(circle->result.entries[0].text, "array 0 is?short");
    cr_assert_str_eq(circle->result.entries[1].text, muster_status_text(MUSTER_FORMAT));
    cr_assert_str_eq(circle->result.entries[2].text, "");
    circle_free(circle);
}

static void answers_something_else(struct peer *peer, const struct received *received)
{
    peer_send(peer, received->turn, sample(MUSTER_EVALUATE));
}

FIXTURE_TEST(round, every_failure_has_its_reason)
{
    struct circle *circle = circle_new(answers_something_else, leaves, peer_answers);
    cr_assert_eq(circle_run(circle, 3), MUSTER_TOO_FEW);
    cr_assert_str_eq(circle->result.entries[0].text, "the answer is of another kind than the instruction");
    cr_assert_str_eq(circle->result.entries[1].text, "the stream was cut");
    circle_free(circle);
}

FIXTURE_TEST(round, one_is_refused_by_the_callback)
{
    struct circle *circle = circle_new(peer_answers, peer_answers, peer_answers);
    circle->verdicts[1] = MUSTER_FORMAT;
    cr_assert_eq(circle_run(circle, 3), MUSTER_TOO_FEW);
    circle_expect(circle, 2, 0, 1);
    cr_assert_eq(circle->called, 3);
    cr_assert_eq(circle_status(circle, 1), MUSTER_FORMAT);
    cr_assert_eq(circle->result.bytes_received, 3 * (encoded_size(TO_SERVER, MUSTER_TRAIN) + 2));
    circle_free(circle);
}

static enum muster_status reject_with(void *context, size_t index, struct proxy *proxy,
                                      const struct muster_message *answer, struct muster_error *reason)
{
    (void)reason;
    (void)index;
    (void)proxy;
    (void)answer;
    return *(enum muster_status *)context;
}

FIXTURE_TEST(round, answer_that_is_not_accepted_has_failed_whatever_the_reason)
{
    static enum muster_status reasons[] = {MUSTER_TIMEOUT, MUSTER_CANCELLED, MUSTER_STOPPED};
    struct fixture *fixture = fixture_new(NULL);
    peer_join(fixture, "ada")->react = peer_answers;
    struct proxy *proxy = fixture_proxy(fixture, "ada");
    fixture_pump(fixture);
    for (size_t i = 0; i < 3; i++) {
        struct proxy_round_result result;
        cr_assert_eq(
            proxy_run_all(&proxy, 1, sample(MUSTER_TRAIN), NULL, reject_with, &reasons[i], &result, NULL),
            MUSTER_TOO_FEW);
        cr_assert_eq(result.entries[0].status, reasons[i]);
        cr_assert_eq(result.answered, 0);
        cr_assert_eq(result.late, 0);
        cr_assert_eq(result.failed, 1);
        proxy_round_result_clear(&result);
    }
    fixture_free(fixture);
}

FIXTURE_TEST(round, what_the_callback_refuses_is_not_one_of_enough)
{
    struct circle *circle = circle_new(answers_in_turn, answers_in_turn, answers_in_turn);
    circle->verdicts[2] = MUSTER_FORMAT; /* the first to arrive */
    circle->options.enough = 1;
    cr_assert_eq(circle_run(circle, 3), MUSTER_OK);
    circle_expect(circle, 1, 1, 1);
    cr_assert_eq(circle_status(circle, 2), MUSTER_FORMAT);
    cr_assert_eq(circle_status(circle, 0), MUSTER_OK);
    circle_free(circle);
}

FIXTURE_TEST(round, original_in_a_round_of_another_kind)
{
    struct circle *circle = circle_new(peer_answers, peer_answers, peer_answers);
    struct peer *original = peer_join(circle->fixture, NULL);
    struct proxy *proxies[] = {circle->proxies[0], fixture_proxy(circle->fixture, "anonymous-3")};
    fixture_pump(circle->fixture);
    cr_assert_eq(proxy_run_all(proxies, 2, sample(MUSTER_EVALUATE), NULL, NULL, NULL, &circle->result, NULL),
                 MUSTER_TOO_FEW);
    circle_expect(circle, 1, 0, 1);
    cr_assert_eq(circle_status(circle, 1), MUSTER_UNKNOWN_INSTRUCTION);
    cr_assert_eq(original->count, 0);
    circle_free(circle);
}

FIXTURE_TEST(round, one_is_there_twice)
{
    struct circle *circle = circle_new(is_silent, peer_answers, peer_answers);
    circle->proxies[1] = circle->proxies[0];
    circle->options.enough = 1;
    cr_assert_eq(circle_run(circle, 3), MUSTER_OK);
    circle_expect(circle, 1, 1, 1);
    cr_assert_eq(circle_status(circle, 0), MUSTER_CANCELLED);
    cr_assert_eq(circle_status(circle, 1), MUSTER_BUSY);
    peer_wait_count(circle->peers[0], 3);
    cr_assert_eq(circle->peers[0]->messages[2].content, CONTENT_CANCEL);
    circle_free(circle);
}

FIXTURE_TEST(round, one_is_busy_with_a_turn_of_its_own)
{
    struct circle *circle = circle_new(is_silent, peer_answers, is_silent);
    struct outcome outcome;
    cr_assert_eq(start_turn(circle->proxies[0], MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    circle->options.enough = 1;
    cr_assert_eq(circle_run(circle, 3), MUSTER_OK);
    circle_expect(circle, 1, 1, 1);
    cr_assert_eq(circle_status(circle, 0), MUSTER_BUSY);
    cr_assert_eq(circle_status(circle, 2), MUSTER_CANCELLED);
    cr_assert_eq(outcome.ended, 0, "giving up the rest of a round leaves other turns alone");
    proxy_cancel(circle->proxies[0]);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED));
    circle_free(circle);
}

/* ---- rounds that do not begin ---- */

FIXTURE_TEST(round, messages_that_are_no_instruction)
{
    struct circle *circle = circle_new(peer_answers, peer_answers, peer_answers);
    struct proxy_round_result result = {.count = 77};
    cr_assert_eq(proxy_run_all(circle->proxies, 3, sample(MUSTER_RECONNECT), NULL, NULL, NULL, &result, NULL),
                 MUSTER_INVALID);
    cr_assert_eq(result.count, 0);
    cr_assert_null(result.entries);
    cr_assert_eq(proxy_run_all(circle->proxies, 3, sample(MUSTER_EMPTY), NULL, NULL, NULL, &result, NULL),
                 MUSTER_INVALID);
    proxy_round_result_clear(&result);
    fixture_settle(circle->fixture);
    cr_assert_eq(circle->peers[0]->count, 1);
    circle_free(circle);
}

FIXTURE_TEST(round, instruction_over_the_limit)
{
    struct circle *circle = circle_new(peer_answers, peer_answers, peer_answers);
    size_t size = (size_t)128 << 20;
    char *data = calloc(1, size);
    struct muster_message message = {.kind = MUSTER_APPLICATION, .data = data, .size = size};
    cr_assert_eq(proxy_run_all(circle->proxies, 3, &message, NULL, NULL, NULL, &circle->result, NULL),
                 MUSTER_TOO_BIG);
    free(data);
    circle_free(circle);
}

/* ---- something different for each ---- */

static void answers_what_it_was_told(struct peer *peer, const struct received *received)
{
    if (received->content == CONTENT_MESSAGE)
        peer_send(peer, received->turn, &received->message);
}

static const struct muster_scalar numbers[PROXIES] = {{"number", 0}, {"number", 1}, {"number", 2}};

static enum muster_status takes_its_own(void *context, size_t index, struct proxy *proxy,
                                        const struct muster_message *answer, struct muster_error *reason)
{
    struct circle *circle = context;
    (void)reason;
    cr_assert_eq(proxy, circle->proxies[index]);
    cr_assert_eq(muster_message_scalar(answer, "number", -1), (double)index);
    circle->called++;
    return MUSTER_OK;
}

static enum muster_status run_each(struct circle *circle, struct muster_message messages[PROXIES],
                                   struct muster_error *error)
{
    const struct muster_message *instructions[PROXIES];
    for (size_t i = 0; i < PROXIES; i++) {
        messages[i] =
            (struct muster_message){.kind = MUSTER_EVALUATE, .scalars = &numbers[i], .scalar_count = 1};
        instructions[i] = &messages[i];
    }
    if (circle->senseless)
        instructions[1] = NULL;
    fixture_pump(circle->fixture);
    return proxy_run_each(circle->proxies, instructions, PROXIES, &circle->options, takes_its_own, circle,
                          &circle->result, error);
}

FIXTURE_TEST(round, each_is_told_something_else)
{
    struct circle *circle =
        circle_new(answers_what_it_was_told, answers_what_it_was_told, answers_what_it_was_told);
    struct muster_message messages[PROXIES];
    cr_assert_eq(run_each(circle, messages, NULL), MUSTER_OK);
    cr_assert_eq(circle->called, 3);
    cr_assert_eq(circle->result.answered, 3);
    circle_free(circle);
}

FIXTURE_TEST(round, one_instruction_of_many_that_makes_no_sense)
{
    struct circle *circle =
        circle_new(answers_what_it_was_told, answers_what_it_was_told, answers_what_it_was_told);
    struct muster_message messages[PROXIES];
    struct muster_error error;
    circle->senseless = true;
    cr_assert_eq(run_each(circle, messages, &error), MUSTER_TOO_FEW);
    cr_assert_eq(circle->called, 2);
    cr_assert_eq(circle_status(circle, 1), MUSTER_INVALID);
    cr_assert_not_null(strstr(circle->result.entries[1].text, "and not kind"));
    cr_assert_not_null(strstr(error.text, "2 of 3 answers were accepted, 3 wanted; b: "), "%s", error.text);
    circle_free(circle);
}
