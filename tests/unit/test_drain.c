/* What a stop waits for. */
#include <config.h>

#include <criterion/criterion.h>

#include <stdlib.h>

#include <muster/fixture.h>

#include "proxy/drain.h"

enum { ROUNDS = 200, THREADS = 4 };

static struct drain *drain_new(void)
{
    struct drain *drain = malloc(sizeof(*drain));
    cr_assert_not_null(drain);
    muster__drain_init(drain);
    return drain;
}

static void drain_free(struct drain *drain)
{
    muster__drain_destroy(drain);
    free(drain);
}

Test(drain, nobody_enters_after_the_close)
{
    struct drain *drain = drain_new();
    cr_assert(muster__drain_enter(drain));
    cr_assert_not(muster__drain_is_closed(drain));
    cr_assert(muster__drain_close(drain));
    cr_assert_not(muster__drain_close(drain));
    cr_assert(muster__drain_is_closed(drain));
    cr_assert_not(muster__drain_enter(drain));
    muster__drain_add(drain);
    muster__drain_done(drain);
    muster__drain_done(drain);
    muster__drain_stopped(drain);
    muster__drain_wait(drain);
    drain_free(drain);
}

Test(drain, streams_that_do_not_end_are_waited_for_so_long)
{
    struct muster_transport *network = muster_fixture_new("test");
    struct drain *drain = drain_new();
    muster__drain_close(drain);
    cr_assert_not(muster__drain_wait_stopped(drain, network, 0));
    muster__drain_stopped(drain);
    cr_assert(muster__drain_wait_stopped(drain, network, 0));
    drain_free(drain);
    muster_fixture_free(network);
}

static void *end_one(void *context)
{
    muster__drain_done(context);
    return NULL;
}

static void *stop(void *context)
{
    muster__drain_stopped(context);
    return NULL;
}

/* Whoever waits frees it at once: the last to be done is not to touch it any more. */
Test(drain, is_freed_when_the_last_is_done)
{
    for (size_t round = 0; round < ROUNDS; round++) {
        struct drain *drain = drain_new();
        pthread_t threads[THREADS];
        for (size_t i = 0; i + 1 < THREADS; i++) {
            muster__drain_add(drain);
            cr_assert_eq(pthread_create(&threads[i], NULL, end_one, drain), 0);
        }
        cr_assert_eq(pthread_create(&threads[THREADS - 1], NULL, stop, drain), 0);
        muster__drain_close(drain);
        muster__drain_wait(drain);
        drain_free(drain);
        for (size_t i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
    }
}
