/* Every allocation fails in turn while connections break and streams arrive; and what another thread might do in the middle
   of one. */
#include <config.h>

#include <criterion/criterion.h>

#include <stdbool.h>
#include <stdlib.h>

#include <muster/fixture.h>
#include <muster/muster.h>

#include "fault/ends.h"
#include "fault/failing.h"
#include "link/service.h"
#include "wire/wire.h"

/* ---- connections that break ---- */

/* The answer to what was left. */
static struct participant *slow_one;

static void work_again(void)
{
    if (slow_one)
        participant_dispatch(slow_one, &train, NULL);
}

/* All of them, and then time passes: who can come back is back. */
static void break_connections(void)
{
    for (size_t n = 0; n < 20; n++)
        muster_fixture_drop(network, n);
    muster_fixture_settle(network);
    for (size_t i = 0; i < 20; i++) {
        muster_fixture_advance(network, 50);
        muster_fixture_settle(network);
    }
}

static void serve_over_breaks(struct proxy *proxy, bool *slow)
{
    struct muster_message answer;
    size_t ended = 0;
    break_connections();
    if (PLAUSIBLE(proxy_run(proxy, &train, 1000, &answer, NULL), MUSTER_OUT_OF_MEMORY, MUSTER_GONE,
                  MUSTER_PROTOCOL, MUSTER_TIMEOUT))
        EXPECT(is_train(&answer));
    muster_message_clear(&answer);
    *slow = true; /* the instruction is there when the connection breaks, */
    bool runs = PLAUSIBLE(proxy_run_async(proxy, &train, 2000, count_any, &ended, NULL), MUSTER_OUT_OF_MEMORY,
                          MUSTER_GONE, MUSTER_PROTOCOL);
    muster_fixture_settle(network);
    *slow = false;
    muster_fixture_drop(network, 1);
    work_again(); /* and the answer is given while there is none */
    break_connections();
    break_connections();
    break_connections();
    EXPECT(ended == (runs ? 1 : 0));
    EXPECT(proxy_is_open(proxy) || !undisturbed());
}

static void sessions(void)
{
    bool slow = false;
    struct proxy **proxies = NULL;
    size_t count = 0;
    happened = (struct happened){0};
    network = muster_fixture_new("test");
    if (!network)
        return;
    struct participant_manager *manager = start_manager();
    slow_one = connect_participant(&slow, manager);
    if (manager)
        PLAUSIBLE(participant_manager_get_participants(manager, 1, 2000, &proxies, &count, NULL),
                  MUSTER_TIMEOUT, MUSTER_OUT_OF_MEMORY);
    if (proxies)
        serve_over_breaks(proxies[0], &slow);
    proxy_release_all(proxies, proxies ? count : 0);
    participant_manager_free(manager);
    participant_free(slow_one);
    muster_fixture_settle(network);
    EXPECT(happened.joined == happened.left);
    EXPECT(happened.made == happened.destroyed);
    EXPECT(happened.joined == 1 || !undisturbed());
    muster_fixture_free(network);
}

Test(allocation, sessions, .timeout = 120)
{
    cr_assert_gt(run_all_ways(sessions), 100);
}

/* ---- streams that the manager has no memory for ---- */

static void raw_message(void *context, const struct piece *pieces, size_t count, size_t size)
{
    (void)context;
    (void)pieces;
    (void)count;
    (void)size;
}

static void raw_closed(void *context, enum muster_status status, const char *text)
{
    EXPECT(status == MUSTER_OUT_OF_MEMORY || status == MUSTER_PROTOCOL || status == MUSTER_UNAVAILABLE ||
           status == MUSTER_OK);
    EXPECT(text[0] != '\0');
    *(bool *)context = true;
}

/* What the peer itself needs does not fail: it is told why it was turned away. */
static struct stream *arrive(bool *over)
{
    static const struct stream_events events = {.message = raw_message, .closed = raw_closed};
    Muster__Hello hello = MUSTER__HELLO__INIT;
    struct stream *stream = NULL;
    struct muster_error error;
    hello.name = "ada";
    size_t n = fail_at;
    size_t so_far = allocations;
    fail_at = SIZE_MAX;
    struct buffer *body = muster__encode_hello(NULL, &hello);
    EXPECT(network->ops->connect(network, ADDRESS, &muster__connect_service, SIZE_MAX, NULL, &events, over,
                                 &stream, &error) == MUSTER_OK);
    stream->ops->send(stream, NULL, 0, body);
    stream->ops->send(stream, NULL, 0, NULL);
    muster__buffer_release(body);
    fail_at = n;
    allocations = so_far;
    return stream;
}

