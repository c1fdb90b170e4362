/* Rounds: who answers, who does not, in which order and until when. The round blocks the test's own thread
   while the pump runs the network. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/fixture.h"
#include "support/outcome.h"
#include "support/sample.h"

enum { PROXIES = 3 };

/* A manager with a few participants, and what on_answer saw. */
struct company {
    struct fixture *fixture;
    struct peer *peers[PROXIES];
    struct proxy *proxies[PROXIES];
    struct proxy_round_result result;
    struct proxy_round_options options;
    pthread_t caller;
    bool on_callers_thread;
    enum muster_status verdicts[PROXIES]; /* what on_answer returns, by index */
    size_t called;
    size_t order[PROXIES];
    bool answers_were_right;
    bool senseless; /* one of the instructions is */
};

typedef void reaction(struct peer *peer, const struct received *received);

static struct company *company_new(reaction *a, reaction *b, reaction *c)
{
    static const char *names[PROXIES] = {"a", "b", "c"};
    reaction *reactions[PROXIES] = {a, b, c};
    struct company *company = calloc(1, sizeof(*company));
    cr_assert_not_null(company);
    company->fixture = fixture_new(NULL);
    company->fixture->data = company;
    proxy_round_options_init(&company->options);
    company->caller = pthread_self();
    company->on_callers_thread = true;
    company->answers_were_right = true;
    for (size_t i = 0; i < PROXIES; i++) {
        company->peers[i] = peer_join(company->fixture, names[i]);
        company->peers[i]->react = reactions[i];
        company->proxies[i] = fixture_proxy(company->fixture, names[i]);
    }
    return company;
}

static void company_free(struct company *company)
{
    proxy_round_result_clear(&company->result);
    cr_assert_null(company->result.entries);
    fixture_free(company->fixture);
    free(company);
}

static enum muster_status on_answer(void *context, size_t index, struct proxy *proxy,
                                    const struct muster_message *answer, struct muster_error *reason)
{
    (void)reason;
    struct company *company = context;
    company->on_callers_thread =
        company->on_callers_thread && pthread_equal(pthread_self(), company->caller) != 0;
    company->answers_were_right =
        company->answers_were_right && proxy == company->proxies[index] && is_sample(answer, MUSTER_TRAIN);
    company->order[company->called++] = index;
    return company->verdicts[index];
}

static enum muster_status run_round(struct company *company, size_t count)
{
    if (!company->fixture->pumping)
        fixture_pump(company->fixture);
    proxy_round_result_clear(&company->result);
    return proxy_run_all(company->proxies, count, sample(MUSTER_TRAIN), &company->options, on_answer, company,
                         &company->result, NULL);
}

static void expect_counts(const struct company *company, size_t answered, size_t late, size_t failed)
{
    cr_assert_eq(company->result.answered, answered, "%zu", company->result.answered);
    cr_assert_eq(company->result.late, late, "%zu", company->result.late);
    cr_assert_eq(company->result.failed, failed, "%zu", company->result.failed);
    cr_assert_eq(company->result.count, answered + late + failed);
    cr_assert(company->on_callers_thread);
    cr_assert(company->answers_were_right);
}

static enum muster_status status_of(const struct company *company, size_t index)
{
    return company->result.entries[index].status;
}

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

static void is_silent(struct peer *peer, const struct received *received)
{
    (void)peer;
    (void)received;
}

static void fails(struct peer *peer, const struct received *received)
{
    if (received->content == CONTENT_MESSAGE)
        peer_send(peer, received->turn, sample(MUSTER_FAILURE));
}

static void leaves(struct peer *peer, const struct received *received)
{
    (void)received;
    peer_cut(peer);
}

static void answers_first_turn_late(struct peer *peer, const struct received *received)
{
    if (received->content == CONTENT_CANCEL || received->turn > 1)
        peer_send(peer, received->turn, sample(MUSTER_TRAIN));
}

static void sends_garbage(struct peer *peer, const struct received *received)
{
    (void)received;
    peer_send_bytes(peer, "\xff\xff", 2);
}

/* The last of all to get its instruction answers for all, in this order: c, a, b. */
static void answers_in_turn(struct peer *peer, const struct received *received)
{
    static const size_t order[PROXIES] = {2, 0, 1};
    struct company *company = peer->fixture->data;
    if (peer != company->peers[2])
        return;
    for (size_t i = 0; i < PROXIES; i++)
        peer_send(company->peers[order[i]], received->turn, sample(MUSTER_TRAIN));
}

