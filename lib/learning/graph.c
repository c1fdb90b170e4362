/* Random graphs: Erdos and Renyi's, Watts and Strogatz's, and those in which all ranks have the same degree. */
#include <config.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "learning/graph.h"
#include "random.h"

/* ---- edges ---- */

/* The place in the list of the first rank that is not below this one. */
static uint32_t place_of(const struct graph_list *list, size_t rank)
{
    uint32_t first = 0, end = list->count;
    while (first < end) {
        uint32_t middle = first + (end - first) / 2;
        if (list->ranks[middle] < rank)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

static bool has_edge(const struct graph *graph, size_t a, size_t b)
{
    const struct graph_list *list = &graph->lists[a];
    uint32_t place = place_of(list, b);
    return place < list->count && list->ranks[place] == b;
}

/* Makes room for one more; false: out of memory. */
static bool make_room(struct graph_list *list)
{
    if (list->count < list->capacity)
        return true;
    uint32_t capacity = list->capacity > 0 ? 2 * list->capacity : 4;
    uint32_t *ranks = realloc(list->ranks, capacity * sizeof(*ranks));
    if (!ranks)
        return false;
    list->ranks = ranks;
    list->capacity = capacity;
    return true;
}

static void insert(struct graph_list *list, size_t rank)
{
    uint32_t place = place_of(list, rank);
    memmove(list->ranks + place + 1, list->ranks + place, (list->count - place) * sizeof(*list->ranks));
    list->ranks[place] = (uint32_t)rank;
    list->count++;
}

static enum muster_status add_edge(struct graph *graph, size_t a, size_t b)
{
    if (!make_room(&graph->lists[a]) || !make_room(&graph->lists[b]))
        return MUSTER_OUT_OF_MEMORY;
    insert(&graph->lists[a], b);
    insert(&graph->lists[b], a);
    return MUSTER_OK;
}

static void remove_rank(struct graph_list *list, size_t rank)
{
    uint32_t place = place_of(list, rank);
    list->count--;
    memmove(list->ranks + place, list->ranks + place + 1, (list->count - place) * sizeof(*list->ranks));
}

static void remove_edge(struct graph *graph, size_t a, size_t b)
{
    remove_rank(&graph->lists[a], b);
    remove_rank(&graph->lists[b], a);
}

/* ---- draws ---- */

/* What a graph is drawn with. */
struct recipe {
    /* Draws edges for a graph without any. *stuck: this draw came to nothing. */
    enum muster_status (*draw)(struct graph *graph, const struct recipe *recipe, struct muster_random *random,
                               bool *stuck);
    size_t degree;
    double probability;
};

/* Whether there is a path from rank 0 to each other. `reached` has room for all, and `seen` is theirs. */
static bool reaches_all(const struct graph *graph, uint32_t *reached, bool *seen)
{
    size_t count = 1;
    memset(seen, 0, graph->ranks * sizeof(*seen));
    reached[0] = 0;
    seen[0] = true;
    for (size_t i = 0; i < count; i++) {
        const struct graph_list *list = &graph->lists[reached[i]];
        for (uint32_t j = 0; j < list->count; j++) {
            if (!seen[list->ranks[j]])
                reached[count++] = list->ranks[j];
            seen[list->ranks[j]] = true;
        }
    }
    return count == graph->ranks;
}

static enum muster_status draw_until_connected(struct graph *graph, size_t ranks, const struct recipe *recipe,
                                               struct muster_random *random)
{
    enum muster_status status = MUSTER_OK;
    uint32_t *reached = malloc(ranks * sizeof(*reached));
    bool *seen = malloc(ranks * sizeof(*seen));
    graph->lists = calloc(ranks, sizeof(*graph->lists));
    graph->ranks = graph->lists ? ranks : 0;
    if (!reached || !seen || !graph->lists)
        status = MUSTER_OUT_OF_MEMORY;
    bool connected = false;
    for (int i = 0; status == MUSTER_OK && !connected && i < GRAPH_DRAWS_MAX; i++) {
        bool stuck = false;
        for (size_t rank = 0; rank < ranks; rank++)
            graph->lists[rank].count = 0;
        status = recipe->draw(graph, recipe, random, &stuck);
        connected = status == MUSTER_OK && !stuck && reaches_all(graph, reached, seen);
    }
    free(reached);
    free(seen);
    return status != MUSTER_OK || connected ? status : MUSTER_INVALID;
}

/* ---- Erdos and Renyi (Gilbert 1959): each edge for itself ---- */

static enum muster_status draw_erdos_renyi(struct graph *graph, const struct recipe *recipe,
                                           struct muster_random *random, bool *stuck)
{
    enum muster_status status = MUSTER_OK;
    (void)stuck;
    for (size_t a = 0; a < graph->ranks; a++) {
        for (size_t b = a + 1; status == MUSTER_OK && b < graph->ranks; b++) {
            if (muster_random_uniform(random) < recipe->probability)
                status = add_edge(graph, a, b);
        }
    }
    return status;
}

enum muster_status muster__graph_erdos_renyi(struct graph *graph, size_t ranks, double probability,
                                             struct muster_random *random)
{
    const struct recipe recipe = {.draw = draw_erdos_renyi, .probability = probability};
    return draw_until_connected(graph, ranks, &recipe, random);
}

/* ---- Watts and Strogatz (1998): a ring whose edges are moved at random ---- */

static enum muster_status make_lattice(struct graph *graph, size_t reach)
{
    enum muster_status status = MUSTER_OK;
    for (size_t rank = 0; rank < graph->ranks; rank++) {
        for (size_t i = 1; status == MUSTER_OK && i <= reach; i++)
            status = add_edge(graph, rank, (rank + i) % graph->ranks);
    }
    return status;
}

/* The edge keeps its end at `rank`, and gets another that `rank` has no edge with. */
static enum muster_status move_edge(struct graph *graph, size_t rank, size_t end,
                                    struct muster_random *random)
{
    size_t other;
    if (graph->lists[rank].count == graph->ranks - 1)
        return MUSTER_OK;
    do {
        other = (size_t)muster__random_below(random, graph->ranks);
    } while (other == rank || has_edge(graph, rank, other));
    remove_edge(graph, rank, end);
    return add_edge(graph, rank, other);
}

static enum muster_status draw_watts_strogatz(struct graph *graph, const struct recipe *recipe,
                                              struct muster_random *random, bool *stuck)
{
    enum muster_status status = make_lattice(graph, recipe->degree / 2);
    (void)stuck;
    for (size_t i = 1; i <= recipe->degree / 2; i++) {
        for (size_t rank = 0; status == MUSTER_OK && rank < graph->ranks; rank++) {
            if (muster_random_uniform(random) < recipe->probability)
                status = move_edge(graph, rank, (rank + i) % graph->ranks, random);
        }
    }
    return status;
}

enum muster_status muster__graph_watts_strogatz(struct graph *graph, size_t ranks, size_t neighbours,
                                                double probability, struct muster_random *random)
{
    const struct recipe recipe = {draw_watts_strogatz, neighbours, probability};
    return draw_until_connected(graph, ranks, &recipe, random);
}

/* ---- all of the same degree (Steger and Wormald 1999) ---- */

static void shuffle(uint32_t *ends, size_t count, struct muster_random *random)
{
    for (size_t i = count; i > 1; i--) {
        size_t other = (size_t)muster__random_below(random, i);
        uint32_t end = ends[i - 1];
        ends[i - 1] = ends[other];
        ends[other] = end;
    }
}

static bool may_join(const struct graph *graph, size_t a, size_t b)
{
    return a != b && !has_edge(graph, a, b);
}

static bool may_join_any(const struct graph *graph, const uint32_t *ends, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t j = i + 1; j < count; j++) {
            if (may_join(graph, ends[i], ends[j]))
                return true;
        }
    }
    return false;
}

