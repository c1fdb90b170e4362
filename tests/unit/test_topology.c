/* Topologies: who is whose neighbour, and what every one of them keeps to. */
#include <config.h>

#include <criterion/criterion.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/topology.h"

/* ---- neighbours of a few ---- */

static void expect_neighbours(const char *spec, size_t ranks, size_t rank, const char *expected)
{
    struct muster_topology *topology = uniform_topology(spec, ranks);
    struct muster_neighbour *list = calloc(ranks, sizeof(*list));
    char text[256] = "";
    size_t count, used = 0;
    double own;
    cr_assert_eq(muster_topology_in(topology, rank, 0, list, &count, &own, NULL), MUSTER_OK);
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%zu", i > 0 ? " " : "", list[i].rank);
    cr_assert_str_eq(text, expected, "%s of %zu: rank %zu has %s", spec, ranks, rank, text);
    free(list);
    muster_topology_free(topology);
}

Test(topology, neighbours)
{
    expect_neighbours("ring", 1, 0, "");
    expect_neighbours("ring", 2, 0, "1");
    expect_neighbours("ring", 3, 1, "0 2");
    expect_neighbours("ring", 5, 0, "1 4");
    expect_neighbours("star", 4, 0, "1 2 3");
    expect_neighbours("star", 4, 3, "0");
    expect_neighbours("full", 4, 2, "0 1 3");
    expect_neighbours("grid", 12, 0, "1 4"); /* 3 rows of 4 */
    expect_neighbours("grid", 12, 5, "1 4 6 9");
    expect_neighbours("grid", 12, 7, "3 6 11");
    expect_neighbours("torus", 12, 0, "1 3 4 8");
    expect_neighbours("torus", 12, 7, "3 4 6 11");
    expect_neighbours("tree", 6, 0, "1 2");
    expect_neighbours("tree", 6, 1, "0 3 4");
    expect_neighbours("tree", 6, 2, "0 5");
    expect_neighbours("ladder", 2, 0, "1");
    expect_neighbours("ladder", 8, 0, "1 4");
    expect_neighbours("ladder", 8, 6, "2 5 7");
    expect_neighbours("circular-ladder", 8, 0, "1 3 4");
    expect_neighbours("circular-ladder", 8, 7, "3 4 6");
    expect_neighbours("wheel", 6, 0, "1 2 3 4 5");
    expect_neighbours("wheel", 6, 1, "0 2 5");
    expect_neighbours("complete-bipartite", 5, 0, "2 3 4");
    expect_neighbours("complete-bipartite", 5, 4, "0 1");
    expect_neighbours("barbell", 7, 0, "1 2");
    expect_neighbours("barbell", 7, 2, "0 1 3");
    expect_neighbours("barbell", 7, 3, "2 4 5 6");
    expect_neighbours("barbell", 7, 6, "3 4 5");
    expect_neighbours("hypercube", 8, 5, "1 4 7");
    expect_neighbours("hypercube", 1, 0, "");
    expect_neighbours("erdos-renyi:1", 4, 1, "0 2 3");
    expect_neighbours("watts-strogatz:4:0", 7, 0, "1 2 5 6");
    expect_neighbours("one-peer-exponential", 5, 0, "4");
    expect_neighbours("one-peer-exponential", 1, 0, "");
    expect_neighbours("hyper-hypercube:2", 6, 4, "3 5");
    expect_neighbours("base:2", 1, 0, "");
    expect_neighbours("matching", 2, 1, "0");
    expect_neighbours("matching", 1, 0, "");
}

Test(topology, weights_of_a_star)
{
    struct muster_topology_options options = options_for("star", 4, "uniform");
    struct muster_topology *topology = new_topology(&options);
    double *weights = new_weights(topology, 4, 0);
    cr_assert_float_eq(weights[0], 0.25, 1e-15);
    cr_assert_float_eq(weights[3], 0.25, 1e-15);
    cr_assert_float_eq(weights[12], 0.5, 1e-15);
    cr_assert_float_eq(weights[15], 0.5, 1e-15);
    free(weights);
    muster_topology_free(topology);

    options.mixing = "metropolis";
    topology = new_topology(&options);
    weights = new_weights(topology, 4, 0);
    cr_assert_float_eq(weights[0], 0.25, 1e-15);
    cr_assert_float_eq(weights[12], 0.25, 1e-15);
    cr_assert_float_eq(weights[15], 0.75, 1e-15);
    free(weights);
    muster_topology_free(topology);
}

