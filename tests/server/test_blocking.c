/* Calls that block: each on a thread of its own, with the pump running the network. */
#include <config.h>

#include <string.h>

#include "support/call.h"
#include "support/fixture.h"
#include "support/sample.h"

/* ---- get_participants ---- */

FIXTURE_TEST(blocking, those_that_are_there)
{
    struct fixture *fixture = fixture_new(NULL);
    static const char *names[] = {"c", "a", "b"};
    struct proxy **proxies;
    size_t count;
    struct peer *first = peer_join(fixture, "left");
    for (size_t i = 0; i < 3; i++)
        peer_join(fixture, names[i]);
    peer_connect(fixture); /* has not joined */
    peer_cut(first);
    fixture_settle(fixture);
    cr_assert_eq(
        participant_manager_get_participants(fixture->manager, 2, MUSTER_NO_LIMIT, &proxies, &count, NULL),
        MUSTER_OK);
    cr_assert_eq(count, 3, "all, not as many as were asked for");
    for (size_t i = 0; i < 3; i++)
        cr_assert_str_eq(proxy_name(proxies[i]), names[i], "in the order of joining");
    proxy_release_all(proxies, count);
    fixture_free(fixture);
}

FIXTURE_TEST(blocking, none_are_asked_for)
{
    struct fixture *fixture = fixture_new(NULL);
    struct proxy **proxies = NULL;
    size_t count = 9;
    cr_assert_eq(
        participant_manager_get_participants(fixture->manager, 0, MUSTER_NO_LIMIT, &proxies, &count, NULL),
        MUSTER_OK);
    cr_assert_eq(count, 0);
    proxy_release_all(proxies, count);
    fixture_free(fixture);
}

FIXTURE_TEST(blocking, too_few_and_no_wait)
{
    struct fixture *fixture = fixture_new(NULL);
    struct proxy **proxies = (struct proxy **)&proxies;
    size_t count = 9;
    peer_join(fixture, "ada");
    cr_assert_eq(participant_manager_get_participants(fixture->manager, 2, 0, &proxies, &count, NULL),
                 MUSTER_TIMEOUT);
    cr_assert_null(proxies);
    cr_assert_eq(count, 1);
    fixture_free(fixture);
}

static void join_in_background(struct fixture *fixture, const char *name)
{
    struct peer *peer = peer_connect(fixture);
    peer_send_hello(peer, name);
    peer_send_empty(peer);
}

FIXTURE_TEST(blocking, woken_by_arrivals)
{
    struct fixture *fixture = fixture_new(NULL);
    struct call calls[3];
    peer_join(fixture, "a");
    fixture_pump(fixture);
    call_get(&calls[0], fixture, 2, 3000);
    muster_fixture_wait_alarm(fixture->network, 3000);
    call_get(&calls[1], fixture, 3, 2000);
    muster_fixture_wait_alarm(fixture->network, 2000);
    call_get(&calls[2], fixture, 3, 1000);
    muster_fixture_wait_alarm(fixture->network, 1000); /* all three wait */

    join_in_background(fixture, "b");
    cr_assert_eq(call_join(&calls[0]), MUSTER_OK);
    cr_assert_eq(calls[0].count, 2);
    join_in_background(fixture, "c");
    for (size_t i = 1; i < 3; i++) {
        cr_assert_eq(call_join(&calls[i]), MUSTER_OK);
        cr_assert_eq(calls[i].count, 3);
        cr_assert_str_eq(proxy_name(calls[i].proxies[2]), "c");
    }
    for (size_t i = 0; i < 3; i++)
        proxy_release_all(calls[i].proxies, calls[i].count);
    fixture_free(fixture);
}

