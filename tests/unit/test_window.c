/* How far ahead a participant may send: never more than needed nearby, as much as it likes from far away. */
#include <config.h>

#include <criterion/criterion.h>

#include "proxy/internal.h"

#define MIB      ((uint64_t)1 << 20)
#define TOTAL    (64 * MIB)
#define LONG_MS  100
#define SHORT_MS 1

/* An answer that arrives in chunks, over a way there and back that takes so long: what was allowed by a word
   comes that much later than the word, and all else at once. */
struct arrival {
    struct window window;
    int64_t way_ms;
    size_t others; /* chunks of others for each of ours */
    int64_t now;
    size_t chunks;
    uint64_t most_ahead;
};

/* One answer; returns how often its sender was told of more. */
static size_t arrive(struct arrival *arrival, uint64_t total, uint64_t chunk)
{
    size_t told = 0;
    uint64_t limit = muster__window_open(&arrival->window); /* that is known at the other end */
    uint64_t next = limit;
    int64_t next_at = INT64_MAX;
    for (uint64_t received = 0; received < total;) {
        if (received == limit) {
            cr_assert_gt(next, limit, "nobody may send");
            arrival->now = next_at > arrival->now ? next_at : arrival->now;
        }
        if (arrival->now >= next_at)
            limit = next;
        uint64_t left = (limit < total ? limit : total) - received;
        received += left < chunk ? left : chunk;
        arrival->chunks += 1 + arrival->others;
        if (muster__window_move(&arrival->window, received, total, arrival->chunks, arrival->now)) {
            cr_assert_gt(arrival->window.limit, next);
            next = arrival->window.limit;
            next_at = arrival->now + arrival->way_ms;
            told++;
        }
        uint64_t ahead = arrival->window.limit - received;
        arrival->most_ahead = ahead > arrival->most_ahead ? ahead : arrival->most_ahead;
    }
    return told;
}

static uint64_t first_limit(void)
{
    struct window window = {0};
    return muster__window_open(&window);
}

Test(window, small_answers_need_no_word)
{
    struct arrival arrival = {.way_ms = SHORT_MS};
    for (uint64_t chunk = 1000; chunk <= MIB; chunk *= 2)
        cr_assert_eq(arrive(&arrival, first_limit(), chunk), 0);
}

Test(window, nearby_a_word_for_each_half_of_it)
{
    static const uint64_t chunks[] = {MIB, 1000000, 65536, 60000};
    for (size_t i = 0; i < 4; i++) {
        struct arrival arrival = {.way_ms = SHORT_MS};
        for (size_t answer = 0; answer < 3; answer++) {
            size_t told = arrive(&arrival, TOTAL, chunks[i]);
            cr_assert_leq(told, TOTAL / (first_limit() / 2));
            cr_assert_geq(told, TOTAL / first_limit() - 1);
        }
        cr_assert_leq(arrival.most_ahead, first_limit());
        cr_assert_neq(muster__window_open(&arrival.window), UINT64_MAX);
    }
}

Test(window, from_far_away_as_much_as_it_likes)
{
    static const uint64_t chunks[] = {MIB, 1000000, 65536, 60000};
    for (size_t i = 0; i < 4; i++) {
        struct arrival arrival = {.way_ms = LONG_MS};
        arrive(&arrival, TOTAL, chunks[i]);
        cr_assert_eq(arrival.window.limit, UINT64_MAX);
        cr_assert_leq(arrival.now, 6 * LONG_MS); /* it does not take long to find out */
        cr_assert_eq(arrive(&arrival, TOTAL, chunks[i]), 0);
        cr_assert_eq(muster__window_open(&arrival.window), UINT64_MAX);
    }
}

Test(window, who_was_near_once_stays_so)
{
    struct arrival arrival = {.way_ms = SHORT_MS};
    arrive(&arrival, 2 * first_limit(), MIB);
    arrival.way_ms = LONG_MS;
    for (size_t i = 0; i < 3; i++)
        arrive(&arrival, TOTAL, MIB);
    cr_assert_leq(arrival.most_ahead, first_limit());
}

Test(window, who_is_late_a_few_times_is_not_far_away)
{
    struct arrival arrival = {.way_ms = LONG_MS};
    arrive(&arrival, 3 * first_limit(), MIB);
    cr_assert_neq(arrival.window.limit, UINT64_MAX);
    arrival.way_ms = SHORT_MS;
    for (size_t i = 0; i < 3; i++)
        arrive(&arrival, TOTAL, MIB);
    cr_assert_leq(arrival.most_ahead, first_limit());
}

Test(window, while_others_chunks_are_moved_nothing_is_learnt)
{
    struct arrival arrival = {.way_ms = LONG_MS, .others = 20};
    arrive(&arrival, TOTAL, MIB);
    cr_assert_leq(arrival.most_ahead, first_limit());
    arrival.others = 0;
    arrive(&arrival, TOTAL, MIB);
    cr_assert_eq(arrival.window.limit, UINT64_MAX);
}

/* It does not keep to limits, as one that knows nothing of them. */
Test(window, who_sends_more_is_taken_as_near)
{
    struct window window = {0};
    muster__window_open(&window);
    for (uint64_t received = MIB; received < TOTAL; received += 3 * MIB)
        muster__window_move(&window, received, TOTAL, (size_t)(received / MIB), (int64_t)received);
    cr_assert(window.is_near);
    cr_assert_neq(window.limit, UINT64_MAX);
}