/* ---- everybody answers ---- */

FIXTURE_TEST(round, all_answer)
{
    struct company *company = company_new(peer_answers, peer_answers, peer_answers);
    cr_assert_eq(run_round(company, 3), MUSTER_OK);
    expect_counts(company, 3, 0, 0);
    cr_assert_eq(company->called, 3);
    for (size_t i = 0; i < PROXIES; i++) {
        cr_assert_eq(status_of(company, i), MUSTER_OK);
        cr_assert_eq(company->result.entries[i].milliseconds, 0);
        cr_assert_str_eq(company->result.entries[i].text, "");
    }
    company_free(company);
}

FIXTURE_TEST(round, bytes_are_counted)
{
    struct company *company = company_new(peer_answers, peer_answers, peer_answers);
    cr_assert_eq(run_round(company, 3), MUSTER_OK);
    cr_assert_eq(company->result.bytes_sent, 3 * encoded_size(TO_PARTICIPANT, MUSTER_TRAIN));
    /* An answer comes with its turn, two bytes. */
    cr_assert_eq(company->result.bytes_received, 3 * (encoded_size(TO_SERVER, MUSTER_TRAIN) + 2));
    company_free(company);
}

FIXTURE_TEST(round, answers_come_in_the_order_of_arrival)
{
    struct company *company = company_new(answers_in_turn, answers_in_turn, answers_in_turn);
    cr_assert_eq(run_round(company, 3), MUSTER_OK);
    cr_assert_eq(company->order[0], 2);
    cr_assert_eq(company->order[1], 0);
    cr_assert_eq(company->order[2], 1);
    company_free(company);
}

FIXTURE_TEST(round, rounds_follow_each_other)
{
    struct company *company = company_new(peer_answers, peer_answers, peer_answers);
    for (size_t i = 0; i < 5; i++) {
        company->called = 0;
        cr_assert_eq(run_round(company, 3), MUSTER_OK);
        expect_counts(company, 3, 0, 0);
    }
    cr_assert_eq(company->peers[0]->messages[5].turn, 5);
    company_free(company);
}

FIXTURE_TEST(round, without_options_callback_and_result)
{
    struct company *company = company_new(peer_answers, fails, peer_answers);
    fixture_pump(company->fixture);
    struct proxy *good[] = {company->proxies[0], company->proxies[2]};
    cr_assert_eq(proxy_run_all(good, 2, sample(MUSTER_TRAIN), NULL, NULL, NULL, NULL, NULL), MUSTER_OK);
    cr_assert_eq(proxy_run_all(company->proxies, 3, sample(MUSTER_TRAIN), NULL, NULL, NULL, NULL, NULL),
                 MUSTER_TOO_FEW);
    company_free(company);
}

FIXTURE_TEST(round, nobody)
{
    struct company *company = company_new(peer_answers, peer_answers, peer_answers);
    cr_assert_eq(run_round(company, 0), MUSTER_OK);
    cr_assert_eq(company->result.count, 0);
    cr_assert_eq(company->called, 0);
    company->options.enough = 1;
    cr_assert_eq(run_round(company, 0), MUSTER_INVALID);
    company_free(company);
}

/* ---- some do not ---- */

FIXTURE_TEST(round, one_fails)
{
    struct company *company = company_new(peer_answers, fails, peer_answers);
    cr_assert_eq(run_round(company, 3), MUSTER_TOO_FEW);
    expect_counts(company, 2, 0, 1);
    cr_assert_eq(status_of(company, 1), MUSTER_REFUSED);
    cr_assert_str_eq(company->result.entries[1].text, "the disk is full");
    cr_assert_eq(company->called, 2, "a failure is no answer");
    company_free(company);
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
    struct company *company = company_new(fails_at_length, peer_answers, peer_answers);
    run_round(company, 1);
    cr_assert_eq(strlen(company->result.entries[0].text), MUSTER_ERROR_TEXT_SIZE - 1);
    company_free(company);
}

static void fails_with_a_forged_line(struct peer *peer, const struct received *received)
{
    const struct muster_message message = {.kind = MUSTER_FAILURE,
                                           .text = "no\nround 1/1: all is well\x1b[31m\xe2\x80\xae."};
    peer_send(peer, received->turn, &message);
}

