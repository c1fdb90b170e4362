/* What would wait, called in callbacks: it says so at once. In each test the broken library hangs. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/fixture.h"
#include "support/sample.h"

/* What a callback has got from the functions that wait. */
struct attempts {
    size_t made;
    struct proxy *proxy;
    enum muster_status run;
    enum muster_status run_all;
    enum muster_status get;
    enum muster_status get_at_once;
    enum muster_status connect;
    size_t warnings;
    char warning[MUSTER_ERROR_TEXT_SIZE];
};

static struct attempts attempts;

static void remember_warning(void *context, const char *text)
{
    (void)context;
    attempts.warnings++;
    strncpy(attempts.warning, text, sizeof(attempts.warning) - 1);
}

static struct participant_manager_options callback_options(void)
{
    struct participant_manager_options options = fixture_options();
    attempts = (struct attempts){.made = 0};
    options.session_grace_ms = 60000;
    options.on_warning = remember_warning;
    return options;
}

static void try_all(struct fixture *fixture, struct proxy *proxy)
{
    struct participant_options client;
    participant_options_init(&client);
    struct muster_message answer = *sample(MUSTER_TRAIN);
    struct proxy_round_result result = {.count = 7};
    struct participant *participant;
    struct proxy **proxies;
    size_t count;
    if (attempts.made++)
        return;
    attempts.run = proxy_run(proxy, sample(MUSTER_TRAIN), TURN_MS, &answer, NULL);
    cr_assert_eq(answer.kind, MUSTER_EMPTY, "to be cleared, whatever the status");
    attempts.run_all = proxy_run_all(&proxy, 1, sample(MUSTER_TRAIN), NULL, NULL, NULL, &result, NULL);
    cr_assert_eq(result.count, 0);
    attempts.get =
        participant_manager_get_participants(fixture->manager, 9, MUSTER_NO_LIMIT, &proxies, &count, NULL);
    cr_assert_null(proxies);
    attempts.get_at_once =
        participant_manager_get_participants(fixture->manager, 0, 0, &proxies, &count, NULL);
    proxy_release_all(proxies, count);
    attempts.connect = participant_connect(ADDRESS, &client, &participant, NULL);
}

static void expect_refused_at_once(void)
{
    cr_assert_geq(attempts.made, 1);
    cr_assert_eq(attempts.run, MUSTER_INVALID);
    cr_assert_eq(attempts.run_all, MUSTER_INVALID);
    cr_assert_eq(attempts.get, MUSTER_INVALID);
    cr_assert_eq(attempts.get_at_once, MUSTER_OK);
    cr_assert_eq(attempts.connect, MUSTER_INVALID);
}

static void try_in_event(struct fixture *fixture, const struct participant_manager_event *event)
{
    try_all(fixture, event->proxy);
}

FIXTURE_TEST(callback, what_waits_in_an_event)
{
    struct participant_manager_options options = callback_options();
    struct fixture *fixture = fixture_new(&options);
    fixture->on_event = try_in_event;
    struct peer *peer = peer_join(fixture, "ada");
    expect_refused_at_once();
    fixture->on_event = NULL;
    peer->react = peer_answers;
    fixture_pump(fixture);
    cr_assert_eq(proxy_run(fixture_proxy(fixture, "ada"), sample(MUSTER_TRAIN), TURN_MS, NULL, NULL),
                 MUSTER_OK, "outside of callbacks it waits as ever");
    fixture_free(fixture);
}

static void try_in_answered(void *context, struct proxy *proxy, enum muster_status status,
                            struct muster_message *answer)
{
    (void)status;
    muster_message_clear(answer);
    try_all(context, proxy);
}

FIXTURE_TEST(callback, what_waits_at_the_end_of_a_turn)
{
    struct participant_manager_options options = callback_options();
    struct fixture *fixture = fixture_new(&options);
    peer_join(fixture, "ada")->react = peer_answers;
    cr_assert_eq(proxy_run_async(fixture_proxy(fixture, "ada"), sample(MUSTER_TRAIN), 5000, try_in_answered,
                                 fixture, NULL),
                 MUSTER_OK);
    fixture_settle(fixture);
    expect_refused_at_once();
    fixture_free(fixture);
}

/* A turn that times out ends in a timer. */
FIXTURE_TEST(callback, what_waits_in_a_timer)
{
    struct participant_manager_options options = callback_options();
    struct fixture *fixture = fixture_new(&options);
    peer_join(fixture, "ada");
    cr_assert_eq(proxy_run_async(fixture_proxy(fixture, "ada"), sample(MUSTER_TRAIN), 5000, try_in_answered,
                                 fixture, NULL),
                 MUSTER_OK);
    fixture_advance(fixture, 5000);
    expect_refused_at_once();
    fixture_free(fixture);
}

static void write_token(const char *path, const char *token)
{
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    cr_assert_geq(fputs(token, file), 0);
    cr_assert_eq(fclose(file), 0);
}

static struct fixture *warned;

static void try_in_warning(void *context, const char *text)
{
    (void)context;
    remember_warning(NULL, text);
    if (attempts.warnings == 1)
        try_all(warned, fixture_proxy(warned, "ada"));
    participant_manager_stop(warned->manager);
}

