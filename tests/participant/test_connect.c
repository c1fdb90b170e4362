/* Connecting: until the participant is admitted, or is told why not. */
#include <config.h>

#include <string.h>

#include "participant/duo.h"
#include "support/call.h"
#include "support/fixture.h"
#include "support/sample.h"

/* ---- connecting ---- */

FIXTURE_TEST(connect, says_hello)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    options.max_message_size = 4096;
    duo_connect(&duo, &options);
    cr_assert_eq(duo.peer->count, 1);
    cr_assert_eq(duo.peer->messages[0].content, CONTENT_HELLO);
    cr_assert_str_eq(duo.peer->messages[0].name, "ada");
    cr_assert_eq(duo.peer->messages[0].max_message_size, 4096);
    cr_assert_str_eq(participant_name(duo.participant), "ada");
    cr_assert_eq(participant_rank(duo.participant), 7);
    cr_assert_str_eq(participant_reason(duo.participant), "");
    duo_free(&duo);
}

FIXTURE_TEST(connect, is_given_a_name)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    options.name = NULL;
    duo_connect(&duo, &options);
    cr_assert_str_eq(participant_name(duo.participant), "given");
    duo_free(&duo);
}

FIXTURE_TEST(connect, labels_reach_the_server)
{
    struct fixture *fixture = fixture_new(NULL);
    char site[] = "site";
    const struct participant_label labels[] = {{site, "Graz"}, {"empty", NULL}};
    struct participant_options options = ada_options();
    struct participant *participant;
    options.labels = labels;
    options.label_count = 2;
    fixture_pump(fixture);
    cr_assert_eq(participant_connect(ADDRESS, &options, &participant, NULL), MUSTER_OK);
    memset(site, 'x', 4); /* options are copied */
    participant_dispatch(participant, sample(MUSTER_EMPTY), NULL);
    fixture_wait_events(fixture, 1);
    struct proxy *proxy = fixture_proxy(fixture, "ada");
    cr_assert_str_eq(proxy_label(proxy, "site"), "Graz");
    cr_assert_str_eq(proxy_label(proxy, "empty"), "");
    participant_free(participant);
    fixture_free(fixture);
}

FIXTURE_TEST(connect, waits_for_a_server_that_is_not_up_yet)
{
    struct duo duo = {.fixture = fixture_new_empty()};
    struct participant_options options = ada_options();
    struct call call;
    duo.fixture->react = welcomes;
    fixture_pump(duo.fixture);
    call_connect(&call, duo.fixture, &options);
    muster_fixture_wait_alarm(duo.fixture->network, 60000);
    fixture_be_busy();
    fixture_listen(duo.fixture);
    cr_assert_eq(call_join(&call), MUSTER_OK);
    fixture_unpump(duo.fixture);
    duo.participant = call.participant;
    duo.peer = fixture_wait_peer(duo.fixture, 1);
    duo_dispatch(&duo, MUSTER_EMPTY);
    duo_expect_turn(&duo, 2, 1);
    duo_free(&duo);
}

static void expect_unavailable(struct fixture *fixture, const char *text)
{
    struct call call;
    fixture_pump(fixture);
    call_connect(&call, fixture, NULL);
    muster_fixture_wait_alarm(fixture->network, 60000);
    muster_fixture_advance(fixture->network, 60000);
    cr_assert_eq(call_join(&call), MUSTER_UNAVAILABLE);
    cr_assert_null(call.participant);
    cr_assert_eq(call.error.status, MUSTER_UNAVAILABLE);
    cr_assert(strstr(call.error.text, text) != NULL, "%s", call.error.text);
    fixture_free(fixture);
}

FIXTURE_TEST(connect, nobody_ever_answers)
{
    expect_unavailable(fixture_new_empty(), "within 60000 ms");
}

FIXTURE_TEST(connect, server_does_not_welcome_it)
{
    struct fixture *fixture = fixture_new_empty();
    fixture_listen(fixture);
    expect_unavailable(fixture, "within 60000 ms");
}