FIXTURE_TEST(round, reason_is_harmless)
{
    struct company *company = company_new(fails_with_a_forged_line, peer_answers, peer_answers);
    run_round(company, 1);
    cr_assert_str_eq(company->result.entries[0].text, "no?round 1/1: all is well?[31m?.");
    company_free(company);
}

FIXTURE_TEST(round, one_leaves)
{
    struct company *company = company_new(peer_answers, leaves, peer_answers);
    cr_assert_eq(run_round(company, 3), MUSTER_TOO_FEW);
    expect_counts(company, 2, 0, 1);
    cr_assert_eq(status_of(company, 1), MUSTER_GONE);
    cr_assert(proxy_is_open(company->proxies[0]));
    cr_assert_not(proxy_is_open(company->proxies[1]));
    company_free(company);
}

FIXTURE_TEST(round, one_had_left_before)
{
    struct company *company = company_new(peer_answers, peer_answers, peer_answers);
    peer_cut(company->peers[0]);
    fixture_settle(company->fixture);
    cr_assert_eq(run_round(company, 3), MUSTER_TOO_FEW);
    expect_counts(company, 2, 0, 1);
    cr_assert_eq(status_of(company, 0), MUSTER_GONE);
    cr_assert_eq(company->result.bytes_sent, 2 * encoded_size(TO_PARTICIPANT, MUSTER_TRAIN));
    company_free(company);
}

FIXTURE_TEST(round, all_had_left_before)
{
    struct company *company = company_new(peer_answers, peer_answers, peer_answers);
    for (size_t i = 0; i < PROXIES; i++)
        peer_cut(company->peers[i]);
    fixture_settle(company->fixture);
    cr_assert_eq(run_round(company, 3), MUSTER_TOO_FEW);
    expect_counts(company, 0, 0, 3);
    cr_assert_eq(company->result.bytes_sent, 0);
    company_free(company);
}

FIXTURE_TEST(round, one_sends_garbage)
{
    struct company *company = company_new(peer_answers, sends_garbage, peer_answers);
    cr_assert_eq(run_round(company, 3), MUSTER_TOO_FEW);
    expect_counts(company, 2, 0, 1);
    cr_assert_eq(status_of(company, 1), MUSTER_PROTOCOL);
    company_free(company);
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
    struct company *company = company_new(peer_answers, peer_answers, peer_answers);
    fixture_pump(company->fixture);
    cr_assert_eq(proxy_run_all(company->proxies, 3, sample(MUSTER_TRAIN), NULL, gives_reasons, NULL,
                               &company->result, NULL),
                 MUSTER_TOO_FEW);
    cr_assert_str_eq(company->result.entries[0].text, "array 0 is?short");
    cr_assert_str_eq(company->result.entries[1].text, muster_status_text(MUSTER_FORMAT));
    cr_assert_str_eq(company->result.entries[2].text, "");
    company_free(company);
}

static void answers_something_else(struct peer *peer, const struct received *received)
{
    peer_send(peer, received->turn, sample(MUSTER_EVALUATE));
}

FIXTURE_TEST(round, every_failure_has_its_reason)
{
    struct company *company = company_new(answers_something_else, leaves, peer_answers);
    cr_assert_eq(run_round(company, 3), MUSTER_TOO_FEW);
    cr_assert_str_eq(company->result.entries[0].text, "the answer is of another kind than the instruction");
    cr_assert_str_eq(company->result.entries[1].text, "the stream was cut");
    company_free(company);
}

FIXTURE_TEST(round, one_is_refused_by_the_callback)
{
    struct company *company = company_new(peer_answers, peer_answers, peer_answers);
    company->verdicts[1] = MUSTER_FORMAT;
    cr_assert_eq(run_round(company, 3), MUSTER_TOO_FEW);
    expect_counts(company, 2, 0, 1);
    cr_assert_eq(company->called, 3);
    cr_assert_eq(status_of(company, 1), MUSTER_FORMAT);
    cr_assert_eq(company->result.bytes_received, 3 * (encoded_size(TO_SERVER, MUSTER_TRAIN) + 2));
    company_free(company);
}