/* ---- what all of them keep to ---- */

static const struct candidate {
    const char *spec;
    size_t degree;   /* of samples */
    bool changes;    /* and so is connected over many steps only */
    size_t ranks[6]; /* 0: no more */
} candidates[] = {
    {"ring", 0, false, {1, 2, 3, 8, 17}},
    {"star", 0, false, {1, 2, 9}},
    {"full", 0, false, {1, 2, 9}},
    {"grid", 0, false, {4, 6, 12, 25, 26}},
    {"torus", 0, false, {9, 12, 16, 20}},
    {"tree", 0, false, {1, 2, 3, 10}},
    {"ladder", 0, false, {2, 4, 10}},
    {"circular-ladder", 0, false, {6, 8, 14}},
    {"wheel", 0, false, {4, 5, 12}},
    {"complete-bipartite", 0, false, {2, 3, 10, 11}},
    {"barbell", 0, false, {2, 3, 4, 10, 11}},
    {"hypercube", 0, false, {1, 2, 4, 32}},
    {"hyper-hypercube:1", 0, true, {1, 2, 16}},
    {"hyper-hypercube:4", 0, true, {1, 3, 60}},
    {"erdos-renyi:0.3", 0, false, {1, 20, 31}},
    {"watts-strogatz:4:0.1", 0, false, {5, 6, 30}},
    {"watts-strogatz:2:1", 0, false, {3, 8}},
    {"random-regular:1", 0, false, {2}},
    {"random-regular:2", 0, false, {3, 9}},
    {"random-regular:4", 0, false, {5, 6, 30, 31}},
    {"one-peer-exponential", 0, true, {1, 2, 3, 16, 21}},
    {"base:2", 0, true, {1, 2, 7, 24, 31}},
    {"base:4", 0, true, {1, 5, 25, 30}},
    {"simple-base:2", 0, true, {1, 2, 7, 24, 31}},
    {"simple-base:5", 0, true, {3, 24, 31}},
    {"matching", 0, true, {1, 2, 3, 8, 13}},
    {"full", 3, true, {2, 4, 12}},
    {"star", 2, true, {2, 9}},
    {"random-regular:6", 4, true, {30}},
    {"erdos-renyi:0.5", 2, true, {20}},
};

enum { CANDIDATES = sizeof(candidates) / sizeof(candidates[0]), STEPS = 40 };

static void check_sums(const double *weights, size_t ranks, bool columns_too)
{
    for (size_t i = 0; i < ranks; i++) {
        double row = 0, column = 0;
        for (size_t j = 0; j < ranks; j++) {
            row += weights[i * ranks + j];
            column += weights[j * ranks + i];
            cr_assert_geq(weights[i * ranks + j], 0);
        }
        cr_assert_float_eq(row, 1, 1e-14);
        cr_assert(!columns_too || (column < 1 + 1e-14 && column > 1 - 1e-14));
    }
}

static bool is_symmetric(const double *weights, size_t ranks)
{
    for (size_t i = 0; i < ranks; i++) {
        for (size_t j = 0; j < i; j++) {
            if (weights[i * ranks + j] != weights[j * ranks + i])
                return false;
        }
    }
    return true;
}

/* Whether edges go both ways, and whether all have as many neighbours. */
static void look_at_edges(const double *weights, size_t ranks, bool *mutual, bool *regular)
{
    size_t first = 0;
    *mutual = *regular = true;
    for (size_t i = 0; i < ranks; i++) {
        size_t degree = 0;
        for (size_t j = 0; j < ranks; j++) {
            degree += j != i && weights[i * ranks + j] > 0;
            if ((weights[i * ranks + j] > 0) != (weights[j * ranks + i] > 0))
                *mutual = false;
        }
        if (i == 0)
            first = degree;
        else if (degree != first)
            *regular = false;
    }
}

