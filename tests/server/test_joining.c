/* Joining: the first messages of a participant, in time, of the right kind and size, or not. Single-threaded:
   each test steps the network itself. */
#include <config.h>

#include <string.h>

#include "support/fixture.h"
#include "support/outcome.h"
#include "support/sample.h"

static const uint8_t garbage[] = {0xff, 0xff, 0xff, 0x07, 'x'};

/* ---- joining ---- */

FIXTURE_TEST(joining, hello_is_answered_with_welcome)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_connect(fixture);
    peer_send_hello(peer, "ada");
    fixture_settle(fixture);
    cr_assert_eq(peer->count, 1);
    cr_assert_eq(peer->messages[0].content, CONTENT_WELCOME);
    cr_assert_str_eq(peer->messages[0].name, "ada");
    cr_assert_eq(peer->messages[0].rank, 0);
    cr_assert_eq(peer->messages[0].max_message_size, (size_t)4 << 20);
    cr_assert_eq(fixture_open_count(fixture), 0, "it has not passed the initiative yet");
    cr_assert_eq(fixture->event_count, 0);
    fixture_free(fixture);
}

FIXTURE_TEST(joining, initiative_opens_the_proxy)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_join(fixture, "ada");
    struct proxy *proxy = fixture_proxy(fixture, "ada");
    cr_assert_not_null(proxy);
    cr_assert(proxy_is_open(proxy));
    cr_assert_eq(proxy_rank(proxy), 0);
    cr_assert_eq(proxy_progress(proxy), 0);
    cr_assert_str_eq(proxy_peer(proxy), "local:0");
    cr_assert_null(proxy_user(proxy));
    cr_assert_eq(fixture->event_count, 1);
    cr_assert(event_is(fixture, 0, PARTICIPANT_MANAGER_JOINED, MUSTER_OK, "ada"));
    cr_assert_eq(peer->count, 1, "nothing comes after Welcome");
    fixture_free(fixture);
}

FIXTURE_TEST(joining, empty_first_message_joins_an_original)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_join(fixture, NULL);
    struct proxy *proxy = fixture_proxy(fixture, "anonymous-0");
    cr_assert_not_null(proxy);
    cr_assert(proxy_is_open(proxy));
    cr_assert_null(proxy_label(proxy, "site"));
    cr_assert_eq(peer->count, 0, "it would not know Welcome");
    struct proxy_statistics statistics;
    proxy_get_statistics(proxy, &statistics);
    cr_assert(statistics.original);
    cr_assert(event_is(fixture, 0, PARTICIPANT_MANAGER_JOINED, MUSTER_OK, "anonymous-0"));
    fixture_free(fixture);
}

FIXTURE_TEST(joining, nameless_hello_is_given_a_name)
{
    struct fixture *fixture = fixture_new(NULL);
    peer_join(fixture, "ada");
    struct peer *peer = peer_join(fixture, "");
    cr_assert_str_eq(peer->messages[0].name, "anonymous-1");
    cr_assert_eq(peer->messages[0].rank, 1);
    cr_assert_not_null(fixture_proxy(fixture, "anonymous-1"));
    fixture_free(fixture);
}

FIXTURE_TEST(joining, ranks_are_not_given_twice)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_join(fixture, "a");
    peer_cut(peer);
    fixture_settle(fixture);
    peer_join(fixture, "a");
    peer_join(fixture, "b");
    cr_assert_eq(proxy_rank(fixture_proxy(fixture, "a")), 1);
    cr_assert_eq(proxy_rank(fixture_proxy(fixture, "b")), 2);
    fixture_free(fixture);
}

FIXTURE_TEST(joining, labels_can_be_read)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_connect(fixture);
    peer_send_hello_labels(peer, 3);
    fixture_settle(fixture);
    struct proxy *proxy = fixture_proxy(fixture, "ada");
    cr_assert_str_eq(proxy_label(proxy, "site"), "Graz");
    cr_assert_str_eq(proxy_label(proxy, "big"), "vvv");
    cr_assert_null(proxy_label(proxy, "sit"));
    peer_cut(peer);
    fixture_settle(fixture);
    cr_assert_str_eq(proxy_label(proxy, "site"), "Graz", "valid as long as the proxy");
    cr_assert_str_eq(proxy_name(proxy), "ada");
    fixture_free(fixture);
}

