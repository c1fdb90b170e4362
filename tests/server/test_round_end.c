/* When a round is over: enough answers, the deadline, and what stops it. */
#include <config.h>

#include <string.h>

#include "server/circle.h"
#include "support/fixture.h"
#include "support/sample.h"

static void answers_first_turn_late(struct peer *peer, const struct received *received)
{
    if (received->content == CONTENT_CANCEL || received->turn > 1)
        peer_send(peer, received->turn, sample(MUSTER_TRAIN));
}

/* ---- enough ---- */

FIXTURE_TEST(round_end, enough_answers)
{
    struct circle *circle = circle_new(is_silent, peer_answers, peer_answers);
    circle->options.enough = 2;
    cr_assert_eq(circle_run(circle, 3), MUSTER_OK);
    circle_expect(circle, 2, 1, 0);
    cr_assert_eq(circle_status(circle, 0), MUSTER_CANCELLED);
    peer_wait_count(circle->peers[0], 3);
    cr_assert_eq(circle->peers[0]->messages[2].content, CONTENT_CANCEL);
    cr_assert_eq(circle->peers[0]->messages[2].turn, 1);
    cr_assert(proxy_is_open(circle->proxies[0]));
    circle_free(circle);
}

/* All answer, and then a bystander leaves: by that event, all answers have arrived. */
static void answers_for_all(struct peer *peer, const struct received *received)
{
    answers_in_turn(peer, received);
    if (peer->number == 2)
        peer_cut(peer->fixture->peers);
}

static enum muster_status waits_for_all(void *context, size_t index, struct proxy *proxy,
                                        const struct muster_message *answer, struct muster_error *reason)
{
    struct circle *circle = context;
    fixture_wait_events(circle->fixture, PROXIES + 2);
    return circle_answered(context, index, proxy, answer, reason);
}

FIXTURE_TEST(round_end, more_answers_than_enough)
{
    struct circle *circle = circle_new(answers_for_all, answers_for_all, answers_for_all);
    peer_join(circle->fixture, "bystander");
    fixture_pump(circle->fixture);
    circle->options.enough = 2;
    cr_assert_eq(proxy_run_all(circle->proxies, 3, sample(MUSTER_TRAIN), &circle->options, waits_for_all,
                               circle, &circle->result, NULL),
                 MUSTER_OK);
    circle_expect(circle, 2, 1, 0);
    cr_assert_eq(circle->called, 2, "no more than enough are handed over");
    cr_assert_eq(circle_status(circle, 1), MUSTER_CANCELLED);
    circle_free(circle);
}

FIXTURE_TEST(round_end, straggler_is_usable_in_the_next_round)
{
    struct circle *circle = circle_new(answers_first_turn_late, peer_answers, peer_answers);
    circle->options.enough = 2;
    cr_assert_eq(circle_run(circle, 3), MUSTER_OK);
    cr_assert_eq(circle_status(circle, 0), MUSTER_CANCELLED);
    circle->options.enough = 0;
    circle->called = 0;
    cr_assert_eq(circle_run(circle, 3), MUSTER_OK);
    circle_expect(circle, 3, 0, 0);
    cr_assert_eq(circle->peers[0]->messages[3].turn, 2);
    circle_free(circle);
}

FIXTURE_TEST(round_end, more_than_there_are)
{
    struct circle *circle = circle_new(peer_answers, peer_answers, peer_answers);
    circle->options.enough = 4;
    cr_assert_eq(circle_run(circle, 3), MUSTER_INVALID);
    cr_assert_eq(circle->result.count, 0);
    cr_assert_eq(circle->peers[0]->count, 1, "nothing was sent");
    circle_free(circle);
}

/* ---- the deadline ---- */

/* Once every turn has begun: each peer has its instruction, and its proxy's lock is free again. */
static void *pass_deadline(void *context)
{
    struct circle *circle = context;
    for (size_t i = 0; i < PROXIES; i++) {
        peer_wait_count(circle->peers[i], 2);
        proxy_is_open(circle->proxies[i]);
    }
    muster_fixture_advance(circle->fixture->network, circle->options.deadline_ms);
    return NULL;
}

static enum muster_status run_round_to_its_deadline(struct circle *circle)
{
    pthread_t clock;
    circle->options.deadline_ms = 700;
    fixture_pump(circle->fixture);
    cr_assert_eq(pthread_create(&clock, NULL, pass_deadline, circle), 0);
    enum muster_status status = circle_run(circle, 3);
    pthread_join(clock, NULL);
    return status;
}