/* What a rank gives is what others take. */
static void check_out(const struct muster_topology *topology, const double *weights, size_t ranks,
                      uint64_t step)
{
    struct muster_neighbour *list = calloc(muster_topology_degree(topology) + 1, sizeof(*list));
    cr_assert_not_null(list);
    for (size_t rank = 0; rank < ranks; rank++) {
        size_t count, takers = 0;
        cr_assert_eq(muster_topology_out(topology, rank, step, list, &count, NULL), MUSTER_OK);
        cr_assert_leq(count, muster_topology_degree(topology));
        for (size_t i = 0; i < count; i++) {
            cr_assert(i == 0 || list[i - 1].rank < list[i].rank);
            cr_assert_eq(list[i].weight, weights[list[i].rank * ranks + rank]);
        }
        for (size_t i = 0; i < ranks; i++)
            takers += i != rank && weights[i * ranks + rank] > 0;
        cr_assert_eq(count, takers);
    }
    free(list);
}

/* Marks all that rank 0 reaches by edges of `together`, in as many passes as are of use. */
static bool is_connected(const bool *together, size_t ranks)
{
    bool *reached = calloc(ranks, sizeof(*reached));
    size_t count = 1, before = 0;
    reached[0] = true;
    while (count > before) {
        before = count;
        for (size_t i = 0; i < ranks * ranks; i++) {
            if (!together[i] || reached[i / ranks] == reached[i % ranks])
                continue;
            reached[i / ranks] = reached[i % ranks] = true;
            count++;
        }
    }
    free(reached);
    return count == ranks;
}

static void check_candidate(const struct candidate *candidate, size_t ranks, const char *mixing)
{
    struct muster_topology_options options = options_for(candidate->spec, ranks, mixing);
    options.degree = candidate->degree;
    struct muster_topology *topology = new_topology(&options);
    bool *together = calloc(ranks * ranks, sizeof(*together));
    bool directed = false;
    for (uint64_t step = 0; step < (candidate->changes ? STEPS : 2); step++) {
        bool mutual, regular;
        double *weights = new_weights(topology, ranks, step);
        look_at_edges(weights, ranks, &mutual, &regular);
        directed |= !mutual;
        check_sums(weights, ranks, strcmp(mixing, "metropolis") == 0 || (mutual && regular));
        if (strcmp(mixing, "metropolis") == 0)
            cr_assert(is_symmetric(weights, ranks));
        check_out(topology, weights, ranks, step);
        for (size_t i = 0; i < ranks * ranks; i++)
            together[i] |= weights[i] > 0;
        free(weights);
    }
    cr_assert(is_connected(together, ranks), "%s of %zu", candidate->spec, ranks);
    cr_assert(muster_topology_is_directed(topology) || !directed);
    free(together);
    muster_topology_free(topology);
}

Test(topology, all_of_them_uniform)
{
    for (size_t i = 0; i < CANDIDATES; i++) {
        for (size_t j = 0; j < 6 && candidates[i].ranks[j] > 0; j++)
            check_candidate(&candidates[i], candidates[i].ranks[j], "uniform");
    }
}

Test(topology, all_of_them_metropolis)
{
    for (size_t i = 0; i < CANDIDATES; i++) {
        bool has_none = candidates[i].degree > 0 || strcmp(candidates[i].spec, "one-peer-exponential") == 0;
        for (size_t j = 0; !has_none && j < 6 && candidates[i].ranks[j] > 0; j++)
            check_candidate(&candidates[i], candidates[i].ranks[j], "metropolis");
    }
}

Test(topology, a_single_rank_needs_no_room)
{
    for (size_t i = 0; i < CANDIDATES; i++) {
        struct muster_topology_options options = options_for(candidates[i].spec, 1, "uniform");
        struct muster_topology *topology;
        size_t count = 7;
        double own = 7;
        if (muster_topology_new(&options, &topology, NULL) != MUSTER_OK)
            continue;
        cr_assert_eq(muster_topology_degree(topology), 0);
        cr_assert_eq(muster_topology_in(topology, 0, 5, NULL, &count, &own, NULL), MUSTER_OK);
        cr_assert(count == 0 && own == 1);
        cr_assert_eq(muster_topology_out(topology, 0, 5, NULL, &count, NULL), MUSTER_OK);
        cr_assert_eq(count, 0);
        muster_topology_free(topology);
    }
}