/* ---- time ---- */

static struct fixture *with_join_timeout(int64_t milliseconds)
{
    struct participant_manager_options options = fixture_options();
    options.join_timeout_ms = milliseconds;
    return fixture_new(&options);
}

FIXTURE_TEST(joining, first_message_that_never_comes)
{
    struct fixture *fixture = with_join_timeout(10000);
    struct peer *peer = peer_connect(fixture);
    fixture_settle(fixture);
    fixture_advance(fixture, 9999);
    cr_assert_not(peer->closed);
    fixture_advance(fixture, 1);
    cr_assert(peer->closed);
    cr_assert_eq(peer->status, MUSTER_TIMEOUT);
    cr_assert(strstr(peer->text, "initiative") != NULL, "%s", peer->text);
    cr_assert_eq(fixture->event_count, 1);
    cr_assert(event_is(fixture, 0, PARTICIPANT_MANAGER_REFUSED, MUSTER_TIMEOUT, ""));
    fixture_free(fixture);
}

FIXTURE_TEST(joining, initiative_that_never_comes)
{
    struct fixture *fixture = with_join_timeout(10000);
    struct peer *peer = peer_connect(fixture);
    fixture_settle(fixture);
    fixture_advance(fixture, 9000);
    peer_send_hello(peer, "ada");
    fixture_settle(fixture);
    fixture_advance(fixture, 1000); /* Hello does not begin the time anew */
    cr_assert(peer->closed);
    cr_assert_eq(peer->status, MUSTER_TIMEOUT);
    cr_assert(event_is(fixture, 0, PARTICIPANT_MANAGER_REFUSED, MUSTER_TIMEOUT, "ada"));
    peer_join(fixture, "ada"); /* the name is free again */
    fixture_free(fixture);
}

FIXTURE_TEST(joining, time_to_join_ends_with_joining)
{
    struct fixture *fixture = with_join_timeout(10000);
    struct peer *peer = peer_join(fixture, "ada");
    struct peer *original = peer_join(fixture, NULL);
    fixture_advance(fixture, 1000000);
    cr_assert_not(peer->closed);
    cr_assert_not(original->closed);
    cr_assert_eq(fixture_open_count(fixture), 2);
    fixture_free(fixture);
}

FIXTURE_TEST(joining, no_limit_to_join)
{
    struct fixture *fixture = with_join_timeout(MUSTER_NO_LIMIT);
    struct peer *peer = peer_connect(fixture);
    fixture_settle(fixture);
    fixture_advance(fixture, (int64_t)1 << 40);
    cr_assert_not(peer->closed);
    fixture_free(fixture);
}

/* ---- wrong first messages ---- */

FIXTURE_TEST(joining, garbage_first)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_connect(fixture);
    peer_send_bytes(peer, garbage, sizeof(garbage));
    fixture_expect_refused(fixture, peer, MUSTER_PROTOCOL, "the bytes are no message");
    fixture_free(fixture);
}

FIXTURE_TEST(joining, answer_first)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_connect(fixture);
    peer_send(peer, 0, sample(MUSTER_TRAIN));
    fixture_expect_refused(fixture, peer, MUSTER_PROTOCOL, "the first message");
    fixture_free(fixture);
}

FIXTURE_TEST(joining, unknown_instruction_first)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_connect(fixture);
    peer_send(peer, 0, sample(MUSTER_UNKNOWN));
    fixture_expect_refused(fixture, peer, MUSTER_PROTOCOL, "the first message");
    fixture_free(fixture);
}

FIXTURE_TEST(joining, progress_first)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_connect(fixture);
    peer_send_buffer(peer, 0, muster__encode_progress(0.5, NULL));
    fixture_expect_refused(fixture, peer, MUSTER_PROTOCOL, "the first message");
    fixture_free(fixture);
}

FIXTURE_TEST(joining, empty_message_of_a_turn_first)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_connect(fixture);
    peer_send_buffer(peer, 3, NULL);
    fixture_expect_refused(fixture, peer, MUSTER_PROTOCOL, "the first message");
    fixture_free(fixture);
}