FIXTURE_TEST(round_end, deadline_leaves_too_few)
{
    struct circle *circle = circle_new(peer_answers, is_silent, is_silent);
    circle->options.enough = 2;
    cr_assert_eq(run_round_to_its_deadline(circle), MUSTER_TIMEOUT);
    circle_expect(circle, 1, 2, 0);
    cr_assert_eq(circle_status(circle, 1), MUSTER_TIMEOUT);
    cr_assert_eq(circle_status(circle, 2), MUSTER_TIMEOUT);
    cr_assert_eq(circle->result.entries[2].milliseconds, 700);
    peer_wait_count(circle->peers[1], 3);
    cr_assert_eq(circle->peers[1]->messages[2].content, CONTENT_CANCEL);
    circle_free(circle);
}

FIXTURE_TEST(round_end, deadline_with_a_failure)
{
    struct circle *circle = circle_new(peer_answers, fails, is_silent);
    cr_assert_eq(run_round_to_its_deadline(circle), MUSTER_TIMEOUT);
    circle_expect(circle, 1, 1, 1);
    circle_free(circle);
}

FIXTURE_TEST(round_end, deadline_of_nothing)
{
    struct circle *circle = circle_new(is_silent, is_silent, is_silent);
    circle->options.deadline_ms = 0;
    cr_assert_eq(circle_run(circle, 3), MUSTER_TIMEOUT);
    circle_expect(circle, 0, 3, 0);
    circle_free(circle);
}

FIXTURE_TEST(round_end, no_deadline)
{
    struct circle *circle = circle_new(peer_answers, peer_answers, peer_answers);
    circle->options.deadline_ms = MUSTER_NO_LIMIT;
    cr_assert_eq(circle_run(circle, 3), MUSTER_OK);
    fixture_advance(circle->fixture, (int64_t)1 << 40);
    circle_free(circle);
}

/* ---- stopping ---- */

/* The last of the three to be given its instruction stops everything. */
static void stops_the_manager(struct peer *peer, const struct received *received)
{
    if (received->content == CONTENT_MESSAGE)
        participant_manager_close(peer->fixture->manager);
}

FIXTURE_TEST(round_end, stop_during_a_round)
{
    struct circle *circle = circle_new(is_silent, is_silent, stops_the_manager);
    cr_assert_eq(circle_run(circle, 3), MUSTER_STOPPED);
    circle_expect(circle, 0, 0, 3);
    for (size_t i = 0; i < PROXIES; i++)
        cr_assert_eq(circle_status(circle, i), MUSTER_STOPPED);
    circle_free(circle);
}

static enum muster_status stops_it(void *context, size_t index, struct proxy *proxy,
                                   const struct muster_message *answer, struct muster_error *reason)
{
    (void)reason;
    struct circle *circle = context;
    (void)index;
    (void)proxy;
    (void)answer;
    participant_manager_close(circle->fixture->manager);
    return MUSTER_OK;
}

FIXTURE_TEST(round_end, stop_when_enough_have_answered)
{
    struct circle *circle = circle_new(peer_answers, is_silent, is_silent);
    circle->options.enough = 1;
    fixture_pump(circle->fixture);
    cr_assert_eq(proxy_run_all(circle->proxies, 3, sample(MUSTER_TRAIN), &circle->options, stops_it, circle,
                               &circle->result, NULL),
                 MUSTER_OK);
    circle_expect(circle, 1, 0, 2);
    cr_assert_eq(circle_status(circle, 2), MUSTER_STOPPED);
    circle_free(circle);
}

FIXTURE_TEST(round_end, over_proxies_of_a_closed_manager)
{
    struct circle *circle = circle_new(peer_answers, peer_answers, peer_answers);
    participant_manager_close(circle->fixture->manager);
    cr_assert_eq(circle_run(circle, 3), MUSTER_STOPPED);
    cr_assert_eq(circle->result.count, 0);
    cr_assert_eq(circle->called, 0);
    participant_manager_stop(circle->fixture->manager); /* it does not wait for what never began */
    circle_free(circle);
}

FIXTURE_TEST(round_end, over_proxies_of_a_stopped_manager)
{
    struct circle *circle = circle_new(peer_answers, peer_answers, peer_answers);
    participant_manager_close(circle->fixture->manager);
    fixture_settle(circle->fixture);
    participant_manager_free(circle->fixture->manager);
    circle->fixture->manager = NULL;
    cr_assert_eq(circle_run(circle, 3), MUSTER_STOPPED);
    cr_assert_eq(circle->called, 0);
    circle_free(circle);
}

static enum muster_status closes_a_proxy(void *context, size_t index, struct proxy *proxy,
                                         const struct muster_message *answer, struct muster_error *reason)
{
    (void)reason;
    struct circle *circle = context;
    (void)index;
    (void)proxy;
    (void)answer;
    circle->called++;
    proxy_close(circle->proxies[0]);
    return MUSTER_OK;
}

