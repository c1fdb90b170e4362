/*
 * Rounds of small cliques after which everyone has exactly the mean, for every number of ranks: the k-peer
 * hyper-hypercube, the simple base-(k+1) graph and the base-(k+1) graph (Takezawa, Sato, Bao, Niwa and
 * Yamada, "Beyond Exponential Graph", NeurIPS 2023). Nobody has more than k neighbours at a step.
 */
#ifndef MUSTER_LEARNING_BASE_GRAPH_H
#define MUSTER_LEARNING_BASE_GRAPH_H

#include <stdbool.h>
#include <stddef.h>

#include "learning/neighbours.h"

/* Numbers up to MUSTER_TOPOLOGY_RANKS_MAX have no more digits, and no more prime factors. */
enum { BASE_DIGITS_MAX = 17 };

/* Ranks that stand for one digit of a number in the base: `parts` (the digit) of base^digits ranks each. */
struct base_block {
    size_t first;
    size_t parts;
    size_t part;   /* base^digits */
    size_t digits; /* the digit's place */
    size_t rest;   /* how many ranks there are behind this block */
};

/*
 * The ranks are `items` in each of several sets, one set after the other. In the first rounds each set makes
 * the mean of its own; in the others one item of each set makes the mean with those in its place, as the
 * digits of a mixed base with these factors.
 */
struct base_graph {
    size_t base;
    size_t items;
    struct base_block blocks[BASE_DIGITS_MAX]; /* the items' number in the base, its zeros left out */
    size_t block_count;
    size_t item_rounds;
    size_t factors[BASE_DIGITS_MAX];
    size_t factor_count;
    size_t rounds; /* all of them */
};

/* Whether `ranks` has no prime factor above `most`. */
bool muster__has_small_factors(size_t ranks, size_t most);

/* Of a number of ranks that has no prime factor above peers + 1. */
void muster__hyper_hypercube(struct base_graph *graph, size_t ranks, size_t peers);

/* The base is at least 2. */
void muster__simple_base_graph(struct base_graph *graph, size_t ranks, size_t base);
void muster__base_graph(struct base_graph *graph, size_t ranks, size_t base);

/* Adds the neighbours of a rank in a round, with their weights. */
void muster__base_graph_neighbours(const struct base_graph *graph, size_t rank, size_t round,
                                   struct neighbours *neighbours);

#endif
