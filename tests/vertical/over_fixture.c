/* Ensembles over the network for tests, which a thread runs. */
#include <config.h>

#include <criterion/criterion.h>

#include <pthread.h>
#include <sched.h>

#include <muster/fixture.h>

#include "vertical/over.h"

static struct muster_transport *network;
static pthread_t pump;

static void *run(void *context)
{
    muster_fixture_run(context);
    return NULL;
}

const char *over_begin(void)
{
    network = muster_fixture_new("ensemble");
    cr_assert_not_null(network);
    cr_assert_eq(pthread_create(&pump, NULL, run, network), 0);
    return "fixture:ensemble/master";
}

void over_pass(void)
{
    muster_fixture_advance(network, 10);
    sched_yield();
}

void over_end(void)
{
    muster_fixture_stop(network);
    pthread_join(pump, NULL);
    muster_fixture_free(network);
}