static void arrival(void)
{
    bool over = false;
    happened = (struct happened){0};
    network = muster_fixture_new("test");
    struct participant_manager *manager = network ? start_manager() : NULL;
    if (manager) {
        struct stream *stream = arrive(&over);
        muster_fixture_settle(network);
        EXPECT(over == (happened.joined == 0));
        participant_manager_free(manager);
        muster_fixture_settle(network);
        EXPECT(over);
        stream->ops->release(stream);
        EXPECT(happened.joined == happened.left);
        EXPECT(happened.made == happened.destroyed);
    }
    if (network)
        muster_fixture_free(network);
}

Test(allocation, arrival, .timeout = 120)
{
    cr_assert_gt(run_all_ways(arrival), 10);
}

/* ---- in the middle of an allocation: what another thread might do there ---- */

static void settle(void)
{
    muster_fixture_settle(network);
}

/* The cancel arrives while the answer is being written. */
Test(allocation, cancel_meets_the_answer)
{
    bool slow = true;
    struct proxy **proxies = NULL;
    size_t count = 0;
    size_t ended = 0;
    network = muster_fixture_new("test");
    fail_at = SIZE_MAX;
    struct participant_manager *manager = start_manager();
    struct participant *participant = connect_participant(&slow, true);
    cr_assert_eq(participant_manager_get_participants(manager, 1, 1000, &proxies, &count, NULL), MUSTER_OK);
    cr_assert_eq(proxy_run_async(proxies[0], &train, 1000, count_answer, &ended, NULL), MUSTER_OK);
    settle();
    proxy_cancel(proxies[0]);
    cr_assert_eq(ended, 1);
    meanwhile = settle;
    cr_assert_eq(participant_dispatch(participant, &train, NULL), MUSTER_CANCELLED);
    cr_assert_null(meanwhile);
    proxy_release_all(proxies, count);
    participant_manager_free(manager);
    participant_free(participant);
    muster_fixture_free(network);
}

static struct participant_manager *manager_of_both;
static struct proxy *proxy_before;
static struct proxy *proxy_after;
static size_t answered_before;
static size_t answered_after;

static void come_back(void)
{
    struct proxy **proxies = NULL;
    size_t count = 0;
    proxy_reconnect_in(proxy_before, 0, NULL);
    muster_fixture_settle(network);
    participant_manager_get_participants(manager_of_both, 1, 0, &proxies, &count, NULL);
    proxy_after = proxies ? proxy_retain(proxies[0]) : NULL;
    proxy_release_all(proxies, count);
    if (proxy_after)
        proxy_run_async(proxy_after, &train, 1000, count_any, &answered_after, NULL);
    muster_fixture_settle(network);
}

/* While an answer is being written, the participant comes back and is given the first instruction anew: both
   are turn 1. */
Test(allocation, answer_of_another_session)
{
    bool slow = true;
    struct proxy **proxies = NULL;
    size_t count = 0;
    network = muster_fixture_new("test");
    fail_at = SIZE_MAX;
    answered_before = answered_after = 0;
    manager_of_both = start_manager();
    struct participant *participant = connect_participant(&slow, true);
    cr_assert_eq(participant_manager_get_participants(manager_of_both, 1, 1000, &proxies, &count, NULL),
                 MUSTER_OK);
    proxy_before = proxies[0];
    cr_assert_eq(proxy_run_async(proxy_before, &train, 1000, count_any, &answered_before, NULL), MUSTER_OK);
    settle();
    meanwhile = come_back;
    cr_assert_eq(participant_dispatch(participant, &train, NULL), MUSTER_CANCELLED);
    settle();
    cr_assert_not_null(proxy_after);
    cr_assert_eq(answered_before, 1);
    cr_assert_eq(answered_after, 0);
    cr_assert_eq(participant_dispatch(participant, &train, NULL), MUSTER_OK);
    settle();
    cr_assert_eq(answered_after, 1);
    proxy_release(proxy_after);
    proxy_release_all(proxies, count);
    participant_manager_free(manager_of_both);
    participant_free(participant);
    muster_fixture_free(network);
}
