/* Answers that the server's code refuses: the participant is told, as far as it wants to be and no
   further. */
#include <config.h>

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/call.h"
#include "support/fixture.h"
#include "support/outcome.h"
#include "support/sample.h"

/* What a participant was told. */
struct words {
    sem_t said;
    size_t count;
    char last[2 * MUSTER_ERROR_TEXT_SIZE];
};

static void take_word(void *context, const char *text)
{
    struct words *words = context;
    words->count++;
    snprintf(words->last, sizeof(words->last), "%s", text);
    sem_post(&words->said);
}

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

/* ---- the server ---- */

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

/* ---- the participant ---- */

static void welcomes(struct peer *peer, const struct received *received)
{
    if (received->content == CONTENT_HELLO)
        peer_send_welcome(peer, received->name);
}

/* A participant, which consumes when it is told to, and a server that may say anything. */
struct played {
    struct fixture *fixture;
    struct peer *peer;
    struct participant *participant;
    struct words words;
};

static void played_begin(struct played *played, void (*on_warning)(void *context, const char *text))
{
    struct participant_options options;
    participant_options_init(&options);
    struct call call;
    *played = (struct played){.fixture = fixture_new_empty()};
    played->fixture->react = welcomes;
    sem_init(&played->words.said, 0, 0);
    fixture_listen(played->fixture);
    options.name = "ada";
    options.on_warning = on_warning;
    options.context = on_warning == take_word ? (void *)&played->words : (void *)played;
    fixture_pump(played->fixture);
    call_connect(&call, played->fixture, &options);
    cr_assert_eq(call_join(&call), MUSTER_OK);
    fixture_unpump(played->fixture);
    played->participant = call.participant;
    played->peer = fixture_wait_peer(played->fixture, 1);
    cr_assert_eq(participant_dispatch(played->participant, sample(MUSTER_EMPTY), NULL), MUSTER_OK);
    fixture_settle(played->fixture);
}

static void played_end(struct played *played)
{
    participant_close(played->participant);
    fixture_settle(played->fixture);
    participant_free(played->participant);
    fixture_free(played->fixture);
    sem_destroy(&played->words.said);
}

static void say_refused(const struct played *played, uint64_t turn, const char *text)
{
    peer_send_buffer(played->peer, turn, muster__encode_refused(text));
}

static enum muster_status consume(const struct played *played)
{
    const struct muster_message *instruction;
    fixture_settle(played->fixture);
    return participant_consume(played->participant, 0, &instruction, NULL);
}

/* Of a turn that runs, that is over, that never was: none of them is affected. */
FIXTURE_TEST(refused, the_word_leaves_turns_alone)
{
    struct played played;
    played_begin(&played, take_word);
    peer_send(played.peer, 1, sample(MUSTER_TRAIN));
    cr_assert_eq(consume(&played), MUSTER_OK);
    for (uint64_t turn = 0; turn < 4; turn++)
        say_refused(&played, turn, "no");
    fixture_settle(played.fixture);
    cr_assert_eq(played.words.count, 4);
    cr_assert_str_eq(played.words.last, "the server refused the answer to turn 3: no");
    cr_assert_not(participant_cancelled(played.participant));
    cr_assert_eq(participant_dispatch(played.participant, sample(MUSTER_TRAIN), NULL), MUSTER_OK);
    say_refused(&played, 1, "");
    peer_send(played.peer, 2, sample(MUSTER_TRAIN));
    say_refused(&played, 1, "no");
    cr_assert_eq(consume(&played), MUSTER_OK);
    cr_assert_eq(participant_dispatch(played.participant, sample(MUSTER_TRAIN), NULL), MUSTER_OK);
    fixture_settle(played.fixture);
    cr_assert_eq(played.peer->messages[played.peer->count - 1].turn, 2);
    cr_assert(is_sample(&played.peer->messages[played.peer->count - 1].message, MUSTER_TRAIN));
    played_end(&played);
}

FIXTURE_TEST(refused, a_servers_text_is_cut_and_made_harmless)
{
    struct played played;
    static char text[100000];
    played_begin(&played, take_word);
    memset(text, 'x', sizeof(text) - 1);
    memcpy(text, "\x1b[2J\n", 5);
    say_refused(&played, UINT64_MAX, text);
    fixture_settle(played.fixture);
    cr_assert_eq(played.words.count, 1);
    cr_assert_null(strchr(played.words.last, '\x1b'));
    cr_assert_null(strchr(played.words.last, '\n'));
    cr_assert_not_null(strstr(played.words.last, ": ?[2J?xxx"), "%s", played.words.last);
    cr_assert_leq(strlen(played.words.last), MUSTER_ERROR_TEXT_SIZE + 128);
    played_end(&played);
}

/* Of thousands, a few are told, and as many are read at once as are worth it; what is behind them comes. */
FIXTURE_TEST(refused, a_server_that_never_stops)
{
    enum { MANY = 3000, FIRST = 8, AT_ONCE = 256, PAUSE_MS = 50, INTERVAL_MS = 5000 };
    struct played played;
    played_begin(&played, take_word);
    for (size_t i = 1; i <= MANY; i++)
        say_refused(&played, i, "no");
    peer_send(played.peer, 1, sample(MUSTER_TRAIN));
    cr_assert_eq(consume(&played), MUSTER_TIMEOUT);
    cr_assert_eq(played.words.count, FIRST);
    for (size_t i = 0; i < (MANY - FIRST) / AT_ONCE - 1; i++)
        fixture_advance(played.fixture, PAUSE_MS);
    cr_assert_eq(consume(&played), MUSTER_TIMEOUT);
    fixture_advance(played.fixture, PAUSE_MS);
    cr_assert_eq(consume(&played), MUSTER_OK);
    cr_assert_eq(played.words.count, FIRST);

    fixture_advance(played.fixture, INTERVAL_MS);
    say_refused(&played, 7, "still no");
    say_refused(&played, 7, "and no");
    fixture_settle(played.fixture);
    cr_assert_eq(played.words.count, FIRST + 1);
    cr_assert_str_eq(played.words.last,
                     "the server refused the answer to turn 7 (and 2992 more before): still no");
    /* Who was quiet for long is listened to as at first. */
    fixture_advance(played.fixture, 100 * INTERVAL_MS);
    for (size_t i = 0; i < 2 * FIRST; i++)
        say_refused(&played, 8, "no");
    fixture_settle(played.fixture);
    cr_assert_eq(played.words.count, 2 * FIRST + 1);
    played_end(&played);
}

/* ---- what would wait, called where the word is taken; the broken library hangs ---- */

static void consume_and_free(void *context, const char *text)
{
    struct played *played = context;
    const struct muster_message *instruction;
    take_word(&played->words, text);
    cr_assert_eq(participant_consume(played->participant, 0, &instruction, NULL),
                 played->words.count == 1 ? MUSTER_TIMEOUT : MUSTER_CLOSED);
    participant_free(played->participant);
}

FIXTURE_TEST(refused, what_waits_where_the_word_is_taken)
{
    struct played played;
    played_begin(&played, consume_and_free);
    say_refused(&played, 1, "no");
    fixture_settle(played.fixture);
    cr_assert_eq(played.words.count, 2);
    cr_assert_not_null(strstr(played.words.last, "participant_free()"), "%s", played.words.last);
    played_end(&played);
}
