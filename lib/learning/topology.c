/* Topologies: made from a spec, and asked for neighbours and weights. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "learning/topology.h"
#include "options.h"
#include "random.h"
#include "status.h"

/* ---- specs ---- */

const char *muster_topology_form(size_t index)
{
    const struct topology_kind *kind = muster__topology_kind(index);
    return kind ? kind->form : NULL;
}

static size_t name_length(const char *form)
{
    return strcspn(form, ":");
}

/* Of the spec's name; NULL if it is none. */
static const struct topology_kind *find_kind(const char *spec)
{
    const struct topology_kind *kind;
    for (size_t i = 0; (kind = muster__topology_kind(i)); i++) {
        size_t length = name_length(kind->form);
        if (length == name_length(spec) && strncmp(spec, kind->form, length) == 0)
            return kind;
    }
    return NULL;
}

static enum muster_status no_such_name(const char *spec, struct muster_error *error)
{
    char names[MUSTER_ERROR_TEXT_SIZE];
    size_t used = 0;
    const struct topology_kind *kind;
    for (size_t i = 0; (kind = muster__topology_kind(i)); i++)
        used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%.*s", i > 0 ? ", " : "",
                                 (int)name_length(kind->form), kind->form);
    return muster__error(error, MUSTER_INVALID, "'%.16s' is none of %s", spec, names);
}

/* Reads digits, of which 6 are enough, and goes behind them. */
static bool read_number(const char **text, size_t *number)
{
    size_t digits = strspn(*text, "0123456789");
    *number = 0;
    if (digits == 0 || digits > 6)
        return false;
    for (; digits > 0; digits--)
        *number = 10 * *number + (size_t)(*(*text)++ - '0');
    return true;
}

/* Reads digits, perhaps with a point. Both sides of the quotient are exact, so all machines round it alike. */
static bool read_probability(const char **text, double *probability)
{
    const uint64_t one_most = UINT64_C(1000000000000000);
    uint64_t digits = 0, one = 1;
    bool point = false, any = false;
    for (; (**text >= '0' && **text <= '9') || (**text == '.' && !point); (*text)++) {
        if (**text == '.') {
            point = true;
            continue;
        }
        any = true;
        digits = 10 * digits + (uint64_t)(**text - '0');
        one *= point ? 10 : 1;
        if (digits > one || one > one_most)
            return false;
    }
    *probability = (double)digits / (double)one;
    return any;
}

static bool read_parameters(struct muster_topology *topology, const char *text)
{
    const struct topology_kind *kind = topology->kind;
    if (kind->has_number && (*text++ != ':' || !read_number(&text, &topology->number)))
        return false;
    if (kind->has_probability && (*text++ != ':' || !read_probability(&text, &topology->probability)))
        return false;
    return *text == '\0' && topology->number >= kind->least;
}

static enum muster_status read_spec(struct muster_topology *topology, const char *spec,
                                    struct muster_error *error)
{
    topology->kind = find_kind(spec);
    if (!topology->kind)
        return no_such_name(spec, error);
    if (!read_parameters(topology, spec + name_length(spec)))
        return muster__error(error, MUSTER_INVALID, "'%.60s' is not of the form %s%s%s%s", spec,
                             topology->kind->form, topology->kind->example ? ", such as " : "",
                             topology->kind->example ? topology->kind->example : "",
                             topology->kind->has_probability
                                 ? " (a probability is from 0 to 1, and has up to 15 digits)"
                                 : "");
    return MUSTER_OK;
}

/* ---- is there such a topology? ---- */

/* Writes which numbers of ranks, near this one, the kind has. */
static const char *near_sizes(const struct muster_topology *topology, char *text, size_t size)
{
    size_t below = topology->ranks, above = topology->ranks;
    while (below > 0 && !topology->kind->fits(below, topology->number))
        below--;
    while (above <= MUSTER_TOPOLOGY_RANKS_MAX && !topology->kind->fits(above, topology->number))
        above++;
    if (below > 0 && above <= MUSTER_TOPOLOGY_RANKS_MAX)
        snprintf(text, size, "; %zu and %zu would do", below, above);
    else if (below > 0 || above <= MUSTER_TOPOLOGY_RANKS_MAX)
        snprintf(text, size, "; %zu would do", below > 0 ? below : above);
    else
        text[0] = '\0';
    return text;
}

static enum muster_status check_ranks(const struct muster_topology *topology, const char *spec,
                                      struct muster_error *error)
{
    char near[64];
    if (topology->ranks == 0 || topology->ranks > MUSTER_TOPOLOGY_RANKS_MAX)
        return muster__error(error, MUSTER_INVALID, "a topology has 1 to %d ranks, not %zu",
                             MUSTER_TOPOLOGY_RANKS_MAX, topology->ranks);
    if (!topology->kind->fits(topology->ranks, topology->number))
        return muster__error(error, MUSTER_INVALID, "there is no %.60s of %zu ranks: %s%s", spec,
                             topology->ranks, topology->kind->sizes,
                             near_sizes(topology, near, sizeof(near)));
    return MUSTER_OK;
}

