/* Timers and waits with a limit, on the fixture's clock. */
#include <config.h>

#include <criterion/criterion.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <muster/fixture.h>
#include <muster/random.h>

#include "network/timer.h"
#include "network/transport.h"

enum { LOG_MAX = 2000 };

/* A timer that writes down when it rang. */
struct bell {
    struct timer timer;
    struct ringing *ringing;
    size_t rang;
    /* What it does to another when it rings. */
    struct bell *stops;
    struct bell *starts;
    int64_t starts_in;
    bool stopped;
};

struct ringing {
    struct muster_transport *network;
    size_t count;
    struct bell *log[LOG_MAX];
};

static struct ringing ringing_new(void)
{
    return (struct ringing){.network = muster_fixture_new("test")};
}

static struct bell bell_new(struct ringing *ringing)
{
    return (struct bell){.ringing = ringing};
}

static void start(struct bell *bell, int64_t at);

static void ring(struct timer *timer)
{
    struct bell *bell = (struct bell *)timer; /* its first member */
    struct ringing *ringing = bell->ringing;
    bell->rang++;
    if (ringing->count < LOG_MAX)
        ringing->log[ringing->count++] = bell;
    if (bell->stops)
        bell->stopped = muster__timer_stop(ringing->network, &bell->stops->timer);
    if (bell->starts)
        start(bell->starts, ringing->network->ops->now(ringing->network) + bell->starts_in);
}

static void start(struct bell *bell, int64_t at)
{
    muster__timer_start(bell->ringing->network, &bell->timer, at, ring);
}

static bool stop(struct bell *bell)
{
    return muster__timer_stop(bell->ringing->network, &bell->timer);
}

static void advance(struct ringing *ringing, int64_t milliseconds)
{
    muster_fixture_advance(ringing->network, milliseconds);
    muster_fixture_settle(ringing->network);
}

Test(timer, rings_once_at_its_time)
{
    struct ringing ringing = ringing_new();
    struct bell bell = bell_new(&ringing);
    start(&bell, 10);
    advance(&ringing, 9);
    cr_assert_eq(bell.rang, 0);
    advance(&ringing, 1);
    cr_assert_eq(bell.rang, 1);
    advance(&ringing, 100);
    cr_assert_eq(bell.rang, 1);
    muster_fixture_free(ringing.network);
}

Test(timer, rings_when_its_time_has_passed)
{
    struct ringing ringing = ringing_new();
    struct bell bell = bell_new(&ringing);
    advance(&ringing, 50);
    start(&bell, 10);
    cr_assert_eq(bell.rang, 0, "not on the thread that starts it");
    muster_fixture_settle(ringing.network);
    cr_assert_eq(bell.rang, 1);
    muster_fixture_free(ringing.network);
}

Test(timer, rings_in_order)
{
    struct ringing ringing = ringing_new();
    struct bell bells[3] = {bell_new(&ringing), bell_new(&ringing), bell_new(&ringing)};
    start(&bells[0], 20);
    start(&bells[1], 30);
    start(&bells[2], 10);
    advance(&ringing, 40);
    cr_assert_eq(ringing.count, 3);
    cr_assert_eq(ringing.log[0], &bells[2]);
    cr_assert_eq(ringing.log[1], &bells[0]);
    cr_assert_eq(ringing.log[2], &bells[1]);
    muster_fixture_free(ringing.network);
}

Test(timer, alarm_moves_to_an_earlier_time)
{
    struct ringing ringing = ringing_new();
    struct bell late = bell_new(&ringing);
    struct bell early = bell_new(&ringing);
    start(&late, 1000);
    start(&early, 10);
    advance(&ringing, 10);
    cr_assert_eq(early.rang, 1);
    cr_assert_eq(late.rang, 0);
    advance(&ringing, 990);
    cr_assert_eq(late.rang, 1);
    muster_fixture_free(ringing.network);
}

Test(timer, stopped_in_time)
{
    struct ringing ringing = ringing_new();
    struct bell bell = bell_new(&ringing);
    struct bell other = bell_new(&ringing);
    start(&bell, 10);
    start(&other, 20);
    cr_assert(stop(&bell));
    cr_assert_not(stop(&bell));
    advance(&ringing, 15); /* the alarm was set for it, and rings for nothing */
    cr_assert_eq(bell.rang, 0);
    advance(&ringing, 5);
    cr_assert_eq(other.rang, 1);
    muster_fixture_free(ringing.network);
}

Test(timer, stopped_too_late_or_never_started)
{
    struct ringing ringing = ringing_new();
    struct bell bell = bell_new(&ringing);
    cr_assert_not(stop(&bell));
    start(&bell, 10);
    advance(&ringing, 10);
    cr_assert_not(stop(&bell));
    muster_fixture_free(ringing.network);
}

