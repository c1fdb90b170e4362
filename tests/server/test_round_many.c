/* Rounds of many participants, and several rounds at once. */
#include <config.h>

#include "server/circle.h"
#include "support/fixture.h"
#include "support/sample.h"

/* ---- many ---- */

enum { MANY = 70 };

static struct fixture *with_many(void (*react)(struct peer *peer, const struct received *received),
                                 struct proxy ***proxies)
{
    struct fixture *fixture = fixture_new(NULL);
    size_t count;
    for (size_t i = 0; i < MANY; i++)
        peer_join(fixture, "")->react = react;
    fixture_pump(fixture);
    cr_assert_eq(participant_manager_get_participants(fixture->manager, MANY, 0, proxies, &count, NULL),
                 MUSTER_OK);
    cr_assert_eq(count, MANY);
    return fixture;
}

FIXTURE_TEST(round_many, many_answer)
{
    struct proxy **proxies;
    struct fixture *fixture = with_many(peer_answers, &proxies);
    for (size_t i = 0; i < 5; i++) {
        struct proxy_round_result result;
        cr_assert_eq(proxy_run_all(proxies, MANY, sample(MUSTER_TRAIN), NULL, NULL, NULL, &result, NULL),
                     MUSTER_OK);
        cr_assert_eq(result.answered, MANY);
        proxy_round_result_clear(&result);
    }
    proxy_release_all(proxies, MANY);
    fixture_free(fixture);
}

static void most_answer(struct peer *peer, const struct received *received)
{
    if (peer->number >= 5)
        peer_answers(peer, received);
}

FIXTURE_TEST(round_many, most_of_many_answer)
{
    struct proxy **proxies;
    struct fixture *fixture = with_many(most_answer, &proxies);
    struct proxy_round_options options;
    proxy_round_options_init(&options);
    options.deadline_ms = MUSTER_NO_LIMIT;
    options.enough = MANY - 5;
    struct proxy_round_result result;
    cr_assert_eq(proxy_run_all(proxies, MANY, sample(MUSTER_TRAIN), &options, NULL, NULL, &result, NULL),
                 MUSTER_OK);
    cr_assert_eq(result.answered, MANY - 5);
    cr_assert_eq(result.late, 5);
    proxy_round_result_clear(&result);
    proxy_release_all(proxies, MANY);
    fixture_free(fixture);
}

static void few_answer(struct peer *peer, const struct received *received)
{
    if (peer->number < 5)
        peer_answers(peer, received);
}

FIXTURE_TEST(round_many, few_of_many_answer)
{
    struct proxy **proxies;
    struct fixture *fixture = with_many(few_answer, &proxies);
    struct proxy_round_options options;
    proxy_round_options_init(&options);
    options.deadline_ms = MUSTER_NO_LIMIT;
    options.enough = 5;
    cr_assert_eq(proxy_run_all(proxies, MANY, sample(MUSTER_TRAIN), &options, NULL, NULL, NULL, NULL),
                 MUSTER_OK);
    proxy_release_all(proxies, MANY);
    fixture_free(fixture);
}

static void *answer_later(void *context)
{
    struct fixture *fixture = context;
    for (struct peer *peer = fixture->peers; peer; peer = peer->next)
        peer_wait_count(peer, 2);
    fixture_be_busy();
    for (struct peer *peer = fixture->peers; peer; peer = peer->next) {
        if (peer->number < 5)
            peer_send(peer, 1, sample(MUSTER_TRAIN));
    }
    return NULL;
}

FIXTURE_TEST(round_many, few_of_many_answer_when_nobody_expects_it)
{
    struct proxy **proxies;
    struct fixture *fixture = with_many(is_silent, &proxies);
    struct proxy_round_options options;
    proxy_round_options_init(&options);
    options.deadline_ms = MUSTER_NO_LIMIT;
    options.enough = 5;
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, answer_later, fixture), 0);
    cr_assert_eq(proxy_run_all(proxies, MANY, sample(MUSTER_TRAIN), &options, NULL, NULL, NULL, NULL),
                 MUSTER_OK);
    pthread_join(thread, NULL);
    proxy_release_all(proxies, MANY);
    fixture_free(fixture);
}

FIXTURE_TEST(round_many, none_of_many_answer)
{
    struct proxy **proxies;
    struct fixture *fixture = with_many(is_silent, &proxies);
    struct proxy_round_options options;
    proxy_round_options_init(&options);
    options.deadline_ms = 0;
    cr_assert_eq(proxy_run_all(proxies, MANY, sample(MUSTER_TRAIN), &options, NULL, NULL, NULL, NULL),
                 MUSTER_TIMEOUT);
    proxy_release_all(proxies, MANY);
    fixture_free(fixture);
}

/* ---- several at once ---- */

static void *run_other_round(void *context)
{
    struct circle *circle = context;
    static enum muster_status status;
    for (size_t i = 0; i < 20; i++) {
        status = proxy_run_all(circle->proxies + 2, 1, sample(MUSTER_TRAIN), NULL, NULL, NULL, NULL, NULL);
        if (status != MUSTER_OK)
            break;
    }
    return &status;
}

FIXTURE_TEST(round_many, over_different_proxies_at_the_same_time)
{
    struct circle *circle = circle_new(peer_answers, peer_answers, peer_answers);
    pthread_t other;
    void *status;
    fixture_pump(circle->fixture);
    cr_assert_eq(pthread_create(&other, NULL, run_other_round, circle), 0);
    for (size_t i = 0; i < 20; i++) {
        circle->called = 0;
        cr_assert_eq(circle_run(circle, 2), MUSTER_OK);
        circle_expect(circle, 2, 0, 0);
    }
    pthread_join(other, &status);
    cr_assert_eq(*(enum muster_status *)status, MUSTER_OK);
    circle_free(circle);
}
