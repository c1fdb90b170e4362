/* Undirected graphs that are drawn at random and kept: for each rank a list of those that it has an edge
   with. */
#ifndef MUSTER_LEARNING_GRAPH_H
#define MUSTER_LEARNING_GRAPH_H

#include <stddef.h>
#include <stdint.h>

#include <muster/random.h>

#include "learning/neighbours.h"

struct graph_list {
    uint32_t *ranks; /* ascending */
    uint32_t count;
    uint32_t capacity;
};

struct graph {
    size_t ranks;
    struct graph_list *lists;
};

/* How often a graph is drawn until it is connected. */
enum { GRAPH_DRAWS_MAX = 100 };

/* INVALID: none of the draws was connected. OUT_OF_MEMORY. Whatever is returned, the graph is to be cleared.
 * Nothing is told of an error. */
enum muster_status muster__graph_erdos_renyi(struct graph *graph, size_t ranks, double probability,
                                             struct muster_random *random);
/* Of an even number of neighbours, which is below that of the ranks. */
enum muster_status muster__graph_watts_strogatz(struct graph *graph, size_t ranks, size_t neighbours,
                                                double probability, struct muster_random *random);
/* Of a degree that is below the number of ranks; one of the two is even. */
enum muster_status muster__graph_regular(struct graph *graph, size_t ranks, size_t degree,
                                         struct muster_random *random);

void muster__graph_neighbours(const struct graph *graph, size_t rank, struct neighbours *neighbours);

/* A graph of zeros is allowed. */
void muster__graph_clear(struct graph *graph);

#endif