static enum muster_status read_mixing(struct muster_topology *topology,
                                      const struct muster_topology_options *options,
                                      struct muster_error *error)
{
    topology->metropolis = strcmp(options->mixing, "metropolis") == 0;
    if (!topology->metropolis && strcmp(options->mixing, "uniform") != 0)
        return muster__error(error, MUSTER_INVALID, "no mixing '%.60s': there are uniform and metropolis",
                             options->mixing);
    if (topology->metropolis && topology->kind->directed)
        return muster__error(error, MUSTER_INVALID,
                             "metropolis is for edges that go both ways, and those of %.60s do not: mix "
                             "uniformly",
                             options->spec);
    if (topology->metropolis && options->degree > 0)
        return muster__error(error, MUSTER_INVALID,
                             "metropolis needs all neighbours: mix uniformly, or set no degree");
    if (topology->kind->changes && options->degree > 0)
        return muster__error(error, MUSTER_INVALID,
                             "a degree samples from the neighbours of a graph that stays the same, and "
                             "%.60s changes from step to step: set no degree",
                             options->spec);
    return MUSTER_OK;
}

static enum muster_status make(struct muster_topology *topology, const char *spec, struct muster_error *error)
{
    enum muster_status status = topology->kind->make ? topology->kind->make(topology) : MUSTER_OK;
    if (status == MUSTER_INVALID)
        return muster__error(error, status,
                             "%.60s of %zu ranks was not connected in any of %d draws: raise the parameters, "
                             "or take another seed",
                             spec, topology->ranks, GRAPH_DRAWS_MAX);
    if (status != MUSTER_OK)
        return muster__error(error, status, "out of memory for the edges of %.60s", spec);
    return MUSTER_OK;
}

/* ---- neighbours ---- */

void muster__topology_random(const struct muster_topology *topology, uint64_t step, size_t item,
                             struct muster_random *random)
{
    muster_random_seed(random, topology->seed);
    muster_random_seed(random, muster_random_next(random) + step);
    muster_random_seed(random, muster_random_next(random) + item);
}

/* How many neighbours a rank takes from, before samples; *below: how many of them are below `before`. */
static size_t count_neighbours(const struct muster_topology *topology, size_t rank, uint64_t step,
                               size_t before, size_t *below)
{
    struct neighbours neighbours = {.before = before};
    topology->kind->neighbours(topology, rank, step, TAKES, &neighbours);
    *below = neighbours.below;
    return neighbours.count;
}

/* How many neighbours a rank takes from. */
static size_t degree_of(const struct muster_topology *topology, size_t rank, uint64_t step)
{
    size_t below;
    size_t count = count_neighbours(topology, rank, step, 0, &below);
    return topology->sample > 0 && count > topology->sample ? topology->sample : count;
}

/* Of what is kept: each graph of the period, and all ranks. */
static size_t greatest_degree(const struct muster_topology *topology)
{
    size_t most = 0;
    for (size_t step = 0; step < topology->period; step++) {
        for (size_t rank = 0; rank < topology->ranks; rank++) {
            size_t degree = degree_of(topology, rank, step);
            most = degree > most ? degree : most;
        }
    }
    return most;
}

static int compare(const void *a, const void *b)
{
    size_t first = ((const struct muster_neighbour *)a)->rank;
    size_t second = ((const struct muster_neighbour *)b)->rank;
    return (first > second) - (first < second);
}

/* Lists the neighbours before samples, and returns how many there are. */
static size_t list_neighbours(const struct muster_topology *topology, size_t rank, uint64_t step,
                              enum direction direction, struct muster_neighbour *list)
{
    struct neighbours neighbours = {.list = list};
    topology->kind->neighbours(topology, rank, step, direction, &neighbours);
    if (neighbours.count > 1) /* without any, the list may be NULL */
        qsort(list, neighbours.count, sizeof(*list), compare);
    return neighbours.count;
}

/* ---- samples ---- */

/* A sample is what the first places have after so many steps of a shuffle of the sorted neighbours. */
static size_t sample(const struct muster_topology *topology, size_t taker, uint64_t step,
                     struct muster_neighbour *list, size_t count)
{
    struct muster_random random;
    if (topology->sample == 0 || count <= topology->sample)
        return count;
    muster__topology_random(topology, step, taker, &random);
    for (size_t i = 0; i < topology->sample; i++) {
        size_t other = i + (size_t)muster__random_below(&random, count - i);
        struct muster_neighbour neighbour = list[i];
        list[i] = list[other];
        list[other] = neighbour;
    }
    qsort(list, topology->sample, sizeof(*list), compare);
    return topology->sample;
}