FIXTURE_TEST(connect, connection_is_refused)
{
    struct fixture *fixture = fixture_new_empty();
    muster_fixture_refuse(fixture->network, true);
    expect_unavailable(fixture, "within 60000 ms: refused");
}

static void welcomes_and_stops(struct peer *peer, const struct received *received)
{
    welcomes(peer, received);
    peer_close(peer, MUSTER_OK, "good-bye");
}

/* Whether connect sees that it was admitted or that it is over already: it was admitted. */
FIXTURE_TEST(connect, server_stops_right_after_its_welcome)
{
    for (size_t i = 0; i < 50; i++) {
        struct duo duo = duo_empty();
        struct participant_options options = ada_options();
        duo.fixture->react = welcomes_and_stops;
        duo_connect(&duo, &options);
        duo_expect_over(&duo, MUSTER_STOPPED, "good-bye");
        duo_free(&duo);
    }
}

FIXTURE_TEST(connect, server_refuses_it)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    struct muster_error error;
    duo.fixture->react = refuses;
    fixture_pump(duo.fixture);
    cr_assert_eq(participant_connect(ADDRESS, &options, &duo.participant, &error), MUSTER_REFUSED);
    cr_assert_null(duo.participant);
    cr_assert_str_eq(error.text, "not on Sundays");
    fixture_free(duo.fixture);
}

FIXTURE_TEST(connect, name_is_in_use)
{
    struct fixture *fixture = fixture_new(NULL);
    struct participant_options options = ada_options();
    struct participant *participant;
    struct muster_error error;
    peer_join(fixture, "ada");
    fixture_pump(fixture);
    cr_assert_eq(participant_connect(ADDRESS, &options, &participant, &error), MUSTER_EXISTS);
    cr_assert_str_eq(
        error.text, "the name 'ada' is in use: choose another, or try again in 50 s if its participant died");
    options.name = "tab\t";
    cr_assert_eq(participant_connect(ADDRESS, &options, &participant, &error), MUSTER_INVALID);
    fixture_free(fixture);
}

FIXTURE_TEST(connect, hello_finds_the_connection_broken)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    struct call call;
    options.reconnect_timeout_ms = 0; /* has no part in this */
    muster_fixture_fail_send(duo.fixture->network, 1);
    fixture_pump(duo.fixture);
    call_connect(&call, duo.fixture, &options);
    muster_fixture_wait_alarm(duo.fixture->network, options.reconnect_first_ms);
    muster_fixture_advance(duo.fixture->network, options.reconnect_first_ms);
    cr_assert_eq(call_join(&call), MUSTER_OK);
    fixture_unpump(duo.fixture);
    duo.participant = call.participant;
    duo_free(&duo);
}

FIXTURE_TEST(connect, arguments_that_make_no_sense)
{
    struct duo duo = duo_empty();
    struct participant_options good = ada_options();
    struct participant *participant = (struct participant *)&participant;
    struct muster_error error;
    cr_assert_eq(participant_connect(NULL, &good, &participant, &error), MUSTER_INVALID);
    cr_assert_null(participant);
    cr_assert_eq(participant_connect("", &good, &participant, NULL), MUSTER_INVALID);
    struct participant_options options = good;
    options.max_message_size = 1023;
    cr_assert_eq(participant_connect(ADDRESS, &options, &participant, &error), MUSTER_INVALID);
    cr_assert_str_eq(error.text, "options.max_message_size is not from 1024 to 2147483647 bytes");
    options = good;
    options.reconnect_first_ms = options.reconnect_last_ms + 1;
    cr_assert_eq(participant_connect(ADDRESS, &options, &participant, &error), MUSTER_INVALID);
    cr_assert_str_eq(error.text, "options.reconnect_first_ms is not from 1 to options.reconnect_last_ms");
    options = good;
    options.label_count = 1;
    cr_assert_eq(participant_connect(ADDRESS, &options, &participant, &error), MUSTER_INVALID);
    cr_assert_str_eq(error.text, "options.labels is NULL, and label_count is 1");
    participant_free(NULL);
    fixture_free(duo.fixture);
}

