/* Topologies of the tests: made, refused, and as matrices. */
#include <config.h>

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "unit/topology.h"

struct muster_topology_options options_for(const char *spec, size_t ranks, const char *mixing)
{
    struct muster_topology_options options;
    muster_topology_options_init(&options);
    options.spec = spec;
    options.ranks = ranks;
    options.mixing = mixing;
    options.seed = 1;
    return options;
}

struct muster_topology *new_topology(const struct muster_topology_options *options)
{
    struct muster_topology *topology;
    struct muster_error error = {MUSTER_OK, ""};
    cr_assert_eq(muster_topology_new(options, &topology, &error), MUSTER_OK, "%s", error.text);
    return topology;
}

struct muster_topology *uniform_topology(const char *spec, size_t ranks)
{
    struct muster_topology_options options = options_for(spec, ranks, "uniform");
    return new_topology(&options);
}

void expect_no_topology(const struct muster_topology_options *options, const char *text)
{
    struct muster_error error = {MUSTER_OK, ""};
    struct muster_topology *topology = (struct muster_topology *)&error;
    cr_assert_eq(muster_topology_new(options, &topology, &error), MUSTER_INVALID);
    cr_assert_eq(error.status, MUSTER_INVALID);
    cr_assert_str_eq(error.text, text);
    cr_assert_null(topology);
}

double *new_weights(const struct muster_topology *topology, size_t ranks, uint64_t step)
{
    double *weights = calloc(ranks * ranks, sizeof(*weights));
    struct muster_neighbour *list = calloc(muster_topology_degree(topology) + 1, sizeof(*list));
    cr_assert(weights && list);
    for (size_t rank = 0; rank < ranks; rank++) {
        size_t count;
        cr_assert_eq(
            muster_topology_in(topology, rank, step, list, &count, &weights[rank * ranks + rank], NULL),
            MUSTER_OK);
        cr_assert_leq(count, muster_topology_degree(topology));
        for (size_t i = 0; i < count; i++) {
            cr_assert_lt(list[i].rank, ranks);
            cr_assert_neq(list[i].rank, rank, "a rank is no neighbour of its own");
            cr_assert(i == 0 || list[i - 1].rank < list[i].rank, "each once, and ascending");
            cr_assert_gt(list[i].weight, 0);
            weights[rank * ranks + list[i].rank] = list[i].weight;
        }
    }
    free(list);
    return weights;
}

void mix(const struct muster_topology *topology, size_t ranks, uint64_t step, double *values)
{
    double *before = malloc(ranks * sizeof(*before));
    struct muster_neighbour *list = calloc(muster_topology_degree(topology) + 1, sizeof(*list));
    cr_assert(before && list);
    memcpy(before, values, ranks * sizeof(*before));
    for (size_t rank = 0; rank < ranks; rank++) {
        size_t count;
        double own;
        cr_assert_eq(muster_topology_in(topology, rank, step, list, &count, &own, NULL), MUSTER_OK);
        values[rank] = own * before[rank];
        for (size_t i = 0; i < count; i++)
            values[rank] += list[i].weight * before[list[i].rank];
    }
    free(before);
    free(list);
}
