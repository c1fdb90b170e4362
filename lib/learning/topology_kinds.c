/* The kinds of topologies: their names, the numbers of ranks that they have, and who is whose neighbour. */
#include <config.h>

#include "learning/topology.h"
#include "random.h"

/* What names the neighbours of a rank has these parameters, and most need not look at all of them. */
#define NEIGHBOURS(name)                                                                            \
    static void name##_neighbours(                                                                  \
        const struct muster_topology *topology, size_t rank, uint64_t step __attribute__((unused)), \
        enum direction direction __attribute__((unused)), struct neighbours *neighbours)

/* ---- one graph for ever ---- */

static bool any_fits(size_t ranks, size_t number)
{
    (void)number;
    return ranks >= 1;
}

static bool two_fit(size_t ranks, size_t number)
{
    (void)number;
    return ranks >= 2;
}

NEIGHBOURS(ring)
{
    size_t ranks = topology->ranks;
    if (ranks > 1)
        neighbours_add(neighbours, (rank + 1) % ranks);
    if (ranks > 2)
        neighbours_add(neighbours, (rank + ranks - 1) % ranks);
}

NEIGHBOURS(star)
{
    if (rank > 0)
        neighbours_add(neighbours, 0);
    else
        neighbours_add_range(neighbours, 1, topology->ranks);
}

static enum muster_status make_full(struct muster_topology *topology)
{
    topology->exact_after = 1;
    return MUSTER_OK;
}

NEIGHBOURS(full)
{
    neighbours_add_range(neighbours, 0, rank);
    neighbours_add_range(neighbours, rank + 1, topology->ranks);
}

/* The rows of a grid that is as near to a square as can be: as many as columns, or fewer. */
static size_t rows_of(size_t ranks)
{
    size_t rows = 1;
    for (size_t i = 2; i * i <= ranks; i++) {
        if (ranks % i == 0)
            rows = i;
    }
    return rows;
}

static bool grid_fits(size_t ranks, size_t number)
{
    (void)number;
    return rows_of(ranks) >= 2;
}

NEIGHBOURS(grid)
{
    size_t columns = topology->ranks / rows_of(topology->ranks);
    if (rank >= columns)
        neighbours_add(neighbours, rank - columns);
    if (rank + columns < topology->ranks)
        neighbours_add(neighbours, rank + columns);
    if (rank % columns > 0)
        neighbours_add(neighbours, rank - 1);
    if (rank % columns < columns - 1)
        neighbours_add(neighbours, rank + 1);
}

static bool torus_fits(size_t ranks, size_t number)
{
    (void)number;
    return rows_of(ranks) >= 3;
}

/* The two beside a rank in a circle of so many ranks behind `first`. */
static void add_circle(struct neighbours *neighbours, size_t first, size_t count, size_t rank)
{
    neighbours_add(neighbours, first + (rank - first + 1) % count);
    neighbours_add(neighbours, first + (rank - first + count - 1) % count);
}

NEIGHBOURS(torus)
{
    size_t ranks = topology->ranks;
    size_t columns = ranks / rows_of(ranks);
    neighbours_add(neighbours, (rank + columns) % ranks);
    neighbours_add(neighbours, (rank + ranks - columns) % ranks);
    add_circle(neighbours, rank - rank % columns, columns, rank);
}

NEIGHBOURS(tree)
{
    if (rank > 0)
        neighbours_add(neighbours, (rank - 1) / 2);
    for (size_t child = 2 * rank + 1; child <= 2 * rank + 2 && child < topology->ranks; child++)
        neighbours_add(neighbours, child);
}

static bool ladder_fits(size_t ranks, size_t number)
{
    (void)number;
    return ranks >= 2 && ranks % 2 == 0;
}

NEIGHBOURS(ladder)
{
    size_t length = topology->ranks / 2;
    neighbours_add(neighbours, (rank + length) % topology->ranks);
    if (rank % length > 0)
        neighbours_add(neighbours, rank - 1);
    if (rank % length < length - 1)
        neighbours_add(neighbours, rank + 1);
}

static bool circular_ladder_fits(size_t ranks, size_t number)
{
    (void)number;
    return ranks >= 6 && ranks % 2 == 0;
}

NEIGHBOURS(circular_ladder)
{
    size_t length = topology->ranks / 2;
    neighbours_add(neighbours, (rank + length) % topology->ranks);
    add_circle(neighbours, rank - rank % length, length, rank);
}

static bool wheel_fits(size_t ranks, size_t number)
{
    (void)number;
    return ranks >= 4;
}

NEIGHBOURS(wheel)
{
    star_neighbours(topology, rank, step, direction, neighbours);
    if (rank > 0)
        add_circle(neighbours, 1, topology->ranks - 1, rank);
}