FIXTURE_TEST(round, what_the_callback_refuses_is_not_one_of_enough)
{
    struct company *company = company_new(answers_in_turn, answers_in_turn, answers_in_turn);
    company->verdicts[2] = MUSTER_FORMAT; /* the first to arrive */
    company->options.enough = 1;
    cr_assert_eq(run_round(company, 3), MUSTER_OK);
    expect_counts(company, 1, 1, 1);
    cr_assert_eq(status_of(company, 2), MUSTER_FORMAT);
    cr_assert_eq(status_of(company, 0), MUSTER_OK);
    company_free(company);
}

FIXTURE_TEST(round, original_in_a_round_of_another_kind)
{
    struct company *company = company_new(peer_answers, peer_answers, peer_answers);
    struct peer *original = peer_join(company->fixture, NULL);
    struct proxy *proxies[] = {company->proxies[0], fixture_proxy(company->fixture, "anonymous-3")};
    fixture_pump(company->fixture);
    cr_assert_eq(proxy_run_all(proxies, 2, sample(MUSTER_EVALUATE), NULL, NULL, NULL, &company->result, NULL),
                 MUSTER_TOO_FEW);
    expect_counts(company, 1, 0, 1);
    cr_assert_eq(status_of(company, 1), MUSTER_UNKNOWN_INSTRUCTION);
    cr_assert_eq(original->count, 0);
    company_free(company);
}

FIXTURE_TEST(round, one_is_there_twice)
{
    struct company *company = company_new(is_silent, peer_answers, peer_answers);
    company->proxies[1] = company->proxies[0];
    company->options.enough = 1;
    cr_assert_eq(run_round(company, 3), MUSTER_OK);
    expect_counts(company, 1, 1, 1);
    cr_assert_eq(status_of(company, 0), MUSTER_CANCELLED);
    cr_assert_eq(status_of(company, 1), MUSTER_BUSY);
    peer_wait_count(company->peers[0], 3);
    cr_assert_eq(company->peers[0]->messages[2].content, CONTENT_CANCEL);
    company_free(company);
}