FIXTURE_TEST(blocking, arrivals_that_leave_do_not_count)
{
    struct fixture *fixture = fixture_new(NULL);
    struct call call;
    peer_join(fixture, "a");
    fixture_pump(fixture);
    call_get(&call, fixture, 2, 1000);
    muster_fixture_wait_alarm(fixture->network, 1000);
    struct peer *peer = peer_connect(fixture);
    peer_send_hello(peer, "b"); /* and no initiative */
    peer_wait_count(peer, 1);
    peer_cut(peer);
    fixture_wait_events(fixture, 2);
    muster_fixture_advance(fixture->network, 1000);
    cr_assert_eq(call_join(&call), MUSTER_TIMEOUT);
    cr_assert_null(call.proxies);
    cr_assert_eq(call.count, 1);
    fixture_free(fixture);
}

FIXTURE_TEST(blocking, get_participants_limit_passes)
{
    struct fixture *fixture = fixture_new(NULL);
    struct call call;
    fixture_pump(fixture);
    call_get(&call, fixture, 1, 500);
    muster_fixture_wait_alarm(fixture->network, 500);
    muster_fixture_advance(fixture->network, 500);
    cr_assert_eq(call_join(&call), MUSTER_TIMEOUT);
    cr_assert_eq(call.count, 0);
    join_in_background(fixture, "late");
    call_get(&call, fixture, 1, MUSTER_NO_LIMIT);
    cr_assert_eq(call_join(&call), MUSTER_OK);
    proxy_release_all(call.proxies, call.count);
    fixture_free(fixture);
}

/* ---- proxy_run ---- */

FIXTURE_TEST(blocking, proxy_run_returns_the_answer)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_join(fixture, "ada");
    struct proxy *proxy = fixture_proxy(fixture, "ada");
    struct muster_message answer;
    peer->react = peer_answers;
    fixture_pump(fixture);
    cr_assert_eq(proxy_run(proxy, sample(MUSTER_TRAIN), TURN_MS, &answer, NULL), MUSTER_OK);
    cr_assert(is_sample(&answer, MUSTER_TRAIN));
    muster_message_clear(&answer);
    cr_assert_eq(answer.kind, MUSTER_EMPTY);
    cr_assert_eq(proxy_run(proxy, sample(MUSTER_TRAIN), TURN_MS, NULL, NULL), MUSTER_OK);
    cr_assert_eq(proxy_run(proxy, sample(MUSTER_RECONNECT), TURN_MS, &answer, NULL), MUSTER_INVALID);
    cr_assert_eq(answer.kind, MUSTER_EMPTY, "to be cleared, whatever the status");
    fixture_free(fixture);
}

static void fails(struct peer *peer, const struct received *received)
{
    if (received->content == CONTENT_MESSAGE)
        peer_send(peer, received->turn, sample(MUSTER_FAILURE));
}

static void expect_error(struct proxy *proxy, const struct muster_message *instruction,
                         enum muster_status status, const char *text)
{
    struct muster_error error = {0};
    cr_assert_eq(proxy_run(proxy, instruction, TURN_MS, NULL, &error), status, "%s", error.text);
    cr_assert_eq(error.status, status);
    cr_assert_not_null(strstr(error.text, text), "%s", error.text);
}

static void leaves(struct peer *peer, const struct received *received)
{
    (void)received;
    peer_cut(peer);
}

FIXTURE_TEST(blocking, proxy_run_says_why)
{
    const struct muster_array wrong = {.dtype = MUSTER_FLOAT32, .dimensions = 1, .shape = {2}};
    const struct muster_message senseless = {.kind = MUSTER_TRAIN, .arrays = &wrong, .array_count = 1};
    struct participant_manager_options options = fixture_options();
    options.session_grace_ms = 0;
    struct fixture *fixture = fixture_new(&options);
    struct peer *peer = peer_join(fixture, "ada");
    struct proxy *proxy = fixture_proxy(fixture, "ada");
    fixture_pump(fixture);
    expect_error(proxy, &senseless, MUSTER_INVALID, "array 0: its data is NULL");
    expect_error(proxy, sample(MUSTER_RECONNECT), MUSTER_INVALID, "proxy_reconnect_in()");
    expect_error(proxy, sample(MUSTER_UNKNOWN), MUSTER_INVALID, "and not kind");
    peer->react = fails;
    expect_error(proxy, sample(MUSTER_TRAIN), MUSTER_REFUSED, "ada: the disk is full");
    peer->react = leaves;
    expect_error(proxy, sample(MUSTER_TRAIN), MUSTER_GONE, "ada: the stream was cut");
    expect_error(proxy, sample(MUSTER_TRAIN), MUSTER_GONE, "ada: the stream was cut");
    fixture_free(fixture);
}

