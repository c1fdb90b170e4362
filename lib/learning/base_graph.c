/* The base graphs: plans of rounds, and the neighbours of a rank in one of them. */
#include <config.h>

#include <string.h>

#include "learning/base_graph.h"

/* ---- factors ---- */

/* What is left of the number without its prime factors up to `most`. */
static size_t big_factor(size_t number, size_t most)
{
    for (size_t factor = 2; factor <= most && factor <= number; factor++) {
        while (number % factor == 0)
            number /= factor;
    }
    return number;
}

bool muster__has_small_factors(size_t ranks, size_t most)
{
    return big_factor(ranks, most) == 1;
}

/* Writes the fewest factors from 2 to `most` that the number is the product of, and returns how many; more
 * than BASE_DIGITS_MAX if there are none. They do not grow from one to the next. */
static size_t fewest_factors(size_t number, size_t most, size_t *factors)
{
    size_t fewest = BASE_DIGITS_MAX + 1;
    if (number == 1)
        return 0;
    for (size_t factor = most < number ? most : number; factor > 1; factor--) {
        size_t others[BASE_DIGITS_MAX];
        if (number % factor != 0)
            continue;
        size_t count = fewest_factors(number / factor, factor, others) + 1;
        if (count >= fewest)
            continue;
        fewest = count;
        factors[0] = factor;
        memcpy(factors + 1, others, (count - 1) * sizeof(*factors));
    }
    return fewest;
}

/* ---- plans ---- */

/* Splits the items into blocks, by the digits of their number from the highest on. */
static void make_blocks(struct base_graph *graph)
{
    size_t part = 1, digits = 0;
    while (graph->items / part >= graph->base) {
        part *= graph->base;
        digits++;
    }
    size_t first = 0;
    for (; part > 0; part /= graph->base, digits--) {
        size_t parts = (graph->items - first) / part;
        if (parts == 0)
            continue;
        graph->blocks[graph->block_count++] =
            (struct base_block){first, parts, part, digits, graph->items - first - parts * part};
        first += parts * part;
    }
}

/* How many rounds it takes until all of a block have its mean. */
static size_t rounds_within(const struct base_block *block)
{
    return block->digits + (block->parts > 1);
}

static void make(struct base_graph *graph, size_t sets, size_t items, size_t base)
{
    *graph = (struct base_graph){.base = base, .items = items};
    make_blocks(graph);
    const struct base_block *first = &graph->blocks[0];
    graph->item_rounds = rounds_within(first);
    if (graph->block_count > 1)
        graph->item_rounds += 1 + first->digits;
    graph->factor_count = fewest_factors(sets, base, graph->factors);
    graph->rounds = graph->item_rounds + graph->factor_count;
}

void muster__hyper_hypercube(struct base_graph *graph, size_t ranks, size_t peers)
{
    make(graph, ranks, 1, peers + 1);
}

void muster__simple_base_graph(struct base_graph *graph, size_t ranks, size_t base)
{
    make(graph, 1, ranks, base);
}

void muster__base_graph(struct base_graph *graph, size_t ranks, size_t base)
{
    struct base_graph simple;
    size_t items = big_factor(ranks, base);
    make(graph, ranks / items, items, base);
    muster__simple_base_graph(&simple, ranks, base);
    if (simple.rounds < graph->rounds)
        *graph = simple;
}

/* ---- neighbours ---- */

static size_t power(size_t base, size_t exponent)
{
    size_t result = 1;
    for (; exponent > 0; exponent--)
        result *= base;
    return result;
}

/* All places behind `first` that differ from this one in one digit, which is below `radix` and counts `value`.
 * They are a clique, and each gets the mean of all. */
static void add_clique(struct neighbours *neighbours, size_t first, size_t place, size_t value, size_t radix)
{
    size_t own = place / value % radix;
    for (size_t digit = 0; digit < radix; digit++) {
        if (digit != own)
            neighbours_add_weighted(neighbours, first + place - own * value + digit * value,
                                    1 / (double)radix);
    }
}

/* Those whom an item of a block meets of the rest behind it, one or none, or an item of the rest of the
 * block. */
static void add_meeting(struct neighbours *neighbours, const struct base_block *block, size_t set,
                        size_t item)
{
    size_t end = block->first + block->parts * block->part;
    double weight = (double)block->part / (double)(end - block->first + block->rest);
    if (item >= end) {
        for (size_t i = 0; i < block->parts; i++)
            neighbours_add_weighted(neighbours, set + item - end + block->first + i * block->part, weight);
    } else if ((item - block->first) % block->part < block->rest) {
        neighbours_add_weighted(neighbours, set + end + (item - block->first) % block->part, weight);
    }
}

/*
 * How a set makes its mean. First each block makes its own. Then the blocks meet the rest behind them, one
 * block in each round, from the biggest on: each item of the rest meets one of each part of the block. By the
 * weight part / (block + rest), two things are true afterwards:
 * - The mean of the rest is that of block and rest together, so the rest goes on without the block.
 * - So is the mean of each part of the block. Its base^digits items make it in as many rounds.
 * A later block has fewer digits, one at least for each round that it begins later, so it is ready with the
 * first.
 */
static void add_items(const struct base_graph *graph, size_t set, size_t item, size_t round,
                      struct neighbours *neighbours)
{
    size_t own = graph->block_count - 1;
    while (graph->blocks[own].first > item)
        own--;
    const struct base_block *block = &graph->blocks[own];
    size_t first = set + block->first;
    size_t place = item - block->first;
    size_t meetings_begin = rounds_within(&graph->blocks[0]);
    if (round < meetings_begin) {
        if (round < rounds_within(block))
            add_clique(neighbours, first, place, power(graph->base, round),
                       round < block->digits ? graph->base : block->parts);
        return;
    }
    size_t meeting = round - meetings_begin; /* of the block with this number */
    if (meeting <= own)
        add_meeting(neighbours, &graph->blocks[meeting], set, item);
    else if (block->rest > 0 && meeting - own - 1 < block->digits)
        add_clique(neighbours, first, place, power(graph->base, meeting - own - 1), graph->base);
}

void muster__base_graph_neighbours(const struct base_graph *graph, size_t rank, size_t round,
                                   struct neighbours *neighbours)
{
    if (round < graph->item_rounds) {
        add_items(graph, rank - rank % graph->items, rank % graph->items, round, neighbours);
        return;
    }
    size_t value = graph->items;
    for (size_t i = 0; i < round - graph->item_rounds; i++)
        value *= graph->factors[i];
    add_clique(neighbours, 0, rank, value, graph->factors[round - graph->item_rounds]);
}