FIXTURE_TEST(round, one_is_busy_with_a_turn_of_its_own)
{
    struct company *company = company_new(is_silent, peer_answers, is_silent);
    struct outcome outcome;
    cr_assert_eq(start_turn(company->proxies[0], MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    company->options.enough = 1;
    cr_assert_eq(run_round(company, 3), MUSTER_OK);
    expect_counts(company, 1, 1, 1);
    cr_assert_eq(status_of(company, 0), MUSTER_BUSY);
    cr_assert_eq(status_of(company, 2), MUSTER_CANCELLED);
    cr_assert_eq(outcome.ended, 0, "giving up the rest of a round leaves other turns alone");
    proxy_cancel(company->proxies[0]);
    cr_assert(ended_with(&outcome, MUSTER_CANCELLED));
    company_free(company);
}

/* ---- enough ---- */

FIXTURE_TEST(round, enough_answers)
{
    struct company *company = company_new(is_silent, peer_answers, peer_answers);
    company->options.enough = 2;
    cr_assert_eq(run_round(company, 3), MUSTER_OK);
    expect_counts(company, 2, 1, 0);
    cr_assert_eq(status_of(company, 0), MUSTER_CANCELLED);
    peer_wait_count(company->peers[0], 3);
    cr_assert_eq(company->peers[0]->messages[2].content, CONTENT_CANCEL);
    cr_assert_eq(company->peers[0]->messages[2].turn, 1);
    cr_assert(proxy_is_open(company->proxies[0]));
    company_free(company);
}

/* All answer, and then a bystander leaves: by that event, all answers have arrived. */
static void answers_for_all(struct peer *peer, const struct received *received)
{
    answers_in_turn(peer, received);
    if (peer->number == 2)
        peer_cut(peer->fixture->peers);
}

static enum muster_status waits_for_all(void *context, size_t index, struct proxy *proxy,
                                        const struct muster_message *answer, struct muster_error *reason)
{
    struct company *company = context;
    fixture_wait_events(company->fixture, PROXIES + 2);
    return on_answer(context, index, proxy, answer, reason);
}

FIXTURE_TEST(round, more_answers_than_enough)
{
    struct company *company = company_new(answers_for_all, answers_for_all, answers_for_all);
    peer_join(company->fixture, "bystander");
    fixture_pump(company->fixture);
    company->options.enough = 2;
    cr_assert_eq(proxy_run_all(company->proxies, 3, sample(MUSTER_TRAIN), &company->options, waits_for_all,
                               company, &company->result, NULL),
                 MUSTER_OK);
    expect_counts(company, 2, 1, 0);
    cr_assert_eq(company->called, 2, "no more than enough are handed over");
    cr_assert_eq(status_of(company, 1), MUSTER_CANCELLED);
    company_free(company);
}

FIXTURE_TEST(round, straggler_is_usable_in_the_next_round)
{
    struct company *company = company_new(answers_first_turn_late, peer_answers, peer_answers);
    company->options.enough = 2;
    cr_assert_eq(run_round(company, 3), MUSTER_OK);
    cr_assert_eq(status_of(company, 0), MUSTER_CANCELLED);
    company->options.enough = 0;
    company->called = 0;
    cr_assert_eq(run_round(company, 3), MUSTER_OK);
    expect_counts(company, 3, 0, 0);
    cr_assert_eq(company->peers[0]->messages[3].turn, 2);
    company_free(company);
}

FIXTURE_TEST(round, more_than_there_are)
{
    struct company *company = company_new(peer_answers, peer_answers, peer_answers);
    company->options.enough = 4;
    cr_assert_eq(run_round(company, 3), MUSTER_INVALID);
    cr_assert_eq(company->result.count, 0);
    cr_assert_eq(company->peers[0]->count, 1, "nothing was sent");
    company_free(company);
}

/* ---- the deadline ---- */

/* Once every turn has begun: each peer has its instruction, and its proxy's lock is free again. */
static void *pass_deadline(void *context)
{
    struct company *company = context;
    for (size_t i = 0; i < PROXIES; i++) {
        peer_wait_count(company->peers[i], 2);
        proxy_is_open(company->proxies[i]);
    }
    muster_fixture_advance(company->fixture->network, company->options.deadline_ms);
    return NULL;
}

static enum muster_status run_round_to_its_deadline(struct company *company)
{
    pthread_t clock;
    company->options.deadline_ms = 700;
    fixture_pump(company->fixture);
    cr_assert_eq(pthread_create(&clock, NULL, pass_deadline, company), 0);
    enum muster_status status = run_round(company, 3);
    pthread_join(clock, NULL);
    return status;
}

FIXTURE_TEST(round, deadline_leaves_too_few)
{
    struct company *company = company_new(peer_answers, is_silent, is_silent);
    company->options.enough = 2;
    cr_assert_eq(run_round_to_its_deadline(company), MUSTER_TIMEOUT);
    expect_counts(company, 1, 2, 0);
    cr_assert_eq(status_of(company, 1), MUSTER_TIMEOUT);
    cr_assert_eq(status_of(company, 2), MUSTER_TIMEOUT);
    cr_assert_eq(company->result.entries[2].milliseconds, 700);
    peer_wait_count(company->peers[1], 3);
    cr_assert_eq(company->peers[1]->messages[2].content, CONTENT_CANCEL);
    company_free(company);
}

FIXTURE_TEST(round, deadline_with_a_failure)
{
    struct company *company = company_new(peer_answers, fails, is_silent);
    cr_assert_eq(run_round_to_its_deadline(company), MUSTER_TIMEOUT);
    expect_counts(company, 1, 1, 1);
    company_free(company);
}

FIXTURE_TEST(round, deadline_of_nothing)
{
    struct company *company = company_new(is_silent, is_silent, is_silent);
    company->options.deadline_ms = 0;
    cr_assert_eq(run_round(company, 3), MUSTER_TIMEOUT);
    expect_counts(company, 0, 3, 0);
    company_free(company);
}

FIXTURE_TEST(round, no_deadline)
{
    struct company *company = company_new(peer_answers, peer_answers, peer_answers);
    company->options.deadline_ms = MUSTER_NO_LIMIT;
    cr_assert_eq(run_round(company, 3), MUSTER_OK);
    fixture_advance(company->fixture, (int64_t)1 << 40);
    company_free(company);
}

/* ---- rounds that do not begin ---- */

FIXTURE_TEST(round, messages_that_are_no_instruction)
{
    struct company *company = company_new(peer_answers, peer_answers, peer_answers);
    struct proxy_round_result result = {.count = 77};
    cr_assert_eq(
        proxy_run_all(company->proxies, 3, sample(MUSTER_RECONNECT), NULL, NULL, NULL, &result, NULL),
        MUSTER_INVALID);
    cr_assert_eq(result.count, 0);
    cr_assert_null(result.entries);
    cr_assert_eq(proxy_run_all(company->proxies, 3, sample(MUSTER_EMPTY), NULL, NULL, NULL, &result, NULL),
                 MUSTER_INVALID);
    proxy_round_result_clear(&result);
    fixture_settle(company->fixture);
    cr_assert_eq(company->peers[0]->count, 1);
    company_free(company);
}

FIXTURE_TEST(round, instruction_over_the_limit)
{
    struct company *company = company_new(peer_answers, peer_answers, peer_answers);
    size_t size = (size_t)128 << 20;
    char *data = calloc(1, size);
    struct muster_message message = {.kind = MUSTER_APPLICATION, .data = data, .size = size};
    cr_assert_eq(proxy_run_all(company->proxies, 3, &message, NULL, NULL, NULL, &company->result, NULL),
                 MUSTER_TOO_BIG);
    free(data);
    company_free(company);
}

/* ---- stopping ---- */

/* The last of the three to be given its instruction stops everything. */
static void stops_the_manager(struct peer *peer, const struct received *received)
{
    if (received->content == CONTENT_MESSAGE)
        participant_manager_close(peer->fixture->manager);
}

FIXTURE_TEST(round, stop_during_a_round)
{
    struct company *company = company_new(is_silent, is_silent, stops_the_manager);
    cr_assert_eq(run_round(company, 3), MUSTER_STOPPED);
    expect_counts(company, 0, 0, 3);
    for (size_t i = 0; i < PROXIES; i++)
        cr_assert_eq(status_of(company, i), MUSTER_STOPPED);
    company_free(company);
}

static enum muster_status stops_it(void *context, size_t index, struct proxy *proxy,
                                   const struct muster_message *answer, struct muster_error *reason)
{
    (void)reason;
    struct company *company = context;
    (void)index;
    (void)proxy;
    (void)answer;
    participant_manager_close(company->fixture->manager);
    return MUSTER_OK;
}

FIXTURE_TEST(round, stop_when_enough_have_answered)
{
    struct company *company = company_new(peer_answers, is_silent, is_silent);
    company->options.enough = 1;
    fixture_pump(company->fixture);
    cr_assert_eq(proxy_run_all(company->proxies, 3, sample(MUSTER_TRAIN), &company->options, stops_it,
                               company, &company->result, NULL),
                 MUSTER_OK);
    expect_counts(company, 1, 0, 2);
    cr_assert_eq(status_of(company, 2), MUSTER_STOPPED);
    company_free(company);
}

FIXTURE_TEST(round, over_proxies_of_a_closed_manager)
{
    struct company *company = company_new(peer_answers, peer_answers, peer_answers);
    participant_manager_close(company->fixture->manager);
    cr_assert_eq(run_round(company, 3), MUSTER_STOPPED);
    cr_assert_eq(company->result.count, 0);
    cr_assert_eq(company->called, 0);
    participant_manager_stop(company->fixture->manager); /* it does not wait for what never began */
    company_free(company);
}

FIXTURE_TEST(round, over_proxies_of_a_stopped_manager)
{
    struct company *company = company_new(peer_answers, peer_answers, peer_answers);
    participant_manager_close(company->fixture->manager);
    fixture_settle(company->fixture);
    participant_manager_free(company->fixture->manager);
    company->fixture->manager = NULL;
    cr_assert_eq(run_round(company, 3), MUSTER_STOPPED);
    cr_assert_eq(company->called, 0);
    company_free(company);
}

static enum muster_status closes_a_proxy(void *context, size_t index, struct proxy *proxy,
                                         const struct muster_message *answer, struct muster_error *reason)
{
    (void)reason;
    struct company *company = context;
    (void)index;
    (void)proxy;
    (void)answer;
    company->called++;
    proxy_close(company->proxies[0]);
    return MUSTER_OK;
}

FIXTURE_TEST(round, proxy_that_is_closed_meanwhile)
{
    struct company *company = company_new(is_silent, peer_answers, peer_answers);
    fixture_pump(company->fixture);
    cr_assert_eq(proxy_run_all(company->proxies, 3, sample(MUSTER_TRAIN), NULL, closes_a_proxy, company,
                               &company->result, NULL),
                 MUSTER_TOO_FEW);
    expect_counts(company, 2, 0, 1);
    cr_assert_eq(status_of(company, 0), MUSTER_CLOSED);
    company_free(company);
}

/* ---- many ---- */

enum { MANY = 70 };

static struct fixture *with_many(void (*react)(struct peer *peer, const struct received *received),
                                 struct proxy ***proxies)
{
    struct fixture *fixture = fixture_new(NULL);
    size_t count;
    for (size_t i = 0; i < MANY; i++)
        peer_join(fixture, "")->react = react;
    fixture_pump(fixture);
    cr_assert_eq(participant_manager_get_participants(fixture->manager, MANY, 0, proxies, &count, NULL),
                 MUSTER_OK);
    cr_assert_eq(count, MANY);
    return fixture;
}

FIXTURE_TEST(round, many_answer)
{
    struct proxy **proxies;
    struct fixture *fixture = with_many(peer_answers, &proxies);
    for (size_t i = 0; i < 5; i++) {
        struct proxy_round_result result;
        cr_assert_eq(proxy_run_all(proxies, MANY, sample(MUSTER_TRAIN), NULL, NULL, NULL, &result, NULL),
                     MUSTER_OK);
        cr_assert_eq(result.answered, MANY);
        proxy_round_result_clear(&result);
    }
    proxy_release_all(proxies, MANY);
    fixture_free(fixture);
}

static void most_answer(struct peer *peer, const struct received *received)
{
    if (peer->number >= 5)
        peer_answers(peer, received);
}

FIXTURE_TEST(round, most_of_many_answer)
{
    struct proxy **proxies;
    struct fixture *fixture = with_many(most_answer, &proxies);
    struct proxy_round_options options;
    proxy_round_options_init(&options);
    options.deadline_ms = MUSTER_NO_LIMIT;
    options.enough = MANY - 5;
    struct proxy_round_result result;
    cr_assert_eq(proxy_run_all(proxies, MANY, sample(MUSTER_TRAIN), &options, NULL, NULL, &result, NULL),
                 MUSTER_OK);
    cr_assert_eq(result.answered, MANY - 5);
    cr_assert_eq(result.late, 5);
    proxy_round_result_clear(&result);
    proxy_release_all(proxies, MANY);
    fixture_free(fixture);
}

static void few_answer(struct peer *peer, const struct received *received)
{
    if (peer->number < 5)
        peer_answers(peer, received);
}

FIXTURE_TEST(round, few_of_many_answer)
{
    struct proxy **proxies;
    struct fixture *fixture = with_many(few_answer, &proxies);
    struct proxy_round_options options;
    proxy_round_options_init(&options);
    options.deadline_ms = MUSTER_NO_LIMIT;
    options.enough = 5;
    cr_assert_eq(proxy_run_all(proxies, MANY, sample(MUSTER_TRAIN), &options, NULL, NULL, NULL, NULL),
                 MUSTER_OK);
    proxy_release_all(proxies, MANY);
    fixture_free(fixture);
}

static void *answer_later(void *context)
{
    struct fixture *fixture = context;
    for (struct peer *peer = fixture->peers; peer; peer = peer->next)
        peer_wait_count(peer, 2);
    fixture_be_busy();
    for (struct peer *peer = fixture->peers; peer; peer = peer->next) {
        if (peer->number < 5)
            peer_send(peer, 1, sample(MUSTER_TRAIN));
    }
    return NULL;
}

FIXTURE_TEST(round, few_of_many_answer_when_nobody_expects_it)
{
    struct proxy **proxies;
    struct fixture *fixture = with_many(is_silent, &proxies);
    struct proxy_round_options options;
    proxy_round_options_init(&options);
    options.deadline_ms = MUSTER_NO_LIMIT;
    options.enough = 5;
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, answer_later, fixture), 0);
    cr_assert_eq(proxy_run_all(proxies, MANY, sample(MUSTER_TRAIN), &options, NULL, NULL, NULL, NULL),
                 MUSTER_OK);
    pthread_join(thread, NULL);
    proxy_release_all(proxies, MANY);
    fixture_free(fixture);
}