static void reconnects_at_once(struct peer *peer, const struct received *received)
{
    struct muster_message message = {.kind = MUSTER_RECONNECT, .reconnect_seconds = 0};
    if (peer->number == 0) {
        peer_send(peer, 0, &message); /* in place of Welcome */
        peer_close(peer, MUSTER_OK, "come back later");
    } else {
        welcomes(peer, received);
    }
}

FIXTURE_TEST(connect, told_to_come_back_in_place_of_a_welcome)
{
    struct duo duo = duo_empty();
    struct participant_options options = ada_options();
    duo.fixture->react = reconnects_at_once;
    duo_connect(&duo, &options);
    duo.peer = fixture_wait_peer(duo.fixture, 2);
    duo_dispatch(&duo, MUSTER_EMPTY);
    duo_expect_back(&duo, 2);
    duo_expect_turn(&duo, 2, 1);
    duo_free(&duo);
}

static void reconnects_always(struct peer *peer, const struct received *received)
{
    struct muster_message message = {.kind = MUSTER_RECONNECT, .reconnect_seconds = 0};
    (void)received;
    peer_send(peer, 0, &message);
    peer_close(peer, MUSTER_OK, "come back later");
}

FIXTURE_TEST(connect, told_to_come_back_at_once_without_end)
{
    struct duo duo = duo_new();
    duo.fixture->react = reconnects_always;
    duo_ask_back(&duo, 0);
    for (int64_t ms = 0; ms < 60000; ms += 50)
        fixture_advance(duo.fixture, 50);
    cr_assert_gt(duo.fixture->peer_count, 3);
    cr_assert_lt(duo.fixture->peer_count, 100);
    duo_free(&duo);
}

/* The same, and then nobody takes it. */
static void reconnects_and_refuses(struct peer *peer, const struct received *received)
{
    reconnects_at_once(peer, received);
    if (peer->number == 0)
        muster_fixture_refuse(peer->fixture->network, true);
}

/* It has been asked to come back before it was admitted, and its first attempt is over. */
static void duo_start_connecting(struct duo *duo, struct call *call)
{
    *duo = duo_empty();
    struct participant_options options = ada_options();
    tries_for_a_second(&options);
    duo->fixture->react = reconnects_and_refuses;
    fixture_pump(duo->fixture);
    call_connect(call, duo->fixture, &options);
    muster_fixture_wait_alarm(duo->fixture->network, options.reconnect_first_ms);
}

FIXTURE_TEST(connect, attempts_break_before_it_is_admitted)
{
    struct duo duo;
    struct call call;
    duo_start_connecting(&duo, &call);
    muster_fixture_refuse(duo.fixture->network, false);
    muster_fixture_advance(duo.fixture->network, 100);
    cr_assert_eq(call_join(&call), MUSTER_OK);
    duo.participant = call.participant;
    fixture_unpump(duo.fixture);
    duo_dispatch(&duo, MUSTER_EMPTY);
    duo_expect_back(&duo, 2);
    duo_expect_turn(&duo, 2, 1);
    duo_free(&duo);
}

FIXTURE_TEST(connect, attempts_before_it_is_admitted_end_with_the_time_to_connect)
{
    struct duo duo;
    struct call call;
    duo_start_connecting(&duo, &call);
    muster_fixture_advance(duo.fixture->network, 59999);
    muster_fixture_advance(duo.fixture->network, 1);
    cr_assert_eq(call_join(&call), MUSTER_UNAVAILABLE);
    cr_assert(strstr(call.error.text, "not admitted by " ADDRESS " within 60000 ms") != NULL, "%s",
              call.error.text);
    fixture_free(duo.fixture);
}