FIXTURE_TEST(joining, answer_after_hello)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_connect(fixture);
    peer_send_hello(peer, "ada");
    peer_send(peer, 1, sample(MUSTER_TRAIN));
    fixture_expect_refused(fixture, peer, MUSTER_PROTOCOL, "the message after Hello");
    peer_join(fixture, "ada"); /* the name is free again */
    fixture_free(fixture);
}

FIXTURE_TEST(joining, second_hello_before_the_initiative)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_connect(fixture);
    peer_send_hello(peer, "ada");
    peer_send_hello(peer, "ada");
    fixture_expect_refused(fixture, peer, MUSTER_PROTOCOL, "the message after Hello");
    fixture_free(fixture);
}

FIXTURE_TEST(joining, second_hello_after_the_initiative)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_join(fixture, "ada");
    peer_send_hello(peer, "bob");
    fixture_settle(fixture);
    cr_assert(peer->closed);
    cr_assert_eq(peer->status, MUSTER_PROTOCOL);
    cr_assert_str_eq(peer->text, "a second Hello");
    cr_assert(event_is(fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_PROTOCOL, "ada"));
    cr_assert_eq(fixture->event_count, 2);
    fixture_free(fixture);
}

FIXTURE_TEST(joining, hello_up_to_its_limit)
{
    struct fixture *fixture = fixture_new(NULL);
    peer_send_hello_labels(peer_connect(fixture), 16300);
    fixture_settle(fixture);
    cr_assert_not_null(fixture_proxy(fixture, "ada"));
    fixture_free(fixture);
}

FIXTURE_TEST(joining, hello_that_is_too_big)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_connect(fixture);
    peer_send_hello_labels(peer, 16384);
    fixture_expect_refused(fixture, peer, MUSTER_PROTOCOL, "Hello or Welcome is bigger than 16 KiB");
    fixture_free(fixture);
}

FIXTURE_TEST(joining, message_over_the_limit)
{
    struct participant_manager_options options = fixture_options();
    options.max_message_size = 1024;
    struct fixture *fixture = fixture_new(&options);
    struct peer *peer = peer_connect(fixture);
    uint8_t bytes[1025] = {0};
    peer_send_bytes(peer, bytes, sizeof(bytes));
    fixture_expect_refused(fixture, peer, MUSTER_TOO_BIG, "limit");
    fixture_free(fixture);
}

FIXTURE_TEST(joining, what_follows_a_wrong_message_is_ignored)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_connect(fixture);
    peer_send(peer, 0, sample(MUSTER_TRAIN));
    peer_send_hello(peer, "ada");
    peer_send_empty(peer);
    peer_send_bytes(peer, garbage, sizeof(garbage));
    fixture_expect_refused(fixture, peer, MUSTER_PROTOCOL, "the first message");
    cr_assert_eq(peer->count, 0);
    fixture_free(fixture);
}

/* ---- leaving early ---- */

FIXTURE_TEST(joining, stream_that_breaks_before_its_first_message)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_connect(fixture);
    fixture_settle(fixture);
    peer_cut(peer);
    fixture_settle(fixture);
    cr_assert_eq(fixture->event_count, 1);
    cr_assert(event_is(fixture, 0, PARTICIPANT_MANAGER_REFUSED, MUSTER_GONE, ""));
    fixture_free(fixture);
}

FIXTURE_TEST(joining, stream_that_breaks_after_hello)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_connect(fixture);
    peer_send_hello(peer, "ada");
    fixture_settle(fixture);
    cr_assert(muster_fixture_drop(fixture->network, 0));
    fixture_settle(fixture);
    cr_assert_eq(fixture->event_count, 1);
    cr_assert(event_is(fixture, 0, PARTICIPANT_MANAGER_REFUSED, MUSTER_GONE, "ada"));
    peer_join(fixture, "ada");
    fixture_free(fixture);
}

