/* Answers that the server's code refuses: the participants that want to are told. */
#include <config.h>

#include <semaphore.h>
#include <stdio.h>
#include <string.h>

#include "support/call.h"
#include "support/fixture.h"
#include "support/outcome.h"
#include "support/sample.h"
#include "support/words.h"

static void answer_at_once(void *context, struct participant *participant)
{
    const struct muster_message *instruction;
    (void)context;
    if (participant_consume(participant, 0, &instruction, NULL) == MUSTER_OK)
        participant_dispatch(participant, sample(instruction->kind), NULL);
}

/* Connected, and the initiative is with the server. The pump runs. */
static struct participant *join(struct fixture *fixture, struct words *words)
{
    struct participant_options options;
    participant_options_init(&options);
    struct call call;
    options.name = "ada";
    options.on_ready = answer_at_once;
    options.on_warning = words ? take_word : NULL;
    options.context = words;
    if (words)
        sem_init(&words->said, 0, 0);
    call_connect(&call, fixture, &options);
    cr_assert_eq(call_join(&call), MUSTER_OK, "%s", call.error.text);
    cr_assert_eq(participant_dispatch(call.participant, sample(MUSTER_EMPTY), NULL), MUSTER_OK);
    return call.participant;
}

static void send_hello(struct peer *peer, const char *name, uint64_t max_message_size)
{
    Muster__Hello hello = MUSTER__HELLO__INIT;
    char *features[] = {"something from the future", FEATURE_REFUSED};
    hello.name = (char *)name;
    hello.features = features;
    hello.n_features = 2;
    hello.max_message_size = max_message_size;
    peer_send_buffer(peer, 0, muster__encode_hello(NULL, &hello));
    peer_send_empty(peer);
}

/* A peer that wants to be told and answers at once. */
static struct peer *peer_that_hears(struct fixture *fixture, const char *name, uint64_t max_message_size)
{
    struct peer *peer = peer_connect(fixture);
    peer->react = peer_answers;
    send_hello(peer, name, max_message_size);
    fixture_settle(fixture);
    return peer;
}

