/* The door: who is let in, who is turned away with what, and what the events say of it. Single-threaded: each
   test steps the network itself. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "support/fixture.h"

static const uint8_t garbage[] = {0xff, 0xff, 0xff, 0x07, 'x'};

/* ---- names ---- */

FIXTURE_TEST(admission, name_in_use)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *first = peer_join(fixture, "ada");
    struct peer *second = peer_connect(fixture);
    peer_send_hello(second, "ada");
    fixture_settle(fixture);
    cr_assert(second->closed);
    cr_assert_eq(second->status, MUSTER_EXISTS);
    cr_assert_str_eq(
        second->text,
        "the name 'ada' is in use: choose another, or try again in 50 s if its participant died");
    cr_assert(event_is(fixture, 1, PARTICIPANT_MANAGER_REFUSED, MUSTER_EXISTS, "ada"));
    cr_assert_not(first->closed);
    cr_assert_eq(fixture_open_count(fixture), 1);

    struct peer *third = peer_connect(fixture); /* the refused one's end has not freed the name */
    peer_send_hello(third, "ada");
    fixture_settle(fixture);
    cr_assert_eq(third->status, MUSTER_EXISTS);
    peer_cut(first);
    fixture_settle(fixture);
    peer_join(fixture, "ada");
    fixture_free(fixture);
}

FIXTURE_TEST(admission, name_of_one_that_has_not_passed_the_initiative_yet)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *first = peer_connect(fixture);
    struct peer *second = peer_connect(fixture);
    peer_send_hello(first, "ada");
    peer_send_hello(second, "ada");
    fixture_settle(fixture);
    cr_assert_not(first->closed);
    cr_assert_eq(second->status, MUSTER_EXISTS);
    fixture_free(fixture);
}

FIXTURE_TEST(admission, name_is_free_once_the_proxy_is_closed)
{
    struct fixture *fixture = fixture_new(NULL);
    peer_join(fixture, "ada");
    struct proxy *proxy = fixture_proxy(fixture, "ada");
    proxy_close(proxy); /* and before the participant knows */
    peer_join(fixture, "ada");
    cr_assert_neq(fixture_proxy(fixture, "ada"), proxy);
    fixture_free(fixture);
}

static void expect_bad_name(const char *name, const char *text)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_connect(fixture);
    peer_send_hello(peer, name);
    fixture_expect_refused(fixture, peer, MUSTER_INVALID, text);
    cr_assert(strlen(name) < 4 || !strstr(peer->text, name), "it is not repeated");
    fixture_free(fixture);
}

FIXTURE_TEST(admission, names_that_are_not_allowed)
{
    static const char *const unseen[] = {
        "a\nb",
        "\x1b[31m",
        "a\x7f",
        "a\xc2\x80",
        "a\xc2\x9b"
        "31m",
        "\xe2\x80\xae"
        "ada",               /* U+202E */
        "a\xe2\x80\xaa",     /* U+202A */
        "a\xe2\x81\xa6z",    /* U+2066 */
        "ada\xe3\x85\xa4",   /* U+3164, a letter that is not seen */
        "ada\xcd\x8f",       /* U+034F */
        "\xf3\xa0\x84\x80x", /* U+E0100 */
        "a\xe2\x81\xa9",     /* U+2069 */
        "a\xe2\x80\x8e",     /* U+200E */
        "a\xe2\x80\x8f",     /* U+200F */
        "a\xd8\x9c",         /* U+061C */
        "a\xe2\x80\xa8",     /* U+2028 */
        "a\xe2\x80\x8b",     /* U+200B */
        "\xef\xbb\xbf"
        "a",                 /* U+FEFF */
        "a\xf3\xa0\x81\x81", /* U+E0041 */
    };
    static const char *const not_utf8[] = {
        "\xff",
        "a\x80",
        "a\xc3",
        "\xc0\xaf",
        "\xe0\x80\xaf",
        "\xed\xa0\x80",
        "\xf4\x90\x80\x80",
        "\xf0\x80\x80\xaf",
        "\xf8\x88\x80\x80\x80",
    };
    static const char *const blank[] = {" a", "a ", " ", "\u00a0a", "a\xe3\x80\x80"};
    char too_long[130] = "";
    memset(too_long, 'n', 129);
    expect_bad_name("anonymous-7", "the server's to give");
    expect_bad_name(too_long, "at most 128 bytes");
    expect_bad_name("../../x", "slash");
    expect_bad_name("a/b", "slash");
    expect_bad_name("a\\b", "slash");
    expect_bad_name("..", "folder");
    for (size_t i = 0; i < sizeof(unseen) / sizeof(*unseen); i++)
        expect_bad_name(unseen[i], "control characters, direction marks");
    for (size_t i = 0; i < sizeof(not_utf8) / sizeof(*not_utf8); i++)
        expect_bad_name(not_utf8[i], "not UTF-8");
    for (size_t i = 0; i < sizeof(blank) / sizeof(*blank); i++)
        expect_bad_name(blank[i], "begins or ends with a blank");
}