/* The answer races with proxy_run() on its way to sleep: many times, so that it wins now and then. */
FIXTURE_TEST(blocking, proxy_run_returns_what_came_at_once)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_join(fixture, "ada");
    struct proxy *proxy = fixture_proxy(fixture, "ada");
    peer->react = fails;
    fixture_pump(fixture);
    for (size_t i = 0; i < 500; i++) {
        struct muster_message answer;
        cr_assert_eq(proxy_run(proxy, sample(MUSTER_TRAIN), TURN_MS, &answer, NULL), MUSTER_REFUSED);
        cr_assert_eq(answer.kind, MUSTER_FAILURE);
        muster_message_clear(&answer);
    }
    fixture_free(fixture);
}

FIXTURE_TEST(blocking, proxy_run_limit_is_the_managers)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_join(fixture, "ada");
    struct call call;
    fixture_pump(fixture);
    call_run(&call, fixture_proxy(fixture, "ada"));
    peer_wait_count(peer, 2);
    muster_fixture_wait_alarm(fixture->network, TURN_MS);
    muster_fixture_advance(fixture->network, TURN_MS);
    cr_assert_eq(call_join(&call), MUSTER_TIMEOUT);
    peer_wait_count(peer, 3);
    cr_assert_eq(peer->messages[2].content, CONTENT_CANCEL);
    fixture_free(fixture);
}

FIXTURE_TEST(blocking, second_proxy_run_is_busy)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_join(fixture, "ada");
    struct proxy *proxy = fixture_proxy(fixture, "ada");
    struct call call;
    struct muster_message answer;
    fixture_pump(fixture);
    call_run(&call, proxy);
    peer_wait_count(peer, 2);
    cr_assert_eq(proxy_run(proxy, sample(MUSTER_TRAIN), TURN_MS, &answer, NULL), MUSTER_BUSY);
    cr_assert_eq(answer.kind, MUSTER_EMPTY);
    peer_send(peer, 1, sample(MUSTER_FAILURE));
    cr_assert_eq(call_join(&call), MUSTER_REFUSED);
    cr_assert(is_sample(&call.answer, MUSTER_FAILURE));
    muster_message_clear(&call.answer);
    fixture_free(fixture);
}

FIXTURE_TEST(blocking, proxy_run_is_cancelled)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_join(fixture, "ada");
    struct proxy *proxy = fixture_proxy(fixture, "ada");
    struct call call;
    fixture_pump(fixture);
    call_run(&call, proxy);
    peer_wait_count(peer, 2);
    proxy_cancel(proxy);
    cr_assert_eq(call_join(&call), MUSTER_CANCELLED);
    call_run(&call, proxy);
    peer_wait_count(peer, 4); /* the cancel, then the next instruction */
    proxy_close(proxy);
    cr_assert_eq(call_join(&call), MUSTER_CLOSED);
    fixture_free(fixture);
}

FIXTURE_TEST(blocking, participant_goes_while_proxy_run_waits)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_join(fixture, "ada");
    struct call call;
    fixture_pump(fixture);
    call_run(&call, fixture_proxy(fixture, "ada"));
    peer_wait_count(peer, 2);
    peer_cut(peer);
    cr_assert_eq(call_join(&call), MUSTER_GONE);
    fixture_free(fixture);
}

