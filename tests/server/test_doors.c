/* The doors over the local network: rates by a clock that the test moves, and names by certificates that it
 * makes up. */
#include <config.h>

#include <string.h>

#include "support/fixture.h"
#include "support/outcome.h"

/* Wants a new peer to be turned away before it has said anything. */
static void expect_turned_away(struct fixture *fixture, enum muster_status status, const char *text)
{
    size_t events = fixture->event_count;
    struct peer *peer = peer_connect(fixture);
    fixture_settle(fixture);
    cr_assert(peer->closed);
    cr_assert_eq(peer->status, status, "%s", peer->text);
    cr_assert(strstr(peer->text, text) != NULL, "%s", peer->text);
    cr_assert_eq(fixture->event_count, events + 1);
    cr_assert(event_is(fixture, events, PARTICIPANT_MANAGER_REFUSED, status, ""));
}

FIXTURE_TEST(doors, joining_rate)
{
    struct participant_manager_options options = fixture_options();
    options.join_rate = 2;
    struct fixture *fixture = fixture_new(&options);
    peer_join(fixture, "a");
    peer_join(fixture, "b");
    expect_turned_away(fixture, MUSTER_UNAVAILABLE, "2 participants a second");
    fixture_advance(fixture, 499);
    expect_turned_away(fixture, MUSTER_UNAVAILABLE, "try again later");
    fixture_advance(fixture, 1);
    peer_join(fixture, "c");
    expect_turned_away(fixture, MUSTER_UNAVAILABLE, "try again later");
    fixture_advance(fixture, 3600000); /* a second's worth is all that is ever saved up */
    peer_join(fixture, "d");
    peer_join(fixture, "e");
    expect_turned_away(fixture, MUSTER_UNAVAILABLE, "try again later");
    cr_assert_eq(fixture_open_count(fixture), 5);
    fixture_free(fixture);
}

FIXTURE_TEST(doors, slow_joining_rate)
{
    struct participant_manager_options options = fixture_options();
    options.join_rate = 0.5;
    struct fixture *fixture = fixture_new(&options);
    peer_join(fixture, "a");
    expect_turned_away(fixture, MUSTER_UNAVAILABLE, "0.5 participants a second");
    fixture_advance(fixture, 2000);
    peer_join(fixture, "b");
    expect_turned_away(fixture, MUSTER_UNAVAILABLE, "try again later");
    fixture_free(fixture);
}

/* All of the local network's come from one address. One counts from its coming to its end. */
FIXTURE_TEST(doors, participants_of_one_address)
{
    struct participant_manager_options options = fixture_options();
    options.max_participants_per_address = 2;
    struct fixture *fixture = fixture_new(&options);
    struct peer *joined = peer_join(fixture, "a");
    struct peer *silent = peer_connect(fixture);
    fixture_settle(fixture);
    expect_turned_away(fixture, MUSTER_FULL, "one address");
    expect_turned_away(fixture, MUSTER_FULL, "one address"); /* who is turned away does not count */
    peer_cut(silent);
    fixture_settle(fixture);
    peer_join(fixture, "b");
    expect_turned_away(fixture, MUSTER_FULL, "one address");
    peer_cut(joined);
    fixture_settle(fixture);
    peer_join(fixture, "c");
    fixture_free(fixture);
}

FIXTURE_TEST(doors, who_shows_no_credentials_spends_nothing)
{
    struct participant_manager_options options = fixture_options();
    options.join_rate = 1;
    options.max_participants_per_address = 1;
    struct fixture *fixture = fixture_new(&options);
    muster_fixture_show(fixture->network, NULL, "no certificate");
    for (size_t i = 0; i < 3; i++)
        expect_turned_away(fixture, MUSTER_UNAUTHENTICATED, "no certificate");
    muster_fixture_show(fixture->network, NULL, NULL);
    peer_join(fixture, "a");
    fixture_free(fixture);
}

/* ---- names ---- */

static const char *const names[] = {"ada", "ada.example", NULL};

FIXTURE_TEST(doors, certificate_gives_the_name)
{
    struct fixture *fixture = fixture_new(NULL);
    muster_fixture_show(fixture->network, names, NULL);
    peer_join(fixture, "");
    cr_assert_not_null(fixture_proxy(fixture, "ada"));
    peer_join(fixture, "ada.example");
    cr_assert_not_null(fixture_proxy(fixture, "ada.example"));
    fixture_free(fixture);
}

FIXTURE_TEST(doors, certificate_names_an_original_participant_too)
{
    struct fixture *fixture = fixture_new(NULL);
    muster_fixture_show(fixture->network, names, NULL);
    peer_join(fixture, NULL);
    cr_assert_not_null(fixture_proxy(fixture, "ada"));
    fixture_free(fixture);
}

