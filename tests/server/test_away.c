/* Those that are away: who may take their name, and for whom they make room. Single-threaded: each test steps
   the network itself. All come from one address unless a test says otherwise. */
#include <config.h>

#include <string.h>

#include "proxy/internal.h"
#include "support/fixture.h"
#include "support/outcome.h"

static struct participant_manager_options away_options(void)
{
    struct participant_manager_options options = fixture_options();
    options.session_grace_ms = 60000;
    return options;
}

static void send_away(struct fixture *fixture, const char *name)
{
    struct proxy *proxy = fixture_proxy(fixture, name);
    cr_assert_not_null(proxy);
    struct peer *peer = fixture->peers;
    while (peer && strcmp(peer->messages[0].name, name) != 0)
        peer = peer->next;
    peer_cut(peer);
    fixture_settle(fixture);
    cr_assert_not(proxy_is_open(proxy));
    cr_assert(event_is(fixture, fixture->event_count - 1, PARTICIPANT_MANAGER_AWAY, MUSTER_GONE, name));
}

static void join_and_go_away(struct fixture *fixture, const char *name)
{
    peer_join(fixture, name);
    send_away(fixture, name);
}

static struct peer *come(struct fixture *fixture, const char *name)
{
    struct peer *peer = peer_connect(fixture);
    peer_send_hello(peer, name);
    peer_send_empty(peer);
    fixture_settle(fixture);
    return peer;
}

static void expect_refused(struct fixture *fixture, const char *name, enum muster_status status,
                           const char *text)
{
    struct peer *peer = come(fixture, name);
    cr_assert(peer->closed);
    cr_assert_eq(peer->status, status, "%s", peer->text);
    cr_assert(strstr(peer->text, text) != NULL, "%s", peer->text);
}

/* Whether the one of this name has left to make room, as the n-th event from the end. */
static void expect_left(struct fixture *fixture, size_t n, const char *name, const char *text)
{
    size_t at = fixture->event_count - n;
    cr_assert(event_is(fixture, at, PARTICIPANT_MANAGER_LEFT, MUSTER_GONE, name), "%s left",
              fixture->events[at].name);
    cr_assert(strstr(fixture->events[at].text, text) != NULL, "%s", fixture->events[at].text);
}

/* ---- names ---- */

FIXTURE_TEST(away, restarted_participant_takes_its_place)
{
    struct participant_manager_options options = away_options();
    struct fixture *fixture = fixture_new(&options);
    struct outcome outcome = {0}, next = {0};
    peer_join(fixture, "bob");
    peer_join(fixture, "ada");
    struct proxy *old = fixture_proxy(fixture, "ada");
    cr_assert_eq(start_turn(old, MUSTER_TRAIN, 5000, &outcome), MUSTER_OK);
    send_away(fixture, "ada");
    cr_assert_eq(outcome.ended, 0);

    struct peer *peer = come(fixture, "ada");
    cr_assert_not(peer->closed, "%s", peer->text);
    cr_assert(ended_with(&outcome, MUSTER_GONE));
    expect_left(fixture, 2, "ada", "a newer participant has taken its name");
    cr_assert(event_is(fixture, fixture->event_count - 1, PARTICIPANT_MANAGER_JOINED, MUSTER_OK, "ada"));
    struct proxy *proxy = fixture_proxy(fixture, "ada");
    cr_assert_neq(proxy, old);
    cr_assert_eq(proxy_rank(proxy), 1);
    cr_assert_eq(peer->messages[0].rank, 1);
    cr_assert_eq(fixture_open_count(fixture), 2);

    peer->react = peer_answers;
    cr_assert_eq(start_turn(proxy, MUSTER_TRAIN, 5000, &next), MUSTER_OK);
    fixture_settle(fixture);
    cr_assert(ended_with(&next, MUSTER_OK));
    peer_join(fixture, "eve");
    cr_assert_eq(proxy_rank(fixture_proxy(fixture, "eve")), 2);
    fixture_free(fixture);
}

FIXTURE_TEST(away, who_was_displaced_is_refused_while_its_successor_is_there)
{
    struct participant_manager_options options = away_options();
    struct fixture *fixture = fixture_new(&options);
    struct peer *older = peer_join(fixture, "ada");
    send_away(fixture, "ada");
    struct peer *newer = come(fixture, "ada");
    struct peer *again = peer_connect(fixture);
    Muster__Hello hello = MUSTER__HELLO__INIT;
    hello.name = (char *)"ada";
    hello.session = (ProtobufCBinaryData){older->session_size, older->session};
    peer_send_buffer(again, 0, muster__encode_hello(NULL, &hello));
    fixture_settle(fixture);
    cr_assert(again->closed);
    cr_assert_eq(again->status, MUSTER_EXISTS);
    cr_assert_not(newer->closed);
    fixture_free(fixture);
}

