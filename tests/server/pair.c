/* A pair, and turns through it. */
#include <config.h>

#include <string.h>

#include "proxy/internal.h"
#include "server/pair.h"
#include "support/outcome.h"
#include "support/sample.h"

struct pair pair_with(const struct participant_manager_options *options, const char *name)
{
    struct pair pair = {.fixture = fixture_new(options)};
    pair.peer = peer_join(pair.fixture, name);
    pair.proxy = fixture_proxy(pair.fixture, name ? name : "anonymous-0");
    pair.welcomes = pair.peer->count;
    return pair;
}

struct pair pair_new(void)
{
    return pair_with(NULL, "ada");
}

struct pair pair_original(void)
{
    return pair_with(NULL, NULL);
}

void pair_free(struct pair *pair)
{
    fixture_free(pair->fixture);
}

const struct received *pair_last(const struct pair *pair)
{
    cr_assert_gt(pair->peer->count, 0);
    return &pair->peer->messages[pair->peer->count - 1];
}

void pair_start(struct pair *pair, enum muster_kind kind, struct outcome *outcome)
{
    size_t count = pair->peer->count;
    cr_assert_eq(start_turn(pair->proxy, kind, TURN_MS, outcome), MUSTER_OK);
    fixture_settle(pair->fixture);
    cr_assert_eq(pair->peer->count, count + 1);
    cr_assert(is_sample(&pair_last(pair)->message, kind));
    cr_assert_eq(outcome->ended, 0);
}

void pair_answer(struct pair *pair, uint64_t turn, enum muster_kind kind)
{
    peer_send(pair->peer, turn, sample(kind));
    fixture_settle(pair->fixture);
}

void pair_expect_turn(struct pair *pair, uint64_t turn)
{
    struct outcome outcome;
    pair_start(pair, MUSTER_TRAIN, &outcome);
    cr_assert_eq(pair_last(pair)->turn, turn);
    pair_answer(pair, turn, MUSTER_TRAIN);
    cr_assert(is_sample(&outcome.answer, MUSTER_TRAIN));
    cr_assert(ended_with(&outcome, MUSTER_OK));
}

void pair_expect_ended(struct pair *pair, enum muster_status status, const char *text)
{
    cr_assert(pair->peer->closed);
    cr_assert_eq(pair->peer->status, status);
    cr_assert(strstr(pair->peer->text, text) != NULL, "%s", pair->peer->text);
    cr_assert_not(proxy_is_open(pair->proxy));
    cr_assert_eq(fixture_open_count(pair->fixture), 0);
    cr_assert(event_is(pair->fixture, 1, PARTICIPANT_MANAGER_LEFT, status, NULL));
    cr_assert_eq(pair->fixture->event_count, 2);
    struct outcome outcome;
    cr_assert_eq(start_turn(pair->proxy, MUSTER_TRAIN, TURN_MS, &outcome), status);
    cr_assert_eq(outcome.ended, 0);
}