FIXTURE_TEST(round_end, proxy_that_is_closed_meanwhile)
{
    struct circle *circle = circle_new(is_silent, peer_answers, peer_answers);
    fixture_pump(circle->fixture);
    cr_assert_eq(proxy_run_all(circle->proxies, 3, sample(MUSTER_TRAIN), NULL, closes_a_proxy, circle,
                               &circle->result, NULL),
                 MUSTER_TOO_FEW);
    circle_expect(circle, 2, 0, 1);
    cr_assert_eq(circle_status(circle, 0), MUSTER_CLOSED);
    circle_free(circle);
}

/* ---- enough, and at least ---- */

FIXTURE_TEST(round_end, at_least_waits_for_all_and_is_content_with_fewer)
{
    struct circle *circle = circle_new(peer_answers, fails, peer_answers);
    circle->options.at_least = 2;
    cr_assert_eq(circle_run(circle, 3), MUSTER_OK);
    circle_expect(circle, 2, 0, 1);
    circle->options.at_least = 3;
    circle->called = 0;
    cr_assert_eq(circle_run(circle, 3), MUSTER_TOO_FEW);
    circle_expect(circle, 2, 0, 1);
    circle_free(circle);
}

FIXTURE_TEST(round_end, at_least_more_than_are_waited_for)
{
    struct circle *circle = circle_new(peer_answers, peer_answers, peer_answers);
    struct muster_error error;
    circle->options.enough = 2;
    circle->options.at_least = 3;
    fixture_pump(circle->fixture);
    cr_assert_eq(proxy_run_all(circle->proxies, 3, sample(MUSTER_TRAIN), &circle->options, circle_answered,
                               circle, &circle->result, &error),
                 MUSTER_INVALID);
    cr_assert_not_null(strstr(error.text, "at_least is 3"), "%s", error.text);
    circle_free(circle);
}

/* ---- the manager is freed meanwhile ---- */

/* A network that tells when a round looks at the clock, which it does between its beginning and its turns. */
static struct {
    const struct transport_ops *real;
    struct transport_ops ops;
    struct fixture *fixture;
    struct peer *peer;
    pthread_t caller; /* of the round */
    bool armed;       /* this and below but `released`: the caller's */
    pthread_t freeing;
    bool released_meanwhile;
    atomic_bool released;
} watch;

static void *free_manager(void *manager)
{
    participant_manager_free(manager);
    return NULL;
}

static int64_t watched_now(struct muster_transport *network)
{
    if (pthread_equal(pthread_self(), watch.caller) && watch.armed) {
        watch.armed = false;
        cr_assert_eq(pthread_create(&watch.freeing, NULL, free_manager, watch.fixture->manager), 0);
        peer_wait_closed(watch.peer);
        fixture_be_busy();
        watch.released_meanwhile = watch.released;
    }
    return watch.real->now(network);
}

static void watched_release(struct muster_transport *network)
{
    watch.released = true;
    watch.real->release(network);
}

static struct fixture *watched_fixture(void)
{
    struct fixture *fixture = fixture_new(NULL);
    watch.real = fixture->network->ops;
    watch.ops = *watch.real;
    watch.ops.now = watched_now;
    watch.ops.release = watched_release;
    watch.fixture = fixture;
    watch.caller = pthread_self();
    fixture->network->ops = &watch.ops;
    return fixture;
}

FIXTURE_TEST(round_end, manager_that_is_freed_while_a_round_begins_waits_for_it)
{
    struct fixture *fixture = watched_fixture();
    struct proxy_round_result result;
    watch.peer = peer_join(fixture, "ada");
    struct proxy *proxy = fixture_proxy(fixture, "ada");
    fixture_pump(fixture);
    watch.armed = true;
    cr_assert_eq(proxy_run_all(&proxy, 1, sample(MUSTER_TRAIN), NULL, NULL, NULL, &result, NULL),
                 MUSTER_STOPPED);
    cr_assert_not(watch.armed);
    cr_assert_not(watch.released_meanwhile, "the round looked at the clock of a network that was given back");
    cr_assert_eq(result.count, 1);
    cr_assert_eq(result.entries[0].status, MUSTER_STOPPED);
    proxy_round_result_clear(&result);
    pthread_join(watch.freeing, NULL);
    cr_assert(watch.released);
    fixture->manager = NULL;

    watch.armed = true;
    cr_assert_eq(proxy_run_all(&proxy, 1, sample(MUSTER_TRAIN), NULL, NULL, NULL, &result, NULL),
                 MUSTER_STOPPED);
    cr_assert(watch.armed, "a round after the manager's end has nothing to do with its network");
    cr_assert_eq(result.count, 0);
    proxy_round_result_clear(&result);
    cr_assert_eq(watch.peer->count, 1, "only Welcome was ever sent");
    fixture_free(fixture);
}