FIXTURE_TEST(away, one_that_is_there_is_never_displaced)
{
    struct participant_manager_options options = away_options();
    struct fixture *fixture = fixture_new(&options);
    struct peer *peer = peer_join(fixture, "ada");
    expect_refused(fixture, "ada", MUSTER_EXISTS, "the name 'ada' is in use");
    cr_assert_not(peer->closed);
    cr_assert_eq(fixture_open_count(fixture), 1);
    fixture_free(fixture);
}

FIXTURE_TEST(away, certificate_of_another_name_takes_nobodys_place)
{
    static const char *const ada[] = {"ada", NULL}, *const eve[] = {"eve", NULL};
    struct participant_manager_options options = away_options();
    struct fixture *fixture = fixture_new(&options);
    muster_fixture_show(fixture->network, ada, NULL);
    join_and_go_away(fixture, "ada");
    struct proxy *old = fixture->proxies[0];
    muster_fixture_show(fixture->network, eve, NULL);
    expect_refused(fixture, "ada", MUSTER_REFUSED, "its name is 'eve'");
    muster_fixture_show(fixture->network, ada, NULL);
    come(fixture, ""); /* its certificate gives it the name */
    cr_assert_not_null(fixture_proxy(fixture, "ada"));
    cr_assert_neq(fixture_proxy(fixture, "ada"), old);
    fixture_free(fixture);
}

FIXTURE_TEST(away, name_is_kept_where_the_option_says_so)
{
    struct participant_manager_options options = away_options();
    options.name_takeover = false;
    struct fixture *fixture = fixture_new(&options);
    join_and_go_away(fixture, "ada");
    fixture_advance(fixture, 17000);
    expect_refused(fixture, "ada", MUSTER_EXISTS, "the name 'ada' is away, kept for 43 s more");
    fixture_advance(fixture, 43000);
    peer_join(fixture, "ada");
    fixture_free(fixture);
}

static enum muster_status admit_by_rule(void *context, struct proxy *proxy, char *text, size_t size)
{
    const struct fixture *fixture = context;
    (void)proxy;
    (void)text;
    (void)size;
    return fixture->data ? MUSTER_REFUSED : MUSTER_OK;
}

FIXTURE_TEST(away, whom_the_user_does_not_want_displaces_nobody)
{
    struct participant_manager_options options = away_options();
    options.admit = admit_by_rule;
    options.max_participants = 1;
    struct fixture *fixture = fixture_new(&options);
    join_and_go_away(fixture, "ada");
    size_t events = fixture->event_count;
    fixture->data = fixture;
    expect_refused(fixture, "ada", MUSTER_REFUSED, "");
    expect_refused(fixture, "bob", MUSTER_REFUSED, "");
    cr_assert_eq(fixture->event_count, events + 2, "and no LEFT");
    fixture->data = NULL;
    come(fixture, "ada");
    cr_assert_eq(proxy_rank(fixture_proxy(fixture, "ada")), 0);
    fixture_free(fixture);
}

FIXTURE_TEST(away, refused_attempts_use_up_no_rank)
{
    struct participant_manager_options options = away_options();
    options.admit = admit_by_rule;
    options.max_participants = 2;
    struct fixture *fixture = fixture_new(&options);
    peer_join(fixture, "ada");
    for (size_t i = 0; i < 3; i++)
        expect_refused(fixture, "ada", MUSTER_EXISTS, "in use");
    fixture->data = fixture;
    expect_refused(fixture, "bob", MUSTER_REFUSED, "");
    expect_refused(fixture, "", MUSTER_REFUSED, "");
    fixture->data = NULL;
    struct peer *given = peer_join(fixture, "");
    cr_assert_str_eq(given->messages[0].name, "anonymous-1");
    expect_refused(fixture, "eve", MUSTER_FULL, "full");
    peer_close(given, MUSTER_OK, "");
    fixture_settle(fixture);
    peer_join(fixture, "eve");
    cr_assert_eq(proxy_rank(fixture_proxy(fixture, "eve")), 2);
    fixture_free(fixture);
}

/* ---- places ---- */

/* Whether the session of a peer that went away is still there; it is back then. */
static bool comes_back(struct fixture *fixture, struct peer *peer)
{
    size_t events = fixture->event_count;
    struct peer *again = peer_connect(fixture);
    Muster__Hello hello = MUSTER__HELLO__INIT;
    hello.name = peer->messages[0].name;
    hello.session = (ProtobufCBinaryData){peer->session_size, peer->session};
    peer_send_buffer(again, 0, muster__encode_hello(NULL, &hello));
    peer_send_empty(again);
    fixture_settle(fixture);
    cr_assert_not(again->closed, "%s", again->text);
    return event_is(fixture, events, PARTICIPANT_MANAGER_BACK, MUSTER_OK, peer->messages[0].name);
}

static struct peer *first_away_of_three(struct fixture *fixture)
{
    struct peer *first = peer_join(fixture, "a");
    send_away(fixture, "a");
    join_and_go_away(fixture, "b");
    return first;
}

