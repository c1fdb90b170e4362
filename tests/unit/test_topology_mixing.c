/* Mixing by topologies: how fast it leads to the mean, and where it is the mean exactly. */
#include <config.h>

#include <criterion/criterion.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <muster/random.h>

#include "unit/topology.h"

enum { RANKS_MOST = 99 };

/* How far values are from their mean: the root of the sum of squares. */
static double distance(const double *values, size_t ranks)
{
    double mean = 0, squares = 0;
    for (size_t i = 0; i < ranks; i++)
        mean += values[i] / (double)ranks;
    for (size_t i = 0; i < ranks; i++)
        squares += (values[i] - mean) * (values[i] - mean);
    return sqrt(squares);
}

/* ---- how many steps a ring takes ---- */

static unsigned steps_of_a_ring(size_t ranks)
{
    const double pi = 3.14159265358979323846;
    struct muster_topology *topology = uniform_topology("ring", ranks);
    double values[32];
    for (size_t i = 0; i < ranks; i++)
        values[i] = cos(2 * pi * (double)i / (double)ranks);
    double enough = 1e-6 * distance(values, ranks);
    unsigned steps = 0;
    for (; distance(values, ranks) > enough; steps++)
        mix(topology, ranks, steps, values);
    muster_topology_free(topology);
    return steps;
}

Test(topology_mixing, steps_of_a_ring)
{
    cr_assert_eq(steps_of_a_ring(8), 64);
    cr_assert_eq(steps_of_a_ring(16), 266);
    cr_assert_eq(steps_of_a_ring(32), 1072);
}

/* ---- exact ---- */

/* Whether the product of the weights of these steps is 1 / ranks everywhere: each rank in turn begins with
 * 1. */
static bool makes_the_mean(const struct muster_topology *topology, size_t ranks, uint64_t first, size_t steps)
{
    for (size_t one = 0; one < ranks; one++) {
        double values[RANKS_MOST] = {0};
        values[one] = 1;
        for (uint64_t step = first; step < first + steps; step++)
            mix(topology, ranks, step, values);
        for (size_t i = 0; i < ranks; i++) {
            if (fabs(values[i] - 1 / (double)ranks) > 1e-14)
                return false;
        }
    }
    return true;
}

/* Nobody has more than `most` neighbours, and it takes at most so many steps. */
static void expect_exact(const char *spec, size_t ranks, size_t most, size_t steps)
{
    struct muster_topology *topology = uniform_topology(spec, ranks);
    size_t period = muster_topology_period(topology);
    cr_assert_eq(muster_topology_exact_after(topology), period);
    cr_assert_leq(muster_topology_degree(topology), most, "%s of %zu", spec, ranks);
    cr_assert_leq(period, steps, "%s of %zu takes %zu", spec, ranks, period);
    cr_assert(makes_the_mean(topology, ranks, 0, period), "%s of %zu", spec, ranks);
    cr_assert(makes_the_mean(topology, ranks, 7 * period, period), "%s of %zu", spec, ranks);
    muster_topology_free(topology);
}

/* The paper's bound: 2 log(ranks) + 2, whose logarithm is to this base. */
static size_t bound(size_t ranks, size_t base)
{
    size_t digits = 0;
    for (size_t power = base; power <= ranks; power *= base)
        digits++;
    return 2 * digits + 2;
}

static void expect_exact_graphs(size_t peers)
{
    for (size_t ranks = 1; ranks <= RANKS_MOST; ranks++) {
        char simple[32], base[32], cube[32];
        snprintf(simple, sizeof(simple), "simple-base:%zu", peers + 1);
        snprintf(base, sizeof(base), "base:%zu", peers + 1);
        snprintf(cube, sizeof(cube), "hyper-hypercube:%zu", peers);
        expect_exact(simple, ranks, peers, bound(ranks, peers + 1));
        struct muster_topology *other = uniform_topology(simple, ranks);
        expect_exact(base, ranks, peers, muster_topology_period(other));
        muster_topology_free(other);
        struct muster_topology_options options = options_for(cube, ranks, "uniform");
        if (muster_topology_new(&options, &other, NULL) != MUSTER_OK)
            continue;
        muster_topology_free(other);
        expect_exact(cube, ranks, peers, bound(ranks, peers + 1));
    }
}

Test(topology_mixing, one_peer_is_exact_for_every_number, .timeout = 60)
{
    expect_exact_graphs(1);
}

Test(topology_mixing, two_peers_are_exact_for_every_number, .timeout = 60)
{
    expect_exact_graphs(2);
}

Test(topology_mixing, three_peers_are_exact_for_every_number, .timeout = 60)
{
    expect_exact_graphs(3);
}

Test(topology_mixing, four_peers_are_exact_for_every_number, .timeout = 60)
{
    expect_exact_graphs(4);
}

Test(topology_mixing, one_peer_exponential_is_exact_for_powers_of_two)
{
    struct muster_topology *topology = uniform_topology("one-peer-exponential", 16);
    cr_assert(makes_the_mean(topology, 16, 0, 4));
    cr_assert(!makes_the_mean(topology, 16, 0, 3));
    muster_topology_free(topology);
    topology = uniform_topology("one-peer-exponential", 64);
    cr_assert(makes_the_mean(topology, 64, 0, 6));
    cr_assert(!makes_the_mean(topology, 64, 0, 5));
    muster_topology_free(topology);
    topology = uniform_topology("one-peer-exponential", 15);
    cr_assert(!makes_the_mean(topology, 15, 0, 4));
    muster_topology_free(topology);
}

/* ---- where mixing leads ---- */

/* Mixes random values until they are the same, and returns the mean that they had, and the one that they are
 * now. */
static double lead(const char *spec, size_t ranks, const char *mixing, double *weighted, double *plain)
{
    struct muster_topology_options options = options_for(spec, ranks, mixing);
    struct muster_topology *topology = new_topology(&options);
    struct muster_random random;
    muster_random_seed(&random, 5);
    double values[RANKS_MOST], total = 0;
    *weighted = *plain = 0;
    for (size_t i = 0; i < ranks; i++) {
        struct muster_neighbour list[RANKS_MOST];
        size_t count;
        double own;
        cr_assert_eq(muster_topology_in(topology, i, 0, list, &count, &own, NULL), MUSTER_OK);
        values[i] = muster_random_normal(&random);
        *plain += values[i] / (double)ranks;
        *weighted += values[i] * (double)(count + 1);
        total += (double)(count + 1);
    }
    *weighted /= total;
    for (uint64_t step = 0; distance(values, ranks) > 1e-13; step++)
        mix(topology, ranks, step, values);
    muster_topology_free(topology);
    return values[0];
}

Test(topology_mixing, leads_to_the_mean)
{
    static const char *const specs[] = {"star", "grid", "tree", "barbell", "erdos-renyi:0.3"};
    double weighted, plain;
    for (size_t i = 0; i < 5; i++) {
        double found = lead(specs[i], 20, "metropolis", &weighted, &plain);
        cr_assert_float_eq(found, plain, 1e-11);
        found = lead(specs[i], 20, "uniform", &weighted, &plain);
        cr_assert_float_eq(found, weighted, 1e-11);
        cr_assert_gt(fabs(found - plain), 1e-6);
    }
    double found = lead("random-regular:4", 20, "uniform", &weighted, &plain);
    cr_assert_float_eq(found, plain, 1e-11);
    found = lead("matching", 21, "metropolis", &weighted, &plain);
    cr_assert_float_eq(found, plain, 1e-11);
}
