/* How far ahead a participant may send: no more than is needed nearby, as much as it likes from far away. */
#include <config.h>

#include <criterion/criterion.h>

#include "link/window.h"

#define MIB     ((uint64_t)1 << 20)
#define TOTAL   (20 * MIB)
#define FAR_MS  100
#define NEAR_MS 1

/* A connection over which answers come in chunks. What was allowed by a word comes so much later than the
   word; and no way is quicker than that many bytes in a millisecond, which is more after each of them. */
struct arrival {
    struct window window;
    int64_t way_ms;
    uint64_t speed; /* 0: no limit */
    uint64_t speed_up;
    int64_t now;
    uint64_t most_ahead;
    int64_t waited_ms; /* for our word alone */
};

/* One answer; returns how often its sender was told of more. */
static size_t arrive(struct arrival *arrival, uint64_t total, uint64_t chunk)
{
    struct window *window = &arrival->window;
    uint64_t limit = muster__window_open(window); /* that is known at the other end */
    uint64_t next = limit;
    int64_t next_at = INT64_MAX;
    uint64_t speed = arrival->speed;
    size_t told = 0;
    for (uint64_t received = 0; received < total;) {
        if (received == limit) {
            cr_assert_gt(next, limit, "nobody may send");
            if (next_at > arrival->now) {
                arrival->waited_ms += next_at - arrival->now;
                arrival->now = next_at;
            }
        }
        if (arrival->now >= next_at)
            limit = next;
        uint64_t left = (limit < total ? limit : total) - received;
        uint64_t size = left < chunk ? left : chunk;
        received += size;
        arrival->now += speed ? (int64_t)(size / speed) : 0;
        speed += arrival->speed_up;
        if (muster__window_move(window, received, total, arrival->now)) {
            cr_assert_gt(window->limit, next);
            next = window->limit;
            next_at = arrival->now + arrival->way_ms;
            told++;
        }
        uint64_t ahead = window->limit - received;
        arrival->most_ahead = ahead > arrival->most_ahead ? ahead : arrival->most_ahead;
    }
    return told;
}

static uint64_t first_limit(void)
{
    struct window window = {0};
    return muster__window_open(&window);
}

static bool has_limit(const struct arrival *arrival)
{
    struct window window = arrival->window;
    return muster__window_open(&window) == first_limit();
}

Test(window, small_answers_need_no_word)
{
    struct arrival arrival = {.way_ms = NEAR_MS};
    for (uint64_t chunk = 1000; chunk <= MIB; chunk *= 2)
        cr_assert_eq(arrive(&arrival, first_limit(), chunk), 0);
}

Test(window, nearby_a_word_for_each_half_of_it)
{
    static const uint64_t chunks[] = {MIB, 1000000, 65536, 60000};
    for (size_t i = 0; i < 4; i++) {
        struct arrival arrival = {.way_ms = NEAR_MS};
        for (size_t answer = 0; answer < 10; answer++) {
            size_t told = arrive(&arrival, TOTAL, chunks[i]);
            cr_assert_leq(told, TOTAL / (first_limit() / 2));
            cr_assert_geq(told, TOTAL / first_limit() - 1);
        }
        cr_assert_leq(arrival.most_ahead, first_limit());
        cr_assert(has_limit(&arrival));
    }
}

Test(window, from_far_away_as_much_as_it_likes)
{
    static const uint64_t chunks[] = {MIB, 1000000, 65536, 60000};
    for (size_t i = 0; i < 4; i++) {
        struct arrival arrival = {.way_ms = FAR_MS};
        arrive(&arrival, TOTAL, chunks[i]);
        cr_assert_leq(arrival.waited_ms,
                      (int64_t)(TOTAL / first_limit()) * FAR_MS); /* for each window once */
        for (size_t answer = 0; answer < 2; answer++)
            arrive(&arrival, TOTAL, chunks[i]);
        cr_assert_not(has_limit(&arrival));
        cr_assert_leq(arrival.waited_ms, 6 * FAR_MS); /* it does not take long to find out */
        cr_assert_eq(arrive(&arrival, TOTAL, chunks[i]), 0);
        cr_assert_not(has_limit(&arrival));
    }
}

/* In the middle of an answer, too. */
Test(window, from_far_away_a_huge_answer)
{
    struct arrival arrival = {.way_ms = FAR_MS};
    arrive(&arrival, 10 * TOTAL, MIB);
    cr_assert_eq(arrival.window.limit, UINT64_MAX);
    cr_assert_leq(arrival.waited_ms, 6 * FAR_MS);
}

/* Each answer begins slowly, as TCP does after a pause, so that our word is there in time at first. */
Test(window, from_far_away_with_a_slow_start)
{
    struct arrival arrival = {.way_ms = FAR_MS, .speed = MIB / 20, .speed_up = MIB / 20};
    for (size_t answer = 0; answer < 20 && has_limit(&arrival); answer++)
        arrive(&arrival, 2 * TOTAL, MIB);
    cr_assert_not(has_limit(&arrival));
}

/* Not all that takes its time is late. */
Test(window, slow_sender_does_not_wait)
{
    static const uint64_t chunks[] = {MIB, 65536, 60000};
    for (size_t i = 0; i < 3; i++) {
        for (uint64_t ms = 1; ms < 60; ms += 7) {
            struct arrival arrival = {.way_ms = NEAR_MS, .speed = chunks[i] / ms};
            for (size_t answer = 0; answer < 100; answer++)
                arrive(&arrival, TOTAL, chunks[i]);
            cr_assert_eq(arrival.waited_ms, 0);
            cr_assert(has_limit(&arrival));
        }
    }
}

Test(window, who_is_late_at_times_is_not_far_away)
{
    struct arrival arrival = {0};
    for (size_t answer = 0; answer < 20; answer++) {
        arrival.way_ms = answer % 4 ? NEAR_MS : FAR_MS;
        arrive(&arrival, TOTAL, MIB);
    }
    cr_assert_leq(arrival.most_ahead, first_limit());
    cr_assert(has_limit(&arrival));
}

/* Who sends more than it may is not stopped, and is told of more all the same. */
Test(window, who_sends_more_is_not_stopped)
{
    struct window window = {0};
    muster__window_open(&window);
    for (uint64_t received = MIB; received < TOTAL; received += 3 * MIB) {
        muster__window_move(&window, received, TOTAL, (int64_t)received);
        cr_assert_gt(window.limit, received);
        cr_assert_leq(window.limit, received + first_limit());
    }
}