/* A token that is not in order is found by the timer that looks each day. */
FIXTURE_TEST(callback, what_waits_in_a_warning)
{
    char path[] = "/tmp/muster-callback-XXXXXX";
    struct participant_manager_options options = callback_options();
    cr_assert_eq(close(mkstemp(path)), 0);
    write_token(path, "0123456789abcdef");
    options.credentials.token_file = path;
    options.on_warning = try_in_warning;
    struct fixture *fixture = warned = fixture_new(&options);
    peer_join(fixture, "ada");
    write_token(path, "");
    fixture_advance(fixture, 86400000);
    expect_refused_at_once();
    cr_assert_eq(attempts.warnings, 2, "of the token, of the stop, and no more");
    fixture_free(fixture);
    unlink(path);
}

static enum muster_status try_in_admit(void *context, struct proxy *proxy, char *text, size_t size)
{
    (void)text;
    (void)size;
    try_all(context, proxy);
    return MUSTER_OK;
}

static void *try_in_factory(void *context, struct proxy *proxy)
{
    try_all(context, proxy);
    return NULL;
}

FIXTURE_TEST(callback, what_waits_while_a_participant_is_admitted)
{
    for (int factory = 0; factory < 2; factory++) {
        struct participant_manager_options options = callback_options();
        options.admit = factory ? NULL : try_in_admit;
        options.factory = factory ? try_in_factory : NULL;
        struct fixture *fixture = fixture_new(&options);
        peer_join(fixture, "ada");
        expect_refused_at_once();
        fixture_free(fixture);
    }
}

static void stop_and_free(struct fixture *fixture, const struct participant_manager_event *event)
{
    if (event->kind != PARTICIPANT_MANAGER_JOINED && event->kind != PARTICIPANT_MANAGER_LEFT)
        return;
    fixture->on_event = NULL;
    participant_manager_stop(fixture->manager);
    cr_assert_eq(attempts.warnings, 1);
    cr_assert(strstr(attempts.warning, "participant_manager_stop() in a callback") != NULL, "%s",
              attempts.warning);
    participant_manager_free(fixture->manager);
}

static void expect_closed_only(struct fixture *fixture)
{
    struct proxy **proxies;
    size_t count;
    cr_assert_eq(attempts.warnings, 2);
    cr_assert(strstr(attempts.warning, "participant_manager_free() in a callback") != NULL, "%s",
              attempts.warning);
    cr_assert_eq(participant_manager_get_participants(fixture->manager, 0, 0, &proxies, &count, NULL),
                 MUSTER_STOPPED);
}

FIXTURE_TEST(callback, stop_and_free_in_an_event_close_only)
{
    struct participant_manager_options options = callback_options();
    struct fixture *fixture = fixture_new(&options);
    fixture->on_event = stop_and_free;
    struct peer *peer = peer_connect(fixture);
    peer_send_hello(peer, "ada");
    peer_send_empty(peer);
    fixture_settle(fixture);
    cr_assert(peer->closed);
    expect_closed_only(fixture);
    fixture_free(fixture); /* which stops and frees it */
}

/* The event is then told on this very thread. */
FIXTURE_TEST(callback, stop_in_an_event_of_a_thread_of_the_users)
{
    struct participant_manager_options options = callback_options();
    struct fixture *fixture = fixture_new(&options);
    struct peer *peer = peer_join(fixture, "ada");
    struct proxy *proxy = fixture_proxy(fixture, "ada");
    peer_cut(peer);
    fixture_settle(fixture);
    fixture->on_event = stop_and_free;
    proxy_close(proxy);
    expect_closed_only(fixture);
    fixture_free(fixture);
}

static enum muster_status stop_in_answer(void *context, size_t index, struct proxy *proxy,
                                         const struct muster_message *answer, struct muster_error *reason)
{
    struct fixture *fixture = context;
    (void)reason;
    (void)index;
    (void)proxy;
    (void)answer;
    attempts.run = proxy_run(attempts.proxy, sample(MUSTER_TRAIN), TURN_MS, NULL, NULL);
    participant_manager_stop(fixture->manager);
    return MUSTER_OK;
}

FIXTURE_TEST(callback, on_answer_may_wait_but_not_stop)
{
    struct participant_manager_options options = callback_options();
    struct fixture *fixture = fixture_new(&options);
    peer_join(fixture, "ada")->react = peer_answers;
    peer_join(fixture, "bob")->react = peer_answers;
    struct proxy *ada = fixture_proxy(fixture, "ada");
    attempts.proxy = fixture_proxy(fixture, "bob");
    fixture_pump(fixture);
    cr_assert_eq(proxy_run_all(&ada, 1, sample(MUSTER_TRAIN), NULL, stop_in_answer, fixture, NULL, NULL),
                 MUSTER_OK);
    cr_assert_eq(attempts.run, MUSTER_OK);
    cr_assert_eq(attempts.warnings, 1);
    participant_manager_stop(fixture->manager); /* here it waits */
    cr_assert_eq(attempts.warnings, 1);
    fixture_free(fixture);
}