Test(topology, every_form_has_a_candidate)
{
    const char *form;
    size_t forms = 0;
    for (; (form = muster_topology_form(forms)); forms++) {
        bool found = false;
        for (size_t i = 0; i < CANDIDATES; i++)
            found |= strcspn(form, ":") == strcspn(candidates[i].spec, ":") &&
                     strncmp(form, candidates[i].spec, strcspn(form, ":")) == 0;
        cr_assert(found, "%s", form);
    }
    cr_assert_eq(forms, 20);
    cr_assert_null(muster_topology_form(SIZE_MAX));
}

static void expect_traits(const char *spec, size_t ranks, size_t degree, size_t period, size_t exact_after,
                          bool directed)
{
    struct muster_topology *topology = uniform_topology(spec, ranks);
    cr_assert_eq(muster_topology_degree(topology), degree, "%s: %zu", spec, muster_topology_degree(topology));
    cr_assert_eq(muster_topology_period(topology), period, "%s: %zu", spec, muster_topology_period(topology));
    cr_assert_eq(muster_topology_exact_after(topology), exact_after, "%s", spec);
    cr_assert_eq(muster_topology_is_directed(topology), directed, "%s", spec);
    muster_topology_free(topology);
}

Test(topology, traits)
{
    expect_traits("ring", 9, 2, 1, 0, false);
    expect_traits("star", 9, 8, 1, 0, false);
    expect_traits("full", 9, 8, 1, 1, false);
    expect_traits("hypercube", 16, 4, 1, 0, false);
    expect_traits("random-regular:4", 9, 4, 1, 0, false);
    expect_traits("one-peer-exponential", 16, 1, 4, 4, true);
    expect_traits("one-peer-exponential", 17, 1, 5, 0, true);
    expect_traits("hyper-hypercube:1", 16, 1, 4, 4, false);
    expect_traits("hyper-hypercube:4", 60, 4, 3, 3, false);
    expect_traits("base:2", 16, 1, 4, 4, false);
    expect_traits("base:2", 6, 1, 4, 4, false);        /* 2 of 3 each, and a pair: 3 + 1 */
    expect_traits("simple-base:2", 6, 1, 5, 5, false); /* 2 + 1 + 2 */
    expect_traits("matching", 9, 1, 0, 0, false);
    expect_traits("matching", 1, 0, 0, 0, false);
}

/* ---- samples ---- */

Test(topology, samples_are_drawn_anew_and_each_is_as_likely)
{
    enum { RANKS = 6, DEGREE = 2, TIMES = 30000 };
    struct muster_topology_options options = options_for("full", RANKS, "uniform");
    options.degree = DEGREE;
    struct muster_topology *topology = new_topology(&options);
    cr_assert_eq(muster_topology_degree(topology), RANKS - 1, "that many may have drawn a rank");
    cr_assert_eq(muster_topology_period(topology), 0);
    cr_assert_eq(muster_topology_exact_after(topology), 0);
    cr_assert(muster_topology_is_directed(topology));
    unsigned pairs[RANKS * RANKS] = {0};
    for (uint64_t step = 0; step < TIMES; step++) {
        struct muster_neighbour list[RANKS];
        size_t count;
        double own;
        cr_assert_eq(muster_topology_in(topology, 3, step, list, &count, &own, NULL), MUSTER_OK);
        cr_assert_eq(count, (size_t)DEGREE);
        cr_assert_float_eq(own, 1.0 / 3, 1e-15);
        pairs[list[0].rank * RANKS + list[1].rank]++;
    }
    unsigned sets = 0;
    for (size_t i = 0; i < (size_t)RANKS * RANKS; i++) {
        if (pairs[i] == 0)
            continue;
        sets++;
        cr_assert_float_eq(pairs[i], TIMES / 10.0, 260); /* 5 deviations */
    }
    cr_assert_eq(sets, 10);
    muster_topology_free(topology);
}

Test(topology, a_degree_that_nobody_exceeds_changes_nothing)
{
    struct muster_topology_options options = options_for("ring", 9, "uniform");
    options.degree = 2;
    struct muster_topology *topology = new_topology(&options);
    cr_assert_eq(muster_topology_period(topology), 1);
    cr_assert(!muster_topology_is_directed(topology));
    muster_topology_free(topology);
}

