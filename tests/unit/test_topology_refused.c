/* Topologies that there are not, and what the caller is told. */
#include <config.h>

#include <criterion/criterion.h>

#include <stdint.h>
#include <stdio.h>

#include "unit/topology.h"

static void refuse(const char *spec, size_t ranks, const char *text)
{
    struct muster_topology_options options = options_for(spec, ranks, "uniform");
    expect_no_topology(&options, text);
}

Test(topology_refused, names)
{
    static const char names[] =
        "ring, star, full, grid, torus, tree, ladder, circular-ladder, wheel, complete-bipartite, barbell, "
        "hypercube, hyper-hypercube, erdos-renyi, watts-strogatz, random-regular, one-peer-exponential, "
        "base, simple-base, matching";
    char text[512];
    snprintf(text, sizeof(text), "'rign' is none of %s", names);
    refuse("rign", 4, text);
    snprintf(text, sizeof(text), "'a-name-longer-th' is none of %s", names);
    refuse("a-name-longer-than-any", 4, text);
    snprintf(text, sizeof(text), "'' is none of %s", names);
    refuse("", 4, text);
    snprintf(text, sizeof(text), "':4' is none of %s", names);
    refuse(":4", 4, text);
}

Test(topology_refused, parameters)
{
    refuse("ring:4", 4, "'ring:4' is not of the form ring");
    refuse("ring:", 4, "'ring:' is not of the form ring");
    static const char *const regular[] = {"random-regular",     "random-regular:",       "random-regular:0",
                                          "random-regular:-4",  "random-regular:4:",     "random-regular: 4",
                                          "random-regular:4.5", "random-regular:4x",     "random-regular:+4",
                                          "random-regular:4:4", "random-regular:1000000"};
    for (size_t i = 0; i < sizeof(regular) / sizeof(regular[0]); i++) {
        char text[256];
        snprintf(text, sizeof(text),
                 "'%s' is not of the form random-regular:DEGREE, such as random-regular:4", regular[i]);
        refuse(regular[i], 10, text);
    }
    static const char *const random[] = {
        "erdos-renyi",     "erdos-renyi:",     "erdos-renyi:.",     "erdos-renyi:1.1",
        "erdos-renyi:2",   "erdos-renyi:-0.1", "erdos-renyi:0.1.",  "erdos-renyi:1e-1",
        "erdos-renyi:0,1", "erdos-renyi:nan",  "erdos-renyi:0.1:2", "erdos-renyi:0.1234567890123456"};
    for (size_t i = 0; i < sizeof(random) / sizeof(random[0]); i++) {
        char text[256];
        snprintf(text, sizeof(text),
                 "'%s' is not of the form erdos-renyi:PROBABILITY, such as erdos-renyi:0.3 (a probability is "
                 "from 0 to 1, and has up to 15 digits)",
                 random[i]);
        refuse(random[i], 10, text);
    }
    refuse("base:1", 4, "'base:1' is not of the form base:BASE, such as base:2");
}

Test(topology_refused, probabilities_in_other_words)
{
    static const char *const specs[] = {"erdos-renyi:1",   "erdos-renyi:1.",   "erdos-renyi:1.000",
                                        "erdos-renyi:.95", "erdos-renyi:0.99", "erdos-renyi:00.9"};
    for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++)
        muster_topology_free(uniform_topology(specs[i], 6));
}