FIXTURE_TEST(admission, names_that_are_allowed)
{
    static const char *const good[] = {
        "Klinik S\xc3\xbc"
        "d, Station 3",
        "anonymous",
        "...",
        ".a",
        "host:8080",
        "a\xe2\x80\x8d"
        "b",
        "\xf0\x9f\x92\xa1",
        "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d",
    };
    char longest[129] = "";
    memset(longest, 'n', 128);
    struct fixture *fixture = fixture_new(NULL);
    peer_join(fixture, longest);
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        peer_join(fixture, good[i]);
    cr_assert_eq(fixture_open_count(fixture), 1 + sizeof(good) / sizeof(*good));
    fixture_free(fixture);
}

/* ---- labels ---- */

static void expect_bad_label(const char *name, const char *value, const char *text)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_connect(fixture);
    Muster__Label label = MUSTER__LABEL__INIT;
    Muster__Label *labels[] = {&label};
    Muster__Hello hello = MUSTER__HELLO__INIT;
    label.name = (char *)name;
    label.value = (char *)value;
    hello.name = (char *)"ada";
    hello.labels = labels;
    hello.n_labels = 1;
    peer_send_buffer(peer, 0, muster__encode_hello(NULL, &hello));
    fixture_expect_refused(fixture, peer, MUSTER_INVALID, text);
    fixture_free(fixture);
}

FIXTURE_TEST(admission, labels_that_are_not_allowed)
{
    expect_bad_label("site", "Graz\nround 7: 10 answered", "control characters");
    expect_bad_label("si\x1bte", "Graz", "control characters");
    expect_bad_label("site", "\xe2\x80\xaezarG", "direction marks");
    expect_bad_label("site", "\xff", "not UTF-8");
}

/* ---- how many ---- */

FIXTURE_TEST(admission, one_more_than_there_is_room_for)
{
    struct participant_manager_options options = fixture_options();
    options.max_participants = 2;
    struct fixture *fixture = fixture_new(&options);
    struct peer *first = peer_connect(fixture);
    peer_send_hello(first, "a"); /* counts, although it is not open */
    fixture_settle(fixture);
    peer_join(fixture, NULL);
    struct peer *third = peer_connect(fixture);
    peer_send_hello(third, "c");
    fixture_settle(fixture);
    cr_assert(third->closed);
    cr_assert_eq(third->status, MUSTER_FULL);
    cr_assert(strstr(third->text, "full") != NULL, "%s", third->text);
    cr_assert(event_is(fixture, 1, PARTICIPANT_MANAGER_REFUSED, MUSTER_FULL, "c"));

    peer_cut(first);
    fixture_settle(fixture);
    peer_join(fixture, "c");
    fixture_free(fixture);
}

/* ---- admit ---- */

struct admission {
    size_t asked;
    char seen[200];
    const char *reason;
    enum muster_status verdict;
    size_t made;
    size_t destroyed;
    void *user;
    bool name_was_known;
    bool was_open;
};

static enum muster_status admit(void *context, struct proxy *proxy, char *text, size_t size)
{
    struct admission *admission = ((struct fixture *)context)->data;
    const char *site = proxy_label(proxy, "site");
    admission->asked++;
    admission->was_open = proxy_is_open(proxy);
    snprintf(admission->seen, sizeof(admission->seen), "%s from %s at %s", proxy_name(proxy),
             proxy_peer(proxy), site ? site : "-");
    if (admission->reason)
        snprintf(text, size, "%s", admission->reason);
    return admission->verdict;
}

static void *make(void *context, struct proxy *proxy)
{
    struct admission *admission = ((struct fixture *)context)->data;
    admission->made++;
    admission->name_was_known = strcmp(proxy_name(proxy), "ada") == 0;
    return admission->user;
}

static void destroy(void *context, void *user)
{
    struct admission *admission = ((struct fixture *)context)->data;
    admission->destroyed++;
    cr_assert_eq(user, admission->user);
}

static struct fixture *with_admission(struct admission *admission)
{
    struct participant_manager_options options = fixture_options();
    options.admit = admit;
    options.factory = make;
    options.destroy = destroy;
    struct fixture *fixture = fixture_new(&options);
    fixture->data = admission;
    return fixture;
}