Test(timer, started_again)
{
    struct ringing ringing = ringing_new();
    struct bell bell = bell_new(&ringing);
    start(&bell, 10);
    advance(&ringing, 10);
    start(&bell, 30);
    cr_assert(stop(&bell));
    start(&bell, 40);
    advance(&ringing, 29);
    cr_assert_eq(bell.rang, 1);
    advance(&ringing, 1);
    cr_assert_eq(bell.rang, 2);
    muster_fixture_free(ringing.network);
}

Test(timer, stopped_by_another_that_rings)
{
    struct ringing ringing = ringing_new();
    struct bell first = bell_new(&ringing);
    struct bell second = bell_new(&ringing);
    first.stops = &second;
    start(&first, 10);
    start(&second, 11);
    advance(&ringing, 20);
    cr_assert_eq(first.rang, 1);
    cr_assert(first.stopped);
    cr_assert_eq(second.rang, 0);
    muster_fixture_free(ringing.network);
}

Test(timer, started_by_one_that_rings)
{
    struct ringing ringing = ringing_new();
    struct bell first = bell_new(&ringing);
    struct bell second = bell_new(&ringing);
    first.starts = &second;
    first.starts_in = 5;
    start(&first, 10);
    advance(&ringing, 10);
    cr_assert_eq(second.rang, 0);
    advance(&ringing, 5);
    cr_assert_eq(second.rang, 1);
    muster_fixture_free(ringing.network);
}

Test(timer, starts_itself_again)
{
    struct ringing ringing = ringing_new();
    struct bell bell = bell_new(&ringing);
    bell.starts = &bell;
    bell.starts_in = 10;
    start(&bell, 10);
    for (size_t i = 1; i <= 5; i++) {
        advance(&ringing, 10);
        cr_assert_eq(bell.rang, i);
    }
    cr_assert(stop(&bell));
    muster_fixture_free(ringing.network);
}

/* Starts and stops many at random and compares with what a list would do. */
Test(timer, many)
{
    enum { BELLS = 200, STEPS = 5000 };
    struct ringing ringing = ringing_new();
    struct bell *bells = calloc(BELLS, sizeof(*bells));
    bool started[BELLS] = {false};
    struct muster_random random;
    int64_t now = 0;
    muster_random_seed(&random, 1);
    for (size_t i = 0; i < BELLS; i++)
        bells[i] = bell_new(&ringing);
    for (size_t step = 0; step < STEPS; step++) {
        size_t which = (size_t)(muster_random_next(&random) % BELLS);
        if (started[which])
            cr_assert(stop(&bells[which]));
        else
            start(&bells[which], now + 1 + (int64_t)(muster_random_next(&random) % 100));
        started[which] = !started[which];
        if (step % 10 != 0)
            continue;
        ringing.count = 0;
        advance(&ringing, 7);
        now += 7;
        size_t due = 0;
        for (size_t i = 0; i < BELLS; i++) {
            bool is_due = started[i] && bells[i].timer.at <= now;
            due += is_due;
            started[i] = started[i] && !is_due;
        }
        cr_assert_eq(ringing.count, due);
        for (size_t i = 1; i < ringing.count; i++)
            cr_assert_leq(ringing.log[i - 1]->timer.at, ringing.log[i]->timer.at);
    }
    for (size_t i = 0; i < BELLS; i++)
        cr_assert_eq(stop(&bells[i]), started[i]);
    free(bells);
    muster_fixture_free(ringing.network);
}

Test(timer, limits_become_times)
{
    struct muster_transport *network = muster_fixture_new("test");
    muster_fixture_advance(network, 100);
    cr_assert_eq(muster__transport_after(network, 0), 100);
    cr_assert_eq(muster__transport_after(network, 50), 150);
    cr_assert_eq(muster__transport_after(network, MUSTER_NO_LIMIT), INT64_MAX);
    cr_assert_eq(muster__transport_after(network, MUSTER_NO_LIMIT - 1), 100, "a deadline that has passed");
    cr_assert_eq(muster__transport_after(network, INT64_MIN), 100);
    cr_assert_eq(muster__transport_after(network, INT64_MAX), INT64_MAX);
    cr_assert_eq(muster__transport_after(network, INT64_MAX - 101), INT64_MAX - 1);
    cr_assert_eq(muster__transport_after(network, INT64_MAX - 99), INT64_MAX);
    muster_fixture_free(network);
}

/* ---- waiters ---- */

struct waiting {
    struct muster_transport *network;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int64_t limit_ms;
    bool wanted; /* guarded by lock */
    bool expired;
};