FIXTURE_TEST(round, none_of_many_answer)
{
    struct proxy **proxies;
    struct fixture *fixture = with_many(is_silent, &proxies);
    struct proxy_round_options options;
    proxy_round_options_init(&options);
    options.deadline_ms = 0;
    cr_assert_eq(proxy_run_all(proxies, MANY, sample(MUSTER_TRAIN), &options, NULL, NULL, NULL, NULL),
                 MUSTER_TIMEOUT);
    proxy_release_all(proxies, MANY);
    fixture_free(fixture);
}

/* ---- several at once ---- */

static void *run_other_round(void *context)
{
    struct company *company = context;
    static enum muster_status status;
    for (size_t i = 0; i < 20; i++) {
        status = proxy_run_all(company->proxies + 2, 1, sample(MUSTER_TRAIN), NULL, NULL, NULL, NULL, NULL);
        if (status != MUSTER_OK)
            break;
    }
    return &status;
}

FIXTURE_TEST(round, over_different_proxies_at_the_same_time)
{
    struct company *company = company_new(peer_answers, peer_answers, peer_answers);
    pthread_t other;
    void *status;
    fixture_pump(company->fixture);
    cr_assert_eq(pthread_create(&other, NULL, run_other_round, company), 0);
    for (size_t i = 0; i < 20; i++) {
        company->called = 0;
        cr_assert_eq(run_round(company, 2), MUSTER_OK);
        expect_counts(company, 2, 0, 0);
    }
    pthread_join(other, &status);
    cr_assert_eq(*(enum muster_status *)status, MUSTER_OK);
    company_free(company);
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
    struct company *company = context;
    (void)reason;
    cr_assert_eq(proxy, company->proxies[index]);
    cr_assert_eq(muster_message_scalar(answer, "number", -1), (double)index);
    company->called++;
    return MUSTER_OK;
}