/* ---- random graphs ---- */

static size_t count_edges(const double *weights, size_t ranks)
{
    size_t edges = 0;
    for (size_t i = 0; i < ranks; i++) {
        for (size_t j = 0; j < i; j++)
            edges += weights[i * ranks + j] > 0;
    }
    return edges;
}

Test(topology, every_regular_graph)
{
    for (size_t ranks = 2; ranks <= 24; ranks++) {
        for (size_t degree = 1; degree < ranks; degree++) {
            char spec[48];
            if (ranks * degree % 2 == 1 || (degree == 1 && ranks > 2))
                continue;
            snprintf(spec, sizeof(spec), "random-regular:%zu", degree);
            struct muster_topology *topology = uniform_topology(spec, ranks);
            double *weights = new_weights(topology, ranks, 0);
            bool mutual, regular;
            look_at_edges(weights, ranks, &mutual, &regular);
            cr_assert(mutual && regular);
            cr_assert_eq(count_edges(weights, ranks), ranks * degree / 2);
            free(weights);
            muster_topology_free(topology);
        }
    }
}

/* Moved edges are still as many, and each rank keeps at least half of its own. */
Test(topology, edges_that_watts_and_strogatz_move)
{
    static const char *const specs[] = {"watts-strogatz:4:0", "watts-strogatz:4:0.3", "watts-strogatz:4:1"};
    enum { RANKS = 40 };
    size_t moved[3];
    for (size_t i = 0; i < 3; i++) {
        struct muster_topology *topology = uniform_topology(specs[i], RANKS);
        double *weights = new_weights(topology, RANKS, 0);
        cr_assert_eq(count_edges(weights, RANKS), RANKS * 2);
        moved[i] = 2 * RANKS;
        for (size_t rank = 0; rank < RANKS; rank++) {
            size_t degree = 0;
            for (size_t j = 0; j < RANKS; j++)
                degree += j != rank && weights[rank * RANKS + j] > 0;
            cr_assert_geq(degree, 2);
            moved[i] -= weights[rank * RANKS + (rank + 1) % RANKS] > 0;
            moved[i] -= weights[rank * RANKS + (rank + 2) % RANKS] > 0;
        }
        free(weights);
        muster_topology_free(topology);
    }
    cr_assert_eq(moved[0], 0);
    cr_assert(moved[1] > 10 && moved[1] < 40, "%zu", moved[1]);
    cr_assert_gt(moved[2], 60);
}

Test(topology, edges_of_erdos_and_renyi)
{
    enum { RANKS = 200 };
    struct muster_topology *topology = uniform_topology("erdos-renyi:0.25", RANKS);
    double *weights = new_weights(topology, RANKS, 0);
    cr_assert_float_eq((double)count_edges(weights, RANKS), 0.25 * RANKS * (RANKS - 1) / 2, 250);
    free(weights);
    muster_topology_free(topology);
}

/* Of 4 ranks there are 3 matchings. */
Test(topology, every_matching_is_as_likely)
{
    enum { TIMES = 9000 };
    struct muster_topology *topology = uniform_topology("matching", 4);
    unsigned partners[4] = {0};
    for (uint64_t step = 0; step < TIMES; step++) {
        double *weights = new_weights(topology, 4, step);
        cr_assert_eq(count_edges(weights, 4), 2);
        for (size_t i = 1; i < 4; i++)
            partners[i] += weights[i] == 0.5;
        free(weights);
    }
    for (size_t i = 1; i < 4; i++)
        cr_assert_float_eq(partners[i], TIMES / 3.0, 220);
    muster_topology_free(topology);
}

Test(topology, of_an_odd_number_one_is_left_over)
{
    struct muster_topology *topology = uniform_topology("matching", 9);
    size_t left_over[9] = {0};
    for (uint64_t step = 0; step < 200; step++) {
        double *weights = new_weights(topology, 9, step);
        cr_assert_eq(count_edges(weights, 9), 4);
        for (size_t i = 0; i < 9; i++)
            left_over[i] += weights[i * 9 + i] == 1;
        free(weights);
    }
    for (size_t i = 0; i < 9; i++)
        cr_assert_gt(left_over[i], 5);
    muster_topology_free(topology);
}