Test(topology_refused, sizes)
{
    refuse("ring", 0, "a topology has 1 to 65536 ranks, not 0");
    refuse("ring", 65537, "a topology has 1 to 65536 ranks, not 65537");
    refuse("hypercube", 6,
           "there is no hypercube of 6 ranks: the number of ranks is a power of two; 4 and 8 would do");
    refuse(
        "hypercube", 65535,
        "there is no hypercube of 65535 ranks: the number of ranks is a power of two; 32768 and 65536 would "
        "do");
    refuse("ladder", 7, "there is no ladder of 7 ranks: the number of ranks is even; 6 and 8 would do");
    refuse("circular-ladder", 4,
           "there is no circular-ladder of 4 ranks: the number of ranks is even, and at least 6; 6 would do");
    refuse("grid", 7,
           "there is no grid of 7 ranks: the number of ranks is not prime, and at least 4; 6 and 8 would do");
    refuse("grid", 3,
           "there is no grid of 3 ranks: the number of ranks is not prime, and at least 4; 4 would do");
    refuse(
        "torus", 10,
        "there is no torus of 10 ranks: the ranks make 3 rows or more of 3 columns or more; 9 and 12 would "
        "do");
    refuse("wheel", 3, "there is no wheel of 3 ranks: there are at least 4 ranks; 4 would do");
    refuse("barbell", 1, "there is no barbell of 1 ranks: there are at least 2 ranks; 2 would do");
    refuse("complete-bipartite", 1,
           "there is no complete-bipartite of 1 ranks: there are at least 2 ranks; 2 would do");
    refuse(
        "hyper-hypercube:2", 10,
        "there is no hyper-hypercube:2 of 10 ranks: the number of ranks has no prime factor above PEERS + 1; "
        "9 and 12 would do");
    refuse("random-regular:3", 7,
           "there is no random-regular:3 of 7 ranks: DEGREE is less than the number of ranks, one of the two "
           "is even, and DEGREE 1 is for 2 ranks; 6 and 8 would do");
    refuse("random-regular:1", 4,
           "there is no random-regular:1 of 4 ranks: DEGREE is less than the number of ranks, one of the two "
           "is even, and DEGREE 1 is for 2 ranks; 2 would do");
    refuse(
        "watts-strogatz:4:0.1", 4,
        "there is no watts-strogatz:4:0.1 of 4 ranks: NEIGHBOURS is even, and less than the number of ranks; "
        "5 would do");
    refuse("watts-strogatz:3:0.1", 10,
           "there is no watts-strogatz:3:0.1 of 10 ranks: NEIGHBOURS is even, and less than the number of "
           "ranks");
}

Test(topology_refused, graphs_that_are_never_connected)
{
    refuse("erdos-renyi:0", 2,
           "erdos-renyi:0 of 2 ranks was not connected in any of 100 draws: raise the parameters, or take "
           "another seed");
    refuse(
        "erdos-renyi:0.01", 30,
        "erdos-renyi:0.01 of 30 ranks was not connected in any of 100 draws: raise the parameters, or take "
        "another seed");
}

Test(topology_refused, mixings_and_degrees)
{
    struct muster_topology_options options = options_for("ring", 8, "equal");
    expect_no_topology(&options, "no mixing 'equal': there are uniform and metropolis");
    options.mixing = NULL;
    expect_no_topology(&options, "no mixing '': there are uniform and metropolis");
    options.mixing = "metropolis";
    options.degree = 1;
    expect_no_topology(&options, "metropolis needs all neighbours: mix uniformly, or set no degree");
    options.degree = 0;
    options.spec = "one-peer-exponential";
    expect_no_topology(&options, "metropolis is for edges that go both ways, and those of "
                                 "one-peer-exponential do not: mix uniformly");
    options.mixing = "uniform";
    options.spec = "base:2";
    options.degree = 1;
    expect_no_topology(&options, "a degree samples from the neighbours of a graph that stays the same, and "
                                 "base:2 changes from step to step: set no degree");
}

Test(topology_refused, options_that_nobody_filled_in)
{
    struct muster_topology_options options = {0};
    expect_no_topology(&options, "the options are not filled in: call muster_topology_options_init() first");
}

Test(topology_refused, ranks_that_there_are_not)
{
    struct muster_topology *topology = uniform_topology("ring", 8);
    struct muster_neighbour list[2];
    struct muster_error error;
    size_t count = 7;
    double own = 7;
    cr_assert_eq(muster_topology_in(topology, 8, 0, list, &count, &own, &error), MUSTER_INVALID);
    cr_assert_str_eq(error.text, "there is no rank 8 in a topology of 8");
    cr_assert_eq(muster_topology_out(topology, SIZE_MAX, 0, list, &count, &error), MUSTER_INVALID);
    cr_assert_eq(count, 7);
    cr_assert_eq(own, 7);
    muster_topology_free(topology);
    muster_topology_free(NULL);
}