static void run_turn(struct fixture *fixture, struct proxy *proxy)
{
    struct outcome outcome;
    cr_assert_eq(start_turn(proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
}

static bool heard_last(const struct peer *peer, uint64_t turn, const char *text)
{
    const struct received *last = &peer->messages[peer->count - 1];
    return last->content == CONTENT_REFUSED && last->turn == turn && strcmp(last->message.text, text) == 0;
}

static enum muster_status refuse_all(void *context, size_t index, struct proxy *proxy,
                                     const struct muster_message *answer, struct muster_error *reason)
{
    (void)index;
    (void)proxy;
    (void)answer;
    snprintf(reason->text, sizeof(reason->text), "%s", (const char *)context);
    return MUSTER_FORMAT;
}

FIXTURE_TEST(refused, a_round_tells_those_who_want_to_be_told)
{
    struct fixture *fixture = fixture_new(NULL);
    struct words words = {.count = 0};
    struct peer *older = peer_join(fixture, "bob"), *original = peer_join(fixture, NULL);
    older->react = original->react = peer_answers;
    fixture_pump(fixture);
    struct participant *participant = join(fixture, &words);
    fixture_wait_events(fixture, 3);
    struct proxy *proxies[] = {fixture_proxy(fixture, "ada"), fixture_proxy(fixture, "bob"),
                               fixture_proxy(fixture, "anonymous-1")};
    cr_assert_not_null(proxies[2]);

    cr_assert_eq(
        proxy_run_all(proxies, 3, sample(MUSTER_TRAIN), NULL, refuse_all, "array 0 is\nshort", NULL, NULL),
        MUSTER_TOO_FEW);
    sem_wait(&words.said);
    cr_assert_str_eq(words.last, "the server refused the answer to turn 1: array 0 is?short");

    /* Neither without a reason, nor when it was accepted. */
    cr_assert_eq(proxy_run_all(proxies, 3, sample(MUSTER_TRAIN), NULL, refuse_all, "", NULL, NULL),
                 MUSTER_TOO_FEW);
    cr_assert_eq(proxy_run_all(proxies, 3, sample(MUSTER_TRAIN), NULL, NULL, NULL, NULL, NULL), MUSTER_OK);
    cr_assert_eq(proxy_run_all(proxies, 3, sample(MUSTER_TRAIN), NULL, refuse_all, "again", NULL, NULL),
                 MUSTER_TOO_FEW);
    sem_wait(&words.said);
    cr_assert_str_eq(words.last, "the server refused the answer to turn 4: again");
    cr_assert_eq(words.count, 2);
    cr_assert_eq(older->count, 1 + 4, "Welcome and instructions");
    cr_assert_eq(original->count, 4);
    participant_free(participant);
    fixture_free(fixture);
    sem_destroy(&words.said);
}

/* A proxy that is free again may be in another turn by the time that its answer is judged. */
static enum muster_status refuse_late(void *context, size_t index, struct proxy *proxy,
                                      const struct muster_message *answer, struct muster_error *reason)
{
    cr_assert_eq(proxy_run(proxy, sample(MUSTER_TRAIN), TURN_MS, NULL, NULL), MUSTER_OK);
    return refuse_all(context, index, proxy, answer, reason);
}

FIXTURE_TEST(refused, the_turn_is_that_of_the_round)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_that_hears(fixture, "ada", 0);
    struct proxy *proxy = fixture_proxy(fixture, "ada");
    fixture_pump(fixture);
    proxy_run_all(&proxy, 1, sample(MUSTER_TRAIN), NULL, refuse_late, "late", NULL, NULL);
    peer_wait_count(peer, 1 + 3);
    cr_assert(heard_last(peer, 1, "late"));
    fixture_free(fixture);
}

static void answer_another_kind(struct peer *peer, const struct received *received)
{
    if (received->content == CONTENT_MESSAGE)
        peer_send(peer, received->turn, sample(MUSTER_EVALUATE));
}

FIXTURE_TEST(refused, an_answer_of_another_kind)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_that_hears(fixture, "ada", 0);
    struct proxy *proxy = fixture_proxy(fixture, "ada");
    peer->react = answer_another_kind;
    fixture_pump(fixture);
    cr_assert_eq(proxy_run_all(&proxy, 1, sample(MUSTER_TRAIN), NULL, NULL, NULL, NULL, NULL),
                 MUSTER_TOO_FEW);
    peer_wait_count(peer, 1 + 2);
    cr_assert(heard_last(peer, 1, "the answer is of another kind than the instruction"));
    fixture_free(fixture);
}

FIXTURE_TEST(refused, one_turn)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_that_hears(fixture, "ada", 0);
    struct proxy *proxy = fixture_proxy(fixture, "ada");
    struct outcome outcome;
    cr_assert_eq(proxy_refuse(proxy, "too early", NULL), MUSTER_INVALID);
    run_turn(fixture, proxy);
    cr_assert_eq(proxy_refuse(proxy, NULL, NULL), MUSTER_INVALID);
    cr_assert_eq(proxy_refuse(proxy, "", NULL), MUSTER_INVALID);
    cr_assert_eq(peer->count, 2);
    cr_assert_eq(proxy_refuse(proxy, "NaN", NULL), MUSTER_OK);
    fixture_settle(fixture);
    cr_assert(heard_last(peer, 1, "NaN"));

    /* It is about the last answer that came, whatever has begun since. */
    peer->react = NULL;
    cr_assert_eq(start_turn(proxy, MUSTER_TRAIN, TURN_MS, &outcome), MUSTER_OK);
    cr_assert_eq(proxy_refuse(proxy, "still", NULL), MUSTER_OK);
    fixture_settle(fixture);
    cr_assert(heard_last(peer, 1, "still"));
    fixture_advance(fixture, TURN_MS);
    cr_assert(ended_with(&outcome, MUSTER_TIMEOUT));
    cr_assert_eq(proxy_refuse(proxy, "yet", NULL), MUSTER_OK);
    fixture_settle(fixture);
    cr_assert(heard_last(peer, 1, "yet"));

    proxy_close(proxy);
    cr_assert_eq(proxy_refuse(proxy, "NaN", NULL), MUSTER_CLOSED);
    fixture_free(fixture);
}