/* C-core has one code for a full server and for a message that is too big. */
FIXTURE_TEST(connect, full_server_is_tried_again)
{
    static const enum muster_status statuses[] = {MUSTER_FULL, MUSTER_TOO_BIG};
    for (size_t i = 0; i < 2; i++) {
        struct duo duo = duo_new();
        duo_ask_and_refuse(&duo);
        muster_fixture_refuse(duo.fixture->network, false);
        duo.fixture->react = NULL;
        fixture_advance(duo.fixture, 1000);
        duo.peer = fixture_wait_peer(duo.fixture, 2);
        duo.fixture->react = welcomes;
        peer_close(duo.peer, statuses[i], "full");
        fixture_advance(duo.fixture, 1000);
        cr_assert_str_eq(participant_reason(duo.participant), "");
        duo_free(&duo);
    }
}

/* ---- put off again and again ---- */

struct visits {
    size_t count;    /* guarded by fixture->lock */
    size_t sent_off; /* so many of the first */
};

static enum muster_status admit_later(void *context, struct proxy *proxy, char *text, size_t size)
{
    struct fixture *fixture = context;
    struct visits *visits = fixture->data;
    (void)text;
    (void)size;
    pthread_mutex_lock(&fixture->lock);
    bool later = visits->count++ < visits->sent_off;
    pthread_cond_broadcast(&fixture->changed);
    pthread_mutex_unlock(&fixture->lock);
    if (later)
        proxy_reconnect_in(proxy, 2, NULL);
    return MUSTER_OK;
}

static struct fixture *with_visits(struct visits *visits)
{
    struct participant_manager_options options = fixture_options();
    options.admit = admit_later;
    options.stop_timeout_ms = 60000; /* no alarm of the server's before the participant's */
    struct fixture *fixture = fixture_new(&options);
    fixture->data = visits;
    fixture_pump(fixture);
    return fixture;
}

static void wait_visits(struct fixture *fixture, size_t count)
{
    const struct visits *visits = fixture->data;
    pthread_mutex_lock(&fixture->lock);
    while (visits->count < count)
        pthread_cond_wait(&fixture->changed, &fixture->lock);
    pthread_mutex_unlock(&fixture->lock);
}

/* Waits until it is away after so many visits, and lets it come back 2 s after the last. */
static void come_back(struct fixture *fixture, size_t visits)
{
    wait_visits(fixture, visits);
    muster_fixture_wait_alarm(fixture->network, (int64_t)visits * 2000);
    fixture_advance(fixture, 2000);
}

FIXTURE_TEST(connect, put_off_for_ever_is_unavailable_in_the_end)
{
    struct visits visits = {.sent_off = SIZE_MAX};
    struct fixture *fixture = with_visits(&visits);
    struct participant_options options;
    participant_options_init(&options);
    struct call call;
    options.name = "ada";
    options.on_warning = NULL; /* its timers are not awaited here */
    options.connect_timeout_ms = 5000;
    call_connect(&call, fixture, &options);
    come_back(fixture, 1);
    come_back(fixture, 2);
    wait_visits(fixture, 3);
    fixture_advance(fixture, 1000);
    cr_assert_eq(call_join(&call), MUSTER_UNAVAILABLE);
    cr_assert_null(call.participant);
    cr_assert_eq(call.error.status, MUSTER_UNAVAILABLE);
    cr_assert(strstr(call.error.text, ADDRESS " after 5000 ms") != NULL, "%s", call.error.text);
    fixture_unpump(fixture);
    cr_assert_eq(visits.count, 3);
    fixture_free(fixture);
}

FIXTURE_TEST(connect, put_off_once_and_then_admitted)
{
    struct visits visits = {.sent_off = 1};
    struct fixture *fixture = with_visits(&visits);
    struct participant_options options;
    participant_options_init(&options);
    struct call call;
    options.name = "ada";
    options.on_warning = NULL; /* its timers are not awaited here */
    options.connect_timeout_ms = 5000;
    call_connect(&call, fixture, &options);
    come_back(fixture, 1);
    cr_assert_eq(call_join(&call), MUSTER_OK, "%s", call.error.text);
    cr_assert_str_eq(participant_name(call.participant), "ada");
    cr_assert_eq(participant_rank(call.participant), 1);
    participant_free(call.participant);
    fixture_unpump(fixture);
    cr_assert_eq(visits.count, 2);
    fixture_free(fixture);
}