FIXTURE_TEST(admission, admit_sees_who_it_is)
{
    struct admission admission = {0};
    struct fixture *fixture = with_admission(&admission);
    peer_send_hello_labels(peer_connect(fixture), 0);
    fixture_settle(fixture);
    cr_assert_eq(admission.asked, 1);
    cr_assert_not(admission.was_open);
    cr_assert_str_eq(admission.seen, "ada from local:0 at Graz");
    cr_assert_eq(fixture_open_count(fixture), 1);
    peer_join(fixture, NULL);
    cr_assert_str_eq(admission.seen, "anonymous-1 from local:1 at -");
    fixture_free(fixture);
}

FIXTURE_TEST(admission, admit_refuses_with_its_own_words)
{
    struct admission admission = {.verdict = MUSTER_UNAUTHENTICATED, .reason = "who are you?"};
    struct fixture *fixture = with_admission(&admission);
    struct peer *peer = peer_connect(fixture);
    peer_send_hello(peer, "ada");
    peer_send_empty(peer);
    fixture_expect_refused(fixture, peer, MUSTER_UNAUTHENTICATED, "who are you?");
    cr_assert_eq(peer->count, 0, "no Welcome");
    cr_assert_eq(admission.made, 0, "nothing is made for it");

    admission.verdict = MUSTER_OK;
    peer_join(fixture, "ada"); /* the name is free again */
    fixture_free(fixture);
}

FIXTURE_TEST(admission, admit_refuses_without_words)
{
    struct admission admission = {.verdict = MUSTER_REFUSED};
    struct fixture *fixture = with_admission(&admission);
    struct peer *peer = peer_connect(fixture);
    peer_send_empty(peer); /* an original participant is turned away just so */
    fixture_expect_refused(fixture, peer, MUSTER_REFUSED, muster_status_text(MUSTER_REFUSED));
    fixture_free(fixture);
}

FIXTURE_TEST(admission, refused_participants_leave_their_place)
{
    struct participant_manager_options options = fixture_options();
    struct admission admission = {.verdict = MUSTER_REFUSED};
    options.max_participants = 1;
    options.admit = admit;
    struct fixture *fixture = fixture_new(&options);
    fixture->data = &admission;
    peer_send_hello(peer_connect(fixture), "ada");
    fixture_settle(fixture);
    admission.verdict = MUSTER_OK;
    peer_join(fixture, "bob");
    fixture_free(fixture);
}

/* ---- the user's objects ---- */

FIXTURE_TEST(admission, object_is_made_once_and_destroyed_once)
{
    int object;
    struct admission admission = {.user = &object};
    struct fixture *fixture = with_admission(&admission);
    struct peer *peer = peer_join(fixture, "ada");
    cr_assert_eq(admission.made, 1);
    cr_assert(admission.name_was_known);
    struct proxy *proxy = proxy_retain(fixture_proxy(fixture, "ada"));
    cr_assert_eq(proxy_user(proxy), &object);
    peer_cut(peer);
    fixture_settle(fixture);
    cr_assert_eq(admission.destroyed, 0, "the proxy is still referenced");
    cr_assert_eq(proxy_user(proxy), &object);
    proxy_release(proxy);
    fixture_free(fixture);
    cr_assert_eq(admission.made, 1);
    cr_assert_eq(admission.destroyed, 1);
}

FIXTURE_TEST(admission, object_of_one_that_nobody_refers_to_goes_with_it)
{
    int object;
    struct admission admission = {.user = &object};
    struct fixture *fixture = with_admission(&admission);
    struct peer *peer = peer_join(fixture, "ada");
    peer_cut(peer);
    fixture_settle(fixture);
    cr_assert_eq(admission.destroyed, 1);
    fixture_free(fixture);
    cr_assert_eq(admission.destroyed, 1);
}

FIXTURE_TEST(admission, null_is_an_object_too)
{
    struct admission admission = {.user = NULL};
    struct fixture *fixture = with_admission(&admission);
    peer_join(fixture, "ada");
    cr_assert_null(proxy_user(fixture_proxy(fixture, "ada")));
    fixture_free(fixture);
    cr_assert_eq(admission.destroyed, 1);
}

FIXTURE_TEST(admission, nothing_is_destroyed_for_one_that_was_turned_away)
{
    struct admission admission = {0};
    struct fixture *fixture = with_admission(&admission);
    peer_send_hello(peer_connect(fixture), "anonymous-9");
    peer_send_bytes(peer_connect(fixture), garbage, sizeof(garbage));
    peer_connect(fixture);
    fixture_free(fixture);
    cr_assert_eq(admission.made, 0);
    cr_assert_eq(admission.destroyed, 0);
}