/* Whether the sample of a taker has this neighbour, whose place alone is followed. */
static bool is_sampled(const struct muster_topology *topology, size_t taker, uint64_t step, size_t neighbour)
{
    struct muster_random random;
    size_t place;
    if (topology->sample == 0)
        return true;
    size_t count = count_neighbours(topology, taker, step, neighbour, &place);
    if (count <= topology->sample)
        return true;
    muster__topology_random(topology, step, taker, &random);
    for (size_t i = 0; i < topology->sample; i++) {
        size_t other = i + (size_t)muster__random_below(&random, count - i);
        place = place == i ? other : place == other ? i : place;
    }
    return place < topology->sample;
}

/* ---- weights ---- */

/* With which a taker mixes what a neighbour gives. */
static double weight(const struct muster_topology *topology, size_t taker_degree, size_t giver, uint64_t step)
{
    size_t degree = taker_degree;
    if (topology->metropolis) {
        size_t other = degree_of(topology, giver, step);
        degree = other > degree ? other : degree;
    }
    return 1 / (double)(degree + 1);
}

static enum muster_status check_rank(const struct muster_topology *topology, size_t rank,
                                     struct muster_error *error)
{
    if (rank < topology->ranks)
        return MUSTER_OK;
    return muster__error(error, MUSTER_INVALID, "there is no rank %zu in a topology of %zu", rank,
                         topology->ranks);
}

enum muster_status muster_topology_in(const struct muster_topology *topology, size_t rank, uint64_t step,
                                      struct muster_neighbour *neighbours, size_t *count, double *own,
                                      struct muster_error *error)
{
    enum muster_status status = check_rank(topology, rank, error);
    if (status != MUSTER_OK)
        return status;
    *count = list_neighbours(topology, rank, step, TAKES, neighbours);
    *count = sample(topology, rank, step, neighbours, *count);
    *own = 1;
    for (size_t i = 0; i < *count; i++) {
        if (!topology->kind->own_weights)
            neighbours[i].weight = weight(topology, *count, neighbours[i].rank, step);
        *own -= neighbours[i].weight;
    }
    return MUSTER_OK;
}

enum muster_status muster_topology_out(const struct muster_topology *topology, size_t rank, uint64_t step,
                                       struct muster_neighbour *neighbours, size_t *count,
                                       struct muster_error *error)
{
    enum muster_status status = check_rank(topology, rank, error);
    if (status != MUSTER_OK)
        return status;
    size_t listed = list_neighbours(topology, rank, step, GIVES, neighbours);
    *count = 0;
    for (size_t i = 0; i < listed; i++) {
        struct muster_neighbour taker = neighbours[i];
        if (!is_sampled(topology, taker.rank, step, rank))
            continue;
        if (!topology->kind->own_weights)
            taker.weight = weight(topology, degree_of(topology, taker.rank, step), rank, step);
        neighbours[(*count)++] = taker;
    }
    return MUSTER_OK;
}

/* ---- the topology ---- */

void muster_topology_options_init_sized(struct muster_topology_options *options, size_t size)
{
    static const struct muster_topology_options defaults = {
        .size = sizeof(defaults), .spec = "ring", .mixing = "uniform"};
    muster__options_give(options, size, &defaults, sizeof(defaults));
}

enum muster_status muster_topology_new(const struct muster_topology_options *options,
                                       struct muster_topology **topology, struct muster_error *error)
{
    struct muster_topology_options own;
    muster_topology_options_init(&own);
    *topology = NULL;
    enum muster_status status =
        muster__options_take(&own, sizeof(own), options, "muster_topology_options_init", error);
    if (status != MUSTER_OK)
        return status;
    struct muster_topology *made = calloc(1, sizeof(*made));
    if (!made)
        return muster__error(error, MUSTER_OUT_OF_MEMORY, "out of memory for a topology");
    if (!own.spec)
        own.spec = "";
    if (!own.mixing)
        own.mixing = "";
    made->ranks = own.ranks;
    made->seed = own.seed;
    made->period = 1;
    status = read_spec(made, own.spec, error);
    if (status == MUSTER_OK)
        status = check_ranks(made, own.spec, error);
    if (status == MUSTER_OK)
        status = read_mixing(made, &own, error);
    if (status == MUSTER_OK)
        status = make(made, own.spec, error);
    if (status != MUSTER_OK) {
        muster_topology_free(made);
        return status;
    }
    if (made->degree == 0)
        made->degree = greatest_degree(made);
    if (own.degree > 0 && own.degree < made->degree) {
        made->sample = own.degree;
        made->period = 0;
        made->exact_after = 0;
    }
    *topology = made;
    return MUSTER_OK;
}

void muster_topology_free(struct muster_topology *topology)
{
    if (!topology)
        return;
    muster__graph_clear(&topology->graph);
    free(topology);
}

size_t muster_topology_degree(const struct muster_topology *topology)
{
    return topology->degree;
}

size_t muster_topology_period(const struct muster_topology *topology)
{
    return topology->period;
}

size_t muster_topology_exact_after(const struct muster_topology *topology)
{
    return topology->exact_after;
}

bool muster_topology_is_directed(const struct muster_topology *topology)
{
    return topology->kind->directed || topology->sample > 0;
}