/* Joins the ends of edges two by two as they come. Those that may not be joined stay, to be shuffled again. */
static enum muster_status join(struct graph *graph, uint32_t *ends, size_t *count)
{
    enum muster_status status = MUSTER_OK;
    size_t kept = 0;
    for (size_t i = 0; status == MUSTER_OK && i + 1 < *count; i += 2) {
        uint32_t a = ends[i], b = ends[i + 1];
        if (may_join(graph, a, b)) {
            status = add_edge(graph, a, b);
        } else {
            ends[kept++] = a;
            ends[kept++] = b;
        }
    }
    *count = kept;
    return status;
}

/* Lists instead of the others those that a rank has no edge with. */
static enum muster_status invert(struct graph *graph)
{
    for (size_t rank = 0; rank < graph->ranks; rank++) {
        struct graph_list *list = &graph->lists[rank];
        struct graph_list others = {NULL, 0, 0};
        uint32_t next = 0; /* of the list */
        others.ranks = malloc(graph->ranks * sizeof(*others.ranks));
        if (!others.ranks)
            return MUSTER_OUT_OF_MEMORY;
        others.capacity = (uint32_t)graph->ranks;
        for (uint32_t other = 0; other < graph->ranks; other++) {
            if (next < list->count && list->ranks[next] == other)
                next++;
            else if (other != rank)
                others.ranks[others.count++] = other;
        }
        free(list->ranks);
        *list = others;
    }
    return MUSTER_OK;
}

static enum muster_status draw_regular(struct graph *graph, const struct recipe *recipe,
                                       struct muster_random *random, bool *stuck)
{
    enum muster_status status = MUSTER_OK;
    /* With many edges the last ends seldom fit, so those that are missing are drawn. */
    bool inverted = recipe->degree > graph->ranks / 2;
    size_t degree = inverted ? graph->ranks - 1 - recipe->degree : recipe->degree;
    size_t count = graph->ranks * degree;
    uint32_t *ends = calloc(count + 1, sizeof(*ends));
    if (!ends)
        return MUSTER_OUT_OF_MEMORY;
    for (size_t i = 0; i < count; i++)
        ends[i] = (uint32_t)(i / degree);
    while (status == MUSTER_OK && count > 0 && !*stuck) {
        size_t before = count;
        shuffle(ends, count, random);
        status = join(graph, ends, &count);
        *stuck = count == before && !may_join_any(graph, ends, count);
    }
    free(ends);
    return status == MUSTER_OK && inverted ? invert(graph) : status;
}

enum muster_status muster__graph_regular(struct graph *graph, size_t ranks, size_t degree,
                                         struct muster_random *random)
{
    const struct recipe recipe = {.draw = draw_regular, .degree = degree};
    return draw_until_connected(graph, ranks, &recipe, random);
}

/* ---- what is asked of a graph ---- */

void muster__graph_neighbours(const struct graph *graph, size_t rank, struct neighbours *neighbours)
{
    const struct graph_list *list = &graph->lists[rank];
    for (uint32_t i = 0; i < list->count; i++)
        neighbours_add(neighbours, list->ranks[i]);
}

void muster__graph_clear(struct graph *graph)
{
    for (size_t rank = 0; rank < graph->ranks; rank++)
        free(graph->lists[rank].ranks);
    free(graph->lists);
}