/* ---- both ends: a manager and real participants ---- */

struct worker {
    pthread_t thread;
    struct fixture *fixture;
    const char *name;
    size_t answered;
    enum muster_status last;
    bool instructions_were_right;
};

static void *work(void *context)
{
    struct worker *worker = context;
    struct participant_options options;
    participant_options_init(&options);
    struct participant *participant;
    const struct muster_message *instruction;
    options.name = worker->name;
    worker->last = participant_connect(ADDRESS, &options, &participant, NULL);
    if (worker->last != MUSTER_OK)
        return NULL;
    participant_dispatch(participant, sample(MUSTER_EMPTY), NULL);
    while ((worker->last = participant_consume(participant, MUSTER_NO_LIMIT, &instruction, NULL)) ==
           MUSTER_OK) {
        participant_report_progress(participant, 0.5, NULL);
        worker->instructions_were_right = is_sample(instruction, instruction->kind);
        if (participant_dispatch(participant, instruction, NULL) == MUSTER_OK)
            worker->answered++;
    }
    participant_free(participant);
    return NULL;
}

enum { WORKERS = 4, ROUNDS = 10 };

FIXTURE_TEST(blocking, rounds_with_participants)
{
    static const char *names[WORKERS] = {"a", "b", "c", NULL};
    struct fixture *fixture = fixture_new(NULL);
    struct worker workers[WORKERS];
    struct proxy **proxies;
    size_t count;
    fixture_pump(fixture);
    for (size_t i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.fixture = fixture, .name = names[i]};
        cr_assert_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    cr_assert_eq(participant_manager_get_participants(fixture->manager, WORKERS, MUSTER_NO_LIMIT, &proxies,
                                                      &count, NULL),
                 MUSTER_OK);
    for (size_t round = 0; round < ROUNDS; round++) {
        static const enum muster_kind kinds[] = {MUSTER_TRAIN, MUSTER_EVALUATE, MUSTER_APPLICATION};
        cr_assert_eq(proxy_run_all(proxies, count, sample(kinds[round % 3]), NULL, NULL, NULL, NULL, NULL),
                     MUSTER_OK);
    }
    proxy_release_all(proxies, count);
    participant_manager_stop(fixture->manager);
    for (size_t i = 0; i < WORKERS; i++) {
        pthread_join(workers[i].thread, NULL);
        cr_assert_eq(workers[i].last, MUSTER_STOPPED);
        cr_assert_eq(workers[i].answered, ROUNDS);
        cr_assert(workers[i].instructions_were_right);
    }
    fixture_free(fixture);
}

/* Turns with one participant while others of its kind come, are cancelled and go: for the thread
   sanitizer. */
struct turmoil {
    struct fixture *fixture;
    struct proxy *proxy;
};

static void *run_turns(void *context)
{
    struct turmoil *turmoil = context;
    while (proxy_is_open(turmoil->proxy)) {
        struct muster_message answer;
        proxy_run(turmoil->proxy, sample(MUSTER_TRAIN), TURN_MS, &answer, NULL);
        muster_message_clear(&answer);
    }
    return NULL;
}

FIXTURE_TEST(blocking, everything_at_once)
{
    struct fixture *fixture = fixture_new(NULL);
    struct peer *peer = peer_join(fixture, "ada");
    struct turmoil turmoil = {fixture, fixture_proxy(fixture, "ada")};
    pthread_t threads[2];
    peer->react = peer_answers;
    fixture_pump(fixture);
    for (size_t i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, run_turns, &turmoil), 0);
    for (size_t i = 0; i < 10; i++) {
        join_in_background(fixture, NULL);
        proxy_cancel(turmoil.proxy);
        cr_assert_geq(fixture_open_count(fixture), 1);
        muster_fixture_advance(fixture->network, TURN_MS);
    }
    participant_manager_stop(fixture->manager);
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    fixture_free(fixture);
}