NEIGHBOURS(complete_bipartite)
{
    size_t half = topology->ranks / 2;
    if (rank < half)
        neighbours_add_range(neighbours, half, topology->ranks);
    else
        neighbours_add_range(neighbours, 0, half);
}

NEIGHBOURS(barbell)
{
    size_t half = topology->ranks / 2;
    neighbours_add_range(neighbours, rank < half ? 0 : half, rank);
    neighbours_add_range(neighbours, rank + 1, rank < half ? half : topology->ranks);
    if (rank == half - 1)
        neighbours_add(neighbours, half);
    if (rank == half)
        neighbours_add(neighbours, half - 1);
}

static bool is_power_of_two(size_t ranks, size_t number)
{
    (void)number;
    return ranks > 0 && (ranks & (ranks - 1)) == 0;
}

NEIGHBOURS(hypercube)
{
    for (size_t bit = 1; bit < topology->ranks; bit *= 2)
        neighbours_add(neighbours, rank ^ bit);
}

/* ---- drawn once ---- */

/* The draws of steps come from streams of their own. */
static struct muster_random stream_of(const struct muster_topology *topology)
{
    struct muster_random random;
    muster_random_seed(&random, topology->seed);
    return random;
}

static enum muster_status make_erdos_renyi(struct muster_topology *topology)
{
    struct muster_random random = stream_of(topology);
    return muster__graph_erdos_renyi(&topology->graph, topology->ranks, topology->probability, &random);
}

static bool watts_strogatz_fits(size_t ranks, size_t number)
{
    return number % 2 == 0 && number < ranks;
}

static enum muster_status make_watts_strogatz(struct muster_topology *topology)
{
    struct muster_random random = stream_of(topology);
    return muster__graph_watts_strogatz(&topology->graph, topology->ranks, topology->number,
                                        topology->probability, &random);
}

/* Of degree 1 there are only pairs. */
static bool regular_fits(size_t ranks, size_t number)
{
    return number < ranks && ranks * number % 2 == 0 && (number > 1 || ranks == 2);
}

static enum muster_status make_regular(struct muster_topology *topology)
{
    struct muster_random random = stream_of(topology);
    return muster__graph_regular(&topology->graph, topology->ranks, topology->number, &random);
}

NEIGHBOURS(graph)
{
    muster__graph_neighbours(&topology->graph, rank, neighbours);
}

/* ---- another graph at each step ---- */

static enum muster_status make_exponential(struct muster_topology *topology)
{
    topology->degree = topology->ranks > 1;
    for (size_t offset = 2; offset < topology->ranks; offset *= 2)
        topology->period++;
    topology->exact_after = is_power_of_two(topology->ranks, 0) ? topology->period : 0;
    return MUSTER_OK;
}

NEIGHBOURS(exponential)
{
    size_t ranks = topology->ranks;
    size_t offset = (size_t)1 << step % topology->period;
    if (ranks > 1)
        neighbours_add(neighbours, (rank + (direction == GIVES ? offset : ranks - offset)) % ranks);
}

static enum muster_status make_matching(struct muster_topology *topology)
{
    topology->degree = topology->ranks > 1;
    topology->period = 0;
    return MUSTER_OK;
}

/* The place that a shuffle gives place `i` for its own, at random. */
static size_t place_for(const struct muster_topology *topology, uint64_t step, size_t i)
{
    struct muster_random random;
    muster__topology_random(topology, step, i, &random);
    return (size_t)muster__random_below(&random, i + 1);
}

static size_t exchanged(size_t place, size_t a, size_t b)
{
    return place == a ? b : place == b ? a : place;
}

/* The ranks are shuffled (Fisher and Yates), and each two in a row are a pair. Only the rank's own place is
 * followed, and then its partner's back to the beginning, so this takes no memory. */
NEIGHBOURS(matching)
{
    size_t place = rank;
    for (size_t i = topology->ranks - 1; i > 0; i--)
        place = exchanged(place, i, place_for(topology, step, i));
    place ^= 1;
    if (place == topology->ranks) /* it is left over */
        return;
    for (size_t i = 1; i < topology->ranks; i++)
        place = exchanged(place, i, place_for(topology, step, i));
    neighbours_add(neighbours, place);
}

static enum muster_status made_of_rounds(struct muster_topology *topology)
{
    if (topology->base.rounds > 0)
        topology->period = topology->base.rounds;
    topology->exact_after = topology->period;
    return MUSTER_OK;
}

static bool hyper_hypercube_fits(size_t ranks, size_t number)
{
    return muster__has_small_factors(ranks, number + 1);
}

static enum muster_status make_hyper_hypercube(struct muster_topology *topology)
{
    muster__hyper_hypercube(&topology->base, topology->ranks, topology->number);
    return made_of_rounds(topology);
}

