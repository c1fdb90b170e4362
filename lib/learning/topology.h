/* What topologies are made of: their kinds, and what is kept of one. */
#ifndef MUSTER_LEARNING_TOPOLOGY_H
#define MUSTER_LEARNING_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <muster/topology.h>

#include "learning/base_graph.h"
#include "learning/graph.h"
#include "learning/neighbours.h"

/* A rank takes from in-neighbours, and gives to out-neighbours. */
enum direction { TAKES, GIVES };

struct topology_kind {
    const char *form; /* the name, and a colon and a word for each parameter */
    const char *example;
    bool has_number; /* the first parameter is a number from `least` on */
    uint32_t least;
    bool has_probability; /* the last parameter is a number from 0 to 1 */
    bool directed;
    bool changes; /* from step to step */
    bool own_weights;
    /* A sentence on the numbers of ranks that there are, and whether this is one. */
    const char *sizes;
    bool (*fits)(size_t ranks, size_t number);
    /* Sets what the topology keeps, if it is not what a topology begins with: one graph for ever. May fail as
       the random graphs do. May be NULL. */
    enum muster_status (*make)(struct muster_topology *topology);
    /* Adds each neighbour once. */
    void (*neighbours)(const struct muster_topology *topology, size_t rank, uint64_t step,
                       enum direction direction, struct neighbours *neighbours);
};

/* topology.c and `make` of its kind write it. It does not change afterwards. */
struct muster_topology {
    const struct topology_kind *kind;
    size_t ranks;
    size_t number; /* the parameters */
    double probability;
    uint64_t seed;
    bool metropolis;
    size_t sample; /* so many in-neighbours at most; 0: all, always */
    size_t degree; /* so many neighbours at most, before samples; 0 in `make`: to be counted */
    size_t period;
    size_t exact_after;
    struct graph graph;
    struct base_graph base;
};

/* NULL beyond the last. */
const struct topology_kind *muster__topology_kind(size_t index);

/* Starts the stream for what an item (a rank, a place) draws at a step. */
void muster__topology_random(const struct muster_topology *topology, uint64_t step, size_t item,
                             struct muster_random *random);

#endif