FIXTURE_TEST(away, those_that_are_away_count_at_their_address)
{
    struct participant_manager_options options = away_options();
    options.max_participants_per_address = 2;
    struct fixture *fixture = fixture_new(&options);
    for (char name[2] = "a"; name[0] < 'h'; name[0]++) {
        size_t events = fixture->event_count;
        char longest[2] = {(char)(name[0] - 2), '\0'};
        struct peer *peer = peer_join(fixture, name);
        if (name[0] > 'b')
            expect_left(fixture, 2, longest, "its place was given to another");
        else
            cr_assert_eq(fixture->event_count, events + 1);
        cr_assert_eq(peer->messages[0].content, CONTENT_WELCOME);
        send_away(fixture, name);
    }
    cr_assert_eq(fixture->manager->registry.away_count, 2);
    cr_assert_eq(fixture->manager->registry.admitted_count, 2);
    fixture_free(fixture);
}

FIXTURE_TEST(away, who_comes_back_displaces_nobody)
{
    struct participant_manager_options options = away_options();
    options.max_participants_per_address = 2;
    options.max_participants = 2;
    struct fixture *fixture = fixture_new(&options);
    struct peer *first = first_away_of_three(fixture);
    cr_assert(comes_back(fixture, first));
    cr_assert_eq(fixture->manager->registry.away_count, 1);
    peer_join(fixture, "c");
    expect_left(fixture, 2, "b", "its place was given to another");
    cr_assert_eq(fixture->manager->registry.away_count, 0);
    struct peer *fourth = peer_connect(fixture);
    fixture_settle(fixture);
    cr_assert_eq(fourth->status, MUSTER_FULL);
    fixture_free(fixture);
}

FIXTURE_TEST(away, full_server_gives_the_place_of_the_longest_away)
{
    struct participant_manager_options options = away_options();
    options.max_participants = 2;
    struct fixture *fixture = fixture_new(&options);
    struct peer *first = first_away_of_three(fixture);
    peer_join(fixture, "c");
    expect_left(fixture, 2, "a", "its place was given to another");
    peer_join(fixture, "d");
    expect_left(fixture, 2, "b", "its place was given to another");
    expect_refused(fixture, "e", MUSTER_FULL, "full");
    send_away(fixture, "c");
    cr_assert_not(comes_back(fixture, first)); /* it is somebody new */
    expect_left(fixture, 2, "c", "its place was given to another");
    fixture_free(fixture);
}

/* Of those that are away, one of its own address goes before one that has been away longer. */
FIXTURE_TEST(away, who_comes_and_goes_displaces_its_own_address)
{
    struct participant_manager_options options = away_options();
    options.max_participants = 3;
    options.max_away = 2;
    struct fixture *fixture = fixture_new(&options);
    join_and_go_away(fixture, "ada");
    muster_fixture_come_from(fixture->network, "elsewhere");
    join_and_go_away(fixture, "b");
    join_and_go_away(fixture, "c"); /* one more than are waited for */
    expect_left(fixture, 2, "b", "too many others are away");
    peer_join(fixture, "d");
    peer_join(fixture, "e"); /* one more than there is room for */
    expect_left(fixture, 2, "c", "its place was given to another");
    peer_join(fixture, "f"); /* nobody else of its address is away */
    expect_left(fixture, 2, "ada", "its place was given to another");
    fixture_free(fixture);
}

FIXTURE_TEST(away, only_so_many_are_waited_for)
{
    struct participant_manager_options options = away_options();
    options.max_away = 2;
    struct fixture *fixture = fixture_new(&options);
    first_away_of_three(fixture);
    peer_join(fixture, "c");
    struct peer *last = fixture->peers;
    peer_cut(last);
    fixture_settle(fixture);
    cr_assert(event_is(fixture, fixture->event_count - 1, PARTICIPANT_MANAGER_AWAY, MUSTER_GONE, "c"));
    expect_left(fixture, 2, "a", "too many others are away");
    cr_assert_eq(fixture->manager->registry.away_count, 2);
    cr_assert(comes_back(fixture, last));
    fixture_advance(fixture, 60000);
    expect_left(fixture, 1, "b", "has not come back");
    cr_assert_eq(fixture->manager->registry.away_count, 0);
    fixture_free(fixture);
}

FIXTURE_TEST(away, nobody_to_be_waited_for_is_no_option)
{
    struct participant_manager_options options = away_options();
    struct participant_manager *manager;
    struct muster_error error;
    struct fixture *fixture = fixture_new_empty();
    options.max_away = 0;
    cr_assert_eq(participant_manager_start(&options, &manager, &error), MUSTER_INVALID);
    cr_assert(strstr(error.text, "max_away") != NULL, "%s", error.text);
    fixture_free(fixture);
}

/* Whoever wrote the text. */
FIXTURE_TEST(away, text_of_an_event_is_harmless)
{
    struct fixture *fixture = fixture_new(NULL);
    peer_join(fixture, "ada");
    muster__manager_event(fixture_proxy(fixture, "ada"), PARTICIPANT_MANAGER_AWAY, MUSTER_GONE,
                          "no\nada is back\x1b[31m");
    cr_assert_str_eq(fixture->events[1].text, "no?ada is back?[31m");
    fixture_free(fixture);
}