FIXTURE_TEST(joining, participant_that_closes_its_stream_has_left)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_join(fixture, "ada");
    struct proxy *proxy = fixture_proxy(fixture, "ada");
    peer_close(peer, MUSTER_OK, "");
    fixture_settle(fixture);
    cr_assert_not(proxy_is_open(proxy));
    cr_assert_eq(fixture_open_count(fixture), 0);
    cr_assert_eq(fixture->event_count, 2);
    cr_assert(event_is(fixture, 1, PARTICIPANT_MANAGER_LEFT, MUSTER_GONE, "ada"));
    cr_assert(peer->closed);
    cr_assert_eq(peer->status, MUSTER_OK);
    fixture_free(fixture);
}

FIXTURE_TEST(joining, welcome_that_finds_the_connection_broken)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_connect(fixture);
    peer_send_hello(peer, "ada");
    muster_fixture_fail_send(fixture->network, 1);
    fixture_settle(fixture);
    cr_assert(peer->closed);
    cr_assert_eq(fixture->event_count, 1);
    cr_assert(event_is(fixture, 0, PARTICIPANT_MANAGER_REFUSED, MUSTER_GONE, "ada"));
    peer_join(fixture, "ada");
    fixture_free(fixture);
}

/* ---- a turn before the initiative ---- */

struct attempts {
    enum muster_status in_admit, in_factory;
    struct outcome outcomes[2];
};

static enum muster_status admit_with_a_turn(void *context, struct proxy *proxy, char *text, size_t size)
{
    struct attempts *attempts = ((struct fixture *)context)->data;
    (void)text;
    (void)size;
    attempts->in_admit = start_turn(proxy, MUSTER_TRAIN, MUSTER_NO_LIMIT, &attempts->outcomes[0]);
    return MUSTER_OK;
}

static void *make_with_a_turn(void *context, struct proxy *proxy)
{
    struct attempts *attempts = ((struct fixture *)context)->data;
    attempts->in_factory = start_turn(proxy, MUSTER_TRAIN, MUSTER_NO_LIMIT, &attempts->outcomes[1]);
    return NULL;
}

static struct fixture *with_attempts(struct attempts *attempts)
{
    struct participant_manager_options options = fixture_options();
    *attempts = (struct attempts){0};
    options.admit = admit_with_a_turn;
    options.factory = make_with_a_turn;
    options.join_timeout_ms = 10000;
    struct fixture *fixture = fixture_new(&options);
    fixture->data = attempts;
    return fixture;
}

static void expect_invalid(const struct attempts *attempts)
{
    cr_assert_eq(attempts->in_admit, MUSTER_INVALID);
    cr_assert_eq(attempts->in_factory, MUSTER_INVALID);
    cr_assert_eq(attempts->outcomes[0].ended, 0);
    cr_assert_eq(attempts->outcomes[1].ended, 0);
}

FIXTURE_TEST(joining, turn_before_the_initiative_is_not_begun)
{
    struct attempts attempts;
    struct fixture *fixture = with_attempts(&attempts);
    struct peer *peer = peer_connect(fixture);
    peer_send_hello(peer, "ada");
    fixture_settle(fixture);
    expect_invalid(&attempts);
    cr_assert_eq(peer->count, 1);
    cr_assert_eq(peer->messages[0].content, CONTENT_WELCOME);
    fixture_advance(fixture, 9999);
    cr_assert_not(peer->closed);
    fixture_advance(fixture, 1);
    cr_assert(peer->closed, "the time to join runs on");
    cr_assert_eq(peer->status, MUSTER_TIMEOUT);
    expect_invalid(&attempts);
    fixture_free(fixture);
}

FIXTURE_TEST(joining, turn_before_an_original_has_joined_is_not_begun)
{
    struct attempts attempts;
    struct outcome outcome;
    struct fixture *fixture = with_attempts(&attempts);
    struct peer *peer = peer_join(fixture, NULL);
    expect_invalid(&attempts);
    cr_assert_eq(peer->count, 0);
    peer->react = peer_answers;
    cr_assert_eq(start_turn(fixture_proxy(fixture, "anonymous-0"), MUSTER_TRAIN, MUSTER_NO_LIMIT, &outcome),
                 MUSTER_OK);
    fixture_settle(fixture);
    cr_assert(ended_with(&outcome, MUSTER_OK));
    fixture_free(fixture);
}