FIXTURE_TEST(doors, certificate_is_for_no_other_name)
{
    static const char *const others[] = {"bob", "ADA", "ada.", "example", "anonymous-0"};
    struct fixture *fixture = fixture_new(NULL);
    muster_fixture_show(fixture->network, names, NULL);
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        struct peer *peer = peer_connect(fixture);
        peer_send_hello(peer, others[i]);
        fixture_settle(fixture);
        cr_assert(peer->closed);
        cr_assert_eq(peer->status, MUSTER_REFUSED, "%s: %s", others[i], peer->text);
        cr_assert(strstr(peer->text, "its name is 'ada'") != NULL, "%s", peer->text);
    }
    fixture_free(fixture);
}

/* A certificate does not lift the rules for names. */
FIXTURE_TEST(doors, certificate_with_a_name_that_makes_no_sense)
{
    static const char *const strange[] = {"anonymous-7", NULL};
    struct fixture *fixture = fixture_new(NULL);
    muster_fixture_show(fixture->network, strange, NULL);
    struct peer *peer = peer_connect(fixture);
    peer_send_hello(peer, "");
    fixture_settle(fixture);
    cr_assert(peer->closed);
    cr_assert_eq(peer->status, MUSTER_INVALID, "%s", peer->text);
    fixture_free(fixture);
}

/* ---- strings ---- */

FIXTURE_TEST(doors, name_that_is_not_utf8)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_connect(fixture);
    peer_send_hello(peer, "caf\xe9");
    fixture_settle(fixture);
    cr_assert(peer->closed);
    cr_assert_eq(peer->status, MUSTER_INVALID);
    cr_assert(strstr(peer->text, "is not UTF-8") != NULL, "%s", peer->text);
    fixture_free(fixture);
}

FIXTURE_TEST(doors, certificate_whose_name_is_not_utf8)
{
    static const char *const strange[] = {"caf\xe9", NULL};
    struct fixture *fixture = fixture_new(NULL);
    muster_fixture_show(fixture->network, strange, NULL);
    struct peer *peer = peer_connect(fixture);
    peer_send_hello(peer, "");
    fixture_settle(fixture);
    cr_assert(peer->closed);
    cr_assert_eq(peer->status, MUSTER_INVALID, "%s", peer->text);
    fixture_free(fixture);
}

FIXTURE_TEST(doors, answer_that_is_not_utf8)
{
    static const char failure[] = "\x10\x01\x32\x03\x12\x01\xe9"; /* turn 1, Failure { text } */
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_join(fixture, "ada");
    struct outcome outcome = {0};
    start_turn(fixture_proxy(fixture, "ada"), MUSTER_TRAIN, MUSTER_NO_LIMIT, &outcome);
    fixture_settle(fixture);
    peer_send_bytes(peer, failure, sizeof(failure) - 1);
    fixture_settle(fixture);
    cr_assert(peer->closed);
    cr_assert_eq(peer->status, MUSTER_INVALID);
    cr_assert(strstr(peer->text, "a failure's text is not UTF-8") != NULL, "%s", peer->text);
    cr_assert(ended_with(&outcome, MUSTER_INVALID));
    fixture_free(fixture);
}

FIXTURE_TEST(doors, own_strings_that_are_not_utf8)
{
    static const char bad[] = "caf\xe9";
    const struct participant_label labels[] = {{bad, "x"}, {"x", bad}};
    struct participant_options options;
    participant_options_init(&options);
    struct participant *participant;
    struct muster_error error;
    options.name = bad;
    cr_assert_eq(participant_connect(ADDRESS, &options, &participant, &error), MUSTER_INVALID);
    cr_assert_str_eq(error.text, "the name 'caf?' is not UTF-8");
    options.name = NULL;
    options.label_count = 1;
    for (size_t i = 0; i < 2; i++) {
        options.labels = &labels[i];
        cr_assert_eq(participant_connect(ADDRESS, &options, &participant, &error), MUSTER_INVALID);
        cr_assert(strstr(error.text, "is not UTF-8") != NULL, "%s", error.text);
    }
}

FIXTURE_TEST(doors, instruction_with_a_string_that_is_not_utf8)
{
    const struct muster_scalar scalar = {"caf\xe9", 1};
    const struct muster_message instruction = {.kind = MUSTER_TRAIN, .scalars = &scalar, .scalar_count = 1};
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_join(fixture, "ada");
    struct outcome outcome = {0};
    cr_assert_eq(start_message(fixture_proxy(fixture, "ada"), &instruction, MUSTER_NO_LIMIT, &outcome),
                 MUSTER_INVALID);
    fixture_settle(fixture);
    cr_assert_not(peer->closed);
    cr_assert_eq(outcome.ended, 0);
    fixture_free(fixture);
}
