/* The neighbours of one rank at one step, while a topology names them, in any order: listed, or only
   counted. */
#ifndef MUSTER_LEARNING_NEIGHBOURS_H
#define MUSTER_LEARNING_NEIGHBOURS_H

#include <stddef.h>

#include <muster/topology.h>

struct neighbours {
    struct muster_neighbour *list; /* NULL: they are only counted */
    size_t count;
    size_t before; /* whoever counts may ask how many are below this rank */
    size_t below;
};

/* A weight is given by topologies that bring their own; others leave it 0. */
static inline void neighbours_add_weighted(struct neighbours *neighbours, size_t rank, double weight)
{
    if (neighbours->list)
        neighbours->list[neighbours->count] = (struct muster_neighbour){rank, weight};
    neighbours->count++;
    neighbours->below += rank < neighbours->before;
}

static inline void neighbours_add(struct neighbours *neighbours, size_t rank)
{
    neighbours_add_weighted(neighbours, rank, 0);
}

/* Adds the ranks from `first` to before `end`. Counting takes no longer for many than for one. */
static inline void neighbours_add_range(struct neighbours *neighbours, size_t first, size_t end)
{
    for (size_t rank = first; neighbours->list && rank < end; rank++)
        neighbours_add(neighbours, rank);
    if (neighbours->list || first >= end)
        return;
    neighbours->count += end - first;
    if (neighbours->before > first)
        neighbours->below += (neighbours->before < end ? neighbours->before : end) - first;
}

#endif