static enum muster_status run_each(struct company *company, struct muster_message messages[PROXIES],
                                   struct muster_error *error)
{
    const struct muster_message *instructions[PROXIES];
    for (size_t i = 0; i < PROXIES; i++) {
        messages[i] =
            (struct muster_message){.kind = MUSTER_EVALUATE, .scalars = &numbers[i], .scalar_count = 1};
        instructions[i] = &messages[i];
    }
    if (company->senseless)
        instructions[1] = NULL;
    fixture_pump(company->fixture);
    return proxy_run_each(company->proxies, instructions, PROXIES, &company->options, takes_its_own, company,
                          &company->result, error);
}

FIXTURE_TEST(round, each_is_told_something_else)
{
    struct company *company =
        company_new(answers_what_it_was_told, answers_what_it_was_told, answers_what_it_was_told);
    struct muster_message messages[PROXIES];
    cr_assert_eq(run_each(company, messages, NULL), MUSTER_OK);
    cr_assert_eq(company->called, 3);
    cr_assert_eq(company->result.answered, 3);
    company_free(company);
}

FIXTURE_TEST(round, one_instruction_of_many_that_makes_no_sense)
{
    struct company *company =
        company_new(answers_what_it_was_told, answers_what_it_was_told, answers_what_it_was_told);
    struct muster_message messages[PROXIES];
    struct muster_error error;
    company->senseless = true;
    cr_assert_eq(run_each(company, messages, &error), MUSTER_TOO_FEW);
    cr_assert_eq(company->called, 2);
    cr_assert_eq(status_of(company, 1), MUSTER_INVALID);
    cr_assert_not_null(strstr(company->result.entries[1].text, "and not kind"));
    cr_assert_not_null(strstr(error.text, "2 of 3 answers were accepted, 3 wanted; b: "), "%s", error.text);
    company_free(company);
}

/* ---- enough, and at least ---- */

FIXTURE_TEST(round, at_least_waits_for_all_and_is_content_with_fewer)
{
    struct company *company = company_new(peer_answers, fails, peer_answers);
    company->options.at_least = 2;
    cr_assert_eq(run_round(company, 3), MUSTER_OK);
    expect_counts(company, 2, 0, 1);
    company->options.at_least = 3;
    company->called = 0;
    cr_assert_eq(run_round(company, 3), MUSTER_TOO_FEW);
    expect_counts(company, 2, 0, 1);
    company_free(company);
}

FIXTURE_TEST(round, at_least_more_than_are_waited_for)
{
    struct company *company = company_new(peer_answers, peer_answers, peer_answers);
    struct muster_error error;
    company->options.enough = 2;
    company->options.at_least = 3;
    fixture_pump(company->fixture);
    cr_assert_eq(proxy_run_all(company->proxies, 3, sample(MUSTER_TRAIN), &company->options, on_answer,
                               company, &company->result, &error),
                 MUSTER_INVALID);
    cr_assert_not_null(strstr(error.text, "at_least is 3"), "%s", error.text);
    company_free(company);
}