FIXTURE_TEST(refused, the_reason_is_cut_and_made_harmless)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_that_hears(fixture, "ada", 0);
    struct proxy *proxy = fixture_proxy(fixture, "ada");
    char reason[1000], expected[MUSTER_ERROR_TEXT_SIZE];
    run_turn(fixture, proxy);
    cr_assert_eq(proxy_refuse(proxy, "caf\xe9\x1b[31m\n", NULL), MUSTER_OK);
    fixture_settle(fixture);
    cr_assert(heard_last(peer, 1, "caf??[31m?"));
    /* Characters of three bytes, of which the last one that fits is whole. */
    for (size_t i = 0; i + 3 < sizeof(reason); i += 3)
        memcpy(reason + i, "\xe2\x82\xac", 4);
    memcpy(expected, reason, sizeof(expected) - 1);
    expected[sizeof(expected) - 1] = '\0';
    cr_assert_eq(proxy_refuse(proxy, reason, NULL), MUSTER_OK);
    fixture_settle(fixture);
    cr_assert(heard_last(peer, 1, expected));
    fixture_free(fixture);
}

FIXTURE_TEST(refused, nobody_hears_it_who_did_not_ask_to)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peers[] = {peer_join(fixture, "bob"), peer_join(fixture, NULL), peer_connect(fixture)};
    const char *names[] = {"bob", "anonymous-1", "eve"};
    peer_send_hello_chunks(peers[2], "eve", 0);
    peer_send_empty(peers[2]);
    fixture_settle(fixture);
    for (size_t i = 0; i < 3; i++) {
        struct proxy *proxy = fixture_proxy(fixture, names[i]);
        peers[i]->react = peer_answers;
        run_turn(fixture, proxy);
        size_t count = peers[i]->count;
        cr_assert_eq(proxy_refuse(proxy, "NaN", NULL), MUSTER_UNKNOWN_INSTRUCTION);
        fixture_settle(fixture);
        cr_assert_eq(peers[i]->count, count);
    }
    fixture_pump(fixture);
    struct participant *deaf = join(fixture, NULL);
    fixture_wait_events(fixture, 4);
    struct proxy *proxy = fixture_proxy(fixture, "ada");
    cr_assert_eq(proxy_run(proxy, sample(MUSTER_TRAIN), TURN_MS, NULL, NULL), MUSTER_OK);
    cr_assert_eq(proxy_refuse(proxy, "NaN", NULL), MUSTER_UNKNOWN_INSTRUCTION);
    participant_free(deaf);
    fixture_free(fixture);
}

FIXTURE_TEST(refused, one_that_is_away_or_takes_little_is_not_told)
{
    struct participant_manager_options options = fixture_options();
    options.session_grace_ms = 60000;
    struct fixture *fixture = fixture_new(&options);
    struct peer *ada = peer_that_hears(fixture, "ada", 0), *bob = peer_that_hears(fixture, "bob", 200);
    struct proxy *proxy = fixture_proxy(fixture, "ada");
    struct outcome outcome;
    run_turn(fixture, proxy);
    peer_cut(ada);
    fixture_settle(fixture);
    cr_assert_eq(proxy_refuse(proxy, "NaN", NULL), MUSTER_GONE);

    proxy = fixture_proxy(fixture, "bob");
    const struct muster_message small = {.kind = MUSTER_APPLICATION};
    cr_assert_eq(start_message(proxy, &small, TURN_MS, &outcome), MUSTER_OK);
    fixture_settle(fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    char reason[200];
    memset(reason, 'x', sizeof(reason));
    reason[sizeof(reason) - 1] = '\0';
    cr_assert_eq(proxy_refuse(proxy, reason, NULL), MUSTER_TOO_BIG);
    cr_assert_eq(proxy_refuse(proxy, "NaN", NULL), MUSTER_OK);
    fixture_settle(fixture);
    cr_assert(heard_last(bob, 1, "NaN"));
    fixture_free(fixture);
}