/* ---- seeds ---- */

/* A number for all neighbours of some steps. */
static uint64_t digest(const char *spec, size_t degree, uint64_t seed)
{
    enum { RANKS = 30 };
    struct muster_topology_options options = options_for(spec, RANKS, "uniform");
    options.seed = seed;
    options.degree = degree;
    struct muster_topology *topology = new_topology(&options);
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (uint64_t step = 0; step < 3; step++) {
        for (size_t rank = 0; rank < RANKS; rank++) {
            struct muster_neighbour list[RANKS];
            size_t count;
            double own;
            cr_assert_eq(muster_topology_in(topology, rank, step, list, &count, &own, NULL), MUSTER_OK);
            for (size_t i = 0; i < count; i++)
                hash = (hash ^ (list[i].rank + 1)) * UINT64_C(1099511628211);
            hash = (hash ^ 0xff) * UINT64_C(1099511628211);
        }
    }
    muster_topology_free(topology);
    return hash;
}

/* The graph of a seed is part of what is promised: members of one group may run different releases. */
Test(topology, the_same_seed_gives_the_same_graph_for_ever)
{
    static const struct {
        const char *spec;
        size_t degree;
        uint64_t digest;
    } drawn[] = {
        {"erdos-renyi:0.3", 0, UINT64_C(0xba1952c65150f77d)},
        {"watts-strogatz:4:0.3", 0, UINT64_C(0x5ed0529f4a75eb8c)},
        {"random-regular:4", 0, UINT64_C(0x2aa3c092b2fcc6c3)},
        {"random-regular:15", 0, UINT64_C(0x527f539595ef61da)},
        {"matching", 0, UINT64_C(0xd4dce2228e9a0cf6)},
        {"full", 4, UINT64_C(0xbe9918a6494438f7)},
        {"base:3", 0, UINT64_C(0xcc1c6eef7b2b5ddf)},
    };
    for (size_t i = 0; i < sizeof(drawn) / sizeof(drawn[0]); i++) {
        uint64_t found = digest(drawn[i].spec, drawn[i].degree, 1);
        cr_assert_eq(found, digest(drawn[i].spec, drawn[i].degree, 1));
        cr_assert(strncmp(drawn[i].spec, "base", 4) == 0 ||
                  found != digest(drawn[i].spec, drawn[i].degree, 2));
        cr_assert_eq(found, drawn[i].digest, "%s: 0x%016llx", drawn[i].spec, (unsigned long long)found);
    }
}

/* ---- many ranks ---- */

Test(topology, thousands_of_ranks)
{
    static const char *const specs[] = {"ring", "full",    "random-regular:4",  "watts-strogatz:8:0.2",
                                        "star", "base:3",  "erdos-renyi:0.01",  "one-peer-exponential",
                                        "tree", "barbell", "complete-bipartite"};
    enum { RANKS = 5000 };
    struct muster_neighbour *list = calloc(RANKS, sizeof(*list));
    for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
        struct muster_topology_options options = options_for(specs[i], RANKS, "uniform");
        options.degree = strcmp(specs[i], "full") == 0 ? 4 : 0;
        struct muster_topology *topology = new_topology(&options);
        size_t count;
        double own;
        for (size_t rank = 0; rank < RANKS; rank += 100) {
            cr_assert_eq(muster_topology_in(topology, rank, 3, list, &count, &own, NULL), MUSTER_OK);
            cr_assert_eq(muster_topology_out(topology, rank, 3, list, &count, NULL), MUSTER_OK);
        }
        muster_topology_free(topology);
    }
    free(list);
}

Test(topology, the_most_ranks)
{
    struct muster_topology *topology = uniform_topology("base:2", MUSTER_TOPOLOGY_RANKS_MAX);
    cr_assert_eq(muster_topology_exact_after(topology), 16);
    muster_topology_free(topology);
    topology = uniform_topology("simple-base:2", MUSTER_TOPOLOGY_RANKS_MAX - 1);
    cr_assert_eq(muster_topology_exact_after(topology), 31);
    muster_topology_free(topology);
}