/* ---- starting ---- */

static void expect_bad_options(const struct participant_manager_options *options)
{
    struct participant_manager *manager = (struct participant_manager *)&manager;
    struct muster_error error = {.text = ""};
    cr_assert_eq(participant_manager_start(options, &manager, &error), MUSTER_INVALID);
    cr_assert_null(manager);
    cr_assert_eq(error.status, MUSTER_INVALID);
    cr_assert_neq(error.text[0], '\0');
    cr_assert_eq(participant_manager_start(options, &manager, NULL), MUSTER_INVALID);
}

FIXTURE_TEST(admission, options_that_make_no_sense)
{
    struct fixture *fixture = fixture_new_empty();
    struct participant_manager_options good = fixture_options();
    struct participant_manager_options unfilled = {.listen = ADDRESS};
    expect_bad_options(&unfilled);
    struct participant_manager_options options = good;
    options.listen = NULL;
    expect_bad_options(&options);
    options = good;
    options.max_message_size = 1023;
    expect_bad_options(&options);
    options = good;
    options.join_timeout_ms = 0;
    expect_bad_options(&options);
    options = good;
    options.stop_timeout_ms = -1;
    expect_bad_options(&options);
    fixture_free(fixture);
}

FIXTURE_TEST(admission, address_in_use)
{
    struct fixture *fixture = fixture_new(NULL);
    struct participant_manager_options options = fixture_options();
    struct participant_manager *second = NULL;
    struct muster_error error = {.text = ""};
    cr_assert_eq(participant_manager_start(&options, &second, &error), MUSTER_EXISTS);
    cr_assert_null(second);
    cr_assert_eq(error.status, MUSTER_EXISTS);
    cr_assert(strstr(error.text, ADDRESS) != NULL, "%s", error.text);

    participant_manager_close(fixture->manager);
    options.context = fixture;
    cr_assert_eq(participant_manager_start(&options, &second, &error), MUSTER_OK, "it is free again");
    participant_manager_close(second);
    fixture_settle(fixture);
    participant_manager_free(second);
    fixture_free(fixture);
}

FIXTURE_TEST(admission, options_are_copied)
{
    struct participant_manager_options options = fixture_options();
    char address[] = ADDRESS;
    options.listen = address;
    struct fixture *fixture = fixture_new(&options);
    memset(address, 'x', sizeof(address) - 1);
    memset(&options, 0, sizeof(options));
    peer_join(fixture, "ada");
    cr_assert_eq(fixture->event_count, 1);
    fixture_free(fixture);
}

FIXTURE_TEST(admission, without_callbacks)
{
    struct participant_manager_options options = fixture_options();
    options.on_event = NULL;
    struct fixture *fixture = fixture_new(&options);
    peer_join(fixture, "ada");
    peer_send_bytes(peer_connect(fixture), garbage, sizeof(garbage));
    fixture_settle(fixture);
    cr_assert_eq(fixture_open_count(fixture), 1);
    fixture_free(fixture);
}

FIXTURE_TEST(admission, sizes_from_two_gigabytes_make_no_sense)
{
    struct participant_manager_options server = fixture_options();
    struct participant_options client;
    participant_options_init(&client);
    struct fixture *fixture = fixture_new_empty();
    struct participant_manager *manager;
    struct participant *participant;
    struct muster_error error = {MUSTER_OK, ""};
    server.context = fixture;
    muster_fixture_refuse(fixture->network, true);
    fixture_pump(fixture);
    for (size_t i = 0; i < 2; i++) {
        server.max_message_size = client.max_message_size = i == 0 ? (size_t)INT32_MAX + 1 : SIZE_MAX;
        cr_assert_eq(participant_manager_start(&server, &manager, &error), MUSTER_INVALID);
        cr_assert_null(manager);
        cr_assert(strstr(error.text, "max_message_size") != NULL, "%s", error.text);
        cr_assert_eq(participant_connect(ADDRESS, &client, &participant, &error), MUSTER_INVALID);
        cr_assert_null(participant);
        cr_assert_eq(error.status, MUSTER_INVALID);
    }
    server.max_message_size = INT32_MAX;
    cr_assert_eq(participant_manager_start(&server, &fixture->manager, &error), MUSTER_OK, "%s", error.text);
    fixture_unpump(fixture);
    fixture_free(fixture);
}