static enum muster_status make_base(struct muster_topology *topology)
{
    muster__base_graph(&topology->base, topology->ranks, topology->number);
    return made_of_rounds(topology);
}

static enum muster_status make_simple_base(struct muster_topology *topology)
{
    muster__simple_base_graph(&topology->base, topology->ranks, topology->number);
    return made_of_rounds(topology);
}

NEIGHBOURS(rounds)
{
    if (topology->base.rounds > 0)
        muster__base_graph_neighbours(&topology->base, rank, (size_t)(step % topology->base.rounds),
                                      neighbours);
}

/* ---- all of them ---- */

#define ANY_SIZE .sizes = "any number of ranks will do", .fits = any_fits

static const struct topology_kind kinds[] = {
    {.form = "ring", ANY_SIZE, .neighbours = ring_neighbours},
    {.form = "star", ANY_SIZE, .neighbours = star_neighbours},
    {.form = "full", ANY_SIZE, .make = make_full, .neighbours = full_neighbours},
    {.form = "grid",
     .sizes = "the number of ranks is not prime, and at least 4",
     .fits = grid_fits,
     .neighbours = grid_neighbours},
    {.form = "torus",
     .sizes = "the ranks make 3 rows or more of 3 columns or more",
     .fits = torus_fits,
     .neighbours = torus_neighbours},
    {.form = "tree", ANY_SIZE, .neighbours = tree_neighbours},
    {.form = "ladder",
     .sizes = "the number of ranks is even",
     .fits = ladder_fits,
     .neighbours = ladder_neighbours},
    {.form = "circular-ladder",
     .sizes = "the number of ranks is even, and at least 6",
     .fits = circular_ladder_fits,
     .neighbours = circular_ladder_neighbours},
    {.form = "wheel",
     .sizes = "there are at least 4 ranks",
     .fits = wheel_fits,
     .neighbours = wheel_neighbours},
    {.form = "complete-bipartite",
     .sizes = "there are at least 2 ranks",
     .fits = two_fit,
     .neighbours = complete_bipartite_neighbours},
    {.form = "barbell",
     .sizes = "there are at least 2 ranks",
     .fits = two_fit,
     .neighbours = barbell_neighbours},
    {.form = "hypercube",
     .sizes = "the number of ranks is a power of two",
     .fits = is_power_of_two,
     .neighbours = hypercube_neighbours},
    {.form = "hyper-hypercube:PEERS",
     .example = "hyper-hypercube:2",
     .has_number = true,
     .least = 1,
     .changes = true,
     .own_weights = true,
     .sizes = "the number of ranks has no prime factor above PEERS + 1",
     .fits = hyper_hypercube_fits,
     .make = make_hyper_hypercube,
     .neighbours = rounds_neighbours},
    {.form = "erdos-renyi:PROBABILITY",
     .example = "erdos-renyi:0.3",
     .has_probability = true,
     ANY_SIZE,
     .make = make_erdos_renyi,
     .neighbours = graph_neighbours},
    {.form = "watts-strogatz:NEIGHBOURS:PROBABILITY",
     .example = "watts-strogatz:4:0.1",
     .has_number = true,
     .least = 2,
     .has_probability = true,
     .sizes = "NEIGHBOURS is even, and less than the number of ranks",
     .fits = watts_strogatz_fits,
     .make = make_watts_strogatz,
     .neighbours = graph_neighbours},
    {.form = "random-regular:DEGREE",
     .example = "random-regular:4",
     .has_number = true,
     .least = 1,
     .sizes = "DEGREE is less than the number of ranks, one of the two is even, and DEGREE 1 is for 2 ranks",
     .fits = regular_fits,
     .make = make_regular,
     .neighbours = graph_neighbours},
    {.form = "one-peer-exponential",
     .directed = true,
     .changes = true,
     ANY_SIZE,
     .make = make_exponential,
     .neighbours = exponential_neighbours},
    {.form = "base:BASE",
     .example = "base:2",
     .has_number = true,
     .least = 2,
     .changes = true,
     .own_weights = true,
     ANY_SIZE,
     .make = make_base,
     .neighbours = rounds_neighbours},
    {.form = "simple-base:BASE",
     .example = "simple-base:2",
     .has_number = true,
     .least = 2,
     .changes = true,
     .own_weights = true,
     ANY_SIZE,
     .make = make_simple_base,
     .neighbours = rounds_neighbours},
    {.form = "matching", .changes = true, ANY_SIZE, .make = make_matching, .neighbours = matching_neighbours},
};

const struct topology_kind *muster__topology_kind(size_t index)
{
    return index < sizeof(kinds) / sizeof(kinds[0]) ? &kinds[index] : NULL;
}