static void *wait_for_it(void *context)
{
    struct waiting *waiting = context;
    struct waiter waiter;
    pthread_mutex_lock(&waiting->lock);
    muster__waiter_begin(&waiter, waiting->network, &waiting->lock, &waiting->changed, waiting->limit_ms);
    while (!waiting->wanted && !waiter.expired)
        muster__waiter_sleep(&waiter);
    waiting->expired = waiter.expired;
    muster__waiter_end(&waiter);
    pthread_mutex_unlock(&waiting->lock);
    return NULL;
}

static struct waiting waiting_new(int64_t limit_ms)
{
    return (struct waiting){.network = muster_fixture_new("test"),
                            .lock = PTHREAD_MUTEX_INITIALIZER,
                            .changed = PTHREAD_COND_INITIALIZER,
                            .limit_ms = limit_ms};
}

static void grant(struct waiting *waiting)
{
    pthread_mutex_lock(&waiting->lock);
    waiting->wanted = true;
    pthread_cond_signal(&waiting->changed);
    pthread_mutex_unlock(&waiting->lock);
}

Test(waiter, limit_of_nothing_has_passed)
{
    static const int64_t limits[] = {0, MUSTER_NO_LIMIT - 1, INT64_MIN};
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct waiting waiting = waiting_new(limits[i]);
        wait_for_it(&waiting);
        cr_assert(waiting.expired);
        muster_fixture_free(waiting.network);
    }
}

Test(waiter, what_is_there_is_not_waited_for)
{
    struct waiting waiting = waiting_new(1000);
    waiting.wanted = true;
    wait_for_it(&waiting);
    cr_assert_not(waiting.expired);
    cr_assert_not(muster_fixture_step(waiting.network));
    muster_fixture_advance(waiting.network, 1000);
    muster_fixture_settle(waiting.network); /* its timer left with it */
    muster_fixture_free(waiting.network);
}

Test(waiter, limit_passes)
{
    struct waiting waiting = waiting_new(1000);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, wait_for_it, &waiting), 0);
    muster_fixture_wait_alarm(waiting.network, 1000);
    muster_fixture_advance(waiting.network, 1000);
    muster_fixture_settle(waiting.network);
    pthread_join(thread, NULL);
    cr_assert(waiting.expired);
    muster_fixture_free(waiting.network);
}

Test(waiter, woken_before_the_limit)
{
    struct waiting waiting = waiting_new(1000);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, wait_for_it, &waiting), 0);
    muster_fixture_wait_alarm(waiting.network, 1000);
    grant(&waiting);
    pthread_join(thread, NULL);
    cr_assert_not(waiting.expired);
    muster_fixture_free(waiting.network);
}

Test(waiter, no_limit)
{
    struct waiting waiting = waiting_new(MUSTER_NO_LIMIT);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, wait_for_it, &waiting), 0);
    muster_fixture_advance(waiting.network, (int64_t)1 << 40);
    muster_fixture_settle(waiting.network);
    grant(&waiting);
    pthread_join(thread, NULL);
    cr_assert_not(waiting.expired);
    muster_fixture_free(waiting.network);
}

Test(clock, limits_that_no_time_has_room_for)
{
    const int64_t limits[] = {INT64_MAX, (int64_t)UINT32_MAX * 1000, (int64_t)INT32_MAX * 1000, 1999};
    for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
        const struct timespec at = muster__clock_at(limits[i]), after = muster__clock_after(limits[i]);
        cr_assert_gt(at.tv_sec, 0);
        cr_assert_geq(after.tv_sec, at.tv_sec);
        cr_assert_eq(at.tv_nsec, limits[i] % 1000 * 1000000);
        cr_assert(after.tv_nsec >= 0 && after.tv_nsec < 1000000000);
    }
    cr_assert_eq(muster__clock_at(1999).tv_sec, 1);
}

static void *advance_and_settle(void *network)
{
    muster_fixture_advance(network, 1000);
    muster_fixture_settle(network);
    return NULL;
}

/* The limit passes while what was waited for has come: the timer, on its way, wants the lock, and must be
   gone before the waiter is. */
Test(waiter, limit_passes_as_it_is_woken)
{
    for (size_t i = 0; i < 200; i++) {
        struct waiting waiting = waiting_new(1000);
        pthread_t threads[2];
        cr_assert_eq(pthread_create(&threads[0], NULL, wait_for_it, &waiting), 0);
        muster_fixture_wait_alarm(waiting.network, 1000);
        cr_assert_eq(pthread_create(&threads[1], NULL, advance_and_settle, waiting.network), 0);
        grant(&waiting);
        pthread_join(threads[0], NULL);
        pthread_join(threads[1], NULL);
        muster_fixture_free(waiting.network);
    }
}
