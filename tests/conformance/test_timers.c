/* What every transport promises of timers, and of waits with a limit. */
#include <config.h>

#include <criterion/criterion.h>

#include <string.h>

#include "conformance/fixture.h"

#define TIMERS 20

static struct alarm_clock {
    struct timer timer; /* its first member: an expired timer is one of these */
    unsigned rings;
} clocks[TIMERS];
static struct timer *rung[2 * TIMERS]; /* in this order; guarded by fixture.lock */
static size_t rung_count;

static void ring(struct timer *timer)
{
    pthread_mutex_lock(&fixture.lock);
    rung[rung_count++] = timer;
    ((struct alarm_clock *)timer)->rings++;
    pthread_cond_broadcast(&fixture.changed);
    pthread_mutex_unlock(&fixture.lock);
}

static void begin_timers(void)
{
    begin();
    memset(clocks, 0, sizeof(clocks));
    rung_count = 0;
}

static void wait_rings(size_t count)
{
    pthread_mutex_lock(&fixture.lock);
    while (rung_count < count)
        pthread_cond_wait(&fixture.changed, &fixture.lock);
    pthread_mutex_unlock(&fixture.lock);
}

/* Starts all timers, and stops each second one or none; returns the time of the first. All of that is done before any
   rings: where the machine is too slow for it, again with more time. */
static int64_t start_timers(bool stops)
{
    begin_timers();
    for (int64_t lead = 20;; lead *= 2) {
        int64_t first = fixture.transport->ops->now(fixture.transport) + lead;
        size_t stopped = 0;
        for (size_t i = 0; i < TIMERS; i++) /* 7 and 20 have no common factor: every time once */
            muster__timer_start(fixture.transport, &clocks[i].timer, first + (int64_t)(i * 7 % TIMERS), ring);
        for (size_t i = 0; i < TIMERS && stops; i += 2)
            stopped += muster__timer_stop(fixture.transport, &clocks[i].timer);
        if (fixture.transport->ops->now(fixture.transport) < first)
            return first;
        for (size_t i = 0; i < TIMERS; i++)
            stopped += muster__timer_stop(fixture.transport, &clocks[i].timer);
        wait_rings(TIMERS - stopped);
        conclude();
        begin_timers();
    }
}

Test(timer, timers_ring_in_the_order_of_their_time)
{
    int64_t first = start_timers(false);
    network_pass(fixture.transport, 20 + TIMERS);
    wait_rings(TIMERS);
    cr_assert_geq(fixture.transport->ops->now(fixture.transport), first + TIMERS - 1);
    for (size_t i = 1; i < TIMERS; i++)
        cr_assert_lt(rung[i - 1]->at, rung[i]->at);
    conclude();
}

Test(timer, a_stopped_timer_does_not_ring)
{
    start_timers(true);
    cr_assert_not(muster__timer_stop(fixture.transport, &clocks[0].timer));
    network_pass(fixture.transport, 20 + TIMERS);
    wait_rings(TIMERS / 2);
    for (size_t i = 0; i < TIMERS; i++) {
        cr_assert_eq(clocks[i].rings, i % 2);
        cr_assert_not(muster__timer_stop(fixture.transport, &clocks[i].timer));
    }
    conclude();
    cr_assert_eq(rung_count, TIMERS / 2);
}

Test(timer, an_earlier_timer_rings_before_one_that_was_there)
{
    begin_timers();
    int64_t now = fixture.transport->ops->now(fixture.transport);
    muster__timer_start(fixture.transport, &clocks[0].timer, now + 3600000, ring);
    muster__timer_start(fixture.transport, &clocks[1].timer, now + 10, ring);
    network_pass(fixture.transport, 10);
    wait_rings(1);
    cr_assert_eq(clocks[1].rings, 1);
    cr_assert(muster__timer_stop(fixture.transport, &clocks[0].timer));
    conclude();
}

Test(timer, a_timer_whose_time_has_passed_rings)
{
    begin_timers();
    int64_t now = fixture.transport->ops->now(fixture.transport);
    muster__timer_start(fixture.transport, &clocks[0].timer, now, ring);
    muster__timer_start(fixture.transport, &clocks[1].timer, now - 1000, ring);
    wait_rings(2);
    conclude();
}

static void ring_again(struct timer *timer)
{
    ring(timer);
    if (((struct alarm_clock *)timer)->rings < 5)
        muster__timer_start(fixture.transport, timer, timer->at + 2, ring_again);
}

Test(timer, a_timer_is_started_again_when_it_rings)
{
    begin_timers();
    int64_t now = fixture.transport->ops->now(fixture.transport);
    muster__timer_start(fixture.transport, &clocks[0].timer, now, ring_again);
    network_pass(fixture.transport, 8);
    wait_rings(5);
    cr_assert_eq(clocks[0].rings, 5);
    conclude();
}

Test(timer, a_wait_ends_at_its_limit)
{
    begin_timers();
    struct waiter waiter;
    pthread_mutex_lock(&fixture.lock);
    muster__waiter_begin(&waiter, fixture.transport, &fixture.lock, &fixture.changed, 20);
    network_pass(fixture.transport, 20);
    while (!waiter.expired)
        muster__waiter_sleep(&waiter);
    muster__waiter_end(&waiter);

    muster__waiter_begin(&waiter, fixture.transport, &fixture.lock, &fixture.changed, 0);
    cr_assert(waiter.expired);
    muster__waiter_end(&waiter);
    muster__waiter_begin(&waiter, fixture.transport, &fixture.lock, &fixture.changed, 3600000);
    muster__waiter_end(&waiter);
    cr_assert_not(waiter.expired);
    muster__waiter_begin(&waiter, fixture.transport, &fixture.lock, &fixture.changed, MUSTER_NO_LIMIT);
    muster__waiter_end(&waiter);
    cr_assert_not(waiter.expired);
    pthread_mutex_unlock(&fixture.lock);
    conclude();
}

/* Waits whose end and whose limit fall together, from several threads. */
#define THREADS 4

static void *wait_often(void *argument)
{
    pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
    size_t *expired = argument;
    for (size_t i = 0; i < scaled(200, 1); i++) {
        struct waiter waiter;
        pthread_mutex_lock(&own);
        muster__waiter_begin(&waiter, fixture.transport, &own, &condition, (int64_t)(i % 3));
        network_pass(fixture.transport, 1);
        muster__waiter_end(&waiter);
        *expired += waiter.expired;
        pthread_mutex_unlock(&own);
    }
    return NULL;
}

Test(timer, waits_that_race_with_their_limits_end)
{
    begin_timers();
    pthread_t threads[THREADS];
    size_t expired[THREADS] = {0};
    for (size_t i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, wait_often, &expired[i]), 0);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        cr_assert_geq(expired[i], scaled(200, 1) / 3); /* the limits of 0 at least */
    }
    conclude();
}
